"""Poses in, decisions out: a model, its tracks and two streams of lines, until the input ends or nobody listens any more."""

from __future__ import annotations

import json
import logging
import time
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np

from stgcn import config, predict
from stgcn.action import choose_gpus
from stgcn.config import is_set
from stgcn.description import class_names, num_joints, preparation_of
from stgcn.errors import CheckpointError, DataError, ResourceError, SpecError
from stgcn.graph import LAYOUTS
from stgcn.stream.lines import LONGEST_LINE, LineReader, Pose
from stgcn.stream.tracks import Options, Track, Tracks

log = logging.getLogger("stgcn")

UNKNOWN = "unknown"
NAMED = 50  # bad lines named in one stream; the others are counted
REMEMBERED = 10_000  # latencies the summary is made of
MS = 1000

Ended = Literal["input", "reader", "interrupt"]


@dataclass
class Counts:
    """What a stream came to."""

    lines: int = 0
    bad_lines: int = 0
    decisions: int = 0
    unknown: int = 0
    latencies: deque[float] = field(default_factory=lambda: deque(maxlen=REMEMBERED))  # in ms


class Session:
    """One stream of poses through one model."""

    def __init__(
        self,
        predictor: predict.Predictor,
        options: Options,
        *,
        on_error: Literal["skip", "fail"] = "skip",
        image_size: tuple[int, int] | None = None,
    ) -> None:
        described = predictor.describe()
        joints, channels = num_joints(described), described["input_channels"]
        self.predictor, self.options, self.on_error = predictor, options, on_error
        self.classes = class_names(described)
        self.reader = LineReader(described["layout"]["joints"], channels, image_size)
        self.tracks = Tracks(options)
        self.counts = Counts()
        persons = predictor.shape[4] or described["num_persons"] or 1
        self._batch = np.zeros((1, channels, options.window, joints, persons), np.float32)
        predict.run_over(predictor, self._batch, 1)  # the first run is slow, and nobody waits for this one

    def decide(self, line: bytes, start: float | None = None) -> dict[str, Any] | None:
        """Take in a line; gives the decision it leads to, if any. ``start`` (perf_counter) is when the line was there.

        Raises:
            DataError: the line is bad and bad lines are fatal.
            CheckpointError: the model answers with NaN.
        """
        start = time.perf_counter() if start is None else start
        self.counts.lines += 1
        if not line.strip():
            return None
        try:
            pose = self.reader.read(line)
            if self.tracks.rewinds(pose):
                self._rewind(pose)
            track = self.tracks.see(pose)
        except DataError as error:
            self._bad(str(error))
            return None
        if track is None:
            return None
        decision = self._decision(track)
        latency = (time.perf_counter() - start) * MS
        self.counts.latencies.append(latency)
        return decision | {"latency_ms": round(latency, 3)}

    def _decision(self, track: Track) -> dict[str, Any]:
        self._batch[0, ..., 0] = track.frames()  # persons beside the first are nobody: zeros, as in training
        raw = predict.probabilities(predict.run_over(self.predictor, self._batch, 1))[0]
        smoothed = track.smooth(raw, self.options.smoothing)
        order = np.argsort(-smoothed, kind="stable")[: self.options.top_k]
        best = int(order[0])
        known = bool(smoothed[best] >= self.options.unknown)
        self.counts.decisions += 1
        self.counts.unknown += not known
        (first, first_time), (last, last_time) = track.seen[0], track.seen[-1]
        times = {"first_time": first_time, "last_time": last_time} if last_time is not None else {}
        return {
            "track": track.id,
            "first": first,
            "last": last,
            **times,
            "frames": len(track.seen),
            "label": self.classes[best] if known else UNKNOWN,
            "class_id": best if known else None,
            "probability": _rounded(smoothed[best]),
            "top": [{"class": self.classes[i], "probability": _rounded(smoothed[i])} for i in order],
        }

    def _rewind(self, pose: Pose) -> None:
        log.info(
            f"line {self.counts.lines}: frame {pose.frame} after frame {self.tracks.now} is taken as a new recording; "
            f"{len(self.tracks)} tracks are forgotten"
        )
        self.tracks.restart()

    def _bad(self, why: str) -> None:
        self.counts.bad_lines += 1
        if self.on_error == "fail":
            raise DataError(f"line {self.counts.lines}: {why}")
        if self.counts.bad_lines <= NAMED:
            log.warning(f"line {self.counts.lines} is skipped: {why}")
        elif self.counts.bad_lines == NAMED + 1:
            log.warning(f"line {self.counts.lines} is skipped too, and from here on bad lines are only counted")


