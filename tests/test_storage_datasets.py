"""Data sets that lie in S3 (a real server, moto): what a plan takes from them, and folders of clips that are imported."""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import estimator_files as files
import numpy as np
import pytest
from moto.server import ThreadedMotoServer
from s3_proxy import Fault, proxy_to

from runner import bank, datafolder, storage
from runner import plan as plans
from runner.errors import InputMissing, SkillBankError, SpecInvalid, StorageError, UsageError
from stgcn.graph import LAYOUTS

SKILL = "tao-train-pose-classification"


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    moto = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    moto.start()
    host, port = moto.get_host_and_port()
    yield f"http://{host}:{port}"
    moto.stop()


@pytest.fixture
def s3(server: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Any]:
    for name in [n for n in os.environ if n.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in {
        "AWS_ENDPOINT_URL": server,
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_CONFIG_FILE": str(tmp_path / "no-config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "no-credentials"),
        "AWS_EC2_METADATA_DISABLED": "true",
        "NO_PROXY": "*",
    }.items():
        monkeypatch.setenv(name, value)
    client = boto3.client("s3", endpoint_url=server)
    client.create_bucket(Bucket="data")
    yield client
    for item in client.list_objects_v2(Bucket="data").get("Contents", []):
        client.delete_object(Bucket="data", Key=item["Key"])
    client.delete_bucket(Bucket="data")
    client.close()


def put_all(s3: Any, folder: Path, prefix: str) -> None:
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            s3.put_object(Bucket="data", Key=f"{prefix}/{path.relative_to(folder).as_posix()}", Body=path.read_bytes())


def dataset(folder: Path, **beside: Any) -> Path:
    """A TAO data set of two channels with ``beside`` as JSON files."""
    folder.mkdir()
    for split in ("train", "val"):
        np.save(folder / f"{split}_data.npy", np.ones((4, 2, 12, 17, 1), np.float32))
        (folder / f"{split}_label.pkl").write_bytes(pickle.dumps((list("abcd"), [0, 1, 0, 1])))
    for name, content in beside.items():
        (folder / f"{name}.json").write_text(json.dumps(content))
    return folder


FULL = {
    "label_map": {"fall": 0, "walk": 1},
    "layout": {**LAYOUTS["coco"].as_plain(), "name": "mine"},
    "data_card": {"input_channels": 2, "confidence_channel": 1},
}


def plan(dataset: str, action: str = "train", workspace: Path = Path("w"), **more: Any) -> plans.Plan:
    return plans.make(plans.Request(workspace, skill=SKILL, action=action, dataset=dataset, automl="off", **more))


def test_a_plan_takes_from_storage_what_it_takes_from_disk(s3: Any, tmp_path: Path) -> None:
    put_all(s3, dataset(tmp_path / "set", **FULL), "a/set")
    local, remote = plan(str(tmp_path / "set"), workspace=tmp_path / "w"), plan("s3://data/a/set/", workspace=tmp_path / "w")
    assert remote.spec["dataset"]["label_map"] == FULL["label_map"]
    assert remote.spec["dataset"]["num_classes"] == 2
    assert remote.spec["dataset"]["preparation"]["confidence_channel"] == 1
    assert remote.spec["model"]["input_channels"] == 2
    assert remote.spec["model"]["graph_layout"] == "s3://data/a/set/layout.json"
    assert {item["uri"] for item in remote.inputs} == {
        f"s3://data/a/set/{name}"
        for name in ("train_data.npy", "train_label.pkl", "val_data.npy", "val_label.pkl", "layout.json")
    }
    assert remote.sources == local.sources
    assert not (tmp_path / "w").exists(), "a plan changes nothing"


def test_what_is_not_there_is_not_taken_and_words_of_the_user_go_first(s3: Any, tmp_path: Path) -> None:
    put_all(s3, dataset(tmp_path / "set", label_map=FULL["label_map"]), "set")
    made = plan("s3://data/set", overrides=("model.graph_layout=coco", "dataset.label_map={a: 0, b: 1}"))
    assert made.spec["model"]["graph_layout"] == "coco"
    assert made.spec["dataset"]["label_map"] == {"a": 0, "b": 1}
    assert made.spec["dataset"]["preparation"]["confidence_channel"] == -2  # the recipe's, found in training


