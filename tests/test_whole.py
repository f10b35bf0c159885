"""The main job on the real trainer, by the commands a user types: sample data to validation report; and S3 to S3."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import jsonschema
import pytest
from conftest import ROOT, call
from moto.server import ThreadedMotoServer

SKILL = "tao-train-pose-classification"
ENVELOPE = {"ok", "schema_version", "command", "data", "warnings", "error", "next"}
SMALL = ("num_epochs=1", "train.optim.lr=0.01", "num_workers=0", "dataset.repeat_to=0", "model.stages=[1]")
QUICK = tuple(word for one in SMALL for word in ("--set", one))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Every step of the main job, once; the envelope of each by name."""
    folder = tmp_path_factory.mktemp("whole")
    made = call("runner.tao_cli", ("sample_data", "--out", "data", "--per-class", "4", "--frames", "12"), folder, {})
    assert made.code == 0, made.err
    steps: dict[str, Any] = {"folder": folder}

    def step(name: str, *words: Any) -> None:
        done = call("runner.cli", (*words, "--json"), folder, {})
        assert done.code == 0, done.err + done.out
        steps[name] = done.envelope

    step("train", "run", SKILL, "train", "--dataset", "data", "--budget", "trials=2", *QUICK)
    train = steps["train"]["data"]["job_id"]
    step("evaluate", "run", SKILL, "evaluate", "--dataset", "data", "--parent", train)
    step("export", "run", SKILL, "export", "--parent", train)
    export = steps["export"]["data"]["job_id"]
    step(
        "inference",
        "run",
        "--phrase",
        "classify with the skeleton action recognition model",
        "--dataset",
        "data",
        "--parent",
        export,
    )
    step("report", "report", train)
    return steps


def finals(whole: dict[str, Any]) -> set[str]:
    """The jobs that evaluated the winner of the search, and the spec as given where that is another."""
    found = {row["job_id"] for row in whole["train"]["data"]["automl"]["final"]["rows"]}
    assert 1 <= len(found) <= 2
    return found


def test_every_answer_is_the_same_envelope(whole: dict[str, Any]) -> None:
    for name in ("train", "evaluate", "export", "inference", "report"):
        assert set(whole[name]) == ENVELOPE
        assert whole[name]["ok"] is True
        assert whole[name]["error"] is None
    for name in ("train", "evaluate", "export", "inference"):
        assert whole[name]["data"]["state"] == "COMPLETE"
        assert all(Path(path).exists() for path in whole[name]["data"]["artifacts"].values())


def test_the_search_points_at_its_best_trial(whole: dict[str, Any]) -> None:
    study = whole["train"]["data"]
    trials = study["automl"]["trials"]
    assert study["route"]["kind"] == "automl"
    assert len(trials) == 2
    assert study["metrics"]["val_loss"] == min(t["value"] for t in trials)
    assert study["automl"]["best"]["job_id"] in study["artifacts"]["checkpoint"]


def test_children_take_what_the_parent_knows(whole: dict[str, Any]) -> None:
    for name, key in (
        ("evaluate", "evaluate.checkpoint"),
        ("export", "export.checkpoint"),
        ("inference", "inference.checkpoint"),
    ):
        sources = whole[name]["data"]["sources"]
        assert sources[key] == "inferred:parent_model"
        assert sources["dataset.label_map"] == "inferred:parent_spec"
    assert whole["export"]["data"]["artifacts"]["onnx"].endswith("model.onnx")
    assert whole["inference"]["data"]["spec"]["inference"]["checkpoint"].endswith("model.onnx")


def test_the_results_say_what_was_measured(whole: dict[str, Any]) -> None:
    metrics = whole["evaluate"]["data"]["metrics"]
    assert 0 <= metrics["accuracy"] <= 100
    assert 0 <= metrics["avg_accuracy"] <= 100
    assert whole["export"]["data"]["metrics"]["max_abs_diff"] < 1e-4
    names = Path(whole["inference"]["data"]["artifacts"]["predictions"]).read_text().splitlines()
    rows = [
        json.loads(line) for line in Path(whole["inference"]["data"]["artifacts"]["predictions_jsonl"]).read_text().splitlines()
    ]
    assert [row["predicted"] for row in rows] == names
    assert len(names) == metrics["sequences"] == 6


