"""Find the files of a format under a folder: which JSON is whose, and which files are the frames of one recording.

Opens only as much of a file as tells what it is.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

from stgcn import jsonlist
from stgcn.errors import DataError
from stgcn.formats import points
from stgcn.formats.base import Recording, folders

HEAD = 2**14  # characters read of a file at first
MOST_ENTRIES = 60  # pieces of a document looked at
MOST_TRIED = 20  # files of a sequence looked at; the first ones may be empty frames
OPENPOSE_END = "_keypoints"
DETECTIONS = ("detections", "predictions", "objects", "results", "persons", "people", "instances", "poses", "boxes")
FRAME_KEYS = ("frame", "frame_id", "frame_index", "frame_idx", "frame_number", "frame_num", "frameIndex", "frameNumber")
FRAMES = ("frames", "data", "results", "cropped_keypoints", "sequence", "poses")  # members that hold one item a frame
POSE_NAMES = ("poselandmarks", "landmarks", "pose", "poseworldlandmarks", "worldlandmarks", "landmark", "body")
HAND_NAMES = ("lefthandlandmarks", "righthandlandmarks", "multihandlandmarks", "handlandmarks", "lefthand", "righthand")

Shape = Literal["frame", "file"]  # what one file holds: one frame of a recording, or recordings


class Kind(NamedTuple):
    """Whose a file is and what it holds."""

    format: str
    shape: Shape


BROKEN = Kind("", "file")


class Sequence(NamedTuple):
    """Files of one folder that share the name before their number."""

    folder: Path
    prefix: str
    files: list[tuple[int, Path]]  # in order of the number


def plain(key: Any) -> str:
    """A name without the differences between camelCase and snake_case."""
    return str(key).replace("_", "").replace("-", "").lower()


def sequences(folder: Path, suffix: str) -> list[Sequence]:
    """Files of a folder by their name before the number, sorted; a file without a number is a sequence of its own."""
    found: dict[tuple[str, bool], list[tuple[int, Path]]] = {}
    with os.scandir(folder) as entries:
        names = sorted(
            e.name for e in entries if e.name.lower().endswith(suffix) and not e.name.startswith(".") and e.is_file()
        )
    for name in names:
        prefix, number = points.numbered(name[: -len(suffix)].removesuffix(OPENPOSE_END))
        found.setdefault((prefix, number is None), []).append((number or 0, folder / name))
    return [Sequence(folder, prefix, sorted(files)) for (prefix, _), files in sorted(found.items())]


def kind_of(sequence: Sequence, kind: Callable[[Path], Kind | None]) -> Kind | None:
    """What a sequence is: what the first of its files says that says anything."""
    said = [found for _, path in sequence.files[:MOST_TRIED] if (found := kind(path))]
    return next((found for found in said if found != BROKEN), said[0] if said else None)


def units(root: Path, name: str, suffix: str, kind: Callable[[Path], Kind | None]) -> list[Path]:
    """Files that are recordings of the format ``name``, and folders that hold them frame by frame, sorted."""
    if root.is_file():
        found = kind(root) if root.name.lower().endswith(suffix) else None
        return [root] if found and found.format == name else []
    units: list[Path] = []
    broken: list[Path] = []
    files = False
    for folder in folders(root):
        for sequence in sequences(folder, suffix):
            found = kind_of(sequence, kind)
            if found == BROKEN:
                broken += [path for _, path in sequence.files]
            elif found and found.format == name:
                units += [path for _, path in sequence.files] if found.shape == "file" else [folder]
                files |= found.shape == "file"
    # What is too broken to tell whose it is is read, and so named, where it lies among files of the format.
    return sorted({*units, *(broken if files else [])})


def frame_sequences(unit: Path, name: str, suffix: str, kind: Callable[[Path], Kind | None]) -> Iterator[Sequence]:
    """Sequences of a unit whose files are frames of the format ``name``; a file is a sequence of one."""
    if unit.is_file():
        yield Sequence(unit.parent, points.numbered(unit.name[: -len(suffix)].removesuffix(OPENPOSE_END))[0], [(0, unit)])
        return
    for sequence in sequences(unit, suffix):
        found = kind_of(sequence, kind)
        if found and found.format == name and found.shape == "frame":
            yield sequence


class Reader(Protocol):
    """One recording in the making."""

    def recording(self, name: str) -> Recording | None:
        """What was read; None when there is nothing to use."""


class FrameReader(Reader, Protocol):
    """Reads a file for each frame."""

    def read_frame(self, number: int, path: Path) -> None:
        """Take the people of one frame."""


class VideoReader(Reader, Protocol):
    """Reads one file for all frames."""

    def read_video(self, path: Path) -> None:
        """Take them all."""


def recordings(found: list[tuple[Sequence, Callable[[], FrameReader]]], root: Path) -> Iterator[Recording]:
    """Read each sequence of frame files with a fresh reader; those with nothing to use are left out."""
    for sequence, make_reader in found:
        reader = make_reader()
        for number, path in sequence.files:
            reader.read_frame(number, path)
        recording = reader.recording(sequence_name(sequence, root, alone=len(found) == 1))
        if recording:
            yield recording


def whole_file(unit: Path, root: Path, reader: VideoReader) -> Iterator[Recording]:
    """Read a file that holds a whole recording."""
    reader.read_video(unit)
    recording = reader.recording(file_name(unit, root))
    if recording:
        yield recording


def sequence_name(sequence: Sequence, root: Path, alone: bool) -> str:
    """Name of a recording that lies in frames: its folder and the name its files begin with.

    The name of the files is left out where it says nothing: it is empty or the folder's, or the folder, itself in a folder
    (of a class, mostly), holds this one recording only. Folders called ``labels`` and ``sep-json`` are the tools' own.
    """
    parts = [] if root.is_file() else list(sequence.folder.relative_to(root).parts)
    while parts and parts[-1] in ("labels", "sep-json", "json"):
        parts.pop()
    silent = not sequence.prefix or (parts and (sequence.prefix == parts[-1] or (alone and len(parts) > 1)))
    if not silent:
        parts.append(sequence.prefix)
    return "/".join(parts) or (root.stem if root.is_file() else root.resolve().name)


def file_name(path: Path, root: Path, ends: tuple[str, ...] = ()) -> str:
    """Name of a recording that is one file; a name in ``ends`` is the tool's own and gives way to the folder's."""
    relative = Path(path.name) if path == root else path.relative_to(root)
    if path.stem in ends:
        return relative.parent.as_posix() if len(relative.parts) > 1 else path.resolve().parent.name or path.stem
    return relative.with_suffix("").as_posix()


def json_kind(path: Path) -> Kind | None:
    """Whose JSON a file is; None where it is of none of the formats known here, BROKEN where it breaks off before it says."""
    try:
        state = path.stat()
    except OSError:
        return None
    return _json_kind(str(path), state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=2**16)
def _json_kind(path: str, *_: int) -> Kind | None:
    head: list[jsonlist.Entry] = []
    broken = None
    try:
        for entry in islice(jsonlist.entries(path, chunk=HEAD), MOST_ENTRIES):
            head.append(entry)
    except DataError:
        broken = BROKEN
    name = Path(path).name
    if head and head[0].key is None:
        return next((found for entry in head if entry.kind == "item" and (found := _of_item(entry.value, name))), broken)
    return _of_object(head) or broken


def why_broken(path: Path) -> str:
    """Where a JSON file breaks off, in words."""
    try:
        for _ in jsonlist.entries(path):
            pass
    except DataError as error:
        return "; ".join(error.problems).removeprefix(f"{path} ")
    return ""


def _of_object(head: list[jsonlist.Entry]) -> Kind | None:
    keys = {entry.key for entry in head}
    version = next((str(entry.value) for entry in head if entry.key == "version"), "")
    if "people" in keys and any(entry.key == "people" and entry.kind == "list" for entry in head):
        return Kind("alphapose" if version.startswith("AlphaPose") else "openpose", "frame")
    if "bodies" in keys:
        return Kind("alphapose", "frame")
    for entry in head:
        item = entry.value
        if entry.key == "annotations" and isinstance(item, dict) and "image_id" in item:
            return Kind("coco_json", "file")
        if entry.key == "images" and isinstance(item, dict) and "id" in item:
            return Kind("coco_json", "file")
        if entry.kind == "value" and isinstance(item, dict) and ("bodies" in item or "people" in item):
            return Kind("alphapose", "file")
        if (
            entry.kind == "item"
            and isinstance(item, dict)
            and isinstance(item.get("keypoints"), list)
            and "." in str(entry.key)
        ):
            return Kind("alphapose", "file")
        counted = points.whole(entry.key) is not None
        if entry.kind != "list" and (counted or entry.key in FRAMES) and (found := _of_item(item, "")):
            return Kind(found.format, "file")
    if any(plain(key) in POSE_NAMES + HAND_NAMES for key in keys):
        return Kind("mediapipe", "frame")
    detections = [e.value for e in head if e.key in DETECTIONS and e.kind == "item" and is_detection(e.value)]
    return Kind("yolo", "frame") if detections else None


def _of_item(item: Any, name: str) -> Kind | None:
    """What an item of a list says the list is."""
    if isinstance(item, str) and item.lstrip().startswith("[") and any(map(is_detection, embedded(item))):
        return Kind("yolo", "file")
    if isinstance(item, list):
        if any(map(is_detection, item)):
            return Kind("yolo", "file")
        return Kind("mediapipe", "file") if _is_landmarks(item) else None
    if not isinstance(item, dict):
        return None
    if isinstance(item.get("keypoints"), list) and "image_id" in item:
        theirs = isinstance(item["image_id"], str) or "idx" in item or "box" in item or name.startswith("alphapose")
        return Kind("alphapose" if theirs else "coco_json", "file")
    if is_detection(item):
        return Kind("yolo", "file" if any(key in item for key in FRAME_KEYS) else "frame")
    if any(isinstance(item.get(key), list) and any(map(is_detection, item[key])) for key in DETECTIONS):
        return Kind("yolo", "file")
    if any(plain(key) in POSE_NAMES + HAND_NAMES and isinstance(value, list | dict) for key, value in item.items()):
        return Kind("mediapipe", "file")
    if isinstance(item.get("keypoints"), list) and _is_landmarks(item["keypoints"]):
        return Kind("mediapipe", "file")
    return Kind("mediapipe", "frame") if {"x", "y", "z"} <= item.keys() else None


def is_detection(item: Any) -> bool:
    """Whether it is a person as Ultralytics' Results.summary gives it."""
    keypoints = item.get("keypoints") if isinstance(item, dict) else None
    return isinstance(keypoints, dict) and "x" in keypoints and "y" in keypoints


def embedded(text: str) -> list[Any]:
    """The list in a text that is JSON itself; empty where it is not."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return []
    return value if isinstance(value, list) else []


def _is_landmarks(item: list[Any]) -> bool:
    if len(item) == 1 and isinstance(item[0], list):
        item = item[0]
    first = next((point for point in item if point is not None), None)
    if isinstance(first, dict):
        return {"x", "y"} <= first.keys() and len(item) in (21, 33)
    return len(item) == 33 and isinstance(first, list) and len(first) in (3, 4, 5)
