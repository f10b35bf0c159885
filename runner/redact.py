"""Secrets out of plain data: by the name of a key, by the look of a value, by the value itself.

Knows nothing of records, specs or logs; whoever writes something down passes it through here first.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable, Mapping
from functools import cache
from typing import Any, NamedTuple

MASK = "***"
_NAMES = (
    r"(?:encryption[_-]?key|pass(?:word|wd|phrase)|secret|token|api[_-]?key|access[_-]?key(?:[_-]?id)?|private[_-]?key|credentials?|"
    r"x-amz-signature|x-amz-credential)"
)
_WORD = r"(?:\"[^\"]*\"|'[^']*'|[^\s,;&\"'}\]]+)"


class _Patterns(NamedTuple):
    """Compiled when first needed: commands that only read records do without."""

    name: re.Pattern[str]
    option: re.Pattern[str]
    shapes: tuple[tuple[re.Pattern[str], str], ...]


@cache
def _patterns() -> _Patterns:
    return _Patterns(
        name=re.compile(rf"(?:^|.*[._-]){_NAMES}", re.IGNORECASE),
        option=re.compile(rf"--?(?:[\w.-]*[._-])?{_NAMES}", re.IGNORECASE),
        shapes=(
            (re.compile(r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"), MASK),
            (re.compile(r"\b(?:gh[pousr]_|github_pat_|hf_|nvapi-|sk-|xox[abprs]-)[A-Za-z0-9_-]{16,}"), MASK),
            (re.compile(r"\beyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]+"), MASK),
            (re.compile(r"\b(bearer\s+)[\w.~+/=-]{8,}", re.IGNORECASE), rf"\1{MASK}"),
            (re.compile(r"(\b[a-z][a-z0-9+.-]*://[^\s:/@]*):[^\s@/]+@", re.IGNORECASE), rf"\1:{MASK}@"),
            (re.compile(rf"((?<![A-Za-z0-9])(?:[\w.-]*[._-])?{_NAMES}[\"']?\s*[=:]\s*){_WORD}", re.IGNORECASE), rf"\1{MASK}"),
        ),
    )


def redact(value: Any, secret_keys: Collection[str] = (), literals: Iterable[str] = ()) -> Any:
    """A copy of plain data in which every secret reads ``***``.

    Masked are: string values under a key whose dotted path is in ``secret_keys`` or that is named like a secret;
    ``key=value`` and ``--key value`` of such names in strings and argument lists; access keys, tokens and passwords in
    URLs; and every occurrence of ``literals``. Empty values stay, so that one sees that nothing was set.
    """
    given = re.compile("|".join(rf"\b{re.escape(k)}=\S+" for k in secret_keys)) if secret_keys else None
    spoken = sorted({text for text in literals if len(text) >= 4}, key=len, reverse=True)

    def walk(item: Any, path: str) -> Any:
        if isinstance(item, str):
            return _text(item, given, spoken)
        if isinstance(item, Mapping):
            return {str(key): entry(str(key), inner, path) for key, inner in item.items()}
        if isinstance(item, list | tuple):
            return _arguments([walk(inner, path) for inner in item])
        return os.fspath(item) if isinstance(item, os.PathLike) else item

    def entry(key: str, inner: Any, path: str) -> Any:
        dotted = f"{path}.{key}" if path else key
        secret = dotted in secret_keys or key in secret_keys or _patterns().name.fullmatch(key)
        return MASK if secret and isinstance(inner, str) and inner else walk(inner, dotted)

    return walk(value, "")


def values_of(spec: Mapping[str, Any], secret_keys: Collection[str] = ()) -> set[str]:
    """The secrets themselves that stand in ``spec``, to be masked wherever else they turn up."""
    found: set[str] = set()
    for key, inner in spec.items():
        below = {k.partition(".")[2] for k in secret_keys if k.startswith(f"{key}.")}
        if isinstance(inner, Mapping):
            found |= values_of(inner, below)
        elif (
            isinstance(inner, str) and inner not in ("", MASK) and (key in secret_keys or _patterns().name.fullmatch(str(key)))
        ):
            found.add(inner)
    return found


def _text(text: str, given: re.Pattern[str] | None, spoken: list[str]) -> str:
    for literal in spoken:
        text = text.replace(literal, MASK)
    if given is not None:
        text = given.sub(lambda hit: f"{hit[0].partition('=')[0]}={MASK}", text)
    for shape, replacement in _patterns().shapes:
        text = shape.sub(replacement, text)
    return text


def _arguments(items: list[Any]) -> list[Any]:
    """``["--token", "abc"]`` hides its second word."""
    for index in range(1, len(items)):
        before = items[index - 1]
        if isinstance(before, str) and isinstance(items[index], str) and _patterns().option.fullmatch(before):
            items[index] = MASK
    return items
