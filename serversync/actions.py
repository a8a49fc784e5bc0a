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
from mailboxes.protocols.errors import (
    AccessDenied,
    FolderMissing,
    MessageError,
    TransientError,
)
from serversync.choices import ActionState, ItemState
from serversync.context import Context
from serversync.deeds import UNDELIVERABLE
from serversync.models import MailboxLayout, ServerAction, SyncItem

ATTEMPTS = 10  # over about two days with the gaps below
PER_CYCLE = 500  # keeps one cycle under the job's time-out
COPIES_PER_CYCLE = 50  # each goes over the line whole
COPIED_BYTES = 32 * 1024 * 1024  # so that they are done well within a lease

#: After these a message is no longer where it was.
LEAVING = frozenset({ActionKind.MOVE.value, ActionKind.DELETE.value})
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
    not read, or where there are no sent items to be had (POP3). The e-mails are those of which the
    server filed none itself."""
    profile = mailbox.email_server_profile
    if not (
        organization.sss_save_outgoing_email_to_exchange_sent_folder
        and mailbox.incoming_email_delivery_method == IncomingDeliveryMethod.SERVER_SIDE_SYNC
        and profile is not None
        and profile.kind != ServerType.POP3_SMTP
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


def act(server: IncomingServer, context: Context, now: datetime) -> bool:
    """Do what is pending and due for this mailbox; True if more is due than one cycle does.

    Marks go before moves, which may change a message's key. Errors of the connection pass through:
    what was not done stays pending.
    """
    mailbox = context.mailbox
    pending = list(
        ServerAction.objects.filter(
            mailbox=mailbox, state=ActionState.PENDING, next_attempt_at__lte=now
        ).order_by("created_on", "pk")[:PER_CYCLE]
    )
    by_folder: dict[tuple[bool, str], list[ServerAction]] = defaultdict(list)
    copies: list[ServerAction] = []
    changed: list[ServerAction] = []
    for row in pending:
        if row.generation != mailbox.account_generation:
            _give_up(row, "The mailbox means another account now; its messages are others.")
            changed.append(row)
        elif row.kind == FILE_SENT:
            copies.append(row)
        else:
            by_folder[row.kind in LEAVING, row.folder].append(row)
    try:
        for _leaves, folder in sorted(by_folder):
            _carry_out(server, context, folder, by_folder[_leaves, folder], changed, now)
        more = _file_copies(server, copies[:COPIES_PER_CYCLE], changed, now)
    finally:
        # Receipts of what was done are kept even if a later folder broke the connection.
        if changed:
            ServerAction.objects.bulk_update(
                changed,
                ["state", "attempts", "done_at", "receipt", "last_error", "next_attempt_at"],
            )
            _learn([row for row in changed if row.state == ActionState.DONE], context, now)
    return more or len(copies) > COPIES_PER_CYCLE or len(pending) == PER_CYCLE


def _carry_out(
    server: IncomingServer,
    context: Context,
    folder: str,
    rows: Sequence[ServerAction],
    changed: list[ServerAction],
    now: datetime,
) -> None:
    """All of a folder in one call. `changed` learns what was tried."""
    try:
        wanted = {_action(server, context, row): row for row in rows}
        results = server.apply(folder, list(wanted))
    except (AccessDenied, FolderMissing, MessageError) as error:
        # Folders come and go; the others' deeds don't wait for this one.
        for row in rows:
            _postpone(row, error, now)
            changed.append(row)
        _forget_target(context, rows)
        return
    for result in results:
        row = wanted[result.action]
        if result.done:
            _finish(row, result.receipt, now)
        else:
            _postpone(row, result.error, now)
            _forget_target(context, [row])
        changed.append(row)


def _action(server: IncomingServer, context: Context, row: ServerAction) -> Action:
    argument = row.argument
    if row.kind == ActionKind.MOVE and argument == UNDELIVERABLE:
        argument = _undeliverable(server, context)
    return Action(ActionKind(row.kind), row.source_key, argument)


def _undeliverable(server: IncomingServer, context: Context) -> str:
    """The folder for what failed: made once, its key kept (R3.70)."""
    if context.layout is not None and context.layout.undeliverable_folder:
        return context.layout.undeliverable_folder
    folder = server.ensure_folder(UNDELIVERABLE)
    context.layout, _made = MailboxLayout.objects.update_or_create(
        mailbox=context.mailbox,
        defaults={
            "undeliverable_folder": folder,
            "generation": context.mailbox.account_generation,
        },
    )
    return folder


def _forget_target(context: Context, rows: Iterable[ServerAction]) -> None:
    """Somebody may have deleted the folder for what failed: next time it is looked for again."""
    layout = context.layout
    if layout is None or not layout.undeliverable_folder:
        return
    if any(row.kind == ActionKind.MOVE and row.argument == UNDELIVERABLE for row in rows):
        layout.undeliverable_folder = ""
        layout.save(update_fields=["undeliverable_folder"])


def _learn(done: Sequence[ServerAction], context: Context, now: datetime) -> None:
    """What the ledger knows now: who carries the category, who left the folder."""
    category = context.layout.category_name if context.layout else ""
    for kind, marked in ((ActionKind.MARK, True), (ActionKind.UNMARK, False)):
        items = [
            row.item_id
            for row in done
            if row.item_id and row.kind == kind and row.argument == category
        ]
        if items:
            # What was turned down is judged again because of the mark, and then known to carry it.
            rows = SyncItem.objects.filter(pk__in=items)
            rows.exclude(state=ItemState.REJECTED).update(marked=marked)
    left = [row.item_id for row in done if row.kind in LEAVING and row.item_id]
    if left:
        SyncItem.objects.filter(pk__in=left).update(left_at=now)


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
