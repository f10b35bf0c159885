"""The parent's side of a child process: start, feed, watch, end, and read what it answered."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import sys
import time
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from runner import keys, private, redact, scrub
from runner.backend.outcome import Outcome, failed, plain, short_name
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
) -> Outcome:
    """Run in a child process with a process group of its own.

    ``log`` is appended to; ``outcome`` is the file the child answers in. ``on_line`` hears every line of the log and
    ``on_tick`` the passing of time; ``should_stop`` is asked all along and answers with a signal number to end the job.
    ``env`` is added to the environment. ``secrets``, and all that looks like one, read ``***`` in the log and in what is said
    of an error. Nothing of the group is left when this returns, whatever way it returns.

    Raises:
        JobFailed: the entrypoint raised, or the child died; message, problems and exit code say how.
        Canceled: ``should_stop`` said so, or a signal from outside ended the child (exit code 130 or 143).
    """
    with private.words(f"the folder {log.parent} cannot be written"):
        for path in (log, outcome):
            private.folder(path.parent)
        outcome.unlink(missing_ok=True)
    spoken = sorted({*secrets, *redact.values_of(spec), *redact.surroundings(os.environ)})
    work = {"entrypoint": entrypoint, "spec": spec, "outcome": str(outcome), "grace": min(grace, ORPHAN_GRACE)}
    with _Follower(log, on_line) as follow:
        child, cleaner = _start(log, env, spoken)
        try:
            _feed(child, {**work, "secrets": spoken})
            stopped = _watch(child, follow, on_tick, should_stop)
        finally:
            try:
                _end(child, grace)
            finally:
                scrub.finish(cleaner)
    if stopped:
        raise Canceled(f"{short_name(entrypoint)} was ended on request ({signal_name(stopped)})", exit_code=128 + stopped)
    return _read_answer(entrypoint, child.returncode, outcome, log)


def _start(
    log: Path, env: Mapping[str, str] | None, secrets: Collection[str]
) -> tuple[subprocess.Popen[bytes], subprocess.Popen[bytes]]:
    """The child, and the process that carries what it says to the log."""
    import subprocess

    surroundings = {**keys.environment(), **(env or {}), "PYTHONUNBUFFERED": "1"}
    home = str(Path(__file__).resolve().parents[2])
    surroundings["PYTHONPATH"] = os.pathsep.join(p for p in (surroundings.get("PYTHONPATH"), home) if p)
    with private.words(f"the log {log} cannot be written"):
        sink, cleaner = scrub.start(log, secrets)
    try:
        child = subprocess.Popen(
            # -P keeps the working directory off the child's path: a user's random.py must not replace the library's.
            [sys.executable, "-P", "-m", "runner.backend"],
            stdin=subprocess.PIPE,
            stdout=sink,
            stderr=subprocess.STDOUT,
            env=surroundings,
            start_new_session=True,
        )
    except BaseException:
        os.close(sink)
        scrub.finish(cleaner)
        raise
    os.close(sink)
    return child, cleaner


def _feed(child: subprocess.Popen[bytes], work: dict[str, Any]) -> None:
    """Hand over the work; the pipe stays open as the child's lifeline."""
    assert child.stdin is not None
    with contextlib.suppress(BrokenPipeError):  # it died before it read: how it ended says why
        child.stdin.write(json.dumps(work).encode() + b"\n")
        child.stdin.flush()


def _watch(
    child: subprocess.Popen[bytes],
    follow: _Follower,
    on_tick: Callable[[], None] | None,
    should_stop: Callable[[], int | None],
) -> int:
    """Wait until the child has ended (0) or is to be stopped (the signal number)."""
    while not _has_ended(child):
        if asked := should_stop():
            return asked
        follow.pump()
        if on_tick:
            on_tick()
        time.sleep(_BREATH)
    return 0


def _has_ended(child: subprocess.Popen[bytes]) -> bool:
    """True when the child is dead. Where the system can, it is left unreaped, so that its group's id stays taken."""
    if child.returncode is not None:
        return True
    if not hasattr(os, "waitid"):
        return child.poll() is not None
    return os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _end(child: subprocess.Popen[bytes], grace: float) -> None:
    """End the child, if it has not, and all that it started: SIGTERM, time to tidy up, SIGKILL. Reaps the child."""
    if not _has_ended(child):
        _signal_group(child.pid, signal.SIGTERM)
        deadline = time.monotonic() + grace
        while not _has_ended(child) and time.monotonic() < deadline:
            time.sleep(_BREATH)
    _signal_group(child.pid, signal.SIGKILL)
    child.wait()
    if child.stdin:
        with contextlib.suppress(BrokenPipeError):  # work that a child never read
            child.stdin.close()


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
            if text := plain(line.decode("utf-8", "replace")):
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
