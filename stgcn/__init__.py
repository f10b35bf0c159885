"""ST-GCN for skeleton action recognition: the trainer. Knows tensors and one spec; never imports runner.

``stgcn.load("model.onnx").predict(array)`` is the Python interface; it is loaded when it is first used, and torch only for
checkpoints.
"""

# No `from __future__ import annotations` here: it would hide the module of that name from `from stgcn import annotations`.
import os
from typing import TYPE_CHECKING, Any

# Newer versions of onnxruntime report their use to their makers and leave an id of the machine in the user's cache, unless this
# is said before they are imported. Whoever wants that says ORT_DISABLE_TELEMETRY=0.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

if TYPE_CHECKING:
    from stgcn.classifier import Classifier, Predictions, load
    from stgcn.errors import TrainerError

__all__ = ["Classifier", "Predictions", "TrainerError", "load"]
_HOMES = {"Classifier": "classifier", "Predictions": "classifier", "TrainerError": "errors", "load": "classifier"}


def __getattr__(name: str) -> Any:
    """A public name, from the module it lives in."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    """The public names, loaded or not."""
    return sorted({*globals(), *__all__})
