"""Python and the packages: which versions there are, which are wanted, what the extras are for, and which of them start."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from importlib import metadata, util
from pathlib import Path
from typing import TYPE_CHECKING

from runner.doctor import imports
from runner.doctor.check import Check

if TYPE_CHECKING:
    from packaging.requirements import Requirement

PACKAGE = "tao-skill-bank"
OLDEST = (3, 11)
EXTRAS = {
    "tensorboard": "curves in TensorBoard",
    "wandb": "runs in Weights & Biases",
    "mcp": "skillbank mcp, the bank as tools of an agent",
    "crypto": "encrypted checkpoints (encryption_key)",
    "gp": "the search algorithm bfbo",
    "postgres": "searches over several machines (--storage)",
    "slurm": "workers of a search on a Slurm cluster (--launch slurm)",
}


def python() -> Check:
    """The interpreter."""
    says = f"{sys.version.split()[0]} ({sys.executable})"
    if sys.version_info >= OLDEST:
        return Check("Python", "ok", says)
    wanted = ".".join(map(str, OLDEST))
    return Check("Python", "fail", f"{says}; wanted: {wanted} or newer", f"make a new environment with Python {wanted}")


def packages(*, start: bool = False) -> Iterator[Check]:
    """Every requirement of the package by itself, then each extra as a whole; ``start`` has them imported elsewhere."""
    from packaging.requirements import Requirement

    try:
        wanted = [Requirement(text) for text in metadata.requires(PACKAGE) or ()]
        version = metadata.version(PACKAGE)
    except metadata.PackageNotFoundError:
        yield Check(PACKAGE, "warn", "runs from files that are not installed: versions are not checked", "pip install -e .")
        return
    yield Check(PACKAGE, "ok", version)
    needed = [one for one in wanted if one.marker is None or one.marker.evaluate({"extra": ""})]
    extras: dict[str, list[Requirement]] = {}
    for one in wanted:
        for name in re.findall(r"""extra == ["']([\w-]+)["']""", str(one.marker)):
            extras.setdefault(name, []).append(one)
    of_extras = [one for name in EXTRAS for one in extras.get(name, ())]
    broken = imports.broken(filter(_installed, {one.name: None for one in [*needed, *of_extras]})) if start else {}
    for one in needed:
        yield _requirement(one, broken)
    for name, purpose in EXTRAS.items():
        if name in extras:
            yield _extra(name, purpose, extras[name], broken)


def _installed(name: str) -> bool:
    try:
        return bool(metadata.version(name))
    except metadata.PackageNotFoundError:
        return False


def _requirement(one: Requirement, broken: Mapping[str, str]) -> Check:
    fix = f"pip install '{one.name}{one.specifier}'"
    try:
        version = metadata.version(one.name)
    except metadata.PackageNotFoundError:
        return Check(one.name, "fail", f"is not installed; wanted: {one.specifier}", fix)
    if not one.specifier.contains(version, prereleases=True):
        return Check(one.name, "fail", f"{version}; wanted: {one.specifier}", fix)
    if one.name in broken:
        return Check(one.name, "fail", f"{version}, which cannot be imported: {broken[one.name]}", _again(one, version))
    return Check(one.name, "ok", version)


def _again(one: Requirement, version: str) -> str:
    """The command that puts the same version in place of a broken one."""
    return f"pip install --force-reinstall --no-deps '{one.name}=={version.partition('+')[0]}'"


def _extra(name: str, purpose: str, requirements: list[Requirement], broken: Mapping[str, str]) -> Check:
    """An extra that is not there is no fault; one in a version that does not fit, or that does not start, is."""
    about, fix = f"extra {name}", f"pip install '{PACKAGE}[{name}]'"
    found = []
    for one in requirements:
        try:
            version = metadata.version(one.name)
        except metadata.PackageNotFoundError:
            return Check(about, "ok", f"not installed; for {purpose}", fix)
        if not one.specifier.contains(version, prereleases=True):
            return Check(about, "warn", f"{one.name} {version}; wanted: {one.specifier}; for {purpose}", fix)
        if one.name in broken:
            says = f"{one.name} {version}, which cannot be imported: {broken[one.name]}; for {purpose}"
            return Check(about, "warn", says, _again(one, version))
        found.append(f"{one.name} {version}")
    return Check(about, "ok", f"{', '.join(found)}; for {purpose}")


def torch_build() -> str | None:
    """What torch was built for, such as ``cpu`` or ``cuda 12.6``, read from its files; None where there is no torch."""
    found = util.find_spec("torch")
    if found is None or not found.origin:
        return None
    try:
        text = Path(found.origin).with_name("version.py").read_text(encoding="utf-8")
    except OSError:
        return "cpu"
    built = re.search(r"""^(cuda|hip|xpu)\b[^=\n]*=\s*['"]([^'"]+)""", text, re.MULTILINE)
    return f"{built[1]} {built[2]}" if built else "cpu"
