"""The command line `pose_classification ACTION -e SPEC [key=value ...]`, as TAO has it, and the skill's tools.

The same spec, schema and trainer as `skillbank run`, in this process and without a job record. Prints; no logic.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from runner import backend, bank, render, storage
from runner import plan as plans
from runner import spec as specs
from runner.errors import SkillBankError, UsageError
from runner.skill import Action, Skill

NETWORK = "pose_classification"
ACTIONS = ("dataset_convert", "evaluate", "export", "inference", "train")
ANYWHERE = ("num_gpus", "gpu_ids")  # TAO takes these without their section


class Parser(argparse.ArgumentParser):
    """argparse whose complaints are UsageError, for one way of reporting."""

    def error(self, message: str) -> NoReturn:
        """Raise instead of printing."""
        raise UsageError(f"{self.prog}: {message}", hint=f"See: {self.prog} --help")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one action or tool and return the exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        arguments = build_parser().parse_args(words)
        if not hasattr(arguments, "call"):
            build_parser().print_help()
            return 2
        code: int = arguments.call(arguments)
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except SkillBankError as error:
        sys.stderr.write(f"error: {error}\nExecution status: FAIL\n")
        return error.exit_code
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\nExecution status: FAIL\n")
        return 130
    return code


def build_parser() -> argparse.ArgumentParser:
    """The whole command line."""
    parser = Parser(
        prog="pose_classification",
        description="ST-GCN for skeleton action recognition.",
        epilog="Example: pose_classification train -e spec.yaml results_dir=results train.num_epochs=30",
    )
    tasks = parser.add_subparsers(metavar="ACTION", parser_class=Parser)
    for name in ACTIONS:
        task = tasks.add_parser(
            name,
            help=f"{name}, from a spec file",
            epilog=f"Example: pose_classification {name} -e spec.yaml results_dir=results",
        )
        needed = name not in ("dataset_convert", "inference")  # these can be told all they need in words
        task.add_argument("-e", "--experiment_spec_file", metavar="SPEC", type=Path, required=needed, help="spec file, YAML")
        task.add_argument("overrides", metavar="KEY=VALUE", nargs="*", help="spec values, dotted: train.optim.lr=0.01")
        task.set_defaults(call=_action, action=name)
        if name == "dataset_convert":
            _add_converting(task)
            task.set_defaults(call=_convert)
        if name == "inference":
            _add_streaming(task)
            task.set_defaults(call=_inference)
    tool = tasks.add_parser(
        "sample_data",
        help="write small synthetic sequences, TAO files and BodyPose JSON",
        epilog="Example: pose_classification sample_data --out data",
    )
    tool.add_argument("--out", metavar="DIR", required=True, help="folder to write to")
    tool.add_argument("--per-class", metavar="N", type=int, default=24, help="training sequences per class (default 24)")
    tool.add_argument("--frames", metavar="T", type=int, default=60, help="frames of a sequence (default 60)")
    tool.add_argument("--seed", metavar="N", type=int, default=0, help="seed (default 0)")
    tool.set_defaults(call=_sample_data)
    tool = tasks.add_parser(
        "layout",
        help="check, show and draw a skeleton layout, built in or from a file",
        epilog="Example: pose_classification layout skeleton.yaml --png skeleton.png",
    )
    tool.add_argument("layout", metavar="NAME_OR_FILE", help="a built-in layout, or a .yaml, .yml or .json file")
    tool.add_argument("--png", metavar="FILE", help="draw it to this file")
    tool.add_argument("--to", metavar="NAME_OR_FILE", help="show how its joints become those of another layout")
    tool.add_argument("--json", action="store_true", help="print one JSON document")
    tool.set_defaults(call=_layout)
    _add_dataset(tasks.add_parser("dataset", help="look at a data set: dataset inspect DIR"))
    return parser


def _add_dataset(group: argparse.ArgumentParser) -> None:
    tool = group.add_subparsers(metavar="TOOL", parser_class=Parser, required=True).add_parser(
        "inspect",
        help="check a data set: what it holds, what is wrong with it, what to set",
        epilog="Example: pose_classification dataset inspect data --html data.html",
    )
    tool.add_argument("data", metavar="DIR", help="folder with train_data.npy, train_label.pkl, and val and test alike")
    tool.add_argument("--layout", metavar="NAME_OR_FILE", help="skeleton (default: that of DIR, else a guess)")
    tool.add_argument("--subjects", metavar="CSV", help="who performed: columns sample, subject (default: sample names tell)")
    tool.add_argument("--html", metavar="FILE", help="write a page with pictures")
    tool.add_argument("--fix", metavar="OUT", help="write a repaired copy to this new folder")
    tool.add_argument("--json", action="store_true", help="print one JSON document")
    tool.set_defaults(call=_inspect)


def _add_converting(task: argparse.ArgumentParser) -> None:
    """Settings of a conversion as plain options; what they may be is said by the schema."""
    group = task.add_argument_group("instead of SPEC and KEY=VALUE")
    group.add_argument("--data", metavar="PATH", help="file or folder that a pose estimator wrote, or s3://bucket/prefix/")
    group.add_argument("--results-dir", metavar="DIR", help="root of the results: DIR/dataset_convert")
    group.add_argument("--format", metavar="NAME", help="format of the data (default: recognised)")
    group.add_argument("--label-file", metavar="CSV", help="columns sample, label and, optionally, subject, split, recording")
    group.add_argument("--split", metavar="HOW", help="shares such as 0.7,0.15,0.15, or given, or subject")
    group.add_argument("--layout", metavar="NAME_OR_FILE", help="skeleton of the data, where they do not say it")
    group.add_argument("--target-layout", metavar="NAME_OR_FILE", help="skeleton to write, where it is another one")
    group.add_argument("--on-error", metavar="skip|fail", help="what a bad record does (default fail)")


CONVERTING = ("data", "format", "label_file", "split", "layout", "target_layout", "on_error")


def _convert(arguments: argparse.Namespace) -> int:
    keys = {"results_dir": "results_dir", **{name: f"dataset_convert.{name}" for name in CONVERTING}}
    given = {key: value for name, key in keys.items() if (value := getattr(arguments, name)) is not None}
    arguments.overrides += [f"{key}={json.dumps(value)}" for key, value in given.items()]
    return _action(arguments)


def _add_streaming(task: argparse.ArgumentParser) -> None:
    """What `inference --stream` takes; None is the default of the trainer's side."""
    group = task.add_argument_group(
        "streaming", "JSON lines of keypoints on stdin, a JSON line for every decision on stdout; SPEC is optional"
    )
    group.add_argument("--stream", action="store_true", help="classify what comes in on stdin")
    group.add_argument("--checkpoint", metavar="FILE", help="model: .onnx, .pth or .tlt")
    group.add_argument("--layout", metavar="NAME_OR_FILE", help="skeleton layout of the joints (default the model's)")
    group.add_argument("--top-k", metavar="K", type=int, help="classes with probabilities per decision (default 5)")
    group.add_argument("--window", metavar="N", type=int, help="frames a decision looks at (default the model's own)")
    group.add_argument("--stride", metavar="N", type=int, help="frames between two decisions (default a tenth of the window)")
    group.add_argument("--min-frames", metavar="N", type=int, help="frames before the first decision (default the window)")
    group.add_argument("--smoothing", metavar="A", type=float, help="share of the past in the probabilities (default 0, none)")
    group.add_argument("--unknown", metavar="P", type=float, help="below this probability the label is unknown (default 0)")
    group.add_argument("--forget", metavar="N", type=int, help="frames after which an unseen track is dropped (default 30)")
    group.add_argument("--gaps", choices=("close", "zero", "hold"), help="frames in which a track was unseen (default close)")
    group.add_argument("--max-tracks", metavar="N", type=int, help="tracks followed at a time (default 1000)")
    group.add_argument("--image-size", metavar="WxH", type=_size, help="joints are pixels of a picture of this size")
    group.add_argument("--on-error", choices=("skip", "fail"), help="what to do at a bad line (default skip)")


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


