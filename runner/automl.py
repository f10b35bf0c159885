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
from runner.errors import Canceled, SchemaInvalid, SearchFailed, SkillBankError

if TYPE_CHECKING:
    import optuna

    from runner.schema import Parameter

ALGORITHM = "bayesian"
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


# -- the space ---------------------------------------------------------------------------------------------------


class Axis(NamedTuple):
    """One parameter as Optuna sees it: a number or a choice, with the way to the setting's value and back.

    ``unit`` is k of "/ k" (the axis counts multiples) and ``base`` is k of "^ k" (the axis counts powers).
    """

    key: str
    kind: str
    low: float
    high: float
    log: bool
    unit: int
    base: int
    choices: tuple[Any, ...]
    weights: tuple[float, ...]
    default: Any
    sign: str  # the relation to `other`: <, <=, >, >= or nothing
    other: str

    def suggest(self, trial: optuna.Trial) -> Any:
        """The sampler's proposal as the setting's value."""
        if self.choices:
            return trial.suggest_categorical(self.key, self.choices)
        if self.kind == "float":
            return trial.suggest_float(self.key, self.low, self.high, log=self.log)
        number = trial.suggest_int(self.key, int(self.low), int(self.high), log=self.log)
        return self.base**number if self.base else number * self.unit

    def encode(self, value: Any) -> Any:
        """The setting's value as the sampler sees it; None when it lies outside the search."""
        if self.choices:
            return next((c for c in self.choices if c == value and isinstance(c, bool) == isinstance(value, bool)), None)
        if isinstance(value, bool) or not isinstance(value, int | float):
            return None
        number: float = value
        if self.kind == "int":
            powers = (n for n in range(int(self.low), int(self.high) + 1) if self.base and self.base**n == value)
            number = next(powers, self.low - 1) if self.base else value / self.unit
            if number != int(number):
                return None
            number = int(number)
        return number if self.low <= number <= self.high else None

    def draw(self, source: random.Random) -> Any:
        """A choice at random, by weight."""
        return source.choices(self.choices, self.weights)[0]

    def relate(self, value: Any, known: Mapping[str, Any]) -> Any:
        """The value, moved to where its relation to the other setting holds: by one (int) or 1 % beyond for < and >."""
        bound = known.get(self.other)
        if not self.sign or isinstance(bound, bool) or not isinstance(bound, int | float):
            return value
        gap = 0 if "=" in self.sign else 1 if self.kind == "int" else abs(bound) * 0.01
        if self.sign.startswith("<"):
            limit = bound - gap
            return value if value <= limit else self._whole(limit, math.floor)
        limit = bound + gap
        return value if value >= limit else self._whole(limit, math.ceil)

    def _whole(self, limit: float, toward: Callable[[float], int]) -> Any:
        """The nearest value of this axis on the allowed side of ``limit``."""
        if self.kind != "int":
            return float(limit)
        if self.base:
            return self.base ** max(0, toward(math.log(max(limit, 1), self.base) + 1e-12))
        return toward(limit / self.unit) * self.unit


def make_axes(space: Sequence[Parameter]) -> list[Axis]:
    """The space for Optuna, in an order in which a setting comes after the one it is related to.

    Raises:
        SchemaInvalid: every parameter that cannot be searched, at once.
    """
    problems: list[str] = []
    axes = [_axis(parameter, problems) for parameter in sorted(space, key=lambda p: not p.parent_param)]
    ready: list[Axis] = []
    waiting = [axis for axis in axes if axis is not None]
    while waiting:
        blocked = {axis.key for axis in waiting}
        free = [axis for axis in waiting if axis.other not in blocked]
        if not free:
            problems.append(f"{', '.join(sorted(blocked))}: depend on each other in a circle")
            break
        ready += free
        waiting = [axis for axis in waiting if axis.other in blocked]
    if problems:
        raise SchemaInvalid("the search space cannot be searched", problems=problems)
    return ready


def _axis(p: Parameter, problems: list[str]) -> Axis | None:
    sign, other = _relation(p)
    if p.kind in ("bool", "enum"):
        choices, weights = _choices(p)
        if choices:
            return Axis(p.key, p.kind, 0, 0, False, 1, 0, choices, weights, p.default, sign, other)
        problems.append(f"{p.key}: no choice has a weight above 0" if p.choices else f"{p.key}: there are no choices")
        return None
    if p.low is None or p.high is None or not (math.isfinite(p.low) and math.isfinite(p.high)):
        problems.append(f"{p.key}: the search range is {p.low} to {p.high}; allowed: two finite numbers")
        return None
    unit, base = _steps(p, problems)
    low, high = _counted(p, unit, base)
    if low > high:
        problems.append(
            f"{p.key}: nothing lies between {p.low} and {p.high}" + (f" with {p.math_cond!r}" if p.math_cond else "")
        )
        return None
    log = p.scale == "log" and not base
    if log and low <= 0:
        problems.append(f"{p.key}: a logarithmic search cannot start at {p.low}; allowed: above 0")
        return None
    return Axis(p.key, p.kind, low, high, log, unit, base, (), (), p.default, sign, other)


def _choices(p: Parameter) -> tuple[tuple[Any, ...], tuple[float, ...]]:
    choices = p.choices or ((False, True) if p.kind == "bool" else ())
    if len(p.weights or ()) != len(choices):
        return tuple(choices), ()
    kept = [(choice, weight) for choice, weight in zip(choices, p.weights, strict=True) if weight > 0]
    return tuple(choice for choice, _ in kept), tuple(weight for _, weight in kept)


def _relation(p: Parameter) -> tuple[str, str]:
    """("<", "train.optim.lr") of "< lr"; TAO also writes the sign as math condition: "> depends_on"."""
    *sign, name = (p.depends_on or "").split() or [""]
    if not sign and p.math_cond and p.math_cond.endswith("depends_on"):
        sign = p.math_cond.split()[:1]
    section = p.key.rpartition(".")[0]
    other = f"{section}.{name}" if name and section and "." not in name else name
    return (sign[0] if sign and sign[0] in ("<", "<=", ">", ">=") else ""), other


def _steps(p: Parameter, problems: list[str]) -> tuple[int, int]:
    """(k, 0) of "/ k", (1, k) of "^ k", else (1, 0)."""
    if not p.math_cond or p.math_cond.endswith("depends_on"):
        return 1, 0
    sign, _, number = p.math_cond.strip().partition(" ")
    factor = int(number) if number.strip().isdigit() else 0
    if p.kind == "int" and sign == "/" and factor >= 1:
        return factor, 0
    if p.kind == "int" and sign == "^" and factor >= 2:
        return 1, factor
    problems.append(f"{p.key}: the condition {p.math_cond!r} is not understood; allowed: '/ k' and '^ k' of whole numbers")
    return 1, 0


def _counted(p: Parameter, unit: int, base: int) -> tuple[float, float]:
    low, high = p.low or 0, p.high or 0
    if p.kind != "int":
        return float(low), float(high)
    if not base:
        return math.ceil(low / unit), math.floor(high / unit)
    powers = [n for n in range(64) if low <= base**n <= high]
    return (powers[0], powers[-1]) if powers else (1, 0)


# -- what is kept of it ------------------------------------------------------------------------------------------


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
