"""What a study says of a search: legs, configurations, totals and the best. Reads Optuna's trials and knows no algorithm.

Every trial of the study is a *leg*: a configuration trained up to some epoch. The first leg of a configuration names it; a
promotion and the continuation of a leg that was lost are further legs of the same one. What a leg came to stands in one
attribute, ``result``, written before the trial is ended, so that a kill between the two loses nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import optuna


class Leg(NamedTuple):
    """One trial of the study. ``epochs`` is where it ends at the latest, counted from the configuration's first epoch.

    ``state`` is waiting, running, complete (the training ended), stopped (it can be continued), failed, lost (its owner is
    gone) or withdrawn (another process made the same leg). ``start`` is the leg whose checkpoint it goes on from.
    """

    number: int
    config: int
    state: str
    settings: dict[str, Any]
    epochs: int
    start: int | None
    again: int | None  # the lost leg that this one replaces
    rung: int
    bracket: int | None
    slot: int | None
    origin: str  # given, sampler, queue or outside
    key: str
    job_id: str | None
    owner: str | None
    reports: dict[int, float]
    result: dict[str, Any]
    adjustments: tuple[str, ...] = ()  # what was changed of the recommendation
    place: Mapping[str, Any] | None = None  # where its job keeps its checkpoints: folder, host, uri


class Config:
    """One configuration over all its legs."""

    def __init__(self, first: Leg) -> None:
        self.number, self.settings, self.origin = first.number, first.settings, first.origin
        self.bracket, self.slot = first.bracket, first.slot
        self.legs: list[Leg] = []
        self.curve: dict[int, float] = {}
        self.epochs = 0  # how far it was trained; what was trained twice counts once
        self.last = first  # its newest leg that counts

    def add(self, leg: Leg) -> None:
        """One more leg, in the order of the study."""
        self.legs.append(leg)
        self.curve.update(leg.reports)
        self.epochs = max(self.epochs, *leg.reports, int(leg.result.get("epochs") or 0), 0)
        self.last = leg

    @property
    def state(self) -> str:
        """That of its newest leg."""
        return self.last.state

    @property
    def busy(self) -> bool:
        """It is trained, about to be, or to be taken up again."""
        return self.state in ("waiting", "running", "lost")

    @property
    def rung(self) -> int:
        """The highest rung that one of its legs aims at."""
        return max(leg.rung for leg in self.legs)

    @property
    def value(self) -> float | None:
        """What its training came to; None while it has not ended."""
        return self.last.result.get("value") if self.state == "complete" else None

    @property
    def error(self) -> str | None:
        """Why it failed."""
        return self.last.result.get("error") if self.state == "failed" else None

    def at(self, epochs: int, sign: int) -> float | None:
        """The best value up to ``epochs``, None if it was not trained so far; ``sign`` is 1 where less is better, else -1.

        A training that ended early of itself stands with its value at every later epoch.
        """
        if self.value is not None and self.epochs < epochs:
            return self.value
        if self.epochs < epochs:
            return None
        seen = [value for epoch, value in self.curve.items() if epoch <= epochs and math.isfinite(value)]
        return sign * min(sign * value for value in seen) if seen else self.value


class State(NamedTuple):
    """A search as its study has it."""

    legs: list[Leg]
    configs: list[Config]
    sign: int

    @property
    def lost(self) -> list[Leg]:
        """Legs whose owner is gone and that nobody has taken up again."""
        replaced = {leg.again for leg in self.legs if leg.state != "withdrawn"}
        return [leg for leg in self.legs if leg.state == "lost" and leg.number not in replaced]

    def totals(self) -> dict[str, int]:
        """Configurations by what became of them, and the epochs trained; a leg taken up again counts once."""
        states = [config.state for config in self.configs]
        found = {name: states.count(name) for name in ("complete", "stopped", "failed", "running", "waiting", "lost")}
        return {"trials": len(states), **found, "epochs": sum(config.epochs for config in self.configs)}

    def best(self) -> Config | None:
        """The best configuration among those trained furthest: values of different budgets are never compared.

        One that was trained elsewhere teaches the search and cannot win it, as there is no checkpoint of it.
        """
        done = [config for config in self.configs if config.value is not None and config.origin != "outside"]
        if done:
            return min(done, key=lambda config: self.sign * (config.value or 0.0))
        ranked = self.ranked()
        return ranked[0][0] if ranked else None

    def ranked(self) -> list[tuple[Config, float]]:
        """The configurations trained furthest with their value there, best first."""
        alive = [config for config in self.configs if config.state != "failed" and config.curve]
        for epochs in sorted({config.epochs for config in alive}, reverse=True):
            there = [(config, config.at(epochs, self.sign)) for config in alive]
            found = [(config, value) for config, value in there if value is not None]
            if found:
                return sorted(found, key=lambda pair: self.sign * pair[1])
        return []


def read(study: optuna.Study, sign: int) -> State:
    """The search as the study has it now."""
    return derive([leg_of(trial) for trial in study.get_trials(deepcopy=False)], sign)


def derive(legs: Iterable[Leg], sign: int) -> State:
    """The configurations behind the legs. A leg that another process made too counts where it was made first."""
    seen: set[str] = set()
    found: list[Leg] = []
    for leg in legs:
        twice = leg.key in seen and leg.state != "withdrawn"
        found.append(leg._replace(state="withdrawn") if twice else leg)
        if leg.state != "withdrawn":
            seen.add(leg.key)
    configs: dict[int, Config] = {}
    for leg in found:
        if leg.state != "withdrawn":
            configs.setdefault(leg.config, Config(leg)).add(leg)
    return State(found, list(configs.values()), sign)


def leg_of(trial: optuna.trial.FrozenTrial) -> Leg:
    """A trial of the study as a leg; one that nobody gave settings is withdrawn."""
    said = trial.user_attrs
    config = said.get("config")
    result: dict[str, Any] = said.get("result") or {}
    name = trial.state.name
    ended = "running" if name == "RUNNING" else "waiting" if name == "WAITING" else "lost"
    return Leg(
        number=trial.number,
        config=trial.number if config is None else config,
        state=result.get("state", ended) if "settings" in said else "withdrawn",
        settings=said.get("settings", {}),
        epochs=said.get("epochs", 0),
        start=said.get("from"),
        again=said.get("again"),
        rung=said.get("rung", 0),
        bracket=said.get("bracket"),
        slot=said.get("slot"),
        origin=said.get("origin", "sampler"),
        key=said.get("key", f"#{trial.number}"),
        job_id=said.get("job_id"),
        owner=said.get("owner"),
        reports=dict(trial.intermediate_values),
        result=result,
        adjustments=tuple(said.get("adjustments", ())),
        place=said.get("place"),
    )
