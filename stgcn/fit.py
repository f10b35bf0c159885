"""Lightning's Trainer, set up and run: devices, loggers, callbacks, and its chatter kept away. Knows no spec file, no data."""

from __future__ import annotations

import importlib
import importlib.util
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, redirect_stdout
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.loggers import Logger, TensorBoardLogger, WandbLogger

from stgcn import config
from stgcn.callbacks import Checkpoints, EarlyStopping, History, HoldingIO, Recorder
from stgcn.data import SkeletonData
from stgcn.module import PoseClassifier
from stgcn.quiet import TREESPEC, quiet
from stgcn.status import StatusLog
from stgcn.steering import Control, Steered, relayed

if importlib.util.find_spec("tensorboard"):
    importlib.import_module("torch.utils.tensorboard")  # with the rest: a warm process imports once what every training needs

FLUSH = 2  # seconds; the writer of TensorBoard's files looks up at least as often
TALKERS = ("pytorch_lightning", "lightning_fabric", "lightning.pytorch")  # tips and notices
# Lightning's warnings that do not hold here: small sets are in memory.
ADVICE = (
    "The '.*_dataloader' does not have many workers",
    "The number of training batches .* is smaller than the logging interval",
    "GPU available but not used",
    TREESPEC,
)


def fit(
    module: PoseClassifier,
    data: SkeletonData,
    settings: config.Train,
    *,
    folder: Path,
    status: StatusLog,
    gpus: list[int],
    loggers: list[Logger],
    history: History,
    checkpoint: Path | None,
    key: str | None = None,
    control: Control | None = None,
) -> History:
    """Train on ``gpus`` (none is the CPU), going on from ``checkpoint`` if there is one; returns what was done.

    With a ``key`` the checkpoints are encrypted. ``control`` may end it after any validation; with one, the state after every
    epoch is on the disk, so that whatever ends the training costs one epoch at most.
    """
    torch.backends.cudnn.deterministic = settings.cudnn.deterministic
    held = HoldingIO(key)
    with quiet(TALKERS, ADVICE), shared(history, len(gpus), control) as (record, steer), interruptible():
        trainer = pl.Trainer(
            accelerator="cuda" if gpus else "cpu",
            devices=gpus or 1,
            strategy=strategy(len(gpus), settings.freeze_epochs),
            max_epochs=settings.num_epochs,
            check_val_every_n_epoch=settings.validation_interval,
            gradient_clip_val=settings.grad_clip or None,
            accumulate_grad_batches=settings.accumulate_batches,
            precision="bf16-mixed" if settings.precision == "bf16" else "32-true",
            benchmark=settings.cudnn.benchmark,
            callbacks=[
                Recorder(folder, status, record, settings.num_epochs),
                *([EarlyStopping(settings.early_stopping, status, record)] if settings.early_stopping else []),
                *([Steered(steer, status)] if steer else []),
                Checkpoints(folder, settings, held, record, every=steer is not None),
            ],
            plugins=[held],
            logger=loggers,
            log_every_n_steps=1,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            use_distributed_sampler=False,
            default_root_dir=folder,
        )
        with redirect_stdout(sys.stderr):  # what libraries print is not data
            try:
                trainer.fit(module, datamodule=data, ckpt_path=checkpoint, weights_only=True)
            finally:
                finish_wandb()
        return History(list(record.past), list(record.rows), list(record.checkpoints), record.last)


def strategy(processes: int, freeze_epochs: int) -> str:
    """Lightning's name for so many processes; they have to agree on which weights learn."""
    if processes < 2:
        return "auto"
    return "ddp_spawn_find_unused_parameters_true" if freeze_epochs else "ddp_spawn"


def loggers_for(wandb: config.Wandb, folder: Path) -> list[Logger]:
    """TensorBoard when it is installed, Weights & Biases when it is enabled (offline without an API key)."""
    loggers: list[Logger] = []
    if importlib.util.find_spec("tensorboard"):
        # A signal that interrupts a word to the writer's thread can leave it asleep until it next looks up by itself, and the
        # end of the training waits for it: two minutes by its default, in which the whole process looked hung.
        loggers.append(TensorBoardLogger(folder, name="lightning_logs", default_hp_metric=False, flush_secs=FLUSH))
    if wandb.enable:
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # else its own errors go to its makers, also offline
        loggers.append(
            WandbLogger(
                save_dir=folder,
                offline=not os.environ.get("WANDB_API_KEY"),
                project=wandb.project,
                entity=wandb.entity or None,
                group=wandb.group or None,
                name=wandb.name,
                id=wandb.run_id or None,
                tags=list(wandb.tags),
                reinit="finish_previous" if wandb.reinit else "return_previous",
                sync_tensorboard=wandb.sync_tensorboard,
                save_code=wandb.save_code,
            )
        )
    return loggers


def finish_wandb() -> None:
    """Close the run of Weights & Biases, if there is one; left open, it would print when the process ends."""
    wandb: Any = sys.modules.get("wandb")
    if wandb is not None and wandb.run is not None:
        wandb.finish()


@contextmanager
def shared(history: History, processes: int, control: Control | None) -> Iterator[tuple[History, Control | None]]:
    """A history that the training processes can write to, and a control that they can ask; a manager connects several."""
    if processes < 2:
        yield history, control
        return
    with multiprocessing.Manager() as manager, relayed(control, manager) if control else nullcontext() as steer:
        yield History(history.past, manager.list(history.rows), manager.list(history.checkpoints), history.last), steer


@contextmanager
def interruptible() -> Iterator[None]:
    """Let Ctrl-C end in KeyboardInterrupt: Lightning turns it into SystemExit(1) and leaves SIGINT ignored."""
    in_main_thread = threading.current_thread() is threading.main_thread()
    before: Any = signal.getsignal(signal.SIGINT)
    try:
        yield
    except SystemExit as error:
        if isinstance(error.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from None
        raise
    finally:
        if in_main_thread:
            signal.signal(signal.SIGINT, before)
