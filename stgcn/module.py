"""The training of an ST-GCN as a LightningModule: loss, metrics, optimiser, schedule, exact resume. No files, no argv."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, MultiStepLR, ReduceLROnPlateau

from stgcn import config
from stgcn.description import KEY
from stgcn.errors import TrainerError

Batch = tuple[Tensor, Tensor]  # sequences (n, C, T, V, M) and class ids (n,)


class Tally:
    """Sums of loss and hits over the sequences of an epoch; over all processes when they are read."""

    def __init__(self) -> None:
        self.sums: Tensor | None = None

    def add(self, loss: Tensor, logits: Tensor, labels: Tensor) -> None:
        """Count a batch of n sequences with mean loss ``loss`` and logits (n, classes)."""
        hits = (logits.argmax(dim=1) == labels).sum()
        batch = torch.stack([loss.detach().double() * len(labels), hits.double(), torch.tensor(len(labels)).to(hits).double()])
        self.sums = batch if self.sums is None else self.sums + batch

    def means(self, module: pl.LightningModule) -> tuple[float, float]:
        """Mean loss and accuracy (0 to 1) since the start, which starts anew."""
        assert self.sums is not None
        total = module.trainer.strategy.reduce(self.sums, reduce_op="sum")
        assert isinstance(total, Tensor)
        loss, hits, count = total.tolist()
        self.sums = None
        return loss / count, hits / count


class PoseClassifier(pl.LightningModule):
    """Trains ``model`` by cross-entropy.

    Args:
        model: maps (n, C, T, V, M) to logits (n, classes).
        optim: optimiser and schedule.
        num_epochs: epochs of the whole training, for the schedules that end with it.
        seed: of dropout, set from (seed, epoch) at the start of every epoch so that a resume is exact; None leaves it alone.
        description: what a checkpoint says about itself; added to every one that is saved.
        first_epoch: where a resumed training goes on, counted from 0.
    """

    def __init__(
        self,
        model: nn.Module,
        optim: config.Optim,
        *,
        num_epochs: int,
        seed: int | None,
        description: dict[str, Any],
        first_epoch: int = 0,
    ) -> None:
        super().__init__()
        self.model = model
        self.optim = optim
        self.num_epochs = num_epochs
        self.seed = seed
        self.description = description
        self.first_epoch = first_epoch
        self.tallies = {"train": Tally(), "val": Tally()}
        self.fresh: dict[str, float] = {}  # the metrics of the epoch that has just ended, and no older ones

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Loss of a batch.

        Raises:
            TrainerError: it is not finite.
        """
        sequences, labels = batch
        logits = self.model(sequences)
        loss = functional.cross_entropy(logits, labels)
        self._require_finite("loss", loss.item())
        self.tallies["train"].add(loss, logits, labels)
        if self.trainer.progress_bar_callback is not None:
            self.log("loss", loss, prog_bar=True, logger=False, batch_size=len(labels))
        return loss

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Count a batch of validation sequences."""
        sequences, labels = batch
        logits = self.model(sequences)
        self.tallies["val"].add(functional.cross_entropy(logits, labels), logits, labels)

    def on_train_epoch_start(self) -> None:
        """Forget the last epoch's metrics, and reseed."""
        self.fresh = {"lr": self.trainer.optimizers[0].param_groups[0]["lr"]}
        if self.seed is not None:
            torch.manual_seed(epoch_seed(self.seed, self.current_epoch, self.global_rank))

    def on_validation_epoch_end(self) -> None:
        """Note val_loss and val_acc.

        Raises:
            TrainerError: val_loss is not finite.
        """
        self.fresh["val_loss"], self.fresh["val_acc"] = self.tallies["val"].means(self)
        self._require_finite("val_loss", self.fresh["val_loss"])

    def on_train_epoch_end(self) -> None:
        """Note train_loss and train_acc, and step AutoReduce if what it watches was measured in this epoch."""
        self.fresh["train_loss"], self.fresh["train_acc"] = self.tallies["train"].means(self)
        scheduler = self.lr_schedulers()
        if isinstance(scheduler, ReduceLROnPlateau) and self.optim.lr_monitor in self.fresh:
            scheduler.step(self.fresh[self.optim.lr_monitor])

    def _require_finite(self, name: str, value: float) -> None:
        if not math.isfinite(value):
            raise TrainerError(
                f"the training diverged: {name} is {value} in epoch {self.current_epoch}, step {self.global_step}; try a "
                f"smaller train.optim.lr (it is {self.optim.lr:g}), train.grad_clip (such as 1.0), or smaller coordinates"
            )

    def configure_optimizers(self) -> Any:
        """Optimiser and schedule by epoch, as the spec names them."""
        optimizer = build_optimizer(self.parameters(), self.optim)
        scheduler = build_scheduler(optimizer, self.optim, self.num_epochs)
        # AutoReduce is stepped in on_train_epoch_end: Lightning would do it after the checkpoint is written
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "reduce_on_plateau": False}}

    def lr_scheduler_step(self, scheduler: Any, metric: Any) -> None:
        """Step MultiStep and Cosine, as Lightning asks at the end of an epoch."""
        if not isinstance(scheduler, ReduceLROnPlateau):
            scheduler.step()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Let the checkpoint describe itself."""
        checkpoint[KEY] = dict(self.description)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Go on after the last whole epoch of ``checkpoint``, whoever wrote it.

        The loops' own state is left out: it would repeat the hooks of an epoch that has ended, or start within one.
        """
        checkpoint.pop("loops", None)
        loop = self.trainer.fit_loop
        for counter in (loop.epoch_progress.total, loop.epoch_progress.current):
            counter.load_state_dict(dict.fromkeys(("ready", "started", "processed", "completed"), self.first_epoch))
        steps = loop.epoch_loop.automatic_optimization.optim_progress.optimizer.step.total
        steps.load_state_dict(dict.fromkeys(("ready", "completed"), checkpoint["global_step"]))


