"""Searches that start one configuration after the other and stop those that fall behind: bayesian, bfbo, random and asha.

A training is judged at each rung against all that came as far: outside the best third it ends with a checkpoint, and goes on
from there as soon as it is among them, because others did worse. Nothing waits for anything, so any number of workers is used
(Li et al. 2020, "A system for massively parallel hyperparameter tuning").
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from runner.automl.space import Axis
from runner.automl.state import Config, Leg, State
from runner.automl.strategies.base import Budget, Idle, Look, Proposal, Sampler, Setup, first_settings, idle, order


class Racing:
    """``ladder`` holds the epochs of the rungs; one of them alone trains every configuration to the end.

    With ``baseline`` the first configuration, the spec as given, is trained to the end whatever it does, so that there is
    something to compare with.
    """

    def __init__(
        self, setup: Setup, axes: Sequence[Axis], sampler: Sampler, ladder: Sequence[int], *, baseline: bool = True
    ) -> None:
        self.setup, self.axes, self.sampler, self.ladder = setup, axes, sampler, tuple(ladder)
        self.baseline, self.budget = baseline, Budget(setup, self.ladder, baseline)

    def next(self, state: State) -> Proposal | Idle:
        """A promotion if there is one, else a new configuration while the budget lasts, else the finish."""
        promotion = self._promote(state, at_least=0)
        if promotion:
            return promotion
        begun = self._begin(state)
        if begun:
            return begun
        if idle(state) == "wait":
            return "wait"
        return self._promote(state, at_least=1) or "done"

    def queued(self) -> Proposal:
        """A configuration from outside runs as any other."""
        return Proposal({}, epochs=self.setup.max_epochs, origin="queue")

    def stops(self, leg: Leg, before: int, epoch: int, look: Look) -> bool:
        """Whether the configuration has just come to a rung and is not among the best there."""
        if epoch >= leg.epochs:
            return leg.epochs < self.setup.max_epochs
        if leg.origin == "given" and self.baseline:
            return False
        for rung, epochs in enumerate(self.ladder[:-1]):
            if before < epochs <= epoch:
                state = look()
                if leg.config not in self._promotable(state, rung, 0) or not self.budget.fits(state, 0):
                    return True
        return False

    def _begin(self, state: State) -> Proposal | None:
        index = len(state.configs)
        given = index == 0
        if not self.budget.begins(state, self.setup.max_epochs if given and self.baseline else self.ladder[0]):
            return None
        settings: dict[str, Any] | None = first_settings(self.axes) if given else self.sampler.sample(state, index)
        if settings is None:
            return None
        epochs = self.budget.first() if given else self.setup.max_epochs
        return Proposal(settings, epochs, origin="given" if given else "sampler")

    def _promote(self, state: State, at_least: int) -> Proposal | None:
        """A stopped configuration that is among the best of its rung by now, from the highest rung down."""
        for rung in range(len(self.ladder) - 2, -1, -1):
            best = self._promotable(state, rung, at_least)
            for config in state.configs:
                rested = config.number in best and config.state == "stopped" and self._rung(config) == rung
                if rested and self.budget.fits(state, self.ladder[rung + 1] - config.epochs):
                    return Proposal(
                        config.settings, self.setup.max_epochs, rung + 1, config=config.number, start=config.last.number
                    )
        return None

    def _promotable(self, state: State, rung: int, at_least: int) -> set[int]:
        """Numbers of the best 1/factor of all that came to a rung; those that failed there came to it, too."""
        reached = order(state, state.configs, self.ladder[rung])
        failed = sum(config.state == "failed" for config in state.configs)
        places = max(at_least, (len(reached) + failed) // self.setup.factor)
        return {config.number for config, _ in reached[:places]}

    def _rung(self, config: Config) -> int:
        """The highest rung it came to, -1 for none."""
        return sum(config.epochs >= epochs for epochs in self.ladder) - 1
