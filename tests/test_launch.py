"""The main path with the toy skill and real processes: run, detach, cancel, kill, resume, search, concurrency."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest


def alive(pid: int) -> bool:
    """Whether the process runs (a zombie does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def until(condition: Any, seconds: float = 20.0) -> Any:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.05)
    raise AssertionError("did not happen in time")


def trainer_pid(toy: Any) -> int:
    found = until(lambda: list(toy.folder.glob("workspace/results/*/results_dir/trainer.pid")))
    return int(until(found[0].read_text))


def test_run_records_all_before_and_after(toy: Any) -> None:
    done = toy.run("--set", "num_epochs=2", SKILLBANK_ENCRYPTION_KEY="swordfish")
    assert done.code == 0, done.err
    record = done.data
    assert record["job_id"].startswith("toy-train-")
    assert record["state"] == "COMPLETE"
    assert [t["state"] for t in record["transitions"]] == ["PENDING", "RUNNING", "COMPLETE"]
    assert record["results_dir"] == str(toy.folder / "workspace" / "results" / record["job_id"] / "results_dir")
    assert Path(record["artifacts"]["checkpoint"]).name == "model_epoch_001_step_00002.pth"
    assert record["sources"]["train.num_epochs"] == "user"
    assert record["sources"]["train.data"] == "dataset"
    assert record["sources"]["train.results_dir"] == "inferred:output_dir"
    assert record["route"]["kind"] == "direct"
    assert "--automl" in record["route"]["reason"]
    assert [c["best"] for c in record["checkpoints"]] == [False, True]
    assert toy.jobs()[0] == {k: v for k, v in record.items() if k != "job_id"}
    assert "toy training starts" in Path(record["log"]).read_text()
    for path in (toy.folder / "workspace").rglob("*"):
        assert not path.is_file() or "swordfish" not in path.read_text(), path


def test_plan_starts_nothing_and_tells_all(toy: Any) -> None:
    done = toy("plan", "tao-train-toy", "train", "--dataset", toy.folder, "--json")
    assert done.code == 0, done.err
    plan = done.data
    kept = [path for path in toy.folder.rglob("*") if path.is_file()]
    assert sorted(path.name for path in kept) == sorted(["data.txt", f"{plan['plan_hash']}.json"])
    assert plan["route"]["kind"] == "automl"
    assert plan["budget"]["trials"] == 10
    assert [p["key"] for p in plan["search"]] == ["train.lr"]
    assert {i["key"]: i["function"] for i in plan["inferred"]}["train.results_dir"] == "output_dir"
    assert plan["inputs"][0]["uri"] == str(toy.folder / "data.txt")
    assert done.envelope["next"][0].startswith("skillbank run tao-train-toy train")


@pytest.mark.parametrize(
    ("words", "kind", "said"),
    [
        (["--automl", "on"], "automl", "--automl"),
        (["--automl", "off"], "direct", "--automl"),
        (["--phrase", "train the toy, turn off AutoML"], "direct", "phrase"),
        (["--phrase", "train the toy without automl please, plain training"], "direct", "phrase"),
        (["--phrase", "train the toy, no HPO", "--automl", "on"], "automl", "--automl"),
        (["--phrase", "train the toy"], "automl", "default"),
        ([], "automl", "default"),
    ],
)
def test_the_policy_by_word_phrase_and_default(toy: Any, words: list[str], kind: str, said: str) -> None:
    route = toy("plan", "tao-train-toy", "train", "--dataset", toy.folder, *words, "--json").data["route"]
    assert route["kind"] == kind
    assert said in route["reason"]


