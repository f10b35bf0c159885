"""The command line `pose_classification ACTION -e SPEC [key=value ...]`, as TAO has it, and the skill's tools.

The same spec, schema and trainer as `skillbank run`, in this process and without a job record. Prints; no logic.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from runner import redact, terminal
from runner.errors import SkillBankError
from runner.tao_cli.actions import compose
from runner.tao_cli.parser import build_parser

__all__ = ["build_parser", "compose", "main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one action or tool and return the exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    if "OMP_WAIT_POLICY" not in os.environ:  # as the skill has it for jobs; torch looks when it is imported
        os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    arguments = argparse.Namespace()
    try:
        build_parser().parse_args(words, arguments)
        if not hasattr(arguments, "call"):
            build_parser().print_help()
            return 2
        terminal.Wish.uncut = arguments.verbose
        with terminal.Moving(sys.stderr, arguments.task, on=not arguments.quiet) as arguments.line:
            code: int = arguments.call(arguments)
        sys.stdout.flush()
    except SystemExit as leaving:  # --help has said what it says
        code = int(leaving.code or 0)
    except BrokenPipeError:
        code = 141
    except SkillBankError as error:
        sys.stderr.write(f"{terminal.paint('error:', 'red', sys.stderr)} {redact.text(str(error))}\nExecution status: FAIL\n")
        code = error.exit_code
    except KeyboardInterrupt:
        sys.stderr.write(f"interrupted{_resuming(arguments)}\nExecution status: FAIL\n")
        code = 130
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        terminal.abandon(sys.stdout)
    return code


def _resuming(arguments: argparse.Namespace) -> str:
    """How to go on with a training that was interrupted, where it left a checkpoint."""
    latest = Path(getattr(arguments, "folder", ""), "pc_model_latest.pth")
    if getattr(arguments, "action", "") != "train" or not latest.exists():
        return ""
    return f"; to go on, the same command with train.resume_training_checkpoint_path={latest}"
