"""How long `pose_classification dataset inspect` takes on many sequences, and the look at the data before an action starts.

    python bench/inspect_data.py [--sequences 10000] [--frames 100] [--json]

The set is made up (random walks of a body of 17 joints), has copies planted in it, and is removed afterwards. Says whether the
copies were found, all of them and nothing else.
"""

from __future__ import annotations

import argparse
import json
import pickle
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from stgcn import arrays
from stgcn.graph import LAYOUTS
from stgcn.inspect import before, page, survey

CLASSES, PLANTED = 20, 95


def make(folder: Path, sequences: int, frames: int) -> None:
    """Four fifths train, one fifth test, PLANTED of test copied from train."""
    rng = np.random.default_rng(0)
    layout = LAYOUTS["coco"]
    body = rng.normal(0, 0.2, (2, 1, layout.num_joints, 1)).astype(np.float32)
    train = None
    for split, count in (("train", sequences * 4 // 5), ("val", 8), ("test", sequences // 5)):
        data = np.zeros((count, 3, frames, layout.num_joints, 1), np.float32)
        for i in range(count):
            length = int(rng.integers(frames // 2, frames + 1))
            walk = rng.normal(0, 0.01, (2, length, layout.num_joints, 1)).astype(np.float32).cumsum(axis=1)
            data[i, :2, :length] = body + walk
            data[i, 2, :length] = 0.9
        if split == "test" and train is not None:
            data[:PLANTED] = train[rng.choice(len(train), PLANTED, replace=False)]
        train = data if split == "train" else train
        np.save(folder / f"{split}_data.npy", data)
        names = [f"{split}_{i}" for i in range(count)]
        (folder / f"{split}_label.pkl").write_bytes(pickle.dumps((names, [i % CLASSES for i in range(count)])))
    (folder / "label_map.json").write_text(json.dumps({f"class_{i}": i for i in range(CLASSES)}))


def main() -> int:
    """Make, look, and say how long it took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sequences", type=int, default=10_000)
    parser.add_argument("--frames", type=int, default=100)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make(folder, given.sequences, given.frames)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        began = time.perf_counter()
        found = survey.look(folder)
        looked = time.perf_counter() - began
        began = time.perf_counter()
        size = len(page.render(found))
        drawn = time.perf_counter() - began
        sets = [
            arrays.SkeletonSet(s, str(part.path), np.load(part.path, mmap_mode="r"), part.names, part.ids)
            for s, part in found.parts.items()
            if s != "val"
        ]
        began = time.perf_counter()
        noticed = before.look(sets, LAYOUTS["coco"], found.source.label_map or {})
        glance = time.perf_counter() - began
    leaked = [finding["count"] for finding in found.report["findings"] if finding["code"] == "leak"]
    figures = {
        "sequences": given.sequences,
        "mebibytes": round(sum(part["bytes"] for part in found.report["splits"].values()) / 2**20),
        "inspect_seconds": round(looked, 2),
        "page_seconds": round(drawn, 2),
        "page_kib": size >> 10,
        "before_an_action_seconds": round(glance, 2),
        "planted": PLANTED,
        "found": leaked,
        "found_before_an_action": [len(finding.samples) for finding in noticed if finding.code == "leak"],
        "peak_mib_beyond_making": (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak) >> 10,
    }
    sys.stdout.write(json.dumps(figures, indent=2) + "\n" if given.json else "".join(f"{k}: {v}\n" for k, v in figures.items()))
    return 0 if leaked == [PLANTED] == figures["found_before_an_action"] else 1


if __name__ == "__main__":
    sys.exit(main())
