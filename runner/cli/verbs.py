"""What each verb does: arguments -> Reply. Each imports what it needs when it runs, so that `list` and `status` start fast."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

from runner import render
from runner.errors import JobFailed, StillRunning, UsageError


class Reply(NamedTuple):
    """What a verb answers: data for --json, text for people, what to call next, and the exit code."""

    data: Any
    text: str
    next: tuple[str, ...] = ()
    exit_code: int = 0
    warnings: tuple[str, ...] = ()
    error: dict[str, Any] | None = None


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
        results=arguments.results,
        overwrite=arguments.overwrite,
        recipe=arguments.recipe,
        folds=arguments.folds,
        seeds=arguments.seeds,
        learning_curve=arguments.learning_curve,
        command=("skillbank", *sys.argv[1:]),
    )


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
    """What `run` would do."""
    from runner import plan

    made = plan.make(_request(arguments))
    data = plan.describe(made)
    return Reply(data, render.plan(data), (_again("run"),), warnings=tuple(made.notes))


def validate_(arguments: argparse.Namespace) -> Reply:
    """Whether the spec is valid, and what is still missing."""
    from runner import plan

    made = plan.make(_request(arguments), strict=False)
    data = plan.describe(made)
    return Reply(
        {"valid": True, **{k: data[k] for k in ("skill", "action", "spec", "sources", "missing", "set_aside")}},
        render.valid(data),
        (_again("plan"),),
        warnings=tuple(made.notes),
    )


def run_(arguments: argparse.Namespace) -> Reply:
    """Run a job to its end, or hand it to the background."""
    from runner import launch

    request = _request(arguments)
    if arguments.detach:
        record = launch.submit(request)
        job = f"{record['id']} --workspace {arguments.workspace}"
        return Reply(
            _facts(record),
            render.submitted(record),
            tuple(f"skillbank {v} {job}" for v in ("status", "logs -f", "wait", "cancel")),
        )
    return _ended(launch.run(request, render.Progress(sys.stderr).ticker()), arguments.workspace)


def _facts(record: dict[str, Any]) -> dict[str, Any]:
    """The job's record with the names `run` and `status` promise."""
    return {"job_id": record["id"], **record}


def _ended(record: dict[str, Any], workspace: Path) -> Reply:
    """A job that has ended: its facts, and the exit code that says how."""
    code = 0
    error = record.get("error")
    if record["state"] != "COMPLETE":
        code = int((error or {}).get("exit_code") or 1)
    job = f"{record['id']} --workspace {workspace}"
    if record["state"] == "COMPLETE" and record["action"] == "train":
        head = f"skillbank run {record['skill']}"
        following = [f"{head} {a} --parent {job}" for a in ("evaluate --dataset DIR", "export", "inference --dataset DIR")]
    elif record["state"] == "COMPLETE" and "train_data" in (record.get("artifacts") or {}):
        following = [f"skillbank run {record['skill']} train --dataset {_quoted(str(record['results_dir']))}"]
    elif record["state"] == "CANCELED":
        following = [
            f"skillbank run {record['skill']} {record['action']} --resume {j} --workspace {workspace}"
            for j in _resumable(record)
        ]
    else:
        following = [f"skillbank logs {job}"] if code else []
    return Reply(
        _facts(record),
        render.job(record),
        (*following, f"skillbank report {job}"),
        code,
        error={**error, "job_id": record["id"]} if error else None,
    )


def _resumable(record: dict[str, Any]) -> list[str]:
    """The jobs a canceled one can be continued from: itself, or those of its search or series that were cut off."""
    trials = (record.get("automl") or {}).get("trials") or (record.get("series") or {}).get("children") or []
    return [t["job_id"] for t in trials if t["state"] == "CANCELED"] or ([record["id"]] if record.get("checkpoints") else [])


def _again(verb: str) -> str:
    return " ".join(["skillbank", verb, *(_quoted(w) for w in sys.argv[2:] if w != "--json")])


def _quoted(word: str) -> str:
    import shlex

    return shlex.quote(word)


def _store(arguments: argparse.Namespace) -> Any:
    from runner.jobs import JobStore

    return JobStore(arguments.workspace.absolute())


