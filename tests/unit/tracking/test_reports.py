from datetime import UTC, datetime, timedelta
from itertools import permutations
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from activities.choices import CorrelationMethod, DeliveryResult, Direction
from activities.mime.message import DeliveryReport, MessageKind, ReportedRecipient
from tests.unit.tracking.builders import message, stored
from tracking.choices import AttemptOutcome, CorrelationStep, ReportWay
from tracking.correlate import CorrelationCandidates, CorrelationSwitches, correlate, wanted
from tracking.report_words import Report, data_of, lines_of
from tracking.reports import (
    MOST_DETAIL,
    About,
    about,
    addresses_to_look_for,
    effect_of,
    news_of,
    replaces,
    result_of,
)

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
CLEO, DAN, ADA = "cleo@customer.example", "dan@customer.example", "ada@example.com"
BOUNCED, UNDELIVERED = DeliveryResult.BOUNCED, DeliveryResult.UNDELIVERED
HARD = ReportedRecipient(
    address=CLEO, action="failed", status="5.1.1", diagnostic="no such user", hard=True
)


def report(*recipients, kind=MessageKind.BOUNCE, **fields):
    fields = {"recipients": recipients or (HARD,), **fields}
    return message(kind=kind, report=DeliveryReport(**fields))


def email(*to, number=1, days=0, **fields):
    fields = {"subject": "Offer", "at": NOW - timedelta(days=days), **fields}
    return stored(
        f"{number}@example.com",
        id=UUID(int=number),
        sender=ADA,
        participants=(ADA, *(to or (CLEO,))),
        **fields,
    )


def found(one, *sent, by_id=()):
    return about(one, CorrelationCandidates(by_id), list(sent), NOW)


def returned(**fields):
    return {
        "returned_subject": "Offer",
        "returned_to": (CLEO,),
        "returned_date": NOW - timedelta(minutes=1),
        **fields,
    }


# -- which email


def test_ordinary_mail_is_about_nothing():
    assert found(message(), email()) is None


@pytest.mark.rule("R5.21")
def test_the_id_that_is_returned_finds_the_email():
    one = email()
    choice = found(report(message_id="<1@example.com>"), email(number=2), by_id=[one])
    assert (choice.way, choice.email, choice.is_certain) == (ReportWay.MESSAGE_ID, one, True)


@pytest.mark.rule("R5.21")
def test_what_came_in_was_not_sent_from_here():
    came = email(direction=Direction.INCOMING)
    assert found(report(message_id="1@example.com"), by_id=[came]).email is None


@pytest.mark.rule("R5.21")
@pytest.mark.parametrize(
    ("fields", "matches"),
    [
        ({}, True),
        ({"returned_subject": " offer "}, True),
        ({"returned_subject": "Re: Offer"}, False),
        ({"returned_to": (CLEO.upper(),)}, True),
        ({"returned_to": (CLEO, DAN)}, False),
        ({"returned_to": ()}, False),
        ({"returned_date": NOW - timedelta(days=2)}, False),
        ({"returned_date": None}, False),
    ],
)
def test_a_returned_header_must_fit_as_a_whole(fields, matches):
    one = report(message_id="rewritten@mx.example", **returned(**fields))
    choice = found(one, email())
    assert (choice.way == ReportWay.HEADER) is matches
    assert (choice.email is not None) is matches


@pytest.mark.rule("R5.21")
def test_a_header_of_mail_to_somebody_else_is_not_believed():
    stranger = ReportedRecipient(address=DAN, action="failed", hard=True)
    assert found(report(stranger, **returned()), email()).email is None


@pytest.mark.rule("R5.21")
def test_without_id_and_header_it_is_the_newest_to_all_who_are_told_of():
    dan = ReportedRecipient(address=DAN, action="failed")
    older, newer = email(CLEO, DAN, number=1, days=3), email(CLEO, DAN, number=2, days=2)
    choice = found(report(HARD, dan), older, newer, email(CLEO, number=3))
    assert (choice.way, choice.email, choice.of) == (ReportWay.RECIPIENT, newer, 2)
    assert not choice.is_one


@pytest.mark.rule("R5.21")
@pytest.mark.parametrize("days", [8, -1])
def test_nobody_guesses_at_old_mail_or_at_what_was_sent_later(days):
    assert found(report(), email(days=days)).email is None


