"""Storage on a real S3 server (moto) behind a proxy that drops, cuts, stalls, slows, falsifies and refuses."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer
from s3_proxy import Fault, Proxy, proxy_to

from runner import storage
from runner.errors import StorageError

KB, MB = 1024, 1024 * 1024
LIMITS = storage.Limits(part=64 * KB, workers=4, pause=0.01, read_timeout=20.0)
BODY = os.urandom(600 * KB + 7)


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    moto = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    moto.start()
    host, port = moto.get_host_and_port()
    yield f"http://{host}:{port}"
    moto.stop()


@pytest.fixture
def proxy(server: str) -> Iterator[Proxy]:
    with proxy_to(server) as proxy:
        yield proxy


@pytest.fixture
def s3(server: str, proxy: Proxy, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Any]:
    """A client that goes to the server directly; the subject goes through the proxy."""
    for name in [n for n in os.environ if n.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in {
        "AWS_ENDPOINT_URL": proxy.url,
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_CONFIG_FILE": str(tmp_path / "no-config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "no-credentials"),
        "NO_PROXY": "*",
    }.items():
        monkeypatch.setenv(name, value)
    client = boto3.client("s3", endpoint_url=server)
    client.create_bucket(Bucket="data")
    client.put_object(Bucket="data", Key="a.npy", Body=BODY)
    yield client
    for item in client.list_objects_v2(Bucket="data").get("Contents", []):
        client.delete_object(Bucket="data", Key=item["Key"])
    client.delete_bucket(Bucket="data")
    client.close()


def fetch(folder: Path, uri: str = "s3://data/a.npy", **more: Any) -> Path:
    return storage.fetch(uri, folder, **{"limits": LIMITS, **more})


def leftovers(folder: Path) -> list[str]:
    return sorted(p.name.partition(".")[2] for p in folder.iterdir() if p.is_file())


# -- down --------------------------------------------------------------------------------------------------------


def test_a_large_object_comes_in_parts_at_the_same_time(s3, proxy, tmp_path):
    proxy.faults = lambda call, _: Fault("slow", seconds=0.02) if call.range else None
    assert fetch(tmp_path).read_bytes() == BODY
    assert proxy.count("GET") == 10
    assert 2 <= proxy.most_active <= LIMITS.workers
    assert leftovers(tmp_path) == ["lock"]


@pytest.mark.parametrize(
    "fault",
    [
        Fault("drop"),
        Fault("cut", after=0),
        Fault("cut", after=1000),
        Fault("status", status=500),
        Fault("status", status=503, code="SlowDown"),
        Fault("status", status=429, code="TooManyRequests"),
        Fault("flip", after=100),
    ],
    ids=str,
)
def test_what_passes_by_itself_is_got_over(s3, proxy, tmp_path, fault):
    proxy.first(6, fault)
    assert fetch(tmp_path).read_bytes() == BODY
    assert proxy.count("GET") > 10


def test_every_connection_breaks_and_each_brings_a_little(s3, proxy, tmp_path):
    """Each part needs several connections; what came before is kept."""
    proxy.faults = lambda call, _: Fault("cut", after=30 * KB) if call.range else None
    assert fetch(tmp_path).read_bytes() == BODY
    starts = {int(call.range[6:].partition("-")[0]) for call in proxy.calls if call.range}
    assert any(start % (64 * KB) for start in starts)


def test_a_silent_connection_is_given_up(s3, proxy, tmp_path):
    proxy.first(2, Fault("stall", after=5000, seconds=60))
    began = time.monotonic()
    assert fetch(tmp_path, limits=LIMITS._replace(read_timeout=1.0)).read_bytes() == BODY
    assert time.monotonic() - began < 30


@pytest.mark.parametrize("method", ["HEAD", "GET"])
@pytest.mark.parametrize(("status", "code"), [(500, "InternalError"), (503, "SlowDown")])
def test_a_store_that_keeps_failing_is_named(s3, proxy, tmp_path, status, code, method):
    proxy.first(10**6, Fault("status", status=status, code=code), method)
    with pytest.raises(StorageError, match=f"fails again and again .{status}") as caught:
        fetch(tmp_path)
    assert caught.value.exit_code == 6
    assert not list(tmp_path.rglob("a.npy"))


def test_a_store_that_keeps_cutting_is_named(s3, proxy, tmp_path):
    proxy.first(10**6, Fault("cut"))
    with pytest.raises(StorageError, match=r"again and again|cannot be reached"):
        fetch(tmp_path)
    assert not list(tmp_path.rglob("a.npy"))


def test_wrong_content_never_gets_a_name(s3, proxy, tmp_path):
    proxy.first(10**6, Fault("flip", after=1))
    with pytest.raises(StorageError, match="does not match the object's ETag"):
        fetch(tmp_path)
    assert not list(tmp_path.rglob("a.npy"))
    assert leftovers(tmp_path) == ["lock"], "nothing wrong is gone on with"


@pytest.mark.parametrize("checksum", ["SHA256", "SHA1", "CRC32"])
def test_checksums_are_compared_where_the_etag_says_nothing(s3, proxy, tmp_path, checksum):
    s3.put_object(
        Bucket="data", Key="a.npy", Body=BODY, ChecksumAlgorithm=checksum, ServerSideEncryption="aws:kms", SSEKMSKeyId="k"
    )
    assert fetch(tmp_path / "good").read_bytes() == BODY
    proxy.first(10**6, Fault("flip", after=1))
    with pytest.raises(StorageError, match=f"does not match the object's {checksum}"):
        fetch(tmp_path / "bad")


def test_parts_of_any_size_are_verified(s3, proxy, tmp_path):
    key = {"Bucket": "data", "Key": "odd.npy"}
    upload = s3.create_multipart_upload(**key)["UploadId"]
    chunks = [os.urandom(6 * MB), os.urandom(5 * MB), os.urandom(6 * MB)]  # adds up to three parts of 6 MB at the most
    parts = [
        {"PartNumber": n, "ETag": s3.upload_part(**key, UploadId=upload, PartNumber=n, Body=chunk)["ETag"]}
        for n, chunk in enumerate(chunks, 1)
    ]
    s3.complete_multipart_upload(**key, UploadId=upload, MultipartUpload={"Parts": parts})
    limits = LIMITS._replace(part=4 * MB)
    assert fetch(tmp_path, "s3://data/odd.npy", limits=limits).read_bytes() == b"".join(chunks)


def test_an_empty_object(s3, proxy, tmp_path):
    s3.put_object(Bucket="data", Key="empty.npy", Body=b"")
    assert fetch(tmp_path, "s3://data/empty.npy").read_bytes() == b""


def test_a_broken_fetch_is_gone_on_with(s3, proxy, tmp_path):
    proxy.faults = lambda call, _: (
        Fault("status", status=403, code="AccessDenied") if call.range.startswith("bytes=524") else None
    )
    with pytest.raises(StorageError, match="no permission"):
        fetch(tmp_path, limits=LIMITS._replace(workers=1))
    assert leftovers(tmp_path) == ["lock", "part", "parts"]
    proxy.faults = lambda _call, _number: None
    before = proxy.count("GET")
    assert fetch(tmp_path).read_bytes() == BODY
    assert 1 <= proxy.count("GET") - before < 10
    assert leftovers(tmp_path) == ["lock"]


@pytest.mark.parametrize("harm", ["journal torn", "journal foreign", "journal lies", "part shortened", "part damaged"])
def test_a_partial_file_is_not_believed_blindly(s3, proxy, tmp_path, harm):
    proxy.faults = lambda call, _: (
        Fault("status", status=403, code="AccessDenied") if call.range.startswith("bytes=524") else None
    )
    with pytest.raises(StorageError):
        fetch(tmp_path, limits=LIMITS._replace(workers=1))
    proxy.faults = lambda _call, _number: None
    part, journal = next(tmp_path.glob("*.part")), next(tmp_path.glob("*.parts"))
    text = journal.read_text()
    if harm == "journal torn":
        journal.write_text(text[:-4])
    elif harm == "journal foreign":
        journal.write_bytes(b"\xff\x00not a journal\n1 00000000\n")
    elif harm == "journal lies":
        journal.write_text(text + "9 0a0b0c0d\n99999 00000000\n")
    elif harm == "part shortened":
        os.truncate(part, 1000)
    else:
        with part.open("r+b") as file:
            file.write(b"damage")
    assert fetch(tmp_path).read_bytes() == BODY


def test_an_object_replaced_meanwhile_is_fetched_anew(s3, proxy, tmp_path):
    other = os.urandom(len(BODY))

    def replace(call: Any, _number: int) -> None:
        if call.range and not done:
            done.append(call)
            s3.put_object(Bucket="data", Key="a.npy", Body=other)

    done: list[Any] = []
    proxy.faults = replace
    assert fetch(tmp_path).read_bytes() == other
    assert leftovers(tmp_path) == ["lock", "lock"]


CHILD = """
import sys
from pathlib import Path
from runner import storage
limits = storage.Limits(part=65536, workers=2, pause=0.01)
print(storage.fetch("s3://data/a.npy", Path(sys.argv[1]), lambda moved: print(moved.what, file=sys.stderr, flush=True), limits))
"""


def child(folder: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", CHILD, str(folder)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_processes_that_want_the_same_object_fetch_it_once(s3, proxy, tmp_path):
    proxy.faults = lambda call, _: Fault("slow", seconds=0.3) if call.range else None
    children = [child(tmp_path) for _ in range(2)]
    said = [process.communicate(timeout=60) for process in children]
    assert [process.returncode for process in children] == [0, 0], said
    assert said[0][0] == said[1][0]
    assert Path(said[0][0].strip()).read_bytes() == BODY
    assert proxy.count("GET") == 10
    assert sum("waiting" in errors for _, errors in said) == 1


def test_a_killed_fetch_leaves_no_copy_and_no_lock(s3, proxy, tmp_path):
    proxy.faults = lambda call, _: Fault("slow", seconds=0.3) if call.range else None
    process = child(tmp_path)
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and not any(p.read_text().count("\n") > 1 for p in tmp_path.glob("*.parts")):
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=30)
    assert not list(tmp_path.rglob("a.npy"))
    while proxy.active and time.monotonic() < deadline:  # what the dead one had asked for is still being answered
        time.sleep(0.02)
    proxy.faults = lambda _call, _number: None
    before = proxy.count("GET")
    assert fetch(tmp_path).read_bytes() == BODY
    assert proxy.count("GET") - before < 10


def test_progress_grows_to_the_end_and_can_end_the_fetch(s3, proxy, tmp_path):
    seen: list[storage.Moved] = []
    proxy.faults = lambda call, _: Fault("slow", seconds=0.05) if call.range else None
    fetch(tmp_path / "a", progress=seen.append)
    done = [moved.done for moved in seen]
    assert done == sorted(done)
    assert (seen[-1].what, seen[-1].done, seen[-1].total) == ("checking", len(BODY), len(BODY))
    assert "100 % of 614.4 kB" in str(seen[-1])

    def enough(moved: storage.Moved) -> None:
        if moved.done:
            raise KeyboardInterrupt

    before = threading.active_count()  # those of the servers, and of whatever the other tests of this process have used
    with pytest.raises(KeyboardInterrupt):
        fetch(tmp_path / "b", progress=enough)
    assert not list(tmp_path.glob("b/*/a.npy"))
    assert threading.active_count() < before + 10


def test_a_disk_too_small_is_said_before_a_byte_is_fetched(s3, proxy, tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda _path: type("Usage", (), {"free": 1000}))
    with pytest.raises(StorageError, match=r"614.4 kB do not fit on .*, which has 1.0 kB left"):
        fetch(tmp_path)
    assert proxy.count("GET") == 0


# -- folders -----------------------------------------------------------------------------------------------------


def test_a_folder_is_fetched_whole_and_once(s3, proxy, tmp_path):
    for name in ("set/b/one.json", "set/two.json", "set/empty", "settle/other"):
        s3.put_object(Bucket="data", Key=name, Body=name.encode() if name != "set/empty" else b"")
    s3.put_object(Bucket="data", Key="set/c/", Body=b"")
    s3.put_object(Bucket="data", Key="set/large.bin", Body=BODY)
    proxy.first(3, Fault("drop"))
    folder = fetch(tmp_path, "s3://data/set")
    assert folder.name == "set"
    files = {p.relative_to(folder).as_posix(): p.stat().st_size for p in folder.rglob("*") if p.is_file()}
    assert files == {"b/one.json": 14, "two.json": 12, "empty": 0, "large.bin": len(BODY)}
    assert (folder / "large.bin").read_bytes() == BODY
    before = proxy.count("GET")
    assert fetch(tmp_path, "s3://data/set") == folder
    assert fetch(tmp_path, "s3://data/set/").name == "set"
    s3.put_object(Bucket="data", Key="set/two.json", Body=b"new")
    assert (fetch(tmp_path, "s3://data/set") / "two.json").read_bytes() == b"new"
    assert proxy.count("GET") > before


def test_a_broken_folder_has_no_name_and_is_gone_on_with(s3, proxy, tmp_path):
    for n in range(6):
        s3.put_object(Bucket="data", Key=f"set/{n}", Body=str(n).encode())
    proxy.faults = lambda call, _: Fault("status", status=403, code="AccessDenied") if call.path == "/data/set/5" else None
    with pytest.raises(StorageError, match="no permission"):
        fetch(tmp_path, "s3://data/set/", limits=LIMITS._replace(workers=1))
    assert not list(tmp_path.rglob("set"))
    proxy.faults = lambda _call, _number: None
    before = len([call for call in proxy.calls if call.range])
    assert len(list(fetch(tmp_path, "s3://data/set/").iterdir())) == 6
    assert len([call for call in proxy.calls if call.range]) - before == 1


@pytest.mark.parametrize("keys", [["set/../../evil"], ["set//x"], ["set/a", "set/a/b"]])
def test_keys_that_lead_out_of_the_folder_are_refused(s3, proxy, tmp_path, keys):
    for key in keys:
        s3.put_object(Bucket="data", Key=key, Body=b"x")
    with pytest.raises(StorageError, match="cannot be files in one folder"):
        fetch(tmp_path, "s3://data/set/")


# -- before anything starts --------------------------------------------------------------------------------------


def test_preflight_adds_up_what_is_missing(s3, proxy, tmp_path):
    inputs = [("train", "s3://data/a.npy"), ("val", "s3://data/b.npy")]
    s3.put_object(Bucket="data", Key="b.npy", Body=b"1234")
    assert storage.preflight(inputs, tmp_path, "s3://data/results/x", LIMITS) == len(BODY) + 4
    fetch(tmp_path)
    assert storage.preflight(inputs, tmp_path, None, LIMITS) == 4
    assert {item["Key"] for item in s3.list_objects_v2(Bucket="data")["Contents"]} == {"a.npy", "b.npy"}


def test_preflight_names_every_address_that_is_wrong(s3, proxy, tmp_path):
    inputs = [("a", "s3://data/absent.npy"), ("b", "s3://data/a.npy"), ("c", "s3://nowhere/a.npy")]
    with pytest.raises(StorageError, match="3 addresses") as caught:
        storage.preflight(inputs, tmp_path, "s3://absent/r", LIMITS)
    said = {problem.path: problem.says for problem in caught.value.problems}
    assert "no such object" in said["a"]
    assert "no such bucket: nowhere" in said["c"]
    assert "no such bucket: absent" in said["results_dir"]
    with pytest.raises(StorageError, match=r"s3://data/absent.npy: no such object"):
        storage.preflight(inputs[:2], tmp_path, None, LIMITS)


def test_preflight_refuses_results_that_could_not_be_written(s3, proxy, tmp_path):
    proxy.first(10**6, Fault("status", status=403, code="AccessDenied"), "POST")
    with pytest.raises(StorageError, match="no permission") as caught:
        storage.preflight([], tmp_path, "s3://data/results", LIMITS)
    assert "s3:PutObject" in caught.value.hint


def test_credentials_are_complained_of_once(s3, proxy, tmp_path, monkeypatch):
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(StorageError, match=r"s3://data/a: .*no credentials|cannot be set up"):
        storage.preflight([("a", "s3://data/a"), ("b", "s3://data/b")], tmp_path, None, LIMITS)


@pytest.mark.parametrize("code", ["RequestTimeTooSkewed", "AccessDenied"])
@pytest.mark.parametrize(("clock", "says"), [(3600, "60 minutes behind"), (-1800, "30 minutes ahead of")])
def test_a_wrong_clock_is_named(s3, proxy, tmp_path, code, clock, says):
    proxy.faults = lambda _call, _number: Fault("status", status=403, code=code, clock=clock)
    with pytest.raises(StorageError, match=f"this machine's is {says} the store's") as caught:
        storage.preflight([("a", "s3://data/a.npy"), ("b", "s3://data/b")], tmp_path, None, LIMITS)
    assert "Set the clock" in caught.value.hint


def test_another_region_is_named(s3, proxy, tmp_path):
    proxy.faults = lambda call, _: Fault("status", status=400, code="AuthorizationHeaderMalformed")
    with pytest.raises(StorageError, match="another region"):
        fetch(tmp_path)


# -- up ----------------------------------------------------------------------------------------------------------

UP = storage.Limits(part=5 * MB, workers=4, pause=0.01, read_timeout=20.0)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "results"
    folder.mkdir()
    (folder / "model.pth").write_bytes(BODY * 18)  # 10.5 MB: three parts
    for n in range(5):
        (folder / f"log{n}.txt").write_text(f"line {n}\n" * 100)
    (folder / "big.tmp").write_bytes(b"x")
    return folder


@pytest.mark.parametrize(
    ("method", "fault"),
    [
        ("PUT", Fault("drop")),
        ("PUT", Fault("status", status=503, code="SlowDown")),
        ("PUT", Fault("damage")),
        ("POST", Fault("status", status=500)),
        ("POST", Fault("drop")),
    ],
    ids=str,
)
def test_an_upload_gets_over_what_passes(s3, proxy, folder, tmp_path, method, fault):
    proxy.first(2, fault, method)
    seen: list[storage.Moved] = []
    manifest = storage.upload_tree(folder, "s3://data/r", ["*.tmp"], seen.append, UP)
    assert [f["path"] for f in manifest["files"]] == [*(f"log{n}.txt" for n in range(5)), "model.pth"]
    last = [call.path for call in proxy.calls if call.method in ("PUT", "POST")][-1]
    assert last == f"/data/r/{storage.MANIFEST}"
    assert seen[-1].done == seen[-1].total == sum(f["bytes"] for f in manifest["files"])
    assert fetch(tmp_path / "back", "s3://data/r/model.pth", limits=UP).read_bytes() == BODY * 18
    assert not s3.list_multipart_uploads(Bucket="data").get("Uploads")


def test_an_answer_that_is_lost_after_the_parts_were_joined(s3, proxy, folder):
    """The store has the object, the client does not know, and asks again: the upload is unknown by then."""
    lost: list[Any] = []

    def lose(call: Any, _number: int) -> Fault | None:
        if call.method == "POST" and "uploadId" in call.path and not lost:
            lost.append(call)
            return Fault("cut")
        return None

    proxy.faults = lose
    storage.upload_tree(folder, "s3://data/r", [], None, UP)
    assert lost
    assert s3.head_object(Bucket="data", Key="r/model.pth")["ContentLength"] == len(BODY) * 18


def test_a_refused_upload_leaves_no_manifest_and_no_parts(s3, proxy, folder):
    proxy.faults = lambda call, _: Fault("status", status=403, code="AccessDenied") if "partNumber=2" in call.path else None
    with pytest.raises(StorageError, match="no permission"):
        storage.upload_tree(folder, "s3://data/r", [], None, UP)
    keys = {item["Key"] for item in s3.list_objects_v2(Bucket="data")["Contents"]}
    assert f"r/{storage.MANIFEST}" not in keys
    assert "r/model.pth" not in keys
    assert not s3.list_multipart_uploads(Bucket="data").get("Uploads")


def test_a_file_that_changes_under_way_is_not_passed_off_as_whole(s3, proxy, folder):
    def change(call: Any, _number: int) -> None:
        if "partNumber=2" in call.path:
            with (folder / "model.pth").open("r+b") as file:
                file.write(b"other")

    proxy.faults = change
    with pytest.raises(StorageError, match="changed while it was uploaded"):
        storage.upload_tree(folder, "s3://data/r", [], None, UP)
    keys = {item["Key"] for item in s3.list_objects_v2(Bucket="data")["Contents"]}
    assert not {"r/model.pth", f"r/{storage.MANIFEST}"} & keys


def test_a_folder_goes_up_and_comes_back_the_same(s3, proxy, folder, tmp_path):
    storage.upload_tree(folder, "s3://data/r", [], None, UP)
    back = fetch(tmp_path / "back", "s3://data/r", limits=UP)
    for path in folder.iterdir():
        assert (back / path.name).read_bytes() == path.read_bytes()
