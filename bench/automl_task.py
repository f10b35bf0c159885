"""A real training that takes a tenth of a second: the objective of bench/automl.py, with the eight settings of TAO's search.

A network of two layers over frames and their differences (linear, ReLU, mean over time, dropout, linear) learns six kinds of
motion from 240 noisy sequences, a tenth of them labelled wrongly; SGD with Nesterov's momentum, weight decay, clipping, random
crops, and a learning rate that falls when the validation loss rests. It can stop after any epoch and go on later, exactly.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import numpy as np

CLASSES, FRAMES, CHANNELS, HIDDEN, BATCH = 6, 20, 5, 20, 16
DEFAULTS = {
    "dataset.window_size": FRAMES,
    "model.dropout": 0.5,
    "train.grad_clip": 0.0,
    "train.optim.lr": 0.1,
    "train.optim.lr_decay": 0.1,
    "train.optim.momentum": 0.9,
    "train.optim.patience": 1,
    "train.optim.weight_decay": 1e-4,
}


class Task:
    """The data of one seed: every search of that seed sees the same.

    Like keypoints, which come in pixels, metres or shares of a picture, the tasks differ in their unit, and with it in the
    learning rate that suits them: about 0.15, 0.06 and 0.015.
    """

    def __init__(self, seed: int) -> None:
        source = np.random.default_rng(seed)
        self.gain = (2, 4, 8)[seed % 3]
        self.kinds = source.normal(size=(CLASSES, CHANNELS, 3))
        self.train = self._draw(source, 200)
        self.val = self._draw(source, 200)

    def _draw(self, source: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
        labels = source.integers(CLASSES, size=count)
        kind = self.kinds[labels]
        time = np.arange(FRAMES) / FRAMES
        phase = source.uniform(0, 1, size=(count, 1, 1))
        speed = 1.5 + 0.5 * kind[:, :, 1:2] + 0.15 * source.normal(size=(count, 1, 1))
        wave = np.sin(2 * np.pi * (speed * time + kind[:, :, 2:3] + phase)) * (1.5 + 0.7 * kind[:, :, :1])
        wave = wave + 0.5 * source.normal(size=(count, CHANNELS, 1)) + 0.5 * source.normal(size=wave.shape)
        wrong = source.random(count) < 0.1
        labels = np.where(wrong, source.integers(CLASSES, size=count), labels)
        moves = np.diff(wave, axis=2, prepend=wave[:, :, :1])
        return self.gain * np.concatenate([wave, 2 * moves], axis=1).transpose(0, 2, 1).astype(np.float32), labels


class Training:
    """One training; ``epoch()`` trains one more and returns the validation loss, NaN once it has diverged."""

    def __init__(self, task: Task, settings: Mapping[str, Any], seed: int = 0) -> None:
        self.task, self.source = task, np.random.default_rng(seed)
        found = {**DEFAULTS, **settings}
        self.window = int(min(FRAMES, max(2, found["dataset.window_size"])))
        self.dropout, self.clip = float(found["model.dropout"]), float(found["train.grad_clip"])
        self.lr, self.decay = float(found["train.optim.lr"]), float(found["train.optim.lr_decay"])
        self.momentum, self.wd = float(found["train.optim.momentum"]), float(found["train.optim.weight_decay"])
        self.patience, self.rest, self.best = int(found["train.optim.patience"]), 0, np.inf
        draw = self.source.normal
        self.weights = [
            draw(size=(2 * CHANNELS, HIDDEN)) / np.sqrt(2 * CHANNELS),
            np.zeros(HIDDEN),
            draw(size=(HIDDEN, CLASSES)) / np.sqrt(HIDDEN),
            np.zeros(CLASSES),
        ]
        self.weights = [w.astype(np.float32) for w in self.weights]
        self.speed = [np.zeros_like(w) for w in self.weights]

    def copy(self) -> Training:
        """This training as it stands: its checkpoint."""
        return copy.deepcopy(self, {id(self.task): self.task})

    def epoch(self) -> float:
        """Train one epoch; the validation loss."""
        data, labels = self.task.train
        order = self.source.permutation(len(labels))
        with np.errstate(all="ignore"):
            for start in range(0, len(order), BATCH):
                picked = order[start : start + BATCH]
                offset = self.source.integers(FRAMES - self.window + 1)
                self._step(data[picked, offset : offset + self.window], labels[picked])
            loss = self._loss(*self.task.val)
        if not np.isfinite(loss):
            return float("nan")
        self.rest = 0 if loss < self.best * 0.999 else self.rest + 1
        self.best = min(self.best, loss)
        if self.rest > self.patience:
            self.lr, self.rest = max(1e-4, self.lr * self.decay), 0
        return loss

    def _forward(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        first, bias, _, _ = self.weights
        active = np.maximum(x @ first + bias, 0)
        return active, active.mean(axis=1)

    def _loss(self, x: np.ndarray, labels: np.ndarray) -> float:
        _, pooled = self._forward(x)
        logits = pooled @ self.weights[2] + self.weights[3]
        logits = logits - logits.max(axis=1, keepdims=True)
        return float(np.mean(np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(len(labels)), labels]))

    def _step(self, x: np.ndarray, labels: np.ndarray) -> None:
        active, pooled = self._forward(x)
        kept = (self.source.random(pooled.shape) >= self.dropout) / max(1e-3, 1 - self.dropout)
        pooled = (pooled * kept).astype(np.float32)
        logits = pooled @ self.weights[2] + self.weights[3]
        raised = np.exp(logits - logits.max(axis=1, keepdims=True))
        slope = raised / raised.sum(axis=1, keepdims=True)
        slope[np.arange(len(labels)), labels] -= 1
        slope /= len(labels)
        back = (slope @ self.weights[2].T * kept / x.shape[1])[:, None, :] * (active > 0)
        grads = [
            np.tensordot(x, back, axes=((0, 1), (0, 1))),
            back.sum(axis=(0, 1)),
            pooled.T @ slope,
            slope.sum(axis=0),
        ]
        norm = np.sqrt(sum(float((g * g).sum()) for g in grads))
        scale = self.clip / norm if self.clip and norm > self.clip else 1.0
        for i, grad in enumerate(grads):
            moved = scale * grad + self.wd * self.weights[i]
            self.speed[i] = self.momentum * self.speed[i] + moved
            self.weights[i] = (self.weights[i] - self.lr * (moved + self.momentum * self.speed[i])).astype(np.float32)
