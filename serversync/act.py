"""Carry out server actions: what the cycles decided to do to messages on the server (R9.10).

Each is a row written in the transaction that decided it, done afterwards, repeatable, with a receipt.
A failing action postpones itself and nobody else. Two kinds: what is done to messages that are there
(`ActionKind`), and copies of sent mail, which the outgoing cycle decides and the incoming connection
carries out (R5.18).
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from activities import blobs
from activities.models import Email
from mailboxes.choices import IncomingDeliveryMethod, ServerType
from mailboxes.models import Mailbox, Organization
from mailboxes.protocols.base import Action, ActionKind, IncomingServer
from mailboxes.protocols.errors import MessageError, TransientError
from serversync.choices import ActionState
from serversync.models import ServerAction

ATTEMPTS = 10  # over about two days with the gaps below
PER_CYCLE = 500  # keeps one cycle under the job's time-out
COPIES_PER_CYCLE = 50  # each goes over the line whole
COPIED_BYTES = 32 * 1024 * 1024  # so that they are done well within a lease

#: The kind of a copy. Source key: its Message-ID; argument: the key of the e-mail.
FILE_SENT = "file_sent"


def gap(attempts: int) -> timedelta:
    """5 minutes, doubling, at most 12 hours."""
    doubled: int = 5 << min(attempts, 12)
    return min(timedelta(minutes=doubled), timedelta(hours=12))


def copies_of(
    emails: Iterable[Email], mailbox: Mailbox, organization: Organization, now: datetime
) -> list[ServerAction]:
    """Rows, not yet stored, that put a copy of each e-mail into sent items; none where the account is
    not read, or where there are no sent items to be had (POP3)."""
    profile = mailbox.email_server_profile
    if not (
        organization.sss_save_outgoing_email_to_exchange_sent_folder
        and mailbox.incoming_email_delivery_method == IncomingDeliveryMethod.SERVER_SIDE_SYNC
        and profile is not None
        and profile.kind == ServerType.IMAP_SMTP
    ):
        return []
    return [
        ServerAction(
            mailbox=mailbox,
            folder="",  # the server knows which
            generation=mailbox.account_generation,
            source_key=email.message_id,
            kind=FILE_SENT,
            argument=str(email.pk),
            created_on=now,
            next_attempt_at=now,
        )
        for email in emails
        if email.mime_id
    ]


def act(server: IncomingServer, mailbox: Mailbox, now: datetime) -> bool:
    """Do what is pending and due for this mailbox; True if more is due than one cycle does.

    Errors of the connection pass through: what was not done stays pending.
    """
    pending = list(
        ServerAction.objects.filter(
            mailbox=mailbox, state=ActionState.PENDING, next_attempt_at__lte=now
        ).order_by("created_on")[:PER_CYCLE]
    )
    by_folder: dict[str, list[ServerAction]] = defaultdict(list)
    copies: list[ServerAction] = []
    changed: list[ServerAction] = []
    for row in pending:
        if row.generation != mailbox.account_generation:
            _give_up(row, "The mailbox means another account now; its messages are others.")
            changed.append(row)
        elif row.kind == FILE_SENT:
            copies.append(row)
        else:
            by_folder[row.folder].append(row)
    try:
        for folder, rows in by_folder.items():
            wanted = {
                Action(ActionKind(row.kind), row.source_key, row.argument): row for row in rows
            }
            for result in server.apply(folder, list(wanted)):
                row = wanted[result.action]
                if result.done:
                    _finish(row, result.receipt, now)
                else:
                    _postpone(row, result.error, now)
                changed.append(row)
        more = _file_copies(server, copies[:COPIES_PER_CYCLE], changed, now)
    finally:
        # Receipts of what was done are kept even if a later folder broke the connection.
        if changed:
            ServerAction.objects.bulk_update(
                changed,
                ["state", "attempts", "done_at", "receipt", "last_error", "next_attempt_at"],
            )
    return more or len(copies) > COPIES_PER_CYCLE or len(pending) == PER_CYCLE


def _file_copies(
    server: IncomingServer, rows: Sequence[ServerAction], changed: list[ServerAction], now: datetime
) -> bool:
    """One statement, and the bytes of large messages one by one. `changed` learns what was tried; True
    if some were left for the next cycle."""
    if not rows:
        return False
    emails = {
        str(email.pk): email
        for email in Email.objects.filter(pk__in=[row.argument for row in rows])
        .select_related("mime")
        .only("sent_on", "mime")
    }
    octets = 0
    for row in rows:
        email = emails.get(row.argument)
        if octets and email and email.mime and octets + email.mime.size > COPIED_BYTES:
            return True
        changed.append(row)
        if email is None or email.mime is None:
            _give_up(row, "What was sent is not kept any more.")
            continue
        octets += email.mime.size
        try:
            mime = blobs.read(email.mime)
            receipt = server.file_sent(row.source_key, mime, email.sent_on or now)
        except (MessageError, blobs.BytesMissing) as error:
            _postpone(row, error, now)
        except TransientError as error:
            # This one may have broken the line and would do so again, so the others go first then.
            _postpone(row, error, now)
            return False
        else:
            _finish(row, receipt, now)
    return False


def _finish(row: ServerAction, receipt: str, now: datetime) -> None:
    row.attempts += 1
    row.state, row.done_at, row.receipt = ActionState.DONE, now, receipt[:500]
    row.last_error = ""


def _postpone(row: ServerAction, error: Exception | None, now: datetime) -> None:
    row.attempts += 1
    row.last_error = str(error or "")[:2048]
    row.next_attempt_at = now + gap(row.attempts)
    if row.attempts >= ATTEMPTS:
        row.state = ActionState.FAILED


def _give_up(row: ServerAction, why: str) -> None:
    row.state, row.last_error = ActionState.FAILED, why
