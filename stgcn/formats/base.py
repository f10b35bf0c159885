"""What every reader gives: recordings of frames of people. Knows no format and writes nothing.

A format module has ``NAME`` (what dataset_convert.format calls it), ``units(root)`` (the files or folders under ``root`` that
hold recordings of this format, sorted; empty when there are none), and ``read(unit, root, options)`` (an iterator of
``Recording``, one at a time, so that memory is bounded by the largest recording).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from stgcn.config import DatasetConvert

MADE = ("data_card.json", "conversion.json")  # in a folder that an earlier conversion wrote


def folders(root: Path) -> Iterator[Path]:
    """``root`` and the folders below it, sorted, links to folders too (but not those that lead back up).

    Hidden ones are left out, and results of earlier conversions, which are no input of another one.
    """
    for folder, below, _ in os.walk(root, followlinks=True):
        here = os.path.realpath(folder)
        below[:] = sorted(name for name in below if not name.startswith(".") and not _leads_up(here, folder, name))
        below[:] = [name for name in below if not any(os.path.exists(os.path.join(folder, name, made)) for made in MADE)]
        yield Path(folder)


def _leads_up(here: str, folder: str, name: str) -> bool:
    """Whether a folder in ``folder`` (really at ``here``) is a link to that or to one above, which would never end."""
    path = os.path.join(folder, name)
    return os.path.islink(path) and (here + os.sep).startswith(os.path.realpath(path).rstrip(os.sep) + os.sep)


@dataclass(frozen=True, slots=True)
class Frame:
    """The people of one frame. A joint that was not seen has confidence 0 (or, without confidence, is all zero)."""

    index: int
    people: np.ndarray  # (P, V, C) float32
    ids: tuple[str | None, ...]  # track of each person, None where the source tracks nobody


@dataclass
class Recording:
    """One video or clip as a pose estimator saw it."""

    name: str  # unique in the input: its path under the root without suffixes, '/' between folders
    layout: str  # layout of the joints, a name of stgcn.graph.LAYOUTS or ``custom``
    channels: tuple[str, ...]  # such as ("x", "y", "score") or ("x", "y", "z")
    frames: list[Frame]  # in order of index; frames without people may be left out
    length: int  # frames of the recording, empty ones included
    label: str | None = None
    subject: str | None = None
    split: str | None = None
    fps: float | None = None
    size: tuple[int, int] | None = None  # width and height of the image where coordinates are pixels
    facts: dict[str, Any] = field(default_factory=dict)  # camera, setup, whatever the source says beside


@dataclass(frozen=True)
class Options:
    """What a reader may be told.

    ``bad(where, why)`` is called for every record that cannot be used; it raises when bad records are fatal, else the reader
    goes on with the next one.
    """

    bad: Callable[[str, str], None]
    columns: Mapping[str, str] | None = None  # column map of the csv format
    layout: str | None = None  # what the user says the joints are, where the source does not say
    size: tuple[int, int] | None = None  # image size where the source does not say
    settings: DatasetConvert | None = None  # all of them, for a format that has settings of its own


def name_of(path: Path, root: Path) -> str:
    """The name of a recording from where it lies."""
    relative = path.relative_to(root) if path != root else Path(path.name)
    return relative.with_name(relative.name.split(".")[0]).as_posix() if path.is_file() else relative.as_posix()
