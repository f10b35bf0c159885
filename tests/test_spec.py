from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from runner import spec
from runner.errors import SpecInvalid, UsageError

DATA = Path(__file__).parent / "data"


def write(folder, text, name="spec.yaml"):
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001),
        ("1E5", 1e5),
        ("-2.5e+3", -2500.0),
        (".5", 0.5),
        ("3.", 3.0),
        ("10", 10),
        ("-1", -1),
        ("1_000", 1000),
        ("0x1F", 31),
        ("on", True),
        ("Off", False),
        ("yes", True),
        ("no", False),
        ("true", True),
        ("~", None),
        ("null", None),
        ("", None),
        ("'on'", "on"),
        ('"1e-3"', "1e-3"),
        ("???", "???"),
        ("010", "010"),
        ("1:30", "1:30"),
        ("2024-01-01", "2024-01-01"),
        ("1e400", "1e400"),
        ("s3://bucket/a b.npy", "s3://bucket/a b.npy"),
        ("[10, 1e-2, off, 'off']", [10, 0.01, False, "off"]),
        ("{a: 0, yes: 1}", {"a": 0, "yes": 1}),
    ],
)
def test_values_mean_what_a_person_means(tmp_path, text, value):
    read = spec.read(write(tmp_path, f"key: {text}\n"))["key"]
    assert read == value
    assert type(read) is type(value)


@pytest.mark.parametrize(
    ("text", "phrases"),
    [
        ("train:\n  num_epochs: 3\n  num_epochs: 4\n", ["train.num_epochs: given twice, in lines 2 and 3"]),
        ("train.optim.lr: 0.1\n", ["'train.optim.lr' holds dots", "train: {optim: {lr: ...}}"]),
        ("a: .nan\nb: -.inf\n", ["a: line 1: .nan is not a finite number", "b: line 2"]),
        ("a: !!python/object/apply:os.system [touch /tmp/x]\n", ["a: line 1: the tag", "python/object/apply:os.system"]),
        ("a: !secret x\n", ["the tag !secret is refused"]),
        ("a: [1, 2\nb: 3\n", ["line 2, column"]),
        ("a: b: c\n", ["line 1, column 5"]),
        ("- 1\n- 2\n", ["holds a list"]),
        ("just text\n", ["holds one text"]),
        ("a: 1\n---\nb: 2\n", ["line 2"]),
        ("? [1, 2]\n: 3\n", ["a key must be a plain name"]),
        ("<<: {a: 1}\n", ["a key must be a plain name"]),
        ("a: 1\na: 2\nb.c: 3\nd: .inf\n", ["a: given twice", "'b.c' holds dots", "d: line 4"]),
        (b"a: \xff\xfe\n", ["not UTF-8 text (byte 3)"]),
        ("a: \x00\n", ["not readable as YAML"]),
        ("a: " + "[" * 60 + "]" * 60, ["too large or too deeply nested"]),
        ("a: &x [1]\nb: &y [*x, *x, *x]\n" + "c: &z [*y, *y, *y, *z]\n", ["too large or too deeply nested"]),
    ],
)
def test_everything_wrong_with_a_yaml_file_is_said_at_once(tmp_path, text, phrases):
    with pytest.raises(SpecInvalid) as caught:
        spec.read(write(tmp_path, text))
    assert caught.value.exit_code == 3
    for phrase in phrases:
        assert phrase in str(caught.value)


def test_a_bomb_of_aliases_ends_early(tmp_path):
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 12)]
    with pytest.raises(SpecInvalid, match="too large"):
        spec.read(write(tmp_path, "\n".join(lines)))


