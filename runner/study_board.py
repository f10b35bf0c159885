"""What is told of a running search: lines for people, the facts in its record, checkpoints deleted. Decides nothing.

Called under the search's lock, but for ``say``.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from typing import Any

from runner import study_facts, study_keep
from runner import trials as jobs
from runner.automl.driver import Search
from runner.automl.state import Leg
from runner.jobs import JobStore


class Board:
    """``jobs`` is the job of each leg of this process, ``reasons`` why legs were given up; ``several`` workers talk at once."""

    def __init__(self, store: JobStore, study: dict[str, Any], search: Search, ticker: Any) -> None:
        self.store, self.study, self.search, self._ticker = store, study, search, ticker
        self.facts: dict[str, Any] = study["automl"]
        self.jobs: dict[int, str] = {}
        self.reasons: dict[int, str] = {}
        self.several = False
        self._began, self._written = time.monotonic(), 0.0
        self._before = float(self.facts["elapsed"])
        self._times: dict[str, float] = {}
        self._gone: set[str] = set()
        self._mouth = threading.Lock()
        self._shown: int | None = None  # the leg whose progress is shown

    def say(self, text: str) -> None:
        """A line for people."""
        with self._mouth:
            self._ticker.say(text)

    def ticker(self, leg: Leg) -> Any:
        """What the leg's job says: with several workers each line names its trial, and one of them shows how far it is."""

        def say(text: str) -> None:
            self.say(f"trial {leg.config}: {text}" if self.several else text)

        def tick(record: Mapping[str, Any]) -> None:
            with self._mouth:
                if self._shown not in self.jobs or self._shown is None:
                    self._shown = leg.number
                if self._shown == leg.number:
                    self._ticker.tick(record)

        return self._ticker._replace(say=say, tick=tick)

    def begins(self, leg: Leg, epochs: int) -> None:
        """A leg is about to be trained, with so many epochs behind it."""
        said = ", ".join(f"{key}={jobs.short(value)}" for key, value in leg.settings.items()) or "the spec as given"
        further = (
            f" (goes on after epoch {epochs})"
            if epochs
            else " (begins again)"
            if leg.start is not None or leg.again is not None
            else ""
        )
        self.say(f"trial {leg.config}: {said}{further}")
        for change in leg.adjustments:
            self.say(f"trial {leg.config}: {change}")

    def ended(self, leg: Leg) -> None:
        """What came of a leg."""
        metric, best = self.facts["metric"], self.search.state().best()
        value = leg.result.get("value")
        if leg.state == "failed":
            told = f"failed ({leg.result.get('class') or 'ended'}): {leg.result.get('error')}"
        elif leg.state == "stopped":
            last = max(leg.reports, default=0)
            told = f"stopped after epoch {last}, {metric} {jobs.short(leg.reports.get(last))}"
        else:
            told = f"{metric} {jobs.short(value)}"
        so_far = study_facts.reached(best, self.search.state()) if best else None
        self.say(f"trial {leg.config}: {told}" + (f" (best {jobs.short(so_far)})" if best and leg.state != "failed" else ""))

    def keep(self, everything: bool, *, final: bool = False) -> None:
        """Delete the checkpoints that are not needed any more, at the end those in S3, too, and note it."""
        if not everything:
            self.facts["deleted"] += study_keep.retain(self.store, self.search.state(), self._gone, final=final)
        if final and not everything:
            self.facts["deleted"] += study_keep.thin(self.store, self.search.state(), self.say)

    def note(self, *, every: float = 0.0) -> None:
        """Bring the record up to date, at most once in ``every`` seconds."""
        now = time.monotonic()
        if every and now - self._written < every:
            return
        self._written = now
        state = self.search.state()
        for number in [n for n in self.jobs if state.legs[n].state != "running"]:
            del self.jobs[number]
            self._shown = None if self._shown == number else self._shown
        self.facts |= study_facts.derive(state, self.store, self._times, self.reasons)
        if "final" in self.facts:
            self.facts["final"] = study_facts.standing(self.facts["final"], self.facts["trials"], self.facts["best"])
        self.facts["elapsed"] = round(self._before + now - self._began, 3)
        self.facts["noted_at"] = round(time.time(), 3)
        self.store.enrich(self.study["id"], automl=self.facts)
