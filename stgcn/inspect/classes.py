"""Checks of labels, classes and people: who is where, how often, and which label is hard to believe."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np

from stgcn import labels, people
from stgcn.inspect.finding import Finding, Level
from stgcn.inspect.measure import Measured
from stgcn.inspect.source import Part

FEW = 5  # training sequences of a class
UNEVEN = 5.0  # largest class to smallest
MOST_COMPARED = 4000  # sequences between which distances are taken
MOMENTS = 12  # frames of a sequence that are compared
NEIGHBOURS = 5
BELIEVED = 0.75  # how often the nearest neighbour must be right before it may accuse


def names_of(label_map: Mapping[str, int] | None, parts: Mapping[str, Part]) -> dict[int, str]:
    """Class id to name, for all ids of the map, or of the labels when there is no map."""
    if label_map:
        return {class_id: name for name, class_id in label_map.items()}
    ids = {int(i) for part in parts.values() if part.ids is not None for i in part.ids.tolist()}
    return {i: f"class_{i}" for i in range(max(ids, default=-1) + 1)}


def check(parts: Mapping[str, Part], classes: Mapping[int, str], has_map: bool) -> list[Finding]:
    """Findings about labels and their numbers."""
    result: list[Finding] = []
    for part in parts.values():
        result += _repeated_names(part)
        if part.ids is not None:
            result += _strays(part, classes) if has_map else []
            result += _misnamed(part, classes)
    return result + _balance(parts, classes)


def _repeated_names(part: Part) -> list[Finding]:
    twice = [name for name, n in Counter(part.names).items() if n > 1]
    if not twice:
        return []
    return [Finding("note", "names", f"{len(twice)} sample names of {part.split} stand more than once", part.split, twice)]


def _strays(part: Part, classes: Mapping[int, str]) -> list[Finding]:
    assert part.ids is not None
    wrong = np.flatnonzero(~np.isin(part.ids, list(classes)))
    if not len(wrong):
        return []
    label_map = {name: i for i, name in classes.items()}
    problems = labels.check_labels(part.ids, len(classes), label_map, len(part.data)) or ["class ids that label_map.json lacks"]
    listed = [f"{part.names[i]} ({part.ids[i]})" for i in wrong.tolist()]
    return [Finding("error", "class_ids", text, part.split, listed) for text in problems[:1]]


def _misnamed(part: Part, classes: Mapping[int, str]) -> list[Finding]:
    """Samples whose name speaks of another class, where names usually speak of their own."""
    assert part.ids is not None
    known = list(classes.values())
    said = [people.class_in_name(name, known) for name in part.names] if len(known) <= 500 else []
    own = [classes.get(int(i), str(i)) for i in part.ids.tolist()]
    spoken = [i for i, name in enumerate(said) if name is not None]
    wrong = [i for i in spoken if said[i] != own[i]]
    if not wrong or len(spoken) < 0.8 * len(part.names) or len(wrong) > 0.2 * len(spoken):
        return []
    listed = [f"{part.names[i]} (labelled {own[i]})" for i in wrong]
    many = len(wrong) > 1
    bearers = f"{len(wrong)} {part.split} samples bear" if many else f"1 {part.split} sample bears"
    text = f"{bearers} the name of another class than {'their' if many else 'its'} label"
    return [Finding("warning", "misnamed", text, part.split, listed, tuple((part.split, i) for i in wrong[:2]))]


def _balance(parts: Mapping[str, Part], classes: Mapping[int, str]) -> list[Finding]:
    result: list[Finding] = []
    for part in parts.values():
        if part.ids is None:
            continue
        counts = {name: int((part.ids == i).sum()) for i, name in sorted(classes.items())}
        none = [name for name, n in counts.items() if n == 0]
        if none:
            level: Level = "error" if part.split == "train" else "warning"
            text = f"no {part.split} sequence is of class {_listed(none)}"
            result.append(Finding(level, "no_samples", text, part.split, count=0))
        if part.split != "train":
            continue
        few = [f"{name} ({n})" for name, n in counts.items() if 0 < n < FEW]
        if few:
            result.append(Finding("warning", "few", f"few training sequences: {_listed(few)}", part.split, few))
        least, most = min((n for n in counts.values() if n), default=0), max(counts.values(), default=0)
        if least and most > UNEVEN * least:
            text = f"classes are uneven, {least} to {most} training sequences: read the average class accuracy"
            result.append(Finding("warning", "imbalance", text, part.split))
    return result


def _listed(names: list[str], most: int = 6) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def check_people(parts: Mapping[str, Part], table: Mapping[str, str]) -> tuple[list[Finding], dict[str, Any]]:
    """People on both sides of a split, and what is known of them."""
    names = [name for part in parts.values() for name in part.names]
    found, how = people.subjects(names, table)
    if not how:
        return [], {"known": False}
    start, by_split = 0, {}
    for split, part in parts.items():
        by_split[split] = found[start : start + len(part.names)]
        start += len(part.names)
    result = []
    for one, other in itertools.combinations(by_split, 2):
        both = sorted(set(filter(None, by_split[one])) & set(filter(None, by_split[other])), key=lambda s: (len(s), s))
        if both:
            concerned = [i for i, subject in enumerate(by_split[other]) if subject in both]
            text = (
                f"{len(both)} subject{'s' if len(both) > 1 else ''} in {one} and {other}: {_listed(both)} (told by {how}). "
                f"What {other} measures says little of people not seen before"
            )
            listed = [parts[other].names[i] for i in concerned]
            result.append(Finding("warning", "subjects", text, other, listed))
    subjects = {split: len(set(filter(None, who))) for split, who in by_split.items()}
    return result, {"known": True, "told_by": how, "subjects": subjects}


def check_neighbours(parts: Mapping[str, Part], measured: Mapping[str, Measured], classes: Mapping[int, str]) -> list[Finding]:
    """Labels that all nearest sequences contradict, and sequences that are nearly the same in two splits."""
    usable = {s: p for s, p in parts.items() if p.ids is not None}
    if sum(len(p.data) for p in usable.values()) > MOST_COMPARED or not usable:
        return []
    places = [(s, i) for s, p in usable.items() for i in range(len(p.data)) if measured[s].length[i] > 1]
    if len(places) < 4 * NEIGHBOURS:
        return []
    features = np.concatenate([_features(p, measured[s]) for s, p in usable.items()])
    ids = np.concatenate([p.ids[measured[s].length > 1] for s, p in usable.items() if p.ids is not None])
    square = np.square(features).sum(axis=1)
    distance = np.maximum(square[:, None] + square[None] - 2 * features @ features.T, 0)
    np.fill_diagonal(distance, np.inf)
    distance[distance <= 1e-6 * square.mean()] = np.inf  # copies are found exactly elsewhere
    order = np.argpartition(distance, NEIGHBOURS, axis=1)[:, :NEIGHBOURS]
    theirs = ids[order]
    if (ids[distance.argmin(axis=1)] == ids).mean() < BELIEVED:
        return []
    doubted = np.flatnonzero((theirs == theirs[:, :1]).all(axis=1) & (theirs[:, 0] != ids))
    if not len(doubted) or len(doubted) > 0.1 * len(places):
        return []
    listed = [
        f"{usable[places[i][0]].names[places[i][1]]} ({places[i][0]}, labelled {classes.get(int(ids[i]), ids[i])}, "
        f"its {NEIGHBOURS} nearest are {classes.get(int(theirs[i, 0]), theirs[i, 0])})"
        for i in doubted.tolist()
    ]
    said = "the label of 1 sequence is" if len(doubted) == 1 else f"the labels of {len(doubted)} sequences are"
    text = f"{said} worth a look: all that move alike bear another"
    return [Finding("note", "doubted", text, None, listed, tuple(places[i] for i in doubted[:2].tolist()))]


def _features(part: Part, m: Measured) -> np.ndarray:
    """A few evenly picked frames of every sequence with more than one, flat and of mean zero; float64 (n, D)."""
    rows = []
    for start, block in part.blocks():
        for k, sequence in enumerate(block):
            length = int(m.length[start + k])
            if length > 1:
                rows.append(
                    np.nan_to_num(sequence[:, np.linspace(0, length - 1, MOMENTS).astype(int)], posinf=0, neginf=0).ravel()
                )
    return np.asarray(rows, dtype=np.float64)
