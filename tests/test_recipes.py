"""Recipes: what is applied when, which layer wins, what is taken back, what a broken one says, what plan and record tell."""

from __future__ import annotations

import json
import re
import shutil
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import ROOT, call

from runner import bank, cli, maintain, plan, recipe, render_search, study_review
from runner import spec as specs
from runner.errors import SchemaInvalid, SpecInvalid, UsageError

SKILL = "tao-train-pose-classification"
DEFAULT = "small_data"
TAOS = [
    *("dataset.window_size", "model.dropout", "train.grad_clip", "train.optim.lr", "train.optim.lr_decay"),
    *("train.optim.momentum", "train.optim.patience", "train.optim.weight_decay"),
]
OWN = """
action: train
description: Made for a test.
spec:
  model: {input_channels: 2, dropout: 0.1}
  dataset:
    preparation: {view: frontal}
    augmentation: {enabled: true, rotation: 30.0}
  train:
    num_epochs: 7
    optim: {optimizer_type: torch.optim.AdamW, lr: 0.003, lr_scheduler: Cosine, warmup_epochs: 2}
only_when:
  dataset.preparation.view: {model.input_channels: [3]}
search: [dataset.augmentation.rotation, train.label_smoothing]
"""


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A folder with the files of a data set; planning looks at their names and reads no tensors."""
    folder = tmp_path / "data"
    folder.mkdir()
    for split in ("train", "val"):
        np.save(folder / f"{split}_data.npy", np.zeros((2, 3, 4, 34, 1), np.float32))
        (folder / f"{split}_label.pkl").write_bytes(b"")
    (folder / "label_map.json").write_text('{"a": 0, "b": 1}')
    return folder


@pytest.fixture
def own_bank(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """A copy of the bank whose skill has the recipes that are given."""
    root = tmp_path / "bank"
    shutil.copytree(ROOT / "skills", root / "skills")
    shutil.copytree(ROOT / "schemas", root / "schemas")
    monkeypatch.setenv("SKILL_BANK", str(root))

    def made(**recipes: str) -> Path:
        folder = root / "skills" / SKILL / recipe.FOLDER
        for name, text in recipes.items():
            (folder / f"{name}.yaml").write_text(text)
        return folder

    return made


def planned(data: Path, *overrides: str, **fields: Any) -> plan.Plan:
    request = plan.Request(data.parent / "ws", SKILL, "train", dataset=str(data), automl="off", overrides=overrides)
    return plan.make(request._replace(**fields))


def said(data: Path, *overrides: str, **fields: Any) -> dict[str, Any]:
    told: dict[str, Any] = plan.describe(planned(data, *overrides, **fields))
    return told


# --- when and what ---


def test_without_a_spec_file_the_default_recipe_gives_its_values(data: Path) -> None:
    told = said(data)
    own = bank.get(SKILL).recipes("train")[DEFAULT]
    flat = specs.flatten(own.spec)
    assert (told["recipe"]["name"], told["recipe"]["why"]) == (DEFAULT, "the default")
    assert told["recipe"]["values"] == flat
    for key, value in flat.items():
        assert specs.get(told["spec"], key) == value
        assert told["sources"][key] == f"recipe:{DEFAULT}"
    assert told["notes"] == []
    untouched = specs.flatten(bank.get(SKILL).template("train")).keys() - flat.keys()
    assert {told["sources"][key] for key in untouched if key.startswith("train.optim.")} == {"template"}


def test_with_a_spec_file_none_unless_asked(data: Path, tmp_path: Path) -> None:
    (tmp_path / "spec.yaml").write_text("train: {num_epochs: 5, optim: {momentum: 0.5}}\n")
    told = said(data, spec_file=tmp_path / "spec.yaml")
    assert (told["recipe"]["name"], told["recipe"]["why"], told["recipe"]["values"]) == (None, "--spec gives the settings", {})
    assert not any(source.startswith("recipe") for source in told["sources"].values())
    assert specs.get(told["spec"], "train.optim.lr") == 0.1
    both = said(data, spec_file=tmp_path / "spec.yaml", recipe=DEFAULT)
    assert both["sources"]["train.num_epochs"] == "file"
    assert specs.get(both["spec"], "train.num_epochs") == 5
    assert both["sources"]["train.optim.lr"] == f"recipe:{DEFAULT}"
    assert {item["key"]: item["by"] for item in both["recipe"]["overruled"]}["train.num_epochs"] == "file"


def test_none_is_the_template_to_the_letter(data: Path) -> None:
    told = said(data, recipe="none")
    template = bank.get(SKILL).template("train")
    for section in ("train", "model"):
        ours = {k: v for k, v in specs.flatten(told["spec"][section]).items() if k not in ("results_dir", "input_channels")}
        assert ours.items() <= specs.flatten(template[section]).items()
    assert told["recipe"]["why"] == "--recipe none"


def test_each_layer_goes_before_the_one_below(own_bank: Callable[..., Path], data: Path) -> None:
    """User's word > data set > recipe > template."""
    own_bank(mine=OWN)
    told = said(data, "train.num_epochs=9", recipe="mine")
    expected = {
        "train.num_epochs": (9, "user"),
        "model.input_channels": (3, "dataset"),
        "train.optim.lr": (0.003, "recipe:mine"),
        "train.optim.weight_decay": (0.0001, "template"),
    }
    assert {key: (specs.get(told["spec"], key), told["sources"][key]) for key in expected} == expected
    overruled = {item["key"]: (item["recipe"], item["value"], item["by"]) for item in told["recipe"]["overruled"]}
    assert overruled == {"train.num_epochs": (7, 9, "user"), "model.input_channels": (2, 3, "dataset")}


