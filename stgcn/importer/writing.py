"""The writing pass: arrays and labels of each set, label map, layout and data card. Knows no formats."""

from __future__ import annotations

import csv
import io
import os
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from stgcn import files, people, splits
from stgcn.importer.division import Divided
from stgcn.importer.gather import Gathered

MARK = "data_card.json"  # lies in every folder that an import wrote
MADE = (
    *(f"{name}_{kind}" for name in splits.SETS for kind in ("data.npy", "label.pkl")),
    "names.json",
    "label_map.json",
    "layout.json",
    "card.md",
    people.TABLES[0],
    MARK,
)
PICKLE_PROTOCOL = 4


def write_sets(place: Path, scratch: Path, gathered: Gathered, divided: Divided) -> dict[str, tuple[int, ...]]:
    """Write <set>_data.npy and <set>_label.pkl; gives the shapes (N, C, T, V, M). T is the longest sequence of all sets."""
    channels, joints, slots = len(gathered.channels), gathered.joints, gathered.cutter.slots
    longest = max(window.frames for window in gathered.windows)
    numbers = np.memmap(scratch, dtype=np.float32, mode="r")
    shapes: dict[str, tuple[int, ...]] = {}
    for name, members in divided.sets.items():
        shape = (len(members), channels, longest, joints, slots)
        data = np.lib.format.open_memmap(place / f"{name}_data.npy", mode="w+", dtype=np.float32, shape=shape)
        for row, i in enumerate(members):
            window = gathered.windows[i]
            size = channels * window.frames * joints * slots
            cut = numbers[window.offset : window.offset + size].reshape(channels, window.frames, joints, slots)
            data[row, :, : window.frames] = cut
        data.flush()
        names = [gathered.windows[i].name for i in members]
        if divided.label_map:
            ids = [divided.label_map[str(gathered.windows[i].label)] for i in members]
            files.write_bytes(place / f"{name}_label.pkl", pickle.dumps((names, ids), protocol=PICKLE_PROTOCOL))
        else:
            files.write_json(place / "names.json", names)
        shapes[name] = shape
        del data
    del numbers
    return shapes


def write_rest(place: Path, gathered: Gathered, divided: Divided, facts: Mapping[str, Any], text: str) -> None:
    """Write label_map.json, layout.json, subjects.csv, card.md and data_card.json."""
    if divided.label_map:
        files.write_json(place / "label_map.json", divided.label_map)
    if gathered.layout is not None:
        files.write_json(place / "layout.json", gathered.layout.as_plain())
    known = [(window.name, window.subject) for window in gathered.windows if window.subject]
    if known:
        table = io.StringIO()
        csv.writer(table, lineterminator="\n").writerows([("sample", "subject"), *known])
        files.write_text(place / people.TABLES[0], table.getvalue())
    files.write_text(place / "card.md", text)
    hashes = {path.name: files.sha256(path) for path in sorted(place.glob("*.npy"))}
    files.write_json(place / MARK, {**facts, "sha256": hashes})


def move_in(place: Path, folder: Path) -> list[str]:
    """Move what was written to its place, and away what an earlier import left; the mark comes last.

    Raises:
        OSError: the folder cannot be written.
    """
    made = [name for name in MADE if (place / name).exists()]
    for name in MADE:
        if name not in made:
            (folder / name).unlink(missing_ok=True)
    for name in made:
        os.replace(place / name, folder / name)
    return made
