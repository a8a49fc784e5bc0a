"""PURE  Meetings: who may write them where, who is told, and what their states mean (R6.20 to R6.36a).

Answers questions of `reconcile`, one function each; tables where there are several cases. A service activity
is a meeting without an organizer, whose fields only go to the server (R6.8).
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from mailboxes.protocols.items import Fields, Person, Sensitivity, ShowAs, Tell, When
from mailboxes.recurrence import Recurrence
from serversync.act import times
from serversync.act.merging import SERVER, STORE, Closed, is_blank
from serversync.act.types import DONE, Lifecycle, Pair, Side, Started, Table, Write

ATTENDEES = ("required", "optional")
#: What attendees are told of (R6.22).
TOLD_OF = frozenset(
    {"subject", "body", "location", "when", *ATTENDEES, "organizer", "show_as", "importance"}
    | {"recurrence"}
)
#: Of an attendee's own copy, not of the meeting.
PERSONAL = ("show_as", "reminder", "sensitivity", "categories", "answers", "is_cancelled")
#: The server keeps these by itself.
NEVER_SENT = ("organizer", "answers", "is_cancelled")
REMINDED = timedelta(days=7)

STATE_OF = {
    ShowAs.FREE: Lifecycle.OPEN,
    ShowAs.TENTATIVE: Lifecycle.OPEN,
    ShowAs.WORKING_ELSEWHERE: Lifecycle.OPEN,  # R6.27
    ShowAs.BUSY: Lifecycle.SCHEDULED,
    ShowAs.OUT_OF_OFFICE: Lifecycle.SCHEDULED,
}


# -- both sides, as they are compared ----------------------------------------------------------------


def prepared(pair: Pair, now: datetime) -> Pair:
    """The record as it would stand on the server (R6.21). Where the user organizes on both sides, both
    name him, by whatever address."""
    store, server = pair.store, pair.server
    if store is None:
        return pair
    if server is not None and pair.record.organizes and pair.item.organizes:
        known = {name: value for name, value in store.fields.items() if name == "organizer"}
        server = _without(
            replace(server, fields={**server.fields, **known}), known.get("organizer")
        )
    elif server is not None:
        store = _without(store, server.fields.get("organizer"))
    return replace(pair, store=_as_sent(store, pair.record.lifecycle, now), server=server)


def _without(side: Side, organizer: Any) -> Side:
    """Who organizes it on one side is no attendee on the other."""
    fields: dict[str, Any] = dict(side.fields)
    for name in ATTENDEES:
        if isinstance(people := fields.get(name), tuple):
            fields[name] = tuple(one for one in people if one != organizer)
    return replace(side, fields=fields)


def _as_sent(store: Side, state: Lifecycle, now: datetime) -> Side:
    own = {
        at: None if told is None else as_sent({**store.fields, **told}, state, now, told)
        for at, told in store.occurrences.items()
    }
    return replace(store, fields=as_sent(store.fields, state, now), occurrences=own)


def as_sent(
    fields: Fields, state: Lifecycle, now: datetime, only: Fields | None = None
) -> dict[str, Any]:
    """`only`: of an occurrence, the fields that are its own."""
    sent = dict(fields if only is None else only)
    if state in DONE and "show_as" in sent:
        sent["show_as"] = ShowAs.FREE
    idle = sent.get("show_as", fields.get("show_as")) == ShowAs.FREE
    if "reminder" in sent and (idle or times.is_over(fields, now - REMINDED)):
        sent["reminder"] = None
    return sent


# -- whose meeting it is -----------------------------------------------------------------------------


def sends(pair: Pair) -> bool:
    """Only the organizer's mailbox writes a meeting on the server (R6.20)."""
    if pair.table is Table.SERVICE_APPOINTMENT:
        return True
    return pair.record.organizes and (pair.server is None or pair.item.organizes)


def invites(pair: Pair) -> bool:
    """The server mails attendees about what this mailbox writes."""
    return pair.table is not Table.SERVICE_APPOINTMENT and sends(pair)


def is_own(pair: Pair) -> bool:
    """What one copy says of itself speaks for the record: it is the organizer's, or its owner's."""
    return pair.item.organizes or pair.record.owned


def organizer_left(pair: Pair) -> bool:
    """The record has got another organizer; the server's meeting hasn't (R6.32)."""
    record = pair.record
    handed = record.organizer_before and not record.organizes and record.has_organizer
    return handed and pair.item.organizes


