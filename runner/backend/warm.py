"""The warm side of a worker: imports what jobs need, once, and runs each job in a copy of itself.

What a job does to its process is gone with the copy: seeds, environment, threads, handlers, filters, working directory. This
process itself runs nothing of a job, and so every copy begins where a new process would be after its imports.
"""

from __future__ import annotations

import atexit
import gc
import io
import json
import logging
import os
import signal
import socket
import sys
import threading
import warnings
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

from runner.backend.child import configure_logging, serve, settle_signals, take_over_stdin

log = logging.getLogger("runner")

_GPU = "/dev/nvidia"  # what a process has open that has begun to use a GPU, which a copy of it cannot go on with


def main() -> int:
    """Copy this process for each job that comes by stdin, until nobody is there to send any. In a copy: the job's exit code."""
    leaving = {"code": 0}
    atexit.register(_leave, leaving)  # the first that is registered comes last
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = socket.socket(fileno=take_over_stdin())
    configure_logging()
    while job := _next(parent):
        words, sink, line = job
        _speak_to(sink)
        with suppress(OSError):  # where the parent is now, a new process would be too
            os.chdir(words["cwd"])
        pid = _new(line) if _unfit(words["entrypoint"]) else _fork()
        if pid == 0:
            parent.close()
            leaving["code"] = 1
            leaving["code"] = serve(line)
            return leaving["code"]
        os.close(line)
        _speak_to(os.open(os.devnull, os.O_WRONLY))  # the log ends when the last who can write to it is gone
        _see_out(parent, pid)
    return 0


def _leave(leaving: dict[str, int]) -> None:
    """End at once, after all that is to be done at the end: to take modules and objects apart would copy all their memory."""
    for one in gc.get_objects():  # of the job alone, as what was there before is frozen
        if issubclass(type(one), io.BufferedWriter | io.BufferedRandom | io.TextIOWrapper):
            with suppress(Exception):  # it is closed, or broken
                one.flush()
    os._exit(leaving["code"])


def _next(parent: socket.socket) -> tuple[dict[str, Any], int, int] | None:
    """The words about a job, the descriptor of its log, and that of its line; None when the parent is gone."""
    with suppress(ConnectionResetError):
        said, descriptors, _, _ = socket.recv_fds(parent, 1 << 16, 2, socket.MSG_CMSG_CLOEXEC)
        if said:
            return json.loads(said), descriptors[0], descriptors[1]
    return None


def _say(parent: socket.socket, content: dict[str, Any]) -> None:
    with suppress(BrokenPipeError, ConnectionResetError):  # the next look at the socket ends this process
        parent.sendall(json.dumps(content).encode() + b"\n")


def _speak_to(descriptor: int) -> None:
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)


def _unfit(entrypoint: str) -> bool:
    """Import what the job needs; True when a copy of this process would be broken by that."""
    with suppress(Exception, SystemExit):  # the copy meets it again, and says it in its answer
        import_module(entrypoint.partition(":")[0])
    what = "started a thread" if threading.active_count() > 1 else "began to use a GPU" if _uses_gpu() else ""
    if what:
        log.warning("the import of %s %s: each of its jobs has a new process, and waits for the import", entrypoint, what)
    return bool(what)


def _uses_gpu() -> bool:
    for path in Path("/proc/self/fd").iterdir():
        with suppress(OSError):  # that of this look itself
            if os.readlink(path).startswith(_GPU):
                return True
    return False


def _new(line: int) -> int:
    """A new process instead of a copy, in a group of its own, with the stdout and stderr of this one."""
    program = [sys.executable, "-P", "-m", "runner.backend"]
    return os.posix_spawn(program[0], program, os.environ, file_actions=[(os.POSIX_SPAWN_DUP2, line, 0)], setpgroup=0)


def _fork() -> int:
    """0 in the copy, which leads a group of its own and draws nothing that its like draw."""
    gc.freeze()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of threads of libraries that know what a fork is
        pid = os.fork()
    if pid == 0:
        os.setpgid(0, 0)
        settle_signals()
        for name in ("random", "numpy.random"):  # where nothing is seeded; a new process is seeded by the system
            if module := sys.modules.get(name):
                module.seed()
    else:
        with suppress(OSError):  # whoever comes first; it may have ended already
            os.setpgid(pid, pid)
    return pid


def _see_out(parent: socket.socket, pid: int) -> None:
    """Tell the copy's id and its end. It is let go of on the parent's word: until then its group's id stays taken."""
    _say(parent, {"pid": pid})
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    _say(parent, {"ended": True})
    with suppress(ConnectionResetError):
        parent.recv(1)
    _, status, used = os.wait4(pid, 0)
    _say(parent, {"returncode": os.waitstatus_to_exitcode(status), "memory": used.ru_maxrss * 1024})
