"""What a search and a series do alike with the jobs they run: read what came of one, find the best, keep its checkpoints only.

Knows records, and where their results were uploaded; starts nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from runner import checkpoints, private, storage
from runner.errors import Canceled, JobFailed, Problem, StorageError, UnknownJob
from runner.jobs import JobStore

Trial = dict[str, Any]  # of a record: at least number, job_id, state, params, value, error, seconds

THINNED = "not kept: another was better"


class How(NamedTuple):
    """How a job of a search is run, where that is not as any other job is."""

    run: Callable[..., Any] | None = None  # what runs the entrypoint, with the arguments of backend.run_child
    control: Callable[[int, dict[str, float]], bool] | None = None
    opened: Callable[[str], None] = lambda _job_id: None  # hears the job's id before it starts
    ended: Callable[[Any], None] | None = None  # hears the outcome before it is recorded
    own: Mapping[str, Any] = MappingProxyType({})  # settings that are no part of the trial, such as where to go on from
    retry_of: str | None = None


PLAIN = How()


class Hopeless(Exception):
    """Ends it all: what went wrong lies in the user's input, and every further job would meet it."""

    def __init__(self, error: JobFailed) -> None:
        super().__init__(str(error))
        self.error = error


def value(record: dict[str, Any], metric: str, *, ended: bool) -> float:
    """The metric that came of a job; ``ended`` says that the whole is to end.

    Raises:
        JobFailed: nothing came of it. Canceled: it was canceled, and the whole with it.
    """
    if record["state"] == "CANCELED" and ended:
        raise Canceled(f"trial {record['id']} was canceled", exit_code=(record.get("error") or {}).get("exit_code", 143))
    if record["state"] != "COMPLETE":
        error = record.get("error") or {}
        why = record["transitions"][-1]["message"] if record["state"] == "CANCELED" else error.get("message", "")
        raise JobFailed(
            f"{record['id']}: {why or record['state']}",
            problems=[Problem(**problem) for problem in error.get("problems", [])],
            exit_code=error.get("exit_code", 1) if record["state"] == "ERROR" else 1,
        )
    found = record["metrics"].get(metric)
    if not isinstance(found, int | float) or math.isnan(found):
        raise JobFailed(f"{record['id']}: the metric {metric} is not a number ({found!r})")
    return float(found)


def fail(trial: Trial, error: JobFailed) -> None:
    """Note in ``trial`` why it failed.

    Raises:
        Hopeless: wrong data or a checkpoint that does not fit, which no other parameters would mend.
    """
    trial["error"] = error.message.removeprefix(f"{trial['job_id']}: ")
    if error.exit_code != 1:
        raise Hopeless(error) from None


def best(trials: list[Trial], direction: str) -> Trial | None:
    """Number, job, value and parameters of the best trial that has a value."""
    done = [t for t in trials if t["value"] is not None]
    if not done:
        return None
    pick = min if direction == "minimize" else max
    found = pick(done, key=lambda t: t["value"])
    return {key: found[key] for key in ("number", "job_id", "value", "params")}


def retain(store: JobStore, trials: list[Trial], winner: Trial | None) -> list[str]:
    """Delete the checkpoints of ended trials that are not the best so far; what was deleted is recorded."""
    deleted = []
    for trial in trials:
        kept = winner is not None and trial["job_id"] == winner["job_id"]
        if kept or trial.get("retained") is False or trial["state"] == "CANCELED":  # a canceled one can be resumed
            continue
        folder = Path(store.read(trial["job_id"])["results_dir"])
        for path in checkpoints.files(folder):
            path.unlink()
            deleted.append(str(path))
        trial["retained"] = False
    return deleted


def thin(store: JobStore, job_ids: Iterable[str], say: Callable[[str], None]) -> list[str]:
    """Delete what ``retain`` deletes here from the results in S3, too, where those jobs have any; the addresses.

    What the store does not allow is said; it does not end the search.
    """
    deleted = []
    for job_id in job_ids:
        try:
            uploaded = store.read(job_id)["uploaded"]
            deleted += storage.thin(uploaded["uri"], checkpoints.is_one, THINNED) if uploaded else []
        except UnknownJob:  # its record is on another machine, or was deleted
            continue
        except StorageError as error:
            say(f"the checkpoints of trials that are not the best stay in S3: {error.message}")
            break
    return deleted


def write(path: Path, text: str) -> None:
    """Write a file of the results whole or not at all."""
    private.replace(path, text, mode=0o666)


def short(thing: Any) -> str:
    """A value in a line for people."""
    return f"{thing:.4g}" if isinstance(thing, float) else str(thing)