def jobs_(arguments: argparse.Namespace) -> Reply:
    """The jobs of the workspace, the dead ones found out."""
    store = _store(arguments)
    records = store.list(reconcile=True)
    if arguments.state:
        records = [r for r in records if r["state"] == arguments.state.upper()]
    fields = ("id", "skill", "action", "state", "submitted_at", "ended_at", "parent_job", "study_job", "results_dir")
    rows = [{field: r.get(field) for field in fields} for r in records]
    return Reply({"jobs": rows}, render.jobs(rows))


def status_(arguments: argparse.Namespace) -> Reply:
    """A job's record and how far it is."""
    from runner.jobs import last_status

    store = _store(arguments)
    record = store.reconcile(arguments.job)
    at_work = store.working_on(record)
    progress = last_status(at_work["results_dir"])
    return Reply({**_facts(record), "progress": progress}, render.job(record, progress))


def logs_(arguments: argparse.Namespace) -> Reply:
    """A job's log, followed on request."""
    store = _store(arguments)
    record = store.reconcile(arguments.job)
    path = Path(record["log"])
    text = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
    if arguments.lines:
        text = "".join(text.splitlines(keepends=True)[-arguments.lines :])
    if arguments.follow and arguments.json:  # one envelope, when all is said
        wait_(argparse.Namespace(job=arguments.job, workspace=arguments.workspace, timeout=None))
        text = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
    if not arguments.follow or arguments.json:
        return Reply({"job_id": record["id"], "log": str(path), "text": text}, text)
    _follow(store, record, path, text)
    return Reply({"job_id": record["id"]}, "")


def _follow(store: Any, record: dict[str, Any], path: Path, text: str) -> None:
    from runner.jobs import TERMINAL

    sys.stdout.write(text)
    seen = path.stat().st_size if path.exists() else 0
    while True:
        ended = record["state"] in TERMINAL
        if path.exists() and path.stat().st_size > seen:
            with open(path, "rb") as file:
                file.seek(seen)
                chunk = file.read()
            seen += len(chunk)
            sys.stdout.write(chunk.decode("utf-8", errors="replace"))
            sys.stdout.flush()
        if ended:
            return
        time.sleep(0.2)
        record = store.reconcile(record["id"])


def wait_(arguments: argparse.Namespace) -> Reply:
    """Wait; StillRunning when the time is up."""
    from runner.jobs import TERMINAL

    store = _store(arguments)
    deadline = time.monotonic() + arguments.timeout if arguments.timeout is not None else None
    while True:
        record = store.reconcile(arguments.job)
        if record["state"] in TERMINAL:
            return _ended(record, arguments.workspace)
        if deadline is not None and time.monotonic() >= deadline:
            raise StillRunning(
                f"{arguments.job} is still {record['state']}.",
                hint=f"skillbank logs {arguments.job} -f --workspace {arguments.workspace}",
            )
        time.sleep(0.2)


def cancel_(arguments: argparse.Namespace) -> Reply:
    """End a running job."""
    from runner import launch

    record = launch.cancel(_store(arguments), arguments.job, arguments.reason)
    code = 0 if record["state"] == "CANCELED" else 1
    return Reply(_facts(record), render.job(record), (), code)


def report_(arguments: argparse.Namespace) -> Reply:
    """Write the report of jobs with their parents and children."""
    from runner import bank, report

    store = _store(arguments)
    for job in arguments.jobs:
        store.reconcile(job)
    records = report.gather(store.read, store.list, arguments.jobs)
    skill = bank.get(records[0]["skill"])
    actions = {name: {"not_run_reason": action.not_run_reason} for name, action in skill.actions.items()}
    out = (arguments.out or arguments.workspace / "reports" / arguments.jobs[0]).absolute()
    built = report.build(records, actions=actions, generated_at=_now(), command=["skillbank", *sys.argv[1:]])
    paths = {name: str(path) for name, path in report.write(built, out).items()}
    return Reply({"report": paths, "jobs": [r["id"] for r in records]}, render.paths(paths))


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


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

    data = demo.run(arguments.out.absolute(), sys.stderr)
    if data["exit_code"]:
        raise JobFailed(f"The demo stopped at: {data['failed']}", exit_code=data["exit_code"])
    return Reply(data, render.paths(data["results"]), ())
