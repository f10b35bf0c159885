"""Pickles are read as plain data or refused; whatever they hold, nothing runs, and time and memory are bounded."""

from __future__ import annotations

import builtins
import io
import os
import pickle
import subprocess
import tempfile
import time
import tracemalloc

import numpy as np
import pytest

from stgcn import pickled, pickles


class Reduced:
    """Pickles as a call."""

    def __init__(self, function, *arguments, state=None):
        self.call = (function, arguments, state) if state is not None else (function, arguments)

    def __reduce__(self):
        return self.call


def same(a, b):
    if isinstance(a, np.ndarray) or isinstance(b, np.ndarray):
        return np.array_equal(np.asarray(a), np.asarray(b))
    if isinstance(b, tuple | list):
        return isinstance(a, list) and len(a) == len(b) and all(map(same, a, b))
    return a == b


PLAIN = {
    "lists": (["a", "b"], [0, 1]),
    "list of lists": [["a", "b"], [0, 1]],
    "nothing": ([], []),
    "big": ([f"name_{i}" for i in range(3000)], list(range(3000))),
    "odd numbers": ([-1, 2**40, 2**70, 1.5, True, False, None], [b"bytes", "grüß", ""]),
    "ids in an array": (["a", "b"], np.array([0, 1])),
    "both in arrays": (np.array(["a", "bc"]), np.array([0, 1], dtype=np.int32)),
    "objects in an array": (np.array(["a", "bc"], dtype=object), np.array([0.0, 1.0], dtype=np.float16)),
    "big endian": (np.array([b"x", b"y"]), np.array([3, 4], dtype=">u2")),
    "numpy scalars": (["a", "b"], [np.int64(3), np.uint8(4)]),
    "tiny arrays": (["a", "b"], [np.array(3), np.array([4])]),
    "fortran order": (np.asfortranarray(np.arange(6).reshape(2, 3)), np.arange(0)),
    "one array": np.arange(5),
    "shared": (["a"] * 2, [[1]] * 3),
}


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("name", PLAIN)
def test_plain_data_of_every_protocol(name, protocol):
    assert same(pickles.loads(pickle.dumps(PLAIN[name], protocol)), PLAIN[name])


@pytest.mark.parametrize("protocol", [0, 2, 3, 4])
@pytest.mark.parametrize("name", ["ids in an array", "numpy scalars", "both in arrays"])
def test_arrays_written_by_numpy_1(name, protocol):
    content = pickle.dumps(PLAIN[name], protocol)
    assert b"numpy._core" in content
    content = content.replace(b"\x8c\x16numpy._core", b"\x8c\x15numpy.core").replace(b"numpy._core", b"numpy.core")
    assert same(pickles.loads(content), PLAIN[name])


def test_labels_written_by_python_2():
    content = b"(lp0\n(lp1\nS'a'\np2\naS'b'\np3\naa(lp4\nI0\naI1\naa."
    assert pickles.loads(content) == [["a", "b"], [0, 1]]


TOUCH = os.path.join(tempfile.gettempdir(), f"nothing-may-make-this-{os.getpid()}")
EVIL = {
    "os.system": (Reduced(os.system, f"touch {TOUCH}"), "posix.system"),
    "subprocess": (Reduced(subprocess.Popen, ("touch", TOUCH)), ".Popen'"),
    "eval": (Reduced(builtins.eval, f"open({TOUCH!r}, 'w')"), ".eval'"),
    "exec": (Reduced(builtins.exec, f"open({TOUCH!r}, 'w')"), ".exec'"),
    "getattr": (Reduced(getattr, 1, "real"), ".getattr'"),
    "open": (Reduced(builtins.open, TOUCH, "w"), "open"),
    "nested": (Reduced(Reduced, Reduced(os.system, f"touch {TOUCH}")), "Reduced"),
    "in a list": (([Reduced(os.system, f"touch {TOUCH}")], [0]), "posix.system"),
    "in an object array": (np.array([Reduced(os.system, f"touch {TOUCH}")], dtype=object), "posix.system"),
    "in a tuple key": ((("a",), {"k": Reduced(os.system, f"touch {TOUCH}")}), "a dict"),
    "state of a call": (Reduced(list, state=[Reduced(os.system, f"touch {TOUCH}")]), ".list'"),
    "numpy load": (Reduced(np.load, TOUCH), "numpy.load"),
    "numpy fromfile": (Reduced(np.fromfile, "/etc/passwd"), "fromfile"),
    "numpy memmap": (Reduced(np.memmap, TOUCH, "u1", "w+"), "memmap"),
    "a dict": ({"a": 0}, "a dict"),
    "a set": ({1, 2}, "set"),
    "a complex number": (1j, ".complex'"),
    "structured": (np.zeros(2, dtype=[("a", "i4")]), "dtype"),
    "dates": (np.array(["2020-01-01"], dtype="M8[D]"), "dtype of unknown kind"),
}


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
@pytest.mark.parametrize("name", EVIL)
def test_all_else_is_refused_by_name_and_nothing_runs(name, protocol):
    value, named = EVIL[name]
    with pytest.raises(pickled.PickleRefused) as caught:
        pickles.loads(pickle.dumps(value, protocol))
    assert named in str(caught.value)
    assert not os.path.exists(TOUCH)


