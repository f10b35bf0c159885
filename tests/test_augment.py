from __future__ import annotations

import numpy as np
import pytest

from stgcn.augment import random_choose, random_move, window_note


def clip(frames=20, valid=None, seed=0):
    data = np.random.default_rng(seed).normal(size=(3, frames, 5, 2)).astype(np.float32)
    data[:, valid or frames :] = 0
    return data


def rng(seed=0):
    return np.random.default_rng(seed)


@pytest.mark.parametrize("enabled", [True, False])
@pytest.mark.parametrize("window", [-1, 20])
def test_choose_leaves_the_default_window_and_the_same_length(enabled, window):
    data = clip()
    assert random_choose(data, window, rng(), enabled) is data


def test_choose_cuts_a_contiguous_clip_anywhere():
    data, starts = clip(), set()
    for seed in range(200):
        cut = random_choose(data, 8, rng(seed), True)
        assert cut.shape == (3, 8, 5, 2)
        start = next(s for s in range(13) if np.array_equal(data[:, s : s + 8], cut))
        starts.add(start)
    assert starts == set(range(13))


def test_choose_never_cuts_an_empty_clip_out_of_the_padding():
    data = clip(frames=100, valid=10)
    for seed in range(100):
        assert np.array_equal(random_choose(data, 10, rng(seed), True), data[:, :10])
        assert random_choose(data, 4, rng(seed), True).any(axis=(0, 2, 3)).all()


def test_choose_of_an_empty_sequence_does_not_fail():
    assert random_choose(np.zeros((3, 20, 5, 1), np.float32), 8, rng(), True).shape == (3, 8, 5, 1)


def test_choose_pads_around_when_enabled_and_at_the_end_otherwise():
    data, starts = clip(), set()
    for seed in range(60):
        padded = random_choose(data, 23, rng(seed), True)
        start = int(np.flatnonzero(padded.any(axis=(0, 2, 3)))[0])
        starts.add(start)
        assert np.array_equal(padded[:, start : start + 20], data)
        assert np.count_nonzero(padded) == np.count_nonzero(data)
    assert starts == {0, 1, 2, 3}
    assert np.array_equal(random_choose(data, 23, rng(), False)[:, :20], data)


def test_without_random_choose_nothing_is_cut():
    data = clip()
    assert random_choose(data, 8, rng(), False) is data
    assert "no effect" in window_note(20, 8, False)
    assert "keeps the length" in window_note(20, -1, True)
    assert window_note(20, 30, False) is window_note(20, 8, True) is window_note(20, -1, False) is None


def test_move_is_a_similarity_of_x_and_y_in_every_frame():
    data = clip()
    moved = random_move(data, rng(3))
    assert moved.dtype == np.float32
    assert moved is not data
    assert np.array_equal(moved[2], data[2])
    before, after = data[:2].reshape(2, 20, -1), moved[:2].reshape(2, 20, -1)
    for t in range(20):  # distances between joints are all scaled by one factor
        ratio = np.linalg.norm(np.diff(after[:, t], axis=1), axis=0) / np.linalg.norm(np.diff(before[:, t], axis=1), axis=0)
        np.testing.assert_allclose(ratio, ratio[0], rtol=1e-4)
        assert 0.9 - 1e-4 <= ratio[0] <= 1.1 + 1e-4


def test_move_leaves_missing_joints_and_padding_zero():
    data = clip(valid=12)
    data[:, 3, 2] = 0
    changed = 0
    for seed in range(20):
        moved = random_move(data, rng(seed))
        assert not moved[:, 12:].any()
        assert not moved[:, 3, 2].any()
        changed += not np.array_equal(moved, data)
    assert changed > 15


def test_all_randomness_comes_from_the_generator():
    data = clip()
    for change in (lambda r: random_move(data, r), lambda r: random_choose(data, 8, r, True)):
        assert np.array_equal(change(rng(5)), change(rng(5)))
