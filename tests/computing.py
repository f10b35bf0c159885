"""How many threads torch computes with, for a while."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from stgcn import threads


@contextmanager
def with_threads(count: int) -> Iterator[None]:
    """Compute with so many threads; what a test does to those of a pool is no other test's business."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
        threads._pools.clear()
