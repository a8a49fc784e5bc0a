"""Decisions as what the store and the server are asked to do, and in which company."""

from collections.abc import Iterator, Sequence

from mailboxes.protocols.items import Change, Deletion, Draft, Fields, Tell
from serversync.act.fitting import placed
from serversync.act.store.types import StoreWrite
from serversync.act.types import LinkTo, Table, Verb
from serversync.act.work import FOLDER_OF, Work


def request_of(work: Work) -> Verb:
    """Which of the three requests: a change also where only our key is to be written on the item, a deletion also
    to call it off."""
    verb = work.decision.to_server.verb if work.decision.to_server else Verb.UPDATE
    return Verb.DELETE if verb is Verb.CANCEL else verb


def makes(work: Work) -> bool:
    return request_of(work) is Verb.CREATE


def apart(works: Sequence[Work]) -> Iterator[Sequence[Work]]:
    """What mails nobody goes together; the rest one by one."""
    silent = [work for work in works if not _mails(work)]
    if silent:
        yield silent
    for work in works:
        if _mails(work):
            yield [work]


def _mails(work: Work) -> bool:
    return work.decision.to_server is not None and work.decision.to_server.mails


def needs_mark(work: Work) -> bool:
    """A linked item carries our key, by which copies and moves are told apart (R6.48)."""
    stays = work.decision.base is not None and work.decision.link is not LinkTo.UNLINK
    if not stays or work.item is None:
        return False
    return work.item.link != str(work.link.link_key)


def store_write(work: Work) -> StoreWrite:
    write = work.decision.to_store
    assert write is not None
    return StoreWrite(
        table=work.table,
        write=write,
        key=work.link.object_id if write.verb is not Verb.CREATE else None,
        expected=work.store,
        uid=work.item.uid if work.item else work.link.uid,
        organizer_user=work.facts.organizer_user,
        alike=work.alike,
        why=", ".join(reason.code for reason in work.decision.reasons),
    )


def draft(work: Work) -> Draft:
    write = work.decision.to_server
    assert write is not None
    kind = work.table.kind
    return Draft(
        folder=FOLDER_OF[kind],
        kind=kind,
        fields=_placed(work, write.fields),
        link=str(work.link.link_key),
        tell=write.tell,
        uid=work.link.uid,
    )


def change(work: Work) -> Change:
    write = work.decision.to_server
    return Change(
        id=work.link.exchange_entry_id,
        version=work.server.version if work.server else "",
        kind=work.table.kind,
        fields=_placed(work, write.fields) if write else {},
        tell=write.tell if write else Tell.NOBODY,
        link=str(work.link.link_key) if needs_mark(work) else None,
    )


def _placed(work: Work, fields: Fields) -> Fields:
    """The one address of a contact goes where the item has it (R6.16)."""
    if work.pair is None or work.table is not Table.CONTACT:
        return fields
    return placed(fields, work.link.item_facts.get("mailing", ""), work.pair.settings)


def deletion(work: Work) -> Deletion:
    write = work.decision.to_server
    assert write is not None
    return Deletion(
        id=work.link.exchange_entry_id,
        version=work.server.version if work.server else "",
        kind=work.table.kind,
        tell=write.tell,
        cancel_only=write.verb is Verb.CANCEL,
    )
