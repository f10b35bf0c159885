"""The search on objectives whose best is known: direction, failures, seeds, budgets, kinds of parameters, relations."""

from __future__ import annotations

import json
import math
import time
from pathlib import Path

import jsonschema
import pytest

from runner import automl
from runner.errors import Canceled, JobFailed, SchemaInvalid, SearchFailed
from runner.schema import Parameter

SCHEMA = json.loads((Path(__file__).parent.parent / "schemas" / "best_rec.schema.json").read_text())


def parameter(key: str, kind: str = "float", low=None, high=None, **more) -> Parameter:
    fields = {"scale": "linear", "choices": (), "weights": (), "default": None, "math_cond": None}
    fields |= {"depends_on": None, "parent_param": False, "title": key}
    return Parameter(**{"key": key, "kind": kind, "low": low, "high": high, **fields, **more})


def go(tmp_path: Path, space, objective, **settings) -> automl.SearchResult:
    settings = {"direction": "minimize", "metric": "val_loss", "trials": 12, "seed": 1, **settings}
    return automl.search(space, objective, storage_path=tmp_path / "sub" / "study.log", **settings)


X = parameter("x", low=-10.0, high=10.0, default=9.0)


def square(_number: int, params: dict) -> float:
    return (params["x"] - 2.0) ** 2


@pytest.mark.parametrize(("direction", "best"), [("minimize", 2.0), ("maximize", -10.0)])
def test_the_direction_is_kept(tmp_path, direction, best):
    result = go(tmp_path, [X], square, direction=direction, trials=40)
    values = [t.value for t in result.trials]
    assert result.best.value == (min(values) if direction == "minimize" else max(values))
    assert abs(result.best.params["x"] - best) < 1.0
    # It also walks that way: what it proposes late is better than what it drew at random.
    sign = 1 if direction == "minimize" else -1
    assert sign * sorted(values[20:])[10] < sign * sorted(values[1:11])[5]


def test_the_first_trial_is_the_spec_as_given(tmp_path):
    outside = parameter("lr", low=0.001, high=0.3, scale="log", default=5.0)
    choice = parameter("optim", "enum", choices=("SGD", "Adam"), weights=(0.0001, 1.0), default="SGD")
    result = go(tmp_path, [X, outside, choice], lambda _n, p: p["x"], trials=3)
    assert result.trials[0].params == {"x": 9.0, "optim": "SGD"}  # lr is left at 5.0, which no search would propose
    assert all(0.001 <= t.params["lr"] <= 0.3 for t in result.trials[1:])


def test_failed_trials_do_not_end_the_search(tmp_path):
    seen: list[automl.Trial] = []

    def objective(number: int, params: dict) -> float:
        if number == 0:
            raise JobFailed("train stopped", problems=["too little data"])
        return {1: math.nan, 2: math.inf}.get(number, square(number, params))

    result = go(tmp_path, [X], objective, trials=8, on_trial=seen.append)
    assert seen == result.trials
    assert [t.number for t in result.trials] == list(range(8))
    assert [t.error for t in result.trials[:3]] == ["train stopped; too little data", "val_loss is nan", "val_loss is inf"]
    assert {t.state for t in result.trials[:3]} == {"ERROR"}
    assert all(t.state == "COMPLETE" and t.error is None for t in result.trials[3:])
    assert result.best in result.trials[3:]


def test_all_failed(tmp_path):
    def objective(number: int, _params: dict) -> float:
        raise JobFailed(f"no {number}")

    with pytest.raises(SearchFailed, match="every trial of the search for val_loss failed") as caught:
        go(tmp_path, [X], objective, trials=2)
    assert [p.says for p in caught.value.problems] == ["trial 0: no 0", "trial 1: no 1"]


@pytest.mark.parametrize("error", [Canceled("stop"), KeyboardInterrupt(), ZeroDivisionError("a defect")])
def test_what_is_no_failed_trial_ends_the_search(tmp_path, error):
    def objective(_number: int, _params: dict) -> float:
        raise error

    with pytest.raises(type(error)):
        go(tmp_path, [X], objective)


def test_a_seed_repeats_the_search(tmp_path):
    space = [X, parameter("act", "enum", choices=("a", "b", "c"), weights=(1, 1, 1), default="a")]
    runs = [go(tmp_path / name, space, square, seed=seed, trials=15) for name, seed in (("a", 7), ("b", 7), ("c", 8))]
    first, second, other = [[t.params for t in run.trials] for run in runs]
    assert first == second
    assert first != other


def test_time_is_a_budget_and_one_trial_is_always_run(tmp_path):
    def objective(_number: int, _params: dict) -> float:
        time.sleep(0.05)
        return 1.0

    assert 2 <= len(go(tmp_path / "a", [X], objective, trials=None, seconds=0.2).trials) <= 4
    assert len(go(tmp_path / "b", [X], objective, trials=None, seconds=0.0).trials) == 1
    assert len(go(tmp_path / "c", [X], objective, trials=2, seconds=60.0).trials) == 2
    with pytest.raises(ValueError, match="budget"):
        go(tmp_path / "d", [X], objective, trials=None)


