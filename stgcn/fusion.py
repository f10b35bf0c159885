"""One network for each stream, and one answer from all of them. Knows no kinds of networks, no files.

The probability of a class is the weighted mean of what the streams give it. So no stream has more say than its weight,
however sure it is of itself, and what comes out are probabilities again.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

PRIOR = 5.0  # sequences that every stream is thought to have got right, beside those of the validation set
ROUNDS, STILL = 500, 1e-9  # of the search for weights, and the change at which it ends


class Fused(nn.Module):
    """Networks side by side, each with its own stream and trained by its own loss.

    Args:
        networks: by stream; each maps (N, C, T, V, M) to logits (N, classes) and derives its stream itself.
    """

    fusion: Tensor

    def __init__(self, networks: Mapping[str, nn.Module]) -> None:
        super().__init__()
        self.networks = nn.ModuleDict(networks)
        self.register_buffer("fusion", torch.full((len(networks),), 1 / len(networks)))

    @property
    def streams(self) -> list[str]:
        """Names of the streams, in the order of ``scores`` and ``fusion``."""
        return list(self.networks)

    def scores(self, x: Tensor) -> Tensor:
        """Logits of each stream, (S, N, classes), of sequences (N, C, T, V, M)."""
        return torch.stack([network(x) for network in self.networks.values()])

    def fuse(self, scores: Tensor) -> Tensor:
        """(S, N, classes) -> (N, classes): the logarithm of the weighted mean of probabilities, which is a logit again."""
        return torch.logsumexp(scores.log_softmax(dim=2) + self.fusion.log()[:, None, None], dim=0)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (N, classes) of sequences (N, C, T, V, M)."""
        return self.fuse(self.scores(x))


def choose_weights(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Weights of streams (S,) float64, of sum 1, under which the labels (N,) are likeliest; scores are (S, N, classes).

    ``PRIOR`` sequences speak for each stream from the start: the fewer the set has, the nearer the weights stay to equal, and
    none is ever 0. What is sought has one maximum; expectation maximisation climbs it without steps to choose.
    """
    shifted = scores.astype(np.float64) - scores.max(axis=2, keepdims=True)
    likelihood = np.exp(shifted) / np.exp(shifted).sum(axis=2, keepdims=True)
    likelihood = likelihood[:, np.arange(len(labels)), labels].clip(1e-300)  # (S, N): of the true class
    streams, count = likelihood.shape
    weights: np.ndarray = np.full(streams, 1 / streams)
    for _ in range(ROUNDS):
        shares = weights[:, None] * likelihood
        shares /= shares.sum(axis=0)
        updated = (shares.sum(axis=1) + PRIOR) / (count + PRIOR * streams)
        still = np.abs(updated - weights).max() < STILL
        weights = updated / updated.sum()
        if still:
            break
    return weights
