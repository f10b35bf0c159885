"""How soon a cold process has its first prediction: from an ONNX file without torch, and through torch and Lightning.

    python bench/first_prediction.py [--rounds 5] [--json]

The model is an untrained ST-GCN over 34 joints, and the sequence has 300 frames of which 100 are not padding. The one process
is `stgcn.load("model.onnx").predict(...)`; the other imports torch and Lightning, as the original's inference does, loads the
checkpoint into the plain network of bench/peer.py and calls it. They run in turns, and a ratio is that of a pair.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from pathlib import Path

from measuring import BENCH, ratios, run, spread

OURS = """
import sys, numpy as np, stgcn
found = stgcn.load(sys.argv[1]).predict(np.load(sys.argv[2]))
assert "torch" not in sys.modules, "torch was imported"
print(found.probabilities.shape)
"""
PEER = """
import sys; sys.path.insert(0, sys.argv[3])
import numpy as np, torch, pytorch_lightning as pl
from peer import Peer
class Module(pl.LightningModule):
    def __init__(self, graph):
        super().__init__()
        self.model = Peer(3, 6, graph)
state = torch.load(sys.argv[1], weights_only=True)
module = Module(state["model.adjacency"]).eval()
module.load_state_dict(state)
with torch.no_grad():
    print(tuple(module.model(torch.from_numpy(np.load(sys.argv[2]))).softmax(1).shape))
"""


def main() -> int:
    """Measure, and print a line or JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="print JSON instead of the line")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        onnx, weights, sequence = prepared(Path(folder))
        seconds: dict[str, list[float]] = {"peer": [], "ours": []}
        for turn in range(options.rounds + 1):
            for side, code, model in (("peer", PEER, weights), ("ours", OURS, onnx)):
                took, printed = run([sys.executable, "-c", code, model, sequence, BENCH])
                assert printed.strip() == "(1, 6)", printed
                if turn:
                    seconds[side].append(took)
    facts = {"seconds": {side: spread(times) for side, times in seconds.items()}}
    facts["peer_over_ours"] = ratios(seconds["peer"], seconds["ours"])
    if options.json:
        sys.stdout.write(json.dumps(facts, indent=2) + "\n")
        return 0
    medians = {side: statistics.median(times) for side, times in seconds.items()}
    ratio = facts["peer_over_ours"]
    sys.stdout.write(
        f"first prediction: torch and Lightning {medians['peer']:.2f} s, ONNX {medians['ours']:.2f} s, "
        f"ratio {ratio['min']:.2f} / {ratio['median']:.2f} / {ratio['max']:.2f} (min, median, max)\n"
    )
    return 0


def prepared(folder: Path) -> tuple[Path, Path, Path]:
    """The model as ONNX file and as plain weights, and a sequence."""
    import numpy as np
    import torch
    from peer import both

    from stgcn import export

    torch.manual_seed(0)
    models = both()
    state = {f"model.{name}": value for name, value in models["ours"].state_dict().items()}
    checkpoint = folder / "ours.pth"
    torch.save({"state_dict": state}, checkpoint)
    onnx = folder / "model.onnx"
    spec = {
        "results_dir": str(folder / "export"),
        "model": {"graph_layout": "nvidia"},
        "dataset": {"num_classes": 6, "label_map": {f"class_{i}": i for i in range(6)}},
        "export": {"checkpoint": str(checkpoint), "onnx_file": str(onnx)},
    }
    export.run(spec)
    torch.save({f"model.{name}": value for name, value in models["peer"].state_dict().items()}, folder / "peer.pth")
    sequence = np.random.default_rng(0).normal(size=(1, 3, 300, 34, 1)).astype(np.float32)
    sequence[:, :, 100:] = 0
    np.save(folder / "sequence.npy", sequence)
    return onnx, folder / "peer.pth", folder / "sequence.npy"


if __name__ == "__main__":
    sys.exit(main())
