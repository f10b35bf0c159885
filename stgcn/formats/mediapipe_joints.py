"""Names and order of MediaPipe's landmarks: which of a source's joints are the body, and which are hands. Reads no files."""

from __future__ import annotations

import re
from collections.abc import Sequence

from stgcn.graph import LAYOUTS

POSE, HAND = "mediapipe_33", "hand_21"
BODY = 33
FINGERS = 21
HOLISTIC = 501  # numbered landmarks of body and face, as the Holistic tutorials write them: the body comes first
_HAND_NAMES = (
    "wrist thumb_cmc thumb_mcp thumb_ip thumb_tip index_finger_mcp index_finger_pip index_finger_dip index_finger_tip "
    "middle_finger_mcp middle_finger_pip middle_finger_dip middle_finger_tip ring_finger_mcp ring_finger_pip "
    "ring_finger_dip ring_finger_tip pinky_mcp pinky_pip pinky_dip pinky_tip"
)
_PREFIX = re.compile(
    r"(?P<part>left_?hand|right_?hand|lh|rh|hand|face|pose|body)?_?(?:world_?)?(?:landmarks?|lm|keypoint|kp|joint|point)?_?(?P<rest>.*)"
)
_PARTS = {"left_hand": "left", "lefthand": "left", "lh": "left", "right_hand": "right", "righthand": "right", "rh": "right"}


def _spelled(name: str) -> str:
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name.strip()).lower()
    return re.sub(r"[^a-z0-9]+", "_", words).strip("_")


def _numbers_of(names: Sequence[str]) -> dict[str, int]:
    return {name: i for i, name in enumerate(names)}


_BODY_NUMBER = _numbers_of(LAYOUTS[POSE].joints) | {"left_mouth": 9, "right_mouth": 10}
_HAND_NUMBER = _numbers_of(_HAND_NAMES.split()) | _numbers_of(_HAND_NAMES.replace("_finger", "").split())
_HAND_NUMBER |= _numbers_of(LAYOUTS[HAND].joints)


def parts(names: Sequence[str]) -> dict[str, list[int]]:
    """Positions, in MediaPipe's order, of the landmarks of each part that is there as a whole.

    The parts are ``body``, ``left`` and ``right`` hand, and ``hand`` for one of unknown side. Joints may be named as
    MediaPipe does, or numbered from 0 or 1, with a prefix such as ``pose_`` or ``left_hand_``.
    """
    if len(names) == HOLISTIC and all(name.isascii() and name.isdigit() for name in names):
        order = sorted(range(HOLISTIC), key=lambda i: int(names[i]))
        return {"body": order[:BODY]}
    found: dict[tuple[str, bool], dict[int, int]] = {}
    for position, name in enumerate(names):
        spelled = _spelled(name)
        whole = _BODY_NUMBER.get(spelled)
        if whole is not None:
            found.setdefault(("body", False), {})[whole] = position
            continue
        match = _PREFIX.fullmatch(spelled)
        part, rest = (match["part"] or "", match["rest"]) if match else ("", spelled)
        part = _PARTS.get(part, {"pose": "body", "": "any"}.get(part, part))
        if rest.isascii() and rest.isdigit() and len(rest) < 4:
            found.setdefault((part, True), {})[int(rest)] = position
            continue
        number = (_BODY_NUMBER if part == "body" else _HAND_NUMBER).get(rest)
        if number is not None:
            found.setdefault(("hand" if part == "any" else part, False), {})[number] = position
    orders: dict[str, list[int]] = {}
    for (part, numbered), places in found.items():
        for name, size in (("body", BODY), ("hand", FINGERS)):
            fits = part == "any" or (part == "body") == (name == "body")
            first = min(places) if numbered else 0
            if (
                fits
                and part != "face"
                and len(places) == size
                and first in (0, 1)
                and set(places) == set(range(first, first + size))
            ):
                orders[name if part in ("any", "body") else part] = [places[first + i] for i in range(size)]
    return orders
