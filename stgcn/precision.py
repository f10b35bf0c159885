"""Which numbers a training step computes with: what `auto` comes to on this machine. Knows no files but the CPU's own list."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Literal

import torch

Precision = Literal["fp32", "bf16", "auto"]
CPU_INFO = Path("/proc/cpuinfo")
WORDS = {"avx512_bf16", "amx_bf16", "bf16"}  # among the flags of a CPU that multiplies bf16; the last one is of ARM


def chosen(wanted: Precision, model_type: str, *, gpu: bool) -> Precision:
    """fp32 or bf16, for ``wanted``, which may be auto.

    On a CPU bf16 pays where products of large matrices take the time, as in ST-GCN; the leaner networks lose by it.
    """
    if wanted != "auto":
        return wanted
    if gpu:
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    return "bf16" if model_type == "ST-GCN" and cpu_has_bf16() else "fp32"


def cpu_has_bf16(info: Path = CPU_INFO) -> bool:
    """Whether the CPU multiplies bf16 itself; not known is no."""
    if sys.platform != "linux" or not info.is_file():
        return False
    for line in info.read_text(errors="replace").splitlines():
        name, _, flags = line.partition(":")
        if name.strip().lower() in {"flags", "features"}:
            return bool(WORDS & set(flags.split()))
    return False
