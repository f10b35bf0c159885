"""How many epochs a configuration gets before it is judged, and how many go on: successive halving in whole numbers only."""

from __future__ import annotations

from typing import NamedTuple


class Bracket(NamedTuple):
    """One successive halving: ``counts[i]`` configurations are trained up to ``epochs[i]``."""

    counts: tuple[int, ...]
    epochs: tuple[int, ...]


def rungs(max_epochs: int, min_epochs: int = 1, factor: int = 3, step: int = 1) -> tuple[int, ...]:
    """The epochs at which a training is judged, ascending; the last is the full training.

    Each is ``max_epochs`` divided by a power of ``factor``, at least ``min_epochs``, and put off to the next epoch that
    is validated, which every ``step``-th is.
    """
    found = {max_epochs}
    for power in range(_powers(max_epochs, max(1, min_epochs), factor) + 1):
        epochs = -(-(max_epochs // factor**power) // step) * step
        found.add(min(max_epochs, epochs))
    return tuple(sorted(found))


def brackets(max_epochs: int, min_epochs: int = 1, factor: int = 3, step: int = 1) -> list[Bracket]:
    """Hyperband's brackets, the one with most configurations first; all cost about the same.

    Of s + 1 rungs the first has ceil(S * factor**s / (s + 1)) configurations, S being the number of brackets, and every
    further one a ``factor``-th of that before it (Li et al. 2018, algorithm 1). S comes of whole divisions: a logarithm of
    floats calls 243 = 3**5 smaller than it is.
    """
    ladder = rungs(max_epochs, min_epochs, factor, step)
    found = []
    for s in range(len(ladder) - 1, -1, -1):
        first = -(-len(ladder) * factor**s // (s + 1))
        counts = tuple(max(1, first // factor**i) for i in range(s + 1))
        found.append(Bracket(counts, ladder[len(ladder) - 1 - s :]))
    return found


def _powers(high: int, low: int, factor: int) -> int:
    """The largest power with low * factor**power <= high."""
    power = 0
    while low * factor ** (power + 1) <= high:
        power += 1
    return power
