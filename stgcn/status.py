"""status.json: one JSON object a line, the trainer's only word to the outside. Standard library only."""

from __future__ import annotations

import errno
import json
import os
import signal
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path
from types import FrameType
from typing import Any, Literal

from stgcn import discreet, errors
from stgcn.files import make_folder, plain, unwritable

Status = Literal["STARTED", "RUNNING", "SUCCESS", "FAILURE", "SKIPPED"]
FILE_NAME = "status.json"
ENDED = {143: "terminated by SIGTERM", 130: "interrupted by Ctrl-C"}  # exit codes that stand for a signal
DURATIONS = ("time_per_epoch", "time_per_step", "eta")

# The first that fits is how the failure line begins.
FAILURE_PREFIXES: tuple[tuple[tuple[type[BaseException], ...], str], ...] = (
    ((KeyboardInterrupt, SystemExit), "User/System interruption: "),
    ((errors.SpecError,), "Configuration error: "),
    ((errors.DataError, errors.CheckpointError), "Parameter validation error: "),
    ((errors.ResourceError, errors.RefusedError, OSError), "File system error: "),
    ((NotImplementedError,), "Feature not implemented: "),
    ((ValueError, TypeError), "Parameter validation error: "),
)


class Terminated(SystemExit):
    """SIGTERM came; the process ends with 143."""

    def __init__(self) -> None:
        super().__init__(143)

    def __str__(self) -> str:
        return "terminated by SIGTERM"


class StatusLog:
    """Appends lines to ``<folder>/status.json``; secrets, those given among them, read ``***`` there."""

    def __init__(self, folder: str | Path, action: str, secrets: Iterable[str] = ()) -> None:
        self.action = action
        self._secrets = discreet.secrets(secrets)
        self.path = make_folder(folder) / FILE_NAME

    def write(
        self,
        status: Status,
        message: str | None = None,
        *,
        verbosity: str = "INFO",
        kpi: Mapping[str, Any] | None = None,
        **progress: Any,
    ) -> None:
        """Append one line; it holds what is given here and nothing of earlier lines.

        ``progress`` takes epoch, step, max_epoch, max_step, and time_per_epoch, time_per_step, eta in seconds.
        """
        now = datetime.now()
        line: dict[str, Any] = {
            "date": f"{now.month}/{now.day}/{now.year}",
            "time": f"{now.hour}:{now.minute}:{now.second}",
            "status": status,
            "verbosity": verbosity,
        }
        if message is not None:
            line["message"] = message
        line |= {key: _duration(value) if key in DURATIONS else value for key, value in progress.items()}
        if kpi is not None:
            line["kpi"] = kpi
        text = json.dumps(discreet.clean(plain(line), self._secrets), ensure_ascii=False, allow_nan=False) + "\n"
        try:
            self._append(text.encode(errors="backslashreplace"))  # JSON reads that back
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise errors.ResourceError(f"{self.path} is a symbolic link, which is not written through: remove it") from None
            raise unwritable(self.path.parent, error) from error

    def _append(self, line: bytes) -> None:
        descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, 0o666)
        try:
            os.write(descriptor, line)
        finally:
            os.close(descriptor)


@contextmanager
def session(folder: str | Path, action: str, secrets: Iterable[str] = ()) -> Iterator[StatusLog]:
    """Run an action between its first and its truthful last line: SUCCESS, or FAILURE whatever ends it.

    In the main thread SIGTERM raises ``Terminated``, unless somebody handles it already.

    Raises:
        ResourceError: the folder cannot be written.
    """
    log = StatusLog(folder, action, secrets)
    log.write("STARTED", f"Starting Pose Classification {action}.")
    try:
        with _sigterm_raises():
            yield log
        log.write("SUCCESS", f"{action.replace('_', ' ').capitalize()} finished successfully.")
    except BaseException as error:
        with suppress(OSError, errors.ResourceError):  # a full disk must not hide why the action failed
            log.write("FAILURE", failure_message(error), verbosity="ERROR")
        raise


def failure_message(error: BaseException) -> str:
    """The message of a failure line: TAO's prefix for the kind of error, and what the error says."""
    says = str(error) or type(error).__name__
    if isinstance(error, SystemExit) and error.code in ENDED:
        says = ENDED[error.code]
    for kinds, prefix in FAILURE_PREFIXES:
        if isinstance(error, kinds):
            return prefix + says
    return f"Unexpected error: {type(error).__name__}: {says}"


@contextmanager
def _sigterm_raises() -> Iterator[None]:
    in_main_thread = threading.current_thread() is threading.main_thread()
    if not in_main_thread or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, _terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _terminate(_number: int, _frame: FrameType | None) -> None:
    raise Terminated


def _duration(value: Any) -> Any:
    return str(timedelta(seconds=value)) if isinstance(value, int | float) else value
