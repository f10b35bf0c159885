"""The validation report over believable records and artifact files: what it says, what it never says, and how it is written."""

from __future__ import annotations

import csv
import html.parser
import json
import math
import random
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from runner import render, report
from runner.errors import SchemaInvalid, SkillBankError, UnknownJob
from runner.report import charts, disk, markdown, page, results, words

CLASSES = ("sitting_down", "getting_up", "sitting", "standing", "walking", "jumping")
ACTIONS: dict[str, dict[str, Any]] = {
    "dataset_convert": {"not_run_reason": "preconverted dataset provided"},
    "train": {"not_run_reason": None},
    "evaluate": {"not_run_reason": None},
    "export": {"not_run_reason": None},
    "inference": {"not_run_reason": None},
}
CONFUSION = [
    [36, 2, 2, 0, 0, 0],
    [3, 35, 0, 1, 1, 0],
    [1, 0, 38, 1, 0, 0],
    [0, 0, 2, 37, 1, 0],
    [0, 0, 0, 0, 39, 1],
    [0, 0, 0, 2, 1, 37],
]
SPACE = [
    ("train.optim.lr", 1e-3, 0.3, "log", 0.1),
    ("train.optim.momentum", 0.5, 0.99, "linear", 0.9),
    ("train.optim.weight_decay", 1e-6, 1e-2, "log", 1e-4),
    ("model.dropout", 0.0, 0.7, "linear", 0.5),
]
START = datetime.fromisoformat("2026-11-22T14:00:00+00:00")
SECRET = "correct-horse-battery"
AWS_KEY = "AKIAIOSFODNN7EXAMPLE"
AWS_SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"


