"""YAML of a skill that was parsed ahead: content by text, written by ``skillbank schemas build``. Knows no skills.

Importing a YAML parser takes longer than all else that a short command does. What stands here is taken only while the YAML is
the very text that was parsed.
"""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

FACTS = "references/parsed.json"  # front matter and facts, for whoever lists skills
SPECS = "references/parsed_specs.json"  # templates and recipes, for whoever plans


def content(file: Path, text: str) -> dict[str, Any] | None:
    """What the YAML ``text`` holds, a copy of its own; None where ``file`` does not know it, is absent or broken."""
    try:
        stat = file.stat()
        known = _known(file, stat.st_mtime_ns, stat.st_size).get(text)
    except OSError:
        return None
    return _copy(known) if isinstance(known, dict) else None


@lru_cache(maxsize=16)
def _known(file: Path, _changed: int, _size: int) -> dict[str, Any]:
    try:
        return dict(json.loads(file.read_bytes())["content"])
    except (OSError, ValueError, TypeError, KeyError):
        return {}


def _copy(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _copy(item) for key, item in value.items()}
    return [_copy(item) for item in value] if isinstance(value, list) else value
