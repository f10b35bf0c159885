"""Readers of what pose estimators write: one module per format, all with the same three functions, in one visible table.

Knows files and keypoints; nothing of classes, splits, windows or networks.
"""

from __future__ import annotations
