"""Streaming: rings against plain slices, every decision against the model run on the same window, bad lines, real pipes."""

from __future__ import annotations

import io
import json
import logging
import os
import re
import signal
import subprocess
import sys
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from conftest import ROOT
from hypothesis import given, settings
from hypothesis import strategies as st
from trainer_cases import FRAMES, LABEL_MAP, SMALL, write_checkpoint

from stgcn import config, errors, export, predict, stream
from stgcn.graph import LAYOUTS
from stgcn.remap import remap
from stgcn.stream.lines import LONGEST_LINE, LineReader, Pose
from stgcn.stream.session import MOST_TOGETHER, NAMED, Session
from stgcn.stream.supply import CHUNK, Supply
from stgcn.stream.tracks import Options, Tracks

JOINTS, CHANNELS = 17, 3


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An ONNX file for coco, three classes, with a window of 12 frames; its checkpoint lies beside it."""
    folder = tmp_path_factory.mktemp("streamed")
    checkpoint = write_checkpoint(folder / "model.pth", small=True)
    written = folder / "model.onnx"
    export.run({"results_dir": str(folder), "export": {"checkpoint": str(checkpoint), "onnx_file": str(written)}})
    return written


def spec_of(path: Path, **own: object) -> dict[str, Any]:
    return {"inference": {"checkpoint": str(path), **own}}


def poses(frames: int, seed: int = 0) -> np.ndarray:
    """A track (frames, V, C)."""
    return np.random.default_rng(seed).normal(0, 0.5, (frames, JOINTS, CHANNELS)).astype(np.float32)


def line(frame: Any, joints: Any, track: Any = 1, **more: Any) -> bytes:
    record = {"frame": frame, "track": track, "joints": joints.tolist() if isinstance(joints, np.ndarray) else joints, **more}
    return json.dumps(record).encode() + b"\n"


def streamed(source: bytes, model: Path, **given: Any) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Run the entrypoint over bytes; gives the decisions and the metrics."""
    sink = io.BytesIO()
    own = {"top_k": given.pop("top_k")} if "top_k" in given else {}
    spec = {**spec_of(model, **own), **given.pop("spec", {})}
    outcome = stream.run({"spec": spec, "input": io.BytesIO(source), "output": sink, **given})
    return [json.loads(text) for text in sink.getvalue().splitlines()], outcome["metrics"]


def expected(model: Path, window: np.ndarray) -> dict[str, float]:
    """Probabilities by class of one window (t, V, C), zero-padded to 12 frames."""
    predictor = predict.load(model, config.Model(), config.Dataset())
    batch = np.zeros((1, CHANNELS, FRAMES, JOINTS, 1), np.float32)
    batch[0, :, : len(window), :, 0] = window.transpose(2, 0, 1)
    return dict(zip(LABEL_MAP, predict.probabilities(predictor.logits(batch), predictor.describe())[0], strict=True))


def top(decision: dict[str, Any]) -> dict[str, float]:
    return {item["class"]: item["probability"] for item in decision["top"]}


# --- what is decided ---


@pytest.mark.parametrize("suffix", [".onnx", ".pth"])
def test_each_decision_is_that_of_the_model_on_the_same_window(model: Path, suffix: str) -> None:
    tracks = {1: poses(31, 1), "left": poses(31, 2), None: poses(31, 3)}
    source = b"".join(line(f, data[f], track) for f in range(31) for track, data in tracks.items())
    decisions, metrics = streamed(source, model.with_suffix(suffix), stride=5)
    assert [(d["track"], d["first"], d["last"]) for d in decisions] == [
        (track, last - 11, last) for last in (11, 16, 21, 26) for track in tracks
    ]
    assert metrics["decisions"] == len(decisions) == 12
    assert (metrics["lines"], metrics["bad_lines"], metrics["tracks"], metrics["ended"]) == (93, 0, 3, "input")
    for decision in decisions:
        window = tracks[decision["track"]][decision["first"] : decision["last"] + 1]
        assert top(decision) == pytest.approx(expected(model, window), abs=1e-4)
        best = decision["top"][0]
        assert (decision["label"], decision["probability"]) == (best["class"], best["probability"])
        assert decision["class_id"] == LABEL_MAP[decision["label"]]
        assert decision["latency_ms"] > 0
        assert decision["frames"] == 12
        assert "last_time" not in decision


