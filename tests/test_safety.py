"""What a hostile name, link, archive or neighbour could do, and what a job leaves on disk and sends to the network."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import ROOT, call
from trainer_cases import train_spec

from runner import private
from runner.errors import SkillBankError, StorageError
from runner.jobs import JobStore
from runner.storage import down, place
from stgcn import config, crypto, files, fit, status
from stgcn.errors import ResourceError
from stgcn.formats import npz

KEY = "correct-horse-battery"
# Loaded by every Python process of a job: notes each address that is looked up or spoken to, and refuses it.
GUARD = """
import os, sys
LOCAL = ("127.", "::1", "localhost", "0.0.0.0")
def guard(event, arguments):
    if event in ("socket.connect", "socket.sendto", "socket.getaddrinfo", "socket.gethostbyname"):
        target = arguments[1] if event in ("socket.connect", "socket.sendto") else arguments[0]
        host = target[0] if isinstance(target, tuple) else target
        if event in ("socket.connect", "socket.sendto") and not isinstance(target, tuple):
            return  # a socket of this machine, or of the kernel
        if not str(host).startswith(LOCAL):
            with open(os.environ["GUARD_LOG"], "a") as log:
                log.write(f"{event} {target!r}\\n")
            raise OSError(f"no network here: {event} {target!r}")
sys.addaudithook(guard)
"""


class Ran:
    """A keyed training, its evaluation and its report, each started as its user would, without a network."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.workspace, self.guard_log = folder, folder / "workspace", folder / "network.txt"
        guard = folder / "guard"
        guard.mkdir()
        (guard / "sitecustomize.py").write_text(GUARD)
        self.guard_log.write_text("")
        spec = train_spec(folder / "data", folder / "unused", num_epochs=1)
        (folder / "data" / "label_map.json").write_text(json.dumps(spec["dataset"]["label_map"]))
        for kind in ("data.npy", "label.pkl"):
            os.link(folder / "data" / f"val_{kind}", folder / "data" / f"test_{kind}")
        settings = ("model.graph_layout=coco", "num_epochs=1", "dataset.batch_size=5", "train.num_gpus=1")
        words = [word for one in settings for word in ("--set", one)]
        skill = "tao-train-pose-classification"
        self.train = self("run", skill, "train", "--dataset", folder / "data", "--automl", "off", "--recipe", "none", *words)
        job = self.train.data["job_id"]
        self.evaluate = self("run", skill, "evaluate", "--parent", job, "--dataset", folder / "data")
        self.report = self("report", self.evaluate.data["job_id"])
        self.said = "".join(done.out + done.err for done in (self.train, self.evaluate, self.report))

    def __call__(self, *words: Any) -> Any:
        env = {
            "SKILLBANK_ENCRYPTION_KEY": KEY,
            "GUARD_LOG": str(self.guard_log),
            "PYTHONPATH": os.pathsep.join([str(self.folder / "guard"), str(ROOT)]),
            "WANDB_API_KEY": "0123456789abcdef0123456789abcdef01234567",
            "OMP_NUM_THREADS": "1",
        }
        done = call("runner.cli", (*words, "--json"), self.folder, env)
        assert done.code == 0, done.out + done.err
        return done


@pytest.fixture(scope="session")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    before = os.umask(0o022)
    try:
        return Ran(tmp_path_factory.mktemp("safe"))
    finally:
        os.umask(before)


# -- what a job leaves ---------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_key_is_in_no_byte_that_a_job_wrote(ran: Ran) -> None:
    found = [path for path in ran.folder.rglob("*") if path.is_file()]
    assert len(found) > 25
    for path in found:
        content = path.read_bytes()
        assert KEY.encode() not in content, path
        assert KEY.encode("utf-16-le") not in content, path
        assert b"0123456789abcdef0123456789abcdef01234567" not in content, path
    assert KEY not in ran.said


@pytest.mark.slow
def test_its_checkpoints_are_encrypted(ran: Ran) -> None:
    checkpoints = list(ran.workspace.rglob("*.pth"))
    assert checkpoints
    assert all(crypto.is_sealed(path) for path in checkpoints)
    assert ran.evaluate.data["metrics"]["sequences"] == 3


