"""Settings as points of the unit cube and as Optuna's parameters, and back. Knows one axis at a time, no trials."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from runner.automl.space import Axis

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

MOVED, WIDTH = 0.5, 0.25  # of a neighbour: the part of its settings that is moved, and by how much of their axes

Plain = str | int | float | bool | None


def distribution(axis: Axis) -> BaseDistribution:
    """The axis as Optuna has it."""
    from optuna import distributions

    if axis.choices:
        return distributions.CategoricalDistribution([plain(choice) for choice in axis.choices])
    if axis.kind == "float":
        return distributions.FloatDistribution(axis.low, axis.high, log=axis.log)
    return distributions.IntDistribution(int(axis.low), int(axis.high), log=axis.log)


def setting(axis: Axis, value: Any) -> Any:
    """The setting's value of what Optuna proposes."""
    if axis.choices:
        return next(choice for choice in axis.choices if _same(plain(choice), value))
    if axis.kind == "float":
        return float(value)
    return axis.base ** int(value) if axis.base else int(value) * axis.unit


def allowed(axis: Axis) -> str:
    """What the axis searches, in words."""
    if axis.choices:
        return ", ".join(str(choice) for choice in axis.choices)
    multiples = f", multiples of {axis.unit}" if axis.unit > 1 else f", powers of {axis.base}" if axis.base else ""
    return f"{setting(axis, axis.low)} to {setting(axis, axis.high)}{multiples}"


def parameters(axes: Sequence[Axis], settings: Mapping[str, Any]) -> dict[str, Plain]:
    """The settings as Optuna's parameters; what lies outside its axis is left out."""
    found = {axis.key: axis.encode(settings[axis.key]) for axis in axes if axis.key in settings}
    return {axis.key: plain(found[axis.key]) for axis in axes if found.get(axis.key) is not None}


def nearest(axis: Axis, settings: Mapping[str, Any]) -> Plain:
    """The setting as Optuna's parameter, moved to the nearest end where it lies outside; None when nothing is near."""
    value = settings.get(axis.key, axis.default)
    inside = axis.encode(value)
    if inside is not None or axis.choices:
        return plain(inside)
    if isinstance(value, bool) or not isinstance(value, int | float) or math.isnan(value):
        return None
    if axis.kind == "float":
        return min(max(float(value), axis.low), axis.high)
    count = math.log(max(value, 1), axis.base) if axis.base else value / axis.unit
    return round(min(max(count, axis.low), axis.high))


def point(axis: Axis, settings: Mapping[str, Any]) -> float:
    """The setting on [0, 1]; the middle when it has no place there."""
    value = nearest(axis, settings)
    if axis.choices:
        places = [i for i, choice in enumerate(axis.choices) if _same(plain(choice), value)]
        return (places[0] + 0.5) / len(axis.choices) if places else 0.5
    if not isinstance(value, int | float) or axis.low == axis.high:
        return 0.5
    if axis.kind == "float":
        low, high = (math.log(axis.low), math.log(axis.high)) if axis.log else (axis.low, axis.high)
        return ((math.log(value) if axis.log else value) - low) / (high - low)
    return (value - axis.low + 0.5) / (axis.high - axis.low + 1)


def at(axis: Axis, where: float) -> Any:
    """The setting at a place of [0, 1]."""
    where = min(max(where, 0.0), 1.0)
    if axis.choices:
        return axis.choices[min(int(where * len(axis.choices)), len(axis.choices) - 1)]
    if axis.kind == "float":
        low, high = (math.log(axis.low), math.log(axis.high)) if axis.log else (axis.low, axis.high)
        value = low + where * (high - low)
        return min(max(math.exp(value) if axis.log else value, axis.low), axis.high)
    count = int(axis.high - axis.low) + 1
    return setting(axis, int(axis.low) + min(int(where * count), count - 1))


def draw(axis: Axis, source: random.Random) -> Any:
    """A setting at random: choices by their weights, whole numbers on a logarithmic axis by theirs."""
    if axis.choices and axis.weights:
        return axis.draw(source)
    if axis.kind == "int" and axis.log and not axis.choices:
        low, high = math.log(axis.low - 0.5), math.log(axis.high + 0.5)
        number = round(math.exp(low + source.random() * (high - low)))
        return setting(axis, min(max(number, int(axis.low)), int(axis.high)))
    return at(axis, source.random())


def near(axes: Sequence[Axis], settings: Mapping[str, Any], source: random.Random) -> dict[str, Any]:
    """Settings in the neighbourhood: about half of them moved, by a quarter of their axis or so, and one at least."""
    sure = source.randrange(len(axes))
    found = {}
    for i, axis in enumerate(axes):
        place = point(axis, settings)
        if i == sure or source.random() < MOVED:
            if axis.choices:
                found[axis.key] = draw(axis, source)
                continue
            place = abs(place + source.gauss(0, WIDTH))
            place = 2 - place if place > 1 else place
        found[axis.key] = at(axis, place)
    return found


def relate(axes: Sequence[Axis], settings: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """The settings with every relation to another one kept; ``axes`` come in an order that allows it."""
    found: dict[str, Any] = {}
    for axis in axes:
        found[axis.key] = axis.relate(settings[axis.key], {**given, **found})
    return found


def plain(choice: Any) -> Plain:
    """A choice as Optuna can keep it; a list by its text."""
    return choice if choice is None or isinstance(choice, str | int | float | bool) else json.dumps(choice)


def _same(one: Any, other: Any) -> bool:
    return bool(one == other) and isinstance(one, bool) == isinstance(other, bool)
