"""The objects of a long JSON list, parsed many at a time by simdjson where that can be done. The one room of simdjson.

Blocks of the file are cut behind what looks like an item. Whether it is one, the parser decides: what begins at an item and is
valid JSON between brackets holds whole items. What it refuses (broken text, NaN, integers beyond 64 bits) goes to the reader
of the standard library, which takes it or knows what is wrong and where.
"""

from __future__ import annotations

import os
import re
from collections.abc import Generator, Iterable, Iterator
from contextlib import suppress
from io import FileIO
from pathlib import Path
from typing import Any

import numpy as np

from stgcn import jsonlist
from stgcn.forked import undisturbed
from stgcn.jsonlist import Place

BLOCK = 2**18  # bytes parsed at once: what the parser makes of them stays in the processor's cache
LONGEST = 2**23  # a block without a whole item grows up to this; longer items are read one by one
SPACE = rb"[ \t\n\r]*"
BEFORE_ITEM = re.compile(rb"(?:\[|\}" + SPACE + rb",)" + SPACE + rb"(?=\{)")
HEAD = re.compile(rb"\{" + SPACE + rb'"[^"\\]*"')  # an item up to its first name
LIST_BEGINS = re.compile(rb"(?:\xef\xbb\xbf)?" + SPACE + rb"\[" + SPACE + rb"(" + HEAD.pattern + rb")")
ITEM_ENDS = re.compile(rb"\}" + SPACE + rb"," + SPACE + rb"\Z")
LIST_ENDS = re.compile(rb"\}" + SPACE + rb"\]" + SPACE + rb"\Z")
COLON, BLANK = b": "
LONGEST_GAP = 1000  # white space looked at between two items


class Block:
    """Items of the list as simdjson's proxies, good until the next block is asked for."""

    def __init__(self, items: Any, first: int) -> None:
        self.items = items  # a simdjson.Array
        self.first = first  # items before it in the list
        self.refused = False  # set it to be given the same items once more, as Python values


def listed(value: Any) -> Any:
    """Return ``value``, a proxy; TypeError when it is none of a list."""
    if not hasattr(value, "as_list"):
        raise TypeError
    return value


class Reached:
    """One of the places the reader was to stop at; reading goes on at ``place``, which may be set to one further on."""

    def __init__(self, place: Place) -> None:
        self.place = place


class Reader:
    """Gives the items of the list in a file, in blocks or one by one; ``done`` of its ``total`` bytes are behind it.

    ``stops`` are bytes of the file, in order. Where one is right behind an item, ``Reached`` is given there; others are passed.
    """

    def __init__(self, path: Path, stops: Iterable[int] = ()) -> None:
        self.path = path
        self.stops = list(stops)
        self.done = self.total = 0
        self.head: bytes | None = None  # how the first item begins; where this is found, another one may begin
        self.buffer = bytearray()

    def __iter__(self) -> Iterator[Block | Reached | Any]:
        """Read the file once.

        Raises:
            DataError: it is missing, not UTF-8, not a list, or broken; says where.
        """
        parser = new_parser()
        with jsonlist.explained(self.path), open(self.path, "rb", buffering=0) as file:
            self.total = os.fstat(file.fileno()).st_size
            place: Place | None = jsonlist.opened(self.path, file)
            while place is not None:
                self.done = place.offset
                if self.stops and place.offset >= self.stops[0]:
                    if place.offset == self.stops.pop(0):
                        reached = Reached(place)
                        yield reached
                        place = reached.place
                    continue
                after = (yield from self._block(parser, file, place)) if parser else None
                place = after or (yield from jsonlist.continued(self.path, file, place, BLOCK))
            self.done = self.total

    def ahead(self, place: Place) -> Generator[Block, None, Place]:
        """Give the blocks from ``place`` up to the first stop, or as far as there are any; the place after the last one."""
        parser = new_parser()
        with open(self.path, "rb", buffering=0) as file:
            while not self.stops or place.offset < self.stops[0]:
                after = yield from self._block(parser, file, place)
                if after is None:
                    break
                place = after
        return place

    def _block(self, parser: Any, file: FileIO, place: Place) -> Generator[Block, None, Place | None]:
        """Give the items that follow; the place after them, None when they have to be read one by one."""
        found = self._parsed(parser, file, place)
        if found is None:
            return None
        items, begin, end = found
        if _may_nest(self.buffer, begin, end):
            return None
        characters = place.characters - 1 + _characters(self.buffer, end)
        after = Place(place.offset - 1 + end, characters, place.items + len(items))
        block = Block(items, place.items)
        del found, items  # the parser works again only when nobody holds what it gave
        yield block
        block.items = None
        return None if block.refused else after

    def _parsed(self, parser: Any, file: FileIO, place: Place) -> tuple[Any, int, int] | None:
        """Whole items, and where in the buffer they begin and end; the buffer begins one byte before the place."""
        size = BLOCK
        while size <= LONGEST:
            stop = self.stops[0] - place.offset + 1 if self.stops else size + 1
            asked = min(size, stop)
            length = self._fill(file, place.offset - 1, asked)
            begins = BEFORE_ITEM.match(self.buffer, 0, length)
            if begins is None:
                return None
            begin = begins.end()
            for end in self._ends(begin, length, at_stop=length == stop, at_the_end=length < asked):
                items = _parse(parser, self.buffer, begin, end)
                if items is not None:
                    return items, begin, end
            if length < asked:
                return None
            if length == stop:
                del self.stops[0]  # it is not behind an item
            else:
                size *= 4
        return None

    def _fill(self, file: FileIO, offset: int, size: int) -> int:
        """Read up to ``size`` bytes into the buffer, which has one byte more; gives how many there are."""
        if len(self.buffer) <= size:
            self.buffer = bytearray(size + 1)
        file.seek(offset)
        with memoryview(self.buffer) as view:
            return file.readinto(view[:size]) or 0

    def _ends(self, begin: int, length: int, *, at_stop: bool, at_the_end: bool) -> Iterator[int]:
        """Where items may end, the likeliest first; a wrong guess costs time and nothing else."""
        if at_stop:
            yield length
        if at_the_end:
            ends = LIST_ENDS.search(self.buffer, max(begin, length - LONGEST_GAP), length)
            if ends:
                yield ends.start() + 1
        if self.head is None:
            head = HEAD.match(self.buffer, begin, length)
            self.head = head.group() if head else b""
        if self.head:
            next_one = self.buffer.rfind(self.head, begin + 1, length)
            ends = ITEM_ENDS.search(self.buffer, max(begin, next_one - LONGEST_GAP), next_one) if next_one > 0 else None
            if ends:
                yield ends.start() + 1
        by_depth = _end_by_depth(self.buffer, begin, length)
        if by_depth:
            yield by_depth


