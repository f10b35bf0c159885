"""The report as plain text for a terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import Any

WIDTH = 100
NAMED = 4  # samples a finding lists
MARKS = {"error": "ERROR  ", "warning": "WARNING", "note": "note   "}


def render(report: Mapping[str, Any]) -> str:
    """The report in lines, without a line break at the end."""
    lines = [f"{report['folder']}: {report['sequences']} sequences, {len(report['classes'])} classes; {verdict(report)}", ""]
    lines += [*_splits(report), "", _layout(report), *_people(report), ""]
    for finding in report["findings"]:
        lines += _finding(finding)
    if report["findings"]:
        lines.append("")
    lines.append("Set: " + " ".join(f"{key}={_value(value)}" for key, value in report["settings"].items()))
    if report.get("fixed"):
        lines += ["", f"Repaired into {report['fixed']['folder']}:", *(f"  {text}" for text in report["fixed"]["done"])]
    return "\n".join(lines)


def verdict(report: Mapping[str, Any]) -> str:
    """The verdict with its numbers, such as ``worth a look (2 warnings)``."""
    counts = [f"{n} {level}{'' if n == 1 else 's'}" for level, n in report["counts"].items() if n and level != "note"]
    return str(report["verdict"]) + (f" ({', '.join(counts)})" if counts else "")


def _splits(report: Mapping[str, Any]) -> list[str]:
    rows = [("split", "sequences", "frames", "padded", "persons", "missing", "per class")]
    for split, facts in report["splits"].items():
        frames, persons = facts["frames"], facts["persons"]
        counts = list((facts["per_class"] or {}).values())
        rows.append(
            (
                split,
                str(facts["sequences"]),
                f"{frames['min']} / {frames['median']:g} / {frames['max']} of {facts['shape'][2]}",
                f"{facts['padding']:.0%}",
                f"{persons['most_used']} of {persons['slots']}",
                f"{facts['missing_joints']:.1%}",
                f"{min(counts)} to {max(counts)}" if counts else "no labels",
            )
        )
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return ["  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _layout(report: Mapping[str, Any]) -> str:
    layout, coordinates = report["layout"], report["coordinates"]
    if layout["name"] is None:
        said = "layout unknown"
    else:
        strain = "" if layout["strain"] is None else f", strain {layout['strain']:.2f}"
        said = f"layout {layout['name']} ({layout['source']}{strain})"
    score = " and a confidence" if coordinates["score_channel"] is not None else ""
    return f"  {said}; {'xyz'[: coordinates['channels']]}{score}, y grows {coordinates['y']}ward"


def _people(report: Mapping[str, Any]) -> list[str]:
    people = report["people"]
    if not people["known"]:
        return []
    listed = ", ".join(f"{split} {n}" for split, n in people["subjects"].items())
    return [f"  subjects: {listed} (told by {people['told_by']})"]


def _finding(finding: Mapping[str, Any]) -> list[str]:
    lines = textwrap.wrap(finding["text"], WIDTH - 8) or [""]
    lines = [f"{MARKS[finding['level']]} {lines[0]}", *(f"        {line}" for line in lines[1:])]
    lines += [f"          {name}" for name in finding["samples"][:NAMED]]
    more = finding["count"] - NAMED
    return lines + ([f"          ... and {more} more"] if more > 0 else [])


def _value(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
