"""Preparation: what each setting promises, and that training, evaluation, ONNX inference and streams do the same."""

from __future__ import annotations

import io
import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from trainer_cases import LABEL_MAP, SMALL, sequences, train_spec, write_checkpoint, write_set

from stgcn import config, description, errors, evaluate, export, inference, predict, stream, train
from stgcn.config import Preparation
from stgcn.consistency import of_preparation
from stgcn.graph import LAYOUTS
from stgcn.prepare import NOTHING, position_channels, prepare, sizes

COCO = LAYOUTS["coco"]
SHOULDERS, HIPS = (5, 6), (11, 12)  # left, right

settings = st.builds(
    Preparation,
    center=st.sampled_from(["none", "body", "sequence", "frame"]),
    scale=st.sampled_from(["none", "body", "spread"]),
    view=st.sampled_from(["none", "frontal"]),
    interpolate=st.integers(0, 4),
    window=st.sampled_from([-1, 1, 7, 12, 30]),
    window_mode=st.sampled_from(["resample", "crop"]),
)


@st.composite
def bodies(draw: st.DrawFn) -> np.ndarray:
    """Sequences (3, T, 17, M) float32 of one rigid body per person that trembles; joints and frames are missing."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    frames, persons = draw(st.integers(1, 14)), draw(st.integers(1, 3))
    body = rng.normal(0, 1, (3, 1, 17, persons))
    body[0, 0, [SHOULDERS[0], HIPS[0]]] = 2  # left and right are apart, so that there is a line
    body[0, 0, [SHOULDERS[1], HIPS[1]]] = -2
    data = body + rng.normal(0, 0.05, (3, frames, 17, persons)) + rng.normal(0, 3, (3, 1, 1, 1))
    data *= rng.random((frames, 17, persons)) > draw(st.sampled_from([0, 0.2]))
    data[:, : draw(st.integers(0, 2))] = 0
    data[:, frames - draw(st.integers(0, 3)) :] = 0
    return data.astype(np.float32)


def close(ours: np.ndarray, theirs: np.ndarray) -> None:
    np.testing.assert_allclose(ours, theirs, atol=1e-3 * max(1.0, float(np.abs(theirs).max(initial=0))))


def moved(data: np.ndarray, change: np.ndarray) -> np.ndarray:
    """``change`` where there is a joint."""
    return np.where(data.any(axis=0), change, 0).astype(np.float32)


@given(bodies())
def test_the_default_does_nothing(data: np.ndarray) -> None:
    assert prepare(data, NOTHING, COCO) is data
    assert prepare(data, config.Preparation(confidence_channel=2), COCO) is data  # as an import says it, and no more
    assert of_preparation(config.Preparation(confidence_channel=3), COCO, 3)


@given(bodies(), settings)
def test_shape_type_and_purity(data: np.ndarray, own: Preparation) -> None:
    before = data.copy()
    done = prepare(data, own, COCO)
    assert (done.dtype, done.shape[1::2]) == (np.float32, sizes(data.shape[1], data.shape[3], own))
    assert np.isfinite(done).all()
    assert data.tobytes() == before.tobytes()
    assert prepare(data, own, COCO).tobytes() == done.tobytes()


@given(bodies(), settings)
def test_what_is_missing_stays_zero(data: np.ndarray, own: Preparation) -> None:
    own = replace(own, interpolate=0, window=-1)
    assert not prepare(data, own, COCO)[:, ~data.any(axis=0)].any()
    assert not prepare(np.zeros_like(data), own, COCO).any()


@given(bodies(), settings)
def test_twice_is_once(data: np.ndarray, own: Preparation) -> None:
    if own.window > 0:  # which changes the length of gaps
        own = replace(own, interpolate=0)
    once = prepare(data, own, COCO)
    close(prepare(once, own, COCO), once)


@given(bodies(), settings, st.integers(0, 2**32 - 1))
def test_invariance(data: np.ndarray, own: Preparation, seed: int) -> None:
    rng = np.random.default_rng(seed)
    angle = rng.uniform(0, 2 * np.pi)
    cosine, sine = np.cos(angle), np.sin(angle)
    turned = np.stack([cosine * data[0] - sine * data[2], data[1], sine * data[0] + cosine * data[2]])
    frames = Preparation(interpolate=own.interpolate, window=own.window, window_mode=own.window_mode)
    seen = prepare(data, frames, COCO).any(axis=0)
    done, centred = prepare(data, own, COCO), seen[:, COCO.center]
    everybody = (centred.any(axis=0) | ~seen.any(axis=(0, 1))).all()
    whole = {"body": True, "sequence": centred.any(), "frame": everybody, "none": False}
    if whole[own.center]:
        close(prepare(moved(data, data + rng.normal(0, 2, (3, 1, 1, 1))), own, COCO), done)
    if own.scale == "body" and any((seen[:, a] & seen[:, b]).any() for a, b in COCO.edges if COCO.center not in (a, b)):
        close(prepare(moved(data, data * rng.uniform(0.01, 100)), own, COCO), done)
    others = np.delete(seen, COCO.center, axis=1)
    if own.scale == "spread" and (others.sum(axis=1) > 1).any():
        close(prepare(moved(data, data * rng.uniform(0.01, 100)), own, COCO), done)
    if own.view == "frontal" and any(seen[:, side].all(axis=1).any() for side in (SHOULDERS, HIPS)):
        close(prepare(moved(data, turned), own, COCO), done)


def body(frames: int = 6, persons: int = 1) -> np.ndarray:
    return np.random.default_rng(3).normal(1, 1, (3, frames, 17, persons)).astype(np.float32)


def test_centre_and_scale_and_view() -> None:
    data = body(persons=2)
    assert not prepare(data, Preparation(center="frame"), COCO)[:, :, COCO.center].any()
    shifted = prepare(data, Preparation(center="sequence"), COCO)
    np.testing.assert_allclose(shifted[:, :, COCO.center].mean(axis=(1, 2)), 0, atol=1e-6)
    close(np.diff(shifted, axis=1), np.diff(data, axis=1))
    scaled = prepare(data, Preparation(scale="body"), COCO)
    lengths = [np.linalg.norm(scaled[:, :, a] - scaled[:, :, b], axis=0) for a, b in COCO.edges if COCO.center not in (a, b)]
    assert np.median(lengths) == pytest.approx(1, abs=1e-5)
    middle = prepare(data, Preparation(center="body"), COCO)
    np.testing.assert_allclose(middle.mean(axis=(1, 2, 3)), 0, atol=1e-6)
    close(np.diff(middle, axis=1), np.diff(data, axis=1))
    spread = np.delete(prepare(data, Preparation(scale="spread"), COCO), COCO.center, axis=2)
    away = spread - spread.mean(axis=2, keepdims=True)
    assert np.median(np.sqrt((away**2).sum(axis=0).mean(axis=1))) == pytest.approx(1, abs=1e-5)
    front = prepare(data, Preparation(view="frontal"), COCO)[..., 0]
    line = sum((front[:, :, left] - front[:, :, right]).mean(axis=1) for left, right in (SHOULDERS, HIPS))
    assert line[0] > 0
    assert line[2] == pytest.approx(0, abs=1e-5)
    close(front[1], data[1, ..., 0])


def test_the_score_is_no_coordinate() -> None:
    data = body()
    data[2] = np.linspace(0.05, 1, data[2].size).reshape(data[2].shape)
    own = Preparation(confidence_channel=2, min_confidence=0.3, center="frame", scale="body")
    done = prepare(data, own, COCO)
    weak = data[2] < 0.3
    assert weak.any()
    assert not done[:, weak].any()
    assert (done[2][~weak] == data[2][~weak]).all()
    assert position_channels(3, own) == [0, 1]


def test_gaps() -> None:
    data = body(9)
    known = data.copy()
    data[:, 2:4, 0] = data[:, 5:8, 1] = data[:, :2, 2] = 0
    done = prepare(data, Preparation(interpolate=2), COCO)
    np.testing.assert_allclose(done[:, 2:4, 0], np.linspace(known[:, 1, 0], known[:, 4, 0], 4)[1:3].swapaxes(0, 1), rtol=1e-5)
    assert not done[:, 5:8, 1].any()
    assert not done[:, :2, 2].any()


def test_window() -> None:
    data = np.zeros((3, 20, 17, 1), np.float32)
    data[:, 2:12] = np.arange(1, 11)[:, None, None]
    ramp = prepare(data, Preparation(window=19), COCO)[0, :, 0, 0]
    np.testing.assert_allclose(ramp, np.linspace(1, 10, 19), rtol=1e-6)
    assert prepare(data, Preparation(window=4, window_mode="crop"), COCO)[0, :, 0, 0].tolist() == [4, 5, 6, 7]
    longer = prepare(data, Preparation(window=12, window_mode="crop"), COCO)[0, :, 0, 0]
    assert longer.tolist() == [*range(1, 11), 0, 0]


def test_persons() -> None:
    data = np.zeros((3, 5, 17, 4), np.float32)
    data[:, :, :, 0] = 1  # stands still
    data[:, :, :, 2] = np.arange(1, 6)[:, None]
    done = prepare(data, Preparation(persons=2), COCO)
    assert (done == data[..., [2, 0]]).all()
    assert prepare(data, Preparation(persons=6), COCO).shape[-1] == 6
    assert not prepare(data, Preparation(persons=6), COCO)[..., 2:].any()


@pytest.mark.parametrize(
    ("own", "layout", "words"),
    [
        ({"confidence_channel": 3}, "coco", "allowed are 0 to 2"),
        ({"min_confidence": 0.5}, "coco", "needs dataset.preparation.confidence_channel"),
        ({"view": "frontal", "confidence_channel": 2}, "coco", "needs three coordinates; there are 2"),
        ({"view": "frontal"}, "hand_21", "layout hand_21 names none of them"),
    ],
)
def test_what_cannot_be_done(own: dict, layout: str, words: str, tmp_path: Path) -> None:
    found = of_preparation(Preparation(**own), LAYOUTS[layout], 3)
    assert len(found) == 1
    assert words in str(found[0])
    spec = train_spec(tmp_path, tmp_path)
    spec["model"]["graph_layout"] = layout
    spec["dataset"]["preparation"] = own
    with pytest.raises(errors.SpecError, match=r"dataset\.preparation"):
        train.run(spec)


def test_every_built_in_body_can_be_turned() -> None:
    own = Preparation(view="frontal", scale="body", center="frame")
    assert [name for name, layout in LAYOUTS.items() if of_preparation(own, layout, 3)] == ["hand_21"]


OWN = {"center": "sequence", "scale": "body", "view": "frontal", "interpolate": 2, "window": 10, "persons": 2}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, str]:
    """A folder, and a model trained in it with preparation, as a checkpoint and as an ONNX file of fixed length."""
    folder = tmp_path_factory.mktemp("prepared")
    spec = train_spec(folder, folder / "out", num_epochs=1)
    spec["dataset"]["preparation"] = OWN
    spec["model"] |= SMALL
    checkpoint = train.run(spec)["artifacts"]["checkpoint"]
    told = {"checkpoint": checkpoint, "sequence_length": 10}
    onnx = export.run({"results_dir": str(folder / "onnx"), "export": told})["artifacts"]["onnx"]
    return folder, checkpoint, onnx


def test_a_model_carries_its_preparation(trained: tuple[Path, str, str], tmp_path: Path) -> None:
    """Trained on the fly or on data prepared beforehand; as torch and as ONNX: the same answers."""
    folder, checkpoint, onnx = trained
    plain = asdict(Preparation(**OWN))
    described = torch.load(checkpoint, weights_only=True)[description.KEY]
    assert (described["preparation"], described["normalisation"]) == (plain, "preparation")
    assert (described["window"], described["num_persons"]) == (10, 2)
    test = write_set(folder, "test", 6, seed=8)
    losses = [
        evaluate.run({"results_dir": str(tmp_path / kind), "evaluate": {"checkpoint": path, "test_dataset": test}})["metrics"]
        for kind, path in (("torch", checkpoint), ("onnx", onnx))
    ]
    assert losses[0]["loss"] == pytest.approx(losses[1]["loss"], abs=1e-4)
    told = [
        inference.run({"results_dir": str(tmp_path / kind), "inference": {"checkpoint": path, "test_dataset": test}})
        for kind, path in (("torch", checkpoint), ("onnx", onnx))
    ]
    lines = [json.loads(line) for line in Path(told[1]["artifacts"]["predictions_jsonl"]).read_text().splitlines()]
    assert told[0]["metrics"] == told[1]["metrics"]

    data, _ = sequences(6, seed=8)
    ready = np.stack([prepare(sequence, Preparation(**OWN), COCO) for sequence in data])
    predictor = predict.load(onnx, config.Model(), config.Dataset())
    probs = predict.probabilities(predictor.logits(ready), predictor.describe())
    assert [line["probability"] for line in lines] == pytest.approx(probs.max(axis=1).tolist(), abs=1e-5)


def test_training_sees_prepared_sequences(tmp_path: Path) -> None:
    """Preparation in training and the same done to the files beforehand give the same losses."""
    own = {"center": "frame", "scale": "body", "window": 9}
    spec = train_spec(tmp_path, tmp_path / "a", num_epochs=1)
    spec["dataset"]["preparation"] = own
    ours = train.run(spec)["metrics"]
    for split in ("train", "val"):
        path = tmp_path / f"{split}_data.npy"
        np.save(path, np.stack([prepare(sequence, Preparation(**own), COCO) for sequence in np.load(path)]))
    del spec["dataset"]["preparation"]
    theirs = train.run(spec | {"results_dir": str(tmp_path / "b")})["metrics"]
    assert (ours["val_loss"], ours["train_loss"]) == (theirs["val_loss"], theirs["train_loss"])


def test_a_stream_prepares_too(trained: tuple[Path, str, str]) -> None:
    """Another window than the ONNX file's is resampled to it, as a sequence of that length would be."""
    _, _, onnx = trained
    data, _ = sequences(1, seed=4)
    clip = data[:, :, :8]
    poses = [{"frame": t, "joints": clip[0, :, t, :, 0].T.tolist()} for t in range(8)]
    sink = io.BytesIO()
    source = io.BytesIO("".join(json.dumps(pose) + "\n" for pose in poses).encode())
    stream.run({"spec": {"inference": {"checkpoint": onnx}}, "input": source, "output": sink, "window": 8, "stride": 8})
    (decision,) = [json.loads(line) for line in sink.getvalue().splitlines()]
    predictor = predict.load(onnx, config.Model(), config.Dataset())
    probs = predict.probabilities(predict.run_over(predictor, clip, 1), predictor.describe())[0]
    assert decision["probability"] == pytest.approx(probs.max(), abs=1e-5)


