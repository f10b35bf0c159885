"""The import as a whole: reading pass, division, writing pass; everything is written whole or not at all."""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from stgcn import files, graph, splits
from stgcn.config import DatasetConvert, is_set
from stgcn.errors import RefusedError, SpecError
from stgcn.formats import table
from stgcn.importer import card, division, writing
from stgcn.importer.gather import Gather, Say

HIDDEN = ".importing-"


def convert(folder: Path, settings: DatasetConvert, found: table.Found, say: Say) -> dict[str, Any]:
    """Import the recordings of ``found`` into ``folder``; ``say`` hears how far it is.

    Raises:
        SpecError: settings that contradict each other.
        DataError: nothing usable, or bad records where those are fatal; all are named.
        RefusedError: the folder holds a data set that was not written by an import.
        ResourceError: the results cannot be written.
    """
    _check(settings)
    strangers = [name for name in writing.MADE if (folder / name).exists()]
    if strangers and not (folder / writing.MARK).exists():
        raise RefusedError(
            f"{folder} holds {', '.join(strangers)}, which no conversion wrote; choose another results folder, so that "
            f"nothing is lost"
        )
    with _workshop(folder) as workshop:
        scratch = workshop / "windows.f32"
        gathered = Gather(settings, found, say).gather(scratch)
        divided = division.divide(gathered, settings)
        say(f"{len(gathered.windows)} sequences of {gathered.recordings} recordings; writing {', '.join(divided.sets)}")
        shapes = writing.write_sets(workshop, scratch, gathered, divided)
        scratch.unlink()
        facts = card.facts(gathered, divided, settings, found, shapes)
        writing.write_rest(workshop, gathered, divided, facts, card.text(facts))
        made = writing.move_in(workshop, folder)
    metrics = {
        "sequences": sum(shape[0] for shape in shapes.values()),
        **{name: shape[0] for name, shape in shapes.items()},
        "classes": len(divided.label_map),
        "recordings": gathered.recordings,
        "frames": gathered.frames,
        "left_out": len(gathered.left_out),
        "bad_records": gathered.bad_count,
    }
    artifacts = {"dataset": str(folder), **{name.partition(".")[0]: str(folder / name) for name in made}}
    return {"metrics": metrics, "artifacts": artifacts}


@contextmanager
def _workshop(folder: Path) -> Iterator[Path]:
    """A hidden folder beside the results, gone at the end, however it ends; one left by a killed import goes too."""
    _sweep(files.make_folder(folder))
    place = folder / f"{HIDDEN}{secrets.token_hex(6)}"
    try:
        place.mkdir()
        lock = os.open(place, os.O_RDONLY)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield place
        finally:
            os.close(lock)
    except OSError as error:
        raise files.unwritable(folder, error) from error
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _sweep(folder: Path) -> None:
    """Remove the workshops whose import is dead: nobody holds their lock."""
    for left in folder.glob(f"{HIDDEN}*"):
        with suppress(OSError):
            lock = os.open(left, os.O_RDONLY)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(left, ignore_errors=True)
            finally:
                os.close(lock)


def _check(settings: DatasetConvert) -> None:
    problems = []
    table_set = is_set(settings.label_file)
    if settings.labels == "table" and not table_set:
        problems.append("dataset_convert.labels is table, but dataset_convert.label_file is empty")
    if settings.labels == "none" and is_set(settings.segments):
        problems.append("dataset_convert.labels is none, but dataset_convert.segments gives labels; keep one")
    try:
        if settings.split not in division.WORDS:
            splits.shares(settings.split)
    except SpecError as error:
        problems += error.problems
    try:
        if is_set(settings.layout):
            graph.resolve(str(settings.layout))
    except SpecError as error:
        problems += error.problems
    if problems:
        raise SpecError(problems)
