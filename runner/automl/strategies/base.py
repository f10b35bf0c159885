"""What a search algorithm decides, and from what: a Strategy looks at a State and names the next leg. Knows no Optuna study."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, Protocol

from runner.automl.space import Axis
from runner.automl.state import Config, Leg, State

Idle = Literal["wait", "done"]
Look = Callable[[], State]


class Setup(NamedTuple):
    """What a search was asked for. It is kept in the study, so that any process can take the search up.

    ``space`` holds the parameters as mappings, ``given`` the values of the spec that relations need. ``step`` is the
    validation interval; ``late``: early values say little of the last one. A search without ``trials`` and ``epochs`` ends by
    time alone, or after one round of brackets.
    """

    algorithm: str
    metric: str
    direction: Literal["minimize", "maximize"]
    space: list[dict[str, Any]]
    max_epochs: int
    seed: int
    given: Mapping[str, Any] = MappingProxyType({})
    trials: int | None = None
    epochs: int | None = None
    min_epochs: int | None = None
    factor: int = 3
    step: int = 1
    prune: bool = True
    late: bool = False

    @property
    def sign(self) -> int:
        """1 where less is better, else -1."""
        return 1 if self.direction == "minimize" else -1


class Proposal(NamedTuple):
    """The next leg: of a new configuration (``config`` None), or of one that goes on from its leg ``start``."""

    settings: dict[str, Any]
    epochs: int
    rung: int = 0
    bracket: int | None = None
    slot: int | None = None
    config: int | None = None
    start: int | None = None
    origin: str = "sampler"


class Sampler(Protocol):
    """Proposes settings."""

    def sample(self, state: State, index: int) -> dict[str, Any] | None:
        """Settings of the configuration number ``index``; None when every one there is was tried."""


class Strategy(Protocol):
    """A search algorithm. It keeps nothing: the same state gives the same decision, in any process."""

    sampler: Sampler

    def next(self, state: State) -> Proposal | Idle:
        """The next leg; "wait" while that depends on legs under way, "done" at the end."""

    def stops(self, leg: Leg, before: int, epoch: int, look: Look) -> bool:
        """Whether the leg ends after ``epoch``, ``before`` being the last one reported until then.

        The state that ``look`` gives, at a price, holds the new value already.
        """

    def queued(self) -> Proposal:
        """How a configuration that somebody else proposes is begun; its settings are filled in."""


class Budget(NamedTuple):
    """What may still be spent. A training under way is reckoned up to its next rung, if it can be stopped there, else whole."""

    setup: Setup
    ladder: tuple[int, ...] = ()
    baseline: bool = False

    def begins(self, state: State, cost: int) -> bool:
        """Whether a new configuration of ``cost`` epochs fits, and leaves what the best one needs for a full training."""
        own = sum(config.origin != "outside" for config in state.configs)
        if self.setup.trials is not None and own >= self.setup.trials:
            return False
        whole = self.setup.max_epochs
        full = any(config.value is not None or config.epochs >= whole for config in state.configs)
        return not state.configs or self.fits(state, cost if full else max(cost, whole))

    def fits(self, state: State, cost: int) -> bool:
        """Whether ``cost`` more epochs fit beside what is spent and under way."""
        if self.setup.epochs is None:
            return True
        owed = sum(self._next(config) - config.epochs for config in state.configs if config.busy)
        return state.totals()["epochs"] + owed + cost <= self.setup.epochs

    def first(self) -> int:
        """The epochs of a first full training, which a small budget may not allow."""
        return min(self.setup.max_epochs, self.setup.epochs or self.setup.max_epochs)

    def _next(self, config: Config) -> int:
        ladder = () if self.baseline and config.origin == "given" else self.ladder
        rung = next((epochs for epochs in ladder if epochs > config.epochs), self.setup.max_epochs)
        return max(config.epochs, min(rung, config.last.epochs))


def first_settings(axes: Sequence[Axis]) -> dict[str, Any]:
    """The spec as given: every searched setting whose value lies inside its range; the others stay as they are."""
    return {axis.key: axis.default for axis in axes if axis.encode(axis.default) is not None}


def idle(state: State) -> Idle:
    """Nothing to begin: wait for what is under way, or the end."""
    return "wait" if any(config.busy for config in state.configs) else "done"


def order(state: State, configs: Sequence[Config], epochs: int) -> list[tuple[Config, float]]:
    """Those trained so far with their best value until then, best first; equal ones in the order they were begun."""
    found = [(config, config.at(epochs, state.sign)) for config in configs if config.state != "failed"]
    reached = [(config, value) for config, value in found if value is not None]
    return sorted(reached, key=lambda pair: (state.sign * pair[1], pair[0].number))
