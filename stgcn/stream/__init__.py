"""Streaming inference: poses as JSON lines come in, decisions as JSON lines go out. Knows lines and models, no command line."""

from __future__ import annotations

from stgcn.stream.session import run

__all__ = ["run"]
