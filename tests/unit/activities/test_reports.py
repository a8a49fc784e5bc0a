"""What reports tell of each recipient, and of the message that came back."""

from datetime import UTC, datetime

import pytest

from activities.mime import notices, reports, returned, statuses
from activities.mime.message import ReportedRecipient
from activities.mime.parse import parse
from tests.messages import plain, read

SENT_ID = "offer-7@mail.example.com"

# name: (address, status, hard, what the diagnostic names, whether the returned header is there)
FAILED = {
    "amazon_ses": ("ben@example.org", "4.4.7", False, "Message expired", True),
    "aol": ("ben@aol.example", "", True, "MAILBOX NOT FOUND", False),
    "au_one": ("ben@auone.example", "", False, "mailbox is full", True),
    "barracuda": ("ben@example.org", "5.7.1", False, "content rejected", True),
    "courier": ("ben@example.org", "5.7.1", False, "rejected as spam", True),
    "docomo": ("..ben.@docomo.example", "", True, "Unknown user", True),
    "domino": ("ben@example.org", "5.1.1", True, "not listed in Domino Directory", True),
    "exchange_2003": ("ben@example.org", "5.1.1", True, "#5.1.1", False),
    "exchange_2003_french": ("ben@example.org", "5.1.1", True, "#5.1.1", False),
    "exchange_2003_japanese": ("ben@example.org", "5.2.2", False, "#5.2.2", False),
    "exchange_german": ("ben@example.org", "5.2.3", False, "RecipSizeLimit", True),
    "exchange_online": ("ben@example.org", "5.1.10", True, "RecipientNotFound", True),
    "exim": ("ben@example.org", "5.1.1", True, "Recipient unknown", True),
    "gmail": ("ben@example.org", "5.1.1", True, "does not exist", True),
    "groupwise": ("ben@example.org", "5.2.2", False, "", True),
    "hmailserver": ("ben@example.org", "", True, "Unrouteable", False),
    "html_only": ("ben@example.org", "", True, "Mailbox not found", False),
    "icloud": ("ben@example.org", "5.1.1", True, "illegal alias", True),
    "ironport": ("ben@example.org", "5.1.2", True, "NXDomain", True),
    "kerio": ("ben@example.org", "5.1.1", True, "does not exist", True),
    "lotus_smtp": ("ben@example.org", "", True, "not listed", True),
    "mailenable": ("ben@example.org", "", True, "No such recipient", True),
    "mdaemon": ("ben@example.org", "5.1.1", True, "unknown user", True),
    "mimecast": ("ben@example.org", "5.4.1", True, "Access denied", False),
    "no_returned_header": ("ben@example.org", "5.1.6", True, "", False),
    "plain_parts": ("ben@example.org", "5.4.4", True, "", True),
    "postfix": ("ben@example.org", "5.1.1", True, "User unknown", True),
    "qmail": ("ben@example.org", "", True, "No such user here", True),
    "quoted_header": ("ben@example.org", "", True, "unknown here", True),
    "sendmail": ("ben@example.org", "5.2.2", False, "Mailbox full", True),
    "sieve_reject": ("ben@example.org", "", False, "Quota exceeded", True),
    "surgemail": ("ben@example.org", "", False, "exceeded storage", True),
    "x400": ("ben@example.org", "", True, "Unrecognised", False),
    "yahoo": ("ben@example.org", "5.7.9", False, "policy reasons", True),
    "zimbra": ("ben@example.org", "4.2.2", False, "Over quota", True),
}


@pytest.mark.parametrize("name", FAILED)
def test_bounce_tells_whom_and_why(name):
    address, status, hard, named, _ = FAILED[name]
    (recipient,) = parse(read(f"reports/{name}")).report.recipients
    assert (recipient.address, recipient.action, recipient.status, recipient.hard) == (
        address,
        "failed",
        status,
        hard,
    )
    assert named in recipient.diagnostic


@pytest.mark.parametrize("name", [name for name, row in FAILED.items() if row[-1]])
def test_returned_header_is_read_in_whatever_form_it_came_back(name):
    report = parse(read(f"reports/{name}")).report
    assert report.message_id == SENT_ID
    assert report.returned_subject == "Offer 7"
    assert len(report.returned_to) == 1
    if name != "docomo":  # the carrier leaves the date out
        assert report.returned_to == ("ben@example.org",)
        assert report.returned_date == datetime(2026, 3, 5, 8, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    "name", ["exchange_2003", "exchange_2003_french", "exchange_2003_japanese", "exim_delay"]
)
def test_subject_may_be_all_that_is_told(name):
    report = parse(read(f"reports/{name}")).report
    assert (report.returned_subject, report.message_id) == ("Offer 7", "")


