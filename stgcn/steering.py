"""The word of whoever watches a training from outside: asked after each validation, it may end the training in order.

Several streams are trained together, epoch by epoch, by one optimiser; so their training is asked about as one, with what all
of them score together.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Checkpoint

from stgcn.module import PoseClassifier
from stgcn.status import StatusLog

Control = Callable[[int, dict[str, float]], bool]
"""Told the epochs trained so far, over all resumes, and what the last one found; True: end here, and leave a checkpoint."""


class Steered(Checkpoint):
    """Asks ``control`` when an epoch that was validated ends, before its checkpoint is written."""

    def __init__(self, control: Control, status: StatusLog) -> None:
        self.control, self.status = control, status

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Ask in one process, and end in all."""
        assert isinstance(pl_module, PoseClassifier)
        if "val_loss" not in pl_module.fresh:
            return
        stop = trainer.is_global_zero and self.control(trainer.current_epoch + 1, numbers(pl_module.fresh))
        if stop:
            self.status.write("RUNNING", f"Stopped after epoch {trainer.current_epoch}, as asked; it can be resumed")
        trainer.should_stop = trainer.should_stop or trainer.strategy.reduce_boolean_decision(stop, all=False)


def numbers(found: dict[str, Any]) -> dict[str, float]:
    """The metrics of an epoch that are numbers."""
    return {name: float(value) for name, value in found.items() if isinstance(value, int | float)}


class Noted:
    """A control that remembers where it said stop."""

    def __init__(self, control: Control) -> None:
        self.control = control
        self.stopped: int | None = None  # epochs trained by then

    def __call__(self, epoch: int, metrics: dict[str, float]) -> bool:
        """Ask it, and note the answer."""
        stop = bool(self.control(epoch, metrics))
        if stop:
            self.stopped = epoch
        return stop


class Relay:
    """Carries questions from the training processes to the one that holds the control, and the answers back."""

    def __init__(self, asked: Any, answers: Any) -> None:
        self.asked, self.answers = asked, answers

    def __call__(self, epoch: int, metrics: dict[str, float]) -> bool:
        """Ask, and wait."""
        self.asked.put((epoch, metrics))
        said = self.answers.get()
        if isinstance(said, BaseException):
            raise said
        return bool(said)


@contextmanager
def relayed(control: Control, manager: Any) -> Iterator[Relay]:
    """A control for other processes, which ``manager`` connects to this one."""
    relay = Relay(manager.Queue(), manager.Queue())

    def answer() -> None:
        while question := relay.asked.get():
            try:
                said: bool | Exception = control(*question)
            except Exception as error:  # the training has to end of it, and not this thread alone
                said = error
            relay.answers.put(said)

    thread = threading.Thread(target=answer, name="control", daemon=True)
    thread.start()
    try:
        yield relay
    finally:
        relay.asked.put(None)
        thread.join()
