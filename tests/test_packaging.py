"""What is shipped: wheel and sdist, installed in a clean environment and used from another folder; the lower bounds too."""

from __future__ import annotations

import email
import json
import re
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from clean_env import ROOT, CleanEnv, build, lower_bounds, version
from moto.server import ThreadedMotoServer

pytestmark = pytest.mark.slow

SKILL = "tao-train-pose-classification"
FOLDERS = r"\.venv|\.git|__pycache__|\.\w+_cache|\.hypothesis|workspace|demo|dist|build|wandb|lightning_logs"
JUNK = re.compile(rf"(^|/)({FOLDERS})/|\.(pyc|pth|ckpt|egg-info)$")
# Tests that reach into every package, and take minutes; what they need beside the package itself.
REACHING = ("schema", "crypto", "mcp", "export", "checkpoint", "optimisation", "storage", "storage_faults", "strategies")
REACHING += ("report", "report_views", "spec", "labels", "bodypose", "python", "train", "machines", "engines")
TOOLS = ("pytest", "pytest-xdist", "hypothesis", "moto[server]", "jsonschema", "skills-ref", "kubernetes-validate")
SMALL = ("num_epochs=1", "num_workers=0", "batch_size=6", "model.width=8", "model.graph_layout=nvidia")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return build(tmp_path_factory.mktemp("dist"))


