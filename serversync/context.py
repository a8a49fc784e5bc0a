"""All that one cycle needs to know before it goes to the network, read in two or three statements."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import Exists, F, FilteredRelation, OuterRef, Q, QuerySet

from mailboxes.choices import Operation
from mailboxes.models import Mailbox, Organization
from mailboxes.protocols.base import INBOX, SENT
from serversync.choices import ActionState, ItemState
from serversync.models import FoldedItem, MailboxLayout, ServerAction, SyncItem, Workload
from tracking.choices import FolderState, Way
from tracking.models import MailboxTrackingFolder


@dataclass(slots=True)
class FolderFacts:
    """One folder that a cycle reads, and its cursor row as it stands.

    `known`: there is such a row; `onboarded`: all that was there at the first contact has been gone
    through; `renewed`: the row was another rule's, so its count of old messages means nothing now.
    `beyond`: ledger rows that count as there once the cursor has passed them. Until then nobody would
    tell that they leave (Exchange: what comes and goes after a cursor is not told at all).
    """

    folder: str
    way: Way
    known: bool = False
    onboarded: bool = False
    cursor: str = ""
    watermark: datetime | None = None
    rule: MailboxTrackingFolder | None = None
    renewed: bool = False
    relinked_at: datetime | None = None
    relinked_for: str = ""
    beyond: list[UUID] = field(default_factory=list)


@dataclass(slots=True)
class Context:
    """`retries_due`, `actions_due`: whether looking for them is worth a statement.
    `has_history`: the ledger knows items of this mailbox, under whatever keys; `has_folded`: some of
    them by their identity only (folding).
    `tracked`: folders with a rule that works; `has_rules`: or with one that doesn't (section 7.1)."""

    workload: Workload
    mailbox: Mailbox
    organization: Organization
    inbox: FolderFacts
    sent: FolderFacts
    retries_due: bool
    actions_due: bool
    has_history: bool
    has_folded: bool = False
    tracked: list[FolderFacts] = field(default_factory=list)
    has_rules: bool = False
    layout: MailboxLayout | None = None


def load(
    mailbox_id: UUID | str,
    operation: Operation,
    now: datetime,
    organization: Organization | None = None,
) -> Context:
    """Raises Workload.DoesNotExist if the mailbox or its workload row is gone. One statement less with
    an `organization` that was read a moment ago, one more where there are folder rules."""
    workload = _workloads(now).get(mailbox_id=mailbox_id, operation=operation)
    organization = organization or Organization.objects.current()
    return _context(workload, organization, _tracked([workload] if workload.has_rules else []))


def load_all(
    workload_ids: Collection[int], now: datetime, organization: Organization
) -> dict[int, Context]:
    """The same for many at once, by workload, in one statement, two where there are folder rules."""
    workloads = list(_workloads(now).filter(pk__in=workload_ids)) if workload_ids else []
    tracked = _tracked([each for each in workloads if each.has_rules])
    return {each.pk: _context(each, organization, tracked) for each in workloads}


def _workloads(now: datetime) -> "QuerySet[Any]":
    items = SyncItem.objects.filter(mailbox_id=OuterRef("mailbox_id"))
    folded = FoldedItem.objects.filter(mailbox_id=OuterRef("mailbox_id"))
    actions = ServerAction.objects.filter(mailbox_id=OuterRef("mailbox_id"))
    rules = MailboxTrackingFolder.objects.filter(mailbox_id=OuterRef("mailbox_id"))
    return Workload.objects.select_related(
        "mailbox__email_server_profile",
        "mailbox__regarding_user__settings",
        "mailbox__regarding_queue",
        "mailbox__layout",
        "mailbox__discovered_endpoint",
        "mailbox__verbose_logging",
    ).annotate(
        **_cursor_columns("inbox", INBOX),
        **_cursor_columns("sent", SENT),
        retries_due=Exists(items.filter(state=ItemState.RETRYING, next_attempt_at__lte=now)),
        actions_due=Exists(actions.filter(state=ActionState.PENDING, next_attempt_at__lte=now)),
        has_history=Exists(items) | Exists(folded),
        has_folded=Exists(folded),
        has_rules=Exists(rules),
    )


