"""All that one cycle needs to know before it goes to the network, read in two statements."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db.models import Exists, F, FilteredRelation, OuterRef, Q

from mailboxes.choices import Operation
from mailboxes.models import Mailbox, Organization
from mailboxes.protocols.base import INBOX
from serversync.choices import ActionState, ItemState
from serversync.models import ServerAction, SyncItem, Workload


@dataclass(slots=True)
class InboxFacts:
    """The inbox's cursor row as it stands; `known` is False before the first contact, `onboarded`
    until all that was there then has been gone through."""

    known: bool
    onboarded: bool
    cursor: str
    watermark: datetime | None


@dataclass(slots=True)
class Context:
    """`retries_due`, `actions_due`: whether looking for them is worth a statement.
    `has_history`: the ledger knows items of this mailbox, under whatever keys."""

    workload: Workload
    mailbox: Mailbox
    organization: Organization
    inbox: InboxFacts
    retries_due: bool
    actions_due: bool
    has_history: bool


def load(
    mailbox_id: UUID | str,
    operation: Operation,
    now: datetime,
    organization: Organization | None = None,
) -> Context:
    """Raises Workload.DoesNotExist if the mailbox or its workload row is gone. One statement less with
    an `organization` that was read a moment ago."""
    items = SyncItem.objects.filter(mailbox_id=OuterRef("mailbox_id"))
    actions = ServerAction.objects.filter(mailbox_id=OuterRef("mailbox_id"))
    workload = (
        Workload.objects.select_related(
            "mailbox__email_server_profile",
            "mailbox__regarding_user__settings",
            "mailbox__regarding_queue",
        )
        .annotate(
            inbox=FilteredRelation(
                "mailbox__folder_cursors",
                condition=Q(
                    mailbox__folder_cursors__folder=INBOX,
                    mailbox__folder_cursors__generation=F("mailbox__account_generation"),
                ),
            ),
            inbox_id=F("inbox__pk"),
            inbox_onboarded=F("inbox__onboarded"),
            inbox_cursor=F("inbox__cursor"),
            inbox_watermark=F("inbox__watermark"),
            retries_due=Exists(items.filter(state=ItemState.RETRYING, next_attempt_at__lte=now)),
            actions_due=Exists(actions.filter(state=ActionState.PENDING, next_attempt_at__lte=now)),
            has_history=Exists(items),
        )
        .get(mailbox_id=mailbox_id, operation=operation)
    )
    return Context(
        workload=workload,
        mailbox=workload.mailbox,
        organization=organization or Organization.objects.current(),
        inbox=InboxFacts(
            known=workload.inbox_id is not None,
            onboarded=bool(workload.inbox_onboarded),
            cursor=workload.inbox_cursor or "",
            watermark=workload.inbox_watermark,
        ),
        retries_due=workload.retries_due,
        actions_due=workload.actions_due,
        has_history=workload.has_history,
    )
