"""Folders of DeepStream BodyPose JSON, a recording per file and video stream. Knows no other format.

Poses are normalised as the conversion of a single file has it; the frames of each object are counted from its first one.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from stgcn.bodypose import read_tracks
from stgcn.bodytrack import Scratch, Track
from stgcn.config import DatasetConvert, is_set
from stgcn.errors import DataError, SpecError
from stgcn.formats import points
from stgcn.formats.base import Frame, Options, Recording, name_of
from stgcn.formats.clips import files_under
from stgcn.graph import LAYOUTS

NAME = "deepstream"
HEAD_BYTES = 2**16  # in so much of a BodyPose file its keys have appeared
CHANNELS = ("x", "y", "z")


def is_bodypose(path: Path) -> bool:
    """Whether a file begins like BodyPose JSON: a list of {num_frames_in_batch, batches}."""
    try:
        with path.open("rb") as file:
            begins = file.read(HEAD_BYTES)
    except OSError:
        return False
    return b'"num_frames_in_batch"' in begins or (b'"batches"' in begins and b'"objects"' in begins)


def units(root: Path) -> list[Path]:
    """The BodyPose files of a folder; a single file is not imported but converted, as in TAO."""
    return [] if root.is_file() else [path for path in files_under(root, ".json") if is_bodypose(path)]


def read(unit: Path, root: Path, options: Options) -> Iterator[Recording]:
    """Give a recording for each video stream of a file, the objects being its people.

    Raises:
        SpecError: settings ask for what is not in such files, at which frame of the video an object is.
    """
    settings = options.settings or DatasetConvert()
    _check(settings)
    try:
        with tempfile.TemporaryFile(buffering=0) as file:
            tracks, _ = read_tracks(unit, settings, Scratch(file), bad=lambda problems: _bad(unit, problems, options))
            streams: dict[str, list[Track]] = {}
            for track in tracks.values():
                streams.setdefault(track.stream, []).append(track)
            for stream, members in streams.items():
                name = name_of(unit, root) + (f"_stream_{stream}" if len(streams) > 1 else "")
                yield _recording(name, [track for track in members if not track.rootless], settings)
    except DataError as error:
        _bad(unit, error.problems, options)
    except OSError as error:
        options.bad(str(unit), f"it cannot be read: {error.strerror or error}")


def _bad(unit: Path, problems: Sequence[str], options: Options) -> None:
    for problem in problems:
        options.bad(str(unit), points.why(DataError(problem.removeprefix(f"{unit}: ")), unit))


def _check(settings: DatasetConvert) -> None:
    wrong = [
        f"dataset_convert.{name}: BodyPose files do not say at which frame of the video an object is{instead}"
        for name, asked, instead in (
            ("segments", is_set(settings.segments), ""),
            ("persons", settings.persons == "slots", "; people become tracks"),
        )
        if asked
    ]
    if wrong:
        raise SpecError(wrong)


def _recording(name: str, tracks: Sequence[Track], settings: DatasetConvert) -> Recording:
    poses = [np.ascontiguousarray(track.read(0, track.frames).transpose(0, 2, 1)) for track in tracks]  # (t, V, C) each
    length = max((track.frames for track in tracks), default=0)
    frames = []
    for t in range(length):
        there = [i for i, track in enumerate(tracks) if t < track.frames]
        frames.append(Frame(t, np.stack([poses[i][t] for i in there]), tuple(tracks[i].name for i in there)))
    layout = "nvidia" if settings.num_joints == LAYOUTS["nvidia"].num_joints else "custom"
    channels = CHANNELS[: tracks[0].channels] if tracks else CHANNELS
    return Recording(name, layout, channels, frames, length, facts={"pose_type": settings.pose_type})
