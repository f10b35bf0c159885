"""What tells a file or folder from another version of itself, quickly: small files by their content, large ones by samples.

The time of change counts twice where content is not read whole: a program can set back when a file was written (mtime), as
copying and unpacking do, but not when the system last saw a change of it (ctime).

Knows files only: nothing of specs, plans or storage.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

WHOLE = 2 * 2**20  # a file up to this size is read whole
BLOCKS, BLOCK = 16, 64 * 2**10  # of a larger one this many pieces of this size are read, spread over it
MOST_NAMES = 100_000

Fingerprint = dict[str, Any]


def of(path: str | os.PathLike[str]) -> Fingerprint:
    """The fingerprint of what lies at a path; ``kind`` says what it rests on.

    ``whole``: SHA-256 of the content. ``sampled``: size, times of change and SHA-256 of 16 pieces of 64 KiB. ``folder``: names,
    sizes and times of change of the files in it, those that links lead to among them. ``absent``: nothing is there, or it
    cannot be read.
    """
    try:
        found = os.stat(path)
        if os.path.isdir(path):
            return _folder(path)
        with open(path, "rb") as file:
            if found.st_size <= WHOLE:
                content = file.read(WHOLE + 1)
                return {"kind": "whole", "bytes": len(content), "sha256": _hex(content)}
            pieces = b"".join(os.pread(file.fileno(), BLOCK, at) for at in _spread(found.st_size))
    except OSError:
        return {"kind": "absent"}
    times = {"changed_ns": found.st_mtime_ns, "seen_ns": found.st_ctime_ns}
    return {"kind": "sampled", "bytes": found.st_size, **times, "sha256": _hex(pieces)}


def _spread(size: int) -> Iterator[int]:
    """Where the pieces of a file begin: the first at its head, the last at its end."""
    step = (size - BLOCK) / (BLOCKS - 1)
    return (round(i * step) for i in range(BLOCKS))


def _folder(path: str | os.PathLike[str]) -> Fingerprint:
    files, size, told, entered = 0, 0, [], set[tuple[int, int]]()
    for folder, folders, names in os.walk(path, followlinks=True):
        here = os.stat(folder)
        if (here.st_dev, here.st_ino) in entered:  # a link to where one comes from
            folders.clear()
            continue
        entered.add((here.st_dev, here.st_ino))
        folders.sort()
        for name in sorted(names):
            if files == MOST_NAMES:
                break
            one = _stat(os.path.join(folder, name))
            files, size = files + 1, size + one.st_size
            told.append(f"{Path(folder, name).relative_to(path)}\0{one.st_size}\0{one.st_mtime_ns}\0{one.st_ctime_ns}\n")
    return {"kind": "folder", "files": files, "bytes": size, "sha256": _hex("".join(told).encode("utf-8", "surrogateescape"))}


def _stat(path: str) -> os.stat_result:
    """Of what a link leads to; of the link itself where that is nothing."""
    try:
        return os.stat(path)
    except OSError:
        return os.stat(path, follow_symlinks=False)


def _hex(content: bytes) -> str:
    import hashlib  # loads OpenSSL, which commands that look at no data do without

    return hashlib.sha256(content).hexdigest()
