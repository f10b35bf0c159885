"""The layers of a spec laid over each other: defaults, recipe, spec file, data set, command line; each value's source.

Reads spec files and looks which files a data set holds. Knows no jobs, parents or routes.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from runner import datafolder
from runner import recipe as recipes
from runner import spec as specs
from runner.datafolder import DataFolder
from runner.errors import Problem, SpecInvalid, StorageError, UsageError
from runner.schema import ActionSchema, split_sections
from runner.skill import Action, Skill

UNSET = ("", "???", None)  # TAO's ways of saying "no value"
ADDRESSES = "a local path or s3://bucket/key"


class Given(NamedTuple):
    """What the user gives for one spec."""

    spec_file: Path | None = None
    dataset: str | None = None
    overrides: tuple[str, ...] = ()
    resumed: Mapping[str, Any] | None = None  # the spec of the job to go on with, as far as it carries over
    recipe: recipes.Recipe | None = None


class Composed(NamedTuple):
    """A spec with the source of every value that is not the default, what was set aside, and what was found wrong."""

    spec: dict[str, Any]
    sources: dict[str, str]
    aside: dict[str, Any]
    problems: list[Problem]
    notes: list[str]
    unfit: list[Problem]  # settings of the recipe that were taken back, with the reason


Layer = tuple[dict[str, Any], str]


def compose(given: Given, skill: Skill, action: Action, schema: ActionSchema) -> Composed:
    """Lay the layers over each other; a later one wins: defaults, recipe, spec file, data set, command line.

    Sections that belong to other actions of the skill are checked against those and set aside.

    Raises:
        SpecInvalid, UsageError, InputMissing, StorageError: a file, an override or a folder that cannot be read at all.
        SchemaInvalid: the recipe does not fit the schema.
    """
    recipe = given.recipe
    if recipe:
        recipes.check(recipe, schema)
    siblings = {**skill.schemas(), action.name: schema}
    maps = {key for sibling in siblings.values() for key in sibling.map_leaves()}
    read = specs.read(given.spec_file, maps=maps) if given.spec_file else {}
    in_file, aside, problems = _own(read, action.name, siblings)
    words, found = _words(given, skill, maps)
    in_words, more, wrong = _own(words, action.name, siblings)
    aside = specs.merge(aside, more)
    notes: list[str] = []
    data = _from_dataset(given.dataset, action, _set_keys(in_file) | _set_keys(in_words), notes)
    layers = [(dict(given.resumed or {}), "resumed"), (in_file, "file"), (data, "dataset"), (in_words, "user")]
    spec, sources = _lay([(recipe.spec, recipe.source), *layers] if recipe else layers, schema, maps)
    spec, sources, unfit = recipes.fit(recipe, spec, sources, schema) if recipe else (spec, sources, [])
    if aside:
        notes.append(f"Sections of other actions were checked and set aside: {', '.join(sorted(aside))}.")
    return Composed(spec, sources, aside, [*problems, *found, *wrong], notes, unfit)


def _own(
    spec: dict[str, Any], action: str, siblings: Mapping[str, ActionSchema]
) -> tuple[dict[str, Any], dict[str, Any], list[Problem]]:
    """Part the sections of other actions off; where the action's own schema is missing, nobody can tell, and all is its own."""
    if not siblings[action].sections():
        return spec, {}, []
    return split_sections(spec, action, siblings)


def _words(given: Given, skill: Skill, maps: Collection[str]) -> tuple[dict[str, Any], list[Problem]]:
    """The command line's overrides, nested."""
    pairs = [specs.parse_override(text) for text in given.overrides]
    words: dict[str, Any] = {}
    problems: list[Problem] = []
    for key, value in specs.expand_shorthand(pairs, skill.shorthand):
        problems += _set(words, key, value, maps)
    return words, problems