def test_what_is_inferred_goes_before_a_recipe(own_bank: Callable[..., Path], data: Path) -> None:
    own_bank(mine="action: train\ndescription: d\nspec: {train: {results_dir: /nowhere}, dataset: {num_classes: 9}}\n")
    made = planned(data, recipe="mine")
    assert made.spec["train"]["results_dir"] == str(made.results_dir)
    assert made.sources["train.results_dir"] == "inferred:output_dir"
    assert (made.spec["dataset"]["num_classes"], made.sources["dataset.num_classes"]) == (2, "inferred:from dataset.label_map")
    assert "train.results_dir" not in made.recipe["values"]


# --- what does not fit any more ---


def test_a_value_without_effect_is_taken_back_and_said(own_bank: Callable[..., Path], data: Path) -> None:
    own_bank(mine=OWN)
    told = said(data, "dataset.augmentation.enabled=false", "train.optim.lr_scheduler=MultiStep", recipe="mine")
    template = bank.get(SKILL).template("train")
    gone = {item["key"]: item["reason"] for item in told["recipe"]["left_out"]}
    assert gone == {
        "dataset.augmentation.rotation": "it has no effect while dataset.augmentation.enabled is false",
        "train.optim.warmup_epochs": "it has no effect while train.optim.lr_scheduler is 'MultiStep'",
    }
    for key in gone:
        assert specs.get(told["spec"], key) == specs.get(template, key)
        assert told["sources"][key] == "template"
        assert key not in told["recipe"]["values"]
    assert sum("leaves" in note for note in told["notes"]) == 2


def test_a_condition_of_the_recipes_own(own_bank: Callable[..., Path], data: Path) -> None:
    own_bank(mine=OWN)
    assert specs.get(said(data, recipe="mine")["spec"], "dataset.preparation.view") == "frontal"
    told = said(data, "model.input_channels=2", recipe="mine")
    assert specs.get(told["spec"], "dataset.preparation.view") == "none"
    assert told["recipe"]["left_out"] == [
        {"key": "dataset.preparation.view", "reason": "it is for model.input_channels 3, which is 2"}
    ]
    with pytest.raises(SpecInvalid, match="three coordinates; there are 2"):  # the user's own word is not taken back
        said(data, "model.input_channels=2", "dataset.preparation.view=frontal", recipe="mine")


def test_beside_another_choice_the_neighbours_stay_and_a_note_says_so(own_bank: Callable[..., Path], data: Path) -> None:
    own_bank(mine=OWN)
    told = said(data, "train.optim.optimizer_type=torch.optim.SGD", recipe="mine")
    assert specs.get(told["spec"], "train.optim.lr") == 0.003
    (note,) = told["notes"]
    assert "train.optim.optimizer_type=torch.optim.AdamW (you say torch.optim.SGD)" in note
    assert "train.optim.lr=0.003" in note
    assert said(data, "train.num_epochs=3", recipe="mine")["notes"] == []


