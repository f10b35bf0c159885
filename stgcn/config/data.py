"""The settings of the data: where they lie, how they are prepared, changed and fed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from stgcn.config.declare import MAX_COUNT, section, setting


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
        "Channel that holds the score of a joint, counted from 0; -1: all channels are coordinates; -2: the last one, if in "
        "the training set it stays between 0 and 1, as the fourth or the only one that does.",
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
        automl_range=(0.0, 0.4),
        automl_scale="linear",
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
    draw_at_most: int = setting(
        -1,
        "An epoch draws so many of the training sequences at most, none twice, and the next epochs draw those that are left "
        "before any comes again; -1: all.",
        minimum=-1,
        maximum=MAX_COUNT,
    )
    bucket_by_length: bool = setting(
        False,
        "Put training sequences of like length into a batch: with model.padding=masked the frames beyond the longest of a "
        "batch are not computed.",
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
