"""One thing that was looked at: how it stands and what to do about it."""

from __future__ import annotations

from typing import Literal, NamedTuple

State = Literal["ok", "warn", "fail"]
GIB = 1 << 30


class Check(NamedTuple):
    """What was looked at, how it stands, what was found, and the exact remedy where there is one."""

    about: str
    state: State
    says: str
    fix: str = ""


def gib(count: float) -> str:
    """Bytes in words."""
    return f"{count / GIB:.1f} GiB"
