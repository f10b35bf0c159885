"""Files of an upload that are not needed any more, taken out of it again. The manifest says so before they go."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import Any

from runner.errors import StorageError
from runner.storage.client import again, connect, words
from runner.storage.place import Limits, Location, parse
from runner.storage.up import MANIFEST, put_manifest


def thin(uri: str, needless: Callable[[str, str | None], bool], why: str, limits: Limits | None = None) -> list[str]:
    """Delete the files of an upload for which ``needless(path, link_to)`` is true; the addresses of those that were there.

    The manifest lists them with ``why`` among what it skips, so that it names no file that is gone, and a deletion that
    was cut off is done again by the next call.

    Raises:
        StorageError: as in ``fetch``, or what lies there is no manifest of an upload.
    """
    place, limits = parse(uri), limits or Limits()
    folder = Location(place.bucket, f"{place.key.strip('/')}/" if place.key.strip("/") else "")
    with connect(limits) as s3, words(folder, s3):
        manifest = _read(s3, folder, limits)
        going = [file["path"] for file in manifest["files"] if needless(file["path"], file.get("link_to"))]
        half = [one["path"] for one in manifest["skipped"] if one["why"] == why]
        if going:
            manifest["files"] = [file for file in manifest["files"] if file["path"] not in going]
            manifest["skipped"] += [{"path": name, "why": why} for name in going]
            put_manifest(s3, folder, manifest, limits)
        for name in half + going:
            again(partial(s3.delete_object, Bucket=folder.bucket, Key=folder.key + name), limits)
    return [f"{folder}{name}" for name in going]


def _read(s3: Any, folder: Location, limits: Limits) -> dict[str, Any]:
    answer = again(lambda: s3.get_object(Bucket=folder.bucket, Key=folder.key + MANIFEST), limits)
    try:
        found = json.loads(answer["Body"].read())
        if all(isinstance(one["path"], str) for part in ("files", "skipped") for one in found[part]):
            return dict(found)
    except (ValueError, KeyError, TypeError):
        pass
    raise StorageError(f"{folder}{MANIFEST} is not the manifest of an upload")