def _size(text: str) -> tuple[int, int]:
    width, _, height = text.lower().partition("x")
    if not (width.isdecimal() and height.isdecimal()):
        raise argparse.ArgumentTypeError(f"{text!r} is no size; allowed: WIDTHxHEIGHT, such as 1920x1080")
    return int(width), int(height)


def _inference(arguments: argparse.Namespace) -> int:
    if arguments.stream:
        return _stream(arguments)
    wrong = [f"--{name.replace('_', '-')}" for name in (*AS_SETTINGS, *STREAMING) if getattr(arguments, name) is not None]
    if wrong:
        raise UsageError(f"pose_classification inference: {', '.join(wrong)} needs --stream")
    if arguments.experiment_spec_file is None:
        raise UsageError("pose_classification inference: the following arguments are required: -e/--experiment_spec_file")
    return _action(arguments)


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
    _warn(arguments.overrides)
    if sys.stdin is None or sys.stdout is None:
        raise UsageError("pose_classification inference --stream: stdin or stdout is closed")
    if sys.stdin.isatty():
        sys.stderr.write("reading JSON lines from the terminal; end with Ctrl-D\n")
    settings = {name: getattr(arguments, name) for name in STREAMING}
    settings |= {"spec": spec, "input": sys.stdin.buffer, "output": sys.stdout.buffer}
    with _log_to_stderr():
        outcome = backend.run_here(skill.info["tools"]["inference_stream"]["entrypoint"], settings)
    if outcome.metrics["ended"] == "reader":
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nothing more can be written at exit
    return 130 if outcome.metrics["ended"] == "interrupt" else 0


