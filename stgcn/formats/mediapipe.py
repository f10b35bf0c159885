"""MediaPipe landmarks (Pose, Hands, Holistic) as JSON: a frame a file, or a video a file; CSV is in mediapipe_csv."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from stgcn import jsonlist
from stgcn.errors import DataError
from stgcn.formats import mediapipe_csv, points, scan
from stgcn.formats.base import Options, Recording
from stgcn.formats.mediapipe_joints import HAND, POSE, parts
from stgcn.formats.points import Gathered, Odd, Person

NAME = "mediapipe"
BODY_KEYS = ("poselandmarks", "landmarks", "landmark", "pose", "body", "keypoints", "points")  # in order of preference
WORLD_KEYS = ("poseworldlandmarks", "worldlandmarks", "keypoints3d")
HAND_KEYS = ("multihandlandmarks", "handlandmarks", "hands", *BODY_KEYS)
SIDE_KEYS = {"lefthandlandmarks": "left", "lefthand": "left", "righthandlandmarks": "right", "righthand": "right"}
HANDED_KEYS = ("multihandedness", "handednesses", "handedness")
MOST_LANDMARKS = 20_000  # members' items of a document of one frame
MOST_PEOPLE = 100


def units(root: Path) -> list[Path]:
    """Files of videos (JSON and CSV), and folders of one JSON file for each frame."""
    return sorted({*scan.units(root, NAME, ".json", scan.json_kind), *scan.units(root, NAME, ".csv", mediapipe_csv.kind)})


def read(unit: Path, root: Path, options: Options) -> Iterator[Recording]:
    """Give the recordings of a unit, (x, y, z, score) with what of it the source has.

    Of Holistic the body is taken, and the hands where the layout ``hand_21`` is asked for; a source of hands alone gives
    hands. Landmarks of the image come before those of the world. Normalised coordinates come with the size (1, 1).
    """
    if unit.suffix.lower() == ".csv":
        yield from mediapipe_csv.read(unit, root, options)
        return
    kind = scan.json_kind(unit) if unit.is_file() else None
    if kind is not None and kind.shape == "file":
        yield from scan.whole_file(unit, root, _Reader(options))
        return
    found = scan.frame_sequences(unit, NAME, ".json", scan.json_kind)
    yield from scan.recordings([(sequence, lambda: _Reader(options)) for sequence in found], root)


class _Reader:
    """One recording in the making; poses are (V, 4) with NaN where z or visibility is not given."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.gathered = Gathered()
        self.part: str | None = None if options.layout is None else ("hand" if options.layout == HAND else "body")
        self.world: bool | None = None
        self.facts: dict[str, Any] = {}

    def read_frame(self, number: int, path: Path) -> None:
        """Read a document of one frame."""
        members: dict[str, Any] = {}
        try:
            for count, entry in enumerate(jsonlist.entries(path)):
                if count > MOST_LANDMARKS:
                    raise Odd("it is too long for one frame")
                key = entry.key or "landmarks"
                if entry.kind == "item":
                    members[key].append(entry.value)
                else:
                    members[key] = [] if entry.kind == "list" else entry.value
        except (DataError, Odd) as error:
            self.gathered.frame(number)
            self.options.bad(str(path), str(error))
            return
        self._frame(number, members, str(path))

    def read_video(self, path: Path) -> None:
        """Read a document of frames: a list, an object with a list, or one with frames by their numbers."""
        count, beside = 0, {}
        try:
            for key, item in _frames(path):
                number = points.whole(key)
                if key is None or key in scan.FRAMES or number is not None:
                    self._frame(
                        count if number is None else number, item, f"{path}: frame {count}", numbered=number is not None
                    )
                    count += 1
                else:
                    beside[points.joint_name(key)] = item
        except (DataError, Odd) as error:
            self.gathered = Gathered()  # what was read before it broke off is not half used
            self.options.bad(str(path), str(error))
        self.facts |= {
            key: beside[key] for key in ("fps", "width", "height", "label") if isinstance(beside.get(key), int | float | str)
        }

    def _frame(self, number: int, item: Any, where: str, numbered: bool = False) -> None:
        if isinstance(item, dict) and not numbered:
            stated = next((n for key in scan.FRAME_KEYS if (n := points.whole(item.get(key))) is not None), None)
            number = number if stated is None else stated
        self.gathered.frame(number)
        try:
            for i, (landmarks, track) in enumerate(self._people(item)):
                self._add(number, landmarks, track, f"{where}: person {i}")
        except Odd as error:
            self.options.bad(where, str(error))

    def _add(self, number: int, landmarks: Any, track: str | None, where: str) -> None:
        try:
            pose = _landmarks(landmarks)
            expected = 21 if self.part == "hand" else 33
            if len(pose) != expected:
                raise Odd(f"it has {len(pose)} landmarks, not {expected}")
            self.gathered.add(number, Person(pose, track))
        except Odd as error:
            self.options.bad(where, str(error))

    def _people(self, item: Any) -> list[tuple[Any, str | None]]:
        """Landmarks of everyone in a frame, with the side of hands."""
        if item is None:
            return []
        if isinstance(item, list):
            item = {"landmarks": item}
        if not isinstance(item, dict):
            raise Odd("it is neither an object nor a list of landmarks")
        nested = next((item[k] for k in ("landmarks", "results", "result", "data") if _is_holistic(item.get(k))), None)
        members = {scan.plain(key): value for key, value in (nested or item).items()}
        if self.part is None:
            self.part = _part(members)
        if self.part == "hand":
            return _hands(members)
        return [(person, None) for person in _several(self._body(members))]

    def _body(self, members: dict[str, Any]) -> Any:
        keys = {False: BODY_KEYS, True: WORLD_KEYS}
        if self.world is None:
            self.world = next((world for world in keys for key in keys[world] if _count(members.get(key)) == 33), None)
        chosen = keys.get(bool(self.world), BODY_KEYS)
        return next((members[key] for key in chosen if _count(members.get(key))), None)

    def recording(self, name: str) -> Recording | None:
        """Finish: leave out what no landmark has, and say in what the coordinates are."""
        size = points.image_size(self.facts.pop("width", None), self.facts.pop("height", None)) or self.options.size
        label = self.facts.pop("label", None)
        fps = self.facts.pop("fps", None)
        z, score = (np.isfinite(self.gathered.values(channel)).any() if self.gathered.shape else False for channel in (2, 3))
        kept = [0, 1, *([2] if z else []), *([3] if score else [])]
        fill = np.array([0, 0, 0, 1], dtype=np.float32)
        self.gathered.change(lambda pose: np.where(np.isnan(pose), fill, pose)[:, kept])
        if self.world:
            size = None
        elif points.is_normalised(self.gathered):
            size = (1, 1)
        return self.gathered.recording(
            name,
            HAND if self.part == "hand" else POSE,
            ("x", "y", *(["z"] if z else []), *(["score"] if score else [])),
            size=size,
            label=label if isinstance(label, str) and label else None,
            fps=float(fps) if isinstance(fps, int | float) and 0 < fps < 1e6 else None,
        )


