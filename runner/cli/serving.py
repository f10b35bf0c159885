"""The verb `mcp`: hands the command line itself to the server, so that a tool answers what the command answers."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from typing import Any

from runner.cli.kinds import file
from runner.cli.reply import Reply
from runner.errors import SkillBankError, UsageError


def add(verb: Callable[..., argparse.ArgumentParser]) -> argparse.ArgumentParser:
    """The grammar of the verb, less the workspace."""
    sub = verb(
        "mcp", mcp_, "The bank as a server of the Model Context Protocol, on stdio.", "skillbank mcp --workspace workspace"
    )
    sub.add_argument(
        "--http", metavar="PORT", type=int, help="on HTTP instead, on this machine only; 0 is any free port; needs a token"
    )
    sub.add_argument(
        "--token-file", metavar="FILE", type=file, help="holds the token that clients send; default: $SKILLBANK_MCP_TOKEN"
    )
    return sub


def mcp_(arguments: argparse.Namespace) -> Reply:
    """Serve until the client hangs up, or on HTTP until a signal comes."""
    from runner import bank, mcp
    from runner.mcp import http

    mcp.needed()
    calls = mcp.Calls(answer, refuse, arguments.workspace.absolute(), bank.version())
    arguments.line.stop()
    if arguments.http is None:
        if arguments.token_file:
            raise UsageError("--token-file is for --http; stdio needs no token.")
        if sys.stdin.isatty():
            sys.stderr.write("Serving on stdin and stdout, for a client that starts this command itself. Ctrl-C ends it.\n")
        mcp.serve_stdio(calls)
        return Reply(None, "")
    if not 0 <= arguments.http < 1 << 16:
        raise UsageError(f"--http {arguments.http}: not a port; allowed: 0 (any that is free) to 65535.")
    token = http.token(arguments.token_file)
    with http.bind(arguments.http) as listening:
        sys.stderr.write(f"listening on http://{http.ADDRESS}:{listening.getsockname()[1]}{http.PATH}\n")
        sys.stderr.flush()
        mcp.serve_http(calls, listening, token)
    return Reply(None, "")


def answer(words: Sequence[str]) -> dict[str, Any]:
    """The envelope of a command line, as `--json` prints it."""
    from runner.cli import envelope, respond

    verb, reply = respond(words)
    if isinstance(reply, int):
        raise AssertionError(f"{verb} answers people only")
    return _plain(envelope(verb, reply))


def refuse(verb: str, error: SkillBankError) -> dict[str, Any]:
    """The envelope of a call that was wrong before it became a command line."""
    from runner.cli import envelope, failed

    return _plain(envelope(verb, failed(error)))


def _plain(told: dict[str, Any]) -> dict[str, Any]:
    plain: dict[str, Any] = json.loads(json.dumps(told, default=str))
    return plain
