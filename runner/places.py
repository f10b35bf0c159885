"""Where a job's results go: its own folder, one of the user's, or storage. Reads nothing and makes nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from runner import compose
from runner import spec as specs
from runner.errors import Problem
from runner.jobs import Ticket


def problems(spec: dict[str, Any], action: str) -> list[Problem]:
    """Results cannot go to an address of a kind that is not supported; it would pass for a folder, password and all."""
    folders = {key: specs.get(spec, key) for key in ("results_dir", f"{action}.results_dir")}
    return [
        Problem(key, f"{value}: this kind of address is not supported", compose.ADDRESSES)
        for key, value in folders.items()
        if isinstance(value, str) and compose.is_foreign(value)
    ]


def results(spec: dict[str, Any], action: str, ticket: Ticket) -> tuple[Path, str | None]:
    """Where the job writes, and where the results are uploaded to.

    A results_dir the user gives is the root under which the job gets its own folder; the action's own results_dir is taken
    as it is. An s3:// root is an upload target.
    """
    own = specs.get(spec, f"{action}.results_dir")
    if compose.is_set(own) and not str(own).startswith("s3://"):
        return Path(str(own)).expanduser().absolute(), None
    root = specs.get(spec, "results_dir")
    remote = next((str(uri).rstrip("/") for uri in (own, root) if compose.is_set(uri) and str(uri).startswith("s3://")), None)
    if remote:
        specs.set_(spec, f"{action}.results_dir", "")
        specs.set_(spec, "results_dir", "")
        return Path(ticket.results_dir), f"{remote}/{ticket.id}"
    if compose.is_set(root):
        return Path(str(root)).expanduser().absolute() / ticket.id / "results_dir", None
    return Path(ticket.results_dir), None
