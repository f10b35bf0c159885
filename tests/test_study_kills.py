"""A search that is interrupted, killed, canceled, joined, and goes on: real processes, real signals."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

SEARCH = ("--automl", "on", "--workers", "1", "--no-prune", "--set", "num_epochs=6")
SLOW = ("--set", "train.seconds=0.12")


def until(condition: Any, seconds: float = 30.0) -> Any:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.03)
    raise AssertionError("did not happen in time")


def study(toy: Any) -> dict[str, Any]:
    """The record of the newest job that is a search."""
    found = [job for job in toy.jobs() if job["automl"]]
    return max(found, key=lambda job: job["submitted_at"]) if found else {"automl": {"trials": []}}


def trial_at(toy: Any, number: int, epoch: int) -> dict[str, Any] | None:
    """The trial of that number, when it is being trained and has come to that epoch."""
    trials = study(toy)["automl"]["trials"]
    trial = next((one for one in trials if one["number"] == number and one["status"] == "running"), None)
    job = next((job for job in toy.jobs() if trial and job["id"] == trial["job_id"]), None)
    there = job and list(Path(job["results_dir"]).glob(f"model_epoch_{epoch:03d}_*"))
    return job if there else None


def trainer(job: dict[str, Any]) -> int:
    return int((Path(job["results_dir"]) / "trainer.pid").read_text())


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def resumed(toy: Any, job_id: str, *words: str) -> dict[str, Any]:
    done = toy("run", "tao-train-toy", "train", "--resume", job_id, "--workers", "1", "--json", *words)
    assert done.code == 0, done.out
    return done.data


def whole(toy: Any, record: dict[str, Any], trials: int) -> None:
    """Nothing is lost, running or counted twice."""
    facts = record["automl"]
    assert record["state"] == "COMPLETE"
    assert [trial["status"] for trial in facts["trials"]] == ["complete"] * trials
    assert facts["totals"]["trials"] == facts["totals"]["complete"] == trials
    assert facts["totals"]["epochs"] == 6 * trials
    assert facts["best"]["value"] == min(trial["value"] for trial in facts["trials"])
    assert not [job["id"] for job in toy("jobs", "--json").data["jobs"] if job["state"] in ("PENDING", "RUNNING", "UNKNOWN")]


@pytest.fixture(scope="module")
def undisturbed(toy_env: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """The trials of the same search when nothing happens to it."""
    from conftest import Toy

    toy = Toy(tmp_path_factory.mktemp("undisturbed"), toy_env)
    done = toy.run(*SEARCH, "--budget", "trials=3", automl="on")
    assert done.code == 0, done.err
    return done.data["automl"]["trials"]


@pytest.mark.parametrize("killed", ["parent", "worker", "both", pytest.param("interrupted", marks=pytest.mark.slow)])
def test_a_killed_search_goes_on_and_loses_no_more_than_an_epoch(
    toy: Any, undisturbed: list[dict[str, Any]], killed: str
) -> None:
    process = toy.start(*SEARCH, *SLOW, "--budget", "trials=3")
    job = until(lambda: trial_at(toy, 1, 2))
    pid, first = trainer(job), study(toy)["id"]
    victims = {"parent": [process.pid], "worker": [parent_of(pid)], "both": [process.pid, pid], "interrupted": []}[killed]
    for victim in victims:
        os.kill(victim, signal.SIGKILL)
    if killed == "interrupted":
        process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    until(lambda: gone(pid))
    if killed == "worker":
        record = json.loads(out)["data"]
        assert process.returncode == 0, err
    else:
        assert process.returncode == (130 if killed == "interrupted" else -signal.SIGKILL)
        status = toy("status", first, "--json").data
        assert status["state"] == ("CANCELED" if killed == "interrupted" else "ERROR")
        assert f"--resume {first}" in toy("status", first).out + " ".join(toy("status", first, "--json").envelope["next"])
        record = resumed(toy, first)
        assert record["retry_of"] == first
    whole(toy, record, 3)
    assert [trial["params"] for trial in record["automl"]["trials"]] == [trial["params"] for trial in undisturbed]
    assert [trial["value"] for trial in record["automl"]["trials"]] == [trial["value"] for trial in undisturbed]
    records = {one["id"]: one for one in toy.jobs()}
    runs = [records[one] for one in record["automl"]["trials"][1]["jobs"]]
    assert len(runs) == 2
    assert runs[1]["metrics"]["first_epoch"] >= 2, "at most the epoch under way is trained again"


@pytest.mark.parametrize("killed", ["parent", "evaluation", "both"])
def test_a_search_that_is_killed_while_its_best_is_evaluated_ends_with_that(toy: Any, killed: str) -> None:
    """No training is done again, and what the evaluation is of is still there."""
    (toy.folder / "test.txt").write_text("0.4")
    (toy.folder / "slow_once").touch()
    process = toy.start(*SEARCH, "--budget", "trials=3")

    def evaluated() -> int:
        found = list(toy.folder.rglob("evaluator.pid"))
        return int(found[0].read_text() or 0) if found else 0

    pid = until(evaluated)
    first = study(toy)["id"]
    for victim in {"parent": [process.pid], "evaluation": [pid], "both": [process.pid, pid]}[killed]:
        os.kill(victim, signal.SIGKILL)
    out, err = process.communicate(timeout=60)
    until(lambda: gone(pid))
    if killed == "evaluation":  # it is told, and the search has its result all the same
        assert process.returncode == 0, err
        record = json.loads(out)["data"]
        assert [row["error"] is None for row in record["automl"]["final"]["rows"]] == [False, True]
    else:
        trainings = {job["id"] for job in toy.jobs() if job["study_job"] and job["action"] == "train"}
        record = resumed(toy, first)
        assert {job["id"] for job in toy.jobs() if job["study_job"] and job["action"] == "train"} == trainings
        assert [row["error"] for row in record["automl"]["final"]["rows"]] == [None, None]
    assert [row["what"] for row in record["automl"]["final"]["rows"]] == ["baseline", "best"]
    whole(toy, record, 3)


def test_a_canceled_search_goes_on_with_the_same_total(toy: Any) -> None:
    started = toy.run("--detach", *SEARCH, *SLOW, "--budget", "trials=3", automl="on")
    until(lambda: trial_at(toy, 1, 0))
    assert toy("cancel", started.data["job_id"]).code == 0
    canceled = study(toy)
    assert canceled["state"] == "CANCELED"
    *before, last = [trial["state"] for trial in canceled["automl"]["trials"]]
    assert last == "CANCELED"
    assert before in (["COMPLETE"], ["COMPLETE"] * 2), "a slow machine may come to the third one"
    assert canceled["automl"]["best"]["number"] == 0
    whole(toy, resumed(toy, canceled["id"]), 3)


def test_a_second_parent_is_refused_or_joins_and_its_death_costs_nothing(toy: Any) -> None:
    parent = toy.start(*SEARCH, *SLOW, "--budget", "trials=4")
    until(lambda: trial_at(toy, 0, 0))
    first = study(toy)["id"]
    words = ["run", "tao-train-toy", "train", "--resume", first, "--workers", "1", "--json"]
    refused = toy(*words)
    assert refused.code == 5
    assert "--join" in json.dumps(refused.envelope["error"])
    joiner = subprocess.Popen(
        [*parent.args[:3], *words, "--join"],
        cwd=toy.folder,
        env={**os.environ, **toy.env},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    theirs = until(lambda: next((j for j in toy.jobs() if j["study_job"] not in (None, first) and trainer_is_at(j, 1)), None))
    os.kill(joiner.pid, signal.SIGKILL)
    joiner.communicate(timeout=30)
    out, err = parent.communicate(timeout=60)
    assert parent.returncode == 0, err
    record = json.loads(out)["data"]
    whole(toy, record, 4)
    again = next(trial for trial in record["automl"]["trials"] if theirs["id"] in trial["jobs"])
    assert len(again["jobs"]) == 2, "the parent took up what the killed one had begun"


def trainer_is_at(job: dict[str, Any], epoch: int) -> bool:
    return bool(list(Path(job["results_dir"]).glob(f"model_epoch_{epoch:03d}_*")))