def _frames(path: Path) -> Iterator[tuple[str | None, Any]]:
    """Give (key, frame) of a document of frames; lists below a number are a frame as a whole."""
    held: list[Any] | None = None
    held_key: str | None = None
    for entry in jsonlist.entries(path):
        if held is not None and entry.kind != "item":
            yield held_key, held
            held = None
        if entry.kind == "list" and points.whole(entry.key) is not None:
            held, held_key = [], entry.key
        elif held is not None:
            held.append(entry.value)
            if len(held) > MOST_LANDMARKS:
                raise Odd(f"the frame {str(held_key)[:20]} is too long")
        elif entry.kind != "list":
            yield entry.key, entry.value
    if held is not None:
        yield held_key, held


def _is_holistic(value: Any) -> bool:
    return isinstance(value, dict) and any(scan.plain(key) in scan.POSE_NAMES + scan.HAND_NAMES for key in value)


def _part(members: dict[str, Any]) -> str | None:
    """Whether a frame tells of bodies or of hands; None while it shows nobody."""
    counts = {key: _count(value) for key, value in members.items()}
    if any(counts.get(key) == 33 for key in BODY_KEYS + WORLD_KEYS):
        return "body"
    holistic = "poselandmarks" in members or "pose" in members
    hands = any(counts.get(key) == 21 for key in (*SIDE_KEYS, *HAND_KEYS))
    if hands and not holistic:
        return "hand"
    return "body" if any(counts.get(key) for key in BODY_KEYS) else None


