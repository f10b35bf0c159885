"""What a search may vary: one leaf of a schema as a Parameter. Pure; knows no Optuna."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from runner import spec as specs
from runner.schema.words import Leaf, choices_of, show, types_of


class Wish(NamedTuple):
    """How a search is asked to vary a setting: within a range or among choices of its own, or not at all; None: as the schema
    has it.

    It holds while other settings have one of the values in ``when``; else it is as if nobody had asked.
    """

    span: tuple[float, float] | None = None
    scale: str | None = None
    when: Mapping[str, list[Any]] = MappingProxyType({})
    never: bool = False
    choices: tuple[Any, ...] = ()


class Parameter(NamedTuple):
    """One setting a search may vary. ``default`` is the value in the spec given, which may lie outside the range.

    ``least`` and ``most`` are what the schema allows at all; None where it does not say.
    """

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
    least: float | int | None = None
    most: float | int | None = None


def reason_left_out(leaf: Leaf, spec: Mapping[str, Any]) -> str:
    """Why a search leaves the setting alone, given the other values of ``spec``; empty when it does not."""
    searchable = leaf.get("automl_enabled") or leaf.get("automl_range")
    return idle(leaf, spec) if searchable else "it is not searchable"


def idle(leaf: Leaf, spec: Mapping[str, Any]) -> str:
    """Why the setting has no effect, given the other values of ``spec``; empty when it has."""
    key = unmet(leaf.get("automl_when", {}), spec)
    return f"it has no effect while {key} is {show(specs.get(spec, key))}" if key else ""


def unmet(when: Mapping[str, list[Any]], spec: Mapping[str, Any]) -> str:
    """The first setting of a table of conditions whose value is none of those allowed; empty when all are."""
    return next((key for key, allowed in when.items() if specs.get(spec, key) not in allowed), "")


def wished(leaf: Leaf, wish: Wish | None, spec: Mapping[str, Any]) -> tuple[Leaf, str]:
    """The leaf with the range that is wished for it, and why it is to be left out, if it is."""
    if wish is None:
        return leaf, ""
    key = unmet(wish.when, spec)
    if key:
        searched = leaf.get("automl_enabled")
        return leaf, "" if searched else f"it is searched with other values of {key} than {show(specs.get(spec, key))} only"
    if wish.never:
        return leaf, "the recipe leaves it alone"
    if wish.choices:
        kept = {name: value for name, value in leaf.items() if name not in ("anyOf", "option_weights", "math_cond")}
        return {**kept, "enum": list(wish.choices), "automl_enabled": True}, ""
    if wish.span is None:
        return leaf, ""
    own = {"automl_range": list(wish.span), "automl_scale": wish.scale or leaf.get("automl_scale") or "linear"}
    return {**leaf, **own}, ""


def bounded(parameter: Parameter, leaves: Mapping[str, Leaf], spec: Mapping[str, Any], searched: Collection[str]) -> Parameter:
    """The parameter held to its side of every setting that is not searched and has to lie below or above it."""
    section, _, name = parameter.key.rpartition(".")
    low, high = parameter.low, parameter.high
    for key, leaf in leaves.items():
        sign, _, other = str(leaf.get("depends_on") or "").partition(" ")
        value = specs.get(spec, key)
        if other not in (name if key.rpartition(".")[0] == section else None, parameter.key) or key in searched:
            continue
        if idle(leaf, spec) or isinstance(value, bool) or not isinstance(value, int | float):
            continue
        if sign.startswith("<") and low is not None and high is not None:
            low = min(max(low, value), high)
        elif sign.startswith(">") and low is not None and high is not None:
            high = max(min(high, value), low)
    return parameter._replace(low=low, high=high)


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
        least=leaf.get("minimum"),
        most=leaf.get("maximum"),
    )


def _search_range(leaf: Leaf) -> tuple[float | None, float | None]:
    """The search range, held inside the valid one."""
    low, high = leaf.get("automl_range") or (None, None)
    if low is None or high is None:
        return None, None
    return max(low, leaf.get("minimum", low)), min(high, leaf.get("maximum", high))
