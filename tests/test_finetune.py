"""Fine-tuning: what is taken of a pretrained model with other classes and joints, what is frozen, how fast layers learn."""

from __future__ import annotations

import copy
import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from trainer_cases import FRAMES, LABEL_MAP, sequences, status_lines, train_spec, write_checkpoint

from stgcn import config, errors, finetune, network, train
from stgcn.description import KEY, NETWORKS, describe
from stgcn.graph import LAYOUTS, Layout

KINDS = tuple(NETWORKS)
STAGES = (2, 1, 1)
COCO = LAYOUTS["coco"]


def described(kind: str, *, layout: Layout = COCO, classes: dict[str, int] | None = None, **more: Any) -> dict[str, Any]:
    classes = classes or LABEL_MAP
    about = describe(
        config.Model(model_type=kind, graph_layout="coco", width=16, stages=STAGES),
        config.Dataset(num_classes=len(classes), label_map=classes),
        window=FRAMES,
        num_persons=1,
    )
    return {**about, "layout": layout.as_plain(), **more}


def head_of(made: nn.Module) -> str:
    """The last layer, which each network defines last."""
    return list(made.state_dict())[-1].rpartition(".")[0]


def built(about: dict[str, Any], seed: int) -> nn.Module:
    """A network of random weights and statistics."""
    torch.manual_seed(seed)
    made = network.build(about)
    with torch.no_grad():
        for name, tensor in made.state_dict().items():
            if name != "A" and tensor.is_floating_point():
                tensor.add_(torch.rand_like(tensor) * 0.2)
    return made.eval()


def taken(theirs: dict[str, Any], ours: dict[str, Any]) -> tuple[nn.Module, nn.Module, nn.Module, finetune.Taken]:
    """The pretrained network, the new one before and after, and what was taken."""
    old, new = built(theirs, 1), built(ours, 2)
    before = copy.deepcopy(new)
    found = finetune.take(new, old.state_dict(), theirs, ours)
    new.load_state_dict(found.tensors, strict=False)
    return old, before, new, found


def without(state: dict[str, Any], *parts: str) -> dict[str, Any]:
    return {name: value for name, value in state.items() if not any(part in name for part in parts)}


# --- what is taken ---


@pytest.mark.parametrize("kind", KINDS)
def test_all_is_taken_where_nothing_differs(kind: str) -> None:
    about = described(kind)
    old, _, new, found = taken(about, about)
    x = torch.from_numpy(sequences(3, seed=5)[0])
    torch.testing.assert_close(new(x), old(x))
    assert found.partly == found.skipped == []


@pytest.mark.parametrize("kind", KINDS)
def test_rows_of_the_last_layer_go_by_the_names_of_classes(kind: str) -> None:
    ours = {"fall": 0, "jump": 1, "still": 2, "run": 3}
    old, before, new, found = taken(described(kind), described(kind, classes=ours))
    head = [f"{head_of(new)}.weight", f"{head_of(new)}.bias"]
    for name in head:
        theirs, mine, fresh = old.state_dict()[name], new.state_dict()[name], before.state_dict()[name]
        assert torch.equal(mine[0], theirs[LABEL_MAP["fall"]])
        assert torch.equal(mine[2], theirs[LABEL_MAP["still"]])
        assert torch.equal(mine[[1, 3]], fresh[[1, 3]])
    assert found.partly == [f"{name}: rows of 2 of 4 classes (fall, still)" for name in head]
    assert not set(head) & set(found.whole)
    rest = without(old.state_dict(), *head)
    assert all(torch.equal(new.state_dict()[name], value) for name, value in rest.items())


@pytest.mark.parametrize(
    ("theirs", "ours", "whole", "said"),
    [
        ({"a": 0, "b": 1, "c": 2}, {"c": 0, "a": 1, "b": 2}, True, ""),  # the same in another order: no row is where it was
        ({"a": 0, "b": 1, "c": 2}, {"b": 0}, True, ""),
        ({"a": 0, "b": 1, "c": 2}, {"d": 0, "e": 1, "f": 2}, False, "it tells other classes apart"),
        ({"class_0": 0, "class_1": 1}, {"class_0": 0, "class_1": 1, "class_2": 2}, False, "it tells other classes apart"),
        ({"class_0": 0, "class_1": 1}, {"class_0": 0, "class_1": 1}, True, ""),
    ],
)
def test_class_names_decide_not_their_number(theirs: Any, ours: Any, whole: bool, said: str) -> None:
    old, before, new, found = taken(described("ST-GCN", classes=theirs), described("ST-GCN", classes=ours))
    bias = "fcn.bias"
    if whole:
        expected = torch.stack([old.state_dict()[bias][theirs[name]] for name in ours])
        assert torch.equal(new.state_dict()[bias], expected)
        assert bias in found.whole
    else:
        assert torch.equal(new.state_dict()[bias], before.state_dict()[bias])
        assert f"{bias}: {said}" in found.skipped


