"""What the cycles tell people about messages: which outcome raises which alert.

Alerts about the mailbox or the server as a whole are the engine's (serversync.engine).
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import Q, QuerySet

from activities.choices import UNDELIVERED
from activities.models import ActivityParty, Email
from mailboxes.alerts import Alert, clear_alerts, raise_alert
from mailboxes.choices import TraceLevel
from mailboxes.models import Mailbox, Organization, TraceLog
from serversync.choices import ItemState
from serversync.models import Submission, SyncItem
from tracking import hooks
from tracking.choices import HookState
from tracking.creation import Creation, Why
from tracking.models import HookRun

#: About one message each, and nothing that anybody could settle: over once they have not happened again.
FLEETING = (
    "MessageTooLarge",
    "InvalidForwardMailItem",
    "InvalidSender",
    "MessageIdReused",
    "Undelivered",
)
CONFLICT = (
    "ExchangeSyncSchedulingConflictsError"  # as a warning: it was stored all the same (R6.26)
)
OVER_AFTER = timedelta(days=7)


def after_page(
    mailbox: Mailbox, organization: Organization, rows: Iterable[SyncItem], now: datetime
) -> None:
    """One alert per condition and mailbox, however many messages of a page it concerns (R10.4)."""
    counts = Counter(code for row in rows if (code := _code(row)))
    for code, count in counts.items():
        raise_alert(
            mailbox,
            code,
            now=now,
            organization=organization,
            # An unusable sender is no fault of ours (R3.12).
            level=TraceLevel.INFORMATION if code == "InvalidSender" else None,
            parameters={"count": count},
        )


#: What a note about records that were not made tells of the rule, or of whose options wanted them.
HINDERED = {
    Why.HOUR_LIMIT: "RecordsHeldBack",
    Why.DAY_LIMIT: "RecordsHeldBack",
    Why.RIGHTS: "RuleOwnerLacksRights",
    Why.OWNER_DISABLED: "RuleOwnerLacksRights",
}


def after_creations(
    mailbox: Mailbox, organization: Organization, creations: Collection[Creation], now: datetime
) -> None:
    """One alert for each rule, or whoever's options make records, that was braked or may not; it is over
    once they make one of an unknown sender (R3.58)."""
    notes = [note for one in creations for note in one.notes if note.why in HINDERED]
    hindered = {(HINDERED[note.why], note.maker): note for note in notes}
    for (code, maker), note in hindered.items():
        raise_alert(
            mailbox,
            code,
            now=now,
            organization=organization,
            parameters={
                "who": note.about.get("rule") or note.about.get("who", ""),
                "owner": note.about.get("owner", ""),
            },
            object_key=maker,
        )
    work = {one.maker for one in creations if one.is_at_work}
    if works := work - {maker for _code, maker in hindered}:
        clear_alerts(mailbox, set(HINDERED.values()), works, now=now)


def _code(row: SyncItem) -> str:
    if row.state == ItemState.QUARANTINED:
        return "Quarantined"
    if row.sub_reason == "message_id_reused":
        return "MessageIdReused"
    if row.reason == "too_large":
        return "MessageTooLarge"
    return row.reason if row.reason in ("InvalidSender", "InvalidForwardMailItem") else ""


def about(email: Email) -> str:
    """The object key of an alert about one e-mail."""
    return f"email:{email.pk}"


def delivery_unknown(
    email: Email, mailbox: Mailbox, organization: Organization, now: datetime
) -> None:
    raise_alert(
        mailbox, "DeliveryUnknown", now=now, organization=organization, object_key=about(email)
    )


def email_failed(email: Email, submission: Submission) -> Alert:
    """A permanent error of one e-mail, or its last attempt (R5.12)."""
    exhausted = not submission.permanent
    return Alert(
        "DeliveryAttemptsExhausted" if exhausted else submission.error_code or "MessageRefused",
        about(email),
        parameters={"attempts": email.delivery_attempts},
        detail=submission.server_reply,
    )


def recipients_refused(email: Email) -> Alert:
    """Some recipients were refused; the others got it (R5.16)."""
    return Alert(
        "RecipientsRefused", about(email), level=TraceLevel.WARNING, detail=email.last_error_text
    )


def undelivered(emails: Collection[UUID], organization: Organization, now: datetime) -> None:
    """What left did not reach somebody: one alert for each email, of the mailbox that sent it (R5.21)."""
    rows = Email.objects.filter(pk__in=list(emails)).select_related("sender_mailbox")
    lost = _lost(emails)
    for email in rows.only("pk", "sender_mailbox"):
        if (mailbox := email.sender_mailbox) is None:
            continue
        raise_alert(
            mailbox,
            "Undelivered",
            now=now,
            organization=organization,
            level=TraceLevel.WARNING,
            detail="\n".join(lost[email.pk]),
            object_key=about(email),
        )


def _lost(emails: Collection[UUID]) -> Mapping[UUID, list[str]]:
    """Email -> whom it did not reach, and why. An address may stand for several records."""
    rows = ActivityParty.objects.filter(activity__in=emails, delivery_result__in=UNDELIVERED)
    lost: dict[UUID, list[str]] = defaultdict(list)
    for email, address, detail in rows.values_list(
        "activity_id", "address_used", "delivery_detail"
    ):
        line = f"{address}: {detail}".rstrip(": ")
        if line not in lost[email]:
            lost[email].append(line)
    return lost


def known(emails: Iterable[Email], mailbox: Mailbox, now: datetime) -> None:
    """Nobody has to wonder any more whether they left: they did not. One statement."""
    clear_alerts(mailbox, ["DeliveryUnknown"], [about(email) for email in emails], now=now)


def settled(emails: Iterable[Email], mailbox: Mailbox, now: datetime) -> None:
    """They left: what was said about earlier attempts is over, whatever it was. One statement."""
    clear_alerts(mailbox, None, [about(email) for email in emails], now=now)


def close_over(now: datetime) -> int:
    """Nightly: what only informs and what concerned single messages is off the wall after a week without a
    repeat; what code of the site failed, once none of its runs is left to be done again (R8.10)."""
    fleeting = Q(code__in=FLEETING) | Q(code=CONFLICT, level=TraceLevel.WARNING)
    told = TraceLog.objects.filter(closed_on__isnull=True)
    gone = told.filter(
        fleeting | Q(level=TraceLevel.INFORMATION), last_seen_on__lt=now - OVER_AFTER
    )
    return gone.update(closed_on=now) + _close_hooks(told, now)


def _close_hooks(told: "QuerySet[TraceLog]", now: datetime) -> int:
    failed = HookRun.objects.filter(state=HookState.FAILED)
    waiting = SyncItem.objects.filter(
        reason=hooks.CODE, state__in=[ItemState.QUARANTINED, ItemState.RETRYING]
    )
    busy: tuple[QuerySet[Any, Any], ...] = (
        failed.exclude(email__receiving_mailbox=None).values("email__receiving_mailbox"),
        failed.filter(email__receiving_mailbox=None)
        .exclude(email__sender_mailbox=None)
        .values("email__sender_mailbox"),
        waiting.values("mailbox"),
    )
    rows = told.filter(code=hooks.CODE)
    for mailboxes in busy:
        rows = rows.exclude(regarding_mailbox__in=mailboxes)
    return rows.update(closed_on=now)
