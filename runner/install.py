"""The bank's skills copied to where agents look for them, and kept up to date there without losing anyone's changes.

A list of what was laid down, with hashes, lies beside the skills; by it an update knows the user's changes from old versions.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from runner import bank
from runner.errors import Problem, Refused, UsageError

DEST = Path(".agents") / "skills"  # where agents of several makers look, in a project or in the home folder
LIST = ".tao-skill-bank.json"
_LEFT_OUT = ("__pycache__",)


def install(dest: Path, names: Sequence[str] = (), *, overwrite: bool = False) -> dict[str, Any]:
    """Copy the skills (default: all) to ``dest``; what is there already and the same is left alone.

    Files of an earlier version that the user has not touched are replaced, and removed where the skill has no such file any
    more. Each file is written whole, SKILL.md last, so that no agent sees half a skill.

    Returns:
        dest, version, skills, and the files that were written, removed and kept as they were.

    Raises:
        UnknownSkill: a name is no skill of the bank.
        Refused: files were changed, or are no files; all of them are named. Nothing was written. Not with ``overwrite``.
        UsageError: ``dest`` is the bank's own folder, or cannot be written.
    """
    skills = [bank.get(name) for name in dict.fromkeys(names)] or bank.load_all()
    if os.path.exists(dest) and (dest.samefile(bank.root() / "skills") or not dest.is_dir()):
        why = "is the bank's own folder of skills" if dest.is_dir() else "is not a folder"
        raise UsageError(f"{dest} {why}; name another one: --dest DIR")
    wanted = {f"{skill.name}/{name}": path for skill in skills for name, path in _files(skill.dir)}
    laid = _laid(dest / LIST)
    own = {name: digest for name, digest in laid.items() if name.partition("/")[0] in {skill.name for skill in skills}}
    if problems := _obstacles(dest, wanted, own, overwrite):
        hint = "Keep them elsewhere, or replace them: --overwrite" if not overwrite else "Move them away, then install again."
        raise Refused(f"Nothing was installed in {dest}, for what would be lost:", problems=problems, hint=hint)
    gone = [name for name in own if name not in wanted and _digest(dest / name) == own[name]]
    try:
        written = [name for name in sorted(wanted, key=_order) if _lay(wanted[name], dest / name)]
        for name in gone:
            _remove(dest, name)
        kept = {name: digest for name, digest in laid.items() if name not in own}
        text = json.dumps(
            {"version": bank.version(), "files": {**kept, **{n: _digest(p) for n, p in wanted.items()}}}, indent=2
        )
        _write(dest / LIST, f"{text}\n".encode(), 0o644)
    except OSError as error:
        raise UsageError(
            f"{dest} cannot be written: {error.strerror or error}", hint="Name another folder: --dest DIR"
        ) from None
    return {
        "dest": str(dest),
        "version": bank.version(),
        "skills": [skill.name for skill in skills],
        "written": written,
        "removed": gone,
        "unchanged": len(wanted) - len(written),
    }


def _files(folder: Path) -> Iterator[tuple[str, Path]]:
    """The files of a skill: path within it, and where it lies."""
    for path in sorted(folder.rglob("*")):
        parts = path.relative_to(folder).parts
        if path.is_file() and not any(part in _LEFT_OUT or part.startswith(".") for part in parts):
            yield "/".join(parts), path


def _order(name: str) -> tuple[str, bool, str]:
    """Skill by skill, each with SKILL.md at the end."""
    return name.partition("/")[0], name.endswith("/SKILL.md"), name


def _laid(path: Path) -> dict[str, str]:
    """What the last installation laid down; nothing if the list is missing or broken."""
    try:
        files = json.loads(path.read_bytes())["files"]
        return {name: digest for name, digest in files.items() if isinstance(digest, str) and ".." not in Path(name).parts}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _obstacles(dest: Path, wanted: Mapping[str, Path], laid: Mapping[str, str], overwrite: bool) -> list[Problem]:
    """Links and folders in the way of any installation; changed files in the way of one that must not overwrite."""
    problems = []
    for name in sorted({parent for file in wanted for parent in _parents(file)}):
        if (dest / name).is_symlink() or ((dest / name).exists() and not (dest / name).is_dir()):
            problems.append(Problem(name, "is a link or a file where a folder has to be"))
    for name, source in wanted.items():
        there = dest / name
        if there.is_symlink() or (there.exists() and not there.is_file()):
            problems.append(Problem(name, "is a link or a folder where a file has to be"))
        elif there.exists() and not overwrite and _digest(there) not in (_digest(source), laid.get(name)):
            problems.append(Problem(name, "was changed, or was there before"))
    return problems


def _parents(name: str) -> list[str]:
    parts = name.split("/")[:-1]
    return ["/".join(parts[: n + 1]) for n in range(len(parts))]


def _lay(source: Path, target: Path) -> bool:
    """Copy one file; False where the same one is there."""
    if target.is_file() and _digest(target) == _digest(source):
        return False
    executable = source.stat().st_mode & stat.S_IXUSR
    _write(target, source.read_bytes(), 0o755 if executable else 0o644)
    return True


def _write(path: Path, content: bytes, mode: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            file.write(content)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _remove(dest: Path, name: str) -> None:
    """Remove a file, and the folders it leaves empty."""
    (dest / name).unlink(missing_ok=True)
    for parent in reversed(_parents(name)):
        if (dest / parent).is_dir() and not any((dest / parent).iterdir()):
            (dest / parent).rmdir()


def _digest(path: Path) -> str:
    """SHA-256 of a file; empty where there is none."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        return ""
