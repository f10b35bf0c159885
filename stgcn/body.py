"""A kinematic body of 34 joints that moves like six everyday actions, for synthetic samples. Numpy only, no files.

Angles are in radians, lengths in millimetres. In the body's frame x points to its left, y up and z to its front.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from stgcn.graph import LAYOUTS

JOINTS = LAYOUTS["nvidia"].joints
CLASSES = ("sitting_down", "getting_up", "sitting", "standing", "walking", "jumping")

Angles = dict[str, np.ndarray]  # of every joint angle, each (N, T)


@dataclass(frozen=True)
class Person:
    """What stays the same in all sequences of one person: the size of the body and how it moves."""

    height: float  # 1 is 1.7 m
    legs: float  # length of the legs against an average body of this height
    arms: float
    width: float
    speed: float
    vigour: float

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Person:
        """Draw a person."""
        height, legs, arms, width, speed, vigour = rng.normal(1.0, (0.06, 0.03, 0.04, 0.08, 0.1, 0.1)).clip(0.75, 1.3)
        return cls(height, legs, arms, width, speed, vigour)


def move(action: str, persons: list[Person], seconds: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Let each person do ``action`` once; ``seconds`` (T,) are the times of the frames.

    Returns:
        Joints relative to the pelvis in the body's frame, (N, T, 34, 3).
    """
    count = len(persons)

    def draw(low: float, high: float) -> np.ndarray:
        return rng.uniform(low, high, (count, 1))

    traits = {name: np.array([[getattr(p, name)] for p in persons]) for name in ("speed", "vigour")}
    angles = _ACTIONS[action](seconds[None, :], traits["speed"], traits["vigour"], draw)
    for name, angle in angles.items():  # nobody holds quite still or symmetrical
        sway = draw(0.01, 0.04) * np.sin(draw(1.0, 4.0) * seconds + draw(0, 2 * np.pi))
        angles[name] = angle + draw(-0.05, 0.05) + sway
    return _joints(angles, persons)


def _posture(seated: np.ndarray, draw: Callable[[float, float], np.ndarray]) -> Angles:
    """Between standing (0) and sitting (1), each in a manner of its own."""
    hip, knee = draw(1.3, 1.65), draw(1.2, 1.75)
    elbow_up, elbow_down, spread = draw(0.1, 0.6), draw(0.4, 1.3), draw(0.02, 0.18)
    angles: Angles = {
        "torso": draw(-0.05, 0.12) + seated * draw(-0.15, 0.25),
        "twist": 0 * seated,
        "head": draw(-0.2, 0.3) + 0 * seated,
    }
    for side in ("left", "right"):
        angles |= {
            f"{side}_hip": seated * (hip + draw(-0.1, 0.1)),
            f"{side}_knee": 0.05 + seated * (knee + draw(-0.25, 0.25)),
            f"{side}_spread": spread + seated * draw(0.0, 0.25),
            f"{side}_shoulder": draw(-0.1, 0.1) + seated * draw(0.1, 0.6),
            f"{side}_lift": draw(0.08, 0.3) + 0 * seated,
            f"{side}_elbow": elbow_up + seated * elbow_down,
        }
    return angles


def _gesture(angles: Angles, seconds: np.ndarray, draw: Callable[[float, float], np.ndarray]) -> Angles:
    """Let an arm or the trunk do something, more or less."""
    for side in ("left", "right"):
        wave = draw(0.0, 0.5) * (1 - np.cos(draw(1.0, 3.5) * seconds + draw(0, 2 * np.pi)))
        angles[f"{side}_shoulder"] = angles[f"{side}_shoulder"] + wave
        angles[f"{side}_elbow"] = angles[f"{side}_elbow"] + draw(0.0, 1.0) * wave
    angles["torso"] = angles["torso"] + draw(0.0, 0.12) * np.sin(draw(0.5, 2.0) * seconds + draw(0, 2 * np.pi))
    angles["twist"] = angles["twist"] + draw(0.0, 0.25) * np.sin(draw(0.5, 2.0) * seconds + draw(0, 2 * np.pi))
    return angles


