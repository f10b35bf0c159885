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

from stgcn import arrays, dataset_convert, graph, progress, train
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


def yolo_json(root):
    for label, i, poses in figures(17):
        frames = [{"frame": t, "detections": [files.yolo_detection(pose)]} for t, pose in enumerate(poses)]
        files.dump(root / label / f"clip{i}.json", frames)


def mediapipe(root):
    for label, i, poses in figures(33):
        files.mediapipe_csv(root / label / f"clip{i}.csv", poses / [640, 480, 1])


def mediapipe_json(root):
    for label, i, poses in figures(33):
        frames = [{"frame": t, "pose_landmarks": files.landmarks(pose / [640, 480, 1])} for t, pose in enumerate(poses)]
        files.dump(root / label / f"clip{i}.json", frames)


def mediapipe_hands(root):
    for label, i, poses in figures(21):
        frames = [{"frame": t, "multi_hand_landmarks": [files.landmarks(pose / [640, 480, 1])]} for t, pose in enumerate(poses)]
        files.dump(root / label / f"clip{i}.json", frames)


def deepstream(root):
    for label, i, poses in figures(34):
        pixels = np.concatenate([poses[..., :2], np.full((*poses.shape[:2], 1), 900.0), np.ones((*poses.shape[:2], 1))], axis=2)
        records = [
            {
                "num_frames_in_batch": 1,
                "batches": [{"batch_id": 0, "objects": [{"object_id": 7, "pose3d": pose.ravel().tolist()}]}],
            }
            for pose in pixels
        ]
        files.dump(root / label / f"clip{i}.json", records)


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


# writer -> layout, joints, channels
EXPECTED = {
    deepstream: ("nvidia", 34, 3),
    openpose: ("body_25", 25, 3),
    coco_json: ("coco", 17, 3),
    alphapose: ("coco", 17, 3),
    yolo: ("coco", 17, 3),
    yolo_json: ("coco", 17, 3),
    mediapipe: ("mediapipe_33", 33, 3),
    mediapipe_json: ("mediapipe_33", 33, 3),
    mediapipe_hands: ("hand_21", 21, 3),
    ntu_skeleton: ("ntu-rgb+d", 25, 3),
    kinetics_json: ("openpose", 18, 3),
    pyskl: ("coco", 17, 3),
    csv: ("coco", 17, 3),
    numpy: ("coco", 17, 3),
}


def format_of(writer):
    own = writer.__name__
    return own if own in table.FORMATS else own.partition("_")[0]


def convert(tmp_path, **settings):
    spec = {"data": str(tmp_path / "in"), **settings}
    result = dataset_convert.run({"results_dir": str(tmp_path), "dataset_convert": spec})
    folder = tmp_path / "dataset_convert"
    return result, folder, json.loads((folder / "data_card.json").read_text())


def test_every_format_is_tried():
    assert {format_of(writer) for writer in EXPECTED} == set(table.FORMATS)


