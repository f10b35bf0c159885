"""Ultralytics YOLO-pose: label files (one .txt for each frame) and the JSON of Results.to_json, a frame or a whole video."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from stgcn import jsonlist
from stgcn.errors import DataError
from stgcn.formats import points, scan
from stgcn.formats.base import Options, Recording
from stgcn.formats.points import Gathered, Odd, Person
from stgcn.graph import LAYOUTS

NAME = "yolo"
KNOWN = {17: ("coco", 17), 26: ("halpe_26", 26), 21: ("hand_21", 21)}
BOX = 5  # class, centre and size come before the keypoints
MOST_LINE = 2**16
MOST_PEOPLE = 1000
KPT_SHAPE = re.compile(r"^kpt_shape:\s*(?:\[\s*(\d{1,4})\s*,|\s*-\s*(\d{1,4})\s*$)", re.MULTILINE)
TEXT = scan.Kind(NAME, "frame")


def units(root: Path) -> list[Path]:
    """Folders of label files, JSON files of videos, and folders of JSON files of frames."""
    found = scan.units(root, NAME, ".txt", text_kind) + scan.units(root, NAME, ".json", scan.json_kind)
    return sorted(set(found))


def text_kind(path: Path) -> scan.Kind | None:
    """Whether a .txt is a label file with keypoints."""
    try:
        with path.open(encoding="utf-8") as file:
            line = next((line for line in islice(file, MOST_PEOPLE) if line.strip()), "")[:MOST_LINE]
        words = [float(word) for word in line.split()]
    except (OSError, ValueError):
        return None
    shape = _kpt_shape(path.parent)
    fits = _fits(len(words) - BOX, shape or 17, (2, 3)) is not None
    inside = len(words) > BOX and words[0].is_integer() and all(-1 <= share <= 2 for share in words[1:BOX])
    return TEXT if inside and (fits or (not shape and len(words) - BOX >= 10)) else None


def read(unit: Path, root: Path, options: Options) -> Iterator[Recording]:
    """Give the recordings of a unit, one for each name that its files begin with before the number of the frame.

    Normalised coordinates come with the size (1, 1), so that both kinds lie alike in the end.
    """
    kind = scan.json_kind(unit) if unit.is_file() and unit.suffix.lower() == ".json" else None
    if kind is not None and kind.shape == "file":
        yield from scan.whole_file(unit, root, _Reader(options))
        return
    texts = [] if kind else [(s, True) for s in scan.frame_sequences(unit, NAME, ".txt", text_kind)]
    found = texts
    if kind or unit.is_dir():
        found += [(s, False) for s in scan.frame_sequences(unit, NAME, ".json", scan.json_kind)]
    for sequence, is_text in found:
        reader = _Reader(options, _kpt_shape(sequence.folder))
        for number, path in sequence.files:
            reader.read_text(number, path) if is_text else reader.read_frame(number, path)
        recording = reader.recording(scan.sequence_name(sequence, root, alone=len(found) == 1))
        if recording:
            yield recording


def _kpt_shape(folder: Path) -> int | None:
    """Number of keypoints that a data set's YAML file near the labels states."""
    for place in [folder, *folder.parents][:4]:
        for name in ("data.yaml", "dataset.yaml", "data.yml"):
            try:
                with (place / name).open(encoding="utf-8") as file:
                    match = KPT_SHAPE.search(file.read(MOST_LINE))
            except (OSError, ValueError):
                continue
            if match:
                return int(match[1] or match[2])
    return None


def _fits(count: int, joints: int, widths: tuple[int, ...]) -> int | None:
    """Numbers for each keypoint, if ``count`` numbers are ``joints`` keypoints and at most a confidence and a track."""
    return next((width for width in reversed(widths) if 0 <= count - joints * width <= 2), None)