def test_every_kind_gives_values_of_its_type_within_its_range(tmp_path):
    space = [
        parameter("lr", low=1e-4, high=1e-1, scale="log", default=0.01),
        parameter("patience", "int", 1, 20, scale="log", default=5),
        parameter("nesterov", "bool", default=True),
        parameter("optim", "enum", choices=("SGD", "Adam"), default="Adam"),
        parameter("batch", "int", 3, 70, math_cond="/ 4", default=16),
        parameter("width", "int", 5, 300, math_cond="^ 2", default=64),
    ]
    trials = go(tmp_path, space, lambda _n, p: p["lr"], trials=25).trials
    assert trials[0].params == {p.key: p.default for p in space}
    for params in (t.params for t in trials):
        assert 1e-4 <= params["lr"] <= 1e-1
        assert type(params["lr"]) is float
        assert params["patience"] in range(1, 21)
        assert type(params["nesterov"]) is bool
        assert params["optim"] in ("SGD", "Adam")
        assert params["batch"] in range(4, 69, 4)
        assert params["width"] in (8, 16, 32, 64, 128, 256)
    assert len({t.params["width"] for t in trials}) > 2


@pytest.mark.parametrize(
    ("depends_on", "math_cond", "kind", "holds"),
    [
        ("< lr", None, "float", lambda value, bound: value < bound),
        ("> lr", None, "float", lambda value, bound: value > bound),
        ("lr", "> depends_on", "float", lambda value, bound: value > bound),
        ("<= lr", None, "int", lambda value, bound: value <= bound),
        ("< lr", None, "int", lambda value, bound: value < bound),
        (">= lr", None, "int", lambda value, bound: value >= bound),
        ("<= lr", "/ 4", "int", lambda value, bound: value <= bound and value % 4 == 0),
        ("<= lr", "^ 2", "int", lambda value, bound: value <= bound and value in (1, 2, 4, 8, 16)),
        ("lr", None, "int", lambda _value, _bound: True),
    ],
)
def test_relations_hold_in_every_proposed_trial(tmp_path, depends_on, math_cond, kind, holds):
    dependent = parameter("train.optim.min", kind, 1, 20, depends_on=depends_on, math_cond=math_cond)
    sibling = parameter("train.optim.lr", kind, 1, 20)
    trials = go(tmp_path, [dependent, sibling], lambda number, _p: float(number), trials=15).trials
    pairs = [(t.params["train.optim.min"], t.params["train.optim.lr"]) for t in trials[1:]]
    assert all(holds(*pair) for pair in pairs)
    fixed = go(tmp_path / "given", [dependent], lambda _n, _p: 1.0, given={"train.optim.lr": 10}).trials
    assert all(holds(t.params["train.optim.min"], 10) for t in fixed[1:])


def test_weights_rule_the_random_trials_and_zero_excludes(tmp_path):
    space = [parameter("optim", "enum", choices=("a", "b", "c"), weights=(0.0, 1e-9, 1.0), default="b"), X]
    trials = go(tmp_path, space, lambda n, _p: float(n), trials=30).trials
    assert trials[0].params["optim"] == "b"
    assert {t.params["optim"] for t in trials[1:10]} == {"c"}
    assert "a" not in {t.params["optim"] for t in trials}


def test_everything_wrong_with_a_space_is_said_at_once(tmp_path):
    space = [
        parameter("a", low=0.0, high=1.0, scale="log"),
        parameter("b", "int", 5, 4),
        parameter("c", "int", 5, 7, math_cond="/ 4"),
        parameter("d", low=None, high=math.inf),
        parameter("e", "enum"),
        parameter("f", "enum", choices=("x",), weights=(0.0,)),
        parameter("g", "int", 1, 9, math_cond="% 3"),
        parameter("h", "int", 1, 9, depends_on="< i"),
        parameter("i", "int", 1, 9, depends_on="< h"),
    ]
    with pytest.raises(SchemaInvalid) as caught:
        go(tmp_path, space, square)
    said = [str(problem)[0] for problem in caught.value.problems]
    assert sorted(said) == list("abcdefgh")


def test_best_rec(tmp_path):
    result = go(tmp_path, [X], square, trials=4)
    specs = {"train": {"num_epochs": 30, "optim": {"lr": 0.1}}, "results_dir": ""}
    record = automl.best_rec(
        result,
        experiment_id="pose_classification-train-1",
        specs=specs,
        checkpoint_uri="/r/model_epoch_007_step_00064.pth",
        trials=[{"number": 0, "job_id": "pose_classification-train-2"}],
    )
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    jsonschema.validate(record, SCHEMA)
    best = record["best"]
    assert best["rec_id"] == result.best.number
    assert best["score"] == min(t.value for t in result.trials)
    assert best["specs"] == {"train": {"optim": {"lr": 0.1}}, "results_dir": ""}
    assert (best["observed_budget"], best["checkpoint_epoch"], best["checkpoint_step"]) == (30, 7, 64)
    assert record["all_recs"][0]["job_id"] == "pose_classification-train-2"
    assert specs["train"]["num_epochs"] == 30
    jsonschema.validate(automl.best_rec(result, experiment_id="x", specs={}, checkpoint_uri=None), SCHEMA)
