"""Job records -> validation report: report.json, report.md, report.html; jobs side by side; a page of the whole workspace.

Reads records, the artifact files they name, and for its pictures the data. Trains and evaluates nothing again, and never
guesses a file by its place.
"""

from __future__ import annotations

from runner.report.collect import gather
from runner.report.content import build
from runner.report.page import write

__all__ = ["build", "gather", "write"]
