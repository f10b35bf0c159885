from __future__ import annotations

import json
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stgcn import jsonlist
from stgcn.errors import DataError

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=12,
)
records = st.lists(
    st.lists(json_values, max_size=4) | st.dictionaries(st.text(max_size=4), json_values, max_size=3), max_size=8
)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tmp_path_factory.mktemp("json") / "x.json"


@given(records, st.integers(1, 50), st.sampled_from([None, 1, "\t"]), st.booleans())
@settings(deadline=None)
def test_items_are_those_of_json_loads_whatever_is_read_at_once(path, value, chunk, indent, ascii_only):
    path.write_text(" \n" + json.dumps(value, indent=indent, ensure_ascii=ascii_only) + "\n ", encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jsonlist, "CHUNK", chunk)
        assert list(jsonlist.items(path)) == value


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is empty"),
        (b"  \n", "is empty"),
        (b'{"a": 1}', "is not a JSON list: it begins with '{'"),
        (b"[1, 2", "broken in record 2, .*may be truncated"),
        (b'[{"a": 1}, {"a":', "broken in record 1, .*may be truncated"),
        (b'[{"a": "never ends', "broken in record 0, .*may be truncated"),
        (b'[{"a": 1} {"b": 2}]', "broken in record 1, at character 10: expected ',' or ']'"),
        (b'[{"a": 1},]', "broken in record 1, at character 10"),
        (b'[{"a": 1}, {a: 2},' + b" " * 100 + b"]", "broken in record 1, at character 12"),
        (b"[1] x", "broken in record 1, .*more after the end"),
        (b"[" * 200_000, "broken in record 0"),
        (b"[" + b"9" * 5000 + b"]", "broken in record 0"),
        (b'["\xff"]', "not UTF-8"),
    ],
)
def test_broken_lists_say_where(path, content, says):
    path.write_bytes(content)
    with pytest.raises(DataError, match=says):
        list(jsonlist.items(path))


def test_a_byte_order_mark_is_no_content(path):
    path.write_bytes(b"\xef\xbb\xbf[1]")
    assert list(jsonlist.items(path)) == [1]


def test_an_error_early_in_a_long_file_is_found_early(path):
    path.write_text('[{"a": 1}, {"b": oops}' + ', {"c": 1}' * 500_000 + "]")
    tracemalloc.start()
    with pytest.raises(DataError, match="record 1, at character 17"):
        list(jsonlist.items(path))
    assert tracemalloc.get_traced_memory()[1] < 6 * jsonlist.CHUNK
    tracemalloc.stop()


def test_missing_files(path):
    with pytest.raises(DataError, match="cannot be read: No such file"):
        list(jsonlist.items(path.parent / "none.json"))
    with pytest.raises(DataError, match="cannot be read"):
        list(jsonlist.items(path.parent))


def test_an_item_without_end_is_refused(path, monkeypatch):
    monkeypatch.setattr(jsonlist, "CHUNK", 100)
    monkeypatch.setattr(jsonlist, "MAX_ITEM", 1000)
    path.write_text('["' + "x" * 10_000)
    with pytest.raises(DataError, match="too long"):
        list(jsonlist.items(path))


def test_the_pieces_of_an_object(path):
    content = {"fps": 29.97, "none": [], "frames": [{"a": [1, 2]}, 3], "size": {"w": 640}, "last": -12.5e-3}
    path.write_text(json.dumps(content))
    expected = [
        ("value", "fps", 29.97), ("list", "none", None), ("list", "frames", None), ("item", "frames", {"a": [1, 2]}),
        ("item", "frames", 3), ("value", "size", {"w": 640}), ("value", "last", -12.5e-3),
    ]  # fmt: skip
    for chunk in (1, 2, 3, 5, 17, 1000):
        assert [tuple(entry) for entry in jsonlist.entries(path, chunk=chunk)] == expected
    path.write_text("{}")
    assert list(jsonlist.entries(path)) == []


@pytest.mark.parametrize(
    "content", ['{"a"', '{"a":', '{"a": 1', '{"a": 1,', '{"a": 1,}', "{a: 1}", '{"a" 1}', '{"a": [1}', "{} x", "7"]
)
def test_broken_objects_say_so(path, content):
    path.write_text(content)
    with pytest.raises(DataError, match=r"x.json is (broken|not a JSON)"):
        list(jsonlist.entries(path))
