"""The search algorithms by name. A strategy sees the state of a search and names the next leg; it runs nothing.

``bayesian``, ``bfbo``, ``random`` and ``asha`` start one configuration after the other and stop those that fall behind;
``hyperband``, ``bohb`` and ``dehb`` go by brackets; ``agent`` trains what is queued.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from runner.automl import rungs
from runner.automl.space import Axis
from runner.automl.strategies.agent import Agent
from runner.automl.strategies.bands import Bands
from runner.automl.strategies.base import Proposal, Setup, Strategy
from runner.automl.strategies.dehb import Dehb
from runner.automl.strategies.racing import Racing
from runner.automl.strategies.samplers import Gp, Model, Random, Shares, Tpe, gp_is_there
from runner.errors import UsageError

__all__ = ["ALGORITHMS", "Proposal", "Setup", "Strategy", "canonical", "check", "make", "needs_control"]


class Algorithm(NamedTuple):
    """What a name stands for. ``fidelities``: it cannot do without stopping and continuing trainings."""

    does: str
    fidelities: bool


ALGORITHMS = {
    "bayesian": Algorithm(
        "TPE and neighbours of the best; stops trainings that fall behind and continues those that catch up", False
    ),
    "bfbo": Algorithm(
        "a Gaussian process and neighbours of the best; stops and continues as bayesian does; needs scipy", False
    ),
    "random": Algorithm("every setting at random; stops and continues as bayesian does", False),
    "asha": Algorithm("random configurations, asynchronous successive halving", True),
    "hyperband": Algorithm("random configurations, successive halving in brackets", True),
    "bohb": Algorithm("hyperband whose configurations come from TPE, a third of them at random", True),
    "dehb": Algorithm("hyperband whose configurations come from differential evolution", True),
    "agent": Algorithm("the calling agent queues configurations, the bank trains them", False),
}
# Measured by bench/automl.py: with fewer than six a ranking is that of the first ones trained whole, the given spec among
# them; later starts and other shares of neighbours were worse or no better.
STARTUP, ENOUGH, NEAR = 5, 6, Shares(near=1 / 3)
SHORT = {"b": "bayesian", "h": "hyperband"}
ELSEWHERE = {
    "pbt": ("asha", "it changes settings within a training, and a result could not be repeated by one spec"),
    "hyperband_es": ("bayesian", "its extra threshold is what bayesian's pruning does at every rung"),
    "hes": ("bayesian", "its extra threshold is what bayesian's pruning does at every rung"),
    "llm": ("agent", "the bank asks no language model; the calling agent proposes"),
    "hybrid": ("agent", "the bank asks no language model; the calling agent proposes"),
    "autoresearch": ("agent", "the bank asks no language model; the calling agent proposes"),
}


def canonical(name: str) -> str:
    """The algorithm's full name.

    Raises:
        UsageError: it is unknown, is not done here (with the nearest one that is), or lacks what it needs.
    """
    found = SHORT.get(name.lower(), name.lower())
    if found in ELSEWHERE:
        nearest, why = ELSEWHERE[found]
        raise UsageError(f"the algorithm {name} is not offered: {why}.", hint=f"Nearest: {nearest}.")
    if found not in ALGORITHMS:
        raise UsageError(f"the algorithm {name} is unknown; allowed: {', '.join(ALGORITHMS)}; short: b, h.")
    if found == "bfbo" and not gp_is_there():
        raise UsageError(
            "bfbo needs scipy, which is not installed.", hint="pip install 'tao-skill-bank[gp]', or take bayesian."
        )
    return found


def needs_control(setup: Setup) -> bool:
    """Whether the search stops trainings, which the entrypoint has to allow."""
    return ALGORITHMS[setup.algorithm].fidelities or (setup.prune and setup.algorithm != "agent")


def check(setup: Setup) -> None:
    """See that the knobs can be used together.

    Raises:
        UsageError: everything that is wrong with them, at once.
    """
    least = setup.min_epochs or 1
    rules = {
        f"max_epochs: {setup.max_epochs}; allowed: 1 or more": setup.max_epochs >= 1,
        f"min_epochs: {setup.min_epochs}; allowed: 1 to max_epochs ({setup.max_epochs})": 1
        <= least
        <= max(1, setup.max_epochs),
        f"reduction_factor: {setup.factor}; allowed: 2 or more": setup.factor >= 2,
        f"validation interval: {setup.step}; allowed: 1 or more": setup.step >= 1,
        f"trials: {setup.trials}; allowed: 1 or more": setup.trials is None or setup.trials >= 1,
        f"epochs: {setup.epochs}; allowed: 1 or more": setup.epochs is None or setup.epochs >= 1,
    }
    problems = [words for words, kept in rules.items() if not kept]
    if problems:
        raise UsageError("the search cannot be made:", problems=problems)


def make(setup: Setup, axes: Sequence[Axis]) -> Strategy:
    """The strategy that the setup asks for."""
    name = canonical(setup.algorithm)
    check(setup)
    low = setup.min_epochs or 1
    ladder = rungs.rungs(setup.max_epochs, low, setup.factor, setup.step)
    shapes = rungs.brackets(setup.max_epochs, low, setup.factor, setup.step)
    if name == "agent":
        return Agent(setup, axes, tpe(setup, axes, ladder))
    if name == "hyperband":
        return Bands(setup, axes, Random(setup, axes), shapes)
    if name == "bohb":
        return Bands(setup, axes, tpe(setup, axes, ladder, Shares(random=1 / 3)), shapes)
    if name == "dehb":
        return Dehb(setup, axes, Random(setup, axes), shapes)
    if name == "asha":
        return Racing(setup, axes, Random(setup, axes), ladder, baseline=False)
    if not setup.prune:
        ladder = ladder[-1:]
    elif setup.min_epochs is None:
        # From a ninth of the epochs on, or from a third: before, the order says little of the last one.
        ladder = ladder[-2:] if setup.late else ladder[-3:]
    if name == "random":
        return Racing(setup, axes, Random(setup, axes), ladder)
    if name == "bfbo":
        return Racing(setup, axes, Gp(setup, axes, ladder, startup=startup(setup), enough=ENOUGH, shares=NEAR), ladder)
    return Racing(setup, axes, tpe(setup, axes, ladder), ladder)


def startup(setup: Setup) -> int:
    """How many configurations are judged before a model proposes."""
    return max(3, min(STARTUP, (setup.trials or 4 * STARTUP) // 4))


def tpe(setup: Setup, axes: Sequence[Axis], ladder: Sequence[int], shares: Shares = NEAR) -> Model:
    """TPE as the algorithms here use it."""
    return Tpe(setup, axes, ladder, startup=startup(setup), enough=ENOUGH, shares=shares)
