"""Secrets out of what the trainer writes down itself: passwords in addresses, keys by name or look, values of the environment.

The trainer never imports the runner, whose redactor looks after everything else that a job writes.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from typing import Any

MASK = "***"
SHORTEST, LEAST = 4, 12  # characters of a secret that is given, and of one that is found in the environment
_KEYS = r"(?:encryption|secret|access|api|private|account)[_-]?(?:access[_-]?)?key(?:[_-]?id)?"
_NAMED = rf"{_KEYS}|pass(?:word|wd|phrase)|pwd|secret|token"
_NAME = re.compile(rf"(?:.*[._-])?(?:{_NAMED}|credentials?)", re.IGNORECASE)
_SHAPES = (
    (
        re.compile(r"(\b[a-z][a-z0-9+.-]{0,30}://[^\s:/@?#\"'<>]*):(?!\d{1,5}[/?#])[^\s\"'<>]{0,500}@", re.IGNORECASE),
        rf"\1:{MASK}@",
    ),
    (re.compile(r"(?<![A-Za-z0-9])(?:AKIA|ASIA)[0-9A-Z]{16}(?![A-Za-z0-9])"), MASK),
    (re.compile(rf"(?<![A-Za-z0-9])((?:{_NAMED})\s*=\s*)[^\s,;&\"'}}\]]+", re.IGNORECASE), rf"\1{MASK}"),
)


def secrets(given: Iterable[str] = ()) -> list[str]:
    """The secrets themselves, the longest first: those given, and those of the environment by the names of its variables."""
    found = {text for text in given if len(text) >= SHORTEST}
    for name, value in os.environ.items():
        if len(value) >= LEAST and not value.startswith(("/", "~", ".")) and _NAME.fullmatch(name):
            found.add(value)
    return sorted(found, key=len, reverse=True)


def clean(item: Any, spoken: Iterable[str]) -> Any:
    """Plain data without secrets; ``spoken`` as ``secrets`` gives them."""
    if isinstance(item, str):
        for literal in spoken:
            item = item.replace(literal, MASK)
        for pattern, shown in _SHAPES:
            item = pattern.sub(shown, item)
        return item
    if isinstance(item, Mapping):
        return {key: clean(inner, spoken) for key, inner in item.items()}
    return [clean(inner, spoken) for inner in item] if isinstance(item, list | tuple) else item
