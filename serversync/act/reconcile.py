"""PURE  One pair: what both sides held when they were last equal, and what each holds now -> what to write where.

                     record here                     no record here
    item there       merge, unlink, link             take it up (R6.3), or follow a deletion (R6.45)
    no item there    make it there (R6.2), or        forget the pair
                     follow a deletion (R6.45)

Called for each pair that something was noted of; nobody else decides what is written. Decided again with what it
wrote on both sides and its own `base`, it writes nothing.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from mailboxes.protocols.items import Fields, ItemKind, Person, Tell
from serversync.act import deletes, guard, meetings, merging, series, tasks, times
from serversync.act.fitting import fitted
from serversync.act.merging import Closed, Merged
from serversync.act.series import Series
from serversync.act.types import (
    DONE,
    Answer,
    Decision,
    Lifecycle,
    LinkTo,
    Lost,
    Pair,
    Question,
    Reason,
    Side,
    Started,
    Table,
    Verb,
    Write,
)

CONFLICT = "ExchangeSyncSchedulingConflictsError"
NO_ORGANIZER = "OrganizerMissing"
_DELETIONS = (Verb.DELETE, Verb.CANCEL)


def reconcile(pair: Pair, now: datetime) -> Decision:
    """`now`: what is past is judged by it."""
    pair = prepared(pair, now)
    situation = _SITUATIONS[pair.store is not None, pair.server is not None]
    return _unless_declined(pair, situation(pair, now))


def prepared(pair: Pair, now: datetime) -> Pair:
    """Both sides as they can be compared."""
    pair = replace(pair, store=_fitted(pair, pair.store), server=_fitted(pair, pair.server))
    return _PREPARE[pair.table.kind](pair, now)


def _fitted(pair: Pair, side: Side | None) -> Side | None:
    if side is None:
        return None
    own = {
        at: None if told is None else fitted(pair.table, told).fields
        for at, told in side.occurrences.items()
    }
    fields = fitted(pair.table, side.fields, pair.settings).fields
    return replace(side, fields=fields, occurrences=own)


def _as_it_is(pair: Pair, _now: datetime) -> Pair:
    return pair


_PREPARE = {
    ItemKind.APPOINTMENT: meetings.prepared,
    ItemKind.SERIES: meetings.prepared,
    ItemKind.TASK: tasks.prepared,
    ItemKind.CONTACT: _as_it_is,
}


def _stay(pair: Pair, *codes: str) -> Decision:
    """Nothing is written, and the link stays as it is."""
    base = pair.base if pair.link.linked else None
    reasons = tuple(Reason(code) for code in codes)
    return Decision(base=base, differs=pair.link.linked, reasons=reasons)


def _forget(code: str) -> Decision:
    return Decision(link=LinkTo.FORGET, reasons=(Reason(code),))


# -- four situations ---------------------------------------------------------------------------------


def _neither(pair: Pair, now: datetime) -> Decision:
    return _forget("nothing_left")


def _item_only(pair: Pair, now: datetime) -> Decision:
    if pair.link.linked or pair.link.to_server_unknown:  # it is ours, though we never heard so
        return deletes.follow(deletes.Case.DELETED_HERE, pair, now)
    if pair.link.unlinked and not _is_tracked_anew(pair):
        return _stay(pair, "unlinked")
    if not _is_wanted_here(pair):
        return _forget("not_tracked")
    if pair.item.copy_of_linked and pair.settings.ignore_copies:
        return _forget("copy")
    if why := _not_taken(pair):
        return _stay(pair, why)
    return _without_conflict(pair, _create_here(pair, now))


def _record_only(pair: Pair, now: datetime) -> Decision:
    if pair.link.linked and pair.link.removing:
        return deletes.unlink(deletes.why_left(pair) or "removed_there")
    if pair.link.linked:
        return deletes.follow(deletes.Case.DELETED_THERE, pair, now)
    if pair.link.unlinked:
        return _stay(pair, "unlinked")
    if not (pair.record.matches and pair.record.readable):
        return _forget("no_filter")
    if why := meetings.not_sent(pair) if pair.table.is_meeting else "":
        error = NO_ORGANIZER if why == "organizer_missing" else ""
        return replace(_stay(pair, why), error=error)
    return _create_there(pair, now)


def _both(pair: Pair, now: datetime) -> Decision:
    if not pair.link.linked:
        return _link(pair, now)
    if case := deletes.case_of(pair):
        return _leave(case, pair, now)
    if pair.link.was_tracked and not pair.item.tracked and pair.table is not Table.CONTACT:
        return deletes.unlink("category_removed")
    if tasks.is_foreign(pair):
        return _stay(pair, "foreign_task")
    if pair.table.is_meeting and meetings.organizer_left(pair):
        return _hand_over(pair, now)
    if meetings.calls_off(pair, now):
        return _call_off(pair, now)
    return _without_conflict(pair, _merge(pair, now))


_SITUATIONS = {
    (True, True): _both,
    (True, False): _record_only,
    (False, True): _item_only,
    (False, False): _neither,
}


# -- beginnings --------------------------------------------------------------------------------------


def _is_wanted_here(pair: Pair) -> bool:
    """R6.3; contacts only by hand (R6.6)."""
    by_hand = pair.link.started in (Started.USER, Started.CLIENT)
    return by_hand or (pair.item.tracked and pair.table is not Table.CONTACT)


def _is_tracked_anew(pair: Pair) -> bool:
    """Somebody put the category on since it was unlinked."""
    return pair.item.tracked and not pair.link.was_tracked and pair.table is not Table.CONTACT


def _not_taken(pair: Pair) -> str:
    if not pair.record.writable:
        return "not_writable"
    if tasks.is_foreign(pair):
        return "foreign_task"
    return meetings.not_taken(pair) if pair.table.is_meeting else ""


def _link(pair: Pair, now: datetime) -> Decision:
    """A record and an item that belong together, and aren't linked (R6.51)."""
    if pair.item.copy_of_linked and pair.settings.ignore_copies:
        return _forget("copy")
    if not pair.record.readable:
        return _stay(pair, "not_readable")
    if pair.link.unlinked and not _is_tracked_anew(pair):
        wanted = pair.record.matches and pair.link.started is Started.FILTER
        if not wanted and pair.link.question is not Question.PREVIOUSLY_LINKED:
            return _stay(pair, "unlinked")
        if waits := _asked(pair, Question.PREVIOUSLY_LINKED):
            return waits
    if pair.link.question is Question.DUPLICATE and (waits := _asked(pair, Question.DUPLICATE)):
        return waits
    if not (_is_wanted_here(pair) or pair.record.matches):
        # Made there, and never answered: known, should the record be back.
        ours = pair.link.to_server_unknown
        return deletes.unlink("no_filter") if ours else _forget("not_tracked")
    if tasks.is_foreign(pair):
        return _stay(pair, "foreign_task")
    return _without_conflict(pair, _merge(pair, now))


