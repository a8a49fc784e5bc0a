"""IDLE (RFC 2177): the server tells what happens in the inbox while we say nothing.

    open ──IDLE──> "+" ──> EXISTS, EXPUNGE, FETCH, "OK Still here" ──DONE──> tagged OK ──IDLE──> ...

Only more messages than before are news: what leaves, and flags, are found by the next look. IDLE is ended and
begun anew before servers give up on a silent client, which they may after 29 minutes.
"""

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Self

from mailboxes.protocols.base import INBOX, AdapterOptions, ConnectionSettings
from mailboxes.protocols.errors import ConnectionLost, ServerBusy, UnexpectedReply
from mailboxes.protocols.imap.conversation import PASSING, Conversation
from mailboxes.protocols.phases import Phase
from mailboxes.protocols.watching import NOTHING, PushUnavailable

IDLE_SECONDS = 25 * 60
SHORTEST_SECONDS = 5.0  # for servers that end IDLE by themselves, at once and again and again
#: What one flood of replies to nobody's question may hold.
MOST_OCTETS = 1024 * 1024

COUNT = re.compile(rb"\* (\d+) (EXISTS|EXPUNGE)\b", re.IGNORECASE)
BYE = re.compile(rb"\* BYE\b", re.IGNORECASE)


class ImapIdle:
    """PushServer of one account's inbox."""

    protocol = "imap"
    folders: tuple[str, ...] = (INBOX,)

    def __init__(
        self,
        settings: ConnectionSettings,
        options: AdapterOptions | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.settings = settings
        self.renew_at = 0.0
        self._talk = Conversation(settings, options or AdapterOptions())
        self._clock = clock
        self._tag = b""  # of the IDLE that runs
        self._begun_at = 0.0
        self._messages = 0
        self._has_news = False

    def __repr__(self) -> str:
        return f"<ImapIdle {self.settings.host}:{self.settings.port}>"

    def open(self) -> Self:
        self._talk.open()
        with self._speaking():
            if not self._talk.client.has_capability("IDLE"):
                raise PushUnavailable("the server does not offer IDLE")
            self._messages = self._talk.select(INBOX, writable=False, fresh=True).exists
            self._has_news = False
            self._talk.line.keep_alive()
            self._begin()
        return self

    def fileno(self) -> int:
        return self._talk.line.fileno()

    def hear(self) -> frozenset[str]:
        with self._speaking():
            line = self._talk.line
            line.take_in(MOST_OCTETS)
            while b"\n" in line.received:
                self._listen_to(line.read_line())
        return self._told()

    def renew(self) -> frozenset[str]:
        with self._speaking():
            if self._tag:
                self._talk.line.send(b"DONE\r\n")
                self._until_ended()
            self._begin()
        return self._told()

    def close(self) -> None:
        self._talk.line.close()

    # -- inside ------------------------------------------------------------------------------------

    def _begin(self) -> None:
        tag: bytes = self._talk.imap._new_tag()
        self._talk.line.send(tag + b" IDLE\r\n")
        while not (reply := self._talk.line.read_line()).startswith(b"+"):
            if reply.startswith(tag + b" "):
                raise self._refused(reply[len(tag) :])
            self._listen_to(reply)
        self._tag = tag
        self._begun_at = self._clock()
        self.renew_at = self._begun_at + IDLE_SECONDS

    def _refused(self, reply: bytes) -> Exception:
        words = self._talk.line.said(reply)
        if PASSING.search(words):
            return ServerBusy(f"IDLE is refused for now: {words}")
        return PushUnavailable(f"IDLE is refused: {words}")

    def _until_ended(self) -> None:
        while self._tag:
            self._listen_to(self._talk.line.read_line())

    def _listen_to(self, reply: bytes) -> None:
        """One line that nobody asked for, or the end of IDLE, which the server may declare by itself."""
        if found := COUNT.match(reply):
            self._count(int(found[1]), found[2].upper())
        elif BYE.match(reply):
            words = self._talk.line.said(reply[5:])
            raise ConnectionLost(f"the server ends the connection: {words}")
        elif self._tag and reply.startswith(self._tag + b" "):
            self._ended(reply[len(self._tag) :])
        elif not reply.startswith((b"* ", b"+")):
            raise UnexpectedReply(f"not an IMAP reply: {self._talk.line.said(reply)}")

    def _ended(self, reply: bytes) -> None:
        if not reply.strip().upper().startswith(b"OK"):
            raise UnexpectedReply(f"IDLE ended with {self._talk.line.said(reply)}")
        self._tag = b""
        self.renew_at = max(self._clock(), self._begun_at + SHORTEST_SECONDS)

    def _count(self, number: int, what: bytes) -> None:
        if what == b"EXPUNGE":
            self._messages = max(0, self._messages - 1)
            return
        self._has_news |= number > self._messages
        self._messages = number

    def _told(self) -> frozenset[str]:
        has_news, self._has_news = self._has_news, False
        return frozenset(self.folders) if has_news else NOTHING

    @contextmanager
    def _speaking(self) -> Iterator[None]:
        """What failed once is out of step."""
        try:
            with self._talk.during(Phase.LIST):
                yield
        except BaseException:
            self.close()
            raise
