"""Items parsed many at a time are those of the standard library; what is broken is said as it says it."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as with_settings
from hypothesis import strategies as st

from stgcn import jsonblocks, jsonlist
from stgcn.errors import DataError
from stgcn.jsonblocks import Block, Reached, Reader

text = st.text(st.sampled_from('ab{}[],:"\\ é𝄞'), max_size=5)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**20), 10**20) | st.floats(allow_nan=False, allow_infinity=False) | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=8,
)
records = st.lists(st.dictionaries(text, values, max_size=3) | values, max_size=10)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tmp_path_factory.mktemp("json") / "x.json"


def items(reader, refuse=lambda first: False):
    """All items as Python values, and how many blocks there were."""
    found, blocks = [], 0
    for piece in reader:
        if isinstance(piece, Block):
            assert piece.first == len(found)
            piece.refused = refuse(piece.first)
            blocks += 1
            if not piece.refused:
                found += piece.items.as_list()
        else:
            found.append(piece)
    return found, blocks


@given(records, st.integers(1, 300), st.sampled_from([None, 1, "\t"]), st.booleans(), st.booleans())
@with_settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_items_are_those_of_json_loads_whatever_is_parsed_at_once(path, value, size, indent, ascii_only, refused):
    path.write_text(" \n" + json.dumps(value, indent=indent, ensure_ascii=ascii_only) + "\n ", encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jsonblocks, "BLOCK", size)
        patch.setattr(jsonblocks, "LONGEST", 4 * size)
        patch.setattr(jsonlist, "CHUNK", size)
        reader = Reader(path)
        assert items(reader, lambda first: refused and first % 2 == 0)[0] == value
    assert reader.done == reader.total == path.stat().st_size


@pytest.mark.parametrize("indent", [None, 1])
@pytest.mark.parametrize("order", [("a", "b"), ("b", "a")])
def test_regular_records_come_in_blocks(path, monkeypatch, indent, order):
    monkeypatch.setattr(jsonblocks, "BLOCK", 1000)
    value = [{key: {"a": n, "b": [{"a": 1}, {"a": 2}]} for key in order[:: (-1) ** n]} for n in range(100)]
    path.write_text(json.dumps(value, indent=indent))
    found, blocks = items(Reader(path))
    assert found == value
    assert path.stat().st_size // 1000 <= blocks < 3 * path.stat().st_size // 1000


def test_a_place_in_an_item_is_not_taken_for_the_end_of_one(path, monkeypatch):
    """Objects in an item look like items, and braces in a string like those of objects."""
    monkeypatch.setattr(jsonblocks, "BLOCK", 120)
    value = [{"a": [{"a": 1}] * 30, "s": "}, {" * n} for n in range(4)]
    path.write_text(json.dumps(value))
    assert items(Reader(path))[0] == value


@pytest.mark.parametrize("stops", [[5], [60], [61, 62], [10**9]])
def test_a_stop_that_is_not_behind_an_item_is_passed(path, stops):
    value = [{"a": n} for n in range(50)]
    path.write_text(json.dumps(value))
    assert items(Reader(path, stops))[0] == value


def test_reading_goes_on_where_it_is_told_to_at_a_stop(path, monkeypatch):
    monkeypatch.setattr(jsonblocks, "BLOCK", 50)
    value = [{"a": n} for n in range(30)]
    path.write_text(json.dumps(value))
    content = path.read_bytes()
    stop, on = content.index(b', {"a": 10}'), content.index(b', {"a": 20}')
    found = []
    for piece in Reader(path, [stop]):
        if isinstance(piece, Reached):
            assert piece.place == jsonlist.Place(stop, stop, 10)
            piece.place = jsonlist.Place(on, on, 20)
        else:
            found += piece.items.as_list() if isinstance(piece, Block) else [piece]
    assert found == value[:10] + value[20:]


def test_reading_ahead_ends_at_a_stop_or_at_what_is_not_regular(path, monkeypatch):
    monkeypatch.setattr(jsonblocks, "BLOCK", 50)
    path.write_text(json.dumps([{"a": n} for n in range(30)] + [float("nan")]))
    content = path.read_bytes()
    begin, stop = content.index(b', {"a": 10}'), content.index(b', {"a": 20}')
    for stops, count in (([stop], 10), ([], 20)):
        blocks, found, place = Reader(path, stops).ahead(jsonlist.Place(begin, 0, 0)), [], None
        while place is None:
            try:
                found += next(blocks).items.as_list()
            except StopIteration as ended:
                place = ended.value
        assert [item["a"] for item in found] == list(range(10, 10 + count))
        assert place.items == count
        assert content[place.offset :].startswith(b', {"a": 20}' if stops else b", NaN")


def test_places_to_begin_at_are_behind_items(path):
    path.write_text(json.dumps([{"a": n, "b": [{"x": 1}, {"x": 2}]} for n in range(200)]))
    content = path.read_bytes()
    found = jsonblocks.places(path, 4, 100)
    assert len(found) == 3
    assert all(content[place - 1 :].startswith(b'}, {"a": ') for place in found)
    assert jsonblocks.places(path, 4, len(content)) == []
    path.write_text("[1, 2, 3]")
    assert jsonblocks.places(path, 4, 1) == []
    assert jsonblocks.places(path.parent / "none", 4, 1) == []


@pytest.mark.parametrize(
    "content",
    ["", " ", "{}", "[", "[1", '[{"a": 1}', '[{"a": 1},', '[{"a": 1},]', '[{"a": 1}] x', '[{"a": 1} {"a": 2}]',
     '[{"a": 1}, {a: 2}]', '[{"a": 1}}]', '[{"a": 1}, {"a": "\\x"}]', '[{"a": 1}, {"a": [}]', '[{"a": 1},, {"a": 2}]',
     '[{"a": 1}, {"a": 1]', "[{}, {}, {]"],
)  # fmt: skip
def test_broken_files_are_said_to_be_as_the_standard_library_says(path, content):
    path.write_text(content)
    with pytest.raises(DataError) as expected:
        list(jsonlist.items(path))
    with pytest.raises(DataError) as caught:
        list(Reader(path))
    assert caught.value.problems == expected.value.problems


def test_characters_are_counted_up_to_the_place_that_is_broken(path, monkeypatch):
    monkeypatch.setattr(jsonblocks, "BLOCK", 60)
    path.write_text("\ufeff[" + '{"é𝄞": 1},\r\n' * 50 + "oops]", encoding="utf-8")
    with pytest.raises(DataError, match=f"broken in record 50, at character {1 + 50 * 12}: Expecting value"):
        list(Reader(path))


def test_missing_files(path):
    for missing in (path.parent / "none.json", path.parent):
        with pytest.raises(DataError, match="cannot be read"):
            list(Reader(missing))


def test_without_simdjson_the_standard_library_reads_all(path, monkeypatch):
    monkeypatch.setitem(sys.modules, "simdjson", None)
    value = [{"a": n} for n in range(50)]
    path.write_text(json.dumps(value))
    assert items(Reader(path)) == (value, 0)
    assert jsonblocks.places(path, 4, 1) == []


def test_simdjson_has_one_room():
    package = Path(jsonblocks.__file__).parent
    rooms = [
        path.name for path in package.rglob("*.py") if re.search(r"^\s*(import|from) simdjson", path.read_text(), re.MULTILINE)
    ]
    assert rooms == ["jsonblocks.py"]
