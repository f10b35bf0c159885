"""The values of a spec, brought into the form their settings mean."""

from __future__ import annotations

import math
from typing import Any

from runner.errors import Problem
from runner.schema.words import Leaf, choices_of, types_of

_GONE = object()


def coerce(value: Any, leaf: Leaf) -> Any:
    """The value as its setting means it; what is wrong stays as it is.

    16.0 becomes the integer 16. A whole number given for text becomes text. ``on``/``off``, which YAML reads as
    booleans, become the one word of that meaning among a setting's choices.
    """
    types, choices = types_of(leaf), choices_of(leaf)
    if isinstance(value, bool):
        words = ("on", "yes", "true") if value else ("off", "no", "false")
        meant = [c for c in choices if isinstance(c, str) and c.lower() in words]
        return meant[0] if "boolean" not in types and len(meant) == 1 else value
    if isinstance(value, float) and "integer" in types and "number" not in types and value.is_integer():
        return int(value)
    if isinstance(value, int) and types & {"string"} and not types & {"integer", "number"}:
        return str(value)
    if isinstance(value, list | tuple):
        items = leaf.get("items", {})
        return [coerce(item, items) for item in value]
    if isinstance(value, dict) and isinstance(extra := leaf.get("additionalProperties"), dict):
        return {name: coerce(below, extra) for name, below in value.items()}
    return value


def finite(value: Any, path: str, found: list[Problem]) -> Any:
    """The value with NaN and infinity named and taken out, which the engine could not tell from null."""
    if isinstance(value, dict):
        kept = {k: finite(v, f"{path}.{k}" if path else str(k), found) for k, v in value.items()}
        return {k: v for k, v in kept.items() if v is not _GONE}
    if isinstance(value, list | tuple):
        return [v for v in (finite(v, f"{path}[{i}]", found) for i, v in enumerate(value)) if v is not _GONE]
    if isinstance(value, float) and not math.isfinite(value):
        found.append(Problem(path, f"{value} is not a finite number"))
        return _GONE
    return value
