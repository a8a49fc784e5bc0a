"""What is kept of mail that was not tracked."""

import json
from dataclasses import replace

import pytest

from activities.mime.message import Attachment, MessageKind, ParsedMessage
from activities.mime.parse import parse
from tests.messages import FOLDER
from tests.unit.tracking.builders import addresses, message
from tracking.kept import MOST_ADDRESSES, facts_of, message_from
from tracking.trace import without_personal

CORPUS = sorted(str(path.relative_to(FOLDER)) for path in FOLDER.rglob("*.eml"))


def reduced(message: ParsedMessage) -> ParsedMessage:
    """Without what no decision about it reads."""
    report = message.report
    if report is not None:
        lean = tuple(replace(one, diagnostic="") for one in report.recipients)
        report = replace(report, recipients=lean, returned_subject="")
    files = tuple(replace(file, content=b"", content_id="") for file in message.attachments)
    return replace(
        message,
        html="",
        text="",
        attachments=files,
        report=report,
        headers_json="",
        own_header="kept" if message.own_header else "",
        defects=(),
        path="careful",
    )


@pytest.mark.parametrize("name", CORPUS)
def test_a_message_comes_back_as_far_as_decisions_read_it(name: str) -> None:
    original = parse((FOLDER / name).read_bytes())
    kept = json.loads(json.dumps(facts_of(original)))
    assert message_from(kept, original.subject) == reduced(original)


def test_neither_subject_nor_body_nor_contents_are_kept() -> None:
    file = Attachment("offer.pdf", "application/pdf", b"secret content")
    whole = message(subject="secret subject", text="secret text", html="<p>secret</p>")
    kept = json.dumps(facts_of(replace(whole, attachments=(file,))))
    assert "secret" not in kept
    assert "offer.pdf" in kept


def test_what_is_empty_takes_no_place() -> None:
    assert facts_of(message(to=addresses("ben@example.org"))) == {
        "size": 1200,
        "body_size": 800,
        "senders": [["ada@example.com", "Ada"]],
        "to": ["ben@example.org"],
    }


def test_a_message_to_too_many_leaves_only_their_number() -> None:
    crowd = addresses(*(f"a{number}@example.org" for number in range(MOST_ADDRESSES)))
    kept = facts_of(message(to=crowd))
    assert kept == {"addresses": MOST_ADDRESSES + 1}
    assert message_from(kept, "Hello") is None
    fits = message_from(facts_of(message(to=crowd[1:])), "Hello")
    assert fits is not None
    assert len(fits.to) == MOST_ADDRESSES - 1


def test_first_and_last_references_stay() -> None:
    ids = tuple(f"{number}@example.org" for number in range(200))
    again = message_from(facts_of(message(references=ids)), "")
    assert again is not None
    assert again.references == (ids[0], *ids[-49:])


def test_nothing_comes_of_facts_that_were_not_kept() -> None:
    assert message_from({}, "Hello") is None


@pytest.mark.rule("R3.73")
def test_the_end_of_keeping_takes_them_away() -> None:
    whole = message(to=addresses("ben@example.org"), kind=MessageKind.LIST, list_id="news")
    data = {"v": 1, "outcome": "rejected", "facts": facts_of(whole)}
    assert without_personal(data) == {"v": 1, "outcome": "rejected", "blanked": True}
