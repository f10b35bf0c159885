"""The key of encrypted checkpoints: every way it can be given, and that it comes to the trainer and nowhere else."""

from __future__ import annotations

import hashlib
import os
import pty
import select
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from runner import keys
from runner.cli import respond
from runner.errors import InputMissing, UsageError
from runner.plan import Request, make

KEY = "correct-horse-battery"
HASH = hashlib.sha256(KEY.encode()).hexdigest()
TELL = ("--set", "train.behave=tell", "--set", "num_epochs=1")


def logs(toy: Any) -> list[str]:
    return [path.read_text() for path in sorted(toy.folder.rglob("job.log"))]


def is_told(log: str) -> bool:
    """The trainer had the key, and said nothing aloud."""
    assert "the key is ***" in log
    assert "a login: postgresql+psycopg://me:***@host/db, ***" in log
    assert "in argv: False, in the environment: False" in log
    return f"its hash {HASH}" in log


def assert_nowhere(folder: Path, *besides: Path) -> None:
    for path in (p for p in folder.rglob("*") if p.is_file() and p not in besides):
        content = path.read_bytes()
        assert KEY.encode() not in content, path
        assert b"pass-word-99" not in content, path


def test_from_the_environment_and_in_the_foreground(toy: Any) -> None:
    done = toy.run(*TELL, SKILLBANK_ENCRYPTION_KEY=KEY)
    assert done.code == 0, done.err
    assert KEY not in done.out + done.err
    assert is_told(logs(toy)[0])
    assert "the key is ***" in done.err  # the lines that are shown come from the log
    assert done.data["spec"]["encryption_key"] == "***"
    assert done.data["sources"]["encryption_key"] == "inferred:key"
    assert_nowhere(toy.folder)


def test_from_a_file_and_in_the_background(toy: Any) -> None:
    file = toy.folder / "key.txt"
    file.write_text(KEY + "\n")
    file.chmod(0o600)
    done = toy.run(*TELL, "--detach", "--encryption-key-file", file, SKILLBANK_ENCRYPTION_KEY="another one")
    assert toy("wait", done.data["job_id"]).code == 0
    assert is_told(logs(toy)[0])
    assert "warning" not in done.err
    assert_nowhere(toy.folder, file)


@pytest.mark.slow
def test_every_trial_of_a_search_gets_it(toy: Any) -> None:
    assert toy.run(*TELL, "--budget", "trials=2", automl="on", SKILLBANK_ENCRYPTION_KEY=KEY).code == 0
    assert [is_told(log) for log in logs(toy)] == [True, True]
    assert_nowhere(toy.folder)


def test_a_spec_file_works_with_a_warning_and_the_option_goes_before_it(toy: Any) -> None:
    spec, file = toy.folder / "spec.yaml", toy.folder / "key.txt"
    spec.write_text("encryption_key: another-one\ntrain: {behave: tell, num_epochs: 1}\n")
    file.write_text(KEY)
    file.chmod(0o644)
    planned = toy("plan", "tao-train-toy", "train", "--dataset", toy.folder, "--spec", spec, "--json")
    assert any("encryption_key stands in" in text for text in planned.envelope["warnings"])
    assert "another-one" not in planned.out
    done = toy.run("--spec", spec, "--encryption-key-file", file)
    assert is_told(logs(toy)[0])
    told = toy.run("--spec", spec).envelope["warnings"]
    assert any("encryption_key stands in" in text for text in told)
    shown = toy("run", "tao-train-toy", "train", "--dataset", toy.folder, "--spec", spec, "--automl", "off")
    assert shown.err.count("note: encryption_key stands in") == 1
    assert "encryption_key stands in" not in shown.out
    assert "another-one" not in shown.out + shown.err
    assert "can be read by other users of this machine: chmod 600" in done.err


@pytest.mark.parametrize("verb", ["plan", "run", "validate"])
def test_never_from_an_argument(tmp_path: Path, verb: str) -> None:
    words = [verb, "tao-train-pose-classification", "train", "--workspace", str(tmp_path / "workspace")]
    _, reply = respond([*words, "--set", f"encryption_key={KEY}"])
    assert reply.exit_code == 2
    assert "a secret is not given on the command line" in reply.text
    assert keys.HOW in reply.text
    assert KEY not in str(reply)
    assert not (tmp_path / "workspace").exists()


