"""Pairs of records and items, what waits for a person, and history, as cycles leave them behind."""

from datetime import UTC, datetime, timedelta
from typing import Any

from mailboxes.choices import ActDeliveryMethod
from mailboxes.models import Mailbox, SystemUser
from mailboxes.models.base import uuid7
from mailboxes.protocols.items import Person, Tell, When
from serversync.act.choices import BatchKind, ChangeType, LinkState, RevisionSide
from serversync.act.stored import digest_of, reasons_data, side_data, write_data
from serversync.act.types import Reason, Side, Table, Verb, Write
from serversync.models import (
    ActState,
    ExchangeSyncIdMapping,
    ItemFolderCursor,
    ParkedBatch,
    ParkedChange,
    SyncRevision,
)
from tests.factories.mailboxes import EmailServerProfileFactory, ready_mailbox

NOW = datetime(2026, 3, 9, 8, tzinfo=UTC)
NINE = When(NOW + timedelta(days=1), NOW + timedelta(days=1, hours=1), False, "Europe/Berlin")
MEETING: dict[str, Any] = {
    "subject": "Quarterly plan",
    "location": "Room 4",
    "when": NINE,
    "required": (Person("ben@example.com", "Ben"), Person("cleo@customer.example", "Cleo")),
    "organizer": Person("ada@example.com", "Ada"),
    "show_as": "busy",
}


def act_mailbox(user: SystemUser | None = None, **columns: Any) -> Mailbox:
    """A user's mailbox on an Exchange server, whose appointments, contacts and tasks are synchronized."""
    columns.setdefault("email_server_profile", EmailServerProfileFactory(exchange=True))
    return ready_mailbox(user, act_delivery_method=ActDeliveryMethod.SERVER_SIDE_SYNC, **columns)


def pair(mailbox: Mailbox, table: Table = Table.APPOINTMENT, **columns: Any) -> Any:
    """A linked pair, equal on both sides."""
    number = ExchangeSyncIdMapping.objects.count()
    base = columns.pop("base", MEETING)
    values = {
        "state": LinkState.LINKED,
        "object_id": uuid7(),
        "exchange_entry_id": f"item-{number}",
        "change_key": "1",
        "item_subject": (base or {}).get("subject", ""),
        "base": None if base is None else side_data(Side(base)),
        "synced_on": NOW,
    }
    return ExchangeSyncIdMapping.objects.create(
        mailbox=mailbox,
        owner=mailbox.regarding_user,
        object_type_code=table,
        generation=mailbox.account_generation,
        **values | columns,
    )


def asking(mailbox: Mailbox, question: str, about: Any = None, **columns: Any) -> Any:
    """A pair that waits for an answer."""
    return pair(
        mailbox, question=question, question_about=about or {}, asked_on=NOW,
        to_crm_change_type=ChangeType.UPDATED, **columns,
    )  # fmt: skip


def batch(mailbox: Mailbox, kind: str = BatchKind.LIMITS, *reasons: Reason) -> ParkedBatch:
    reasons = reasons or (Reason("too_many_deletes", {"count": 14, "allowed": 10, "linked": 140}),)
    return ParkedBatch.objects.create(
        mailbox=mailbox, kind=kind, created_on=NOW, changed_on=NOW, reasons=reasons_data(reasons)
    )


DELETE = Write(verb=Verb.DELETE, tell=Tell.ALL, told=("ben@example.com", "cleo@customer.example"))


def parked(
    of: ParkedBatch,
    link: ExchangeSyncIdMapping,
    to_server: Write | None = DELETE,
    to_store: Write | None = None,
    before: Side | None = None,
    *reasons: Reason,
) -> ParkedChange:
    """A decision that waits; `before`: what stands there now."""
    before = before or Side(MEETING)
    people = {address for write in (to_store, to_server) if write for address in write.told}
    ExchangeSyncIdMapping.objects.filter(pk=link.pk).update(
        batch=of, from_crm_change_type=ChangeType.DELETED
    )
    return ParkedChange.objects.create(
        batch=of,
        link=link,
        digest=digest_of(to_store, to_server),
        to_store=write_data(to_store, before) if to_store else None,
        to_server=write_data(to_server, before) if to_server else None,
        told=sorted(people),
        reasons=reasons_data(reasons),
    )


def revision(link: ExchangeSyncIdMapping, side: str = RevisionSide.STORE, **columns: Any) -> Any:
    return SyncRevision.objects.create(
        link=link,
        mailbox=link.mailbox,
        object_type_code=link.object_type_code,
        object_id=link.object_id,
        side=side,
        **{"verb": Verb.UPDATE.value, "made_on": NOW} | columns,
    )


def begun(mailbox: Mailbox, **columns: Any) -> ActState:
    """The first look is over, and its folders are known."""
    for folder, name in (
        ("\\Calendar", "Calendar"),
        ("\\Contacts", "Contacts"),
        ("\\Tasks", "Tasks"),
    ):
        ItemFolderCursor.objects.create(
            mailbox=mailbox, generation=mailbox.account_generation, folder=folder, holds=folder,
            name=name, cursor="1", complete=True, checked_at=NOW,
        )  # fmt: skip
    return ActState.objects.create(
        mailbox=mailbox, **{"began_at": NOW, "first_look_at": NOW, "looked_at": NOW} | columns
    )
