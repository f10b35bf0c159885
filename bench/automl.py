"""Best validation loss against epochs spent: the bank's algorithms, random search, and the bayesian search of another tool.

The objective is the small real training of automl_task.py. `--peer PYTHON` names the python of a virtual environment that holds
nvidia-tao-automl 7.2.0 (`pip install --no-deps nvidia-tao-automl==7.2.0`, then numpy, scipy, scikit-learn and what its import
asks for); its own class is driven over a pipe. Only trainings that ended count, for everybody, and they count when they end.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import optuna
from automl_task import DEFAULTS, FRAMES, Task, Training

from runner import bank
from runner.automl.driver import Result, Search
from runner.automl.strategies import Setup
from runner.schema import Parameter

EPOCHS, TRIALS = 27, 20
Trace = list[tuple[int, float]]  # epochs spent, best value of the trainings that ended


class Run(NamedTuple):
    """One search of one seed."""

    trace: Trace
    spent: int
    trials: int

    def best(self, epochs: int) -> float:
        """The best value after so many epochs."""
        return min((value for spent, value in self.trace if spent <= epochs), default=float("inf"))

    def reaches(self, value: float) -> int | None:
        """The epochs after which the value is reached."""
        return next((spent for spent, found in self.trace if found <= value), None)


def main() -> int:
    """Measure and print the table; 1 when the default misses its goal."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=12, help="a multiple of three shares the units of the data evenly")
    parser.add_argument("--peer", type=Path, metavar="PYTHON", help="the python of the other tool's environment")
    parser.add_argument("--only", nargs="*", metavar="NAME", help="algorithms to measure (default: all)")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the figures as JSON")
    options = parser.parse_args()
    began, seeds = time.monotonic(), range(options.seeds)
    whole = EPOCHS * TRIALS
    runs: dict[str, list[Run]] = {}
    if options.peer:
        for name, log in (("peer bayesian, our ranges", False), ("peer bayesian, log axes", True)):
            runs[name] = [peer(options.peer, seed, log) for seed in seeds]
    else:
        print("The other tool was not measured: no --peer PYTHON.")
    runs["random search, no pruning"] = [ours(seed, "random", trials=TRIALS, prune=False) for seed in seeds]
    for name in options.only or ("bayesian", "bfbo", "random", "asha", "hyperband", "bohb", "dehb"):
        runs[name] = [ours(seed, name, epochs=whole) for seed in seeds]
    runs[f"bayesian, {TRIALS} trials"] = [ours(seed, "bayesian", trials=TRIALS) for seed in seeds]
    against = next(iter(runs))
    figures = {name: figure(found, runs[against], whole) for name, found in runs.items()}
    show(figures, against, whole)
    print(f"{options.seeds} seeds, {time.monotonic() - began:.0f} s")
    if options.out:
        options.out.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    missed = options.peer is not None and "bayesian" in figures and figures["bayesian"]["share of medians"] > 1 / 3
    return 1 if missed else 0


def space() -> list[Parameter]:
    """The eight default parameters of the skill's train schema; the window is that of the task's twenty frames."""
    schema = bank.get("tao-train-pose-classification").schema("train")
    spec = schema.defaults()
    spec["train"]["optim"]["lr_scheduler"], spec["dataset"]["random_choose"] = "AutoReduce", True
    spec["dataset"]["window_size"] = FRAMES
    found, _ = schema.search_space(spec)
    return [p._replace(low=6, high=FRAMES) if p.key == "dataset.window_size" else p for p in found]


