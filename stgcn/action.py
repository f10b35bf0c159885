"""What every action begins with: its results folder, status log and experiment.yaml, its settings, its GPUs. No tensors."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from stgcn import config, discreet, files, status
from stgcn.consistency.training import of_machines
from stgcn.errors import ResourceError, SpecError

log = logging.getLogger("stgcn")

HIDDEN = discreet.MASK


class Started(NamedTuple):
    """An action under way: its settings, where its results go, and its status log."""

    settings: Any
    folder: Path
    status: status.StatusLog


@contextmanager
def started(name: str, spec: Mapping[str, Any]) -> Iterator[Started]:
    """Run the action ``name`` of ``spec`` in its results folder, between the first and the last line of status.json.

    Raises:
        SpecError: an unknown setting, a wrong type, or no results folder.
        ResourceError: the folder cannot be written.
    """
    folder = files.results_dir(_text(spec, "results_dir"), _text(spec.get(name), "results_dir"), name)
    key = _text(spec, "encryption_key")
    with status.session(folder, name, [key] if key else []) as status_log:
        settings: Any = config.from_dict(config.ACTIONS[name], spec)
        check_num_nodes(name, getattr(settings, name))
        write_experiment(folder, settings)
        yield Started(settings, folder, status_log)


def check_num_nodes(name: str, own: Any) -> None:
    """Refuse a training over several machines."""
    if found := of_machines(name, getattr(own, "num_nodes", 1)):
        raise SpecError([str(finding) for finding in found])


def redacted(settings: Any) -> dict[str, Any]:
    """The settings as a nested dict of plain values, secrets hidden."""
    values: dict[str, Any] = files.plain(dataclasses.asdict(settings))
    for field in dataclasses.fields(settings):
        if field.metadata.get("secret") and config.is_set(values[field.name]):
            values[field.name] = HIDDEN
    found: dict[str, Any] = discreet.clean(values, discreet.secrets())
    return found


def write_experiment(folder: Path, settings: Any) -> Path:
    """Write experiment.yaml, the settings as they were used, secrets hidden."""
    import yaml

    return files.write_text(folder / "experiment.yaml", yaml.safe_dump(redacted(settings), sort_keys=False, allow_unicode=True))


def choose_gpus(name: str, num_gpus: int, gpu_ids: tuple[int, ...]) -> list[int]:
    """GPUs to use, by index; an empty list is the CPU, on a machine without a GPU.

    ``gpu_ids`` counts where it names as many as ``num_gpus`` or more; else the first ``num_gpus`` are taken.

    Raises:
        ResourceError: a GPU that is asked for does not exist.
    """
    import torch

    existing = torch.cuda.device_count()
    if not existing:
        if num_gpus > 1 or any(gpu_ids):
            raise ResourceError(
                f"{name}.num_gpus={num_gpus} with {name}.gpu_ids={list(gpu_ids)} asks for GPUs, and this machine has none; "
                f"the CPU is used with {name}.num_gpus=1 and {name}.gpu_ids=[0]"
            )
        log.info("no GPU on this machine: running on the CPU")
        return []
    wanted = list(gpu_ids) if len(gpu_ids) >= num_gpus else list(range(num_gpus))
    absent = [i for i in wanted if not 0 <= i < existing]
    if absent or len(set(wanted)) != len(wanted):
        raise ResourceError(
            f"{name}.num_gpus={num_gpus} with {name}.gpu_ids={list(gpu_ids)} asks for the GPUs {wanted}; this machine has "
            f"{existing}: {list(range(existing))}"
        )
    return wanted


def _text(section: Any, key: str) -> str | None:
    """A string of a spec that is not yet checked."""
    value = section.get(key) if isinstance(section, Mapping) else None
    return value if isinstance(value, str) else None
