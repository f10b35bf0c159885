"""What is accepted without the engine is what the engine accepts; the specs that people have are among it."""

from __future__ import annotations

import copy
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from runner import bank
from runner.schema.accept import DRAFT, accepts

SKILL = bank.get("tao-train-pose-classification")
NUMBERS = st.integers(-3, 3) | st.sampled_from([0.0, 1.0, -1.5, 2.0, 1e300, 2**53, 2**63, -(2**53)])
SCALARS = NUMBERS | st.booleans() | st.none() | st.sampled_from(["", "a", "b", "1"])
VALUES = st.recursive(
    SCALARS,
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.sampled_from("abc"), below, max_size=3),
    max_leaves=6,
)
TYPES = st.sampled_from(["null", "boolean", "integer", "number", "string", "array", "object"])


def schemas_over(below: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    optional = {
        "type": TYPES,
        "enum": st.lists(VALUES, min_size=1, max_size=3),
        "minimum": NUMBERS,
        "maximum": NUMBERS,
        "anyOf": st.lists(below, min_size=1, max_size=2),
        "items": below,
        "properties": st.dictionaries(st.sampled_from("abc"), below, max_size=2),
        "additionalProperties": below,
        "required": st.lists(st.sampled_from("abc"), max_size=2, unique=True),
        "pattern": st.just("a"),
        "not": below,
        "const": VALUES,
        "exclusiveMinimum": NUMBERS,
        "minItems": st.integers(0, 2),
        "title": st.just("T"),
        "x-replace": st.just(True),
    }
    return st.lists(st.sampled_from(sorted(optional)), max_size=3, unique=True).flatmap(
        lambda names: st.fixed_dictionaries({name: optional[name] for name in names})
    )


SCHEMAS = st.recursive(st.booleans() | schemas_over(st.booleans()), schemas_over, max_leaves=5)


@given(SCHEMAS, VALUES)
@example({"type": "integer"}, 1.0)
@example({"enum": [1]}, True)
@example({"minimum": 0}, "a")
@example({"type": "number", "minimum": 2**53}, 2**53 + 1)
def test_what_is_accepted_is_valid(schema: Any, value: Any) -> None:
    if accepts(schema, value):
        assert jsonschema_rs.Draft202012Validator(schema).is_valid(value)


@pytest.mark.parametrize("action", SKILL.actions)
def test_valid_specs_need_no_engine(action: str) -> None:
    schema = SKILL.schema(action)
    assert accepts(schema.document, schema.coerce(schema.defaults()))


@pytest.mark.parametrize("action", SKILL.actions)
@given(data=st.data())
def test_a_value_changed_in_a_real_spec(action: str, data: st.DataObject) -> None:
    schema = SKILL.schema(action)
    spec = copy.deepcopy(schema.defaults())
    place = spec
    *above, last = data.draw(st.sampled_from(sorted(schema.leaves()))).split(".")
    for name in above:
        place = place[name]
    place[last] = data.draw(VALUES | st.sampled_from([1234, 0.5, "fp32", "a.yaml", "torch.optim.AdamW", ["joint", "bone"]]))
    if accepts(schema.document, spec):
        assert schema._engine().is_valid(spec)


@pytest.mark.parametrize(
    "broken",
    [
        {"type": "strng"},
        {"type": ["string"]},
        {"minimum": "3"},
        {"enum": "a"},
        {"anyOf": {}},
        {"properties": []},
        {"required": "a"},
        {"$schema": "http://json-schema.org/draft-04/schema#"},
        {"$ref": "#/x"},
        {"patternProperties": {"a": False}},
        "a",
        None,
    ],
)
def test_what_is_not_known_for_sure_is_left_to_the_engine(broken: Any) -> None:
    assert not any(accepts(broken, value) for value in ("a", 1, {}, [], {"a": 1}, None))


def test_a_draft_and_words_about_a_setting_ask_nothing() -> None:
    assert accepts({"$schema": DRAFT, "title": "T", "automl_range": [0, 1], "x-replace": True, "type": "string"}, "a")
    assert not accepts({"constant": 1}, 1)
