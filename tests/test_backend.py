"""Entrypoints run here and in real child processes: answers, failures in words, ends by signals, no survivors."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from runner import backend, private
from runner.errors import Canceled, JobFailed

HERE = str(Path(__file__).parent)
SLOW_MACHINE = 30  # seconds that a thing may take before a test gives up on it


@pytest.fixture(autouse=True)
def _entrypoints_on_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", HERE)
    monkeypatch.syspath_prepend(HERE)


@pytest.fixture(params=["child", "worker"])
def run(request: pytest.FixtureRequest) -> Iterator[Callable[..., backend.Outcome]]:
    """Runs an entrypoint: in a child process, and as a copy of a warm one, which has to make no difference."""
    with backend.Worker() as worker:
        way = backend.run_child if request.param == "child" else worker.run

        def running(tmp_path: Path, name: str, spec: dict | None = None, **settings) -> backend.Outcome:
            files = {"log": tmp_path / "logs" / "job.log", "outcome": tmp_path / "outcome.json"}
            return way(f"entrypoints:{name}", {"folder": str(tmp_path), **(spec or {})}, **files, **settings)

        yield running


def wait_for(condition, what: str):
    deadline = time.monotonic() + SLOW_MACHINE
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.02)
    pytest.fail(f"{what}: not within {SLOW_MACHINE} s")


def pids(tmp_path: Path) -> list[int]:
    path = tmp_path / "pids"
    wait_for(path.exists, "the trainer has started")
    return [int(word) for word in path.read_text().split()]


def is_running(pid: int) -> bool:
    """Alive and no zombie: in a container nobody may reap orphans."""
    try:
        state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout
    except FileNotFoundError:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2] if Path(f"/proc/{pid}").exists() else ""
    return bool(state.strip()) and not state.strip().startswith("Z")


def test_a_child_answers_with_metrics_artifacts_and_checkpoints(run, tmp_path):
    outcome = run(tmp_path, "ok", env={"COLOUR": "red"})
    assert outcome.metrics["val_loss"] == 0.5
    assert outcome.metrics["env"] == "red"
    assert outcome.metrics["stdin"] == ""  # the lifeline is not the trainer's to read
    assert outcome.metrics["group"] != os.getpgrp()
    assert outcome.artifacts == {"checkpoint": str(tmp_path / "model.pth")}
    assert outcome.checkpoints == [{"path": "model.pth", "epoch": 0}]
    log = (tmp_path / "logs" / "job.log").read_text()
    assert "hello from the trainer" in log
    assert "INFO said through the logger" in log


def test_here_gives_the_same_outcome(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    outcome = backend.run_here("entrypoints:ok", {"folder": str(tmp_path)})
    assert outcome.artifacts == {"checkpoint": str(tmp_path / "model.pth")}


@pytest.mark.parametrize(
    ("entrypoint", "code", "says"),
    [
        ("entrypoints:users_mistake", 4, "users_mistake"),
        ("entrypoints:defect", 1, "KeyError: 'no such thing'"),
        ("entrypoints:returns_nothing", 1, "did not return a dict with metrics but NoneType"),
        ("entrypoints:absent", 1, "the entrypoint 'entrypoints:absent' cannot be loaded"),
        ("no_such_module:run", 1, "the entrypoint 'no_such_module:run' cannot be loaded"),
        ("entrypoints:HERE.x", 1, "'entrypoints:HERE.x' cannot be loaded"),
        ("nonsense", 1, "'nonsense' cannot be loaded"),
        ("entrypoints:logging", 1, "is not a function"),
    ],
)
def test_failures_here_are_said_in_words(entrypoint, code, says):
    with pytest.raises(JobFailed) as caught:
        backend.run_here(entrypoint, {})
    assert caught.value.exit_code == code
    assert code == 4 or says in str(caught.value)


def test_a_users_mistake_comes_back_as_its_problems_without_traceback(run, tmp_path):
    with pytest.raises(JobFailed) as caught:
        run(tmp_path, "users_mistake")
    error = caught.value
    assert error.exit_code == 4
    assert [p.says for p in error.problems] == ["train_data.npy: empty", "train_label.pkl: missing"]
    assert error.message == "entrypoints stopped: 2 problems"
    assert str(tmp_path / "logs" / "job.log") in error.hint
    assert "Traceback" not in (tmp_path / "logs" / "job.log").read_text()
    assert "train_data.npy: empty" in (tmp_path / "logs" / "job.log").read_text()


def test_a_defect_names_its_class_and_shows_the_end_of_the_log(run, tmp_path):
    with pytest.raises(JobFailed) as caught:
        run(tmp_path, "defect")
    assert caught.value.exit_code == 1
    assert "KeyError: 'no such thing'" in caught.value.message
    assert "entrypoints.py" in caught.value.hint
    assert "Traceback" in (tmp_path / "logs" / "job.log").read_text()


@pytest.mark.parametrize(
    ("name", "spec", "says"),
    [
        ("absent", {}, "the entrypoint 'entrypoints:absent' cannot be loaded"),
        ("not_plain", {}, "not JSON serializable"),
        ("leaves", {"code": 3}, "sys.exit(3)"),
        ("kills_itself", {"signal": signal.SIGKILL}, "out of memory"),
        ("kills_itself", {"signal": signal.SIGSEGV}, "crashed in native code (SIGSEGV)"),
        ("kills_itself", {"signal": signal.SIGUSR1}, "ended by SIGUSR1"),
    ],
)
def test_other_ends_of_a_child_are_explained(run, tmp_path, name, spec, says):
    with pytest.raises(JobFailed, match="failed") as caught:
        run(tmp_path, name, spec)
    assert says in caught.value.message
    assert caught.value.exit_code == spec.get("code", 1)


@pytest.mark.parametrize(
    ("name", "spec", "code"),
    [("kills_itself", {"signal": signal.SIGTERM}, 143), ("interrupted", {}, 130), ("leaves", {"code": 143}, 143)],
)
def test_a_signal_from_outside_is_a_cancel(run, tmp_path, name, spec, code):
    with pytest.raises(Canceled) as caught:
        run(tmp_path, name, spec)
    assert caught.value.exit_code == code


def test_an_answer_of_an_earlier_run_is_never_taken_for_this_one(run, tmp_path):
    run(tmp_path, "ok")
    with pytest.raises(JobFailed):
        run(tmp_path, "kills_itself", {"signal": signal.SIGKILL})


def test_lines_of_the_log_are_heard_as_they_come(run, tmp_path):
    log = tmp_path / "logs" / "job.log"
    log.parent.mkdir()
    log.write_text("of an earlier run\n")
    heard: list[str] = []
    ticks: list[int] = []
    run(tmp_path, "counts", on_line=heard.append, on_tick=lambda: ticks.append(1))
    assert [line for line in heard if line.startswith("line")] == ["line 0", "line 1", "line 2"]
    assert "of an earlier run" not in heard
    assert ticks
    assert log.read_text().startswith("of an earlier run\n")


def test_a_control_is_asked_in_this_process_and_its_word_ends_the_training(run, tmp_path):
    told = []

    def control(epoch: int, metrics: dict[str, float]) -> bool:
        told.append((epoch, metrics, os.getpid()))
        return epoch == 2

    assert run(tmp_path, "controlled", control=control).metrics == {"epochs": 2, "asked": True}
    assert told == [(1, {"val_loss": 1.0}, os.getpid()), (2, {"val_loss": 0.5}, os.getpid())]
    assert run(tmp_path, "controlled").metrics == {"epochs": 3, "asked": False}
    assert run(tmp_path, "ok", control=control).metrics["val_loss"] == 0.5  # which takes none


def test_an_error_of_the_control_ends_the_child(run, tmp_path):
    def breaks(epoch: int, metrics: dict[str, float]) -> bool:
        raise ConnectionError(f"nobody there after {epoch}")

    with pytest.raises(ConnectionError, match="nobody there after 1"):
        run(tmp_path, "controlled", control=breaks)


@pytest.mark.parametrize(
    ("entrypoint", "takes"),
    [
        ("entrypoints:controlled", True),
        ("entrypoints:ok", False),
        ("stgcn.train:run", True),
        ("entrypoints:HERE", None),
        ("no_such_module:run", None),
    ],
)
def test_whether_it_takes_a_control_is_read_from_its_source(entrypoint, takes):
    assert backend.takes_control(entrypoint) is takes


def test_stop_lets_the_trainer_tidy_up(run, tmp_path):
    with pytest.raises(Canceled) as caught:
        run(tmp_path, "waits", should_stop=lambda: signal.SIGINT if (tmp_path / "started").exists() else None)
    assert caught.value.exit_code == 130
    assert (tmp_path / "tidied").exists()


def test_stop_leaves_no_survivors_even_of_a_trainer_that_ignores_it(run, tmp_path):
    started = time.monotonic()
    with pytest.raises(Canceled) as caught:
        run(tmp_path, "stubborn", should_stop=lambda: signal.SIGTERM if (tmp_path / "pids").exists() else None, grace=0.5)
    assert caught.value.exit_code == 143
    assert time.monotonic() - started < SLOW_MACHINE
    for pid in pids(tmp_path):
        wait_for(lambda pid=pid: not is_running(pid), f"process {pid} is gone")


def test_a_normal_end_leaves_no_survivors_either(run, tmp_path):
    run(tmp_path, "leaves_a_child")
    (grandchild,) = pids(tmp_path)
    wait_for(lambda: not is_running(grandchild), "the trainer's child is gone")


def test_an_exception_in_a_callback_ends_the_child(run, tmp_path):
    def trip() -> None:
        if (tmp_path / "pids").exists():
            raise RuntimeError("tripped")

    with pytest.raises(RuntimeError, match="tripped"):
        run(tmp_path, "stubborn", on_tick=trip, grace=0.2)
    for pid in pids(tmp_path):
        wait_for(lambda pid=pid: not is_running(pid), f"process {pid} is gone")


@pytest.mark.parametrize("name", ["fragile", "stubborn"])
def test_a_killed_parent_takes_the_whole_group_with_it(tmp_path, name):
    program = (
        "import sys; from pathlib import Path; from runner import backend; folder = Path(sys.argv[1])\n"
        "settings = dict(log=folder / 'log', outcome=folder / 'outcome', grace=0.5)\n"
        f"backend.run_child('entrypoints:{name}', dict(folder=str(folder)), **settings)"
    )
    parent = subprocess.Popen([sys.executable, "-c", program, str(tmp_path)])
    try:
        running = pids(tmp_path)
        assert all(map(is_running, running))
    finally:
        parent.kill()
        parent.wait()
    for pid in running:
        wait_for(lambda pid=pid: not is_running(pid), f"process {pid} is gone")


def test_the_working_directory_is_not_on_the_childs_path(run, tmp_path, monkeypatch):
    (tmp_path / "random.py").write_text("raise SystemExit('the wrong module')")
    monkeypatch.chdir(tmp_path)
    assert run(tmp_path, "ok").metrics["val_loss"] == 0.5


def test_tail_reads_the_end_of_a_log_as_a_person_would(tmp_path):
    path = tmp_path / "log"
    path.write_bytes(b"x" * 200_000 + b"\nfirst\n\n\x1b[31mred\x1b[0m\n10%\r20%\rdone\xff")
    assert private.tail(path, 4) == ["red", "10%", "20%", "done�"]
    assert private.tail(tmp_path / "absent") == []
