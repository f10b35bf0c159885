"""The rows of the accuracy benchmark: each is a spec that trains, together they take the recipe apart; and the tables."""

from __future__ import annotations

import importlib
import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from conftest import ROOT

from runner import bank, plan
from runner import spec as specs
from runner.errors import SpecInvalid

SKILL = "tao-train-pose-classification"
# Of the recipe, what no row takes away: it sets how long and how often, not what is learned.
KEPT = {
    *("dataset.batch_size", "train.num_epochs", "train.validation_interval", "train.checkpoint_interval", "train.calibrate"),
    "train.optim.min_lr",
}


@pytest.fixture(scope="module")
def accuracy() -> ModuleType:
    spec = importlib.util.spec_from_file_location("bench_accuracy", ROOT / "bench" / "accuracy.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    for split in ("train", "val"):
        np.save(folder / f"{split}_data.npy", np.zeros((2, 3, 4, 17, 1), np.float32))
        (folder / f"{split}_label.pkl").write_bytes(b"")
    (folder / "label_map.json").write_text('{"a": 0, "b": 1}')
    return folder


def planned(data: Path, row: Any, *words: str) -> plan.Plan:
    overrides = (*(f"{key}={json.dumps(value)}" for key, value in row.settings.items()), "model.graph_layout=coco", *words)
    recipe = None if row.recipe != "none" else "none"
    return plan.make(
        plan.Request(data / "ws", SKILL, "train", dataset=str(data), automl="off", overrides=overrides, recipe=recipe)
    )


def test_every_row_is_a_spec_that_differs_from_the_recipe(accuracy: ModuleType, data: Path) -> None:
    whole = planned(data, accuracy.ABLATION["whole"]).spec
    for name, row in {**accuracy.OURS, **accuracy.ABLATION}.items():
        spec = planned(data, row).spec
        for key, value in row.settings.items():
            assert specs.get(spec, key) == value, name
        if name not in ("default", "automl", "whole"):
            assert any(specs.get(whole, key) != value for key, value in row.settings.items()), name
    with pytest.raises(SpecInvalid, match="three coordinates"):  # shown as such
        planned(data, accuracy.ABLATION["frontal_view"], "model.input_channels=2")


def test_the_rows_take_the_recipe_apart_as_it_is(accuracy: ModuleType) -> None:
    own = specs.flatten(bank.get(SKILL).recipes("train")[accuracy.RECIPE].spec)
    taken = {key for row in accuracy.INGREDIENTS.values() for key in row.settings}
    assert own.keys() - taken == KEPT


def test_a_digest_changes_with_the_settings_and_with_the_recipe(accuracy: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    row = accuracy.ABLATION["width_64"]
    assert row.digest() == row.digest() != row._replace(settings={"model.width": 56}).digest()
    plain = accuracy.OURS["plain"].digest()
    before, read = row.digest(), Path.read_text
    monkeypatch.setattr(
        Path, "read_text", lambda path, *a, **k: read(path, *a, **k) + ("# new" if path.suffix == ".yaml" else "")
    )
    assert row.digest() != before
    assert accuracy.OURS["plain"].digest() == plain  # which has no recipe


def test_tables_show_both_sets_and_what_cannot_be(accuracy: ModuleType) -> None:
    rows = {name: accuracy.ABLATION[name] for name in ("whole", "no_mirror", "frontal_view", "width_64")}
    facts = {"minutes": 2.0, "gflop": 0.0312, "parameters": 61234}
    results = {
        f"one/{name}/{seed}/{rows[name].digest()}": {"val": val + seed, "test": test, **facts}
        for name, val, test in (("whole", 90.0, 80.0), ("no_mirror", 87.0, 82.0))
        for seed in (1, 2, 3)
    }
    results[f"one/frontal_view/1/{rows['frontal_view'].digest()}"] = {"unfit": "needs three coordinates; more"}
    results["one/whole/4/00000000"] = {"val": 0.0, "test": 0.0, "minutes": 0.0}  # of another recipe
    lines = accuracy.table(results, "one", rows, "whole").splitlines()
    assert lines[4] == "| the recipe whole | 92.0 ± 1.0 |  | 80.0 ± 0.0 |  | 2.0 | 0.031 | 61,234 | 3 |"
    assert lines[5] == "| no mirror | 89.0 ± 1.0 | -3.0 | 82.0 ± 0.0 | +2.0 | 2.0 | 0.031 | 61,234 | 3 |"
    assert lines[6].startswith("| + bodies turned to the front | cannot: needs three coordinates |")
    assert lines[7].count("|") == lines[2].count("|") == lines[6].count("|")
    assert "| no mirror | -3.0 | +2.0 | 1 |" in accuracy.over_sets(results, ["one", "two"], rows, "whole")


def test_choices_of_streams_are_compared_on_the_same_sequences(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "bench"))
    folds = importlib.import_module("folds")
    right, wrong = [0.8, 0.2], [0.3, 0.7]
    first = np.array([[right, right], [right, right], [right, wrong], [wrong, wrong]])  # of class 0, by stream
    second = np.array([[right], [wrong], [wrong], [right]])
    found = [folds.Answers(plain, 1 - plain, np.zeros(plain.shape[1], int)) for plain in (first, second)]
    fused = folds.fused(found, folds.DEFAULT, mirrored=False)
    assert fused[:, 0] == pytest.approx([0.8, 1.9 / 3, 1.4 / 3])
    assert folds.fused(found, folds.FOUR, mirrored=True) == pytest.approx(np.full((3, 2), 0.5))
    lines = folds.table("one", found).splitlines()
    assert lines[0] == "**one**: 3 sequences in 2 folds"
    assert "| joint | 100.0 | -0.223 | 1 | 0 |" in lines
    assert "| joint, bone, joint_motion | 66.7 | -0.481 | 0 | 0 |" in lines
    assert "| bone_motion | 33.3 | -0.877 | 1 | 2 |" in lines
