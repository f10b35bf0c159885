"""How long a training takes until its validation loss is what the plain recipe comes to at best.

    python bench/same_loss.py [DATA] [--epochs 20] [--seed 1] [--json]

Trains DATA (by default synthetic sequences) with ST-GCN and the values of the original, `--recipe none`, and by default, as a
user of new data does. Both run through `skillbank run`, one after the other; the plain one computes what the network of
bench/peer.py computes, as it does. The ratio is the time of the plain training to its lowest validation loss over the time of
ours until it is as low.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from measuring import skillbank

from stgcn.sample import write_sample

SKILL = "tao-train-pose-classification"


def main() -> int:
    """Measure, and print a line or JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, nargs="?", help="folder of a data set (default: synthetic sequences)")
    parser.add_argument("--epochs", type=int, default=20, help="of the plain training (default 20)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--per-class", type=int, default=24, help="synthetic sequences of each class (default 24)")
    parser.add_argument(
        "--smoke", action="store_true", help="two epochs of the few sequences there are; the figures mean nothing"
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of the line")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        data = options.data or Path(folder) / "data"
        if not options.data:
            write_sample(data, per_class=(options.per_class, max(2, options.per_class // 3), 1))
        seed = ("--set", f"train.seed={options.seed}")
        few = ("--set", "dataset.repeat_to=0", "--set", "train.num_epochs=2") if options.smoke else ()
        plain = curve(data, Path(folder), "--recipe", "none", "--set", f"num_epochs={options.epochs}", *seed)
        ours = curve(data, Path(folder), *few, *seed)
    facts = compared(plain, ours)
    if options.json:
        sys.stdout.write(json.dumps(facts, indent=2) + "\n")
    else:
        reached = f"{facts['ours_seconds']:.1f} s, {facts['ratio']:.1f} times sooner" if facts["ratio"] else "never"
        sys.stdout.write(f"val_loss {facts['val_loss']:.4f}: plain {facts['plain_seconds']:.1f} s, ours {reached}\n")
    return 0


def compared(plain: list[tuple[float, float]], ours: list[tuple[float, float]]) -> dict[str, Any]:
    """When each curve of (seconds, val_loss) is as low as the plain one ever is; None where ours never is."""
    seconds, lowest = min(plain, key=lambda point: (point[1], point[0]))
    reached = next((when for when, loss in ours if loss <= lowest), None)
    return {
        "val_loss": lowest,
        "plain_seconds": seconds,
        "ours_seconds": reached,
        "ratio": seconds / reached if reached else None,
        "ours_lowest": min(loss for _, loss in ours),
    }


def curve(data: Path, folder: Path, *words: str) -> list[tuple[float, float]]:
    """Seconds of training and val_loss after every validation."""
    argv = ("run", SKILL, "train", "--dataset", data, "--workspace", folder / "workspace", "--automl", "off", *words)
    answer = skillbank(*argv)[1]
    job = skillbank("status", answer["job_id"], "--workspace", folder / "workspace")[1]
    (path,) = Path(job["results_dir"]).rglob("metrics.csv")
    found, spent = [], 0.0
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            spent += float(row["seconds"])
            if row["val_loss"]:
                found.append((spent, float(row["val_loss"])))
    return found


if __name__ == "__main__":
    sys.exit(main())