@pytest.mark.slow
def test_nothing_calls_home(ran: Ran) -> None:
    """Trainer, evaluation and report, with all libraries they import, at their defaults."""
    assert ran.guard_log.read_text() == ""


@pytest.mark.slow
def test_the_guard_would_have_seen_it(ran: Ran) -> None:
    code = "import socket\ntry: socket.create_connection(('example.invalid', 80), 1)\nexcept OSError as e: print(e)"
    env = {**os.environ, "PYTHONPATH": str(ran.folder / "guard"), "GUARD_LOG": str(ran.folder / "other.txt")}
    subprocess.run([sys.executable, "-c", code], env=env, check=True, capture_output=True, timeout=60)
    assert "example.invalid" in (ran.folder / "other.txt").read_text()


def test_wandb_tells_its_makers_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_ERROR_REPORTING", "")  # so that it is as before when the test has ended
    monkeypatch.delenv("WANDB_ERROR_REPORTING")
    seen = []
    monkeypatch.setattr(fit, "WandbLogger", lambda **_: seen.append(os.environ.get("WANDB_ERROR_REPORTING")))
    fit.loggers_for(config.Wandb(enable=True), tmp_path)
    assert seen == ["false"]


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.slow
def test_state_is_private_and_results_are_the_user_s_affair(ran: Ran) -> None:
    job = ran.train.data["job_id"]
    folders = [ran.workspace / "jobs", ran.workspace / "results" / job / "logs"]
    for folder in folders:
        assert mode(folder) == 0o700, folder
        assert {mode(path) for path in folder.iterdir()} == {0o600}, folder
    results = ran.workspace / "results" / job / "results_dir"
    assert mode(results) == 0o755
    assert {mode(path) for path in results.glob("*.pth")} == {0o644}


def test_a_small_job_leaves_private_state(toy: Any) -> None:
    done = toy.run("--set", "num_epochs=1")
    job = toy.folder / "workspace" / "results" / done.data["job_id"]
    toy("plan", "tao-train-toy", "train", "--dataset", toy.folder)
    for folder in (toy.folder / "workspace" / "jobs", toy.folder / "workspace" / "plans", job / "logs"):
        assert mode(folder) == 0o700, folder
        assert {mode(path) for path in folder.iterdir()} == {0o600}, folder
    umask = os.umask(0)
    os.umask(umask)
    assert mode(job / "results_dir") == 0o777 & ~umask


def test_who_opens_the_folder_opens_its_records(tmp_path: Path) -> None:
    store = JobStore(tmp_path / "workspace")
    fields = {"skill": "s", "network_arch": "n", "action": "train", "results_dir": str(tmp_path)}
    store.open({"id": "first", **fields}).close()
    store.folder.chmod(0o750)
    store.open({"id": "second", **fields}).close()
    assert (mode(store.path("first")), mode(store.path("second"))) == (0o600, 0o640)
    assert mode(store.folder) == 0o750


# -- links ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    """A file that a planted link points to, and that nobody may write."""
    path = tmp_path / "precious"
    path.write_text("as it was")
    return path


def test_a_status_log_is_not_written_through_a_link(tmp_path: Path, victim: Path) -> None:
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / status.FILE_NAME).symlink_to(victim)
    with pytest.raises(ResourceError, match=r"status.json is a symbolic link"):
        status.StatusLog(tmp_path / "results", "train").write("STARTED", "x")
    assert victim.read_text() == "as it was"


@pytest.mark.parametrize("name", ["metrics.csv", "model_epoch_000_step_00002.pth", "results.txt", "model.onnx"])
def test_a_result_takes_the_place_of_a_link(tmp_path: Path, victim: Path, name: str) -> None:
    (tmp_path / name).symlink_to(victim)
    files.write_text(tmp_path / name, "new")
    assert (victim.read_text(), (tmp_path / name).read_text()) == ("as it was", "new")
    assert not (tmp_path / name).is_symlink()


