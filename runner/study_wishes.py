"""The words of ``--search`` as ways to vary settings, and what is wrong with them. Knows schemas and skills, no plans."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from runner import spec as specs
from runner.errors import Problem, UsageError
from runner.recipe import Recipe
from runner.schema import ActionSchema, Wish
from runner.schema.words import Leaf, choices_of, types_of
from runner.skill import Action, Skill

FORMS = "KEY=log:0.001..0.3, KEY=1..10, KEY=a,b,c, or KEY alone for the range of the schema"
_NUMBER = r"[-+]?(?:\d+(?:\.\d+)?|\.\d+)(?:[eE][-+]?\d+)?"
_SPAN = re.compile(rf"(?:(log|linear):)?({_NUMBER})\.\.({_NUMBER})")


class Given(NamedTuple):
    """What the plan of a search is made from, beside the words."""

    skill: Skill
    action: Action
    schema: ActionSchema
    spec: Mapping[str, Any]
    recipe: Recipe | None
    idle: Mapping[str, str]  # settings that a search would vary in vain, with the reason
    bounds: Mapping[str, tuple[float, str]]  # the most to try of a setting, with the reason


def unknown(given: Given, key: str) -> Problem:
    """The problem of a key that is no setting."""
    near = specs.nearest(key, given.schema.leaves())
    return Problem(key, "no such setting" + (f", did you mean {' or '.join(near)}?" if near else ""), searchable(given.schema))


def searchable(schema: ActionSchema) -> str:
    """The settings that have a search range of their own."""
    ranged = [key for key, leaf in schema.leaves().items() if leaf.get("automl_range")]
    return ", ".join(ranged) or "numbers, switches and choices, with what is to be tried"


def _protected(given: Given, keys: Mapping[str, str]) -> dict[str, str]:
    """Settings that no search may vary, with the reason."""
    series = (given.skill.info.get("series") or {}).get(given.action.name) or {}
    same = "trials that differ in it cannot be compared"
    found = dict.fromkeys(
        [*given.action.inputs, *given.action.outputs, *given.action.spec_params, *given.action.data_sources],
        "it says what is trained on or where results go",
    )
    found |= dict.fromkeys(given.schema.secrets(), "it is a secret") | {given.skill.gpu_spec_key: "it is of the machine"}
    found |= {str(series[name]): same for name in ("folds", "fold", "share", "seed") if name in series}
    own = {"epochs": "it is the budget of a training: see --budget epochs=N", "seed": same}
    return found | {key: own.get(name, "the search steers it itself") for name, key in keys.items()}


def read(key: str, said: str | None, given: Given, keys: Mapping[str, str]) -> Wish | Problem | None:
    """How ``--search KEY=said`` wants a setting varied, or what is wrong with it."""
    leaf = given.schema.leaves().get(key)
    if leaf is None:
        return unknown(given, key)
    if why := _protected(given, keys).get(key):
        return Problem(key, f"it is not searched: {why}", searchable(given.schema))
    if said is None:
        return _as_the_schema(key, leaf)
    found = _SPAN.fullmatch(said.strip())
    if found:
        return _span(key, leaf, found[1], found[2], found[3])
    if ".." in said or said.startswith(("log:", "linear:")):
        return Problem(key, f"{said!r} is no range", FORMS)
    return _choices(key, said, given)


def _as_the_schema(key: str, leaf: Leaf) -> Wish | Problem | None:
    if leaf.get("automl_range") or leaf.get("automl_enabled"):
        return None
    if choices := choices_of(leaf) or ([False, True] if "boolean" in types_of(leaf) else []):
        return Wish(choices=tuple(choices))
    return Problem(key, "it has no search range of its own", f"{key}=LOW..HIGH or {key}=A,B,C")


def _span(key: str, leaf: Leaf, scale: str | None, low_text: str, high_text: str) -> Wish | Problem:
    if not types_of(leaf) & {"integer", "number"}:
        choices = ", ".join(map(str, choices_of(leaf)))
        return Problem(key, "it is no number and has no range", choices or f"{key}=A,B,C")
    low, high = float(low_text), float(high_text)
    if "number" not in types_of(leaf) and not (low.is_integer() and high.is_integer()):
        return Problem(key, f"{low_text}..{high_text}: it takes whole numbers")
    if low >= high:
        return Problem(key, f"{low_text}..{high_text}: the range is empty", "LOW..HIGH with LOW below HIGH")
    if problem := _bounds(key, leaf, low, high):
        return problem
    own = leaf.get("automl_scale") or "linear"
    scale = scale or (own if low > 0 else "linear")
    if scale == "log" and low <= 0:
        return Problem(key, f"log:{low_text}..{high_text}: a logarithmic range begins above 0")
    whole = "number" not in types_of(leaf)
    return Wish((int(low), int(high)) if whole else (low, high), scale)


def _bounds(key: str, leaf: Leaf, low: float, high: float) -> Problem | None:
    least, most = leaf.get("minimum"), leaf.get("maximum")
    over, under = leaf.get("exclusiveMinimum"), leaf.get("exclusiveMaximum")
    below = (least is not None and low < least) or (over is not None and low <= over)
    beyond = (most is not None and high > most) or (under is not None and high >= under)
    if not below and not beyond:
        return None
    limits = {"{:g} or more": least, "more than {:g}": over, "{:g} or less": most, "less than {:g}": under}
    said = [words.format(limit) for words, limit in limits.items() if limit is not None]
    return Problem(key, f"the range {low:g}..{high:g} lies outside what it takes", " and ".join(said))


def _choices(key: str, said: str, given: Given) -> Wish | Problem:
    try:
        values = specs.parse_value(f"[{said}]")
    except UsageError as error:
        return Problem(key, f"{said!r} cannot be read: {error.message}", FORMS)
    found = []
    for value in values:
        spec: dict[str, Any] = {}
        specs.set_(spec, key, value)
        spec = given.schema.coerce(spec)
        wrong = [problem for problem in given.schema.problems(spec) if problem.path.partition("[")[0] == key]
        if wrong:
            return Problem(key, f"--search {value}: {wrong[0].says}", wrong[0].allowed)
        found.append(specs.get(spec, key))
    if len(found) < 2 or any(found[i] in found[:i] for i in range(len(found))):
        return Problem(key, f"{said!r}: a search needs two choices or more, each once", FORMS)
    return Wish(choices=tuple(found))
