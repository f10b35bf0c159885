"""Checkpoints: ours, TAO's and the original's are read; broken, foreign and malicious ones are refused, with the reason."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import pytest
import torch
from trainer_cases import LABEL_MAP, network, sequences, write_checkpoint

from stgcn import checkpoint, config, description
from stgcn.errors import CheckpointError, SpecError
from stgcn.network import build

COCO = config.Model(graph_layout="coco")
CLASSES = config.Dataset(num_classes=3, label_map=LABEL_MAP)


class Malice:
    """Unpickled, it would leave a file behind."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.mark),)


@pytest.mark.parametrize(
    ("described", "prefix", "suffix"),
    [(True, "model.", ".pth"), (False, "model.", ".tlt"), (False, "", ".pt"), (False, "module.", ".pth")],
    ids=["ours", "TAO", "original", "data parallel"],
)
def test_same_logits(tmp_path: Path, described: bool, prefix: str, suffix: str) -> None:
    path = write_checkpoint(tmp_path / f"model{suffix}", described=described, prefix=prefix)
    built, about = checkpoint.network(checkpoint.read(path), COCO, CLASSES)
    assert about["label_map"] == LABEL_MAP
    x = torch.from_numpy(sequences(3)[0])
    with torch.no_grad():
        assert torch.equal(built.eval()(x), network()(x))


def test_a_bare_state_dict_of_the_original(tmp_path: Path) -> None:
    torch.save(network().state_dict(), tmp_path / "st_gcn.pt")
    read = checkpoint.read(tmp_path / "st_gcn.pt")
    assert len(read.weights) == 172
    assert read.description is None


def test_own_description_counts_where_the_spec_says_nothing(tmp_path: Path) -> None:
    path = write_checkpoint(tmp_path / "model.pth")
    _, about = checkpoint.network(checkpoint.read(path), config.Model(), config.Dataset())
    assert (about["layout"]["name"], about["num_classes"], description.num_joints(about)) == ("coco", 3, 17)
    assert description.class_names(about) == ["still", "wave", "fall"]


OTHER = {"a": 0, "b": 1, "c": 2}


@pytest.mark.parametrize(
    ("described", "model", "dataset", "words"),
    [
        (True, config.Model(graph_layout="openpose"), CLASSES, ["coco (17 joints)", "openpose (18 joints)"]),
        (True, config.Model(graph_strategy="uniform"), CLASSES, ["model.graph_strategy", "spatial", "uniform"]),
        (True, COCO, config.Dataset(num_classes=3, label_map=OTHER), ["dataset.label_map", "'wave': 1", "'b': 1"]),
        (
            True,
            config.Model(graph_layout="openpose", input_channels=2, edge_importance_weighting=False),
            config.Dataset(num_classes=4, label_map=OTHER | {"d": 3}),
            ["graph_layout", "input_channels", "edge_importance_weighting", "num_classes", "label_map"],
        ),
        (False, config.Model(graph_layout="nvidia"), CLASSES, ["17 joints (human3.6m or coco)", "nvidia (34 joints)"]),
        (False, config.Model(graph_layout="human3.6m"), CLASSES, ["its graph is coco", "human3.6m"]),
        (
            False,
            config.Model(graph_layout="coco", input_channels=2, graph_strategy="distance", edge_importance_weighting=False),
            config.Dataset(num_classes=4, label_map=OTHER | {"d": 3}),
            ["3 channels", "input_channels is 2", "3 classes", "num_classes is 4", "3 partitions (spatial)", "edge importance"],
        ),
    ],
)
def test_all_that_differs_is_listed(
    tmp_path: Path, described: bool, model: config.Model, dataset: config.Dataset, words: list[str]
) -> None:
    read = checkpoint.read(write_checkpoint(tmp_path / "model.pth", described=described))
    with pytest.raises(CheckpointError) as caught:
        checkpoint.network(read, model, dataset)
    assert [word for word in words if word not in str(caught.value)] == [], str(caught.value)


