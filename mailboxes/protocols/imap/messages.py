"""Messages whole, and their headers."""

from collections.abc import Iterable, Iterator, Sequence
from functools import partial

from mailboxes.protocols.base import Fetched, Identity, RemoteItem
from mailboxes.protocols.errors import (
    MessageError,
    MessageGone,
    MessageTooLarge,
    MessageUnreadable,
)
from mailboxes.protocols.fetching import LINE_FAULTS, fetch_each, identity_of
from mailboxes.protocols.imap import folders
from mailboxes.protocols.imap.conversation import GROUP_OCTETS, Conversation
from mailboxes.protocols.imap.wire import Overlong
from mailboxes.protocols.imap.words import UIDS_PER_COMMAND, size_of, uid_set
from mailboxes.protocols.phases import Phase

GROUP_MESSAGES = 50
IDENTITY_FIELDS = "BODY.PEEK[HEADER.FIELDS (MESSAGE-ID DATE)]"


class Messages:
    """Those of one account, with the sizes that its listings told."""

    def __init__(self, talk: Conversation) -> None:
        self._talk = talk
        self._sizes: dict[str, int] = {}
        self._one_by_one = False  # after a line broke while several messages were on their way

    def remember(self, items: Iterable[RemoteItem]) -> None:
        self._sizes.update((item.remote_id, item.size) for item in items)

    def fetch(self, folder: str, remote_ids: Sequence[str]) -> Iterator[Fetched]:
        self._one_by_one = False
        return fetch_each(
            remote_ids, partial(self._prepare, folder), partial(self._retrieve, folder)
        )

    def identify(self, folder: str, remote_ids: Sequence[str]) -> list[Identity]:
        self._prepare(folder)
        identities: list[Identity] = []
        with self._talk.during(Phase.FETCH):
            uids = self._talk.uids(remote_ids)
            wanted = [each for each in remote_ids if each in uids]
            for start in range(0, len(wanted), UIDS_PER_COMMAND):
                part = wanted[start : start + UIDS_PER_COMMAND]
                _, rows = self._talk.fetch(
                    uid_set([uids[each] for each in part]), f"(UID RFC822.SIZE {IDENTITY_FIELDS})"
                )
                for each in part:
                    row = rows.get(uids[each], {})
                    head = next((row[key] for key in row if key.startswith(b"BODY[HEADER")), None)
                    if isinstance(head, bytes):
                        identities.append(identity_of(each, head, size_of(row)))
        return identities

    def _prepare(self, folder: str) -> None:
        self._talk.open()
        with self._talk.during(Phase.OPEN):
            folders.select(self._talk, folder, writable=False)

    def _retrieve(self, folder: str, remote_ids: Sequence[str]) -> Iterator[Fetched]:
        uids = self._talk.uids(remote_ids)
        with self._talk.during(Phase.FETCH):
            sizes = self._known_sizes([each for each in remote_ids if each in uids], uids)
        for group in self._groups(remote_ids, sizes):
            wanted = [each for each in group if self._may_be_fetched(each, uids, sizes)]
            try:
                with self._talk.during(Phase.FETCH):
                    bodies = self._bodies({each: uids[each] for each in wanted})
            except LINE_FAULTS:
                if len(wanted) < 2:
                    raise
                self._one_by_one = True
                self._talk.line.close()
                return
            for each in group:
                body = bodies.pop(each, None)
                if body is None:  # b"" is a message, too
                    body = self._why_not(each, uids, sizes)
                if isinstance(body, bytes):
                    yield Fetched(each, body)
                else:
                    yield Fetched(each, None, body)
            if not self._talk.line.usable:
                return

    def _groups(self, remote_ids: Sequence[str], sizes: dict[str, int]) -> Iterator[list[str]]:
        """A message each, except that small ones share a round trip."""
        group: list[str] = []
        octets = 0
        for each in remote_ids:
            size = sizes.get(each, 0) or GROUP_OCTETS  # unknown: as if it were large
            full = len(group) >= (1 if self._one_by_one else GROUP_MESSAGES)
            if group and (full or octets + size > GROUP_OCTETS):
                yield group
                group, octets = [], 0
            group.append(each)
            octets += size
        if group:
            yield group

    def _known_sizes(self, remote_ids: Sequence[str], uids: dict[str, int]) -> dict[str, int]:
        """From the last listing, else from the server; absent for a message that it has not got."""
        unknown = [each for each in remote_ids if each not in self._sizes]
        sizes = {each: self._sizes[each] for each in remote_ids if each in self._sizes}
        for start in range(0, len(unknown), UIDS_PER_COMMAND):
            part = unknown[start : start + UIDS_PER_COMMAND]
            complete, rows = self._talk.fetch(
                uid_set([uids[each] for each in part]), "(UID RFC822.SIZE)"
            )
            for each in part:
                if uids[each] in rows or not complete:
                    sizes[each] = size_of(rows.get(uids[each], {}))
        return sizes

    def _may_be_fetched(self, each: str, uids: dict[str, int], sizes: dict[str, int]) -> bool:
        return each in uids and each in sizes and sizes[each] <= self._talk.options.max_fetch_bytes

    def _why_not(self, each: str, uids: dict[str, int], sizes: dict[str, int]) -> MessageError:
        if each not in uids:
            return MessageGone("the server has given its messages new keys", phase=Phase.FETCH)
        size = sizes.get(each, 0)
        if size > self._talk.options.max_fetch_bytes:
            limit = self._talk.options.max_fetch_bytes
            return MessageTooLarge(
                f"{size} octets are more than the limit of {limit}", phase=Phase.FETCH
            )
        return MessageGone("the server does not have it any more", phase=Phase.FETCH)

    def _bodies(self, wanted: dict[str, int]) -> dict[str, bytes | MessageError]:
        """Those that the server hands out. What it leaves out of several is asked for alone."""
        if not wanted:
            return {}
        answers: dict[str, bytes | MessageError] = {}
        try:
            complete, rows = self._talk.fetch(uid_set(list(wanted.values())), "(UID BODY.PEEK[])")
            text = self._talk.refusal
        except Overlong as error:
            if len(wanted) > 1:
                raise
            too_large = MessageTooLarge(error.detail, phase=Phase.FETCH)
            too_large.__cause__ = error
            return dict.fromkeys(wanted, too_large)
        for each, uid in wanted.items():
            row = rows.get(uid, {})
            body = row.get(b"BODY[]")
            if isinstance(body, bytes):
                answers[each] = self._within_limit(body)
            elif not complete and len(wanted) > 1:
                answers |= self._bodies({each: uid})
            elif not complete or b"BODY[]" in row:
                answers[each] = MessageUnreadable(text or "the server sends NIL", phase=Phase.FETCH)
        return answers

    def _within_limit(self, body: bytes) -> bytes | MessageError:
        limit = self._talk.options.max_fetch_bytes
        if len(body) <= limit:
            return body
        return MessageTooLarge(
            f"{len(body)} octets are more than the limit of {limit}", phase=Phase.FETCH
        )
