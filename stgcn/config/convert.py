"""The settings of dataset_convert."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from stgcn.config.declare import setting
from stgcn.config.network import LAYOUT_NAMES


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
