"""The boto3 client, which errors pass by themselves, and every other error as one sentence. Knows no files.

Endpoint, region and credentials come from where boto3 looks (AWS_ENDPOINT_URL, AWS_PROFILE, ...); none are kept.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from threading import Event
from typing import Any, TypeVar

from runner.errors import StorageError
from runner.storage.place import Limits, Location

CREDENTIALS = "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE; AWS_ENDPOINT_URL for another store than AWS."
NETWORK = "Check AWS_ENDPOINT_URL and the network."
CLOCK = "Set the clock (timedatectl set-ntp true)."
_RESUMES = "Run it again later: it resumes."
_REJECTED = frozenset(
    {"InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken", "TokenRefreshRequired", "RequestExpired"}
)
_PASSING = frozenset(
    {
        "SlowDown",
        "RequestTimeout",
        "RequestTimeoutException",
        "Throttling",
        "ThrottlingException",
        "TooManyRequests",
        "BadDigest",
    }
)
_REGION = frozenset({"PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException", "301"})
_SKEW = 300.0  # seconds; S3 refuses at 900, but the clock is already the likely cause

Answer = TypeVar("Answer")


class Stopped(Exception):
    """The transfer was ended by whoever started it."""


class Changed(Exception):
    """The object has another content than when the transfer began."""


@contextmanager
def connect(limits: Limits) -> Iterator[Any]:
    """A client for a transfer of these limits. Tries again are ours (``again``), so that they can be ended and resumed."""
    import boto3
    import botocore.session
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError

    config = Config(
        retries={"mode": "standard", "total_max_attempts": 1},
        connect_timeout=limits.connect_timeout,
        read_timeout=limits.read_timeout,
        max_pool_connections=limits.workers + 2,
        # Content-MD5 and ETag say the same and are understood by every store; trailing checksums are not.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    try:
        session = botocore.session.Session()  # not the default one, which remembers old credentials
        session.register_component("data_loader", _loader())
        client = boto3.Session(botocore_session=session).client("s3", config=config)
    except (BotoCoreError, ValueError) as error:
        raise StorageError(f"storage cannot be set up: {error}", hint=CREDENTIALS) from error
    try:
        yield client
    finally:
        client.close()


@cache
def _loader() -> Any:
    """Reads the descriptions of the service, which are large and hold nothing of the surroundings: once for all clients."""
    from botocore.loaders import create_loader

    return create_loader()


def again(call: Callable[[], Answer], limits: Limits, stop: Event | None = None) -> Answer:
    """The answer of a request, tried again after errors that pass: connections lost, 500, 503, throttling."""
    failures = 0
    while True:
        try:
            return call()
        except Exception as error:
            failures += 1
            if not passes(error, failures, limits):
                raise
        rest(failures, limits, stop)


def passes(error: Exception, failures: int, limits: Limits) -> bool:
    """Whether a request that failed so often in a row should be tried again."""
    from botocore import exceptions

    if failures >= limits.attempts:
        return False
    if isinstance(error, exceptions.ClientError):
        code, status = code_of(error), status_of(error)
        return status >= 500 or status == 429 or code in _PASSING
    if isinstance(error, exceptions.SSLError):
        return False
    if isinstance(error, exceptions.EndpointConnectionError | exceptions.ConnectTimeoutError):
        return failures < 2  # nobody answers, or no such name: rather a wrong endpoint than a moment's trouble
    return isinstance(error, exceptions.HTTPClientError | exceptions.ConnectionError | exceptions.IncompleteReadError)


def rest(failures: int, limits: Limits, stop: Event | None) -> None:
    """Wait before the next try, longer from try to try, and never all workers for the same time."""
    seconds = min(10.0, limits.pause * 2 ** (failures - 1)) * random.uniform(0.5, 1.0)
    if stop is None:
        time.sleep(seconds)
    elif stop.wait(seconds):
        raise Stopped


def about_all(error: StorageError) -> bool:
    """Whether an error is about the store or the credentials, so that every other address would meet it too."""
    return error.hint in (CREDENTIALS, NETWORK, CLOCK)


def code_of(error: Any) -> str:
    """S3's own word for an error; the status as text where the answer had no body."""
    return str(error.response.get("Error", {}).get("Code", ""))