def test_early_decisions_are_zero_padded_as_in_training(model: Path) -> None:
    data = poses(9)
    source = b"".join(line(f, data[f], time=f / 30) for f in range(9))
    decisions, _ = streamed(source, model, min_frames=4, stride=3, top_k=2)
    assert [(d["first"], d["last"], d["frames"]) for d in decisions] == [(0, 3, 4), (0, 6, 7)]
    assert decisions[1]["last_time"] == pytest.approx(0.2)
    for decision in decisions:
        whole = expected(model, data[: decision["frames"]])
        assert len(top(decision)) == 2
        assert top(decision).items() <= {k: pytest.approx(v, abs=1e-4) for k, v in whole.items()}.items()


def test_smoothing_is_exponential(model: Path) -> None:
    data = poses(15)
    source = b"".join(line(f, data[f]) for f in range(15))
    plain, _ = streamed(source, model, stride=1)
    smooth, _ = streamed(source, model, stride=1, smoothing=0.8)
    past = top(plain[0])
    for raw, decision in zip(plain, smooth, strict=True):
        past = {name: 0.8 * past[name] + 0.2 * top(raw)[name] for name in past}
        assert top(decision) == pytest.approx(past, abs=1e-5)


def test_below_the_threshold_the_label_is_unknown(model: Path) -> None:
    source = b"".join(line(f, pose) for f, pose in enumerate(poses(12)))
    (decision,), metrics = streamed(source, model, unknown=0.999)
    assert (decision["label"], decision["class_id"], metrics["unknown"]) == ("unknown", None, 1)
    assert decision["top"][0]["probability"] == decision["probability"] < 0.999


def test_the_models_temperature_and_the_specs_threshold_count_here_too(model: Path, tmp_path: Path) -> None:
    source = b"".join(line(f, pose) for f, pose in enumerate(poses(12)))
    (plain,), _ = streamed(source, model.with_suffix(".pth"))
    content = torch.load(model.with_suffix(".pth"), weights_only=True)
    content["pose_classification"] |= {"temperature": 3.0, "unknown_threshold": 0.5}
    torch.save(content, tmp_path / "warm.pth")
    spec = spec_of(tmp_path / "warm.pth")
    spec["inference"] = {**spec["inference"], "unknown_below": 0.999}
    (decision,), metrics = streamed(source, tmp_path / "warm.pth", spec=spec)
    odds = {name: probability ** (1 / 3) for name, probability in top(plain).items()}
    assert top(decision) == pytest.approx({name: value / sum(odds.values()) for name, value in odds.items()}, abs=1e-4)
    assert (decision["label"], metrics["unknown"]) == ("unknown", 1)
    (decision,), metrics = streamed(source, tmp_path / "warm.pth", spec=spec, unknown=0.0)
    assert (decision["label"], metrics["unknown"]) == (plain["label"], 0)


def test_a_class_called_unknown_and_a_threshold_do_not_go_together(model: Path, tmp_path: Path) -> None:
    content = torch.load(model.with_suffix(".pth"), weights_only=True)
    names = list(content["pose_classification"]["label_map"])
    content["pose_classification"]["label_map"] = {"unknown" if i == 0 else name: i for i, name in enumerate(names)}
    torch.save(content, tmp_path / "named.pth")
    with pytest.raises(errors.SpecError, match=r"--unknown is 0\.5, and the model has a class named unknown"):
        streamed(b"", tmp_path / "named.pth", unknown=0.5)


def test_a_second_person_of_the_model_is_nobody(tmp_path: Path) -> None:
    path = write_checkpoint(tmp_path / "two.pth", layout="ntu-rgb+d")
    predictor = predict.load(path, config.Model(), config.Dataset())
    predictor.describe()["num_persons"] = 2
    heard = []
    logits = predictor.logits
    predictor.logits = lambda batch: heard.append(batch.copy()) or logits(batch)
    under_test = Session(predictor, Options(window=3, stride=1, min_frames=3))
    data = np.ones((25, 3), np.float32)
    assert [len([*under_test.take(line(f, data), 0.0), *under_test.decide()]) for f in range(3)] == [0, 0, 1]
    assert heard[-1].shape == (1, 3, 3, 25, 2)
    assert (heard[-1][..., 0] == 1).all()
    assert (heard[-1][..., 1] == 0).all()


