"""A process that runs an entrypoint, as its parent sees it: the line to it, and whether it has ended.

The line is a pair of sockets: the work goes over it, what a ``control`` asks and is answered, and that it closes says that
the other side is gone.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from runner import databases, keys

if TYPE_CHECKING:
    import socket
    import subprocess

Control = Callable[[int, dict[str, float]], bool]
"""Told epochs trained so far and the metrics of a validation; True ends the training in order, with a checkpoint."""


class Line:
    """The parent's end of the line to a process."""

    def __init__(self) -> None:
        import selectors
        import socket

        self._own, self.other = socket.socketpair()
        self._rest = b""
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._own, selectors.EVENT_READ)

    def given(self) -> None:
        """Say that the other end is with the process now."""
        self.other.close()

    def send(self, content: Mapping[str, Any]) -> None:
        """Hand over a line; a process that died before it read says by its end why."""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self._own.sendall(json.dumps(content).encode() + b"\n")

    def heed(self, control: Control | None, seconds: float) -> None:
        """Wait that long for what the process asks, and answer it."""
        if not self._selector.select(seconds):
            return
        try:
            chunk = self._own.recv(1 << 16)
        except ConnectionResetError:
            chunk = b""
        if not chunk:  # it is about to end
            self._selector.unregister(self._own)
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        for line in lines:
            asked = json.loads(line)
            self.send({"stop": bool(control and control(asked["epoch"], asked["metrics"]))})

    def close(self) -> None:
        """Close both ends; a process that still lives is ended by this."""
        self._selector.close()
        self._own.close()
        self.other.close()


class Process(Protocol):
    """Leads a process group of its own, whose id stays taken until it is reaped."""

    pid: int
    line: Line

    def has_ended(self) -> bool:
        """True when it is dead."""

    def reap(self) -> int:
        """Let go of it when it is dead; how it ended, as subprocess counts: its exit code, or minus the signal's number."""


Launch = Callable[[int, Mapping[str, str]], Process]
"""Starts a process whose stdout and stderr are the descriptor, in the environment."""


class Child:
    """A new Python."""

    def __init__(self, sink: int, surroundings: Mapping[str, str]) -> None:
        self.line = Line()
        try:
            self._process = start(self.line.other, sink, surroundings)
        except BaseException:
            self.line.close()
            raise
        self.line.given()
        self.pid = self._process.pid

    def has_ended(self) -> bool:
        """True when it is dead; where the system can, it is left unreaped, so that its group's id stays taken."""
        return has_ended(self._process)

    def reap(self) -> int:
        """Wait for its end."""
        return self._process.wait()


def start(stdin: socket.socket, sink: int, surroundings: Mapping[str, str], *words: str) -> subprocess.Popen[bytes]:
    """``python -m runner.backend`` with a session of its own."""
    import subprocess

    return subprocess.Popen(
        # -P keeps the working directory off the child's path: a user's random.py must not replace the library's.
        [sys.executable, "-P", "-m", "runner.backend", *words],
        stdin=stdin.fileno(),
        stdout=sink,
        stderr=subprocess.STDOUT,
        env=dict(surroundings),
        start_new_session=True,
    )


def has_ended(process: subprocess.Popen[bytes]) -> bool:
    """True when it is dead; it is not reaped where that can be avoided."""
    if process.returncode is not None:
        return True
    if not hasattr(os, "waitid"):
        return process.poll() is not None
    return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def surroundings(*more: Mapping[str, str]) -> dict[str, str]:
    """The environment of a process: this one's, less what is secret, and ``more``."""
    found = databases.environment(keys.environment())
    for added in more:
        found |= added
    home = str(Path(__file__).resolve().parents[2])
    path = os.pathsep.join(p for p in (found.get("PYTHONPATH"), home) if p)
    return {**found, "PYTHONUNBUFFERED": "1", "PYTHONPATH": path}
