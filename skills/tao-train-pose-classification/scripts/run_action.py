"""Run one action by path: ``python scripts/run_action.py ACTION --spec SPEC.yaml [key=value ...]``.

For runners that call a skill's scripts. Hands everything to the installed package; knows no action and no setting.
"""

from __future__ import annotations

import sys

MISSING = 7  # the exit code for a resource that is not there
HOW_TO_INSTALL = """\
The package tao-skill-bank is not installed in {python}.
Install it and call again:  {python} -m pip install tao-skill-bank
(in a checkout of the project:  {python} -m pip install .)"""


def main(argv: list[str]) -> int:
    """Run the action that ``argv`` names and return its exit code; ``--spec`` is another word for ``-e``."""
    try:
        from runner.tao_cli import main as run
    except ModuleNotFoundError as missing:
        if missing.name not in ("runner", "runner.tao_cli"):
            raise
        print(HOW_TO_INSTALL.format(python=sys.executable), file=sys.stderr)
        return MISSING
    return run([_spelt_as_tao(word) for word in argv])


def _spelt_as_tao(word: str) -> str:
    if word == "--spec":
        return "-e"
    return "--experiment_spec_file=" + word.removeprefix("--spec=") if word.startswith("--spec=") else word


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