def _smooth(progress: np.ndarray) -> np.ndarray:
    clipped: np.ndarray = progress.clip(0, 1)
    result: np.ndarray = 3 * clipped**2 - 2 * clipped**3
    return result


def _change(up: bool) -> Callable[..., Angles]:
    def act(seconds: np.ndarray, speed: np.ndarray, vigour: np.ndarray, draw: Callable[[float, float], np.ndarray]) -> Angles:
        start, duration = draw(0.0, 0.8), draw(0.9, 1.6) / speed
        done = _smooth((seconds - start) / duration)
        seated = 1 - done if up else done
        angles = _posture(seated, draw)
        bend = np.sin(np.pi * done) * draw(0.35, 0.8) * vigour  # the trunk goes forward over the feet
        angles["torso"] = angles["torso"] + bend
        for side in ("left", "right"):
            angles[f"{side}_shoulder"] = angles[f"{side}_shoulder"] + bend * draw(-0.3, 0.9)
            angles[f"{side}_hip"] = angles[f"{side}_hip"] + 0.3 * bend
        return angles

    return act


def _still(seated: float) -> Callable[..., Angles]:
    def act(seconds: np.ndarray, speed: np.ndarray, vigour: np.ndarray, draw: Callable[[float, float], np.ndarray]) -> Angles:
        return _gesture(_posture(seated + 0 * (seconds * speed), draw), seconds * speed, draw)

    return act


def _walk(seconds: np.ndarray, speed: np.ndarray, vigour: np.ndarray, draw: Callable[[float, float], np.ndarray]) -> Angles:
    phase = 2 * np.pi * draw(0.7, 1.05) * speed * seconds + draw(0, 2 * np.pi)
    angles = _posture(0 * phase, draw)
    stride, swing = draw(0.25, 0.5) * vigour, draw(0.05, 0.5) * vigour
    for side, offset in (("left", 0.0), ("right", np.pi)):
        step = np.sin(phase + offset)
        angles[f"{side}_hip"] = angles[f"{side}_hip"] + stride * step + 0.05
        lifted = np.maximum(0, np.cos(phase + offset))  # the leg that comes forward bends
        angles[f"{side}_knee"] = angles[f"{side}_knee"] + 2.0 * stride * lifted**2
        angles[f"{side}_shoulder"] = angles[f"{side}_shoulder"] - swing * step
        angles[f"{side}_elbow"] = angles[f"{side}_elbow"] - 0.3 * swing * step
    angles["twist"] = angles["twist"] + 0.2 * swing * np.sin(phase)
    angles["torso"] = angles["torso"] + 0.05 * vigour
    return angles


def _jump(seconds: np.ndarray, speed: np.ndarray, vigour: np.ndarray, draw: Callable[[float, float], np.ndarray]) -> Angles:
    phase = 2 * np.pi * draw(0.6, 1.0) * speed * seconds + draw(0, 2 * np.pi)
    crouch = (0.5 - 0.5 * np.cos(phase)) ** 2
    angles = _posture(0 * phase, draw)
    depth, arms = draw(0.35, 0.9) * vigour, draw(0.1, 1.6) * vigour
    angles["torso"] = angles["torso"] + 0.5 * depth * crouch
    for side in ("left", "right"):
        angles[f"{side}_hip"] = angles[f"{side}_hip"] + depth * crouch
        angles[f"{side}_knee"] = angles[f"{side}_knee"] + 1.5 * depth * crouch
        angles[f"{side}_shoulder"] = angles[f"{side}_shoulder"] + arms * (0.5 - 0.5 * np.cos(phase + draw(2.2, 3.4)))
    return angles


