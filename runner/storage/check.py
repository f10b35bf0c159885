"""Everything about storage that can be known before a job starts: inputs there, results allowed, room on the disk."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from runner.errors import Problem, StorageError
from runner.storage.cache import check_room
from runner.storage.client import about_all, again, connect, words
from runner.storage.down import cached, cached_folder, head_of, listing
from runner.storage.place import Limits, Location, parse


def preflight(
    inputs: Sequence[tuple[str, str]], cache_dir: Path, upload: str | None = None, limits: Limits | None = None
) -> int:
    """Look at every input (spec key, address) and at the place for results; the bytes that have to be fetched.

    Raises:
        StorageError: what is wrong; with several addresses wrong, each as a problem of its own.
    """
    limits, needed = limits or Limits(), 0
    wrong: list[tuple[str, StorageError]] = []
    with connect(limits) as s3:
        for key, uri in [*inputs, *([("results_dir", upload)] if upload else [])]:
            try:
                if uri == upload:
                    _probe(s3, parse(uri), limits)
                else:
                    needed += _size(s3, uri, cache_dir, limits)
            except StorageError as error:
                if about_all(error):
                    raise
                wrong.append((key, error))
    if len(wrong) == 1:
        raise wrong[0][1]
    if wrong:
        problems = [Problem(key, error.message) for key, error in wrong]
        hint = next((error.hint for _, error in wrong if error.hint), "")
        raise StorageError(f"{len(wrong)} addresses in storage cannot be used.", problems=problems, hint=hint)
    check_room(cache_dir, needed, "The inputs")
    return needed


def check_bucket(uri: str, limits: Limits | None = None) -> None:
    """Make sure that results can be written to this address, without leaving anything there.

    An upload in parts is begun and given up: that needs the bucket and s3:PutObject, just as the results will.

    Raises:
        StorageError: what is wrong with it.
    """
    limits = limits or Limits()
    with connect(limits) as s3:
        _probe(s3, parse(uri), limits)


def _probe(s3: Any, place: Location, limits: Limits) -> None:
    key = {"Bucket": place.bucket, "Key": f"{place.key.rstrip('/')}/.probe".lstrip("/")}
    with words(place, s3):
        begun: dict[str, Any] = again(lambda: s3.create_multipart_upload(**key), limits)
        with suppress(Exception):  # one that cannot be given up holds no bytes and costs nothing
            s3.abort_multipart_upload(**key, UploadId=begun["UploadId"])


def _size(s3: Any, uri: str, cache_dir: Path, limits: Limits) -> int:
    """The bytes to fetch for one input; 0 where the cache has it."""
    place = parse(uri)
    if not place.key.strip("/"):
        raise StorageError(f"{uri} names no object", hint="Give the address of one file or folder.")
    with words(place, s3):
        head = head_of(s3, place, limits)
        if head is None:
            found = listing(s3, place, limits)
            return 0 if cached_folder(s3, place, found, cache_dir) else sum(item.size for item in found)
        return 0 if cached(s3, place, head, cache_dir) else int(head["ContentLength"])
