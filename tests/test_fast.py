"""The network as it is evaluated gives the answers of the textbook network, whatever the sequences are like."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from stgcn import fast, toomcook
from stgcn.fusion import Fused
from stgcn.graph import LAYOUTS, adjacency, parents
from stgcn.model import STGCN
from stgcn.streams import Inputs

CLASSES = 5


def network(layout: str = "coco", strategy: str = "spatial", *, seed: int = 0, channels: int = 3, **settings) -> STGCN:
    """A network whose weights and batch norm statistics are all other than where they start, in evaluation."""
    torch.manual_seed(seed)
    graph = torch.from_numpy(adjacency(LAYOUTS[layout], strategy))
    model = STGCN(graph, channels, CLASSES, **settings).eval()
    with torch.no_grad():
        for name, value in [*model.named_parameters(), *model.named_buffers()]:
            if value.is_floating_point() and name != "A":
                value.mul_(torch.empty_like(value).uniform_(0.7, 1.3))
                if name.endswith(("bias", "running_mean")):
                    value.add_(torch.empty_like(value).uniform_(-0.3, 0.3))
        model.fcn.weight.mul_(10)
    return model


def sequences(lengths: list[int], frames: int, *, joints: int, persons: int = 1, channels: int = 3, seed: int = 0) -> Tensor:
    """Sequences (N, C, T, V, M) of these lengths, with joints and whole frames missing here and there."""
    random = np.random.default_rng(seed)
    x = random.normal(size=(len(lengths), channels, frames, joints, persons)).astype(np.float32)
    x *= random.random((len(lengths), 1, frames, joints, persons)) > 0.1
    x *= random.random((len(lengths), 1, frames, 1, persons)) > 0.1
    for sequence, length in zip(x, lengths, strict=True):
        sequence[:, length:] = 0
        sequence[:, length - length // 3 :, :, 1:] = 0  # the others leave sooner
    return torch.from_numpy(x)


def agree(model: nn.Module, x: Tensor) -> None:
    with torch.inference_mode():
        expected = model(x)
        found = fast.arranged(model)(x)
    assert expected.abs().max() > 0.1
    torch.testing.assert_close(found, expected, rtol=2e-5, atol=1e-5)


@pytest.mark.parametrize("frames", [1, 2, 7, 30, 61])
@pytest.mark.parametrize("padding", ["counted", "masked"])
def test_lengths_of_all_kinds(frames, padding):
    model = network(inputs=Inputs(masked=padding == "masked"))
    lengths = sorted({0, 1, min(5, frames), frames // 2, max(0, frames - 3), frames})
    agree(model, sequences(lengths, frames, joints=17))


@pytest.mark.parametrize("padding", ["counted", "masked"])
def test_two_persons_and_an_empty_slot(padding):
    x = sequences([20, 11, 0, 20], 20, joints=17, persons=2)
    x[3, :, :, :, 1] = 0
    agree(network(inputs=Inputs(masked=padding == "masked")), x)


@pytest.mark.parametrize("layout", ["nvidia", "openpose", "ntu-rgb+d", "ntu_edge"])
def test_layouts(layout):
    joints = len(LAYOUTS[layout].joints)
    agree(network(layout), sequences([24, 9], 24, joints=joints))


@pytest.mark.parametrize("strategy", ["uniform", "distance"])
def test_partitions(strategy):
    agree(network(strategy=strategy, edge_importance_weighting=False), sequences([24, 9], 24, joints=17))


@pytest.mark.parametrize("streams", [("bone",), ("joint_motion",), ("joint", "bone", "bone_motion")])
@pytest.mark.parametrize("padding", ["counted", "masked"])
def test_streams(streams, padding):
    inputs = Inputs(streams, parents(LAYOUTS["coco"]), confidence=2, masked=padding == "masked")
    model = network(channels=3 * len(streams), inputs=inputs)
    agree(model, sequences([24, 9, 0, 1], 24, joints=17))


def test_sizes():
    agree(network(width=24, stages=(2, 1)), sequences([40, 22], 40, joints=17))
    agree(network(width=200, stages=(1,)), sequences([40, 22], 40, joints=17))


def test_fused_networks():
    parts = {s: network(seed=i, inputs=Inputs((s,), parents(LAYOUTS["coco"]))) for i, s in enumerate(("joint", "bone"))}
    model = Fused(parts).eval()
    model.fusion.copy_(torch.tensor([0.3, 0.7]))
    x = sequences([24, 9], 24, joints=17)
    agree(model, x)
    with torch.inference_mode():
        torch.testing.assert_close(fast.arranged(model).scores(x), model.scores(x), rtol=2e-5, atol=1e-5)


def test_the_network_itself_is_left_alone_and_later_weights_are_not_seen():
    model = network()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    arranged = fast.arranged(model)
    x = sequences([12], 12, joints=17)
    first = arranged(x)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    with torch.no_grad():
        model.fcn.weight.mul_(2)
    assert torch.equal(arranged(x), first)


def test_a_network_of_another_kind_is_evaluated_as_it_is():
    other = nn.Linear(2, 2)
    assert fast.arranged(other) is other


@settings(max_examples=15, deadline=None)
@given(
    lengths=st.lists(st.integers(0, 45), min_size=1, max_size=6),
    spare=st.integers(0, 30),
    persons=st.integers(1, 2),
    masked=st.booleans(),
    seed=st.integers(0, 100),
)
def test_any_mixture(lengths, spare, persons, masked, seed):
    model = network(width=16, stages=(2, 2, 1), seed=seed, inputs=Inputs(masked=masked))
    agree(model, sequences(lengths, max(1, *lengths) + spare, joints=17, persons=persons, seed=seed))


@pytest.mark.parametrize("tiles", [1, 4])
def test_fewer_products_give_the_same_convolution(tiles):
    torch.manual_seed(0)
    x, weight = torch.randn(9 * tiles + 9, 3, 16), torch.randn(24, 16, 9) / 12
    expected = nn.functional.conv1d(x[:-1].permute(1, 2, 0).double(), weight.double()).permute(2, 0, 1)
    found = toomcook.convolve(x, toomcook.kernel(weight))
    torch.testing.assert_close(found.double(), expected, rtol=0, atol=3e-5)


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_threads_give_one_answer_and_stay_as_many(threads):
    """Groups of sequences go through side by side, also within inference mode, and the number of threads is left alone."""
    before = torch.get_num_threads()
    model, x = network(), sequences([3, 20, 40, 60], 60, joints=17)
    arranged = fast.arranged(model)
    try:
        torch.set_num_threads(threads)
        agree(model, x)
        with torch.no_grad():
            found, again = arranged(x), arranged(x)
        assert torch.equal(found, again)
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)


def test_many_short_sequences_of_a_wide_network_share_the_threads_once():
    """Both the groups and the rows of a convolution would be shared out; a thread that waits within a pool waits for ever."""
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        agree(network(width=128, stages=[2]), sequences([40] * 16 + [12] * 16, 40, joints=17))
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("settings", [{}, {"width": 32, "stages": [1, 1]}])
def test_bf16_is_near_and_answers_the_same(settings):
    model, x = network(**settings), sequences([1, 20, 40, 60], 60, joints=17, persons=2)
    with torch.inference_mode():
        expected, found = model(x), fast.arranged(model, "bf16")(x)
    assert found.dtype == torch.float32
    assert not torch.equal(found, expected)
    assert (found - expected).abs().max() < 0.02 * expected.abs().max()
    assert torch.equal(found.argmax(dim=1), expected.argmax(dim=1))


def test_on_another_device_the_folded_network_is_taken() -> None:
    """The device that holds no numbers stands for a GPU: where the network lies, its arrangement lies, and it answers there."""
    network = STGCN(torch.from_numpy(adjacency(LAYOUTS["coco"], "spatial")), 3, 4, width=8, stages=(1, 1)).eval().to("meta")
    there = fast.arranged(network)
    assert {tensor.device.type for tensor in there.state_dict().values()} == {"meta"}
    assert not any(isinstance(part, nn.BatchNorm2d) for part in there.modules())
    answer = there(torch.zeros(5, 3, 12, 17, 2, device="meta"))
    assert (answer.shape, answer.device.type) == ((5, 4), "meta")


def test_other_networks_compute_in_bf16_too():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 4 * 17, 3)).eval()
    x = torch.randn(2, 3, 4, 17, 1)
    with torch.inference_mode():
        found, expected = fast.arranged(model, "bf16")(x), model(x)
    assert found.dtype == torch.float32
    assert not torch.equal(found, expected)
    torch.testing.assert_close(found, expected, rtol=0.05, atol=0.05)