def test_a_missing_schema_trains_directly_and_says_so(toy: Any, tmp_path_factory: pytest.TempPathFactory) -> None:
    import shutil

    bank = tmp_path_factory.mktemp("bare") / "bank"
    shutil.copytree(toy.env["SKILL_BANK"], bank)
    (bank / "skills/tao-train-toy/schemas/train.schema.json").unlink()
    spec = toy.folder / "spec.yaml"
    spec.write_text(
        "train: {num_epochs: 1, seconds: 0, behave: well, lr: 0.1, resume: '', results_dir: ''}\nencryption_key: swordfish\n"
    )
    words = ["run", "tao-train-toy", "train", "--spec", spec, "--dataset", toy.folder, "--json"]
    done = toy(*words, SKILL_BANK=str(bank))
    assert done.code == 0, done.err
    assert done.data["state"] == "COMPLETE"
    assert done.data["route"]["kind"] == "direct"
    assert "enabled but not runnable" in done.data["route"]["reason"]
    assert "schemas build" in done.data["route"]["reason"]
    assert "swordfish" not in json.dumps(toy.jobs())
    detached = toy(*words, "--detach", SKILL_BANK=str(bank))
    assert toy("wait", detached.data["job_id"], SKILL_BANK=str(bank)).code == 0


def test_a_failing_job_is_an_error_with_its_log(toy: Any) -> None:
    done = toy.run("--set", "train.behave=fail")
    assert done.code == 1
    error = done.envelope["error"]
    assert "the toy broke" in error["message"]
    assert error["log"] in error["message"] or Path(error["log"]).exists()
    record = toy.jobs()[0]
    assert record["state"] == "ERROR"
    assert record["err_class"] == "ERR_PROGRAM"
    assert len(record["checkpoints"]) == 3


def test_a_users_mistake_found_by_the_trainer_keeps_its_exit_code(toy: Any) -> None:
    done = toy.run("--set", "train.behave=refuse")
    assert done.code == 4
    assert [p["says"] for p in done.envelope["error"]["problems"]] == ["row 3 is not a number", "row 7 is empty"]


def test_a_parent_gives_its_best_checkpoint_or_the_one_asked_for(toy: Any) -> None:
    parent = toy.run().data["job_id"]
    evaluate = ["run", "tao-train-toy", "evaluate", "--parent", parent, "--json"]
    assert toy(*evaluate).data["metrics"]["read"] == "toy 2"
    assert toy(*evaluate, "--checkpoint", "epoch:0").data["metrics"]["read"] == "toy 0"
    assert toy(*evaluate, "--checkpoint", "step:2").data["metrics"]["read"] == "toy 1"
    wrong = toy(*evaluate, "--checkpoint", "epoch:9")
    assert wrong.code == 5
    assert "epoch" in wrong.envelope["error"]["message"]


def test_unknown_and_unfit_parents_are_refused_before_a_record_exists(toy: Any) -> None:
    failed = toy.run("--set", "train.behave=fail")
    parent = toy.jobs()[0]["id"]
    assert failed.code == 1
    evaluate = ["run", "tao-train-toy", "evaluate", "--json", "--parent"]
    for job, says in ((parent, "ERROR"), ("toy-train-000000000000", "no job"), ("../../etc/passwd", "job id")):
        done = toy(*evaluate, job)
        assert done.code == 5, done.out
        assert says in json.dumps(done.envelope["error"])
    assert len(toy.jobs()) == 1


def test_a_detached_job_outlives_the_shell_and_can_be_waited_for(toy: Any) -> None:
    done = toy.run("--detach", "--set", "train.seconds=0.8")
    assert done.code == 0, done.err
    assert done.data["state"] in ("PENDING", "RUNNING")
    job = done.data["job_id"]
    assert toy("wait", job, "--timeout", "0").code == 8
    waited = toy("wait", job, "--timeout", "30", "--json")
    assert waited.code == 0
    assert waited.data["state"] == "COMPLETE"
    assert "toy training starts" in toy("logs", job).out
    assert "toy training starts" in toy("logs", job, "-f").out


