"""Files of appointments, carried over once the pair itself is equal (R6.34). Nobody is mailed about them.

    rows here ─────────────────────┐
    item's files ─ known by id, ───┴─> moves (pure) ─> server: added one by one, taken off ─> store: added, binned
                   or read                                       └─> note: revision, base on the link

Only where the organization switched it on, and only of single meetings. The server hears only of the organizer's own
meetings that aren't over. The item is asked only if it has files and isn't the version that is known.

The pair stays noted until this is done. Killed in between, both sides are looked at again: what was carried is on
both then, and no change.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db.models import Q
from django.utils.translation import gettext as _

from activities import blobs
from mailboxes.protocols.errors import MessageError, MessageGone, ServerError
from mailboxes.protocols.items import ItemFile, Outcome, WrittenItem
from serversync.act import attached, marker, meetings, times
from serversync.act.attached import KEY, FileId, Known, Moves, moves
from serversync.act.choices import ActOutcome, ChangeType, RevisionSide
from serversync.act.merging import Closed
from serversync.act.run import FILES, ActRun, count
from serversync.act.store import files as stored
from serversync.act.store.files import StoredFile
from serversync.act.stored import reasons_data
from serversync.act.types import Direction, Reason
from serversync.act.work import Link, Work
from serversync.leases import LeaseLost
from serversync.models import SyncRevision

log = logging.getLogger(__name__)

INTERNAL = "ActItemInternalError"
REFUSED = "ActionRefused"
PAGE = 100
RETRY = timedelta(minutes=5)
#: What servers count beside the content.
AROUND = 64 * 1024


def carry_over(run: ActRun, works: Sequence[Work]) -> None:
    """Of pairs that `writing` has made equal."""
    wanted = [work for work in works if work.has_files and work.link.object_id is not None]
    here = stored.files_of([_key(work) for work in wanted]) if wanted else {}
    equal: list[_Pair] = []
    for work in wanted:
        pair = _Pair(run, work, here.get(_key(work), []))
        try:
            with run.timed("files"):
                pair.carry()
            if pair.equal is not None:
                equal.append(pair)
        except (ServerError, LeaseLost):
            raise
        except Exception as error:  # whatever one pair's files do is that pair's
            log.exception("mailbox %s: files of one pair failed", run.mailbox.pk)
            _put_off(run, work, INTERNAL, f"{type(error).__name__}: {error}")
    if equal:
        _note_equal(run, equal)


def _key(work: Work) -> UUID:
    assert work.link.object_id is not None
    return work.link.object_id


@dataclass(slots=True)
class _Pair:
    """One appointment with the files of both sides. `there`: by id; `read`: those that were just read. `failed`:
    why a file was not taken, or could not be had. `wait`: the server must be looked at again, after so long. `equal`:
    what is known now, where nothing was carried and nothing is to be told."""

    run: ActRun
    work: Work
    here: Sequence[StoredFile]
    there: dict[str, FileId] = field(default_factory=dict)
    read: list[ItemFile] = field(default_factory=list)
    left_out: frozenset[FileId] = frozenset()
    failed: dict[FileId, str] = field(default_factory=dict)
    undone: set[FileId] = field(default_factory=set)
    wait: timedelta | None = None
    equal: Known | None = None

    @property
    def link(self) -> Link:
        return self.work.link

    def carry(self) -> None:
        known = attached.known(self.link.base).under(stored.rules_of(self.run.organization))
        closed = self._closed()
        try:
            self._look_there(known, closed)
        except MessageGone:
            with self.run.writing():
                self._note(known)  # its folder tells of that
            return
        except MessageError as error:
            _put_off(self.run, self.work, error.code, str(error))
            return
        wanted = self._moves(known, closed)
        if wanted.to_server:
            self._to_server(wanted)
        self._finish(known, wanted.without(self.undone))

    # -- both sides

    def _look_there(self, known: Known, closed: Closed) -> None:
        server, item = self.work.server, self.work.item
        self.left_out = known.left_out
        if server is None or (item is not None and not item.has_attachments):
            return
        settled = self._settled(known, closed)
        if known.version == server.version != "" and len(settled) == len(known.ids):
            self.there = settled
            return
        limit = stored.limit_of(self.run.organization) + AROUND
        for file in self.run.connected.files(
            self.link.exchange_entry_id, lambda file: file.id not in settled and file.size <= limit
        ):
            self._take(file, settled, limit)
        blocked = stored.blocked_among(self.read, self.run.organization)
        self.left_out |= blocked
        self.read = [file for file in self.read if stored.id_of(file) not in blocked]

    def _settled(self, known: Known, closed: Closed) -> dict[str, FileId]:
        """Files of the item that needn't be read (again), whatever becomes of them."""
        held = {file.id for file in self.here} | known.both | known.left_out
        return {
            key: file for key, file in known.ids.items() if file in held or FILES in closed.store
        }

    def _take(self, file: ItemFile, settled: Mapping[str, FileId], limit: int) -> None:
        if file.id in settled:
            self.there[file.id] = settled[file.id]
            return
        identity = stored.id_of(file)
        if file.content is None and file.size <= limit:
            self.failed[identity] = _("the server doesn't give it")
            return
        self.there[file.id] = identity
        if file.content is None:
            self.left_out |= {identity}
        else:
            self.read.append(file)

    def _moves(self, known: Known, closed: Closed) -> Moves:
        there = set(self.there.values()) - self.left_out
        limit = stored.limit_of(self.run.organization)
        large = {file.id for file in self.here if file.size > limit} - there - known.both
        self.left_out |= large
        # What could not be read may be the very file.
        unread = {file.name for file in self.failed}
        unsure = {file.id for file in self.here if file.id.name in unread} - there - known.both
        assert self.work.pair is not None
        return moves(
            known.both,
            {file.id for file in self.here} - large - unsure,
            there,
            to_store=FILES not in closed.store,
            to_server=FILES not in closed.server,
            removes_here=meetings.is_own(self.work.pair),
        )

    def _closed(self) -> Closed:
        """As for any field of the meeting."""
        pair, now = self.work.pair, self.run.clock()
        assert pair is not None
        sides = [side for side in (pair.store, pair.server) if side is not None]
        past = all(times.is_over(side.fields, now) for side in sides)
        return meetings.closed(replace(pair, directions={FILES: Direction.BOTH}), past=past)

    # -- the server

    def _to_server(self, wanted: Moves) -> None:
        """Added first, each upon the version that the former left."""
        marker.check_before_writing(self.run)
        self.undone = set(wanted.add_there | wanted.remove_there)
        for file in self._each(wanted.add_there):
            if not self._add(file):
                return
        if wanted.remove_there:
            self._remove(wanted.remove_there)
        if wanted.add_there - self.undone:
            self._learn_ids(wanted.add_there - self.undone)

    def _each(self, wanted: Iterable[FileId]) -> list[StoredFile]:
        """Those files, each once."""
        by_id = {file.id: file for file in self.here}
        return [by_id[one] for one in sorted(wanted)]

    def _add(self, file: StoredFile) -> bool:
        """Whether to go on. A file that isn't taken doesn't stop the others."""
        link = self.link
        try:
            item = file.as_item()
            answer = self.run.connected.add_files(link.exchange_entry_id, link.change_key, [item])
        except (MessageError, blobs.BytesMissing) as error:
            self.failed[file.id] = str(error)
            return True
        if answer.outcome is Outcome.DONE:
            link.change_key = answer.version or link.change_key
            self.undone.discard(file.id)
            return True
        return self._refused(answer, [file.id])

    def _refused(self, answer: WrittenItem, files: Iterable[FileId]) -> bool:
        if answer.outcome is Outcome.REFUSED:
            self.failed |= dict.fromkeys(files, str(answer.error or REFUSED))
            return True
        if answer.outcome is not Outcome.GONE:
            self.wait = RETRY if answer.outcome is Outcome.UNKNOWN else timedelta()
        return False

    def _remove(self, unwanted: frozenset[FileId]) -> None:
        """The version that this leaves is not taken for known: somebody else's change may be in it."""
        ids = [key for key, file in self.there.items() if file in unwanted]
        try:
            answer = self.run.connected.remove_files(self.link.exchange_entry_id, ids)
        except MessageError as error:
            self.failed |= dict.fromkeys(unwanted, str(error))
            return
        if answer.outcome is not Outcome.DONE:
            self._refused(answer, unwanted)
            return
        self.undone -= unwanted
        self.there = {key: file for key, file in self.there.items() if key not in ids}

    def _learn_ids(self, new: Iterable[FileId]) -> None:
        """So that what was just added needn't be read."""
        try:
            listed = self.run.connected.files(self.link.exchange_entry_id, lambda file: False)
        except MessageError:
            return  # then they are read once more
        names = {file.id: attached.named(file.name) for file in listed}
        self.there |= attached.added_ids(self.there, names, frozenset(new))

    # -- the store, and what came of it

    def _finish(self, known: Known, done: Moves) -> None:
        new = {stored.id_of(file): file for file in self.read}
        wanted = [new[one] for one in sorted(done.add_here) if one in new]
        gone = [file for file in self.here if file.id in done.remove_here]
        still = {file.id for file in self.here} | set(self.there.values())
        self.left_out &= still
        if not (done.to_store or done.to_server or self._has_news(known)):
            self.equal = self._known(known, done)
            return
        staged = stored.stage(wanted)
        run, now = self.run, self.run.clock()
        with run.writing():
            stored.add(_key(self.work), wanted, staged)
            stored.remove(gone, actor=run.user, now=now, reason="taken off on the server")
            self._say_left_out()
            self._revise(known, done)
            lost = done.add_here - set(new)
            self._note(self._known(known, replace(done, base=done.base - lost)))

    def _has_news(self, known: Known) -> bool:
        trouble = bool(self.failed or known.tries or self.wait is not None)
        return trouble or self.left_out != known.left_out

    def _say_left_out(self) -> None:
        if self.work.pair is not None and meetings.is_own(self.work.pair):
            stored.say_left_out(_key(self.work), some=bool(self.left_out or self.failed))

    def _known(self, before: Known, done: Moves) -> Known:
        tries = before.tries + 1 if self.failed else 0
        sure = self.wait is None and not self.failed and done.add_there <= set(self.there.values())
        version = self.link.change_key if sure else ""
        return Known(done.base, self.there, self.left_out, version, before.rules, tries)

    def _revise(self, before: Known, done: Moves) -> None:
        """What was done, and what was not."""
        new = self.left_out - before.left_out
        here = self._reasons(done.add_here, done.remove_here, new, ())
        refused = self.failed if not before.tries else ()
        there = self._reasons(done.add_there, done.remove_there, (), refused)
        sides = [
            (RevisionSide.STORE, here, done.add_here, done.remove_here, new),
            (RevisionSide.SERVER, there, done.add_there, done.remove_there, refused),
        ]
        rows = [
            self._revision(side, reasons, added, removed, not_taken)
            for side, reasons, added, removed, not_taken in sides
            if reasons
        ]
        SyncRevision.objects.bulk_create(rows)
        for happened, outcome in (
            (done.to_store, ActOutcome.STORE_UPDATED),
            (done.to_server, ActOutcome.SERVER_UPDATED),
            (bool(self.failed), ActOutcome.FAILED),
        ):
            if happened:
                count(self.run.result, outcome)

    @staticmethod
    def _reasons(*files: Iterable[FileId]) -> list[Reason]:
        codes = ("files_added", "files_taken_off", "files_left_out", "files_refused")
        told = [(code, len(list(some))) for code, some in zip(codes, files, strict=True)]
        return [Reason(code, {"count": number}) for code, number in told if number]

    def _revision(
        self,
        side: RevisionSide,
        reasons: Iterable[Reason],
        added: Iterable[FileId],
        removed: Iterable[FileId],
        not_taken: Iterable[FileId],
    ) -> SyncRevision:
        return SyncRevision(
            link=self.link,
            mailbox=self.run.mailbox,
            object_type_code=self.work.table,
            object_id=self.link.object_id,
            made_on=self.run.clock(),
            side=side,
            verb=KEY,
            before={KEY: _names(removed)},
            after={KEY: _names(added), "left_out": _names(not_taken)},
            reasons=reasons_data(reasons),
        )

    def _note(self, known: Known) -> None:
        if self.wait is not None:
            columns = _again(self.run, self.wait)
        elif self.failed:
            words = "; ".join(f"{file.name}: {why}" for file, why in sorted(self.failed.items()))
            columns = _trouble(self.run, REFUSED, words, known.tries)
        else:
            columns = {"from_crm_change_type": ChangeType.NONE}
        _write(self.link, known, columns)


