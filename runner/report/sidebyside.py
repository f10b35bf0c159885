"""The comparison of jobs as files: compare.json (held to its contract), compare.md and compare.html."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runner.report import disk, figures, page, words
from runner.report.compare import compare
from runner.report.make import FOLDER, now
from runner.report.markdown import Lines, code, plain, table

if TYPE_CHECKING:
    from runner.jobs import JobStore

CONTRACT = "comparison.schema.json"
NAMES = {"json": "compare.json", "md": "compare.md", "html": "compare.html"}
SAY = {"percent": words.percent, "share": words.share, "number": words.number, "count": words.number, "seconds": words.seconds}


def make(store: JobStore, jobs: Sequence[str], out: Path | None, command: Sequence[str]) -> tuple[dict[str, Path], list[str]]:
    """Write the comparison of ``jobs`` to ``out``, else to the workspace; gives its files and the jobs.

    Raises:
        UnknownJob: one of ``jobs`` is not there.
        SkillBankError: the folder cannot be written.
    """
    asked = list(dict.fromkeys(jobs))
    records = [store.reconcile(job) for job in asked]
    everything = {record["id"]: record for record in store.list()} | {record["id"]: record for record in records}
    made = compare(records, everything, generated_at=now(), command=command)
    folder = (out or store.workspace / FOLDER / f"compare-{'-'.join(job.rsplit('-', 1)[-1] for job in asked)}").absolute()
    disk.check(made, CONTRACT)
    contents = {"json": disk.as_json(made), "md": "\n".join(markdown(made)).rstrip() + "\n", "html": html(made)}
    disk.put(folder, {NAMES[kind]: content for kind, content in contents.items()})
    return {kind: folder / name for kind, name in NAMES.items()}, asked


def html(made: dict[str, Any]) -> str:
    """The comparison as one self-contained page."""
    template = page.environment().get_template("compare.html.j2")
    return template.render(c=made, curves=figures.overlaid(made["curves"]), whiskers=figures.whiskers(made["metrics"]), say=say)


def say(kind: str, value: Any) -> str:
    """A metric's value for people."""
    return SAY[kind](value)


def markdown(c: dict[str, Any]) -> Lines:
    """The comparison as Markdown."""
    labels = [side["label"] for side in c["sides"]]
    yield from (f"# {plain(c['headline'])}", "", *(f"- {plain(text)}" for text in (*c["why_not"], *c["says"])), "")
    jobs = [
        (s["label"], code(s["job"]), s["status"], code(s["test_data"] or ""), words.number(s["sequences"])) for s in c["sides"]
    ]
    yield from table(("", "Job", "Status", "Test data", "Sequences"), jobs, "llllr")
    metrics = [(m["name"], *(_cell(m, i) for i in range(len(labels)))) for m in c["metrics"]]
    yield from ("## Metrics", "", *table(("Metric", *labels), metrics, "l" + "r" * len(labels)))
    yield from ("## Settings that differ", "", f"{words.count(c['same_settings'], 'setting')} are the same.", "")
    yield from table(
        ("Setting", *labels), [(code(s["key"]), *(code(words.value(v)) for v in s["values"])) for s in c["settings"]]
    )
    if c["classes"]:
        rows = [(code(r["name"]), *map(words.percent, r["recall"]), words.number(r["support"])) for r in c["classes"]]
        yield from ("## Recall by class", "", *table(("Class", *labels, "Sequences"), rows, "l" + "r" * (len(labels) + 1)))


def _cell(metric: dict[str, Any], i: int) -> str:
    ends = metric["intervals"][i]
    between = f" ({' to '.join(words.percent(end) for end in ends)})" if ends else ""
    return f"{say(metric['kind'], metric['values'][i])}{between}{' best' if metric['best'][i] else ''}"
