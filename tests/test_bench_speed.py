"""The benchmarks of speed run and say what they should; how fast anything was is no matter here."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch
from conftest import ROOT

BENCH = ROOT / "bench"
SPREAD = {"min", "median", "max"}


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCH))


def load(name: str) -> ModuleType:
    return importlib.import_module(name)


@pytest.mark.usefixtures("bench")
def test_the_plain_network_and_ours_are_timed_on_the_same_answers(capsys, monkeypatch) -> None:
    words = ["peer.py", "--what", "both", "--batch", "1", "--frames", "10", "--valid", "4", "--rounds", "1", "--json"]
    monkeypatch.setattr(sys, "argv", words)
    assert load("peer").main() == 0
    said = json.loads(capsys.readouterr().out)
    assert said["logits_apart"] < 1e-5
    assert all(set(said["peer_over_ours"][what]) == SPREAD for what in ("forward", "step"))
    monkeypatch.setattr(sys, "argv", [*words[:-1], "--side", "ours"])
    assert load("peer").main() == 0
    alone = json.loads(capsys.readouterr().out)
    assert [len(alone[what]) for what in ("forward", "step")] == [1, 1]


@pytest.mark.usefixtures("bench")
def test_the_measurement_for_gpus_runs_on_any_device(capsys, monkeypatch) -> None:
    words = ["gpu.py", "--device", "cpu", "--batch", "1", "--frames", "10", "--rounds", "1"]
    monkeypatch.setattr(sys, "argv", [*words, "--json"])
    assert load("gpu").main() == 0
    said = json.loads(capsys.readouterr().out)
    for what in ("inference", "training"):
        assert list(said[what]) == ["peer", "ours fp32", "ours bf16"]
        assert all(set(one["peer_over_it"]) == SPREAD for one in said[what].values())
    assert all(value > 0 for value in said["floors"].values())
    monkeypatch.setattr(sys, "argv", words)
    assert load("gpu").main() == 0
    assert capsys.readouterr().out.count("sequences/s") == 6


@pytest.mark.usefixtures("bench")
@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_says_so(capsys, monkeypatch) -> None:
    monkeypatch.setattr(sys, "argv", ["gpu.py"])
    assert load("gpu").main() == 7
    assert "no GPU" in capsys.readouterr().err


@pytest.mark.usefixtures("bench")
def test_curves_are_compared_where_the_plain_one_is_lowest() -> None:
    compared = load("same_loss").compared
    plain = [(10.0, 1.0), (20.0, 0.5), (30.0, 0.5), (40.0, 0.7)]
    assert compared(plain, [(1.0, 0.9), (4.0, 0.5), (5.0, 0.1)])["ratio"] == 5.0
    assert compared(plain, [(1.0, 0.9), (2.0, 0.51)])["ratio"] is None


@pytest.mark.usefixtures("bench")
def test_growth_is_told_as_an_exponent() -> None:
    runs = [{"train_seconds": 2.0 * n, "evaluate_seconds": 5.0 / n, "memory_mib": 100.0} for n in (1, 2, 4, 8)]
    said = load("scaling").curves(
        {8 * n: [run, {**run, "train_seconds": 99.0}] for n, run in zip((1, 2, 4, 8), runs, strict=True)}
    )
    assert [said[what]["exponent"] for what in ("train_seconds", "evaluate_seconds", "memory_mib")] == [1.0, -1.0, 0.0]


@pytest.mark.usefixtures("bench")
def test_the_page_says_what_was_reached(tmp_path: Path) -> None:
    speed = load("speed")
    found = {"min": 1.0, "median": 3.0, "max": 4.0}
    rows = [
        speed.Row("sooner", found, 2.0, 5.0, "python bench/x.py"),
        speed.Row("too slow", found, 3.5, None, "python bench/x.py"),
        speed.Row("seconds", found, 3.5, 1.0, "python bench/x.py", "a note", True),
        speed.Row("never", None, 1.0, 1.0, "python bench/x.py"),
        speed.Row("free", found, None, None, "python bench/x.py"),
    ]
    assert [speed.reached(row) for row in rows] == [True, False, True, False, True]
    machine = load("measuring").machine() | {"gflops": {"fp32": 1.0, "bf16": 2.0}}
    parts = {"one": {"rows": [row._asdict() for row in rows], "minutes": 1.0, "smoke": True}}
    page = speed.page(json.loads(json.dumps({"machine": machine, "parts": parts})))
    lines = [line for line in page.splitlines() if line.startswith("| ") and "---" not in line][1:]
    assert [line.split("|")[7].strip() for line in lines] == ["yes", "no", "yes", "no", ""]
    assert "seconds (a note)" in page
    assert "mean nothing" in page


@pytest.mark.usefixtures("bench")
def test_a_part_that_is_not_there_is_named(capsys, monkeypatch) -> None:
    monkeypatch.setattr(sys, "argv", ["speed.py", "--only", "inference,nonsense"])
    with pytest.raises(SystemExit):
        load("speed").main()
    assert "no such part: nonsense" in capsys.readouterr().err


@pytest.mark.slow
def test_all_of_it_runs(tmp_path: Path) -> None:
    out, page = tmp_path / "results.json", tmp_path / "page.md"
    words = ["--smoke", "--rounds", "1", "--out", str(out), "--page", str(page)]
    done = subprocess.run([sys.executable, BENCH / "speed.py", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    results = json.loads(out.read_text())
    assert set(results["parts"]) == set(load_parts())
    for part in results["parts"].values():
        assert part["rows"]
        assert all(row["ratio"] is None or set(row["ratio"]) == SPREAD for row in part["rows"])
    assert page.read_text().count("`python bench/") >= 10


@pytest.mark.slow
def test_trainings_beside_busy_programs() -> None:
    words = [sys.executable, BENCH / "busy.py", "--smoke", "--json"]
    facts = json.loads(subprocess.run(words, capture_output=True, text=True, check=True).stdout)
    assert [row["busy"] for row in facts["rows"]] == [0, 1]
    assert all(row["all"] > 0 and row["one"] > 0 and row["ratio"] > 0 for row in facts["rows"])


def load_parts() -> list[str]:
    printed = subprocess.run([sys.executable, BENCH / "speed.py", "--help"], capture_output=True, text=True, check=True).stdout
    return printed.split("parts, of ")[1].split(" (default")[0].replace("\n", " ").replace(" ", "").split(",")
