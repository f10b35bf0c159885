"""Objects to verified local copies: in parts and in parallel, once per content, resumed. Knows nothing of what they mean."""

from __future__ import annotations

import os
import shutil
import zlib
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from runner.errors import StorageError
from runner.storage import digest
from runner.storage.cache import Partial, check_room, held, identity
from runner.storage.client import Changed, again, code_of, connect, passes, rest, status_of, words
from runner.storage.crew import Crew
from runner.storage.place import Limits, Location, Moved, Progress, parse

_CHUNK = 256 * 1024


class Listed(NamedTuple):
    """An object of a folder: its path below the folder, its key, size and ETag."""

    path: str
    key: str
    size: int
    etag: str


def fetch(uri: str, cache_dir: Path, progress: Progress | None = None, limits: Limits | None = None) -> Path:
    """A verified local copy of one object with the object's file name, or of a folder of objects.

    The copy is kept under ``cache_dir`` by the object's ETag and size: the same content is not fetched twice, not even by two
    processes at a time, and changed content is never taken from the cache. A copy has its name only when it is complete and
    its checksum or ETag was compared; a fetch that was broken off is gone on with.

    Raises:
        StorageError: which of credentials, clock, endpoint, bucket, key, permission, room or content it was.
    """
    place, limits = parse(uri), limits or Limits()
    if not place.key.strip("/"):
        raise StorageError(f"{uri} names no object", hint="Give the address of one file or folder.")
    with connect(limits) as s3, words(place, s3):
        for _ in range(2):  # an object that was replaced meanwhile is fetched anew, once
            try:
                head = head_of(s3, place, limits)
                if head is None:
                    return _fetch_folder(s3, place, cache_dir, progress, limits)
                return _fetch_object(s3, place, head, cache_dir, progress, limits)
            except Changed:
                continue
        raise Changed


def head_of(s3: Any, place: Location, limits: Limits) -> dict[str, Any] | None:
    """What the store says of an object; None where the address is a folder of objects."""
    from botocore.exceptions import ClientError

    if place.key.endswith("/"):
        return None
    try:
        head: dict[str, Any] = again(lambda: s3.head_object(Bucket=place.bucket, Key=place.key, ChecksumMode="ENABLED"), limits)
    except ClientError as error:
        if status_of(error) == 404 and code_of(error) != "NoSuchBucket" and _is_folder(s3, place, limits):
            return None
        raise
    return head


def cached(s3: Any, place: Location, head: dict[str, Any], cache_dir: Path) -> Path | None:
    """The copy of this content, where there is one."""
    target = _target(s3, place, head, cache_dir)
    return target if target.is_file() and target.stat().st_size == head["ContentLength"] else None


# -- one object --------------------------------------------------------------------------------------------------


def _name(place: Location) -> str:
    """What the copy is called: the last part of the address."""
    name = place.key.rstrip("/").rpartition("/")[2]
    if name in ("", ".", "..") or "\0" in name:
        raise StorageError(f"{place} has no name that a file can have")
    return name


def _target(s3: Any, place: Location, head: dict[str, Any], cache_dir: Path) -> Path:
    name = _name(place)
    return cache_dir / identity(s3.meta.endpoint_url, place, head["ETag"], head["ContentLength"]) / name


