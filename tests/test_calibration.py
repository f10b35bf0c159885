"""Temperature, threshold and reliability against what is known of data made for the purpose."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from stgcn import calibration


def drawn(count: int, classes: int, spread: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Logits (N, K) and labels drawn from their very probabilities: a model that is calibrated."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, spread, (count, classes))
    chances = calibration.softmax(logits)
    labels = (chances.cumsum(axis=1) < rng.random((count, 1))).sum(axis=1)
    return logits, labels


def cross_entropy(logits: np.ndarray, labels: np.ndarray, temperature: float) -> float:
    return float(-np.log(calibration.softmax(logits, temperature)[np.arange(len(labels)), labels]).mean())


@pytest.mark.parametrize("factor", [0.2, 1.0, 4.0, 30.0])
def test_the_temperature_undoes_what_made_a_model_too_sure(factor: float) -> None:
    logits, labels = drawn(4000, 5, 2.0)
    assert calibration.fit_temperature((factor * logits).astype(np.float32), labels) == pytest.approx(factor, rel=0.06)


def test_the_temperature_is_the_best_there_is() -> None:
    logits, labels = drawn(3000, 4, 1.5, seed=3)
    found = calibration.fit_temperature(3 * logits, labels)
    best = cross_entropy(3 * logits, labels, found)
    assert all(cross_entropy(3 * logits, labels, found * other) > best for other in (0.8, 0.9, 1.1, 1.25))


def test_offsets_of_a_sequence_change_nothing_and_large_logits_do_no_harm() -> None:
    logits, labels = drawn(500, 3, 2.0)
    plain = calibration.fit_temperature(logits, labels)
    moved = calibration.fit_temperature(logits + np.random.default_rng(1).normal(0, 1e4, (500, 1)), labels)
    assert moved == pytest.approx(plain, rel=1e-6)
    assert calibration.fit_temperature(1e3 * logits, labels) == calibration.HOTTEST


@pytest.mark.parametrize("count", [5, 50, 500])
def test_a_model_that_is_always_right_does_not_become_sure_without_end(count: int) -> None:
    labels = np.arange(count) % 3
    logits = 2.0 * np.eye(3)[labels]
    probs = calibration.softmax(logits, calibration.fit_temperature(logits, labels))
    assert probs.max() == pytest.approx((count + 1) / (count + 2), abs=1e-6)


def test_a_model_that_is_always_wrong_says_it_does_not_know() -> None:
    labels = np.arange(30) % 3
    wrong = 5.0 * np.eye(3)[(labels + 1) % 3]
    assert calibration.fit_temperature(wrong, labels) == calibration.HOTTEST
    assert calibration.fit_temperature(np.zeros((30, 3)), labels) > 0


@pytest.mark.parametrize("shape", [(0, 3), (4, 1)])
def test_nothing_to_fit_is_no_temperature(shape: tuple[int, int]) -> None:
    assert calibration.fit_temperature(np.zeros(shape), np.zeros(shape[0], int)) == 1.0


def test_the_argmax_stays_and_one_is_the_plain_softmax() -> None:
    logits, _ = drawn(100, 6, 3.0)
    for temperature in (0.05, 1.0, 7.0):
        assert (calibration.softmax(logits, temperature).argmax(1) == logits.argmax(1)).all()
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    np.testing.assert_array_equal(calibration.softmax(logits), shifted / shifted.sum(axis=1, keepdims=True))


@pytest.mark.parametrize("right", [1, 19, 20, 21, 100, 399])
def test_the_threshold_is_the_highest_that_keeps_95_percent_of_what_is_right(right: int) -> None:
    rng = np.random.default_rng(right)
    highest = np.round(rng.uniform(0.5, 1.0, right), 4)
    probs = np.column_stack([highest, 1 - highest])
    wrong = np.array([[0.1, 0.9]] * 5)  # sure and wrong: they do not count
    threshold = calibration.unknown_threshold(np.vstack([probs, wrong]), np.zeros(right + 5, int))
    assert (highest >= threshold).mean() >= 0.95
    assert (highest >= threshold + 1.5e-4).mean() < 0.95


def test_no_right_answer_is_no_threshold() -> None:
    assert calibration.unknown_threshold(np.array([[0.9, 0.1]]), np.array([1])) == 0.0
    assert calibration.unknown_threshold(np.zeros((0, 3)), np.zeros(0, int)) == 0.0


def test_reliability_by_hand() -> None:
    probs = np.array([[0.62, 0.38], [0.66, 0.34], [0.97, 0.03], [1.0, 0.0]])
    error, bins = calibration.reliability(probs, np.array([0, 1, 0, 0]))
    assert [(round(15 * b["from"]), b["sequences"]) for b in bins if b["sequences"]] == [(9, 2), (14, 2)]
    assert bins[9]["confidence"] == pytest.approx(64.0)
    assert bins[9]["accuracy"] == 50.0
    assert error == pytest.approx((2 * 14 + 2 * 1.5) / 4)
    assert len(bins) == 15
    assert bins[0]["confidence"] is None
    assert calibration.reliability(np.zeros((0, 2)), np.zeros(0, int))[0] is None


def test_a_calibrated_model_has_a_small_error_and_the_temperature_makes_one() -> None:
    logits, labels = drawn(5000, 4, 2.0)
    sure = 5 * logits
    calibrated = calibration.softmax(sure, calibration.fit_temperature(sure, labels))
    assert calibration.reliability(calibrated, labels)[0] < 3
    assert calibration.reliability(calibration.softmax(sure), labels)[0] > 15


def test_what_a_threshold_comes_to() -> None:
    probs = np.array([[0.9, 0.1], [0.6, 0.4], [0.55, 0.45], [0.2, 0.8]])
    told = calibration.unknown_below(probs, np.array([0, 0, 1, 1]), 0.58)
    assert told == {"threshold": 0.58, "called": 25.0, "right_kept": 100.0, "wrong_called": 100.0, "accuracy": 100.0}
    assert calibration.unknown_below(probs, np.array([0, 0, 1, 1]), 0.95)["accuracy"] is None


def test_torch_is_not_needed() -> None:
    code = "import sys, stgcn.calibration, stgcn.metrics; print({'torch', 'matplotlib', 'scipy'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"
