"""Every setting of the five actions, declared once: type, default, sentence, bounds, choices, search range.

The JSON Schemas, the spec templates and the manifest are generated from here. Standard library only; knows no tensors.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from stgcn.errors import SpecError

UNSET = ("", "???", None)  # the three ways a TAO spec says "no value"
LAYOUT_NAMES = (
    *("nvidia", "openpose", "human3.6m", "ntu-rgb+d", "ntu_edge", "coco"),  # TAO's
    *("body_25", "halpe_26", "mediapipe_33", "hand_21", "kinect_v1_20", "smpl_24"),
)
MAX_COUNT = 2**31 - 1  # a finite upper bound for searchable counts, where TAO writes infinity


def is_set(value: object) -> bool:
    """True when a string setting holds a value (TAO writes no value as '', '???' or null)."""
    return value not in UNSET


def setting(
    default: Any,
    description: str,
    *,
    title: str | None = None,
    minimum: float | None = None,
    maximum: float | None = None,
    popular: bool = False,
    searchable: bool = False,
    automl_range: tuple[float, float] | None = None,
    automl_scale: Literal["linear", "log"] | None = None,
    automl_when: Mapping[str, list[Any]] | None = None,
    option_weights: list[float] | None = None,
    math_cond: str | None = None,
    depends_on: str | None = None,
    parent_param: bool = False,
    secret: bool = False,
    map_value: bool = False,
    choices: tuple[str, ...] | None = None,
    file_suffixes: tuple[str, ...] | None = None,
) -> Any:
    """Declare one setting; what is said here becomes the leaf of the JSON Schema.

    ``searchable`` is TAO's ``automl_enabled``. ``automl_range`` and ``automl_scale`` say where a search looks, which is
    narrower than ``minimum``/``maximum``, what is valid; without ``searchable`` a search does so where a recipe asks it to.
    ``automl_when`` names the values of other settings under which this one has any effect. ``map_value`` marks an open map
    (such as the label map): one value, replaced as a whole. ``choices`` with ``file_suffixes`` make a text that is one of
    the names or a path ending in one of the suffixes.
    """
    metadata = {
        "title": title,
        "description": description,
        "minimum": minimum,
        "maximum": maximum,
        "popular": popular,
        "automl_enabled": searchable,
        "automl_range": list(automl_range) if automl_range else None,
        "automl_scale": automl_scale,
        "automl_when": dict(automl_when) if automl_when else None,
        "option_weights": option_weights,
        "math_cond": math_cond,
        "depends_on": depends_on,
        "parent_param": parent_param,
        "secret": secret,
        "map_value": map_value,
        "choices": choices,
        "file_suffixes": file_suffixes,
    }
    if isinstance(default, dict):
        return field(default_factory=lambda: dict(default), metadata=metadata)
    return field(default=default, metadata=metadata)


def section(cls: type, description: str) -> Any:
    """Declare a nested group of settings."""
    return field(default_factory=cls, metadata={"description": description})


@dataclass(frozen=True)
class Wandb:
    """Weights & Biases logging."""

    enable: bool = setting(False, "Log the training to Weights & Biases; without an API key the run is kept offline.")
    project: str | None = setting("TAO Toolkit", "Project the run belongs to.")
    entity: str | None = setting("", "User or team the run belongs to.")
    group: str | None = setting("", "Group of runs this one belongs to.")
    tags: tuple[str, ...] = setting(("tao-toolkit",), "Tags of the run.")
    reinit: bool = setting(False, "Allow a second run in the same process.")
    sync_tensorboard: bool = setting(False, "Copy TensorBoard scalars to the run.")
    save_code: bool = setting(False, "Store the main script with the run.")
    name: str | None = setting("TAO Toolkit Training", "Name of the run.")
    run_id: str | None = setting("", "Id of an existing run to continue.")


@dataclass(frozen=True)
class Model:
    """The network."""

    model_type: Literal["ST-GCN", "ST-GCN++", "CTR-GCN", "Sep-GCN"] = setting(
        "ST-GCN",
        "Network: the spatial temporal graph convolutional network of 2018, its leaner successor with adaptive graphs and "
        "several temporal branches, one that refines the graph channel by channel, or a small one of separable convolutions.",
        popular=True,
    )
    pretrained_model_path: str | None = setting(
        "", "Checkpoint whose weights start the training; what fits is loaded, what does not is listed."
    )
    input_channels: int = setting(
        3, "Channels C of a keypoint: 3 for x, y, z or x, y, score; 2 for x, y.", minimum=1, popular=True
    )
    dropout: float = setting(
        0.5,
        "Dropout: after the temporal convolution of every block but the first, or before the classifier (CTR-GCN).",
        minimum=0.0,
        maximum=1.0,
        popular=True,
        searchable=True,
        automl_range=(0.0, 0.7),
        automl_scale="linear",
    )
    graph_layout: str = setting(
        "nvidia",
        "Skeleton: which joints there are and which of them are connected; a built-in one, or a file that says so.",
        popular=True,
        choices=LAYOUT_NAMES,
        file_suffixes=(".yaml", ".yml", ".json"),
    )
    graph_strategy: Literal["uniform", "distance", "spatial"] = setting(
        "spatial", "How the neighbours of a joint are partitioned for the graph convolution.", popular=True
    )
    edge_importance_weighting: bool = setting(
        True, "Learn a weight for every edge of every block of ST-GCN; the other networks learn the graph itself."
    )
    width: int = setting(
        64,
        "Channels of the first stage of blocks, at least 6 for ST-GCN++, a multiple of 8 for Sep-GCN; each further stage has "
        "twice as many.",
        minimum=4,
        maximum=1024,
    )
    stages: tuple[int, ...] = setting(
        (4, 3, 3), "Blocks of each stage, 1 to 8 stages; every stage but the first halves the frames."
    )
    padding: Literal["counted", "masked"] = setting(
        "counted",
        "Zero frames at the end of a sequence and empty person slots: counted like data, or masked, so that neither batch "
        "norm nor pooling sees them.",
    )


@dataclass(frozen=True)
class DataPaths:
    """One set of sequences."""

    data_path: str | None = setting("", "Sequences, a .npy array of shape (N, C, T, V, M).")
    label_path: str | None = setting(
        "", "Labels, a .pkl, .json or .npy of (sample names, class ids), or a .csv with the columns sample and label."
    )


@dataclass(frozen=True)
class Preparation:
    """What is done to every sequence, in training and ever after; by default nothing."""

    center: Literal["none", "auto", "body", "sequence", "frame"] = setting(
        "none",
        "What is moved to the origin: the mean place of all joints in the sequence (body), that of the layout's centre joint "
        "(sequence), the same for all persons, or the centre joint of each frame and person (frame); auto: body, or none where "
        "the bodies of the training set lie within half a body size of one another, so that places tell something.",
    )
    scale: Literal["none", "auto", "body", "spread"] = setting(
        "none",
        "Sizes: body makes the median length of a sequence's bones 1, spread the median distance of its joints from their "
        "middle; auto: spread, or none where center=auto would move nothing.",
    )
    view: Literal["none", "frontal"] = setting(
        "none", "Turn 3D sequences about the y axis: frontal lays the line of hips and shoulders along x, on average."
    )
    interpolate: int = setting(
        0, "Longest gap, in frames, over which a missing joint is filled linearly; 0 fills none.", minimum=0, maximum=MAX_COUNT
    )
    confidence_channel: int = setting(
        -1,
        "Channel that holds the score of a joint, counted from 0; -1: all channels are coordinates; -2: the last of three or "
        "more, if in the training set it is the only one that stays between 0 and 1.",
        minimum=-2,
        maximum=63,
    )
    min_confidence: float = setting(
        0.0, "Joints with a lower score count as missing; needs confidence_channel.", minimum=0.0, maximum=1.0
    )
    window: int = setting(-1, "Frames of a prepared sequence; -1 keeps the length of the data.", minimum=-1, maximum=MAX_COUNT)
    window_mode: Literal["resample", "crop"] = setting(
        "resample",
        "How window is reached: frames spread evenly over the sequence without its padding, or those in its middle.",
    )
    persons: int = setting(
        0, "Person slots of a prepared sequence, most moving first; 0 keeps those of the data.", minimum=0, maximum=1000
    )


AUGMENTED = {"dataset.augmentation.enabled": [True]}


@dataclass(frozen=True)
class Augmentation:
    """What is changed at random in training sequences, beside random_choose and random_move."""

    enabled: bool = setting(False, "Change training sequences at random, as the settings of this group say.")
    rotation: float = setting(
        15.0,
        "Largest turn, in degrees: in the plane where there are two coordinates, about every axis where there are three.",
        minimum=0.0,
        maximum=180.0,
        automl_range=(0.0, 45.0),
        automl_scale="linear",
        automl_when=AUGMENTED,
    )
    scale: float = setting(
        0.1,
        "Largest share by which each axis is stretched or shrunk.",
        minimum=0.0,
        maximum=0.9,
        automl_range=(0.0, 0.4),
        automl_scale="linear",
        automl_when=AUGMENTED,
    )
    shear: float = setting(
        0.0, "Largest share of one axis that is added to another.", minimum=0.0, maximum=2.0, automl_when=AUGMENTED
    )
    shift: float = setting(
        0.0, "Largest shift along each axis, as a share of the body's spread.", minimum=0.0, maximum=10.0, automl_when=AUGMENTED
    )
    noise: float = setting(
        0.0,
        "Standard deviation of the noise on every coordinate, as a share of the body's spread.",
        minimum=0.0,
        maximum=1.0,
        automl_when=AUGMENTED,
    )
    joint_dropout: float = setting(
        0.0, "Probability that a joint is missing in a whole sequence.", minimum=0.0, maximum=0.9, automl_when=AUGMENTED
    )
    frame_dropout: float = setting(0.0, "Probability that a frame is empty.", minimum=0.0, maximum=0.9, automl_when=AUGMENTED)
    temporal_crop: float = setting(
        1.0,
        "Smallest share of a sequence that is cut out and stretched to its whole length; 1 cuts nothing.",
        minimum=0.05,
        maximum=1.0,
        automl_range=(0.4, 1.0),
        automl_scale="linear",
        automl_when=AUGMENTED,
    )
    mirror: float = setting(
        0.0,
        "Probability that x is mirrored and left and right joints are exchanged; needs a layout with pairs. -1: 0.5, unless "
        "the layout has none or the training set holds classes that are mirror images of each other.",
        minimum=-1.0,
        maximum=1.0,
        automl_when=AUGMENTED,
    )
    mixup: float = setting(
        0.0,
        "Mix pairs of sequences and their labels with shares from Beta(mixup, mixup); 0 mixes none.",
        minimum=0.0,
        maximum=10.0,
        automl_when=AUGMENTED,
    )
    cutmix: float = setting(
        0.0,
        "Replace a span of frames by another sequence's, its share from Beta(cutmix, cutmix); 0 replaces none.",
        minimum=0.0,
        maximum=10.0,
        automl_when=AUGMENTED,
    )


Stream = Literal["joint", "bone", "joint_motion", "bone_motion"]


@dataclass(frozen=True)
class Dataset:
    """The data and how it is fed."""

    train_dataset: DataPaths = section(DataPaths, "Sequences to learn from.")
    val_dataset: DataPaths = section(DataPaths, "Sequences to validate on during training.")
    num_classes: int = setting(6, "Number of action classes.", minimum=1, popular=True)
    label_map: dict[str, int] = setting(
        {f"class_{i}": i for i in range(6)},
        "Class name to class id; the ids are 0 to num_classes - 1.",
        popular=True,
        map_value=True,
    )
    random_choose: bool = setting(False, "Cut or pad every training sequence to window_size at a random place.")
    random_move: bool = setting(False, "Rotate, scale and shift every training sequence, changing smoothly in time.")
    window_size: int = setting(
        -1,
        "Frames of a training sequence; -1 keeps the length of the data.",
        minimum=-1,
        maximum=MAX_COUNT,
        searchable=True,
        automl_range=(16, 300),
        automl_scale="log",
        automl_when={"dataset.random_choose": [True]},
    )
    batch_size: int = setting(16, "Sequences per step and device.", minimum=1, popular=True, math_cond="^ 2")
    num_workers: int = setting(1, "Data loading processes; 0 loads in the training process.", minimum=0)
    preparation: Preparation = section(Preparation, "What is done to every sequence, in training and ever after.")
    augmentation: Augmentation = section(Augmentation, "What is changed at random in training sequences.")
    streams: tuple[Stream, ...] = setting(
        ("joint",),
        "What the network sees of a skeleton: joint, bone (to the next joint nearer to the centre), joint_motion, "
        "bone_motion (to the next frame); any of them, each once.",
    )
    stream_fusion: Literal["score", "input"] = setting(
        "score",
        "Several streams: score trains a network for each and fuses their scores, with weights chosen on the validation "
        "set; input stacks them as channels of one network.",
    )
    repeat_to: int = setting(
        0,
        "An epoch goes through the training sequences as often as it takes to draw so many; 0: once.",
        minimum=0,
        maximum=MAX_COUNT,
    )
    class_balance: Literal["none", "sampler", "loss"] = setting(
        "none", "Rare classes: drawn as often as the others (sampler), or counted more in the loss."
    )
    folds: int = setting(
        0,
        "Cross-validation: train and validation sets together are divided into so many parts, by subject where names tell "
        "one, else by class; part number fold is the validation set. 0: the sets as given.",
        minimum=0,
        maximum=1000,
    )
    fold: int = setting(0, "Part that is the validation set, counted from 0; needs folds.", minimum=0, maximum=999)
    fold_by: Literal["subject", "class"] = setting(
        "subject",
        "What is never divided between parts: a subject, or a recording that was cut into windows, where names tell one; "
        "class: nothing.",
    )
    train_share: float = setting(
        1.0, "Share of the training sequences to learn from, of every class alike.", minimum=0.001, maximum=1.0
    )


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
        automl_when=RISING,
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
    optim: Optim = section(Optim, "Optimiser and learning-rate schedule.")


@dataclass(frozen=True)
class Evaluate:
    """Evaluation."""

    num_gpus: int = setting(1, "GPUs to evaluate on; one is used.", minimum=1)
    gpu_ids: tuple[int, ...] = setting((0,), "Which GPU, by index.")
    num_nodes: int = setting(1, "Machines to evaluate on; only 1 is supported.", minimum=1)
    checkpoint: str | None = setting("", "Model to evaluate: .pth, .tlt or .onnx.", popular=True)
    trt_engine: str | None = setting("", "Not supported here: evaluate the checkpoint or the ONNX file.")
    results_dir: str | None = setting("", "Folder of this action's results; empty: <results_dir>/evaluate.")
    batch_size: int = setting(-1, "Sequences per step; -1 takes dataset.batch_size.", minimum=-1)
    test_dataset: DataPaths = section(DataPaths, "Sequences to evaluate on.")


@dataclass(frozen=True)
class Inference:
    """Prediction."""

    num_gpus: int = setting(1, "GPUs to predict on; one is used.", minimum=1)
    gpu_ids: tuple[int, ...] = setting((0,), "Which GPU, by index.")
    num_nodes: int = setting(1, "Machines to predict on; only 1 is supported.", minimum=1)
    checkpoint: str | None = setting("", "Model to predict with: .pth, .tlt or .onnx.", popular=True)
    trt_engine: str | None = setting("", "Not supported here: use the checkpoint or the ONNX file.")
    results_dir: str | None = setting("", "Folder of this action's results; empty: <results_dir>/inference.")
    batch_size: int = setting(-1, "Sequences per step; -1 takes dataset.batch_size.", minimum=-1)
    test_dataset: DataPaths = section(DataPaths, "Sequences to classify; labels are not needed.")
    output_file: str | None = setting(
        "", "One class name per line, in the order of the data; empty: results.txt in the results folder."
    )
    top_k: int = setting(5, "Classes with probabilities per sequence in the JSON lines file beside output_file.", minimum=1)
    unknown_below: float = setting(
        0.0, "Sequences whose highest probability is lower are called unknown; 0 calls none so.", minimum=0.0, maximum=1.0
    )


@dataclass(frozen=True)
class Export:
    """Export to ONNX."""

    results_dir: str | None = setting("", "Folder of this action's results; empty: <results_dir>/export.")
    checkpoint: str | None = setting("", "Checkpoint to export: .pth or .tlt.", popular=True)
    onnx_file: str | None = setting("", "ONNX file to write; empty: the checkpoint's name in the results folder.", popular=True)
    gpu_id: int = setting(0, "Kept for TAO specs; the export runs on the CPU.", minimum=0)
    sequence_length: int = setting(
        -1, "Frames T of the input; -1 leaves time dynamic, a fixed length is what TensorRT and DeepStream ask for.", minimum=-1
    )
    opset_version: int = setting(18, "ONNX operator set.", minimum=18, maximum=23)
    overwrite: bool = setting(False, "Replace an existing ONNX file.")


@dataclass(frozen=True)
class DatasetConvert:
    """Conversion of keypoints: DeepStream BodyPose JSON and what other pose estimators write."""

    pose_type: Literal["3dbp", "25dbp", "2dbp"] = setting(
        "3dbp", "Kind of pose to read: 3D, 2.5D or 2D body pose.", popular=True
    )
    num_joints: int = setting(34, "Joints of a pose.", minimum=1)
    input_width: int = setting(1920, "Width of the video in pixels, where the data do not say.", minimum=1)
    input_height: int = setting(1080, "Height of the video in pixels, where the data do not say.", minimum=1)
    focal_length: float = setting(1200.0, "Focal length of the camera in pixels.", minimum=1e-6)
    sequence_length_max: int = setting(
        300, "Frames T of a written sequence; shorter ones are zero-padded at the end.", minimum=1
    )
    sequence_length_min: int = setting(10, "Fewest frames of a sequence.", minimum=1)
    sequence_length: int = setting(100, "Frames of a window cut from a track.", minimum=1, popular=True)
    sequence_overlap: float = setting(
        0.5,
        "Share of a window that the next one repeats: 0 is none, and at 1 windows move on by one frame.",
        minimum=0.0,
        maximum=1.0,
        popular=True,
    )
    data: str | None = setting(
        "", "What a pose estimator wrote: a DeepStream BodyPose JSON file, or a file or folder of another format.", popular=True
    )
    results_dir: str | None = setting("", "Folder of this action's results; empty: <results_dir>/dataset_convert.")
    format: Literal[
        "auto",
        "deepstream",
        "openpose",
        "coco_json",
        "alphapose",
        "yolo",
        "mediapipe",
        "ntu_skeleton",
        "kinetics_json",
        "pyskl",
        "csv",
        "numpy",
    ] = setting("auto", "Format of the data; auto recognises it and says what it took.", popular=True)
    labels: Literal["auto", "folder", "file", "table", "none"] = setting(
        "auto",
        "Where classes come from: folder names, the data themselves, or label_file (table); none writes a test set without "
        "labels; auto takes the table where there is one, else what the data say, else the folders.",
        popular=True,
    )
    label_file: str | None = setting(
        "", "CSV with the columns sample, label and, optionally, subject, split, recording.", popular=True
    )
    segments: str | None = setting(
        "", "CSV with the columns sample, start, end, label: pieces of recordings, in frames, the end not included."
    )
    split: str = setting(
        "auto",
        "How sequences are divided: shares of train, val and test such as 0.7,0.15,0.15; given by the data, the table or "
        "folders named train, val, test; subject, which is shares that insist on known subjects; auto takes what is given, "
        "else 0.7,0.15,0.15. One subject or recording is never in two sets.",
        popular=True,
    )
    split_seed: int = setting(1234, "Seed of the division into sets.", minimum=0, maximum=2**32 - 1)
    persons: Literal["tracks", "slots"] = setting(
        "tracks", "One sequence per tracked person, or one per recording with max_persons people side by side.", popular=True
    )
    max_persons: int = setting(
        0, "Most people of a recording, those seen longest; 0: all as tracks, two as slots.", minimum=0, maximum=1000
    )
    on_error: Literal["fail", "skip"] = setting(
        "fail", "What a bad record does: fail ends the conversion and names all of them, skip leaves them out and says so."
    )
    layout: str = setting(
        "",
        "Skeleton of the data where the format does not tell: a built-in one, or a file that says so.",
        choices=("", *LAYOUT_NAMES),
        file_suffixes=(".yaml", ".yml", ".json"),
    )
    target_layout: str = setting(
        "",
        "Skeleton to write, where it is another than that of the data: joints are taken over by name or derived as the middle "
        "of others, what cannot be had is zero; with it, data of several skeletons and formats become one set.",
        choices=("", *LAYOUT_NAMES),
        file_suffixes=(".yaml", ".yml", ".json"),
    )
    channels: str = setting(
        "", "Channels written, such as x,y or x,y,z,score; empty: x,y,z where the data have depth, else what they have."
    )
    columns: dict[str, str] = setting(
        {}, "Columns of a CSV of keypoints, by what they hold: {frame: Frame, person: Id}.", map_value=True
    )


@dataclass(frozen=True)
class Common:
    """Settings every action has."""

    encryption_key: str | None = setting(None, "Passphrase for checkpoints at rest.", secret=True)
    results_dir: str | None = setting("", "Root folder of the results.", popular=True)
    model_name: str | None = setting("", "Name of the model in logs.")
    wandb: Wandb = section(Wandb, "Weights & Biases logging.")


@dataclass(frozen=True)
class TrainSpec(Common):
    """Spec of ``train``."""

    model: Model = section(Model, "The network.")
    dataset: Dataset = section(Dataset, "The data and how it is fed.")
    train: Train = section(Train, "Training.")


@dataclass(frozen=True)
class EvaluateSpec(Common):
    """Spec of ``evaluate``."""

    model: Model = section(Model, "The network.")
    dataset: Dataset = section(Dataset, "The data and how it is fed.")
    evaluate: Evaluate = section(Evaluate, "Evaluation.")


@dataclass(frozen=True)
class ExportSpec(Common):
    """Spec of ``export``."""

    model: Model = section(Model, "The network.")
    dataset: Dataset = section(Dataset, "The data and how it is fed.")
    export: Export = section(Export, "Export to ONNX.")


@dataclass(frozen=True)
class InferenceSpec(Common):
    """Spec of ``inference``."""

    model: Model = section(Model, "The network.")
    dataset: Dataset = section(Dataset, "The data and how it is fed.")
    inference: Inference = section(Inference, "Prediction.")


@dataclass(frozen=True)
class DatasetConvertSpec(Common):
    """Spec of ``dataset_convert``."""

    dataset_convert: DatasetConvert = section(DatasetConvert, "Conversion of keypoints.")


ACTIONS: dict[str, type] = {
    "dataset_convert": DatasetConvertSpec,
    "train": TrainSpec,
    "evaluate": EvaluateSpec,
    "export": ExportSpec,
    "inference": InferenceSpec,
}


T = TypeVar("T")


def from_dict(cls: type[T], values: Mapping[str, Any]) -> T:
    """Turn a nested dict into the dataclass ``cls``, strictly: unknown keys and wrong types are all reported at once.

    Raises:
        SpecError: with one line per problem.
    """
    problems: list[str] = []
    built = _build(cls, values, "", problems)
    if problems:
        raise SpecError(problems)
    return typing.cast(T, built)


def _build(cls: Any, values: object, path: str, problems: list[str]) -> Any:
    if not isinstance(values, Mapping):
        problems.append(f"{path or 'the spec'}: expected a mapping, got {values!r}")
        return None
    hints = typing.get_type_hints(cls)
    fields = {f.name: f for f in dataclasses.fields(cls)}
    problems += [
        f"{_join(path, str(k))}: unknown setting; allowed here: {', '.join(fields)}" for k in values if k not in fields
    ]
    kwargs = {
        name: _convert(hints[name], values[name], _join(path, name), problems, f.metadata)
        for name, f in fields.items()
        if name in values
    }
    return cls(**kwargs)


def _convert(hint: Any, value: Any, path: str, problems: list[str], metadata: Mapping[str, Any]) -> Any:
    if dataclasses.is_dataclass(hint):
        return _build(hint, value, path, problems)
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        if value is None:
            return None
        return _convert(next(a for a in arguments if a is not type(None)), value, path, problems, metadata)
    if origin is Literal:
        if value not in arguments:
            problems.append(f"{path}: {value!r} is not one of {', '.join(map(str, arguments))}")
        return value
    if origin is tuple:
        if not isinstance(value, list | tuple):
            problems.append(f"{path}: expected a list, got {value!r}")
            return ()
        return tuple(_convert(arguments[0], v, f"{path}[{i}]", problems, {}) for i, v in enumerate(value))
    if origin is dict:
        if not isinstance(value, Mapping):
            problems.append(f"{path}: expected a mapping, got {value!r}")
            return {}
        return {str(k): _convert(arguments[1], v, _join(path, str(k)), problems, {}) for k, v in value.items()}
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if not isinstance(value, hint) or (hint is int and isinstance(value, bool)):
        problems.append(f"{path}: expected {hint.__name__}, got {value!r}")
        return value
    if said := _not_allowed(value, metadata):
        problems.append(f"{path}: {value!r} {said}")
    return value


def _not_allowed(value: Any, metadata: Mapping[str, Any]) -> str:
    """What speaks against a value of the right type; empty when nothing does."""
    low, high = metadata.get("minimum"), metadata.get("maximum")
    if (low is not None and not value >= low) or (high is not None and not value <= high):
        return f"is out of bounds; allowed: {f'at least {low}' if high is None else f'between {low} and {high}'}"
    choices, suffixes = metadata.get("choices"), metadata.get("file_suffixes") or ()
    if choices and value not in choices and not value.endswith(suffixes):
        return f"is not one of {', '.join(choices)}, nor a path ending in {', '.join(suffixes)}"
    return ""


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
