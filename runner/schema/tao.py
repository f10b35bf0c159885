"""TAO's own dialect of JSON Schema (int, categorical, collection, bare Infinity) turned into the standard one.

Pure: documents in, documents out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

_SCALARS = {"int": "integer", "float": "number", "bool": "boolean", "string": "string"}
_CHOICES = {"categorical": "string", "ordered": "string", "ordered_int": "integer"}
_LISTS = frozenset({"list", "subset_list", "optional_list"})
_MAPS = frozenset({"collection", "dict"})
_DIALECT = frozenset({"int", "float", "bool", "union", *_CHOICES, *_LISTS, *_MAPS})
_KEPT = (
    "title", "description", "default", "examples", "pattern", "option_weights", "math_cond", "depends_on", "popular",
    "automl_enabled", "parent_param",
)  # fmt: skip
_JSON_TYPES = {int: "integer", float: "number", bool: "boolean", str: "string"}


def is_tao(document: Mapping[str, Any]) -> bool:
    """Whether any setting has a type that only TAO's dialect knows."""
    for below in _mapping(document.get("properties")).values():
        if isinstance(below, Mapping) and (_is_dialect(below.get("type")) or is_tao(below)):
            return True
    return False


def from_tao(document: Mapping[str, Any]) -> dict[str, Any]:
    """The same schema in standard JSON Schema 2020-12, closed to unknown keys, with finite bounds only.

    What is no schema inside ``properties`` (TAO puts lists of names there) is dropped from it; ``required`` keeps only
    sections that exist.
    """
    known = _mapping(document.get("properties"))
    standard = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **_section(document),
        "required": [name for name in document.get("required", []) if isinstance(known.get(name), Mapping)],
        "default": document.get("default", {}),
        "popular": document.get("popular", {}),
    }
    for name in ("automl_default_parameters", "automl_disabled_parameters"):
        standard[name] = sorted(document.get(name, []))
    if "x_tao_schema" in document:
        standard["x_tao_schema"] = document["x_tao_schema"]
    return standard


def _section(node: Mapping[str, Any]) -> dict[str, Any]:
    kept = {name: node[name] for name in ("title", "description") if name in node}
    properties = {k: _node(v) for k, v in _mapping(node.get("properties")).items() if isinstance(v, Mapping)}
    return {**kept, "type": "object", "properties": properties, "additionalProperties": False}


def _node(node: Mapping[str, Any]) -> dict[str, Any]:
    if node.get("type") in ("object", *_MAPS):
        if _mapping(node.get("properties")):
            return {**_section(node), **({"default": node["default"]} if "default" in node else {})}
        return {**_annotations(node), "type": "object", "x-replace": True}
    return {**_annotations(node), **_value(node)}


def _value(node: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a leaf that says what is valid."""
    kind = str(node.get("type", ""))
    choices = list(node.get("enum") or [])
    if kind == "union":
        types = [{"type": _SCALARS[t]} for t in node.get("union_types", []) if t in _SCALARS]
        return {"anyOf": types} if types else {}
    if kind == "list" or kind in _LISTS or kind.startswith("list_"):
        return _list(node, kind, choices)
    value: dict[str, Any] = {"type": _SCALARS.get(kind) or _CHOICES.get(kind) or "string"}
    if choices:
        value["enum"] = choices
    bounds = {name: node[name] for name in ("minimum", "maximum") if _is_finite(node.get(name))}
    nullable = node.get("default") is None or (kind == "string" and not choices)
    return ({"anyOf": [value, {"type": "null"}]} if nullable else value) | bounds


def _list(node: Mapping[str, Any], kind: str, choices: list[Any]) -> dict[str, Any]:
    default = node.get("default")
    kinds = {_JSON_TYPES.get(type(item)) for item in default} if isinstance(default, list) else set()
    items = {"enum": choices} if choices else {"type": kinds.pop()} if len(kinds) == 1 else {}
    array = {"type": "array", "items": {} if items.get("type") is None and not choices else items}
    return {"anyOf": [array, {"type": "null"}]} if kind == "optional_list" or default is None else array


def _annotations(node: Mapping[str, Any]) -> dict[str, Any]:
    """What is said beside validity. A search range is there only where both bounds are finite."""
    kept = {name: node[name] for name in _KEPT if node.get(name) not in (None, "")}
    kept |= {"default": node["default"]} if "default" in node else {}
    if isinstance(kept.get("automl_enabled"), str):
        kept["automl_enabled"] = kept["automl_enabled"].upper() == "TRUE"
    bounds = [node.get("minimum"), node.get("maximum")]
    if kept.get("automl_enabled") and all(_is_finite(bound) for bound in bounds):
        kept |= {"automl_range": bounds, "automl_scale": "linear"}
    return kept


def _is_dialect(kind: object) -> bool:
    return isinstance(kind, str) and (kind in _DIALECT or kind.startswith("list_"))


def _is_finite(bound: object) -> bool:
    return isinstance(bound, int | float) and not isinstance(bound, bool) and math.isfinite(bound)


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