def places(path: Path, parts: int, least: int) -> list[int]:
    """Where to begin to read a file in up to ``parts`` of at least ``least`` bytes at once, the first of them left out.

    It is likely right behind an item there; that it is, only reading up to there can show.
    """
    if new_parser() is None:
        return []
    found: list[int] = []
    with suppress(OSError), open(path, "rb", buffering=0) as file:
        total = os.fstat(file.fileno()).st_size
        parts = min(parts, total // least)
        first = LIST_BEGINS.match(file.read(LONGEST_GAP)) if parts > 1 else None
        for part in range(1, parts if first else 0):
            file.seek(total * part // parts)
            text = file.read(BLOCK)
            next_one = text.find(first.group(1)) if first else -1
            ends = ITEM_ENDS.search(text, max(0, next_one - LONGEST_GAP), next_one) if next_one > 0 else None
            place = total * part // parts + ends.start() + 1 if ends else 0
            if place > max(found, default=0):
                found.append(place)
    return found


def new_parser() -> Any:
    """A simdjson.Parser; None where there is none for this Python, and the standard library reads all."""
    try:
        with undisturbed():
            import simdjson
    except ImportError:
        return None
    return simdjson.Parser()


def _parse(parser: Any, buffer: bytearray, begin: int, end: int) -> Any:
    """A simdjson.Array of what lies between, put between brackets for the time; None when it is no valid JSON."""
    around = buffer[begin - 1], buffer[end]
    buffer[begin - 1], buffer[end] = b"[]"
    try:
        with memoryview(buffer) as view, view[begin - 1 : end + 1] as text:
            return parser.parse(text)
    except (ValueError, RuntimeError):
        return None
    finally:
        buffer[begin - 1], buffer[end] = around


def _may_nest(buffer: bytearray, begin: int, end: int) -> bool:
    """Whether a list may lie right in a list, not behind ``:`` or ``: ``; simdjson would give the numbers of both as of one."""
    place = buffer.find(b"[", begin, end)
    while place >= 0:
        before = buffer[place - 1]
        if before != COLON and (before != BLANK or buffer[place - 2] != COLON):
            return True
        place = buffer.find(b"[", place + 1, end)
    return False


def _end_by_depth(buffer: bytearray, begin: int, length: int) -> int | None:
    """Where the last item ends, were there no braces in strings."""
    text = np.frombuffer(buffer, np.uint8, length - begin, begin)
    braces = np.flatnonzero((text == ord("{")) | (text == ord("}")))
    outside = np.flatnonzero(np.cumsum(np.where(text[braces] == ord("{"), 1, -1)) == 0)
    return begin + int(braces[outside[-1]]) + 1 if len(outside) else None


def _characters(buffer: bytearray, end: int) -> int:
    return end if buffer.isascii() else len(bytes(buffer[:end]).decode())