def permuted(layout: Layout, order: list[int]) -> Layout:
    """The same skeleton with its joints in another order; ``order`` names the old place of each."""
    place = {old: new for new, old in enumerate(order)}
    return Layout(
        "mine",
        tuple(layout.joints[i] for i in order),
        tuple((place[a], place[b]) for a, b in layout.edges),
        place[layout.center],
    )


@pytest.mark.parametrize(("kind", "slots"), [*((kind, 1) for kind in KINDS), ("CTR-GCN", 2)])
def test_the_same_skeleton_in_another_order_gives_the_same_answers(kind: str, slots: int) -> None:
    """What belongs to a joint goes by its name: data norm, edge importance, learned graphs."""
    order = np.random.default_rng(3).permutation(COCO.num_joints).tolist()
    more = {"person_slots": slots}
    old, before, new, found = taken(described(kind, **more), described(kind, layout=permuted(COCO, order), **more))
    x = torch.from_numpy(sequences(4, seed=5, persons=slots)[0])
    torch.testing.assert_close(new(x[:, :, :, order]), old(x), rtol=1e-4, atol=1e-5)
    assert not torch.allclose(before(x[:, :, :, order]), old(x), atol=1e-2)
    assert found.partly == found.skipped == []


@pytest.mark.parametrize("kind", KINDS)
def test_joints_of_another_skeleton(kind: str) -> None:
    """openpose has the joints of coco in another order, and a neck."""
    ours = LAYOUTS["openpose"]
    old, before, new, found = taken(described(kind), described(kind, layout=ours))
    shared = [(COCO.joints.index(joint), i) for i, joint in enumerate(ours.joints) if joint in COCO.joints]
    assert len(shared) > 10
    fresh = [i for i in range(ours.num_joints) if i not in {b for _, b in shared}]
    assert fresh
    for name, mine in new.state_dict().items():
        theirs, first = old.state_dict()[name], before.state_dict()[name]
        if name.startswith("data_bn") and mine.dim():
            per = mine.view(ours.num_joints, 3), theirs.view(COCO.num_joints, 3), first.view(ours.num_joints, 3)
            assert all(torch.equal(per[0][b], per[1][a]) for a, b in shared)
            assert all(torch.equal(per[0][i], per[2][i]) for i in fresh)
        elif mine.shape[-2:] == (18, 18) and name != "A":
            assert all(torch.equal(mine[..., d, b], theirs[..., c, a]) for a, b in shared for c, d in shared)
            assert torch.equal(mine[..., fresh, :], first[..., fresh, :])
        else:
            assert name == "A" or torch.equal(mine, theirs), name
    assert any("joints, those of the same name" in line for line in found.partly)
    assert not any(line.startswith("A") for line in found.skipped)


def test_joints_whose_names_have_nothing_in_common_stay_fresh() -> None:
    other = dataclasses.replace(COCO, name="mine", joints=tuple(f"marker{i}" for i in range(17)))
    _, before, new, found = taken(described("ST-GCN"), described("ST-GCN", layout=other))
    assert torch.equal(new.state_dict()["data_bn.weight"], before.state_dict()["data_bn.weight"])
    assert "data_bn.weight: its joints have other names" in found.skipped


def test_a_file_that_does_not_describe_itself_is_taken_by_shape() -> None:
    old, new = built(described("ST-GCN"), 1), built(described("ST-GCN", classes={"x": 0, "y": 1}), 2)
    found = finetune.take(new, {**old.state_dict(), "more": torch.ones(1)}, None, described("ST-GCN", classes={"x": 0, "y": 1}))
    assert found.skipped == [
        "fcn.weight: (3, 64, 1, 1) in the file, (2, 64, 1, 1) here",
        "fcn.bias: (3,) in the file, (2,) here",
        "more: unknown here",
    ]
    assert "A" not in found.tensors


