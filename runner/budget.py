"""How much a search may cost: the words of ``--budget`` as numbers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from runner.errors import UsageError

DEFAULT_TRIALS = 10


def parse(words: Iterable[str]) -> dict[str, Any]:
    """``trials=8`` and ``time=10m`` -> {"trials": 8, "seconds": 600.0}; nothing said: ten trials."""
    budget: dict[str, Any] = {"trials": None, "seconds": None}
    units = {"s": 1, "m": 60, "h": 3600}
    for word in words:
        key, _, value = word.partition("=")
        try:
            if key == "trials" and int(value) > 0:
                budget["trials"] = int(value)
                continue
            if key == "time":
                seconds = float(value[:-1]) * units[value[-1]] if value[-1:] in units else float(value)
                if 0 < seconds < float("inf"):
                    budget["seconds"] = seconds
                    continue
        except ValueError:
            pass
        raise UsageError(f"--budget {word}: not a budget; allowed: trials=N (N of 1 or more), time=30s, time=10m, time=2h.")
    if budget["trials"] is None and budget["seconds"] is None:
        budget["trials"] = DEFAULT_TRIALS
    return budget
