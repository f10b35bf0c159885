"""ST-GCN++ and CTR-GCN against their authors' formulas, names and published sizes; all networks in width and depth."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from trainer_cases import KINDS, described, lively

from stgcn import config, cost, network
from stgcn.ctrgcn import CTRGCN
from stgcn.errors import SpecError
from stgcn.graph import LAYOUTS, adjacency, from_plain, parents, rooted
from stgcn.model import STGCN
from stgcn.sepgcn import SepGCN
from stgcn.stages import plan
from stgcn.stgcnpp import STGCNpp

NORM = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")


def norm(state: dict, name: str, value: Tensor) -> Tensor:
    mean, var, weight, bias = (state[f"{name}.{part}"] for part in ("running_mean", "running_var", "weight", "bias"))
    return functional.batch_norm(value, mean, var, weight, bias, training=False)


def conv(state: dict, name: str, value: Tensor, **kwargs: object) -> Tensor:
    return functional.conv2d(value, state[f"{name}.weight"], state[f"{name}.bias"], **kwargs)


def pooled(value: Tensor) -> Tensor:
    """(N, M, C, T, V) -> (N, C)."""
    return value.flatten(3).mean(dim=3).mean(dim=1)


def reference_pp(state: dict, x: Tensor, strides: list[int]) -> Tensor:
    """Logits of ST-GCN++ as its authors compute them, from a state dict."""
    n, c, t, v, m = x.shape
    y = norm(state, "data_bn", x.permute(0, 4, 3, 1, 2).reshape(n * m, v * c, t))
    y = y.view(n * m, v, c, t).permute(0, 2, 3, 1)
    for i, stride in enumerate(strides):
        p = f"gcn.{i}"
        graph = state[f"{p}.gcn.A"]
        out = conv(state, f"{p}.gcn.conv", y).view(n * m, len(graph), -1, y.shape[2], v)
        out = norm(state, f"{p}.gcn.bn", torch.einsum("nkctv,kvw->nctw", out, graph))
        around = y
        if f"{p}.gcn.down.0.weight" in state:
            around = norm(state, f"{p}.gcn.down.1", conv(state, f"{p}.gcn.down.0", y))
        out = functional.relu(out + around)
        views = []
        for b in range(5):
            q = f"{p}.tcn.branches.{b}"
            inner = functional.relu(norm(state, f"{q}.1", conv(state, f"{q}.0", out)))
            if b < 4:
                d = b + 1
                inner = conv(state, f"{q}.3.conv", inner, stride=(stride, 1), padding=(d, 0), dilation=(d, 1))
            else:
                inner = functional.max_pool2d(inner, (3, 1), (stride, 1), (1, 0))
            views.append(inner)
        views.append(conv(state, f"{p}.tcn.branches.5", out, stride=(stride, 1)))
        mixed = functional.relu(norm(state, f"{p}.tcn.transform.0", torch.cat(views, 1)))
        out = norm(state, f"{p}.tcn.bn", conv(state, f"{p}.tcn.transform.2", mixed))
        if f"{p}.residual.conv.weight" in state:
            out = out + norm(state, f"{p}.residual.bn", conv(state, f"{p}.residual.conv", y, stride=(stride, 1)))
        elif i:
            out = out + y
        y = functional.relu(out)
    return functional.linear(pooled(y.unflatten(0, (n, m))), state["fc_cls.weight"], state["fc_cls.bias"])


def reference_ctr(state: dict, x: Tensor, strides: list[int]) -> Tensor:
    """Logits of CTR-GCN as its authors compute them, from a state dict; every person has a norm of its own."""
    n, c, t, v, m = x.shape
    y = norm(state, "data_bn", x.permute(0, 4, 3, 1, 2).reshape(n, m * v * c, t))
    y = y.view(n, m, v, c, t).permute(0, 1, 3, 4, 2).reshape(n * m, c, t, v)
    for i, stride in enumerate(strides, start=1):
        p = f"l{i}"
        out = torch.zeros(())
        for k, graph in enumerate(state[f"{p}.gcn1.PA"]):
            q = f"{p}.gcn1.convs.{k}"
            here, there = conv(state, f"{q}.conv1", y).mean(-2), conv(state, f"{q}.conv2", y).mean(-2)
            pairs = conv(state, f"{q}.conv4", torch.tanh(here.unsqueeze(-1) - there.unsqueeze(-2)))
            refined = pairs * state[f"{p}.gcn1.alpha"] + graph
            out = out + torch.einsum("ncuv,nctv->nctu", refined, conv(state, f"{q}.conv3", y))
        around = y
        if f"{p}.gcn1.down.0.weight" in state:
            around = norm(state, f"{p}.gcn1.down.1", conv(state, f"{p}.gcn1.down.0", y))
        out = functional.relu(norm(state, f"{p}.gcn1.bn", out) + around)
        views = []
        for b in range(3):
            q = f"{p}.tcn1.branches.{b}"
            inner = functional.relu(norm(state, f"{q}.1", conv(state, f"{q}.0", out)))
            if b < 2:
                d = b + 1
                inner = conv(state, f"{q}.3.conv", inner, stride=(stride, 1), padding=(2 * d, 0), dilation=(d, 1))
                views.append(norm(state, f"{q}.3.bn", inner))
            else:
                views.append(norm(state, f"{q}.4", functional.max_pool2d(inner, (3, 1), (stride, 1), (1, 0))))
        q = f"{p}.tcn1.branches.3"
        views.append(norm(state, f"{q}.1", conv(state, f"{q}.0", out, stride=(stride, 1))))
        out = torch.cat(views, 1)
        if f"{p}.residual.conv.weight" in state:
            out = out + norm(state, f"{p}.residual.bn", conv(state, f"{p}.residual.conv", y, stride=(stride, 1)))
        elif i > 1:
            out = out + y
        y = functional.relu(out)
    return functional.linear(pooled(y.unflatten(0, (n, m))), state["fc.weight"], state["fc.bias"])


@pytest.mark.parametrize(("layout", "channels", "width", "stages"), [("ntu-rgb+d", 3, 20, (2, 1, 1)), ("coco", 2, 7, (1, 2))])
def test_stgcnpp_gives_what_its_authors_compute(layout: str, channels: int, width: int, stages: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    graph = torch.from_numpy(rooted(LAYOUTS[layout]))
    shape = (2, channels, 13, len(graph[0]), 2)
    built = lively(STGCNpp(graph, channels, 5, width=width, stages=stages), *shape)
    x = torch.randn(shape)
    expected = reference_pp(built.state_dict(), x, [stride for *_, stride in plan(channels, width, stages)])
    assert expected.std() > 1e-3
    torch.testing.assert_close(built(x), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("layout", "channels", "width", "stages"), [("ntu-rgb+d", 3, 24, (2, 1, 1)), ("coco", 2, 10, (1, 2))])
def test_ctrgcn_gives_what_its_authors_compute(layout: str, channels: int, width: int, stages: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    graph = torch.from_numpy(rooted(LAYOUTS[layout]))
    shape = (2, channels, 13, len(graph[0]), 2)
    built = lively(CTRGCN(graph, channels, 5, width=width, stages=stages, slots=2), *shape)
    x = torch.randn(shape)
    expected = reference_ctr(built.state_dict(), x, [stride for *_, stride in plan(channels, width, stages)])
    assert expected.std() > 1e-2
    torch.testing.assert_close(built(x), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("kind", "layout", "classes", "slots", "parameters"),
    [
        ("ST-GCN++", "ntu-rgb+d", 60, 1, 1_403_144),  # published: 1.4 M with 25 joints
        ("ST-GCN++", "coco", 60, 1, 1_393_016),  # published: 1.39 M with 17 joints
        ("CTR-GCN", "ntu-rgb+d", 120, 2, 1_462_092),  # published: 1.46 M, on 120 classes
        ("CTR-GCN", "ntu-rgb+d", 60, 1, 1_446_522),
        ("ST-GCN", "nvidia", 6, 1, 3_100_938),
    ],
)
def test_published_sizes(kind: str, layout: str, classes: int, slots: int, parameters: int) -> None:
    built = network.build(described({"model_type": kind, "graph_layout": layout}, classes=classes) | {"person_slots": slots})
    assert cost.parameters(built) == parameters
    found = network.sizes(built.state_dict())
    assert (found.network, found.classes, found.joints) == (kind, classes, LAYOUTS[layout].num_joints)
    assert (found.channels, found.partitions, found.width, found.stages, found.slots) == (3, 3, 64, (4, 3, 3), slots)


def test_work_of_a_sequence() -> None:
    """Published for ST-GCN++, 100 frames, two persons: 2.96 G with 25 joints and 1.95 G with 17, an addition not counted."""
    for layout, published in (("ntu-rgb+d", 2.96), ("coco", 1.95)):
        built = network.build(described({"model_type": "ST-GCN++", "graph_layout": layout}, classes=60))
        found = cost.gflop_per_sequence(built, (3, 100, LAYOUTS[layout].num_joints, 2))
        assert found / 2 == pytest.approx(published, rel=0.02)  # theirs has norms and biases too
        assert built.training


def test_work_follows_from_the_layers() -> None:
    layers = nn.Sequential(nn.Conv2d(3, 8, (3, 1), padding=(1, 0)), nn.Flatten(), nn.Linear(8 * 10 * 5, 4))
    assert cost.gflop_per_sequence(layers, (3, 10, 5)) == pytest.approx((2 * 8 * 9 * 50 + 2 * 400 * 4) / 1e9)


def names_of_pp() -> set[str]:
    """Names in a file of the authors of ST-GCN++, less backbone and head."""
    names = {f"data_bn.{part}" for part in NORM} | {"fc_cls.weight", "fc_cls.bias"}
    for i in range(10):
        block = f"gcn.{i}"
        convs = [f"{block}.gcn.conv", f"{block}.tcn.transform.2", f"{block}.tcn.branches.5"]
        norms = [f"{block}.gcn.bn", f"{block}.tcn.transform.0", f"{block}.tcn.bn"]
        for b in range(5):
            convs += [f"{block}.tcn.branches.{b}.0"] + ([f"{block}.tcn.branches.{b}.3.conv"] if b < 4 else [])
            norms.append(f"{block}.tcn.branches.{b}.1")
        if i in (0, 4, 7):
            convs.append(f"{block}.gcn.down.0")
            norms.append(f"{block}.gcn.down.1")
        if i in (4, 7):
            convs.append(f"{block}.residual.conv")
            norms.append(f"{block}.residual.bn")
        names |= {f"{block}.gcn.A", *(f"{c}.{p}" for c in convs for p in NORM[:2]), *(f"{n}.{p}" for n in norms for p in NORM)}
    return names


def names_of_ctr() -> set[str]:
    """Names in a file of the authors of CTR-GCN."""
    names = {f"data_bn.{part}" for part in NORM} | {"fc.weight", "fc.bias"}
    for i in range(1, 11):
        block = f"l{i}"
        convs = [f"{block}.gcn1.convs.{k}.conv{j}" for k in range(3) for j in range(1, 5)]
        norms = [f"{block}.gcn1.bn", f"{block}.tcn1.branches.2.4"]
        for b in range(4):
            convs.append(f"{block}.tcn1.branches.{b}.0")
            norms.append(f"{block}.tcn1.branches.{b}.1")
        for b in range(2):
            convs.append(f"{block}.tcn1.branches.{b}.3.conv")
            norms.append(f"{block}.tcn1.branches.{b}.3.bn")
        if i in (1, 5, 8):
            convs.append(f"{block}.gcn1.down.0")
            norms.append(f"{block}.gcn1.down.1")
        if i in (5, 8):
            convs.append(f"{block}.residual.conv")
            norms.append(f"{block}.residual.bn")
        names |= {f"{block}.gcn1.PA", f"{block}.gcn1.alpha"}
        names |= {*(f"{c}.{p}" for c in convs for p in NORM[:2]), *(f"{n}.{p}" for n in norms for p in NORM)}
    return names


def test_names_of_the_authors() -> None:
    graph = torch.from_numpy(rooted(LAYOUTS["ntu-rgb+d"]))
    assert set(STGCNpp(graph, 3, 60).state_dict()) == names_of_pp()
    assert set(CTRGCN(graph, 3, 60).state_dict()) == names_of_ctr()


def test_weights_start_as_in_the_sources() -> None:
    torch.manual_seed(0)
    graph = torch.from_numpy(rooted(LAYOUTS["ntu-rgb+d"]))
    pp, ctr = STGCNpp(graph, 3, 60), CTRGCN(graph, 3, 60)
    assert torch.equal(pp.gcn[3].gcn.A, graph)
    assert pp.fc_cls.weight.std().item() == pytest.approx(0.01, rel=0.1)
    assert not pp.fc_cls.bias.any()
    assert torch.equal(ctr.l4.gcn1.PA, graph)
    assert not ctr.l4.gcn1.alpha.any()
    assert (ctr.l4.gcn1.bn.weight == 1e-6).all()
    assert ctr.fc.weight.std().item() == pytest.approx((2 / 60) ** 0.5, rel=0.1)
    last = ctr.l9.tcn1.branches[0][3].conv
    assert last.weight.std().item() == pytest.approx((2 / (64 * 5)) ** 0.5, rel=0.1)
    assert not last.bias.any()
    norms = torch.cat([m.weight.flatten() for m in ctr.l9.tcn1.modules() if isinstance(m, nn.BatchNorm2d)])
    assert norms.std().item() == pytest.approx(0.02, rel=0.2)


def test_dropout_stands_where_the_sources_have_it() -> None:
    def rates(kind: str) -> list[float]:
        built = network.build(described({"model_type": kind, "dropout": 0.3, "width": 8}))
        return [m.p for m in built.modules() if isinstance(m, nn.Dropout)]

    assert rates("ST-GCN") == rates("ST-GCN++") == [0.0] + [0.3] * 9
    assert rates("CTR-GCN") == [0.3]
    assert rates("Sep-GCN") == [0.0] + [0.3] * 9


def test_the_learned_graph_starts_from_the_whole_way_to_the_centre() -> None:
    """A chain 0 - 1 - 2 - 3 with the centre at one end: ST-GCN knows the way from joint 2, the others from all."""
    plain = {"joints": ["a", "b", "c", "d"], "edges": [[0, 1], [1, 2], [3, 2]], "center": 0}
    chain, _ = from_plain(plain, "chain")
    assert chain is not None
    assert parents(chain) == [0, 0, 1, 2]
    itself, inward, outward = rooted(chain)
    assert (itself == torch.eye(4).numpy()).all()
    assert [tuple(i) for i in zip(*inward.nonzero(), strict=True)] == [(0, 1), (1, 2), (2, 3)]
    assert (outward == inward.T).all()
    assert adjacency(chain, "spatial")[2].astype(bool).sum() == 2  # beyond joint 1 all is equally far


@pytest.mark.parametrize("layout", LAYOUTS)
def test_graphs_of_all_layouts(layout: str) -> None:
    graph, own = rooted(LAYOUTS[layout]), LAYOUTS[layout]
    assert graph[1:].any(axis=0).sum() == 2 * len(own.edges)
    columns = graph.sum(axis=1)
    assert ((abs(columns - 1) < 1e-6) | (columns == 0)).all()
    way, joint = parents(own), max(range(own.num_joints), key=lambda j: j)
    for _ in own.joints:
        joint = way[joint]
    assert joint == own.center
    assert [j for j, parent in enumerate(way) if j == parent] == [own.center]
    bones = {frozenset(edge) for edge in own.edges}
    assert all(frozenset((j, parent)) in bones for j, parent in enumerate(way) if j != parent)


@pytest.mark.parametrize("kind", KINDS)
def test_width_and_stages(kind: str) -> None:
    built = network.build(described({"model_type": kind, "width": 16, "stages": (1, 2), "graph_strategy": "distance"}))
    found = network.sizes(built.state_dict())
    assert (found.width, found.stages, found.partitions) == (16, (1, 2), 0 if kind == "Sep-GCN" else 2)
    assert isinstance(built, {"ST-GCN": STGCN, "ST-GCN++": STGCNpp, "CTR-GCN": CTRGCN, "Sep-GCN": SepGCN}[kind])
    out = built(torch.randn(2, 3, 5, 17, 2))
    assert out.shape == (2, 3)
    out.square().sum().backward()
    without = {name for name, p in built.named_parameters() if p.grad is None}
    assert without == set()


def test_blocks_of_a_plan() -> None:
    assert plan(3) == [(3, 64, 1), *[(64, 64, 1)] * 3, (64, 128, 2), *[(128, 128, 1)] * 2, (128, 256, 2), *[(256, 256, 1)] * 2]
    assert plan(2, 8, (1, 2)) == [(2, 8, 1), (8, 16, 2), (16, 16, 1)]


@pytest.mark.parametrize(
    ("model", "dataset", "words"),
    [
        ({"model_type": "ST-GCN++", "width": 4}, {}, ["model.width is 4", "at least 6"]),
        ({"model_type": "Sep-GCN", "width": 12}, {}, ["model.width is 12", "model.model_type Sep-GCN", "multiple of 8"]),
        ({"stages": ()}, {}, ["model.stages is []"]),
        ({"stages": (2, 0)}, {}, ["model.stages is [2, 0]", "at least 1 block"]),
        ({"stages": (1,) * 9}, {}, ["1 to 8 stages"]),
        ({"width": 1024, "stages": (1,) * 8}, {}, ["131072 channels"]),
        ({"model_type": "CTR-GCN", "edge_importance_weighting": False}, {}, ["edge_importance_weighting", "no effect"]),
        ({}, {"streams": ()}, ["dataset.streams is []"]),
        ({}, {"streams": ("bone", "bone", "joint")}, ["names bone more than once"]),
        ({}, {"stream_fusion": "input"}, ["dataset.stream_fusion is input", "no effect on a single stream"]),
        (
            {"model_type": "ST-GCN++", "width": 5, "stages": (0,), "edge_importance_weighting": False},
            {"streams": ("bone", "bone"), "preparation": config.Preparation(min_confidence=0.5)},
            ["model.width", "model.stages", "edge_importance_weighting", "more than once", "min_confidence"],
        ),
    ],
)
def test_what_makes_no_network_is_said_all_at_once(model: dict, dataset: dict, words: list[str]) -> None:
    with pytest.raises(SpecError) as caught:
        described(model, dataset)
    assert [word for word in words if word not in str(caught.value)] == [], str(caught.value)
