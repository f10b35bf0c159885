"""How often the 95 % intervals of `evaluate` hold the truth: test sets drawn from models of known class accuracies.

    python bench/intervals.py [--sets 400]

For each layout of classes: the share of intervals that hold the true accuracy and the true average of the classes, by the
bootstrap alone and as `evaluate` gives them, and their mean width in points.
"""

from __future__ import annotations

import argparse

import numpy as np

from stgcn import metrics

CASES = {
    "6 x 60, 98 %": ([60] * 6, [0.98] * 6),
    "6 x 60, 85 to 100 %": ([60] * 6, [1, 1, 1, 0.9, 0.85, 0.95]),
    "14 x 12, 85 %": ([12] * 14, [0.85] * 14),
    "14 x 12, 50 to 100 %": ([12] * 14, [1, 0.9, 0.8, 0.7, 0.6, 1, 1, 0.9, 0.8, 0.95, 0.5, 0.9, 1, 0.85]),
    "10 x 10, 95 %": ([10] * 10, [0.95] * 10),
    "6 x 5, 90 %": ([5] * 6, [0.9] * 6),
    "200 to 5, 60 to 95 %": ([200, 50, 20, 10, 5], [0.95, 0.9, 0.8, 0.7, 0.6]),
    "200 to 5, 95 to 99 %": ([200, 50, 20, 10, 5], [0.99, 0.99, 0.95, 0.99, 0.95]),
    "2 x 40, 70 to 80 %": ([40, 40], [0.7, 0.8]),
}
KEYS = ("accuracy_interval", "avg_accuracy_interval")


def drawn(support: np.ndarray, truth: np.ndarray, sets: int, few: int) -> dict[str, tuple[float, float]]:
    """Share of intervals that hold the truth, and their mean width, with Wilson's below ``few`` mistakes."""
    rng = np.random.default_rng(0)
    true = dict(zip(KEYS, (100 * float((support * truth).sum() / support.sum()), 100 * float(truth.mean())), strict=True))
    held, width = dict.fromkeys(KEYS, 0), dict.fromkeys(KEYS, 0.0)
    metrics.FEW = few
    for _ in range(sets):
        right = rng.binomial(support, truth)
        counted = np.diag(right)
        counted[np.arange(len(right)), (np.arange(len(right)) + 1) % len(right)] += support - right
        told = metrics.intervals(counted)
        for key in KEYS:
            low, high = told[key]
            held[key] += low - 1e-9 <= true[key] <= high + 1e-9
            width[key] += high - low
    return {key: (100 * held[key] / sets, width[key] / sets) for key in KEYS}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", type=int, default=400, help="test sets drawn per case")
    sets, few = parser.parse_args().sets, metrics.FEW
    print("case                   accuracy: bootstrap  evaluate      average of classes: bootstrap  evaluate")
    for name, (support, truth) in CASES.items():
        cells = []
        for key in KEYS:
            for limit in (0, few):
                held, width = drawn(np.array(support), np.array(truth, float), sets, limit)[key]
                cells.append(f"{held:5.1f} % ({width:4.1f})")
        print(f"{name:<22} {cells[0]:>20} {cells[1]:>14} {cells[2]:>26} {cells[3]:>14}")


if __name__ == "__main__":
    main()
