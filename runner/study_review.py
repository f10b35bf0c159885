"""The launch review of a search: what it reads, who works on it, its first recommendations, and what it may cost.

Part of what a plan shows and no part of what it is: nothing here decides what runs, and the plan's hash does not cover it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

from runner import datafolder, study_claim, study_legs, study_workers
from runner import spec as specs
from runner.jobs import JobStore
from runner.plan import Plan

LATEST = 10  # earlier trainings that are looked at for what an epoch takes


class Pace(NamedTuple):
    """Seconds of an epoch, from least to most, and what they were taken from."""

    least: float
    most: float
    of: str


def review(plan: Plan) -> dict[str, Any] | None:
    """What is to be looked at before a search is launched; None where the plan is none."""
    facts = plan.search
    if facts is None:
        return None
    crew = _crew(plan, facts)
    return {
        "metric": facts["metric"],
        "direction": facts["direction"],
        "algorithm": facts["algorithm"],
        "workers": crew.workers,
        "workers_why": crew.why,
        "data": [_counted(item, plan) for item in plan.inputs if not _is_model(item, plan)],
        "final": facts.get("final"),
        **_ahead(plan, facts, max(1, crew.workers)),
    }


def _crew(plan: Plan, facts: Mapping[str, Any]) -> study_workers.Crew:
    if launch := facts.get("launch"):
        return study_workers.Crew(launch["workers"], f"submitted to {launch['engine']}", [])
    if facts["workers"] == 0:
        return study_workers.ONLOOKER
    gpus = specs.get(plan.spec, plan.skill.gpu_spec_key, 0)
    return study_workers.crew(
        facts["workers"],
        trials=facts["budget"]["trials"],
        gpus_each=gpus if isinstance(gpus, int) else 0,
        gpu_ids=study_legs.gpu_ids(plan.spec, facts["keys"]),
        data=study_workers.size_of(plan.inputs),
    )


def _is_model(item: Mapping[str, Any], plan: Plan) -> bool:
    return plan.action.inputs.get(item["key"], {}).get("holds") == "checkpoint"


def _counted(item: Mapping[str, Any], plan: Plan) -> dict[str, Any]:
    """A file that is read, with its size, and its shape where its head tells it."""
    path = str(item["uri"])
    size = os.path.getsize(path) if "://" not in path and os.path.isfile(path) else None
    return {"key": item["key"], "uri": path, "bytes": size, "shape": datafolder.shape_of(path) if size else None}


def _ahead(plan: Plan, facts: Mapping[str, Any], workers: int) -> dict[str, Any]:
    """The first recommendations and the estimate; of a search that goes on, only what is there already."""
    from runner.automl import preview

    seeded = study_claim.setup_of(facts, plan.spec)
    setup = seeded or study_claim.setup_of({**facts, "seed": 0}, plan.spec)
    assert setup is not None
    judged = preview.judged(setup)
    if facts["trials"]:
        why = f"the search goes on after {len(facts['trials'])} trials"
        return {"first": [], "first_why": why, "judged_after": judged, "estimate": None}
    adjust = study_legs.Adjuster({"skill": plan.skill.name, "action": plan.action.name}, plan.spec)
    found = preview.first(setup, workers, adjust)
    why = "" if seeded else "the others are drawn when the search starts: the spec says no seed"
    shown = [{**one._asdict(), "params": one.settings} for one in (found if seeded else found[:1])]
    for one in shown:
        del one["settings"]
    estimate = _estimate(plan, facts, preview.cost(setup), workers)
    return {"first": shown, "first_why": why, "judged_after": judged, "estimate": estimate}


def _estimate(plan: Plan, facts: Mapping[str, Any], epochs: tuple[int, int] | None, workers: int) -> dict[str, Any]:
    """Epochs and seconds from least to most, with what that rests on; None where nobody can tell."""
    limit, found, told = facts["budget"].get("seconds"), pace(plan, facts), list[str]()
    if epochs:
        once = f"{epochs[0]}" if epochs[0] == epochs[1] else f"{epochs[0]} to {epochs[1]}"
        stopped = facts["prune"] or epochs[1] < (facts["budget"]["trials"] or 0) * facts["epochs"]
        whole = (facts["budget"]["trials"] or 0) * facts["epochs"]
        stopped = facts["prune"] or epochs[1] < whole
        told.append(
            f"{once} epochs in all" + (", in made-up searches whose trainings fall behind by chance" if stopped else "")
        )
        if stopped and whole:
            told.append(f"{whole} epochs if no trial fell behind")
    seconds: list[float] | None = None
    if found and epochs:
        seconds = [epochs[0] * found.least / workers, epochs[1] * found.most]
        told.append(found.of)
        if workers > 1:
            told.append(f"the least if {workers} workers are {workers} times as fast, the most if they are no faster than one")
        told.append("a trial that varies what an epoch costs is not reckoned with")
    elif not found:
        told.append("what an epoch takes is not known: no training of this skill has ended in this workspace")
    if limit:
        seconds = [min(s, limit) for s in seconds] if seconds else [0.0, limit]
        told.append(f"the time budget ends it after {limit:g} s, but for the first trial, which is trained to its end")
    return {
        "epochs": list(epochs) if epochs else None,
        "seconds": [round(s, 1) for s in seconds] if seconds else None,
        "seconds_per_epoch": [round(found.least, 4), round(found.most, 4)] if found else None,
        "assumes": told,
    }


def pace(plan: Plan, facts: Mapping[str, Any]) -> Pace | None:
    """What an epoch took in earlier trainings of the workspace: on the same data if there are, else by the size of theirs."""
    own, ours = _data_of(plan.inputs, plan), study_workers.size_of(plan.inputs)
    same, other = list[float](), list[float]()
    for record in reversed(JobStore(plan.request.workspace).list()):
        seconds = _per_epoch(record, facts) if _alike(record, plan) else None
        if seconds is None:
            continue
        if _data_of(record["inputs"], plan) == own:
            same.append(seconds)
        elif ours and (theirs := study_workers.size_of(record["inputs"])):
            other.append(seconds * ours / theirs)
        if len(same) >= LATEST:
            break
    if same:
        return Pace(min(same), max(same), f"{_times(same)} an epoch in {_jobs(same)} on the same data, its start included")
    other = other[:LATEST]
    if other:
        told = f"{_times(other)} an epoch, in proportion to the bytes from {_jobs(other)} on other data"
        return Pace(min(other), max(other), told)
    return None


def _alike(record: Mapping[str, Any], plan: Plan) -> bool:
    whole = record["state"] == "COMPLETE" and not record["automl"] and not record["series"] and not record["retry_of"]
    return whole and (record["skill"], record["action"]) == (plan.skill.name, plan.action.name)


def _per_epoch(record: Mapping[str, Any], facts: Mapping[str, Any]) -> float | None:
    """Seconds of an epoch of a job that has ended, from its start to its end."""
    metrics = record["metrics"]
    told = (metrics.get("stopped_epoch"), metrics.get("epochs"), specs.get(record["spec"], facts["keys"].get("epochs", "")))
    epochs = next((n for n in told if isinstance(n, int) and not isinstance(n, bool) and n > 0), None)
    began, ended = record["started_at"], record["ended_at"]
    if epochs is None or not began or not ended:
        return None
    return (datetime.fromisoformat(ended) - datetime.fromisoformat(began)).total_seconds() / epochs


def _data_of(inputs: list[dict[str, Any]], plan: Plan) -> set[tuple[str, str]]:
    return {(item["key"], str(item["uri"])) for item in inputs if not _is_model(item, plan)}


def _times(found: list[float]) -> str:
    least, most = min(found), max(found)
    return f"{least:.3g} s" if f"{least:.3g}" == f"{most:.3g}" else f"{least:.3g} to {most:.3g} s"


def _jobs(found: list[float]) -> str:
    return f"{len(found)} earlier training{'s' if len(found) > 1 else ''}"
