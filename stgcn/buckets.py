"""Batches of sequences of like length, so that little of a batch is padding. Knows indices; knows no data."""

from __future__ import annotations

import numpy as np

POOL = 16  # batches within which sequences change places: enough to find their like, few enough to stay in random company


def gathered(order: np.ndarray, lengths: np.ndarray, batch: int, rng: np.random.Generator) -> np.ndarray:
    """The indices of ``order`` in batches of like ``lengths`` (of all sequences); which batch comes when is drawn.

    An epoch holds the same indices as before, and only its last batch may be smaller.
    """
    whole = len(order) - len(order) % batch
    taken = []
    for pool in np.split(order, range(POOL * batch, len(order), POOL * batch)):
        taken.append(pool[np.argsort(lengths[pool], kind="stable")])
    sorted_within = np.concatenate(taken) if taken else order
    batches = sorted_within[:whole].reshape(-1, batch)
    return np.concatenate([rng.permutation(batches).reshape(-1), sorted_within[whole:]])
