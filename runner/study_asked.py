"""What the user asks of a search, read and checked before anything starts: algorithm, settings and ranges, workers, budget.

Gives the facts that the record of a search begins with. Knows schemas and skills; no studies and no jobs.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from runner import budget as budgets
from runner import datafolder, study_far, study_wishes
from runner import spec as specs
from runner.errors import Problem, SpecInvalid, UsageError
from runner.schema import Parameter, Wish
from runner.skill import Action, Skill
from runner.study_wishes import Given

ALL = "all"  # the word of --no-search for every setting that --search does not name
DEFAULT = "bayesian"
FEW = 200  # examples below which a search is told how little they say: of so many, 90 % right is good to 4 points


class Asked(NamedTuple):
    """The words of the command line about a search."""

    algorithm: str | None = None
    search: tuple[str, ...] = ()
    no_search: tuple[str, ...] = ()
    workers: str | None = None
    no_prune: bool = False
    keep_trials: bool = False
    join: bool = False
    budget: tuple[str, ...] = ()
    storage: str | None = None
    lost_after: str | None = None
    launch: str | None = None
    slurm: tuple[str, ...] = ()

    @property
    def flags(self) -> str:
        """The options that were given."""
        return ", ".join(f"--{name.replace('_', '-')}" for name, value in self._asdict().items() if value)


def of(request: Any) -> Asked:
    """What a request says of a search.

    Raises:
        UsageError: a word that is wrong whatever is searched.
    """
    found = Asked(**{name: getattr(request, name) for name in Asked._fields})
    budgets.parse(found.budget)
    workers(found.workers)
    study_far.check(found)
    _algorithm(found.algorithm)
    return found


def begin(asked: Asked, given: Given) -> tuple[dict[str, Any], list[str]]:
    """The facts of a new search, and what the user should hear.

    Raises:
        UsageError: every word that is wrong or would have no effect. SpecInvalid: nothing is left to search.
    """
    if asked.join:
        raise UsageError("--join adds workers to a search that runs: name it with --resume JOB.")
    keys = settings_of(given.skill, given.action)
    algorithm, fidelities = _algorithm(asked.algorithm)
    steers = given.action.control and "epochs" in keys
    if fidelities and not steers:
        raise UsageError(
            f"--algorithm {asked.algorithm}: it stops trainings and continues them, which {given.skill.name} does not offer.",
            hint=f"Allowed: bayesian, bfbo, random. {_why_not(given, keys)}",
        )
    epochs = specs.get(given.spec, keys.get("epochs", ""))
    epochs = epochs if isinstance(epochs, int) and epochs > 0 else 1
    budget = budgets.parse(asked.budget)
    if budget["epochs"] and not steers:
        raise UsageError(f"--budget epochs=N: nothing can stop a training of {given.skill.name}. {_why_not(given, keys)}")
    space, left_out = _space(asked, given, keys)
    facts = {
        "metric": given.skill.automl_metric,
        "direction": given.skill.automl_direction,
        "algorithm": algorithm,
        "budget": budgets.filled(budget, algorithm, epochs),
        "space": [parameter._asdict() for parameter in space],
        "left_out": [{"key": key, "reason": reason} for key, reason in left_out],
        "epochs": epochs,
        "interval": specs.get(given.spec, keys.get("interval", ""), 1),
        "prune": bool(steers and not asked.no_prune and algorithm != "agent"),
        "late": _late(given),
        "seed": specs.get(given.spec, keys.get("seed", "")),
        "keys": keys,
        "workers": "auto" if asked.workers is None else workers(asked.workers),
        "keep_trials": asked.keep_trials,
        "join": False,
        "asked": {"search": list(asked.search), "no_search": list(asked.no_search)},
        "elapsed": 0.0,
        "began_with": 0.0,
        "totals": {},
        "deleted": [],
        "trials": [],
        "best": None,
    }
    narrowed = [
        f"{one.key} is searched up to {one.high}: {given.bounds[one.key][1]}." for one in space if _narrowed(one, given)
    ]
    return facts, [*_outside(space), *narrowed, *_unsteered(asked, given, keys, steers), *_few(given)]


def go_on(asked: Asked, before: Mapping[str, Any]) -> dict[str, Any]:
    """The facts of a search that goes on, ``before`` being those of the job that is resumed: the same search, more of it.

    The trials and epochs of a budget are totals over all jobs of the search; its time is that of this job.

    Raises:
        UsageError: words that would make it another search; or its time is spent and no other is given.
    """
    algorithm = _algorithm(asked.algorithm)[0] if asked.algorithm else before["algorithm"]
    problems = [Problem("--algorithm", f"is {algorithm}", before["algorithm"])] if algorithm != before["algorithm"] else []
    words = before.get("asked") or {}
    for name in ("search", "no_search"):
        said = list(getattr(asked, name))
        if said and said != words.get(name):
            problems.append(Problem(f"--{name.replace('_', '-')}", "a search goes on with the settings it began with"))
    if asked.no_prune and before["prune"]:
        problems.append(Problem("--no-prune", "a search that stops trainings goes on so"))
    if problems:
        raise UsageError("This would be another search:", problems=problems, hint="Leave them out, or begin a new search.")
    budget = budgets.parse(asked.budget) if asked.budget else dict(before["budget"])
    if not asked.budget and budget.get("seconds"):
        used = before["elapsed"] - before["began_with"]
        left = budget["seconds"] - used
        if left <= 0:
            told = f"{used:.0f} of {budget['seconds']:.0f} seconds"
            raise UsageError(f"The time of this search is spent ({told}).", hint="Say how much more: --budget time=10m")
        budget["seconds"] = left
    count = workers(asked.workers)
    return {
        **before,
        "budget": budget,
        "workers": before["workers"] if count is None else count,
        **study_far.go_on(asked, before, count),
        "keep_trials": asked.keep_trials or before["keep_trials"],
        "join": asked.join,
        "began_with": before["elapsed"],
    }


def workers(word: str | None) -> int | str | None:
    """What ``--workers`` says: a number, "auto", or nothing."""
    if word in (None, "auto"):
        return word
    if word.isascii() and word.isdigit() and int(word) <= 1000:
        return int(word)
    raise UsageError(f"--workers {word}: not a number of workers; allowed: auto, or a whole number of 1 or more.")


def settings_of(skill: Skill, action: Action) -> dict[str, str]:
    """The settings that a search steers itself, by what they are: epochs, interval, checkpoints, seed, gpu_ids, resume."""
    told: Mapping[str, Any] = skill.info.get("automl") or {}
    keys = {name: str(told[name]) for name in ("epochs", "interval", "checkpoints", "seed", "gpu_ids") if told.get(name)}
    resume = [key for key, function in action.spec_params.items() if function.startswith("resume_model")]
    return keys | ({"resume": resume[0]} if resume else {})


def _algorithm(word: str | None) -> tuple[str, bool]:
    """The algorithm's name, and whether it cannot do without stopping trainings."""
    if word is None:
        return DEFAULT, False
    from runner.automl import strategies

    name = strategies.canonical(word)
    return name, strategies.ALGORITHMS[name].fidelities


