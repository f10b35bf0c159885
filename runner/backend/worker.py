"""Warm processes: a worker imports what its jobs need once, and each job runs in a fresh copy of it."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from runner.backend.outcome import Outcome
from runner.backend.parent import GRACE, run
from runner.backend.process import Child, Control, Line, Process, start

if TYPE_CHECKING:
    import subprocess

CAN_COPY = sys.platform == "linux"  # elsewhere libraries do not bear it, and every job has a new process
_PATIENCE = 5.0  # seconds for a worker without a job to leave


class Worker:
    """Runs one job after the other, each as ``run_child`` does and at most one at a time.

    A job has a process of its own, so its crash is its own; a worker that died itself is replaced at the next ``run``, and so
    is one whose surroundings changed. A job whose imports leave what cannot be copied has a new process.

    Args:
        env: of all its jobs, such as the threads and the GPU that are this worker's; what ``run`` is given comes on top.
    """

    def __init__(self, env: Mapping[str, str] | None = None) -> None:
        self._env = dict(env or {})
        self._warm: _Warm | None = None
        self.memory = 0  # bytes that the largest job took at its peak; 0: not known

    def run(
        self,
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
        """Run a job; arguments, answers and errors are those of ``run_child``."""
        return run(
            lambda sink, around: self._launch(entrypoint, sink, around),
            entrypoint,
            spec,
            log=log,
            outcome=outcome,
            on_line=on_line,
            on_tick=on_tick,
            env={**self._env, **(env or {})},
            secrets=secrets,
            should_stop=should_stop,
            grace=grace,
            control=control,
        )

    def close(self) -> None:
        """End the warm process; a later ``run`` starts a new one."""
        if self._warm:
            self._warm.close()
            self._warm = None

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _launch(self, entrypoint: str, sink: int, around: Mapping[str, str]) -> Process:
        """A copy of the warm process, which is started first where there is none that fits."""
        if not CAN_COPY:
            return Child(sink, around)
        if self._warm is None or not self._warm.fits(around):
            self.close()
            self._warm = _Warm(around)
        return _Copy(self._warm, entrypoint, sink, self._measured)

    def _measured(self, memory: int) -> None:
        self.memory = max(self.memory, memory)


class _Warm:
    """The warm process, in surroundings that are those of all its copies."""

    def __init__(self, around: Mapping[str, str]) -> None:
        import socket

        self._around = dict(around)
        self._socket, other = socket.socketpair()
        self._rest = b""
        try:
            with open(os.devnull, "wb") as silence:
                self.process: subprocess.Popen[bytes] = start(other, silence.fileno(), around, "warm")
        except BaseException:
            self._socket.close()
            raise
        finally:
            other.close()

    def fits(self, around: Mapping[str, str]) -> bool:
        """Whether it lives, and a new process would have the same surroundings."""
        return self.process.poll() is None and self._around == around

    def ask(self, entrypoint: str, sink: int, line: Line) -> None:
        """Ask for a copy that works for who holds ``line``, and whose log is ``sink``."""
        import socket

        with contextlib.suppress(OSError):  # it died, which ``hear`` tells
            words = json.dumps({"entrypoint": entrypoint, "cwd": _here()}).encode()
            self._socket.settimeout(None)
            socket.send_fds(self._socket, [words], [sink, line.other.fileno()])

    def hear(self, seconds: float | None) -> dict[str, Any] | None:
        """The next word; None when it died.

        Raises:
            TimeoutError: nothing came.
        """
        self._socket.settimeout(seconds)
        while b"\n" not in self._rest:
            try:
                chunk = self._socket.recv(1 << 12)
            except BlockingIOError:
                raise TimeoutError from None
            except ConnectionResetError:
                chunk = b""
            if not chunk:
                return None
            self._rest += chunk
        word, _, self._rest = self._rest.partition(b"\n")
        found: dict[str, Any] = json.loads(word)
        return found

    def let_go(self) -> None:
        """Say that nothing of a copy's group is left."""
        self._socket.settimeout(None)
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self._socket.sendall(b".")

    def close(self) -> None:
        """End it; without a job it leaves by itself."""
        import subprocess

        self._socket.close()
        try:
            self.process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class _Copy:
    """A copy of the warm process at work on a job."""

    def __init__(self, warm: _Warm, entrypoint: str, sink: int, measured: Callable[[int], None]) -> None:
        self._warm, self._measured = warm, measured
        self.pid = warm.process.pid  # until the copy is made, it is the warm one that a signal has to end
        self.line = Line()
        self._ended = False
        warm.ask(entrypoint, sink, self.line)
        self.line.given()

    def has_ended(self) -> bool:
        """True when it is dead, or the warm process is, with which its copy is lost."""
        while not self._ended:
            try:
                said = self._warm.hear(0)
            except TimeoutError:
                return False
            self._ended = said is None or "ended" in said
            if said and "pid" in said:
                self.pid = said["pid"]
        return True

    def reap(self) -> int:
        """How it ended; how the warm process did, where that died."""
        self._warm.let_go()
        said: dict[str, Any] | None = {}
        while said is not None and "returncode" not in said:  # first of its start and its end, where they were not heard yet
            said = self._warm.hear(None)
        if said is None:
            return self._warm.process.wait()
        self._measured(said["memory"])
        return int(said["returncode"])


def _here() -> str:
    try:
        return os.getcwd()
    except OSError:  # it was deleted
        return ""
