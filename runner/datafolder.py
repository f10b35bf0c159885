"""The folder that --dataset names, on disk or in storage: which files are in it, and what small ones say. Fetches nothing."""

from __future__ import annotations

import ast
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from runner.errors import InputMissing

MOST_JSON = 16 * 2**20
MOST_HEAD = 1 << 17


class DataFolder(Protocol):
    """What is asked of a folder."""

    @property
    def listed(self) -> bool:
        """Whether it could be asked what is in it."""

    def exists(self, name: str) -> bool:
        """Whether a file of this name is in it; '.' is the folder itself."""

    def path(self, name: str) -> str:
        """The path or address of a file in it."""

    def read(self, name: str, most: int) -> bytes:
        """The first ``most`` bytes of a file in it."""


class _Local:
    listed = True

    def __init__(self, folder: str) -> None:
        self.base = str(Path(folder).expanduser().resolve())

    def exists(self, name: str) -> bool:
        return os.path.exists(os.path.join(self.base, name))

    def path(self, name: str) -> str:
        return f"{self.base}/{name}"

    def read(self, name: str, most: int) -> bytes:
        try:
            with open(self.path(name), "rb") as file:
                return file.read(most)
        except OSError as error:
            raise InputMissing(f"{self.path(name)} cannot be read: {error.strerror or error}") from None


class _Remote:
    def __init__(self, folder: str, look: Any) -> None:
        self.base, self.look = folder.rstrip("/"), look

    @property
    def listed(self) -> bool:
        return bool(self.look.allowed)

    def exists(self, name: str) -> bool:
        return bool(self.look.exists(name))

    def path(self, name: str) -> str:
        return f"{self.base}/" if name == "." else f"{self.base}/{name}"

    def read(self, name: str, most: int) -> bytes:
        return bytes(self.look.read(name, most))


@contextmanager
def opened(folder: str) -> Iterator[DataFolder]:
    """The folder at a path or an s3:// address.

    Raises:
        InputMissing: there is no such folder on disk.
        StorageError: storage cannot be looked at.
    """
    if folder.startswith("s3://"):
        from runner import storage

        with storage.Look(folder) as look:
            yield _Remote(folder, look)
    elif Path(folder).expanduser().is_dir():
        yield _Local(folder)
    else:
        raise InputMissing(f"--dataset {folder}: no such folder.")


def value_of(folder: DataFolder, name: str, rule: Mapping[str, Any]) -> Any:
    """What a rule of the skill's data sources takes out of a file; None where the file does not say it.

    Raises:
        InputMissing: the file cannot be read as what it should be.
    """
    if rule["read"] == "shape":
        shape = _npy_shape(folder.read(name, MOST_HEAD))
        return shape[rule["axis"]] if len(shape) > rule["axis"] else None
    content = _json(folder, name)
    if "key" not in rule:
        return content
    if not isinstance(content, dict):
        raise InputMissing(f"{folder.path(name)} holds no JSON object, of which {rule['key']} is read")
    return content.get(rule["key"])


def shape_of(path: str) -> list[int] | None:
    """The shape of an array in a .npy file, by its head alone; None where the file is none."""
    try:
        with open(path, "rb") as file:
            return list(_npy_shape(file.read(MOST_HEAD))) or None
    except (OSError, ValueError):  # ValueError: a name that no file can have
        return None


def _json(folder: DataFolder, name: str) -> Any:
    text = folder.read(name, MOST_JSON + 1)
    if len(text) > MOST_JSON:
        raise InputMissing(f"{folder.path(name)} cannot be read as JSON: it is larger than {MOST_JSON >> 20} MiB")
    try:
        return json.loads(text.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise InputMissing(f"{folder.path(name)} cannot be read as JSON: {str(error)[:200]}") from None


def _npy_shape(head: bytes) -> tuple[int, ...]:
    """The shape that the head of a .npy file tells; what is wrong with such a file is said by whoever reads it whole."""
    start = 10 if head[6:7] == b"\x01" else 12
    told = head[start : start + int.from_bytes(head[8:start], "little")]
    try:
        shape = ast.literal_eval(told.decode("latin-1").strip())["shape"]
    except (ValueError, SyntaxError, KeyError, TypeError, RecursionError, MemoryError):
        return ()
    whole = isinstance(shape, tuple) and all(type(n) is int and 0 < n < 1 << 31 for n in shape)
    return shape if whole and head[:6] == b"\x93NUMPY" else ()
