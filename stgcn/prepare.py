"""Preparation of sequences, the same in training, evaluation, inference and streams: numpy (C, T, V, M) in and out.

Nothing here is random and nothing depends on other sequences. Knows no files and no model.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from stgcn import channels as channels_of
from stgcn.config import Preparation
from stgcn.graph import Layout

NOTHING = Preparation()
NEGLIGIBLE = 1e-6  # a size or a direction that small beside the coordinates is noise


def prepare(sequence: np.ndarray, settings: Preparation, layout: Layout) -> np.ndarray:
    """Prepare ``sequence`` (C, T, V, M) as ``settings`` say; the very same array where they ask for nothing.

    Missing joints and empty frames (all channels zero) stay zero, but for gaps that are filled. In this order: weak joints are
    dropped, persons chosen, gaps filled, frames resampled or cropped, and the body turned, scaled and centred.
    """
    if idle(settings):
        return sequence
    data = sequence.astype(np.float64)
    axes = position_channels(len(data), settings)
    if settings.min_confidence > 0:
        data = np.where(data[settings.confidence_channel] < settings.min_confidence, 0, data)
    if settings.persons > 0:
        data = _most_moving(data, axes, settings.persons)
    if settings.interpolate > 0:
        data = _filled(data, settings.interpolate)
    if settings.window > 0:
        data = (_resampled if settings.window_mode == "resample" else _cropped)(data, settings.window)
    data[axes] = _placed(data[axes], _present(data), settings, layout)
    return data.astype(sequence.dtype)


def idle(settings: Preparation) -> bool:
    """Whether ``settings`` ask for nothing; to say which channel holds the score changes no data by itself."""
    return replace(settings, confidence_channel=NOTHING.confidence_channel) == NOTHING


def prepare_batch(batch: np.ndarray, settings: Preparation, layout: Layout) -> np.ndarray:
    """Prepare each of a batch (n, C, T, V, M)."""
    return np.stack([prepare(sequence, settings, layout) for sequence in batch])


def sizes(frames: int, persons: int, settings: Preparation) -> tuple[int, int]:
    """Frames T and persons M after preparation."""
    return (
        settings.window if settings.window > 0 else frames,
        settings.persons if settings.persons > 0 else persons,
    )


def position_channels(channels: int, settings: Preparation) -> list[int]:
    """The channels that hold a place: x, y and, where there is one, z."""
    return channels_of.places(channels, settings.confidence_channel)


def frames_at(data: np.ndarray, at: np.ndarray, last: int) -> np.ndarray:
    """Frames at the times ``at`` (n,), between frame 0 and ``last``, of ``data`` (C, T, V, M); (C, n, V, M).

    They lie on the line between two neighbours; a joint missing in one of them comes from the nearer.
    """
    before = np.floor(at).astype(np.int64)
    share = (at - before).astype(data.dtype)[:, None, None]
    early, late = data[:, before], data[:, np.minimum(before + 1, last)]
    between = early + share * (late - early)
    return np.where(_present(early) & _present(late), between, np.where(share < 0.5, early, late))


def _present(data: np.ndarray) -> np.ndarray:
    """Where there is a joint: bool (T, V, M) of data (C, T, V, M)."""
    return np.asarray(data.any(axis=0))


def _placed(places: np.ndarray, present: np.ndarray, settings: Preparation, layout: Layout) -> np.ndarray:
    """Turn, scale and centre places (2 or 3, T, V, M) of the joints that are ``present`` (T, V, M)."""
    if settings.view == "frontal":
        places = _frontal(places, present, layout)
    if settings.scale == "body":
        places = places / _body_size(places, present, layout)
    elif settings.scale == "spread":
        places = places / _spread(places, present, layout)
    if settings.center != "none":
        places = places - _origin(places, present, settings, layout)
    return np.where(present, places, 0)


def _most_moving(data: np.ndarray, axes: list[int], count: int) -> np.ndarray:
    """``count`` person slots, those that move most first; slots that are lacking are empty."""
    present = _present(data)
    steps = np.linalg.norm(np.diff(data[axes], axis=1), axis=0)
    motion = np.where(present[1:] & present[:-1], steps, 0).sum(axis=(0, 1))
    motion[~present.any(axis=(0, 1))] = -1  # nobody moves less than somebody who stands still
    chosen = data[..., np.argsort(-motion, kind="stable")[:count]]
    return np.pad(chosen, [(0, 0)] * 3 + [(0, count - chosen.shape[-1])])


def _filled(data: np.ndarray, longest: int) -> np.ndarray:
    """Fill linearly where a joint is missing for at most ``longest`` frames between two in which it is seen."""
    present, length = _present(data), data.shape[1]
    frame = np.arange(length)[:, None, None]
    before = np.maximum.accumulate(np.where(present, frame, -1))
    after = np.minimum.accumulate(np.where(present, frame, length)[::-1])[::-1]
    gap = ~present & (before >= 0) & (after < length) & (after - before - 1 <= longest)
    early, late = (np.take_along_axis(data, at.clip(0, length - 1)[None], axis=1) for at in (before, after))
    share = (frame - before) / np.maximum(after - before, 1)
    return np.where(gap, early + share * (late - early), data)


def _span(data: np.ndarray) -> tuple[int, int]:
    """First and last frame that are not empty; all frames where every one is."""
    seen = np.flatnonzero(data.any(axis=(0, 2, 3)))
    return (int(seen[0]), int(seen[-1])) if seen.size else (0, data.shape[1] - 1)


def _resampled(data: np.ndarray, window: int) -> np.ndarray:
    """``window`` frames evenly over the frames that are not padding."""
    first, last = _span(data)
    return frames_at(data, np.linspace(first, last, window), last)


def _cropped(data: np.ndarray, window: int) -> np.ndarray:
    """The ``window`` frames in the middle of those that are not padding; zero-padded at the end where there are fewer."""
    if data.shape[1] == window:
        return data
    first, last = _span(data)
    start = first + max(0, last + 1 - first - window) // 2
    kept = data[:, start : min(start + window, last + 1)]
    return np.pad(kept, [(0, 0), (0, window - kept.shape[1]), (0, 0), (0, 0)])


def _frontal(places: np.ndarray, present: np.ndarray, layout: Layout) -> np.ndarray:
    """Turn a sequence (3, T, V, M) about the vertical, so that its first person's right-to-left line points along x.

    The line is the mean over the frames in which hips or shoulders are seen; one turn for all frames and persons.
    """
    total, length = np.zeros((2, places.shape[-1])), np.zeros(places.shape[-1])
    for left, right in layout.sides():
        line = (places[:, :, left].mean(axis=2) - places[:, :, right].mean(axis=2))[[0, 2]]  # (x z, T, M)
        line = np.where(present[:, [*left, *right]].all(axis=1), line, 0)
        total += line.sum(axis=1)
        length += np.hypot(*line).sum(axis=0)
    reach = np.hypot(*total)
    clear = np.flatnonzero(reach > NEGLIGIBLE * length)
    if not clear.size:
        return places
    cosine, sine = total[:, clear[0]] / reach[clear[0]]
    x, y, z = places
    return np.stack([cosine * x + sine * z, y, cosine * z - sine * x])


def _body_size(places: np.ndarray, present: np.ndarray, layout: Layout) -> float:
    """The median length of all bones in all frames, 1 where there is none.

    Bones at the centre joint do not count: once it is at the origin of two or three coordinates it looks missing.
    """
    bones = [edge for edge in layout.edges if layout.center not in edge] or list(layout.edges)
    a, b = np.array(bones).T
    lengths = np.linalg.norm(places[:, :, a] - places[:, :, b], axis=0)[present[:, a] & present[:, b]]
    size = float(np.median(lengths)) if lengths.size else 0.0
    return size if size > NEGLIGIBLE * np.abs(places).max(initial=0) else 1.0


def _spread(places: np.ndarray, present: np.ndarray, layout: Layout) -> float:
    """The median, over frames and persons, of the joints' root mean square distance from their middle; 1 where there is none.

    The centre joint does not count, as with bones.
    """
    present = present & (np.arange(layout.num_joints) != layout.center)[:, None]
    count = present.sum(axis=1)  # (T, M)
    middle = np.where(present, places, 0).sum(axis=2) / np.maximum(count, 1)  # (axes, T, M)
    squares = np.where(present, ((places - middle[:, :, None]) ** 2).sum(axis=0), 0).sum(axis=1)  # (T, M)
    found = np.sqrt(squares / np.maximum(count, 1))[count > 1]
    size = float(np.median(found)) if found.size else 0.0
    return size if size > NEGLIGIBLE * np.abs(places).max(initial=0) else 1.0


def _origin(places: np.ndarray, present: np.ndarray, settings: Preparation, layout: Layout) -> np.ndarray:
    """What is subtracted: the mean place of all joints, that of the centre joint, or its place in each frame of each person.

    In a frame without the centre joint it is thought on the line between those before and after. Nobody's is zero.
    """
    joint, seen = places[:, :, layout.center], present[:, layout.center]  # (axes, T, M), (T, M)
    origin = np.zeros_like(places[:, :, :1])
    if settings.center == "body":
        if present.any():
            origin += places[:, present].mean(axis=1)[:, None, None, None]
        return origin
    if settings.center == "sequence":
        if seen.any():
            origin += joint[:, seen].mean(axis=1)[:, None, None, None]
        return origin
    frames = np.arange(len(seen))
    for person in np.flatnonzero(seen.any(axis=0)):
        known = np.flatnonzero(seen[:, person])
        for axis, path in enumerate(joint[:, :, person]):
            origin[axis, :, 0, person] = np.interp(frames, known, path[known])
    return origin
