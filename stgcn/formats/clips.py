"""Clips that are whole arrays into recordings: what a missing joint is, what names and joint counts say. Opens no file."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from stgcn.formats.base import Frame, Options, Recording, folders

MOST_JOINTS = 1000
MOST_PEOPLE = 1000
MOST_FRAMES = 2_000_000
LEAST_PIXELS = 8  # coordinates in metres, or as shares of the image, never come so far; those in pixels always do
AXES = ("x", "y", "z")
# What a number of joints most often is; 24 and others are left open.
LAYOUTS_2D = {17: "coco", 18: "openpose", 25: "body_25", 26: "halpe_26", 33: "mediapipe_33", 21: "hand_21", 34: "nvidia"}
LAYOUTS_3D = {17: "human3.6m", 20: "kinect_v1_20", 25: "ntu-rgb+d", 33: "mediapipe_33", 21: "hand_21", 34: "nvidia"}
NTU_NAME = re.compile(r"(?<![A-Za-z0-9])S(\d{3})C(\d{3})P(\d{3})R(\d{3})A(\d{3})(?![0-9])")
SIDE = re.compile(r"(?:^|[_\-./ ])(train|training|val|valid|validation|test|testing)(?=$|[_\-./ 0-9])", re.IGNORECASE)


class Unusable(ValueError):
    """A record that cannot be used; says why."""


def files_under(root: Path, *suffixes: str) -> list[Path]:
    """``root`` itself when it is a file, else the files below it, sorted, that end so; hidden ones are left out."""
    if root.is_file():
        return [root] if root.name.lower().endswith(suffixes) else []
    found = []
    for folder in folders(root):
        names = os.listdir(folder)
        found += [folder / name for name in names if name.lower().endswith(suffixes) and not name.startswith(".")]
    return sorted(path for path in found if path.is_file())


def layout_of(joints: int, dimensions: int, options: Options) -> str:
    """The layout the user names, else what this many joints most often are, else ``custom``."""
    return options.layout or (LAYOUTS_3D if dimensions == 3 else LAYOUTS_2D).get(joints, "custom")


def pixel_size(poses: np.ndarray, options: Options) -> tuple[int, int] | None:
    """The image size the user says, for coordinates in a plane (..., 2) that can only be pixels."""
    return options.size if poses.size and np.nanmax(np.abs(poses[..., :2]), initial=0) > LEAST_PIXELS else None


def side_of(text: str) -> str | None:
    """``train``, ``val`` or ``test`` when a name such as ``xsub_val`` or ``train_data`` says so."""
    found = SIDE.findall(text)
    return {"tr": "train", "va": "val", "te": "test"}[found[-1][:2].lower()] if found else None


def from_ntu_name(name: str) -> dict[str, Any]:
    """What a name such as S001C002P003R002A013 says, as fields of Recording; empty for other names."""
    found = NTU_NAME.search(name)
    if not found:
        return {}
    setup, camera, subject, replication, action = (int(part) for part in found.groups())
    facts = {"setup": setup, "camera": camera, "replication": replication, "class_number": action}
    return {"label": f"A{action:03}", "subject": f"P{subject:03}", "facts": facts}


def numbers(value: Any) -> np.ndarray:
    """An array of numbers as float32; Unusable when it is none, or holds what float32 cannot."""
    try:
        array = np.asarray(value)
    except (ValueError, TypeError, OverflowError, MemoryError) as error:
        raise Unusable(f"its keypoints are no array of numbers ({str(error)[:80]})") from None
    if array.dtype.kind not in "iuf":
        raise Unusable(f"its keypoints are of type {array.dtype}, not numbers")
    with np.errstate(all="ignore"):
        narrow = array.astype(np.float32)
    if np.isinf(narrow).any():
        raise Unusable("it has infinite values, or some too large for float32")
    return narrow


def build(name: str, poses: Any, options: Options, *, score: Any = None, trim: bool = False, **known: Any) -> Recording:
    """A recording from whole tracks.

    Args:
        name: its name, unique in the input.
        poses: numbers (M, T, V, C), C of x, y (, z); what is not a number (NaN) is a missing joint.
        options: for the layout, where the user names it.
        score: confidence (M, T, V) or None.
        trim: whether empty frames at the end are padding and no part of the recording.
        known: further fields of Recording.

    Raises:
        Unusable: shapes that do not fit, infinite values, or nobody in any frame.
    """
    array = numbers(poses)
    _check_shape(array.shape)
    missing = ~np.isfinite(array).all(axis=-1) | (array == 0).all(axis=-1)
    if score is not None:
        confidence = np.nan_to_num(numbers(score), nan=0.0)
        if confidence.shape != array.shape[:3]:
            raise Unusable(f"its scores have shape {confidence.shape}; expected {array.shape[:3]}")
        missing |= confidence == 0
        array = np.concatenate([array, confidence[..., None]], axis=-1)
    array[missing] = 0
    present = ~missing.all(axis=-1)  # (M, T)
    filled = np.flatnonzero(present.any(axis=0))
    if not len(filled):
        raise Unusable("nobody is in it: every joint of every frame is missing")
    frames = []
    for t in filled.tolist():
        people = np.flatnonzero(present[:, t])
        frames.append(Frame(t, array[people, t], tuple(str(person) for person in people)))
    dimensions = array.shape[-1] - (score is not None)
    known.setdefault("layout", layout_of(array.shape[2], dimensions, options))
    channels = AXES[:dimensions] + (("score",) if score is not None else ())
    length = int(filled[-1]) + 1 if trim else array.shape[1]
    return Recording(name, channels=channels, frames=frames, length=length, **known)


def _check_shape(shape: Sequence[int]) -> None:
    if len(shape) != 4 or shape[3] not in (2, 3) or 0 in shape:
        raise Unusable(f"its keypoints have shape {tuple(shape)}; expected (people, frames, joints, 2 or 3)")
    if shape[0] > MOST_PEOPLE or shape[1] > MOST_FRAMES or shape[2] > MOST_JOINTS:
        raise Unusable(
            f"its keypoints have shape {tuple(shape)}; allowed are {MOST_PEOPLE} people, {MOST_FRAMES} frames "
            f"and {MOST_JOINTS} joints"
        )


def split_channels(poses: np.ndarray, *, is_score: bool) -> tuple[np.ndarray, np.ndarray | None]:
    """Coordinates and score of (..., C): the last channel is a score when C is 4, or C is 3 and ``is_score``."""
    if poses.shape[-1] == 4 or (poses.shape[-1] == 3 and is_score):
        return poses[..., :-1], poses[..., -1]
    return poses, None


def text(value: Any, longest: int = 400) -> str | None:
    """A name or label as text: of strings, bytes, whole numbers and arrays of one such; else None."""
    if isinstance(value, np.ndarray) and value.size == 1:
        value = value.reshape(-1)[0]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, bytes):
        value = value.decode("utf-8", errors="replace")
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, str | int) or (isinstance(value, int) and abs(value) >= 2**63):
        return None
    clean = str(value).strip().encode(errors="replace").decode()
    return clean if 0 < len(clean) <= longest and clean.isprintable() else None


def first_of(table: Mapping[str, Any], *keys: str) -> Any:
    """The value of the first of ``keys`` that is in the table and is not None."""
    return next((table[key] for key in keys if table.get(key) is not None), None)
