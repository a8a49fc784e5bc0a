import email.header
import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from activities.mime.reply import forward_subject, reply_subject
from tracking.tokens import MOST_IN_SUBJECT, TokenShape, tokens_in, with_token

TOKEN = "CRM:0001001"
PREFIXES = ("CRM:",)

#: Text in which no token is hidden, of all that people write.
plain = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc", "Nd")), max_size=300)
shapes = st.builds(
    TokenShape,
    prefix=st.sampled_from(["CRM:", "crm", "Ticket #", "[案件]", "A", "x" * 20, "№"]),
    base=st.integers(0, 2_147_483_647),
    user_digits=st.integers(1, 10),
    counter_digits=st.integers(1, 9),
)


@pytest.mark.rule("R4.6", "R4.7")
@pytest.mark.parametrize(
    ("shape", "user", "counter", "token"),
    [
        (TokenShape(), 1, 1, "CRM:0001001"),
        (TokenShape(base=500), 1, 1, "CRM:0501001"),
        (TokenShape(prefix="Nr. ", user_digits=1, counter_digits=5), 7, 42, "Nr. 0700042"),
        (TokenShape(user_digits=2), 314, 1, "CRM:0314001"),
        (TokenShape(counter_digits=2), 1, 345, "CRM:000145"),
    ],
)
def test_token_is_prefix_fixed_digit_user_and_counter(shape, user, counter, token):
    assert shape.token(user, counter) == token


@pytest.mark.rule("R4.6")
def test_the_longest_token_fits_its_column():
    widest = TokenShape(prefix="x" * 20, base=2_147_483_647, user_digits=10, counter_digits=9)
    token = widest.token(99_999, 999_999_999)
    assert len(token) <= 50
    assert tokens_in(f"Re: {token}", ["x" * 20]) == (token,)


@pytest.mark.rule("R4.8")
def test_counter_starts_again_after_all_nines():
    shape = TokenShape()
    assert shape.after(1) == 2
    assert shape.after(998) == 999
    assert (shape.after(999), shape.token(1, shape.after(999))) == (0, "CRM:0001000")
    assert shape.after(0) == 1


@given(shapes, st.integers(1, 10**6), st.integers(0, 10**9 - 1))
@pytest.mark.rule("R4.6", "R4.12")
def test_every_token_that_is_written_is_found(shape, user, counter):
    token = shape.token(user, counter)
    assert token in tokens_in(f"AW: Offer {token}", [shape.prefix])


@pytest.mark.rule("R4.10")
@pytest.mark.parametrize(
    ("subject", "sent"),
    [
        ("Offer", "Offer CRM:0001001"),
        ("Offer ", "Offer CRM:0001001"),
        ("", "CRM:0001001"),
        ("RE: Offer CRM:0001001", "RE: Offer CRM:0001001"),
        ("RE: Offer crm:0001001 (was: x)", "RE: Offer crm:0001001 (was: x)"),
        ("Offer CRM:00010011", "Offer CRM:00010011 CRM:0001001"),
        ("FW: Offer CRM:0001002", "FW: Offer CRM:0001002 CRM:0001001"),
    ],
)
def test_token_goes_behind_the_subject_once(subject, sent):
    assert with_token(subject, TOKEN, 255) == sent


@pytest.mark.rule("R4.11")
def test_subject_is_cut_so_that_the_token_fits():
    sent = with_token("a" * 255, TOKEN, 255)
    assert sent == "a" * 243 + " CRM:0001001"
    assert len(sent) == 255
    assert with_token("a" * 243, TOKEN, 255) == sent
    assert with_token("a" * 256, "", 255) == "a" * 255


@pytest.mark.rule("R4.11")
def test_token_that_would_be_cut_off_moves_to_where_it_is_kept():
    assert with_token(f"Re: {TOKEN} " + "a" * 300, TOKEN, 40).endswith(f"a {TOKEN}")


@pytest.mark.rule("R4.11")
def test_token_longer_than_the_limit_is_left_out():
    assert with_token("Offer of March", TOKEN, 8) == "Offer of"
    assert with_token("Offer of March", TOKEN, len(TOKEN)) == TOKEN


