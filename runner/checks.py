"""What a skill itself says of a spec before a job: what contradicts itself, as no schema can tell, and how a recipe gives way.

The skill names the function in ``checks`` of skill_info.yaml, and its trainer keeps the same rules. Knows none of them.
"""

from __future__ import annotations

import importlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from runner import spec as specs
from runner.errors import Problem, SchemaInvalid
from runner.recipe import NONE, Recipe
from runner.schema import ActionSchema
from runner.skill import Action

FITTED = ", fitted"  # after the source of a recipe's value that gave way


class Settled(NamedTuple):
    """A spec whose recipe gave way where it could, the sources, what is wrong all the same, and what should be heard.

    ``idle`` holds the reason for each setting that a search would vary in vain, ``bounds`` the most that it should try of one,
    with the reason.
    """

    spec: dict[str, Any]
    sources: dict[str, str]
    problems: list[Problem]
    notes: list[str]
    idle: dict[str, str]
    bounds: dict[str, tuple[float, str]]


def settle(
    action: Action,
    spec: dict[str, Any],
    sources: dict[str, str],
    schema: ActionSchema,
    *,
    recipe: Recipe | None = None,
    known: Sequence[Problem] = (),
    variants: Sequence[Mapping[str, Any]] = (),
) -> Settled:
    """Ask the skill about ``spec``.

    Where a value of the recipe stands against another's word and there is one way in which it gives way, it does, with a
    note. ``known`` are problems found already: of those settings nothing more is said. ``variants`` are dotted settings that
    take the place of the spec's, as in the trainings of a series; each is looked at.

    Raises:
        SchemaInvalid: the function that the skill names is not there.
    """
    if not action.checks or not schema.leaves():
        return Settled(spec, sources, [], [], {}, {})
    look = _function(action)
    silent = {problem.path.partition("[")[0] for problem in known}
    whole = _mended(spec, silent, schema)
    spec, sources = specs.merge(spec, {}), dict(sources)
    notes: list[str] = []
    while True:
        found = _looked(look, whole, variants or ({},))
        heard = [one for one in found["problems"] if not silent & {one["key"], *one["others"]}]
        way = next(_ways(heard, sources, recipe), None)
        if way is None or recipe is None:
            wrong = [_problem(one, spec, sources, recipe) for one in heard]
            return Settled(spec, sources, wrong, [*notes, *found["notes"]], found["idle"], found["bounds"])
        one, key, value = way
        said = f"{one['key']} {one['says']}"
        notes.append(f"The recipe {recipe.name} gives way: {key} is {value}, not {specs.get(spec, key)}, since {said}.")
        sources[key] = recipe.source + FITTED
        for target in (spec, whole):
            specs.set_(target, key, value)


def ways(action: Action, spec: Mapping[str, Any], schema: ActionSchema) -> list[tuple[str, list[tuple[str, Any]]]]:
    """What the skill finds wrong with a spec, each with the settings and values by which it would give way."""
    if not action.checks or not schema.leaves():
        return []
    found = _function(action)(_mended(spec, (), schema))["problems"]
    return [(f"{one['key']} {one['says']}", [(key, value) for key, value in one["ways"]]) for one in found]


def whole(action: Action, recipe: Recipe, schema: ActionSchema) -> list[Problem]:
    """What the skill finds wrong with a recipe over the template, before anybody else says a word."""
    spec = specs.merge(schema.defaults(), schema.coerce(recipe.spec), schema.map_leaves())
    return settle(action, spec, {}, schema).problems


def _function(action: Action) -> Any:
    module, _, name = action.checks.partition(":")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise SchemaInvalid(f"skill_info actions.{action.name}.checks: {action.checks} cannot be loaded: {error}") from None


def _mended(spec: Mapping[str, Any], wrong: Collection[str], schema: ActionSchema) -> dict[str, Any]:
    """A whole spec of the right types: what is wrong, or missing, is at its default."""
    whole = schema.defaults()
    for key in schema.leaves():
        if specs.has(spec, key) and not _within(key, wrong):
            specs.set_(whole, key, specs.get(spec, key))
    return whole


def _within(key: str, paths: Collection[str]) -> bool:
    return any(key == path or key.startswith(f"{path}.") for path in paths)


def _looked(look: Any, whole: Mapping[str, Any], variants: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What is found in the spec with each of the variants; what is told of a search, with the first."""
    told = []
    for variant in variants:
        one: dict[str, Any] = specs.merge(whole, {}) if variant else dict(whole)
        for key, value in variant.items():
            specs.set_(one, key, value)
        told.append(look(one))
    problems = {str(problem): problem for found in told for problem in found["problems"]}
    bounds = {key: (most, str(why)) for key, (most, why) in told[0].get("bounds", {}).items()}
    return {"problems": list(problems.values()), "idle": told[0]["idle"], "bounds": bounds, "notes": told[0].get("notes", [])}


def _ways(
    heard: Sequence[Mapping[str, Any]], sources: Mapping[str, str], recipe: Recipe | None
) -> Iterator[tuple[Mapping[str, Any], str, Any]]:
    """The values of the recipe that would give way: (what is wrong, setting, value)."""
    for one in heard:
        own = [(key, value) for key, value in one["ways"] if recipe and sources.get(key) == recipe.source]
        if len(own) == 1:
            yield one, *own[0]


def _problem(one: Mapping[str, Any], spec: Mapping[str, Any], sources: Mapping[str, str], recipe: Recipe | None) -> Problem:
    """What is wrong, and which of it is the recipe's."""
    keys = dict.fromkeys([one["key"], *one["others"]])
    theirs = [key for key in keys if recipe and sources.get(key) == recipe.source]
    if recipe is None or not theirs:
        return Problem(one["key"], one["says"])
    values = " and ".join(f"{key}={specs.get(spec, key)}" for key in theirs)
    ways = " ".join(f"--set {key}=VALUE" for key in theirs)
    return Problem(
        one["key"],
        f"{one['says']}. The recipe {recipe.name} says {values}: overrule it with {ways}, or leave it out with --recipe {NONE}",
    )
