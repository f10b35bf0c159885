"""Workers: jobs one after the other in copies of a warm process. What one leaves behind, the next never sees."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from trainer_cases import train_spec

from runner import backend
from runner.errors import Canceled, JobFailed

HERE = str(Path(__file__).parent)
SLOW_MACHINE = 30  # seconds that a thing may take before a test gives up on it

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a worker starts a new process for each job")


@pytest.fixture(autouse=True)
def _entrypoints_on_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", HERE)


@pytest.fixture
def worker() -> Iterator[backend.Worker]:
    with backend.Worker() as found:
        yield found


def run(way, tmp_path: Path, entrypoint: str, spec: dict | None = None, **settings) -> dict:
    """The metrics of a job in a folder of its own."""
    folder = tmp_path / f"job_{len(list(tmp_path.glob('job_*')))}"
    folder.mkdir()
    name = entrypoint if ":" in entrypoint else f"entrypoints:{entrypoint}"
    spec = {**({} if ":" in entrypoint else {"folder": str(folder)}), **(spec or {})}
    return way(name, spec, log=folder / "job.log", outcome=folder / "outcome.json", **settings).metrics


def wait_for(condition, what: str):
    deadline = time.monotonic() + SLOW_MACHINE
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.02)
    pytest.fail(f"{what}: not within {SLOW_MACHINE} s")


def is_running(pid: int) -> bool:
    """Alive and no zombie: in a container nobody may reap orphans."""
    path = Path(f"/proc/{pid}/stat")
    try:
        return not path.read_text().rpartition(")")[2].strip().startswith("Z")
    except OSError:
        return False


def test_the_third_job_finds_what_a_new_process_finds(worker, tmp_path):
    """Environment, folder, filters, handlers, levels, signals, threads, paths, modules, streams, globals."""
    cold = run(backend.run_child, tmp_path, "upsets", {"seed": 1}, env={"COLOUR": "red"})
    warm = [run(worker.run, tmp_path, "upsets", {"seed": seed}, env={"COLOUR": "red"}) for seed in (3, 2, 1)]
    assert warm[2] == cold
    assert cold["environment"]["COLOUR"] == "red"  # it does tell


def test_jobs_are_copies_of_one_process_in_groups_of_their_own(worker, tmp_path):
    first, second = (run(worker.run, tmp_path, "about") for _ in range(2))
    assert first["parent"] == second["parent"] != os.getpid()
    assert first["pid"] == first["group"] != second["group"]
    assert not is_running(first["pid"])
    assert worker.memory > 2**20
    worker.close()
    assert not is_running(first["parent"])
    assert run(worker.run, tmp_path, "about")["parent"] != first["parent"]


def test_each_job_has_its_own_log(worker, tmp_path):
    with pytest.raises(JobFailed, match="no such thing"):
        run(worker.run, tmp_path, "defect")
    run(worker.run, tmp_path, "ok", env={"COLOUR": "red"})
    first, second = ((tmp_path / f"job_{i}" / "job.log").read_text() for i in range(2))
    assert "KeyError: 'no such thing'" in first
    assert "hello from the trainer" not in first
    assert second.count("hello from the trainer") == 1
    assert "INFO said through the logger" in second
    assert "KeyError" not in second


def test_secrets_of_a_job_are_not_in_its_log(worker, tmp_path):
    with pytest.raises(JobFailed):
        run(worker.run, tmp_path, "leaves", {"code": "swordfish-77"}, secrets=["swordfish-77"])
    assert "swordfish" not in "".join(path.read_text() for path in tmp_path.rglob("job.log"))


def test_what_is_drawn_without_a_seed_differs_from_job_to_job(worker, tmp_path):
    first, second = (run(worker.run, tmp_path, "draws") for _ in range(2))
    assert first["python"] != second["python"]
    assert first["numpy"] != second["numpy"]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT])
def test_a_job_that_crashes_takes_nothing_with_it(worker, tmp_path, number):
    parent = run(worker.run, tmp_path, "about")["parent"]
    with pytest.raises(JobFailed, match=number.name):
        run(worker.run, tmp_path, "kills_itself", {"signal": number})
    assert run(worker.run, tmp_path, "about")["parent"] == parent


def test_a_stopped_job_takes_nothing_with_it(worker, tmp_path):
    parent = run(worker.run, tmp_path, "about")["parent"]
    with pytest.raises(Canceled):
        run(worker.run, tmp_path, "waits", should_stop=lambda: signal.SIGTERM if list(tmp_path.rglob("started")) else None)
    assert list(tmp_path.rglob("tidied"))
    assert run(worker.run, tmp_path, "about")["parent"] == parent


def test_a_killed_worker_loses_its_job_and_is_replaced(worker, tmp_path):
    parent = run(worker.run, tmp_path, "about")["parent"]

    def kill() -> None:
        if list(tmp_path.rglob("started")):
            os.kill(parent, signal.SIGKILL)

    with pytest.raises(JobFailed, match="SIGKILL"):
        run(worker.run, tmp_path, "waits", on_tick=kill)
    assert run(worker.run, tmp_path, "about")["parent"] != parent


def test_a_worker_killed_between_two_jobs_is_replaced(worker, tmp_path):
    parent = run(worker.run, tmp_path, "about")["parent"]
    os.kill(parent, signal.SIGKILL)
    wait_for(lambda: not is_running(parent), "it is dead")
    assert run(worker.run, tmp_path, "about")["parent"] != parent


def test_two_workers_at_once_do_not_disturb_each_other(tmp_path):
    found: dict[int, list[dict]] = {0: [], 1: []}

    def work(number: int) -> None:
        with backend.Worker({"COLOUR": f"colour {number}"}) as own:
            found[number] += [run(own.run, folders[number], "ok") for _ in range(3)]

    folders = [tmp_path / str(number) for number in range(2)]
    for folder in folders:
        folder.mkdir()
    threads = [threading.Thread(target=work, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [[one["env"] for one in found[number]] for number in range(2)] == [["colour 0"] * 3, ["colour 1"] * 3]


@pytest.mark.slow
def test_the_third_training_of_a_worker_is_that_of_a_new_process(tmp_path):
    """To the last bit, with the threads that are this worker's share."""
    spec = train_spec(tmp_path / "data", tmp_path, num_epochs=2, seed=7)
    spec["model"] |= {"width": 8, "stages": [1, 1], "dropout": 0.3}
    spec["dataset"] |= {"random_choose": True, "random_move": True, "window_size": 10}
    share = {"OMP_NUM_THREADS": "1"}

    def training(way, name: str, seed: int) -> dict:
        changed = {**spec, "results_dir": str(tmp_path / name), "train": {**spec["train"], "seed": seed}}
        return run(way, tmp_path, "trains:run", changed)

    def cold_run(*words, **settings):
        return backend.run_child(*words, env=share, **settings)

    cold = training(cold_run, "cold", 7)
    with backend.Worker(share) as own:
        first, second, third = (training(own.run, f"warm_{seed}", seed) for seed in (5, 6, 7))
    assert third == cold
    assert third["threads"] == 1
    assert len({one["weights"] for one in (first, second, third)}) == 3  # it does tell


