"""The import as a whole: reading pass, division, writing pass; everything is written whole or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from stgcn import graph, splits
from stgcn.config import DatasetConvert, is_set
from stgcn.errors import RefusedError, SpecError
from stgcn.formats import table
from stgcn.importer import card, division, writing
from stgcn.importer.gather import Gather, Say
from stgcn.workshop import workshop

HIDDEN = ".importing-"


def convert(folder: Path, settings: DatasetConvert, found: table.Found, say: Say, tell: Say) -> dict[str, Any]:
    """Import the recordings of ``found`` into ``folder``; ``say`` hears what was done, ``tell`` how far it is.

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
    with workshop(folder, HIDDEN) as place:
        scratch = place / "windows.f32"
        gathered = Gather(settings, found, tell).gather(scratch)
        divided = division.divide(gathered, settings)
        say(f"{len(gathered.windows)} sequences of {gathered.recordings} recordings; writing {', '.join(divided.sets)}")
        shapes = writing.write_sets(place, scratch, gathered, divided)
        scratch.unlink()
        facts = card.facts(gathered, divided, settings, found, shapes)
        writing.write_rest(place, gathered, divided, facts, card.text(facts))
        made = writing.move_in(place, folder)
    for note in facts["notes"]:
        say(f"to watch: {note}")
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
    for layout in (settings.layout, settings.target_layout):
        try:
            if is_set(layout):
                graph.resolve(layout)
        except SpecError as error:
            problems += error.problems
    if problems:
        raise SpecError(problems)
