"""Layouts from files: read, checked, shown, drawn; a model trained on one carries it, so that nothing else needs the file."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import jsonschema
import numpy as np
import pytest
import trainer_cases as cases
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from runner import bank, compose
from runner import plan as plans
from runner.errors import InputMissing, SpecInvalid
from stgcn import config, description, errors, evaluate, export, inference, train
from stgcn.drawing import draw, positions
from stgcn.graph import LAYOUTS, canonical, from_plain, resolve

GOOD = {"joints": ["root", "l_hand", "r_hand", "head"], "edges": [[0, 1], ["root", "r_hand"], [0, 3]], "center": "root"}


def write(path: Path, content: object) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content) if path.suffix == ".json" else yaml.safe_dump(content), encoding="utf-8")
    return str(path)


@pytest.mark.parametrize("suffix", [".yaml", ".yml", ".json"])
def test_a_file_is_a_layout(tmp_path, suffix):
    layout = resolve(write(tmp_path / f"mine{suffix}", {**GOOD, "about": "other keys are left alone", "splits": {}}))
    assert (layout.name, layout.num_joints, layout.center) == ("mine", 4, 0)
    assert layout.edges == ((0, 1), (0, 2), (0, 3))
    assert layout.pairs == ((1, 2),)
    assert from_plain(layout.as_plain(), "") == (layout, [])


def test_names_pairs_and_roles(tmp_path):
    full = {**GOOD, "name": "puppet", "pairs": [["l_hand", 2]], "roles": {"head": 3, "hands": ["l_hand", 2]}}
    layout = resolve(write(tmp_path / "x.yaml", full))
    assert (layout.name, layout.pairs, layout.roles) == ("puppet", ((1, 2),), {"head": (3,), "hands": (1, 2)})
    assert resolve(write(tmp_path / "gloves" / "info.json", GOOD)).name == "gloves"
    assert resolve("coco") is LAYOUTS["coco"]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"joints": None}, ["missing: joints"]),
        ({"joints": None, "edges": None, "center": None}, ["missing: joints, edges, center"]),
        ({"joints": 4}, ["joints: expected a list of names, got 4"]),
        ({"joints": []}, ["joints: expected a list of names"]),
        ({"joints": ["a", "", 3, "d"]}, ["joints[1] is '', joints[2] is 3"]),
        ({"joints": ["a", "b", "b", "d"], "edges": [[0, 1], [0, 2], [0, 3]], "center": 0}, ["more than once: 'b'"]),
        ({"joints": [f"j{i}" for i in range(513)]}, ["513 are too many; allowed: up to 512"]),
        ({"edges": [[0, 1], [0, 2], [0, 4]]}, ["edges[2]: joint 4 does not exist; allowed: 0 to 3"]),
        ({"edges": [[0, 1], [0, 2], [0, -1]]}, ["edges[2]: joint -1 does not exist"]),
        ({"edges": [[0, 1], [0, 2], [0, "tail"]]}, ["edges[2]: 'tail' is no joint"]),
        ({"edges": [[0, 1], [0, 2], [0, True]]}, ["edges[2]: True is no joint"]),
        ({"edges": [[0, 1], [0, 2], [0, 1.0]]}, ["edges[2]: 1.0 is no joint"]),
        (
            {"edges": [[0, 1], [0, 2, 3], 7]},
            ["edges[1]: expected two joints, got a list of 3", "edges[2]: expected two joints, got 7"],
        ),
        ({"edges": {"a": 1}}, ["edges: expected a list of two joints each, got a mapping of 1"]),
        ({"edges": [[0, 1], [0, 2], [0, 3], [3, 3]]}, ["from a joint to itself: edges[3] (head)"]),
        ({"edges": [[0, 1], [0, 2], [0, 3], [3, 0]]}, ["edges[3] is edges[2] (head - root)"]),
        ({"edges": [[0, 1], [2, 3]]}, ["falls apart, no bones lead from root to 2 (r_hand), 3 (head)"]),
        ({"edges": []}, ["falls apart"]),
        ({"center": 9}, ["center: joint 9 does not exist"]),
        ({"center": "tail"}, ["center: 'tail' is no joint"]),
        ({"pairs": [[1, 2], [2, 3]]}, ["a joint has one partner at most, and never itself: r_hand"]),
        ({"pairs": [[1, 1]]}, ["never itself: l_hand"]),
        ({"pairs": [[2, 1]]}, ["the left joint comes first: pairs[0]"]),
        ({"roles": [1]}, ["roles: expected a mapping"]),
        ({"roles": {"neck": 8, "hips": []}}, ["roles.neck: joint 8", "roles.hips: names no joint"]),
        ({"name": 7}, ["name: expected text, got 7"]),
        ({"name": "coco"}, ["coco is a built-in layout with other joints or bones"]),
        (
            {"center": 9, "edges": [[0, 0], [0, 1], [1, 0]], "pairs": [[1, 1]]},
            ["center", "to itself", "more than once", "partner"],
        ),
    ],
)
def test_all_that_is_wrong_is_said_at_once_and_names_the_file(tmp_path, change, says):
    path = write(tmp_path / "mine.yaml", {**GOOD, **change})
    with pytest.raises(errors.SpecError) as caught:
        resolve(path)
    assert all(problem.startswith(f"layout {path}: ") for problem in caught.value.problems)
    for words in says:
        assert any(words in problem for problem in caught.value.problems), caught.value.problems


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("none.yaml", None, "no such file"),
        ("folder.yaml", "", "not a file"),
        ("a.json", b"{", "does not parse"),
        ("a.yaml", b"joints: [a\nedges: ]", "does not parse"),
        ("a.yaml", b"\xff\xfe\x00", "does not parse"),
        ("a.yaml", b"!!python/object/apply:os.system ['touch ran']", "does not parse"),
        ("a.json", b"[" * 100_000, "does not parse"),
        ("a.json", b"[1]", "expected a mapping"),
        ("a.yaml", b"", "expected a mapping"),
        ("a.json", b" " * (2**20 + 1), "larger than 1 MiB"),
        ("cocoo", None, "did you mean coco?"),
        ("skeleton.txt", None, "a path ending in .yaml, .yml, .json"),
    ],
)
def test_what_is_no_layout_is_refused(tmp_path, monkeypatch, name, content, says):
    monkeypatch.chdir(tmp_path)
    if content == "":
        (tmp_path / name).mkdir()
    elif content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(errors.SpecError, match="layout") as caught:
        resolve(name)
    assert says in str(caught.value)
    assert not (tmp_path / "ran").exists()


def test_aliases_that_unfold_to_billions_are_named_briefly(tmp_path):
    lines = ["a0: &a0 [x, x]", *(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 12))]
    path = tmp_path / "bomb.yaml"
    path.write_text("\n".join([*lines, "joints: *a11", "edges: *a11", "center: *a11"]))
    with pytest.raises(errors.SpecError) as caught:
        resolve(path)
    assert len(str(caught.value)) < 5000


plain = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 9) | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=12,
)


@settings(max_examples=300, deadline=None)
@given(st.fixed_dictionaries({}, optional=dict.fromkeys(("joints", "edges", "center", "pairs", "roles", "name"), plain)), plain)
def test_no_content_breaks_the_reader(some, other):
    for content in (some, {**GOOD, **some}, other):
        layout, problems = from_plain(content, "x")
        assert (layout is None) == bool(problems)


def test_sides_are_told_from_names():
    same = {
        canonical(name) for name in ("left_shoulder", "LShoulder", "shoulder_l", "Left Shoulder", "leftShoulder", "L-shoulder")
    }
    assert same == {("left", "shoulder")}
    assert canonical("lips") == ("", "lips")


def test_drawing(tmp_path):
    for name in (
        "coco",
        "hand_21",
        write(tmp_path / "mine.yaml", GOOD),
        write(tmp_path / "dot.yaml", {"joints": ["a"], "edges": [], "center": 0}),
    ):
        layout = resolve(name)
        place = positions(layout)
        assert place.shape == (layout.num_joints, 2)
        assert np.isfinite(place).all()
        assert len(np.unique(place.round(3), axis=0)) == layout.num_joints
        assert draw(layout, tmp_path / "out" / "x.png").read_bytes().startswith(b"\x89PNG")
    joints = resolve("coco").joints
    assert positions(resolve("coco"))[joints.index("nose"), 1] > positions(resolve("coco"))[joints.index("left_ankle"), 1]


def command(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "runner.tao_cli", *words], capture_output=True, text=True, timeout=120, check=False
    )


def test_the_command(tmp_path):
    path = write(tmp_path / "mine.yaml", GOOD)
    shown = command("layout", path, "--png", str(tmp_path / "mine.png"))
    assert shown.returncode == 0, shown.stderr
    assert "mine: 4 joints, 3 bones, centre root" in shown.stdout
    assert (tmp_path / "mine.png").is_file()
    mapped = json.loads(command("layout", "coco", "--to", "openpose", "--json").stdout)
    neck = mapped["to"]["joints"][1]
    assert (neck["how"], neck["from"]) == ("derived", ["left_shoulder", "right_shoulder"])
    refused = command("layout", write(tmp_path / "bad.yaml", {**GOOD, "center": 9}), "--to", "cocoo")
    assert refused.returncode == 3
    assert "center: joint 9" in refused.stderr
    assert "did you mean coco" in refused.stderr
    assert "Traceback" not in refused.stderr


@pytest.mark.parametrize(
    ("value", "ok"), [("coco", True), ("a/b.yaml", True), ("x.json", True), ("cocoo", False), (17, False), ("x.txt", False)]
)
def test_the_setting_takes_a_name_or_a_path(value, ok):
    if ok:
        assert config.from_dict(config.Model, {"graph_layout": value}).graph_layout == value
    else:
        with pytest.raises(errors.SpecError, match="graph_layout"):
            config.from_dict(config.Model, {"graph_layout": value})


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A model of one epoch on a layout from a file, which is then gone; its ONNX file; the spec."""
    folder = tmp_path_factory.mktemp("custom")
    coco = LAYOUTS["coco"].as_plain()
    own = {
        **coco,
        "joints": [f"point_{i}" for i in range(17)],
        "center": 5,
        "pairs": [],
        "roles": {"root": [11, 12]},
        "name": None,
    }
    path = write(folder / "mine.yaml", own)
    spec = cases.train_spec(folder / "data", folder / "results", num_epochs=1)
    spec["model"] |= {"graph_layout": path, **cases.SMALL}
    checkpoint = train.run(spec)["artifacts"]["checkpoint"]
    Path(path).unlink()
    part = {"results_dir": str(folder / "results"), "model": {"graph_layout": path}}
    data = {"test_dataset": spec["dataset"]["val_dataset"]}
    onnx = export.run({**part, "export": {"checkpoint": checkpoint}})["artifacts"]["onnx"]
    return {"folder": folder, "own": own, "checkpoint": checkpoint, "onnx": onnx, "part": part, "data": data, "spec": spec}


