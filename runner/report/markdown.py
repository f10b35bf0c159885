"""Pieces of Markdown that also read well as plain text: escaped words, code spans, fenced blocks, padded tables.

Whatever a user named is put in code spans, so that it cannot become markup. Knows nothing of reports.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

WIDEST_CELL = 60  # characters up to which a column is padded
Lines = Iterator[str]


def plain(value: Any) -> str:
    """Text outside code: nothing in it is markup, and it stays on one line."""
    return re.sub(r"([\\`*\[\]|<>])", r"\\\1", " ".join(str(value).split()))


def code(value: Any) -> str:
    """A code span on one line; fit for a table cell."""
    shown = " ".join(str(value).split()).replace("|", "\\|")
    if not shown:
        return ""
    longest = max((len(run) for run in re.findall("`+", shown)), default=0)
    fence, space = "`" * (longest + 1), " " if longest else ""
    return f"{fence}{space}{shown}{space}{fence}"


def block(content: str) -> Lines:
    """A fenced block that its content cannot close."""
    fence = "`" * max(3, *(len(run) + 1 for run in re.findall("`+", content) or [""]))
    yield from (f"{fence}text", content.rstrip(), fence, "")


def table(head: Sequence[str], rows: Iterable[Sequence[str]], right: str = "") -> Lines:
    """A padded table; ``right`` marks with ``r`` the columns that align right."""
    cells = [list(head), *(list(row) for row in rows)]
    if len(cells) == 1:
        return
    align = right.ljust(len(head), "l")
    fits = [[len(row[i]) for row in cells if len(row[i]) <= WIDEST_CELL] for i in range(len(head))]
    widths = [max([3, *lengths]) for lengths in fits]
    for n, row in enumerate(cells):
        yield (
            "| " + " | ".join(c.rjust(w) if a == "r" else c.ljust(w) for c, w, a in zip(row, widths, align, strict=True)) + " |"
        )
        if n == 0:
            yield "|" + "|".join("-" * (w + 1) + (":" if a == "r" else "-") for w, a in zip(widths, align, strict=True)) + "|"
    yield ""
