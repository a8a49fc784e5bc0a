"""Mail to the owner of a server profile on major events, and the all-clear (R8.15, decided by `majorevents`).

It never goes through the server that it is about: the organization's mailbox for alerts, else the site's own
sender, else a healthy mailbox of another profile, else Django's mail. If none of them can, that is an alert.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from uuid import UUID
from zoneinfo import ZoneInfo

from django.conf import settings
from django.core.mail import EmailMessage
from django.db import transaction
from django.db.models import Case, Count, Exists, F, OuterRef, Q, QuerySet, Value, When
from django.utils import timezone, translation
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from activities.mime.automatic import Machine, fields_of
from mailboxes.alerts import clear_alerts, raise_alert
from mailboxes.choices import Operation, StateCode, TraceLevel
from mailboxes.conditions import explain
from mailboxes.models import EmailServerProfile, Mailbox, Organization, SystemUser, TraceLog
from serversync.choices import WorkloadState
from serversync.mailing import Refused, send_email
from serversync.majorevents import WITHIN, Alarm, Facts, Step, decide
from serversync.models import ProfileAlarm, Workload

log = logging.getLogger(__name__)

NOT_SENT = "AlertMailNotSent"
MOST_CAUSES = 5  # that a mail names
MOST_TRIED = 3  # mailboxes that may be asked to send it
#: Backends of Django that reach nobody without a mailbox of ours.
NO_WAY = ("serversync.site_mail.MailboxBackend", "django.core.mail.backends.dummy.EmailBackend")

_TROUBLE = Q(state__in=[WorkloadState.PAUSED, WorkloadState.DISABLED]) | Q(
    enabled=True, consecutive_failures__gt=0
)


class NobodySends(Exception):
    """Why the mail can't leave, as a sentence."""


@dataclass(frozen=True, slots=True)
class Recipient:
    address: str
    language: str
    zone: str


@dataclass(frozen=True, slots=True)
class Letter:
    subject: str
    text: str


# -- what is to be told --------------------------------------------------------------------------


def tell_of_major_events(now: datetime) -> str:
    """Two statements where nobody asked for it, or nothing is wrong."""
    organization = Organization.objects.current()
    profiles = list(
        EmailServerProfile.objects.annotate(untold=_untold(now))
        .filter(Q(send_email_alert=True) | Q(alarm__is_open=True) | Q(untold=True))
        .select_related("alarm", "owning_user__settings", "owning_team__administrator__settings")
        .order_by("pk")
    )
    facts = _facts(profiles, now) if profiles else {}
    steps = [_look(profile, facts[profile.pk], organization, now) for profile in profiles]
    told = sum(step in (Step.TELL, Step.ALL_CLEAR) for step in steps)
    return f"{len(profiles)} profiles looked at, {told} mails"


def _untold(now: datetime) -> Exists:
    """Has a mail that could not leave not been tried for an hour?"""
    alerts = TraceLog.objects.filter(code=NOT_SENT, closed_on__isnull=True)
    return Exists(alerts.filter(regarding_profile=OuterRef("pk"), last_seen_on__lt=now - WITHIN))


def _facts(profiles: Sequence[EmailServerProfile], now: datetime) -> Mapping[UUID, Facts]:
    counted = (
        _to_run(profiles)
        .values("mailbox__email_server_profile")
        .annotate(
            active=Count("mailbox", distinct=True),
            failing=Count("mailbox", distinct=True, filter=_TROUBLE),
            lately=Count(
                "mailbox", distinct=True, filter=_TROUBLE & Q(last_error_at__gt=now - WITHIN)
            ),
        )
    )
    numbers = {
        row["mailbox__email_server_profile"]: (row["active"], row["failing"], row["lately"])
        for row in counted
    }
    return {
        profile.pk: Facts(
            profile.send_email_alert and profile.is_active_state,
            *numbers.get(profile.pk, (0, 0, 0)),
        )
        for profile in profiles
    }


def _to_run(profiles: Sequence[EmailServerProfile]) -> "QuerySet[Workload]":
    """Workloads that run, or would if nothing were wrong."""
    return Workload.objects.filter(
        Q(enabled=True) | ~Q(state=WorkloadState.READY),
        mailbox__email_server_profile__in=[profile.pk for profile in profiles],
        mailbox__state_code=StateCode.ACTIVE,
    ).order_by()