def epoch_seed(seed: int, epoch: int, rank: int) -> int:
    """Seed of what is drawn within an epoch."""
    return int(np.random.SeedSequence([seed, epoch, rank]).generate_state(1)[0])


def build_optimizer(parameters: Any, optim: config.Optim) -> Optimizer:
    """Optimiser that ``optimizer_type`` names; Nesterov needs momentum and is left out without."""
    if optim.optimizer_type == "torch.optim.SGD":
        nesterov = optim.nesterov and optim.momentum > 0
        return torch.optim.SGD(
            parameters, lr=optim.lr, momentum=optim.momentum, nesterov=nesterov, weight_decay=optim.weight_decay
        )
    kinds: dict[str, Callable[..., Optimizer]] = {
        "torch.optim.Adam": torch.optim.Adam,
        "torch.optim.Adamax": torch.optim.Adamax,
        "torch.optim.AdamW": torch.optim.AdamW,
    }
    return kinds[optim.optimizer_type](parameters, lr=optim.lr, weight_decay=optim.weight_decay)


def build_scheduler(optimizer: Optimizer, optim: config.Optim, num_epochs: int) -> LRScheduler:
    """Schedule that ``lr_scheduler`` names, stepped once an epoch."""
    if optim.lr_scheduler == "AutoReduce":
        return ReduceLROnPlateau(optimizer, "min", factor=optim.lr_decay, patience=optim.patience, min_lr=optim.min_lr)
    if optim.lr_scheduler == "MultiStep":
        return MultiStepLR(optimizer, milestones=list(optim.lr_steps), gamma=optim.lr_decay)
    return LambdaLR(optimizer, lambda epoch: cosine_factor(epoch, optim, num_epochs))


def cosine_factor(epoch: int, optim: config.Optim, num_epochs: int) -> float:
    """Share of ``lr`` in an epoch: rising over ``warmup_epochs``, then a half cosine that ends at ``min_lr`` in the last."""
    if epoch < optim.warmup_epochs:
        return (epoch + 1) / (optim.warmup_epochs + 1)
    lowest = min(optim.min_lr / optim.lr, 1.0) if optim.lr else 0.0
    progress = (epoch - optim.warmup_epochs) / max(1, num_epochs - 1 - optim.warmup_epochs)
    return lowest + (1 - lowest) * (1 + math.cos(math.pi * min(progress, 1.0))) / 2
