"""The settings of a training: optimiser, schedule, checkpoints."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from stgcn.config.declare import MAX_COUNT, section, setting


@dataclass(frozen=True)
class Cudnn:
    """cuDNN's choice of algorithms."""

    benchmark: bool = setting(False, "Let cuDNN time its algorithms and take the fastest.")
    deterministic: bool = setting(True, "Let cuDNN take only algorithms that repeat exactly.")


RISING = {"train.optim.lr_scheduler": ["Cosine", "OneCycle"]}


@dataclass(frozen=True)
class Optim:
    """Optimiser and learning-rate schedule."""

    optimizer_type: Literal["torch.optim.SGD", "torch.optim.Adam", "torch.optim.Adamax", "torch.optim.AdamW"] = setting(
        "torch.optim.SGD", "Optimiser.", option_weights=[0.4, 0.2, 0.1, 0.3]
    )
    lr: float = setting(
        0.1,
        "Learning rate at the start of the schedule.",
        minimum=0.0,
        maximum=10.0,
        popular=True,
        searchable=True,
        automl_range=(1e-4, 0.3),
        automl_scale="log",
        parent_param=True,
    )
    momentum: float = setting(
        0.9,
        "Momentum of SGD.",
        minimum=0.0,
        maximum=1.0,
        popular=True,
        searchable=True,
        automl_range=(0.5, 0.99),
        automl_scale="linear",
        automl_when={"train.optim.optimizer_type": ["torch.optim.SGD"]},
    )
    nesterov: bool = setting(
        True, "Use Nesterov momentum in SGD.", automl_when={"train.optim.optimizer_type": ["torch.optim.SGD"]}
    )
    weight_decay: float = setting(
        1e-4,
        "Weight decay.",
        minimum=0.0,
        maximum=1.0,
        popular=True,
        searchable=True,
        automl_range=(1e-6, 1e-2),
        automl_scale="log",
    )
    lr_scheduler: Literal["AutoReduce", "MultiStep", "Cosine", "OneCycle"] = setting(
        "MultiStep",
        "Schedule: MultiStep multiplies by lr_decay at lr_steps, AutoReduce when lr_monitor stops falling, Cosine falls to "
        "min_lr over the training after warmup_epochs, OneCycle does so step by step.",
    )
    lr_monitor: Literal["val_loss", "train_loss"] = setting(
        "val_loss", "What AutoReduce watches.", automl_when={"train.optim.lr_scheduler": ["AutoReduce"]}
    )
    patience: int = setting(
        1,
        "Epochs without improvement before AutoReduce lowers the rate.",
        minimum=1,
        maximum=MAX_COUNT,
        searchable=True,
        automl_range=(1, 20),
        automl_scale="log",
        automl_when={"train.optim.lr_scheduler": ["AutoReduce"]},
    )
    min_lr: float = setting(
        1e-4,
        "Lowest learning rate of AutoReduce, Cosine and OneCycle.",
        minimum=0.0,
        depends_on="< lr",
        automl_when={"train.optim.lr_scheduler": ["AutoReduce", "Cosine", "OneCycle"]},
    )
    lr_steps: tuple[int, ...] = setting(
        (10, 60),
        "Epochs at which MultiStep lowers the rate.",
        automl_when={"train.optim.lr_scheduler": ["MultiStep"]},
    )
    lr_decay: float = setting(
        0.1,
        "Factor by which the rate is lowered.",
        minimum=0.0,
        maximum=1.0,
        searchable=True,
        automl_range=(0.05, 0.5),
        automl_scale="log",
        automl_when={"train.optim.lr_scheduler": ["AutoReduce", "MultiStep"]},
    )
    warmup_epochs: int = setting(
        0, "Epochs over which Cosine and OneCycle raise the rate from near zero to lr.", minimum=0, automl_when=RISING
    )
    warmup_share: float = setting(
        0.0,
        "The same as a share of the whole training, where warmup_epochs is 0.",
        minimum=0.0,
        maximum=0.9,
        automl_when={**RISING, "train.optim.warmup_epochs": [0]},
    )
    decay_norms: bool = setting(
        True, "Weight decay for biases and norms too; off: for weights with two or more dimensions only."
    )


