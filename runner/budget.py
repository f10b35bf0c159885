"""How much a search may cost: the words of ``--budget`` as numbers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from runner.errors import UsageError

DEFAULT_TRIALS = 10
ROUNDS = ("hyperband", "bohb", "dehb")  # algorithms that come to an end of themselves, after one round of brackets
UNITS = {"s": 1, "m": 60, "h": 3600}
ALLOWED = "trials=N, epochs=N (N of 1 or more), time=30s, time=10m, time=2h"


def parse(words: Iterable[str]) -> dict[str, Any]:
    """``trials=8``, ``epochs=200`` and ``time=10m`` -> {"trials": 8, "seconds": 600.0, "epochs": 200}; None where not said.

    Raises:
        UsageError: a word that is no budget, or one that is said twice.
    """
    budget: dict[str, Any] = {"trials": None, "seconds": None, "epochs": None}
    for word in words:
        key, _, value = word.partition("=")
        name = "seconds" if key == "time" else key
        found = _seconds(value) if key == "time" else _count(value) if key in ("trials", "epochs") else None
        if found is None:
            raise UsageError(f"--budget {word}: not a budget; allowed: {ALLOWED}.")
        if budget[name] not in (None, found):
            raise UsageError(f"--budget {word}: {key} is given twice.")
        budget[name] = found
    return budget


def filled(budget: dict[str, Any], algorithm: str, max_epochs: int) -> dict[str, Any]:
    """The budget with what is meant where nothing is said: ten trials, or as much as ten trainings, or a round of brackets."""
    if any(budget.values()) or algorithm in ROUNDS:
        return budget
    if algorithm == "asha":  # a third of its trials is trained further, so that trials say little about its cost
        return {**budget, "epochs": DEFAULT_TRIALS * max_epochs}
    return {**budget, "trials": DEFAULT_TRIALS}


def _count(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and int(text) > 0 else None


def _seconds(text: str) -> float | None:
    try:
        seconds = float(text[:-1]) * UNITS[text[-1]] if text[-1:] in UNITS else float(text)
    except ValueError:
        return None
    return seconds if 0 < seconds < float("inf") else None
