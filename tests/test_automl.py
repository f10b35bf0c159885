"""Settings as a search sees them: kinds, ranges, steps, relations, weights, and spaces that cannot be searched."""

from __future__ import annotations

import math
import random

import pytest

from runner.automl.space import make_axes
from runner.automl.strategies import unit
from runner.errors import SchemaInvalid
from runner.schema import Parameter


def parameter(key: str, kind: str = "float", low=None, high=None, **more) -> Parameter:
    fields = {"scale": "linear", "choices": (), "weights": (), "default": None, "math_cond": None}
    fields |= {"depends_on": None, "parent_param": False, "title": key}
    return Parameter(**{"key": key, "kind": kind, "low": low, "high": high, **fields, **more})


def drawn(space, count: int = 60, given=None) -> list[dict]:
    """Settings at random, their relations kept."""
    axes, source = make_axes(space), random.Random(1)
    return [unit.relate(axes, {axis.key: unit.draw(axis, source) for axis in axes}, given or {}) for _ in range(count)]


def test_every_kind_gives_values_of_its_type_within_its_range():
    space = [
        parameter("lr", low=1e-4, high=1e-1, scale="log", default=0.01),
        parameter("patience", "int", 1, 20, scale="log", default=5),
        parameter("nesterov", "bool", default=True),
        parameter("optim", "enum", choices=("SGD", "Adam"), default="Adam"),
        parameter("batch", "int", 3, 70, math_cond="/ 4", default=16),
        parameter("width", "int", 5, 300, math_cond="^ 2", default=64),
    ]
    axes = make_axes(space)
    assert all(axis.encode(axis.default) is not None for axis in axes)
    for params in drawn(space):
        assert 1e-4 <= params["lr"] <= 1e-1
        assert type(params["lr"]) is float
        assert params["patience"] in range(1, 21)
        assert type(params["nesterov"]) is bool
        assert params["optim"] in ("SGD", "Adam")
        assert params["batch"] in range(4, 69, 4)
        assert params["width"] in (8, 16, 32, 64, 128, 256)
    assert len({params["width"] for params in drawn(space)}) > 2


@pytest.mark.parametrize(
    ("depends_on", "math_cond", "kind", "holds"),
    [
        ("< lr", None, "float", lambda value, bound: value < bound),
        ("> lr", None, "float", lambda value, bound: value > bound),
        ("lr", "> depends_on", "float", lambda value, bound: value > bound),
        ("<= lr", None, "int", lambda value, bound: value <= bound),
        ("< lr", None, "int", lambda value, bound: value < bound),
        (">= lr", None, "int", lambda value, bound: value >= bound),
        ("<= lr", "/ 4", "int", lambda value, bound: value <= bound and value % 4 == 0),
        ("<= lr", "^ 2", "int", lambda value, bound: value <= bound and value in (1, 2, 4, 8, 16)),
        ("lr", None, "int", lambda _value, _bound: True),
    ],
)
def test_relations_hold_in_every_proposal(depends_on, math_cond, kind, holds):
    dependent = parameter("train.optim.min", kind, 1, 20, depends_on=depends_on, math_cond=math_cond)
    sibling = parameter("train.optim.lr", kind, 1, 20)
    pairs = [(found["train.optim.min"], found["train.optim.lr"]) for found in drawn([dependent, sibling])]
    assert all(holds(*pair) for pair in pairs)
    fixed = drawn([dependent], given={"train.optim.lr": 10})
    assert all(holds(found["train.optim.min"], 10) for found in fixed)


def test_weights_rule_what_is_drawn_and_zero_excludes():
    space = [parameter("optim", "enum", choices=("a", "b", "c"), weights=(0.0, 1e-9, 1.0), default="b")]
    assert make_axes(space)[0].encode("b") == "b"
    assert make_axes(space)[0].encode("a") is None
    assert {found["optim"] for found in drawn(space)} == {"c"}


def test_a_value_outside_the_search_has_no_place_in_it():
    lr, nesterov = make_axes([parameter("lr", low=0.001, high=0.3), parameter("nesterov", "bool", default=True)])
    assert lr.encode(5.0) is None
    assert lr.encode(True) is None
    assert nesterov.encode(1) is None
    assert nesterov.encode(False) is False


def test_everything_wrong_with_a_space_is_said_at_once():
    space = [
        parameter("a", low=0.0, high=1.0, scale="log"),
        parameter("b", "int", 5, 4),
        parameter("c", "int", 5, 7, math_cond="/ 4"),
        parameter("d", low=None, high=math.inf),
        parameter("e", "enum"),
        parameter("f", "enum", choices=("x",), weights=(0.0,)),
        parameter("g", "int", 1, 9, math_cond="% 3"),
        parameter("h", "int", 1, 9, depends_on="< i"),
        parameter("i", "int", 1, 9, depends_on="< h"),
    ]
    with pytest.raises(SchemaInvalid) as caught:
        make_axes(space)
    said = [str(problem)[0] for problem in caught.value.problems]
    assert sorted(said) == list("abcdefgh")
