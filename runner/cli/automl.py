"""`skillbank automl`: an agent's words to a search, workers on other machines, and a manifest that starts them."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from runner import databases
from runner.cli.kinds import text
from runner.cli.reply import Reply, ended, quoted, store_of
from runner.errors import UsageError

DOES = {
    "suggest": ("n", "storage"),
    "enqueue": ("overrides", "base", "storage"),
    "tell": ("overrides", "value", "storage"),
    "finish": ("storage",),
    "worker": ("storage", "workers", "keep_trials"),
    "manifest": ("storage", "workers", "image", "secret", "claim", "kubernetes"),
}
NAMES = {"overrides": "--set", "n": "-n", "keep_trials": "--keep-trials", "kubernetes": "--kubernetes"}


def add(verb: Callable[..., argparse.ArgumentParser]) -> argparse.ArgumentParser:
    """The grammar of the verb, less the workspace."""
    sub = verb(
        "automl",
        automl_,
        "Speak to a search, or work on one that another machine began.",
        "skillbank automl enqueue JOB --set train.optim.lr=0.01",
    )
    sub.add_argument(
        "what",
        choices=tuple(DOES),
        help="suggest, enqueue, tell, finish: guide a search; worker: train for it; manifest: workers for Kubernetes",
    )
    sub.add_argument("job", metavar="JOB", nargs="?", help="the search: its job, or with --storage its study")
    sub.add_argument("--study", metavar="ID", type=text, help="the same as JOB")
    sub.add_argument(
        "--storage",
        metavar="URL",
        type=text,
        help=f"database of a search begun elsewhere: {databases.ALLOWED}; worker: default ${databases.VARIABLE}",
    )
    sub.add_argument("-n", type=int, metavar="N", help="suggest: so many; default 1")
    sub.add_argument(
        "--set", metavar="KEY=VALUE", action="append", default=[], dest="overrides", help="enqueue, tell: a setting; repeatable"
    )
    sub.add_argument("--base", type=int, metavar="N", help="enqueue: other settings as in trial N; default as in the spec")
    sub.add_argument("--value", type=float, metavar="V", help="tell: what the metric came to after a whole training")
    sub.add_argument("--workers", metavar="N", help="worker: trials at once, default auto; manifest: pods, default 4")
    sub.add_argument("--keep-trials", action="store_true", help="worker: keep the checkpoints of all trials")
    sub.add_argument("--image", metavar="IMAGE", type=text, help="manifest: the container image that has skillbank")
    sub.add_argument(
        "--secret", metavar="NAME", type=text, help="manifest: Kubernetes secret with the database and keys; default skillbank"
    )
    sub.add_argument("--claim", metavar="NAME", type=text, help="manifest: volume claim for the workspaces; default none")
    sub.add_argument(
        "--kubernetes",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="manifest: namespace=NAME, cpu=4, memory=8Gi, gpus=1; repeatable",
    )
    return sub


def automl_(arguments: argparse.Namespace) -> Reply:
    """Do what was asked for; each imports what it needs."""
    if arguments.job and arguments.study and arguments.job != arguments.study:
        raise UsageError(f"Two searches are named: {arguments.job} and {arguments.study}.", hint="Name one.")
    arguments.job = arguments.job or arguments.study
    if arguments.job is None:
        raise UsageError(f"automl {arguments.what}: no search is named.", hint="JOB, or --study ID; see `skillbank jobs`.")
    others = {name for names in DOES.values() for name in names} - set(DOES[arguments.what])
    given = sorted(NAMES.get(name, f"--{name}") for name in others if getattr(arguments, name) not in (None, [], False))
    if given:
        allowed = ", ".join(NAMES.get(name, f"--{name}") for name in DOES[arguments.what])
        raise UsageError(f"automl {arguments.what} takes no {', '.join(given)}; allowed: {allowed}.")
    return DOING[arguments.what](arguments)


def _talk(arguments: argparse.Namespace) -> Any:
    from runner import study_talk

    return study_talk.begin(store_of(arguments), arguments.job, arguments.storage)


def _suggest(arguments: argparse.Namespace) -> Reply:
    from runner import study_talk

    count = 1 if arguments.n is None else arguments.n
    if not 1 <= count <= 100:
        raise UsageError(f"-n {count}: allowed: 1 to 100.")
    data = study_talk.suggest(_talk(arguments), count)
    lines = [_said(one) for one in data["suggestions"]] or ["Everything there is has been tried."]
    words = " ".join(f"--set {quoted(f'{key}={value}')}" for key, value in (data["suggestions"] or [{}])[0].items())
    return Reply(data, "\n".join(lines), (_again(arguments, "enqueue", words),))


def _enqueue(arguments: argparse.Namespace) -> Reply:
    from runner import study_talk

    talk = _talk(arguments)
    data = study_talk.enqueue(talk, arguments.overrides, arguments.base)
    lines = [f"queued as trial {data['number']}: {_said(data['params'])}", *data["adjustments"]]
    return Reply(data, "\n".join(lines), (_seen(arguments, talk),), warnings=_nobody(talk))


def _tell(arguments: argparse.Namespace) -> Reply:
    from runner import study_talk

    if arguments.value is None:
        raise UsageError("automl tell: what it came to is not said.", hint="--value V")
    talk = _talk(arguments)
    data = study_talk.tell(talk, arguments.overrides, arguments.value)
    return Reply(
        data, f"noted: {data['metric']} {data['value']:g} with {_said(data['params'])}", (_again(arguments, "suggest"),)
    )


def _finish(arguments: argparse.Namespace) -> Reply:
    from runner import study_talk

    talk = _talk(arguments)
    data = study_talk.finish(talk)
    text_ = f"{data['search']}: nothing more is begun; {data['open']} still to be trained"
    return Reply(data, text_, (_seen(arguments, talk),), warnings=_nobody(talk))


def _worker(arguments: argparse.Namespace) -> Reply:
    from runner import study_worker
    from runner.cli.verbs import ticker_of

    asked = study_worker.Asked(
        workspace=arguments.workspace.absolute(),
        study=arguments.job,
        storage=arguments.storage,
        workers=arguments.workers,
        keep_trials=arguments.keep_trials,
        command=("skillbank", *arguments.words),
    )
    record = study_worker.work(asked, ticker_of(arguments))
    if record["state"] == "COMPLETE":
        own = [job for trial in record["automl"]["trials"] for job in trial["jobs"] if _here(arguments, job)]
        return ended(record)._replace(text=f"{record['id']}: the search is done; {len(own)} jobs were trained here")
    return ended(record)


def _here(arguments: argparse.Namespace, job: str) -> bool:
    return bool(store_of(arguments).path(job).exists())


def _manifest(arguments: argparse.Namespace) -> Reply:
    from runner import study_manifest

    data = study_manifest.make(
        arguments.job,
        image=arguments.image,
        workers=arguments.workers,
        secret=arguments.secret,
        claim=arguments.claim,
        words=arguments.kubernetes,
        record=study_manifest.known(store_of(arguments), arguments.job),
    )
    following = (f"skillbank {_words(arguments)} | kubectl apply -f -",)
    wanted = tuple(f"The pods need {need}." for need in data["needs"])
    return Reply(data, study_manifest.text(data["manifest"]).rstrip("\n"), following, warnings=wanted)


def _words(arguments: argparse.Namespace) -> str:
    return " ".join(quoted(word) for word in arguments.words if word != "--json")


def _said(params: dict[str, Any]) -> str:
    return ", ".join(f"{key}={value}" for key, value in params.items())


def _again(arguments: argparse.Namespace, what: str, words: str = "") -> str:
    place = f" --storage {quoted(databases.shown(arguments.storage))}" if arguments.storage else ""
    here = f" --workspace {quoted(str(arguments.workspace))}" if arguments.workspace != Path("workspace") else ""
    return f"skillbank automl {what} {arguments.job}{place}{here} {words}".rstrip()


def _seen(arguments: argparse.Namespace, talk: Any) -> str:
    if talk.record is None:
        return _again(arguments, "suggest")
    here = f" --workspace {quoted(str(arguments.workspace))}" if arguments.workspace != Path("workspace") else ""
    return f"skillbank status {talk.record['id']}{here}"


def _nobody(talk: Any) -> tuple[str, ...]:
    if not talk.ended:
        return ()
    return (f"The search {talk.name} has ended ({talk.record['state']}): it is trained when the search goes on with --resume.",)


DOING: dict[str, Callable[[argparse.Namespace], Reply]] = {
    "suggest": _suggest,
    "enqueue": _enqueue,
    "tell": _tell,
    "finish": _finish,
    "worker": _worker,
    "manifest": _manifest,
}
