"""Numbers, people and frames on their way into a Recording: what the readers of keypoint files share. Knows no format."""

from __future__ import annotations

import array
import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np

from stgcn.errors import DataError
from stgcn.formats.base import Frame, Options, Recording
from stgcn.graph import LAYOUTS

MOST_NUMBERS = 2**14  # of one person
LARGEST = 1e9  # no coordinate is larger
LONGEST_ID = 100
MOST_EMPTY = 1000  # frames in a row without a file beyond which numbers in file names are taken for something else
ENOUGH_FOR_STEP = 8  # frames from which a constant step between them is believed
NUMBERED = re.compile(r"(?P<stem>.*?)[ ._-]?(?P<number>[0-9]{1,18})", re.DOTALL)
T = TypeVar("T")


class Odd(ValueError):
    """A record that cannot be used; its text says why."""


def why(error: DataError, path: Path) -> str:
    """What is wrong with a file, in words that need not say again which file it is."""
    said = "; ".join(error.problems)
    return f"it {said.removeprefix(f'{path} ')}" if said.startswith(f"{path} ") else said


class Person(NamedTuple):
    """One person in one frame: joints (V, C), and the track where the source has one."""

    joints: np.ndarray
    track: str | None = None


def numbers(values: Any, what: str) -> np.ndarray:
    """A list of plain numbers as float64 (n,); ``what`` names it in the complaint.

    Raises:
        Odd: it is no list of numbers, is far too long, or holds NaN, infinities or values beyond LARGEST.
    """
    if not isinstance(values, list):
        raise Odd(f"{what} is not a list")
    if len(values) > MOST_NUMBERS:
        raise Odd(f"{what} has {len(values)} numbers")
    try:
        found = np.array(array.array("d", values))
    except (TypeError, OverflowError):
        raise Odd(f"{what} has values that are not numbers") from None
    if not (np.abs(found) <= LARGEST).all():
        raise Odd(f"{what} has values that are NaN, infinite or beyond {LARGEST:g}")
    return found


