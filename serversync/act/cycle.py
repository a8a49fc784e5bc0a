"""One cycle of appointments, contacts and tasks: note, read, decide, guard, write, tell.

    folders ─> server's changes ─┐
               store's journal ──┴─> due pairs ─> decisions ─> guard ─> store, then server
                                     (pending)    (reconcile)  (parking)      (writing)

Called by the engine with a claimed lease; it alone catches what escapes here. A mailbox that never was synchronized
is read whole, and nothing is written before it was shown and approved, unless it is small (R6.51): that holds until the
first look has gone through everything, however many cycles it takes.
"""

from collections.abc import Callable
from uuid import UUID

from django.db.models import Q
from django.utils import timezone

from mailboxes.connect import items_server
from mailboxes.protocols.items import MAIN_FOLDERS, ItemFolder, ItemsServer
from serversync.act import files, filters, marker, noting, parking, pending, writing
from serversync.act.run import FOLDERS_EVERY, ActRun, begin, is_noted
from serversync.context import Context
from serversync.cycle import Clock, CycleResult
from serversync.models import ItemFolderCursor

Connect = Callable[..., ItemsServer]


def synchronize(
    context: Context,
    token: UUID,
    *,
    clock: Clock = timezone.now,
    connect: Connect = items_server,
) -> CycleResult:
    """Run one cycle. Raises ServerError (the server), LeaseLost (somebody else has the mailbox)."""
    run = begin(context, token, clock)
    not_before = context.organization.perform_act_sync_after
    if not_before is not None and clock() < not_before:
        return run.result
    server = connect(context.mailbox, context.organization)
    try:
        with run.timed("open"):
            run.server = server.open()
        _cycle(run)
    finally:
        server.close()
    return run.result


def _cycle(run: ActRun) -> None:
    if run.state.first_look_at is None:
        _look_first(run)
    if _folders_are_due(run):
        _read_folders(run)
    if marker.is_due(run):
        marker.check(run)
    noting.read_server(run)
    noting.read_store(run)
    noting.read_files(run)
    if run.pending:
        _work(run)
    if run.is_first and _is_through(run):
        _begin(run)


def _work(run: ActRun) -> None:
    """As many pairs as a cycle may take; what is left runs at once."""
    works = pending.decided(run, pending.due(run, run.organization.act_items_per_cycle))
    go = parking.sorted_out(run, works)
    if any(work.decision.to_server for work in go):
        marker.check_before_writing(run)
    writing.carry_out(run, go)
    parking.use_up(run, go)
    files.carry_over(run, go)


def _look_first(run: ActRun) -> None:
    now = run.clock()
    filters.copy_templates(run.user, now)
    run.state.first_look_at = now
    run.state.save(update_fields=["first_look_at"])


def _is_through(run: ActRun) -> bool:
    """The first look has gone through everything, and nothing of it waits. Open questions may stay open; what
    couldn't be read yet comes up again, and must be shown then."""
    noted = run.links().filter(is_noted())
    left = Q(next_attempt_at=None) | Q(next_attempt_at__lte=run.clock()) | Q(retries__gt=0)
    return not noted.filter(Q(batch__isnull=False) | left & Q(question="")).exists()


def _begin(run: ActRun) -> None:
    """There was nothing to ask, or all of it was answered."""
    run.state.began_at = run.clock()
    run.state.save(update_fields=["began_at"])


# -- folders ---------------------------------------------------------------------------------------


def _folders_are_due(run: ActRun) -> bool:
    read_at = run.state.folders_read_at
    return not run.folders or read_at is None or read_at + FOLDERS_EVERY <= run.clock()


def _read_folders(run: ActRun) -> None:
    """The three main ones and calendars below the main one (R6.5). A folder that is gone is forgotten;
    what was in it has left, and is found out to have moved or to be deleted."""
    with run.timed("folders"):
        there = {folder.folder: folder for folder in run.connected.folders()}
    now = run.clock()
    with run.writing():
        known = {row.folder: row for row in run.folders}
        ItemFolderCursor.objects.bulk_create(
            [_cursor(run, folder) for key, folder in there.items() if key not in known],
            ignore_conflicts=True,
        )
        for key, row in known.items():
            if key not in there and key not in MAIN_FOLDERS:
                noting.note_folder_gone(run, row)
        run.state.folders_read_at = now
        run.state.save(update_fields=["folders_read_at"])
    run.folders = _ordered(run)


def _cursor(run: ActRun, folder: ItemFolder) -> ItemFolderCursor:
    return ItemFolderCursor(
        mailbox=run.mailbox,
        generation=run.mailbox.account_generation,
        folder=folder.folder,
        holds=folder.holds,
        name=folder.name[:255],
    )


def _ordered(run: ActRun) -> list[ItemFolderCursor]:
    rows = ItemFolderCursor.objects.filter(
        mailbox=run.mailbox, generation=run.mailbox.account_generation
    )
    return list(rows.order_by("pk"))
