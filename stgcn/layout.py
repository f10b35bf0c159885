"""The tool ``layout``: a layout by name or from a file, checked, described, drawn, and compared with another one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stgcn.errors import SpecError
from stgcn.graph import Layout, resolve
from stgcn.remap import plan


def run(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Look at the layout ``layout``; draw it to the file ``png``; say how sequences of it become those of ``to``.

    Raises:
        SpecError: with all that is wrong in the layouts.
        ResourceError: the picture cannot be written.
    """
    layout, target = _both(settings["layout"], settings.get("to"))
    facts: dict[str, Any] = layout.as_plain()
    if target is not None:
        facts["to"] = {"name": target.name, "joints": [row.as_plain() for row in plan(layout, target)]}
    artifacts = {}
    if settings.get("png"):
        from stgcn.drawing import draw

        artifacts["png"] = str(draw(layout, settings["png"]))
    return {"metrics": facts, "artifacts": artifacts}


def _both(first: str, second: str | None) -> tuple[Layout, Layout | None]:
    """Both layouts, or the problems of both."""
    found: list[Layout] = []
    problems: list[str] = []
    for text in (first, second):
        try:
            found += [resolve(text)] if text else []
        except SpecError as error:
            problems += error.problems
    if problems:
        raise SpecError(problems)
    return found[0], found[1] if len(found) > 1 else None
