"""Who performed a sequence, as sample names or a table say it, and which class a name speaks of."""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from stgcn.errors import DataError

NTU = re.compile(r"S\d{3}C\d{3}P(\d{3})R\d{3}A\d{3}")
WORDS = ("subject", "subj", "person", "performer", "actor", "user", "sub", "p", "s")
ENOUGH = 0.9  # share of names in which the pattern must be found
BY_TABLE = "the table of subjects"
TABLES = ("subjects.csv", "samples.csv")  # beside the data, with the columns sample and subject


def subjects(names: Sequence[str], by_name: Mapping[str, str]) -> tuple[list[str | None], str]:
    """Subject of each sample, None where unknown, and in words how it was told; all None when names do not tell."""
    if by_name and sum(name in by_name for name in names) >= ENOUGH * len(names):
        return [by_name.get(name) for name in names], BY_TABLE
    found = [match[1] if (match := NTU.search(name)) else None for name in names]
    if _told(found):
        return found, "names such as S001C001P003R001A007"
    for word in WORDS:
        pattern = re.compile(rf"(?:^|[^A-Za-z0-9]){word}[-_]?0*(\d{{1,4}})(?![A-Za-z0-9])", re.I)
        found = [match[1] if (match := pattern.search(name)) else None for name in names]
        if _told(found):
            example = next(name for name, subject in zip(names, found, strict=True) if subject)
            return found, f"names such as {example}"
    return [None] * len(names), ""


def table(folder: str | Path, path: str | Path | None = None) -> dict[str, str]:
    """Subject of a sample by its name, from a CSV with the columns sample and subject; {} when there is none.

    Without ``path`` it is looked for as subjects.csv or samples.csv in ``folder``.

    Raises:
        DataError: the file that was asked for cannot be used.
    """
    for candidate in [Path(path)] if path else [Path(folder) / name for name in TABLES]:
        if candidate.is_file():
            try:
                with open(candidate, newline="", encoding="utf-8-sig") as file:
                    rows = csv.DictReader(file)
                    if {"sample", "subject"} <= set(rows.fieldnames or ()):
                        return {row["sample"]: row["subject"] for row in rows if row["sample"] and row["subject"]}
            except (OSError, UnicodeDecodeError, csv.Error) as error:
                raise DataError(f"{candidate} cannot be read: {error}") from None
    if path:
        missing = "no such file" if not Path(path).exists() else "it is not a CSV file with the columns sample and subject"
        raise DataError(f"{path}: {missing}")
    return {}


def _told(found: Sequence[str | None]) -> bool:
    """Found nearly everywhere, and a person has several sequences: a running number does not."""
    known = [subject for subject in found if subject is not None]
    return bool(known) and len(known) >= ENOUGH * len(found) and 1 < len(set(known)) <= len(known) / 2


def class_in_name(name: str, classes: Sequence[str]) -> str | None:
    """The longest class name that stands in a sample name as a word of its own."""
    fits = [c for c in classes if len(c) >= 3 and re.search(rf"(?:^|[^A-Za-z]){re.escape(c)}(?![A-Za-z])", name, re.I)]
    return max(fits, key=len, default=None)
