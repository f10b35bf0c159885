"""What a search comes to: the winner's metrics and files, best_rec.json, and the winning spec as a file that repeats it.

Reads records of jobs and the facts of the search; decides nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from runner import checkpoints
from runner import spec as specs
from runner import trials as jobs
from runner.errors import UnknownJob
from runner.jobs import JobStore

BUDGET_KEYS = frozenset({"num_epochs", "max_epochs", "epochs"})
Facts = dict[str, Any]


def outcome(store: JobStore, study: Mapping[str, Any], facts: Facts) -> dict[str, Any]:
    """The outcome of the search's own job: that of its best trial, with the files that tell of the search."""
    best = facts["best"]
    trial = next(one for one in facts["trials"] if one["number"] == best["number"])
    record = store.read(best["job_id"])
    there = _checkpoints(store, trial, record)
    chosen = next((c["path"] for c in there if c["best"]), None)
    metrics = record["metrics"] or {facts["metric"]: best["value"]}  # a trial that was cut off has none of its own
    artifacts = {**record["artifacts"], **({"checkpoint": chosen} if chosen else {})}
    return {
        "metrics": metrics,
        "artifacts": {**artifacts, **_written(study, facts, chosen)},
        "checkpoints": there,
        "automl": facts,
    }


def checkpoint(store: JobStore, trial: Mapping[str, Any]) -> str | None:
    """The trial's best checkpoint, where it is there."""
    there = _checkpoints(store, trial, store.read(trial["job_id"]))
    return next((str(c["path"]) for c in there if c["best"]), None)


def _checkpoints(store: JobStore, trial: Mapping[str, Any], record: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Those of all the trial's jobs that are there; the best is that of the epoch its metrics are of, else the last job's."""
    found: dict[str, dict[str, Any]] = {}
    for job_id in trial["jobs"]:
        try:
            own = record if job_id == record["id"] else store.read(job_id)
        except UnknownJob:  # of a worker elsewhere that was killed
            continue
        found |= {c["path"]: {**c, "best": False} for c in own["checkpoints"] if Path(c["path"]).exists()}
    if not found:
        return []
    epoch = record["metrics"].get("best_epoch")
    last = [c for c in record["checkpoints"] if c["path"] in found]
    of_epoch = [path for path, c in found.items() if epoch is not None and c.get("epoch") == epoch]
    marked = [c["path"] for c in last if c.get("best")]
    found[(of_epoch or marked or list(found))[-1]]["best"] = True
    return list(found.values())


def winner(study: Mapping[str, Any], params: Mapping[str, Any]) -> dict[str, Any]:
    """The best trial's spec as somebody else runs it: without this job's folders and without secrets."""
    found: dict[str, Any] = json.loads(json.dumps(study["spec"]))
    for key, value in params.items():
        specs.set_(found, key, value)
    for key in ("results_dir", f"{study['action']}.results_dir"):
        specs.set_(found, key, "")
    if found.get("encryption_key"):
        found["encryption_key"] = None
    return found


def _written(study: Mapping[str, Any], facts: Facts, checkpoint: str | None) -> dict[str, str]:
    folder = Path(study["results_dir"])
    found = winner(study, facts["best"]["params"])
    best_spec, best_rec = folder / "best_spec.yaml", folder / "best_rec.json"
    jobs.write(best_spec, specs.write(found))
    jobs.write(best_rec, json.dumps(recommendation(study["id"], facts, found, checkpoint), indent=2) + "\n")
    return {"best_spec": str(best_spec), "best_rec": str(best_rec)}


def recommendation(job_id: str, facts: Facts, spec: Mapping[str, Any], checkpoint: str | None) -> dict[str, Any]:
    """TAO's best_rec.json: the best recommendation, and the score of every one that was trained whole.

    The budget (epochs) is taken out of the spec and told beside it.
    """
    best = facts["best"]
    found = checkpoints.scan([Path(checkpoint).name]) if checkpoint else []
    return {
        "schema_version": 1,
        "experiment_id": job_id,
        "metric_name": facts["metric"],
        "direction": facts["direction"],
        "best": {
            "rec_id": best["number"],
            "score": best["value"],
            "specs": _without_budget(spec),
            "observed_budget": best["epochs"] or None,
            "checkpoint_uri": checkpoint,
            "checkpoint_epoch": found[0]["epoch"] if found else None,
            "checkpoint_step": found[0]["step"] if found else None,
        },
        "all_recs": [{"rec_id": t["number"], "score": t["value"], "job_id": t["job_id"]} for t in facts["trials"]],
    }


def _without_budget(spec: Mapping[str, Any]) -> dict[str, Any]:
    return {k: _without_budget(v) if isinstance(v, Mapping) else v for k, v in spec.items() if k not in BUDGET_KEYS}