def shipped() -> set[str]:
    """The files of the checkout: tracked, or new and not ignored."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split("\n")
    return {name for name in listed if name and (ROOT / name).exists()}


def test_the_sdist_is_the_checkout_and_nothing_else(built: tuple[Path, Path]) -> None:
    with tarfile.open(built[1]) as archive:
        names = {member.name.partition("/")[2] for member in archive.getmembers() if member.isfile()}
    assert [name for name in names if JUNK.search(name)] == []
    assert names - shipped() == {"PKG-INFO"}
    assert shipped() - names == set()


def test_the_wheel_holds_both_packages_and_the_bank(built: tuple[Path, Path]) -> None:
    names = set(zipfile.ZipFile(built[0]).namelist())
    assert [name for name in names if JUNK.search(name)] == []
    assert {name.split("/")[0].partition("-")[0] for name in names} == {"runner", "stgcn", "tao_skill_bank"}
    for folder, place in (("runner", "runner"), ("stgcn", "stgcn"), ("skills", "runner/_bank/skills")):
        mine = {f"{place}/{name.partition('/')[2]}" for name in shipped() if name.startswith(f"{folder}/")}
        assert mine - names == set(), folder
    assert {"runner/py.typed", "stgcn/py.typed"} <= names, "Typing :: Typed"


def test_the_metadata_are_complete(built: tuple[Path, Path]) -> None:
    archive = zipfile.ZipFile(built[0])
    folder = next(name.partition("/")[0] for name in archive.namelist() if ".dist-info/" in name)
    said = email.message_from_bytes(archive.read(f"{folder}/METADATA"))
    assert said["Name"] == "tao-skill-bank"
    assert said["License-Expression"] == "Apache-2.0"
    assert said["Description-Content-Type"] == "text/markdown"
    assert said.get_payload().startswith("# tao-skill-bank")
    assert said["Requires-Python"] == ">=3.11"
    assert len(said["Summary"]) > 40
    assert len(said.get_all("Classifier")) >= 8
    assert f"{folder}/licenses/LICENSE" in archive.namelist()
    scripts = archive.read(f"{folder}/entry_points.txt").decode()
    assert "skillbank = runner.cli:main" in scripts
    assert "pose_classification = runner.tao_cli:main" in scripts


def use(env: CleanEnv, folder: Path) -> Callable[..., Any]:
    """`skillbank ... --json` of an environment, in a folder; gives the data."""

    def call(*words: object, **more: str) -> Any:
        done = env.run("skillbank", *words, "--json", cwd=folder, **more)
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout)["data"]

    return call


def walk(env: CleanEnv, folder: Path, **more: str) -> None:
    """From list to report, with a search, an export and its use."""
    folder.mkdir()
    skillbank = use(env, folder)
    assert [skill["name"] for skill in skillbank("list")["skills"]] == ["tao-run-automl", SKILL]
    checks = {check["about"]: check for check in skillbank("doctor")["checks"]}
    assert {name: check["says"] for name, check in checks.items() if check["state"] == "fail"} == {}
    done = env.run("pose_classification", "sample_data", "--out", "data", "--per-class", "4", "--frames", "16", cwd=folder)
    assert done.returncode == 0, done.stderr
    data = ("--dataset", folder / "data")
    settings = [word for one in SMALL for word in ("--set", one)]
    train = ("train", *data, "--recipe", "none", *settings)
    assert skillbank("plan", SKILL, *train, "--automl", "off")["route"]["kind"] == "direct"
    search = skillbank("run", SKILL, *train, "--automl", "on", "--budget", "trials=2", **more)
    parent = ("--parent", search["job_id"])
    tested = skillbank("run", SKILL, "evaluate", *data, *parent)
    exported = skillbank("run", SKILL, "export", *parent)
    used = skillbank("run", SKILL, "inference", *data, "--parent", exported["job_id"])
    assert Path(used["artifacts"]["predictions"]).exists()
    report = skillbank("report", *(job["job_id"] for job in (search, tested, exported, used)))["report"]
    assert all(Path(path).stat().st_size for path in report.values())


def test_the_wheel_works_in_a_clean_environment(built: tuple[Path, Path], tmp_path: Path) -> None:
    env = CleanEnv(tmp_path / "env")
    env.pip(built[0])
    env.pip("--dry-run", f"{built[0]}[all]")
    where = env.run("python", "-c", "import runner, stgcn; print(runner.__file__, stgcn.__file__)").stdout.split()
    assert all(Path(path).is_relative_to(tmp_path) for path in where), "the installed one is used, not the checkout"
    assert env.run("python", "-m", "pip", "check").stdout.strip() == "No broken requirements found."
    walk(env, tmp_path / "work")
    assert env.run("skillbank", "--version").stdout == f"skillbank {version()}\n"


def test_the_sdist_gives_the_same_wheel(built: tuple[Path, Path], tmp_path: Path) -> None:
    with tarfile.open(built[1]) as archive:
        archive.extractall(tmp_path, filter="data")
    source = next(path for path in tmp_path.iterdir() if path.is_dir())
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path / "out")]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    again = zipfile.ZipFile(next((tmp_path / "out").glob("*.whl")))
    first = zipfile.ZipFile(built[0])
    assert {i.filename: i.CRC for i in again.infolist()} == {i.filename: i.CRC for i in first.infolist()}


def test_the_lower_bounds_work(built: tuple[Path, Path], tmp_path: Path) -> None:
    """Every package at the lowest version that is allowed, torch apart: its older builds for the CPU are not to be had from
    every index, so it is the one of this environment. Results go to a store, so that boto3 has its part."""
    bounds = {name: version for name, version in lower_bounds().items() if name != "torch"}
    env = CleanEnv(tmp_path / "env")
    env.pip(built[0], *(f"{name}=={version}" for name, version in bounds.items()))
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        keys = {"AWS_ENDPOINT_URL": f"http://{host}:{port}", "AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s"}
        keys["AWS_DEFAULT_REGION"] = "us-east-1"
        made = env.run("python", "-c", "import boto3; boto3.client('s3').create_bucket(Bucket='results')", **keys)
        assert made.returncode == 0, made.stderr
        walk(env, tmp_path / "work")
        data = ("--dataset", tmp_path / "work" / "data", "--recipe", "none", "--automl", "off")
        settings = [word for one in SMALL for word in ("--set", one)]
        words = ("run", SKILL, "train", *data, *settings, "--results", "s3://results/here", "--json")
        done = env.run("skillbank", *words, cwd=tmp_path / "work", **keys)
        assert done.returncode == 0, done.stdout + done.stderr
        assert json.loads(done.stdout)["data"]["uploaded"]["files"] > 3
    finally:
        server.stop()


def test_the_tests_pass_at_the_lower_bounds(built: tuple[Path, Path], tmp_path: Path) -> None:
    """Those of the extras too; torch apart, as above. `make lower-bounds` runs this."""
    bounds = {name: version for name, version in lower_bounds(extras=True).items() if name != "torch"}
    pins = [f"{name}=={version}" for name, version in bounds.items()]
    env = CleanEnv(tmp_path / "env")
    env.pip(f"{built[0]}[all]", *pins)
    assert env.run("python", "-m", "pip", "check").stdout.strip() == "No broken requirements found."
    env.pip(*TOOLS)
    env.pip("--no-deps", *pins)  # what the tools have raised
    tests = [f"tests/test_{name}.py" for name in REACHING]
    quiet = ("-p", "no:cacheprovider", "-o", "filterwarnings=default", "--basetemp", tmp_path / "tests")
    done = env.run("python", "-m", "pytest", *tests, *quiet, cwd=ROOT, timeout=3000)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-3000:]
