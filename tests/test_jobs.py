"""The job store with real processes: leases, kills, crowds; records against their schema; secrets; broken files."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest

from runner import jobs
from runner.errors import Refused, SchemaInvalid, SkillBankError, UnknownJob
from runner.jobs import JobStore
from runner.jobs import locks as job_locks

ROOT = Path(__file__).parent.parent
VALIDATOR = jsonschema.Draft202012Validator(json.loads((ROOT / "schemas" / "job_record.schema.json").read_text()))
PATIENCE = 60  # seconds a child process may take on a busy machine


@pytest.fixture
def store(tmp_path: Path) -> JobStore:
    return JobStore(tmp_path)


def record(store: JobStore, **more) -> dict:
    ticket = store.mint("pose_classification", "train")
    return {
        "id": ticket.id,
        "skill": "tao-train-pose-classification",
        "network_arch": "pose_classification",
        "action": "train",
        "results_dir": ticket.results_dir,
        **more,
    }


def python(program: str, *arguments: str, **settings) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", program, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, **settings
    )


HOLD = """
import json, sys
from runner.jobs import JobStore
store = JobStore(sys.argv[1])
lease = store.open(json.loads(sys.argv[2]))
store.mark(lease.job_id, "RUNNING", "started", backend_ref=sys.argv[3])
print("ready", flush=True)
sys.stdin.read()
"""


def hold(store: JobStore, given: dict, backend_ref: str = "pid:1") -> subprocess.Popen[str]:
    """A process that runs the job until it is killed or its stdin ends."""
    process = python(HOLD, str(store.workspace), json.dumps(given), backend_ref)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def kill(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


# -- a job's life ------------------------------------------------------------------------------------------------


def test_mint_writes_nothing(store, tmp_path):
    ticket = store.mint("pose classification/../x", "train")
    assert ticket.id.startswith("pose_classification_.._x-train-")
    assert ticket.results_dir == str(tmp_path / "results" / ticket.id / "results_dir")
    assert ticket != store.mint("pose classification/../x", "train")
    assert not list(tmp_path.iterdir())


def test_a_record_goes_from_pending_to_its_end(store):
    given = record(
        store, spec={"train": {"num_epochs": 2}}, route={"kind": "direct", "reason": "--automl off", "policy": "off"}
    )
    with store.open(given) as lease:
        pending = store.read(lease.job_id)
        assert pending["state"] == "PENDING"
        store.mark(lease.job_id, "RUNNING", "started", backend_ref="pid:12")
        store.enrich(lease.job_id, inputs=[{"key": "a", "uri": "s3://b/k", "path": None}])
        done = store.close(lease.job_id, "COMPLETE", "finished", metrics={"val_loss": 0.5}, artifacts={"log": Path("/x")})
    assert [t["state"] for t in done["transitions"]] == ["PENDING", "RUNNING", "COMPLETE"]
    assert done["submitted_at"] <= done["started_at"] <= done["ended_at"]
    assert (done["metrics"], done["artifacts"]) == ({"val_loss": 0.5}, {"log": "/x"})
    assert done == store.read(given["id"])
    for one in (pending, done):
        VALIDATOR.check_schema(VALIDATOR.schema)
        VALIDATOR.validate(one)


@pytest.mark.parametrize("state", ["COMPLETE", "ERROR", "CANCELED"])
def test_a_terminal_record_never_changes(store, state):
    with store.open(record(store)) as lease:
        store.close(lease.job_id, state)
    before = store.path(lease.job_id).read_bytes()
    for change in (
        lambda: store.mark(lease.job_id, "RUNNING"),
        lambda: store.enrich(lease.job_id, metrics={"a": 1}),
        lambda: store.close(lease.job_id, "COMPLETE"),
        lambda: store.cancel_request(lease.job_id),
        lambda: store.open({**record(store), "id": lease.job_id}),
    ):
        with pytest.raises(Refused, match=lease.job_id):
            change()
    assert store.reconcile(lease.job_id)["state"] == state
    assert store.path(lease.job_id).read_bytes() == before


@pytest.mark.parametrize(
    "change",
    [
        lambda store, i: store.mark(i, "COMPLETE"),
        lambda store, i: store.mark(i, "PENDING"),
        lambda store, i: store.mark(i, "DONE"),
        lambda store, i: store.close(i, "RUNNING"),
        lambda store, i: store.enrich(i, no_such_field=1),
        lambda store, i: store.enrich(i, state="COMPLETE"),
        lambda store, i: store.enrich(i, transitions=[]),
        lambda store, i: store.open({"id": "x"}),
        lambda store, i: store.open({**record(store), "no_such_field": 1}),
    ],
)
def test_misuse_by_code_is_refused_and_changes_nothing(store, change):
    with store.open(record(store)) as lease:
        before = store.path(lease.job_id).read_bytes()
        with pytest.raises(ValueError, match=r"job|record"):
            change(store, lease.job_id)
        assert store.path(lease.job_id).read_bytes() == before


def test_what_json_cannot_say_becomes_null(store):
    with store.open(record(store)) as lease:
        store.enrich(lease.job_id, metrics={"val_loss": math.nan, "best": [math.inf, 1.0]})
    assert store.read(lease.job_id)["metrics"] == {"val_loss": None, "best": [None, 1.0]}


def test_an_interrupted_write_leaves_the_old_record(store, monkeypatch):
    with store.open(record(store)) as lease:
        before = store.path(lease.job_id).read_bytes()

        def power_cut(*_: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(job_locks.os, "replace", power_cut)
        with pytest.raises(SkillBankError, match="No space left on device") as caught:
            store.mark(lease.job_id, "RUNNING")
        assert caught.value.exit_code == 7
        assert store.path(lease.job_id).read_bytes() == before
        assert not list(store.folder.glob("*.tmp")) + list(store.folder.glob(".*.tmp"))


# -- reading -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("job_id", ["../../etc/passwd", "a/b", ".hidden", "", "a b", "-x", "a\x00b", "a\n"])
def test_ids_are_no_paths(store, job_id):
    with pytest.raises(UnknownJob, match="is not a job id"):
        store.read(job_id)


def test_an_unknown_job_names_the_nearest_and_leaves_no_trace(store):
    with pytest.raises(UnknownJob, match="no job 'x'"):
        store.read("x")
    with store.open(record(store)) as lease:
        job_id = lease.job_id
    before = sorted(p.name for p in store.folder.iterdir())
    for wrong in (job_id[:-2], job_id[:-1] + "z"):
        with pytest.raises(UnknownJob, match=job_id):
            store.enrich(wrong, metrics={})
    assert sorted(p.name for p in store.folder.iterdir()) == before


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is not JSON"),
        ('{"id": ', "is not JSON"),
        ("[1]", "is not a JSON object"),
        ('{"state": "DONE"}', "'DONE' is no state"),
        ('{"id": "other", "transitions": 3}', "does not match the file's name"),
        ("\xff", "cannot be read"),
    ],
)
def test_a_broken_record_is_an_error_that_names_the_file(store, text, says):
    with store.open(record(store)) as lease:
        path = store.folder / "broken.json"
        path.write_bytes(text.encode("latin-1"))
        with pytest.raises(SchemaInvalid) as caught:
            store.read("broken")
        assert str(path) in str(caught.value)
        assert says in str(caught.value)
        broken: list[str] = []
        assert [r["id"] for r in store.list(broken=broken)] == [lease.job_id]
        assert str(path) in broken[0]


def test_list_is_oldest_first_and_passes_over_foreign_files(store):
    assert store.list() == []
    ids = []
    for number in range(3):
        with store.open(
            record(store, parent_job=ids[0] if number == 1 else None, study_job=ids[0] if number == 2 else None)
        ) as lease:
            ids.append(lease.job_id)
    (store.folder / "notes.txt").write_text("mine")
    (store.folder / ".x.json").write_text("{}")
    (store.folder / "folder.json").mkdir()
    assert [r["id"] for r in store.list()] == ids
    assert [r["id"] for r in store.children(ids[0])] == ids[1:]
    assert {r["state"] for r in store.list()} == {"PENDING"}
    assert {r["state"] for r in store.list(reconcile=True)} == {"ERROR"}  # nobody holds them any more


def test_a_workspace_that_cannot_be_made_is_said(tmp_path):
    (tmp_path / "file").write_text("x")
    store = JobStore(tmp_path / "file")
    with pytest.raises(SkillBankError, match="cannot be written") as caught:
        store.open(record(store))
    assert caught.value.exit_code == 7
    with pytest.raises(UnknownJob):
        store.read("x")


def test_a_system_without_flock_is_named(store, monkeypatch):
    monkeypatch.setitem(sys.modules, "fcntl", None)
    with pytest.raises(SkillBankError, match="Linux and macOS"):
        store.open(record(store))


# -- life and death ----------------------------------------------------------------------------------------------


def test_a_live_job_is_never_reconciled(store):
    given = record(store)
    process = hold(store, given)
    try:
        assert store.reconcile(given["id"])["state"] == "RUNNING"
        assert store.alive(given["id"])
        assert store.supervisor(given["id"]) == 1
    finally:
        kill(process)


def test_a_killed_job_is_found_out_with_what_is_known(store):
    given = record(store, log=str(store.workspace / "job.log"), spec={"encryption_key": "hunter2hunter2"})
    # The recorded process id is that of a live process: the number was used again. It must not count as life.
    process = hold(store, given, f"pid:{os.getpid()}")
    results = Path(given["results_dir"])
    results.mkdir(parents=True)
    (results / "status.json").write_text('{"status": "STARTED"}\n{"status": "RUNNING", "epoch": 3}\n')
    (results / "model_epoch_003_step_00040.pth").touch()
    Path(given["log"]).write_text("first\nepoch 3, encryption_key=hunter2hunter2\n")
    kill(process)
    dead = store.reconcile(given["id"])
    assert (dead["state"], dead["err_class"]) == ("ERROR", "ERR_INFRA")
    assert dead["transitions"][-1]["message"] == jobs.DIED
    assert '"epoch": 3' in dead["error"]["message"]
    assert dead["error"]["log_tail"] == ["first", "epoch 3, encryption_key=***"]
    (checkpoint,) = dead["checkpoints"]
    assert (checkpoint["epoch"], checkpoint["step"]) == (3, 40)
    assert not store.alive(given["id"])
    assert store.supervisor(given["id"]) is None
    VALIDATOR.validate(dead)
    before = store.path(given["id"]).read_bytes()
    assert store.reconcile(given["id"]) == dead
    assert store.path(given["id"]).read_bytes() == before


def test_a_trial_killed_with_its_search_each_gets_its_own_end(store):
    study = record(store)
    trial = record(store, study_job=study["id"])
    program = HOLD.replace('print("ready"', 'other = store.open(json.loads(sys.argv[4])); print("ready"')
    process = python(program, str(store.workspace), json.dumps(study), "pid:1", json.dumps(trial))
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    kill(process)
    assert [(r["id"], r["state"]) for r in store.list()] == [(study["id"], "RUNNING"), (trial["id"], "PENDING")]
    assert store.reconcile(study["id"])["state"] == "ERROR"
    assert store.read(trial["id"])["state"] == "PENDING"
    assert store.reconcile(trial["id"])["state"] == "ERROR"


def test_many_who_find_a_death_write_it_once(store):
    given = record(store)
    kill(hold(store, given))
    program = (
        "import sys; from runner.jobs import JobStore; s = JobStore(sys.argv[1]); sys.stdin.read(); s.reconcile(sys.argv[2])"
    )
    finders = [python(program, str(store.workspace), given["id"]) for _ in range(4)]
    for finder in finders:
        assert finder.stdin is not None
        finder.stdin.close()
    for finder in finders:
        finder.wait(PATIENCE)
        assert finder.stdout is not None
        finder.stdout.close()
    assert [t["state"] for t in store.read(given["id"])["transitions"]] == ["PENDING", "RUNNING", "ERROR"]


def test_a_lease_handed_over_keeps_the_job_alive(store):
    program = """
