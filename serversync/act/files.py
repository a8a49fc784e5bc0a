"""Files of appointments, carried over once the pair itself is equal (R6.34). Nobody is mailed about them.

    both sides listed ─> moves (pure) ─> server: added, taken off ─> store: added, binned ─> base on the link

Only where the organization switched it on, and only for single meetings. The server hears only of the organizer's
own meetings that aren't over. Killed in between, both sides are listed again, and what was carried is no change.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from activities import blobs
from mailboxes.protocols.errors import MessageError
from mailboxes.protocols.items import ItemFile, Outcome, WrittenItem
from serversync.act import times
from serversync.act.attached import FileId, Moves, moves
from serversync.act.choices import ChangeType, LinkState
from serversync.act.run import ActRun
from serversync.act.store import files as stored
from serversync.act.store.files import StoredFile
from serversync.act.types import DONE, Table
from serversync.act.work import Link, Work

RETRY = timedelta(minutes=5)
FILES, LEFT_OUT = "files", "files_left_out"


class NotWritten(Exception):
    """The server didn't take it; its text says why."""


@dataclass(slots=True)
class _Pair:
    """One appointment with the files of both sides."""

    work: Work
    here: Sequence[StoredFile]
    there: Sequence[ItemFile]

    @property
    def link(self) -> Link:
        return self.work.link

    def moves(self, run: ActRun) -> Moves:
        here = {file.id for file in self.here}
        there = {stored.id_of(file) for file in self.there} - known(self.link, LEFT_OUT)
        record, fields = self.work.record, self.work.store.fields if self.work.store else {}
        over = times.is_over(fields, run.clock()) and not run.settings.update_past_meetings
        return moves(
            known(self.link, FILES),
            here,
            there,
            to_store=record.lifecycle not in DONE,
            to_server=self.work.facts.organizes and record.organizes and not over,
        )


def carry_over(run: ActRun, works: Sequence[Work]) -> None:
    """Of pairs that were just decided, and are linked."""
    if not run.settings.attachments:
        return
    wanted = [work for work in works if _takes_part(work)]
    here = stored.files_of([_key(work) for work in wanted])
    for work in wanted:
        if _may_differ(work, here.get(_key(work), [])):
            _carry_one(run, work, here.get(_key(work), []))


def _takes_part(work: Work) -> bool:
    link = work.link
    linked = link.state == LinkState.LINKED and link.object_id is not None
    return linked and work.table is Table.APPOINTMENT and not link.is_pending


def _key(work: Work) -> UUID:
    assert work.link.object_id is not None
    return work.link.object_id


def _may_differ(work: Work, here: Sequence[StoredFile]) -> bool:
    """Without asking the server, who alone knows its files."""
    before = known(work.link, FILES)
    if {file.id for file in here} != before:
        return True
    return work.item is not None and bool(work.item.has_attachments or before)


def _carry_one(run: ActRun, work: Work, here: Sequence[StoredFile]) -> None:
    try:
        with run.timed("files"):
            there = run.connected.files(work.link.exchange_entry_id)
            pair = _Pair(work, here, there)
            wanted = pair.moves(run)
            version = _to_server(run, pair, wanted)
    except MessageError as error:
        _put_off(run, work, error.code, str(error))
    except (NotWritten, blobs.BytesMissing) as error:
        _put_off(run, work, "ActionRefused", str(error))
    else:
        _to_store(run, pair, wanted, version)


def _to_server(run: ActRun, pair: _Pair, wanted: Moves) -> str:
    """The item's version afterwards; "" if nothing was written."""
    version = ""
    if wanted.remove_there:
        ids = [file.id for file in pair.there if stored.id_of(file) in wanted.remove_there]
        answer = run.connected.remove_files(pair.link.exchange_entry_id, ids)
        version = _version(answer)
    if wanted.add_there:
        files = [file.as_item() for file in pair.here if file.id in wanted.add_there]
        before = version or pair.link.change_key
        version = _version(run.connected.add_files(pair.link.exchange_entry_id, before, files))
    return version


def _version(answer: WrittenItem) -> str:
    if answer.outcome is not Outcome.DONE:
        raise NotWritten(str(answer.error or answer.outcome.value))
    return answer.version


def _to_store(run: ActRun, pair: _Pair, wanted: Moves, version: str) -> None:
    new = [file for file in pair.there if stored.id_of(file) in wanted.add_here]
    gone = [file for file in pair.here if file.id in wanted.remove_here]
    staged = stored.stage(new)
    with run.writing():
        left_out: Iterable[FileId] = ()
        if new:
            left_out = stored.add(_key(pair.work), new, staged, run.organization).left_out
        stored.remove(gone, actor=run.user, now=run.clock(), reason="taken off on the server")
        _remember(pair.link, wanted.base - set(left_out), left_out, version)


def _remember(link: Link, base: Iterable[FileId], more: Iterable[FileId], version: str) -> None:
    left_out = known(link, LEFT_OUT) | set(more)
    link.item_facts |= {FILES: told(base), LEFT_OUT: told(left_out)}
    link.change_key = version or link.change_key
    rows = Link.objects.filter(pk=link.pk)
    rows.update(item_facts=link.item_facts, change_key=link.change_key)


def known(link: Link, name: str) -> frozenset[FileId]:
    facts: Mapping[str, Any] = link.item_facts
    return frozenset(FileId(*one) for one in facts.get(name) or ())


def told(files: Iterable[FileId]) -> list[list[str]]:
    return [[file.name, file.digest] for file in sorted(files)]


def _put_off(run: ActRun, work: Work, code: str, text: str) -> None:
    """Tried again like the pair itself (R6.54)."""
    link, now = work.link, run.clock()
    link.retries += 1
    again = link.retries < run.settings.max_attempts
    with run.writing():
        Link.objects.filter(pk=link.pk).update(
            retries=link.retries,
            last_sync_error=text[:2048],
            last_sync_error_code=code,
            last_sync_error_occurred_on=now,
            to_crm_change_type=ChangeType.AGAIN if again else ChangeType.NONE,
            next_attempt_at=now + RETRY * 2 ** (link.retries - 1) if again else None,
        )
