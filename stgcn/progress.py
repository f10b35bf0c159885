"""How far a long piece of work is: a bar on a terminal, and words now and then to who keeps them. Quiet while it is short."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import TextIO

QUIET = 2.0  # seconds until anything is said
REDRAW, SAY = 0.2, 5.0  # seconds from one bar to the next, and from words to words
CELLS = 20


class Progress:
    """Called with what is done and with all there is to do; at the end of its block the bar is gone.

    ``say`` hears a sentence at times; the bar is drawn on ``stream`` (standard error) if that is a terminal, else nothing is.
    """

    def __init__(self, what: str, say: Callable[[str], None] = lambda words: None, stream: TextIO | None = None) -> None:
        self.what = what
        self.say = say
        self.stream = stream or sys.stderr
        self.terminal = self.stream.isatty()
        self.began = time.monotonic()
        self.next_bar = self.next_words = self.began + QUIET
        self.drawn = 0  # characters on the terminal

    def __enter__(self) -> Progress:
        return self

    def __call__(self, done: int, total: int) -> None:
        """Tell how far the work is."""
        now = time.monotonic()
        if self.terminal and now >= self.next_bar:
            self.next_bar = now + REDRAW
            self._draw(bar(done, total) + " " + self._words(done, total, now))
        if now >= self.next_words:
            self.next_words = now + SAY
            self.say(self._words(done, total, now))

    def _words(self, done: int, total: int, now: float) -> str:
        left = f", {round((now - self.began) * (total - done) / done)} s left" if done else ""
        return f"{self.what}: {100 * done // max(1, total)} %{left}"

    def _draw(self, line: str) -> None:
        self.stream.write("\r" + line.ljust(self.drawn))
        self.stream.flush()
        self.drawn = len(line)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self.drawn:
            self.stream.write("\r" + " " * self.drawn + "\r")
            self.stream.flush()


def bar(done: int, total: int) -> str:
    """A bar of CELLS cells."""
    return f"[{'#' * round(CELLS * done / max(1, total)):<{CELLS}}]"
