"""A folder to a place in S3: files in parallel, large ones in parts, each with its checksum, and last what there is."""

from __future__ import annotations

import base64
import hashlib
import json
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from fnmatch import fnmatch
from functools import partial
from pathlib import Path
from typing import Any

from runner.errors import StorageError
from runner.storage.client import again, connect, words
from runner.storage.crew import Crew
from runner.storage.digest import md5
from runner.storage.place import Limits, Location, Progress, parse

MANIFEST = "upload_manifest.json"
_MOST_PARTS = 10_000


def upload_tree(
    folder: Path,
    uri: str,
    excludes: Sequence[str] = (),
    progress: Progress | None = None,
    limits: Limits | None = None,
) -> dict[str, Any]:
    """Upload a folder, then its manifest (``upload_manifest.json``): where that is, the upload is complete.

    ``excludes`` are names, patterns or relative folders such as ``inputs/``. A link to a file in the folder becomes a copy
    of that file; broken links and those that lead out of the folder are left out. Returns the manifest: ``uri``, ``files``
    ({path, bytes, sha256, link_to}), ``skipped`` ({path, why}).

    Raises:
        StorageError: as in ``fetch``, or a file changed while it was read; then there is no new manifest.
    """
    place, limits = parse(uri), limits or Limits()
    prefix = f"{place.key.rstrip('/')}/" if place.key.strip("/") else ""
    manifest: dict[str, Any] = {"schema_version": 1, "uri": str(Location(place.bucket, prefix))}
    with connect(limits) as s3, words(place, s3):
        names, skipped = _survey(folder, excludes)
        sizes = {name: (folder / name).stat().st_size for name in names}
        crew = Crew(limits, progress, "uploading", manifest["uri"], sum(sizes.values()))
        upload = _Upload(s3, place.bucket, prefix, folder, crew)
        crew.run([partial(upload.whole, name) for name in names if sizes[name] <= limits.part])
        for name in names:
            if sizes[name] > limits.part:
                upload.in_parts(name)
        manifest |= {"files": [upload.files[name] for name in names], "skipped": skipped}
        put_manifest(s3, Location(place.bucket, prefix), manifest, limits)
    return manifest


def put_manifest(s3: Any, folder: Location, manifest: dict[str, Any], limits: Limits) -> None:
    """What there is below ``folder``, in place of what was said before."""
    text = json.dumps(manifest, indent=1).encode()
    again(partial(_put, s3, {"Bucket": folder.bucket, "Key": folder.key + MANIFEST}, text), limits)


def send_file(s3: Any, place: Location, path: Path, crew: Crew) -> None:
    """One file into the folder ``place``, whole or in parts."""
    upload = _Upload(s3, place.bucket, place.key, path.parent, crew)
    if path.stat().st_size > crew.limits.part:
        upload.in_parts(path.name)
    else:
        upload.whole(path.name)


