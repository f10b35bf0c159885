"""The search that an agent guides: after the spec as given, every configuration is one that was queued."""

from __future__ import annotations

from collections.abc import Sequence

from runner.automl.space import Axis
from runner.automl.state import Leg, State
from runner.automl.strategies.base import Budget, Idle, Look, Proposal, Sampler, Setup, first_settings, idle


class Agent:
    """Waits for proposals until the budget is spent. ``sampler`` only answers those who ask what it would propose."""

    def __init__(self, setup: Setup, axes: Sequence[Axis], sampler: Sampler) -> None:
        self.setup, self.axes, self.sampler = setup, axes, sampler
        self.budget = Budget(setup)

    def next(self, state: State) -> Proposal | Idle:
        """The spec as given, then nothing: what was queued is taken before anybody asks here."""
        if not state.configs:
            return Proposal(first_settings(self.axes), self.budget.first(), origin="given")
        return "wait" if self.budget.begins(state, self.setup.max_epochs) else idle(state)

    def queued(self) -> Proposal:
        """Trained to the end."""
        return Proposal({}, epochs=self.setup.max_epochs, origin="queue")

    def stops(self, leg: Leg, before: int, epoch: int, look: Look) -> bool:
        """Only where the budget is smaller than a training."""
        return leg.epochs <= epoch < self.setup.max_epochs
