"""How time and memory grow with the data: one size is doubled at a time, training and evaluation are measured.

    python bench/scaling.py [--doublings 3] [--rounds 3] [--plot FILE.svg] [--json]
    python bench/scaling.py --large 200000 [--json]

Each measurement is an epoch of a lean ST-GCN in a process of its own: seconds of the epoch (the least of the rounds), seconds
of evaluating the same sequences, and the peak of the memory that is the process's own, mapped files not counted. An exponent
of 1 says that twice as much takes twice as long. --large trains one epoch on so many memory-mapped sequences and shows the
memory after every tenth of it.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

BASE = {"sequences": 64, "frames": 32, "joints": 16, "persons": 1, "classes": 4}
BATCH, LARGE_BATCH = 16, 256
MODEL = {"width": 32, "stages": [1, 1]}


def main() -> int:
    """Measure, and print a table or JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--doublings", type=int, default=3, help="of each size (default 3)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--large", type=int, metavar="N", help="train on so many memory-mapped sequences instead")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw the curves there, as SVG")
    parser.add_argument("--json", action="store_true", help="print JSON instead of the table")
    parser.add_argument("--part", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part:
        sys.stdout.write(json.dumps(part(json.loads(options.part))) + "\n")
        return 0
    if options.large:
        facts = measured({**BASE, "sequences": options.large, "frames": 16, "large": 1})
        shown = "\n".join(f"{share:>4.0%} of the epoch: {mib:.0f} MiB" for share, mib in facts["memory"]) + "\n"
    else:
        facts = grown(options.doublings, options.rounds)
        shown = "".join(row(name, one) for name, one in facts.items())
        if options.plot:
            draw(facts, options.plot)
    sys.stdout.write(json.dumps(facts, indent=2) + "\n" if options.json else shown)
    return 0


def grown(doublings: int, rounds: int) -> dict[str, Any]:
    """Each size doubled, the others as they are; the rounds are interleaved."""
    sizes = {name: [base * 2**step for step in range(doublings + 1)] for name, base in BASE.items()}
    found: dict[str, dict[int, list[dict[str, float]]]] = {name: {size: [] for size in grid} for name, grid in sizes.items()}
    for _ in range(rounds):
        for name, grid in sizes.items():
            for size in grid:
                found[name][size].append(measured({**BASE, name: size}))
    return {name: curves(by_size) for name, by_size in found.items()}


def curves(by_size: dict[int, list[dict[str, float]]]) -> dict[str, Any]:
    """The least of the rounds at each size, and the exponent between the largest size and a quarter of it."""
    sizes = list(by_size)
    said: dict[str, Any] = {"sizes": sizes}
    for what in ("train_seconds", "evaluate_seconds", "memory_mib"):
        values = [min(run[what] for run in by_size[size]) for size in sizes]
        first = max(0, len(sizes) - 3)
        exponent = math.log(values[-1] / values[first]) / math.log(sizes[-1] / sizes[first]) if len(sizes) > 1 else None
        said[what] = {"values": [float(f"{value:.4g}") for value in values], "exponent": exponent and round(exponent, 2)}
    return said


def row(name: str, facts: dict[str, Any]) -> str:
    """A line for each thing that was measured."""
    shown = [f"{name}: {', '.join(map(str, facts['sizes']))}"]
    for what in ("train_seconds", "evaluate_seconds", "memory_mib"):
        values = ", ".join(f"{value:g}" for value in facts[what]["values"])
        shown.append(f"  {what:<17} {values}   exponent {facts[what]['exponent']}")
    return "\n".join(shown) + "\n"


def measured(sizes: dict[str, int]) -> dict[str, Any]:
    """What a process of its own says about data of these sizes."""
    done = subprocess.run([sys.executable, __file__, "--part", json.dumps(sizes)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    facts: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return facts


def part(sizes: dict[str, int]) -> dict[str, Any]:
    """Write the data, train an epoch, evaluate."""
    from stgcn import evaluate, train

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        spec, test = written(folder, sizes)
        with watched() as memory:
            told = train.run(spec)
            trained = list(memory)
            began = time.perf_counter()
            evaluate.run(evaluated_spec(spec, test, told["artifacts"]["checkpoint"]))
            evaluated = time.perf_counter() - began
        history = (folder / "results" / "train" / "metrics.csv").read_text(encoding="utf-8").splitlines()
    seconds = float(dict(zip(history[0].split(","), history[-1].split(","), strict=True))["seconds"])
    if sizes.get("large"):
        last = trained[
            -max(10, round(len(trained) * seconds / max(told["metrics"]["seconds"], seconds))) :
        ]  # of the epoch alone
        tenths = [
            (step / 10, max(last[len(last) * (step - 1) // 10 : max(1, len(last) * step // 10)])) for step in range(1, 11)
        ]
        return {"seconds": seconds, "sequences": sizes["sequences"], "data_mib": sizes["bytes"] / 2**20, "memory": tenths}
    return {"train_seconds": seconds, "evaluate_seconds": evaluated, "memory_mib": max(trained)}


def evaluated_spec(spec: dict[str, Any], test: dict[str, str], checkpoint: str) -> dict[str, Any]:
    """The spec that evaluates what ``spec`` trained."""
    known = {name: spec["dataset"][name] for name in ("num_classes", "label_map", "batch_size")}
    return {
        "results_dir": spec["results_dir"],
        "model": spec["model"],
        "dataset": known,
        "evaluate": {"checkpoint": checkpoint, "test_dataset": test},
    }


def written(folder: Path, sizes: dict[str, int]) -> tuple[dict[str, Any], dict[str, str]]:
    """A data set of these sizes: the spec that trains on it, and its test set. Written piece by piece, as it is read."""
    import pickle

    import numpy as np

    rng = np.random.default_rng(0)
    count, frames, joints, persons = (sizes[name] for name in ("sequences", "frames", "joints", "persons"))
    paths = {}
    for split, rows in (("train", count), ("val", min(count, 64)), ("test", min(count, 1024) if sizes.get("large") else count)):
        path, labels = folder / f"{split}_data.npy", folder / f"{split}_label.pkl"
        data = np.lib.format.open_memmap(path, "w+", np.float32, (rows, 3, frames, joints, persons))
        for first in range(0, rows, 4096):
            data[first : first + 4096] = rng.normal(size=data[first : first + 4096].shape)
        data.flush()
        sizes["bytes"] = max(data.nbytes, sizes.get("bytes", 0))
        ids = [i % sizes["classes"] for i in range(rows)]
        labels.write_bytes(pickle.dumps(([f"{split}_{i}" for i in range(rows)], ids), protocol=4))
        paths[f"{split}_dataset"] = {"data_path": str(path), "label_path": str(labels)}
    layout = {"name": "chain", "joints": [f"j{i}" for i in range(joints)], "edges": [[i, i + 1] for i in range(joints - 1)]}
    (folder / "chain.json").write_text(json.dumps({**layout, "center": joints // 2}), encoding="utf-8")
    test = paths.pop("test_dataset")
    spec = {
        "results_dir": str(folder / "results"),
        "model": {
            "graph_layout": str(folder / "chain.json"),
            **(MODEL if not sizes.get("large") else {"width": 8, "stages": [1]}),
        },
        "dataset": {
            **paths,
            "num_classes": sizes["classes"],
            "label_map": {f"class_{i}": i for i in range(sizes["classes"])},
            "batch_size": LARGE_BATCH if sizes.get("large") else BATCH,
        },
        "train": {"num_epochs": 1, "optim": {"lr": 0.001}},
    }
    return spec, test


@contextmanager
def watched() -> Iterator[list[float]]:
    """MiB of the process's own memory, every 50 ms, mapped files not counted."""
    seen: list[float] = [own_memory()]
    over = threading.Event()

    def look() -> None:
        while not over.wait(0.05):
            seen.append(own_memory())

    watcher = threading.Thread(target=look, daemon=True)
    watcher.start()
    try:
        yield seen
    finally:
        over.set()
        watcher.join()


def own_memory() -> float:
    """MiB in anonymous pages, which no file backs."""
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) / 1024
    raise SystemExit("this system does not say how much memory is the process's own; Linux does")


def draw(facts: dict[str, Any], path: Path) -> None:
    """One panel for time and one for memory, both axes in doublings."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.4), layout="constrained")
    panels = figure.subplots(1, 3)
    for panel, what in zip(panels, ("train_seconds", "evaluate_seconds", "memory_mib"), strict=True):
        for name, one in facts.items():
            times = [size / one["sizes"][0] for size in one["sizes"]]
            panel.plot(times, one[what]["values"], marker="o", markersize=3, linewidth=1.2, label=name)
        panel.set_xscale("log", base=2)
        panel.set_yscale("log", base=2)
        panel.set_xlabel("times as much of")
        panel.set_title(what.replace("_", " "), fontsize=9)
    panels[0].legend(fontsize=7)
    figure.savefig(path, format="svg")


if __name__ == "__main__":
    sys.exit(main())
