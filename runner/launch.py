"""The main path: Request -> Job. Opens the record, runs the action directly or as a search, closes the record.

Composes the other modules; prints nothing and parses no command line.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple, TextIO, cast

from runner import backend, bank, compose, databases, keys, private, redact, scrub, storage
from runner import plan as plans
from runner import recipe as recipes
from runner import spec as specs
from runner.errors import Canceled, JobFailed, SearchFailed, SkillBankError
from runner.jobs import TERMINAL, JobStore, evidence
from runner.jobs.record import RULED
from runner.opening import named, opened, prepare
from runner.plan import Request
from runner.series import run_series
from runner.stopping import Stop, stop_on_signals
from runner.study import run_study
from runner.trials import PLAIN, How

Say = Callable[[str], None]


class Ticker(NamedTuple):
    """What a caller wants to hear while a job runs: lines of text, the job's folder now and then, how far a transfer is."""

    say: Say
    tick: Callable[[dict[str, Any]], None]
    bar: Say = lambda _text: None


QUIET = Ticker(lambda _line: None, lambda _record: None)


def run(request: Request, ticker: Ticker = QUIET) -> dict[str, Any]:
    """Plan, open and run a job in the foreground; the terminal record comes back whatever the job's end.

    Where a job of the id that is asked for runs already, it is waited for, and its record says ``existing``.

    Raises:
        Refused: the plan is not the one that was named, or the id belongs to another job.
    """
    job = prepare(request)
    if job.known:
        return _waited(job.store, job.known, ticker)
    with opened(job) as lease, stop_on_signals() as stop:
        if lease is None:
            return run(request, ticker)
        ticker.say(f"{job.record['id']}: {job.plan.route.reason}")
        if job.plan.recipe:
            ticker.say(f"recipe: {recipes.line(job.plan.recipe)}")
        for note in job.plan.notes:
            ticker.say(f"note: {note}")
        return named(job, execute(job.store, job.store.read(job.record["id"]), job.plan.spec, stop, ticker))


def submit(request: Request) -> dict[str, Any]:
    """Plan and open a job and hand it to a background process that outlives this one; the PENDING record comes back.

    Where a job of the id that is asked for exists already, its record comes back and says ``existing``.

    Raises:
        Refused: the plan is not the one that was named, or the id belongs to another job.
    """
    import subprocess

    job = prepare(request)
    if job.known:
        return {**job.known, "existing": True}
    with opened(job) as lease:
        if lease is None:
            return submit(request)
        logs = Path(job.record["log"]).parent
        with private.words(f"the folder {logs} cannot be written"):
            sink = private.appending(private.folder(logs) / "supervisor.log")
        with open(sink, "ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "runner.launch", str(request.workspace), lease.job_id, str(lease.fileno())],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                # The spec that comes by the pipe holds the key.
                env={**keys.environment(), **databases.handed_on((job.record["automl"] or {}).get("storage"))},
                pass_fds=[lease.fileno()],
                start_new_session=True,
            )
        assert process.stdin is not None
        process.stdin.write(json.dumps(job.plan.spec).encode())
        process.stdin.close()
        # The supervisor lives on by design; without this the interpreter would warn about a child it did not wait for.
        process.returncode = 0
    return named(job, job.store.read(job.record["id"]))


def _waited(store: JobStore, record: dict[str, Any], ticker: Ticker) -> dict[str, Any]:
    """The record of a job that somebody else runs, when it has ended."""
    while record["state"] not in TERMINAL:
        ticker.tick(record)
        time.sleep(0.1)
        record = store.reconcile(record["id"])
    return {**record, "existing": True}


def supervise(argv: list[str]) -> int:
    """The background process: adopt the lease that was handed over, read the spec from stdin, run the job."""
    workspace, job_id, fileno = Path(argv[0]), argv[1], int(argv[2])
    spec = json.load(sys.stdin)
    store = JobStore(workspace)
    with store.adopt(job_id, fileno), stop_on_signals() as stop:
        record = store.read(job_id)
        names = plans.schema_of(bank.get(record["skill"]), record["action"]).secrets()
        secrets = redact.values_of(spec, names) | redact.surroundings(os.environ) | databases.secrets()
        store.hide(names, secrets)
        sys.stderr = cast(TextIO, scrub.Stream(sys.stderr, secrets))
        record = execute(store, record, spec, stop, QUIET)
    return 0 if record["state"] == "COMPLETE" else 1


