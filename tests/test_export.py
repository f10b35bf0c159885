"""Export: names, dynamic axes and metadata of the ONNX file, parity with torch, and that nothing is lost or left behind."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from trainer_cases import LABEL_MAP, SMALL, described, lively, network, sequences, write_checkpoint, write_set

from stgcn import errors, evaluate, export
from stgcn.network import build


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict]:
    """A dynamic export."""
    folder = tmp_path_factory.mktemp("exported")
    checkpoint = write_checkpoint(folder / "model_epoch_000_step_00002.pth", small=True)
    return folder, export.run({"results_dir": str(folder), "export": {"checkpoint": str(checkpoint)}})


def shape_of(value: onnx.ValueInfoProto) -> list[int | str]:
    return [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]


def test_names_axes_and_metadata(exported: tuple[Path, dict]) -> None:
    folder, result = exported
    path = folder / "export" / "model_epoch_000_step_00002.onnx"
    assert result["artifacts"]["onnx"] == str(path)
    model = onnx.load(path)
    assert [(v.name, shape_of(v)) for v in model.graph.input] == [("input", ["batch", 3, "time", 17, 1])]
    assert [(v.name, shape_of(v)) for v in model.graph.output] == [("fc_pred", ["batch", 3])]
    props = {prop.key: prop.value for prop in model.metadata_props}
    assert json.loads(props["class_names"]) == list(LABEL_MAP)
    assert json.loads(props["label_map"]) == LABEL_MAP
    assert json.loads(props["layout"])["name"] == "coco"
    assert (props["window"], props["normalisation"], props["network"]) == ("12", "none", "ST-GCN")
    assert (folder / "export" / "labels.txt").read_text().splitlines() == list(LABEL_MAP)
    assert result["metrics"]["input_shape"] == ["batch", 3, "time", 17, 1]
    names = {entry.name for entry in (folder / "export").iterdir()}
    assert names == {"experiment.yaml", "status.json", "labels.txt", "parity.json", path.name}


def test_parity(exported: tuple[Path, dict]) -> None:
    import onnxruntime

    folder, result = exported
    assert result["metrics"]["max_abs_diff"] <= 1e-4
    parity = json.loads((folder / "export" / "parity.json").read_text())
    assert {case["kind"] for case in parity["cases"]} == {"random", "zero-padded"}
    assert len({tuple(case["shape"]) for case in parity["cases"]}) == 3
    session = onnxruntime.InferenceSession(result["artifacts"]["onnx"], providers=["CPUExecutionProvider"])
    for count, frames in ((1, 1), (4, 12), (2, 75)):
        data = sequences(count, frames=frames, seed=8)[0] if frames > 4 else np.zeros((count, 3, frames, 17, 1), np.float32)
        with torch.no_grad():
            logits = network(small=True)(torch.from_numpy(data)).numpy()
        np.testing.assert_allclose(session.run(["fc_pred"], {"input": data})[0], logits, atol=1e-4)


def test_evaluate_agrees_with_the_checkpoint(exported: tuple[Path, dict], tmp_path: Path) -> None:
    folder, result = exported
    test = write_set(tmp_path, "test", 6, seed=9)
    losses = [
        evaluate.run(
            {"results_dir": str(tmp_path / name), "evaluate": {"checkpoint": str(path), "test_dataset": test, "batch_size": 4}}
        )["metrics"]["loss"]
        for name, path in (
            ("torch", folder / "model_epoch_000_step_00002.pth"),
            ("onnx", result["artifacts"]["onnx"]),
        )
    ]
    assert losses[0] == pytest.approx(losses[1], abs=1e-5)


def test_fixed_length_and_two_persons(tmp_path: Path) -> None:
    path = write_checkpoint(tmp_path / "plain.tlt", layout="ntu-rgb+d", described=False, small=True)
    spec = {
        "results_dir": str(tmp_path),
        "model": {"graph_layout": "ntu-rgb+d", **SMALL},
        "dataset": {"num_classes": 3, "label_map": LABEL_MAP},
        "export": {"checkpoint": str(path), "sequence_length": 20, "onnx_file": str(tmp_path / "new" / "fixed.onnx")},
    }
    result = export.run(spec)
    model = onnx.load(tmp_path / "new" / "fixed.onnx")
    assert shape_of(model.graph.input[0]) == ["batch", 3, 20, 25, 2]
    assert {prop.key: prop.value for prop in model.metadata_props}["window"] == "20"
    assert Path(result["artifacts"]["labels"]) == tmp_path / "new" / "labels.txt"


@pytest.mark.parametrize(
    ("model", "dataset"),
    [
        pytest.param({"model_type": "CTR-GCN"}, {}, marks=pytest.mark.slow),
        pytest.param({"model_type": "ST-GCN++"}, {}, marks=pytest.mark.slow),
        ({"model_type": "ST-GCN"}, {"streams": ("bone", "joint", "joint_motion"), "stream_fusion": "input"}),
    ],
)
def test_masked_networks_in_any_length(tmp_path: Path, model: dict, dataset: dict) -> None:
    """Padding and empty slots are left out by the file itself, in every batch, length and number of persons in use."""
    import onnxruntime

    about = described({**model, "width": 8, "stages": (1, 1), "padding": "masked"}, dataset)
    torch.manual_seed(0)
    built = lively(build(about), 4, 3, 12, 17, 2)
    path, shape = tmp_path / "model.onnx", export.InputShape(3, None, 17, 2)
    export.write_onnx(built, path, shape, 18)
    export.add_metadata(path, about, None)
    assert export.compare(built, path, shape)["ok"]
    assert json.loads({p.key: p.value for p in onnx.load(path).metadata_props}["streams"]) == about["streams"]
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    for frames in (1, 2, 3, 20):
        x = torch.randn(3, 3, frames, 17, 2, generator=torch.Generator().manual_seed(frames))
        x[0, :, (frames + 1) // 2 :] = 0
        x[1, ..., 0] = 0
        x[2] = 0
        with torch.no_grad():
            expected = built(x).numpy()
            alone = built(x[1:2, ..., 1:]).numpy()
        found = session.run(["fc_pred"], {"input": x.numpy()})[0]
        np.testing.assert_allclose(found, expected, atol=1e-4)
        np.testing.assert_allclose(found[1:2], alone, atol=1e-4)


def test_a_fixed_length_is_that_of_prepared_sequences(tmp_path: Path) -> None:
    spec = small_spec(tmp_path)
    path = Path(spec["export"]["checkpoint"])
    content = torch.load(path, weights_only=True)
    content["pose_classification"]["preparation"]["window"] = 8
    torch.save(content, path)
    spec["export"]["sequence_length"] = 12
    with pytest.raises(
        errors.SpecError, match=r"sequence_length is 12, but .* 8 frames after its preparation .*set it to 8, or to -1"
    ):
        export.run(spec)
    assert not list(tmp_path.rglob("*.onnx"))
    spec["export"]["sequence_length"] = 8
    assert export.run(spec)["metrics"]["input_shape"] == ["batch", 3, 8, 17, 1]


def small_spec(folder: Path, **own: object) -> dict:
    checkpoint = write_checkpoint(folder / "model.pth", small=True)
    return {"results_dir": str(folder), "export": {"checkpoint": str(checkpoint), **own}}


def test_an_existing_file_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "mine.onnx"
    target.write_bytes(b"mine")
    with pytest.raises(errors.RefusedError, match="exists and is kept"):
        export.run(small_spec(tmp_path, onnx_file=str(target)))
    assert target.read_bytes() == b"mine"
    monkeypatch.setattr(export, "write_onnx", lambda network, path, *_: Path(path).write_bytes(b"new"))
    monkeypatch.setattr(export, "add_metadata", lambda *_: None)
    fine = {"ok": True, "max_abs_diff": 0.0, "tolerance": 1e-4, "largest_logit": 1.0}
    monkeypatch.setattr(export, "compare", lambda *_: fine)
    export.run(small_spec(tmp_path, onnx_file=str(target), overwrite=True))
    assert target.read_bytes() == b"new"


def test_a_file_that_answers_otherwise_is_not_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def other_weights(network_: torch.nn.Module, path: Path, *rest: object) -> None:
        with torch.no_grad():
            network_.fcn.bias.add_(0.01)
        write(network_, path, *rest)
        with torch.no_grad():
            network_.fcn.bias.sub_(0.01)

    write = export.write_onnx
    monkeypatch.setattr(export, "write_onnx", other_weights)
    with pytest.raises(errors.TrainerError, match="answers otherwise than torch"):
        export.run(small_spec(tmp_path, sequence_length=16))
    assert not list(tmp_path.rglob("*.onnx*"))
    assert not list(tmp_path.rglob("labels.txt"))


@pytest.mark.parametrize(
    ("own", "kind", "words"),
    [
        ({"checkpoint": ""}, errors.SpecError, "export.checkpoint is empty"),
        ({"sequence_length": 0}, errors.SpecError, "sequence_length is 0"),
        ({"checkpoint": "model.onnx"}, errors.CheckpointError, "does not exist"),
        ({"opset_version": 12}, errors.SpecError, "opset_version"),
    ],
)
def test_wrong_input(tmp_path: Path, own: dict, kind: type[errors.TrainerError], words: str) -> None:
    with pytest.raises(kind) as caught:
        export.run(small_spec(tmp_path, **own))
    assert words in str(caught.value)
    assert not list(tmp_path.rglob("*.onnx"))
