"""The study of a search on disk and in a database: real processes, real kills, half-written files, two owners."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import optuna
import pytest
import simulated as sim

from runner.automl import study as studies
from runner.automl.driver import Search
from runner.errors import SchemaInvalid, StorageError, UnknownJob, UsageError

WORKER = """
import sys
from pathlib import Path
import simulated as sim
from runner.automl import study as studies
from runner.automl.driver import Search

opened = studies.open_study(Path(sys.argv[1]), sim.setup("bayesian", trials=12))
search = Search(opened.study, opened.setup, owner="worker")
search.take_up(lambda leg: True)
print("open", flush=True)
sim.run(search)
print("done", flush=True)
"""


def new(where, **words) -> tuple[studies.Opened, Search]:
    opened = studies.open_study(where, sim.setup("bayesian", **{"trials": 12, **words}))
    return opened, Search(opened.study, opened.setup, owner="me")


def again(where) -> Search:
    opened = studies.open_study(where)
    return Search(opened.study, opened.setup, owner="again")


def outcome(search: Search) -> tuple:
    found = search.state()
    return [(c.settings, c.state, c.epochs, c.value) for c in found.configs], found.totals()


def test_a_study_goes_on_in_another_process_with_the_setup_it_was_created_with(tmp_path):
    path = tmp_path / "sub" / "study.log"
    _, search = new(path, given={"x": 1.0})
    for _ in range(4):
        sim.train(search, search.ask())
    resumed = again(path)
    assert resumed.setup == search.setup._replace(space=resumed.setup.space)
    assert resumed.setup.given == {"x": 1.0}
    sim.run(resumed)
    _, whole = new(tmp_path / "whole.log", given={"x": 1.0})
    sim.run(whole)
    assert outcome(resumed) == outcome(whole)
    assert studies.open_study(path, sim.setup("random", trials=99)).setup.algorithm == "bayesian"


def test_a_larger_budget_goes_on_from_the_same_trials(tmp_path):
    opened, search = new(tmp_path / "study.log", trials=4)
    sim.run(search)
    opened = studies.extend(opened, trials=7, epochs=None)
    more = Search(opened.study, opened.setup)
    sim.run(more)
    assert more.state().totals()["trials"] == 7
    assert again(tmp_path / "study.log").setup.trials == 7


def test_half_a_line_of_a_killed_process_is_cut_off(tmp_path):
    path = tmp_path / "study.log"
    _, search = new(path)
    sim.train(search, search.ask())
    before = path.read_bytes()
    path.write_bytes(before + b'{"op_code":8,"worker_id":"x","tri')
    resumed = again(path)
    assert path.read_bytes() == before
    assert resumed.state().totals()["trials"] == 1
    sim.run(resumed)
    assert resumed.state().totals()["trials"] == 12


@pytest.mark.parametrize("kept", [0, 1, 7, 300])
def test_a_file_that_is_half_a_first_line_begins_anew(tmp_path, kept):
    path = tmp_path / "study.log"
    path.write_bytes(b"x" * kept)
    _, search = new(path)
    assert search.ask().origin == "given"


def test_a_search_survives_kills_of_its_process_at_any_moment(tmp_path):
    path, script = tmp_path / "study.log", tmp_path / "worker.py"
    script.write_text(WORKER)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), str(Path(__file__).parent.parent)])}
    kills = 0
    for wait in (0.0, 0.05, 0.12, 0.2, 0.31, 9.0):
        with subprocess.Popen(
            [sys.executable, str(script), str(path)], stdout=subprocess.PIPE, text=True, env=environment
        ) as process:
            assert process.stdout
            assert process.stdout.readline() == "open\n"
            until = time.monotonic() + wait
            while process.poll() is None and time.monotonic() < until:
                time.sleep(0.01)
            if process.poll() is None and wait < 9:
                process.send_signal(signal.SIGKILL)
                kills += 1
            process.wait(timeout=120)
    assert kills >= 2
    _, whole = new(tmp_path / "whole.log")
    sim.run(whole)
    resumed = again(path)
    resumed.take_up(lambda _leg: True)
    sim.run(resumed)
    assert outcome(resumed) == outcome(whole)
    assert all(trial.state.is_finished() for trial in resumed.study.trials)


def test_a_lock_goes_with_its_process(tmp_path):
    path = tmp_path / "study.log"
    new(path)
    code = (
        "import os, sys; from pathlib import Path; from runner.automl.study import _KernelLock;"
        "_KernelLock(Path(sys.argv[1])).acquire(); os._exit(9)"
    )
    root = Path(__file__).parent.parent
    subprocess.run([sys.executable, "-c", code, f"{path}.lock"], cwd=root, check=False, timeout=60)
    started = time.monotonic()
    again(path)
    assert time.monotonic() - started < 5  # Optuna's own lock waits 30 s for a dead process


def test_what_is_no_study_is_said_in_words(tmp_path):
    with pytest.raises(UnknownJob, match="there is no study"):
        studies.open_study(tmp_path / "none.log")
    (tmp_path / "text.log").write_text("hello\nworld\n")
    with pytest.raises(SchemaInvalid, match="damaged"):
        studies.open_study(tmp_path / "text.log")
    optuna.create_study(study_name="search", storage=f"sqlite:///{tmp_path}/foreign.db")
    with pytest.raises(SchemaInvalid, match="not written by this version"):
        studies.open_study(f"sqlite:///{tmp_path}/foreign.db")
    with pytest.raises(UnknownJob, match="There: search"):
        studies.open_study(f"sqlite:///{tmp_path}/foreign.db", name="other")
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot be opened"):
        new(tmp_path / "file" / "study.log")


@pytest.mark.parametrize("url", ["nosuch://host/x", "no url at all"])
def test_a_url_that_names_no_database(url):
    with pytest.raises(UsageError, match="allowed: postgresql"):
        studies.open_study(url)


def test_a_database_that_is_not_there_is_said_without_the_password(tmp_path):
    with pytest.raises(StorageError) as caught:
        studies.open_study(f"sqlite:///{tmp_path}/no/such/folder.db")
    assert "unable to open database file" in str(caught.value)
    shown = studies._shown("postgresql+psycopg://me:secret@host/db")
    assert "secret" not in shown
    assert "me" in shown


@pytest.mark.slow
def test_two_workers_share_a_database_and_a_silent_one_is_replaced(tmp_path):
    url = f"sqlite:///{tmp_path}/study.db"
    opened = studies.open_study(url, sim.setup("bayesian", trials=6), beat=1)
    one = Search(opened.study, opened.setup, owner="one")
    other = studies.open_study(url, beat=1)
    two = Search(other.study, other.setup, owner="two")
    dead, alive = one.ask(), two.ask()
    studies.beat(opened, dead.number)
    one.report(dead, 1, sim.curve(dead.settings, 1))
    until = time.monotonic() + 5.5  # four beats may be missing
    while time.monotonic() < until:
        studies.beat(other, alive.number)
        studies.give_up_silent(other, beat_seconds=1)
        time.sleep(0.3)
    states = {leg.number: leg.state for leg in two.state().legs}
    assert states == {dead.number: "lost", alive.number: "running"}
    taken = two.ask()
    assert (taken.again, taken.config) == (dead.number, dead.config)
    for leg in (alive, taken):
        sim.train(two, leg)
    sim.run(two)
    totals = two.state().totals()
    assert totals["trials"] == 6
    assert totals["lost"] == totals["running"] == 0
