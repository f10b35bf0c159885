from __future__ import annotations

import pytest

from stgcn import progress
from stgcn.progress import Progress


@pytest.fixture
def clock(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def run(clock, seconds):
    """One step every half second; gives what was said."""
    said = []
    with Progress("reading x", said.append) as told:
        for step in range(1, 2 * seconds + 1):
            clock[0] += 0.5
            told(step, 2 * seconds)
    return said


def test_short_work_says_nothing(clock):
    assert run(clock, 1) == []


def test_words_are_said_now_and_then(clock):
    assert run(clock, 6) == ["reading x: 33 %, 4 s left", "reading x: 66 %, 2 s left", "reading x: 100 %, 0 s left"]


def test_nothing_to_do_is_no_division(clock):
    said = []
    told = Progress("reading x", said.append)
    clock[0] += 3
    told(0, 0)
    assert said == ["reading x: 0 %"]
