"""Whether a spec is certainly valid, by the few keywords that generated schemas use; the engine has the word on all else.

Loading the engine takes a third of the time of a plan, and most specs are valid. So this says yes only to what every reading of
JSON Schema says yes to, and never says what is wrong: a no means "ask the engine".
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

DRAFT = "https://json-schema.org/draft/2020-12/schema"
EXACT = 2**53  # whole numbers below it are the same as floats

# What describes a setting and asks nothing of its value.
SILENT = frozenset({
    "title", "description", "default", "examples", "readOnly", "writeOnly", "popular", "math_cond", "depends_on",
    "parent_param", "option_weights", "x_tao_schema", "schema_version", "network_arch", "action", "schema_action",
    "core_module", "source",
})  # fmt: skip
SILENT_PREFIXES = ("automl_", "x-")


def accepts(schema: Any, value: Any) -> bool:
    """Whether ``value`` is valid beyond doubt; False where it is not, and where the schema holds more than is known here."""
    if type(schema) is not dict:
        return schema is True
    for keyword, said in schema.items():
        rule = RULES.get(keyword)
        if rule is not None:
            if not rule(said, value, schema):
                return False
        elif keyword not in SILENT and not keyword.startswith(SILENT_PREFIXES):
            return False
    return True


def _is_number(value: Any) -> bool:
    return (type(value) is int and abs(value) < EXACT) or (type(value) is float and math.isfinite(value))


KINDS: dict[str, Callable[[Any], bool]] = {
    "null": lambda value: value is None,
    "boolean": lambda value: type(value) is bool,
    "integer": lambda value: type(value) is int and abs(value) < EXACT,
    "number": _is_number,
    "string": lambda value: type(value) is str,
    "array": lambda value: type(value) is list,
    "object": lambda value: type(value) is dict and all(type(key) is str for key in value),
}


def _type(said: Any, value: Any, _: Any) -> bool:
    kind = KINDS.get(said) if type(said) is str else None
    return kind is not None and kind(value)


def _enum(said: Any, value: Any, _: Any) -> bool:
    plain = type(value) in (str, bool, int, float, type(None))
    return plain and type(said) is list and any(type(choice) is type(value) and choice == value for choice in said)


def _minimum(said: Any, value: Any, _: Any) -> bool:
    return _is_number(said) and _is_number(value) and bool(value >= said)


def _maximum(said: Any, value: Any, _: Any) -> bool:
    return _is_number(said) and _is_number(value) and bool(value <= said)


def _any_of(said: Any, value: Any, _: Any) -> bool:
    return type(said) is list and any(accepts(choice, value) for choice in said)


def _items(said: Any, value: Any, _: Any) -> bool:
    return type(value) is list and all(accepts(said, item) for item in value)


def _properties(said: Any, value: Any, _: Any) -> bool:
    return KINDS["object"](value) and type(said) is dict and all(accepts(said[key], value[key]) for key in value if key in said)


def _additional(said: Any, value: Any, schema: Any) -> bool:
    known = schema.get("properties", {})
    return (
        KINDS["object"](value) and type(known) is dict and all(accepts(said, value[key]) for key in value if key not in known)
    )


def _required(said: Any, value: Any, _: Any) -> bool:
    return KINDS["object"](value) and type(said) is list and all(type(name) is str and name in value for name in said)


def _draft(said: Any, value: Any, _: Any) -> bool:
    return bool(said == DRAFT)


RULES: dict[str, Callable[[Any, Any, Any], bool]] = {
    "$schema": _draft,
    "type": _type,
    "enum": _enum,
    "minimum": _minimum,
    "maximum": _maximum,
    "anyOf": _any_of,
    "items": _items,
    "properties": _properties,
    "additionalProperties": _additional,
    "required": _required,
}
