"""Skeletons: layouts that are built in or read from a file, checked, and their adjacency partitions.

Numpy only; knows no clip lengths, no persons, no specs.
"""

from __future__ import annotations

from stgcn.graph.builtin import LAYOUTS
from stgcn.graph.layout import Layout, canonical, from_plain, pairs_by_name
from stgcn.graph.partition import Strategy, adjacency, parents, rooted
from stgcn.graph.resolve import default_name, is_path, resolve

__all__ = [
    "LAYOUTS",
    "Layout",
    "Strategy",
    "adjacency",
    "canonical",
    "default_name",
    "from_plain",
    "is_path",
    "pairs_by_name",
    "parents",
    "resolve",
    "rooted",
]