import sys
from runner.jobs import JobStore
store = JobStore(sys.argv[1])
with store.adopt(sys.argv[2], int(sys.argv[3])) as lease:
    print("ready", flush=True)
    sys.stdin.read()
    store.close(lease.job_id, "COMPLETE")
"""
    with store.open(record(store)) as lease:
        fd = lease.fileno()
        process = python(program, str(store.workspace), lease.job_id, str(fd), pass_fds=[fd])
        lease.release_to_child()
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    assert store.reconcile(lease.job_id)["state"] == "PENDING"
    process.communicate()
    assert process.returncode == 0
    assert store.read(lease.job_id)["state"] == "COMPLETE"


def test_only_the_jobs_own_lease_can_be_adopted(store, tmp_path):
    with store.open(record(store)) as one, store.open(record(store)) as other:
        for fd, job_id in ((one.fileno(), other.job_id), (9999, one.job_id)):
            with pytest.raises(Refused, match="is not the lease"):
                store.adopt(job_id, fd)


def test_the_trainer_does_not_inherit_the_lease(store):
    with store.open(record(store)) as lease:
        child = subprocess.Popen(["sleep", "30"], close_fds=False)
    try:
        assert store.reconcile(lease.job_id)["state"] == "ERROR"
    finally:
        child.kill()
        child.wait()


# -- cancel ------------------------------------------------------------------------------------------------------


def test_cancel_leaves_word_and_names_the_process(store):
    given = record(store)
    process = hold(store, given, "pid:4711")
    try:
        assert store.cancel_requested(given["id"]) is None
        assert store.cancel_request(given["id"], "enough") == 4711
        assert store.cancel_requested(given["id"]) == "enough"
        assert store.read(given["id"])["state"] == "RUNNING"
    finally:
        kill(process)
    gone = store.reconcile(given["id"])
    assert (gone["state"], gone["error"]) == ("CANCELED", None)
    assert gone["transitions"][-1]["message"] == "enough"
    VALIDATOR.validate(gone)


def test_cancel_of_a_dead_job_is_refused_and_records_its_death(store):
    given = record(store)
    kill(hold(store, given))
    with pytest.raises(Refused, match="has ended already"):
        store.cancel_request(given["id"])
    assert store.read(given["id"])["state"] == "ERROR"


def test_a_process_on_another_machine_is_not_named(store, monkeypatch):
    given = record(store)
    process = hold(store, given)
    try:
        monkeypatch.setattr("runner.jobs.store.host", lambda: "another")
        assert store.supervisor(given["id"]) is None
    finally:
        kill(process)


# -- crowds ------------------------------------------------------------------------------------------------------

CROWD = """
import json, sys
from runner.jobs import JobStore
store = JobStore(sys.argv[1])
shared, number = sys.argv[2], sys.argv[3]
ticket = store.mint("pose_classification", "train")
given = dict(id=ticket.id, skill="s", network_arch="p", action="train", results_dir=ticket.results_dir, command=[number])
sys.stdin.read()
with store.open(given) as lease:
    store.mark(lease.job_id, "RUNNING")
    store.mark(shared, "RUNNING", number)
    store.close(lease.job_id, "COMPLETE")
