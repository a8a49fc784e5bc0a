"""Track by category: who marks a message tracks it, who takes the mark off untracks it (section 7.2).

Every quarter of an hour a cycle asks the server what the tracking category is called now, and which
messages carry it. Those that the ledger does not hold as tracked are judged without a filter; those that
carried it and carry it no more lose their link to the e-mail, which stays.
"""

import logging
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID, uuid5

from django.db import transaction
from django.db.models import QuerySet
from django.utils.translation import gettext as _

from mailboxes.choices import ServerType
from mailboxes.models import Mailbox, Organization
from mailboxes.protocols.base import (
    INBOX,
    SENT,
    Category,
    IncomingServer,
    Listing,
    Marked,
    Marks,
    RemoteItem,
)
from mailboxes.protocols.errors import (
    AccessDenied,
    FolderMissing,
    MessageError,
    RequestExpired,
    SocketTimedOut,
)
from serversync.choices import ItemState
from serversync.context import Context, FolderFacts
from serversync.cycle import Run
from serversync.deeds import category_name
from serversync.leases import renew
from serversync.listing import LISTING, portions
from serversync.models import MailboxLayout, SyncItem
from serversync.pages import PageWriter
from tracking.choices import Way
from tracking.trace import UNTRACKED

log = logging.getLogger(__name__)

CHECK_EVERY = timedelta(minutes=15)  # R7.21
KEYWORD = "$Tracked"  # R7.30
FAILED_KEYWORD = "$Undeliverable"
UNTRACKED_AT_ONCE = 100
CHANGED_BY_UNTRACKING = [
    "trace", "state", "reason", "sub_reason", "email", "marked", "decided_at",
]  # fmt: skip
HOLDS = frozenset({ItemState.TRACKED, ItemState.DUPLICATE})
WAITS = frozenset({ItemState.RETRYING, ItemState.QUARANTINED})
#: After these the categories wait for the next check, and mail goes on.
OFF = (MessageError, AccessDenied, FolderMissing, RequestExpired, SocketTimedOut)


def is_used(mailbox: Mailbox, organization: Organization) -> bool:
    """R7.20, R7.30: Exchange once it was chosen, IMAP once that was allowed, too."""
    profile = mailbox.email_server_profile
    if profile is None or not organization.effective("track_categorized_items"):
        return False
    if profile.kind == ServerType.IMAP_SMTP:
        return bool(organization.effective("allow_category_tracking_for_imap"))
    return profile.kind.is_exchange


def category(mailbox: Mailbox, organization: Organization) -> Category:
    """The same id in every mailbox, so that it is known again after a renaming (R7.22)."""
    if _is_imap(mailbox):
        return Category("", KEYWORD)
    name = _("Tracked to %(organization)s") % {"organization": organization.name}
    return Category(str(uuid5(organization.pk, "tracked")), name)


def failed_category(mailbox: Mailbox, organization: Organization) -> Category:
    if _is_imap(mailbox):
        return Category("", FAILED_KEYWORD)
    return Category(str(uuid5(organization.pk, "undeliverable")), _("(Undeliverable)"))


def _is_imap(mailbox: Mailbox) -> bool:
    profile = mailbox.email_server_profile
    return profile is not None and profile.kind == ServerType.IMAP_SMTP


def is_due(context: Context, now: datetime) -> bool:
    layout = context.layout
    if not is_used(context.mailbox, context.organization):
        return layout is not None and bool(layout.category_name)
    if layout is None or layout.categories_read_at is None:
        return True
    return layout.categories_read_at + CHECK_EVERY <= now


def noticed(run: Run, folder: str, listed: Listing) -> bool:
    """Does a listing tell that somebody set the category or took it off? Then nobody needs to wait for
    the next check. One statement where something with or without it has changed."""
    name = category_name(run).casefold()
    told = {item.remote_id: item.marks for item in listed.changed if item.marks is not None}
    told |= {
        item.remote_id: item.marks
        for item in listed.items
        if item.marks and name in map(str.casefold, item.marks)
    }
    if not name or not told:
        return False
    known: dict[str, bool | None] = {}
    for portion in portions(list(told)):
        rows = SyncItem.objects.filter(
            mailbox=run.mailbox,
            generation=run.mailbox.account_generation,
            folder=folder,
            source_key__in=portion,
        )
        known.update(rows.values_list("source_key", "marked"))
    return any(
        (name in map(str.casefold, marks)) != bool(known.get(key)) for key, marks in told.items()
    )


def check(run: Run, server: IncomingServer) -> None:
    """Bring category and ledger into line. A server that refuses categories, or takes too long over
    them, costs nothing but them."""
    layout, now = _layout(run), run.clock()
    if not is_used(run.mailbox, run.organization):
        _switch_off(run, server, layout)
        return
    try:
        _name(run, server, layout)
    except OFF as error:
        log.warning("mailbox %s: no categories: %s", run.mailbox.pk, error)
        _save(layout, category_name="", categories_read_at=now)
        return
    try:
        _compare(run, server, layout)
    except OFF as error:
        log.warning("mailbox %s: categories not compared: %s", run.mailbox.pk, error)
        _save(layout, categories_read_at=now)


