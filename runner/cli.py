"""The command line `skillbank`: verbs, exit codes, the JSON envelope. Prints; the work is done elsewhere.

Each verb imports what it needs when it runs, so that `list` and `status` start fast.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from runner import render
from runner.errors import JobFailed, SkillBankError, StillRunning, UsageError

TERMINAL = ("COMPLETE", "ERROR", "CANCELED")


class Reply(NamedTuple):
    """What a verb answers: data for --json, text for people, what to call next, and the exit code."""

    data: Any
    text: str
    next: tuple[str, ...] = ()
    exit_code: int = 0
    warnings: tuple[str, ...] = ()
    error: dict[str, Any] | None = None


class Parser(argparse.ArgumentParser):
    """argparse, with its complaints as UsageError, so that --json callers get an envelope for them too."""

    def error(self, message: str) -> NoReturn:
        """Raise instead of printing."""
        raise UsageError(f"{self.prog}: {message}", hint=f"See: {self.prog} --help")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb and return the exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    as_json = "--json" in words
    verb = next((w for w in words if not w.startswith("-")), "")
    try:
        arguments = build_parser().parse_args(words)
        if not hasattr(arguments, "verb"):
            build_parser().print_help()
            return 2
        reply = arguments.verb(arguments)
    except SkillBankError as error:
        reply = _failed(error)
    except KeyboardInterrupt:
        reply = Reply(None, "", exit_code=130, error={"class": "Canceled", "message": "interrupted", "exit_code": 130})
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    return _answer(verb, reply, as_json)


def _answer(verb: str, reply: Reply, as_json: bool) -> int:
    ok = reply.exit_code == 0
    try:
        if as_json:
            envelope = {
                "ok": ok,
                "schema_version": 1,
                "command": verb,
                "data": reply.data,
                "warnings": list(reply.warnings),
                "error": reply.error,
                "next": list(reply.next),
            }
            sys.stdout.write(json.dumps(envelope, ensure_ascii=False, default=str) + "\n")
        else:
            for warning in reply.warnings:
                sys.stderr.write(f"warning: {warning}\n")
            if reply.text:
                (sys.stdout if ok or reply.data else sys.stderr).write(reply.text.rstrip("\n") + "\n")
            if reply.error and reply.data:
                sys.stderr.write(f"error: {reply.error['message']}\n")
            if reply.next and ok and sys.stderr.isatty():
                sys.stderr.write("next:\n" + "".join(f"  {line}\n" for line in reply.next))
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return reply.exit_code


def _failed(error: SkillBankError) -> Reply:
    details = {
        "class": type(error).__name__,
        "message": error.message,
        "problems": [p.as_dict() for p in error.problems],
        "hint": error.hint,
        "exit_code": error.exit_code,
    }
    data = {"candidates": getattr(error, "candidates")} if hasattr(error, "candidates") else None  # noqa: B009
    return Reply(data if data else None, f"error: {error}", exit_code=error.exit_code, error=details)


def build_parser() -> argparse.ArgumentParser:
    """The whole command line."""
    parser = Parser(
        prog="skillbank",
        description="Skills for agents, jobs for people: skeleton action recognition from a phrase to a validation report.",
        epilog="Example: skillbank run tao-train-pose-classification train --dataset DATA --set model.graph_layout=coco",
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version and exit")
    verbs = parser.add_subparsers(metavar="VERB", parser_class=Parser)

    def verb(name: str, function: Callable[[Any], Reply], help_: str, example: str, **flags: Any) -> argparse.ArgumentParser:
        sub = verbs.add_parser(name, help=help_, description=help_, epilog=f"Example: {example}", **flags)
        sub.add_argument("--json", action="store_true", help="one JSON envelope on stdout")
        sub.set_defaults(verb=function)
        return sub

    verb("list", _list, "The skills of the bank.", "skillbank list")
    sub = verb(
        "show",
        _show,
        "One skill, one action or one setting.",
        "skillbank show tao-train-pose-classification train --path train.optim.lr",
    )
    sub.add_argument("skill", metavar="SKILL")
    sub.add_argument("action", metavar="ACTION", nargs="?")
    sub.add_argument("--path", metavar="KEY", help="one setting, by its dotted key")
    sub = verb("match", _match, "Which skill and action a phrase means.", 'skillbank match "train pose classification, no HPO"')
    sub.add_argument("phrase", metavar="PHRASE", nargs="+")
    for name, function, help_ in (
        ("plan", _plan, "What `run` would do; changes nothing on disk."),
        ("validate", _validate, "Check a spec; required inputs may still be missing."),
        ("run", _run, "Run a job to its end, or with --detach in the background."),
    ):
        sub = verb(
            name, function, help_, f"skillbank {name} tao-train-pose-classification train --dataset DATA --set num_epochs=30"
        )
        _add_request(sub)
        _add_workspace(sub)
        if name == "run":
            sub.add_argument("--detach", action="store_true", help="return at once; the job goes on in the background")
    sub = verb("jobs", _jobs, "The jobs of a workspace.", "skillbank jobs --state RUNNING")
    sub.add_argument("--state", metavar="STATE", help="only jobs in this state")
    _add_workspace(sub)
    _add_job(verb("status", _status, "How a job stands.", "skillbank status JOB --json"))
    sub = _add_job(verb("logs", _logs, "What a job printed.", "skillbank logs JOB -f"))
    sub.add_argument("-f", "--follow", action="store_true", help="go on until the job ends")
    sub.add_argument("-n", "--lines", type=int, default=0, metavar="N", help="only the last N lines")
    sub = _add_job(verb("wait", _wait, "Wait for a job to end.", "skillbank wait JOB --timeout 600"))
    sub.add_argument("--timeout", type=float, metavar="SECONDS", help="give up after so long (exit code 8)")
    sub = _add_job(verb("cancel", _cancel, "End a running job.", "skillbank cancel JOB"))
    sub.add_argument("--reason", default="canceled by the user", help="kept in the record")
    sub = verb("report", _report, "The validation report of jobs, with their parents and children.", "skillbank report JOB")
    sub.add_argument("jobs", metavar="JOB", nargs="+")
    sub.add_argument("--out", metavar="DIR", type=Path, help="default: <workspace>/reports/<first job>")
    _add_workspace(sub)
    sub = verb("schemas", _schemas, "Generate schemas and templates, or check them.", "skillbank schemas check")
    sub.add_argument("what", choices=("build", "check"))
    sub.add_argument("skill", metavar="SKILL", nargs="*", help="default: every skill with generated files")
    sub = verb("demo", _demo, "The whole way on synthetic data: sample data to validation report.", "skillbank demo --out demo")
    sub.add_argument("--out", metavar="DIR", type=Path, default=Path("demo"))
    return parser


class _Version(argparse.Action):
    """Print the version, looked up only when it is asked for."""

    def __call__(self, *_: Any, **__: Any) -> None:
        from runner import bank

        sys.stdout.write(f"skillbank {bank.version()}\n")
        raise SystemExit(0)


def _add_workspace(sub: argparse.ArgumentParser) -> None:
    sub.add_argument(
        "--workspace",
        metavar="DIR",
        type=Path,
        default=Path(os.environ.get("SKILLBANK_WORKSPACE") or "workspace"),
        help="where jobs and results live; default: $SKILLBANK_WORKSPACE or ./workspace",
    )


def _add_job(sub: argparse.ArgumentParser) -> argparse.ArgumentParser:
    sub.add_argument("job", metavar="JOB")
    _add_workspace(sub)
    return sub


def _add_request(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("skill", metavar="SKILL", nargs="?", help="may be left out with --phrase")
    sub.add_argument("action", metavar="ACTION", nargs="?", help="may be left out with --phrase")
    sub.add_argument("--phrase", metavar="TEXT", help="what the user said; names the skill, the action, the AutoML word")
    sub.add_argument("--dataset", metavar="DIR", help="folder (or s3:// prefix) whose files fill the spec's data paths")
    sub.add_argument("--spec", metavar="FILE", type=Path, help="spec file, YAML or JSON")
    sub.add_argument(
        "--set", metavar="KEY=VALUE", action="append", default=[], dest="overrides", help="a spec value; repeatable"
    )
    sub.add_argument("--parent", metavar="JOB", help="the job whose artifacts are used")
    sub.add_argument(
        "--checkpoint", metavar="WHICH", default="best", help="of the parent: best (default), latest, epoch:N or step:N"
    )
    sub.add_argument("--resume", metavar="JOB", help="the train job to go on with, from its latest checkpoint")
    sub.add_argument("--pretrained", metavar="FILE", help="checkpoint whose weights start the training")
    sub.add_argument("--automl", choices=("on", "off"), help="search, or train once; default: the phrase's word, else on")
    sub.add_argument(
        "--budget", metavar="KEY=N", action="append", default=[], help="of the search: trials=N, time=10m; default trials=10"
    )
    sub.add_argument("--results", metavar="ROOT", help="folder or s3:// prefix under which the job's results go")
    sub.add_argument("--overwrite", action="store_true", help="let export replace an existing file")


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
        command=("skillbank", *sys.argv[1:]),
    )


def _list(_: argparse.Namespace) -> Reply:
    from runner import bank

    skills = [{"name": s.name, "description": s.description} for s in bank.skills()]
    return Reply({"skills": skills}, render.skills(skills), tuple(f"skillbank show {s['name']}" for s in skills))


def _show(arguments: argparse.Namespace) -> Reply:
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
        }
        return Reply(data, render.skill(data), tuple(f"skillbank show {skill.name} {a}" for a in skill.actions))
    action, schema = skill.action(arguments.action), skill.schema(arguments.action)
    if arguments.path:
        key = skill.shorthand.get(arguments.path, arguments.path)
        if key not in schema.leaves():
            near = specs.nearest(key, schema.leaves())
            raise UsageError(f"{action.name} has no setting {key!r}.", hint=f"Nearest: {', '.join(near)}" if near else "")
        data = {"path": key, **schema.leaves()[key]}
        return Reply(data, render.leaf(data))
    leaves = {key: dict(leaf) for key, leaf in schema.leaves().items()}
    data = {"skill": skill.name, "action": action.name, "inputs": action.inputs, "outputs": action.outputs, "settings": leaves}
    return Reply(data, render.action(data), (f"skillbank plan {skill.name} {action.name} --dataset DIR",))


def _match(arguments: argparse.Namespace) -> Reply:
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


def _plan(arguments: argparse.Namespace) -> Reply:
    from runner import plan

    made = plan.make(_request(arguments))
    data = plan.describe(made)
    return Reply(data, render.plan(data), (_again("run"),), warnings=tuple(made.notes))


def _validate(arguments: argparse.Namespace) -> Reply:
    from runner import plan

    made = plan.make(_request(arguments), strict=False)
    data = plan.describe(made)
    return Reply(
        {"valid": True, **{k: data[k] for k in ("skill", "action", "spec", "sources", "missing", "set_aside")}},
        render.valid(data),
        (_again("plan"),),
        warnings=tuple(made.notes),
    )


def _run(arguments: argparse.Namespace) -> Reply:
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
    elif record["state"] == "CANCELED" and record.get("checkpoints"):
        following = [f"skillbank run {record['skill']} {record['action']} --resume {job} ..."]
    else:
        following = [f"skillbank logs {job}"] if code else []
    return Reply(
        _facts(record),
        render.job(record),
        (*following, f"skillbank report {job}"),
        code,
        error={**error, "job_id": record["id"]} if error else None,
    )


def _again(verb: str) -> str:
    return " ".join(["skillbank", verb, *(_quoted(w) for w in sys.argv[2:] if w != "--json")])


def _quoted(word: str) -> str:
    import shlex

    return shlex.quote(word)


def _store(arguments: argparse.Namespace) -> Any:
    from runner.jobs import JobStore

    return JobStore(arguments.workspace.absolute())


def _jobs(arguments: argparse.Namespace) -> Reply:
    store = _store(arguments)
    records = store.list(reconcile=True)
    if arguments.state:
        records = [r for r in records if r["state"] == arguments.state.upper()]
    fields = ("id", "skill", "action", "state", "submitted_at", "ended_at", "parent_job", "study_job", "results_dir")
    rows = [{field: r.get(field) for field in fields} for r in records]
    return Reply({"jobs": rows}, render.jobs(rows))


def _status(arguments: argparse.Namespace) -> Reply:
    from runner.jobs import last_status

    store = _store(arguments)
    record = store.reconcile(arguments.job)
    progress = last_status(record["results_dir"])
    return Reply({**_facts(record), "progress": progress}, render.job(record, progress))


def _logs(arguments: argparse.Namespace) -> Reply:
    store = _store(arguments)
    record = store.reconcile(arguments.job)
    path = Path(record["log"])
    text = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
    if arguments.lines:
        text = "".join(text.splitlines(keepends=True)[-arguments.lines :])
    if not arguments.follow or arguments.json:
        return Reply({"job_id": record["id"], "log": str(path), "text": text}, text)
    _follow(store, record, path, text)
    return Reply({"job_id": record["id"]}, "")


def _follow(store: Any, record: dict[str, Any], path: Path, text: str) -> None:
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


def _wait(arguments: argparse.Namespace) -> Reply:
    store = _store(arguments)
    deadline = time.monotonic() + arguments.timeout if arguments.timeout is not None else None
    while True:
        record = store.reconcile(arguments.job)
        if record["state"] in TERMINAL:
            return _ended(record, arguments.workspace)
        if deadline is not None and time.monotonic() >= deadline:
            raise StillRunning(f"{arguments.job} is still {record['state']}.", hint=f"skillbank logs {arguments.job} -f")
        time.sleep(0.2)


def _cancel(arguments: argparse.Namespace) -> Reply:
    from runner import launch

    record = launch.cancel(_store(arguments), arguments.job, arguments.reason)
    code = 0 if record["state"] == "CANCELED" else 1
    return Reply(_facts(record), render.job(record), (), code)


def _report(arguments: argparse.Namespace) -> Reply:
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


def _schemas(arguments: argparse.Namespace) -> Reply:
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


def _demo(arguments: argparse.Namespace) -> Reply:
    from runner import demo

    data = demo.run(arguments.out.absolute(), sys.stderr)
    if data["exit_code"]:
        raise JobFailed(f"The demo stopped at: {data['failed']}", exit_code=data["exit_code"])
    return Reply(data, render.paths(data["results"]), ())


if __name__ == "__main__":
    sys.exit(main())
