"""Run an entrypoint "pkg.mod:run" with a spec, here, in a child process or in a worker, to an Outcome.

Must not know why it runs: no skills, no records, no torch.
"""

from __future__ import annotations

from runner.backend.outcome import Outcome, resolve, run_here, takes_control
from runner.backend.parent import GRACE, run_child
from runner.backend.process import Control
from runner.backend.worker import Worker

__all__ = ["GRACE", "Control", "Outcome", "Worker", "resolve", "run_child", "run_here", "takes_control"]
