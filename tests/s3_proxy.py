"""A proxy before an S3 server that keeps count of the requests and does to some of them what networks and stores do."""

from __future__ import annotations

import base64
import hashlib
import http.client
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple
from urllib.parse import urlsplit


class Call(NamedTuple):
    """One request: method, path with query, the Range asked for ("" for none)."""

    method: str
    path: str
    range: str


class Fault(NamedTuple):
    """What happens to a request. ``after``: bytes of the body that still come through untouched."""

    kind: str  # drop, cut, stall, slow, flip, status, damage
    after: int = 0
    status: int = 500
    code: str = "InternalError"
    clock: float = 0.0  # seconds the store's clock is ahead
    seconds: float = 0.0


class Proxy:
    """The proxy's address, what it has seen, and what it does: ``faults`` gives a fault, or None, for each call."""

    def __init__(self, upstream: str) -> None:
        self.upstream = urlsplit(upstream).netloc
        self.calls: list[Call] = []
        self.faults: Callable[[Call, int], Fault | None] = lambda _call, _number: None
        self.active = self.most_active = 0
        self.lock = threading.Lock()
        self.closing = threading.Event()
        self.url = ""

    def first(self, times: int, fault: Fault, method: str = "GET") -> None:
        """Do this to the first so many calls of a method."""
        left = [times]

        def pick(call: Call, _number: int) -> Fault | None:
            if call.method != method or left[0] <= 0:
                return None
            left[0] -= 1
            return fault

        self.faults = pick

    def count(self, method: str) -> int:
        return sum(call.method == method for call in self.calls)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    proxy: Proxy

    def do(self) -> None:
        proxy = self.proxy
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        call = Call(self.command, self.path, self.headers.get("Range") or "")
        with proxy.lock:
            number = len(proxy.calls)
            proxy.calls.append(call)
            fault = proxy.faults(call, number)
            proxy.active += 1
            proxy.most_active = max(proxy.most_active, proxy.active)
        try:
            self.act(fault, body)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True
        finally:
            with proxy.lock:
                proxy.active -= 1

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = do

    def act(self, fault: Fault | None, body: bytes) -> None:
        kind = fault.kind if fault else ""
        if fault and kind == "drop":
            return self.hang_up()
        if fault and kind == "status":
            return self.answer_error(fault)
        if fault and kind == "damage":
            body = bytes([body[0] ^ 1]) + body[1:]
        md5 = base64.b64encode(hashlib.md5(body).digest()).decode()
        if body and self.headers.get("Content-MD5", md5) != md5:  # S3 compares, moto does not
            return self.answer_error(Fault("status", status=400, code="BadDigest"))
        status, headers, data = self.forward(body)
        self.send_response_only(status)
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return None
        return self.send(fault, data)

    def send(self, fault: Fault | None, data: bytes) -> None:
        kind = fault.kind if fault else ""
        if fault and kind in ("cut", "stall"):
            self.wfile.write(data[: fault.after])
            self.wfile.flush()
            if kind == "stall":
                self.proxy.closing.wait(fault.seconds)
            return self.hang_up()
        if fault and kind == "flip" and len(data) > fault.after:
            data = data[: fault.after] + bytes([data[fault.after] ^ 1]) + data[fault.after + 1 :]
        if fault and kind == "slow":
            for start in range(0, len(data), 64 * 1024):
                self.wfile.write(data[start : start + 64 * 1024])
                time.sleep(fault.seconds)
            return None
        self.wfile.write(data)
        return None

    def forward(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        skip = {"expect", "connection", "host", "content-length"}
        headers = {k: v for k, v in self.headers.items() if k.lower() not in skip}
        connection = http.client.HTTPConnection(self.proxy.upstream, timeout=30)
        try:
            connection.request(self.command, self.path, body=body, headers=headers | {"Host": self.proxy.upstream})
            answer = connection.getresponse()
            data = answer.read()
            skip = {"transfer-encoding", "connection"} | (set() if self.command == "HEAD" else {"content-length"})
            kept = [(k, v) for k, v in answer.getheaders() if k.lower() not in skip]
            if self.command != "HEAD":
                kept.append(("Content-Length", str(len(data))))
            return answer.status, kept, data
        finally:
            connection.close()

    def answer_error(self, fault: Fault) -> None:
        text = f"<Error><Code>{fault.code}</Code><Message>injected</Message></Error>".encode()
        self.send_response_only(fault.status)
        self.send_header("Date", formatdate(time.time() + fault.clock, usegmt=True))
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(text)

    def hang_up(self) -> None:
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def proxy_to(upstream: str) -> Iterator[Proxy]:
    """Run a proxy before the server at ``upstream`` for the length of the block."""
    proxy = Proxy(upstream)
    with ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"proxy": proxy})) as server:
        server.daemon_threads = True
        proxy.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield proxy
        finally:
            proxy.closing.set()
            server.shutdown()
            thread.join()
