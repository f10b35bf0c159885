from __future__ import annotations

import hashlib
import json
import shutil
import sys
from pathlib import Path

import jsonschema
import pytest
import yaml

from runner import bank, maintain, skill, spec
from runner.errors import SchemaInvalid

NAME = "tao-train-pose-classification"
ACTIONS = ("dataset_convert", "train", "evaluate", "export", "inference")
CONFIG = """
from __future__ import annotations
import dataclasses
from typing import Literal
from stgcn.config import section, setting

@dataclasses.dataclass(frozen=True)
class Train:
    "Train."
    lr: float = setting({lr}, "Rate.", minimum=0.0, maximum=1.0, searchable=True, automl_range=(0.1, 0.5), automl_scale="log",
                        title="Learning rate", popular=True, parent_param=True, depends_on="< top", math_cond="^ 2")
    mode: Literal["a", "b"] = setting("a", "Mode.", option_weights=[0.3, 0.7], automl_when={{"train.lr": [0.1]}})
    steps: tuple[int, ...] = setting((1, 2), "Steps.")
    names: dict[str, int] = setting({{"x": 0}}, "Names.", map_value=True)
    key: str | None = setting(None, "Key.", secret=True)
    on: bool = setting(True, "On.")

@dataclasses.dataclass(frozen=True)
class Spec:
    "Spec of ``train``."
    train: Train = section(Train, "Training.")

ACTIONS = {{"train": Spec}}
"""
INFO = """
name: tao-train-x
network_arch: x
automl_enabled: true
config_source: "x_config_{n}:ACTIONS"
actions:
  train:
    command: "x train -e {{config_path}}"
    mode: config
    config_format: yaml
    entrypoint: "x.train:run"
    inputs: {{}}
    outputs: {{}}
    upload_excludes: []
spec_params: {{train: {{{param}}}}}
"""


@pytest.fixture
def real(tmp_path):
    """A copy of the real skill, to be damaged."""
    folder = tmp_path / NAME
    shutil.copytree(bank.root() / "skills" / NAME, folder)
    return skill.load(folder)


@pytest.fixture
def small(tmp_path, monkeypatch):
    """A skill with one action, whose config module the test writes."""
    count = iter(range(100))
    monkeypatch.syspath_prepend(str(tmp_path / "code"))
    (tmp_path / "code").mkdir()
    folder = tmp_path / "tao-train-x"
    (folder / "references").mkdir(parents=True)
    (folder / "SKILL.md").write_text("---\nname: tao-train-x\ndescription: d\n---\n")

    def made(lr=0.1, param=""):
        n = next(count)
        (tmp_path / "code" / f"x_config_{n}.py").write_text(CONFIG.format(lr=lr))
        (folder / "references" / "skill_info.yaml").write_text(INFO.format(n=n, param=param))
        return skill.load(folder)

    yield made
    for name in [name for name in sys.modules if name.startswith("x_config_")]:
        del sys.modules[name]


def files(folder: Path):
    return {p.relative_to(folder): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.mark.parametrize("entry", bank.skills(), ids=lambda entry: entry.name)
def test_the_committed_files_are_up_to_date(entry):
    assert maintain.check(bank.get(entry.name)) == []


def test_two_builds_are_equal_byte_for_byte(real):
    before = files(real.dir)
    written = maintain.build(real)
    references = {path.name for path in written if path.parent.name == "references"}
    assert references == {f"spec_template_{action}.yaml" for action in ACTIONS} | {"parsed.json", "parsed_specs.json"}
    assert {path.name for path in written if path.parent.name == "schemas"} == {
        f"{action}.schema.json" for action in ACTIONS
    } | {"manifest.json"}
    assert files(real.dir) == before


def test_skills_without_actions_have_their_facts_read_ahead_and_no_more():
    automl = bank.get("tao-run-automl")
    assert maintain.build(automl) == [automl.dir / "references" / "parsed.json"]
    assert maintain.check(automl) == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("phrases: [train x, '.. x']\n", '"^(?!'),
        ("fraises: [train x]\n", "fraises"),
        ("actions: {tarin: [train]}\n", "references/match.yaml: actions.tarin: no such action"),
        ("phrases: train x\n", "phrases: is not a list of patterns"),
    ],
)
def test_words_to_match_that_are_broken(real, words, said):
    (real.dir / "references" / "match.yaml").write_text(words)
    differences = maintain.check(real)
    assert len([line for line in differences if "is broken:" not in line]) == 1
    assert said in differences[-1]


