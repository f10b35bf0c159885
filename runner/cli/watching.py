"""The verbs that look after jobs: list, look at, follow, wait for, cancel. Ctrl-C ends the looking, not the job."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from runner import render
from runner.cli.reply import Reply, ended, facts, quoted, store_of
from runner.errors import StillRunning


def jobs_(arguments: argparse.Namespace) -> Reply:
    """The jobs of the workspace, the dead ones found out."""
    store = store_of(arguments)
    records = store.list(reconcile=True)
    if arguments.state:
        records = [r for r in records if r["state"] == arguments.state.upper()]
    fields = ("id", "skill", "action", "state", "submitted_at", "ended_at", "parent_job", "study_job", "results_dir")
    rows = [{field: r.get(field) for field in fields} for r in records]
    nowhere = (
        () if store.workspace.is_dir() else (f"There is no workspace {store.workspace} yet; another one: --workspace DIR.",)
    )
    return Reply({"jobs": rows}, render.jobs(rows), warnings=nowhere)


def status_(arguments: argparse.Namespace) -> Reply:
    """A job's record and how far it is."""
    from runner import follow, render_search
    from runner.jobs import TERMINAL

    store = store_of(arguments)
    record = store.reconcile(arguments.job)
    progress = follow.progress(store.working_on(record)["results_dir"])
    where = "" if record["state"] in TERMINAL else follow.line(progress, record)
    return Reply({**facts(record), "progress": progress}, render_search.job(record, where))


def logs_(arguments: argparse.Namespace) -> Reply:
    """A job's log, followed on request."""
    store = store_of(arguments)
    record = store.reconcile(arguments.job)
    if arguments.follow and arguments.json:  # one envelope, when all is said
        wait_(argparse.Namespace(**{**vars(arguments), "timeout": None}))
    path = Path(record["log"])
    content = path.read_bytes() if path.exists() else b""
    if arguments.follow and not arguments.json:
        try:
            _follow(arguments, store, record, content)
        except KeyboardInterrupt:
            return _left(arguments, record["id"])
        return Reply({"job_id": record["id"]}, "")
    text = _last(content, arguments.lines).decode("utf-8", errors="replace")
    return Reply({"job_id": record["id"], "log": str(path), "text": text}, text)


def _last(content: bytes, lines: int) -> bytes:
    return b"".join(content.splitlines(keepends=True)[-lines:]) if lines else content


def _follow(arguments: argparse.Namespace, store: Any, record: dict[str, Any], content: bytes) -> None:
    """Print the log and what is added to it until the job has ended; what is no whole line yet waits."""
    from runner.jobs import TERMINAL

    path, show = Path(record["log"]), _following(arguments, store)
    seen, news = len(content), _last(content, arguments.lines)
    while True:
        over = record["state"] in TERMINAL
        if path.exists() and path.stat().st_size > seen:
            with open(path, "rb") as file:
                file.seek(seen)
                chunk = file.read()
            seen, news = seen + len(chunk), news + chunk
        whole, end, news = (news, b"", b"") if over else news.rpartition(b"\n")
        if whole or end:
            with arguments.line.aside():
                sys.stdout.write((whole + end).decode("utf-8", errors="replace"))
                sys.stdout.flush()
        if over:
            return
        show(record)
        time.sleep(0.2)
        record = store.reconcile(record["id"])


def _following(arguments: argparse.Namespace, store: Any) -> Callable[[dict[str, Any]], None]:
    """Shows on the moving line where a job is that another process runs: to be called now and then with its record."""
    from runner.follow import EVERY, Follower

    arguments.line.look = follower = Follower(lambda: store, f"waiting for {arguments.job}")
    looked = float("-inf")

    def show(record: dict[str, Any]) -> None:
        nonlocal looked
        if arguments.line.on and time.monotonic() >= looked + EVERY:
            looked = time.monotonic()
            follower.at(store.working_on(record))

    return show


def _left(arguments: argparse.Namespace, job_id: str) -> Reply:
    """Ctrl-C while a job is followed ends the following and not the job."""
    job = f"{job_id} --workspace {quoted(str(arguments.workspace))}"
    ways = {"follow": f"logs {job} -f", "wait": f"wait {job}", "end it": f"cancel {job}"}
    told = f"{job_id} goes on in the background."
    text = "\n".join([told, *(f"  {what:<6}  skillbank {words}" for what, words in ways.items())])
    return Reply(None, text, (), 130, error={"class": "Canceled", "message": told, "exit_code": 130, "job_id": job_id})


def wait_(arguments: argparse.Namespace) -> Reply:
    """Wait for a job to end.

    Raises:
        StillRunning: the time is up.
    """
    store = store_of(arguments)
    try:
        return _waited(arguments, store)
    except KeyboardInterrupt:
        return _left(arguments, arguments.job)


def _waited(arguments: argparse.Namespace, store: Any) -> Reply:
    from runner.jobs import TERMINAL

    show = _following(arguments, store)
    deadline = time.monotonic() + arguments.timeout if arguments.timeout is not None else None
    while True:
        record = store.reconcile(arguments.job)
        if record["state"] in TERMINAL:
            return ended(record)
        if deadline is not None and time.monotonic() >= deadline:
            raise StillRunning(
                f"{arguments.job} is still {record['state']}.",
                hint=f"skillbank logs {arguments.job} -f --workspace {arguments.workspace}",
            )
        show(record)
        time.sleep(0.2)


def cancel_(arguments: argparse.Namespace) -> Reply:
    """End a running job."""
    from runner import launch

    record = launch.cancel(store_of(arguments), arguments.job, arguments.reason)
    code = 0 if record["state"] == "CANCELED" else 1
    return Reply(facts(record), render.job(record), (), code)
