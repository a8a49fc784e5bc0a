"""Why something was decided, in words."""

import inspect
import re

import pytest

from serversync.act import deletes, guard, meetings, merging, reasons, reconcile, series, tasks
from serversync.act.reasons import REASONS, advice, reason_of, sentence, sentences
from serversync.act.types import Question, Reason

DECIDING = (deletes, guard, meetings, merging, reconcile, series, tasks)


def codes_in_source():
    """Everything in the deciding modules that looks like a code and stands where one is given."""
    patterns = (
        r'Reason\("(\w+)"',
        r'(?:_stay\(pair, |_forget\(|unlink\()"(\w+)"',
        r', "(\w+)"\),\n',
    )
    source = "".join(inspect.getsource(module) for module in DECIDING)
    return {code for pattern in patterns for code in re.findall(pattern, source)}


def test_every_code_that_is_given_has_its_words():
    given = codes_in_source() | {case.value for case in deletes.Case} | guard.STOPS
    given |= {question.value for question in Question}
    given |= {f"{question.value}_declined" for question in Question}
    given |= {each.otherwise for _, _, row in deletes.TABLE for each in row}
    given |= {code for table in (meetings.NOT_SENT, meetings.NOT_TAKEN) for _, code in table}
    assert len(given) > 40
    assert given <= REASONS.keys(), given - REASONS.keys()


@pytest.mark.parametrize("code", REASONS)
def test_every_reason_names_a_rule_and_says_what_it_is(code):
    assert re.fullmatch(r"R\d+\.\d+a?", REASONS[code].rule)
    assert str(REASONS[code].sentence).endswith(".")


def test_a_reason_is_a_sentence_with_its_rule():
    told = Reason("too_many_deletes", {"count": 12, "allowed": 10, "linked": 300})
    expected = "12 would be deleted or called off; 10 are allowed of 300 linked. (R6.46)"
    assert sentence(told) == expected
    assert sentences([told]) == [expected]
    assert advice(told)


def test_what_another_version_stored_is_told_all_the_same():
    assert sentence(reason_of({"code": "of_tomorrow"})) == "of_tomorrow"
    assert advice(reason_of({"code": "of_tomorrow"})) == ""
    assert "…" in sentence(reason_of({"code": "attendees_told"}))
    assert reasons.reason_of({}) == Reason("")
