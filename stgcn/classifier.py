"""A trained model from Python: arrays in, classes out. An ONNX file needs numpy and onnxruntime alone, no torch."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from stgcn import arrays, config, predict
from stgcn.config import is_set
from stgcn.description import class_names, layout_of, num_joints, unknown_threshold_of
from stgcn.errors import SpecError

BATCH = 64
KEY = "SKILLBANK_ENCRYPTION_KEY"


class Predictions(NamedTuple):
    """What a model says of N sequences: class names, class ids (N,), and the probabilities of all classes (N, classes).

    A sequence whose class the model is not sure enough of is named unknown; its id stays that of the likeliest class.
    """

    labels: list[str]
    ids: npt.NDArray[np.int64]
    probabilities: npt.NDArray[np.float64]


class Classifier:
    """A model that has been read; see ``load``."""

    def __init__(self, predictor: predict.Predictor) -> None:
        self._predictor = predictor
        self.description: dict[str, Any] = predictor.describe()

    @property
    def classes(self) -> list[str]:
        """Class names in the order of their ids."""
        return class_names(self.description)

    @property
    def joints(self) -> tuple[str, ...]:
        """Names of the joints V, in the order of the data."""
        return tuple(layout_of(self.description).joints)

    @property
    def channels(self) -> int:
        """Channels C of the data: 2 or 3 coordinates, perhaps a confidence."""
        return int(self.description["input_channels"])

    @property
    def unknown_threshold(self) -> float | None:
        """The probability below which the model should not be believed, where its training found one."""
        return unknown_threshold_of(self.description)

    def predict(self, data: npt.ArrayLike, *, batch_size: int = BATCH, unknown_below: float = 0.0) -> Predictions:
        """The classes of sequences (N, C, T, V, M), or of one (C, T, V, M), prepared as those the model was trained on.

        ``unknown_below`` is the probability a sequence needs in order not to be called unknown.

        Raises:
            DataError: the array does not fit the model; every problem is listed.
            SpecError: ``batch_size`` or ``unknown_below`` is out of bounds.
            CheckpointError: the model answers with NaN.
        """
        if batch_size < 1 or not 0 <= unknown_below <= 1:
            raise SpecError(f"batch_size is {batch_size}, unknown_below {unknown_below}; allowed: 1 or more, and 0 to 1")
        predict.check_unknown("unknown_below", unknown_below, self.classes)
        given = arrays.from_array(
            np.asarray(data),
            channels=self.channels,
            num_joints=num_joints(self.description),
            layout_name=self.description["layout"]["name"],
        )
        predict.check_fits(self._predictor, given)
        logits = predict.run_over(self._predictor, given.data, batch_size)
        probabilities = predict.probabilities(logits, self.description)
        ids = probabilities.argmax(axis=1)
        sure = probabilities.max(axis=1) >= unknown_below
        labels = [self.classes[i] if known else predict.UNKNOWN for i, known in zip(ids.tolist(), sure.tolist(), strict=True)]
        return Predictions(labels, ids.astype(np.int64), probabilities)

    def __repr__(self) -> str:
        about = self.description
        return f"<Classifier {about.get('network', 'ST-GCN')}: {len(self.classes)} classes, layout {about['layout']['name']}>"


def load(
    path: str | os.PathLike[str],
    *,
    spec: Mapping[str, Any] | None = None,
    gpu: int | None = None,
    key: str | None = None,
    precision: str = "fp32",
    provider: str = "cpu",
) -> Classifier:
    """A model from an .onnx file or a checkpoint (.pth, .tlt).

    Files of this trainer describe themselves. One of others is described by the sections ``model`` and ``dataset`` of a spec.
    ``gpu`` is the number of the GPU a checkpoint runs on. ``key`` opens an encrypted checkpoint; default:
    $SKILLBANK_ENCRYPTION_KEY. A checkpoint may compute in ``precision`` bf16; an ONNX file may be run by a ``provider`` of
    onnxruntime other than cpu: cuda, tensorrt, openvino.

    Raises:
        CheckpointError: it is missing, broken, closed, or does not fit the spec. SpecError: the spec is wrong, or a choice.
        ResourceError: onnxruntime has no such provider here.
    """
    sections = spec or {}
    config.from_dict(config.Inference, {"precision": precision, "provider": provider})  # says what is allowed
    model = config.from_dict(config.Model, sections.get("model") or {})
    dataset = config.from_dict(config.Dataset, sections.get("dataset") or {})
    key = key if is_set(key) else os.environ.get(KEY) or None
    return Classifier(predict.load(Path(path), model, dataset, gpu=gpu, key=key, precision=precision, provider=provider))
