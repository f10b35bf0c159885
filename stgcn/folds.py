"""Which sequences are trained on and which validate: parts of both sets pooled (cross-validation), or a share of the first.

Whoever performed a sequence, and the recording it was cut from, stand on one side. Numpy only; no array is copied, and the test
set is not known here.
"""

from __future__ import annotations

import dataclasses
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np

from stgcn import config, people
from stgcn.arrays import SkeletonSet
from stgcn.errors import DataError

SHARE = 1  # the stream of random numbers that a share is drawn from; parts are drawn from 0
TRIES = 32  # orders tried where groups hold several sequences
MANY_GROUPS = 500
MOST_NAMED = 5
# What the importer appends to a recording's name: a person of it, a segment, a window.
PERSON = re.compile(r"_person[A-Za-z0-9.-]+(?=(?:_f\d{6}-\d{6})?(?:_w\d{6})?$)")
CUT = re.compile(r"(?:_f\d{6}-\d{6})?(?:_w\d{6})?$")
CARD = "data_card.json"  # lies beside the data that the importer wrote
KEYS = ("folds", "fold", "fold_by", "train_share")


class Pool:
    """Some rows of several arrays (N, C, T, V, M) as one array, in their order; nothing is copied before rows are asked for.

    Where frames or persons differ, the smaller ones are padded with zeros at the end as they are taken. It is indexed and read
    like a numpy array.
    """

    def __init__(self, parts: Sequence[np.ndarray], rows: np.ndarray | None = None) -> None:
        self.parts = list(parts)
        self.starts = np.cumsum([0, *(len(part) for part in self.parts)])
        self.rows = np.arange(self.starts[-1]) if rows is None else np.asarray(rows, dtype=np.int64)
        sizes = np.array([part.shape[1:] for part in self.parts]).max(axis=0)
        self.shape = (len(self.rows), *(int(size) for size in sizes))
        self.dtype = self.parts[0].dtype
        self.ndim = 5
        self.size = int(np.prod(self.shape))
        self.nbytes = self.size * self.dtype.itemsize

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, key: Any) -> np.ndarray:
        first, rest = (key[0], key[1:]) if isinstance(key, tuple) else (key, ())
        wanted = self.rows[first]
        taken = self._taken(np.atleast_1d(wanted), rest)
        return cast("np.ndarray", taken if np.ndim(wanted) else taken[0])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        whole = self[:]
        return whole if dtype is None else whole.astype(dtype)

    def _taken(self, wanted: np.ndarray, rest: tuple[Any, ...]) -> np.ndarray:
        """The rows ``wanted`` of the parts, each indexed by ``rest``."""
        owner = np.searchsorted(self.starts, wanted, side="right") - 1
        result: np.ndarray | None = None
        for i in np.unique(owner) if len(wanted) else np.array([0]):
            mine = owner == i
            found = self._of(int(i), wanted[mine] - self.starts[i], rest)
            if result is None:
                result = np.empty((len(wanted), *found.shape[1:]), dtype=self.dtype)
            result[mine] = found
        assert result is not None
        return result

    def _of(self, i: int, rows: np.ndarray, rest: tuple[Any, ...]) -> np.ndarray:
        part = self.parts[i]
        if part.shape[1:] == self.shape[1:]:
            return np.asarray(part[(slice(None), *rest)][rows])  # a view first, so that of a mapped file little is read
        widths = [(0, 0), *((0, whole - own) for whole, own in zip(self.shape[1:], part.shape[1:], strict=True))]
        return np.asarray(np.pad(part[rows], widths)[(slice(None), *rest)])


class Groups(NamedTuple):
    """The group of each sequence, which is not divided; how groups were told, in words ("" where each stands alone)."""

    of: list[str]
    how: str
    unknown: int


def contradictions(spec: Mapping[str, Any], dataset: config.Dataset, seed: int) -> list[str]:
    """Where another division than that of ``spec``, which a checkpoint was trained by, would mix what was kept apart."""
    then, seed_then = spec.get("dataset", {}), spec.get("train", {}).get("seed")
    rows = [(f"dataset.{key}", then.get(key, getattr(config.Dataset, key)), getattr(dataset, key)) for key in KEYS]
    if (dataset.folds or dataset.train_share < 1) and isinstance(seed_then, int):
        rows.append(("train.seed", max(seed_then, 0), max(seed, 0)))
    return [
        f"{key} was {theirs} and is {ours}: it would be trained on sequences that it was kept from"
        for key, theirs, ours in rows
        if theirs != ours
    ]


