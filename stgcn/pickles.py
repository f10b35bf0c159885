"""Read plain data out of a pickle without running it: the opcodes are interpreted here, and nothing is ever called.

Lists, tuples, strings, bytes, numbers, booleans, None, and numpy arrays and scalars (as numpy 1 and 2 write them); dicts
with plain keys where the caller asks for them. Of a large file, long arrays stay on disk until somebody looks at them.
"""

from __future__ import annotations

import io
import pickletools
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from stgcn.pickled import (
    ALLOWED,
    Array,
    Dtype,
    Global,
    PickleRefused,
    Span,
    encode,
    finished,
    make_array,
    make_dtype,
    make_scalar,
    need,
)

MAX_BYTES = 64 * 2**20
MAX_OPCODES = 10_000_000
LONG = 1024  # bytes from which the content of an array is left in the file


def loads(content: bytes) -> Any:
    """Rebuild the plain data of a pickle, without dicts.

    Time and memory are bounded by the size of ``content``, which is at most MAX_BYTES.

    Raises:
        PickleRefused: anything else than plain data is in it, it is cut short, or it is too large.
    """
    if len(content) > MAX_BYTES:
        raise PickleRefused(f"it is larger than {MAX_BYTES >> 20} MiB")
    return _read(_Reader(_instructions(io.BytesIO(content), len(content)), len(content)))


def load(path: str | Path) -> Any:
    """Rebuild the plain data of the pickle in a file of any size, dicts with plain keys included.

    Arrays of LONG bytes or more are pickled.StoredArray, of which memory holds nothing; the rest is bounded by the file's size.

    Raises:
        PickleRefused: anything else than plain data is in it, or it is cut short.
        OSError: it cannot be opened.
    """
    path = Path(path)
    size = path.stat().st_size
    with path.open("rb") as file:
        return _read(_Reader(_instructions(file, size, path), size, dicts=True))


def _read(reader: _Reader) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pickletools warns of odd escapes in broken text
            return reader.run()
    except PickleRefused:
        raise
    except (ValueError, IndexError, KeyError, TypeError, OverflowError, MemoryError) as error:
        raise PickleRefused(f"it is broken or not a pickle ({str(error)[:100] or type(error).__name__})") from None


def _instructions(file: BinaryIO, size: int, path: Path | None = None) -> Iterator[tuple[str, Any]]:
    """Name and argument of each instruction; of a file that has a path, long contents as spans."""
    while True:
        code = file.read(1)
        opcode = _OPCODES.get(code)
        if opcode is None:
            raise ValueError(f"instruction {code!r} is unknown" if code else "it ends too early")
        width = _SIZED.get(opcode.name)
        if width is None or path is None:
            yield opcode.name, opcode.arg.reader(file) if opcode.arg else None
        else:
            yield opcode.name, _content(file, size, path, width, "UNICODE" in opcode.name)
        if opcode.name == "STOP":
            return


def _content(file: BinaryIO, size: int, path: Path, width: int, is_text: bool) -> Any:
    prefix = file.read(width)
    length, offset = int.from_bytes(prefix, "little"), file.tell()
    if len(prefix) < width or length > size - offset:
        raise ValueError("it ends too early")
    if length >= LONG:
        file.seek(length, io.SEEK_CUR)
        return Span(path, offset, length, is_text)
    return str(file.read(length), "utf-8", "surrogatepass") if is_text else file.read(length)


