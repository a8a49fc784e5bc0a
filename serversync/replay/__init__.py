"""Replay: a period decided again after settings, records or the code changed, as a difference that a person
reviews, then applied or dropped as a whole; what was applied can be undone.

    begin ──> decide (a job) ──> ready ──apply──> applied ──undo──> undone
                                   └────drop────> dropped

    steps     pure: what is done about one item
    plan      the difference, as rows
    shapes    where an email stands, as data that can be written and written back
    touched   what people did since
    held      its rows, locked; who may
    applying  apply, drop
    undoing   undo
    forgetting    what must not be kept
"""

from datetime import datetime

from django.db import transaction
from django_q.tasks import async_task

from mailboxes import access
from mailboxes.models import Mailbox, SystemUser
from serversync.models import Replay
from serversync.replay.applying import apply, drop
from serversync.replay.held import Refused, may
from serversync.replay.plan import MOST_ITEMS, decide
from serversync.replay.undoing import undo

__all__ = ["MOST_ITEMS", "Refused", "apply", "begin", "decide", "drop", "may", "undo"]


def begin(
    *,
    actor: SystemUser,
    since: datetime,
    until: datetime,
    mailbox: Mailbox | None = None,
    later: bool = True,
) -> Replay:
    """A new one, decided by a worker (`later`) or not yet. Raises PermissionDenied."""
    access.require(actor, "add", Replay)
    with transaction.atomic():
        replay = Replay.objects.create(created_by=actor, since=since, until=until, mailbox=mailbox)
        if later:
            transaction.on_commit(
                lambda: async_task("serversync.jobs.decide_replay", str(replay.pk), group="replay")
            )
    return replay
