from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stgcn import arrays
from stgcn.consistency import of_classes
from stgcn.errors import DataError
from stgcn.labels import check_labels, read_labels

NAMES, IDS = ["a", "b", "c"], [0, 2, 1]


def write(path: Path, value, protocol=4) -> Path:
    if path.suffix == ".npy":
        np.save(path, value)
    elif path.suffix == ".json":
        path.write_text(json.dumps(value))
    else:
        path.write_bytes(pickle.dumps(value, protocol))
    return path


@pytest.mark.parametrize(
    ("file", "value"),
    [
        ("x.pkl", (NAMES, IDS)),
        ("x.pkl", [NAMES, IDS]),
        ("x.pickle", (tuple(NAMES), np.array(IDS))),
        ("x.pkl", (np.array(NAMES), np.array(IDS, dtype=np.uint8))),
        ("x.pkl", ([b"a", b"b", np.str_("c")], [np.int64(0), np.array(2), np.array([1])])),
        ("x.pkl", (NAMES, [0.0, 2.0, 1.0])),
        ("x.json", [NAMES, IDS]),
        ("x.json", {"names": NAMES, "labels": IDS}),
    ],
)
def test_forms_of_labels(tmp_path, file, value):
    names, ids = read_labels(write(tmp_path / file, value))
    assert names == NAMES
    assert ids.dtype == np.int64
    assert ids.tolist() == IDS


def test_an_array_of_ids_has_numbers_for_names(tmp_path):
    names, ids = read_labels(write(tmp_path / "x.npy", np.array(IDS, dtype=np.int16)))
    assert names == ["0", "1", "2"]
    assert ids.tolist() == IDS


def test_no_labels_are_labels_too(tmp_path):
    names, ids = read_labels(write(tmp_path / "x.pkl", ([], [])))
    assert (names, ids.tolist(), ids.dtype) == ([], [], np.int64)


@pytest.mark.parametrize(
    ("file", "value", "says"),
    [
        ("x.pkl", [0, 1, 2], "expected two lists.*3 items"),
        ("x.pkl", ("ab", [0, 1]), "expected two lists"),
        ("x.pkl", (NAMES, IDS, IDS), "expected two lists"),
        ("x.pkl", (NAMES, [0, 1]), "3 names and 2 class ids"),
        ("x.pkl", 5, "it holds a int"),
        ("x.pkl", {"a": 0}, "holds a dict"),
        ("x.pkl", (NAMES, [0, 1.5, 2]), "not all whole numbers"),
        ("x.pkl", (NAMES, [0, float("nan"), 2]), "class id 1 is nan"),
        ("x.pkl", (NAMES, np.array([0, np.inf, 2])), "not all whole numbers"),
        ("x.pkl", (NAMES, ["0", "1", "2"]), "class id 0 is '0'"),
        ("x.pkl", (NAMES, [0, True, 2]), "class id 1 is True"),
        ("x.pkl", (NAMES, [0, None, 2]), "class id 1 is None"),
        ("x.pkl", (NAMES, [0, 10**5000, 2]), "class id 1 is .*too large"),
        ("x.pkl", (NAMES, [[1, 0], [0, 1], [1, 0]]), "class id 0 is of type list"),
        ("x.pkl", (NAMES, np.eye(3)), "expected two lists"),
        ("x.pkl", ([["a"], "b", "c"], IDS), "a sample name is a list"),
        ("x.pkl", ([10**5000, "b", "c"], IDS), "a sample name is a int"),
        ("x.npy", np.eye(3), r"shape \(3, 3\)"),
        ("x.npy", np.array(NAMES), "class id 0 is 'a'"),
        ("x.npy", np.array([{}, 1], dtype=object), "Python objects"),
        ("x.json", {"a": 1}, "expected two lists"),
    ],
)
def test_other_content_is_refused_in_words(tmp_path, file, value, says):
    path = write(tmp_path / file, value)
    with pytest.raises(DataError, match=says) as caught:
        read_labels(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("file", "content", "says"),
    [
        ("x.pkl", b"", "is empty"),
        ("x.pkl", b"name,label\n", "broken or not a pickle"),
        ("x.pkl", pickle.dumps((NAMES, IDS))[:20], "broken or not a pickle"),
        ("x.json", b"[[", "broken"),
        ("x.json", b"[" * 200_000, "broken"),
        ("x.json", b"\xff\xfe\x00", "broken"),
        ("x.npy", b"\x93NUMPY\x01\x00", "truncated"),
        ("x.npy", b"PK\x03\x04", "npz"),
    ],
)
def test_broken_files(tmp_path, file, content, says):
    path = tmp_path / file
    path.write_bytes(content)
    with pytest.raises(DataError, match=says):
        read_labels(path)


