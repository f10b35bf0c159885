from __future__ import annotations

import numpy as np
import pytest

from stgcn.body import CLASSES, JOINTS, Person, move

SECONDS = np.linspace(0, 3, 60)
COUNT = 12


def film(action, seed=0):
    rng = np.random.default_rng(seed)
    return move(action, [Person.draw(rng) for _ in range(COUNT)], SECONDS, rng)


def height(poses, upper, lower):
    """How much higher one joint is than another, (N, T), millimetres."""
    return poses[:, :, JOINTS.index(upper), 1] - poses[:, :, JOINTS.index(lower), 1]


def swing(values):
    return np.ptp(values, axis=1).mean()


@pytest.mark.parametrize("action", CLASSES)
def test_bodies_are_of_human_size_and_their_bones_do_not_stretch(action):
    poses = film(action)
    assert poses.shape == (COUNT, 60, 34, 3)
    assert np.isfinite(poses).all()
    assert not poses[:, :, 0].any()
    for a, b, low, high in (("left_hip", "left_knee", 300, 560), ("right_elbow", "right_wrist", 170, 350)):
        length = np.linalg.norm(poses[:, :, JOINTS.index(a)] - poses[:, :, JOINTS.index(b)], axis=-1)
        assert (np.ptp(length, axis=1) < 1e-6).all()
        assert low < length.min() < length.max() < high
    assert (height(poses, "nose", "pelvis") > 200).all()
    sides = poses[:, :, JOINTS.index("left_hip"), 0] - poses[:, :, JOINTS.index("right_hip"), 0]
    assert (sides > 0).all()


def test_the_actions_look_like_their_names():
    thigh = {action: height(film(action), "left_hip", "left_knee") for action in CLASSES}
    assert thigh["standing"].min() > 300
    assert thigh["sitting"].max() < 220
    assert (thigh["sitting_down"][:, 0] > thigh["sitting_down"][:, -1]).all()
    assert (thigh["getting_up"][:, 0] < thigh["getting_up"][:, -1]).all()
    ankles = {action: film(action)[:, :, JOINTS.index("left_ankle"), 2] for action in CLASSES}
    assert swing(ankles["walking"]) > 3 * swing(ankles["standing"])
    drop = {action: height(film(action), "pelvis", "left_ankle") for action in CLASSES}
    assert swing(drop["jumping"]) > 3 * swing(drop["standing"])


def test_the_legs_of_a_walker_take_turns_and_those_of_a_jumper_do_not():
    for action, sign in (("walking", -1), ("jumping", 1)):
        poses = film(action)
        left, right = (poses[:, :, JOINTS.index(f"{side}_knee"), 2] for side in ("left", "right"))
        for a, b in zip(left, right, strict=True):
            assert sign * np.corrcoef(a, b)[0, 1] > 0.5
