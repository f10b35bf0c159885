"""From the files of each format to arrays that the trainer reads, and from one of them to a trained model."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
import time

import estimator_files as files
import numpy as np
import pytest

from stgcn import arrays, dataset_convert, graph, train
from stgcn.formats import table

CLASSES, CLIPS, FRAMES = ("fall", "walk"), 4, 12


def figures(joints, channels=3):
    """(label, clip, poses (T, V, C)) of every clip."""
    for c, label in enumerate(CLASSES):
        for i in range(CLIPS):
            yield label, i, files.figure(joints, FRAMES, seed=10 * c + i)[..., :channels]


def openpose(root):
    for label, i, poses in figures(25):
        files.openpose(root / label / f"clip{i}", poses)


def coco_json(root):
    for label, i, poses in figures(17):
        files.coco(root / label / f"clip{i}.json", poses)


def alphapose(root):
    for label, i, poses in figures(17):
        files.alphapose(root / label / f"clip{i}" / "alphapose-results.json", poses)


def yolo(root):
    for label, i, poses in figures(17):
        files.yolo_txt(root / label / f"clip{i}" / "labels", poses / [640, 480, 1])


def mediapipe(root):
    for label, i, poses in figures(33):
        files.mediapipe_csv(root / label / f"clip{i}.csv", poses / [640, 480, 1])


def ntu_skeleton(root):
    root.mkdir()
    for label, i, poses in figures(25):
        lines = [str(FRAMES)]
        for pose in poses:
            lines += ["1", "72057594037931101 0 1 1 1 1 0 0.02 0.1 2", "25"]
            lines += [f"{x / 640} {y / 480} 3.1 277 191 1036 520 -0.2 0.01 0.9 -0.02 2" for x, y, _ in pose]
        name = f"S001C001P{i + 1:03d}R001A{CLASSES.index(label) + 1:03d}.skeleton"
        (root / name).write_text("\n".join(lines) + "\n")


def kinetics_json(root):
    root.mkdir()
    for label, i, poses in figures(18):
        data = [
            {"frame_index": t + 1, "skeleton": [{"pose": (pose[:, :2] / [640, 480]).ravel().tolist(), "score": [0.9] * 18}]}
            for t, pose in enumerate(poses)
        ]
        content = {"data": data, "label": label, "label_index": CLASSES.index(label)}
        (root / f"{label}{i}.json").write_text(json.dumps(content))


def pyskl(root):
    root.mkdir()
    annotations, names = [], []
    for label, i, poses in figures(17):
        names.append(f"{label}{i}")
        annotations.append(
            {
                "frame_dir": names[-1],
                "label": CLASSES.index(label),
                "img_shape": (480, 640),
                "original_shape": (480, 640),
                "total_frames": FRAMES,
                "keypoint": poses[None, ..., :2].astype(np.float16),
                "keypoint_score": np.full((1, FRAMES, 17), 0.9, np.float16),
            }
        )
    split = {"train": names[:3] + names[4:7], "val": [names[3], names[7]]}
    (root / "set.pkl").write_bytes(pickle.dumps({"split": split, "annotations": annotations}, protocol=4))


def csv(root):
    names = graph.LAYOUTS["coco"].joints
    for label, i, poses in figures(17):
        (root / label).mkdir(parents=True, exist_ok=True)
        lines = ["frame," + ",".join(f"{name}_{axis}" for name in names for axis in ("x", "y", "score"))]
        lines += [f"{t}," + ",".join(map(str, pose.ravel())) for t, pose in enumerate(poses)]
        (root / label / f"clip{i}.csv").write_text("\n".join(lines) + "\n")


def numpy(root):
    for label, i, poses in figures(17):
        (root / label).mkdir(parents=True, exist_ok=True)
        np.save(root / label / f"clip{i}.npy", poses.astype(np.float32))


# writer -> layout, joints, channels, sequences per set
EXPECTED = {
    openpose: ("body_25", 25, 3),
    coco_json: ("coco", 17, 3),
    alphapose: ("coco", 17, 3),
    yolo: ("coco", 17, 3),
    mediapipe: ("mediapipe_33", 33, 3),
    ntu_skeleton: ("ntu-rgb+d", 25, 3),
    kinetics_json: ("openpose", 18, 3),
    pyskl: ("coco", 17, 3),
    csv: ("coco", 17, 3),
    numpy: ("coco", 17, 3),
}


def convert(tmp_path, **settings):
    spec = {"data": str(tmp_path / "in"), **settings}
    result = dataset_convert.run({"results_dir": str(tmp_path), "dataset_convert": spec})
    folder = tmp_path / "dataset_convert"
    return result, folder, json.loads((folder / "data_card.json").read_text())


def test_every_format_is_tried():
    assert {writer.__name__ for writer in EXPECTED} == set(table.FORMATS)


@pytest.mark.parametrize("writer", EXPECTED, ids=lambda writer: writer.__name__)
def test_a_folder_of_each_format_becomes_a_data_set(writer, tmp_path):
    writer(tmp_path / "in")
    result, folder, card = convert(tmp_path)
    layout, joints, channels = EXPECTED[writer]
    assert (card["format"], card["layout"], card["joints"], card["input_channels"]) == (
        writer.__name__,
        layout,
        joints,
        channels,
    )
    assert result["metrics"]["sequences"] == len(CLASSES) * CLIPS
    assert not card["left_out"]["count"]
    label_map = json.loads((folder / "label_map.json").read_text())
    assert len(label_map) == len(CLASSES)
    for name, own in card["sets"].items():
        skeletons = arrays.read_set(
            name,
            str(folder / f"{name}_data.npy"),
            str(folder / f"{name}_label.pkl"),
            channels=channels,
            num_joints=joints,
            layout_name=layout,
            num_classes=len(label_map),
            label_map=label_map,
            need_labels=True,
        )
        assert skeletons.data.shape == (own["sequences"], channels, FRAMES, joints, 1)
        if layout != "ntu-rgb+d":
            assert np.abs(skeletons.data[:, :2]).max() <= 0.5
    assert {"train", "val"} <= set(card["sets"])


def test_what_could_be_several_formats_is_asked_about(tmp_path):
    openpose(tmp_path / "in")
    kinetics_json(tmp_path / "in" / "more")
    with pytest.raises(dataset_convert.DataError, match=r"several formats \(openpose: .*; kinetics_json: .*format"):
        convert(tmp_path)
    assert convert(tmp_path, format="openpose")[0]["metrics"]["sequences"] == len(CLASSES) * CLIPS


def test_nothing_known_is_described(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.mp4").write_bytes(b"\x00\x00")
    with pytest.raises(dataset_convert.DataError, match=r"there are: 1 \.mp4; formats: deepstream, openpose"):
        convert(tmp_path)


def test_a_label_table_beside_the_data_is_no_recording(tmp_path):
    csv(tmp_path / "in")
    lines = [f"clip{i},{label},p{i}" for i in range(1) for label in ("fall",)]
    (tmp_path / "in" / "labels.csv").write_text("\n".join(["sample,label,subject", *lines]))
    _, _, card = convert(tmp_path, labels="folder", label_file=str(tmp_path / "in" / "labels.csv"))
    assert card["recordings"] == len(CLASSES) * CLIPS


def test_from_openpose_to_a_trained_model(tmp_path):
    openpose(tmp_path / "in")
    _, folder, card = convert(tmp_path)
    paths = {
        f"{name}_dataset": {
            f"{kind}_path": str(folder / f"{name}_{kind}.{end}") for kind, end in (("data", "npy"), ("label", "pkl"))
        }
        for name in ("train", "val")
    }
    spec = {
        "results_dir": str(tmp_path / "results"),
        "model": {"graph_layout": str(folder / "layout.json"), "input_channels": card["input_channels"]},
        "dataset": {
            **paths,
            "num_classes": 2,
            "label_map": json.loads((folder / "label_map.json").read_text()),
            "batch_size": 4,
        },
        "train": {"num_epochs": 1},
    }
    assert train.run(spec)["metrics"]["epochs"] == 1


def test_the_command_lines_go_from_openpose_to_a_plan_for_training(tmp_path, skillbank, pose_classification):
    openpose(tmp_path / "in")
    (tmp_path / "spec.yaml").write_text("results_dir: mine\ndataset_convert: {data: in, split: '0.5,0.25,0.25'}\n")
    done = pose_classification("dataset_convert", "-e", "spec.yaml")
    assert done.code == 0, done.err
    assert "openpose, recognised by content" in done.err
    assert (tmp_path / "mine" / "dataset_convert" / "card.md").exists()
    done = skillbank("run", "tao-train-pose-classification", "dataset_convert", "--set", "dataset_convert.data=in", "--json")
    assert done.code == 0, done.err
    results = done.data["results_dir"]
    assert done.envelope["next"][0] == f"skillbank run tao-train-pose-classification train --dataset {results}"
    plan = skillbank("plan", "tao-train-pose-classification", "train", "--dataset", results, "--automl", "off", "--json")
    assert plan.code == 0, plan.err + plan.out
    spec = plan.data["spec"]
    assert spec["model"]["graph_layout"] == f"{results}/layout.json"
    assert spec["model"]["input_channels"] == 3
    assert spec["dataset"]["label_map"] == {"fall": 0, "walk": 1}
    assert spec["dataset"]["num_classes"] == 2


def test_a_terminated_conversion_leaves_nothing_half_written(tmp_path):
    for label in ("a", "b"):
        files.openpose(tmp_path / "in" / label / "clip", files.figure(25, 3000))
    code = f"""
import sys
from stgcn import dataset_convert
dataset_convert.run({{"results_dir": {str(tmp_path)!r}, "dataset_convert": {{"data": {str(tmp_path / "in")!r}}}}})
"""
    folder = tmp_path / "dataset_convert"
    process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE)
    deadline = time.monotonic() + 30
    while not list(folder.glob(".importing-*/windows.f32")) and time.monotonic() < deadline:
        time.sleep(0.005)
    process.terminate()
    process.communicate(timeout=30)
    assert process.returncode == 143
    assert [path.name for path in folder.iterdir()] == ["status.json"]
    assert "terminated by SIGTERM" in (folder / "status.json").read_text()
