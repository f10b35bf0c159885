"""What a terminal shows and a pipe does not: tables that fit, a line that moves, colours, a reader that goes."""

from __future__ import annotations

import fcntl
import io
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path
from typing import Any

import pytest

from runner import follow, render, terminal


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_COLOR", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")


# --- widths ---


ROWS = [("pose_classification-train-0123456789ab", "COMPLETE", "/a/very/long/folder/with/a/name/that/goes/on.npy")]


@pytest.mark.parametrize("width", [30, 60, 80, 120])
def test_a_table_fits(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    text = render.table(ROWS, ("job", "state", "path"))
    assert max(map(len, text.splitlines())) <= width
    assert ("…" in text) == (width < 98)
    if width >= 60:
        assert ROWS[0][0] in text, "what is copied gives way last"


def test_a_pipe_is_never_cut() -> None:
    assert ROWS[0][2] in render.table(ROWS, ("job", "state", "path"))
    assert render.brief("x" * 500) == "x" * 500


def test_verbose_cuts_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "30")
    monkeypatch.setattr(terminal.Wish, "uncut", True)
    assert ROWS[0][2] in render.table(ROWS, ("job", "state", "path"))


@pytest.mark.parametrize(
    ("text", "room", "shown"),
    [
        ("train.optim.lr_scheduler", 11, "train…duler"),
        ("one two three four five", 11, "one two th…"),
        ("short", 11, "short"),
        ("abc", 1, "…"),
        ("动作识别骨架序列", 9, "动作…序列"),
        ("", 0, ""),
    ],
)
def test_names_lose_their_middle_and_sentences_their_end(text: str, room: int, shown: str) -> None:
    assert terminal.shorten(text, room) == shown
    assert terminal.cells(shown) <= room


def test_json_is_whole_however_narrow(skillbank: Any) -> None:
    done = skillbank("show", "tao-train-pose-classification", "train", "--json", COLUMNS="20")
    assert len(done.data["settings"]["train.optim.lr"]["description"]) > 20
    assert "…" not in done.out


# --- colours ---


@pytest.mark.parametrize(
    ("stream", "env", "coloured"),
    [
        (Terminal(), {}, True),
        (Terminal(), {"NO_COLOR": "1"}, False),
        (Terminal(), {"TERM": "dumb"}, False),
        (io.StringIO(), {}, False),
        (None, {}, False),
    ],
)
def test_colours_are_for_terminals_that_want_them(
    stream: Any, env: dict[str, str], coloured: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    assert ("\x1b" in terminal.paint("error:", "red", stream)) == coloured


# --- the moving line ---


def test_the_line_moves_and_leaves_what_was_said() -> None:
    stream = Terminal()
    with terminal.Moving(stream, "reading x: 40 %", after=0.0) as line:
        deadline = time.monotonic() + 5
        while "reading" not in stream.getvalue() and time.monotonic() < deadline:
            time.sleep(0.01)
        line.say("a line that stays")
    shown = stream.getvalue()
    assert "[######........] reading x: 40 %" in shown
    assert "\r\x1b[Ka line that stays\n" in shown
    assert shown.endswith(("\n", "\r\x1b[K")), "the line is gone at the end"


@pytest.mark.parametrize("reason", ["pipe", "dumb", "quiet", "short"])
def test_nothing_moves(reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO() if reason == "pipe" else Terminal()
    if reason == "dumb":
        monkeypatch.setenv("TERM", "dumb")
    after = 5.0 if reason == "short" else 0.0
    with terminal.Moving(stream, "reading", after=after, on=reason != "quiet") as line:
        time.sleep(0.05)
        line.say("said")
    assert stream.getvalue() == "said\n"


def test_a_reader_that_goes_disturbs_nobody() -> None:
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as stream, terminal.Moving(stream, "x") as line:
        line.say("one")
        line.say("two")


@pytest.mark.parametrize(("seconds", "words"), [(7.4, "7 s"), (200, "3:20"), (7400, "2:03:20"), (-3, "0 s")])
def test_spans(seconds: float, words: str) -> None:
    assert terminal.span(seconds) == words


# --- where a job is ---


def status(folder: Path, *lines: dict[str, Any]) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "status.json").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


LOOP = {"status": "RUNNING", "message": "Training loop in progress", "epoch": 4, "max_epoch": 29, "eta": "0:02:05.4"}
EVAL = {"status": "RUNNING", "message": "Eval metrics generated.", "kpi": {"val_loss": 0.5, "val_acc": 0.75}, "epoch": 4}
TRAIN = {"status": "RUNNING", "message": "Train metrics generated.", "kpi": {"train_loss": 0.3}, "epoch": 4}
BEGAN = {"status": "STARTED", "message": "Starting Training Loop."}


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([], "train starts"),
        ([BEGAN], "Starting Training Loop."),
        ([BEGAN, EVAL, LOOP, TRAIN], "[##............] epoch 5/30  val_loss 0.5  val_acc 0.75  2:05 left"),
        ([BEGAN, EVAL, LOOP, TRAIN, {"message": "epoch 6/30: 50 %, 9 s left"}], "[###...........] epoch 6/30  val_loss 0.5"),
        ([{"message": "old"}, {"status": "SUCCESS"}, {"status": "RUNNING", "message": "new"}], "new"),
    ],
)
def test_the_line_of_a_job(lines: list[dict[str, Any]], said: str, tmp_path: Path) -> None:
    folder = status(tmp_path / "r", *lines) if lines else tmp_path
    assert follow.line(follow.progress(folder), else_="train starts").startswith(said)


