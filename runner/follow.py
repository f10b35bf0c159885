"""Where a running job is, in one line: epoch, measures, time left, and the search or series it belongs to. Reads only."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from runner import private
from runner.errors import SkillBankError
from runner.jobs import JobStore
from runner.terminal import bar, span

LINES = 300  # status lines that are looked at, at most: a long epoch says many
ENDS = ("SUCCESS", "FAILURE")
EVERY = 1.0  # seconds between two looks at a search's record
WITHIN = re.compile(r"epoch (\d+)/(\d+): (\d+) %.*")  # what a trainer says in a long epoch
FIRST = ("val_loss", "val_acc")  # measures people wait for; others only where these are not told


def progress(results_dir: str | Path, since: float = 0.0) -> dict[str, Any] | None:
    """What the last lines of a running job's status.json say together, the newest word counting; None while there is none.

    A file that was last written before ``since`` (``time.time``) is of an earlier run.
    """
    path, found = Path(results_dir) / "status.json", dict[str, Any]()
    if since and (not path.exists() or path.stat().st_mtime < since):
        return None
    for text in reversed(private.tail(path, LINES)):
        try:
            line = json.loads(text)
        except ValueError:
            continue  # half a line: the job is writing it now
        if not isinstance(line, dict):
            continue
        if found and line.get("status") in ENDS:
            break  # of an earlier run in this folder
        kpi = {**(line.get("kpi") or {}), **(found.get("kpi") or {})}
        found = {**line, **found, **({"kpi": kpi} if kpi else {})}
        if line.get("status") == "STARTED" or ("eta" in found and set(FIRST) <= set(kpi)):
            break
    return found or None


def within(study: Mapping[str, Any] | None) -> str:
    """Which trial of a search, or training of a series, is at work."""
    if study is None:
        return ""
    if search := study.get("automl"):
        return _search(search, since(study))
    rows = (study.get("series") or {}).get("children") or []
    at = next((row for row in rows if row["state"] == "RUNNING"), None)
    return f"{at['label']}, {at['number'] + 1} of {len(rows)}" if at else ""


def _search(search: Mapping[str, Any], age: float) -> str:
    """How far a search is: trials that ended, what became of them, the best, the time that is left."""
    begun, best, totals = search.get("trials") or [], search.get("best"), search.get("totals") or {}
    done = sum(trial.get("state") not in ("RUNNING", "PENDING") for trial in begun)
    total = (search.get("budget") or {}).get("trials")
    apart = [f"{totals[name]} {name}" for name in ("stopped", "failed") if totals.get(name)]
    over = bool(total and done >= total and not totals.get("running"))
    said = ["all trials have ended" if over else f"trial {done + 1}" + (f" of {total:g}" if total else ""), *apart]
    said += [f"best {search['metric']} {_short(best['value'])}"] if best else []
    to_go = None if over else left(search, age)
    return ", ".join([*said, *([f"{span(to_go)} to go"] if to_go is not None else [])])


def since(study: Mapping[str, Any]) -> float:
    """Seconds since the record of a running search was last brought up to date."""
    told = (study.get("automl") or {}).get("noted_at")
    return max(0.0, time.time() - told) if isinstance(told, int | float) else 0.0


def elapsed(search: Mapping[str, Any], age: float) -> float:
    """Seconds of a running search so far, over all its jobs."""
    return float(search.get("elapsed") or 0.0) + age


def left(search: Mapping[str, Any], age: float) -> float | None:
    """About how many seconds a running search goes on, by what its trials took so far; None while nobody can tell."""
    budget, totals = search.get("budget") or {}, search.get("totals") or {}
    spent = elapsed(search, age)
    limit = budget.get("seconds")
    found = [limit - (spent - (search.get("began_with") or 0.0))] if limit else []
    ended = sum(totals.get(name, 0) for name in ("complete", "stopped", "failed"))
    if (trials := budget.get("trials")) and ended:
        found.append(spent * max(0, trials - ended) / ended)
    if (epochs := budget.get("epochs")) and totals.get("epochs"):
        found.append(spent * max(0, epochs - totals["epochs"]) / totals["epochs"])
    return max(0.0, min(found)) if found else None


def line(told: Mapping[str, Any] | None, study: Mapping[str, Any] | None = None, *, age: float = 0.0, else_: str = "") -> str:
    """The one line; ``age`` are seconds since ``told`` was said, by which the time that is left has shrunk.

    ``else_`` is said where the job has said nothing yet.
    """
    told = told or {"message": else_}
    said, of = str(told.get("message") or ""), within(study)
    begun, share = WITHIN.fullmatch(said), 0.0
    if begun:
        done, total, share = int(begun[1]) - 1, int(begun[2]), int(begun[3]) / 100
    elif told.get("max_epoch") is not None and told.get("epoch") is not None:
        done, total = int(told["epoch"]) + 1, int(told["max_epoch"]) + 1
    else:
        return "  ".join(filter(None, (of, said)))
    kpi, left = told.get("kpi") or {}, seconds(told.get("eta"))
    parts = [f"{bar((done + share) / max(1, total))} epoch {done + bool(begun)}/{total}"]
    parts += [f"{name} {_short(kpi[name])}" for name in [n for n in FIRST if n in kpi] or kpi]
    parts += [f"{span(left - age)} left"] if left is not None and done < total else []
    return "  ".join([*parts, *([f"({of})"] if of else [])])


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def seconds(text: object) -> float | None:
    """The seconds of a time such as ``1 day, 2:03:04.5``; None where it is none."""
    found = re.fullmatch(r"(?:(-?\d+) days?, )?(\d+):(\d+):(\d+(?:\.\d+)?)", str(text))
    if not found:
        return None
    days, hours, minutes, rest = found.groups()
    return 86400 * int(days or 0) + 3600 * int(hours) + 60 * int(minutes) + float(rest)


class Clock:
    """Knows since when a time that is left has been told."""

    def __init__(self) -> None:
        self._word: list[Any] = []
        self._since = 0.0

    def age(self, told: Mapping[str, Any] | None) -> float:
        """Seconds since the epoch and the time left of ``told`` were first seen."""
        word, now = [(told or {}).get(key) for key in ("epoch", "eta")], time.monotonic()
        if word != self._word:
            self._word, self._since = word, now
        return now - self._since


class Follower:
    """Says where a job is whenever it is called, from what lies on disk; a transfer's own words come first."""

    def __init__(self, find: Callable[[], JobStore], what: str) -> None:
        self._find, self._what = find, what
        self._record: Mapping[str, Any] | None = None
        self._transfer = ""
        self._clock = Clock()
        self._study = _Study(None, 0.0)

    def at(self, record: Mapping[str, Any]) -> None:
        """The job that is at work now, or the search it is at work for."""
        self._record, self._transfer = record, ""

    def transfer(self, text: str) -> None:
        """How far a transfer is."""
        self._transfer = text

    def __call__(self) -> str:
        """The line."""
        record = self._record
        if self._transfer or record is None:
            return self._transfer or self._what
        told, now = progress(record["results_dir"]), time.monotonic()
        return line(told, self._study_of(record, now), age=self._clock.age(told), else_=f"{record['action']} starts")

    def _study_of(self, record: Mapping[str, Any], now: float) -> Mapping[str, Any] | None:
        if record["automl"] or record["series"]:
            return record
        if record["study_job"] and now >= self._study.until:
            try:
                found = self._find().read(record["study_job"])
            except SkillBankError:  # of another workspace, or gone
                found = None
            self._study = _Study(found, now + EVERY)
        return self._study.record if record["study_job"] else None


class _Study(NamedTuple):
    record: Mapping[str, Any] | None
    until: float