def _set(spec: dict[str, Any], key: str, value: Any, known: Iterable[str]) -> list[Problem]:
    """Set a dotted key; a key below a leaf (an entry of the label map) or above leaves is a problem, said in words."""
    leaf = next((k for k in known if key.startswith(k + ".")), None)
    if leaf:
        return [Problem(key, f"{leaf} is one value", f"{leaf}={{name: 0, other: 1}}")]
    try:
        specs.set_(spec, key, value)
    except SpecInvalid as error:
        return error.problems or [Problem(key, error.message)]
    return []


def _set_keys(spec: Mapping[str, Any]) -> set[str]:
    return {key for key, value in specs.flatten(spec, set()).items() if is_set(value)}


def dataset_values(folder: str, action: Action) -> dict[str, Any]:
    """What a data set gives to an action, by itself.

    Raises:
        UsageError: the action takes none. InputMissing, StorageError: the folder cannot be looked at.
    """
    return _from_dataset(folder, action, set(), [])


def _from_dataset(folder: str | None, action: Action, user_keys: set[str], notes: list[str]) -> dict[str, Any]:
    """The values that --dataset gives through the skill's data sources; a folder in storage is looked at, not fetched.

    Where a source names alternatives (test, else validation), all keys of the action take the same one, so that data and
    labels stay together.
    """
    if folder is None:
        return {}
    if not any("path" in rule for rule in action.data_sources.values()):
        raise UsageError(f"--dataset: {action.name} takes no data set.")
    with datafolder.opened(folder) as there:
        values, absent = _values(there, action, user_keys)
        if not there.listed:
            notes.append(
                f"{folder} may be read but not listed (s3:ListBucket), so what it holds beside the required files is not known "
                f"and not taken."
            )
        elif absent:
            problems = [Problem(key, f"no such object in storage: {uri}") for key, uri in absent.items()]
            raise StorageError(f"{folder} lacks {len(absent)} of the files that {action.name} needs.", problems=problems)
    return values


def _values(folder: DataFolder, action: Action, user_keys: set[str]) -> tuple[dict[str, Any], dict[str, str]]:
    """The values of the keys, and the addresses of those that are needed and not there in storage."""
    rules = {key: rule for key, rule in action.data_sources.items() if "path" in rule}
    choice = _alternative(rules, folder.exists)
    values: dict[str, Any] = {}
    absent: dict[str, str] = {}
    for key, declared in rules.items():
        rule = declared if "or" not in declared or folder.exists(declared["path"]) else {**declared, **declared["or"]}
        name = _nth(rule["path"], choice)
        there, needed = folder.exists(name), not rule.get("optional", False)
        if "read" in rule:
            said = key in user_keys or any(k.startswith(key + ".") for k in user_keys)
            value = datafolder.value_of(folder, name, rule) if there and not said else None
            if value is not None:
                specs.set_(values, key, value)
        elif rule.get("yields") and key in user_keys:
            continue
        elif there or needed:
            specs.set_(values, key, folder.path(name))  # a needed one even if it is not there, so that the message names it
            if not there and key not in user_keys and "://" in folder.path(name):
                absent[key] = folder.path(name)
    return values, absent


def _alternative(rules: Mapping[str, Any], exists: Callable[[str], bool]) -> int:
    lists = [rule["path"] for rule in rules.values() if isinstance(rule["path"], list) and not rule.get("optional")]
    for i in range(max((len(paths) for paths in lists), default=1)):
        if all(exists(_nth(paths, i)) for paths in lists):
            return i
    return 0


def _nth(paths: str | list[str], i: int) -> str:
    return paths if isinstance(paths, str) else paths[min(i, len(paths) - 1)]


def _lay(layers: list[Layer], schema: ActionSchema, maps: Collection[str]) -> tuple[dict[str, Any], dict[str, str]]:
    spec = schema.defaults()
    sources: dict[str, str] = {}
    for layer, source in layers:
        spec = specs.merge(spec, layer, maps)
        sources |= dict.fromkeys(specs.flatten(layer, maps), source)
    return spec, sources


