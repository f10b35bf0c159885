"""How fast an object comes from a store and results go there, against one request after another on the same server.

The server is a process of its own that keeps objects in memory and speaks as much S3 as is needed. Each of its connections
has a speed and each answer a delay, as a store at a distance has; `--rate 0 --delay 0` measures this machine alone.
Interleaved; medians.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from runner import storage

MB = 1024 * 1024
BLOCK = 256 * 1024
URI = "s3://bench/data.npy"
SMALL, SMALL_BYTES = 100, 20_000


OBJECTS: dict[str, tuple[bytes, str]] = {}
UPLOADS: dict[str, dict[int, bytes]] = {}


class Store(BaseHTTPRequestHandler):
    """HEAD, GET with ranges, PUT, and uploads in parts, over objects in memory."""

    protocol_version = "HTTP/1.1"
    rate = 0.0  # bytes per second and connection; 0 for no limit
    delay = 0.0  # seconds before an answer

    def do_HEAD(self) -> None:
        """Size and ETag."""
        data, etag = OBJECTS[self._split()[0]]
        self._answer(b"", {"Content-Length": str(len(data)), "ETag": etag})

    def do_GET(self) -> None:
        """An object or a range of it."""
        data, etag = OBJECTS[self._split()[0]]
        said = self.headers.get("Range")
        if not said:
            self._answer(data, {"ETag": etag})
            return
        start, end = (int(n or len(data) - 1) for n in said.removeprefix("bytes=").split("-"))
        self._answer(data[start : end + 1], {"ETag": etag, "Content-Range": f"bytes {start}-{end}/{len(data)}"}, 206)

    def do_PUT(self) -> None:
        """An object or a part of one."""
        body, (path, query) = self._take(), self._split()
        etag = f'"{hashlib.md5(body).hexdigest()}"'
        if "partNumber" in query:
            UPLOADS[query["uploadId"]][int(query["partNumber"])] = body
        else:
            OBJECTS[path] = body, etag
        self._answer(b"", {"ETag": etag})

    def do_POST(self) -> None:
        """Begin an upload in parts, or join them."""
        self._take()
        path, query = self._split()
        if "uploads" in query:
            name = f"u{time.monotonic_ns()}"
            UPLOADS[name] = {}
            self._answer(f"<InitiateMultipartUploadResult><UploadId>{name}</UploadId></InitiateMultipartUploadResult>".encode())
            return
        parts = UPLOADS.pop(query["uploadId"])
        OBJECTS[path] = b"".join(parts[n] for n in sorted(parts)), '"joined"'
        self._answer(b"<CompleteMultipartUploadResult><ETag>joined</ETag></CompleteMultipartUploadResult>")

    def _take(self) -> bytes:
        left, blocks = int(self.headers.get("Content-Length") or 0), []
        while left:
            blocks.append(self.rfile.read(min(left, BLOCK)))
            left -= len(blocks[-1])
            self._pace(len(blocks[-1]))
        return b"".join(blocks)

    def _answer(self, data: bytes, headers: dict[str, str] | None = None, status: int = 200) -> None:
        time.sleep(self.delay)
        self.send_response_only(status)
        for name, value in ({"Content-Length": str(len(data))} | (headers or {})).items():
            self.send_header(name, value)
        self.end_headers()
        for start in range(0, len(data), BLOCK):
            self.wfile.write(data[start : start + BLOCK])
            self._pace(BLOCK)

    def _pace(self, count: int) -> None:
        if self.rate:
            time.sleep(count / self.rate)

    def _split(self) -> tuple[str, dict[str, str]]:
        path, _, query = self.path.partition("?")
        return path, {name: value for name, _, value in (word.partition("=") for word in query.split("&"))}

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def main() -> int:
    """Measure and print a table or JSON; 1 when reading in parts is not faster than one reading at the given speed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=64, help="MB of the object (default 64)")
    parser.add_argument("--rate", type=float, default=20.0, help="MB/s of one connection, 0 for no limit (default 20)")
    parser.add_argument("--delay", type=float, default=20.0, help="ms before an answer (default 20)")
    parser.add_argument("--rounds", type=int, default=3, help="interleaved rounds (default 3)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of the table")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        return serve(options.rate * MB, options.delay / 1000)
    with server(options), tempfile.TemporaryDirectory() as folder:
        seconds = measure(Path(folder), options)
    rows = {name: {"seconds": round(statistics.median(times), 3)} for name, times in seconds.items()}
    for name, row in rows.items():
        plain = rows[f"{name.partition(':')[0]}: one after another"]
        row["ratio"] = round(plain["seconds"] / row["seconds"], 2)
    if options.json:
        print(json.dumps({**vars(options), "ways": rows}, indent=2))
    else:
        show(rows, options)
    return 0 if not options.rate or rows["down: skillbank"]["ratio"] > 1 else 1


