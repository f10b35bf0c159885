"""Search a space of settings with Optuna's TPE. Knows numbers and names; not jobs, specs or how a trial is run.

The first trial is the spec as given. After it TPE proposes, beginning with random trials. Optuna knows no weights of
choices, so ``option_weights`` rule those random trials (a choice of weight 0 is never taken); from then on the results
decide. A relation such as "< lr" moves the proposed value to the allowed side of the other setting's value.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from runner import checkpoints
from runner.automl.space import Axis, make_axes
from runner.errors import Canceled, SearchFailed, SkillBankError

if TYPE_CHECKING:
    import optuna

    from runner.schema import Parameter

BUDGET_KEYS = frozenset({"num_epochs", "max_epochs", "epochs"})
Objective = Callable[[int, dict[str, Any]], float]
Direction = Literal["minimize", "maximize"]


class Trial(NamedTuple):
    """One trial; ``value`` is None when it failed, and then ``error`` says why."""

    number: int
    state: str  # COMPLETE or ERROR
    params: dict[str, Any]
    value: float | None
    error: str | None
    seconds: float


class SearchResult(NamedTuple):
    """What a search found."""

    trials: list[Trial]
    best: Trial
    metric: str
    direction: Direction


def search(
    space: Sequence[Parameter],
    objective: Objective,
    *,
    direction: Direction,
    metric: str,
    trials: int | None = None,
    seconds: float | None = None,
    seed: int | None = None,
    storage_path: Path,
    on_trial: Callable[[Trial], None] | None = None,
    given: Mapping[str, Any] | None = None,
) -> SearchResult:
    """Run trials one after another until ``trials`` were run or ``seconds`` have passed; at least one is run.

    ``objective(number, params)`` takes dotted settings and returns the metric; a SkillBankError that it raises and a value
    that is no finite number make a failed trial, and the search goes on. ``given`` holds dotted values of the spec, for
    relations with settings that are not searched. The search is logged to ``storage_path``.

    Raises:
        SearchFailed: every trial failed. Canceled, and what is not a SkillBankError: as the objective raised it.
        SchemaInvalid: the space holds parameters that cannot be searched.
    """
    if trials is None and seconds is None:
        raise ValueError("a search needs a budget: trials, seconds or both")
    axes = make_axes(space)
    startup = max(3, min(10, (trials or 30) // 3))
    study = _create_study(storage_path, direction, seed, startup)
    _enqueue(study, {axis.key: axis.encode(axis.default) for axis in axes})
    draw = random.Random(seed)
    began, done = time.monotonic(), list[Trial]()
    while not done or not _spent(len(done), time.monotonic() - began, trials, seconds):
        if done and sum(t.value is not None for t in done) < startup:
            _enqueue(study, {a.key: a.draw(draw) for a in axes if a.weights})
        done.append(_run_trial(study, axes, objective, metric, given or {}))
        if on_trial:
            on_trial(done[-1])
    return SearchResult(done, _best(done, direction, metric), metric, direction)


def _spent(count: int, elapsed: float, trials: int | None, seconds: float | None) -> bool:
    return (trials is not None and count >= trials) or (seconds is not None and elapsed >= seconds)


def _run_trial(study: optuna.Study, axes: list[Axis], objective: Objective, metric: str, given: Mapping[str, Any]) -> Trial:
    from optuna.trial import TrialState

    trial = study.ask()
    params = _propose(trial, axes, given)
    started, value, error = time.monotonic(), None, None
    try:
        value = float(objective(trial.number, dict(params)))
        if not math.isfinite(value):
            value, error = None, f"{metric} is {value}"
    except Canceled:
        study.tell(trial, state=TrialState.FAIL)
        raise
    except SkillBankError as failure:
        error = "; ".join([failure.message, *map(str, failure.problems)])
    seconds = round(time.monotonic() - started, 3)
    if value is None:
        study.tell(trial, state=TrialState.FAIL)
    else:
        study.tell(trial, value)
    return Trial(trial.number, "ERROR" if value is None else "COMPLETE", params, value, error, seconds)


def _propose(trial: optuna.Trial, axes: list[Axis], given: Mapping[str, Any]) -> dict[str, Any]:
    """This trial's settings; in the first one, those whose given value lies outside the range are left as they are."""
    params: dict[str, Any] = {}
    for axis in axes:
        if trial.number == 0 and axis.encode(axis.default) is None:
            continue
        value = axis.suggest(trial)
        params[axis.key] = value if trial.number == 0 else axis.relate(value, {**given, **params})
    return params


def _best(trials: list[Trial], direction: Direction, metric: str) -> Trial:
    done = [t for t in trials if t.value is not None]
    if not done:
        problems = [f"trial {t.number}: {t.error}" for t in trials]
        raise SearchFailed(f"every trial of the search for {metric} failed", problems=problems)
    sign = 1 if direction == "minimize" else -1
    return min(done, key=lambda t: sign * (t.value or 0.0))


def _create_study(path: Path, direction: Direction, seed: int | None, startup: int) -> optuna.Study:
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    path.parent.mkdir(parents=True, exist_ok=True)
    sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=startup)
    storage = JournalStorage(JournalFileBackend(str(path)))
    return optuna.create_study(storage=storage, sampler=sampler, direction=direction, study_name="search")


def _enqueue(study: optuna.Study, params: Mapping[str, Any]) -> None:
    """Fix these parameters of the next trial; those that are None are left to the sampler."""
    if fixed := {key: value for key, value in params.items() if value is not None}:
        study.enqueue_trial(fixed)


def best_rec(
    result: SearchResult,
    *,
    experiment_id: str,
    specs: Mapping[str, Any],
    checkpoint_uri: str | None,
    trials: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """TAO's best_rec.json: the best recommendation and the score of every one.

    ``specs`` is the best trial's nested spec; its budget (epochs) is taken out of it and told beside it. ``trials`` may
    name the job of each number.
    """
    jobs = {t["number"]: t.get("job_id") for t in trials}
    found = checkpoints.scan([Path(checkpoint_uri).name]) if checkpoint_uri else []
    return {
        "schema_version": 1,
        "experiment_id": experiment_id,
        "metric_name": result.metric,
        "direction": result.direction,
        "best": {
            "rec_id": result.best.number,
            "score": result.best.value,
            "specs": _without_budget(specs),
            "observed_budget": _budget(specs),
            "checkpoint_uri": checkpoint_uri,
            "checkpoint_epoch": found[0]["epoch"] if found else None,
            "checkpoint_step": found[0]["step"] if found else None,
        },
        "all_recs": [{"rec_id": t.number, "score": t.value, "job_id": jobs.get(t.number)} for t in result.trials],
    }


def _without_budget(specs: Mapping[str, Any]) -> dict[str, Any]:
    return {k: _without_budget(v) if isinstance(v, Mapping) else v for k, v in specs.items() if k not in BUDGET_KEYS}


def _budget(specs: Mapping[str, Any]) -> int | None:
    """The epochs the best trial was given."""
    for key, value in specs.items():
        inner = _budget(value) if isinstance(value, Mapping) else value if key in BUDGET_KEYS else None
        if isinstance(inner, int):
            return inner
    return None
