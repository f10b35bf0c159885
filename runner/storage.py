"""s3:// to local files and back. Knows buckets and bytes; not what the files mean nor why they move.

Endpoint, region and credentials come from where boto3 looks (AWS_ENDPOINT_URL, AWS_PROFILE, ...); none are kept.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, NamedTuple

from runner.errors import StorageError

MANIFEST = "upload_manifest.json"
_CREDENTIALS = "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE; AWS_ENDPOINT_URL for another store than AWS."
_REJECTED = frozenset(
    {"InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken", "TokenRefreshRequired", "RequestExpired"}
)


class Location(NamedTuple):
    """A place in a bucket; ``key`` may be empty (the whole bucket) or a prefix."""

    bucket: str
    key: str

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.key}"


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


def fetch(uri: str, cache_dir: Path) -> Path:
    """A verified local copy of one object, with the object's file name.

    The copy is kept under ``cache_dir`` by the object's ETag: the same content is not fetched twice, and changed content is
    never taken from the cache. Size and ETag or checksum are compared before the copy gets its name.

    Raises:
        StorageError: which of credentials, endpoint, bucket, key, permission or content it was.
    """
    place = parse(uri)
    if not place.key or place.key.endswith("/"):
        raise StorageError(f"{uri} names no object", hint="Give the address of one file.")
    with _client() as s3, _words(place, s3):
        head = s3.head_object(Bucket=place.bucket, Key=place.key, ChecksumMode="ENABLED")
        target = _cached(cache_dir, place, s3.meta.endpoint_url, head["ETag"])
        if not (target.is_file() and target.stat().st_size == head["ContentLength"]):
            _download(s3, place, head, target)
    return target


def check_bucket(uri: str) -> None:
    """Make sure, before a job starts, that the bucket results are to go to is there and lets us in.

    Raises:
        StorageError: what is wrong with it.
    """
    place = parse(uri)
    with _client() as s3, _words(place, s3):
        s3.head_bucket(Bucket=place.bucket)


def upload_tree(folder: Path, uri: str, excludes: Sequence[str] = ()) -> dict[str, Any]:
    """Upload a folder, then its manifest (``upload_manifest.json``): where that is, the upload is complete.

    ``excludes`` are names, patterns or relative folders such as ``inputs/``. A link to a file in the folder becomes a copy
    of that file; broken links and those that lead out of the folder are left out. Returns the manifest: ``uri``, ``files``
    ({path, bytes, sha256, link_to}), ``skipped`` ({path, why}).

    Raises:
        StorageError: as in ``fetch``; then there is no new manifest.
    """
    place = parse(uri)
    prefix = f"{place.key.rstrip('/')}/" if place.key.strip("/") else ""
    files, skipped = _survey(folder, excludes)
    manifest: dict[str, Any] = {
        "schema_version": 1,
        "uri": str(Location(place.bucket, prefix)),
        "files": [],
        "skipped": skipped,
    }
    with _client() as s3, _words(place, s3):
        for relative in files:
            path = folder / relative
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
                size = file.tell()
                file.seek(0)
                s3.upload_fileobj(file, place.bucket, prefix + relative)
            link = os.readlink(path) if path.is_symlink() else None
            manifest["files"].append({"path": relative, "bytes": size, "sha256": digest, "link_to": link})
        s3.put_object(Bucket=place.bucket, Key=prefix + MANIFEST, Body=json.dumps(manifest, indent=1).encode())
    return manifest


# -- down --------------------------------------------------------------------------------------------------------


def _cached(cache_dir: Path, place: Location, endpoint: str, etag: str) -> Path:
    name = hashlib.sha256("\n".join((endpoint, str(place), etag)).encode()).hexdigest()[:24]
    return cache_dir / name / place.key.rpartition("/")[2]


def _download(s3: Any, place: Location, head: dict[str, Any], target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        s3.download_file(place.bucket, place.key, str(temporary))
        _verify(s3, place, head, temporary)
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


def _verify(s3: Any, place: Location, head: dict[str, Any], path: Path) -> None:
    size = path.stat().st_size
    if size != head["ContentLength"]:
        raise StorageError(f"{place}: {size} bytes came instead of {head['ContentLength']}", hint="Run it again.")
    etag = head["ETag"].strip('"')
    _, dash, parts = etag.partition("-")
    if head.get("ServerSideEncryption", "AES256") != "AES256" or head.get("SSECustomerAlgorithm"):
        return  # the ETag of such objects says nothing of the content; the transfer checks its own checksums
    part = s3.head_object(Bucket=place.bucket, Key=place.key, PartNumber=1)["ContentLength"] if dash else size
    if dash and -(-size // part) != int(parts):
        return  # parts of unequal size cannot be recomputed
    if _etag(path, part if dash else None) != etag:
        raise StorageError(
            f"{place}: what came does not match the object's ETag", hint="Run it again; it may just have changed."
        )


def _etag(path: Path, part: int | None) -> str:
    """MD5 of the content, or of the parts' MD5s when it was uploaded in parts."""
    with path.open("rb") as file:
        if part is None:
            return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
        digests = [hashlib.md5(block, usedforsecurity=False).digest() for block in iter(lambda: file.read(part), b"")]
    return f"{hashlib.md5(b''.join(digests), usedforsecurity=False).hexdigest()}-{len(digests)}"


