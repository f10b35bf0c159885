"""What a trial costs beyond its training: in a new process each, and in copies of a warm one.

    python bench/workers.py [--trials 6] [--epochs 4] [--json]
    python bench/workers.py --side-by-side [--trials 6] [--epochs 20]

The same small training (three lean networks, 60 sequences) again and again, cold and warm by turns. Overhead is the wall time
of a job less the seconds of its epochs: start, imports, data, files. Medians; `share` is of a trial whose epochs take 20 s.

With --side-by-side: the time of all trials by one worker with all cores, and by one for each core with one thread each.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from runner import backend, bank

GOAL, TRIAL = 5.0, 20.0  # per cent of overhead, at most, in a trial whose epochs take so many seconds
FRAMES, JOINTS, CLASSES = 32, 17, 6
ENVIRONMENT = bank.get("tao-train-pose-classification").action("train").environment


def main() -> int:
    """Measure, print a table or JSON, and return 1 when the overhead of a warm trial is above the goal."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=6, help="of each kind (default 6)")
    parser.add_argument("--epochs", type=int, default=4, help="epochs of a trial (default 4)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of the table")
    parser.add_argument("--side-by-side", action="store_true", help="compare one worker with one for each core")
    options = parser.parse_args()
    if options.side_by_side:
        return side_by_side(options.trials, options.epochs)
    with tempfile.TemporaryDirectory() as folder, backend.Worker() as worker:
        data = write_data(Path(folder))
        ways: dict[str, Callable[..., Any]] = {"cold": backend.run_child, "warm": worker.run}
        found: dict[str, list[dict[str, float]]] = {name: [] for name in ways}
        for number in range(options.trials + 1):  # the first warm one pays for the imports, as each worker does once
            for name, way in ways.items():
                found[name].append(trial(way, data, Path(folder) / f"{name}_{number}", options.epochs))
        rows = {"first warm": found["warm"][:1], "cold": found["cold"][1:], "warm": found["warm"][1:]}
        table = {name: {key: statistics.median(one[key] for one in ones) for key in ones[0]} for name, ones in rows.items()}
        memory = worker.memory
    for row in table.values():
        row["share"] = 100 * row["overhead"] / (TRIAL + row["overhead"])
    if options.json:
        print(
            json.dumps(
                {"threads": os.environ.get("OMP_NUM_THREADS"), "memory": memory, "goal": GOAL, "trials": table}, indent=2
            )
        )
    else:
        print(f"{'trial':<12}{'wall s':>8}{'epochs s':>10}{'overhead s':>12}{'share':>9}")
        for name, row in table.items():
            print(f"{name:<12}{row['wall']:8.2f}{row['epochs']:10.2f}{row['overhead']:12.2f}{row['share']:7.1f} %")
        print(f"memory of a trial at its peak: {memory / 2**20:.0f} MiB; goal: at most {GOAL:g} % of {TRIAL:g} s")
    return int(table["warm"]["share"] > GOAL)


def side_by_side(trials: int, epochs: int) -> int:
    """Print how long the trials take, by one worker and by as many as there are cores; imports are not counted."""
    cores = len(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as folder:
        data = write_data(Path(folder))
        for count in (1, cores):
            workers = [backend.Worker({"OMP_NUM_THREADS": str(cores // count)}) for _ in range(count)]
            with ThreadPoolExecutor(count) as crew:

                def work(number: int, workers: list[backend.Worker] = workers, count: int = count) -> None:
                    place = Path(folder) / f"{count}_{number}"
                    trial(workers[number % count].run, data, place, epochs if number >= count else 1)

                list(crew.map(work, range(count)))  # the imports
                began = time.perf_counter()
                lists = [range(count + first, count + trials, count) for first in range(count)]
                list(crew.map(lambda numbers: [work(number) for number in numbers], lists))
                seconds = time.perf_counter() - began
            for worker in workers:
                worker.close()
            print(f"{trials} trials by {count} worker(s) with {cores // count} thread(s) each: {seconds:.1f} s")
    return 0


def trial(way: Callable[..., Any], data: dict[str, Any], folder: Path, epochs: int) -> dict[str, float]:
    """Seconds of one job: all of it, its epochs, and the rest."""
    train = {
        "num_epochs": epochs,
        "validation_interval": 2,
        "select": "last",
        "optim": {"optimizer_type": "torch.optim.AdamW", "lr": 0.003, "lr_scheduler": "OneCycle", "warmup_share": 0.1},
    }
    model = {"graph_layout": "coco", "model_type": "Sep-GCN", "width": 32, "stages": [1, 1], "padding": "masked"}
    spec = {"results_dir": str(folder), "model": model, "dataset": data, "train": train}
    asked: list[int] = []
    began = time.perf_counter()
    way(
        "stgcn.train:run",
        spec,
        log=folder / "job.log",
        outcome=folder / "outcome.json",
        env=ENVIRONMENT,
        control=lambda epoch, _metrics: bool(asked.append(epoch)),
    )
    wall = time.perf_counter() - began
    with open(folder / "train" / "metrics.csv", newline="") as file:
        inside = sum(float(row["seconds"]) for row in csv.DictReader(file))
    return {"wall": wall, "epochs": inside, "overhead": wall - inside}


def write_data(folder: Path) -> dict[str, Any]:
    """A set of noise in the trainer's own format, as the spec names it."""
    import pickle

    rng = np.random.default_rng(0)
    dataset: dict[str, Any] = {
        "num_classes": CLASSES,
        "label_map": {f"class {i}": i for i in range(CLASSES)},
        "streams": ["joint", "bone", "joint_motion"],
        "batch_size": 16,
    }
    for split, count in (("train", 60), ("val", 24)):
        paths = {kind: folder / f"{split}_{kind}" for kind in ("data.npy", "label.pkl")}
        np.save(paths["data.npy"], rng.normal(size=(count, 3, FRAMES, JOINTS, 1)).astype(np.float32))
        ids = [i % CLASSES for i in range(count)]
        paths["label.pkl"].write_bytes(pickle.dumps(([f"{split}_{i}" for i in range(count)], ids), protocol=4))
        dataset[f"{split}_dataset"] = {"data_path": str(paths["data.npy"]), "label_path": str(paths["label.pkl"])}
    return dataset


if __name__ == "__main__":
    raise SystemExit(main())
