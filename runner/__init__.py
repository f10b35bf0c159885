"""The skill bank and its job runner. Knows skills, specs and jobs; never imports torch or stgcn.

``from runner import Bank, launch`` is the Python interface; each name is loaded when it is first used.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # nothing that a job starts reports its use to onnxruntime's makers

if TYPE_CHECKING:
    from runner.api import Bank, Planned
    from runner.errors import SkillBankError
    from runner.plan import Request

__all__ = ["Bank", "Planned", "Request", "SkillBankError"]
_HOMES = {"Bank": "api", "Planned": "api", "Request": "plan", "SkillBankError": "errors"}


def __getattr__(name: str) -> Any:
    """A public name, from the module it lives in."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    """The public names, loaded or not."""
    return sorted({*globals(), *__all__})
