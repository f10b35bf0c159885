"""How numbers, times and values are said in the report. Pure; shared by the page and the text."""

from __future__ import annotations

import json
import re
from datetime import datetime
from typing import Any

STATUS = {
    "COMPLETE": "complete",
    "ERROR": "failed",
    "CANCELED": "canceled",
    "RUNNING": "running",
    "PENDING": "pending",
    "UNKNOWN": "unknown",
}
NOTHING = "–"


def number(value: Any, digits: int = 4) -> str:
    """A number with ``digits`` significant digits; whole numbers in full."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return NOTHING if value is None else str(value)
    if isinstance(value, int) or (value == int(value) and abs(value) < 1e6):
        return f"{int(value):,}".replace(",", "\u2009")
    return re.sub(r"e([+-])0+", r"e\1", format(value, f".{digits}g"))


def percent(value: Any, digits: int = 1) -> str:
    """A share given in percent (0 to 100)."""
    if not isinstance(value, (int, float)):
        return NOTHING
    text = format(value, f".{digits}f")
    return f"{text.rstrip('0').rstrip('.') if value in (0, 100) else text}\u00a0%"


def share(value: Any) -> str:
    """A share given as a fraction (0 to 1), in percent."""
    return percent(value * 100) if isinstance(value, (int, float)) else NOTHING


def size(value: Any) -> str:
    """Bytes, for people."""
    if not isinstance(value, (int, float)):
        return NOTHING
    for unit in ("bytes", "kB", "MB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "bytes" else f"{value:.3g} {unit}"
        value /= 1000
    return f"{value:.3g} GB"


def seconds(value: Any) -> str:
    """A duration in seconds, for people."""
    if not isinstance(value, (int, float)):
        return NOTHING
    if value < 10:
        return f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def moment(value: Any) -> str:
    """An ISO time to the second, with its zone."""
    when = instant(value)
    return (when.strftime("%Y-%m-%d %H:%M:%S ") + (when.tzname() or "")).strip() if when else str(value or NOTHING)


def instant(value: Any) -> datetime | None:
    """The datetime of an ISO text, or None."""
    try:
        return datetime.fromisoformat(str(value))
    except ValueError:
        return None


def between(start: Any, end: Any) -> float | None:
    """Seconds from one ISO time to another, or None."""
    first, last = instant(start), instant(end)
    if not first or not last or (first.tzinfo is None) != (last.tzinfo is None):
        return None
    return max((last - first).total_seconds(), 0.0)


def value(thing: Any) -> str:
    """A setting as one would write it in a spec."""
    if thing is None or thing == "":
        return "not set"
    return thing if isinstance(thing, str) else json.dumps(thing, ensure_ascii=False)


def source(word: str) -> str:
    """Where a setting's value came from."""
    return word.replace("inferred:", "inferred by ", 1).replace("recipe:", "recipe ", 1)


def budget(thing: Any) -> str:
    """A search budget."""
    if not isinstance(thing, dict):
        return NOTHING if thing in (None, "") else str(thing)
    parts = [f"{number(thing['trials'])} trials"] if thing.get("trials") else []
    parts += [seconds(thing["seconds"])] if thing.get("seconds") else []
    parts += [f"{key} {number(rest)}" for key, rest in thing.items() if key not in ("trials", "seconds") and rest]
    return " or ".join(parts) or NOTHING


def short(digest: Any) -> str:
    """The beginning of a hash, enough to tell it by."""
    return str(digest)[:12] if digest else NOTHING


def count(n: int, noun: str) -> str:
    """``3 trials``, ``1 trial``."""
    return f"{number(n)} {noun}" + ("" if n == 1 else "s")


def sentence(text: str) -> str:
    """With a capital letter and a full stop."""
    return f"{text[:1].upper()}{text[1:]}."


def together(words: list[str]) -> str:
    """``a, b and c``."""
    return " and ".join(filter(None, [", ".join(words[:-1]), words[-1]])) if words else ""


def pairs(thing: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """A nested dict as rows of dotted key and value."""
    rows: list[tuple[str, Any]] = []
    for key, inner in thing.items():
        rows += pairs(inner, f"{prefix}{key}.") if isinstance(inner, dict) and inner else [(f"{prefix}{key}", inner)]
    return rows


def noticed(checks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """All findings in the data, the worst first."""
    levels = ("error", "warning", "note")
    return sorted((f for entry in checks for f in entry["findings"]), key=lambda finding: levels.index(finding["level"]))


def looked(checks: list[dict[str, Any]], jobs: list[dict[str, Any]]) -> str:
    """Before which actions the data was looked at, and whether anything was noticed."""
    action = {job["id"]: job["action"] for job in jobs}
    names = together(list(dict.fromkeys(action.get(entry["job"], entry["job"]) for entry in checks)))
    return f"Looked at before {names}" + ("." if noticed(checks) else "; nothing was noticed.")
