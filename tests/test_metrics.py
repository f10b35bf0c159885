from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

from stgcn import metrics

TRUTH = np.array([0, 0, 0, 1, 1, 2])
PREDICTED = np.array([0, 0, 1, 1, 3, 2])
NAMES = ["a", "b", "c", "never"]


def test_confusion_has_true_classes_as_rows():
    matrix = metrics.confusion(TRUTH, PREDICTED, 4)
    assert matrix.dtype == np.int64
    assert matrix.tolist() == [[2, 1, 0, 0], [0, 1, 0, 1], [0, 0, 1, 0], [0, 0, 0, 0]]
    assert metrics.confusion(np.array([]), np.array([]), 2).tolist() == [[0, 0], [0, 0]]


def test_summary_is_in_percent_over_the_classes_that_occur():
    result = metrics.summary(metrics.confusion(TRUTH, PREDICTED, 4), NAMES)
    assert result["accuracy"] == pytest.approx(100 * 4 / 6)
    assert result["avg_accuracy"] == pytest.approx(100 * (2 / 3 + 1 / 2 + 1) / 3)
    assert result["macro_f1"] == pytest.approx(100 * (0.8 + 0.5 + 1) / 3)
    assert result["sequences"] == 6
    assert result["per_class"]["b"] == {"precision": 50.0, "recall": 50.0, "f1": 50.0, "support": 2, "predicted": 2}
    assert result["per_class"]["never"] == {"precision": 0.0, "recall": None, "f1": None, "support": 0, "predicted": 1}
    json.dumps(result, allow_nan=False)


def test_summary_of_nothing():
    result = metrics.summary(np.zeros((2, 2), np.int64), ["a", "b"])
    assert (result["accuracy"], result["avg_accuracy"], result["macro_f1"], result["sequences"]) == (None, None, None, 0)


@pytest.mark.parametrize(
    ("k", "key", "expected"), [(5, "top5_accuracy", 100.0), (2, "top2_accuracy", 100.0), (1, "top1_accuracy", 50.0)]
)
def test_top_k(k, key, expected):
    probs = np.array([[0.6, 0.3, 0.1], [0.4, 0.5, 0.1], [0.2, 0.2, 0.6], [0.4, 0.4, 0.2]])
    truth = np.array([0, 0, 0, 0])
    matrix = metrics.confusion(truth, probs.argmax(1), 3)
    result = metrics.summary(matrix, ["a", "b", "c"], probs, truth, top_k=k)
    assert [name for name in result if name.startswith("top")] == [key]
    assert result[key] == expected


def test_equal_probabilities_favour_the_lower_id():
    probs = np.full((2, 3), 1 / 3)
    result = metrics.summary(np.zeros((3, 3), np.int64), ["a", "b", "c"], probs, np.array([0, 2]), top_k=2)
    assert result["top2_accuracy"] == 50.0


def test_csv_quotes_names():
    text = metrics.confusion_csv(np.array([[1, 2], [0, 3]]), ["a, b", 'say "c"'])
    assert text.splitlines() == ['truth\\predicted,"a, b","say ""c"""', '"a, b",1,2', '"say ""c""",0,3']


@pytest.mark.parametrize("names", [["a", "b"], ["$x^{", "走る"], [f"class_{i}" for i in range(120)]])
def test_png(tmp_path, names):
    path = metrics.confusion_png(np.eye(len(names), dtype=np.int64), names, tmp_path / "new" / "c.png")
    assert path.read_bytes().startswith(b"\x89PNG")
    assert [p.name for p in path.parent.iterdir()] == ["c.png"]


def test_matplotlib_and_torch_are_not_loaded_for_numbers():
    code = "import sys, stgcn.metrics, stgcn.arrays, stgcn.status; print({'matplotlib', 'torch'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"


def matrix(right, support, other=None):
    """A confusion matrix with so many right of each class; the misses go to the next class, or to ``other``."""
    made = np.diag(np.array(right))
    for i, (hits, count) in enumerate(zip(right, support, strict=True)):
        made[i, (i + 1) % len(right) if other is None else other] += count - hits
    return made


