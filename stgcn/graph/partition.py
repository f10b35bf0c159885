"""From a layout to the matrices of the graph convolution. Knows no names of layouts."""

from __future__ import annotations

from typing import Literal

import numpy as np

from stgcn.graph.layout import Layout

Strategy = Literal["uniform", "distance", "spatial"]


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
