"""Arrays of .npz archives row by row, without ever holding or unpickling what is in them. Knows no meaning of axes."""

from __future__ import annotations

import math
import warnings
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np

from stgcn.formats.clips import Unusable
from stgcn.npy import BROKEN

MOST_ROW = 512 * 2**20  # bytes held at once
MOST_UNFOLDED = 200  # times an archive may grow when it is larger than ...
ALWAYS_FINE = 2**30  # ... so many bytes
HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
# What zipfile and zlib raise for a broken archive; NotImplementedError is zipfile's word for a compression it does not know.
FAILURES = (*BROKEN, zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, KeyError)


class Member:
    """An array in an archive, of which only the header was read."""

    def __init__(self, path: Path, entry: str) -> None:
        self.path, self.entry = path, entry
        with self._open() as file:
            self.shape, self.is_fortran, self.dtype = _header(file)

    @contextmanager
    def _open(self) -> Iterator[IO[bytes]]:
        with _reading(self.entry), zipfile.ZipFile(self.path) as archive:
            info = archive.getinfo(self.entry)
            if info.file_size > max(ALWAYS_FINE, MOST_UNFOLDED * info.compress_size):
                raise Unusable(f"{self.entry} unfolds to {info.file_size} bytes, more than {MOST_UNFOLDED} times its size")
            with archive.open(info) as file:
                yield file

    def rows(self) -> Iterator[np.ndarray]:
        """The array along its first axis; one row is held at a time."""
        if self.is_fortran:
            yield from self.whole()
            return
        shape = self.shape[1:]
        with self._open() as file:
            _header(file)
            for _ in range(self.shape[0]):
                yield _take(file, self.dtype, shape)

    def whole(self) -> np.ndarray:
        """The array itself."""
        with self._open() as file:
            _header(file)
            flat = _take(file, self.dtype, (math.prod(self.shape),))
            return flat.reshape(self.shape, order="F" if self.is_fortran else "C")


@contextmanager
def _reading(what: str) -> Iterator[None]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # numpy warns of headers that Python 2 wrote, and reads them
            yield
    except Unusable:
        raise
    except FAILURES as error:
        raise Unusable(f"{what} cannot be read ({str(error)[:100] or type(error).__name__}); it may be truncated") from None


def _header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype]:
    read = HEADERS.get(np.lib.format.read_magic(file))
    if read is None:
        raise Unusable("it holds an array of an unknown version")
    shape, is_fortran, dtype = read(file)
    if dtype.hasobject:
        raise Unusable("it holds Python objects, which are never loaded")
    if any(side < 0 for side in shape):
        raise Unusable("it holds an array of an impossible shape")
    return shape, is_fortran, dtype


def _take(file: IO[bytes], dtype: np.dtype, shape: tuple[int, ...]) -> np.ndarray:
    size = math.prod(shape) * dtype.itemsize
    if size > MOST_ROW:
        raise Unusable(f"it holds a clip of {size} bytes; allowed are {MOST_ROW}")
    content = file.read(size)
    if len(content) != size:
        raise EOFError("it ends too early")
    return np.frombuffer(content, dtype=dtype).reshape(shape)


def members(path: Path) -> dict[str, Member]:
    """The arrays of an archive by name.

    Raises:
        Unusable: it is no archive of arrays, or holds Python objects.
    """
    with _reading("it"):
        with zipfile.ZipFile(path) as archive:
            entries = [name for name in archive.namelist() if name.endswith(".npy")]
        return {entry.removesuffix(".npy"): Member(path, entry) for entry in entries}
