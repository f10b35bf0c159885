"""When a training should be judged, and how many go on: rules of stopping compared on trainings that were recorded whole.

    python bench/rungs.py --record DATA/natops [--trials 100] [--seed 31] [--recipe] --out FILE
    python bench/rungs.py FILE [FILE ...] [--orders 200]

The first trains random configurations to their end, as `skillbank run ... train --algorithm random --no-prune` does, and keeps
all their curves: the small ST-GCN of automl_jobs.py with TAO's settings, or with --recipe the default recipe with
joints alone. The second lets the bank's own search draw from them in many random orders, under each rule, with epochs for 20
whole trainings. A search is worth as many random whole trainings as one would need on average to find what it found; the table
has the geometric mean of that over all orders, after a third of the epochs and after all of them.

Files of one recording each are shown by themselves. A search that has seen all recorded trainings can find no more, so that
small recordings tell little of long searches.
"""

from __future__ import annotations

import argparse
import bisect
import json
import math
import random
import shutil
import statistics
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from accuracy import keep, of_set, skillbank
from automl import TRIALS
from automl_jobs import SETTINGS

from runner.automl import preview, state
from runner.automl.state import Leg, State
from runner.automl.strategies.base import Setup
from runner.automl.strategies.racing import Racing
from runner.automl.study import open_study
from runner.jobs import JobStore

Curve = list[float]  # the validation loss after each epoch; infinite where there is none
JOINTS = {"dataset.streams": ["joint"]}