def divide(train: SkeletonSet, val: SkeletonSet, dataset: config.Dataset, seed: int) -> tuple[SkeletonSet, SkeletonSet]:
    """The sets to train on and to validate with, as ``dataset`` asks; those given where it asks for nothing.

    ``seed`` decides the parts and the share; one below 0 (drawn anew in every run) counts as 0, so that the parts of several
    runs belong together.

    Raises:
        DataError: there are fewer subjects, recordings or sequences than parts.
    """
    seed = max(seed, 0)
    if dataset.folds:
        train, val = _pooled_parts(train, val, dataset, seed)
    if dataset.train_share < 1:
        train = _shared(train, dataset.train_share, seed)
    return train, val


def groups(names: Sequence[str], by: str, *, table: Mapping[str, str] | None = None, imported: bool = False) -> Groups:
    """Whoever performed a sequence, as ``table`` or the names tell, else the recording it was cut from; ``by`` class: neither.

    ``imported`` names bear a number for each person of a recording, which says nothing of who it is.
    """
    alone = [f"sequence {i}" for i in range(len(names))]
    if by == "class":
        return Groups(alone, "", 0)
    found, how = people.subjects(names, table or {})
    bare = [PERSON.sub("", name) for name in names] if imported else list(names)
    if how and imported and how != people.BY_TABLE:
        found, how = people.subjects(bare, {})
    if how:
        said = [f"subject {subject}" if subject is not None else own for subject, own in zip(found, alone, strict=True)]
        return Groups(said, f"by subject, told by {how}", sum(subject is None for subject in found))
    recordings = [CUT.sub("", name) for name in bare]
    if len(set(recordings)) == len(names):
        return Groups(alone, "", 0)
    cut = [recording != name for recording, name in zip(recordings, names, strict=True)]
    own = [recording if was else single for recording, was, single in zip(recordings, cut, alone, strict=True)]
    return Groups(own, "by recording, told by the names of what was cut from it", 0) if any(cut) else Groups(alone, "", 0)


def parts(group_of: Sequence[str], labels: np.ndarray, folds: int, seed: int) -> np.ndarray:
    """The part 0 to ``folds`` - 1 of each sequence: groups whole, classes and sizes as even as they can be; int64 (N,).

    There are as many groups as parts, or more; no part is empty.
    """
    names = list(dict.fromkeys(group_of))
    number = {name: i for i, name in enumerate(names)}
    group = np.array([number[name] for name in group_of])
    ids, column = np.unique(labels, return_inverse=True)
    counts = np.zeros((len(names), len(ids)))
    np.add.at(counts, (group, column), 1)
    rng = np.random.default_rng([seed, 0])
    tries = TRIES if len(names) < len(group_of) and len(names) <= MANY_GROUPS else 1
    drawn = [_greedy(counts, folds, rng) for _ in range(tries)]
    best: np.ndarray = min(drawn, key=lambda chosen: _unevenness(counts, folds, chosen))
    return np.asarray(best[group])


def _greedy(counts: np.ndarray, folds: int, rng: np.random.Generator) -> np.ndarray:
    """Groups in random order, the large ones first, each to the part that has the fewest of its classes."""
    order = rng.permutation(len(counts))
    order = order[np.argsort(-counts[order].sum(axis=1), kind="stable")]
    weight = 1 / np.maximum(counts.sum(axis=0), 1)
    filled = np.zeros((folds, counts.shape[1]))
    chosen = np.zeros(len(counts), dtype=np.int64)
    turn = rng.permutation(folds)  # which of equal parts comes first
    for i in order:
        there = filled[turn] @ (counts[i] * weight)
        pick = turn[np.lexsort((filled[turn].sum(axis=1), np.round(there, 9)))[0]]
        chosen[i] = pick
        filled[pick] += counts[i]
    return chosen


def _unevenness(counts: np.ndarray, folds: int, chosen: np.ndarray) -> float:
    filled = np.stack([counts[chosen == k].sum(axis=0) for k in range(folds)])
    by_class = ((filled / np.maximum(counts.sum(axis=0), 1) - 1 / folds) ** 2).sum() / counts.shape[1]
    return float(by_class + ((filled.sum(axis=1) / counts.sum() - 1 / folds) ** 2).sum())


