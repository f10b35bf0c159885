from __future__ import annotations

import numpy as np
import pytest

from stgcn import tracking
from stgcn.formats.base import Frame, Recording

CHANNELS = ("x", "y", "score")


def body(seed, at):
    rng = np.random.default_rng(seed)
    pose = np.ones((17, 3), np.float32)
    pose[:, :2] = rng.uniform(0, 100, (17, 2)) + at
    return pose


def recording(frames, channels=CHANNELS):
    made = [Frame(i, np.stack(people) if people else np.zeros((0, 17, 3), np.float32), ids) for i, people, ids in frames]
    return Recording("r", "coco", channels, made, len(made))


def crossing(shuffle=True, length=40):
    """Two people who walk towards each other on parallel lines, in changing order in the file."""
    frames = []
    for t in range(length):
        people = [body(0, (10.0 * t, 0)), body(1, (400 - 10.0 * t, 60))]
        frames.append((t, people[:: -1 if shuffle and t % 3 == 0 else 1], (None, None)))
    return recording(frames)


def test_people_without_ids_are_followed_whatever_their_order():
    tracks, linked = tracking.tracks(crossing())
    assert linked == len(tracks) == 2
    for track in tracks:
        steps = np.diff([pose[:, 0].mean() for pose in track.poses])
        assert len(track.frames) == 40
        assert len(set(np.sign(steps))) == 1


def test_ids_of_the_source_are_kept():
    frames = [(t, [body(0, (0, 0)), body(1, (5, 5))], ("7", "3") if t % 2 else ("3", "7")) for t in range(10)]
    tracks, linked = tracking.tracks(recording(frames))
    assert {track.name: len(track.frames) for track in tracks} == {"3": 10, "7": 10}
    assert linked == 0


def test_someone_alone_is_one_person_however_far_they_jump():
    tracks, _ = tracking.tracks(recording([(t, [body(0, (500.0 * (t % 2), 0))], (None,)) for t in range(8)]))
    assert [len(track.frames) for track in tracks] == [8]


def test_who_was_away_for_long_is_somebody_new():
    away = tracking.PATIENCE + 5
    frames = []
    for t in range(away + 10):
        people = [body(0, (0, 0))] + ([body(1, (300, 0))] if t < 5 or t >= away + 5 else [])
        frames.append((t, people, (None,) * len(people)))
    tracks, _ = tracking.tracks(recording(frames))
    assert sorted(len(track.frames) for track in tracks) == [5, 5, away + 10]


def test_unseen_and_broken_joints_are_zero_and_nobody_is_left_out():
    pose = body(0, (0, 0))
    pose[3, 2] = 0
    pose[4, 0] = np.nan
    tracks, _ = tracking.tracks(recording([(0, [pose, np.zeros((17, 3), np.float32)], (None, None)), (1, [], ())]))
    assert [track.frames for track in tracks] == [[0]]
    assert np.flatnonzero(~tracks[0].poses[0].any(axis=1)).tolist() == [3, 4]


@pytest.mark.parametrize(("count", "expected"), [(1, [["a", "c"]]), (2, [["a"], ["b", "c"]]), (3, [["a"], ["b"], ["c"]])])
def test_slots_hold_those_seen_longest_and_share_where_nobody_overlaps(count, expected):
    people = [
        tracking.Track("a", list(range(20))),
        tracking.Track("b", list(range(12))),
        tracking.Track("c", list(range(20, 25))),
    ]
    if count == 2:
        people[2].frames = list(range(15, 20))
    assert [[track.name for track in seat] for seat in tracking.slots(people, count)] == expected


def test_many_people_are_followed_quickly():
    import time

    frames = [(t, [body(i, (200.0 * i + t, 0)) for i in range(20)], (None,) * 20) for t in range(100)]
    start = time.perf_counter()
    tracks, _ = tracking.tracks(recording(frames))
    assert len(tracks) == 20
    assert time.perf_counter() - start < 5
