from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time

import pytest

from stgcn import errors, status


def lines(folder):
    return [json.loads(line) for line in (folder / "status.json").read_text().splitlines()]


def test_a_line_holds_what_was_given_and_nothing_of_the_line_before(tmp_path):
    log = status.StatusLog(tmp_path, "train")
    log.write("RUNNING", "one", kpi={"val_loss": 0.5, "val_acc": float("nan")}, epoch=0, step=7)
    log.write("RUNNING", "two", epoch=1, max_epoch=9, time_per_epoch=61.5, time_per_step=0.25, eta=3661)
    first, second = lines(tmp_path)
    assert first["kpi"] == {"val_loss": 0.5, "val_acc": None}
    assert (first["epoch"], first["step"], first["status"], first["verbosity"]) == (0, 7, "RUNNING", "INFO")
    assert re.fullmatch(r"\d{1,2}/\d{1,2}/\d{4}", first["date"])
    assert re.fullmatch(r"\d{1,2}:\d{1,2}:\d{1,2}", first["time"])
    assert "kpi" not in second
    assert (second["time_per_epoch"], second["eta"]) == ("0:01:01.500000", "1:01:01")


def test_a_session_begins_and_ends_truthfully(tmp_path):
    with status.session(tmp_path / "x", "dataset_convert") as log:
        log.write("RUNNING", "half way")
    said = [(line["status"], line["message"]) for line in lines(tmp_path / "x")]
    assert said == [
        ("STARTED", "Starting Pose Classification dataset_convert."),
        ("RUNNING", "half way"),
        ("SUCCESS", "Dataset convert finished successfully."),
    ]


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (errors.SpecError(["a", "b"]), "Configuration error: a\nb"),
        (errors.DataError("bad"), "Parameter validation error: bad"),
        (errors.CheckpointError("bad"), "Parameter validation error: bad"),
        (errors.ResourceError("full"), "File system error: full"),
        (NotImplementedError("x"), "Feature not implemented: x"),
        (ValueError("x"), "Parameter validation error: x"),
        (FileNotFoundError(2, "No such file", "x"), "File system error: [Errno 2] No such file: 'x'"),
        (RuntimeError("out of memory"), "Unexpected error: RuntimeError: out of memory"),
        (AssertionError(), "Unexpected error: AssertionError: AssertionError"),
        (KeyboardInterrupt(), "User/System interruption: KeyboardInterrupt"),
        (SystemExit(0), "User/System interruption: 0"),
        (status.Terminated(), "User/System interruption: terminated by SIGTERM"),
    ],
)
def test_whatever_ends_a_session_is_its_last_line(tmp_path, error, message):
    with pytest.raises(type(error)), status.session(tmp_path, "train"):
        raise error
    last = lines(tmp_path)[-1]
    assert (last["status"], last["message"], last["verbosity"]) == ("FAILURE", message, "ERROR")


def test_a_folder_that_vanishes_does_not_hide_the_error(tmp_path):
    folder = tmp_path / "x"

    def fail():
        with status.session(folder, "train") as log:
            log.path.unlink()
            folder.rmdir()
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert not folder.exists()


def test_an_unwritable_folder_is_said_before_anything_starts(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(errors.ResourceError, match="cannot be written"), status.session(tmp_path / "file", "train"):
        pytest.fail("the action must not start")


def test_sigterm_ends_with_143_and_a_last_line(tmp_path):
    code = (
        "import sys, time; from stgcn.status import session\n"
        "with session(sys.argv[1], 'train'):\n    print('ready', flush=True)\n    time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=20) == 143
    assert lines(tmp_path)[-1]["message"] == "User/System interruption: terminated by SIGTERM"


def test_the_signal_handler_is_put_back(tmp_path):
    with status.session(tmp_path, "train"):
        assert signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_a_handler_of_somebody_else_is_left_alone(tmp_path):
    mine = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        with status.session(tmp_path, "train"):
            assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGTERM, mine)


def test_a_session_works_outside_of_the_main_thread(tmp_path):
    def work():
        with status.session(tmp_path, "train"):
            time.sleep(0.01)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert lines(tmp_path)[-1]["status"] == "SUCCESS"


def test_lines_of_two_writers_do_not_mix(tmp_path):
    logs = [status.StatusLog(tmp_path, "train") for _ in range(4)]

    def work(log):
        for _ in range(50):
            log.write("RUNNING", "x" * 200)

    threads = [threading.Thread(target=work, args=(log,)) for log in logs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(lines(tmp_path)) == 200
    assert os.listdir(tmp_path) == ["status.json"]


def test_half_a_character_of_a_hostile_file_is_written(tmp_path):
    status.StatusLog(tmp_path, "train").write("RUNNING", "file \ud800.json")
    (line,) = [json.loads(text) for text in (tmp_path / "status.json").read_text(encoding="utf-8").splitlines()]
    assert line["message"] == "file \ud800.json"


def test_secrets_are_not_written_down(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_API_KEY", "0123456789abcdef")
    monkeypatch.setenv("MONKEY", "a-monkey-is-no-key")
    log = status.StatusLog(tmp_path, "train", ["swordfish"])
    log.write("RUNNING", "https://me:pass/word@host/x.npy, 0123456789abcdef; AKIAIOSFODNN7EXAMPLE, password=hunter2 swordfish")
    log.write("RUNNING", "a-monkey-is-no-key, 12:30, http://host:80/x", kpi={"of": ["swordfish"]})
    first, second = lines(tmp_path)
    assert first["message"] == "https://me:***@host/x.npy, ***; ***, password=*** ***"
    assert (second["message"], second["kpi"]) == ("a-monkey-is-no-key, 12:30, http://host:80/x", {"of": ["***"]})


@pytest.mark.parametrize("error", [SystemExit(143), status.Terminated()])
def test_a_signal_is_named(error):
    assert status.failure_message(error) == "User/System interruption: terminated by SIGTERM"
