"""Open what lies in a folder as a data set, taking as much as can be read and saying what cannot. Measures nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from stgcn import labels, npy, people
from stgcn.consistency import of_classes
from stgcn.errors import DataError
from stgcn.inspect.finding import Finding

AXES = "(N, C, T, V, M) = sequences, channels, frames, joints, persons"
SUFFIX = "_data.npy"
LABEL_SUFFIXES = (".pkl", ".json", ".npy", ".csv")
ORDER = ("train", "val", "test")
BLOCK_BYTES = 8 * 2**20
MOST_CHANNELS = 6


@dataclass
class Part:
    """One split: its array as the file holds it (rank 5), its sample names, and class ids when there are any."""

    split: str
    path: Path
    data: np.ndarray
    names: list[str]
    ids: np.ndarray | None
    label_path: Path | None

    def blocks(self) -> Iterator[tuple[int, np.ndarray]]:
        """First index and float32 (n, C, T, V, M) of some sequences at a time."""
        per_block = max(1, BLOCK_BYTES // max(1, self.data[0].size * 4))
        for start in range(0, len(self.data), per_block):
            yield start, self.take(slice(start, start + per_block))

    def take(self, which: slice | np.ndarray | list[int]) -> np.ndarray:
        """Some sequences as float32, in memory one person after the other: joints side by side are quick to go over."""
        with np.errstate(over="ignore"):
            block = np.asarray(self.data[which], dtype=np.float32)
        return block if block.shape[4] == 1 else np.ascontiguousarray(np.moveaxis(block, 4, 0)).transpose(1, 2, 3, 4, 0)


@dataclass
class Source:
    """A folder: its readable splits, its label map, and what was wrong on the way."""

    folder: Path
    parts: dict[str, Part]
    label_map: dict[str, int] | None
    findings: list[Finding] = field(default_factory=list)


def read(folder: str | Path) -> Source:
    """Open the splits ``<split>_data.npy`` of a folder with their labels.

    Raises:
        DataError: it is no folder, or holds no such file.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise DataError(f"{folder} is {'a file' if folder.exists() else 'not there'}; expected a folder with train{SUFFIX}")
    paths = {path.name.removesuffix(SUFFIX): path for path in folder.glob(f"*{SUFFIX}") if not path.name.startswith(".")}
    if not paths:
        there = ", ".join(sorted(path.name for path in folder.iterdir())[:8]) or "nothing"
        raise DataError(
            f"{folder} holds no <split>{SUFFIX}, such as train{SUFFIX}; it holds {there}. "
            "Keypoint files of a pose estimator are converted first: pose_classification dataset_convert"
        )
    source = Source(folder, {}, None)
    source.label_map = _label_map(source)
    for split in sorted(paths, key=lambda name: (ORDER.index(name) if name in ORDER else len(ORDER), name)):
        part = _part(source, split, paths[split])
        if part:
            source.parts[split] = part
    return source


def subjects(source: Source, path: str | Path | None) -> dict[str, str]:
    """Subject of a sample by its name, see ``stgcn.people.table``."""
    return people.table(source.folder, path)


def _label_map(source: Source) -> dict[str, int] | None:
    path = source.folder / "label_map.json"
    if not path.exists():
        source.findings.append(Finding("note", "no_label_map", "there is no label_map.json: classes have numbers and no names"))
        return None
    try:
        content = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        source.findings.append(Finding("error", "label_map", f"label_map.json cannot be read: {str(error)[:100]}"))
        return None
    if not isinstance(content, Mapping) or not all(type(i) is int for i in content.values()) or not content:
        source.findings.append(Finding("error", "label_map", 'label_map.json is not of the form {"name": id, ...}'))
        return None
    source.findings += [
        Finding("error", "label_map", text.replace("dataset.label_map", "label_map.json"))
        for text in map(str, of_classes(content, len(content)))
    ]
    return {str(name): class_id for name, class_id in content.items()}


def _part(source: Source, split: str, path: Path) -> Part | None:
    try:
        data = npy.open_array(path, AXES)
    except DataError as error:
        source.findings += [Finding("error", "unreadable", text, split) for text in error.problems]
        return None
    problem = _shape_problem(data)
    if problem:
        source.findings.append(Finding("error", "shape", f"{path.name} {problem}", split))
        return None
    if data.dtype != np.float32:
        source.findings.append(Finding("note", "dtype", f"{path.name} holds {data.dtype}; training converts it", split))
    names, ids, label_path = _labels(source, split)
    if ids is not None and len(ids) != len(data):
        text = f"{len(ids)} labels for {len(data)} sequences: names and labels cannot be told apart and are left aside"
        source.findings.append(Finding("error", "label_count", text, split))
        ids, names = None, []
    return Part(split, path, data, names or [f"{split}[{i}]" for i in range(len(data))], ids, label_path)


def _shape_problem(data: np.ndarray) -> str:
    """What is wrong with an array's form, with the likely mistake."""
    shape = data.shape
    if data.dtype.kind not in "fiu":
        return f"holds {data.dtype}; expected float32"
    if data.ndim == 4:
        return f"has rank 4, shape {shape}; expected {AXES}. One person? Add the axis: data[..., None]"
    if data.ndim != 5:
        return f"has rank {data.ndim}, shape {shape}; expected {AXES}"
    if 0 in shape:
        return f"is empty: its shape is {shape}, {AXES}"
    if shape[1] > MOST_CHANNELS:
        orders = {"(N, T, V, C, M)": (0, 3, 1, 2, 4), "(N, M, T, V, C)": (0, 4, 2, 3, 1), "(N, T, M, V, C)": (0, 4, 1, 3, 2)}
        likely = [
            f"{name}: data.transpose{order}"
            for name, order in orders.items()
            if 2 <= shape[order[1]] <= 4 and shape[order[4]] <= 4 and shape[order[3]] >= 5
        ]
        hint = f" The axes look like {' or '.join(likely)}" if likely else ""
        return f"has C={shape[1]} channels in shape {shape}; expected {AXES}.{hint}"
    return ""


def _labels(source: Source, split: str) -> tuple[list[str], np.ndarray | None, Path | None]:
    path = next((p for s in LABEL_SUFFIXES if (p := source.folder / f"{split}_label{s}").exists()), None)
    if path is None:
        source.findings.append(
            Finding("warning", "no_labels", f"there is no {split}_label.pkl: good for inference only", split)
        )
        return [], None, None
    try:
        names, ids = labels.read_labels(path, source.label_map)
    except DataError as error:
        source.findings += [Finding("error", "labels", text, split) for text in error.problems]
        return [], None, path
    return names, ids, path
