"""What is written for engines that run workers elsewhere: a manifest for Kubernetes, a script for Slurm; and wrong words."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import pytest
import yaml

from runner import databases, study_manifest
from runner.errors import UsageError

DATABASE = "postgresql+psycopg://me@db.example:5432/searches"
SEARCH = {"automl": {"storage": DATABASE, "study_id": "pose_classification-train-0a1b2c3d4e5f"}, "inputs": []}


def manifest(record: Any = SEARCH, **words: Any) -> dict[str, Any]:
    asked = {"image": "registry.example/bank:1", "workers": None, "secret": None, "claim": None, "words": (), **words}
    made = study_manifest.make("pose_classification-train-0a1b2c3d4e5f", **asked, record=record)
    text = study_manifest.text(made["manifest"])
    assert "&id" not in text, "written for people, too"
    found: dict[str, Any] = yaml.safe_load(text)
    return found


@pytest.mark.parametrize(
    "words",
    [
        {},
        {"workers": "40", "claim": "work", "secret": "mine"},
        {"words": ("namespace=lab", "cpu=4", "memory=8Gi", "gpus=1")},
        {"record": None},
    ],
)
def test_the_manifest_is_what_the_api_wants(words: dict[str, Any]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the validator's own imports
        import kubernetes_validate
    made = manifest(**words)
    kubernetes_validate.validate(made, "1.33", strict=True)
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate({**made, "spec": {**made["spec"], "completionMod": "Indexed"}}, "1.33", strict=True)


def test_the_manifest_starts_workers_that_know_their_index_and_takes_every_secret_from_the_cluster() -> None:
    made = manifest(workers="3", words=("gpus=2", "memory=8Gi"))
    assert (made["apiVersion"], made["kind"], made["spec"]["completionMode"]) == ("batch/v1", "Job", "Indexed")
    assert made["spec"]["completions"] == made["spec"]["parallelism"] == 3
    pod = made["spec"]["template"]["spec"]
    worker = pod["containers"][0]
    assert worker["args"][:4] == ["automl", "worker", "--study", "pose_classification-train-0a1b2c3d4e5f"]
    assert worker["args"][-1] == "/workspace/$(WORKER_INDEX)"
    assert worker["resources"]["limits"] == {"memory": "8Gi", "nvidia.com/gpu": "2"}
    secret = {one["name"]: one["valueFrom"]["secretKeyRef"] for one in worker["env"] if "secretKeyRef" in one["valueFrom"]}
    assert secret["SKILLBANK_STORAGE"] == {"name": "skillbank", "key": "storage"}
    assert all(one["optional"] for name, one in secret.items() if name != "SKILLBANK_STORAGE")
    assert {"SKILLBANK_ENCRYPTION_KEY", "AWS_SECRET_ACCESS_KEY"} < set(secret)
    assert not [one for one in worker["env"] if "value" in one], "nothing secret can stand there in clear"
    assert DATABASE not in json.dumps(made)
    assert len(made["metadata"]["name"]) <= 52
    assert set(made["metadata"]["name"]) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")


def test_wrong_words_of_a_manifest_are_told_all_at_once() -> None:
    with pytest.raises(UsageError) as caught:
        manifest(image=None, workers="0", claim="My_Claim", words=("cores=4", "memory=lots"))
    said = str(caught.value)
    for part in ("--image IMAGE", "--workers 0", "--claim My_Claim", "cores=4: allowed: namespace=", "memory=lots"):
        assert part in said
    with pytest.raises(UsageError, match="no search in a database"):
        manifest(record={"automl": {"study": "/x/study.log"}, "inputs": []})


def test_the_script_for_slurm_is_printed_without_slurm(toy: Any) -> None:
    words = ("--storage", DATABASE, "--launch", "slurm", "--workers", "8", "--slurm", "cpus_per_task=4", "--slurm", "mem=16")
    done = toy.run(*words, "--dry-run", automl="on")
    assert done.code == 0, done.err
    script = done.data["script"]
    assert script.startswith("#!/bin/bash")
    for line in ("--array=0-7%8", "--cpus-per-task=4", "--mem=16GB", "--time=1440"):
        assert f"#SBATCH {line}" in script
    assert f"automl worker --study {script.partition('--study ')[2].split()[0]} --storage {DATABASE}" in script
    assert not toy.jobs()
    wrong = toy.run(*words, "--slurm", "queue=gpu", "--dry-run", automl="on")
    assert wrong.code == 2
    assert "partition" in wrong.envelope["error"]["hint"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--launch", "slurm"), "--storage"),
        (("--workers", "0"), "--storage"),
        (("--storage", DATABASE, "--launch", "ray"), "allowed: slurm"),
        (("--storage", DATABASE, "--slurm", "partition=gpu"), "--launch slurm"),
        (("--storage", DATABASE, "--lost-after", "1s"), "4s or more"),
        (("--storage", "sqlite:///study.db"), "SQLite"),
        (("--storage", "mysql://me:pass-word-99@db/x"), "mysql://me@db/x"),
        (("--dry-run",), "--launch slurm"),
    ],
)
def test_a_word_about_machines_that_cannot_be_kept_is_refused(toy: Any, words: tuple[str, ...], said: str) -> None:
    done = toy.run(*words, automl="on")
    assert done.code == 2, done.out
    assert said in json.dumps(done.envelope["error"])
    assert "pass-word-99" not in done.out
    assert not (toy.folder / "workspace" / "jobs").exists()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgresql://me:s3cret@db/x", "postgresql://me@db/x"),
        ("postgresql+psycopg://me:a%2Fb@db:5432/x?sslmode=require", "postgresql+psycopg://me@db:5432/x?sslmode=require"),
        ("postgres://db/x?password=s3cret&sslrootcert=/a/b", "postgres://db/x?sslrootcert=/a/b"),
        ("postgresql://me:s3@cret@db/x", "postgresql://me@db/x"),
    ],
)
def test_an_address_is_shown_without_its_password_and_found_again_with_it(
    text: str, shown: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(databases, "_known", {})
    monkeypatch.delenv(databases.VARIABLE, raising=False)
    assert databases.shown(text) == shown
    own = databases.SCHEME + shown[shown.index("://") :]
    assert databases.remember(text) == own
    assert databases.whole(own) == databases.SCHEME + text[text.index("://") :]
    monkeypatch.setattr(databases, "_known", {})
    assert databases.whole(own) == own
    monkeypatch.setenv(databases.VARIABLE, text)
    assert databases.whole(own) == databases.SCHEME + text[text.index("://") :]
    assert databases.VARIABLE not in databases.environment({databases.VARIABLE: text, "A": "1"})


def test_a_plan_says_where_the_study_goes_and_that_checkpoints_stay(toy: Any, tmp_path: Path) -> None:
    words = ("plan", "tao-train-toy", "train", "--dataset", toy.folder, "--automl", "on", "--storage", DATABASE, "--json")
    planned = toy(*words)
    assert planned.code == 0, planned.out
    assert planned.data["automl"]["storage"] == planned.data["automl"]["study"] == DATABASE
    assert any("--results s3://" in note for note in planned.envelope["warnings"])
    other = toy(*words[:-2], DATABASE.replace("me@", "me:s3cret-99@"), "--json")
    assert other.data["plan_hash"] == planned.data["plan_hash"]
    assert any("PGPASSWORD" in note for note in other.envelope["warnings"])
    assert "s3cret-99" not in other.out + "".join(p.read_text() for p in toy.folder.rglob("*.json"))
