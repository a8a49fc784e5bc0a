"""How a message is written for Exchange, and what an answer to it proves."""

import base64

import pytest

from mailboxes.protocols.base import Envelope
from mailboxes.protocols.errors import (
    REFUSALS,
    MessageDeferred,
    PassingFault,
    RequestExpired,
    ServerBusy,
    StoreUnavailable,
    UnexpectedReply,
    UserUnknown,
)
from mailboxes.protocols.ews.messages import type_space
from mailboxes.protocols.ews.outgoing import message_of, refusal_like, results, unique

HEAD = b"From: ada@example.com\r\nTo: Ben <ben@example.com>,\r\n =?utf-8?q?C=C3=A9?= <ce@example.com>\r\nCc: Dora@Example.com\r\n\r\nHello.\r\n"


def written(*recipients, mime=HEAD):
    message = message_of(Envelope("<1@example.com>", "ada@example.com", recipients, mime))
    return {
        child.tag.removeprefix(type_space): [
            each.text for each in child.iter(f"{type_space}EmailAddress")
        ]
        for child in message
    }


def test_message_goes_as_it_is():
    message = message_of(Envelope("<1@example.com>", "ada@example.com", ("ben@example.com",), HEAD))
    assert base64.b64decode(message[0].text) == HEAD


def test_recipients_in_the_header_are_not_named_again():
    assert written("ben@example.com", "CE@example.com", "dora@example.com") == {"MimeContent": []}


def test_who_is_in_no_header_becomes_a_blind_copy():
    told = written("ben@example.com", "ce@example.com", "dora@example.com", "eve@example.com")
    assert told == {"MimeContent": [], "BccRecipients": ["eve@example.com"]}


def test_who_is_in_the_header_only_gets_nothing():
    assert written("ce@example.com", "dora@example.com", "eve@example.com") == {
        "MimeContent": [],
        "ToRecipients": ["ce@example.com"],
        "CcRecipients": ["Dora@Example.com"],
        "BccRecipients": ["eve@example.com"],
    }


def test_message_without_recipients_in_its_header():
    told = written("ben@example.com", mime=b"Subject: none\r\n\r\n")
    assert told == {"MimeContent": [], "BccRecipients": ["ben@example.com"]}


def test_recipient_named_twice_is_one_and_keeps_its_place():
    assert unique(["Ben@example.com", "ada@example.com", "ben@EXAMPLE.com"]) == [
        "Ben@example.com",
        "ada@example.com",
    ]


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (StoreUnavailable("away"), ServerBusy),
        (UserUnknown("who?"), ServerBusy),
        (UnexpectedReply("ErrorNewInThisVersion"), MessageDeferred),
    ],
)
def test_word_of_the_service_is_a_refusal(error, kind):
    error.server_code = "ErrorOfTheirs"
    refusal = refusal_like(error)
    assert type(refusal) is kind
    assert isinstance(refusal, REFUSALS)
    assert refusal.server_code == "ErrorOfTheirs"
    assert kind is MessageDeferred or refusal.code == error.code


def test_faults_inside_the_service_prove_nothing():
    assert not issubclass(PassingFault, REFUSALS)
    assert not issubclass(RequestExpired, REFUSALS)


def test_all_recipients_share_one_fate():
    envelope = Envelope(
        "<1@example.com>", "ada@example.com", ("a@example.com", "b@example.com"), b""
    )
    assert [each.code for each in results(envelope, False, "no", permanent=True)] == [550, 550]
    assert [each.accepted for each in results(envelope, True, "yes")] == [True, True]
