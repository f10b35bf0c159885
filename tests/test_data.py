"""Batches follow from (seed, epoch, index) alone, and nothing is dropped."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import trainer_cases

from stgcn import config, data
from stgcn.arrays import SkeletonSet
from stgcn.graph import LAYOUTS

AUGMENTED = config.Dataset(random_choose=True, random_move=True, window_size=9, batch_size=4, num_workers=2)


def make_set(count: int = 10) -> SkeletonSet:
    sequences, labels = trainer_cases.sequences(count)
    return SkeletonSet("train", "train.npy", sequences, [str(i) for i in range(count)], labels)


def epochs(settings: config.Dataset, numbers: list[int], seed: int = 5) -> list[list[torch.Tensor]]:
    """The batches of the given epochs, as Lightning asks for them."""
    module = data.SkeletonData(make_set(), make_set(4), settings, seed, first_epoch=numbers[0])
    loader = module.train_dataloader()
    batches = []
    for number in numbers:
        loader.sampler.set_epoch(number)
        batches.append([torch.cat([x.flatten(), y.float()]) for x, y in loader])
    return batches


def same(a: list[torch.Tensor], b: list[torch.Tensor]) -> bool:
    return len(a) == len(b) and all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


def test_worker_processes_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    here = epochs(AUGMENTED, [0, 1])
    monkeypatch.setattr(data, "WORTH_PROCESSES", 0)
    there = epochs(AUGMENTED, [0, 1])
    assert all(same(a, b) for a, b in zip(here, there, strict=True))


def test_epochs_differ_and_a_resume_does_not() -> None:
    first, second = epochs(AUGMENTED, [0, 1])
    assert not same(first, second)
    assert same(epochs(AUGMENTED, [1])[0], second)
    assert not same(epochs(AUGMENTED, [0], seed=6)[0], first)


@pytest.mark.parametrize(("count", "batch_size", "sizes"), [(10, 4, [4, 4, 2]), (3, 16, [3]), (9, 4, [4, 4, 1])])
def test_nothing_is_dropped(count: int, batch_size: int, sizes: list[int]) -> None:
    settings = config.Dataset(batch_size=batch_size)
    module = data.SkeletonData(make_set(count), make_set(count), settings, 0)
    for loader in (module.train_dataloader(), module.val_dataloader()):
        assert [len(labels) for _, labels in loader] == sizes
    seen = np.sort([key[1] for key in module.train_dataloader().sampler])
    assert seen.tolist() == list(range(count))


def test_replicas_share_an_epoch() -> None:
    parts = [[i for _, i, _ in data.EpochSampler(10, 0, replicas=3, rank=rank)] for rank in range(3)]
    assert [len(part) for part in parts] == [4, 4, 4]
    assert {i for part in parts for i in part} == set(range(10))


def test_validation_is_whole_and_in_order() -> None:
    module = data.SkeletonData(make_set(), make_set(5), AUGMENTED, 0)
    seen = torch.cat([x for x, _ in module.val_dataloader()])
    assert torch.equal(seen, torch.from_numpy(make_set(5).data))


@pytest.mark.parametrize(
    ("wanted", "nbytes", "expected"), [(0, 2**40, 0), (4, 2**20, 0), (4, 2**30, 4)], ids=["none", "small", "large"]
)
def test_processes_only_where_they_pay(wanted: int, nbytes: int, expected: int) -> None:
    assert data.worker_count(wanted, nbytes) == expected


CHANGED = config.Dataset(
    batch_size=4,
    preparation=config.Preparation(center="sequence", scale="body", window=10),
    augmentation=config.Augmentation(enabled=True, noise=0.01, temporal_crop=0.5, mirror=0.5),
    num_workers=2,
)


def keys(count: int, epoch: int = 0, **kwargs: object) -> list[tuple[int, int, int]]:
    return list(data.EpochSampler(count, 3, epoch=epoch, **kwargs))


def prepared_epoch(numbers: list[int], settings: config.Dataset = CHANGED, *, keep: bool = True) -> list[torch.Tensor]:
    """The sequences of the given epochs, and the validation set, with preparation and augmentation."""
    module = data.SkeletonData(make_set(), make_set(4), settings, 5, first_epoch=numbers[0], layout=LAYOUTS["coco"])
    if keep:
        module.setup("fit")
        assert (module.train.kept is None) == (data.KEPT_AT_MOST == 0)
    loader, found = module.train_dataloader(), []
    for number in numbers:
        loader.sampler.set_epoch(number)
        found += [x for x, _ in loader]
    return [*found, *(x for x, _ in module.val_dataloader())]


def test_an_epoch_without_new_settings_is_the_plain_permutation() -> None:
    order = np.random.default_rng([3, data.SHUFFLE, 7]).permutation(12)
    assert keys(12, 7) == [(7, int(i), 0) for i in order]


@pytest.mark.parametrize("draws", [0, 5, 10, 24, 37])
def test_repeats_are_even_and_numbered(draws: int) -> None:
    drawn = keys(10, draws=draws)
    assert len(drawn) == max(draws, 10)
    assert len(set(drawn)) == len(drawn)
    counts = np.bincount([i for _, i, _ in drawn], minlength=10)
    assert counts.max() - counts.min() <= 1
    for i in range(10):
        assert [draw for _, index, draw in drawn if index == i] == list(range(counts[i]))
    assert sorted(i for _, i, _ in drawn[:10]) == list(range(10))  # a round is complete before the next one starts


def test_repeated_draws_differ_and_a_resume_does_not() -> None:
    settings = config.Dataset(**{**CHANGED.__dict__, "repeat_to": 25})
    module = data.SkeletonData(make_set(), make_set(4), settings, 5, layout=LAYOUTS["coco"])
    first, again, other = (module.train[key][0] for key in ((0, 4, 0), (0, 4, 0), (0, 4, 1)))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    one, two = prepared_epoch([0, 1], settings), prepared_epoch([1], settings)
    assert [len(x) for x in two] == [4] * 6 + [1, 4]
    assert all(torch.equal(a, b) for a, b in zip(one[7:], two, strict=True))


def test_classes_are_drawn_alike() -> None:
    classes = np.array([0] * 17 + [1] * 2 + [3])  # of 2 there is none
    seen = []
    for epoch in range(30):
        drawn = keys(20, epoch, classes=classes, draws=31)
        assert len(drawn) == 31
        counts = np.bincount(classes[[i for _, i, _ in drawn]], minlength=4)
        assert sorted(counts[[0, 1, 3]]) == [10, 10, 11]
        assert counts[2] == 0
        assert len(set(drawn)) == len(drawn)
        of_first = [i for _, i, _ in drawn if classes[i] == 0]
        assert len(set(of_first)) == len(of_first)  # evenly within a class too
        seen += of_first
    assert set(seen) == set(range(17))


def indices(count: int, epoch: int, **kwargs: object) -> list[int]:
    return [i for _, i, _ in keys(count, epoch, **kwargs)]


@pytest.mark.parametrize(("count", "at_most"), [(50, 15), (50, 49), (7, 2), (12, 6)])
def test_parts_of_a_set_go_through_all_of_it_before_any_comes_again(count: int, at_most: int) -> None:
    epochs = [indices(count, epoch, at_most=at_most) for epoch in range(2 * count)]
    assert all(len(set(epoch)) == len(epoch) == at_most for epoch in epochs)
    drawn = np.concatenate(epochs)
    for start in range(0, len(drawn), count):
        assert sorted(drawn[start : start + count]) == list(range(count))
    assert len({tuple(epoch) for epoch in epochs}) > count  # rounds differ


def test_a_part_is_the_same_whichever_epoch_came_before() -> None:
    sampler = data.EpochSampler(50, 3, at_most=15)
    for epoch in (0, 1, 2, 7, 3, 3):
        sampler.set_epoch(epoch)
        assert [i for _, i, _ in sampler] == indices(50, epoch, at_most=15)
    assert len(sampler) == 15
    parts = [set(indices(50, 4, at_most=15, replicas=3, rank=rank)) for rank in range(3)]
    assert set.union(*parts) == set(indices(50, 4, at_most=15))
    assert sum(map(len, parts)) == 15


def test_a_bound_that_does_not_bind_changes_nothing() -> None:
    assert keys(20, 3) == keys(20, 3, at_most=-1) == keys(20, 3, at_most=20) == keys(20, 3, at_most=500)
    assert keys(20, 3, draws=50) == keys(20, 3, draws=70, at_most=50)
    assert data.drawn_in_epoch(20, 50, 30) == 30


def test_parts_of_a_set_with_classes_drawn_alike() -> None:
    classes = np.array([0] * 40 + [1] * 7 + [2] * 3)
    epochs = [indices(50, epoch, at_most=15, classes=classes) for epoch in range(8)]
    for epoch in epochs:
        assert np.bincount(classes[epoch]).tolist() == [5, 5, 5]
    assert set(np.concatenate(epochs)) == set(range(50))  # 8 times 5 of the first class, which are all
    assert np.bincount(np.concatenate(epochs[:7]), minlength=50)[40:47].tolist() == [5] * 7  # 7 times 5 of 7
    rare = [sorted(i for i in epoch if classes[i] == 2) for epoch in epochs]
    assert all(len(set(part)) == 3 for part in rare)


def test_weights_of_classes_make_them_count_alike() -> None:
    labels = np.array([0] * 6 + [1] * 3 + [3])
    weights = data.class_weights(labels, 4)
    assert weights.dtype == np.float32
    totals = [weights[labels[labels == c]].sum() for c in (0, 1, 3)]
    assert totals == pytest.approx([totals[0]] * 3)
    assert weights[labels].mean() == pytest.approx(1)
    assert weights[2] == 1


def test_prepared_sequences_are_kept_and_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = prepared_epoch([0, 1])
    each_time = prepared_epoch([0, 1], keep=False)
    with monkeypatch.context() as patch:
        patch.setattr(data, "KEPT_AT_MOST", 0)
        too_large = prepared_epoch([0, 1])
    monkeypatch.setattr(data, "WORTH_PROCESSES", 0)
    by_processes = prepared_epoch([0, 1])
    for other in (each_time, too_large, by_processes):
        assert all(torch.equal(a, b) for a, b in zip(kept, other, strict=True))
    assert kept[0].shape[2] == 10


def test_preparation_is_done_once_where_it_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    real = data.prepare
    monkeypatch.setattr(data, "prepare", lambda *args, **kwargs: calls.append(1) or real(*args, **kwargs))
    prepared_epoch([0, 1, 2])
    assert len(calls) <= 10 + 4 + 2  # every sequence, and one of each set to learn the size


def test_a_training_without_preparation_keeps_nothing() -> None:
    module = data.SkeletonData(make_set(), make_set(4), AUGMENTED, 5, layout=LAYOUTS["coco"])
    module.setup("fit")
    assert module.train.kept is module.val.kept is None


@pytest.mark.parametrize(("count", "batch"), [(1, 4), (10, 4), (100, 8), (257, 16)])
def test_batches_of_like_length_hold_the_same_sequences(count: int, batch: int) -> None:
    lengths = np.random.default_rng(1).integers(1, 300, count)
    common = {"seed": 7, "draws": 0}
    plain = [index for _, index, _ in data.EpochSampler(count, **common)]
    first = [index for _, index, _ in data.EpochSampler(count, **common, lengths=lengths, batch=batch)]
    assert sorted(first) == sorted(plain)
    assert first == [index for _, index, _ in data.EpochSampler(count, **common, lengths=lengths, batch=batch)]
    other = [index for _, index, _ in data.EpochSampler(count, **common, lengths=lengths, batch=batch, epoch=1)]
    if count > batch:
        assert other != first

    def computed(order: list[int]) -> int:
        parts = np.split(lengths[order], range(batch, count, batch))
        return sum(len(part) * int(part.max()) for part in parts)

    assert computed(first) <= computed(plain)
    if count >= 100:
        assert computed(first) < 1.25 * lengths.sum() < computed(plain)


def test_processes_share_batches_of_like_length() -> None:
    lengths = np.arange(64)
    shares = [
        [index for _, index, _ in data.EpochSampler(64, 3, lengths=lengths, batch=8, replicas=2, rank=rank)] for rank in (0, 1)
    ]
    assert sorted(shares[0] + shares[1]) == list(range(64))
    for first in range(0, 32, 4):
        both = [lengths[share[first : first + 4]] for share in shares]
        assert np.ptp(np.concatenate(both)) == 7


def test_the_loader_buckets_by_the_frames_that_are_there() -> None:
    settings = config.Dataset(bucket_by_length=True, batch_size=3)
    skeletons = make_set(12)
    loader = data.SkeletonData(skeletons, make_set(4), settings, 1).train_dataloader()
    found = [[int((x != 0).any(dim=0).any(dim=-1).any(dim=-1).nonzero().max()) + 1 for x in batch] for batch, _ in loader]
    assert sorted(length for batch in found for length in batch) == sorted(data.valid_lengths(skeletons.data).tolist())
    assert sum(max(batch) - min(batch) for batch in found) <= 4
