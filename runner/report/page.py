"""write(): a report -> report.json (checked against its schema), report.md and report.html, each whole or not at all.

Knows files and the template, not how the report came about.
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import tempfile
from pathlib import Path
from typing import Any

from runner.errors import SchemaInvalid, SkillBankError
from runner.report import figures, series, text, words

TEMPLATES = Path(__file__).parent / "templates"
CONTRACT = "validation_report.schema.json"
TEMPLATE_SOURCES = ("template", "user", "file", "dataset", "search", "recipe")
NAMES = {"json": "report.json", "md": "report.md", "html": "report.html"}


def write(report: dict[str, Any], out_dir: str | Path) -> dict[str, Path]:
    """Write the three forms of ``report`` into ``out_dir`` and say where they are.

    Raises:
        SchemaInvalid: the report breaks its own contract; nothing is written.
        SkillBankError: the folder cannot be written (exit code 7).
    """
    folder = Path(out_dir).absolute()
    files = {kind: folder / name for kind, name in NAMES.items()}
    report = {**report, "report_files": {kind: str(path) for kind, path in files.items()}}
    check(report)
    contents = {
        "json": json.dumps(report, indent=2, ensure_ascii=False, allow_nan=False) + "\n",
        "md": text.render(report),
        "html": render(report),
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for kind, path in files.items():
            _replace(path, contents[kind])
    except OSError as error:
        raise SkillBankError(f"the report cannot be written to {folder}: {error.strerror or error}", exit_code=7) from error
    return files


def check(report: dict[str, Any]) -> None:
    """Hold a report to schemas/validation_report.schema.json; all problems at once."""
    import jsonschema_rs

    validator = jsonschema_rs.Draft202012Validator(contract())
    problems = [f"{'/'.join(map(str, e.instance_path))}: {e.message}" for e in validator.iter_errors(report)]
    if problems:
        raise SchemaInvalid(f"the report breaks {CONTRACT}", problems=problems)


def contract() -> dict[str, Any]:
    """The report's JSON Schema. It belongs to this code, not to the skills, so it is the one that was installed with it."""
    here = Path(__file__).resolve().parents[1]
    places = [here / "_bank" / "schemas" / CONTRACT, here.parent / "schemas" / CONTRACT]
    path = next((place for place in places if place.is_file()), None)
    if path is None:
        raise SchemaInvalid(f"{CONTRACT} is not there; looked for {' and '.join(map(str, places))}")
    document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return document


def render(report: dict[str, Any]) -> str:
    """The report as one self-contained HTML page."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for name in ("number", "percent", "share", "size", "seconds", "moment", "value", "source", "count", "pairs"):
        environment.filters[name] = getattr(words, name)
    environment.filters["command"] = shlex.join
    environment.filters["source_kind"] = _source_kind
    environment.filters["interval"] = text.interval
    environment.filters["noticed"] = words.noticed
    environment.filters["looked"] = words.looked
    page = environment.get_template("report.html.j2")
    return page.render(
        r=report,
        jobs={job["id"]: job for job in report["jobs"]},
        learning=figures.learning,
        optimisation=figures.optimisation,
        reliability=figures.reliability,
        series_charts=figures.series,
        in_series=series.value,
    )


def _source_kind(source: str) -> str:
    """A CSS class for where a value came from, never the text itself."""
    kind = source.partition(":")[0]
    return kind if kind in TEMPLATE_SOURCES or kind == "inferred" else "other"


def _replace(path: Path, content: str) -> None:
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace", newline="\n") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
