from __future__ import annotations

import json
import pickle

import numpy as np
import pytest

from stgcn import arrays
from stgcn.errors import DataError

LABEL_MAP = {"walk": 0, "run": 1}
SHAPE = (4, 3, 6, 17, 1)  # N C T V M
NAMES = ["s0", "s1", "s2", "s3"]


@pytest.fixture
def put(tmp_path):
    def write(data=None, ids=(0, 1, 0, 1), names=NAMES, **changes):
        if data is None:
            data = np.random.default_rng(0).normal(size=SHAPE).astype(np.float32)
        np.save(tmp_path / "data.npy", data)
        (tmp_path / "label.pkl").write_bytes(pickle.dumps((list(names), list(ids)), 4))
        return arguments(tmp_path, **changes)

    return write


def arguments(folder, **changes):
    return {
        "split": "train",
        "data_path": str(folder / "data.npy"),
        "label_path": str(folder / "label.pkl"),
        "channels": 3,
        "num_joints": 17,
        "layout_name": "coco",
        "num_classes": 2,
        "label_map": LABEL_MAP,
        "need_labels": True,
    } | changes


def problems(**given):
    with pytest.raises(DataError) as caught:
        arrays.read_set(**given)
    return caught.value.problems


def test_float32_is_memory_mapped(put):
    skeletons = arrays.read_set(**put())
    assert isinstance(skeletons.data, np.memmap)
    assert skeletons.data.shape == SHAPE
    assert skeletons.names == NAMES
    assert skeletons.labels.tolist() == [0, 1, 0, 1]
    assert (skeletons.notes, skeletons.num_persons, skeletons.split) == ([], 1, "train")


@pytest.mark.parametrize("dtype", ["float64", "float16", "int32", "uint8", ">f4"])
def test_other_numbers_are_converted_and_said(put, dtype):
    data = np.arange(np.prod(SHAPE)).reshape(SHAPE) % 7
    skeletons = arrays.read_set(**put(data.astype(dtype)))
    assert skeletons.data.dtype == np.float32
    assert skeletons.data.dtype.isnative
    np.testing.assert_array_equal(skeletons.data, data)
    assert skeletons.notes == [f"train data was converted from {dtype} to float32"]


def test_persons_come_from_the_data_and_fortran_order_is_read(put):
    data = np.asfortranarray(np.random.default_rng(0).normal(size=(4, 3, 6, 17, 2)).astype(np.float32))
    skeletons = arrays.read_set(**put(data))
    assert skeletons.num_persons == 2
    np.testing.assert_array_equal(skeletons.data, data)


@pytest.mark.parametrize("unset", ["", None, "???"])
def test_labels_may_be_missing_where_they_are_not_needed(put, unset):
    skeletons = arrays.read_set(**put(label_path=unset, need_labels=False))
    assert skeletons.labels is None
    assert skeletons.names == ["0", "1", "2", "3"]
    assert "labels are needed" in problems(**put(label_path=unset))[0]
    assert "no data_path is set" in problems(**put(data_path=unset))[0]


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (np.zeros((4, 3, 6, 17), np.float32), "rank 4"),
        (np.zeros((0, 3, 6, 17, 1), np.float32), r"is empty: its shape is \(0,"),
        (np.zeros((4, 3, 0, 17, 1), np.float32), "is empty: its shape"),
        (np.zeros(SHAPE, complex), "holds complex128"),
        (np.zeros(SHAPE, bool), "holds bool"),
        (np.full(SHAPE, "x"), "holds <U1"),
        (np.array([[1], [1, 2]], dtype=object), "Python objects"),
        (np.zeros((4, 2, 6, 17, 1), np.float32), "C=2 channels, model.input_channels is 3"),
        (np.zeros((4, 3, 6, 18, 1), np.float32), "V=18 joints, model.graph_layout coco has 17; layouts of 18 joints: openpose"),
        (np.zeros((4, 3, 6, 5, 1), np.float32), "no known layout has 5 joints"),
        (np.zeros((3, 3, 6, 17, 1), np.float32), "4 labels for 3 sequences"),
        (np.full(SHAPE, 1e300), "NaN or infinite"),
    ],
)
def test_wrong_arrays(put, data, says):
    found = problems(**put(data))
    assert len(found) == 1
    with pytest.raises(ValueError, match=says):
        raise ValueError(found[0])
    assert found[0].startswith("train data: ")


