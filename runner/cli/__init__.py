"""The command line `skillbank`: exit codes and the JSON envelope. Prints; the work is done elsewhere."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from typing import IO, Any

from runner import redact, terminal
from runner.cli import following
from runner.cli.parser import build_parser
from runner.cli.reply import Reply
from runner.errors import SkillBankError

__all__ = ["build_parser", "envelope", "failed", "main", "respond"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb and return the exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    if words[:1] == ["__complete"]:
        from runner.cli import complete

        return complete.main(words[1:])
    verb, reply = respond(words, sys.stderr)
    if isinstance(reply, int):
        return reply
    words = _verb_first(words)
    return _answer(verb, reply, as_json="--json" in words, quiet=bool({"-q", "--quiet"} & set(words)))


def respond(argv: Sequence[str], moving: IO[str] | None = None) -> tuple[str, Reply | int]:
    """Carry out one command line: its verb and what it answers, or the exit code of a call that is for people only.

    ``moving`` is the terminal that shows how far a long verb is.
    """
    words = _verb_first(list(argv))
    verb = next((w for w in words if not w.startswith("-")), "")
    arguments = argparse.Namespace(words=words, called=verb)
    try:
        build_parser(verb).parse_args(words, arguments)
        if not hasattr(arguments, "verb"):
            build_parser().print_help()
            return verb, _flushed(2)
        terminal.Wish.uncut = arguments.verbose
        with terminal.Moving(moving or sys.stderr, verb, on=bool(moving) and not arguments.quiet) as arguments.line:
            reply: Reply = arguments.verb(arguments)
    except SystemExit as leaving:  # --help and --version have said what they say
        return verb, _flushed(int(leaving.code or 0))
    except SkillBankError as error:
        return verb, _clean(failed(error)._replace(next=tuple(following.after_error(error, arguments))))
    except KeyboardInterrupt:
        message = "interrupted"
        reply = Reply(None, message, exit_code=130, error={"class": "Canceled", "message": message, "exit_code": 130})
    except BrokenPipeError:
        terminal.abandon(sys.stdout)
        return verb, 141
    return verb, _clean(reply if reply.next else reply._replace(next=tuple(following.after(reply.data, arguments))))


def _clean(reply: Reply) -> Reply:
    """The reply without secrets: a message may repeat what was typed, or what a store said."""
    spoken = redact.surroundings(os.environ)
    plain = {name: value for name, value in reply._asdict().items() if name != "exit_code"}
    clean = redact.redact(plain, (), spoken, by_name=False)
    return Reply(**{**clean, "next": tuple(clean["next"]), "warnings": tuple(clean["warnings"])}, exit_code=reply.exit_code)


def envelope(verb: str, reply: Reply) -> dict[str, Any]:
    """What a program reads: of `--json` and of a tool of the MCP server alike."""
    return {
        "ok": reply.exit_code == 0,
        "schema_version": 1,
        "command": verb,
        "data": reply.data,
        "warnings": list(reply.warnings),
        "error": reply.error,
        "next": list(reply.next),
    }


FLAGS = ("--json", "-q", "--quiet", "-v", "--verbose")


def _verb_first(words: list[str]) -> list[str]:
    """Flags that every verb takes may stand before it."""
    count = next((i for i, word in enumerate(words) if word not in FLAGS), len(words))
    return words[count : count + 1] + words[:count] + words[count + 1 :]


def _flushed(code: int) -> int:
    """The code, after what was printed has gone out; a reader that has enough is no error."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        terminal.abandon(sys.stdout)
    return code


def _answer(verb: str, reply: Reply, *, as_json: bool, quiet: bool) -> int:
    try:
        if as_json:
            sys.stdout.write(json.dumps(envelope(verb, reply), ensure_ascii=False, default=str) + "\n")
        else:
            mark = terminal.paint("warning:", "yellow", sys.stderr)
            sys.stderr.writelines(f"{mark} {warning}\n" for warning in reply.warnings)
            if reply.text:  # what a job came to is data, even when it failed; a refusal is not
                (sys.stderr if _refused(reply) else sys.stdout).write(_marked(reply.text.rstrip("\n")) + "\n")
            shown = reply.exit_code == 0 or (reply.exit_code == 130 and reply.data)
            if reply.next and shown and not quiet and sys.stderr.isatty():
                sys.stderr.write("next:\n" + "".join(f"  {line}\n" for line in reply.next))
        sys.stdout.flush()
    except BrokenPipeError:
        terminal.abandon(sys.stdout)
        terminal.abandon(sys.stderr)
    except OSError as error:  # the disk behind `>` is full: what was asked for is done, but nobody can read it
        terminal.abandon(sys.stdout)
        sys.stderr.write(f"error: the answer cannot be written: {error.strerror}\n")
        return reply.exit_code or 7
    return reply.exit_code


def _marked(text: str) -> str:
    word = "error:"
    return terminal.paint(word, "red", sys.stderr) + text[len(word) :] if text.startswith(word) else text


def _refused(reply: Reply) -> bool:
    return reply.exit_code != 0 and not {"job_id", "checks"} & set(reply.data or {})


def failed(error: SkillBankError) -> Reply:
    """A refusal: its words for people, its details for programs."""
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
