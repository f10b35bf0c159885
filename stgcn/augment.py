"""Random changes to training sequences, numpy (C, T, V, M) in and out. Every draw comes from the given generator."""

from __future__ import annotations

import numpy as np

ANGLES = (-10.0, -5.0, 0.0, 5.0, 10.0)  # degrees
SCALES = (0.9, 1.0, 1.1)
SHIFTS = (-0.2, -0.1, 0.0, 0.1, 0.2)  # units of the coordinates


def random_choose(sequence: np.ndarray, window_size: int, rng: np.random.Generator, enabled: bool) -> np.ndarray:
    """Cut or pad ``sequence`` (C, T, V, M) to ``window_size`` frames at a random place.

    A longer sequence is cut within its non-zero part, so that no clip is empty; a shorter one is zero-padded around.
    Not ``enabled``, it is only padded at the end, never cut. A window of -1 keeps the length of the data.
    """
    length = sequence.shape[1]
    if window_size < 1 or length == window_size or (not enabled and length > window_size):
        return sequence
    if length > window_size:
        filled = np.flatnonzero(sequence.any(axis=(0, 2, 3)))
        end = int(filled[-1]) + 1 if filled.size else length
        start = int(rng.integers(max(end - window_size, 0) + 1))
        return sequence[:, start : start + window_size]
    start = int(rng.integers(window_size - length + 1)) if enabled else 0
    padded = np.zeros((sequence.shape[0], window_size, *sequence.shape[2:]), dtype=sequence.dtype)
    padded[:, start : start + length] = sequence
    return padded


def window_note(frames: int, window_size: int, enabled: bool) -> str | None:
    """What a user may not expect of ``window_size`` for sequences of ``frames`` frames, or None."""
    if 0 < window_size < frames and not enabled:
        return f"window_size {window_size} has no effect on sequences of {frames} frames: without random_choose none is cut"
    if window_size < 1 and enabled:
        return "random_choose has no effect: window_size -1 keeps the length of the data"
    return None


def random_move(sequence: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Rotate, scale and shift channels 0 and 1 of ``sequence`` (C, T, V, M), from one draw to another over the T frames.

    Missing joints and padded frames (all channels zero) stay zero.
    """
    length = sequence.shape[1]
    angle, scale, shift_x, shift_y = (_ramp(values, length, rng) for values in (ANGLES, SCALES, SHIFTS, SHIFTS))
    cosine, sine = np.cos(np.radians(angle)) * scale, np.sin(np.radians(angle)) * scale
    x, y = sequence[0], sequence[1]
    present = sequence.any(axis=0)
    moved = sequence.copy()
    moved[0] = np.where(present, cosine * x - sine * y + shift_x, 0)
    moved[1] = np.where(present, sine * x + cosine * y + shift_y, 0)
    return moved


def _ramp(values: tuple[float, ...], length: int, rng: np.random.Generator) -> np.ndarray:
    """Draw two of ``values`` and go evenly from one to the other; (T, 1, 1)."""
    start, end = rng.choice(values, 2)
    return np.linspace(start, end, length)[:, None, None]
