"""Which records belong to a report: the jobs asked for, what they stand on, and what stands on them.

Knows the links between records and nothing of what is in them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from runner.errors import UnknownJob

Record = dict[str, Any]
UP = ("parent_job", "study_job", "retry_of")


def gather(
    store_read: Callable[[str], Record],
    list_all: Callable[[], list[Record]],
    ids: str | Iterable[str],
) -> list[Record]:
    """The records of ``ids`` with their parents, studies, earlier attempts, trials and children, each once, oldest first.

    A job that a record names and the store no longer has is left out; ``build`` reports it as missing.

    Raises:
        UnknownJob: one of ``ids`` is not in the store.
    """
    found: dict[str, Record] = {}
    waiting = [store_read(job) for job in ([ids] if isinstance(ids, str) else ids)]
    everything = {record["id"]: record for record in list_all()}
    while waiting:
        record = waiting.pop()
        if record["id"] in found:
            continue
        found[record["id"]] = record
        waiting += _named(record, store_read, everything)
        waiting += [other for other in everything.values() if any(other.get(link) == record["id"] for link in UP)]
    return sorted(found.values(), key=age)


def age(record: Record) -> tuple[str, str]:
    """Sorts records oldest first."""
    return (str(record.get("submitted_at") or ""), str(record["id"]))


def linked(record: Record) -> Iterator[str]:
    """The ids a record names: its parent, its study, the job it goes on from, the trials or trainings it ran."""
    yield from (record[link] for link in UP if record.get(link))
    search = record.get("automl") or {}
    trials = [*(search.get("trials") or []), search.get("best") or {}, *((record.get("series") or {}).get("children") or [])]
    yield from (trial["job_id"] for trial in trials if trial.get("job_id"))


def _named(record: Record, store_read: Callable[[str], Record], everything: dict[str, Record]) -> Iterator[Record]:
    for job in linked(record):
        if job in everything:
            yield everything[job]
            continue
        try:
            yield store_read(job)
        except UnknownJob:
            continue
