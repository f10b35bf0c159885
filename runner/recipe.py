"""A recipe: values of one action's spec that proved good together, a file of the skill, laid over the template.

Reads recipe files, chooses one, and fits it to what the user said. Knows no skills, plans or jobs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from runner import ahead
from runner import spec as specs
from runner.errors import Problem, SchemaInvalid, SkillBankError, UsageError
from runner.schema import ActionSchema, Wish

FOLDER = "references/recipes"
NONE = "none"  # the word for no recipe
SEARCH = "search"  # settings that a search of the recipe varies beside those it always does, with a range or without
HEAD = {"action": str, "description": str, "spec": dict}
CONDITIONS = "only_when"  # setting of the recipe -> other settings -> the values of those under which it is set
OWN_WORD = ("user", "file")


class Recipe(NamedTuple):
    """A recipe as its file has it."""

    name: str
    action: str
    description: str
    spec: dict[str, Any]
    only_when: dict[str, dict[str, list[Any]]]
    search: Mapping[str, Wish | None]
    path: Path

    @property
    def source(self) -> str:
        """What a value of it says of where it came from."""
        return f"recipe:{self.name}"


class Choice(NamedTuple):
    """Which recipe, if any, and why."""

    recipe: Recipe | None
    why: str


def read(path: Path) -> Recipe:
    """Read a recipe file; the spec in it is not yet checked, see ``problems``.

    Raises:
        SchemaInvalid: it cannot be read, or its head is not one; names the file.
    """
    try:
        text = path.read_text(encoding="utf-8")
        known = ahead.content(path.parent.parent.parent / ahead.SPECS, text)
        content = specs.parse(text, source="the file", dots=True) if known is None else known
    except (OSError, UnicodeDecodeError) as error:
        raise SchemaInvalid(f"the recipe {path} cannot be read: {error}") from None
    except SkillBankError as error:
        raise SchemaInvalid(f"the recipe {path} cannot be used:", problems=error.problems or [error.message]) from None
    kinds: dict[str, Any] = {**HEAD, CONDITIONS: dict, SEARCH: (list, dict)}
    wrong = [Problem(key, "no such key", ", ".join(kinds)) for key in content if key not in kinds]
    wrong += [Problem(key, "is missing", kind.__name__) for key, kind in HEAD.items() if key not in content]
    wrong += [
        Problem(key, f"is {content[key]!r}", f"a {getattr(kind, '__name__', 'list or dict')}")
        for key, kind in kinds.items()
        if key in content and not isinstance(content[key], kind)
    ]
    wrong += [Problem(key, "holds dots", "the nested form") for key in _dotted(content.get("spec"))]
    conditions = content.get(CONDITIONS)
    if isinstance(conditions, dict) and not all(
        isinstance(rule, dict) and all(isinstance(values, list) for values in rule.values()) for rule in conditions.values()
    ):
        wrong.append(Problem(CONDITIONS, "is no table of conditions", "{setting: {other: [values]}}"))
    search = _wishes(content.get(SEARCH) or {}, wrong)
    if wrong:
        raise SchemaInvalid(f"the recipe {path} cannot be used:", problems=wrong)
    return Recipe(
        name=path.stem,
        action=content["action"],
        description=" ".join(content["description"].split()),
        spec=content["spec"],
        only_when=conditions or {},
        search=search,
        path=path,
    )


def _dotted(values: Any) -> Iterator[str]:
    for key, below in values.items() if isinstance(values, dict) else ():
        yield from ([key] if "." in key else _dotted(below))


def _wishes(said: Any, wrong: list[Problem]) -> dict[str, Wish | None]:
    """How to search each setting: [low, high], {range, scale, when}, false for never, nothing for the range of the schema."""
    if not isinstance(said, dict):
        return {str(key): None for key in said}
    found: dict[str, Wish | None] = {}
    for key, value in said.items():
        table = value if isinstance(value, dict) else {"range": value}
        span, scale, when = table.get("range"), table.get("scale"), table.get("when", {})
        fine = span is None or span is False or _is_span(span)
        fine = fine and table.keys() <= {"range", "scale", "when"} and scale in (None, "linear", "log")
        if not fine or not isinstance(when, dict) or not all(isinstance(values, list) for values in when.values()):
            allowed = "nothing, false, [low, high], or {range: [low, high], scale: log, when: {other: [values]}}"
            wrong.append(Problem(f"{SEARCH}.{key}", f"is {value!r}", allowed))
        elif span is False:
            found[key] = Wish(when=when, never=True)
        else:
            found[key] = Wish(tuple(span) if span else None, scale, when) if table.keys() & {"scale", "when"} or span else None
    return found


def _is_span(value: object) -> bool:
    if not isinstance(value, list) or len(value) != 2:
        return False
    low, high = value
    return all(isinstance(n, int | float) and not isinstance(n, bool) for n in value) and low < high


def choose(
    known: Mapping[str, Recipe],
    default: str | None,
    *,
    action: str,
    word: str | None,
    spec_file: Path | None = None,
    parent: Mapping[str, Any] | None = None,
    resume: Mapping[str, Any] | None = None,
) -> Choice:
    """The recipe of a request: the one asked for by ``word``, else the default where nothing else gives the settings.

    A spec file and a job to go on with give the settings; the child of a training takes what its parent took. ``known`` are
    the recipes of the action, by name.

    Raises:
        UsageError: there is none of that name; lists all there are.
    """
    if word is not None and word != NONE:
        if resume is not None:
            raise UsageError(f"--resume {resume['id']} goes on with the settings of that job, --recipe {word} gives others.")
        return Choice(_named(known, action, word), "--recipe")
    if word == NONE or default is None:
        return Choice(None, f"--recipe {NONE}" if word else f"{action} has no default recipe")
    if resume is not None:
        return Choice(None, f"--resume goes on with the settings of {resume['id']}")
    if spec_file is not None:
        return Choice(None, "--spec gives the settings")
    if parent is not None and parent.get("action") == action:
        name = (parent.get("recipe") or {}).get("name")
        return Choice(_named(known, action, name), f"as {parent['id']}") if name else Choice(None, f"{parent['id']} had none")
    return Choice(_named(known, action, default), "the default")


def _named(known: Mapping[str, Recipe], action: str, name: str) -> Recipe:
    if name in known:
        return known[name]
    if not known:
        raise UsageError(f"--recipe {name}: {action} has no recipes.")
    near = specs.nearest(name, known)
    meant = f", did you mean {near[0]}?" if near else ""
    raise UsageError(
        f"{action} has no recipe {name!r}{meant}",
        problems=[Problem(other.name, other.description) for other in known.values()],
        hint=f"Recipes of {action} are listed above; --recipe {NONE} applies none.",
    )


def problems(recipe: Recipe, schema: ActionSchema) -> list[Problem]:
    """What the schema of its action finds wrong with a recipe, and values that have no effect beside its others."""
    spec = schema.coerce(recipe.spec)
    found = schema.problems(spec)
    flat = specs.flatten(spec, schema.map_leaves())
    whole = specs.merge(schema.defaults(), spec, schema.map_leaves())
    for key, rule in recipe.only_when.items():
        if key not in flat:
            found.append(Problem(f"{CONDITIONS}.{key}", "is none of the recipe's settings", ", ".join(flat)))
        found += [
            Problem(f"{CONDITIONS}.{key}.{other}", "no such setting", ", ".join(specs.nearest(other, schema.leaves())))
            for other in rule
            if schema.leaves() and other not in schema.leaves()
        ]
    for key, wish in recipe.search.items():
        found += _unsearchable(key, wish, specs.get(whole, key), schema)
    if not found:
        found = [Problem(key, why) for key in flat if (why := schema.idle(key, whole))]
    if recipe.name == NONE:
        found.append(Problem("", f"a recipe cannot be called {NONE}, the word for no recipe"))
    return found


def _unsearchable(key: str, wish: Wish | None, given: Any, schema: ActionSchema) -> Iterator[Problem]:
    """What is wrong with the way a setting is to be searched; ``given`` is where the search would begin."""
    where, leaf = f"{SEARCH}: {key}", schema.leaves().get(key, {})
    own = leaf.get("automl_range")
    if not leaf or (not own and (wish is None or (wish.span is None and not wish.never))):
        yield Problem(where, "no such setting, or none with a search range")
        return
    for other in wish.when if wish else ():
        if other not in schema.leaves():
            yield Problem(f"{where}: when.{other}", "no such setting", ", ".join(specs.nearest(other, schema.leaves())))
    if wish is None or wish.never:
        return
    low, high = wish.span or own or (0, 0)
    least, most = leaf.get("minimum", low), leaf.get("maximum", high)
    if low < least or high > most:
        yield Problem(where, f"the range is {low:g} to {high:g}", f"{least:g} to {most:g}")
    elif not isinstance(given, int | float) or isinstance(given, bool):
        yield Problem(where, "is no number, and is searched without a range")
    elif not low <= given <= high:
        yield Problem(where, f"the range {low:g} to {high:g} does not hold {given:g}, where the search begins")
    if (wish.scale or leaf.get("automl_scale")) == "log" and low <= 0:
        yield Problem(where, f"a logarithmic search cannot start at {low:g}", "above 0")


def check(recipe: Recipe, schema: ActionSchema) -> None:
    """Raise SchemaInvalid, naming the file, if there are problems."""
    if found := problems(recipe, schema):
        raise SchemaInvalid(f"the recipe {recipe.path} does not fit the settings of {recipe.action}:", problems=found)


def fit(
    recipe: Recipe, spec: dict[str, Any], sources: dict[str, str], schema: ActionSchema
) -> tuple[dict[str, Any], dict[str, str], list[Problem]]:
    """Take back, to the default, what a recipe says and what has no effect in the spec that the other layers made of it.

    So no word of the user's can make a run fail on a value that is not the user's.

    Returns:
        The spec, the sources, and each setting taken back with the reason.
    """
    spec, sources = specs.merge(spec, {}), dict(sources)
    left_out: list[Problem] = []
    defaults = schema.defaults()
    while True:
        own = [key for key, source in sources.items() if source == recipe.source]
        idle = [Problem(key, why) for key in own if (why := _unfit(recipe, key, spec, schema))]
        if not idle:
            return spec, sources, left_out
        for problem in idle:
            specs.set_(spec, problem.path, specs.get(defaults, problem.path))
            del sources[problem.path]
        left_out += idle


def _unfit(recipe: Recipe, key: str, spec: Mapping[str, Any], schema: ActionSchema) -> str:
    for other, allowed in recipe.only_when.get(key, {}).items():
        if specs.get(spec, other) not in allowed:
            return f"it is for {other} {' or '.join(map(str, allowed))}, which is {specs.get(spec, other)}"
    return schema.idle(key, spec)


def facts(
    choice: Choice, spec: Mapping[str, Any], sources: Mapping[str, str], left_out: list[Problem], schema: ActionSchema
) -> dict[str, Any]:
    """What a plan and a record say: which recipe, why, the values that are the recipe's, and those that are not."""
    recipe = choice.recipe
    if recipe is None:
        return {"name": None, "why": choice.why, "description": "", "values": {}, "overruled": [], "left_out": []}
    said = specs.flatten(schema.coerce(recipe.spec), schema.map_leaves())
    gone = {problem.path for problem in left_out}
    return {
        "name": recipe.name,
        "why": choice.why,
        "description": recipe.description,
        "values": {key: specs.get(spec, key) for key in said if sources.get(key) == recipe.source},
        "overruled": [
            {"key": key, "recipe": value, "value": specs.get(spec, key), "by": sources[key]}
            for key, value in said.items()
            if key not in gone and sources.get(key, recipe.source) != recipe.source and specs.get(spec, key) != value
        ],
        "left_out": [{"key": problem.path, "reason": problem.says} for problem in left_out],
    }


def line(told: Mapping[str, Any]) -> str:
    """What ``facts`` gives, in a line."""
    if told["name"] is None:
        return f"none, {told['why']}"
    return f"{told['name']} ({told['why']}): {told['description']}"


def notes(told: Mapping[str, Any], schema: ActionSchema) -> Iterator[str]:
    """What the user should hear: values that have no effect any more, and choices overruled whose neighbours stay.

    ``told`` is what ``facts`` gives. A neighbour, such as the learning rate beside the optimiser, is kept: nobody can tell
    whether it was meant for the choice.
    """
    for item in told["left_out"]:
        yield f"The recipe {told['name']} leaves {item['key']} alone: {item['reason']}."
    overruled: dict[str, list[str]] = {}
    for item in told["overruled"]:
        if item["by"] in OWN_WORD and schema.is_choice(item["key"]):
            section = item["key"].rpartition(".")[0]
            overruled.setdefault(section, []).append(f"{item['key']}={item['recipe']} (you say {item['value']})")
    for section, said in overruled.items():
        beside = [f"{key}={value}" for key, value in told["values"].items() if key.rpartition(".")[0] == section]
        if beside:
            yield f"The recipe {told['name']} was made with {', '.join(said)}; what else it says stays: {', '.join(beside)}."
