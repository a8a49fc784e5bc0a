"""Raises, clears and snoozes alerts (R8.10-R8.13, R10.4). The only writer of TraceLog.

An alert is one condition of one mailbox or profile, perhaps about one object. While it is open, a
repeat updates it; clearing closes it, and the next occurrence opens a new one. A snoozed one is
open, and off the wall.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db.models import Case, F, Q, QuerySet, Value, When
from django.db.models.functions import Greatest
from django.utils import translation

from mailboxes.choices import TraceLevel
from mailboxes.conditions import Condition, Scope, explain
from mailboxes.models import EmailServerProfile, Mailbox, Organization, SystemUser, TraceLog

Subject = Mailbox | EmailServerProfile

#: What stays of snoozing if an alert is raised again with this level.
_NOT_WORSE = {
    level: Case(When(level__gte=int(level), then=F("snoozed_until")), default=Value(None))
    for level in TraceLevel
}

#: How a badge of each level looks.
LEVEL_KIND = {
    TraceLevel.INFORMATION: "info",
    TraceLevel.WARNING: "warn",
    TraceLevel.ERROR: "bad",
}

OUTAGE = "outage"  # object key of a profile's one alert about all of its mailboxes (R8.5)


def raise_alert(
    subject: Subject,
    code: str,
    *,
    now: datetime,
    organization: Organization | None = None,
    level: TraceLevel | None = None,
    parameters: Mapping[str, Any] | None = None,
    detail: str = "",
    object_key: str = "",
    machine: str = "",
    actor: SystemUser | None = None,
) -> bool:
    """Open this alert, or count another occurrence of the open one. False: its level is switched off.

    `level` overrides the condition's own, e.g. error for a transient one that used up its attempts
    (R8.3). An open alert keeps its highest level. `parameters` must be JSON and hold no secret.
    Two statements at most, one more without `organization`. Two workers may call at once: the
    database keeps one open row.
    """
    condition = explain(code)
    level = condition.trace_level if level is None else level
    if not is_recorded(level, organization or Organization.objects.current()):
        return False
    values = _values(condition, parameters, detail, machine, now)
    again = _open(subject_key=str(subject.pk), code=code, object_key=object_key).update(
        occurrences=F("occurrences") + 1,
        level=Greatest(F("level"), Value(int(level))),
        snoozed_until=_NOT_WORSE[level],
        modified_on=now,
        modified_by=actor,
        **values,
    )
    if not again:
        row = _row(subject, condition, level, object_key, now, actor, values)
        # Another worker may open it in this moment; then its row stands for both.
        TraceLog.objects.bulk_create([row], ignore_conflicts=True)
    return True


@dataclass(frozen=True, slots=True)
class Alert:
    """One of many conditions of a mailbox or profile, each about another object; see `raise_alert`."""

    code: str
    object_key: str
    level: TraceLevel | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    detail: str = ""


def raise_all(
    subject: Subject, wanted: Collection[Alert], *, now: datetime, organization: Organization
) -> None:
    """Two statements for all that are new, and one more for each that is open already."""
    recorded = [
        (alert, level) for alert in wanted if is_recorded(level := _level_of(alert), organization)
    ]
    if not recorded:
        return
    is_open = set(
        TraceLog.objects.filter(
            subject_key=str(subject.pk),
            code__in={alert.code for alert, _level in recorded},
            object_key__in=[alert.object_key for alert, _level in recorded],
            closed_on__isnull=True,
        ).values_list("code", "object_key")
    )
    rows = []
    for alert, level in recorded:
        if (alert.code, alert.object_key) in is_open:
            raise_alert(
                subject,
                alert.code,
                now=now,
                organization=organization,
                level=level,
                parameters=alert.parameters,
                detail=alert.detail,
                object_key=alert.object_key,
            )
            continue
        condition = explain(alert.code)
        values = _values(condition, alert.parameters, alert.detail, "", now)
        rows.append(_row(subject, condition, level, alert.object_key, now, None, values))
    TraceLog.objects.bulk_create(rows, ignore_conflicts=True)


def _level_of(alert: Alert) -> TraceLevel:
    return explain(alert.code).trace_level if alert.level is None else alert.level


def _values(
    condition: Condition,
    parameters: Mapping[str, Any] | None,
    detail: str,
    machine: str,
    now: datetime,
) -> dict[str, Any]:
    return {
        "text": text_of(condition, parameters),
        "trace_parameters": {key: _plain(value) for key, value in (parameters or {}).items()},
        "error_details": _printable(detail)[:2048],
        "machine_name": machine[:320],
        "last_seen_on": now,
    }


def _row(
    subject: Subject,
    condition: Condition,
    level: TraceLevel,
    object_key: str,
    now: datetime,
    actor: SystemUser | None,
    values: Mapping[str, Any],
) -> TraceLog:
    return TraceLog(
        regarding_mailbox=subject if isinstance(subject, Mailbox) else None,
        regarding_profile=subject if isinstance(subject, EmailServerProfile) else None,
        subject_key=str(subject.pk),
        code=condition.code,
        trace_code=condition.number,
        object_key=object_key,
        level=level,
        trace_status=level == TraceLevel.INFORMATION,
        error_type_display=condition.nature.value,
        created_on=now,
        created_by=actor,
        modified_by=actor,
        **values,
    )


def raise_outage(
    mailbox: Mailbox,
    profile: EmailServerProfile,
    code: str,
    *,
    now: datetime,
    organization: Organization,
    level: TraceLevel | None = None,
    detail: str = "",
    machine: str = "",
) -> bool:
    """Alert about a failure of one mailbox at the right place (R8.5, R8.12).

    A condition of the server gives one alert on its profile however many mailboxes it stops; any other,
    and everything under strict parity, one on the mailbox.
    """
    if subject_of(code, organization) == Scope.PROFILE:
        return raise_alert(
            profile,
            code,
            now=now,
            organization=organization,
            level=level,
            parameters={"mailbox": mailbox.name},
            detail=detail,
            object_key=OUTAGE,
            machine=machine,
        )
    return raise_alert(
        mailbox,
        code,
        now=now,
        organization=organization,
        level=level,
        detail=detail,
        machine=machine,
    )


def clear_outage(
    mailbox: Mailbox,
    profile: EmailServerProfile,
    codes: Collection[str] | None = None,
    *,
    now: datetime,
) -> int:
    """The server answered this mailbox: close what `raise_outage` opened for the profile. One statement.

    What still holds for another mailbox opens again with that one's next attempt.
    """
    return clear_alerts(profile, codes, OUTAGE, now=now)


def subject_of(code: str, organization: Organization) -> Scope:
    """Whether an alert of this code belongs on the profile or on the mailbox."""
    if explain(code).level == Scope.PROFILE and organization.effective("one_alert_per_outage"):
        return Scope.PROFILE
    return Scope.MAILBOX


def clear_alerts(
    subject: Subject | Collection[Subject],
    codes: Collection[str] | None = None,
    object_key: str | Collection[str] | None = None,
    *,
    now: datetime,
) -> int:
    """Close the open alerts of these subjects; all codes and objects unless named. One statement."""
    subjects = [subject] if isinstance(subject, (Mailbox, EmailServerProfile)) else subject
    wanted = Q(subject_key__in=[str(one.pk) for one in subjects])
    if codes is not None:
        wanted &= Q(code__in=list(codes))
    if object_key is not None:
        keys = [object_key] if isinstance(object_key, str) else list(object_key)
        wanted &= Q(object_key__in=keys)
    return TraceLog.objects.filter(wanted, closed_on__isnull=True).update(closed_on=now)


def awake(now: datetime) -> Q:
    """Condition on alerts that are on the wall: open, and not snoozed."""
    return Q(closed_on__isnull=True) & (Q(snoozed_until__isnull=True) | Q(snoozed_until__lte=now))


def snooze(
    alerts: "QuerySet[TraceLog]", until: datetime | None, *, by: SystemUser | None, now: datetime
) -> int:
    """Take open alerts off the wall until then; None puts them back. One statement.

    They come back by themselves then, or if one gets worse: whoever snoozed a warning did not mean the error
    that it became.
    """
    return alerts.filter(closed_on__isnull=True).update(
        snoozed_until=until, snoozed_by=by, modified_on=now, modified_by=by
    )


def is_recorded(level: TraceLevel, organization: Organization) -> bool:
    """Is this level switched on (R8.13)?"""
    return bool(
        {
            TraceLevel.ERROR: organization.generate_alerts_for_errors,
            TraceLevel.WARNING: organization.generate_alerts_for_warnings,
            TraceLevel.INFORMATION: organization.generate_alerts_for_information,
        }[level]
    )


def text_of(condition: Condition, parameters: Mapping[str, Any] | None) -> str:
    """What is stored: in the site's language, whoever's request or worker raises it."""
    with translation.override(settings.LANGUAGE_CODE):
        return _printable(condition.sentence(parameters))[:2000]


def shown_text(alert: TraceLog) -> str:
    """What a person reads: in his own language if the condition is still known, else as stored."""
    condition = explain(alert.code)
    return condition.sentence(alert.trace_parameters) if condition.number else alert.text


def _open(**wanted: str) -> "QuerySet[TraceLog]":
    return TraceLog.objects.filter(closed_on__isnull=True, **wanted)


def _plain(value: Any) -> Any:
    return value if isinstance(value, (bool, int, float, type(None))) else _printable(str(value))


def _printable(text: str) -> str:
    """PostgreSQL stores no NUL, and servers send anything."""
    return text.replace("\0", "�")