def _pooled_parts(train: SkeletonSet, val: SkeletonSet, dataset: config.Dataset, seed: int) -> tuple[SkeletonSet, SkeletonSet]:
    assert train.labels is not None
    assert val.labels is not None
    names = [*train.names, *val.names]
    labels = np.concatenate([train.labels, val.labels])
    folders = [Path(val.path).parent, Path(train.path).parent]
    table = {name: subject for folder in folders for name, subject in people.table(folder).items()}
    told = groups(names, dataset.fold_by, table=table, imported=any((folder / CARD).exists() for folder in folders))
    folds, there = dataset.folds, len(set(told.of))
    if there < folds:
        what = told.how.split(",")[0].removeprefix("by ") + "s" if told.how else "sequences"
        way = f"set dataset.folds to 2 to {there}" if there > 1 else "one cannot be on both sides"
        free = ", or dataset.fold_by=class to divide without regard to them" if told.how else ""
        raise DataError(f"dataset.folds is {folds}, but train and val together have {there} {what} ({told.how}): {way}{free}")
    part = parts(told.of, labels, folds, seed)
    notes = _division_notes(train, val, told, labels, part, dataset)
    held = part == dataset.fold
    facts = {"folds": folds, "fold": dataset.fold, "seed": seed, "by": told.how or "by class"}
    if told.how.startswith("by subject"):
        facts["subjects"] = sorted({told.of[i].removeprefix("subject ") for i in np.flatnonzero(held)})
    sets = []
    for split, rows in (("train", np.flatnonzero(~held)), ("val", np.flatnonzero(held))):
        sets.append(
            SkeletonSet(
                split,
                f"{train.path} + {val.path}",
                cast("np.ndarray", Pool([train.data, val.data], rows)),
                [names[i] for i in rows],
                labels[rows],
                [*train.notes, *val.notes, *notes] if split == "train" else [],
                (train.path, val.path),
                facts,
            )
        )
    return sets[0], sets[1]


def _division_notes(
    train: SkeletonSet,
    val: SkeletonSet,
    told: Groups,
    labels: np.ndarray,
    part: np.ndarray,
    dataset: config.Dataset,
) -> list[str]:
    """What was done, and what it could not do."""
    folds, fold = dataset.folds, dataset.fold
    held = part == fold
    how = f"{told.how} ({len(set(told.of))})" if told.how else "by class"
    notes = [
        f"cross-validation, part {fold + 1} of {folds} (dataset.fold={fold}): train and val were put together "
        f"({len(labels)} sequences) and divided {how}; {int((~held).sum())} are trained on, {int(held.sum())} validate"
    ]
    if told.unknown:
        notes.append(f"the names of {told.unknown} sequences tell no subject; each was divided as if it had one of its own")
    for what, axis in (("frames", 2), ("persons", 4)):
        sizes = (train.data.shape[axis], val.data.shape[axis])
        if sizes[0] != sizes[1]:
            notes.append(f"train has {sizes[0]} {what} and val {sizes[1]}: the fewer were padded with zeros")
    names = {i: name for name, i in dataset.label_map.items()}
    for rows, lacks in ((held, "to validate with"), (~held, "to train on")):
        absent = [str(names.get(i, i)) for i in np.unique(labels).tolist() if not (labels[rows] == i).any()]
        if absent:
            listed = ", ".join(absent[:MOST_NAMED]) + (", ..." if len(absent) > MOST_NAMED else "")
            notes.append(
                f"no sequence {lacks} in part {fold + 1} of these classes, of which there are too few to divide: {listed}"
            )
    return notes


def _shared(train: SkeletonSet, share: float, seed: int) -> SkeletonSet:
    """A share of every class, at least one sequence; a smaller share is within a larger one of the same seed."""
    assert train.labels is not None
    rng = np.random.default_rng([seed, SHARE])
    of_class: dict[int, list[int]] = defaultdict(list)
    for i in rng.permutation(len(train.labels)).tolist():
        of_class[int(train.labels[i])].append(i)
    rows = np.sort([i for members in of_class.values() for i in members[: max(1, int(share * len(members) + 0.5))]])
    pool = Pool(train.data.parts, train.data.rows[rows]) if isinstance(train.data, Pool) else Pool([train.data], rows)
    note = f"train_share {share:g}: {len(rows)} of {len(train.labels)} training sequences, of every class alike"
    return dataclasses.replace(
        train,
        data=cast("np.ndarray", pool),
        names=[train.names[i] for i in rows],
        labels=train.labels[rows],
        notes=[*train.notes, note],
        division={**train.division, "train_share": share, "seed": seed},
    )
