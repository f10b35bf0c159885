"""Skeleton layouts (joints, edges, centre) and their adjacency partitions. Numpy only; knows no clip lengths, no persons."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

Strategy = Literal["uniform", "distance", "spatial"]


@dataclass(frozen=True)
class Layout:
    """A skeleton: the names of its joints, the bones as pairs of joint indices, and the joint all others are seen from."""

    name: str
    joints: tuple[str, ...]
    edges: tuple[tuple[int, int], ...]
    center: int

    @property
    def num_joints(self) -> int:
        """Number of joints V."""
        return len(self.joints)


def _layout(name: str, center: int, joints: str, edges: str, first: int = 0) -> Layout:
    """Read a layout from words: edges as ``a-b`` with joints counted from ``first``."""
    pairs = (edge.split("-") for edge in edges.split())
    return Layout(name, tuple(joints.split()), tuple((int(a) - first, int(b) - first) for a, b in pairs), center)


_KINECT = (
    "spine_base spine_mid neck head left_shoulder left_elbow left_wrist left_hand right_shoulder right_elbow right_wrist "
    "right_hand left_hip left_knee left_ankle left_foot right_hip right_knee right_ankle right_foot"
)
_KINECT_HANDS = "left_hand_tip left_thumb right_hand_tip right_thumb"

LAYOUTS: dict[str, Layout] = {
    layout.name: layout
    for layout in (
        _layout(
            "nvidia",
            0,
            "pelvis left_hip right_hip torso left_knee right_knee neck left_ankle right_ankle left_big_toe right_big_toe "
            "left_small_toe right_small_toe left_heel right_heel nose left_eye right_eye left_ear right_ear left_shoulder "
            "right_shoulder left_elbow right_elbow left_wrist right_wrist left_pinky_knuckle right_pinky_knuckle "
            "left_middle_tip right_middle_tip left_index_knuckle right_index_knuckle left_thumb_tip right_thumb_tip",
            "0-1 0-2 0-3 1-4 2-5 3-6 4-7 5-8 7-9 8-10 9-11 10-12 7-13 8-14 6-15 15-16 15-17 16-18 17-19 1-20 2-21 6-20 6-21 "
            "20-22 21-23 22-24 23-25 24-26 25-27 24-28 25-29 24-30 25-31 24-32 25-33",
        ),
        _layout(
            "openpose",
            1,
            "nose neck right_shoulder right_elbow right_wrist left_shoulder left_elbow left_wrist right_hip right_knee "
            "right_ankle left_hip left_knee left_ankle right_eye left_eye right_ear left_ear",
            "4-3 3-2 7-6 6-5 13-12 12-11 10-9 9-8 11-5 8-2 5-1 2-1 0-1 15-0 14-0 17-15 16-14",
        ),
        _layout(
            "human3.6m",
            8,
            "pelvis right_hip right_knee right_ankle left_hip left_knee left_ankle spine thorax neck head left_shoulder "
            "left_elbow left_wrist right_shoulder right_elbow right_wrist",
            "9-10 8-9 7-8 1-7 4-7 0-1 0-4 9-11 9-14 11-12 14-15 12-13 15-16 1-2 2-3 4-5 5-6",
        ),
        _layout(
            "ntu-rgb+d",
            20,
            f"{_KINECT} spine_shoulder {_KINECT_HANDS}",
            "1-2 2-21 3-21 4-3 5-21 6-5 7-6 8-7 9-21 10-9 11-10 12-11 13-1 14-13 15-14 16-15 17-1 18-17 19-18 20-19 22-23 "
            "23-8 24-25 25-12",
            first=1,
        ),
        _layout(
            "ntu_edge",
            2,
            f"{_KINECT} {_KINECT_HANDS}",
            "1-2 3-2 4-3 5-2 6-5 7-6 8-7 9-2 10-9 11-10 12-11 13-1 14-13 15-14 16-15 17-1 18-17 19-18 20-19 21-22 22-8 "
            "23-24 24-12",
            first=1,
        ),
        _layout(
            "coco",
            0,
            "nose left_eye right_eye left_ear right_ear left_shoulder right_shoulder left_elbow right_elbow left_wrist "
            "right_wrist left_hip right_hip left_knee right_knee left_ankle right_ankle",
            "16-14 14-12 17-15 15-13 12-13 6-12 7-13 6-7 8-6 9-7 10-8 11-9 2-3 2-1 3-1 4-2 5-3 4-6 5-7",
            first=1,
        ),
    )
}


def adjacency(layout: Layout, strategy: Strategy) -> np.ndarray:
    """Column-normalised adjacency, split into the partitions of ``strategy``; float32 (K, V, V), their sum is A / degree.

    ``uniform`` is one partition; ``distance`` parts a joint from its neighbours; ``spatial`` further parts the neighbours
    that are nearer to the centre from the others. ST-GCN measures the way to the centre in hops up to 1, so joints
    farther away are all infinitely far and count as equally far: published weights were learned so, and it is kept.
    """
    hops = np.full((layout.num_joints, layout.num_joints), np.inf)
    for a, b in layout.edges:
        hops[a, b] = hops[b, a] = 1
    np.fill_diagonal(hops, 0)
    linked = (hops <= 1).astype(np.float64)
    normalised = linked / linked.sum(axis=0)
    to_center = hops[:, layout.center]
    nearer = to_center[:, None] < to_center[None, :]
    if strategy == "uniform":
        masks = [hops <= 1]
    elif strategy == "distance":
        masks = [hops == 0, hops == 1]
    elif strategy == "spatial":
        masks = [hops == 0, (hops == 1) & ~nearer, (hops == 1) & nearer]
    else:
        raise ValueError(f"strategy {strategy!r} is not one of uniform, distance, spatial")
    return np.stack([np.where(mask, normalised, 0) for mask in masks]).astype(np.float32)
