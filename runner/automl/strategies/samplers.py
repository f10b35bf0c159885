"""Where new configurations come from: chance, Optuna's TPE, or its Gaussian process. Nothing is kept between calls.

A model is built anew for every proposal from what the state says, seeded by the search's seed and the configuration's
number: a search taken up by another process proposes what it would have proposed without the interruption.
"""

from __future__ import annotations

import importlib.util
import json
import random
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from runner.automl.space import Axis
from runner.automl.state import Config, State
from runner.automl.strategies import unit
from runner.automl.strategies.base import Setup

if TYPE_CHECKING:
    import optuna

ATTEMPTS = 20  # at a configuration that was not tried yet
BEST = 3  # configurations whose neighbourhood is searched


class Random:
    """Draws every setting by itself."""

    def __init__(self, setup: Setup, axes: Sequence[Axis]) -> None:
        self.setup, self.axes = setup, axes

    def sample(self, state: State, index: int) -> dict[str, Any] | None:
        """Settings not tried yet; None when none were found."""
        tried = {_text(config.settings) for config in state.configs}
        for attempt in range(ATTEMPTS):
            source = random.Random(f"{self.setup.seed}:{index}:{attempt}")
            found = unit.relate(self.axes, self.propose(state, source, attempt), self.setup.given)
            if _text(found) not in tried:
                return found
        return None

    def propose(self, state: State, source: random.Random, attempt: int) -> dict[str, Any]:
        """Settings, before relations are looked at."""
        return {axis.key: unit.draw(axis, source) for axis in self.axes}


class Shares(NamedTuple):
    """Of the proposals, the part that is drawn at random, and the part that is drawn near what is good already."""

    random: float = 0.0
    near: float = 0.0


class Model(Random, ABC):
    """Draws at random until ``startup`` configurations were judged, then asks a model of what came of all of them.

    The configurations are ranked at the largest number of epochs that ``enough`` of them have reached; behind those come the
    ones that were stopped earlier, the one that got furthest first, and then the failed ones. A model sees the ranks only.
    A share of the proposals lies near the best few, which at the start is the spec as given: somebody chose it with reason.
    """

    def __init__(
        self, setup: Setup, axes: Sequence[Axis], ladder: Sequence[int], *, startup: int, enough: int, shares: Shares
    ) -> None:
        super().__init__(setup, axes)
        self.ladder, self.startup, self.enough, self.shares = ladder, startup, enough, shares

    def propose(self, state: State, source: random.Random, attempt: int) -> dict[str, Any]:
        """The model's proposal, one near the best, or a random one; random ones only when the model repeats itself."""
        seen = ranked(state, self.ladder, self.enough)
        early, lot = len(seen) < self.startup, source.random()
        parents = [config for config in (state.configs[:1] if early else seen[:BEST]) if config.state != "failed"]
        if attempt <= ATTEMPTS // 2 and parents and lot < self.shares.near:
            return unit.near(self.axes, source.choice(parents).settings, source)
        if early or lot > 1 - self.shares.random or attempt > ATTEMPTS // 2:
            return super().propose(state, source, attempt)
        return self.ask(state, seen, source.getrandbits(31))

    def ask(self, state: State, seen: Sequence[Config], seed: int) -> dict[str, Any]:
        """Settings that Optuna proposes after the configurations of ``seen``, best first, and beside those under way."""
        import optuna
        from optuna.trial import TrialState, create_trial

        optuna.logging.set_verbosity(optuna.logging.ERROR)  # a package that would make it faster is no news for users
        shapes = {axis.key: unit.distribution(axis) for axis in self.axes}
        study = optuna.create_study(sampler=self.sampler(seed))
        judged = {config.number: place for place, config in enumerate(seen)}
        for config in state.configs:
            params = {axis.key: unit.nearest(axis, config.settings) for axis in self.axes}
            if any(value is None and None not in axis.choices for axis, value in zip(self.axes, params.values(), strict=True)):
                continue
            if config.number in judged:
                value = self.score(judged[config.number], len(seen))
                study.add_trial(create_trial(params=params, distributions=shapes, value=value))
            elif config.busy:
                study.add_trial(create_trial(state=TrialState.RUNNING, params=params, distributions=shapes))
        proposed = study.ask(shapes).params
        return {axis.key: unit.setting(axis, proposed[axis.key]) for axis in self.axes}

    def score(self, place: int, count: int) -> float:
        """The value that stands for a rank."""
        return float(place)

    @abstractmethod
    def sampler(self, seed: int) -> optuna.samplers.BaseSampler:
        """Optuna's sampler."""


class Tpe(Model):
    """Optuna's tree-structured Parzen estimator over all settings together; those under way count as bad for the while."""

    def sampler(self, seed: int) -> optuna.samplers.BaseSampler:
        """A fresh one: its memory is the study."""
        from optuna.samplers import TPESampler

        return TPESampler(seed=seed, n_startup_trials=0, multivariate=True, constant_liar=True)


class Gp(Model):
    """Optuna's Gaussian process (Matern 5/2, expected improvement); it weighs in what those under way may come to."""

    def sampler(self, seed: int) -> optuna.samplers.BaseSampler:
        """A fresh one: its memory is the study."""
        from optuna.samplers import GPSampler

        return GPSampler(seed=seed, n_startup_trials=0)

    def score(self, place: int, count: int) -> float:
        """Ranks on a normal curve: a diverged training does not flatten all others."""
        from statistics import NormalDist  # late, as a plan has no time for it

        return NormalDist().inv_cdf((place + 0.5) / count)


def gp_is_there() -> bool:
    """Whether the Gaussian process can be used: it needs scipy beside torch."""
    return all(importlib.util.find_spec(name) for name in ("scipy", "torch"))


def ranked(state: State, ladder: Sequence[int], enough: int) -> list[Config]:
    """The configurations that were judged, best first."""
    reached: list[tuple[float, float, Config]] = []
    values = {epochs: [config.at(epochs, state.sign) for config in state.configs] for epochs in ladder}
    common = max((e for e in ladder if sum(v is not None for v in values[e]) >= enough), default=ladder[0])
    for i, config in enumerate(state.configs):
        if config.state == "failed":
            reached.append((1.0, 0.0, config))
            continue
        highest = max((e for e in ladder if e <= common and values[e][i] is not None), default=None)
        if highest is not None:
            reached.append((-highest, state.sign * (values[highest][i] or 0.0), config))
    return [config for _, _, config in sorted(reached, key=lambda item: (item[0], item[1], item[2].number))]


def _text(settings: dict[str, Any]) -> str:
    return json.dumps(settings, sort_keys=True, default=str)
