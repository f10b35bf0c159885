"""The training of a network as a LightningModule: loss, metrics, optimiser, averaging, exact resume. No files, no argv."""

from __future__ import annotations

import math
from typing import Any, Protocol

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from stgcn import calibration, config, fast, fast_training, side_by_side
from stgcn.averaging import Average
from stgcn.description import KEY
from stgcn.errors import TrainerError
from stgcn.fusion import Fused, choose_weights
from stgcn.mixing import Mixed, mix, mixes
from stgcn.optim import BY_STEP, build_optimizer, build_scheduler, without_decay_of_norms

Batch = tuple[Tensor, Tensor]  # sequences (n, C, T, V, M) and class ids (n,)

NETWORK = "model."  # before the names of the network's tensors in a checkpoint
RAW = "raw_state_dict"  # in a checkpoint: the weights that the optimiser steps, where state_dict is their average
FITTED = ("temperature", "unknown_threshold")  # what a validation adds to the description
MIX = 2  # the stream of random numbers that mixes batches; ``stgcn.data`` has 0 and 1


class Tuning(Protocol):
    """How a network learns that starts from pretrained weights; see ``stgcn.finetune``."""

    def groups(self, network: nn.Module, optim: config.Optim) -> list[dict[str, Any]]:
        """Parameter groups of the optimiser."""

    def before_epoch(self, network: nn.Module, epoch: int) -> None:
        """Say what learns in an epoch, counted from 0; called when it starts."""


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
        model: maps (n, C, T, V, M) to logits (n, classes); a ``Fused`` one is trained stream by stream.
        settings: of the training.
        seed: of dropout and mixing, set from (seed, epoch) at the start of every epoch so that a resume is exact; None
            leaves it alone.
        description: what a checkpoint says about itself; added to every one that is saved.
        first_epoch: where a resumed training goes on, counted from 0.
        augmentation: of which mixup and cutmix are done here.
        class_weights: what a sequence of each class counts in the loss, (classes,); None: all count 1.
        tuning: how what a pretrained model brought is treated; None where none did.
    """

    weights: Tensor | None

    def __init__(
        self,
        model: nn.Module,
        settings: config.Train,
        *,
        seed: int | None,
        description: dict[str, Any],
        first_epoch: int = 0,
        augmentation: config.Augmentation | None = None,
        class_weights: np.ndarray | None = None,
        tuning: Tuning | None = None,
    ) -> None:
        super().__init__()
        self.model = model
        self.settings = settings
        self.seed = seed
        self.description = description
        self.first_epoch = first_epoch
        self.mixing = augmentation if augmentation and mixes(augmentation) else None
        self.register_buffer("weights", None if class_weights is None else torch.from_numpy(class_weights), persistent=False)
        self.tuning = tuning
        self.average = Average(model, settings.ema_decay) if settings.ema_decay > 0 else None
        self.tally = Tally()
        self.sources: list[torch.Generator] = []  # of random numbers within the network of each stream, in this epoch
        self.validated: list[Batch] = []  # scores (S, n, classes) and class ids of the batches validated so far
        self.evaluated = [model]  # the network as it is validated; within a list, it is no part of the state dict
        self.fresh: dict[str, Any] = {}  # the metrics of the epoch that has just ended, and no older ones

    def training_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        """Loss of a batch: ``loss``, the sum over the streams, to descend by, and their mean, ``shown``.

        Raises:
            TrainerError: it is not finite.
        """
        mixed = self._mixed(*batch, batch_idx)
        networks = list(self.model.networks.values()) if isinstance(self.model, Fused) else [self.model]
        forward = fast_training.logits if self.settings.arrangement == "fast" else nn.Module.__call__

        def of(network: nn.Module) -> tuple[Tensor, Tensor]:
            logits: Tensor = forward(network, mixed.sequences).float()
            return logits, self._loss(logits, mixed)

        if len(networks) > 1 and mixed.sequences.device.type == "cpu":
            scores, losses = side_by_side.losses(networks, self.sources, of)
        else:
            scores, losses = map(torch.stack, zip(*map(of, networks), strict=True))
        loss = losses.sum()
        shown = loss.detach() / len(scores)
        self._require_finite("loss", shown.item())
        labels = torch.where(mixed.share >= 0.5, mixed.labels, mixed.others) if self.mixing else mixed.labels
        self.tally.add(shown, self._fused(scores.detach()), labels)
        return {"loss": loss, "shown": shown}

    def _mixed(self, sequences: Tensor, labels: Tensor, step: int) -> Mixed:
        """The batch of a ``step``, mixed where the settings ask for it."""
        if self.mixing is None:
            return Mixed(sequences, labels, labels, torch.ones(()))
        seed = None if self.seed is None else [self.seed, MIX, self.current_epoch, step, self.global_rank]
        return mix(sequences, labels, self.mixing, np.random.default_rng(seed))

    def _fused(self, scores: Tensor) -> Tensor:
        """Logits (n, classes) of the whole network from the scores (S, n, classes) of its streams."""
        return self.model.fuse(scores) if isinstance(self.model, Fused) else scores[0]

    def _loss(self, logits: Tensor, batch: Mixed) -> Tensor:
        """Mean loss of logits (n, classes)."""
        smoothing = self.settings.label_smoothing
        if self.mixing is None and self.weights is None:
            return functional.cross_entropy(logits, batch.labels, label_smoothing=smoothing)

        def losses(labels: Tensor) -> Tensor:
            found = functional.cross_entropy(logits, labels, label_smoothing=smoothing, reduction="none")
            return found if self.weights is None else self.weights[labels] * found

        if self.mixing is None:
            return losses(batch.labels).mean()
        return (batch.share * losses(batch.labels) + (1 - batch.share) * losses(batch.others)).mean()

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Keep the scores of a batch of validation sequences."""
        sequences, labels = batch
        with torch.autocast(sequences.device.type, enabled=False):  # as it will be evaluated
            model = self.evaluated[0]
            scores = model.scores(sequences) if isinstance(model, Fused) else model(sequences).unsqueeze(0)
            self.validated.append((scores, labels))

    def on_train_start(self) -> None:
        """Bring what lies beside the network to its device, and OneCycle to the start of its epoch."""
        if self.average:
            self.average.to_network()
        schedule = self.lr_schedulers()
        if self.settings.optim.lr_scheduler == BY_STEP and self.global_step:
            assert isinstance(schedule, LRScheduler)
            schedule.last_epoch = self.first_epoch * self._steps() - 1
            schedule.step()  # a checkpoint from within an epoch is further

    def on_train_epoch_start(self) -> None:
        """Forget what the last epoch found, and reseed."""
        if self.tuning:
            self.tuning.before_epoch(self.model, self.current_epoch)
        self.fresh = {"lr": max(group["lr"] for group in self.trainer.optimizers[0].param_groups)}
        for name in FITTED:
            self.description.pop(name, None)
        if self.seed is not None:
            torch.manual_seed(epoch_seed(self.seed, self.current_epoch, self.global_rank))
        streams = len(self.model.networks) if isinstance(self.model, Fused) else 0
        self.sources = [torch.Generator().manual_seed(seed) for seed in torch.randint(2**62, (streams,)).tolist()]

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        """Step the optimiser, and take the weights into the average."""
        super().optimizer_step(*args, **kwargs)
        if self.average:
            self.average.update(self.global_step)

    def on_validation_epoch_start(self) -> None:
        """Validate the average where there is one, by the fast road where there is one."""
        self.validated = []
        if self.average:
            self.average.swap()
        self.evaluated = [fast.arranged(self.model)]

    def on_validation_epoch_end(self) -> None:
        """Choose the weights of the streams, note val_loss and val_acc, calibrate.

        Raises:
            TrainerError: val_loss is not finite.
        """
        if self.average:
            self.average.swap()
        self.evaluated = [self.model]
        scores = torch.cat([found for found, _ in self.validated], dim=1).double()
        labels = torch.cat([labels for _, labels in self.validated])
        self.validated = []
        if isinstance(self.model, Fused):
            self._weigh(self.model, scores, labels)
        logits = self._fused(scores)
        self.fresh["val_loss"], self.fresh["val_acc"] = self._measured(logits, labels)
        self._require_finite("val_loss", self.fresh["val_loss"])
        if self.settings.calibrate:
            self._calibrate(logits.cpu().numpy(), labels.cpu().numpy())

    def _weigh(self, model: Fused, scores: Tensor, labels: Tensor) -> None:
        """Choose the weights of the streams by their scores (S, n, classes), and note how each does."""
        chosen = self.trainer.strategy.broadcast(choose_weights(scores.cpu().numpy(), labels.cpu().numpy()))
        for fusion in [model.fusion, *([self.average.state["fusion"]] if self.average else [])]:
            fusion.copy_(torch.from_numpy(chosen))
        self.fresh["streams"] = {}
        for stream, weight, logits in zip(model.streams, chosen.tolist(), scores, strict=True):
            loss, accuracy = self._measured(logits, labels)
            self.fresh["streams"][stream] = {"val_loss": loss, "val_acc": accuracy, "weight": weight}

    def _measured(self, logits: Tensor, labels: Tensor) -> tuple[float, float]:
        """Mean loss and accuracy of logits (n, classes), the same in all processes."""
        found = torch.stack([functional.cross_entropy(logits, labels), (logits.argmax(dim=1) == labels).double().mean()])
        mean = self.trainer.strategy.reduce(found, reduce_op="mean")
        assert isinstance(mean, Tensor)
        loss, accuracy = mean.tolist()
        return loss, accuracy

    def _calibrate(self, logits: np.ndarray, labels: np.ndarray) -> None:
        """Fit what makes probabilities of logits (n, classes) worth their name, for the checkpoints of this epoch."""
        temperature = calibration.fit_temperature(logits, labels)
        probs = calibration.softmax(logits, temperature)
        self.description["temperature"] = float(temperature)
        self.description["unknown_threshold"] = float(calibration.unknown_threshold(probs, labels))

    def on_train_epoch_end(self) -> None:
        """Note train_loss and train_acc, and step AutoReduce if what it watches was measured in this epoch."""
        self.fresh["train_loss"], self.fresh["train_acc"] = self.tally.means(self)
        scheduler = self.lr_schedulers()
        if isinstance(scheduler, ReduceLROnPlateau) and self.settings.optim.lr_monitor in self.fresh:
            scheduler.step(self.fresh[self.settings.optim.lr_monitor])

    def _require_finite(self, name: str, value: float) -> None:
        if not math.isfinite(value):
            raise TrainerError(
                f"the training diverged: {name} is {value} in epoch {self.current_epoch}, step {self.global_step}; try a "
                f"smaller train.optim.lr (it is {self.settings.optim.lr:g}), train.grad_clip (such as 1.0), or smaller "
                "coordinates"
            )

    def configure_optimizers(self) -> Any:
        """Optimiser and schedule, by epoch or by step, as the spec names them."""
        optim = self.settings.optim
        groups = self.tuning.groups(self.model, optim) if self.tuning else [{"params": list(self.model.parameters())}]
        groups = groups if optim.decay_norms else without_decay_of_norms(groups)
        optimizer = build_optimizer(groups, optim, on_gpu=self.device.type == "cuda")
        by_step = optim.lr_scheduler == BY_STEP
        scheduler = build_scheduler(optimizer, optim, self.settings.num_epochs, self._steps() if by_step else 1)
        # AutoReduce is stepped in on_train_epoch_end: Lightning would do it after the checkpoint is written
        plan = {"scheduler": scheduler, "interval": "step" if by_step else "epoch", "reduce_on_plateau": False}
        return {"optimizer": optimizer, "lr_scheduler": plan}

    def _steps(self) -> int:
        """Of the optimiser, in an epoch."""
        return int(self.trainer.estimated_stepping_batches) // self.settings.num_epochs

    def lr_scheduler_step(self, scheduler: Any, metric: Any) -> None:
        """Step all schedules but AutoReduce, as Lightning asks at the end of an epoch or a step."""
        if not isinstance(scheduler, ReduceLROnPlateau):
            scheduler.step()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Let the checkpoint describe itself; where weights are averaged, ``state_dict`` is the average."""
        checkpoint[KEY] = dict(self.description)
        if self.average:
            checkpoint[RAW] = checkpoint["state_dict"]
            checkpoint["state_dict"] = {NETWORK + name: value for name, value in self.average.state.items()}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Go on after the last whole epoch of ``checkpoint``, whoever wrote it.

        The loops' own state is left out: it would repeat the hooks of an epoch that has ended, or start within one.
        """
        if self.average:
            self.average.load({name.removeprefix(NETWORK): value for name, value in checkpoint["state_dict"].items()})
            checkpoint["state_dict"] = checkpoint.pop(RAW)
        checkpoint.pop("loops", None)
        loop = self.trainer.fit_loop
        for counter in (loop.epoch_progress.total, loop.epoch_progress.current):
            counter.load_state_dict(dict.fromkeys(("ready", "started", "processed", "completed"), self.first_epoch))
        steps = loop.epoch_loop.automatic_optimization.optim_progress.optimizer.step.total
        steps.load_state_dict(dict.fromkeys(("ready", "completed"), checkpoint["global_step"]))


def epoch_seed(seed: int, epoch: int, rank: int) -> int:
    """Seed of what is drawn within an epoch."""
    return int(np.random.SeedSequence([seed, epoch, rank]).generate_state(1)[0])
