"""Differential evolution in Hyperband's brackets (Awad et al. 2021), small: every number of epochs has a population of its own.

The first bracket is successive halving over random configurations, continued from their checkpoints. In every later one a
rung is filled with children: three parents and the binomial crossover with the member it may replace. The parents are the best
of the rung below in the same bracket, or the population of those epochs. A child replaces its member when it did better.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from runner.automl.rungs import Bracket
from runner.automl.space import Axis
from runner.automl.state import Config, State
from runner.automl.strategies import unit
from runner.automl.strategies.bands import Bands
from runner.automl.strategies.base import Proposal, Sampler, Setup, order

MUTATION, CROSSOVER = 0.5, 0.5
Member = tuple[Config, float]


class Dehb(Bands):
    """Every later bracket trains all its children from the first epoch: a child is no continuation of anything."""

    def __init__(self, setup: Setup, axes: Sequence[Axis], sampler: Sampler, shapes: Sequence[Bracket]) -> None:
        super().__init__(setup, axes, sampler, shapes)
        self.sizes: dict[int, int] = {}
        for shape in shapes:
            for count, epochs in zip(shape.counts, shape.epochs, strict=True):
                self.sizes[epochs] = max(count, self.sizes.get(epochs, 0))

    def population(self, state: State, epochs: int) -> list[Member]:
        """The members at a number of epochs: of all that were meant for a place, the best."""
        places: dict[int, list[Config]] = {}
        spare = iter(range(10**9))
        for config in state.configs:
            if config.bracket == 0 or config.bracket is None:
                if config.at(epochs, state.sign) is not None:
                    places.setdefault(next(spare) % self.sizes[epochs], []).append(config)
            elif config.last.epochs == epochs and config.slot is not None:
                places.setdefault(config.slot, []).append(config)
        best = [order(state, configs, epochs)[:1] for _, configs in sorted(places.items())]
        return [member for found in best for member in found]

    def _within(self, state: State, number: int) -> Proposal | None:
        if number == 0:
            return super()._within(state, number)
        shape, members = self.shape(number), [config for config in state.configs if config.bracket == number]
        for rung, (count, epochs) in enumerate(zip(shape.counts, shape.epochs, strict=True)):
            here = [config for config in members if config.rung == rung]
            if len(here) < count:
                return self._child(state, number, rung, len(here), epochs)
            if any(config.busy for config in here):
                return None
        return None

    def _begin(self, state: State, number: int) -> Proposal | None:
        if number == 0:
            return super()._begin(state, number)
        return self._child(state, number, 0, 0, self.shape(number).epochs[0])

    def _child(self, state: State, number: int, rung: int, place: int, epochs: int) -> Proposal | None:
        if not self.budget.begins(state, epochs):
            return None
        index = len(state.configs)
        source = random.Random(f"{self.setup.seed}:{index}")
        members = self.population(state, epochs)
        pool = self._parents(state, number, rung) or members
        slot = place % self.sizes[epochs]
        if len(members) < self.sizes[epochs] and self.shape(number).epochs[0] == epochs:
            settings = self.sampler.sample(state, index)
            slot = len(members) + sum(c.busy and c.last.epochs == epochs for c in state.configs)
        else:
            settings = self._cross(source, pool, members or pool, slot)
        if settings is None:
            return None
        return Proposal(settings, epochs, rung, number, slot % self.sizes[epochs])

    def _parents(self, state: State, number: int, rung: int) -> list[Member]:
        """The best of the rung below, as many as the rung has places."""
        if rung == 0:
            return []
        shape = self.shape(number)
        return order(state, [c for c in state.configs if c.bracket == number and c.rung == rung - 1], shape.epochs[rung - 1])[
            : max(3, shape.counts[rung])
        ]

    def _cross(self, source: random.Random, pool: list[Member], members: list[Member], slot: int) -> dict[str, object] | None:
        """rand/1/bin in the unit cube; a coordinate that leaves it is drawn anew."""
        every = [*pool, *(member for member in members if member not in pool)]
        if len(every) < 4:
            drawn = {axis.key: unit.draw(axis, source) for axis in self.axes}
            return unit.relate(self.axes, drawn, self.setup.given)
        first = pool if len(pool) >= 3 else every
        a, b, c = source.sample(first, 3)
        target = members[slot % len(members)]
        sure = source.randrange(len(self.axes))
        found = {}
        for i, axis in enumerate(self.axes):
            place = unit.point(axis, target[0].settings)
            if i == sure or source.random() < CROSSOVER:
                place, *others = (unit.point(axis, parent[0].settings) for parent in (a, b, c))
                place += MUTATION * (others[0] - others[1])
                place = place if 0 <= place <= 1 else source.random()
            found[axis.key] = unit.at(axis, place)
        return unit.relate(self.axes, found, self.setup.given)
