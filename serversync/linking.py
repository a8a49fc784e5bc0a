"""File the e-mails that lie in a tracked folder under the folder's record (R7.10, R7.11).

Which e-mail takes it is decided by tracking.folders; here is read what that needs, and written what it
says. `link` belongs into the transaction that stores a page; `relink` goes over a whole folder, after
the rule's record has changed and from time to time, for people may have filed by hand meanwhile.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from django.contrib.contenttypes.models import ContentType
from django.db import transaction
from django.db.models import Q
from django.db.models.fields.json import KeyTextTransform

from activities.models import ActivityPointer, Email
from serversync.context import FolderFacts
from serversync.cycle import Run
from serversync.leases import renew
from serversync.models import FolderCursor, SyncItem
from tracking import trace
from tracking.folders import Filed, LinkDecision, Record, RuleLine, link_decision
from tracking.models import FolderLink, MailboxTrackingFolder
from tracking.promote import FolderRule

RELINK_EVERY = timedelta(minutes=15)
PORTION = 500


def rule_of(rule: MailboxTrackingFolder) -> FolderRule:
    """The rule as promotion needs it. A record that is gone counts as none."""
    record = rule.regarding if rule.regarding_id else None
    return FolderRule(
        id=rule.pk,
        name=str(rule),
        record=trace.Named(record._meta.label_lower, str(record.pk), str(record))
        if record
        else None,
        record_type_id=rule.regarding_type_id,
    )


def link(
    run: Run,
    rule: MailboxTrackingFolder,
    since: Mapping[UUID, datetime | None],
    now: datetime,
) -> dict[UUID, LinkDecision]:
    """Decide and write, inside the caller's transaction. `since`: e-mail -> when the ledger first saw it
    in this folder, None: just now. Four statements at most, none for a rule without a record."""
    line = _line(rule)
    if not since or line.record is None:
        return {}
    keep_manual = bool(run.organization.effective("keep_manual_regarding"))
    filed = _filed(run, line, since, keep_manual)
    decisions = {
        key: link_decision(state, line, keep_manual=keep_manual) for key, state in filed.items()
    }
    _write(run, line, decisions, now)
    return decisions


def relink_due(facts: FolderFacts, now: datetime) -> bool:
    """Has the rule got another record since, or was it long ago?"""
    rule = facts.rule
    if rule is None or not rule.regarding_id or not facts.known:
        return False
    if facts.relinked_at is None or facts.relinked_for != rule.regarding_id:
        return True
    return facts.relinked_at + RELINK_EVERY <= now


def relink(run: Run, facts: FolderFacts) -> int:
    """Go over all e-mails in a tracked folder that have another record. Returns how many took it. A
    record that is gone is given to none (R7.10)."""
    rule, begun, taken = facts.rule, run.clock(), 0
    assert rule is not None
    last: UUID | None = None
    has_record = _line(rule).record is not None
    while has_record and (portion := _others(run, rule, last)):
        last, now = portion[-1].pk, run.clock()
        since = {row.email_id: row.first_seen_at for row in portion if row.email_id}
        with transaction.atomic():
            renew(run.token, now)
            decisions = link(run, rule, since, now)
        taken += sum(decision.regarding is not None for decision in decisions.values())
    FolderCursor.objects.filter(
        mailbox=run.mailbox, folder=facts.folder, generation=run.mailbox.account_generation
    ).update(relinked_at=begun, relinked_for=rule.regarding_id)
    return taken


def _others(run: Run, rule: MailboxTrackingFolder, after: UUID | None) -> Sequence[SyncItem]:
    rows = SyncItem.objects.filter(
        mailbox=run.mailbox,
        generation=run.mailbox.account_generation,
        folder=rule.exchange_folder_id,
        left_at__isnull=True,
        email__isnull=False,
    ).exclude(
        email__activity__regarding_type=rule.regarding_type_id,
        email__activity__regarding_id=rule.regarding_id,
    )
    if after is not None:
        rows = rows.filter(pk__gt=after)
    return list(rows.order_by("pk").only("email_id", "first_seen_at")[:PORTION])


def _line(rule: MailboxTrackingFolder) -> RuleLine:
    record: Record | None = None
    if rule.regarding_id and rule.regarding_type_id and rule.regarding is not None:
        record = (rule.regarding_type_id, rule.regarding_id)
    return RuleLine(
        id=rule.pk,
        mailbox=rule.mailbox_id,
        record=record,
        state=rule.state,
        relink_from=rule.relink_from,
    )


def _filed(
    run: Run, line: RuleLine, since: Mapping[UUID, datetime | None], keep_manual: bool
) -> dict[UUID, Filed]:
    emails = (
        Email.objects.filter(pk__in=list(since))
        .select_related("activity", "folder_link")
        .only("activity__regarding_type_id", "activity__regarding_id", "folder_link")
        .order_by("pk")
    )
    if keep_manual:
        emails = emails.annotate(
            first_kind=KeyTextTransform("kind", KeyTextTransform("regarding", "decision")),
            first_id=KeyTextTransform("id", KeyTextTransform("regarding", "decision")),
        )
    rows = list(emails)
    elsewhere = _still_lying(run, line, rows)
    filed = {}
    for email in rows:
        now_under = _record(email.activity.regarding_type_id, email.activity.regarding_id)
        found: FolderLink | None = getattr(email, "folder_link", None)
        given = now_under
        if found is not None:
            given = _record(found.regarding_type_id, found.regarding_id)
        elif keep_manual:
            given = _first(getattr(email, "first_kind"), getattr(email, "first_id"))  # noqa: B009
        filed[email.pk] = Filed(
            regarding=now_under,
            given=given,
            mailbox=found.mailbox_id if found else None,
            rule=found.rule_id if found else None,
            lies_there=email.pk in elsewhere,
            in_folder_since=since[email.pk],
        )
    return filed


def _record(type_id: int | None, key: str) -> Record | None:
    return (type_id, key) if type_id and key else None


def _first(kind: str | None, key: str | None) -> Record | None:
    """The record that the decision gave it when it was stored."""
    if not kind or not key:
        return None
    app, _, model = kind.partition(".")
    return (ContentType.objects.get_by_natural_key(app, model).pk, key)


def _still_lying(run: Run, line: RuleLine, emails: Sequence[Email]) -> set[UUID]:
    """Those that another rule of this mailbox linked, and that still lie in its folder."""
    others: dict[UUID, set[UUID]] = {}
    for email in emails:
        found: FolderLink | None = getattr(email, "folder_link", None)
        if found and found.rule_id not in (None, line.id) and found.mailbox_id == line.mailbox:
            others.setdefault(found.rule_id, set()).add(email.pk)
    if not others:
        return set()
    folders = MailboxTrackingFolder.objects.filter(pk__in=others).values_list(
        "pk", "exchange_folder_id"
    )
    lying = Q(pk__in=[])
    for rule, folder in folders:
        lying |= Q(folder=folder, email__in=others[rule])
    items = SyncItem.objects.filter(
        lying,
        mailbox=run.mailbox,
        generation=run.mailbox.account_generation,
        left_at__isnull=True,
    )
    return {key for key in items.values_list("email_id", flat=True) if key}


def _write(run: Run, line: RuleLine, decisions: Mapping[UUID, LinkDecision], now: datetime) -> None:
    assert line.record is not None
    type_id, key = line.record
    moved = [email for email, decision in decisions.items() if decision.regarding is not None]
    if moved:
        ActivityPointer.objects.filter(pk__in=moved).update(
            regarding_type_id=type_id, regarding_id=key, modified_on=now
        )
    FolderLink.objects.bulk_create(
        [
            FolderLink(
                email_id=email,
                mailbox=run.mailbox,
                rule_id=line.id,
                regarding_type_id=type_id,
                regarding_id=key,
                linked_on=now,
            )
            for email, decision in decisions.items()
            if decision.links
        ],
        update_conflicts=True,
        unique_fields=["email"],
        update_fields=["mailbox", "rule", "regarding_type", "regarding_id", "linked_on"],
    )
