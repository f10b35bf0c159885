"""Which checkpoint of a job: best, latest, or of an epoch or step. Names and numbers; opens no file."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from runner.errors import ParentError, UsageError

CHOICES = "best, latest, epoch:N or step:N"
_NAME = re.compile(r"model_epoch_(?P<epoch>\d{3,})_step_(?P<step>\d{5,})\.(?:pth|tlt|hdf5|pt|ckpt|bin|safetensors|npz|json)")
_CHOICE = re.compile(r"best|latest|(?P<kind>epoch|step):(?P<number>\d+)")


def scan(names: Iterable[str]) -> list[dict[str, Any]]:
    """The checkpoints among file names, as {name, epoch, step}, oldest first. Links such as *_latest are none."""
    found = []
    for name in names:
        match = _NAME.fullmatch(name.rpartition("/")[2])
        if match:
            found.append({"name": name, "epoch": int(match["epoch"]), "step": int(match["step"])})
    return sorted(found, key=_age)


def is_one(path: str, link_to: str | None = None) -> bool:
    """Whether a file of the results is a checkpoint by its name, or a link to one, as ``files`` finds them."""
    here = "/" not in path
    return here and (path.endswith(".pth") or bool(scan([path])) or (link_to is not None and bool(scan([link_to]))))


def in_folder(folder: Path) -> list[dict[str, Any]]:
    """The checkpoints in a folder, as ``scan`` has them; empty where there is no such folder."""
    return scan(path.name for path in _listed(folder) if not path.is_symlink())


def files(folder: Path) -> list[Path]:
    """The checkpoints in a folder and the links to one of them, sorted."""
    names = {one["name"] for one in in_folder(folder)}
    return [path for path in _listed(folder) if path.name in names or path.suffix == ".pth" or _leads_to(path, names)]


def _listed(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _leads_to(path: Path, names: Collection[str]) -> bool:
    return path.is_symlink() and path.readlink().name in names


def check_choice(choice: str) -> str:
    """The choice itself, if it is one.

    Raises:
        UsageError: naming what can be chosen.
    """
    if not _CHOICE.fullmatch(choice):
        raise UsageError(f"{choice!r} does not choose a checkpoint", hint=f"Allowed: {CHOICES}.")
    return choice


def pick(checkpoints: Sequence[Mapping[str, Any]], choice: str = "best") -> dict[str, Any]:
    """One checkpoint of a record's list ({path, epoch, step, val_loss, best}).

    ``best`` is the one marked so, else the lowest val_loss, else the latest; ``latest`` the most steps; ``epoch:N`` and
    ``step:N`` (as in the file names, epochs from 0) the latest of that epoch or step.

    Raises:
        UsageError: no such way to choose.
        ParentError: there is no checkpoint, or none of that epoch or step; lists what there is.
    """
    check_choice(choice)
    if not checkpoints:
        raise ParentError("the job has no checkpoint", hint="Did it end before the first one was written?")
    if choice == "best":
        return dict(_best(checkpoints))
    if choice == "latest":
        return dict(max(checkpoints, key=_age))
    kind, _, number = choice.partition(":")
    fitting = [c for c in checkpoints if c.get(kind) == int(number)]
    if not fitting:
        there = ", ".join(f"epoch:{c.get('epoch')} step:{c.get('step')}" for c in sorted(checkpoints, key=_age))
        raise ParentError(f"the job has no checkpoint of {kind} {number}", hint=f"There are: {there}.")
    return dict(max(fitting, key=_age))


def _best(checkpoints: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    marked = [c for c in checkpoints if c.get("best")]
    measured = [c for c in checkpoints if _is_number(c.get("val_loss"))]
    if marked or not measured:
        return max(marked or checkpoints, key=_age)
    return min(measured, key=lambda c: (c["val_loss"], _age(c)))


def _age(checkpoint: Any) -> tuple[int, int]:
    """Steps go on where epochs are cut short, and are the order of writing."""
    return (int(checkpoint.get("step") or 0), int(checkpoint.get("epoch") or 0))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