def serve(rate: float, delay: float) -> int:
    """Be the server: say the port on stdout and serve until stdin closes."""
    import threading

    Store.rate, Store.delay = rate, delay
    with ThreadingHTTPServer(("127.0.0.1", 0), Store) as http:
        http.daemon_threads = True
        threading.Thread(target=http.serve_forever, daemon=True).start()
        print(http.server_port, flush=True)
        sys.stdin.read()
        http.shutdown()
    return 0


@contextmanager
def server(options: argparse.Namespace) -> Iterator[None]:
    """A server process, and the surroundings that point boto3 at it."""
    command = [sys.executable, __file__, "--serve", "--rate", str(options.rate), "--delay", str(options.delay)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        os.environ |= {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{process.stdout.readline().strip()}",
            "AWS_ACCESS_KEY_ID": "bench",
            "AWS_SECRET_ACCESS_KEY": "bench",
            "AWS_DEFAULT_REGION": "us-east-1",
            "NO_PROXY": "*",
        }
        yield
        process.stdin.close()


def measure(folder: Path, options: argparse.Namespace) -> dict[str, list[float]]:
    """Seconds of every way, round by round."""
    s3 = client()
    s3.put_object(Bucket="bench", Key="data.npy", Body=os.urandom(options.size * MB))
    results = make_results(folder / "results", options.size)
    ways: dict[str, Callable[[], object]] = {
        "down: one after another": lambda: read_serially(s3, folder / "serial.npy"),
        "down: boto3 download_file": lambda: s3.download_file("bench", "data.npy", str(folder / "boto3.npy")),
        "down: skillbank": lambda: storage.fetch(URI, folder / "cache"),
        "down: skillbank, cached": lambda: storage.fetch(URI, folder / "cache"),
        "up: one after another": lambda: write_serially(s3, results),
        "up: skillbank": lambda: storage.upload_tree(results, "s3://bench/up"),
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(options.rounds):
        shutil.rmtree(folder / "cache", ignore_errors=True)
        for name, way in ways.items():
            began = time.perf_counter()
            way()
            seconds[name].append(time.perf_counter() - began)
    return seconds


def client() -> Any:
    """A client as the plain ways have it."""
    import boto3
    from botocore.config import Config

    return boto3.Session().client("s3", config=Config(request_checksum_calculation="when_required"))


def make_results(folder: Path, size: int) -> Path:
    """A results folder: one large checkpoint and many small files."""
    folder.mkdir()
    (folder / "model.pth").write_bytes(os.urandom(size * MB))
    for n in range(SMALL):
        (folder / f"{n}.txt").write_bytes(os.urandom(SMALL_BYTES))
    return folder


def read_serially(s3: Any, path: Path) -> None:
    """One request, one connection, and the content compared with the ETag."""
    answer = s3.get_object(Bucket="bench", Key="data.npy")
    md5 = hashlib.md5()
    with path.open("wb") as file:
        for block in answer["Body"].iter_chunks(MB):
            file.write(block)
            md5.update(block)
    assert md5.hexdigest() == answer["ETag"].strip('"')


def write_serially(s3: Any, folder: Path) -> None:
    """One request per file."""
    for path in sorted(folder.iterdir()):
        s3.put_object(Bucket="bench", Key=f"serial/{path.name}", Body=path.read_bytes())


def show(rows: dict[str, dict[str, float]], options: argparse.Namespace) -> None:
    """The table."""
    speed = f"{options.rate:g} MB/s" if options.rate else "no limit"
    print(f"{options.size} MB down; {options.size} MB and {SMALL} small files up; a connection: {speed}, {options.delay:g} ms")
    for name, row in rows.items():
        print(f"  {name:<28}{row['seconds']:8.3f} s   {row['ratio']:6.2f} times as fast")


if __name__ == "__main__":
    sys.exit(main())
