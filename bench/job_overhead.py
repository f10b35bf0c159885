"""What a training job costs beside its training: `skillbank run ... train` of one epoch on a tiny set.

    python bench/job_overhead.py [--rounds 5] [--json]

From the wall time of the whole command the seconds of its epoch are taken (metrics.csv). What is left is start-up, imports,
plan, checks, records and results. Beside it stands an interpreter that only imports torch and Lightning, in turns.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
import tempfile
from pathlib import Path

from measuring import run, skillbank, spread

from stgcn.sample import write_sample

SKILL = "tao-train-pose-classification"
WORDS = ("--automl", "off", "--set", "num_epochs=1", "--set", "dataset.repeat_to=0", "--set", "train.checkpoint_interval=1")


def main() -> int:
    """Measure, and print a line or JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="print JSON instead of the line")
    options = parser.parse_args()
    found: dict[str, list[float]] = {"job": [], "beside_training": [], "imports_alone": []}
    with tempfile.TemporaryDirectory() as folder:
        data, workspace = Path(folder) / "data", Path(folder) / "workspace"
        write_sample(data, per_class=(2, 1, 1), frames=16)
        for turn in range(options.rounds + 1):
            took, answer = skillbank("run", SKILL, "train", "--dataset", data, "--workspace", workspace, *WORDS)
            job = skillbank("status", answer["job_id"], "--workspace", workspace)[1]
            imports, _ = run([sys.executable, "-c", "import torch, pytorch_lightning"])
            if turn:
                found["job"].append(took)
                found["beside_training"].append(took - trained(Path(job["results_dir"])))
                found["imports_alone"].append(imports)
    facts = {name: spread(seconds) for name, seconds in found.items()}
    if options.json:
        sys.stdout.write(json.dumps(facts, indent=2) + "\n")
    else:
        for name, one in facts.items():
            sys.stdout.write(f"{name:<16} {one['median']:.2f} s ({one['min']:.2f} to {one['max']:.2f})\n")
    return 0


def trained(folder: Path) -> float:
    """Seconds of the epochs of a training."""
    (path,) = folder.rglob("metrics.csv")
    with path.open(newline="", encoding="utf-8") as file:
        return sum(float(row["seconds"]) for row in csv.DictReader(file))


if __name__ == "__main__":
    sys.exit(main())
