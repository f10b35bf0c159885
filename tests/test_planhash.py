"""The hash of a plan: equal plans have equal ones, whatever matters changes it, and `run --plan` refuses what is not the plan.
`--job-id`: the same request is the same job."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runner import fingerprint, launch
from runner.cli.serving import answer
from runner.plan import Request

SKILL = "tao-train-toy"
Envelope = dict[str, Any]


@pytest.fixture
def here(tmp_path: Path, toy_env: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the toy's data, from where commands are carried out in this process."""
    for name, value in toy_env.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("SKILLBANK_ENCRYPTION_KEY", "")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data.txt").write_text("1 2 3")
    return tmp_path


def ask(verb: str, *words: object, action: str = "train") -> Envelope:
    return answer([verb, SKILL, action, "--dataset", ".", "--automl", "off", *map(str, words)])


def planned(*words: object) -> str:
    return str(ask("plan", *words)["data"]["plan_hash"])


def test_equal_plans_have_equal_hashes_wherever_they_are_made(here: Path) -> None:
    first = ask("plan")
    assert len(first["data"]["plan_hash"]) == 64
    assert first["data"]["job_id"] != ask("plan")["data"]["job_id"]
    same = [planned(), planned("--workspace", "other"), planned("--set", "train.num_epochs=3")]
    assert set(same) == {first["data"]["plan_hash"]}
    assert planned("--set", "num_epochs=4") != same[0]
    assert first["data"]["data"]["train.data"] == {"kind": "whole", "bytes": 5} | {
        "sha256": fingerprint.of("data.txt")["sha256"]
    }


def test_a_plan_starts_nothing_and_keeps_only_itself(here: Path) -> None:
    told = ask("plan")["data"]
    kept = [path for path in here.rglob("*") if path.is_file() and path.name != "data.txt"]
    assert kept == [here / "workspace" / "plans" / f"{told['plan_hash']}.json"]
    assert kept[0].stat().st_mode & 0o077 == 0
    before = kept[0].stat().st_mtime_ns
    ask("plan")
    assert kept[0].stat().st_mtime_ns == before, "the same plan is not written twice"


def edit_data(here: Path) -> None:
    (here / "data.txt").write_text("1 2 4")


def drop_data(here: Path) -> None:
    (here / "data.txt").write_text("")


def edit_schema(_: Path) -> None:
    path = Path(os.environ["SKILL_BANK"]) / "skills" / SKILL / "schemas" / "train.schema.json"
    path.write_text(path.read_text() + "\n")


def set_key(_: Path) -> None:
    os.environ["SKILLBANK_ENCRYPTION_KEY"] = "sword-fish-9"  # the fixture takes it back


def nothing(_: Path) -> None:
    pass


CHANGES: list[tuple[str, Callable[[Path], None], list[str], str]] = [
    ("data", edit_data, [], "train.data: the data is not what it was"),
    ("less data", drop_data, [], "0 bytes"),
    ("schema", edit_schema, [], "schema: the schema of train is another one"),
    ("a setting", nothing, ["--set", "train.lr=0.25"], "train.lr: was 0.5 in the plan, is 0.25"),
    ("policy", nothing, ["--automl", "on"], 'route kind: was "direct" in the plan, is "automl"'),
    ("results", nothing, ["--results", "elsewhere"], "results: was null in the plan"),
    ("series", nothing, ["--seeds", "2"], "series"),
    ("a key", set_key, [], 'encryption_key: was null in the plan, is "***"'),
]


@pytest.mark.parametrize(("change", "words", "says"), [row[1:] for row in CHANGES], ids=[row[0] for row in CHANGES])
def test_a_run_refuses_what_is_not_the_plan_and_names_what_changed(
    here: Path, change: Callable[[Path], None], words: list[str], says: str
) -> None:
    agreed = planned()
    schema = Path(os.environ["SKILL_BANK"]) / "skills" / SKILL / "schemas" / "train.schema.json"
    text = schema.read_text()
    try:
        change(here)
        told = ask("run", "--plan", agreed[:16], *words)
    finally:
        schema.write_text(text)
    assert told["error"]["exit_code"] == 9
    listed = [f"{p['path']}: {p['says']}" for p in told["error"]["problems"]]
    assert any(says in line for line in listed), listed
    assert told["next"][0].startswith("skillbank plan tao-train-toy train")
    assert not (here / "workspace" / "jobs").exists()