class Workspace:
    """Records and artifact files as the runner and the trainer leave them."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.records: dict[str, dict[str, Any]] = {}
        self.clock = START

    def read(self, job: str) -> dict[str, Any]:
        if job not in self.records:
            raise UnknownJob(f"no job {job}")
        return self.records[job]

    def list(self) -> list[dict[str, Any]]:
        return list(self.records.values())

    def gather(self, *ids: str) -> list[dict[str, Any]]:
        return report.gather(self.read, self.list, ids)

    def build(self, *ids: str) -> dict[str, Any]:
        records = self.gather(*ids) if ids else self.list()
        command = ["skillbank", "report", *ids]
        return report.build(records, actions=ACTIONS, generated_at="2026-11-22T14:20:00+00:00", command=command)

    def file(self, job: str, name: str, content: Any) -> str:
        path = self.root / "results" / job / "results_dir" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
        return str(path)

    def job(self, job: str, action: str, seconds: float = 40.0, **fields: Any) -> dict[str, Any]:
        started = self.clock
        self.clock += timedelta(seconds=seconds)
        folder = str(self.root / "results" / job / "results_dir")
        spec = fields.pop("spec", {})
        record = {
            "schema_version": 1,
            "id": job,
            "skill": "tao-train-pose-classification",
            "skill_version": "0.1.0",
            "network_arch": "pose_classification",
            "action": action,
            "state": "COMPLETE",
            "transitions": [
                {"ts": started.isoformat(), "state": "PENDING", "message": "opened", "source": "launch"},
                {"ts": started.isoformat(), "state": "RUNNING", "message": "started", "source": "launch"},
                {"ts": self.clock.isoformat(), "state": "COMPLETE", "message": "finished", "source": "launch"},
            ],
            "submitted_at": started.isoformat(),
            "started_at": started.isoformat(),
            "ended_at": self.clock.isoformat(),
            "results_dir": folder,
            "log": str(self.root / "results" / job / "logs" / "job.log"),
            "spec": {"encryption_key": "***", "results_dir": folder, **spec},
            "sources": {"results_dir": "inferred:output_dir", "encryption_key": "user"},
            "route": {"kind": "direct", "reason": "only train is searched", "policy": "on"},
            "parent_job": None,
            "study_job": None,
            "retry_of": None,
            "inputs": [],
            "outputs": [],
            "metrics": {},
            "artifacts": {},
            "checkpoints": [],
            "automl": None,
            "error": None,
            "err_class": None,
            "environment": {
                "python": "3.11.7",
                "platform": "Linux-6.1-x86_64",
                "cpus": 2,
                "packages": {"torch": "2.13.0+cpu", "numpy": "2.4.6"},
            },
            "hashes": {"spec": "ab" * 32, "schema": "cd" * 32},
            "command": ["skillbank", "run", "tao-train-pose-classification", action, "--dataset", "data with space"],
            "host": "bench",
        }
        unknown = set(fields) - set(record)
        assert not unknown, unknown
        for key, value in fields.items():
            record[key] = {**record[key], **value} if key == "sources" else value
        self.records[job] = record
        return record


def facts(split: str, n: int) -> dict[str, Any]:
    return {
        "path": f"/data/sample/{split}_data.npy",
        "sha256": f"{len(split):02x}{n:04x}" * 10 + "abcd",
        "shape": [n * 6, 3, 60, 34, 1],
        "dtype": "float32",
        "bytes": n * 6 * 3 * 60 * 34 * 4,
        "sequences": n * 6,
        "per_class": dict.fromkeys(CLASSES, n),
        "frames": {"min": 31, "median": 48.5, "max": 60},
        "persons": 1,
        "missing_joint_share": 0.0213,
        "notes": ["float64 data was converted to float32"] if split == "train" else [],
    }


def train_spec(**optim: Any) -> dict[str, Any]:
    return {
        "model": {"graph_layout": "nvidia", "graph_strategy": "spatial", "input_channels": 3, "dropout": 0.5},
        "dataset": {
            "num_classes": 6,
            "label_map": {name: i for i, name in enumerate(CLASSES)},
            "train_dataset": {"data_path": "/data/sample/train_data.npy", "label_path": "/data/sample/train_label.pkl"},
            "val_dataset": {"data_path": "/data/sample/val_data.npy", "label_path": "/data/sample/val_label.pkl"},
            "batch_size": 16,
        },
        "train": {"num_epochs": 12, "seed": 1234, "optim": {"lr": 0.1, "momentum": 0.9, "lr_steps": [10, 60], **optim}},
        "wandb": {"enable": False, "project": "TAO Toolkit", "tags": ["tao-toolkit"]},
    }


def curves(rng: random.Random, epochs: int = 12, floor: float = 0.2) -> str:
    rows = ["epoch,step,train_loss,train_acc,val_loss,val_acc,lr,seconds"]
    for e in range(epochs):
        fit = floor + 1.6 * math.exp(-e / 2.8)
        val = fit + 0.12 + max(0, e - 8) * 0.018 + rng.uniform(-0.03, 0.03)
        lr = 0.1 if e < 8 else 0.01
        rows.append(f"{e},{(e + 1) * 38},{fit:.5f},{1 - fit / 2:.4f},{val:.5f},{1 - val / 2:.4f},{lr},{2.1 + rng.random():.2f}")
    return "\n".join(rows) + "\n"


def add_train(ws: Workspace, job: str, rng: random.Random, floor: float = 0.2, **fields: Any) -> dict[str, Any]:
    table = list(csv.DictReader(curves(rng, floor=floor).splitlines()))
    best = min(table, key=lambda row: float(row["val_loss"]))
    epoch, step = int(best["epoch"]), int(best["step"])
    checkpoint = ws.file(job, f"model_epoch_{epoch:03d}_step_{step:05d}.pth", "weights")
    last = table[-1]
    metrics = {
        "val_loss": float(best["val_loss"]),
        "val_acc": float(best["val_acc"]),
        "best_epoch": epoch,
        "best_step": step,
        "last_val_loss": float(last["val_loss"]),
        "last_val_acc": float(last["val_acc"]),
        "train_loss": float(last["train_loss"]),
        "train_acc": float(last["train_acc"]),
        "epochs": len(table),
        "steps": int(last["step"]),
        "parameters": 3100938,
        "seconds": 31.2,
        "device": "cpu",
    }
    artifacts = {
        "checkpoint": checkpoint,
        "latest": ws.file(job, "pc_model_latest.pth", "weights"),
        "metrics_csv": ws.file(job, "metrics.csv", "\n".join([",".join(last), *(",".join(r.values()) for r in table)])),
        "status": ws.file(job, "status.json", "{}"),
        "experiment": ws.file(job, "experiment.yaml", "model: {}"),
        "data_facts": ws.file(job, "data_facts.json", {"train": facts("train", 100), "val": facts("val", 20)}),
    }
    saved = {"path": checkpoint, "epoch": epoch, "step": step, "val_loss": metrics["val_loss"], "val_acc": metrics["val_acc"]}
    return ws.job(
        job,
        "train",
        **{
            "spec": train_spec(),
            "sources": {
                "train.num_epochs": "user",
                "dataset.label_map": "dataset",
                "dataset.num_classes": "inferred:count of dataset.label_map",
                "dataset.train_dataset.data_path": "dataset",
                "train.optim.lr": "file",
            },
            "metrics": metrics,
            "artifacts": artifacts,
            "checkpoints": [{**saved, "best": True}],
            **fields,
        },
    )


def add_search(ws: Workspace, job: str = "pose_classification-train-5a1e00c0ffee", trials: int = 8) -> dict[str, Any]:
    rng = random.Random(3)
    study = ws.job(job, "train", 0.0)
    told = []
    for number in range(trials):
        own, params = f"pose_classification-train-{number:012x}", {}
        for key, low, high, scale, _ in SPACE if number else []:
            draw = rng.random() if number < 4 else 0.6 + 0.25 * rng.random()
            params[key] = low * (high / low) ** draw if scale == "log" else low + (high - low) * draw
        if number == 3:
            error = {
                "class": "JobFailed",
                "message": "val_loss is not a number: the training diverged in epoch 2",
                "problems": [],
                "exit_code": 1,
                "log": f"{own}.log",
                "log_tail": ["epoch 1: train_loss 8.1", "epoch 2: train_loss nan"],
            }
            record = ws.job(own, "train", 9.0, state="ERROR", error=error, err_class="ERR_PROGRAM", spec=train_spec())
        else:
            record = add_train(ws, own, rng, 0.16 + 0.3 * rng.random() / (1 + number / 3))
        record |= {"study_job": job, "route": {"kind": "direct", "reason": f"trial {number} of {job}", "policy": "on"}}
        value = record["metrics"].get("val_loss")
        message = (record["error"] or {}).get("message")
        told.append(
            {
                "number": number,
                "job_id": own,
                "state": record["state"],
                "params": params,
                "value": value,
                "error": message,
                "seconds": 33.5,
            }
        )
    best = min((t for t in told if t["value"] is not None), key=lambda t: t["value"])
    deleted = [r["artifacts"][n] for r in ws.list() if r["study_job"] and r["artifacts"] for n in ("checkpoint", "latest")]
    deleted = [path for path in deleted if best["job_id"] not in path]
    for path in deleted:
        Path(path).unlink()
    winner = ws.records[best["job_id"]]
    study |= {
        "ended_at": ws.clock.isoformat(),
        "spec": {**study["spec"], **train_spec()},
        "sources": {**study["sources"], "train.num_epochs": "user", "dataset.label_map": "dataset"},
        "route": {"kind": "automl", "reason": "AutoML is on by default and the train schema is packaged", "policy": "on"},
        "metrics": winner["metrics"],
        "artifacts": {**winner["artifacts"], "best_spec": ws.file(job, "best_spec.yaml", "{}")},
        "checkpoints": winner["checkpoints"],
        "automl": {
            "metric": "val_loss",
            "direction": "minimize",
            "algorithm": "bayesian",
            "budget": {"trials": trials, "seconds": None},
            "space": [
                {
                    "key": key,
                    "kind": "float",
                    "low": low,
                    "high": high,
                    "scale": scale,
                    "choices": [],
                    "weights": [],
                    "default": default,
                    "math_cond": None,
                    "depends_on": None,
                    "parent_param": False,
                    "title": "",
                }
                for key, low, high, scale, default in SPACE
            ],
            "left_out": [
                {"key": "dataset.window_size", "reason": "no effect while dataset.random_choose is false"},
                {"key": "train.optim.patience", "reason": "no effect while train.optim.lr_scheduler is MultiStep"},
            ],
            "trials": told,
            "best": {key: best[key] for key in ("number", "job_id", "value", "params")},
            "deleted": deleted,
        },
    }
    return study


def evaluation_metrics(names: tuple[str, ...] = CLASSES) -> dict[str, Any]:
    total, hits = sum(map(sum, CONFUSION)), sum(CONFUSION[i][i] for i in range(6))
    per_class = {}
    for i, name in enumerate(names):
        support, predicted = sum(CONFUSION[i]), sum(row[i] for row in CONFUSION)
        precision, recall = 100 * CONFUSION[i][i] / predicted, 100 * CONFUSION[i][i] / support
        f1 = 2 * precision * recall / (precision + recall)
        per_class[name] = {"precision": precision, "recall": recall, "f1": f1, "support": support, "predicted": predicted}
    mean = {key: sum(c[key] for c in per_class.values()) / 6 for key in ("recall", "f1")}
    return {
        "accuracy": 100 * hits / total,
        "avg_accuracy": mean["recall"],
        "macro_f1": mean["f1"],
        "sequences": total,
        "top5_accuracy": 99.5833,
        "loss": 0.2931,
        "per_class": per_class,
    }


def add_evaluate(
    ws: Workspace, parent: str, job: str = "pose_classification-evaluate-e1", names: tuple[str, ...] = CLASSES
) -> dict[str, Any]:
    metrics = evaluation_metrics(names)
    with_names = [["truth\\predicted", *names], *([n, *map(str, row)] for n, row in zip(names, CONFUSION, strict=True))]
    path = Path(ws.file(job, "confusion_matrix.csv", ""))
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(with_names)
    lines = [
        {"sample": "sitting_down_p03_007", "truth": names[0], "predicted": names[2], "probability": 0.981},
        {"sample": "getting_up_p03_001", "truth": names[1], "predicted": names[0], "probability": 0.74},
        {"sample": "walking_p04_004", "truth": names[4], "predicted": names[4], "probability": 0.999},
    ]
    return ws.job(
        job,
        "evaluate",
        6.3,
        parent_job=parent,
        spec={
            "evaluate": {
                "checkpoint": ws.records[parent]["artifacts"].get("checkpoint", ""),
                "test_dataset": {"data_path": "/data/sample/test_data.npy", "label_path": "/data/sample/test_label.pkl"},
            }
        },
        sources={"evaluate.checkpoint": "inferred:parent_model", "evaluate.test_dataset.data_path": "dataset"},
        metrics=metrics,
        artifacts={
            "metrics": ws.file(job, "metrics.json", metrics),
            "confusion_matrix": str(path),
            "predictions": ws.file(job, "predictions.jsonl", "\n".join(map(json.dumps, lines)) + "\n"),
            "data_facts": ws.file(job, "data_facts.json", {"test": facts("test", 40)}),
        },
    )


def add_export(
    ws: Workspace, parent: str, job: str = "pose_classification-export-e2", difference: float = 3.1e-6
) -> dict[str, Any]:
    parity = {
        "ok": difference <= 4e-4,
        "max_abs_diff": difference,
        "tolerance": 1e-4,
        "allowed": 4e-4,
        "largest_logit": 4.0,
        "cases": [
            {"shape": [n, 3, t, 34, 1], "kind": kind, "max_abs_diff": difference}
            for n, t in ((1, 60), (3, 24))
            for kind in ("random", "zero-padded")
        ],
    }
    return ws.job(
        job,
        "export",
        11.0,
        parent_job=parent,
        spec={"export": {"checkpoint": ws.records[parent]["artifacts"].get("checkpoint", ""), "onnx_file": "model.onnx"}},
        metrics={"opset": 18, "bytes": 12_431_220, "input_shape": ["batch", 3, "time", 34, 1]},
        artifacts={
            "onnx": ws.file(job, "model.onnx", "onnx"),
            "labels": ws.file(job, "labels.txt", "\n".join(CLASSES)),
            "parity": ws.file(job, "parity.json", parity),
        },
    )


def add_inference(ws: Workspace, parent: str, job: str = "pose_classification-inference-i1") -> dict[str, Any]:
    return ws.job(
        job,
        "inference",
        5.0,
        parent_job=parent,
        spec={"inference": {"checkpoint": "best.pth", "test_dataset": {"data_path": "/data/sample/test_data.npy"}}},
        metrics={"sequences": 240, "classes": dict(zip(CLASSES, (40, 37, 42, 41, 42, 38), strict=True))},
        artifacts={
            "predictions": ws.file(job, "results.txt", "walking\n"),
            "predictions_jsonl": ws.file(job, "results.jsonl", "{}"),
        },
    )


def pipeline(root: Path) -> Workspace:
    ws = Workspace(root)
    study = add_search(ws)["id"]
    add_evaluate(ws, study)
    add_export(ws, study)
    add_inference(ws, study)
    return ws


@pytest.fixture(scope="module")
def ws(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return pipeline(tmp_path_factory.mktemp("workspace"))


@pytest.fixture(scope="module")
def whole(ws: Workspace) -> dict[str, Any]:
    return ws.build("pose_classification-evaluate-e1")


@pytest.fixture(scope="module")
def written(whole: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return report.write(whole, tmp_path_factory.mktemp("out") / "reports")


def page_of(files: dict[str, Path]) -> str:
    return files["html"].read_text(encoding="utf-8")


# ---- what it says -------------------------------------------------------------------------------------------------------


def test_every_action_has_its_status_and_why_not(whole: dict[str, Any], written: dict[str, Path]) -> None:
    said = {a["action"]: a["status"] for a in whole["actions"]}
    assert said == {
        "dataset_convert": "not run: preconverted dataset provided",
        "train": "complete",
        "evaluate": "complete",
        "export": "complete",
        "inference": "complete",
    }
    for kind in ("html", "md"):
        assert "not run: preconverted dataset provided" in written[kind].read_text(encoding="utf-8")


def test_an_action_nobody_asked_for_is_not_requested(tmp_path: Path) -> None:
    ws = Workspace(tmp_path)
    add_train(ws, "t", random.Random(0))
    said = {a["action"]: a["status"] for a in ws.build("t")["actions"]}
    assert said["evaluate"] == said["export"] == "not run: not requested"
    assert said["dataset_convert"] == "not run: preconverted dataset provided"


def test_without_data_nothing_was_preconverted() -> None:
    built = report.build([], actions=ACTIONS, generated_at=START, command="skillbank report")
    assert {a["status"] for a in built["actions"]} == {"not run: not requested"}
    assert built["verdict"]["state"] == "nothing ran"
    disk.check(built, page.CONTRACT)


def test_a_conversion_that_ran_is_told(tmp_path: Path) -> None:
    ws = Workspace(tmp_path)
    metrics = {"objects": 3, "windows": 12, "frames": 900, "records": 30}
    conversion = ws.file("c", "conversion.json", {"pose_type": "3dbp", "files": ["a.npy"]})
    ws.job("c", "dataset_convert", metrics=metrics, artifacts={"objects": str(tmp_path), "conversion": conversion})
    built = ws.build("c")
    assert built["actions"][0]["status"] == "complete"
    assert built["actions"][0]["result"] == "12 windows of 3 objects"
    assert built["conversions"][0]["details"] == {"pose_type": "3dbp"}
    report.write(built, tmp_path / "out")


def test_the_figures_and_the_verdict(whole: dict[str, Any]) -> None:
    numbers = whole["figures"]
    assert numbers["accuracy"] == pytest.approx(92.5)
    assert numbers["accuracy_interval"] == pytest.approx([88.45, 95.21], abs=0.01)
    assert numbers["majority_share"] == pytest.approx(100 / 6)
    assert numbers["onnx_within_tolerance"] is True
    assert whole["verdict"]["state"] == "complete"
    assert whole["verdict"]["headline"] == "92.5\u00a0% of 240 test sequences classified correctly"
    best = min(t["value"] for t in whole["searches"][0]["trials"] if t["value"] is not None)
    assert numbers["val_loss"] == best


def test_where_the_files_are(whole: dict[str, Any], written: dict[str, Path]) -> None:
    files = {f["what"]: f["path"] for f in whole["files"]}
    for what in ("checkpoint", "ONNX model", "predicted class of each sequence"):
        assert Path(files[what]).is_file()
        assert files[what] in page_of(written)
    assert json.loads(written["json"].read_text())["report_files"] == {k: str(p) for k, p in written.items()}


def test_every_setting_with_its_source(whole: dict[str, Any]) -> None:
    study = next(j for j in whole["jobs"] if j["role"] == "study")
    settings = {row["key"]: row for row in study["spec"]}
    assert settings["dataset.label_map"]["source"] == "dataset"  # one value, because it has one source
    assert settings["dataset.label_map"]["value"]["walking"] == 4
    assert settings["train.num_epochs"]["source"] == "user"
    assert settings["train.optim.momentum"]["source"] == "template"
    assert settings["results_dir"]["source"] == "inferred:output_dir"
    assert settings["encryption_key"] == {"key": "encryption_key", "value": "***", "source": "user"}


def test_the_search(whole: dict[str, Any], written: dict[str, Path]) -> None:
    found = whole["searches"][0]
    assert found["budget"] == "8 trials"
    assert [t["number"] for t in found["trials"] if t["best"]] == [found["best"]["number"]]
    assert [t["status"] for t in found["trials"]].count("failed") == 1
    assert "diverged" in next(t["error"] for t in found["trials"] if t["status"] == "failed")
    assert [h["best"] for h in found["history"]] == sorted((h["best"] for h in found["history"]), reverse=True)
    assert "no effect while dataset.random_choose is false" in page_of(written)
    assert whole["trainings"][0]["job"] == found["job"]
    assert whole["trainings"][0]["curves_of"] == found["best"]["job_id"]
    assert len(whole["trainings"]) == 1  # trials are told in the search


def test_deleted_trial_checkpoints_are_not_missing(whole: dict[str, Any]) -> None:
    assert whole["missing"] == []
    states = {a["state"] for job in whole["jobs"] if job["role"] == "trial" for a in job["artifacts"]}
    assert states == {"present", "deleted"}


def test_the_data_read_twice_is_told_once(tmp_path: Path) -> None:
    ws = pipeline(tmp_path)
    inference = ws.records["pose_classification-inference-i1"]
    unlabelled = {**facts("test", 40), "per_class": None}
    inference["artifacts"]["data_facts"] = ws.file(inference["id"], "data_facts.json", {"test": unlabelled})
    built = ws.build()
    assert [d["split"] for d in built["data"]] == ["train", "val", "test"]
    assert len(built["data"][2]["jobs"]) == 2
    assert built["data"][2]["per_class"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"test": "val"}, "The test data is the validation data"),
        ({"test": "train"}, "The test data is the training data"),
        ({"val": "train"}, "The validation data is the training data"),
    ],
)
def test_the_same_data_under_two_names_is_noticed(tmp_path: Path, change: dict[str, str], said: str) -> None:
    ws = pipeline(tmp_path)
    hashes = {split: facts(split, n)["sha256"] for split, n in (("train", 100), ("val", 20), ("test", 40))}
    for record in ws.list():
        path = record["artifacts"].get("data_facts")
        told = json.loads(Path(path).read_text()) if path else {}
        for split, other in change.items():
            if split in told:
                told[split]["sha256"] = hashes[other]
        if path:
            Path(path).write_text(json.dumps(told))
    assert any(said in note for note in ws.build()["notes"])


def test_an_accuracy_no_better_than_guessing_is_said(tmp_path: Path) -> None:
    ws = pipeline(tmp_path)
    path = Path(ws.records["pose_classification-evaluate-e1"]["artifacts"]["metrics"])
    path.write_text(json.dumps({**evaluation_metrics(), "accuracy": 17.5}))
    assert any("cannot be told from" in note for note in ws.build()["notes"])


def test_each_stream_is_told_beside_the_fusion(tmp_path: Path) -> None:
    ws = pipeline(tmp_path)
    assert ws.build()["evaluations"][0]["streams"] == []
    told = {"streams": {"joint": 91.25, "bone": 93.5}, "fusion": {"weights": {"joint": 0.375, "bone": 0.625}}}
    path = Path(ws.records["pose_classification-evaluate-e1"]["artifacts"]["metrics"])
    path.write_text(json.dumps({**evaluation_metrics(), **told}))
    built = ws.build()
    assert built["evaluations"][0]["streams"] == [
        {"name": "joint", "accuracy": 91.25, "weight": 0.375},
        {"name": "bone", "accuracy": 93.5, "weight": 0.625},
    ]
    files = report.write(built, tmp_path / "out")
    row = next(line for line in files["md"].read_text().splitlines() if "`bone`" in line)
    assert [cell.strip() for cell in row.split("|")[1:4]] == ["`bone`", words.percent(93.5), "0.625"]
    page = page_of(files)
    assert all(word in page for word in ("its weight in the fusion", "0.375"))


def test_a_best_value_at_the_edge_of_its_range_is_noticed(tmp_path: Path) -> None:
    ws = Workspace(tmp_path)
    study = add_search(ws)
    study["automl"]["best"]["params"]["train.optim.lr"] = 0.29
    assert any("train.optim.lr = 0.29, at the upper end of 0.001 to 0.3" in note for note in ws.build()["notes"])


@pytest.mark.parametrize(("most", "noticed"), [(None, True), (1.0, True), (0.3, False)])
def test_an_end_beyond_which_nothing_is_allowed_is_no_edge(tmp_path: Path, most: float | None, noticed: bool) -> None:
    ws = Workspace(tmp_path)
    study = add_search(ws)
    study["automl"]["best"]["params"]["train.optim.lr"] = 0.29
    next(p for p in study["automl"]["space"] if p["key"] == "train.optim.lr")["most"] = most
    assert any("at the upper end of 0.001 to 0.3" in note for note in ws.build()["notes"]) is noticed


def test_the_spec_as_given_lies_at_no_edge(tmp_path: Path) -> None:
    ws = Workspace(tmp_path)
    study = add_search(ws)
    study["automl"]["best"]["params"]["train.optim.lr"] = 0.29
    chosen = study["automl"]["best"]["number"]
    next(t for t in study["automl"]["trials"] if t["number"] == chosen)["origin"] = "given"
    assert not any("at the upper end" in note for note in ws.build()["notes"])


@pytest.mark.parametrize(("reached", "ahead"), [(0.0123, True), (9.0, False), (None, False)])
def test_trials_that_were_cut_off_did_not_fail(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reached: float | None, ahead: bool
) -> None:
    ws = Workspace(tmp_path)
    study = add_search(ws)
    best = study["automl"]["best"]["number"]
    cut = next(t for t in study["automl"]["trials"] if t["number"] != best and t["value"] is not None)
    cut |= {"state": "CANCELED", "status": "lost", "value": None, "reached": reached, "epochs": 26}
    cut["error"] = "the time budget of the search was spent"
    study["automl"]["totals"] = {"trials": 8, "complete": 6, "failed": 1, "lost": 1, "epochs": 100}
    built = ws.build()
    notes = " ".join(built["notes"])
    assert "1 of 8 trials of the search did not finish; the search went on." in notes
    assert "1 of 8 trials of the search was cut off when it ended." in notes
    assert (f"Trial {cut['number']} had come to 0.0123 after 26 epochs, ahead of the best" in notes) is ahead
    files = report.write(built, tmp_path / "out")
    assert "cut off after 26" in files["md"].read_text()
    page = page_of(files)
    assert "cut off after 26" in page
    assert "1 cut off; 100 epochs" in " ".join(page.split())
    monkeypatch.setenv("COLUMNS", "200")
    (row,) = [line for line in render.job(study).splitlines() if "cut off" in line]
    assert row.split()[:5] == [str(cut["number"]), "cut", "off", "after", "26"], "status words it as the report does"


def test_failure_is_the_headline_with_the_error_and_the_log(tmp_path: Path) -> None:
    ws = Workspace(tmp_path)
    add_train(ws, "t", random.Random(0))
    error = {
        "class": "JobFailed",
        "message": "test data: 3 channels are needed, the data has 2",
        "problems": [{"path": "evaluate.test_dataset.data_path", "says": "C is 2", "allowed": "3"}],
        "exit_code": 4,
        "log": "/w/logs/job.log",
        "log_tail": ["reading", "DataError: C is 2"],
    }
    ws.job("e", "evaluate", state="ERROR", parent_job="t", error=error, err_class="ERR_PROGRAM")
    built = ws.build("t")
    assert built["verdict"] == {**built["verdict"], "state": "failed", "headline": "evaluate failed"}
    assert next(a for a in built["actions"] if a["action"] == "evaluate")["result"] == error["message"]
    files = report.write(built, tmp_path / "out")
    for kind in ("html", "md"):
        shown = files[kind].read_text(encoding="utf-8")
        for phrase in ("3 channels are needed", "C is 2; allowed: 3", "/w/logs/job.log", "DataError: C is 2"):
            assert phrase in shown, (kind, phrase)


def test_an_onnx_that_disagrees_is_a_failure(tmp_path: Path) -> None:
    ws = Workspace(tmp_path)
    add_train(ws, "t", random.Random(0))
    add_export(ws, "t", difference=0.02)
    verdict = ws.build()["verdict"]
    assert verdict["state"] == "failed"
    assert verdict["headline"] == "The ONNX file does not agree with the checkpoint"


def test_a_job_still_running(tmp_path: Path) -> None:
    ws = Workspace(tmp_path)
    ws.job("t", "train", state="RUNNING")
    ws.records["t"]["ended_at"] = None
    built = ws.build()
    assert built["verdict"]["headline"] == "train still running"
    report.write(built, tmp_path / "out")


def test_of_several_jobs_of_an_action_the_latest_speaks(tmp_path: Path) -> None:
    ws = Workspace(tmp_path)
    add_train(ws, "t", random.Random(0))
    ws.job("e1", "evaluate", state="ERROR", parent_job="t", error={"message": "no such file"})
    add_evaluate(ws, "t", "e2")
    built = ws.build("t")
    action = next(a for a in built["actions"] if a["action"] == "evaluate")
    assert (action["status"], action["jobs"]) == ("complete", ["e1", "e2"])
    assert built["verdict"]["state"] == "complete"
    assert "latest of 2 jobs" in page_of(report.write(built, tmp_path / "out"))


# ---- which records --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "asked",
    ["pose_classification-evaluate-e1", "pose_classification-train-5a1e00c0ffee", "pose_classification-train-000000000001"],
)
def test_gather_follows_every_link_once_oldest_first(ws: Workspace, asked: str) -> None:
    found = ws.gather(asked)
    assert [r["id"] for r in found] == [r["id"] for r in sorted(ws.list(), key=lambda r: (r["submitted_at"], r["id"]))]


def test_gather_leaves_out_what_is_not_linked(ws: Workspace, tmp_path: Path) -> None:
    other = Workspace(tmp_path)
    other.job("alone", "train")
    other.job("else", "train")
    assert [r["id"] for r in other.gather("alone")] == ["alone"]
    assert [r["id"] for r in report.gather(other.read, other.list, "else")] == ["else"]


def test_a_job_asked_for_must_exist_but_a_parent_may_be_gone(tmp_path: Path) -> None:
    ws = Workspace(tmp_path)
    ws.job("e", "evaluate", parent_job="gone")
    with pytest.raises(UnknownJob):
        ws.gather("nobody")
    missing = ws.build("e")["missing"]
    assert missing == [{"job": "e", "artifact": "job record", "path": "gone", "reason": "no such job in the workspace"}]


# ---- artifacts that are not there or broken ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("artifact", "content", "reason"),
    [
        ("metrics", None, "no such file"),
        ("metrics", b"{broken", "is not JSON"),
        ("metrics", b'{"accuracy": "high", "sequences": -3, "per_class": [1], "loss": NaN}', ""),
        ("metrics", b"\xff\xfe\x00", "cannot be read"),
        ("confusion_matrix", None, "no such file"),
        ("confusion_matrix", b"a,b\nc,d,e\n", "is not a square table"),
        ("confusion_matrix", b"", ""),
        ("predictions", b'{"sample": "a"}\n[1]\n', "cannot be read to its end"),
        ("data_facts", b"[]", ""),
        ("data_facts", b'{"test": {"shape": "x", "frames": 3, "per_class": {"a": "b"}}}', ""),
    ],
)
def test_a_bad_artifact_is_reported_and_never_raised(tmp_path: Path, artifact: str, content: bytes | None, reason: str) -> None:
    ws = pipeline(tmp_path / "w")
    path = Path(ws.records["pose_classification-evaluate-e1"]["artifacts"][artifact])
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content)
    built = ws.build()
    assert [m["artifact"] for m in built["missing"]] == ([artifact] if reason else [])
    assert all(reason in m["reason"] for m in built["missing"])
    files = report.write(built, tmp_path / "out")
    if reason:
        assert html_text(page_of(files)).count(str(path)) >= 1


def test_remote_artifacts_are_named_and_not_read(tmp_path: Path) -> None:
    ws = pipeline(tmp_path)
    ws.records["pose_classification-evaluate-e1"]["artifacts"]["metrics"] = "s3://bucket/metrics.json"
    built = ws.build()
    assert built["missing"][0]["reason"] == "lies in remote storage and is not read"
    assert built["figures"]["accuracy"] == pytest.approx(92.5)  # the record's own metrics


def test_metrics_with_gaps_and_no_curves(tmp_path: Path) -> None:
    ws = Workspace(tmp_path)
    record = add_train(ws, "t", random.Random(0))
    Path(record["artifacts"]["metrics_csv"]).write_text(
        "epoch,step,train_loss,train_acc,val_loss,val_acc,lr,seconds\n0,3,1.5,0.2,,,0.1,2\n1,6,nan,0.3,1.2,0.4,0.1,2\n"
    )
    built = ws.build()
    rows = built["trainings"][0]["curves"]
    assert (rows[0]["val_loss"], rows[1]["train_loss"], rows[1]["val_loss"]) == (None, None, 1.2)
    report.write(built, tmp_path / "out")
    Path(record["artifacts"]["metrics_csv"]).write_text("")
    assert "No curves" in page_of(report.write(ws.build(), tmp_path / "out"))


# ---- secrets and user text ------------------------------------------------------------------------------------------------


def test_no_secret_is_ever_shown(tmp_path: Path) -> None:
    ws = pipeline(tmp_path / "w")
    record = ws.records["pose_classification-evaluate-e1"]
    record["spec"]["encryption_key"] = SECRET
    record["command"] = [
        "skillbank",
        "run",
        "--set",
        f"encryption_key={SECRET}",
        "--api-key",
        "tooth-fairy-7",
        f"AWS_SECRET_ACCESS_KEY={AWS_SECRET}",
    ]
    record["environment"]["AWS_SECRET_ACCESS_KEY"] = AWS_SECRET
    record["state"] = "ERROR"
    record["error"] = {
        "class": "JobFailed",
        "message": f"cannot decrypt with {SECRET}",
        "problems": [f"{AWS_KEY} is not allowed to read", f"https://user:{AWS_SECRET.replace('/', '')}@host/x"],
        "exit_code": 5,
        "log": "/w/job.log",
        "log_tail": [
            f"key {SECRET}",
            f"aws_secret_access_key = {AWS_SECRET}",
            "GET /x?X-Amz-Signature=deadbeefdeadbeef&X-Amz-Date=1",
        ],
    }
    files = report.write(ws.build(), tmp_path / "out")
    for path in files.values():
        shown = path.read_text(encoding="utf-8")
        for secret in (SECRET, AWS_KEY, AWS_SECRET, AWS_SECRET.replace("/", ""), "tooth-fairy-7", "deadbeefdeadbeef"):
            assert secret not in shown, (path.name, secret)
        assert "***" in shown


EVIL = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "a|b`c`",
    "</style></title><svg onload=alert(1)>",
    "{{ 7*7 }}",
    "[x](javascript:alert(1))\n# head",
)


class Tags(html.parser.HTMLParser):
    """Every tag with its attributes, and the text."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def parsed(page_text: str) -> Tags:
    tags = Tags()
    tags.feed(page_text)
    return tags


