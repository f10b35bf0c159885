"""What a word of the command line may be. An empty one is no answer: it comes of a shell variable that is not set."""

from __future__ import annotations

from argparse import ArgumentTypeError
from pathlib import Path


def text(said: str) -> str:
    """Any words, but some."""
    if not said.strip():
        raise ArgumentTypeError("is empty; say something, or leave the option out")
    return said


def folder(said: str) -> Path:
    """A folder by its name; an empty one is not the folder one stands in."""
    if not said:
        raise ArgumentTypeError("is empty; name a folder")
    return Path(said)


def file(said: str) -> Path:
    """A file by its name."""
    if not said:
        raise ArgumentTypeError("is empty; name a file")
    return Path(said)