def _late(given: Given) -> bool:
    """Whether early values say little of the last one, under the settings as given."""
    told: Mapping[str, Sequence[Any]] = (given.skill.info.get("automl") or {}).get("judge_late") or {}
    return any(specs.get(given.spec, key) in values for key, values in told.items())


def _few(given: Given) -> Iterator[str]:
    """That little data judges the trials, where it is so little that the lowest of many values is luck for the most part."""
    told: Mapping[str, Any] = given.skill.info.get("automl") or {}
    shape = datafolder.shape_of(str(specs.get(given.spec, told.get("measured_on", ""))))
    if shape and shape[0] < FEW:
        yield (
            f"{given.skill.automl_metric} is measured on {shape[0]} examples; on so few the best of many trials is "
            "largely the luckiest one. --automl off trains the spec as given."
        )


def _why_not(given: Given, keys: Mapping[str, str]) -> str:
    """Why a search cannot stop this skill's trainings."""
    if not given.action.control:
        return f"Its {given.action.name} takes no `control` (skill_info.yaml, actions.{given.action.name}.control)."
    return "Its skill_info.yaml does not say which setting holds the epochs (automl.epochs)." if "epochs" not in keys else ""


def _unsteered(asked: Asked, given: Given, keys: Mapping[str, str], steers: bool) -> Iterator[str]:
    if not steers and not asked.no_prune:
        yield f"Every trial is trained to its end: {_why_not(given, keys)}"


