"""Nested-dict algebra of a spec: dotted get, set, merge and flatten, overrides and shorthand, YAML in and out.

Knows no skills, schemas or jobs: which keys exist and what a value may be is for others to say.
"""

from __future__ import annotations

from runner.spec.text import as_text, expand_shorthand, parse, parse_override, parse_value, plain, read, write
from runner.spec.tree import Spec, copied, flatten, get, has, merge, nearest, nest, set_

__all__ = [
    "Spec", "as_text", "copied", "expand_shorthand", "flatten", "get", "has", "merge", "nearest", "nest", "parse",
    "parse_override", "parse_value", "plain", "read", "set_", "write",
]  # fmt: skip