# --- several tracks at the same moment ---


def counted(model: Path, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many windows went through the network in each run, the first run of all left out."""
    sizes: list[int] = []
    run_over = predict.run_over

    def run(predictor: Any, data: np.ndarray, size: int) -> np.ndarray:
        sizes.append(len(data))
        return run_over(predictor, data, size)

    monkeypatch.setattr(predict, "run_over", run)
    return sizes


@pytest.mark.parametrize("suffix", [".onnx", ".pth"])
def test_tracks_due_in_the_same_frame_are_one_batch(model: Path, suffix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    data = {f"t{i}": poses(20, i) for i in range(5)}
    lines = [line(f, pose[f], name) for f in range(20) for name, pose in data.items()]
    alone = [d for name in data for d in streamed(b"".join(t for t in lines if f'"{name}"'.encode() in t), model, stride=4)[0]]
    sizes = counted(model, monkeypatch)
    decisions, metrics = streamed(b"".join(lines), model.with_suffix(suffix), stride=4)
    assert sizes == [1, 5, 5, 5]
    assert [(d["last"], d["track"]) for d in decisions] == [(last, name) for last in (11, 15, 19) for name in data]
    assert metrics["decisions"] == 15
    by_key = {(d["track"], d["last"]): top(d) for d in alone}
    for decision in decisions:
        assert top(decision) == pytest.approx(by_key[decision["track"], decision["last"]], abs=1e-4)
    for last in (11, 15, 19):  # the first line of a batch waited longest
        latencies = [d["latency_ms"] for d in decisions if d["last"] == last]
        assert latencies == sorted(latencies, reverse=True)
        assert min(latencies) > 0


def test_a_batch_is_bounded_and_keeps_the_order(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = list(range(MOST_TOGETHER + 3))
    data = poses(12)
    sizes = counted(model, monkeypatch)
    decisions, _ = streamed(b"".join(line(f, data[f], name) for f in range(12) for name in names), model, stride=50)
    assert sizes == [1, MOST_TOGETHER, 3]
    assert [d["track"] for d in decisions] == names


def test_smoothing_in_batches_is_per_track(model: Path) -> None:
    data = {name: poses(16, name) for name in range(3)}
    together = b"".join(line(f, data[name][f], name) for f in range(16) for name in data)
    for name in data:
        alone, _ = streamed(b"".join(line(f, data[name][f], name) for f in range(16)), model, stride=1, smoothing=0.7)
        mine = [d for d in streamed(together, model, stride=1, smoothing=0.7)[0] if d["track"] == name]
        assert [d["last"] for d in mine] == [d["last"] for d in alone]
        for one, other in zip(mine, alone, strict=True):
            assert top(one) == pytest.approx(top(other), abs=1e-5)


def test_bad_lines_between_do_not_part_a_batch_and_a_fatal_one_comes_after_what_was_due(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = poses(12)
    lines = [line(f, data[f], name) for f in range(12) for name in "ab"]
    lines.insert(-1, b"{broken\n")
    lines.insert(-1, line(3, data[3], "a"))  # an old frame is an error, and another moment
    sizes = counted(model, monkeypatch)
    decisions, metrics = streamed(b"".join(lines), model)
    assert ([d["track"] for d in decisions], metrics["bad_lines"], sizes) == (["a", "b"], 2, [1, 1, 1])
    sink = io.BytesIO()
    with pytest.raises(errors.DataError, match="line 24: it is not JSON"):
        stream.run({"spec": spec_of(model), "input": io.BytesIO(b"".join(lines)), "output": sink, "on_error": "fail"})
    assert [json.loads(text)["track"] for text in sink.getvalue().splitlines()] == ["a"]


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=200).map(lambda b: b.replace(b"x", b"\n")), st.integers(1, 9))
def test_lines_come_whole_whatever_the_pieces(content: bytes, size: int) -> None:
    class Pieces(io.BytesIO):
        def read1(self, _size: int | None = -1) -> bytes:
            return self.read(size)

    supply = Supply(Pieces(content))
    assert b"".join(iter(supply.next, None)) == content
    assert supply.ready()
    assert list(iter(Supply(Pieces(content)).next, None)) == io.BytesIO(content).readlines()


def test_nobody_waits_for_lines_that_are_not_there() -> None:
    end, source = os.pipe()
    with os.fdopen(end, "rb") as reader, os.fdopen(source, "wb", buffering=0) as writer:
        supply = Supply(reader)
        assert not supply.ready()
        writer.write(b"one\ntwo\nthr")
        assert supply.ready()
        assert supply.next() == b"one\n"
        assert supply.ready()
        assert supply.next() == b"two\n"
        assert not supply.ready()
        writer.write(b"ee\n" + b"x" * (CHUNK - 1000))
        assert supply.next() == b"three\n"
        assert not supply.ready()
        writer.close()
        assert supply.ready()
        assert len(supply.next() or b"") == CHUNK - 1000
        assert supply.next() is None


# --- tracks ---

STEPS = st.lists(st.tuples(st.integers(1, 5), st.integers(0, 2)), min_size=1, max_size=60)


@settings(max_examples=80, deadline=None)
@given(STEPS, st.integers(1, 6), st.integers(1, 4), st.sampled_from(["close", "zero", "hold"]), st.integers(1, 9))
def test_rings_hold_what_plain_lists_would(
    steps: list[tuple[int, int]], window: int, stride: int, gaps: Any, forget: int
) -> None:
    tracks = Tracks(Options(window=window, stride=stride, min_frames=window, forget=forget, gaps=gaps))
    plain: dict[int, list[int]] = {}  # per track the value of every frame, 0 for an empty one
    last: dict[int, int] = {}
    frame = 0
    for step, name in steps:
        frame += step
        for lost in [n for n, f in last.items() if frame - f > forget]:
            del plain[lost], last[lost]
        track = tracks.see(Pose(frame, name, None, np.full((2, 1), frame, np.float32)))
        kept = plain.setdefault(name, [])
        if kept and gaps != "close":
            kept += [0 if gaps == "zero" else last[name]] * (frame - last[name] - 1)
        kept.append(frame)
        last[name] = frame
        assert len(tracks) == len(last)
        if track is not None:
            assert track.frames()[0, :, 0].tolist() == kept[-window:]
            assert track.last == frame
            track.smooth(np.ones(1), 0.0)
    assert tracks.opened - tracks.forgotten == len(tracks)


def test_a_lost_track_begins_anew(model: Path) -> None:
    data = poses(30)
    source = b"".join(line(f, data[f]) for f in range(8)) + b"".join(line(f + 40, data[f]) for f in range(8, 22))
    decisions, metrics = streamed(source, model, forget=20, stride=50)
    assert [(d["first"], d["last"]) for d in decisions] == [(48, 59)]
    assert metrics["tracks"] == 2


def test_a_recording_that_begins_anew_is_said_and_followed(model: Path, caplog: pytest.LogCaptureFixture) -> None:
    source = b"".join(line(f, pose) for f, pose in enumerate(poses(40))) * 2
    with caplog.at_level(logging.INFO, "stgcn"):
        decisions, metrics = streamed(source, model, stride=100)
    assert [d["last"] for d in decisions] == [11, 11]
    assert metrics["bad_lines"] == 0
    assert "line 41: frame 0 after frame 39 is taken as a new recording" in caplog.text


def test_the_number_of_tracks_is_bounded(model: Path) -> None:
    source = b"".join(line(0, poses(1)[0], track) for track in range(5))
    _, metrics = streamed(source, model, max_tracks=3)
    assert (metrics["tracks"], metrics["bad_lines"]) == (3, 2)


# --- lines ---


def test_joints_may_be_written_in_several_ways() -> None:
    reader = LineReader(["a", "b"], 3)
    ways: list[Any] = [[[1, 2, 0.5], None], [[1, 2, 0.5], [0, 0, 0]], [1, 2, 0.5, 0, 0, 0], {"a": [1, 2, 0.5]}]
    for way in [*ways, {"b": None, "a": [1, 2, 0.5]}]:
        assert reader.read(line(0, way)).joints.tolist() == [[1, 2, 0.5], [0, 0, 0]]


def test_pixels_become_shares_and_missing_joints_stay_zero() -> None:
    reader = LineReader(["a", "b", "c"], 3, (200, 100))
    joints = reader.read(line(0, [[150, 25, 0.9], [10, 10, 0], None])).joints
    assert joints.tolist() == [[0.25, -0.25, pytest.approx(0.9)], [0, 0, 0], [0, 0, 0]]


GOOD = [[0.1, 0.2, 0.9]] * JOINTS
BAD: dict[str, tuple[bytes, str]] = {
    "no JSON": (b"frame 1\n", "it is not JSON"),
    "cut": (b'{"frame": 1, "joints": [[0.', "it is not JSON"),
    "two objects": (b"{} {}\n", "it is not JSON: Extra data"),
    "a list": (b"[1]\n", "it is a list of 1; allowed"),
    "a number": (b"7\n", "it is 7"),
    "empty": (b"{}\n", "it has no frame, it has no joints"),
    "NaN": (b'{"frame": 1, "joints": [NaN]}\n', "NaN is no number"),
    "infinite": (b'{"frame": 1, "joints": [' + b"1e999," * 50 + b"1]}", "infinite or too large"),
    "too large": (line(1, [[1e38, 0, 1]] * JOINTS), "infinite or too large"),
    "digits": (b'{"frame": ' + b"9" * 5000 + b"}\n", "it is not usable JSON"),
    "deep": (b'{"frame": 1, "joints": ' + b"[" * 200_000 + b"\n", "it is not"),
    "not text": (b'{"frame": "\xff\xfe"}\n', "it is not UTF-8 text"),
    "too long": (line(1, GOOD, "x" * LONGEST_LINE), f"it is longer than {LONGEST_LINE} bytes"),
    "frame text": (line("1", GOOD), 'frame is "1"; allowed: an integer'),
    "frame negative": (line(-1, GOOD), "frame is -1"),
    "frame true": (line(True, GOOD), "frame is true"),
    "track list": (line(1, GOOD, [1]), "track is a list of 1"),
    "track float": (line(1, GOOD, 1.5), "track is 1.5"),
    "time text": (line(1, GOOD, time="now"), 'time is "now"'),
    "joints text": (line(1, "17"), 'joints is "17"; allowed: 17 joints of 3 numbers each'),
    "joints few": (line(1, GOOD[:16]), "joints has shape (16, 3); allowed: 17 joints of 3 numbers each"),
    "joints flat": (line(1, [0.5] * 34), "joints has shape (34,)"),
    "joints ragged": (line(1, [*GOOD[:16], [1.0]]), "joints is not a table of numbers"),
    "joints texts": (line(1, [["0.1", "0.2", "0.3"]] * JOINTS), "joints holds more than numbers"),
    "joints null": (line(1, [[None, 0.1, 0.2]] * JOINTS), "joints holds more than numbers"),
    "joint name": (line(1, {"left_elbw": [1, 2, 3]}), 'no joint "left_elbw"; did you mean left_elbow?'),
    "twice": (line(9, GOOD) + line(9, GOOD), "frame 9 of track 1 comes after its frame 9"),
    "backwards": (line(9, GOOD) + line(8, GOOD), "frame 8 of track 1 comes after its frame 9"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_lines_are_named_and_skipped_or_fatal(name: str, model: Path, caplog: pytest.LogCaptureFixture) -> None:
    bad, says = BAD[name]
    number = bad.rstrip(b"\n").count(b"\n") + 2
    source = line(7, GOOD) + bad.rstrip(b"\n") + b"\n\n" + line(10, GOOD)
    decisions, metrics = streamed(source, model, min_frames=1, stride=1)
    assert [d["last"] for d in decisions if d["last"] != 9] == [7, 10]
    assert metrics["bad_lines"] == 1
    assert f"line {number} is skipped: " in caplog.text
    assert says in caplog.text
    with pytest.raises(errors.DataError, match=re.escape(f"line {number}: ")) as caught:
        streamed(source, model, on_error="fail")
    assert says in str(caught.value)
    assert len(str(caught.value)) < 400


def test_a_flood_of_bad_lines_is_counted(model: Path, caplog: pytest.LogCaptureFixture) -> None:
    _, metrics = streamed(b"no\n" * 500, model)
    assert metrics["bad_lines"] == 500
    assert len([r for r in caplog.records if r.levelno == logging.WARNING]) == NAMED + 1


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)
RECORDS = st.fixed_dictionaries({}, optional=dict.fromkeys(("frame", "track", "time", "joints"), VALUES))


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A good line with a few bytes changed."""
    data = bytearray(line(draw(st.integers(0, 50)), GOOD))
    for _ in range(draw(st.integers(1, 4))):
        data[draw(st.integers(0, len(data) - 1))] = draw(st.integers(0, 255))
    return bytes(data)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.binary(max_size=40) | mutated() | RECORDS.map(lambda r: json.dumps(r).encode()), max_size=6))