def test_another_preparation_is_refused(trained: tuple[Path, str, str], tmp_path: Path) -> None:
    folder, *models = trained
    test = write_set(folder, "test", 3, seed=8)
    for path in models:
        spec = {"results_dir": str(tmp_path), "inference": {"checkpoint": path, "test_dataset": test}}
        with pytest.raises(
            errors.CheckpointError, match=r"dataset\.preparation\.center: the checkpoint holds sequence, .* frame"
        ):
            inference.run(spec | {"dataset": {"preparation": {"center": "frame"}}})
        assert inference.run(spec | {"dataset": {"preparation": OWN}})["metrics"]["sequences"] == 3


def test_a_file_without_the_key_prepares_nothing(tmp_path: Path) -> None:
    path = write_checkpoint(tmp_path / "old.pth")
    content = torch.load(path, weights_only=True)
    del content[description.KEY]["preparation"]
    torch.save(content, path)
    test = write_set(tmp_path, "test", 4, seed=8)
    spec = {"results_dir": str(tmp_path), "evaluate": {"checkpoint": str(path), "test_dataset": test}}
    old = evaluate.run(spec)["metrics"]
    new = evaluate.run(spec | {"evaluate": spec["evaluate"] | {"checkpoint": str(write_checkpoint(path))}})["metrics"]
    assert old == new
    assert set(LABEL_MAP) == set(old["per_class"])


def test_a_broken_preparation_is_named(tmp_path: Path) -> None:
    path = write_checkpoint(tmp_path / "broken.pth")
    content = torch.load(path, weights_only=True)
    content[description.KEY]["preparation"] = {"center": "sideways", "mirror": True}
    torch.save(content, path)
    with pytest.raises(errors.CheckpointError, match="the preparation it describes is not one of this version") as caught:
        inference.run({"results_dir": str(tmp_path), "inference": {"checkpoint": str(path)}})
    assert "sideways" in str(caught.value)
    assert "mirror" in str(caught.value)
