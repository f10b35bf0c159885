"""The command line: one envelope, data on stdout and all else on stderr, exit codes, an example for every verb, fast starts."""

from __future__ import annotations

import argparse
import json
import os
import pty
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import Command

from runner import cli, tao_cli
from runner.errors import UsageError

ENVELOPE = ["ok", "schema_version", "command", "data", "warnings", "error", "next"]
SKILL = "tao-train-pose-classification"


def verbs(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    return next(a for a in parser._actions if isinstance(a, argparse._SubParsersAction)).choices


@pytest.mark.parametrize("verb", verbs(cli.build_parser()))
def test_every_verb_has_help_and_an_example_that_parses(verb: str) -> None:
    parser = verbs(cli.build_parser())[verb]
    assert parser.description
    example = str(parser.epilog).removeprefix("Example: ")
    assert example.startswith(f"skillbank {verb}")
    cli.build_parser().parse_args(shlex.split(example)[1:])


@pytest.mark.parametrize("verb", verbs(cli.build_parser()))
def test_the_grammar_of_one_verb_is_its_part_of_the_whole(verb: str) -> None:
    alone = verbs(cli.build_parser(verb))
    assert list(alone) == [verb]
    assert alone[verb].format_help() == verbs(cli.build_parser())[verb].format_help()
    assert list(verbs(cli.build_parser("no-such-verb"))) == list(verbs(cli.build_parser()))


@pytest.mark.parametrize("action", verbs(tao_cli.build_parser()))
def test_every_action_has_an_example_that_parses(action: str) -> None:
    example = str(verbs(tao_cli.build_parser())[action].epilog).removeprefix("Example: ")
    tao_cli.build_parser().parse_args(shlex.split(example)[1:])


REFUSALS: list[tuple[list[str], int, str]] = [
    (["rnu"], 2, "invalid choice"),
    (["run"], 2, "No skill is named"),
    (["run", SKILL], 2, "no action is named"),
    (["run", "tao-train-pose", "train"], 2, "did you mean tao-train-pose-classification"),
    (["show", SKILL, "trian"], 2, "did you mean train"),
    (["show", SKILL, "train", "--path", "train.lr"], 2, "train.optim.lr"),
    (["match", "estimate keypoints from video"], 2, "no skill fits"),
    (["match", "prune the pose classification model"], 2, "its actions: dataset_convert, train"),
    (["run", "--phrase", "train on my keypoints", "--dataset", "."], 2, "not sure enough"),
    (["status", "pose_classification-train-000000000000"], 5, "no job"),
    (["logs", "../../etc/passwd"], 5, "not a job id"),
    (["plan", SKILL, "train"], 3, "dataset.train_dataset.data_path"),
    (["plan", SKILL, "train", "--dataset", "nowhere"], 4, "nowhere"),
    (["plan", SKILL, "train", "--dataset", "."], 4, "train_data.npy"),
    (["plan", SKILL, "evaluate", "--parent", "pose_classification-train-000000000000"], 5, "no job"),
    (["plan", SKILL, "train", "--spec", "none.yaml"], 3, "none.yaml"),
    (["plan", SKILL, "train", "--budget", "trials=0"], 2, "trials=N"),
    (["plan", SKILL, "train", "--set", "num_epochs"], 2, "="),
    (["plan", SKILL, "train", "--automl", "maybe"], 2, "maybe"),
    (["plan", SKILL, "export", "--dataset", "."], 2, "takes no data set"),
    (["validate", SKILL, "train", "--set", "model.dropout=5"], 3, "out of bounds"),
    (["validate", SKILL, "train", "--set", "dataset.label_map.a=0"], 3, "dataset.label_map"),
    (["run", SKILL, "inference", "--set", "inference.checkpoint=http://x/y.pth"], 3, "not supported"),
]


@pytest.mark.parametrize(("words", "code", "says"), REFUSALS, ids=[" ".join(w) for w, _, _ in REFUSALS])
def test_refusals(
    words: list[str], code: int, says: str, capsys: pytest.CaptureFixture[str], tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main([*words, "--json"]) == code
    told = capsys.readouterr()
    envelope = json.loads(told.out)
    assert list(envelope) == ENVELOPE
    assert envelope["ok"] is False
    assert envelope["error"]["exit_code"] == code
    assert says in json.dumps(envelope["error"])
    assert cli.main(words) == code
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.count("error:") == 1
    assert says in told.err
    assert list(tmp_path.iterdir()) == [], "nothing is left behind"


def test_match_answers_what_agents_read(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["match", "train", "pose", "classification,", "turn", "off", "AutoML", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)["data"]
    assert (data["skill"], data["action"], data["automl_policy"]) == (SKILL, "train", "off")
    assert data["candidates"][0]["skill"] == SKILL


def test_validate_says_what_is_still_missing(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["validate", SKILL, "train", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)["data"]
    assert data["valid"] is True
    assert "dataset.val_dataset.label_path" in [problem["path"] for problem in data["missing"]]


def test_a_count_of_classes_alone_gives_them_names(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["validate", SKILL, "train", "--set", "num_classes=3", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)["data"]
    assert data["spec"]["dataset"]["label_map"] == {"class_0": 0, "class_1": 1, "class_2": 2}
    assert cli.main(["validate", SKILL, "train", "--set", "dataset.label_map={up: 0, down: 1}", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)["data"]
    assert data["spec"]["dataset"]["num_classes"] == 2
    assert data["sources"]["dataset.num_classes"] == "inferred:from dataset.label_map"


def test_the_parsers_complaints_are_one_kind_of_error() -> None:
    with pytest.raises(UsageError):
        cli.build_parser().parse_args(["run", "--nonsense"])


def test_schemas_check_names_what_differs(skillbank: Command, toy_env: dict[str, str], tmp_path: Any) -> None:
    import shutil

    bank = tmp_path / "bank"
    shutil.copytree(toy_env["SKILL_BANK"], bank)
    env = {**toy_env, "SKILL_BANK": str(bank)}
    assert skillbank("schemas", "check", **env).code == 0
    template = bank / "skills/tao-train-toy/references/spec_template_train.yaml"
    template.write_text(template.read_text().replace("num_epochs: 3", "num_epochs: 4"))
    done = skillbank("schemas", "check", **env)
    assert done.code == 3
    assert "spec_template_train.yaml" in done.err
    assert skillbank("schemas", "build", **env).code == 0
    assert skillbank("schemas", "check", **env).code == 0


LIGHT = ("torch", "pytorch_lightning", "optuna", "onnx", "boto3", "matplotlib", "numpy")


@pytest.mark.parametrize(
    "words", [["list"], ["match", "train pose classification"], ["validate", SKILL, "train"], ["--help"], ["jobs"]]
)
def test_light_verbs_load_nothing_heavy(words: list[str]) -> None:
    script = (
        "import sys\nfrom runner import cli\n"
        f"try:\n    cli.main({words!r})\nexcept SystemExit:\n    pass\n"
        f"heavy = [m for m in {LIGHT!r} if m in sys.modules]\nsys.exit(','.join(heavy) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_terminal_gets_a_progress_bar_and_a_pipe_plain_lines(toy: Any) -> None:
    words = ["run", "tao-train-toy", "train", "--dataset", str(toy.folder), "--automl", "off", "--set", "train.seconds=0.5"]
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "runner.cli", *words],
        cwd=toy.folder,
        env={**os.environ, **toy.env},
        stdin=slave,
        stdout=subprocess.DEVNULL,
        stderr=slave,
    )
    os.close(slave)
    shown = b""
    while True:
        try:
            chunk = os.read(master, 4096)
        except OSError:  # the other side has closed
            break
        if not chunk:
            break
        shown += chunk
    os.close(master)
    assert process.wait(timeout=30) == 0
    assert b"epoch 2/3" in shown
    assert b"###" in shown
    assert "###" not in toy(*words[:-2]).err


@pytest.mark.parametrize(
    "words",
    [
        ["show", "tao-train-pose-classification", "--json", "train"],
        ["show", "--json", "tao-train-pose-classification", "train"],
    ],
)
def test_options_may_stand_between_the_words(words: list[str]) -> None:
    said = cli.build_parser().parse_args(words)
    assert (said.skill, said.action, said.json) == ("tao-train-pose-classification", "train", True)


@pytest.mark.parametrize(
    "words",
    [
        ["list", "x"],
        ["show", "a", "--json", "b", "c"],
        ["skills", "install", "--dest", ""],
        ["report", "job", "--out", ""],
        ["mcp", "--token-file", ""],
        *(["run", "a", "train", option, ""] for option in ("--phrase", "--dataset", "--spec", "--pretrained", "--results")),
    ],
)
def test_words_too_many_and_empty_ones_are_refused(words: list[str]) -> None:
    with pytest.raises(UsageError, match=r"unrecognized arguments|is empty"):
        cli.build_parser().parse_args(words)


@pytest.mark.parametrize(("words", "code"), [(["report", "--index"], 2), (["report", "x"], 2), (["jobs"], 0)])
def test_a_workspace_that_is_misspelled_is_not_made(
    words: list[str], code: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main([*words, "--workspace", str(tmp_path / "typo")]) == code
    assert f"There is no workspace {tmp_path / 'typo'}" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("words", [["install"], ["new", "tao-train-hand-wash"]])
def test_a_folder_that_cannot_be_is_refused(words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["skills", *words, "--dest", str(tmp_path / ("a" * 300))]) == 2
    assert "cannot be written: File name too long" in capsys.readouterr().err
