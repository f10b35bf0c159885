"""A trainer without training: learning curves as a function of the settings, and the loops that drive a search over it."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import Any

import optuna

from runner.automl.driver import Result, Search
from runner.automl.state import Leg
from runner.automl.strategies import Setup
from runner.schema import Parameter

MAX = 27


class Killed(BaseException):
    """The process ends here, wherever that is."""


def parameter(key: str, kind: str = "float", low=None, high=None, **more) -> dict[str, Any]:
    fields = {"scale": "linear", "choices": (), "weights": (), "default": None, "math_cond": None}
    fields |= {"depends_on": None, "parent_param": False, "title": key}
    return Parameter(**{"key": key, "kind": kind, "low": low, "high": high, **fields, **more})._asdict()


SPACE = [
    parameter("lr", low=1e-4, high=0.3, scale="log", default=0.1),
    parameter("dropout", low=0.0, high=0.7, default=0.5),
    parameter("width", "int", 8, 64, math_cond="/ 8", default=32),
    parameter("norm", "enum", choices=("batch", "layer"), default="batch"),
]


def setup(algorithm: str, **more) -> Setup:
    fields = {"metric": "val_loss", "direction": "minimize", "space": SPACE, "max_epochs": MAX, "seed": 3}
    return Setup(algorithm=algorithm, **{**fields, **more})


def final(settings: dict[str, Any]) -> float:
    """The loss that a training comes to; 0.2 at best."""
    lr = math.log10(settings.get("lr", 0.1)) + 2
    loss = 0.2 + 0.15 * lr * lr + 0.5 * (settings.get("dropout", 0.5) - 0.3) ** 2
    return loss + 0.001 * abs(settings.get("width", 32) - 48) + 0.05 * (settings.get("norm", "batch") == "layer")


def curve(settings: dict[str, Any], epoch: int, noise: float = 0.01) -> float:
    """The loss after an epoch: a small learning rate is slow and overtakes late, so curves cross."""
    slow = 2 - 1.5 * math.log10(settings.get("lr", 0.1))
    value = final(settings) + 2 * math.exp(-epoch / slow)
    return value + noise * random.Random(f"{sorted(settings.items())}:{epoch}").gauss(0, 1)


def new(algorithm: str, study: optuna.Study | None = None, **more) -> Search:
    found = setup(algorithm, **more)
    return Search(study or optuna.create_study(direction=found.direction), found, owner="me")


def done_before(search: Search, leg: Leg) -> int:
    return next(config.epochs for config in search.state().configs if config.number == leg.config)


def train(search: Search, leg: Leg, learn: Callable[[dict, int], float] = curve) -> Leg:
    """One leg to its end, from where its configuration was."""
    for epoch in range(done_before(search, leg) + 1, search.setup.max_epochs + 1):
        if search.report(leg, epoch, learn(leg.settings, epoch)):
            break
    seen = {e: v for config in search.state().configs if config.number == leg.config for e, v in config.curve.items()}
    return search.tell(leg, Result(value=min(seen.values(), default=float("nan"))))


def run(search: Search, learn: Callable[[dict, int], float] = curve) -> list[Leg]:
    """The whole search with one worker."""
    found = []
    while (leg := search.ask()) is not None:
        found.append(train(search, leg, learn))
    assert search.done
    return found


def run_parallel(search: Search, workers: int, seed: int, watch: Callable[[list[Leg]], None] = lambda legs: None) -> None:
    """The whole search with several legs under way, which come forward in any order."""
    source = random.Random(seed)
    under_way: dict[int, tuple[Leg, int]] = {}
    while True:
        while len(under_way) < workers and (leg := search.ask()) is not None:
            under_way[leg.number] = (leg, done_before(search, leg))
            watch([leg for leg, _ in under_way.values()])
        if not under_way:
            assert search.done
            return
        number = source.choice(sorted(under_way))
        leg, epoch = under_way[number]
        stop = epoch < MAX and search.report(leg, epoch + 1, curve(leg.settings, epoch + 1))
        under_way[number] = (leg, epoch + 1)
        if stop or epoch + 1 >= MAX:
            search.tell(leg, Result(value=curve(leg.settings, min(MAX, epoch + 1))))
            del under_way[number]
