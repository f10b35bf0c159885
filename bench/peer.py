"""The yardstick: ST-GCN as its authors describe it, in plain PyTorch, with no trick of this project.

`Peer` takes (N, C, T, V, M) and gives logits. It shares no code with `stgcn`, so that comparing the two means something; the
adjacency (K, V, V) comes in as a tensor. Run as a script it times a training step and a forward pass of both.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time

import torch
from torch import nn

PLAN = [(64, 1), (64, 1), (64, 1), (64, 1), (128, 2), (128, 1), (128, 1), (256, 2), (256, 1), (256, 1)]
KERNEL = 9


class Block(nn.Module):
    """Graph convolution over the joints, then temporal convolution over the frames, with a residual."""

    def __init__(self, c_in: int, c_out: int, stride: int, partitions: int, *, dropout: float, residual: bool) -> None:
        super().__init__()
        self.spread = nn.Conv2d(c_in, c_out * partitions, 1)
        self.temporal = nn.Sequential(
            nn.BatchNorm2d(c_out),
            nn.ReLU(),
            nn.Conv2d(c_out, c_out, (KERNEL, 1), (stride, 1), (KERNEL // 2, 0)),
            nn.BatchNorm2d(c_out),
            nn.Dropout(dropout),
        )
        self.shortcut: nn.Module | None = None
        if residual:
            same = c_in == c_out and stride == 1
            self.shortcut = (
                nn.Identity() if same else nn.Sequential(nn.Conv2d(c_in, c_out, 1, (stride, 1)), nn.BatchNorm2d(c_out))
            )

    def forward(self, x: torch.Tensor, adjacency: torch.Tensor) -> torch.Tensor:
        """(N, C, T, V) and (K, V, V) -> (N, C', T', V)."""
        n, _, t, v = x.shape
        k = adjacency.shape[0]
        y = self.spread(x).view(n, k, -1, t, v)
        y = self.temporal(torch.einsum("nkctv,kvw->nctw", y, adjacency).contiguous())
        return torch.relu(y if self.shortcut is None else y + self.shortcut(x))


class Peer(nn.Module):
    """Ten blocks between a batch norm of the input and one linear layer."""

    def __init__(self, channels: int, classes: int, adjacency: torch.Tensor, dropout: float = 0.5) -> None:
        super().__init__()
        self.register_buffer("adjacency", adjacency)
        k, v, _ = adjacency.shape
        self.norm = nn.BatchNorm1d(channels * v)
        widths = [channels] + [width for width, _ in PLAN]
        self.blocks = nn.ModuleList(
            Block(widths[i], width, stride, k, dropout=dropout if i else 0.0, residual=i > 0)
            for i, (width, stride) in enumerate(PLAN)
        )
        self.importance = nn.ParameterList(nn.Parameter(torch.ones_like(adjacency)) for _ in PLAN)
        self.head = nn.Conv2d(widths[-1], classes, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, T, V, M) -> (N, classes)."""
        n, c, t, v, m = x.shape
        x = x.permute(0, 4, 3, 1, 2).reshape(n * m, v * c, t)
        x = self.norm(x).view(n * m, v, c, t).permute(0, 2, 3, 1).contiguous()  # (N*M, C, T, V)
        for block, weight in zip(self.blocks, self.importance, strict=True):
            x = block(x, self.adjacency * weight)
        x = x.mean((2, 3)).view(n, m, -1).mean(1)  # over frames and joints, then persons
        return self.head(x[:, :, None, None]).flatten(1)


def forward_seconds(model: nn.Module, x: torch.Tensor) -> float:
    """Wall seconds of one evaluation pass."""
    model.eval()
    with torch.no_grad():
        start = time.perf_counter()
        model(x)
        return time.perf_counter() - start


def step_seconds(model: nn.Module, x: torch.Tensor, y: torch.Tensor, optimiser: torch.optim.Optimizer) -> float:
    """Wall seconds of one training step."""
    model.train()
    start = time.perf_counter()
    optimiser.zero_grad()
    nn.functional.cross_entropy(model(x), y).backward()
    optimiser.step()
    return time.perf_counter() - start


def main() -> int:
    """Time our network against the peer, A B A B, and print a table or JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--frames", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="print JSON instead of the table")
    options = parser.parse_args()
    torch.manual_seed(0)
    models = both()
    x = torch.randn(options.batch, 3, options.frames, 34, 1)
    y = torch.arange(options.batch) % 6
    apart = difference(models, x)
    optimisers = {name: torch.optim.SGD(model.parameters(), 0.01, 0.9, nesterov=True) for name, model in models.items()}
    times: dict[str, dict[str, list[float]]] = {name: {"forward": [], "step": []} for name in models}
    for turn in range(options.rounds + 1):
        for name, model in models.items():
            forward, step = forward_seconds(model, x), step_seconds(model, x, y, optimisers[name])
            if turn:
                times[name]["forward"].append(forward)
                times[name]["step"].append(step)
    medians = {name: {what: statistics.median(t) for what, t in kinds.items()} for name, kinds in times.items()}
    ratios = {what: medians["peer"][what] / medians["ours"][what] for what in ("forward", "step")}
    if options.json:
        facts = {"input": list(x.shape), "logits_apart": apart, "seconds": medians, "peer_over_ours": ratios}
        print(json.dumps(facts, indent=2))
        return 0
    print(f"input {tuple(x.shape)}, {torch.get_num_threads()} threads, medians of {options.rounds}, logits {apart:.1e} apart")
    for what, ratio in ratios.items():
        print(f"{what:<8} peer {medians['peer'][what]:.3f} s  ours {medians['ours'][what]:.3f} s  peer / ours {ratio:.2f}")
    return 0


def both() -> dict[str, nn.Module]:
    """The peer and ours, over the same graph and with the same weights (both name them in the same order)."""
    from stgcn.graph import LAYOUTS, adjacency
    from stgcn.model import STGCN

    layout = LAYOUTS["nvidia"]
    graph = torch.from_numpy(adjacency(layout, "spatial"))
    ours, peer = STGCN(graph, 3, 6), Peer(3, 6, graph)
    peer.load_state_dict(dict(zip(peer.state_dict(), ours.state_dict().values(), strict=True)))
    return {"peer": peer, "ours": ours}


def difference(models: dict[str, nn.Module], x: torch.Tensor) -> float:
    """Largest difference of the two networks' logits: they have to compute the same for the times to mean anything."""
    with torch.no_grad():
        return float((models["peer"].eval()(x) - models["ours"].eval()(x)).abs().max())


if __name__ == "__main__":
    sys.exit(main())
