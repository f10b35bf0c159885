"""How fast DeepStream BodyPose JSON is converted, and in how much memory, against the plain way (bench/plain_convert.py).

Makes files of the given sizes as the BodyPose app writes them (two streams, three persons at a time in each, tracks of 10 to 60
seconds, 34 joints in 2.5D and 3D, joints and root joints missed now and then), converts each by both in turn, every time in a
process of its own, and compares what was written bit by bit. A ratio is that of a pair that ran one after the other.

Seconds are those of the conversion once all is imported: reading, writing, syncing to disk and the hash of the file, which the
plain way spares itself; ``with start`` counts the start of Python and the imports too; CPU seconds are those of all processes
together. Memory is the peak of the resident set (VmHWM); "beyond imports" what it grew by in the conversion. For ours both are
sums over its processes, in which pages that they share count twice. The file has just been written: it is not read from disk.
"""

from __future__ import annotations

import argparse
import filecmp
import json
import os
import platform
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

JOINTS, STREAMS, PERSONS, RATE = 34, 2, 3, 30
POSES = 1500  # different ones; the file repeats them in random order
SHORTEST, LONGEST = 10, 60  # seconds of a track
SIDES = ("ours", "plain")
KEYS = {"seconds": "seconds", "with_start": "with start", "cpu": "CPU seconds", "mib": "peak MiB", "beyond": "beyond imports"}


def main() -> int:
    """Measure, and print a table; or do the part of one process."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, nargs="+", default=[50, 500], help="sizes of the files (default 50 500)")
    parser.add_argument("--runs", type=int, default=3, help="pairs of runs for each size (default 3)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    parser.add_argument("--folder", type=Path, help="where to work (default: a temporary folder)")
    parser.add_argument("--part", choices=("make", *SIDES), help=argparse.SUPPRESS)
    parser.add_argument("--source", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.part:
        said = make(given.source, given.megabytes[0]) if given.part == "make" else work(given.part, given.source, given.folder)
        print(json.dumps(said))
        return 0
    results = []
    with tempfile.TemporaryDirectory(dir=given.folder) as name:
        for megabytes in given.megabytes:
            results.append(measure(Path(name), megabytes, given.runs))
            show(results[-1])
    figures = {"cpus": len(os.sched_getaffinity(0)), "machine": platform.machine(), "results": results}
    if given.json:
        given.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    return 0 if all(row["equal"] for row in results) else 1


def measure(folder: Path, megabytes: int, runs: int) -> dict[str, Any]:
    """Both in turn on one file."""
    source = folder / f"{megabytes}.json"
    facts = part("make", source, folder, megabytes)
    said: dict[str, list[dict[str, float]]] = {side: [] for side in SIDES}
    equal = True
    for run in range(runs):
        for side in SIDES if run % 2 else SIDES[::-1]:
            said[side].append(part(side, source, folder / side, megabytes))
        equal = equal and same(folder / "ours", folder / "plain")
        for side in SIDES:
            shutil.rmtree(folder / side)
    source.unlink()
    pairs = list(zip(said["plain"], said["ours"], strict=True))
    return {
        "megabytes": megabytes,
        **facts,
        "runs": runs,
        "equal": equal,
        **{side: {key: spread([row[key] for row in rows]) for key in rows[0]} for side, rows in said.items()},
        **{f"{key}_ratio": spread([plain[key] / ours[key] for plain, ours in pairs]) for key in KEYS},
    }


def spread(values: list[float]) -> dict[str, float]:
    """Least, middle and greatest."""
    return {"min": round(min(values), 3), "median": round(statistics.median(values), 3), "max": round(max(values), 3)}


def same(ours: Path, plain: Path) -> bool:
    """Whether both wrote the same arrays."""
    names = sorted(path.name for path in ours.glob("*.npy"))
    return names == sorted(path.name for path in plain.glob("*.npy")) and all(
        filecmp.cmp(ours / name, plain / name, shallow=False) for name in names
    )


def part(name: str, source: Path, folder: Path, megabytes: int) -> dict[str, Any]:
    """What a process of its own says, and how long it was there."""
    command = [sys.executable, __file__, "--part", name, "--source", source, "--folder", folder, "--megabytes", str(megabytes)]
    began = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    took = time.perf_counter() - began
    if done.returncode:
        raise SystemExit(done.stderr)
    said: dict[str, Any] = json.loads(done.stdout)
    return said if name == "make" else said | {"with_start": took}


def work(side: str, source: Path, folder: Path) -> dict[str, float]:
    """Convert, and say what it took."""
    run = ours() if side == "ours" else plain()
    before, began, busy = peak(), time.perf_counter(), cpu()
    run(source, folder)
    seconds, busy = time.perf_counter() - began, cpu() - busy
    helpers = helpers_at_work() if side == "ours" else 0
    helper = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024  # of the largest
    mib = peak() + helpers * helper
    return {"seconds": seconds, "cpu": busy, "mib": mib, "beyond": mib - (1 + helpers) * before}


def helpers_at_work() -> int:
    """How many processes helped, at most."""
    from stgcn import forked

    return forked.spare() if resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss else 0


def cpu() -> float:
    """Seconds of processor that this process and those it waited for have used."""
    return sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


def ours() -> Callable[[Path, Path], Any]:
    """The conversion of this project."""
    from stgcn import dataset_convert, jsonblocks

    jsonblocks.new_parser()  # imports simdjson

    def run(source: Path, folder: Path) -> Any:
        settings = {"data": str(source), "results_dir": str(folder)}
        return dataset_convert.run({"dataset_convert": settings})

    return run


def plain() -> Callable[[Path, Path], Any]:
    """The plain way."""
    import plain_convert

    return plain_convert.convert


def peak() -> float:
    """The largest resident set of this process so far, MiB."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def make(source: Path, megabytes: int) -> dict[str, int]:
    """Write a file as the BodyPose app does; says what is in it."""
    import numpy as np

    rng = np.random.default_rng(megabytes)
    pool = [pose_text(rng, rooted=n % 100 != 99) for n in range(POSES)]
    tracks: list[list[int]] = [[0, 0] for _ in range(STREAMS * PERSONS)]  # object id, frames left
    size = frame = objects = 0
    with source.open("w", encoding="ascii") as file:
        size += file.write("[")
        while size < megabytes * 10**6:
            batches = []
            for stream in range(STREAMS):
                things = []
                for track in tracks[stream * PERSONS : (stream + 1) * PERSONS]:
                    fresh = track[1] == 0
                    if fresh:
                        objects += 1
                        track[:] = objects, int(rng.integers(SHORTEST * RATE, LONGEST * RATE))
                    track[1] -= 1
                    text = pool[0 if fresh else int(rng.integers(POSES))]
                    things.append(f'{{\n\t\t\t\t"object_id": {track[0]},\n\t\t\t\t{text}\n\t\t\t}}')
                batches.append(
                    f'{{\n\t\t"batch_id": {stream},\n\t\t"frame_num": {frame},\n\t\t"ntp_timestamp": '
                    f'{1639431716322229000 + frame * 33333333},\n\t\t"num_objects_in_frame": {len(things)},\n\t\t"objects": '
                    f"[{', '.join(things)}]\n\t}}"
                )
            record = f'{{\n\t"num_frames_in_batch": {len(batches)},\n\t"batches": [{", ".join(batches)}]\n}}'
            size += file.write((", " if frame else "") + record)
            frame += 1
        file.write("]\n")
    return {"records": frame, "poses": frame * STREAMS * PERSONS, "tracks": objects}


