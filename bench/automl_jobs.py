"""The search of bench/automl.py on the real trainer: jobs of `skillbank run ... train --automl on`, against the other tool.

    python bench/automl_jobs.py DATA/natops --peer PYTHON [--seeds 1,2,3] [--names bayesian,random,peer] [--out FILE]

What is trained is ST-GCN with the settings of TAO, 16 channels wide and four blocks deep, and what is searched is what TAO
searches: eight settings of the schema, in the same ranges for all. Every search may spend as many epochs as twenty whole
trainings have. Ours are jobs as a user starts them, with one worker, and are read from their studies; the other tool proposes
settings over a pipe, as in bench/automl.py, and each is trained to its end by a warm worker. A training counts when it has
ended. Results are kept in --out by set, name and seed, and what is there is not run again.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from accuracy import SKILL, keep, of_set, skillbank
from automl import EPOCHS, TRIALS, Trace, proposals

from runner import backend, bank, plan
from runner import spec as specs
from runner.automl import state
from runner.automl.study import open_study
from runner.jobs import JobStore

WHOLE = EPOCHS * TRIALS
SETTINGS = {
    "train.num_epochs": EPOCHS,
    "train.optim.lr_scheduler": "AutoReduce",
    "model.width": 16,
    "model.stages": [2, 2],
    "dataset.random_choose": True,
    "dataset.num_workers": 0,
}
ASKED = {
    "bayesian": ("--budget", f"epochs={WHOLE}"),
    "bfbo": ("--algorithm", "bfbo", "--budget", f"epochs={WHOLE}"),
    "random": ("--algorithm", "random", "--no-prune", "--budget", f"trials={TRIALS}"),
}
TITLES = {
    "bayesian": "bayesian, the default",
    "bfbo": "bfbo, a Gaussian process",
    "random": "random search, no pruning",
    "peer": "peer bayesian, our ranges",
    "peer_log": "peer bayesian, log axes",
}


def main() -> None:
    """Fill in what is missing, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, metavar="DATA")
    parser.add_argument("--peer", type=Path, metavar="PYTHON", help="the python of the other tool's environment")
    parser.add_argument("--names", default="peer,peer_log,random,bayesian", help="what is measured; the first is the yardstick")
    parser.add_argument("--seeds", default="1,2,3")
    parser.add_argument("--layout", help="of the set, where it does not say")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("bench/automl_jobs.json"), help="where results are kept")
    options = parser.parse_args()
    names = options.names.split(",")
    if unknown := [name for name in names if name not in TITLES]:
        sys.exit(f"no such search: {', '.join(unknown)}; there are {', '.join(TITLES)}")
    if options.peer is None and (left := [name for name in names if name.startswith("peer")]):
        print("The other tool was not measured: no --peer PYTHON.")
        names = [name for name in names if name not in left]
    found: dict[str, Any] = json.loads(options.out.read_text()) if options.out.exists() else {}
    seeds = [int(seed) for seed in options.seeds.split(",")]
    for seed in seeds:
        for name in names:
            key = f"{options.data.name}/{name}/{seed}"
            if key not in found:
                with tempfile.TemporaryDirectory() as folder:
                    found[key] = search(name, seed, options, Path(folder))
                keep(options.out, found)
                print(f"{key}: {best(found[key], WHOLE):.4f} after {found[key][-1][0]} epochs", file=sys.stderr, flush=True)
    show({name: [found[f"{options.data.name}/{name}/{seed}"] for seed in seeds] for name in names})


def search(name: str, seed: int, options: argparse.Namespace, folder: Path) -> Trace:
    """One search of one seed."""
    settings = {**SETTINGS, **of_set(options.data, options.layout), "train.seed": seed}
    if name in ASKED:
        return ours(ASKED[name], settings, options, folder)
    return peer(name == "peer_log", seed, settings, options, folder)


