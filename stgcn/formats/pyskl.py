"""Annotation pickles of PYSKL and MMAction2, and pickles or JSON of lists of clips. Knows no other format.

``{split: {name: [frame_dir]}, annotations: [{frame_dir, label, img_shape, total_frames, keypoint (M, T, V, C),
keypoint_score (M, T, V)}]}``, a bare list of such annotations, or ``{pose: [(T, V, C) of each clip], label: [...]}``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from stgcn import pickled, pickles
from stgcn.formats.base import Frame, Options, Recording, name_of
from stgcn.formats.clips import (
    Unusable,
    build,
    files_under,
    first_of,
    from_ntu_name,
    layout_of,
    numbers,
    pixel_size,
    side_of,
    split_channels,
    text,
)  # fmt: skip
from stgcn.graph import LAYOUTS

NAME = "pyskl"
PICKLES = (".pkl", ".pickle")
HEAD = 2**20
MOST_JSON_BYTES = 512 * 2**20
KEYS = ("annotations", "frame_dir", "keypoint", "pose", "poses")
POSES, LABELS = ("pose", "poses", "keypoints", "data", "x"), ("label", "labels", "y", "fine_label", "coarse_label")
NAMES, SUBJECTS = ("name", "names", "frame_dir", "sample", "samples"), ("subject", "subjects")
# The keys above as every protocol of pickle writes text.
LOOKS_LIKE = re.compile(
    b"|".join(
        b"X%b\x00\x00\x00%b|\x8c%b%b|U%b%b|[VS]'?%b'?\n" % (size, key, size, key, size, key, key)
        for key in (word.encode() for word in KEYS)
        for size in (re.escape(bytes([len(key)])),)
    )
)

EXPECTED = "expected {split, annotations: [{frame_dir, label, keypoint}]}, a list of these, or {pose: [...], label: [...]}"
JSON_CLIPS = re.compile(rb'"(?:pose|poses)"\s*:\s*\[\s*\[\s*\[\s*\[')


def units(root: Path) -> list[Path]:
    """Pickles with the keys of this format, and JSON of lists of clips; label files of data sets have none of them."""
    return [path for path in files_under(root, *PICKLES, ".json") if _looks_right(path)]


def _looks_right(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            head = file.read(HEAD)
    except OSError:
        return False
    if path.suffix.lower() in PICKLES:
        return bool(LOOKS_LIKE.search(head))
    return b'"frame_dir"' in head or bool(JSON_CLIPS.search(head))


def read(unit: Path, root: Path, options: Options) -> Iterator[Recording]:
    """Give the recordings of a file, one per annotation; the slots of people count as tracks."""
    try:
        content = _load(unit)
        clips = _clips(content, unit)
    except OSError as error:
        options.bad(str(unit), f"it cannot be read: {error.strerror or error}")
        return
    except (Unusable, pickled.PickleRefused) as error:
        options.bad(str(unit), str(error))
        return
    prefix = "" if unit == root else f"{name_of(unit, root)}/"
    taken: set[str] = set()
    for position, clip in enumerate(clips):
        name = text(first_of(clip, "frame_dir", "name", "filename")) or f"{unit.stem}_{position:05}"
        try:
            if name in taken:
                raise Unusable(f"the name {name} appears before")
            recording = _recording(clip, prefix + name, options)
        except (Unusable, pickled.PickleRefused) as error:
            options.bad(f"{unit}: annotation {position} ({name})", str(error))
            continue
        taken.add(name)
        yield recording


def _load(path: Path) -> Any:
    if path.suffix.lower() != ".json":
        return pickles.load(path)
    if path.stat().st_size > MOST_JSON_BYTES:
        raise Unusable(f"it is larger than {MOST_JSON_BYTES >> 20} MiB; write it as a pickle")
    try:
        return json.loads(path.read_bytes().decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise Unusable(f"it is no JSON, or cut short ({str(error)[:100]})") from None


def _clips(content: Any, unit: Path) -> list[Mapping[str, Any]]:
    """The annotations of a file, each with ``split`` and ``splits`` where the file says."""
    if isinstance(content, dict):
        content = {key if isinstance(key, str) else text(key) or "": value for key, value in content.items()}
    if isinstance(content, dict) and _is_list(content.get("annotations")):
        return _with_splits(content["annotations"], content.get("split"))
    if isinstance(content, list | tuple) and content and isinstance(content[0], dict):
        return [_side(clip, unit) for clip in content]
    if _is_list(content) and len(content) == 2:
        content = {"pose": content[0], "label": content[1]}
    if isinstance(content, dict) and _is_list(first_of(content, *POSES)):
        return [_side(clip, unit) for clip in _columns(content)]
    raise Unusable(EXPECTED)


def _is_list(value: Any) -> bool:
    return isinstance(value, list | tuple) or (isinstance(value, np.ndarray) and value.ndim > 0)


def _side(clip: Any, unit: Path) -> Mapping[str, Any]:
    return {**clip, "split": clip.get("split") or side_of(unit.stem)} if isinstance(clip, dict) else {"": clip}


def _columns(table: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Clips of a table whose columns are lists: poses, labels, and perhaps names, subjects and sides."""
    poses = first_of(table, *POSES)
    columns = {"label": first_of(table, *LABELS), "frame_dir": first_of(table, *NAMES), "subject": first_of(table, *SUBJECTS)}
    columns["split"] = table.get("split")
    given = {key: column for key, column in columns.items() if _is_list(column)}
    for key, column in given.items():
        if len(column) != len(poses):
            raise Unusable(f"it has {len(poses)} clips, but {len(column)} in its list {key}")
    for i, pose in enumerate(poses):
        yield {"keypoint": pose, **{key: column[i] for key, column in given.items()}}


