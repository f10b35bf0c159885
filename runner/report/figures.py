"""Which charts a report has, from its finished sections. Knows what is worth drawing; the drawing is the template's."""

from __future__ import annotations

from typing import Any

from runner.report.charts import Series, chart, steps

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
    charts = [chart(f"{metric} by trial", series, x_label="trial", y_label=metric)]
    charts += [_against(parameter, search, metric) for parameter in search["space"][:MOST_PARAMETERS]]
    return [c for c in charts if c]


def _against(parameter: dict[str, Any], search: dict[str, Any], metric: str) -> Chart | None:
    """Metric over one numeric parameter: is there a valley, and does it lie inside the range?"""
    done = [t for t in search["trials"] if _number(t["value"]) and _number(t["params"].get(parameter["key"]))]
    if len(done) < 3 or not _number(parameter["low"]) or not _number(parameter["high"]):
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
        x_range=(parameter["low"], parameter["high"]),
    )


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
