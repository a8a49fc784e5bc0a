from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.tracking.builders import message
from tracking.candidates import MAX_SIZE, Bounds, arrival_of, bounds_of, skip_listed, skip_message
from tracking.choices import SkipReason

START = datetime(2026, 3, 1, 8, tzinfo=UTC)
EARLIER, LATER = START - timedelta(seconds=1), START + timedelta(seconds=1)


class Site:
    def __init__(self, *on: str) -> None:
        self.on = on

    def effective(self, name: str) -> bool:
        return name in self.on


def reason(skip):
    return skip.reason if skip else None


@pytest.mark.rule("R3.6")
@pytest.mark.parametrize(
    ("profile", "mailbox", "start"),
    [
        (None, None, None),
        (START, None, START),
        (None, START, START),
        (START, LATER, LATER),
        (LATER, START, LATER),
    ],
)
def test_the_later_of_the_two_dates_counts(profile, mailbox, start):
    bounds = bounds_of(Site(), profile, mailbox)
    assert bounds.start == start
    if start:
        before = skip_listed(10, start - timedelta(seconds=1), bounds)
        assert (before.reason, before.limit) == (SkipReason.BEFORE_START, start.isoformat())
        assert skip_listed(10, start + timedelta(seconds=1), bounds) is None


def test_watermark_binds_only_under_the_compatibility_switch():
    """Mail moved into the inbox later is seen: the date of the last processed one is no bound."""
    late = bounds_of(Site(), None, None, watermark=START)
    assert skip_listed(10, EARLIER, late) is None
    assert skip_message(message(), EARLIER, late) is None
    parity = bounds_of(Site("use_date_watermark"), None, None, watermark=START)
    assert reason(skip_listed(10, EARLIER, parity)) == SkipReason.BEFORE_WATERMARK
    assert skip_listed(10, START, parity) is None  # another message of the same second
    assert skip_listed(10, LATER, parity) is None
    assert skip_message(message(), EARLIER, parity, manually_tracked=True) is None


def test_unknown_arrival_never_excludes():
    assert skip_listed(10, None, Bounds(start=START, watermark=START)) is None


@pytest.mark.rule("R3.10")
def test_messages_over_150_mb_are_not_promoted():
    assert MAX_SIZE == 150 * 1024 * 1024
    assert skip_listed(MAX_SIZE, LATER, Bounds()) is None
    skip = skip_listed(MAX_SIZE + 1, LATER, Bounds())
    assert (skip.reason, skip.detail) == (SkipReason.TOO_LARGE, str(MAX_SIZE + 1))
    large = message(size=MAX_SIZE + 1)
    assert reason(skip_message(large, LATER, Bounds())) == SkipReason.TOO_LARGE
    by_hand = skip_message(large, LATER, Bounds(), manually_tracked=True)
    assert reason(by_hand) == SkipReason.TOO_LARGE


def test_own_probe_is_skipped_before_all_else():
    skip = skip_message(message(), START, Bounds(start=LATER), own_probe=True)
    assert reason(skip) == SkipReason.OWN_PROBE


def test_header_alone_makes_no_probe():
    assert skip_message(message(own_header="probe"), LATER, Bounds()) is None


@pytest.mark.rule("R3.14")
@pytest.mark.parametrize("method", ["REQUEST", "REPLY", "CANCEL", "COUNTER"])
def test_calendar_traffic_is_skipped_unless_tracked_by_hand(method):
    meeting = message(calendar_method=method)
    skip = skip_message(meeting, LATER, Bounds())
    assert (skip.reason, skip.detail) == (SkipReason.CALENDAR, method)
    assert skip_message(meeting, LATER, Bounds(), manually_tracked=True) is None


@pytest.mark.parametrize("method", ["", "PUBLISH", "NONSENSE"])
def test_a_calendar_that_asks_nobody_anything_is_mail(method):
    assert skip_message(message(calendar_method=method), LATER, Bounds()) is None


@pytest.mark.rule("R3.11")
def test_rights_protected_mail_is_promoted_unless_restricted():
    restricted = bounds_of(Site("restrict_irm_email_items"), None, None)
    for kind in ("irm", "smime", "pgp"):
        assert skip_message(message(encrypted=kind), LATER, bounds_of(Site(), None, None)) is None
    skip = skip_message(message(encrypted="irm"), LATER, restricted)
    assert reason(skip) == SkipReason.RIGHTS_PROTECTED
    assert skip_message(message(encrypted="smime"), LATER, restricted) is None


@pytest.mark.parametrize("newline", [b"\r\n", b"\n"])
def test_arrival_is_the_time_of_the_topmost_received_header(newline):
    mime = newline.join(
        [
            b"Return-Path: <ada@example.com>",
            b"RECEIVED: from mx.example.com (mx.example.com [192.0.2.1])",
            b"\tby mail.example.org with ESMTP id 1;",
            b"\tSun, 1 Mar 2026 09:00:00 +0100 (CET)",
            b"Received: from ada by mx.example.com; Thu, 1 Jan 1970 00:00:00 +0000",
            b"Date: Thu, 1 Jan 1970 00:00:00 +0000",
            b"",
            b"Received: from body; Mon, 2 Mar 2026 09:00:00 +0100",
        ]
    )
    assert arrival_of(mime) == START


@pytest.mark.parametrize(
    "mime",
    [
        b"",
        b"Subject: x\r\n\r\nReceived: by a; Sun, 1 Mar 2026 09:00:00 +0100",
        b"Received: by a\r\n\r\n",
        b"Received: by a; 99 Foo 99999 77:88:99\r\n\r\n",
        b"Received: by a; Sun, 1 Mar 2026 09:00:00 +9999999\r\n\r\n",
        b"Received: by a; \xff\xfe\r\n\r\n",
    ],
)
def test_unreadable_arrival_is_unknown(mime):
    assert arrival_of(mime) is None


@given(st.binary(max_size=80))
def test_reading_the_arrival_never_fails(noise):
    for mime in (noise, b"Received: x; " + noise, b"Received: x; Sun, 1 Mar 2026 " + noise):
        found = arrival_of(mime)
        assert found is None or found.utcoffset() == timedelta(0)