def pose_text(rng: Any, *, rooted: bool) -> str:
    """``pose25d`` and ``pose3d`` of one object."""
    confidence = rng.uniform(0.5, 1, JOINTS) * (rng.random(JOINTS) > 0.03)
    confidence[0] = 0.9 if rooted else 0
    texts = []
    for name, centre, width in (("pose25d", (900, 500, 0), (300, 200, 0.5)), ("pose3d", (0, -300, 3000), (400, 300, 500))):
        points = rng.normal(centre, width, (JOINTS, 3)) * (confidence > 0)[:, None]
        numbers = [value for point, sure in zip(points, confidence, strict=True) for value in (*point, sure)]
        texts.append(f'"{name}": [{", ".join(f"{value:f}" for value in numbers)}]')
    return ",\n\t\t\t\t".join(texts)


def show(row: dict[str, Any]) -> None:
    """Print what was measured on one file."""

    def text(figures: dict[str, float], digits: int) -> str:
        return " / ".join(f"{figures[key]:.{digits}f}" for key in ("min", "median", "max"))

    print(
        f"{row['megabytes']} MB: {row['records']} records, {row['poses']} poses, {row['tracks']} tracks; {row['runs']} pairs; "
        f"arrays {'equal' if row['equal'] else 'DIFFER'}; min / median / max"
    )
    for key, what in KEYS.items():
        digits = 0 if key in ("mib", "beyond") else 3
        ours, plain, ratio = text(row["ours"][key], digits), text(row["plain"][key], digits), text(row[f"{key}_ratio"], 1)
        print(f"  {what:<14} ours {ours:<24} plain {plain:<24} ratio {ratio}")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
