"""The schemas of what the runner writes and hands on: valid schemas, real status lines, bundles good and bad."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

from stgcn import status
from stgcn.errors import DataError

SCHEMAS = Path(__file__).parent.parent / "schemas"


def load(name: str) -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(json.loads((SCHEMAS / f"{name}.schema.json").read_text()))


@pytest.mark.parametrize("name", ["job_record", "best_rec", "spec_bundle", "status_line"])
def test_they_are_json_schema_2020_12(name):
    schema = load(name).schema
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["additionalProperties"] is False


def test_real_status_lines_hold(tmp_path):
    with status.session(tmp_path, "train") as log:
        log.write("RUNNING", "Eval metrics generated.", kpi={"val_loss": 0.5, "val_acc": float("nan")})
        log.write("RUNNING", epoch=0, step=3, max_epoch=9, max_step=30, time_per_epoch=1.5, time_per_step=0.01, eta=90_000.0)
    with pytest.raises(DataError), status.session(tmp_path, "evaluate"):
        raise DataError("no labels")
    lines = (tmp_path / "status.json").read_text().splitlines()
    assert len(lines) == 6
    validator = load("status_line")
    for line in lines:
        validator.validate(json.loads(line))


BUNDLE = {
    "network_arch": "pose_classification",
    "action": "train",
    "mode": "config",
    "command": "pose_classification train -e {config_path}",
    "config_format": "yaml",
    "spec": {"train": {"num_epochs": 3, "optim": {"lr_steps": [10, 60]}}, "encryption_key": None},
    "declared_inputs": [{"spec_key": "dataset.train_dataset.data_path", "type": "file", "optional": False, "uri": "s3://b/k"}],
    "declared_outputs": [{"spec_key": "results_dir", "type": "folder"}],
    "upload_excludes": ["inputs/"],
    "compute_shape": {"gpus": 0, "nodes": 1},
    "gpu_spec_key": "train.num_gpus",
    "execution": {"type": "python_script", "script": "scripts/run_action.py"},
}


@pytest.mark.parametrize(
    ("change", "valid"),
    [
        ({}, True),
        ({"image": None}, True),
        ({"image": "nvcr.io/nvidia/tao:6"}, True),
        ({"spec": {"dataset": {"label_map": {"sit.down": 0}}}}, True),
        ({"image": "no-registry"}, False),
        ({"spec": {"train.num_epochs": 3}}, False),
        ({"spec": {"train": {"optim.lr": 3}}}, False),
        ({"command": "pose_classification train"}, False),
        ({"config_format": "ini"}, False),
        ({"mode": "args"}, False),
        ({"mode": "args", "args": {"-e": "x"}}, True),
        ({"compute_shape": {"gpus": -1, "nodes": 1}}, False),
        ({"compute_shape": {"gpus": 1, "nodes": 0}}, False),
        ({"secrets": {}}, False),
    ],
)
def test_spec_bundles(change, valid):
    assert load("spec_bundle").is_valid({**BUNDLE, **change}) is valid


@pytest.mark.parametrize("key", [k for k in BUNDLE if k not in ("gpu_spec_key", "execution")])
def test_what_a_spec_bundle_must_say(key):
    assert not load("spec_bundle").is_valid({k: v for k, v in BUNDLE.items() if k != key})
