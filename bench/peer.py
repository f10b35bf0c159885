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


def step_seconds(name: str, model: nn.Module, x: torch.Tensor, y: torch.Tensor, optimiser: torch.optim.Optimizer) -> float:
    """Wall seconds of one training step; ours as train.arrangement=fast has it."""
    from stgcn import fast_training

    model.train()
    start = time.perf_counter()
    optimiser.zero_grad()
    logits = model(x) if name == "peer" else fast_training.logits(model, x)
    nn.functional.cross_entropy(logits, y).backward()
    optimiser.step()
    return time.perf_counter() - start


def main() -> int:
    """Time our network against the peer, A B A B, and print a table or JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--frames", type=int, default=100)
    parser.add_argument("--valid", type=int, help="frames of every sequence that are not padding (default: all)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--what", choices=("forward", "step", "both"), default="both")
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32", help="of our forward pass (default fp32)")
    parser.add_argument("--side", choices=("peer", "ours"), help="time one of them alone, and print its seconds as JSON")
    parser.add_argument("--json", action="store_true", help="print JSON instead of the table")
    options = parser.parse_args()
    kinds = ("forward", "step") if options.what == "both" else (options.what,)
    torch.manual_seed(0)
    models = both()
    x = torch.randn(options.batch, 3, options.frames, 34, 1)
    settle(models, x[:2])
    x[:, :, options.valid or options.frames :] = 0
    y = torch.arange(options.batch) % 6
    if options.side:
        models = {options.side: models[options.side]}
    apart = None if options.side else difference(models, x, options.precision)
    optimisers = {name: torch.optim.SGD(model.parameters(), 0.01, 0.9, nesterov=True) for name, model in models.items()}
    times: dict[str, dict[str, list[float]]] = {name: {what: [] for what in kinds} for name in models}
    for turn in range(options.rounds + 1):
        for name, model in models.items():
            for what in kinds:
                if what == "forward":
                    seconds = forward_seconds(evaluated(name, model, x, options.precision), x)
                else:
                    seconds = step_seconds(name, model, x, y, optimisers[name])
                if turn:
                    times[name][what].append(seconds)
    if options.side:
        print(json.dumps(times[options.side]))
        return 0
    medians = {name: {what: statistics.median(t) for what, t in found.items()} for name, found in times.items()}
    ratios = {what: [a / b for a, b in zip(times["peer"][what], times["ours"][what], strict=True)] for what in kinds}
    spread = {what: {"min": min(r), "median": statistics.median(r), "max": max(r)} for what, r in ratios.items()}
    if options.json:
        facts = {"input": list(x.shape), "valid": options.valid or options.frames, "logits_apart": apart}
        print(json.dumps({**facts, "seconds": medians, "peer_over_ours": spread}, indent=2))
        return 0
    shown = f"{options.valid or options.frames} of {options.frames} frames valid"
    print(
        f"input {tuple(x.shape)}, {shown}, {torch.get_num_threads()} threads, {options.rounds} rounds, logits {apart:.1e} apart"
    )
    for what, ratio in spread.items():
        print(
            f"{what:<8} peer {medians['peer'][what]:.3f} s  ours {medians['ours'][what]:.3f} s  peer / ours "
            f"{ratio['min']:.2f} / {ratio['median']:.2f} / {ratio['max']:.2f} (min, median, max)"
        )
    return 0


def settle(models: dict[str, nn.Module], x: torch.Tensor) -> None:
    """Give both batch norm statistics that belong to their weights, so that their answers are those of a network in use."""
    with torch.no_grad():
        for _ in range(3):
            models["ours"].train()(x)
    models["peer"].load_state_dict(dict(zip(models["peer"].state_dict(), models["ours"].state_dict().values(), strict=True)))


def evaluated(name: str, model: nn.Module, x: torch.Tensor, precision: str = "fp32") -> nn.Module:
    """The network as it is evaluated: ours is arranged for it and has seen padding, once for many batches; neither is timed."""
    from stgcn import fast

    if name == "peer":
        return model
    network = fast.arranged(model.eval(), precision)
    network(x[:1])
    return network


def both() -> dict[str, nn.Module]:
    """The peer and ours, over the same graph and with the same weights (both name them in the same order)."""
    from stgcn.graph import LAYOUTS, adjacency
    from stgcn.model import STGCN

    layout = LAYOUTS["nvidia"]
    graph = torch.from_numpy(adjacency(layout, "spatial"))
    ours, peer = STGCN(graph, 3, 6), Peer(3, 6, graph)
    peer.load_state_dict(dict(zip(peer.state_dict(), ours.state_dict().values(), strict=True)))
    return {"peer": peer, "ours": ours}


def difference(models: dict[str, nn.Module], x: torch.Tensor, precision: str = "fp32") -> float:
    """Largest difference of the logits as they are timed: they have to be the same for the times to mean anything."""
    with torch.no_grad():
        answers = [evaluated(name, model.eval(), x, precision)(x) for name, model in models.items()]
    return float((answers[0] - answers[1]).abs().max())


if __name__ == "__main__":
    sys.exit(main())
