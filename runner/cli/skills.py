"""`skillbank skills`: install the bank's skills where agents look, or begin a new one."""

from __future__ import annotations

import argparse

from runner.cli.reply import Reply, quoted
from runner.errors import UsageError


def skills_(arguments: argparse.Namespace) -> Reply:
    """Do what was asked for; each imports what it needs."""
    try:
        return (_install if arguments.what == "install" else _new)(arguments)
    except OSError as error:  # a name that no file system takes
        why = f"{arguments.dest or 'The folder'} cannot be written: {error.strerror or error}"
        raise UsageError(why, hint="Name another folder: --dest DIR") from None


def _install(arguments: argparse.Namespace) -> Reply:
    from runner import install

    dest = (arguments.dest or install.DEST).expanduser()
    data = install.install(dest, arguments.name, overwrite=arguments.overwrite)
    changes = f"{len(data['written'])} files written, {len(data['removed'])} removed, {data['unchanged']} unchanged"
    lines = [f"{name}: {dest / name}" for name in data["skills"]]
    return Reply(data, "\n".join([*lines, f"Version {data['version']}: {changes}"]))


def _new(arguments: argparse.Namespace) -> Reply:
    from runner import bank, scaffold

    if len(arguments.name) != 1 or arguments.overwrite:
        said = "--overwrite goes with install" if arguments.overwrite else f"one name, not {len(arguments.name)}"
        raise UsageError(f"skills new takes {said}" if not arguments.overwrite else said, hint="See: skillbank skills --help")
    dest = arguments.dest.expanduser() if arguments.dest else None
    data = scaffold.new(arguments.name[0], dest)
    root = quoted(data["root"])
    elsewhere = "" if dest is None or bank.root() == dest.resolve() else f"SKILL_BANK={root} PYTHONPATH={root} "
    following = [
        f"{elsewhere}skillbank schemas check {data['skill']}",
        f"{elsewhere}skillbank plan {data['skill']} train --dataset DIR",
    ]
    lines = [*data["written"], f"in {data['root']}", "A wheel carries the package once pyproject.toml lists it."]
    return Reply(data, "\n".join(lines), tuple(following))
