"""The algebra of nested dicts: dotted get, set, merge, flatten, and the keys nearest to a misspelt one."""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from runner.errors import SpecInvalid

Spec = dict[str, Any]
MAPS = (dict, Mapping)  # a dict is known at once, an abstract class has to be asked


def get(spec: Mapping[str, Any], key: str, default: Any = None) -> Any:
    """The value at the dotted ``key``, or ``default`` where there is none."""
    value: Any = spec
    for name in key.split("."):
        if not isinstance(value, MAPS) or name not in value:
            return default
        value = value[name]
    return value


def has(spec: Mapping[str, Any], key: str) -> bool:
    """Whether the dotted ``key`` is there, with any value."""
    missing = object()
    return get(spec, key, missing) is not missing


def set_(spec: Spec, key: str, value: Any) -> None:
    """Put ``value`` at the dotted ``key`` of ``spec``, in place, making the sections on the way.

    Raises:
        SpecInvalid: a setting with a plain value stands where a section is needed.
    """
    *sections, last = key.split(".")
    here = spec
    for i, name in enumerate(sections):
        here = here.setdefault(name, {})
        if not isinstance(here, dict):
            at = ".".join(sections[: i + 1])
            raise SpecInvalid(f"{key} cannot be set: {at} is the value {here!r}, not a section")
    here[last] = value


def copied(value: Any) -> Any:
    """A copy of plain data that shares no dict or list with it; the general way of Python takes six times as long."""
    if isinstance(value, dict):
        return {key: copied(below) for key, below in value.items()}
    if isinstance(value, list):
        return [copied(below) for below in value]
    return copy.deepcopy(value) if isinstance(value, tuple | Mapping) else value


def merge(base: Mapping[str, Any], overlay: Mapping[str, Any], leaves: Collection[str] = ()) -> Spec:
    """A new spec: ``overlay`` laid over ``base``. Sections merge; values, and the maps named in ``leaves``, are replaced."""
    return _merge(base, overlay, frozenset(leaves), "")


def _merge(base: Mapping[str, Any], overlay: Mapping[str, Any], leaves: frozenset[str], path: str) -> Spec:
    merged = {}
    for name, below in base.items():
        at = f"{path}{name}"
        if name not in overlay:
            merged[name] = copied(below)
        elif isinstance(below, MAPS) and isinstance(overlay[name], MAPS) and at not in leaves:
            merged[name] = _merge(below, overlay[name], leaves, f"{at}.")
        else:
            merged[name] = copied(overlay[name])
    return merged | {name: copied(value) for name, value in overlay.items() if name not in merged}


def nest(values: Mapping[str, Any], leaves: Collection[str] = ()) -> Spec:
    """The nested form of dotted keys; a mapping given for a section merges with its neighbours, in the order given."""
    spec: Spec = {}
    for key, value in values.items():
        one: Spec = {}
        set_(one, key, value)
        spec = merge(spec, one, leaves)
    return spec


def flatten(spec: Mapping[str, Any], leaves: Collection[str] = ()) -> dict[str, Any]:
    """Dotted key to value. The maps named in ``leaves``, and empty ones, stay whole."""
    flat: dict[str, Any] = {}
    _flatten(spec, frozenset(leaves), "", flat)
    return flat


def _flatten(spec: Mapping[str, Any], leaves: frozenset[str], path: str, flat: dict[str, Any]) -> None:
    for name, value in spec.items():
        at = f"{path}{name}"
        if isinstance(value, Mapping) and value and at not in leaves:
            _flatten(value, leaves, f"{at}.", flat)
        else:
            flat[at] = value


def nearest(key: str, known: Iterable[str], limit: int = 3) -> list[str]:
    """The known keys a misspelt ``key`` most likely means, best first: like spelling, or the same last name elsewhere."""
    import difflib

    names = list(dict.fromkeys(known))
    last = key.rpartition(".")[2]
    same_last = [name for name in names if name != key and name.rpartition(".")[2] == last]
    whole = difflib.get_close_matches(key, names, n=limit, cutoff=0.85)
    tails: dict[str, list[str]] = {}
    for name in names:
        tails.setdefault(name.rpartition(".")[2], []).append(name)
    by_tail = [name for tail in difflib.get_close_matches(last, list(tails), n=limit, cutoff=0.75) for name in tails[tail]]
    section = key.rpartition(".")[0]
    by_tail.sort(key=lambda name: name.rpartition(".")[0] != section)  # a stable sort: the same section first
    return list(dict.fromkeys([*same_last, *whole, *by_tail]))[:limit]
