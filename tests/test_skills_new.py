"""`skillbank skills new`: the skill it begins passes every check and runs, without an edit of runner."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
import skills_ref

from runner import bank, scaffold
from runner.errors import Refused, UsageError

NAME, PACKAGE = "tao-train-ball-throw", "ball_throw"


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A folder with a new skill in it."""
    root = tmp_path_factory.mktemp("new") / "bank"
    scaffold.new(NAME, root)
    return root


@pytest.fixture
def env(root):
    return {"SKILL_BANK": str(root), "PYTHONPATH": str(root)}


def test_what_is_written(root):
    assert sorted(path.name for path in root.iterdir()) == [PACKAGE, "skills"]
    assert sorted(path.name for path in (root / "skills").iterdir()) == [NAME]
    written = {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}
    folder = f"skills/{NAME}"
    assert written == {
        *(f"{PACKAGE}/{name}.py" for name in ("__init__", "config", "train", "evaluate")),
        *(
            f"{folder}/{name}"
            for name in ("SKILL.md", "evals/evals.json", "references/parsed.json", "references/parsed_specs.json")
        ),
        *(
            f"{folder}/references/{name}.yaml"
            for name in ("skill_info", "match", "spec_template_train", "spec_template_evaluate")
        ),
        *(f"{folder}/schemas/{name}.json" for name in ("train.schema", "evaluate.schema", "manifest")),
    }
    assert not any("$" in (root / path).read_text() for path in written if "schemas/" not in path)
    assert PACKAGE not in sys.modules


def test_it_keeps_the_specification_and_the_contracts(root, env, skillbank):
    assert skills_ref.validate(root / "skills" / NAME) == []
    cases = json.loads((root / "skills" / NAME / "evals" / "evals.json").read_text())
    jsonschema.validate(cases, bank.contract("evals"))
    done = skillbank("schemas", "check", NAME, **env)
    assert (done.code, done.out) == (0, f"Up to date: {NAME}\n")


def test_its_code_is_in_the_style_of_the_house(root):
    settings = Path(__file__).parent.parent / "pyproject.toml"
    for words in (["check"], ["format", "--check"]):
        command = [sys.executable, "-m", "ruff", *words, "--config", str(settings), "--no-cache", str(root)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout


def test_it_is_found_trained_and_evaluated(env, skillbank, tmp_path):
    (tmp_path / "data.txt").write_text("1 2 3\n")
    found = skillbank("match", "train ball throw on my numbers, no HPO", "--json", **env).data
    assert (found["skill"], found["action"], found["automl_policy"]) == (NAME, "train", "off")
    plain = skillbank("run", NAME, "train", "--dataset", ".", "--automl", "off", "--json", **env)
    assert plain.code == 0, plain.out
    assert plain.data["job_id"].startswith("ball_throw-train-")
    assert plain.data["metrics"]["val_loss"] < 1
    job = plain.data["job_id"]
    judged = skillbank("run", NAME, "evaluate", "--parent", job, "--dataset", ".", "--json", **env)
    assert judged.code == 0, judged.out
    assert judged.data["metrics"]["loss"] == pytest.approx(plain.data["metrics"]["val_loss"])


@pytest.mark.slow
def test_it_is_searched(env, skillbank, tmp_path):
    (tmp_path / "data.txt").write_text("1 2 3\n")
    search = skillbank("run", NAME, "train", "--dataset", ".", "--automl", "on", "--budget", "trials=2", "--json", **env)
    assert search.code == 0, search.out
    assert [trial["state"] for trial in search.data["automl"]["trials"]] == ["COMPLETE", "COMPLETE"]


def test_its_trainings_are_stopped_and_continued(env, skillbank, tmp_path):
    """As its control and its setting to resume promise; afterwards the best trial's checkpoints are there alone."""
    (tmp_path / "data.txt").write_text("1 2 3\n")
    words = ("--algorithm", "asha", "--budget", "trials=6", "--workers", "1", "--set", "train.num_epochs=9")
    search = skillbank("run", NAME, "train", "--dataset", ".", *words, "--json", **env)
    assert search.code == 0, search.out
    records = [json.loads(path.read_text()) for path in (tmp_path / "workspace" / "jobs").glob("*.json")]
    legs = {record["id"]: record for record in records if record["study_job"]}
    assert any("stopped_epoch" in leg["metrics"] for leg in legs.values())
    continued = [leg for leg in legs.values() if leg["retry_of"]]
    for leg in continued:  # from its checkpoint, and not from the beginning
        before = legs[leg["retry_of"]]["metrics"]["stopped_epoch"]
        assert min(one["epoch"] for one in leg["checkpoints"]) == before
    assert continued
    best = [Path(search.data["artifacts"]["checkpoint"]).parent.parent.name]
    while before := legs[best[-1]]["retry_of"]:
        best.append(before)
    assert {path.parent.parent.name for path in tmp_path.rglob("model_epoch_*.json")} == set(best)


def test_wrong_data_are_a_message(env, skillbank, tmp_path):
    (tmp_path / "data.txt").write_text("1 two 3 four\n")
    done = skillbank("run", NAME, "train", "--dataset", ".", "--automl", "off", **env)
    assert done.code == 4
    assert "'two' is not a number" in done.err + done.out
    assert "'four' is not a number" in done.err + done.out


@pytest.mark.parametrize("name", ["Hand", "hand wash", "-a", "a--b", "", "x" * 65, "../x"])
def test_names_that_are_none(name, tmp_path):
    with pytest.raises(UsageError, match="is no name for a skill"):
        scaffold.new(name, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "package"),
    [
        ("tao-train-x", "x"),
        ("tao-x-y", "x_y"),
        ("hand-wash", "hand_wash"),
        ("tao-train-3d", "net_3d"),
        ("tao-class", "net_class"),
    ],
)
def test_the_package_is_named_after_the_skill(name, package):
    assert scaffold.package_name(name) == package


