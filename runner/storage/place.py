"""Addresses in S3, the limits of a transfer and what its progress looks like. Plain values: opens no connection."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from runner.errors import StorageError

MIB = 1024 * 1024


class Location(NamedTuple):
    """A place in a bucket; ``key`` may be empty (the whole bucket) or a prefix."""

    bucket: str
    key: str

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.key}"


class Limits(NamedTuple):
    """How a transfer behaves: bytes of a part, connections, tries of one request without any progress, seconds."""

    part: int = 8 * MIB
    workers: int = 8
    attempts: int = 5
    pause: float = 0.3  # before the second try; doubles from try to try
    connect_timeout: float = 10.0
    read_timeout: float = 30.0  # of silence on one connection


class Moved(NamedTuple):
    """Where a transfer is: ``what`` is fetching, waiting (another job fetches the same), checking or uploading; bytes."""

    what: str
    address: str
    done: int
    total: int

    def __str__(self) -> str:
        if self.what == "waiting":
            return f"waiting for another job that fetches {self.address}"
        share = f"{100 * self.done // self.total if self.total else 100} %"
        return f"{self.what} {self.address}  {share} of {size(self.total)}"


# Called in the caller's thread about ten times a second; an exception it raises ends the transfer in order.
Progress = Callable[[Moved], None]


def is_remote(uri: str) -> bool:
    """True for s3:// addresses."""
    return uri.startswith("s3://")


def parse(uri: str) -> Location:
    """Bucket and key of an address.

    Raises:
        StorageError: it has no bucket.
    """
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    if not is_remote(uri) or not bucket:
        raise StorageError(f"{uri!r} is no storage address; allowed: s3://bucket/key")
    return Location(bucket, key)


def size(count: float) -> str:
    """A number of bytes in words: 512 B, 3.2 MB."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} B" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"
