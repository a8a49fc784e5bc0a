"""Tells of mailboxes that usually get mail by now and don't (R8.19, decided by `silence`).

Counted from the cycles, which say how many messages came when; what is a week long, from their daily totals.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import Q, QuerySet, Sum
from django.utils import timezone

from mailboxes.alerts import raise_alert
from mailboxes.choices import Operation, StateCode, TraceLevel
from mailboxes.models import EmailServerProfile, Mailbox, Organization, TraceLog
from serversync.choices import WorkloadState
from serversync.models import MailboxStatistics, MailboxStatisticsDay, Workload
from serversync.silence import WEEKS, Silence, Window, silences

MAILBOX, PROFILE = "MailboxSilent", "ProfileSilent"
HOURS = (6, 12, 24)
DAYS = 7  # of the longest window
WEEK = timedelta(weeks=1)
#: A mailbox that was not read since says nothing about its mail, and its own alert says why.
READ_WITHIN = timedelta(hours=2)


def look_for_silence(now: datetime) -> str:
    """Four statements, and one or two for each alert that is new or still true."""
    organization = Organization.objects.current()
    now = now.replace(minute=0, second=0, microsecond=0)
    profiles = dict(_read(now).values_list("mailbox", "mailbox__email_server_profile"))
    site: dict[UUID, dict[UUID, Sequence[Window]]] = defaultdict(dict)
    for mailbox, windows in _windows(now).items():
        if profile := profiles.get(mailbox):
            site[profile][mailbox] = windows
    verdict = silences(site)
    for row in Mailbox.objects.filter(pk__in=verdict.mailboxes):
        _tell(row, MAILBOX, verdict.mailboxes[row.pk], organization, now)
    for profile_row in EmailServerProfile.objects.filter(pk__in=verdict.profiles):
        _tell(profile_row, PROFILE, verdict.profiles[profile_row.pk], organization, now)
    over = _clear(MAILBOX, verdict.mailboxes, now) + _clear(PROFILE, verdict.profiles, now)
    return (
        f"{sum(map(len, site.values()))} mailboxes looked at, {len(verdict.mailboxes)} are silent, "
        f"{len(verdict.profiles)} profiles are; {over} alerts closed"
    )


def _read(now: datetime) -> "QuerySet[Workload]":
    """Incoming workloads that work: whether mail comes is all that is not known of them."""
    return Workload.objects.filter(
        operation=Operation.INCOMING,
        enabled=True,
        state=WorkloadState.READY,
        consecutive_failures=0,
        last_success_at__gte=now - READ_WITHIN,
        mailbox__state_code=StateCode.ACTIVE,
        mailbox__email_server_profile__state_code=StateCode.ACTIVE,
    )


def _windows(now: datetime) -> Mapping[UUID, Sequence[Window]]:
    """Mailbox -> its windows, from short to long."""
    found: dict[UUID, list[Window]] = defaultdict(list)
    hourly = _counts(
        MailboxStatistics.objects.filter(mailbox_process_started_on__gt=now - WEEK * (WEEKS + 1)),
        {
            (hours, week): _between(
                "mailbox_process_started_on",
                now - WEEK * week - timedelta(hours=hours),
                now - WEEK * week,
            )
            for hours in HOURS
            for week in range(WEEKS + 1)
        },
    )
    today = timezone.localdate(now)
    daily = _counts(
        MailboxStatisticsDay.objects.filter(day__gte=today - timedelta(days=DAYS * (WEEKS + 1))),
        {(DAYS * 24, week): _between_days(today - WEEK * week, DAYS) for week in range(WEEKS + 1)},
    )
    for counts in (hourly, daily):
        for mailbox, numbers in counts.items():
            for hours in sorted({hours for hours, _week in numbers}):
                seen, *before = (numbers[hours, week] for week in range(WEEKS + 1))
                found[mailbox].append(Window(hours, seen, tuple(before)))
    return found


def _counts(
    rows: "QuerySet[Any]", windows: Mapping[tuple[int, int], Q]
) -> Mapping[UUID, Mapping[tuple[int, int], int]]:
    """Mailbox -> (hours, weeks ago) -> messages. One statement."""
    wanted = Q()
    for window in windows.values():
        wanted |= window
    names = {f"of_{hours}_{week}": (hours, week) for hours, week in windows}
    sums = {
        name: Sum("items_processed", filter=windows[key], default=0) for name, key in names.items()
    }
    counted = (
        rows.filter(wanted, operation_type=Operation.INCOMING)
        .order_by()
        .values("mailbox")
        .annotate(**sums)
    )
    return {row["mailbox"]: {key: row[name] for name, key in names.items()} for row in counted}


def _between(column: str, after: datetime, until: datetime) -> Q:
    return Q(**{f"{column}__gt": after, f"{column}__lte": until})


def _between_days(today: date, days: int) -> Q:
    """Whole days before this one."""
    return Q(day__gte=today - timedelta(days=days), day__lt=today)


def _tell(
    subject: Mailbox | EmailServerProfile,
    code: str,
    silence: Silence,
    organization: Organization,
    now: datetime,
) -> None:
    """An error, for nobody else finds out: to everything else here all is well."""
    raise_alert(
        subject,
        code,
        now=now,
        organization=organization,
        level=TraceLevel.ERROR,
        parameters={
            "seen": silence.seen,
            "hours": silence.hours,
            "usual": silence.usual,
            "count": silence.mailboxes,
        },
    )


def _clear(code: str, still: Mapping[UUID, Silence], now: datetime) -> int:
    """Mail came, or it is no longer to be expected."""
    rows = TraceLog.objects.filter(code=code, closed_on__isnull=True)
    return rows.exclude(subject_key__in=[str(key) for key in still]).update(closed_on=now)