def status_of(error: Any) -> int:
    """The HTTP status of an error, 0 where there is none."""
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") or 0)


@contextmanager
def words(place: Location, s3: Any) -> Iterator[None]:
    """Say boto3's errors as one sentence that names the address and what is wrong."""
    from botocore import exceptions

    try:
        yield
    except (exceptions.NoCredentialsError, exceptions.PartialCredentialsError, exceptions.TokenRetrievalError) as error:
        raise StorageError(f"{place}: no credentials: {error}", hint=CREDENTIALS) from error
    except exceptions.ClientError as error:
        raise _refusal(place, s3, error) from error
    except exceptions.IncompleteReadError as error:
        raise StorageError(f"{place}: the connection broke again and again: {error}", hint=_RESUMES) from error
    except (exceptions.HTTPClientError, exceptions.ConnectionError) as error:
        raise StorageError(f"{place}: the store cannot be reached: {error}", hint=NETWORK) from error
    except exceptions.BotoCoreError as error:
        raise StorageError(f"{place}: {error}") from error
    except Changed:
        raise StorageError(f"{place}: the object changes while it is read", hint="Run it again when it is complete.") from None
    except OSError as error:
        raise StorageError(f"{place}: a local file failed: {error}") from error


def _refusal(place: Location, s3: Any, error: Any) -> StorageError:
    """What a refused request means."""
    code, status = code_of(error), status_of(error)
    if code in ("400", "403"):  # the answer to HEAD has no body to say why; the one to a listing has
        code = _code_of_listing(place, s3) or code
    skew = _skew(error)
    if code == "RequestTimeTooSkewed" or (status == 403 and abs(skew) > _SKEW):
        return _skewed(place, skew)
    if code == "NoSuchBucket" or (status == 404 and code != "NoSuchKey" and not _bucket_exists(place, s3)):
        return StorageError(f"{place}: no such bucket: {place.bucket}", hint="Check the name, the region and AWS_ENDPOINT_URL.")
    if code in ("NoSuchKey", "404", "NotFound"):
        return StorageError(f"{place}: no such object in the bucket: {place.key}")
    if code in _REJECTED:
        return StorageError(f"{place}: the credentials are rejected ({code})", hint=CREDENTIALS)
    if code in _REGION:
        return StorageError(f"{place}: the bucket lies in another region ({code})", hint="Set AWS_DEFAULT_REGION.")
    if code == "InvalidObjectState":
        return StorageError(f"{place}: the object is archived", hint="Restore it from the archive first.")
    if status == 403:
        return StorageError(
            f"{place}: no permission (403)", hint="Reading needs s3:GetObject and s3:ListBucket, writing s3:PutObject."
        )
    if status >= 500 or status == 429:
        return StorageError(f"{place}: the store fails again and again ({status} {code})", hint=_RESUMES)
    return StorageError(f"{place}: {error}")


def _skewed(place: Location, skew: float) -> StorageError:
    side = "ahead of" if skew > 0 else "behind"
    far = f"{abs(skew) / 60:.0f} minutes {side} the store's" if abs(skew) > _SKEW else "too far from the store's"
    return StorageError(f"{place}: refused because of the clock: this machine's is {far}", hint=CLOCK)


def _skew(error: Any) -> float:
    """Seconds by which this machine's clock is ahead of the store's, by the Date of its answer; 0 where it says none."""
    from email.utils import parsedate_to_datetime

    said = error.response.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date", "")
    with suppress(ValueError, TypeError):
        return time.time() - parsedate_to_datetime(said).timestamp()
    return 0.0


def _bucket_exists(place: Location, s3: Any) -> bool:
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        s3.head_bucket(Bucket=place.bucket)
    except ClientError as error:
        return status_of(error) != 404
    except BotoCoreError:
        return True  # not known; the object is what was asked for
    return True


def _code_of_listing(place: Location, s3: Any) -> str:
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        s3.list_objects_v2(Bucket=place.bucket, MaxKeys=1)
    except ClientError as error:
        return code_of(error)
    except BotoCoreError:
        return ""
    return ""
