"""How fast `skillbank` answers, as a ratio to a bare `python -c pass` of the same interpreter.

Interleaved (bare, list, status, ...; again and again) so that a noisy machine hits all alike; medians. Makes its own workspace.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SKILL = "tao-train-pose-classification"
LIMITS = {"list": 4.0, "status": 4.0, "plan": 10.0, "plan of a search": 10.0, "validate": 10.0}
FRAMES, JOINTS, CLASSES = 12, 34, 6


def main() -> int:
    """Measure, print a table or JSON, and return 1 when a ratio is above its limit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15, help="interleaved rounds (default 15)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of the table")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        seconds = measure(commands(Path(folder)), options.rounds)
    bare = statistics.median(seconds.pop("bare"))
    rows = {verb: row(verb, times, bare) for verb, times in seconds.items()}
    if options.json:
        print(json.dumps({"rounds": options.rounds, "bare_ms": round(bare * 1000, 2), "commands": rows}, indent=2))
    else:
        show(rows, bare, options.rounds)
    return 0 if all(r["within"] for r in rows.values()) else 1


def commands(folder: Path) -> dict[str, list[str]]:
    """The argument vectors to time, over a fresh data set, workspace and finished job in ``folder``."""
    skillbank = str(Path(sys.executable).with_name("skillbank"))
    workspace, data = str(folder / "workspace"), str(folder / "data")
    write_data(Path(data))
    job = finished_job(skillbank, workspace, data)
    search = [SKILL, "train", "--dataset", data, "--workspace", workspace, "--json"]
    action = [*search, "--automl", "off"]
    return {
        "bare": [sys.executable, "-c", "pass"],
        "list": [skillbank, "list", "--json"],
        "status": [skillbank, "status", job, "--workspace", workspace, "--json"],
        "plan": [skillbank, "plan", *action],
        "plan of a search": [skillbank, "plan", *search],
        "validate": [skillbank, "validate", *action],
    }


def write_data(folder: Path) -> None:
    """Two tiny sequences per class, enough for a job to exist."""
    import numpy as np

    folder.mkdir()
    rng = np.random.default_rng(0)
    ids = [i % CLASSES for i in range(2 * CLASSES)]
    for split in ("train", "val"):
        np.save(folder / f"{split}_data.npy", rng.normal(size=(len(ids), 3, FRAMES, JOINTS, 1)).astype(np.float32))
        write_pickle(folder / f"{split}_label.pkl", ids)


def write_pickle(path: Path, ids: list[int]) -> None:
    """Labels as TAO writes them."""
    import pickle

    path.write_bytes(pickle.dumps(([f"s{i}" for i in range(len(ids))], ids), protocol=4))


def finished_job(skillbank: str, workspace: str, data: str) -> str:
    """Train one epoch and return the id of the job."""
    settings = ["num_epochs=1", "num_workers=0", "batch_size=12"]
    words = [word for setting in settings for word in ("--set", setting)]
    command = [skillbank, "run", SKILL, "train", "--dataset", data, *words, "--automl", "off", "--recipe", "none"]
    command += ["--workspace", workspace, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"the job to look at failed ({done.returncode}):\n{done.stdout}{done.stderr}")
    return str(json.loads(done.stdout)["data"]["job_id"])


def measure(argvs: dict[str, list[str]], rounds: int) -> dict[str, list[float]]:
    """Wall seconds of every command in every round, after one round that warms the file cache."""
    seconds: dict[str, list[float]] = {name: [] for name in argvs}
    environment = {**os.environ, "NO_COLOR": "1"}
    for turn in range(rounds + 1):
        for name, argv in argvs.items():
            start = time.perf_counter()
            done = subprocess.run(argv, capture_output=True, env=environment, check=False)
            if done.returncode:
                raise SystemExit(f"{' '.join(argv)} failed ({done.returncode}):\n{done.stderr.decode()}")
            if turn:
                seconds[name].append(time.perf_counter() - start)
    return seconds


def row(verb: str, times: list[float], bare: float) -> dict[str, object]:
    """Median, ratio to bare and limit of one command."""
    median = statistics.median(times)
    ratio = median / bare
    limit = LIMITS[verb]
    return {"ms": round(median * 1000, 1), "ratio": round(ratio, 2), "limit": limit, "within": ratio <= limit}


def show(rows: dict[str, dict[str, object]], bare: float, rounds: int) -> None:
    """Print the table."""
    print(f"bare `python -c pass`: {bare * 1000:.1f} ms; medians of {rounds} interleaved rounds")
    print(f"{'command':<20}{'ms':>8}{'ratio':>8}{'limit':>8}")
    for verb, facts in rows.items():
        mark = "" if facts["within"] else "  above the limit"
        print(f"{verb:<20}{facts['ms']:>8}{facts['ratio']:>8}{facts['limit']:>8}{mark}")


if __name__ == "__main__":
    sys.exit(main())