def execute(
    store: JobStore, record: dict[str, Any], spec: dict[str, Any], stop: Stop, ticker: Ticker, how: How = PLAIN
) -> dict[str, Any]:
    """Run an opened job to its end and close its record. Every end is recorded; only the record says how it went."""
    job_id = record["id"]
    try:
        record = store.mark(job_id, "RUNNING", "started", backend_ref=f"pid:{os.getpid()}")
        moving = _mover(store, record, stop, ticker)
        fetched, inputs = _fetch(store, record, spec, ticker, moving)
        if inputs != record["inputs"]:
            record = store.enrich(job_id, inputs=inputs)
        if record["automl"]:
            outcome = run_study(store, record, fetched, stop, ticker, launch_trial, launch_final)
        elif record["series"]:
            outcome = run_series(store, record, fetched, stop, ticker, launch_trial)
        else:
            outcome = _run_direct(store, record, fetched, stop, ticker, how)
        uploaded = _upload(record, ticker, moving)
    except (SkillBankError, KeyboardInterrupt) as error:
        return _close_failed(store, record, error, stop)
    except Exception as error:  # a defect of ours: recorded like any other end, then shown whole to whoever can mend it
        _close_failed(store, record, error, stop)
        raise
    return store.close(job_id, "COMPLETE", "finished", **outcome, uploaded=uploaded)


def _run_direct(
    store: JobStore, record: dict[str, Any], spec: dict[str, Any], stop: Stop, ticker: Ticker, how: How
) -> dict[str, Any]:
    """One action in a child process; its outcome as the record keeps it."""
    skill = bank.get(record["skill"])
    action = skill.action(record["action"])
    folder_key = f"{record['action']}.results_dir"
    if not compose.is_set(specs.get(spec, folder_key)):
        specs.set_(spec, folder_key, record["results_dir"])
    log = Path(record["log"])

    def should_stop() -> int | None:
        asked = stop() or (signal.SIGTERM if store.cancel_requested(record["id"]) else None)
        if asked:
            ticker.say("stopping: the job is ended in order, and what it has is kept")
        return asked

    run = how.run or backend.run_child
    outcome = run(
        action.entrypoint,
        spec,
        log=log,
        env={name: value for name, value in action.environment.items() if name not in os.environ},
        outcome=log.parent / "outcome.json",
        secrets=redact.values_of(spec, plans.schema_of(skill, record["action"]).secrets()),
        on_line=ticker.say,
        on_tick=lambda: ticker.tick(record),
        should_stop=should_stop,
        control=how.control,
    )
    if how.ended:
        how.ended(outcome)
    there = [c for c in outcome.checkpoints if not how.ended or Path(c["path"]).exists()]
    checkpoints = there or evidence(store.read(record["id"]))["checkpoints"]
    return {"metrics": outcome.metrics, "artifacts": outcome.artifacts, "checkpoints": checkpoints}


def launch_trial(
    store: JobStore,
    study: dict[str, Any],
    spec: dict[str, Any],
    params: dict[str, Any],
    number: int,
    stop: Stop,
    ticker: Ticker,
    how: How = PLAIN,
) -> dict[str, Any]:
    """One trial of a search, or one child of a series: an ordinary job with its own record. Returns its terminal record."""
    skill = bank.get(study["skill"])
    ticket = store.mint(study["network_arch"], study["action"])
    trial_spec: dict[str, Any] = json.loads(json.dumps(spec))
    for key, value in {**params, **how.own}.items():
        specs.set_(trial_spec, key, value)
    specs.set_(trial_spec, "results_dir", ticket.results_dir)
    specs.set_(trial_spec, f"{study['action']}.results_dir", ticket.results_dir)
    schema = plans.schema_of(skill, study["action"])
    record = {
        **study,
        "id": ticket.id,
        "results_dir": ticket.results_dir,
        "log": str(Path(ticket.results_dir).parent / "logs" / "job.log"),
        "spec": plans.redacted(trial_spec, schema),
        "sources": {**study["sources"], **dict.fromkeys([*params, *how.own], "series" if study["series"] else "search")},
        "route": {**study["route"], "kind": "direct", "reason": f"{_child(study, number)} of {study['id']}"},
        "parent_job": study["parent_job"],
        "study_job": study["id"],
        "retry_of": how.retry_of,
        "outputs": [{"key": "results_dir", "uri": ticket.results_dir, "type": "folder"}],
        "upload_uri": f"{study['upload_uri'].rsplit('/', 1)[0]}/{ticket.id}" if study["upload_uri"] else None,
        "automl": None,
        "series": None,
    }
    for field in ("metrics", "artifacts", "checkpoints", "error", "err_class", "backend_ref", *RULED):
        record.pop(field, None)
    with store.open(record):
        how.opened(ticket.id)
        return execute(store, store.read(ticket.id), trial_spec, stop, ticker, how)


