"""Which waiting emails have room for their recipients, and which pass those that have not."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from serversync.claiming import within
from serversync.pacing import Allowance

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


def waiting(by: str, addressed: int, hours: float = 0) -> SimpleNamespace:
    since = NOW - timedelta(hours=hours)
    return SimpleNamespace(submitted_by_id=by, addressed=addressed, submitted_at=since)


def taken(room: Allowance, *emails: SimpleNamespace) -> list[int]:
    chosen = within(room, emails, NOW)
    return [number for number, email in enumerate(emails) if email in chosen]


@pytest.mark.rule("R5.9", "R5.14")
def test_nobodys_single_email_waits_for_another_ones_mailing():
    room = Allowance(recipients=10, largest=10)
    mailing, next_of_bulk = waiting("bulk", 400), waiting("bulk", 1)
    assert taken(room, mailing, waiting("ada", 1), next_of_bulk, waiting("ben", 2)) == [1, 3]


@pytest.mark.rule("R5.14")
def test_after_a_day_nothing_passes_it():
    room = Allowance(recipients=10, largest=10)
    assert taken(room, waiting("ada", 1), waiting("bulk", 400, hours=24), waiting("ben", 1)) == [0]


@pytest.mark.rule("R5.14")
def test_what_has_room_is_taken_in_its_order():
    room = Allowance(recipients=10, largest=10)
    assert taken(room, waiting("ada", 6), waiting("ben", 4), waiting("cleo", 1)) == [0, 1]
    assert taken(Allowance(), waiting("ada", 600), waiting("ben", 400)) == [0, 1]


@pytest.mark.rule("R5.14")
def test_a_mailing_leaves_first_and_alone_where_a_day_has_room_for_it():
    room = Allowance(recipients=10, largest=500)
    assert taken(room, waiting("bulk", 400), waiting("ada", 1)) == [0]
    assert taken(Allowance(recipients=10), waiting("bulk", 4000), waiting("ada", 1)) == [0]
