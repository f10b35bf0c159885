from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

import numpy as np
import pytest

from stgcn import files
from stgcn.errors import ResourceError, SpecError


@pytest.mark.parametrize(
    ("root", "own", "expected"),
    [("/r", "", "/r/train"), ("/r", "/own", "/own"), ("", "/own", "/own"), ("/r", None, "/r/train"), ("/r", "???", "/r/train")],
)
def test_results_dir(root, own, expected):
    assert files.results_dir(root, own, "train") == Path(expected)


@pytest.mark.parametrize("unset", ["", None, "???"])
def test_results_dir_of_nothing_says_what_to_set(unset):
    with pytest.raises(SpecError, match=r"results_dir is empty.*train\.results_dir"):
        files.results_dir(unset, unset, "train")


def test_files_are_written_with_their_folder_and_leave_nothing_else(tmp_path):
    target = tmp_path / "a" / "b" / "x.txt"
    files.write_text(target, "grüß")
    files.write_bytes(target, b"second")
    assert target.read_bytes() == b"second"
    assert os.listdir(target.parent) == ["x.txt"]


def test_a_write_that_fails_keeps_the_old_file(tmp_path):
    target = files.write_text(tmp_path / "x.npy", "old")

    def fail():
        with files.replacing(target) as temporary:
            assert temporary.suffix == ".npy"
            assert temporary.parent == tmp_path
            temporary.write_text("half")
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert target.read_text() == "old"
    assert os.listdir(tmp_path) == ["x.npy"]


def test_json_is_strict(tmp_path):
    value = {"a": float("nan"), "b": [np.float32(0.5), np.int64(3), float("inf")], "c": (tmp_path, True), 4: np.arange(2)}
    path = files.write_json(tmp_path / "x.json", value)
    expected = {"a": None, "b": [0.5, 3, None], "c": [str(tmp_path), True], "4": [0, 1]}
    assert json.loads(path.read_text(), parse_constant=pytest.fail) == expected


def test_an_unwritable_folder_is_said_in_words(tmp_path):
    (tmp_path / "file").write_text("")
    for write in (lambda p: files.write_text(p / "x", ""), files.make_folder):
        with pytest.raises(ResourceError, match=r"results folder .*file.* cannot be written: "):
            write(tmp_path / "file" / "sub")


@pytest.fixture
def read_only():
    """A folder this process may not write; root, who may write everywhere, is nobody meanwhile."""
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o555)
        user = os.geteuid()
        if user == 0:
            os.seteuid(65534)
        yield Path(name)
        os.seteuid(user)
        os.chmod(name, 0o755)


def test_a_read_only_folder_is_unwritable(read_only):
    with pytest.raises(ResourceError, match="Permission denied"):
        files.make_folder(read_only)


def test_sha256(tmp_path):
    (tmp_path / "x").write_bytes(b"abc")
    assert files.sha256(tmp_path / "x").startswith("ba7816bf8f01cfea")


def test_half_a_character_of_a_hostile_file_is_written(tmp_path):
    assert json.loads(files.write_json(tmp_path / "x.json", {"name": "\ud800"}).read_text()) == {"name": "\ud800"}
