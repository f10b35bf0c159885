"""Small sets, specs and checkpoints for the tests of the trainer."""

from __future__ import annotations

import functools
import json
import pickle
from pathlib import Path

import numpy as np
import torch
from torch import nn

from stgcn import config, description
from stgcn.graph import LAYOUTS, adjacency
from stgcn.model import STGCN

LABEL_MAP = {"still": 0, "wave": 1, "fall": 2}
FRAMES, JOINTS = 12, 17
SMALL = {"width": 8, "stages": (1, 1)}  # of a network where its size is not the subject: quick to train and to export
KINDS = ("ST-GCN", "ST-GCN++", "CTR-GCN", "Sep-GCN")


def sequences(count: int, *, seed: int = 0, frames: int = FRAMES, persons: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Sequences (N, 3, T, 17, M) whose class shows in the movement, zero-padded at the end, and their class ids."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % len(LABEL_MAP)
    data = rng.normal(0, 0.05, (count, 3, frames, JOINTS, persons)) + rng.normal(0, 0.5, (1, 3, 1, JOINTS, 1))
    time = np.arange(frames)
    data[labels == 1, 0] += np.sin(time)[:, None, None]
    data[labels == 2, 1] -= 0.15 * time[:, None, None]
    for index, length in enumerate(rng.integers(frames - 4, frames + 1, count)):
        data[index, :, length:] = 0
    return data.astype(np.float32), labels


def write_set(folder: Path, split: str, count: int, **kwargs: int) -> dict[str, str]:
    """Write a set as TAO does; returns its paths as the spec names them."""
    folder.mkdir(parents=True, exist_ok=True)
    data, labels = sequences(count, **kwargs)
    np.save(folder / f"{split}_data.npy", data)
    with open(folder / f"{split}_label.pkl", "wb") as file:
        pickle.dump(([f"{split}_{i}" for i in range(count)], labels.tolist()), file, protocol=4)
    return {"data_path": str(folder / f"{split}_data.npy"), "label_path": str(folder / f"{split}_label.pkl")}


def train_spec(folder: Path, results: Path, **train: object) -> dict:
    """A spec that trains a small network on 9 sequences, 2 steps an epoch, and validates on 3."""
    return {
        "results_dir": str(results),
        "model": {"graph_layout": "coco", "width": SMALL["width"], "stages": list(SMALL["stages"])},
        "dataset": {
            "train_dataset": write_set(folder, "train", 9, seed=1),
            "val_dataset": write_set(folder, "val", 3, seed=2),
            "num_classes": 3,
            "label_map": dict(LABEL_MAP),
            "batch_size": 5,
        },
        "train": {"optim": {"lr": 0.01}, **train},
    }


def full_spec(folder: Path, results: Path, **train: object) -> dict:
    """The same with the network in its published size, for tests of its weights, names or losses."""
    return train_spec(folder, results, **train) | {"model": {"graph_layout": "coco"}}


@functools.cache
def network(
    *, layout: str = "coco", strategy: str = "spatial", channels: int = 3, classes: int = 3, seed: int = 0, small: bool = False
) -> STGCN:
    """An untrained network with running statistics of a batch or two; shared by the tests, not to be changed."""
    torch.manual_seed(seed)
    graph = torch.from_numpy(adjacency(LAYOUTS[layout], strategy))
    built = STGCN(graph, channels, classes, **(SMALL if small else {}))
    if (layout, channels) == ("coco", 3):
        for turn in range(2):
            built(torch.from_numpy(sequences(6, seed=turn)[0]))
    return built.eval()


def write_checkpoint(path: Path, *, described: bool = True, prefix: str = "model.", **kwargs: object) -> Path:
    """Write the checkpoint of ``network``: self-describing, or as a plain state dict under ``state_dict``."""
    built = network(**kwargs)
    content: dict = {"state_dict": {prefix + name: value for name, value in built.state_dict().items()}}
    if described:
        model = config.Model(
            graph_layout=kwargs.get("layout", "coco"),
            graph_strategy=kwargs.get("strategy", "spatial"),
            input_channels=kwargs.get("channels", 3),
            **(SMALL if kwargs.get("small") else {}),
        )
        classes = kwargs.get("classes", 3)
        names = LABEL_MAP if classes == 3 else {f"class_{i}": i for i in range(classes)}
        dataset = config.Dataset(num_classes=classes, label_map=names)
        content[description.KEY] = description.describe(model, dataset, window=FRAMES, num_persons=1) | {
            "epoch": 0,
            "step": 2,
            "epochs_completed": 1,
            "metrics": {},
            "spec": {},
        }
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(content, path)
    return path


def described(model: dict, dataset: dict | None = None, classes: int = 3) -> dict:
    """The description of a network by its settings under model and dataset; its layout is coco unless it is said."""
    labels = {f"c{i}": i for i in range(classes)}
    return description.describe(
        config.Model(**{"graph_layout": "coco", **model}),
        config.Dataset(num_classes=classes, label_map=labels, **(dataset or {})),
        window=None,
        num_persons=None,
    )


def lively(built: nn.Module, *shape: int) -> nn.Module:
    """Weights, graphs and running statistics away from their starts, so that nothing hides behind a zero or a one."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, tensor in built.named_parameters():
            if tensor.dim() == 1:
                tensor.add_(torch.rand(tensor.shape, generator=generator) + (0.5 if name.endswith("bn.weight") else 0.0))
            elif name.endswith(("A", "PA")):
                tensor.add_(0.2 * torch.rand(tensor.shape, generator=generator))
        for _ in range(3):
            built(torch.randn(shape, generator=generator) + 0.3)
    return built.eval()


def status_lines(folder: Path) -> list[dict]:
    """The lines of status.json."""
    return [json.loads(line) for line in (folder / "status.json").read_text().splitlines()]
