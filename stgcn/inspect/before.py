"""The cheap part of an inspection: before an action starts, and after a conversion. Reads the data once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from stgcn import arrays, labels, npy
from stgcn.arrays import SkeletonSet
from stgcn.config import is_set
from stgcn.errors import DataError
from stgcn.graph import LAYOUTS, Layout, resolve
from stgcn.inspect import anatomy, classes, leaks, values, view
from stgcn.inspect.anatomy import Skeleton
from stgcn.inspect.finding import LEVELS, Finding
from stgcn.inspect.measure import measure
from stgcn.inspect.source import AXES, Part, read

MOST_BYTES = 2 * 2**30  # data above which values are not looked at
MOST_SAID = 3  # samples named in a log
MOST_KEPT = 50  # samples kept in a file
TRAINED_ON = "training"


def look(
    sets: Sequence[SkeletonSet],
    layout: Layout,
    label_map: Mapping[str, int],
    *,
    source: str = anatomy.SPEC,
    trained_on: Mapping[str, Any] | None = None,
) -> list[Finding]:
    """Look at the sets of an action; ``layout`` is what ``source`` says.

    ``trained_on`` holds the data_path and label_path a model was trained with; where they can still be read, copies of what is
    in them are looked for too.

    Raises:
        DataError: every sequence of a set is empty.
    """
    parts = {s.split: Part(s.split, Path(s.path), s.data, s.names, s.labels, None) for s in sets}
    return _look(parts, layout, label_map, source, trained_on or {})


def of_folder(folder: Path) -> tuple[dict[str, Any], list[str]]:
    """Look at a data set that was just written; gives the content of data_facts.json and what people are told.

    Raises:
        DataError: every sequence of a set is empty.
    """
    opened = read(folder)
    path = folder / "layout.json"
    layout = resolve(path) if path.is_file() else None
    label_map = opened.label_map or {}
    findings = _look(opened.parts, layout, label_map, path.name, {})
    facts = {
        split: arrays.facts(SkeletonSet(split, str(part.path), part.data, part.names, part.ids), label_map)
        for split, part in opened.parts.items()
    }
    return {**facts, "inspection": kept(findings)}, said(findings)


def _look(
    parts: dict[str, Part], layout: Layout | None, label_map: Mapping[str, int], source: str, trained_on: Mapping[str, Any]
) -> list[Finding]:
    with np.errstate(all="ignore"):  # what overflows was no coordinate, and is named as far away
        findings = _values(parts, layout, source) + _labels(parts, label_map, trained_on)
    return sorted(findings, key=lambda finding: LEVELS.index(finding.level))


def said(findings: Sequence[Finding]) -> list[str]:
    """What people are told: errors and warnings, with the first samples."""
    return [f"data check: {_sentence(finding)}" for finding in findings if finding.level != "note"]


def kept(findings: Sequence[Finding]) -> list[dict[str, Any]]:
    """What is written down: all findings, as JSON can hold them."""
    return [{**finding.plain(), "samples": list(finding.samples[:MOST_KEPT])} for finding in findings]


def _sentence(finding: Finding) -> str:
    named = ", ".join(finding.samples[:MOST_SAID])
    more = ", ..." if len(finding.samples) > MOST_SAID else ""
    return finding.text if named in finding.text else f"{finding.text}: {named}{more}"


def _values(parts: Mapping[str, Part], layout: Layout | None, source: str) -> list[Finding]:
    large = sum(part.data.nbytes for part in parts.values())
    if large > MOST_BYTES:
        text = (
            f"{large / 2**30:.1f} GiB of data are more than is looked at before a start (up to {MOST_BYTES / 2**30:g} GiB): "
            "only labels and copies were checked. To look at all: pose_classification dataset inspect FOLDER"
        )
        return [Finding("note", "unchecked", text, count=0)]
    alike = _alike(parts)
    sample = view.selection(alike.values())
    seen = view.learn(sample)
    measured = {split: measure(part, seen, None, copies=False) for split, part in alike.items()}
    _refuse_empty(alike, {split: int((m.length > 0).sum()) for split, m in measured.items()})
    found = values.check(alike, measured, seen, layout)
    if layout is None:
        return found
    skeleton = _skeleton(layout, source, sample, seen)
    return [*anatomy.judge(skeleton), *anatomy.check_splits(alike, seen, skeleton), *found]


def _alike(parts: Mapping[str, Part]) -> dict[str, Part]:
    """The sets of as many persons as the first one; channels and joints are those of the model."""
    first = next(iter(parts.values())).data.shape[4]
    return {split: part for split, part in parts.items() if part.data.shape[4] == first}


def _refuse_empty(parts: Mapping[str, Part], alive: Mapping[str, int]) -> None:
    problems = [
        f"{split} data: every sequence is empty, {parts[split].path} holds only zeros: there is nobody in any frame"
        for split, count in alive.items()
        if not count
    ]
    if problems:
        raise DataError(problems)


def _skeleton(layout: Layout, source: str, sample: np.ndarray, seen: view.View) -> Skeleton:
    """How well the layout fits, and the built-in ones of as many joints."""
    ranks = anatomy.pair_ranks(sample, seen)
    if ranks is None:
        return Skeleton(layout, source, None, {}, ())
    fits = {name: anatomy.strain(known, ranks) for name, known in LAYOUTS.items() if known.num_joints == layout.num_joints}
    candidates = dict(sorted(fits.items(), key=lambda item: item[1]))
    bones = anatomy.suggested_bones(ranks, layout.num_joints)
    return Skeleton(layout, source, anatomy.strain(layout, ranks), candidates, bones)


def _labels(parts: Mapping[str, Part], label_map: Mapping[str, int], trained_on: Mapping[str, Any]) -> list[Finding]:
    labelled = {split: part for split, part in parts.items() if part.ids is not None}
    if not labelled:
        return []
    compared = _earlier(_alike(labelled), trained_on)
    copies = [finding for finding in leaks.quick(compared) if finding.split != TRAINED_ON]
    return [*copies, *classes.check(labelled, classes.names_of(label_map, labelled), bool(label_map))]


def _earlier(parts: dict[str, Part], trained_on: Mapping[str, Any]) -> dict[str, Part]:
    """The sets, after that which the model was trained on where it is still there, of the same form and another file."""
    path, beside = (Path(str(trained_on.get(key))) for key in ("data_path", "label_path"))
    first = next(iter(parts.values()))
    with suppress(DataError, OSError):
        if not is_set(trained_on.get("data_path")) or not path.is_file() or path.samefile(first.path):
            return parts
        data = npy.open_array(path, AXES)
        if data.ndim != 5 or data.dtype != np.float32 or data.shape[1::2] + data.shape[4:] != _form(first):
            return parts
        names = [f"{TRAINED_ON}[{i}]" for i in range(len(data))]
        with suppress(DataError):
            found, _ = labels.read_labels(beside)
            names = found if len(found) == len(data) else names
        return {TRAINED_ON: Part(TRAINED_ON, path, data, names, None, None), **parts}
    return parts


def _form(part: Part) -> tuple[int, ...]:
    return tuple(part.data.shape[1::2] + part.data.shape[4:])