_ACTIONS: dict[str, Callable[..., Angles]] = {
    "sitting_down": _change(up=False),
    "getting_up": _change(up=True),
    "sitting": _still(1.0),
    "standing": _still(0.0),
    "walking": _walk,
    "jumping": _jump,
}


def _limb(flexion: np.ndarray, outward: np.ndarray | float = 0.0) -> np.ndarray:
    """Unit vector (N, T, 3) that hangs down at 0, is bent to the front by ``flexion`` and to the left by ``outward``."""
    outward = outward + 0 * flexion
    parts = (np.sin(outward), -np.cos(outward) * np.cos(flexion), np.cos(outward) * np.sin(flexion))
    return np.stack(parts, axis=-1)


def _joints(angles: Angles, persons: list[Person]) -> np.ndarray:
    """Place the joints, (N, T, 34, 3): every limb hangs on the joint before it."""
    traits = {name: np.array([[[getattr(p, name)]] for p in persons]) for name in ("height", "legs", "arms", "width")}
    size = traits["height"]
    leg, arm, wide = size * traits["legs"], size * traits["arms"], size * traits["width"]
    up = -_limb(-angles["torso"])
    front = np.stack([np.sin(angles["twist"]), -np.sin(angles["torso"]), np.cos(angles["torso"]) * np.cos(angles["twist"])], -1)
    across = np.stack([np.cos(angles["twist"]), 0 * angles["twist"], -np.sin(angles["twist"])], -1)
    place = {"pelvis": np.zeros_like(up), "torso": 250 * size * up, "neck": 500 * size * up}
    skull = -_limb(-(angles["torso"] * 0.5 + angles["head"]))
    face = _limb(np.pi / 2 - angles["head"] - angles["torso"] * 0.5)
    place["nose"] = place["neck"] + size * (150 * skull + 110 * face)
    for side, sign in (("left", 1.0), ("right", -1.0)):
        thigh = angles[f"{side}_hip"]
        shin = thigh - angles[f"{side}_knee"]
        spread, lift = sign * angles[f"{side}_spread"], sign * angles[f"{side}_lift"]
        place[f"{side}_eye"] = place["nose"] + size * (35 * skull - 20 * face) + sign * 32 * size * across
        place[f"{side}_ear"] = place["nose"] + size * (20 * skull - 105 * face) + sign * 72 * size * across
        hip = sign * 95 * wide * np.array([1.0, 0.0, 0.0]) + 0 * up
        knee = hip + 420 * leg * _limb(thigh, spread)
        ankle = knee + 410 * leg * _limb(shin, spread * 0.5)
        toes, sole = _limb(shin + np.pi / 2, sign * 0.1), _limb(shin)
        place |= {f"{side}_hip": hip, f"{side}_knee": knee, f"{side}_ankle": ankle}
        place[f"{side}_big_toe"] = ankle + leg * (170 * toes + 60 * sole) - sign * 20 * across
        place[f"{side}_small_toe"] = ankle + leg * (140 * toes + 60 * sole) + sign * 55 * across
        place[f"{side}_heel"] = ankle + leg * (60 * sole - 55 * toes)
        shoulder = place["neck"] - 40 * size * up + sign * 180 * wide * across
        reach = angles[f"{side}_shoulder"]
        elbow = shoulder + 290 * arm * _limb(reach, lift)
        hand = _limb(reach + angles[f"{side}_elbow"], lift * 0.4)
        wrist = elbow + 250 * arm * hand
        place |= {f"{side}_shoulder": shoulder, f"{side}_elbow": elbow, f"{side}_wrist": wrist}
        place[f"{side}_pinky_knuckle"] = wrist + 85 * arm * hand - 30 * front
        place[f"{side}_middle_tip"] = wrist + 175 * arm * hand
        place[f"{side}_index_knuckle"] = wrist + 90 * arm * hand + 30 * front
        place[f"{side}_thumb_tip"] = wrist + 80 * arm * hand + 60 * front - sign * 25 * across
    return np.stack([place[name] for name in JOINTS], axis=2)
