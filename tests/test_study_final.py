"""What is told before and after a search: the launch review of a plan, and the evaluation that decides nothing."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import optuna
import pytest

from runner import bank, follow, launch, plan, planhash, study_facts, study_review
from runner.automl import preview
from runner.automl.driver import Result, Search
from runner.automl.strategies import ALGORITHMS, Setup
from runner.plan import Request

SCHEMAS = Path(__file__).parent.parent / "schemas"
SKILL = "tao-train-pose-classification"
Ask = Callable[..., Request]


@pytest.fixture
def ask(toy: Any, monkeypatch: pytest.MonkeyPatch) -> Ask:
    """A request for a search with the toy, in this process."""
    for name, value in toy.env.items():
        monkeypatch.setenv(name, value)

    def made(*sets: str, **words: Any) -> Request:
        fields: dict[str, Any] = {"skill": "tao-train-toy", "action": "train", "dataset": str(toy.folder), "workers": "1"}
        if "resume" in words:
            del fields["dataset"]
        return Request(workspace=toy.folder / "workspace", overrides=sets, **{**fields, **words})

    return made


def search(ask: Ask, *sets: str, **words: Any) -> dict[str, Any]:
    record = launch.run(ask(*sets, **words))
    jsonschema.validate(record, json.loads((SCHEMAS / "job_record.schema.json").read_text()))
    return record


# -- the first recommendations -------------------------------------------------------------------------------------


def setup_of(algorithm: str, **words: Any) -> Setup:
    schema = bank.get(SKILL).schema("train")
    space, _ = schema.search_space(schema.defaults())
    return Setup(algorithm, "val_loss", "minimize", [p._asdict() for p in space], 9, 7, **{"trials": 12, **words})


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("algorithm", [name for name in ALGORITHMS if name not in ("bfbo", "agent")])
def test_what_is_shown_is_what_will_run(algorithm: str, workers: int) -> None:
    """Whatever the trainings come to, and with as many of them at once as there are workers."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    setup, chance = setup_of(algorithm), random.Random(workers)
    shown = preview.first(setup, workers)
    real = Search(optuna.create_study(), setup)
    begun: dict[int, dict[str, Any]] = {}
    live = []
    while len(begun) < len(shown):
        while len(live) < workers and (leg := real.ask()):
            live.append(leg)
            begun.setdefault(leg.config, leg.settings)
        leg = live.pop(0)
        for epoch in range(1, setup.max_epochs + 1):
            if real.report(leg, epoch, chance.random()):
                break
        real.tell(leg, Result(value=chance.random()))
    assert len(shown) >= 3
    assert shown[0].origin == "given"
    assert [one.settings for one in shown] == list(begun.values())[: len(shown)]


def test_an_agent_is_shown_the_spec_as_given_alone() -> None:
    assert [one.origin for one in preview.first(setup_of("agent"), 4)] == ["given"]


@pytest.mark.parametrize(
    ("setup", "cost"),
    [
        (setup_of("bayesian", prune=False), (108, 108)),
        (setup_of("agent", epochs=50), (50, 50)),
        (setup_of("random", trials=None, epochs=60), (60, 60)),
        (setup_of("random", trials=None), None),
        (setup_of("hyperband", trials=1), (9, 9)),
    ],
)
def test_the_epochs_that_a_search_may_come_to(setup: Setup, cost: tuple[int, int] | None) -> None:
    assert preview.cost(setup) == cost


def test_a_search_that_stops_trainings_is_reckoned_to_cost_less_than_all_of_them() -> None:
    found = preview.cost(setup_of("bayesian"))
    assert found is not None
    assert 9 + 11 < found[0] <= found[1] < 108


# -- the launch review ---------------------------------------------------------------------------------------------


def test_the_review_shows_what_runs_and_leaves_the_hash_alone(ask: Ask) -> None:
    request = ask("num_epochs=3", budget=("trials=4",), algorithm="random")
    made = plan.make(request)
    review = study_review.review(made)
    assert review is not None
    assert review["estimate"]["seconds"] is None
    assert "not known" in review["estimate"]["assumes"][-1]
    assert [one["key"] for one in review["data"]] == ["train.data"]
    record = search(ask, "num_epochs=3", budget=("trials=4",), algorithm="random")
    assert [t["params"] for t in record["automl"]["trials"]] == [one["params"] for one in review["first"]]
    again = plan.make(request)
    later = study_review.review(again)
    assert later is not None
    low, high = later["estimate"]["seconds"]
    assert 0 < low <= high
    assert any("4 earlier trainings on the same data" in one for one in later["estimate"]["assumes"])
    assert planhash.identify(again).hash == planhash.identify(made).hash


def test_without_a_seed_only_the_given_spec_is_promised(ask: Ask) -> None:
    review = study_review.review(plan.make(ask("train.seed=-1", budget=("trials=4",))))
    assert review is not None
    assert [one["origin"] for one in review["first"]] == ["given"]
    assert "no seed" in review["first_why"]


