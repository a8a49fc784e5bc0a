"""One mailbox found its server well again: those that are paused for the same reason are probed soon, and
not only when their own turn comes, hours later (R8.5)."""

from collections.abc import Callable, Collection
from datetime import datetime, timedelta
from random import random

from django.db import transaction
from django.db.models import DateTimeField, Q

from mailboxes.choices import Operation
from mailboxes.models import Mailbox, Organization
from serversync.choices import WorkloadState
from serversync.due import probe_again
from serversync.leases import DIRECTIONS, by_workload, is_free
from serversync.models import Workload
from serversync.outages import OUTAGES

AT_ONCE = 200  # each of them that recovers brings the next


def probe_others(
    mailbox: Mailbox,
    operation: Operation,
    codes: Collection[str],
    now: datetime,
    organization: Organization,
    jitter: Callable[[], float] = random,
) -> int:
    """Those of the same profile that are paused because of these conditions of the server; returns how
    many. Spread out, so that a server which just came back meets no more of them than the profile's share
    at a time. Two statements, none if the conditions are the mailbox's own."""
    of_server = OUTAGES.intersection(codes)
    if not of_server or mailbox.email_server_profile_id is None:
        return 0
    share = organization.max_mailboxes_per_profile_at_once
    later = now + timedelta(seconds=probe_again(AT_ONCE, share, 0))
    rows = Workload.objects.filter(
        is_free(now) & Q(enabled=True, state=WorkloadState.PAUSED, postponed_until__gt=later),
        mailbox__email_server_profile=mailbox.email_server_profile_id,
        operation__in=[each for each in DIRECTIONS if DIRECTIONS[each] == DIRECTIONS[operation]],
        state_code__in=of_server,
    )
    keys = list(rows.order_by("postponed_until", "pk").values_list("pk", flat=True)[:AT_ONCE])
    if not keys:
        return 0
    times = by_workload(
        {
            key: now + timedelta(seconds=probe_again(number, share, jitter()))
            for number, key in enumerate(keys)
        },
        DateTimeField(),
    )
    # Whoever writes one of them in this moment knows more of it.
    unlocked = Workload.objects.select_for_update(skip_locked=True).filter(
        is_free(now), pk__in=keys
    )
    with transaction.atomic():
        return Workload.objects.filter(pk__in=unlocked.values("pk")).update(
            postponed_until=times, next_run_at=times
        )
