"""What the channels of a keypoint hold: places, and perhaps a score. Plain numbers in and out; knows no arrays, no settings."""

from __future__ import annotations

from collections.abc import Sequence

AUTO = -2  # in settings: a score that is still to be found
SPATIAL = 3  # channels at most that are places: x, y and, where there is one, z
LEAST = 0.3  # that a score reaches somewhere in a data set


def places(channels: int, score: int) -> list[int]:
    """The channels that hold a place; ``score`` is the one that does not, negative where there is none."""
    return [channel for channel in range(channels) if channel != score][:SPATIAL]


def score_of(low: Sequence[float], high: Sequence[float]) -> tuple[int, int]:
    """Which channel is a score, from the lowest and the highest value of each.

    It is the last one, if it stays between 0 and 1, and is the fourth or the only one that does so.

    Returns:
        The channel, -1 where none is; and the channel that may be one for all that is known, since every channel stays between
        0 and 1, else -1.
    """
    within = [least >= 0 and most <= 1 for least, most in zip(low, high, strict=True)]
    last = len(within) - 1
    if last < 2 or not within[last] or high[last] <= LEAST:
        return -1, -1
    if last >= SPATIAL or not any(within[:last]):
        return last, -1
    return -1, last if all(within) else -1