@pytest.mark.parametrize(
    "word",
    [
        "train.optim.optimizer_type=torch.optim.SGD",
        "train.optim.lr_scheduler=MultiStep",
        "train.optim.lr_scheduler=AutoReduce",
        "dataset.augmentation.enabled=false",
        "model.model_type=ST-GCN",
        "model.model_type=CTR-GCN",
        "train.num_epochs=1",
        "dataset.preparation.window=-1",
        "dataset.preparation.center=none",
        "model.input_channels=2",
        "model.graph_layout=hand_21",
        "dataset.class_balance=sampler",
        "dataset.stream_fusion=input",
        "dataset.streams=[joint]",
        "train.early_stopping=3",
        "train.optim.lr=1e-6",
        "model.input_channels=1",
        "dataset.draw_at_most=100",
        "dataset.preparation.min_confidence=0.2",
        "train.optim.warmup_epochs=2",
    ],
)
def test_one_word_of_the_users_never_breaks_the_default_recipe(data: Path, word: str) -> None:
    """The trainer's own checks accept the default recipe with any of these changed."""
    train_says_nothing(planned(data, word).spec)


# --- names ---


def test_an_unknown_name_lists_what_there_is(data: Path, own_bank: Callable[..., Path]) -> None:
    own_bank(mine=OWN)
    with pytest.raises(UsageError, match="did you mean small_data") as caught:
        planned(data, recipe="smal_data")
    assert {problem.path: problem.says for problem in caught.value.problems} == {
        name: one.description for name, one in bank.get(SKILL).recipes("train").items()
    }
    assert caught.value.exit_code == 2
    request = plan.Request(data.parent / "ws", SKILL, "evaluate", dataset=str(data), recipe="mine")
    with pytest.raises(UsageError, match="evaluate has no recipes"):
        plan.make(request)


def test_choosing() -> None:
    known = {name: recipe.Recipe(name, "train", "d", {}, {}, {}, Path(name)) for name in ("one", "two")}

    def chosen(**fields: Any) -> tuple[str | None, str]:
        found = recipe.choose(known, "one", action="train", **{"word": None, **fields})
        return found.recipe and found.recipe.name, found.why

    resumed, spec = {"id": "j1"}, Path("spec.yaml")
    assert chosen() == ("one", "the default")
    assert chosen(word="two") == ("two", "--recipe")
    assert chosen(word="two", spec_file=spec) == ("two", "--recipe")
    assert chosen(word="none") == (None, "--recipe none")
    assert chosen(spec_file=spec) == (None, "--spec gives the settings")
    assert chosen(resume=resumed) == (None, "--resume goes on with the settings of j1")
    with pytest.raises(UsageError, match="--resume j1 goes on with the settings of that job"):
        chosen(resume=resumed, word="two")
    # the child of a training learns as its parent did; any other parent decides nothing
    assert chosen(parent={"id": "j2", "action": "train", "recipe": {"name": "two"}}) == ("two", "as j2")
    assert chosen(parent={"id": "j2", "action": "train", "recipe": None}) == (None, "j2 had none")
    assert chosen(parent={"id": "j2", "action": "train", "recipe": {"name": "two"}}, word="one") == ("one", "--recipe")
    assert chosen(parent={"id": "j2", "action": "dataset_convert"}) == ("one", "the default")
    with pytest.raises(UsageError, match="no recipe 'gone'"):
        chosen(parent={"id": "j2", "action": "train", "recipe": {"name": "gone"}})
    assert recipe.choose(known, None, action="train", word=None).recipe is None


# --- what is wrong with a recipe ---


