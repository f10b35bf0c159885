"""How synthetic bodies are filmed: turned, tilted, noisy, now and then missed, and brought to pixels. Numpy only, no files."""

from __future__ import annotations

import numpy as np

FOCAL_LENGTH, WIDTH, HEIGHT = 1200.0, 1920, 1080  # pixels, as dataset_convert assumes them
CLIP_SECONDS = 3.0  # a clip takes at least so long, that an action fits into it


def rate(frames: int) -> float:
    """Frames per second of a clip of so many frames."""
    return min(30.0, frames / CLIP_SECONDS)


def film(joints: np.ndarray, rng: np.random.Generator, facing: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """See bodies (N, T, V, 3) from a camera: turned by up to ``facing``, tilted, noisy, and now and then missed.

    Returns:
        Joints relative to the pelvis in the camera's frame, millimetres (N, T, V, 3), and which are seen (N, T, V).
    """
    count, frames = joints.shape[:2]
    heading = (
        rng.uniform(-facing, facing, (count, 1, 1))
        + rng.normal(0, 0.15, (count, 1, 1)) * np.linspace(0, 1, frames)[None, :, None]
    )
    tilt = rng.uniform(-0.2, 0.35, (count, 1, 1))
    x, y, z = joints[..., 0], joints[..., 1], joints[..., 2]
    right, toward = np.cos(heading) * x + np.sin(heading) * z, np.cos(heading) * z - np.sin(heading) * x
    down, away = -(np.cos(tilt) * y - np.sin(tilt) * toward), -(np.cos(tilt) * toward + np.sin(tilt) * y)
    filmed = np.stack([right, down, away], axis=-1)
    filmed += rng.normal(0, rng.uniform(4, 16, (count, 1, 1, 1)) * np.array([1.0, 1.0, 1.6]), filmed.shape)
    seen = rng.random(filmed.shape[:3]) > rng.uniform(0, 0.03, (count, 1, 1))
    seen[:, :, 0] = True  # the pelvis, from which all is measured
    return filmed, seen


def pixels(points: np.ndarray) -> np.ndarray:
    """Joints (..., V, 3) in millimetres to pixels, with the depth relative to the pelvis in metres."""
    scale = FOCAL_LENGTH / points[..., 2]
    x, y = points[..., 0] * scale + WIDTH / 2, points[..., 1] * scale + HEIGHT / 2
    return np.round(np.stack([x, y, (points[..., 2] - points[..., :1, 2]) / 1000], axis=-1), 3)
