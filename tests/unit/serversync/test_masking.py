"""Of a conversation nothing but words of the protocols and numbers comes through."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serversync.masking import AFTER_UID, COMMANDS, MECHANISMS, UNTAGGED, bare_answer, bare_command

pytestmark = pytest.mark.rule("R8.18")


@pytest.mark.parametrize(
    ("words", "kept"),
    [
        ("EHLO client.example.com", "EHLO …"),
        ("AUTH XOAUTH2 dXNlcj1hZGE=", "AUTH XOAUTH2 …"),
        ("AUTH dXNlcj1hZGE=", "AUTH …"),
        ("PASS hunter2", "PASS …"),
        ("RCPT TO:<cleo@customer.example>", "RCPT …"),
        ("ABCD12 UID FETCH 1:* (ENVELOPE)", "ABCD12 UID FETCH …"),
        ("ABCD12 SELECT Private", "ABCD12 SELECT …"),
        ("(123 octets)", "(123 octets)"),
        ("POST ews.example.com FindItem", "POST FindItem"),
        ("hunter2", "(a command)"),
        ("", "(a command)"),
    ],
)
def test_commands_keep_their_names(words, kept):
    assert bare_command(words) == kept


@pytest.mark.parametrize(
    ("words", "kept"),
    [
        ("+OK 3 messages", "+OK (14 octets)"),
        ("-ERR [AUTH] wrong for ada", "-ERR [AUTH] (25 octets)"),
        ("250 2.1.5 cleo@customer.example ok", "250 2.1.5 (34 octets)"),
        ("250-SIZE 1000", "250 (13 octets)"),
        ("ABCD12 NO hunter2", "ABCD12 NO (17 octets)"),
        ("* 3 EXISTS", "* 3 EXISTS (10 octets)"),
        ("* LIST () / Private", "* LIST (19 octets)"),
        ("* Secret list of a body", "(23 octets)"),
        ("200 ErrorItemNotFound", "200 ErrorItemNotFound (21 octets)"),
        ("Subject: merger", "(15 octets)"),
    ],
)
def test_answers_keep_their_status_and_size(words, kept):
    assert bare_answer(words) == kept


LETTERS = "abcdefghij secret:@/.\"'()<>"
KNOWN = {word.lower() for word in COMMANDS | AFTER_UID | MECHANISMS | UNTAGGED}
KNOWN |= {"", "a", "command", "octets", "ok", "no", "bad"}


@given(
    st.text(LETTERS, max_size=60), st.sampled_from(["", "250 ", "* ", "+OK ", "ABCD12 ", "UID "])
)
def test_whatever_is_said_no_word_of_it_comes_through_that_the_protocols_do_not_have(text, before):
    for kept in (bare_command(before + text), bare_answer(before + text)):
        words = "".join(c if c.isalpha() else " " for c in kept.lower()).split(" ")
        assert set(words) <= KNOWN | {"abcd", "err"}, kept