def test_no_line_breaks_the_stream(lines: list[bytes]) -> None:
    tracks, reader = Tracks(Options(window=4, stride=1, min_frames=1)), LineReader(["a"] * JOINTS, CHANNELS)
    for text in lines:
        try:
            pose = reader.read(text)
            if tracks.rewinds(pose):
                tracks.restart()
            track = tracks.see(pose)
        except errors.DataError:
            continue
        if track is not None:
            assert np.isfinite(track.frames()).all()


def test_lines_of_any_length_cost_bounded_memory() -> None:
    class Endless(io.RawIOBase):
        def __init__(self) -> None:
            self.left = 40 * LONGEST_LINE

        def readable(self) -> bool:
            return True

        def readinto(self, buffer: Any) -> int:
            n = min(len(buffer), self.left)
            buffer[:n] = b"x" * n
            self.left -= n
            return n

    supply = Supply(io.BufferedReader(Endless()))
    tracemalloc.start()
    try:
        assert [len(text) for text in iter(supply.next, None)] == [LONGEST_LINE + 1]
        assert tracemalloc.get_traced_memory()[1] < 4 * LONGEST_LINE
    finally:
        tracemalloc.stop()


# --- options ---

WRONG: list[tuple[dict[str, Any], str]] = [
    ({"window": 0}, "--window is 0; allowed: at least 1"),
    ({"window": 10**9}, "--window is 1000000000; allowed: up to"),
    ({"stride": -1, "forget": 0}, "--stride is -1"),
    ({"min_frames": 13}, "--min-frames is 13; allowed: up to the window of 12 frames"),
    ({"smoothing": 1.0}, "--smoothing is 1.0"),
    ({"smoothing": float("nan")}, "--smoothing is nan"),
    ({"unknown": 50.0}, "--unknown is 50.0"),
    ({"image_size": (0, 100)}, "--image-size is 0x100"),
]