@pytest.mark.slow  # ten seconds are what a job has to end by itself; the same by a shorter patience is in test_backend
def test_cancel_ends_the_whole_group_even_one_that_will_not_go(toy: Any) -> None:
    done = toy.run("--detach", "--set", "train.behave=hang", "--set", "train.seconds=60", "--set", "num_epochs=9")
    trainer = trainer_pid(toy)
    grandchild = int(next(toy.folder.rglob("grandchild.pid")).read_text())
    assert alive(trainer)
    assert alive(grandchild)
    canceled = toy("cancel", done.data["job_id"], "--reason", "no longer wanted", "--json")
    assert canceled.code == 0, canceled.err
    record = toy.jobs()[0]
    assert record["state"] == "CANCELED"
    assert record["transitions"][-1]["message"] == "no longer wanted"
    assert not alive(trainer)
    assert not alive(grandchild)
    assert toy("cancel", done.data["job_id"]).code == 9


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_leaves_a_canceled_record_that_can_be_resumed(toy: Any, number: int, code: int) -> None:
    process = toy.start("--automl", "off", "--set", "train.seconds=0.4", "--set", "num_epochs=50")
    until(lambda: list(toy.folder.rglob("*.pth")))
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    assert process.returncode == code, err
    envelope = json.loads(out)
    assert envelope["data"]["state"] == "CANCELED"
    record = toy.jobs()[0]
    assert record["state"] == "CANCELED"
    assert record["checkpoints"]
    assert not alive(trainer_pid(toy))
    resumed = toy.run("--resume", record["id"], "--set", "num_epochs=1")
    assert resumed.code == 0, resumed.err
    assert resumed.data["metrics"]["resumed"] == record["checkpoints"][-1]["path"]
    assert resumed.data["retry_of"] == record["id"]
    assert resumed.data["sources"]["train.seconds"] == "resumed"
    assert resumed.data["spec"]["train"]["seconds"] == 0.4


def test_a_killed_supervisor_is_found_out_and_its_trainer_goes_too(toy: Any) -> None:
    done = toy.run("--detach", "--set", "train.seconds=60")
    trainer = trainer_pid(toy)
    job = done.data["job_id"]
    record = until(lambda: next((r for r in toy.jobs() if r["backend_ref"]), None))
    os.kill(int(record["backend_ref"].partition(":")[2]), signal.SIGKILL)
    until(lambda: not alive(trainer))
    status = toy("status", job, "--json")
    assert status.data["state"] == "ERROR"
    assert status.data["err_class"] == "ERR_INFRA"
    assert "toy training starts" in status.data["error"]["log_tail"]
    assert toy.jobs()[0]["state"] == "ERROR"


def test_a_killed_trainer_is_an_error_that_names_the_signal(toy: Any) -> None:
    process = toy.start("--automl", "off", "--set", "train.seconds=60")
    os.kill(trainer_pid(toy), signal.SIGKILL)
    out, _ = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "SIGKILL" in json.loads(out)["error"]["message"]
    assert toy.jobs()[0]["state"] == "ERROR"


@pytest.mark.parametrize("crowd", [4, pytest.param(10, marks=pytest.mark.slow)])
def test_many_jobs_at_once_lose_no_record(toy: Any, crowd: int) -> None:
    script = (
        "import sys\nfrom pathlib import Path\nfrom runner import launch\nfrom runner.plan import Request\n"
        "for _ in range(5):\n"
        "    launch.submit(Request(workspace=Path('workspace').absolute(), skill='tao-train-toy', action='train', dataset='.', "
        "automl='off', overrides=('num_epochs=1',)))\n"
    )
    started = [
        subprocess.Popen([sys.executable, "-c", script], cwd=toy.folder, env={**os.environ, **toy.env}) for _ in range(crowd)
    ]
    assert [process.wait(timeout=60) for process in started] == [0] * crowd
    assert len(toy.jobs()) == 5 * crowd
    until(lambda: all(r["state"] == "COMPLETE" for r in toy.jobs()), 90)
    listed = toy("jobs", "--json").data["jobs"]
    assert len({job["id"] for job in listed}) == 5 * crowd


