"""Whose mailbox it is: the account on the server stores the one organization that it synchronizes with (R6.60).

Looked at every hour, and before writing if it was long ago. Another organization's mark stops this workload for
good (R6.61) until somebody tests it with the override, which writes ours; the other one then finds that out here.
"""

from datetime import datetime, timedelta

from mailboxes.models import Organization
from mailboxes.protocols.errors import PermanentError
from mailboxes.protocols.items import ItemsServer, Marker
from serversync.act.run import ActRun

EVERY = timedelta(hours=1)
BEFORE_WRITING = timedelta(minutes=5)


class OtherOrganization(PermanentError):
    """The account synchronizes with another organization (R6.61)."""

    code = "ConfiguredWithOtherOrganization"


def is_due(run: ActRun) -> bool:
    return _is_older(run, EVERY)


def check(run: ActRun) -> None:
    """Look, and say when we were here last. Raises OtherOrganization."""
    now = run.clock()
    with run.timed("marker"):
        found = require_ours(run.connected, run.organization)
        if found is None or found.synced_at is None or found.synced_at + EVERY <= now:
            run.connected.set_marker(ours(run.organization, now))
    run.state.marker_checked_at = now
    run.state.marker_organization = str(run.organization.pk)
    run.state.save(update_fields=["marker_checked_at", "marker_organization"])


def check_before_writing(run: ActRun) -> None:
    if _is_older(run, BEFORE_WRITING):
        check(run)


def _is_older(run: ActRun, age: timedelta) -> bool:
    at = run.state.marker_checked_at
    return at is None or at + age <= run.clock()


def require_ours(server: ItemsServer, organization: Organization) -> Marker | None:
    """The mark, None if there is none: nobody's is ours to take. Raises OtherOrganization."""
    found = server.marker()
    if found is not None and found.organization != str(organization.pk):
        raise OtherOrganization(found.name or found.organization)
    return found


def ours(organization: Organization, now: datetime) -> Marker:
    return Marker(str(organization.pk), organization.name, now)
