"""The top of the report in a few short sentences: how good, where weak, how sure, and what forbids to believe it. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from runner.report import words
from runner.report.trust import SEEN

WEAK = 90.0  # recall in percent below which a class is named as weak


def sentences(evaluated: dict[str, Any]) -> list[dict[str, str]]:
    """``text`` and ``kind`` (``warn`` or ``plain``) of each, of one evaluation; nothing where there is no accuracy."""
    if evaluated.get("accuracy") is None:
        return []
    return [
        *({"kind": "warn", "text": SEEN[seen]} for seen in [evaluated.get("seen_in_training")] if seen in SEEN),
        *({"kind": "plain", "text": text} for text in (*_expected(evaluated), *_weak(evaluated), *_wrong(evaluated))),
    ]


def _expected(told: dict[str, Any]) -> Iterator[str]:
    ends, guess = told.get("accuracy_interval"), told.get("majority_share")
    parts = []
    if ends:
        parts.append(f"expect {words.percent(ends[0])} to {words.percent(ends[1])} on new sequences like these (95 % interval)")
    if guess is not None:
        parts.append(f"always saying the most frequent class gives {words.percent(guess)}")
    if parts:
        yield words.sentence("; ".join(parts))


def _weak(told: dict[str, Any]) -> Iterator[str]:
    rows = [row for row in told.get("per_class") or [] if row["support"] and row["recall"] is not None]
    worst = min(rows, key=lambda row: float(row["recall"]), default=None)
    pair = next(iter(told.get("confused") or []), None)
    parts = []
    if worst and worst["recall"] < WEAK:
        found = round(worst["recall"] * worst["support"] / 100)
        parts.append(f"weakest class: {worst['name']}, {found} of {worst['support']} recognised")
    if pair and pair["count"] > 1:
        parts.append(f"most often confused: {pair['truth']}, {pair['count']} times taken for {pair['predicted']}")
    if parts:
        yield words.sentence("; ".join(parts))


def _wrong(told: dict[str, Any]) -> Iterator[str]:
    wrong = told.get("wrong")
    if not wrong:
        return
    if not wrong["count"]:
        yield "No wrong answer."
        return
    sure = f"{words.number(wrong['sure'])} of them" if wrong["sure"] else "none of them"
    count = words.count(wrong["count"], "wrong answer")
    yield f"{count}, {sure} given with a probability of {words.percent(100 * wrong['sure_from'], 0)} or more."