def _narrowed(one: Parameter, given: Given) -> bool:
    """Whether the data, and not the schema or the user, end the range."""
    return one.key in given.bounds and one.high == given.bounds[one.key][0]


def _outside(space: Sequence[Parameter]) -> Iterator[str]:
    """Settings whose given value no trial but the first will have."""
    for one in space:
        inside = one.default in one.choices if one.choices else one.low is None or _within(one)
        if not inside and one.kind != "bool":
            yield f"The first trial has {one.key}={one.default} as given, which lies outside what is searched."


def _useful(
    space: Sequence[Parameter], bounds: Mapping[str, tuple[float, str]]
) -> tuple[list[Parameter], list[tuple[str, str]]]:
    """The space without what is of no use with these data, and what is left out as nothing else remains of it."""
    kept, left_out = [], list[tuple[str, str]]()
    for one in space:
        most, why = bounds.get(one.key, (math.inf, ""))
        if one.low is None or one.high is None or one.high <= most:
            kept.append(one)
        elif one.low < most:
            kept.append(one._replace(high=int(most) if one.kind == "int" else most))
        else:
            left_out.append((one.key, why))
    return kept, left_out


def _within(one: Parameter) -> bool:
    number = one.default
    plain = isinstance(number, int | float) and not isinstance(number, bool)
    return bool(plain and one.low is not None and one.high is not None and one.low <= number <= one.high)


def _space(asked: Asked, given: Given, keys: Mapping[str, str]) -> tuple[list[Parameter], list[tuple[str, str]]]:
    """What is searched, and what is left out with the reason."""
    leaves, problems = given.schema.leaves(), list[Problem]()
    wishes: dict[str, Wish | None] = {}
    for text in asked.search:
        name, _, said = text.partition("=")
        key = given.skill.shorthand.get(name.strip(), name.strip())
        found = study_wishes.read(key, said if "=" in text else None, given, keys)
        if key in wishes:
            found = Problem(key, "--search names it twice")
        if isinstance(found, Problem):
            problems.append(found)
        else:
            wishes[key] = found
    spared = [given.skill.shorthand.get(key, key) for key in asked.no_search]
    only = ALL in spared
    excluded = [key for key in spared if key != ALL]
    problems += [Problem(key, "--search and --no-search both name it", "one of them") for key in excluded if key in wishes]
    problems += [study_wishes.unknown(given, key) for key in excluded if key not in leaves]
    if not problems:
        recipe = given.recipe.search if given.recipe else {}
        ranged = {key for key, wish in wishes.items() if wish and (wish.span or wish.choices)}  # as the user says
        for key, wish in wishes.items():  # by its own range, which the recipe may say
            own = recipe.get(key)
            wishes[key] = own if wish is None and own and not own.never else wish
        beside = {} if only else recipe
        space, left_out = given.schema.search_space(
            given.spec, [] if only else None, excluded, beside={**beside, **wishes}, vain=given.idle
        )
        space, beyond = _useful(space, {key: bound for key, bound in given.bounds.items() if key not in ranged})
        left_out = [*left_out, *beyond]
        reasons = dict(left_out)
        problems += [Problem(key, f"--search: {reasons[key]}") for key in wishes if key in reasons]
        names = ", ".join(parameter.key for parameter in space)
        problems += [Problem(key, "--no-search: it is not searched", names) for key in excluded if key not in reasons]
    if problems:
        raise UsageError("The search cannot be made as asked:", problems=problems, hint=f"Allowed: {study_wishes.FORMS}.")
    if not space:
        raise SpecInvalid(
            "AutoML is on but no parameter is left to search.",
            problems=[Problem(key, reason) for key, reason in left_out],
            hint="Run with --automl off, change the settings that take the parameters out, or name others with --search.",
        )
    return space, left_out
