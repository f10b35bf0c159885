"""Kinetics-skeleton JSON: one file per clip, people of 18 OpenPose joints in coordinates of 0 to 1. Knows no other format.

``{"data": [{"frame_index": 1, "skeleton": [{"pose": [x, y, ...], "score": [...]}]}], "label": "...", "label_index": 0}``,
and beside a folder ``kinetics_train`` the file ``kinetics_train_label.json``: clip -> {has_skeleton, label, label_index}.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from stgcn.formats.base import Frame, Options, Recording, name_of
from stgcn.formats.clips import MOST_FRAMES, MOST_JOINTS, Unusable, files_under, layout_of, numbers, side_of, text

NAME = "kinetics_json"
JOINTS, FPS = 18, 30.0
MOST_BYTES = 512 * 2**20
HEAD = 4096
LOOKS_LIKE = re.compile(
    r'\A\s*\{(?:\s*"(?:label|label_index|info|video_name)"\s*:\s*(?:"[^"]*"|-?\d+|null)\s*,)*\s*"data"\s*:\s*\[\s*'
    r'(?:\]|\{\s*"(?:frame_index"\s*:|skeleton"\s*:))'
)


def units(root: Path) -> list[Path]:
    """JSON files that begin like a clip of this format."""
    return [path for path in files_under(root, ".json") if _looks_right(path)]


def _looks_right(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return bool(LOOKS_LIKE.match(file.read(HEAD).decode("utf-8", errors="replace").lstrip("\ufeff")))
    except OSError:
        return False


def read(unit: Path, root: Path, options: Options) -> Iterator[Recording]:
    """Give the one recording of a file; who is who from frame to frame it does not say."""
    try:
        known = _label_of(unit)
        if known.get("has_skeleton") is False:
            raise Unusable("its list of labels says that it has no skeleton (has_skeleton: false)")
        yield _recording(_load(unit), known, name_of(unit, root), unit, options)
    except OSError as error:
        options.bad(str(unit), f"it cannot be read: {error.strerror or error}")
    except Unusable as error:
        options.bad(str(unit), str(error))


def _load(path: Path) -> Any:
    if path.stat().st_size > MOST_BYTES:
        raise Unusable(f"it is larger than {MOST_BYTES >> 20} MiB")
    try:
        return json.loads(path.read_bytes().decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise Unusable(f"it is no JSON, or cut short ({str(error)[:100]})") from None


def _label_of(unit: Path) -> Mapping[str, Any]:
    """What the list of labels beside the clip's folder says of it."""
    for path in (unit.parent.with_name(f"{unit.parent.name}_label.json"), unit.parent / f"{unit.parent.name}_label.json"):
        entry = _labels(path, path.stat().st_mtime_ns).get(unit.stem) if path.is_file() else None
        if isinstance(entry, Mapping):
            return entry
    return {}


@lru_cache(maxsize=4)
def _labels(path: Path, _changed: int) -> Mapping[str, Any]:
    try:
        content = _load(path)
    except (OSError, Unusable) as error:
        raise Unusable(f"its list of labels, {path}, cannot be used: {error}") from None
    return content if isinstance(content, Mapping) else {}


def _recording(clip: Any, known: Mapping[str, Any], name: str, unit: Path, options: Options) -> Recording:
    data = clip.get("data") if isinstance(clip, dict) else None
    if not isinstance(data, list):
        raise Unusable("expected {data: [{frame_index, skeleton: [{pose, score}]}], label, label_index}")
    indices = [_index(entry, position) for position, entry in enumerate(data)]
    if len(set(indices)) != len(indices):
        raise Unusable("it has a frame_index twice")
    first = 1 if indices and min(indices) == 1 else 0  # the published files count from 1
    frames: list[Frame] = []
    for index, entry in sorted(zip(indices, data, strict=True), key=lambda pair: pair[0]):
        people = [_person(person, index) for person in entry["skeleton"]]
        if len({len(person) for person in people} | {f.people.shape[1] for f in frames[:1]}) > 1:
            raise Unusable(f"frame {index} has people with another number of joints than those before")
        if people:
            frames.append(Frame(index - first, np.stack(people), (None,) * len(people)))
    if not frames:
        raise Unusable("nobody is in it: no frame has a skeleton")
    number = clip.get("label_index", known.get("label_index"))
    return Recording(
        name,
        layout_of(frames[0].people.shape[1], 2, options),
        ("x", "y", "score"),
        frames,
        max(indices) - first + 1,
        label=text(clip.get("label")) or text(known.get("label")) or text(number),
        split=side_of(unit.parent.name),
        fps=FPS,
        size=(1, 1),  # coordinates are shares of the picture
        facts={"class_number": number} if isinstance(number, int) else {},
    )


def _index(entry: Any, position: int) -> int:
    if not isinstance(entry, dict) or not isinstance(entry.get("skeleton"), list):
        raise Unusable(f"entry {position} of data is no {{frame_index, skeleton: [...]}}")
    index = entry.get("frame_index")
    if type(index) is not int or not 0 <= index < MOST_FRAMES:
        raise Unusable(f"entry {position} of data has the frame_index {str(index)[:40]}")
    return index


def _person(person: Any, index: int) -> np.ndarray:
    """One person as (V, 3) of x, y, score."""
    if not isinstance(person, dict) or not isinstance(person.get("pose"), list) or not isinstance(person.get("score"), list):
        raise Unusable(f"frame {index} has a person without the lists pose and score")
    pose, score = numbers(person["pose"]), numbers(person["score"])
    joints = len(score)
    if pose.shape != (2 * joints,) or score.ndim != 1 or not 0 < joints <= MOST_JOINTS:
        raise Unusable(f"frame {index} has a person of {pose.size} coordinates and {score.size} scores; expected 36 and 18")
    result = np.concatenate([pose.reshape(joints, 2), score[:, None]], axis=1)
    result[~np.isfinite(result).all(axis=1) | (result[:, 2] == 0)] = 0
    return result
