"""ONNX files in onnxruntime: which execution provider runs them, and on which frames. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from stgcn.errors import CheckpointError, ResourceError

STEP = 16  # frames
PROVIDERS = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
    "openvino": "OpenVINOExecutionProvider",
}
PACKAGES = {"cuda": "onnxruntime-gpu", "tensorrt": "onnxruntime-gpu and TensorRT", "openvino": "onnxruntime-openvino"}


def by_length(batch: np.ndarray) -> Iterator[tuple[np.ndarray, int]]:
    """Which sequences of (n, C, T, V, M) go together, and how many frames of them hold anything, rounded up to ``STEP``.

    Where padding takes no part in the answer, the frames behind need not be computed.
    """
    seen = batch.any(axis=(1, 3, 4))  # (n, T)
    lengths = np.where(seen, np.arange(1, batch.shape[2] + 1), 1).max(axis=1)
    rounded = np.minimum(-(-lengths // STEP) * STEP, batch.shape[2])
    for length in np.unique(rounded):
        yield np.flatnonzero(rounded == length), int(length)


def open_session(path: Path, provider: str = "cpu") -> Any:
    """An onnxruntime session of the file, run by ``provider``, and what that cannot do by the CPU.

    Raises:
        CheckpointError: it is missing or no ONNX file. ResourceError: onnxruntime has no such provider here.
    """
    if not path.is_file():
        raise CheckpointError(f"{path} does not exist" if not path.exists() else f"{path} is not a file")
    import onnxruntime

    wanted, there = PROVIDERS[provider], onnxruntime.get_available_providers()
    if wanted not in there:
        names = {full: short for short, full in PROVIDERS.items()}
        known = ", ".join(names[name] for name in there if name in names)
        raise ResourceError(
            f"provider is {provider}, which onnxruntime {onnxruntime.__version__} here does not have; it has: {known}. "
            f"It comes with {PACKAGES[provider]}, in place of onnxruntime"
        )
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors only
    chosen = [wanted] if provider == "cpu" else [wanted, PROVIDERS["cpu"]]
    try:
        session = onnxruntime.InferenceSession(path, options, providers=chosen)
    except Exception as error:  # onnxruntime's own exception types have no common base of theirs
        raise CheckpointError(f"{path} cannot be read as ONNX: {str(error).splitlines()[0][:200]}") from None
    if wanted not in session.get_providers():  # it falls back on its own, with no more than a line in its log
        raise ResourceError(
            f"provider is {provider}, which onnxruntime could not start on this machine (its libraries or device)"
        )
    return session
