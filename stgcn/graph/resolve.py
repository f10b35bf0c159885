"""From what a setting says, a name or a file, to a layout. YAML is read by its safe loader only."""

from __future__ import annotations

import difflib
import json
from pathlib import Path
from typing import Any

from stgcn.errors import SpecError
from stgcn.graph.builtin import LAYOUTS
from stgcn.graph.layout import Layout, from_plain

SUFFIXES = (".yaml", ".yml", ".json")
MOST_BYTES = 2**20
PLAIN_STEMS = ("info", "layout", "skeleton")  # such a file is named after its folder


def is_path(text: str) -> bool:
    """Whether a setting means a file, by its suffix."""
    return text not in LAYOUTS and text.endswith(SUFFIXES)


def resolve(text: str | Path) -> Layout:
    """The built-in layout of that name, or the one that a YAML or JSON file holds.

    Raises:
        SpecError: no such name or file, or with all that is wrong in the file.
    """
    text = str(text)
    if text in LAYOUTS:
        return LAYOUTS[text]
    if not is_path(text):
        near = difflib.get_close_matches(text, LAYOUTS, n=1)
        meant = f", did you mean {near[0]}?" if near else ";"
        raise SpecError(
            f"layout {text!r} is not known{meant} allowed: {', '.join(LAYOUTS)}, or a path ending in {', '.join(SUFFIXES)}"
        )
    path = Path(text).expanduser()
    layout, problems = from_plain(_read(path), default_name(path))
    if layout is not None and layout.name in LAYOUTS and not layout.same_skeleton(LAYOUTS[layout.name]):
        problems.append(f"name: {layout.name} is a built-in layout with other joints or bones; give it a name of its own")
    if layout is None or problems:
        raise SpecError([f"layout {path}: {problem}" for problem in problems])
    return layout


def default_name(path: Path) -> str:
    """What a layout is called whose file does not say: the file, or for ``info.json`` and the like its folder."""
    folder = path.absolute().parent.name
    return folder if path.stem in PLAIN_STEMS and folder and folder not in LAYOUTS else path.stem


def _read(path: Path) -> Any:
    """The content of a file, as plain data."""
    if not path.is_file():
        raise SpecError(f"layout {path}: no such file" if not path.exists() else f"layout {path}: it is not a file")
    try:
        with open(path, "rb") as file:
            content = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise SpecError(f"layout {path}: it cannot be read: {error.strerror}") from None
    if len(content) > MOST_BYTES:
        raise SpecError(f"layout {path}: it is larger than {MOST_BYTES // 2**20} MiB and no layout")
    try:
        return _parse(content.decode("utf-8-sig"), path.suffix)
    except (ValueError, RecursionError) as error:
        said = " ".join(str(error).split())[:200]
        raise SpecError(f"layout {path}: it does not parse: {said}") from None


def _parse(text: str, suffix: str) -> Any:
    if suffix == ".json":
        return json.loads(text)
    import yaml

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from None
