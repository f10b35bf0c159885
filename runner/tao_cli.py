"""The command line `pose_classification ACTION -e SPEC [key=value ...]`, as TAO has it, and the skill's tools.

The same spec, schema and trainer as `skillbank run`, in this process and without a job record. Prints; no logic.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from runner import backend, bank
from runner import plan as plans
from runner import spec as specs
from runner.errors import SkillBankError, UsageError
from runner.skill import Skill

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
        task.add_argument("-e", "--experiment_spec_file", metavar="SPEC", type=Path, required=True, help="spec file, YAML")
        task.add_argument("overrides", metavar="KEY=VALUE", nargs="*", help="spec values, dotted: train.optim.lr=0.01")
        task.set_defaults(call=_action, action=name)
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
    return parser


def _sample_data(arguments: argparse.Namespace) -> int:
    skill = bank.by_network(NETWORK)
    settings = {"out": arguments.out, "per_class": arguments.per_class, "frames": arguments.frames, "seed": arguments.seed}
    outcome = backend.run_here(skill.info["tools"]["sample_data"]["entrypoint"], settings)
    sys.stdout.write("Synthetic sequences (made up, not recorded):\n")
    sys.stdout.writelines(f"  {name}: {path}\n" for name, path in outcome.artifacts.items())
    return 0


def _action(arguments: argparse.Namespace) -> int:
    skill = bank.by_network(NETWORK)
    spec = compose(skill, arguments.action, arguments.experiment_spec_file, arguments.overrides)
    _warn(spec, arguments.overrides)
    folder = specs.get(spec, f"{arguments.action}.results_dir") or os.path.join(spec["results_dir"], arguments.action)
    sys.stdout.write(f"{arguments.action.replace('_', ' ').capitalize()} results will be saved at: {folder}\n")
    sys.stdout.flush()
    with _log_to_stderr():
        outcome = backend.run_here(skill.action(arguments.action).entrypoint, spec)
    _show(outcome)
    sys.stdout.write("Execution status: PASS\n")
    return 0


def compose(skill: Skill, action: str, spec_file: Path, overrides: Sequence[str]) -> dict[str, Any]:
    """The spec to run: defaults, then the file, then the command line; checked whole.

    Raises:
        SpecInvalid: with every problem of the spec and every required input that has no value.
        InputMissing: with every input file that is not there.
    """
    request = plans.Request(
        workspace=Path(), spec_file=spec_file, overrides=tuple(_sectioned(word, action) for word in overrides)
    )
    return plans.plain_spec(request, skill, skill.action(action))


def _sectioned(word: str, action: str) -> str:
    """`num_gpus=2`, which TAO takes bare, belongs to the action's section."""
    return f"{action}.{word}" if word.partition("=")[0] in ANYWHERE and action not in ("export", "dataset_convert") else word


def _warn(spec: dict[str, Any], overrides: Sequence[str]) -> None:
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
