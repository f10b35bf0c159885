"""Whether the store answers and knows the credentials. Reads no object."""

from __future__ import annotations

from runner.errors import StorageError
from runner.storage.client import code_of, connect, words
from runner.storage.place import Limits, Location

PATIENCE = Limits(workers=1, attempts=1, connect_timeout=5.0, read_timeout=5.0)


def reach() -> str:
    """Which endpoint answered, in words. Names no key.

    Raises:
        StorageError: no credentials, rejected ones, nobody answers, or a wrong clock.
    """
    from botocore.exceptions import ClientError

    with connect(PATIENCE) as s3:
        endpoint, place = str(s3.meta.endpoint_url), Location("", "")
        try:
            with words(place, s3):
                s3.list_buckets()
        except StorageError as error:
            cause = error.__cause__
            if isinstance(cause, ClientError) and code_of(cause) == "AccessDenied":
                return f"{endpoint} answers and knows the credentials; they may not list buckets"
            said = error.message.removeprefix(f"{place}: ")
            raise StorageError(f"{endpoint}: {said}", hint=error.hint) from cause
    return f"{endpoint} answers and takes the credentials"