# -- up ----------------------------------------------------------------------------------------------------------


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


# -- boto3 -------------------------------------------------------------------------------------------------------


@contextmanager
def _client() -> Iterator[Any]:
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError

    try:
        config = Config(retries={"mode": "standard", "total_max_attempts": 4}, connect_timeout=10, read_timeout=60)
        client = boto3.Session().client("s3", config=config)  # not the default session, which remembers old credentials
    except (BotoCoreError, ValueError) as error:
        raise StorageError(f"storage cannot be set up: {error}", hint=_CREDENTIALS) from error
    try:
        yield client
    finally:
        client.close()


@contextmanager
def _words(place: Location, s3: Any) -> Iterator[None]:
    """Say boto3's errors as one sentence that names the address and what is wrong."""
    from botocore import exceptions

    try:
        yield
    except (exceptions.NoCredentialsError, exceptions.PartialCredentialsError, exceptions.TokenRetrievalError) as error:
        raise StorageError(f"{place}: no credentials: {error}", hint=_CREDENTIALS) from error
    except exceptions.ClientError as error:
        raise _refusal(place, s3, error) from error
    except (exceptions.HTTPClientError, exceptions.ConnectionError) as error:
        hint = "Check AWS_ENDPOINT_URL and the network."
        raise StorageError(f"{place}: the store cannot be reached: {error}", hint=hint) from error
    except exceptions.BotoCoreError as error:
        raise StorageError(f"{place}: {error}") from error
    except OSError as error:
        raise StorageError(f"{place}: a local file failed: {error}") from error


def _refusal(place: Location, s3: Any, error: Any) -> StorageError:
    code, status = error.response.get("Error", {}).get("Code", ""), error.response["ResponseMetadata"].get("HTTPStatusCode")
    if code == "NoSuchBucket" or (status == 404 and not _bucket_exists(place, s3)):
        return StorageError(f"{place}: no such bucket: {place.bucket}", hint="Check the name, the region and AWS_ENDPOINT_URL.")
    if code in ("NoSuchKey", "404", "NotFound"):
        return StorageError(f"{place}: no such object in the bucket: {place.key}")
    if code == "403":
        code = _code_of_listing(place, s3)
    if code in _REJECTED:
        return StorageError(f"{place}: the credentials are rejected ({code})", hint=_CREDENTIALS)
    if status == 403:
        return StorageError(
            f"{place}: no permission (403)", hint="Reading needs s3:GetObject and s3:ListBucket, writing s3:PutObject."
        )
    if status == 412:
        return StorageError(f"{place}: the object changed while it was read", hint="Run it again.")
    return StorageError(f"{place}: {error}")


def _bucket_exists(place: Location, s3: Any) -> bool:
    from botocore.exceptions import ClientError

    try:
        s3.head_bucket(Bucket=place.bucket)
    except ClientError as error:
        return bool(error.response["ResponseMetadata"].get("HTTPStatusCode") != 404)
    return True


def _code_of_listing(place: Location, s3: Any) -> str:
    """Why access is refused: the answer to HEAD has no body to say so, the one to a listing has."""
    from botocore.exceptions import ClientError

    try:
        s3.list_objects_v2(Bucket=place.bucket, MaxKeys=1)
    except ClientError as error:
        return str(error.response.get("Error", {}).get("Code", ""))
    return "AccessDenied"
