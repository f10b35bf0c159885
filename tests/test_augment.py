from __future__ import annotations

import numpy as np
import pytest

from stgcn import config
from stgcn.augment import augmenter, prepared_first, random_choose, random_move, window_note
from stgcn.graph import LAYOUTS
from stgcn.prepare import prepare


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


COCO = LAYOUTS["coco"]
STILL = {"rotation": 0.0, "scale": 0.0}  # switches off what is on by default
ALL = {
    "rotation": 20.0,
    "scale": 0.2,
    "shear": 0.1,
    "shift": 0.1,
    "noise": 0.02,
    "joint_dropout": 0.1,
    "frame_dropout": 0.1,
    "temporal_crop": 0.5,
    "mirror": 0.5,
}


def body(frames=30, valid=24, channels=3, persons=2, seed=0):
    """Sequences away from the origin, zero-padded at the end, two joints missing here and there."""
    data = np.random.default_rng(seed).normal(5, 1, (channels, frames, 17, persons)).astype(np.float32)
    data[:, valid:] = 0
    data[:, 3:6, 4, 0] = 0
    data[:, :, 9, -1] = 0
    return data


def augment(channels=3, preparation=None, **changes):
    dataset = config.Dataset(
        augmentation=config.Augmentation(enabled=True, **{**STILL, **changes}),
        preparation=config.Preparation(**(preparation or {})),
    )
    found = augmenter(dataset, COCO, channels)
    assert found is not None
    return found


def middle(data, axes):
    present = data.any(axis=0)
    return np.array([data[a][present].mean() for a in axes])


def extent(data, axis):
    return data[axis][data.any(axis=0)].std()


def test_augmentation_is_off_by_default():
    assert augmenter(config.Dataset(), COCO, 3) is None


@pytest.mark.parametrize("channels", [2, 3])
def test_turns_keep_distances_and_the_middle_of_the_body(channels):
    data, angles = body(channels=channels), []
    for seed in range(40):
        turned = augment(channels, rotation=30.0)(data, rng(seed))
        for a, b in ((0, 1), (5, 11)):
            before, after = (np.linalg.norm(d[:, 0, a] - d[:, 0, b]) for d in (data, turned))
            assert after == pytest.approx(before, rel=1e-4)
        np.testing.assert_allclose(middle(turned, range(channels)), middle(data, range(channels)), atol=1e-3)
        line = [(d[:2, 0, 5, 0] - d[:2, 0, 6, 0]) for d in (data, turned)]
        angles.append(np.degrees(np.arctan2(*line[1][::-1]) - np.arctan2(*line[0][::-1])))
    if channels == 2:
        angles = (np.array(angles) + 180) % 360 - 180
        assert np.abs(angles).max() <= 30.01
        assert np.abs(angles).max() > 20
        assert angles.min() < 0 < angles.max()


def test_three_coordinates_turn_about_every_axis():
    data = body()
    turned = augment(rotation=30.0)(data, rng(1))
    assert all(np.abs(turned[axis, :24] - data[axis, :24]).max() > 0.05 for axis in range(3))


def test_scale_stretches_each_axis_and_shear_adds_one_to_another():
    data = body(channels=2)
    factors = []
    for seed in range(60):
        scaled = augment(2, scale=0.2)(data, rng(seed))
        factors.append([extent(scaled, axis) / extent(data, axis) for axis in range(2)])
        sheared = augment(2, shear=0.3)(data, rng(seed))
        present = data.any(axis=0)
        x, y = (data[axis][present] - data[axis][present].mean() for axis in range(2))
        moved = sheared[0][present] - sheared[0][present].mean()
        share, *_ = np.linalg.lstsq(np.stack([x, y], axis=1), moved, rcond=None)
        assert share[0] == pytest.approx(1, abs=1e-3)
        assert abs(share[1]) <= 0.3
    factors = np.array(factors)
    assert factors.min() >= 0.8 - 1e-3
    assert factors.max() <= 1.2 + 1e-3
    assert np.ptp(factors, axis=0).min() > 0.3
    assert np.abs(factors[:, 0] - factors[:, 1]).max() > 0.1


def test_shift_and_noise_are_shares_of_the_spread():
    data = body()
    present = data.any(axis=0)
    spread = np.sqrt(sum((data[a][present] - data[a][present].mean()) ** 2 for a in range(3)).mean())
    for scale in (1.0, 100.0):
        big = data * np.float32(scale)
        moves = []
        for seed in range(60):
            moved = augment(shift=0.3)(big, rng(seed))
            moves.append(middle(moved, range(3)) - middle(big, range(3)))
            everywhere = moves[-1][:, None].repeat(present.sum(), axis=1)
            np.testing.assert_allclose(moved[:, present] - big[:, present], everywhere, rtol=1e-2, atol=1e-5 * scale)
        assert 0.25 < np.abs(moves).max() / (spread * scale) <= 0.3
        shaken = augment(noise=0.05)(big, rng())[:, present] - big[:, present]
        assert shaken.std() == pytest.approx(0.05 * spread * scale, rel=0.1)


