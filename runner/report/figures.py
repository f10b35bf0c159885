"""Which charts a report has, from its finished sections. Knows what is worth drawing; the drawing is the template's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from runner.report.charts import Series, chart, steps
from runner.report.series import is_share

Chart = dict[str, Any]
MOST_PARAMETERS = 9


def learning(training: dict[str, Any]) -> list[Chart]:
    """Loss, accuracy and learning rate over the epochs."""
    rows = training["curves"]
    best = training["best_epoch"]
    mark = (float(best), f"best: epoch {best:g}") if isinstance(best, (int, float)) else None

    def lines(*names: tuple[str, str, str]) -> list[Series]:
        return [Series(name, style, [(row["epoch"], row[column]) for row in rows]) for column, name, style in names]

    charts = [
        chart(
            "Loss",
            lines(("train_loss", "training", "train"), ("val_loss", "validation", "val")),
            x_label="epoch",
            y_label="",
            mark=mark,
        ),
        chart(
            "Accuracy",
            lines(("train_acc", "training", "train"), ("val_acc", "validation", "val")),
            x_label="epoch",
            y_label="",
            log_y=False,
            percent=True,
            mark=mark,
        ),
        chart("Learning rate", lines(("lr", "learning rate", "rate")), x_label="epoch", y_label=""),
    ]
    return [c for c in charts if c]


def optimisation(search: dict[str, Any]) -> list[Chart]:
    """The value of every trial with the best so far, then the value against each searched parameter."""
    history, metric = search["history"], str(search["metric"] or "value")
    best = (search["best"] or {}).get("number")
    series = [
        Series("best so far", "so-far", steps([(h["number"], h["best"]) for h in history])),
        Series("trial", "trial", [(h["number"], h["value"]) for h in history if h["number"] != best], line=False),
        Series("best trial", "best", [(h["number"], h["value"]) for h in history if h["number"] == best], line=False),
    ]
    charts = [chart(f"{metric} by trial", series, x_label="trial", y_label=metric), _rungs(search, metric)]
    charts += [_against(parameter, search, metric) for parameter in search["space"][:MOST_PARAMETERS]]
    return [c for c in charts if c]


def _rungs(search: dict[str, Any], metric: str) -> Chart | None:
    """The curves of all trials over each other: where they were stopped, and which of them the best one overtook."""
    curves = [t for t in search["trials"] if t["curve"]]
    if len(curves) < 2:
        return None

    def lines(name: str, style: str, chosen: list[dict[str, Any]]) -> list[Series]:
        return [Series(name, style, [(x, y) for x, y in t["curve"]]) for t in chosen]

    stopped = lines("stopped", "halted", [t for t in curves if t["stopped"] and not t["best"]])
    others = lines("trial", "whole", [t for t in curves if not t["stopped"] and not t["best"]])
    best = lines("best trial", "best", [t for t in curves if t["best"]])
    return chart(f"{metric} by epoch, every trial", [*stopped, *others, *best], x_label="epoch", y_label=metric)


def series(told: dict[str, Any]) -> list[Chart]:
    """Each metric of a series: over the sequences learnt from, or the share of them, where that is varied; else by training."""
    charts = [_curve(told, name) if told["curve"] else _by_training(told, name) for name in told["metrics"]]
    return [c for c in charts if c]


def _curve(told: dict[str, Any], metric: str) -> Chart | None:
    known = all(point["sequences"] is not None for point in told["curve"])
    at = {point["share"]: point["sequences"] if known else 100 * point["share"] for point in told["curve"]}
    means = [
        (at[point["share"]], found["mean"]) for point in told["curve"] for found in point["metrics"] if found["name"] == metric
    ]
    dots = [(at[t["share"]], t["metrics"][metric]) for t in told["trainings"] if t["share"] in at]
    return chart(
        f"{metric} by training data",
        [Series("mean", "so-far", means), Series("training", "trial", dots, line=False)],
        x_label="training sequences" if known else "% of the training data",
        y_label=metric,
        percent=is_share(metric),
        log_y=False if is_share(metric) else None,
    )


def _by_training(told: dict[str, Any], metric: str) -> Chart | None:
    dots = [(float(t["number"]), t["metrics"][metric]) for t in told["trainings"] if t["number"] is not None]
    mean = next((found["mean"] for found in told["summary"] if found["name"] == metric), None)
    ends = [(x, mean) for x in (dots[0][0], dots[-1][0])] if dots and mean is not None else []
    return chart(
        f"{metric} by training",
        [Series("mean", "so-far", ends), Series("training", "trial", dots, line=False)],
        x_label="training",
        y_label=metric,
        percent=is_share(metric),
        log_y=False if is_share(metric) else None,
    )


def _against(parameter: dict[str, Any], search: dict[str, Any], metric: str) -> Chart | None:
    """Metric over one numeric parameter: is there a valley, and does it lie inside the range?"""
    done = [t for t in search["trials"] if _number(t["value"]) and _number(t["params"].get(parameter["key"]))]
    choices = [c for c in parameter["choices"] or [] if _number(c)]
    low, high = (min(choices), max(choices)) if choices else (parameter["low"], parameter["high"])
    if len(done) < 3 or not _number(low) or not _number(high) or low >= high:
        return None
    points = [(t["params"][parameter["key"]], t["value"], t["best"]) for t in done]
    series = [
        Series("trial", "trial", [(x, y) for x, y, best in points if not best], line=False),
        Series("best trial", "best", [(x, y) for x, y, best in points if best], line=False),
    ]
    return chart(
        f"{metric} by {parameter['key']}",
        series,
        x_label=parameter["key"].rsplit(".", 1)[-1] + (" (log)" if parameter["scale"] == "log" else ""),
        y_label=metric,
        log_x=parameter["scale"] == "log",
        whole_x=parameter["kind"] == "int",
        x_range=(low, high),
    )


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def overlaid(curves: Sequence[dict[str, Any]]) -> list[Chart]:
    """The learning curves of several trainings over each other; ``curves`` are {label, rows}."""
    wanted = (
        ("val_loss", "Validation loss", False),
        ("val_acc", "Validation accuracy", True),
        ("train_loss", "Training loss", False),
    )
    drawn = []
    for column, title, share in wanted:
        lines = [
            Series(told["label"], f"side c{number}", [(row["epoch"], row[column]) for row in told["rows"]])
            for number, told in enumerate(curves)
        ]
        drawn.append(chart(title, lines, x_label="epoch", y_label="", percent=share, log_y=False if share else None))
    return [c for c in drawn if c]


def whiskers(metrics: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Metrics with intervals as dots on lines, all on one scale; in percent of the width."""
    shown = [m for m in metrics if any(m["intervals"])]
    ends = [end for m in shown for pair in m["intervals"] if pair for end in pair]
    if not ends:
        return []
    low, high = max(0.0, min(ends) - 2), min(100.0, max(ends) + 2)

    def at(value: float) -> float:
        return float(round(100 * (value - low) / (high - low), 2))

    return [
        {
            "name": m["name"],
            "low": low,
            "high": high,
            "rows": [
                {"side": number, "value": value, "ends": pair, "dot": at(value), "from": at(pair[0]), "to": at(pair[1])}
                for number, (value, pair) in enumerate(zip(m["values"], m["intervals"], strict=True))
                if value is not None and pair
            ],
        }
        for m in shown
    ]
