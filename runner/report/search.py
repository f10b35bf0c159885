"""What an AutoML job's record says of its search: space, what was left out, trials, best, history.

Knows the ``automl`` part of a record; the trials' own records only for their logs, those of the evaluations after it for
their predictions.
"""

from __future__ import annotations

import math
from typing import Any

from runner.automl import importance
from runner.report import paired, words
from runner.report.artifacts import Artifacts
from runner.report.collect import Record
from runner.report.results import count, number, text

EDGE = 0.05  # of a search range, within which the best value counts as lying at its edge
SUBJECTS = {"baseline": "the spec as given", "pretrained": "the pretrained checkpoint"}  # what the best trial is held against
PARAMETER = ("key", "kind", "low", "high", "scale", "choices", "default", "title", "least", "most")


def search(record: Record, records: dict[str, Record], artifacts: Artifacts) -> dict[str, Any]:
    """The search of one AutoML job."""
    told = record["automl"]
    best = told.get("best") or {}
    minimise = not str(told.get("direction") or "minimize").startswith("max")
    trials = [_trial(t, best.get("number"), records) for t in told.get("trials") or [] if isinstance(t, dict)]
    return {
        "job": record["id"],
        "metric": told.get("metric"),
        "direction": "minimize" if minimise else "maximize",
        "algorithm": told.get("algorithm"),
        "budget": words.budget(told.get("budget")),
        "space": [{key: p.get(key) for key in PARAMETER} for p in told.get("space") or [] if isinstance(p, dict)],
        "left_out": [_left_out(entry) for entry in told.get("left_out") or []],
        "trials": trials,
        "best": {key: best.get(key) for key in ("number", "job_id", "value")} | {"params": best.get("params") or {}}
        if best
        else None,
        "history": _history(trials, minimise),
        "importance": _importance(told, trials, minimise),
        "epochs": count(told.get("epochs")),
        "totals": {str(name): n for name, n in (told.get("totals") or {}).items() if count(n) is not None},
        "elapsed": number(told.get("elapsed")),
        "workers": count((told.get("crew") or {}).get("count")),
        "baseline": next(({"number": t["number"], "value": t["value"]} for t in trials if t["origin"] == "given"), None),
        "final": _final(told.get("final"), records, artifacts),
        "failures": _failures(trials),
        "deleted": len(told.get("deleted") or []),
        "kept_all": bool(told.get("keep_trials")),
    }


def at_the_edge(found: dict[str, Any]) -> list[str]:
    """Searched parameters whose best value lies at an end of its range that could be wider: the range may be too narrow.

    None where the spec as given is the best: nobody found that value by going to the end.
    """
    chosen = found["best"] or {}
    given = any(t["origin"] == "given" and t["number"] == chosen.get("number") for t in found["trials"])
    best = {} if given else chosen.get("params") or {}
    said = []
    for parameter in found["space"]:
        place = position(parameter, best.get(parameter["key"]))
        if place is not None and not EDGE < place < 1 - EDGE:
            end, limit = ("lower", "least") if place <= EDGE else ("upper", "most")
            if parameter[limit] is not None and parameter[limit] == parameter["low" if end == "lower" else "high"]:
                continue
            value, low, high = (words.number(v) for v in (best[parameter["key"]], parameter["low"], parameter["high"]))
            said.append(f"{parameter['key']} = {value}, at the {end} end of {low} to {high}")
    return said


def position(parameter: dict[str, Any], value: Any) -> float | None:
    """Where ``value`` lies in the range of a numeric parameter, 0 to 1 on its scale; None when that cannot be said."""
    low, high = parameter["low"], parameter["high"]
    if parameter["kind"] not in ("int", "float") or None in map(number, (value, low, high)) or low >= high:
        return None
    if parameter["scale"] == "log" and low > 0 and value > 0:
        value, low, high = math.log(value), math.log(low), math.log(high)
    return float((value - low) / (high - low))


def _trial(trial: dict[str, Any], best: Any, records: dict[str, Record]) -> dict[str, Any]:
    own = records.get(str(trial.get("job_id"))) or {}
    error = trial.get("error") or (own.get("error") or {}).get("message")
    return {
        "number": trial.get("number"),
        "job_id": trial.get("job_id"),
        "status": words.STATUS.get(str(trial.get("state")), "unknown"),
        "value": number(trial.get("value")),
        "params": trial.get("params") or {},
        "seconds": number(trial.get("seconds")),
        "error": str(error) if error else None,
        "log": own.get("log"),
        "best": best is not None and trial.get("number") == best,
        "origin": text(trial.get("origin")),
        "stopped": trial.get("status") == "stopped",
        "cut": trial.get("status") == "lost",
        "reached": number(trial.get("reached")),
        "epochs": count(trial.get("epochs")),
        "jobs": len(trial.get("jobs") or []) or None,
        "class": text(trial.get("class")),
        "adjustments": [str(change) for change in trial.get("adjustments") or []],
        "curve": [[x, y] for x, y in trial.get("curve") or [] if number(x) is not None and number(y) is not None],
    }