@pytest.mark.parametrize("action", ACTIONS)
def test_generated_files_agree_with_each_other(action):
    real = bank.get(NAME)
    path = real.action(action).schema_path
    document = json.loads(path.read_text(), parse_constant=lambda word: pytest.fail(f"{word} is not JSON"))
    jsonschema.Draft202012Validator.check_schema(document)
    jsonschema.validate(document, bank.contract("action_schema"))
    assert yaml.safe_load(real.action(action).template_path.read_text()) == document["default"]
    manifest = json.loads((real.dir / "schemas" / "manifest.json").read_text())
    jsonschema.validate(manifest, bank.contract("manifest"))
    entry = manifest["actions"][action]
    for what, key in (("schema", "path"), ("template", "spec_template")):
        assert entry["sha256"][what] == hashlib.sha256((real.dir / entry[key]).read_bytes()).hexdigest()
    for key in ("automl_default_parameters", "automl_disabled_parameters", "popular"):
        assert entry[key] == document[key]
    leaves = set(real.schema(action).leaves())
    searched, fixed = set(document["automl_default_parameters"]), set(document["automl_disabled_parameters"])
    assert not searched & fixed
    assert searched | fixed == (leaves if action == "train" else set())
    assert set(spec.flatten(document["popular"], real.schema(action).map_leaves())) <= leaves


def test_every_annotation_of_the_contract_is_in_the_real_schemas():
    text = (bank.get(NAME).dir / "schemas" / "train.schema.json").read_text()
    for word in ("option_weights", "math_cond", "depends_on", "parent_param", "popular", "automl_range", "minimum", "enum"):
        assert f'"{word}"' in text


def test_searchable_leaves_have_a_finite_range_inside_what_is_valid():
    for key, leaf in bank.get(NAME).schema("train").leaves().items():
        if leaf["automl_enabled"]:
            low, high = leaf["automl_range"]
            assert leaf["minimum"] <= low < high <= leaf["maximum"], key
            assert leaf["automl_scale"] in ("linear", "log")
            assert low > 0 or leaf["automl_scale"] == "linear", key


def test_a_leaf_says_what_its_setting_says(small):
    x = small()
    maintain.build(x)
    leaves = x.schema("train").leaves()
    assert leaves["train.lr"] == {
        "title": "Learning rate", "description": "Rate.", "type": "number", "minimum": 0.0, "maximum": 1.0, "default": 0.1,
        "automl_enabled": True, "automl_range": [0.1, 0.5], "automl_scale": "log", "math_cond": "^ 2", "depends_on": "< top",
        "popular": True, "parent_param": True,
    }  # fmt: skip
    assert leaves["train.mode"]["enum"] == ["a", "b"]
    assert leaves["train.mode"]["option_weights"] == [0.3, 0.7]
    assert leaves["train.mode"]["automl_when"] == {"train.lr": [0.1]}
    assert leaves["train.steps"]["items"] == {"type": "integer"}
    assert leaves["train.steps"]["default"] == [1, 2]
    assert leaves["train.names"]["x-replace"] is True
    assert leaves["train.key"]["anyOf"] == [{"type": "string"}, {"type": "null"}]
    assert leaves["train.key"]["writeOnly"] is True
    assert leaves["train.on"] == {
        "title": "On",
        "description": "On.",
        "type": "boolean",
        "default": True,
        "automl_enabled": False,
    }
    document = x.schema("train").document
    assert document["popular"] == {"train": {"lr": 0.1}}
    assert document["x_tao_schema"]["model"] == "tao-train-x"
    assert document["properties"]["train"]["default"]["steps"] == [1, 2]
    assert maintain.check(x) == []


def test_check_says_what_differs(small):
    maintain.build(small())
    changed = small(lr=0.2)
    differences = maintain.check(changed)
    assert any(
        "train.schema.json" in d and "properties.train.properties.lr.default is 0.1, the config says 0.2" in d
        for d in differences
    )
    assert any("spec_template_train.yaml: train.lr is 0.1, the config says 0.2" in d for d in differences)
    assert any("manifest.json" in d for d in differences)
    maintain.build(changed)
    assert maintain.check(changed) == []