def derive(spec: dict[str, Any], sources: dict[str, str], action: Action) -> tuple[dict[str, Any], list[Problem]]:
    """Values that follow from others: the count of a map, and a map of so many names when only the count is known.

    Sets them in ``spec`` and ``sources`` and returns them; a count and a map that contradict each other are a problem.
    """
    derived: dict[str, Any] = {}
    problems: list[Problem] = []
    for key, rule in action.data_sources.items():
        other = rule.get("of")
        if not other or _is_default(sources, other):
            continue
        value = _follows(rule, specs.get(spec, other), specs.get(spec, key))
        if value is None or value == specs.get(spec, key):
            continue
        if _is_default(sources, key):
            derived[key] = value
        elif rule.get("read") == "count":
            problems.append(Problem(key, f"is {specs.get(spec, key)}, but {other} has {value} entries", str(value)))
    for key, value in derived.items():
        specs.set_(spec, key, value)
        sources[key] = f"inferred:from {action.data_sources[key]['of']}"
    return derived, problems


def _follows(rule: Mapping[str, Any], other: Any, own: Any) -> Any:
    if rule.get("read") == "count" and isinstance(other, Mapping):
        return len(other)
    if "otherwise" in rule and type(other) is int and 0 < other <= 100_000 and other != len(own or {}):
        return {f"{rule['otherwise']}_{i}": i for i in range(other)}
    return None


def _is_default(sources: Mapping[str, str], key: str) -> bool:
    return is_default(sources.get(key, "template"))


def is_default(source: str) -> bool:
    """Whether a value of this source was said by nobody: what is inferred goes before it."""
    return source == "template" or source.startswith("recipe:")


def absolute(spec: dict[str, Any], keys: Iterable[str]) -> None:
    """Local paths of inputs and outputs become absolute, so that a job means the same from any folder."""
    for key in keys:
        value = specs.get(spec, key)
        if isinstance(value, str) and is_set(value) and "://" not in value:
            specs.set_(spec, key, os.path.abspath(os.path.expanduser(value)))


def file_keys(spec: Mapping[str, Any], action: Action, schema: ActionSchema) -> list[str]:
    """The declared inputs, less those that hold a name and no path."""
    return [key for key in action.inputs if not is_set(value := specs.get(spec, key)) or schema.is_file(key, value)]


def inputs(
    spec: dict[str, Any], action: Action, schema: ActionSchema, sources: Mapping[str, str]
) -> tuple[list[dict[str, Any]], list[Problem], list[Problem]]:
    """The declared inputs, those required but not given, and those given but not there.

    What the parent ran with is no input: it describes the model, and the model carries it.
    """
    inputs, missing, absent = [], [], []
    for key in file_keys(spec, action, schema):
        value, facts = specs.get(spec, key), action.inputs[key]
        if sources.get(key) == "inferred:parent_spec":
            continue
        if not is_set(value):
            if not facts.get("optional"):
                missing.append(Problem(key, "is required and has no value", _how(key, action)))
            continue
        inputs.append({"key": key, "uri": value, "source": sources.get(key, "template")})
        if isinstance(value, str) and "://" not in value and not os.path.exists(value):
            absent.append(Problem(key, f"no such file: {value}"))
        elif isinstance(value, str) and is_foreign(value):
            absent.append(Problem(key, f"{value}: this kind of address is not supported", ADDRESSES))
    return inputs, missing, absent


def is_foreign(value: str) -> bool:
    """An address of a kind that nothing here reads or writes, such as https://."""
    return "://" in value and not value.startswith("s3://")


def _how(key: str, action: Action) -> str:
    ways = [f"--set {key}=PATH"]
    if key in action.data_sources:
        ways.insert(0, "--dataset DIR")
    if str(action.spec_params.get(key, "")).startswith("parent_model"):
        ways.insert(0, "--parent JOB")
    return " or ".join(ways)


def is_set(value: object) -> bool:
    """Whether a setting holds a value."""
    return bool(value) if isinstance(value, dict | list) else value not in UNSET
