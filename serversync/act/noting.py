"""Note what changed on either side, on the link rows: nothing is decided here, and nothing is lost.

A folder's cursor moves in the transaction that notes what lies before it; the journal's likewise. What was noted
stays until a decision on both sides has been carried out, so this may be repeated and killed at any point.

    server: known item, known version   our own write coming back, or told twice: nothing (R6.52)
            known item, other version   changed
            known item, gone            deleted, or moved: found out when the pair is read
            carries a link of ours      the answer to its creation was lost; or a copy, or moved (R6.48)
            carries the category        somebody tracks it (R6.3)
            anything else               not ours; not a row, not a word of it (R6.3)
    store:  linked record               changed, deleted, or another's by now
            record that a filter finds  to be made there (R6.13)
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import Q

from activities import changes
from activities.models import ActivityPointer, Contact
from mailboxes.protocols.items import CALENDAR, TASKS, Changed, Changes
from serversync.act.choices import ChangeType, LinkStart, LinkState
from serversync.act.run import ActRun
from serversync.act.types import Table
from serversync.act.work import key_of
from serversync.models import ActState, ExchangeSyncIdMapping, ItemFolderCursor

PAGE = 500  # changes asked for at once, of either side
FILES_PAGE = 100  # pairs of which files are looked at in one cycle because that was switched on
ALL = UUID(int=2**128 - 1)
LOOK_EVERY = timedelta(hours=1)  # time alone changes what "the next 30 days" finds
NOTED = [
    "from_crm_change_type",
    "to_crm_change_type",
    "exchange_entry_id",
    "folder",
    "uid",
    "listing",
    "was_tracked",
    "is_deleted_in_exchange",
    "retries",
    "next_attempt_at",
    "modified_on",
]

CODES = frozenset(table.value for table in Table)

Link = ExchangeSyncIdMapping


# -- what the server tells -------------------------------------------------------------------------


@dataclass(slots=True)
class Notes:
    """What one page of changes comes to. `seen`: rows that a listing which began anew has come upon."""

    new: list[Link] = field(default_factory=list)
    changed: dict[UUID, Link] = field(default_factory=dict)
    seen: dict[UUID, Link] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.new or self.changed or self.seen)


def read_server(run: ActRun) -> None:
    """All folders, to the end: what seems to be gone from one may have moved to the next."""
    for folder in run.folders:
        while _read_page(run, folder):
            pass


def _read_page(run: ActRun, folder: ItemFolderCursor) -> bool:
    """One page; whether there is more."""
    with run.timed("list"):
        told = run.connected.changes(folder.folder, folder.cursor, PAGE)
    anew = told.reset and bool(folder.cursor)
    if not (told.items or told.gone or told.more or anew) and folder.complete:
        return False  # the old cursor is as good, and costs no statement
    with run.timed("note"), run.writing():
        if anew:
            folder.listing += 1
            folder.resets += 1
            folder.complete = False
        notes = _notes(run, folder, told)
        _write(run, notes)
        if not told.more and not folder.complete:
            folder.complete = True
            run.pending |= _note_absent(run, folder)
        folder.cursor = told.cursor
        folder.checked_at = run.clock()
        folder.save(update_fields=["cursor", "listing", "resets", "complete", "checked_at"])
    return told.more


def _notes(run: ActRun, folder: ItemFolderCursor, told: Changes) -> Notes:
    known = _Known(run, told)
    notes = Notes()
    for identifier in told.gone:
        if (link := known.by_item.get(identifier)) is not None:
            _note(link, ChangeType.DELETED, notes)
    for item in told.items:
        _note_item(run, folder, item, known, notes)
    return notes


class _Known:
    """Link rows that a page may concern. One statement."""

    def __init__(self, run: ActRun, told: Changes) -> None:
        ids = {item.id for item in told.items} | set(told.gone)
        keys = {key for item in told.items if (key := key_of(item.link))}
        uids = {item.uid for item in told.items} - {""}
        waiting = Q(uid__in=uids, exchange_entry_id="", object_id__isnull=False)
        rows = run.links().filter(Q(exchange_entry_id__in=ids) | Q(link_key__in=keys) | waiting)
        found = list(rows) if ids else []
        self.by_item = {row.exchange_entry_id: row for row in found if row.exchange_entry_id}
        self.by_key = {row.link_key: row for row in found if row.link_key}
        # A meeting that its organizer's mailbox sends: the record was there before the invitation.
        self.by_uid = {row.uid: row for row in found if row.uid and not row.exchange_entry_id}


def _note_item(
    run: ActRun, folder: ItemFolderCursor, item: Changed, known: _Known, notes: Notes
) -> None:
    if item.kind is None:
        return
    link = known.by_item.get(item.id)
    if link is not None:
        _note_known(run, folder, item, link, notes)
        return
    key = key_of(item.link)
    owner = (known.by_key.get(key) if key else None) or known.by_uid.pop(item.uid, None)
    if owner is not None and not owner.exchange_entry_id:
        # We made it, and never heard so; or somebody else's mailbox did.
        owner.exchange_entry_id, owner.folder, owner.uid = item.id, folder.folder, item.uid[:512]
        owner.listing = folder.listing
        known.by_item[item.id] = owner
        _note(owner, ChangeType.UPDATED, notes)
    elif owner is not None:
        notes.new.append(_new(run, folder, item, carries=owner.link_key))
    elif _is_tracked(run, folder, item):
        notes.new.append(_new(run, folder, item))


def _note_known(
    run: ActRun, folder: ItemFolderCursor, item: Changed, link: Link, notes: Notes
) -> None:
    if link.listing != folder.listing:
        link.listing = folder.listing
        notes.seen[link.pk] = link
    if link.state == LinkState.UNLINKED and not _is_tracked(run, folder, item):
        # Each goes its own way, until somebody tracks it anew or a filter finds the record again.
        if link.was_tracked:
            link.was_tracked = False
            notes.seen[link.pk] = link
        return
    moved = link.folder != folder.folder
    link.folder = folder.folder
    if item.version != link.change_key or link.is_deleted_in_exchange or moved:
        _note(link, ChangeType.UPDATED, notes)
    elif link.to_crm_change_type == ChangeType.DELETED:
        _note(link, ChangeType.AGAIN, notes)  # it left, and is back


def _is_tracked(run: ActRun, folder: ItemFolderCursor, item: Changed) -> bool:
    """R6.5, R6.6: by category, in the calendar and among tasks."""
    return (
        bool(run.category)
        and folder.holds in (CALENDAR, TASKS)
        and any(name.casefold() == run.category for name in item.categories)
    )


def _note(link: Link, change: ChangeType, notes: Notes) -> None:
    """A change begins the count of attempts anew (R6.54)."""
    link.to_crm_change_type = change
    link.is_deleted_in_exchange = change == ChangeType.DELETED
    link.retries, link.next_attempt_at = 0, None
    notes.changed[link.pk] = link


def _new(run: ActRun, folder: ItemFolderCursor, item: Changed, carries: UUID | None = None) -> Link:
    return Link(
        mailbox=run.mailbox,
        owner=run.user,
        generation=run.mailbox.account_generation,
        exchange_entry_id=item.id,
        folder=folder.folder,
        uid=item.uid[:512],
        listing=folder.listing,
        carries=carries,
        state=LinkState.NOTED,
        started=LinkStart.CATEGORY,
        to_crm_change_type=ChangeType.CREATED,
    )


def _write(run: ActRun, notes: Notes) -> None:
    if not notes:
        return
    run.pending |= bool(notes.new or notes.changed)
    Link.objects.bulk_create(notes.new, ignore_conflicts=True)
    rows = list({**notes.seen, **notes.changed}.values())
    for row in rows:
        row.modified_on = run.clock()
    Link.objects.bulk_update(rows, NOTED, batch_size=100)


def _note_absent(run: ActRun, folder: ItemFolderCursor) -> bool:
    """What a listing from the beginning didn't come upon has left meanwhile. And what we made and no listing
    ever told may have gone before the next one, which then keeps silent about it: that is fetched."""
    absent = (
        run.links()
        .filter(folder=folder.folder, listing__lt=folder.listing)
        .exclude(exchange_entry_id="")
        .exclude(is_deleted_in_exchange=True)
    )
    made = _mark(absent.filter(listing=0), to_crm_change_type=ChangeType.AGAIN)
    left = _mark(
        absent.filter(listing__gt=0),
        to_crm_change_type=ChangeType.DELETED,
        is_deleted_in_exchange=True,
    )
    return bool(made or left)


def note_folder_gone(run: ActRun, folder: ItemFolderCursor) -> None:
    """Called in the transaction that notes which folders there are."""
    inside = run.links().filter(folder=folder.folder).exclude(exchange_entry_id="")
    run.pending |= bool(
        _mark(inside, to_crm_change_type=ChangeType.DELETED, is_deleted_in_exchange=True)
    )
    folder.delete()


def _mark(links: Any, **columns: Any) -> int:
    return int(links.update(retries=0, next_attempt_at=None, **columns))


# -- what the store tells --------------------------------------------------------------------------


def read_store(run: ActRun) -> None:
    """The journal to its end, and everything once in a while: filters, rights and time change what takes
    part without a record changing."""
    now, is_first = run.clock(), run.state.looked_at is None
    while run.journal and not is_first and _read_journal(run):
        pass
    if is_first or run.state.look_again_at <= now:
        _look_at_all(run, now)


def _read_journal(run: ActRun) -> bool:
    now = run.clock()
    changes.number(now)
    told = changes.after(run.state.journal_cursor, PAGE)
    if not told:
        return False
    with run.timed("note"), run.writing():
        keys = {UUID(change.object_id) for change in told}
        linked = _note_records(run, keys)
        _note_matches(run, keys - linked)
        run.state.journal_cursor = told[-1].number
        run.state.save(update_fields=["journal_cursor"])
    return len(told) == PAGE


def _note_records(run: ActRun, keys: Iterable[UUID]) -> set[UUID]:
    """Linked ones; returns whose they are."""
    rows = run.links().filter(object_id__in=keys).exclude(state=LinkState.UNLINKED)
    found = {key for key in rows.values_list("object_id", flat=True) if key}
    if found:
        _mark(
            run.links().filter(object_id__in=found).exclude(state=LinkState.UNLINKED),
            from_crm_change_type=ChangeType.UPDATED,
        )
        run.pending = True
    return found


def _note_matches(run: ActRun, keys: Iterable[UUID]) -> None:
    """Records that no link knows and that a filter of the user finds (R6.13)."""
    by_table = _by_table(set(keys))
    for table in run.filters.tables if by_table else ():
        if candidates := by_table.get(table):
            found = set(run.filters.matching(table, candidates))
            _link_again(run, found)
            _link_new(run, table, found)


def read_files(run: ActRun) -> None:
    """Appointments that were linked before files were switched on are noted, page by page, and their files are
    carried over like any others (R6.34). Newest notes come last, so that nobody's change waits for them."""
    state, done = run.state, run.state.files_noted_to
    if not run.settings.attachments:
        if done is not None:
            _files_noted(state, None)
        return
    if done == ALL:
        return
    pairs = run.links().filter(state=LinkState.LINKED, object_type_code=Table.APPOINTMENT)
    later = pairs if done is None else pairs.filter(pk__gt=done)
    with run.timed("note"), run.writing():
        page = list(later.order_by("pk").values_list("pk", flat=True)[:FILES_PAGE])
        quiet = pairs.filter(pk__in=page, from_crm_change_type=ChangeType.NONE)
        noted = _mark(quiet, from_crm_change_type=ChangeType.AGAIN, modified_on=run.clock())
        _files_noted(state, page[-1] if len(page) == FILES_PAGE else ALL)
    run.pending |= bool(noted)
    run.result.more |= len(page) == FILES_PAGE


