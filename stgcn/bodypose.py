"""DeepStream BodyPose JSON into tracks: the poses of each object of each video stream. Knows no windows."""

from __future__ import annotations

import array
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from stgcn import forked
from stgcn.bodytrack import POINT, Scratch, Track
from stgcn.config import DatasetConvert
from stgcn.errors import DataError
from stgcn.jsonblocks import Block, Reached, Reader, listed, places
from stgcn.jsonlist import Place

PENDING = 2048  # poses held as read, over all tracks, before they are normalised
PENDING_OF_EACH = 64  # so many of each track at least, for whose sake more are held, up to
MOST_PENDING = 8192
MOST_PROBLEMS = 20
FEWEST_BYTES = 2**23  # for which a helper is worth its while
MOST_SHAPES = 1000  # combinations of names remembered
POSE_KEYS = {"3dbp": "pose3d", "25dbp": "pose25d", "2dbp": "pose25d"}
SAFE_NAME = re.compile(r"-?[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
UNUSUAL = (AttributeError, KeyError, TypeError, ValueError)  # what a value that is missing or of another kind raises

Hear = Callable[[int, int], None]  # is told how many bytes of how many are read


def read_tracks(
    source: Path,
    settings: DatasetConvert,
    scratch: Scratch,
    hear: Hear = lambda done, total: None,
    bad: Callable[[list[str]], None] | None = None,
) -> tuple[dict[tuple[str, str], Track], dict[str, int]]:
    """Read all poses of the file ``source``, grouped by (stream, object).

    With ``bad``, which is told of bad records, these are left out.

    Returns:
        The tracks in the order of their first frame, and the counts ``records`` and ``frames`` (poses).

    Raises:
        DataError: the file is missing or broken, or a record is bad; every bad record is named, up to MOST_PROBLEMS.
        OSError: the scratch file cannot be written.
    """
    gathered = _Gathered(settings, scratch)
    begins = places(source, forked.spare() + 1, FEWEST_BYTES)
    ends = [*begins[1:], None]
    helpers = {begin: _Helper(source, begin, end, settings, scratch) for begin, end in zip(begins, ends, strict=False)}
    reader = Reader(source, begins)
    try:
        for piece in reader:
            if isinstance(piece, Block):
                piece.refused = not gathered.take_block(piece)
            elif isinstance(piece, Reached):
                piece.place = helpers.pop(piece.place.offset).join(gathered, piece.place)
            else:
                gathered.take_record(piece)
            gathered.flush(if_full=True)
            hear(min(reader.done * (1 + len(helpers)), reader.total), reader.total)  # helpers are about as far
    except DataError as error:
        gathered.flush()
        raise DataError(gathered.problems.listed(source) + error.problems) from None
    finally:
        for helper in helpers.values():
            helper.work.stop()
    gathered.flush()
    if gathered.problems.count:
        if bad is None:
            raise DataError(gathered.problems.listed(source))
        bad(gathered.problems.listed(source))
    return gathered.tracks, {"records": gathered.records, "frames": sum(track.frames for track in gathered.tracks.values())}


class _Helper:
    """Reads a later part of the file at the same time, as long as nothing in it is unusual."""

    def __init__(self, source: Path, begin: int, end: int | None, settings: DatasetConvert, scratch: Scratch) -> None:
        self.scratch = scratch.branch()
        self.work = forked.Forked(lambda: _read_ahead(source, begin, end, settings, self.scratch))

    def join(self, gathered: _Gathered, place: Place) -> Place:
        """Add what it read to what was read up to ``place``, where it began; gives the place up to which that goes."""
        said = self.work.answer()
        if said is None:
            return place
        ahead = json.loads(said)
        gathered.flush()
        for plain in ahead["tracks"]:
            later = Track.of_plain(plain, gathered.settings, self.scratch, place.items)
            gathered.problems.add_all(gathered.track(later.stream, later.name).join(later))
        gathered.problems.add_all((place.items + number, text) for number, text in ahead["problems"])
        gathered.problems.count += ahead["more_problems"]
        offset, characters, count = ahead["place"]
        gathered.records += count
        return Place(offset, place.characters + characters, place.items + count)


def _read_ahead(source: Path, begin: int, end: int | None, settings: DatasetConvert, scratch: Scratch) -> bytes:
    """What a helper says: how far it came, its tracks, and which numbers were too large."""
    gathered = _Gathered(settings, scratch, ahead=True)
    parent = os.getppid()
    blocks = Reader(source, [] if end is None else [end]).ahead(Place(begin, 0, 0))
    try:
        while os.getppid() == parent:  # nobody wants to know it when that is gone
            block = next(blocks)
            block.refused = not gathered.take_block(block)
            gathered.flush(if_full=True)
    except StopIteration as stopped:
        place = stopped.value
    gathered.flush()
    tracks = [track.as_plain() for track in gathered.tracks.values()]
    problems = gathered.problems.first
    more = gathered.problems.count - len(problems)
    return json.dumps({"place": place, "tracks": tracks, "problems": problems, "more_problems": more}).encode()


class _Problems:
    """What is wrong with which record: the first of them by number, however many there are."""

    def __init__(self) -> None:
        self.first: list[tuple[int, str]] = []
        self.count = 0

    def add(self, number: int, text: str) -> None:
        self.count += 1
        self.first.append((number, text))
        if len(self.first) > 10 * MOST_PROBLEMS:
            self.first = sorted(self.first)[:MOST_PROBLEMS]

    def add_all(self, problems: Iterable[tuple[int, str]]) -> None:
        for number, text in problems:
            self.add(number, text)

    def listed(self, source: Path) -> list[str]:
        lines = [f"{source}: record {number}: {text}" for number, text in sorted(self.first)[:MOST_PROBLEMS]]
        rest = self.count - MOST_PROBLEMS
        return lines + ([f"{source}: and {rest} more problems like these"] if rest > 0 else [])


class _Gathered:
    """The tracks as they grow. A block of records is taken whole, or refused; a record says what is wrong with it."""

    def __init__(self, settings: DatasetConvert, scratch: Scratch, *, ahead: bool = False) -> None:
        self.settings = settings
        self.scratch = scratch
        self.ahead = ahead  # tracks may have begun before what is read here
        self.pose_key = POSE_KEYS[settings.pose_type]
        self.bytes = 8 * POINT * settings.num_joints  # of a pose
        self.tracks: dict[tuple[str, str], Track] = {}
        self.busy: list[Track] = []  # those with poses that are not normalised yet
        self.problems = _Problems()
        self.records = 0
        self.pending = 0
        self.streams: dict[int | str, dict[int | str, Track]] = {}  # tracks by their ids as they were read
        self.shapes: set[tuple[str, ...]] = set()  # the names in objects, where none is there twice

    def flush(self, *, if_full: bool = False) -> None:
        """Normalise the poses that are pending, or only when they are many."""
        if not if_full or self.pending >= min(MOST_PENDING, max(PENDING, PENDING_OF_EACH * len(self.busy))):
            for track in self.busy:
                self.problems.add_all(track.flush(wait=self.ahead))
            self.busy.clear()
            self.pending = 0

    def _add(self, track: Track, number: int, pose: Any) -> None:
        if not track.poses:
            self.busy.append(track)
        track.poses.append(pose)
        track.records.append(number)
        self.pending += 1

    def track(self, stream: str, name: str) -> Track:
        """The track of an object, a new one if it was not seen before."""
        track = self.tracks.get((stream, name))
        if track is None:
            track = self.tracks[stream, name] = Track(name, stream, self.settings, self.scratch)
        return track

    def take_record(self, record: Any) -> None:
        """Take the poses of one record, and note what is wrong with it."""
        for stream, name, pose in _poses(record, self.records, self.settings, self.problems):
            self._add(self.track(stream, name), self.records, pose)
        self.records += 1

    def take_block(self, block: Block) -> bool:
        """Take the poses of all records of a block; False, and none of them, when anything in it is unusual."""
        frames = []
        try:
            for number, record in enumerate(block.items, block.first):
                self._names(record)
                batches = listed(record["batches"])
                if record["num_frames_in_batch"] != len(batches):
                    return False
                frames += [(number, self._objects(batch)) for batch in batches]
        except UNUSUAL:
            return False
        for number, poses in frames:
            for track, pose in poses.items():
                self._add(track, number, pose)
        self.records += len(block.items)
        return True

    def _objects(self, batch: Any) -> dict[Track, Any]:
        """The poses of one frame of one stream; raises one of UNUSUAL."""
        names = self._names(batch)
        stream = batch["source_id"] if "source_id" in names else batch["batch_id"] if "batch_id" in names else 0
        tracks = self.streams.get(stream) if type(stream) is int else None
        if tracks is None:
            tracks = self._of_stream(stream)
        found: dict[Track, Any] = {}
        for tracked in listed(batch["objects"]):
            if tuple(tracked) not in self.shapes:
                self._names(tracked)
            object_id = tracked["object_id"]
            track = tracks.get(object_id) if type(object_id) is int else None  # 1.0 and True are not the object 1
            if track is None:
                track = self._of_object(tracks, stream, object_id)
            pose = tracked[self.pose_key].as_buffer(of_type="d")
            if pose.size != self.bytes or track in found:
                raise ValueError
            found[track] = pose
        return found

    def _names(self, value: Any) -> tuple[str, ...]:
        """Names of an object, of which none is there twice: simdjson gives the first of two, the standard library the last."""
        names = tuple(value)
        if names not in self.shapes:
            if len(set(names)) < len(names) or not all(type(name) is str for name in names):
                raise ValueError
            if len(self.shapes) < MOST_SHAPES:
                self.shapes.add(names)
        return names

    def _of_stream(self, stream: Any) -> dict[int | str, Track]:
        if _identity(stream) is None:
            raise ValueError
        return self.streams.setdefault(stream, {})

    def _of_object(self, tracks: dict[int | str, Track], stream: Any, object_id: Any) -> Track:
        name = _identity(object_id)
        if name is None:
            raise ValueError
        tracks[object_id] = self.track(str(stream), name)
        return tracks[object_id]


def _poses(
    record: Any, number: int, settings: DatasetConvert, problems: _Problems
) -> Iterator[tuple[str, str, array.array[float]]]:
    """Give (stream, object id, numbers of the pose) of every object in a record, and list what is wrong with it."""

    def wrong(text: str) -> None:
        problems.add(number, text)

    if not isinstance(record, dict) or not isinstance(record.get("batches"), list):
        wrong("expected {num_frames_in_batch, batches: [{objects: [...]}]}")
        return
    batches = record["batches"]
    if record.get("num_frames_in_batch") != len(batches):
        wrong(f"num_frames_in_batch is {str(record.get('num_frames_in_batch'))[:40]}, but it has {len(batches)} batches")
    for index, batch in enumerate(batches):
        if not isinstance(batch, dict) or not isinstance(batch.get("objects"), list):
            wrong(f"batch {index} has no list of objects")
            continue
        stream = _identity(batch.get("source_id", batch.get("batch_id", 0)))
        if stream is None:
            wrong(f"batch {index} has a source_id or batch_id that is neither a number nor a short name")
            continue
        taken: set[str] = set()
        for tracked in batch["objects"]:
            name, pose, problem = _pose(tracked, settings)
            if problem or pose is None:
                wrong(problem)
            elif name in taken:
                wrong(f"object {name} appears twice in one frame")
            else:
                taken.add(name)
                yield stream, name, pose


def _pose(tracked: Any, settings: DatasetConvert) -> tuple[str, array.array[float] | None, str]:
    """Read one object: its id, its numbers, and what is wrong with it ('' when nothing is)."""
    name = _identity(tracked.get("object_id")) if isinstance(tracked, dict) else None
    if name is None:
        return "", None, "an object has no object_id that is a number or a short name"
    key = POSE_KEYS[settings.pose_type]
    pose = tracked.get(key)
    if not isinstance(pose, list):
        return name, None, f"object {name} has no list {key!r}, which pose_type {settings.pose_type} reads"
    expected = POINT * settings.num_joints
    if len(pose) != expected:
        says = f"object {name} has {len(pose)} numbers in {key}; expected {expected}: x, y, z, confidence of each of "
        return name, None, f"{says}{settings.num_joints} joints (dataset_convert.num_joints)"
    try:
        return name, array.array("d", pose), ""
    except (TypeError, OverflowError):
        return name, None, f"object {name} has values in {key} that are not numbers"


def _identity(value: Any) -> str | None:
    """Text of an id that is safe in a file name, or None."""
    if isinstance(value, bool) or not isinstance(value, int | str):
        return None
    return str(value) if SAFE_NAME.fullmatch(str(value)) else None
