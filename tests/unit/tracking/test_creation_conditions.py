import time

import pytest

from activities.mime.message import Address, Attachment, ParsedMessage
from tracking.conditions import Asked, Question, all_hold, fault_of, holds, words
from tracking.resolution import Match


def asked(sender=None, **columns):
    columns = {"subject": "Refund, please", "text": "I want my MONEY back"} | columns
    return Asked(
        ParsedMessage(
            size=1,
            body_size=1,
            senders=(Address("Rita@Customer.example"),),
            to=(Address("support@example.com"),),
            cc=(Address("ben@example.com"),),
            **columns,
        ),
        sender,
    )


RITA = Match(kind="activities.contact", id="1", name="Rita")
FILE = Attachment("a.pdf", "application/pdf", b"")
PICTURE = Attachment("a.png", "image/png", b"", inline=True)


@pytest.mark.parametrize(
    ("question", "value", "message", "expected"),
    [
        ("subject_contains", "REFUND", {}, True),
        ("subject_contains", "order; refund", {}, True),
        ("subject_contains", "order", {}, False),
        ("subject_lacks", "order", {}, True),
        ("subject_lacks", "order; refund", {}, False),
        ("subject_matches", r"^Ref\w+,", {}, True),
        ("subject_matches", r"^please", {}, False),
        ("body_contains", "money", {}, True),
        ("body_contains", "money", {"text": "", "html": "<p>mon<b>ey</b></p>"}, True),
        ("body_lacks", "money", {}, False),
        ("sender_is", "rita@customer.EXAMPLE", {}, True),
        ("sender_is", "ann@customer.example; rita@customer.example", {}, True),
        ("sender_is", "ann@customer.example", {}, False),
        ("sender_domain", "Customer.example", {}, True),
        ("sender_domain", "other.customer.example", {}, False),
        ("recipient_is", "ben@example.com", {}, True),
        ("recipient_is", "rita@customer.example", {}, False),
        ("sender_known", "", {}, False),
        ("sender_unknown", "", {}, True),
        ("sender_known", "", {"sender": RITA}, True),
        ("sender_contact", "", {"sender": RITA}, True),
        ("sender_account", "", {"sender": RITA}, False),
        ("importance_high", "", {}, False),
        ("importance_high", "", {"importance": 2}, True),
        ("has_attachment", "", {"attachments": (PICTURE,)}, False),
        ("has_attachment", "", {"attachments": (PICTURE, FILE)}, True),
        ("no_attachment", "", {}, True),
    ],
)
def test_condition(question, value, message, expected):
    assert holds({"test": question, "value": value}, asked(**message)) is expected


def test_every_question_is_answered():
    for question in Question.values:
        assert holds({"test": question, "value": "x"}, asked()) in (True, False)


@pytest.mark.parametrize(
    "broken", [{}, {"test": "moon_phase"}, {"test": "subject_matches", "value": "("}]
)
def test_what_nobody_understands_does_not_hold(broken):
    assert not holds(broken, asked())


def test_all_conditions_of_an_item_must_hold():
    refund = {"test": "subject_contains", "value": "refund"}
    known = {"test": "sender_known"}

    assert all_hold([], asked())
    assert all_hold([refund], asked())
    assert not all_hold([refund, known], asked())
    assert all_hold([refund, known], asked(sender=RITA))


def test_a_pattern_that_never_ends_is_given_up():
    subject = "a" * 200 + "!"
    begun = time.monotonic()

    assert not holds({"test": "subject_matches", "value": r"(a|aa)+$"}, asked(subject=subject))
    assert time.monotonic() - begun < 2


@pytest.mark.parametrize(
    ("question", "value", "said"),
    [
        ("", "x", "Choose what is asked"),
        ("moon_phase", "x", "Choose what is asked"),
        ("subject_contains", " ; ", "what to look for"),
        ("subject_matches", "", "what to look for"),
        ("subject_matches", "(", "no regular expression"),
        ("sender_is", "rita", "“rita” is no address"),
        ("sender_domain", "rita@customer.example", "is no domain"),
        ("sender_domain", "customer", "is no domain"),
        ("body_contains", "x" * 501, "longer than 500"),
    ],
)
def test_a_broken_condition_is_refused_in_words(question, value, said):
    assert said in fault_of(question, value)


@pytest.mark.parametrize(
    ("question", "value"),
    [
        ("subject_contains", "a; b"),
        ("subject_matches", r"\d+"),
        ("sender_is", "a@b.example; c@d.example"),
        ("sender_domain", "b.example"),
        ("has_attachment", ""),
    ],
)
def test_a_good_condition_has_no_fault(question, value):
    assert fault_of(question, value) == ""


def test_conditions_in_words():
    assert words(
        [{"test": "sender_domain", "value": "customer.example"}, {"test": "sender_known"}]
    ) == ["sender's domain is “customer.example”", "sender is known"]
