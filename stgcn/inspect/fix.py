"""Repair what can be repaired without guessing, into a new folder: written whole or not at all. The source stays as it is."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from stgcn import files, people
from stgcn.errors import DataError, RefusedError
from stgcn.inspect import leaks
from stgcn.inspect.source import Part
from stgcn.inspect.survey import Survey
from stgcn.inspect.view import View

LONGEST_GAP = 5  # frames over which a missing joint is interpolated
CARD = "data_card.json"  # of an import
KEPT_FIRST = ("test", "val", "train")  # of copies in several splits, the one that stays; the published test stays comparable


def write(survey: Survey, out: Path) -> dict[str, Any]:
    """Write the repaired set to ``out``.

    Returns:
        ``folder``, ``done`` (sentences), ``dropped`` (sample, split, why), ``interpolated`` (joint-frames per split),
        ``label_ids`` (old id to new).

    Raises:
        DataError: nothing would be left of a split.
        RefusedError: ``out`` holds something already.
        ResourceError: it cannot be written.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise RefusedError(f"{out} is there already and not empty; --fix writes to a new folder")
    dropped = _to_drop(survey)
    ids = _contiguous(survey)
    parent = files.make_folder(out.absolute().parent)
    building = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=parent))
    try:
        filled = {
            split: _write_part(building, part, survey.view, {i for (s, i) in dropped if s == split}, ids)
            for split, part in survey.parts.items()
        }
        report = _report(survey, out, dropped, filled, ids)
        _write_rest(building, survey, ids, report)
        building.chmod(0o755)
        os.replace(building, out)
    except OSError as error:
        raise files.unwritable(out, error) from error
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return report


def _to_drop(survey: Survey) -> dict[leaks.Place, str]:
    """Copies that agree in their label, sequences with nobody in them, and samples without a class; place to reason."""
    dropped: dict[leaks.Place, str] = {}
    for group in survey.copies:
        if len(leaks.labels_of(survey.parts, group)) > 1:
            continue  # which label is right, only a person can say
        ranks = {split: i for i, split in enumerate(KEPT_FIRST)}
        kept, *copies = sorted(group, key=lambda place: (ranks.get(place[0], len(ranks)), place))
        dropped |= dict.fromkeys(copies, f"copy of {survey.parts[kept[0]].names[kept[1]]} ({kept[0]})")
    for split, part in survey.parts.items():
        dropped |= dict.fromkeys(((split, int(i)) for i in np.flatnonzero(survey.measured[split].length == 0)), "nobody in it")
        if part.ids is not None:
            strays = ~np.isin(part.ids, list(survey.classes))
            dropped |= {(split, int(i)): f"class id {part.ids[i]} is no class" for i in np.flatnonzero(strays)}
    for split, part in survey.parts.items():
        if sum(s == split for s, _ in dropped) == len(part.data):
            raise DataError(f"nothing of {split} would be left: every sequence is a copy, empty or without a class")
    return dropped


def _contiguous(survey: Survey) -> dict[int, int]:
    """Old class id to new, 0 to n-1 in the old order."""
    return {old: new for new, old in enumerate(sorted(survey.classes))}


def _write_part(folder: Path, part: Part, view: View, dropped: set[int], ids: dict[int, int]) -> int:
    """One split without ``dropped``; returns how many joint-frames were interpolated."""
    kept = [i for i in range(len(part.data)) if i not in dropped]
    path = folder / f"{part.split}_data.npy"
    target = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=(len(kept), *part.data.shape[1:]))
    filled = row = 0
    for start, block in part.blocks():
        stay = [i for i in range(len(block)) if start + i not in dropped]
        repaired, count = interpolate(block[stay], view)
        target[row : row + len(stay)] = repaired
        filled, row = filled + count, row + len(stay)
    target.flush()
    if part.ids is not None:
        content = ([part.names[i] for i in kept], [ids[int(part.ids[i])] for i in kept])
        files.write_bytes(folder / f"{part.split}_label.pkl", pickle.dumps(content, protocol=4))
    return filled


