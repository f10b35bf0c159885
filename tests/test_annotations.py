from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import settings as with_settings
from hypothesis import strategies as st

from stgcn import annotations
from stgcn.errors import DataError


def read(tmp_path, text, reader=annotations.read_table):
    path = tmp_path / "table.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return reader(path)


@pytest.mark.parametrize("name", ["walk/a", "a", "deep/walk/a"])
@pytest.mark.parametrize("said", ["a", "a.mp4", "walk/a", "walk\\a.json", "./walk/a"])
def test_a_sample_is_found_by_its_whole_name_or_the_last_part(tmp_path, name, said):
    table = read(tmp_path, f"sample,label\n{said},x\n")
    short = said in ("a", "a.mp4")
    assert (table.get(name) is not None) == (short or name == "walk/a")


@pytest.mark.parametrize(
    ("name", "said"), [("walk/\u00fc", "u\u0308.mp4"), ("walk/u\u0308", "walk/\u00fc"), ("u\u0308", "\u00fc.mp4")]
)
def test_letters_of_two_characters_are_those_of_one(tmp_path, name, said):
    table = read(tmp_path, f"sample,label\n{said},x\n")
    assert table.get(name).label == "x"
    assert not table.unused()


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16"])
def test_another_encoding_is_said_rather_than_misread(tmp_path, encoding):
    with pytest.raises(DataError, match=r"table\.csv is not UTF-8 text, at byte \d+; save it"):
        read(tmp_path, "sample,label\na,st\u00fcrzen\n".encode(encoding))


def test_an_entry_that_could_mean_two_is_not_guessed(tmp_path):
    table = read(tmp_path, "sample,label\na.mp4,x\na.avi,y\n")
    assert table.get("a") is None
    assert table.get("a.avi").label == "y"
    assert table.unused() == ["a.mp4"]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_columns_in_any_order_and_case(tmp_path, delimiter):
    text = "\ufeffSubject,SPLIT,Name,Action\r\np1,train,a,walk\r\n".replace(",", delimiter)
    assert read(tmp_path, text).get("a") == annotations.Said("walk", "p1", "train", None)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no column sample"),
        ("sample,label\n", "has no rows"),
        ("label\nx\n", "no column sample; its columns: label"),
        ("sample,label\na,x\na,y\n,z\n", "line 3: a was already given as x, now as y\n.*line 4: no sample is named"),
    ],
)
def test_tables_that_are_wrong(tmp_path, text, says):
    with pytest.raises(DataError, match=says):
        read(tmp_path, text)


def test_segments(tmp_path):
    found = read(tmp_path, "sample,start,end,label\na,0,10,x\na,10.0,30,y\n", annotations.read_segments)
    assert found.get("a") == [(0, 10, "x"), (10, 30, "y")]
    with pytest.raises(DataError, match=r"line 2: .*\n.*line 3: "):
        read(tmp_path, "sample,start,end,label\na,10,10,x\na,nan,3,y\n", annotations.read_segments)


@with_settings(max_examples=150, deadline=None)
@given(content=st.binary(max_size=200) | st.text(alphabet='samplebe,;\n"0123\t', max_size=200))
def test_whatever_a_table_holds_it_is_read_or_refused(tmp_path_factory, content):
    folder = tmp_path_factory.getbasetemp()
    head = b"sample,start,end,label\n"
    for reader in (annotations.read_table, annotations.read_segments):
        raw = content if isinstance(content, bytes) else content.encode()
        for text in (raw, head + raw):
            with suppress(DataError):
                read(folder, text, reader)