def _scalar_bomb():
    """Sixty megabytes, said once and copied a hundred times."""
    size = 30 * 2**20
    call = b"cnumpy._core.multiarray\nscalar\n"
    dtype = b"cnumpy\ndtype\n(V" + f"S{size}".encode() + b"\nI0\nI1\ntR(I3\nV|\nNNNI-1\nI-1\nI0\ntb"
    text = b"B" + size.to_bytes(4, "little") + b"x" * size + b"q\x010"
    again = call + b"h\x02h\x01\x86R"
    return text + dtype + b"q\x020" + b"](" + again * 100 + b"e."


HAND_MADE = {
    "nothing": b"",
    "text": b"hello",
    "stop at once": b".",
    "no stop": b"\x80\x04]",
    "cut short": pickle.dumps((["a"] * 50, [1] * 50), 4)[:60],
    "pop of nothing": b"0.",
    "append to nothing": b"Na.",
    "append to a number": b"I1\nI1\na.",
    "mark that is missing": b"t.",
    "memo that is missing": b"h\x05.",
    "memo of four billion": b"]r\xff\xff\xff\xffj\xff\xff\xff\xfe.",
    "four gigabytes of text": b"X\xff\xff\xff\xffabc.",
    "exabytes": b"\x8e" + (2**62).to_bytes(8, "little") + b"abc.",
    "an endless frame": b"\x95" + (2**62).to_bytes(8, "little") + b"N",
    "a number of many digits": b"L" + b"9" * 100_000 + b"L\n.",
    "extension": b"\x82\x01.",
    "persistent id": b"Pfile\n.",
    "out of band buffer": b"\x97.",
    "old instance": b"(S'x'\nios\nsystem\n.",
    "a call of text": b"S'os.system'\n(tR.",
    "a dtype alone": b"cnumpy\ndtype\n(Vi8\nI0\nI1\ntR.",
    "a class alone": b"cnumpy\nndarray\n.",
    "a class that is called": b"cnumpy\nndarray\n((I9\ntt R.".replace(b" ", b""),
    "an array without content": b"cnumpy._core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntVb\ntR.",
    "a state for a function": b"cnumpy._core.multiarray\n_reconstruct\n(dVx\nI1\nsb.",
    "a state for a class": b"cnumpy\nndarray\n(Vx\nI1\ntb.",
    "a shape of a terabyte": pickle.dumps(np.arange(4), 2).replace(b"K\x04", b"J\xff\xff\xff\x3f"),
    "a negative shape": pickle.dumps(np.arange(4), 2).replace(b"K\x04", b"J\xff\xff\xff\xff"),
    "content too short": pickle.dumps(np.arange(4), 2).replace(b"K\x04", b"K\x05"),
    "a wrong dtype": pickle.dumps(np.arange(4), 2).replace(b"i8", b"i7"),
    "a dtype of fields": pickle.dumps(np.arange(4), 2).replace(b"X\x02\x00\x00\x00i8", b"X\x05\x00\x00\x00i4,i4"),
    "copies of copies": _scalar_bomb(),
    "more than 64 MiB": b"N" * (pickles.MAX_BYTES + 1),
}


@pytest.mark.parametrize("name", HAND_MADE)
def test_broken_and_hostile_bytes_are_refused_in_bounded_time_and_memory(name):
    content = HAND_MADE[name]
    tracemalloc.start()
    start = time.monotonic()
    with pytest.raises(pickled.PickleRefused) as caught:
        pickles.loads(content)
    seconds, peak = time.monotonic() - start, tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(str(caught.value)) < 400
    assert seconds < 5
    assert peak < 256 * 2**20


def test_deep_nesting_neither_overflows_nor_takes_long():
    depth = 200_000
    content = b"\x80\x04" + b"]" * depth + b"a" * (depth - 1) + b"."
    start = time.process_time()
    value = pickles.loads(content)
    assert isinstance(value, list)
    del value
    assert time.process_time() - start < 5


def test_a_billion_laughs_stay_references():
    content = b"\x80\x04]q\x00" + b"".join(
        b"](" + b"h" + bytes([i]) + (b"h" + bytes([i])) * 9 + b"eq" + bytes([i + 1]) for i in range(40)
    )
    tracemalloc.start()
    assert len(pickles.loads(content + b".")) == 10
    assert tracemalloc.get_traced_memory()[1] < 2**20
    tracemalloc.stop()


