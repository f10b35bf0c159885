"""The test set chooses nothing: training neither knows nor opens it, and leaves the same model whatever lies in its place."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import ROOT
from test_report import Workspace
from trainer_cases import sequences, train_spec, write_set

from runner import bank, plan, report
from stgcn import calibration, config, evaluate, metrics, predict

TRAINED = """
import json, sys
opened = []
sys.addaudithook(lambda event, details: opened.append(str(details[0])) if event == "open" else None)
from stgcn import train
for spec in json.load(sys.stdin):
    opened.clear()
    print(json.dumps([train.run(spec), sorted(set(opened))]))
"""


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[dict[str, Any], dict[str, Any], list[str]]]:
    """The same training, with all that chooses on the validation set: without a test set beside the data, with one, with
    another. Of each the model file, the result, and every file that was opened."""
    made = []
    for turn, seed in enumerate((None, 7, 8)):
        folder = tmp_path_factory.mktemp(f"run{turn}")
        spec = train_spec(folder, folder / "out", num_epochs=3, calibrate=True, early_stopping=2, label_smoothing=0.1)
        spec["model"] |= {"width": 8, "stages": [1, 1]}
        made.append(spec)
        if seed is not None:
            write_set(folder, "test", 6, seed=seed)
    done = subprocess.run(
        [sys.executable, "-c", TRAINED],
        input=json.dumps(made),
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    found = [json.loads(line) for line in done.stdout.splitlines()[-3:]]
    return [(torch.load(told["artifacts"]["checkpoint"], weights_only=True), told, opened) for told, opened in found]


def test_the_model_is_the_same_without_with_and_with_another_test_set(runs: list[Any]) -> None:
    (first, told, _), *others = runs
    assert 0 < first["pose_classification"]["temperature"] != 1
    for content, result, _ in others:
        for name, tensor in first["state_dict"].items():
            assert torch.equal(tensor, content["state_dict"][name]), name
        for key in ("temperature", "unknown_threshold", "epoch", "step", "metrics", "trained_on"):
            assert content["pose_classification"][key] == first["pose_classification"][key], key
        assert [Path(c["path"]).name for c in result["checkpoints"]] == [Path(c["path"]).name for c in told["checkpoints"]]


def test_training_opens_no_file_of_the_test_set(runs: list[Any]) -> None:
    for _, _, opened in runs:
        names = {Path(path).name for path in opened}
        assert {"train_data.npy", "val_data.npy", "train_label.pkl", "val_label.pkl"} <= names  # the hook sees them
        assert not {name for name in names if name.startswith("test_data") or name.startswith("test_label")}


def test_nothing_that_training_is_made_of_reads_a_test_set() -> None:
    """Of the modules that `stgcn.train` imports, directly or not, none names the setting that holds a test set."""
    todo, seen = ["stgcn.train"], set()
    while todo:
        name = todo.pop()
        path = ROOT / (name.replace(".", "/") + ".py")
        path = path if path.is_file() else ROOT / name.replace(".", "/") / "__init__.py"
        if name in seen or name == "stgcn" or not path.is_file():  # the package itself loads what it offers when it is used
            continue
        seen.add(name)
        tree = ast.parse(path.read_text())
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("stgcn"):
                todo += [str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)]
            named = node.attr if isinstance(node, ast.Attribute) else node.value if isinstance(node, ast.Constant) else None
            if name != "stgcn.config":  # which declares it, for evaluate and inference
                assert named not in ("test_dataset", "test_data.npy"), f"{name}:{getattr(node, 'lineno', 0)}"
    assert {"stgcn.module", "stgcn.data", "stgcn.calibration", "stgcn.fit"} <= seen
    assert not {"stgcn.predict", "stgcn.evaluate"} & seen
    assert not hasattr(config.TrainSpec().train, "test_dataset")


def test_the_runner_gives_training_no_test_set(tmp_path: Path) -> None:
    for split in ("train", "val", "test"):
        write_set(tmp_path, split, 3, seed=1)
    action = bank.get("tao-train-pose-classification").action("train")
    assert not any("test" in key for key in (*action.inputs, *action.data_sources, *action.spec_params))
    made = plan.make(
        plan.Request(tmp_path / "ws", "tao-train-pose-classification", "train", dataset=str(tmp_path), automl="on")
    )
    assert "test_" not in json.dumps([made.spec, made.inputs], default=str).replace(str(tmp_path), "")
    assert made.skill.automl_metric == "val_loss"


def test_what_evaluation_makes_of_the_model_is_what_its_checkpoint_says(runs: list[Any], tmp_path: Path) -> None:
    """From training to evaluation: the temperature of the validation set, and the word that data was seen."""
    content, result, _ = runs[0]
    about = content["pose_classification"]
    checkpoint = result["artifacts"]["checkpoint"]
    for split, count, seed, seen in (("test", 6, 9, None), ("val", 3, 2, "val"), ("train", 9, 1, "train")):
        spec = {
            "results_dir": str(tmp_path / split),
            "evaluate": {"checkpoint": checkpoint, "test_dataset": write_set(tmp_path / split, "x", count, seed=seed)},
        }
        told = evaluate.run(spec)["metrics"]
        assert told["temperature"] == about["temperature"]
        assert told["unknown"]["threshold"] == about["unknown_threshold"]
        assert told["seen_in_training"] == seen
    assert told["loss"] != told["calibrated_loss"]
    data, labels = sequences(3, seed=2)
    predictor = predict.load(checkpoint, config.Model(), config.Dataset())
    logits = predict.run_over(predictor, data, 3)
    assert calibration.fit_temperature(logits, labels) == pytest.approx(about["temperature"], rel=1e-3)
    assert about["trained_on"]["train"]["per_class"] == {"still": 3, "wave": 3, "fall": 3}


# --- the report ---


@pytest.fixture
def reported(tmp_path: Path) -> Any:
    """A report of a training and of an evaluation whose metrics.json is given."""
    ws = Workspace(tmp_path)

    def made(metrics: Any, **training: Any) -> tuple[dict[str, Any], dict[str, str]]:
        ws.job("p-train-1", "train", metrics={"val_loss": 0.3, "val_acc": 0.9, "best_epoch": 1, **training})
        artifacts = {"metrics": ws.file("p-evaluate-1", "metrics.json", metrics)}
        ws.job("p-evaluate-1", "evaluate", parent_job="p-train-1", artifacts=artifacts)
        built = ws.build()
        return built, {name: path.read_text() for name, path in report.write(built, tmp_path / "out").items()}

    return made


STREAMED = "the checkpoint, the weights of the streams and the temperature"


def measured(right: int = 90, wrong: int = 10) -> dict[str, Any]:
    """What evaluate says of a calibrated model of two classes."""
    labels = np.arange(right + wrong) % 2
    logits = 3.0 * np.eye(2)[np.where(np.arange(right + wrong) < right, labels, 1 - labels)]
    counted = metrics.confusion(labels, logits.argmax(axis=1), 2)
    names = ["wave|d", "fall"]
    described = {"temperature": 1.5, "unknown_threshold": 0.7}
    probs = calibration.softmax(logits, 1.5)
    return {
        **metrics.summary(counted, names, probs, labels),
        **metrics.intervals(counted),
        **evaluate.trust(logits, labels, described),
        "hints": [{"class": "wave|d", "recall": 40.0, "says": ["taken for fall in 5 of 6 misses", "only 10 test sequences"]}],
        "seen_in_training": None,
    }


def test_the_report_says_how_far_the_numbers_can_be_believed(reported: Any) -> None:
    told = measured()
    built, files = reported(told)
    (evaluation,) = built["evaluations"]
    assert evaluation["accuracy_interval"] == told["accuracy_interval"]
    assert evaluation["avg_accuracy_interval"] == built["figures"]["avg_accuracy_interval"] == told["avg_accuracy_interval"]
    assert evaluation["interval_method"] == "bootstrap, 10\u2009000 resamples within each class"
    assert evaluation["calibration"]["ece"] == told["ece"]
    assert evaluation["calibration"]["temperature"] == 1.5
    assert sum(entry["sequences"] for entry in evaluation["calibration"]["bins"]) == 100
    assert evaluation["unknown"]["threshold"] == 0.7
    assert evaluation["hints"] == told["hints"]
    (note,) = [
        note for note in built["notes"] if note.startswith("The validation set chose the checkpoint and the temperature, so")
    ]
    assert note.endswith("flatters; the test accuracy is the number to trust.")
    assert any("taken for fall in 5 of 6 misses" in note for note in built["notes"])
    assert "Expected calibration error" in files["md"]
    assert "Expected calibration error" in files["html"]
    assert 'aria-label="Calibration of 100 answers' in files["html"]
    assert "`wave\\|d`" in files["md"]


def test_no_test_accuracy_no_number_to_trust(tmp_path: Path) -> None:
    ws = Workspace(tmp_path)
    ws.job("p-train-1", "train", metrics={"val_loss": 0.3, "val_acc": 0.9, "best_epoch": 1})
    (note,) = [note for note in ws.build()["notes"] if "chose" in note]
    assert note.endswith("flatters; evaluate on a test set for a number to trust.")


@pytest.mark.parametrize(
    ("select", "told", "chose"),
    [
        ("best", {}, "the checkpoint"),
        ("last", {}, ""),
        ("last", {"temperature": 2.0}, "the temperature"),
        ("best", {"temperature": 2.0, "streams": {"joint": 50.0, "bone": 60.0}}, STREAMED),
    ],
)
def test_what_the_validation_set_chose(tmp_path: Path, select: str, told: dict, chose: str) -> None:
    """The last epoch as the model is nobody's choice."""
    ws = Workspace(tmp_path)
    ws.job(
        "p-train-1",
        "train",
        metrics={"val_loss": 0.3, "val_acc": 0.9, "best_epoch": 1},
        spec={"train": {"select": select}},
        sources={"train.select": "user"},
    )
    measures = {**measured(), "streams": told.get("streams", {}), "temperature": told.get("temperature")}
    ws.job("p-evaluate-1", "evaluate", parent_job="p-train-1", metrics=measures)
    found = [
        note.partition("chose ")[2].partition(", so")[0] for note in ws.build("p-evaluate-1")["notes"] if " chose " in note
    ]
    assert found == ([chose] if chose else [])


def test_data_seen_in_training_is_said_though_the_training_is_not_in_the_report(tmp_path: Path) -> None:
    ws = Workspace(tmp_path)
    artifacts = {"metrics": ws.file("p-evaluate-1", "metrics.json", {**measured(), "seen_in_training": "train"})}
    ws.job("p-evaluate-1", "evaluate", artifacts=artifacts)
    assert any(note.startswith("The test data is data the model was trained on") for note in ws.build()["notes"])


@pytest.mark.parametrize(
    "change",
    [
        {"accuracy_interval": [90, 80]},
        {"accuracy_interval": "wide", "interval_method": 3},
        {"reliability": [3, {"from": "a", "sequences": -1}], "ece": 1e9},
        {"ece": 5.0, "reliability": {"a": 1}},
        {"unknown": {"threshold": "0.5"}, "hints": [1, {"class": 3, "says": "x"}]},
        {"seen_in_training": ["val"], "hints": {"a": 1}},
    ],
)
def test_metrics_that_say_nonsense_are_not_believed(reported: Any, change: dict[str, Any]) -> None:
    built, _ = reported({**measured(), **change})
    (evaluation,) = built["evaluations"]
    low, high = evaluation["accuracy_interval"]
    assert low <= 90 <= high
