"""Gradients of networks that share nothing, found at the same time: each network by one thread, not each product by all.

The networks of streams are small. Threads that share out their products wait for one another thousands of times in a step: two
of them gain little, and lose much where something else wants a core too. Here they meet once in a step, and what comes out does
not depend on how many there are. Knows tensors and threads; knows no losses.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function

from stgcn import threads
from stgcn.dropout import drawing

Loss = Callable[[nn.Module], tuple[Tensor, Tensor]]  # a network -> logits (n, classes), and their loss


def losses(networks: Sequence[nn.Module], sources: Sequence[torch.Generator | None], loss: Loss) -> tuple[Tensor, Tensor]:
    """Logits (S, n, classes) of all networks, without gradients, and losses (S,), whose backward knows the gradients already.

    The dropout of each network draws from its source. Autocast holds for ``loss`` as it does for the caller.
    """
    learning = [[weight for weight in network.parameters() if weight.requires_grad] for network in networks]
    dtype, enabled = torch.get_autocast_dtype("cpu"), torch.is_autocast_enabled("cpu")

    def forward(index: int) -> tuple[int, Tensor, Tensor]:
        network = networks[index]
        with torch.enable_grad(), torch.autocast("cpu", dtype=dtype, enabled=enabled), drawing(network, sources[index]):
            logits, found = loss(network)
        return index, logits, found

    def backward(of: tuple[int, Tensor, Tensor]) -> tuple[Tensor, Tensor, Sequence[Tensor | None]]:
        index, logits, found = of
        wanted = learning[index]  # none, where all that a pretrained model brought is frozen
        gradients = torch.autograd.grad(found, wanted, allow_unused=True) if wanted else ()
        return logits.detach(), found.detach(), gradients

    scores, values, gradients = zip(*threads.staged(forward, backward, range(len(networks))), strict=True)
    apply: Any = _Known.apply  # which torch leaves untyped
    return torch.stack(scores), apply(torch.stack(values), gradients, *(weight for weights in learning for weight in weights))


class _Known(Function):
    """Losses (S,), whose gradients to the weights are given."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, gradients: Sequence[Sequence[Tensor | None]], *weights: Tensor) -> Tensor:
        ctx.gradients = gradients
        return values.clone()

    @staticmethod
    def backward(ctx: Any, *grad: Tensor) -> Any:
        scaled: list[Tensor | None] = []
        for scale, gradients in zip(grad[0].tolist(), ctx.gradients, strict=True):
            scaled += [found if scale == 1 or found is None else scale * found for found in gradients]
        return None, None, *scaled
