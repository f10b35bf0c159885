"""Sets of sequences as a torch Dataset and a LightningDataModule. Knows no model and no files.

Order and augmentation follow from (seed, epoch, index, draw) alone: neither the number of processes nor a resume changes
them. ``draw`` counts how often the epoch has taken that sequence before.
"""

from __future__ import annotations

import functools
import itertools
import logging
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from stgcn import config
from stgcn.arrays import SkeletonSet, valid_lengths
from stgcn.augment import augmenter, keeps, prepared_first, random_choose, random_move
from stgcn.buckets import gathered
from stgcn.graph import Layout
from stgcn.prepare import idle, prepare
from stgcn.resident import Indices, Resident, room_for

log = logging.getLogger("stgcn")

WORTH_PROCESSES = 64 * 2**20  # bytes of data below which starting a process costs more than it loads
KEPT_AT_MOST = 2**30  # bytes of prepared sequences that are kept in memory, of both sets together
SHUFFLE, AUGMENT, ROUND, BUCKET = 0, 1, 3, 4  # the streams of random numbers; ``stgcn.module`` has 2

Prepared = Callable[[np.ndarray], np.ndarray]  # (C, T, V, M) -> (C, T, V, M), see ``stgcn.prepare``
Changed = Callable[[np.ndarray, np.random.Generator], np.ndarray]  # the same at random, see ``stgcn.augment``
Key = tuple[int, int, int]  # epoch, index, draw


class SkeletonDataset(Dataset[tuple[Tensor, int]]):
    """Sequences (C, T, V, M) float32 with class ids; prepared by ``prepared``, then changed at random.

    With ``windowing``, by ``changed`` and as its random_choose and random_move say. An item is asked for by its index, or by
    (epoch, index, draw) where the changes are to differ.
    """

    def __init__(
        self,
        skeletons: SkeletonSet,
        windowing: config.Dataset | None = None,
        seed: int = 0,
        *,
        prepared: Prepared | None = None,
        changed: Changed | None = None,
    ) -> None:
        self.skeletons = skeletons
        self.windowing = windowing
        self.seed = seed
        self.prepared = prepared
        self.changed = changed
        self.kept: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.skeletons.data)

    def __getitem__(self, key: int | Key) -> tuple[Tensor, int]:
        epoch, index, draw = key if isinstance(key, tuple) else (0, key, 0)
        sequence = self._prepared(index) if self.kept is None else self.kept[index].copy()
        if self.windowing is not None:
            sequence = self._changed(sequence, self.windowing, [epoch, index, draw] if draw else [epoch, index])
        label = -1 if self.skeletons.labels is None else int(self.skeletons.labels[index])
        return torch.from_numpy(np.ascontiguousarray(sequence)), label

    def keep_prepared(self, at_most: int) -> int:
        """Prepare all sequences once, and keep them if they take ``at_most`` bytes; returns the bytes taken."""
        if self.kept is None and self.prepared is not None and len(self):
            first = self._prepared(0)
            if len(self) * first.nbytes <= at_most:
                kept = np.empty((len(self), *first.shape), first.dtype)
                for index in range(len(self)):
                    kept[index] = self._prepared(index)
                self.kept = kept
        return 0 if self.kept is None else self.kept.nbytes

    def whole(self) -> np.ndarray | None:
        """All sequences (N, C, T, V, M) as items hold them, where none is changed when it is drawn; else None."""
        if self.prepared is not None and self.kept is None:
            return None
        data = self.skeletons.data if self.kept is None else self.kept
        how = self.windowing
        if how is None:
            return data
        changes = self.changed is not None or how.random_move or not keeps(data.shape[2], how.window_size, how.random_choose)
        return None if changes else data

    def _prepared(self, index: int) -> np.ndarray:
        sequence = np.array(self.skeletons.data[index])  # a copy: the file is mapped read-only
        return sequence if self.prepared is None else self.prepared(sequence)

    def _changed(self, sequence: np.ndarray, windowing: config.Dataset, which: list[int]) -> np.ndarray:
        rng = np.random.default_rng([self.seed, AUGMENT, *which])
        if self.changed is not None:
            sequence = self.changed(sequence, rng)
        sequence = random_choose(sequence, windowing.window_size, rng, windowing.random_choose)
        return random_move(sequence, rng) if windowing.random_move else sequence


