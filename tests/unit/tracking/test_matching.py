import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailboxes.models.organization import NOISE
from tracking.matching import (
    NOISE_SECONDS,
    Hashes,
    MatchRules,
    Noise,
    hash_of,
    hashes_of,
    score,
    telling_addresses,
    telling_words,
    words_of,
)

RULES = MatchRules(noise=Noise(NOISE))
PEOPLE = ("cleo@customer.example", "support@example.com", "ada@example.com")

words = st.lists(st.sampled_from("abcdefgh"), max_size=8).map(" ".join)
people = st.lists(st.sampled_from([f"{n}@x.example" for n in range(6)]), max_size=6).map(tuple)
rules = st.builds(
    MatchRules,
    most=st.integers(0, 8),
    subjects_may_differ=st.integers(0, 4),
    addresses_needed=st.integers(0, 4),
)


def match(subject, earlier, mine=PEOPLE, theirs=PEOPLE, by=RULES) -> bool:
    return score(hashes_of(subject, mine, by), hashes_of(earlier, theirs, by), by).is_match


@pytest.mark.rule("R4.15")
@pytest.mark.parametrize(
    ("subject", "left"),
    [
        ("RE: Offer for you", ("offer", "for", "you")),
        ("AW : Re: FW:Offer", ("offer",)),
        ("Aufgabe: Projekt: Offer", ("offer",)),
        ("  Offer  of\tMarch ", ("offer", "of", "march")),
        ("Offer: March", ("march",)),
        ("Out of office: Offer", ("out", "of", "office:", "offer")),
        ("Re：Offer", ("offer",)),
        ("Offer Offer offer", ("offer",)),
        ("Offer CRM:0001001", ("offer", "crm:0001001")),
        ("Re:", ()),
    ],
)
def test_noise_is_taken_off_the_front_and_the_rest_are_words(subject, left):
    assert words_of(subject, RULES) == left


@pytest.mark.rule("R4.15")
def test_the_first_20_of_each_are_kept_and_case_is_ignored():
    long = hashes_of(" ".join(map(str, range(50))), [f"{n}@x" for n in range(50)], RULES)
    assert long.subject == tuple(hash_of(str(n)) for n in range(20))
    assert long.addresses == tuple(hash_of(f"{n}@x") for n in range(20))
    assert hashes_of("OFFER", (), RULES) == hashes_of("offer", (), RULES)


def test_hash_is_the_same_on_every_machine_and_fits_its_column():
    assert hash_of("offer") == hash_of("offer") != hash_of("offers")
    assert all(-(2**31) <= hash_of(str(n)) < 2**31 for n in range(1000))
    assert hash_of("\udcff")


@pytest.mark.rule("R4.16")
@pytest.mark.parametrize(
    ("subject", "earlier", "differ", "is_match"),
    [
        ("RE: Offer of March", "Offer of March", 0, True),
        ("March of Offer", "Offer of March", 0, True),
        ("Offer of April", "Offer of March", 0, False),
        ("Offer of April", "Offer of March", 1, True),
        ("Offer", "Offer of March", 1, False),
        ("Offer", "Offer of March", 2, True),
        ("", "", 0, False),
        ("Re:", "Re:", 5, False),
        ("Invoice", "Offer", 5, False),
    ],
)
def test_common_subject_hashes_are_those_of_the_longer_list_less_the_difference(
    subject, earlier, differ, is_match
):
    by = MatchRules(noise=RULES.noise, subjects_may_differ=differ)
    assert match(subject, earlier, by=by) is is_match


@pytest.mark.rule("R4.16")
@pytest.mark.parametrize(("needed", "is_match"), [(0, True), (1, True), (2, True), (3, False)])
def test_enough_addresses_have_to_be_common(needed, is_match):
    by = MatchRules(addresses_needed=needed)
    mine, theirs = PEOPLE[:2], (*PEOPLE[:2], "other@x.example")
    assert match("Offer", "Offer", mine, theirs, by) is is_match


@given(words, words, people, people, rules)
@pytest.mark.rule("R4.16")
def test_matching_is_the_same_both_ways(one, other, mine, theirs, by):
    assert match(one, other, mine, theirs, by) == match(other, one, theirs, mine, by)


@given(words, words, people, people, st.sets(st.sampled_from("012345")), rules)
def test_a_match_is_never_missed_by_the_few_hashes_that_are_looked_up(
    one, other, mine, theirs, own, by
):
    own = {f"{n}@x.example" for n in own}
    if match(one, other, mine, theirs, by):
        stored = hashes_of(other, theirs, by)
        assert set(telling_words(one, by)) & set(stored.subject)
        if by.addresses_needed:
            assert set(telling_addresses(mine, own, by)) & set(stored.addresses)


def test_few_hashes_are_looked_up_and_those_that_tell_most():
    assert telling_words("Re: your order 4711 please", RULES) == (hash_of("4711"),)
    assert telling_addresses(PEOPLE, {"support@example.com"}, RULES) == (
        hash_of("cleo@customer.example"),
        hash_of("ada@example.com"),
    )
    assert telling_addresses(PEOPLE, (), MatchRules(addresses_needed=0)) == ()


#: Expressions that never end, and a subject on which they don't.
ENDLESS = [(r"^(a|aa)+$", "a" * 200 + "!"), (r"^(([a-z])+.)+[A-Z]([a-z])+$", "a" * 780 + "!")]


@pytest.mark.parametrize(("pattern", "subject"), ENDLESS)
def test_endless_noise_costs_its_time_once_and_is_left_alone_then(pattern, subject):
    noise = Noise(pattern)
    started = time.monotonic()
    for _ in range(100):
        assert noise.off(subject) == subject
    assert time.monotonic() - started < 100 * NOISE_SECONDS
    assert noise.trouble == "timeout"
    assert noise.off("aa") == "aa"


@pytest.mark.parametrize("pattern", ["(", "*", "[", "(?P<a>x)(?P<a>y)("])
def test_noise_that_is_no_expression_takes_nothing_off(pattern):
    noise = Noise(pattern)
    assert noise.trouble
    assert noise.off("Re: Offer") == "Re: Offer"


def test_empty_noise_takes_nothing_off():
    assert Noise("").off("Re: Offer") == "Re: Offer"
    assert not Noise("").trouble


@given(st.text(max_size=900))
def test_any_subject_is_hashed(subject):
    assert len(hashes_of(subject, (), RULES).subject) <= 20
    assert isinstance(hashes_of(subject, (), RULES), Hashes)
