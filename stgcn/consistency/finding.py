"""What is found wrong with settings, and nested plain values seen as settings. Knows no setting."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NamedTuple, cast

if TYPE_CHECKING:
    from stgcn import config

MAPS = ("label_map",)  # settings that are tables of the user's own names


class Finding(NamedTuple):
    """One thing wrong: the setting ``key``, what it ``says`` wrongly, and the ``others`` that make it wrong.

    ``ways`` are settings with the value by which each would give way, where another one of them is meant.
    """

    key: str
    says: str
    others: tuple[str, ...] = ()
    ways: tuple[tuple[str, Any], ...] = ()

    def __str__(self) -> str:
        return f"{self.key} {self.says}"


def viewed(spec: Mapping[str, Any]) -> config.TrainSpec:
    """A nested spec, whole and of the right types, as rules read it: by attributes, as in the dataclasses of ``config``."""
    return cast("config.TrainSpec", _view(spec))


def _view(values: Mapping[str, Any]) -> SimpleNamespace:
    nested = {key: _view(value) if isinstance(value, Mapping) and key not in MAPS else value for key, value in values.items()}
    return SimpleNamespace(**nested)
