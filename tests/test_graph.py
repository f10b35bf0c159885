from __future__ import annotations

import numpy as np
import pytest

from stgcn.config import LAYOUT_NAMES
from stgcn.graph import LAYOUTS, adjacency, canonical, from_plain

# layout: joints, edges, centre, and for TAO's the non-zero entries of the three spatial partitions
KNOWN = {
    "nvidia": (34, 35, 0, [34, 62, 8]),
    "openpose": (18, 17, 1, [18, 25, 9]),
    "human3.6m": (17, 17, 8, [17, 27, 7]),
    "ntu-rgb+d": (25, 24, 20, [25, 40, 8]),
    "ntu_edge": (24, 23, 2, [24, 41, 5]),
    "coco": (17, 19, 0, [17, 34, 4]),
    "body_25": (25, 24, 1, None),
    "halpe_26": (26, 25, 18, None),
    "mediapipe_33": (33, 39, 0, None),
    "hand_21": (21, 21, 0, None),
    "kinect_v1_20": (20, 19, 2, None),
    "smpl_24": (24, 23, 0, None),
}


def test_the_layouts_are_those_of_the_config():
    assert tuple(LAYOUTS) == LAYOUT_NAMES == tuple(KNOWN)


@pytest.mark.parametrize("name", KNOWN)
def test_layout(name):
    layout = LAYOUTS[name]
    joints, edges, center, spatial = KNOWN[name]
    assert (layout.num_joints, len(layout.edges), layout.center) == (joints, edges, center)
    assert len(set(layout.joints)) == joints
    assert len({frozenset(edge) for edge in layout.edges}) == edges
    partitions = adjacency(layout, "spatial")
    assert partitions.shape == (3, joints, joints)
    assert partitions.dtype == np.float32
    assert spatial is None or [int(np.count_nonzero(p)) for p in partitions] == spatial


@pytest.mark.parametrize("name", KNOWN)
def test_a_builtin_layout_passes_its_own_checks_and_mirrors(name):
    layout = LAYOUTS[name]
    assert from_plain(layout.as_plain(), "") == (layout, [])
    for left, right in layout.pairs:
        assert canonical(layout.joints[left]) == ("left", canonical(layout.joints[right])[1])
        assert canonical(layout.joints[right])[0] == "right"
    assert 2 * len(layout.pairs) == sum(bool(canonical(joint)[0]) for joint in layout.joints)
    mirror = {**dict(layout.pairs), **{right: left for left, right in layout.pairs}}
    bones = {frozenset(edge) for edge in layout.edges}
    assert {frozenset(mirror.get(i, i) for i in bone) for bone in bones} == bones


@pytest.mark.parametrize("name", KNOWN)
def test_every_joint_hangs_together(name):
    linked = adjacency(LAYOUTS[name], "uniform")[0] > 0
    assert (np.linalg.matrix_power(linked.astype(float), LAYOUTS[name].num_joints) > 0).all()


@pytest.mark.parametrize("name", KNOWN)
def test_partitions_part_one_normalised_matrix(name):
    layout = LAYOUTS[name]
    whole = adjacency(layout, "uniform")
    np.testing.assert_allclose(whole[0].sum(axis=0), 1, rtol=1e-6)
    for strategy, parts in (("uniform", 1), ("distance", 2), ("spatial", 3)):
        partitions = adjacency(layout, strategy)
        assert len(partitions) == parts
        np.testing.assert_array_equal(partitions.sum(axis=0), whole[0])
    distance, spatial = adjacency(layout, "distance"), adjacency(layout, "spatial")
    np.testing.assert_array_equal(spatial[0], distance[0])
    np.testing.assert_array_equal(spatial[1] + spatial[2], distance[1])


def _by_the_book(layout):
    """The spatial partition as ST-GCN defines it, joint by joint."""
    count = layout.num_joints
    neighbours = {frozenset(edge) for edge in layout.edges}
    hop = [[0 if i == j else 1 if frozenset((i, j)) in neighbours else np.inf for j in range(count)] for i in range(count)]
    degree = [sum(hop[j][i] <= 1 for j in range(count)) for i in range(count)]
    result = np.zeros((3, count, count))
    for i in range(count):
        for j in range(count):
            if hop[j][i] <= 1:
                to_i, to_j = hop[i][layout.center], hop[j][layout.center]
                part = 0 if i == j else 1 if to_j >= to_i else 2
                result[part, j, i] = 1 / degree[i]
    return result.astype(np.float32)


@pytest.mark.parametrize("name", KNOWN)
def test_spatial_is_the_original_bit_for_bit(name):
    np.testing.assert_array_equal(adjacency(LAYOUTS[name], "spatial"), _by_the_book(LAYOUTS[name]))


def test_unknown_strategy():
    with pytest.raises(ValueError, match="uniform, distance, spatial"):
        adjacency(LAYOUTS["coco"], "near")