def test_values_that_are_not_finite_are_named_with_their_sequences(put):
    data = np.zeros(SHAPE, np.float32)
    data[1, 0, 0, 0, 0] = np.nan
    data[3, :, 2, 4, 0] = (np.inf, -np.inf, np.inf)
    found = problems(**put(data))
    assert found == ["train data: 4 values in 2 sequences are NaN or infinite: 1 (s1), 3 (s3); missing joints are written as 0"]


def test_large_but_finite_values_are_fine(put):
    assert len(arrays.read_set(**put(np.full(SHAPE, 3e38, np.float32))).data) == 4


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is empty, 0 bytes"),
        (b"\x93NUM", "truncated"),
        (b"\x93NUMPY\x01\x00v\x00{'descr'", "truncated"),
        (b"PK\x03\x04abc", "npz"),
        (b"hello, world", "is not a .npy file"),
        (pickle.dumps([1, 2]), "is not a .npy file"),
    ],
)
def test_files_that_are_no_arrays(put, tmp_path, content, says):
    given = put()
    (tmp_path / "data.npy").write_bytes(content)
    assert says in problems(**given)[0]


def test_a_truncated_array_is_said_to_be_so(put, tmp_path):
    given = put()
    content = (tmp_path / "data.npy").read_bytes()
    for length in (len(content) - 1, len(content) // 2, 100):
        (tmp_path / "data.npy").write_bytes(content[:length])
        assert "truncated" in problems(**given)[0]


def test_missing_and_odd_paths(put, tmp_path):
    assert "does not exist" in problems(**put(data_path=str(tmp_path / "none.npy")))[0]
    assert "is a folder" in problems(**put(data_path=str(tmp_path)))[0]


def test_all_problems_of_all_sets_are_said_at_once(put, tmp_path):
    first = put(np.zeros((5, 2, 6, 18, 1), np.float32), ids=[0, 1, 2, -1])
    second = arguments(tmp_path, split="val", data_path=str(tmp_path / "none.npy"), label_path="")
    with pytest.raises(DataError) as caught:
        arrays.read_sets([first, second])
    said = caught.value.problems
    assert [text.split(":")[0] for text in said] == ["train data"] * 4 + ["val data"] * 2
    for words in ("C=2", "V=18", "4 labels for 5", "-1 (1 times), 2 (1 times)", "does not exist", "no label_path"):
        assert sum(words in text for text in said) == 1


def test_sets_are_read_in_order(put):
    given = put()
    assert [s.split for s in arrays.read_sets([given, given | {"split": "val"}])] == ["train", "val"]


def test_valid_lengths_end_with_the_last_frame_that_is_not_zero(monkeypatch):
    data = np.zeros((5, 2, 9, 3, 2), np.float32)
    for i, last in enumerate((0, 3, 8, 5)):
        data[i, i % 2, last, i % 3, i % 2] = -1
    monkeypatch.setattr(arrays, "BLOCK_BYTES", 2 * data[0].nbytes)  # so that blocks are really walked
    assert arrays.valid_lengths(data).tolist() == [1, 4, 9, 6, 0]
    assert arrays.valid_lengths(data[:0]).tolist() == []


def test_facts(put):
    data = np.ones(SHAPE, np.float32)
    data[0, :, 3:] = 0  # three valid frames
    data[1, :, 0, :2] = 0  # two joints missing in one frame
    facts = arrays.facts(arrays.read_set(**put(data, ids=[0, 0, 0, 1])), LABEL_MAP)
    assert facts["per_class"] == {"walk": 3, "run": 1}
    assert facts["frames"] == {"min": 3, "median": 6.0, "max": 6}
    assert facts["missing_joint_share"] == pytest.approx(2 / (21 * 17))
    assert (facts["shape"], facts["dtype"], facts["sequences"], facts["persons"]) == (list(SHAPE), "float32", 4, 1)
    assert facts["bytes"] == data.nbytes + 128
    assert len(facts["sha256"]) == 64
    json.dumps(facts, allow_nan=False)


def test_facts_of_nothing_but_zeros(put):
    facts = arrays.facts(arrays.read_set(**put(np.zeros(SHAPE, np.float32), label_path="", need_labels=False)), LABEL_MAP)
    assert facts["frames"] == {"min": 0, "median": 0.0, "max": 0}
    assert (facts["missing_joint_share"], facts["per_class"]) == (0.0, None)
