"""The child's side: settle signals, take the work from stdin, run it, answer in a file.

stdin stays open as a lifeline: when the parent dies, however it dies, the whole process group is ended. stdout and stderr
are the log.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from runner import private, redact
from runner.backend.outcome import as_outcome, describe, resolve

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
    _settle_signals()
    lifeline, work = _take_over_stdin()
    threading.Thread(target=_watch_lifeline, args=(lifeline, work["grace"]), name="lifeline", daemon=True).start()
    _configure_logging()
    answer, spoken = Path(work["outcome"]), work.get("secrets", ())
    try:
        result = as_outcome(work["entrypoint"], resolve(work["entrypoint"])(work["spec"]))
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


def _settle_signals() -> None:
    """A known state, whatever the parent was started under: SIGINT interrupts, the first SIGTERM leaves in order."""

    def leave(number: int, _frame: FrameType | None) -> NoReturn:
        signal.signal(number, signal.SIG_IGN)  # the way out is not interrupted by a second one
        raise SystemExit(128 + number)

    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, leave)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _take_over_stdin() -> tuple[int, dict[str, Any]]:
    """The pipe as the descriptor to watch, and the one line of work read from it; the entrypoint sees an empty stdin."""
    lifeline = os.dup(0)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    line = b""
    while not line.endswith(b"\n"):
        chunk = os.read(lifeline, 1 << 16)
        if not chunk:
            raise SystemExit("no work came: the parent is gone")
        line += chunk
    return lifeline, json.loads(line)


def _watch_lifeline(lifeline: int, grace: float) -> None:
    """When the parent is gone, end the group from outside it: this process may be the first to go, and others may not heed."""
    while os.read(lifeline, 4096):
        pass
    program = [sys.executable, "-I", "-S", "-c", _END_GROUP, str(os.getpgrp()), str(grace)]
    os.posix_spawn(program[0], program, os.environ, setpgroup=0)


def _configure_logging() -> None:
    import faulthandler
    import logging

    faulthandler.enable()
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("stgcn").setLevel(logging.INFO)
