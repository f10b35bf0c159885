"""How far a long piece of work is, in words now and then to who keeps them. Quiet while it is short; draws nothing."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType

QUIET = 2.0  # seconds until anything is said
SAY = 2.0  # seconds from words to words

Say = Callable[[str], None]


def unheard(words: str) -> None:
    """For work that nobody follows."""


class Progress:
    """Called with what is done and with all there is to do; ``say`` hears a sentence with the share and the time left."""

    def __init__(self, what: str, say: Say) -> None:
        self.what = what
        self.say = say
        self.began = time.monotonic()
        self.next = self.began + QUIET

    def __enter__(self) -> Progress:
        return self

    def __call__(self, done: int, total: int) -> None:
        """Tell how far the work is."""
        now = time.monotonic()
        if now < self.next:
            return
        self.next = now + SAY
        left = f", {round((now - self.began) * (total - done) / done)} s left" if done else ""
        self.say(f"{self.what}: {100 * done // max(1, total)} %{left}")

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Nothing has to be undone."""