def test_a_half_written_line_is_passed_over(tmp_path: Path) -> None:
    folder = status(tmp_path / "r", EVAL, LOOP)
    with open(folder / "status.json", "a") as file:
        file.write('{"status": "RUN')
    told = follow.progress(folder)
    assert told
    assert told["max_epoch"] == 29


def test_the_time_left_is_as_old_as_its_word(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [10.0]
    monkeypatch.setattr(follow.time, "monotonic", lambda: now[0])
    clock = follow.Clock()
    ages = []
    for second, told in ((0, None), (1, LOOP), (5, {**LOOP, "message": "else"}), (9, {**LOOP, "eta": "0:01:00"})):
        now[0] = 10.0 + second
        ages.append(clock.age(told))
    assert ages == [0.0, 0.0, 4.0, 0.0]


def test_the_time_left_shrinks_and_the_search_is_named() -> None:
    study = {"automl": {"trials": [{}], "budget": {"trials": 8}, "metric": "val_loss", "best": {"value": 0.25}}, "series": None}
    said = follow.line({**LOOP, **EVAL}, study, age=25)
    assert said.endswith("1:40 left  (trial 2 of 8, best val_loss 0.25)")
    rows = [{"state": "COMPLETE", "label": "fold 1", "number": 0}, {"state": "RUNNING", "label": "fold 2", "number": 1}]
    assert follow.line(BEGAN, {"automl": None, "series": {"children": rows}}).startswith("fold 2, 2 of 2")


@pytest.mark.parametrize(("text", "found"), [("0:00:01", 1), ("1 day, 2:03:04.5", 93784.5), (None, None), ("soon", None)])
def test_times(text: str | None, found: float | None) -> None:
    assert follow.seconds(text) == found


# --- a real terminal ---


def on_terminal(words: list[str], cwd: Path, env: dict[str, str], width: int = 80, interrupt: bytes = b"") -> tuple[int, str]:
    """Run `skillbank` on a terminal of that width; after ``interrupt`` was shown, Ctrl-C is typed."""
    pid, master = pty.fork()
    if pid == 0:
        fcntl.ioctl(1, termios.TIOCSWINSZ, struct.pack("HHHH", 24, width, 0, 0))
        os.chdir(cwd)
        os.execve(sys.executable, [sys.executable, "-m", "runner.cli", *words], {**os.environ, **env})
    shown = b""
    while True:
        try:
            chunk = os.read(master, 4096)
        except OSError:
            break
        shown += chunk
        if not chunk:
            break
        if interrupt and interrupt in shown:
            os.write(master, b"\x03")
            interrupt = b""
    os.close(master)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), shown.decode()


