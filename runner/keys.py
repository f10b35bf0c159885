"""The passphrase of encrypted checkpoints: a file, the environment or a person says it; never an argument.

Knows how an encrypted file begins, and nothing else of it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from runner.errors import InputMissing, ParentError, Problem, UsageError

VARIABLE = "SKILLBANK_ENCRYPTION_KEY"
OPTION = "--encryption-key-file"
HOW = f"set the environment variable {VARIABLE}, or give {OPTION} FILE"
MAGIC = b"\x93SKBKEY\n"  # of the container, see docs/security.md; the trainer writes it
FROM_STDIN = "-"
MOST = 4096  # bytes of a passphrase


class KeyMissing(ParentError):
    """A checkpoint is encrypted and no key is given."""


def add_option(parser: Any) -> None:
    """Add ``--encryption-key-file`` to the parser of a command."""
    parser.add_argument(
        OPTION,
        metavar="FILE",
        help=f"file with the passphrase of encrypted checkpoints; - asks for it; default: ${VARIABLE}",
    )


def from_option(name: str | None, *, new: bool = False) -> str | None:
    """The passphrase that ``--encryption-key-file`` names, None without one; ``new`` asks a person twice.

    Raises:
        InputMissing: there is no such file. UsageError: it holds no passphrase.
    """
    if name is None:
        return None
    if name == FROM_STDIN and sys.stdin is None:
        raise UsageError(f"{OPTION} -: stdin is closed.")
    if name == FROM_STDIN:
        return ask(new=new) if sys.stdin.isatty() else _line(sys.stdin.buffer.read(MOST + 1), "stdin")
    try:
        with open(name, "rb") as file:
            return _line(file.read(MOST + 1), name)
    except OSError as error:
        raise InputMissing(f"{OPTION} {name}: {error.strerror}.") from None


def ask(*, new: bool = False) -> str:
    """Ask the person at the terminal; a new passphrase is asked for twice."""
    import getpass

    try:
        key = getpass.getpass("Encryption key: ")
        if new and key and getpass.getpass("Once more: ") != key:
            raise UsageError("The two keys differ.")
    except EOFError:
        key = ""
    if not key:
        raise UsageError("No encryption key was entered.")
    return key


def can_ask() -> bool:
    """Whether somebody sits there to be asked."""
    return sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty()


def from_environment() -> str | None:
    """The passphrase of the environment; an empty one is none."""
    return os.environ.get(VARIABLE) or None


def environment() -> dict[str, str]:
    """The environment for another process: it gets the passphrase by a pipe, if it needs it."""
    return {name: value for name, value in os.environ.items() if name != VARIABLE}


def is_encrypted(path: object) -> bool:
    """Whether a local file is an encrypted one; what cannot be read is none."""
    try:
        if not os.path.isfile(str(path)):  # a pipe would be emptied by a look at it
            return False
        with open(str(path), "rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except (OSError, ValueError):
        return False


def locked(inputs: Iterable[Mapping[str, Any]]) -> list[Problem]:
    """The inputs that are encrypted, each with how to give the key."""
    return [
        Problem(str(item["key"]), f"{item['uri']} is encrypted, and no key is given: {HOW}")
        for item in inputs
        if isinstance(item["uri"], str) and "://" not in item["uri"] and is_encrypted(item["uri"])
    ]


def open_to_others(name: str | None) -> str | None:
    """A warning where other users of the machine can read the file of the passphrase."""
    if name in (None, FROM_STDIN):
        return None
    path = Path(str(name))
    if path.is_file() and path.stat().st_mode & 0o044:
        return f"{name} can be read by other users of this machine: chmod 600 {name}"
    return None


def _line(content: bytes, where: str) -> str:
    key = content.decode("utf-8", "surrogateescape").removesuffix("\n").removesuffix("\r")
    if len(content) > MOST or "\n" in key or "\0" in key:
        raise UsageError(f"{OPTION}: {where} holds more than one line of at most {MOST} bytes: no passphrase.")
    if not key:
        raise UsageError(f"{OPTION}: {where} is empty.")
    return key
