"""Which streams a recipe should have, chosen without the test set: cross-validation over training and validation sets together.

    python bench/folds.py DATA/jhmdb14 DATA/natops [--folds 5] [--threads 1] [--out FILE] [--workspace DIR]

The default recipe with all four streams is trained once for each fold, as `skillbank run ... train` does, on all other folds.
Streams have networks of their own, so the same trainings tell what every choice of streams comes to, fused with equal weights,
and what averaging over each sequence and its mirror image adds. All choices see the same networks and sequences, and the table
counts the sequences that a choice has right where three streams have not, and the other way round.

Results are kept in --out by set and fold, and what is there is not run again.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import yaml
from accuracy import FOUR, keep, of_set, skillbank

from stgcn import adapt, config, folds, predict
from stgcn.augment import augmenter
from stgcn.calibration import softmax
from stgcn.description import preparation_of
from stgcn.graph import resolve
from stgcn.prepare import prepare_batch
from stgcn.train import read_data

DEFAULT = FOUR[:3]
CHOICES = [FOUR[:1], FOUR[1:2], FOUR[2:3], FOUR[3:], FOUR[:2], DEFAULT, FOUR]
BATCH = 64


class Answers(NamedTuple):
    """What the networks say of the sequences of a fold: probabilities (streams, N, classes), and class ids (N,)."""

    plain: np.ndarray
    mirrored: np.ndarray
    labels: np.ndarray


def main() -> None:
    """Train what is missing, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", type=Path, nargs="+", metavar="DATA")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--layout", help="of all sets, where they do not say")
    parser.add_argument("--threads", type=int, help="of a training; default: as many as torch takes")
    parser.add_argument("--out", type=Path, default=Path("bench/folds.json"), help="where the jobs are noted")
    parser.add_argument("--workspace", type=Path, default=Path("workspace"))
    options = parser.parse_args()
    jobs: dict[str, Any] = json.loads(options.out.read_text()) if options.out.exists() else {}
    for folder in options.sets:
        for fold in range(options.folds):
            key = f"{folder.name}/{options.folds}/{fold}"
            if key not in jobs:
                jobs[key] = trained(folder, fold, options)
                keep(options.out, jobs)
        print(table(folder.name, [answers(Path(jobs[f"{folder.name}/{options.folds}/{k}"])) for k in range(options.folds)]))


def trained(folder: Path, fold: int, options: argparse.Namespace) -> str:
    """Train on all folds but one; the folder of the results."""
    settings = {"dataset.streams": FOUR, "dataset.folds": options.folds, "dataset.fold": fold, "train.seed": 11 + fold}
    settings |= of_set(folder, options.layout)
    words = [word for key, value in settings.items() for word in ("--set", f"{key}={json.dumps(value)}")]
    asked = ("--dataset", str(folder), "--automl", "off", *words)
    done = skillbank("train", *asked, workspace=options.workspace, threads=options.threads)
    if "unfit" in done:
        sys.exit(f"{folder.name}: {done['unfit']}")
    return str(Path(done["artifacts"]["checkpoint"]).parent.resolve())


def answers(results: Path) -> Answers:
    """The sequences of the fold that the training did not see, through each of its networks."""
    settings = config.from_dict(config.TrainSpec, yaml.safe_load((results / "experiment.yaml").read_text()))
    train, held = folds.divide(*read_data(settings), settings.dataset, settings.train.seed)
    layout = resolve(settings.model.graph_layout)
    model = predict.load(str(results / "pc_model_latest.pth"), settings.model, settings.dataset)
    prepared = preparation_of(model.describe())
    sequences = prepare_batch(np.asarray(held.data[:], dtype=np.float32), prepared, layout)
    dataset, _ = adapt.adapted(settings.dataset, train, layout)
    only = config.Augmentation(enabled=True, rotation=0.0, scale=0.0, mirror=1.0)
    mirror = augmenter(replace(dataset, preparation=prepared, augmentation=only), layout, sequences.shape[1])
    assert mirror is not None
    assert held.labels is not None
    images = np.stack([mirror(sequence, np.random.default_rng(0)) for sequence in sequences])
    found = [said(model, images if flipped else sequences) for flipped in (False, dataset.augmentation.mirror > 0)]
    return Answers(*found, np.asarray(held.labels))


def said(model: predict.Predictor, sequences: np.ndarray) -> np.ndarray:
    """Probabilities (streams, N, classes) of sequences (N, C, T, V, M)."""
    parts = [model.answers(sequences[start : start + BATCH])[1] for start in range(0, len(sequences), BATCH)]
    return np.stack([softmax(stream) for stream in np.concatenate(parts).transpose(1, 0, 2)])


def table(name: str, found: Sequence[Answers]) -> str:
    """The choices of streams on one set, over all folds, as Markdown."""
    labels = np.concatenate([one.labels for one in found])
    rows = {", ".join(choice): fused(found, choice, mirrored=False) for choice in CHOICES}
    rows |= {f"{', '.join(choice)}; and the mirror": fused(found, choice, mirrored=True) for choice in (DEFAULT, FOUR)}
    base = rows[", ".join(DEFAULT)].argmax(axis=1) == labels
    lines = [f"**{name}**: {len(labels)} sequences in {len(found)} folds", ""]
    lines += ["| streams | right, % | log-likelihood | right alone | wrong alone |", "|---|---|---|---|---|"]
    for title, probabilities in rows.items():
        right = probabilities.argmax(axis=1) == labels
        likelihood = np.log(probabilities[np.arange(len(labels)), labels].clip(1e-12)).mean()
        apart = f"{np.sum(right & ~base)} | {np.sum(~right & base)}"
        lines.append(f"| {title} | {100 * right.mean():.1f} | {likelihood:.3f} | {apart} |")
    return "\n".join([*lines, ""])


def fused(found: Sequence[Answers], streams: Sequence[str], *, mirrored: bool) -> np.ndarray:
    """Mean probabilities (N, classes) of the streams over all folds."""
    chosen = [FOUR.index(stream) for stream in streams]
    views = [[one.plain, one.mirrored] if mirrored else [one.plain] for one in found]
    return np.concatenate([np.mean([view[chosen].mean(axis=0) for view in of], axis=0) for of in views])


if __name__ == "__main__":
    main()
