"""What can go wrong in the trainer.

    TrainerError            exit_code, problems
    ├── SpecError           3  the spec contradicts itself
    ├── DataError           4  data or labels are missing, broken or do not fit
    ├── CheckpointError     5  a checkpoint is missing, broken or of another network
    ├── ResourceError       7  GPUs, memory or disk that are not there
    └── RefusedError        9  refused so that nothing is lost (an existing file)

Whoever runs an action reads ``exit_code`` and ``problems`` and needs no import from here.
"""

from __future__ import annotations

from collections.abc import Sequence


class TrainerError(Exception):
    """A mistake the user can mend; ``problems`` holds one sentence each."""

    exit_code = 1

    def __init__(self, problems: str | Sequence[str]) -> None:
        self.problems = [problems] if isinstance(problems, str) else list(problems)
        super().__init__("\n".join(self.problems))


class SpecError(TrainerError):
    """The spec contradicts itself or asks for what does not exist."""

    exit_code = 3


class DataError(TrainerError):
    """Data or labels are missing, broken or do not fit the spec."""

    exit_code = 4


class CheckpointError(TrainerError):
    """A checkpoint is missing, broken, or of another network."""

    exit_code = 5


class ResourceError(TrainerError):
    """A GPU, memory or disk space that is not there."""

    exit_code = 7


class RefusedError(TrainerError):
    """Refused so that nothing the user has is lost."""

    exit_code = 9
