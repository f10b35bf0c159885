from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

from runner import bank, spec
from runner.errors import SchemaInvalid, SpecInvalid
from runner.schema import ActionSchema, from_tao, is_tao, split_sections

DATA = Path(__file__).parent / "data"
ACTIONS = ("dataset_convert", "train", "evaluate", "export", "inference")


@pytest.fixture(scope="module")
def schemas():
    return bank.get("tao-train-pose-classification").schemas()


@pytest.fixture
def train(schemas):
    return schemas["train"]


@pytest.mark.parametrize("action", ACTIONS)
def test_generated_schemas_are_json_schema_and_their_defaults_are_valid(schemas, action):
    schema = schemas[action]
    jsonschema.Draft202012Validator.check_schema(schema.document)
    assert schema.action == action
    assert schema.problems(schema.defaults()) == []
    assert schema.defaults() is not schema.defaults()
    jsonschema.Draft202012Validator(schema.document).validate(schema.defaults())


@pytest.mark.parametrize(
    ("values", "path", "says", "allowed"),
    [
        ({"train.num_epoch": 3}, "train.num_epoch", "did you mean train.num_epochs", ""),
        ({"trian.num_epochs": 3}, "trian", "did you mean train", ""),
        ({"train.zzz": 3}, "train.zzz", "no such setting", "num_gpus, gpu_ids"),
        ({"train.num_epochs": "10"}, "train.num_epochs", "'10' is text (quoted?), not an integer", "an integer at least 1"),
        ({"train.num_epochs": 2.5}, "train.num_epochs", "2.5 is not an integer", "an integer at least 1"),
        ({"train.num_epochs": True}, "train.num_epochs", "true is not an integer", "an integer"),
        ({"train.num_epochs": None}, "train.num_epochs", "null is not an integer", "an integer"),
        ({"train.num_epochs": 0}, "train.num_epochs", "0 is out of bounds", "at least 1"),
        ({"train.num_gpus": "???"}, "train.num_gpus", "'???' is text, not an integer", "at least 1"),
        ({"model.dropout": 5}, "model.dropout", "5 is out of bounds", "from 0.0 to 1.0"),
        ({"train.optim.lr": -1}, "train.optim.lr", "-1 is out of bounds", "from 0.0 to 10.0"),
        ({"train.optim.lr": float("nan")}, "train.optim.lr", "nan is not a finite number", ""),
        ({"train.optim.lr": float("inf")}, "train.optim.lr", "inf is not a finite number", ""),
        (
            {"train.optim.nesterov": "yes"},
            "train.optim.nesterov",
            "'yes' is text (quoted?), not true or false",
            "true or false",
        ),
        ({"train.optim.lr_steps": [1, "b"]}, "train.optim.lr_steps[1]", "'b' is text, not an integer", "an integer"),
        ({"train.optim.lr_steps": 10}, "train.optim.lr_steps", "10 is not a list", "a list"),
        ({"train.cudnn": 3}, "train.cudnn", "3 is not a mapping", "a mapping"),
        ({"model.graph_layout": "cocoo"}, "model.graph_layout", "did you mean coco?", "nvidia, openpose, human3.6m"),
        ({"model.graph_layout": 17}, "model.graph_layout", "17 is not", "nvidia, openpose"),
        ({"dataset.label_map": {"walk": -1}}, "dataset.label_map.walk", "-1 is out of bounds", "at least 0"),
        ({"dataset.label_map": {"walk": "a"}}, "dataset.label_map.walk", "'a' is text", "an integer"),
        ({"dataset.label_map": None}, "dataset.label_map", "null is not a mapping", "a mapping"),
        ({"results_dir": ["a"]}, "results_dir", "['a'] is not text", "text or null"),
    ],
)
def test_problems_say_where_what_and_what_is_allowed(train, values, path, says, allowed):
    found = train.problems(spec.merge(train.defaults(), spec.nest(values), train.map_leaves()))
    assert [p.path for p in found] == [path]
    assert says in found[0].says
    assert allowed in found[0].allowed


def test_all_problems_at_once_in_the_order_of_the_schema(train):
    broken = spec.nest(
        {"train.optim.lr": -1, "train.num_epochs": "3", "model.dropout": 2, "nope": 1, "train.x": 1, "train.y": 2}
    )
    assert {p.path for p in train.problems(broken)} == {
        "train.optim.lr", "train.num_epochs", "model.dropout", "nope", "train.x", "train.y"
    }  # fmt: skip
    assert [p.path for p in train.problems(broken)][:3] == ["model.dropout", "train.num_epochs", "train.optim.lr"]
    with pytest.raises(SpecInvalid) as caught:
        train.check(broken)
    assert len(caught.value.problems) == 6
    train.check(train.defaults())