def test_a_search_minimises_survives_failures_and_points_at_the_best(toy: Any) -> None:
    done = toy.run("--budget", "trials=6", "--set", "train.behave=fail_low", "--set", "num_epochs=1", automl="on")
    assert done.code == 0, done.err
    study = done.data
    trials = study["automl"]["trials"]
    assert len(trials) == 6
    assert trials[0]["params"] == {"train.lr": 0.5}, "the first trial is the spec as given"
    values = [t["value"] for t in trials if t["value"] is not None]
    assert study["automl"]["best"]["value"] == min(values) == study["metrics"]["val_loss"]
    assert study["automl"]["best"]["job_id"] in study["artifacts"]["checkpoint"]
    records = {r["id"]: r for r in toy.jobs()}
    assert len(records) == 7
    for trial in trials:
        record = records[trial["job_id"]]
        assert record["study_job"] == study["job_id"]
        assert record["spec"]["train"]["lr"] == trial["params"]["train.lr"]
        assert record["state"] == trial["state"]
        assert (trial["error"] is not None) == (trial["state"] == "ERROR")
    assert list(toy.folder.rglob("*.pth")) == [Path(study["artifacts"]["checkpoint"])], "only the winner's stay"
    best = toy("run", "tao-train-toy", "evaluate", "--parent", study["job_id"], "--json")
    assert best.data["metrics"]["read"] == "toy 0"
    again = toy.run("--spec", study["artifacts"]["best_spec"], "--set", "train.behave=well")
    assert again.data["metrics"]["val_loss"] == study["metrics"]["val_loss"]
    best_rec = json.loads(Path(study["artifacts"]["best_rec"]).read_text())
    assert best_rec["best"]["score"] == study["metrics"]["val_loss"]


@pytest.mark.parametrize("behave", ["fail", "nan"])
def test_a_search_in_which_all_trials_fail_is_an_error_that_says_why(toy: Any, behave: str) -> None:
    done = toy.run("--budget", "trials=2", "--set", f"train.behave={behave}", automl="on")
    assert done.code == 1
    assert ("the toy broke" if behave == "fail" else "not a number") in json.dumps(done.envelope["error"]).lower()
    study = next(r for r in toy.jobs() if r["automl"])
    assert study["state"] == "ERROR"
    assert len(study["automl"]["trials"]) == 2


def test_a_canceled_search_keeps_its_trials_and_leaves_nothing_running(toy: Any) -> None:
    done = toy.run("--detach", "--budget", "trials=50", "--set", "train.seconds=0.2", "--set", "num_epochs=2", automl="on")
    job = done.data["job_id"]
    until(lambda: any((r["automl"] or {}).get("best") for r in toy.jobs()), 40)
    assert toy("cancel", job).code == 0
    records = toy.jobs()
    assert not [r["id"] for r in records if r["state"] in ("PENDING", "RUNNING")]
    study = next(r for r in records if r["id"] == job)
    assert study["state"] == "CANCELED"
    assert study["automl"]["best"]["job_id"]


def test_a_users_results_dir_is_the_root_of_the_jobs_folder(toy: Any) -> None:
    done = toy.run("--set", f"results_dir={toy.folder / 'mine'}")
    assert done.data["results_dir"] == str(toy.folder / "mine" / done.data["job_id"] / "results_dir")
    assert Path(done.data["artifacts"]["checkpoint"]).is_relative_to(toy.folder / "mine")


def test_an_unwritable_results_folder_is_refused_before_anything(toy: Any) -> None:
    (toy.folder / "file").write_text("")
    done = toy.run("--set", f"results_dir={toy.folder / 'file' / 'x'}")
    assert done.code == 7
    assert not (toy.folder / "workspace" / "jobs").exists()


