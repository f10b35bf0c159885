"""`skillbank __complete`: what could come next on a command line that is being typed. Reads names and never fails aloud.

Everything comes from the grammar, the skills, their schemas and the workspace; only what the word needs is read.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from runner.errors import SkillBankError

STATES = ("PENDING", "RUNNING", "COMPLETE", "ERROR", "CANCELED", "UNKNOWN")


class Line(NamedTuple):
    """A command line so far: the verb's parser, the values its flags have got, its other words, and the word being typed."""

    parser: argparse.ArgumentParser
    verb: str
    flags: dict[str, str]
    words: list[str]
    current: str
    pending: argparse.Action | None


def main(argv: Sequence[str]) -> int:
    """Print what could come next, one a line: ``bash LINE``, or ``zsh|fish WORD...``."""
    shell, given = argv[0] if argv else "", list(argv[1:])
    words = split(given[0]) if shell == "bash" and given else given
    try:
        found = list(candidates(words, shell)) if len(words) > 1 else []
    except (SkillBankError, OSError):  # a broken skill or workspace is told by the command itself
        found = []
    current = words[-1] if words else ""
    # bash replaces only what follows the last = or : of a word.
    cut = max(current.rfind("="), current.rfind(":")) + 1 if shell == "bash" else 0
    sys.stdout.writelines(f"{text[cut:]}\n" for text in dict.fromkeys(found))
    return 0


def split(line: str) -> list[str]:
    """The words of a line as typed so far; an open quote reaches to the end."""
    import shlex

    for closed in (line, f'{line}"', f"{line}'"):
        try:
            words = shlex.split(closed)
        except ValueError:
            continue
        return words if words and not line[-1:].isspace() else [*words, ""]
    return line.split()


def candidates(words: Sequence[str], shell: str = "bash") -> Iterable[str]:
    """All that the last of the words could become."""
    program = os.path.basename(words[0])
    if program == "pose_classification":
        from runner.tao_cli import build_parser
    else:
        from runner.cli.parser import build_parser
    line = read(build_parser(), words[1:])
    offered = _values(program, line) if line.pending else [*_positional(program, line), *_flags(line)]
    found = [text for text in offered if text.startswith(line.current)]
    if not found and shell == "fish" and not line.current.startswith("-"):
        return _files(line.current)  # the other shells do that themselves
    return found


def read(parser: argparse.ArgumentParser, words: Sequence[str]) -> Line:
    """Go along the words down to the parser of their verb, as far as they are typed."""
    verb, flags, others, pending = "", dict[str, str](), list[str](), None
    for word in words[:-1]:
        if pending is not None:
            flags[pending.dest], pending = word, None
        elif word.startswith("-"):
            name, _, value = word.partition("=")
            action = _option(parser, name)
            if action and action.nargs != 0 and not value:
                pending = action
        elif (below := _below(parser)) and word in below:
            parser, verb, others = below[word], word, []
        else:
            others.append(word)
    current = words[-1]
    if pending is not None and pending.nargs in ("?", "*") and current.startswith("-"):
        pending = None
    return Line(parser, verb, flags, others, current, pending)


def _option(parser: argparse.ArgumentParser, name: str) -> argparse.Action | None:
    return next((action for action in parser._actions if name in action.option_strings), None)


