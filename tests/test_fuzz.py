"""Broken and hostile files of every kind, in a process of its own that is bounded in memory; see ``fuzzing``.

The long run: ``make fuzz``, or ``make fuzz CASES=5000 SEED=7``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import fuzzing
import pytest
from conftest import ROOT, TESTS
from test_import_formats import EXPECTED

from stgcn.errors import DataError
from stgcn.formats import table


def run(*words: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-W", "ignore", str(TESTS / "fuzzing.py"), *words]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def wrong(done: subprocess.CompletedProcess[str]) -> str:
    """What went wrong in a run, in words; empty where nothing did."""
    failures = [json.loads(line) for line in done.stdout.splitlines()]
    told = [f"{f['target']} --seed {f['seed']} --case {f['case']}: {f['problem']}" for f in failures]
    return "\n\n".join(told) or ("" if done.returncode == 0 else done.stderr[-3000:])


def test_one_of_every_kind() -> None:
    done = run("--cases", "1")
    assert not wrong(done)
    assert done.stderr.count(": 1 cases") == len(fuzzing.TARGETS)


@pytest.mark.slow
@pytest.mark.parametrize("target", fuzzing.TARGETS)
def test_many(target: str) -> None:
    cases, seed = os.environ.get("FUZZ_CASES", "500"), os.environ.get("FUZZ_SEED", "1")
    assert not wrong(run("--cases", cases, "--seed", seed, "--target", target))


def test_every_import_format_is_among_them() -> None:
    assert {f"import {writer.__name__}" for writer in EXPECTED} <= set(fuzzing.TARGETS)
    assert {"import openpose", "bodypose"} <= set(fuzzing.TARGETS)
    assert len(table.FORMATS) >= 10


@pytest.mark.parametrize(
    ("read", "says"),
    [
        (lambda folder: 1 / 0, "ZeroDivisionError"),
        (lambda folder: os.system("true"), "os.system ("),
        (lambda folder: (Path.cwd() / "owned").touch(), "executed"),
        (lambda folder: _raise(DataError("x" * 60_000)), "a message of 60000 characters"),
        (lambda folder: _raise(DataError([""])), "a message of 0 characters"),
        (lambda folder: _spin(), "Hang"),
        (lambda folder: bytearray(3 * 2**30), "MemoryError"),
    ],
)
def test_the_watch_sees_what_it_is_there_for(read: object, says: str, tmp_path: Path) -> None:
    """In a child, for a watch cannot be taken away again."""
    child = os.fork()
    if child == 0:
        os.chdir(tmp_path)
        fuzzing.HANG_SECONDS = 1
        watch = fuzzing.Watch()
        fuzzing.limit_memory()
        problem = watch.read(fuzzing.Target(lambda folder: None, read), tmp_path) or "nothing"
        os._exit(0 if says in problem else 1)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0


def test_what_is_refused_in_words_is_fine(tmp_path: Path) -> None:
    child = os.fork()
    if child == 0:
        os.chdir(tmp_path)
        problem = fuzzing.Watch().read(fuzzing.Target(lambda folder: None, lambda folder: _raise(DataError("no"))), tmp_path)
        os._exit(0 if problem is None else 1)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0


def _raise(error: Exception) -> None:
    raise error


def _spin() -> None:
    while True:
        pass
