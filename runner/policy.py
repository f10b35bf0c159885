"""Which way a job goes, a search or one direct run, and why. Pure."""

from __future__ import annotations

from typing import NamedTuple

from runner.errors import UsageError

SEARCHED = "train"
NOT_PACKAGED = (
    "AutoML is enabled but not runnable for this skill until the schemas are generated (`skillbank schemas build`); "
    "training runs directly"
)


class Route(NamedTuple):
    """The way taken. ``reported`` says that the user should be told of it, as it is not what was asked for."""

    kind: str  # automl, series or direct
    reason: str
    policy: str  # on or off
    reported: bool


def route(*, action: str, word: str | None, word_source: str, automl_enabled: bool, packaged: bool, series: str = "") -> Route:
    """The route of a job. ``word`` is the user's on or off, ``word_source`` where it was said ("--automl", "phrase").

    Without a word the policy is on. Only ``train`` is ever searched; ``series`` says which series is asked for, if any, and
    turns the policy off.

    Raises:
        UsageError: a word that is neither on nor off; or on, with a series.
    """
    if word not in (None, "on", "off"):
        raise UsageError(f"the AutoML policy {word!r} is unknown", hint="Allowed: on, off.")
    if series and word == "on":
        raise UsageError(
            f"A series ({series}) repeats one training, AutoML ({word_source}) searches for another: they do not go together.",
            hint="Search first, then run the series with the settings of best_spec.yaml: --spec FILE.",
        )
    if series:
        said = f" ({word_source})" if word else " in a series"
        return Route("series", f"{series}; AutoML is off{said}", "off", False)
    if action != SEARCHED:
        return Route("direct", f"{action} is never searched, only {SEARCHED} is", word or "off", word == "on")
    if word == "off":
        return Route("direct", f"AutoML is off ({word_source}); training runs directly", "off", False)
    asked = f"AutoML is on ({word_source})" if word else "AutoML is on by default"
    if not automl_enabled:
        return Route("direct", "AutoML is not enabled for this skill; training runs directly", "on", word == "on")
    if not packaged:
        return Route("direct", NOT_PACKAGED, "on", True)
    return Route("automl", asked, "on", False)
