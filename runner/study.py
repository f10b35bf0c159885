"""An AutoML job: the search, each of whose trials is an ordinary job, and what the study's own record keeps of it.

Does not know how a trial is run: that comes in as a function.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from runner import automl
from runner import spec as specs
from runner import trials as jobs
from runner.errors import JobFailed, SchemaInvalid
from runner.jobs import JobStore
from runner.schema import Parameter
from runner.stopping import Stop

TrialRunner = Callable[..., dict[str, Any]]


def run_study(
    store: JobStore, study: dict[str, Any], spec: dict[str, Any], stop: Stop, ticker: Any, run_trial: TrialRunner
) -> dict[str, Any]:
    """Search, and return the study's outcome: the best trial's metrics, artifacts and checkpoints, and the search's history.

    Raises:
        SearchFailed: every trial failed. Canceled: a signal or `cancel` came; the trials so far stay in the record.
    """
    facts = study["automl"]
    space = [Parameter(**parameter) for parameter in facts["space"]]
    if not space:
        raise SchemaInvalid(
            "AutoML is on but no parameter is left to search.",
            problems=[f"{item['key']}: {item['reason']}" for item in facts["left_out"]],
            hint="Run with --automl off, or change the settings that take the parameters out.",
        )
    trials: list[dict[str, Any]] = []
    seconds = facts["budget"].get("seconds")
    # The first trial runs to its end, so that there is a result; the others are cut off when the time is spent.
    deadline = time.monotonic() + seconds if seconds else None

    def objective(number: int, params: dict[str, Any]) -> float:
        ticker.say(f"trial {number}: " + (", ".join(f"{k}={jobs.short(v)}" for k, v in params.items()) or "the spec as given"))
        started = time.monotonic()
        within = Stop(stop, deadline if number else None, "the time budget of the search was spent")
        record = run_trial(store, study, spec, params, number, within, ticker)
        trial = {"number": number, "job_id": record["id"], "state": record["state"], "params": params, "value": None}
        trial |= {"error": None, "seconds": round(time.monotonic() - started, 3)}
        trials.append(trial)
        try:
            trial["value"] = jobs.value(record, facts["metric"], ended=bool(stop() or store.cancel_requested(study["id"])))
        except JobFailed as error:
            jobs.fail(trial, error)
            raise
        finally:
            facts["trials"], facts["best"] = trials, jobs.best(trials, facts["direction"])
            facts.setdefault("deleted", []).extend(jobs.retain(store, trials, facts["best"]))
            store.enrich(study["id"], automl=facts)
        ticker.say(
            f"trial {number}: {facts['metric']} {jobs.short(trial['value'])} (best {jobs.short(facts['best']['value'])})"
        )
        return float(trial["value"])

    try:
        result = automl.search(
            space,
            objective,
            direction=facts["direction"],
            metric=facts["metric"],
            trials=facts["budget"].get("trials"),
            seconds=seconds,
            seed=_seed(spec),
            storage_path=Path(study["results_dir"]) / "study.log",
            given=specs.flatten(spec),
        )
    except jobs.Hopeless as reason:
        raise reason.error from None
    best = store.read(facts["best"]["job_id"])
    files = _write_winner(study, facts, best, result)
    return {
        "metrics": best["metrics"],
        "artifacts": {**best["artifacts"], **files},
        "checkpoints": best["checkpoints"],
        "automl": facts,
    }


def _write_winner(study: dict[str, Any], facts: dict[str, Any], best: dict[str, Any], result: Any) -> dict[str, str]:
    """best_rec.json, and the winning spec as a file that a plain training repeats."""
    folder = Path(study["results_dir"])
    winner: dict[str, Any] = json.loads(json.dumps(best["spec"]))
    for key in ("results_dir", f"{study['action']}.results_dir"):
        specs.set_(winner, key, "")
    if winner.get("encryption_key"):
        winner["encryption_key"] = None
    best_spec = folder / "best_spec.yaml"
    jobs.write(best_spec, specs.write(winner))
    best_rec = folder / "best_rec.json"
    record = automl.best_rec(
        result,
        experiment_id=study["id"],
        trials=facts["trials"],
        specs=winner,
        checkpoint_uri=best["artifacts"].get("checkpoint"),
    )
    jobs.write(best_rec, json.dumps(record, indent=2) + "\n")
    return {"best_spec": str(best_spec), "best_rec": str(best_rec)}


def _seed(spec: dict[str, Any]) -> int | None:
    seed = specs.get(spec, "train.seed")
    return seed if isinstance(seed, int) and seed >= 0 else None
