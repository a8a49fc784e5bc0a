"""The libraries that speak IMAP, over a line of ours."""

import imaplib
from functools import partial
from typing import Any

from imapclient import IMAPClient

from mailboxes.protocols.base import INBOX
from mailboxes.protocols.errors import UnexpectedReply
from mailboxes.protocols.line import Line

LONGEST_LINE = 16 * 1024 * 1024  # SEARCH answers with all its UIDs on one line


class Overlong(UnexpectedReply):
    """A literal larger than any that was asked for."""


class Connection(imaplib.IMAP4):
    """imaplib's dialogue over our line. It asks subclasses to replace just these methods."""

    def __init__(self, line: Line, largest_literal: int) -> None:
        self.line = line
        self.largest_literal = largest_literal
        self.with_condstore = False
        super().__init__()

    def open(self, host: str = "", port: int = 143, timeout: float | None = None) -> None:
        """The line is already connected."""

    def read(self, size: int) -> bytes:
        if size > self.largest_literal:
            self.line.close()
            raise Overlong(f"the server sends {size} octets where {self.largest_literal} may come")
        return self.line.read_exactly(size)

    def readline(self) -> bytes:
        return self.line.read_line(LONGEST_LINE)

    def send(self, data: Any) -> None:
        self.line.send(data)

    def shutdown(self) -> None:
        self.line.close()

    def select(self, mailbox: str = INBOX, readonly: bool = False) -> Any:
        """Dovecot tells HIGHESTMODSEQ only to those who ask (RFC 7162, 3.1.8)."""
        return super().select(
            f"{mailbox} (CONDSTORE)" if self.with_condstore else mailbox, readonly
        )

    def starttls(self, ssl_context: object = None) -> Any:
        """All that was learnt on the plain line is forgotten: somebody else could have said it."""
        status, data = self.xatom("STARTTLS")
        if status == "OK":
            self.line.start_tls()
            self.untagged_responses.clear()
        return status, data


class Client(IMAPClient):  # type: ignore[misc]  # imapclient ships no types
    """imapclient over our line, and silent: its debug log holds message bodies."""

    def __init__(self, connection: partial[Connection]) -> None:
        self._make_connection = connection
        super().__init__("", ssl=False)
        self._imap.debug = 0
        self.normalise_times = False
        self.folder_encode = False

    def _create_IMAP4(self) -> Connection:
        return self._make_connection()

    def _set_read_timeout(self) -> None:
        """The line has its own."""
