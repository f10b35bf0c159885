"""The grammar of `pose_classification`: actions, tools, arguments, help. Knows no answers."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, NoReturn

from runner import keys
from runner.errors import UsageError
from runner.tao_cli import actions, tools

DOES = {
    "dataset_convert": "turn keypoints of pose estimators into arrays to train on",
    "evaluate": "measure a model on labelled sequences",
    "export": "write a checkpoint as an ONNX file and compare the two",
    "inference": "classify sequences, or a stream of keypoints",
    "train": "train a network on skeleton sequences",
}
ACTIONS = tuple(DOES)


class Parser(argparse.ArgumentParser):
    """argparse whose complaints are UsageError, for one way of reporting."""

    def error(self, message: str) -> NoReturn:
        """Raise instead of printing."""
        raise UsageError(f"{self.prog}: {message}", hint=f"See: {self.prog} --help")


def build_parser() -> argparse.ArgumentParser:
    """The whole command line."""
    parser = Parser(
        prog="pose_classification",
        description="ST-GCN for skeleton action recognition.",
        epilog="Example: pose_classification train -e spec.yaml results_dir=results train.num_epochs=30",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    tasks = parser.add_subparsers(metavar="ACTION", parser_class=Parser, prog="pose_classification")
    for name in ACTIONS:
        task = _add(tasks, name, DOES[name], f"{name} -e spec.yaml results_dir=results")
        needed = name not in ("dataset_convert", "inference")  # these can be told all they need in words
        task.add_argument("-e", "--experiment_spec_file", metavar="SPEC", type=Path, required=needed, help="spec file, YAML")
        task.add_argument("overrides", metavar="KEY=VALUE", nargs="*", help="spec values, dotted: train.optim.lr=0.01")
        task.set_defaults(call=actions.action, action=name, encryption_key_file=None)
        if name != "dataset_convert":
            keys.add_option(task)
        if name == "dataset_convert":
            _add_converting(task)
            task.set_defaults(call=actions.convert)
        if name == "inference":
            _add_streaming(task)
            task.set_defaults(call=actions.inference)
    tool = _add(
        tasks,
        "sample_data",
        "write small synthetic sequences, TAO files and BodyPose JSON; or keypoints to import",
        "sample_data --out data",
    )
    tool.add_argument("--out", metavar="DIR", required=True, help="folder to write to")
    tool.add_argument(
        "--keypoints", action="store_true", help="instead: CSV tables of COCO keypoints in folders named after the classes"
    )
    tool.add_argument("--per-class", metavar="N", type=int, default=24, help="training sequences per class (default 24)")
    tool.add_argument("--frames", metavar="T", type=int, default=60, help="frames of a sequence (default 60)")
    tool.add_argument("--seed", metavar="N", type=int, default=0, help="seed (default 0)")
    tool.set_defaults(call=tools.sample_data)
    tool = _add(
        tasks,
        "layout",
        "check, show and draw a skeleton layout, built in or from a file",
        "layout coco --to openpose --png skeleton.png",
    )
    tool.add_argument("layout", metavar="NAME_OR_FILE", help="a built-in layout, or a .yaml, .yml or .json file")
    tool.add_argument("--png", metavar="FILE", help="draw it to this file")
    tool.add_argument("--to", metavar="NAME_OR_FILE", help="show how its joints become those of another layout")
    tool.add_argument("--json", action="store_true", help="print one JSON document")
    tool.set_defaults(call=tools.layout)
    _add_dataset(tasks.add_parser("dataset", help="look at a data set: dataset inspect DIR"))
    return parser


def _add(tasks: Any, name: str, does: str, example: str) -> argparse.ArgumentParser:
    task: argparse.ArgumentParser = tasks.add_parser(
        name,
        help=does,
        description=f"{does[0].upper()}{does[1:]}.",
        epilog=f"Example: pose_classification {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    task.add_argument("-q", "--quiet", action="store_true", help="results and errors only: no progress, no notes")
    task.add_argument("-v", "--verbose", action="store_true", help="the trainer's details too")
    task.set_defaults(task=name)
    return task


def _add_dataset(group: argparse.ArgumentParser) -> None:
    tool = _add(
        group.add_subparsers(metavar="TOOL", parser_class=Parser, required=True, prog="pose_classification dataset"),
        "inspect",
        "check a data set: what it holds, what is wrong with it, what to set",
        "dataset inspect data --html data.html",
    )
    tool.add_argument("data", metavar="DIR", help="folder with train_data.npy, train_label.pkl, and val and test alike")
    tool.add_argument("--layout", metavar="NAME_OR_FILE", help="skeleton (default: that of DIR, else a guess)")
    tool.add_argument("--subjects", metavar="CSV", help="who performed: columns sample, subject (default: sample names tell)")
    tool.add_argument("--html", metavar="FILE", help="write a page with pictures")
    tool.add_argument("--fix", metavar="OUT", help="write a repaired copy to this new folder")
    tool.add_argument("--json", action="store_true", help="print one JSON document")
    tool.set_defaults(call=tools.inspect)


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


def _size(text: str) -> tuple[int, int]:
    width, _, height = text.lower().partition("x")
    if not (width.isdecimal() and height.isdecimal()):
        raise argparse.ArgumentTypeError(f"{text!r} is no size; allowed: WIDTHxHEIGHT, such as 1920x1080")
    return int(width), int(height)
