"""A series: one training many times, over the parts of a cross-validation, seeds, shares of the data; each child is a job.

What is asked, the children it means, and the run. Which settings say how many parts there are, which part validates, the seed
and the share is the skill's word. Does not know how a child is run: that comes in as a function.
"""

from __future__ import annotations

import itertools
import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from runner import spec as specs
from runner import trials as jobs
from runner.errors import Canceled, JobFailed, Problem, SearchFailed, UsageError
from runner.jobs import JobStore
from runner.schema import ActionSchema
from runner.skill import Action, Skill
from runner.stopping import Stop

ChildRunner = Callable[..., dict[str, Any]]
SHARES = "0.25,0.5,0.75,1"
MOST = 1000  # trainings of a series
FLAGS = {"folds": "--folds", "seeds": "--seeds", "shares": "--learning-curve"}
# One-sided 95 % of Student's t by degrees of freedom; beyond, as for the normal distribution.
T95 = (6.31, 2.92, 2.35, 2.13, 2.02, 1.94, 1.89, 1.86, 1.83, 1.81, 1.80, 1.78, 1.77, 1.76, 1.75)
T95_MANY = 1.7


class Asked(NamedTuple):
    """What is to be varied: parts of a cross-validation, how many seeds, shares in rising order; 0 and () vary nothing."""

    folds: int = 0
    seeds: int = 0
    shares: tuple[float, ...] = ()

    def __bool__(self) -> bool:
        return any(self)

    @property
    def words(self) -> str:
        """Such as ``5 folds x 3 seeds``."""
        said = [f"{self.folds} folds"] * bool(self.folds) + [f"{self.seeds} seeds"] * bool(self.seeds)
        said += [f"{len(self.shares)} shares of the training data"] * bool(self.shares)
        return " x ".join(said)

    @property
    def trainings(self) -> int:
        """Trainings that this is."""
        return max(self.folds, 1) * max(self.seeds, 1) * max(len(self.shares), 1)


def asked(folds: int | None, seeds: int | None, learning_curve: str | None) -> Asked:
    """Read what the command line says; ``learning_curve`` are shares such as "0.25,0.5,1", "" being the usual ones.

    Raises:
        UsageError: with everything that is wrong with it.
    """
    problems = [
        Problem(f"--{name}", f"is {count}", "2 or more, up to 1000")
        for name, count in (("folds", folds), ("seeds", seeds))
        if count is not None and not 2 <= count <= MOST
    ]
    shares: tuple[float, ...] = ()
    if learning_curve is not None:
        shares = _shares(learning_curve or SHARES)
        if len(shares) < 2:
            problems.append(
                Problem("--learning-curve", f"is {learning_curve!r}", f"2 or more shares up to 1, such as {SHARES}")
            )
    wish = Asked(folds or 0, seeds or 0, shares)
    if not problems and wish.trainings > MOST:
        problems.append(Problem("", f"{wish.words} are {wish.trainings} trainings", f"up to {MOST}"))
    if problems:
        raise UsageError("The series that is asked for cannot be.", problems=problems)
    return wish


def _shares(text: str) -> tuple[float, ...]:
    """Different shares in rising order; none where the text says something else."""
    try:
        found = sorted({float(word) for word in text.split(",") if word.strip()})
    except ValueError:
        return ()
    return tuple(found) if all(0 < share <= 1 for share in found) else ()


def keys(skill: Skill, action: Action, wish: Asked, sources: Mapping[str, str]) -> dict[str, Any]:
    """What the skill says of a series of this action: the settings that are varied, and the metrics to tell.

    Raises:
        UsageError: it says nothing of what is asked for; or the user sets by hand what the series sets.
    """
    flags = " ".join(FLAGS[name] for name, value in wish._asdict().items() if value)
    declared = skill.info.get("series") or {}
    if action.name not in declared:
        told = f"declared for {', '.join(declared)}" if declared else "this skill declares none (series in skill_info.yaml)"
        raise UsageError(f"{flags}: {action.name} of {skill.name} is not run in a series; {told}.")
    own: dict[str, Any] = declared[action.name]
    needed = {"folds": ("folds", "fold"), "seeds": ("seed",), "shares": ("share",)}
    lacking = [FLAGS[name] for name, value in wish._asdict().items() if value and not all(key in own for key in needed[name])]
    if lacking:
        raise UsageError(f"{' '.join(lacking)}: {skill.name} does not say which of its settings that would vary.")
    varied = [own[key] for name, value in wish._asdict().items() if value and name != "seeds" for key in needed[name]]
    said = [Problem(key, "is set by the series for each of its trainings") for key in varied if sources.get(key) == "user"]
    if said:
        raise UsageError(f"{flags} and --set contradict each other.", problems=said, hint="Leave these settings out.")
    return own


