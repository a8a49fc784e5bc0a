"""PURE  Tasks, phone calls, letters and faxes, all of which are tasks on the server (R6.37 to R6.40)."""

from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any

from mailboxes.protocols.items import Fields, TaskProgress
from serversync.act.types import DONE, Lifecycle, Pair, Side

REMINDED = timedelta(days=1)


def prepared(pair: Pair, now: datetime) -> Pair:
    """Both sides, as they are compared: the record as it would stand on the server, and on both sides a
    completion with its day."""
    store, server = pair.store, pair.server
    here = as_sent(store.fields, pair.record.lifecycle, now) if store else {}
    there = _as_told(server.fields) if server else {}
    _date(here, there, now.date())
    _date(there, here, now.date())
    return replace(pair, store=_with(store, here), server=_with(server, there))


def as_sent(fields: Fields, state: Lifecycle, now: datetime) -> dict[str, Any]:
    sent = dict(fields)
    if state in DONE or _has_ended(fields, now):
        sent |= _told(fields, status=TaskProgress.COMPLETED, percent_complete=100)
    elif "status" in fields and fields["status"] is None:
        sent["status"] = TaskProgress.NOT_STARTED
    if not is_completed(sent):
        sent |= _told(fields, completed=None)
    if "reminder" in fields and not _reminds(sent, now):
        sent["reminder"] = None
    return sent


def _as_told(fields: Fields) -> dict[str, Any]:
    """What isn't completed there has no day of completion."""
    return dict(fields) if is_completed(fields) else {**fields, **_told(fields, completed=None)}


def _has_ended(fields: Fields, now: datetime) -> bool:
    """R6.39. Whoever opens it again must clear the day."""
    ended = fields.get("completed")
    return isinstance(ended, date) and ended <= now.date()


def _reminds(fields: Fields, now: datetime) -> bool:
    """R6.37: open, and due no earlier than yesterday."""
    due = fields.get("due")
    late = isinstance(due, date) and due < (now - REMINDED).date()
    return not late and not is_completed(fields)


def _date(fields: dict[str, Any], other: Fields, today: date) -> None:
    if is_completed(fields) and "completed" in fields and fields["completed"] is None:
        fields["completed"] = other.get("completed") or today


def _told(fields: Fields, **values: Any) -> dict[str, Any]:
    """Those that this side tells at all: calls, letters and faxes have no percentage."""
    return {name: value for name, value in values.items() if name in fields}


def _with(side: Side | None, fields: Fields) -> Side | None:
    return replace(side, fields=fields) if side else None


def is_completed(fields: Fields) -> bool:
    """A hundred percent has been made the status by then (`fitting`)."""
    return fields.get("status") == TaskProgress.COMPLETED


def is_foreign(pair: Pair) -> bool:
    """Tasks that recur, or that the server gave to somebody else (R6.40)."""
    told = pair.server.fields if pair.server else {}
    return bool(told.get("is_recurring") or told.get("is_assigned"))


def state_after(pair: Pair, merged: Fields, written: Fields) -> Lifecycle | None:
    """What becomes of the record's state. `merged`: what both hold afterwards; `written`: what the record
    gets."""
    done, is_done = is_completed(merged), pair.record.lifecycle in DONE
    if done and not is_done:
        return Lifecycle.COMPLETED
    reopened = is_done and not done and "status" in written
    return Lifecycle.OPEN if reopened else None