def _look(
    profile: EmailServerProfile, facts: Facts, organization: Organization, now: datetime
) -> Step:
    row = getattr(profile, "alarm", None)
    alarm = Alarm(row.is_open, row.told_at) if row else Alarm()
    decision = decide(facts, alarm, now)
    if decision.step == Step.NOTHING:
        if getattr(profile, "untold", False) and not alarm.is_open:
            clear_alerts(profile, [NOT_SENT], now=now)  # what it was to tell of is over
        return Step.NOTHING
    try:
        with transaction.atomic():
            if not _note(profile, alarm, decision.step, now):
                return Step.NOTHING  # another worker was faster
            if decision.step != Step.FORGET:
                _tell(profile, facts, decision.step, organization, now)
            clear_alerts(profile, [NOT_SENT], now=now)
    except NobodySends as refusal:
        _tell_not_sent(profile, str(refusal), organization, now)
        return Step.NOTHING
    log.info("%s: %s: %s", profile, decision.step, decision.because)
    return decision.step


def _note(profile: EmailServerProfile, alarm: Alarm, step: Step, now: datetime) -> bool:
    """False unless the row still is what was decided on."""
    ProfileAlarm.objects.get_or_create(profile=profile)
    as_decided = ProfileAlarm.objects.filter(
        profile=profile, is_open=alarm.is_open, told_at=alarm.told_at
    )
    if step == Step.TELL:
        return bool(as_decided.update(is_open=True, told_at=now, over_at=None))
    return bool(as_decided.update(is_open=False, over_at=now))


def _tell_not_sent(
    profile: EmailServerProfile, why: str, organization: Organization, now: datetime
) -> None:
    """On the wall and the front page, since nobody is told otherwise."""
    raise_alert(
        profile, NOT_SENT, now=now, organization=organization, level=TraceLevel.ERROR, detail=why
    )


# -- the mail ------------------------------------------------------------------------------------


def _tell(
    profile: EmailServerProfile, facts: Facts, step: Step, organization: Organization, now: datetime
) -> None:
    """Into the send queue, in this transaction; by Django's own way after it."""
    recipient = recipient_of(profile)
    with _reading_as(recipient):
        letter = (
            _alarm(profile, facts, now) if step == Step.TELL else _all_clear(profile, facts, now)
        )
    key = f"{profile.pk}:{step.value}:{now.isoformat()}"
    refusals = []
    for mailbox in senders(profile, organization):
        try:
            send_email(
                by=None,
                sender=mailbox,
                to=recipient.address,
                subject=letter.subject,
                text=letter.text,
                to_anybody=True,
                idempotency_key=key,
                now=now,
            )
        except Refused as refusal:
            refusals.append(f"{mailbox}: {refusal}")
        else:
            return
    if settings.EMAIL_BACKEND in NO_WAY:
        raise NobodySends(" ".join(refusals) or _("No mailbox of another profile can send."))
    transaction.on_commit(partial(_send_by_django, profile.pk, recipient, letter, now))


def recipient_of(profile: EmailServerProfile) -> Recipient:
    """Raises NobodySends without an address."""
    team = profile.owning_team
    person: SystemUser | None = profile.owning_user or (team.administrator if team else None)
    address = (
        profile.owner_email_address
        or (team.email_address if team else "")
        or (person.internal_email_address if person else "")
    )
    if not address:
        raise NobodySends(_("Neither the profile nor its owner has an address for alerts."))
    chosen = getattr(person, "settings", None)
    return Recipient(
        address,
        (chosen.ui_language if chosen else "") or settings.LANGUAGE_CODE,
        (chosen.time_zone if chosen else "") or settings.TIME_ZONE,
    )


def senders(profile: EmailServerProfile, organization: Organization) -> list[Mailbox]:
    """Mailboxes of other profiles whose sending works, in the order in which they are asked: the one for alerts,
    the site's, those of queues, the others."""
    rows = (
        Workload.objects.filter(
            operation=Operation.OUTGOING,
            enabled=True,
            state=WorkloadState.READY,
            consecutive_failures=0,
            mailbox__state_code=StateCode.ACTIVE,
            mailbox__email_server_profile__state_code=StateCode.ACTIVE,
        )
        .exclude(mailbox__email_server_profile=profile)
        .exclude(mailbox__regarding_user=None, mailbox__regarding_queue=None)
        .annotate(turn=_turn(organization))
        .order_by("turn", F("last_success_at").desc(nulls_last=True), "pk")
        .select_related("mailbox__regarding_user", "mailbox__regarding_queue")
    )
    return [row.mailbox for row in rows[:MOST_TRIED]]


