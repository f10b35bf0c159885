from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
import skills_ref

from runner import bank, skill, spec
from runner.errors import SchemaInvalid, UnknownAction

HEAD = "---\nname: tao-train-x\ndescription: Trains x.\n---\n# X\n"
INFO = """
name: tao-train-x
version: "1.2.3"
network_arch: x
automl_enabled: true
automl: {metric: val_acc, direction: maximize}
config_source: "x.config:ACTIONS"
gpu_spec_key: train.num_gpus
actions:
  train:
    command: "x train -e {config_path}"
    entrypoint: "x.train:run"
    inputs: {train.data: {type: file, optional: false}}
    outputs: {results_dir: {type: folder}}
    upload_excludes: [inputs/]
    execution: {type: python_script, script: scripts/run_action.py}
  convert:
    entrypoint: "x.convert:run"
    not_run_reason: nothing to convert
spec_params: {train: {results_dir: output_dir}}
spec_shorthand_keys: {num_epochs: train.num_epochs}
spec_templates: {train: references/other_name.yaml}
"""


@pytest.fixture
def make(tmp_path):
    def made(head=HEAD, info=INFO, name="tao-train-x"):
        folder = tmp_path / name
        (folder / "references").mkdir(parents=True)
        (folder / "SKILL.md").write_text(head)
        if info:
            (folder / "references" / "skill_info.yaml").write_text(info)
        return folder

    return made


def test_what_was_read_ahead_is_taken_for_the_same_text_alone(make, monkeypatch):
    folder = make()
    ahead = folder / skill.ahead.FACTS
    ahead.write_text(json.dumps({"content": {INFO: {"name": "tao-train-x", "version": "9"}}}))
    assert skill.info(folder)["version"] == "9"
    (folder / "references" / "skill_info.yaml").write_text(INFO + "# a word more\n")
    assert skill.info(folder)["version"] == "1.2.3"
    for broken in ("", "[", "[]", "{}", '{"content": 3}', json.dumps({"content": {INFO: 3}})):
        ahead.write_text(broken)
        assert skill.info(folder)["version"] == "1.2.3"


def test_a_skill_is_what_its_files_say(make):
    x = skill.load(make())
    assert (x.name, x.description, x.version, x.network_arch) == ("tao-train-x", "Trains x.", "1.2.3", "x")
    assert (x.automl_enabled, x.automl_metric, x.automl_direction) == (True, "val_acc", "maximize")
    assert (x.gpu_spec_key, x.config_source, x.shorthand) == (
        "train.num_gpus",
        "x.config:ACTIONS",
        {"num_epochs": "train.num_epochs"},
    )
    train = x.action("train")
    assert train.entrypoint == "x.train:run"
    assert train.inputs == {"train.data": {"type": "file", "optional": False}}
    assert train.upload_excludes == ("inputs/",)
    assert train.spec_params == {"results_dir": "output_dir"}
    assert train.template_path == x.dir / "references" / "other_name.yaml"
    assert train.schema_path == x.dir / "schemas" / "train.schema.json"
    assert x.action("convert").not_run_reason == "nothing to convert"
    with pytest.raises(AttributeError):
        x.name = "other"


def test_instructions_only(make):
    x = skill.load(make(info=""))
    assert x.actions == {}
    with pytest.raises(UnknownAction, match="instructions only"):
        x.action("train")


def test_unknown_action_lists_what_exists(make):
    x = skill.load(make())
    with pytest.raises(UnknownAction, match=r"did you mean train\?\nActions: train, convert") as caught:
        x.action("trian")
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("head", "phrases"),
    [
        ("# X\n", ["does not begin with front matter"]),
        ("---\nname: tao-train-x\n", ["does not begin with front matter"]),
        ("---\nname: [\n---\n", ["the front matter of"]),
        ("---\nname: other\n---\n", ["'other' is not the folder's name", "description: is missing"]),
        ("---\nname: tao-train-x\ndescription: a <b> c\n---\n", ["holds '<'"]),
        (f"---\nname: tao-train-x\ndescription: {'a' * 1025}\n---\n", ["1 to 1024 characters"]),
        (
            "---\nname: tao-train-x\ndescription: d\nowner: me\ntags: [a]\n---\n",
            ["owner: no such field", "tags: no such field"],
        ),
        ("---\nname: tao-train-x\ndescription: d\nmetadata: [a]\n---\n", ["metadata: is not a mapping"]),
        (f"---\nname: tao-train-x\ndescription: d\ncompatibility: {'a' * 501}\n---\n", ["1 to 500 characters"]),
    ],
)
def test_broken_front_matter_is_named_in_full(make, head, phrases):
    with pytest.raises(SchemaInvalid) as caught:
        skill.load(make(head=head))
    for phrase in phrases:
        assert phrase in str(caught.value)