@pytest.mark.parametrize("model", ["checkpoint", "onnx"])
def test_what_follows_training_needs_no_file(trained, tmp_path, model):
    for part in (trained["part"], {"results_dir": str(tmp_path)}):
        result = evaluate.run({**part, "evaluate": {"checkpoint": trained[model], **trained["data"]}})
        assert result["metrics"]["sequences"] == 3
        assert (
            inference.run({**part, "inference": {"checkpoint": trained[model], **trained["data"]}})["metrics"]["sequences"] == 3
        )


def test_the_onnx_file_describes_the_layout(trained):
    import onnx

    held = json.loads({p.key: p.value for p in onnx.load(trained["onnx"]).metadata_props}["layout"])
    layout, problems = from_plain(held, "")
    assert not problems
    assert (layout.name, layout.center, layout.roles) == ("mine", 5, {"root": (11, 12)})


@pytest.mark.parametrize("model", ["checkpoint", "onnx"])
def test_another_skeleton_is_refused(trained, tmp_path, model):
    other = write(tmp_path / "mine.yaml", {**trained["own"], "center": 6})
    for name, says in ((other, "whose joints, bones or centre are others"), ("openpose", "openpose (18 joints)")):
        spec = {
            "results_dir": str(tmp_path),
            "model": {"graph_layout": name},
            "evaluate": {"checkpoint": trained[model], **trained["data"]},
        }
        with pytest.raises(errors.CheckpointError, match=r"model\.graph_layout") as caught:
            evaluate.run(spec)
        assert says in str(caught.value)
    same = write(tmp_path / "moved.yaml", trained["own"])
    assert evaluate.run({**spec, "model": {"graph_layout": same}})["metrics"]["sequences"] == 3