def test_a_mirror_exchanges_sides_about_the_middle_and_leaves_the_score_alone():
    data = body()
    with_score = augment(preparation={"confidence_channel": 2}, mirror=1.0)
    mirrored = with_score(data, rng())
    left, right = 5, 6
    present = data[:, :, right].any(axis=0)
    center = middle(data, [0])[0]
    np.testing.assert_allclose(mirrored[0, :, left][present], 2 * center - data[0, :, right][present], rtol=1e-4)
    assert np.array_equal(mirrored[2, :, left], data[2, :, right])
    np.testing.assert_allclose(mirrored[1, :, 0], data[1, :, 0], rtol=1e-5)
    np.testing.assert_allclose(with_score(mirrored, rng()), data, rtol=1e-4)
    never = augment(mirror=0.25)
    assert 5 < sum(not np.array_equal(never(data, rng(seed)), data) for seed in range(60)) < 28


def test_the_score_is_no_coordinate():
    data = body()
    for name in ("rotation", "scale", "shear", "shift", "noise"):
        changed = augment(preparation={"confidence_channel": 1}, **{name: 0.5 if name != "rotation" else 60.0})(data, rng(2))
        assert np.array_equal(changed[1], data[1]), name
        assert not np.allclose(changed[[0, 2]], data[[0, 2]]), name


def test_what_is_missing_stays_zero_whatever_changes():
    data = body()
    missing = ~data.any(axis=0)
    for seed in range(30):
        changes = ALL | {"temporal_crop": 1.0, "mirror": 0.0}
        changed = augment(**changes)(data, rng(seed))
        assert changed.shape == data.shape
        assert changed.dtype == np.float32
        assert not changed[:, missing].any()
        everything = augment(**ALL)(data, rng(seed))
        assert not everything[:, 24:].any()
        assert everything.any()
    nothing = np.zeros_like(data)
    assert not augment(**ALL)(nothing, rng()).any()


def test_the_input_is_never_written_to():
    data = body()
    before = data.copy()
    for name, value in ALL.items():
        augment(**{name: value})(data, rng(3))
    assert np.array_equal(data, before)


def test_a_body_that_preparation_centred_stays_centred():
    """The joint at the origin looks missing; so all others turn about it, not about their middle."""
    data = prepare(body(channels=2, persons=1), config.Preparation(center="frame"), COCO)
    assert not data[:, :, COCO.center].any()
    turned = augment(2, preparation={"center": "frame"}, rotation=60.0)(data, rng(1))
    np.testing.assert_allclose(np.linalg.norm(turned, axis=0), np.linalg.norm(data, axis=0), rtol=1e-4, atol=1e-5)


def test_dropouts_leave_out_whole_joints_and_frames_but_never_all():
    data = np.ones((3, 40, 17, 2), np.float32)
    joints, frames = [], []
    for seed in range(100):
        gone = ~augment(joint_dropout=0.2)(data, rng(seed)).any(axis=0)
        assert np.array_equal(gone.all(axis=(0, 2)), gone.any(axis=(0, 2)))
        joints.append(gone[0, :, 0].mean())
        gone = ~augment(frame_dropout=0.3)(data, rng(seed)).any(axis=0)
        assert np.array_equal(gone.all(axis=(1, 2)), gone.any(axis=(1, 2)))
        frames.append(gone[:, 0, 0].mean())
        assert augment(joint_dropout=0.9)(data[:, :, :2], rng(seed)).any()
    assert np.mean(joints) == pytest.approx(0.2, abs=0.03)
    assert np.mean(frames) == pytest.approx(0.3, abs=0.03)


def test_a_cut_is_a_piece_of_the_valid_part_stretched_over_it():
    data = np.zeros((3, 30, 17, 1), np.float32)
    data[:, :21] = np.arange(1, 22, dtype=np.float32)[:, None, None]
    shares = []
    for seed in range(80):
        cut = augment(temporal_crop=0.4)(data, rng(seed))[0, :, 0, 0]
        assert not cut[21:].any()
        assert cut[0] >= 1
        assert cut[20] <= 21 + 1e-4
        steps = np.diff(cut[:21])
        np.testing.assert_allclose(steps, steps[0], atol=1e-4)
        shares.append(steps[0])
    assert 0.4 - 1e-3 <= min(shares) < 0.5
    assert 0.9 < max(shares) <= 1


def test_a_cut_comes_before_the_resampling_of_preparation():
    """So a piece is made of its own frames, not of the few that resampling would have left of them."""
    data = np.zeros((3, 300, 17, 1), np.float32)
    data[:, :200] = rng().normal(5, 1, (200, 1, 1))
    dataset = config.Dataset(
        augmentation=config.Augmentation(enabled=True, rotation=0.0, scale=0.0, temporal_crop=0.3),
        preparation=config.Preparation(window=8),
    )
    first = prepared_first(dataset)
    assert (first.window, prepared_first(config.Dataset(preparation=config.Preparation(window=8))).window) == (-1, 8)
    change = augmenter(dataset, COCO, 3)
    assert change is not None
    for seed in range(10):
        cut = change(prepare(data, first, COCO), rng(seed))
        assert cut.shape == (3, 8, 17, 1)
        drawn = rng(seed)
        share = drawn.uniform(0.3, 1)
        start = drawn.uniform(0, 1 - share)
        wanted = np.interp(199 * np.linspace(start, start + share, 8), np.arange(200), data[0, :200, 0, 0])
        np.testing.assert_allclose(cut[0, :, 0, 0], wanted, rtol=1e-5)


def test_augmentation_follows_from_its_generator():
    data = body()
    change = augment(**ALL)
    assert np.array_equal(change(data, rng(5)), change(data, rng(5)))
    assert not np.array_equal(change(data, rng(5)), change(data, rng(6)))
