"""A second network goes from list to report on the command line, and the runner does not know the first one's name."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
TOY = "tao-train-toy"


def test_from_list_to_report(toy: Any) -> None:
    assert [skill["name"] for skill in toy("list", "--json").data["skills"]] == [TOY]
    shown = toy("show", TOY, "train", "--json").data
    assert shown["settings"]["train.lr"]["automl_enabled"] is True
    found = toy("match", "train the toy, no HPO", "--json").data
    assert (found["skill"], found["action"], found["automl_policy"]) == (TOY, "train", "off")
    words = (TOY, "train", "--dataset", toy.folder, "--set", "num_epochs=2")
    assert toy("validate", *words, "--json").data["valid"] is True
    refused = toy("validate", TOY, "train", "--set", "train.lr=7", "--json")
    assert (refused.code, refused.envelope["error"]["problems"][0]["path"]) == (3, "train.lr")
    planned = toy("plan", *words, "--automl", "on", "--budget", "trials=2", "--json").data
    assert planned["route"]["kind"] == "automl"
    assert [one["key"] for one in planned["search"]] == ["train.lr"]
    search = toy("run", *words, "--automl", "on", "--budget", "trials=2", "--json").data
    assert [trial["state"] for trial in search["automl"]["trials"]] == ["COMPLETE", "COMPLETE"]
    tested = toy("run", TOY, "evaluate", "--parent", search["job_id"], "--json").data
    assert tested["metrics"]["read"] == "toy 1", "the parent's best checkpoint was read"
    assert toy("status", tested["job_id"], "--json").data["state"] == "COMPLETE"
    assert "toy training starts" in toy("logs", search["automl"]["best"]["job_id"]).out
    assert len(toy("jobs", "--json").data["jobs"]) == 4
    paths = toy("report", search["job_id"], tested["job_id"], "--json").data["report"]
    report = json.loads(Path(paths["json"]).read_text())
    assert tested["job_id"] in json.dumps(report)
    assert "accuracy" in Path(paths["md"]).read_text()
    assert Path(paths["html"]).read_text().lower().startswith("<!doctype html>")
    assert toy("schemas", "check").code == 0


# Of the runner's modules these speak for the first network alone, by design.
ITS_OWN = {"tao_cli", "demo.py"}


def strings(path: Path) -> set[str]:
    """The texts a module works with; what is said in docstrings does nothing."""
    tree = ast.parse(path.read_text())
    docs = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)}
    return {
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs
    }


@pytest.mark.parametrize("folder", ["jobs", "backend", "spec", "schema", "storage", "automl", "doctor", "."])
def test_the_runner_names_no_network(folder: str) -> None:
    """What it knows of one it reads from the skill: no module of the way from a plan to a record names it or its trainer."""
    paths = (ROOT / "runner").glob("*.py") if folder == "." else (ROOT / "runner" / folder).rglob("*.py")
    named = {
        f"{path.name}: {text!r}"
        for path in paths
        if path.name not in ITS_OWN
        for text in strings(path)
        if re.search(r"stgcn[.:/]|tao-train-pose|ST-GCN|pose_classification-", text)
    }
    assert named == set()
