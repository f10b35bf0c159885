"""The actions of `pose_classification`: compose the spec, fetch what it names, run it here, show what came of it."""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from runner import backend, bank, follow, keys, redact, storage, terminal
from runner import plan as plans
from runner import spec as specs
from runner.errors import UsageError
from runner.skill import Action, Skill

NETWORK = "pose_classification"
KEY = "encryption_key"
ANYWHERE = ("num_gpus", "gpu_ids")  # TAO takes these without their section
CONVERTING = ("data", "format", "label_file", "split", "layout", "target_layout", "on_error")
STREAMING = (
    "layout",
    "window",
    "stride",
    "min_frames",
    "smoothing",
    "unknown",
    "forget",
    "gaps",
    "max_tracks",
    "image_size",
    "on_error",
)
AS_SETTINGS = {"checkpoint": "inference.checkpoint", "top_k": "inference.top_k"}


def convert(arguments: argparse.Namespace) -> int:
    """dataset_convert, told by a spec or by plain options."""
    settings = {"results_dir": "results_dir", **{name: f"dataset_convert.{name}" for name in CONVERTING}}
    given = {key: value for name, key in settings.items() if (value := getattr(arguments, name)) is not None}
    arguments.overrides += [f"{key}={json.dumps(value)}" for key, value in given.items()]
    return action(arguments)


def inference(arguments: argparse.Namespace) -> int:
    """Of a set, or of a stream."""
    if arguments.stream:
        return _stream(arguments)
    wrong = [f"--{name.replace('_', '-')}" for name in (*AS_SETTINGS, *STREAMING) if getattr(arguments, name) is not None]
    if wrong:
        raise UsageError(f"pose_classification inference: {', '.join(wrong)} needs --stream")
    if arguments.experiment_spec_file is None:
        raise UsageError("pose_classification inference: the following arguments are required: -e/--experiment_spec_file")
    return action(arguments)


def _stream(arguments: argparse.Namespace) -> int:
    """Decisions alone go to stdout. The end of the input and a reader that has enough are both success."""
    skill = bank.by_network(NETWORK)
    words = [
        f"{key}={json.dumps(getattr(arguments, name))}"
        for name, key in AS_SETTINGS.items()
        if getattr(arguments, name) is not None
    ]
    reads = ("inference.checkpoint", "model.graph_layout")
    spec = compose(skill, "inference", arguments.experiment_spec_file, [*arguments.overrides, *words], reads=reads)
    if arguments.encryption_key_file == keys.FROM_STDIN:
        raise UsageError(f"{keys.OPTION} -: with --stream stdin is for the poses.", hint=f"{keys.HOW}.")
    _give_key(spec, skill.action("inference"), arguments)
    if sys.stdin is None or sys.stdout is None:
        raise UsageError("pose_classification inference --stream: stdin or stdout is closed")
    if sys.stdin.isatty():
        sys.stderr.write("reading JSON lines from the terminal; end with Ctrl-D\n")
    settings = {name: getattr(arguments, name) for name in STREAMING}
    settings |= {"spec": spec, "input": sys.stdin.buffer, "output": sys.stdout.buffer}
    arguments.line.stop()  # the terminal belongs to the stream
    with _log_to_stderr(arguments):
        outcome = backend.run_here(skill.info["tools"]["inference_stream"]["entrypoint"], settings)
    if outcome.metrics["ended"] == "reader":
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nothing more can be written at exit
    return 130 if outcome.metrics["ended"] == "interrupt" else 0


def action(arguments: argparse.Namespace) -> int:
    """Run an action from its spec, as TAO does."""
    skill = bank.by_network(NETWORK)
    spec = compose(skill, arguments.action, arguments.experiment_spec_file, arguments.overrides)
    _give_key(spec, skill.action(arguments.action), arguments)
    folder = specs.get(spec, f"{arguments.action}.results_dir") or os.path.join(spec["results_dir"], arguments.action)
    arguments.folder, line = folder, arguments.line
    _fetch(spec, skill.action(arguments.action), folder, line)
    with line.aside():
        sys.stdout.write(f"{arguments.action.replace('_', ' ').capitalize()} results will be saved at: {folder}\n")
        sys.stdout.flush()
    began = time.time() - 1  # file systems count coarser
    clock = follow.Clock()

    def where() -> str:
        told = follow.progress(folder, began)
        return follow.line(told, age=clock.age(told), else_=f"{arguments.action} starts")

    line.look = where
    with _log_to_stderr(arguments):
        outcome = backend.run_here(skill.action(arguments.action).entrypoint, spec)
    line.stop()
    _show(outcome)
    sys.stdout.write("Execution status: PASS\n")
    return 0