@pytest.mark.rule("R5.21")
def test_an_id_from_elsewhere_is_no_matter_of_mail_to_the_same_address():
    one = report(message_id="spam@elsewhere.example")
    assert found(one, email()).way == ReportWay.NONE
    assert addresses_to_look_for(one, CorrelationCandidates()) == set()


@pytest.mark.rule("R5.21")
def test_a_subject_that_is_told_must_not_contradict():
    assert found(report(returned_subject="Invoice"), email()).email is None
    assert found(report(returned_subject="Offer"), email()).way == ReportWay.RECIPIENT


def test_addresses_are_looked_for_as_written_and_in_lower_case():
    one = report(ReportedRecipient(address="Cleo@Customer.example"), returned_to=(DAN, "nobody"))
    looked_for = addresses_to_look_for(one, CorrelationCandidates())
    assert looked_for == {"Cleo@Customer.example", CLEO, DAN}
    assert addresses_to_look_for(message(), CorrelationCandidates()) == set()


@pytest.mark.rule("R5.21")
def test_nothing_is_looked_for_where_the_id_is_ours():
    candidates = CorrelationCandidates([email()])
    assert addresses_to_look_for(report(message_id="1@example.com"), candidates) == set()


# -- correlation


@pytest.mark.rule("R5.21")
def test_a_report_on_sent_mail_answers_it():
    one, ours = report(message_id="1@example.com", **returned()), email(subject="Other")
    correlation = correlate(one, CorrelationCandidates([ours]), CorrelationSwitches())
    assert (correlation.email, correlation.method) == (ours, CorrelationMethod.CUSTOM)
    assert correlation.parent_id is None
    assert not correlation.subject_changed
    assert wanted([one], CorrelationSwitches()).message_ids == {"1@example.com"}


@pytest.mark.rule("R5.21")
def test_switched_off_reports_are_ordinary_mail():
    off = CorrelationSwitches(reports=False)
    one = report(message_id="1@example.com")
    correlation = correlate(one, CorrelationCandidates([email()]), off)
    assert not correlation.matched
    assert CorrelationStep.REPORT not in {attempt.step for attempt in correlation.tried}
    assert wanted([one], off).message_ids == set()


@pytest.mark.parametrize(
    ("named", "outcome"),
    [("", AttemptOutcome.NOTHING_TO_LOOK_FOR), ("x@y.example", AttemptOutcome.NOT_FOUND)],
)
def test_a_report_without_a_known_id_answers_nothing(named, outcome):
    one = report(message_id=named)
    tried = correlate(one, CorrelationCandidates([email()]), CorrelationSwitches()).tried
    assert [a.outcome for a in tried if a.step == CorrelationStep.REPORT] == [outcome]


# -- what it tells


@pytest.mark.rule("R5.21")
@pytest.mark.parametrize(
    ("kind", "action", "hard", "result"),
    [
        (MessageKind.BOUNCE, "failed", True, BOUNCED),
        (MessageKind.BOUNCE, "failed", False, UNDELIVERED),
        (MessageKind.BOUNCE, "", False, UNDELIVERED),
        (MessageKind.BOUNCE, "delivered", False, DeliveryResult.DELIVERED),
        (MessageKind.DELAY, "delayed", False, DeliveryResult.DELAYED),
        (MessageKind.DELAY, "", False, DeliveryResult.DELAYED),
        (MessageKind.RECEIPT, "displayed", False, DeliveryResult.READ),
        (MessageKind.RECEIPT, "deleted", False, DeliveryResult.DELIVERED),
        (MessageKind.RECEIPT, "relayed", False, None),
        (MessageKind.RECEIPT, "failed", False, None),
        (MessageKind.COMPLAINT, "complaint", False, DeliveryResult.COMPLAINED),
        (MessageKind.COMPLAINT, "not-spam", False, None),
    ],
)
def test_what_an_action_means(kind, action, hard, result):
    assert result_of(kind, ReportedRecipient(action=action, hard=hard)) == result


@pytest.mark.rule("R5.21")
def test_only_who_is_named_is_told_of():
    (news,) = news_of(report(), email(CLEO, DAN))
    assert (news.address, news.result, news.named) == (CLEO, BOUNCED, True)
    assert news.detail == "5.1.1 no such user"


