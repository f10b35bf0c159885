"""`skillbank doctor`: what it looks at, what it says is wrong, and that it changes nothing."""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from moto.server import ThreadedMotoServer

from runner import cli, doctor
from runner.doctor import Check, imports, machine, packages, workspace


def by_name(checks: Any) -> dict[str, Check]:
    return {check.about: check for check in checks}


def test_this_machine_is_well(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["doctor", "--quick", "--workspace", str(tmp_path / "w"), "--json"]) == 0
    data = json.loads(capsys.readouterr().out)["data"]
    found = {check["about"]: check for check in data["checks"]}
    for about in (
        "Python",
        "torch",
        "numpy",
        "extra mcp",
        "processor",
        "threads",
        "GPU",
        "memory",
        "disk",
        "workspace",
        "storage",
    ):
        assert about in found
    assert {check["state"] for check in data["checks"]} <= {"ok", "warn"}
    assert data["failed"] == 0
    assert list(tmp_path.iterdir()) == [], "nothing is made"


def test_it_is_quick_as_it_loads_nothing_heavy(tmp_path: Path) -> None:
    import subprocess

    code = "import sys; from runner import cli; cli.main(['doctor', '-q', '--quick']); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    heavy = {"torch", "numpy", "boto3", "optuna", "onnx", "matplotlib", "pytorch_lightning", "stgcn"}
    assert set(done.stdout.split()) & heavy == set()


def test_only_a_failure_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    assert cli.main(["doctor", "--quick", "--workspace", str(tmp_path / "file")]) == 7
    told = capsys.readouterr()
    assert "fail  workspace" in told.out
    assert "-> --workspace DIR" in told.out
    assert "1 to mend" in told.out
    assert cli.main(["doctor", "--quick", "--workspace", str(tmp_path / "file"), "--json"]) == 7
    envelope = json.loads(capsys.readouterr().out)
    assert envelope["error"]["problems"][0]["path"] == "workspace"
    monkeypatch.setenv("OMP_NUM_THREADS", "999")
    assert cli.main(["doctor", "--quick", "--workspace", str(tmp_path / "w"), "--quiet"]) == 0
    told = capsys.readouterr()
    assert "-> export OMP_NUM_THREADS=" in told.out
    assert "ok  " not in told.out


