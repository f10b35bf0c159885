"""The grammar of `skillbank`: verbs, arguments, help. Knows no answers."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from runner import keys, terminal
from runner.cli import automl, caring, reports, searching, serving, skills, verbs, watching
from runner.cli.kinds import file, folder, text
from runner.cli.reply import Reply
from runner.errors import UsageError


class Formatter(argparse.RawDescriptionHelpFormatter):
    """An example is one line, to be copied. The width is known, for argparse imports much to find it out."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=(terminal.limit(sys.stdout) or 80) - 2)


class Parser(argparse.ArgumentParser):
    """argparse, with its complaints as UsageError, so that --json callers get an envelope for them too."""

    def error(self, message: str) -> NoReturn:
        """Raise instead of printing."""
        raise UsageError(f"{self.prog}: {message}", hint=f"See: {self.prog} --help")


class VerbParser(Parser):
    """The grammar of one verb."""

    mixing = False

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Options may stand between the words of a verb: where a word is left over, once more with the options first."""
        found, over = super().parse_known_args(args, namespace)
        if not over or self.mixing or any(word.startswith("-") for word in over):
            return found, over
        self.mixing = True
        try:
            return self.parse_known_intermixed_args(args, namespace)
        finally:
            self.mixing = False


class _Unsaid:
    """Stands for the grammar of a verb that is not asked for: takes whatever is added, and keeps nothing."""

    def __getattr__(self, name: str) -> Any:
        return lambda *_, **__: self


def build_parser(only: str = "") -> argparse.ArgumentParser:
    """The whole command line; of a verb that is known, no more than its own part, which takes a tenth of the time."""
    parser = Parser(
        prog="skillbank",
        description="Skills for agents, jobs for people: skeleton action recognition from a phrase to a validation report.",
        epilog="Example: skillbank run tao-train-pose-classification train --dataset DATA --set model.graph_layout=coco",
        formatter_class=Formatter,
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version and exit")
    grammar = parser.add_subparsers(metavar="VERB", parser_class=VerbParser, prog="skillbank")  # told, it is not worked out

    def verb(name: str, function: Callable[[Any], Reply], help_: str, example: str, **flags: Any) -> Any:
        if only and name != only:
            return _Unsaid()
        sub = grammar.add_parser(
            name, help=help_, description=help_, epilog=f"Example: {example}", formatter_class=Formatter, **flags
        )
        sub.add_argument("--json", action="store_true", help="one JSON envelope on stdout")
        sub.add_argument("-q", "--quiet", action="store_true", help="no progress, no steps, no advice")
        sub.add_argument("-v", "--verbose", action="store_true", help="nothing shortened; times beside the lines of a run")
        sub.set_defaults(verb=function)
        return sub

    _add_looking(verb)
    _add_running(verb)
    _add_jobs(verb)
    _add_upkeep(verb)
    return parser if not only or only in grammar.choices else build_parser()


Verb = Callable[..., argparse.ArgumentParser]


def _add_looking(verb: Verb) -> None:
    """What there is."""
    verb("list", verbs.list_, "The skills of the bank.", "skillbank list")
    sub = verb(
        "show",
        verbs.show_,
        "One skill, one action or one setting.",
        "skillbank show tao-train-pose-classification train --path train.optim.lr",
    )
    sub.add_argument("skill", metavar="SKILL")
    sub.add_argument("action", metavar="ACTION", nargs="?")
    sub.add_argument("--path", metavar="KEY", help="one setting, by its dotted key")
    sub = verb(
        "match", verbs.match_, "Which skill and action a phrase means.", 'skillbank match "train pose classification, no HPO"'
    )
    sub.add_argument("phrase", metavar="PHRASE", nargs="+")


def _add_running(verb: Verb) -> None:
    """From arguments to a job."""
    for name, function, help_ in (
        ("plan", verbs.plan_, "What `run` would do, and the hash by which just that is run; starts nothing."),
        ("validate", verbs.validate_, "Check a spec; required inputs may still be missing."),
        ("run", verbs.run_, "Run a job to its end, or with --detach in the background."),
    ):
        sub = verb(
            name, function, help_, f"skillbank {name} tao-train-pose-classification train --dataset DATA --set num_epochs=30"
        )
        _add_request(sub)
        _add_workspace(sub)
        if name == "run":
            sub.add_argument(
                "--dry-run", action="store_true", help="with --launch slurm: print the sbatch script, start nothing"
            )
            sub.add_argument("--detach", action="store_true", help="return at once; the job goes on in the background")
            sub.add_argument(
                "--plan", metavar="HASH", help="run just this plan (hash from `plan`), or nothing if anything changed"
            )
            sub.add_argument(
                "--job-id", metavar="ID", help="id of the job; asked for again in the same words, it is the same job"
            )


def _add_jobs(verb: Verb) -> None:
    """Jobs that there are."""
    sub = verb("jobs", watching.jobs_, "The jobs of a workspace.", "skillbank jobs --state RUNNING")
    sub.add_argument("--state", metavar="STATE", help="only jobs in this state")
    _add_workspace(sub)
    _add_job(verb("status", watching.status_, "How a job stands.", "skillbank status JOB --json"))
    sub = _add_job(verb("logs", watching.logs_, "What a job printed.", "skillbank logs JOB -f"))
    sub.add_argument("-f", "--follow", action="store_true", help="go on until the job ends")
    sub.add_argument("-n", "--lines", type=int, default=0, metavar="N", help="only the last N lines")
    sub = _add_job(verb("wait", watching.wait_, "Wait for a job to end.", "skillbank wait JOB --timeout 600"))
    sub.add_argument("--timeout", type=float, metavar="SECONDS", help="give up after so long (exit code 8)")
    sub = _add_job(verb("cancel", watching.cancel_, "End a running job.", "skillbank cancel JOB"))
    sub.add_argument("--reason", default="canceled by the user", help="kept in the record")
    sub = verb(
        "report", reports.report, "The report of jobs, jobs side by side, or a page of all jobs.", "skillbank report JOB"
    )
    reports.add_options(sub)
    _add_workspace(sub)


def _add_upkeep(verb: Verb) -> None:
    """The bank itself, and what it runs on."""
    sub = verb("schemas", verbs.schemas_, "Generate schemas and templates, or check them.", "skillbank schemas check")
    sub.add_argument("what", choices=("build", "check"))
    sub.add_argument("skill", metavar="SKILL", nargs="*", help="default: every skill with generated files")
    sub = verb(
        "skills",
        skills.skills_,
        "Install the skills where agents look, or begin a new one.",
        "skillbank skills install --dest .agents/skills",
    )
    sub.add_argument("what", choices=("install", "new"))
    sub.add_argument(
        "name", metavar="NAME", nargs="*", default=[], help="install: the skills, default all; new: the name of the skill"
    )
    sub.add_argument(
        "--dest",
        metavar="DIR",
        type=folder,
        help="install: default .agents/skills; new: folder with skills/, default the bank's",
    )
    sub.add_argument("--overwrite", action="store_true", help="install: replace files that were changed")
    _add_workspace(automl.add(verb))
    _add_workspace(serving.add(verb))
    sub = verb(
        "doctor",
        caring.doctor_,
        "What may be wrong with this installation, machine and workspace, and the remedy.",
        "skillbank doctor --quick",
    )
    sub.add_argument("--network", action="store_true", help="ask the store of s3:// too")
    sub.add_argument("--quick", action="store_true", help="do not try whether the packages start, which takes seconds")
    _add_workspace(sub)
    sub = verb(
        "completion",
        caring.completion_,
        "The script by which a shell completes commands, settings and job ids.",
        "skillbank completion bash",
    )
    sub.add_argument("shell", choices=("bash", "zsh", "fish"))
    sub = verb(
        "demo", verbs.demo_, "The whole way on synthetic data: sample data to validation report.", "skillbank demo --out demo"
    )
    sub.add_argument("--out", metavar="DIR", type=folder, default=Path("demo"))


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
        type=folder,
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
    sub.add_argument(
        "--phrase", metavar="TEXT", type=text, help="what the user said; names the skill, the action, the AutoML word"
    )
    sub.add_argument(
        "--dataset", metavar="DIR", type=text, help="folder (or s3:// prefix) whose files fill the spec's data paths"
    )
    sub.add_argument("--spec", metavar="FILE", type=file, help="spec file, YAML or JSON")
    sub.add_argument(
        "--set", metavar="KEY=VALUE", action="append", default=[], dest="overrides", help="a spec value; repeatable"
    )
    sub.add_argument("--parent", metavar="JOB", help="the job whose artifacts are used")
    sub.add_argument(
        "--checkpoint", metavar="WHICH", default="best", help="of the parent: best (default), latest, epoch:N or step:N"
    )
    sub.add_argument("--resume", metavar="JOB", help="the train job to go on with, from its latest checkpoint")
    sub.add_argument("--pretrained", metavar="FILE", type=text, help="checkpoint whose weights start the training")
    keys.add_option(sub)
    sub.add_argument("--automl", choices=("on", "off"), help="search, or train once; default: the phrase's word, else on")
    searching.add_options(sub)
    sub.add_argument("--results", metavar="ROOT", type=text, help="folder or s3:// prefix under which the job's results go")
    sub.add_argument(
        "--recipe", metavar="NAME", help="recipe laid under what you say, or none; default: the skill's, unless --spec is given"
    )
    sub.add_argument("--folds", metavar="K", type=int, help="cross-validate: K trainings, each validated on another K-th")
    sub.add_argument("--seeds", metavar="K", type=int, help="train K times, each with another seed")
    sub.add_argument(
        "--learning-curve",
        metavar="SHARES",
        nargs="?",
        const="",
        help="train on growing shares of the data; default 0.25,0.5,0.75,1",
    )
    sub.add_argument("--overwrite", action="store_true", help="let export replace an existing file")