class Rule(NamedTuple):
    """Judged after these shares of all epochs, one in ``factor`` goes on from each."""

    shares: tuple[float, ...]
    factor: int

    def ladder(self, epochs: int, step: int) -> tuple[int, ...]:
        """The epochs that are judged, put off to those that are validated, and the end."""
        return tuple(sorted({*(min(epochs, -(-math.ceil(epochs * s - 1e-9) // step) * step) for s in self.shares), epochs}))


RULES = {
    "none is stopped": Rule((), 3),
    "1/3, a third goes on": Rule((1 / 3,), 3),
    "1/9 and 1/3, a third": Rule((1 / 9, 1 / 3), 3),
    "1/27, 1/9 and 1/3, a third": Rule((1 / 27, 1 / 9, 1 / 3), 3),
    "1/4, a quarter": Rule((1 / 4,), 4),
    "1/9 and 1/3, a quarter": Rule((1 / 9, 1 / 3), 4),
    "1/16 and 1/4, a quarter": Rule((1 / 16, 1 / 4), 4),
    "1/8, 1/4 and 1/2, a half": Rule((1 / 8, 1 / 4, 1 / 2), 2),
    "1/5, a fifth": Rule((1 / 5,), 5),
    "1/25 and 1/5, a fifth": Rule((1 / 25, 1 / 5), 5),
}


class Drawn:
    """A sampler that gives one recorded training after the other."""

    def __init__(self, order: Sequence[int]) -> None:
        self.order = order

    def sample(self, _state: State, index: int) -> dict[str, Any] | None:
        """The next one; None when all were drawn."""
        return {"recorded": self.order[index]} if index < len(self.order) else None


def main() -> None:
    """Record, or compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", type=Path, nargs="*", metavar="FILE")
    parser.add_argument("--record", type=Path, metavar="DATA")
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--seed", type=int, default=31)
    parser.add_argument("--recipe", action="store_true", help="the default recipe with joints alone")
    parser.add_argument("--layout", help="of the set, where it does not say")
    parser.add_argument("--out", type=Path, default=Path("bench/curves.json"))
    parser.add_argument("--orders", type=int, default=200)
    options = parser.parse_args()
    if options.record:
        keep(options.out, record(options))
    for path in options.files:
        curves, step = read(path)
        print(f"{path.name}: {len(curves)} trainings of {len(curves[0])} epochs\n")
        print("| judged after, goes on | epochs | worth after a third | after all |\n|---|---|---|---|")
        for title, rule in RULES.items():
            ladder = rule.ladder(len(curves[0]), step)
            third, whole = worth(curves, ladder, rule.factor, options.orders)
            print(f"| {title} | {', '.join(map(str, ladder))} | {third:.1f} | {whole:.1f} |", flush=True)
        print()


def record(options: argparse.Namespace) -> dict[str, Any]:
    """Random configurations, trained whole: the values of each by epoch."""
    settings = {
        **(JOINTS if options.recipe else SETTINGS),
        **of_set(options.record, options.layout),
        "train.seed": options.seed,
    }
    words = [word for key, value in settings.items() for word in ("--set", f"{key}={json.dumps(value)}")]
    words += [] if options.recipe else ["--recipe", "none"]
    asked = ("--dataset", str(options.record), "--automl", "on", "--algorithm", "random", "--no-prune", "--workers", "1")
    folder = Path(tempfile.mkdtemp())
    try:
        done = skillbank("train", *asked, "--budget", f"trials={options.trials}", *words, workspace=folder, threads=1)
        if "unfit" in done:
            sys.exit(f"{options.record.name}: {done['unfit']}")
        opened = open_study(Path(JobStore(folder).read(done["job_id"])["automl"]["study"]))
        legs = state.read(opened.study, opened.setup.sign).legs
    finally:
        shutil.rmtree(folder)
    return {"epochs": opened.setup.max_epochs, "step": opened.setup.step, "reports": [leg.reports for leg in legs]}


def read(path: Path) -> tuple[list[Curve], int]:
    """The recorded curves, and how many epochs lie between two validations."""
    content = json.loads(path.read_text())

    def curve(reports: Mapping[str, float]) -> Curve:
        values = [reports.get(str(epoch + 1)) for epoch in range(content["epochs"])]
        return [math.inf if value is None or math.isnan(value) else value for value in values]

    return [curve(reports) for reports in content["reports"]], content["step"]


def worth(curves: Sequence[Curve], ladder: tuple[int, ...], factor: int, orders: int) -> tuple[float, float]:
    """How many random whole trainings searches under a rule are worth, after a third of the epochs and after all."""
    finals = sorted(min(curve) for curve in curves)
    limit = TRIALS * len(curves[0])
    found: tuple[list[float], list[float]] = ([], [])
    for seed in range(orders):
        order = list(range(1, len(curves)))
        random.Random(seed).shuffle(order)
        trace = searched(curves, [0, *order], ladder, factor, limit)
        for values, epochs in zip(found, (limit // 3, limit), strict=True):
            best = min((value for spent, value in trace if spent <= epochs), default=math.inf)
            values.append(math.log((len(finals) + 1) / (bisect.bisect_right(finals, best) + 0.5)))
    third, whole = (math.exp(statistics.mean(values)) for values in found)
    return third, whole


def searched(
    curves: Sequence[Curve], order: Sequence[int], ladder: tuple[int, ...], factor: int, limit: int
) -> list[tuple[int, float]]:
    """One search: after how many epochs which training ended, and its best value."""
    setup = Setup("random", "val_loss", "minimize", [], ladder[-1], 0, epochs=limit, factor=factor)
    strategy = Racing(setup, [], Drawn(order), ladder)
    legs: list[Leg] = []
    trace: list[tuple[int, float]] = []
    spent = 0

    def look() -> State:
        return state.derive(legs, 1)

    while not isinstance(decided := strategy.next(look()), str):
        leg = preview.made_up(len(legs), decided)
        leg = leg._replace(settings=decided.settings or {"recorded": order[0]})  # the spec as given is the first one recorded
        legs.append(leg)
        before = done = 0 if decided.start is None else max(legs[decided.start].reports)
        curve, ended = curves[leg.settings["recorded"]], "complete"
        for epoch in (rung for rung in ladder if rung > done):
            leg.reports[epoch] = min(curve[:epoch])
            if not math.isfinite(leg.reports[epoch]):
                ended = "failed"
            elif strategy.stops(leg, before, epoch, look):
                ended = "stopped"
            before = epoch
            if ended != "complete":
                break
        spent += before - done
        result = {"value": min(curve)} if ended == "complete" else {}
        legs[leg.number] = leg._replace(state=ended, result=result)
        if result:
            trace.append((spent, result["value"]))
    return trace


if __name__ == "__main__":
    main()