def _layout(run: Run) -> MailboxLayout:
    """The row of the account that the mailbox means now."""
    generation = run.mailbox.account_generation
    if run.context.layout is None:
        fresh: dict[str, Any] = {"folder_hierarchy": [], "hierarchy_read_at": None}
        fresh |= {"undeliverable_folder": "", "categories_read_at": None}
        fresh |= {"category_id": "", "undeliverable_category_id": ""}
        fresh |= {"category_name": "", "undeliverable_category_name": "", "marks_until": None}
        run.context.layout, _made = MailboxLayout.objects.update_or_create(
            mailbox=run.mailbox, defaults=fresh | {"generation": generation}
        )
    return run.context.layout


def _switch_off(run: Run, server: IncomingServer, layout: MailboxLayout) -> None:
    """Off the list, while messages keep it (R7.23)."""
    for key in filter(None, (layout.category_id, layout.undeliverable_category_id)):
        try:
            server.drop_category(key)
        except OFF as error:
            log.warning("mailbox %s: a category stays: %s", run.mailbox.pk, error)
    _save(
        layout,
        category_id="",
        category_name="",
        undeliverable_category_id="",
        undeliverable_category_name="",
        marks_until=None,
    )
    SyncItem.objects.filter(mailbox=run.mailbox, marked__isnull=False).update(marked=None)


def _name(run: Run, server: IncomingServer, layout: MailboxLayout) -> None:
    """What both categories are called now; made again if somebody deleted them (R7.22)."""
    wanted = category(run.mailbox, run.organization)
    # A list that had one of this name before keeps it, under an id of its own.
    tracked = server.ensure_category(Category(layout.category_id or wanted.id, wanted.name))
    wanted = failed_category(run.mailbox, run.organization)
    failed = server.ensure_category(
        Category(layout.undeliverable_category_id or wanted.id, wanted.name)
    )
    values: dict[str, Any] = {
        "category_id": tracked.id,
        "category_name": tracked.name,
        "undeliverable_category_id": failed.id,
        "undeliverable_category_name": failed.name,
    }
    if layout.category_name and layout.category_name != tracked.name:
        # Under the new name no message changed, so everything is looked at.
        values["marks_until"] = None
    _save(layout, **values)


def _save(layout: MailboxLayout, **values: object) -> None:
    for name, value in values.items():
        setattr(layout, name, value)
    layout.save(update_fields=list(values))


def _compare(run: Run, server: IncomingServer, layout: MailboxLayout) -> None:
    now = run.clock()
    folders = [INBOX, SENT, *(facts.folder for facts in run.context.tracked)]
    with run.timed("marks"):
        marks = server.marked(layout.category_name, folders, layout.marks_until)
    known = _rows_of(run, marks.items)
    _note(known, marks.items)
    _untrack(run, _unmarked(run, server, known, marks, folders))
    cut = _track(run, server, known, marks.items)
    if not cut:
        _save(layout, marks_until=marks.until, categories_read_at=now, marks_read_at=now)
    run.result.more |= cut


Key = tuple[str, str]


class Known(NamedTuple):
    """What is needed of a ledger row to compare it; of a large mailbox there are many."""

    pk: UUID
    folder: str
    source_key: str
    state: str
    marked: bool | None


def _rows_of(run: Run, items: Iterable[Marked]) -> dict[Key, Known]:
    by_folder: dict[str, list[str]] = defaultdict(list)
    for item in items:
        by_folder[item.folder].append(item.remote_id)
    known: dict[Key, Known] = {}
    for folder, keys in by_folder.items():
        for portion in portions(keys):
            rows = SyncItem.objects.filter(
                mailbox=run.mailbox,
                generation=run.mailbox.account_generation,
                folder=folder,
                source_key__in=portion,
                parent__isnull=True,
            ).order_by()
            known.update(
                ((folder, row[2]), Known(*row)) for row in rows.values_list(*Known._fields)
            )
    return known


def _note(known: dict[Key, Known], items: Iterable[Marked]) -> None:
    """That tracked messages carry the mark: only then can taking it off mean something. One that is to
    be tried again is then tried by its mark."""
    fresh = [
        row.pk
        for item in items
        if item.has_mark
        and (row := known.get((item.folder, item.remote_id))) is not None
        and row.state in HOLDS | WAITS
        and not row.marked
    ]
    for portion in portions(fresh):
        SyncItem.objects.filter(pk__in=portion).update(marked=True)


