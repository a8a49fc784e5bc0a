"""What was found out about the Exchange web service of a mailbox: read before it is reached, written by
whoever reached it, from any worker."""

from collections.abc import Callable
from datetime import datetime, timedelta

from django.db import transaction

from mailboxes.models import DiscoveredEndpoint, EmailServerProfile, Mailbox
from mailboxes.protocols.ews.settings import Endpoint

TRUSTED_FOR = timedelta(hours=24)  # R1.23


def found_for(mailbox: Mailbox, url: str, now: datetime) -> Endpoint | None:
    """What is still to be trusted; `url` is the location that was entered, "" for autodiscover."""
    row = getattr(mailbox, "discovered_endpoint", None)
    if row is None or row.found_on <= now - TRUSTED_FOR:
        return None
    if row.by_autodiscover == bool(url) or (url and row.url != url):
        return None
    return Endpoint(
        url=row.url,
        found_at=row.found_on,
        version=row.version,
        address=row.address,
        scheme=row.scheme,
    )


def keeper(
    mailbox: Mailbox, profile: EmailServerProfile, url: str
) -> Callable[[Endpoint | None], None]:
    """Keeps what was found, None forgets it. Not if the mailbox means another account by now, or is
    reached in another way: its page would name a server that has nothing to do with it."""
    meant = Mailbox.objects.filter(
        pk=mailbox.pk,
        account_generation=mailbox.account_generation,
        email_server_profile=profile,
        email_server_profile__modified_on=profile.modified_on,
    )

    @transaction.atomic
    def keep(endpoint: Endpoint | None) -> None:
        # Locked, for whoever changes the account locks it, too, and forgets what is kept here.
        if not meant.select_for_update(of=("self",)).exists():
            return
        if endpoint is None:
            DiscoveredEndpoint.objects.filter(mailbox=mailbox).delete()
            return
        DiscoveredEndpoint.objects.update_or_create(
            mailbox=mailbox,
            defaults={
                "url": endpoint.url,
                "by_autodiscover": not url,
                "version": endpoint.version,
                "address": endpoint.address,
                "scheme": endpoint.scheme,
                "found_on": endpoint.found_at,
            },
        )

    return keep
