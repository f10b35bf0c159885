"""Real research sets with skeletons of their own, by the commands a user types: imported, trained, evaluated, exported.

They may not be redistributed and lie beside the project, if at all.
"""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import ROOT

from stgcn import arrays, dataset_convert

DATA = ROOT.parent / "shared" / "data"
SKILL = "tao-train-pose-classification"
QUICK = ("--automl", "off", "--set", "num_epochs=1", "--set", "num_workers=0", "--set", "train.optim.lr=0.01")


def real(name: str) -> Path:
    if not (DATA / name / "info.json").exists():
        pytest.skip(f"the data set {name} is not beside the project ({DATA / name})")
    return DATA / name


def shapes(folder: Path) -> dict[str, tuple[int, ...]]:
    return {split: np.load(folder / f"{split}_data.npy", mmap_mode="r").shape for split in ("train", "val", "test")}


def clips_of(folder: Path, split: str) -> tuple[list[np.ndarray], list[str]]:
    """Clips (T, V, C) without their padding, and the names of their classes."""
    data = np.load(folder / f"{split}_data.npy")
    names = {i: name for name, i in json.loads((folder / "label_map.json").read_text()).items()}
    ids = pickle.loads((folder / f"{split}_label.pkl").read_bytes())[1]
    clips = [clip[:, :length, :, 0].transpose(1, 2, 0) for clip, length in zip(data, arrays.valid_lengths(data), strict=True)]
    return clips, [names[int(i)] for i in ids]


def done(answer: Any) -> Any:
    assert answer.code == 0, answer.err + answer.out
    return answer.data


@pytest.mark.slow
@pytest.mark.parametrize("name", ["natops", "jhmdb14"])
def test_a_set_with_a_skeleton_of_its_own_is_trained_evaluated_and_exported(name: str, skillbank: Any) -> None:
    folder = real(name)
    info = json.loads((folder / "info.json").read_text())
    layout = ("--set", f"model.graph_layout={folder / 'info.json'}")
    channels = ("--set", f"model.input_channels={shapes(folder)['train'][1]}")
    train = done(skillbank("run", SKILL, "train", "--dataset", folder, *layout, *channels, *QUICK, "--json"))
    assert train["metrics"]["epochs"] == 1
    evaluated = done(skillbank("run", SKILL, "evaluate", "--dataset", folder, "--parent", train["job_id"], "--json"))
    assert evaluated["metrics"]["sequences"] == shapes(folder)["test"][0]
    assert 0 <= evaluated["metrics"]["accuracy"] <= 100
    exported = done(skillbank("run", SKILL, "export", "--parent", train["job_id"], "--json"))
    assert exported["metrics"]["max_abs_diff"] <= exported["metrics"]["tolerance"]
    inferred = done(skillbank("run", SKILL, "inference", "--dataset", folder, "--parent", exported["job_id"], "--json"))
    assert inferred["metrics"]["sequences"] == shapes(folder)["test"][0]
    import onnx

    described = json.loads(
        next(p.value for p in onnx.load(exported["artifacts"]["onnx"]).metadata_props if p.key == "pose_classification")
    )
    assert described["layout"]["joints"] == info["joints"]


def publish(folder: Path, into: Path) -> None:
    """A pickle for each side of {pose: [(T, 15, 2) of each clip, as lists], label: [...]}; what was val is of train here."""
    into.mkdir()
    sides = {"train": [clips_of(folder, split) for split in ("train", "val")], "test": [clips_of(folder, "test")]}
    for side, parts in sides.items():
        content = {
            "pose": [clip.tolist() for clips, _ in parts for clip in clips],
            "label": [label for _, labels in parts for label in labels],
        }
        (into / f"GT_{side}_1.pkl").write_bytes(pickle.dumps(content, protocol=2))


def annotations(folder: Path, path: Path) -> None:
    """One pickle as PYSKL has it, with its split."""
    entries, split = [], {}
    for side in ("train", "val", "test"):
        clips, labels = clips_of(folder, side)
        split[side] = [f"{side}_{i}" for i in range(len(clips))]
        classes = json.loads((folder / "label_map.json").read_text())
        entries += [
            {"frame_dir": name, "label": classes[label], "total_frames": len(clip), "keypoint": clip[None].astype(np.float32)}
            for name, clip, label in zip(split[side], clips, labels, strict=True)
        ]
    path.write_bytes(pickle.dumps({"split": split, "annotations": entries}, protocol=4))


def converted(tmp_path: Path, data: Path, layout: Path, **settings: Any) -> tuple[Path, dict[str, Any]]:
    """The folder of a conversion and its card. As published, coordinates are no pixels, and some clips are short."""
    spec = {"data": str(data), "layout": str(layout), "sequence_length_min": 1, **settings}
    dataset_convert.run({"results_dir": str(tmp_path), "dataset_convert": spec})
    folder = tmp_path / "dataset_convert"
    return folder, json.loads((folder / "data_card.json").read_text())


@pytest.mark.parametrize("form", ["published", "pyskl"])
def test_jhmdb_comes_out_of_its_pickles_as_it_went_in(form: str, tmp_path: Path) -> None:
    source = real("jhmdb14")
    if form == "published":
        publish(source, tmp_path / "in")
    else:
        (tmp_path / "in").mkdir()
        annotations(source, tmp_path / "in" / "jhmdb.pkl")
    folder, card = converted(tmp_path, tmp_path / "in", source / "info.json")
    assert (card["format"], card["layout"], card["channels"], card["confidence_channel"]) == (
        "pyskl",
        "jhmdb14",
        ["x", "y"],
        -1,
    )
    given = {split: clips_of(source, split) for split in ("train", "val", "test")}
    test, labels = clips_of_import(folder, "test", source)
    assert labels == given["test"][1]
    for ours, theirs in zip(test, given["test"][0], strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)
    count = sum(card["sets"][split]["sequences"] for split in ("train", "val"))
    assert count == len(given["train"][1]) + len(given["val"][1])


def clips_of_import(folder: Path, split: str, source: Path) -> tuple[list[np.ndarray], list[str]]:
    clips, labels = clips_of(folder, split)
    names = {str(i): name for name, i in json.loads((source / "label_map.json").read_text()).items()}
    return clips, [names.get(label, label) for label in labels]


@pytest.mark.slow
def test_jhmdb_from_its_published_pickles_to_an_onnx_file(tmp_path: Path, skillbank: Any) -> None:
    source = real("jhmdb14")
    publish(source, tmp_path / "in")
    words = ("--set", "dataset_convert.data=in", "--set", f"dataset_convert.layout={source / 'info.json'}")
    data = done(skillbank("run", SKILL, "dataset_convert", *words, "--set", "dataset_convert.sequence_length_min=1", "--json"))
    train = done(skillbank("run", SKILL, "train", "--dataset", data["results_dir"], *QUICK, "--json"))
    evaluate = ("run", SKILL, "evaluate", "--dataset", data["results_dir"], "--parent", train["job_id"], "--json")
    assert done(skillbank(*evaluate))["metrics"]["sequences"] == shapes(source)["test"][0]
    exported = done(skillbank("run", SKILL, "export", "--parent", train["job_id"], "--json"))
    assert exported["metrics"]["max_abs_diff"] <= exported["metrics"]["tolerance"]