@pytest.mark.parametrize(
    ("version", "state", "says"),
    [("2.1.0", "ok", "2.1.0"), ("1.26.4", "fail", "1.26.4; wanted: >=2"), (None, "fail", "is not installed; wanted: >=2")],
)
def test_packages_out_of_range(version: str | None, state: str, says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    real = packages.metadata.version

    def found(name: str) -> str:
        if name == "numpy":
            if version is None:
                raise packages.metadata.PackageNotFoundError(name)
            return version
        return real(name)

    monkeypatch.setattr(packages.metadata, "version", found)
    check = by_name(packages.packages())["numpy"]
    assert (check.state, check.says) == (state, says)
    assert (check.fix == "") == (state == "ok")


def test_packages_that_do_not_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are there, in a version that fits; one raises, one ends the interpreter, and those after them are tried too."""
    for name, code in (
        ("jinja2", "raise ImportError('libfoo.so.1: cannot open  shared object file')"),
        ("onnx", "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)"),
        ("yaml", "print('hello'); raise SystemExit"),
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(code)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    found = imports.broken(["onnx", "jinja2", "packaging", "pyyaml"])
    assert found == {
        "jinja2": "ImportError: libfoo.so.1: cannot open shared object file",
        "onnx": "it ends the interpreter (SIGSEGV)",
        "pyyaml": "SystemExit",
    }


@pytest.mark.parametrize(("name", "about", "state"), [("jinja2", "jinja2", "fail"), ("cryptography", "extra crypto", "warn")])
def test_a_package_that_does_not_start_is_named(name: str, about: str, state: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def broken(names: Any) -> dict[str, str]:
        asked.extend(names)
        return {name: "ImportError: no such library"}

    monkeypatch.setattr(imports, "broken", broken)
    check = by_name(packages.packages(start=True))[about]
    assert check.state == state
    assert "cannot be imported: ImportError: no such library" in check.says
    assert check.fix.startswith(f"pip install --force-reinstall --no-deps '{name}==")
    assert {"torch", "numpy", "mcp"} <= set(asked)
    assert len(asked) == len(set(asked))


@pytest.mark.parametrize("said", ["abc", "0", "-1", "1.5", "2;3"])
def test_a_number_of_threads_that_is_none(said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", said)
    check = machine.threads()
    assert (check.state, said in check.says) == ("warn", True)
    assert check.fix.startswith("export OMP_NUM_THREADS=")


@pytest.mark.parametrize(
    ("modes", "says", "fix"),
    [
        ({"jobs": 0o777}, "may change or remove what lies in {0}/jobs", "chmod o-rwx {0}/jobs"),
        ({"jobs": 0o755, "plans": 0o705}, "may look into {0}/jobs, {0}/plans", "chmod o-rwx {0}/jobs {0}/plans"),
        ({".": 0o777}, "may change or remove what lies in {0}", "chmod o-w {0}"),
        ({"jobs": 0o770, ".": 0o755}, "", ""),
    ],
)
def test_a_workspace_open_to_everybody(tmp_path: Path, modes: dict[str, int], says: str, fix: str) -> None:
    place = tmp_path / "w"
    for folder in (place, place / "jobs", place / "plans"):
        folder.mkdir(mode=0o700)
    for name, mode in modes.items():
        (place / name).chmod(mode)
    check = by_name(workspace.workspace(place)).get("permissions")
    assert (check is None) == (not says)
    if check:
        assert check.state == "warn"
        assert check.says.endswith(says.format(place))
        assert check.fix == fix.format(place)


def test_an_extra_that_is_missing_is_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    real = packages.metadata.version

    def found(name: str) -> str:
        if name == "wandb":
            raise packages.metadata.PackageNotFoundError(name)
        return real(name)

    monkeypatch.setattr(packages.metadata, "version", found)
    check = by_name(packages.packages())["extra wandb"]
    assert (check.state, check.fix) == ("ok", "pip install 'tao-skill-bank[wandb]'")


def test_the_extras_are_those_of_the_package() -> None:
    import tomllib

    root = Path(__file__).resolve().parents[1]
    declared = tomllib.loads((root / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert set(packages.EXTRAS) == set(declared) - {"all", "bench", "dev", "docs", "test"}


@pytest.mark.parametrize(
    ("text", "built"),
    [
        ("cuda: Optional[str] = '12.6'\n", "cuda 12.6"),
        ("cuda: Optional[str] = None\nhip: Optional[str] = '6.3'\n", "hip 6.3"),
        ("cuda: Optional[str] = None\n", "cpu"),
    ],
)
def test_the_build_of_torch_is_read_not_run(text: str, built: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch" / "__init__.py").write_text("raise RuntimeError('imported')")
    (tmp_path / "torch" / "version.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    assert packages.torch_build() == built


@pytest.mark.parametrize(
    ("built", "driver", "state", "says"),
    [
        ("cpu", ([], ""), "ok", "none"),
        ("cpu", (["NVIDIA L4, 23034 MiB, 570.1"], ""), "warn", "does not use it"),
        ("cuda 12.6", (["NVIDIA L4, 23034 MiB, 570.1"], ""), "warn", "sees none"),
        (None, (["NVIDIA L4, 23034 MiB, 570.1"], ""), "warn", "not installed"),
        ("cuda 12.6", ([], "nvidia-smi: Driver/library version mismatch"), "warn", "mismatch"),
    ],
)
def test_gpus(built: str | None, driver: Any, state: str, says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "torch_build", lambda: built)
    monkeypatch.setattr(machine, "_driver", lambda: driver)
    monkeypatch.setattr(machine, "ASK_TORCH", "print('[]')")
    (check,) = machine.gpus()
    assert check.state == state
    assert says in check.says
    assert bool(check.fix) == (state != "ok")


def test_little_memory_a_quota_and_an_old_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    said = {
        "/proc/meminfo": "MemTotal:  8000000 kB\nMemAvailable:  7000000 kB\n",
        "/sys/fs/cgroup/memory.max": str(3 << 30),
        "/sys/fs/cgroup/memory.current": str(2 << 30),
        "/sys/fs/cgroup/cpu.max": "150000 100000",
        "/proc/cpuinfo": "model name : Old\nflags : sse2\n",
    }
    monkeypatch.setattr(machine, "_read", lambda path: said.get(path, ""))
    monkeypatch.setattr(machine.platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert machine.memory().says.startswith("1.0 GiB free of 3.0 GiB")
    assert machine.memory().state == "warn"
    assert machine.threads().fix == "export OMP_NUM_THREADS=2"
    assert machine.processor().state == "warn"


def test_a_full_disk_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import shutil

    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))
    check = machine.disk(tmp_path / "not" / "there")
    assert check.state == "fail"
    assert str(tmp_path) in check.fix


def test_what_a_workspace_is_left_with(toy: Any) -> None:
    job = toy.run().data["job_id"]
    place = toy.folder / "workspace"
    record = json.loads((place / "jobs" / f"{job}.json").read_text())
    dead = {**record, "id": "toy-train-dead", "state": "RUNNING"}
    (place / "jobs" / "toy-train-dead.json").write_text(json.dumps(dead))
    (place / "jobs" / "toy-train-torn.json").write_text("{")
    (place / "jobs" / ".toy-train-gone.lease").touch()
    (place / "jobs" / ".toy-train-dead.json.999999999.tmp").touch()
    (place / "results" / "toy-train-gone").mkdir()
    before = {path: path.stat().st_mtime_ns for path in place.rglob("*") if path.suffix == ".json"}
    found = by_name(workspace.workspace(place))
    assert "1 died without a word: toy-train-dead" in found["dead jobs"].says
    assert found["dead jobs"].fix.startswith(f"skillbank jobs --workspace {place}")
    assert "toy-train-torn" in found["records"].says
    assert ".toy-train-dead.json.999999999.tmp, .toy-train-gone.lease" in found["stale locks"].says
    assert found["results"].fix.endswith(f"rm -r {place}/results/toy-train-gone")
    assert before == {path: path.stat().st_mtime_ns for path in place.rglob("*") if path.suffix == ".json"}, "it only looks"
    assert toy("jobs").code == 0
    assert "dead jobs" not in by_name(workspace.workspace(place)), "the remedy helps"


def test_a_bank_that_is_broken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SKILL_BANK", str(tmp_path))
    assert by_name(doctor.examine(tmp_path / "w", start=False))["skills"].state == "fail"


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLEEXAMPLE12")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "verysecret")
    yield f"http://{host}:{port}"
    server.stop()


def test_the_store_is_asked_only_over_the_network(store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert doctor.storage() == Check("storage", "ok", f"{store} answers and takes the credentials")
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{nobody.getsockname()[1]}")
        check = doctor.storage()
    assert check.state == "fail"
    assert "cannot be reached" in check.says
    assert "secret" not in check.says
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    check = doctor.storage()
    assert (check.state, bool(check.fix)) == ("warn", True)
