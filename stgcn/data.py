"""Sets of sequences as a torch Dataset and a LightningDataModule. Knows no model and no files.

Order and augmentation follow from (seed, epoch, index) alone: neither the number of processes nor a resume changes them.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from stgcn import config
from stgcn.arrays import SkeletonSet
from stgcn.augment import random_choose, random_move

log = logging.getLogger("stgcn")

WORTH_PROCESSES = 64 * 2**20  # bytes of data below which starting a process costs more than it loads
SHUFFLE, AUGMENT = 0, 1  # the two streams of random numbers

Prepared = Callable[[np.ndarray], np.ndarray]  # (C, T, V, M) -> (C, T, V, M), see ``stgcn.prepare``


class SkeletonDataset(Dataset[tuple[Tensor, int]]):
    """Sequences (C, T, V, M) float32 with class ids; prepared by ``prepared``, then augmented when given ``augmentation``.

    An item is asked for by its index, or by (epoch, index) where the augmentation is to differ between epochs.
    """

    def __init__(
        self,
        skeletons: SkeletonSet,
        augmentation: config.Dataset | None = None,
        seed: int = 0,
        *,
        prepared: Prepared | None = None,
    ) -> None:
        self.skeletons = skeletons
        self.augmentation = augmentation
        self.seed = seed
        self.prepared = prepared

    def __len__(self) -> int:
        return len(self.skeletons.data)

    def __getitem__(self, key: int | tuple[int, int]) -> tuple[Tensor, int]:
        epoch, index = key if isinstance(key, tuple) else (0, key)
        sequence = np.array(self.skeletons.data[index])  # a copy: the file is mapped read-only
        if self.prepared is not None:
            sequence = self.prepared(sequence)
        if self.augmentation is not None:
            sequence = self._augmented(sequence, epoch, index)
        label = -1 if self.skeletons.labels is None else int(self.skeletons.labels[index])
        return torch.from_numpy(np.ascontiguousarray(sequence)), label

    def _augmented(self, sequence: np.ndarray, epoch: int, index: int) -> np.ndarray:
        assert self.augmentation is not None
        rng = np.random.default_rng([self.seed, AUGMENT, epoch, index])
        sequence = random_choose(sequence, self.augmentation.window_size, rng, self.augmentation.random_choose)
        return random_move(sequence, rng) if self.augmentation.random_move else sequence


class EpochSampler(Sampler[tuple[int, int]]):
    """Every index once per epoch, shuffled by (seed, epoch), as (epoch, index); ``replicas`` processes share them.

    With several replicas the order is continued from its start until every replica has as many.
    """

    def __init__(self, count: int, seed: int, *, epoch: int = 0, replicas: int = 1, rank: int = 0) -> None:
        self.count, self.seed, self.epoch = count, seed, epoch
        self.replicas, self.rank = replicas, rank

    def set_epoch(self, epoch: int) -> None:
        """Say which epoch comes next; Lightning calls this."""
        self.epoch = epoch

    def __len__(self) -> int:
        return (self.count + self.replicas - 1) // self.replicas

    def __iter__(self) -> Iterator[tuple[int, int]]:
        epoch = self.epoch
        order = np.random.default_rng([self.seed, SHUFFLE, epoch]).permutation(self.count)
        shared = np.resize(order, len(self) * self.replicas)[self.rank :: self.replicas]
        return iter([(epoch, int(index)) for index in shared])


class SkeletonData(pl.LightningDataModule):
    """The training and validation sets, in batches; the last batch may be smaller, nothing is dropped."""

    def __init__(
        self,
        train: SkeletonSet,
        val: SkeletonSet,
        settings: config.Dataset,
        seed: int,
        *,
        first_epoch: int = 0,
        prepared: Prepared | None = None,
    ) -> None:
        super().__init__()
        self.train = SkeletonDataset(train, settings, seed, prepared=prepared)
        self.val = SkeletonDataset(val, prepared=prepared)
        self.settings = settings
        self.first_epoch = first_epoch

    def train_dataloader(self) -> DataLoader[tuple[Tensor, int]]:
        """Batches (n, C, T, V, M), (n,): every training sequence once."""
        replicas, rank = (self.trainer.world_size, self.trainer.global_rank) if self.trainer else (1, 0)
        sampler = EpochSampler(len(self.train), self.train.seed, epoch=self.first_epoch, replicas=replicas, rank=rank)
        return self._loader(self.train, sampler)

    def val_dataloader(self) -> DataLoader[tuple[Tensor, int]]:
        """Batches of all validation sequences in order; with several GPUs each one goes through all of them."""
        return self._loader(self.val, None)

    def _loader(self, dataset: SkeletonDataset, sampler: EpochSampler | None) -> DataLoader[tuple[Tensor, int]]:
        workers = worker_count(self.settings.num_workers, dataset.skeletons.data.nbytes)
        return DataLoader(
            dataset,
            batch_size=self.settings.batch_size,
            sampler=sampler,
            num_workers=workers,
            persistent_workers=workers > 0,
            pin_memory=torch.cuda.is_available(),
        )


def worker_count(wanted: int, nbytes: int) -> int:
    """Data loading processes to start; none for a small set, which gives the same batches sooner."""
    if wanted and nbytes < WORTH_PROCESSES:
        log.debug("%d MiB of data are loaded in the training process: num_workers=%d would not pay", nbytes >> 20, wanted)
        return 0
    return wanted