def _below(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            return dict(action.choices)
    return {}


def _flags(line: Line) -> list[str]:
    """Long flags, once the word begins like one."""
    if not line.current.startswith("-"):
        return []
    return [name for action in line.parser._actions for name in action.option_strings if name.startswith("--")]


def _positional(program: str, line: Line) -> list[str]:
    if line.current.startswith("-"):
        return []
    if below := _below(line.parser):
        return [] if line.words else list(below)
    places = [action for action in line.parser._actions if not action.option_strings]
    at, taken = 0, 0
    for _ in line.words:
        taken += 1
        if at < len(places) and places[at].nargs not in ("+", "*"):
            at, taken = at + 1, 0
    if at >= len(places):
        return []
    return _offered(program, line, places[at])


def _values(program: str, line: Line) -> list[str]:
    assert line.pending is not None
    return _offered(program, line, line.pending)


def _offered(program: str, line: Line, action: argparse.Action) -> list[str]:
    """What may stand for one argument, by its choices or by what its metavar says it is."""
    if action.choices:
        return [str(choice) for choice in action.choices]
    metavar = str(action.metavar or "")
    sources: dict[str, Callable[[], list[str]]] = {
        "JOB": lambda: _jobs(line, action.dest),
        "SKILL": _skills,
        "ACTION": lambda: _actions(line),
        "KEY=VALUE": lambda: _settings(program, line),
        "KEY[=RANGE]": lambda: _settings(program, line),
        "KEY": lambda: [key.removesuffix("=") for key in _settings(program, line)],
        "STATE": lambda: list(STATES),
        "WHICH": lambda: ["best", "latest", "epoch:", "step:"],
        "KEY=N": lambda: ["trials=", "time=", "epochs="],
        "NAME": lambda: _names(line, action.dest),
    }
    return sources[metavar]() if metavar in sources else []


def _skills() -> list[str]:
    from runner import bank

    return [skill.name for skill in bank.skills()]


def _actions(line: Line) -> list[str]:
    from runner import bank

    return list(bank.get(line.words[0]).actions) if line.words else []


def _skill_and_action(program: str, line: Line) -> tuple[Any, str] | None:
    from runner import bank

    if program == "pose_classification":
        return bank.by_network(program), line.verb
    return (bank.get(line.words[0]), line.words[1]) if len(line.words) > 1 else None


def _settings(program: str, line: Line) -> list[str]:
    """Keys with their equals sign; after it, the values that a setting may have."""
    found = _skill_and_action(program, line)
    if found is None:
        return []
    skill, action = found
    leaves = skill.schema(action).leaves()
    key, equals, _ = line.current.partition("=")
    if not equals:
        short = {name: full for name, full in skill.shorthand.items() if full in leaves and program == "skillbank"}
        return [f"{name}=" for name in [*short, *leaves]]
    return [f"{key}={value}" for value in _choices(leaves.get(skill.shorthand.get(key, key), {}))]


def _choices(leaf: dict[str, Any]) -> list[str]:
    options = [leaf, *leaf.get("anyOf", ())]
    named = [str(value) for option in options for value in option.get("enum", ()) if value is not None]
    return named or (["true", "false"] if any(option.get("type") == "boolean" for option in options) else [])


def _names(line: Line, dest: str) -> list[str]:
    """Recipes of the action that was named; skills where a skill is installed; algorithms of a search."""
    from runner import bank

    if dest == "algorithm":
        from runner.automl.strategies import ALGORITHMS

        return list(ALGORITHMS)
    if dest == "name":
        return _skills()
    if dest != "recipe" or not line.words:
        return []
    action = line.words[1] if len(line.words) > 1 else None
    return [*bank.get(line.words[0]).recipes(action), "none"]


def _jobs(line: Line, dest: str) -> list[str]:
    """Job ids of the workspace, the newest first; what can be resumed is a training."""
    workspace = line.flags.get("workspace") or os.environ.get("SKILLBANK_WORKSPACE") or "workspace"
    try:
        files = [path for path in (Path(workspace) / "jobs").iterdir() if path.suffix == ".json" and path.name[0] != "."]
    except OSError:
        return []
    files.sort(key=lambda path: path.stat().st_mtime, reverse=True)
    return [path.stem for path in files if dest != "resume" or "-train-" in path.stem]


def _files(current: str) -> list[str]:
    """Files and folders that the word could become, for a shell that does not look for them itself."""
    folder, _, name = current.rpartition("/")
    place = Path(folder + "/" if "/" in current else ".").expanduser()
    try:
        found = sorted(os.scandir(place), key=lambda entry: entry.name)
    except OSError:
        return []
    front = f"{folder}/" if "/" in current else ""
    hidden = name.startswith(".")
    return [
        f"{front}{entry.name}{'/' * entry.is_dir()}"
        for entry in found
        if entry.name.startswith(name) and (hidden or not entry.name.startswith("."))
    ]
