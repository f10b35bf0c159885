"""Small synthetic data sets, said to be synthetic: six actions of a 34-joint body in TAO's format and as BodyPose JSON."""

from __future__ import annotations

import json
import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from stgcn import files
from stgcn.body import CLASSES, Person, move
from stgcn.camera import FOCAL_LENGTH, film, pixels, rate
from stgcn.errors import RefusedError, SpecError
from stgcn.graph import LAYOUTS

LAYOUT = LAYOUTS["nvidia"]
SPLITS = ("train", "val", "test")
LABEL_MAP = {name: i for i, name in enumerate(CLASSES)}
FEWEST_FRAMES = 8
ABOUT = """Synthetic skeleton sequences: NOT recorded from people.

A kinematic body of 34 joints (NVIDIA BodyPose order) is moved by formulas, with sizes, speeds, directions of view, noise
and missed joints drawn at random. Good for trying the commands and for tests; a model trained on it knows nothing of people.

{train,val,test}_data.npy   float32 (N, C, T, V, M) = sequences, x y z, frames, joints, persons; (joint - pelvis) / 1200,
                            x to the right, y down, z away from the camera; zero-padded at the end of T
{train,val,test}_label.pkl  (sample names, class ids); a name is <class>_p<person>_<number>, no person is in two splits
label_map.json              class name to class id
bodypose.json               tracks as the DeepStream BodyPose app writes them, for dataset_convert
info.json                   joints, edges, counts, seed
"""