def is_tracking(pair: Pair) -> bool:
    """The two are being linked, and it wasn't us who made one of them and never heard so."""
    return not pair.link.linked and not pair.link.to_server_unknown


def later(pair: Pair) -> str:
    """The side that was written last; the store's where that isn't known. It wins a conflict (R6.53), but for
    meetings that somebody else organizes: nobody else writes those on the server, so what it says wins."""
    here, there = (side.modified_at if side else None for side in (pair.store, pair.server))
    return SERVER if there is not None and (here is None or there > here) else STORE


# -- what must not be written now --------------------------------------------------------------------

Holds = Callable[[Pair], bool]

_TO_SERVER: tuple[tuple[Holds, str], ...] = (
    (lambda pair: is_cancelled(pair.server), "canceled_there"),
    (lambda pair: _lacks_organizer(pair), "organizer_missing"),
    (lambda pair: not sends(pair), "not_organizer"),
    (lambda pair: pair.settings.drafts and pair.record.draft, "draft"),
)
_TO_STORE: tuple[tuple[Holds, str], ...] = (
    (lambda pair: not pair.record.writable, "not_writable"),
    (lambda pair: pair.record.lifecycle in DONE, "closed_here"),
    # What an attendee changes in his own copy must not reach the meeting by way of the record.
    (lambda pair: pair.record.organizer_elsewhere and not pair.item.organizes, "organizer_decides"),
)


def closed(pair: Pair, *, past: bool) -> Closed:
    """`past`: what would be written is over, now and afterwards (R6.23)."""
    names = [*pair.directions, *NEVER_SENT]
    frozen = past and not pair.settings.update_past_meetings
    there = _first(pair, _TO_SERVER) or ("past_meeting" if frozen else "")
    here = _first(pair, _TO_STORE)
    return Closed(
        store=_own(pair) | (dict.fromkeys(names, here) if here else {}),
        server=dict.fromkeys(names, there) if there else dict.fromkeys(NEVER_SENT, "never_sent"),
    )


def _own(pair: Pair) -> dict[str, str]:
    """Fields that this copy has no say in."""
    shut = {} if is_own(pair) else dict.fromkeys(PERSONAL, "others_own")
    if pair.settings.keep_organizer_if_empty and _organizer_is_empty(pair.server):
        shut["organizer"] = "organizer_kept"
    return shut


def _first(pair: Pair, table: Iterable[tuple[Holds, str]]) -> str:
    return next((code for holds, code in table if holds(pair)), "")


def _lacks_organizer(pair: Pair) -> bool:
    return pair.table is not Table.SERVICE_APPOINTMENT and not pair.record.has_organizer


def _organizer_is_empty(side: Side | None) -> bool:
    organizer = side.fields.get("organizer") if side else None
    return not (isinstance(organizer, Person) and organizer.address)


def is_private(pair: Pair) -> bool:
    """R6.36"""
    told = pair.server.fields.get("sensitivity") if pair.server else None
    return told in (Sensitivity.PRIVATE, Sensitivity.CONFIDENTIAL)


def _tracked_by_owner(pair: Pair) -> bool:
    by_hand = pair.link.started in (Started.USER, Started.CLIENT)
    return pair.item.owns and (pair.item.tracked or by_hand)


def is_cancelled(side: Side | None) -> bool:
    return bool(side and side.fields.get("is_cancelled"))


# -- which pairs begin -------------------------------------------------------------------------------

#: A record that isn't made on the server -> why.
NOT_SENT: tuple[tuple[Holds, str], ...] = (
    (lambda pair: _lacks_organizer(pair), "organizer_missing"),
    (lambda pair: not sends(pair), "not_organizer"),
    (lambda pair: pair.settings.drafts and pair.record.draft, "draft"),
    (lambda pair: pair.record.organizer_elsewhere and not pair.settings.transfer_organizer,
     "organizer_elsewhere"),
)  # fmt: skip

#: An item that isn't taken up -> why.
NOT_TAKEN: tuple[tuple[Holds, str], ...] = (
    (lambda pair: not pair.item.in_main_calendar, "other_calendar"),
    (lambda pair: is_private(pair) and not _tracked_by_owner(pair), "private"),
    (lambda pair: _is_others(pair) and not pair.settings.track_from_non_organizer,
     "tracked_by_attendee"),
    (lambda pair: _is_others(pair) and not pair.item.organizer_syncs, "organizer_syncs_elsewhere"),
)  # fmt: skip


def not_sent(pair: Pair) -> str:
    return _first(pair, NOT_SENT)


