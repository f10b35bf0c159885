"""What an agent says to a search and hears from it: suggestions, proposals, results from elsewhere, and that no more will come.

Speaks to the study alone, so it works beside a search that runs, here or on another machine. Runs nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from runner import bank, databases, study_claim, study_legs
from runner import spec as specs
from runner.automl.driver import Search
from runner.automl.strategies import unit
from runner.automl.strategies.base import Budget, first_settings
from runner.errors import UnknownJob, UsageError
from runner.jobs import TERMINAL, JobStore


class Talk(NamedTuple):
    """A search that is spoken to; ``record`` is its job's, where that is in this workspace."""

    name: str
    search: Search
    about: Mapping[str, Any]  # skill, action, spec
    record: dict[str, Any] | None

    @property
    def ended(self) -> bool:
        """Whether nobody trains what is proposed, until the search goes on."""
        return self.record is not None and self.record["state"] in TERMINAL


def begin(store: JobStore, job: str, storage: str | None) -> Talk:
    """The search of that job, or of that study in the database.

    Raises:
        UnknownJob: there is none. UsageError: the job is no search. StorageError: the database cannot be opened.
    """
    from runner.automl import study as studies

    if storage is not None:
        return _in_database(job, databases.remember(storage), None)
    record = store.reconcile(job)
    facts = record["automl"]
    if not facts:
        of = f" It is a trial of {record['study_job']}." if record["study_job"] else ""
        raise UsageError(f"{job} is no search.{of}", hint="`skillbank jobs` lists those there are.")
    if facts.get("storage"):
        return _in_database(facts["study_id"], facts["storage"], record)
    where = study_claim.place(facts.get("study") or "")
    if isinstance(where, str) or not where.is_file():
        why = "has not begun yet" if record["state"] not in TERMINAL else "has no study any more"
        raise UnknownJob(f"the search {job} {why}", hint=f"See: skillbank status {job}")
    opened = studies.open_study(where)
    search = Search(opened.study, opened.setup, owner="agent", adjust=study_legs.Adjuster(record, record["spec"]))
    return Talk(job, search, record, record)


def _in_database(name: str, place: str, record: dict[str, Any] | None) -> Talk:
    from runner.automl import shared
    from runner.automl import study as studies

    opened = studies.open_study(databases.whole(place), name=name)
    task = shared.task(opened)
    search = Search(opened.study, opened.setup, owner="agent", adjust=study_legs.Adjuster(task, task["spec"]))
    return Talk(name, search, task, record)


def suggest(talk: Talk, count: int) -> dict[str, Any]:
    """What the bank's own model would try next, and what it was made from: the space, the best so far, what is left."""
    state, setup = talk.search.state(), talk.search.setup
    best = state.best()
    return {
        "search": talk.name,
        "algorithm": setup.algorithm,
        "metric": setup.metric,
        "direction": setup.direction,
        "suggestions": talk.search.suggest(count),
        "space": [
            {"key": axis.key, "allowed": unit.allowed(axis), "log": axis.log, "default": axis.default}
            for axis in talk.search.axes
        ],
        "best": {"number": best.number, "value": _value(best, state), "params": best.settings} if best else None,
        "left": _left(talk),
    }


def enqueue(talk: Talk, words: Sequence[str], base: int | None) -> dict[str, Any]:
    """Queue a configuration.

    Raises:
        UsageError: every setting that is not searched or lies outside its range; or nothing of the budget is left.
    """
    said = settings(talk, words)
    talk.search.check(said, base)
    state, setup = talk.search.state(), talk.search.setup
    if not Budget(setup).begins(state, talk.search.strategy.queued().epochs):
        spent = f"{len(state.configs)} trials are trained or queued" if _left(talk) == 0 else "its epochs are spent"
        more = f"skillbank run SKILL ACTION --resume {talk.name} --budget trials=N"
        raise UsageError(f"The budget of the search leaves room for no more: {spent}.", hint=f"A larger one: {more}")
    talk.search.enqueue(said, base)
    queued = next(leg for leg in reversed(talk.search.state().legs) if leg.origin == "queue")
    return {
        "search": talk.name,
        "number": queued.config,
        "params": queued.settings,
        "adjustments": list(queued.adjustments),
        "left": _left(talk),
    }


def tell(talk: Talk, words: Sequence[str], value: float) -> dict[str, Any]:
    """Note what a training elsewhere came to; what is not said of its settings was as in the spec.

    Raises:
        UsageError: as in ``enqueue``, or the value is no number.
    """
    said = {**first_settings(talk.search.axes), **settings(talk, words)}
    talk.search.tell_outside(said, value)
    return {"search": talk.name, "params": said, "value": value, "metric": talk.search.setup.metric}


def finish(talk: Talk) -> dict[str, Any]:
    """Nothing more is begun: the search ends when what is queued or under way is trained."""
    talk.search.finish()
    totals = talk.search.state().totals()
    return {"search": talk.name, "finishing": True, "open": totals["waiting"] + totals["running"] + totals["lost"]}


def settings(talk: Talk, words: Sequence[str]) -> dict[str, Any]:
    """``KEY=VALUE`` words as settings with the types of what is searched.

    Raises:
        UsageError: nothing is said, or one is said twice.
    """
    keys = ", ".join(f"{axis.key} ({unit.allowed(axis)})" for axis in talk.search.axes)
    if not words:
        raise UsageError("No setting is said.", hint=f"--set KEY=VALUE; searched are {keys}.")
    pairs = specs.expand_shorthand([specs.parse_override(word) for word in words], bank.get(talk.about["skill"]).shorthand)
    found: dict[str, Any] = {}
    numbers = {axis.key for axis in talk.search.axes if axis.kind == "float" and not axis.choices}
    for key, value in pairs:
        if key in found:
            raise UsageError(f"--set says {key} twice.")
        whole = isinstance(value, int) and not isinstance(value, bool)
        found[key] = float(value) if key in numbers and whole else value
    return found


def _left(talk: Talk) -> int | None:
    """Trials that the budget still allows; None where it counts none."""
    trials = talk.search.setup.trials
    if trials is None:
        return None
    return max(0, trials - sum(config.origin != "outside" for config in talk.search.state().configs))


def _value(best: Any, state: Any) -> float | None:
    found: float | None = best.value if best.value is not None else best.at(best.epochs, state.sign)
    return found
