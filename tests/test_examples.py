"""The example in the help of every verb and action: each is run, or planned where a run would take long."""

from __future__ import annotations

import argparse
import io
import json
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from runner import backend, bank, cli, demo, tao_cli
from runner.jobs import JobStore

SKILL = "tao-train-pose-classification"


def examples(parser: argparse.ArgumentParser, front: tuple[str, ...] = ()) -> Iterator[tuple[str, str]]:
    """(verb, its example) of every verb, those below another one too."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, sub in action.choices.items():
                below = list(examples(sub, (*front, name)))
                yield from below or [(" ".join((*front, name)), str(sub.epilog or "").removeprefix("Example: "))]


VERBS = list(examples(cli.build_parser()))
ACTIONS = list(examples(tao_cli.build_parser()))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    assert tao_cli.main(["sample_data", "--out", str(folder), "--per-class", "2", "--frames", "8", "-q"]) == 0
    return folder


@pytest.fixture
def place(tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a reader of the help may be: a data set under both names, a spec, a workspace with a finished job."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SKILLBANK_WORKSPACE", raising=False)
    for name in ("data", "DATA"):
        (tmp_path / name).symlink_to(data)
    checkpoint = tmp_path / "model.pth"
    checkpoint.write_bytes(b"weights")
    store = JobStore(tmp_path / "workspace")
    names = {"id": "JOB", "skill": SKILL, "action": "train", "network_arch": "pose_classification"}
    places = {"results_dir": str(tmp_path / "results"), "log": str(tmp_path / "job.log")}
    (tmp_path / "job.log").write_text("epoch 1/1\n")
    with store.open({**names, **places, "spec": {}, "route": {"kind": "direct", "policy": "off", "reason": "asked for"}}):
        store.mark("JOB", "RUNNING", "started")
        store.close("JOB", "COMPLETE", "finished", metrics={"val_loss": 0.5}, artifacts={"checkpoint": str(checkpoint)})
    return tmp_path


@pytest.mark.parametrize(("verb", "example"), VERBS, ids=[verb for verb, _ in VERBS])
def test_the_example_of_a_verb_runs(
    verb: str, example: str, place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = shlex.split(example)
    assert words[:2] == ["skillbank", verb]
    expected = {"cancel": 9, "automl": 2}.get(verb, 0)  # the job of the example has ended, and it is no search
    if verb == "run":
        words[1] = "plan"
    elif verb == "demo":  # run by `make demo`
        monkeypatch.setattr(demo, "run", lambda out, stream: {"exit_code": 0, "failed": None, "results": {"at": str(out)}})
    elif verb == "mcp":  # its client hangs up at once
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b""), encoding="utf-8"))
        monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding="utf-8"))
    assert cli.main(words[1:]) == expected, capsys.readouterr().err


SPECS = {
    "train": {"dataset": {f"{s}_dataset": {"data_path": f"data/{s}_data.npy", "label_path": f"data/{s}_label.pkl"}
              for s in ("train", "val")}},
    "evaluate": {"evaluate": {"checkpoint": "model.pth",
                              "test_dataset": {"data_path": "data/test_data.npy", "label_path": "data/test_label.pkl"}}},
    "inference": {"inference": {"checkpoint": "model.pth", "test_dataset": {"data_path": "data/test_data.npy"}}},
    "export": {"export": {"checkpoint": "model.pth"}},
    "dataset_convert": {"dataset_convert": {"data": "data/bodypose.json"}},
}  # fmt: skip


@pytest.mark.parametrize(("action", "example"), ACTIONS, ids=[action for action, _ in ACTIONS])
def test_the_example_of_an_action_runs(
    action: str, example: str, place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = shlex.split(example)
    assert words[: 1 + len(action.split())] == ["pose_classification", *action.split()]
    (place / "spec.yaml").write_text(yaml.safe_dump(SPECS.get(action, {})))
    ran: list[dict[str, Any]] = []
    if action in SPECS:  # the whole way but for the trainer itself

        def planned(entrypoint: str, spec: dict[str, Any]) -> backend.Outcome:
            assert entrypoint == bank.by_network("pose_classification").action(action).entrypoint
            ran.append(spec)
            return backend.Outcome({}, {}, [])

        monkeypatch.setattr(backend, "run_here", planned)
    # Exit code 4 of `dataset inspect`: it says what is wrong with so small a set.
    assert tao_cli.main(words[1:]) in ((0, 4) if action == "dataset inspect" else (0,)), capsys.readouterr().err
    assert bool(ran) == (action in SPECS)
    if ran:
        assert json.loads(json.dumps(ran[0]))["results_dir"] == "results"


def test_there_is_an_example_for_each() -> None:
    assert len(VERBS) >= 18
    assert len(ACTIONS) == 8
    assert [name for name, example in [*VERBS, *ACTIONS] if not example] == []
