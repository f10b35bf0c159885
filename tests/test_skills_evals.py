"""The evals of the skills: prompts are understood, the plans they call for are made, and SKILL.md's own commands too."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from runner import bank, cli, facts, plan, tao_cli
from runner.jobs import JobStore

ROOT = Path(__file__).resolve().parents[1]
SHIPPED = ("tao-run-automl", "tao-train-pose-classification")
POSE = SHIPPED[1]
FILES = {"data_path": "data.npy", "label_path": "label.pkl"}


def measurement() -> Any:
    """bench/match.py as a module."""
    spec = importlib.util.spec_from_file_location("bench_match", ROOT / "bench" / "match.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


BENCH = measurement()
CASES = BENCH.prompts(SHIPPED)
ANSWERS = list(BENCH.judged(CASES))


# --- matching ---


@pytest.mark.parametrize("answer", [a for a in ANSWERS if a["split"] == "tuned"], ids=lambda a: a["id"])
def test_a_prompt_is_understood(answer: dict[str, Any]) -> None:
    assert answer["found"] == answer["expected"]


@pytest.mark.parametrize(
    ("group", "floor"),
    [("all", 0.95), ("held back", 0.9), ("English", 0.95), ("German", 0.9), ("Spanish", 0.9), ("Chinese", 0.9)],
)
def test_the_figures_hold(group: str, floor: float) -> None:
    figures = BENCH.figures(BENCH.groups(ANSWERS)[group])
    assert {name: figures[name] for name in BENCH.FIGURES if figures[name] < floor} == {}


def test_the_documented_figures_are_the_measured_ones() -> None:
    lines = (ROOT / "docs" / "matching.md").read_text(encoding="utf-8").splitlines()
    shown = {
        cells[1]: cells[2:-1]
        for cells in ([cell.strip() for cell in line.split("|")] for line in lines if line.endswith(" % |"))
    }
    for name, group in BENCH.groups(ANSWERS).items():
        figures = BENCH.figures(group)
        assert shown[name] == [str(figures["prompts"]), *(f"{figures[f]:.1%}".replace("%", " %") for f in BENCH.FIGURES)]


def test_the_words_that_forbid_execution_change_nothing() -> None:
    skills = [BENCH.Heard(one) for one in bank.skills()]
    for case, answer in list(zip(CASES, ANSWERS, strict=True))[::4]:
        found = BENCH.match.match(case["question"], skills)
        assert (found.skill, found.action) == answer["found"][:2], case["question"]


def test_the_figures_count_what_they_say() -> None:
    def answer(found: tuple[Any, ...], expected: tuple[Any, ...]) -> dict[str, Any]:
        return {"found": found, "expected": expected}

    answers = [
        answer(("a", "train", None, "on"), ("a", "train", None, "on")),
        answer(("a", "train", "on", "on"), ("a", "train", "off", "off")),  # wrong policy
        answer(("a", "export", None, None), ("a", "evaluate", None, None)),  # wrong action
        answer((None, None, None, None), ("a", "train", None, "on")),  # missed
        answer(("a", "train", None, None), (None, None, None, None)),  # not refused
        answer((None, None, None, None), (None, None, None, None)),
    ]
    assert BENCH.figures(answers) == {
        "prompts": 6,
        "precision": 0.75,
        "recall": 0.75,
        "action accuracy": 0.5,
        "policy accuracy": pytest.approx(1 / 3, abs=1e-4),
    }


@pytest.mark.parametrize("name", SHIPPED)
def test_there_are_enough_prompts(name: str) -> None:
    cases = json.loads((bank.get(name).dir / "evals" / "evals.json").read_text(encoding="utf-8"))
    mine = [case for case in cases if case["expected_skill"] == name]
    others = [case for case in cases if case["expected_skill"] != name]
    assert min(len(mine), len(others)) >= 20
    assert {case["language"] for case in mine} == {case["language"] for case in others} == {"en", "de", "es", "zh"}
    held_back = [case for case in cases if case["split"] == "held_back"]
    assert 0.3 < len(held_back) / len(cases) < 0.4
    assert all((case["expected_plan"] is None) == (case["expected_skill"] is None) for case in cases)


# --- plans and commands ---


class World(NamedTuple):
    """A data set, a finished training of it, and the folder they lie in."""

    folder: Path
    data: Path
    job: str

    def argv(self, command: str) -> list[str]:
        """The words of a command, with what they stand for."""
        named = {"DIR": str(self.data), "JOB": self.job, "FILE": str(self.data / "bodypose.json")}
        named |= {"FILE.json": named["FILE"], "BEST_SPEC.yaml": str(self.folder / "spec.yaml"), "./gym": named["DIR"]}
        found = []
        for word in shlex.split(command)[1:]:
            key, equals, value = word.rpartition("=")
            path = re.sub(r"^DIR(?=/)", str(self.data), value)
            found.append(f"{key}{equals}{named.get(path, path)}" if equals else named.get(word, word))
        return found


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("world")
    before = Path.cwd()
    os.chdir(folder)
    data = folder / "data"
    assert tao_cli.main(["sample_data", "--out", str(data), "--per-class", "2", "--frames", "12"]) == 0
    made = plan.make(plan.Request(workspace=folder / "workspace", skill=POSE, action="train", dataset=str(data), automl="off"))
    store = JobStore(folder / "workspace")
    record = facts.new_record(made)
    checkpoint = Path(record["results_dir"]) / "model_epoch_000_step_00001.pth"
    with store.open(record):
        store.mark(record["id"], "RUNNING")
        checkpoint.parent.mkdir(parents=True)
        checkpoint.write_bytes(b"weights")
        Path(record["log"]).parent.mkdir(parents=True, exist_ok=True)
        Path(record["log"]).write_text("trained\n")
        saved = {"path": str(checkpoint), "epoch": 0, "step": 1, "val_loss": 1.0, "best": True}
        metrics = {"val_loss": 1.0, "val_acc": 0.5, "best_epoch": 0, "best_step": 1}
        store.close(record["id"], "COMPLETE", metrics=metrics, artifacts={"checkpoint": str(checkpoint)}, checkpoints=[saved])
    sets = {f"{split}_dataset": {k: f"{data}/{split}_{f}" for k, f in FILES.items()} for split in ("train", "val")}
    (folder / "spec.yaml").write_text(json.dumps({"dataset": sets}))
    yield World(folder, data, record["id"])
    os.chdir(before)


def planned(world: World, command: str, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """What the command, be it plan, validate or run, would do."""
    words = [word for word in world.argv(command)[1:] if word not in ("--detach", "--json")]
    code = cli.main(["plan", *words, "--json"])
    answer = json.loads(capsys.readouterr().out)
    assert code == 0, answer["error"]
    return answer["data"]


@pytest.mark.parametrize(
    "case",
    list({(c["expected_plan"], c["expected_route"]): c for c in CASES if c["expected_plan"]}.values()),
    ids=lambda case: case["id"],
)
def test_the_plan_of_a_prompt_can_be_made(world: World, case: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    if case["expected_plan"] == "skillbank status JOB":
        assert cli.main(world.argv(case["expected_plan"])) == 0
        return
    made = planned(world, case["expected_plan"], capsys)
    assert made["route"]["kind"] == case["expected_route"]
    assert made["action"] == (case["expected_action"] or "train")


def quoted(folder: Path) -> list[str]:
    """The commands of a SKILL.md, in fenced blocks and in backticks, as often as they differ."""
    text = (folder / "SKILL.md").read_text(encoding="utf-8")
    blocks = "\n".join(re.findall(r"^```bash\n(.*?)^```", text, re.M | re.S)).replace("\\\n", " ").splitlines()
    prose = re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)
    lines = [line.split(" # ")[0].strip() for line in blocks]
    lines += [span for span in re.findall(r"`([^`\n]+)`", prose) if len(span.split()) > 2]
    lines = [line for line in lines if line.startswith(("skillbank ", "pose_classification ")) and "..." not in line]
    return list(dict.fromkeys(lines))


COMMANDS = [(name, command) for name in SHIPPED for command in quoted(ROOT / "skills" / name)]


def test_the_commands_are_found() -> None:
    assert len(COMMANDS) > 30
    assert {shlex.split(command)[1] for _, command in COMMANDS} >= {"plan", "run", "status", "logs", "wait", "report", "show"}


@pytest.mark.parametrize(("name", "command"), COMMANDS, ids=[command for _, command in COMMANDS])
def test_a_quoted_command_is_planned_or_carried_out(
    world: World, name: str, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = world.argv(command)
    if command.startswith("pose_classification "):
        assert tao_cli.main([str(world.folder / "again") if word == str(world.data) else word for word in words]) == 0
    elif words[0] in ("plan", "validate", "run"):
        assert planned(world, command, capsys)["skill"] == POSE
    elif words[0] == "automl":  # of a search, which here is none: carried out in test_agent.py
        assert cli.build_parser().parse_args(words).what == words[1]
    elif words[0] == "schemas":
        assert cli.main(["schemas", "check"]) == 0
    else:
        assert cli.main(words) == (9 if words[0] == "cancel" else 0)  # the job has ended
