"""Request -> Plan: the skill, the spec with the source of every value, what was inferred, the route, inputs and outputs.

Reads the bank, the user's spec file and the records of parent jobs. Writes nothing and starts nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from runner import (
    bank,
    checkpoints,
    checks,
    compose,
    infer,
    keyed,
    keys,
    lineage,
    match,
    places,
    policy,
    series,
    study_asked,
    study_plan,
)
from runner import recipe as recipes
from runner import spec as specs
from runner.errors import InputMissing, NoMatch, ParentError, Problem, SpecInvalid, UnknownAction, UsageError
from runner.jobs import JobStore, Ticket
from runner.redact import redact
from runner.schema import ActionSchema
from runner.skill import Action, Skill

# Where an action's schema or template is missing, the spec is what the user gives; the trainer checks and completes it.
BARE = ActionSchema({"type": "object", "properties": {}, "default": {}})


class Request(NamedTuple):
    """What the user asks for, as plain values."""

    workspace: Path
    skill: str | None = None
    action: str | None = None
    spec_file: Path | None = None
    dataset: str | None = None
    overrides: tuple[str, ...] = ()
    parent: str | None = None
    checkpoint: str = "best"
    resume: str | None = None
    pretrained: str | None = None
    automl: str | None = None
    phrase: str | None = None
    budget: tuple[str, ...] = ()
    algorithm: str | None = None
    search: tuple[str, ...] = ()
    no_search: tuple[str, ...] = ()
    workers: str | None = None
    no_prune: bool = False
    keep_trials: bool = False
    join: bool = False
    storage: str | None = None  # the database of a search over several machines
    lost_after: str | None = None
    launch: str | None = None
    slurm: tuple[str, ...] = ()
    results: str | None = None
    overwrite: bool = False
    recipe: str | None = None
    folds: int | None = None
    seeds: int | None = None
    learning_curve: str | None = None
    command: tuple[str, ...] = ()
    plan: str | None = None  # the hash of the plan that is to run, and no other
    job_id: str | None = None  # the id the job is to have; asked for twice, it is one job
    encryption_key: str | None = None  # the passphrase of checkpoints; a secret


class Plan(NamedTuple):
    """Everything that is known before a job starts. ``spec`` holds secrets in clear; print ``describe(plan)``."""

    request: Request
    skill: Skill
    action: Action
    schema: ActionSchema
    ticket: Ticket
    results_dir: Path
    upload_uri: str | None
    spec: dict[str, Any]
    sources: dict[str, str]
    inferred: list[infer.Inferred]
    aside: dict[str, Any]
    recipe: dict[str, Any] | None
    route: policy.Route
    series: dict[str, Any] | None
    search: dict[str, Any] | None  # what the record of a search begins with
    inputs: list[dict[str, Any]]
    outputs: list[dict[str, Any]]
    parent: dict[str, Any] | None
    resume: dict[str, Any] | None
    missing: list[Problem]
    notes: list[str]


def make(request: Request, *, strict: bool = True) -> Plan:
    """Resolve a request. ``strict`` asks for every required input; ``validate`` does without.

    Raises:
        UsageError, SpecInvalid, InputMissing, ParentError: each with every problem of its kind.
    """
    wish = series.asked(request.folds, request.seeds, request.learning_curve)
    skill, action, word, word_source = who(request)
    words = _words(request, wish)
    checkpoints.check_choice(request.checkpoint)
    packaged = skill.packaged(action.name)
    schema = schema_of(skill, action.name)
    store = JobStore(request.workspace)
    parent = lineage.record_of(store, request.parent, "--parent", skill)
    resume = lineage.record_of(store, request.resume, "--resume", skill, join=request.join)
    onward = study_plan.onward(resume, words, request.automl)
    if onward:
        word, word_source = "on", f"--resume goes on with the search {onward['id']}"
        parent = parent or lineage.parent_of(store, onward)
    choice = choose_recipe(request, skill, action, parent, resume)
    asked = given(request, carried_over(resume, action))
    keyed.check(request.overrides, request.encryption_key, skill, action, schema)
    composed = compose.compose(asked._replace(recipe=choice.recipe if choice else None), skill, action, schema)
    spec, sources = composed.spec, composed.sources
    problems = [*composed.problems, *places.problems(spec, action.name)]
    ticket = lineage.ticket(store, request.job_id) or store.mint(skill.network_arch, action.name)
    results_dir, upload_uri = places.results(spec, action.name, ticket)
    view = infer.JobView(
        id=ticket.id,
        action=action.name,
        network_arch=skill.network_arch,
        key="",
        results_dir=str(results_dir),
        spec=spec,
        parent_choice=request.checkpoint,
        resume=None if onward else resume,
        pretrained=request.pretrained,
        encryption_key=request.encryption_key or keys.from_environment(),
    )
    user_keys = {key for key, s in sources.items() if compose.is_set(specs.get(spec, key)) and not compose.is_default(s)}
    if request.encryption_key:  # said on the command line, if not there: it goes before a spec file
        user_keys -= keyed.settings(action)
    lineage.agree(spec, sources, action, parent)
    spec, inferred = infer.fill(spec, action.spec_params, view, parent, user_keys)
    sources |= {item.key: f"inferred:{item.function}" for item in inferred}
    derived, contradictions = compose.derive(spec, sources, action)
    inferred += [infer.Inferred(key, value, "derived", action.data_sources[key]["of"]) for key, value in derived.items()]
    if request.overwrite and "overwrite" in spec.get(action.name, {}):
        spec[action.name]["overwrite"] = True
        sources[f"{action.name}.overwrite"] = "user"
    spec = schema.coerce(spec)
    compose.absolute(spec, [*compose.file_keys(spec, action, schema), *action.outputs])
    inputs, missing, absent = compose.inputs(spec, action, schema, sources)
    lineage.still_there(inferred, parent or resume)
    told = _series(wish, skill, action, spec, sources) if wish else None
    wrong = schema.problems(spec) or (series.problems(told["children"], spec, schema) if told else [])
    problems = [*problems, *contradictions, *wrong]
    own = choice.recipe if choice else None
    variants = [told["children"][i]["params"] for i in (0, -1)] if told else ()
    settled = checks.settle(action, spec, sources, schema, recipe=own, known=problems, variants=variants)
    spec, sources = settled.spec, settled.sources
    _refuse(skill, action, [*problems, *settled.problems], missing if strict else [], absent)
    route = policy.route(
        action=action.name,
        word=word,
        word_source=word_source,
        automl_enabled=skill.automl_enabled,
        packaged=packaged,
        series=wish.words,
    )
    search, heard = study_plan.facts(
        words,
        route,
        onward,
        study_plan.Given(skill, action, schema, spec, own, settled.idle, settled.bounds),
        results_dir,
        ticket.id,
        upload_uri,
    )
    search = study_plan.with_final(search, skill, request.dataset, composed.aside, inputs)
    recipe = recipes.facts(choice, spec, sources, composed.unfit, schema) if choice else None
    return Plan(
        request=request,
        skill=skill,
        action=action,
        schema=schema,
        ticket=ticket,
        results_dir=results_dir,
        upload_uri=upload_uri,
        spec=spec,
        sources=sources,
        inferred=inferred,
        aside=composed.aside,
        recipe=recipe,
        route=route,
        series=told,
        search=search,
        inputs=inputs,
        outputs=[
            {"key": key, "uri": specs.get(spec, key), **facts} for key, facts in action.outputs.items() if key != "results_dir"
        ]
        + [{"key": "results_dir", "uri": str(results_dir), "type": "folder"}],
        parent=parent,
        resume=resume,
        missing=missing,
        notes=[
            *composed.notes,
            *settled.notes,
            *heard,
            *(recipes.notes(recipe, schema) if recipe else []),
            *keyed.notes(request.spec_file, spec, sources, action, schema, inputs),
        ],
    )


def _words(request: Request, wish: series.Asked) -> study_asked.Asked:
    """What the request says of a search; a series goes with no word of one."""
    words = study_asked.of(request)
    if wish and (request.resume or words.flags):
        which = "--resume goes on with one training" if request.resume else f"{words.flags} is of a search"
        raise UsageError(f"{which}; {wish.words} are a series of {wish.trainings}.", hint="Leave one of them out.")
    return words


def _series(
    wish: series.Asked, skill: Skill, action: Action, spec: Mapping[str, Any], sources: Mapping[str, str]
) -> dict[str, Any]:
    """The series that is asked for, as its record is to begin."""
    own = series.keys(skill, action, wish, sources)
    return series.facts(wish, own, series.children(wish, own, spec), skill.automl_metric, skill.automl_direction)


def choose_recipe(
    request: Request,
    skill: Skill,
    action: Action,
    parent: dict[str, Any] | None = None,
    resume: dict[str, Any] | None = None,
) -> recipes.Choice | None:
    """The recipe of a request and why it is that one; None where the action has none and none is asked for."""
    known = skill.recipes(action.name)
    if not known and request.recipe is None:
        return None
    default = skill.default_recipes.get(action.name)
    return recipes.choose(
        known,
        default,
        action=action.name,
        word=request.recipe,
        spec_file=request.spec_file,
        parent=parent,
        resume=resume,
    )


def schema_of(skill: Skill, action: str) -> ActionSchema:
    """The action's schema, or one that allows everything where it is not packaged."""
    return skill.schema(action) if skill.packaged(action) else BARE