BROKEN = {
    "unknown key": ("spec: {train: {num_epoch: 3}}", "train.num_epoch: no such setting, did you mean train.num_epochs"),
    "out of bounds": ("spec: {model: {dropout: 5}}", "model.dropout: 5 is out of bounds"),
    "wrong type": ("spec: {train: {num_epochs: many}}", "train.num_epochs"),
    "no choice": ("spec: {train: {optim: {optimizer_type: Lion}}}", "train.optim.optimizer_type"),
    "another action's section": ("spec: {evaluate: {batch_size: 3}}", "evaluate"),
    "no effect": ("spec: {train: {optim: {warmup_epochs: 3}}}", "train.optim.warmup_epochs: it has no effect while"),
    "unknown head": ("spec: {}\nfor: train", "for: no such key"),
    "no spec": ("", "spec: is missing"),
    "a list": ("spec: [1]", "spec: is [1]"),
    "condition of a stranger": ("spec: {}\nonly_when: {train.seed: {model.dropout: [1]}}", "only_when.train.seed: is none of"),
    "condition on nothing": (
        "spec: {train: {seed: 3}}\nonly_when: {train.seed: {model.drop: [1]}}",
        "only_when.train.seed.model.drop: no such setting; allowed: model.dropout",
    ),
    "no condition": ("spec: {train: {seed: 3}}\nonly_when: {train.seed: 3}", "only_when: is no table of conditions"),
    "nothing to search": ("spec: {}\nsearch: [train.num_epochs]", "search: train.num_epochs: no such setting, or none with"),
    "a word to search by": (
        "spec: {}\nsearch: {train.optim.lr: wide}",
        "search.train.optim.lr: is 'wide'; allowed: nothing, false",
    ),
    "a range upside down": ("spec: {}\nsearch: {train.optim.lr: [0.1, 0.01]}", "search.train.optim.lr: is [0.1, 0.01]"),
    "a range out of bounds": (
        "spec: {}\nsearch: {model.dropout: [0, 2]}",
        "search: model.dropout: the range is 0 to 2; allowed: 0 to 1",
    ),
    "a range beside the start": (
        "spec: {model: {dropout: 0.1}}\nsearch: {model.dropout: [0.2, 0.6]}",
        "search: model.dropout: the range 0.2 to 0.6 does not hold 0.1, where the search begins",
    ),
    "a logarithm of nothing": (
        "spec: {}\nsearch: {model.dropout: {range: [0, 1], scale: log}}",
        "search: model.dropout: a logarithmic search cannot start at 0",
    ),
    "a condition on nothing": (
        "spec: {}\nsearch: {model.dropout: {range: [0, 1], when: {model.typ: [ST-GCN]}}}",
        "search: model.dropout: when.model.typ: no such setting",
    ),
    "a choice by range": ("spec: {}\nsearch: {model.padding: [0, 1]}", "search: model.padding: is no number"),
    "dotted": ("spec: {train.num_epochs: 3}", "train.num_epochs"),
    "twice": ("spec: {train: {seed: 3, seed: 4}}", "seed"),
    "a tag": ("spec: !!python/name:os.system {}", "tag"),
}


def checked() -> list[str]:
    """What a check finds beside that what was parsed ahead is of other recipes."""
    return [
        line for line in maintain.check(bank.get(SKILL)) if not line.startswith("references/parsed_specs.json: is of other")
    ]


def test_a_changed_recipe_is_read_and_has_to_be_parsed_ahead_again(own_bank: Callable[..., Path], data: Path) -> None:
    folder = own_bank()
    path = folder / f"{DEFAULT}.yaml"
    assert maintain.check(bank.get(SKILL)) == []
    before = planned(data).spec["train"]["label_smoothing"]
    path.write_text(path.read_text().replace(f"label_smoothing: {before}", "label_smoothing: 0.07"))
    assert planned(data).spec["train"]["label_smoothing"] == 0.07
    assert any(line.startswith("references/parsed_specs.json: is of other texts") for line in maintain.check(bank.get(SKILL)))
    maintain.build(bank.get(SKILL))
    assert maintain.check(bank.get(SKILL)) == []
    assert planned(data).spec["train"]["label_smoothing"] == 0.07


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_recipe_is_a_problem_that_names_its_file(name: str, own_bank: Callable[..., Path], data: Path) -> None:
    text, says = BROKEN[name]
    own_bank(mine=f"action: train\ndescription: d\n{text}\n")
    lines = checked()
    assert lines
    assert all(line.startswith(f"{recipe.FOLDER}/mine.yaml: ") for line in lines), lines
    assert any(says in line for line in lines), lines
    with pytest.raises(SchemaInvalid, match=r"mine\.yaml"):
        planned(data, recipe="mine")


def test_defaults_and_actions_that_are_not_there(own_bank: Callable[..., Path], capsys: pytest.CaptureFixture[str]) -> None:
    folder = own_bank(other="action: prune\ndescription: d\nspec: {}\n", none="action: train\ndescription: d\nspec: {}\n")
    (folder / f"{DEFAULT}.yaml").unlink()
    (folder / "notes.txt").write_text("x")
    assert cli.main(["schemas", "check", SKILL, "--json"]) == 3
    problems = [p["says"] for p in json.loads(capsys.readouterr().out)["error"]["problems"]]
    assert any("other.yaml: no action 'prune'" in line for line in problems)
    assert any("none.yaml: a recipe cannot be called none" in line for line in problems)
    assert any("notes.txt: a recipe is a file NAME.yaml" in line for line in problems)
    assert any("recipes.train.default: no recipe 'small_data'" in line for line in problems)


