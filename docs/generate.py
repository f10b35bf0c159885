"""Writes the pages and drawings that come from the code: commands.md, settings.md, images/*.svg; `--check` compares them."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import drawings
import yaml

from runner import bank, cli, tao_cli

HERE = Path(__file__).resolve().parent
SKILL = "tao-train-pose-classification"
MADE = "<!-- Made by docs/generate.py from the code. Do not edit; `make reference` writes it anew. -->\n"
POSITIONAL = {
    "SKILL": "one of `skillbank list`",
    "ACTION": "one of the skill's actions",
    "JOB": "id of a job",
    "PHRASE": "a sentence",
}
ACTIONS = ("dataset_convert", "train", "evaluate", "export", "inference")
SECTIONS = ("", "dataset_convert", "dataset", "model", "train", "evaluate", "export", "inference", "wandb")


def pages() -> dict[str, str]:
    """Path below docs/ to content."""
    return {
        "commands.md": commands(),
        "settings.md": settings(),
        **{f"images/{name}.svg": text for name, text in drawings.drawings().items()},
    }


def cell(text: object) -> str:
    """Text of a table cell, with nothing in it that Markdown reads."""
    return re.sub(r"([|<>*\[\]])", r"\\\1", " ".join(str(text).split()))


def code(text: object) -> str:
    """The same as code; backticks within end it."""
    return f"`{str(text).replace('|', chr(92) + '|')}`"


# --- commands ---


def commands() -> str:
    """Every verb and flag of both command lines."""
    parts = [
        MADE,
        "# Commands\n",
        "`skillbank` is for jobs: plans, records, searches and reports. `pose_classification` is TAO's command line, without\n"
        "a job record, and the tools around data. What they answer: [the answer of `--json`](../references/envelope.md),\n"
        "[exit codes](../references/exit-codes.md). What `--set KEY=VALUE` and `KEY=VALUE` may be: [settings](settings.md).\n",
    ]
    for parser, title in ((cli.build_parser(), "skillbank"), (tao_cli.build_parser(), "pose_classification")):
        parts.append(f"## {title}\n")
        if parser.description:
            parts.append(f"{cell(parser.description)}\n")
        shared = _shared(parser)
        parts += _table(_rows(parser), "Argument") + _table(shared, "Argument of every verb")
        for name, help_, sub in _verbs(parser):
            parts += list(_command(f"{title} {name}", help_, sub, shared))
    return "\n".join(parts)


def _verbs(parser: argparse.ArgumentParser) -> Iterator[tuple[str, str, argparse.ArgumentParser]]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            helps = {choice.dest: choice.help or "" for choice in action._choices_actions}
            yield from ((name, helps.get(name, ""), sub) for name, sub in action.choices.items())


def _shared(parser: argparse.ArgumentParser) -> list[str]:
    """The rows that every verb would repeat."""
    rows = [_rows(sub) for _, _, sub in _verbs(parser)]
    return [row for row in rows[0] if all(row in others for others in rows)]


def _command(name: str, help_: str, parser: argparse.ArgumentParser, shared: list[str]) -> Iterator[str]:
    below = list(_verbs(parser))
    if below:
        for own, help_of, sub in below:
            yield from _command(f"{name} {own}", help_of or help_, sub, shared)
        return
    yield f"### {name}\n"
    said = cell(help_ or parser.description or "")
    yield (said[:1].upper() + said[1:]).rstrip(".") + ".\n"
    examples = re.findall(r"((?:skillbank|pose_classification) .+)", parser.epilog or "")
    if examples:
        yield "```bash\n" + "\n".join(line.strip() for line in examples) + "\n```\n"
    yield from _table([row for row in _rows(parser) if row not in shared], "Argument")


def _rows(parser: argparse.ArgumentParser) -> list[str]:
    hidden = (argparse._SubParsersAction, argparse._HelpAction)
    shown = [action for action in parser._actions if not isinstance(action, hidden) and action.help is not argparse.SUPPRESS]
    return [f"| {_names(action)} | {_meaning(action)} |" for action in shown]


def _table(rows: list[str], head: str) -> list[str]:
    return ["\n".join([f"| {head} | Means |", "|---|---|", *rows]) + "\n"] if rows else []


def _names(action: argparse.Action) -> str:
    choices = "{" + ",".join(map(str, action.choices)) + "}" if action.choices else ""
    value = action.metavar or choices or ("" if action.nargs == 0 else action.dest.upper())
    value = " ".join(value) if isinstance(value, tuple) else value
    if not action.option_strings:
        return code({"?": f"[{value}]", "*": f"[{value} ...]", "+": f"{value} ..."}.get(str(action.nargs), value))
    value = f"[{value}]" if action.nargs == "?" else value
    return ", ".join(code(f"{name} {value}".strip()) for name in action.option_strings)


def _meaning(action: argparse.Action) -> str:
    said = cell(action.help or "") or POSITIONAL.get(str(action.metavar), "")
    if action.choices and action.metavar:
        said += f" (one of {', '.join(map(code, action.choices))})"
    plain = isinstance(action.default, int | float | str | Path) and not isinstance(action.default, bool)
    if plain and action.default not in ("", argparse.SUPPRESS) and action.nargs != 0 and "default" not in said:
        said += f" (default {code(action.default)})"
    if action.required and action.option_strings:
        said += " (needed)"
    return said.strip()


# --- settings ---


def settings() -> str:
    """Every setting of every action, from the schemas."""
    skill = bank.get(SKILL)
    leaves: dict[str, dict[str, Any]] = {}
    users: dict[str, list[str]] = {}
    for action in ACTIONS:
        for key, leaf in skill.schema(action).leaves().items():
            leaves.setdefault(key, leaf)
            users.setdefault(key, []).append(action)
    short = {key: name for name, key in skill.shorthand.items()}
    recipes = dict(_recipe(skill))
    parts = [
        MADE,
        "# Settings\n",
        f"All {len(leaves)} settings of the five actions, from the schemas. Defaults are TAO's; a training without a spec\n"
        "file starts from a [recipe](recipes.md), whose value stands beside the default. *Searched* is what AutoML varies,\n"
        "and where. Where a value is looked for, in which order, and what it may be: [specs and\n"
        f"overrides](../skills/{SKILL}/references/spec-overrides.md). One of them in the terminal:\n",
        f"```bash\nskillbank show {SKILL} train --path train.optim.lr\n```\n",
    ]
    for section in SECTIONS:
        keys = [key for key in leaves if (key.split(".")[0] if "." in key else "") == section]
        parts.append(f"## {section or 'At the top'}\n")
        parts += ["| Setting | Type, allowed | Default | Means |", "|---|---|---|---|"]
        for key in keys:
            who = "" if len(users[key]) == len(ACTIONS) or users[key] == [section] else f" *Of {', '.join(users[key])}.*"
            name = code(key) + (f", short {code(short[key])}" if key in short else "")
            said = cell(leaves[key].get("description", "")) + _search(leaves[key]) + who
            default = _value(leaves[key].get("default"))
            if key in recipes:
                default += f"; recipe {_value(recipes[key])}"
            parts.append(f"| {name} | {_allowed(leaves[key])} | {default} | {said} |")
        parts.append("")
    return "\n".join(parts)


def _recipe(skill: Any) -> Iterator[tuple[str, Any]]:
    """The values of the default recipe of training, by dotted key."""
    name = skill.default_recipes.get("train")
    known = skill.schema("train").map_leaves()

    def flat(values: dict[str, Any], path: str) -> Iterator[tuple[str, Any]]:
        for key, value in values.items():
            dotted = f"{path}.{key}" if path else key
            if isinstance(value, dict) and dotted not in known:
                yield from flat(value, dotted)
            else:
                yield dotted, value

    return flat(skill.recipes("train")[name].spec, "") if name else iter(())


def _value(value: Any) -> str:
    if value is None or value == "":
        return "none"
    if isinstance(value, bool | dict | list):
        return code(yaml.safe_dump(value, default_flow_style=True, width=10**6, sort_keys=False).removesuffix("...\n").strip())
    return code(value)


def _allowed(leaf: dict[str, Any]) -> str:
    branches = [one for one in leaf.get("anyOf", [leaf]) if one.get("type") != "null"]
    words = []
    for one in branches:
        if "enum" in one:
            words.append("one of " + ", ".join(code(word) if word else "none" for word in one["enum"]))
        elif "pattern" in one:
            words.append(one.get("description", f"text like {one['pattern']}"))
        else:
            words.append(_bounded(one))
    return " or ".join(words) + (", or null" if len(branches) < len(leaf.get("anyOf", [leaf])) else "")


def _bounded(leaf: dict[str, Any]) -> str:
    word = str(leaf.get("type", "any"))
    if word == "array":
        inner = leaf.get("items", {})
        return f"list of {_allowed(inner)}" if inner else "list"
    if word == "object":
        return "map"
    low, high = leaf.get("minimum"), leaf.get("maximum")
    high = None if high == 2**31 - 1 else high
    if low is not None and high is not None:
        return f"{word}, {low} to {high}"
    return word + (f", at least {low}" if low is not None else "") + (f", at most {high}" if high is not None else "")


def _search(leaf: dict[str, Any]) -> str:
    if not leaf.get("automl_enabled"):
        return ""
    if "automl_range" not in leaf:
        return " *Searched.*"
    low, high = leaf["automl_range"]
    return f" *Searched from {low} to {high}{', logarithmically' if leaf.get('automl_scale') == 'log' else ''}.*"


def main() -> int:
    """Write, or compare; 1 when something differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; say what differs")
    check = parser.parse_args().check
    made = pages()
    stale = [name for name, text in made.items() if not (HERE / name).exists() or (HERE / name).read_text("utf-8") != text]
    if check:
        sys.stderr.writelines(f"docs/{name} is not what the code says; run: make reference\n" for name in stale)
        return 1 if stale else 0
    for name in stale:
        (HERE / name).parent.mkdir(exist_ok=True)
        (HERE / name).write_text(made[name], encoding="utf-8")
        sys.stdout.write(f"docs/{name}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