def test_missing_files(tmp_path):
    with pytest.raises(DataError, match="does not exist"):
        read_labels(tmp_path / "none.pkl")
    with pytest.raises(DataError, match="cannot be read"):
        read_labels(tmp_path)


class Evil:
    def __reduce__(self):
        return exec, ("raise SystemExit('it ran')",)


def test_a_malicious_pickle_is_named_and_not_run(tmp_path):
    with pytest.raises(DataError, match=r"'builtins\.exec', which is refused"):
        read_labels(write(tmp_path / "x.pkl", (NAMES, [0, Evil(), 1])))


labelled = st.lists(st.tuples(st.text(st.characters(codec="utf-8"), max_size=20), st.integers(0, 400)), max_size=40)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("labels")


@given(labelled, st.integers(0, pickle.HIGHEST_PROTOCOL), st.booleans())
@settings(deadline=None)
def test_round_trip(folder, pairs, protocol, as_array):
    names, ids = [n for n, _ in pairs], [i for _, i in pairs]
    read_names, read_ids = read_labels(write(folder / "x.pkl", (names, np.array(ids, int) if as_array else ids), protocol))
    assert read_names == names
    assert read_ids.tolist() == ids


VALID = [pickle.dumps((NAMES, kind), protocol) for protocol in (0, 2, 4, 5) for kind in (IDS, np.array(IDS), [np.int64(1)] * 3)]


@given(st.sampled_from(VALID), st.data())
@settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.too_slow])
def test_mutated_pickles_are_read_or_refused(folder, content, data):
    mutated = bytearray(content)
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(mutated) - 1))
        mutated[place : place + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=4))
        if not mutated:
            break
    (folder / "m.pkl").write_bytes(bytes(mutated))
    try:
        names, ids = read_labels(folder / "m.pkl")
    except DataError:
        return
    assert len(names) == len(ids)
    assert ids.dtype == np.int64


def test_check_labels():
    label_map = {"walk": 0, "run": 1}
    assert check_labels(np.array([0, 1, 1]), 2, label_map, 3) == []
    problems = check_labels(np.array([0, 2, -1, 2]), 2, label_map, 3)
    assert problems == [
        "4 labels for 3 sequences; expected one label per sequence",
        "class ids out of range: -1 (1 times), 2 (2 times); allowed are 0 to 1 (0 walk, 1 run)",
    ]


@pytest.mark.parametrize(
    ("label_map", "num_classes", "says"),
    [
        ({"a": 0, "b": 1}, 2, []),
        ({"a": 0, "b": 1}, 3, ["names 2 classes, dataset.num_classes is 3"]),
        ({"a": 0, "b": 0}, 2, ["gives id 0 to a and b", "missing: 1"]),
        ({"a": 1, "b": 2}, 2, ["not contiguous.*out of that range: b: 2; missing: 0"]),
        ({"a": -1}, 1, ["out of that range: a: -1"]),
        ({}, 1, ["names 0 classes"]),
    ],
)
def test_check_label_map(label_map, num_classes, says):
    problems = [str(found) for found in of_classes(label_map, num_classes)]
    assert len(problems) == len(says)
    for problem, pattern in zip(problems, says, strict=True):
        with pytest.raises(ValueError, match=pattern):
            raise ValueError(problem)


# --- CSV ---


