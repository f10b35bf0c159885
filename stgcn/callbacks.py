"""What happens beside the training: status lines, metrics.csv, scalars for loggers, checkpoint files. No loss, no gradient.

The state at the end of the last whole epoch is held in memory: whatever interrupts an epoch, that state is what is saved.
"""

from __future__ import annotations

import csv
import io
import logging
import os
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Checkpoint
from pytorch_lightning.plugins.io import TorchCheckpointIO

from stgcn import config, crypto
from stgcn.files import write_bytes, write_text
from stgcn.module import PoseClassifier
from stgcn.progress import Progress
from stgcn.status import StatusLog

log = logging.getLogger("stgcn")

COLUMNS = ("epoch", "step", "train_loss", "train_acc", "val_loss", "val_acc", "lr", "seconds")
LATEST = "pc_model_latest.pth"
HELD = "<held in memory>"
# What TensorBoard and Weights & Biases are told: the usual names, those of metrics.csv, and TAO's for the same curves.
SCALARS = {
    **{name: name for name in ("train_loss", "train_acc", "val_loss", "val_acc", "lr", "epoch")},
    "train_loss_epoch": "train_loss",
    "train_acc_1": "train_acc",
    "val_acc@1": "val_acc",
}


@dataclass
class History:
    """What a training has done: one row of COLUMNS per epoch, and the checkpoints it wrote that still exist.

    ``past`` are the rows of the training that this one resumes. ``last``: the model is what the last epoch leaves, not the
    epoch with the lowest val_loss.
    """

    past: Any = field(default_factory=list)
    rows: Any = field(default_factory=list)
    checkpoints: Any = field(default_factory=list)
    last: bool = False

    def best(self) -> dict[str, Any] | None:
        """The row of the epoch that is the model: the one with the lowest val_loss, or the last."""
        return self.rows[-1] if self.last and self.rows else _lowest(self.rows)

    def listed(self) -> list[dict[str, Any]]:
        """The checkpoints in the order they were written, the one that is the model flagged as the best."""
        best = self.checkpoints[-1] if self.last and self.checkpoints else _lowest(self.checkpoints)
        return [{**c, "best": best is not None and c["path"] == best["path"]} for c in self.checkpoints]


