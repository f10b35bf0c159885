"""Job records and their store: mint, open, mark, close, read, reconcile.

Knows files, locks and states. Must not know what a spec means, nor who runs a job or how.
"""

from __future__ import annotations

from runner.jobs.locks import Lease
from runner.jobs.record import DIED, FIELDS, STATES, TERMINAL, Record, Records, Ticket
from runner.jobs.store import JobStore, evidence
from runner.redact import redact

__all__ = [
    "DIED",
    "FIELDS",
    "STATES",
    "TERMINAL",
    "JobStore",
    "Lease",
    "Record",
    "Records",
    "Ticket",
    "evidence",
    "redact",
]
