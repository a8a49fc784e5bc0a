"""Keeps until when the certificates of servers are valid, and knows which profile meets which of them."""

from collections import defaultdict
from collections.abc import Collection, Mapping
from datetime import date, datetime
from urllib.parse import urlsplit
from uuid import UUID

from django.utils import timezone

from mailboxes.connect import Direction, port_of, security_of, web_service_of
from mailboxes.models import DiscoveredEndpoint, EmailServerProfile, ServerCertificate
from mailboxes.protocols import certificates
from mailboxes.protocols.base import Security
from mailboxes.protocols.certificates import Server

HTTPS = 443

#: What this process has written, and on which day: once a day is enough.
_written: dict[Server, tuple[datetime, date]] = {}


def keep(now: datetime) -> int:
    """Store what this process has seen and not written today. No statement if there is nothing new."""
    today = timezone.localdate(now)
    fresh = {
        server: ends
        for server, ends in certificates.take().items()
        if _written.get(server) != (ends, today)
    }
    if not fresh:
        return 0
    ServerCertificate.objects.bulk_create(
        [
            ServerCertificate(host=host[:255], port=port, valid_until=ends, seen_on=now)
            for (host, port), ends in sorted(fresh.items())
        ],
        update_conflicts=True,
        unique_fields=["host", "port"],
        update_fields=["valid_until", "seen_on"],
    )
    _written.update({server: (ends, today) for server, ends in fresh.items()})
    return len(fresh)


def servers_of(profiles: Collection[EmailServerProfile]) -> Mapping[UUID, set[Server]]:
    """Profile -> the servers and ports that its mailboxes connect to with TLS. One statement."""
    found: dict[UUID, set[Server]] = defaultdict(set)
    for profile in profiles:
        found[profile.pk] |= _entered(profile)
    discovered = DiscoveredEndpoint.objects.filter(
        mailbox__email_server_profile__in=[profile.pk for profile in profiles]
    )
    for key, url in discovered.values_list("mailbox__email_server_profile", "url").distinct():
        found[key] |= _of_url(url)
    return found


def _entered(profile: EmailServerProfile) -> set[Server]:
    if profile.kind.is_exchange:
        urls = [web_service_of(profile, direction) for direction in Direction]
        return set().union(*map(_of_url, urls))
    locations = {
        Direction.INCOMING: profile.incoming_server_location,
        Direction.OUTGOING: profile.outgoing_server_location,
    }
    return {
        (location.strip().rstrip(".").lower(), port_of(profile, direction))
        for direction, location in locations.items()
        if security_of(profile, direction) is not Security.PLAIN
    }


def _of_url(url: str) -> set[Server]:
    try:
        parts = urlsplit(url)
        return {(parts.hostname, parts.port or HTTPS)} if parts.hostname else set()
    except ValueError:
        return set()
