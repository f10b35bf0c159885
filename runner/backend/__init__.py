"""Run an entrypoint "pkg.mod:run" with a spec, here or in a child process, to an Outcome.

Must not know why it runs: no skills, no records, no torch.
"""

from __future__ import annotations

from runner.backend.outcome import Outcome, resolve, run_here, tail
from runner.backend.parent import GRACE, run_child

__all__ = ["GRACE", "Outcome", "resolve", "run_child", "run_here", "tail"]
