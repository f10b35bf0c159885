"""Poses in, decisions out: a model, its tracks and two streams of lines, until the input ends or nobody listens any more."""

from __future__ import annotations

import json
import logging
import time
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np

from stgcn import config, predict
from stgcn.action import choose_gpus
from stgcn.config import is_set
from stgcn.description import class_names, layout_of, num_joints, preparation_of, unknown_threshold_of
from stgcn.errors import CheckpointError, DataError, ResourceError, SpecError
from stgcn.graph import resolve
from stgcn.remap import Remapper
from stgcn.stream.lines import LineReader, Pose
from stgcn.stream.supply import Supply
from stgcn.stream.tracks import Options, Track, Tracks

log = logging.getLogger("stgcn")

NAMED = 50  # bad lines named in one stream; the others are counted
REMEMBERED = 10_000  # latencies the summary is made of
MS = 1000
MOST_TOGETHER, BATCH_BYTES = 64, 32 * 2**20  # windows that go through the network at once

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
        remapper: Remapper | None = None,
    ) -> None:
        described = predictor.describe()
        joints, channels = num_joints(described), described["input_channels"]
        self.predictor, self.described, self.options, self.on_error = predictor, described, options, on_error
        self.classes = class_names(described)
        names = remapper.source.joints if remapper else described["layout"]["joints"]
        self.reader = LineReader(names, channels, image_size, remapper)
        self.tracks = Tracks(options)
        self.counts = Counts()
        persons = predictor.shape[4] or described["num_persons"] or 1
        self._batch = np.zeros((1, channels, options.window, joints, persons), np.float32)
        self._together = max(1, min(MOST_TOGETHER, BATCH_BYTES // self._batch.nbytes))
        self._due: list[tuple[Track, float]] = []  # and when the line was read that made it so
        self.moment = -1  # the frame of the last pose
        predict.run_over(predictor, self._batch, 1)  # the first run is slow, and nobody waits for this one

    def take(self, line: bytes, start: float) -> Iterator[dict[str, Any]]:
        """Take in a line, read at ``start`` (perf_counter); gives the decisions on earlier frames that were still due.

        Raises:
            DataError: the line is bad and bad lines are fatal.
            CheckpointError: the model answers with NaN.
        """
        self.counts.lines += 1
        if not line.strip():
            return
        try:
            pose = self.reader.read(line)
            if pose.frame != self.moment or len(self._due) == self._together:
                yield from self.decide()
            if self.tracks.rewinds(pose):
                self._rewind(pose)
            track = self.tracks.see(pose)
        except DataError as error:
            self._bad(str(error))
            return
        self.moment = pose.frame
        if track is not None:
            self._due.append((track, start))

    def decide(self) -> Iterator[dict[str, Any]]:
        """The decisions on all tracks that are due, in the order of their lines; they go through the network together.

        Raises:
            CheckpointError: the model answers with NaN.
        """
        due, self._due = self._due, []
        if not due:
            return
        if len(due) > len(self._batch):
            self._batch = np.zeros((len(due), *self._batch.shape[1:]), np.float32)
        batch = self._batch[: len(due)]
        for row, (track, _) in zip(batch, due, strict=True):
            row[..., 0] = track.frames()  # persons beside the first are nobody: zeros, as in training
        probabilities = predict.probabilities(predict.run_over(self.predictor, batch, len(batch)), self.described)
        decisions = [self._decision(track, raw) for (track, _), raw in zip(due, probabilities, strict=True)]
        ready = time.perf_counter()
        for decision, (_, start) in zip(decisions, due, strict=True):
            latency = (ready - start) * MS
            self.counts.latencies.append(latency)
            yield decision | {"latency_ms": round(latency, 3)}

    def _decision(self, track: Track, raw: np.ndarray) -> dict[str, Any]:
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
            "label": self.classes[best] if known else predict.UNKNOWN,
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
    options, own = session.options, unknown_threshold_of(session.described)
    log.info(
        f"ready: window {options.window} frames, a decision every {options.stride}, from {options.min_frames} frames on; "
        f"{session.reader.shape[0]} joints of {session.reader.shape[1]} numbers, {len(session.classes)} classes"
        + (f"; the model's own threshold is --unknown {own:g}" if own and not options.unknown else "")
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
    predictor = _load(str(own.checkpoint), spec, given.get("layout"), gpus[0] if gpus else None)
    if predictor.shape[0] not in (None, 1):
        raise CheckpointError(f"{own.checkpoint} takes {predictor.shape[0]} sequences at once; one at a time is needed here")
    described = predictor.describe()
    remapper = _remapper(given.get("layout"), predictor)
    options = _options({"unknown": own.unknown_below, **given}, predictor, own.top_k)
    predict.check_unknown(
        "--unknown" if "unknown" in given else "inference.unknown_below", options.unknown, class_names(described)
    )
    size = given.get("image_size")
    if size is not None and not all(side > 0 for side in size):
        raise SpecError(f"--image-size is {'x'.join(map(str, size))}; allowed: WIDTHxHEIGHT in pixels")
    return Session(predictor, options, on_error=given.get("on_error", "skip"), image_size=size, remapper=remapper)


def _load(path: str, spec: config.InferenceSpec, layout: str | None, gpu: int | None) -> predict.Predictor:
    """The model; one that does not say its layout has that of the spec, else that of the joints that come in."""
    said = [spec.model]
    if layout is not None and spec.model.graph_layout == config.Model().graph_layout:
        resolve(layout)  # what is wrong with it is not the model's fault
        said.insert(0, replace(spec.model, graph_layout=layout))
    errors = []
    for model in said:
        try:
            return predict.load(path, model, spec.dataset, gpu=gpu, key=spec.encryption_key)
        except CheckpointError as error:
            errors.append(error)
    raise min(errors, key=lambda error: len(error.problems))


def _remapper(layout: str | None, predictor: predict.Predictor) -> Remapper | None:
    """What brings joints of ``layout`` to those of the model; None where they are the same."""
    own = layout_of(predictor.describe())
    incoming = own if layout is None else resolve(layout)
    if incoming.joints == own.joints:
        return None
    remapper = Remapper(incoming, own)
    if remapper.count("missing") == own.num_joints:
        raise SpecError(
            f"--layout {layout}: no joint of the model's layout {own.name} can be had from those of {incoming.name}"
        )
    log.info(f"joints are brought from {remapper.says()}")
    return remapper


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
    """Lines through the session until one of the two ends is closed.

    Decisions that are due wait for the other lines of the same frame as long as those are there already, and never for more.
    """
    supply = Supply(source)
    try:
        while (line := supply.next()) is not None:
            try:
                for decision in session.take(line, time.perf_counter()):
                    _write(sink, decision)
            except DataError:
                _decide(session, sink)  # what came before the bad line
                raise
            if not supply.ready():
                _decide(session, sink)
        _decide(session, sink)
    except KeyboardInterrupt:
        return "interrupt"
    except BrokenPipeError:
        return "reader"
    return "input"


def _decide(session: Session, sink: BinaryIO) -> None:
    for decision in session.decide():
        _write(sink, decision)


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