def _turn(organization: Organization) -> Case:
    of_site = Q(mailbox__email_address__iexact=settings.SITE_MAIL_SENDER)
    return Case(
        When(mailbox=organization.alert_mailbox_id, then=Value(0)),
        When(of_site & ~Q(mailbox__email_address=""), then=Value(1)),
        When(mailbox__regarding_queue__isnull=False, then=Value(2)),
        default=Value(3),
    )


def _send_by_django(profile_id: UUID, recipient: Recipient, letter: Letter, now: datetime) -> None:
    """What it says of a failure may quote a password, so only its kind is told."""
    message = EmailMessage(
        letter.subject,
        letter.text,
        to=[recipient.address],
        headers=dict(fields_of(Machine.NOTICE)),
    )
    try:
        message.send()
    except Exception as error:  # whatever a backend of the site raises
        log.exception("The mail about a server profile was not sent")
        profile = EmailServerProfile.objects.get(pk=profile_id)
        organization = Organization.objects.current()
        _tell_not_sent(profile, f"EMAIL_BACKEND: {type(error).__name__}", organization, now)


# -- its words -----------------------------------------------------------------------------------


@contextmanager
def _reading_as(recipient: Recipient) -> Iterator[None]:
    with translation.override(recipient.language), timezone.override(ZoneInfo(recipient.zone)):
        yield


def _alarm(profile: EmailServerProfile, facts: Facts, now: datetime) -> Letter:
    numbers = {"failing": facts.failing, "active": facts.active, "profile": profile.name}
    subject = _("%(failing)d of %(active)d mailboxes of “%(profile)s” fail") % numbers
    lines = [
        _("More than half of the mailboxes of this server profile failed within an hour. (R8.15)"),
        _("Server profile: %(profile)s") % numbers,
        _("Failing mailboxes: %(failing)d of %(active)d") % numbers,
        _("Time: %(time)s") % {"time": _time(now)},
        "",
        *_causes(profile),
        _(
            "You are told again when it is over, and of another event after an hour at the earliest."
        ),
    ]
    return Letter(subject, "\n".join(lines) + "\n")


def _all_clear(profile: EmailServerProfile, facts: Facts, now: datetime) -> Letter:
    row = getattr(profile, "alarm", None)
    numbers = {"failing": facts.failing, "active": facts.active, "profile": profile.name}
    since = row.told_at if row and row.told_at else now
    minutes = max(1, int((now - since) / timedelta(minutes=1)))
    lasted = ngettext("It lasted %(n)d minute.", "It lasted %(n)d minutes.", minutes)
    lines = [
        _("The mailboxes of this server profile work again. (R8.15)"),
        _("Server profile: %(profile)s") % numbers,
        _("Failing mailboxes: %(failing)d of %(active)d") % numbers,
        _("Time: %(time)s") % {"time": _time(now)},
        lasted % {"n": minutes},
    ]
    if facts.failing:
        lines += ["", *_causes(profile)]
    return Letter(_("“%(profile)s” works again") % numbers, "\n".join(lines) + "\n")


def _causes(profile: EmailServerProfile) -> list[str]:
    """Why, and what to do: the most frequent conditions first."""
    counted = (
        _to_run([profile])
        .filter(_TROUBLE)
        .exclude(last_error_code="")
        .values("last_error_code")
        .annotate(n=Count("mailbox", distinct=True))
        .order_by("-n", "last_error_code")[:MOST_CAUSES]
    )
    lines = []
    for row in counted:
        condition = explain(row["last_error_code"])
        lines += [f"- {row['n']} × {condition.code}: {condition.sentence()}", ""]
    return lines


def _time(when: datetime) -> str:
    local = timezone.localtime(when)
    return f"{date_format(local, 'SHORT_DATETIME_FORMAT')} {local.tzname()}"
