"""write(): a report -> report.json (checked against its schema), report.md and report.html; and how pages are rendered.

Knows the templates, not how the report came about.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runner.report import diagram, disk, figures, parallel, searched, series, text, words

if TYPE_CHECKING:
    import jinja2

TEMPLATES = Path(__file__).parent / "templates"
CONTRACT = "validation_report.schema.json"
TEMPLATE_SOURCES = ("template", "user", "file", "dataset", "search", "recipe")
NAMES = {"json": "report.json", "md": "report.md", "html": "report.html"}
FILTERS = (
    *("number", "percent", "share", "size", "seconds", "moment", "value", "source", "count", "pairs", "noticed", "looked"),
    "short",
)


def write(
    report: dict[str, Any], out_dir: str | Path, pictures: Mapping[str, Mapping[str, Any]] | None = None
) -> dict[str, Path]:
    """Write the three forms of ``report`` into ``out_dir`` and say where they are; ``pictures`` go into the page alone.

    Raises:
        SchemaInvalid: the report breaks its own contract; nothing is written.
        SkillBankError: the folder cannot be written (exit code 7).
    """
    folder = Path(out_dir).absolute()
    files = {kind: folder / name for kind, name in NAMES.items()}
    report = {**report, "report_files": {kind: str(path) for kind, path in files.items()}}
    disk.check(report, CONTRACT)
    contents = {"json": disk.as_json(report), "md": text.render(report), "html": render(report, pictures or {})}
    disk.put(folder, {NAMES[kind]: content for kind, content in contents.items()})
    return files


def render(report: dict[str, Any], pictures: Mapping[str, Mapping[str, Any]]) -> str:
    """The report as one self-contained HTML page."""
    page = environment().get_template("report.html.j2")
    return page.render(
        r=report,
        jobs={job["id"]: job for job in report["jobs"]},
        pictures=pictures,
        learning=figures.learning,
        optimisation=figures.optimisation,
        calibration=diagram.calibration,
        coordinates=parallel.coordinates,
        series_charts=figures.series,
        in_series=series.value,
    )


@cache
def environment() -> jinja2.Environment:
    """The templates with the words of the report; whatever a template is given is escaped."""
    import jinja2

    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for name in FILTERS:
        made.filters[name] = getattr(words, name)
    made.filters["command"] = shlex.join
    made.filters["source_kind"] = _source_kind
    made.filters["interval"] = searched.interval
    return made


def _source_kind(source: str) -> str:
    """A CSS class for where a value came from, never the text itself."""
    kind = source.partition(":")[0]
    return kind if kind in TEMPLATE_SOURCES or kind == "inferred" else "other"
