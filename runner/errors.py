"""What can go wrong in the bank and the runner, and the exit code each carries.

SkillBankError              1  message, problems, hint
├── UsageError              2  the call itself is wrong
│   ├── NoMatch             2  no skill fits the phrase (candidates)
│   ├── UnknownSkill        2
│   └── UnknownAction       2
├── SpecInvalid             3  the spec breaks its schema; every problem is listed
├── SchemaInvalid           3  a schema or a skill file is broken or out of date
├── InputMissing            4  data that the spec names is not there
├── ParentError             5  parent job or checkpoint not found or not fitting
│   └── CannotInfer         5  a parameter that has to come from the parent cannot
├── UnknownJob              5
├── StorageError            6  s3:// or credentials
├── JobFailed               1  the job ran and failed (log, last lines; its own exit code where it has one)
├── SearchFailed            1  every job of a search or of a series failed
├── StillRunning            8
├── Refused                 9  refused by policy: an immutable record, a file that would be lost
└── Canceled              143  ended by a signal or by `cancel` (130 for Ctrl-C)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Problem(NamedTuple):
    """One thing wrong with a spec: where (dotted path), what is wrong, what is allowed."""

    path: str
    says: str
    allowed: str = ""

    def __str__(self) -> str:
        where = f"{self.path}: " if self.path else ""
        return f"{where}{self.says}" + (f"; allowed: {self.allowed}" if self.allowed else "")

    def as_dict(self) -> dict[str, str]:
        """The problem as plain data."""
        return self._asdict()


class SkillBankError(Exception):
    """A mistake to show in words, never as a traceback."""

    exit_code = 1

    def __init__(
        self,
        message: str,
        *,
        problems: Sequence[Problem | str] = (),
        hint: str = "",
        exit_code: int | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.problems = [p if isinstance(p, Problem) else Problem("", p) for p in problems]
        self.hint = hint
        if exit_code is not None:
            self.exit_code = exit_code

    def __str__(self) -> str:
        return "\n".join([self.message, *(f"  - {p}" for p in self.problems), *([self.hint] if self.hint else [])])


class UsageError(SkillBankError):
    """The call itself is wrong."""

    exit_code = 2


class NoMatch(UsageError):
    """No skill fits the phrase; ``candidates`` are the nearest."""

    def __init__(self, message: str, candidates: Sequence[tuple[str, float]] = ()) -> None:
        named = ", ".join(f"{name} ({score:.2f})" for name, score in candidates)
        super().__init__(message, hint=f"Nearest: {named}" if named else "")
        self.candidates = [{"skill": name, "score": score} for name, score in candidates]


class UnknownSkill(UsageError):
    """No skill of that name."""


class UnknownAction(UsageError):
    """The skill has no such action."""


class SpecInvalid(SkillBankError):
    """The spec breaks its schema."""

    exit_code = 3


class SchemaInvalid(SkillBankError):
    """A schema or a skill file is broken, missing or out of date."""

    exit_code = 3


class InputMissing(SkillBankError):
    """Data that the spec names is not there."""

    exit_code = 4


class ParentError(SkillBankError):
    """A parent job or its checkpoint is not there or does not fit."""

    exit_code = 5


class CannotInfer(ParentError):
    """A parameter that has to be inferred cannot be."""

    def __init__(self, parameter: str, why: str) -> None:
        super().__init__(f"{parameter} cannot be inferred: {why}")
        self.parameter = parameter


class UnknownJob(SkillBankError):
    """No job of that id in the workspace."""

    exit_code = 5


class StorageError(SkillBankError):
    """An s3:// object, bucket or credential that is not to be had."""

    exit_code = 6


class JobFailed(SkillBankError):
    """The job ran and failed."""


class SearchFailed(SkillBankError):
    """Every job of a search or of a series failed."""


class StillRunning(SkillBankError):
    """The job has not ended yet."""

    exit_code = 8


class Refused(SkillBankError):
    """Refused so that nothing is lost or overwritten."""

    exit_code = 9


class Canceled(SkillBankError):
    """Ended by a signal or by ``cancel``."""

    exit_code = 143
