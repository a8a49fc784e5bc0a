"""Carry out server actions: what the cycles decided to do to messages on the server (R9.10).

Each is a row written in the transaction that decided it, done afterwards, repeatable, with a receipt.
A failing action postpones itself and nobody else.
"""

from collections import defaultdict
from datetime import datetime, timedelta

from mailboxes.models import Mailbox
from mailboxes.protocols.base import Action, ActionKind, IncomingServer
from serversync.choices import ActionState
from serversync.models import ServerAction

ATTEMPTS = 10  # over about two days with the gaps below
PER_CYCLE = 500  # keeps one cycle under the job's time-out


def gap(attempts: int) -> timedelta:
    """5 minutes, doubling, at most 12 hours."""
    doubled: int = 5 << min(attempts, 12)
    return min(timedelta(minutes=doubled), timedelta(hours=12))


def act(server: IncomingServer, mailbox: Mailbox, now: datetime) -> int:
    """Do what is pending and due for this mailbox; returns how many are done.

    Errors of the connection pass through: what was not done stays pending.
    """
    pending = list(
        ServerAction.objects.filter(
            mailbox=mailbox, state=ActionState.PENDING, next_attempt_at__lte=now
        ).order_by("created_on")[:PER_CYCLE]
    )
    by_folder: dict[str, list[ServerAction]] = defaultdict(list)
    changed: list[ServerAction] = []
    for row in pending:
        if row.generation != mailbox.account_generation:
            row.state = ActionState.FAILED
            row.last_error = "The mailbox means another account now; its messages are others."
            changed.append(row)
        else:
            by_folder[row.folder].append(row)
    try:
        for folder, rows in by_folder.items():
            wanted = {
                Action(ActionKind(row.kind), row.source_key, row.argument): row for row in rows
            }
            for result in server.apply(folder, list(wanted)):
                row = wanted[result.action]
                row.attempts += 1
                if result.done:
                    row.state, row.done_at, row.receipt = (
                        ActionState.DONE,
                        now,
                        result.receipt[:500],
                    )
                    row.last_error = ""
                else:
                    row.last_error = str(result.error or "")[:2048]
                    row.next_attempt_at = now + gap(row.attempts)
                    if row.attempts >= ATTEMPTS:
                        row.state = ActionState.FAILED
                changed.append(row)
    finally:
        # Receipts of what was done are kept even if a later folder broke the connection.
        if changed:
            ServerAction.objects.bulk_update(
                changed,
                ["state", "attempts", "done_at", "receipt", "last_error", "next_attempt_at"],
            )
    return sum(row.state == ActionState.DONE for row in changed)
