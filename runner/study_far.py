"""The words of a search over several machines: its database, when a worker counts as lost, and who starts the workers.

Reads words only: connects to nothing and starts nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from runner import databases
from runner.errors import Problem, UsageError

LOST_AFTER, LEAST = 120, 4  # seconds
ENGINES = ("slurm",)
MANY = 4  # workers that are submitted where nobody says how many


def check(asked: Any) -> None:
    """See that the words are right whatever is searched.

    Raises:
        UsageError: one of them is not.
    """
    if asked.storage is not None:
        databases.remember(asked.storage)
    _seconds(asked.lost_after)
    if asked.launch is not None and asked.launch not in ENGINES:
        hint = "On other engines start `skillbank automl worker` yourself; `skillbank automl manifest` is for Kubernetes."
        raise UsageError(f"--launch {asked.launch}: not offered; allowed: {', '.join(ENGINES)}.", hint=hint)
    if asked.slurm and asked.launch != "slurm":
        raise UsageError("--slurm says how --launch slurm submits workers, and they are not submitted.", hint="Leave it out.")
    _options(asked.slurm)


def begin(asked: Any, study_id: str, workers: int | str | None) -> dict[str, Any]:
    """What the facts of a new search say of machines.

    Raises:
        UsageError: a word that needs a database, and there is none.
    """
    if asked.storage is None:
        needing = [f"--{name}" for name, said in (("lost-after", asked.lost_after), ("launch", asked.launch)) if said]
        needing += ["--workers 0"] if workers == 0 else []
        if needing:
            raise UsageError(
                f"{', '.join(needing)}: of a search whose study other machines can reach.",
                hint=f"--storage {databases.ALLOWED}",
            )
        return {}
    place = databases.remember(asked.storage)
    return {
        "study": place,
        "storage": place,
        "study_id": study_id,
        "lost_after": _seconds(asked.lost_after),
        **_launch(asked, workers),
    }


def go_on(asked: Any, before: Mapping[str, Any], workers: int | str | None) -> dict[str, Any]:
    """The same of a search that goes on.

    Raises:
        UsageError: it is in another place, or would become another search.
    """
    there = before.get("storage")
    if there is None:
        begin(asked._replace(storage=None), "", workers)
        if asked.storage is not None:
            raise UsageError("--storage: the study of this search is a file of its first job.", hint="Leave it out.")
        return {}
    if asked.storage is not None and databases.remember(asked.storage) != there:
        raise UsageError("This would be another search:", problems=[Problem("--storage", "the study is elsewhere", there)])
    if asked.lost_after is not None and _seconds(asked.lost_after) != before["lost_after"]:
        said = Problem("--lost-after", "all workers keep to what the search began with", f"{before['lost_after']}s")
        raise UsageError("This would be another search:", problems=[said])
    count = workers if workers is not None or before.get("launch") else before["workers"]
    return _launch(asked, count)


def notes(facts: Mapping[str, Any], asked: Any, upload: str | None) -> list[str]:
    """What the user should know of a search in a database."""
    found = []
    if asked.storage and databases.has_password(asked.storage):
        found.append(f"--storage: a password on the command line can be read by every user. Better: {databases.PASSWORDS}.")
    if facts.get("storage") and not upload:
        found.append(
            "Checkpoints stay in the workspace that trained them: where machines share no folder, a trial that goes on "
            "elsewhere begins again. --results s3://BUCKET/PREFIX brings them across."
        )
    return found


def _launch(asked: Any, workers: int | str | None) -> dict[str, Any]:
    """Who trains: this process, or workers that an engine starts."""
    if asked.launch is None:
        return {"workers": "auto" if workers is None else workers, "launch": None}
    if workers in ("auto", 0):
        raise UsageError(f"--workers {workers}: --launch {asked.launch} submits a number of workers of 1 or more.")
    return {"workers": 0, "launch": {"engine": asked.launch, "workers": workers or MANY, "options": _options(asked.slurm)}}


def _seconds(word: str | None) -> int:
    """What ``--lost-after`` says."""
    if word is None:
        return LOST_AFTER
    units = {"s": 1, "m": 60, "h": 3600}
    number, unit = (word[:-1], word[-1]) if word[-1:] in units else (word, "s")
    if number.isascii() and number.isdigit() and int(number) * units[unit] >= LEAST:
        return int(number) * units[unit]
    raise UsageError(f"--lost-after {word}: not a time; allowed: {LEAST}s or more (30s, 2m, 1h).")


def _options(words: tuple[str, ...]) -> dict[str, Any]:
    """``partition=gpu`` and the like, numbers as numbers."""
    found: dict[str, Any] = {}
    for word in words:
        key, sign, value = word.partition("=")
        if not sign or not key or not value:
            raise UsageError(f"--slurm {word}: allowed: KEY=VALUE, such as partition=gpu, time=600, cpus_per_task=8.")
        if key in found:
            raise UsageError(f"--slurm {word}: {key} is given twice.")
        found[key] = int(value) if value.isascii() and value.isdigit() else value
    return found
