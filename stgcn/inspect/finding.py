"""One thing that was noticed in a data set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Level = Literal["error", "warning", "note"]
LEVELS: tuple[Level, ...] = ("error", "warning", "note")
MOST_LISTED = 200  # sample names kept of one finding; the count stays true


@dataclass(frozen=True)
class Finding:
    """``error``: training refuses it, or its result would mean nothing. ``warning``: look at it. ``note``: good to know."""

    level: Level
    code: str
    text: str
    split: str | None = None
    samples: Sequence[str] = field(default_factory=tuple)  # names, those of the worst first
    where: tuple[tuple[str, int], ...] = ()  # (split, index) of samples that pictures show
    count: int | None = None  # samples concerned

    def plain(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "level": self.level,
            "code": self.code,
            "split": self.split,
            "text": self.text,
            "count": len(self.samples) if self.count is None else self.count,
            "samples": list(self.samples[:MOST_LISTED]),
        }
