"""mixup and cutmix: what a mixed batch consists of, and that labels count by what of them is in it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from stgcn.config import Augmentation
from stgcn.mixing import mix, mixes

COUNT, FRAMES = 6, 20


def batch(lengths: list[int] | None = None) -> tuple[torch.Tensor, torch.Tensor]:
    """Sequences whose every value is their class id plus 1, zero-padded at the end."""
    labels = torch.arange(COUNT)
    sequences = (labels + 1.0).view(-1, 1, 1, 1, 1).repeat(1, 3, FRAMES, 5, 2)
    for sequence, length in zip(sequences, lengths or [FRAMES] * COUNT, strict=True):
        sequence[:, length:] = 0
    return sequences, labels


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_asked_for_nothing_or_switched_off_nothing_is_mixed() -> None:
    assert not mixes(Augmentation(enabled=True))
    assert not mixes(Augmentation(mixup=0.5))
    assert mixes(Augmentation(enabled=True, cutmix=0.5))


def test_mixup_lies_between_two_sequences_by_their_share() -> None:
    sequences, labels = batch()
    shares = []
    for seed in range(20):
        mixed = mix(sequences, labels, Augmentation(enabled=True, mixup=1.0), rng(seed))
        expected = mixed.share * (mixed.labels + 1) + (1 - mixed.share) * (mixed.others + 1)
        torch.testing.assert_close(mixed.sequences, expected.view(-1, 1, 1, 1, 1).expand_as(sequences))
        assert sorted(mixed.others.tolist()) == labels.tolist()
        shares += mixed.share.tolist()
    assert np.mean(shares) == pytest.approx(0.5, abs=0.1)
    assert np.ptp(shares) > 0.8


def test_mixup_takes_a_joint_that_one_lacks_from_the_other() -> None:
    sequences, labels = batch()
    sequences[:, :, :, 2] = 0
    sequences[1, :, :, 2] = 7
    mixed = mix(sequences, labels, Augmentation(enabled=True, mixup=1.0), rng(1))
    whose = (mixed.others == 1) ^ (mixed.labels == 1)
    assert whose.any()
    assert (mixed.sequences[whose][:, :, :, 2] == 7).all()
    assert (mixed.sequences[~whose & (mixed.labels != 1)][:, :, :, 2] == 0).all()


def test_cutmix_replaces_one_span_and_never_padding() -> None:
    lengths = [20, 15, 10, 20, 5, 12]
    sequences, labels = batch(lengths)
    replaced = 0
    for seed in range(30):
        mixed = mix(sequences, labels, Augmentation(enabled=True, cutmix=1.0), rng(seed))
        for i, length in enumerate(lengths):
            values = mixed.sequences[i, 0, :, 0, 0]
            assert torch.equal(values != 0, torch.arange(FRAMES) < length)
            foreign = (values[:length] != labels[i] + 1).nonzero().flatten()
            if mixed.others[i] == labels[i]:
                continue
            assert mixed.share[i] == pytest.approx(1 - len(foreign) / length, abs=1e-6)
            assert len(foreign) <= lengths[mixed.others[i]]
            if len(foreign):
                assert foreign.tolist() == list(range(int(foreign[0]), int(foreign[-1]) + 1))
                assert (values[foreign] == mixed.others[i] + 1).all()
                replaced += 1
    assert replaced > 50


def test_both_take_turns_and_follow_from_the_generator() -> None:
    sequences, labels = batch()
    both = Augmentation(enabled=True, mixup=0.4, cutmix=0.4)
    kinds = {bool((mix(sequences, labels, both, rng(seed)).sequences % 1 == 0).all()) for seed in range(20)}
    assert kinds == {True, False}
    first, second = (mix(sequences, labels, both, rng(7)) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_an_empty_sequence_stays_a_sequence() -> None:
    sequences, labels = batch([0, 20, 0, 20, 20, 20])
    for kind in ({"mixup": 0.5}, {"cutmix": 0.5}):
        mixed = mix(sequences, labels, Augmentation(enabled=True, **kind), rng(3))
        assert torch.isfinite(mixed.sequences).all()
        assert ((mixed.share >= 0) & (mixed.share <= 1)).all()
