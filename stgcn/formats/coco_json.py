"""COCO keypoints JSON: an annotation file (images, annotations, categories, perhaps videos) or the plain list of results."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np

from stgcn import jsonlist
from stgcn.errors import DataError
from stgcn.formats import points, scan
from stgcn.formats.base import Options, Recording
from stgcn.formats.points import Gathered, Odd, Person
from stgcn.graph import LAYOUTS

NAME = "coco_json"
# 133 of COCO-WholeBody and 136 of Halpe begin with the body.
KNOWN = {17: ("coco", 17), 26: ("halpe_26", 26), 133: ("coco", 17), 136: ("halpe_26", 26)}
CHANNELS = ("x", "y", "score")
VIDEO_KEYS = ("video_id", "vid_id")
TRACK_KEYS = ("track_id", "tracking_id", "instance_id", "idx", "person_id")
LABEL_KEYS = ("label", "action", "class", "activity")
MOST_JOINTS = 1000


class Image(NamedTuple):
    """What an annotation needs of its image."""

    group: str  # the recording it is a frame of
    number: int
    size: tuple[int, int] | None


class Index:
    """What a file says beside the annotations: images, videos, joints."""

    def __init__(self) -> None:
        self.images: dict[Any, Image] = {}
        self.videos: dict[Any, dict[str, Any]] = {}
        self.category: dict[str, Any] = {}
        self.annotated = False  # a file of annotations rather than a list of results
        self.groups: list[Any] = []  # of each annotation, in order

    def group_of(self, image_id: Any) -> Image | None:
        """The image with this id; of a list of results, the frame that the id names."""
        if self.images or self.annotated:
            return self.images.get(image_id) if isinstance(image_id, int | str) else None
        if isinstance(image_id, str):
            return Image(*_named(image_id), None)
        number = points.whole(image_id)
        return None if number is None else Image("", number, None)


def units(root: Path) -> list[Path]:
    """Files in the format of COCO's keypoints, annotations or results."""
    return scan.units(root, NAME, ".json", scan.json_kind)


def read(unit: Path, root: Path, options: Options) -> Iterator[Recording]:
    """Give the recordings of a file: one for each video, or for each name that image files begin with before a number."""
    try:
        index = _index(unit)
        yield from _recordings(unit, index, scan.file_name(unit, root), unit == root, options)
    except DataError as error:
        options.bad(str(unit), points.why(error, unit))


def _index(unit: Path) -> Index:
    """First way through the file: everything but the keypoints."""
    index = Index()
    image_ids: list[Any] = []
    for entry in jsonlist.entries(unit):
        if entry.kind == "list":
            index.annotated |= entry.key in ("annotations", "images")
        elif not isinstance(entry.value, dict):
            continue
        elif entry.key in (None, "annotations") and entry.kind == "item":
            image_ids.append(_key(entry.value.get("image_id")))
        elif entry.key == "images":
            index.images[_key(entry.value.get("id"))] = _image(entry.value)
        elif entry.key == "videos":
            index.videos[_key(entry.value.get("id"))] = entry.value
        elif entry.key == "categories" and isinstance(entry.value.get("keypoints"), list):
            index.category = index.category or entry.value
    index.groups = [image.group if (image := index.group_of(image_id)) else None for image_id in image_ids]
    return index


def _key(value: Any) -> Any:
    return value if isinstance(value, int | str) else None


def _named(name: str) -> tuple[str, int]:
    """Recording and frame that the name of an image file tells."""
    path = PurePosixPath(name.replace("\\", "/"))
    prefix, number = points.numbered(path.stem)
    if number is None:
        return path.stem, 0
    return "/".join(part for part in (*path.parts[:-1], prefix) if part not in ("", "/", "..", ".")), number


def _image(record: dict[str, Any]) -> Image:
    group, number = _named(str(record.get("file_name", "")))
    video = next((record[key] for key in VIDEO_KEYS if isinstance(record.get(key), int | str)), None)
    frame = next((n for key in scan.FRAME_KEYS if (n := points.whole(record.get(key))) is not None), None)
    if video is not None:
        group = f"\0{video}"  # apart from names of files; what it is called is in ``videos``
    if frame is None:
        frame = number if record.get("file_name") else points.whole(record.get("id")) or 0
    return Image(group, frame, points.image_size(record.get("width"), record.get("height")))