def test_training_names_the_file_with_all_else_that_is_wrong(trained, tmp_path):
    spec = {**trained["spec"], "results_dir": str(tmp_path), "dataset": {**trained["spec"]["dataset"], "num_classes": 7}}
    with pytest.raises(errors.SpecError) as caught:
        train.run(spec)
    assert any("no such file" in problem for problem in caught.value.problems)
    assert any("num_classes" in problem or "label_map" in problem for problem in caught.value.problems)


def test_a_broken_description_is_refused():
    described = description.describe(config.Model(), config.Dataset(), window=None, num_persons=None)
    assert description.unreadable(described) is None
    described["layout"] = {**described["layout"], "edges": [[0, 99]]}
    assert "joint 99 does not exist" in str(description.unreadable(described))


def planned(folder: Path, *words: str, **asked: object) -> plans.Plan:
    skill, action = "tao-train-pose-classification", "train"
    request = plans.Request(workspace=folder / "ws", skill=skill, action=action, overrides=words, automl="off", **asked)
    return plans.make(request, strict=False)


def test_a_layout_in_the_data_folder_is_taken(tmp_path):
    cases.train_spec(tmp_path, tmp_path / "results")
    assert planned(tmp_path, dataset=str(tmp_path)).spec["model"]["graph_layout"] == "nvidia"
    path = write(tmp_path / "layout.json", GOOD)
    made = planned(tmp_path, dataset=str(tmp_path))
    assert (made.spec["model"]["graph_layout"], made.sources["model.graph_layout"]) == (path, "dataset")
    assert {"key": "model.graph_layout", "uri": path, "source": "dataset"} in made.inputs
    made = planned(tmp_path, "model.graph_layout=coco", dataset=str(tmp_path))
    assert made.spec["model"]["graph_layout"] == "coco"
    assert "model.graph_layout" not in [item["key"] for item in made.inputs]
    spec_file = Path(write(tmp_path / "spec.yaml", {"model": {"graph_layout": "openpose"}}))
    made = planned(tmp_path, dataset=str(tmp_path), spec_file=spec_file)
    assert made.spec["model"]["graph_layout"] == "openpose"


