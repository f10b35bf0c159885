"""Inference: TAO's text file and the JSON lines beside it, from a checkpoint and from an ONNX file without torch."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from trainer_cases import LABEL_MAP, network, sequences, write_checkpoint, write_set

from stgcn import errors, inference


def make_spec(folder: Path, **own: object) -> dict:
    checkpoint = write_checkpoint(folder / "model.pth")
    test = write_set(folder, "test", 5, seed=4)
    return {"results_dir": str(folder), "inference": {"checkpoint": str(checkpoint), "test_dataset": test, **own}}


def expected() -> list[str]:
    with torch.no_grad():
        best = network()(torch.from_numpy(sequences(5, seed=4)[0])).argmax(1)
    return [list(LABEL_MAP)[i] for i in best]


def test_both_files(tmp_path: Path) -> None:
    result = inference.run(make_spec(tmp_path, top_k=2, batch_size=2))
    text = tmp_path / "inference" / "results.txt"
    assert text.read_text().splitlines() == expected()
    lines = [json.loads(line) for line in text.with_suffix(".jsonl").read_text().splitlines()]
    assert [line["predicted"] for line in lines] == expected()
    assert [(line["index"], line["sample"]) for line in lines] == [(i, f"test_{i}") for i in range(5)]
    for line in lines:
        assert LABEL_MAP[line["predicted"]] == line["class_id"]
        assert line["top"][0]["class"] == line["predicted"]
        assert len(line["top"]) == 2
        assert 0 < line["top"][1]["probability"] <= line["probability"] <= 1
    assert result["metrics"] == {"sequences": 5, "classes": {name: expected().count(name) for name in LABEL_MAP}}
    assert all(Path(path).exists() for path in result["artifacts"].values())


def test_output_file_in_a_new_folder_and_no_labels(tmp_path: Path) -> None:
    spec = make_spec(tmp_path, output_file=str(tmp_path / "deep" / "er" / "out.txt"))
    del spec["inference"]["test_dataset"]["label_path"]
    result = inference.run(spec)
    assert Path(result["artifacts"]["predictions"]).read_text().splitlines() == expected()
    first = json.loads((tmp_path / "deep" / "er" / "out.jsonl").read_text().splitlines()[0])
    assert first["sample"] == "0"


ONNX_CHILD = """
import json, sys
from stgcn import inference
result = inference.run(json.load(sys.stdin))
loaded = sorted(name for name in ("torch", "pytorch_lightning", "onnx") if name in sys.modules)
print(json.dumps([result, loaded]))
"""


def test_an_onnx_file_needs_no_torch(tmp_path: Path) -> None:
    """A tiny graph with the metadata of an export: it names the classes and the layout."""
    spec = make_spec(tmp_path)
    spec["inference"]["checkpoint"] = str(tiny_onnx(tmp_path / "tiny.onnx"))
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", ONNX_CHILD], input=json.dumps(spec), capture_output=True, text=True, check=True
    )
    result, loaded = json.loads(done.stdout)
    assert loaded == []
    assert result["metrics"] == {"sequences": 5, "classes": {"still": 0, "wave": 5, "fall": 0}}


def tiny_onnx(path: Path, *, frames: int | str = "time", joints: int = 17, described: bool = True) -> Path:
    """An ONNX file that answers (0, 1, 0) whatever it is shown."""
    import numpy as np
    import onnx
    from onnx import TensorProto, helper

    from stgcn import config, description

    zero = helper.make_node("ReduceMean", ["input"], ["mean"], keepdims=0, axes=[1, 2, 3, 4])
    nodes = [
        zero,
        helper.make_node("Unsqueeze", ["mean"], ["column"], axes=[1]),
        helper.make_node("Mul", ["column", "nil"], ["nothing"]),
        helper.make_node("Add", ["nothing", "answer"], ["fc_pred"]),
    ]
    constants = [
        onnx.numpy_helper.from_array(np.zeros((1, 3), np.float32), "nil"),
        onnx.numpy_helper.from_array(np.array([[0, 1, 0]], np.float32), "answer"),
    ]
    source = helper.make_tensor_value_info("input", TensorProto.FLOAT, ["batch", 3, frames, joints, 1])
    target = helper.make_tensor_value_info("fc_pred", TensorProto.FLOAT, ["batch", 3])
    graph = helper.make_graph(nodes, "tiny", [source], [target], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=8)
    if described:
        about = description.describe(
            config.Model(graph_layout="coco"), config.Dataset(num_classes=3, label_map=LABEL_MAP), window=12, num_persons=1
        )
        helper.set_model_props(model, {description.KEY: json.dumps(about)})
    onnx.save(model, path)
    return path


@pytest.mark.parametrize(
    ("kwargs", "section", "kind", "words"),
    [
        ({"frames": 30}, {}, errors.DataError, ["T=12", "exported for 30"]),
        ({"described": False}, {}, errors.SpecError, ["names 6 classes", "num_classes is 3"]),
        (
            {"described": False},
            {"label_map": LABEL_MAP, "layout": "nvidia"},
            errors.CheckpointError,
            ["17 joints", "nvidia says 34"],
        ),
        ({}, {"label_map": {"x": 0, "y": 1, "z": 2}}, errors.CheckpointError, ["dataset.label_map", "'wave': 1", "'y': 1"]),
    ],
)
def test_onnx_that_does_not_fit(
    tmp_path: Path, kwargs: dict, section: dict, kind: type[errors.TrainerError], words: list[str]
) -> None:
    spec = make_spec(tmp_path)
    spec["inference"]["checkpoint"] = str(tiny_onnx(tmp_path / "tiny.onnx", **kwargs))
    spec["dataset"] = {"num_classes": 3} | ({"label_map": section["label_map"]} if "label_map" in section else {})
    spec["model"] = {"graph_layout": section.get("layout", "coco")}
    with pytest.raises(kind) as caught:
        inference.run(spec)
    assert [word for word in words if word not in str(caught.value)] == [], str(caught.value)
    assert not (tmp_path / "inference" / "results.txt").exists()


def test_not_an_onnx_file(tmp_path: Path) -> None:
    spec = make_spec(tmp_path)
    (tmp_path / "broken.onnx").write_bytes(b"not onnx")
    spec["inference"]["checkpoint"] = str(tmp_path / "broken.onnx")
    with pytest.raises(errors.CheckpointError, match="cannot be read as ONNX"):
        inference.run(spec)


def test_trt_engine_is_refused(tmp_path: Path) -> None:
    with pytest.raises(errors.SpecError, match="trt_engine is not supported"):
        inference.run(make_spec(tmp_path, trt_engine="model.engine"))


# --- temperature and the unknown ---


def described(path: Path, **more: object) -> Path:
    """A model file with more said about itself."""
    if path.suffix == ".onnx":
        import onnx

        from stgcn.description import KEY

        model = onnx.load(path)
        entry = next(prop for prop in model.metadata_props if prop.key == KEY)
        entry.value = json.dumps(json.loads(entry.value) | more)
        onnx.save(model, path)
        return path
    content = torch.load(path, weights_only=True)
    content["pose_classification"] |= more
    torch.save(content, path)
    return path


def told(result: dict) -> list[dict]:
    return [json.loads(line) for line in Path(result["artifacts"]["predictions_jsonl"]).read_text().splitlines()]


def test_below_the_threshold_a_sequence_is_unknown(tmp_path: Path) -> None:
    probabilities = [line["probability"] for line in told(inference.run(make_spec(tmp_path / "all")))]
    border = sorted(probabilities)[2]
    result = inference.run(make_spec(tmp_path, unknown_below=border))
    lines = told(result)
    names = (tmp_path / "inference" / "results.txt").read_text().splitlines()
    for line, name, probability, likeliest in zip(lines, names, probabilities, expected(), strict=True):
        known = probability >= border  # the border itself is known
        assert line["predicted"] == name == (likeliest if known else "unknown")
        assert line["class_id"] == (LABEL_MAP[likeliest] if known else None)
        assert line["top"][0]["class"] == likeliest
    assert result["metrics"]["unknown"] == 2
    assert sum(result["metrics"]["classes"].values()) == 3


@pytest.mark.parametrize("suffix", [".pth", ".onnx"])
def test_the_models_temperature_is_applied_with_and_without_torch(tmp_path: Path, suffix: str) -> None:
    spec = make_spec(tmp_path)
    if suffix == ".onnx":
        spec["inference"]["checkpoint"] = str(tiny_onnx(tmp_path / "tiny.onnx"))
    path = Path(spec["inference"]["checkpoint"])
    plain = told(inference.run(spec))
    described(path, temperature=4.0, unknown_threshold=0.9)
    result = inference.run(spec)
    for before, after in zip(plain, told(result), strict=True):
        odds = {entry["class"]: entry["probability"] ** 0.25 for entry in before["top"]}
        assert after["predicted"] == before["predicted"]
        for entry in after["top"]:
            assert entry["probability"] == pytest.approx(odds[entry["class"]] / sum(odds.values()), rel=1e-4)
    assert result["metrics"]["unknown_threshold"] == 0.9
    assert result["metrics"]["below_threshold"] == sum(line["probability"] < 0.9 for line in told(result))
    assert "unknown" not in result["metrics"]  # the threshold is a hint; nobody asked for it


def test_a_class_called_unknown_and_a_threshold_do_not_go_together(tmp_path: Path) -> None:
    spec = make_spec(tmp_path, unknown_below=0.5)
    described(tmp_path / "model.pth", label_map={"unknown": 0, "wave": 1, "fall": 2})
    with pytest.raises(errors.SpecError, match="a class named unknown"):
        inference.run(spec)
    spec["inference"]["unknown_below"] = 0.0
    assert inference.run(spec)["metrics"]["sequences"] == 5