def _names(files: Iterable[FileId]) -> list[str]:
    return sorted(file.name for file in files)


# -- what is noted on links ------------------------------------------------------------------------


def _own_notes(links: Iterable[Link]) -> Any:
    """The rows that still say what `writing` has noted. A person who touched one meanwhile is heard."""
    rows = Q()
    for link in links:
        rows |= Q(pk=link.pk, modified_on=link.modified_on)
    return Link.objects.filter(
        rows, from_crm_change_type=ChangeType.AGAIN, to_crm_change_type=ChangeType.NONE
    )


def _write(link: Link, known: Known, columns: Mapping[str, Any]) -> None:
    """The base, and what is noted; of a link that a person touched only the version."""
    base = (link.base or {}) | {KEY: known.data()}
    told = {"base": base, "change_key": link.change_key, **columns}
    if not _own_notes([link]).update(**told):
        Link.objects.filter(pk=link.pk).update(change_key=link.change_key)


def _note_equal(run: ActRun, pairs: Sequence[_Pair]) -> None:
    """Two statements for each page, and one for those of which more is known than before."""
    with run.timed("files"), run.writing():
        for start in range(0, len(pairs), PAGE):
            page = pairs[start : start + PAGE]
            mine = _own_notes(pair.link for pair in page)
            keys = set(mine.select_for_update().values_list("pk", flat=True))
            changed = []
            for pair in page:
                assert pair.equal is not None
                if pair.link.pk in keys and attached.known(pair.link.base) != pair.equal:
                    pair.link.base = (pair.link.base or {}) | {KEY: pair.equal.data()}
                    changed.append(pair.link)
            if changed:
                Link.objects.bulk_update(changed, ["base"])
            mine.update(from_crm_change_type=ChangeType.NONE)


def _again(run: ActRun, wait: timedelta) -> dict[str, Any]:
    """Both sides are looked at anew."""
    at = run.clock() + wait if wait else None
    run.result.soon |= at is None
    return {"to_crm_change_type": ChangeType.AGAIN, "next_attempt_at": at}


def _trouble(run: ActRun, code: str, text: str, tries: int) -> dict[str, Any]:
    """Tried again like the pair itself; then it stays in the item monitor until a side changes (R6.54)."""
    now = run.clock()
    again = tries < run.settings.max_attempts
    change = ChangeType.AGAIN if again else ChangeType.NONE
    return {
        "retries": tries,
        "last_sync_error": text[:2048],
        "last_sync_error_code": code,
        "last_sync_error_occurred_on": now,
        "from_crm_change_type": change,
        "to_crm_change_type": change,
        "next_attempt_at": now + RETRY * 2 ** (tries - 1) if again else None,
    }


def _put_off(run: ActRun, work: Work, code: str, text: str) -> None:
    """Nothing is known of its files now."""
    before = attached.known(work.link.base)
    known = replace(before, tries=before.tries + 1, version="")
    count(run.result, ActOutcome.FAILED)
    with run.writing():
        _write(work.link, known, _trouble(run, code, text, known.tries))
