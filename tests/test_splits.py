from __future__ import annotations

import time
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import settings as with_settings
from hypothesis import strategies as st

from stgcn import splits
from stgcn.errors import DataError, SpecError


@pytest.mark.parametrize(
    ("text", "expected"),
    [("0.7,0.15,0.15", (0.7, 0.15, 0.15)), ("80, 20", (0.8, 0.2, 0)), ("1,0,0", (1, 0, 0)), ("6/2/2", (0.6, 0.2, 0.2))],
)
def test_shares(text, expected):
    assert splits.shares(text) == pytest.approx(expected)


@pytest.mark.parametrize("text", ["", "1", "a,b,c", "0,1,0", "0.5,-1,0.5", "1,2,3,4", "nan,1,1", "inf,1,1"])
def test_shares_that_are_none(text):
    with pytest.raises(SpecError, match=r"0\.7,0\.15,0\.15"):
        splits.shares(text)


@pytest.mark.parametrize(
    ("word", "name"),
    [("Training", "train"), ("valid", "val"), ("xsub_train", "train"), ("TEST", "test"), ("walk", None), (None, None)],
)
def test_names_of_sets(word, name):
    assert splits.set_name(word) == name


@pytest.mark.parametrize("text", ["0.5,0.9", "0.7,0.15,0.015", "70.5,15,1"])
def test_shares_that_do_not_add_up(text):
    with pytest.raises(SpecError, match="add up to"):
        splits.shares(text)
    assert splits.shares("0.33,0.33,0.33") == pytest.approx((1 / 3, 1 / 3, 1 / 3))


def test_each_class_is_divided_by_the_shares():
    groups = {f"{c}-{i}": {c: 3} for c in range(4) for i in range(20)}
    chosen = splits.divide(groups, splits.DEFAULT, seed=1)
    for c in range(4):
        assert Counter(chosen[f"{c}-{i}"] for i in range(20)) == {"train": 14, "val": 3, "test": 3}
    assert chosen == splits.divide(groups, splits.DEFAULT, seed=1) != splits.divide(groups, splits.DEFAULT, seed=2)


@pytest.mark.parametrize(("count", "expected"), [(2, {"train": 1, "val": 1}), (3, {"train": 1, "val": 1, "test": 1})])
def test_small_classes_are_in_train_and_val_first(count, expected):
    groups = {i: {0: 1} for i in range(count)}
    assert Counter(splits.divide(groups, splits.DEFAULT, seed=0).values()) == expected


def test_subjects_of_all_classes_give_sets_with_all_classes():
    groups = {f"s{i}": {c: 1 + (i * c) % 3 for c in range(6)} for i in range(10)}
    chosen = splits.divide(groups, splits.DEFAULT, seed=5)
    sizes = Counter()
    for group, name in chosen.items():
        sizes[name] += sum(groups[group].values())
    total = sum(sizes.values())
    assert sizes["train"] / total == pytest.approx(0.7, abs=0.1)
    assert set(chosen.values()) == {"train", "val", "test"}


def test_one_group_cannot_be_divided():
    with pytest.raises(DataError, match="split=1,0,0"):
        splits.divide({"only": {0: 5, 1: 5}}, splits.DEFAULT, seed=0)
    assert splits.divide({"only": {0: 5}}, (1, 0, 0), seed=0) == {"only": "train"}


@with_settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(
        st.integers(0, 30),
        st.dictionaries(st.integers(0, 4), st.integers(1, 9), min_size=1, max_size=5),
        min_size=3,
        max_size=25,
    ),
    st.integers(0, 99),
)
def test_whatever_the_groups_no_set_is_empty_and_nobody_is_forgotten(groups, seed):
    chosen = splits.divide(groups, splits.DEFAULT, seed)
    assert set(chosen) == set(groups)
    assert {"train", "val"} <= set(chosen.values()) <= set(splits.SETS)


def test_thousands_of_groups_take_a_moment():
    groups = {i: {i % 60: 1, (i * 7) % 60: 2} for i in range(20_000)}
    start = time.perf_counter()
    chosen = Counter(splits.divide(groups, splits.DEFAULT, seed=0).values())
    assert time.perf_counter() - start < 10
    assert chosen["train"] / 20_000 == pytest.approx(0.7, abs=0.02)


def test_groups_on_two_sides_are_named():
    assert splits.straddling(["a", "a", "b"], ["train", "val", "val"]) == ["a (train, val)"]
