"""Read a long JSON list item by item, so that memory holds one item and not the file. Standard library only."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from stgcn.errors import DataError

CHUNK = 2**20  # characters read at once
MAX_ITEM = 2**28  # characters of one item
SPACE = " \t\n\r"
LONGEST_TOKEN = 64  # an error this near to the end of what was read may only mean that more must be read


class _Text:
    """What was read of a file and not used yet."""

    def __init__(self, file: TextIO) -> None:
        self.file = file
        self.text = ""
        self.position = 0
        self.used = 0  # characters before ``text``
        self.ended = False

    def more(self) -> bool:
        """Read on, the more the longer the item in hand is; False at the end of the file."""
        self.used += self.position
        self.text, self.position = self.text[self.position :], 0
        chunk = "" if self.ended else self.file.read(max(CHUNK, len(self.text)))
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
    try:
        with open(path, encoding="utf-8-sig") as file:
            yield from _items(str(path), _Text(file))
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise DataError(f"{path} is not a JSON file: it is not UTF-8 text") from None


def _items(path: str, text: _Text) -> Iterator[Any]:
    first = text.peek()
    if first != "[":
        raise DataError(f"{path} is not a JSON list: " + (f"it begins with {first!r}" if first else "it is empty"))
    text.position += 1
    count = 0
    if text.peek() == "]":
        text.position += 1
    else:
        while True:
            yield _item(path, text, count)
            count += 1
            after = text.peek()
            if after not in ("]", ","):
                raise _broken(path, text, count, "expected ',' or ']'" if after else "the file ends; it may be truncated")
            text.position += 1
            if after == "]":
                break
            text.peek()
    if text.peek():
        raise _broken(path, text, count, "there is more after the end of the list")


def _item(path: str, text: _Text, count: int) -> Any:
    while True:
        try:
            value, text.position = _DECODER.raw_decode(text.text, text.position)
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
