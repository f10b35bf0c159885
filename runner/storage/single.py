"""Single files at a place in S3: put, listed, removed. For what comes and goes while a job runs; results go as a tree."""

from __future__ import annotations

from pathlib import Path

from runner.storage.client import again, connect, words
from runner.storage.crew import Crew
from runner.storage.place import Limits, Location, parse
from runner.storage.up import send_file


def put(path: Path, uri: str, limits: Limits | None = None) -> None:
    """Upload one file to the folder ``uri``, under its own name.

    Raises:
        StorageError: as in ``fetch``, or the file changed meanwhile. OSError: it is not there any more.
    """
    place, limits = _folder(uri), limits or Limits()
    with connect(limits) as s3, words(place, s3):
        send_file(s3, place, path, Crew(limits, None, "uploading", uri, path.stat().st_size))


def remove(uri: str, limits: Limits | None = None) -> None:
    """Delete one object; one that is not there is deleted already.

    Raises:
        StorageError: as in ``fetch``.
    """
    place, limits = parse(uri), limits or Limits()
    with connect(limits) as s3, words(place, s3):
        again(lambda: s3.delete_object(Bucket=place.bucket, Key=place.key), limits)


def names(uri: str, limits: Limits | None = None) -> list[str]:
    """The objects below a folder, by their path in it; none where there is no such folder.

    Raises:
        StorageError: as in ``fetch``.
    """
    place, limits, found = _folder(uri), limits or Limits(), list[str]()
    with connect(limits) as s3, words(place, s3):
        pages = s3.get_paginator("list_objects_v2").paginate(Bucket=place.bucket, Prefix=place.key)
        for page in pages:
            found += [str(item["Key"])[len(place.key) :] for item in page.get("Contents", [])]
    return [name for name in found if name and not name.endswith("/")]


def _folder(uri: str) -> Location:
    place = parse(uri)
    return Location(place.bucket, f"{place.key.strip('/')}/" if place.key.strip("/") else "")
