"""Tables that people write: CSV with a header, separated by commas, semicolons or tabs. Knows not what the columns mean."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from stgcn.errors import DataError

MOST_BYTES = 256 * 2**20


def rows(path: Path, required: Iterable[tuple[str, ...]]) -> Iterator[tuple[int, dict[str, str]]]:
    """Line number and cells by lower-case column name; of each of ``required`` the header must have one name.

    Raises:
        DataError: the file cannot be read, is no table, or lacks a column.
    """
    try:
        if path.stat().st_size > MOST_BYTES:
            raise DataError(f"{path} is larger than {MOST_BYTES >> 20} MiB; expected a table of labels")
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 text, at byte {error.start}; save it as CSV in UTF-8") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from None
    head = text.partition("\n")[0]
    table = csv.reader(io.StringIO(text, newline=""), delimiter=max(",;\t", key=head.count))
    try:
        columns = [name.strip().lower() for name in next(table, [])]
        absent = [names[0] for names in required if not set(names) & set(columns)]
        if absent:
            raise DataError(
                f"{path} has no column {' and no '.join(absent)}; its columns: {', '.join(columns)[:200] or 'none'}"
            )
        for row in table:
            if any(text.strip() for text in row):
                yield table.line_num, {name: text.strip() for name, text in zip(columns, row, strict=False)}
    except csv.Error as error:
        raise DataError(f"{path}, line {table.line_num}: not a CSV ({error})") from None


def cell(row: Mapping[str, str], names: Iterable[str]) -> str | None:
    """The first of the columns ``names`` that has something in it."""
    return next((row[name] for name in names if row.get(name)), None)
