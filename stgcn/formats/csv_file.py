"""Delimited text files row by row: delimiter, decimal comma, and the three-line headers of DeepLabCut. Knows no keypoints."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np

from stgcn.formats.clips import Unusable

MOST_CELLS = 100_000
MISSING = ("", "nan", "na", "n/a", "null", "none", "-")


class Table:
    """A delimited text file, read row by row; Unusable when it is none. ``comma``: numbers may have a decimal comma."""

    def __init__(self, path: Path) -> None:
        self.file = path.open(encoding="utf-8-sig", newline="")
        try:
            first = self.file.readline(2**20)
            self.file.seek(0)
            self.delimiter = max("\t;,|", key=first.count)
            self.comma = self.delimiter == ";"  # then numbers may have a decimal comma
            self.rows = csv.reader(self.file, delimiter=self.delimiter)
            self.header = self._header()
        except BaseException as error:
            self.file.close()
            if isinstance(error, UnicodeDecodeError | csv.Error):
                raise Unusable(f"it is no table of UTF-8 text ({str(error)[:80]})") from None
            raise

    def __enter__(self) -> Table:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()

    def __iter__(self) -> Iterator[tuple[int, list[str]]]:
        """Give line numbers and rows that are not blank."""
        try:
            for row in self.rows:
                if any(row):
                    yield self.rows.line_num, row
        except (UnicodeDecodeError, csv.Error) as error:
            line = self.rows.line_num
            raise Unusable(f"line {line}: it is no table of UTF-8 text ({str(error)[:80]})") from None

    def _header(self) -> list[str]:
        header = next(self.rows, [])
        if not any(header):
            raise Unusable("it is empty, or its first line is")
        if len(header) > MOST_CELLS:
            raise Unusable(f"it has {len(header)} columns; allowed are {MOST_CELLS}")
        if header[0].strip().lower() == "scorer":  # DeepLabCut: scorer, bodyparts, coords
            parts, coordinates = next(self.rows, []), next(self.rows, [])
            if parts[:1] != ["bodyparts"] or coordinates[:1] != ["coords"] or len(parts) != len(coordinates):
                raise Unusable("it has the header of DeepLabCut with several animals, or a broken one; give one per file")
            return ["frame", *(f"{part}_{axis}" for part, axis in zip(parts[1:], coordinates[1:], strict=True))]
        return header


def number(cell: str, comma: bool) -> float:
    """The number in a cell, NaN where it says that there is none; ValueError for what is no number."""
    cell = cell.strip()
    if cell.lower() in MISSING:
        return math.nan
    return float(cell.replace(",", ".") if comma else cell)


def numbers(row: Sequence[str], columns: Sequence[int], comma: bool) -> np.ndarray:
    """The numbers in some cells of a row, NaN for those that are missing; ValueError for what is no number."""
    if not comma:
        with suppress(ValueError):  # all of them plain numbers: the common case, and several times faster
            return np.array([float(row[i]) for i in columns])
    return np.array([number(row[i], comma) for i in columns])
