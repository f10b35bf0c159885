from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stgcn import npy
from stgcn.errors import DataError


def saved(array) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tmp_path_factory.mktemp("npy") / "x.npy"


@pytest.mark.parametrize("array", [np.arange(6.0).reshape(2, 3), np.asfortranarray(np.eye(3)), np.array(["text"])])
def test_arrays_are_memory_mapped(path, array):
    path.write_bytes(saved(array))
    opened = npy.open_array(path, "numbers")
    assert isinstance(opened, np.memmap)
    np.testing.assert_array_equal(opened, array)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is empty, 0 bytes; expected a .npy of numbers"),
        (b"\x93N", "is truncated: it is 2 bytes"),
        (saved(np.arange(100))[:-1], "is truncated: it is 927 bytes"),
        (saved(np.arange(100))[:60], "is truncated: it is 60 bytes"),
        (b"PK\x03\x04", "it is a .npz archive"),
        (b"a,b\n1,2\n", "is not a .npy file; expected numbers"),
        (saved(np.array([[1], [1, 2]], dtype=object)), "holds Python objects"),
        (saved(np.arange(3)).replace(b"(3,)", b"(3**99,)"), "cannot be read as a .npy file"),
        (saved(np.arange(3)).replace(b"'shape'", b"'shape "), "cannot be read as a .npy file"),
    ],
)
def test_other_files_are_said_to_be_so(path, content, says):
    path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        npy.open_array(path, "numbers")
    assert says in str(caught.value)


def test_missing_files_and_folders(path):
    with pytest.raises(DataError, match="does not exist"):
        npy.open_array(path.parent / "none.npy", "numbers")
    with pytest.raises(DataError, match="is a folder"):
        npy.open_array(path.parent, "numbers")


@given(st.integers(0, 127), st.integers(0, 3), st.binary(max_size=4))
@settings(deadline=None, max_examples=300)
def test_a_mutated_header_is_read_or_refused(path, place, removed, put):
    content = bytearray(saved(np.ones((3, 2))))
    content[place : place + removed] = put
    path.write_bytes(bytes(content))
    try:
        opened = npy.open_array(path, "numbers")
    except DataError:
        return
    assert opened.nbytes <= len(content)
