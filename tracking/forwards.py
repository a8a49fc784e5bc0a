"""What comes in a forward mailbox: a wrapper, and the originals inside it (R3.75)."""

from collections.abc import Sequence

from activities.mime.message import ParsedMessage
from mailboxes.choices import IncomingDeliveryMethod
from tracking import trace
from tracking.acceptance import Party
from tracking.choices import Outcome as State
from tracking.choices import SkipReason
from tracking.decide import base_of, resolution_of
from tracking.lookups import Page
from tracking.reading import Reading, Unit
from tracking.resolution import resolve_sender

INVALID_FORWARD = "InvalidForwardMailItem"


def unwrap(
    reading: Reading,
    wrapper: Unit,
    originals: Sequence[tuple[bytes, ParsedMessage]],
    page: Page,
) -> tuple[trace.Decision, list[Unit]]:
    """The originals, for the party who forwarded them; none if they can't be anybody's."""
    known = _senders(wrapper.message, page)
    by = next((party for party in known if party and _forwards(party)), None)
    if by is None:
        sub_reason = "method_not_forward" if any(known) else "forwarder_unknown"
        return _invalid(reading, wrapper, page, sub_reason), []
    if not originals:
        return _invalid(reading, wrapper, page, "not_attached"), []
    named = trace.Named(by.kind.value, by.id, by.name)
    decision = trace.Decision(
        outcome=State.SKIPPED,
        reason=SkipReason.FORWARD_WRAPPER.value,
        skip_detail=str(len(originals)),
        forwarded_by=named,
        sender=resolve_sender(wrapper.message.sender, page.book, resolution_of(reading, None)),
        **base_of(reading, wrapper.incoming, wrapper.message),
    )
    inner = [
        Unit(
            incoming=wrapper.incoming,
            part=number,
            message=message,
            raw=raw,
            reading=by.key,
            forwarded_by=named,
        )
        for number, (raw, message) in enumerate(originals, start=1)
    ]
    return decision, inner


def _senders(message: ParsedMessage, page: Page) -> list[Party | None]:
    """Whom the sender's address stands for; None for what is neither a user nor a queue."""
    matches = page.book.at(message.sender.address) if message.sender else ()
    return [page.parties.get((match.kind, match.id)) for match in matches]


def _forwards(party: Party) -> bool:
    return party.incoming == IncomingDeliveryMethod.FORWARD_MAILBOX


def _invalid(reading: Reading, wrapper: Unit, page: Page, sub_reason: str) -> trace.Decision:
    message = wrapper.message
    return trace.Decision(
        outcome=State.REJECTED,
        reason=INVALID_FORWARD,
        sub_reason=sub_reason,
        sender=resolve_sender(message.sender, page.book, resolution_of(reading, None)),
        **base_of(reading, wrapper.incoming, message),
    )
