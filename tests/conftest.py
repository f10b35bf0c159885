"""Fixtures of the tests of the whole: the command lines as real processes, a toy skill in a bank of its own."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, settings

# Time is never tested: these machines are noisy. In CI the examples are the same in every run.
settings.register_profile(
    "project", deadline=None, derandomize=bool(os.environ.get("CI")), suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("project")

# Whoever is started in the background of a script ignores Ctrl-C, and so do its children; here some tests press it.
signal.signal(signal.SIGINT, signal.default_int_handler)
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # tests report nothing to anybody, even those that import onnxruntime alone

ROOT = Path(__file__).resolve().parent.parent
TESTS = ROOT / "tests"

PLANTED = "the toy broke"  # the one defect that tests plant; it alone may show a traceback

TOY_SKILL = """---
name: tao-train-toy
description: Train the toy network of the tests.
---
# Toy
"""
TOY_INFO = """
name: tao-train-toy
version: "0.0.1"
network_arch: toy
automl_enabled: true
automl:
  {metric: val_loss, direction: minimize, epochs: train.num_epochs, seed: train.seed,
   final: {action: evaluate, metric: accuracy, direction: maximize}}
config_source: "toynet:ACTIONS"
actions:
  train:
    command: "toy train -e {config_path}"
    mode: config
    config_format: yaml
    entrypoint: "toynet:train"
    control: true
    inputs:
      train.data: {type: file, optional: false}
      train.resume: {type: file, optional: true}
    outputs: {results_dir: {type: folder}}
    upload_excludes: [inputs/]
  evaluate:
    command: "toy evaluate -e {config_path}"
    mode: config
    config_format: yaml
    entrypoint: "toynet:evaluate"
    inputs: {evaluate.checkpoint: {type: file, optional: false, holds: checkpoint}, evaluate.data: {type: file, optional: true}}
    outputs: {results_dir: {type: folder}}
    upload_excludes: []
data_sources:
  train: {train.data: {source: train_datasets, path: data.txt}}
  evaluate: {evaluate.data: {source: train_datasets, path: test.txt, optional: true}}
spec_params:
  train: {encryption_key: key, results_dir: output_dir, train.results_dir: output_dir, train.resume: resume_model}
  evaluate: {results_dir: output_dir, evaluate.results_dir: output_dir, evaluate.checkpoint: parent_model}
spec_shorthand_keys: {num_epochs: train.num_epochs}
series: {train: {folds: train.folds, fold: train.fold, seed: train.seed, share: train.share, metrics: {val_loss: minimize}}}
"""
TOY_MATCH = "{phrases: [train the toy], actions: {train: [train], evaluate: [evaluate]}}"


SHARED = ('scope="module"', 'scope="session"')


@cache
def _shares(path: str) -> bool:
    text = (ROOT / path).read_text(encoding="utf-8")
    return any(word in text for word in SHARED)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """A file whose tests share a fixture runs on one worker, so that what is shared is made once; other tests go anywhere.

    The groups of pytest-xdist itself have no effect with pytest 9.
    """
    from xdist.scheduler import LoadScopeScheduling

    class Files(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            path = nodeid.partition("::")[0]
            return path if _shares(path) else nodeid

    return Files(config, log) if config.getvalue("dist") == "loadgroup" else None


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """One worker more than cores, as some tests wait: for a process to end, for a lock, for a server."""
    return (len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1) + 1


class Done(NamedTuple):
    """A finished command: exit code, what it printed, and the envelope when it printed one."""

    code: int
    out: str
    err: str

    @property
    def envelope(self) -> dict[str, Any]:
        return json.loads(self.out)

    @property
    def data(self) -> dict[str, Any]:
        return self.envelope["data"]


Command = Callable[..., Done]


def call(module: str, words: tuple[Any, ...], cwd: Path, env: dict[str, str]) -> Done:
    done = subprocess.run(
        [sys.executable, "-m", module, *map(str, words)],
        cwd=cwd,
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    said = done.stderr + done.stdout
    assert "Traceback (most recent call last)" not in said or PLANTED in said, said
    return Done(done.returncode, done.stdout, done.stderr)


@pytest.fixture(params=[1, 2, 3])
def count(request: pytest.FixtureRequest) -> Iterator[int]:
    """How many threads torch computes with."""
    from computing import with_threads

    with with_threads(request.param):
        yield request.param


@pytest.fixture
def skillbank(tmp_path: Path) -> Command:
    """`skillbank` in tmp_path, as a process; a traceback anywhere fails the test."""
    return lambda *words, **env: call("runner.cli", words, tmp_path, env)


@pytest.fixture
def pose_classification(tmp_path: Path) -> Command:
    """`pose_classification` in tmp_path, as a process."""
    return lambda *words, **env: call("runner.tao_cli", words, tmp_path, env)


@pytest.fixture(scope="session")
def toy_env(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a bank that holds the toy skill alone, its schemas generated by the command line."""
    bank = tmp_path_factory.mktemp("bank")
    folder = bank / "skills" / "tao-train-toy"
    (folder / "references").mkdir(parents=True)
    (folder / "SKILL.md").write_text(TOY_SKILL)
    (folder / "references" / "skill_info.yaml").write_text(TOY_INFO)
    (folder / "references" / "match.yaml").write_text(TOY_MATCH)
    shutil.copytree(ROOT / "schemas", bank / "schemas")
    env = {"SKILL_BANK": str(bank), "PYTHONPATH": os.pathsep.join([str(ROOT), str(TESTS)])}
    built = call("runner.cli", ("schemas", "build", "tao-train-toy"), bank, env)
    assert built.code == 0, built.err
    return env


class Toy:
    """The toy skill in a workspace."""

    def __init__(self, folder: Path, env: dict[str, str]) -> None:
        self.folder, self.env = folder, env
        (folder / "data.txt").write_text("1 2 3")

    def __call__(self, *words: Any, **env: str) -> Done:
        return call("runner.cli", words, self.folder, {**self.env, **env})

    def run(self, *words: Any, automl: str = "off", **env: str) -> Done:
        """`run` the toy's training with --json."""
        return self("run", "tao-train-toy", "train", "--dataset", self.folder, "--automl", automl, *words, "--json", **env)

    def start(self, *words: Any) -> subprocess.Popen[str]:
        """A `run` in the foreground that the test goes on beside."""
        return subprocess.Popen(
            [sys.executable, "-m", "runner.cli", "run", "tao-train-toy", "train", "--dataset", str(self.folder), "--json"]
            + [str(w) for w in words],
            cwd=self.folder,
            env={**os.environ, **self.env},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def jobs(self) -> list[dict[str, Any]]:
        """The records as they lie on disk."""
        return [json.loads(path.read_text()) for path in sorted((self.folder / "workspace" / "jobs").glob("*.json"))]


@pytest.fixture
def toy(tmp_path: Path, toy_env: dict[str, str]) -> Toy:
    return Toy(tmp_path, toy_env)
