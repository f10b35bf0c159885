"""Recordings of any format into TAO's arrays: people, windows, labels, sets and a data card. Knows no single format."""

from __future__ import annotations