def test_the_test_set_is_taken_where_there_is_one(s3: Any, tmp_path: Path) -> None:
    """Before, an address was never asked, and test_data.npy was taken for granted."""
    put_all(s3, dataset(tmp_path / "set"), "set")
    words = {"overrides": (f"evaluate.checkpoint={tmp_path / 'm.pth'}", "dataset.num_classes=2", "model.graph_layout=coco")}
    (tmp_path / "m.pth").write_bytes(b"x")
    assert plan("s3://data/set", "evaluate", **words).spec["evaluate"]["test_dataset"] == {
        "data_path": "s3://data/set/val_data.npy",
        "label_path": "s3://data/set/val_label.pkl",
    }
    for name in ("data.npy", "label.pkl"):
        s3.put_object(Bucket="data", Key=f"set/test_{name}", Body=b"x")
    assert plan("s3://data/set", "evaluate", **words).spec["evaluate"]["test_dataset"]["data_path"].endswith("test_data.npy")


def test_files_that_are_needed_and_not_there_are_named_at_once(s3: Any, tmp_path: Path) -> None:
    s3.put_object(Bucket="data", Key="set/train_data.npy", Body=b"x")
    s3.put_object(Bucket="data", Key="set/val_data.npy.bak", Body=b"x")  # another object that begins alike
    with pytest.raises(StorageError, match="lacks 3 of the files that train needs") as caught:
        plan("s3://data/set")
    assert [problem.path for problem in caught.value.problems] == [
        "dataset.train_dataset.label_path",
        "dataset.val_dataset.data_path",
        "dataset.val_dataset.label_path",
    ]
    with pytest.raises(StorageError, match="lacks 2"):
        plan("s3://data/set", overrides=(f"dataset.val_dataset.data_path={tmp_path}/v.npy",))


@pytest.mark.parametrize(
    ("name", "body", "error", "says"),
    [
        ("label_map.json", b"{", InputMissing, "s3://data/set/label_map.json cannot be read as JSON"),
        ("label_map.json", b"\xff\xfe", InputMissing, "cannot be read as JSON"),
        ("label_map.json", b"[" * 100_000, InputMissing, "cannot be read as JSON"),
        ("label_map.json", b"[1, 2]", SpecInvalid, "dataset.label_map"),
        ("data_card.json", b'{"input_channels": "three"}', SpecInvalid, "model.input_channels"),
        ("data_card.json", b"[]", InputMissing, "holds no JSON object, of which input_channels is read"),
        ("data_card.json", b'{"confidence_channel": null}', None, ""),
    ],
)
def test_files_in_storage_that_say_nonsense(
    s3: Any, tmp_path: Path, name: str, body: bytes, error: type[SkillBankError] | None, says: str
) -> None:
    put_all(s3, dataset(tmp_path / "set"), "set")
    s3.put_object(Bucket="data", Key=f"set/{name}", Body=body)
    words = ("model.graph_layout=coco", *([] if "label_map" in name else ["dataset.num_classes=2"]))
    if error is None:
        assert plan("s3://data/set", overrides=words).spec["dataset"]["preparation"]["confidence_channel"] == -2
        return
    with pytest.raises(error) as caught:
        plan("s3://data/set", overrides=words)
    assert says in str(caught.value)


def test_a_json_file_that_is_no_json_file_is_not_read_whole(s3: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datafolder, "MOST_JSON", 1000)
    s3.put_object(Bucket="data", Key="set/label_map.json", Body=b" " * 5000)
    with datafolder.opened("s3://data/set") as folder, pytest.raises(InputMissing, match="larger than"):
        datafolder.value_of(folder, "label_map.json", {"read": "json"})


def test_the_shape_of_an_array_in_storage_is_read_from_its_head(s3: Any, tmp_path: Path) -> None:
    put_all(s3, dataset(tmp_path / "set"), "set")
    with datafolder.opened("s3://data/set") as folder:
        assert datafolder.value_of(folder, "train_data.npy", {"read": "shape", "axis": 1}) == 2


