"""The action ``train``: from a spec to checkpoints, curves and a status log. ``main`` is the way through, read downward."""

from __future__ import annotations

import logging
import os
import random
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from stgcn import adapt, arrays, config, consistency, cost, crypto, files, finetune, folds, precision, unheard
from stgcn.action import choose_gpus, redacted, started
from stgcn.augment import window_note
from stgcn.callbacks import LATEST, History
from stgcn.checkpoint import Checkpoint
from stgcn.config import is_set
from stgcn.continuing import read_pretrained, read_resumed, start_from
from stgcn.data import SkeletonData, class_weights, drawn_in_epoch
from stgcn.description import describe, preparation_of
from stgcn.errors import DataError, SpecError
from stgcn.fit import fit, loggers_for
from stgcn.graph import resolve
from stgcn.inspect import before
from stgcn.module import PoseClassifier
from stgcn.network import build
from stgcn.prepare import sizes
from stgcn.status import StatusLog
from stgcn.steering import Control, Noted

log = logging.getLogger("stgcn")


def run(spec: Mapping[str, Any], control: Control | None = None) -> dict[str, Any]:
    """Train as ``spec`` says; ``control`` may end the training after any validation, and what it leaves can be resumed.

    Returns:
        ``metrics``, ``artifacts`` by name, and ``checkpoints``.

    Raises:
        TrainerError: a mistake in the spec, the data, a checkpoint or the resources, or a training that diverged.
    """
    with started("train", spec) as (settings, folder, status):
        return main(settings, folder, status, Noted(control) if control else None)


def main(settings: config.TrainSpec, folder: Path, status: StatusLog, control: Noted | None = None) -> dict[str, Any]:
    """Check everything, build everything, fit, and say what came out."""
    began = time.perf_counter()
    check_spec(settings)
    gpus = choose_gpus("train", settings.train.num_gpus, settings.train.gpu_ids)
    resumed = read_resumed(settings)
    pretrained = None if resumed else read_pretrained(settings)
    given, held = read_data(settings)
    train, val = folds.divide(given, held, settings.dataset, settings.train.seed)
    settings, adaptations = adapted(settings, train, resumed)
    checked = before.look((train, val), resolve(settings.model.graph_layout), settings.dataset.label_map)
    tell(status, [*train.notes, *val.notes, *before.said(checked), *notes(settings, folder, train, resumed)])
    tell(status, adaptations, logging.INFO)
    facts = {s.split: arrays.facts(s, settings.dataset.label_map) for s in (train, val)}
    files.write_json(folder / "data_facts.json", {**facts, "inspection": before.kept(checked)})

    settings, arithmetic = computed(settings, gpus)
    tell(status, arithmetic, logging.INFO)
    seed = seed_everything(settings.train.seed)
    network = build_network(settings)
    description = describe(
        settings.model,
        settings.dataset,
        window=window(settings.dataset, train),
        num_persons=prepared_sizes(settings.dataset, train)[1],
    ) | {"spec": redacted(settings), "trained_on": {split: trained_on(told) for split, told in facts.items()}}
    transfer: dict[str, Any] = {f"{split}_sequences": told["sequences"] for split, told in facts.items()}
    transfer["precision"] = settings.train.precision
    transfer["drawn_per_epoch"] = drawn(settings.dataset, train)
    if pretrained:
        facts_of_start, said = start_from(network, pretrained, description, settings.train)
        transfer |= facts_of_start
        tell(status, [said])
    elif resumed and finetune.KEY in (resumed.description or {}):
        description[finetune.KEY] = (resumed.description or {})[finetune.KEY]
    past = (resumed.description or {}).get("history", []) if resumed else []
    history = History(past=past, last=settings.train.select == "last")
    first_epoch = resumed.epochs_completed if resumed else 0
    module = PoseClassifier(
        network,
        settings.train,
        seed=seed if settings.train.seed >= 0 else None,
        description=description,
        first_epoch=first_epoch,
        augmentation=settings.dataset.augmentation,
        class_weights=balance(settings.dataset, train),
        tuning=finetune.tuning(description, settings.train),
    )
    layout = resolve(settings.model.graph_layout)
    data = SkeletonData(train, val, settings.dataset, seed, first_epoch=first_epoch, layout=layout)
    if resumed:
        status.write("RUNNING", f"Resuming training from checkpoint: {resumed.path}")
    history = fit(
        module,
        data,
        settings.train,
        folder=folder,
        status=status,
        gpus=gpus,
        loggers=loggers_for(settings.wandb, folder),
        history=history,
        checkpoint=resumed.path if resumed else None,
        key=settings.encryption_key if is_set(settings.encryption_key) else None,
        control=control,
    )
    status.write("RUNNING", "Train finished successfully.")
    shape = (settings.model.input_channels, description["window"], layout.num_joints, description["num_persons"])
    transfer["gflop_per_sequence"] = cost.gflop_per_sequence(network, shape)
    if control and control.stopped is not None:
        transfer["stopped_epoch"] = control.stopped
    elif history.rows[-1]["epoch"] + 1 < settings.train.num_epochs:
        transfer["stopped_early"] = history.rows[-1]["epoch"]
    return outcome(folder, history, network, gpus, time.perf_counter() - began, transfer)


