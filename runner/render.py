"""Data -> text for a terminal. Knows no verbs and does no work."""

from __future__ import annotations

import os
import textwrap
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from runner.launch import Ticker


def columns() -> int:
    """The width of the terminal; 120 where there is none."""
    said = os.environ.get("COLUMNS", "")
    if said.isdigit() and int(said):
        return int(said)
    try:
        return os.get_terminal_size().columns or 120
    except OSError:
        return 120


def table(rows: Sequence[Sequence[object]], head: Sequence[str]) -> str:
    """Rows in columns, the last one cut to what the terminal is wide."""
    cells = [[str(c) for c in row] for row in [head, *rows]]
    widths = [max(len(row[i]) for row in cells) for i in range(len(head) - 1)]
    room = max(20, columns() - sum(widths) - 2 * len(widths))
    lines = []
    for row in cells:
        first = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=False))
        last = row[-1] if len(row[-1]) <= room else row[-1][: room - 1] + "…"
        lines.append(f"{first}  {last}".rstrip() if widths else last)
    return "\n".join(lines)


def lines(items: Iterable[object]) -> str:
    """One item per line."""
    return "\n".join(str(item) for item in items)


def paths(named: Mapping[str, object]) -> str:
    """Names and paths, aligned; paths are never cut."""
    width = max((len(name) for name in named), default=0)
    return lines(f"{name.ljust(width)}  {path}" for name, path in named.items())


def skills(items: Sequence[Mapping[str, str]]) -> str:
    """`list`."""
    return "\n\n".join(
        f"{item['name']}\n" + textwrap.fill(item["description"], 100, initial_indent="  ", subsequent_indent="  ")
        for item in items
    )


def skill(data: Mapping[str, Any]) -> str:
    """`show SKILL`."""
    head = f"{data['name']} {data.get('version') or ''}\n" + textwrap.fill(
        data["description"], 100, initial_indent="  ", subsequent_indent="  "
    )
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
    return text if len(text) <= width else text[: width - 1] + "…"


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
    given = {k: s for k, s in data["sources"].items() if s in ("user", "file", "dataset") or s.startswith("recipe:")}
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
    return f"{parameter['low']:g}..{parameter['high']:g} {parameter['scale']}"


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


def job(record: Mapping[str, Any], progress: Mapping[str, Any] | None = None) -> str:
    """A job's record in a few lines."""
    facts: dict[str, object] = {
        "job": record["id"],
        "state": record["state"],
        "action": f"{record['skill']} {record['action']}",
    }
    last = record["transitions"][-1]
    facts["since"] = f"{last['ts']}  {last.get('message') or ''}".rstrip()
    if record.get("route"):
        facts["route"] = f"{record['route']['kind']}, {record['route']['reason']}"
    if progress and record["state"] == "RUNNING":
        facts["progress"] = moving(progress)
    facts["results"], facts["log"] = record["results_dir"], record["log"]
    blocks = [paths(facts)]
    search = record.get("automl")
    if search and search.get("trials"):
        rows = [
            (
                t["number"],
                t["state"],
                brief(t["value"]) or "-",
                t["job_id"],
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
        blocks.append("\n".join([f"{error['class']}: {error['message']}"]))
    return "\n\n".join(blocks)


def jobs(rows: Sequence[Mapping[str, Any]]) -> str:
    """`jobs`."""
    if not rows:
        return "No jobs."
    cells = [(r["id"], r["action"], r["state"], r["submitted_at"], r["study_job"] or r["parent_job"] or "") for r in rows]
    return table(cells, ("job", "action", "state", "submitted", "of"))


def moving(progress: Mapping[str, Any]) -> str:
    """Where a running job is: epoch, measures, time left."""
    parts = []
    if progress.get("max_epoch") is not None and progress.get("epoch") is not None:
        done, total = int(progress["epoch"]) + 1, int(progress["max_epoch"]) + 1
        filled = round(20 * done / total)
        parts.append(f"[{'#' * filled}{'.' * (20 - filled)}] epoch {done}/{total}")
    parts += [f"{k} {brief(v)}" for k, v in (progress.get("kpi") or {}).items()]
    if progress.get("eta"):
        parts.append(f"eta {str(progress['eta']).split('.')[0]}")
    return "  ".join(parts) or str(progress.get("message") or "")


class Progress:
    """What a foreground job shows: a bar on a terminal, plain lines elsewhere."""

    def __init__(self, stream: IO[str]) -> None:
        self.stream = stream
        self.terminal = stream.isatty()
        self.shown = ""
        self.next = 0.0

    def ticker(self) -> Ticker:
        """The callbacks a launch takes."""
        from runner.launch import Ticker

        return Ticker(self.say, self.tick, self.bar)

    def say(self, line: str) -> None:
        """A line that stays."""
        self._clear()
        self.stream.write(line + "\n")
        self.stream.flush()

    def tick(self, record: Mapping[str, Any]) -> None:
        """Redraw the bar, at most five times a second, and only on a terminal."""
        if not self.terminal or time.monotonic() < self.next:
            return
        from runner.jobs import last_status

        self.next = time.monotonic() + 0.2
        self._draw(moving(last_status(record["results_dir"]) or {}))

    def bar(self, text: str) -> None:
        """Redraw the bar as this text, at most five times a second, and only on a terminal."""
        if self.terminal and time.monotonic() >= self.next:
            self.next = time.monotonic() + 0.2
            self._draw(text)

    def _draw(self, text: str) -> None:
        self._clear()
        self.shown = text[: columns() - 1]
        self.stream.write(self.shown)
        self.stream.flush()

    def _clear(self) -> None:
        if self.shown:
            self.stream.write("\r\x1b[K")
            self.shown = ""
