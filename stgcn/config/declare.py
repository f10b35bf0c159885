"""How a setting is declared, and how plain values become the dataclasses that hold them. Knows no setting."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from dataclasses import field
from typing import Any, Literal, TypeVar

from stgcn.errors import SpecError

UNSET = ("", "???", None)  # the three ways a TAO spec says "no value"
MAX_COUNT = 2**31 - 1  # a finite upper bound for searchable counts, where TAO writes infinity


def is_set(value: object) -> bool:
    """True when a string setting holds a value (TAO writes no value as '', '???' or null)."""
    return value not in UNSET


def setting(
    default: Any,
    description: str,
    *,
    title: str | None = None,
    minimum: float | None = None,
    maximum: float | None = None,
    popular: bool = False,
    searchable: bool = False,
    automl_range: tuple[float, float] | None = None,
    automl_scale: Literal["linear", "log"] | None = None,
    automl_when: Mapping[str, list[Any]] | None = None,
    option_weights: list[float] | None = None,
    math_cond: str | None = None,
    depends_on: str | None = None,
    parent_param: bool = False,
    secret: bool = False,
    map_value: bool = False,
    choices: tuple[str, ...] | None = None,
    file_suffixes: tuple[str, ...] | None = None,
) -> Any:
    """Declare one setting; what is said here becomes the leaf of the JSON Schema.

    ``searchable`` is TAO's ``automl_enabled``. ``automl_range`` and ``automl_scale`` say where a search looks, which is
    narrower than ``minimum``/``maximum``, what is valid; without ``searchable`` a search does so where a recipe asks it to.
    ``automl_when`` names the values of other settings under which this one has any effect. ``map_value`` marks an open map
    (such as the label map): one value, replaced as a whole. ``choices`` with ``file_suffixes`` make a text that is one of
    the names or a path ending in one of the suffixes.
    """
    metadata = {
        "title": title,
        "description": description,
        "minimum": minimum,
        "maximum": maximum,
        "popular": popular,
        "automl_enabled": searchable,
        "automl_range": list(automl_range) if automl_range else None,
        "automl_scale": automl_scale,
        "automl_when": dict(automl_when) if automl_when else None,
        "option_weights": option_weights,
        "math_cond": math_cond,
        "depends_on": depends_on,
        "parent_param": parent_param,
        "secret": secret,
        "map_value": map_value,
        "choices": choices,
        "file_suffixes": file_suffixes,
    }
    if isinstance(default, dict):
        return field(default_factory=lambda: dict(default), metadata=metadata)
    return field(default=default, metadata=metadata, repr=not secret)  # settings may be printed: in an error, in a log


def section(cls: type, description: str) -> Any:
    """Declare a nested group of settings."""
    return field(default_factory=cls, metadata={"description": description})


T = TypeVar("T")


def from_dict(cls: type[T], values: Mapping[str, Any]) -> T:
    """Turn a nested dict into the dataclass ``cls``, strictly: unknown keys and wrong types are all reported at once.

    Raises:
        SpecError: with one line per problem.
    """
    problems: list[str] = []
    built = _build(cls, values, "", problems)
    if problems:
        raise SpecError(problems)
    return typing.cast(T, built)


def _build(cls: Any, values: object, path: str, problems: list[str]) -> Any:
    if not isinstance(values, Mapping):
        problems.append(f"{path or 'the spec'}: expected a mapping, got {values!r}")
        return None
    hints = typing.get_type_hints(cls)
    fields = {f.name: f for f in dataclasses.fields(cls)}
    problems += [
        f"{_join(path, str(k))}: unknown setting; allowed here: {', '.join(fields)}" for k in values if k not in fields
    ]
    kwargs = {
        name: _convert(hints[name], values[name], _join(path, name), problems, f.metadata)
        for name, f in fields.items()
        if name in values
    }
    return cls(**kwargs)


def _convert(hint: Any, value: Any, path: str, problems: list[str], metadata: Mapping[str, Any]) -> Any:
    if dataclasses.is_dataclass(hint):
        return _build(hint, value, path, problems)
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        if value is None:
            return None
        return _convert(next(a for a in arguments if a is not type(None)), value, path, problems, metadata)
    if origin is Literal:
        if value not in arguments:
            problems.append(f"{path}: {value!r} is not one of {', '.join(map(str, arguments))}")
        return value
    if origin is tuple:
        if not isinstance(value, list | tuple):
            problems.append(f"{path}: expected a list, got {value!r}")
            return ()
        return tuple(_convert(arguments[0], v, f"{path}[{i}]", problems, {}) for i, v in enumerate(value))
    if origin is dict:
        if not isinstance(value, Mapping):
            problems.append(f"{path}: expected a mapping, got {value!r}")
            return {}
        return {str(k): _convert(arguments[1], v, _join(path, str(k)), problems, {}) for k, v in value.items()}
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if not isinstance(value, hint) or (hint is int and isinstance(value, bool)):
        problems.append(f"{path}: expected {hint.__name__}, got {value!r}")
        return value
    if said := _not_allowed(value, metadata):
        problems.append(f"{path}: {value!r} {said}")
    return value


def _not_allowed(value: Any, metadata: Mapping[str, Any]) -> str:
    """What speaks against a value of the right type; empty when nothing does."""
    low, high = metadata.get("minimum"), metadata.get("maximum")
    if (low is not None and not value >= low) or (high is not None and not value <= high):
        return f"is out of bounds; allowed: {f'at least {low}' if high is None else f'between {low} and {high}'}"
    choices, suffixes = metadata.get("choices"), metadata.get("file_suffixes") or ()
    if choices and value not in choices and not value.endswith(suffixes):
        return f"is not one of {', '.join(choices)}, nor a path ending in {', '.join(suffixes)}"
    return ""


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
