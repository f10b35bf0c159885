"""Reads the artifact files that records name. What is not there, or cannot be read, is noted and never raised.

Knows file formats (JSON, CSV, JSON lines), not what the numbers mean.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TextIO

from runner.report.collect import Record

LARGEST = 64 * 2**20  # bytes of a file that is read whole


class Artifacts:
    """The door to the files; ``missing`` lists what was named and could not be had."""

    def __init__(self, records: Iterable[Record]) -> None:
        self.missing: list[dict[str, str]] = []
        ran = [record.get(kind) or {} for record in records for kind in ("automl", "series")]
        self._deleted = {str(path) for told in ran for path in told.get("deleted") or []}

    def note(self, job: str, name: str, path: str, reason: str) -> None:
        """Remember, once, that something named is not to be had."""
        entry = {"job": job, "artifact": name, "path": path, "reason": reason}
        if not any(e["job"] == job and e["artifact"] == name and e["path"] == path for e in self.missing):
            self.missing.append(entry)

    def listing(self, record: Record) -> list[dict[str, Any]]:
        """Every artifact of a record: name, path, whether it is there, and its size in bytes."""
        return [self._entry(record, name, str(path)) for name, path in (record.get("artifacts") or {}).items()]

    def json(self, record: Record, name: str) -> Any:
        """A JSON artifact, or None."""
        text = self._text(record, name)
        if text is None:
            return None
        try:
            return json.loads(text)
        except ValueError as broken:
            self._broken(record, name, f"is not JSON: {broken}")
            return None

    def table(self, record: Record, name: str) -> list[list[str]] | None:
        """The rows of a CSV artifact, or None."""
        text = self._text(record, name)
        if text is None:
            return None
        try:
            return [row for row in csv.reader(io.StringIO(text, newline=""), strict=True) if row]
        except csv.Error as broken:
            self._broken(record, name, f"is not CSV: {broken}")
            return None

    def lines(self, record: Record, name: str) -> Iterator[dict[str, Any]]:
        """The objects of a JSON lines artifact, one at a time; ends at the first broken line."""
        path = self._path(record, name)
        if path is None:
            return
        try:
            with path.open(encoding="utf-8") as file:
                yield from _objects(file)
        except (OSError, ValueError) as broken:
            self._broken(record, name, f"cannot be read to its end: {broken}")

    def _entry(self, record: Record, name: str, path: str) -> dict[str, Any]:
        entry: dict[str, Any] = {"name": name, "path": path, "state": "present", "bytes": None}
        if "://" in path:
            return entry | {"state": "remote"}
        try:
            here = Path(path)
            return entry | {"bytes": here.stat().st_size if not here.is_dir() else None}
        except (OSError, ValueError):
            if path in self._deleted:  # a search or a series keeps those of its best job only
                return entry | {"state": "deleted"}
            self.note(record["id"], name, path, "no such file")
            return entry | {"state": "missing"}

    def _path(self, record: Record, name: str) -> Path | None:
        path = (record.get("artifacts") or {}).get(name)
        if not path:
            return None
        entry = self._entry(record, name, str(path))
        if entry["state"] == "remote":
            self.note(record["id"], name, str(path), "lies in remote storage and is not read")
        return Path(str(path)) if entry["state"] == "present" else None

    def _text(self, record: Record, name: str) -> str | None:
        path = self._path(record, name)
        if path is None:
            return None
        try:
            if path.stat().st_size > LARGEST:
                self._broken(record, name, f"is larger than {LARGEST} bytes and is not read")
                return None
            return path.read_text(encoding="utf-8")
        except (OSError, ValueError) as broken:
            self._broken(record, name, f"cannot be read: {broken}")
            return None

    def _broken(self, record: Record, name: str, why: str) -> None:
        self.note(record["id"], name, str(record["artifacts"][name]), why)


def _objects(file: TextIO) -> Iterator[dict[str, Any]]:
    for line in file:
        if line.strip():
            value = json.loads(line)
            if not isinstance(value, dict):
                raise ValueError("a line is not an object")
            yield value
