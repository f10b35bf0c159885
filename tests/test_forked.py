from __future__ import annotations

import os
import signal
import time

from stgcn import forked
from stgcn.forked import Forked


def gone(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def test_the_answer_is_that_of_the_function_in_another_process():
    assert Forked(lambda: str(os.getpid()).encode()).answer() != str(os.getpid()).encode()
    assert Forked(lambda: b"x" * 10**6).answer() == b"x" * 10**6


def test_a_copy_that_fails_or_is_killed_has_no_answer(capfd):
    assert Forked(lambda: bytes(1 // 0)).answer() is None
    assert Forked(lambda: os.kill(os.getpid(), signal.SIGKILL) or b"").answer() is None
    assert capfd.readouterr() == ("", "")


def test_a_copy_that_is_not_needed_is_ended():
    copy = Forked(lambda: time.sleep(60) or b"")
    pid = copy.pid
    assert not gone(pid)
    copy.stop()
    assert gone(pid)
    copy.stop()


def test_a_copy_does_nothing_of_what_the_original_does_at_its_end(tmp_path):
    ends = tmp_path / "ends"
    try:
        Forked(lambda: bytes(1 // 0)).answer()
    finally:
        with ends.open("a") as file:
            file.write(f"{os.getpid()}\n")
    assert ends.read_text() == f"{os.getpid()}\n"


def test_spare_processors(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0})
    assert forked.spare() == 0
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(64)))
    assert forked.spare() == forked.MOST - 1
    monkeypatch.setattr("sys.platform", "darwin")
    assert forked.spare() == 0
