"""The server on HTTP: this machine's own address only, a bearer token on every request, Host and Origin checked."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runner.errors import Refused, SkillBankError, UsageError

if TYPE_CHECKING:
    from mcp.server.lowlevel import Server

ADDRESS = "127.0.0.1"
PATH = "/mcp"
VARIABLE = "SKILLBANK_MCP_TOKEN"
SHORTEST = 16  # characters of a token
Message = MutableMapping[str, Any]
App = Callable[[Message, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Awaitable[None]]


def token(file: Path | None) -> str:
    """The token that clients have to send, from a file or from $SKILLBANK_MCP_TOKEN, which jobs then do not inherit.

    Raises:
        UsageError: there is none, or it is too short. Refused: others can read the file.
    """
    said = os.environ.pop(VARIABLE, "")
    if file is not None:
        try:
            mode = file.stat().st_mode
            said = file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"--token-file {file} cannot be read: {getattr(error, 'strerror', None) or error}") from None
        if mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise Refused(f"--token-file {file} can be read by others.", hint=f"Run: chmod 600 {file}")
    said = said.strip()
    if not said:
        raise UsageError(
            "On HTTP every client needs a token, and none is set.",
            hint=f"Set ${VARIABLE}, or give --token-file FILE; `openssl rand -hex 32` makes one.",
        )
    if len(said) < SHORTEST or not said.isascii() or not said.isprintable():
        raise UsageError(f"The token is no good: {SHORTEST} or more printable ASCII characters are allowed.")
    return said


def bind(port: int) -> socket.socket:
    """A socket on the loopback address; port 0 is any that is free.

    Raises:
        SkillBankError: the port is taken, or may not be used (exit code 7).
    """
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((ADDRESS, port))
        listening.listen()
    except (OSError, OverflowError) as error:
        listening.close()
        why = getattr(error, "strerror", None) or error
        raise SkillBankError(
            f"{ADDRESS}:{port} cannot be listened on: {why}", hint="Give another --http PORT.", exit_code=7
        ) from None
    return listening


def guarded(server: Server[Any], port: int, secret: str) -> App:
    """The server as an ASGI application that only answers who sends the token, and only under its own name."""
    from mcp.server.transport_security import TransportSecuritySettings

    names = [f"{host}:{port}" for host in (ADDRESS, "localhost")]
    # A page in a browser can reach this address too; what it sends as Host or Origin gives it away.
    checks = TransportSecuritySettings(
        enable_dns_rebinding_protection=True, allowed_hosts=names, allowed_origins=[f"http://{name}" for name in names]
    )
    inner = server.streamable_http_app(streamable_http_path=PATH, json_response=True, transport_security=checks, host=ADDRESS)
    expected = f"Bearer {secret}".encode()

    async def app(
        scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
    ) -> None:
        if scope["type"] == "http" and not _same(_header(scope, b"authorization"), expected):
            await _refused(send)
        else:
            await inner(scope, receive, send)

    return app


def _header(scope: Message, name: bytes) -> bytes:
    found = [value for key, value in scope["headers"] if key.lower() == name]
    return found[0] if len(found) == 1 else b""


def _same(given: bytes, expected: bytes) -> bool:
    import hmac

    scheme, _, rest = given.partition(b" ")
    return hmac.compare_digest(scheme.title() + b" " + rest, expected)


async def _refused(send: Callable[[Message], Awaitable[None]]) -> None:
    body = b'{"error": "unauthorized", "error_description": "send the header Authorization: Bearer TOKEN"}'
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    headers.append((b"www-authenticate", b'Bearer realm="skillbank"'))
    await send({"type": "http.response.start", "status": 401, "headers": headers})
    await send({"type": "http.response.body", "body": body})
