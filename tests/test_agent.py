"""A search that an agent guides by command: suggestions, proposals, results from elsewhere, and the end."""

from __future__ import annotations

import json
from typing import Any

import pytest
from machines import until

AGENT = ("--automl", "on", "--algorithm", "agent", "--workers", "1", "--set", "num_epochs=2")


def search(toy: Any) -> dict[str, Any] | None:
    return next((job for job in toy.jobs() if job["automl"]), None)


def begun(toy: Any, *words: str) -> tuple[Any, str]:
    """A search that has trained the spec as given and waits."""
    process = toy.start(*AGENT, *words)
    record = until(lambda: (found := search(toy)) and found["automl"]["totals"].get("complete") and found)
    return process, record["id"]


def ended(process: Any) -> dict[str, Any]:
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    record: dict[str, Any] = json.loads(out)["data"]
    return record


def test_an_agent_guides_a_search_and_ends_it(toy: Any) -> None:
    process, job = begun(toy, "--budget", "trials=9")
    suggested = toy("automl", "suggest", job, "-n", "2", "--json").data
    assert [list(one) for one in suggested["suggestions"]] == [["train.lr"], ["train.lr"]]
    assert suggested["space"] == [{"key": "train.lr", "allowed": "0.001 to 1.0", "log": True, "default": 0.5}]
    assert (suggested["best"]["number"], suggested["left"]) == (0, 8)
    queued = toy("automl", "enqueue", job, "--set", "train.lr=0.1", "--json")
    assert queued.data["params"] == {"train.lr": 0.1}
    assert queued.envelope["next"] == [f"skillbank status {job}"]
    told = toy("automl", "tell", job, "--set", "train.lr=0.2", "--value", "0.001", "--json")
    assert told.data["params"] == {"train.lr": 0.2}
    finished = toy("automl", "finish", job, "--json")
    assert finished.code == 0
    record = ended(process)
    trials = {trial["number"]: trial for trial in record["automl"]["trials"]}
    assert trials[queued.data["number"]]["origin"] == "queue"
    assert trials[queued.data["number"]]["status"] == "complete"
    assert [trial["value"] for trial in trials.values() if trial["origin"] == "outside"] == [0.001]
    assert record["automl"]["best"]["params"] == {"train.lr": 0.1}, (
        "what was trained elsewhere has no checkpoint and cannot win"
    )
    late = toy("automl", "enqueue", job, "--set", "train.lr=0.3", "--json")
    assert "--resume" in late.envelope["warnings"][0]
    onward = toy("run", "tao-train-toy", "train", "--resume", job, "--budget", "trials=3", "--json")
    assert onward.code == 0, onward.out
    assert {"train.lr": 0.3} in [trial["params"] for trial in onward.data["automl"]["trials"]]
    assert toy("report", onward.data["id"]).code == 0


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("enqueue", "--set", "train.lr=7", "--set", "train.seed=3"), 2, ("0.001 to 1.0", "searched are train.lr")),
        (("enqueue",), 2, ("train.lr (0.001 to 1.0)",)),
        (("enqueue", "--set", "train.lr=0.1", "--base", "77"), 2, ("there is no configuration 77", "0")),
        (("tell", "--set", "train.lr=0.1"), 2, ("--value V",)),
        (("tell", "--set", "train.lr=0.1", "--value", "nan"), 2, ("a finite number",)),
        (("suggest", "-n", "0"), 2, ("1 to 100",)),
        (("suggest", "--value", "3"), 2, ("takes no --value", "allowed: -n, --storage")),
        (("finish", "--storage", "sqlite:///x.db"), 2, ("SQLite", "postgresql+psycopg://USER@HOST/DATABASE")),
        (("finish", "--storage", "mysql://me:pass-word-99@host/db"), 2, ("mysql://me@host/db", "PostgreSQL")),
        (("worker",), 2, ("$SKILLBANK_STORAGE",)),
    ],
)
def test_what_is_wrong_is_told_with_what_is_allowed(
    toy: Any, ended_search: tuple[Any, str], words: tuple[str, ...], code: int, said: tuple[str, ...]
) -> None:
    other, job = ended_search
    done = other("automl", words[0], job, *words[1:], "--json")
    assert done.code == code, done.out
    text = json.dumps(done.envelope["error"], ensure_ascii=False)
    assert all(one in text for one in said), text
    assert "pass-word-99" not in done.out + done.err


@pytest.fixture(scope="module")
def ended_search(toy_env: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, str]:
    """A search of one trial that has ended, its budget spent."""
    from conftest import Toy

    toy = Toy(tmp_path_factory.mktemp("ended"), toy_env)
    done = toy.run(*AGENT[2:], "--budget", "trials=1", automl="on")
    assert done.code == 0, done.out
    return toy, done.data["id"]


def test_a_search_whose_budget_is_spent_takes_no_more(ended_search: tuple[Any, str]) -> None:
    toy, job = ended_search
    done = toy("automl", "enqueue", job, "--set", "train.lr=0.1", "--json")
    assert done.code == 2
    assert "--budget trials=N" in done.envelope["error"]["hint"]
    trial = next(one["id"] for one in toy.jobs() if one["study_job"])
    no_search = toy("automl", "suggest", trial, "--json")
    assert no_search.code == 2
    assert job in no_search.envelope["error"]["message"]
