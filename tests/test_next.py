"""`next` in every answer: commands that make sense in that very state, also after a refusal; each is carried out here."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pytest

from runner import cli
from runner.cli.serving import answer

SKILL = "tao-train-toy"
RUN = f"run {SKILL} train --dataset . --automl off --set num_epochs=1"
Envelope = dict[str, Any]


@pytest.fixture
def here(tmp_path: Path, toy_env: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, value in toy_env.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data.txt").write_text("1 2 3")
    return tmp_path


def ask(line: str) -> Envelope:
    return answer(shlex.split(line))


def follow(told: Envelope) -> list[Envelope]:
    """Carry out every command of ``next`` that is no placeholder and starts no waiting; its answers."""
    answers = []
    for line in told["next"]:
        words = shlex.split(line)
        assert words[0] == "skillbank"
        if words[-1] == "--help":
            assert words[1:-1] == [] or words[1] in cli_verbs()
            continue
        cli.build_parser().parse_args(words[1:])
        if "DIR" not in words and "-f" not in words and words[1] != "wait":
            answers.append(answer(words[1:]))
    return answers


def cli_verbs() -> set[str]:
    actions = cli.build_parser()._actions
    return set(next(action.choices for action in actions if isinstance(action.choices, dict)))


def verbs(told: Envelope) -> list[str]:
    return [shlex.split(line)[1] for line in told["next"]]


LOOKING = ["list", f"show {SKILL}", f"show {SKILL} train", "jobs", f"validate {SKILL} train --dataset ."]


@pytest.mark.parametrize("line", LOOKING)
def test_what_comes_next_after_looking_works(here: Path, line: str) -> None:
    told = ask(line)
    assert told["ok"]
    assert told["next"]
    assert all(one["ok"] for one in follow(told))


def test_what_comes_next_after_a_match_is_to_plan_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SKILL_BANK", raising=False)
    told = ask("match train pose classification, no HPO")
    assert told["next"] == ["skillbank plan tao-train-pose-classification train --automl off --dataset DIR"]


def test_from_plan_to_report_by_next_alone(here: Path) -> None:
    told = ask(RUN.replace("run", "plan", 1))
    assert verbs(told) == ["run"]
    told = follow(told)[0]
    assert told["data"]["state"] == "COMPLETE"
    assert verbs(told) == ["run", "report"]
    assert told["next"][0].startswith(f"skillbank run {SKILL} evaluate --dataset {here} --parent {told['data']['job_id']}")
    evaluated, report = follow(told)
    assert evaluated["data"]["state"] == "COMPLETE"
    assert verbs(evaluated) == ["report"]
    assert report["ok"]
    assert told["next"] == ask(f"status {told['data']['job_id']}")["next"]


def test_a_running_job_can_be_looked_at_and_ended(here: Path) -> None:
    told = ask(f"{RUN} --set train.seconds=30 --detach --job-id long")
    assert verbs(told) == ["status", "logs", "wait", "cancel"]
    late = ask("wait long --timeout 0")
    assert late["error"]["exit_code"] == 8
    assert verbs(late) == verbs(told)
    assert ask("jobs")["next"] == ["skillbank status long --workspace workspace"]
    ended = follow(told)[-1]
    assert ended["data"]["state"] == "CANCELED"
    assert ended["next"][0] == (
        f"skillbank run {SKILL} train --dataset . --automl off --set num_epochs=1 --set train.seconds=30"
    ), "there is no checkpoint to go on from, so it is run again"
    assert verbs(ask("cancel long")) == ["status", "report"]


def test_a_canceled_training_is_resumed_and_a_failed_one_explained(here: Path) -> None:
    failed = ask(f"{RUN} --set train.behave=fail --job-id failed")
    assert failed["error"]["exit_code"] == 1
    assert verbs(failed) == ["logs", "run", "report"]
    assert "--resume failed" in failed["next"][1]
    assert [one["command"] for one in follow(failed)] == ["logs", "run", "report"]
    wrong = ask(f"{RUN} --set train.behave=refuse")
    assert wrong["error"]["exit_code"] == 4
    assert verbs(wrong) == ["logs", "show", "report"]


REFUSED = [
    ("rnu", ["skillbank --help"]),
    ("run --frob", ["skillbank run --help"]),
    (f"plan {SKILL} train --automl maybe", ["skillbank plan --help"]),
    ("show tao-train-toi", ["skillbank list"]),
    (f"show {SKILL} trian", [f"skillbank show {SKILL}"]),
    ("match sing a song", ["skillbank list"]),
    (f"plan {SKILL} train", [f"skillbank show {SKILL} train"]),
    (f"plan {SKILL} train --dataset . --set train.lrr=1", [f"skillbank show {SKILL} train"]),
    (f"plan {SKILL} train --dataset nowhere", [f"skillbank show {SKILL} train"]),
    ("status toy-train-0 --workspace 'a b'", ["skillbank jobs --workspace 'a b'"]),
    (f"plan {SKILL} evaluate --parent toy-train-0", ["skillbank jobs --workspace workspace"]),
]


@pytest.mark.parametrize(("line", "following"), REFUSED, ids=[line for line, _ in REFUSED])
def test_what_comes_next_after_a_refusal(here: Path, line: str, following: list[str]) -> None:
    told = ask(line)
    assert not told["ok"]
    assert told["next"] == following
    assert all(one["ok"] for one in follow(told))


def test_a_parent_that_failed_is_to_be_looked_at(here: Path) -> None:
    ask(f"{RUN} --set train.behave=fail --job-id failed")
    told = ask(f"plan {SKILL} evaluate --parent failed")
    assert told["error"]["exit_code"] == 5
    assert verbs(told) == ["status", "jobs"]
    assert all(one["ok"] for one in follow(told))


def test_what_looks_like_a_secret_is_not_repeated(here: Path) -> None:
    told = ask(f"plan {SKILL} train --dataset . --results s3://AKIAIOSFODNN7EXAMPLE/x")
    assert "AKIAIOSFODNN7EXAMPLE" not in " ".join(told["next"])
