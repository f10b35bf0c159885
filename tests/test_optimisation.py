"""How a training descends: a TAO spec as a plain loop does, and each setting beyond TAO as it promises; all resume exactly."""

from __future__ import annotations

import csv
import json
import math
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional
from trainer_cases import full_spec, sequences, status_lines, train_spec

from stgcn import calibration, config, consistency, errors, evaluate, fit, predict, train, unheard
from stgcn.averaging import Average
from stgcn.callbacks import waiting
from stgcn.config import Optim
from stgcn.fusion import choose_weights
from stgcn.graph import LAYOUTS, adjacency
from stgcn.mixing import Mixed
from stgcn.model import STGCN
from stgcn.module import RAW, PoseClassifier
from stgcn.optim import build_optimizer, build_scheduler, cosine_factor, without_decay_of_norms

TINY = {"model_type": "ST-GCN++", "graph_layout": "coco", "width": 6, "stages": [1, 1]}
EVERYTHING = {
    "augmentation": {"enabled": True, "mixup": 0.5, "cutmix": 0.5, "temporal_crop": 0.6, "noise": 0.01},
    "repeat_to": 14,
    "class_balance": "loss",
    "preparation": {"center": "sequence", "scale": "body", "window": 10},
}


def load(path: str | Path) -> dict:
    return torch.load(path, weights_only=True)


def rows(folder: Path) -> list[dict[str, str]]:
    with open(folder / "train" / "metrics.csv", newline="") as file:
        return list(csv.DictReader(file))


def tiny_spec(folder: Path, name: str = "out", **settings: object) -> dict:
    """A training of a tiny network on 9 sequences, 2 steps an epoch."""
    spec = train_spec(folder / "data", folder / name, **settings)
    spec["model"] = dict(TINY)
    return spec


LR = 2e-5  # at which rounding stays rounding: at larger rates these few sequences magnify it a hundredfold in an epoch


def losses_of_a_plain_loop(epochs: int, milestone: int) -> tuple[list[float], list[float]]:
    """Train and validation losses of the textbook network under SGD, written from what TAO's settings say."""
    x, y = (torch.from_numpy(part) for part in sequences(9, seed=1))
    x_val, y_val = (torch.from_numpy(part) for part in sequences(3, seed=2))
    torch.manual_seed(1234)
    network = STGCN(torch.from_numpy(adjacency(LAYOUTS["coco"], "spatial")), 3, 3, dropout=0.5)
    velocity = {name: torch.zeros_like(p) for name, p in network.named_parameters()}
    trained, validated = [], []
    for epoch in range(epochs):
        lr = LR * (0.1 if epoch >= milestone else 1.0)
        order = np.random.default_rng([1234, 0, epoch]).permutation(9)
        torch.manual_seed(int(np.random.SeedSequence([1234, epoch, 0]).generate_state(1)[0]))
        if epoch:
            torch.empty((), dtype=torch.int64).random_()  # torch's loader draws a seed for its processes, though there are none
        network.train()
        total = 0.0
        for batch in (order[:5], order[5:]):
            loss = -network(x[batch]).log_softmax(dim=1)[torch.arange(len(batch)), y[batch]].mean()
            network.zero_grad()
            loss.backward()
            with torch.no_grad():
                for name, weight in network.named_parameters():
                    slope = weight.grad + 1e-4 * weight
                    velocity[name] = 0.9 * velocity[name] + slope
                    weight.sub_(lr * (slope + 0.9 * velocity[name]))
            total += loss.item() * len(batch)
        trained.append(total / 9)
        network.eval()
        with torch.no_grad():
            validated.append(functional.nll_loss(network(x_val).log_softmax(dim=1), y_val).item())
    return trained, validated


def test_a_tao_spec_gives_the_losses_of_a_plain_loop(tmp_path: Path) -> None:
    spec = full_spec(tmp_path / "data", tmp_path, num_epochs=3, optim={"lr": LR, "lr_steps": [2]})
    train.run(spec)
    trained, validated = losses_of_a_plain_loop(3, milestone=2)
    found = rows(tmp_path)
    assert [float(row["train_loss"]) for row in found] == pytest.approx(trained, rel=1e-5)
    assert [float(row["val_loss"]) for row in found] == pytest.approx(validated, rel=1e-5)