@pytest.mark.parametrize("writer", EXPECTED, ids=lambda writer: writer.__name__)
def test_a_folder_of_each_format_becomes_a_data_set(writer, tmp_path):
    writer(tmp_path / "in")
    result, folder, card = convert(tmp_path)
    layout, joints, channels = EXPECTED[writer]
    assert (card["format"], card["layout"], card["joints"], card["input_channels"]) == (
        format_of(writer),
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
        if layout not in ("ntu-rgb+d", "nvidia"):
            assert np.abs(skeletons.data[:, :2]).max() <= 0.5
    assert {"train", "val"} <= set(card["sets"])
    confidence = card["channels"].index("score") if "score" in card["channels"] else -1
    assert card["confidence_channel"] == confidence


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


def test_formats_and_skeletons_side_by_side_become_one_set_of_the_target_layout(tmp_path):
    """The same figure as several estimators would write it comes out the same."""
    coco = graph.LAYOUTS["coco"].joints
    for label, i, poses in figures(25):
        files.openpose(tmp_path / "in" / label / f"openpose{i}", poses)
        as_coco = poses[:, [graph.LAYOUTS["body_25"].joints.index(joint) for joint in coco]]
        files.coco(tmp_path / "in" / label / f"coco{i}.json", as_coco)
    _, folder, card = convert(tmp_path, target_layout="coco", input_width=640, input_height=480, split="1,0,0")
    assert card["format"] == "openpose, coco_json"
    assert (card["layout"], card["joints"], card["sets"]["train"]["sequences"]) == ("coco", 17, 16)
    assert {name: own["recordings"] for name, own in card["remapped"].items()} == {"body_25": 8, "coco": 8}
    assert json.loads((folder / "layout.json").read_text())["name"] == "coco"
    data, names = np.load(folder / "train_data.npy"), pickle.loads((folder / "train_label.pkl").read_bytes())[0]
    at = {name: data[i] for i, name in enumerate(names)}
    for label in CLASSES:
        for i in range(CLIPS):
            np.testing.assert_allclose(at[f"{label}/openpose{i}"], at[f"{label}/coco{i}"], atol=1e-6)


def test_derived_and_missing_joints_are_said_in_the_card(tmp_path):
    coco_json(tmp_path / "in")
    _, folder, card = convert(tmp_path, target_layout="ntu-rgb+d", split="1,0,0")
    joints = {row["joint"]: row for row in card["remapped"]["coco"]["joints"]}
    assert joints["neck"]["says"] == "middle of left_shoulder and right_shoulder"
    assert joints["left_thumb"]["how"] == "missing"
    text = (folder / "card.md").read_text()
    assert "## Joints from coco (8 recordings)" in text
    assert "| left_thumb | missing | missing: zero |" in text
    data, names = np.load(folder / "train_data.npy"), list(graph.LAYOUTS["ntu-rgb+d"].joints)
    assert not data[:, :, :, names.index("left_thumb")].any()
    shoulders = [data[:, :, :, names.index(f"{side}_shoulder")] for side in ("left", "right")]
    np.testing.assert_allclose(data[:, :, :, names.index("neck")], sum(shoulders) / 2, atol=1e-6)


def test_a_target_layout_that_cannot_be_had(tmp_path):
    coco_json(tmp_path / "in")
    with pytest.raises(dataset_convert.DataError, match="no joint of hand_21 can be had from those of coco"):
        convert(tmp_path, target_layout="hand_21")
    with pytest.raises(dataset_convert.SpecError, match=r"layout nowhere\.yaml: no such file"):
        convert(tmp_path, target_layout="nowhere.yaml")
    for label, i, poses in figures(33):
        files.mediapipe_csv(tmp_path / "in" / label / f"other{i}.csv", poses / [640, 480, 1])
    with pytest.raises(dataset_convert.DataError, match=r"would be written with x, y, z, .* set dataset_convert\.channels"):
        convert(tmp_path, target_layout="openpose")
    _, _, card = convert(tmp_path, target_layout="openpose", channels="x,y")
    assert (card["format"], card["input_channels"], card["confidence_channel"]) == ("coco_json, mediapipe", 2, -1)


def test_empty_files_are_said_to_be_empty(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.json").touch()
    with pytest.raises(dataset_convert.DataError, match=r"1 \.json \(1 of them empty\); broken: a\.json is not .*; formats: "):
        convert(tmp_path)


def test_broken_arrays_are_named_alone_and_among_good_ones(tmp_path):
    (tmp_path / "in").mkdir()
    np.save(tmp_path / "in" / "ragged.npy", np.array([np.zeros(2), np.zeros(3)], dtype=object), allow_pickle=True)
    with pytest.raises(dataset_convert.DataError, match=r"broken: ragged\.npy holds Python objects \(ragged sequences\?\)"):
        convert(tmp_path)
    numpy(tmp_path / "in")
    good = sorted((tmp_path / "in").rglob("*.npy"))[0]
    (good.parent / "short.npy").write_bytes(good.read_bytes()[:-40])
    with pytest.raises(dataset_convert.DataError) as caught:
        convert(tmp_path)
    assert [problem for problem in caught.value.problems if "short.npy: is truncated" in problem]
    assert [problem for problem in caught.value.problems if "ragged.npy: holds Python objects" in problem]
    assert convert(tmp_path, on_error="skip")[0]["metrics"]["bad_records"] == 2


def test_links_to_folders_are_followed_but_not_round_in_a_circle(tmp_path):
    openpose(tmp_path / "elsewhere")
    (tmp_path / "in").mkdir()
    for label in CLASSES:
        (tmp_path / "in" / label).symlink_to(tmp_path / "elsewhere" / label)
    (tmp_path / "elsewhere" / "walk" / "up").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "walk" / "itself").symlink_to(tmp_path / "elsewhere" / "walk")
    deepstream(tmp_path / "bodies")
    (tmp_path / "bodies" / "walk" / "up").symlink_to(tmp_path / "bodies")
    (tmp_path / "linked").symlink_to(tmp_path / "bodies")
    for data in ("elsewhere", "in", "linked"):
        result, _, card = convert(tmp_path, data=str(tmp_path / data))
        assert result["metrics"]["recordings"] == len(CLASSES) * CLIPS, data
        assert card["classes"] == sorted(CLASSES)


def test_results_below_the_data_are_no_data_of_the_next_run(tmp_path):
    alphapose(tmp_path / "in")
    spec = {"results_dir": str(tmp_path / "in" / "out"), "dataset_convert": {"data": str(tmp_path / "in")}}
    first, second = dataset_convert.run(spec), dataset_convert.run(spec)
    assert first["metrics"] == second["metrics"]
    assert first["metrics"]["recordings"] == len(CLASSES) * CLIPS


def test_one_coco_file_takes_the_classes_from_the_folders_of_its_images(tmp_path):
    images, annotations = [], []
    for label, i, poses in figures(17):
        for t, pose in enumerate(poses):
            number = len(images) + 1
            images.append({"id": number, "file_name": f"{label}/clip{i}/{t:04d}.jpg", "width": 640, "height": 480})
            annotations.append({"id": number, "image_id": number, "category_id": 1, "keypoints": pose.ravel().tolist()})
    files.dump(tmp_path / "in" / "keypoints.json", {"images": images, "annotations": annotations})
    for data in ("in", "in/keypoints.json"):
        assert convert(tmp_path, data=str(tmp_path / data))[2]["classes"] == sorted(CLASSES)


def test_recordings_that_are_each_a_class_are_pointed_out(tmp_path, caplog):
    openpose(tmp_path / "in")
    with caplog.at_level("INFO", logger="stgcn"):
        notes = convert(tmp_path, data=str(tmp_path / "in" / "walk"))[2]["notes"]
    assert any("every recording is a class of its own, such as clip0" in note for note in notes)
    assert "to watch: every recording is a class of its own" in caplog.text
    assert not any("class of its own" in note for note in convert(tmp_path)[2]["notes"])


@pytest.mark.parametrize(("pose_type", "says"), [("3dbp", "(joint - pelvis) / focal_length"), ("25dbp", "x / width - 0.5")])
def test_the_card_says_how_bodypose_was_normalised(tmp_path, pose_type, says):
    deepstream(tmp_path / "in")
    for path in (tmp_path / "in").rglob("*.json"):
        path.write_text(path.read_text().replace("pose3d", {"3dbp": "pose3d", "25dbp": "pose25d"}[pose_type]))
    card = convert(tmp_path, pose_type=pose_type)[2]
    assert card["normalisation"].startswith(says)
    assert card["normalisation"].endswith(pose_type)


def test_people_of_a_bodypose_folder_and_what_it_cannot_say(tmp_path):
    deepstream(tmp_path / "in")
    path = tmp_path / "in" / "walk" / "clip0.json"
    records = json.loads(path.read_text())
    for record in records:
        (first,) = record["batches"][0]["objects"]
        record["batches"][0]["objects"].append({**first, "object_id": 8})
    path.write_text(json.dumps(records))
    result, folder, card = convert(tmp_path, split="1,0,0")
    assert (result["metrics"]["sequences"], card["people"]) == (9, 9)
    data, (names, _) = np.load(folder / "train_data.npy"), pickle.loads((folder / "train_label.pkl").read_bytes())
    one, other = (data[names.index(f"walk/clip0_person{i}")] for i in (7, 8))
    np.testing.assert_array_equal(one, other)
    alone = dataset_convert.run({"results_dir": str(tmp_path / "single"), "dataset_convert": {"data": str(path)}})
    converted = np.load(tmp_path / "single" / "dataset_convert" / "object_7.npy")
    assert alone["metrics"]["objects"] == 2
    np.testing.assert_array_equal(one, converted[0, :, :FRAMES])
    with pytest.raises(dataset_convert.SpecError, match="at which frame of the video"):
        convert(tmp_path, persons="slots")
    path.write_text(json.dumps(records)[:-5])
    with pytest.raises(dataset_convert.DataError, match=r"clip0\.json: .*truncated"):
        convert(tmp_path)
    metrics = convert(tmp_path, on_error="skip")[0]["metrics"]
    assert (metrics["sequences"], metrics["bad_records"]) == (7, 1)


def test_a_single_bodypose_file_refuses_what_only_an_import_does(tmp_path):
    deepstream(tmp_path / "in")
    with pytest.raises(
        dataset_convert.SpecError, match=r"split, dataset_convert.target_layout: no effect on a single BodyPose"
    ):
        convert(tmp_path, data=str(tmp_path / "in" / "walk" / "clip0.json"), target_layout="coco", split="1,0,0")


def test_a_label_table_beside_the_data_is_no_recording(tmp_path):
    csv(tmp_path / "in")
    lines = [f"{label}/clip{i},{label},p{i}" for i in range(1) for label in ("fall",)]
    (tmp_path / "in" / "labels.csv").write_text("\n".join(["sample,label,subject", *lines]))
    _, _, card = convert(tmp_path, labels="folder", label_file=str(tmp_path / "in" / "labels.csv"))
    assert card["recordings"] == len(CLASSES) * CLIPS


@pytest.mark.parametrize(
    "writer", [openpose, *(pytest.param(w, marks=pytest.mark.slow) for w in EXPECTED if w is not openpose)]
)
def test_from_each_format_to_a_trained_model(writer, tmp_path):
    writer(tmp_path / "in")
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
    assert (
        done.envelope["next"][0]
        == f"skillbank run tao-train-pose-classification train --dataset {results} --workspace workspace"
    )
    plan = skillbank("plan", "tao-train-pose-classification", "train", "--dataset", results, "--automl", "off", "--json")
    assert plan.code == 0, plan.err + plan.out
    spec = plan.data["spec"]
    assert spec["model"]["graph_layout"] == f"{results}/layout.json"
    assert spec["model"]["input_channels"] == 3
    assert spec["dataset"]["preparation"]["confidence_channel"] == 2
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


def test_bad_records_of_a_single_bodypose_file_are_fatal_or_left_out(tmp_path):
    """Twenty good poses and three bad ones: a record that is none, a pose too short, and one whose root is no number."""

    def record(pose):
        return {"num_frames_in_batch": 1, "batches": [{"objects": [{"object_id": 7, "pose3d": pose}]}]}

    good = [record((np.arange(136) % 7 + i + 1.0).tolist()) for i in range(20)]
    (tmp_path / "good.json").write_text(json.dumps(good))
    bad = [record([float("inf"), *[1.0] * 135]), *good[:5], {"frames": 1}, *good[5:], record([1.0] * 135)]
    (tmp_path / "bad.json").write_text(json.dumps(bad).replace("Infinity", "1e999"))

    def windows(name, **settings):
        spec = {"data": str(tmp_path / name), "sequence_length_max": 30, "sequence_length": 30, **settings}
        dataset_convert.run({"results_dir": str(tmp_path / name[:-5]), "dataset_convert": spec})
        folder = tmp_path / name[:-5] / "dataset_convert"
        return np.load(folder / "object_7.npy"), json.loads((folder / "conversion.json").read_text())

    with pytest.raises(dataset_convert.DataError) as caught:
        windows("bad.json")
    assert [problem.partition("record ")[2][:3].strip(": ") for problem in caught.value.problems] == ["0", "6", "22"]
    data, said = windows("bad.json", on_error="skip")
    expected, _ = windows("good.json")
    assert len(said["bad_records"]) == 3
    assert not data[0, :, 0].any(), "the pose that is no numbers is one of which nothing was seen"
    np.testing.assert_array_equal(data[0, :, 1:21], expected[0, :, :20])
    folder = tmp_path / "in" / "walk"
    folder.mkdir(parents=True)
    (tmp_path / "bad.json").rename(folder / "bad.json")
    with pytest.raises(dataset_convert.DataError, match="record 22"):
        convert(tmp_path, split="1,0,0")
    _, _, card = convert(tmp_path, split="1,0,0", on_error="skip")
    assert (card["bad_records"]["count"], card["sets"]["train"]["sequences"]) == (3, 1)


# --- the command line ---


def test_a_conversion_in_words_alone(tmp_path, pose_classification):
    coco_json(tmp_path / "in")
    (tmp_path / "in" / "walk" / "clip9.json").write_text(
        '{"images": [{"id": 1, "file_name": "a.jpg"}], "annotations": [{"image_id"'
    )
    words = ("dataset_convert", "--data", "in", "--results-dir", "out", "--format", "coco_json", "--target-layout", "openpose")
    refused = pose_classification(*words)
    assert refused.code == 4
    assert "clip9.json" in refused.err
    assert "on_error=skip" in refused.err
    assert [path.name for path in (tmp_path / "out" / "dataset_convert").iterdir()] == ["status.json"]
    done = pose_classification(*words, "--on-error", "skip", "dataset_convert.split=1,0,0")
    assert done.code == 0, done.err
    assert "[#" not in done.err, "no bar on a pipe"
    card = json.loads((tmp_path / "out" / "dataset_convert" / "data_card.json").read_text())
    assert (card["layout"], card["bad_records"]["count"], card["sets"]["train"]["sequences"]) == ("openpose", 1, 8)


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        ((), 3, "dataset_convert.data"),
        (("--data", "in"), 3, "results_dir"),
        (("--data", "in", "--results-dir", "out", "--on-error", "stop"), 3, "dataset_convert.on_error"),
        (("--data", "in", "--results-dir", "out", "--format", "opnpose"), 3, "openpose"),
        (("--data", "in", "--results-dir", "out", "--target-layout", "cooc"), 3, "coco"),
        (("--data", "in", "--results-dir", "out", "--target-layout", "gone.json"), 4, "gone.json"),
        (("--data", "nowhere", "--results-dir", "out"), 4, "nowhere"),
        (("--data", "", "--results-dir", "out"), 3, "dataset_convert.data"),
        (("--dataa", "in"), 2, "--dataa"),
    ],
)
def test_wrong_words(words, code, says, tmp_path, pose_classification):
    (tmp_path / "in").mkdir()
    done = pose_classification("dataset_convert", *words)
    assert done.code == code, done.err
    assert says in done.err
    assert not (tmp_path / "out").exists() or code == 4


def test_what_takes_long_says_how_far_it_is(tmp_path, monkeypatch):
    coco_json(tmp_path / "in")
    status = tmp_path / "dataset_convert" / "status.json"
    convert(tmp_path)
    assert " %" not in status.read_text(), "two seconds are not over"
    for name in ("QUIET", "SAY"):
        monkeypatch.setattr(progress, name, 0.0)
    convert(tmp_path)
    assert "8 recordings, 8 sequences: 100 %" in status.read_text()