def children(wish: Asked, own: Mapping[str, Any], spec: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The trainings of a series in the order they run: a number, a label for people, and the settings that differ."""
    start = specs.get(spec, own["seed"]) if wish.seeds else 0
    first = start if isinstance(start, int) and start > 0 else 0
    shares: Sequence[float | None] = wish.shares or (None,)
    seeds: Sequence[int | None] = range(first, first + wish.seeds) if wish.seeds else (None,)
    folds: Sequence[int | None] = range(wish.folds) if wish.folds else (None,)
    result = []
    for number, (share, seed, fold) in enumerate(itertools.product(shares, seeds, folds)):
        params: dict[str, Any] = {}
        label = []
        if share is not None:
            params[own["share"]] = share
            label.append(f"share {share:g}")
        if seed is not None:
            params[own["seed"]] = seed
            label.append(f"seed {seed}")
        if fold is not None:
            params |= {own["folds"]: wish.folds, own["fold"]: fold}
            label.append(f"fold {fold}")
        result.append({"number": number, "label": ", ".join(label), "params": params})
    return result


def problems(rows: Sequence[Mapping[str, Any]], spec: Mapping[str, Any], schema: ActionSchema) -> list[Problem]:
    """What the schema finds wrong with the first and the last of the children."""
    found: dict[Problem, None] = {}
    for row in (rows[0], rows[-1]):
        child: dict[str, Any] = json.loads(json.dumps(spec))
        for key, value in row["params"].items():
            specs.set_(child, key, value)
        found |= dict.fromkeys(schema.problems(child))
    return list(found)


def facts(
    wish: Asked, own: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], metric: str, direction: str
) -> dict[str, Any]:
    """What the record of a series holds before it runs."""
    pending: dict[str, Any] = {"state": "PENDING", "job_id": None, "value": None, "metrics": {}, "error": None, "seconds": 0.0}
    return {
        "what": wish.words,
        "folds": wish.folds or None,
        "seeds": wish.seeds or None,
        "shares": list(wish.shares) or None,
        "keys": {key: own[key] for key in ("folds", "fold", "seed", "share") if key in own},
        "metric": metric,
        "direction": direction,
        "metrics": dict(own.get("metrics") or {metric: direction}),
        "counts": list(own.get("counts") or []),
        "children": [{**row, **pending} for row in rows],
        "best": None,
        "summary": {},
        "curve": [],
        "verdict": None,
        "deleted": [],
    }


def run_series(
    store: JobStore, series: dict[str, Any], spec: dict[str, Any], stop: Stop, ticker: Any, run_child: ChildRunner
) -> dict[str, Any]:
    """Run all children, and return what came of them: mean and spread, and the files of the best one.

    One that fails is recorded and the others run on, unless the user's input is what is wrong.

    Raises:
        SearchFailed: every child failed. JobFailed: the input is wrong. Canceled: a signal or `cancel` came; what ended before
        stays in the record.
    """
    told = series["series"]
    rows = told["children"]
    for row in rows:
        if stop() or store.cancel_requested(series["id"]):
            raise Canceled(f"ended before {row['label']}", exit_code=128 + (stop() or 15))
        ticker.say(f"{row['label']} ({row['number'] + 1} of {len(rows)})")
        row["state"] = "RUNNING"
        store.enrich(series["id"], series=told)
        try:
            _run_one(store, series, spec, row, stop, ticker, run_child)
        except jobs.Hopeless as reason:
            raise reason.error from None
        finally:
            _tally(store, told)
            store.enrich(series["id"], series=told)
    done = [row for row in rows if row["value"] is not None]
    if not done:
        failed = [Problem(row["label"], row["error"]) for row in rows]
        raise SearchFailed(f"every training of the series failed: {told['what']}", problems=failed)
    told["deleted"] += jobs.thin(store, [row["job_id"] for row in rows if row.get("retained") is False], ticker.say)
    ticker.say(say(told))
    path = Path(series["results_dir"]) / "series.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    jobs.write(path, json.dumps(told, indent=2) + "\n")
    winner = store.read(told["best"]["job_id"]) if told["best"] else {"artifacts": {}, "checkpoints": []}
    return {
        "metrics": _flat(told),
        "artifacts": {**winner["artifacts"], "series": str(path)},
        "checkpoints": winner["checkpoints"],
        "series": told,
    }


def _run_one(
    store: JobStore, series: dict[str, Any], spec: dict[str, Any], row: dict[str, Any], stop: Stop, ticker: Any, run_child: Any
) -> None:
    """Run a child and note in its ``row`` what came of it."""
    told, started = series["series"], time.monotonic()
    record = run_child(store, series, spec, row["params"], row["number"], stop, ticker)
    row |= {"job_id": record["id"], "state": record["state"], "seconds": round(time.monotonic() - started, 3)}
    names = [*told["metrics"], *told["counts"]]
    row["metrics"] = {name: found for name in names if (found := _number(record["metrics"].get(name))) is not None}
    try:
        row["value"] = jobs.value(record, told["metric"], ended=bool(stop() or store.cancel_requested(series["id"])))
    except JobFailed as error:
        ticker.say(f"{row['label']}: {error.message}")
        jobs.fail(row, error)
    else:
        ticker.say(
            f"{row['label']}: " + ", ".join(f"{name} {jobs.short(row['metrics'].get(name))}" for name in told["metrics"])
        )


def _number(value: Any) -> float | int | None:
    known = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return value if known else None


def _tally(store: JobStore, told: dict[str, Any]) -> None:
    """Bring what is said of all children up to date, and keep the checkpoints of the best one only."""
    ended = [row for row in told["children"] if row["job_id"]]
    full = told["shares"][-1] if told["shares"] else None
    whole = [row for row in ended if full is None or row["params"][told["keys"]["share"]] == full]
    told["best"] = jobs.best(whole, told["direction"])
    told["summary"] = summary(whole, told["metrics"])
    told["curve"] = [_point(told, ended, share) for share in told["shares"] or []]
    told["verdict"] = more_data(told) if told["shares"] else None
    told["deleted"] += jobs.retain(store, ended, told["best"])


def summary(rows: Sequence[Mapping[str, Any]], metrics: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """Of each metric, over the children that have it: n, mean, std (of a sample; None of one), min, max."""
    result = {}
    for name in metrics:
        values = [row["metrics"][name] for row in rows if row["value"] is not None and name in row["metrics"]]
        if values:
            mean, std = _spread(values)
            result[name] = {"n": len(values), "mean": mean, "std": std, "min": min(values), "max": max(values)}
    return result


def _spread(values: Sequence[float]) -> tuple[float, float | None]:
    mean = math.fsum(values) / len(values)
    if len(values) < 2:
        return mean, None
    return mean, math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1))


def _point(told: Mapping[str, Any], ended: Sequence[Mapping[str, Any]], share: float) -> dict[str, Any]:
    """A point of the learning curve: the share, how many sequences that is where the children say it, and the metrics."""
    rows = [row for row in ended if row["params"][told["keys"]["share"]] == share and row["value"] is not None]
    counts = [row["metrics"][told["counts"][0]] for row in rows if told["counts"] and told["counts"][0] in row["metrics"]]
    return {"share": share, "sequences": _spread(counts)[0] if counts else None, "metrics": summary(rows, told["metrics"])}


def more_data(told: Mapping[str, Any]) -> dict[str, Any] | None:
    """Whether more data would help, judged by what the last step of the learning curve gained, against chance.

    Children that differ in the share alone are compared with each other, so that a hard fold or an unlucky seed does not count.
    """
    share, (metric, direction) = told["keys"]["share"], next(iter(told["metrics"].items()))
    before, last = told["shares"][-2:]
    by_share: dict[float, dict[str, float]] = {before: {}, last: {}}
    for row in told["children"]:
        at = row["params"][share]
        if at in by_share and row["value"] is not None and metric in row["metrics"]:
            rest = json.dumps({key: value for key, value in row["params"].items() if key != share})
            by_share[at][rest] = row["metrics"][metric]
    sign = 1 if direction == "maximize" else -1
    gains = [sign * (by_share[last][rest] - value) for rest, value in by_share[before].items() if rest in by_share[last]]
    if not gains:
        return None
    mean, std = _spread(gains)
    error = None if std is None else std / math.sqrt(len(gains))
    answer, why = _judged(mean, error, len(gains))
    step = f"from {before:g} to {last:g} of the training data {metric} {'improved' if mean > 0 else 'did not improve'}"
    return {
        "answer": answer,
        "metric": metric,
        "shares": [before, last],
        "gain": mean,
        "error": error,
        "pairs": len(gains),
        "says": f"Would more data help? {answer.capitalize()}: {step} (by {mean:.3g}{why}).",
    }


def _judged(gain: float, error: float | None, pairs: int) -> tuple[str, str]:
    if error is None:
        return "unknown", "; one training per share does not tell chance: add --seeds 3 or --folds 5"
    chance = error * (T95[pairs - 2] if pairs - 2 < len(T95) else T95_MANY)
    around = f", standard error {error:.2g} over {pairs} pairs"
    if gain > chance and gain > 0:
        return "yes", f"{around}, which is more than chance"
    if gain > error and gain > 0:
        return "perhaps", f"{around}, which may be chance"
    return "hardly", around


def _flat(told: Mapping[str, Any]) -> dict[str, Any]:
    """The metrics of the series' own record: the mean of each, and its spread beside it."""
    flat: dict[str, Any] = {}
    for name, found in told["summary"].items():
        flat |= {name: found["mean"], **{f"{name}_{key}": found[key] for key in ("std", "min", "max")}}
    done = sum(row["value"] is not None for row in told["children"])
    return {**flat, "trainings": len(told["children"]), "failed": len(told["children"]) - done}


def say(told: Mapping[str, Any]) -> str:
    """What came of a series so far, in a line."""
    parts = []
    for name, found in told["summary"].items():
        spread = f" ± {jobs.short(found['std'])}" if found["std"] is not None else ""
        parts.append(f"{name} {jobs.short(found['mean'])}{spread} ({jobs.short(found['min'])} to {jobs.short(found['max'])})")
    done = sum(row["value"] is not None for row in told["children"])
    parts.append(f"{done} of {len(told['children'])} trainings")
    return ", ".join(parts) + (f". {told['verdict']['says']}" if told["verdict"] else "")
