"""Another tool drives the skill folder: nvidia-tao-automl's AutoMLRunner with its VirtualEnvSDK, three recommendations, a best.

Opt-in, no part of the tests and no dependency. Once, in an environment of its own:

    python -m venv CLIENT && CLIENT/bin/pip install nvidia-tao-automl==7.2.0
    python bench/foreign_client.py --client CLIENT

The trainings run in this interpreter's environment. The folder is handed over as a copy in which two settings of the schema are
said in the client's words, as it has no form for them: a map with free keys, and what is either a name or a path.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

SKILL = Path(__file__).resolve().parent.parent / "skills" / "tao-train-pose-classification"
METRIC = "val_loss"
SEARCHED = ("train.optim.lr", "train.optim.weight_decay", "model.dropout")
INSIDE = "FOREIGN_CLIENT"  # set in the client's own interpreter


def main() -> int:
    """Make data, hand the folder over, print what the client came to; 1 when it picked no best."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--client", type=Path, required=True, help="virtual environment with nvidia-tao-automl")
    parser.add_argument("--data", type=Path, help="folder with TAO's files; default: small synthetic sequences")
    parser.add_argument("--recommendations", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--keep", type=Path, help="work here and leave everything")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = (options.keep or Path(scratch)).resolve()
        data = (options.data or sample(folder / "data")).resolve()
        asked = {
            "skill": str(hand_over(folder / "skill" / SKILL.name, data)),
            "environment": sys.prefix,
            "folder": str(folder),
            "recommendations": options.recommendations,
            "overrides": overrides(data, options.epochs),
            "ranges": ranges(),
        }
        done = subprocess.run(
            [options.client / "bin" / "python", __file__, json.dumps(asked)],
            env={**os.environ, INSIDE: "1"},
            capture_output=True,
            text=True,
            timeout=3600,
            check=False,
        )
        if done.returncode:
            sys.stderr.write(done.stderr)
            return 1
        found = json.loads(done.stdout.splitlines()[-1])
        show(found)
        return 0 if found["best"]["rec_id"] is not None else 1


def sample(folder: Path) -> Path:
    """Synthetic sequences, a few of each class."""
    command = [
        sys.executable,
        "-m",
        "runner.tao_cli",
        "sample_data",
        "--out",
        str(folder),
        "--per-class",
        "6",
        "--frames",
        "24",
    ]
    subprocess.run(command, check=True, capture_output=True, timeout=600)
    return folder


def overrides(data: Path, epochs: int) -> dict[str, Any]:
    """What the user of the client says of the spec."""
    files = {
        f"dataset.{split}_dataset.{kind}_path": str(data / f"{split}_{kind}{end}")
        for split in ("train", "val")
        for kind, end in (("data", ".npy"), ("label", ".pkl"))
    }
    classes = json.loads((data / "label_map.json").read_text())
    steps = {"train.num_epochs": epochs, "dataset.batch_size": 12, "dataset.num_workers": 0}
    return {**files, **steps, "dataset.label_map": classes, "dataset.num_classes": len(classes)}


def hand_over(folder: Path, data: Path) -> Path:
    """The skill folder as the client reads it: the classes of the data are the only ones, and a layout is a text."""
    import yaml

    shutil.copytree(SKILL, folder, dirs_exist_ok=True)
    path = folder / "schemas" / "train.schema.json"
    schema = json.loads(path.read_text())
    classes = json.loads((data / "label_map.json").read_text())
    settings = schema["properties"]
    layout, labels = settings["model"]["properties"]["graph_layout"], settings["dataset"]["properties"]["label_map"]
    layout.pop("anyOf")
    layout["type"] = "string"
    labels.pop("additionalProperties")
    labels |= {"properties": {name: {"type": "integer", "minimum": 0} for name in classes}, "default": classes}
    for whole in (schema["default"], schema.get("popular") or {}):
        if "label_map" in whole.get("dataset", {}):
            whole["dataset"]["label_map"] = classes
    settings["dataset"].get("default", {})["label_map"] = classes
    path.write_text(json.dumps(schema))
    template = folder / "references" / "spec_template_train.yaml"
    spec = yaml.safe_load(template.read_text())
    spec["dataset"]["label_map"] = classes
    template.write_text(yaml.safe_dump(spec))
    return folder


def ranges() -> dict[str, dict[str, float]]:
    """The ranges that the schema says a search should keep to; the client by itself takes all that is valid."""
    from runner import bank

    schema = bank.get(SKILL.name).schema("train")
    spans = {key: schema.leaves()[key]["automl_range"] for key in SEARCHED}
    return {key: {"valid_min": low, "valid_max": high} for key, (low, high) in spans.items()}


def show(found: dict[str, Any]) -> None:
    """What the client says it did."""
    print(f"{'rec':>4} {'status':<10} {METRIC:>9}  job")
    for one in found["history"]:
        value = "-" if one["metric"] is None else f"{one['metric']:.4f}"
        print(f"{one['rec_id']:>4} {one['status']:<10} {value:>9}  {one['job_id']}")
        if one.get("failure_reason"):
            print(f"     {one['failure_reason']}")
    best = found["best"]
    print(f"best: recommendation {best['rec_id']}, {METRIC} {best['metric_value']}")


def inside(asked: dict[str, Any]) -> None:
    """In the client's interpreter: its documented call, its own search over the ranges of the schema."""
    from tao_automl.runner import AutoMLRunner
    from tao_sdk.platforms.virtualenv import VirtualEnvSDK

    folder = Path(asked["folder"])
    sdk = VirtualEnvSDK(venv_path=asked["environment"], work_dir=folder / "jobs")
    runner = AutoMLRunner(sdk, asked["skill"], action="train", poll_interval=1)
    result = runner.run(
        spec_overrides=asked["overrides"],
        automl_hyperparameters=list(asked["ranges"]),
        custom_param_ranges=asked["ranges"],
        automl_settings={
            "algorithm": "bayesian",
            "metric": METRIC,
            "direction": "minimize",
            "automl_max_recommendations": asked["recommendations"],
        },
        workspace_path=str(folder / "automl"),
        gpu_count=0,
    )
    keys = ("rec_id", "job_id", "metric", "status", "failure_reason")
    told = {
        "best": {key: result["best"].get(key) for key in ("rec_id", "job_id", "metric_value")},
        "history": [{key: one.get(key) for key in keys} for one in result["history"]],
        "progress": result["progress"],
    }
    print(json.dumps(told, default=str))


if __name__ == "__main__":
    if os.environ.get(INSIDE):
        inside(json.loads(sys.argv[1]))
    else:
        sys.exit(main())
