"""Report files on disk, held to their contracts, each whole or not at all. Knows no report's content."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from runner import private
from runner.errors import SchemaInvalid, SkillBankError

PUBLIC = 0o666  # a report is made to be handed on: the user's umask rules


def put(folder: Path, contents: Mapping[str, str]) -> None:
    """Write every file of ``contents`` (name -> text) into ``folder``.

    Raises:
        SkillBankError: the folder cannot be written (exit code 7).
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in contents.items():
            # Names of files may hold what is no text; it is shown by its number.
            private.replace(folder / name, content.encode("utf-8", "backslashreplace").decode(), mode=PUBLIC)
    except OSError as error:
        raise SkillBankError(f"the report cannot be written to {folder}: {error.strerror or error}", exit_code=7) from error


def as_json(document: Mapping[str, Any]) -> str:
    """Strict JSON for people and programs."""
    return json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def check(document: Mapping[str, Any], name: str) -> None:
    """Hold a document to schemas/``name``; all problems at once."""
    import jsonschema_rs

    validator = jsonschema_rs.Draft202012Validator(contract(name))
    problems = [f"{'/'.join(map(str, e.instance_path))}: {e.message}" for e in validator.iter_errors(document)]
    if problems:
        raise SchemaInvalid(f"the report breaks {name}", problems=problems)


def contract(name: str) -> dict[str, Any]:
    """A report's JSON Schema. It belongs to this code, not to the skills, so it is the one that was installed with it."""
    here = Path(__file__).resolve().parents[1]
    places = [here / "_bank" / "schemas" / name, here.parent / "schemas" / name]
    path = next((place for place in places if place.is_file()), None)
    if path is None:
        raise SchemaInvalid(f"{name} is not there; looked for {' and '.join(map(str, places))}")
    document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return document
