"""What the benchmarks share: processes that are timed, ratios of pairs, and what machine it was. Imports nothing heavy."""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

BENCH = Path(__file__).parent
PACKAGES = ("torch", "pytorch_lightning", "onnxruntime", "numpy")
FAST_NUMBERS = ("avx2", "avx512f", "avx512_bf16", "avx512_vnni", "amx_bf16", "amx_int8")


def spread(values: Sequence[float]) -> dict[str, float]:
    """Least, middle and greatest, to four digits."""
    found = {"min": min(values), "median": statistics.median(values), "max": max(values)}
    return {name: float(f"{value:.4g}") for name, value in found.items()}


def ratios(peer: Sequence[float], ours: Sequence[float]) -> dict[str, float]:
    """How many times longer the peer took, pair by pair."""
    return spread([slow / fast for slow, fast in zip(peer, ours, strict=True)])


def run(
    argv: Sequence[str | Path], environment: Mapping[str, str] | None = None, *, ends: Sequence[int] = (0,)
) -> tuple[float, str]:
    """Wall seconds of a process and what it printed; SystemExit with what it complained about if it failed."""
    began = time.perf_counter()
    done = subprocess.run(argv, capture_output=True, text=True, env={**os.environ, **(environment or {})}, check=False)
    took = time.perf_counter() - began
    if done.returncode not in ends:
        raise SystemExit(f"{' '.join(map(str, argv))} failed ({done.returncode}):\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return took, done.stdout


def script(name: str, *words: str, environment: Mapping[str, str] | None = None, ends: Sequence[int] = (0,)) -> Any:
    """What a benchmark of this folder prints as JSON."""
    return json.loads(run([sys.executable, BENCH / name, *words], environment, ends=ends)[1])


def skillbank(*words: str | Path, environment: Mapping[str, str] | None = None) -> tuple[float, dict[str, Any]]:
    """Wall seconds of a command of ours and the data of its answer."""
    took, printed = run([Path(sys.executable).with_name("skillbank"), *words, "--json"], environment)
    answer: dict[str, Any] = json.loads(printed)["data"]
    return took, answer


def machine() -> dict[str, Any]:
    """What a figure has to be read beside."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.is_file() else []
    named = {line.split(":")[0].strip(): line.split(":", 1)[1].strip() for line in lines if ":" in line}
    flags = named.get("flags", "").split()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "cpu": named.get("model name") or platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "fast_numbers": [flag for flag in FAST_NUMBERS if flag in flags],
        "memory_gib": round(memory, 1),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "load_before": round(os.getloadavg()[0], 2),
        "packages": {name: metadata.version(name) for name in PACKAGES},
    }