def test_a_locked_input_is_told_before_a_job_exists(toy: Any) -> None:
    (toy.folder / "data.txt").write_bytes(keys.MAGIC + b"...")
    done = toy.run("--set", "num_epochs=1")
    assert done.code == 5
    (problem,) = done.envelope["error"]["problems"]
    assert problem["path"] == "train.data"
    assert problem["says"].endswith(f"data.txt is encrypted, and no key is given: {keys.HOW}")
    assert toy.jobs() == []
    planned = toy("plan", "tao-train-toy", "train", "--dataset", toy.folder, "--json")
    assert planned.code == 0
    assert any("no key is given" in text for text in planned.envelope["warnings"])
    assert toy.run("--set", "num_epochs=1", SKILLBANK_ENCRYPTION_KEY=KEY).code == 0


def test_an_action_that_takes_none_says_so(tmp_path: Path) -> None:
    request = Request(tmp_path, skill="tao-train-pose-classification", action="dataset_convert", encryption_key=KEY)
    with pytest.raises(UsageError, match="dataset_convert reads and writes no checkpoint"):
        make(request)


def test_a_person_is_asked(toy: Any) -> None:
    """An encrypted input, no key, a terminal: the question is asked, the answer is not echoed."""
    (toy.folder / "data.txt").write_bytes(keys.MAGIC + b"...")
    words = ["run", "tao-train-toy", "train", "--dataset", str(toy.folder), "--automl", "off", *TELL]
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(toy.folder)
        os.execve(sys.executable, [sys.executable, "-m", "runner.cli", *words], {**os.environ, **toy.env, "COLUMNS": "200"})
    said, answered, deadline = b"", False, time.monotonic() + 60
    while time.monotonic() < deadline:
        if select.select([terminal], [], [], 0.2)[0]:
            try:
                said += os.read(terminal, 4096)
            except OSError:  # the other end is closed
                break
        if not answered and b"Encryption key: " in said:
            answered = True
            os.write(terminal, KEY.encode() + b"\n")
    os.close(terminal)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0, said.decode()
    assert KEY.encode() not in said
    assert is_told(logs(toy)[0])
    assert_nowhere(toy.folder)


@pytest.mark.parametrize(
    ("content", "error", "says"),
    [
        (None, InputMissing, "No such file"),
        (b"", UsageError, "is empty"),
        (b"\n", UsageError, "is empty"),
        (b"one\ntwo\n", UsageError, "holds more than one line"),
        (b"x" * 5000, UsageError, "holds more than one line of at most 4096 bytes"),
        (b"zero\0byte", UsageError, "no passphrase"),
    ],
)
def test_what_is_no_key_file(tmp_path: Path, content: bytes | None, error: type[Exception], says: str) -> None:
    file = tmp_path / "key"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(error, match=says) as raised:
        keys.from_option(str(file))
    assert "one\ntwo" not in str(raised.value)


@pytest.mark.parametrize("content", [KEY.encode(), KEY.encode() + b"\n", KEY.encode() + b"\r\n"])
def test_the_end_of_the_line_is_no_part_of_it(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "key").write_bytes(content)
    assert keys.from_option(str(tmp_path / "key")) == KEY


def test_a_key_through_a_pipe(toy: Any) -> None:
    """As a password manager gives it: on stdin, or as a file that is a pipe."""
    read, write = os.pipe()
    os.write(write, KEY.encode())
    os.close(write)
    assert keys.from_option(f"/dev/fd/{read}") == KEY
    os.close(read)
    assert not keys.is_encrypted("/dev/stdin")


def test_a_new_key_is_asked_for_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter([KEY, KEY, KEY, "another", ""])
    monkeypatch.setattr("getpass.getpass", lambda _prompt: next(answers))
    assert keys.ask(new=True) == KEY
    with pytest.raises(UsageError, match="The two keys differ"):
        keys.ask(new=True)
    with pytest.raises(UsageError, match="No encryption key was entered"):
        keys.ask()

    def end(_prompt: str) -> str:
        raise EOFError  # Ctrl-D

    monkeypatch.setattr("getpass.getpass", end)
    with pytest.raises(UsageError, match="No encryption key was entered"):
        keys.ask()


def test_other_processes_do_not_inherit_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(keys.VARIABLE, KEY)
    assert keys.from_environment() == KEY
    assert KEY not in keys.environment().values()
    monkeypatch.setenv(keys.VARIABLE, "")
    assert keys.from_environment() is None
