"""The benchmark of searches with the real trainer: it reads searches as they were, and compares them by epochs spent."""

from __future__ import annotations

import argparse
import importlib
import json
import math
import sys
from pathlib import Path
from types import ModuleType

import pytest
from conftest import ROOT, call

CURVE = [(27, 0.9), (54, 0.9), (90, 0.5), (540, 0.4)]


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "bench"))
    return importlib.import_module("automl_jobs")


def test_what_is_read_of_a_search(bench: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    assert bench.best(CURVE, 26) == math.inf
    assert (bench.best(CURVE, 89), bench.best(CURVE, 540)) == (0.9, 0.4)
    assert bench.reached(CURVE, 0.5) == 90 / 540
    assert bench.reached(CURVE, 0.1) == math.inf
    bench.show({"peer": [[(540, 0.5)]], "bayesian": [CURVE]})
    ours = capsys.readouterr().out.splitlines()[-1]
    assert ours.startswith("bayesian, the default")
    assert "a third 0.500" in ours
    assert "share 0.167" in ours


def test_a_search_that_is_not_there_is_named(bench: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["automl_jobs.py", "DATA", "--names", "bayesian,better"])
    with pytest.raises(SystemExit, match="no such search: better; there are bayesian, random, peer, peer_log"):
        bench.main()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["bayesian", "random"])
def test_a_search_is_a_job_as_users_start_it(
    bench: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    done = call(
        "runner.tao_cli", ("sample_data", "--out", tmp_path / "data", "--per-class", "4", "--frames", "20"), tmp_path, {}
    )
    assert done.code == 0, done.out + done.err
    monkeypatch.setattr(bench, "SETTINGS", {**bench.SETTINGS, "train.num_epochs": 3})
    monkeypatch.setattr(
        bench, "ASKED", {"bayesian": ("--budget", "epochs=9"), "random": (*bench.ASKED["random"][:-1], "trials=2")}
    )
    options = argparse.Namespace(data=tmp_path / "data", layout="nvidia", threads=1, peer=None)
    trace = bench.search(name, 1, options, tmp_path / "ws")
    assert trace
    assert trace[0][0] == 3  # the spec as given, trained whole
    assert trace[-1][0] <= 9 if name == "bayesian" else [spent for spent, _ in trace] == [3, 6]
    assert json.loads(json.dumps(trace)) == [list(step) for step in trace]
