"""The parent's side of a child process: start, feed, watch, end, and read what it answered."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import time
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from runner import private, redact, scrub
from runner.backend.outcome import Outcome, failed, short_name
from runner.backend.process import Child, Control, Launch, Process, surroundings
from runner.errors import Canceled

if TYPE_CHECKING:
    import subprocess

GRACE = 10.0  # seconds between SIGTERM and SIGKILL when a job is stopped
ORPHAN_GRACE = 10.0  # the same, at most, when the parent is gone
_BREATH = 0.05  # seconds between two looks at a running child


def run_child(
    entrypoint: str,
    spec: dict[str, Any],
    *,
    log: Path,
    outcome: Path,
    on_line: Callable[[str], None] | None = None,
    on_tick: Callable[[], None] | None = None,
    env: Mapping[str, str] | None = None,
    secrets: Collection[str] = (),
    should_stop: Callable[[], int | None] = lambda: None,
    grace: float = GRACE,
    control: Control | None = None,
) -> Outcome:
    """Run in a child process with a process group of its own.

    ``log`` is appended to; ``outcome`` is the file the child answers in. ``on_line`` hears every line of the log and
    ``on_tick`` the passing of time; ``should_stop`` is asked all along and answers with a signal number to end the job.
    ``control`` is asked by an entrypoint that takes one, after each validation; no other entrypoint notices it.
    ``env`` is added to the environment. ``secrets``, and all that looks like one, read ``***`` in the log and in what is said
    of an error. Nothing of the group is left when this returns, whatever way it returns.

    Raises:
        JobFailed: the entrypoint raised, or the child died; message, problems and exit code say how.
        Canceled: ``should_stop`` said so, or a signal from outside ended the child (exit code 130 or 143).
    """
    return run(
        Child,
        entrypoint,
        spec,
        log=log,
        outcome=outcome,
        on_line=on_line,
        on_tick=on_tick,
        env=env,
        secrets=secrets,
        should_stop=should_stop,
        grace=grace,
        control=control,
    )


def run(
    launch: Launch,
    entrypoint: str,
    spec: dict[str, Any],
    *,
    log: Path,
    outcome: Path,
    on_line: Callable[[str], None] | None = None,
    on_tick: Callable[[], None] | None = None,
    env: Mapping[str, str] | None = None,
    secrets: Collection[str] = (),
    should_stop: Callable[[], int | None] = lambda: None,
    grace: float = GRACE,
    control: Control | None = None,
) -> Outcome:
    """As ``run_child``, in the process that ``launch`` starts."""
    with private.words(f"the folder {log.parent} cannot be written"):
        for path in (log, outcome):
            private.folder(path.parent)
        outcome.unlink(missing_ok=True)
    spoken = sorted({*secrets, *redact.values_of(spec), *redact.surroundings(os.environ)})
    work = {"entrypoint": entrypoint, "spec": spec, "outcome": str(outcome), "grace": min(grace, ORPHAN_GRACE)}
    returncode = 0
    with _Follower(log, on_line) as follow:
        process, cleaner = _start(launch, log, surroundings(env or {}), spoken)
        try:
            process.line.send({**work, "secrets": spoken, "controlled": control is not None})
            stopped = _watch(process, follow, on_tick, should_stop, control)
        finally:
            try:
                returncode = _end(process, grace)
            finally:
                scrub.finish(cleaner)
    if stopped:
        raise Canceled(f"{short_name(entrypoint)} was ended on request ({signal_name(stopped)})", exit_code=128 + stopped)
    return _read_answer(entrypoint, returncode, outcome, log)


def _start(
    launch: Launch, log: Path, env: Mapping[str, str], secrets: Collection[str]
) -> tuple[Process, subprocess.Popen[bytes]]:
    """The process, and the one that carries what it says to the log."""
    with private.words(f"the log {log} cannot be written"):
        sink, cleaner = scrub.start(log, secrets)
    try:
        process = launch(sink, env)
    except BaseException:
        os.close(sink)
        scrub.finish(cleaner)
        raise
    os.close(sink)
    return process, cleaner


def _watch(
    process: Process,
    follow: _Follower,
    on_tick: Callable[[], None] | None,
    should_stop: Callable[[], int | None],
    control: Control | None,
) -> int:
    """Answer the process until it has ended (0) or is to be stopped (the signal number)."""
    while not process.has_ended():
        if asked := should_stop():
            return asked
        follow.pump()
        if on_tick:
            on_tick()
        process.line.heed(control, _BREATH)
    return 0


def _end(process: Process, grace: float) -> int:
    """End the process, if it has not, and all that it started: SIGTERM, time to tidy up, SIGKILL. Reaps it."""
    if not process.has_ended():
        _signal_group(process.pid, signal.SIGTERM)
        deadline = time.monotonic() + grace
        while not process.has_ended() and time.monotonic() < deadline:
            time.sleep(_BREATH)
    _signal_group(process.pid, signal.SIGKILL)
    try:
        return process.reap()
    finally:
        process.line.close()


def _signal_group(group: int, number: int) -> None:
    # All may be gone; macOS says "not permitted" when only dead ones are left.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


class _Follower:
    """Reads what is added to a log, line by line, and tells ``on_line``."""

    def __init__(self, path: Path, on_line: Callable[[str], None] | None) -> None:
        self._path, self._on_line, self._rest = path, on_line, b""
        self._at = path.stat().st_size if path.exists() else 0
        self._file: IO[bytes] | None = None

    def pump(self, *, last: bool = False) -> None:
        """Hand on the lines that are complete; at the end also what has no line end."""
        if self._on_line is None or not self._path.exists():
            return
        if self._file is None:
            self._file = self._path.open("rb")
            self._file.seek(self._at)
        *lines, self._rest = re.split(rb"[\r\n]+", self._rest + self._file.read())
        for line in [*lines, self._rest] if last else lines:
            if text := private.plain(line.decode("utf-8", "replace")):
                self._on_line(text)

    def __enter__(self) -> _Follower:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self.pump(last=True)
        finally:
            if self._file:
                self._file.close()


def _read_answer(entrypoint: str, returncode: int, outcome: Path, log: Path) -> Outcome:
    try:
        answer = json.loads(outcome.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        answer = {"error": {"class": "Died", "message": how_it_died(returncode), "exit_code": 1, "problems": []}}
    if "outcome" in answer:
        return Outcome(**answer["outcome"])
    error = answer["error"]
    if error["class"] == "Signal":
        raise Canceled(f"{short_name(entrypoint)} was {error['message']}", exit_code=error["exit_code"])
    raise failed(entrypoint, error, log)


def how_it_died(returncode: int) -> str:
    """The end of a process that could not say a word, in words."""
    if returncode >= 0:
        return f"the process ended with exit code {returncode} and left no result"
    why: dict[int, str] = {
        signal.SIGKILL: "killed (SIGKILL): the machine or the container ran out of memory, or somebody killed it; "
        "a smaller dataset.batch_size and fewer dataset.num_workers need less memory",
        signal.SIGBUS: "killed (SIGBUS): shared memory or the disk is full; dataset.num_workers=0 needs no shared memory",
        signal.SIGSEGV: "crashed in native code (SIGSEGV)",
        signal.SIGABRT: "aborted in native code (SIGABRT)",
    }
    return why.get(-returncode, f"the process was ended by {signal_name(-returncode)}")


def signal_name(number: int) -> str:
    """SIGTERM for 15."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
