"""The machine: processors and what they can do, GPUs, memory, disk. Reads what the system tells; torch only for a GPU."""

from __future__ import annotations

import os
import platform
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from runner.doctor.check import GIB, Check, gib
from runner.doctor.packages import torch_build

# As the system names them -> as people do.
FEATURES = {
    "avx2": "avx2",
    "fma": "fma",
    "f16c": "f16c",
    "avx512f": "avx512",
    "avx512_vnni": "vnni",
    "avx512_bf16": "bf16",
    "bf16": "bf16",
    "amx_bf16": "amx",
    "asimd": "neon",
    "sve": "sve",
}
ASK_TORCH = (
    "import json, torch; c = torch.cuda; n = c.device_count() if c.is_available() else 0; "
    "print(json.dumps([[c.get_device_name(i), c.is_bf16_supported()] for i in range(n)]))"
)


def machine(workspace: Path) -> Iterator[Check]:
    """All of it."""
    yield processor()
    yield threads()
    yield from gpus()
    yield memory()
    shared = shared_memory()
    if shared:
        yield shared
    yield disk(workspace)


def processor() -> Check:
    """Its name and the instructions that make training quick."""
    text = _read("/proc/cpuinfo")
    name = re.search(r"^(?:model name|Model)\s*:\s*(.+)$", text, re.MULTILINE)
    flags = re.search(r"^(?:flags|Features)\s*:\s*(.+)$", text, re.MULTILINE)
    known = set(flags[1].split()) if flags else set()
    found = list(dict.fromkeys(word for flag, word in FEATURES.items() if flag in known))
    says = f"{name[1] if name else platform.processor() or platform.machine()}; {', '.join(found) or 'features not told'}"
    if platform.machine() == "x86_64" and known and "avx2" not in known:
        return Check("processor", "warn", f"{says}: without avx2 training takes several times as long", "use a newer machine")
    return Check("processor", "ok", says)


def threads() -> Check:
    """How many processors may be used, and whether torch will start as many threads."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota, said = _quota(), os.environ.get("OMP_NUM_THREADS", "")
    allowed = max(1, round(quota)) if quota else usable
    says = f"{usable} usable" + (f", quota {quota:g}" if quota else "") + f"; OMP_NUM_THREADS {said or 'not set'}"
    if said and not re.fullmatch(r"\s*\+?0*[1-9]\d*\s*(,\s*[1-9]\d*\s*)*", said):
        wrong = f"{usable} usable; OMP_NUM_THREADS is {said[:40]!r}, which is no number of threads: torch would start {usable}"
        return Check("threads", "warn", wrong, f"export OMP_NUM_THREADS={allowed}")
    wanted = int(said.partition(",")[0]) if said else usable
    if wanted > allowed:
        return Check("threads", "warn", f"{says}: torch would start {wanted}", f"export OMP_NUM_THREADS={allowed}")
    return Check("threads", "ok", says)


def _quota() -> float:
    """Processors that the container is granted; 0 where there is no limit."""
    limit, _, period = _read("/sys/fs/cgroup/cpu.max").strip().partition(" ")
    return int(limit) / int(period) if limit.isdigit() and period.isdigit() else 0.0


def gpus() -> Iterator[Check]:
    """GPUs of the driver, and whether torch can use them."""
    built = torch_build()
    found, problem = _driver()
    if problem:
        yield Check("GPU", "warn", problem, "mend or reinstall the driver; on the CPU all works as well")
        return
    if not found:
        yield Check("GPU", "ok", "none: training runs on the CPU")
        return
    says = "; ".join(found)
    if built is None:
        yield Check("GPU", "warn", f"{says}; torch is not installed", "pip install torch")
    elif built == "cpu":
        fix = "pip install --force-reinstall torch, from the index of a CUDA build (pytorch.org, Get Started)"
        yield Check("GPU", "warn", f"{says}; torch is built for the CPU and does not use it", fix)
    else:
        yield _seen(says, built)


def _driver() -> tuple[list[str], str]:
    """Name, memory and driver of each NVIDIA GPU; and what is wrong with the driver."""
    import subprocess

    if not (Path("/proc/driver/nvidia").exists() or Path("/dev/nvidiactl").exists()):
        return [], ""
    command = ["nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return [], f"there is a driver, but nvidia-smi does not answer: {error}"
    if done.returncode:
        return [], f"nvidia-smi: {(done.stdout + done.stderr).strip().splitlines()[-1]}"
    return [line.strip() for line in done.stdout.splitlines() if line.strip()], ""


def _seen(says: str, built: str) -> Check:
    """Ask torch itself, in a process of its own, as that takes seconds."""
    import json
    import subprocess

    try:
        done = subprocess.run([sys.executable, "-c", ASK_TORCH], capture_output=True, text=True, timeout=60, check=False)
        devices = json.loads(done.stdout or "null")
    except (OSError, ValueError, subprocess.TimeoutExpired):
        devices = None
    if devices is None:
        return Check("GPU", "fail", f"{says}; torch ({built}) does not start", 'see: python -c "import torch"')
    if not devices:
        fix = "a driver that is as new as torch's CUDA, or an older build of torch; see CUDA_VISIBLE_DEVICES"
        return Check("GPU", "warn", f"{says}; torch ({built}) sees none", fix)
    bf16 = ", bf16" if all(has for _, has in devices) else ""
    return Check("GPU", "ok", f"{says}; torch ({built}) sees {len(devices)}{bf16}")


def memory() -> Check:
    """What is free, and what the container may take."""
    told = dict(re.findall(r"^(\w+):\s+(\d+) kB", _read("/proc/meminfo"), re.MULTILINE))
    if "MemAvailable" not in told:
        return Check("memory", "ok", "not told by this system")
    free, total = (int(told[name]) * 1024 for name in ("MemAvailable", "MemTotal"))
    limit = _read("/sys/fs/cgroup/memory.max").strip()
    if limit.isdigit() and int(limit) < total:
        used = _read("/sys/fs/cgroup/memory.current").strip()
        total = int(limit)
        free = min(free, total - int(used)) if used.isdigit() else min(free, total)
    says = f"{gib(free)} free of {gib(total)}"
    if free < 2 * GIB:
        fix = "close other programs, or train with a smaller dataset.batch_size and dataset.num_workers=0"
        return Check("memory", "warn", f"{says}: a training needs about 2 GiB", fix)
    return Check("memory", "ok", says)


def shared_memory() -> Check | None:
    """Workers hand over their batches in /dev/shm, which containers keep small."""
    try:
        stat = os.statvfs("/dev/shm")
    except OSError:
        return None
    size = stat.f_blocks * stat.f_frsize
    if size >= GIB // 4:
        return Check("shared memory", "ok", gib(size))
    fix = "docker run --shm-size=1g, or train with dataset.num_workers=0"
    return Check("shared memory", "warn", f"{gib(size)}: too little for workers that load data", fix)


def disk(workspace: Path) -> Check:
    """Room where the results go."""
    import shutil

    place = next(folder for folder in (workspace, *workspace.parents) if folder.exists())
    free = shutil.disk_usage(place).free
    fix = f"make room on the disk of {place}, or work elsewhere: --workspace DIR"
    if free < GIB // 2:
        return Check("disk", "fail", f"{gib(free)} free at {place}: checkpoints would not fit", fix)
    return Check("disk", "warn" if free < 5 * GIB else "ok", f"{gib(free)} free at {place}", fix if free < 5 * GIB else "")


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