def _files_noted(state: ActState, to: UUID | None) -> None:
    state.files_noted_to = to
    state.save(update_fields=["files_noted_to"])


def _by_table(keys: set[UUID]) -> dict[Table, set[UUID]]:
    """Of records that are there."""
    found: dict[Table, set[UUID]] = {}
    types = ActivityPointer.objects.filter(pk__in=keys).values_list("pk", "activity_type_code")
    for key, code in types:
        if code in CODES:
            found.setdefault(Table(code), set()).add(key)
    rest = keys.difference(*found.values())
    if contacts := set(Contact.objects.filter(pk__in=rest).values_list("pk", flat=True)):
        found[Table.CONTACT] = contacts
    return found


def _link_new(run: ActRun, table: Table, keys: Iterable[UUID]) -> None:
    """What was unlinked by a decision stays so: its row is there and stands in the way."""
    rows = [
        Link(
            mailbox=run.mailbox,
            owner=run.user,
            generation=run.mailbox.account_generation,
            object_type_code=table,
            object_id=key,
            state=LinkState.NOTED,
            started=LinkStart.FILTER,
            from_crm_change_type=ChangeType.CREATED,
        )
        for key in keys
    ]
    Link.objects.bulk_create(rows, ignore_conflicts=True, batch_size=PAGE)
    run.pending |= bool(rows)


