"""Random changes to prepared training sequences, numpy (C, T, V, M) in and out. Every draw comes from the given generator."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from stgcn import config
from stgcn.graph import Layout
from stgcn.prepare import frames_at, position_channels

ANGLES = (-10.0, -5.0, 0.0, 5.0, 10.0)  # degrees
SCALES = (0.9, 1.0, 1.1)
SHIFTS = (-0.2, -0.1, 0.0, 0.1, 0.2)  # units of the coordinates
PLANES = {1: (), 2: ((0, 1),), 3: ((0, 1), (0, 2), (1, 2))}  # in which coordinates turn, by their number


def random_choose(sequence: np.ndarray, window_size: int, rng: np.random.Generator, enabled: bool) -> np.ndarray:
    """Cut or pad ``sequence`` (C, T, V, M) to ``window_size`` frames at a random place.

    A longer sequence is cut within its non-zero part, so that no clip is empty; a shorter one is zero-padded around.
    Not ``enabled``, it is only padded at the end, never cut. A window of -1 keeps the length of the data.
    """
    length = sequence.shape[1]
    if keeps(length, window_size, enabled):
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


def keeps(length: int, window_size: int, enabled: bool) -> bool:
    """Whether ``random_choose`` gives a sequence of ``length`` frames back as it is."""
    return window_size < 1 or length == window_size or (not enabled and length > window_size)


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


@dataclass(frozen=True)
class Augment:
    """The random changes that ``dataset.augmentation`` asks for, bound to a layout and to the meaning of the channels.

    Args:
        settings: how much of which change.
        axes: the channels that hold a place, two or three; all others are values such as a score, which no turn touches.
        mirrored: which joint takes the place of each in a mirror.
        about_origin: preparation puts the body at the origin, and there it stays; else it is changed about its own middle.
        frames: how many a sequence is resampled to as it is cut; 0 keeps their number.
    """

    settings: config.Augmentation
    axes: tuple[int, ...]
    mirrored: tuple[int, ...]
    about_origin: bool
    frames: int = 0

    def __call__(self, sequence: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Change ``sequence`` (C, T, V, M). Missing joints and empty frames (all channels zero) stay zero.

        In this order: the cut in time, the mirror, the affine map, noise, and last what is left out.
        """
        settings = self.settings
        data = sequence
        if settings.temporal_crop < 1:
            data = self._cut(data, rng)
        flipped = settings.mirror > 0 and rng.random() < settings.mirror
        data = data[:, :, list(self.mirrored)] if flipped else data.copy()
        self._move(data, flipped, rng)
        if settings.joint_dropout > 0:
            data[:, :, _dropped(data.shape[2], settings.joint_dropout, rng)] = 0
        if settings.frame_dropout > 0:
            filled = np.flatnonzero(data.any(axis=(0, 2, 3)))
            data[:, filled[_dropped(len(filled), settings.frame_dropout, rng)]] = 0
        return data

    def _cut(self, data: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Cut a piece out of the frames that are not padding, and stretch it over ``frames``, or over the place of all."""
        share = rng.uniform(self.settings.temporal_crop, 1)
        start = rng.uniform(0, 1 - share)
        filled = np.flatnonzero(data.any(axis=(0, 2, 3)))
        first, last = (int(filled[0]), int(filled[-1])) if filled.size else (0, data.shape[1] - 1)
        at = first + (last - first) * np.linspace(start, start + share, self.frames or last - first + 1)
        piece = frames_at(data, at, last)
        if self.frames:
            return piece
        cut = data.copy()
        cut[:, first : last + 1] = piece
        return cut

    def _move(self, data: np.ndarray, flipped: bool, rng: np.random.Generator) -> None:
        """Turn, stretch, shear, mirror, shift and shake the places of ``data`` (C, T, V, M) in place."""
        settings, axes = self.settings, list(self.axes)
        matrix = self._matrix(rng)
        if flipped:
            matrix[:, 0] *= -1
        sideways = rng.uniform(-settings.shift, settings.shift, len(axes))
        present = data.any(axis=0)
        count = np.count_nonzero(present)
        if not count:
            return
        places = data[axes].reshape(len(axes), -1)
        middle = places.sum(axis=1, dtype=np.float64) / count
        pivot = np.zeros_like(middle) if self.about_origin else middle
        spread = 0.0
        if settings.shift > 0 or settings.noise > 0:
            spread = _spread(places, middle.astype(places.dtype), present.reshape(-1))
        offset = pivot - matrix @ pivot + spread * sideways
        moved = matrix.astype(places.dtype) @ places + offset.astype(places.dtype)[:, None]
        if settings.noise > 0:
            moved += np.float32(settings.noise * spread) * rng.standard_normal(moved.shape, dtype=np.float32)
        data[axes] = (moved * present.reshape(-1)).reshape(len(axes), *present.shape)

    def _matrix(self, rng: np.random.Generator) -> np.ndarray:
        """A turn after a stretch and shear along the axes; (axes, axes)."""
        settings, count = self.settings, len(self.axes)
        matrix = np.eye(count) + np.where(
            np.eye(count, dtype=bool),
            rng.uniform(-settings.scale, settings.scale, count)[:, None],
            rng.uniform(-settings.shear, settings.shear, (count, count)),
        )
        planes = PLANES[count]
        for (a, b), angle in zip(
            planes, np.radians(rng.uniform(-settings.rotation, settings.rotation, len(planes))), strict=True
        ):
            turn = np.eye(count)
            turn[a, a] = turn[b, b] = np.cos(angle)
            turn[b, a] = np.sin(angle)
            turn[a, b] = -turn[b, a]
            matrix = turn @ matrix
        return matrix


def prepared_first(dataset: config.Dataset) -> config.Preparation:
    """How training sequences are prepared before they are changed: all but resampled, where each cut is resampled itself.

    So the piece that is cut keeps all of its frames, and another choice of them is seen every time.
    """
    resamples = dataset.preparation.window > 0 and dataset.preparation.window_mode == "resample"
    cuts = dataset.augmentation.enabled and dataset.augmentation.temporal_crop < 1
    return replace(dataset.preparation, window=-1) if resamples and cuts else dataset.preparation


def augmenter(dataset: config.Dataset, layout: Layout, channels: int) -> Augment | None:
    """What changes training sequences of so many channels as ``dataset.augmentation`` says; None when it is off."""
    if not dataset.augmentation.enabled:
        return None
    mirrored = list(range(layout.num_joints))
    for left, right in layout.pairs:
        mirrored[left], mirrored[right] = right, left
    return Augment(
        dataset.augmentation,
        tuple(position_channels(channels, dataset.preparation)),
        tuple(mirrored),
        about_origin=dataset.preparation.center != "none",
        frames=0 if prepared_first(dataset) == dataset.preparation else dataset.preparation.window,
    )


def _dropped(count: int, probability: float, rng: np.random.Generator) -> np.ndarray:
    """Which of ``count`` are left out, each with ``probability``, but never all of them; bool (count,)."""
    drawn = rng.random(count)
    dropped: np.ndarray = drawn < probability
    if count and dropped.all():
        dropped[drawn.argmax()] = False
    return dropped


def _spread(places: np.ndarray, middle: np.ndarray, present: np.ndarray) -> float:
    """Root mean square distance of the joints (axes, n) that are ``present`` (n,) from their ``middle`` (axes,)."""
    squares = ((places - middle[:, None]) ** 2).sum(axis=0)
    return float(np.sqrt((squares * present).sum() / np.count_nonzero(present)))