def _fetch_object(
    s3: Any, place: Location, head: dict[str, Any], cache_dir: Path, progress: Progress | None, limits: Limits
) -> Path:
    target, total = _target(s3, place, head, cache_dir), int(head["ContentLength"])

    def waiting() -> None:
        if progress is not None:
            progress(Moved("waiting", str(place), 0, total))

    if found := cached(s3, place, head, cache_dir):
        return found
    base = target.parent
    with held(base.with_suffix(".lock"), waiting):
        if found := cached(s3, place, head, cache_dir):
            return found  # the other one fetched it
        part = max(limits.part, -(-total // 10_000))
        growing = Partial(base.with_suffix(".part"), total, part)
        _grow(s3, place, head, growing, progress, limits)
        growing.become(target)
    return target


def _grow(s3: Any, place: Location, head: dict[str, Any], growing: Partial, progress: Progress | None, limits: Limits) -> None:
    """Fetch what is missing and verify the whole; content that is wrong is fetched once more, all of it."""
    for attempt in (1, 2):
        have = growing.open()
        missing = [n for n in range(len(growing.ranges)) if n not in have]
        left = sum(growing.ranges[n][1] - growing.ranges[n][0] for n in missing)
        # The blocks of the parts that are there may be on disk already; the others are holes until they are written.
        check_room(growing.path.parent, left, str(place))
        crew = Crew(limits, progress, "fetching", str(place), growing.total)
        crew.moved(growing.total - left)
        with growing.path.open("r+b") as file:
            try:
                crew.run([partial(_part, s3, place, head, growing, n, file.fileno(), crew) for n in missing])
            except Changed:
                growing.drop()
                raise
        if progress is not None:
            progress(Moved("checking", str(place), growing.total, growing.total))
        said = digest.said_by(head)
        if said is None or _holds(s3, place, said, growing, limits):
            return
        growing.drop()
        if attempt == 2:
            hint = "It came twice, and wrong twice: something between here and the store changes it, or it is damaged there."
            raise StorageError(f"{place}: what came does not match the object's {said.name.replace('Checksum', '')}", hint=hint)


def _part(s3: Any, place: Location, head: dict[str, Any], growing: Partial, number: int, file: int, crew: Crew) -> None:
    """One range of the object into its place; after an error that passes it goes on where it was."""
    from botocore.exceptions import ClientError

    start, end = growing.ranges[number]
    at, crc, failures, tries = start, 0, 0, 0
    while at < end:
        before, tries = at, tries + 1
        try:
            answer = s3.get_object(Bucket=place.bucket, Key=place.key, IfMatch=head["ETag"], Range=f"bytes={at}-{end - 1}")
            with closing(answer["Body"]) as body:
                _check_range(place, answer, at, end, growing.total)
                while at < end and (chunk := body.read(min(_CHUNK, end - at))):
                    _write(file, chunk, at)
                    at, crc = at + len(chunk), zlib.crc32(chunk, crc)
                    crew.moved(len(chunk))
            error: Exception | None = None
        except Exception as caught:
            if isinstance(caught, ClientError) and (status_of(caught) == 412 or _gone(caught)):
                raise Changed from caught
            error = caught
        if at < end:
            failures = 1 if at > before else failures + 1
            if error is not None and (not passes(error, failures, crew.limits) or tries >= 10 * crew.limits.attempts):
                raise error
            if error is None and failures >= crew.limits.attempts:
                raise StorageError(f"{place}: the connection breaks again and again", hint="Run it again: it resumes.")
            rest(failures, crew.limits, crew.stop)
    growing.record(number, crc)


def _gone(error: Any) -> bool:
    return status_of(error) == 404


def _check_range(place: Location, answer: dict[str, Any], at: int, end: int, total: int) -> None:
    """The bytes that were asked for, and no others; a store that knows no ranges may still send an object of one part."""
    said = answer.get("ContentRange") or f"bytes 0-{total - 1}/{total}"
    if said != f"bytes {at}-{end - 1}/{total}" or answer["ContentLength"] != end - at:
        raise StorageError(f"{place}: the store answers with other bytes ({said}) than those asked for ({at}-{end - 1})")


def _write(file: int, chunk: bytes, at: int) -> None:
    view = memoryview(chunk)
    while view:
        written = os.pwrite(file, view, at)
        view, at = view[written:], at + written


def _holds(s3: Any, place: Location, said: digest.Sum, growing: Partial, limits: Limits) -> bool:
    if not said.parts:
        return said.holds(growing.path, [])
    first = _part_size(s3, place, 1, limits)
    equal = digest.equal_parts(growing.total, first, said.parts)
    if equal and said.holds(growing.path, equal):
        return True
    # Parts may be of any size; only when the usual sizes do not fit are all of them asked for.
    sizes = [first, *(_part_size(s3, place, n, limits) for n in range(2, said.parts + 1))]
    return sizes != equal and said.holds(growing.path, sizes)


def _part_size(s3: Any, place: Location, number: int, limits: Limits) -> int:
    head = again(lambda: s3.head_object(Bucket=place.bucket, Key=place.key, PartNumber=number), limits)
    return int(head["ContentLength"])


# -- a folder ----------------------------------------------------------------------------------------------------


def _is_folder(s3: Any, place: Location, limits: Limits) -> bool:
    from botocore.exceptions import ClientError

    try:
        call = partial(s3.list_objects_v2, Bucket=place.bucket, Prefix=f"{place.key}/", MaxKeys=1)
        return bool(again(call, limits).get("Contents"))
    except ClientError:
        return False


def listing(s3: Any, place: Location, limits: Limits) -> list[Listed]:
    """The objects below a folder, checked to be files that can lie in one.

    Raises:
        StorageError: there are none, or a key leads out of the folder or is both file and folder.
    """
    prefix = place.key.rstrip("/") + "/"
    found: list[Listed] = []
    more: dict[str, str] = {}
    while True:
        page = again(partial(s3.list_objects_v2, Bucket=place.bucket, Prefix=prefix, **more), limits)
        for item in page.get("Contents", []):
            if not item["Key"].endswith("/"):  # the mark that some tools leave for an empty folder
                found.append(Listed(item["Key"][len(prefix) :], item["Key"], int(item["Size"]), str(item["ETag"])))
        if not page.get("IsTruncated"):
            break
        more = {"ContinuationToken": page["NextContinuationToken"]}
    if not found:
        raise StorageError(f"{place}: no such object in the bucket, nor a folder with any: {place.key}")
    folders = {str(up) for item in found for up in Path(item.path).parents}
    wrong = [item.key for item in found if not _inside(item.path) or item.path in folders]
    if wrong:
        raise StorageError(f"{place}: these keys cannot be files in one folder: {', '.join(wrong[:5])}")
    return found


def _inside(path: str) -> bool:
    return "\0" not in path and not any(step in ("", ".", "..") for step in path.split("/"))


def _folder_target(s3: Any, place: Location, found: list[Listed], cache_dir: Path) -> Path:
    base = cache_dir / identity(s3.meta.endpoint_url, place, *sorted((i.key, i.etag, i.size) for i in found))
    return base / _name(place)


def cached_folder(s3: Any, place: Location, found: list[Listed], cache_dir: Path) -> Path | None:
    """The copy of a folder of just these objects, where there is one."""
    target = _folder_target(s3, place, found, cache_dir)
    return target if target.is_dir() else None


def _fetch_folder(s3: Any, place: Location, cache_dir: Path, progress: Progress | None, limits: Limits) -> Path:
    """Every object below the address; the folder has its name only when all are there."""
    found = listing(s3, place, limits)
    target, total = _folder_target(s3, place, found, cache_dir), sum(item.size for item in found)
    base = target.parent

    def waiting() -> None:
        if progress is not None:
            progress(Moved("waiting", str(place), 0, total))

    if cached_folder(s3, place, found, cache_dir):
        return target
    with held(base.with_suffix(".lock"), waiting):
        if target.is_dir():
            return target
        growing = base.with_suffix(".folder")
        left = [item for item in found if not _has(growing / item.path, item)]
        check_room(cache_dir, sum(item.size for item in left), str(place))
        crew = Crew(limits, progress, "fetching", str(place), total)
        crew.moved(total - sum(item.size for item in left))
        crew.run([partial(_member, s3, place, item, growing, base, limits, crew) for item in left])
        base.mkdir(parents=True, exist_ok=True)
        os.replace(growing, target)
        shutil.rmtree(base.with_suffix(".members"), ignore_errors=True)
    return target


def _has(path: Path, item: Listed) -> bool:
    return path.is_file() and path.stat().st_size == item.size


def _member(s3: Any, place: Location, item: Listed, growing: Path, base: Path, limits: Limits, crew: Crew) -> None:
    """One object of a folder, in this thread: verified before it gets its name."""
    own = Location(place.bucket, item.key)
    head = again(lambda: s3.head_object(Bucket=own.bucket, Key=own.key, ChecksumMode="ENABLED"), limits, crew.stop)
    if head["ETag"] != item.etag:
        raise Changed
    room = base.with_suffix(".members")
    room.mkdir(parents=True, exist_ok=True)
    part = Partial(room / f"{identity(item.key)}.part", item.size, limits.part)
    before = 0

    def step(moved: Moved) -> None:
        nonlocal before
        if moved.what == "fetching":
            crew.moved(moved.done - before)
            before = moved.done

    _grow(s3, own, head, part, step, limits._replace(workers=1))
    part.become(growing / item.path)
