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

from runner import report
from runner.errors import SchemaInvalid, SkillBankError, UnknownJob
from runner.report import charts, page, results, text, words

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
            {"number": number, "job_id": own, "state": record["state"], "params": params, "value": value, "error": message, "seconds": 33.5}
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


def add_evaluate(ws: Workspace, parent: str, job: str = "pose_classification-evaluate-e1", names: tuple[str, ...] = CLASSES) -> dict[str, Any]:
    metrics = evaluation_metrics(names)
    with_names = [["truth\\predicted", *names], *([n, *map(str, row)] for n, row in zip(names, CONFUSION, strict=True))]
    path = Path(ws.file(job, "confusion_matrix.csv", ""))
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(with_names)
    lines = [
        {"name": "sitting_down_p03_007", "label": names[0], "predicted": names[2], "probability": 0.981},
        {"name": "getting_up_p03_001", "label": names[1], "predicted": names[0], "probability": 0.74},
        {"name": "walking_p04_004", "label": names[4], "predicted": names[4], "probability": 0.999},
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


def add_export(ws: Workspace, parent: str, job: str = "pose_classification-export-e2", difference: float = 3.1e-6) -> dict[str, Any]:
    parity = {"max_abs_diff": difference, "tolerance": 1e-4, "cases": [{"input_shape": [1, 3, 60, 34, 1], "max_abs_diff": difference}]}
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
        artifacts={"predictions": ws.file(job, "results.txt", "walking\n"), "predictions_jsonl": ws.file(job, "results.jsonl", "{}")},
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