class _Reader:
    """A pickle machine with a stack, marks and a memo, whose instructions only make plain data."""

    def __init__(self, instructions: Iterator[tuple[str, Any]], size: int, dicts: bool = False) -> None:
        self.instructions = instructions
        self.dicts = dicts
        self.most_instructions = max(MAX_OPCODES, size // 16)
        self.most_copied = 2 * max(MAX_BYTES, size)
        self.stack: list[Any] = []
        self.marks: list[list[Any]] = []
        self.memo: dict[int, Any] = {}
        self.copied = 0

    def run(self) -> Any:
        for count, (name, argument) in enumerate(self.instructions):
            if count > self.most_instructions:
                raise PickleRefused(f"it has more than {self.most_instructions} instructions")
            if name in _LITERALS:
                self.stack.append(argument)
            elif name in _INSTRUCTIONS:
                _INSTRUCTIONS[name](self, argument)
            elif name in _DICTS and self.dicts:
                _DICTS[name](self, argument)
            else:
                raise PickleRefused(f"it holds {_HOLDS.get(name, f'the instruction {name}')}; allowed are {ALLOWED}")
        result = _value(self.stack.pop())
        _check(result)
        return result

    def push(self, item: Any) -> None:
        self.stack.append(item)

    def pop_mark(self) -> list[Any]:
        items = self.stack
        self.stack = self.marks.pop()
        return items

    def drop_mark(self, _: Any) -> None:
        self.pop_mark()

    def mark(self, _: Any) -> None:
        self.marks.append(self.stack)
        self.stack = []

    def append(self, _: Any) -> None:
        item = self.stack.pop()
        self._list().append(item)

    def appends(self, _: Any) -> None:
        items = self.pop_mark()
        self._list().extend(items)

    def _list(self) -> list[Any]:
        target = self.stack[-1]
        if not isinstance(target, list):
            raise PickleRefused("it appends to something that is not a list")
        return target

    def make_dict(self, _: Any) -> None:
        made: dict[Any, Any] = {}
        _set_items(made, self.pop_mark())
        self.stack.append(made)

    def set_item(self, _: Any) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        _set_items(self.stack[-1], [key, value])

    def set_items(self, _: Any) -> None:
        items = self.pop_mark()
        _set_items(self.stack[-1], items)

    def make_tuple(self, size: int) -> None:
        if len(self.stack) < size:
            raise IndexError("stack is empty")
        items = tuple(self.stack[-size:])
        self.stack[-size:] = [items]

    def memoize(self, index: int | None) -> None:
        index, item = len(self.memo) if index is None else index, self.stack[-1]
        self.memo[index] = item
        if isinstance(item, Array):
            item.places.append(index)

    def find_global(self, name: str) -> None:
        if name not in _GLOBALS:
            raise PickleRefused(f"it refers to {name[:200]!r}, which is refused; allowed are {ALLOWED}")
        self.stack.append(Global(_GLOBALS[name]))

    def stack_global(self, _: Any) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        need(isinstance(name, str) and isinstance(module, str), "a name that is not text")
        self.find_global(f"{module}.{name}")

    def reduce(self, _: Any) -> None:
        arguments, function = self.stack.pop(), self.stack.pop()
        need(isinstance(function, Global) and isinstance(arguments, tuple), "a call of something that is not a function")
        makers: dict[str, Callable[..., Any]] = {
            "reconstruct": lambda *_: Array(),
            "frombuffer": make_array,
            "scalar": make_scalar,
            "dtype": make_dtype,
            "bytes": lambda: b"",
            "encode": encode,
        }
        maker = makers.get(function.name)
        if maker is None:
            raise PickleRefused("it calls a numpy class in an unknown way")
        self.charge(arguments)
        self.stack.append(maker(*arguments))

    def charge(self, arguments: Any) -> None:
        """Count what is going to be copied: a few instructions may name the same long text again and again."""
        for argument in arguments if isinstance(arguments, tuple) else ():
            if isinstance(argument, str | bytes | bytearray | list):
                self.copied += len(argument) * (8 if isinstance(argument, list) else 1)
        if self.copied > 2 * MAX_BYTES:
            raise PickleRefused("it unfolds to more than it holds")

    def build(self, _: Any) -> None:
        state, target = self.stack.pop(), self.stack[-1]
        need(isinstance(target, Array | Dtype), "an object with a state")
        self.charge(state)
        target.build(state)
        if isinstance(target, Array):  # it is made: whoever names it means the array
            made: Any = target.value
            self.stack[-1] = made
            self.memo.update((index, made) for index in target.places if self.memo.get(index) is target)


def _set_items(target: Any, items: list[Any]) -> None:
    if not isinstance(target, dict):
        raise PickleRefused("it sets keys of something that is not a dict")
    need(len(items) % 2 == 0, "a dict with a key that has no value")
    for key, value in zip(items[::2], items[1::2], strict=True):
        # nothing deep or of a chosen hash: those could stop or crash a reader
        plain = key is None or type(key) in (str, bytes, bool) or (type(key) is int and abs(key) < 2**31)
        need(plain, "a dict with keys that are neither text nor small numbers")
        target[key] = value


def _check(item: Any) -> None:
    """Look through all that was read, each container once: nothing half made or callable may be in it."""
    seen: set[int] = set()
    waiting: list[Any] = [item]
    while waiting:
        item = waiting.pop()
        need(not isinstance(item, Global | Dtype | Array), "a class, a function or an unfinished array")
        if isinstance(item, list | tuple | dict) and id(item) not in seen:
            seen.add(id(item))
            waiting.extend(item.values() if isinstance(item, dict) else item)


def _value(item: Any) -> Any:
    """Take numpy arrays out of their making, down to the members of the members of ``item``."""
    if isinstance(item, list | tuple):
        return [_members(member) for member in item]
    return finished(item)


def _members(item: Any) -> Any:
    if isinstance(item, list | tuple):
        return [finished(member) for member in item]
    return finished(item)


_NUMPY = {
    "multiarray._reconstruct": "reconstruct",
    "multiarray.scalar": "scalar",
    "numeric._frombuffer": "frombuffer",
}
_GLOBALS = {f"numpy.{core}.{name}": token for core in ("core", "_core") for name, token in _NUMPY.items()} | {
    "numpy.ndarray": "ndarray",
    "numpy.dtype": "dtype",
    "_codecs.encode": "encode",
    "builtins.bytes": "bytes",
    "__builtin__.bytes": "bytes",
}
_OPCODES = {opcode.code.encode("latin-1"): opcode for opcode in pickletools.opcodes}
_SIZED = {"BINUNICODE": 4, "BINUNICODE8": 8, "BINBYTES": 4, "BINBYTES8": 8, "BYTEARRAY8": 8}  # bytes of the length
_NUMBERS = ("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT")
_TEXTS = ("STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8")
_LITERALS = frozenset((*_NUMBERS, *_TEXTS, "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"))
_HOLDS = {
    **dict.fromkeys(("EMPTY_DICT", "DICT"), "a dict"),
    **dict.fromkeys(("EMPTY_SET", "FROZENSET"), "a set"),
    **dict.fromkeys(("INST", "OBJ", "NEWOBJ", "NEWOBJ_EX", "EXT1", "EXT2", "EXT4"), "an object"),
    **dict.fromkeys(("PERSID", "BINPERSID", "NEXT_BUFFER"), "a reference to something outside the file"),
}
_INSTRUCTIONS: dict[str, Callable[[_Reader, Any], None]] = {
    **dict.fromkeys(("PROTO", "FRAME", "STOP"), lambda reader, _: None),
    "NONE": lambda reader, _: reader.push(None),
    "NEWTRUE": lambda reader, _: reader.push(True),
    "NEWFALSE": lambda reader, _: reader.push(False),
    "MARK": _Reader.mark,
    "POP": lambda reader, _: reader.stack.pop(),
    "DUP": lambda reader, _: reader.push(reader.stack[-1]),
    "POP_MARK": _Reader.drop_mark,
    "EMPTY_LIST": lambda reader, _: reader.push([]),
    "LIST": lambda reader, _: reader.push(reader.pop_mark()),
    "APPEND": _Reader.append,
    "APPENDS": _Reader.appends,
    "EMPTY_TUPLE": lambda reader, _: reader.push(()),
    "TUPLE": lambda reader, _: reader.push(tuple(reader.pop_mark())),
    "TUPLE1": lambda reader, _: reader.make_tuple(1),
    "TUPLE2": lambda reader, _: reader.make_tuple(2),
    "TUPLE3": lambda reader, _: reader.make_tuple(3),
    **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"), _Reader.memoize),
    **dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), lambda reader, index: reader.push(reader.memo[index])),
    "GLOBAL": lambda reader, name: reader.find_global(name.replace(" ", ".", 1)),
    "STACK_GLOBAL": _Reader.stack_global,
    "REDUCE": _Reader.reduce,
    "BUILD": _Reader.build,
}
_DICTS: dict[str, Callable[[_Reader, Any], None]] = {
    "EMPTY_DICT": lambda reader, _: reader.push({}),
    "DICT": _Reader.make_dict,
    "SETITEM": _Reader.set_item,
    "SETITEMS": _Reader.set_items,
}
