"""Appointments, series, service activities, tasks, phone calls, letters and faxes: every write to them.

An activity is a pointer, a concrete row and parties, here always written together. All functions take many at once,
in a fixed number of statements for each kind, and are to be called inside a transaction.

    create(rows)     NewActivity         ──┐
    update(changes)  ActivityChange      ──┼──> sound? ──> written, the others refused
    set_status       keys, a status      ──┘
    delete           keys ──> the bin (activities.recyclebin), a series with all its exceptions

    exception_of     an occurrence of a series as a NewActivity of its own, like the series
    delete_occurrences, restore_occurrences     it takes place no more, and again
    locked           rows as they are, which nobody else writes until the transaction ends; version_of them
"""

from activities.scheduling.contracts import ActivityChange, NewActivity, Written
from activities.scheduling.deleting import delete
from activities.scheduling.locking import Whole, locked, version_of
from activities.scheduling.series import delete_occurrences, exception_of, restore_occurrences
from activities.scheduling.writing import create, set_status, update

__all__ = [
    "ActivityChange",
    "NewActivity",
    "Whole",
    "Written",
    "create",
    "delete",
    "delete_occurrences",
    "exception_of",
    "locked",
    "restore_occurrences",
    "set_status",
    "update",
    "version_of",
]
