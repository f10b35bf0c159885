"""A search as a job: its workers train what the algorithm decides, each leg an ordinary job, until the budget is spent.

All that is needed to go on lies in the study and in the records of jobs, so that a kill at any moment loses no more than the
epochs under way. Does not know how a job is run: that comes in as a function.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from runner import (
    backend,
    bank,
    study_claim,
    study_faults,
    study_final,
    study_legs,
    study_result,
    study_share,
    study_slurm,
    study_workers,
)
from runner import spec as specs
from runner.automl.driver import Result, Search
from runner.automl.state import Leg
from runner.errors import Canceled, SearchFailed, UnknownJob
from runner.jobs import JobStore
from runner.stopping import Stop
from runner.study_board import Board
from runner.study_keep import Trimmer
from runner.trials import How

TrialRunner = Callable[..., dict[str, Any]]
LOOK = 0.5  # seconds between two looks of a worker that waits
TAKE_UP = 5.0  # between two looks for legs whose owner is gone
LEAVE = 20.0  # that workers elsewhere are given to leave their trials
SILENT = 5.0  # after which a leg that names no owner is nobody's
SPENT = "the time budget of the search was spent"


def run_study(
    store: JobStore,
    study: dict[str, Any],
    spec: dict[str, Any],
    stop: Stop,
    ticker: Any,
    run_trial: TrialRunner,
    run_final: TrialRunner | None = None,
) -> dict[str, Any]:
    """Search, and return the outcome: the best trial's metrics, artifacts and checkpoints, and the facts of the search.

    Raises:
        SearchFailed: every trial failed. JobFailed: the user's data or spec are wrong. Refused: another process runs it.
        Canceled: a signal or `cancel` came; the study and the record keep what there is, to go on from.
    """
    facts = study["automl"]
    with study_claim.claimed(facts, study["id"]) as keep:
        return Supervisor(store, study, spec, stop, ticker, run_trial, run_final, keep).run()


class Supervisor:
    """One process that works on a search, with a thread for each worker. Every look at the study is under one lock."""

    def __init__(
        self,
        store: JobStore,
        study: dict[str, Any],
        spec: dict[str, Any],
        stop: Stop,
        ticker: Any,
        run_trial: TrialRunner,
        run_final: TrialRunner | None,
        keep: Callable[[], None],
    ) -> None:
        self.store, self.study, self.spec, self.ticker = store, study, spec, ticker
        self.run_trial, self.run_final, self.keep = run_trial, run_final, keep
        self.halt = Stop(stop)
        self.skill = bank.get(study["skill"])
        self.action = self.skill.action(study["action"])
        self.facts: dict[str, Any] = study["automl"]
        self.opened = study_claim.opened(self.facts, spec, resumed=study["retry_of"] is not None)
        self.facts["seed"] = self.opened.setup.seed
        several = self.facts.get("storage")
        self.others = study_share.Others(store, study, self.opened, self._say) if several else None
        self.search = Search(
            self.opened.study,
            self.opened.setup,
            owner=study["id"],
            adjust=study_legs.Adjuster(study, spec),
            taken=self.others.taken if self.others else lambda _number: None,
        )
        if not self.facts["join"] and self.search.finishing:  # whoever goes on with a search wants more of it
            self.search.finish(False)
        self.news = threading.Condition(threading.RLock())
        self.board = Board(store, study, self.search, ticker)
        seconds = self.facts["budget"].get("seconds")
        self.deadline = time.monotonic() + seconds if seconds else None
        self.wrong: BaseException | None = None
        self._unowned: dict[int, float] = {}
        self._running: set[int] = set()
        self.room = study_workers.Room(None)
        self._jobs: dict[int, tuple[str, dict[str, Any]]] = {}  # of the legs under way here: job, place
        self._closed = False  # the parent said so
        self.batch: study_slurm.Batch | None = None

    def _say(self, text: str) -> None:
        self.board.say(text)

    def run(self) -> dict[str, Any]:
        """All workers to the end of the search, then its outcome."""
        crew = (
            study_workers.ONLOOKER
            if self.facts["workers"] == 0
            else study_workers.crew(
                self.facts["workers"],
                trials=self.opened.setup.trials,
                gpus_each=_whole(specs.get(self.spec, self.skill.gpu_spec_key, 0)),
                gpu_ids=study_legs.gpu_ids(self.spec, self.facts["keys"]),
                data=study_workers.size_of(self.study["inputs"]),
            )
        )
        self.facts["crew"] = {"count": crew.workers, "why": crew.why}
        if self.facts["workers"] == "auto":  # else it is the user's word
            self.room = study_workers.Room(study_workers.free_memory())
        self.board.several = crew.workers > 1
        self.board.say(f"{crew.workers} worker{'s' if crew.workers > 1 else ''} ({crew.why}), {self.facts['algorithm']}")
        self.take_up()
        if launched := self.facts.get("launch"):
            self.batch = study_slurm.Batch(self.facts, self.store.workspace, Path(self.study["results_dir"]), self.board.say)
            self.board.several = int(launched["workers"]) > 1
        threads = [
            threading.Thread(target=self._work, args=(around,), name=f"worker-{i}")
            for i, around in enumerate(crew.surroundings)
        ] or [threading.Thread(target=self._look_on, name="onlooker")]
        try:
            for thread in threads:
                thread.start()
            self._watch(threads)
        except Exception as error:
            raise study_share.told(error) from None
        finally:
            if any(thread.is_alive() for thread in threads):
                self.halt.end("the search ended")
            for thread in threads:
                thread.join()
            self._close()
        if self.wrong:
            self.board.note()
            raise self.wrong
        return self._finished()

    def _watch(self, threads: list[threading.Thread]) -> None:
        """Until all workers have ended: heed a word to stop, beat, take up what others lost."""
        looked = time.monotonic()
        pace = min(TAKE_UP, self.others.beat_seconds) if self.others else TAKE_UP
        while alive := [thread for thread in threads if thread.is_alive()]:
            alive[0].join(0.1)
            now = time.monotonic()
            if not self.halt() and (reason := self.store.cancel_requested(self.study["id"])):
                self.halt.end(reason)
            if now - looked >= pace:
                looked = now
                self.take_up()

    def _work(self, around: dict[str, str]) -> None:
        """A worker: leg after leg, in processes of its own."""
        try:
            with backend.Worker(around) as worker:
                while (leg := self._next()) is not None:
                    self._train(leg, worker, study_workers.gpus_of(around))
        except BaseException as error:  # raised again where the search is waited for
            self._broke(error)
        finally:
            with self.news:
                self.news.notify_all()

    def _broke(self, error: BaseException) -> None:
        self.wrong = self.wrong or study_share.told(error)
        self.halt.end(f"the search ended: {str(self.wrong).partition(chr(10))[0]}")

    def _look_on(self) -> None:
        """Where others train: wait for the end."""
        try:
            with self.news:
                looked = time.monotonic()
                while not self.halt() and not self._overdue() and not self.search.done:
                    self.news.wait(2 * LOOK)
                    self.search.done = self.search.over()
                    if self.batch and time.monotonic() - looked > study_slurm.LOOK and not self.search.done:
                        looked = time.monotonic()
                        if self.batch.ended():
                            raise SearchFailed(
                                f"all workers ended before the search was done; what they said: {self.batch.folder}"
                            )
        except BaseException as error:  # raised again where the search is waited for
            self._broke(error)

    def _close(self) -> None:
        """The parent's last word to workers elsewhere, who leave their trials in order; what of them is dead is given up."""
        if self.others is None:
            return
        self.others.end()
        if self.facts["join"]:
            return
        why = self.halt.reason() if self.halt() else SPENT if self._overdue() else "the search is done"
        try:
            with self.news:
                self.others.close(why)
                until = time.monotonic() + LEAVE
                while time.monotonic() < until and self.search.state().totals()["running"]:
                    self.news.wait(LOOK)
                self.search.take_up(lambda _leg: True)
            if self.batch:
                self.batch.cancel()
        except Exception as error:
            self._broke(error)

    def _next(self) -> Leg | None:
        """The next leg, waiting while that depends on legs under way; None at the end."""
        with self.news:
            while not self.halt() and not self._overdue():
                leg = self.search.ask() if len(self._running) < self.room.places() else None
                if leg is not None:
                    self._running.add(leg.number)
                    return leg
                if self.search.done:
                    return None
                self.news.wait(LOOK)
        return None

    def _overdue(self) -> bool:
        return self.deadline is not None and time.monotonic() >= self.deadline

    def take_up(self) -> None:
        """Give up the legs of processes that are gone, so that they are trained again from where they were."""
        with self.news:
            if self.others:
                over = self.others.tend(self._running)
                self.keep()  # after what waits for a database that is away
                if over and self.facts["join"] and not self.halt():
                    self._closed = True
                    self.halt.end(over)
                self.board.note(every=TAKE_UP)
            if self.search.take_up(self._gone):
                self.news.notify_all()

    def _gone(self, leg: Leg) -> bool:
        """Whether nobody trains the leg any more: the owner's job holds its lease while it lives.

        Of a worker on another machine the database knows that.
        """
        if self.others:
            return self.others.died_here(leg)
        if leg.owner is None:  # its owner writes its name within a moment, or was killed before
            since = self._unowned.setdefault(leg.number, time.monotonic())
            return time.monotonic() - since > SILENT
        try:
            return not self.store.alive(leg.owner)
        except UnknownJob:
            return True

    def _train(self, leg: Leg, worker: backend.Worker, gpus: int) -> None:
        """One leg as a job, on ``gpus`` GPUs of its own or those of its spec, and what it came to as the search's next step."""
        with self.news:
            legs = self.search.state().legs
        began, diverged = time.monotonic(), list[float]()
        within = Stop(self.halt, None if leg.origin == "given" else self.deadline, SPENT)
        record = study_legs.ended_already(self.store, legs, leg)
        if record:
            self._started(leg, record["id"])
        else:
            elsewhere = self.others.elsewhere if self.others else None
            found = study_legs.source(self.store, legs, leg, self.opened.setup.max_epochs, elsewhere)
            self.board.begins(leg, found.epochs if found else 0)
            if self.others and not found and (why := self.others.why_again(legs, leg)):
                self.board.say(why)
            trimmer = Trimmer(_whole(specs.get(self.spec, self.facts["keys"].get("checkpoints", ""), 1)) or 1)
            how = How(
                run=worker.run,
                control=self._control(leg, trimmer, diverged) if self.action.control else None,
                opened=lambda job_id: self._started(leg, job_id, trimmer),
                ended=trimmer.end if self.action.control else None,
                own=study_legs.own_settings(self.spec, self.facts["keys"], found, steered=self.action.control, gpus=gpus),
                retry_of=found.job_id if found else None,
            )
            ticker = self.board.ticker(leg)
            record = self.run_trial(self.store, self.study, self.spec, leg.settings, leg.config, within, ticker, how)
        if self.others:
            self.others.ended(record["id"], uploaded=bool(record["uploaded"]))
        with self.news:
            if self.room.measured(worker.memory):
                peak, free = (f"{size / 2**30:.1f} GiB" for size in (self.room.peak, self.room.free or 0))
                self.board.say(f"{self.room.places()} at once from here on: a training took {peak}, and {free} are free")
            if self.others:
                self.search.hand_in(leg, record)
            self._jobs.pop(leg.number, None)
            died_before = study_legs.died_before(self.store, legs, leg)
            self._ended(leg, record, within, time.monotonic() - began, bool(diverged), died_before)
            self._running.discard(leg.number)
            self.board.keep(self.facts["keep_trials"] or (self.facts["join"] and not self.others))
            self.board.note()
            self.news.notify_all()

    def _started(self, leg: Leg, job_id: str, trimmer: Trimmer | None = None) -> None:
        if trimmer:
            trimmer.folder = Path(self.store.read(job_id)["results_dir"])
        with self.news:
            place = self.others.place(self.store.read(job_id)) if self.others else {}
            self._jobs[leg.number] = job_id, place
            self.search.started(leg, job_id, place)
            self.board.jobs[leg.number] = job_id
            self.board.note()

    def _control(self, leg: Leg, trimmer: Trimmer, diverged: list[float]) -> backend.Control:
        """What the trainer asks after each validation: whether the leg ends here."""

        def control(epoch: int, metrics: dict[str, float]) -> bool:
            value = metrics.get(self.facts["metric"])
            if not isinstance(value, int | float):
                return False
            if not math.isfinite(value):
                diverged.append(value)
            with self.news:
                ends = self.search.report(leg, epoch, float(value))
                self.board.note(every=2.0)
            trimmer.after(epoch, metrics)
            if self.others:
                self.others.progress(*self._jobs[leg.number])
            return ends

        return control

    def _ended(self, leg: Leg, record: dict[str, Any], within: Stop, seconds: float, diverged: bool, died_before: bool) -> None:
        """Tell the search what came of the leg."""
        seconds, metrics = round(seconds, 3), record["metrics"]
        if record["state"] == "COMPLETE":
            epochs = None if self.action.control else study_legs.epochs_told(metrics, self.opened.setup.max_epochs)
            result = study_legs.result(metrics, self.facts["metric"], diverged=diverged)
            self.board.ended(self.search.tell(leg, result._replace(seconds=seconds, epochs=epochs)))
            return
        fault = study_faults.of(record)
        cut = self.halt() or within.overdue()
        if record["state"] == "CANCELED" and cut:
            self.board.reasons[leg.number] = fault.cause.removeprefix("canceled: ")
            self.search.release(leg)
            return
        if wrong := study_faults.hopeless(record, fault, given=leg.origin == "given"):
            self.search.tell(leg, Result(error=fault.cause, kind=fault.kind, seconds=seconds))
            raise wrong
        if fault.died and not died_before:
            self.board.say(f"trial {leg.config}: {fault.cause}; it goes on from its last checkpoint")
            self.search.release(leg)
            return
        told = self.search.tell(leg, Result(error=fault.cause, kind=fault.kind or None, seconds=seconds))
        self.board.ended(told)

    def _finished(self) -> dict[str, Any]:
        """The outcome of a search whose workers have all ended."""
        with self.news:
            self.board.note()
            if self._closed or (self.others and self.facts["join"] and self.search.done):
                return {"metrics": {}, "artifacts": {}, "checkpoints": [], "automl": self.facts}
            if self.halt() and not self.search.done:
                raise Canceled("the search was ended before its budget was spent", exit_code=128 + (self.halt() or 15))
            if self.search.state().best() is None:
                failed = [f"trial {t['number']}: {t['error']}" for t in self.facts["trials"]]
                raise SearchFailed(f"every trial of the search for {self.facts['metric']} failed", problems=failed)
            if self.others:
                self.others.bring_home(self.search.state(), [self.facts["best"]["number"], 0])
            self._evaluate()
            self.board.keep(self.facts["keep_trials"] or self.facts["join"], final=True)
            if self.others and not self.facts["join"]:
                self.others.sweep(self.search.state())
            self.board.note()
            return study_result.outcome(self.store, self.study, self.facts)

    def _evaluate(self) -> None:
        """Evaluate the best trial and the baseline, once and last: all is decided, and their checkpoints are there."""
        final, launch = self.facts.get("final"), self.run_final
        if not final or self.facts["join"] or launch is None:
            return
        if not final["why_not"] and not self.halt():
            key = self.spec.get("encryption_key")

            def run(action: str, spec_file: Path, links: dict[str, Any]) -> dict[str, Any]:
                return launch(self.store, self.study, action, spec_file, links, key, self.halt, self.ticker)

            self.facts["final"] = final = study_final.run(self.store, self.study, self.facts, self.skill, run)
        if final["rows"] or final["why_not"]:  # neither where the search was ended before
            self.board.say(study_final.line(final))


def _whole(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else 0
