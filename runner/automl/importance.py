"""Which settings mattered in a search, by Optuna's own evaluators over the trials of a record. Knows no jobs."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

FEWEST = 15  # trials; with ten the most important of five settings is named first little more often than by chance
QUANTILE = 0.4  # of the trials that PED-ANOVA sets against all; its default of 0.1 leaves too few in searches as short as ours
TREES = 64


def importances(
    space: Sequence[Mapping[str, Any]], trials: Sequence[Mapping[str, Any]], *, minimise: bool
) -> tuple[str, int, dict[str, float]] | None:
    """The evaluator's name, the trials it looked at, and the share of each setting in what made them differ; shares sum to 1.

    fANOVA where scikit-learn is installed, else PED-ANOVA. Trials count that gave a value with every setting of the space.
    None where those are fewer than ``FEWEST``, or there are fewer than two settings, or all values are the same.
    """
    axes = [parameter for parameter in space if _searchable(parameter)]
    done = [t for t in trials if _finite(t.get("value")) and all(a["key"] in (t.get("params") or {}) for a in axes)]
    if len(axes) < 2 or len(done) < FEWEST or len({t["value"] for t in done}) == 1:
        return None
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="minimize" if minimise else "maximize")
    shapes = {axis["key"]: _distribution(axis, [t["params"][axis["key"]] for t in done]) for axis in axes}
    for trial in done:
        params = {key: _plain(trial["params"][key], shape) for key, shape in shapes.items()}
        study.add_trial(optuna.trial.create_trial(params=params, distributions=shapes, value=float(trial["value"])))
    evaluator: optuna.importance.BaseImportanceEvaluator
    if importlib.util.find_spec("sklearn"):
        name, evaluator = "fANOVA", optuna.importance.FanovaImportanceEvaluator(n_trees=TREES, seed=0)
    else:
        name, evaluator = "PED-ANOVA", optuna.importance.PedAnovaImportanceEvaluator(target_quantile=QUANTILE)
    found = optuna.importance.get_param_importances(study, evaluator=evaluator, params=list(shapes))
    return name, len(done), {key: float(share) for key, share in found.items()}


def _searchable(parameter: Mapping[str, Any]) -> bool:
    ends = _finite(parameter.get("low")) and _finite(parameter.get("high")) and parameter["low"] < parameter["high"]
    return bool(parameter.get("choices")) or parameter.get("kind") == "bool" or ends


def _distribution(parameter: Mapping[str, Any], values: Sequence[Any]) -> BaseDistribution:
    """The range as Optuna has it, wide enough for every value: a relation may have moved one beyond the end."""
    from optuna import distributions

    if parameter.get("choices") or parameter.get("kind") == "bool" or not all(map(_finite, values)):
        return distributions.CategoricalDistribution(list(dict.fromkeys(map(_choice, values))))
    low, high = min(parameter["low"], *values), max(parameter["high"], *values)
    log = parameter.get("scale") == "log" and low > 0
    if parameter.get("kind") == "int":
        return distributions.IntDistribution(math.floor(low), math.ceil(high), log=log)
    return distributions.FloatDistribution(float(low), float(high), log=log)


def _plain(value: Any, shape: BaseDistribution) -> Any:
    return _choice(value) if hasattr(shape, "choices") else value


def _choice(value: Any) -> str | int | float | bool | None:
    """Optuna compares choices; a list is told by its text."""
    return value if value is None or isinstance(value, str | int | float | bool) else str(value)


def _finite(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