def test_wrong_data_ends_a_search_at_once_with_its_own_exit_code(toy: Any) -> None:
    done = toy.run("--budget", "trials=5", "--workers", "1", "--set", "train.behave=refuse", automl="on")
    assert done.code == 4
    assert [p["says"] for p in done.envelope["error"]["problems"]] == ["row 3 is not a number", "row 7 is empty"]
    assert len([r for r in toy.jobs() if r["study_job"]]) == 1


def test_a_time_budget_cuts_the_trials_after_the_first(toy: Any) -> None:
    started = time.monotonic()
    words = ("--budget", "time=5s", "--workers", "1", "--no-prune", "--set", "train.seconds=0.5", "--set", "num_epochs=4")
    done = toy.run(*words, automl="on")
    assert done.code == 0, done.err
    assert time.monotonic() - started < 12
    trials = done.data["automl"]["trials"]
    assert trials[0]["state"] == "COMPLETE"
    assert trials[-1]["state"] == "CANCELED"
    assert "time budget" in trials[-1]["error"]
    assert trials[done.data["automl"]["best"]["number"]]["state"] == "COMPLETE"


def test_an_interrupted_search_keeps_the_running_trials_checkpoints(toy: Any) -> None:
    words = ("--automl", "on", "--budget", "trials=3", "--workers", "1")
    process = toy.start(*words, "--set", "train.seconds=0.4", "--set", "num_epochs=50")
    until(lambda: list(toy.folder.rglob("*.pth")))
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130, err
    trial = next(r for r in toy.jobs() if r["study_job"])
    assert trial["state"] == "CANCELED"
    assert trial["checkpoints"]
    assert all(Path(c["path"]).exists() for c in trial["checkpoints"])
    assert f"--resume {trial['study_job']}" in " ".join(json.loads(out)["next"])
    resumed = toy(
        "run", "tao-train-toy", "train", "--resume", trial["id"], "--set", "num_epochs=1", "--set", "train.seconds=0", "--json"
    )
    assert resumed.code == 0, resumed.err
    assert resumed.data["route"]["kind"] == "direct"
    assert resumed.data["metrics"]["resumed"]


def test_a_canceled_trial_does_not_end_the_search(toy: Any) -> None:
    done = toy.run("--detach", "--budget", "trials=2", "--set", "train.seconds=1.5", "--set", "num_epochs=2", automl="on")
    trial = until(lambda: next((r for r in toy.jobs() if r["study_job"] and r["state"] == "RUNNING"), None))
    assert toy("cancel", trial["id"]).code == 0
    assert toy("wait", done.data["job_id"], "--timeout", "40").code == 0
    study = next(r for r in toy.jobs() if r["id"] == done.data["job_id"])
    assert sorted(t["state"] for t in study["automl"]["trials"]) == ["CANCELED", "COMPLETE"]


def test_jobs_in_one_folder_do_not_adopt_each_others_checkpoints(toy: Any) -> None:
    folder = f"train.results_dir={toy.folder / 'shared'}"
    toy.run("--set", folder, "--set", "num_epochs=3")
    second = toy.run("--set", folder, "--set", "num_epochs=1")
    assert [c["epoch"] for c in second.data["checkpoints"]] == [0]


def test_a_deleted_checkpoint_of_a_trial_is_a_parent_error_that_names_the_search(toy: Any) -> None:
    study = toy.run("--budget", "trials=3", "--set", "num_epochs=1", automl="on").data
    loser = next(t["job_id"] for t in study["automl"]["trials"] if t["job_id"] != study["automl"]["best"]["job_id"])
    done = toy("run", "tao-train-toy", "evaluate", "--parent", loser, "--json")
    assert done.code == 5
    assert study["job_id"] in json.dumps(done.envelope["error"])


def test_resume_is_for_training_and_no_search(toy: Any) -> None:
    job = toy.run("--set", "num_epochs=1").data["job_id"]
    assert toy("plan", "tao-train-toy", "evaluate", "--resume", job).code == 2
    assert toy("plan", "tao-train-toy", "train", "--resume", job, "--automl", "on").code == 2
