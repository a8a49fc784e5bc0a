"""What a message looks like that goes to the one address of a staging site."""

from dataclasses import replace
from datetime import UTC, datetime
from email import message_from_bytes
from email.policy import default

import pytest

from activities.mime.message import Address, OutgoingMessage
from activities.outgoing import Recipients, sealed
from activities.redirecting import MOST, redirected

STAGING = "staging@example.net"
MESSAGE = OutgoingMessage(
    message_id="m-1@mail.example.com",
    sender=Address("ada@example.com", "Ada"),
    to=(Address("ben@example.org", "Ben"), Address("cleo@example.org")),
    cc=(Address("dan@example.org"),),
    subject="Delivery",
    html="<p>Words</p>",
    date=datetime(2026, 3, 5, 9, 30, tzinfo=UTC),
)
HIDDEN = (Address("eve@example.org"),)
EVERYBODY = ("ben@example.org", "cleo@example.org", "dan@example.org", "eve@example.org")
RECIPIENTS = Recipients(EVERYBODY, HIDDEN)


@pytest.fixture
def staging(settings):
    settings.REDIRECT_ALL_MAIL_TO = STAGING


def test_it_goes_to_the_one_address_and_names_all_others(staging):
    envelope = sealed(MESSAGE, RECIPIENTS)

    sent = message_from_bytes(envelope.mime, policy=default)
    assert envelope.recipients == (STAGING,)
    assert sent["To"] == STAGING
    assert (sent["Cc"], sent["Bcc"]) == (None, None)
    assert sent["Subject"] == "[Redirected] Delivery"
    assert sent["X-Intended-To"] == "ben@example.org, cleo@example.org"
    assert sent["X-Intended-Cc"] == "dan@example.org"
    assert sent["X-Intended-Bcc"] == "eve@example.org"
    for part in ("plain", "html"):
        shown = sent.get_body((part,)).get_content()
        assert all(address in shown for address in EVERYBODY)
        assert shown.index("redirects all mail") < shown.index("Words")


def test_without_the_setting_nothing_is_changed():
    envelope = sealed(MESSAGE, RECIPIENTS)

    assert envelope.recipients == EVERYBODY
    assert b"edirected" not in envelope.mime
    assert b"eve@example.org" not in envelope.mime


def test_the_note_stands_inside_the_body_of_a_whole_document():
    html = redirected(replace(MESSAGE, html="<html><body class=a>x</body>"), STAGING).html

    assert html.startswith("<html><body class=a><div")
    assert html.endswith("</div>x</body>")


def test_addresses_are_shown_and_never_run():
    odd = replace(MESSAGE, to=(Address('"<script>"@example.org'),))

    html = redirected(odd, STAGING).html

    assert "<script>" not in html
    assert "&lt;script&gt;" in html


def test_of_many_recipients_some_are_named_and_the_rest_is_counted():
    many = tuple(Address(f"p{number}@example.org") for number in range(MOST + 20))

    (_name, words) = redirected(replace(MESSAGE, to=many, cc=()), STAGING).extra_headers[-1]

    assert words.count("@") == MOST
    assert words.endswith("and 20 more")


def test_plain_text_stays_plain():
    plain = redirected(replace(MESSAGE, html="", text="Words"), STAGING)

    assert plain.html == ""
    assert plain.text.endswith("\n\nWords")
