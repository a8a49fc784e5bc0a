"""The path of mail that is sent: each way in which it ends, or waits."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from activities.choices import EmailStatus
from serversync.choices import SubmissionState
from serversync.sendpath import Attempt, Sending, path_of
from tracking.choices import StationState
from tracking.stations import Station

NOW = datetime(2026, 3, 1, 8, tzinfo=UTC)
LATER = NOW + timedelta(hours=2)
CLAIMED = Attempt(number=1, state=SubmissionState.CLAIMED, claimed_at=NOW)
SENT = replace(
    CLAIMED,
    state=SubmissionState.ACCEPTED,
    handed_over_at=NOW,
    finished_at=NOW,
    reply="250 taken",
)
SUBMITTED = Sending(
    status=EmailStatus.PENDING_SEND,
    now=NOW,
    written_at=NOW,
    written_by="Ada",
    submitted_at=NOW,
    submitted_by="Ben",
    mailbox="Support",
)


def stations(sending: Sending) -> dict[str, Station]:
    return {one.key: one for phase in path_of(sending) for one in phase.stations}


def with_attempts(status: EmailStatus, *attempts: Attempt, **fields) -> dict[str, Station]:
    return stations(replace(SUBMITTED, status=status, attempts=attempts, **fields))


def test_a_draft_was_asked_nothing_yet():
    found = stations(Sending(status=EmailStatus.DRAFT, now=NOW, written_by="Ada"))
    assert found["written"].phrase == "By Ada"
    left = {key: one.state for key, one in found.items() if key != "written"}
    assert set(left.values()) == {StationState.UNASKED}


def test_an_answer_of_a_rule_has_no_author():
    written = stations(replace(SUBMITTED, is_automatic=True))["written"]
    assert (written.phrase, written.rule) == ("By a rule, as its answer", "R3.59")


@pytest.mark.parametrize(
    ("fields", "phrase", "rule"),
    [
        ({}, "For its mailbox's turn", "R5.8"),
        ({"not_before": LATER}, "Until 2026-03-01 10:00 UTC", "R5.6"),
        ({"postponed_until": LATER}, "It can be undone until 2026-03-01 10:00 UTC", "R5.2"),
        (
            {"postponed_until": LATER, "error_code": "Timeout"},
            "Tried again at 2026-03-01 10:00 UTC",
            "R5.12",
        ),
    ],
)
def test_what_waits_says_for_what(fields, phrase, rule):
    waiting = stations(replace(SUBMITTED, why="It waits because of that.", **fields))["waiting"]
    assert (waiting.phrase, waiting.rule) == (phrase, rule)
    assert waiting.state == StationState.WAITING
    assert [one.text for one in waiting.details][-1] == "It waits because of that."


def test_accepted_mail_went_all_the_way():
    found = with_attempts(EmailStatus.SENT, SENT, copies=("Support",))
    assert found["claimed"].phrase == "Attempt 1, 2026-03-01 08:00 UTC"
    assert found["answer"].state == StationState.DECIDED
    assert found["outcome"].name == "Sent"
    assert found["copy"].phrase == "In sent items"


@pytest.mark.parametrize(
    ("fields", "attempt", "phrase", "state"),
    [
        ({}, replace(SENT, copy_filed=True), "Filed by the server as it took it", "done"),
        ({"copy_waits": True}, SENT, "Filed with the next cycle", "waiting"),
        ({}, SENT, "None is known of", "unasked"),
    ],
)
def test_the_copy_in_sent_items(fields, attempt, phrase, state):
    copy = with_attempts(EmailStatus.SENT, attempt, **fields)["copy"]
    assert (copy.phrase, copy.state) == (phrase, state)


def test_recipients_who_were_refused_are_named():
    partly = replace(SENT, refused=("gus@example.com: 550 unknown.",))
    answer = with_attempts(EmailStatus.SENT, partly)["answer"]
    assert answer.phrase == "Accepted, but not for all"
    assert answer.details[-1].rule == "R5.16"


@pytest.mark.parametrize(
    ("permanent", "phrase"), [(True, "Refused for good"), (False, "Refused for now")]
)
def test_what_the_server_refused_stopped_there(permanent, phrase):
    refused = replace(SENT, state=SubmissionState.REFUSED, permanent=permanent, reply="550 no")
    found = with_attempts(EmailStatus.FAILED, refused, error_code="Refused")
    assert (found["answer"].phrase, found["answer"].state) == (phrase, StationState.STOPPED)
    assert found["outcome"].state == StationState.ENDED


def test_an_unknown_outcome_waits_for_a_look_or_for_a_person():
    unknown = replace(SENT, state=SubmissionState.UNKNOWN, look_again_at=LATER)
    answer = with_attempts(EmailStatus.SENDING, unknown)["answer"]
    assert (answer.state, answer.rule) == (StationState.STOPPED, "R5.17")
    assert "looked for in sent items" in answer.details[-1].text
    answer = with_attempts(EmailStatus.SENDING, replace(unknown, look_again_at=None))["answer"]
    assert answer.details[-1].text == "A person decides whether it left."


def test_what_is_on_its_way_has_no_answer_yet():
    found = with_attempts(EmailStatus.SENDING, CLAIMED)
    assert found["handed_over"].state == StationState.UNASKED
    assert found["answer"].state == StationState.WAITING


def test_earlier_attempts_are_told_in_a_line():
    released = replace(CLAIMED, state=SubmissionState.RELEASED, reply="Line cut.")
    found = with_attempts(EmailStatus.SENT, released, replace(SENT, number=2))
    assert found["claimed"].phrase.startswith("Attempt 2")
    assert [one.text for one in found["claimed"].details] == [
        "Attempt 1: Not handed over; may be tried again. Line cut."
    ]


def test_what_did_not_leave_waits_again():
    released = replace(CLAIMED, state=SubmissionState.RELEASED)
    found = with_attempts(EmailStatus.PENDING_SEND, released)
    assert found["answer"].phrase == "It did not leave"
    assert found["waiting"].state == StationState.WAITING


def test_reports_that_came_back_are_counted():
    found = with_attempts(EmailStatus.SENT, SENT, came_back=2)
    assert (found["came_back"].phrase, found["came_back"].rule) == ("2 reports", "R5.21")
