"""Which queues get an item of an email (R3.53-R3.56)."""

from collections.abc import Iterator, Sequence

from activities.choices import Direction
from activities.store import Standing
from tracking import trace
from tracking.choices import PartyKind, QueueItemBecause
from tracking.lookups import Page
from tracking.ownership import OwnerChoice
from tracking.reading import Reading, Unit
from tracking.resolution import RecipientResolution


def queue_items(
    reading: Reading,
    unit: Unit,
    recipients: Sequence[RecipientResolution],
    page: Page,
    owner: OwnerChoice,
    direction: Direction,
) -> tuple[trace.PlannedQueueItem, ...]:
    """R3.53, R3.54; each queue once (R3.56). None of what a person sent."""
    if direction == Direction.OUTGOING:
        return ()
    planned: dict[str, trace.PlannedQueueItem] = {}
    for found in (
        _of_recipients(reading, recipients, page),
        _of_reading(reading, unit, page),
        _routed(reading, page, owner),
    ):
        for item in found:
            planned.setdefault(item.queue.id, item)
    return tuple(planned.values())


def extra_queue(
    reading: Reading, unit: Unit, standing: Standing, page: Page
) -> trace.PlannedQueueItem | None:
    """R3.21, R3.55: a queue that meets stored mail may want an item of its own."""
    switch = "sss_create_additional_queue_items_for_already_tracked_email"
    queue_id = _read_queue(unit)
    if not queue_id or not getattr(reading.organization, switch):
        return None
    if (queue_id, standing.id) in page.with_queue_item:
        return None
    return _planned(queue_id, page, QueueItemBecause.DUPLICATE)


def _of_recipients(
    reading: Reading, recipients: Sequence[RecipientResolution], page: Page
) -> Iterator[trace.PlannedQueueItem]:
    if not reading.organization.create_queue_items_for_accepting_queue_recipients:
        return
    for recipient in recipients:
        for match in recipient.matches:
            party = page.parties.get((match.kind, match.id))
            if party and party.kind == PartyKind.QUEUE and party.active:
                named = trace.Named(match.kind, match.id, match.name)
                yield trace.PlannedQueueItem(named, QueueItemBecause.RECIPIENT)


def _of_reading(reading: Reading, unit: Unit, page: Page) -> Iterator[trace.PlannedQueueItem]:
    queue_id = _read_queue(unit)
    if queue_id and reading.organization.create_queue_item_for_synchronizing_mailbox:
        yield _planned(queue_id, page, QueueItemBecause.READING)


def _routed(reading: Reading, page: Page, owner: OwnerChoice) -> Iterator[trace.PlannedQueueItem]:
    """R3.53: the default queue of the email's owner, where email is routed there."""
    if not reading.organization.effective("route_email_to_default_queue"):
        return
    queue = page.default_queue(owner.owner)
    if queue is not None and queue.active:
        named = trace.Named(PartyKind.QUEUE.value, str(queue.id), queue.name)
        yield trace.PlannedQueueItem(named, QueueItemBecause.OWNER)


def _read_queue(unit: Unit) -> str:
    """The queue whose mailbox is read."""
    return unit.reading[1] if unit.reading and unit.reading[0] == PartyKind.QUEUE.value else ""


def _planned(queue_id: str, page: Page, because: QueueItemBecause) -> trace.PlannedQueueItem:
    party = page.parties.get((PartyKind.QUEUE.value, queue_id))
    named = trace.Named(PartyKind.QUEUE.value, queue_id, party.name if party else "")
    return trace.PlannedQueueItem(named, because)