# --- how fast layers learn ---


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("streams", [("joint",), ("joint", "bone")], ids=["plain", "fused"])
def test_depth_rises_from_the_input_to_the_last_layer(kind: str, streams: tuple[str, ...]) -> None:
    names = [name for name, _ in network.build(described(kind, streams=list(streams))).named_parameters()]
    head = head_of(network.build(described(kind)))
    depth = finetune.depths(names)
    assert set(depth.values()) == set(range(sum(STAGES) + 2))
    for name, found in depth.items():
        where = name.removeprefix("networks.joint.").removeprefix("networks.bone.")
        if where.startswith("data_bn"):
            assert found == 0
        elif where.startswith(head + "."):
            assert found == sum(STAGES) + 1
        else:
            number = next(int(part) for part in where.replace("l", "l.", 1).split(".") if part.isdigit())
            assert found == number + (kind != "CTR-GCN"), name


def test_rates_fall_by_block_for_what_was_brought_alone() -> None:
    made = network.build(described("ST-GCN++"))
    names = [name for name, _ in made.named_parameters()]
    brought = frozenset(name for name in names if "data_bn" not in name and "fc_cls" not in name)
    groups = finetune.Tuning(brought, 0, 0.5).groups(made, config.Optim(lr=0.8))
    assert [group["lr"] for group in groups] == [0.8, 0.4, 0.2, 0.1, 0.05], "the new, then blocks 4 to 1"
    assert sum(len(group["params"]) for group in groups) == len(names)
    full = {id(p) for p in groups[0]["params"]}
    assert {name for name, p in made.named_parameters() if id(p) in full} == set(names) - brought
    alike = finetune.Tuning(brought, 1, 1.0).groups(made, config.Optim())
    assert [list(map(id, group["params"])) for group in alike] == [list(map(id, made.parameters()))]


