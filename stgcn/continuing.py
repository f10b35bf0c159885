"""A training that does not begin with fresh weights: it goes on from a checkpoint of its own, or starts from a pretrained one.

Knows checkpoints and networks; no data, no trainer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from stgcn import config, finetune, folds
from stgcn.checkpoint import Checkpoint, misfits, read
from stgcn.config import is_set
from stgcn.description import differences
from stgcn.errors import CheckpointError, SpecError
from stgcn.module import RAW
from stgcn.network import for_streams, kind_of, sizes

NAMED = 12  # tensors named in a message
# The key by which the saved state of a schedule is known.
SCHEDULE_KEYS = {"MultiStep": "milestones", "AutoReduce": "num_bad_epochs", "Cosine": "lr_lambdas", "OneCycle": "lr_lambdas"}


def read_resumed(settings: config.TrainSpec) -> Checkpoint | None:
    """Read the checkpoint to go on from, and make sure that it continues this very training.

    Raises:
        CheckpointError: it is broken, of another network, or holds no state to go on from.
        SpecError: nothing is left to train.
    """
    path = settings.train.resume_training_checkpoint_path
    if not is_set(path):
        return None
    checkpoint = read(str(path), settings.encryption_key)
    if checkpoint.description:
        problems = differences(checkpoint.description, settings.model, settings.dataset, ignore_defaults=False)
    else:
        problems = misfits(checkpoint.weights, settings.model, settings.dataset)
    then = (checkpoint.description or {}).get("spec", {})
    problems += folds.contradictions(then, settings.dataset, settings.train.seed)
    problems += finetune.cannot_resume(checkpoint.description or {}, settings.train)
    problems += _missing_state(checkpoint, settings.train)
    if problems:
        raise CheckpointError([f"{checkpoint.path} cannot be resumed: {problem}" for problem in problems])
    if checkpoint.epochs_completed >= settings.train.num_epochs:
        raise SpecError(
            f"train.num_epochs is {settings.train.num_epochs}, and {checkpoint.path} has {checkpoint.epochs_completed} epochs "
            f"behind it: num_epochs counts from the first start, so set it higher than {checkpoint.epochs_completed}"
        )
    return checkpoint


def _missing_state(checkpoint: Checkpoint, train: config.Train) -> list[str]:
    """Say why optimiser, schedule and average of a checkpoint cannot be taken up."""
    optim = train.optim
    optimizers, schedules = (checkpoint.content.get(key) for key in ("optimizer_states", "lr_schedulers"))
    if not optimizers or not schedules:
        return ["it holds weights only, no optimiser and schedule; start from it with model.pretrained_model_path"]
    problems = []
    spec = (checkpoint.description or {}).get("spec", {}).get("train", {}).get("optim", {})
    is_sgd = "nesterov" in optimizers[0]["param_groups"][0]
    if is_sgd != (optim.optimizer_type == "torch.optim.SGD") or spec.get("optimizer_type", "") not in (
        "",
        optim.optimizer_type,
    ):
        theirs = spec.get("optimizer_type") or ("torch.optim.SGD" if is_sgd else "one of the Adam family")
        problems.append(f"its optimiser is {theirs}, train.optim.optimizer_type is {optim.optimizer_type}")
    theirs = spec.get("lr_scheduler") or next((name for name, key in SCHEDULE_KEYS.items() if key in schedules[0]), "another")
    if theirs != optim.lr_scheduler:
        problems.append(f"its schedule is {theirs}, train.optim.lr_scheduler is {optim.lr_scheduler}")
    if (RAW in checkpoint.content) != (train.ema_decay > 0):
        has = "holds averaged weights" if RAW in checkpoint.content else "holds no averaged weights"
        problems.append(f"it {has}, train.ema_decay is {train.ema_decay:g}")
    if bool(spec) and spec.get("decay_norms", True) != optim.decay_norms:
        problems.append(f"its train.optim.decay_norms was {spec.get('decay_norms', True)} and is {optim.decay_norms}")
    return problems


def read_pretrained(settings: config.TrainSpec) -> Checkpoint | None:
    """Read the checkpoint whose weights start the training, if one is named."""
    path = settings.model.pretrained_model_path
    return read(str(path), settings.encryption_key) if is_set(path) else None


def start_from(
    network: nn.Module, pretrained: Checkpoint, description: dict[str, Any], settings: config.Train
) -> tuple[dict[str, Any], str]:
    """Load what fits, note in ``description`` what came whole, and tell what does not fit, as metrics and in a line.

    Raises:
        CheckpointError: nothing fits, or it is another kind of network.
        SpecError: everything fits, so that nothing would be left to learn while it is frozen.
    """
    kind, advice = kind_of(pretrained.weights), to_start_from(pretrained.weights, description)
    if kind != description["network"]:
        raise CheckpointError(
            f"{pretrained.path} is of {kind}, model.model_type is {description['network']}: layers of one do not fit the "
            f"other{advice}"
        )
    taken = finetune.take(network, for_streams(network, pretrained.weights), pretrained.description, description)
    if not any(name.endswith(".weight") and tensor.dim() > 1 for name, tensor in taken.tensors.items()):
        skipped = "; ".join(taken.skipped[:5])
        raise CheckpointError(f"{pretrained.path} is of another network, no layer fits: {skipped}, ...{advice}")
    network.load_state_dict(taken.tensors, strict=False)
    if settings.freeze_epochs and {name for name, _ in network.named_parameters()} <= set(taken.whole):
        raise SpecError(
            f"train.freeze_epochs is {settings.freeze_epochs}, but {pretrained.path} brought every tensor, so that nothing "
            "would learn in these epochs; set it to 0"
        )
    description[finetune.KEY] = {"from": str(pretrained.path), "whole": taken.whole}
    parts = [("in part", taken.partly), ("left out", taken.skipped)]
    rest = "".join(f"; {what}: {listed(lines)}" for what, lines in parts if lines)
    facts = {"pretrained": {"loaded": len(taken.whole), "partly": taken.partly, "skipped": taken.skipped}}
    return facts, f"Pretrained weights of {pretrained.path}: {len(taken.whole)} tensors loaded{rest}"


def to_start_from(weights: Mapping[str, torch.Tensor], description: Mapping[str, Any]) -> str:
    """What the settings of the model have to be for layers of ``weights`` to fit; empty where they are so, or nobody knows."""
    try:
        own = sizes(weights)
    except IndexError:  # tensors of the right names that are no layers
        return ""
    wanted = {
        "model.model_type": (own.network, description["network"]),
        "model.width": (own.width, description["width"]),
        "model.stages": (list(own.stages), list(description["stages"])),
    }
    said = [f"{key}={theirs}".replace(", ", ",") for key, (theirs, ours) in wanted.items() if theirs != ours]
    return f". To start from it, set {', '.join(said)}" if said else ""


def listed(lines: Sequence[str]) -> str:
    """Some lines in one."""
    return "; ".join(lines[:NAMED]) + (f"; ... ({len(lines)} in all)" if len(lines) > NAMED else "")
