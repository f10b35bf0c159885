"""The verbs that look after the installation: doctor and completion."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from runner import terminal
from runner.cli.reply import Reply

if TYPE_CHECKING:
    from runner.doctor import Check

ABOUT = 19  # columns of what was looked at
FAILED = 7
COLOUR = {"ok": "green", "warn": "yellow", "fail": "red"}


def doctor_(arguments: argparse.Namespace) -> Reply:
    """Everything that was looked at, and how to mend what is wrong; only what fails is a failure."""
    from runner import doctor

    with terminal.Moving(sys.stderr, "looking", on=not arguments.quiet):
        checks = list(doctor.examine(arguments.workspace.absolute(), network=arguments.network, start=not arguments.quick))
    failed = [check for check in checks if check.state == "fail"]
    warned = sum(check.state == "warn" for check in checks)
    data = {"checks": [check._asdict() for check in checks], "failed": len(failed), "warned": warned}
    shown = [check for check in checks if check.state != "ok"] if arguments.quiet else checks
    text = "\n".join([*map(_lines, shown), _verdict(len(failed), warned)])
    return Reply(data, text, exit_code=FAILED if failed else 0, error=_error(failed))


def _lines(check: Check) -> str:
    """A check in a line or more, its remedy below."""
    import textwrap

    width = max(50, terminal.columns() or 10_000)
    blank = " " * (6 + ABOUT)
    lines = textwrap.wrap(check.says, width - len(blank), break_on_hyphens=False, break_long_words=False) or [""]
    mark = terminal.paint(f"{check.state:<4}", COLOUR[check.state], sys.stdout)
    fix = [f"{blank}-> {check.fix}"] if check.fix else []  # whole, as it is copied
    return f"\n{blank}".join([f"{mark}  {check.about:<{ABOUT - 1}} {lines[0]}", *lines[1:]]) + "".join(
        f"\n{line}" for line in fix
    )


def _verdict(failed: int, warned: int) -> str:
    if failed:
        return f"\n{failed} to mend, {warned} to look at."
    return f"\nNothing is broken, {warned} to look at." if warned else "\nAll well."


def _error(failed: Sequence[Check]) -> dict[str, Any] | None:
    """What --json says is wrong."""
    if not failed:
        return None
    return {
        "class": "Unwell",
        "message": f"{len(failed)} of the things that are needed do not work: {', '.join(check.about for check in failed)}",
        "problems": [{"path": check.about, "says": check.says, "allowed": ""} for check in failed],
        "hint": failed[0].fix,
        "exit_code": FAILED,
    }


def completion_(arguments: argparse.Namespace) -> Reply:
    """The script that a shell reads to complete both commands."""
    from runner.cli import scripts

    script = scripts.SCRIPTS[arguments.shell]
    return Reply({"shell": arguments.shell, "script": script}, script)
