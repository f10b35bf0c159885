"""What running an entrypoint comes to, in parent and child alike: an Outcome, or an error in words."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, cast

from runner.errors import JobFailed, SkillBankError
from runner.private import tail

Entrypoint = Callable[..., Any]  # of the spec, and a control where it takes one

CONTROL = "control"  # the parameter of an entrypoint that can be ended after a validation


class Outcome(NamedTuple):
    """What a job came to: numbers, named files, checkpoints."""

    metrics: dict[str, Any]
    artifacts: dict[str, str]
    checkpoints: list[dict[str, Any]]


def run_here(entrypoint: str, spec: dict[str, Any], control: Callable[[int, dict[str, float]], bool] | None = None) -> Outcome:
    """Run in this process; see ``call`` for ``control``.

    Raises:
        JobFailed: whatever exception the entrypoint raised (its ``__cause__``). Signals and SystemExit pass through.
    """
    try:
        return as_outcome(entrypoint, call(resolve(entrypoint), spec, control))
    except Exception as error:
        raise failed(entrypoint, describe(error), None) from error


def resolve(entrypoint: str) -> Entrypoint:
    """The function that "pkg.mod:run" names.

    Raises:
        SkillBankError: there is none, or its module does not import; the entrypoint is named.
    """
    from importlib import import_module

    module, _, name = entrypoint.partition(":")
    try:
        function = getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise SkillBankError(f"the entrypoint {entrypoint!r} cannot be loaded: {error}") from error
    if not callable(function):
        raise SkillBankError(f"the entrypoint {entrypoint!r} is not a function")
    return cast(Entrypoint, function)


def call(function: Entrypoint, spec: dict[str, Any], control: Callable[[int, dict[str, float]], bool] | None) -> Any:
    """Run the function; one with a parameter named ``control`` is given it, any other runs as if there were none."""
    import inspect

    if control is None or CONTROL not in inspect.signature(function).parameters:
        return function(spec)
    return function(spec, control=control)


def takes_control(entrypoint: str) -> bool | None:
    """Whether the function has a parameter named ``control``, by its source, which is not run; None: that does not tell."""
    import ast
    from importlib.util import find_spec

    module, _, name = entrypoint.partition(":")
    try:
        found = find_spec(module)
        tree = ast.parse(Path(found.origin).read_bytes()) if found and found.origin else None
    except (ImportError, OSError, SyntaxError, ValueError):
        return None
    for node in tree.body if tree else ():
        if isinstance(node, ast.FunctionDef) and node.name == name:
            own = node.args
            return CONTROL in [one.arg for one in (*own.args, *own.kwonlyargs)]
    return None


def as_outcome(entrypoint: str, result: Any) -> Outcome:
    """What the entrypoint returned, checked and made plain."""
    if not isinstance(result, dict) or not isinstance(result.get("metrics"), dict):
        raise SkillBankError(f"the entrypoint {entrypoint!r} did not return a dict with metrics but {type(result).__name__}")
    artifacts = {str(name): os.fspath(path) for name, path in (result.get("artifacts") or {}).items()}
    return Outcome(result["metrics"], artifacts, [dict(c) for c in result.get("checkpoints") or []])


def describe(error: BaseException) -> dict[str, Any]:
    """An exception as plain data: class, message, problems, exit code (its own ``exit_code``, else 1)."""
    kind, code, problems = type(error).__name__, getattr(error, "exit_code", 1), getattr(error, "problems", [])
    spoken = [str(problem) for problem in problems] if isinstance(problems, list | tuple) else []
    text = str(getattr(error, "message", "") or error)
    return {
        "class": kind,
        "message": text if spoken or isinstance(error, SkillBankError) else f"{kind}: {text}".rstrip(": "),
        "problems": spoken,
        "exit_code": code if isinstance(code, int) and code else 1,
    }


def failed(entrypoint: str, error: Mapping[str, Any], log: Path | None) -> JobFailed:
    """The error to raise: a user's mistake as its list of problems, a defect with the log's last lines."""
    name, problems, code = short_name(entrypoint), error["problems"], error["exit_code"]
    if problems and code != 1:
        message = f"{name} stopped: {len(problems)} problem{'s' if len(problems) > 1 else ''}"
        return JobFailed(message, problems=problems, hint=f"Log: {log}" if log else "", exit_code=code)
    last = "".join(f"\n    {line}" for line in tail(log, 10)) if log else ""
    hint = f"Log: {log}" + (f"; its last lines:{last}" if last else "") if log else ""
    return JobFailed(f"{name} failed: {error['message']}", problems=problems, hint=hint, exit_code=code)


def short_name(entrypoint: str) -> str:
    """``train`` of "stgcn.train:run"; an entrypoint of another form is named whole."""
    return entrypoint.partition(":")[0].rpartition(".")[2] or entrypoint
