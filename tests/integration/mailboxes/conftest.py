"""What the tests of this room share: counting statements, transaction control aside."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext


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
