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


def problems(network: str, width: object, stages: object) -> list[str]:
    """What speaks against a network of this size, in the words of the spec."""
    found = []
    fewest = FEWEST[network]
    if not isinstance(width, int) or isinstance(width, bool) or width < fewest:
        found.append(
            f"model.width is {width!r}; model.model_type {network} needs at least {fewest}, one for each branch of a block"
        )
    elif network == "Sep-GCN" and width % GROUPS:
        found.append(f"model.width is {width}; model.model_type Sep-GCN needs a multiple of {GROUPS}: so many groups share it")
    if (
        not isinstance(stages, Sequence)
        or not 1 <= len(stages) <= MOST_STAGES
        or not all(isinstance(count, int) and not isinstance(count, bool) and count >= 1 for count in stages)
        or sum(stages) > MOST_BLOCKS
    ):
        found.append(
            f"model.stages is {list(stages) if isinstance(stages, Sequence) else stages!r}; allowed: 1 to {MOST_STAGES} stages "
            f"of at least 1 block each, {MOST_BLOCKS} blocks in all"
        )
    elif not found and isinstance(width, int) and width * 2 ** (len(stages) - 1) > MOST_CHANNELS:
        found.append(
            f"model.width {width} and model.stages {list(stages)} make {width * 2 ** (len(stages) - 1)} channels in the last "
            f"stage; allowed: {MOST_CHANNELS}"
        )
    return found
