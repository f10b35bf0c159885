"""After a search: its best trial, and what it is held against, are evaluated once, on data that chose nothing.

What is evaluated is settled when the search is planned; the result decides nothing. How a job is run comes in as a function.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from runner import compose, study_result
from runner import spec as specs
from runner import trials as jobs
from runner.errors import SkillBankError, UnknownAction
from runner.jobs import JobStore
from runner.skill import Action, Skill
from runner.study_facts import BASELINE, BEST

Launch = Callable[..., dict[str, Any]]
PRETRAINED = "pretrained"


class Subject(NamedTuple):
    """What is evaluated: the ``best`` trial, the ``baseline`` (the spec as given), or the ``pretrained`` checkpoint."""

    what: str
    number: int | None
    job_id: str
    spec: Mapping[str, Any]
    checkpoint: str | None


def planned(
    search: dict[str, Any], skill: Skill, dataset: str | None, aside: Mapping[str, Any], inputs: list[dict[str, Any]]
) -> dict[str, Any]:
    """The facts that the record of a search begins with, with what is evaluated at the end; one that goes on knows it already.

    ``final`` holds action, metric and data, or why there will be none; None where the skill declares nothing under
    ``automl.final``. Data that the search itself reads are no test set.
    """
    if search["trials"] or "final" in search:
        return search
    told = (skill.info.get("automl") or {}).get("final")
    return {**search, "final": _data(told, skill, dataset, aside, inputs) if told else None}


def _data(
    told: dict[str, Any], skill: Skill, dataset: str | None, aside: Mapping[str, Any], inputs: list[dict[str, Any]]
) -> dict[str, Any]:
    facts: dict[str, Any] = {**told, "inputs": {}, "why_not": None, "rows": []}
    try:
        own = skill.action(told["action"])
        found = compose.dataset_values(dataset, own) if dataset else {}
    except (SkillBankError, UnknownAction) as error:
        return {**facts, "why_not": f"there is no test set: {error.message}"}
    spec = specs.merge(found, {key: value for key, value in aside.items() if key == own.name})
    taken = {os.path.realpath(str(item["uri"])) for item in inputs}
    values: dict[str, str] = {}
    for key, rule in own.inputs.items():
        if rule.get("holds") == "checkpoint" or str(own.spec_params.get(key, "")).startswith("parent"):
            continue
        value = specs.get(spec, key)
        if not compose.is_set(value):
            if not rule.get("optional"):
                return {**facts, "why_not": f"there is no test set: {key} is not given"}
            continue
        path = value if "://" in str(value) else os.path.abspath(os.path.expanduser(str(value)))
        if "://" not in path and not os.path.exists(path):
            return {**facts, "why_not": f"there is no test set: {path} is not there"}
        if os.path.realpath(path) in taken:
            return {**facts, "why_not": f"there is no test set: {path} is what the trials are chosen by"}
        values[key] = path
    if not values:
        return {**facts, "why_not": "there is no test set"}
    return {**facts, "inputs": values}


def run(store: JobStore, study: Mapping[str, Any], facts: Mapping[str, Any], skill: Skill, launch: Launch) -> dict[str, Any]:
    """Evaluate all there is, the best trial last; what came of it. One that fails is told, and nothing else fails with it.

    ``launch`` runs an action of the skill with a spec file as a job with these links, and returns its record.
    """
    final: dict[str, Any] = dict(facts["final"])
    known = {row["checkpoint"]: row for row in final["rows"] if row["error"] is None}
    final["rows"] = []
    for subject in subjects(store, study, facts, skill.action(study["action"])):
        row: dict[str, Any] = {"what": subject.what, "number": subject.number, "checkpoint": subject.checkpoint}
        if subject.checkpoint is None or not Path(subject.checkpoint).exists():
            row |= {"job_id": None, "metrics": {}, "error": "its checkpoint is not there"}
        elif twin := known.get(subject.checkpoint):  # of an earlier job of the search
            row = {**twin, **row}
        else:
            row |= _evaluated(study, final, skill.action(final["action"]), subject, launch)
        final["rows"].append(row)
    return final


def subjects(store: JobStore, study: Mapping[str, Any], facts: Mapping[str, Any], action: Action) -> Iterator[Subject]:
    """The pretrained checkpoint where one was given, the spec as given, and the best trial."""
    best = facts["best"]
    given = next((t for t in facts["trials"] if t["origin"] == "given" and t["job_id"]), None)
    if given:
        of_given = study_result.winner(study, given["params"])
        start = next((specs.get(study["spec"], key) for key in pretrained_keys(action)), None)
        if isinstance(start, str) and compose.is_set(start):
            yield Subject(PRETRAINED, None, given["job_id"], of_given, start)
        if given["number"] != best["number"]:
            yield Subject(BASELINE, given["number"], given["job_id"], of_given, study_result.checkpoint(store, given))
    trial = next(t for t in facts["trials"] if t["number"] == best["number"])
    spec = study_result.winner(study, best["params"])
    yield Subject(BEST, best["number"], study["id"], spec, study_result.checkpoint(store, trial))


def pretrained_keys(action: Action) -> list[str]:
    """The settings that name a checkpoint to begin with."""
    return [key for key, function in action.spec_params.items() if function.startswith(("ptm", "parent_model"))]


def _evaluated(
    study: Mapping[str, Any], final: Mapping[str, Any], action: Action, subject: Subject, launch: Launch
) -> dict[str, Any]:
    """One evaluation as a job of its own, and what it measured."""
    spec: dict[str, Any] = {}
    for key, function in action.spec_params.items():
        if function.startswith("parent_model"):
            specs.set_(spec, key, subject.checkpoint)
        elif function == "parent_spec" and specs.has(subject.spec, key):
            specs.set_(spec, key, specs.get(subject.spec, key))
    for key, value in final["inputs"].items():
        specs.set_(spec, key, value)
    path = Path(study["results_dir"]) / f"{action.name}_{subject.what}.yaml"
    reason = f"final {action.name} of {study['id']}: {subject.what}"
    links = {
        "study_job": study["id"],
        "parent_job": subject.job_id,
        "route": {**study["route"], "kind": "direct", "reason": reason},
    }
    try:
        jobs.write(path, specs.write(spec))
        record = launch(action.name, path, links)
    except SkillBankError as error:
        told = "; ".join([error.message, *(str(problem) for problem in error.problems)])
        return {"job_id": None, "metrics": {}, "error": told}
    numbers = {k: v for k, v in record["metrics"].items() if isinstance(v, int | float) and not isinstance(v, bool)}
    wrong = None if record["state"] == "COMPLETE" else str((record.get("error") or {}).get("message") or record["state"])
    if wrong is None and final["metric"] not in numbers:
        wrong = f"it measured no {final['metric']}"
    return {"job_id": record["id"], "metrics": numbers, "error": wrong}


def line(final: Mapping[str, Any]) -> str:
    """What came of it, for people."""
    if final["why_not"]:
        return f"no final {final['action']}: {final['why_not']}"
    metric = final["metric"]
    said = [f"{r['what']} {r['error'] or jobs.short(r['metrics'].get(metric))}" for r in reversed(final["rows"])]
    return f"final {final['action']}, {metric}: {', '.join(said)}"
