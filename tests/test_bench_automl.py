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
    with pytest.raises(SystemExit, match="no such search: better; there are bayesian, bfbo, random, peer, peer_log"):
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


def test_rules_of_stopping_are_compared_on_recorded_trainings(bench: ModuleType, tmp_path: Path) -> None:
    rungs = importlib.import_module("rungs")
    finals = [0.9, *(0.1 + i / 100 for i in range(99))]
    reports = [{str(epoch): final + 1 / epoch for epoch in range(1, 28)} for final in finals]
    reports[7] = {"1": math.nan}
    path = tmp_path / "curves.json"
    path.write_text(json.dumps({"epochs": 27, "step": 1, "reports": reports}))
    curves, step = rungs.read(path)
    assert (len(curves), len(curves[0]), step) == (100, 27, 1)
    assert curves[7] == [math.inf] * 27
    order = [0, 7, *range(99, 7, -1), *range(1, 7)]  # the good ones come last
    whole = rungs.searched(curves, order, (27,), 3, 540)
    assert [spent for spent, _ in whole] == [27, *range(81, 541, 27)]  # nothing came of the one that diverged
    raced = rungs.searched(curves, order, (2, 7, 27), 4, 540)
    assert raced[-1][0] <= 540
    assert raced[-1][1] < whole[-1][1]
    ladders = [rule.ladder(27, 1) for rule in rungs.RULES.values()]
    assert {(27,), (3, 9, 27), (2, 7, 27)} < set(ladders)
    assert rungs.Rule((1 / 16, 1 / 4), 4).ladder(32, 2) == (2, 8, 32)
    third, after_all = rungs.worth(curves, (2, 7, 27), 4, orders=10)
    plain, plain_after_all = rungs.worth(curves, (27,), 3, orders=10)
    assert 2 < plain < third < after_all
    assert 10 < plain_after_all < after_all