@pytest.mark.parametrize(
    ("info", "phrases"),
    [
        ("name: other\n", ["skill_info name"]),
        ("name: tao-train-x\nactions: [train]\n", ["actions: is not a mapping"]),
        (
            "name: tao-train-x\nactions: {train: {entrypoint: stgcn.train}}\n",
            ["network_arch: is missing", "package.module:function"],
        ),
        ("name: tao-train-x\nname: tao-train-x\n", ["given twice"]),
        ("- a\n", ["holds a list"]),
    ],
)
def test_broken_facts_are_named_in_full(make, info, phrases):
    with pytest.raises(SchemaInvalid) as caught:
        skill.load(make(info=info))
    for phrase in phrases:
        assert phrase in str(caught.value)


@pytest.mark.parametrize(
    ("words", "problems"),
    [
        ("phrases: train x\nsubjects: [1]\n", ["phrases", "subjects"]),
        ("actions: [train]\n", ["actions"]),
        ("actions: {train: fit}\ntasks: ['']\n", ["tasks", "actions.train"]),
    ],
)
def test_broken_words_are_named_in_full(make, words, problems):
    folder = make()
    assert skill.load(folder).words == {}
    (folder / "references" / "match.yaml").write_text(words)
    with pytest.raises(SchemaInvalid) as caught:
        _ = skill.load(folder).words
    assert [problem.path for problem in caught.value.problems] == problems


def test_no_skill_at_all(tmp_path):
    with pytest.raises(SchemaInvalid, match=r"it has no SKILL\.md"):
        skill.load(tmp_path)


def test_packaged_means_schema_and_template_exist_and_parse(make):
    x = skill.load(make())
    assert not x.packaged("train")
    (x.dir / "schemas").mkdir()
    x.action("train").schema_path.write_text(
        '{"type": "object", "properties": {"a": {"type": "integer"}}, "default": {"a": 1}}'
    )
    assert not x.packaged("train")
    x.action("train").template_path.write_text("a: 1\n")
    assert x.packaged("train")
    assert x.template("train") == {"a": 1}
    assert list(x.schemas()) == ["train"]
    x.action("train").template_path.write_text("a: [\n")
    assert not x.packaged("train")
    x.action("train").schema_path.write_text("{")
    assert not x.packaged("train")


@pytest.mark.parametrize("entry", bank.skills(), ids=lambda entry: entry.name)
def test_the_banks_skills_keep_the_specification_and_the_contracts(entry):
    assert skills_ref.validate(entry.dir) == []
    real = skill.load(entry.dir)
    jsonschema.validate(real.front_matter, bank.contract("frontmatter"))
    if real.info:
        jsonschema.validate(real.info, bank.contract("skill_info"))
    described = real.describe()
    assert described["name"] == entry.name
    assert set(described["actions"]) == set(real.actions)


def test_every_real_action_is_packaged_and_its_template_is_the_schemas_default():
    real = bank.get("tao-train-pose-classification")
    for name in real.actions:
        assert real.packaged(name)
        assert real.template(name) == real.schema(name).defaults()


@pytest.mark.parametrize(
    "change",
    [
        {"name": "Bad Name"},
        {"owner": "me"},
        {"description": "a <b>"},
        {"description": ""},
        {"metadata": "text"},
        {"compatibility": "a" * 501},
    ],
)
def test_the_contract_and_the_code_refuse_the_same_front_matter(change):
    fine = {"name": "x", "description": "d", "license": "Apache-2.0", "metadata": {"version": "0.1.0"}, "allowed-tools": "Read"}
    validator = jsonschema.Draft202012Validator(bank.contract("frontmatter"))
    assert not list(validator.iter_errors(fine))
    assert not skill.front_matter_problems(fine, "x")
    broken = {**fine, **change}
    assert list(validator.iter_errors(broken))
    assert skill.front_matter_problems(broken, broken["name"])


def test_data_paths_of_the_real_skill_are_settings():
    real = bank.get("tao-train-pose-classification")
    for name, action in real.actions.items():
        leaves = real.schema(name).leaves()
        for key in (*action.inputs, *action.data_sources, *action.spec_params, *action.outputs):
            assert key in leaves, f"{name}: {key}; nearest {spec.nearest(key, leaves)}"
        assert Path(real.dir, action.execution["script"]).is_file()
