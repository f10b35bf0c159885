"""Training: what it writes, that a resume is exact, that every end is a truthful one, and each wrong input in one message."""

from __future__ import annotations

import csv
import importlib.util
import json
import os
import re
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from trainer_cases import full_spec, status_lines, train_spec, write_checkpoint

from stgcn import action, config, errors, fit, train
from stgcn.callbacks import COLUMNS
from stgcn.config import Optim
from stgcn.optim import build_optimizer, build_scheduler, cosine_factor

AUGMENT = {"random_choose": True, "random_move": True, "window_size": 10}


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict, dict]:
    """Four epochs with augmentation and MultiStep: the spec and what came out."""
    folder = tmp_path_factory.mktemp("trained")
    spec = train_spec(folder / "data", folder, num_epochs=4, optim={"lr": 0.01, "lr_steps": [1, 3]})
    spec["dataset"] |= AUGMENT
    return spec, train.run(spec)


def weights(path: str | Path) -> dict[str, torch.Tensor]:
    return torch.load(path, weights_only=True)["state_dict"]


def rows(folder: Path) -> list[dict[str, str]]:
    with open(folder / "metrics.csv", newline="") as file:
        return list(csv.DictReader(file))


def test_files_and_outcome(trained: tuple[dict, dict]) -> None:
    spec, result = trained
    folder = Path(spec["results_dir"]) / "train"
    names = [f"model_epoch_{e:03d}_step_{2 * (e + 1):05d}.pth" for e in range(4)]
    assert [Path(c["path"]).name for c in result["checkpoints"]] == names
    assert sorted(path.name for path in folder.glob("*.pth")) == [*names, "pc_model_latest.pth"]
    assert os.readlink(folder / "pc_model_latest.pth") == names[-1]
    metrics = result["metrics"]
    best = min(result["checkpoints"], key=lambda c: c["val_loss"])
    assert [c for c in result["checkpoints"] if c["best"]] == [best]
    assert (metrics["val_loss"], metrics["best_epoch"], metrics["best_step"]) == (best["val_loss"], best["epoch"], best["step"])
    assert (metrics["epochs"], metrics["steps"], metrics["device"]) == (4, 8, "cpu")
    assert 0 <= metrics["train_acc"] <= 1
    assert result["artifacts"]["checkpoint"] == best["path"]
    assert all(Path(path).exists() for path in result["artifacts"].values())
    assert set(json.loads((folder / "data_facts.json").read_text())) == {"train", "val", "inspection"}


def test_curves(trained: tuple[dict, dict]) -> None:
    spec, _ = trained
    found = rows(Path(spec["results_dir"]) / "train")
    assert list(found[0]) == list(COLUMNS)
    assert [float(row["lr"]) for row in found] == pytest.approx([0.01, 1e-3, 1e-3, 1e-4])
    assert [int(row["step"]) for row in found] == [2, 4, 6, 8]
    events = list((Path(spec["results_dir"]) / "train" / "lightning_logs").rglob("events.out.tfevents*"))
    assert len(events) == 1


def test_scalars_have_the_usual_names_and_those_of_tao(trained: tuple[dict, dict]) -> None:
    reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator", reason="tensorboard is an extra")
    events = next((Path(trained[0]["results_dir"]) / "train" / "lightning_logs").rglob("events.out.tfevents*"))
    found = reader.EventAccumulator(str(events.parent))
    found.Reload()
    usual, tao = (
        ["epoch", "lr", "train_acc", "train_loss", "val_acc", "val_loss"],
        ["train_acc_1", "train_loss_epoch", "val_acc@1"],
    )
    assert sorted(found.Tags()["scalars"]) == sorted([*usual, *tao, "train_loss_step"])
    assert [event.step for event in found.Scalars("val_loss")] == [2, 4, 6, 8]
    table = rows(Path(trained[0]["results_dir"]) / "train")
    for name in usual:
        assert [event.value for event in found.Scalars(name)] == pytest.approx([float(row[name]) for row in table], rel=1e-4)
    for theirs, ours in zip(tao, ("train_acc", "train_loss", "val_acc"), strict=True):
        assert [e.value for e in found.Scalars(theirs)] == [e.value for e in found.Scalars(ours)]