def _link_again(run: ActRun, keys: Iterable[UUID]) -> None:
    """They left the filters once, or lay in the bin, and are back. What a person unlinked stays so."""
    rows = run.links().filter(
        Q(is_unlinked_in_crm=False) | Q(item_facts__without_record=True),
        object_id__in=list(keys),
        state=LinkState.UNLINKED,
    )
    both = {"from_crm_change_type": ChangeType.AGAIN, "to_crm_change_type": ChangeType.AGAIN}
    run.pending |= bool(_mark(rows, is_unlinked_in_crm=False, **both))


def _look_at_all(run: ActRun, now: datetime) -> None:
    """Each table once: what the filters find now, against what is linked. What is linked and has changed
    only the journal tells, so that is passed over at the very first look alone, when nothing is linked."""
    with run.timed("look"), run.writing():
        if run.state.looked_at is None:
            run.state.journal_cursor = max(run.state.journal_cursor, changes.number(now))
        for table in Table:
            found = set(run.filters.matching(table))
            linked = run.links().filter(object_type_code=table)
            known = dict(linked.values_list("object_id", "pk"))
            _link_new(run, table, found - set(known))
            _link_again(run, found & set(known))
            _again(run, [known[key] for key in set(known) - found])
        run.state.looked_at = now
        run.state.save(update_fields=["journal_cursor", "looked_at"])
        # Whoever changed a filter meanwhile has asked for another look.
        mine = ActState.objects.filter(pk=run.state.pk, look_again_at=run.state.look_again_at)
        mine.update(look_again_at=now + LOOK_EVERY)
    run.pending = True


def _again(run: ActRun, links: Sequence[UUID]) -> None:
    """No filter finds them (any longer). Those that a person linked stay linked; each is decided."""
    rows = run.links().filter(
        pk__in=links, state=LinkState.LINKED, started=LinkStart.FILTER, from_crm_change_type=0
    )
    rows.update(from_crm_change_type=ChangeType.AGAIN, retries=0, next_attempt_at=None)
