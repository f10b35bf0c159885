"""What the heads of the data files say against the settings: joints and channels. No array is read."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stgcn import config
    from stgcn.graph import Layout

HEAD = 1 << 16  # bytes of a file that are looked at
AXES = 5  # (N, C, T, V, M)
# Joints of the built-in layouts: loading these takes numpy, for which a plan has no time. A test compares them.
JOINTS = {
    "nvidia": 34,
    "openpose": 18,
    "human3.6m": 17,
    "ntu-rgb+d": 25,
    "ntu_edge": 24,
    "coco": 17,
    "body_25": 25,
    "halpe_26": 26,
    "mediapipe_33": 33,
    "hand_21": 21,
    "kinect_v1_20": 20,
    "smpl_24": 24,
}


def notes(settings: config.TrainSpec, layout: Layout | None) -> list[str]:
    """Sets whose joints or channels are not those of the settings; whatever else is wrong with a file, its reader says."""
    found = []
    for split in ("train", "val"):
        path = str(getattr(settings.dataset, f"{split}_dataset").data_path or "")
        shape = shape_of(path)
        if len(shape) != AXES:
            continue
        wrong = []
        joints = layout.num_joints if layout else JOINTS.get(settings.model.graph_layout, shape[3])
        if shape[3] != joints:
            names = [name for name, count in JOINTS.items() if count == shape[3]]
            fitting = f"{', '.join(names)}, or a file of your own" if names else "none built in; give a file of your own"
            wrong.append(
                f"model.graph_layout is {settings.model.graph_layout}, which has {joints} joints, and the data has {shape[3]} "
                f"(layouts of {shape[3]} joints: {fitting})"
            )
        if shape[1] != settings.model.input_channels:
            wrong.append(f"model.input_channels is {settings.model.input_channels}, and the data has {shape[1]}")
        if wrong:
            found.append(f"The training will refuse {path}, of shape {shape}: {'; '.join(wrong)}.")
    return found


def bounds(settings: config.TrainSpec) -> dict[str, tuple[int, str]]:
    """The most that a setting can be of any use, by what the data are, with the reason."""
    dataset = settings.dataset
    shape = shape_of(str(dataset.train_dataset.data_path or ""))
    if len(shape) != AXES or dataset.preparation.window > 0:
        return {}
    return {"dataset.window_size": (shape[2], f"the sequences have {shape[2]} frames, and more would be padding")}


def shape_of(path: str) -> tuple[int, ...]:
    """The shape of the array in a .npy file on this machine; empty where there is none, or none to be read."""
    if not path or "://" in path:
        return ()
    try:
        with Path(path).open("rb") as file:
            head = file.read(HEAD)
    except (OSError, ValueError):
        return ()
    start = 10 if head[6:7] == b"\x01" else 12
    told = head[start : start + int.from_bytes(head[8:start], "little")]
    try:
        shape = ast.literal_eval(told.decode("latin-1").strip())["shape"]
    except (ValueError, SyntaxError, KeyError, TypeError, RecursionError, MemoryError):
        return ()
    whole = head[:6] == b"\x93NUMPY" and isinstance(shape, tuple) and all(type(size) is int and size > 0 for size in shape)
    return shape if whole else ()