@pytest.mark.rule("R5.21")
def test_another_address_is_where_the_only_recipients_mail_was_passed_on_to():
    elsewhere = ReportedRecipient(address="c@home.example", action="failed", status="5.1.1")
    (news,) = news_of(report(elsewhere), email(CLEO))
    assert (news.address, news.named, news.detail) == (CLEO, False, "c@home.example: 5.1.1")
    assert news_of(report(elsewhere), email(CLEO, DAN)) == ()


def test_a_report_without_recipients_speaks_of_the_only_one():
    one = message(kind=MessageKind.RECEIPT, report=DeliveryReport())
    (news,) = news_of(one, email(CLEO))
    assert (news.result, news.named) == (DeliveryResult.DELIVERED, False)
    assert news_of(one, email(CLEO, DAN)) == ()


def test_of_two_words_on_one_recipient_the_weightier_counts():
    late = ReportedRecipient(address=CLEO.upper(), action="delayed")
    for told in permutations((late, HARD)):
        (news,) = news_of(report(*told), email(CLEO, DAN))
        assert news.result == BOUNCED


def test_details_are_bounded_and_printable():
    long = ReportedRecipient(address=CLEO, action="failed", diagnostic="a\x00\n" + "b" * 900)
    (news,) = news_of(report(long), email())
    assert len(news.detail) == MOST_DETAIL
    assert news.detail.isprintable()


@given(st.lists(st.sampled_from(DeliveryResult), max_size=6))
def test_the_order_in_which_reports_come_makes_no_difference(results):
    def after(some):
        known = DeliveryResult.ACCEPTED
        for result in some:
            known = result if replaces(result, known) else known
        return known

    assert after(results) == after(reversed(results))


@pytest.mark.rule("R5.21")
def test_bad_news_is_not_undone_by_good_news_from_on_the_way():
    for good in (DeliveryResult.ACCEPTED, DeliveryResult.DELAYED, DeliveryResult.DELIVERED):
        assert replaces(BOUNCED, good) and not replaces(good, BOUNCED)
    assert replaces(DeliveryResult.READ, BOUNCED)
    assert not any(replaces(result, DeliveryResult.REFUSED) for result in DeliveryResult)


@pytest.mark.rule("R5.21")
@pytest.mark.parametrize(
    ("way", "of", "tracked", "noted"),
    [
        (ReportWay.MESSAGE_ID, 1, True, True),
        (ReportWay.MESSAGE_ID, 1, False, True),
        (ReportWay.HEADER, 1, True, True),
        (ReportWay.HEADER, 1, False, False),
        (ReportWay.RECIPIENT, 1, True, True),
        (ReportWay.RECIPIENT, 2, True, False),
    ],
)
def test_a_guess_counts_only_if_it_is_tracked_and_the_only_one(way, of, tracked, noted):
    effect = effect_of(report(), About(way=way, email=email(), of=of), tracked=tracked, at=NOW)
    assert (effect is not None) is noted
    assert effect is None or effect.certain is (way == ReportWay.MESSAGE_ID)


# -- in words


@pytest.mark.rule("R5.21", "R8.33")
@pytest.mark.parametrize("way", ReportWay)
@pytest.mark.parametrize("tracked", [True, False])
def test_every_way_has_its_words(way, tracked):
    choice = About(way=way, email=email() if way != ReportWay.NONE else None, looked_for="x")
    effect = effect_of(report(), choice, tracked=tracked, at=NOW)
    lines = [text for text, rule in lines_of(data_of(Report(report(), choice, effect)))]
    assert lines[0].startswith("Bounce: ")
    if way == ReportWay.NONE:
        assert len(lines) == 1
        return
    assert lines[1] == f"It tells of {CLEO}: Undelivered for good. 5.1.1 no such user"
    assert lines[2].startswith("That is noted" if effect else "Nothing is noted")


@pytest.mark.parametrize("data", [None, [], {}, {"by": "x"}, {"by": "header", "told": [3, {}]}])
def test_what_nobody_understands_is_left_unsaid(data):
    assert all(isinstance(text, str) for text, _rule in lines_of(data))
