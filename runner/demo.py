"""The whole way on synthetic data, by the very commands a user would type: sample data to validation report.

Knows the command lines; nothing of specs, jobs or tensors.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import IO, Any

SKILL = "tao-train-pose-classification"
# All else is the default recipe's; a demo shows the way and need not go to its end.
SETTINGS = {
    "model.graph_layout": "nvidia",
    "num_epochs": 16,
    "batch_size": 8,
    "dataset.repeat_to": 0,
    "dataset.preparation.window": 24,
}
BUDGET = "trials=3"


def run(out: Path, stream: IO[str]) -> dict[str, Any]:
    """Run the demo under ``out`` (its workspace is reused, jobs are added) and tell where everything lies."""
    data, workspace = out / "data", out / "workspace"
    steps: dict[str, Any] = {}
    words = [word for key, value in SETTINGS.items() for word in ("--set", f"{key}={value}")]
    plan: list[tuple[str, list[str]]] = [
        ("sample data", ["pose_classification", "sample_data", "--out", str(data), "--per-class", "12", "--frames", "32"]),
        ("train", ["skillbank", "run", SKILL, "train", "--dataset", str(data), "--budget", BUDGET, *words]),
        ("evaluate", ["skillbank", "run", SKILL, "evaluate", "--dataset", str(data), "--parent", "{train}"]),
        ("export", ["skillbank", "run", SKILL, "export", "--parent", "{train}"]),
        ("inference", ["skillbank", "run", SKILL, "inference", "--dataset", str(data), "--parent", "{export}"]),
        ("report", ["skillbank", "report", "{train}", "{evaluate}", "{export}", "{inference}"]),
    ]
    for name, words_of in plan:
        command = [word.format(**{k: v["job_id"] for k, v in steps.items() if "job_id" in v}) for word in words_of]
        if command[0] == "skillbank":
            command += ["--workspace", str(workspace)]
        stream.write(f"\n$ {' '.join(command)}\n")
        stream.flush()
        code, steps[name] = _call(command)
        if code:
            return {"exit_code": code, "failed": name, "results": {}}
        _tell(steps[name], stream)
    return {"exit_code": 0, "failed": None, "results": _results(steps)}


def _call(command: list[str]) -> tuple[int, dict[str, Any]]:
    """Run one command as its own process; what it says goes to the terminal, its data comes back."""
    module = "runner.cli" if command[0] == "skillbank" else "runner.tao_cli"
    as_json = ["--json"] if command[0] == "skillbank" else []
    done = subprocess.run(
        [sys.executable, "-m", module, *command[1:], *as_json], stdout=subprocess.PIPE, text=True, check=False
    )
    if not as_json:
        return done.returncode, {}
    envelope = json.loads(done.stdout) if done.stdout.strip() else {"data": {}, "error": None}
    if envelope["error"]:
        sys.stderr.write(f"error: {envelope['error']['message']}\n")
    return done.returncode, envelope["data"] or {}


def _tell(data: dict[str, Any], stream: IO[str]) -> None:
    metrics = data.get("metrics") or {}
    shown = ("val_loss", "accuracy", "avg_accuracy", "max_abs_diff", "sequences")
    told = ", ".join(f"{name} {metrics[name]:.4g}" for name in shown if isinstance(metrics.get(name), int | float))
    if told:
        stream.write(f"  {data['job_id']}: {told}\n")


def _results(steps: dict[str, Any]) -> dict[str, str]:
    return {
        "checkpoint": steps["train"]["artifacts"]["checkpoint"],
        "onnx": steps["export"]["artifacts"]["onnx"],
        "predictions": steps["inference"]["artifacts"]["predictions"],
        **{f"report.{name}": path for name, path in steps["report"]["report"].items()},
    }
