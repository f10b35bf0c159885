"""How deep and how wide a network is: its blocks from a width and the blocks of each stage. Knows no tensors."""

from __future__ import annotations

from collections.abc import Sequence

WIDTH, STAGES = 64, (4, 3, 3)  # of the published networks
GROUPS = 8  # of channels in Sep-GCN, each with a graph of its own
FEWEST = {"ST-GCN": 4, "ST-GCN++": 6, "CTR-GCN": 4, "Sep-GCN": GROUPS}  # channels of the narrowest block: one for each branch
MOST_STAGES, MOST_BLOCKS, MOST_CHANNELS = 8, 100, 8192


def plan(channels: int, width: int = WIDTH, stages: Sequence[int] = STAGES) -> list[tuple[int, int, int]]:
    """(channels in, channels out, stride in time) of each block; ``channels`` is what a joint comes with.

    Every stage but the first begins with a block that doubles the channels and halves the frames.
    """
    blocks = []
    for stage, count in enumerate(stages):
        for block in range(count):
            out = width * 2**stage
            blocks.append((channels, out, 2 if stage and not block else 1))
            channels = out
    return blocks
