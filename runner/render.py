"""Data -> text for a terminal. Knows no verbs and does no work."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from runner import terminal

STATES = {"COMPLETE": "green", "ERROR": "red", "CANCELED": "yellow", "RUNNING": "cyan", "PENDING": "cyan", "UNKNOWN": "yellow"}
ENDED_EARLY = {"stopped": "stopped", "lost": "cut off"}  # what became of a trial, as the report words it
LEAST = 8  # columns that a cell keeps


def table(rows: Sequence[Sequence[object]], head: Sequence[str], *, whole: Sequence[str] = ("job",)) -> str:
    """Rows in columns that together fit the terminal; those named ``whole`` give way last, as people copy them."""
    texts = [[str(cell) for cell in row] for row in [head, *rows]]
    natural = [max(terminal.cells(row[i]) for row in texts) for i in range(len(head))]
    limit = terminal.columns()
    widths = natural if limit is None else fit(natural, limit - 2 * (len(head) - 1), [name in whole for name in head])
    return "\n".join("  ".join(map(_cell, row, widths)).rstrip() for row in texts)


def _cell(text: str, width: int) -> str:
    shown = terminal.shorten(text, width)
    return terminal.paint(shown, STATES.get(text, ""), sys.stdout) + " " * (width - terminal.cells(shown))


def fit(widths: Sequence[int], room: int, last: Sequence[bool]) -> list[int]:
    """Widths that together take ``room``: the widest are cut first, and those marked ``last`` only where it must be."""
    found = list(widths)
    for turn in ([i for i, kept in enumerate(last) if not kept], range(len(found))):
        while sum(found) > room and any(found[i] > LEAST for i in turn):
            widest = max(found[i] for i in turn)
            second = max((found[i] for i in turn if found[i] < widest), default=LEAST)
            at = [i for i in turn if found[i] == widest]
            step = min(widest - max(second, LEAST), -(-(sum(found) - room) // len(at)))
            for i in at:
                found[i] -= max(1, step)
    return found


def wrapped(text: str) -> str:
    """A paragraph, indented, no wider than is good to read."""
    import textwrap

    width = min(100, terminal.columns() or 100)
    return textwrap.fill(text, width, initial_indent="  ", subsequent_indent="  ", break_on_hyphens=False)


def lines(items: Iterable[object]) -> str:
    """One item per line."""
    return "\n".join(str(item) for item in items)


def paths(named: Mapping[str, object]) -> str:
    """Names and paths, aligned; paths are never cut."""
    width = max((len(name) for name in named), default=0)
    return lines(f"{name.ljust(width)}  {path}" for name, path in named.items())


def skills(items: Sequence[Mapping[str, str]]) -> str:
    """`list`."""
    return "\n\n".join(f"{item['name']}\n{wrapped(item['description'])}" for item in items)


def skill(data: Mapping[str, Any]) -> str:
    """`show SKILL`."""
    head = f"{data['name']} {data.get('version') or ''}\n{wrapped(data['description'])}"
    rows = [(name, ", ".join(facts["inputs"])) for name, facts in data["actions"].items()]
    blocks = [head, table(rows, ("action", "inputs"))] if rows else [head]
    return "\n\n".join([*blocks, *recipes(data["recipes"])])


def recipes(items: Sequence[Mapping[str, Any]]) -> list[str]:
    """The recipes of a skill or of an action: a table, or nothing."""
    rows = [(item["name"] + " (default)" * item["default"], item["action"], item["description"]) for item in items]
    return [table(rows, ("recipe", "of", "what it does"))] if rows else []


def action(data: Mapping[str, Any]) -> str:
    """`show SKILL ACTION`."""
    rows = [
        (key, brief(leaf.get("default")), bounds(leaf), leaf.get("description", "")) for key, leaf in data["settings"].items()
    ]
    return "\n\n".join([table(rows, ("setting", "default", "allowed", "description")), *recipes(data["recipes"])])


def leaf(data: Mapping[str, Any]) -> str:
    """`show SKILL ACTION --path KEY`."""
    return paths({key: brief(value, 200) for key, value in data.items()})


def bounds(leaf_: Mapping[str, Any]) -> str:
    """What a setting may be, in a few words."""
    if "enum" in leaf_:
        return brief("|".join(str(v) for v in leaf_["enum"]), 60)
    if "anyOf" in leaf_:
        return " or ".join(
            brief("|".join(map(str, option["enum"])), 40)
            if "enum" in option
            else str(option.get("pattern", option.get("type")))
            for option in leaf_["anyOf"]
        )
    low, high = leaf_.get("minimum"), leaf_.get("maximum")
    kind = str(leaf_.get("type", ""))
    if low is None and high is None:
        return kind
    return f"{kind} {low}..{high}" if high is not None else f"{kind} >= {low}"


def brief(value: Any, width: int = 40) -> str:
    """A value in one short line."""
    text = f"{value:g}" if isinstance(value, float) else "" if value is None else str(value)
    return text if terminal.columns() is None else terminal.shorten(text, width)


def match(data: Mapping[str, Any]) -> str:
    """`match`."""
    said = f"automl: {data['automl_policy'] or 'not said'}"
    rows = [(c["skill"], f"{c['score']:.2f}") for c in data["candidates"]]
    text = f"skill:  {data['skill']}\naction: {data['action'] or '-'}\n{said}"
    return text if data["sure"] else f"{text}\n\nNot sure; candidates:\n{table(rows, ('skill', 'score'))}"


def plan(data: Mapping[str, Any]) -> str:
    """`plan`."""
    parts = [
        f"{data['skill']} {data['action']}  (job {data['job_id']})",
        f"route:   {data['route']['kind']}, {data['route']['reason']}",
        f"results: {data['results_dir']}" + (f" -> {data['upload']}" if data["upload"] else ""),
        f"hash:    {data['plan_hash'][:16]}",
    ]
    if data["recipe"]:
        from runner import recipe

        parts.append(f"recipe:  {recipe.line(data['recipe'])}")
    if data["budget"]:
        told = ", ".join(f"{k} {v:g}" for k, v in data["budget"].items() if v)
        parts.append(f"budget:  {told}")
    blocks = ["\n".join(parts)]
    if data["series"]:
        blocks += planned(data["series"])
    if data["inputs"]:
        blocks.append(table([(i["key"], i["source"], i["uri"]) for i in data["inputs"]], ("input", "from", "path")))
    blocks.append(table([(o["key"], o["uri"]) for o in data["outputs"]], ("output", "path")))
    if data["inferred"]:
        rows = [(i["key"], i["function"], i["source"], brief(i["value"], 200)) for i in data["inferred"]]
        blocks.append(table(rows, ("inferred", "by", "from", "value")))
    if data["search"]:
        spans = [(p["key"], _span(p), brief(p["default"])) for p in data["search"]]
        blocks.append(table(spans, ("searched", "range", "given")))
    if data["left_out"]:
        blocks.append(table([(p["key"], p["reason"]) for p in data["left_out"]], ("not searched", "why")))
    given = {
        k: s
        for k, s in data["sources"].items()
        if terminal.Wish.uncut or s in ("user", "file", "dataset") or s.startswith("recipe:")
    }
    if given:
        values = [(k, s, brief(_value(data["spec"], k), 200)) for k, s in given.items()]
        blocks.append(table(values, ("set", "by", "value")))
    return "\n\n".join(blocks)


def planned(series: Mapping[str, Any]) -> list[str]:
    """The trainings that a series would be."""
    rows = [(c["number"], c["label"], ", ".join(f"{k}={brief(v)}" for k, v in c["params"].items())) for c in series["children"]]
    return [f"series:  {series['what']}, {len(rows)} trainings", table(rows, ("training", "which", "settings"))]


def ran(series: Mapping[str, Any]) -> list[str]:
    """The trainings of a series, and what they come to so far."""
    names = [*series["metrics"], *series["counts"]]
    head = ("training", "state", *names, "job", "error")
    rows = [
        (c["label"], c["state"], *(brief(c["metrics"].get(name)) or "-" for name in names), c["job_id"] or "", c["error"] or "")
        for c in series["children"]
    ]
    ended = sum(c["job_id"] is not None for c in series["children"])
    blocks = [f"series: {series['what']}, {ended} of {len(rows)} trainings have ended", table(rows, head)]
    spread = [
        (name, found["n"], *(brief(found[key]) or "-" for key in ("mean", "std", "min", "max")))
        for name, found in series["summary"].items()
    ]
    if spread:
        blocks.append(table(spread, ("over the trainings", "n", "mean", "std", "min", "max")))
    if series["verdict"]:
        blocks.append(series["verdict"]["says"])
    return blocks


def _span(parameter: Mapping[str, Any]) -> str:
    if parameter["choices"]:
        return ", ".join(str(c) for c in parameter["choices"])
    sign, _, number = (parameter.get("math_cond") or "").partition(" ")
    steps = {"/": f", multiples of {number}", "^": f", powers of {number}"}.get(sign, "") if number.isdigit() else ""
    return f"{parameter['low']:g}..{parameter['high']:g} {parameter['scale']}{steps}"


def _value(spec: Any, key: str) -> Any:
    for part in key.split("."):
        if not isinstance(spec, Mapping):
            return None
        spec = spec.get(part)
    return spec


def valid(data: Mapping[str, Any]) -> str:
    """`validate`."""
    text = f"The spec of {data['action']} is valid."
    if data["missing"]:
        text += "\nStill to be given:\n" + lines(f"  {p['path']}  ({p['allowed']})" for p in data["missing"])
    return text


def submitted(record: Mapping[str, Any]) -> str:
    """`run --detach`."""
    return paths({"job": record["id"], "state": record["state"], "log": record["log"], "results": record["results_dir"]})


def job(record: Mapping[str, Any], where: str = "") -> str:
    """A job's record in a few lines; ``where`` it is, while it runs."""
    facts: dict[str, object] = {
        "job": record["id"],
        "state": record["state"],
        "action": f"{record['skill']} {record['action']}",
    }
    last = record["transitions"][-1]
    facts["since"] = f"{last['ts']}  {last.get('message') or ''}".rstrip()
    if record.get("route"):
        facts["route"] = f"{record['route']['kind']}, {record['route']['reason']}"
    if where:
        facts["progress"] = where
    facts["results"], facts["log"] = record["results_dir"], record["log"]
    blocks = [paths(facts)]
    search = record.get("automl")
    if search and search.get("trials"):
        rows = [
            (
                t["number"],
                f"{ENDED_EARLY[t['status']]} after {t['epochs']}" if t.get("status") in ENDED_EARLY else t["state"],
                brief(t["value"]) or (f"({brief(t['reached'])})" if t.get("reached") is not None else "-"),
                t["job_id"] or "",
                ", ".join(f"{k.split('.')[-1]}={brief(v)}" for k, v in t["params"].items()) or "the spec as given",
            )
            for t in search["trials"]
        ]
        blocks.append(table(rows, ("trial", "state", search["metric"], "job", "parameters")))
        if search.get("best"):
            blocks.append(f"best: trial {search['best']['number']}, {search['metric']} {brief(search['best']['value'])}")
    if record.get("series"):
        blocks += ran(record["series"])
    numbers = {k: v for k, v in record.get("metrics", {}).items() if isinstance(v, int | float | str)}
    if numbers:
        blocks.append(paths({k: brief(v) for k, v in numbers.items()}))
    per_class = record.get("metrics", {}).get("per_class")
    if per_class:
        columns = ("precision", "recall", "f1", "support")
        blocks.append(
            table([(n, *(brief(f.get(c)) or "-" for c in columns)) for n, f in per_class.items()], ("class", *columns))
        )
    if record.get("artifacts"):
        blocks.append(paths(record["artifacts"]))
    if record.get("error"):
        error = record["error"]
        lines = [f"{error['class']}: {error['message']}"]
        for one in error.get("problems") or ():
            lines.append(f"  - {one['path']}: {one['says']}" if one.get("path") else f"  - {one['says']}")
            lines[-1] += f"; allowed: {one['allowed']}" if one.get("allowed") else ""
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks)


def jobs(rows: Sequence[Mapping[str, Any]]) -> str:
    """`jobs`."""
    if not rows:
        return "No jobs."
    cells = [(r["id"], r["state"], _minute(r["submitted_at"]), r["study_job"] or r["parent_job"] or "") for r in rows]
    head = ("job", "state", "UTC", "of")
    shown = 4 if any(row[3] for row in cells) else 3  # an empty column would take room from the ids, which people copy
    return table([row[:shown] for row in cells], head[:shown])


def _minute(stamp: str) -> str:
    """A time of this year to the minute; of another year, its day."""
    return stamp[5:16].replace("T", " ") if stamp[:4] == str(time.gmtime().tm_year) else stamp[:10]