@dataclass(frozen=True)
class Train:
    """Training."""

    num_gpus: int = setting(1, "GPUs to train on; a machine without a GPU trains on the CPU.", minimum=1, popular=True)
    gpu_ids: tuple[int, ...] = setting((0,), "Which GPUs, by index.")
    num_nodes: int = setting(1, "Machines to train on; only 1 is supported.", minimum=1)
    seed: int = setting(1234, "Seed of every random choice; -1 leaves them unseeded.", minimum=-1, maximum=2**32 - 1)
    cudnn: Cudnn = section(Cudnn, "cuDNN's choice of algorithms.")
    num_epochs: int = setting(10, "Epochs to train.", minimum=1, popular=True, parent_param=True)
    checkpoint_interval: int = setting(
        1, "A checkpoint is written every so many epochs or steps, and after the last.", minimum=1, depends_on="<= num_epochs"
    )
    checkpoint_interval_unit: Literal["epoch", "step"] = setting("epoch", "Unit of checkpoint_interval.")
    validation_interval: int = setting(
        1, "Validate every so many epochs, and after the last.", minimum=1, depends_on="<= num_epochs"
    )
    resume_training_checkpoint_path: str | None = setting(
        "", "Checkpoint to go on from, with optimiser, schedule and epoch; num_epochs counts from the first start."
    )
    results_dir: str | None = setting("", "Folder of this action's results; empty: <results_dir>/train.")
    grad_clip: float = setting(
        0.0,
        "Largest norm of the gradient; 0 does not clip.",
        minimum=0.0,
        maximum=1e6,
        searchable=True,
        automl_range=(0.0, 10.0),
        automl_scale="linear",
    )
    label_smoothing: float = setting(
        0.0,
        "Share of the label that is spread over all classes.",
        minimum=0.0,
        maximum=0.9,
        automl_range=(0.0, 0.2),
        automl_scale="linear",
    )
    ema_decay: float = setting(
        0.0,
        "Keep a moving average of the weights with this decay per step, and validate and save that; 0 keeps none.",
        minimum=0.0,
        maximum=0.99999,
    )
    select: Literal["best", "last"] = setting(
        "best",
        "Which checkpoint is the model: the one with the lowest val_loss, or the last; a few dozen validation sequences choose "
        "worse than a learning rate that has fallen to nothing.",
        automl_when={"train.early_stopping": [0]},
    )
    early_stopping: int = setting(
        0, "Stop after so many validations without a lower val_loss; 0 trains all epochs.", minimum=0, maximum=MAX_COUNT
    )
    calibrate: bool = setting(
        False, "Fit a temperature on the validation set that makes probabilities say how often they are right."
    )
    freeze_epochs: int = setting(
        0, "Epochs in which only what a pretrained model did not bring learns; needs model.pretrained_model_path.", minimum=0
    )
    layer_decay: float = setting(
        1.0,
        "Factor of the learning rate from each block to the one before it, for what a pretrained model brought; 1: all alike.",
        minimum=0.01,
        maximum=1.0,
    )
    precision: Literal["fp32", "bf16", "auto"] = setting(
        "fp32",
        "Numbers that a training step computes with; weights, optimiser and validation stay in fp32. auto: bf16 on a GPU that "
        "has it, and for ST-GCN on a CPU that has it; the log says which.",
    )
    accumulate_batches: int = setting(
        1,
        "Batches whose gradients are summed before a step: batch_size times this is learnt from at once, in the memory of one.",
        minimum=1,
        maximum=MAX_COUNT,
    )
    arrangement: Literal["textbook", "fast"] = setting(
        "textbook",
        "How ST-GCN computes a training step on a CPU; fast is sooner, with the same gradients to rounding and dropout "
        "elsewhere; textbook gives the very losses of a plain implementation, digit for digit.",
    )
    optim: Optim = section(Optim, "Optimiser and learning-rate schedule.")