def adapted(
    settings: config.TrainSpec, train: arrays.SkeletonSet, resumed: Checkpoint | None
) -> tuple[config.TrainSpec, list[str]]:
    """The settings with every `auto` replaced, and a line about each; a resumed training keeps its preparation."""
    dataset, said = adapt.adapted(settings.dataset, train, resolve(settings.model.graph_layout))
    if resumed and resumed.description:
        dataset = replace(dataset, preparation=preparation_of(resumed.description))
    return replace(settings, dataset=dataset), said


def computed(settings: config.TrainSpec, gpus: list[int]) -> tuple[config.TrainSpec, list[str]]:
    """The settings with the precision that the training computes with, and a line where that had to be found out."""
    wanted = settings.train.precision
    found = precision.chosen(wanted, settings.model.model_type, gpu=bool(gpus))
    said = [f"train.precision=auto: {found} on this machine with {settings.model.model_type}"] if wanted == "auto" else []
    return replace(settings, train=replace(settings.train, precision=found)), said


def check_spec(settings: config.TrainSpec) -> None:
    """Look for what the types and bounds of the settings cannot say, as the plan of a job has done already.

    Raises:
        SpecError: with all problems.
    """
    problems = [str(finding) for finding in consistency.problems(settings)]
    problems += crypto.problems(str(settings.encryption_key)) if is_set(settings.encryption_key) else []
    if problems:
        raise SpecError(problems)


def read_data(settings: config.TrainSpec) -> list[arrays.SkeletonSet]:
    """Read the training and the validation set; a DataError names the problems of both."""
    model, dataset = settings.model, settings.dataset
    layout = resolve(model.graph_layout)
    common = {
        "channels": model.input_channels,
        "num_joints": layout.num_joints,
        "layout_name": layout.name,
        "num_classes": dataset.num_classes,
        "label_map": dataset.label_map,
        "need_labels": True,
    }
    train, val = arrays.read_sets(
        [
            {"split": split, **arrays_of(paths), **common}
            for split, paths in (("train", dataset.train_dataset), ("val", dataset.val_dataset))
        ]
    )
    alike = prepared_sizes(dataset, train)[1] == prepared_sizes(dataset, val)[1]
    if not alike and not dataset.folds and model.padding == "counted":
        raise DataError(
            f"train data has M={train.num_persons} persons and val data M={val.num_persons}: the network averages over all M "
            "slots, so both need the same; set dataset.preparation.persons, pad the smaller one with zeros, cut the larger, or "
            "leave out empty ones with model.padding=masked"
        )
    return [train, val]


def arrays_of(paths: config.DataPaths) -> dict[str, str | None]:
    """The paths of a set, None where TAO's ways of no value stand."""
    return {
        "data_path": paths.data_path if is_set(paths.data_path) else None,
        "label_path": paths.label_path if is_set(paths.label_path) else None,
    }


def prepared_sizes(dataset: config.Dataset, skeletons: arrays.SkeletonSet) -> tuple[int, int]:
    """Frames T and persons M of the set's sequences after preparation."""
    return sizes(int(skeletons.data.shape[2]), skeletons.num_persons, dataset.preparation)


def trained_on(facts: Mapping[str, Any]) -> dict[str, Any]:
    """What a model remembers of a set: how many sequences of each class, and which files by their hashes."""
    hashes = [told["sha256"] for told in facts.get("files", [facts])]
    return {"sequences": facts["sequences"], "per_class": facts["per_class"], "sha256": hashes}


def window(dataset: config.Dataset, train: arrays.SkeletonSet) -> int:
    """Frames T of a sequence as the network sees it in training."""
    frames, _ = prepared_sizes(dataset, train)
    if dataset.window_size < 1:
        return frames
    return dataset.window_size if dataset.random_choose else max(frames, dataset.window_size)


