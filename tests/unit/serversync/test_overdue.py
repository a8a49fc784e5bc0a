"""Which automatic answers have waited too long."""

from datetime import UTC, datetime, timedelta

import pytest

from activities.models import Email
from serversync.overdue import is_overdue

NOW = datetime(2026, 3, 9, 12, tzinfo=UTC)
MOST = timedelta(days=3)


@pytest.mark.rule("R3.59")
@pytest.mark.parametrize(
    ("columns", "overdue"),
    [
        ({"submitted_at": NOW - MOST}, False),
        ({"submitted_at": NOW - MOST - timedelta(seconds=1)}, True),
        ({"submitted_at": None}, False),
        ({"submitted_at": NOW - 9 * MOST, "is_workflow_created": False}, False),
    ],
)
def test_only_answers_and_only_after_their_time(columns, overdue):
    email = Email(**({"is_workflow_created": True} | columns))

    assert is_overdue(email, NOW, MOST) is overdue
