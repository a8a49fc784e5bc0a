"""When a test message counts as back, as missing, and as not looked for."""

from datetime import UTC, datetime, timedelta

import pytest

from serversync.choices import ProbeState
from serversync.testing_return import MARGIN, PATIENCE, judge

SENT = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)


@pytest.mark.rule("R2.14")
@pytest.mark.parametrize(
    "after, back, read, state",
    [
        (SECOND, None, None, ProbeState.WAITING),
        (PATIENCE - SECOND, None, PATIENCE - SECOND, ProbeState.WAITING),
        (PATIENCE, None, PATIENCE, ProbeState.LOST),
        (PATIENCE, None, MARGIN, ProbeState.LOST),
        (PATIENCE, None, MARGIN - SECOND, ProbeState.UNSEEN),
        (PATIENCE, None, None, ProbeState.UNSEEN),
        (SECOND, SECOND, None, ProbeState.BACK),
        (PATIENCE * 9, PATIENCE * 9, MARGIN, ProbeState.BACK),
    ],
)
def test_a_quarter_of_an_hour_decides_and_only_if_somebody_looked(after, back, read, state):
    moment = {"back": SENT + back if back else None, "read": SENT + read if read else None}
    assert judge(SENT, SENT + after, moment["back"], moment["read"]) == state
