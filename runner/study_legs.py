"""A leg of a search as a job: the settings it is given, the checkpoint it goes on from, recommendations that cannot be mended.

Knows records and the skill's own checks; starts nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from runner import bank, checkpoints, checks, study_faults
from runner import spec as specs
from runner.automl.state import Leg
from runner.errors import SkillBankError, UnknownJob
from runner.jobs import JobStore

if TYPE_CHECKING:  # a plan of a search reads this module, too
    from runner.automl.driver import Result


class Source(NamedTuple):
    """Where a leg goes on from: a checkpoint, the job of this workspace that wrote it, and the epochs behind it."""

    path: Path
    job_id: str | None
    epochs: int


def result(metrics: Mapping[str, Any], metric: str, *, diverged: bool) -> Result:
    """What a leg that was trained came to: the metric's value, none where it was stopped on its way or is not a number."""
    from runner.automl.driver import Result

    value = metrics.get(metric)
    if diverged or "stopped_epoch" in metrics:
        return Result(kind="spec" if diverged else None)
    if isinstance(value, int | float) and math.isfinite(value):
        return Result(value=value)
    return Result(error=f"the metric {metric} is not a number ({value!r})", kind="spec")


def epochs_told(metrics: Mapping[str, Any], max_epochs: int) -> int:
    """The epochs of a training that reported none on its way; all, where it does not say."""
    told = metrics.get("epochs")
    return told if isinstance(told, int) and not isinstance(told, bool) else max_epochs


def source(
    store: JobStore, legs: list[Leg], leg: Leg, max_epochs: int, elsewhere: Callable[[Leg, int], Source | None] | None = None
) -> Source | None:
    """The newest checkpoint of the leg that was lost, else of the one it is promoted from; None: begin anew.

    One after the last epoch is passed over, as nothing would be left to train. ``elsewhere`` finds those of other workspaces.
    """
    for number in _before(legs, leg):
        job_id = legs[number].job_id
        record = _read(store, job_id)
        if job_id is None or record is None:
            if elsewhere and (far := elsewhere(legs[number], max_epochs)):
                return far
            continue
        folder = Path(record["results_dir"])
        fitting = [one for one in checkpoints.in_folder(folder) if one["epoch"] + 1 < max_epochs]
        if fitting:
            last = fitting[-1]
            return Source(folder / last["name"], job_id, last["epoch"] + 1 if last["step"] else 0)
    return None


def _before(legs: list[Leg], leg: Leg) -> Iterator[int]:
    """The legs whose checkpoints it may go on from, the newest first."""
    seen = {leg.number}
    waiting = [leg.again, leg.start]
    while waiting:
        number = waiting.pop(0)
        if number is None or number in seen or number >= len(legs):
            continue
        seen.add(number)
        yield number
        waiting = [legs[number].again, legs[number].start, *waiting]


def ended_already(store: JobStore, legs: list[Leg], leg: Leg) -> dict[str, Any] | None:
    """The record of the lost leg's job where that had ended well, and only nobody was left to note it."""
    record = _read(store, legs[leg.again].job_id) if leg.again is not None else None
    return record if record and record["state"] == "COMPLETE" else None


def _read(store: JobStore, job_id: str | None) -> dict[str, Any] | None:
    try:
        return store.reconcile(job_id) if job_id else None
    except UnknownJob:
        return None


def died_before(store: JobStore, legs: list[Leg], leg: Leg) -> bool:
    """Whether the leg goes on from one whose process was killed, too."""
    record = _read(store, legs[leg.again].job_id) if leg.again is not None else None
    return bool(record and record["state"] == "ERROR" and study_faults.of(record).died and record["err_class"] == "ERR_PROGRAM")


def own_settings(
    spec: Mapping[str, Any], keys: Mapping[str, str], found: Source | None, *, steered: bool, gpus: int = 0
) -> dict[str, Any]:
    """What the search itself sets: where to go on from, and a checkpoint after every epoch, as one may be the last.

    A worker that sees none but its ``gpus`` GPUs counts them from 0, whatever they are called where there are more.
    """
    own: dict[str, Any] = {}
    if gpus and "gpu_ids" in keys:
        own[keys["gpu_ids"]] = list(range(gpus))
    if found and "resume" in keys:
        own[keys["resume"]] = str(found.path)
    key = keys.get("checkpoints")
    if key and steered and specs.get(spec, f"{key}_unit", "epoch") == "epoch":
        own[key] = 1
    return own


def gpu_ids(spec: Mapping[str, Any], keys: Mapping[str, str]) -> list[int]:
    """The GPUs that the spec names, by index; none where the skill has no such setting."""
    named = specs.get(spec, keys.get("gpu_ids", ""), [])
    return [one for one in named if isinstance(one, int)] if isinstance(named, list) else []


class Adjuster:
    """Mends recommendations that cannot be trained: out of bounds, or against what the skill's own checks say."""

    def __init__(self, study: Mapping[str, Any], spec: Mapping[str, Any]) -> None:
        skill = bank.get(study["skill"])
        self._action = skill.action(study["action"])
        self._schema = skill.schema(study["action"]) if skill.packaged(study["action"]) else None
        self._spec = spec

    def __call__(self, settings: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
        """The settings as they can be trained, and a line about each change; what cannot be mended stays, and fails."""
        if self._schema is None:
            return settings, []
        settings, changes = dict(settings), list[str]()
        for _ in range(len(settings) + 1):
            change = next(self._changes(settings), None)
            if change is None:
                break
            key, value, why = change
            changes.append(f"{key}: {settings[key]} became {value}, as {why}")
            settings[key] = value
        return settings, changes

    def _changes(self, settings: Mapping[str, Any]) -> Iterator[tuple[str, Any, str]]:
        """(setting, value it becomes, reason) of what is searched and cannot be as it is."""
        assert self._schema is not None
        spec: dict[str, Any] = specs.merge(self._spec, {})
        for key, value in settings.items():
            specs.set_(spec, key, value)
        for key, value in settings.items():
            leaf = self._schema.leaves().get(key, {})
            low, high = leaf.get("minimum"), leaf.get("maximum")
            plain = isinstance(value, int | float) and not isinstance(value, bool)
            if plain and low is not None and value < low:
                yield key, low, f"it takes {low:g} or more"
            elif plain and high is not None and value > high:
                yield key, high, f"it takes {high:g} or less"
            sign, _, other = str(leaf.get("depends_on") or "").partition(" ")
            bound = specs.get(spec, f"{key.rpartition('.')[0]}.{other}" if "." not in other else other)
            if plain and sign == "<=" and isinstance(bound, int | float) and value > bound:
                yield key, bound, f"{other} is {bound}"
        try:
            found = checks.ways(self._action, spec, self._schema)
        except SkillBankError:  # said by the trainer itself
            return
        for says, ways in found:
            mended = [(key, value) for key, value in ways if key in settings and settings[key] != value]
            if len(mended) == 1:
                yield *mended[0], says
