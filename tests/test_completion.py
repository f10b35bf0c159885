"""Completion: what could come next, asked as the shells ask, and by a real bash."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from runner import cli
from runner.cli import complete, scripts

SKILL = "tao-train-pose-classification"
TRAIN = f"skillbank run {SKILL} train"


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two jobs, of which the training is the older."""
    jobs = tmp_path / "workspace" / "jobs"
    jobs.mkdir(parents=True)
    for age, name in enumerate(("pose_classification-train-0a", "pose_classification-export-0b")):
        (jobs / f"{name}.json").write_text("{}")
        os.utime(jobs / f"{name}.json", (age, age))
    (jobs / ".pose_classification-train-0a.lock").touch()
    monkeypatch.delenv("SKILLBANK_WORKSPACE", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def asked(line: str, capsys: pytest.CaptureFixture[str], shell: str = "bash") -> list[str]:
    words = [line] if shell == "bash" else complete.split(line)
    assert cli.main(["__complete", shell, *words]) == 0
    return capsys.readouterr().out.splitlines()


JOBS = ["pose_classification-export-0b", "pose_classification-train-0a"]


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("skillbank do", ["doctor"]),
        ("skillbank run tao-train", [SKILL]),
        ("skillbank run --detach tao-train", [SKILL]),
        (f"skillbank run --automl off {SKILL} ev", ["evaluate"]),
        (f"{TRAIN} --au", ["--automl"]),
        (f"{TRAIN} --automl ", ["on", "off"]),
        (f"{TRAIN} --set train.optim.lr_s", ["train.optim.lr_scheduler=", "train.optim.lr_steps="]),
        (f"{TRAIN} --set num_ep", ["num_epochs="]),
        (f"{TRAIN} --set model.graph_layout=nt", ["ntu-rgb+d", "ntu_edge"]),
        (f"{TRAIN} --set dataset.augmentation.enabled=", ["true", "false"]),
        (f"{TRAIN} --recipe ", ["small_data", "none"]),
        (f"{TRAIN} --resume ", JOBS[1:]),
        (f"{TRAIN} --checkpoint e", ["epoch:"]),
        (f"{TRAIN} --budget t", ["trials=", "time="]),
        (f"{TRAIN} --algorithm b", ["bayesian", "bfbo", "bohb"]),
        (f"{TRAIN} --search train.optim.lr_s", ["train.optim.lr_scheduler=", "train.optim.lr_steps="]),
        (f"{TRAIN} --no-search train.optim.nest", ["train.optim.nesterov"]),
        (f"skillbank show {SKILL} train --path model.graph_s", ["model.graph_strategy"]),
        ("skillbank status ", JOBS),
        ("skillbank report pose_classification-train-0a pose_classification-e", JOBS[:1]),
        ("skillbank jobs --state CO", ["COMPLETE"]),
        ("skillbank jobs --workspace nowhere --state R", ["RUNNING"]),
        ("skillbank status --workspace nowhere ", []),
        ("skillbank completion ", ["bash", "zsh", "fish"]),
        ("skillbank nonsense ", []),
        (f"{TRAIN} --dataset ", []),  # the shell's own files
        ("pose_classification ev", ["evaluate"]),
        ("pose_classification train -e x.yaml model.graph_st", ["model.graph_strategy="]),
        ("pose_classification inference --gaps ", ["close", "zero", "hold"]),
        ("pose_classification dataset ", ["inspect"]),
    ],
)
def test_what_comes_next(line: str, found: list[str], workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shown = asked(line, capsys)
    assert shown == found if found else shown == []


def test_verbs_and_flags_are_those_of_the_grammar(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert {"list", "run", "doctor", "report"} <= set(asked("skillbank ", capsys))
    assert {"--set", "--detach", "--json", "--workspace"} <= set(asked(f"{TRAIN} --", capsys))


def test_fish_is_told_the_files_too(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert asked(f"{TRAIN} --dataset ", capsys, "fish") == ["workspace/"]
    assert asked(f"{TRAIN} --dataset workspace/", capsys, "fish") == ["workspace/jobs/"]


@pytest.mark.parametrize("line", ['skillbank match "train a', "skillbank match 'it", "skillbank", ""])
def test_half_a_line_is_no_error(line: str, workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked(line, capsys)


def test_a_broken_bank_is_silent(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("SKILL_BANK", "/nowhere")
    assert asked("skillbank run tao", capsys) == []


def test_asking_loads_nothing_heavy() -> None:
    code = f"import sys; from runner import cli; cli.main(['__complete', 'bash', '{TRAIN} --set mod']); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "model.graph_layout=" in done.stdout
    loaded = set(done.stdout.split())
    assert loaded & {"torch", "numpy", "optuna", "boto3", "matplotlib", "jinja2", "stgcn"} == set()


# --- real shells ---


def in_bash(typed: str, cwd: Path) -> list[str]:
    """What a real bash puts into COMPREPLY for a typed line."""
    script = f"""
source <(skillbank completion bash)
COMP_LINE={typed!r}; COMP_POINT=${{#COMP_LINE}}
compopt() {{ echo "nospace"; }}
_skillbank_complete skillbank
printf '%s\\n' "${{COMPREPLY[@]}}"
complete -p skillbank pose_classification
"""
    env = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "--norc", "-c", script], cwd=cwd, env=env, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stderr == ""
    *replies, first, second = done.stdout.splitlines()
    assert "_skillbank_complete skillbank" in first
    assert "_skillbank_complete pose_classification" in second
    return replies


def test_bash_completes(workspace: Path) -> None:
    assert in_bash("skillbank rep", workspace) == ["report"]
    assert in_bash(f"{TRAIN} --set model.graph_la", workspace) == ["nospace", "model.graph_layout="]
    assert in_bash(f"{TRAIN} --set model.graph_layout=nv", workspace) == ["nvidia"], "bash keeps what is before the ="


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_scripts_are_written_as_their_shell_reads_them(shell: str, tmp_path: Path) -> None:
    program = shutil.which(shell)
    if program is None:
        pytest.skip(f"{shell} is not installed here")
    script = tmp_path / "script"
    script.write_text(scripts.SCRIPTS[shell])
    done = subprocess.run([program, "-n", str(script)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
