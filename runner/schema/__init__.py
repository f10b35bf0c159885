"""One action's JSON Schema: problems(spec), defaults(), leaves(), search_space(). Reads TAO's own dialect too.

Knows no skills, no Optuna and no files but the one it is asked to load. The validating engine is imported on first use.
"""

from __future__ import annotations

from runner.schema.action import ActionSchema, split_sections
from runner.schema.space import Parameter, Wish
from runner.schema.tao import from_tao, is_tao

__all__ = ["ActionSchema", "Parameter", "Wish", "from_tao", "is_tao", "split_sections"]