def test_answered_message_is_the_one_where_no_header_came_back():
    assert parse(read("reports/no_returned_header")).report.message_id == SENT_ID


def test_standard_is_what_follows_one():
    assert parse(read("reports/postfix")).report.standard
    assert parse(read("reports/arf")).report.standard
    assert parse(read("reports/read")).report.standard
    assert not parse(read("reports/qmail")).report.standard
    assert not parse(read("reports/hotmail_complaint")).report.standard
    assert not parse(read("reports/plain_parts")).report.standard


def test_each_recipient_has_its_own_fate():
    report = parse(read("reports/two_recipients")).report
    assert report.recipients == (
        ReportedRecipient(
            address="ben@example.org",
            action="failed",
            status="5.1.1",
            diagnostic="550 5.1.1 User unknown",
            hard=True,
        ),
        ReportedRecipient(
            address="carl@example.net",
            action="delayed",
            status="4.4.1",
            diagnostic="connection timed out",
        ),
    )


@pytest.mark.parametrize(
    ("name", "address", "action"),
    [
        ("exim_delay", "ben@example.org", "delayed"),
        ("postfix_delay", "ben@example.org", "delayed"),
        ("sendmail_delay", "ben@example.org", "delayed"),
        ("arf", "ben@example.org", "complaint"),
        ("arf_redacted", "ben@example.org", "complaint"),
        ("arf_auth_failure", "ben@example.org", "auth-failure"),
        ("hotmail_complaint", "ben@hotmail.example", "complaint"),
        ("delivered", "ben@example.org", "delivered"),
        ("relayed", "ben@example.org", "relayed"),
        ("read", "ben@example.org", "displayed"),
        ("deleted_unread", "ben@example.org", "deleted"),
    ],
)
def test_other_reports_name_recipient_and_action(name, address, action):
    (recipient,) = parse(read(f"reports/{name}")).report.recipients
    assert (recipient.address, recipient.action, recipient.hard) == (address, action, False)


@pytest.mark.parametrize(
    ("group", "address"),
    [
        ("Final-Recipient: rfc822; b@x.org\nOriginal-Recipient: rfc822;a@x.org", "a@x.org"),
        ("Final-Recipient: rfc822; b@x.org\nOriginal-Recipient: rfc822;", "b@x.org"),
        ("Final-Recipient: rfc822; b@x.org\nOriginal-Recipient: unknown; Ada", "b@x.org"),
        ("Final-Recipient: <b@x.org>", "b@x.org"),
        ("Final-Recipient: RFC822;b@x.org (Ada)", "b@x.org"),
        ("Original-Recipient: rfc822;b+40x.org", "b@x.org"),
        ("Final-Recipient: utf-8; \\x{e4}da@x.org", "äda@x.org"),
        ("Final-Recipient: LOCAL;ada", ""),
        ("final-recipient : rfc822;\n b@x.org", "b@x.org"),
    ],
)
def test_address_is_the_one_that_was_written_to(group, address):
    told = reports.read_delivery_status(f"{group}\nAction: failed\nStatus: 5.1.1".encode())
    assert [r.address for r in told.recipients] == [address]


@pytest.mark.parametrize(
    ("action", "status", "read_as"),
    [
        ("failed", "5.1.1", "failed"),
        ("Failed (really)", "5.1.1", "failed"),
        ("delayed", "4.4.1", "delayed"),
        ("expanded (to a list)", "2.1.5", "expanded"),
        ("deliverable", "2.1.5", "delivered"),
        ("", "5.1.1", "failed"),
        ("", "4.1.1", "delayed"),
        ("", "", ""),
    ],
)
def test_action_is_one_of_the_standard(action, status, read_as):
    text = f"Final-Recipient: rfc822;b@x.org\nAction: {action}\nStatus: {status}"
    assert reports.read_delivery_status(text.encode()).recipients[0].action == read_as


