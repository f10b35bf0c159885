"""The command line `skillbank`: exit codes and the JSON envelope. Prints; the work is done elsewhere."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence

from runner.cli.parser import build_parser
from runner.cli.verbs import Reply
from runner.errors import SkillBankError

__all__ = ["build_parser", "main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb and return the exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    as_json = "--json" in words
    verb = next((w for w in words if not w.startswith("-")), "")
    try:
        arguments = build_parser().parse_args(words)
        if not hasattr(arguments, "verb"):
            build_parser().print_help()
            return 2
        reply = arguments.verb(arguments)
    except SkillBankError as error:
        reply = _failed(error)
    except KeyboardInterrupt:
        reply = Reply(None, "", exit_code=130, error={"class": "Canceled", "message": "interrupted", "exit_code": 130})
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    return _answer(verb, reply, as_json)


def _answer(verb: str, reply: Reply, as_json: bool) -> int:
    ok = reply.exit_code == 0
    try:
        if as_json:
            envelope = {
                "ok": ok,
                "schema_version": 1,
                "command": verb,
                "data": reply.data,
                "warnings": list(reply.warnings),
                "error": reply.error,
                "next": list(reply.next),
            }
            sys.stdout.write(json.dumps(envelope, ensure_ascii=False, default=str) + "\n")
        else:
            sys.stderr.writelines(f"warning: {warning}\n" for warning in reply.warnings)
            if reply.text:  # what a job came to is data, even when it failed; a refusal is not
                (sys.stderr if _refused(reply) else sys.stdout).write(reply.text.rstrip("\n") + "\n")
            if reply.next and ok and sys.stderr.isatty():
                sys.stderr.write("next:\n" + "".join(f"  {line}\n" for line in reply.next))
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return reply.exit_code


def _refused(reply: Reply) -> bool:
    return reply.exit_code != 0 and "job_id" not in (reply.data or {})


def _failed(error: SkillBankError) -> Reply:
    details = {
        "class": type(error).__name__,
        "message": error.message,
        "problems": [p.as_dict() for p in error.problems],
        "hint": error.hint,
        "exit_code": error.exit_code,
    }
    candidates = getattr(error, "candidates", None)
    data = {"candidates": candidates} if candidates is not None else None
    return Reply(data, f"error: {error}", exit_code=error.exit_code, error=details)