def test_too_many_instructions_are_refused(monkeypatch):
    monkeypatch.setattr(pickles, "MAX_OPCODES", 1000)
    with pytest.raises(pickled.PickleRefused, match="more than 1000 instructions"):
        pickles.loads(pickle.dumps(([str(i) for i in range(1000)], [0] * 1000)))


def stored(tmp_path, content):
    path = tmp_path / "x.pkl"
    path.write_bytes(content)
    return pickles.load(path)


DICTS = {
    "empty": {},
    "of plain keys": {"a": 1, 2: [3.5], b"c": None, None: "x", True: {}},
    "of annotations": {"split": {"train": ["a"]}, "annotations": [{"frame_dir": "a", "shape": (480, 640), "x": np.float16(2)}]},
    "shared": [{"a": 1}] * 3,
}


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("name", DICTS)
def test_files_may_hold_dicts(tmp_path, name, protocol):
    assert stored(tmp_path, pickle.dumps(DICTS[name], protocol)) == DICTS[name]


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("dtype", ["f2", "f4", ">f8", "u1", "i8"])
def test_long_arrays_of_files_stay_there_until_they_are_looked_at(tmp_path, dtype, protocol):
    array = (np.arange(6000) % 251).reshape(30, 20, 10).astype(dtype)
    array = np.asfortranarray(array) if dtype == "f4" else array
    ragged = np.empty(2, dtype=object)
    ragged[0], ragged[1] = array, array[:3]
    read = stored(tmp_path, pickle.dumps({"one": array, "two": [array, ragged]}, protocol))
    if protocol >= 1:
        assert isinstance(read["one"], pickled.StoredArray)
        assert read["one"].shape == array.shape
    for found in (read["one"], read["two"][0], read["two"][1][0]):
        assert np.array_equal(np.asarray(found), array)
    assert np.array_equal(np.asarray(read["two"][1][1]), array[:3])


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
@pytest.mark.parametrize("name", [name for name in EVIL if name not in ("a dict", "in a tuple key")])
def test_files_with_more_than_plain_data_are_refused_too(tmp_path, name, protocol):
    value, named = EVIL[name]
    for hidden in (value, {"a": value}, {"a": [{"b": (1, value)}]}):
        with pytest.raises(pickled.PickleRefused) as caught:
            stored(tmp_path, pickle.dumps(hidden, protocol))
        assert named in str(caught.value)
    assert not os.path.exists(TOUCH)


# Of a file, neither its size nor what it says again and again is a reason: long contents stay in it.
@pytest.mark.parametrize("name", [name for name in HAND_MADE if name not in ("more than 64 MiB", "copies of copies")])
def test_broken_files_are_refused(tmp_path, name):
    with pytest.raises(pickled.PickleRefused):
        stored(tmp_path, HAND_MADE[name])


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"}I1\nI2\nI3\nu.", "broken"),
        (b"](I1\nI2\nu.", "not a dict"),
        (b"}(I1\nu.", "no value"),
        (pickle.dumps({(1, 2): 3}), "neither text nor small numbers"),
        (pickle.dumps({2**61 - 1: 3}), "neither text nor small numbers"),
        (pickle.dumps({1.5: 3}), "neither text nor small numbers"),
        (pickle.dumps({"x": np.arange(900.0)})[:-200], "too early"),
        (pickle.dumps(np.arange(900, dtype="i8"), 2).replace(b"M\x84\x03", b"M\x85\x19"), "does not fit"),
        (pickle.dumps(np.array(["a" * 90] * 90)), "not of numbers"),
        (b"(cnumpy\nndarray\nI1\nt.", "a class or function"),
        (b"}Vx\n(cnumpy\nndarray\nts.", "a class, a function"),
    ],
)
def test_files_of_odd_dicts_and_arrays_are_refused(tmp_path, content, says):
    with pytest.raises(pickled.PickleRefused, match=says):
        stored(tmp_path, content)


def test_an_array_whose_text_lies_about_its_length_is_refused_when_it_is_read(tmp_path):
    content = pickle.dumps(np.full(900, 255, dtype="u1"), 2)  # each byte is two of UTF-8
    array = stored(tmp_path, content.replace("\xff\xff".encode(), b"abcd"))
    with pytest.raises(pickled.PickleRefused, match="does not fit"):
        np.asarray(array)


def test_what_it_reads_is_what_pickle_reads():
    value = ([f"n{i}" for i in range(500)], np.arange(500))
    content = pickle.dumps(value)
    assert same(pickles.loads(content), pickle.load(io.BytesIO(content)))