def launch_final(
    store: JobStore,
    study: dict[str, Any],
    action: str,
    spec_file: Path,
    links: dict[str, Any],
    key: str | None,
    stop: Stop,
    ticker: Ticker,
) -> dict[str, Any]:
    """Another action of a search's skill as a job of its own, within the search. Returns its terminal record.

    ``links`` are what its record says of the search, ``key`` the passphrase of checkpoints.
    """
    root = study["upload_uri"].rpartition("/")[0] if study["upload_uri"] else None
    asked = Request(store.workspace, study["skill"], action, spec_file, results=root, encryption_key=key or None)
    job = prepare(asked)
    job.record.update(links)
    with opened(job):
        return execute(job.store, job.store.read(job.record["id"]), job.plan.spec, stop, ticker)


def _child(study: dict[str, Any], number: int) -> str:
    """What a job is called among those of its search or series."""
    return str(study["series"]["children"][number]["label"]) if study["series"] else f"trial {number}"


def _mover(store: JobStore, record: dict[str, Any], stop: Stop, ticker: Ticker) -> storage.Progress:
    """Shows how far a transfer is, and ends it when the job is to end."""

    def moving(moved: storage.Moved) -> None:
        if stop() or store.cancel_requested(record["id"]):
            raise Canceled(f"ended while {moved.what} {moved.address}")
        ticker.bar(str(moved))

    return moving


def _fetch(
    store: JobStore, record: dict[str, Any], spec: dict[str, Any], ticker: Ticker, moving: storage.Progress
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The spec with every s3:// input replaced by a verified local copy, and the inputs with where the copies lie."""
    local: dict[str, Any] = json.loads(json.dumps(spec))
    inputs = []
    for item in record["inputs"]:
        if storage.is_remote(str(item["uri"])):
            ticker.say(f"fetching {item['uri']}")
            path = str(storage.fetch(item["uri"], store.workspace / "cache", moving))
            specs.set_(local, item["key"], path)
            inputs.append({**item, "path": path})
        else:
            inputs.append(item)
    return local, inputs


def _upload(record: dict[str, Any], ticker: Ticker, moving: storage.Progress) -> dict[str, Any] | None:
    uri = record["upload_uri"]
    if not uri:
        return None
    ticker.say(f"uploading the results to {uri}")
    manifest = storage.upload_tree(Path(record["results_dir"]), uri, record["upload_excludes"], moving)
    return {"uri": uri, "files": len(manifest["files"])}


def _close_failed(store: JobStore, record: dict[str, Any], error: BaseException, stop: Stop) -> dict[str, Any]:
    """Close a record whose job did not finish, with all that is known."""
    job_id = record["id"]
    canceled = isinstance(error, Canceled | KeyboardInterrupt) or stop() is not None
    reason = store.cancel_requested(job_id) or stop.reason()
    log = Path(record["log"])
    details: dict[str, Any] = {
        "class": type(error).__name__,
        "message": getattr(error, "message", None) or str(error) or type(error).__name__,
        "problems": [p.as_dict() for p in getattr(error, "problems", [])],
        "exit_code": _exit_code(error, stop) if canceled else getattr(error, "exit_code", 1),
        "log": str(log),
        "log_tail": private.tail(log),
    }
    infra = isinstance(error, SkillBankError) and not isinstance(error, JobFailed | SearchFailed)
    return store.close(
        job_id,
        "CANCELED" if canceled else "ERROR",
        reason if canceled else details["message"].splitlines()[0],
        error=details,
        err_class=None if canceled else "ERR_INFRA" if infra else "ERR_PROGRAM",
        checkpoints=evidence(store.read(job_id))["checkpoints"],
    )


def _exit_code(error: BaseException, stop: Stop) -> int:
    return 128 + (stop() or (signal.SIGINT if isinstance(error, KeyboardInterrupt) else signal.SIGTERM))


def cancel(store: JobStore, job_id: str, reason: str, patience: float = 45.0) -> dict[str, Any]:
    """Ask a running job to end, and see to it that it does.

    Raises:
        Refused: the job has ended already.
    """
    store.cancel_request(job_id, reason)
    # A trial runs in its search's process, which reads the word that was left; a signal would end the whole search.
    within_search = store.read(job_id)["study_job"] is not None
    signalled = within_search
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        record = store.reconcile(job_id)
        if record["state"] in TERMINAL:
            return record
        pid = store.supervisor(job_id)
        if pid and not signalled and store.alive(job_id):
            # Only the living supervisor holds the lease, so the pid it wrote is its own.
            _signal(pid, signal.SIGTERM)
            signalled = True
        time.sleep(0.1)
    pid = store.supervisor(job_id)
    if pid and not within_search and store.alive(job_id):
        _signal(pid, signal.SIGKILL)  # the trainer follows: its lifeline is cut
        time.sleep(0.5)
    return store.reconcile(job_id)


def _signal(pid: int, number: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)


if __name__ == "__main__":
    sys.exit(supervise(sys.argv[1:]))