@pytest.mark.parametrize(("given", "says"), WRONG, ids=[says for _, says in WRONG])
def test_wrong_options(given: dict[str, Any], says: str, model: Path) -> None:
    with pytest.raises(errors.SpecError, match=re.escape(says)) as caught:
        streamed(b"", model, **given)
    assert len(caught.value.problems) == len(given)


def test_models_that_do_not_say_or_do_not_fit(model: Path, tmp_path: Path) -> None:
    plain = write_checkpoint(tmp_path / "plain.pth", described=False, small=True)
    spec = {"model": {"graph_layout": "coco", **SMALL}, "dataset": {"num_classes": 3, "label_map": dict(LABEL_MAP)}}
    with pytest.raises(errors.SpecError, match="set --window N"):
        streamed(b"", plain, spec=spec)
    source = b"".join(line(f, pose) for f, pose in enumerate(poses(12)))
    assert streamed(source, plain, spec=spec, window=12)[0][0]["top"] == [
        {"class": item["class"], "probability": pytest.approx(item["probability"], abs=1e-4)}
        for item in streamed(source, model)[0][0]["top"]
    ]
    fixed = tmp_path / "fixed.onnx"
    content = onnx.load(model)
    content.graph.input[0].type.tensor_type.shape.dim[2].dim_value = 10
    onnx.save(content, fixed)
    with pytest.raises(errors.SpecError, match="exported for 10 frames"):
        streamed(b"", fixed, window=12)
    assert streamed(source, fixed)[0][0]["frames"] == 10


