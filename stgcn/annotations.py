"""What a user says about recordings in tables: label, subject and set of each, and labelled pieces. Knows no keypoints."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Generic, NamedTuple, TypeVar

from stgcn.delimited import cell, rows
from stgcn.errors import DataError

MOST_PROBLEMS = 20
SAMPLE = ("sample", "name", "file", "video", "clip")
LABEL = ("label", "class", "action")
SUBJECT = ("subject", "person", "performer")
SPLIT = ("split", "set", "subset")
RECORDING = ("recording", "group", "session")
START, END = ("start", "start_frame", "first"), ("end", "end_frame", "stop")

T = TypeVar("T")


class Said(NamedTuple):
    """What a table says of one sample."""

    label: str | None
    subject: str | None
    split: str | None
    recording: str | None


class Segment(NamedTuple):
    """A labelled piece of a recording: frames ``start`` up to, not including, ``end``."""

    start: int
    end: int
    label: str


class Lookup(Generic[T]):
    """Entries by sample name: the whole name, or its last part where that is enough, with or without a suffix."""

    def __init__(self, entries: Mapping[str, T]) -> None:
        self.entries = dict(entries)
        self.used: dict[str, list[str]] = {}  # by entry, the recordings that it was given to
        self.short: dict[str, list[str]] = {}
        for key in entries:
            self.short.setdefault(_plain(key), []).append(key)

    def get(self, name: str) -> T | None:
        """The entry of a recording, or None; an entry that could mean several others is not guessed."""
        for candidate in (name, _plain(name), PurePosixPath(_plain(name)).name):
            keys = [candidate] if candidate in self.entries else self.short.get(candidate, [])
            if len(keys) == 1:
                self.used.setdefault(keys[0], []).append(name)
                return self.entries[keys[0]]
        return None

    def ambiguous(self) -> list[str]:
        """Entries that were given to several recordings, in words; which one is meant is for the user to say."""
        several = [(key, names) for key, names in self.used.items() if len(names) > 1]
        return [f"{key!r} could be {', '.join(names[:3])}{', ...' * (len(names) > 3)}" for key, names in several]

    def unused(self) -> list[str]:
        """Entries that no recording asked for."""
        return [key for key in self.entries if key not in self.used]


def _plain(name: str) -> str:
    """A name without suffix, and with '/' between folders: 'walk\\a.mp4' -> 'walk/a'.

    Letters such as ü are brought to one character: file systems and tables write them as one or two.
    """
    path = PurePosixPath(unicodedata.normalize("NFC", name).replace("\\", "/").strip().removeprefix("./"))
    return str(path.with_name(path.name.split(".")[0] or path.name)) if path.name else str(path)


def read_table(path: Path) -> Lookup[Said]:
    """Read a CSV with the columns sample, label and perhaps subject, split, recording.

    Raises:
        DataError: it cannot be read, lacks a column, or says two things about one sample; all problems at once.
    """
    entries: dict[str, Said] = {}
    problems: list[str] = []
    for line, row in rows(path, required=(SAMPLE,)):
        name = cell(row, SAMPLE)
        said = Said(cell(row, LABEL), cell(row, SUBJECT), cell(row, SPLIT), cell(row, RECORDING))
        if name is None:
            problems.append(f"{path}, line {line}: no sample is named")
        elif entries.setdefault(name, said) != said:
            problems.append(f"{path}, line {line}: {name} was already given as {entries[name].label}, now as {said.label}")
    _refuse(problems)
    if not entries:
        raise DataError(f"{path} has no rows; expected a CSV with the columns sample, label and, optionally, subject, split")
    return Lookup(entries)


def read_segments(path: Path) -> Lookup[list[Segment]]:
    """Read a CSV with the columns sample, start, end, label.

    Raises:
        DataError: it cannot be read, or has rows that are no pieces; all problems at once.
    """
    entries: dict[str, list[Segment]] = {}
    problems: list[str] = []
    for line, row in rows(path, required=(SAMPLE, START, END, LABEL)):
        name, label = cell(row, SAMPLE), cell(row, LABEL)
        start, end = _frame(cell(row, START)), _frame(cell(row, END))
        if name is None or label is None or start is None or end is None or not 0 <= start < end:
            problems.append(f"{path}, line {line}: expected sample, start, end, label with frames 0 <= start < end")
        else:
            entries.setdefault(name, []).append(Segment(start, end, label))
    _refuse(problems)
    if not entries:
        raise DataError(f"{path} has no rows; expected a CSV with the columns sample, start, end, label")
    return Lookup(entries)


def _refuse(problems: list[str]) -> None:
    if problems:
        more = [f"... and {len(problems) - MOST_PROBLEMS} more"] if len(problems) > MOST_PROBLEMS else []
        raise DataError(problems[:MOST_PROBLEMS] + more)


def _frame(text: str | None) -> int | None:
    try:
        number = float(text or "")
    except ValueError:
        return None
    return int(number) if abs(number) < 2**31 and number.is_integer() else None