def run(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Stream as ``settings`` say, until the input ends, the reader of the output is gone, or Ctrl-C.

    ``settings`` holds ``spec`` (of the action inference), ``input`` and ``output`` (binary files), and what the command line
    gives of ``layout``, ``window``, ``stride``, ``min_frames``, ``smoothing``, ``unknown``, ``forget``, ``gaps``,
    ``max_tracks``, ``image_size`` and ``on_error``; None is the default.

    Returns:
        ``metrics``: counts, latencies, and under ``ended`` who ended it: input, reader or interrupt.

    Raises:
        TrainerError: a mistake in the options, the spec, the model, or, where bad lines are fatal, the input.
    """
    given = {key: value for key, value in settings.items() if value is not None}
    session = open_session(given)
    options = session.options
    log.info(
        f"ready: window {options.window} frames, a decision every {options.stride}, from {options.min_frames} frames on; "
        f"{session.reader.shape[0]} joints of {session.reader.shape[1]} numbers, {len(session.classes)} classes"
    )
    ended = _pump(session, given["input"], given["output"])
    metrics = _metrics(session)
    log.info(_summary(metrics, options))
    return {"metrics": metrics | {"ended": ended}, "artifacts": {}}


def open_session(given: Mapping[str, Any]) -> Session:
    """Load the model and settle the options, the model's own window where none is given.

    Raises:
        SpecError, CheckpointError: with all that is wrong of either.
    """
    spec = config.from_dict(config.InferenceSpec, given["spec"])
    own = spec.inference
    if not is_set(own.checkpoint):
        raise SpecError("no model is given: --checkpoint FILE, an .onnx, .pth or .tlt file")
    gpus = [] if Path(str(own.checkpoint)).suffix == ".onnx" else choose_gpus("inference", own.num_gpus, own.gpu_ids)
    predictor = predict.load(str(own.checkpoint), spec.model, spec.dataset, gpu=gpus[0] if gpus else None)
    if predictor.shape[0] not in (None, 1):
        raise CheckpointError(f"{own.checkpoint} takes {predictor.shape[0]} sequences at once; one at a time is needed here")
    layout = predictor.describe()["layout"]["name"]
    if given.get("layout") in LAYOUTS and given["layout"] != layout:
        raise CheckpointError(f"{own.checkpoint} was trained on the layout {layout}, --layout says {given['layout']}")
    options = _options(given, predictor, own.top_k)
    size = given.get("image_size")
    if size is not None and not all(side > 0 for side in size):
        raise SpecError(f"--image-size is {'x'.join(map(str, size))}; allowed: WIDTHxHEIGHT in pixels")
    return Session(predictor, options, on_error=given.get("on_error", "skip"), image_size=size)


def _options(given: Mapping[str, Any], predictor: predict.Predictor, top_k: int) -> Options:
    fixed = predictor.shape[2]
    window = given.get("window", fixed or predictor.describe()["window"])
    if window is None:
        raise SpecError("the model does not say how many frames it was trained on: set --window N")
    resized = preparation_of(predictor.describe()).window > 0  # whatever the window, the model gets frames as in training
    if fixed is not None and window != fixed and not resized:
        raise SpecError(f"--window is {window}; the ONNX file was exported for {fixed} frames and takes no others")
    rest = {name: given[name] for name in ("smoothing", "unknown", "forget", "gaps", "max_tracks") if name in given}
    stride, shortest = given.get("stride", max(1, window // 10)), given.get("min_frames", max(1, window))
    options = Options(window=window, stride=stride, min_frames=shortest, top_k=top_k, **rest)
    options.check()
    return options


def _pump(session: Session, source: BinaryIO, sink: BinaryIO) -> Ended:
    """Lines through the session until one of the two ends is closed."""
    try:
        for line in lines_of(source):
            decision = session.decide(line)
            if decision is not None:
                _write(sink, decision)
    except KeyboardInterrupt:
        return "interrupt"
    except BrokenPipeError:
        return "reader"
    return "input"


def lines_of(source: BinaryIO) -> Iterator[bytes]:
    """The lines of a stream as they come; of one that is too long only so much as shows it."""
    while True:
        try:
            line = source.readline(LONGEST_LINE + 1)
            rest = line
            while len(rest) > LONGEST_LINE and not rest.endswith(b"\n"):
                rest = source.readline(LONGEST_LINE + 1)
        except OSError as error:
            raise ResourceError(f"the input cannot be read: {error.strerror or error}") from None
        if not line:
            return
        yield line


def _write(sink: BinaryIO, decision: Mapping[str, Any]) -> None:
    try:
        sink.write(json.dumps(decision, ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n")
        sink.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise ResourceError(f"a decision cannot be written: {error.strerror or error}") from None


def _metrics(session: Session) -> dict[str, Any]:
    counts, tracks = session.counts, session.tracks
    metrics: dict[str, Any] = {
        "lines": counts.lines,
        "bad_lines": counts.bad_lines,
        "tracks": tracks.opened,
        "decisions": counts.decisions,
        "unknown": counts.unknown,
    }
    if counts.latencies:
        middle, high = np.percentile(np.array(counts.latencies), (50, 95))
        metrics |= {"latency_ms_p50": round(float(middle), 3), "latency_ms_p95": round(float(high), 3)}
    return metrics


def _summary(metrics: Mapping[str, Any], options: Options) -> str:
    said = ", ".join(f"{metrics[name]} {name.replace('_', ' ')}" for name in ("lines", "bad_lines", "tracks", "decisions"))
    if metrics["decisions"]:
        return f"{said}; latency {metrics['latency_ms_p50']} ms (median), {metrics['latency_ms_p95']} ms (95 %)"
    if metrics["tracks"]:
        return f"{said}; no track had --min-frames {options.min_frames} frames"
    return said


def _rounded(probability: float) -> float:
    return round(float(probability), 6)