def test_no_accent_is_torn_from_its_letter():
    torn = "e" * 9 + unicodedata.normalize("NFD", "é")
    assert with_token(torn, "", 10) == "e" * 9


@given(plain, st.integers(1, 300))
@pytest.mark.rule("R4.10", "R4.11")
def test_what_leaves_is_short_enough_and_stays_when_it_is_sent_again(subject, most):
    sent = with_token(subject, TOKEN, most)
    assert len(sent) <= most
    assert (TOKEN in sent) == (most >= len(TOKEN))
    assert with_token(sent, TOKEN, most) == sent


ways = st.lists(
    st.sampled_from(
        [
            reply_subject,
            forward_subject,
            str.lower,
            str.upper,
            lambda s: f"AW: {s}",
            lambda s: f"[EXTERNAL] {s} [sec=open]",
            lambda s: s[len(s) // 4 :] if TOKEN.casefold() in s[len(s) // 4 :].casefold() else s,
            lambda s: with_token(f"WG: {s}", TOKEN, 60),
            lambda s: email.header.Header(s, "utf-8", maxlinelen=10_000).encode(),
            lambda s: re.sub(r"\s+", "  ", s),
            lambda s: unicodedata.normalize("NFD", s),
        ]
    ),
    max_size=6,
)


@given(st.text(st.characters(exclude_categories=("Cs", "Cc", "Nd")), max_size=300), ways)
@pytest.mark.rule("R4.12")
def test_token_survives_answering_forwarding_prefixing_and_cutting(subject, changes):
    text = with_token(subject, TOKEN, 255)
    encoded = 0
    for change in changes:
        after = change(text)
        encoded += after.startswith("=?")
        if encoded > 2 or (encoded and change in (str.lower, str.upper)):
            break  # nobody reads that any more
        text = after
    assert TOKEN in tokens_in(text, PREFIXES)


@pytest.mark.rule("R4.12")
@pytest.mark.parametrize(
    "subject",
    [
        "CRM:0001001",
        "Re: Offer crm:0001001",
        "Re:CRM:0001001 Offer",
        "Offer [CRM:0001001]",
        "Re: Offer CRM：0001001",
        "Re: Offer ＣＲＭ：０００１００１",
        "Re: Offer CRM:\u200b0001001",
        "Re: Offer CRM:  0001001",
        "Re: =?utf-8?Q?Offer_CRM:0001001?=",
        "=?utf-8?B?UmU6IENSTTowMDAxMDAx?=",
    ],
)
def test_token_is_found_anywhere_in_any_case(subject):
    assert tokens_in(subject, PREFIXES) == (TOKEN,)


@pytest.mark.rule("R4.12")
@pytest.mark.parametrize(
    "subject", ["", "Offer", "CRM:", "CRM: 12", "0001001", "CR:0001001", "CRM:" + "1" * 40]
)
def test_other_text_is_no_token(subject):
    assert tokens_in(subject, PREFIXES) == ()


@pytest.mark.rule("R4.12")
def test_former_prefixes_are_found_and_written_as_they_were():
    found = tokens_in("RE: old:0001001 and NEW-0001002", ["New-", "Old:", "CRM:"])
    assert found == ("New-0001002", "Old:0001001")


def test_prefixes_that_are_alike_give_every_text_that_may_be_stored():
    assert set(tokens_in("crm:0001001", ["CRM:", "crm:", "M:"])) == {
        "CRM:0001001",
        "crm:0001001",
        "M:0001001",
    }


@pytest.mark.rule("R4.12")
@given(st.integers(0, len(TOKEN) - 1))
def test_token_that_was_cut_is_taken_for_no_other(end):
    full = {TokenShape().token(user, counter) for user in range(3) for counter in range(1000)}
    assert not full & set(tokens_in(f"Offer {TOKEN[:end]}", PREFIXES))


def test_subject_full_of_tokens_gives_the_last_ones():
    subject = " ".join(f"CRM:0001{n:03}" for n in range(500))
    found = tokens_in(subject, PREFIXES)
    assert len(found) == MOST_IN_SUBJECT
    assert found[0] == "CRM:0001499"
