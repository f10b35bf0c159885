"""Two models on the same sequences: which answers differ, and whether so uneven a split would be chance (McNemar). Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

from runner.report import words
from runner.report.artifacts import Artifacts
from runner.report.collect import Record

RARE = 0.05  # a p-value below which a difference counts as more than chance
EXACT = 2000  # differing answers up to which the binomial is summed, beyond it is approximated
Answers = Mapping[tuple[Any, str], tuple[str, bool]]


def answers(artifacts: Artifacts, record: Record) -> dict[tuple[Any, str], tuple[str, bool]]:
    """Of every sequence of an evaluate job, by place and name: its true class, and whether it was recognised."""
    return {
        (line.get("index"), str(line.get("sample", ""))): (str(line.get("truth")), line.get("truth") == line.get("predicted"))
        for line in artifacts.lines(record, "predictions")
    }


def all_pairs(sides: Sequence[tuple[str, Answers]]) -> list[dict[str, Any]]:
    """Every two sides whose predictions are of the same sequences with the same truth."""
    return [found for (a, mine), (b, theirs) in combinations(sides, 2) if (found := pair(a, mine, b, theirs))]


def pair(a: str, mine: Answers, b: str, theirs: Answers) -> dict[str, Any] | None:
    """How the answers of two sides differ; None where they are not of the same sequences with the same truth."""
    if not mine or set(mine) != set(theirs) or any(mine[key][0] != theirs[key][0] for key in mine):
        return None
    only_a = sum(mine[key][1] and not theirs[key][1] for key in mine)
    only_b = sum(theirs[key][1] and not mine[key][1] for key in mine)
    both = sum(mine[key][1] and theirs[key][1] for key in mine)
    return {
        "a": a,
        "b": b,
        "both": both,
        "only_a": only_a,
        "only_b": only_b,
        "neither": len(mine) - both - only_a - only_b,
        "p": mcnemar(only_a, only_b),
    }


def mcnemar(first: int, second: int) -> float:
    """How often chance alone would split the answers that differ at least as unevenly: two-sided, exact for small numbers."""
    n, least = first + second, min(first, second)
    if n == 0:
        return 1.0
    if n <= EXACT:
        return float(min(1.0, 2 * sum(math.comb(n, k) for k in range(least + 1)) / 2**n))
    return math.erfc(max(abs(first - second) - 1, 0) / math.sqrt(2 * n))


def in_words(found: Mapping[str, Any]) -> str:
    """The pair in a sentence."""
    a, b = found["a"], found["b"]
    if not found["only_a"] and not found["only_b"]:
        return f"{a} and {b} are right and wrong on the very same sequences."
    chance = "more than chance would do" if found["p"] < RARE else "no more than chance would do"
    return (
        f"{b} recognises {words.count(found['only_b'], 'sequence')} that {a} does not, "
        f"{a} {found['only_a']} that {b} does not: {chance} (p\u00a0=\u00a0{words.number(found['p'], 2)})."
    )
