"""Training and evaluation of ST-GCN on a GPU, against the plain network in eager fp32 and against what the GPU can do.

    python bench/gpu.py [--batch 64] [--rounds 10] [--json]
    python bench/gpu.py --device cpu --batch 2 --frames 20 --rounds 1        # to see that it runs

All take the same sequences (N, 3, T, 34, 1), which lie on the device, and go in turns; a ratio is that of a pair. `ours` is
what a job uses; `compiled` is the same through torch.compile with CUDA graphs, which is not a setting until it has been seen
to pay. The floors: how long the multiplications alone take at the rate of a large product of matrices, and how long the
activations take to be written and read once at the rate of a copy. On a machine without a GPU it says so and ends with 7.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import torch
from measuring import ratios, spread
from peer import PLAN, both, settle
from torch import Tensor, nn

from stgcn import config, cost, fast, optim

JOINTS = 34
Timed = Callable[[], Any]


def main() -> int:
    """Measure, and print a table or JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--frames", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--no-compile", action="store_true", help="leave torch.compile out, which takes minutes to start")
    parser.add_argument("--json", action="store_true", help="print JSON instead of the table")
    options = parser.parse_args()
    device = torch.device(options.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        sys.stderr.write("bench/gpu.py: no GPU that PyTorch can use on this machine\n")
        return 7
    torch.manual_seed(0)
    models = both()
    settle(models, torch.randn(2, 3, options.frames, JOINTS, 1))
    x = torch.randn(options.batch, 3, options.frames, JOINTS, 1, device=device)
    labels = torch.arange(options.batch, device=device) % 6
    for model in models.values():
        model.to(device)
    compiled = device.type == "cuda" and not options.no_compile
    facts = {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "input": list(x.shape),
        "floors": floors(models["peer"], x),
        "inference": measured(evaluations(models, x, compiled=compiled), options.rounds, device),
        "training": measured(trainings(models, x, labels, compiled=compiled), options.rounds, device),
    }
    if options.json:
        sys.stdout.write(json.dumps(facts, indent=2) + "\n")
    else:
        sys.stdout.write(table(facts, options.batch))
    return 0


def evaluations(models: dict[str, nn.Module], x: Tensor, *, compiled: bool) -> dict[str, Timed]:
    """What is timed: a batch evaluated by each."""
    for model in models.values():
        model.eval()
    ways = {
        "peer": models["peer"],
        "ours fp32": fast.arranged(models["ours"]),
        "ours bf16": fast.arranged(models["ours"], "bf16"),
    }
    if compiled:
        ways["compiled bf16"] = torch.compile(ways["ours bf16"], mode="reduce-overhead")

    def pass_of(network: nn.Module) -> Timed:
        def once() -> Tensor:
            with torch.inference_mode():
                return network(x)

        return once

    return {name: pass_of(network) for name, network in ways.items()}


def trainings(models: dict[str, nn.Module], x: Tensor, labels: Tensor, *, compiled: bool) -> dict[str, Timed]:
    """What is timed: a training step of each, with the optimiser it would have."""
    settings = config.Optim(lr=0.01)

    def step_of(network: nn.Module, optimiser: torch.optim.Optimizer, *, bf16: bool) -> Timed:
        network.train()

        def once() -> None:
            optimiser.zero_grad()
            with torch.autocast(x.device.type, torch.bfloat16) if bf16 else nullcontext():
                logits = network(x)
            nn.functional.cross_entropy(logits.float(), labels).backward()
            optimiser.step()

        return once

    peer, ours = models["peer"], models["ours"]
    built = optim.build_optimizer(list(ours.parameters()), settings, on_gpu=x.device.type == "cuda")
    plain = torch.optim.SGD(
        peer.parameters(), settings.lr, settings.momentum, nesterov=True, weight_decay=settings.weight_decay
    )
    ways = {
        "peer": step_of(peer, plain, bf16=False),
        "ours fp32": step_of(ours, built, bf16=False),
        "ours bf16": step_of(ours, built, bf16=True),
    }
    if compiled:
        ways["compiled bf16"] = step_of(torch.compile(ours, mode="reduce-overhead"), built, bf16=True)
    return ways


def measured(ways: dict[str, Timed], rounds: int, device: torch.device) -> dict[str, Any]:
    """Seconds of each way, in turns, and how many times longer the peer took; the first two turns are not counted."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(rounds + 2):
        for name, once in ways.items():
            took = timed(once, device)
            if turn > 1:
                seconds[name].append(took)
    return {name: {"seconds": spread(times), "peer_over_it": ratios(seconds["peer"], times)} for name, times in seconds.items()}


def timed(once: Timed, device: torch.device) -> float:
    """Wall seconds until the device has done it."""
    wait = torch.cuda.synchronize if device.type == "cuda" else (lambda: None)
    wait()
    began = time.perf_counter()
    once()
    wait()
    return time.perf_counter() - began


def floors(network: nn.Module, x: Tensor) -> dict[str, float]:
    """Least milliseconds of an evaluation of ``x`` by the plain network's arithmetic, and by the activations it moves."""
    device = x.device
    side = 4096 if device.type == "cuda" else 256
    rates = {}
    for name, kind in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        a, b = (torch.randn(side, side, device=device).to(kind) for _ in range(2))
        rates[name] = 2 * side**3 / best(lambda a=a, b=b: a @ b, device)
    source = torch.randn(side, side, device=device)
    target = torch.empty_like(source)
    copied = 2 * source.nbytes / best(lambda: target.copy_(source), device)  # read and written
    flop = 1e9 * cost.gflop_per_sequence(network, x.shape[1:]) * len(x)
    frames, numbers = x.shape[2], 0
    for width, stride in PLAN:
        numbers += 2 * width * frames * JOINTS  # what the graph gives and what the block gives, written and read
        frames //= stride
    moved = 2 * 4 * numbers * len(x)
    found = {
        "tflops_fp32": rates["fp32"] / 1e12,
        "tflops_bf16": rates["bf16"] / 1e12,
        "gb_per_s": copied / 1e9,
        "ms_arithmetic_fp32": 1e3 * flop / rates["fp32"],
        "ms_arithmetic_bf16": 1e3 * flop / rates["bf16"],
        "ms_activations_fp32": 1e3 * moved / copied,
        "ms_activations_bf16": 0.5e3 * moved / copied,
    }
    return {name: float(f"{value:.4g}") for name, value in found.items()}


def best(once: Timed, device: torch.device) -> float:
    """The least seconds of some tries."""
    return min(timed(once, device) for _ in range(12))


def table(facts: dict[str, Any], batch: int) -> str:
    """The figures for people."""
    lines = [f"{facts['device']}, input {tuple(facts['input'])}"]
    for what in ("inference", "training"):
        for name, one in facts[what].items():
            middle, ratio = one["seconds"]["median"], one["peer_over_it"]
            lines.append(
                f"{what:<10} {name:<14} {1e3 * middle:8.2f} ms  {batch / middle:8.0f} sequences/s  peer / it "
                f"{ratio['min']:.2f} / {ratio['median']:.2f} / {ratio['max']:.2f} (min, median, max)"
            )
    lines += [f"{name:<22} {value:g}" for name, value in facts["floors"].items()]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
