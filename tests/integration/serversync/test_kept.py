"""Which items keep facts of their message."""

import json

import pytest

from activities.mime.parse import parse
from mailboxes.choices import FilteringMethod
from serversync.models import SyncItem
from tests.integration.serversync.cycles import Account, message, user_mailbox
from tracking.kept import FACTS, message_from

pytestmark = [pytest.mark.integration, pytest.mark.django_db]


def test_what_is_not_tracked_keeps_facts_and_what_is_tracked_its_bytes() -> None:
    ada = Account(user_mailbox("ada", FilteringMethod.RESPONSES))
    ben = Account(user_mailbox("ben", FilteringMethod.ALL))
    both = message(message_id="both@x.example", to="ben@example.com")
    rejected = message(message_id="no@x.example", to="ada@example.com", subject="Secret words")
    ben.box.deliver(both)
    ben.receive()
    ada.box.deliver(both)
    ada.box.deliver(rejected)
    ada.box.deliver(
        b"From: c@x.example\r\nContent-Type: text/calendar; method=REQUEST\r\n\r\nx\r\n"
    )
    ada.receive()

    rows = {row.state: row for row in SyncItem.objects.all()}
    assert set(rows) == {"tracked", "duplicate", "rejected", "skipped"}
    tracked = rows["tracked"]
    assert FACTS not in tracked.decision and tracked.email.mime is not None
    assert all(FACTS in rows[state].trace for state in ("duplicate", "rejected", "skipped"))
    again = message_from(rows["rejected"].trace[FACTS], rows["rejected"].subject)
    original = parse(rejected)
    assert again is not None
    assert (again.to, again.senders, again.date) == (original.to, original.senders, original.date)
    assert "Secret" not in json.dumps(rows["rejected"].trace)
    assert rows["duplicate"].trace[FACTS]["message_id"] == "both@x.example"


def test_where_the_listing_has_no_time_the_header_has_one() -> None:
    ada = Account(user_mailbox("ada", FilteringMethod.RESPONSES), complete=True)
    stamp = b"Received: by mail.example.com; Mon, 02 Feb 2026 10:00:00 +0000\r\n"
    ada.box.deliver(stamp + message(to="ada@example.com"))
    ada.box.messages()[-1].received_at = None  # POP3 has none
    ada.receive()
    assert SyncItem.objects.get().trace[FACTS]["arrived"] == "2026-02-02T10:00:00+00:00"


def test_a_typical_rejected_message_grows_by_a_few_hundred_octets() -> None:
    ada = Account(user_mailbox("ada", FilteringMethod.RESPONSES))
    ada.box.deliver(message(message_id="one@mail.customer.example", to="Ada <ada@example.com>"))
    ada.receive()
    assert len(json.dumps(SyncItem.objects.get().trace[FACTS])) < 350
