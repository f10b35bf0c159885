"""The search algorithms against simulated trainings: what they stop, promote, propose, repeat, and survive."""

from __future__ import annotations

import contextlib
import math
import random

import optuna
import pytest
import simulated as sim
from optuna.trial import TrialState

from runner.automl import rungs, state, strategies
from runner.automl.driver import Result
from runner.automl.strategies import samplers
from runner.errors import UsageError

NAMES = [name for name in strategies.ALGORITHMS if name != "agent"]
needs_scipy = pytest.mark.skipif(not samplers.gp_is_there(), reason="the Gaussian process needs scipy")
EVERY = [pytest.param(name, marks=needs_scipy) if name == "bfbo" else name for name in NAMES]  # its model takes seconds
QUICK = [name for name in NAMES if name != "bfbo"]


def quality(search) -> float:
    return sim.final(search.state().best().settings)


# Rungs and brackets


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ((27,), (1, 3, 9, 27)),
        ((243,), (1, 3, 9, 27, 81, 243)),
        ((243, 1, 3, 2), (2, 4, 10, 28, 82, 243)),
        ((30,), (1, 3, 10, 30)),
        ((30, 5), (10, 30)),
        ((32, 1, 3, 2), (2, 4, 10, 32)),
        ((1,), (1,)),
        ((2,), (2,)),
        ((16, 1, 4), (1, 4, 16)),
        ((10, 20), (10,)),
    ],
)
def test_rungs(words, found):
    assert rungs.rungs(*words) == found


def test_brackets_are_those_of_the_paper():
    shapes = rungs.brackets(81)
    assert [bracket.counts for bracket in shapes] == [(81, 27, 9, 3, 1), (34, 11, 3, 1), (15, 5, 1), (8, 2), (5,)]
    assert [bracket.epochs for bracket in shapes] == [(1, 3, 9, 27, 81), (3, 9, 27, 81), (9, 27, 81), (27, 81), (81,)]


@pytest.mark.parametrize("power", range(1, 12))
def test_brackets_of_exact_powers_lose_none_to_rounding(power):
    assert len(rungs.brackets(3**power)) == power + 1
    assert rungs.brackets(3**power)[0].epochs[0] == 1


# Names


def test_names():
    assert strategies.canonical("B") == "bayesian"
    assert strategies.canonical("h") == "hyperband"
    for name, nearest in (("pbt", "asha"), ("hes", "bayesian"), ("llm", "agent")):
        with pytest.raises(UsageError, match=f"{name} is not offered") as caught:
            strategies.canonical(name)
        assert nearest in str(caught.value)
    with pytest.raises(UsageError, match="allowed: bayesian, bfbo"):
        strategies.canonical("bayes")


