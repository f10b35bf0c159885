"""Searches in brackets that are judged rung by rung: hyperband and bohb. A rung ends when all its trainings have ended.

Brackets follow one another, the one with most configurations first; with a budget they come round again, and the last is cut
short. While a rung waits for its last training the next bracket is begun, so that no worker is idle.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from runner.automl.rungs import Bracket
from runner.automl.space import Axis
from runner.automl.state import Config, Leg, State
from runner.automl.strategies.base import Budget, Idle, Look, Proposal, Sampler, Setup, first_settings, idle, order


class Bands:
    """``shapes`` are the brackets of one round; ``sampler`` proposes their configurations."""

    def __init__(self, setup: Setup, axes: Sequence[Axis], sampler: Sampler, shapes: Sequence[Bracket]) -> None:
        self.setup, self.axes, self.sampler, self.shapes = setup, axes, sampler, list(shapes)
        self.budget = Budget(setup)
        self.endless = setup.trials is not None or setup.epochs is not None

    def next(self, state: State) -> Proposal | Idle:
        """The first bracket that has something to train says what."""
        begun = 1 + max((config.bracket for config in state.configs if config.bracket is not None), default=-1)
        for number in range(begun):
            found = self._within(state, number)
            if found:
                return found
        if begun < len(self.shapes) or self.endless:
            found = self._begin(state, begun)
            if found:
                return found
        return idle(state) if idle(state) == "wait" else self._finish(state) or "done"

    def queued(self) -> Proposal:
        """A configuration from outside belongs to no bracket and is trained to the end."""
        return Proposal({}, epochs=self.setup.max_epochs, rung=len(self.shapes[0].epochs) - 1, origin="queue")

    def stops(self, leg: Leg, before: int, epoch: int, look: Look) -> bool:
        """At the end of its rung; what comes then is decided when the whole rung is there."""
        return leg.epochs <= epoch < self.setup.max_epochs

    def shape(self, number: int) -> Bracket:
        """The bracket number ``number`` of all, round after round."""
        return self.shapes[number % len(self.shapes)]

    def _within(self, state: State, number: int) -> Proposal | None:
        """What a bracket begun before has to train now."""
        shape, members = self.shape(number), [config for config in state.configs if config.bracket == number]
        if len(members) < shape.counts[0]:
            found = self._begin(state, number)
            if found:
                return found
        for rung in range(len(shape.epochs) - 1):
            here = [config for config in members if config.rung >= rung]
            if any(config.busy and config.rung == rung for config in here):
                return None
            places = self._places(shape, rung, len(members))
            for config, _ in order(state, here, shape.epochs[rung])[:places]:
                cost = shape.epochs[rung + 1] - config.epochs
                if config.rung == rung and config.state == "stopped" and self.budget.fits(state, cost):
                    return self._promotion(config, shape.epochs[rung + 1], number)
        return None

    def _places(self, shape: Bracket, rung: int, members: int) -> int:
        """How many go on from a rung: the bracket's number, or fewer when it was begun with fewer."""
        part: int = self.setup.factor ** (rung + 1)
        return max(1, min(shape.counts[rung + 1], members // part))

    def _begin(self, state: State, number: int) -> Proposal | None:
        shape, index = self.shape(number), len(state.configs)
        if not self.budget.begins(state, shape.epochs[0]):
            return None
        settings: dict[str, Any] | None = self.sampler.sample(state, index) if index else first_settings(self.axes)
        if settings is None:
            return None
        epochs = min(shape.epochs[0], self.budget.first())
        return Proposal(settings, epochs, bracket=number, origin="sampler" if index else "given")

    def _promotion(self, config: Config, epochs: int, number: int | None) -> Proposal:
        slots = config.slot
        return Proposal(config.settings, epochs, config.rung + 1, number, slots, config.number, config.last.number)

    def _finish(self, state: State) -> Proposal | None:
        """When the budget left no bracket whole: the best of those that came furthest is trained to the end."""
        if any(config.value is not None for config in state.configs):
            return None
        for config, _ in state.ranked()[:1]:
            whole = self.setup.max_epochs
            if config.state == "stopped" and config.epochs < whole and self.budget.fits(state, whole - config.epochs):
                return self._promotion(config, whole, config.bracket)
        return None