@pytest.mark.parametrize(
    ("text", "phrase"),
    [
        ('{"a": NaN}', "NaN is not a finite number"),
        ('{"a": 1e999}', "a: not a finite number"),
        ('{"a": 1, "a": 2}', "a: given twice"),
        ('{"a": {"b.c": 1}}', "'b.c' holds dots"),
        ('{"a": 1,}', "line 1"),
        ("[1]", "holds a list"),
        ('{"a": ' * 60 + "1" + "}" * 60, "too deeply nested"),
    ],
)
def test_json_is_read_as_strictly(tmp_path, text, phrase):
    with pytest.raises(SpecInvalid) as caught:
        spec.read(write(tmp_path, text, "spec.json"))
    assert phrase in str(caught.value)


def test_json_is_read(tmp_path):
    assert spec.read(write(tmp_path, '{"a": {"b": [1, "on"]}}', "s.json")) == {"a": {"b": [1, "on"]}}


def test_files_that_are_no_specs(tmp_path):
    with pytest.raises(SpecInvalid, match=r"no such spec file: .*nowhere\.yaml"):
        spec.read(tmp_path / "nowhere.yaml")
    with pytest.raises(SpecInvalid, match="is a folder"):
        spec.read(tmp_path)
    assert spec.read(write(tmp_path, "")) == {}
    assert spec.read(write(tmp_path, "\ufeffa: 1\n")) == {"a": 1}


def test_keys_of_open_maps_may_hold_dots(tmp_path):
    path = write(tmp_path, "dataset:\n  label_map: {sit.down: 0, no: 1}\n")
    assert spec.read(path, maps={"dataset.label_map"}) == {"dataset": {"label_map": {"sit.down": 0, "no": 1}}}


@pytest.mark.parametrize(("name", "epochs"), [("tao_nvidia", 70), ("tao_kinetics", 5)])
def test_tao_specs_are_read_unchanged(name, epochs):
    read = spec.read(DATA / f"{name}.yaml")
    assert spec.get(read, "train.num_epochs") == epochs
    assert spec.get(read, "train.optim.lr") == 0.1
    assert spec.get(read, "train.optim.nesterov") is True


def test_unset_values_of_tao_are_kept():
    read = spec.read(DATA / "tao_nvidia.yaml")
    assert (read["results_dir"], read["model"]["pretrained_model_path"]) == ("???", None)


leaf_values = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
names = st.text(st.characters(codec="utf-8", exclude_characters="."), min_size=1)
values = st.recursive(leaf_values, lambda v: st.lists(v, max_size=4) | st.dictionaries(names, v, max_size=4), max_leaves=12)


@given(st.dictionaries(names, values, max_size=4))
def test_what_is_written_is_read_back(tree):
    text = spec.write(tree)
    assert spec.parse(text) == tree
    assert spec.write(tree) == text


def test_written_yaml_says_the_same_to_other_readers():
    tree = {"a": {"lr": 1e-4, "tiny": 1e-06, "text": "1e-3", "flag": "on", "steps": [10, 60], "none": None, "empty": ""}}
    assert yaml.safe_load(spec.write(tree)) == tree
    assert "steps: [10, 60]" in spec.write(tree)


def test_get_has_set():
    tree = {"train": {"optim": {"lr": 0.1}, "note": None}}
    assert spec.get(tree, "train.optim.lr") == 0.1
    assert spec.get(tree, "train.optim.lr.deeper", 7) == 7
    assert spec.has(tree, "train.note")
    assert not spec.has(tree, "train.other")
    spec.set_(tree, "model.graph.layout", "coco")
    assert tree["model"] == {"graph": {"layout": "coco"}}
    with pytest.raises(SpecInvalid, match=r"train\.optim\.lr is the value 0\.1, not a section"):
        spec.set_(tree, "train.optim.lr.start", 1)


