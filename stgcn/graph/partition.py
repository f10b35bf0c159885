"""From a layout to the matrices of the graph convolution, and to its bones. Knows no names of layouts.

numpy is imported where matrices are made: a plan, which has no time for that, only looks layouts up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from stgcn.graph.layout import Layout

if TYPE_CHECKING:
    import numpy as np

Strategy = Literal["uniform", "distance", "spatial"]


def adjacency(layout: Layout, strategy: Strategy) -> np.ndarray:
    """Column-normalised adjacency, split into the partitions of ``strategy``; float32 (K, V, V), their sum is A / degree.

    ``uniform`` is one partition; ``distance`` parts a joint from its neighbours; ``spatial`` further parts the neighbours
    that are nearer to the centre from the others. ST-GCN measures the way to the centre in hops up to 1, so joints
    farther away are all infinitely far and count as equally far: published weights were learned so, and it is kept.
    """
    import numpy as np

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


def rooted(layout: Layout) -> np.ndarray:
    """Adjacency of the networks that learn their graph, as the first guess; float32 (3, V, V), sums of columns are 1 or 0.

    A joint itself, its neighbours on the way to the centre, and all others, each partition normalised on its own. Ways are
    measured to their end, without the bound that ``adjacency`` has.
    """
    import numpy as np

    ways = hops_to_center(layout)
    inward, outward = np.zeros((2, layout.num_joints, layout.num_joints))
    for a, b in layout.edges:
        for giver, taker in ((a, b), (b, a)):
            (inward if ways[giver] < ways[taker] else outward)[giver, taker] = 1
    parts = [part / np.maximum(part.sum(axis=0), 1) for part in (np.eye(layout.num_joints), inward, outward)]
    return np.stack(parts).astype(np.float32)


def parents(layout: Layout) -> list[int]:
    """The next joint on the way to the centre, for each joint; the centre itself for the centre.

    Where several neighbours are equally near, it is the one with the lowest index.
    """
    ways = hops_to_center(layout)
    found = list(range(layout.num_joints))
    for joint in found.copy():
        neighbours = [b if a == joint else a for a, b in layout.edges if joint in (a, b)]
        nearer = [other for other in neighbours if ways[other] < ways[joint]]
        found[joint] = min(nearer, default=joint)
    return found


def hops_to_center(layout: Layout) -> np.ndarray:
    """Bones between each joint and the centre, (V,)."""
    import numpy as np

    ways = np.full(layout.num_joints, layout.num_joints)
    ways[layout.center] = 0
    for _ in range(layout.num_joints):  # one bone farther each time
        before = ways.copy()
        for a, b in layout.edges:
            ways[a], ways[b] = min(ways[a], ways[b] + 1), min(ways[b], ways[a] + 1)
        if (before == ways).all():
            break
    return ways
