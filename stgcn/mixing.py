"""mixup and cutmix: batches in which sequences and labels are mixed in pairs. Tensors (n, C, T, V, M); knows no network."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from stgcn import config


class Mixed(NamedTuple):
    """A mixed batch: sequences, whose labels count by ``share`` (n,), and ``others`` (n,), which count by the rest."""

    sequences: Tensor
    labels: Tensor
    others: Tensor
    share: Tensor


def mixes(settings: config.Augmentation) -> bool:
    """Whether ``settings`` ask for mixed batches."""
    return settings.enabled and (settings.mixup > 0 or settings.cutmix > 0)


def mix(sequences: Tensor, labels: Tensor, settings: config.Augmentation, rng: np.random.Generator) -> Mixed:
    """Mix each of the ``sequences`` (n, C, T, V, M) with another one of the batch, by mixup or cutmix; asked for both, by
    either with equal chance. Every draw comes from ``rng``.
    """
    cut = settings.cutmix > 0 and (settings.mixup <= 0 or rng.random() < 0.5)
    concentration = settings.cutmix if cut else settings.mixup
    partner = torch.from_numpy(rng.permutation(len(sequences))).to(sequences.device)
    share = rng.beta(concentration, concentration, len(sequences))
    if cut:
        mixed, kept = _spliced(sequences, sequences[partner], share, rng)
    else:
        kept = torch.from_numpy(share).to(sequences)
        mixed = _blended(sequences, sequences[partner], kept)
    return Mixed(mixed, labels, labels[partner], kept)


def _blended(ours: Tensor, theirs: Tensor, share: Tensor) -> Tensor:
    """Between two sequences; a joint that one of them lacks (all channels zero) is the other's, not one half way to zero."""
    both = ours.any(dim=1, keepdim=True) & theirs.any(dim=1, keepdim=True)
    return torch.where(both, theirs + share.view(-1, 1, 1, 1, 1) * (ours - theirs), ours + theirs)


def _spliced(ours: Tensor, theirs: Tensor, share: np.ndarray, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """A span of frames from another sequence, where neither is padding, and the share of frames that stayed (n,)."""
    own, shared = _lengths(ours), np.minimum(_lengths(ours), _lengths(theirs))
    span = np.rint((1 - share) * shared)
    start = np.floor(rng.random(len(share)) * (shared - span + 1))
    frame = np.arange(ours.shape[2])
    inside = torch.from_numpy((frame >= start[:, None]) & (frame < (start + span)[:, None])).to(ours.device)
    kept = torch.from_numpy(1 - span / np.maximum(own, 1)).to(ours)
    return torch.where(inside[:, None, :, None, None], theirs, ours), kept


def _lengths(sequences: Tensor) -> np.ndarray:
    """Frames without the padding at the end, int64 (n,)."""
    filled = sequences.ne(0).any(dim=4).any(dim=3).any(dim=1).cpu().numpy()
    lengths: np.ndarray = filled.shape[1] - filled[:, ::-1].argmax(axis=1)
    return np.where(filled.any(axis=1), lengths, 0)
