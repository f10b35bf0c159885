"""Masked padding: a padded sequence is answered, learned from and counted as the same sequence without its padding."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn
from trainer_cases import KINDS, described, lively

from stgcn import masking, network
from stgcn.streams import Inputs

FOUR = {"streams": ("joint", "bone", "joint_motion", "bone_motion")}
SMALL = {"width": 8, "stages": (2, 1, 1), "padding": "masked", "dropout": 0.0}


def build(kind: str, **dataset: object) -> nn.Module:
    torch.manual_seed(2)
    return lively(network.build(described({"model_type": kind, **SMALL}, dataset)), 4, 3, 12, 17, 2)


def padded(seed: int = 0) -> Tensor:
    """Six sequences (N, 3, 20, 17, 2): whole, cut at 13 and at 7, empty slots 1 and 0, a person who leaves, and nothing at all.

    Within them some joints and a frame are missing, which is no padding.
    """
    x = torch.randn(6, 3, 20, 17, 2, generator=torch.Generator().manual_seed(seed))
    x[0, :, 4:6, 3] = 0
    x[1, :, 13:] = 0
    x[1, :, 5] = 0
    x[1, ..., 1] = 0
    x[2, :, 7:] = 0
    x[3, ..., 0] = 0
    x[4, :, 9:, :, 1] = 0
    x[5] = 0
    return x


def trimmed(x: Tensor) -> list[Tensor]:
    """Each sequence (1, C, T, V, M) without its padding; of an empty one, a frame of a person."""
    found = []
    for sequence in x:
        ends = [t + 1 for t in range(x.shape[2]) if sequence[:, t].any()]
        slots = [m for m in range(x.shape[4]) if sequence[..., m].any()]
        found.append(sequence[None, :, : max(ends, default=1)][..., slots or [0]])
    return found


CASES = [*((kind, {}) for kind in KINDS), ("ST-GCN++", FOUR), ("CTR-GCN", {**FOUR, "stream_fusion": "input"})]


@pytest.mark.parametrize(("kind", "dataset"), CASES)
def test_answers_are_those_of_the_trimmed_sequence(kind: str, dataset: dict) -> None:
    built, x = build(kind, **dataset), padded()
    with torch.no_grad():
        found, expected = built(x), torch.cat([built(sequence) for sequence in trimmed(x)])
    assert expected.std(dim=0).min() > 1e-3
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_counted_padding_gives_other_answers(kind: str) -> None:
    counted = network.build(described({"model_type": kind, **SMALL, "padding": "counted"})).eval()
    counted.load_state_dict(build(kind).state_dict())
    x = padded()
    with torch.no_grad():
        found, expected = counted(x), torch.cat([counted(sequence) for sequence in trimmed(x)])
    torch.testing.assert_close(found[0], expected[0])
    assert all((found[i] - expected[i]).abs().max() > 1e-3 for i in range(1, 4))


@pytest.mark.parametrize("kind", KINDS)
def test_an_exported_graph_masks_without_looking(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a graph of tensor operations alone does, where no size follows from a value, is the same."""
    built, x = build(kind), padded()
    with torch.no_grad():
        expected = built(x)
        monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
        rows, valid = Inputs(masked=True)(x)
        assert (rows.shape[0], rows.shape[3], valid.rows) == (12, 20, None)
        torch.testing.assert_close(built(x), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_statistics_and_gradients_are_those_of_the_valid_part(kind: str) -> None:
    """Sequences of one length and one person, alone and buried in padding, train a network alike."""
    alone, buried = build(kind).train(), build(kind).train()
    x = torch.randn(5, 3, 11, 17, 1, generator=torch.Generator().manual_seed(3))
    y = torch.zeros(5, 3, 19, 17, 3)
    for i in range(5):
        y[i, :, :11, :, i % 3] = x[i, ..., 0]
    y = torch.cat([y, torch.zeros(1, 3, 19, 17, 3)])
    y[5, :, :11, :, :] = torch.cat([x[0], torch.zeros_like(x[0]), x[1]], dim=-1)  # two persons in a sequence
    whole = torch.cat([x, x[:2]])
    results = []
    for built, batch in ((alone, whole), (buried, y)):
        out = built(batch)
        out = torch.cat([out[:5], out[5:7].mean(dim=0, keepdim=True)]) if built is alone else out
        (out * torch.arange(18.0).view(6, 3)).sum().backward()
        results.append((out, {n: p.grad for n, p in built.named_parameters()}, built.state_dict()))
    (out, gradients, state), (masked_out, masked_gradients, masked_state) = results
    torch.testing.assert_close(masked_out, out, rtol=1e-4, atol=1e-4)
    for name, value in state.items():
        torch.testing.assert_close(masked_state[name], value, rtol=1e-4, atol=1e-5, msg=name)
    for name, gradient in gradients.items():
        assert gradient is not None
        scale = gradient.abs().max().item() + 1e-3
        torch.testing.assert_close(masked_gradients[name], gradient, rtol=0, atol=2e-3 * scale + 2e-4, msg=name)


def test_ragged_batch_norm() -> None:
    """Mean and variance over valid frames of unequal number, and running statistics as the layer keeps them."""
    x = torch.randn(3, 4, 6, 5, requires_grad=True)
    frames = torch.arange(6)[None] < torch.tensor([6, 2, 4])[:, None]
    valid = masking.Valid(frames, torch.ones(3, 1, dtype=torch.bool), None)
    layer, plain = nn.BatchNorm2d(4), nn.BatchNorm2d(4)
    found = masking.through(layer, x, valid)
    inside = torch.cat([row[:, mask] for row, mask in zip(x, frames, strict=True)], dim=1)  # (C, 12, V)
    expected = plain(inside[None])[0].split([6, 2, 4], dim=1)
    for row, mask, part in zip(found, frames, expected, strict=True):
        torch.testing.assert_close(row[:, mask], part)
        assert not row[:, ~mask].any()
    torch.testing.assert_close(layer.state_dict(), plain.state_dict())


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_but_emptiness_gives_numbers(kind: str) -> None:
    built, nothing = build(kind), torch.zeros(2, 3, 9, 17, 2)
    with torch.no_grad():
        assert torch.isfinite(built(nothing)).all()
    built.train()
    out = built(nothing)
    out.sum().backward()
    assert torch.isfinite(out).all()
    assert all(torch.isfinite(p.grad).all() for p in built.parameters())
    built(nothing[:1, :, :1])  # a single value for every channel has no variance
    assert all(torch.isfinite(value).all() for value in built.state_dict().values())


def test_what_is_not_padded_goes_the_plain_way(monkeypatch: pytest.MonkeyPatch) -> None:
    built = build("ST-GCN++")
    x = torch.randn(3, 3, 8, 17, 2)
    assert Inputs(masked=True)(x)[1] is None
    one = x.clone()
    one[0, ..., 1] = 0
    rows, valid = Inputs(masked=True)(one)
    assert (rows.shape, valid.frames) == ((5, 17, 3, 8), None)  # the empty slot costs nothing

    def never(*_: object) -> None:
        raise AssertionError("masked where nothing is padded")

    monkeypatch.setattr(masking, "_through", never)
    counted = copy.deepcopy(built)
    counted.inputs.masked = False
    with torch.no_grad():
        assert torch.equal(built(x), counted(x))
        built(one)


def test_what_is_data() -> None:
    found = masking.find(padded())
    assert found[:, 0].sum(dim=1).tolist() == [20, 13, 7, 0, 20, 1]
    assert found[:, 1].sum(dim=1).tolist() == [20, 0, 7, 20, 20, 0]