@pytest.mark.parametrize(
    ("environment", "says"),
    [
        ({"AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None}, "no credentials"),
        ({"AWS_PROFILE": "nobody"}, "nobody"),
        ({"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}, "cannot be reached"),
        ({}, "no such bucket: absent"),
    ],
)
def test_a_plan_says_what_is_wrong_with_storage(
    s3: Any, monkeypatch: pytest.MonkeyPatch, environment: dict[str, str | None], says: str
) -> None:
    for name, value in environment.items():
        monkeypatch.delenv(name) if value is None else monkeypatch.setenv(name, value)
    with pytest.raises(StorageError, match=says) as caught:
        plan("s3://data/set" if environment else "s3://absent/set")
    assert caught.value.exit_code == 6
    assert caught.value.hint


def test_without_the_right_to_list_only_the_needed_files_are_taken(
    s3: Any, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with proxy_to(server) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        proxy.faults = lambda call, _: Fault("status", status=403, code="AccessDenied") if "list-type" in call.path else None
        made = plan("s3://data/set", overrides=("dataset.num_classes=2",))
        proxy.faults = lambda call, _: Fault("status", status=403, code="InvalidAccessKeyId")
        with pytest.raises(StorageError, match="rejected"):
            plan("s3://data/set", overrides=("dataset.num_classes=2",))
    assert made.spec["dataset"]["val_dataset"]["data_path"] == "s3://data/set/val_data.npy"
    assert made.spec["model"]["graph_layout"] == "nvidia"
    assert "s3:ListBucket" in " ".join(made.notes)


def test_an_action_without_data_does_not_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "Look", None)
    with pytest.raises(UsageError, match="takes no data set"):
        plan("s3://data/set", "export")
    assert bank.get(SKILL)


# -- folders of clips --------------------------------------------------------------------------------------------


def clips(folder: Path, frames: int = 12) -> Path:
    for c, label in enumerate(("fall", "walk")):
        for i in range(4):
            files.openpose(folder / label / f"clip{i}", files.figure(25, frames, seed=10 * c + i))
    return folder


def test_a_folder_of_clips_is_imported_from_storage(s3: Any, tmp_path: Path, skillbank: Any) -> None:
    clips(tmp_path / "clips")
    (tmp_path / "clips" / "labels.csv").write_text(
        "sample,label,subject,a,b,c\n"
        + "".join(f"{label}/clip{i},{label},{i},1,2,3\n" for label in ("fall", "walk") for i in range(4))
    )
    put_all(s3, tmp_path / "clips", "raw/clips")
    s3.put_object(Bucket="data", Key="raw/clips/walk/", Body=b"")  # the mark of an empty folder
    words = ("run", SKILL, "dataset_convert", "--json", "--set", "dataset_convert.label_file=s3://data/raw/clips/labels.csv")
    done = skillbank(
        *words, "--set", "dataset_convert.data=s3://data/raw/clips/", "--set", "dataset_convert.target_layout=coco"
    )
    assert done.code == 0, done.out + done.err
    card = json.loads((Path(done.data["results_dir"]) / "data_card.json").read_text())
    assert (card["format"], card["layout"], card["recordings"], card["labels_from"]) == ("openpose", "coco", 8, {"table": 8})
    again = skillbank(*words, "--dataset", "s3://data/raw/clips")
    assert again.code == 0, again.out + again.err
    folders = [path for path in (tmp_path / "workspace" / "cache").rglob("clips") if path.is_dir()]
    assert len(folders) == 1, "fetched once, by whichever address"


def test_a_bodypose_file_goes_before_the_folder(s3: Any) -> None:
    s3.put_object(Bucket="data", Key="raw/a.json", Body=b"[]")
    assert plan("s3://data/raw", "dataset_convert").spec["dataset_convert"]["data"] == "s3://data/raw/"
    s3.put_object(Bucket="data", Key="raw/bodypose.json", Body=b"[]")
    assert plan("s3://data/raw", "dataset_convert").spec["dataset_convert"]["data"] == "s3://data/raw/bodypose.json"
    with pytest.raises(StorageError, match="lacks 1"):
        plan("s3://data/nothing", "dataset_convert")


def test_a_folder_that_is_cached_needs_no_room(s3: Any, tmp_path: Path) -> None:
    put_all(s3, clips(tmp_path / "clips", frames=2), "clips")
    inputs = [("dataset_convert.data", "s3://data/clips")]
    assert storage.preflight(inputs, tmp_path / "cache") > 0
    storage.fetch("s3://data/clips", tmp_path / "cache")
    assert storage.preflight(inputs, tmp_path / "cache") == 0
    s3.put_object(Bucket="data", Key="clips/more.json", Body=b"[]")
    assert storage.preflight(inputs, tmp_path / "cache") > 0
