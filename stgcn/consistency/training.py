"""What settings of optimiser, schedule, selection and fine-tuning say about one another. See ``stgcn.consistency``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stgcn.consistency import data
from stgcn.consistency.finding import Finding

if TYPE_CHECKING:
    from stgcn import config

COSINES = ("Cosine", "OneCycle")
FALLING = (*COSINES, "AutoReduce")  # the schedules that know a lowest rate
UNSET = ("", "???", None)
NEUTRAL = {"freeze_epochs": 0, "layer_decay": 1.0}  # of a training that starts from no pretrained model


def problems(settings: config.TrainSpec) -> list[Finding]:
    """All there are."""
    return [
        *of_schedule(settings.train),
        *of_selection(settings.train),
        *of_fine_tuning(settings),
        *of_logging(settings.wandb),
        *of_machines("train", settings.train.num_nodes),
    ]


def of_schedule(train: config.Train) -> list[Finding]:
    """What the schedule asks for in vain."""
    optim, found = train.optim, []
    lr, lowest, warmup, share = (f"train.optim.{name}" for name in ("lr", "min_lr", "warmup_epochs", "warmup_share"))
    if optim.lr_scheduler == "AutoReduce" and optim.lr_decay >= 1:
        says = f"is {optim.lr_decay:g}; AutoReduce needs a factor below 1"
        found.append(Finding("train.optim.lr_decay", says, ("train.optim.lr_scheduler",)))
    if optim.lr_scheduler not in COSINES:
        return found
    if optim.min_lr > optim.lr:
        says = f"is {optim.min_lr:g}, above {lr}, which is {optim.lr:g}: {optim.lr_scheduler} falls from lr to min_lr"
        found.append(Finding(lowest, says, (lr,), ((lowest, 0.0),)))
    if optim.warmup_epochs and optim.warmup_share:
        says = (
            f"is {optim.warmup_epochs} and {share} is {optim.warmup_share:g}; both say how long the warm-up is: set one of "
            "them to 0"
        )
        found.append(Finding(warmup, says, (share,), ((share, 0.0), (warmup, 0))))
    if optim.warmup_epochs >= train.num_epochs:
        says = (
            f"is {optim.warmup_epochs}, and train.num_epochs {train.num_epochs}: the rate would never fall; warm up for fewer "
            "epochs, or by warmup_share"
        )
        found.append(Finding(warmup, says, ("train.num_epochs",), ((warmup, train.num_epochs // 4),)))
    return found


def of_selection(train: config.Train) -> list[Finding]:
    """A training that ends when it gets worse cannot give its last epoch as the model."""
    if not train.early_stopping or train.select != "last":
        return []
    says = (
        f"is {train.early_stopping}: it waits until val_loss rises, and train.select=last takes just that; set select to best"
    )
    return [Finding("train.early_stopping", says, ("train.select",), (("train.select", "best"),))]


def of_fine_tuning(settings: config.TrainSpec) -> list[Finding]:
    """What a fine-tuning cannot mean."""
    train, found = settings.train, []
    freeze = "train.freeze_epochs"
    if train.freeze_epochs and train.num_gpus > 1:
        says = f"is {train.freeze_epochs} and train.num_gpus {train.num_gpus}; it needs a single one"
        found.append(Finding(freeze, says, ("train.num_gpus",)))
    if settings.model.pretrained_model_path not in UNSET or train.resume_training_checkpoint_path not in UNSET:
        return found
    path = "model.pretrained_model_path"
    said = {name: getattr(train, name) for name, neutral in NEUTRAL.items() if getattr(train, name) != neutral}
    return found + [
        Finding(
            f"train.{name}",
            f"is {value:g}; it needs {path}, whose tensors it is about",
            (path,),
            ((f"train.{name}", NEUTRAL[name]),),
        )
        for name, value in said.items()
    ]


def of_logging(wandb: config.Wandb) -> list[Finding]:
    """Logging that nothing here can do."""
    if not wandb.enable:
        return []
    from importlib.util import find_spec

    if find_spec("wandb"):
        return []
    return [Finding("wandb.enable", "is on, but wandb is not installed: pip install 'tao-skill-bank[wandb]', or turn it off")]


def of_machines(action: str, nodes: int) -> list[Finding]:
    """An action over several machines."""
    return [] if nodes == 1 else [Finding(f"{action}.num_nodes", f"is {nodes}; only 1 machine is supported")]


def idle(settings: config.TrainSpec) -> dict[str, str]:
    """Settings that a search would vary in vain beside the others, with the reason; what the schema tells is left out."""
    train, model = settings.train, settings.model
    found = {f"{data.AUGMENTATION}.{name}": f"it {why}" for name, why in data.in_vain(settings).items()}
    if train.optim.lr_scheduler == "MultiStep" and all(step >= train.num_epochs for step in train.optim.lr_steps):
        steps = ", ".join(map(str, train.optim.lr_steps)) or "none"
        found["train.optim.lr_decay"] = (
            f"no epoch of train.optim.lr_steps ({steps}) lies within train.num_epochs {train.num_epochs}"
        )
    watched = train.num_epochs if train.optim.lr_monitor == "train_loss" else -(-train.num_epochs // train.validation_interval)
    if train.optim.lr_scheduler == "AutoReduce" and watched < 4:
        why = f"AutoReduce watches {train.optim.lr_monitor}, of which there are {watched}, and lowers the rate after three"
        found |= dict.fromkeys(("train.optim.lr_decay", "train.optim.patience"), why)
    if model.model_type != "CTR-GCN" and sum(model.stages) == 1:
        found["model.dropout"] = f"the first block of {model.model_type} has none, and model.stages names no other"
    return found
