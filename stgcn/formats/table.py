"""The formats there are, and which of them a file or folder holds. Knows no format itself; writes nothing."""

from __future__ import annotations

import filecmp
import importlib
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import NamedTuple, Protocol, cast

from stgcn.errors import DataError
from stgcn.formats import numpy_arrays, scan
from stgcn.formats.base import Options, Recording, folders

DEEPSTREAM = "deepstream"
FORMATS: dict[str, str] = {
    DEEPSTREAM: "stgcn.formats.deepstream",
    "openpose": "stgcn.formats.openpose",
    "coco_json": "stgcn.formats.coco_json",
    "alphapose": "stgcn.formats.alphapose",
    "yolo": "stgcn.formats.yolo",
    "mediapipe": "stgcn.formats.mediapipe",
    "ntu_skeleton": "stgcn.formats.ntu_skeleton",
    "kinetics_json": "stgcn.formats.kinetics_json",
    "pyskl": "stgcn.formats.pyskl",
    "csv": "stgcn.formats.csv_table",
    "numpy": "stgcn.formats.numpy_arrays",
}
GENERAL = ("csv",)  # its tables may be those of a tool, whose own format knows more of them
MOST_NAMED = 3
MOST_SUFFIXES = 6


class Reader(Protocol):
    """What a format module offers."""

    NAME: str

    def units(self, root: Path) -> list[Path]:
        """Files or folders under ``root`` that hold recordings of the format, sorted."""

    def read(self, unit: Path, root: Path, options: Options) -> Iterator[Recording]:
        """The recordings of one unit, one at a time."""


class Found(NamedTuple):
    """What holds recordings, by the formats that were taken, and why they were taken, in words."""

    parts: dict[str, list[Path]]
    why: str

    @property
    def formats(self) -> str:
        """The names of the formats."""
        return ", ".join(self.parts)

    def units(self) -> list[tuple[Reader, Path]]:
        """What holds recordings, each with the reader of its format."""
        return [(reader_of(name), unit) for name, units in self.parts.items() for unit in units]


def reader_of(name: str) -> Reader:
    """The module of a format."""
    return cast(Reader, importlib.import_module(FORMATS[name]))


def recognise(root: Path, wanted: str = "auto", beside: Collection[Path] = (), *, mixed: bool = False) -> Found:
    """Find the recordings under ``root``, of the format ``wanted`` or of the only one that claims anything.

    ``beside`` are files that are no recordings (label tables), whatever they look like. With ``mixed`` several formats may lie
    side by side, as long as no two claim the same.

    Raises:
        DataError: no format or several claim what is there; says what was found, and which formats there are.
    """
    if not root.exists():
        raise DataError(f"{root} does not exist")
    found = claims(root, wanted, beside)
    if not found:
        raise DataError(_nothing(root, wanted))
    claimed = [unit for units in found.values() for unit in units]
    if len(found) == 1 or (mixed and len(set(claimed)) == len(claimed)):
        return Found(found, "; ".join(_why(name, units, root, wanted) for name, units in found.items()))
    said = "; ".join(f"{name}: {_listed(units, root)}" for name, units in found.items())
    raise DataError(
        f"{root} can be read as several formats ({said}); set dataset_convert.format to the one that is meant, or "
        f"dataset_convert.target_layout to have all of them in one skeleton"
    )


def claims(root: Path, wanted: str = "auto", beside: Collection[Path] = ()) -> dict[str, list[Path]]:
    """What each format takes for its own under ``root``; formats that take nothing are left out."""
    others = {path.resolve() for path in beside}
    found = {}
    for name in FORMATS if wanted == "auto" else [wanted]:
        units = [unit for unit in reader_of(name).units(root) if not _beside(unit, others)]
        if units:
            found[name] = units
    return _most_specific(found)


def _beside(unit: Path, others: Collection[Path]) -> bool:
    """Whether it is one of the files beside the data, or a copy of it, as fetching from storage makes."""
    if unit.resolve() in others:
        return True
    return unit.is_file() and any(
        unit.name == other.name and other.is_file() and filecmp.cmp(unit, other, shallow=False) for other in others
    )


def _most_specific(found: dict[str, list[Path]]) -> dict[str, list[Path]]:
    """Leave to the general formats what no format of a tool claims."""
    taken = {unit for name, units in found.items() if name not in GENERAL for unit in units}
    left = {name: [unit for unit in units if name not in GENERAL or unit not in taken] for name, units in found.items()}
    return {name: units for name, units in left.items() if units}


def _why(name: str, units: list[Path], root: Path, wanted: str) -> str:
    said = f"{len(units)} file{'s' * (len(units) != 1)} or folder{'s' * (len(units) != 1)} of it: {_listed(units, root)}"
    return f"{name}, as the spec says; {said}" if wanted != "auto" else f"{name}, recognised by content; {said}"


def _listed(units: list[Path], root: Path) -> str:
    names = [unit.relative_to(root).as_posix() if unit != root else unit.name for unit in units[:MOST_NAMED]]
    return ", ".join(names) + (f" and {len(units) - MOST_NAMED} more" if len(units) > MOST_NAMED else "")


def _nothing(root: Path, wanted: str) -> str:
    known = ", ".join(FORMATS)
    asked = "any known format" if wanted == "auto" else f"the format {wanted}"
    if root.is_file():
        return f"{root} holds nothing of {asked}; formats: {known}"
    suffixes: dict[str, int] = {}
    empty = 0
    for path in (path for folder in folders(root) for path in folder.iterdir()):
        if path.is_file():
            suffixes[path.suffix or "no suffix"] = suffixes.get(path.suffix or "no suffix", 0) + 1
            empty += not path.stat().st_size
    most = sorted(suffixes.items(), key=lambda item: -item[1])[:MOST_SUFFIXES]
    there = ", ".join(f"{count} {suffix}" for suffix, count in most) or "no files"
    there += f" ({empty} of them empty)" if empty else ""
    return f"{root} holds nothing of {asked}; there are: {there}{_broken(root)}; formats: {known}"


def _broken(root: Path) -> str:
    """The first files that are too broken to tell what they hold, and why."""
    said = []
    for path in (path for folder in folders(root) for path in sorted(folder.iterdir())):
        suffix = path.suffix.lower()
        why = None
        if suffix in (".npy", ".npz") and path.is_file():
            why = numpy_arrays.broken(path)
        elif suffix == ".json" and scan.json_kind(path) == scan.BROKEN:
            why = scan.why_broken(path)
        if why:
            said.append(f"{path.relative_to(root).as_posix()} {why}")
            if len(said) == MOST_NAMED:
                break
    return f"; broken: {', '.join(said)}" if said else ""