def _unmarked(
    run: Run,
    server: IncomingServer,
    known: dict[Key, Known],
    marks: Marks,
    folders: Sequence[str],
) -> list[Known]:
    """Messages that carried the mark and carry it no more."""
    if not marks.complete:
        told = (
            known.get((item.folder, item.remote_id)) for item in marks.items if not item.has_mark
        )
        return [row for row in told if row is not None and row.marked]
    marked = SyncItem.objects.filter(
        mailbox=run.mailbox,
        generation=run.mailbox.account_generation,
        marked=True,
        left_at__isnull=True,
    )
    if _is_imap(run.mailbox):
        marked = marked.filter(folder__in=folders)
    carrying = {(item.folder, item.remote_id) for item in marks.items if item.has_mark}
    rows = marked.order_by().values_list(*Known._fields).iterator()
    missing = [
        row
        for row in (Known(*values) for values in rows)
        if (row.folder, row.source_key) not in carrying
    ]
    return _still_there(server, missing)


def _still_there(server: IncomingServer, rows: Iterable[Known]) -> list[Known]:
    """Less those that are not in the answer because they were moved or deleted, which their folder's
    listing tells, now or later."""
    by_folder: dict[str, list[Known]] = defaultdict(list)
    for row in rows:
        by_folder[row.folder].append(row)
    found = []
    for folder, missing in by_folder.items():
        for start in range(0, len(missing), LISTING):
            part = {row.source_key: row for row in missing[start : start + LISTING]}
            try:
                there = server.identify(folder, list(part))
            except (AccessDenied, FolderMissing):
                break
            found += [part[each.remote_id] for each in there]
    return found


def _untrack(run: Run, unmarked: Sequence[Known]) -> None:
    """The e-mail stays, the link to this copy of it goes (R7.13, R7.21)."""
    tracked = [row.pk for row in unmarked if row.state in HOLDS]
    others = [row.pk for row in unmarked if row.state not in HOLDS]
    for portion in portions(others):
        SyncItem.objects.filter(pk__in=portion).update(marked=False)
    for start in range(0, len(tracked), UNTRACKED_AT_ONCE):
        part = tracked[start : start + UNTRACKED_AT_ONCE]
        with transaction.atomic():
            renew(run.token, run.clock())
            rows = list(SyncItem.objects.filter(pk__in=part).select_related("email"))
            for row in rows:
                row.trace = {
                    **row.decision,
                    "outcome": ItemState.REJECTED.value,
                    "reason": UNTRACKED,
                }
                row.state, row.reason, row.sub_reason = ItemState.REJECTED, UNTRACKED, ""
                row.email, row.marked, row.decided_at = None, False, run.clock()
            SyncItem.objects.bulk_update(rows, CHANGED_BY_UNTRACKING)


def _track(
    run: Run, server: IncomingServer, known: dict[Key, Known], items: Sequence[Marked]
) -> bool:
    """Judge what carries the mark and isn't tracked. True if some were left for the next cycle."""
    fresh: dict[str, list[RemoteItem]] = defaultdict(list)
    again: dict[str, list[UUID]] = defaultdict(list)
    cut = False
    for item in items:
        row = known.get((item.folder, item.remote_id))
        # What carries it and could not be tracked, for want of a sender, stays as it is.
        is_settled = row is not None and (row.state in HOLDS | WAITS or row.marked)
        if not item.has_mark or is_settled:
            continue
        if run.left <= 0:
            cut = True
            break
        run.left -= 1
        if row is not None:
            again[item.folder].append(row.pk)
        else:
            fresh[item.folder].append(
                RemoteItem(item.remote_id, item.size, item.received_at, "", item.message_id)
            )
    for folder in {*fresh, *again}:
        try:
            _judge(run, server, folder, fresh[folder], again[folder])
        except (AccessDenied, FolderMissing) as error:
            log.warning("mailbox %s: marks of %s: %s", run.mailbox.pk, folder, error)
    return cut


def _judge(
    run: Run,
    server: IncomingServer,
    folder: str,
    fresh: Sequence[RemoteItem],
    again: Sequence[UUID],
) -> None:
    """A page at a time: then it is known of them that they carry the mark, whatever became of them."""
    writer = PageWriter(run, server, FolderFacts(folder, Way.CATEGORY, known=True))
    per_page = run.organization.messages_per_page
    for start in range(0, len(fresh), per_page):
        page = fresh[start : start + per_page]
        writer.handle(page, None)
        _note_marked(
            SyncItem.objects.filter(
                mailbox=run.mailbox,
                generation=run.mailbox.account_generation,
                folder=folder,
                source_key__in=[item.remote_id for item in page],
            )
        )
    for start in range(0, len(again), per_page):
        page_again = again[start : start + per_page]
        rows = SyncItem.objects.filter(pk__in=page_again)
        found = {row.pk: row for row in rows.select_related("raw")}
        # In their order, so that an answer finds what it answers.
        writer.again([found[key] for key in page_again if key in found])
        _note_marked(rows)


def _note_marked(rows: "QuerySet[SyncItem]") -> None:
    rows.exclude(state=ItemState.GONE).update(marked=True)
