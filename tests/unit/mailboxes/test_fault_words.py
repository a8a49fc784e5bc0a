"""The page of faults is the table that is tested; what is shown of a conversation holds no secret."""

from pathlib import Path

import pytest

from mailboxes.causes import cause_of
from mailboxes.conditions import TABLE
from mailboxes.protocols.transcript import shown_command, shown_reply
from tests import faulttable

PAGE = Path(__file__).resolve().parents[3] / "docs" / "faults.md"


def test_page_is_the_table():
    assert PAGE.read_text() == faulttable.page()


def test_codes_of_the_table_are_conditions():
    assert {case.code for case in faulttable.CASES} <= set(TABLE)


def test_the_exact_fault_speaks_before_its_code_and_an_unknown_one_leaves_it_to_that():
    exact = cause_of("CertificateRejected", fault="certificate_expired")
    assert "expired" in exact.meaning
    assert cause_of("CertificateRejected", fault="of a later version") == cause_of(
        "CertificateRejected"
    )


@pytest.mark.rule("R2.22")
@pytest.mark.parametrize(
    "sent, shown",
    [
        (b"USER ada\r\n", ["USER ada"]),
        (b"PASS hunter2 with blanks\r\n", ["PASS ***"]),
        (b"APOP ada c4c9334bac560ecc979e58001b3e22fb\r\n", ["APOP ***"]),
        (b"AUTH PLAIN AGFkYQBodW50ZXIy\r\n", ["AUTH PLAIN ***"]),
        (b"AUTH LOGIN\r\n", ["AUTH LOGIN"]),
        (b"aHVudGVyMg==\r\n", ["(14 octets)"]),
        (b'ABCD1 LOGIN "ada" "hunter2"\r\n', ["ABCD1 LOGIN ***"]),
        (b"ABCD2 AUTHENTICATE XOAUTH2 dXNlcj1hZGE=\r\n", ["ABCD2 AUTHENTICATE XOAUTH2 ***"]),
        (b"MAIL FROM:<a@b.example>\r\nDATA\r\n", ["MAIL FROM:<a@b.example>", "DATA"]),
        (b"Subject: hi\r\n\r\nLIST of secrets\r\n", ["(32 octets)"]),
        (b"no line end", ["(11 octets)"]),
        (b"", ["(0 octets)"]),
    ],
)
def test_commands_are_shown_without_secrets_and_contents_not_at_all(sent, shown):
    assert shown_command(sent) == shown


@pytest.mark.rule("R2.22")
@pytest.mark.parametrize(
    "told, shown",
    [
        (b"220 mail.example.com ready\r\n", b"220 mail.example.com ready\r\n"),
        (b"+OK logged in\r\n", b"+OK logged in\r\n"),
        (b"ABCD1 NO [AUTHENTICATIONFAILED]\r\n", b"ABCD1 NO [AUTHENTICATIONFAILED]\r\n"),
        (b"* 3 EXISTS\r\n", b"* 3 EXISTS\r\n"),
        (b'* 1 FETCH (UID 7 ENVELOPE ("Mon" "quite private"\r\n', b"* 1 FETCH (...)"),
        (b' "quite private" BODY[TEXT] "and more")\r\n', b"(41 octets)"),
        (b"Subject: quite private\r\n", b"(24 octets)"),
    ],
)
def test_of_answers_the_words_of_the_protocol_are_shown_and_no_contents(told, shown):
    assert shown_reply(told) == shown


def test_long_groups_are_cut():
    assert len(shown_command(b"RCPT TO:<a@b.example>\r\n" * 500)) == 20
