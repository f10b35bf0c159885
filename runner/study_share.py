"""A search over several machines, as one process of it deals with the others: beats, checkpoints and records go across.

A checkpoint goes by a folder that both see, or by S3 where the results go there; else the leg begins again. Decides nothing.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from runner import checkpoints, storage, study_keep, study_task
from runner.automl import shared
from runner.automl import study as studies
from runner.automl.state import Leg, State
from runner.errors import SchemaInvalid, SkillBankError, StorageError, UnknownJob
from runner.jobs import JobStore
from runner.jobs.record import host, now
from runner.study_legs import Source

PROGRESS = "progress"  # below the results of a job in S3: its newest checkpoint while it runs


class Others:
    """The other workers of the search. What asks the database is called under the search's lock."""

    def __init__(self, store: JobStore, study: dict[str, Any], opened: studies.Opened, say: Callable[[str], None]) -> None:
        self.store, self.study, self.opened, self.say = store, study, opened, say
        self.beat_seconds = max(1, int(study["automl"]["lost_after"]) // studies.PATIENCE)
        if not study["automl"]["join"]:
            shared.publish(opened, study_task.of(study))
        self._courier = Courier(say)
        self._beaten = time.monotonic()

    def taken(self, number: int) -> None:
        """A leg was taken: the first beat."""
        studies.beat(self.opened, number)

    def tend(self, running: Iterable[int]) -> str | None:
        """Beat for the legs that run here, give up those whose worker fell silent; why the search is over, if it is."""
        if time.monotonic() - self._beaten >= self.beat_seconds:
            self._beaten = time.monotonic()
            for number in running:
                studies.beat(self.opened, number)
        studies.give_up_silent(self.opened, self.beat_seconds)
        return shared.closed(self.opened)

    def died_here(self, leg: Leg) -> bool:
        """Whether the leg's worker ran on this machine and is dead, which need not be waited for."""
        try:
            record = self.store.read(leg.owner) if leg.owner else None
        except UnknownJob:
            return False
        return bool(record and record["host"] == host() and not self.store.alive(record["id"]))

    def place(self, record: Mapping[str, Any]) -> dict[str, Any]:
        """Where the checkpoints of a job are, for the other machines."""
        return {"folder": record["results_dir"], "host": host(), "uri": record["upload_uri"]}

    def progress(self, job_id: str, place: Mapping[str, Any]) -> None:
        """There may be a new checkpoint of a running job: its newest one is brought to S3, where the results go there."""
        if place["uri"]:
            self._courier.send(job_id, Path(place["folder"]), f"{place['uri']}/{PROGRESS}")

    def ended(self, job_id: str | None, *, uploaded: bool) -> None:
        """A job has ended; with its results in S3 nobody needs what was brought there before."""
        if job_id:
            self._courier.forget(job_id, keep=not uploaded)

    def sweep(self, state: State) -> None:
        """At the end of a search: what was brought to S3 of trainings that were lost, and that nobody goes on with."""
        try:
            for leg in [leg for config in state.configs if study_keep.needless(config, final=True) for leg in config.legs]:
                if leg.place and leg.place.get("uri"):
                    folder = f"{leg.place['uri']}/{PROGRESS}"
                    for name in storage.names(folder):
                        storage.remove(f"{folder}/{name}")
        except StorageError as error:
            self.say(f"checkpoints of lost trainings stay in S3: {error.message}")

    def elsewhere(self, leg: Leg, max_epochs: int) -> Source | None:
        """The newest checkpoint of a leg that was trained in another workspace."""
        if leg.place is None or leg.job_id is None:
            return None
        folder = Path(leg.place["folder"])
        there = {one["name"]: str(folder / one["name"]) for one in checkpoints.in_folder(folder)}
        uri = leg.place.get("uri")
        try:
            if not there and uri:
                there = {name.rpartition("/")[2]: f"{uri}/{name}" for name in storage.names(uri)}
            fitting = [one for one in checkpoints.scan(there) if one["epoch"] + 1 < max_epochs]
            if not fitting:
                return None
            last = fitting[-1]
            found = there[last["name"]]
            path = storage.fetch(found, self.store.workspace / "cache") if storage.is_remote(found) else Path(found)
        except StorageError as error:
            self.say(f"trial {leg.config}: the checkpoint of {leg.job_id} cannot be fetched: {error.message}")
            return None
        return Source(path, None, last["epoch"] + 1 if last["step"] else 0)

    def why_again(self, legs: list[Leg], leg: Leg) -> str:
        """Why a leg that was begun before cannot go on here; nothing where it was not begun elsewhere."""
        before = next((legs[n] for n in (leg.again, leg.start) if n is not None and legs[n].place), None)
        if before is None or before.place is None or before.place["host"] == host():
            return ""
        return (
            f"trial {leg.config}: its checkpoint is on {before.place['host']}, which is not reached from here; it begins again"
        )

    def bring_home(self, state: State, whole: Iterable[int]) -> None:
        """The records of jobs that others ran into this workspace, and the results of the configurations ``whole``."""
        wanted = set(whole)
        trials = self.opened.study.get_trials(deepcopy=False)
        for leg in state.legs:
            record = trials[leg.number].user_attrs.get("record")
            if leg.job_id is None or self._here(leg.job_id) or (record is None and leg.config not in wanted):
                continue
            own = {**(record or self._of_lost(leg)), "study_job": self.study["id"]}
            try:
                self.store.admit(self._with_results(own) if record and leg.config in wanted else own)
            except (StorageError, SchemaInvalid) as error:
                self.say(f"trial {leg.config}: the results of {leg.job_id} stay where they are: {error.message}")
                if isinstance(error, StorageError):
                    self.store.admit(own)

    def _of_lost(self, leg: Leg) -> dict[str, Any]:
        """A record of a job whose worker was killed elsewhere: what the study knows of it, and its newest checkpoint."""
        found, place = self.elsewhere(leg, sys.maxsize), leg.place or {}
        there = checkpoints.scan([str(found.path)]) if found else []
        message = f"the worker on {place.get('host', 'another machine')} was lost"
        return {
            **self.study,
            **blanks(self.study),
            "id": leg.job_id,
            "results_dir": str(found.path.parent) if found else str(place.get("folder", "")),
            "host": place.get("host"),
            "state": "ERROR",
            "transitions": [{"ts": now(), "state": "ERROR", "message": message, "source": "runner"}],
            "err_class": "ERR_INFRA",
            "checkpoints": [
                {
                    "path": one["name"],
                    "epoch": one["epoch"],
                    "step": one["step"],
                    "val_loss": None,
                    "val_acc": None,
                    "best": False,
                }
                for one in there
            ],
        }

    def _here(self, job_id: str) -> bool:
        try:
            return bool(self.store.read(job_id))
        except UnknownJob:
            return False

    def _with_results(self, record: dict[str, Any]) -> dict[str, Any]:
        """The record with its results here: where they are, if this machine sees that folder, else fetched from S3."""
        import shutil

        before = str(record["results_dir"])
        if Path(before).is_dir():
            return record
        if not record["uploaded"]:
            self.say(f"the results of {record['id']} are on {record['host']} in {before}; they cannot be fetched from here")
            return record
        own = self.store.workspace / "results" / record["id"] / "results_dir"
        fetched = storage.fetch(f"{record['uploaded']['uri'].rstrip('/')}/", self.store.workspace / "cache")
        own.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(fetched, own, dirs_exist_ok=True, ignore=shutil.ignore_patterns(storage.MANIFEST))
        found: dict[str, Any] = _moved(record, before, str(own))
        return found

    def close(self, why: str) -> None:
        """Tell the others that the search is over."""
        shared.close(self.opened, why)

    def end(self) -> None:
        """Nothing more is brought anywhere."""
        self._courier.end()


def blanks(study: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a search's record that none of its jobs has."""
    ended = {"ended_at": now(), "log": None, "uploaded": None, "error": None, "series": None, "automl": None}
    return {**ended, "started_at": study["started_at"], "backend_ref": None, "metrics": {}, "artifacts": {}}


def told(error: BaseException) -> BaseException:
    """An error of the database as one sentence; any other as it is."""
    if isinstance(error, SkillBankError):
        return error
    kinds = {kind.__module__.partition(".")[0] for kind in type(error).__mro__}
    cause = error.__cause__ or error
    if "sqlalchemy" in kinds or ("optuna" in kinds and type(error).__name__ == "StorageInternalError"):
        first = str(getattr(cause, "orig", None) or cause).strip().splitlines()[:1]
        hint = "Go on when it is there again: --resume JOB, or `skillbank automl worker` again."
        return StorageError(f"the database of the search does not answer: {' '.join(first)}", hint=hint)
    return error


def _moved(value: Any, before: str, now: str) -> Any:
    """The same data with every path under one folder under another."""
    if isinstance(value, dict):
        return {key: _moved(inner, before, now) for key, inner in value.items()}
    if isinstance(value, list):
        return [_moved(inner, before, now) for inner in value]
    inside = isinstance(value, str) and f"{value}/".startswith(f"{before}/")
    return now + value[len(before) :] if inside else value


class Courier:
    """A thread that brings the newest checkpoint of each running job to S3; what it was too slow for is passed over."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self.say = say
        self._news = threading.Condition()
        self._waiting: dict[str, tuple[Path, str]] = {}
        self._brought: dict[str, str] = {}  # job -> the object that is there
        self._busy: str | None = None
        self._thread: threading.Thread | None = None
        self._over = self._failed = False

    def send(self, job_id: str, folder: Path, uri: str) -> None:
        """There is something new in the folder."""
        with self._news:
            self._waiting[job_id] = folder, uri
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="courier", daemon=True)
                self._thread.start()
            self._news.notify_all()

    def forget(self, job_id: str, *, keep: bool) -> None:
        """The job has ended; ``keep`` leaves what was brought, and what waits is still brought."""
        with self._news:
            if not keep:
                self._waiting.pop(job_id, None)
            while self._busy == job_id or job_id in self._waiting:
                self._news.wait()
            there = self._brought.pop(job_id, None)
        if there and not keep:
            self._try(partial(storage.remove, there))

    def end(self) -> None:
        """Bring nothing more."""
        with self._news:
            self._over = True
            self._waiting.clear()
            self._news.notify_all()
        if self._thread:
            self._thread.join()

    def _work(self) -> None:
        while True:
            with self._news:
                while not self._waiting and not self._over:
                    self._news.wait()
                if self._over:
                    return
                self._busy = job_id = next(iter(self._waiting))
                folder, uri = self._waiting.pop(job_id)
            self._try(partial(self._bring, job_id, folder, uri))
            with self._news:
                self._busy = None
                self._news.notify_all()

    def _bring(self, job_id: str, folder: Path, uri: str) -> None:
        there = checkpoints.in_folder(folder)
        before = self._brought.get(job_id)
        if not there or before == f"{uri}/{there[-1]['name']}":
            return
        storage.put(folder / there[-1]["name"], uri)
        self._brought[job_id] = f"{uri}/{there[-1]['name']}"
        if before:
            storage.remove(before)

    def _try(self, step: Callable[[], None]) -> None:
        """A checkpoint that cannot be brought costs nothing while nobody needs it: it is said, once."""
        try:
            step()
        except FileNotFoundError:  # a newer one took its place, which comes next
            return
        except (StorageError, OSError) as error:
            if not self._failed:
                self.say(f"warning: the checkpoints of running trials cannot be brought to S3: {error}")
            self._failed = True