def _create_there(pair: Pair, now: datetime) -> Decision:
    assert pair.store is not None
    source = pair.store
    sent = {
        name: source.fields[name]
        for name, way in pair.directions.items()
        if way.reaches_server and name in source.fields and name not in meetings.NEVER_SENT
    }
    told = series.exceptions(source, _only(pair, sent))
    write = Write(verb=Verb.CREATE, fields=sent, occurrences=told)
    invites = pair.table.is_meeting and meetings.invites(pair) and pair.record.lifecycle not in DONE
    write = _inviting(write, source.fields, now) if invites else write
    state = _state_after(pair, source.fields, {})
    # An invitation that others tracked names whomever it likes, and the organizer may have deleted his own.
    unasked = pair.record.from_a_server and write.mails and pair.settings.ask_before_cancelling
    why = (Reason("not_in_organizers_mailbox"),) if unasked else ()
    return Decision(
        link=LinkTo.LINK,
        to_store=Write(verb=Verb.UPDATE, lifecycle=state) if state else None,
        to_server=write,
        base=_base(pair, {**sent, **_organizer(pair)}, told),
        must_wait=unasked,
        reasons=(Reason("matches_filter"), *why, *_told(pair, write)),
    )


def _organizer(pair: Pair) -> Fields:
    """Nobody writes it: the server's organizer is whose mailbox it is."""
    fields = pair.store.fields if pair.store else {}
    named = "organizer" in fields and "organizer" in pair.directions
    return {"organizer": fields["organizer"]} if named else {}


def _inviting(write: Write, fields: Fields, now: datetime) -> Write:
    """R6.22, also of the occurrences that are written after the series."""
    tell, people = meetings.tell_creation(fields, now)
    result = Series()
    for original, own in write.occurrences.items():
        plain = times.regular(fields, original)
        told = (
            meetings.tell_ending(plain, now)
            if own is None
            else meetings.tell_creation({**plain, **own}, now)
        )
        result.note(original, *told)
    everybody = meetings.addresses(result.people.union(people))
    return replace(write, tell=tell, tells=result.tells, told=everybody)


def _create_here(pair: Pair, now: datetime) -> Decision:
    assert pair.server is not None
    source = pair.server
    taken = {
        name: source.fields[name]
        for name, way in pair.directions.items()
        if way.reaches_store and name in source.fields
    }
    told = series.exceptions(source, _only(pair, taken))
    state = _state_after(pair, taken, taken)
    return Decision(
        link=LinkTo.LINK,
        to_store=Write(verb=Verb.CREATE, fields=taken, occurrences=told, lifecycle=state),
        base=_base(pair, taken, told),
        reasons=(Reason("tracked"),),
    )