def html_text(page_text: str) -> str:
    return "".join(parsed(page_text).words)


def test_names_are_text_and_never_markup(tmp_path: Path) -> None:
    ws = Workspace(tmp_path / "w")
    record = add_train(ws, "t", random.Random(0))
    record["log"] = EVIL[1]
    record["spec"]["model"]["pretrained_model_path"] = EVIL[3]
    record["sources"][EVIL[0]] = EVIL[1]
    add_evaluate(ws, "t", names=EVIL)
    files = report.write(ws.build(), tmp_path / "out")
    seen = parsed(page_of(files))
    assert not {"script", "img", "iframe", "object", "embed"} & {tag for tag, _ in seen.tags}
    assert not [a for _, attributes in seen.tags for a in attributes if a.startswith("on")]
    assert all(name.strip() in "".join(seen.words) for name in EVIL)
    assert sum(tag == "svg" for tag, _ in seen.tags) == 3
    for line in files["md"].read_text(encoding="utf-8").splitlines():
        outside = re.sub(r"(`+)(?!`).*?(?<!`)\1(?!`)", "", line)
        assert "<" not in outside.replace("\\<", "")
        assert "](" not in outside.replace("\\]", "")
    assert "# head" not in files["md"].read_text(encoding="utf-8").splitlines()