def test_coerce_gives_each_setting_its_own_type(train):
    given = spec.nest({
        "train.num_epochs": 16.0, "train.gpu_ids": [0.0], "dataset.label_map": {"a": 0.0}, "train.optim.lr": 1,
        "wandb.name": 7, "train.optim.nesterov": 1, "train.seed": "5", "dataset.num_classes": 2.5,
    })  # fmt: skip
    coerced = spec.flatten(train.coerce(given), train.map_leaves())
    assert coerced["train.num_epochs"] == 16
    assert type(coerced["train.num_epochs"]) is int
    assert coerced["train.gpu_ids"] == [0]
    assert type(coerced["train.gpu_ids"][0]) is int
    assert type(coerced["dataset.label_map"]["a"]) is int
    assert coerced["train.optim.lr"] == 1
    assert coerced["wandb.name"] == "7"
    assert coerced["train.optim.nesterov"] == 1
    assert coerced["train.seed"] == "5"
    assert coerced["dataset.num_classes"] == 2.5
    assert given["train"]["num_epochs"] == 16.0
    assert isinstance(given["train"]["num_epochs"], float)


def test_on_and_off_become_the_word_a_choice_means():
    leaf = {"type": "string", "enum": ["auto", "off"]}
    schema = ActionSchema(
        {"type": "object", "properties": {"amp": leaf, "flag": {"type": "boolean"}}, "additionalProperties": False}
    )
    read = spec.parse("amp: off\nflag: off\n")
    assert schema.coerce(read) == {"amp": "off", "flag": False}
    assert schema.problems(schema.coerce(read)) == []
    assert schema.coerce({"amp": True}) == {"amp": True}


def test_leaves_maps_and_secrets(train):
    leaves = train.leaves()
    assert leaves["train.optim.lr"]["default"] == 0.1
    assert "train.optim" not in leaves
    assert train.map_leaves() == {"dataset.label_map"}
    assert train.secrets() == {"encryption_key"}
    assert set(spec.flatten(train.defaults(), train.map_leaves())) == set(leaves)
    assert train.leaf("train.optim.lr")["maximum"] == 10.0
    with pytest.raises(SpecInvalid, match=r"did you mean train\.optim\.lr"):
        train.leaf("train.lr")


def test_search_space_of_the_default_spec(train):
    space, left_out = train.search_space(train.defaults())
    by_key = {p.key: p for p in space}
    assert set(by_key) == {
        "model.dropout", "train.grad_clip", "train.optim.lr", "train.optim.lr_decay", "train.optim.momentum",
        "train.optim.weight_decay",
    }  # fmt: skip
    assert dict(left_out) == {
        "dataset.window_size": "it has no effect while dataset.random_choose is false",
        "train.optim.patience": "it has no effect while train.optim.lr_scheduler is 'MultiStep'",
    }
    lr = by_key["train.optim.lr"]
    assert (lr.kind, lr.low, lr.high, lr.scale, lr.default, lr.parent_param) == ("float", 0.0001, 0.3, "log", 0.1, True)
    assert all(p.low < p.high for p in space)


def test_search_space_follows_the_other_values(train):
    optim = {"optimizer_type": "torch.optim.AdamW", "lr_scheduler": "AutoReduce"}
    chosen = spec.nest({"dataset.random_choose": True, "train.optim": optim})
    space, left_out = train.search_space(spec.merge(train.defaults(), chosen), excluded={"train.grad_clip"})
    keys = [p.key for p in space]
    assert "dataset.window_size" in keys
    assert "train.optim.patience" in keys
    window = next(p for p in space if p.key == "dataset.window_size")
    assert (window.kind, window.low, window.high, window.default) == ("int", 16, 300, -1)
    assert dict(left_out) == {
        "train.grad_clip": "excluded on request",
        "train.optim.momentum": "it has no effect while train.optim.optimizer_type is 'torch.optim.AdamW'",
    }


def test_search_space_on_request(train):
    space, left_out = train.search_space(train.defaults(), requested=["train.optim.lr", "train.num_epochs"])
    assert [p.key for p in space] == ["train.optim.lr"]
    assert left_out == [("train.num_epochs", "it is not searchable")]
    with pytest.raises(SpecInvalid, match=r"train\.lr: no such setting, did you mean train\.optim\.lr"):
        train.search_space(train.defaults(), requested=["train.lr"])


def test_dependent_parameters_come_last():
    number = {"type": "number", "default": 1.0, "automl_enabled": True, "automl_range": [0, 1], "automl_scale": "linear"}
    schema = ActionSchema({
        "type": "object", "automl_default_parameters": ["a", "b"],
        "properties": {"a": {**number, "depends_on": "< b"}, "b": {**number, "maximum": 0.5}},
    })  # fmt: skip
    space, _ = schema.search_space({})
    assert [p.key for p in space] == ["b", "a"]
    assert space[0].high == 0.5


