"""Some sequences of the data a job has read, as figures to draw: joints in a picture's own numbers, and bones with sides.

For whoever shows single sequences and knows neither arrays nor skeletons. Draws nothing itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from stgcn import files, npy
from stgcn.config import is_set
from stgcn.errors import DataError, SpecError
from stgcn.graph import resolve
from stgcn.inspect import anatomy, pictures, view
from stgcn.inspect.anatomy import SPEC, Skeleton
from stgcn.inspect.pictures import Drawing
from stgcn.inspect.source import AXES, Part

FRAMES = 24
PERSONS = 2  # drawn of a sequence: those that are seen most
FINE = 2.5  # whole numbers per unit of a picture
HASHED = 512 * 2**20  # bytes up to which the file is compared by content, beyond by its size only


def run(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The tool ``poses``: ``action``, its ``spec``, what it wrote down of its test set (``facts``), and ``indices``.

    Returns:
        ``metrics`` with ``width`` and ``height`` of the picture, ``bones`` as [joint, joint, side], and ``sequences``: by index
        the number of ``frames``, which of them are ``shown``, and of each the ``poses`` of all joints, [x, y] or None.

    Raises:
        DataError: the data are gone, are not what the job has read, or cannot be read.
    """
    spec, facts = settings["spec"], settings.get("facts") or {}
    part = _part(facts.get("path") or _path(spec, settings["action"]), facts)
    wanted = [int(index) for index in settings["indices"]]
    outside = [index for index in wanted if not 0 <= index < len(part.data)]
    if outside:
        raise DataError(f"{part.path} has {len(part.data)} sequences, there is none with the index {outside[0]}")
    with np.errstate(all="ignore"):
        return {"metrics": files.plain(_figures(part, wanted, spec, settings.get("frames") or FRAMES))}


def _path(spec: Mapping[str, Any], action: str) -> str:
    path = ((spec.get(action) or {}).get("test_dataset") or {}).get("data_path")
    if not is_set(path):
        raise DataError(f"the spec names no data: {action}.test_dataset.data_path is empty")
    return str(path)


def _part(path: str, facts: Mapping[str, Any]) -> Part:
    """The array, when it is still the one the job has read."""
    data = npy.open_array(path, AXES)
    if data.ndim != 5 or data.dtype.kind not in "fiu" or 0 in data.shape:
        raise DataError(f"{path} holds {data.dtype} of shape {data.shape}; expected {AXES}")
    size, known = Path(path).stat().st_size, facts.get("bytes")
    digest = facts.get("sha256") if size <= HASHED else None
    if (known and known != size) or (digest and digest != files.sha256(path)):
        raise DataError(f"{path} has changed since the job read it")
    return Part("test", Path(path), data, [], None, None)


def _figures(part: Part, wanted: list[int], spec: Mapping[str, Any], frames: int) -> dict[str, Any]:
    sample = view.selection([part])
    seen = view.learn(sample)
    skeleton = _skeleton(part, spec, sample, seen)
    down = view.upright(sample, seen, skeleton.layout)
    bones, joints = pictures.bones_of(skeleton), part.data.shape[3]
    shown = {str(i): _figure(part, i, frames, seen, down) for i in wanted}
    people = max((len(figure["poses"][0]) // joints for figure in shown.values() if figure["poses"]), default=1)
    return {
        "width": round(pictures.WIDTH * FINE),
        "height": round(pictures.HEIGHT * FINE),
        "layout": skeleton.layout.name if skeleton.layout else None,
        "bones": [[a + p * joints, b + p * joints, side] for p in range(people) for a, b, side in bones],
        "sequences": shown,
    }


def _skeleton(part: Part, spec: Mapping[str, Any], sample: np.ndarray, seen: view.View) -> Skeleton:
    """The skeleton of the spec; where that is gone or does not fit, what the data themselves suggest."""
    try:
        layout = resolve((spec.get("model") or {}).get("graph_layout") or "")
    except SpecError:
        layout = None
    if layout is not None and layout.num_joints == part.data.shape[3]:
        return Skeleton(layout, SPEC, None, {}, ())
    return anatomy.find(part.path.parent, None, sample, seen, [])


def _figure(part: Part, index: int, frames: int, seen: view.View, down: bool) -> dict[str, Any]:
    """One sequence, evenly picked frames of it."""
    block = np.nan_to_num(part.take([index]), nan=0.0, posinf=0.0, neginf=0.0)
    points, there = seen.coordinates(block)  # (1, D, T, V, M), (1, T, V, M)
    alive = np.flatnonzero(there[0].any(axis=(1, 2)))
    if not len(alive) or points.shape[1] < 2:
        return {"frames": 0, "shown": [], "poses": []}
    length = int(alive[-1]) + 1
    picked = np.linspace(0, length - 1, min(frames, length)).astype(int)
    count = there[0].sum(axis=(0, 1))
    people = [p for p in np.argsort(-count, kind="stable")[:PERSONS].tolist() if count[p]]
    flat = np.concatenate([points[0, :2, picked][..., p].transpose(0, 2, 1) for p in people], axis=1).astype(float)
    visible = np.concatenate([there[0][picked][:, :, p] for p in people], axis=1)
    if not down:
        flat[..., 1] *= -1
    drawn = pictures.fitted(Drawing(flat, visible, ()), each=False) * FINE
    limit = 4 * pictures.HEIGHT * FINE  # what flies far out of the picture is cut off there
    whole = np.clip(drawn, -limit, limit).round().astype(int)
    poses = [
        [[x, y] if on else None for (x, y), on in zip(pose, row, strict=True)] for pose, row in zip(whole, visible, strict=True)
    ]
    return {"frames": length, "shown": picked, "poses": poses}
