"""What is remembered of each track: a ring of its last frames and its smoothed probabilities. Knows no lines, no model."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Literal

import numpy as np

from stgcn.errors import DataError, SpecError
from stgcn.stream.lines import Pose, TrackId, shown

Gaps = Literal["close", "zero", "hold"]
GAPS = ("close", "zero", "hold")
LONGEST_WINDOW = 10_000


@dataclass(frozen=True)
class Options:
    """When to decide on what; ``window``, ``stride``, ``min_frames`` and ``forget`` are frames."""

    window: int
    stride: int
    min_frames: int
    smoothing: float = 0.0
    unknown: float = 0.0
    top_k: int = 5
    forget: int = 30
    gaps: Gaps = "close"
    max_tracks: int = 1000

    def check(self) -> None:
        """Make sure that every option is within its bounds.

        Raises:
            SpecError: with all that are not.
        """
        problems = [
            f"--{name.replace('_', '-')} is {getattr(self, name)}; allowed: at least 1"
            for name in ("window", "stride", "min_frames", "top_k", "forget", "max_tracks")
            if getattr(self, name) < 1
        ]
        if self.window > LONGEST_WINDOW:
            problems.append(f"--window is {self.window}; allowed: up to {LONGEST_WINDOW} frames")
        if self.min_frames > self.window >= 1:
            problems.append(f"--min-frames is {self.min_frames}; allowed: up to the window of {self.window} frames")
        if not 0 <= self.smoothing < 1:
            problems.append(f"--smoothing is {self.smoothing}; allowed: from 0 (none) to less than 1")
        if not 0 <= self.unknown <= 1:
            problems.append(f"--unknown is {self.unknown}; allowed: from 0 (never) to 1")
        if self.gaps not in GAPS:
            problems.append(f"--gaps is {self.gaps}; allowed: {', '.join(GAPS)}")
        if problems:
            raise SpecError(problems)


class Track:
    """The last ``window`` frames of one track.

    The ring is kept twice in a row, so that its frames in order are always one slice of it.
    """

    def __init__(self, pose: Pose, window: int) -> None:
        joints, channels = pose.joints.shape
        self.id = pose.track
        self.window = window
        self.ring = np.zeros((channels, 2 * window, joints), np.float32)
        self.seen: deque[tuple[int, float | None]] = deque(maxlen=window)  # frame and time of every frame in the ring
        self.pushed = 0
        self.undecided = 0  # frames since the last decision
        self.probabilities: np.ndarray | None = None

    @property
    def last(self) -> int:
        """The newest frame."""
        return self.seen[-1][0]

    def push(self, frame: int, time: float | None, joints: np.ndarray) -> None:
        """Add a frame (V, C); the oldest makes room."""
        slot = self.pushed % self.window
        self.ring[:, slot] = self.ring[:, slot + self.window] = joints.T
        self.seen.append((frame, time))
        self.pushed += 1
        self.undecided += 1

    def frames(self) -> np.ndarray:
        """The window (C, T, V), oldest frame first, zeros at the end while there are fewer frames; a view."""
        start = self.pushed % self.window if self.pushed >= self.window else 0
        return self.ring[:, start : start + self.window]

    def fill(self, frame: int, how: Gaps) -> None:
        """Fill the frames between the newest and ``frame``, in which the track was not seen."""
        if how == "close":
            return
        newest = self.ring[:, (self.pushed - 1) % self.window].T.copy()
        pose = newest if how == "hold" else np.zeros_like(newest)
        for between in range(max(self.last + 1, frame - self.window), frame):
            self.push(between, None, pose)

    def smooth(self, probabilities: np.ndarray, share: float) -> np.ndarray:
        """Take in new probabilities and give the smoothed ones; ``share`` is what the past counts."""
        past = self.probabilities
        self.probabilities = probabilities if past is None else share * past + (1 - share) * probabilities
        self.undecided = 0
        return self.probabilities


class Tracks:
    """All tracks of a stream, by its one frame counter."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.now = 0
        self.opened = 0
        self.forgotten = 0
        self._tracks: dict[TrackId, Track] = {}  # in the order in which they were last seen

    def __len__(self) -> int:
        return len(self._tracks)

    def rewinds(self, pose: Pose) -> bool:
        """Whether a pose lies so far back that the stream must have begun anew."""
        return pose.frame < self.now - self.options.forget

    def restart(self) -> None:
        """Forget everything."""
        self.forgotten += len(self._tracks)
        self._tracks.clear()
        self.now = 0

    def see(self, pose: Pose) -> Track | None:
        """Take in a pose; gives its track when a decision on it is due.

        Raises:
            DataError: the pose is not newer than what is known of its track, or there are too many tracks.
        """
        options = self.options
        track = self._tracks.get(pose.track)
        if track is not None and pose.frame - track.last > options.forget:
            self._drop(pose.track)
            track = None
        elif track is not None and pose.frame <= track.last:
            raise DataError(f"frame {pose.frame} of track {shown(pose.track)} comes after its frame {track.last}")
        self.now = max(self.now, pose.frame)
        self._forget()
        if track is None:
            track = self._open(pose)
        else:
            track.fill(pose.frame, options.gaps)
            self._tracks[pose.track] = self._tracks.pop(pose.track)
        track.push(pose.frame, pose.time, pose.joints)
        enough = track.pushed >= options.min_frames
        return track if enough and (track.probabilities is None or track.undecided >= options.stride) else None

    def _open(self, pose: Pose) -> Track:
        if len(self._tracks) >= self.options.max_tracks:
            raise DataError(
                f"track {shown(pose.track)} is one too many: --max-tracks {self.options.max_tracks} are followed at a time"
            )
        self.opened += 1
        track = self._tracks[pose.track] = Track(pose, self.options.window)
        return track

    def _forget(self) -> None:
        while self._tracks:
            oldest = next(iter(self._tracks.values()))
            if self.now - oldest.last <= self.options.forget:
                return
            self._drop(oldest.id)

    def _drop(self, name: TrackId) -> None:
        del self._tracks[name]
        self.forgotten += 1
