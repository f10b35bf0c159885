"""A trained model, torch or ONNX, as one thing that turns sequences into logits; and a set run through it.

Torch is imported only for a checkpoint: an ONNX file needs numpy and onnxruntime alone.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from stgcn import arrays, config, sessions
from stgcn.action import Started, choose_gpus
from stgcn.calibration import softmax
from stgcn.config import is_set
from stgcn.description import (
    KEY,
    check_classes,
    describe,
    differences,
    layout_of,
    num_joints,
    preparation_of,
    temperature_of,
    unreadable,
)
from stgcn.errors import CheckpointError, DataError, SpecError
from stgcn.graph import resolve
from stgcn.inspect import before
from stgcn.inspect.anatomy import MODEL
from stgcn.prepare import idle, prepare_batch, sizes
from stgcn.progress import Progress, Say, unheard

log = logging.getLogger("stgcn")

UNKNOWN = "unknown"  # what a sequence is called whose class the model is not sure enough of
AXES = ("batch", "channels C", "frames T", "joints V", "persons M")


class Predictor(Protocol):
    """A model ready to predict; ``shape`` holds the sizes of (N, C, T, V, M) that its input fixes, None where any will do.

    ``fused`` is True where it has a network for each stream and so can give the ``answers`` of each.
    """

    shape: tuple[int | None, ...]
    fused: bool

    def answers(self, batch: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """float32 (n, C, T, V, M) -> float32 (n, classes) and, of a fused model, what each stream says: (n, S, classes)."""

    def logits(self, batch: np.ndarray) -> np.ndarray:
        """float32 (n, C, T, V, M) -> float32 (n, classes)."""

    def describe(self) -> dict[str, Any]:
        """What the model says about itself, see ``stgcn.description``."""


class TorchPredictor:
    """A checkpoint on the CPU or on one GPU."""

    def __init__(
        self,
        path: Path,
        model: config.Model,
        dataset: config.Dataset,
        gpu: int | None,
        key: str | None = None,
        precision: str = "fp32",
    ) -> None:
        import torch

        from stgcn import checkpoint, fast

        network, self._description = checkpoint.network(checkpoint.read(path, key), model, dataset)
        self.device = torch.device("cpu" if gpu is None else f"cuda:{gpu}")
        self.network: Any = fast.arranged(network.eval().to(self.device), precision)
        self.fused = "fusion" in self._description
        self.shape: tuple[int | None, ...] = (
            *(None, self._description["input_channels"]),
            *(None, num_joints(self._description), None),
        )

    def logits(self, batch: np.ndarray) -> np.ndarray:
        """float32 (n, C, T, V, M) -> float32 (n, classes)."""
        import torch

        with torch.inference_mode():
            result: np.ndarray = self.network(torch.tensor(batch, device=self.device)).cpu().numpy()
        return result

    def answers(self, batch: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The logits (n, classes) of a fused network, and those of its streams (n, S, classes)."""
        import torch

        with torch.inference_mode():
            scores = self.network.scores(torch.tensor(batch, device=self.device))
            return self.network.fuse(scores).cpu().numpy(), scores.transpose(0, 1).cpu().numpy()

    def describe(self) -> dict[str, Any]:
        """What the checkpoint says about itself, or the spec about it."""
        return self._description


