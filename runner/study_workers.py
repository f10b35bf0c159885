"""How many workers a search has, and what of the machine is each one's: cores, GPUs, memory. Starts none."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

MOST = 8  # by itself: with more at once, each trial knows less of the others
MEMORY = 1.5 * 2**30  # bytes that one training is reckoned to take beside its data, until one was measured: see Room
VISIBLE = "CUDA_VISIBLE_DEVICES"  # the GPUs that a process sees, which counts them from 0


class Crew(NamedTuple):
    """How many workers, why so many, and the environment of each."""

    workers: int
    why: str
    surroundings: list[dict[str, str]]


class Room:
    """How many trainings find room in memory at once, by what the largest so far took at its peak.

    Args:
        free: bytes that are free while nothing is trained; None where nobody says, and then there is room for all.
    """

    def __init__(self, free: int | None) -> None:
        self.free, self.peak = free, 0

    def measured(self, peak: int) -> bool:
        """Note what a training took, in bytes; whether fewer find room than before."""
        before, self.peak = self.places(), max(self.peak, peak)
        return self.places() < before

    def places(self) -> float:
        """At least one, as a search of none would never end."""
        return max(1, self.free // self.peak) if self.free is not None and self.peak else math.inf


ONLOOKER = Crew(0, "others train", [])  # keeps the record of a search that is trained elsewhere


def crew(asked: int | str, *, trials: int | None, gpus_each: int, data: int, gpu_ids: Sequence[int] = ()) -> Crew:
    """``asked`` is a number or "auto". ``gpus_each`` is how many GPUs a training asks for, ``data`` the bytes it reads.

    ``gpu_ids`` are those that the spec names: none but they are shared out, unless it is the first alone, which is what a spec
    has that says nothing.
    """
    cores, cards = usable_cores(), gpus() if gpus_each else []
    if any(gpu_ids) or len(gpu_ids) > 1:
        cards = [cards[i] for i in gpu_ids if 0 <= i < len(cards)]
        gpus_each = max(gpus_each, len(gpu_ids))
    limits = {f"{trials} trials": trials} if trials else {}
    if asked == "auto":
        if cards:
            limits |= {f"{len(cards)} GPUs": max(1, len(cards) // gpus_each)}
        else:
            limits |= {f"{cores} cores": cores, "8 at most": MOST}
        if free := free_memory():
            limits |= {f"{free / 2**30:.1f} GiB of memory": max(1, int(free // (MEMORY + 3 * data)))}
    else:
        limits |= {"as asked": int(asked)}
    why = min(limits, key=lambda name: limits[name])
    count = max(1, limits[why])
    return Crew(count, why, [_share(i, count, cores, cards, gpus_each) for i in range(count)])


def _share(index: int, count: int, cores: int, cards: list[str], gpus_each: int) -> dict[str, str]:
    """Cores are shared out; a worker's GPUs are its own while there are enough, else shared. What the user says wins."""
    found = {}
    if count > 1 and "OMP_NUM_THREADS" not in os.environ:
        found["OMP_NUM_THREADS"] = str(max(1, cores // count))
    if cards and count > 1:
        first = index * gpus_each
        found[VISIBLE] = ",".join(cards[(first + i) % len(cards)] for i in range(min(gpus_each, len(cards))))
    return found


def gpus_of(around: Mapping[str, str]) -> int:
    """How many GPUs are a worker's own; 0 where it sees all of them, or there is none."""
    return len(around[VISIBLE].split(",")) if VISIBLE in around else 0


def usable_cores() -> int:
    """Cores of this process, less where its container has a smaller share."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return max(1, min(cores, int(quota) // int(period)))
    except (OSError, ValueError):  # no limit is the word max
        return cores


def free_memory() -> int | None:
    """Bytes that are free here and in the container; None where nobody says."""
    found = []
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        found += [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")]
        limit = int(Path("/sys/fs/cgroup/memory.max").read_text())
        found.append(limit - int(Path("/sys/fs/cgroup/memory.current").read_text()))
    except (OSError, ValueError):
        pass
    return min(found) if found else None


def gpus() -> list[str]:
    """The GPUs that this process may use, as CUDA names them."""
    said = os.environ.get(VISIBLE)
    if said is not None:
        return [name.strip() for name in said.split(",") if name.strip() not in ("", "-1")]
    if not any(os.access(os.path.join(folder, "nvidia-smi"), os.X_OK) for folder in os.get_exec_path()):
        return []
    import subprocess

    try:
        listed = subprocess.run(
            ["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"], capture_output=True, text=True, timeout=20, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return []
    return [line.strip() for line in listed.stdout.splitlines() if line.strip()]


def size_of(inputs: Sequence[Mapping[str, Any]]) -> int:
    """Bytes of the input files that are here."""
    total = 0
    for item in inputs:
        path = str(item.get("path") or item.get("uri") or "")
        if path and "://" not in path and os.path.isfile(path):
            total += os.path.getsize(path)
    return total