def test_paths_become_absolute_and_have_to_exist(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputMissing) as caught:
        planned(tmp_path, "graph_layout=mine.yaml")
    assert caught.value.problems[0].path == "model.graph_layout"
    write(tmp_path / "mine.yaml", GOOD)
    assert planned(tmp_path, "graph_layout=mine.yaml").spec["model"]["graph_layout"] == str(tmp_path / "mine.yaml")
    with pytest.raises(SpecInvalid) as refused:
        planned(tmp_path, "graph_layout=cocoo")
    (problem,) = refused.value.problems
    assert "'cocoo' is not one of the choices, did you mean coco?" in problem.says
    assert problem.allowed.endswith("smpl_24, or a path ending in .yaml, .yml, .json")


def test_what_the_parent_ran_with_is_no_input_of_its_child():
    skill = bank.get("tao-train-pose-classification")
    action, schema = skill.action("evaluate"), skill.schema("evaluate")
    spec = schema.defaults()
    spec["model"]["graph_layout"] = "/gone/mine.yaml"
    for source, listed in (("inferred:parent_spec", []), ("user", ["model.graph_layout"])):
        inputs, _, absent = compose.inputs(spec, action, schema, {"model.graph_layout": source})
        assert [item["key"] for item in inputs] == [problem.path for problem in absent] == listed


def test_the_schema_is_standard_and_takes_names_and_paths():
    leaf = bank.get("tao-train-pose-classification").schema("train").leaf("model.graph_layout")
    assert leaf["anyOf"][0]["enum"] == list(LAYOUTS)
    for value, ok in (
        ("coco", True),
        ("s3://b/x.json", True),
        ("x.yaml", True),
        ("cocoo", False),
        (3, False),
        ("x.yaml.gz", False),
    ):
        assert jsonschema.Draft202012Validator(leaf).is_valid(value) is ok