@pytest.mark.parametrize("kind", ["lock", "lease"])
def test_a_record_is_not_opened_through_a_link(tmp_path: Path, victim: Path, kind: str) -> None:
    store = JobStore(tmp_path / "workspace")
    store.folder.mkdir(parents=True)
    (store.folder / f".planted.{kind}").symlink_to(victim)
    fields = {"skill": "s", "network_arch": "n", "action": "train", "results_dir": str(tmp_path)}
    with pytest.raises(SkillBankError, match="it is a symbolic link") as error:
        store.open({"id": "planted", **fields})
    assert error.value.exit_code == 7
    assert victim.read_text() == "as it was"


@pytest.mark.parametrize("detach", [False, True])
def test_a_log_is_not_written_through_a_link(toy: Any, victim: Path, detach: bool) -> None:
    logs = toy.folder / "workspace" / "results" / "planted" / "logs"
    logs.mkdir(parents=True)
    (logs / ("supervisor.log" if detach else "job.log")).symlink_to(victim)
    done = toy.run("--set", "num_epochs=1", "--job-id", "planted", *["--detach"] * detach)
    assert done.code == 7
    assert "it is a symbolic link" in done.out
    assert victim.read_text() == "as it was"


def test_a_private_file_takes_the_place_of_a_link_and_guesses_no_name(tmp_path: Path, victim: Path) -> None:
    for name in ("record.json", f".record.json.{os.getpid()}.tmp"):
        (tmp_path / name).symlink_to(victim)
    private.replace(tmp_path / "record.json", "new")
    assert (tmp_path / "record.json").read_text() == "new"
    assert victim.read_text() == "as it was"
    assert len(list(tmp_path.iterdir())) == 3


def test_a_write_that_fails_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "record.json").mkdir()
    with pytest.raises(OSError, match="directory"):
        private.replace(tmp_path / "record.json", "new")
    assert [path.name for path in tmp_path.iterdir()] == ["record.json"]


# -- names ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["set/..", "..", "a/../", ".", "x/./"])
def test_no_address_in_storage_leads_out_of_the_cache(tmp_path: Path, key: str) -> None:
    with pytest.raises(StorageError, match="has no name that a file can have"):
        down._name(place.Location("bucket", key))


def test_members_of_an_archive_are_read_and_never_unpacked(tmp_path: Path) -> None:
    inside = tmp_path / "in"
    inside.mkdir()
    np.save(inside / "clip.npy", np.zeros((2, 3), np.float32))
    with zipfile.ZipFile(inside / "set.npz", "w") as archive:
        for name in ("../../escaped.npy", "/tmp/escaped.npy", "ok.npy"):
            archive.write(inside / "clip.npy", name)
    before = sorted(tmp_path.rglob("*"))
    found = npz.members(inside / "set.npz")
    assert all(member.whole().shape == (2, 3) for member in found.values())
    assert sorted(tmp_path.rglob("*")) == before
    assert not Path("/tmp/escaped.npy").exists()


def test_a_class_name_cannot_make_lines(tmp_path: Path) -> None:
    names = ["walk", "two\nlines", "bell\x07", "é", "sep\u2028arator"]
    lines = files.write_lines(tmp_path / "labels.txt", names).read_text().splitlines()
    assert lines == ["walk", "two\\nlines", "bell\\x07", "é", "sep\\u2028arator"]


@pytest.mark.parametrize(
    "words", [("--dataset", ""), ("--results", ""), ("--set", "results_dir="), ("--set", "train.results_dir=")]
)
def test_an_address_of_another_kind_is_no_folder_and_shows_no_password(toy: Any, words: tuple[str, str]) -> None:
    address = "https://bob:hunter2-pw@host.example/x"
    flag, key = words
    answer = toy("plan", "tao-train-toy", "train", flag, key + address)
    assert answer.code in (2, 3)
    assert "not supported" in answer.err
    assert "s3://" in answer.err
    assert "hunter2" not in answer.err + answer.out
    assert not [
        path for path in toy.folder.rglob("*") if "hunter2" in path.name or (path.is_file() and b"hunter2" in path.read_bytes())
    ]
