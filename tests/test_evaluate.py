"""Evaluation of a checkpoint and of an ONNX-less torch model: numbers, files, and what is refused."""

from __future__ import annotations

import csv
import hashlib
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
    lines = [line for line in status_lines(tmp_path / "evaluate") if not str(line["message"]).startswith("data check: ")]
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


# --- numbers one can trust ---

CALIBRATED = {"temperature": 2.5, "unknown_threshold": 0.6}


def calibrated(path: Path, **more: object) -> Path:
    """The checkpoint with what a calibration leaves in it."""
    content = torch.load(path, weights_only=True)
    content["pose_classification"] |= CALIBRATED | more
    torch.save(content, path)
    return path


def softmax(logits: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    return torch.softmax(torch.tensor(logits).double() / temperature, dim=1).numpy()


def test_a_model_without_temperature_is_as_before(tmp_path: Path) -> None:
    result = evaluate.run(make_spec(tmp_path))
    metrics = result["metrics"]
    assert not {"temperature", "calibrated_loss", "ece_uncalibrated", "unknown"} & metrics.keys()
    with torch.no_grad():
        probs = softmax(network()(torch.from_numpy(sequences(7, seed=3)[0])).numpy())
    lines = [json.loads(line) for line in Path(result["artifacts"]["predictions"]).read_text().splitlines()]
    assert [line["probability"] for line in lines] == pytest.approx(probs.max(axis=1).tolist(), rel=1e-5)
    low, high = metrics["accuracy_interval"]
    assert low <= metrics["accuracy"] <= high
    assert high - low > 20  # seven sequences say little
    assert metrics["interval_method"]["name"] == "Wilson"


def test_a_temperature_changes_the_probabilities_and_nothing_else(tmp_path: Path) -> None:
    plain = evaluate.run(make_spec(tmp_path / "plain"))
    spec = make_spec(tmp_path / "cold")
    calibrated(tmp_path / "cold" / "model.pth")
    result = evaluate.run(spec)
    metrics = result["metrics"]
    for same in ("loss", "accuracy", "avg_accuracy", "top5_accuracy", "accuracy_interval"):
        assert metrics[same] == plain["metrics"][same]
    data, labels = sequences(7, seed=3)
    with torch.no_grad():
        logits = network()(torch.from_numpy(data))
    expected = torch.nn.functional.cross_entropy(logits / 2.5, torch.tensor(labels)).item()
    assert metrics["calibrated_loss"] == pytest.approx(expected, rel=1e-5)
    assert metrics["ece_uncalibrated"] == pytest.approx(plain["metrics"]["ece"])
    assert metrics["ece"] != metrics["ece_uncalibrated"]
    lines, before = (
        [json.loads(line) for line in Path(r["artifacts"]["predictions"]).read_text().splitlines()] for r in (result, plain)
    )
    assert [line["predicted"] for line in lines] == [line["predicted"] for line in before]
    probs = softmax(logits.numpy(), 2.5)
    assert [line["probability"] for line in lines] == pytest.approx(probs.max(axis=1).tolist(), rel=1e-5)
    assert metrics["unknown"]["threshold"] == 0.6
    assert metrics["unknown"]["called"] == pytest.approx(100 * (probs.max(axis=1) < 0.6).mean())


@pytest.mark.parametrize(
    "wrong", [{"temperature": 0.0}, {"temperature": float("nan")}, {"unknown_threshold": 2}, {"temperature": "1"}]
)
def test_a_calibration_that_is_none_is_refused(tmp_path: Path, wrong: dict) -> None:
    spec = make_spec(tmp_path)
    calibrated(tmp_path / "model.pth", **wrong)
    with pytest.raises(errors.CheckpointError, match=f"its {next(iter(wrong))} is .*allowed"):
        evaluate.run(spec)


@pytest.mark.parametrize("split", ["train", "val", None])
def test_data_of_the_training_is_recognised_by_its_content(
    tmp_path: Path, split: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    spec = make_spec(tmp_path)
    own = hashlib.sha256((tmp_path / "test_data.npy").read_bytes()).hexdigest()
    known = {
        name: {"sequences": 9, "per_class": dict.fromkeys(LABEL_MAP, 3), "sha256": ["0" * 64]} for name in ("train", "val")
    }
    if split:
        known[split]["sha256"].append(own)
    calibrated(tmp_path / "model.pth", trained_on=known)
    assert evaluate.run(spec)["metrics"]["seen_in_training"] == split
    assert ("figures" in caplog.text) is (split is not None)


def test_hints_know_how_many_sequences_a_class_was_trained_on(tmp_path: Path) -> None:
    spec = make_spec(tmp_path)
    counts = {"still": 2, "wave": 2, "fall": 2}
    plain = evaluate.run(spec)["metrics"]
    worst = plain["hints"][0]["class"]
    counts |= {name: 40 for name in counts if name != worst}
    calibrated(tmp_path / "model.pth", trained_on={"train": {"sequences": 82, "per_class": counts, "sha256": []}})
    says = evaluate.run(spec)["metrics"]["hints"][0]["says"]
    assert any(text.startswith("few training sequences: 2, where the class in the middle has 40") for text in says)
    assert plain["confused"][0]["count"] >= 1
