"""What would become of a message here: the whole decision on its bytes, writing nothing.

For `manage.py explain_message` and whoever asks "what if". The decision is the one that the incoming
cycle would take now, with the start date, the filters and the stored mail of this moment. What the
ledger knows (whether this very item was processed before) plays no part.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from activities.blobs import Staged
from activities.mime.parse import parse
from mailboxes.models import Mailbox, Organization
from mailboxes.protocols.base import INBOX
from serversync.models import FolderCursor
from serversync.probe import is_own_probe, is_probe_of
from tracking.byhand import sentences_of
from tracking.candidates import bounds_of
from tracking.choices import Outcome
from tracking.promote import Incoming, Reading, plan_page, reading_of
from tracking.telling import Sentence
from tracking.trace import Decision, Failure, Named, to_data


@dataclass(frozen=True, slots=True)
class Explanation:
    """One decision. `part` 0: the message itself; from 1: originals inside a forward (R3.75)."""

    part: int
    data: dict[str, Any]

    def sentences(self) -> list[Sentence]:
        return sentences_of(self.data)


def explain(
    raw: bytes, mailbox: Mailbox, now: datetime, received_at: datetime | None = None
) -> list[Explanation]:
    """`received_at`: when the server took it; None: as its topmost Received header says."""
    message = parse(raw)
    reading = reading_for(mailbox, now)
    incoming = Incoming(
        key="explain",
        message=message,
        raw=raw,
        received_at=received_at,
        is_own_probe=is_own_probe(message.own_header, mailbox),
    )
    explained = []
    for plan in plan_page(reading, [incoming], Staged()):
        decision = plan.decision or Decision(
            outcome=Outcome.RETRYING,
            decided_at=now,
            mailbox=Named("mailboxes.mailbox", str(mailbox.pk), mailbox.name),
            size=len(raw),
            message=plan.message,
            failure=Failure(
                code="Unknown",
                text=plan.error,
                attempt=1,
                attempts=reading.organization.promotion_attempts,
            ),
        )
        explained.append(Explanation(plan.part, to_data(decision)))
    return explained


def reading_for(
    mailbox: Mailbox, now: datetime, organization: Organization | None = None
) -> Reading:
    """As the next cycle would read its inbox. `organization`: the present one if None."""
    organization = organization or Organization.objects.first() or Organization()
    profile = mailbox.email_server_profile
    bounds = bounds_of(
        organization,
        profile.process_emails_received_after if profile else None,
        mailbox.process_email_received_after,
    )
    return Reading(
        mailbox=mailbox,
        organization=organization,
        party=reading_of(mailbox),
        start=bounds.start,
        watermark=FolderCursor.objects.filter(
            mailbox=mailbox, folder=INBOX, generation=mailbox.account_generation
        )
        .values_list("watermark", flat=True)
        .first(),
        now=now,
        is_probe_of=is_probe_of,
    )