class _Upload:
    """The files of one folder on their way; ``files`` is what the manifest will say of those that arrived."""

    def __init__(self, s3: Any, bucket: str, prefix: str, folder: Path, crew: Crew) -> None:
        self.s3, self.bucket, self.prefix, self.folder, self.crew = s3, bucket, prefix, folder, crew
        self.files: dict[str, dict[str, Any]] = {}

    def whole(self, name: str) -> None:
        """One file in one request."""
        data = (self.folder / name).read_bytes()
        again(partial(_put, self.s3, self._key(name), data), self.crew.limits, self.crew.stop)
        self.crew.moved(len(data))
        self._arrived(name, len(data), hashlib.sha256(data).hexdigest())

    def in_parts(self, name: str) -> None:
        """One large file by several connections; a broken upload leaves nothing behind at the store."""
        path, key, limits = self.folder / name, self._key(name), self.crew.limits
        before = path.stat()
        part = max(limits.part, -(-before.st_size // _MOST_PARTS))
        key["UploadId"] = again(lambda: self.s3.create_multipart_upload(**key), limits)["UploadId"]
        sums: dict[int, str] = {}
        digests: list[str] = []
        numbers = range(1, -(-before.st_size // part) + 1)
        try:
            tasks: list[Callable[[], None]] = [lambda: digests.append(_sha256(path, self.crew))]
            tasks += [partial(self._part, path, key, n, part, sums) for n in numbers]
            self.crew.run(tasks)
            after = path.stat()
            if (after.st_size, after.st_mtime_ns) != (before.st_size, before.st_mtime_ns):
                raise StorageError(f"{path} changed while it was uploaded", hint="Run it again when nothing writes to it.")
            self._complete(name, key, [{"PartNumber": n, "ETag": sums[n]} for n in numbers])
        except BaseException:
            with suppress(Exception):  # what went wrong first is what is told
                self.s3.abort_multipart_upload(**key)
            raise
        self._arrived(name, before.st_size, digests[0])

    def _part(self, path: Path, key: dict[str, str], number: int, part: int, sums: dict[int, str]) -> None:
        with path.open("rb") as file:
            data = os.pread(file.fileno(), part, (number - 1) * part)
        call = partial(_send, self.s3.upload_part, {**key, "PartNumber": number}, data)
        sums[number] = again(call, self.crew.limits, self.crew.stop)
        self.crew.moved(len(data))

    def _complete(self, name: str, key: dict[str, str], parts: list[dict[str, Any]]) -> None:
        """Join the parts. An answer that was lost leaves the object there and the upload unknown: then the size tells."""
        from botocore.exceptions import ClientError

        try:
            again(lambda: self.s3.complete_multipart_upload(**key, MultipartUpload={"Parts": parts}), self.crew.limits)
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") != "NoSuchUpload":
                raise
            head = self.s3.head_object(**self._key(name))
            if head["ETag"].strip('"') != _joined([p["ETag"] for p in parts]):
                raise

    def _key(self, name: str) -> dict[str, str]:
        return {"Bucket": self.bucket, "Key": self.prefix + name}

    def _arrived(self, name: str, size: int, sha256: str) -> None:
        path = self.folder / name
        link = os.readlink(path) if path.is_symlink() else None
        self.files[name] = {"path": name, "bytes": size, "sha256": sha256, "link_to": link}


def _put(s3: Any, key: dict[str, str], data: bytes) -> str:
    return _send(s3.put_object, key, data)


def _send(call: Callable[..., Any], key: dict[str, Any], data: bytes) -> str:
    """The ETag of bytes that the store has compared with their MD5."""
    check = md5()
    check.update(data)
    return str(call(**key, Body=data, ContentMD5=base64.b64encode(check.digest()).decode())["ETag"])


def _joined(etags: Sequence[str]) -> str:
    """The ETag of an object of these parts."""
    whole = md5()
    with suppress(ValueError):
        whole.update(b"".join(bytes.fromhex(etag.strip('"')) for etag in etags))
    return f"{whole.digest().hex()}-{len(etags)}"


def _sha256(path: Path, crew: Crew) -> str:
    whole = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1024 * 1024):
            whole.update(block)
            crew.moved(0)  # ends here when the upload was ended
    return whole.hexdigest()


def _survey(folder: Path, excludes: Sequence[str]) -> tuple[list[str], list[dict[str, str]]]:
    """The files to upload, and what is left out with the reason."""
    files: list[str] = []
    skipped: list[dict[str, str]] = []
    root = folder.resolve()
    for path in sorted(folder.rglob("*")):
        relative = path.relative_to(folder).as_posix()
        why = _reason_to_skip(path, relative, root, excludes)
        if why:
            skipped.append({"path": relative, "why": why})
        elif path.is_file():
            files.append(relative)
    return files, skipped


def _reason_to_skip(path: Path, relative: str, root: Path, excludes: Sequence[str]) -> str:
    if path.is_dir() and not path.is_symlink():
        return ""
    for pattern in excludes:
        if relative.startswith(f"{pattern.rstrip('/')}/") or fnmatch(relative, pattern) or fnmatch(path.name, pattern):
            return f"excluded by {pattern}"
    if relative == MANIFEST:
        return "the name of the manifest"
    if not path.exists():
        return "a broken link"
    if path.is_symlink() and not (path.resolve().is_file() and path.resolve().is_relative_to(root)):
        return "a link to a folder or out of the results"
    return "" if path.is_file() else "not a file"
