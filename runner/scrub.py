"""Text on its way to a log, without its secrets: a process between a job and its log file, and a stream for this process.

The process outlives whoever started it, so that nothing a job says is lost when its parent dies; it ends when the last
writer does. Knows no jobs.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING

from runner import keys, private, redact

if TYPE_CHECKING:
    import subprocess

LONGEST = 1 << 16  # bytes of a line that are waited for; one without an end is cut at a space
_BEGIN = re.compile(r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY")
_END = re.compile(r"-----END [A-Z0-9 ]*PRIVATE KEY")


class Filter:
    """Bytes in, bytes without secrets out, line by line; ``\\r`` ends a line as well."""

    def __init__(self, literals: Iterable[str] = ()) -> None:
        self._spoken = redact.spellings(literals)
        self._rest = b""
        self._in_key = False

    def feed(self, chunk: bytes) -> bytes:
        """What can be said of all that came so far."""
        lines = re.split(rb"(?<=[\r\n])", self._rest + chunk)
        self._rest = lines.pop()
        if len(self._rest) > LONGEST:
            at = max(self._rest.rfind(b" ", 0, LONGEST) + 1, LONGEST // 2)
            lines.append(self._rest[:at])
            self._rest = self._rest[at:]
        return b"".join(self._line(line) for line in lines)

    def end(self) -> bytes:
        """The line that had no end."""
        rest, self._rest = self._rest, b""
        return self._line(rest) if rest else b""

    def _line(self, line: bytes) -> bytes:
        said = line.decode("utf-8", "surrogateescape")
        if self._in_key:  # a private key goes over many lines
            self._in_key = not _END.search(said)
            return b""
        self._in_key = bool(_BEGIN.search(said)) and not _END.search(said)
        clean = redact.text(said, self._spoken)
        if self._in_key and not clean.endswith("\n"):
            clean += "\n"
        return clean.encode("utf-8", "surrogateescape")


class Stream:
    """A text stream that takes the secrets out of what is written to it, such as tracebacks on stderr."""

    def __init__(self, stream: IO[str], literals: Iterable[str] = ()) -> None:
        self._stream, self._filter = stream, Filter(literals)

    def write(self, text: str) -> int:
        """Write, as soon as the line is complete."""
        clean = self._filter.feed(text.encode("utf-8", "surrogatepass"))
        self._stream.write(clean.decode("utf-8", "replace"))
        return len(text)

    def flush(self) -> None:
        """Write what is there, also half a line."""
        self._stream.write(self._filter.end().decode("utf-8", "replace"))
        self._stream.flush()

    def isatty(self) -> bool:
        """No terminal: a log."""
        return False

    def fileno(self) -> int:
        """The descriptor below; what is written there is not looked at."""
        return self._stream.fileno()


def start(log: Path, literals: Iterable[str]) -> tuple[int, subprocess.Popen[bytes]]:
    """A descriptor to write to, and the process that carries it to ``log`` without secrets, which is appended to.

    Raises:
        OSError: the log cannot be written.
    """
    import subprocess

    sink = private.appending(log)
    source, target = os.pipe()
    try:
        os.write(target, _head(literals))  # first of all: neither in argv nor in a file
        process = subprocess.Popen(
            [sys.executable, "-P", "-S", "-m", "runner.scrub"],
            stdin=source,
            stdout=sink,
            stderr=subprocess.DEVNULL,
            env={**keys.environment(), "PYTHONPATH": str(Path(__file__).resolve().parents[1])},
            start_new_session=True,  # Ctrl-C and the end of the job's group are not meant for it
        )
    except BaseException:
        os.close(target)
        raise
    finally:
        os.close(source)
        os.close(sink)
    return target, process


def _head(literals: Iterable[str]) -> bytes:
    """The literals as one line that fits into an empty pipe."""
    room, kept = 1 << 15, []
    for literal in sorted(literals, key=len):
        room -= len(json.dumps(literal)) + 2
        if room > 0:
            kept.append(literal)
    return json.dumps(kept).encode() + b"\n"


def finish(process: subprocess.Popen[bytes], patience: float = 5.0) -> None:
    """Wait until the last word is in the log; not for long, where a process that got away still holds the other end."""
    import subprocess

    try:
        process.wait(patience)
    except subprocess.TimeoutExpired:
        process.returncode = 0  # it lives on by design; the interpreter would warn of it otherwise


def main() -> int:
    """Carry stdin to stdout; the first line holds the literals."""
    head = b""
    while not head.endswith(b"\n"):
        byte = os.read(0, 1)
        if not byte:
            return 0
        head += byte
    clean = Filter(json.loads(head))
    while chunk := os.read(0, 1 << 16):
        _write(clean.feed(chunk))
    _write(clean.end())
    return 0


def _write(content: bytes) -> None:
    view = memoryview(content)
    with suppress(OSError):  # a full disk: the job goes on, as far as it can
        while view:
            view = view[os.write(1, view) :]


if __name__ == "__main__":
    sys.exit(main())
