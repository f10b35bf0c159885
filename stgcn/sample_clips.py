"""Synthetic recordings as a pose estimator leaves them, said to be synthetic: CSV tables of COCO keypoints, and a stream."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from stgcn import files
from stgcn.body import CLASSES, JOINTS, Person, move
from stgcn.camera import HEIGHT, WIDTH, film, pixels, rate
from stgcn.errors import RefusedError, SpecError
from stgcn.graph import LAYOUTS

COCO = LAYOUTS["coco"].joints
FROM = [JOINTS.index(name) for name in COCO]  # the body has all of COCO's joints
PELVIS = JOINTS.index("pelvis")
FEWEST_FRAMES = 8
PERSONS = 8
STREAMED = ("walking", "jumping", "sitting_down")
ABOUT = f"""Synthetic keypoints: NOT recorded from people.

A kinematic body is moved by formulas, with sizes, speeds, directions of view, noise and missed joints drawn at random. Good for
trying the commands and for tests; a model trained on it knows nothing of people.

<class>/<recording>.csv  a row per frame: frame, subject, and x, y (pixels of a {WIDTH} x {HEIGHT} picture) and score of the
                         17 COCO keypoints; a joint that was not seen has score 0
stream.jsonl             a person of none of the recordings who does {", ".join(STREAMED)}, as lines for inference --stream
stream_truth.csv         the first frame of each of these actions in the stream
"""


def run(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The tool ``sample_data --keypoints``: ``out``, ``per_class`` recordings of up to ``frames`` frames, ``seed``.

    Raises:
        SpecError: numbers that make no sense.
        RefusedError: the folder holds something that this tool did not write.
        ResourceError: the folder cannot be written.
    """
    count, frames, seed = (int(settings[key]) for key in ("per_class", "frames", "seed"))
    problems = [
        f"--{name} is {value}; allowed: at least {least}"
        for name, value, least in (("per-class", count, 1), ("frames", frames, FEWEST_FRAMES), ("seed", seed, 0))
        if value < least
    ]
    if problems:
        raise SpecError(problems)
    folder = Path(settings["out"])
    _keep_others(folder)
    rng = np.random.default_rng(seed)
    files.make_folder(folder)
    readme = files.write_text(folder / "README.txt", ABOUT)
    persons = [Person.draw(rng) for _ in range(min(PERSONS, count))]
    for action in CLASSES:
        tables = {f"{action}_{n:03d}.csv": text for n, text in enumerate(_tables(action, count, frames, persons, rng))}
        for name, table in tables.items():
            files.write_text(folder / action / name, table)
        for left in {path.name for path in (folder / action).glob(f"{action}_[0-9]*.csv")} - set(tables):
            (folder / action / left).unlink()  # of an earlier call with more recordings
    stream, truth = _stream(frames, rng)
    artifacts = {
        "clips": folder,
        "stream": files.write_text(folder / "stream.jsonl", stream),
        "stream_truth": files.write_text(folder / "stream_truth.csv", truth),
        "readme": readme,
    }
    return {
        "metrics": {"recordings": len(CLASSES) * count, "subjects": len(persons)},
        "artifacts": {name: str(path) for name, path in artifacts.items()},
    }


def _keep_others(folder: Path) -> None:
    """Refuse a folder with anything in it that this tool did not write."""
    if not folder.is_dir() or not any(folder.iterdir()):
        return
    try:
        ours = (folder / "README.txt").read_text(encoding="utf-8") == ABOUT
    except (OSError, UnicodeDecodeError):
        ours = False
    if not ours:
        raise RefusedError(f"{folder} holds files which are no keypoints of this tool; give another folder with --out")


def _tables(action: str, count: int, frames: int, persons: list[Person], rng: np.random.Generator) -> list[str]:
    """The CSV of every recording of an action, of 60 to 100 % of the frames."""
    who = np.arange(count) % len(persons)
    poses = _keypoints(action, [persons[i] for i in who], frames, rng)
    lengths = rng.integers(max(FEWEST_FRAMES, round(0.6 * frames)), frames + 1, count)
    head = ",".join(["frame", "subject", *(f"{joint}_{axis}" for joint in COCO for axis in ("x", "y", "score"))])
    tables = []
    for pose, length, person in zip(poses, lengths, who, strict=True):
        text = io.StringIO()
        text.write(head + "\n")
        for frame, values in enumerate(pose[:length].reshape(length, -1)):
            text.write(f"{frame},s{person + 1:02d}," + ",".join(f"{value:g}" for value in values) + "\n")
        tables.append(text.getvalue())
    return tables


def _keypoints(action: str, persons: list[Person], frames: int, rng: np.random.Generator) -> np.ndarray:
    """Film one recording of each person: x, y in pixels and score, (N, T, 17, 3), all zero where not seen."""
    joints, seen = film(move(action, persons, np.arange(frames) / rate(frames), rng), rng)
    place = rng.uniform((-900, -50, 3600), (900, 250, 5200), (len(persons), 3))
    if action == "walking":
        pace = rng.uniform(-12, 12, (len(persons), 1, 1)) * np.arange(frames)[:, None]
        joints = joints + (pace * (1.0, 0.0, 0.0))[:, :, None]
    placed = (joints + place[:, None, None])[:, :, FROM]
    score = np.where(seen[:, :, FROM], rng.uniform(0.6, 1.0, placed.shape[:3]), 0.0)
    flat = np.concatenate([np.round(pixels(placed)[..., :2], 1), np.round(score, 2)[..., None]], axis=-1)
    return flat * (score > 0)[..., None]


def _stream(frames: int, rng: np.random.Generator) -> tuple[str, str]:
    """JSON lines of one person who does one action after the other, and when each begins."""
    person = [Person.draw(rng)]
    parts = [_keypoints(action, person, frames, rng)[0] for action in STREAMED]
    poses = np.concatenate(parts)
    seconds = rate(frames)
    lines = [
        json.dumps({"frame": frame, "track": 1, "time": round(frame / seconds, 3), "joints": pose.tolist()})
        for frame, pose in enumerate(poses)
    ]
    truth = [f"{i * frames},{action}" for i, action in enumerate(STREAMED)]
    return "\n".join(lines) + "\n", "\n".join(["first_frame,label", *truth]) + "\n"
