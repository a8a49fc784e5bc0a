"""What is in a folder beyond a cursor, what left it, and what changed."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from mailboxes.protocols.base import Glance, Listing, RemoteItem
from mailboxes.protocols.imap import folders
from mailboxes.protocols.imap.conversation import Conversation, Selected
from mailboxes.protocols.imap.words import keywords_of, received_at, size_of, uid_set
from mailboxes.protocols.phases import Phase

MOST_GUESSED = 1_000_000  # UIDs are no count of messages; some servers leave gaps of any width
LISTED_FIELDS = "(UID RFC822.SIZE INTERNALDATE FLAGS)"


@dataclass(frozen=True, slots=True)
class Position:
    """A cursor taken apart: what was listed, and what the folder looked like then.

    `uid`: the highest that was listed; `modseq`: HIGHESTMODSEQ since which flags are to be asked for,
    0 if it is not known; `next_uid`: UIDNEXT when nothing was left to list, else 0; `count`: how many
    of those up to `uid` are still thought to be there, None if nobody counted (older cursors).
    """

    validity: int
    uid: int
    modseq: int
    next_uid: int = 0
    count: int | None = None

    @classmethod
    def parse(cls, cursor: str) -> "Position | None":
        parts = cursor.split(".")
        if len(parts) not in {3, 5} or not all(part.isdecimal() for part in parts):
            return None
        return cls(*(int(part) for part in parts))

    def __str__(self) -> str:
        end = "" if self.count is None else f".{self.next_uid}.{self.count}"
        return f"{self.validity}.{self.uid}.{self.modseq}{end}"

    def after(self, uid: int, listed: int) -> "Position":
        """When `listed` more were, the last of which is `uid`."""
        count = None if self.count is None else self.count + listed
        return Position(self.validity, uid, self.modseq, 0, count)

    def shows(self, state: Selected) -> bool:
        """Nothing came, nothing left, and no flag changed."""
        then = (self.next_uid, self.count, self.modseq)
        return bool(self.next_uid) and then == (state.next_uid, state.exists, state.modseq)


def list_new(talk: Conversation, folder: str, cursor: str, limit: int) -> Listing:
    talk.open()
    with talk.during(Phase.OPEN):
        state = folders.select(talk, folder, writable=False, fresh=True)
    known = Position.parse(cursor)
    reset = bool(cursor) and (known is None or known.validity != state.validity)
    if known is None or reset:
        known = Position(state.validity, 0, state.modseq, 0, 0)
    elif known.shows(state):
        return Listing((), cursor, unchanged=True, total=state.exists)
    with talk.during(Phase.LIST):
        listing = beyond(talk, state, known, max(limit, 1))
    if listing == Listing((), cursor):  # servers without UIDNEXT let us know only now
        return Listing((), cursor, unchanged=True, total=state.exists)
    return replace(listing, reset=reset, total=state.exists, epoch=f"{state.validity}.")


def glance(talk: Conversation, cursors: Mapping[str, str]) -> Glance:
    """By what an EXAMINE says, as a listing would begin."""
    known = {folder: Position.parse(cursor) for folder, cursor in cursors.items()}
    if None in known.values():
        return Glance(unchanged=False)
    talk.open()
    unchanged, new = True, 0
    for folder, position in known.items():
        with talk.during(Phase.OPEN):
            state = folders.select(talk, folder, writable=False, fresh=True)
        assert position is not None
        if position.validity != state.validity:
            return Glance(unchanged=False)
        unchanged = unchanged and position.shows(state)
        new += max(0, state.next_uid - position.uid - 1)
    return Glance(unchanged, 0 if unchanged else min(new, MOST_GUESSED))


def beyond(talk: Conversation, state: Selected, known: Position, limit: int) -> Listing:
    """The end of it also tells what left and what changed, which answers before it leave open."""
    found, more = items_above(talk, state, known.uid, limit)
    items = tuple(
        replace(each, cursor=str(known.after(uid_of(each), number)))
        for number, each in enumerate(found, start=1)
    )
    if more:
        return Listing(items, items[-1].cursor, more=True)
    # Messages that came after the EXAMINE, and so are in none of its numbers.
    late = sum(uid_of(each) >= state.next_uid > 0 for each in items)
    listed = known.after(uid_of(items[-1]) if items else known.uid, len(items))
    left = known.uid and listed.count != state.exists + late
    modseq, changed = changes(talk, state, known)
    return Listing(
        items,
        str(Position(state.validity, listed.uid, modseq, state.next_uid, state.exists + late)),
        present=present(talk, state) if left else None,
        changed=changed,
    )


def present(talk: Conversation, state: Selected) -> frozenset[str]:
    return frozenset(f"{state.validity}.{uid}" for uid in talk.search("ALL"))


def changes(
    talk: Conversation, state: Selected, known: Position
) -> tuple[int, tuple[RemoteItem, ...]]:
    """Up to which HIGHESTMODSEQ we know the flags of what was listed, and whose have changed."""
    if not (known.uid and known.modseq and state.modseq) or known.modseq == state.modseq:
        return state.modseq, ()
    complete, rows = talk.fetch(f"1:{known.uid}", f"{LISTED_FIELDS} (CHANGEDSINCE {known.modseq})")
    found = {uid: row for uid, row in rows.items() if b"RFC822.SIZE" in row}
    changed = tuple(item_of(state, uid, row) for uid, row in sorted(found.items()))
    return (state.modseq if complete else known.modseq), changed


def items_above(
    talk: Conversation, state: Selected, last: int, limit: int
) -> tuple[list[RemoteItem], bool]:
    """The first `limit` messages above UID `last`, and whether there may be more.

    A first look at a large folder must not list all of it for every page, so UIDs are asked for
    in windows, as wide as `limit` messages are on average and eight times wider after an empty
    one. The last window is open, for what arrived meanwhile.
    """
    if not state.exists or state.next_uid == last + 1:
        return [], False
    if not state.next_uid:
        uids = sorted(uid for uid in talk.search(f"UID {last + 1}:*") if uid > last)
        some = uids[:limit]
        return (items(talk, uid_set(some), state) if some else []), len(uids) > len(some)
    start = last + 1
    width = limit * max(1, state.next_uid // state.exists)
    while True:
        end = start + width - 1
        is_last = end >= state.next_uid - 1
        found = items(talk, f"{start}:{'*' if is_last else end}", state)
        # "N:*" means the last message even where that is below N (RFC 3501, 6.4.8).
        found = [each for each in found if uid_of(each) >= start]
        if found or is_last:
            return found[:limit], len(found) > limit or not is_last
        start, width = end + 1, width * 8


def items(talk: Conversation, uids: str, state: Selected) -> list[RemoteItem]:
    """By UID, which is the order in which they came into this folder."""
    complete, rows = talk.fetch(uids, LISTED_FIELDS)
    found = {uid: row for uid, row in rows.items() if b"RFC822.SIZE" in row}
    if not complete:  # it fails over one of them, which must not hide the others nor itself
        found |= {uid: {} for uid in talk.search(f"UID {uids}") if uid not in found}
    return [item_of(state, uid, row) for uid, row in sorted(found.items())]


def item_of(state: Selected, uid: int, row: dict[bytes, Any]) -> RemoteItem:
    return RemoteItem(
        remote_id=f"{state.validity}.{uid}",
        size=size_of(row),
        received_at=received_at(row),
        marks=keywords_of(row),
    )


def uid_of(item: RemoteItem) -> int:
    return int(item.remote_id.partition(".")[2])