def _lowest(items: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    validated = [item for item in items if item["val_loss"] is not None]
    return min(validated, key=lambda item: item["val_loss"]) if validated else None


def file_name(epoch: int, step: int) -> str:
    """Name of a checkpoint: epoch counted from 0, and the optimiser steps taken."""
    return f"model_epoch_{epoch:03d}_step_{step:05d}.pth"


class HoldingIO(TorchCheckpointIO):
    """Keeps what is saved to ``HELD`` as the bytes of a file, for ``Checkpoints`` to write.

    With a ``key`` every file is encrypted, also one that Lightning saves by itself; both kinds are read.
    """

    def __init__(self, key: str | None = None) -> None:
        self.held, self.key = b"", key

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Keep ``checkpoint``, or write it where ``path`` is a file's."""
        buffer = io.BytesIO()
        torch.save(checkpoint, buffer)
        if path == HELD:
            self.held = buffer.getvalue()
        else:
            write_bytes(path, self._as_file(buffer.getvalue()))

    def load_checkpoint(self, path: Any, map_location: Any = "cpu", weights_only: bool | None = True) -> dict[str, Any]:
        """Read a checkpoint, decrypted where it is encrypted."""
        source = io.BytesIO(crypto.unseal(path, self.key)) if crypto.is_sealed(path) else path
        content: dict[str, Any] = torch.load(source, map_location=map_location, weights_only=True)
        return content

    def write(self, path: str) -> Path:
        """Write what is held."""
        return write_bytes(path, self._as_file(self.held))

    def _as_file(self, content: bytes) -> bytes:
        return crypto.seal(content, self.key) if self.key else content


class Recorder(Checkpoint):
    """Writes status lines, metrics.csv, the scalars of the loggers, and a line per epoch for people."""

    def __init__(self, folder: Path, status: StatusLog, history: History, num_epochs: int) -> None:
        self.folder, self.status, self.history, self.num_epochs = folder, status, history, num_epochs
        self.epoch_began = 0.0
        self.told = Progress("", self._tell)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Say that the loop starts."""
        if trainer.is_global_zero:
            self.status.write("STARTED", "Starting Training Loop.")

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Note the time, and have the last epoch validated whatever the interval."""
        self.epoch_began = time.perf_counter()
        self.told = Progress(f"epoch {trainer.current_epoch + 1}/{self.num_epochs}", self._tell)
        if trainer.current_epoch == self.num_epochs - 1:
            trainer.check_val_every_n_epoch = 1

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Give the loggers the loss of the step; tell how far a long epoch is."""
        if trainer.is_global_zero:
            self.told(batch_idx + 1, int(trainer.num_training_batches))
        for logger in trainer.loggers:
            logger.log_metrics({"train_loss_step": float(outputs["shown"])}, step=trainer.global_step)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Record the epoch; the module has its metrics ready."""
        assert isinstance(pl_module, PoseClassifier)
        if not trainer.is_global_zero:
            return
        seconds = time.perf_counter() - self.epoch_began
        found = {**pl_module.fresh, "epoch": trainer.current_epoch, "step": trainer.global_step, "seconds": seconds}
        row = {name: found.get(name) for name in COLUMNS}
        self.history.rows.append(row)
        self._write_csv()
        self._write_status(row, int(trainer.num_training_batches))
        for logger in trainer.loggers:
            scalars = {name: float(found[ours]) for name, ours in SCALARS.items() if ours in found}
            logger.log_metrics(scalars, step=trainer.global_step)
        log.info(self._line(row))

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Say that the loop is complete."""
        if trainer.is_global_zero:
            self.status.write("RUNNING", "Training loop complete.")

    def _tell(self, words: str) -> None:
        self.status.write("RUNNING", words)

    def _write_csv(self) -> None:
        text = io.StringIO()
        writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows([*self.history.past, *self.history.rows])
        write_text(self.folder / "metrics.csv", text.getvalue())

    def _write_status(self, row: dict[str, Any], batches: int) -> None:
        where = {"epoch": row["epoch"], "step": row["step"], "max_epoch": self.num_epochs - 1}
        if row["val_loss"] is not None:
            self.status.write(
                "RUNNING", "Eval metrics generated.", kpi={k: row[k] for k in ("val_loss", "val_acc")}, epoch=row["epoch"]
            )
        self.status.write(
            "RUNNING",
            "Training loop in progress",
            **where,
            max_step=row["step"] + (self.num_epochs - 1 - row["epoch"]) * batches,
            time_per_epoch=row["seconds"],
            time_per_step=row["seconds"] / batches,
            eta=(self.num_epochs - 1 - row["epoch"]) * row["seconds"],
        )
        self.status.write(
            "RUNNING", "Train metrics generated.", kpi={k: row[k] for k in ("train_loss", "train_acc")}, epoch=row["epoch"]
        )

    def _line(self, row: dict[str, Any]) -> str:
        parts = [f"{k} {row[k]:.4f}" for k in ("train_loss", "train_acc", "val_loss", "val_acc") if row[k] is not None]
        return f"epoch {row['epoch'] + 1}/{self.num_epochs}: {', '.join(parts)}, lr {row['lr']:.3g}, {row['seconds']:.1f} s"


class EarlyStopping(Checkpoint):
    """Ends the training after so many validations without a lower val_loss; a resumed one counts those before, too."""

    def __init__(self, patience: int, status: StatusLog, history: History) -> None:
        self.patience, self.status, self.history = patience, status, history

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Ask for the end, in all processes, when the epoch that ends was validated and is one too many."""
        rows = [*self.history.past, *self.history.rows] if trainer.is_global_zero else []
        waited, best = waiting(rows)
        stop = waited >= self.patience and rows[-1]["val_loss"] is not None
        if stop and best:
            self.status.write(
                "RUNNING",
                f"Early stopping in epoch {rows[-1]['epoch']}: {waited} validations without a lower val_loss than "
                f"{best['val_loss']:.4g} in epoch {best['epoch']}",
            )
        trainer.should_stop = trainer.should_stop or trainer.strategy.reduce_boolean_decision(stop, all=False)


def waiting(rows: Sequence[dict[str, Any]]) -> tuple[int, dict[str, Any] | None]:
    """How many validations there were after the one with the lowest val_loss, and the row of that one."""
    validated = [row for row in rows if row["val_loss"] is not None]
    best = _lowest(validated)
    return (len(validated) - 1 - validated.index(best) if best else 0), best


class Checkpoints(Checkpoint):
    """Writes checkpoints by interval, after the last epoch and, unless the last is wanted, at the lowest val_loss yet.

    With ``every`` also after each other epoch; such a one goes when the next is there.
    """

    def __init__(self, folder: Path, settings: config.Train, held: HoldingIO, history: History, *, every: bool = False) -> None:
        self.folder, self.settings, self.io, self.history, self.every = folder, settings, held, history, every
        self.entry: dict[str, Any] = {}  # of the held state: path, epoch, step, val_loss, val_acc
        self.only_best: set[str] = set()  # paths that no interval asked for
        self.passing: dict[str, Any] | None = None  # of the state that was written because of ``every`` alone

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Hold the state before the first epoch."""
        self._hold(trainer, pl_module, epoch=max(trainer.current_epoch - 1, 0), completed=trainer.current_epoch)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Write a checkpoint within an epoch when the interval counts steps; a resume from it repeats that epoch."""
        within = batch_idx + 1 < trainer.num_training_batches
        if within and self.settings.checkpoint_interval_unit == "step" and self._due(trainer):
            self._hold(trainer, pl_module, epoch=trainer.current_epoch, completed=trainer.current_epoch)
            self._write(trainer)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Hold the state of the epoch that ends, and write it when it is due, the last, or the best."""
        assert isinstance(pl_module, PoseClassifier)
        epoch = trainer.current_epoch
        self._hold(trainer, pl_module, epoch=epoch, completed=epoch + 1, **pl_module.fresh)
        due = self._due(trainer) or epoch == self.settings.num_epochs - 1 or trainer.should_stop
        best = _lowest(self.history.checkpoints)
        improved = not self.history.last and _lowest([*([best] if best else []), self.entry]) == self.entry
        before, self.passing = self.passing, None
        if due or improved or self.every:
            self._write(trainer)
        if improved and not due:
            self.only_best.add(self.entry["path"])
        elif self.every and not due:
            self.passing = self.entry
        if before:
            self._drop(before, trainer)
        if improved and best and best["path"] in self.only_best:
            self._drop(best, trainer)

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Leave a checkpoint to resume from, whatever ended the training."""
        if self.entry and trainer.is_global_zero:
            if self.entry not in self.history.checkpoints:
                self._write(trainer)
            log.warning("interrupted; what was trained so far: %s", self.entry["path"])

    def _drop(self, entry: dict[str, Any], trainer: pl.Trainer) -> None:
        if trainer.is_global_zero:
            self.history.checkpoints.remove(entry)
            Path(entry["path"]).unlink(missing_ok=True)

    def _due(self, trainer: pl.Trainer) -> bool:
        by_epoch = self.settings.checkpoint_interval_unit == "epoch"
        count = trainer.current_epoch + 1 if by_epoch else trainer.global_step
        return count % self.settings.checkpoint_interval == 0

    def _hold(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *, epoch: int, completed: int, **metrics: Any) -> None:
        assert isinstance(pl_module, PoseClassifier)
        pl_module.description |= {
            "epoch": epoch,
            "step": trainer.global_step,
            "epochs_completed": completed,
            "metrics": metrics,
            "history": [*self.history.past, *self.history.rows],
        }
        trainer.save_checkpoint(HELD, weights_only=False)
        self.entry = {
            "path": str(self.folder / file_name(epoch, trainer.global_step)),
            "epoch": epoch,
            "step": trainer.global_step,
            "val_loss": metrics.get("val_loss"),
            "val_acc": metrics.get("val_acc"),
            **({"streams": metrics["streams"]} if "streams" in metrics else {}),
        }

    def _write(self, trainer: pl.Trainer) -> None:
        if not trainer.is_global_zero:
            return
        path = self.io.write(self.entry["path"])
        link = path.with_name(f".{LATEST}.{secrets.token_hex(4)}")
        os.symlink(path.name, link)
        os.replace(link, path.with_name(LATEST))
        self.history.checkpoints.append(self.entry)