class OnnxPredictor:
    """An ONNX file in onnxruntime."""

    def __init__(self, path: Path, model: config.Model, dataset: config.Dataset, provider: str = "cpu") -> None:
        self.session = sessions.open_session(path, provider)
        inputs, outputs = self.session.get_inputs(), self.session.get_outputs()
        if len(inputs) != 1 or len(inputs[0].shape) != 5:
            raise CheckpointError(f"{path} is not a pose classifier: its inputs are {[(i.name, i.shape) for i in inputs]}")
        self.input, self.outputs = inputs[0].name, [output.name for output in outputs]
        self.shape = tuple(size if isinstance(size, int) else None for size in inputs[0].shape)
        self._description, problems = self._described(model, dataset, outputs[0].shape[-1])
        if problems:
            raise CheckpointError([f"{path} does not fit the spec: {problem}" for problem in problems])
        self.fused = "fusion" in self._description and len(outputs) > 1
        self.cut = self._description.get("padding") == "masked" and self.shape[2] is None

    def logits(self, batch: np.ndarray) -> np.ndarray:
        """float32 (n, C, T, V, M) -> float32 (n, classes)."""
        return self._run(batch, self.outputs[:1])[0]

    def answers(self, batch: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The logits (n, classes) of a fused network, and those of its streams (n, S, classes)."""
        logits, scores = self._run(batch, self.outputs[:2])
        return logits, scores

    def _run(self, batch: np.ndarray, outputs: list[str]) -> list[np.ndarray]:
        if self.shape[0] == 1 and len(batch) > 1:  # exported for a single sequence
            single = [self._run(batch[i : i + 1], outputs) for i in range(len(batch))]
            return [np.concatenate(parts) for parts in zip(*single, strict=True)]
        if not self.cut:
            return self._computed(batch, outputs)
        parts = [(chosen, self._computed(batch[chosen, :, :length], outputs)) for chosen, length in sessions.by_length(batch)]
        order = np.argsort(np.concatenate([chosen for chosen, _ in parts]))
        return [np.concatenate(answers)[order] for answers in zip(*(found for _, found in parts), strict=True)]

    def _computed(self, batch: np.ndarray, outputs: list[str]) -> list[np.ndarray]:
        results: list[np.ndarray] = self.session.run(outputs, {self.input: np.ascontiguousarray(batch)})
        return results

    def describe(self) -> dict[str, Any]:
        """What the file says about itself, or the spec about it."""
        return self._description

    def _described(self, model: config.Model, dataset: config.Dataset, classes: object) -> tuple[dict[str, Any], list[str]]:
        stored = self.session.get_modelmeta().custom_metadata_map.get(KEY)
        if stored:
            description = _parsed(stored)
            problem = unreadable(description)
            return description, [problem] if problem else differences(description, model, dataset, ignore_defaults=True)
        check_classes(dataset)
        layout = resolve(model.graph_layout)
        rows = [
            ("channels", self.shape[1], "model.input_channels", model.input_channels),
            ("joints", self.shape[3], f"model.graph_layout {layout.name}", layout.num_joints),
            ("classes", classes, "dataset.num_classes", dataset.num_classes),
        ]
        problems = [
            f"it has {theirs} {what}, {key} says {ours}"
            for what, theirs, key, ours in rows
            if isinstance(theirs, int) and theirs != ours
        ]
        return describe(model, dataset, window=self.shape[2], num_persons=self.shape[4]), problems


def load(
    path: str | Path,
    model: config.Model,
    dataset: config.Dataset,
    *,
    gpu: int | None = None,
    key: str | None = None,
    precision: str = "fp32",
    provider: str = "cpu",
) -> Predictor:
    """Load a model by its suffix: .onnx, else a checkpoint. ``model`` and ``dataset`` are those of the spec.

    ``key`` is the passphrase of an encrypted checkpoint, which computes in ``precision``; ``provider`` runs an ONNX file.

    Raises:
        CheckpointError: it is missing, broken, or does not fit the spec. SpecError: a choice that is not for such a file.
        ResourceError: onnxruntime has no such provider here.
    """
    path = Path(path)
    onnx = path.suffix == ".onnx"
    if onnx and precision != "fp32":
        raise SpecError(
            f"precision is {precision}: an ONNX file computes in what it was exported in, fp32; bf16 is for checkpoints"
        )
    if not onnx and provider != "cpu":
        raise SpecError(
            f"provider is {provider}: execution providers run ONNX files; a checkpoint runs on num_gpus and gpu_ids"
        )
    if onnx:
        return OnnxPredictor(path, model, dataset, provider)
    return TorchPredictor(path, model, dataset, gpu, key, precision)


def prepare(action: Started, name: str, *, need_labels: bool) -> tuple[Predictor, arrays.SkeletonSet]:
    """Load the model and the test set of ``evaluate`` or ``inference``, and make sure that they fit each other."""
    settings, own = action.settings, getattr(action.settings, name)
    problems = []
    if is_set(own.trt_engine):
        problems.append(f"{name}.trt_engine is not supported here: set {name}.checkpoint to a .pth, .tlt or .onnx file")
    elif not is_set(own.checkpoint):
        problems.append(f"{name}.checkpoint is empty: set it to a .pth, .tlt or .onnx file")
    if own.batch_size == 0:
        problems.append(f"{name}.batch_size is 0; allowed: at least 1, or -1 for dataset.batch_size")
    if problems:
        raise SpecError(problems)
    action.status.write("RUNNING", f"Loading checkpoint: {own.checkpoint}")
    gpus = [] if Path(own.checkpoint).suffix == ".onnx" else choose_gpus(name, own.num_gpus, own.gpu_ids)
    gpu = gpus[0] if gpus else None
    how = {"precision": own.precision, "provider": own.provider}
    predictor = load(own.checkpoint, settings.model, settings.dataset, gpu=gpu, key=settings.encryption_key, **how)
    described = predictor.describe()
    skeletons = arrays.read_set(
        "test",
        own.test_dataset.data_path if is_set(own.test_dataset.data_path) else None,
        own.test_dataset.label_path if is_set(own.test_dataset.label_path) else None,
        channels=described["input_channels"],
        num_joints=num_joints(described),
        layout_name=described["layout"]["name"],
        num_classes=described["num_classes"],
        label_map=described["label_map"],
        need_labels=need_labels,
    )
    check_fits(predictor, skeletons)
    for note in skeletons.notes:
        log.warning(note)
    return predictor, skeletons


def inspected(action: Started, described: Mapping[str, Any], skeletons: arrays.SkeletonSet) -> list[dict[str, Any]]:
    """Look at the data before the model does, say what is noticed, and give it as a file keeps it.

    A checkpoint whose training data can still be read is asked for copies of it too.

    Raises:
        DataError: every sequence is empty.
    """
    trained = described.get("spec")
    for key in ("dataset", "train_dataset"):
        trained = trained.get(key) if isinstance(trained, Mapping) else None
    findings = before.look(
        [skeletons],
        layout_of(described),
        described["label_map"],
        source=MODEL,
        trained_on=trained if isinstance(trained, Mapping) else None,
    )
    for text in before.said(findings):
        log.warning(text)
        action.status.write("RUNNING", text)
    return before.kept(findings)


def run_over(predictor: Predictor, data: np.ndarray, batch_size: int, say: Say = unheard) -> np.ndarray:
    """Logits float32 (N, classes) of all sequences (N, C, T, V, M), prepared as those the model was trained on, in batches.

    ``say`` hears now and then how far it is.

    Raises:
        CheckpointError: the model's answers are not finite.
    """
    return _finite(np.concatenate([predictor.logits(batch) for batch in _batches(predictor, data, batch_size, say)]))


def run_streams(
    predictor: Predictor, data: np.ndarray, batch_size: int, say: Say = unheard
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """What ``run_over`` gives, and of a fused model the logits (N, classes) of each stream by its name; else none.

    Raises:
        CheckpointError: the model's answers are not finite.
    """
    if not predictor.fused:
        return run_over(predictor, data, batch_size, say), {}
    answers = [predictor.answers(batch) for batch in _batches(predictor, data, batch_size, say)]
    logits, scores = (np.concatenate(parts) for parts in zip(*answers, strict=True))
    return _finite(logits), {stream: scores[:, i] for i, stream in enumerate(predictor.describe()["streams"])}


def _batches(predictor: Predictor, data: np.ndarray, batch_size: int, say: Say) -> Iterator[np.ndarray]:
    """The sequences in batches, prepared as those the model was trained on."""
    described = predictor.describe()
    preparation = preparation_of(described)
    with Progress("predicting", say) as told:
        for start in range(0, len(data), batch_size):
            batch = np.asarray(data[start : start + batch_size])
            yield batch if idle(preparation) else prepare_batch(batch, preparation, layout_of(described))
            told(min(start + batch_size, len(data)), len(data))


def _finite(logits: np.ndarray) -> np.ndarray:
    if not np.isfinite(logits).all():
        raise CheckpointError(
            "the model answers with NaN or infinite values: its training diverged; take an earlier checkpoint"
        )
    return logits


def batch_size_of(own: Any, dataset: config.Dataset) -> int:
    """Sequences per step: the action's own number, else the dataset's."""
    return int(own.batch_size if own.batch_size > 0 else dataset.batch_size)


def probabilities(logits: np.ndarray, described: Mapping[str, Any]) -> np.ndarray:
    """Softmax over the classes, float64 (N, classes), at the temperature of a model so described."""
    return softmax(logits, temperature_of(described))


def check_unknown(name: str, threshold: float, classes: list[str]) -> None:
    """Make sure that a sequence called unknown cannot be taken for one of a class of that name.

    Raises:
        SpecError: there is such a class, and the threshold, said by ``name``, is in use.
    """
    if threshold > 0 and UNKNOWN in classes:
        raise SpecError(
            f"{name} is {threshold:g}, and the model has a class named {UNKNOWN}: the two could not be told apart; set it to 0"
        )


def records(
    names: list[str], probs: np.ndarray, classes: list[str], top_k: int, unknown_below: float = 0.0
) -> Iterator[dict[str, Any]]:
    """One JSON-able record per sequence: its sample name, the predicted class, and the ``top_k`` likeliest ones.

    Where the highest probability is lower than ``unknown_below``, the predicted class is unknown and has no id.
    """
    order = np.argsort(-probs, axis=1, kind="stable")[:, :top_k]
    for index, (name, best) in enumerate(zip(names, order, strict=True)):
        first = int(best[0])
        known = bool(probs[index, first] >= unknown_below)
        yield {
            "index": index,
            "sample": name,
            "predicted": classes[first] if known else UNKNOWN,
            "class_id": first if known else None,
            "probability": float(probs[index, first]),
            "top": [{"class": classes[i], "probability": float(probs[index, i])} for i in best],
        }


def json_lines(items: Iterable[dict[str, Any]]) -> str:
    """The text of a JSON lines file."""
    return "".join(json.dumps(item, ensure_ascii=False) + "\n" for item in items)


def check_fits(predictor: Predictor, skeletons: arrays.SkeletonSet) -> None:
    """Make sure that sequences of the right channels and joints also have the frames and persons that the model needs.

    Raises:
        DataError: they have others.
    """
    _check_shape(predictor, skeletons)
    _check_persons(predictor.describe(), skeletons)


def _check_shape(predictor: Predictor, skeletons: arrays.SkeletonSet) -> None:
    """The sizes an ONNX file fixes beyond C and V, which are checked before."""
    count, channels, frames, joints, persons = skeletons.data.shape
    frames, persons = sizes(frames, persons, preparation_of(predictor.describe()))
    prepared = (count, channels, frames, joints, persons)
    problems = [
        f"{skeletons.split} data: it has {axis}={have}, the ONNX file was exported for {size}; shape {skeletons.data.shape}"
        for axis, size, have in list(zip(AXES, predictor.shape, prepared, strict=True))[1:]
        if size is not None and size != have
    ]
    if problems:
        raise DataError(problems)


def _check_persons(described: dict[str, Any], skeletons: arrays.SkeletonSet) -> None:
    """Where padding is counted, the mean is over empty person slots too: another number of them gives other answers."""
    trained = described.get("num_persons") if described.get("padding") != "masked" else None
    _, have = sizes(0, skeletons.num_persons, preparation_of(described))
    if trained and trained != have:
        raise DataError(
            f"{skeletons.split} data: it has M={have} persons, the model was trained with M={trained}: pad the missing "
            "slots with zeros, or cut the surplus ones"
        )


def _parsed(text: str) -> dict[str, Any]:
    """What JSON holds, an empty mapping where it is none."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}