def plain_spec(request: Request, skill: Skill, action: Action, *, reads: Collection[str] | None = None) -> dict[str, Any]:
    """The checked spec of a call without a job: no parent, nothing inferred, results_dir as the user says.

    ``reads`` names the inputs of a call that does without the action's others and writes no results.

    Raises:
        SpecInvalid, InputMissing: each with every problem of its kind.
    """
    schema = schema_of(skill, action.name)
    spec, sources, _, problems, *_ = compose.compose(given(request), skill, action, schema)
    _, contradictions = compose.derive(spec, sources, action)
    spec = schema.coerce(spec)
    problems = [*problems, *contradictions, *places.problems(spec, action.name), *schema.problems(spec)]
    problems += checks.settle(action, spec, sources, schema, known=problems).problems
    folders = (spec.get("results_dir"), specs.get(spec, f"{action.name}.results_dir"))
    if reads is None and not any(compose.is_set(folder) for folder in folders):
        problems.append(Problem("results_dir", "is required and has no value", "results_dir=DIR"))
    _, missing, absent = compose.inputs(spec, action, schema, sources)
    if reads is not None:
        missing, absent = ([p for p in found if p.path in reads] for found in (missing, absent))
    _refuse(skill, action, problems, [Problem(p.path, p.says, f"{p.path}=PATH") for p in missing], absent)
    return spec