def test_a_log_cannot_close_its_block() -> None:
    lines = list(markdown.block("before\n````\n# after"))
    assert lines[0] == "`````text"
    assert lines[2] == "`````"


# ---- the three files --------------------------------------------------------------------------------------------------------


def test_the_schema_is_a_schema_and_strict(whole: dict[str, Any]) -> None:
    jsonschema.Draft202012Validator.check_schema(disk.contract(page.CONTRACT))
    disk.check(whole, page.CONTRACT)
    with pytest.raises(SchemaInvalid, match="surprise"):
        disk.check({**whole, "surprise": 1}, page.CONTRACT)


def test_an_invalid_report_is_not_written(whole: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(SchemaInvalid):
        report.write({**whole, "schema_version": 2}, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_written(whole: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SkillBankError, match="cannot be written") as error:
        report.write(whole, tmp_path / "file" / "out")
    assert error.value.exit_code == 7


def test_json_is_strict_and_writing_repeats(whole: dict[str, Any], written: dict[str, Path], tmp_path: Path) -> None:
    def refuse(word: str) -> None:
        raise AssertionError(word)

    json.loads(written["json"].read_text(encoding="utf-8"), parse_constant=refuse)
    before = {kind: path.read_bytes() for kind, path in written.items()}
    report.write(whole, written["json"].parent)
    assert {kind: path.read_bytes() for kind, path in written.items()} == before
    assert {p.name for p in written["json"].parent.iterdir()} == {"report.json", "report.md", "report.html"}


def test_the_page_is_self_contained_and_accessible(written: dict[str, Path]) -> None:
    source = page_of(written)
    seen = parsed(source)
    assert source.startswith("<!doctype html>")
    assert not re.search(r"https?://|url\(|@import", source)
    assert not [a for _, at in seen.tags for a in ("src", "href") if a in at and not str(at[a]).startswith("#")]
    ids = [at["id"] for _, at in seen.tags if "id" in at]
    assert len(ids) == len(set(ids))
    assert all(str(at["href"])[1:] in ids for tag, at in seen.tags if tag == "a")
    assert all(at.get("aria-labelledby") in ids for tag, at in seen.tags if tag in ("section", "article"))
    tags = [tag for tag, _ in seen.tags]
    assert tags.count("h1") == 1
    assert tags.count("table") == tags.count("caption")
    assert all(at.get("role") == "img" and at.get("aria-label") for tag, at in seen.tags if tag == "svg")
    assert all("scope" in at for tag, at in seen.tags if tag == "th")
    assert "prefers-color-scheme: dark" in source
    assert "@media print" in source


def test_the_drawings_are_well_formed(written: dict[str, Path]) -> None:
    drawings = re.findall(r"<svg.*?</svg>", page_of(written), re.DOTALL)
    assert len(drawings) == 3 + 1 + len(SPACE) + 1  # curves, history, value by setting, parallel coordinates
    for drawing in drawings:
        root = ET.fromstring(drawing)
        for element in root.iter():
            for name in ("x", "y", "cx", "cy", "x1", "x2", "y1", "y2"):
                assert -20 <= float(element.get(name, "0")) <= float(str(root.get("viewBox")).split()[2]) + 20


def test_the_markdown_tables_are_tables(written: dict[str, Path]) -> None:
    lines = written["md"].read_text(encoding="utf-8").splitlines()
    for before, rule, after in zip(lines, lines[1:], lines[2:], strict=False):
        if re.fullmatch(r"[|:-]+", rule):
            bars = {len(re.findall(r"(?<!\\)\|", line)) for line in (before, rule, after)}
            assert len(bars) == 1, before


# ---- numbers, words, charts -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("say", "value", "said"),
    [
        (words.number, 0.000031, "3.1e-5"),
        (words.number, 3100938, "3\u2009100\u2009938"),
        (words.number, 2.0, "2"),
        (words.number, None, "–"),
        (words.number, "walk", "walk"),
        (words.percent, 92.5, "92.5\u00a0%"),
        (words.percent, 100.0, "100\u00a0%"),
        (words.percent, 99.96, "100.0\u00a0%"),
        (words.share, 0.075, "7.5\u00a0%"),
        (words.seconds, 6.25, "6.2 s"),
        (words.seconds, 289, "4 min 49 s"),
        (words.seconds, 7320, "2 h 02 min"),
        (words.size, 12_431_220, "12.4 MB"),
        (words.moment, "2026-11-22T14:20:00.5Z", "2026-11-22 14:20:00 UTC"),
        (words.moment, "soon", "soon"),
        (words.budget, {"trials": 8, "seconds": 600}, "8 trials or 10 min 00 s"),
        (words.source, "inferred:parent_model", "inferred by parent_model"),
        (words.together, ["a", "b", "c"], "a, b and c"),
    ],
)
def test_words(say: Any, value: Any, said: str) -> None:
    assert say(value) == said


def test_a_perfect_score_has_an_interval_that_is_not_a_point() -> None:
    interval = results._wilson(100.0, 12)
    assert interval is not None
    assert interval[1] == pytest.approx(100)
    assert interval[0] < 80


@pytest.mark.parametrize("log", [True, False])
@pytest.mark.parametrize("values", [[0.1], [0.1, 0.1], [1e-6, 1e-2], [3.0, 300.0], [0.2, 0.21]])
def test_axes_hold_all_points_and_have_ticks(values: list[float], log: bool) -> None:
    points = list(enumerate(values))
    drawn = charts.chart(
        "t", [charts.Series("s", "val", [(float(x), y) for x, y in points])], x_label="x", y_label="y", log_y=log
    )
    assert drawn
    assert drawn["y_ticks"]
    assert all(charts.TOP <= d["y"] <= charts.HEIGHT - charts.BOTTOM for line in drawn["lines"] for d in line["dots"])


def test_a_long_training_is_thinned_and_keeps_its_end() -> None:
    points = [(float(x), 1 / (x + 1)) for x in range(10_001)]
    drawn = charts.chart("t", [charts.Series("s", "val", points)], x_label="epoch", y_label="loss")
    assert drawn
    assert drawn["lines"][0]["path"].count("L") < 2 * charts.MOST_POINTS
    assert "at epoch 10\u2009000" in drawn["says"]


def test_nothing_to_draw_is_no_chart() -> None:
    assert charts.chart("t", [charts.Series("s", "val", [(0.0, None)])], x_label="x", y_label="y") is None


def test_importing_the_report_loads_nothing_heavy() -> None:
    heavy = ("jinja2", "matplotlib", "numpy", "torch", "jsonschema_rs", "yaml")
    code = f"import sys, runner.report; print([m for m in {heavy} if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"


# ---- what was noticed in the data -------------------------------------------------------------------------------------------


def finding(level: str, text: str, split: str = "val", samples: tuple[str, ...] = (), n: int | None = None) -> dict[str, Any]:
    return {"level": level, "code": "x", "split": split, "text": text, "count": n or len(samples), "samples": list(samples)}


def checked(ws: Workspace, job: str, inspection: object) -> None:
    artifacts = ws.records[job]["artifacts"]
    told = json.loads(Path(artifacts["data_facts"]).read_text()) if "data_facts" in artifacts else {}
    artifacts["data_facts"] = ws.file(job, "data_facts.json", {**told, "inspection": inspection})


def test_data_checks_are_told_once_the_worst_first(tmp_path: Path) -> None:
    ws = pipeline(tmp_path / "w")
    jump = finding("warning", "1 test sequence in which a joint jumps", "test", ("walk <b>7</b> (nose)",))
    leak = finding("error", "30 of 40 test sequences are copies", "test", tuple(f"t{i} = s{i}" for i in range(30)))
    checked(ws, "pose_classification-evaluate-e1", [jump, leak, finding("note", "often missing: nose", "test")])
    checked(ws, "pose_classification-inference-i1", [jump])
    built = ws.build()
    assert [entry["job"] for entry in built["checks"]] == [
        "pose_classification-evaluate-e1",
        "pose_classification-inference-i1",
    ]
    found = [f for entry in built["checks"] for f in entry["findings"]]
    assert [f["jobs"] for f in found] == [
        ["pose_classification-evaluate-e1", "pose_classification-inference-i1"],
        ["pose_classification-evaluate-e1"],
        ["pose_classification-evaluate-e1"],
    ]
    assert "Data check: 30 of 40 test sequences are copies." in built["notes"]
    files = report.write(built, tmp_path / "out")
    text, page = files["md"].read_text(), page_of(files)
    assert text.index("30 of 40 test") < text.index("a joint jumps") < text.index("often missing")
    for shown in (text.split("## Data checks")[1], html_text(page).split("Data checks")[-1]):
        assert "Looked at before evaluate and inference." in shown
        assert "t0 = s0" in shown
        assert "t25 = s25" not in shown
    assert "<b>7" not in page
    assert "and 10 more" in html_text(page)


def test_that_nothing_was_noticed_is_said_and_that_nobody_looked_is_not(tmp_path: Path) -> None:
    ws = pipeline(tmp_path / "w")
    assert ws.build()["checks"] == []
    assert "Data checks" not in page_of(report.write(ws.build(), tmp_path / "none"))
    checked(ws, "pose_classification-evaluate-e1", [])
    files = report.write(ws.build(), tmp_path / "out")
    assert "Looked at before evaluate; nothing was noticed." in files["md"].read_text()
    assert "Looked at before evaluate; nothing was noticed." in html_text(page_of(files))


@pytest.mark.parametrize(
    "inspection",
    [
        {},
        7,
        [1, None],
        [{}],
        [{"level": "fatal", "text": 3, "count": "many", "samples": {"a": 1}, "split": ["x"]}],
        [{"count": -1}],
    ],
)
def test_checks_that_say_nothing_readable_break_nothing(tmp_path: Path, inspection: object) -> None:
    ws = pipeline(tmp_path / "w")
    checked(ws, "pose_classification-evaluate-e1", inspection)
    report.write(ws.build(), tmp_path / "out")