def test_other_surroundings_are_those_of_the_next_job_from_its_start(worker, tmp_path, monkeypatch):
    first = run(worker.run, tmp_path, "about", env={"COLOUR": "red"})
    again = run(worker.run, tmp_path, "about", env={"COLOUR": "red"})
    other = run(worker.run, tmp_path, "about", env={"COLOUR": "blue"})
    assert first["parent"] == again["parent"] != other["parent"]
    monkeypatch.chdir(tmp_path)
    assert run(worker.run, tmp_path, "upsets", {"seed": 1}, env={"COLOUR": "blue"})["folder"] == str(tmp_path)


def test_an_import_that_cannot_be_copied_is_left_to_a_new_process(worker, tmp_path):
    found = [run(worker.run, tmp_path, "threaded:run") for _ in range(2)]
    assert all(one["pid"] == one["group"] and one["threads"] == 3 for one in found)  # its own, and the lifeline's
    assert "started a thread" in (tmp_path / "job_0" / "job.log").read_text()
    assert run(worker.run, tmp_path, "ok")["val_loss"] == 0.5


def test_a_job_can_be_stopped_while_its_imports_run(worker, tmp_path):
    began = tmp_path / "began"
    started = time.monotonic()
    with pytest.raises(Canceled):
        run(
            worker.run,
            tmp_path,
            "slow_import:run",
            env={"BEGAN": str(began)},
            should_stop=lambda: signal.SIGTERM if began.exists() else None,
        )
    assert time.monotonic() - started < SLOW_MACHINE
    assert run(worker.run, tmp_path, "ok")["val_loss"] == 0.5


def test_an_import_that_fails_is_told_by_each_job(worker, tmp_path):
    for _ in range(2):
        with pytest.raises(JobFailed, match="cannot be loaded"):
            run(worker.run, tmp_path, "no_such_module:run")
    assert run(worker.run, tmp_path, "ok")["val_loss"] == 0.5


@pytest.mark.parametrize("name", ["fragile", "stubborn"])
def test_a_killed_parent_takes_worker_and_job_with_it(tmp_path, name):
    program = (
        "import sys; from pathlib import Path; from runner import backend; folder = Path(sys.argv[1])\n"
        "files = dict(log=folder / 'log', outcome=folder / 'outcome')\n"
        "own = backend.Worker()\n"
        "about = own.run('entrypoints:about', {}, **files).metrics\n"
        "(folder / 'warm').write_text(str(about['parent']))\n"
        f"own.run('entrypoints:{name}', dict(folder=str(folder)), **files, grace=0.5)"
    )
    parent = subprocess.Popen([sys.executable, "-c", program, str(tmp_path)])
    try:
        wait_for((tmp_path / "pids").exists, "the trainer has started")
        running = [int(word) for word in f"{(tmp_path / 'pids').read_text()} {(tmp_path / 'warm').read_text()}".split()]
        assert all(map(is_running, running))
    finally:
        parent.kill()
        parent.wait()
    for pid in running:
        wait_for(lambda pid=pid: not is_running(pid), f"process {pid} is gone")