def interpolate(block: np.ndarray, view: View) -> tuple[np.ndarray, int]:
    """Fill gaps of up to LONGEST_GAP frames of a joint from the frames around them; what is NaN or infinite is a gap.

    Longer gaps, and those at the beginning and the end, become zero. (n, C, T, V, M) to the same, and how many were filled.
    """
    finite = np.isfinite(block).all(axis=1, keepdims=True)
    block = np.where(finite, block, np.float32(0))
    _, seen = view.coordinates(block)
    if not len(block):
        return block, 0
    frames = block.shape[2]
    index = np.arange(frames)[:, None, None]
    before = np.maximum.accumulate(np.where(seen, index, -1), axis=1)
    after = np.minimum.accumulate(np.where(seen, index, frames)[:, ::-1], axis=1)[:, ::-1]
    gaps = ~seen & (before >= 0) & (after < frames) & (after - before <= LONGEST_GAP + 1)
    n, t, v, m = np.nonzero(gaps)
    first, last = before[n, t, v, m], after[n, t, v, m]
    share = ((t - first) / (last - first))[:, None]
    block[n, :, t, v, m] = block[n, :, first, v, m] * (1 - share) + block[n, :, last, v, m] * share
    return block, len(n)


def _report(
    survey: Survey, out: Path, dropped: dict[leaks.Place, str], filled: dict[str, int], ids: dict[int, int]
) -> dict[str, Any]:
    done = []
    if dropped:
        counts = ", ".join(f"{split} {n}" for split in survey.parts if (n := sum(s == split for s, _ in dropped)))
        done.append(
            f"{len(dropped)} sequences left out ({counts}): copies, sequences with nobody in them, samples without a class"
        )
    if sum(filled.values()):
        done.append(f"{sum(filled.values())} missing joints interpolated over gaps of up to {LONGEST_GAP} frames")
    moved = {old: new for old, new in ids.items() if old != new}
    if moved:
        done.append(f"class ids made contiguous: {', '.join(f'{old} is now {new}' for old, new in moved.items())}")
    unclear = sum(len(leaks.labels_of(survey.parts, group)) > 1 for group in survey.copies)
    if unclear:
        done.append(
            f"left as they are: {unclear} copied sequences whose labels differ; which is right must be decided by looking"
        )
    return {
        "folder": str(out),
        "done": done or ["nothing had to be repaired; the set was copied"],
        "dropped": [
            {"split": split, "sample": survey.parts[split].names[i], "why": why} for (split, i), why in sorted(dropped.items())
        ],
        "interpolated": filled,
        "label_ids": {str(old): new for old, new in ids.items()},
    }


def _write_rest(folder: Path, survey: Survey, ids: dict[int, int], report: dict[str, Any]) -> None:
    if ids:
        files.write_json(folder / "label_map.json", {survey.classes[old]: new for old, new in ids.items()})
    layout = survey.skeleton.layout
    if layout is not None and survey.skeleton.source != "likely":
        files.write_json(folder / "layout.json", layout.as_plain())
    _keep_beside(folder, survey.source.folder)
    files.write_json(folder / "repairs.json", report)


def _keep_beside(folder: Path, source: Path) -> None:
    """What lies beside the data and what training reads there: who performed, and which channel is the score."""
    for name in people.TABLES:
        if (source / name).is_file():
            shutil.copyfile(source / name, folder / name)
    try:
        card = json.loads((source / CARD).read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return  # none, or none that an import wrote
    if isinstance(card, dict):
        notes = card.get("notes")
        earlier = notes if isinstance(notes, list) else []
        card["notes"] = [*earlier, "repaired since: counts are those of the import; repairs.json says what was changed"]
        files.write_json(folder / CARD, card)
