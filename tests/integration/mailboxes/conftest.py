"""What the tests of this room share: counting statements, transaction control aside, and an IMAP
adapter for servers that answer by script."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from mailboxes.protocols.base import ConnectionSettings, Credentials, Security
from mailboxes.protocols.errors import SocketTimedOut
from mailboxes.protocols.imap import ImapServer

TIMEOUT = 0.25  # where nothing else ends the waiting
PATIENCE = 20.0  # everywhere else: a loaded machine may need some of it
PASSWORD = "secret-of-ada"


def waiting_for(error: type[Exception]) -> float:
    """The time-out of an adapter that is to fail like this."""
    return TIMEOUT if error is SocketTimedOut else PATIENCE


@pytest.fixture
def statements():
    """`with statements() as made:` then `len(made)`: SELECT, INSERT, UPDATE and DELETE only."""

    @contextmanager
    def counting() -> Iterator[list[str]]:
        made: list[str] = []
        with CaptureQueriesContext(connection) as captured:
            yield made
        made += [
            query["sql"]
            for query in captured.captured_queries
            if query["sql"].lstrip("( ").split(" ", 1)[0]
            in ("SELECT", "INSERT", "UPDATE", "DELETE")
        ]

    return counting


@pytest.fixture
def imap_adapter():
    """Makes adapters, and closes them in the end."""
    made = []

    def make(server, options=None, security=Security.PLAIN, **changes):
        values = {"credentials": Credentials("ada", PASSWORD), "timeout_seconds": PATIENCE}
        settings = ConnectionSettings(
            host="127.0.0.1",
            port=server.port,
            security=security,
            allow_plain=True,
            allow_plain_login=True,
            **(values | changes),
        )
        made.append(ImapServer(settings, options))
        return made[-1]

    yield make
    for each in made:
        each.close()
