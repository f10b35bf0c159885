"""One set of checks: `make check`, CI and the hooks of pre-commit do the same, with the same tools; one version everywhere."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")


def recipe(target: str) -> list[str]:
    """The commands of a target, as a shell in the checkout would be given them."""
    body = re.search(rf"^{target}:.*\n((?:\t.*\n)*)", MAKEFILE, re.MULTILINE)
    assert body
    return [line.strip().replace("$(BIN)", ".venv/bin") for line in body[1].splitlines()]


def needed(target: str) -> list[str]:
    found = re.search(rf"^{target}: (.*)$", MAKEFILE, re.MULTILINE)
    assert found
    return found[1].split()


@pytest.fixture(scope="module")
def hooks() -> list[dict[str, Any]]:
    repos = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"]
    assert [repo["repo"] for repo in repos] == ["local"], "nothing is downloaded"
    return [hook for repo in repos for hook in repo["hooks"]]


def test_the_hooks_of_a_commit_are_the_linters(hooks: list[dict[str, Any]]) -> None:
    assert [hook["entry"] for hook in hooks if "stages" not in hook] == recipe("lint")
    assert all(hook["language"] == "system" and hook["pass_filenames"] is False for hook in hooks)


def test_the_hooks_of_a_push_are_the_rest_of_check(hooks: list[dict[str, Any]]) -> None:
    pushed = [hook["entry"] for hook in hooks if hook.get("stages") == ["pre-push"]]
    assert sorted(pushed) == sorted(f"make {target}" for target in needed("check") if target != "lint")
    assert "lint" in needed("check")


def test_ci_runs_check() -> None:
    lines = [line for line in (ROOT / ".ci" / "run").read_text().splitlines() if line and line[0] != "#"]
    assert lines[2:] == ["make check"]


def test_pre_commit_takes_its_file() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pre_commit", "validate-config", ".pre-commit-config.yaml"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_citation_is_of_this_version() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert (cited["version"], cited["title"], cited["license"]) == (project["version"], project["name"], project["license"])
    assert {"cff-version", "message", "authors", "references"} <= set(cited)
