"""What may be wrong with this installation, this machine and this workspace, each with its remedy. Changes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from runner.doctor.check import Check
from runner.errors import SkillBankError

__all__ = ["Check", "examine"]


def examine(workspace: Path, *, network: bool = False, start: bool = True) -> Iterator[Check]:
    """Everything that is looked at, one after the other.

    Storage is asked only over the ``network`` that is allowed; ``start``: whether the packages are imported (elsewhere).
    """
    from runner.doctor import machine, packages
    from runner.doctor import workspace as places

    yield packages.python()
    yield from packages.packages(start=start)
    yield _torch(packages.torch_build())
    yield _bank()
    yield from machine.machine(workspace)
    yield from places.workspace(workspace)
    yield storage() if network else Check("storage", "ok", "not asked (--network asks)")


def _torch(built: str | None) -> Check:
    if built is None:
        return Check("torch build", "fail", "torch is not installed", "pip install torch")
    return Check("torch build", "ok", built)


def _bank() -> Check:
    """The skills that are found, each of them readable."""
    from runner import bank

    try:
        names = [skill.name for skill in bank.load_all()]
        return Check("skills", "ok", f"{', '.join(names)} ({bank.root()})")
    except SkillBankError as error:
        return Check("skills", "fail", str(error.message), error.hint or "reinstall the package")


def storage() -> Check:
    """Whether S3, or what stands in its place, answers and knows the credentials."""
    from runner.errors import StorageError
    from runner.storage.client import CREDENTIALS
    from runner.storage.reach import reach

    try:
        return Check("storage", "ok", reach())
    except StorageError as error:
        missing = error.hint == CREDENTIALS and "no credentials" in error.message
        says = f"{error.message}; needed for s3:// only" if missing else error.message
        return Check("storage", "warn" if missing else "fail", says, error.hint)