def test_groups_without_blank_lines_or_with_too_many():
    text = (
        "Reporting-MTA: dns; x.org\nFinal-Recipient: rfc822; a@x.org\nAction: failed\n"
        "Final-Recipient: rfc822; b@x.org\n\n\nAction: failed\nStatus: 5.1.1\n\n"
        "Action: delayed\nFinal-Recipient: rfc822; c@x.org"
    )
    told = reports.read_delivery_status(text.encode())
    assert [(r.address, r.action) for r in told.recipients] == [
        ("a@x.org", "failed"),
        ("b@x.org", "failed"),
        ("c@x.org", "delayed"),
    ]


def test_numbers_of_recipients_and_lengths_are_bounded():
    group = b"Final-Recipient: rfc822; a@x.org\nAction: failed\nDiagnostic-Code: smtp; "
    many = reports.read_delivery_status(b"\n\n".join([group + b"550 no"] * 1000))
    assert len(many.recipients) == reports.MAX_RECIPIENTS
    (long,) = reports.read_delivery_status(group + b"x" * 9999).recipients
    assert len(long.diagnostic) == statuses.MAX_DIAGNOSTIC


@pytest.mark.parametrize(
    ("status", "diagnostic", "hard"),
    [
        ("5.1.1", "", True),
        ("5.1.2", "", True),
        ("5.1.10", "", True),
        ("5.2.1", "disabled", True),
        ("5.2.2", "", False),
        ("5.1.1", "552 mailbox full", False),
        ("5.2.1", "receiving mail at a rate that prevents additional messages", False),
        ("5.1.1", "550 5.7.1 IP address is blacklisted", False),
        ("5.1.8", "sender address has no mail exchanger", False),
        ("5.3.4", "message too big", False),
        ("5.3.0", "550 Unknown user", True),
        ("5.3.2", "system not accepting network messages", False),
        ("5.4.1", "Recipient address rejected: Access denied", True),
        ("5.4.1", "no answer from host", False),
        ("5.4.4", "unable to route", True),
        ("5.4.6", "routing loop detected", False),
        ("5.4.7", "delivery time expired", False),
        ("5.5.0", "550 Requested action not taken: mailbox unavailable", True),
        ("5.5.1", "bad sequence of commands", False),
        ("5.6.1", "media not supported", False),
        ("5.7.1", "rejected as spam", False),
        ("5.7.1", "550 5.7.1 <a@x.org>: User unknown", True),
        ("5.7.13", "user account disabled", True),
        ("5.7.26", "fails to pass authentication", False),
        ("4.2.2", "over quota", False),
        ("4.1.1", "450 User unknown", False),
        ("2.1.5", "", False),
        ("5.0.0", "", True),
        ("5.0.0", "554 Service currently unavailable", False),
        ("", "550 No such user here", True),
        ("", "450 No such user here, try later", False),
        ("", "the account has been closed", True),
        ("", "", False),
        ("5.1.1", "unable to deliver: 421 4.4.7 message expired", False),
    ],
)
def test_hard_is_what_fails_again(status, diagnostic, hard):
    assert statuses.is_hard(status, diagnostic) is hard


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("550 5.1.1 unknown", "5.1.1"),
        ("550-5.7.26 no", "5.7.26"),
        ("<mail.example.org #5.1.1>", "5.1.1"),
        ("#550 5.1.1.", "5.1.1"),
        ("host 5.1.1.7 said no", ""),
        ("host 192.5.1.1 said no", ""),
        ("5.0.0, then 5.2.2", "5.2.2"),
        ("5.0.0", "5.0.0"),
        ("version 3.1.4", ""),
    ],
)
def test_status_is_found_in_words(text, status):
    assert statuses.find_status(text) == status


@pytest.mark.parametrize(
    ("told", "diagnostic", "status"),
    [
        ("5.0.0", "550 5.1.1 unknown", "5.1.1"),
        ("", "550 5.1.1 unknown", "5.1.1"),
        ("5.0.0", "450 4.1.1 unknown", "5.0.0"),
        ("5.2.2", "550 5.1.1 unknown", "5.2.2"),
    ],
)
def test_vague_status_is_refined_by_the_diagnostic(told, diagnostic, status):
    assert statuses.refined(told, diagnostic) == status


