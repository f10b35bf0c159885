"""A PostgreSQL of the tests' own, and a process of `skillbank` on what stands for another machine: a workspace of its own."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from conftest import Done, call

PASSWORD = "Pg-s3cret/42"
SAID = "Pg-s3cret%2F42"  # the same in an address
NOBODY = 65534


def until(condition: Callable[[], Any], seconds: float = 60.0) -> Any:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if value := condition():
            return value
        time.sleep(0.05)
    raise AssertionError("did not happen in time")


def binary(name: str) -> str | None:
    """A program of PostgreSQL: on the path, or where Debian keeps it."""
    places = [str(path) for path in sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)]
    return shutil.which(name) or shutil.which(name, path=os.pathsep.join(places))


class Server:
    """PostgreSQL with a password, in a folder that its user may enter; it can be away for a while."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.folder, self.log = folder, folder / "log"
        self.url = f"postgresql+psycopg://me@127.0.0.1:{self.port}/postgres"
        # It refuses to run as root, and nobody else may look into the folders of pytest.
        self.who: dict[str, Any] = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}
        password = folder / "password"
        password.write_text(PASSWORD)
        if self.who:
            for path in (folder, password):
                os.chown(path, NOBODY, NOBODY)
        initdb = [str(binary("initdb")), "-D", f"{folder}/data", "-U", "me", "-A", "scram-sha-256", f"--pwfile={password}"]
        quick = ["--no-sync", "--no-locale", "-E", "UTF8"]
        subprocess.run([*initdb, *quick], cwd="/", check=True, stdout=subprocess.DEVNULL, **self.who)

    def start(self) -> None:
        options = ["-k", "", "-h", "127.0.0.1", "-p", str(self.port), "-c", "fsync=off", "-c", "shared_buffers=16MB"]
        command = [str(binary("postgres")), "-D", f"{self.folder}/data", *options]
        with open(self.log, "wb") as sink:
            self.process = subprocess.Popen(command, cwd="/", stdout=sink, stderr=sink, **self.who)
        until(lambda: b"ready to accept connections" in self.log.read_bytes())

    def stop(self) -> None:
        self.process.send_signal(signal.SIGINT)  # fast: it does not wait for those who are connected
        self.process.wait(30)


@contextmanager
def postgres() -> Iterator[Server]:
    with tempfile.TemporaryDirectory() as name:
        server = Server(Path(name))
        server.start()
        try:
            yield server
        finally:
            server.stop()


class Machine:
    """What stands for a machine: a workspace that others do not see once it is hidden."""

    def __init__(self, folder: Path, env: dict[str, str]) -> None:
        self.folder, self.env = folder, env
        folder.mkdir()
        (folder / "data.txt").write_text("1 2 3")

    def __call__(self, *words: Any, **env: str) -> Done:
        return call("runner.cli", words, self.folder, {**self.env, **env})

    def start(self, *words: Any) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "runner.cli", *map(str, words)]
        pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        return subprocess.Popen(command, cwd=self.folder, env={**os.environ, **self.env}, **pipes)

    def jobs(self, **fields: Any) -> list[dict[str, Any]]:
        """The records of this workspace, or those of them with these fields."""
        found = [json.loads(path.read_text()) for path in sorted((self.folder / "workspace" / "jobs").glob("[!.]*.json"))]
        return [one for one in found if all(one[key] == value for key, value in fields.items())]

    def search(self) -> dict[str, Any] | None:
        """The record of the newest job that is a search, or works on one."""
        return max((one for one in self.jobs() if one["automl"]), key=lambda one: one["submitted_at"], default=None)

    def trained(self, epoch: int) -> dict[str, Any] | None:
        """A trial that is running here and has come to that epoch."""
        for job in self.jobs(state="RUNNING"):
            if job["study_job"] and list(Path(job["results_dir"]).glob(f"model_epoch_{epoch:03d}_*")):
                return job
        return None

    @contextmanager
    def hidden(self) -> Iterator[None]:
        """For the length of the block nobody sees this machine's files."""
        away = self.folder.with_name(f".{self.folder.name}")
        self.folder.rename(away)
        try:
            yield
        finally:
            away.rename(self.folder)
