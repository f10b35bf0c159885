"""What each verb does: arguments -> Reply. Each imports what it needs when it runs, so that `list` and `status` start fast."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from typing import Any

from runner import render
from runner.cli.following import again
from runner.cli.reply import Reply, ended, facts, store_of
from runner.errors import JobFailed, UsageError


def _request(arguments: argparse.Namespace) -> Any:
    from runner.plan import Request

    return Request(
        workspace=arguments.workspace.absolute(),
        skill=arguments.skill,
        action=arguments.action,
        spec_file=arguments.spec,
        dataset=arguments.dataset,
        overrides=tuple(arguments.overrides),
        parent=arguments.parent,
        checkpoint=arguments.checkpoint,
        resume=arguments.resume,
        pretrained=arguments.pretrained,
        automl=arguments.automl,
        phrase=arguments.phrase,
        budget=tuple(arguments.budget),
        algorithm=arguments.algorithm,
        search=tuple(arguments.search),
        no_search=tuple(arguments.no_search),
        workers=arguments.workers,
        no_prune=arguments.no_prune,
        keep_trials=arguments.keep_trials,
        join=arguments.join,
        storage=arguments.storage,
        lost_after=arguments.lost_after,
        launch=arguments.launch,
        slurm=tuple(arguments.slurm),
        results=arguments.results,
        overwrite=arguments.overwrite,
        recipe=arguments.recipe,
        folds=arguments.folds,
        seeds=arguments.seeds,
        learning_curve=arguments.learning_curve,
        command=("skillbank", *arguments.words),
        plan=getattr(arguments, "plan", None),
        job_id=getattr(arguments, "job_id", None),
        encryption_key=_key(arguments),
    )


def _key(arguments: argparse.Namespace) -> str | None:
    """The passphrase that --encryption-key-file names."""
    if arguments.encryption_key_file is None:
        return None
    from runner import keys

    if warning := keys.open_to_others(arguments.encryption_key_file):
        arguments.line.say(f"warning: {warning}")
    with arguments.line.aside():
        return keys.from_option(arguments.encryption_key_file, new=arguments.action == "train")


def _unlocked(start: Callable[[Any], dict[str, Any]], request: Any, line: Any) -> dict[str, Any]:
    """Start; where an input is encrypted, no key was given and somebody sits there, ask for it and start again."""
    from runner import keys

    try:
        return start(request)
    except keys.KeyMissing:
        if not keys.can_ask():
            raise
        with line.aside():
            key = keys.ask()
        return start(request._replace(encryption_key=key))


def list_(_: argparse.Namespace) -> Reply:
    """The skills and their descriptions."""
    from runner import bank

    skills = [{"name": s.name, "description": s.description} for s in bank.skills()]
    return Reply({"skills": skills}, render.skills(skills), tuple(f"skillbank show {s['name']}" for s in skills))


def show_(arguments: argparse.Namespace) -> Reply:
    """A skill, one of its actions, or one setting."""
    from runner import bank
    from runner import spec as specs
    from runner.errors import UnknownAction

    skill = bank.get(arguments.skill)
    if arguments.path and not arguments.action:
        raise UnknownAction(f"--path needs an action; allowed: {', '.join(skill.actions)}.")
    if not arguments.action:
        data = {
            "name": skill.name,
            "version": skill.version,
            "description": skill.description,
            "dir": str(skill.dir),
            "network_arch": skill.network_arch,
            "automl_enabled": skill.automl_enabled,
            "actions": {
                name: {"inputs": a.inputs, "outputs": a.outputs, "spec_params": a.spec_params}
                for name, a in skill.actions.items()
            },
            "shorthand": skill.shorthand,
            "recipes": _recipes(skill, None),
        }
        return Reply(data, render.skill(data), tuple(f"skillbank show {skill.name} {a}" for a in skill.actions))
    action, schema = skill.action(arguments.action), skill.schema(arguments.action)
    if arguments.path:
        key = skill.shorthand.get(arguments.path, arguments.path)
        if key not in schema.leaves():
            near = specs.nearest(key, schema.leaves())
            raise UsageError(f"{action.name} has no setting {key!r}.", hint=f"Nearest: {', '.join(near)}" if near else "")
        said = {name: specs.get(one.spec, key) for name, one in skill.recipes(action.name).items() if specs.has(one.spec, key)}
        data = {"path": key, **schema.leaves()[key], **({"recipes": said} if said else {})}
        return Reply(data, render.leaf(data))
    leaves = {key: dict(leaf) for key, leaf in schema.leaves().items()}
    data = {"skill": skill.name, "action": action.name, "inputs": action.inputs, "outputs": action.outputs, "settings": leaves}
    data["recipes"] = _recipes(skill, action.name)
    return Reply(data, render.action(data), (f"skillbank plan {skill.name} {action.name} --dataset DIR",))


def _recipes(skill: Any, action: str | None) -> list[dict[str, Any]]:
    return [
        {
            "name": one.name,
            "action": one.action,
            "description": one.description,
            "default": skill.default_recipes.get(one.action) == one.name,
            "spec": one.spec,
        }
        for one in skill.recipes(action).values()
    ]


def match_(arguments: argparse.Namespace) -> Reply:
    """What a phrase means; NoMatch when nothing fits."""
    from runner import bank, match

    found = match.require(" ".join(arguments.phrase), bank.load_all())
    data = {
        "skill": found.skill,
        "action": found.action,
        "automl_policy": found.automl_policy,
        "sure": found.sure,
        "candidates": [{"skill": name, "score": score} for name, score in found.candidates],
    }
    policy = f" --automl {found.automl_policy}" if found.automl_policy else ""
    following = (
        f"skillbank plan {found.skill} {found.action}{policy} --dataset DIR"
        if found.action
        else f"skillbank show {found.skill}"
    )
    return Reply(data, render.match(data), (following,))


def plan_(arguments: argparse.Namespace) -> Reply:
    """What `run` would do, and the hash by which just that can be run."""
    from runner import plan, planhash, render_search

    made = plan.make(_request(arguments))
    identity = planhash.identify(made)
    planhash.keep(made, identity)
    data = planhash.shown(made, identity)
    following = again("run", arguments.words, "--plan", identity.short)
    return Reply(data, render_search.plan(data), (following,), warnings=(*made.notes, *planhash.unseen(identity)))


def validate_(arguments: argparse.Namespace) -> Reply:
    """Whether the spec is valid, and what is still missing."""
    from runner import plan

    made = plan.make(_request(arguments), strict=False)
    data = plan.describe(made)
    return Reply(
        {"valid": True, **{k: data[k] for k in ("skill", "action", "spec", "sources", "missing", "set_aside")}},
        render.valid(data),
        (again("plan", arguments.words),),
        warnings=tuple(made.notes),
    )


def run_(arguments: argparse.Namespace) -> Reply:
    """Run a job to its end, or hand it to the background."""
    from runner import launch

    request = _request(arguments)
    if arguments.dry_run:
        return _dry(request)
    if arguments.detach:
        record = _unlocked(launch.submit, request, arguments.line)
        return Reply(facts(record), render.submitted(record), warnings=(*_existing(record), *(record["notes"] or ())))
    ticker = ticker_of(arguments)
    record = _unlocked(lambda asked: launch.run(asked, ticker), request, arguments.line)
    notes = (record["notes"] or ()) if arguments.json else ()  # people were told when it began
    return ended(record)._replace(warnings=(*_existing(record), *notes))


def _dry(request: Any) -> Reply:
    """The script that would be submitted; nothing is started and nothing written."""
    from runner import plan, study_slurm

    made = plan.make(request)
    facts_ = made.search or {}
    if not facts_.get("launch"):
        raise UsageError("--dry-run shows what --launch slurm would submit.", hint="Without it: skillbank plan")
    script = study_slurm.script(facts_, request.workspace, made.results_dir)
    return Reply({"script": script, "workers": facts_["launch"]["workers"]}, script, warnings=tuple(made.notes))


def _existing(record: dict[str, Any]) -> tuple[str, ...]:
    told = f"The job {record['id']} exists already and was asked for in the same words; nothing new was started."
    return (told,) if record.get("existing") else ()


def ticker_of(arguments: argparse.Namespace) -> Any:
    """What a run in the foreground shows: lines as they come, and where it is."""
    from runner.follow import Follower
    from runner.launch import Ticker

    line = arguments.line
    line.look = follower = Follower(lambda: store_of(arguments), "run")
    if arguments.quiet:
        return Ticker(lambda _: None, follower.at, follower.transfer)
    began = time.monotonic()

    def timed(text: str) -> None:
        line.say(f"{time.monotonic() - began:8.1f} s  {text}")

    return Ticker(timed if arguments.verbose else line.say, follower.at, follower.transfer)


def schemas_(arguments: argparse.Namespace) -> Reply:
    """Generate or compare the generated files."""
    from runner import bank, maintain
    from runner.errors import SchemaInvalid

    names = arguments.skill or [s.name for s in bank.skills()]
    skills = [bank.get(name) for name in names]
    if arguments.what == "build":
        written = [str(path) for skill in skills for path in maintain.build(skill)]
        return Reply({"written": written}, render.lines(written or ["Everything is up to date."]))
    differences = [line for skill in skills for line in maintain.check(skill)]
    if differences:
        raise SchemaInvalid(
            "Generated files differ from the settings they come from.",
            problems=differences,
            hint="Run: skillbank schemas build",
        )
    return Reply({"checked": [s.name for s in skills]}, f"Up to date: {', '.join(s.name for s in skills)}")


def demo_(arguments: argparse.Namespace) -> Reply:
    """The whole way on synthetic data."""
    from runner import demo

    arguments.line.stop()  # its steps show their own
    data = demo.run(arguments.out.absolute(), sys.stderr)
    if data["exit_code"]:
        raise JobFailed(f"The demo stopped at: {data['failed']}", exit_code=data["exit_code"])
    return Reply(data, render.paths(data["results"]), ())