def test_a_plain_file_needs_a_right_label_map(tmp_path: Path) -> None:
    read = checkpoint.read(write_checkpoint(tmp_path / "model.pth", described=False))
    with pytest.raises(SpecError, match="names 6 classes"):
        checkpoint.network(read, COCO, config.Dataset(num_classes=3))


def broken(folder: Path, case: str) -> Path:
    """A file that is no usable checkpoint."""
    path = folder / "model.pth"
    if case == "truncated":
        content = write_checkpoint(path).read_bytes()
        path.write_bytes(content[: len(content) // 2])
    elif case == "empty":
        path.write_bytes(b"")
    elif case == "text":
        path.write_text("hello world")
    elif case == "folder":
        path.mkdir()
    elif case == "malicious":
        torch.save({"state_dict": Malice(folder / "done")}, path)
    elif case == "malicious pickle":
        path.write_bytes(pickle.dumps({"state_dict": Malice(folder / "done")}, protocol=4))
    elif case == "list":
        torch.save([torch.ones(1)], path)
    elif case == "other network":
        torch.save({"state_dict": {"backbone.conv1.weight": torch.ones(1)}}, path)
    elif case == "no tensors":
        names = ("fcn.weight", "data_bn.weight", "st_gcn_networks.0.gcn.conv.weight")
        torch.save({"state_dict": dict.fromkeys(names, "text")}, path)
    elif case == "encrypted":
        torch.save({"state_dict": {}, "state_dict_encrypted": "codec"}, path)
    elif case in ("newer", "half described"):
        content = torch.load(write_checkpoint(path), weights_only=True)
        content[description.KEY] = {"format": 99} if case == "newer" else {"format": 1, "layout": {}}
        torch.save(content, path)
    elif case == "onnx":
        path = folder / "model.onnx"
        path.write_bytes(b"onnx")
    return path


@pytest.mark.parametrize(
    ("case", "words"),
    [
        ("missing", "does not exist"),
        ("folder", "is not a file"),
        ("truncated", "truncated, damaged"),
        ("empty", "truncated, damaged"),
        ("text", "not a checkpoint"),
        ("malicious", "nothing of it was run"),
        ("malicious pickle", "nothing of it was run"),
        ("list", "holds a list"),
        ("other network", "backbone.conv1.weight"),
        ("no tensors", "not a checkpoint of ST-GCN, ST-GCN++, CTR-GCN or Sep-GCN"),
        ("encrypted", "encrypted by TAO, whose cipher is not public"),
        ("newer", "newer version"),
        ("half described", "lacks"),
        ("onnx", "is an ONNX file"),
    ],
)
def test_what_cannot_be_used_is_refused(tmp_path: Path, case: str, words: str) -> None:
    with pytest.raises(CheckpointError) as caught:
        checkpoint.read(broken(tmp_path, case))
    assert words in str(caught.value)
    assert not (tmp_path / "done").exists()


def test_tensors_missing_from_a_file_are_named(tmp_path: Path) -> None:
    path = write_checkpoint(tmp_path / "model.pth")
    content = torch.load(path, weights_only=True)
    del content["state_dict"]["model.st_gcn_networks.9.tcn.2.bias"]
    torch.save(content, path)
    with pytest.raises(CheckpointError, match=r"st_gcn_networks\.9\.tcn\.2\.bias: not in the file"):
        checkpoint.network(checkpoint.read(path), COCO, CLASSES)


@pytest.mark.parametrize(("processed", "expected"), [(5, 5), (4, 4)], ids=["end of an epoch", "within an epoch"])
def test_epochs_of_a_file_of_tao(tmp_path: Path, processed: int, expected: int) -> None:
    state = {f"model.{name}": value for name, value in network().state_dict().items()}
    loops = {"fit_loop": {"epoch_progress": {"current": {"processed": processed}}}}
    torch.save({"state_dict": state, "epoch": 4, "global_step": 40, "loops": loops}, tmp_path / "tao.tlt")
    read = checkpoint.read(tmp_path / "tao.tlt")
    assert (read.epochs_completed, read.global_step) == (expected, 40)


def authors_file(path: Path, kind: str, *, slots: int = 1, head: str = "cls_head.fc_cls.") -> Path:
    """A state dict of untrained weights as the authors of a network write it, and what else they keep beside it."""
    model = config.Model(model_type=kind, graph_layout="coco", width=8, stages=(2, 1))
    about = description.describe(model, CLASSES, window=None, num_persons=None) | {"person_slots": slots}
    torch.manual_seed(4)
    state = build(about).state_dict()
    if kind == "ST-GCN++":
        state = {
            name.replace("fc_cls.", head) if name.startswith("fc_cls.") else f"backbone.{name}": value
            for name, value in state.items()
        }
        torch.save({"meta": {"epoch": 16, "config": "model = dict()"}, "state_dict": state}, path)
    else:
        torch.save(state, path)
    return path


@pytest.mark.parametrize(
    ("kind", "slots", "head"),
    [("ST-GCN++", 1, "cls_head.fc_cls."), ("ST-GCN++", 1, "cls_head.fc."), ("CTR-GCN", 2, ""), ("CTR-GCN", 1, "")],
)
def test_files_of_the_authors(tmp_path: Path, kind: str, slots: int, head: str) -> None:
    model = config.Model(model_type=kind, graph_layout="coco", width=8, stages=(2, 1))
    read = checkpoint.read(authors_file(tmp_path / "authors.pth", kind, slots=slots, head=head))
    built, about = checkpoint.network(read, model, CLASSES)
    assert (about["network"], about["person_slots"], about["num_persons"]) == (kind, slots, slots if slots > 1 else None)
    torch.manual_seed(4)
    expected = build(about)
    x = torch.from_numpy(sequences(3, persons=2)[0])
    with torch.no_grad():
        assert torch.equal(built.eval()(x), expected.eval()(x))
    assert set(read.weights) == set(built.state_dict())


@pytest.mark.parametrize(
    ("kind", "model", "words"),
    [
        ("ST-GCN++", {}, ["it is ST-GCN++, model.model_type is ST-GCN"]),
        ("CTR-GCN", {"model_type": "ST-GCN++"}, ["it is CTR-GCN, model.model_type is ST-GCN++"]),
        (
            "ST-GCN++",
            {"model_type": "ST-GCN++", "graph_layout": "openpose", "input_channels": 2, "graph_strategy": "uniform"},
            ["17 joints", "3 channels", "3 partitions", "width 8 and the stages [2, 1]", "model.width is 64"],
        ),
        ("CTR-GCN", {"model_type": "CTR-GCN", "padding": "masked"}, ["normalises 2 persons each for itself", "masked"]),
    ],
)
def test_what_does_not_fit_a_file_of_the_authors(tmp_path: Path, kind: str, model: dict, words: list[str]) -> None:
    read = checkpoint.read(authors_file(tmp_path / "authors.pth", kind, slots=2 if kind == "CTR-GCN" else 1))
    with pytest.raises(CheckpointError) as caught:
        checkpoint.network(read, config.Model(**{"graph_layout": "coco", **model}), CLASSES)
    assert [word for word in words if word not in str(caught.value)] == [], str(caught.value)


def test_channels_of_stacked_streams_are_counted(tmp_path: Path) -> None:
    read = checkpoint.read(write_checkpoint(tmp_path / "model.pth", described=False))
    stacked = config.Dataset(num_classes=3, label_map=LABEL_MAP, streams=("joint", "bone"), stream_fusion="input")
    with pytest.raises(CheckpointError, match=r"takes 3 channels, model\.input_channels is 3 for each of 2 streams"):
        checkpoint.network(read, COCO, stacked)


def test_a_file_from_before_the_choice_means_st_gcn(tmp_path: Path) -> None:
    path = write_checkpoint(tmp_path / "model.pth")
    content = torch.load(path, weights_only=True)
    for key in ("width", "stages", "dropout", "padding", "streams", "stream_fusion"):
        del content[description.KEY][key]
    torch.save(content, path)
    built, about = checkpoint.network(checkpoint.read(path), COCO, CLASSES)
    assert about["network"] == "ST-GCN"
    x = torch.from_numpy(sequences(3)[0])
    with torch.no_grad():
        assert torch.equal(built.eval()(x), network()(x))