"""


@pytest.mark.parametrize("count", [12, pytest.param(50, marks=pytest.mark.slow)])
def test_processes_at_once_lose_nothing(store, count):
    with store.open(record(store)) as shared:
        crowd = [python(CROWD, str(store.workspace), shared.job_id, str(number)) for number in range(count)]
        for process in crowd:
            assert process.stdin is not None
            process.stdin.close()
        for process in crowd:
            assert process.wait(PATIENCE) == 0
            assert process.stdout is not None
            process.stdout.close()
        records = store.list()
    assert [r["state"] for r in records].count("COMPLETE") == count
    assert sorted(int(r["command"][0]) for r in records if r["command"]) == list(range(count))
    heard = [t["message"] for t in store.read(shared.job_id)["transitions"] if t["state"] == "RUNNING"]
    assert sorted(heard, key=int) == [str(number) for number in range(count)]


def test_kills_in_the_middle_of_writing_leave_whole_records(store):
    program = HOLD.replace("sys.stdin.read()", "while True: store.enrich(lease.job_id, metrics={'x': 'y' * 100_000})")
    given = record(store)
    process = python(program, str(store.workspace), json.dumps(given), "pid:1")
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    for _ in range(50):
        store.read(given["id"])
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert store.reconcile(given["id"])["state"] == "ERROR"
    assert len(store.list()) == 1


# -- secrets -----------------------------------------------------------------------------------------------------


def test_secrets_never_reach_the_disk(store):
    secret = "correct-horse-battery"
    given = record(
        store,
        spec={"encryption_key": secret, "wandb": {"name": "run"}, "own": {"pin": "123456"}, "model": {"dropout": 0.5}},
        sources={"encryption_key": "user", "own.pin": "file"},
        command=["skillbank", "run", "--set", f"encryption_key={secret}", "--api-key", "abcdefgh", "own.pin=123456"],
        environment={"WANDB_API_KEY": "0123456789abcdef"},
    )
    with store.open(given, secret_keys={"own.pin"}) as lease:
        store.close(lease.job_id, "ERROR", f"could not use {secret}", error={"class": "X", "message": f"bad key {secret}"})
    text = store.path(lease.job_id).read_text()
    for spoken in (secret, "123456", "abcdefgh", "0123456789abcdef"):
        assert spoken not in text
    kept = store.read(lease.job_id)
    assert kept["spec"] == {"encryption_key": "***", "wandb": {"name": "run"}, "own": {"pin": "***"}, "model": {"dropout": 0.5}}
    assert kept["sources"] == {"encryption_key": "user", "own.pin": "file"}
    assert kept["command"] == ["skillbank", "run", "--set", "encryption_key=***", "--api-key", "***", "own.pin=***"]


def test_a_passphrase_that_is_a_common_word_does_no_harm(store):
    given = record(store, spec={"encryption_key": "train"}, artifacts={"checkpoint": "/train/model.pth"})
    with store.open(given) as lease:
        store.close(lease.job_id, "ERROR", "cannot train", error={"class": "X", "message": "the key train is wrong"})
    kept = store.read(given["id"])
    assert (kept["action"], kept["artifacts"], kept["results_dir"]) == ("train", given["artifacts"], given["results_dir"])
    assert kept["error"]["message"] == "the key *** is wrong"
    assert kept["spec"] == {"encryption_key": "***"}


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("AKIAIOSFODNN7EXAMPLE", "***"),
        ("key is hf_abcdefghijklmnopqrstuv", "key is ***"),
        ("Authorization: Bearer abc.def-123456", "Authorization: Bearer ***"),
        ("https://me:pass@host/x", "https://me:***@host/x"),
        ("s3://bucket/key", "s3://bucket/key"),
        ("AWS_SECRET_ACCESS_KEY=a/b+c==", "AWS_SECRET_ACCESS_KEY=***"),
        ("https://b/k?X-Amz-Credential=AA&X-Amz-Signature=ff", "https://b/k?X-Amz-Credential=***&X-Amz-Signature=***"),
        ('{"password": "p w", "n": 1}', '{"password": ***, "n": 1}'),
        ("train.optim.lr=0.1 monkey=banana", "train.optim.lr=0.1 monkey=banana"),
        ({"label_map": {"token": 3}}, {"label_map": {"token": 3}}),
        ({"encryption_key": ""}, {"encryption_key": ""}),
        ({"encryption_key": None}, {"encryption_key": None}),
        ({"a": {"encryption_key": "x"}}, {"a": {"encryption_key": "***"}}),
        (["--token", "x", "y"], ["--token", "***", "y"]),
        (("a", 1, 2.5, True), ["a", 1, 2.5, True]),
        ({1: Path("/x")}, {"1": "/x"}),
    ],
)
def test_redact(value, shown):
    assert jobs.redact(value) == shown


def test_redact_by_given_keys_and_values():
    value = {
        "train": {"pin": "abc", "note": "pin abcd"},
        "pin": "zzz",
        "train.pin": "x",
        "text": "train.pin=abc, the word is swordfish",
    }
    shown = {
        "train": {"pin": "***", "note": "pin abcd"},
        "pin": "zzz",
        "train.pin": "***",
        "text": "train.pin=*** the word is ***",
    }
    assert jobs.redact(value, {"train.pin"}, ["swordfish", "abc"]) == shown
