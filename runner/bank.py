"""Where the bank lies and what is in it: skills, and the contracts of the files it reads and writes.

Knows nothing of the inside of a spec or a job.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, NamedTuple

from runner import skill, spec
from runner.errors import SchemaInvalid, UnknownSkill, UsageError

VARIABLE = "SKILL_BANK"


class Entry(NamedTuple):
    """A skill in the list: what its front matter says."""

    name: str
    description: str
    dir: Path

    @property
    def info(self) -> dict[str, Any]:
        """The facts of the skill, read now."""
        return skill.info(self.dir)

    @property
    def words(self) -> dict[str, Any]:
        """What ``match`` listens for, read now."""
        return skill.words(self.dir)


def root() -> Path:
    """The folder with ``skills``, ``schemas`` and ``references``: $SKILL_BANK, else the installed one, else the checkout.

    Raises:
        UsageError: $SKILL_BANK is set and holds no bank, or there is none at all.
    """
    named = os.environ.get(VARIABLE)
    if named:
        if not (Path(named) / "skills").is_dir():
            raise UsageError(f"${VARIABLE} is {named}, which has no folder skills", hint="Unset it, or name a bank's root.")
        return Path(named).resolve()
    if own := _own():
        return own[0]
    raise UsageError("no skill bank found", hint=f"Set ${VARIABLE} to the folder that holds skills/ and schemas/.")


def skills() -> list[Entry]:
    """All skills by name, from their front matter only."""
    return [_entry(folder) for folder in _folders()]


def get(name: str) -> skill.Skill:
    """The skill of that name.

    Raises:
        UnknownSkill: there is none; names the nearest and all there are.
    """
    folders = {folder.name: folder for folder in _folders()}
    if name not in folders:
        near = spec.nearest(name, folders) or [n for n in folders if name and name in n]
        meant = f", did you mean {near[0]}?" if near else ""
        raise UnknownSkill(f"no skill {name!r}{meant}", hint=f"Skills: {', '.join(folders)}")
    return skill.load(folders[name])


def load_all() -> list[skill.Skill]:
    """Every skill, loaded."""
    return [skill.load(folder) for folder in _folders()]


def by_network(network_arch: str) -> skill.Skill:
    """The skill whose network is ``network_arch`` (as job ids begin with).

    Raises:
        UnknownSkill: there is none.
    """
    loaded = [s for s in load_all() if s.network_arch]
    for one in loaded:
        if one.network_arch == network_arch:
            return one
    raise UnknownSkill(f"no skill of network {network_arch!r}", hint=f"Networks: {', '.join(s.network_arch for s in loaded)}")


def contract(name: str) -> dict[str, Any]:
    """The JSON Schema of one kind of file: ``skill_info``, ``job_record``, ``validation_report`` and so on.

    Raises:
        SchemaInvalid: there is none of that name, or it does not parse.
    """
    import json

    folders = [root() / "schemas", *(found / "schemas" for found in _own())]
    path = next((folder / f"{name}.schema.json" for folder in folders if (folder / f"{name}.schema.json").is_file()), None)
    if path is None:
        known = sorted({found.name.removesuffix(".schema.json") for f in folders for found in f.glob("*.schema.json")})
        raise SchemaInvalid(f"no contract {name!r}", hint=f"Contracts: {', '.join(known)}")
    try:
        return dict(json.loads(path.read_bytes()))
    except ValueError as error:
        raise SchemaInvalid(f"{path} does not parse: {error}") from None


def version() -> str:
    """The version of the installed package; '0' when it runs from files that were never installed."""
    from importlib import metadata

    try:
        return metadata.version("tao-skill-bank")
    except metadata.PackageNotFoundError:
        return "0"


def _own() -> list[Path]:
    """The banks that come with this package: the installed one, the checkout. Contracts are always the package's."""
    package = Path(__file__).resolve().parent
    return [folder for folder in (package / "_bank", package.parent) if (folder / "skills").is_dir()]


def _folders() -> list[Path]:
    return sorted(path.parent for path in (root() / "skills").glob("*/SKILL.md"))


def _entry(folder: Path) -> Entry:
    head = skill.front_matter(folder)
    return Entry(folder.name, " ".join(str(head.get("description", "")).split()), folder)
