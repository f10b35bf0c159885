"""One recording into sequences: whose, from which frames, and the numbers. Knows no labels' source, sets or files."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from stgcn import tracking
from stgcn.config import DatasetConvert
from stgcn.formats.base import Recording
from stgcn.tracking import Track
from stgcn.windows import window_starts

SLOTS = 2  # people side by side where max_persons does not say
PIXELS_BEGIN = 2.0  # coordinates that never leave -2..2 are not pixels, whatever the size of the picture
PIXELS_SURELY = 50.0
UNIT = (1, 1)  # the size that readers give where coordinates are shares of the picture already

Slots = Sequence[Sequence[Track]]


class Piece(NamedTuple):
    """Frames ``start`` to before ``end`` of a recording, with their label; ``tag`` goes into the name."""

    tag: str
    start: int
    end: int
    label: str | None


class Cutter:
    """Cuts recordings by the settings, and counts what it saw."""

    def __init__(self, settings: DatasetConvert, leave_out: Callable[[str, str], None]) -> None:
        self.settings, self.leave_out = settings, leave_out
        self.slots = (settings.max_persons or SLOTS) if settings.persons == "slots" else 1
        self.channels: list[int] = []  # those of a recording that are written
        self.joints_seen = self.joints_missing = 0
        self.sizes: Counter[str] = Counter()  # recordings by the size of the picture their pixels were divided by
        self.unsized = 0  # recordings whose coordinates were left as they are
        self.reach = (0.0, 0.0)  # farthest pixel in x and y where the size of the picture was not said
        self.raw_pixels = 0  # recordings in pixels of unknown size

    def sequences(
        self, recording: Recording, people: list[Track], pieces: Sequence[Piece]
    ) -> Iterator[tuple[str, str | None, np.ndarray]]:
        """Name, label and data, float32 (C, t, V, M), of every sequence of a recording."""
        size = self._size(recording, people) if people else None
        for tag, seats in self._seats(people):
            for piece in pieces:
                name = recording.name + tag + piece.tag
                for cut, first, frames in self._cuts(name, seats, piece):
                    yield name + cut, piece.label, self._array(recording, seats, first, frames, size)

    def _seats(self, people: list[Track]) -> list[tuple[str, Slots]]:
        """(tag, people by slot) of every source of sequences: each person alone, or all side by side."""
        most = self.settings.max_persons
        if self.settings.persons == "slots":
            return [("", tracking.slots(people, self.slots))] if people else []
        if most and len(people) > most:
            longest = sorted(range(len(people)), key=lambda i: -len(people[i].frames))[:most]
            people = [people[i] for i in sorted(longest)]
        several = len(people) > 1
        return [(f"_person{re.sub(r'[^A-Za-z0-9.-]', '-', track.name)}" if several else "", [[track]]) for track in people]

    def _cuts(self, name: str, seats: Slots, piece: Piece) -> Iterator[tuple[str, int, int]]:
        """(tag, first frame, frames) of the windows of a piece, from where somebody is first seen to where last."""
        frames = sorted({f for seat in seats for track in seat for f in track.frames if piece.start <= f < piece.end})
        shortest = self.settings.sequence_length_min
        if len(frames) < shortest:
            self.leave_out(name, f"{len(frames)} frames, fewer than dataset_convert.sequence_length_min {shortest}")
            return
        first, length = frames[0], frames[-1] - frames[0] + 1
        if length <= self.settings.sequence_length_max:
            yield "", first, length
            return
        size = self.settings.sequence_length
        at = np.array(frames)
        for begin in window_starts(length, size, shortest, self.settings.sequence_overlap):
            low, high = np.searchsorted(at, (first + begin, first + begin + size))
            if high - low >= shortest:
                yield f"_w{first + begin:06d}", first + begin, min(size, length - begin)

    def _size(self, recording: Recording, people: list[Track]) -> tuple[int, int] | None:
        """The size of the picture, if coordinates are pixels that are to be divided by it."""
        reach = np.max([np.abs(np.stack(track.poses)[..., :2]).max(axis=(0, 1)) for track in people], axis=0)
        self.unsized += int(recording.size is None or (recording.size != UNIT and reach.max() <= PIXELS_BEGIN))
        if recording.size is None:
            self.raw_pixels += int(tracking.coordinates(recording.channels) == 2 and reach.max() > PIXELS_SURELY)
            return None
        if recording.size == UNIT:
            self.sizes["0 to 1"] += 1
            return recording.size
        if reach.max() <= PIXELS_BEGIN:
            return None
        if recording.size == (self.settings.input_width, self.settings.input_height):
            self.reach = (max(self.reach[0], float(reach[0])), max(self.reach[1], float(reach[1])))
        self.sizes[f"{recording.size[0]} x {recording.size[1]}"] += 1
        return recording.size

    def _array(self, recording: Recording, seats: Slots, first: int, frames: int, size: tuple[int, int] | None) -> np.ndarray:
        joints = seats[0][0].poses[0].shape[0]
        window = np.zeros((frames, joints, len(recording.channels), self.slots), dtype=np.float32)
        for slot, seat in enumerate(seats):
            for track in seat:
                low, high = np.searchsorted(np.array(track.frames), (first, first + frames))
                if high > low:
                    window[np.array(track.frames[low:high]) - first, :, :, slot] = np.stack(track.poses[low:high])
        there = np.asarray(np.any(window[:, :, : tracking.coordinates(recording.channels)], axis=2))  # (t, V, M)
        self.joints_seen += int(there.sum())
        self.joints_missing += int(np.any(there, axis=1).sum()) * joints - int(there.sum())
        for axis in range(2 if size else 0):
            window[:, :, axis] = np.where(there, window[:, :, axis] / (size or (1, 1))[axis] - 0.5, 0)
        return np.ascontiguousarray(window[:, :, self.channels].transpose(2, 0, 1, 3))