def carried_over(resume: dict[str, Any] | None, action: Action) -> dict[str, Any]:
    """The spec of a job to go on with, less what was the old job's own: inferred values, outputs and secrets."""
    if resume is None:
        return {}
    own = {*action.spec_params, *action.outputs}
    if resume["automl"]:  # its trials start from the same weights
        own -= {key for key, function in action.spec_params.items() if function.startswith(("ptm", "parent"))}
    flat = {key: value for key, value in specs.flatten(resume["spec"]).items() if key not in own and value != "***"}
    return specs.nest(flat)


def given(request: Request, resumed: dict[str, Any] | None = None) -> compose.Given:
    """What the request says about the spec.

    Raises:
        UsageError: an address of a kind that is not supported, which would pass for a folder, password and all.
    """
    told = {"--dataset": request.dataset, "--results": request.results}
    if wrong := [f"{flag} {where}" for flag, where in told.items() if where and compose.is_foreign(where)]:
        raise UsageError(f"{', '.join(wrong)}: this kind of address is not supported.", hint=f"Allowed: {compose.ADDRESSES}.")
    root = (f"results_dir={request.results}",) if request.results else ()
    return compose.Given(request.spec_file, request.dataset, request.overrides + root, resumed)


def who(request: Request) -> tuple[Skill, Action, str | None, str]:
    """The skill, the action and the AutoML word of a request: explicit words first, then the phrase."""
    found = None
    if request.phrase:
        look = match.match if request.skill else match.require
        found = look(request.phrase, bank.load_all())
    if found and not request.skill and not found.sure:
        raise NoMatch(f"{request.phrase!r} may mean {found.skill}, which is not sure enough to act on", found.candidates)
    name = request.skill or (found.skill if found else None)
    if name is None:
        raise UsageError("No skill is named.", hint='Give one (`skillbank list`), or say what you want: --phrase "...".')
    skill = bank.get(name)
    action = request.action or (found.action if found else None)
    if action is None:
        raise UnknownAction(f"{name}: no action is named; allowed: {', '.join(skill.actions) or 'none (instructions only)'}.")
    if request.resume is not None:
        if action != "train":
            raise UsageError(f"--resume goes on with a training; {action} takes --parent JOB.")
        return skill, skill.action(action), "off", "--resume goes on with one training"
    if request.automl is not None:
        return skill, skill.action(action), request.automl, "--automl"
    return skill, skill.action(action), found.automl_policy if found else None, "phrase" if found else ""