# --- the search ---


def test_a_search_begins_at_the_recipe_and_varies_what_it_names(data: Path) -> None:
    told = said(data, automl="on")
    own = bank.get(SKILL).recipes("train")[DEFAULT]
    given = {parameter["key"]: parameter["default"] for parameter in told["search"]}
    flat = specs.flatten(own.spec)
    assert set(given) == {key for key, wish in own.search.items() if wish is None or not wish.never}
    never = {"key": "train.grad_clip", "reason": "the recipe leaves it alone"}
    assert never in told["left_out"]
    lr = next(parameter for parameter in told["search"] if parameter["key"] == "train.optim.lr")
    assert (
        lr["high"] < 0.1 < max(bank.get(SKILL).schema("train").leaves()["train.optim.lr"]["automl_range"])
    )  # AdamW's, not SGD's
    assert {key: given[key] for key in given if key in flat} == {key: flat[key] for key in given if key in flat}
    for parameter in told["search"]:  # the search begins at the recipe, which its ranges hold
        assert parameter["low"] <= parameter["default"] <= parameter["high"]
    assert {parameter["key"]: parameter["math_cond"] for parameter in told["search"]}["model.width"] == "/ 8"


def searched(data: Path, *words: str, **fields: Any) -> tuple[dict[str, tuple[float, float]], dict[str, str]]:
    told = said(data, *words, automl="on", **fields)
    return {p["key"]: (p["low"], p["high"]) for p in told["search"]}, {i["key"]: i["reason"] for i in told["left_out"]}


def test_a_search_leaves_alone_what_sets_how_low_the_loss_can_come(data: Path) -> None:
    space, _ = searched(data)
    assert {"train.label_smoothing", "dataset.augmentation.mixup"}.isdisjoint(space)
    assert {"train.optim.lr", "model.dropout", "dataset.augmentation.rotation"} <= set(space)


def test_a_search_judges_late_where_the_rate_falls_late(data: Path) -> None:
    def judged(*words: str, **fields: Any) -> list[int]:
        made = planned(data, *words, **{"automl": "on", **fields})
        review = study_review.review(made)
        assert review is not None
        told = {**plan.describe(made), "plan_hash": "0" * 64, "review": review}
        text, epochs = render_search.plan(told), review["judged_after"]
        after = f"after epoch {' or '.join(map(str, epochs))}, unless among the best third"
        assert after in text if epochs else "unless among" not in text
        return list(epochs)

    assert judged() == [10]  # of 32, by the recipe's OneCycle
    assert judged("train.num_epochs=27", recipe="none") == [3, 9]
    assert judged("train.num_epochs=27", "train.optim.lr_scheduler=Cosine", recipe="none") == [9]
    assert judged("train.optim.lr_scheduler=MultiStep") == [4, 10]
    assert judged(algorithm="asha") == [2, 4, 10]
    assert judged(no_prune=True) == judged(algorithm="hyperband") == []


@pytest.mark.parametrize(("count", "told"), [(3, True), (199, True), (200, False)])
def test_a_search_on_few_validation_sequences_is_told_how_little_they_say(data: Path, count: int, told: bool) -> None:
    np.save(data / "val_data.npy", np.zeros((count, 3, 4, 34, 1), np.float32))
    made = planned(data, automl="on")
    assert any(f"val_loss is measured on {count} examples; on so few" in note for note in made.notes) == told
    assert not any("so few" in note for note in planned(data).notes)


def test_mixup_may_be_asked_for_where_there_is_something_to_mix(data: Path) -> None:
    asked = ("dataset.augmentation.mixup=0..0.4",)
    assert searched(data, search=asked)[0]["dataset.augmentation.mixup"] == (0, 0.4)
    with pytest.raises(UsageError) as found:
        searched(data, "dataset.batch_size=1", search=asked)
    assert "dataset.batch_size is 1" in str(found.value.problems)


def test_a_range_is_for_the_choices_it_was_made_for(data: Path) -> None:
    space, _ = searched(data, "train.optim.optimizer_type=torch.optim.SGD")
    leaves = bank.get(SKILL).schema("train").leaves()
    for key in ("train.optim.lr", "train.optim.weight_decay"):
        assert list(space[key]) == leaves[key]["automl_range"]
    assert "train.optim.momentum" in space