@pytest.fixture(scope="module")
def averaged(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict, dict]:
    """Four epochs with every setting of the optimisation that a resume has to take up again."""
    folder = tmp_path_factory.mktemp("averaged")
    optim = {"lr": 0.01, "optimizer_type": "torch.optim.AdamW", "lr_scheduler": "OneCycle", "min_lr": 0.0}
    spec = tiny_spec(folder, num_epochs=4, ema_decay=0.6, label_smoothing=0.1, calibrate=True, grad_clip=5.0)
    spec["train"]["optim"] = optim | {"warmup_share": 0.25, "weight_decay": 0.02, "decay_norms": False}
    spec["dataset"] |= EVERYTHING
    return spec, train.run(spec)


def test_a_resume_with_everything_is_exact(tmp_path: Path, averaged: tuple[dict, dict]) -> None:
    spec, whole = averaged
    path = whole["checkpoints"][1]["path"]
    other = {**spec, "results_dir": str(tmp_path), "train": {**spec["train"], "resume_training_checkpoint_path": path}}
    resumed = train.run(other)
    first, second = (load(result["checkpoints"][-1]["path"]) for result in (whole, resumed))
    for part in ("state_dict", RAW):
        assert [name for name in first[part] if not torch.equal(first[part][name], second[part][name])] == []
    assert first["pose_classification"]["temperature"] == second["pose_classification"]["temperature"]
    strip = [{**row, "seconds": ""} for row in rows(Path(spec["results_dir"]))]
    assert [{**row, "seconds": ""} for row in rows(tmp_path)] == strip


def test_a_resume_between_parts_of_the_set_is_exact(tmp_path: Path) -> None:
    spec = tiny_spec(tmp_path, num_epochs=4, optim={"lr_scheduler": "OneCycle", "lr": 0.01, "min_lr": 0.0})
    spec["dataset"] |= {"draw_at_most": 5, "batch_size": 2}  # of 9, so that parts straddle two rounds
    whole = train.run(spec)
    assert (whole["metrics"]["drawn_per_epoch"], whole["metrics"]["steps"]) == (5, 4 * 3)
    assert float(rows(tmp_path / "out")[-1]["lr"]) < 1e-3  # the schedule ends where the training does
    said = [json.loads(line)["message"] for line in (tmp_path / "out" / "train" / "status.json").read_text().splitlines()]
    assert any("an epoch draws 5 of 9 training sequences" in line for line in said)
    again = {**spec, "results_dir": str(tmp_path / "again")}
    again["train"] = {**spec["train"], "resume_training_checkpoint_path": whole["checkpoints"][1]["path"]}
    first, second = (load(result["checkpoints"][-1]["path"])["state_dict"] for result in (whole, train.run(again)))
    assert [name for name in first if not torch.equal(first[name], second[name])] == []


def test_a_resume_within_an_epoch_repeats_it_on_the_schedule(tmp_path: Path, averaged: tuple[dict, dict]) -> None:
    spec, _ = averaged
    spec = {**spec, "results_dir": str(tmp_path / "a")}
    spec["train"] = {**spec["train"], "num_epochs": 2, "checkpoint_interval": 1, "checkpoint_interval_unit": "step"}
    within = next(c["path"] for c in train.run(spec)["checkpoints"] if c["step"] == 4)  # of 3 steps an epoch
    again = {**spec, "results_dir": str(tmp_path / "b")}
    again["train"] = {**spec["train"], "resume_training_checkpoint_path": within}
    train.run(again)
    assert rows(tmp_path / "b")[-1]["lr"] == rows(tmp_path / "a")[-1]["lr"]
    assert len(rows(tmp_path / "b")) == 2


