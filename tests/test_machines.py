"""A search over several machines: a real PostgreSQL, a real S3, workers in workspaces of their own, real kills."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import jsonschema
import pytest
import sqlalchemy
from machines import PASSWORD, SAID, Machine, Server, binary, postgres, until
from moto.server import ThreadedMotoServer
from slurm import cluster

from runner import checkpoints
from runner.automl import shared
from runner.automl import study as studies
from runner.errors import Refused

pytestmark = pytest.mark.skipif(not binary("postgres"), reason="no PostgreSQL server is installed (initdb, postgres)")

SCHEMAS = Path(__file__).parent.parent / "schemas"
KEY = "a-key-of-checkpoints-77"
QUICK = ("--lost-after", "4s", "--set", "num_epochs=6", "--no-prune")


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with postgres() as found:
        yield found


@pytest.fixture(scope="module")
def database(server: Server) -> str:
    return server.url


@pytest.fixture(scope="module")
def s3() -> Iterator[dict[str, str]]:
    """A bucket `results`; the environment that leads to it."""
    moto = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    moto.start()
    host, port = moto.get_host_and_port()
    env = {"AWS_ENDPOINT_URL": f"http://{host}:{port}", "AWS_DEFAULT_REGION": "us-east-1", "NO_PROXY": "*"}
    env |= {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing", "AWS_EC2_METADATA_DISABLED": "true"}
    names = {"endpoint_url": env["AWS_ENDPOINT_URL"], "region_name": "us-east-1"}
    client = boto3.client("s3", aws_access_key_id="testing", aws_secret_access_key="testing", **names)
    client.create_bucket(Bucket="results")
    yield env
    client.close()
    moto.stop()


@pytest.fixture
def machine(tmp_path: Path, toy_env: dict[str, str], database: str, s3: dict[str, str]) -> Callable[..., Machine]:
    """Machines that know the database's password as PostgreSQL's own programs do."""

    def make(name: str, **env: str) -> Machine:
        around = {**toy_env, **s3, "PGPASSWORD": PASSWORD, "SKILLBANK_ENCRYPTION_KEY": KEY, **env}
        return Machine(tmp_path / name, around)

    return make


def begun(home: Machine, database: str, *words: Any) -> subprocess.Popen[str]:
    """A search that runs, its study in the database."""
    data = home.folder / "data.txt"
    return home.start(
        "run",
        "tao-train-toy",
        "train",
        "--set",
        f"train.data={data}",
        "--automl",
        "on",
        "--storage",
        database,
        "--json",
        *words,
    )


def worker(other: Machine, home: Machine, database: str) -> subprocess.Popen[str]:
    """A worker on another machine, once there is something to work on."""
    study = until(lambda: (found := home.search()) and "crew" in found["automl"] and found["id"])
    return other.start("automl", "worker", "--study", study, "--storage", database, "--workers", "1", "--json")


def answer(process: subprocess.Popen[str], code: int = 0) -> dict[str, Any]:
    out, err = process.communicate(timeout=120)
    assert process.returncode == code, err + out
    record: dict[str, Any] = json.loads(out)["data"]
    jsonschema.validate(
        {k: v for k, v in record.items() if k != "job_id"}, json.loads((SCHEMAS / "job_record.schema.json").read_text())
    )
    return record


def read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def whole(record: dict[str, Any], trials: int) -> None:
    """Nothing is lost, running or counted twice."""
    facts = record["automl"]
    assert record["state"] == "COMPLETE"
    assert [trial["status"] for trial in facts["trials"]] == ["complete"] * trials
    assert facts["totals"]["trials"] == facts["totals"]["complete"] == trials
    assert facts["totals"]["epochs"] == 6 * trials
    assert facts["best"]["value"] == min(trial["value"] for trial in facts["trials"])


def test_the_leg_of_a_killed_worker_is_taken_over_from_its_checkpoint_in_s3(
    machine: Callable[..., Machine], database: str, s3: dict[str, str]
) -> None:
    home, other = machine("home"), machine("other")
    words = (*QUICK, "--set", "train.seconds=0.4", "--budget", "trials=3", "--workers", "1", "--results", "s3://results/killed")
    parent = begun(home, database, *words)
    theirs = worker(other, home, database)
    lost = until(lambda: other.trained(3))
    os.kill(theirs.pid, signal.SIGKILL)
    theirs.communicate(timeout=30)
    with other.hidden():
        record = answer(parent)
    whole(record, 3)
    trial = next(one for one in record["automl"]["trials"] if lost["id"] in one["jobs"])
    again = next(one for one in home.jobs(id=trial["jobs"][-1]))
    assert again["id"] != lost["id"]
    assert again["metrics"]["first_epoch"] >= 2, "at most two epochs are trained again: one under way, one on its way to S3"
    assert str(home.folder / "workspace" / "cache") in again["metrics"]["resumed"]
    stored = in_bucket(s3, "killed")
    assert not [name for names in stored.values() for name in names if name.startswith("progress/")]
    assert {
        job
        for trial in record["automl"]["trials"]
        for job in trial["jobs"]
        if stored.get(job) and any(map(checkpoints.is_one, stored[job]))
    } == {record["automl"]["best"]["job_id"]}
    assert Path(record["artifacts"]["checkpoint"]).is_file()


def in_bucket(env: dict[str, str], below: str) -> dict[str, set[str]]:
    """The files of each job below a place in the bucket."""
    names = {"endpoint_url": env["AWS_ENDPOINT_URL"], "region_name": env["AWS_DEFAULT_REGION"]}
    client = boto3.client("s3", aws_access_key_id="testing", aws_secret_access_key="testing", **names)
    found: dict[str, set[str]] = {}
    for item in client.list_objects_v2(Bucket="results", Prefix=below).get("Contents", []):
        job, _, name = item["Key"].removeprefix(f"{below}/").partition("/")
        found.setdefault(job, set()).add(name)
    client.close()
    return found


@pytest.mark.parametrize("more", [(), pytest.param(("--keep-trials",), marks=pytest.mark.slow)], ids=["by default", "all"])
def test_of_the_results_in_s3_the_best_trials_checkpoints_stay(
    machine: Callable[..., Machine], s3: dict[str, str], more
) -> None:
    home, place = machine("home"), f"kept{len(more)}"
    asked = ("--set", f"train.data={home.folder / 'data.txt'}", "--set", "num_epochs=2", "--automl", "on", "--no-prune")
    done = home(
        *f"run tao-train-toy train --budget trials=3 --workers 1 --results s3://results/{place} --json".split(), *asked, *more
    )
    assert done.code == 0, done.out
    stored = {job: {name for name in names if checkpoints.is_one(name)} for job, names in in_bucket(s3, place).items()}
    best, facts = done.data["automl"]["best"]["job_id"], done.data["automl"]
    trials = {job for trial in facts["trials"] for job in trial["jobs"]}
    assert {job for job in trials if stored[job]} == (trials if more else {best})
    told = {path for path in facts["deleted"] if path.startswith("s3://")}
    assert {path.split("/")[4] for path in told} == (set() if more else trials - {best})


@pytest.mark.slow  # as the test before, by the other road
def test_of_a_series_in_s3_the_best_trainings_checkpoints_stay(machine: Callable[..., Machine], s3: dict[str, str]) -> None:
    home = machine("home")
    asked = f"run tao-train-toy train --automl off --seeds 3 --json --set train.data={home.folder}/data.txt"
    done = home(*asked.split(), "--set", "num_epochs=2", "--results", "s3://results/series")
    assert done.code == 0, done.out
    stored = {job: {name for name in names if checkpoints.is_one(name)} for job, names in in_bucket(s3, "series").items()}
    told = done.data["series"]
    assert {row["job_id"] for row in told["children"] if stored[row["job_id"]]} == {told["best"]["job_id"]}
    assert len([path for path in told["deleted"] if path.startswith("s3://")]) >= 2


@pytest.mark.slow  # two machines train, one after the other
def test_workers_go_on_without_their_parent_which_takes_the_result_home_when_it_is_back(
    machine: Callable[..., Machine], database: str
) -> None:
    home, other = machine("home"), machine("other")
    words = (
        *QUICK,
        "--set",
        "train.seconds=0.25",
        "--budget",
        "trials=3",
        "--workers",
        "1",
        "--results",
        "s3://results/parent",
    )
    parent = begun(home, database, *words)
    theirs = worker(other, home, database)
    until(lambda: other.trained(0) and home.trained(0))
    study = home.search()["id"]
    second = home("run", "tao-train-toy", "train", "--resume", study, "--json")
    assert second.code == 5
    assert "--join" in second.envelope["error"]["hint"]
    os.kill(parent.pid, signal.SIGKILL)
    parent.communicate(timeout=30)
    with home.hidden():  # its data, too, which the worker was told of by name
        (home.folder).mkdir()
        (home.folder / "data.txt").write_text("1 2 3")
        done = answer(theirs)
        (home.folder / "data.txt").unlink()
        home.folder.rmdir()
    assert done["automl"]["totals"] | {"complete": 3} == done["automl"]["totals"]
    with other.hidden():
        resumed = home("run", "tao-train-toy", "train", "--resume", study, "--json")
        assert resumed.code == 0, resumed.out
        whole(resumed.data, 3)
        assert Path(resumed.data["artifacts"]["checkpoint"]).is_file()
        evaluated = home("run", "tao-train-toy", "evaluate", "--parent", resumed.data["id"], "--json")
        assert evaluated.data["metrics"]["read"] == "toy 5"
        assert home("report", resumed.data["id"]).code == 0
    best = resumed.data["automl"]["best"]["job_id"]
    assert [one["study_job"] for one in home.jobs(id=best)] == [study] or home.jobs(id=best)[0]["study_job"]


def test_no_secret_is_in_the_database_a_record_or_a_message(machine: Callable[..., Machine], database: str) -> None:
    home = machine("home")
    del home.env["PGPASSWORD"]
    words = ("--set", "num_epochs=1", "--budget", "trials=2", "--workers", "1", "--storage")
    refused = begun(home, database, *words, database)
    out, _ = refused.communicate(timeout=60)
    assert refused.returncode == 6
    error = json.loads(out)["error"]
    assert "PGPASSWORD" in error["hint"]
    # In the background, where the password goes on to another process.
    done = begun(home, database, *words, database.replace("me@", f"me:{SAID}@"), "--detach")
    out, err = done.communicate(timeout=60)
    assert done.returncode == 0, err
    waited = home("wait", json.loads(out)["data"]["job_id"], "--json")
    assert waited.code == 0, waited.out
    record = waited.data
    assert record["automl"]["storage"] == record["automl"]["study"] == database
    environment = {**os.environ, "PGPASSWORD": PASSWORD}
    dump = subprocess.run(
        [str(binary("pg_dump")), database.replace("+psycopg", "")], env=environment, capture_output=True, text=True, check=False
    )
    assert dump.returncode == 0, dump.stderr
    assert record["id"] in dump.stdout
    written = [path.read_text() for path in home.folder.rglob("*") if path.is_file()]
    for secret in (PASSWORD, SAID, KEY):
        assert not [text for text in [*written, out, err, dump.stdout] if secret in text]
    whole_ = home(
        "run",
        "tao-train-toy",
        "train",
        "--resume",
        record["id"],
        "--budget",
        "trials=3",
        "--json",
        SKILLBANK_STORAGE=database.replace("me@", f"me:{SAID}@"),
    )
    assert whole_.code == 0, whole_.out
    assert whole_.data["automl"]["totals"]["trials"] == 3


@pytest.mark.slow  # three machines train, one after the other
def test_a_worker_that_is_interrupted_leaves_its_leg_to_others_and_the_folder_is_enough(
    machine: Callable[..., Machine], database: str
) -> None:
    home, other = machine("home"), machine("other")
    parent = begun(
        home, database, *QUICK, "--lost-after", "1h", "--set", "train.seconds=0.3", "--budget", "trials=3", "--workers", "0"
    )
    first = worker(other, home, database)
    study = home.search()["id"]
    left = until(lambda: other.trained(2))
    first.send_signal(signal.SIGINT)
    assert answer(first, 130)["state"] == "CANCELED"
    second = machine("second")
    answer(second.start("automl", "worker", study, "--storage", database, "--workers", "1", "--json"))
    record = answer(parent)
    whole(record, 3)
    assert record["automl"]["crew"] == {"count": 0, "why": "others train"}
    again = next(job for job in second.jobs() if left["results_dir"] in str(job["metrics"].get("resumed")))
    assert again["metrics"]["first_epoch"] >= 2
    best = home.jobs(id=record["automl"]["best"]["job_id"])[0]
    assert (best["study_job"], best["state"]) == (study, "COMPLETE")
    assert Path(record["artifacts"]["checkpoint"]).is_relative_to(second.folder), "both machines see the folder"


@pytest.mark.slow  # it waits for the end of a time budget
def test_the_end_of_the_time_budget_reaches_all_workers(machine: Callable[..., Machine], database: str) -> None:
    home, other = machine("home"), machine("other")
    words = (*QUICK, "--set", "train.seconds=0.5", "--budget", "time=9s", "--workers", "1")
    parent = begun(home, database, *words)
    theirs = worker(other, home, database)
    record = answer(parent)
    assert record["state"] == "COMPLETE"
    assert record["automl"]["totals"]["running"] == 0
    assert record["automl"]["best"]
    assert answer(theirs)["state"] == "COMPLETE"
    late = other("automl", "worker", record["automl"]["study_id"], "--storage", database, "--json")
    assert late.code == 0
    assert "is over: the time budget" in late.err


@pytest.mark.slow  # every worker of the cluster starts several programs
def test_slurm_is_given_workers_that_end_with_the_search(
    machine: Callable[..., Machine], database: str, tmp_path: Path
) -> None:
    programs = cluster(tmp_path / "slurm")
    home = machine("home", PATH=f"{programs}{os.pathsep}{os.environ['PATH']}")
    said = ("--launch", "slurm", "--workers", "2", "--slurm", "partition=gpu", "--slurm", "time=600")
    words = (*QUICK, "--budget", "trials=4", *said)
    record = answer(begun(home, database.replace("me@", f"me:{SAID}@"), *words))
    whole(record, 4)
    assert record["automl"]["launch"] == {"engine": "slurm", "workers": 2, "options": {"partition": "gpu", "time": 600}}
    script = (programs / "submitted.sh").read_text()
    assert "#SBATCH --array=0-1%2" in script
    assert "#SBATCH --partition=gpu" in script
    written = b"".join(path.read_bytes() for path in (Path(record["results_dir"]) / "slurm").rglob("*") if path.is_file())
    assert b"automl" in written
    for secret in (PASSWORD, SAID, KEY):
        assert secret not in script
        assert secret.encode() not in written
    for i in range(2):
        there = home.folder / "workspace" / "workers" / record["id"] / str(i) / "jobs"
        states = [one["state"] for one in map(read, there.glob("[!.]*.json")) if one["automl"]]
        assert states == ["COMPLETE"]
    assert {job["study_job"] for job in home.jobs() if not job["automl"]} == {record["id"]}
    assert Path(record["artifacts"]["checkpoint"]).is_file()


def test_the_right_to_be_the_parent_outlives_the_database(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    with shared.parent(server.url, "study-of-a-restart") as right:
        server.stop()
        right.keep()  # nothing can be done yet
        server.start()
        assert not shared.has_parent(server.url, "study-of-a-restart"), "the database has forgotten it"
        right.keep()
        assert shared.has_parent(server.url, "study-of-a-restart")
        with pytest.raises(Refused, match="is run by another process"), shared.parent(server.url, "study-of-a-restart"):
            pass


@pytest.mark.parametrize(("said", "found"), [("", "30000"), ("?tcp_user_timeout=7000", "7000")])
def test_a_connection_without_answers_is_given_up(
    server: Server, monkeypatch: pytest.MonkeyPatch, said: str, found: str
) -> None:
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    url = server.url + said
    with shared.parent(url, "study-of-silence") as right:
        engine = sqlalchemy.create_engine(url, **studies._connections(url))
        of_study = engine.raw_connection()
        for connection in (right._connection.connection, of_study):
            assert connection.driver_connection.info.get_parameters()["tcp_user_timeout"] == found
        of_study.close()
        engine.dispose()


def test_who_lost_the_right_to_another_parent_says_so(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    with shared.parent(server.url, "study-with-two") as right:
        server.stop()
        server.start()
        with shared.parent(server.url, "study-with-two"):
            right.keep()  # it may be the own connection, which the server still believes in
            monkeypatch.setattr(shared, "GHOST", -1.0)
            with pytest.raises(Refused, match="is run by another process"):
                right.keep()
        monkeypatch.setattr(shared, "GHOST", 60.0)
        assert until(lambda: right.keep() or shared.has_parent(server.url, "study-with-two"))


@pytest.mark.slow  # the database is away for some seconds
def test_a_database_that_is_away_for_a_while_costs_nothing(machine: Callable[..., Machine], server: Server) -> None:
    home, other = machine("home"), machine("other")
    words = ("--lost-after", "1m", "--set", "num_epochs=6", "--no-prune", "--set", "train.seconds=0.5", "--budget", "trials=4")
    parent = begun(home, server.url, *words, "--workers", "1")
    theirs = worker(other, home, server.url)
    until(lambda: other.trained(1))
    server.stop()
    time.sleep(4)
    server.start()
    record = answer(parent)
    whole(record, 4)
    assert answer(theirs)["state"] == "COMPLETE"
    assert all(len(trial["jobs"]) == 1 for trial in record["automl"]["trials"])


@pytest.mark.slow  # it waits for the end of a time budget
def test_the_best_so_far_of_a_lost_worker_is_the_result_when_time_is_up(machine: Callable[..., Machine], database: str) -> None:
    home, other = machine("home"), machine("other")
    words = (*QUICK, "--set", "train.seconds=0.6", "--workers", "0", "--results", "s3://results/lost")
    parent = begun(home, database, *words, "--budget", "time=12s")
    theirs = worker(other, home, database)
    lost = until(lambda: other.trained(3))
    os.kill(theirs.pid, signal.SIGKILL)
    theirs.communicate(timeout=30)
    with other.hidden():
        record = answer(parent)
        assert record["state"] == "COMPLETE"
        assert record["automl"]["best"]["job_id"] == lost["id"]
        assert Path(record["artifacts"]["checkpoint"]).read_text() in ("toy 2", "toy 3")
    assert home.jobs(id=lost["id"])[0]["state"] == "ERROR"


@pytest.mark.slow
def test_the_parent_is_canceled_and_its_workers_leave(machine: Callable[..., Machine], database: str) -> None:
    home, other = machine("home"), machine("other")
    words = (*QUICK, "--set", "train.seconds=1", "--workers", "0", "--budget", "trials=9")
    parent = begun(home, database, *words)
    theirs = worker(other, home, database)
    until(lambda: other.trained(1))
    study = home.search()["id"]
    assert home("cancel", study, "--reason", "enough").code == 0
    parent.communicate(timeout=60)
    assert answer(theirs)["state"] == "COMPLETE"
    record = home.jobs(id=study)[0]
    assert record["state"] == "CANCELED"
    assert record["automl"]["totals"]["running"] == 0
    assert {one["state"] for one in other.jobs() if not one["automl"]} == {"CANCELED"}
