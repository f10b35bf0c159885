"""Which checkpoints of a search stay on the disk, and the deletion of the others.

By default: the best trial's, those of trials under way or stopped, which may go on, and of the spec as given. At the end the
best one's alone. A trial that was cut off keeps its own: the search may be taken up again.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from runner import checkpoints, trials
from runner.automl.state import Config, State
from runner.backend import Outcome
from runner.errors import UnknownJob
from runner.jobs import JobStore


def retain(store: JobStore, state: State, gone: set[str], *, final: bool) -> list[str]:
    """Delete the checkpoints of trials that are not needed any more; the paths. ``gone`` are jobs that have none left."""
    best = state.best()
    deleted = []
    for config in state.configs:
        if config is best or not needless(config, final):
            continue
        for job_id in [leg.job_id for leg in config.legs if leg.job_id and leg.job_id not in gone]:
            try:
                deleted += _emptied(Path(store.read(job_id)["results_dir"]))
            except UnknownJob:
                continue
            gone.add(job_id)
    return deleted


def thin(store: JobStore, state: State, say: Callable[[str], None]) -> list[str]:
    """At the end of a search, the same for the results in S3; the addresses."""
    best = state.best()
    jobs = [leg.job_id for config in state.configs if config is not best and needless(config, True) for leg in config.legs]
    return trials.thin(store, [job_id for job_id in jobs if job_id], say)


def needless(config: Config, final: bool) -> bool:
    """Whether nobody goes on with a trial, unless it is the best."""
    if config.state == "failed" and "class" not in config.last.result:  # canceled by somebody, who may go on with it
        return False
    if config.state == "stopped" or config.origin == "given":
        return final and config.state in ("stopped", "complete", "failed")
    return config.state in ("complete", "failed")


def _emptied(folder: Path) -> list[str]:
    deleted = []
    for path in checkpoints.files(folder):
        path.unlink(missing_ok=True)
        deleted.append(str(path))
    return deleted


class Trimmer:
    """While a trial runs, deletes the checkpoints that are there only because it may be cut off at any moment.

    What the user's own interval asks for stays, the newest two (one may be half known), and those of the epochs in which a
    metric was lowest or highest: one of them is the trainer's best.
    """

    def __init__(self, interval: int, folder: Path = Path()) -> None:
        self.interval, self.folder = interval, folder  # the folder is known once the trial's job is
        self._ends: dict[tuple[str, int], tuple[float, int]] = {}  # (metric, sign) -> value, epoch

    def after(self, epoch: int, metrics: Mapping[str, float]) -> None:
        """Note what was measured after ``epoch``, counted from 1, and delete."""
        for name, value in metrics.items():
            for sign in (1, -1):
                if math.isfinite(value) and sign * value < self._ends.get((name, sign), (math.inf, 0))[0]:
                    self._ends[name, sign] = sign * value, epoch
        best = {number for _, number in self._ends.values()}
        for one in self._there()[:-2]:
            if (one["epoch"] + 1) % self.interval and one["epoch"] + 1 not in best:
                (self.folder / one["name"]).unlink(missing_ok=True)

    def end(self, outcome: Outcome) -> None:
        """The training has ended: what its outcome names stays, and what the interval asks for."""
        named = {str(path) for path in outcome.artifacts.values()}
        named |= {str(one["path"]) for one in outcome.checkpoints if one.get("best")}
        for one in self._there()[:-1]:
            if (one["epoch"] + 1) % self.interval and str(self.folder / one["name"]) not in named:
                (self.folder / one["name"]).unlink(missing_ok=True)

    def _there(self) -> list[dict[str, Any]]:
        return checkpoints.in_folder(self.folder)
