from __future__ import annotations

import io

import pytest

from stgcn import progress
from stgcn.progress import Progress, bar


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def clock(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def run(clock, stream, seconds):
    """One step every half second; gives what was said."""
    said = []
    with Progress("reading x", said.append, stream) as told:
        for step in range(1, 2 * seconds + 1):
            clock[0] += 0.5
            told(step, 2 * seconds)
    return said


def test_short_work_says_nothing(clock):
    terminal = Terminal()
    assert run(clock, terminal, 1) == []
    assert terminal.getvalue() == ""


def test_a_terminal_shows_a_bar_that_is_gone_at_the_end(clock):
    terminal = Terminal()
    run(clock, terminal, 10)
    drawn = terminal.getvalue().split("\r")
    assert drawn[1].startswith("[####                ] reading x: 20 %, 8 s left")
    assert drawn[-3].startswith("[####################] reading x: 100 %")
    assert drawn[-2].strip() == ""
    assert len(drawn[-2]) >= len(drawn[-3].rstrip())
    assert drawn[-1] == ""


def test_a_pipe_shows_nothing_but_words_are_said_now_and_then(clock):
    pipe = io.StringIO()
    assert run(clock, pipe, 10) == ["reading x: 20 %, 8 s left", "reading x: 70 %, 3 s left"]
    assert pipe.getvalue() == ""


@pytest.mark.parametrize(("done", "total", "filled"), [(0, 0, 0), (0, 5, 0), (5, 10, 10), (10, 10, 20)])
def test_bars(done, total, filled):
    assert bar(done, total) == f"[{'#' * filled:<20}]"
