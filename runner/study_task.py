"""What a study in a database says of its search, so that another machine can work on it: skill, action, spec, data, facts.

Secrets are left out: a worker brings its own. Knows records and skills; opens no study.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from runner import bank, keyed, keys
from runner import spec as specs
from runner.errors import InputMissing, Problem, Refused, SpecInvalid, StorageError
from runner.jobs import Ticket
from runner.redact import MASK

OF_RECORD = (
    "skill",
    "skill_version",
    "network_arch",
    "action",
    "spec",
    "sources",
    "inputs",
    "upload_excludes",
    "recipe",
    "onward",
)
OF_JOB = ("trials", "best", "totals", "deleted", "elapsed", "began_with", "crew", "launch", "asked")  # of the parent's alone


def of(study: Mapping[str, Any]) -> dict[str, Any]:
    """The task of a search's job, from its record, in which secrets read ``***``."""
    inputs = [{key: value for key, value in item.items() if key != "path"} for item in study["inputs"]]
    facts = {key: value for key, value in study["automl"].items() if key not in OF_JOB}
    root = study["upload_uri"].rpartition("/")[0] if study["upload_uri"] else None
    found = {**{key: study[key] for key in OF_RECORD}, "inputs": inputs, "automl": facts, "results": root}
    plain: dict[str, Any] = json.loads(json.dumps(found))
    return plain


def record(task: Mapping[str, Any], ticket: Ticket, workers: int | str, *, keep_trials: bool) -> dict[str, Any]:
    """The record of a job that works on the search, less its command and surroundings."""
    facts = {
        **task["automl"],
        "workers": workers,
        "keep_trials": keep_trials or task["automl"]["keep_trials"],
        "join": True,
        "launch": None,
        "elapsed": 0.0,
        "began_with": 0.0,
        "totals": {},
        "deleted": [],
        "trials": [],
        "best": None,
    }
    name = facts["study_id"]
    return {
        **{key: task[key] for key in OF_RECORD},
        "id": ticket.id,
        "results_dir": ticket.results_dir,
        "log": str(Path(ticket.results_dir).parent / "logs" / "job.log"),
        "outputs": [{"key": "results_dir", "uri": ticket.results_dir, "type": "folder"}],
        "route": {"kind": "automl", "policy": "on", "source": "worker", "reason": f"works on the search {name}"},
        "upload_uri": f"{task['results']}/{ticket.id}" if task["results"] else None,
        "automl": facts,
    }


def spec_here(task: Mapping[str, Any]) -> dict[str, Any]:
    """The spec to train with on this machine: its own secrets in it, and its data looked for.

    Raises:
        Refused: the skill is here in another version. SpecInvalid: a secret is wanted that this machine does not know.
        InputMissing: data that the search reads is not on this machine.
    """
    skill = bank.get(task["skill"])
    if skill.version != task["skill_version"]:
        there = f"the search was begun with version {task['skill_version']} of {skill.name}, here is {skill.version}"
        raise Refused(f"{there}.", hint="Install the same version on all machines.")
    action = skill.action(task["action"])
    spec: dict[str, Any] = json.loads(json.dumps(task["spec"]))
    own, key, wanted = keyed.settings(action), keys.from_environment(), list[Problem]()
    for name, value in specs.flatten(spec).items():
        if value == MASK:
            if name in own and key:
                specs.set_(spec, name, key)
            else:
                wanted.append(Problem(name, "is a secret of the search", keys.HOW if name in own else "a search without it"))
    if wanted:
        raise SpecInvalid("The search trains with a secret that this machine does not know.", problems=wanted)
    local = [item for item in task["inputs"] if "://" not in str(item["uri"])]
    absent = [
        Problem(item["key"], f"{item['uri']} is not on this machine") for item in local if not os.path.exists(item["uri"])
    ]
    if absent:
        raise InputMissing(
            "The search reads data that is not here.",
            problems=absent,
            hint="Put it into a folder that all machines see under the same name, or begin the search with s3:// addresses.",
        )
    return spec


def check_results(task: Mapping[str, Any]) -> None:
    """See that results can be written to where they are to go.

    Raises:
        StorageError: they cannot.
    """
    if task["results"]:
        from runner import storage

        try:
            storage.check_bucket(task["results"])
        except StorageError as error:
            raise StorageError(f"results cannot go to {task['results']}: {error.message}", hint=error.hint) from None
