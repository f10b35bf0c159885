"""A look into a folder of storage without fetching it: which names there are, and the beginning of a small file."""

from __future__ import annotations

from contextlib import ExitStack
from types import TracebackType
from typing import Any

from runner.storage.client import again, code_of, connect, status_of, words
from runner.storage.place import Limits, Location, parse


class Look:
    """A folder at an address, looked at name by name; used in a ``with``. Every question is one request.

    ``allowed`` turns False when the store does not let its objects be listed: then nothing is known of what is there.

    Raises:
        StorageError: which of credentials, clock, endpoint, bucket or permission it was.
    """

    def __init__(self, uri: str, limits: Limits | None = None) -> None:
        place = parse(uri)
        self.place = Location(place.bucket, place.key.rstrip("/"))
        self.limits = limits or Limits()
        self.allowed = True
        self._known: dict[str, bool] = {}
        self._open = ExitStack()
        self._s3: Any = None

    def __enter__(self) -> Look:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._open.close()

    def exists(self, name: str) -> bool:
        """Whether there is an object of this name below the folder; of '.', whether there is any."""
        if self.allowed and name not in self._known:
            self._known[name] = self._ask(name)
        return self._known.get(name, False)

    def read(self, name: str, most: int) -> bytes:
        """The first ``most`` bytes of an object."""
        place = self._place(name)
        with words(place, self._client()):
            answer = again(lambda: self._client().get_object(Bucket=place.bucket, Key=place.key), self.limits)
            content: bytes = answer["Body"].read(most)
            answer["Body"].close()
        return content

    def _ask(self, name: str) -> bool:
        from botocore.exceptions import ClientError

        place = self._place(name)
        request = {"Bucket": place.bucket, "Prefix": place.key, "MaxKeys": 1}
        with words(place, self._client()):
            try:
                found = again(lambda: self._client().list_objects_v2(**request), self.limits).get("Contents", [])
            except ClientError as error:
                if status_of(error) == 403 and code_of(error) in ("AccessDenied", "403"):
                    self.allowed = False
                    return False
                raise
        return bool(found) and (name == "." or found[0]["Key"] == place.key)

    def _place(self, name: str) -> Location:
        folder = f"{self.place.key}/" if self.place.key else ""
        return Location(self.place.bucket, folder if name == "." else folder + name)

    def _client(self) -> Any:
        if self._s3 is None:
            self._s3 = self._open.enter_context(connect(self.limits))
        return self._s3
