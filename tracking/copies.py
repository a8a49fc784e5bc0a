"""Which stored email a message is a copy of (R3.20), and how it is met once it is stored itself."""

from uuid import UUID

from activities.choices import Direction
from activities.identity import same_message
from activities.mime.message import ParsedMessage
from activities.store import Standing
from tracking.lookups import Page, distinct_of, key_of


def standing_of(
    message: ParsedMessage, direction: Direction, page: Page
) -> tuple[Standing | None, UUID, bool]:
    """Who stands under this message's id: the email it is a copy of, the key to store it under, and
    whether its id belongs to another message."""
    key = key_of(message)
    first = page.stored.get((key, direction))
    if first is None:
        return None, key, False
    if not message.message_id or is_copy(message, first, direction):
        return first, key, False
    key = distinct_of(message)
    return page.stored.get((key, direction)), key, True


def is_copy(message: ParsedMessage, standing: Standing, direction: int) -> bool:
    """Sent mail is told apart by its sender alone: what was sent from here has the time of sending,
    which its copy's Date need not have (R3.61), and nobody else can put mail into sent items."""
    sender = message.sender.address if message.sender else ""
    date = standing.sent_on if direction == Direction.OUTGOING else message.date
    return same_message(sender[:250], date, standing.sender, standing.sent_on)