def test_intervals_are_the_bootstraps_where_it_holds():
    counted = matrix([80, 30, 50], [100, 50, 60])
    told = metrics.intervals(counted)
    method = told["interval_method"]
    assert method == {"level": 95, "name": "bootstrap", "resamples": 10000, "seed": 1234, "within": "true class"}
    for key, share, deviation in (
        ("accuracy_interval", 160 / 210, (100 * 0.16 + 50 * 0.24 + 60 * 5 / 36) ** 0.5 / 210),
        ("avg_accuracy_interval", (0.8 + 0.6 + 5 / 6) / 3, (0.16 / 100 + 0.24 / 50 + 5 / 36 / 60) ** 0.5 / 3),
    ):
        low, high = told[key]
        assert (low + high) / 200 == pytest.approx(share, abs=0.01)
        assert (high - low) / 200 == pytest.approx(1.96 * deviation, rel=0.05)
    assert metrics.intervals(counted) == told


@pytest.mark.parametrize("right", [[10, 10], [10, 9], [0, 0]])
def test_too_few_mistakes_or_hits_make_it_wilsons_and_never_a_point(right):
    told = metrics.intervals(matrix(right, [10, 10]))
    assert told["interval_method"] == {"level": 95, "name": "Wilson"}
    for key in ("accuracy_interval", "avg_accuracy_interval"):
        low, high = told[key]
        assert low <= 5 * sum(right) <= high
        assert 15 < high - low < 30
    low, high = metrics.intervals(matrix([12], [12]))["accuracy_interval"]
    assert (low, high) == (pytest.approx(75.75, abs=0.01), pytest.approx(100))


def test_small_classes_widen_the_interval_of_the_average():
    told = metrics.intervals(matrix([200, 3], [200, 3]))
    accuracy, average = (low for low, _ in (told["accuracy_interval"], told["avg_accuracy_interval"]))
    assert accuracy > 98
    assert average < 80


def test_intervals_hold_the_truth_as_often_as_they_say():
    """Models of known class accuracies, tested on drawn sets: 95 % of the intervals contain what is true."""
    rng = np.random.default_rng(5)
    support, truth = np.array([60, 40, 30, 20, 15]), np.array([0.95, 0.9, 0.8, 0.99, 0.7])
    held = {"accuracy_interval": 0, "avg_accuracy_interval": 0}
    true = {"accuracy_interval": 100 * (support * truth).sum() / support.sum(), "avg_accuracy_interval": 100 * truth.mean()}
    for _ in range(200):
        told = metrics.intervals(matrix(rng.binomial(support, truth), support))
        for key, value in true.items():
            held[key] += told[key][0] <= value <= told[key][1]
    assert all(count >= 180 for count in held.values()), held


def test_classes_without_sequences_do_not_count_and_nothing_is_nothing():
    with_absent = np.zeros((4, 4), np.int64)
    with_absent[:3, :3] = matrix([30, 20, 20], [40, 40, 40])
    assert metrics.intervals(with_absent) == metrics.intervals(matrix([30, 20, 20], [40, 40, 40]))
    assert set(metrics.intervals(np.zeros((2, 2), np.int64)).values()) == {None}


def test_confused_pairs_come_worst_first():
    counted = np.array([[5, 3, 0], [1, 9, 0], [2, 3, 1]])
    pairs = metrics.confused_pairs(counted, ["a", "b", "c"])
    assert [(p["truth"], p["predicted"], p["count"]) for p in pairs] == [
        ("c", "b", 3),
        ("a", "b", 3),
        ("c", "a", 2),
        ("b", "a", 1),
    ]
    assert pairs[0]["share"] == 50.0


def test_hints_say_why_a_class_is_recognised_badly():
    names = ["wave", "clap", "fall", "rare"]
    counted = np.array([[20, 10, 0, 0], [4, 26, 0, 0], [0, 0, 30, 0], [1, 1, 1, 1]])
    told = metrics.hints(counted, names, {"wave": 100, "clap": 100, "fall": 90, "rare": 12})
    assert [hint["class"] for hint in told] == ["rare", "wave"]
    assert told[0]["recall"] == 25.0
    few, trained, spread = told[0]["says"]
    assert few.startswith("only 4 test sequences: each one is 25 points")
    assert trained.startswith("few training sequences: 12, where the class in the middle has 100")
    assert spread == "its 3 misses are spread over 3 classes"
    assert told[1]["says"] == ["taken for clap in 10 of 10 misses, and clap for it in 4"]


def test_no_hints_where_all_is_well_or_nothing_is_known():
    assert metrics.hints(np.diag([10, 10]), ["a", "b"]) == []
    assert metrics.hints(np.zeros((2, 2), np.int64), ["a", "b"]) == []
    assert metrics.hints(matrix([90, 86], [100, 100]), ["a", "b"]) == []
