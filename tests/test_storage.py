"""Storage against a real S3 server on localhost (moto), and against one that only refuses."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer

from runner import backend, checkpoints, launch, storage, tao_cli
from runner.errors import Canceled, StorageError
from runner.jobs import JobStore

MB = 1024 * 1024


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    moto = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    moto.start()
    host, port = moto.get_host_and_port()
    yield f"http://{host}:{port}"
    moto.stop()


@pytest.fixture(autouse=True)
def _surroundings(monkeypatch, tmp_path) -> None:
    for name in [n for n in os.environ if n.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "no-config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "no-credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("NO_PROXY", "*")


@pytest.fixture
def s3(server, monkeypatch) -> Iterator:
    monkeypatch.setenv("AWS_ENDPOINT_URL", server)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    client = boto3.client("s3")
    client.create_bucket(Bucket="data")
    yield client
    for item in client.list_objects_v2(Bucket="data").get("Contents", []):
        client.delete_object(Bucket="data", Key=item["Key"])
    client.delete_bucket(Bucket="data")
    client.close()


@pytest.mark.parametrize(("uri", "remote"), [("s3://b/k", True), ("/data/s3://b", False), ("file:///x", False), ("", False)])
def test_is_remote(uri, remote):
    assert storage.is_remote(uri) is remote


def test_parse():
    assert storage.parse("s3://b/a/c.npy") == ("b", "a/c.npy")
    assert storage.parse("s3://b") == ("b", "")
    for wrong in ("s3://", "s3:///k", "/b/k"):
        with pytest.raises(StorageError, match="allowed: s3://bucket/key"):
            storage.parse(wrong)


def test_fetch_keeps_the_name_and_the_content(s3, tmp_path):
    s3.put_object(Bucket="data", Key="nvidia/train_data.npy", Body=b"abc")
    path = storage.fetch("s3://data/nvidia/train_data.npy", tmp_path / "cache")
    assert path.name == "train_data.npy"
    assert path.read_bytes() == b"abc"
    assert list(path.parent.iterdir()) == [path]


def test_the_cache_follows_the_content(s3, tmp_path):
    s3.put_object(Bucket="data", Key="a.npy", Body=b"one")
    first = storage.fetch("s3://data/a.npy", tmp_path)
    before = first.stat().st_mtime_ns
    assert storage.fetch("s3://data/a.npy", tmp_path) == first
    assert first.stat().st_mtime_ns == before
    s3.put_object(Bucket="data", Key="a.npy", Body=b"two")
    second = storage.fetch("s3://data/a.npy", tmp_path)
    assert (first.read_bytes(), second.read_bytes()) == (b"one", b"two")
    first.write_bytes(b"cut")  # same size is believed, another is not
    second.write_bytes(b"truncated by somebody")
    assert storage.fetch("s3://data/a.npy", tmp_path).read_bytes() == b"two"


def test_an_object_uploaded_in_parts_is_verified_too(s3, tmp_path):
    body = os.urandom(5 * MB) + b"tail"
    upload = s3.create_multipart_upload(Bucket="data", Key="big.npy")["UploadId"]
    keys = {"Bucket": "data", "Key": "big.npy", "UploadId": upload}
    parts = [
        {"PartNumber": n, "ETag": s3.upload_part(**keys, PartNumber=n, Body=chunk)["ETag"]}
        for n, chunk in ((1, body[: 5 * MB]), (2, body[5 * MB :]))
    ]
    s3.complete_multipart_upload(**keys, MultipartUpload={"Parts": parts})
    assert storage.fetch("s3://data/big.npy", tmp_path).read_bytes() == body


@pytest.mark.parametrize(
    ("uri", "says"),
    [
        ("s3://absent/a.npy", "no such bucket: absent"),
        ("s3://data/absent.npy", "no such object in the bucket: absent.npy"),
        ("s3://data/folder/", "nor a folder with any"),
        ("s3://data", "names no object"),
        ("s3://Bad_Bucket!/a", "Bad_Bucket!"),
    ],
)
def test_what_is_not_there_is_told_apart(s3, tmp_path, uri, says):
    with pytest.raises(StorageError) as caught:
        storage.fetch(uri, tmp_path)
    assert says in str(caught.value)
    assert caught.value.exit_code == 6


def test_no_credentials(server, monkeypatch, tmp_path):
    monkeypatch.setenv("AWS_ENDPOINT_URL", server)
    with pytest.raises(StorageError, match="no credentials") as caught:
        storage.fetch("s3://data/a.npy", tmp_path)
    assert "AWS_ACCESS_KEY_ID" in caught.value.hint


def test_an_unknown_profile_and_a_bad_endpoint_are_named(monkeypatch, tmp_path):
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(StorageError, match="nobody"):
        storage.fetch("s3://data/a.npy", tmp_path)
    monkeypatch.delenv("AWS_PROFILE")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "not a url")
    with pytest.raises(StorageError, match="not a url"):
        storage.fetch("s3://data/a.npy", tmp_path)


def test_a_store_that_is_not_there(s3, monkeypatch, tmp_path):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(StorageError, match="cannot be reached") as caught:
        storage.fetch("s3://data/a.npy", tmp_path)
    assert "AWS_ENDPOINT_URL" in caught.value.hint


@pytest.mark.parametrize(
    ("code", "says"),
    [("AccessDenied", "no permission"), ("InvalidAccessKeyId", "rejected"), ("ExpiredToken", "rejected (ExpiredToken)")],
)
def test_refusals_are_told_apart(s3, monkeypatch, tmp_path, code, says):
    class Refuse(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_response(403)
            self.end_headers()

        def do_GET(self) -> None:
            self.send_response(403)
            self.end_headers()
            self.wfile.write(f"<Error><Code>{code}</Code><Message>no</Message></Error>".encode())

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Refuse) as refusing:
        thread = threading.Thread(target=refusing.serve_forever)
        thread.start()
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{refusing.server_port}")
        try:
            with pytest.raises(StorageError) as caught:
                storage.fetch("s3://data/a.npy", tmp_path)
        finally:
            refusing.shutdown()
            thread.join()
    assert says in str(caught.value)


def test_check_bucket(s3):
    storage.check_bucket("s3://data/results")
    assert "Contents" not in s3.list_objects_v2(Bucket="data")
    assert not s3.list_multipart_uploads(Bucket="data").get("Uploads")
    with pytest.raises(StorageError, match="no such bucket: absent"):
        storage.check_bucket("s3://absent/results")


def results(folder: Path) -> Path:
    for name, text in {
        "model_epoch_001_step_00002.pth": "weights",
        "status.json": "{}",
        "lightning_logs/version_0/events": "events",
        "inputs/train_data.npy": "big",
        "notes.tmp": "x",
    }.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (folder / "pc_model_latest.pth").symlink_to("model_epoch_001_step_00002.pth")
    (folder / "broken").symlink_to("nowhere")
    (folder / "outside").symlink_to("/etc/hostname")
    (folder / "logs").symlink_to("lightning_logs")
    return folder


def keys(s3) -> list[str]:
    return [item["Key"] for item in s3.list_objects_v2(Bucket="data").get("Contents", [])]


def test_upload_takes_what_belongs_and_says_what_it_left_out(s3, tmp_path):
    manifest = storage.upload_tree(results(tmp_path / "r"), "s3://data/results/job-1", ["inputs/", "*.tmp"])
    below = "results/job-1/"
    assert keys(s3) == [
        f"{below}lightning_logs/version_0/events",
        f"{below}model_epoch_001_step_00002.pth",
        f"{below}pc_model_latest.pth",
        f"{below}status.json",
        f"{below}{storage.MANIFEST}",
    ]
    assert s3.get_object(Bucket="data", Key=f"{below}pc_model_latest.pth")["Body"].read() == b"weights"
    assert json.loads(s3.get_object(Bucket="data", Key=below + storage.MANIFEST)["Body"].read()) == manifest
    files = {f["path"]: f for f in manifest["files"]}
    assert files["pc_model_latest.pth"]["link_to"] == "model_epoch_001_step_00002.pth"
    assert files["pc_model_latest.pth"]["sha256"] == files["model_epoch_001_step_00002.pth"]["sha256"]
    assert files["status.json"]["bytes"] == 2
    assert {s["path"]: s["why"] for s in manifest["skipped"]} == {
        "broken": "a broken link",
        "inputs/train_data.npy": "excluded by inputs/",
        "logs": "a link to a folder or out of the results",
        "notes.tmp": "excluded by *.tmp",
        "outside": "a link to a folder or out of the results",
    }


def test_the_manifest_comes_last(s3, tmp_path, monkeypatch):
    folder = results(tmp_path / "r")
    (folder / "zzz_unreadable").write_text("x")
    read = Path.read_bytes

    def fail(path: Path) -> bytes:
        if path.name == "zzz_unreadable":
            time.sleep(1)  # the others are through
            raise OSError(5, "Input/output error")
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", fail)
    with pytest.raises(StorageError, match="a local file failed"):
        storage.upload_tree(folder, "s3://data")
    assert "status.json" in keys(s3)
    assert storage.MANIFEST not in keys(s3)


def test_checkpoints_are_taken_out_of_an_upload_whose_manifest_says_so_first(s3, tmp_path):
    uri, below = "s3://data/results/job-2", "results/job-2/"
    storage.upload_tree(results(tmp_path / "r"), uri, ["inputs/"])
    gone = storage.thin(uri, checkpoints.is_one, "not needed")
    names = ["model_epoch_001_step_00002.pth", "pc_model_latest.pth"]
    assert sorted(gone) == [f"{uri}/{name}" for name in names]
    left = [key.removeprefix(below) for key in keys(s3)]
    assert left == ["lightning_logs/version_0/events", "notes.tmp", "status.json", storage.MANIFEST]
    manifest = json.loads(s3.get_object(Bucket="data", Key=below + storage.MANIFEST)["Body"].read())
    assert [file["path"] for file in manifest["files"]] == left[:-1]
    assert {one["path"] for one in manifest["skipped"] if one["why"] == "not needed"} == set(names)
    s3.put_object(Bucket="data", Key=below + names[0], Body=b"a deletion that was cut off")
    assert storage.thin(uri, checkpoints.is_one, "not needed") == []
    assert [key.removeprefix(below) for key in keys(s3)] == left


def test_what_is_no_upload_is_not_thinned(s3):
    for key, body in (
        ("a/x.pth", b"x"),
        (f"b/{storage.MANIFEST}", b"[]"),
        (f"c/{storage.MANIFEST}", b'{"files": [{"path": 1}]}'),
    ):
        s3.put_object(Bucket="data", Key=key, Body=body)
    before = keys(s3)
    for folder in "abc":
        with pytest.raises(StorageError):
            storage.thin(f"s3://data/{folder}", checkpoints.is_one, "not needed")
    assert keys(s3) == before


# -- where it is used --------------------------------------------------------------------------------------------


def test_taos_command_line_takes_inputs_from_s3(s3, tmp_path, monkeypatch, capsys):
    s3.put_object(Bucket="data", Key="bodypose.json", Body=b"[]")
    monkeypatch.setenv("SKILLBANK_WORKSPACE", str(tmp_path / "w"))
    seen: list[dict] = []
    monkeypatch.setattr("runner.backend.run_here", lambda _entry, spec: seen.append(spec) or backend.Outcome({}, {}, []))
    spec = tmp_path / "spec.yaml"
    spec.write_text(f"results_dir: {tmp_path / 'r'}\ndataset_convert: {{data: s3://data/bodypose.json}}\n")
    assert tao_cli.main(["dataset_convert", "-e", str(spec)]) == 0
    path = Path(seen[0]["dataset_convert"]["data"])
    assert path.read_bytes() == b"[]"
    assert path.is_relative_to(tmp_path / "w" / "cache")
    assert tao_cli.main(["dataset_convert", "-e", str(spec), "dataset_convert.data=s3://data/none.json"]) == 6
    assert tao_cli.main(["dataset_convert", "-e", str(spec), "results_dir=s3://data/r"]) == 2
    assert "skillbank run" in capsys.readouterr().err
    assert len(seen) == 1


def test_a_job_that_is_to_end_ends_its_transfer(tmp_path):
    stop, lines, moved = launch.Stop(), [], storage.Moved("fetching", "s3://b/k", 5_000_000, 20_000_000)
    store = JobStore(tmp_path)
    moving = launch._mover(store, {"id": "pose-train-0123"}, stop, launch.QUIET._replace(bar=lines.append))
    moving(moved)
    assert lines == ["fetching s3://b/k  25 % of 20.0 MB"]
    stop.signal = 15
    with pytest.raises(Canceled, match="ended while fetching s3://b/k"):
        moving(moved)


def test_stamps_tell_versions_apart_without_fetching(s3, tmp_path):
    for key, body in (("one.npy", b"1"), ("folder/a", b"a"), ("folder/b", b"b")):
        s3.put_object(Bucket="data", Key=key, Body=body)
    uris = ["s3://data/one.npy", "s3://data/folder/"]
    first = storage.stamps(uris)
    assert first[uris[0]] == {"kind": "stored", "bytes": 1, "etag": "c4ca4238a0b923820dcc509a6f75849b"}
    assert (first[uris[1]]["files"], first[uris[1]]["bytes"]) == (2, 2)
    assert storage.stamps(uris) == first
    s3.put_object(Bucket="data", Key="folder/b", Body=b"c")
    assert [storage.stamps(uris)[uri] == first[uri] for uri in uris] == [True, False]
    assert storage.stamps(["s3://data/none.npy"]) == {"s3://data/none.npy": {"kind": "unseen"}}