def test_the_report_follows_parents_and_children(whole: dict[str, Any]) -> None:
    paths = whole["report"]["data"]["report"]
    report = json.loads(Path(paths["json"]).read_text())
    jsonschema.Draft202012Validator(json.loads((ROOT / "schemas/validation_report.schema.json").read_text())).validate(report)
    (found,) = report["searches"]
    assert len(found["final"]["against"]) == len(finals(whole)) - 1, "the spec as given beside what won, where that is another"
    jobs = set(whole["report"]["data"]["jobs"])
    told_of = {told["job"] for told in report["evaluations"]}
    assert whole["evaluate"]["data"]["job_id"] in told_of
    assert told_of & finals(whole)
    wrong = [told["wrong"]["count"] for told in report["evaluations"]]  # each of the worst is shown as a figure
    assert Path(paths["html"]).read_text().count('<figure class="mistake">') == sum(min(count, 6) for count in wrong)
    assert {whole[name]["data"]["job_id"] for name in ("train", "evaluate", "export", "inference")} <= jobs
    html = Path(paths["html"]).read_text()
    for text in (html, Path(paths["md"]).read_text(), json.dumps(report)):
        assert "not run: preconverted dataset provided" in text
    assert "http://" not in html.replace("http://www.w3.org", "")
    assert "<script src" not in html


def test_records_keep_their_contract(whole: dict[str, Any]) -> None:
    validator = jsonschema.Draft202012Validator(json.loads((ROOT / "schemas/job_record.schema.json").read_text()))
    records = list((whole["folder"] / "workspace/jobs").glob("*.json"))
    assert len(records) == 6 + len(finals(whole))
    for path in records:
        validator.validate(json.loads(path.read_text()))


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Any]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    settings = {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_CONFIG_FILE": str(tmp_path / "none"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "none"),
        "NO_PROXY": "*",
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    client = boto3.client("s3")
    client.create_bucket(Bucket="bucket")
    yield client
    client.close()
    server.stop()


def test_data_from_s3_and_results_to_s3(toy: Any, s3: Any) -> None:
    s3.put_object(Bucket="bucket", Key="data/data.txt", Body=b"1 2 3")
    words = ("run", "tao-train-toy", "train", "--automl", "off", "--json", "--dataset", "s3://bucket/data")
    done = toy(*words, "--results", "s3://bucket/results")
    assert done.code == 0, done.out
    assert done.data["inputs"][0]["uri"] == "s3://bucket/data/data.txt"
    assert Path(done.data["inputs"][0]["path"]).read_text() == "1 2 3"
    keys = {item["Key"] for item in s3.list_objects_v2(Bucket="bucket")["Contents"]}
    assert f"results/{done.data['job_id']}/model_epoch_002_step_00003.pth" in keys
    assert done.data["uploaded"]["uri"] == f"s3://bucket/results/{done.data['job_id']}"


def test_a_missing_object_and_a_missing_bucket_are_storage_errors(toy: Any, s3: Any) -> None:
    words = ("run", "tao-train-toy", "train", "--automl", "off", "--json", "--dataset")
    missing = toy(*words, "s3://bucket/nothing")
    assert missing.code == 6
    assert toy.jobs() == [], "refused before a record exists"
    assert "s3://bucket/nothing lacks 1 of the files" in missing.envelope["error"]["message"]
    assert "s3://bucket/nothing/data.txt" in str(missing.envelope["error"]["problems"])
    s3.put_object(Bucket="bucket", Key="data/data.txt", Body=b"1")
    refused = toy(*words, "s3://bucket/data", "--results", "s3://nowhere/results")
    assert refused.code == 6
    assert toy.jobs() == [], "refused before a record exists"


def test_a_word_that_contradicts_the_parents_model_is_refused(whole: dict[str, Any]) -> None:
    words = ("plan", SKILL, "evaluate", "--dataset", "data", "--parent", whole["train"]["data"]["job_id"], "--json")
    refused = call("runner.cli", (*words, "--set", "graph_layout=coco"), whole["folder"], {})
    assert refused.code == 5
    assert refused.envelope["error"]["problems"][0]["path"] == "model.graph_layout"
    assert call("runner.cli", (*words, "--set", "graph_layout=nvidia"), whole["folder"], {}).code == 0
