"""Seconds of an epoch by default where another program wants a core, and where none does; with all threads and with one.

    python bench/busy.py [DATA] [--busy 1] [--epochs 3] [--rounds 3] [--json]

Trains DATA (by default synthetic sequences) through `skillbank run`, by default, as a user of new data does. A busy program
is a loop that never waits. Threads that share out small products wait for one another all the time, and on a busy machine
mostly for a core; so more threads can be slower than one. The last column is how much sooner all threads are than one.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from measuring import skillbank

from stgcn.sample import write_sample

SKILL = "tao-train-pose-classification"


def main() -> int:
    """Measure, and print a table or JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="?", help="folder of a data set (default: synthetic sequences)")
    parser.add_argument("--busy", type=int, default=1, help="programs beside the training (default 1)")
    parser.add_argument("--epochs", type=int, default=3, help="of a training (default 3)")
    parser.add_argument("--rounds", type=int, default=3, help="of all four trainings in turn (default 3)")
    parser.add_argument("--smoke", action="store_true", help="one round of one short epoch; the figures mean nothing")
    parser.add_argument("--json", action="store_true", help="print JSON instead of the table")
    options = parser.parse_args()
    rounds, epochs = (1, 1) if options.smoke else (options.rounds, options.epochs)
    few = ("--set", "dataset.repeat_to=0") if options.smoke else ()
    found: dict[tuple[int, str], list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        data = options.data or Path(folder) / "data"
        if not options.data:
            write_sample(data, per_class=(2, 1, 1) if options.smoke else (24, 4, 1))
        for _ in range(rounds):
            for busy in (0, options.busy):
                for threads in ("all", "1"):
                    with programs(busy):
                        seconds = epoch(data, Path(folder), threads, "--set", f"num_epochs={epochs}", *few)
                    found.setdefault((busy, threads), []).append(seconds)
    rows = [
        {
            "busy": busy,
            "all": statistics.median(found[busy, "all"]),
            "one": statistics.median(found[busy, "1"]),
            "ratio": statistics.median(one / all_ for one, all_ in zip(found[busy, "1"], found[busy, "all"], strict=True)),
        }
        for busy in dict.fromkeys((0, options.busy))
    ]
    facts: dict[str, Any] = {"cores": len(os.sched_getaffinity(0)), "rounds": rounds, "rows": rows}
    if options.json:
        sys.stdout.write(json.dumps(facts, indent=2) + "\n")
    else:
        sys.stdout.write("busy programs  s an epoch, all threads  one thread  ratio\n")
        for row in rows:
            sys.stdout.write(f"{row['busy']:13}  {row['all']:23.1f}  {row['one']:10.1f}  {row['ratio']:5.2f}\n")
    return 0


@contextmanager
def programs(count: int) -> Iterator[None]:
    """So many programs that never wait."""
    running = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for program in running:
            program.kill()
            program.wait()


def epoch(data: Path, workspace: Path, threads: str, *words: str) -> float:
    """Seconds of the quickest epoch of a training; ``threads`` are "all", or how many."""
    environment = {} if threads == "all" else {"OMP_NUM_THREADS": threads}
    said = ("run", SKILL, "train", "--dataset", data, "--automl", "off", "--workspace", workspace / "workspace", *words)
    _, job = skillbank(*said, environment=environment)
    (path,) = Path(job["results_dir"]).rglob("metrics.csv")
    with path.open(newline="", encoding="utf-8") as file:
        return min(float(row["seconds"]) for row in csv.DictReader(file))


if __name__ == "__main__":
    raise SystemExit(main())