def test_merge_replaces_values_and_open_maps_and_shares_nothing():
    base = {"dataset": {"label_map": {"a": 0, "b": 1}, "paths": {"x": "1"}}, "steps": [1, 2]}
    overlay = {"dataset": {"label_map": {"c": 0}, "paths": {"y": "2"}}, "steps": [3]}
    merged = spec.merge(base, overlay, {"dataset.label_map"})
    assert merged == {"dataset": {"label_map": {"c": 0}, "paths": {"x": "1", "y": "2"}}, "steps": [3]}
    merged["steps"].append(4)
    merged["dataset"]["paths"]["x"] = "changed"
    assert overlay["steps"] == [3]
    assert base["dataset"]["paths"]["x"] == "1"


def test_flatten_and_nest_are_each_others_reverse():
    tree = {"a": {"b": 1, "map": {"x": 0}}, "c": [1], "empty": {}}
    flat = spec.flatten(tree, {"a.map"})
    assert flat == {"a.b": 1, "a.map": {"x": 0}, "c": [1], "empty": {}}
    assert spec.nest(flat, {"a.map"}) == tree
    assert spec.nest({"a": {"b": 1}, "a.c": 2}) == {"a": {"b": 1, "c": 2}}


@pytest.mark.parametrize(
    ("text", "key", "value"),
    [
        ("train.optim.lr=1e-3", "train.optim.lr", 0.001),
        ("train.gpu_ids=[0,1]", "train.gpu_ids", [0, 1]),
        ("dataset.label_map={a: 0, b: 1}", "dataset.label_map", {"a": 0, "b": 1}),
        ("dataset.label_map={a:0,sitting down:1}", "dataset.label_map", {"a": 0, "sitting down": 1}),
        ("dataset.label_map={sit.down: 0}", "dataset.label_map", {"sit.down": 0}),
        ("results_dir=/data/my results/a=b", "results_dir", "/data/my results/a=b"),
        ("wandb.name=run: first #1", "wandb.name", "run: first #1"),
        ("wandb.name='true'", "wandb.name", "true"),
        ("wandb.enable=off", "wandb.enable", False),
        ("encryption_key=null", "encryption_key", None),
        ("results_dir=", "results_dir", ""),
        (" num_epochs = 3 ", "num_epochs", 3),
        ("data={p: s3://b/k}", "data", {"p": "s3://b/k"}),
    ],
)
def test_overrides(text, key, value):
    parsed = spec.parse_override(text)
    assert parsed == (key, value)
    assert type(parsed[1]) is type(value)


@pytest.mark.parametrize(
    "text", ["num_epochs", "=3", "a..b=1", "a=[1,", "a={x: !!python/name:os.system y}", "a=.inf", "a=[.nan]"]
)
def test_overrides_that_are_none(text):
    with pytest.raises(UsageError):
        spec.parse_override(text)


def test_shorthand():
    mapping = {"num_epochs": "train.num_epochs"}
    assert spec.expand_shorthand([("num_epochs", 3), ("x.y", 1)], mapping) == [("train.num_epochs", 3), ("x.y", 1)]
    assert spec.expand_shorthand([("num_epochs", 3), ("num_epochs", 4)], mapping)[-1] == ("train.num_epochs", 4)
    with pytest.raises(UsageError, match=r"given twice, num_epochs=3 and train\.num_epochs=4"):
        spec.expand_shorthand([("num_epochs", 3), ("train.num_epochs", 4)], mapping)


@pytest.mark.parametrize(
    ("key", "first"),
    [
        ("train.num_epoch", "train.num_epochs"),
        ("train.lr", "train.optim.lr"),
        ("optim.lr", "train.optim.lr"),
        ("train.optim.weigth_decay", "train.optim.weight_decay"),
        ("dataset.batchsize", "dataset.batch_size"),
        ("xyzzy", None),
    ],
)
def test_nearest(key, first):
    known = ["train.num_epochs", "train.num_gpus", "train.optim.lr", "train.optim.weight_decay", "dataset.batch_size"]
    assert next(iter(spec.nearest(key, known)), None) == first


def test_plain_never_breaks_on_long_digits():
    assert isinstance(spec.plain("9" * 10_000), str)
    assert json.dumps(spec.plain("9" * 300))
