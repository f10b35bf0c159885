"""Where windows are cut from a track. Knows numbers of frames only."""

from __future__ import annotations


def window_starts(frames: int, length: int, shortest: int, overlap: float) -> list[int]:
    """First frames of the windows of ``length`` cut from a track of ``frames``.

    ``overlap`` is the share of a window that the next one repeats. The last window may be shorter, down to ``shortest``;
    none lies wholly inside the one before.
    """
    if frames < shortest:
        return []
    step = max(1, int(length * (1 - overlap) + 1e-9))
    last_useful = max(0, frames - length + step - 1)  # the first window that reaches the end starts here or before
    return list(range(0, min(frames - shortest, last_useful) + 1, step))