@pytest.mark.parametrize(
    ("words", "fields", "key", "why"),
    [
        (["dataset.augmentation.enabled=false"], {}, "dataset.augmentation.rotation", "enabled is false"),
        (["model.input_channels=1"], {}, "dataset.augmentation.scale", "there is 1 (see model.input_channels)"),
        (["model.stages=[1]"], {}, "model.dropout", "model.stages names no other"),
        (["train.num_epochs=10"], {"recipe": "none"}, "train.optim.lr_decay", "no epoch of train.optim.lr_steps (10, 60) lies"),
        (
            ["train.num_epochs=3", "train.optim.lr_scheduler=AutoReduce"],
            {"recipe": "none"},
            "train.optim.patience",
            "AutoReduce watches val_loss, of which there are 3",
        ),
        (["train.optim.lr_scheduler=OneCycle"], {"recipe": "none"}, "train.optim.lr_decay", "lr_scheduler is 'OneCycle'"),
    ],
)
def test_a_search_has_no_dead_dimension(data: Path, words: list[str], fields: dict[str, Any], key: str, why: str) -> None:
    space, left_out = searched(data, *words, **fields)
    assert key not in space
    assert why in left_out[key]


def test_no_window_is_searched_that_is_longer_than_the_sequences(data: Path) -> None:
    """It would only add padding, and its cost. What the user says of a range holds all the same."""
    key, words = "dataset.window_size", ["dataset.random_choose=true", "train.num_epochs=20"]
    shape = list(np.load(data / "train_data.npy").shape)

    def of(frames: int, *search: str) -> tuple[tuple[float, float] | None, str | None, list[str]]:
        np.save(data / "train_data.npy", np.ones([*shape[:2], frames, *shape[3:]], np.float32))
        made = plan.make(
            plan.Request(data / "ws", SKILL, "train", dataset=str(data), recipe="none", overrides=tuple(words), search=search)
        )
        space = {p["key"]: (p["low"], p["high"]) for p in made.search["space"]}
        left_out = {one["key"]: one["reason"] for one in made.search["left_out"]}
        return space.get(key), left_out.get(key), [note for note in made.notes if "searched up to" in note]

    assert of(500) == ((16, 300), None, [])
    space, _, (note,) = of(40)
    assert space == (16, 40)
    assert note == f"{key} is searched up to 40: the sequences have 40 frames, and more would be padding."
    assert of(12) == (None, "the sequences have 12 frames, and more would be padding", [])
    assert of(40, f"{key}=16..80")[:2] == ((16, 80), None)


def test_what_is_searched_stays_above_what_has_to_lie_below(data: Path) -> None:
    assert searched(data)[0]["train.optim.lr"] == (0.0008, 0.01)
    assert searched(data, "train.optim.min_lr=0.002")[0]["train.optim.lr"] == (0.002, 0.01)
    plain = searched(data, "train.optim.lr_decay=0.5", "train.num_epochs=20", recipe="none")[0]
    assert plain["train.optim.lr"] == (1e-4, 0.3)  # MultiStep knows no lowest rate
    assert "train.optim.lr_decay" in plain  # one of its epochs lies within


# --- where a word of the user's stands against the recipe ---


GIVES_WAY = {
    "train.optim.lr=1e-6": {"train.optim.min_lr": 0.0},
    "dataset.repeat_to=3000": {"dataset.draw_at_most": 3000},
    "dataset.draw_at_most=200": {"dataset.repeat_to": 200},
    "model.input_channels=1": {f"dataset.augmentation.{name}": 0.0 for name in ("rotation", "scale", "shear")},
}


@pytest.mark.parametrize("word", GIVES_WAY)
def test_a_value_that_depends_on_the_users_word_gives_way(data: Path, word: str) -> None:
    made = planned(data, word)
    told = plan.describe(made)
    own = specs.flatten(bank.get(SKILL).recipes("train")[DEFAULT].spec)
    for key, value in GIVES_WAY[word].items():
        assert (specs.get(made.spec, key), made.sources[key]) == (value, f"recipe:{DEFAULT}, fitted")
        assert any(
            note.startswith(f"The recipe {DEFAULT} gives way: {key} is {value}, not {own[key]}, since")
            for note in told["notes"]
        )
        assert {"key": key, "recipe": own[key], "value": value, "by": f"recipe:{DEFAULT}, fitted"} in told["recipe"][
            "overruled"
        ]
    changed = {key for key, value in own.items() if specs.get(made.spec, key) != value and made.sources[key] != "user"}
    assert changed == set(GIVES_WAY[word])
    train_says_nothing(made.spec)


