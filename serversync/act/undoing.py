"""PURE  What an undo means for the pair's next decision. Most of it needs nothing: the record was put back, which is a change like
any other. But an undo mails nobody unasked, and what the synchronization had made on the server goes again.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from mailboxes.protocols.items import Tell
from serversync.act.types import Decision, LinkTo, Pair, Reason, Verb, Write

#: `ExchangeSyncIdMapping.undoing`: its item was made by what was undone.
REMOVE = {"remove": True}
KEEP: dict[str, Any] = {}


def adjusted(decision: Decision, undoing: Mapping[str, Any] | None, pair: Pair) -> Decision:
    """`undoing`: None if nothing was undone since both sides were last equal."""
    if undoing is None:
        return decision
    if undoing.get("remove") and pair.server is not None:
        decision = _removed(pair)
    reasons = (*decision.reasons, Reason("undone"))
    mails = decision.to_server is not None and decision.to_server.mails
    return replace(decision, must_wait=decision.must_wait or mails, reasons=reasons)


def _removed(pair: Pair) -> Decision:
    """Attendees have been told of it, so they are told that it is off."""
    told = _attendees(pair) if pair.item.is_meeting and pair.item.organizes else ()
    write = Write(verb=Verb.DELETE, tell=Tell.ALL if told else Tell.NOBODY, told=told)
    return Decision(link=LinkTo.UNLINK, to_server=write)


def _attendees(pair: Pair) -> tuple[str, ...]:
    fields = pair.server.fields if pair.server else {}
    people = [*_people(fields.get("required")), *_people(fields.get("optional"))]
    return tuple(sorted({person.address for person in people}))


def _people(value: Any) -> Any:
    return value or ()