def test_the_average_is_validated_saved_and_evaluated(tmp_path: Path, averaged: tuple[dict, dict]) -> None:
    spec, result = averaged
    content = load(result["artifacts"]["latest"])
    assert any(not torch.equal(content["state_dict"][name], content[RAW][name]) for name in content[RAW])
    statistics = [name for name in content[RAW] if name.endswith("running_mean")]
    assert any(not torch.equal(content["state_dict"][name], content[RAW][name]) for name in statistics)
    predictor = predict.load(result["artifacts"]["latest"], config.Model(), config.Dataset())
    data, labels = sequences(3, seed=2)
    logits = torch.from_numpy(predict.run_over(predictor, data, 4))
    loss = functional.cross_entropy(logits, torch.from_numpy(labels)).item()
    assert loss == pytest.approx(result["metrics"]["last_val_loss"], rel=1e-4)
    val = spec["dataset"]["val_dataset"]
    told = {"model": spec["model"], "dataset": spec["dataset"], "results_dir": str(tmp_path)}
    told["evaluate"] = {"checkpoint": result["artifacts"]["latest"], "test_dataset": val}
    assert evaluate.run(told)["metrics"]["accuracy"] == pytest.approx(100 * result["metrics"]["last_val_acc"])


def test_the_average_follows_its_formula() -> None:
    network = nn.BatchNorm1d(2)
    average = Average(network, 0.75)
    expected = network.weight.detach().clone()
    for step in range(1, 6):
        with torch.no_grad():
            network.weight += step
        average.update(step)
        share = min(0.75, (1 + step) / (10 + step))
        expected = share * expected + (1 - share) * network.weight.detach()
    torch.testing.assert_close(average.state["weight"], expected)
    raw = {name: value.clone() for name, value in network.state_dict().items()}
    average.swap()
    torch.testing.assert_close(network.weight.detach(), expected)
    average.swap()
    assert all(torch.equal(value, raw[name]) for name, value in network.state_dict().items())


def test_an_average_is_resumed_only_by_one_that_averages(tmp_path: Path, averaged: tuple[dict, dict]) -> None:
    spec, whole = averaged
    other = {**spec, "results_dir": str(tmp_path)}
    changed = {"ema_decay": 0.0, "resume_training_checkpoint_path": whole["checkpoints"][0]["path"]}
    optim = {**spec["train"]["optim"], "lr_scheduler": "Cosine", "decay_norms": True}
    with pytest.raises(errors.CheckpointError) as caught:
        train.run({**other, "train": {**spec["train"], **changed, "optim": optim}})
    for words in ("holds averaged weights, train.ema_decay is 0", "schedule is OneCycle", "decay_norms was False"):
        assert words in str(caught.value)


def test_one_cycle_rises_and_falls_by_the_step() -> None:
    optim = Optim(lr=0.2, min_lr=0.002, lr_scheduler="OneCycle", warmup_epochs=1)
    rates = [0.2 * cosine_factor(turn, optim, 5, 4) for turn in range(20)]
    assert rates[:5] == pytest.approx([0.04, 0.08, 0.12, 0.16, 0.2])
    assert rates[12] == pytest.approx(0.002 + 0.198 * (1 + math.cos(math.pi * 8 / 15)) / 2)
    assert rates[4:] == sorted(rates[4:], reverse=True)
    assert rates[-1] == pytest.approx(0.002)
    by_share = Optim(lr=0.2, min_lr=0.002, lr_scheduler="OneCycle", warmup_share=0.2)
    assert [0.2 * cosine_factor(turn, by_share, 5, 4) for turn in range(20)] == pytest.approx(rates)
    schedule = build_scheduler(torch.optim.SGD([torch.zeros(1)], lr=0.2), optim, 5, 4)
    assert schedule.get_last_lr() == pytest.approx([rates[0]])


def test_one_cycle_is_stepped_by_the_step(averaged: tuple[dict, dict]) -> None:
    spec, _ = averaged
    optim = Optim(**spec["train"]["optim"])
    wanted = [0.01 * cosine_factor(3 * epoch, optim, 4, 3) for epoch in range(4)]
    assert [float(row["lr"]) for row in rows(Path(spec["results_dir"]))] == pytest.approx(wanted)


