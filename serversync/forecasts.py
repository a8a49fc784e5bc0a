"""What will stop soon unless somebody acts, told while there is time: sign-ins, client secrets,
certificates of servers, and clients that serve nearly as many accounts as their provider lets them (R1.21)."""

from collections import Counter
from collections.abc import Iterable
from datetime import date, datetime, timedelta

from django.db.models import Q
from django.utils import timezone

from mailboxes.alerts import clear_alerts, raise_alert
from mailboxes.authorities import OAUTH_RETRIEVALS
from mailboxes.certificates import servers_of
from mailboxes.choices import StateCode, TraceLevel
from mailboxes.models import (
    EmailServerProfile,
    Mailbox,
    Organization,
    ServerCertificate,
    TraceLog,
)
from mailboxes.signin import SOON, Outlook, crowded_gmail_profiles, forecast

#: What a forecast says, as a condition.
CONDITION = {
    Outlook.NEVER: "SignInNeeded",
    Outlook.REFUSED: "SignInExpired",
    Outlook.ENDS: "SignInEndsSoon",
    Outlook.IDLE: "SignInEndsSoon",
}
#: Nothing has failed yet, and only a person keeps it so: on the wall like what has, for warnings are off
#: unless somebody asks for them (R8.13).
NEEDS_SOMEBODY = TraceLevel.ERROR
FORECAST = ("SignInNeeded", "SignInExpired", "SignInEndsSoon")

CERTIFICATE = "CertificateEndsSoon"
#: Days before the end of a certificate on which it is told; each of them ends a snoozing, for it got worse.
STAGES = (30, 14, 3)

_USES_TOKENS = Q(incoming_credential_retrieval__in=OAUTH_RETRIEVALS) | Q(
    use_same_settings_for_outgoing_connections=False,
    outgoing_credential_retrieval__in=OAUTH_RETRIEVALS,
)


def look_ahead(now: datetime) -> str:
    """Raise what is to be expected and clear what no longer is. Asks nobody, reads rows only."""
    organization = Organization.objects.current()
    profiles = list(EmailServerProfile.objects.filter(_USES_TOKENS, state_code=StateCode.ACTIVE))
    outlooks = _sign_ins(profiles, organization, now)
    secrets = _client_secrets(profiles, organization, now)
    crowded = _crowded(profiles, organization, now)
    certificates = _certificates(organization, now)
    ends = sum(count for outlook, count in outlooks.items() if outlook in CONDITION)
    return (
        f"{outlooks.total()} sign-ins looked at, {ends} need somebody; {secrets} client secrets end "
        f"soon; {crowded} clients are near their limit; {certificates} certificates end soon"
    )


def _sign_ins(
    profiles: Iterable[EmailServerProfile], organization: Organization, now: datetime
) -> Counter[Outlook]:
    found: Counter[Outlook] = Counter()
    told: dict[str, list[Mailbox]] = {code: [] for code in FORECAST}
    rows = Mailbox.objects.filter(
        email_server_profile__in=list(profiles), state_code=StateCode.ACTIVE
    ).select_related("email_server_profile")
    quiet: list[Mailbox] = []
    for mailbox in rows.iterator(chunk_size=500):
        seen = forecast(mailbox, now)
        found[seen.outlook] += 1
        code = CONDITION.get(seen.outlook)
        if code is None:
            quiet.append(mailbox)
            continue
        told[code].append(mailbox)
        raise_alert(
            mailbox,
            code,
            now=now,
            organization=organization,
            level=NEEDS_SOMEBODY,
            parameters={"date": _date(seen.at)} if seen.at else None,
        )
    clear_alerts(quiet, FORECAST, now=now)
    for code, mailboxes in told.items():
        clear_alerts(mailboxes, set(FORECAST) - {code}, now=now)
    return found


def _client_secrets(
    profiles: Iterable[EmailServerProfile], organization: Organization, now: datetime
) -> int:
    soon = timezone.localdate(now + SOON)
    ending: list[EmailServerProfile] = []
    good: list[EmailServerProfile] = []
    for profile in profiles:
        ends = profile.oauth_client_secret_expires_on
        (ending if ends is not None and ends <= soon else good).append(profile)
    for profile in ending:
        raise_alert(
            profile,
            "ClientSecretEndsSoon",
            now=now,
            organization=organization,
            level=NEEDS_SOMEBODY,
            parameters={"date": str(profile.oauth_client_secret_expires_on)},
        )
    clear_alerts(good, ["ClientSecretEndsSoon"], now=now)
    return len(ending)


def _crowded(
    profiles: Iterable[EmailServerProfile], organization: Organization, now: datetime
) -> int:
    crowded = dict(crowded_gmail_profiles())
    for profile, count in crowded.items():
        raise_alert(
            profile,
            "ProviderUsersNearLimit",
            now=now,
            organization=organization,
            level=NEEDS_SOMEBODY,
            parameters={"count": count},
        )
    clear_alerts(
        [profile for profile in profiles if profile not in crowded],
        ["ProviderUsersNearLimit"],
        now=now,
    )
    return len(crowded)


def _certificates(organization: Organization, now: datetime) -> int:
    """One alert for each server of a profile; it is over once a connection has seen a newer certificate."""
    profiles = list(EmailServerProfile.objects.filter(state_code=StateCode.ACTIVE).order_by("pk"))
    soon = now + timedelta(days=STAGES[0])
    ending = {
        (row.host, row.port): row.valid_until
        for row in ServerCertificate.objects.filter(valid_until__lte=soon)
    }
    servers = servers_of(profiles) if ending else {}
    told = set()
    for profile in profiles:
        for host, port in sorted(servers.get(profile.pk, set()) & ending.keys()):
            key = f"{host}:{port}"[-80:]
            told.add((str(profile.pk), key))
            _tell_certificate(profile, key, ending[host, port], organization, now)
    _clear_renewed(told, now)
    return len(told)


def _tell_certificate(
    profile: EmailServerProfile, key: str, ends: datetime, organization: Organization, now: datetime
) -> None:
    stage = stage_of(ends, now)
    TraceLog.objects.filter(
        subject_key=str(profile.pk),
        code=CERTIFICATE,
        object_key=key,
        closed_on__isnull=True,
        trace_parameters__stage__gt=stage,
    ).update(snoozed_until=None)
    raise_alert(
        profile,
        CERTIFICATE,
        now=now,
        organization=organization,
        level=NEEDS_SOMEBODY,
        parameters={"host": key, "date": _date(ends), "stage": stage},
        object_key=key,
    )


def _clear_renewed(told: set[tuple[str, str]], now: datetime) -> None:
    rows = TraceLog.objects.filter(code=CERTIFICATE, closed_on__isnull=True)
    over = [
        pk
        for pk, *about in rows.values_list("pk", "subject_key", "object_key")
        if tuple(about) not in told
    ]
    if over:
        TraceLog.objects.filter(pk__in=over).update(closed_on=now)


def stage_of(ends: datetime, now: datetime) -> int:
    """The last of the stages that has begun."""
    left = ends - now
    return min((days for days in STAGES if left <= timedelta(days=days)), default=STAGES[0])


def _date(when: datetime | date) -> str:
    return str(timezone.localdate(when) if isinstance(when, datetime) else when)