def log_records(content: bytes) -> Iterator[bytes]:
    """The records of a run's file: blocks of 32 KiB of pieces (checksum, length, kind: whole, first, middle, last)."""
    at, whole = 7, b""
    while at < len(content):
        if 32768 - at % 32768 < 7:
            at += 32768 - at % 32768
            continue
        length, kind = struct.unpack_from("<HB", content, at + 4)
        whole = content[at + 7 : at + 7 + length] if kind in (1, 2) else whole + content[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):
            yield whole


@pytest.mark.slow
def test_weights_and_biases_keeps_the_same_curves_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a process of its own, as it starts a service: without a key and without a network, read back from its own file."""
    pytest.importorskip("wandb", reason="wandb is an extra: pip install 'tao-skill-bank[wandb]'")
    from wandb.proto import wandb_internal_pb2

    spec = train_spec(tmp_path / "data", tmp_path, num_epochs=2) | {"wandb": {"enable": True, "project": "p", "name": "run"}}
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    code = "import json, sys; from stgcn import train; train.run(json.load(sys.stdin))"
    subprocess.run(
        [sys.executable, "-c", code], input=json.dumps(spec), text=True, check=True, capture_output=True, timeout=300
    )
    (kept,) = (tmp_path / "train").rglob("offline-run-*/*.wandb")
    told: dict[str, list[float]] = {}
    for data in log_records(kept.read_bytes()):
        record = wandb_internal_pb2.Record()
        record.ParseFromString(data)
        for item in record.history.item:
            told.setdefault(item.key or ".".join(item.nested_key), []).append(json.loads(item.value_json))
    table = rows(tmp_path / "train")
    for name in ("train_loss", "train_acc", "val_loss", "val_acc", "lr"):
        assert told[name] == pytest.approx([float(row[name]) for row in table], rel=1e-4)


def test_status_lines(trained: tuple[dict, dict]) -> None:
    lines = status_lines(Path(trained[0]["results_dir"]) / "train")
    aside = re.compile("data check: |epoch .* left$")  # on the data; and how far it is, where an epoch takes long
    messages = [line["message"] for line in lines if not aside.match(line["message"])]
    assert messages == [
        "Starting Pose Classification train.",
        "Starting Training Loop.",
        *["Eval metrics generated.", "Training loop in progress", "Train metrics generated."] * 4,
        "Training loop complete.",
        "Train finished successfully.",
        "Train finished successfully.",
    ]
    assert lines[-1]["status"] == "SUCCESS"
    kpis = [sorted(line["kpi"]) for line in lines if "kpi" in line]
    assert kpis == [["val_acc", "val_loss"], ["train_acc", "train_loss"]] * 4
    loop = [line for line in lines if line["message"] == "Training loop in progress"][1]
    assert (loop["epoch"], loop["max_epoch"], loop["step"], loop["max_step"]) == (1, 3, 4, 8)
    assert {"time_per_epoch", "time_per_step", "eta"} <= loop.keys()


@pytest.mark.parametrize(
    "optim",
    [
        {"lr": 0.001, "optimizer_type": "torch.optim.AdamW", "lr_scheduler": "Cosine", "warmup_epochs": 1},
        {"lr": 0.01, "lr_scheduler": "AutoReduce", "patience": 1, "lr_monitor": "train_loss", "min_lr": 1e-9},
    ],
    ids=["Cosine", "AutoReduce"],
)
def test_a_resume_is_exact(tmp_path: Path, optim: dict) -> None:
    """What goes on in another folder after 2 of 3 epochs ends in the very weights and curves of 3 epochs."""
    spec = train_spec(tmp_path / "data", tmp_path / "whole", num_epochs=3, optim=optim)
    spec["dataset"] |= AUGMENT
    whole = train.run(spec)
    other = {**spec, "results_dir": str(tmp_path / "other")}
    other["train"] = {**spec["train"], "resume_training_checkpoint_path": whole["checkpoints"][1]["path"]}
    resumed = train.run(other)
    assert [c["epoch"] for c in resumed["checkpoints"]] == [2]
    first, second = (weights(result["checkpoints"][-1]["path"]) for result in (whole, resumed))
    assert [name for name in first if not torch.equal(first[name], second[name])] == []
    kept = [{**row, "seconds": ""} for row in rows(tmp_path / "whole" / "train")]
    assert [{**row, "seconds": ""} for row in rows(tmp_path / "other" / "train")] == kept
    assert any("Resuming training from checkpoint" in line["message"] for line in status_lines(tmp_path / "other" / "train"))


def test_stopped_after_two_epochs_and_continued(tmp_path: Path, trained: tuple[dict, dict]) -> None:
    spec, whole = trained
    half = {**spec, "results_dir": str(tmp_path), "train": {**spec["train"], "num_epochs": 2}}
    latest = train.run(half)["artifacts"]["latest"]
    half["train"] = {**spec["train"], "resume_training_checkpoint_path": latest}
    again = train.run(half)
    first, second = weights(whole["checkpoints"][-1]["path"]), weights(again["artifacts"]["latest"])
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_intervals_keep_the_best_and_the_last(tmp_path: Path) -> None:
    spec = train_spec(tmp_path / "data", tmp_path, num_epochs=5, checkpoint_interval=3, validation_interval=2)
    spec["train"]["optim"] = {"lr": 0.01, "lr_scheduler": "AutoReduce"}
    result = train.run(spec)
    on_disk = set(map(str, (tmp_path / "train").glob("model_*.pth")))
    assert {c["path"] for c in result["checkpoints"]} == on_disk
    epochs = {c["epoch"] for c in result["checkpoints"]}
    assert {2, 4, result["metrics"]["best_epoch"]} == epochs
    validated = [row["val_loss"] != "" for row in rows(tmp_path / "train")]
    assert validated == [False, True, False, True, True]
    assert sum(c["best"] for c in result["checkpoints"]) == 1


def test_checkpoints_by_step(tmp_path: Path) -> None:
    spec = train_spec(tmp_path / "data", tmp_path, num_epochs=2, checkpoint_interval=3, checkpoint_interval_unit="step")
    result = train.run(spec)
    steps = [c["step"] for c in result["checkpoints"]]
    assert 3 in steps
    assert steps[-1] == 4
    within = next(c for c in result["checkpoints"] if c["step"] == 3)
    assert within["val_loss"] is None
    spec["train"]["resume_training_checkpoint_path"] = within["path"]
    spec["results_dir"] = str(tmp_path / "resumed")
    assert [c["epoch"] for c in train.run(spec)["checkpoints"]][-1] == 1


@pytest.mark.parametrize("kind", ["Adam", "Adamax", "AdamW"])
def test_optimisers(kind: str) -> None:
    built = build_optimizer([torch.zeros(1, requires_grad=True)], Optim(optimizer_type=f"torch.optim.{kind}", lr=0.2))
    assert type(built).__name__ == kind
    assert built.param_groups[0]["weight_decay"] == 1e-4


@pytest.mark.parametrize("kind", ["SGD", "Adam", "Adamax", "AdamW"])
def test_the_kernel_for_gpus_takes_the_same_steps(kind: str) -> None:
    """PyTorch has it for CPUs too, so that its answers can be compared without a GPU."""
    optim = Optim(optimizer_type=f"torch.optim.{kind}", lr=0.2)
    found = []
    for on_gpu in (False, True):
        weight = torch.linspace(-1, 1, 7).requires_grad_()
        optimizer = build_optimizer([weight], optim, on_gpu=on_gpu)
        assert bool(optimizer.defaults.get("fused")) is (on_gpu and kind != "Adamax")
        for _ in range(3):
            optimizer.zero_grad()
            (weight**3).sum().backward()
            optimizer.step()
        found.append(weight.detach())
    torch.testing.assert_close(*found)


def test_sgd_without_momentum_is_plain() -> None:
    group = build_optimizer([torch.zeros(1, requires_grad=True)], Optim(momentum=0.0)).param_groups[0]
    assert group["nesterov"] is False


def test_cosine_rises_falls_and_ends_at_the_lowest() -> None:
    optim = Optim(lr=0.1, min_lr=0.001, warmup_epochs=2, lr_scheduler="Cosine")
    rates = [0.1 * cosine_factor(epoch, optim, 10) for epoch in range(10)]
    assert rates[:3] == pytest.approx([0.1 / 3, 0.2 / 3, 0.1])
    assert rates[2:] == sorted(rates[2:], reverse=True)
    assert rates[-1] == pytest.approx(0.001)
    schedule = build_scheduler(torch.optim.SGD([torch.zeros(1)], lr=0.1), optim, 10)
    assert schedule.get_last_lr() == pytest.approx([rates[0]])


def test_a_rerun_starts_afresh_and_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    spec = train_spec(tmp_path / "data", tmp_path, num_epochs=1)
    (tmp_path / "train").mkdir()
    earlier = tmp_path / "train" / "model_epoch_009_step_00090.pth"
    earlier.write_bytes(b"of an earlier run")
    (tmp_path / "train" / "pc_model_latest.pth").symlink_to(earlier.name)
    result = train.run(spec)
    assert (result["metrics"]["epochs"], len(result["checkpoints"])) == (1, 1)
    assert "1 checkpoint(s) of an earlier run" in caplog.text
    assert earlier.read_bytes() == b"of an earlier run"
    assert Path(result["artifacts"]["latest"]).resolve().name == "model_epoch_000_step_00002.pth"


def test_batches_of_one_and_a_divergence(tmp_path: Path) -> None:
    """The last of 9 sequences in batches of 8 is a batch of its own; huge steps end the training with advice."""
    spec = full_spec(tmp_path / "data", tmp_path, num_epochs=3, optim={"lr": 10.0, "momentum": 0.99}, seed=-1)
    spec["dataset"]["batch_size"] = 8
    data = np.load(tmp_path / "data" / "train_data.npy")
    np.save(tmp_path / "data" / "train_data.npy", data * np.float32(1e30))
    with pytest.raises(errors.TrainerError, match=r"diverged.*train\.optim\.lr") as caught:
        train.run(spec)
    assert caught.value.exit_code == 1
    assert status_lines(tmp_path / "train")[-1]["status"] == "FAILURE"


def test_pretrained_weights_load_what_fits(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    spec = full_spec(tmp_path / "data", tmp_path, num_epochs=1, optim={"lr": 0.0, "weight_decay": 0.0})
    path = write_checkpoint(tmp_path / "nvidia.tlt", layout="nvidia", classes=6, described=False)
    spec["model"]["pretrained_model_path"] = str(path)
    result = train.run(spec)
    skipped = result["metrics"]["pretrained"]["skipped"]
    assert {line.split(":")[0] for line in skipped} >= {"fcn.weight", "fcn.bias", "data_bn.weight", "edge_importance.0"}
    name = "model.st_gcn_networks.5.tcn.2.weight"
    assert torch.equal(weights(result["artifacts"]["latest"])[name], weights(path)[name])
    assert "tensors loaded; left out: " in caplog.text


def broken_spec(folder: Path, case: str, trained: dict) -> dict:
    """A spec with one thing wrong."""
    spec = train_spec(folder / "data", folder, num_epochs=1)
    dataset, settings = spec["dataset"], spec["train"]
    if case == "label map":
        dataset["label_map"] = {"a": 0, "b": 2, "c": 3}
    elif case == "classes":
        dataset["num_classes"] = 4
    elif case == "unknown key":
        settings["num_epoch"] = 3
    elif case == "nodes":
        settings["num_nodes"] = 2
    elif case == "factor":
        settings["optim"] = {"lr_scheduler": "AutoReduce", "lr_decay": 1.0}
    elif case == "both sets":
        dataset["train_dataset"]["data_path"] = "nowhere.npy"
        dataset["val_dataset"]["data_path"] = "nothere.npy"
    elif case == "nothing left":
        settings["resume_training_checkpoint_path"] = trained["checkpoints"][0]["path"]
    elif case == "other optimiser":
        settings["resume_training_checkpoint_path"] = trained["checkpoints"][0]["path"]
        settings["optim"] = {"optimizer_type": "torch.optim.Adam", "lr_scheduler": "Cosine"}
    elif case == "weights only":
        settings["resume_training_checkpoint_path"] = str(write_checkpoint(folder / "w.pth"))
    elif case == "other layout":
        settings["resume_training_checkpoint_path"] = str(write_checkpoint(folder / "w.pth", layout="nvidia"))
    elif case == "nothing fits":
        content = {
            "fcn.weight": torch.ones(2),
            "data_bn.weight": torch.ones(2),
            "st_gcn_networks.0.gcn.conv.weight": torch.ones(2),
            "st_gcn_networks.0.tcn.0.weight": torch.ones(2),
        }
        torch.save(content, folder / "w.pth")
        spec["model"]["pretrained_model_path"] = str(folder / "w.pth")
    return spec


@pytest.mark.parametrize(
    ("case", "kind", "words"),
    [
        ("label map", errors.SpecError, ["not contiguous"]),
        ("classes", errors.SpecError, ["names 3 classes", "num_classes is 4"]),
        ("unknown key", errors.SpecError, ["train.num_epoch: unknown setting"]),
        ("nodes", errors.SpecError, ["train.num_nodes is 2"]),
        ("factor", errors.SpecError, ["lr_decay is 1", "below 1"]),
        ("both sets", errors.DataError, ["nowhere.npy", "nothere.npy"]),
        ("nothing left", errors.SpecError, ["num_epochs is 1", "1 epochs behind"]),
        ("other optimiser", errors.CheckpointError, ["optimiser is torch.optim.SGD", "schedule is MultiStep"]),
        ("weights only", errors.CheckpointError, ["holds weights only", "pretrained_model_path"]),
        ("other layout", errors.CheckpointError, ["nvidia (34 joints)", "coco (17 joints)"]),
        ("nothing fits", errors.CheckpointError, ["no layer fits"]),
    ],
)
def test_wrong_input(tmp_path: Path, trained: tuple, case: str, kind: type[errors.TrainerError], words: list[str]) -> None:
    spec = broken_spec(tmp_path, case, trained[1])
    with pytest.raises(kind) as caught:
        train.run(spec)
    assert all(word in str(caught.value) for word in words), str(caught.value)
    assert status_lines(tmp_path / "train")[-1]["status"] == "FAILURE"
    assert not list((tmp_path / "train").glob("*.pth"))


@pytest.mark.parametrize(
    ("existing", "num_gpus", "gpu_ids", "expected"),
    [
        (0, 1, (0,), []),
        (0, 4, (0,), "this machine has none"),
        (0, 1, (2,), "this machine has none"),
        (4, 1, (2,), [2]),
        (4, 2, (0,), [0, 1]),
        (4, 1, (1, 3), [1, 3]),
        (2, 4, (0,), "this machine has 2"),
        (1, 1, (5,), "asks for the GPUs [5]"),
        (2, 2, (1, 1), "asks for the GPUs [1, 1]"),
    ],
)
def test_gpus(monkeypatch: pytest.MonkeyPatch, existing: int, num_gpus: int, gpu_ids: tuple, expected: list | str) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: existing)
    if isinstance(expected, list):
        assert action.choose_gpus("train", num_gpus, gpu_ids) == expected
        return
    with pytest.raises(errors.ResourceError) as caught:
        action.choose_gpus("train", num_gpus, gpu_ids)
    assert expected in str(caught.value)


CHILD = """
import json, sys
from stgcn import train
try:
    train.run(json.load(sys.stdin))
