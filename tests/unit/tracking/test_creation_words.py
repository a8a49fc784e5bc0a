"""Every note that a decision can carry has a sentence, and none fails for what it lacks."""

import pytest

from tracking.choices import Outcome
from tracking.creation import Creation, Note, Said, Why
from tracking.creation_words import data_of, lines_of
from tracking.telling import sentences
from tracking.trace import without_personal

ABOUT = {"rule": "Requests", "queue": "Support", "owner": "Ada", "address": "rita@customer.example"}


@pytest.mark.parametrize("why", Why)
@pytest.mark.parametrize("said", Said)
def test_every_note_is_a_sentence(said, why):
    for about in ({}, ABOUT):
        ((text, rule),) = lines_of(data_of(Creation(notes=(Note(said, why, about),))))

        assert text.endswith(".")
        assert "%(" not in text
        assert rule in ("R3.57", "R3.58", "R3.59")


@pytest.mark.parametrize("why", [why for why in Why if why not in (Why.OPTION, Why.RULE)])
def test_reasons_are_told_in_words(why):
    """None shows as the word that is stored."""
    said = Said.NO_PERSON if why == Why.LEAD_BESIDE_RULE else Said.NO_CASE
    ((text, _rule),) = lines_of([{"said": said.value, "why": why.value, **ABOUT}])

    assert not text.endswith(f": {why.value}.")


@pytest.mark.parametrize("stored", [None, "x", 7, [7], [{}], [{"said": "moon"}], {"said": "case"}])
def test_what_nobody_understands_is_left_unsaid(stored):
    assert list(lines_of(stored)) == []


def test_it_stands_among_the_sentences_of_the_decision_until_the_retention_ends():
    note = Note(
        Said.PERSON, Why.OPTION, {"kind": "activities.contact", "name": "Rita", "who": "Ada"}
    )
    data = {"outcome": Outcome.TRACKED.value, "made": data_of(Creation(notes=(note,)))}

    told = "\n".join(str(line) for line in sentences(data))
    assert "Made: contact Rita of the unknown sender" in told
    assert "Rita" not in str(without_personal(data))
