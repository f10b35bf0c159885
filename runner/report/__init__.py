"""Job records -> validation report: report.json, report.md, report.html.

Reads records and the artifact files they name. Never runs anything again, never guesses a file by its place.
"""

from __future__ import annotations

from runner.report.collect import gather
from runner.report.content import build
from runner.report.page import write

__all__ = ["build", "gather", "write"]
