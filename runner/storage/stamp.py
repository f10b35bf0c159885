"""What tells a stored object or folder from another version of itself, asked of the store without fetching anything."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from runner.errors import StorageError
from runner.storage.client import connect, words
from runner.storage.down import head_of, listing
from runner.storage.place import Limits, parse

IMPATIENT = Limits(attempts=2, connect_timeout=3.0, read_timeout=10.0)


def stamps(uris: Iterable[str], limits: Limits = IMPATIENT) -> dict[str, dict[str, Any]]:
    """Size and ETag of every address; of a folder those of all objects together. ``unseen`` where the store does not answer."""
    found: dict[str, dict[str, Any]] = {uri: {"kind": "unseen"} for uri in uris}
    try:
        with connect(limits) as s3:
            for uri in found:
                found[uri] = _stamp(s3, uri, limits)
    except StorageError:  # whoever runs the plan is told why; what was not seen is said to be so
        return found
    return found


def _stamp(s3: Any, uri: str, limits: Limits) -> dict[str, Any]:
    import hashlib

    place = parse(uri)
    with words(place, s3):
        head = head_of(s3, place, limits)
        if head is not None:
            return {"kind": "stored", "bytes": int(head["ContentLength"]), "etag": str(head["ETag"]).strip('"')}
        objects = listing(s3, place, limits)
    told = "".join(f"{item.path}\0{item.size}\0{item.etag}\n" for item in objects)
    size = sum(item.size for item in objects)
    return {"kind": "stored", "files": len(objects), "bytes": size, "etag": hashlib.sha256(told.encode()).hexdigest()}