def notes(settings: config.TrainSpec, folder: Path, train: arrays.SkeletonSet, resumed: Checkpoint | None) -> list[str]:
    """What the user may not expect of this training."""
    frames, _ = prepared_sizes(settings.dataset, train)
    said = [
        drawing_note(settings, train),
        window_note(frames, settings.dataset.window_size, settings.dataset.random_choose),
        *unheard.notes(settings),
    ]
    if is_set(settings.encryption_key):
        said.append("encryption_key is set: checkpoints are encrypted with it, and nobody can read them without; keep it well")
    if resumed and is_set(settings.model.pretrained_model_path):
        said.append("model.pretrained_model_path is left out: the training goes on from a checkpoint of its own")
    earlier = sorted(path.name for path in folder.glob("model_epoch_*.pth"))
    if earlier and not resumed:
        said.append(
            f"{folder} holds {len(earlier)} checkpoint(s) of an earlier run ({earlier[0]} to {earlier[-1]}); this run starts "
            "afresh and replaces those of the same names. To go on instead: "
            f"train.resume_training_checkpoint_path={folder / LATEST}"
        )
    return [text for text in said if text]


def drawn(dataset: config.Dataset, train: arrays.SkeletonSet) -> int:
    """Sequences that an epoch draws."""
    return drawn_in_epoch(len(train.data), dataset.repeat_to, dataset.draw_at_most)


def drawing_note(settings: config.TrainSpec, train: arrays.SkeletonSet) -> str:
    """Which part of the set an epoch sees, where it is not all of it."""
    seen, count, epochs = drawn(settings.dataset, train), len(train.data), settings.train.num_epochs
    if seen >= count:
        return ""
    times = epochs * seen / count
    how = "by class" if settings.dataset.class_balance == "sampler" else "each as often as any other"
    return (
        f"dataset.draw_at_most: an epoch draws {seen} of {count} training sequences, others each time; with "
        f"train.num_epochs={epochs} the set is gone through {times:.3g} times, {how}; -1 draws all"
    )


def tell(status: StatusLog, texts: list[str], level: int = logging.WARNING) -> None:
    """Say something to people, by default something to heed, and to the status log."""
    for text in texts:
        log.log(level, text)
        status.write("RUNNING", text)


def balance(dataset: config.Dataset, train: arrays.SkeletonSet) -> np.ndarray | None:
    """What a sequence of each class counts in the loss; None when all count alike."""
    if dataset.class_balance != "loss":
        return None
    assert train.labels is not None
    return class_weights(train.labels, dataset.num_classes)


def seed_everything(seed: int) -> int:
    """Seed all generators and return the seed; -1 draws one, and leaves the generators alone."""
    if seed < 0:
        return int.from_bytes(os.urandom(4), "little")
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    return seed


def build_network(settings: config.TrainSpec) -> nn.Module:
    """An untrained network as the spec describes it."""
    return build(describe(settings.model, settings.dataset, window=None, num_persons=None))


def outcome(
    folder: Path, history: History, network: nn.Module, gpus: list[int], seconds: float, transfer: dict[str, Any]
) -> dict[str, Any]:
    """What the training came to: metrics of the epoch that is the model and of the last, artifacts by name, checkpoints."""
    best, last = history.best() or {}, history.rows[-1]
    checkpoints = history.listed()
    chosen = next((c for c in checkpoints if c["best"]), checkpoints[-1])
    return {
        "metrics": {
            "val_loss": best.get("val_loss"),
            "val_acc": best.get("val_acc"),
            "best_epoch": best.get("epoch"),
            "best_step": best.get("step"),
            "last_val_loss": last["val_loss"],
            "last_val_acc": last["val_acc"],
            "train_loss": last["train_loss"],
            "train_acc": last["train_acc"],
            "epochs": last["epoch"] + 1,
            "steps": last["step"],
            "parameters": cost.parameters(network),
            "seconds": seconds,
            "device": torch.cuda.get_device_name(gpus[0]) if gpus else "cpu",
            **({"streams": chosen["streams"]} if "streams" in chosen else {}),
            **transfer,
        },
        "artifacts": {
            "checkpoint": chosen["path"],
            "latest": str(folder / LATEST),
            "metrics_csv": str(folder / "metrics.csv"),
            "status": str(folder / "status.json"),
            "experiment": str(folder / "experiment.yaml"),
            "data_facts": str(folder / "data_facts.json"),
        },
        "checkpoints": checkpoints,
    }
