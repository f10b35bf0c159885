"""How well the classifiers do that a user gets, beside simple baselines: test accuracy, minutes of training, GFLOP a sequence.

    python bench/accuracy.py DATA/natops DATA/posepilot_coco17 [--rows majority,nearest,logistic,plain,default] [--seeds 1,2,3]
    python bench/accuracy.py DATA/natops --ablation [--seeds 1,2,3]

Everything of ours goes through `skillbank run`, as a user would. Results are kept in --out row by row; what is there is not
run again, so that a long comparison may be interrupted. Baselines see training and validation sets, ours learns from the
training set and chooses on the validation set; the test set is only counted. A folder without a layout.json says which skeleton
it holds by an info.json with joints and edges, or by --layout.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from stgcn.labels import read_labels

SKILL = "tao-train-pose-classification"
FRAMES = 16  # of a sequence, for the baselines

# Rows that train: what the command line says beside the data set and the seed.
OURS: dict[str, list[str]] = {
    "plain": ["--recipe", "none", "--automl", "off", "--set", "train.num_epochs=40", "--set", "dataset.num_workers=0"],
    "default": ["--automl", "off"],
    "streams": [
        "--automl",
        "off",
        "--set",
        "dataset.streams=[joint,bone,joint_motion,bone_motion]",
        "--set",
        "dataset.stream_fusion=score",
    ],
    "automl": ["--automl", "on", "--budget", "time=20m", "--budget", "trials=100"],
}
TITLES = {
    "majority": "the largest class",
    "nearest": "1-nearest neighbour",
    "logistic": "logistic regression",
    "plain": "ST-GCN, standard recipe, 40 epochs",
    "default": "ours by default",
    "streams": "ours, four streams",
    "automl": "ours, AutoML in 20 minutes",
}


class Split:
    """One set: sequences (N, C, T, V, M) and class ids (N,)."""

    def __init__(self, folder: Path, name: str) -> None:
        self.data = np.load(folder / f"{name}_data.npy", mmap_mode="r")
        self.labels = read_labels(folder / f"{name}_label.pkl")[1]

    def features(self) -> np.ndarray:
        """(N, FRAMES * C * V * M): frames picked evenly over each sequence without its padding."""
        rows = []
        for sequence in self.data:
            seen = np.flatnonzero(sequence.any(axis=(0, 2, 3)))
            last = int(seen[-1]) if seen.size else 0
            rows.append(sequence[:, np.linspace(0, last, FRAMES).round().astype(int)].reshape(-1))
        return np.stack(rows)


def baseline(kind: str, folder: Path) -> dict[str, Any]:
    """Test accuracy in percent of a classifier that needs no skeleton."""
    from sklearn.dummy import DummyClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = {
        "majority": DummyClassifier(strategy="most_frequent"),
        "nearest": KNeighborsClassifier(1),
        "logistic": make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000)),
    }[kind]
    known, test = [Split(folder, "train"), Split(folder, "val")], Split(folder, "test")
    began = time.monotonic()
    model.fit(np.concatenate([s.features() for s in known]), np.concatenate([s.labels for s in known]))
    minutes = (time.monotonic() - began) / 60
    return {"accuracy": 100 * float(model.score(test.features(), test.labels)), "minutes": minutes, "gflop": None}


def trained(words: list[str], folder: Path, layout: str | None, workspace: Path) -> dict[str, Any]:
    """Train and evaluate through the command line."""
    data = ["--dataset", str(folder), *layout_words(folder, layout)]
    train = skillbank("train", *data, *words, workspace=workspace)
    test = skillbank("evaluate", "--dataset", str(folder), "--parent", train["job_id"], workspace=workspace)
    found = train["metrics"]
    return {
        "accuracy": test["metrics"]["accuracy"],
        "interval": test["metrics"].get("accuracy_interval"),
        "val_acc": found.get("val_acc"),
        "val_loss": found.get("val_loss"),
        "epochs": found.get("epochs"),
        "parameters": found.get("parameters"),
        "gflop": found.get("gflop_per_sequence"),
        "minutes": train["seconds"] / 60,
        "job": train["job_id"],
    }


def layout_words(folder: Path, layout: str | None) -> list[str]:
    """What tells the skeleton and the channels of a set that does not say so itself."""
    words = []
    if layout is None and not (folder / "layout.json").exists():
        info = json.loads((folder / "info.json").read_text())
        layout = str(folder / "info.json") if "edges" in info else info["layout"].split()[0]
    if layout:
        words += ["--set", f"model.graph_layout={layout}"]
    if not (folder / "data_card.json").exists():
        words += ["--set", f"model.input_channels={np.load(folder / 'train_data.npy', mmap_mode='r').shape[1]}"]
    return words


def skillbank(action: str, *words: str, workspace: Path) -> dict[str, Any]:
    """Run a job to its end and give its record, with the seconds it took."""
    command = [sys.executable, "-m", "runner.cli", "run", SKILL, action, *words, "--workspace", str(workspace), "--json"]
    began = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    envelope = json.loads(done.stdout)
    if not envelope["ok"]:
        sys.exit(f"{' '.join(command)}\n{json.dumps(envelope['error'], indent=2)}\n{done.stderr[-2000:]}")
    return {**envelope["data"], "seconds": time.monotonic() - began}


def ablations(recipe: dict[str, Any]) -> dict[str, list[str]]:
    """A row for each ingredient of the recipe, taken away: back to the value it has without the recipe."""
    rows = {"the recipe whole": ["--automl", "off"]}
    for title, values in recipe.items():
        rows[f"without {title}"] = ["--automl", "off", *(word for value in values for word in ("--set", value))]
    return rows


# What is taken away in the ablation, and the settings that do it.
INGREDIENTS: dict[str, list[str]] = {
    "centre and scale": ["dataset.preparation.center=none", "dataset.preparation.scale=none"],
    "resampling to a window": ["dataset.preparation.window=-1"],
    "masked padding": ["model.padding=counted"],
    "augmentation": ["dataset.augmentation.enabled=false"],
    "label smoothing": ["train.label_smoothing=0"],
    "averaged weights": ["train.ema_decay=0"],
    "bone and motion": ["dataset.streams=[joint]"],
    "repeating a small set": ["dataset.repeat_to=0"],
    "the leaner network": ["model.model_type=ST-GCN", "model.width=64", "model.stages=[4,3,3]"],
    "AdamW": ["train.optim.optimizer_type=torch.optim.SGD", "train.optim.lr=0.1"],
}


def table(results: dict[str, Any], sets: list[str], titles: dict[str, str]) -> str:
    """The results as Markdown: mean and standard deviation over the seeds, and minutes."""
    lines = ["| | " + " | ".join(sets) + " |", "|---|" + "---|" * len(sets)]
    for row, title in titles.items():
        cells = []
        for name in sets:
            found = [value for key, value in results.items() if key.startswith(f"{name}/{row}/")]
            cells.append(_cell(found))
        lines.append(f"| {title} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cell(found: list[dict[str, Any]]) -> str:
    if not found:
        return ""
    values = [value["accuracy"] for value in found]
    spread = f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else ""
    cost = f" ({statistics.mean(value['minutes'] for value in found):.1f} min" if found[0].get("job") else ""
    gflop = found[0].get("gflop")
    return f"{statistics.mean(values):.1f}{spread}{cost}{f', {gflop:.2f} GFLOP' if gflop else ''}{')' if cost else ''}"


def main() -> None:
    """Fill in what is missing, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", type=Path, nargs="+", metavar="DATA")
    parser.add_argument("--rows", default="majority,nearest,logistic,plain,default")
    parser.add_argument("--ablation", action="store_true", help="each ingredient of the default recipe taken away")
    parser.add_argument("--seeds", default="1,2,3")
    parser.add_argument("--layout", help="of all sets, where they do not say")
    parser.add_argument("--out", type=Path, default=Path("bench/accuracy.json"), help="where results are kept")
    parser.add_argument("--workspace", type=Path, default=Path("workspace"))
    arguments = parser.parse_args()
    results = json.loads(arguments.out.read_text()) if arguments.out.exists() else {}
    rows = ablations(INGREDIENTS) if arguments.ablation else {name: OURS.get(name) for name in arguments.rows.split(",")}
    names = [folder.name for folder in arguments.sets]
    titles = {row: TITLES.get(row, row) for row in rows}
    for row, words in rows.items():
        for folder in arguments.sets:
            for seed in arguments.seeds.split(",") if words else ["-"]:
                key = f"{folder.name}/{row}/{seed}"
                if key not in results:
                    if words is None:
                        results[key] = baseline(row, folder)
                    else:
                        own = [*words, "--set", f"train.seed={seed}"]
                        results[key] = trained(own, folder, arguments.layout, arguments.workspace)
                    arguments.out.write_text(json.dumps(results, indent=1) + "\n")
                    print(f"{key}: {results[key]['accuracy']:.1f}", file=sys.stderr, flush=True)
    print(table(results, names, titles))


if __name__ == "__main__":
    main()
