"""Sets of skeleton sequences: .npy of (N, C, T, V, M) with labels, read, checked and described. Numpy only, no torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from stgcn import files, labels, npy
from stgcn.config import is_set
from stgcn.errors import DataError
from stgcn.graph import LAYOUTS

AXES = "(N, C, T, V, M) = sequences, channels, frames, joints, persons"
BLOCK_BYTES = 32 * 2**20  # how much of a file is looked at together
MOST_NAMED = 3


@dataclass(frozen=True)
class SkeletonSet:
    """Sequences and their labels, checked.

    ``data`` is float32 (N, C, T, V, M), memory-mapped when the file holds float32; ``labels`` int64 (N,) or None;
    ``notes`` say what was done to the data that a user may not expect. A set that is not one whole file says of which files
    and how it was made: ``made_of`` (``path`` joins them for people) and ``division``.
    """

    split: str
    path: str
    data: np.ndarray
    names: list[str]
    labels: np.ndarray | None
    notes: list[str] = field(default_factory=list)
    made_of: tuple[str, ...] = ()
    division: Mapping[str, Any] = field(default_factory=dict)

    @property
    def num_persons(self) -> int:
        """Persons M per sequence."""
        return int(self.data.shape[4])


def read_sets(sets: Sequence[Mapping[str, Any]]) -> list[SkeletonSet]:
    """Read several sets, each given as the keyword arguments of ``read_set``.

    Raises:
        DataError: with the problems of all sets.
    """
    result, problems = [], []
    for arguments in sets:
        try:
            result.append(read_set(**arguments))
        except DataError as error:
            problems += error.problems
    if problems:
        raise DataError(problems)
    return result


def read_set(
    split: str,
    data_path: str | None,
    label_path: str | None,
    *,
    channels: int,
    num_joints: int,
    layout_name: str,
    num_classes: int,
    label_map: Mapping[str, int],
    need_labels: bool,
) -> SkeletonSet:
    """Read one set and check it against the network's channels C, joints V and classes.

    Without ``need_labels`` a label file may be missing from the spec; one that is given is read and checked.

    Raises:
        DataError: with all problems of the set.
    """
    problems: list[str] = []
    notes: list[str] = []
    names: list[str] | None = None
    data = _read_data(split, data_path, notes, problems)
    if data is not None:
        problems += _shape_problems(data.shape, channels, num_joints, layout_name)
    ids = None
    if is_set(label_path) and label_path is not None:
        try:
            names, ids = labels.read_labels(label_path, label_map)
        except DataError as error:
            problems += error.problems
    elif need_labels:
        problems.append("no label_path is set; labels are needed here, a .pkl of (sample names, class ids)")
    if ids is not None:
        count = len(ids) if data is None else len(data)
        problems += [f"{label_path}: {text}" for text in labels.check_labels(ids, num_classes, label_map, count)]
    if data is not None:
        problems += _value_problems(data, names or [])
    if problems or data is None:
        raise DataError([f"{split} data: {text}" for text in problems])
    return SkeletonSet(split, str(data_path), data, names or [str(i) for i in range(len(data))], ids, notes)


def from_array(data: np.ndarray, *, channels: int, num_joints: int, layout_name: str) -> SkeletonSet:
    """Sequences (N, C, T, V, M), or one of (C, T, V, M), from memory, checked as those of a file are; they have no labels.

    Raises:
        DataError: with all that is wrong.
    """
    data = np.asarray(data)
    data = data[None] if data.ndim == 4 else data
    if data.ndim != 5 or data.dtype.kind not in "fiu" or 0 in data.shape:
        raise DataError(f"data: an array of {data.dtype} and shape {data.shape}; expected numbers of {AXES}")
    with np.errstate(over="ignore"):  # what does not fit becomes infinite and is found below
        data = np.ascontiguousarray(data, dtype=np.float32)
    problems = [*_shape_problems(data.shape, channels, num_joints, layout_name), *_value_problems(data, [])]
    if problems:
        raise DataError([f"data: {text}" for text in problems])
    return SkeletonSet("given", "memory", data, [str(i) for i in range(len(data))], None)


def _read_data(split: str, path: str | None, notes: list[str], problems: list[str]) -> np.ndarray | None:
    """Open a .npy of numbers of rank 5 as float32, or say what is wrong with it."""
    if not is_set(path) or path is None:
        problems.append(f"no data_path is set; expected a .npy of {AXES}")
        return None
    try:
        data = npy.open_array(path, AXES)
    except DataError as error:
        problems += error.problems
        return None
    if data.ndim != 5:
        problems.append(f"{path} has rank {data.ndim}, shape {data.shape}; expected {AXES}")
    if data.dtype.kind not in "fiu":
        problems.append(f"{path} holds {data.dtype}; expected float32 (float16, float64 and integers are converted)")
    if data.ndim != 5 or data.dtype.kind not in "fiu":
        return None
    if 0 in data.shape:
        problems.append(f"{path} is empty: its shape is {data.shape}, {AXES}")
        return None
    if data.dtype == np.float32 and data.dtype.isnative:
        return data
    notes.append(f"{split} data was converted from {data.dtype} to float32")
    with np.errstate(over="ignore"):  # what does not fit becomes infinite and is found by the check of the values
        return np.ascontiguousarray(data, dtype=np.float32)


def _shape_problems(shape: tuple[int, ...], channels: int, num_joints: int, layout_name: str) -> list[str]:
    problems = []
    if shape[1] != channels:
        problems.append(f"it has C={shape[1]} channels, model.input_channels is {channels}; shape {shape}, {AXES}")
    if shape[3] != num_joints:
        fitting = [name for name, layout in LAYOUTS.items() if layout.num_joints == shape[3]]
        hint = (
            f"layouts of {shape[3]} joints: {', '.join(fitting)}"
            if fitting
            else f"no known layout has {shape[3]} joints; a path to a layout file is taken too"
        )
        problems.append(f"it has V={shape[3]} joints, model.graph_layout {layout_name} has {num_joints}; {hint}")
    return problems


def _blocks(data: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Walk over sequences in blocks that fit in memory; gives the first index and the block."""
    per_block = max(1, BLOCK_BYTES // max(data[0].nbytes, 1))
    for start in range(0, len(data), per_block):
        yield start, np.asarray(data[start : start + per_block])


def _value_problems(data: np.ndarray, names: Sequence[str]) -> list[str]:
    """Name the first sequences that hold NaN or infinite values."""
    bad: list[int] = []
    values = 0
    for start, block in _blocks(data):
        with np.errstate(all="ignore"):
            if np.isfinite(block.sum(dtype=np.float64)):
                continue
        wrong = ~np.isfinite(block)
        values += int(wrong.sum())
        bad += (start + np.flatnonzero(wrong.any(axis=(1, 2, 3, 4)))).tolist()
    if not bad:
        return []
    listed = ", ".join(f"{i} ({names[i]})" if i < len(names) else str(i) for i in bad[:MOST_NAMED])
    more = ", ..." if len(bad) > MOST_NAMED else ""
    return [f"{values} values in {len(bad)} sequences are NaN or infinite: {listed}{more}; missing joints are written as 0"]


def valid_lengths(data: np.ndarray) -> np.ndarray:
    """Frames of each sequence up to the last that is not all zero; int64 (N,)."""
    result = np.zeros(len(data), dtype=np.int64)
    frames = np.arange(1, data.shape[2] + 1)
    for start, block in _blocks(data) if len(data) else ():
        filled = block.any(axis=(1, 3, 4))
        result[start : start + len(block)] = (filled * frames).max(axis=1)
    return result


def facts(skeletons: SkeletonSet, label_map: Mapping[str, int]) -> dict[str, Any]:
    """What a report says of a set, JSON-able: file, hash, shape, sequences per class, frames, persons, missing joints.

    A set made of several files has no hash of its own; theirs are under ``files``.

    ``missing_joint_share`` is the share of all-zero joints within the valid frames of the first person of a sequence.
    """
    data = skeletons.data
    lengths = valid_lengths(data)
    per_class = None
    if skeletons.labels is not None:
        per_class = {name: int((skeletons.labels == i).sum()) for name, i in label_map.items()}
    paths = skeletons.made_of or (skeletons.path,)
    hashes = [{"path": path, "sha256": files.sha256(path)} for path in paths]
    return {
        "path": skeletons.path,
        "sha256": hashes[0]["sha256"] if len(paths) == 1 else None,
        "shape": list(data.shape),
        "dtype": str(data.dtype),
        "bytes": sum(Path(path).stat().st_size for path in paths),
        "sequences": len(data),
        "per_class": per_class,
        "frames": {"min": int(lengths.min()), "median": float(np.median(lengths)), "max": int(lengths.max())},
        "persons": skeletons.num_persons,
        "missing_joint_share": _missing_share(data, lengths),
        "notes": list(skeletons.notes),
        **({"files": hashes} if len(paths) > 1 else {}),
        **({"division": dict(skeletons.division)} if skeletons.division else {}),
    }


def _missing_share(data: np.ndarray, lengths: np.ndarray) -> float:
    missing = 0
    frames = np.arange(data.shape[2])
    for start, block in _blocks(data):
        valid = frames < lengths[start : start + len(block), None]
        absent = ~block[..., 0].any(axis=1)  # (n, T, V)
        missing += int((absent & valid[:, :, None]).sum())
    total = int(lengths.sum()) * data.shape[3]
    return missing / total if total else 0.0