def run(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The tool ``sample_data``: ``out``, ``per_class`` (of train; the others get a third), ``frames``, ``seed``."""
    count, seed = int(settings["per_class"]), int(settings["seed"])
    if count < 1 or seed < 0:
        raise SpecError(
            [f"--per-class is {count}; allowed: at least 1"] * (count < 1)
            + [f"--seed is {seed}; allowed: at least 0"] * (seed < 0)
        )
    _keep_real_data(Path(settings["out"]))
    rest = max(1, count // 3)
    written = write_sample(settings["out"], per_class=(count, rest, rest), frames=int(settings["frames"]), seed=seed)
    return {"metrics": {"sequences": len(CLASSES) * (count + 2 * rest)}, "artifacts": written["files"]}


def _keep_real_data(folder: Path) -> None:
    """Refuse a folder that holds sequences this tool did not write."""
    held = sorted(path.name for path in folder.glob("*_data.npy")) if folder.is_dir() else []
    if not held:
        return
    try:
        ours = "synthetic" in (folder / "README.txt").read_text(encoding="utf-8").lower()
    except (OSError, UnicodeDecodeError):
        ours = False
    if not ours:
        raise RefusedError(f"{folder} holds {', '.join(held)}, which is no sample of this tool; give another folder with --out")


def write_sample(
    out: str | Path,
    *,
    per_class: Sequence[int] = (24, 8, 8),
    frames: int = 48,
    seed: int = 0,
) -> dict[str, Any]:
    """Write a sample data set to the folder ``out``; the same arguments give the same bytes.

    ``per_class`` are the sequences of each class in train, val and test, of at most ``frames`` frames.

    Returns:
        What info.json holds, with ``folder``, and ``files`` by name.

    Raises:
        SpecError: numbers that make no sense.
        ResourceError: the folder cannot be written.
    """
    _check(per_class, frames)
    folder = files.make_folder(out)
    rng = np.random.default_rng(seed)
    splits, written, first_person = {}, {}, 1
    for split, count in zip(SPLITS, per_class, strict=True):
        data, names, ids, people = _split(count, frames, first_person, rng)
        first_person += people
        written[f"{split}_data"] = _write_array(folder / f"{split}_data.npy", data)
        written[f"{split}_label"] = files.write_bytes(folder / f"{split}_label.pkl", pickle.dumps((names, ids), protocol=4))
        splits[split] = {"shape": list(data.shape), "per_class": dict.fromkeys(CLASSES, count), "persons": people}
    info = {
        "synthetic": True,
        "about": ABOUT.splitlines()[0],
        "layout": LAYOUT.name,
        "classes": list(CLASSES),
        "joints": LAYOUT.joints,
        "edges": LAYOUT.edges,
        "center": LAYOUT.center,
        "seed": seed,
        "frames_per_second": rate(frames),
        "splits": splits,
    }
    written["label_map"] = files.write_json(folder / "label_map.json", LABEL_MAP)
    written["bodypose"] = files.write_text(folder / "bodypose.json", json.dumps(_bodypose(rng)) + "\n")
    written["readme"] = files.write_text(folder / "README.txt", ABOUT)
    written["info"] = files.write_json(folder / "info.json", info)
    return {**info, "folder": str(folder), "files": {name: str(path) for name, path in written.items()}}


def _check(per_class: Sequence[int], frames: int) -> None:
    problems = []
    if len(per_class) != len(SPLITS) or any(count < 1 for count in per_class):
        problems.append(f"per_class is {tuple(per_class)}; expected three numbers of at least 1, for train, val and test")
    if frames < FEWEST_FRAMES:
        problems.append(f"frames is {frames}; expected at least {FEWEST_FRAMES}")
    if problems:
        raise SpecError(problems)


def _split(
    count: int, frames: int, first_person: int, rng: np.random.Generator
) -> tuple[np.ndarray, list[str], list[int], int]:
    """Draw ``count`` sequences of every class, in mixed order: data (N, C, T, V, 1), names, class ids, number of persons."""
    persons = [Person.draw(rng) for _ in range(max(1, round(count / 4)))]
    seconds = np.arange(frames) / rate(frames)
    parts, names, ids = [], [], []
    for class_id, action in enumerate(CLASSES):
        who = np.arange(count) % len(persons)
        joints, seen = film(move(action, [persons[i] for i in who], seconds, rng), rng)
        parts.append(_normalise(joints, seen, rng))
        names += [f"{action}_p{first_person + i:02d}_{number:03d}" for number, i in enumerate(who)]
        ids += [class_id] * count
    order = rng.permutation(len(ids))
    data = np.concatenate(parts)[order]
    return data, [names[i] for i in order], [ids[i] for i in order], len(persons)


def _normalise(joints: np.ndarray, seen: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """What dataset_convert makes of 3D poses: (N, C, T, V, 1) float32, here with clips of different length."""
    frames = joints.shape[1]
    lengths = rng.integers(max(FEWEST_FRAMES, round(0.6 * frames)), frames + 1, len(joints))
    kept = seen & (np.arange(frames) < lengths[:, None])[:, :, None]
    scaled = np.where(kept[..., None], (joints - joints[:, :, :1]) / FOCAL_LENGTH, 0)
    return np.ascontiguousarray(scaled.transpose(0, 3, 1, 2)[..., None], dtype=np.float32)


def _write_array(path: Path, data: np.ndarray) -> Path:
    with files.replacing(path) as temporary:
        np.save(temporary, data)
    return path


def _bodypose(rng: np.random.Generator, frames: int = 150) -> list[dict[str, Any]]:
    """Film three persons who come one after the other; one record per frame, as DeepStream writes them."""
    actions = ("walking", "sitting_down", "jumping")
    seconds = np.arange(frames) / 30.0
    tracks = []
    for number, action in enumerate(actions):
        joints, seen = film(move(action, [Person.draw(rng)], seconds, rng), rng, facing=0.8)
        pelvis = np.array([(number - 1) * 1300.0, 100.0, 4200.0 + 300 * number])
        drift = np.array([8.0, 0.0, -6.0]) * (action == "walking") * np.arange(frames)[:, None]
        points = joints[0] + (pelvis + drift)[:, None]
        confidence = np.where(seen[0], rng.uniform(0.6, 1.0, seen[0].shape), 0.0)
        tracks.append((number + 1, 20 * number, np.round(points, 3), np.round(confidence, 4)))
    return [_record(frame, tracks) for frame in range(frames)]


def _record(frame: int, tracks: list[tuple[int, int, np.ndarray, np.ndarray]]) -> dict[str, Any]:
    objects = [
        {
            "object_id": object_id,
            "pose25d": _flat(pixels(points[frame]), confidence[frame]),
            "pose3d": _flat(points[frame], confidence[frame]),
        }
        for object_id, first, points, confidence in tracks
        if frame >= first
    ]
    batch = {"batch_id": 0, "frame_num": frame, "ntp_timestamp": 0, "num_objects_in_frame": len(objects), "objects": objects}
    return {"num_frames_in_batch": 1, "batches": [batch]}


def _flat(points: np.ndarray, confidence: np.ndarray) -> list[float]:
    """x, y, z, confidence of every joint; a missed joint is all zeros."""
    seen = (confidence > 0)[:, None]
    return np.concatenate([points * seen, confidence[:, None]], axis=1).ravel().tolist()
