"""Look at a data set before anything is trained on it: what it holds, what is wrong with it, what to set. Numpy, no torch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stgcn import files


def run(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The tool ``dataset inspect``: ``data`` (folder), and optionally ``layout``, ``subjects``, ``html`` and ``fix`` (paths).

    Returns:
        ``metrics`` with ``report`` (JSON-able) and ``text`` (the same for people), and ``artifacts`` by name.

    Raises:
        DataError: there is no data set in the folder, or nothing of it would be left after repair.
        SpecError: the layout cannot be read.
        RefusedError: the folder to repair into holds something.
        ResourceError: a file cannot be written.
    """
    from stgcn.inspect import fix, page, survey, text

    found = survey.look(settings["data"], layout=settings.get("layout"), subjects=settings.get("subjects"))
    artifacts: dict[str, str] = {}
    if settings.get("fix"):
        found.report["fixed"] = fix.write(found, Path(settings["fix"]))
        artifacts["fixed"] = str(settings["fix"])
    if settings.get("html"):
        artifacts["html"] = str(files.write_text(settings["html"], page.render(found)))
    report = files.plain(found.report)
    return {"metrics": {"report": report, "text": text.render(report)}, "artifacts": artifacts}