def _final(told: Any, records: dict[str, Record], artifacts: Artifacts) -> dict[str, Any] | None:
    """The evaluation after the search; None where the record knows of none."""
    if not isinstance(told, dict):
        return None
    metric = str(told.get("metric") or "")
    evaluated = {str(row.get("what") or ""): records.get(str(row.get("job_id"))) for row in told.get("rows") or []}
    return {
        "action": str(told.get("action") or ""),
        "metric": metric,
        "data": [str(path) for path in (told.get("inputs") or {}).values()],
        "why_not": text(told.get("why_not")),
        "rows": [
            {
                "what": str(row.get("what") or ""),
                "number": count(row.get("number")),
                "job_id": text(row.get("job_id")),
                "value": number((row.get("metrics") or {}).get(metric)),
                "error": text(row.get("error")),
            }
            for row in told.get("rows") or []
        ],
        "against": _against(evaluated, artifacts),
    }


def _against(evaluated: dict[str, Record | None], artifacts: Artifacts) -> list[dict[str, Any]]:
    """The best trial beside all else that was evaluated, sequence by sequence, where every one's predictions are there."""
    best = evaluated.get("best")
    others = {what: record for what, record in evaluated.items() if what in SUBJECTS and record}
    if not best or not others:
        return []
    right, told = paired.answers(artifacts, best), []
    for what, record in others.items():
        found = paired.pair(SUBJECTS[what], paired.answers(artifacts, record), "the best trial", right)
        if found:
            said = paired.in_words(found)
            numbers = {key: found[key] for key in ("only_a", "only_b", "p")}
            told.append({"what": what, **numbers, "says": said[0].upper() + said[1:]})
    return told


def _failures(trials: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What made trials fail, by whose fault it was, the most frequent first."""
    found: dict[tuple[str, str], list[Any]] = {}
    for trial in trials:
        if trial["status"] == "failed":
            found.setdefault((trial["class"] or "unknown", trial["error"] or "no reason was recorded"), []).append(
                trial["number"]
            )
    ordered = sorted(found.items(), key=lambda item: -len(item[1]))
    return [{"class": kind, "cause": cause, "trials": numbers} for (kind, cause), numbers in ordered]


def _history(trials: list[dict[str, Any]], minimise: bool) -> list[dict[str, Any]]:
    """After each trial that gave a value: the value, and the best so far."""
    better = min if minimise else max
    history: list[dict[str, Any]] = []
    for trial in trials:
        if trial["value"] is not None:
            so_far = better([trial["value"], *(h["best"] for h in history[-1:])])
            history.append({"number": trial["number"], "value": trial["value"], "best": so_far})
    return history


def _importance(told: dict[str, Any], trials: list[dict[str, Any]], minimise: bool) -> dict[str, Any]:
    """How much each setting mattered, or why that cannot be told."""
    space = [p for p in told.get("space") or [] if isinstance(p, dict) and p.get("key")]
    done = sum(trial["value"] is not None for trial in trials)
    entry: dict[str, Any] = {"evaluator": None, "trials": done, "settings": [], "why_not": None}
    found = importance.importances(space, trials, minimise=minimise)
    if found is not None:
        evaluator, used, shares = found
        settings = [{"key": key, "share": share} for key, share in sorted(shares.items(), key=lambda item: -item[1])]
        return entry | {"evaluator": evaluator, "trials": used, "settings": settings}
    if done < importance.FEWEST:
        return entry | {"why_not": f"{words.count(done, 'trial')} with a value; {importance.FEWEST} are needed to tell"}
    return entry | {"why_not": "too few trials have a value for every setting, or they do not differ"}


def _left_out(entry: Any) -> dict[str, str]:
    if isinstance(entry, dict):
        return {"key": str(entry.get("key", "")), "reason": str(entry.get("reason", ""))}
    key, reason = [*entry, "", ""][:2] if isinstance(entry, (list, tuple)) else (entry, "")
    return {"key": str(key), "reason": str(reason)}