def test_without_scipy_bfbo_says_so(monkeypatch):
    monkeypatch.setattr(samplers.importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(UsageError, match="scipy"):
        strategies.canonical("bfbo")


def test_knobs_that_cannot_be_used_are_all_said_at_once():
    with pytest.raises(UsageError) as caught:
        sim.new("asha", max_epochs=0, factor=1, step=0, trials=0, epochs=0, min_epochs=5)
    assert len(caught.value.problems) == 6
    with pytest.raises(UsageError, match=r"min_epochs: 28; allowed: 1 to max_epochs \(27\)"):
        sim.new("asha", min_epochs=28)


def test_who_has_to_be_able_to_stop():
    control = {name: strategies.needs_control(sim.setup(name, prune=False)) for name in strategies.ALGORITHMS}
    assert {name for name, needed in control.items() if needed} == {"asha", "hyperband", "bohb", "dehb"}
    assert strategies.needs_control(sim.setup("bayesian"))
    assert not strategies.needs_control(sim.setup("agent"))


# Every algorithm


@pytest.mark.parametrize("name", QUICK)
def test_every_algorithm_finds_a_good_one_and_stays_within_its_budget(name):
    search = sim.new(name, epochs=300)
    sim.run(search)
    found = search.state()
    assert found.totals()["epochs"] <= 300
    assert quality(search) < 0.32  # of the space 4 % are that good
    assert found.best().epochs == sim.MAX
    assert found.best().value == min(c.value for c in found.configs if c.value is not None)
    assert not [t for t in search.study.trials if not t.state.is_finished()]


@pytest.mark.parametrize("name", EVERY)
def test_the_first_trial_is_the_spec_as_given(name):
    space = [*sim.SPACE, sim.parameter("outside", low=0.0, high=1.0, default=7.0)]
    first = sim.new(name, space=space, trials=5).ask()
    assert first.settings == {"lr": 0.1, "dropout": 0.5, "width": 32, "norm": "batch"}
    assert first.origin == "given"
    assert first.number == first.config == 0


@pytest.mark.slow  # torch is imported for it
@needs_scipy
def test_the_gaussian_process_proposes_and_repeats_itself():
    def proposed() -> list:
        search = sim.new("bfbo", trials=6, space=sim.SPACE[:2], max_epochs=3)
        while (leg := search.ask()) is not None:
            search.report(leg, 3, sim.curve(leg.settings, 27))
            search.tell(leg, Result(value=sim.curve(leg.settings, 27)))
        return [config.settings for config in search.state().configs]

    found = proposed()
    assert len({str(settings) for settings in found}) == 6
    assert proposed() == found


@pytest.mark.parametrize("name", QUICK)
def test_a_seed_repeats_the_search_and_another_does_not(name):
    def settings(seed: int) -> list:
        search = sim.new(name, trials=12, seed=seed)
        sim.run(search)
        return [(config.settings, config.epochs) for config in search.state().configs]

    assert settings(1) == settings(1)
    assert settings(1)[1:] != settings(2)[1:]


@pytest.mark.parametrize("name", QUICK)
def test_trials_are_counted_as_configurations(name):
    search = sim.new(name, trials=13)
    sim.run(search)
    totals = search.state().totals()
    assert totals["trials"] == 13
    assert totals["complete"] + totals["stopped"] == 13
    assert totals["complete"] >= 1


@pytest.mark.parametrize("name", QUICK)
@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_the_direction_is_kept(name, direction):
    sign = 1 if direction == "minimize" else -1
    search = sim.new(name, trials=40, direction=direction)
    sim.run(search, lambda settings, epoch: sign * sim.curve(settings, epoch))
    assert sim.final(search.state().best().settings) < 0.42  # a search that walks the wrong way ends above 0.6


@pytest.mark.parametrize("name", QUICK)
def test_a_continued_leg_begins_where_the_one_before_ended(name):
    search = sim.new(name, trials=30)
    legs = {leg.number: leg for leg in sim.run(search)}
    continued = [leg for leg in legs.values() if leg.start is not None]
    assert continued
    for leg in continued:
        before = legs[leg.start]
        assert before.state == "stopped"
        assert before.config == leg.config
        assert before.settings == leg.settings
        assert min(leg.reports) == max(before.reports) + 1


@pytest.mark.parametrize("name", QUICK)
def test_failures_diverged_trainings_and_odd_values_do_not_end_it(name):
    def learn(settings: dict, epoch: int) -> float:
        return math.nan if settings["lr"] > 0.05 and epoch > 1 else sim.curve(settings, epoch)

    search = sim.new(name, trials=15)
    while (leg := search.ask()) is not None:
        if leg.config == 3:
            search.tell(leg, Result(error="CUDA out of memory", kind="resources"))
        else:
            sim.train(search, leg, learn)
    found = search.state()
    failed = [config for config in found.configs if config.state == "failed"]
    assert found.configs[0].error == "val_loss is nan after epoch 2"
    assert all(config.settings["lr"] > 0.05 or config.error == "CUDA out of memory" for config in failed)
    assert found.best().value is not None
    assert math.isfinite(found.best().value)
    assert found.totals()["trials"] == 15


def test_all_failed_leaves_no_best():
    search = sim.new("bayesian", trials=6)
    sim.run(search, lambda _s, _e: math.inf)
    assert search.state().best() is None
    assert search.state().totals() == {**dict.fromkeys(("complete", "stopped", "running", "waiting", "lost"), 0)} | {
        "trials": 6,
        "failed": 6,
        "epochs": 6,
    }


# Single algorithms


@pytest.mark.parametrize("name", ["bayesian", "random"])
def test_without_pruning_every_training_is_whole(name):
    search = sim.new(name, trials=6, prune=False)
    legs = sim.run(search)
    assert [max(leg.reports) for leg in legs] == [sim.MAX] * 6
    assert {leg.state for leg in legs} == {"complete"}


def test_pruning_saves_epochs_and_trains_the_given_spec_whole():
    worst = [{**p, "default": 1e-4} if p["key"] == "lr" else p for p in sim.SPACE]
    search = sim.new("bayesian", trials=20, space=worst)
    sim.run(search)
    assert search.state().configs[0].state == "complete"
    assert search.state().totals()["epochs"] < 20 * sim.MAX * 2 / 3


@pytest.mark.parametrize("name", ["bayesian", "random"])
def test_nothing_is_stopped_before_a_ninth_of_its_epochs(name):
    search = sim.new(name, trials=30)
    sim.run(search)
    assert {config.epochs for config in search.state().configs} == {3, 9, 27}


@pytest.mark.parametrize("name", ["bayesian", "random"])
def test_where_early_values_say_little_nothing_is_stopped_before_a_third(name):
    search = sim.new(name, trials=30, late=True)
    sim.run(search)
    assert {config.epochs for config in search.state().configs} == {9, 27}


def test_one_that_fell_behind_and_is_among_the_best_later_goes_on():
    search = sim.new("asha", trials=60, seed=5)
    legs = sim.run(search)
    assert {leg.start is not None and leg.rung for leg in legs} >= {1, 2}
    found = search.state()
    ladder = (1, 3, 9)
    for rung, epochs in enumerate(ladder):
        reached = strategies.base.order(found, found.configs, epochs)
        beyond = {config.number for config in found.configs if config.epochs > epochs}
        assert beyond >= {config.number for config, _ in reached[: len(reached) // 3]}, rung


@pytest.mark.parametrize("name", ["hyperband", "bohb"])
def test_one_round_of_brackets_is_exactly_the_table(name):
    search = sim.new(name)
    sim.run(search)
    found = search.state()
    for number, bracket in enumerate(rungs.brackets(sim.MAX)):
        members = [config for config in found.configs if config.bracket == number]
        reached = tuple(sum(config.epochs >= epochs for config in members) for epochs in bracket.epochs)
        assert reached == bracket.counts
        for epochs, following in zip(bracket.epochs, bracket.epochs[1:], strict=False):
            ranking = [config.number for config, _ in strategies.base.order(found, members, epochs)]
            went_on = [config.number for config in members if config.epochs >= following]
            assert sorted(ranking[: len(went_on)]) == went_on
    assert found.totals()["trials"] == sum(bracket.counts[0] for bracket in rungs.brackets(sim.MAX))


def test_brackets_come_round_until_the_budget_is_spent():
    search = sim.new("hyperband", max_epochs=9, trials=40)
    while (leg := search.ask()) is not None:
        for epoch in range(sim.done_before(search, leg) + 1, 10):
            if search.report(leg, epoch, sim.curve(leg.settings, epoch)):
                break
        search.tell(leg, Result(value=0.5))
    brackets = [config.bracket for config in search.state().configs]
    assert len(brackets) == 40
    assert [brackets.count(number) for number in range(6)] == [9, 5, 3, 9, 5, 3]


def test_dehb_comes_to_a_known_optimum():
    space = [sim.parameter(f"x{i}", low=-5.0, high=5.0, default=4.0) for i in range(4)]

    def sphere(settings: dict, epoch: int) -> float:
        off = random.Random(f"{sorted(settings.items())}").gauss(0, 1) * (9 - epoch) / 9
        return sum((settings[key] - 1) ** 2 for key in settings) + off

    def best(name: str, seed: int) -> float:
        search = sim.new(name, space=space, epochs=700, seed=seed, max_epochs=9)
        sim.run(search, sphere)
        return search.state().best().value

    evolved, drawn = best("dehb", 1), best("hyperband", 1)
    assert evolved < 0.5  # 1 in 5,000 points of the cube is that near
    assert evolved < drawn / 3


def test_dehb_replaces_a_member_by_its_better_child_only():
    search = sim.new("dehb", epochs=600)
    sim.run(search)
    found = search.state()
    strategy = search.strategy
    for epochs, size in strategy.sizes.items():
        members = strategy.population(found, epochs)
        assert len(members) == size
        assert {value for _, value in members} <= {c.at(epochs, 1) for c in found.configs}


def test_tpe_proposes_better_than_chance():
    def late(name: str) -> float:
        values = []
        for seed in range(3):
            search = sim.new(name, trials=24, prune=False, seed=seed)
            sim.run(search)
            values += [sim.final(config.settings) for config in search.state().configs[12:]]
        return sorted(values)[len(values) // 2]

    assert late("bayesian") - 0.2 < 0.8 * (late("random") - 0.2)  # 0.2 is the best there is


def test_a_ranking_looks_at_equal_epochs_only():
    search = sim.new("asha", trials=30)
    sim.run(search)
    found = search.state()
    ranking = samplers.ranked(found, (1, 3, 9, 27), enough=4)
    common = max(e for e in (1, 3, 9, 27) if sum(c.at(e, 1) is not None for c in found.configs) >= 4)
    there = [config.at(common, 1) for config in ranking if config.epochs >= common]
    assert there == sorted(there)
    furthest = [max(e for e in (1, 3, 9, 27) if e <= common and config.epochs >= e) for config in ranking]
    assert furthest == sorted(furthest, reverse=True)
    assert len(ranking) == len(found.configs)


def test_weights_rule_random_trials_relations_and_steps_hold():
    space = [
        sim.parameter("a", "enum", choices=("x", "y", "z"), weights=(0.0, 1e-9, 1.0), default="y"),
        sim.parameter("low", low=1.0, high=20.0, default=2.0, depends_on="< high"),
        sim.parameter("high", low=1.0, high=20.0, default=3.0),
        sim.parameter("flag", "bool", default=True),
        sim.parameter("power", "int", 5, 300, math_cond="^ 2", default=64),
        sim.parameter("steps", "enum", choices=([10, 60], [5, 8]), default=[10, 60]),
        sim.parameter("bounded", low=1.0, high=20.0, default=2.0, depends_on="<= given"),
    ]
    for name in ("random", "bayesian", "dehb"):
        search = sim.new(name, space=space, trials=30, given={"given": 5.0}, max_epochs=3)
        while (leg := search.ask()) is not None:
            for epoch in range(sim.done_before(search, leg) + 1, 4):
                if search.report(leg, epoch, leg.settings["low"] + 1 / epoch):
                    break
            search.tell(leg, Result(value=leg.settings["low"]))
        proposed = [config.settings for config in search.state().configs[1:]]
        assert {s["a"] for s in proposed} == {"z"} or name != "random"
        assert "x" not in {s["a"] for s in proposed}
        assert all(s["low"] < s["high"] for s in proposed)
        assert all(s["bounded"] <= 5.0 for s in proposed)
        assert all(s["power"] in (8, 16, 32, 64, 128, 256) for s in proposed)
        assert {type(s["flag"]) for s in proposed} == {bool}
        assert {tuple(s["steps"]) for s in proposed} == {(10, 60), (5, 8)}


def test_a_small_space_is_tried_once_and_then_it_ends():
    space = [sim.parameter("flag", "bool", default=True), sim.parameter("n", "int", 1, 2, default=1)]
    search = sim.new("bayesian", space=space, trials=50, prune=False)
    sim.run(search, lambda settings, _e: settings["n"] + settings["flag"])
    settings = [tuple(config.settings.values()) for config in search.state().configs]
    assert sorted(settings) == sorted(set(settings))
    assert len(settings) == 4


def test_a_budget_smaller_than_one_training_gives_what_it_can():
    for name in QUICK:
        search = sim.new(name, epochs=5)
        sim.run(search)
        assert search.state().totals()["epochs"] <= 5, name
        assert search.state().best() is not None


# An agent


def test_an_agent_proposes_and_the_bank_trains():
    search = sim.new("agent", trials=3)
    assert search.ask().origin == "given"
    assert search.ask() is None
    assert not search.done
    assert search.enqueue({"lr": 0.02}) == {"lr": 0.02, "dropout": 0.5, "width": 32, "norm": "batch"}
    leg = search.ask()
    assert (leg.settings["lr"], leg.origin) == (0.02, "queue")
    sim.train(search, leg)
    search.tell_outside({"lr": 0.01, "dropout": 0.3, "width": 48, "norm": "batch"}, 0.15)
    search.enqueue({"norm": "layer"}, base=leg.config)
    assert search.ask().settings == {"lr": 0.02, "dropout": 0.5, "width": 32, "norm": "layer"}
    for number in (0, 3):
        search.tell(search.state().legs[number], Result(value=0.5 + number))
    assert search.ask() is None
    assert search.done
    assert search.state().best().number == leg.config, "what was trained elsewhere has no checkpoint here, and cannot win"
    suggested = search.suggest(3)
    assert len({str(s) for s in suggested}) == 3
    assert search.state().totals()["trials"] == 4


def test_all_that_is_wrong_with_a_proposal_is_said_at_once():
    search = sim.new("agent", trials=4)
    with pytest.raises(UsageError) as caught:
        search.enqueue({"lr": 9.0, "width": 33, "speed": 1, "norm": "none"})
    said = "\n".join(map(str, caught.value.problems))
    assert "lr: 9.0 is not searched; allowed: 0.0001 to 0.3" in said
    assert "width: 33 is not searched; allowed: 8 to 64, multiples of 8" in said
    assert "speed: not searched; searched are lr, dropout, width, norm" in said
    assert "norm: 'none' is not searched; allowed: batch, layer" in said
    with pytest.raises(UsageError, match="no configuration 9"):
        search.enqueue({"lr": 0.1}, base=9)


@pytest.mark.parametrize("name", QUICK)
def test_proposals_of_an_agent_come_first_in_any_search(name):
    search = sim.new(name, trials=12)
    sim.train(search, search.ask())
    search.enqueue({"lr": 0.012, "dropout": 0.3, "width": 48})
    legs = sim.run(search)
    assert legs[0].settings["lr"] == 0.012
    assert search.state().totals()["trials"] == 12


def test_impossible_settings_are_adjusted_and_the_adjustment_is_noted():
    search = sim.new("random", trials=6)
    search.adjust = lambda settings: ({**settings, "width": 8}, ["width: 8, there are 8 sequences"])
    sim.run(search)
    assert {config.settings["width"] for config in search.state().configs[1:]} == {8}
    assert search.study.trials[1].user_attrs["adjustments"] == ["width: 8, there are 8 sequences"]


# Several workers


@pytest.mark.parametrize("name", QUICK)
@pytest.mark.parametrize("workers", [2, 7])
def test_several_workers_in_any_order(name, workers):
    search = sim.new(name, trials=25)

    def watch(legs: list) -> None:
        assert len({leg.config for leg in legs}) == len(legs)

    sim.run_parallel(search, workers, seed=workers, watch=watch)
    found = search.state()
    assert found.totals()["trials"] == 25
    assert found.best().epochs == sim.MAX
    assert quality(search) < 0.45
    assert not [t for t in search.study.trials if not t.state.is_finished()]
    assert len({str(config.settings) for config in found.configs}) == 25


@pytest.mark.parametrize("name", QUICK)
def test_an_epoch_budget_holds_with_several_workers(name):
    search = sim.new(name, epochs=200)
    sim.run_parallel(search, 4, seed=1)
    assert search.state().totals()["epochs"] <= 200


def test_two_processes_that_decide_the_same_train_it_once():
    study = optuna.create_study()
    one, two = sim.new("random", study, trials=9), sim.new("random", study, trials=9)
    stale = one.state()
    for search in (one, two):  # both look before either writes
        search._enqueue(search.strategy.next(stale), stale)
    legs = [leg for leg in (one._pop(), two._pop()) if leg]
    assert [leg.number for leg in legs] == [0]
    sim.train(one, legs[0])
    sim.run(two)
    assert two.state().totals()["trials"] == 9


# Kills


def killing(study: optuna.Study, monkeypatch, at: int) -> None:
    """The study's storage dies before its write number ``at``."""
    count = 0

    def wrap(write):
        def dying(*args, **kwargs):
            nonlocal count
            count += 1
            if count == at:
                raise sim.Killed
            return write(*args, **kwargs)

        return dying

    for name in (
        "create_new_trial",
        "set_trial_state_values",
        "set_trial_user_attr",
        "set_trial_intermediate_value",
        "set_trial_param",
    ):
        monkeypatch.setattr(study._storage, name, wrap(getattr(study._storage, name)))


def outcome(search) -> tuple:
    found = search.state()
    configs = [(config.settings, config.state, config.epochs, config.value) for config in found.configs]
    return configs, found.totals(), found.best().settings


@pytest.mark.parametrize("name", QUICK)
def test_a_kill_before_any_write_changes_nothing(name, monkeypatch):
    words = {"trials": 7, "max_epochs": sim.MAX, "min_epochs": 9 if name != "asha" else 3}
    whole = sim.new(name, **words)
    sim.run(whole)
    writes = sum(4 + len(t.intermediate_values) for t in whole.study.trials)
    for at in range(1, writes, 3 if name == "hyperband" else 11):
        study = optuna.create_study()
        with monkeypatch.context() as patch:
            killing(study, patch, at)
            with contextlib.suppress(sim.Killed):
                sim.run(sim.new(name, study, **words))
        again = sim.new(name, study, **words)
        again.take_up(lambda _leg: True)
        sim.run(again)
        assert outcome(again) == outcome(whole), at
        assert {t.state for t in study.trials} <= {TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL}


def test_kills_again_and_again_with_several_workers(monkeypatch):
    source = random.Random(4)
    for name in QUICK:
        study = optuna.create_study()
        for _ in range(12):
            with monkeypatch.context() as patch:
                killing(study, patch, source.randint(1, 60))
                search = sim.new(name, study, trials=14)
                try:
                    search.take_up(lambda _leg: True)
                    sim.run_parallel(search, 3, seed=source.randint(0, 99))
                except sim.Killed:
                    continue
        last = sim.new(name, study, trials=14)
        last.take_up(lambda _leg: True)
        sim.run_parallel(last, 3, seed=0)
        found = last.state()
        assert found.totals()["trials"] == 14
        assert found.totals()["running"] == found.totals()["lost"] == found.totals()["waiting"] == 0
        assert all(config.epochs == max(config.curve) for config in found.configs)
        assert found.best().epochs == sim.MAX


def test_what_is_released_is_taken_up_and_counts_once():
    search = sim.new("bayesian", trials=3)
    leg = search.ask()
    search.started(leg, "job-1")
    for epoch in (1, 2, 3):
        search.report(leg, epoch, sim.curve(leg.settings, epoch))
    search.release(leg)
    assert search.state().totals()["lost"] == 1
    resumed = sim.new("bayesian", search.study, trials=3)
    again = resumed.ask()
    assert (again.again, again.config, again.settings) == (0, 0, leg.settings)
    assert resumed.state().legs[again.again].job_id == "job-1"
    sim.train(resumed, again)
    sim.run(resumed)
    assert resumed.state().totals()["trials"] == 3


def test_a_living_owner_is_left_alone():
    study = optuna.create_study()
    one, two = sim.new("random", study, trials=4), sim.new("random", study, trials=4)
    two.owner = "you"
    mine, yours = one.ask(), two.ask()
    assert one.take_up(lambda leg: leg.owner == "nobody") == []
    assert [leg.number for leg in two.take_up(lambda leg: leg.owner == "me")] == [mine.number]
    sim.train(two, yours)
    sim.run(two)
    assert two.state().totals()["trials"] == 4


def test_a_worker_thought_dead_loses_its_leg_and_ends_it():
    study = optuna.create_study()
    slow, other = sim.new("random", study, trials=2, prune=False), sim.new("random", study, trials=2, prune=False)
    leg = slow.ask()
    assert not slow.report(leg, 1, 1.0)
    other.take_up(lambda _leg: True)
    again = other.ask()
    assert slow.report(leg, 2, 0.9)
    slow.tell(leg, Result(value=0.1))
    assert other.state().configs[0].state == "running"
    sim.train(other, again)
    sim.run(other)
    assert other.state().totals()["trials"] == 2
    assert 0.1 not in {config.value for config in other.state().configs}


def test_a_result_noted_before_the_kill_is_kept():
    search = sim.new("random", trials=2, prune=False)
    leg = search.ask()
    search.report(leg, 27, 0.4)
    search._trials[leg.number].set_user_attr("result", {"state": "complete", "value": 0.4})
    again = sim.new("random", search.study, trials=2, prune=False)
    assert again.take_up(lambda _leg: True) == []
    assert again.state().configs[0].value == 0.4
    assert search.study.trials[0].value == 0.4


def test_a_trial_that_nobody_gave_settings_is_no_leg():
    study = optuna.create_study()
    study.enqueue_trial({"lr": 0.1})
    search = sim.new("random", study, trials=3)
    sim.run(search)
    assert search.state().totals()["trials"] == 3
    assert state.read(study, 1).legs[0].state == "withdrawn"