def _with_splits(annotations: Sequence[Any], splits: Any) -> list[Mapping[str, Any]]:
    """Add the names of all splits an annotation is in, and its side in the first of the protocols (xsub before xview)."""
    members: dict[str, list[str]] = {}
    for split, names in splits.items() if isinstance(splits, dict) else ():
        for name in names if _is_list(names) else ():
            members.setdefault(text(name) or "", []).append(text(split) or "")
    known = [text(split) or "" for split in splits] if isinstance(splits, dict) else []
    protocol = next((_protocol(split) for split in known if side_of(split)), None)
    clips: list[Mapping[str, Any]] = []
    for clip in annotations:
        if not isinstance(clip, dict):
            clips.append({"": clip})
            continue
        own = members.get(text(clip.get("frame_dir")) or "", [])
        side = next((side_of(split) for split in own if _protocol(split) == protocol and side_of(split)), None)
        clips.append({**clip, "split": side, "splits": own})
    return clips


def _protocol(split: str) -> str:
    """``xsub`` of xsub_train, ``1`` of train1."""
    return re.sub(r"(train|training|val|valid|validation|test|testing)(?=$|[_\-./0-9])", "", split.lower()).strip("_-./")


def _recording(clip: Mapping[str, Any], name: str, options: Options) -> Recording:
    keypoint = first_of(clip, "keypoint", "kp", "pose")
    if keypoint is None:
        elsewhere = " (its keypoints are in another file, raw_file)" if "raw_file" in clip else ""
        raise Unusable(f"it has no keypoint, an array of (people, frames, joints, coordinates){elsewhere}")
    poses = numbers(keypoint)
    score = first_of(clip, "keypoint_score", "kpscore")
    facts = {"splits": list(clip["splits"])} if clip.get("splits") else {}
    named = from_ntu_name(name)
    size = _size(first_of(clip, "img_shape", "original_shape"))
    known = {
        "label": text(clip.get("label")),
        "subject": text(clip.get("subject")) or named.get("subject"),
        "split": side_of(text(clip.get("split")) or ""),
        "size": size or pixel_size(poses, options),
        "facts": facts | named.get("facts", {}),
    }
    frame_of = clip.get("frame_inds")
    if frame_of is not None:
        return _of_detections(clip, name, poses, frame_of, options, known)
    poses = _people_first(poses, options)
    if score is None:
        looks_like_score = size is not None and poses.shape[-1] == 3 and _is_share(poses[..., 2])
        poses, score = split_channels(poses, is_score=looks_like_score)
    else:
        score = numbers(score)
        score = score[None] if score.ndim == 2 else score
    _check_length(clip, poses.shape[1])
    if poses.shape[-1] == 3:
        known["size"] = None  # metres, not pixels
    return build(name, poses, options, score=score, **known)


def _people_first(poses: np.ndarray, options: Options) -> np.ndarray:
    """(M, T, V, C) of it, of (T, V, C), or of (T, V * C) when the layout is known."""
    if poses.ndim == 2 and options.layout in LAYOUTS:
        joints = LAYOUTS[str(options.layout)].num_joints
        if poses.shape[1] in (2 * joints, 3 * joints):
            poses = poses.reshape(len(poses), joints, -1)
    return poses[None] if poses.ndim == 3 else poses


def _is_share(values: np.ndarray) -> bool:
    return bool(values.size and values.min() >= 0 and 0 < values.max() <= 1)


def _check_length(clip: Mapping[str, Any], frames: int) -> None:
    total = text(clip.get("total_frames"))
    if total is not None and total != str(frames):
        raise Unusable(f"its keypoints have {frames} frames, but total_frames is {total}")


def _size(shape: Any) -> tuple[int, int] | None:
    """Width and height of an image, from (height, width)."""
    if not _is_list(shape) or len(shape) < 2:
        return None
    sides = [text(side) or "" for side in (shape[1], shape[0])]
    if not all(side.isdecimal() and 0 < len(side) < 7 and int(side) > 0 for side in sides):
        return None
    return int(sides[0]), int(sides[1])


def _of_detections(
    clip: Mapping[str, Any], name: str, poses: np.ndarray, frame_of: Any, options: Options, known: dict[str, Any]
) -> Recording:
    """A recording of people as they were detected, (P, V, 3) in the frames ``frame_inds`` (P,), tracked by nobody."""
    where = numbers(frame_of)
    if poses.ndim != 3 or poses.shape[2] != 3 or where.shape != poses.shape[:1] or not len(where):
        raise Unusable(f"its keypoints have shape {poses.shape} and frame_inds {where.shape}; expected (P, V, 3) and (P,)")
    total = text(clip.get("total_frames"))
    length = int(total) if total and total.isdecimal() else int(np.nan_to_num(where).max()) + 1
    if not ((where >= 0) & (where < length) & (where == np.floor(where))).all():
        raise Unusable(f"its frame_inds are not whole numbers from 0 to {length - 1}")
    poses = poses.copy()
    poses[~np.isfinite(poses).all(axis=-1) | (poses[..., 2] == 0)] = 0
    order = np.argsort(where, kind="stable")
    frames = [
        Frame(int(where[group[0]]), poses[group], (None,) * len(group))
        for group in np.split(order, np.flatnonzero(np.diff(where[order])) + 1)
    ]
    known["layout"] = layout_of(poses.shape[1], 2, options)
    return Recording(name, channels=("x", "y", "score"), frames=frames, length=length, **known)
