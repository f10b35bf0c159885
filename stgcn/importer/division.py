"""Classes and sets of the gathered windows. Knows no numbers of poses and no files."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from stgcn import splits
from stgcn.config import DatasetConvert
from stgcn.errors import DataError
from stgcn.importer.gather import Gathered, Window

WORDS = ("auto", "given", "subject")
VAL_OF_TRAIN = (0.85, 0.15, 0.0)  # where sets are given and val is not among them
MOST_NAMED = 5


class Divided(NamedTuple):
    """Indices of windows by set, class ids by name, how it was divided, and what the user should know."""

    sets: dict[str, list[int]]
    label_map: dict[str, int]
    how: str
    notes: list[str]


def divide(gathered: Gathered, settings: DatasetConvert) -> Divided:
    """Divide the windows into train, val and test.

    Raises:
        DataError: what the division needs is not known, or training would be impossible.
    """
    windows = gathered.windows
    if settings.labels == "none":
        return Divided({"test": list(range(len(windows)))}, {}, "no labels: all sequences are in test", [])
    label_map = {name: i for i, name in enumerate(sorted({str(w.label) for w in windows}, key=natural))}
    notes: list[str] = []
    if len(label_map) == 1:
        notes.append(f"there is one class only, {next(iter(label_map))}; nothing can be learnt from it")
    elif gathered.label_sources["folder"] == gathered.recordings == len(label_map):
        notes.append(
            f"every recording is a class of its own, such as {next(iter(label_map))}: the first folder below {settings.data} "
            f"is taken for the class, as in walk/clip01; if that is not meant, give a dataset_convert.label_file"
        )
    chosen, how = _choose(windows, label_map, settings, notes)
    sets = {name: [i for i, own in enumerate(chosen) if own == name] for name in splits.SETS}
    sets = {name: members for name, members in sets.items() if members}
    notes += _gaps(windows, sets, label_map)
    return Divided(sets, label_map, how, notes)


def natural(text: str) -> list[tuple[int, int, str]]:
    """Sort key under which 2 comes before 10."""
    parts = re.findall(r"[0-9]+|[^0-9]+", text)
    return [(0, int(part[:300]), "") if part.isascii() and part.isdigit() else (1, 0, part) for part in parts]


def _choose(
    windows: Sequence[Window], label_map: dict[str, int], settings: DatasetConvert, notes: list[str]
) -> tuple[list[str], str]:
    given = [window.split for window in windows]
    if settings.split == "given" or (settings.split == "auto" and all(given)):
        return _as_given(windows, label_map, settings, notes)
    if settings.split == "auto" and any(given):
        notes.append(f"{sum(map(bool, given))} of {len(windows)} sequences say their set, not all; it was not followed")
    unknown = sorted({window.name for window in windows if not window.subject})
    if settings.split == "subject" and unknown:
        raise DataError(
            f"dataset_convert.split is subject, but the subject of {len(unknown)} sequences is not known: "
            f"{', '.join(unknown[:MOST_NAMED])}; give a dataset_convert.label_file with the column subject"
        )
    wanted = splits.DEFAULT if settings.split in WORDS else splits.shares(settings.split)
    by = "by recording" if len(unknown) == len(windows) else "by subject" if not unknown else "by subject where it is known"
    how = f"shares {', '.join(f'{share:g}' for share in wanted)} {by}, stratified by class, seed {settings.split_seed}"
    return _by_shares(windows, label_map, wanted, settings.split_seed), how


def _by_shares(windows: Sequence[Window], label_map: dict[str, int], wanted: Sequence[float], seed: int) -> list[str]:
    groups: dict[str, Counter[int]] = defaultdict(Counter)
    for window in windows:
        groups[window.group][label_map[str(window.label)]] += 1
    chosen = splits.divide(groups, wanted, seed)
    return [chosen[window.group] for window in windows]


def _as_given(
    windows: Sequence[Window], label_map: dict[str, int], settings: DatasetConvert, notes: list[str]
) -> tuple[list[str], str]:
    without = sorted({window.name for window in windows if not window.split})
    if without:
        raise DataError(
            f"dataset_convert.split is given, but {len(without)} sequences have no set: {', '.join(without[:MOST_NAMED])}; "
            f"give them one in dataset_convert.label_file (column split) or by folders named train, val, test"
        )
    chosen = [str(window.split) for window in windows]
    if "train" in chosen and "val" not in chosen:
        own = [i for i, name in enumerate(chosen) if name == "train"]
        parts = _by_shares([windows[i] for i in own], label_map, VAL_OF_TRAIN, settings.split_seed)
        for i, part in zip(own, parts, strict=True):
            chosen[i] = part
        notes.append("no val set is given; it was taken out of train, which training needs")
    straddling = splits.straddling([window.group for window in windows], chosen)
    if straddling:
        listed = ", ".join(straddling[:MOST_NAMED])
        notes.append(f"the given sets share {len(straddling)} subjects or recordings: {listed}; scores will flatter")
    return chosen, "as given by the data"


def _gaps(windows: Sequence[Window], sets: dict[str, list[int]], label_map: dict[str, int]) -> list[str]:
    """Name the classes that a set lacks."""
    notes = []
    for name, members in sets.items():
        there = {windows[i].label for i in members}
        absent = [label for label in label_map if label not in there]
        if absent:
            listed = ", ".join(absent[:MOST_NAMED]) + (", ..." if len(absent) > MOST_NAMED else "")
            notes.append(f"{name} has no sequence of {len(absent)} of {len(label_map)} classes: {listed}")
    if "val" not in sets and "train" in sets:
        notes.append("there is no val set, which training needs")
    return notes
