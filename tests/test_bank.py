from __future__ import annotations

from pathlib import Path

import jsonschema
import pytest

import runner.bank as bank
from runner.errors import SchemaInvalid, UnknownSkill, UsageError

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def other(tmp_path, monkeypatch):
    """A bank of two small skills, named by the environment."""
    for name, text in (("tao-b", "Second\n  line."), ("tao-a", "First.")):
        (tmp_path / "skills" / name).mkdir(parents=True)
        (tmp_path / "skills" / name / "SKILL.md").write_text(f"---\nname: {name}\ndescription: >\n  {text}\n---\n")
    (tmp_path / "skills" / "no-skill").mkdir()
    monkeypatch.setenv("SKILL_BANK", str(tmp_path))
    return tmp_path


def test_the_checkout_is_a_bank(monkeypatch):
    monkeypatch.delenv("SKILL_BANK", raising=False)
    assert bank.root() == ROOT
    assert {entry.name for entry in bank.skills()} >= {"tao-run-automl", "tao-train-pose-classification"}


def test_a_bank_inside_the_package_comes_before_the_checkout(tmp_path, monkeypatch):
    monkeypatch.delenv("SKILL_BANK", raising=False)
    package = tmp_path / "site" / "runner"
    (package / "_bank" / "skills").mkdir(parents=True)
    monkeypatch.setattr(bank, "__file__", str(package / "bank.py"))
    assert bank.root() == package / "_bank"
    monkeypatch.setattr(bank, "__file__", str(tmp_path / "elsewhere" / "runner" / "bank.py"))
    with pytest.raises(UsageError, match=r"Set \$SKILL_BANK"):
        bank.root()


def test_the_environment_names_another_bank(other):
    assert bank.root() == other
    assert [(e.name, e.description) for e in bank.skills()] == [("tao-a", "First."), ("tao-b", "Second line.")]
    assert bank.skills()[0].info == {}
    assert [s.name for s in bank.load_all()] == ["tao-a", "tao-b"]


def test_the_environment_names_no_bank(tmp_path, monkeypatch):
    monkeypatch.setenv("SKILL_BANK", str(tmp_path / "nowhere"))
    with pytest.raises(UsageError, match="has no folder skills"):
        bank.root()


def test_unknown_skills_are_told_the_nearest(monkeypatch):
    with pytest.raises(
        UnknownSkill, match=r"did you mean tao-train-pose-classification\?\nSkills: tao-run-automl, tao-train"
    ) as e:
        bank.get("tao-train-pose-clasification")
    assert e.value.exit_code == 2
    with pytest.raises(UnknownSkill, match="did you mean tao-run-automl"):
        bank.get("automl")
    with pytest.raises(UnknownSkill, match=r"no skill '\.\./skills'"):
        bank.get("../skills")


def test_by_network():
    assert bank.by_network("pose_classification").name == "tao-train-pose-classification"
    with pytest.raises(UnknownSkill, match=r"Networks: .*pose_classification"):
        bank.by_network("detectnet")


@pytest.mark.parametrize("path", sorted((ROOT / "schemas").glob("*.schema.json")), ids=lambda path: path.name)
def test_contracts_are_json_schemas(path):
    document = bank.contract(path.name.removesuffix(".schema.json"))
    assert document["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    jsonschema.Draft202012Validator.check_schema(document)


def test_contracts_that_are_none(other):
    with pytest.raises(SchemaInvalid, match="no contract 'job'"):
        bank.contract("job")
    (other / "schemas").mkdir()
    (other / "schemas" / "x.schema.json").write_text("{")
    with pytest.raises(SchemaInvalid, match="does not parse"):
        bank.contract("x")


def test_version():
    assert bank.version()[0].isdigit()
