"""One JSON record a message, whatever the message is."""

import json

import pytest
from django.db import OperationalError

from mailboxes.models import Mailbox
from serversync.mailfiles import Found
from serversync.message_json import as_line, has_mailboxes, record_of
from tests.messages import many_parts, names, nested, plain, read

REPORTS = ("reports/qmail", "reports/two_recipients", "reports/read", "reports/arf")


def undecided(message):
    return None


def never(raw, mailbox):
    raise AssertionError("there is no mailbox to decide for")


def told(raw: bytes, **fields):
    return record_of(Found("a.eml", raw), undecided, never, **fields)


def test_record_has_what_was_read():
    raw = read("mixed_pdf").replace(
        b"\r\nSubject:", b"\r\nCc: Carl <carl@example.net>\r\nSubject:", 1
    )
    record = told(raw)
    assert record["file"] == "a.eml"
    assert record["from"] == [{"address": "ada@example.com", "name": "Ada"}]
    assert record["to"] == [{"address": "ben@example.org", "name": "Ben"}]
    assert record["cc"] == [{"address": "carl@example.net", "name": "Carl"}]
    assert record["bcc"] == record["sender"] == record["reply_to"] == []
    assert record["date"] == "2026-03-05T08:30:00Z"
    assert record["kind"] == "ordinary"
    assert record["decision"] is record["rule"] is record["original_recipient"] is None
    (attachment,) = record["attachments"]
    assert attachment["type"] == "application/pdf"
    assert attachment["size"] > 0
    assert set(attachment) == {"name", "type", "size"}


def test_every_record_has_the_same_keys():
    whole = {frozenset(told(read(name))) for name in (*names(), *REPORTS)}
    assert len(whole) == 1
    assert "error" not in next(iter(whole))


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("reports/postfix", "bounce"),
        ("reports/exim_delay", "delay"),
        ("reports/arf", "complaint"),
        ("reports/read", "auto-reply"),
        ("reports/delivered", "auto-reply"),
        ("kinds/vacation_x_autoreply", "auto-reply"),
        ("kinds/discussion_list", "list"),
        ("meeting_request", "calendar"),
        ("reply_with_references", "reply"),
        ("plain_ascii", "ordinary"),
    ],
)
def test_kinds_are_of_a_fixed_set(name, kind):
    assert told(read(name))["kind"] == kind


def test_bounce_names_the_first_that_failed_and_tells_of_all():
    record = told(read("reports/two_recipients"))
    assert record["original_recipient"] == "ben@example.org"
    assert record["original_message_id"] == "offer-7@mail.example.com"
    assert record["report"]["subject"] == "Offer 7"
    assert record["report"]["date"] == "2026-03-05T08:30:00Z"
    assert [(r["address"], r["action"], r["status"], r["hard"]) for r in record["report"]["recipients"]] == [
        ("ben@example.org", "failed", "5.1.1", True),
        ("carl@example.net", "delayed", "4.4.1", False),
    ]  # fmt: skip


def absurd() -> list[bytes]:
    return [
        b"",
        b"\0" * 1000,
        bytes(range(256)) * 40,
        nested(500),
        many_parts(6000),
        plain("\u2028 \u2029 \x85 end".encode(), content_type="text/plain; charset=utf-8"),
        plain(b"+2D0- +3D0-", content_type="text/plain; charset=utf-7"),
        plain(
            b"x",
            subject="=?utf-16?B?2D0=?= \udcff".encode("utf-8", "surrogateescape").decode("latin-1"),
        ),
    ]


@pytest.mark.parametrize("ascii_only", [True, False])
def test_record_is_one_line_of_utf8_whatever_came(ascii_only):
    for raw in (*absurd(), *(read(name) for name in names())):
        line = as_line(told(raw), ascii_only=ascii_only)
        assert len(line.splitlines()) == 1
        assert json.loads(line.encode("utf-8")) is not None
        assert line.isascii() or not ascii_only


def test_lone_surrogates_become_replacement_characters():
    line = as_line({"file": "a\ud800b", "names": [{"name": "\udfff"}], "size": 1, "none": None})
    assert json.loads(line) == {
        "file": "a\ufffdb",
        "names": [{"name": "\ufffd"}],
        "size": 1,
        "none": None,
    }
    assert "\\ud800" not in as_line({"file": "\ud800"}, ascii_only=True)


def test_what_could_not_be_read_is_a_record_with_its_error():
    record = record_of(Found("x", error="too large"), undecided, never)
    assert record == {"file": "x", "error": "too large"}


def test_failing_decision_costs_only_the_decision():
    def fails(raw, mailbox):
        raise ValueError("no such filter")

    record = record_of(Found("a.eml", plain()), lambda message: object(), fails)
    assert record["error"] == "ValueError: no such filter"
    assert record["subject"] == "Delivery"
    assert record["decision"] is None


def test_without_a_database_there_are_no_mailboxes(monkeypatch):
    def fails():
        raise OperationalError("no such table")

    monkeypatch.setattr(Mailbox.objects, "exists", fails)
    assert not has_mailboxes()
