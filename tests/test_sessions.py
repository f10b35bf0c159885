"""Who runs a model: the execution provider of an ONNX file, the precision of a checkpoint; and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

import stgcn
from stgcn import config, description, errors, evaluate, export, predict, sessions
from stgcn.network import build
from tests.trainer_cases import LABEL_MAP, SMALL, sequences, write_checkpoint, write_set


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    checkpoint = write_checkpoint(folder / "model.pth", small=True)
    onnx = folder / "model.onnx"
    export.run({"results_dir": str(folder / "results"), "export": {"checkpoint": str(checkpoint), "onnx_file": str(onnx)}})
    return {"checkpoint": checkpoint, "onnx": onnx}


def spec(folder: Path, model: Path, **settings: str) -> dict:
    own = {"checkpoint": str(model), "test_dataset": write_set(folder, "test", 6), **settings}
    return {
        "results_dir": str(folder / "results"),
        "dataset": {"num_classes": 3, "label_map": dict(LABEL_MAP)},
        "evaluate": own,
    }


def test_a_checkpoint_evaluates_in_bf16_with_the_same_accuracy(tmp_path: Path, models: dict[str, Path]) -> None:
    plain = evaluate.run(spec(tmp_path / "a", models["checkpoint"]))["metrics"]
    found = evaluate.run(spec(tmp_path / "b", models["checkpoint"], precision="bf16"))["metrics"]
    assert found["accuracy"] == plain["accuracy"]
    assert found["loss"] != plain["loss"]
    assert found["loss"] == pytest.approx(plain["loss"], rel=0.02)


def test_the_python_interface_has_the_same_choices(models: dict[str, Path]) -> None:
    data = sequences(4)[0]
    plain = stgcn.load(models["checkpoint"]).predict(data)
    found = stgcn.load(models["checkpoint"], precision="bf16").predict(data)
    assert list(found.labels) == list(plain.labels)
    np.testing.assert_allclose(found.probabilities, plain.probabilities, atol=0.02)
    with pytest.raises(errors.SpecError, match="fp32, bf16"):
        stgcn.load(models["checkpoint"], precision="fp8")
    with pytest.raises(errors.SpecError, match="fp32"):
        stgcn.load(models["onnx"], precision="bf16")
    with pytest.raises(errors.SpecError, match="num_gpus"):
        stgcn.load(models["checkpoint"], provider="cuda")


def test_a_provider_that_is_not_there_is_named_with_those_that_are(tmp_path: Path, models: dict[str, Path]) -> None:
    missing = next(name for name, full in sessions.PROVIDERS.items() if full not in onnxruntime.get_available_providers())
    with pytest.raises(errors.ResourceError, match=rf"provider is {missing}.*it has: .*cpu.*{sessions.PACKAGES[missing]}"):
        evaluate.run(spec(tmp_path, models["onnx"], provider=missing))


def test_a_provider_that_could_not_start_is_not_taken_for_the_cpu(
    models: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """onnxruntime lists what it was built with, and falls back where that does not start."""
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: list(sessions.PROVIDERS.values()))
    real = onnxruntime.InferenceSession
    monkeypatch.setattr(
        onnxruntime, "InferenceSession", lambda path, options, providers: real(path, options, providers=providers[-1:])
    )
    with pytest.raises(errors.ResourceError, match="could not start"):
        sessions.open_session(models["onnx"], "cuda")
    assert sessions.open_session(models["onnx"], "cpu").get_providers() == ["CPUExecutionProvider"]


def test_a_masked_onnx_file_computes_no_padding_and_answers_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    model = config.Model(graph_layout="coco", model_type="ST-GCN", padding="masked", **SMALL)
    dataset = config.Dataset(num_classes=3, label_map=dict(LABEL_MAP))
    about = description.describe(model, dataset, window=None, num_persons=2)
    built = build(about).eval()
    state = {f"model.{name}": value for name, value in built.state_dict().items()}
    torch.save({"state_dict": state, description.KEY: about}, tmp_path / "model.pth")
    spec = {"checkpoint": str(tmp_path / "model.pth"), "onnx_file": str(tmp_path / "model.onnx")}
    export.run({"results_dir": str(tmp_path / "results"), "export": spec})
    data = np.random.default_rng(1).normal(size=(6, 3, 100, 17, 2)).astype(np.float32)
    for sequence, length in zip(data, (0, 5, 16, 17, 90, 100), strict=True):
        sequence[:, length:] = 0
    predictor = predict.load(tmp_path / "model.onnx", model, dataset)
    seen = []
    computed = predict.OnnxPredictor._computed
    monkeypatch.setattr(
        predict.OnnxPredictor,
        "_computed",
        lambda self, batch, outputs: seen.append(batch.shape[2]) or computed(self, batch, outputs),
    )
    found = predictor.logits(data)
    assert seen == [16, 32, 96, 100]
    with torch.inference_mode():
        expected = built(torch.from_numpy(data)).numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    assert len(np.unique(found.round(4), axis=0)) == 6
