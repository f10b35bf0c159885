"""What --dataset reads from a folder by the skill's rules."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner import datafolder

PLAN = ("plan", "tao-train-pose-classification", "train", "--automl", "off", "--json", "--dataset", "set")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "set"
    made.mkdir()
    for split in ("train", "val"):
        np.save(made / f"{split}_data.npy", np.zeros((4, 2, 9, 17, 1), np.float32))
        (made / f"{split}_label.pkl").write_bytes(b"")
    return made


def channels(skillbank, *words: str):
    done = skillbank(*PLAN, *words)
    assert done.code == 0, done.err
    data = json.loads(done.out)["data"]
    return data["spec"]["model"]["input_channels"], data["sources"]["model.input_channels"]


def test_the_array_says_how_many_channels(folder, skillbank):
    assert channels(skillbank) == (2, "dataset")
    assert channels(skillbank, "--set", "model.input_channels=3") == (3, "user")


def test_a_data_card_goes_first(folder, skillbank):
    (folder / "data_card.json").write_text('{"input_channels": 5}')
    assert channels(skillbank) == (5, "dataset")


def test_a_broken_array_is_left_to_the_trainer(folder, skillbank):
    (folder / "train_data.npy").write_bytes(b"\x93NUMPY\x01\x00\x76\x00{'shape': (1e9, 'x')}")
    assert channels(skillbank) == (3, "template")


@pytest.mark.parametrize("shape", [(), (3,), (2, 3, 4, 5, 6)])
@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
def test_every_version_of_the_head(tmp_path: Path, shape: tuple[int, ...], version: tuple[int, int]) -> None:
    with open(tmp_path / "x.npy", "wb") as file:
        np.lib.format.write_array(file, np.zeros(shape), version=version)
    assert datafolder._npy_shape((tmp_path / "x.npy").read_bytes()) == shape


@given(st.binary(max_size=200))
def test_wild_bytes(wild: bytes) -> None:
    for head in (b"", b"\x93NUMPY\x01\x00\x76\x00", b"\x93NUMPY\x03\x00\xff\xff\xff\x7f{'shape': "):
        assert isinstance(datafolder._npy_shape(head + wild), tuple)