def table(tmp_path, text):
    path = tmp_path / "labels.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("sample,label\na,0\nb,1\nc,1\n", [0, 1, 1]),
        ("sample,label\na,walk\nb,run\nc,run", [1, 0, 0]),
        ("\ufeffSample; Class \r\na;walk\r\nb;run\r\n\r\nc;run\r\n", [1, 0, 0]),
        ("label\tsubject\tname\n1.0\tp1\ta\n0\tp2\tb\n0\tp2\tc\n", [1, 0, 0]),
        ('sample,label,note\n"a",walk,"two\nlines"\nb,run,\nc,run,x', [1, 0, 0]),
        ("sample,class_id\na,0\nb,1\nc,1\n", [0, 1, 1]),
        ("sample,label_name\na,walk\nb,run\nc,run", [1, 0, 0]),
    ],
)
def test_a_csv_holds_ids_or_names_of_the_label_map(tmp_path, text, ids):
    names, found = read_labels(table(tmp_path, text), {"run": 0, "walk": 1})
    assert names == ["a", "b", "c"]
    assert found.tolist() == ids
    assert found.dtype == np.int64


@pytest.mark.parametrize(
    ("text", "label_map", "says"),
    [
        ("a,walk\nb,run\n", {"run": 0, "walk": 1}, "no column sample and no label"),
        ("sample,split\na,train\n", {}, "no column label"),
        ("", {}, "no column sample"),
        ("sample,label\n", {}, "no rows"),
        ("sample,label\na,walk\n,run\nc,\n", {"run": 0, "walk": 1}, "line 3: no sample is given"),
        (
            "sample,label\na,walk\nb,swim\n",
            {"run": 0, "walk": 1},
            "'swim': no class of dataset.label_map; it has 'run', 'walk'",
        ),
        ("sample,label\na,walk\n", {}, "'walk': no class of dataset.label_map; it is empty"),
        ("sample,label\na,1\nb,walk\n", {"run": 0, "walk": 1}, "'1': no class of dataset.label_map"),
        ("sample,class_id\na,1\nb,walk\n", {"run": 0, "walk": 1}, "'walk': not a class id"),
        ("sample,label\na,1\nb,1.5\n", {}, "'1.5': not a class id"),
        ("sample,label\na,1\nb,nan\n", {}, "'nan': not a class id"),
        ("sample,label\na,1\nb,1e300\n", {}, "'1e300': not a class id"),
        ("sample,label\na,1\nb,2\n", {"1": 0, "2": 1}, "may be class ids or names of dataset.label_map"),
        (b"sample,label\na,\xff\xfe\n", {"x": 0}, "is not UTF-8 text"),
        (b'sample,label\na,"' + b"x" * 200_000 + b'"\n', {"x": 0}, "not a CSV"),
    ],
)
def test_a_csv_that_cannot_be_used(tmp_path, text, label_map, says):
    with pytest.raises(DataError) as caught:
        read_labels(table(tmp_path, text), label_map)
    assert says in str(caught.value)
    assert len(str(caught.value)) < 1000


def test_classes_with_numbers_for_names_are_told_apart_by_the_column(tmp_path):
    label_map = {"1": 0, "2": 1}
    assert read_labels(table(tmp_path, "sample,class_name\na,1\nb,2\n"), label_map)[1].tolist() == [0, 1]
    assert read_labels(table(tmp_path, "sample,class_id\na,1\nb,0\n"), label_map)[1].tolist() == [1, 0]
    assert read_labels(table(tmp_path, "sample,label\na,0\nb,1\n"), {"0": 0, "1": 1})[1].tolist() == [0, 1]


def test_a_csv_trains_where_a_pickle_does(tmp_path):
    np.save(tmp_path / "d.npy", np.ones((2, 3, 4, 17, 1), np.float32))
    known = {"channels": 3, "num_joints": 17, "layout_name": "coco", "num_classes": 2, "need_labels": True}
    path = table(tmp_path, "sample,label\na,walk\nb,run\n")
    found = arrays.read_set("train", str(tmp_path / "d.npy"), str(path), label_map={"run": 0, "walk": 1}, **known)
    assert (found.names, found.labels.tolist()) == (["a", "b"], [1, 0])
    path = table(tmp_path, "sample,label\na,walk\n")
    with pytest.raises(DataError, match="1 labels for 2 sequences"):
        arrays.read_set("train", str(tmp_path / "d.npy"), str(path), label_map={"run": 0, "walk": 1}, **known)