def test_norms_and_biases_can_go_without_decay() -> None:
    network = nn.Sequential(nn.Conv2d(2, 3, 1), nn.BatchNorm2d(3))
    groups = [{"params": list(network.parameters()), "lr": 0.5}]
    optimizer = build_optimizer(without_decay_of_norms(groups), Optim(weight_decay=0.02, optimizer_type="torch.optim.AdamW"))
    decays = {id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    assert [decays[id(p)] for p in network.parameters()] == [0.02, 0, 0, 0]
    assert {group["lr"] for group in optimizer.param_groups} == {0.5}


def test_early_stopping_ends_with_its_reason(tmp_path: Path) -> None:
    """What is learned is wrong for a validation set with other labels; so its loss rises, and the training ends."""
    spec = tiny_spec(tmp_path, num_epochs=40, early_stopping=2, checkpoint_interval=100, validation_interval=2)
    spec["train"]["optim"] = {"lr": 0.05}
    with open(spec["dataset"]["val_dataset"]["label_path"], "wb") as file:
        pickle.dump((["a", "b", "c"], [1, 2, 0]), file)
    result = train.run(spec)
    validated = [row["epoch"] for row in rows(tmp_path / "out") if row["val_loss"]]
    first = result["metrics"]["best_epoch"]
    assert result["metrics"]["stopped_early"] == int(validated[-1]) == first + 4
    assert Path(result["artifacts"]["latest"]).resolve().name.startswith(f"model_epoch_{first + 4:03d}")
    told = [line["message"] for line in status_lines(tmp_path / "out" / "train") if "Early stopping" in line["message"]]
    assert len(told) == 1
    assert f"in epoch {first + 4}: 2 validations without a lower val_loss" in told[0]
    spec["train"] |= {"resume_training_checkpoint_path": result["artifacts"]["latest"]}
    spec["results_dir"] = str(tmp_path / "again")
    assert train.run(spec)["metrics"]["stopped_early"] == first + 6  # the next validation is one too many


def test_a_training_that_improves_is_not_stopped(tmp_path: Path) -> None:
    spec = tiny_spec(tmp_path, num_epochs=3, early_stopping=3)
    assert "stopped_early" not in train.run(spec)["metrics"]


def test_waiting_counts_validations_after_the_lowest() -> None:
    def told(*values: float | None) -> int:
        return waiting([{"val_loss": value} for value in values])[0]

    assert told() == told(None) == told(3.0) == told(3.0, 2.0, None) == 0
    assert told(1.0, 2.0, None, 1.5) == 2
    assert told(2.0, 2.0) == 1


def classifier(weights: list[float] | None = None, **settings: float) -> PoseClassifier:
    chosen = config.Train(**settings)
    return PoseClassifier(
        nn.Linear(1, 3),
        chosen,
        seed=0,
        description={},
        augmentation=config.Augmentation(enabled=True, mixup=1.0),
        class_weights=None if weights is None else np.array(weights, np.float32),
    )


def test_the_loss_of_a_mixed_weighted_smoothed_batch() -> None:
    torch.manual_seed(0)
    logits, labels, others = torch.randn(4, 3), torch.tensor([0, 1, 2, 2]), torch.tensor([1, 1, 0, 2])
    share, weights, smoothing = torch.tensor([0.9, 0.5, 0.2, 1.0]), [0.5, 1.0, 2.0], 0.1
    found = classifier(weights, label_smoothing=smoothing)._loss(logits, Mixed(logits, labels, others, share))
    expected = 0.0
    for row, label, other, part in zip(logits.log_softmax(dim=1), labels, others, share, strict=True):
        for one, count in ((label, part), (other, 1 - part)):
            target = torch.full((3,), smoothing / 3)
            target[one] += 1 - smoothing
            expected += float(count * weights[int(one)] * -(target * row).sum()) / 4
    assert found.item() == pytest.approx(expected, rel=1e-5)


def test_smoothing_is_of_the_training_alone(tmp_path: Path) -> None:
    frozen = {"lr": 0.0, "weight_decay": 0.0}
    plain, smooth = (
        train.run(tiny_spec(tmp_path, f"s{value}", num_epochs=1, label_smoothing=value, optim=frozen))["metrics"]
        for value in (0.0, 0.4)
    )
    assert plain["train_loss"] != smooth["train_loss"]
    assert plain["val_loss"] == smooth["val_loss"]


def test_streams_are_fused_by_what_validates(tmp_path: Path) -> None:
    spec = tiny_spec(tmp_path, num_epochs=2, ema_decay=0.5, calibrate=True)
    spec["dataset"]["streams"] = ["joint", "bone"]
    result = train.run(spec)
    streams = result["metrics"]["streams"]
    assert list(streams) == ["joint", "bone"]
    assert sum(stream["weight"] for stream in streams.values()) == pytest.approx(1)
    content = load(result["artifacts"]["checkpoint"])
    for part in ("state_dict", RAW):
        assert content[part]["model.fusion"].tolist() == pytest.approx([s["weight"] for s in streams.values()])
    _, network = fused_of(result["artifacts"]["checkpoint"])
    data, labels = sequences(3, seed=2)
    with torch.no_grad():
        scores = network.scores(torch.from_numpy(data)).numpy()
    assert choose_weights(scores, labels) == pytest.approx([s["weight"] for s in streams.values()], abs=1e-4)
    alone = [functional.cross_entropy(torch.from_numpy(one), torch.from_numpy(labels)).item() for one in scores]
    assert alone == pytest.approx([s["val_loss"] for s in streams.values()], rel=1e-4)
    logits = network.fuse(torch.from_numpy(scores))
    loss = functional.cross_entropy(logits, torch.from_numpy(labels)).item()
    assert loss == pytest.approx(result["metrics"]["val_loss"], rel=1e-4)
    about = content["pose_classification"]
    assert about["temperature"] == pytest.approx(calibration.fit_temperature(logits.numpy(), labels), rel=1e-3)


def fused_of(path: str) -> tuple[dict, nn.Module]:
    from stgcn.network import build

    content = load(path)
    network = build(content["pose_classification"]).eval()
    network.load_state_dict({name.removeprefix("model."): value for name, value in content["state_dict"].items()})
    return content, network


def test_each_stream_learns_as_if_it_were_alone() -> None:
    from stgcn.fusion import Fused

    torch.manual_seed(1)
    networks = {name: nn.Sequential(nn.Flatten(), nn.Linear(6, 3)) for name in ("joint", "bone")}
    fused = classifier()
    fused.model = Fused(networks)
    fused.mixing = None
    x, y = torch.randn(5, 6), torch.tensor([0, 1, 2, 0, 1])
    scores = fused.model.scores(x)
    torch.stack([fused._loss(one, Mixed(x, y, y, torch.ones(()))) for one in scores]).sum().backward()
    for network in networks.values():
        learned = network[1].weight.grad.clone()
        network.zero_grad()
        functional.cross_entropy(network(x), y).backward()
        torch.testing.assert_close(network[1].weight.grad, learned)


def test_a_checkpoint_carries_the_calibration_of_its_own_epoch(tmp_path: Path) -> None:
    spec = tiny_spec(tmp_path, num_epochs=7, calibrate=True, validation_interval=3, optim={"lr": 0.1})
    result = train.run(spec)
    about = {c["epoch"]: load(c["path"])["pose_classification"] for c in result["checkpoints"]}
    assert [epoch for epoch in range(7) if {"temperature", "unknown_threshold"} <= about[epoch].keys()] == [2, 5, 6]
    assert about[5]["temperature"] != about[6]["temperature"]


def spec_of(**changes: object) -> config.TrainSpec:
    """A spec with nested changes given by their dotted keys, dots written as two underscores."""
    plain: dict = {"model": {"graph_layout": "coco"}}
    for key, value in changes.items():
        *groups, name = key.split("__")
        inner = plain
        for group in groups:
            inner = inner.setdefault(group, {})
        inner[name] = value
    return config.from_dict(config.TrainSpec, plain)


ON = {"dataset__augmentation__enabled": True}
ONE_CYCLE = {"train__optim__lr_scheduler": "OneCycle"}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({**ON, "dataset__augmentation__rotation": 0.0, "dataset__augmentation__scale": 0.0}, ["every change is switched off"]),
        ({**ON, "dataset__augmentation__mixup": 0.5, "dataset__batch_size": 1}, ["mixup", "batch_size is 1"]),
        (
            {**ON, "model__input_channels": 1, "dataset__augmentation__scale": 0.0},
            ["augmentation.rotation is 15", "needs two coordinates", "there is 1"],
        ),
        (
            {**ON, "dataset__augmentation__shift": 0.1, "dataset__preparation__center": "frame"},
            ["augmentation.shift", "preparation.center=frame"],
        ),
        ({**ONE_CYCLE, "train__optim__min_lr": 0.5}, ["min_lr is 0.5", "above train.optim.lr, which is 0.1"]),
        ({**ONE_CYCLE, "train__optim__warmup_epochs": 2, "train__optim__warmup_share": 0.1}, ["both say how long"]),
        ({**ONE_CYCLE, "train__optim__warmup_epochs": 10}, ["warmup_epochs is 10", "num_epochs 10"]),
    ],
)
def test_contradictions_are_said_before_the_training(changes: dict, words: list[str]) -> None:
    with pytest.raises(errors.SpecError) as caught:
        train.check_spec(spec_of(**changes, dataset__num_classes=1, dataset__label_map={"a": 0}))
    assert len(caught.value.problems) == 1
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_a_mirror_needs_pairs(tmp_path: Path) -> None:
    layout = tmp_path / "chain.yaml"
    layout.write_text("joints: [a, b, c]\nedges: [[0, 1], [1, 2]]\ncenter: a\n")
    found = consistency.problems(spec_of(**ON, dataset__augmentation__mirror=0.5, model__graph_layout=str(layout)))
    assert len(found) == 1
    assert "names no pairs" in str(found[0])
    assert consistency.problems(spec_of(**ON, dataset__augmentation__mirror=0.5)) == []
    assert consistency.problems(spec_of(**ON, dataset__augmentation__mirror=-1.0)) == []
    (found,) = consistency.problems(spec_of(**ON, dataset__augmentation__mirror=-0.5))
    assert "mirror is -0.5; allowed" in str(found)


