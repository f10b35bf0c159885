"""The address of a database: which are taken, how one is shown without its password, and where the password is kept meanwhile.

A password is in memory, in the environment or where PostgreSQL's own programs look for it; never in a record.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from runner.errors import UsageError

VARIABLE = "SKILLBANK_STORAGE"
SCHEME = "postgresql+psycopg"
ALLOWED = f"{SCHEME}://USER@HOST/DATABASE"
PASSWORDS = f"set the environment variable {VARIABLE} to the whole address, or PGPASSWORD, or write ~/.pgpass"
_SAME = ("postgresql", "postgres", "postgresql+psycopg3", SCHEME)

_known: dict[str, str] = {}


def address(text: str) -> str:
    """The address as it is used, password and all.

    Raises:
        UsageError: it names no database that a search over several machines can use.
    """
    scheme, found, rest = text.strip().partition("://")
    if scheme in _SAME and found and rest.partition("?")[0].strip("/"):
        return f"{SCHEME}://{rest}"
    hint = f"Allowed: {ALLOWED}; without --storage the study is a file of the search's job."
    if scheme.startswith("sqlite"):
        why = "SQLite's locks do not hold between machines, and on one machine the study needs no database."
        raise UsageError(f"--storage {shown(text)}: {why}", hint=hint)
    raise UsageError(f"--storage {shown(text)}: not the address of a PostgreSQL database.", hint=hint)


def shown(text: str) -> str:
    """The address without its password: what records and messages say, and what is enough where the password is known."""
    from urllib.parse import parse_qsl, urlencode

    scheme, found, rest = text.strip().partition("://")
    if not found:
        return text.strip()
    rest, _, query = rest.partition("?")
    user, at, place = rest.rpartition("@")
    user = user.partition(":")[0]
    kept = [(key, value) for key, value in parse_qsl(query, keep_blank_values=True) if "password" not in key]
    return f"{scheme}://{user}{at}{place}" + (f"?{urlencode(kept, safe='/:')}" if kept else "")


def has_password(text: str) -> bool:
    """Whether the address itself holds a password."""
    return shown(text) != text.strip()


def remember(text: str) -> str:
    """Keep the whole address in this process, and give back what may be written down.

    Raises:
        UsageError: it names no such database.
    """
    whole_one = address(text)
    found = shown(whole_one)
    if has_password(whole_one):
        _known[found] = whole_one
    return found


def whole(text: str) -> str:
    """The address with the password this process knows for it: told before, or in the environment."""
    own = shown(text)
    told = os.environ.get(VARIABLE) or ""
    if own not in _known and told and "://" in told and shown(_plain(told)) == own:
        return _plain(told)
    return _known.get(own, text)


def _plain(text: str) -> str:
    scheme, found, rest = text.strip().partition("://")
    return f"{SCHEME}://{rest}" if found and scheme in _SAME else text.strip()


def from_environment() -> str | None:
    """The address of the environment; an empty one is none."""
    return os.environ.get(VARIABLE) or None


def secrets() -> set[str]:
    """The passwords that this process was told in addresses."""
    from urllib.parse import unquote, urlsplit

    found = [urlsplit(one).password for one in (*_known.values(), from_environment() or "")]
    return {part for word in found if word for part in (word, unquote(word))}


def handed_on(place: str | None) -> dict[str, str]:
    """The environment by which another process of ours is told the whole address of ``place``."""
    return {VARIABLE: whole(place)} if place and has_password(whole(place)) else {}


def environment(around: Mapping[str, str]) -> dict[str, str]:
    """The environment of a training, which has no use for the database."""
    return {name: value for name, value in around.items() if name != VARIABLE}
