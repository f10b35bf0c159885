"""The report as one HTML page that needs nothing else: no script, no other file, light and dark."""

from __future__ import annotations

import html
from pathlib import Path
from typing import Any

import numpy as np

from stgcn.inspect import pictures, text
from stgcn.inspect.finding import Finding
from stgcn.inspect.survey import Survey

HERE = Path(__file__).parent
MOST_CLASSES = 60  # shown moving
MOST_SAMPLES = 24  # names listed of a finding
SHOWN_OF_A_FINDING = 2
PAIRS = ("leak", "duplicates", "contradiction")  # whose two pictures are one sample
POSES = 7
BINS = 30
SETTINGS_WIDTH = 28


def render(survey: Survey) -> str:
    """The page."""
    with np.errstate(all="ignore"):
        return _render(survey)


def _render(survey: Survey) -> str:
    from jinja2 import Environment
    from markupsafe import Markup

    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    page = environment.from_string((HERE / "page.html.j2").read_text("utf-8"))
    report = survey.report
    classes = [_class(survey, class_id, name, Markup) for class_id, name in list(survey.classes.items())[:MOST_CLASSES]]
    return page.render(
        css=Markup((HERE / "page.css").read_text("utf-8")),
        r=report,
        name=Path(report["folder"]).absolute().name,
        verdict=text.verdict(report),
        findings=[_finding(survey, finding, Markup) for finding in survey.findings],
        classes=classes,
        unseen=max(0, len(survey.classes) - MOST_CLASSES),
        most=max((n for row in classes for n in row["counts"].values()), default=1) or 1,
        lengths=Markup(_lengths(survey)),
        health=Markup(pictures.health(survey)),
        joints=_joints(survey),
        missing=_missing(survey),
        figures=_figures(survey),
        settings=_settings(report),
    )


def _figures(survey: Survey) -> list[tuple[str, str, str]]:
    """Label, number, small print."""
    report = survey.report
    splits = report["splits"]
    shape = next(iter(splits.values()))["shape"]
    frames = [facts["frames"] for facts in splits.values()]
    low, high = min(f["min"] for f in frames), max(f["max"] for f in frames)
    counts = report["counts"]
    people = report["people"]
    subjects = [("People", str(sum(people["subjects"].values())), "over all splits")] if people["known"] else []
    size = sum(facts["bytes"] for facts in splits.values()) / 2**20
    return [
        (
            "Sequences",
            f"{report['sequences']:,}",
            " · ".join(f"{split} {facts['sequences']:,}" for split, facts in splits.items()),
        ),
        ("Classes", str(len(report["classes"])), f"{shape[3]} joints, {shape[1]} channels"),
        ("Frames", f"{low}" if low == high else f"{low}–{high}", f"written as {shape[2]}, {size:.1f} MiB"),
        *subjects,
        (
            "Noticed",
            str(counts["error"] + counts["warning"]),
            ", ".join(f"{counts[level]} {level}{'' if counts[level] == 1 else 's'}" for level in ("error", "warning")),
        ),
    ]


def _finding(survey: Survey, finding: Finding, markup: Any) -> dict[str, Any]:
    """A finding with pictures of the worst samples; what stands under a picture is not listed again."""
    plain = finding.plain()
    listed, shown = list(plain["samples"]), []
    for split, index in finding.where[:SHOWN_OF_A_FINDING]:
        name = survey.parts[split].names[index]
        jump = int(survey.measured[split].step_at[index, 0]) if finding.code == "jump" else None
        drawing = pictures.prepare(survey, split, index, POSES if jump else 90, around=jump)
        if drawing is None:
            continue
        said = next((text for text in listed if text == name or text.startswith(f"{name} (")), None)
        if finding.code in PAIRS:
            said = None
        if said:
            listed.remove(said)
        shown.append({"name": said or f"{name} ({split})", "strip": markup(pictures.strip(drawing))})
    more = f"{plain['count'] - (len(plain['samples']) - len(listed))}{' more' if len(listed) < len(plain['samples']) else ''}"
    hidden = max(0, plain["count"] - MOST_SAMPLES)
    return {**plain, "samples": listed[:MOST_SAMPLES], "hidden": hidden, "more": more, "shown": shown}


def _class(survey: Survey, class_id: int, name: str, markup: Any) -> dict[str, Any]:
    place = pictures.representative(survey, class_id)
    counts = {split: int((part.ids == class_id).sum()) for split, part in survey.parts.items() if part.ids is not None}
    row: dict[str, Any] = {"id": class_id, "name": name, "counts": counts, "sample": None}
    drawing = pictures.prepare(survey, *place, pictures.MOVES) if place else None
    if place and drawing is not None:
        row |= {
            "sample": survey.parts[place[0]].names[place[1]],
            "frames": int(survey.measured[place[0]].length[place[1]]),
            "moving": markup(pictures.moving(drawing, f"{name}, moving")),
            "strip": markup(pictures.strip(drawing)),
        }
    return row


def _lengths(survey: Survey) -> str:
    """Histogram of lengths, splits on top of each other."""
    longest = max(part.data.shape[2] for part in survey.parts.values())
    edges = np.unique(np.linspace(0, longest, min(BINS, longest) + 1).round().astype(int))
    counts = {split: np.histogram(m.length[m.length > 0], edges + 0.5)[0] for split, m in survey.measured.items()}
    high = max(1, int(np.sum(list(counts.values()), axis=0).max()))
    width, height = 560.0, 150.0
    step = width / (len(edges) - 1)
    base = np.zeros(len(edges) - 1)
    shapes = [f'<path class="base" d="M0 {height}H{width}"/>']
    for number, (split, found) in enumerate(counts.items()):
        for i in np.flatnonzero(found).tolist():
            top = (base[i] + found[i]) / high * (height - 14)
            tall = found[i] / high * (height - 14)
            said = f"{edges[i] + 1} to {edges[i + 1]} frames: {found[i]} {split}"
            shapes.append(
                f'<rect class="s{number % 3}" x="{i * step + 0.6:.1f}" y="{height - top:.1f}" width="{step - 1.2:.1f}" '
                f'height="{tall:.1f}"><title>{html.escape(said)}</title></rect>'
            )
        base += found
    ticks = np.unique(np.linspace(0, longest, 6).round().astype(int)).tolist()
    shapes += [f'<text x="{t / longest * width:.0f}" y="{height + 16}" text-anchor="middle">{t}</text>' for t in ticks]
    box = f'viewBox="-8 0 {width + 16:.0f} {height + 22:.0f}" role="img" aria-label="lengths in frames"'
    return f'<svg class="lengths" {box}>{"".join(shapes)}</svg>'


def _joints(survey: Survey) -> int:
    return int(next(iter(survey.parts.values())).data.shape[3])


def _missing(survey: Survey) -> list[tuple[str, float]]:
    """The joints that are missing most, name and share, the worst first."""
    missing = np.sum([m.missing.sum(axis=0) for m in survey.measured.values()], axis=0)
    share = missing / max(1, sum(int(m.there.sum()) for m in survey.measured.values()))
    layout = survey.skeleton.layout
    order = [i for i in np.argsort(-share, kind="stable")[:8].tolist() if share[i] > 0]
    return [(layout.joints[i] if layout else f"joint {i}", float(share[i])) for i in order]


def _settings(report: dict[str, Any]) -> str:
    return "\n".join(
        f"{key.ljust(SETTINGS_WIDTH)}{str(v).lower() if isinstance(v, bool) else v}" for key, v in report["settings"].items()
    )