@pytest.mark.parametrize("name", ["tao_nvidia", "tao_kinetics"])
@pytest.mark.parametrize("action", ACTIONS)
def test_one_tao_file_serves_every_action(schemas, name, action):
    given = spec.read(DATA / f"{name}.yaml")
    own, aside, problems = split_sections(given, action, schemas)
    assert problems == []
    assert not set(own) & set(aside)
    assert set(own) | set(aside) == set(given)
    schema = schemas[action]
    assert schema.problems(schema.coerce(spec.merge(schema.defaults(), own, schema.map_leaves()))) == []


def test_sections_of_siblings_are_checked_and_strangers_stay(schemas):
    given = {"train": {"num_epochs": 3}, "evaluate": {"chekpoint": "a"}, "nonsense": {"a": 1}}
    own, aside, problems = split_sections(given, "train", schemas)
    assert set(own) == {"train", "nonsense"}
    assert set(aside) == {"evaluate"}
    assert [p.path for p in problems] == ["evaluate.chekpoint"]
    assert "evaluate.checkpoint" in problems[0].says


@pytest.mark.parametrize(
    ("text", "phrase"),
    [
        ("{", "does not parse"),
        ("[]", "it has no properties"),
        ('{"type": "object"}', "it has no properties"),
        ('{"properties": {"a": {"type": "number", "maximum": Infinity}}}', "it holds Infinity"),
        ('{"properties": {"a": {"type": "number", "default": NaN}}}', "it holds NaN"),
    ],
)
def test_broken_schema_files(tmp_path, text, phrase):
    path = tmp_path / "train.schema.json"
    path.write_text(text)
    with pytest.raises(SchemaInvalid, match=phrase):
        ActionSchema.load(path)


def test_missing_and_senseless_schemas(tmp_path):
    with pytest.raises(SchemaInvalid, match="skillbank schemas build"):
        ActionSchema.load(tmp_path / "none.schema.json")
    with pytest.raises(SchemaInvalid, match="is not a JSON Schema"):
        ActionSchema({"type": "object", "properties": {"a": {"type": "numbr"}}}).problems({"a": 1})


def test_taos_dialect_becomes_standard():
    raw = json.loads((DATA / "tao_dialect.schema.json").read_text())
    assert is_tao(raw)
    with pytest.raises(jsonschema.SchemaError):
        jsonschema.Draft202012Validator.check_schema(raw)
    standard = from_tao(raw)
    jsonschema.Draft202012Validator.check_schema(standard)
    assert not is_tao(standard)
    json.dumps(standard, allow_nan=False)
    assert standard["required"] == []
    assert "automl_disabled_parameters" not in standard["properties"]
    jsonschema.Draft202012Validator(standard).validate(standard["default"])


@pytest.mark.parametrize(
    ("values", "paths"),
    [
        ({"train.num_epochs": 2**40, "train.optim.lr": 99.0, "dataset.label_map": {"a": 0}}, []),
        ({"train.optim.optimizer_type": "torch.optim.SGDD"}, ["train.optim.optimizer_type"]),
        ({"train.optim.momentum": 2.0, "train.optim.lr": -1}, ["train.optim.lr", "train.optim.momentum"]),
        ({"train.num_epochs": "abc", "train.strides": 3}, ["train.num_epochs", "train.strides"]),
        ({"train.precision": 16, "train.milestones": None, "dataset.augmentations": ["flip"]}, []),
        ({"train.precision": 1.5, "dataset.augmentations": ["blur"]}, ["dataset.augmentations[0]", "train.precision"]),
        ({"train.epochs": 3}, ["train.epochs"]),
        ({"results_dir": None, "encryption_key": "k"}, []),
    ],
)
def test_taos_dialect_is_enforced(values, paths):
    schema = ActionSchema.load(DATA / "tao_dialect.schema.json")
    found = schema.problems(spec.merge(schema.defaults(), spec.nest(values), schema.map_leaves()))
    assert sorted(p.path for p in found) == paths


def test_taos_dialect_can_be_searched_where_it_is_finite():
    schema = ActionSchema.load(DATA / "tao_dialect.schema.json")
    space, left_out = schema.search_space(schema.defaults())
    assert {p.key: p.kind for p in space} == {
        "train.optim.momentum": "float", "train.optim.optimizer_type": "enum", "train.optim.nesterov": "bool"
    }  # fmt: skip
    assert next(p for p in space if p.kind == "enum").weights == (0.5, 0.25, 0.25)
    assert {key for key, _ in left_out} == {"train.optim.lr", "dataset.window_size"}
    assert {reason for _, reason in left_out} == {"it has no finite search range"}