def ours(words: Iterable[str], settings: dict[str, Any], options: argparse.Namespace, folder: Path) -> Trace:
    """A job as a user starts it, read from its study."""
    given = [word for key, value in settings.items() for word in ("--set", f"{key}={json.dumps(value)}")]
    asked = ("--dataset", str(options.data), "--recipe", "none", "--automl", "on", "--workers", "1", *words, *given)
    data = skillbank("train", *asked, workspace=folder, threads=options.threads)
    opened = open_study(Path(JobStore(folder).read(data["job_id"])["automl"]["study"]))
    trace, spent, lowest = Trace(), 0, math.inf
    for leg in state.read(opened.study, opened.setup.sign).legs:
        spent += len(leg.reports)
        if leg.state == "complete":
            lowest = min(lowest, leg.result["value"])
            trace.append((spent, lowest))
    return trace


def peer(log: bool, seed: int, settings: dict[str, Any], options: argparse.Namespace, folder: Path) -> Trace:
    """The proposals of the other tool, each trained to its end."""
    overrides = tuple(f"{key}={json.dumps(value)}" for key, value in settings.items())
    asked = plan.Request(folder, SKILL, "train", dataset=str(options.data), automl="on", recipe="none", overrides=overrides)
    made = plan.make(asked)
    space = (made.search or {})["space"]
    ranges = {one["key"]: {"low": one["low"], "high": one["high"], "log": one["scale"] == "log" and log} for one in space}
    given = {one["key"]: one["default"] for one in space}
    environment = {**bank.get(SKILL).action("train").environment, "OMP_NUM_THREADS": str(options.threads)}
    trace, spent, lowest = Trace(), 0, math.inf
    with backend.Worker(environment) as worker:
        for number, (proposed, answer) in enumerate(proposals(options.peer, seed, ranges, given)):
            spec = specs.merge(made.spec, {})
            for key, value in {**proposed, "results_dir": str(folder / f"{number}")}.items():
                specs.set_(spec, key, value)
            value = trained(worker, spec, folder / f"{number}")
            spent += EPOCHS
            lowest = min(lowest, math.inf if value is None else value)
            trace.append((spent, lowest))
            answer(value)
    return trace


def trained(worker: backend.Worker, spec: dict[str, Any], folder: Path) -> float | None:
    """The validation loss that a training came to; None where it diverged."""
    from runner.errors import JobFailed

    specs.set_(spec, "train.results_dir", str(folder / "train"))
    folder.mkdir(parents=True)
    try:
        outcome = worker.run("stgcn.train:run", spec, log=folder / "job.log", outcome=folder / "outcome.json")
    except JobFailed:
        return None
    value = outcome.metrics.get("val_loss")
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def best(trace: Trace, epochs: float) -> float:
    """The best value after so many epochs."""
    return min((value for spent, value in trace if spent <= epochs), default=math.inf)


def reached(trace: Trace, value: float) -> float:
    """The share of all epochs after which the value is reached; infinite where it never is."""
    return next((spent / WHOLE for spent, found in trace if found <= value), math.inf)


def show(found: dict[str, list[Trace]]) -> None:
    """The table: every seed, and their median."""
    yardstick = next(iter(found))
    print(f"val_loss after a third of {WHOLE} epochs and after all, median (each seed)")
    print(f"share: of all epochs, until the final result of {yardstick!r}\n")
    for name, traces in found.items():
        thirds, wholes = ([best(trace, WHOLE / part) for trace in traces] for part in (3, 1))
        shares = [reached(trace, best(base, WHOLE)) for trace, base in zip(traces, found[yardstick], strict=True)]
        cells = [
            f"{title} {statistics.median(values):.3f} ({', '.join(f'{value:.3f}' for value in values)})"
            for title, values in (("a third", thirds), ("all", wholes), ("share", shares))
        ]
        print(f"{TITLES[name]:28}{'   '.join(cells)}")


if __name__ == "__main__":
    os.environ.setdefault("PYTHONWARNINGS", "ignore")
    main()
