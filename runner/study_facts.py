"""What the record of a search says of it: every trial, the best one, totals. Derived from the study anew each time.

Knows the state of a study and records of jobs; decides nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from runner.automl.state import Config, Leg, State
from runner.errors import UnknownJob
from runner.jobs import JobStore

STATES = {"complete": "COMPLETE", "stopped": "COMPLETE", "failed": "ERROR", "running": "RUNNING", "waiting": "PENDING"}
BEST, BASELINE = "best", "baseline"  # what was evaluated in the end: the best trial, and the spec as given beside it
MOST_POINTS = 60  # of a trial's curve, in the record
Times = dict[str, float]


def derive(state: State, store: JobStore, times: Times, reasons: Mapping[int, str]) -> dict[str, Any]:
    """Trials, best and totals.

    ``times`` remembers the seconds of jobs whose legs were lost, ``reasons`` why legs were given up, by their number.
    """
    best = state.best()
    return {
        "trials": [_trial(config, state, store, times, reasons) for config in state.configs if _begun(config)],
        "best": _best(best, state) if best else None,
        "totals": state.totals(),
    }


def standing(final: Mapping[str, Any] | None, trials: Sequence[Mapping[str, Any]], best: Mapping[str, Any] | None) -> Any:
    """The final evaluation without what it said of a best trial that is not the best any more.

    A search that goes on may find a better one; the spec as given, if it was the best, is then what others are compared with.
    """
    if not final or not final["rows"]:
        return final
    given = next((trial["number"] for trial in trials if trial["origin"] == "given"), None)
    rows = []
    for row in final["rows"]:
        if row["what"] != BEST or (best and row["number"] == best["number"]):
            rows.append(row)
        elif row["number"] == given:
            rows.append({**row, "what": BASELINE})
    return {**final, "rows": rows}


def _begun(config: Config) -> bool:
    return job_of(config) is not None or config.state in ("complete", "failed")


def reached(config: Config, state: State) -> float | None:
    """The value that counts for a configuration: of its whole training, else the best of the epochs it had."""
    if config.value is not None or config.state == "failed":
        return config.value
    return config.at(config.epochs, state.sign) if config.curve else None


def curve(config: Config) -> list[list[float]]:
    """Epochs and values of a trial, over all its jobs; of many every so manieth, and the last."""
    points = [[epoch, value] for epoch, value in sorted(config.curve.items()) if math.isfinite(value)]
    stride = -(-len(points) // MOST_POINTS) or 1
    return [*points[:-1:stride], *points[-1:]]


def job_of(config: Config) -> str | None:
    """The job that trained it last."""
    return next((leg.job_id for leg in reversed(config.legs) if leg.job_id), None)


def _best(config: Config, state: State) -> dict[str, Any]:
    found = {"number": config.number, "job_id": job_of(config), "value": reached(config, state), "params": config.settings}
    return {**found, "epochs": config.epochs}


def _trial(config: Config, state: State, store: JobStore, times: Times, reasons: Mapping[int, str]) -> dict[str, Any]:
    """A configuration over all its legs. ``value`` is that of a whole training; of fewer epochs it stands in ``reached``."""
    last = config.last
    kind = last.result.get("class") if config.state == "failed" else None
    canceled = config.state == "lost" or (config.state == "failed" and kind is None)
    found = {
        "number": config.number,
        "job_id": job_of(config),
        "state": "CANCELED" if canceled else STATES[config.state],
        "status": config.state,
        "params": config.settings,
        "value": config.value,
        "reached": reached(config, state),
        "epochs": config.epochs,
        "rung": config.rung,
        "curve": curve(config),
        "origin": config.origin,
        "error": config.error or (reasons.get(last.number) if config.state == "lost" else None),
        "class": kind,
        "seconds": round(sum(_seconds(leg, store, times) for leg in config.legs), 3),
        "jobs": [leg.job_id for leg in config.legs if leg.job_id],
    }
    if changes := config.legs[0].adjustments:
        found["adjustments"] = list(changes)
    return found


def _seconds(leg: Leg, store: JobStore, times: Times) -> float:
    """How long the leg took; of a lost one, what its job's record says."""
    told = leg.result.get("seconds")
    if told is not None or leg.state != "lost" or leg.job_id is None:
        return float(told or 0.0)
    if leg.job_id not in times:
        times[leg.job_id] = _lasted(store, leg.job_id)
    return times[leg.job_id]


def _lasted(store: JobStore, job_id: str) -> float:
    from datetime import datetime

    try:
        record = store.reconcile(job_id)
    except UnknownJob:
        return 0.0
    began, ended = record["started_at"], record["ended_at"]
    return (datetime.fromisoformat(ended) - datetime.fromisoformat(began)).total_seconds() if began and ended else 0.0
