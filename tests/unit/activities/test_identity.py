"""Which messages count as one."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from activities.identity import distinct_key, message_key, same_message

MORNING = datetime(2026, 3, 5, 8, 30, tzinfo=UTC)


def key(message_id="a@x", sender="ada@x", date="Thu", subject="s", body_size=1):
    return message_key(message_id, sender, date, subject, body_size)


@pytest.mark.rule("R3.20")
def test_key_is_of_the_whole_id_alone():
    assert key() == key(sender="b", date="Fri", subject="t", body_size=2)
    assert key("<a@x>") == key(" a@x\n")
    assert key() != key("A@x")
    assert key("a" * 400 + "1@x") != key("a" * 400 + "2@x")


@pytest.mark.rule("R3.20")
def test_without_an_id_the_key_is_of_sender_date_subject_and_size():
    base = key("")
    assert base == key("<>", sender=" ADA@x. ")
    assert key("", subject="a b") == key("", subject="a\r\n  b")
    others = {
        key("", sender="b@x"),
        key("", date="Fri"),
        key("", subject="t"),
        key("", body_size=2),
    }
    assert len(others | {base}) == 5


@given(st.lists(st.tuples(st.text(), st.text(), st.text()), min_size=2, unique=True))
def test_parts_never_run_into_each_other(parts):
    unfolded = {
        (s.strip().strip("<>").rstrip(".").lower(), " ".join(d.split()), " ".join(t.split()))
        for s, d, t in parts
    }
    assert len({message_key("", s, d, t, 0) for s, d, t in parts}) == len(unfolded)


@pytest.mark.rule("R3.20")
def test_reused_id_has_a_key_of_its_own():
    reused = distinct_key("a@x", "eve@y", "Fri")
    assert reused != key()
    assert reused == distinct_key("<a@x>", "EVE@y", "Fri")
    assert reused != distinct_key("a@x", "eve@y", "Sat")
    assert reused != distinct_key("a@x", "ada@x", "Fri")


def test_an_id_can_not_be_chosen_to_hit_a_derived_key():
    assert key("15:no-message-id") != key("")
    assert len({key(), key(""), distinct_key("a@x", "ada@x", "Thu")}) == 3


def test_key_is_a_uuid_of_its_own_making():
    assert key().version == 8
    assert key().variant == "specified in RFC 4122"


@pytest.mark.rule("R3.20")
def test_same_sender_and_date_is_the_same_message():
    tokyo = MORNING.astimezone(timezone(timedelta(hours=9)))
    assert same_message("ada@x", MORNING, "Ada@X", tokyo)
    assert same_message("ada@x", MORNING, "ada@x", MORNING.replace(microsecond=7))
    assert same_message("ada@x", None, "ada@x", None)


@pytest.mark.rule("R3.20")
def test_other_sender_or_date_is_another_message():
    assert not same_message("ada@x", MORNING, "eve@x", MORNING)
    assert not same_message("ada@x", MORNING, "ada@x", MORNING + timedelta(seconds=1))
    assert not same_message("ada@x", MORNING, "ada@x", None)
