"""Evaluation of a checkpoint and of an ONNX-less torch model: numbers, files, and what is refused."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from trainer_cases import LABEL_MAP, network, sequences, status_lines, write_checkpoint, write_set

from stgcn import errors, evaluate


def make_spec(folder: Path, **own: object) -> dict:
    checkpoint = write_checkpoint(folder / "model.pth")
    test = write_set(folder, "test", 7, seed=3)
    return {"results_dir": str(folder), "evaluate": {"checkpoint": str(checkpoint), "test_dataset": test, **own}}


def test_numbers_and_files(tmp_path: Path) -> None:
    spec = make_spec(tmp_path, batch_size=3)
    result = evaluate.run(spec)
    data, labels = sequences(7, seed=3)
    with torch.no_grad():
        logits = network()(torch.from_numpy(data))
    metrics = result["metrics"]
    assert metrics["loss"] == pytest.approx(torch.nn.functional.cross_entropy(logits, torch.tensor(labels)).item(), rel=1e-5)
    assert metrics["accuracy"] == pytest.approx(100 * np.mean(logits.argmax(1).numpy() == labels))
    assert metrics["top5_accuracy"] == 100.0
    assert metrics["sequences"] == 7
    folder = tmp_path / "evaluate"
    assert json.loads((folder / "metrics.json").read_text()) == metrics
    with open(result["artifacts"]["confusion_matrix"], newline="") as file:
        table = list(csv.reader(file))
    assert table[0][1:] == list(LABEL_MAP)
    assert sum(int(cell) for row in table[1:] for cell in row[1:]) == 7
    assert Path(result["artifacts"]["confusion_matrix_png"]).read_bytes().startswith(b"\x89PNG")
    lines = [json.loads(line) for line in (folder / "predictions.jsonl").read_text().splitlines()]
    assert [line["truth"] for line in lines] == [list(LABEL_MAP)[i] for i in labels]
    assert [line["sample"] for line in lines] == [f"test_{i}" for i in range(7)]
    assert all(Path(path).exists() for path in result["artifacts"].values())


def test_status(tmp_path: Path) -> None:
    result = evaluate.run(make_spec(tmp_path))
    lines = status_lines(tmp_path / "evaluate")
    assert [line["status"] for line in lines] == ["STARTED", "RUNNING", "RUNNING", "SUCCESS"]
    assert lines[1]["message"].startswith("Loading checkpoint: ")
    assert lines[2]["kpi"] == {k: round(result["metrics"][k], 2) for k in ("accuracy", "avg_accuracy")}


@pytest.mark.parametrize("batch_size", [1, 4, 100, -1])
def test_the_batch_size_changes_nothing(tmp_path: Path, batch_size: int) -> None:
    spec = make_spec(tmp_path, batch_size=batch_size)
    spec["dataset"] = {"batch_size": 2}
    whole = evaluate.run(make_spec(tmp_path / "other"))["metrics"]
    assert evaluate.run(spec)["metrics"]["loss"] == pytest.approx(whole["loss"], rel=1e-5)


def test_pretrained_weights_are_not_loaded(tmp_path: Path) -> None:
    spec = make_spec(tmp_path)
    spec["model"] = {"pretrained_model_path": str(tmp_path / "nowhere.pth")}
    assert evaluate.run(spec)["metrics"]["sequences"] == 7


@pytest.mark.parametrize(
    ("change", "kind", "words"),
    [
        ({"trt_engine": "model.engine"}, errors.SpecError, "trt_engine is not supported"),
        ({"checkpoint": "???"}, errors.SpecError, "evaluate.checkpoint is empty"),
        ({"checkpoint": "nowhere.pth"}, errors.CheckpointError, "does not exist"),
        ({"batch_size": 0}, errors.SpecError, "batch_size is 0"),
        ({"num_nodes": 2}, errors.SpecError, "only 1 machine"),
        ({"label_path": ""}, errors.DataError, "label"),
        ({"data_path": ""}, errors.DataError, "no data_path is set"),
    ],
)
def test_wrong_input(tmp_path: Path, change: dict, kind: type[errors.TrainerError], words: str) -> None:
    spec = make_spec(tmp_path)
    for key, value in change.items():
        inner = spec["evaluate"]["test_dataset"] if key.endswith("_path") else spec["evaluate"]
        inner[key] = value
    with pytest.raises(kind) as caught:
        evaluate.run(spec)
    assert words in str(caught.value)
    assert status_lines(tmp_path / "evaluate")[-1]["status"] == "FAILURE"
    assert not (tmp_path / "evaluate" / "metrics.json").exists()


def test_a_diverged_model_is_not_evaluated(tmp_path: Path) -> None:
    spec = make_spec(tmp_path)
    content = torch.load(tmp_path / "model.pth", weights_only=True)
    content["state_dict"]["model.fcn.bias"][0] = float("nan")
    torch.save(content, tmp_path / "model.pth")
    with pytest.raises(errors.CheckpointError, match="its training diverged"):
        evaluate.run(spec)
