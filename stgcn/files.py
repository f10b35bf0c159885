"""Files written whole or not at all, and where an action's results go. Standard library only; knows no tensors."""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import secrets
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from stgcn.config import is_set
from stgcn.errors import ResourceError, SpecError


def results_dir(spec_root: str | None, own: str | None, action: str) -> Path:
    """Folder of an action's results: its own setting, else ``<results_dir>/<action>``.

    Raises:
        SpecError: neither is set.
    """
    if is_set(own):
        return Path(str(own))
    if is_set(spec_root):
        return Path(str(spec_root)) / action
    raise SpecError(f"results_dir is empty: set results_dir (the root of the results) or {action}.results_dir")


def make_folder(folder: str | Path) -> Path:
    """Create ``folder`` and its parents, and make sure that files can be written to it.

    Raises:
        ResourceError: it cannot be created or written to.
    """
    folder = Path(folder)
    probe = folder / f".write-test.{secrets.token_hex(4)}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise unwritable(folder, error) from None
    return folder


def unwritable(folder: Path, error: OSError) -> ResourceError:
    """Say that ``folder`` cannot be written to, and why."""
    return ResourceError(f"results folder {folder} cannot be written: {error.strerror or error}")


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Give a temporary path beside ``path``; what is written there takes the place of ``path`` when the block ends well.

    The temporary name keeps the suffix, for writers that choose the format by it. If the block raises, ``path`` is
    untouched and the temporary file is gone.

    Raises:
        ResourceError: the folder cannot be written.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.stem}.{secrets.token_hex(6)}.tmp{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        _sync(temporary)
        os.replace(temporary, path)
    except OSError as error:
        raise unwritable(path.parent, error) from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_bytes(path: str | Path, content: bytes) -> Path:
    """Write a file whole or not at all; ResourceError when the folder cannot be written."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)
    return Path(path)


def write_text(path: str | Path, text: str) -> Path:
    """Write a UTF-8 text file whole or not at all; ResourceError when the folder cannot be written."""
    return write_bytes(path, text.encode(errors="backslashreplace"))  # half a character, as a hostile file may hold


def write_lines(path: str | Path, lines: Iterable[str]) -> Path:
    """Write a text file of one entry a line whole or not at all; what would break a line, in a class name say, is escaped."""
    plain_lines = (re.sub(r"[\x00-\x1f\x7f\x85\u2028\u2029]", lambda hit: ascii(hit[0])[1:-1], line) for line in lines)
    return write_text(path, "".join(f"{line}\n" for line in plain_lines))


def write_json(path: str | Path, content: Any) -> Path:
    """Write strict JSON whole or not at all: numbers that are not finite become null, numpy scalars and paths are plain."""
    return write_text(path, json.dumps(plain(content), indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def plain(value: Any) -> Any:
    """Turn ``value`` into what strict JSON can hold."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set):
        return [plain(item) for item in value]
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if hasattr(value, "tolist"):  # numpy arrays and scalars, tensors
        return plain(value.tolist())
    return str(value)


def sha256(path: str | Path) -> str:
    """Hash of a file's content, in hex."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