def test_what_is_there_is_kept(root, tmp_path):
    with pytest.raises(Refused, match="exists; nothing was written") as caught:
        scaffold.new(NAME, root)
    assert caught.value.exit_code == 9
    for taken in ("tao-train-json", "tao-train-stgcn"):
        with pytest.raises(Refused, match="knows a package"):
            scaffold.new(taken, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_where_it_cannot_be_written(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("x")
    with pytest.raises(UsageError, match="is not a folder"):
        scaffold.new(NAME, tmp_path / "file")
    with pytest.raises(UsageError, match="cannot be written"):
        scaffold.new(NAME, tmp_path / "file" / "bank")
    (tmp_path / "_bank" / "skills").mkdir(parents=True)
    monkeypatch.setenv("SKILL_BANK", str(tmp_path / "_bank"))
    with pytest.raises(UsageError, match="--dest DIR"):
        scaffold.new(NAME)


@pytest.mark.parametrize(("dest", "named"), [("skills", ""), ("bank/skills", "bank"), ("bank/skills/tao-one", "bank")])
def test_the_folder_of_skills_is_not_where_it_goes(tmp_path, dest, named):
    one = tmp_path / "bank" / "skills" / "tao-one"
    one.mkdir(parents=True)
    (one / "SKILL.md").touch()
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(UsageError, match="wanted is the folder that holds skills/") as caught:
        scaffold.new(NAME, tmp_path / dest)
    assert caught.value.hint == f"Name that folder: --dest {tmp_path / named}"
    assert sorted(tmp_path.rglob("*")) == before


def test_a_template_that_breaks_leaves_nothing(tmp_path, monkeypatch):
    shutil.copytree(scaffold._TEMPLATES, tmp_path / "templates")
    broken = tmp_path / "templates" / "skill_info.yaml.txt"
    broken.write_text(broken.read_text().replace("evaluate.checkpoint: parent_model", "evaluate.checkpoint: no_such"))
    monkeypatch.setattr(scaffold, "_TEMPLATES", tmp_path / "templates")
    with pytest.raises(Exception, match="no inference 'no_such'"):
        scaffold.new(NAME, tmp_path / "bank")
    assert list((tmp_path / "bank").iterdir()) == []


def test_the_command_says_what_to_do_next(skillbank, tmp_path):
    done = skillbank("skills", "new", "tao-train-other", "--dest", "there", "--json")
    assert done.code == 0, done.err
    root = tmp_path / "there"
    assert done.envelope["next"][0] == f"SKILL_BANK={root} PYTHONPATH={root} skillbank schemas check tao-train-other"
    for words in (["skills", "new"], ["skills", "new", "a", "b"], ["skills", "new", "a", "--overwrite"]):
        assert skillbank(*words).code == 2