def ours(seed: int, name: str, **settings: Any) -> Run:
    """One search of the bank on the data of the seed."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    parameters = [parameter._asdict() for parameter in space()]
    setup = Setup(name, "val_loss", "minimize", parameters, EPOCHS, seed, **settings)
    search, task = Search(optuna.create_study(), setup), Task(seed)
    kept: dict[int, Training] = {}
    spent, trace, best = 0, Trace(), float("inf")
    while (leg := search.ask()) is not None:
        training = kept.get(leg.config) or Training(task, leg.settings, leg.config)
        done = next(config.epochs for config in search.state().configs if config.number == leg.config)
        lowest = float("inf")
        for epoch in range(done + 1, EPOCHS + 1):
            value = training.epoch()
            spent, lowest = spent + 1, min(lowest, value)
            if search.report(leg, epoch, value):
                break
        kept[leg.config] = training
        earlier = [config.at(done, 1) or lowest for config in search.state().configs if config.number == leg.config and done]
        ended = search.tell(leg, Result(value=min([lowest, *earlier])))
        if ended.state == "complete":
            best = min(best, ended.result["value"])
            trace.append((spent, best))
    return Run(trace, spent, len(search.state().configs))


def peer(python: Path, seed: int, log: bool) -> Run:
    """One search of the other tool, whose process proposes settings and reads values."""
    task, spent, trace, best = Task(seed), 0, Trace(), float("inf")
    ranges = {p.key: {"low": p.low, "high": p.high, "log": p.scale == "log" and log} for p in space()}
    for count, (settings, answer) in enumerate(proposals(python, seed, ranges)):
        training = Training(task, settings, count)
        values = [training.epoch() for _ in range(EPOCHS)]
        value = min((v for v in values if math.isfinite(v)), default=None)
        spent += EPOCHS
        best = best if value is None else min(best, value)
        trace.append((spent, best))
        answer(value)
    return Run(trace, spent, len(trace))


def proposals(
    python: Path, seed: int, ranges: dict[str, Any], given: dict[str, Any] = DEFAULTS
) -> Iterator[tuple[dict[str, Any], Callable[[float | None], None]]]:
    """Settings as the other tool proposes them, each with the way to answer."""
    driver = Path(__file__).with_name("automl_peer.py")
    with tempfile.TemporaryDirectory() as folder:
        words = [str(python), str(driver), folder, str(seed), str(TRIALS), json.dumps(ranges), json.dumps(given)]
        environment = {**os.environ, "PYTHONHASHSEED": "0", "OMP_NUM_THREADS": "1"}
        with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment) as process:
            assert process.stdin
            assert process.stdout
            write, flush = process.stdin.write, process.stdin.flush

            def answer(value: float | None) -> None:
                write(json.dumps(value) + "\n")
                flush()

            for line in process.stdout:
                yield json.loads(line), answer
        if process.returncode:
            sys.exit("the other tool's process failed")


def figure(runs: list[Run], against: list[Run], whole: int) -> dict[str, Any]:
    """Median and worst over the seeds after a third and after all epochs, and the epochs to the first row's final result."""
    finals = [one.best(whole) for one in against]
    reached = [run.reaches(final) for run, final in zip(runs, finals, strict=True)]
    shares = [epochs / whole if epochs is not None else float("inf") for epochs in reached]
    return {
        "trials": statistics.median(run.trials for run in runs),
        "epochs": statistics.median(run.spent for run in runs),
        **{
            f"{words} after {name}": by([run.best(epochs) for run in runs])
            for name, epochs in (("a third", whole // 3), ("all", whole))
            for words, by in (("median", statistics.median), ("worst", max))
        },
        "share of medians": share(runs, statistics.median(finals), whole),
        "median share": statistics.median(shares),
        "reached": sum(epochs is not None for epochs in reached),
    }


def share(runs: list[Run], goal: float, whole: int) -> float:
    """The part of all epochs after which the median over the seeds is as good as ``goal``."""
    steps = (epochs for epochs in range(EPOCHS, whole + 1, 9) if statistics.median(run.best(epochs) for run in runs) <= goal)
    return next(steps, math.inf) / whole


def show(figures: dict[str, dict[str, Any]], against: str, whole: int) -> None:
    """The table."""
    print(f"val_loss after a third of the epochs ({whole // 3}) and after all ({whole})")
    print(f"share: epochs to the final result of {against!r}, of all: by the medians, by the seeds (median, how many)\n")
    head = ("", "trials", "epochs", "third median", "worst", "all median", "worst", "share medians", "seeds", "reached")
    print("{:28}{:>7}{:>7}{:>14}{:>8}{:>12}{:>8}{:>15}{:>7}{:>9}".format(*head))
    for name, row in figures.items():
        trials, epochs, *values, medians, median, reached = row.values()
        print(
            f"{name:28}{trials:>7.0f}{epochs:>7.0f}{values[0]:>14.3f}{values[1]:>8.3f}{values[2]:>12.3f}{values[3]:>8.3f}"
            f"{medians:>15.2f}{median:>7.2f}{reached:>9}"
        )


if __name__ == "__main__":
    sys.exit(main())