# --- joints of another layout ---


@pytest.mark.parametrize("suffix", [".onnx", ".pth"])
def test_joints_of_another_layout_are_brought_to_the_models(model: Path, suffix: str, caplog: pytest.LogCaptureFixture) -> None:
    incoming = np.random.default_rng(4).normal(0, 0.5, (12, 33, CHANNELS)).astype(np.float32)
    source = b"".join(line(f, pose) for f, pose in enumerate(incoming))
    with caplog.at_level(logging.INFO, logger="stgcn"):
        (decision,), _ = streamed(source, model.with_suffix(suffix), layout="mediapipe_33")
    brought, _ = remap(incoming, LAYOUTS["mediapipe_33"], LAYOUTS["coco"])
    assert top(decision) == pytest.approx(expected(model, brought), abs=1e-4)
    said = [record.message for record in caplog.records if "are brought" in record.message]
    assert said == ["joints are brought from mediapipe_33 to coco: 17 of 17 joints taken over"]


def test_pixels_names_and_missing_joints_of_another_layout(model: Path, caplog: pytest.LogCaptureFixture) -> None:
    """body_25 by name and in pixels: what is not seen stays zero on the way."""
    names = LAYOUTS["body_25"].joints
    pixels = np.random.default_rng(5).uniform(1, 400, (12, 25, CHANNELS))
    pixels[:, names.index("left_ear")] = 0
    source = b"".join(
        line(f, {name: joint.tolist() for name, joint in zip(names, pose, strict=True) if name != "left_ear"})
        for f, pose in enumerate(pixels)
    )
    shares = np.where(pixels.any(axis=-1, keepdims=True), pixels / [400, 200, 1] - [0.5, 0.5, 0], 0)
    brought, _ = remap(shares.astype(np.float32), LAYOUTS["body_25"], LAYOUTS["coco"])
    assert not brought[:, LAYOUTS["coco"].joints.index("left_ear")].any()
    (decision,), _ = streamed(source, model, layout="body_25", image_size=(400, 200))
    assert top(decision) == pytest.approx(expected(model, brought), abs=1e-4)
    with pytest.raises(errors.DataError, match=r"there is no joint .*left_ea.*; did you mean left_ear\?"):
        streamed(line(0, {"left_ea": [1, 2, 3]}), model, layout="body_25", on_error="fail")
    with pytest.raises(errors.DataError, match="allowed: 25 joints"):
        streamed(line(0, poses(1)[0]), model, layout="body_25", on_error="fail")


