"""Keeps named chatter of libraries away, and nothing else: the levels of given loggers, warnings with given words."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

# Both Lightning and torch's exporter use this name of torch, which is not the user's affair.
TREESPEC = r"`isinstance\(treespec, LeafSpec\)` is deprecated"


@contextmanager
def quiet(talkers: Sequence[str], advice: Sequence[str], level: int = logging.WARNING) -> Iterator[None]:
    """Within the block the loggers ``talkers`` say nothing below ``level``, and warnings matching ``advice`` are not shown.

    ``advice`` holds regular expressions of how the warnings begin.
    """
    loggers = [logging.getLogger(name) for name in talkers]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(level)
    try:
        with warnings.catch_warnings():
            for words in advice:
                warnings.filterwarnings("ignore", words)
            yield
    finally:
        for logger, old in zip(loggers, before, strict=True):
            logger.setLevel(old)