@pytest.mark.parametrize(
    ("notice", "addresses"),
    [
        ("<a@x.org>: unknown\n<b@x.org>: full", ["a@x.org", "b@x.org"]),
        ("  a@x.org\n  unknown\n\nAsk help@y.org", ["a@x.org"]),
        ("Recipient: a@x.org\nwrite to postmaster@y.org", ["a@x.org"]),
        ("550 <a@x.org>... User unknown", ["a@x.org"]),
        ("a@x.org <mailto:a@x.org>", ["a@x.org"]),
        ("Your mail to me@own.org: it went to a@x.org in vain", ["a@x.org"]),
        ("It was from b@y.org", [""]),
        (
            "  b@y.org\n    (generated from a@x.org)\n    unknown\n\n  c@z.org",
            ["a@x.org", "c@z.org"],
        ),
        ("b@y.org\n  (expanded from: <a@x.org>)", ["a@x.org"]),
        ("To:  list@y.org\ndid not reach:\n\na@x.org on Thursday", ["a@x.org"]),
        ("To:  list@y.org\ndid not reach:\n\nc=US;p=X;dda:SMTP=a@x.org; on Thursday", ["a@x.org"]),
        (
            "While talking to b@y.org:\n550 <a@x.org>... User unknown\n554 c@z.org: no",
            ["a@x.org", "c@z.org"],
        ),
        ("nothing", [""]),
    ],
)
def test_recipients_stand_where_servers_put_them(notice, addresses):
    read_ones = notices.read_recipients(notice, action="failed", own={"me@own.org"})
    assert [r.address for r in read_ones] == addresses


def test_named_recipients_come_first_then_told_then_returned_ones():
    kept = {"action": "failed", "returned_to": ("c@x.org",)}
    assert notices.read_recipients("a@x.org", known=("b@x.org",), **kept)[0].address == "b@x.org"
    assert notices.read_recipients("a@x.org", **kept)[0].address == "a@x.org"
    assert notices.read_recipients("gone", **kept)[0].address == "c@x.org"


def test_sender_who_wrote_to_himself_is_a_recipient():
    (one,) = notices.read_recipients("<me@own.org>: full", action="failed", own={"me@own.org"})
    assert one.address == "me@own.org"


@pytest.mark.parametrize("prefix", ["", "> ", "    ", ">>> ", "| "])
def test_header_is_found_behind_any_prefix(prefix):
    lines = [
        "Sorry.",
        "",
        "----- Message header -----",
        "Received: by x.org;",
        "\tThu, 05 Mar 2026 09:30:00 +0100",
        "Message-ID: <1@x.org>",
        "To: Ben",
        " <ben@example.org>",
        "Subject: Offer",
    ]
    text = "\n".join(prefix + line for line in lines)
    found = returned.find_returned(text)
    assert (found.message_id, found.subject, found.to) == ("1@x.org", "Offer", ("ben@example.org",))
    assert text[found.notice_end :].startswith(f"{prefix}Received")


def test_notice_ends_where_a_server_says_that_something_follows():
    text = "Sorry.\n\n<a@x.org>:\n550 no\n\n--- Below this line is a copy of the message.\n\n<b@y.org>:"
    body = text.encode()
    report = parse(plain(body, **{"from": "MAILER-DAEMON@x.org"}, subject="failure notice")).report
    assert [r.address for r in report.recipients] == ["a@x.org"]


def test_fields_of_a_report_are_no_returned_header():
    text = "Reporting-MTA: dns; x.org\nFinal-Recipient: rfc822; a@x.org\nAction: failed"
    assert not returned.find_returned(text).found
    assert not returned.find_returned("Note: this\nTo: do\n").found


def test_report_written_into_the_text_is_read():
    body = (
        b"Delivery failed.\r\n\r\nReporting-MTA: dns; x.org\r\n\r\n"
        b"Final-Recipient: rfc822; a@x.org\r\nAction: failed\r\nStatus: 5.1.1\r\n"
    )
    report = parse(plain(body, **{"from": "MAILER-DAEMON@x.org"})).report
    assert [(r.address, r.status, r.hard) for r in report.recipients] == [
        ("a@x.org", "5.1.1", True)
    ]
    assert not report.standard


@pytest.mark.parametrize("size", [0, 1, 100_000])
@pytest.mark.parametrize(
    "stuff", [b"@", b"a@", b"<a@x.org>: ", b"To: ", b"5.1.1", b"((((", b"\n> ", b"\xff"]
)
def test_noise_from_servers_ends_quickly_and_never_raises(stuff, size):
    raw = plain(stuff * size, subject="Undelivered mail", **{"from": "MAILER-DAEMON@x.org"})
    assert parse(raw).kind.is_automatic