# --- in a training ---


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of the same joints and of two classes, one of which is known here."""
    folder = tmp_path_factory.mktemp("pretrained")
    spec = train_spec(folder / "data", folder, num_epochs=1)
    spec["model"] |= {"width": 8, "stages": [1, 1]}
    spec["dataset"]["label_map"] = {"still": 0, "kick": 1, "punch": 2}
    return Path(train.run(spec)["artifacts"]["checkpoint"])


def fine_tuning(folder: Path, pretrained: Path, **settings: Any) -> dict[str, Any]:
    spec = train_spec(folder / "data", folder / "results", **settings)
    spec["model"] |= {"width": 8, "stages": [1, 1], "pretrained_model_path": str(pretrained), "dropout": 0.0}
    return spec


def weights(path: str | Path) -> dict[str, torch.Tensor]:
    state = torch.load(path, weights_only=True)["state_dict"]
    return {name.removeprefix("model."): value for name, value in state.items()}


def test_only_what_is_new_learns_while_the_rest_is_frozen(tmp_path: Path, pretrained: Path) -> None:
    result = train.run(fine_tuning(tmp_path, pretrained, num_epochs=3, freeze_epochs=2))
    first = weights(pretrained)
    after = {c["epoch"]: weights(c["path"]) for c in result["checkpoints"]}
    head = {"fcn.weight", "fcn.bias"}
    for name, value in after[1].items():
        assert torch.equal(value, first[name]) is (name not in head), name  # statistics of the norms too
    changed = {name for name, value in after[2].items() if not torch.equal(value, after[1][name])}
    assert {"data_bn.running_mean", "st_gcn_networks.0.gcn.conv.weight", "fcn.weight"} <= changed
    assert result["metrics"]["pretrained"]["partly"] == [
        f"{name}: rows of 1 of 3 classes (still)" for name in sorted(head)[::-1]
    ]
    said = [line["message"] for line in status_lines(tmp_path / "results" / "train")]
    assert any("in part: fcn.weight: rows of 1 of 3 classes (still)" in line for line in said)
    assert not any("left out" in line for line in said if "Pretrained" in line)


@pytest.mark.parametrize(
    "optim",
    [{"lr": 0.01}, {"lr": 0.001, "optimizer_type": "torch.optim.AdamW", "lr_scheduler": "OneCycle", "decay_norms": False}],
    ids=["SGD", "OneCycle"],
)
def test_a_fine_tuning_is_resumed_exactly(tmp_path: Path, pretrained: Path, optim: dict[str, Any]) -> None:
    """Whether the frozen epochs are over or not; the pretrained file is not needed any more."""
    spec = fine_tuning(tmp_path, pretrained, num_epochs=4, freeze_epochs=2, layer_decay=0.5, optim=optim)
    whole = train.run(spec)
    last = weights(whole["checkpoints"][-1]["path"])
    for epoch in (0, 2):
        other = copy.deepcopy(spec) | {"results_dir": str(tmp_path / f"from{epoch}")}
        other["model"]["pretrained_model_path"] = ""
        other["train"]["resume_training_checkpoint_path"] = whole["checkpoints"][epoch]["path"]
        again = weights(train.run(other)["checkpoints"][-1]["path"])
        assert [name for name, value in last.items() if not torch.equal(value, again[name])] == []


def test_slow_layers_move_less(tmp_path: Path, pretrained: Path) -> None:
    first = weights(pretrained)

    def moved(decay: float) -> dict[str, float]:
        spec = fine_tuning(tmp_path, pretrained, num_epochs=1, layer_decay=decay)
        spec["results_dir"] = str(tmp_path / str(decay))
        last = weights(train.run(spec)["checkpoints"][-1]["path"])
        names = ("st_gcn_networks.0.gcn.conv.weight", "st_gcn_networks.1.gcn.conv.weight")
        return {name: float((last[name] - first[name]).norm()) for name in names}

    plain, slow = moved(1.0), moved(0.1)
    ratios = [slow[name] / plain[name] for name in plain]
    assert ratios[0] < 0.05, "two steps below the last layer: a hundredth of the rate"
    assert 0.05 < ratios[1] < 0.3, "one step below: a tenth"


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"freeze_epochs": 3}, "train.freeze_epochs is 3; it needs model.pretrained_model_path"),
        ({"layer_decay": 0.9}, "train.layer_decay is 0.9; it needs"),
        ({"freeze_epochs": 1, "num_gpus": 2}, "it needs a single one"),
    ],
)
def test_settings_without_effect_are_refused(tmp_path: Path, settings: dict[str, Any], says: str) -> None:
    with pytest.raises(errors.SpecError) as caught:
        train.run(train_spec(tmp_path / "data", tmp_path, **settings))
    assert says in "\n".join(caught.value.problems)


def test_nothing_left_to_learn(tmp_path: Path) -> None:
    spec = train_spec(tmp_path / "data", tmp_path, num_epochs=1, freeze_epochs=1)
    spec["model"]["pretrained_model_path"] = str(write_checkpoint(tmp_path / "same.pth", small=True))
    with pytest.raises(errors.SpecError, match="brought every tensor"):
        train.run(spec)


def test_another_kind_of_network_is_refused(tmp_path: Path, pretrained: Path) -> None:
    spec = fine_tuning(tmp_path, pretrained, num_epochs=1)
    spec["model"]["model_type"] = "CTR-GCN"
    with pytest.raises(errors.CheckpointError, match=r"is of ST-GCN, model\.model_type is CTR-GCN"):
        train.run(spec)
    spec["model"] |= {"model_type": "Sep-GCN", "width": 16, "stages": [1, 2]}
    with pytest.raises(errors.CheckpointError) as caught:
        train.run(spec)
    advice = str(caught.value).partition("To start from it, set ")[2]
    assert advice == "model.model_type=ST-GCN, model.width=8, model.stages=[1,1]"
    spec["model"] |= {"model_type": "ST-GCN", "width": 16, "stages": [1, 1]}
    with pytest.raises(errors.CheckpointError, match=r"no layer fits: .*, set model\.width=8$"):
        train.run(spec)  # of which the norm of the input alone would fit


def test_a_resume_keeps_to_the_fine_tuning_it_began_as(tmp_path: Path, pretrained: Path) -> None:
    spec = fine_tuning(tmp_path, pretrained, num_epochs=1, layer_decay=0.5)
    latest = train.run(spec)["artifacts"]["latest"]
    spec["train"] |= {"num_epochs": 2, "layer_decay": 0.9, "resume_training_checkpoint_path": latest}
    with pytest.raises(errors.CheckpointError, match=r"layer_decay was 0\.5 and is 0\.9"):
        train.run(spec)
    spec["train"] |= {"layer_decay": 1.0, "freeze_epochs": 2, "resume_training_checkpoint_path": str(pretrained)}
    spec["dataset"]["label_map"] = {"still": 0, "kick": 1, "punch": 2}
    with pytest.raises(errors.CheckpointError, match="freeze_epochs is 2, but it began from no pretrained model"):
        train.run(spec)
    assert finetune.KEY in torch.load(latest, weights_only=True)[KEY]
