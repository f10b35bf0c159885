"""A search as its workers see it: ask for a leg, report its values, tell what it came to. Between the study and a strategy.

All decisions are made from the study, so a process that opens it goes on where another one ended. Knows no jobs and no files;
whoever calls from several threads holds one lock around each call.
"""

from __future__ import annotations

import math
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from runner.automl import state as states
from runner.automl.space import make_axes
from runner.automl.state import Leg, State
from runner.automl.strategies import Setup, make, unit
from runner.automl.strategies.base import Proposal, idle
from runner.errors import UsageError
from runner.schema import Parameter

if TYPE_CHECKING:
    import optuna

Adjust = Callable[[dict[str, Any]], tuple[dict[str, Any], list[str]]]
FINISH = "finish"  # of a study: nothing more is begun


class Result(NamedTuple):
    """What a leg came to. ``value`` is that of a training that ended; one that was stopped needs none.

    ``error`` says why there is no value, ``kind`` whose fault it was: program, resources, data or spec.
    """

    value: float | None = None
    error: str | None = None
    kind: str | None = None
    seconds: float | None = None
    epochs: int | None = None


class Search:
    """One search over one study. ``adjust`` may mend impossible settings and says what it changed."""

    def __init__(
        self,
        study: optuna.Study,
        setup: Setup,
        *,
        owner: str = "",
        adjust: Adjust | None = None,
        taken: Callable[[int], None] = lambda _number: None,
    ) -> None:
        from optuna.samplers import RandomSampler

        self.study, self.setup, self.owner, self.adjust, self.taken = study, setup, owner, adjust, taken
        self.study.sampler = RandomSampler()  # never asked: every trial comes with its settings
        self.axes = make_axes([_parameter(item) for item in setup.space])
        self.strategy = make(setup, self.axes)
        self.done = False
        self._trials: dict[int, optuna.Trial] = {}
        self._last: dict[int, int] = {}  # the epoch that each leg of this process has come to
        self._stopped: set[int] = set()

    def state(self) -> State:
        """The search as it stands."""
        return states.read(self.study, self.setup.sign)

    def ask(self) -> Leg | None:
        """The next leg to train. None: nothing to do now, and if ``done`` nothing for ever.

        First come the legs that wait (proposals of an agent, or what a killed process had decided), then those whose owner is
        gone, then what the strategy decides.
        """
        while True:
            leg = self._pop()
            if leg:
                return leg
            state = self.state()
            if state.lost:
                self._replace(state, state.lost[0])
                continue
            decided = idle(state) if self.finishing else self.strategy.next(state)
            self.done = decided == "done"
            if isinstance(decided, str):
                return None
            self._enqueue(decided, state)

    @property
    def finishing(self) -> bool:
        """Whether somebody said that nothing more is to be begun."""
        return bool(self.study.user_attrs.get(FINISH))

    def finish(self, value: bool = True) -> None:
        """Begin nothing more beyond what is queued or under way; False takes it back."""
        self.study.set_user_attr(FINISH, value)

    def over(self) -> bool:
        """Whether nothing is left to do, of one who looks on and takes no leg."""
        state = self.state()
        if state.lost or any(leg.state == "waiting" for leg in state.legs):
            return False
        return (idle(state) if self.finishing else self.strategy.next(state)) == "done"

    def started(self, leg: Leg, job_id: str, place: Mapping[str, Any] | None = None) -> None:
        """Note the job that trains the leg, and where its checkpoints are for workers on other machines."""
        if place:
            self._trials[leg.number].set_user_attr("place", dict(place))
        self._trials[leg.number].set_user_attr("job_id", job_id)

    def hand_in(self, leg: Leg, record: Mapping[str, Any]) -> None:
        """Note the record of the leg's job, for those who cannot read it where it is."""
        from optuna.exceptions import UpdateFinishedTrialError

        with suppress(UpdateFinishedTrialError):
            self._trials[leg.number].set_user_attr("record", dict(record))

    def report(self, leg: Leg, epoch: int, value: float) -> bool:
        """Note the value after ``epoch``, counted over all legs of the configuration; True: end the leg here.

        A value that is no finite number ends it, too: the training has diverged. So does the loss of the leg to another
        worker, who thought this one dead.
        """
        from optuna.exceptions import UpdateFinishedTrialError

        now = self._now(leg.number)
        try:
            if epoch not in now.reports and now.state == "running":
                self._trials[leg.number].report(value, epoch)
        except UpdateFinishedTrialError:
            return True
        if now.state != "running" or not math.isfinite(value):
            return True
        before, self._last[leg.number] = self._last[leg.number], epoch
        if self.strategy.stops(leg, before, epoch, self.state):
            self._stopped.add(leg.number)
            return True
        return False

    def tell(self, leg: Leg, result: Result) -> Leg:
        """End the leg: complete with its value, stopped as ``report`` wanted it, or failed. One that was lost stays lost."""
        reports = self._now(leg.number).reports
        last = reports[max(reports)] if reports else None
        stopped = leg.number in self._stopped or (result.value is None and last is not None)
        known: dict[str, Any] = {"seconds": result.seconds, "epochs": result.epochs, "class": result.kind}
        found = {key: value for key, value in known.items() if value is not None}
        if result.error is not None:
            found |= {"state": "failed", "error": result.error}
        elif last is not None and not math.isfinite(last):
            found |= self._diverged(reports)
        elif stopped:
            found |= {"state": "stopped"}
        elif result.value is None or not math.isfinite(result.value):
            found |= {"state": "failed", "error": f"{self.setup.metric} is {result.value}"}
        else:
            found |= {"state": "complete", "value": float(result.value)}
        self._end(leg.number, found)
        return self._now(leg.number)

    def release(self, leg: Leg) -> None:
        """Give the leg up without a result, as when everything is canceled: a later ``ask`` takes it up again."""
        self._fail(leg.number)

    def take_up(self, gone: Callable[[Leg], bool]) -> list[Leg]:
        """Give up the running legs whose owner is gone; ``ask`` hands them out again, each once.

        One whose result was noted before its owner was killed is ended with that result.
        """
        found = [leg for leg in self.state().legs if self._running(leg.number) and gone(leg)]
        for leg in found:
            if leg.result:
                self._end(leg.number, leg.result)
            else:
                self._fail(leg.number)
        return [leg for leg in found if not leg.result]

    def suggest(self, count: int = 1) -> list[dict[str, Any]]:
        """What the algorithm would try next, of the ones an agent may look at; nothing is noted."""
        state = self.state()
        sampler = self.strategy.sampler
        found = [sampler.sample(state, len(state.configs) + i) for i in range(count)]
        return [settings for settings in found if settings is not None]

    def enqueue(self, settings: Mapping[str, Any], base: int | None = None) -> dict[str, Any]:
        """Queue a configuration: ``settings`` laid over the spec as given, or over the configuration number ``base``.

        Raises:
            UsageError: every setting that is not searched, or whose value lies outside its range, at once.
        """
        state = self.state()
        under = {axis.key: axis.default for axis in self.axes} | self.check(settings, base)
        found = {axis.key: settings.get(axis.key, under[axis.key]) for axis in self.axes}
        proposal = self.strategy.queued()._replace(settings={k: v for k, v in found.items() if k in settings or v is not None})
        self._enqueue(proposal, state)
        return proposal.settings

    def tell_outside(self, settings: Mapping[str, Any], value: float) -> None:
        """Note a configuration that was trained fully elsewhere."""
        self.check(settings)
        if not math.isfinite(value):
            raise UsageError(f"the value is {value}; allowed: a finite number")
        result = {"state": "complete", "value": float(value), "epochs": 0}
        attrs = {"origin": "outside", "key": f"outside:{uuid.uuid4()}", "epochs": self.setup.max_epochs, "result": result}
        self._add(dict(settings), attrs, value=float(value))

    def check(self, settings: Mapping[str, Any], base: int | None = None) -> dict[str, Any]:
        """The settings of configuration ``base``, over which a proposal is laid; none without one.

        Raises:
            UsageError: the proposal does not fit the search, or there is no such configuration.
        """
        axes = {axis.key: axis for axis in self.axes}
        problems = [f"{key}: not searched; searched are {', '.join(axes)}" for key in settings if key not in axes]
        for key, value in settings.items():
            if key in axes and axes[key].encode(value) is None:
                problems.append(f"{key}: {value!r} is not searched; allowed: {unit.allowed(axes[key])}")
        if problems:
            raise UsageError("the proposal does not fit the search:", problems=problems)
        if base is None:
            return {}
        known = {config.number: config.settings for config in self.state().configs}
        if base not in known:
            raise UsageError(f"there is no configuration {base}", hint=f"Known: {', '.join(map(str, known)) or 'none'}.")
        return known[base]

    def _pop(self) -> Leg | None:
        """Take the first waiting leg; one that another process has made too is put aside."""
        from optuna.trial import TrialState

        while self.study.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
            trial = self.study.ask()
            self._trials[trial.number] = trial
            leg = self.state().legs[trial.number]
            if leg.state == "withdrawn":
                self._end(trial.number, {"state": "withdrawn"})
                continue
            self.taken(trial.number)  # before its owner is named: one who names none was heard of, or is gone
            trial.set_user_attr("owner", self.owner)
            self._last[trial.number] = self._reached(self.state(), leg, self.setup.max_epochs + 1)
            return leg._replace(owner=self.owner)
        return None

    def _reached(self, state: State, leg: Leg, before: int) -> int:
        """The last epoch before ``before`` that is known of the leg's configuration."""
        curve = next((config.curve for config in state.configs if config.number == leg.config), {})
        return max((epoch for epoch in curve if epoch < before), default=0)

    def _enqueue(self, proposal: Proposal, state: State) -> None:
        settings, attrs = dict(proposal.settings), proposal._asdict()
        del attrs["settings"]
        attrs["from"] = attrs.pop("start")
        if proposal.config is None:
            attrs["key"] = f"queue:{uuid.uuid4()}" if proposal.origin == "queue" else f"new:{len(state.configs)}"
            if self.adjust and proposal.origin != "given":
                settings, changes = self.adjust(settings)
                attrs |= {"adjustments": changes} if changes else {}
        else:
            attrs["key"] = f"{proposal.config}:{proposal.rung}"
        self._add(settings, attrs)

    def _diverged(self, reports: Mapping[int, float]) -> dict[str, Any]:
        last = max(reports)
        return {"state": "failed", "error": f"{self.setup.metric} is {reports[last]} after epoch {last}"}

    def _replace(self, state: State, lost: Leg) -> None:
        """Queue what goes on from a lost leg, or end it where its last value says that it had come to its end."""
        attrs: dict[str, Any] = {"config": lost.config, "from": lost.start, "again": lost.number, "key": f"again:{lost.number}"}
        attrs |= {key: getattr(lost, key) for key in ("rung", "epochs", "bracket", "slot", "origin")}
        if lost.reports:
            *earlier, last = sorted(lost.reports)
            before = earlier[-1] if earlier else self._reached(state, lost, last)
            if not math.isfinite(lost.reports[last]):
                attrs["result"] = self._diverged(lost.reports)
            elif self.strategy.stops(lost, before, last, lambda: state):
                attrs["result"] = {"state": "stopped"}
        self._add(lost.settings, attrs)

    def _add(self, settings: dict[str, Any], attrs: Mapping[str, Any], value: float | None = None) -> None:
        """A trial with all that is known of it, written at once."""
        from optuna.trial import TrialState, create_trial

        params = unit.parameters(self.axes, settings)
        shapes = {axis.key: unit.distribution(axis) for axis in self.axes if axis.key in params}
        said = {"settings": settings, **{key: value for key, value in attrs.items() if value is not None}}
        names = {"complete": TrialState.COMPLETE, "stopped": TrialState.PRUNED, "failed": TrialState.FAIL}
        ended = names[attrs["result"]["state"]] if "result" in attrs else TrialState.WAITING
        self.study.add_trial(create_trial(state=ended, value=value, params=params, distributions=shapes, user_attrs=said))

    def _end(self, number: int, result: dict[str, Any]) -> None:
        """Note the result, then end the trial in Optuna's words."""
        from optuna.exceptions import UpdateFinishedTrialError
        from optuna.trial import TrialState

        with suppress(UpdateFinishedTrialError):
            if number in self._trials:
                self._trials[number].set_user_attr("result", result)
            if result["state"] == "complete":
                self.study.tell(number, result["value"], skip_if_finished=True)
            else:
                ended = TrialState.PRUNED if result["state"] == "stopped" else TrialState.FAIL
                self.study.tell(number, state=ended, skip_if_finished=True)
        self._forget(number)

    def _forget(self, number: int) -> None:
        self._trials.pop(number, None)
        self._last.pop(number, None)
        self._stopped.discard(number)

    def _fail(self, number: int) -> None:
        from optuna.trial import TrialState

        self._forget(number)
        self.study.tell(number, state=TrialState.FAIL, skip_if_finished=True)

    def _running(self, number: int) -> bool:
        from optuna.trial import TrialState

        trial = self.study.get_trials(deepcopy=False)[number]
        return bool(trial.state == TrialState.RUNNING) and number not in self._trials

    def _now(self, number: int) -> Leg:
        return states.leg_of(self.study.get_trials(deepcopy=False)[number])


def _parameter(item: Mapping[str, Any]) -> Parameter:
    """A parameter as it was before it went through JSON."""
    return Parameter(**{**item, "choices": tuple(item["choices"]), "weights": tuple(item["weights"])})
