"""Batches follow from (seed, epoch, index) alone, and nothing is dropped."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import trainer_cases

from stgcn import config, data
from stgcn.arrays import SkeletonSet

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
    parts = [[i for _, i in data.EpochSampler(10, 0, replicas=3, rank=rank)] for rank in range(3)]
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