def test_a_search_that_goes_on_is_reviewed_as_one(ask: Ask) -> None:
    record = search(ask, "num_epochs=1", budget=("trials=2",))
    review = study_review.review(plan.make(ask(resume=record["id"], budget=("trials=3",))))
    assert review is not None
    assert (review["first"], review["estimate"]) == ([], None)
    assert "2 trials" in review["first_why"]


def test_plan_is_the_launch_review_on_a_terminal(toy: Any) -> None:
    words = ("plan", "tao-train-toy", "train", "--dataset", toy.folder, "--budget", "trials=3", "--budget", "time=1m")
    done = toy(*words, COLUMNS="200")
    assert done.code == 0
    for told in (
        "minimize val_loss",
        "bayesian",
        "first to run",
        "the spec as given",
        "train.lr",
        "no test set",
        "time budget",
    ):
        assert told in done.out, told


# -- the final evaluation ------------------------------------------------------------------------------------------


def rows(record: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {row["what"]: row for row in record["automl"]["final"]["rows"]}


def test_the_best_trial_and_the_baseline_are_evaluated_once_and_the_test_set_chooses_nothing(toy: Any, ask: Ask) -> None:
    """The test set here says the contrary of the validation: by it, the spec as given would win."""
    words = {"budget": ("trials=4",), "algorithm": "random"}
    blind = search(ask, "num_epochs=3", **words)
    assert blind["automl"]["final"]["why_not"].startswith("there is no test set")
    assert blind["automl"]["final"]["rows"] == []
    (toy.folder / "test.txt").write_text("0.5")
    seen = search(ask, "num_epochs=3", **words)
    same = ("params", "value", "status", "epochs")
    told = [[{key: trial[key] for key in same} for trial in record["automl"]["trials"]] for record in (blind, seen)]
    assert told[0] == told[1]
    best = seen["automl"]["best"]
    assert best["number"] == blind["automl"]["best"]["number"] != 0
    found = rows(seen)
    assert found["baseline"]["metrics"]["accuracy"] == 100 > found["best"]["metrics"]["accuracy"]
    assert found["best"]["checkpoint"] == seen["artifacts"]["checkpoint"]
    jobs = {job["id"]: job for job in toy.jobs()}
    evaluations = [job for job in jobs.values() if job["action"] == "evaluate"]
    assert {job["id"] for job in evaluations} == {row["job_id"] for row in found.values()}
    trained = [job for job in jobs.values() if job["study_job"] == seen["id"] and job["action"] == "train"]
    assert max(job["ended_at"] for job in trained) <= min(job["submitted_at"] for job in evaluations)
    assert not any("test.txt" in json.dumps([job["inputs"], job["spec"]]) for job in trained)
    assert jobs[found["best"]["job_id"]]["parent_job"] == seen["id"]
    assert not Path(found["baseline"]["checkpoint"]).exists(), "kept until it was evaluated, and no longer"


def test_the_best_may_be_the_baseline_and_an_evaluation_is_not_repeated(toy: Any, ask: Ask) -> None:
    (toy.folder / "test.txt").write_text("0.3")
    first = search(ask, "num_epochs=1", budget=("trials=1",))
    assert list(rows(first)) == ["best"]
    again = search(ask, resume=first["id"], budget=("trials=1",))
    assert rows(again)["best"]["job_id"] == rows(first)["best"]["job_id"]


def test_a_search_that_goes_on_says_no_more_of_the_best_than_holds(toy: Any, ask: Ask) -> None:
    (toy.folder / "test.txt").write_text("0.5")
    first = search(ask, "num_epochs=3", budget=("trials=1",), algorithm="random")
    assert {what: row["number"] for what, row in rows(first).items()} == {"best": 0}
    more = search(ask, resume=first["id"], budget=("trials=4",))
    number = more["automl"]["best"]["number"]
    assert number
    assert {what: row["number"] for what, row in rows(more).items()} == {"best": number, "baseline": 0}
    assert rows(more)["baseline"]["job_id"] == rows(first)["best"]["job_id"], "evaluated again"

    before = study_facts.standing(first["automl"]["final"], more["automl"]["trials"], more["automl"]["best"])
    assert [(row["what"], row["number"]) for row in before["rows"]] == [("baseline", 0)]
    other = {**more["automl"]["best"], "number": number + 1}
    left = study_facts.standing(more["automl"]["final"], more["automl"]["trials"], other)
    assert [(row["what"], row["number"]) for row in left["rows"]] == [("baseline", 0)]
    same = study_facts.standing(more["automl"]["final"], more["automl"]["trials"], more["automl"]["best"])
    assert same == more["automl"]["final"]
    assert study_facts.standing(None, [], None) is None


def test_an_evaluation_that_fails_is_told_and_the_search_stands(toy: Any, ask: Ask) -> None:
    (toy.folder / "test.txt").write_text("broken")
    record = search(ask, "num_epochs=1", budget=("trials=2",))
    assert record["state"] == "COMPLETE"
    assert all("the toy broke" in row["error"] for row in rows(record).values())


def test_a_test_set_may_be_named_in_the_spec_file(toy: Any, ask: Ask) -> None:
    spec, test = toy.folder / "spec.yaml", toy.folder / "elsewhere.txt"
    spec.write_text(f"train: {{num_epochs: 1}}\nevaluate: {{data: {test}}}\n")
    made = plan.make(ask(spec_file=spec, budget=("trials=1",)))
    assert made.search is not None
    assert made.search["final"]["why_not"].endswith("elsewhere.txt is not there")
    test.write_text("0.5")
    record = search(ask, spec_file=spec, budget=("trials=1",))
    assert rows(record)["best"]["metrics"]["accuracy"] == 100


def test_where_a_running_search_is_and_how_long_it_goes_on() -> None:
    trials = [{"state": "COMPLETE"}, {"state": "COMPLETE"}, {"state": "RUNNING"}]
    study = {
        "automl": {
            "metric": "val_loss",
            "trials": trials,
            "best": {"value": 0.25, "number": 1},
            "budget": {"trials": 6, "seconds": None, "epochs": None},
            "totals": {"trials": 3, "complete": 1, "stopped": 1, "running": 1, "epochs": 12},
            "elapsed": 100.0,
        }
    }
    facts = study["automl"]
    assert follow.within(study) == "trial 3 of 6, 1 stopped, best val_loss 0.25, 3:20 to go"
    assert follow.left({**facts, "budget": {"seconds": 130.0}}, 10) == pytest.approx(20)
    assert follow.left({**facts, "budget": {"epochs": 24}}, 0) == pytest.approx(100)
    assert follow.left({**facts, "budget": {"trials": 6}, "totals": {}}, 0) is None


def test_status_tells_totals_time_best_and_baseline(toy: Any) -> None:
    (toy.folder / "test.txt").write_text("0.5")
    done = toy.run("--budget", "trials=4", "--set", "num_epochs=3", "--workers", "1", automl="on")
    shown = toy("status", done.data["job_id"], COLUMNS="200").out
    best = done.data["automl"]["best"]
    for told in (
        "4: ",
        " stopped",
        " epochs",
        "elapsed",
        "as given",
        f"trial {best['number']}: train.lr=",
        "baseline",
        "deleted",
    ):
        assert told in shown, told


def test_the_report_tells_what_was_gained_what_failed_and_what_the_test_set_says(toy: Any, ask: Ask) -> None:
    (toy.folder / "test.txt").write_text("0.5")
    record = search(ask, "num_epochs=9", "train.behave=nan_low", budget=("trials=12",), algorithm="random")
    files = toy("report", record["id"], "--json").data["report"]
    told = json.loads(Path(files["json"]).read_text())
    (found,) = told["searches"]
    jsonschema.validate(told, json.loads((SCHEMAS / "validation_report.schema.json").read_text()))
    assert found["baseline"] == {"number": 0, "value": record["automl"]["trials"][0]["value"]}
    assert {row["what"]: row["value"] for row in found["final"]["rows"]} == {
        what: row["metrics"]["accuracy"] for what, row in rows(record).items()
    }
    failed = [trial["number"] for trial in record["automl"]["trials"] if trial["status"] == "failed"]
    assert [(one["class"], one["trials"]) for one in found["failures"]] == [("spec", failed)]
    assert found["deleted"] == len(record["automl"]["deleted"]) > 0
    assert all(trial["curve"] for trial in found["trials"] if trial["status"] == "complete")
    assert [one["job"] for one in told["evaluations"]] == [rows(record)["best"]["job_id"]], "the baseline's is in the search"
    assert {one["action"]: one["status"] for one in told["actions"]} == {"train": "complete", "evaluate": "complete"}
    page, text = (Path(files[kind]).read_text() for kind in ("html", "md"))
    stopped = [trial for trial in record["automl"]["trials"] if trial["status"] == "stopped"]
    assert stopped
    for words in ("Spec as given", "stopped after 1", "val_loss is nan after epoch 1", "every trial", "Why trials failed"):
        assert words in page, words
    for words in ("Spec as given", "stopped after 1", "val_loss is nan after epoch 1", "Test accuracy"):
        assert words in text, words


def test_data_that_the_search_reads_are_no_test_set(toy: Any, ask: Ask) -> None:
    (toy.folder / "test.txt").symlink_to(toy.folder / "data.txt")
    record = search(ask, "num_epochs=1", budget=("trials=1",))
    assert "what the trials are chosen by" in record["automl"]["final"]["why_not"]
    assert [job["action"] for job in toy.jobs() if job["action"] == "evaluate"] == []