def test_all_contradictions_at_once() -> None:
    changes = {**ON, **ONE_CYCLE, "train__optim__min_lr": 0.5, "dataset__augmentation__mixup": 0.5, "dataset__batch_size": 1}
    assert len(consistency.problems(spec_of(**changes))) == 2


def test_tao_settings_are_never_a_contradiction() -> None:
    plain = spec_of(train__optim__patience=5, train__optim__lr_steps=[30], train__optim__lr=1e-5)
    assert consistency.problems(plain) == unheard.notes(plain) == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"dataset__augmentation__mirror": 0.5}, "enabled is off, so these have no effect: mirror=0.5"),
        ({"train__optim__warmup_share": 0.1}, "lr_scheduler is MultiStep, so these have no effect: warmup_share=0.1"),
        ({**ONE_CYCLE, "train__optim__patience": 5}, "lr_scheduler is OneCycle, so these have no effect: patience=5"),
        ({"train__early_stopping": 9}, "has only 10 validations: it will not stop early"),
    ],
)
def test_settings_without_effect_are_said(changes: dict, words: str) -> None:
    found = unheard.notes(spec_of(**changes))
    assert len(found) == 1
    assert words in found[0]
    assert unheard.notes(spec_of(train__early_stopping=8)) == []


def test_processes_agree_on_what_learns() -> None:
    assert [fit.strategy(1, 3), fit.strategy(2, 0), fit.strategy(2, 3)] == [
        "auto",
        "ddp_spawn",
        "ddp_spawn_find_unused_parameters_true",
    ]
