"""The manifests by which agents' programs find the skills: their formats, and one version in all of them."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
CLAUDE, CLAUDE_LIST = ".claude-plugin/plugin.json", ".claude-plugin/marketplace.json"
CODEX, CODEX_LIST = ".codex-plugin/plugin.json", ".agents/plugins/marketplace.json"
GEMINI = "gemini-extension.json"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def manifest(path):
    return json.loads((ROOT / path).read_text(encoding="utf-8"))


def test_all_have_the_version_of_the_package():
    said = {path: manifest(path)["version"] for path in (CLAUDE, CODEX, GEMINI)}
    said[CLAUDE_LIST] = manifest(CLAUDE_LIST)["metadata"]["version"]
    said |= {f"{CLAUDE_LIST} {one['name']}": one["version"] for one in manifest(CLAUDE_LIST)["plugins"]}
    for skill in sorted(ROOT.glob("skills/*/SKILL.md")):
        said[skill.parent.name] = yaml.safe_load(skill.read_text(encoding="utf-8").split("---\n")[1])["metadata"]["version"]
        said[f"{skill.parent.name} facts"] = yaml.safe_load((skill.parent / "references" / "skill_info.yaml").read_text())[
            "version"
        ]
    assert {where: version for where, version in said.items() if version != PROJECT["version"]} == {}
    assert re.fullmatch(r"\d+\.\d+\.\d+", PROJECT["version"])


def test_all_have_the_name_and_the_description():
    described = [manifest(path) for path in (CLAUDE, CODEX, GEMINI)]
    described += [one for path in (CLAUDE_LIST, CODEX_LIST) for one in manifest(path)["plugins"]]
    assert {one["name"] for one in described} == {PROJECT["name"]}
    assert len({one["description"] for one in described if "description" in one}) == 1


@pytest.mark.parametrize("path", [CLAUDE, CODEX, GEMINI])
def test_the_skills_lie_where_the_program_looks(path):
    """Claude Code and Gemini CLI look into skills/ beside the manifest or its folder; Codex is told."""
    assert manifest(path).get("skills", "./skills/") == "./skills/"
    root = (ROOT / path).parent if path == GEMINI else (ROOT / path).parent.parent
    assert (root / "skills" / "tao-train-pose-classification" / "SKILL.md").is_file()


def test_codex_shows_what_it_asks_for():
    shown = manifest(CODEX)["interface"]
    for field in ("displayName", "shortDescription", "longDescription", "developerName", "category"):
        assert shown[field].strip()
    assert 1 <= len(shown["defaultPrompt"]) <= 3
    assert all(len(prompt) <= 128 for prompt in shown["defaultPrompt"])
    entry = manifest(CODEX_LIST)["plugins"][0]
    assert entry["policy"] == {"installation": "AVAILABLE", "authentication": "ON_INSTALL"}
    assert entry["category"] == shown["category"]


def test_claude_code_finds_the_plugin_at_the_root():
    listed = manifest(CLAUDE_LIST)
    assert listed["owner"]["name"]
    assert [one["source"] for one in listed["plugins"]] == ["./"]
    assert manifest(CLAUDE)["license"] == PROJECT["license"]