def _recordings(unit: Path, index: Index, base: str, own: bool, options: Options) -> Iterator[Recording]:
    """Second way through the file: the keypoints, recording by recording."""
    frames: dict[str, set[int]] = {}
    for image in index.images.values():
        frames.setdefault(image.group, set()).add(image.number)
    keys = [group for group in index.groups if group is not None]
    alone = len(set(keys) | set(frames)) == 1
    layout = _Layout(index.category, options)
    for group, people in points.grouped(keys, _people(unit, index, layout, options)):
        gathered = Gathered()
        sizes = {image.size for _, image, _ in people}
        for number in frames.get(group, ()):
            gathered.frame(number)
        for where, image, person in people:
            try:
                if person is not None:
                    gathered.add(image.number, person)
            except Odd as error:
                options.bad(where, str(error))
        recording = gathered.recording(
            _recording_name(base, group, index, own, alone),
            layout.name,
            CHANNELS,
            size=(sizes.pop() if len(sizes) == 1 else None) or options.size,
            label=_label(index, group),
            facts=layout.facts,
        )
        if recording:
            yield recording


def _people(
    unit: Path, index: Index, layout: _Layout, options: Options
) -> Iterator[tuple[str, tuple[str, Image, Person | None]]]:
    """Give (recording, (where, image, person)) of each annotation; no person where it has none that can be used."""
    count = -1
    for entry in jsonlist.entries(unit):
        if entry.key not in (None, "annotations") or entry.kind != "item":
            continue
        count += 1
        where = f"{unit}: {'annotation' if index.annotated else 'result'} {count}"
        if not isinstance(entry.value, dict):
            options.bad(where, "it is not an object with keypoints")
            continue
        image = index.group_of(_key(entry.value.get("image_id")))
        person = None
        try:
            if image is None:
                raise Odd(f"its image_id {str(entry.value.get('image_id'))[:60]!r} is of no image")
            person = _person(entry.value, layout, index.annotated)
        except Odd as error:
            options.bad(where, str(error))
        if image is not None:
            yield image.group, (where, image, person)


def _person(record: dict[str, Any], layout: _Layout, annotated: bool) -> Person | None:
    values = record.get("keypoints")
    if annotated and (
        record.get("iscrowd") or record.get("num_keypoints") == 0 or (not values and "num_keypoints" not in record)
    ):
        return None  # a box alone, or a crowd
    pose = points.joints(values, 3, "keypoints")
    pose = pose[: layout.take(len(pose))]
    if annotated and set(pose[:, 2].tolist()) <= {0, 1, 2}:
        pose[:, 2] /= 2  # 0 is not labelled, 1 hidden, 2 visible
    points.unseen_at_origin(pose)
    attributes = record.get("attributes")
    beside = [record, attributes] if isinstance(attributes, dict) else [record]
    track = next((own for place in beside for key in TRACK_KEYS if (own := points.track(place.get(key))) is not None), None)
    return Person(pose.astype(np.float32), track) if pose[:, 2].any() else None


class _Layout:
    """The joints of a file: as its category names them, else as their number tells."""

    def __init__(self, category: dict[str, Any], options: Options) -> None:
        names = category.get("keypoints", [])[:MOST_JOINTS]
        self.joints = [points.joint_name(name) for name in names]
        self.edges = _edges(category.get("skeleton"), len(names))
        self.options = options
        self.name = ""
        self.facts: dict[str, Any] = {}

    def take(self, found: int) -> int:
        """How many of ``found`` joints are of the layout, which is decided with the first person."""
        match = next((n for n, layout in LAYOUTS.items() if list(layout.joints) == self.joints), None)
        if match or self.options.layout or len(self.joints) != found or found in (26, 133, 136):
            known = {found: (match, found)} if match and len(self.joints) == found else KNOWN
            name, take = points.layout_of(found, known, self.options)
        else:  # joints that no built-in layout has in this order
            name, take = "custom", found
            self.facts = {"layout": {"joints": self.joints, "edges": self.edges, "center": 0}}
        self.name = self.name or name
        return take


def _edges(skeleton: Any, joints: int) -> list[list[int]]:
    """Edges of a category, which counts joints from 1."""
    pairs = skeleton if isinstance(skeleton, list) else []
    whole = [[points.whole(end) for end in pair] for pair in pairs[:MOST_JOINTS] if isinstance(pair, list) and len(pair) == 2]
    return [[a - 1, b - 1] for a, b in whole if a and b and max(a, b) <= joints]


def _recording_name(base: str, group: str, index: Index, own: bool, alone: bool) -> str:
    """Name of a recording: the file's, and the video's or image names' where there are several or the file is all."""
    if group.startswith("\0"):
        key: Any = group[1:]
        video = index.videos.get(key) or index.videos.get(points.whole(key)) or {}
        called = next((video[k] for k in ("name", "file_name") if isinstance(video.get(k), str) and video[k]), None)
        group = str(PurePosixPath(called.lstrip("/")).with_suffix("")) if called else key
    if not group or (alone and not own):
        return base
    return group if own else f"{base}/{group}"


def _label(index: Index, group: str) -> str | None:
    key: Any = group.removeprefix("\0")
    video = index.videos.get(key) or index.videos.get(points.whole(key)) or {}
    return next((video[k] for k in LABEL_KEYS if isinstance(video.get(k), str) and video[k]), None)