def train_says_nothing(spec: dict[str, Any]) -> None:
    from stgcn import config, train

    train.check_spec(config.from_dict(config.TrainSpec, spec))


@pytest.mark.parametrize(
    ("word", "says", "theirs"),
    [
        (
            "model.width=30",
            "is 30; model.model_type Sep-GCN needs a multiple of 8, such as 24 or 32",
            "model.model_type=Sep-GCN",
        ),
        ("model.edge_importance_weighting=false", "which has no effect: Sep-GCN learns its graph", "model.model_type=Sep-GCN"),
        ("train.optim.min_lr=0.01", "above train.optim.lr, which is 0.003", "train.optim.lr=0.003"),
        ("train.optim.warmup_epochs=40", "and train.num_epochs 32", "train.num_epochs=32"),
    ],
)
def test_what_cannot_be_told_names_the_recipe_and_the_ways_out(data: Path, word: str, says: str, theirs: str) -> None:
    with pytest.raises(SpecInvalid) as caught:
        planned(data, word)
    (problem,) = caught.value.problems
    assert problem.path == word.partition("=")[0]
    assert says in problem.says
    key = theirs.partition("=")[0]
    ways = f"The recipe {DEFAULT} says {theirs}: overrule it with --set {key}=VALUE, or leave it out with --recipe none"
    assert problem.says.endswith(ways)


def test_a_recipe_that_contradicts_itself_is_found(own_bank: Callable[..., Path]) -> None:
    own_bank(mine="action: train\ndescription: d\nspec: {model: {model_type: Sep-GCN, width: 30}}\n")
    (line,) = checked()
    assert line.startswith(f"{recipe.FOLDER}/mine.yaml: model.width: is 30; model.model_type Sep-GCN needs a multiple of 8")


def test_without_a_recipe_a_search_varies_taos_parameters_and_no_others(data: Path, tmp_path: Path) -> None:
    (tmp_path / "tao.yaml").write_text((ROOT / "tests" / "data" / "tao_nvidia.yaml").read_text())
    assert sorted(bank.get(SKILL).schema("train").document["automl_default_parameters"]) == TAOS
    for fields in ({"recipe": "none"}, {"spec_file": tmp_path / "tao.yaml"}):
        told = said(data, "dataset.label_map={a: 0, b: 1}", "dataset.num_classes=2", automl="on", **fields)
        assert sorted([p["key"] for p in told["search"]] + [item["key"] for item in told["left_out"]]) == TAOS


# --- what is told ---


