"""s3:// to local files and back. Knows buckets and bytes; not what the files mean nor why they move."""

from runner.storage.check import check_bucket, preflight
from runner.storage.down import fetch
from runner.storage.look import Look
from runner.storage.place import Limits, Location, Moved, Progress, is_remote, parse
from runner.storage.single import names, put, remove
from runner.storage.stamp import stamps
from runner.storage.thin import thin
from runner.storage.up import MANIFEST, upload_tree

__all__ = [
    "MANIFEST",
    "Limits",
    "Location",
    "Look",
    "Moved",
    "Progress",
    "check_bucket",
    "fetch",
    "is_remote",
    "names",
    "parse",
    "preflight",
    "put",
    "remove",
    "stamps",
    "thin",
    "upload_tree",
]
