"""Secrets of a request: never an argument; the passphrase of checkpoints where one is needed. Knows skills, no jobs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from runner import keys
from runner import spec as specs
from runner.errors import Problem, UsageError
from runner.schema import ActionSchema
from runner.skill import Action, Skill


def settings(action: Action) -> set[str]:
    """The settings of an action that hold the passphrase of checkpoints."""
    return {key for key, function in action.spec_params.items() if function == "key"}


def check(overrides: Iterable[str], key: str | None, skill: Skill, action: Action, schema: ActionSchema) -> None:
    """No secret on the command line, and no ``key`` for an action that takes none.

    Raises:
        UsageError: there is one.
    """
    said = specs.expand_shorthand([specs.parse_override(text) for text in overrides], skill.shorthand)
    named = sorted({name for name, value in said if name in schema.secrets() and _is_set(value)})
    if named:
        own = set(named) <= settings(action)
        raise UsageError(
            f"--set {named[0]}: a secret is not given on the command line, which every user of the machine can read.",
            hint=f"For the key of checkpoints: {keys.HOW}." if own else "Put it into a spec file (--spec).",
        )
    if key and not settings(action):
        raise UsageError(f"{keys.OPTION}: {action.name} reads and writes no checkpoint.", hint="Leave it out.")


def locked(spec: Mapping[str, Any], action: Action, inputs: Iterable[Mapping[str, Any]]) -> list[Problem]:
    """The local inputs that are encrypted, where the spec has no passphrase for them."""
    return [] if any(_is_set(specs.get(spec, key)) for key in settings(action)) else keys.locked(inputs)


def notes(
    spec_file: Path | None,
    spec: Mapping[str, Any],
    sources: Mapping[str, str],
    action: Action,
    schema: ActionSchema,
    inputs: Iterable[Mapping[str, Any]],
) -> list[str]:
    """What the user should know: a secret in a spec file, an encrypted input without a key."""
    in_file = [key for key in sorted(schema.secrets()) if sources.get(key) == "file" and _is_set(specs.get(spec, key))]
    said = [f"{key} stands in {spec_file}: whoever may read that file has it. Better: {keys.HOW}." for key in in_file]
    return [*said, *map(str, locked(spec, action, inputs))]


def _is_set(value: object) -> bool:
    return value not in ("", "???", None)
