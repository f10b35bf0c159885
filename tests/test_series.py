"""A series of trainings as one job: what is asked and refused, the children, failures and ends, mean and spread, the report."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from typing import Any, NamedTuple

import jsonschema
import pytest

from runner import series
from runner.errors import UsageError

ROOT = Path(__file__).resolve().parents[1]
RECORD = jsonschema.Draft202012Validator(json.loads((ROOT / "schemas" / "job_record.schema.json").read_text()))
KEYS = {"folds": "a.folds", "fold": "a.fold", "seed": "a.seed", "share": "a.share"}


def until(condition: Any, seconds: float = 30.0) -> Any:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if value := condition():
            return value
        time.sleep(0.05)
    raise AssertionError("did not happen in time")


def run(toy: Any, *words: Any) -> Any:
    return toy("run", "tao-train-toy", "train", "--dataset", toy.folder, "--set", "num_epochs=1", *words, "--json")


def parent_of(toy: Any) -> dict[str, Any]:
    return next(record for record in toy.jobs() if record["series"])


# --- what is asked ---


@pytest.mark.parametrize(
    ("words", "count", "said"),
    [
        ((5, None, None), 5, "5 folds"),
        ((None, 3, None), 3, "3 seeds"),
        ((None, None, ""), 4, "4 shares of the training data"),
        ((2, 3, "1, 0.5"), 12, "2 folds x 3 seeds x 2 shares of the training data"),
        ((None, None, None), 1, ""),
    ],
)
def test_what_is_asked(words: Any, count: int, said: str) -> None:
    wish = series.asked(*words)
    assert (wish.trainings, wish.words, bool(wish)) == (count, said, bool(said))
    rows = series.children(wish, KEYS, {"a": {"seed": 7}})
    assert [row["number"] for row in rows] == list(range(count))
    assert len({json.dumps(row["params"], sort_keys=True) for row in rows}) == count


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ((1, None, None), "--folds: is 1"),
        ((0, -2, None), "--seeds: is -2"),
        ((None, None, "1"), "--learning-curve: is '1'"),
        ((None, None, "0.5,0.5"), "--learning-curve"),
        ((None, None, "0.5,2"), "--learning-curve"),
        ((None, None, "half,all"), "--learning-curve"),
        ((None, None, "nan,1"), "--learning-curve"),
        ((100, 100, None), "10000 trainings"),
    ],
)
def test_what_cannot_be_asked(words: Any, says: str) -> None:
    with pytest.raises(UsageError) as caught:
        series.asked(*words)
    assert says in str(caught.value)


def test_children_differ_in_what_is_varied_and_seeds_count_from_the_specs_own() -> None:
    rows = series.children(series.Asked(2, 2, (0.5, 1.0)), KEYS, {"a": {"seed": 7}})
    assert rows[0]["params"] == {"a.share": 0.5, "a.seed": 7, "a.folds": 2, "a.fold": 0}
    assert rows[-1] == {
        "number": 7,
        "label": "share 1, seed 8, fold 1",
        "params": {"a.share": 1.0, "a.seed": 8, "a.folds": 2, "a.fold": 1},
    }
    drawn = series.children(series.Asked(seeds=2), KEYS, {"a": {"seed": -1}})
    assert [row["params"]["a.seed"] for row in drawn] == [0, 1]


class Fake(NamedTuple):
    """As much of a skill as is asked for its series, and of an action."""

    name: str
    info: dict[str, Any]


@pytest.mark.parametrize(
    ("declared", "sources", "says"),
    [
        ({}, {}, "declares none"),
        ({"fit": KEYS}, {}, "declared for fit"),
        ({"train": {"seed": "a.seed"}}, {}, "does not say which of its settings"),
        ({"train": KEYS}, {"a.fold": "user"}, "contradict each other"),
    ],
)
def test_a_skill_that_does_not_say_how(declared: Any, sources: Any, says: str) -> None:
    skill: Any = Fake("toy", {"series": declared})
    action: Any = Fake("train", {})
    with pytest.raises(UsageError) as caught:
        series.keys(skill, action, series.Asked(folds=3), sources)
    assert says in str(caught.value)
    assert "--folds" in str(caught.value)


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["train", "--folds", "3", "--automl", "on"], 2, "do not go together"),
        (["train", "--folds", "3", "--phrase", "train the toy with automl on"], 2, "do not go together"),
        (["train", "--folds", "3", "--budget", "trials=3"], 2, "--budget is of a search"),
        (["train", "--folds", "1"], 2, "2 or more, up to 1000"),
        (["train", "--folds", "three"], 2, "invalid int"),
        (["train", "--folds", "3", "--set", "train.fold=1"], 2, "train.fold"),
        (["train", "--folds", "30"], 3, "train.folds"),
        (["evaluate", "--folds", "3"], 2, "not run in a series; declared for train"),
    ],
)
def test_what_is_refused_before_a_record_exists(toy: Any, words: list[str], code: int, says: str) -> None:
    done = toy("run", "tao-train-toy", *words, *(["--dataset", toy.folder] if words[0] == "train" else []), "--json")
    assert done.code == code, done.out
    assert says in json.dumps(done.envelope["error"])
    assert toy.jobs() == []


def test_a_resume_is_no_series(toy: Any) -> None:
    job = toy.run("--set", "num_epochs=1").data["job_id"]
    done = toy("plan", "tao-train-toy", "train", "--resume", job, "--seeds", "2", "--json")
    assert done.code == 2
    assert "--resume goes on with one training" in done.envelope["error"]["message"]


def test_the_plan_shows_the_children_and_starts_nothing(toy: Any) -> None:
    words = ["plan", "tao-train-toy", "train", "--dataset", toy.folder, "--folds", "3", "--seeds", "2"]
    data = toy(*words, "--json").data
    assert data["route"]["kind"] == "series"
    assert data["route"]["reason"] == "3 folds x 2 seeds; AutoML is off in a series"
    assert [c["params"] for c in data["series"]["children"]][:2] == [
        {"train.seed": 1, "train.folds": 3, "train.fold": 0},
        {"train.seed": 1, "train.folds": 3, "train.fold": 1},
    ]
    shown = toy(*words).out
    assert "3 folds x 2 seeds, 6 trainings" in shown
    assert "seed 2, fold 2" in shown
    assert [path.name for path in (toy.folder / "workspace").iterdir()] == ["plans"]


# --- what comes of it ---


def test_folds_and_seeds(toy: Any) -> None:
    done = run(toy, "--folds", "3", "--seeds", "2", "--set", "train.lr=0.1")
    assert done.code == 0, done.err
    told = done.data["series"]
    assert [c["state"] for c in told["children"]] == ["COMPLETE"] * 6
    expected = [1 + 0.1 * fold + 0.02 * seed for seed in range(2) for fold in range(3)]
    assert [c["metrics"]["val_loss"] for c in told["children"]] == pytest.approx(expected)
    found = told["summary"]["val_loss"]
    assert (found["n"], found["min"], found["max"]) == (6, pytest.approx(1.0), pytest.approx(1.22))
    mean = sum(expected) / 6
    assert found["mean"] == done.data["metrics"]["val_loss"] == pytest.approx(mean)
    assert found["std"] == pytest.approx((sum((v - mean) ** 2 for v in expected) / 5) ** 0.5)
    assert (done.data["metrics"]["trainings"], done.data["metrics"]["failed"]) == (6, 0)
    assert told["verdict"] is None
    records = {r["id"]: r for r in toy.jobs()}
    assert len(records) == 7
    for record in records.values():
        RECORD.validate(record)
    for child in told["children"]:
        record = records[child["job_id"]]
        assert record["study_job"] == done.data["job_id"]
        assert record["route"]["kind"] == "direct"
        assert record["route"]["reason"] == f"{child['label']} of {done.data['job_id']}"
        assert {key: record["spec"]["train"][key.split(".")[1]] for key in child["params"]} == child["params"]
        assert {record["sources"][key] for key in child["params"]} == {"series"}
        assert record["series"] is None
    assert records[done.data["job_id"]]["sources"]["train.fold"] == "template"


def test_only_the_best_childs_checkpoints_stay_and_the_series_hands_them_on(toy: Any) -> None:
    done = run(toy, "--folds", "3")
    told = done.data["series"]
    assert told["best"]["number"] == 0
    assert list(toy.folder.rglob("*.pth")) == [Path(done.data["artifacts"]["checkpoint"])]
    assert len(told["deleted"]) == 2
    assert not any(Path(path).exists() for path in told["deleted"])
    assert json.loads(Path(done.data["artifacts"]["series"]).read_text())["summary"] == told["summary"]
    evaluate = toy("run", "tao-train-toy", "evaluate", "--parent", done.data["job_id"], "--json")
    assert evaluate.data["metrics"]["read"] == "toy 0"
    gone = toy("run", "tao-train-toy", "evaluate", "--parent", told["children"][2]["job_id"], "--json")
    assert gone.code == 5
    assert done.data["job_id"] in json.dumps(gone.envelope["error"])


def test_a_learning_curve_and_its_verdict(toy: Any) -> None:
    done = run(toy, "--learning-curve", "0.5,1", "--folds", "3", "--set", "train.lr=0.1")
    told = done.data["series"]
    assert [p["share"] for p in told["curve"]] == [0.5, 1.0]
    means = [p["metrics"]["val_loss"]["mean"] for p in told["curve"]]
    assert means == pytest.approx([1.65, 1.1])
    assert done.data["metrics"]["val_loss"] == pytest.approx(1.1), "the series' own figures are those of all the data"
    assert told["best"]["params"]["train.share"] == 1.0
    assert told["verdict"]["answer"] == "yes"
    assert told["verdict"]["gain"] == pytest.approx(0.55)
    assert told["verdict"]["pairs"] == 3
    assert "Would more data help? Yes" in toy("status", done.data["job_id"]).out


def curve(direction: str, *pairs: tuple[float, float]) -> dict[str, Any]:
    rows = [
        {"params": {"s": share, "seed": i}, "value": 1.0, "metrics": {"m": value}}
        for i, pair in enumerate(pairs)
        for share, value in zip((0.5, 1.0), pair, strict=True)
    ]
    return {"keys": {"share": "s"}, "metrics": {"m": direction}, "shares": [0.25, 0.5, 1.0], "children": rows}


@pytest.mark.parametrize(
    ("direction", "pairs", "answer"),
    [
        ("maximize", [(0.80, 0.90), (0.60, 0.71), (0.90, 0.99)], "yes"),  # seeds differ more than shares: pairs tell it
        ("minimize", [(0.80, 0.90), (0.60, 0.71), (0.90, 0.99)], "hardly"),
        ("maximize", [(0.80, 0.80), (0.80, 0.80)], "hardly"),
        ("maximize", [(0.80, 0.90), (0.80, 0.81), (0.80, 0.80)], "perhaps"),
        ("maximize", [(0.80, 0.90), (0.80, 0.71), (0.80, 0.80)], "hardly"),
        ("maximize", [(0.80, 0.90)], "unknown"),
    ],
)
def test_the_verdict_weighs_the_gain_against_chance(direction: str, pairs: Any, answer: str) -> None:
    verdict = series.more_data(curve(direction, *pairs))
    assert verdict is not None
    assert verdict["answer"] == answer
    assert answer.capitalize() in verdict["says"]


def test_a_failing_child_is_recorded_and_the_rest_go_on(toy: Any) -> None:
    done = run(toy, "--folds", "3", "--set", "train.behave=fail_fold_1")
    assert done.code == 0, done.err
    told = done.data["series"]
    assert [c["state"] for c in told["children"]] == ["COMPLETE", "ERROR", "COMPLETE"]
    assert "the toy broke" in told["children"][1]["error"]
    assert told["summary"]["val_loss"]["n"] == 2
    assert (done.data["metrics"]["trainings"], done.data["metrics"]["failed"]) == (3, 1)


def test_all_children_failing_is_an_error_that_says_why(toy: Any) -> None:
    done = run(toy, "--folds", "2", "--set", "train.behave=fail")
    assert done.code == 1
    assert done.envelope["error"]["class"] == "SearchFailed"
    assert [p["path"] for p in done.envelope["error"]["problems"]] == ["fold 0", "fold 1"]
    assert parent_of(toy)["state"] == "ERROR"


def test_wrong_data_ends_it_at_once_with_its_own_exit_code(toy: Any) -> None:
    done = run(toy, "--seeds", "4", "--set", "train.behave=refuse")
    assert done.code == 4
    assert [p["says"] for p in done.envelope["error"]["problems"]] == ["row 3 is not a number", "row 7 is empty"]
    assert [c["state"] for c in parent_of(toy)["series"]["children"]] == ["ERROR", "PENDING", "PENDING", "PENDING"]


def test_ctrl_c_ends_it_and_the_child_can_be_resumed(toy: Any) -> None:
    process = toy.start("--folds", "3", "--set", "train.seconds=0.4", "--set", "num_epochs=50")
    until(lambda: list(toy.folder.rglob("*.pth")))
    os.kill(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130, err
    told = parent_of(toy)["series"]
    assert parent_of(toy)["state"] == "CANCELED"
    assert [c["state"] for c in told["children"]] == ["CANCELED", "PENDING", "PENDING"]
    child = told["children"][0]["job_id"]
    assert f"--resume {child}" in " ".join(json.loads(out)["next"])
    resumed = toy(
        "run", "tao-train-toy", "train", "--resume", child, "--set", "num_epochs=1", "--set", "train.seconds=0", "--json"
    )
    assert resumed.code == 0, resumed.err
    assert resumed.data["spec"]["train"]["folds"] == 3


def test_cancel_and_status_of_a_running_series(toy: Any) -> None:
    done = run(toy, "--detach", "--seeds", "30", "--set", "train.seconds=0.3", "--set", "num_epochs=3")
    job = done.data["job_id"]
    until(lambda: sum(bool(c["job_id"]) for c in parent_of(toy)["series"]["children"]) >= 1)
    progress = until(lambda: toy("status", job, "--json").data["progress"])
    assert progress["max_epoch"] == 2, "that of the training it is at"
    shown = toy("status", job).out
    assert "30 seeds" in shown
    assert "RUNNING" in shown
    assert toy("cancel", job, "--reason", "enough").code == 0
    records = toy.jobs()
    assert not [r["id"] for r in records if r["state"] in ("PENDING", "RUNNING")]
    told = parent_of(toy)
    assert told["state"] == "CANCELED"
    assert told["transitions"][-1]["message"] == "enough"
    assert told["series"]["summary"]["val_loss"]["n"] >= 1
    RECORD.validate(told)


def test_a_canceled_child_does_not_end_the_series(toy: Any) -> None:
    done = run(toy, "--detach", "--seeds", "2", "--set", "train.seconds=1.5", "--set", "num_epochs=2")
    child = until(lambda: next((r for r in toy.jobs() if r["study_job"] and r["state"] == "RUNNING"), None))
    assert toy("cancel", child["id"]).code == 0
    assert toy("wait", done.data["job_id"], "--timeout", "40").code == 0
    assert [c["state"] for c in parent_of(toy)["series"]["children"]] == ["CANCELED", "COMPLETE"]


# --- the report ---


def reported(toy: Any, job: str) -> tuple[dict[str, Any], str, str]:
    """The report of a job: as data, Markdown and HTML; that it holds its contract is checked as it is written."""
    paths = toy("report", job, "--json").data["report"]
    return (json.loads(Path(paths["json"]).read_text()), Path(paths["md"]).read_text(), Path(paths["html"]).read_text())


def test_the_report_of_a_series(toy: Any) -> None:
    job = run(toy, "--folds", "4", "--set", "train.lr=0.1", "--set", "train.behave=fail_fold_1").data["job_id"]
    data, md, html = reported(toy, job)
    (told,) = data["series"]
    assert [t["status"] for t in told["trainings"]] == ["complete", "failed", "complete", "complete"]
    assert [t["best"] for t in told["trainings"]] == [True, False, False, False]
    assert told["summary"] == [
        {
            "name": "val_loss",
            "n": 3,
            "mean": pytest.approx(3.5 / 3),
            "std": pytest.approx(0.15275, abs=1e-5),
            "min": pytest.approx(1.0),
            "max": pytest.approx(1.3),
        }
    ]
    assert data["verdict"]["headline"] == "4 folds: val_loss 1.167 ± 0.1528 over 3 trainings"
    assert next(a for a in data["actions"] if a["action"] == "train")["result"] == "val_loss 1.167 ± 0.1528 over 3 trainings"
    assert data["trainings"] == []
    assert any("1 of 4 trainings of the series did not finish" in note for note in data["notes"])
    assert data["missing"] == [], "deleted checkpoints are not missing"
    assert "## Series" in md
    assert "| fold 0 best | complete |" in md
    assert "the toy broke" in md
    assert html.count('<circle class="dot trial"') >= 3
    assert "Series of trainings" in html


def test_the_report_of_a_learning_curve(toy: Any) -> None:
    job = run(toy, "--learning-curve", "0.25,0.5,1", "--seeds", "3", "--set", "train.lr=0.1").data["job_id"]
    data, md, html = reported(toy, job)
    (told,) = data["series"]
    assert told["answer"] == "yes"
    assert told["verdict"] in data["verdict"]["came_out"]
    assert [p["share"] for p in told["curve"]] == [0.25, 0.5, 1.0]
    assert "Would more data help? Yes" in md
    assert "| 25" in md
    assert "% of the training data" in html
    assert html.count('<path class="so-far"') >= 1


def test_the_report_of_a_series_that_ended_early(toy: Any) -> None:
    run(toy, "--seeds", "3", "--set", "train.behave=refuse")
    data, md, _ = reported(toy, parent_of(toy)["id"])
    assert data["verdict"]["state"] == "failed"
    assert [t["status"] for t in data["series"][0]["trainings"]] == ["failed", "pending", "pending"]
    assert "row 3 is not a number" in md