def _context(
    workload: Any, organization: Organization, tracked: Mapping[UUID, list[FolderFacts]]
) -> Context:
    return Context(
        workload=workload,
        mailbox=workload.mailbox,
        organization=organization,
        inbox=_facts(workload, "inbox", INBOX, Way.INBOX),
        sent=_facts(workload, "sent", SENT, Way.SENT),
        retries_due=workload.retries_due,
        actions_due=workload.actions_due,
        has_history=workload.has_history,
        has_folded=workload.has_folded,
        tracked=tracked.get(workload.mailbox_id, []),
        has_rules=workload.has_rules,
        layout=_layout(workload.mailbox),
    )


def _cursor_columns(name: str, folder: str) -> dict[str, FilteredRelation | F]:
    """The cursor row of a folder, joined under this name."""
    row = "mailbox__folder_cursors"
    return {
        name: FilteredRelation(
            row,
            condition=Q(
                **{f"{row}__folder": folder, f"{row}__generation": F("mailbox__account_generation")}
            ),
        ),
        f"{name}_id": F(f"{name}__pk"),
        f"{name}_onboarded": F(f"{name}__onboarded"),
        f"{name}_cursor": F(f"{name}__cursor"),
        f"{name}_watermark": F(f"{name}__watermark"),
    }


def _facts(row: object, name: str, folder: str, way: Way) -> FolderFacts:
    return FolderFacts(
        folder=folder,
        way=way,
        known=getattr(row, f"{name}_id") is not None,
        onboarded=bool(getattr(row, f"{name}_onboarded")),
        cursor=getattr(row, f"{name}_cursor") or "",
        watermark=getattr(row, f"{name}_watermark"),
    )


def _tracked(workloads: Sequence[Workload]) -> dict[UUID, list[FolderFacts]]:
    """The folders of working rules, by mailbox. A cursor that another rule left counts as none: what
    that one passed over, this one may want (R7.7)."""
    found: dict[UUID, list[FolderFacts]] = {}
    if not workloads:
        return found
    row = "mailbox__folder_cursors"
    same = {
        f"{row}__folder": F("exchange_folder_id"),
        f"{row}__generation": F("mailbox__account_generation"),
    }
    rules = MailboxTrackingFolder.objects.filter(
        mailbox__in=[each.mailbox_id for each in workloads], state=FolderState.ACTIVE
    ).annotate(
        place=FilteredRelation(row, condition=Q(**same)),
        place_id=F("place__pk"),
        place_onboarded=F("place__onboarded"),
        place_cursor=F("place__cursor"),
        place_watermark=F("place__watermark"),
        place_rule=F("place__rule_id"),
        place_relinked_at=F("place__relinked_at"),
        place_relinked_for=F("place__relinked_for"),
    )
    for rule in rules.order_by("created_on", "pk"):
        facts = _facts(rule, "place", rule.exchange_folder_id, Way.FOLDER)
        facts.rule = rule
        facts.relinked_at = rule.place_relinked_at
        facts.relinked_for = rule.place_relinked_for or ""
        if facts.known and rule.place_rule != rule.pk:
            facts.renewed, facts.onboarded, facts.cursor = True, False, ""
        found.setdefault(rule.mailbox_id, []).append(facts)
    return found


def _layout(mailbox: Mailbox) -> MailboxLayout | None:
    layout: MailboxLayout | None = getattr(mailbox, "layout", None)
    if layout is None or layout.generation != mailbox.account_generation:
        return None
    return layout


def start_of(mailbox: Mailbox, facts: FolderFacts) -> datetime | None:
    """From when on mail of this folder counts: the later of the profile's and the mailbox's date (R3.6);
    for a folder rule its own date (R7.7); nothing for what was marked by hand (R3.9)."""
    if facts.way in (Way.CATEGORY, Way.MANUAL):
        return None
    if facts.rule is not None:
        return facts.rule.track_from
    profile = mailbox.email_server_profile
    assert profile is not None  # eligibility checked it
    own = mailbox.process_email_received_after
    return max(filter(None, (profile.process_emails_received_after, own)))
