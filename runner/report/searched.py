"""The searches of a report as Markdown."""

from __future__ import annotations

from typing import Any

from runner.report import words
from runner.report.markdown import Lines, code, plain, table


def searches(r: dict[str, Any]) -> Lines:
    """Trials, why some failed, what was gained, which settings mattered, what was searched and what not."""
    for s in r["searches"]:
        yield from (f"## AutoML {code(s['job'])}", "")
        yield from (f"{s['algorithm']} search, {s['direction']} {code(s['metric'])}, budget {plain(s['budget'])}.", "")
        trials = [
            (
                f"{t['number']}{' best' if t['best'] else ''}",
                _became(t),
                _value(t),
                words.seconds(t["seconds"]),
                code(", ".join(f"{k}={words.number(v)}" for k, v in t["params"].items())) or "the spec as given",
                plain(t["error"] or ""),
            )
            for t in s["trials"]
        ]
        yield from table(("Trial", "Status", plain(s["metric"] or "Value"), "Time", "Parameters", "Error"), trials, "llrr")
        yield from table(
            ("Why trials failed", "Cause", "Trials"),
            [(f["class"], plain(f["cause"]), ", ".join(map(str, f["trials"]))) for f in s["failures"]],
        )
        yield from _gain(s)
        importance = s["importance"]
        if importance["why_not"]:
            yield from (f"Which setting mattered most cannot be told: {plain(importance['why_not'])}.", "")
        weights = [(code(w["key"]), words.share(w["share"])) for w in importance["settings"]]
        yield from table(("Setting", f"Importance ({importance['evaluator']})"), weights, "lr")
        space = [(code(p["key"]), plain(interval(p)), p["scale"] or "", words.value(p["default"])) for p in s["space"]]
        yield from table(("Searched", "Range", "Scale", "As given"), space)
        yield from table(("Left out", "Why"), [(code(x["key"]), plain(x["reason"])) for x in s["left_out"]])


def _became(trial: dict[str, Any]) -> str:
    """How a trial ended; of one that was not trained whole, after how many epochs."""
    early = "stopped" if trial["stopped"] else "cut off" if trial["cut"] else ""
    return f"{early} after {trial['epochs']}" if early else str(trial["status"])


def _value(trial: dict[str, Any]) -> str:
    """What a trial came to; in brackets what one reached that was not trained whole."""
    partly = trial["value"] is None and trial["reached"] is not None
    return f"({words.number(trial['reached'])})" if partly else words.number(trial["value"])


def _gain(s: dict[str, Any]) -> Lines:
    """The best trial beside the spec as given, in the search's metric and on the test set."""
    final, best, given = s["final"], s["best"], s["baseline"]
    tested = {row["what"]: row["error"] or words.number(row["value"]) for row in final["rows"]} if final else {}
    rows = [("Pretrained checkpoint, as it was", "", tested["pretrained"])] if "pretrained" in tested else []
    rows += [("Spec as given", words.number(given["value"]), tested.get("baseline", ""))] if given else []
    rows += [("Best trial", words.number(best["value"]), tested.get("best", ""))] if best else []
    yield from table(("", plain(s["metric"] or "Value"), f"Test {final['metric']}" if tested and final else ""), rows, "lrr")
    if final and final["why_not"]:
        yield from (plain(f"No final {final['action']}: {final['why_not']}."), "")
    for told in final["against"] if final else []:
        yield from (plain(told["says"]), "")


def interval(parameter: dict[str, Any]) -> str:
    """Where a parameter was searched."""
    if parameter["choices"]:
        return ", ".join(words.value(choice) for choice in parameter["choices"])
    if parameter["low"] is None:
        return words.NOTHING
    return f"{words.number(parameter['low'])} to {words.number(parameter['high'])}"
