"""One line of input to one pose of one track: JSON read strictly, joints brought to (V, C). Knows no model, no history."""

from __future__ import annotations

import difflib
import json
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from stgcn.errors import DataError
from stgcn.remap import Remapper

LONGEST_LINE = 2**20  # bytes
LARGEST = 1e30  # of a coordinate, or a time: what float32 holds with room for the network's sums
LAST_FRAME = 2**53

TrackId = str | int | None


class Pose(NamedTuple):
    """A person in a frame; ``joints`` is float32 (V, C), a joint that was not seen all zero."""

    frame: int
    track: TrackId
    time: float | None
    joints: np.ndarray


class LineReader:
    """Reads lines of poses of the joints ``names``, with so many ``channels``.

    With ``image_size`` (width, height) coordinates are pixels: they become x / width - 0.5 and y / height - 0.5. ``remapper``
    brings the joints to those of the model, where the model has others.
    """

    def __init__(
        self,
        names: Sequence[str],
        channels: int,
        image_size: tuple[int, int] | None = None,
        remapper: Remapper | None = None,
    ) -> None:
        self.names = list(names)
        self.shape = (len(self.names), channels)
        self.image_size = image_size
        self.remapper = remapper

    def read(self, line: bytes) -> Pose:
        """Read a line.

        Raises:
            DataError: it is no such line; says why.
        """
        record = _record(line)
        problems = [f"it has no {key}" for key in ("frame", "joints") if key not in record]
        frame, track, time = record.get("frame", 0), record.get("track"), record.get("time")
        if type(frame) is not int or not 0 <= frame <= LAST_FRAME:
            problems.append(f"frame is {shown(frame)}; allowed: an integer from 0")
        if type(track) not in (str, int, type(None)):
            problems.append(f"track is {shown(track)}; allowed: a text or an integer")
        if time is not None and not (type(time) in (int, float) and abs(time) <= LARGEST):
            problems.append(f"time is {shown(time)}; allowed: a number")
        if problems:
            raise DataError(", ".join(problems))
        return Pose(frame, track, time, self._joints(record["joints"]))

    def _joints(self, joints: Any) -> np.ndarray:
        if isinstance(joints, dict):
            joints = self._by_name(joints)
        if not isinstance(joints, list):
            raise DataError(f"joints is {shown(joints)}; {self._allowed()}")
        missing = [i for i, joint in enumerate(joints) if joint is None]
        if missing:
            joints = [[0.0] * self.shape[1] if joint is None else joint for joint in joints]
        try:
            points = np.array(joints)
        except (ValueError, OverflowError):  # lists of several lengths or depths
            raise DataError(f"joints is not a table of numbers; {self._allowed()}") from None
        if points.dtype.kind not in "iuf":
            raise DataError(f"joints holds more than numbers; {self._allowed()}")
        if points.shape == (self.shape[0] * self.shape[1],):  # x, y, score, x, y, score, ...
            points = points.reshape(self.shape)
        if points.shape != self.shape:
            raise DataError(f"joints has shape {points.shape}; {self._allowed()}")
        points = points.astype(np.float64)
        if not (np.abs(points) <= LARGEST).all():  # NaN is not
            raise DataError("joints holds numbers that are infinite or too large")
        points = points if self.image_size is None else self._from_pixels(points)
        return (points if self.remapper is None else self.remapper(points)).astype(np.float32)

    def _by_name(self, joints: dict[str, Any]) -> list[Any]:
        unknown = [name for name in joints if name not in self.names]
        if unknown:
            near = difflib.get_close_matches(unknown[0], self.names, 1)
            raise DataError(
                f"there is no joint {shown(unknown[0])}"
                + (f"; did you mean {near[0]}?" if near else f"; allowed: {', '.join(self.names)}")
            )
        return [joints.get(name) for name in self.names]

    def _from_pixels(self, points: np.ndarray) -> np.ndarray:
        """Pixels to the share of the picture from its middle; joints at (0, 0) or of confidence 0 were not seen."""
        assert self.image_size is not None
        seen = (points[:, :2] != 0).any(axis=1)
        if self.shape[1] > 2:
            seen &= points[:, 2] != 0
        result = points.copy()
        result[:, :2] = points[:, :2] / self.image_size - 0.5
        return np.where(seen[:, None], result, 0.0)

    def _allowed(self) -> str:
        joints, channels = self.shape
        return f"allowed: {joints} joints of {channels} numbers each, null for one not seen, or an object of joints by name"


def _record(line: bytes) -> dict[str, Any]:
    if len(line) > LONGEST_LINE:
        raise DataError(f"it is longer than {LONGEST_LINE} bytes")
    try:
        record = json.loads(line, parse_constant=_refuse)
    except json.JSONDecodeError as error:
        raise DataError(f"it is not JSON: {error.msg} at character {error.pos}") from None
    except UnicodeDecodeError:
        raise DataError("it is not UTF-8 text") from None
    except (ValueError, RecursionError) as error:
        raise DataError(f"it is not usable JSON: {str(error)[:100]}") from None
    if not isinstance(record, dict):
        raise DataError(f'it is {shown(record)}; allowed: {{"frame": 0, "track": 1, "joints": [...]}}')
    return record


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is no number")


def shown(value: Any) -> str:
    """A value of a line in a few characters, whatever it is."""
    if isinstance(value, list | dict):
        return f"{'a list' if isinstance(value, list) else 'an object'} of {len(value)}"
    if isinstance(value, int) and value.bit_length() > 128:  # too long to be written out
        return "a very large number"
    text = json.dumps(value, ensure_ascii=True)
    return text if len(text) <= 40 else f"{text[:40]}..."
