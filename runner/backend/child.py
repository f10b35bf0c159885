"""The child's side: settle signals, take the work from stdin, run it, answer in a file.

stdin is a socket: what a control asks goes out by it, and it stays open as a lifeline. When the parent dies, however it dies,
the whole process group is ended. stdout and stderr are the log.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue
from types import FrameType
from typing import Any, NoReturn

from runner import private, redact
from runner.backend.outcome import as_outcome, call, describe, resolve

_END_GROUP = """
import os, signal, sys, time
group, grace = int(sys.argv[1]), float(sys.argv[2])
deadline = time.monotonic() + grace
try:
    os.killpg(group, signal.SIGTERM)
    while time.monotonic() < deadline:
        time.sleep(0.2)
        os.killpg(group, 0)
    os.killpg(group, signal.SIGKILL)
except OSError:
    pass
"""


def main() -> int:
    """Run what stdin says; the exit code is 0, the error's own, or 130 and 143 for signals."""
    settle_signals()
    line = take_over_stdin()
    configure_logging()
    return serve(line)


def serve(line: int) -> int:
    """Run the work that comes by the descriptor; its end is the end of the parent. The exit code, as ``main`` says."""
    work = _first_line(line)
    answers: SimpleQueue[bytes] = SimpleQueue()
    threading.Thread(target=_listen, args=(line, answers, work["grace"]), name="lifeline", daemon=True).start()
    control = _Control(line, answers) if work.get("controlled") else None
    answer, spoken = Path(work["outcome"]), work.get("secrets", ())
    try:
        result = as_outcome(work["entrypoint"], call(resolve(work["entrypoint"]), work["spec"], control))
        _answer(answer, {"outcome": result._asdict()})
    except (KeyboardInterrupt, SystemExit) as error:
        said = _describe_leaving(error)
    except Exception as error:
        said = describe(error)
        _log(error, said)
    else:
        return 0
    _answer(answer, {"error": redact.redact(said, (), spoken)})
    return int(said["exit_code"])


class _Control:
    """Asks the parent, and waits for its word."""

    def __init__(self, line: int, answers: SimpleQueue[bytes]) -> None:
        self._line, self._answers = line, answers

    def __call__(self, epoch: int, metrics: dict[str, float]) -> bool:
        asked = memoryview(json.dumps({"epoch": epoch, "metrics": metrics}).encode() + b"\n")
        with suppress(BrokenPipeError, ConnectionResetError):  # the parent is gone, and the lifeline is about to end all this
            while asked:
                asked = asked[os.write(self._line, asked) :]
        return bool(json.loads(self._answers.get())["stop"])


def _describe_leaving(error: KeyboardInterrupt | SystemExit) -> dict[str, Any]:
    """130 for an interrupt, 143 for SIGTERM; another SystemExit is a failure with its own code."""
    code = 130 if isinstance(error, KeyboardInterrupt) else error.code
    if code in (130, 143):
        return {
            "class": "Signal",
            "message": f"ended by {'SIGINT' if code == 130 else 'SIGTERM'}",
            "problems": [],
            "exit_code": code,
        }
    number = code if isinstance(code, int) and code else 1
    return {"class": "SystemExit", "message": f"it left by sys.exit({code!r})", "problems": [], "exit_code": number}


def _log(error: Exception, said: dict[str, Any]) -> None:
    """A user's mistake in its own words; a defect with the place where it happened."""
    if said["problems"] and said["exit_code"] != 1:
        sys.stderr.write("".join(f"{problem}\n" for problem in said["problems"]))
    else:
        import traceback

        traceback.print_exception(error)


def _answer(path: Path, answer: dict[str, Any]) -> None:
    private.replace(path, json.dumps(answer))


def settle_signals() -> None:
    """A known state, whatever the parent was started under: SIGINT interrupts, the first SIGTERM leaves in order."""

    def leave(number: int, _frame: FrameType | None) -> NoReturn:
        signal.signal(number, signal.SIG_IGN)  # the way out is not interrupted by a second one
        raise SystemExit(128 + number)

    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, leave)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def take_over_stdin() -> int:
    """The line to the parent, as a descriptor of its own; the entrypoint sees an empty stdin."""
    line = os.dup(0)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    return line


def _first_line(line: int) -> dict[str, Any]:
    """The work; nothing follows it before something is asked."""
    work = b""
    while not work.endswith(b"\n"):
        chunk = _read(line)
        if not chunk:
            raise SystemExit("no work came: the parent is gone")
        work += chunk
    found: dict[str, Any] = json.loads(work)
    return found


def _listen(line: int, answers: SimpleQueue[bytes], grace: float) -> None:
    """Hand on what the parent answers. When it is gone, end the group from outside it: this process may be the first to go,
    and others may not heed."""
    rest = b""
    while chunk := _read(line):
        *said, rest = (rest + chunk).split(b"\n")
        for one in said:
            answers.put(one)
    program = [sys.executable, "-I", "-S", "-c", _END_GROUP, str(os.getpgrp()), str(grace)]
    os.posix_spawn(program[0], program, os.environ, setpgroup=0)


def _read(line: int) -> bytes:
    """What came; nothing when the other side is gone."""
    try:
        return os.read(line, 1 << 16)
    except ConnectionResetError:  # it went with something unread
        return b""


def configure_logging() -> None:
    """Messages go to stderr, which is the log, and so does the place of a crash in native code."""
    import faulthandler
    import logging

    faulthandler.enable()
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("stgcn").setLevel(logging.INFO)
