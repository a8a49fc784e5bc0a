"""PURE  One pair: what both sides held when they were last equal, and what each holds now -> what to write where."""

from datetime import datetime

from serversync.act.types import Decision, Pair


def reconcile(pair: Pair, now: datetime) -> Decision:
    """Three-way, field by field (R6.53)."""
    raise NotImplementedError
