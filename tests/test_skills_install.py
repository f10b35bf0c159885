"""`skillbank skills install`: from the checkout and as a wheel has it, updates, and what must not be lost."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import skills_ref

from runner import bank, install
from runner.errors import Refused, UnknownSkill, UsageError

ROOT = Path(__file__).resolve().parent.parent
AUTOML, POSE = "tao-run-automl", "tao-train-pose-classification"


@pytest.fixture
def own_bank(tmp_path, monkeypatch):
    """A bank of one small skill that a test may change."""
    folder = tmp_path / "bank" / "skills" / "tao-a"
    (folder / "references").mkdir(parents=True)
    (folder / "SKILL.md").write_text("---\nname: tao-a\ndescription: First.\n---\n")
    (folder / "references" / "one.md").write_text("one")
    (folder / "__pycache__").mkdir()
    (folder / "__pycache__" / "x.pyc").write_bytes(b"x")
    (folder / ".hidden").write_text("x")
    monkeypatch.setenv("SKILL_BANK", str(tmp_path / "bank"))
    return folder


def files(folder):
    return {str(path.relative_to(folder)): path.read_text("utf-8") for path in folder.rglob("*") if path.is_file()}


def test_all_skills_are_laid_where_agents_look(skillbank, tmp_path):
    done = skillbank("skills", "install", "--json")
    assert done.code == 0, done.err
    dest = tmp_path / ".agents" / "skills"
    assert done.data["skills"] == [one.name for one in bank.skills()]
    assert len(done.data["written"]) == len(list(dest.rglob("*"))) - sum(p.is_dir() for p in dest.rglob("*")) - 1
    for name in (AUTOML, POSE):
        assert files(dest / name) == {n: t for n, t in files(ROOT / "skills" / name).items() if "__pycache__" not in n}
        assert skills_ref.validate(dest / name) == []
    again = skillbank("skills", "install", "--json")
    assert (again.data["written"], again.data["removed"]) == ([], [])


def test_an_installed_skill_is_complete_as_reading(tmp_path):
    """Every link and path of its own leads somewhere within it, and it says how to get the commands."""
    install.install(tmp_path / "skills")
    for folder in (tmp_path / "skills" / AUTOML, tmp_path / "skills" / POSE):
        for path in folder.rglob("*.md"):
            for link in re.findall(r"\]\(([^)#\s]+)", path.read_text(encoding="utf-8")):
                assert "://" in link or (path.parent / link).resolve().is_relative_to(folder), link
                assert "://" in link or (path.parent / link).exists(), link
        assert "pip install tao-skill-bank" in (folder / "SKILL.md").read_text(encoding="utf-8")
    script = subprocess.run(
        [sys.executable, "-I", "-S", str(tmp_path / "skills" / POSE / "scripts" / "run_action.py"), "train"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert script.returncode == 7
    assert "pip install tao-skill-bank" in script.stderr


def test_one_skill_of_several(tmp_path):
    done = install.install(tmp_path / "skills", [AUTOML, AUTOML])
    assert done["skills"] == [AUTOML]
    assert sorted(p.name for p in (tmp_path / "skills").iterdir()) == [install.LIST, AUTOML]
    done = install.install(tmp_path / "skills")
    assert {name.partition("/")[0] for name in done["written"]} >= {POSE}
    listed = json.loads((tmp_path / "skills" / install.LIST).read_text())["files"]
    assert {name.partition("/")[0] for name in listed} >= {AUTOML, POSE}


def test_an_update_replaces_what_nobody_changed(own_bank, tmp_path):
    dest = tmp_path / "skills"
    assert install.install(dest)["written"] == ["tao-a/references/one.md", "tao-a/SKILL.md"]
    (own_bank / "references" / "one.md").unlink()
    (own_bank / "references" / "two.md").write_text("two")
    (own_bank / "SKILL.md").write_text("---\nname: tao-a\ndescription: Second.\n---\n")
    done = install.install(dest)
    assert done["written"] == ["tao-a/references/two.md", "tao-a/SKILL.md"]
    assert done["removed"] == ["tao-a/references/one.md"]
    assert set(files(dest)) == {"tao-a/SKILL.md", "tao-a/references/two.md", install.LIST}


def test_what_somebody_changed_is_kept(own_bank, tmp_path):
    dest = tmp_path / "skills"
    install.install(dest)
    (dest / "tao-a" / "SKILL.md").write_text("mine")
    (dest / "tao-a" / "references" / "one.md").write_text("mine too")
    before = files(dest)
    (own_bank / "references" / "two.md").write_text("two")
    with pytest.raises(Refused) as caught:
        install.install(dest)
    assert [p.path for p in caught.value.problems] == ["tao-a/SKILL.md", "tao-a/references/one.md"]
    assert caught.value.exit_code == 9
    assert files(dest) == before
    assert len(install.install(dest, overwrite=True)["written"]) == 3
    assert install.install(dest)["written"] == []


def test_files_of_another_skill_of_that_name_are_not_replaced(own_bank, tmp_path):
    (tmp_path / "skills" / "tao-a").mkdir(parents=True)
    (tmp_path / "skills" / "tao-a" / "SKILL.md").write_text("another")
    with pytest.raises(Refused, match="was there before"):
        install.install(tmp_path / "skills")
    (tmp_path / "skills" / install.LIST).write_text('{"files": 3}')  # a broken list knows of nothing
    with pytest.raises(Refused, match="was there before"):
        install.install(tmp_path / "skills")


def test_no_link_is_written_through(own_bank, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "skills").mkdir()
    (tmp_path / "skills" / "tao-a").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(Refused, match="is a link"):
        install.install(tmp_path / "skills", overwrite=True)
    (tmp_path / "skills" / "tao-a").unlink()
    (tmp_path / "skills" / "tao-a").mkdir()
    (tmp_path / "skills" / "tao-a" / "SKILL.md").symlink_to(tmp_path / "elsewhere" / "x")
    with pytest.raises(Refused, match="is a link"):
        install.install(tmp_path / "skills", overwrite=True)
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_a_list_that_points_outside_removes_nothing(own_bank, tmp_path):
    (tmp_path / "precious").write_text("x")
    (tmp_path / "skills").mkdir()
    digest = install._digest(tmp_path / "precious")
    listed = {"tao-a/../../precious": digest, "/etc/hostname": digest}
    (tmp_path / "skills" / install.LIST).write_text(json.dumps({"files": listed}))
    assert install.install(tmp_path / "skills")["removed"] == []
    assert (tmp_path / "precious").exists()


def test_wrong_places_and_names(own_bank, tmp_path):
    with pytest.raises(UsageError, match="the bank's own"):
        install.install(own_bank.parent)
    (tmp_path / "file").write_text("x")
    with pytest.raises(UsageError, match="is not a folder"):
        install.install(tmp_path / "file")
    with pytest.raises(UsageError, match="cannot be written"):
        install.install(tmp_path / "file" / "skills")
    with pytest.raises(UnknownSkill, match="did you mean tao-a"):
        install.install(tmp_path / "skills", ["tao-b"])
    assert not (tmp_path / "skills").exists()


def installed(site: Path, cwd: Path) -> dict:
    """`skills install` by the package that lies in ``site``, from another folder."""
    env = {k: v for k, v in os.environ.items() if k != "SKILL_BANK"} | {"PYTHONPATH": str(site)}
    command = [sys.executable, "-m", "runner.cli", "skills", "install", "--json"]
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["data"]


def test_from_a_package_that_carries_the_bank(tmp_path):
    shutil.copytree(ROOT / "runner", tmp_path / "site" / "runner", ignore=shutil.ignore_patterns("__pycache__"))
    for part in ("skills", "schemas", "references"):
        shutil.copytree(ROOT / part, tmp_path / "site" / "runner" / "_bank" / part)
    carried = tmp_path / "site" / "runner" / "_bank" / "skills" / AUTOML / "SKILL.md"
    carried.write_text(carried.read_text(encoding="utf-8") + "\nOf the wheel.\n", encoding="utf-8")
    (tmp_path / "project").mkdir()
    assert installed(tmp_path / "site", tmp_path / "project")["skills"] == [one.name for one in bank.skills()]
    assert "Of the wheel." in (tmp_path / "project" / ".agents" / "skills" / AUTOML / "SKILL.md").read_text()


@pytest.mark.slow
def test_from_a_real_wheel(tmp_path):
    built = subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--no-deps", "--wheel-dir", str(tmp_path), str(ROOT)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        wheel.extractall(tmp_path / "site")
    (tmp_path / "project").mkdir()
    done = installed(tmp_path / "site", tmp_path / "project")
    assert done["skills"] == [one.name for one in bank.skills()]
    assert (tmp_path / "site" / "runner" / "scaffold" / "templates" / "SKILL.md.txt").is_file()


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("npx") is None, reason="needs Node's npx, which fetches the program skills")
def test_the_skills_program_finds_them():
    done = subprocess.run(["npx", "--yes", "skills", "add", str(ROOT), "--list"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert f"Found {len(bank.skills())} skills" in done.stdout
    assert AUTOML in done.stdout
    assert POSE in done.stdout
