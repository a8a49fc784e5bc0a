"""The Message-ID under which a server sends a message on, read from its answer."""

import pytest

from mailboxes.protocols.base import Envelope
from mailboxes.protocols.smtp import id_used

SES = "email-smtp.eu-west-1.amazonaws.com"
SES_ID = "0102018e5f3a1b2c-0a1b2c3d-1111-2222-3333-444455556666-000000"


@pytest.mark.rule("R5.10")
@pytest.mark.parametrize(
    ("text", "host", "used"),
    [
        ("2.0.0 Ok: queued as 4A1B2C", "mail.example.com", ""),
        ("2.0.0 OK <1@example.com> [Hostname=AM0.outlook.example]", "smtp.office365.com", ""),
        (
            "2.6.0 <2@mail.example.net> [InternalId=7] Queued",
            "mail.example.com",
            "2@mail.example.net",
        ),
        ("ok, <ben@example.org> gets it", "mail.example.com", ""),
        ("ok, <BEN@example.org> gets <2@mail.example.net>", "x.example", "2@mail.example.net"),
        ("<2@mail.example.net> or <3@mail.example.net>", "mail.example.com", ""),
        (f"Ok {SES_ID}", SES, f"{SES_ID}@eu-west-1.amazonses.com"),
        (f"Ok {SES_ID}", "email-smtp.us-east-1.amazonaws.com", f"{SES_ID}@email.amazonses.com"),
        (f"Ok {SES_ID}", "mail.example.com", ""),
        ("Ok", SES, ""),
    ],
)
def test_the_id_that_was_used(text: str, host: str, used: str) -> None:
    envelope = Envelope("1@example.com", "ada@example.com", ("ben@example.org",), b"")
    assert id_used(text, envelope, host) == used