def describe(plan: Plan) -> dict[str, Any]:
    """The plan as plain data, without secrets."""
    secrets = plan.schema.secrets()
    flat = specs.flatten(plan.spec, plan.schema.map_leaves())
    return {
        "skill": plan.skill.name,
        "action": plan.action.name,
        "job_id": plan.ticket.id,
        "results_dir": str(plan.results_dir),
        "upload": plan.upload_uri,
        "spec": redacted(plan.spec, plan.schema),
        "sources": {key: plan.sources.get(key, "template") for key in flat},
        "inferred": [
            {**item._asdict(), "value": "***" if item.key in secrets else _plain(item.value)} for item in plan.inferred
        ],
        "set_aside": sorted(plan.aside),
        "recipe": plan.recipe,
        "route": plan.route._asdict(),
        "series": plan.series,
        "automl": plan.search,
        "budget": (plan.search or {}).get("budget", {}),
        "search": (plan.search or {}).get("space", []),
        "left_out": (plan.search or {}).get("left_out", []),
        "inputs": plan.inputs,
        "outputs": plan.outputs,
        "missing": [problem.as_dict() for problem in plan.missing],
        "parent_job": plan.parent["id"] if plan.parent else None,
        "resume_of": plan.resume["id"] if plan.resume else None,
        "notes": plan.notes,
    }


def redacted(spec: dict[str, Any], schema: ActionSchema) -> dict[str, Any]:
    """A copy of the spec with every secret that is set replaced by three stars."""
    shown: dict[str, Any] = redact(spec, schema.secrets())
    return shown


def _where(skill: Skill, action: Action) -> str:
    return f"See: skillbank show {skill.name} {action.name}"


def _refuse(skill: Skill, action: Action, problems: list[Problem], missing: list[Problem], absent: list[Problem]) -> None:
    """Say everything at once: a wrong spec with all that is wrong, or else the files that are not there."""
    n = len(problems) + len(missing) + len(absent)
    if problems or missing:
        title = f"The spec of {action.name} has {n} problem{'s' if n > 1 else ''}."
        raise SpecInvalid(title, problems=[*problems, *missing, *absent], hint=_where(skill, action))
    if absent:
        kinds = {action.inputs[problem.path].get("holds") for problem in absent if problem.path in action.inputs}
        lost = ParentError if kinds == {"checkpoint"} else InputMissing
        raise lost(f"{action.name}: input not found.", problems=absent, hint=_where(skill, action))


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, Path) else value
