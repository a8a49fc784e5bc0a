"""Why an e-mail that was sent does not leave yet: told when it is sent, on its page and in the list, and
in one alert of its mailbox after an hour (R5.7)."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import Count, F, OuterRef, Subquery
from django.db.models.functions import Coalesce, Greatest
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _

from activities.choices import EmailStatus
from activities.models import Email
from mailboxes.alerts import raise_alert
from mailboxes.choices import Operation, TraceLevel
from mailboxes.eligibility import Verdict, eligible, facts_of
from mailboxes.models import Mailbox, Organization, TraceLog
from serversync.limits import foreseen
from serversync.models import Workload
from serversync.pacing import Limit

ALERT = "EmailWaiting"
LONG = timedelta(hours=1)
LIMITS = ("SendingLimitReached", "SendingTooFast", "ErrorSubmissionQuotaExceeded")


# -- at Send, on the page, in the list -----------------------------------------------------------


def held_up(mailbox: Mailbox, organization: Organization, now: datetime) -> list[str]:
    """What of its mailbox keeps mail waiting (R5.7); strict parity says nothing."""
    if not organization.effective("warn_of_waiting_email"):
        return []
    verdict = _verdict(mailbox, mailbox.workload(Operation.OUTGOING), organization, now)
    if verdict.ok:
        return [words] if (words := used_up(mailbox, now)) else []
    return [_("It waits in the queue: %(because)s (R5.7)") % {"because": verdict.because}]


def used_up(mailbox: Mailbox, now: datetime) -> str:
    """Which sending limit lets nothing leave now, and until when; "" if none does. One statement, more
    where there are limits."""
    room = foreseen(mailbox, now)
    if room.until is None:
        return ""
    if not isinstance(room.because, Limit):
        words = _("The server asked for a pause: it goes on at %(time)s. (R5.14)")
        return words % {"time": _said(room.until)}
    return _(
        "Its sending limit is used up (%(most)d %(counted)s %(window)s): it goes on at %(time)s. (R5.14)"
    ) % {
        "most": room.because.most,
        "counted": room.because.counted.label,
        "window": room.because.window.label,
        "time": _said(room.until),
    }


def why_they_wait(
    emails: Iterable[Email], organization: Organization, now: datetime
) -> dict[UUID, str]:
    """Those of them that wait -> why, in a sentence. One statement, none if nothing waits; limits are
    looked at where all go through one mailbox, for they cost more."""
    waiting = [email for email in emails if email.status == EmailStatus.PENDING_SEND]
    if not waiting:
        return {}
    rows = _outgoing().filter(mailbox__in={email.sender_mailbox_id for email in waiting} - {None})
    workloads = {row.mailbox_id: row for row in rows}
    verdicts: dict[UUID | None, Verdict] = {
        key: _verdict(row.mailbox, row, organization, now) for key, row in workloads.items()
    }
    paced = ""
    if len(workloads) == 1 and all(verdict.ok for verdict in verdicts.values()):
        (workload,) = workloads.values()
        paced = used_up(workload.mailbox, now)
    return {email.pk: _why(email, verdicts, paced, organization, now) for email in waiting}


def _why(
    email: Email,
    verdicts: Mapping[UUID | None, Verdict],
    paced: str,
    organization: Organization,
    now: datetime,
) -> str:
    """What a person wanted comes before what went wrong; "" where strict parity says nothing."""
    later, postponed = email.delayed_email_send_time, email.postpone_email_processing_until
    if later is not None and later > now:
        return _("It is to leave at %(time)s. (R5.6)") % {"time": _said(later)}
    verdict = verdicts.get(email.sender_mailbox_id)
    if verdict is None:
        return _("The mailbox that was to send it is gone. Take it back and choose another From.")
    if not verdict.ok:
        told = organization.effective("warn_of_waiting_email")
        words = _("It waits because: %(because)s (R5.7)") % {"because": verdict.because}
        return words if told else ""
    if postponed is not None and postponed > now:
        if not email.last_error_code:
            return _("It can be undone until %(time)s. (R5.2)") % {"time": _said(postponed)}
        return _("It is tried again at %(time)s. (R5.12)") % {"time": _said(postponed)}
    return paced or _("It leaves with the next run of its mailbox.")


def _said(when: datetime) -> str:
    """With seconds where they matter."""
    local = timezone.localtime(when)
    shown = date_format(local, "SHORT_DATETIME_FORMAT" if not local.second else "Y-m-d H:i:s")
    return f"{shown} {local.tzname()}"


def _verdicts(
    mailboxes: Iterable[UUID | None], organization: Organization, now: datetime
) -> dict[UUID | None, Verdict]:
    rows = _outgoing().filter(mailbox__in=[key for key in mailboxes if key])
    return {row.mailbox_id: _verdict(row.mailbox, row, organization, now) for row in rows}


def _outgoing() -> Any:
    return Workload.objects.filter(operation=Operation.OUTGOING).select_related(
        "mailbox__email_server_profile", "mailbox__regarding_user", "mailbox__regarding_queue"
    )


def _verdict(mailbox: Mailbox, workload: Any, organization: Organization, now: datetime) -> Verdict:
    """A worker that has the mailbox right now is no reason to wait."""
    facts = facts_of(mailbox, workload, organization)
    return eligible(replace(facts, leased_until=None), now)


# -- after an hour -------------------------------------------------------------------------------


def tell_of_waiting(now: datetime) -> str:
    """One alert for each mailbox whose mail could have left an hour ago and waits, with the reason; it
    closes by itself when the mail has left. One statement where nothing waits and nothing was told."""
    organization = Organization.objects.current()
    told = dict(
        TraceLog.objects.filter(code=ALERT, closed_on__isnull=True).values_list(
            "subject_key", "error_details"
        )
    )
    late = list(_late(now)) if organization.effective("warn_of_waiting_email") else []
    late = [workload for workload in late if not _limited(workload, organization, now)]
    for workload in late:
        _tell(workload, told, organization, now)
    over = told.keys() - {str(workload.mailbox_id) for workload in late}
    if over:
        TraceLog.objects.filter(code=ALERT, closed_on__isnull=True, subject_key__in=over).update(
            closed_on=now
        )
    return f"{len(late)} mailboxes with mail that waits, {len(over)} alerts closed"


def _limited(workload: Any, organization: Organization, now: datetime) -> bool:
    """Its mailbox runs, and sends as much as it may (R5.14)."""
    return _verdict(workload.mailbox, workload, organization, now).code in LIMITS


def _late(now: datetime) -> Any:
    """Outgoing workloads with mail that was free to leave an hour ago, how much, and since when. What a
    passing refusal of its own postponed is told at the email (R5.12)."""
    free_since = Greatest(
        F("submitted_at"),
        Coalesce("delayed_email_send_time", "submitted_at"),
        Coalesce("postpone_email_processing_until", "submitted_at"),
    )
    late = (
        Email.objects.filter(
            status_code=EmailStatus.PENDING_SEND, sender_mailbox=OuterRef("mailbox_id")
        )
        .annotate(free_since=free_since)
        .filter(free_since__lte=now - LONG)
        .order_by()
        .values("sender_mailbox")
    )
    return (
        _outgoing()
        .annotate(waiting=Subquery(late.annotate(count=Count("pk")).values("count")))
        .filter(waiting__gt=0)
    )


def _tell(
    workload: Any, told: Mapping[str, str], organization: Organization, now: datetime
) -> None:
    """Again only if the reason is another one: an alert counts occurrences, not minutes."""
    verdict = _verdict(workload.mailbox, workload, organization, now)
    because = used_up(workload.mailbox, now) if verdict.ok else str(verdict.because)
    if told.get(str(workload.mailbox_id)) == because:
        return
    raise_alert(
        workload.mailbox,
        ALERT,
        now=now,
        organization=organization,
        level=TraceLevel.ERROR,  # whoever wrote it counts on it, and warnings are off by default
        parameters={"count": workload.waiting},
        detail=because,
    )
