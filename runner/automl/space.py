"""The search space: settings as a sampler sees them, and the way back. Knows no trials and no results."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from runner.errors import SchemaInvalid

if TYPE_CHECKING:
    from runner.schema import Parameter


class Axis(NamedTuple):
    """One parameter as Optuna sees it: a number or a choice, with the way to the setting's value and back.

    ``unit`` is k of "/ k" (the axis counts multiples) and ``base`` is k of "^ k" (the axis counts powers).
    """

    key: str
    kind: str
    low: float
    high: float
    log: bool
    unit: int
    base: int
    choices: tuple[Any, ...]
    weights: tuple[float, ...]
    default: Any
    sign: str  # the relation to `other`: <, <=, >, >= or nothing
    other: str

    def encode(self, value: Any) -> Any:
        """The setting's value as the sampler sees it; None when it lies outside the search."""
        if self.choices:
            return next((c for c in self.choices if c == value and isinstance(c, bool) == isinstance(value, bool)), None)
        if isinstance(value, bool) or not isinstance(value, int | float):
            return None
        number: float = value
        if self.kind == "int":
            powers = (n for n in range(int(self.low), int(self.high) + 1) if self.base and self.base**n == value)
            number = next(powers, self.low - 1) if self.base else value / self.unit
            if number != int(number):
                return None
            number = int(number)
        return number if self.low <= number <= self.high else None

    def draw(self, source: random.Random) -> Any:
        """A choice at random, by weight."""
        return source.choices(self.choices, self.weights)[0]

    def relate(self, value: Any, known: Mapping[str, Any]) -> Any:
        """The value, moved to where its relation to the other setting holds: by one (int) or 1 % beyond for < and >."""
        bound = known.get(self.other)
        if not self.sign or isinstance(bound, bool) or not isinstance(bound, int | float):
            return value
        gap = 0 if "=" in self.sign else 1 if self.kind == "int" else abs(bound) * 0.01
        if self.sign.startswith("<"):
            limit = bound - gap
            return value if value <= limit else self._whole(limit, math.floor)
        limit = bound + gap
        return value if value >= limit else self._whole(limit, math.ceil)

    def _whole(self, limit: float, toward: Callable[[float], int]) -> Any:
        """The nearest value of this axis on the allowed side of ``limit``."""
        if self.kind != "int":
            return float(limit)
        if self.base:
            return self.base ** max(0, toward(math.log(max(limit, 1), self.base) + 1e-12))
        return toward(limit / self.unit) * self.unit


def make_axes(space: Sequence[Parameter]) -> list[Axis]:
    """The space for Optuna, in an order in which a setting comes after the one it is related to.

    Raises:
        SchemaInvalid: every parameter that cannot be searched, at once.
    """
    problems: list[str] = []
    axes = [_axis(parameter, problems) for parameter in sorted(space, key=lambda p: not p.parent_param)]
    ready: list[Axis] = []
    waiting = [axis for axis in axes if axis is not None]
    while waiting:
        blocked = {axis.key for axis in waiting}
        free = [axis for axis in waiting if axis.other not in blocked]
        if not free:
            problems.append(f"{', '.join(sorted(blocked))}: depend on each other in a circle")
            break
        ready += free
        waiting = [axis for axis in waiting if axis.other in blocked]
    if problems:
        raise SchemaInvalid("the search space cannot be searched", problems=problems)
    return ready


def _axis(p: Parameter, problems: list[str]) -> Axis | None:
    sign, other = _relation(p)
    if p.kind in ("bool", "enum"):
        choices, weights = _choices(p)
        if choices:
            return Axis(p.key, p.kind, 0, 0, False, 1, 0, choices, weights, p.default, sign, other)
        problems.append(f"{p.key}: no choice has a weight above 0" if p.choices else f"{p.key}: there are no choices")
        return None
    if p.low is None or p.high is None or not (math.isfinite(p.low) and math.isfinite(p.high)):
        problems.append(f"{p.key}: the search range is {p.low} to {p.high}; allowed: two finite numbers")
        return None
    unit, base = _steps(p, problems)
    low, high = _counted(p, unit, base)
    if low > high:
        problems.append(
            f"{p.key}: nothing lies between {p.low} and {p.high}" + (f" with {p.math_cond!r}" if p.math_cond else "")
        )
        return None
    log = p.scale == "log" and not base
    if log and low <= 0:
        problems.append(f"{p.key}: a logarithmic search cannot start at {p.low}; allowed: above 0")
        return None
    return Axis(p.key, p.kind, low, high, log, unit, base, (), (), p.default, sign, other)


def _choices(p: Parameter) -> tuple[tuple[Any, ...], tuple[float, ...]]:
    choices = p.choices or ((False, True) if p.kind == "bool" else ())
    if len(p.weights or ()) != len(choices):
        return tuple(choices), ()
    kept = [(choice, weight) for choice, weight in zip(choices, p.weights, strict=True) if weight > 0]
    return tuple(choice for choice, _ in kept), tuple(weight for _, weight in kept)


def _relation(p: Parameter) -> tuple[str, str]:
    """("<", "train.optim.lr") of "< lr"; TAO also writes the sign as math condition: "> depends_on"."""
    *sign, name = (p.depends_on or "").split() or [""]
    if not sign and p.math_cond and p.math_cond.endswith("depends_on"):
        sign = p.math_cond.split()[:1]
    section = p.key.rpartition(".")[0]
    other = f"{section}.{name}" if name and section and "." not in name else name
    return (sign[0] if sign and sign[0] in ("<", "<=", ">", ">=") else ""), other


def _steps(p: Parameter, problems: list[str]) -> tuple[int, int]:
    """(k, 0) of "/ k", (1, k) of "^ k", else (1, 0)."""
    if not p.math_cond or p.math_cond.endswith("depends_on"):
        return 1, 0
    sign, _, number = p.math_cond.strip().partition(" ")
    factor = int(number) if number.strip().isdigit() else 0
    if p.kind == "int" and sign == "/" and factor >= 1:
        return factor, 0
    if p.kind == "int" and sign == "^" and factor >= 2:
        return 1, factor
    problems.append(f"{p.key}: the condition {p.math_cond!r} is not understood; allowed: '/ k' and '^ k' of whole numbers")
    return 1, 0


def _counted(p: Parameter, unit: int, base: int) -> tuple[float, float]:
    low, high = p.low or 0, p.high or 0
    if p.kind != "int":
        return float(low), float(high)
    if not base:
        return math.ceil(low / unit), math.floor(high / unit)
    powers = [n for n in range(64) if low <= base**n <= high]
    return (powers[0], powers[-1]) if powers else (1, 0)