def _hands(members: dict[str, Any]) -> list[tuple[Any, str | None]]:
    sided: list[tuple[Any, str | None]] = []
    for key, side in SIDE_KEYS.items():
        sided += [(hand, side) for hand in _several(members.get(key))]
    if sided:
        return sided
    hands = _several(next((members[key] for key in HAND_KEYS if _count(members.get(key))), None))
    sides = [_side(entry) for entry in next((members[k] for k in HANDED_KEYS if isinstance(members.get(k), list)), [])]
    return [(hand, sides[i] if i < len(sides) else None) for i, hand in enumerate(hands)]


def _side(entry: Any) -> str | None:
    """left or right from a classification, as protobuf and the Tasks write it, or a bare word."""
    for _ in range(4):
        if isinstance(entry, list):
            entry = entry[0] if entry else None
        elif isinstance(entry, dict):
            names = ("classification", "label", "category_name", "categoryName", "display_name", "displayName")
            entry = next((entry[key] for key in names if entry.get(key)), None)
    word = str(entry).lower()
    return word if word in ("left", "right") else None


def _several(value: Any) -> list[Any]:
    """The people in what a landmarks member holds: one person's landmarks, or a list of such."""
    value = _bare(value)
    if not isinstance(value, list | dict) or not value:
        return []
    if _is_person(value):
        return [value]
    return [bare for person in value if (bare := _bare(person))][:MOST_PEOPLE] if isinstance(value, list) else []


def _bare(value: Any) -> Any:
    """Take a list of landmarks out of protobuf's wrapping."""
    while isinstance(value, dict) and (inner := value.get("landmark", value.get("landmarks"))) is not None:
        value = inner
    return value


def _is_person(value: Any) -> bool:
    if isinstance(value, dict):
        return all(isinstance(point, dict | list) for point in value.values())
    first = next((point for point in value if point is not None), None)
    if isinstance(first, dict):
        return "x" in first
    return isinstance(first, int | float) or (
        isinstance(first, list) and bool(first) and isinstance(first[0], int | float) and len(first) <= 5
    )


def _count(value: Any) -> int:
    """Landmarks of the first person in a member; 0 where there is none."""
    people = _several(value)
    if not people:
        return 0
    first = people[0]
    if isinstance(first, list) and first and isinstance(first[0], int | float):
        return {132: 33, 99: 33, 165: 33, 63: 21, 84: 21}.get(len(first), len(first))
    return len(first) if isinstance(first, list | dict) else 0


def _landmarks(person: Any) -> np.ndarray:
    """Landmarks of a person as float32 (V, 4), NaN where z or visibility is not given, zero where a landmark is null."""
    if isinstance(person, dict):
        person = _in_order(person)
    if not isinstance(person, list):
        raise Odd("its landmarks are not a list")
    if person and isinstance(person[0], int | float):
        count = _count(person)
        if count not in (21, 33):
            raise Odd(f"it has {len(person)} numbers, which are neither 33 nor 21 landmarks")
        person = [person[i : i + len(person) // count] for i in range(0, len(person), len(person) // count)]
    if len(person) > MOST_LANDMARKS:
        raise Odd(f"it has {len(person)} landmarks")
    pose = np.full((len(person), 4), np.nan)
    for row, point in zip(pose, person, strict=True):
        row[:] = _point(point)
    return pose.astype(np.float32)


def _in_order(person: dict[str, Any]) -> list[Any]:
    """Landmarks that are given by name or number."""
    found = parts([str(key) for key in person])
    order = found.get("body") or next(iter(found.values()), None)
    if order is None:
        raise Odd("its landmarks have names that are not MediaPipe's")
    values = list(person.values())
    return [values[i] for i in order]


def _point(point: Any) -> list[float]:
    if point is None:
        return [0.0, 0.0, 0.0, 0.0]
    if isinstance(point, dict):
        score = next(
            (point[key] for key in ("visibility", "score", "presence", "confidence") if point.get(key) is not None), None
        )
        values = [point.get("x"), point.get("y"), point.get("z"), score]
    else:
        values = [*point[:4], None, None][:4] if isinstance(point, list) and len(point) >= 2 else [None]
    known = points.numbers([value for value in values if value is not None], "a landmark")
    if len(values) < 4 or values[0] is None or values[1] is None:
        raise Odd("a landmark has no x and y")
    left = iter(known)
    return [next(left) if value is not None else np.nan for value in values]
