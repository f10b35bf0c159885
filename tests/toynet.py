"""A second network, as small as can be: its settings and its two actions. It proves that runner is not written for one model,
and it lets the tests of processes run without torch."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal


def setting(default: Any, description: str, **metadata: Any) -> Any:
    return field(default=default, metadata={"description": description, **metadata})


def section(cls: type, description: str) -> Any:
    return field(default_factory=cls, metadata={"description": description})


@dataclass(frozen=True)
class Train:
    results_dir: str | None = setting("", "Folder of the results.")
    data: str | None = setting("", "Data file.")
    num_epochs: int = setting(3, "Epochs.", minimum=1)
    lr: float = setting(
        0.5, "Rate.", minimum=0.0, maximum=1.0, automl_enabled=True, automl_range=[0.001, 1.0], automl_scale="log"
    )
    seconds: float = setting(0.0, "Seconds an epoch takes.", minimum=0.0)
    behave: Literal[
        "well", "fail", "refuse", "hang", "nan", "fail_low", "fail_fold_1", "tell",
        "nan_low", "memory_low", "kill_low", "kill_once",
    ] = setting("well", "What happens; _low: where lr is below 0.1.")  # fmt: skip
    resume: str | None = setting("", "Checkpoint to go on from.")
    seed: int = setting(1, "Seed.", minimum=-1)
    folds: int = setting(0, "Parts.", minimum=0, maximum=20)
    fold: int = setting(0, "Part that validates.", minimum=0)
    share: float = setting(1.0, "Share of the data.", minimum=0.01, maximum=1.0)


@dataclass(frozen=True)
class Evaluate:
    results_dir: str | None = setting("", "Folder of the results.")
    checkpoint: str | None = setting("", "Checkpoint.")
    data: str | None = setting("", "Test data, a number each; a checkpoint scores the more the nearer its rate is.")


@dataclass(frozen=True)
class TrainSpec:
    encryption_key: str | None = setting(None, "Key.", secret=True)
    results_dir: str | None = setting("", "Root of the results.")
    train: Train = section(Train, "Training.")


@dataclass(frozen=True)
class EvaluateSpec:
    results_dir: str | None = setting("", "Root of the results.")
    evaluate: Evaluate = section(Evaluate, "Evaluation.")


ACTIONS = {"train": TrainSpec, "evaluate": EvaluateSpec}


class WrongData(Exception):
    exit_code = 4
    problems = ("row 3 is not a number", "row 7 is empty")


def tell(key: str | None) -> None:
    """Say the secrets aloud that this process knows, and where else they can be seen."""
    import hashlib

    print(f"the key is {key}, its hash {hashlib.sha256(str(key).encode()).hexdigest()}")
    print("a login: postgresql+psycopg://me:pass-word-99@host/db, AKIAIOSFODNN7EXAMPLE", file=sys.stderr)
    pids = (os.getpid(), os.getppid())
    seen = [str(key) in Path(f"/proc/{pid}/cmdline").read_text() for pid in pids if Path(f"/proc/{pid}").exists()]
    print(f"in argv: {any(seen)}, in the environment: {str(key) in str(dict(os.environ))}", flush=True)


def misbehave(settings: dict[str, Any], epoch: int) -> float:
    """Break where the settings say so; a number to add to the loss."""
    behave, low = settings["behave"], settings["lr"] < 0.1
    if behave == "memory_low" and low:
        raise MemoryError("the toy broke")
    once = Path(settings["data"]).with_name("killed")
    if (behave == "kill_low" and low) or (behave == "kill_once" and epoch == 1 and not once.exists()):
        once.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return float("nan") if behave == "nan_low" and low else 0.0


def first_epoch(settings: dict[str, Any]) -> int:
    """Where a training goes on; at the start where nothing would be left to do."""
    path = Path(settings["resume"] or "absent")
    done = int(path.read_text().removeprefix("toy ")) + 1 if path.is_file() else 0
    return done if done < settings["num_epochs"] else 0


def train(spec: dict[str, Any], control: Callable[[int, dict[str, float]], bool] | None = None) -> dict[str, Any]:
    settings = spec["train"]
    folder = Path(settings["results_dir"])
    folder.mkdir(parents=True, exist_ok=True)
    if settings["behave"] == "refuse":
        raise WrongData("\n".join(WrongData.problems))
    if settings["behave"] == "hang":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        grandchild = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        (folder / "grandchild.pid").write_text(str(grandchild.pid))
    (folder / "trainer.pid").write_text(str(os.getpid()))
    (folder / "rate").write_text(str(settings["lr"]))
    print("toy training starts", flush=True)
    if settings["behave"] == "tell":
        tell(spec["encryption_key"])
    checkpoints = []
    stopped: dict[str, int] = {}
    first = first_epoch(settings)
    for epoch in range(first, settings["num_epochs"]):
        time.sleep(settings["seconds"])
        loss = (settings["lr"] - 0.1) ** 2 + 1 / (epoch + 1) + misbehave(settings, epoch)
        path = folder / f"model_epoch_{epoch:03d}_step_{epoch + 1:05d}.pth"
        path.write_text(f"toy {epoch}")
        checkpoints.append({"path": str(path), "epoch": epoch, "step": epoch + 1, "val_loss": loss, "best": False})
        line = {
            "date": "1/1/2026",
            "time": "0:0:0",
            "status": "RUNNING",
            "verbosity": "INFO",
            "message": "Training loop in progress",
        }
        line |= {"epoch": epoch, "max_epoch": settings["num_epochs"] - 1, "eta": "0:00:01", "kpi": {"val_loss": loss}}
        with open(folder / "status.json", "a") as file:
            file.write(json.dumps(line) + "\n")
        if control and control(epoch + 1, {"val_loss": loss}):
            stopped = {"stopped_epoch": epoch + 1}
            break
    fold, seed, share = (settings.get(key, default) for key, default in (("fold", 0), ("seed", 1), ("share", 1.0)))
    if settings["behave"] in ("fail", f"fail_fold_{fold}") or (settings["behave"] == "fail_low" and settings["lr"] < 0.1):
        raise RuntimeError("the toy broke")
    checkpoints[-1]["best"] = True
    loss = float("nan") if settings["behave"] == "nan" else checkpoints[-1]["val_loss"]
    loss += 0.1 * fold + 0.02 * (seed - 1) + (1 - share) * (1 + 0.1 * (seed % 2))
    return {
        "metrics": {"val_loss": loss, "resumed": settings["resume"] or "", "first_epoch": first, **stopped},
        "artifacts": {"checkpoint": checkpoints[-1]["path"]},
        "checkpoints": checkpoints,
    }


def evaluate(spec: dict[str, Any]) -> dict[str, Any]:
    settings = spec["evaluate"]
    text = Path(settings["checkpoint"]).read_text()
    accuracy = 50.0
    if settings["data"]:
        test = Path(settings["data"]).read_text()
        with suppress(FileNotFoundError):
            Path(settings["data"]).with_name("slow_once").unlink()
            (Path(settings["results_dir"]) / "evaluator.pid").write_text(str(os.getpid()))
            time.sleep(600)
        if test == "broken":
            raise RuntimeError("the toy broke")
        rate = Path(settings["checkpoint"]).with_name("rate").read_text()
        accuracy = 100 - 100 * abs(float(test) - float(rate))
    return {"metrics": {"accuracy": accuracy, "read": text}, "artifacts": {}}
