"""What mail of our own machines says of itself."""

from dataclasses import replace
from datetime import UTC, datetime
from email import message_from_bytes

import pytest

from activities.mime.automatic import Machine, fields_of
from activities.mime.compose import compose
from activities.mime.message import Address, MessageKind, OutgoingMessage
from activities.mime.parse import parse
from tracking.creation import Why, _no_person_wrote_it

MESSAGE = OutgoingMessage(
    message_id="m-1@mail.example.com",
    sender=Address("desk@example.com", "Desk"),
    to=(Address("ben@example.org"),),
    subject="Delivery",
    text="words\n",
    date=datetime(2026, 3, 5, 9, 30, tzinfo=UTC),
)


@pytest.mark.parametrize(
    ("machine", "submitted", "suppressed", "precedence"),
    [
        (Machine.ANSWER, "auto-replied", "OOF, AutoReply, RN, NRN", "auto_reply"),
        (Machine.NOTICE, "auto-generated", "OOF, AutoReply", None),
        (Machine.PROBE, "auto-generated", "All", None),
    ],
)
def test_each_kind_says_what_it_is(machine, submitted, suppressed, precedence):
    sent = message_from_bytes(compose(replace(MESSAGE, extra_headers=fields_of(machine, "x.y"))))

    assert sent["Auto-Submitted"] == submitted
    assert sent["X-Auto-Response-Suppress"] == suppressed
    assert sent["Precedence"] == precedence
    assert sent["X-Serversync"] == f"{machine.value} x.y"


@pytest.mark.parametrize("machine", Machine)
def test_nothing_is_made_or_answered_when_it_comes_back(machine):
    back = parse(compose(replace(MESSAGE, extra_headers=fields_of(machine))))

    assert _no_person_wrote_it(back) is Why.OWN_MARK
    assert back.kind is MessageKind.AUTO_REPLY
    # A responder that keeps Auto-Submitted only, or our field only, is enough.
    assert _no_person_wrote_it(replace(back, own_header="")) is Why.AUTOMATIC
    assert _no_person_wrote_it(replace(back, kind=MessageKind.ORDINARY)) is Why.OWN_MARK