def test_the_budget_of_a_search_is_part_of_the_plan(here: Path) -> None:
    words = ["plan", SKILL, "train", "--dataset", "."]
    agreed = answer([*words, "--budget", "trials=2"])["data"]["plan_hash"]
    told = answer(["run", *words[1:], "--budget", "trials=3", "--plan", agreed])
    assert told["error"]["exit_code"] == 9
    assert [p["path"] for p in told["error"]["problems"]] == ["budget trials"]


def test_a_plan_runs_by_its_hash_alone_from_any_folder(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    agreed = planned("--set", "num_epochs=1")
    (here / "elsewhere").mkdir()
    monkeypatch.chdir(here / "elsewhere")
    told = answer(["run", "--plan", agreed[:16], "--workspace", str(here / "workspace")])
    assert told["error"] is None
    assert told["data"]["state"] == "COMPLETE"
    assert told["data"]["hashes"]["plan"] == agreed
    assert told["data"]["spec"]["train"]["num_epochs"] == 1


def test_what_cannot_be_run_by_its_hash_alone_says_why(here: Path) -> None:
    secret = planned("--results", "AKIAIOSFODNN7EXAMPLE")
    assert "AKIAIOSFODNN7EXAMPLE" not in "".join(path.read_text() for path in here.rglob("*.json"))
    for words, code, says in (
        (["--plan", secret], 9, "holds a secret"),
        (["--plan", "0" * 64], 9, "not kept in this workspace"),
        (["--plan", "latest"], 2, "12 to 64 hex digits"),
    ):
        told = answer(["run", *words])
        assert told["error"]["exit_code"] == code
        assert says in told["error"]["message"]
    broken = here / "workspace" / "plans" / f"{'a' * 64}.json"
    broken.write_text('{"plan_hash": "aaaa", "facts": {}, "request": {"skill": 3}}')
    assert answer(["run", "--plan", "a" * 64])["error"]["exit_code"] == 9


def test_a_parent_that_learned_something_else_is_another_plan(here: Path) -> None:
    parent = ask("run", "--set", "num_epochs=1")["data"]
    words = ["tao-train-toy", "evaluate", "--parent", parent["job_id"]]
    agreed = answer(["plan", *words])["data"]["plan_hash"]
    Path(parent["artifacts"]["checkpoint"]).write_text("another model")
    told = answer(["run", *words, "--plan", agreed])
    assert [p["path"] for p in told["error"]["problems"]] == ["evaluate.checkpoint"]


# --- one job per id ---


def test_the_same_request_for_an_id_is_the_same_job(here: Path) -> None:
    first = ask("run", "--job-id", "mine")
    again = ask("run", "--job-id", "mine")
    assert (first["data"]["existing"], again["data"]["existing"]) == (False, True)
    assert first["data"]["job_id"] == again["data"]["job_id"] == "mine"
    assert first["data"]["transitions"] == again["data"]["transitions"]
    assert "exists already" in again["warnings"][0]
    assert first["data"]["results_dir"] == str(here / "workspace" / "results" / "mine" / "results_dir")
    other = ask("run", "--job-id", "mine", "--set", "train.lr=0.25")
    assert other["error"]["exit_code"] == 9
    assert other["error"]["problems"] == [{"path": "train.lr", "says": "was 0.5 in the plan, is 0.25", "allowed": ""}]
    assert other["next"] == ["skillbank status mine --workspace workspace"]
    assert len(list((here / "workspace" / "jobs").glob("*.json"))) == 1


def test_a_job_that_runs_is_waited_for_or_handed_back(here: Path) -> None:
    slow = ["--job-id", "slow", "--set", "train.seconds=0.2"]
    begun = ask("run", "--detach", *slow)["data"]
    handed = ask("run", "--detach", *slow)["data"]
    assert handed["existing"]
    assert handed["state"] in ("PENDING", "RUNNING")
    waited = ask("run", *slow)["data"]
    assert waited["state"] == "COMPLETE"
    assert waited["submitted_at"] == begun["submitted_at"]


def test_many_who_ask_at_once_get_one_job(here: Path) -> None:
    request = Request(workspace=here / "workspace", skill=SKILL, action="train", dataset=".", automl="off", job_id="one")
    found: list[dict[str, Any]] = []
    threads = [threading.Thread(target=lambda: found.append(launch.submit(request))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(record["existing"] for record in found) == [False, True, True, True]
    assert answer(["wait", "one"])["data"]["state"] == "COMPLETE"


@pytest.mark.parametrize("job_id", ["../up", ".hidden", "a/b", "x" * 129, ""])
def test_ids_that_are_no_names_are_refused(here: Path, job_id: str) -> None:
    told = ask("run", f"--job-id={job_id}")
    assert told["error"]["exit_code"] == 2
    assert [path.name for path in here.iterdir()] == ["data.txt"]


# --- fingerprints ---


def test_a_large_file_is_told_by_samples_and_time(tmp_path: Path) -> None:
    path = tmp_path / "large.npy"
    path.write_bytes(bytes(fingerprint.WHOLE + 1))
    first, found = fingerprint.of(path), path.stat()
    assert (first["kind"], first["bytes"]) == ("sampled", fingerprint.WHOLE + 1)
    for place in (0, fingerprint.WHOLE):  # the head and the very end, at the same time of change
        with open(path, "r+b") as file:
            file.seek(place)
            file.write(b"x")
        os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))
        assert fingerprint.of(path)["sha256"] != first["sha256"], place
    os.utime(path, ns=(0, 0))
    assert fingerprint.of(path)["changed_ns"] != first["changed_ns"]


def test_a_change_between_the_samples_is_seen_though_its_time_is_set_back(tmp_path: Path) -> None:
    path = tmp_path / "large.npy"
    path.write_bytes(bytes(2 * fingerprint.WHOLE))
    first, found = fingerprint.of(path), path.stat()
    assert fingerprint.of(path) == first
    time.sleep(0.02)  # the clock of file systems ticks a few hundred times a second
    with open(path, "r+b") as file:
        file.seek(fingerprint.BLOCK)  # right behind the first piece
        file.write(b"x")
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))
    second = fingerprint.of(path)
    assert (second["sha256"], second["changed_ns"]) == (first["sha256"], first["changed_ns"]), "nothing else tells them apart"
    assert second != first
    before = fingerprint.of(tmp_path)
    time.sleep(0.02)
    path.write_bytes(bytes(2 * fingerprint.WHOLE))
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))
    assert fingerprint.of(tmp_path) != before


def test_folders_behind_links_count_and_loops_end(tmp_path: Path) -> None:
    elsewhere, folder = tmp_path / "elsewhere", tmp_path / "folder"
    (elsewhere / "below").mkdir(parents=True)
    (elsewhere / "below" / "a").write_text("1")
    folder.mkdir()
    (folder / "linked").symlink_to(elsewhere)
    (folder / "round").symlink_to(folder)
    (folder / "nowhere").symlink_to(tmp_path / "none")
    first = fingerprint.of(folder)
    assert first["files"] == 2
    (elsewhere / "below" / "a").write_text("22")
    assert fingerprint.of(folder) != first


def test_folders_and_what_is_not_there(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    (folder / "below").mkdir(parents=True)
    (folder / "below" / "a").write_text("1")
    first = fingerprint.of(folder)
    assert {key: first[key] for key in ("kind", "files", "bytes")} == {"kind": "folder", "files": 1, "bytes": 1}
    (folder / "below" / "a").rename(folder / "below" / "b")
    assert fingerprint.of(folder)["sha256"] != first["sha256"]
    assert fingerprint.of(tmp_path / "none") == {"kind": "absent"}
    assert json.dumps(fingerprint.of(tmp_path))