def _sample_data(arguments: argparse.Namespace) -> int:
    skill = bank.by_network(NETWORK)
    settings = {"out": arguments.out, "per_class": arguments.per_class, "frames": arguments.frames, "seed": arguments.seed}
    outcome = backend.run_here(skill.info["tools"]["sample_data"]["entrypoint"], settings)
    sys.stdout.write("Synthetic sequences (made up, not recorded):\n")
    sys.stdout.writelines(f"  {name}: {path}\n" for name, path in outcome.artifacts.items())
    return 0


def _layout(arguments: argparse.Namespace) -> int:
    tool = bank.by_network(NETWORK).info["tools"]["layout"]["entrypoint"]
    outcome = backend.run_here(tool, {name: getattr(arguments, name) for name in ("layout", "png", "to")})
    facts = outcome.metrics
    if arguments.json:
        sys.stdout.write(json.dumps({**facts, **outcome.artifacts}, indent=2, ensure_ascii=False) + "\n")
        return 0
    joints, target = facts["joints"], facts.get("to")
    lines = [f"{facts['name']}: {len(joints)} joints, {len(facts['edges'])} bones, centre {joints[facts['center']]}"]
    if target:
        lines += [f"As {target['name']}:", *(f"  {row['joint']:<24} {row['how']:<8} {row['says']}" for row in target["joints"])]
    else:
        lines += ["Joints:", *(f"  {i:>3}  {joint}" for i, joint in enumerate(joints))]
        lines += ["Bones:", *(f"  {joints[a]} - {joints[b]}" for a, b in facts["edges"])]
        lines += ["Left and right:"] * bool(facts["pairs"]) + [f"  {joints[a]} - {joints[b]}" for a, b in facts["pairs"]]
    lines += [f"Drawn to {path}" for path in outcome.artifacts.values()]
    sys.stdout.writelines(f"{line}\n" for line in lines)
    return 0


def _inspect(arguments: argparse.Namespace) -> int:
    """Exit code 4, that of data which does not fit, when training would refuse the set or mean nothing."""
    skill = bank.by_network(NETWORK)
    settings = {key: getattr(arguments, key) for key in ("data", "layout", "subjects", "html", "fix")}
    outcome = backend.run_here(skill.info["tools"]["dataset_inspect"]["entrypoint"], settings)
    report = outcome.metrics["report"]
    if arguments.json:
        import json

        sys.stdout.write(json.dumps({**report, "artifacts": outcome.artifacts}, ensure_ascii=False, indent=2) + "\n")
    else:
        sys.stdout.write(outcome.metrics["text"] + "\n")
        sys.stdout.writelines(f"  {name}: {path}\n" for name, path in outcome.artifacts.items())
    return 4 if report["counts"]["error"] else 0


def _action(arguments: argparse.Namespace) -> int:
    skill = bank.by_network(NETWORK)
    spec = compose(skill, arguments.action, arguments.experiment_spec_file, arguments.overrides)
    _warn(arguments.overrides)
    folder = specs.get(spec, f"{arguments.action}.results_dir") or os.path.join(spec["results_dir"], arguments.action)
    _fetch(spec, skill.action(arguments.action), folder)
    sys.stdout.write(f"{arguments.action.replace('_', ' ').capitalize()} results will be saved at: {folder}\n")
    sys.stdout.flush()
    with _log_to_stderr():
        outcome = backend.run_here(skill.action(arguments.action).entrypoint, spec)
    _show(outcome)
    sys.stdout.write("Execution status: PASS\n")
    return 0


def _fetch(spec: dict[str, Any], action: Action, folder: str) -> None:
    """Put a verified local copy in the place of every s3:// input; all are looked at first."""
    if storage.is_remote(folder):
        hint = "Give a local one, or let a job upload its results: skillbank run ... --results s3://bucket/prefix"
        raise UsageError(f"results_dir: {folder} is not a local folder.", hint=hint)
    remote = [(key, uri) for key in action.inputs if storage.is_remote(uri := str(specs.get(spec, key) or ""))]
    if not remote:
        return
    cache = Path(os.environ.get("SKILLBANK_WORKSPACE") or "workspace").absolute() / "cache"
    storage.preflight(remote, cache)
    shown = render.Progress(sys.stderr)
    for key, uri in remote:
        path = storage.fetch(uri, cache, lambda moved: shown.bar(str(moved)))
        shown.say(f"{uri}: {path}")
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


def _warn(overrides: Sequence[str]) -> None:
    if any(word.startswith("encryption_key=") for word in overrides):
        sys.stderr.write(
            "warning: a key on the command line can be read by every user of this machine; put it into the spec file.\n"
        )


@contextmanager
def _log_to_stderr() -> Iterator[None]:
    """What the trainer says goes to stderr while it runs."""
    logger, handler = logging.getLogger("stgcn"), logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(message)s"))
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
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


if __name__ == "__main__":
    sys.exit(main())