except KeyboardInterrupt:
    sys.exit(130)
"""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), pytest.param(signal.SIGINT, 130, marks=pytest.mark.slow)])
def test_interrupted_in_an_epoch(tmp_path: Path, trained: tuple[dict, dict], number: int, code: int) -> None:
    """A signal leaves the state of the last whole epoch; going on from it ends in the weights of an undisturbed training."""
    spec, whole = trained
    spec = {**spec, "results_dir": str(tmp_path), "train": {**spec["train"], "checkpoint_interval": 100}}
    endless = {**spec, "train": {**spec["train"], "num_epochs": 1000}}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", CHILD], text=True, **pipes) as process:
        process.stdin.write(json.dumps(endless))
        process.stdin.close()
        wait_for_rows(tmp_path / "train", 2)
        process.send_signal(number)
        out, err = process.stdout.read(), process.stderr.read()
        assert process.wait(60) == code
    assert out == ""
    assert "Traceback" not in err
    last = status_lines(tmp_path / "train")[-1]
    assert (last["status"], last["message"].split(":")[0]) == ("FAILURE", "User/System interruption")
    latest = (tmp_path / "train" / "pc_model_latest.pth").resolve()
    done = torch.load(latest, weights_only=True)["pose_classification"]["epochs_completed"]
    assert 1 <= done < 4
    assert latest.name == f"model_epoch_{done - 1:03d}_step_{2 * done:05d}.pth"
    if number == signal.SIGINT:
        return
    resumed = train.run({**spec, "train": {**spec["train"], "resume_training_checkpoint_path": str(latest)}})
    first, second = weights(whole["checkpoints"][-1]["path"]), weights(resumed["artifacts"]["latest"])
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_a_word_lost_to_the_writer_of_tensorboards_files_costs_seconds(tmp_path: Path) -> None:
    """What a signal in the middle of ``notify`` leaves: a waiter who is gone already is woken in place of the one who waits."""
    (logger,) = fit.loggers_for(config.Wandb(), tmp_path)
    logger.log_metrics({"loss": 1.0}, step=0)
    queue = logger.experiment.file_writer.event_writer._async_writer._byte_queue
    queue.join()
    while not queue.not_empty._waiters:
        time.sleep(0.01)
    gone = threading.Lock()
    gone.acquire()
    with queue.mutex:
        queue.not_empty._waiters.appendleft(gone)
    ending = threading.Thread(target=logger.finalize, args=("interrupted",), daemon=True)
    ending.start()
    ending.join(30)
    assert not gone.locked()
    assert not ending.is_alive()


def wait_for_rows(folder: Path, count: int) -> None:
    """Wait until metrics.csv holds ``count`` epochs."""
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        if (folder / "metrics.csv").exists() and len(rows(folder)) >= count:
            return
        time.sleep(0.02)
    raise AssertionError("the training did not get that far")


@pytest.mark.slow
def test_several_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two training processes on the CPU, as two GPUs would be: one history, one set of files."""
    real = fit.pl.Trainer
    monkeypatch.setattr(fit.pl, "Trainer", lambda **kwargs: real(**{**kwargs, "accelerator": "cpu", "devices": 2}))
    monkeypatch.setattr(train, "choose_gpus", lambda *_: [0, 1])
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "two processes")
    result = train.run(train_spec(tmp_path / "data", tmp_path, num_epochs=2))
    assert [c["epoch"] for c in result["checkpoints"]][-1] == 1
    assert len(rows(tmp_path / "train")) == 2