def _only(pair: Pair, fields: Fields) -> dict[str, Any]:
    return {name: pair.directions[name] for name in fields}


def _base(pair: Pair, fields: Fields, occurrences: Mapping[datetime, Fields | None]) -> Side:
    """Of an item or a record that has just been made of these. An occurrence is told whole."""
    whole = {
        original: None if own is None else {**times.regular(fields, original), **own}
        for original, own in occurrences.items()
    }
    return Side({**fields, **_called_off(pair)}, whole)


def _called_off(pair: Pair) -> dict[str, bool]:
    """Remembered whatever its direction: only what is called off since then, on either side, is carried."""
    if not pair.table.is_meeting:
        return {}
    canceled = pair.record.lifecycle is Lifecycle.CANCELED
    return {"is_cancelled": canceled or meetings.is_cancelled(pair.server)}


# -- linked pairs ------------------------------------------------------------------------------------


def _merge(pair: Pair, now: datetime) -> Decision:
    """Field by field, and each occurrence of a series likewise."""
    assert pair.store is not None and pair.server is not None
    ways = {name: way for name, way in pair.directions.items() if name != "is_cancelled"}
    base = pair.base.fields if pair.base else None
    shut, later = _closed(pair, now), meetings.later(pair)
    head = merging.merge(base, pair.store.fields, pair.server.fields, ways, shut, later)
    rest = series.merge_occurrences(pair, head, now)
    to_store, to_server = _to_store(pair, head, rest), _to_server(pair, head, rest, now)
    return Decision(
        link=LinkTo.KEEP if pair.link.linked else LinkTo.LINK,
        to_store=to_store,
        to_server=to_server,
        base=Side({**head.base, **_called_off(pair)}, rest.base),
        must_wait=_must_wait(pair, to_server, rest),
        differs=bool(head.held or rest.held or (head.to_server and rest.base)),
        lost=(*head.lost, *rest.lost),
        reasons=tuple(_why(pair, head, rest, to_server)),
        error="" if to_store or to_server else _error(head, rest),
    )


def _closed(pair: Pair, now: datetime) -> Closed:
    if pair.table.is_meeting:
        return meetings.closed(pair, past=_stays_past(pair, now))
    return (
        Closed() if pair.record.writable else Closed(dict.fromkeys(pair.directions, "not_writable"))
    )


def _stays_past(pair: Pair, now: datetime) -> bool:
    """Over on both sides: neither is being moved into the future (R6.23)."""
    return all(side and times.is_over(side.fields, now) for side in (pair.store, pair.server))


def _to_store(pair: Pair, head: Merged, rest: Series) -> Write | None:
    after = {**(pair.store.fields if pair.store else {}), **head.to_store}
    state = _state_after(pair, after, head.to_store)
    if not (head.to_store or rest.to_store or state):
        return None
    return Write(verb=Verb.UPDATE, fields=head.to_store, occurrences=rest.to_store, lifecycle=state)


def _state_after(pair: Pair, after: Fields, written: Fields) -> Any:
    """What becomes of the record's state, None if nothing."""
    if not pair.record.writable:
        return None
    if pair.table.kind is ItemKind.TASK:
        return tasks.state_after(pair, after, written)
    return meetings.state_after(pair, written) if pair.table.is_meeting else None


def _to_server(pair: Pair, head: Merged, rest: Series, now: datetime) -> Write | None:
    if not (head.to_server or rest.to_server):
        return None
    write = Write(
        verb=Verb.UPDATE,
        fields=head.to_server,
        occurrences=rest.to_server,
        tells=rest.tells,
        told=meetings.addresses(rest.people),
    )
    if not (pair.table.is_meeting and meetings.invites(pair) and pair.server):
        return replace(write, tells={}, told=())
    tell, people = meetings.tell_update(
        pair.server.fields,
        head.to_server,
        now,
        state=pair.record.lifecycle,
        linking=meetings.is_tracking(pair),
    )
    return replace(write, tell=tell, told=meetings.addresses(rest.people.union(people)))


def _must_wait(pair: Pair, write: Write | None, rest: Series) -> bool:
    """Whoever is taken off is mailed a cancellation, and everybody if an occurrence is deleted (R6.46)."""
    if write is None or pair.server is None or not pair.settings.ask_before_cancelling:
        return False
    head = write.tell is not Tell.NOBODY
    head = head and meetings.is_uninviting(pair.server.fields, write.fields)
    return head or any(original in write.tells for original in rest.deleted | rest.uninvited)


def _error(head: Merged, rest: Series) -> str:
    return NO_ORGANIZER if "organizer_missing" in (head.held | rest.held) else ""


