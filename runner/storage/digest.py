"""Whether a local file is what S3 says an object is: by its checksum, or by its ETag, in one part or several."""

from __future__ import annotations

import base64
import hashlib
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

_BLOCK = 1024 * 1024


class _Hash(Protocol):
    def update(self, data: bytes, /) -> None:
        """Take more bytes."""

    def digest(self) -> bytes:
        """The sum so far."""


class _Crc32:
    def __init__(self) -> None:
        self.value = 0

    def update(self, data: bytes, /) -> None:
        self.value = zlib.crc32(data, self.value)

    def digest(self) -> bytes:
        return self.value.to_bytes(4, "big")


def md5() -> _Hash:
    """MD5, which S3 calls ETag; not for secrets."""
    return hashlib.md5(usedforsecurity=False)


# In the order of trust. CRC32C and CRC64NVME are not in the standard library; the ETag stands in for them.
_CHECKSUMS: dict[str, Callable[[], _Hash]] = {
    "ChecksumSHA256": hashlib.sha256,
    "ChecksumSHA1": lambda: hashlib.sha1(usedforsecurity=False),
    "ETag": md5,
    "ChecksumCRC32": _Crc32,
}


class Sum:
    """One statement of S3 about an object's content: how to compute it, and what has to come out."""

    def __init__(self, name: str, value: str) -> None:
        self.name = name
        self.make = _CHECKSUMS[name]
        self.value, dash, count = value.strip('"').partition("-")
        self.parts = int(count) if dash else 0  # 0: of the whole

    def holds(self, path: Path, sizes: Sequence[int]) -> bool:
        """Whether a file of parts of these sizes has this sum."""
        digests = list(_digests(path, sizes if self.parts else [path.stat().st_size], self.make))
        if not self.parts:
            return self._spell(digests[0]) == self.value
        whole = self.make()
        whole.update(b"".join(digests))
        return self._spell(whole.digest()) == self.value

    def _spell(self, digest: bytes) -> str:
        return digest.hex() if self.name == "ETag" else base64.b64encode(digest).decode()


def said_by(head: dict[str, Any]) -> Sum | None:
    """The best statement in an object's head; None where nothing can be computed from the content alone."""
    for name in _CHECKSUMS:
        value = str(head.get(name) or "")
        if not value or (name == "ETag" and not _etag_is_md5(head)):
            continue
        _, dash, count = value.strip('"').partition("-")
        if not dash or count.isdigit():
            return Sum(name, value)
    return None


def _etag_is_md5(head: dict[str, Any]) -> bool:
    """Encrypted with keys of one's own, an object's ETag says nothing of the content; other stores use other ETags."""
    if head.get("ServerSideEncryption", "AES256") != "AES256" or head.get("SSECustomerAlgorithm"):
        return False
    etag = str(head["ETag"]).strip('"').partition("-")[0]
    return len(etag) == 32 and all(c in "0123456789abcdef" for c in etag)


def equal_parts(total: int, first: int, count: int) -> list[int] | None:
    """The sizes of parts that are all as large as the first but the last; None where that does not add up."""
    if first <= 0 or -(-total // first) != count:
        return None
    return [first] * (count - 1) + [total - first * (count - 1)]


def _digests(path: Path, sizes: Sequence[int], make: Callable[[], _Hash]) -> Iterator[bytes]:
    with path.open("rb") as file:
        for size in sizes:
            part, left = make(), size
            while left and (block := file.read(min(_BLOCK, left))):
                part.update(block)
                left -= len(block)
            yield part.digest()
