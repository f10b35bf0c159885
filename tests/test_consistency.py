"""What settings say about one another: one set of rules for plan and job, light enough for the plan, all said at once."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import ROOT

from runner import bank, checks, plan
from runner import spec as specs
from runner.errors import SchemaInvalid, SpecInvalid
from stgcn import config, consistency, errors, files, train
from stgcn.consistency import heads
from stgcn.graph import LAYOUTS

SKILL = "tao-train-pose-classification"
ON = {"dataset.augmentation.enabled": True}
ONE_CYCLE = {"train.optim.lr_scheduler": "OneCycle"}
# Settings over TAO's defaults, and the keys of what is wrong with them.
WRONG: dict[str, tuple[dict[str, Any], list[str]]] = {
    "width": ({"model.model_type": "Sep-GCN", "model.width": 30}, ["model.width"]),
    "branches": ({"model.model_type": "ST-GCN++", "model.width": 4}, ["model.width"]),
    "stages": ({"model.stages": [2, 0]}, ["model.stages"]),
    "channels": ({"model.stages": [1] * 8, "model.width": 128}, ["model.width"]),
    "edges": ({"model.model_type": "CTR-GCN", "model.edge_importance_weighting": False}, ["model.edge_importance_weighting"]),
    "fusion": ({"dataset.stream_fusion": "input"}, ["dataset.stream_fusion"]),
    "streams": ({"dataset.streams": ["bone", "bone"]}, ["dataset.streams"]),
    "classes": ({"dataset.num_classes": 2, "dataset.label_map": {"a": 0, "b": 2}}, ["dataset.label_map"]),
    "score": ({"dataset.preparation.confidence_channel": 3}, ["dataset.preparation.confidence_channel"]),
    "weak joints": ({"dataset.preparation.min_confidence": 0.5}, ["dataset.preparation.min_confidence"]),
    "view": ({"dataset.preparation.view": "frontal", "model.input_channels": 2}, ["dataset.preparation.view"]),
    "view of a hand": ({"dataset.preparation.view": "frontal", "model.graph_layout": "hand_21"}, ["dataset.preparation.view"]),
    "mirror of a hand": (
        {**ON, "dataset.augmentation.mirror": 0.5, "model.graph_layout": "hand_21"},
        ["dataset.augmentation.mirror"],
    ),
    "no mirror": ({**ON, "dataset.augmentation.mirror": -0.5}, ["dataset.augmentation.mirror"]),
    "one coordinate": (
        {**ON, "model.input_channels": 1},
        ["dataset.augmentation.rotation", "dataset.augmentation.scale"],
    ),
    "alone": ({**ON, "dataset.batch_size": 1, "dataset.augmentation.cutmix": 1.0}, ["dataset.augmentation.cutmix"]),
    "nothing": (
        {**ON, "dataset.augmentation.rotation": 0.0, "dataset.augmentation.scale": 0.0},
        ["dataset.augmentation.enabled"],
    ),
    "shift": (
        {**ON, "dataset.augmentation.shift": 0.1, "dataset.preparation.center": "body"},
        ["dataset.augmentation.shift"],
    ),
    "folds": ({"dataset.folds": 1}, ["dataset.folds"]),
    "fold": ({"dataset.fold": 2}, ["dataset.fold"]),
    "fold beyond": ({"dataset.folds": 3, "dataset.fold": 3}, ["dataset.fold"]),
    "draw": ({"dataset.draw_at_most": 0}, ["dataset.draw_at_most"]),
    "draw less": ({"dataset.draw_at_most": 5, "dataset.repeat_to": 9}, ["dataset.draw_at_most"]),
    "rate": ({**ONE_CYCLE, "train.optim.min_lr": 0.5}, ["train.optim.min_lr"]),
    "warm-ups": ({**ONE_CYCLE, "train.optim.warmup_epochs": 2, "train.optim.warmup_share": 0.1}, ["train.optim.warmup_epochs"]),
    "warm-up": ({**ONE_CYCLE, "train.optim.warmup_epochs": 10}, ["train.optim.warmup_epochs"]),
    "factor": ({"train.optim.lr_scheduler": "AutoReduce", "train.optim.lr_decay": 1.0}, ["train.optim.lr_decay"]),
    "selection": ({"train.early_stopping": 3, "train.select": "last"}, ["train.early_stopping"]),
    "frozen": ({"train.freeze_epochs": 2, "train.layer_decay": 0.5}, ["train.freeze_epochs", "train.layer_decay"]),
    "machines": ({"train.num_nodes": 2}, ["train.num_nodes"]),
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    for split in ("train", "val"):
        np.save(folder / f"{split}_data.npy", np.zeros((2, 3, 4, 34, 1), np.float32))
        (folder / f"{split}_label.pkl").write_bytes(b"")
    return folder


def spec_of(settings: dict[str, Any]) -> dict[str, Any]:
    spec: dict[str, Any] = files.plain(dataclasses.asdict(config.TrainSpec()))
    for key, value in settings.items():
        assert specs.has(spec, key)
        specs.set_(spec, key, value)
    return spec


@pytest.mark.parametrize("name", WRONG)
def test_plan_and_job_refuse_the_same_in_the_same_words(name: str, data: Path) -> None:
    settings, keys = WRONG[name]
    spec = spec_of(settings)
    found = consistency.look(spec)["problems"]
    assert [one["key"] for one in found] == keys
    leaves = bank.get(SKILL).schema("train").leaves()
    assert {key for one in found for key in (one["key"], *one["others"], *dict(one["ways"]))} <= leaves.keys()
    with pytest.raises(errors.SpecError) as job:
        train.check_spec(config.from_dict(config.TrainSpec, spec))
    assert job.value.problems == [f"{one['key']} {one['says']}" for one in found]
    words = tuple(f"{key}={json.dumps(value)}" for key, value in settings.items())
    request = plan.Request(data / "ws", SKILL, "train", dataset=str(data), automl="off", overrides=words, recipe="none")
    with pytest.raises(SpecInvalid) as planned:
        plan.make(request)
    assert [(problem.path, problem.says) for problem in planned.value.problems] == [(one["key"], one["says"]) for one in found]


@pytest.mark.parametrize(
    "name", [name for name, (settings, _) in WRONG.items() if consistency.look(spec_of(settings))["problems"][0]["ways"]]
)
def test_every_way_out_leads_out(name: str) -> None:
    for key, value in consistency.look(spec_of(WRONG[name][0]))["problems"][0]["ways"]:
        left = [one["key"] for one in consistency.look(spec_of({**WRONG[name][0], key: value}))["problems"]]
        assert left in (WRONG[name][1][1:], ["dataset.augmentation.enabled"])  # which is off when nothing is left on


def test_plan_says_all_at_once_beside_what_the_schema_says(data: Path) -> None:
    words = ("model.dropout=7", "model.model_type=Sep-GCN", "model.width=30", "dataset.fold=2", "train.optim.lr_steps=no")
    request = plan.Request(data / "ws", SKILL, "train", dataset=str(data), automl="off", overrides=words, recipe="none")
    with pytest.raises(SpecInvalid) as caught:
        plan.make(request)
    paths = [problem.path for problem in caught.value.problems]
    assert sorted(paths) == ["dataset.fold", "model.dropout", "model.width", "train.optim.lr_steps"]


def test_a_series_is_asked_about_its_trainings(data: Path) -> None:
    request = plan.Request(data / "ws", SKILL, "train", dataset=str(data), overrides=("dataset.fold_by=class",))
    with pytest.raises(SpecInvalid, match=r"dataset\.fold_by: has no effect without dataset\.folds"):
        plan.make(request)
    assert plan.make(request._replace(folds=3)).series is not None


def test_taos_command_line_asks_too(data: Path) -> None:
    skill = bank.get(SKILL)
    request = plan.Request(data, SKILL, "train", dataset=str(data), overrides=(f"results_dir={data}", "dataset.fold=2"))
    with pytest.raises(SpecInvalid, match=r"dataset\.fold: has no effect"):
        plan.plain_spec(request, skill, skill.action("train"))


def test_a_layout_in_a_file_is_looked_at_when_it_is_there(tmp_path: Path) -> None:
    layout = tmp_path / "chain.yaml"
    settings = {"model.graph_layout": str(layout)}
    assert consistency.look(spec_of(settings))["problems"] == []  # others say that it is not there
    with pytest.raises(errors.SpecError, match="no such file"):
        train.check_spec(config.from_dict(config.TrainSpec, spec_of(settings)))
    layout.write_text("joints: [a, b, c]\nedges: [[0, 9]]\ncenter: a\n")
    (found,) = consistency.look(spec_of(settings))["problems"]
    assert found["key"] == "model.graph_layout"
    assert "cannot be used" in found["says"]


def test_the_rules_load_nothing_heavy() -> None:
    """What the plan of a job pays for them."""
    code = (
        "import sys, json; from stgcn.consistency import look; look(json.load(sys.stdin)); "
        "print(sorted({'torch', 'numpy', 'dataclasses', 'stgcn.config', 'stgcn.graph'} & sys.modules.keys()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], input=json.dumps(spec_of(ON)), capture_output=True, text=True, cwd=ROOT, check=True
    )
    assert done.stdout.strip() == "[]"


def test_a_function_that_is_not_there_is_said() -> None:
    skill = bank.get(SKILL)
    schema = skill.schema("train")
    action = skill.action("train")._replace(checks="stgcn.consistency:nowhere")
    with pytest.raises(SchemaInvalid, match=r"actions\.train\.checks: stgcn\.consistency:nowhere cannot be loaded"):
        checks.settle(action, schema.defaults(), {}, schema)
    none = checks.settle(action._replace(checks=""), schema.defaults(), {}, schema)
    assert (none.problems, none.notes, none.idle) == ([], [], {})


def test_data_of_other_joints_or_channels_are_seen_before_anything_runs(data: Path) -> None:
    """By the heads of the files: the plan reads no array, and the training, which does, is the one to refuse them."""
    words = ("model.graph_layout=ntu-rgb+d", "model.input_channels=2")
    request = plan.Request(data / "ws", SKILL, "train", dataset=str(data), automl="off", overrides=words, recipe="none")
    said = [note for note in plan.make(request).notes if "will refuse" in note]
    assert len(said) == 2  # of both sets
    assert all("has 25 joints" in note and "layouts of" in note and "input_channels is 2" in note for note in said)
    fitting = request._replace(overrides=("model.graph_layout=nvidia",))
    assert not [note for note in plan.make(fitting).notes if "will refuse" in note]


@pytest.mark.parametrize(
    "content", [b"", b"\x93NUMPY\x01\x00", b"\x93NUMPY\x01\x00\x10\x00{'shape': (1, -2)}", b"PK\x03\x04" * 9]
)
def test_a_file_whose_head_says_nothing_is_left_to_its_reader(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.npy"
    path.write_bytes(content)
    assert heads.shape_of(str(path)) == ()
    assert heads.shape_of("s3://bucket/data.npy") == heads.shape_of(str(tmp_path)) == heads.shape_of("a\0b") == ()


def test_the_joints_of_the_layouts_are_theirs() -> None:
    assert {name: layout.num_joints for name, layout in LAYOUTS.items()} == heads.JOINTS
