"""`skillbank automl worker`: a job of this workspace that trains for a search begun elsewhere, until that is done."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, NamedTuple

from runner import bank, databases, facts, launch, redact, study_asked, study_task
from runner import plan as plans
from runner.errors import UsageError
from runner.jobs import JobStore
from runner.stopping import stop_on_signals


class Asked(NamedTuple):
    """What a worker is told: the search by its study, and what is this machine's own."""

    workspace: Path
    study: str
    storage: str | None = None
    workers: str | None = None
    keep_trials: bool = False
    command: tuple[str, ...] = ()


def place(storage: str | None) -> str:
    """The database as it is written down; said in the environment where no option says it.

    Raises:
        UsageError: nobody says it, or it is none.
    """
    said = storage or databases.from_environment()
    if said is None:
        raise UsageError("The database of the search is not named.", hint=f"--storage URL, or ${databases.VARIABLE}.")
    return databases.remember(said)


def opened(storage: str | None, study: str) -> Any:
    """The study of that name in the database.

    Raises:
        UnknownJob: it is not there; those that are get named. StorageError: the database cannot be opened.
    """
    from runner.automl import study as studies

    return studies.open_study(databases.whole(place(storage)), name=study)


def work(asked: Asked, ticker: launch.Ticker) -> dict[str, Any]:
    """Train until the search is done; the terminal record of the worker's own job.

    Raises:
        SkillBankError: this machine cannot work on the search, and why; then there is no job.
    """
    from runner.automl import shared

    count = study_asked.workers(asked.workers)
    if count == 0:
        raise UsageError("--workers 0: a worker trains; allowed: auto, or a whole number of 1 or more.")
    study = opened(asked.storage, asked.study)
    task = shared.task(study)
    spec = study_task.spec_here(task)
    study_task.check_results(task)
    if why := shared.closed(study):
        ticker.say(f"the search {asked.study} is over: {why}")
    store = JobStore(asked.workspace)
    ticket = store.mint(task["network_arch"], task["action"])
    skill = bank.get(task["skill"])
    schema = plans.schema_of(skill, task["action"])
    secrets = schema.secrets()
    store.hide(secrets, redact.values_of(spec, secrets) | redact.surroundings(os.environ) | databases.secrets())
    task["automl"] |= {"study": place(asked.storage), "storage": place(asked.storage)}  # as this machine reaches it
    record = {
        **study_task.record(task, ticket, "auto" if count is None else count, keep_trials=asked.keep_trials),
        "command": list(asked.command),
        "environment": facts.environment(),
    }
    with store.open(record, secret_keys=secrets), stop_on_signals() as stop:
        ticker.say(f"{ticket.id}: works on the search {asked.study}")
        Path(ticket.results_dir).mkdir(parents=True, exist_ok=True)
        return launch.execute(store, store.read(ticket.id), spec, stop, ticker)
