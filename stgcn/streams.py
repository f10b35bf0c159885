"""What a network sees of a skeleton: joints, bones, and their motion, derived from the sequences within the network."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from stgcn import masking

JOINT = ("joint",)


class Inputs(nn.Module):
    """Turns sequences into what the blocks of a network work on. Learns nothing and leaves nothing in a state dict.

    Args:
        streams: of joint, bone, joint_motion, bone_motion; several are stacked as channels.
        parents: the next joint on the way to the centre, for each joint; needed for bones.
        confidence: the channel that holds the score of a joint, -1 where there is none.
        masked: leave out padding.
    """

    parents: Tensor

    def __init__(
        self, streams: Sequence[str] = JOINT, parents: Sequence[int] = (), *, confidence: int = -1, masked: bool = False
    ) -> None:
        super().__init__()
        self.streams = tuple(streams)
        self.confidence = confidence
        self.masked = masked
        self.register_buffer("parents", torch.tensor(list(parents), dtype=torch.int64), persistent=False)

    def forward(self, x: Tensor) -> tuple[Tensor, masking.Valid | None]:
        """(N, C, T, V, M) -> a row for each person, (B, V, S*C, T), and what of it is data."""
        data = masking.find(x) if self.masked else None
        if self.streams != JOINT:
            x = torch.cat([self.derived(x, stream) for stream in self.streams], dim=1)
        x = x.permute(0, 4, 3, 1, 2).flatten(0, 1)  # (N*M, V, C, T)
        return (x, None) if data is None else masking.begin(x, data)

    def derived(self, x: Tensor, stream: str) -> Tensor:
        """One stream of (N, C, T, V, M), of the same shape. What is missing (all channels zero) at either end stays zero."""
        if stream.startswith("bone"):
            x = self._difference(x, x.index_select(3, self.parents))
        if stream.endswith("motion"):
            following = torch.cat([x[:, :, 1:], torch.zeros_like(x[:, :, :1])], dim=2)  # of the last frame there is none
            x = self._difference(following, x)
        return x

    def _difference(self, end: Tensor, start: Tensor) -> Tensor:
        """``end`` minus ``start`` where both are there; the score of a difference is the lower of the two."""
        there = (end != 0).any(dim=1, keepdim=True) & (start != 0).any(dim=1, keepdim=True)
        parts = end - start
        if self.confidence >= 0:
            score = torch.minimum(end, start)[:, self.confidence : self.confidence + 1]
            parts = torch.cat([parts[:, : self.confidence], score, parts[:, self.confidence + 1 :]], dim=1)
        return torch.where(there, parts, 0)
