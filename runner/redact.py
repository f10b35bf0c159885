"""Secrets out of plain data and text: by the name of a key, by the look of a value, by the value itself.

Knows nothing of records, specs or logs; whoever writes something down passes it through here first.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable, Mapping
from functools import cache, lru_cache
from typing import Any

MASK = "***"
SHORTEST = 4  # characters of a literal; a shorter one would turn up in every other word
_NAMED = (
    r"encryption[_-]?key|pass(?:word|wd|phrase)|pwd|secret(?:[_-]?(?:access[_-]?)?key)?(?:[_-]?id)?|"
    r"(?:(?:session|auth|access|refresh|security|bearer|api|id)[_-]?)?token|api[_-]?key|access[_-]?key(?:[_-]?id)?|"
    r"private[_-]?key|account[_-]?key|x-(?:amz|goog)-(?:signature|credential)"
)
_NAMES = rf"(?:{_NAMED}|credentials?)"
_START = r"(?<![A-Za-z0-9])"  # AWS_SECRET_ACCESS_KEY and my.token end in a name as well
# A value as it stands in text: quoted, quoted within quotes, or a word. Nothing, and a variable's name, are no secrets.
_SET = r"(?!(?:null|none|true|false)\b|\$[A-Za-z_{(])"
_QUOTED = r"\\\"(?:(?!\\\").)*\\\"|\"[^\"]*\"|'[^']*'"
_BARE = r"[^\s,;&\"'}\]\\]+"
_WORD = rf"{_SET}(?:{_QUOTED}|{_BARE})"
# After a colon and a space, as in YAML, but also in a sentence: "token: expired long ago" goes on with words, and stays.
_SAID = rf"{_SET}(?:{_QUOTED}|(?=\S*[^\sa-z.,;:!?()]){_BARE}|[a-z]+(?=\s*(?:[\r\n,;}}\]]|\Z)))"
_B64 = r"[A-Za-z0-9+/]"
_CODE = r"[A-Za-z0-9_-]"
_LONG_TOKEN = r"(?:(?=[\w~+/=-]{0,200}[\d._~+/=-])[\w.~+/=-]{8,}|\w{20,})"


_Shape = tuple[tuple[str, ...], str, str, int]


def _shape(hints: tuple[str, ...], pattern: str, shown: str = MASK, flags: int = 0) -> _Shape:
    """A look of a secret: what the text has to hold (in lower case) for the pattern to be worth a try."""
    return hints, pattern, shown, flags


_ANY = re.IGNORECASE
_SHAPES = (
    _shape(
        ("private key",),
        r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----.*?(?:-----END [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----|\Z)",
        flags=re.DOTALL,
    ),
    # An access key of AWS, and the secret key that often stands beside it, which no look gives away.
    _shape(
        ("akia", "asia"),
        rf"(?<![A-Za-z0-9])(?:AKIA|ASIA)[0-9A-Z]{{16}}(?![A-Za-z0-9])(?:[\s,:;|\"']{{1,5}}{_B64}{{40}}(?!{_B64}|=))?",
    ),
    _shape(("iqojb3jpz2lu", "ogzxivyxdz"), rf"(?:IQoJb3JpZ2lu|F[wQ]oGZXIvYXdz)(?:{_B64}|[=_%-]){{16,}}"),
    _shape(("hf_",), r"(?<![A-Za-z0-9])hf_[A-Za-z0-9]{16,}"),
    _shape(
        ("ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_"),
        r"(?<![A-Za-z0-9])(?:gh[pousr]_[A-Za-z0-9]{16,}|github_pat_\w{16,})",
    ),
    _shape(
        ("sk-", "nvapi-", "glpat-", "xox", "pypi-age"),
        rf"(?<![A-Za-z0-9])(?:sk-|nvapi-|glpat-|xox[abeprs]-|pypi-AgE)(?={_CODE}{{0,200}}\d){_CODE}{{16,}}",
    ),
    _shape(("aiza", "npm_"), rf"(?<![A-Za-z0-9])(?:AIza{_CODE}{{35}}|npm_[A-Za-z0-9]{{36}})"),
    _shape(("wandb_v", "local-"), rf"(?<![A-Za-z0-9])(?:wandb_v\d+_{_CODE}{{20,}}|local-[0-9a-f]{{40}})"),
    _shape(("wandb",), rf"(\bwandb\s+login\s+(?:--?\S+\s+)*){_CODE}{{20,}}", rf"\1{MASK}"),
    _shape(("machine",), r"(\bmachine\s+\S+\s+login\s+\S+\s+password\s+)\S+", rf"\1{MASK}"),  # .netrc
    _shape(("eyj",), r"\beyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]+"),
    _shape(("bearer",), rf"\b(bearer\s+){_LONG_TOKEN}", rf"\1{MASK}", _ANY),
    _shape(
        ("authorization",),
        r"(\bauthorization\\?[\"']?\s*[:=]\s*\\?[\"']?(?:basic|token|apikey|digest|aws4-hmac-sha256)\s+)[^\r\n\"'\\]+",
        rf"\1{MASK}",
        _ANY,
    ),
    # scheme://user:password@host, a password may hold / and @; what follows a colon and is a port is none.
    _shape(
        ("://",),
        r"(\b[a-z][a-z0-9+.-]{0,30}://[^\s:/@?#\"'<>]*):(?!\d{1,5}[/?#])[^\s\"'<>]{0,500}@",
        rf"\1:{MASK}@",
        _ANY,
    ),
    _shape(
        ("signature=", "accesskeyid=", "sig="),
        r"([?&](?:signature|awsaccesskeyid|googleaccessid|sig)=)[^&\s\"'<>\\]+",
        rf"\1{MASK}",
        _ANY,
    ),
    _shape(("=", ":"), rf"({_START}(?:{_NAMED})(?:\\?[\"']?\s*=\s*|\\?[\"']\s*:\s*|:(?=\S))){_WORD}", rf"\1{MASK}", _ANY),
    _shape(("=", ":"), rf"({_START}(?i:{_NAMED}):\s+){_SAID}", rf"\1{MASK}"),
    _shape(("credential",), rf"({_START}credentials?(?:\\?[\"']\s*:\s*|[\"']?\s*=\s*)){_WORD}", rf"\1{MASK}", _ANY),
)
_FEWEST = 19  # characters of the shortest secret that gives itself away
# Words without which no name of a secret can be spelt: most texts hold none of them.
_TELLTALE = ("key", "pass", "pwd", "secret", "token", "x-amz", "x-goog")


def redact(value: Any, secret_keys: Collection[str] = (), literals: Iterable[str] = (), *, by_name: bool = True) -> Any:
    """A copy of plain data in which every secret reads ``***``.

    Masked are: string values under a key whose dotted path is in ``secret_keys`` or that is named like a secret;
    ``key=value`` and ``--key value`` of such names in strings and argument lists; access keys, tokens, private keys, signed
    addresses and passwords in URLs; and every occurrence of ``literals``. Empty values stay, so that one sees that nothing
    was set. Without ``by_name`` the names of keys say nothing: for data that was redacted and says, for example, where the
    value of a secret came from.
    """
    given = re.compile("|".join(rf"\b{re.escape(k)}=\S+" for k in secret_keys)) if secret_keys else None
    spoken = spellings(literals)

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
        secret = (
            by_name and isinstance(inner, str) and inner and (dotted in secret_keys or key in secret_keys or _is_secret(key))
        )
        return MASK if secret else walk(inner, dotted)

    return walk(value, "")


def text(said: str, spoken: Iterable[str] = ()) -> str:
    """A text without its secrets; ``spoken`` are literals as ``spellings`` gives them."""
    return _text(said, None, spoken)


def values_of(spec: Mapping[str, Any], secret_keys: Collection[str] = ()) -> set[str]:
    """The secrets themselves that stand in ``spec``, to be masked wherever else they turn up."""
    found: set[str] = set()
    for key, inner in spec.items():
        below = {k.partition(".")[2] for k in secret_keys if k.startswith(f"{key}.")}
        if isinstance(inner, Mapping):
            found |= values_of(inner, below)
        elif isinstance(inner, str) and inner not in ("", MASK) and (key in secret_keys or _is_secret(str(key))):
            found.add(inner)
    return found


def surroundings(environment: Mapping[str, str]) -> set[str]:
    """The secrets of the environment: what is named like one and is long enough to be one, and no path."""
    return {
        value
        for name, value in environment.items()
        if len(value) >= 12 and not value.startswith(("/", "~", ".")) and _is_secret(name)
    }


def spellings(literals: Iterable[str]) -> list[str]:
    """Literals as they may stand in a text: as they are, as JSON and Python quote them, as a URL does. The longest first."""
    found: set[str] = set()
    for literal in literals:
        if len(literal) < SHORTEST:
            continue
        found.add(literal)
        if not (literal.isascii() and literal.isalnum()):
            found |= _quoted(literal)
    return sorted(found, key=len, reverse=True)


def _quoted(literal: str) -> set[str]:
    import json
    from urllib.parse import quote, quote_plus

    plain = literal.encode("utf-8", "replace")
    return {
        json.dumps(literal)[1:-1],
        json.dumps(literal, ensure_ascii=False)[1:-1],
        repr(literal)[1:-1],
        quote(plain, safe=""),
        quote_plus(plain),
    }


def _text(said: str, given: re.Pattern[str] | None, spoken: Iterable[str]) -> str:
    for literal in spoken:
        said = said.replace(literal, MASK)
    if given is not None:
        said = given.sub(lambda hit: f"{hit[0].partition('=')[0]}={MASK}", said)
    if len(said) < _FEWEST and "=" not in said and ":" not in said:
        return said
    lowered = said.lower()
    named = any(word in lowered for word in _TELLTALE)
    for hints, pattern, shown, flags in _SHAPES:
        if any(hint in lowered for hint in hints) and (named or hints != ("=", ":")):
            said = _compiled(pattern, flags).sub(shown, said)
    return said


@cache
def _compiled(pattern: str, flags: int) -> re.Pattern[str]:
    """Compiled when first needed: commands that only read records do without."""
    return re.compile(pattern, flags)


@lru_cache(maxsize=1000)
def _is_secret(key: str) -> bool:
    lowered = key.lower()
    if not any(word in lowered for word in (*_TELLTALE, "credential")):
        return False
    return re.fullmatch(rf"(?:.*[._-])?{_NAMES}", key, _ANY | re.DOTALL) is not None


def _is_option(word: str) -> bool:
    return re.fullmatch(rf"--?(?:[\w.-]*[._-])?{_NAMES}", word, _ANY) is not None


def _arguments(items: list[Any]) -> list[Any]:
    """``["--token", "abc"]`` hides its second word."""
    for index in range(1, len(items)):
        before = items[index - 1]
        if isinstance(before, str) and before.startswith("-") and isinstance(items[index], str) and _is_option(before):
            items[index] = MASK
    return items
