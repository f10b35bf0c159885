"""What a search will do, before it does: its first recommendations, and the epochs that it may come to. Trains nothing.

The search's own strategy decides, from states that are made up here. Imports no Optuna: until something was judged, every
algorithm draws by itself, so that what is shown is what will run.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, NamedTuple

from runner.automl import rungs, state
from runner.automl.space import make_axes
from runner.automl.state import Leg, State
from runner.automl.strategies import Proposal, Setup, Strategy, make, startup
from runner.automl.strategies.racing import Racing
from runner.budget import ROUNDS
from runner.schema import Parameter

MOST = 10  # recommendations shown
SIMULATED = 60  # configurations; the cost of more is in proportion
SEEDS = range(3)
MODELS = ("bayesian", "bfbo", "bohb")  # ask a model once enough was judged
BLIND = {"bayesian": "random", "bfbo": "random", "bohb": "hyperband"}  # of the same cost, and without a model
Adjust = Callable[[dict[str, Any]], tuple[dict[str, Any], list[str]]]


class First(NamedTuple):
    """A recommendation that is certain."""

    number: int
    settings: dict[str, Any]
    epochs: int  # where it is judged, or ends
    origin: str
    adjustments: list[str]


def first(setup: Setup, workers: int, adjust: Adjust | None = None) -> list[First]:
    """The recommendations that depend on no result, in the order in which they are begun; ten at most.

    An algorithm with a model draws its first ones, and those that all workers begin with, before anything is judged.
    """
    known = 1 if setup.algorithm == "agent" else max(startup(setup), workers) if setup.algorithm in MODELS else MOST
    strategy, legs = _strategy(setup), list[Leg]()
    found = list[First]()
    while len(found) < min(known, MOST):
        decided = strategy.next(state.derive(legs, setup.sign))
        if isinstance(decided, str) or (setup.algorithm == "dehb" and decided.bracket):  # its later brackets are children
            break
        settings, changes = dict(decided.settings), list[str]()
        if adjust and decided.origin != "given":
            settings, changes = adjust(settings)
        legs.append(made_up(len(legs), decided._replace(settings=settings)))
        found.append(First(legs[-1].number, settings, decided.epochs, decided.origin, changes))
    return found


def judged(setup: Setup) -> list[int]:
    """The epochs after which a training ends that is not among the best third of all that came as far; none: no race is run."""
    strategy = _strategy(setup)
    return list(strategy.ladder[:-1]) if isinstance(strategy, Racing) else []


def cost(setup: Setup) -> tuple[int, int] | None:
    """The least and the most epochs of simulated searches of this kind; None where neither trials nor epochs end it.

    In these a training's curve falls to a level of its own; how many are stopped depends on chance alone.
    """
    if setup.trials is None and setup.epochs is None and setup.algorithm not in ROUNDS:
        return None
    if setup.trials is None and setup.epochs is not None:
        return setup.epochs, setup.epochs
    if setup.algorithm == "agent" or (setup.algorithm in ("bayesian", "bfbo", "random") and not setup.prune):
        whole = (setup.trials or 0) * setup.max_epochs
        return (min(whole, setup.epochs or whole),) * 2
    trials = min(setup.trials, SIMULATED) if setup.trials else None
    small = setup._replace(algorithm=BLIND.get(setup.algorithm, setup.algorithm), trials=trials)
    share = (setup.trials or 1) / (trials or 1)
    spent = [round(_simulated(small, seed) * share) for seed in SEEDS]
    most = setup.epochs or max(spent)
    return min(*spent, most), min(max(spent), most)


def _strategy(setup: Setup) -> Strategy:
    space = [Parameter(**{**one, "choices": tuple(one["choices"]), "weights": tuple(one["weights"])}) for one in setup.space]
    return make(setup, make_axes(space))


def _simulated(setup: Setup, seed: int) -> int:
    """The epochs of one search whose trainings are made up."""
    strategy, source, legs = _strategy(setup), random.Random(seed), list[Leg]()
    level: dict[int, float] = {}
    judged = set(rungs.rungs(setup.max_epochs, setup.min_epochs or 1, setup.factor, setup.step))

    def look() -> State:
        return state.derive(legs, setup.sign)

    while not isinstance(decided := strategy.next(look()), str):
        leg = made_up(len(legs), decided)
        legs.append(leg)
        final = level.setdefault(leg.config, source.random())
        done = 0 if decided.start is None else max(legs[decided.start].reports, default=0)
        result: dict[str, Any] = {"state": "complete"}
        before = done
        for epoch in sorted(e for e in {*judged, leg.epochs} if done < e <= leg.epochs):
            leg.reports[epoch] = setup.sign * (final + 1 / epoch + 0.1 * source.random())
            if strategy.stops(leg, before, epoch, look):
                result = {"state": "stopped"}
                break
            before = epoch
        if result["state"] == "complete":
            result["value"] = setup.sign * min(setup.sign * value for value in leg.reports.values())
        legs[leg.number] = leg._replace(state=result["state"], result=result)
    return look().totals()["epochs"]


def made_up(number: int, decided: Proposal) -> Leg:
    """The leg of a decision, under way, that no study holds."""
    return Leg(
        number=number,
        config=number if decided.config is None else decided.config,
        state="running",
        settings=decided.settings,
        epochs=decided.epochs,
        start=decided.start,
        again=None,
        rung=decided.rung,
        bracket=decided.bracket,
        slot=decided.slot,
        origin=decided.origin,
        key=f"#{number}",
        job_id=None,
        owner=None,
        reports={},
        result={},
    )
