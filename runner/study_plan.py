"""The search in a plan: a new one, one that goes on, or none. Starts nothing."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from runner import lineage, study_asked, study_far
from runner.errors import UsageError
from runner.policy import Route
from runner.skill import Skill
from runner.study_asked import Asked
from runner.study_wishes import Given

__all__ = ["LOG", "Given", "facts", "onward"]

LOG = "study.log"  # in the results of the search's first job


def onward(resume: dict[str, Any] | None, words: Asked, automl: str | None) -> dict[str, Any] | None:
    """The record of the search that ``--resume`` goes on with; None where it is one training, or nothing is resumed.

    Raises:
        UsageError: the AutoML word, or --join, says otherwise.
    """
    if resume is None:
        return None
    if resume["automl"] and automl == "off":
        raise UsageError(f"--resume {resume['id']} goes on with a search, --automl off trains once.", hint="Give one of them.")
    if not resume["automl"] and (automl == "on" or words.join):
        flag = "--join adds workers to" if words.join else "--automl on begins"
        raise UsageError(f"--resume goes on with one training, {flag} a search.", hint="Give one of them.")
    if resume["automl"] and "study" not in resume["automl"]:
        raise UsageError(
            f"--resume {resume['id']}: this search was run by an earlier version and cannot go on.",
            hint="Its winner can: --resume TRIAL. A new search may begin with its best_spec.yaml: --spec FILE.",
        )
    return resume if resume["automl"] else None


def facts(
    words: Asked, route: Route, before: dict[str, Any] | None, given: Given, results_dir: Path, job_id: str, upload: str | None
) -> tuple[dict[str, Any] | None, list[str]]:
    """What the record of the search begins with, if one is run, and what the user should hear of it.

    Raises:
        UsageError: words that are wrong, have no effect, or would make a search that goes on another one.
    """
    if route.kind != "automl":
        if words.flags:
            raise UsageError(f"{words.flags}: of a search, and none is run: {route.reason}.", hint="Leave it out.")
        return None, []
    if before is None:
        found, heard = study_asked.begin(words, given)
        found |= {"study": str(results_dir / LOG), **study_far.begin(words, job_id, study_asked.workers(words.workers))}
        return found, [*heard, *study_far.notes(found, words, upload)]
    changed = lineage.changes(before["spec"], given.spec, given.action, given.schema)
    if changed:
        raise UsageError(f"--resume {before['id']} goes on with the same search, whose spec was another:", problems=changed)
    return study_asked.go_on(words, before["automl"]), []


def with_final(
    search: dict[str, Any] | None, skill: Skill, dataset: str | None, aside: Mapping[str, Any], inputs: list[dict[str, Any]]
) -> dict[str, Any] | None:
    """The facts of a search with what is evaluated at its end."""
    if search is None:
        return None
    from runner import study_final

    return study_final.planned(search, skill, dataset, aside, inputs)