class EpochSampler(Sampler[Key]):
    """The indices of an epoch, shuffled by (seed, epoch), as (epoch, index, draw); ``replicas`` processes share them.

    Args:
        count: sequences there are.
        seed: with the epoch, of the order.
        epoch: the first one.
        draws: indices of an epoch, never fewer than ``count``; each is drawn as often as any other, or once more.
        at_most: indices of an epoch at most, where that is fewer; then none comes twice in an epoch, and none comes again in
            a later one before all have come. -1 draws all.
        classes: class ids (count,); where given, classes instead of sequences are drawn as often as one another, each
            going through its own sequences evenly.
        lengths: frames of each sequence (count,); where given, batches hold sequences of like length.
        batch: indices of a batch, of all replicas together.
        replicas: with several, the order is continued from its start until every replica has as many.
        rank: of this replica.
    """

    def __init__(
        self,
        count: int,
        seed: int,
        *,
        epoch: int = 0,
        draws: int = 0,
        at_most: int = -1,
        classes: np.ndarray | None = None,
        lengths: np.ndarray | None = None,
        batch: int = 1,
        replicas: int = 1,
        rank: int = 0,
    ) -> None:
        self.lengths, self.batch = lengths, batch
        self.count, self.seed, self.epoch = count, seed, epoch
        self.draws = drawn_in_epoch(count, draws, at_most)
        self.partial = self.draws < count
        self.classes = classes
        self.replicas, self.rank = replicas, rank
        self._parts: Iterator[np.ndarray] = iter(())
        self._next = -1  # the epoch that _parts gives next

    def set_epoch(self, epoch: int) -> None:
        """Say which epoch comes next; Lightning calls this."""
        self.epoch = epoch

    def __len__(self) -> int:
        return (self.draws + self.replicas - 1) // self.replicas

    def __iter__(self) -> Iterator[Key]:
        drawn: Counter[int] = Counter()
        keys: list[Key] = []
        order = self._part(self.epoch) if self.partial else self._whole(self._shuffler(self.epoch))
        if self.lengths is not None:
            order = gathered(order, self.lengths, self.batch, np.random.default_rng([self.seed, BUCKET, self.epoch]))
        for index in order.tolist():
            keys.append((self.epoch, index, drawn[index]))
            drawn[index] += 1
        shared = np.resize(np.arange(self.draws), len(self) * self.replicas)[self.rank :: self.replicas]
        return iter([keys[place] for place in shared])

    def _shuffler(self, epoch: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, SHUFFLE, epoch])

    def _whole(self, rng: np.random.Generator) -> np.ndarray:
        """An epoch that goes through all sequences."""
        if self.classes is None:
            return _rounds(np.arange(self.count), self.draws, rng)
        parts = zip(*self._quotas(self.classes, rng), strict=True)
        return rng.permutation(np.concatenate([_rounds(members, quota, rng) for members, quota in parts]))

    def _quotas(self, classes: np.ndarray, rng: np.random.Generator) -> tuple[list[np.ndarray], list[int]]:
        """The indices of each class, and how many of them an epoch draws; which classes get one more is drawn too."""
        present = rng.permutation(np.unique(classes))
        quotas = [self.draws // len(present) + (i < self.draws % len(present)) for i in range(len(present))]
        return [np.flatnonzero(classes == one) for one in present], quotas

    def _part(self, epoch: int) -> np.ndarray:
        """An epoch that goes through some of the sequences: what it draws follows from all epochs before it."""
        if not 0 <= self._next <= epoch:
            self._parts, self._next = self._all_parts(), 0
        for _ in range(epoch - self._next):
            next(self._parts)
        self._next = epoch + 1
        return next(self._parts)

    def _all_parts(self) -> Iterator[np.ndarray]:
        """The indices of epoch 0, 1, 2, ... without end."""
        if self.classes is None:
            turns = Turns(np.arange(self.count), np.random.default_rng([self.seed, ROUND]))
            while True:
                yield turns.take(self.draws)
        own = {
            one: Turns(np.flatnonzero(self.classes == one), np.random.default_rng([self.seed, ROUND, one]))
            for one in np.unique(self.classes).tolist()
        }
        for epoch in itertools.count():
            rng = self._shuffler(epoch)
            parts = zip(*self._quotas(self.classes, rng), strict=True)
            yield rng.permutation(np.concatenate([own[int(self.classes[members[0]])].take(q) for members, q in parts]))


class Turns:
    """Draws from ``indices`` in rounds: none comes again before all have come, and none twice within one ``take``."""

    def __init__(self, indices: np.ndarray, rng: np.random.Generator) -> None:
        self.indices, self.rng = indices, rng
        self.left = indices[:0]  # of the round, in the order to come

    def take(self, count: int) -> np.ndarray:
        """The next ``count``; where there are fewer indices, each as often as any other, or once more."""
        taken = self.indices[:0]
        while len(taken) < count:
            if not len(self.left):
                order = self.rng.permutation(self.indices)
                just = np.isin(order, taken[len(taken) // len(order) * len(order) :])  # these come last in the new round
                self.left = np.concatenate([order[~just], order[just]])
            part = self.left[: count - len(taken)]
            taken, self.left = np.concatenate([taken, part]), self.left[len(part) :]
        return taken


def drawn_in_epoch(count: int, repeat_to: int, at_most: int) -> int:
    """Sequences that an epoch draws of ``count``, as ``dataset.repeat_to`` and ``dataset.draw_at_most`` have it."""
    draws = max(repeat_to, count)
    return min(draws, at_most) if at_most > 0 else draws


def _rounds(indices: np.ndarray, draws: int, rng: np.random.Generator) -> np.ndarray:
    """``draws`` of the ``indices``, going through all of them before any comes again, in a new order each time."""
    rounds = [rng.permutation(indices) for _ in range(-(-draws // len(indices)))]
    return np.concatenate(rounds)[:draws] if rounds else indices[:0]


def class_weights(labels: np.ndarray, num_classes: int) -> np.ndarray:
    """What a sequence of each class counts in the loss, float32 (num_classes,), so that all classes present count alike.

    The mean over the sequences is 1; a class without sequences has weight 1.
    """
    counts = np.bincount(labels, minlength=num_classes)
    weights = len(labels) / (np.count_nonzero(counts) * np.maximum(counts, 1))
    return np.where(counts, weights, 1).astype(np.float32)


class SkeletonData(pl.LightningDataModule):
    """The training and validation sets, in batches; the last batch may be smaller, nothing is dropped.

    Preparation and augmentation need the ``layout``; without it neither is done.
    """

    def __init__(
        self,
        train: SkeletonSet,
        val: SkeletonSet,
        settings: config.Dataset,
        seed: int,
        *,
        first_epoch: int = 0,
        layout: Layout | None = None,
    ) -> None:
        super().__init__()
        changed = None if layout is None else augmenter(settings, layout, int(train.data.shape[1]))
        self.train = SkeletonDataset(
            train, settings, seed, prepared=_preparing(prepared_first(settings), layout), changed=changed
        )
        self.val = SkeletonDataset(val, prepared=_preparing(settings.preparation, layout))
        self.settings = settings
        self.first_epoch = first_epoch
        self.resident: dict[str, Resident] = {}

    def setup(self, stage: str) -> None:
        """Prepare the sequences, unless they would fill the memory; each is then prepared whenever it is drawn.

        A set that is not changed at random goes to the GPU as a whole, if it finds room there.
        """
        taken = self.train.keep_prepared(KEPT_AT_MOST)
        self.val.keep_prepared(KEPT_AT_MOST - taken)
        if self.trainer:
            self.make_resident(self.trainer.strategy.root_device)

    def make_resident(self, device: torch.device) -> None:
        """Put on ``device`` what is drawn as it is and finds room there."""
        for name, dataset in (("val", self.val), ("train", self.train)):
            data = dataset.whole()
            if data is not None and dataset.skeletons.labels is not None and room_for(data.nbytes, device):
                self.resident[name] = Resident(data, dataset.skeletons.labels, device)
                log.debug("the %s set lies on %s: %d MiB", name, device, data.nbytes >> 20)

    def teardown(self, stage: str) -> None:
        """Let go of what lies on the GPU."""
        self.resident.clear()

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        """The sequences and class ids of a batch of indices, where the set lies on the device."""
        if not isinstance(batch, Tensor):
            return batch
        assert self.trainer is not None
        return self.resident["train" if self.trainer.training else "val"].batch(batch)

    def train_dataloader(self) -> DataLoader[Any]:
        """Batches (n, C, T, V, M), (n,): training sequences, as many and as often as the settings say."""
        replicas, rank = (self.trainer.world_size, self.trainer.global_rank) if self.trainer else (1, 0)
        sampler = EpochSampler(
            len(self.train),
            self.train.seed,
            epoch=self.first_epoch,
            draws=self.settings.repeat_to,
            at_most=self.settings.draw_at_most,
            classes=self.train.skeletons.labels if self.settings.class_balance == "sampler" else None,
            lengths=valid_lengths(self.train.skeletons.data) if self.settings.bucket_by_length else None,
            batch=self.settings.batch_size * replicas,
            replicas=replicas,
            rank=rank,
        )
        return self._loader("train", self.train, sampler)

    def val_dataloader(self) -> DataLoader[Any]:
        """Batches of all validation sequences in order; with several GPUs each one goes through all of them."""
        return self._loader("val", self.val, None)

    def _loader(self, name: str, dataset: SkeletonDataset, sampler: EpochSampler | None) -> DataLoader[Any]:
        if name in self.resident:
            return DataLoader(Indices(len(dataset)), batch_size=self.settings.batch_size, sampler=sampler)
        workers = worker_count(self.settings.num_workers, dataset.skeletons.data.nbytes)
        return DataLoader(
            dataset,
            batch_size=self.settings.batch_size,
            sampler=sampler,
            num_workers=workers,
            persistent_workers=workers > 0,
            pin_memory=torch.cuda.is_available(),
        )


def _preparing(settings: config.Preparation, layout: Layout | None) -> Prepared | None:
    if layout is None or idle(settings):
        return None
    return functools.partial(prepare, settings=settings, layout=layout)


def worker_count(wanted: int, nbytes: int) -> int:
    """Data loading processes to start; none for a small set, which gives the same batches sooner."""
    if wanted and nbytes < WORTH_PROCESSES:
        log.debug("%d MiB of data are loaded in the training process: num_workers=%d would not pay", nbytes >> 20, wanted)
        return 0
    return wanted