def not_taken(pair: Pair) -> str:
    return _first(pair, NOT_TAKEN)


def _is_others(pair: Pair) -> bool:
    return pair.item.is_meeting and not pair.item.organizes


# -- who is told -------------------------------------------------------------------------------------


def attendees(fields: Fields | None) -> frozenset[Person]:
    told = [(fields or {}).get(name) for name in ATTENDEES]
    return frozenset(one for people in told if isinstance(people, tuple) for one in people)  # type: ignore[misc]


def tell_creation(fields: Fields, now: datetime) -> tuple[Tell, frozenset[Person]]:
    """R6.22. Nobody of what has begun."""
    people = attendees(fields)
    if not people or not times.is_ahead(fields, now):
        return Tell.NOBODY, frozenset()
    return Tell.ALL, people


def tell_update(
    before: Fields, changed: Fields, now: datetime, *, state: Lifecycle, linking: bool = False
) -> tuple[Tell, frozenset[Person]]:
    """`before`: as the server has it, `changed`: what is written. `linking`: the two have only just been
    linked; then nobody is told but who comes or goes (R6.33)."""
    after = {**before, **changed}
    matters = {name for name in changed if _matters(name, before, changed, state)}
    was, now_are = attendees(before), attendees(after)
    if not matters or not was | now_are or not times.is_ahead(after, now):
        return Tell.NOBODY, frozenset()
    if (moved := was ^ now_are) and (linking or matters <= set(ATTENDEES)):
        return Tell.CHANGED, moved
    return (Tell.NOBODY, moved) if linking else (Tell.ALL, was | now_are)


def _matters(name: str, before: Fields, changed: Fields, state: Lifecycle) -> bool:
    if name == "when":
        return _moves(
            before.get(name), changed[name], isinstance(before.get("recurrence"), Recurrence)
        )
    if name == "show_as":
        return (
            state is not Lifecycle.CANCELED
        )  # calling it off tells nobody, unless switched on (R6.45)
    return name in TOLD_OF


def _moves(before: Any, after: Any, is_series: bool) -> bool:
    """A zone alone moves a series, and nothing else (R6.35)."""
    if not (isinstance(before, When) and isinstance(after, When)):
        return True
    same_zone = before.zone == after.zone or not is_series
    return not same_zone or replace(before, zone="") != replace(after, zone="")


def is_uninviting(before: Fields, changed: Fields) -> bool:
    """Somebody is taken off: the server sends him a cancellation, whoever else hears of it (R6.46)."""
    return not attendees(before) <= attendees({**before, **changed})


def tell_ending(fields: Fields, now: datetime) -> tuple[Tell, frozenset[Person]]:
    """Of the organizer's meeting that is deleted or called off (R6.45)."""
    return tell_creation(fields, now)


def addresses(people: Iterable[Person]) -> tuple[str, ...]:
    return tuple(sorted(one.address for one in people))


# -- states ------------------------------------------------------------------------------------------


def state_after(pair: Pair, write: Mapping[str, Any]) -> Lifecycle | None:
    """What becomes of the record's state by what the server says; None: nothing (R6.27)."""
    now_is = pair.record.lifecycle
    if now_is in DONE:
        return None
    if _is_called_off(pair):
        return Lifecycle.CANCELED
    wanted = STATE_OF.get(write["show_as"]) if write.get("show_as") else None
    return wanted if wanted is not now_is else None


def _is_called_off(pair: Pair) -> bool:
    """Since both were last equal, and by somebody who may say so for this record."""
    if not is_cancelled(pair.server) or is_cancelled(pair.base):
        return False
    return is_own(pair) and "is_cancelled" not in closed(pair, past=False).store


def calls_off(pair: Pair, now: datetime) -> bool:
    """The meeting on the server is to be called off, because the record was canceled (R6.45)."""
    return (
        pair.settings.propagate_cancellations
        and pair.table is not Table.SERVICE_APPOINTMENT
        and pair.record.lifecycle is Lifecycle.CANCELED
        and pair.server is not None
        and pair.base is not None
        and not is_cancelled(pair.server)
        and not is_cancelled(pair.base)
        and sends(pair)
        and times.is_ahead(pair.server.fields, now)
    )


def is_conflict(pair: Pair, write: Write | None) -> bool:
    """Somebody is busy at the time that would be stored (R6.26). Booking by the client is deliberate."""
    if write is None or not pair.record.busy or pair.link.started is Started.CLIENT:
        return False
    return any(not is_blank(write.fields.get(name)) for name in ("when", *ATTENDEES))
