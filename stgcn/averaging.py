"""A moving average of a network's weights, batch norm's statistics too, kept beside those that the optimiser steps."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Average:
    """The average of ``network``'s state over the steps of its training.

    A step moves it by 1 - ``decay`` towards the network, and by more in the first steps, so that it soon forgets the start.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.network, self.decay = network, decay
        self.state = {name: value.detach().clone() for name, value in network.state_dict().items()}

    def to_network(self) -> None:
        """Move to the device where the network is now."""
        self.state = {name: self.state[name].to(value.device) for name, value in self.network.state_dict().items()}

    @torch.no_grad()
    def update(self, steps: int) -> None:
        """Take in the state after so many steps of the whole training."""
        weight = 1 - min(self.decay, (1 + steps) / (10 + steps))
        for name, value in self.network.state_dict().items():
            if value.is_floating_point():
                self.state[name].lerp_(value, weight)
            else:
                self.state[name].copy_(value)

    @torch.no_grad()
    def swap(self) -> None:
        """Exchange the network's state and the average; a second call brings both back, bit by bit."""
        for name, value in self.network.state_dict().items():
            held = value.clone()
            value.copy_(self.state[name])
            self.state[name] = held

    def load(self, state: dict[str, Tensor]) -> None:
        """Go on from the average of a checkpoint."""
        self.state = {name: value.detach().clone() for name, value in state.items()}