def joints(values: Any, channels: int, what: str) -> np.ndarray:
    """Numbers of one person, ``channels`` for each joint, flat or as a list of joints, as (V, channels)."""
    if isinstance(values, list) and values and all(isinstance(point, list) and len(point) == channels for point in values):
        values = [number for point in values[: MOST_NUMBERS // channels] for number in point]
    found = numbers(values, what)
    if not len(found) or len(found) % channels:
        raise Odd(f"{what} has {len(found)} numbers, not {channels} for each joint")
    return found.reshape(-1, channels)


def unseen_at_origin(points: np.ndarray) -> np.ndarray:
    """Take away the confidence of joints at exactly (0, 0), where estimators put what they did not see; (V, 3) in place."""
    points[(points[:, 0] == 0) & (points[:, 1] == 0), 2] = 0
    return points


def track(value: Any) -> str | None:
    """The text of a track id, also where it comes as a list of one; None where there is none (missing or negative)."""
    while isinstance(value, list) and len(value) == 1:
        value = value[0]
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int | str):
        return None
    if isinstance(value, int):
        return str(value) if 0 <= value < 2**63 else None
    return value.strip()[:LONGEST_ID] or None


def whole(value: Any) -> int | None:
    """A frame number, also as text or as a whole float; None where it is none."""
    if isinstance(value, str) and re.fullmatch(r"\s*[0-9]{1,18}(\.0*)?\s*", value):
        return int(value.split(".")[0])
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**60 else None


def numbered(name: str) -> tuple[str, int | None]:
    """Part a name such as ``walk_000012`` into what comes before its last number, and the number."""
    match = NUMBERED.fullmatch(name)
    return (match["stem"], int(match["number"])) if match else (name, None)


def image_size(width: Any, height: Any) -> tuple[int, int] | None:
    """Width and height where both are whole positive numbers."""
    w, h = whole(width), whole(height)
    return (w, h) if w and h and max(w, h) <= LARGEST else None


def layout_of(found: int, known: Mapping[int, tuple[str, int]], options: Options) -> tuple[str, int]:
    """Name of the layout of poses with ``found`` joints, and how many of the first joints it takes.

    ``known`` holds, by number of joints, what the format is known to write; what the user says (options.layout) decides.

    Raises:
        Odd: the joints are of no known layout, or not of the user's.
    """
    name, take = known.get(found, ("", found))
    said = options.layout
    if said is None or said == name:
        if not name:
            raise Odd(f"it has {found} joints, which tells no layout: set dataset_convert.layout")
        return name, take
    wanted = LAYOUTS[said].num_joints if said in LAYOUTS else found
    if wanted != found:
        raise Odd(f"it has {found} joints, but layout {said} has {wanted}")
    return said, found


def grouped(keys: Iterable[str], items: Iterable[tuple[str, T]]) -> Iterator[tuple[str, list[T]]]:
    """Give the items of each key together, as soon as its last has come, so that only open groups are held.

    ``keys`` goes over the same items first and counts them.
    """
    left = Counter(keys)
    held: dict[str, list[T]] = {}
    for key, item in items:
        held.setdefault(key, []).append(item)
        left[key] -= 1
        if not left[key]:
            yield key, held.pop(key)


def timeline(found: Iterable[int]) -> tuple[dict[int, int], dict[str, Any]]:
    """Index of each frame number, and facts about how it came about.

    The first number becomes index 0. A constant step between the frames is divided away. Numbers so far apart that they
    cannot count frames (times, ids of images) give their order only.
    """
    order = sorted(set(found))
    if not order:
        return {}, {}
    first = order[0]
    facts: dict[str, Any] = {"first_frame": first} if first else {}
    step = math.gcd(*(number - first for number in order)) if len(order) >= ENOUGH_FOR_STEP else 1
    step = max(1, step)
    if (order[-1] - first) // step > MOST_EMPTY + 20 * len(order):
        return {number: i for i, number in enumerate(order)}, {**facts, "frame_numbers": "order only"}
    if step > 1:
        facts["frame_step"] = step
    return {number: (number - first) // step for number in order}, facts


class Gathered:
    """The people of one recording, collected frame by frame in any order; all have the joints of the first one."""

    def __init__(self) -> None:
        self.people: dict[int, list[Person]] = {}
        self.shape: tuple[int, ...] | None = None

    def frame(self, number: int) -> None:
        """Note that the frame exists, though nobody may be in it."""
        self.people.setdefault(number, [])

    def add(self, number: int, person: Person) -> None:
        """Add a person to a frame.

        Raises:
            Odd: its joints are not as many as those of the people before.
        """
        if self.shape not in (None, person.joints.shape):
            raise Odd(f"it has {person.joints.shape[0]} joints, not {(self.shape or (0,))[0]} as the recording began with")
        self.shape = person.joints.shape
        self.people.setdefault(number, []).append(person)

    def values(self, channel: int) -> np.ndarray:
        """All values of one channel, (n,)."""
        found = [person.joints[:, channel] for people in self.people.values() for person in people]
        return np.concatenate(found) if found else np.zeros(0)

    def change(self, how: Callable[[np.ndarray], np.ndarray]) -> None:
        """Put every person's joints through ``how``."""
        for people in self.people.values():
            people[:] = [Person(how(person.joints), person.track) for person in people]

    def recording(self, name: str, layout: str, channels: tuple[str, ...], **beside: Any) -> Recording | None:
        """All of it as a recording; None where nobody is in it."""
        if self.shape is None:
            return None
        index, facts = timeline(self.people)
        frames = [_frame(index[number], self.people[number]) for number in sorted(self.people) if self.people[number]]
        facts |= beside.pop("facts", {})
        return Recording(name, layout, channels, frames, max(index.values()) + 1, facts=facts, **beside)


def _frame(index: int, people: list[Person]) -> Frame:
    """A frame; where two people claim one track, the second has none."""
    ids = [person.track for person in people]
    unique = tuple(own if own not in ids[:i] else None for i, own in enumerate(ids))
    return Frame(index, np.stack([person.joints for person in people]).astype(np.float32), unique)


def is_normalised(gathered: Gathered) -> bool:
    """Whether x and y look like shares of the image rather than pixels."""
    return all(np.abs(gathered.values(channel)).max(initial=0) <= MOST_NORMALISED for channel in (0, 1))


MOST_NORMALISED = 4.0  # joints outside of the image lie beyond 1, but not by much


def joint_name(name: Any) -> str:
    """Name of a joint as the layouts spell it."""
    return str(name)[:LONGEST_ID].strip().lower().replace(" ", "_").replace("-", "_")
