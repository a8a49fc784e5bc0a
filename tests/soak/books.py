"""The ledger held against the servers, once nothing moves any more."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

from django.db import connection
from django.db.models import Count, Sum

from activities.models import Email
from mailboxes.choices import Operation
from mailboxes.models import Mailbox
from serversync.balance import Sums, books, by_mailbox
from serversync.choices import ItemState, WorkloadState
from serversync.models import ItemDay, Recount, SyncItem, Workload
from serversync.recount import recount
from tests.soak.records import Books, Record
from tests.soak.servers import Server

AT_ONCE = 8
GOOD = (ItemState.TRACKED, ItemState.DUPLICATE)


def close(record: Record, servers: Mapping[str, Server]) -> Books:
    """Three ways: what was delivered, what the servers hold, what the ledger says; then the product's own
    recount of each mailbox."""
    found = Books()
    incoming = Workload.objects.filter(
        operation=Operation.INCOMING, mailbox__email_server_profile__isnull=False
    )
    rows = incoming.exclude(enabled=True, state=WorkloadState.READY)
    found.out_of_service = {
        address: f"{state} {code} {text}"
        for address, state, code, text in rows.values_list(
            "mailbox__email_address", "state", "last_error_code", "last_error_text"
        )
    }
    counted = incoming.aggregate(broken=Sum("leases_broken"), cycles=Sum("cycles"))
    found.leases_broken, found.cycles = counted["broken"], counted["cycles"]
    ids = [each.message_id for each in record.deliveries]
    emails = Email.objects.filter(message_id__in=ids).values_list("message_id")
    found.emails = dict(emails.annotate(n=Count("pk")))
    found.unfinished = dict(
        SyncItem.objects.exclude(state__in=GOOD).values_list("state").annotate(n=Count("pk"))
    )
    _balance(found, record, servers)
    _recount(found)
    return found


def _balance(found: Books, record: Record, servers: Mapping[str, Server]) -> None:
    delivered: dict[str, int] = {}
    for delivery in record.deliveries:
        for _protocol, address in delivery.boxes:
            delivered[address] = delivered.get(address, 0) + 1
    held: dict[str, int] = {}
    for server in servers.values():
        held |= server.held()
    sums = by_mailbox(books(SyncItem.objects.all(), ItemDay.objects.all(), None))
    mailboxes = Mailbox.objects.filter(email_server_profile__isnull=False)
    for pk, address in mailboxes.values_list("pk", "email_address"):
        seen = sums.get(pk, Sums()).seen
        numbers = (delivered.get(address, 0), held.get(address, 0), seen)
        if len(set(numbers)) > 1:
            found.differing[address] = "{} delivered, {} on the server, {} seen".format(*numbers)


def _recount(found: Books) -> None:
    mailboxes = list(Mailbox.objects.filter(email_server_profile__isnull=False))
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for row in pool.map(_recounted, mailboxes):
            found.recount_differences += row.differing
            if row.error:
                found.uncounted[row.mailbox.email_address] = row.error


def _recounted(mailbox: Mailbox) -> Recount:
    try:
        return recount(mailbox)
    finally:
        connection.close()