@pytest.mark.parametrize(
    ("damage", "phrase"),
    [
        (lambda d: (d / "schemas/train.schema.json").unlink(), "schemas/train.schema.json: missing"),
        (lambda d: (d / "schemas/train.schema.json").write_text("{"), "schemas/train.schema.json: does not parse"),
        (
            lambda d: (d / "references/spec_template_train.yaml").write_text("a: [\n"),
            "spec_template_train.yaml: does not parse",
        ),
        (lambda d: (d / "schemas/prune.schema.json").write_text("{}"), "schemas/prune.schema.json: no action of that name"),
        (lambda d: (d / "schemas/manifest.json").write_text("{}\n"), "schemas/manifest.json: schema_version is absent"),
        (lambda d: (d / "references/parsed.json").unlink(), "references/parsed.json: missing"),
        (lambda d: (d / "references/parsed.json").write_text('{"content": {}}'), "references/parsed.json: is of other texts"),
        (lambda d: (d / "evals/evals.json").write_text("[]"), "evals/evals.json"),
    ],
)
def test_damage_is_found(real, damage, phrase):
    damage(real.dir)
    assert any(phrase in difference for difference in maintain.check(real)), maintain.check(real)


@pytest.mark.parametrize(("action", "says"), [("test", "no such action"), ("train", "takes no checkpoint")])
def test_a_final_evaluation_that_cannot_be_is_found(real, action, says):
    info = {**real.info, "automl": {**real.info["automl"], "final": {**real.info["automl"]["final"], "action": action}}}
    found = [line for line in maintain.check(real._replace(info=info)) if "automl.final" in line]
    assert len(found) == 1
    assert says in found[0]
    assert "evaluate" in found[0]


def test_a_schedule_that_is_none_is_found(real):
    late = {"train.optim.lr_scheduler": ["OneCycle", "Twice"], "train.optim.speed": [1]}
    info = {**real.info, "automl": {**real.info["automl"], "judge_late": late}}
    found = [line for line in maintain.check(real._replace(info=info)) if "automl.judge_late" in line]
    assert len(found) == 2
    assert "'Twice'" in found[0]
    assert "AutoReduce, MultiStep, Cosine, OneCycle" in found[0]
    assert "train.optim.speed" in found[1]


def test_a_metric_measured_on_what_is_no_input_is_found(real):
    info = {**real.info, "automl": {**real.info["automl"], "measured_on": "train.num_epochs"}}
    assert maintain.check(real._replace(info=info)) == [
        "references/skill_info.yaml: automl.measured_on: train.num_epochs is no input of train"
    ]


def test_a_control_that_is_said_and_not_taken_is_found(real):
    said = {"train": False, "evaluate": True}
    actions = {name: action._replace(control=said.get(name, action.control)) for name, action in real.actions.items()}
    assert maintain.check(real._replace(actions=actions)) == [
        "references/skill_info.yaml: actions.train.control: is false, and stgcn.train:run has a parameter named control",
        "references/skill_info.yaml: actions.evaluate.control: is true, and stgcn.evaluate:run has no parameter named control",
    ]


@pytest.mark.parametrize(
    ("param", "phrase"), [("train.rl: key", "train.rl: no such setting"), ("train.lr: guess", "no inference 'guess'")]
)
def test_facts_that_do_not_fit_the_config(small, param, phrase):
    x = small(param=param)
    with pytest.raises(SchemaInvalid, match=phrase):
        maintain.build(x)
    assert any(phrase in line for line in maintain.check(x))
    assert not (x.dir / "schemas").exists()


def test_a_config_that_is_not_there_is_no_silent_nothing(small):
    x = small()._replace(config_source="no_such_module:ACTIONS")
    with pytest.raises(SchemaInvalid, match="cannot be read"):
        maintain.build(x)


def test_actions_and_config_must_be_the_same(real):
    fewer = real._replace(actions={k: v for k, v in real.actions.items() if k != "export"})
    with pytest.raises(SchemaInvalid, match=r"skill_info\.yaml has the actions .*; stgcn\.config:ACTIONS has .*export"):
        maintain.build(fewer)


def test_a_failing_write_leaves_the_old_file(small, monkeypatch):
    x = small()
    maintain.build(x)
    before = files(x.dir)
    changed = small(lr=0.3)

    def broken(source, target):
        raise OSError("disk full")

    monkeypatch.setattr(maintain.os, "replace", broken)
    with pytest.raises(OSError, match="disk full"):
        maintain.build(changed)
    after = files(x.dir)
    assert {k: v for k, v in after.items() if k.name != "skill_info.yaml"} == {
        k: v for k, v in before.items() if k.name != "skill_info.yaml"
    }
