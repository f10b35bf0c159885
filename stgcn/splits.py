"""Division of groups (subjects, recordings) into train, val and test: stratified, seeded, no group in two sets. No files."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Mapping, Sequence
from typing import TypeVar

import numpy as np

from stgcn.errors import DataError, SpecError

SETS = ("train", "val", "test")
WORDS = {
    "train": ("train", "training", "trn"),
    "val": ("val", "valid", "validation", "dev"),
    "test": ("test", "testing", "tst", "eval"),
}
DEFAULT = (0.7, 0.15, 0.15)
ROUNDED = 0.015  # shares such as 0.33,0.33,0.33 are 1 nearly
TRIES = 64  # orders tried where a group holds several classes
MANY_GROUPS = 500

Group = TypeVar("Group", bound=Hashable)


def set_name(text: str | None) -> str | None:
    """Which set a word means ("Training", "xsub_val"), or None."""
    last = (text or "").strip().lower().rpartition("_")[2]
    return next((name for name, words in WORDS.items() if last in words), None)


def shares(text: str) -> tuple[float, float, float]:
    """Read "0.7,0.15,0.15" (or "70,15,15"); two numbers leave test empty.

    Raises:
        SpecError: not two or three numbers of 0 or more, none for train, or fractions that do not add up to 1 (or 100).
    """
    try:
        numbers = [float(part) for part in text.replace("/", ",").replace(" ", ",").split(",") if part]
    except ValueError:
        numbers = []
    if len(numbers) == 2:
        numbers.append(0.0)
    total = sum(numbers)
    if len(numbers) != 3 or not all(0 <= n < float("inf") for n in numbers) or not numbers[0] > 0:
        raise SpecError(
            f"dataset_convert.split is {text!r}; expected auto, given, subject, or shares of train, val and test such as "
            f"0.7,0.15,0.15"
        )
    whole = all(number.is_integer() for number in numbers)  # 6/2/2 are parts, of whatever they add up to
    if not whole and min(abs(total - 1), abs(total / 100 - 1)) > ROUNDED:
        raise SpecError(f"dataset_convert.split is {text!r}: the shares add up to {total:g}; expected 1, as in 0.7,0.15,0.15")
    return (numbers[0] / total, numbers[1] / total, numbers[2] / total)


def divide(groups: Mapping[Group, Mapping[int, int]], wanted: Sequence[float], seed: int) -> dict[Group, str]:
    """Give every group, {class id: sequences}, its set.

    Every class is in train, with two groups in val too, with three in test, as far as ``wanted`` shares ask for them.

    Raises:
        DataError: there are fewer groups than sets that training needs.
    """
    asked = [i for i, share in enumerate(wanted) if share > 0]
    if len(groups) < min(2, len(asked)):
        raise DataError(
            f"there is one recording or subject only ({next(iter(groups), 'none')}), which cannot be both in train and val; "
            f"add others, or set dataset_convert.split=1,0,0 to write a training set alone"
        )
    rng = np.random.default_rng(seed)
    if all(len(classes) == 1 for classes in groups.values()):
        return _by_class(groups, wanted, rng)
    return _by_trial(groups, wanted, rng)


def _quotas(count: int, wanted: Sequence[float]) -> list[int]:
    """How many of ``count`` go to each set: shares rounded, but one each while there are enough, train first."""
    quotas = [0] * len(wanted)
    asked = [i for i, share in enumerate(wanted) if share > 0]
    for i in asked[:count]:
        quotas[i] = 1
    for _ in range(count - sum(quotas)):
        quotas[max(asked, key=lambda i: wanted[i] * count - quotas[i])] += 1
    return quotas


def _by_class(groups: Mapping[Group, Mapping[int, int]], wanted: Sequence[float], rng: np.random.Generator) -> dict[Group, str]:
    members: dict[int, list[Group]] = defaultdict(list)
    for group, classes in groups.items():
        members[next(iter(classes))].append(group)
    result: dict[Group, str] = {}
    for class_id in sorted(members):
        mine = [members[class_id][i] for i in rng.permutation(len(members[class_id]))]
        for name, quota in zip(SETS, _quotas(len(mine), wanted), strict=True):
            result |= dict.fromkeys(mine[:quota], name)
            mine = mine[quota:]
    return _with_val(result, wanted)


def _with_val(result: dict[Group, str], wanted: Sequence[float]) -> dict[Group, str]:
    """Where every class has one group alone, all would be in train: some are moved, so that training has a val set."""
    if wanted[1] > 0 and "val" not in result.values():
        for group in list(result)[: max(1, round(wanted[1] * len(result)))]:
            result[group] = "val"
    return result


def _by_trial(groups: Mapping[Group, Mapping[int, int]], wanted: Sequence[float], rng: np.random.Generator) -> dict[Group, str]:
    """Groups that hold several classes: greedily in several random orders; the division nearest to the shares wins."""
    keys = list(groups)
    ids = sorted({class_id for classes in groups.values() for class_id in classes})
    counts = np.array([[groups[key].get(i, 0) for i in ids] for key in keys], dtype=np.float64)  # (groups, classes)
    target = np.array(wanted)[:, None] * counts.sum(axis=0)
    best, lowest = np.zeros(len(keys), dtype=int), np.inf
    for _ in range(TRIES if len(keys) <= MANY_GROUPS else 1):
        chosen = _greedy(counts, target, wanted, rng.permutation(len(keys)))
        cost = _cost(counts, target, chosen)
        if cost < lowest:
            best, lowest = chosen, cost
    return {key: SETS[i] for key, i in zip(keys, best, strict=True)}


def _greedy(counts: np.ndarray, target: np.ndarray, wanted: Sequence[float], order: np.ndarray) -> np.ndarray:
    asked = [i for i, share in enumerate(wanted) if share > 0]
    chosen = np.zeros(len(counts), dtype=int)
    filled = np.zeros_like(target)
    scale = np.maximum(counts.sum(axis=0), 1)
    for turn, group in enumerate(order):
        if turn < len(asked):  # nobody goes without
            pick = asked[turn]
        else:
            gain = [((filled[i] - target[i]) / scale * counts[group] / scale).sum() for i in asked]
            pick = asked[int(np.argmin(gain))]
        chosen[group] = pick
        filled[pick] += counts[group]
    return chosen


def _cost(counts: np.ndarray, target: np.ndarray, chosen: np.ndarray) -> float:
    filled = np.stack([counts[chosen == i].sum(axis=0) for i in range(len(target))])
    absent = ((filled == 0) & (target > 0)).sum(axis=1) @ np.array([8.0, 2.0, 1.0])
    off = (((filled - target) / np.maximum(counts.sum(axis=0), 1)) ** 2).sum()
    sizes = (((filled - target).sum(axis=1) / counts.sum()) ** 2).sum()
    return float(absent + off / target.shape[1] + sizes)


def straddling(groups: Sequence[Hashable], sets: Sequence[str]) -> list[str]:
    """Groups that a given division puts into more than one set, in words."""
    found: dict[Hashable, Counter[str]] = defaultdict(Counter)
    for group, name in zip(groups, sets, strict=True):
        found[group][name] += 1
    return [f"{group} ({', '.join(sorted(names))})" for group, names in found.items() if len(names) > 1]