def test_plan_and_show_tell_it(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = bank.get(SKILL).recipes("train")[DEFAULT]
    words = ["plan", SKILL, "train", "--dataset", str(data), "--workspace", str(data.parent / "ws")]
    assert cli.main(words) == 0
    out = capsys.readouterr().out
    assert f"recipe:  {DEFAULT} (the default): {one.description}" in out
    assert f"train.optim.lr                            recipe:{DEFAULT}" in out or f"recipe:{DEFAULT}" in out
    assert re.search(r"model\.width +32\.\.64 linear, multiples of 8 +48", out)
    assert cli.main([*words, "--recipe", "none"]) == 0
    assert "recipe:  none, --recipe none" in capsys.readouterr().out
    for what in ([SKILL], [SKILL, "train"]):
        assert cli.main(["show", *what]) == 0
        assert f"{DEFAULT} (default)" in capsys.readouterr().out
        assert cli.main(["show", *what, "--json"]) == 0
        (told,) = json.loads(capsys.readouterr().out)["data"]["recipes"]
        assert (told["name"], told["action"], told["default"], told["spec"]) == (DEFAULT, "train", True, one.spec)
    assert cli.main(["show", SKILL, "train", "--path", "train.optim.lr", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["data"]["recipes"] == {DEFAULT: one.spec["train"]["optim"]["lr"]}


@pytest.fixture
def toy_recipe(toy: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The toy skill with a default recipe."""
    root = tmp_path_factory.mktemp("recipes") / "bank"
    shutil.copytree(toy.env["SKILL_BANK"], root)
    folder = root / "skills" / "tao-train-toy" / "references"
    (folder / "recipes").mkdir()
    (folder / "recipes" / "quick.yaml").write_text(
        "action: train\ndescription: Two epochs.\nspec: {train: {num_epochs: 2, lr: 0.25}}\n"
    )
    with open(folder / "skill_info.yaml", "a") as info:
        info.write("recipes: {train: {default: quick}}\n")
    toy.env = {**toy.env, "SKILL_BANK": str(root)}
    assert call("runner.cli", ("schemas", "build"), toy.folder, toy.env).code == 0
    return toy


def test_the_record_and_the_report_say_which_recipe(toy_recipe: Any) -> None:
    done = toy_recipe.run("--set", "train.lr=0.5")
    assert done.code == 0, done.err
    record = done.data
    assert record["spec"]["train"]["num_epochs"] == 2
    assert record["sources"]["train.num_epochs"] == "recipe:quick"
    assert record["recipe"]["values"] == {"train.num_epochs": 2}
    assert record["recipe"]["overruled"] == [{"key": "train.lr", "recipe": 0.25, "value": 0.5, "by": "user"}]
    assert "recipe: quick (the default): Two epochs." in done.err
    said = toy_recipe("report", record["job_id"], "--json")
    assert said.code == 0, said.err
    files = {name: Path(path).read_text() for name, path in said.data["report"].items()}
    (job,) = json.loads(files["json"])["jobs"]
    assert job["recipe"] == "quick (the default), 1 value: Two epochs."
    assert {"key": "train.num_epochs", "value": 2, "source": "recipe:quick"} in job["spec"]
    for name in ("md", "html"):
        assert job["recipe"] in files[name]
    # what goes on or comes after says so too
    resumed = toy_recipe.run("--resume", record["job_id"], "--set", "num_epochs=3")
    assert resumed.code == 0, resumed.err
    assert resumed.data["recipe"]["why"] == f"--resume goes on with the settings of {record['job_id']}"


def test_the_first_trial_of_a_search_is_the_spec_with_the_recipe(toy_recipe: Any) -> None:
    done = toy_recipe.run("--budget", "trials=2", automl="on")
    assert done.code == 0, done.err
    first, second = (
        json.loads((toy_recipe.folder / "workspace" / "jobs" / f"{trial['job_id']}.json").read_text())
        for trial in done.data["automl"]["trials"]
    )
    assert (first["spec"]["train"]["num_epochs"], first["spec"]["train"]["lr"]) == (2, 0.25)
    assert first["recipe"]["name"] == second["recipe"]["name"] == "quick"
    assert second["sources"]["train.lr"] == "search"


def test_a_record_of_an_earlier_version_is_still_read(toy: Any) -> None:
    done = toy.run("--set", "num_epochs=1")
    path = toy.folder / "workspace" / "jobs" / f"{done.data['job_id']}.json"
    record = json.loads(path.read_text())
    assert record.pop("recipe") is None  # the toy has none
    path.write_text(json.dumps(record))
    assert toy("status", done.data["job_id"], "--json").data["recipe"] is None


def test_taos_own_command_line_takes_no_recipe(data: Path, tmp_path: Path) -> None:
    skill = bank.get(SKILL)
    request = plan.Request(tmp_path, SKILL, "train", dataset=str(data), overrides=(f"results_dir={tmp_path}",))
    assert plan.plain_spec(request, skill, skill.action("train"))["train"]["optim"] == skill.template("train")["train"]["optim"]


def test_the_wheel_holds_the_recipes() -> None:
    packaged = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"][
        "force-include"
    ]
    assert packaged["skills"] == "runner/_bank/skills"  # whole, recipes and all
    assert (ROOT / "skills" / SKILL / recipe.FOLDER / f"{DEFAULT}.yaml").is_file()


def test_the_documented_table_is_the_default_recipe() -> None:
    """docs/recipes.md: every value of the recipe, beside the template's."""
    text = (ROOT / "docs" / "recipes.md").read_text(encoding="utf-8").split("## The default recipe")[1].split("\n## ")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("| `")]
    template = bank.get(SKILL).template("train")
    own = specs.flatten(bank.get(SKILL).recipes("train")[DEFAULT].spec)
    shown = {row[0].strip("`"): (specs.parse_value(row[1]), specs.parse_value(row[2])) for row in rows}
    assert shown == {key: (specs.get(template, key), value) for key, value in own.items()}
