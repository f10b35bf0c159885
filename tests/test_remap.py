"""Sequences of one layout as another one has them."""

from __future__ import annotations

import numpy as np
import pytest

from stgcn.graph import LAYOUTS, from_plain
from stgcn.remap import plan, remap

NAMES = list(LAYOUTS)


def how(source, target):
    return {row.joint: (row.how, row.says()) for row in plan(LAYOUTS[source], LAYOUTS[target])}


@pytest.mark.parametrize("name", NAMES)
def test_onto_itself_is_a_copy(name):
    data = np.random.default_rng(0).normal(size=(2, 3, LAYOUTS[name].num_joints, 3)).astype(np.float32)
    mapped, rows = remap(data, LAYOUTS[name], LAYOUTS[name])
    np.testing.assert_array_equal(mapped, data)
    assert mapped.dtype == np.float32
    assert {row.how for row in rows} == {"same"}


@pytest.mark.parametrize(
    ("source", "target", "joint", "says"),
    [
        ("coco", "openpose", "neck", ("derived", "middle of left_shoulder and right_shoulder")),
        ("coco", "human3.6m", "pelvis", ("derived", "middle of left_hip and right_hip")),
        ("coco", "human3.6m", "spine", ("derived", "middle of left_hip, right_hip, left_shoulder and right_shoulder")),
        ("openpose", "human3.6m", "spine", ("derived", "0.25 left_hip + 0.25 right_hip + 0.5 neck")),
        ("body_25", "nvidia", "pelvis", ("synonym", "mid_hip")),
        ("halpe_26", "nvidia", "pelvis", ("synonym", "hip")),
        ("mediapipe_33", "ntu-rgb+d", "left_hand", ("derived", "middle of left_index and left_pinky")),
        ("mediapipe_33", "nvidia", "right_big_toe", ("synonym", "right_foot_index")),
        ("coco", "ntu-rgb+d", "left_thumb", ("missing", "missing: zero")),
        ("hand_21", "coco", "left_wrist", ("missing", "missing: zero")),
    ],
)
def test_how_a_joint_comes_about(source, target, joint, says):
    assert how(source, target)[joint] == says


def test_openpose_to_coco_and_back_is_exact():
    there = how("openpose", "coco")
    assert {kind for kind, _ in there.values()} == {"same"}
    data = np.random.default_rng(1).normal(size=(5, 17, 2))
    middle, _ = remap(data, LAYOUTS["coco"], LAYOUTS["openpose"])
    back, _ = remap(middle, LAYOUTS["openpose"], LAYOUTS["coco"])
    np.testing.assert_array_equal(back, data)
    np.testing.assert_allclose(middle[:, 1], data[:, [5, 6]].mean(axis=1))


def test_a_middle_of_a_missing_joint_is_missing():
    data = np.ones((2, 17, 3), np.float32)
    data[1, 5] = 0
    mapped, _ = remap(data, LAYOUTS["coco"], LAYOUTS["openpose"])
    np.testing.assert_array_equal(mapped[:, 1], [[1, 1, 1], [0, 0, 0]])


@pytest.mark.parametrize("source", NAMES)
@pytest.mark.parametrize("target", NAMES)
def test_shares_come_to_one_and_lie_where_the_derivation_says(source, target):
    """On a figure whose joints lie on one spot, all that is not missing lies there too."""
    rows = plan(LAYOUTS[source], LAYOUTS[target])
    assert [row.joint for row in rows] == list(LAYOUTS[target].joints)
    for row in rows:
        assert sum(row.shares) == pytest.approx(1 if row.sources else 0)
    mapped, _ = remap(np.full((LAYOUTS[source].num_joints, 2), 3.0), LAYOUTS[source], LAYOUTS[target])
    assert set(mapped.ravel().round(9)) <= {0.0, 3.0}


def test_spellings_of_custom_layouts():
    layout, _ = from_plain({"joints": ["LShoulder", "RShoulder", "Nose"], "edges": [[0, 1], [0, 2]], "center": 0}, "mine")
    rows = {row.joint: row for row in plan(layout, LAYOUTS["openpose"])}
    assert rows["left_shoulder"].sources == ("LShoulder",)
    assert rows["neck"].sources == ("LShoulder", "RShoulder")
    with pytest.raises(ValueError, match="3, C"):
        remap(np.zeros((4, 2)), layout, LAYOUTS["coco"])
