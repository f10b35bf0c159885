"""The tutorial, command by command: the cheap half always, all of it up to the stream's last decision among the slow tests."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
COMMANDS = [line for block in re.findall(r"^```bash\n(.*?)^```", PAGE, re.M | re.S) for line in block.splitlines()]
FIRST_RUN = next(i for i, command in enumerate(COMMANDS) if command.startswith("skillbank run"))


def shell(command: str, folder: Path) -> str:
    """Run a line as a reader would, and return its standard output."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    kept = {key: value for key, value in os.environ.items() if key not in ("SKILLBANK_WORKSPACE", "COLUMNS")}
    environment = kept | {"PATH": path}
    done = subprocess.run(["bash", "-c", command], cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
    return done.stdout


def check_what_is_said_before_the_training(folder: Path, inspected: str, planned: str) -> None:
    tables = sorted((folder / "clips").glob("*/*.csv"))
    assert len({table.parent.name for table in tables}) == 6
    assert len(tables) == 144
    assert (folder / "clips" / "walking" / "walking_000.csv").is_file()
    card = json.loads((folder / "imported" / "dataset_convert" / "data_card.json").read_text(encoding="utf-8"))
    assert [card["sets"][name]["sequences"] for name in ("train", "val", "test")] == [108, 18, 18]
    subjects = [set(card["sets"][name]["subjects"]) for name in ("train", "val", "test")]
    assert sum(map(len, subjects)) == len(set().union(*subjects))
    assert "144 sequences, 6 classes" in inspected
    assert not re.search(r"\b(error|warning)\b", inspected)
    assert (folder / "data.html").is_file()
    sources = dict(re.findall(r"^(\S+) +(dataset|recipe:small_data|user) ", planned, re.M))
    assert sources["model.graph_layout"] == sources["dataset.preparation.confidence_channel"] == "dataset"
    assert sources["model.model_type"] == "recipe:small_data"
    assert sources["train.num_epochs"] == "user"


def test_the_tutorial_up_to_the_training(tmp_path: Path) -> None:
    said = {command.split()[1]: shell(command, tmp_path) for command in COMMANDS[:FIRST_RUN]}
    assert list(said) == ["sample_data", "dataset_convert", "dataset", "plan"]
    check_what_is_said_before_the_training(tmp_path, said["dataset"], said["plan"])


def documented_artifacts() -> set[str]:
    rows = re.findall(r"^\|[^|]*\| (`[^|]+) \|", (ROOT / "docs" / "artifacts.md").read_text(encoding="utf-8"), re.M)
    return {name for row in rows for name in re.findall(r"`(\w+)`", row)}


@pytest.mark.slow
def test_the_whole_tutorial(tmp_path: Path) -> None:
    answers = {command: shell(command, tmp_path) for command in COMMANDS}
    records = [json.loads(path.read_text("utf-8")) for path in (tmp_path / "workspace" / "jobs").glob("*.json")]
    by_action = {record["action"]: record for record in records}
    assert set(by_action) == {"train", "evaluate", "export", "inference"}
    assert {name for record in records for name in record["artifacts"]} <= documented_artifacts()
    assert by_action["evaluate"]["metrics"]["accuracy"] > 80
    assert (tmp_path / "labels.txt").read_text("utf-8").split() == sorted(
        p.parent.name for p in tmp_path.glob("clips/*/*_000.csv")
    )
    assert list(tmp_path.glob("workspace/reports/*/report.html"))
    decisions = [json.loads(line) for line in answers[COMMANDS[-1]].splitlines()]
    truth = [line.split(",") for line in (tmp_path / "clips" / "stream_truth.csv").read_text("utf-8").split()[1:]]
    starts = [int(first) for first, _ in truth] + [10**6]
    clear = [
        (decision["label"], truth[i][1])
        for i in range(len(truth))
        for decision in decisions
        if starts[i] <= decision["first"] and decision["last"] < starts[i] + 40  # within an action, and not at rest after it
    ]
    assert len({expected for _, expected in clear}) == 3
    assert sum(named == expected for named, expected in clear) >= len(clear) - 1
