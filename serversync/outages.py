"""What a cycle or a test says about a mailbox or a server as a whole: told where it belongs, closed when
it no longer holds. Alerts about messages are serversync.alarms'."""

from datetime import datetime
from typing import Any

from mailboxes import alerts
from mailboxes.choices import CredentialRetrieval, Operation, StateCode, TraceLevel
from mailboxes.conditions import TABLE, Nature, Scope, explain
from mailboxes.connect import Direction, retrieval_of
from mailboxes.models import EmailServerProfile, Mailbox, Organization, TraceLog
from serversync.choices import WorkloadState
from serversync.leases import this_worker
from serversync.models import Workload


def _recovered(mailbox: Mailbox, profile: EmailServerProfile, now: datetime) -> None:
    """The server answers again. That is said to whoever was told of an error; a hiccup is no news."""
    over = OUTAGES - _still_disabling(profile)
    was_error = TraceLog.objects.filter(
        subject_key=str(profile.pk),
        object_key=alerts.OUTAGE,
        code__in=over,
        level=TraceLevel.ERROR,
        closed_on__isnull=True,
    ).exists()
    alerts.clear_outage(mailbox, profile, over, now=now)
    if was_error:
        alerts.raise_alert(profile, PROFILE_RECOVERED, now=now, object_key=alerts.OUTAGE)


#: What is told once on a profile.
OUTAGES = frozenset(
    code
    for code, condition in TABLE.items()
    if condition.level == Scope.PROFILE and condition.nature != Nature.INFORMATION
)


PROFILE_RECOVERED = "ProfileRecovered"
PROFILE_REFUSED = "8005E272"


def code_for(code: str, mailbox: Mailbox, operation: Operation) -> str:
    """A refused login says whose it is: an account of the profile is refused for all of its mailboxes, and told
    once (R8.5)."""
    profile = mailbox.email_server_profile
    if code != "InvalidCredentials" or profile is None:
        return code
    direction = Direction.OUTGOING if operation == Operation.OUTGOING else Direction.INCOMING
    shared = retrieval_of(profile, direction) == CredentialRetrieval.PROFILE
    return PROFILE_REFUSED if shared else code


def tell_failure(
    mailbox: Mailbox,
    organization: Organization,
    code: str,
    detail: str,
    now: datetime,
    *,
    permanent: bool,
) -> None:
    """A cycle failed: a warning, or an error if it needs a person (R8.11)."""
    profile = mailbox.email_server_profile
    assert profile is not None  # eligibility checked it
    if alerts.subject_of(code, organization) == Scope.PROFILE:
        alerts.clear_alerts(profile, [PROFILE_RECOVERED], alerts.OUTAGE, now=now)
    alerts.raise_outage(
        mailbox,
        profile,
        code,
        now=now,
        organization=organization,
        level=TraceLevel.ERROR if permanent else TraceLevel.WARNING,
        detail=detail,
        machine=this_worker(),
    )


def tell_owners(
    mailbox: Mailbox, organization: Organization, code: str, detail: str, now: datetime
) -> None:
    """A permanent error of a mailbox: an alert on it, and one on its profile for whoever answers for
    that one (R2.7, R2.17). What is wrong with the server itself is told there once (R8.5)."""
    common: dict[str, Any] = {
        "now": now,
        "organization": organization,
        "level": TraceLevel.ERROR,
        "parameters": {"mailbox": mailbox.name},
        "machine": this_worker(),
    }
    alerts.raise_alert(mailbox, code, detail=detail, **common)
    if profile := mailbox.email_server_profile:
        once = alerts.subject_of(code, organization) == Scope.PROFILE
        alerts.raise_alert(
            profile,
            code,
            detail=f"{mailbox.name}: {detail}",
            object_key=alerts.OUTAGE if once else str(mailbox.pk),
            **common,
        )


def clear_told(mailbox: Mailbox, codes: set[str], now: datetime) -> None:
    """These conditions of a mailbox no longer hold: close what was told about them."""
    alerts.clear_alerts(mailbox, codes, "", now=now)
    if profile := mailbox.email_server_profile:
        alerts.clear_alerts(profile, codes, str(mailbox.pk), now=now)
        if any(explain(code).level == Scope.PROFILE for code in codes):
            _recovered(mailbox, profile, now)


def _still_disabling(profile: EmailServerProfile) -> set[str]:
    """A disabled workload makes no attempt that could open the alert again, so it stays for it."""
    rows = Workload.objects.filter(
        mailbox__email_server_profile=profile,
        mailbox__state_code=StateCode.ACTIVE,
        state=WorkloadState.DISABLED,
    )
    return set(rows.values_list("state_code", flat=True).distinct())