def _fetch(spec: dict[str, Any], action: Action, folder: str, line: terminal.Moving) -> None:
    """Put a verified local copy in the place of every s3:// input; all are looked at first."""
    if storage.is_remote(folder):
        hint = "Give a local one, or let a job upload its results: skillbank run ... --results s3://bucket/prefix"
        raise UsageError(f"results_dir: {folder} is not a local folder.", hint=hint)
    remote = [(key, uri) for key in action.inputs if storage.is_remote(uri := str(specs.get(spec, key) or ""))]
    if not remote:
        return
    cache = Path(os.environ.get("SKILLBANK_WORKSPACE") or "workspace").absolute() / "cache"
    storage.preflight(remote, cache)
    for key, uri in remote:
        path = storage.fetch(uri, cache, lambda moved: line.show(str(moved)))
        line.say(f"{uri}: {path}")
        specs.set_(spec, key, str(path))


def compose(
    skill: Skill, action: str, spec_file: Path | None, overrides: Sequence[str], *, reads: Collection[str] | None = None
) -> dict[str, Any]:
    """The spec to run: defaults, then the file, then the command line; checked whole.

    ``reads`` are the inputs that matter, where those of the action and a results folder are not all needed.

    Raises:
        SpecInvalid: with every problem of the spec and every required input that has no value.
        InputMissing: with every input file that is not there.
    """
    request = plans.Request(
        workspace=Path(), spec_file=spec_file, overrides=tuple(_sectioned(word, action) for word in overrides)
    )
    return plans.plain_spec(request, skill, skill.action(action), reads=reads)


def _sectioned(word: str, action: str) -> str:
    """`num_gpus=2`, which TAO takes bare, belongs to the action's section."""
    return f"{action}.{word}" if word.partition("=")[0] in ANYWHERE and action not in ("export", "dataset_convert") else word


def _give_key(spec: dict[str, Any], action: Action, arguments: argparse.Namespace) -> None:
    """The passphrase of checkpoints: the option, the spec and its overrides, the environment, or the person at the terminal."""
    option, line = arguments.encryption_key_file, arguments.line
    if any(word.startswith(f"{KEY}=") for word in arguments.overrides):
        line.say(f"warning: every user of this machine can read a key on the command line. Better: {keys.HOW}.")
    if warning := keys.open_to_others(option):
        line.say(f"warning: {warning}")
    with line.aside():
        key = keys.from_option(option, new=arguments.action == "train") or spec.get(KEY) or keys.from_environment()
        if not key and keys.can_ask():
            locked = keys.locked([{"key": name, "uri": specs.get(spec, name)} for name in action.inputs])
            key = keys.ask() if locked else None
    spec[KEY] = key or None


class _ToTerminal(logging.Handler):
    """What the trainer says, above the line that moves."""

    def __init__(self, line: terminal.Moving) -> None:
        super().__init__()
        self.line = line

    def emit(self, record: logging.LogRecord) -> None:
        """Say it."""
        self.line.say(redact.text(self.format(record)))


@contextmanager
def _log_to_stderr(arguments: argparse.Namespace) -> Iterator[None]:
    """What the trainer says goes to stderr while it runs: warnings at least."""
    logger, handler = logging.getLogger("stgcn"), _ToTerminal(arguments.line)
    handler.setFormatter(logging.Formatter("%(message)s"))
    logger.addHandler(handler)
    logger.setLevel(logging.WARNING if arguments.quiet else logging.DEBUG if arguments.verbose else logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)


def _show(outcome: backend.Outcome) -> None:
    """Metrics and artifacts; the evaluation's table has TAO's rows."""
    metrics = outcome.metrics
    rows = [(f"Class accuracy: {name}", facts["recall"]) for name, facts in metrics.get("per_class", {}).items()]
    if "accuracy" in metrics:
        rows += [("Total accuracy", metrics["accuracy"]), ("Average class accuracy", metrics["avg_accuracy"])]
    else:
        rows += [(name, value) for name, value in metrics.items() if isinstance(value, int | float)]
    width = max((len(name) for name, _ in rows), default=0)
    for name, value in rows:
        shown = "no sequences" if value is None else f"{value:.4f}" if isinstance(value, float) else str(value)
        sys.stdout.write(f"  {name.ljust(width)}  {shown}\n")
    sys.stdout.writelines(f"  {name}: {path}\n" for name, path in outcome.artifacts.items())
