"""Open .npy files without ever loading Python objects, and say in words why one cannot be read. Knows no meaning of axes."""

from __future__ import annotations

import tokenize
import warnings
from pathlib import Path

import numpy as np

from stgcn.errors import DataError

MAGIC = b"\x93NUMPY"
BROKEN = (ValueError, TypeError, SyntaxError, OverflowError, RecursionError, MemoryError, tokenize.TokenError)


def open_array(path: str | Path, expected: str) -> np.ndarray:
    """Memory-map the array in ``path``; ``expected`` says in messages what should be in it.

    Raises:
        DataError: the file is missing, empty, truncated, of another format, or holds Python objects.
    """
    path = Path(path)
    if not path.exists():
        raise DataError(f"{path} does not exist")
    if path.is_dir():
        raise DataError(f"{path} is a folder; expected a .npy of {expected}")
    try:
        if path.stat().st_size == 0:
            raise DataError(f"{path} is empty, 0 bytes; expected a .npy of {expected}")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # numpy warns of headers that Python 2 wrote, and reads them
            return np.lib.format.open_memmap(path, mode="r")
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from None
    except BROKEN as error:
        raise DataError(f"{path} {_why(path, error, expected)}") from None


def _why(path: Path, error: Exception, expected: str) -> str:
    """Tell a file that is cut short from Python objects and from another format."""
    with path.open("rb") as file:
        magic = file.read(len(MAGIC))
    if magic != MAGIC[: len(magic)]:
        other = " (it is a .npz archive: save the array alone with numpy.save)" if magic[:2] == b"PK" else ""
        return f"is not a .npy file{other}; expected {expected}"
    says = str(error)
    if "Python objects" in says:
        return "holds Python objects (ragged sequences?), which are never loaded; pad them to one array of numbers"
    if "mmap length" in says or "EOF" in says:
        return f"is truncated: it is {path.stat().st_size} bytes, less than its header promises; copy it again"
    return f"cannot be read as a .npy file ({says[:100] or type(error).__name__}); it may be truncated"
