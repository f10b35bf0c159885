"""How well the classifiers do that a user gets, beside simple baselines, and what each ingredient of the recipe is worth.

    python bench/accuracy.py DATA/natops DATA/posepilot_coco17 [--rows majority,nearest,logistic,plain,default] [--seeds 1,2,3]
    python bench/accuracy.py DATA/natops --ablation [--rows whole,no_mirror,width_64] [--seeds 1,2,3] [--threads 1]
    python bench/accuracy.py --list

Everything of ours goes through `skillbank run`, as a user would, and learns from the training set. Rows are compared on the
VALIDATION set when one of them is to be chosen, and on the TEST set when they are reported; the tables show both, and a choice
that was made by the test column is no result. Baselines learn from the training set for the one, and from training and
validation sets for the other.

Results are kept in --out by set, row and seed, with a digest of the settings and of the recipe under them: what is there is not
run again, and what changed is. A row that a set cannot have (a view of 3D on 2D data) is shown as such. A folder without a
layout.json says which skeleton it holds by an info.json with joints and edges, or by --layout.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from runner import bank
from stgcn.labels import read_labels

SKILL, RECIPE = "tao-train-pose-classification", "small_data"
FRAMES = 16  # of a sequence, for the baselines
UNFIT = 3  # exit code of settings that a set cannot have
BASELINES = {"majority": "the largest class", "nearest": "1-nearest neighbour", "logistic": "logistic regression"}
WHOLE = "whole"


class Row(NamedTuple):
    """A way to train: settings over those of the recipe, and the words of the command line beside them."""

    title: str
    settings: Mapping[str, Any] = {}
    words: tuple[str, ...] = ("--automl", "off")

    @property
    def recipe(self) -> str:
        """The recipe under the settings."""
        return "none" if "--recipe" in self.words else RECIPE

    def digest(self) -> str:
        """Eight hex digits that change with anything that this row would train with."""
        path = bank.get(SKILL).dir / "references" / "recipes" / f"{RECIPE}.yaml"
        content = path.read_text() if self.recipe == RECIPE else ""
        return hashlib.sha256(json.dumps([dict(self.settings), self.words, content]).encode()).hexdigest()[:8]


FOUR = ["joint", "bone", "joint_motion", "bone_motion"]
OURS = {
    "plain": Row(
        "ST-GCN, standard recipe, 40 epochs",
        {"train.num_epochs": 40, "dataset.num_workers": 0},
        ("--automl", "off", "--recipe", "none"),
    ),
    "default": Row("ours by default"),
    "streams": Row("ours, four streams", {"dataset.streams": FOUR}),
    "automl": Row("ours, AutoML in 20 minutes", {}, ("--automl", "on", "--budget", "time=20m", "--budget", "trials=100")),
}
AUGMENTATION, PREPARATION, OPTIM = "dataset.augmentation", "dataset.preparation", "train.optim"
# The recipe less one ingredient: back to what it is without the recipe, or to what stands in its place elsewhere.
INGREDIENTS = {
    WHOLE: Row("the recipe whole"),
    "no_centre_and_scale": Row("neither centred nor scaled", {f"{PREPARATION}.center": "none", f"{PREPARATION}.scale": "none"}),
    "no_window": Row("every frame instead of a window", {f"{PREPARATION}.window": -1}),
    "no_interpolation": Row("lost joints left at zero", {f"{PREPARATION}.interpolate": 0}),
    "no_score_channel": Row("a score taken for a coordinate", {f"{PREPARATION}.confidence_channel": -1}),
    "counted_padding": Row("padding counted like data", {"model.padding": "counted"}),
    "no_augmentation": Row("no augmentation at all", {f"{AUGMENTATION}.enabled": False}),
    "no_rotation": Row("no rotation", {f"{AUGMENTATION}.rotation": 0.0}),
    "no_scale": Row("no stretching", {f"{AUGMENTATION}.scale": 0.0}),
    "no_shear": Row("no shear", {f"{AUGMENTATION}.shear": 0.0}),
    "no_temporal_crop": Row("no cutting in time", {f"{AUGMENTATION}.temporal_crop": 1.0}),
    "no_mirror": Row("no mirror", {f"{AUGMENTATION}.mirror": 0.0}),
    "no_smoothing": Row("no label smoothing", {"train.label_smoothing": 0.0}),
    "no_repeats": Row("every sequence once an epoch, however few", {"dataset.repeat_to": 0}),
    "no_bound": Row("every sequence once an epoch, however many", {"dataset.draw_at_most": -1}),
    "joint_only": Row("joints alone", {"dataset.streams": ["joint"]}),
    "joint_and_bone": Row("joints and bones", {"dataset.streams": ["joint", "bone"]}),
    "stacked_streams": Row("streams stacked as channels of one network", {"dataset.stream_fusion": "input"}),
    "constant_rate": Row("a constant learning rate", {f"{OPTIM}.lr_scheduler": "MultiStep", f"{OPTIM}.lr_steps": []}),
    "no_warm_up": Row("no warm-up", {f"{OPTIM}.warmup_share": 0.0}),
    "sgd": Row(
        "SGD with TAO's rate and decay",
        {f"{OPTIM}.optimizer_type": "torch.optim.SGD", f"{OPTIM}.lr": 0.1, f"{OPTIM}.weight_decay": 1e-4},
    ),
    "decayed_norms": Row("weight decay for norms and biases too", {f"{OPTIM}.decay_norms": True}),
    "no_clipping": Row("no clipping of gradients", {"train.grad_clip": 0.0}),
    "select_best": Row("the epoch with the lowest val_loss, not the last", {"train.select": "best"}),
    "stgcnpp": Row("ST-GCN++ of the same width and depth", {"model.model_type": "ST-GCN++"}),
    "ctrgcn": Row("CTR-GCN of the same width and depth", {"model.model_type": "CTR-GCN"}),
    "stgcn": Row("ST-GCN of the same width and depth", {"model.model_type": "ST-GCN"}),
    "published_stgcn": Row(
        "ST-GCN as published",
        {"model.model_type": "ST-GCN", "model.width": 64, "model.stages": [4, 3, 3], "model.dropout": 0.5},
    ),
    "width_64": Row("width 64", {"model.width": 64}),
    "width_32": Row("width 32", {"model.width": 32}),
}
# What was tried beside the recipe and is not in it.
TRIED = {
    "class_sampler": Row("+ classes drawn alike", {"dataset.class_balance": "sampler"}),
    "class_loss": Row("+ classes weighted in the loss", {"dataset.class_balance": "loss"}),
    "averaged_weights": Row("+ averaged weights", {"train.ema_decay": 0.99}),
    "early_stopping": Row("+ early stopping", {"train.early_stopping": 5}),
    "frontal_view": Row("+ bodies turned to the front", {f"{PREPARATION}.view": "frontal"}),
    "mixup": Row("+ mixup", {f"{AUGMENTATION}.mixup": 0.2}),
    "cutmix": Row("+ cutmix", {f"{AUGMENTATION}.cutmix": 0.5}),
    "dropout": Row("+ dropout 0.2", {"model.dropout": 0.2}),
    "joint_dropout": Row("+ joints left out", {f"{AUGMENTATION}.joint_dropout": 0.05}),
    "frame_dropout": Row("+ frames left out", {f"{AUGMENTATION}.frame_dropout": 0.1}),
    "noise": Row("+ noise", {f"{AUGMENTATION}.noise": 0.01}),
    "four_streams": Row("+ motion of bones", {"dataset.streams": FOUR}),
}
ABLATION = {**INGREDIENTS, **TRIED}


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
    """Accuracies in percent of a classifier that needs no skeleton."""
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
    train, val, test = (Split(folder, name) for name in ("train", "val", "test"))
    chosen = model.fit(train.features(), train.labels).score(val.features(), val.labels)
    began = time.monotonic()
    model.fit(np.concatenate([train.features(), val.features()]), np.concatenate([train.labels, val.labels]))
    minutes = (time.monotonic() - began) / 60
    return {"val": 100 * float(chosen), "test": 100 * float(model.score(test.features(), test.labels)), "minutes": minutes}


def trained(row: Row, seed: str, folder: Path, layout: str | None, workspace: Path, threads: int | None) -> dict[str, Any]:
    """Train and evaluate through the command line; ``{"unfit": why}`` where the set cannot have the settings."""
    settings = {**row.settings, "train.seed": int(seed), **of_set(folder, layout)}
    words = [word for key, value in settings.items() for word in ("--set", f"{key}={json.dumps(value)}")]
    train = skillbank("train", "--dataset", str(folder), *row.words, *words, workspace=workspace, threads=threads)
    if "unfit" in train:
        return train
    parent = ["--dataset", str(folder), "--parent", train["job_id"]]
    test = skillbank("evaluate", *parent, workspace=workspace, threads=threads)
    found = train["metrics"]
    return {
        "val": 100 * found["val_acc"],
        "test": test["metrics"]["accuracy"],
        "interval": test["metrics"].get("accuracy_interval"),
        **{key: found.get(key) for key in ("val_loss", "epochs", "steps", "drawn_per_epoch", "parameters")},
        "gflop": found.get("gflop_per_sequence"),
        "minutes": train["seconds"] / 60,
        "threads": threads,
        "job": train["job_id"],
    }


def of_set(folder: Path, layout: str | None) -> dict[str, Any]:
    """Settings that tell the skeleton and the channels of a set that does not say so itself."""
    settings: dict[str, Any] = {}
    if layout is None and not (folder / "layout.json").exists():
        info = json.loads((folder / "info.json").read_text())
        layout = str(folder / "info.json") if "edges" in info else info["layout"].split()[0]
    if layout:
        settings["model.graph_layout"] = layout
    if not (folder / "data_card.json").exists():
        settings["model.input_channels"] = int(np.load(folder / "train_data.npy", mmap_mode="r").shape[1])
    return settings


def skillbank(action: str, *words: str, workspace: Path, threads: int | None) -> dict[str, Any]:
    """Run a job to its end and give its record, with the seconds it took."""
    command = [sys.executable, "-m", "runner.cli", "run", SKILL, action, *words, "--workspace", str(workspace), "--json"]
    limits = {} if threads is None else dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), str(threads))
    began = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **limits})
    try:
        envelope = json.loads(done.stdout)
    except json.JSONDecodeError:
        sys.exit(f"{' '.join(command)}\n{done.stderr[-2000:]}")
    if done.returncode == UNFIT:
        said = [problem["says"] for problem in envelope["error"]["problems"]] or [envelope["error"]["message"]]
        return {"unfit": "; ".join(said)}
    if not envelope["ok"]:
        sys.exit(f"{' '.join(command)}\n{json.dumps(envelope['error'], indent=2)}\n{done.stderr[-2000:]}")
    return {**envelope["data"], "seconds": time.monotonic() - began}


Results = Mapping[str, Mapping[str, Any]]


def of_row(results: Results, name: str, row: str, digest: str) -> list[Mapping[str, Any]]:
    """What is known of a row on a set, over the seeds."""
    parts = ((key.split("/"), value) for key, value in results.items())
    return [value for (of, which, _, made), value in parts if (of, which, made) == (name, row, digest)]


def table(results: Results, name: str, rows: Mapping[str, Row | None], reference: str) -> str:
    """The rows on one set as Markdown, and how they differ from the ``reference``, in points."""
    head = ("", "validation %", "±points", "test %", "±points", "minutes", "GFLOP", "parameters", "seeds")
    found = {key: of_row(results, name, key, digest_of(row)) for key, row in rows.items()}
    base = [value for value in found.get(reference, []) if "unfit" not in value]
    lines = [f"**{name}**", "", "| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for key, row in rows.items():
        cells = [row.title if row else BASELINES[key]]
        done = [value for value in found[key] if "unfit" not in value]
        if done:
            for column in ("val", "test"):
                cells += [spread(done, column), "" if key == reference else difference(done, base, column)]
            cells += [
                mean(done, "minutes", ".1f"),
                mean(done, "gflop", ".3f"),
                mean(done, "parameters", ",.0f"),
                str(len(done)),
            ]
        elif found[key]:
            cells += [f"cannot: {found[key][0]['unfit'].split(';')[0]}", *[""] * (len(head) - 2)]
        else:
            cells += [""] * (len(head) - 1)
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def over_sets(results: Results, names: Sequence[str], rows: Mapping[str, Row | None], reference: str) -> str:
    """The mean difference of each row from the ``reference`` over all sets that have both, in points."""
    lines = ["**all sets**", "", "| | validation ±points | test ±points | sets |", "|---|---|---|---|"]
    for key, row in rows.items():
        gaps: dict[str, list[float]] = {"val": [], "test": []}
        for name in names:
            ours, base = (
                [value for value in of_row(results, name, one, digest_of(rows.get(one))) if "unfit" not in value]
                for one in (key, reference)
            )
            for column, gap in gaps.items():
                if ours and base and key != reference:
                    gap.append(centre(ours, column) - centre(base, column))
        if gaps["val"]:
            means = " | ".join(f"{statistics.mean(gap):+.1f}" for gap in gaps.values())
            lines.append(f"| {row.title if row else BASELINES[key]} | {means} | {len(gaps['val'])} |")
    return "\n".join(lines)


def digest_of(row: Row | None) -> str:
    """Of a row, or of a baseline, which has no settings."""
    return row.digest() if row else "-"


def centre(found: Sequence[Mapping[str, Any]], column: str) -> float:
    """The mean of a column."""
    return float(statistics.mean(value[column] for value in found))


def spread(found: Sequence[Mapping[str, Any]], column: str) -> str:
    """The mean of a column, and the standard deviation over the seeds where there are several."""
    around = f" ± {statistics.stdev(value[column] for value in found):.1f}" if len(found) > 1 else ""
    return f"{centre(found, column):.1f}{around}"


def difference(found: Sequence[Mapping[str, Any]], base: Sequence[Mapping[str, Any]], column: str) -> str:
    """How the mean of a column differs from that of the base, in points."""
    return f"{centre(found, column) - centre(base, column):+.1f}" if base else ""


def mean(found: Sequence[Mapping[str, Any]], column: str, form: str) -> str:
    """The mean of a column where it is known."""
    known = [value[column] for value in found if value.get(column) is not None]
    return format(statistics.mean(known), form) if known else ""


def chosen_rows(asked: str | None, ablation: bool) -> dict[str, Row | None]:
    """The rows by name; None stands for a baseline."""
    known: dict[str, Row | None] = {**ABLATION} if ablation else {**dict.fromkeys(BASELINES), **OURS}
    names = asked.split(",") if asked else list(known) if ablation else ["majority", "nearest", "logistic", "plain", "default"]
    if unknown := [name for name in names if name not in known]:
        sys.exit(f"no such row: {', '.join(unknown)}; there are {', '.join(known)}")
    return {name: known[name] for name in names}


def listed() -> str:
    """Every row and its settings."""
    lines = [f"{name:20} {title}" for name, title in BASELINES.items()]
    for name, row in {**OURS, **ABLATION}.items():
        said = ", ".join(f"{key}={json.dumps(value)}" for key, value in row.settings.items())
        lines.append(f"{name:20} {row.title}: {said or ' '.join(row.words)}")
    return "\n".join(lines)


def main() -> None:
    """Fill in what is missing, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", type=Path, nargs="*", metavar="DATA")
    parser.add_argument("--rows", help="names, with commas; see --list")
    parser.add_argument("--ablation", action="store_true", help="the default recipe less each ingredient, and with others")
    parser.add_argument("--list", action="store_true", help="the rows and their settings")
    parser.add_argument("--seeds", default="1,2,3")
    parser.add_argument("--layout", help="of all sets, where they do not say")
    parser.add_argument("--threads", type=int, help="of a training; default: as many as torch takes")
    parser.add_argument("--out", type=Path, default=Path("bench/accuracy.json"), help="where results are kept")
    parser.add_argument("--workspace", type=Path, default=Path("workspace"))
    arguments = parser.parse_args()
    if arguments.list:
        print(listed())
        return
    rows = chosen_rows(arguments.rows, arguments.ablation)
    results = json.loads(arguments.out.read_text()) if arguments.out.exists() else {}
    names = [folder.name for folder in arguments.sets]
    for row, one in rows.items():
        for folder in arguments.sets:
            for seed in arguments.seeds.split(",") if one else ["-"]:
                key = f"{folder.name}/{row}/{seed}/{digest_of(one)}"
                if key in results:
                    continue
                if one is None:
                    results[key] = baseline(row, folder)
                else:
                    results[key] = trained(one, seed, folder, arguments.layout, arguments.workspace, arguments.threads)
                    results[key]["settings"] = dict(one.settings)
                keep(arguments.out, results)
                told = results[key].get("unfit") or f"validation {results[key]['val']:.1f}, test {results[key]['test']:.1f}"
                print(f"{key}: {told}", file=sys.stderr, flush=True)
    reference = WHOLE if arguments.ablation else "default"
    tables = [table(results, name, rows, reference) for name in names]
    if len(names) > 1 and reference in rows:
        tables.append(over_sets(results, names, rows, reference))
    print("\n\n".join(tables))


def keep(path: Path, results: Results) -> None:
    """Write the results whole or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(json.dumps(results, indent=1) + "\n")
    os.replace(temporary, path)


if __name__ == "__main__":
    main()
