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
