"""OpenPose: a folder of ``<video>_<number>_keypoints.json``, one file for each frame (--write_json)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from stgcn import jsonlist
from stgcn.errors import DataError
from stgcn.formats import points, scan
from stgcn.formats.base import Options, Recording
from stgcn.formats.points import Gathered, Odd, Person, joints, layout_of, track, unseen_at_origin

NAME = "openpose"
KNOWN = {25: ("body_25", 25), 18: ("openpose", 18)}
HAND = {21: ("hand_21", 21)}
SIDES = ("left", "right")
MOST_PEOPLE = 1000


def units(root: Path) -> list[Path]:
    """Folders that hold frames of OpenPose."""
    return scan.units(root, NAME, ".json", scan.json_kind)


def read(unit: Path, root: Path, options: Options) -> Iterator[Recording]:
    """Give the recordings of a folder, one for each name that its files begin with.

    Bodies in two dimensions are (x, y, score); where the file has them in three (--3d), (x, y, z, score). The layout
    ``hand_21``, when asked for, gives the hands instead, each as a person.
    """
    found = scan.frame_sequences(unit, NAME, ".json", scan.json_kind)
    yield from scan.recordings([(sequence, lambda: _Reader(options)) for sequence in found], root)


class _Reader:
    """One recording in the making."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.gathered = Gathered()
        self.layout = ""
        self.depth: bool | None = None  # whether poses have three dimensions; the first frame with people decides
        self.most_people = 0

    def read_frame(self, number: int, path: Path) -> None:
        self.gathered.frame(number)
        try:
            people = _people(path)
        except DataError as error:
            self.options.bad(str(path), points.why(error, path))
            return
        except Odd as error:
            self.options.bad(str(path), str(error))
            return
        self.most_people = max(self.most_people, len(people))
        for i, person in enumerate(people):
            try:
                self._add(number, person)
            except Odd as error:
                self.options.bad(f"{path}: person {i}", str(error))

    def _add(self, number: int, person: Any) -> None:
        if not isinstance(person, dict):
            raise Odd("it is not an object with keypoints")
        own = track(person.get("person_id"))
        if self.options.layout == "hand_21":
            for side in SIDES:
                self._add_part(number, person, f"hand_{side}_keypoints", f"{own}_{side}" if own else side)
        elif not self._add_part(number, person, "pose_keypoints", own) and not _is_empty(person):
            raise Odd("it has no pose_keypoints_2d")

    def _add_part(self, number: int, person: dict[str, Any], key: str, own: str | None) -> bool:
        flat = person.get(f"{key}_2d", person.get(key))
        deep = person.get(f"{key}_3d")
        if self.depth is None and (flat or deep):
            self.depth = bool(deep)
        values = deep if self.depth else flat
        if not values:
            return False
        pose = joints(values, 4 if self.depth else 3, f"{key}_{3 if self.depth else 2}d")
        layout, take = layout_of(len(pose), HAND if "hand" in key else KNOWN, self.options)
        if not pose[:, -1].any():
            return True  # nothing of it was seen
        if not self.depth:
            unseen_at_origin(pose)
        self.gathered.add(number, Person(pose[:take].astype("float32"), own))
        self.layout = self.layout or layout
        return True

    def recording(self, name: str) -> Recording | None:
        if self.most_people > 1:  # a side alone tells no two people's hands apart
            for people in self.gathered.people.values():
                people[:] = [Person(p.joints, None if p.track in SIDES else p.track) for p in people]
        channels = ("x", "y", "z", "score") if self.depth else ("x", "y", "score")
        size = None if self.depth else self.options.size
        return self.gathered.recording(name, self.layout, channels, size=size)


def _is_empty(person: dict[str, Any]) -> bool:
    """Whether OpenPose wrote the person with an empty body, as it does for one whose face or hands alone were seen."""
    return any(key in person for key in ("pose_keypoints_2d", "pose_keypoints", "pose_keypoints_3d"))


def _people(path: Path) -> list[Any]:
    people: list[Any] | None = None
    for entry in jsonlist.entries(path):
        if entry.key == "people" and entry.kind == "list":
            people = []
        elif entry.key == "people" and entry.kind == "item" and people is not None:
            people.append(entry.value)
            if len(people) > MOST_PEOPLE:
                raise Odd(f"it has more than {MOST_PEOPLE} people")
    if people is None:
        raise Odd("it has no list 'people', so it is no frame of OpenPose")
    return people
