"""How one mailbox on an Exchange server is reached: found, connected, logged in, and left again.

Both directions use it; neither knows HTTP, and nothing here knows what an item is.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self

from exchangelib import Account

from mailboxes.protocols.base import AdapterOptions
from mailboxes.protocols.errors import ServerError
from mailboxes.protocols.ews.settings import ExchangeSettings
from mailboxes.protocols.phases import Phase


class ExchangeAccess:
    """One mailbox, reached by one kept connection, for one thread at a time.

    `outgoing`: a refused login then carries the code of that direction.
    """

    def __init__(
        self, settings: ExchangeSettings, options: AdapterOptions, *, outgoing: bool = False
    ) -> None:
        self.settings = settings
        self.options = options
        self.outgoing = outgoing

    def open(self) -> Account:
        """The account, ready to be used. Finds the web service if nobody said where it is, connects,
        and logs in. Idempotent while open. Raises errors of the tree."""
        raise NotImplementedError

    @property
    def account(self) -> Account:
        """The same once it is open; raises ConnectionLost before and after."""
        raise NotImplementedError

    @contextmanager
    def calling(self, phase: Phase, *, retry: bool = True) -> Iterator[Any]:
        """Around every use of the account: reports the phase and turns what exchangelib raises into
        errors of the tree, whose `server_code` is Exchange's own name of the error.

        With `retry`, a request that a server didn't answer because it had closed the kept connection is
        sent once more over a new one, provided that nothing can have been processed: a read, or a body that
        was not taken whole. Without it, never.
        """
        raise NotImplementedError
        yield

    def translate(self, error: Exception) -> ServerError:
        """What exchangelib returned as an object, or raised, as an error of the tree."""
        raise NotImplementedError

    def drop(self) -> None:
        """Close the connection; the next request makes a new one."""

    def close(self) -> None:
        """Leave. Never raises, and leaves nothing behind in this process."""

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