def test_a_layout_of_the_same_joints_changes_nothing(model: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    own = tmp_path / "mine.json"
    own.write_text(json.dumps({**LAYOUTS["coco"].as_plain(), "name": "mine"}))
    source = b"".join(line(f, pose) for f, pose in enumerate(poses(12)))
    with caplog.at_level(logging.INFO, logger="stgcn"):
        decisions = [streamed(source, model, **given)[0][0]["top"] for given in ({}, {"layout": "coco"}, {"layout": str(own)})]
    assert decisions[0] == decisions[1] == decisions[2]
    assert "brought" not in caplog.text


def test_layouts_that_give_the_model_nothing(model: Path, tmp_path: Path) -> None:
    with pytest.raises(errors.SpecError, match="no joint of the model's layout coco can be had from those of hand_21"):
        streamed(b"", model, layout="hand_21")
    with pytest.raises(errors.SpecError, match="did you mean coco"):
        streamed(b"", model, layout="cooc")
    plain = write_checkpoint(tmp_path / "plain.pth", described=False, small=True)
    spec = {"model": {"graph_layout": "coco", **SMALL}, "dataset": {"num_classes": 3, "label_map": dict(LABEL_MAP)}}
    incoming = np.random.default_rng(4).normal(0, 0.5, (12, 25, CHANNELS)).astype(np.float32)
    source = b"".join(line(f, pose) for f, pose in enumerate(incoming))
    (decision,), _ = streamed(source, plain, spec=spec, window=12, layout="body_25")
    assert top(decision) == pytest.approx(expected(model, remap(incoming, LAYOUTS["body_25"], LAYOUTS["coco"])[0]), abs=1e-4)
    with pytest.raises(errors.CheckpointError, match=r"it holds 17 joints .*model.graph_layout is body_25"):
        streamed(b"", plain, spec={"dataset": spec["dataset"]}, layout="body_25", window=12)


# --- the command ---

WORDS = ("inference", "--stream", "--checkpoint")


@pytest.fixture
def started(model: Path, tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The command with pipes on all sides, deciding at every frame."""
    process = subprocess.Popen(
        [sys.executable, "-m", "runner.tao_cli", *WORDS, str(model), "--stride", "1"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    yield process
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout, process.stderr):
        assert pipe
        try:
            pipe.close()
        except BrokenPipeError:
            continue


def feed(process: subprocess.Popen[bytes], first: int, last: int) -> None:
    assert process.stdin
    process.stdin.write(b"".join(line(f, GOOD) for f in range(first, last)))
    process.stdin.flush()


def test_a_decision_comes_while_the_input_is_open_and_ctrl_c_ends_it(started: subprocess.Popen[bytes]) -> None:
    assert started.stdout
    assert started.stderr
    feed(started, 0, 12)
    assert json.loads(started.stdout.readline())["last"] == 11
    feed(started, 12, 13)
    assert json.loads(started.stdout.readline())["last"] == 12
    started.send_signal(signal.SIGINT)
    out, err = started.stdout.read(), started.stderr.read().decode()
    assert (started.wait(20), out) == (130, b"")
    assert "13 lines, 0 bad lines, 1 tracks, 2 decisions; latency" in err
    assert "Traceback" not in err


def test_a_reader_that_has_enough_ends_it_quietly(started: subprocess.Popen[bytes]) -> None:
    assert started.stdout
    assert started.stderr
    feed(started, 0, 12)
    started.stdout.readline()
    started.stdout.close()
    feed(started, 12, 13)
    err = started.stderr.read().decode()
    assert started.wait(20) == 0, err
    assert "Traceback" not in err
    assert "Exception" not in err


def test_without_torch_and_from_a_spec(model: Path, tmp_path: Path) -> None:
    (tmp_path / "spec.yaml").write_text(f"inference:\n  checkpoint: {model}\n  top_k: 2\n")
    (tmp_path / "in.jsonl").write_bytes(b"oops\n" + b"".join(line(f, GOOD) for f in range(12)))
    (tmp_path / "torch.py").write_text("raise ImportError('torch is not needed here')\n")
    with open(tmp_path / "in.jsonl", "rb") as source:
        done = subprocess.run(
            [sys.executable, "-m", "runner.tao_cli", "inference", "-e", "spec.yaml", "inference.top_k=1", "--stream"],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])},
            stdin=source,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    (decision,) = [json.loads(text) for text in done.stdout.splitlines()]
    assert len(decision["top"]) == 1
    assert "line 1 is skipped: it is not JSON" in done.stderr


REFUSED: list[tuple[list[str], int, str]] = [
    (["inference"], 2, "required: -e/--experiment_spec_file"),
    (["inference", "--window", "30", "--unknown", "0.5"], 2, "--window, --unknown needs --stream"),
    (["inference", "--stream"], 3, "inference.checkpoint: is required"),
    (["inference", "--stream", "--checkpoint", "none.onnx"], 5, "none.onnx"),
    (["inference", "--stream", "--checkpoint", "none.onnx", "--image-size", "30"], 2, "WIDTHxHEIGHT"),
    (["inference", "--stream", "--checkpoint", "{model}", "--layout", "cooc"], 3, "coco"),
    (["inference", "--stream", "--checkpoint", "{model}", "--top-k", "0"], 3, "inference.top_k"),
    (["inference", "--stream", "--checkpoint", "{model}", "--smoothing", "2"], 3, "--smoothing is 2.0"),
    (["inference", "--stream", "--checkpoint", "{model}", "inference.window=3"], 3, "inference.window"),
]


@pytest.mark.parametrize(("words", "code", "says"), REFUSED, ids=[" ".join(words) for words, _, _ in REFUSED])
def test_refusals(words: list[str], code: int, says: str, model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from runner import tao_cli

    assert tao_cli.main([word.format(model=model) for word in words]) == code
    told = capsys.readouterr()
    assert told.out == ""
    assert says in told.err


def test_a_fatal_line_has_the_exit_code_of_data(
    model: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from runner import tao_cli

    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(line(0, GOOD) + b"no\n")))
    assert tao_cli.main([*WORDS, str(model), "--on-error", "fail"]) == 4
    assert "line 2: it is not JSON" in capsys.readouterr().err