class _Reader:
    """One recording in the making."""

    def __init__(self, options: Options, stated: int | None = None) -> None:
        self.options = options
        said = LAYOUTS.get(options.layout or "")
        self.joints = said.num_joints if said else stated or 17
        self.gathered = Gathered()
        self.width: int | None = None
        self.tails: list[tuple[int, int, list[str]]] = []  # frame, person, what follows the keypoints
        self.layout = ""

    def read_text(self, number: int, path: Path) -> None:
        """Read the label file of a frame."""
        self.gathered.frame(number)
        try:
            with path.open(encoding="utf-8") as file:
                lines = list(islice((line for line in file if line.strip()), MOST_PEOPLE))
        except (OSError, ValueError) as error:
            self.options.bad(str(path), f"it cannot be read as text: {error}")
            return
        for i, line in enumerate(lines):
            try:
                self._line(number, line)
            except Odd as error:
                self.options.bad(f"{path}: line {i + 1}", str(error))

    def _line(self, number: int, line: str) -> None:
        words = line[:MOST_LINE].split()
        count = len(words) - BOX
        widths = (2, 3) if self.width is None else (self.width,)
        width = _fits(count, self.joints, widths)
        if width is None:
            expected = " or ".join(str(BOX + self.joints * w) for w in widths)
            raise Odd(
                f"it has {len(words)} numbers; {self.joints} keypoints make {expected}, and a confidence and a track may "
                "follow (for other keypoints set dataset_convert.layout, or kpt_shape in data.yaml)"
            )
        end = BOX + self.joints * width
        try:
            values = [float(word) for word in words]
        except ValueError:
            raise Odd("it holds what is not a number") from None
        pose = points.joints(values[BOX:end], width, "the line")
        self._add(number, pose, None)
        self.width = width
        if words[end:]:
            self.tails.append((number, len(self.gathered.people[number]) - 1, words[end:]))

    def _add(self, number: int, pose: np.ndarray, track: str | None) -> None:
        layout, take = points.layout_of(len(pose), KNOWN, self.options)
        scores = pose[:, 2] if pose.shape[1] == 3 else np.ones(len(pose))
        full = points.unseen_at_origin(np.column_stack([pose[:, :2], scores]))[:take]
        self.gathered.add(number, Person(full.astype(np.float32), track))
        self.layout = self.layout or layout

    def read_frame(self, number: int, path: Path) -> None:
        """Read the JSON of one frame."""
        self.gathered.frame(number)
        try:
            for i, entry in enumerate(e for e in jsonlist.entries(path) if e.kind == "item"):
                self._detection(number, entry.value, f"{path}: detection {i}")
        except DataError as error:
            self.options.bad(str(path), points.why(error, path))

    def _detection(self, number: int, found: Any, where: str) -> None:
        try:
            keypoints = found.get("keypoints") if isinstance(found, dict) else None
            if not isinstance(keypoints, dict) or not {"x", "y"} <= keypoints.keys():
                raise Odd("it has no keypoints with x and y, as those of a pose model have")
            columns = [points.numbers(keypoints[key], key) for key in ("x", "y", "visible") if keypoints.get(key) is not None]
            if len({len(column) for column in columns}) != 1 or not len(columns[0]):
                raise Odd("its keypoints' x, y and visible differ in length, or are empty")
            self._add(number, np.column_stack(columns), points.track(found.get("track_id", found.get("id"))))
        except Odd as error:
            self.options.bad(where, str(error))

    def read_video(self, path: Path) -> None:
        """Read the JSON of a video: a list of frames' lists, of frames with a number, or of detections with one."""
        count = 0
        try:
            for entry in jsonlist.entries(path):
                keyed = points.whole(entry.key)
                if entry.kind == "list":
                    if keyed is not None:
                        self.gathered.frame(keyed)
                elif entry.key is None or entry.key in scan.FRAMES or keyed is not None:
                    self._frame(keyed, count, entry.value, f"{path}: record {count}")
                    count += 1
        except DataError as error:
            self.gathered = Gathered()  # what was read before it broke off is not half used
            self.options.bad(str(path), points.why(error, path))

    def _frame(self, keyed: int | None, count: int, item: Any, where: str) -> None:
        if isinstance(item, str):
            item = scan.embedded(item)
        number = count if keyed is None else keyed
        if isinstance(item, dict):
            stated = next((n for key in scan.FRAME_KEYS if (n := points.whole(item.get(key))) is not None), None)
            number = number if stated is None else stated
            listed = next((item[key] for key in scan.DETECTIONS if isinstance(item.get(key), list)), None)
            item = [item] if listed is None else listed
        self.gathered.frame(number)
        if not isinstance(item, list):
            self.options.bad(where, "it is neither a frame nor a detection")
            return
        for i, found in enumerate(item[:MOST_PEOPLE]):
            self._detection(number, found, f"{where}: detection {i}")

    def recording(self, name: str) -> Recording | None:
        """Finish: tell tracks from confidences, scale visibility, and say in what the coordinates are."""
        self._use_tails()
        scores = self.gathered.values(2)
        if scores.max(initial=0) > 1:  # labels made by hand: 0 is not labelled, 1 hidden, 2 visible
            self.gathered.change(lambda pose: pose * np.array([1, 1, 0.5], dtype=np.float32))
        size = (1, 1) if points.is_normalised(self.gathered) else self.options.size
        return self.gathered.recording(name, self.layout, ("x", "y", "score"), size=size)

    def _use_tails(self) -> None:
        """Tracks are the last number of each line where all of them are whole; else it is the confidence of the box."""
        if not self.tails or not all(words[-1].isdigit() for _, _, words in self.tails):
            return
        for number, person, words in self.tails:
            people = self.gathered.people[number]
            people[person] = Person(people[person].joints, points.track(int(words[-1])))
