"""Read a long JSON document piece by piece, so that memory holds one piece and not the file. Standard library only."""

from __future__ import annotations

import codecs
import json
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Literal, NamedTuple, Protocol

from stgcn.errors import DataError

CHUNK = 2**20  # characters read at once
MAX_ITEM = 2**28  # characters of one item
CUT_SHORT = "the file ends; it may be truncated"
SPACE = " \t\n\r"
LONGEST_TOKEN = 64  # an error this near to the end of what was read may only mean that more must be read


class Entry(NamedTuple):
    """A piece of a JSON document: a member that is no list, the start of a list, or an item of the list begun last."""

    kind: Literal["value", "list", "item"]
    key: str | None  # of the member; None where the document itself is the list
    value: Any = None


class Place(NamedTuple):
    """Where one is in a list: right after one of its items, or after its opening bracket."""

    offset: int  # bytes before it
    characters: int  # the same in characters, a byte order mark not counted
    items: int  # before it


class Characters(Protocol):
    """A source of text."""

    def read(self, count: int, /) -> str:
        """About so many characters; none at the end."""


class _Decoded:
    """A file as text, which knows where in the file its text ends."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.decoder = codecs.getincrementaldecoder("utf-8")()

    def read(self, count: int) -> str:
        while True:
            data = self.file.read(count)
            text = self.decoder.decode(data, final=not data)
            if text or not data:
                return text

    def offset(self) -> int:
        return self.file.tell() - len(self.decoder.getstate()[0])


class _Text:
    """What was read of a file and not used yet."""

    def __init__(self, file: Characters, chunk: int | None = None, used: int = 0) -> None:
        self.file = file
        self.chunk = chunk or CHUNK
        self.text = ""
        self.position = 0
        self.used = used  # characters before ``text``
        self.ended = False

    def more(self) -> bool:
        """Read on, the more the longer the item in hand is; False at the end of the file."""
        self.used += self.position
        self.text, self.position = self.text[self.position :], 0
        chunk = "" if self.ended else self.file.read(max(self.chunk, len(self.text)))
        self.text += chunk
        self.ended = not chunk
        return bool(chunk)

    def peek(self) -> str:
        """Next character that is not white space; '' at the end of the file."""
        while True:
            while self.position < len(self.text):
                if self.text[self.position] not in SPACE:
                    return self.text[self.position]
                self.position += 1
            if not self.more():
                return ""


def items(path: str | Path) -> Iterator[Any]:
    """Give the items of the JSON list in the file ``path``, one after the other.

    Raises:
        DataError: the file is missing, not UTF-8, not a JSON list, or cut short; says where.
    """
    return (entry.value for entry in entries(path, only_list=True) if entry.kind == "item")


def entries(path: str | Path, *, chunk: int | None = None, only_list: bool = False) -> Iterator[Entry]:
    """Give the pieces of a JSON list or object in the file ``path``: lists at the top and right below it come item by item.

    Args:
        path: the file.
        chunk: characters read at once, where CHUNK is too many; small where only the beginning matters.
        only_list: refuse an object.

    Raises:
        DataError: the file is missing, not UTF-8, neither list nor object, or cut short; says where.
    """
    with explained(path), open(path, encoding="utf-8-sig", newline="") as file:
        yield from _document(str(path), _Text(file, chunk), only_list)


@contextmanager
def explained(path: str | Path) -> Iterator[None]:
    """Say in words why the file ``path`` cannot be read, as DataError."""
    try:
        yield
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise DataError(f"{path} is not a JSON file: it is not UTF-8 text") from None


def opened(path: str | Path, file: BinaryIO) -> Place:
    """Go over the opening bracket of the list in ``file``, which stands at its beginning.

    Raises:
        DataError: it is no list.
    """
    mark = len(codecs.BOM_UTF8) if file.read(len(codecs.BOM_UTF8)) == codecs.BOM_UTF8 else 0
    file.seek(mark)
    text = _Text(_Decoded(file))
    _expect_list(str(path), text.peek())
    characters = text.used + text.position + 1
    return Place(mark + characters, characters, 0)  # there is only white space before it


def continued(path: str | Path, file: BinaryIO, place: Place, length: int) -> Generator[Any, None, Place | None]:
    """Give the items after ``place``, of ``length`` bytes or somewhat more together, or up to the end of the list.

    Returns:
        The place after the last one, None at the end of the list, after which nothing else comes.

    Raises:
        DataError: the list is broken; says where.
        UnicodeDecodeError: it is not UTF-8.
    """
    file.seek(place.offset)
    source = _Decoded(file)
    text, count = _Text(source, used=place.characters), place.items
    while not _after(str(path), text, count):
        if count > place.items and text.used + text.position - place.characters >= length:
            text.position -= 1  # back before the comma
            offset = source.offset() - len(text.text[text.position :].encode())
            return Place(offset, text.used + text.position, count)
        text.peek()
        yield _item(str(path), text, count)
        count += 1
    _expect_end(str(path), text, count, "list")
    return None


def _after(path: str, text: _Text, count: int) -> bool:
    """Go over what follows ``count`` items: True at the end of the list."""
    if count:
        return _end(path, text, count, "]")
    if text.peek() != "]":
        return False
    text.position += 1
    return True


def _expect_list(path: str, first: str, what: str = "list") -> None:
    if first != "[":
        raise DataError(f"{path} is not a JSON {what}: " + (f"it begins with {first!r}" if first else "it is empty"))


def _expect_end(path: str, text: _Text, count: int, what: str) -> None:
    if text.peek():
        raise _broken(path, text, count, f"there is more after the end of the {what}")


def _document(path: str, text: _Text, only_list: bool) -> Iterator[Entry]:
    first = text.peek()
    if first == "[":
        count = yield from _list(path, text, None)
    elif first == "{" and not only_list:
        count = yield from _object(path, text)
    else:
        _expect_list(path, first, "list" if only_list else "list or object")
        return
    _expect_end(path, text, count, "list" if first == "[" else "object")


def _list(path: str, text: _Text, key: str | None) -> Generator[Entry, None, int]:
    text.position += 1
    count = 0
    yield Entry("list", key)
    if text.peek() == "]":
        text.position += 1
        return 0
    while True:
        yield Entry("item", key, _item(path, text, count))
        count += 1
        if _end(path, text, count, "]"):
            return count
        text.peek()


def _object(path: str, text: _Text) -> Generator[Entry, None, int]:
    text.position += 1
    count = 0
    if text.peek() == "}":
        text.position += 1
        return 0
    while True:
        key = _item(path, text, count) if text.peek() == '"' else None
        if key is None or text.peek() != ":":
            raise _broken(path, text, count, "expected a name and ':'" if text.peek() else CUT_SHORT)
        text.position += 1
        if text.peek() == "[":
            yield from _list(path, text, key)
        else:
            yield Entry("value", key, _item(path, text, count))
        count += 1
        if _end(path, text, count, "}"):
            return count


def _end(path: str, text: _Text, count: int, bracket: str) -> bool:
    """Go over what follows an item: True at the end of the list or object."""
    after = text.peek()
    if after not in (bracket, ",") or not after:
        raise _broken(path, text, count, f"expected ',' or '{bracket}'" if after else CUT_SHORT)
    text.position += 1
    return after == bracket


def _item(path: str, text: _Text, count: int) -> Any:
    while True:
        try:
            value, end = _DECODER.raw_decode(text.text, text.position)
            length = end - text.position
            if isinstance(value, int | float) and len(text.text) - end < LONGEST_TOKEN and text.more():
                continue  # the rest of the number may not be read yet
            text.position += length
            return value
        except json.JSONDecodeError as error:
            unfinished = error.msg.startswith("Unterminated string")
            if len(text.text) - text.position > MAX_ITEM:
                raise _broken(path, text, count, "the record is too long, or a string in it never ends") from None
            place = text.used + error.pos
            near_the_end = error.pos > len(text.text) - LONGEST_TOKEN
            if not (unfinished or near_the_end) or not text.more():
                at_the_end = unfinished or place >= text.used + len(text.text)
                text.position = place - text.used
                says = f"{error.msg}; the file may be truncated" if at_the_end else error.msg
                raise _broken(path, text, count, says) from None
        except (ValueError, RecursionError) as error:
            raise _broken(path, text, count, str(error)[:100]) from None


def _broken(path: str, text: _Text, count: int, why: str) -> DataError:
    return DataError(f"{path} is broken in record {count}, at character {text.used + text.position}: {why}")


_DECODER = json.JSONDecoder()
