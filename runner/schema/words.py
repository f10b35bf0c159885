"""What a schema and its validator find, in the bank's words. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from runner import spec as specs
from runner.errors import Problem

Leaf = Mapping[str, Any]
_WORDS = {
    "integer": "an integer",
    "number": "a number",
    "boolean": "true or false",
    "string": "text",
    "array": "a list",
    "object": "a mapping",
    "null": "null",
}


def at(node: Any, where: list[Any]) -> Mapping[str, Any]:
    """The schema of the value at ``where``; an empty one when there is none."""
    for name in where:
        for branch in node.get("anyOf", [])[:1]:
            node = branch
        if isinstance(name, int):
            node = node.get("items", {})
        else:
            extra = node.get("additionalProperties")
            node = node.get("properties", {}).get(name, extra if isinstance(extra, dict) else {})
    return node if isinstance(node, Mapping) else {}


def explain(document: Mapping[str, Any], where: list[str | int], kind: Any, value: Any) -> Problem:
    """One error of the validating engine: what is wrong with the ``value`` at ``where``, and what is allowed."""
    details = {**kind.as_dict(), "keyword": kind.name, "value": value}
    return _EXPLAIN.get(kind.name, _other)(dotted(where), details, at(document, where))


def unknown(document: Mapping[str, Any], key: str, known: Iterable[str]) -> Problem:
    """The problem of a ``key`` that is not among the ``known`` settings."""
    names = list(known)
    sections = {name[:i] for name in names for i, letter in enumerate(name) if letter == "."}
    if near := specs.nearest(key, [*names, *sorted(sections)]):
        return Problem(key, f"no such setting, did you mean {' or '.join(near)}?")
    section = key.rpartition(".")[0]
    inside = at(document, list(section.split(".")) if section else []).get("properties", document["properties"])
    return Problem(key, "no such setting", ", ".join(inside))


def types_of(leaf: Leaf) -> set[str]:
    """The JSON types a setting takes."""
    branches = leaf.get("anyOf", [leaf])
    return {branch["type"] for branch in branches if isinstance(branch.get("type"), str)}


def choices_of(leaf: Leaf) -> list[Any]:
    """The choices of a setting; empty when it is no choice."""
    return [value for branch in leaf.get("anyOf", [leaf]) for value in branch.get("enum", [])]


def is_file(leaf: Leaf, value: object) -> bool:
    """Whether the value of a setting is a path: any of a setting without choices, else one that its pattern takes."""
    if not (choices := choices_of(leaf)):
        return True
    patterns = [branch["pattern"] for branch in leaf.get("anyOf", []) if "pattern" in branch]
    return value not in choices and isinstance(value, str) and any(re.search(p, value) for p in patterns)


def dotted(where: list[str | int]) -> str:
    """``["train", "gpu_ids", 0]`` as ``train.gpu_ids[0]``."""
    path = ""
    for name in where:
        path += f"[{name}]" if isinstance(name, int) else f".{name}" if path else name
    return path


def _expected(leaf: Leaf) -> str:
    if choices := choices_of(leaf):
        files = [branch["description"] for branch in leaf.get("anyOf", []) if "pattern" in branch]
        return ", or ".join([", ".join(str(choice) for choice in choices), *files])
    words = " or ".join(_WORDS[t] for t in sorted(types_of(leaf), key=list(_WORDS).index))
    return words + (f" {_bounds(leaf)}" if _bounds(leaf) else "")


def _bounds(leaf: Leaf) -> str:
    low, high = leaf.get("minimum"), leaf.get("maximum")
    if low is not None and high is not None:
        return f"from {low} to {high}"
    return f"at least {low}" if low is not None else f"at most {high}" if high is not None else ""


def _wrong_type(path: str, details: Mapping[str, Any], leaf: Leaf) -> Problem:
    value = details["value"]
    if details["keyword"] == "anyOf" and choices_of(leaf):
        return _wrong_choice(path, details, leaf)
    if isinstance(value, str) and types_of(leaf) & {"integer", "number", "boolean"}:
        quoted = "" if isinstance(specs.plain(value), str) else " (quoted?)"
        return Problem(path, f"{show(value)} is text{quoted}, not {_any_of(leaf)}", _expected(leaf))
    return Problem(path, f"{show(value)} is not {_any_of(leaf)}", _expected(leaf))


def _any_of(leaf: Leaf) -> str:
    types = sorted(types_of(leaf) - {"null"}, key=list(_WORDS).index)
    return " or ".join(_WORDS[t] for t in types) or "allowed"


def _wrong_choice(path: str, details: Mapping[str, Any], leaf: Leaf) -> Problem:
    value, choices = details["value"], choices_of(leaf)
    near = specs.nearest(value, [str(c) for c in choices]) if isinstance(value, str) else []
    return Problem(
        path, f"{show(value)} is not one of the choices" + (f", did you mean {near[0]}?" if near else ""), _expected(leaf)
    )


def _out_of_bounds(path: str, details: Mapping[str, Any], leaf: Leaf) -> Problem:
    return Problem(path, f"{show(details['value'])} is out of bounds", _bounds(leaf))


def _missing(path: str, details: Mapping[str, Any], leaf: Leaf) -> Problem:
    name = str(details.get("property", "")).strip('"')
    return Problem(f"{path}.{name}" if path else name, "is missing")


def _other(path: str, details: Mapping[str, Any], leaf: Leaf) -> Problem:
    keyword = details["keyword"]
    return Problem(path, f"{show(details.get('value'))} breaks {keyword}", str(leaf.get(keyword, "")))


_EXPLAIN: dict[str, Callable[[str, Mapping[str, Any], Leaf], Problem]] = {
    "type": _wrong_type,
    "anyOf": _wrong_type,
    "enum": _wrong_choice,
    "minimum": _out_of_bounds,
    "maximum": _out_of_bounds,
    "exclusiveMinimum": _out_of_bounds,
    "exclusiveMaximum": _out_of_bounds,
    "required": _missing,
}


def show(value: Any) -> str:
    """A value in a message: as YAML would have it, and not too long."""
    shown = {None: "null", True: "true", False: "false"}[value] if isinstance(value, bool | None) else repr(value)
    return shown if len(shown) <= 60 else f"{shown[:57]}..."