def _why(pair: Pair, head: Merged, rest: Series, to_server: Write | None) -> Iterable[Reason]:
    if not pair.link.linked:
        yield Reason("linked")
    if head.to_store or rest.to_store:
        yield Reason("changed_there")
    if to_server is not None:
        yield from (Reason("changed_here"), *_told(pair, to_server))
    if head.lost or rest.lost:
        yield Reason("conflict", {"fields": ", ".join(_names(head.lost, rest.lost))})
    for code in head.held | rest.held:
        yield Reason(code)


def _told(pair: Pair, write: Write) -> Iterable[Reason]:
    """Whom the server mails; who takes part here, and can't be told."""
    if write.mails:
        yield Reason("attendees_told", {"count": len(write.told)})
    nameless = pair.record.without_address
    if nameless and not write.fields.keys().isdisjoint(meetings.ATTENDEES):
        yield Reason("without_address", {"parties": ", ".join(nameless)})


def _names(*lost: Iterable[Lost]) -> list[str]:
    return sorted({each.name for some in lost for each in some})


def _without_conflict(pair: Pair, decision: Decision) -> Decision:
    """R6.26: stored with a warning, or not before somebody decided."""
    if not (pair.table.is_meeting and meetings.is_conflict(pair, decision.to_store)):
        return decision
    if pair.settings.block_on_conflict:
        return _asked(pair, Question.SCHEDULING_CONFLICT) or decision
    busy = Reason("stored_while_busy", {"parties": ", ".join(pair.record.busy)})
    return replace(decision, alert=CONFLICT, reasons=(*decision.reasons, busy))


# -- partings ----------------------------------------------------------------------------------------


def _leave(case: deletes.Case, pair: Pair, now: datetime) -> Decision:
    """A task that left the filter because it was completed completes its item before they part."""
    decision = deletes.follow(case, pair, now)
    finished = pair.table.kind is ItemKind.TASK and pair.record.lifecycle in DONE
    if decision.writes or not (finished and pair.record.readable):
        return decision
    last = _merge(pair, now)
    return replace(decision, to_server=last.to_server, lost=last.lost if last.to_server else ())


def _hand_over(pair: Pair, now: datetime) -> Decision:
    """R6.32: the record has another organizer. A person decides, unless the original's way is chosen; the
    new organizer's mailbox makes the meeting once it is gone here."""
    assert pair.server is not None
    asks = not pair.settings.transfer_organizer
    if asks and (waits := _asked(pair, Question.ORGANIZER_CHANGED, _whose(pair))):
        return waits if waits.question else replace(_merge(pair, now), declined=waits.declined)
    if not times.is_ahead(pair.server.fields, now):
        return deletes.unlink("organizer_changed", "not_ahead")
    own = replace(pair, record=replace(pair.record, organizes=True))
    decision = deletes.ending(own, now, Verb.DELETE, link=LinkTo.UNLINK, why="organizer_changed")
    # Whoever answered has decided about the mails, too.
    return replace(decision, must_wait=False)


def _whose(pair: Pair) -> str:
    organizer = pair.store.fields.get("organizer") if pair.store else None
    return organizer.address if isinstance(organizer, Person) else ""


def _call_off(pair: Pair, now: datetime) -> Decision:
    decision = deletes.ending(pair, now, Verb.CANCEL, link=LinkTo.KEEP, why="canceled_here")
    known = pair.base.fields if pair.base else {}
    exceptions = pair.base.occurrences if pair.base else {}
    base = Side({**known, "is_cancelled": True}, exceptions)
    return replace(decision, base=base, differs=True, lost=())


# -- what people say ---------------------------------------------------------------------------------


def _asked(pair: Pair, question: Question, about: str = "") -> Decision | None:
    """None: they said yes. Otherwise it waits, or stays as it is. A no holds for good, but for a time when
    somebody is busy: another time is another question. `about`: what else it holds for."""
    link, said = pair.link, f"{question.value}:{about}" if about else question.value
    answer = link.answer if link.question is question else Answer.NONE
    if answer is Answer.YES:
        return None
    if answer is Answer.NO or said in link.declined:
        lasts = question is not Question.SCHEDULING_CONFLICT
        return replace(_stay(pair, f"{question.value}_declined"), declined=said if lasts else "")
    return replace(_stay(pair, question.value), question=question)


def _unless_declined(pair: Pair, decision: Decision) -> Decision:
    """What somebody dropped isn't proposed again; what he didn't want deleted goes its own way."""
    if not guard.is_declined(decision, pair.link.declined):
        return decision
    verbs = {write.verb for write in (decision.to_store, decision.to_server) if write}
    if Verb.CREATE in verbs and guard.NO_CREATION in pair.link.declined:
        return _stay(pair, "creation_declined")
    if verbs.isdisjoint(_DELETIONS):
        return _stay(pair, "declined")
    return deletes.unlink("declined")