def test_wandb_that_is_not_installed_is_said_before_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name, *more: None if name == "wandb" else real(name, *more))
    spec = train_spec(tmp_path / "data", tmp_path, num_epochs=1) | {"wandb": {"enable": True}}
    with pytest.raises(errors.SpecError, match=r"wandb is not installed: pip install 'tao-skill-bank\[wandb\]'"):
        train.run(spec)


def test_interrupted_in_the_first_epoch_leaves_a_start_to_resume(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever ends the training, even an error of the machine, its first state is there and leads to the same end."""
    spec = train_spec(tmp_path / "data", tmp_path / "whole", num_epochs=1)
    whole = train.run(spec)

    def fails(*_: object) -> torch.Tensor:
        raise RuntimeError("out of memory")

    broken = {**spec, "results_dir": str(tmp_path / "broken")}
    with monkeypatch.context() as patch:
        patch.setattr(train.PoseClassifier, "training_step", fails)
        with pytest.raises(RuntimeError, match="out of memory"):
            train.run(broken)
    start = tmp_path / "broken" / "train" / "model_epoch_000_step_00000.pth"
    assert (tmp_path / "broken" / "train" / "pc_model_latest.pth").resolve() == start
    resumed = train.run({**broken, "train": {**spec["train"], "resume_training_checkpoint_path": str(start)}})
    first, second = weights(whole["artifacts"]["latest"]), weights(resumed["artifacts"]["latest"])
    assert all(torch.equal(first[name], second[name]) for name in first)
