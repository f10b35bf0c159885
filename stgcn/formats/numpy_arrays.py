"""NumPy files: .npy of one clip or of a set, .npz of a clip, of sets, or of many clips by name. Knows no other format.

A clip is (T, V, C), (T, M, V, C), (C, T, V) or (C, T, V, M); a set has N of them, as (N, C, T, V, M), (N, M, T, V, C),
(N, T, M, V, C), (N, T, V, C) or (N, T, M * V * C). An array ``axes`` in the .npz, such as "NTVC", says it outright.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from stgcn import labels, npy
from stgcn.errors import DataError
from stgcn.formats import npz
from stgcn.formats.base import Options, Recording, name_of
from stgcn.formats.clips import (
    LAYOUTS_2D,
    Unusable,
    build,
    files_under,
    first_of,
    from_ntu_name,
    numbers,
    pixel_size,
    side_of,
    split_channels,
    text,
)  # fmt: skip
from stgcn.graph import LAYOUTS

NAME = "numpy"
CLIPS = ("TVC", "CTV", "TMVC", "MTVC", "CTVM", "TF")  # what the axes of a clip may be
MOST_SLOTS = 6  # people in an array of people
FLAT_JOINTS = (25, 17, 18, 20, 34, 15, 22)  # tried on flattened poses when no layout is named
SCORED_JOINTS = (17, 18, 26, 133)  # estimators of these give x, y and score
DATA = ("data", "x", "keypoints", "keypoint", "poses", "pose", "skeletons", "skeleton", "joints", "arr_0")
ROLES = {
    "labels": ("labels", "label", "y", "targets"),
    "names": ("names", "name", "samples", "sample_names", "sample_name"),
    "subjects": ("subjects", "subject", "persons"),
    "splits": ("splits", "split"),
    "scores": ("scores", "score", "confidence", "keypoint_score", "keypoint_scores"),
}
BESIDE = re.compile(r"^y(?![a-z])|label|name|subject|split|target", re.IGNORECASE)  # files that say of others
SIDES = re.compile(r"^(?:(train|val|valid|test)_)?(.+?)(?:_(train|val|valid|test))?$", re.IGNORECASE)


class _Array(NamedTuple):
    """An array on disk, in whichever container."""

    source: npz.Member | np.ndarray

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.source.shape)

    def rows(self) -> Iterator[np.ndarray]:
        yield from self.source.rows() if isinstance(self.source, npz.Member) else self.source

    def whole(self) -> np.ndarray:
        return self.source.whole() if isinstance(self.source, npz.Member) else np.asarray(self.source)


class _Group(NamedTuple):
    """Clips that belong together, with what is said of each of them."""

    data: _Array
    said: Mapping[str, Sequence[Any]]  # labels, names, subjects, splits, scores: one entry per clip
    side: str | None
    facts: Mapping[str, str]  # axes and channels where the file says


def units(root: Path) -> list[Path]:
    """Files with an array of three axes or more, and those beside them that are too broken to tell, which are named so."""
    found = files_under(root, ".npy", ".npz")
    if root.is_file():
        return found
    right = {path for path in found if _looks_right(path)}
    return [path for path in found if path in right or (right and not BESIDE.search(path.stem) and broken(path))]


def broken(path: Path) -> str | None:
    """Why the arrays of a file cannot be looked at; None where they can."""
    try:
        _arrays(path)
    except (Unusable, DataError, OSError) as error:
        return str(error).removeprefix(f"{path} ")
    return None


def _looks_right(path: Path) -> bool:
    try:
        return any(len(array.shape) >= 3 and array.dtype.kind in "iuf" for array in _arrays(path))
    except (Unusable, DataError, OSError):
        return False


def _arrays(path: Path) -> Sequence[npz.Member | np.ndarray]:
    if path.suffix.lower() == ".npz":
        return list(npz.members(path).values())
    return [npy.open_array(path, "keypoints")]


def read(unit: Path, root: Path, options: Options) -> Iterator[Recording]:
    """Give the recordings of a file: one of a clip, N of a set; slots of people count as tracks."""
    try:
        prefix = name_of(unit, root)
        groups = _archive(unit) if unit.suffix.lower() == ".npz" else [_single(unit)]
        taken: set[str] = set()
        for group in groups:
            stem = f"{unit.stem}_{group.side}" if len(groups) > 1 and group.side else unit.stem
            yield from _recordings(group, unit, _Namer(stem, "" if unit == root else prefix, taken), options)
    except DataError as error:
        options.bad(str(unit), "; ".join(error.problems).removeprefix(f"{unit} "))
    except OSError as error:
        options.bad(str(unit), f"it cannot be read: {error.strerror or error}")
    except Unusable as error:
        options.bad(str(unit), str(error))


def _single(unit: Path) -> _Group:
    """A .npy, with the label file beside it: train_label.pkl of train_data.npy, y_train.npy of x_train.npy."""
    data = _Array(npy.open_array(unit, "keypoints"))
    beside = _labels_beside(unit)
    said: dict[str, Sequence[Any]] = {}
    if beside:
        classes = _class_names(unit.with_name("label_map.json"))
        if beside.suffix == ".csv" and not classes:
            names, said["labels"], _ = labels.read_csv(beside)
        else:
            names, ids = labels.read_labels(beside, {name: class_id for class_id, name in classes.items()})
            said["labels"] = [classes.get(class_id, str(class_id)) for class_id in ids.tolist()]
        if beside.suffix != ".npy":
            said["names"] = names
    return _Group(data, said, side_of(unit.stem), {})


def _labels_beside(unit: Path) -> Path | None:
    stem = unit.stem
    stems = [f"{stem}_label", f"{stem}_labels"]
    if "data" in stem:
        stems += [stem.replace("data", "label"), stem.replace("data", "labels")]
    if stem.lower().startswith("x"):
        stems.append(("Y" if stem[0] == "X" else "y") + stem[1:])
        stems.append("y" + stem[1:])
    found = (unit.with_name(f"{name}{suffix}") for name in stems for suffix in (".pkl", ".json", ".npy", ".csv"))
    return next((path for path in found if path.is_file()), None)


def _class_names(path: Path) -> dict[int, str]:
    """What a label_map.json beside the data calls the class ids; nothing where there is none."""
    try:
        content = json.loads(path.read_bytes())
        return {int(class_id): str(name) for name, class_id in content.items()}
    except (OSError, ValueError, TypeError, AttributeError, RecursionError, OverflowError):
        return {}


def _archive(unit: Path) -> list[_Group]:
    """The groups of a .npz: of each side (x_train, y_train) one, else the one array of data, else each array as a clip."""
    found = npz.members(unit)
    sides: dict[str, dict[str, npz.Member]] = {}
    for name, member in found.items():
        match = SIDES.fullmatch(name)
        before, middle, after = match.groups() if match else (None, name, None)
        sides.setdefault((before or after or "").lower(), {})[middle.lower()] = member
    general = sides.get("", {})
    facts: dict[str, str] = {key: text(general[key].whole()) or "" for key in ["axes", "channels"] if key in general}
    groups = []
    for side, members in sides.items():
        data = first_of(members, *DATA)
        if data is None and not side:
            large = [member for member in members.values() if len(member.shape) >= 3]
            data = large[0] if len(large) == 1 else None
        if data is not None and len(data.shape) >= 2:
            said = {role: rows for role, keys in ROLES.items() if (rows := _said(first_of(members, *keys))) is not None}
            groups.append(_Group(_Array(data), said, side_of(side) or side_of(unit.stem), facts))
    if groups:
        return groups
    clips = {name: member for name, member in found.items() if len(member.shape) >= 3}
    if not clips:
        raise Unusable(f"it has no array of keypoints; it has {', '.join(sorted(found))[:200] or 'none'}")
    return [_Group(_Array(member), {"names": [name]}, side_of(unit.stem), facts) for name, member in clips.items()]


def _said(member: npz.Member | None) -> Any:
    """What an array says of each clip; class ids as one-hot rows become numbers."""
    if member is None:
        return None
    rows = member.whole()
    if rows.ndim == 2 and rows.shape[1] > 1 and rows.dtype.kind in "iufb" and (rows.sum(axis=1) == 1).all():
        return rows.argmax(axis=1)
    return rows.reshape(1) if rows.ndim == 0 else rows


class _Namer:
    """Names of clips: what the file calls them, else their number; each once."""

    def __init__(self, stem: str, prefix: str, taken: set[str]) -> None:
        self.stem, self.prefix, self.taken = stem, prefix, taken

    def __call__(self, own: str | None, i: int, is_set: bool) -> str:
        own = own or (f"{self.stem}_{i:06}" if is_set else None)
        name = "/".join(part for part in (self.prefix, own) if part) or self.stem
        while name in self.taken:
            name = f"{name}#{i}"
        self.taken.add(name)
        return name


def _recordings(group: _Group, unit: Path, namer: _Namer, options: Options) -> Iterator[Recording]:
    said, shape = dict(group.said), group.data.shape
    axes = group.facts.get("axes") or _axes(shape, len(said["labels"]) if "labels" in said else None)
    if len(axes) != len(shape) or axes.removeprefix("N") not in CLIPS:
        told = f" with axes {axes[:20]}" if axes else ""
        raise Unusable(f"its keypoints of shape {shape} are no clip and no set of clips{told}")
    is_set = axes[0] == "N"
    total = shape[0] if is_set else 1
    scores = said.pop("scores", None)
    for role, entries in group.said.items():
        if role in said and len(entries) != total:
            if is_set or role == "labels":
                raise Unusable(f"it has {total} clip{'s' * (total != 1)} (axes {axes}), but {len(entries)} {role}")
            del said[role]  # of a single clip: names of its joints, labels of its frames
    if is_set and scores is not None and len(scores) != total:
        raise Unusable(f"it has {total} clips, but {len(scores)} scores")
    for i, clip in enumerate(group.data.rows() if is_set else [group.data.whole()]):
        name = namer(text(said["names"][i]) if "names" in said else None, i, is_set)
        score = scores[i] if is_set and scores is not None else scores
        try:
            yield _recording(clip, axes, _of_one(said, i), score, name, group, options)
        except Unusable as error:
            options.bad(f"{unit}: clip {i} ({name})" if is_set else f"{unit}: {name}", str(error))


def _of_one(said: Mapping[str, Sequence[Any]], i: int) -> dict[str, Any]:
    """Label, subject and side of one clip."""
    known = {"label": "labels", "subject": "subjects", "split": "splits"}
    return {key: text(said[role][i]) for key, role in known.items() if role in said}


def _recording(
    clip: np.ndarray, axes: str, said: dict[str, Any], scores: Any, name: str, group: _Group, options: Options
) -> Recording:
    poses, clip_axes = _unfolded(numbers(clip), axes.removeprefix("N"), options)
    if "M" not in clip_axes:
        poses, clip_axes = poses[None], f"M{clip_axes}"
    poses = poses.transpose([clip_axes.index(axis) for axis in "MTVC"])
    score = None
    if scores is not None:
        score = np.asarray(scores).reshape(poses.shape[:3]) if np.size(scores) == poses[..., 0].size else scores
    else:
        poses, score = split_channels(poses, is_score=_is_score(poses, group.facts.get("channels"), options))
    named = from_ntu_name(name)
    said["split"] = side_of(said.get("split") or "") or group.side
    said["label"] = said.get("label") or named.get("label")
    said["subject"] = said.get("subject") or named.get("subject")
    facts: dict[str, Any] = {"axes": axes} | named.get("facts", {})
    is_padded = axes[0] in "NC"  # sets are of one length, and (C, T, V, M) is what they are made of
    size = pixel_size(poses, options) if poses.shape[-1] == 2 else None
    return build(name, poses, options, score=score, trim=is_padded, size=size, facts=facts, **said)


def _is_score(poses: np.ndarray, channels: str | None, options: Options) -> bool:
    """Whether the last of three channels is a score: the file says so, or it is a share in a layout of 2D estimators."""
    if channels:
        return any(word in channels.lower() for word in ("score", "conf", "vis"))
    last = poses[..., -1]
    plane = poses.shape[2] in SCORED_JOINTS or (options.layout or "") in set(LAYOUTS_2D.values()) - {"nvidia", "hand_21"}
    return bool(plane and np.nanmin(last, initial=0) >= 0 and 0 < np.nanmax(last, initial=0) <= 1)


def _unfolded(clip: np.ndarray, axes: str, options: Options) -> tuple[np.ndarray, str]:
    """Poses that are flat, (T, M * V * C), by the number of joints of the layout, or of the usual ones, in 3D and 2D."""
    if "F" not in axes:
        return clip, axes
    layout = LAYOUTS.get(options.layout or "")
    for joints in (layout.num_joints,) if layout else FLAT_JOINTS:
        for channels in (3, 2):
            for people in (1, 2):
                if clip.shape[-1] == people * joints * channels:
                    return clip.reshape(len(clip), people, joints, channels), "TMVC"
    raise Unusable(f"its poses are flat, {clip.shape[-1]} numbers; name the layout, so that the joints are known")


def _axes(shape: Sequence[int], count: int | None) -> str:
    """What the axes of an array are, '' when that cannot be told; ``count`` is the number of labels where there are some."""
    few = [side in (2, 3, 4) for side in shape]
    slots = [0 < side <= MOST_SLOTS for side in shape]
    labelled = count is not None and len(shape) > 2 and count == shape[0]
    if len(shape) == 3:
        return "NTF" if labelled and not few[2] else "TVC" if few[2] else "CTV" if few[0] else ""
    if len(shape) == 4 and labelled:
        return "NTVC" if few[3] else "NCTV" if few[1] else ""
    if len(shape) == 4:
        people_last, people_second = few[0] and slots[3], few[3] and slots[1]
        if people_last and people_second:
            people_last = shape[1] >= shape[0]  # the longer axis is the time
            people_second = not people_last
        return "CTVM" if people_last else "TMVC" if people_second else "NTVC" if few[3] else ""
    if len(shape) == 5:
        two_people_in_space = shape[1] == 2 and shape[4] == 3  # rather than three in a plane
        if few[1] and slots[4] and not two_people_in_space:
            return "NCTVM"
        return ("NMTVC" if slots[1] else "NTMVC" if slots[2] else "") if few[4] else ""
    return ""
