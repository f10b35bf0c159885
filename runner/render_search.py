"""A search as text for a terminal: what a plan says before it is launched, and how one that runs or ended stands."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from runner import render, terminal

UNITS = ("B", "kB", "MB", "GB")


def plan(data: Mapping[str, Any]) -> str:
    """`plan`, with the launch review of a search."""
    review = data.get("review")
    return "\n\n".join([render.plan(data), *(_review(review) if review else ())])


def job(record: Mapping[str, Any], where: str = "") -> str:
    """`status`: the job's record, and of a search what came of it so far."""
    search = record.get("automl")
    text = render.job(record, where)
    return "\n\n".join([text, *_stands(search, record)]) if search and search.get("totals") else text


def _review(review: Mapping[str, Any]) -> Iterator[str]:
    many = "worker" if review["workers"] == 1 else "workers"
    yield render.paths(
        {
            "search": f"{review['algorithm']}, {review['direction']} {review['metric']}",
            "at once": f"{review['workers']} {many} ({review['workers_why']})",
            **_judged(review["judged_after"]),
            "at the end": _final_plan(review["final"]),
            "takes": _estimate(review["estimate"]),
        }
    )
    yield render.table([(d["key"], _shape(d["shape"]), _size(d["bytes"])) for d in review["data"]], ("data", "shape", "size"))
    if review["estimate"]:
        yield render.lines(["The estimate rests on:", *(f"  {one}" for one in review["estimate"]["assumes"])])
    if review["first"]:
        rows = [(one["number"], _settings(one["params"], one["origin"])) for one in review["first"]]
        blocks = render.table(rows, ("first to run", "settings"))
        changes = [f"  {one['number']}: {change}" for one in review["first"] for change in one["adjustments"]]
        rest = review["first_why"] or "What follows depends on what these come to."
        yield render.lines([blocks, *changes, f"{rest[:1].upper()}{rest[1:].removesuffix('.')}."])
    else:
        yield f"{review['first_why'][:1].upper()}{review['first_why'][1:]}."


def _settings(params: Mapping[str, Any], origin: str) -> str:
    said = ", ".join(f"{key.split('.')[-1]}={render.brief(value)}" for key, value in params.items())
    return f"{said} (the spec as given)" if origin == "given" else said


def _judged(epochs: Sequence[int]) -> dict[str, str]:
    """When a training is stopped, where it can be."""
    after = " or ".join(map(str, epochs))
    return {"stopped": f"after epoch {after}, unless among the best third of all that came as far"} if epochs else {}


def _final_plan(final: Mapping[str, Any] | None) -> str:
    if not final:
        return "nothing is evaluated; the skill declares no final action"
    if final["why_not"]:
        return f"nothing is evaluated: {final['why_not']}"
    return f"{final['action']} of the best trial and the baseline on {', '.join(final['inputs'].values())}"


def _estimate(told: Mapping[str, Any] | None) -> str:
    if told is None or told["seconds"] is None:
        return "not known"
    low, high = (terminal.span(seconds) for seconds in told["seconds"])
    return f"about {low}" if low == high else f"at most {high}" if not told["seconds"][0] else f"{low} to {high}"


def _shape(shape: list[int] | None) -> str:
    return " x ".join(map(str, shape)) if shape else ""


def _size(count: int | None) -> str:
    if count is None:
        return ""
    size, unit = float(count), 0
    while size >= 1000 and unit < len(UNITS) - 1:
        size, unit = size / 1000, unit + 1
    return f"{size:.3g} {UNITS[unit]}"


def _failures(trials: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, str, str]]:
    """Of each class of failure the trials, and what the first of them says."""
    failed = [trial for trial in trials if trial.get("class")]
    for kind in sorted({trial["class"] for trial in failed}):
        these = [trial for trial in failed if trial["class"] == kind]
        yield kind, ", ".join(str(trial["number"]) for trial in these), str(these[0].get("error") or "")


def _stands(search: Mapping[str, Any], record: Mapping[str, Any]) -> Iterator[str]:
    """Trials by what became of them, time, and the best with its settings beside the spec as given."""
    from runner import follow

    totals = search["totals"]
    names = ("complete", "stopped", "failed", "running", "waiting", "lost")
    told = [f"{totals[name]} {'cut off' if name == 'lost' else name}" for name in names if totals.get(name)]
    facts: dict[str, object] = {"trials": f"{totals['trials']}: {', '.join(told)}; {totals['epochs']} epochs"}
    running = record["state"] == "RUNNING"
    left = follow.left(search, follow.since(record)) if running else None
    spent = follow.elapsed(search, follow.since(record)) if running else search.get("elapsed", 0.0)
    facts["elapsed"] = terminal.span(spent) + (f", about {terminal.span(left)} left" if left is not None else "")
    best, given = search.get("best"), next((t for t in search["trials"] if t.get("origin") == "given"), None)
    if given and given["value"] is not None:
        facts["as given"] = f"{search['metric']} {render.brief(given['value'])}"
    if best:
        said = ", ".join(f"{key}={render.brief(value)}" for key, value in best["params"].items()) or "the spec as given"
        facts["best"] = f"{search['metric']} {render.brief(best['value'])}, trial {best['number']}: {said}"
    yield render.paths(facts)
    if failed := list(_failures(search["trials"])):
        yield render.table(failed, ("failed by", "trials", "the first of them"))
    final = search.get("final")
    if final and final["rows"]:
        metric = final["metric"]
        rows = [
            (row["what"], "" if row["number"] is None else row["number"], row["error"] or render.brief(row["metrics"][metric]))
            for row in final["rows"]
        ]
        yield render.table(
            [(*row, of["job_id"] or "") for row, of in zip(rows, final["rows"], strict=True)],
            (f"final {final['action']}", "trial", metric, "job"),
        )
    elif final and final["why_not"] and not running:
        yield f"No final {final['action']}: {final['why_not']}."
    if search.get("deleted"):
        yield f"{len(search['deleted'])} checkpoints of other trials were deleted; --keep-trials keeps them."
