"""What the columns of a table of keypoints mean: by the user's column map, else by their common names. Reads no rows."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from stgcn.errors import SpecError
from stgcn.formats.clips import MOST_JOINTS, Unusable

COMMON = {
    "frame": "frame frame_id frame_index frame_idx frame_no frame_num frame_number frameid framenumber",
    "time": "time timestamp time_s time_sec seconds sec t timestamp_ms time_ms",
    "person": "person person_id personid person_index track track_id trackid object_id id idx pid individual",
    "label": "label action class activity category target gesture exercise pose_class action_label class_name",
    "subject": "subject subject_id who participant participant_id actor user volunteer",
    "split": "split set subset partition",
    "sample": "sample sample_id clip clip_id video video_id video_name sequence sequence_id seq_id recording file filename",
    "joint": "joint joint_id joint_name joint_index keypoint keypoint_id keypoint_name landmark landmark_id landmark_index "
    "bodypart body_part part",
}
AXIS = {
    **{axis: (axis,) for axis in ("x", "y", "z")},
    "score": ("score", "conf", "confidence", "likelihood", "visibility", "vis", "prob", "probability", "v", "c", "s", "p"),
}
AXIS_OF = {word: axis for axis, words in AXIS.items() for word in words}
WORDS = "|".join(sorted(AXIS_OF, key=len, reverse=True))
FORMS = (
    re.compile(rf"(?P<joint>.+?)[ _.\-:/](?P<axis>{WORDS})", re.IGNORECASE),  # nose_x
    re.compile(rf"(?P<axis>{WORDS})[ _.\-:/](?P<joint>.+)", re.IGNORECASE),  # x_nose
    re.compile(rf"(?P<axis>{WORDS})(?P<joint>\d+)", re.IGNORECASE),  # x0
    re.compile(rf"(?P<joint>\d+|.*[a-z0-9])(?P<axis>{'|'.join(word.capitalize() for word in AXIS_OF)})"),  # noseX
    re.compile(rf"(?P<joint>\d+)(?P<axis>{WORDS})", re.IGNORECASE),  # 0x
)
KEYS = (*COMMON, *AXIS)


@dataclass(frozen=True)
class Columns:
    """Positions of the columns of a table; coordinates are either of joints side by side, or of one joint per row."""

    where: Mapping[str, int]  # frame, time, person, label, subject, split, sample, joint -> column
    axes: tuple[str, ...]  # x, y (, z) (, score)
    wide: Mapping[str, tuple[int, ...]] = field(default_factory=dict)  # joint -> its columns in the order of ``axes``
    long: tuple[int, ...] = ()  # columns in the order of ``axes``, where each row is one joint


def understand(header: Sequence[str], given: Mapping[str, str] | None) -> Columns:
    """Find out what the columns are.

    Raises:
        SpecError: the column map has keys that do not exist.
        Unusable: columns that the map names are not there, or no coordinates are found.
    """
    given = dict(given or {})
    _check_keys(given)
    names = [name.strip() for name in header]
    lower = {name.lower(): i for i, name in reversed(list(enumerate(names)))}
    where: dict[str, int] = {}
    lost = []
    for key, common in COMMON.items():
        wanted = [given[key].strip().lower()] if key in given else common.split()
        found = next((lower[word] for word in wanted if word in lower), None)
        if found is not None and found not in where.values():
            where[key] = found
        elif key in given:
            lost.append(f"{key}: {given[key]!r}")
    if lost:
        raise Unusable(f"it has no column as the column map names it ({', '.join(lost)}); it has {_some(names)}")
    coordinates = _given(names, given, where) if "x" in given or "y" in given else _common(names, where)
    if coordinates is None:
        raise Unusable(f"no columns of coordinates are found among {_some(names)}; name them in dataset_convert.columns")
    if len(coordinates.wide) > MOST_JOINTS:
        raise Unusable(f"it has {len(coordinates.wide)} joints; allowed are {MOST_JOINTS}")
    return coordinates


def _check_keys(given: Mapping[str, str]) -> None:
    problems = []
    for key, column in given.items():
        if key not in KEYS:
            near = difflib.get_close_matches(str(key), KEYS, 1)
            hint = f"; did you mean {near[0]}?" if near else ""
            problems.append(f"dataset_convert.columns has the key {str(key)!r}; allowed are {', '.join(KEYS)}{hint}")
        elif not isinstance(column, str):
            problems.append(f"dataset_convert.columns.{key} is {column!r}; expected the name of a column")
        elif column.count("{joint}") > (1 if key in AXIS else 0):
            problems.append(f"dataset_convert.columns.{key} is {column!r}: {{joint}} may stand once, in x, y, z and score")
    if ("x" in given) != ("y" in given):
        problems.append("dataset_convert.columns has one of x and y; it needs both, or none to find them by their names")
    if len({"{joint}" in str(given[axis]) for axis in AXIS if axis in given}) > 1:
        problems.append("dataset_convert.columns: {joint} must stand in all of x, y, z and score, or in none")
    if problems:
        raise SpecError(problems)


def _some(names: Sequence[str]) -> str:
    return ", ".join(repr(name[:40]) for name in names[:12]) + (f" and {len(names) - 12} more" if len(names) > 12 else "")


def _given(names: Sequence[str], given: Mapping[str, str], where: Mapping[str, int]) -> Columns:
    """Coordinates where the column map says."""
    axes = tuple(axis for axis in AXIS if axis in given)
    position = {name.lower(): i for i, name in reversed(list(enumerate(names)))}
    if "{joint}" not in given["x"]:
        if "joint" not in where:
            raise Unusable("the column map names x and y without {joint}, and there is no column that names the joint of a row")
        lost = [given[axis] for axis in axes if given[axis].strip().lower() not in position]
        if lost:
            raise Unusable(f"it has no column {', '.join(map(repr, lost))}; it has {_some(names)}")
        return Columns(where, axes, long=tuple(position[given[axis].strip().lower()] for axis in axes))
    before, after = (part.lower() for part in given["x"].strip().split("{joint}"))
    wide = {}
    for name in names:
        if len(name) > len(before) + len(after) and name.lower().startswith(before) and name.lower().endswith(after):
            joint = name[len(before) : len(name) - len(after)]
            columns = [position.get(given[axis].strip().replace("{joint}", joint).lower()) for axis in axes]
            found = tuple(column for column in columns if column is not None)
            if len(found) == len(axes):
                wide[joint] = found
    if not wide:
        shown = ", ".join(repr(given[axis]) for axis in axes)
        raise Unusable(f"no joint has all the columns {shown}; it has {_some(names)}")
    return Columns(where, axes, wide=wide)


def _common(names: Sequence[str], where: dict[str, int]) -> Columns | None:
    """Coordinates by common names: of several ways of writing them the one that gives the most joints."""
    lower = {name.lower(): i for i, name in reversed(list(enumerate(names)))}
    if "joint" in where and "x" in lower and "y" in lower:
        there = {axis: [lower[word] for word in words if word in lower] for axis, words in AXIS.items()}
        found = {axis: columns[0] for axis, columns in there.items() if columns}
        return Columns(where, tuple(found), long=tuple(found.values()))
    best: dict[str, dict[str, int]] = {}
    for form in FORMS:
        joints: dict[str, dict[str, int]] = {}
        for i, name in enumerate(names):
            match = form.fullmatch(name)
            if match:
                joints.setdefault(match["joint"], {}).setdefault(AXIS_OF[match["axis"].lower()], i)
        complete = {joint: columns for joint, columns in joints.items() if "x" in columns and "y" in columns}
        if len(complete) > len(best):
            best = complete
    if not best:
        return None
    axes = tuple(axis for axis in AXIS if all(axis in columns for columns in best.values()))
    wide = {joint: tuple(columns[axis] for axis in axes) for joint, columns in best.items()}
    taken = {column for columns in wide.values() for column in columns}
    return Columns({key: i for key, i in where.items() if i not in taken and key != "joint"}, axes, wide=wide)
