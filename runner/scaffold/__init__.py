"""A new skill with a toy network of its own, complete enough to pass every check and to run: what a maintainer begins with."""

from __future__ import annotations

import importlib
import importlib.util
import keyword
import os
import re
import shlex
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from string import Template
from typing import Any

from runner import bank, maintain, skill
from runner.errors import Refused, SchemaInvalid, UsageError

_TEMPLATES = Path(__file__).parent / "templates"
_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_SKILL = {
    "SKILL.md": "SKILL.md",
    "skill_info.yaml": "references/skill_info.yaml",
    "match.yaml": "references/match.yaml",
    "evals.json": "evals/evals.json",
}
_PACKAGE = ("__init__.py", "config.py", "train.py", "evaluate.py")


def new(name: str, root: Path | None = None) -> dict[str, Any]:
    """Begin the skill ``name``: a folder of ``skills/`` and a package beside it, both or none of them.

    ``root`` is the folder that holds ``skills/``; by default that of the bank, which has to be a checkout.

    Returns:
        skill, package, root, and the files that were written.

    Raises:
        UsageError: the name is none, or there is no root to write to.
        Refused: the skill or the package is there already, or another package has the name.
    """
    if len(name) > 64 or not _NAME.fullmatch(name):
        raise UsageError(f"{name!r} is no name for a skill; allowed: at most 64 of a-z, 0-9 and single hyphens between them")
    root = _root(root)
    package = package_name(name)
    _is_free(root, name, package)
    words = {"name": name, "package": package, "title": " ".join(package.split("_")), "version": bank.version()}
    try:
        root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".new-", dir=root) as drawing:
            files = _draw(Path(drawing), words)
            (root / "skills").mkdir(exist_ok=True)
            _place(Path(drawing), root, [package, f"skills/{name}"])
    except OSError as error:
        raise UsageError(
            f"{root} cannot be written: {error.strerror or error}", hint="Name another folder: --dest DIR"
        ) from None
    return {"skill": name, "package": package, "root": str(root), "written": files}


def package_name(name: str) -> str:
    """The Python package of a skill: its name without what says that it is TAO's, and trains."""
    parts = name.removeprefix("tao-").removeprefix("train-").split("-")
    package = "_".join(parts)
    return f"net_{package}" if package[0].isdigit() or keyword.iskeyword(package) else package


def _root(root: Path | None) -> Path:
    if root is not None:
        if os.path.exists(root) and not root.is_dir():
            raise UsageError(f"{root} is not a folder; name another one: --dest DIR")
        found = root.resolve()
        above = found.parent.parent if (found / "SKILL.md").exists() else found.parent
        if above != found.parent or (found.name == "skills" and not (found / "skills").is_dir()):
            raise UsageError(
                f"{root} is {'the folder of skills' if above == found.parent else 'a skill'} itself; wanted is the folder that "
                "holds skills/, as a package comes beside it.",
                hint=f"Name that folder: --dest {shlex.quote(str(above))}",
            )
        return found
    found = bank.root()
    if found.name == "_bank":
        raise UsageError(
            "The bank is installed, not a checkout, so a new skill needs a folder of its own.",
            hint="Name the folder that is to hold skills/: --dest DIR",
        )
    return found


def _is_free(root: Path, name: str, package: str) -> None:
    for path in (root / "skills" / name, root / package):
        if path.exists() or path.is_symlink():
            raise Refused(f"{path} exists; nothing was written", hint="Take another name.")
    if package in sys.stdlib_module_names or importlib.util.find_spec(package) is not None:
        raise Refused(f"Python knows a package {package!r} already; nothing was written", hint="Take another name.")


def _place(drawing: Path, root: Path, folders: list[str]) -> None:
    """Move the folders to the root; if one cannot be moved, none is."""
    moved: list[Path] = []
    try:
        for folder in folders:
            os.rename(drawing / folder, root / folder)
            moved.append(root / folder)
    except BaseException:
        for path in moved:
            shutil.rmtree(path)
        raise


def _draw(drawing: Path, words: dict[str, str]) -> list[str]:
    """Write all files into the folder, generate what is generated, and check them; their paths in it."""
    folder = drawing / "skills" / words["name"]
    for template, target in _SKILL.items():
        _write(folder / target, template, words)
    for template in _PACKAGE:
        _write(drawing / words["package"] / template, template, words)
    with _importable(drawing, words["package"]):
        maintain.build(skill.load(folder))
        if wrong := maintain.check(skill.load(folder)):
            raise SchemaInvalid("the new skill breaks a contract of the bank:", problems=wrong)
    shutil.rmtree(drawing / words["package"] / "__pycache__", ignore_errors=True)
    return sorted(path.relative_to(drawing).as_posix() for path in drawing.rglob("*") if path.is_file())


def _write(path: Path, template: str, words: dict[str, str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = (_TEMPLATES / f"{template}.txt").read_text(encoding="utf-8")
    path.write_text(Template(text).substitute(words), encoding="utf-8")


@contextmanager
def _importable(folder: Path, package: str) -> Iterator[None]:
    """Let the package be imported from the folder, and be forgotten afterwards."""
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        for module in [name for name in sys.modules if name.partition(".")[0] == package]:
            del sys.modules[module]