def test_ctrl_c_while_following_says_what_goes_on(toy: Any) -> None:
    words = ["run", "tao-train-toy", "train", "--dataset", ".", "--automl", "off", "--set", "train.seconds=1.2"]
    job = toy(*words, "--detach", "--json").data["job_id"]
    code, shown = on_terminal(["wait", job], toy.folder, toy.env, interrupt=b"epoch 1/3")
    assert code == 130
    assert f"{job} goes on in the background" in shown
    assert f"skillbank logs {job}" in shown
    assert f"skillbank cancel {job}" in shown
    code, shown = on_terminal(["logs", job, "-f"], toy.folder, toy.env)
    assert code == 0
    assert "toy training starts" in shown
    assert "epoch 2/3" in shown
    assert toy("status", job, "--json").data["state"] == "COMPLETE", "it did go on"


def test_ctrl_c_during_a_run_ends_it_in_order_and_says_how_to_go_on(toy: Any) -> None:
    words = ["run", "tao-train-toy", "train", "--dataset", ".", "--automl", "off", "--set", "train.seconds=0.8"]
    code, shown = on_terminal(words, toy.folder, toy.env, interrupt=b"epoch 1/3")
    assert code == 130
    assert "stopping: the job is ended in order" in shown
    assert re.search(r"skillbank run tao-train-toy train --resume toy-train-\w+", shown)


def test_quiet_shows_the_result_alone(toy: Any) -> None:
    words = ["run", "tao-train-toy", "train", "--dataset", ".", "--automl", "off", "-q"]
    code, shown = on_terminal(words, toy.folder, toy.env)
    assert code == 0
    assert shown.startswith("job ")
    assert "next:" not in shown
    done = toy(*words[:-1], "-v")
    assert re.search(r"^ +\d+\.\d s  toy training starts$", done.err, re.MULTILINE)


def test_a_run_goes_on_when_nobody_reads_its_lines(toy: Any) -> None:
    command = f"{sys.executable} -m runner.cli run tao-train-toy train --dataset . --automl off 2>&1 | head -1"
    done = subprocess.run(
        ["bash", "-c", command], cwd=toy.folder, env={**os.environ, **toy.env}, capture_output=True, text=True, check=False
    )
    assert done.stdout.count("\n") == 1
    assert done.stderr == ""
    assert [job["state"] for job in toy.jobs()] == ["COMPLETE"]


@pytest.mark.parametrize(
    "words", ["skillbank --help", "skillbank show tao-train-pose-classification train", "pose_classification layout coco"]
)
def test_a_closed_pipe_is_quiet(words: str, tmp_path: Path) -> None:
    program, _, rest = words.partition(" ")
    module = "runner.cli" if program == "skillbank" else "runner.tao_cli"
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", module, *rest.split()]
    done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, text=True, check=False)
    os.close(write)
    assert done.stderr == ""
    assert done.returncode in (0, 141)


def test_jobs_without_parents_show_no_column_for_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "66")
    row = {"id": "pose_classification-train-0123456789ab", "state": "COMPLETE", "submitted_at": "2020-05-06T07:08:09Z"}
    alone = render.jobs([{**row, "study_job": None, "parent_job": None}])
    assert row["id"] in alone
    assert "of" not in alone.splitlines()[0].split()
    assert "of" in render.jobs([{**row, "study_job": None, "parent_job": "p"}]).splitlines()[0].split()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
@pytest.mark.parametrize("words", [("list",), ("list", "--json")])
def test_a_full_disk_behind_the_answer_is_said(words: tuple[str, ...]) -> None:
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-m", "runner.cli", *words]
        ended = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert ended.returncode == 7
    assert ended.stderr == "error: the answer cannot be written: No space left on device\n"
