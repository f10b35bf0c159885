"""What a stream can show: its width, colours, and one line that moves while work goes on. Knows no jobs and no verbs.

A stream that is no terminal, or a dumb one, gets plain lines and nothing that moves; `NO_COLOR` takes the colours.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    import threading

QUIET = 1.0  # seconds until anything moves
REDRAW = 0.2  # seconds from one picture to the next
CELLS = 14
TURNING = "|/-\\"
CLEAR = "\r\x1b[K"
COLOURS = {"red": "31", "green": "32", "yellow": "33", "cyan": "36", "bold": "1"}


class Wish:
    """What the user of this process asked for."""

    uncut = False  # --verbose: nothing is shortened


def capable(stream: Any) -> bool:
    """Whether a line of the stream can be drawn anew."""
    return _is_terminal(stream) and os.environ.get("TERM") != "dumb"


def colourful(stream: Any) -> bool:
    """Whether colours are welcome on the stream."""
    return capable(stream) and not os.environ.get("NO_COLOR")


def paint(text: str, colour: str, stream: Any) -> str:
    """The text in a colour of COLOURS where the stream has them."""
    return f"\x1b[{COLOURS[colour]}m{text}\x1b[0m" if colour and colourful(stream) else text


def columns(stream: Any = None) -> int | None:
    """How wide the stream (standard output) is: $COLUMNS, else the terminal; None where there is no limit."""
    return None if Wish.uncut else limit(stream or sys.stdout)


def limit(stream: Any) -> int | None:
    """The same, whatever the user asked for: a line that moves has to fit."""
    said = os.environ.get("COLUMNS", "")
    if said.isdigit() and int(said):
        return int(said)
    if not _is_terminal(stream):
        return None
    try:
        return os.get_terminal_size(stream.fileno()).columns or 80
    except (OSError, ValueError):
        return 80


def _is_terminal(stream: Any) -> bool:
    try:
        return bool(stream.isatty())
    except (AttributeError, ValueError):  # no stream at all, or a closed one
        return False


def cells(text: str) -> int:
    """How many columns the text takes; East Asian characters take two."""
    if text.isascii():
        return len(text)
    import unicodedata

    return sum(0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text)


def shorten(text: str, room: int) -> str:
    """The text in at most ``room`` columns: names and paths lose their middle, sentences their end."""
    if cells(text) <= room:
        return text
    if room <= 1:
        return "…"[:room]
    keep = room - 1
    tail = 0 if text.count(" ") >= 3 else keep // 2
    return _head(text, keep - tail) + "…" + _head(text[::-1], tail)[::-1]


def _head(text: str, room: int) -> str:
    if text.isascii():
        return text[:room]
    taken = 0
    for end, char in enumerate(text):
        taken += cells(char)
        if taken > room:
            return text[:end]
    return text


def bar(done: float) -> str:
    """A bar that is full at 1."""
    return f"[{'#' * round(CELLS * min(1.0, max(0.0, done))):.<{CELLS}}]"


def span(seconds: float) -> str:
    """A time in words: 7 s, 3:20, 2:03:20."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


class Moving:
    """The line at the end of a terminal that moves while the block runs; lines that stay are said above it.

    ``what`` it says can be changed by ``show``; a share in it, such as ``40 %``, becomes a bar. Nothing moves in the first
    seconds, after ``stop``, or where the stream cannot. Nobody is disturbed when the stream's reader has gone.
    """

    def __init__(self, stream: IO[str], what: str = "", *, after: float = QUIET, on: bool = True) -> None:
        self.stream, self.what, self.on = stream, what, on and capable(stream)
        self.began = time.monotonic()
        self.after = after
        self.drawn, self.turn = False, 0
        self.look: Callable[[], str] | None = None
        self._gone = False
        self._lock: AbstractContextManager[Any] = contextlib.nullcontext()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Moving:
        if self.on:
            import threading

            self._lock, self._ended = threading.RLock(), threading.Event()
            self._thread = threading.Thread(target=self._run, name="moving line", daemon=True)
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Take the line away for good; what is said later stays as ever."""
        if self._thread is not None:
            self._ended.set()
            self._thread.join()
            self._thread = None
        with self._lock:
            self._clear()

    def show(self, text: str) -> None:
        """What the line says from now on."""
        self.what = text

    def say(self, line: str) -> None:
        """A line that stays."""
        with self._lock:
            self._clear()
            self._write(line + "\n")

    @contextlib.contextmanager
    def aside(self) -> Iterator[None]:
        """Room for somebody else to write whole lines to the terminal."""
        with self._lock:
            self._clear()
            yield

    def _run(self) -> None:
        if self._ended.wait(self.after):
            return
        while True:
            what = self.look() if self.look else self.what
            with self._lock:
                self._draw(what)
            if self._ended.wait(REDRAW):
                return

    def _draw(self, what: str) -> None:
        self.turn += 1
        text = picture(what, time.monotonic() - self.began, TURNING[self.turn % len(TURNING)])
        self._write(CLEAR * self.drawn + shorten(text, (limit(self.stream) or 80) - 1))
        self.drawn = True

    def _clear(self) -> None:
        if self.drawn:
            self._write(CLEAR)
            self.drawn = False

    def _write(self, text: str) -> None:
        if self._gone:
            return
        try:
            self.stream.write(text)
            self.stream.flush()
        except (OSError, ValueError):  # the reader has gone: the work goes on without a word
            self._gone = True
            abandon(self.stream)


def abandon(stream: Any) -> None:
    """Let what is still written to a stream without a reader go nowhere, the rest that Python writes at its end included."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


def picture(what: str, seconds: float, turning: str) -> str:
    """The moving line: how long it has been, a bar where the words hold a share, and what they say."""
    share = re.search(r"(\d{1,3}) %", what)
    front = f"{bar(int(share[1]) / 100)} " if share and not what.startswith("[") else ""
    return f"{turning} {span(seconds)}  {front}{what}".replace("\n", " ")
