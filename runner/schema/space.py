"""What a search may vary: one leaf of a schema as a Parameter. Pure; knows no Optuna."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from runner import spec as specs
from runner.schema.words import Leaf, choices_of, show, types_of


class Parameter(NamedTuple):
    """One setting a search may vary. ``default`` is the value in the spec given, which may lie outside the range."""

    key: str
    kind: str  # int, float, bool or enum
    low: float | int | None
    high: float | int | None
    scale: str  # linear or log
    choices: tuple[Any, ...]
    weights: tuple[float, ...]
    default: Any
    math_cond: str | None
    depends_on: str | None
    parent_param: bool
    title: str


def reason_left_out(leaf: Leaf, spec: Mapping[str, Any]) -> str:
    """Why a search leaves the setting alone, given the other values of ``spec``; empty when it does not."""
    searchable = leaf.get("automl_enabled") or leaf.get("automl_range")
    return idle(leaf, spec) if searchable else "it is not searchable"


def idle(leaf: Leaf, spec: Mapping[str, Any]) -> str:
    """Why the setting has no effect, given the other values of ``spec``; empty when it has."""
    for key, allowed in leaf.get("automl_when", {}).items():
        value = specs.get(spec, key)
        if value not in allowed:
            return f"it has no effect while {key} is {show(value)}"
    return ""


def parameter(key: str, leaf: Leaf, default: Any) -> Parameter | None:
    """The leaf as something to search over; None when its range is not finite."""
    types, choices = types_of(leaf), choices_of(leaf)
    weights = tuple(float(w) for w in leaf.get("option_weights") or ())
    kind = "enum" if choices else "bool" if "boolean" in types else "int" if "integer" in types else "float"
    low, high = _search_range(leaf)
    if kind in ("int", "float") and (low is None or high is None or not types & {"integer", "number"}):
        return None
    if kind == "int" and low is not None and high is not None:
        low, high = math.ceil(low), math.floor(high)
    return Parameter(
        key=key,
        kind=kind,
        low=low,
        high=high,
        scale=leaf.get("automl_scale") or "linear",
        choices=tuple(choices),
        weights=weights,
        default=default,
        math_cond=leaf.get("math_cond"),
        depends_on=leaf.get("depends_on"),
        parent_param=bool(leaf.get("parent_param", False)),
        title=str(leaf.get("title", key)),
    )


def _search_range(leaf: Leaf) -> tuple[float | None, float | None]:
    """The search range, held inside the valid one."""
    low, high = leaf.get("automl_range") or (None, None)
    if low is None or high is None:
        return None, None
    return max(low, leaf.get("minimum", low)), min(high, leaf.get("maximum", high))
