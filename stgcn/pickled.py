"""What numpy's arrays and numbers are made of inside a pickle, checked piece by piece; nothing is imported or called by name.

Knows nothing of the instructions of a pickle; of a file only where in it the content of a long array lies.
"""

from __future__ import annotations

import math
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np

ALLOWED = "lists, tuples, strings, numbers and numpy arrays"
_DTYPE_CODE = re.compile(r"[biufSUO]\d{1,9}")


class PickleRefused(ValueError):
    """The pickle holds what is not plain data, or is broken; says which."""


class Span:
    """Bytes, or Latin-1 characters written as UTF-8, that stay in the file."""

    def __init__(self, path: Path, offset: int, length: int, is_text: bool) -> None:
        self.path, self.offset, self.length, self.is_text = path, offset, length, is_text

    def read(self) -> bytes:
        """The bytes (PickleRefused: the file is shorter by now)."""
        with self.path.open("rb") as file:
            file.seek(self.offset)
            content = file.read(self.length)
        if len(content) != self.length:
            raise PickleRefused("it was cut short while it was read")
        return content.decode("utf-8").encode("latin-1") if self.is_text else content


class StoredArray:
    """A numpy array whose numbers are still in the pickle; ``numpy.asarray`` reads them (PickleRefused: they do not fit)."""

    def __init__(self, span: Span, dtype: Dtype, shape: tuple[int, ...], order: str) -> None:
        self.span, self.shape, self.dtype = span, shape, dtype.dtype
        self._dtype, self._order = dtype, order

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        try:
            array = make_array(self.span.read(), self._dtype, self.shape, self._order)
        except (OSError, UnicodeError) as error:
            raise PickleRefused(f"an array in it cannot be read ({str(error)[:100]})") from None
        return np.array(array, dtype=dtype) if dtype is not None or copy else array


class Global:
    """A name that may appear in a pickle of numpy data; a token, never imported."""

    def __init__(self, name: str) -> None:
        self.name = name


class Dtype:
    """A numpy dtype in the making."""

    def __init__(self, code: str) -> None:
        self.dtype = np.dtype(code)

    def build(self, state: Any) -> None:
        """Take over the byte order."""
        need(isinstance(state, tuple) and len(state) >= 3 and state[2] is None, "a structured numpy dtype")
        order = state[1]
        need(order in ("<", ">", "|", "="), "a numpy dtype without a byte order")
        self.dtype = self.dtype.newbyteorder(order)


class Array:
    """A numpy array in the making."""

    def __init__(self) -> None:
        self.places: list[int] = []  # where the memo has it
        self.value: np.ndarray | StoredArray | None = None

    def build(self, state: Any) -> None:
        """Take over shape, dtype and content: with them it is finished."""
        need(isinstance(state, tuple) and len(state) == 5, "a numpy array of unknown form")
        _version, shape, dtype, fortran, content = state
        self.value = make_array(content, dtype, shape, "F" if fortran is True else "C")


def make_dtype(code: Any, *_: Any) -> Dtype:
    """The dtype of a code such as ``f4``."""
    need(isinstance(code, str) and _DTYPE_CODE.fullmatch(code), "a numpy dtype of unknown kind")
    return Dtype(code)


def make_array(content: Any, dtype: Any, shape: Any, order: Any) -> Any:
    """An array of what is said of it, which has to agree; a StoredArray where the content stays in the file."""
    need(isinstance(dtype, Dtype), "a numpy array without a dtype")
    sizes = isinstance(shape, tuple) and all(type(n) is int and 0 <= n <= 2**40 for n in shape) and len(shape) <= 8
    need(sizes and order in ("C", "F"), "a numpy array of unknown shape")
    if isinstance(content, Span):
        return _stored(content, dtype, shape, order)
    if isinstance(content, str):  # bytes of Python 2
        content = content.encode("latin-1")
    if dtype.dtype.kind == "O":
        need(isinstance(content, list) and len(content) == math.prod(shape), "a numpy array whose content does not fit")
        flat = np.empty(len(content), dtype=object)
        for i, item in enumerate(content):  # one by one: numpy would look into lists and arrays
            flat[i] = finished(item)
        return flat.reshape(shape, order=order)
    fits = isinstance(content, bytes | bytearray) and len(content) == math.prod(shape) * dtype.dtype.itemsize
    need(fits and dtype.dtype.itemsize, "a numpy array whose content does not fit its shape")
    if dtype.dtype.kind == "U":
        points = np.frombuffer(content, dtype=np.dtype("u4").newbyteorder(dtype.dtype.byteorder))
        need(points.max(initial=0) <= sys.maxunicode, "text that is not Unicode")
    return np.frombuffer(content, dtype=dtype.dtype).reshape(shape, order=order)


def _stored(span: Span, dtype: Dtype, shape: tuple[int, ...], order: str) -> StoredArray:
    size = math.prod(shape) * dtype.dtype.itemsize
    need(dtype.dtype.kind in "biuf" and size, "a long numpy array that is not of numbers")
    least, most = (-(-span.length // 2), span.length) if span.is_text else (span.length, span.length)
    need(least <= size <= most, "a numpy array whose content does not fit its shape")
    return StoredArray(span, dtype, shape, order)


def make_scalar(dtype: Any, content: Any) -> Any:
    """A single number."""
    need(not isinstance(content, Span), "a number of many bytes")
    return make_array(content, dtype, (1,), "C")[0]


def encode(text: Any, encoding: Any) -> Any:
    """Bytes, as Python 3 writes them in pickles of protocol 2 and below."""
    if isinstance(text, Span) and text.is_text and encoding == "latin1":
        return text
    need(isinstance(text, str) and encoding == "latin1", "text in an unknown encoding")
    return bytes(text, "latin-1")


def finished(item: Any) -> Any:
    """The item itself; of an array in the making the array."""
    if isinstance(item, Array):
        need(item.value is not None, "a numpy array without content")
        return item.value
    need(not isinstance(item, Global | Dtype), "a class or function")
    return item


def need(condition: object, otherwise: str) -> None:
    """Refuse the pickle unless the condition holds; ``otherwise`` says what it holds instead."""
    if not condition:
        raise PickleRefused(f"it holds {otherwise}; allowed are {ALLOWED}")
