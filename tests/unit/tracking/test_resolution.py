from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from activities.mime.message import Address
from tests.unit.tracking.builders import BCC, CC, TO, addresses, match, message
from tracking.choices import ResolvedBecause
from tracking.resolution import (
    ACCOUNT,
    CONTACT,
    LEAD,
    QUEUE,
    USER,
    AddressBook,
    ResolutionRules,
    addresses_of,
    resolve_recipients,
    resolve_sender,
    rules_of,
    stored_recipients,
)

ADA = Address("Ada@Example.com", "Ada")
KEY = "ada@example.com"


def book(*matches):
    return AddressBook({KEY: matches})


@pytest.mark.rule("R3.31")
@pytest.mark.parametrize("written", ["ADA@example.COM", "<ada@example.com>", "ada@example.com.."])
def test_addresses_compare_bare_in_lower_case_without_trailing_dots(written):
    assert resolve_sender(Address(written), book(match())).match == match()


@pytest.mark.rule("R3.31")
@pytest.mark.parametrize("written", ["ada+news@example.com", "a.da@example.com"])
def test_plus_addresses_and_dots_are_addresses_of_their_own(written):
    assert resolve_sender(Address(written), book(match())).match is None


def test_one_match_is_taken_whatever_its_state():
    resolved = resolve_sender(ADA, book(match(active=False)))
    assert (resolved.match, resolved.because) == (match(active=False), ResolvedBecause.ONLY_MATCH)


@pytest.mark.rule("R3.37")
def test_address_without_match_stays_unresolved_and_keeps_address_and_name():
    resolved = resolve_sender(ADA, AddressBook())
    assert resolved.match is None
    assert (resolved.address, resolved.name) == ("Ada@Example.com", "Ada")
    (recipient,) = resolve_recipients(message(to=(ADA,)), AddressBook())
    assert recipient.matches == ()
    assert (recipient.address, recipient.name) == ("Ada@Example.com", "Ada")
    assert recipient.because == ResolvedBecause.NO_MATCH


@pytest.mark.rule("R3.39")
def test_disabled_users_are_ignored_even_alone():
    disabled = match(USER, active=False)
    resolved = resolve_sender(ADA, book(disabled))
    assert (resolved.match, resolved.ignored) == (None, (disabled,))
    (recipient,) = resolve_recipients(message(to=(ADA,)), book(disabled))
    assert (recipient.matches, recipient.ignored) == ((), (disabled,))


@pytest.mark.rule("R3.32")
def test_several_matches_take_the_first_of_the_order_of_kinds():
    kinds = (QUEUE, "shop.customer", "mailboxes.team", LEAD, ACCOUNT, CONTACT, USER)
    chosen = []
    while kinds:
        resolved = resolve_sender(ADA, book(*(match(kind) for kind in kinds)))
        chosen.append(resolved.match.kind)
        kinds = tuple(kind for kind in kinds if kind != resolved.match.kind)
    assert chosen == [
        USER,
        CONTACT,
        ACCOUNT,
        LEAD,
        "mailboxes.team",
        QUEUE,
        "shop.customer",
    ]


@pytest.mark.rule("R3.32")
def test_several_matches_take_active_before_inactive_then_the_oldest():
    inactive = match(CONTACT, "1", active=False)
    older, newer = match(LEAD, "2"), match(LEAD, "3")
    resolved = resolve_sender(ADA, book(newer, inactive, older))
    assert resolved.match == older
    assert resolved.others == (newer, inactive)
    assert resolved.because == ResolvedBecause.FIRST_IN_ORDER


@pytest.mark.rule("R3.32")
@given(st.permutations([match(k, i) for k in (USER, CONTACT, "shop.customer") for i in "123"]))
def test_the_choice_does_not_depend_on_the_order_of_reading(matches):
    assert resolve_sender(ADA, book(*matches)).match == match(USER, "1")


@pytest.mark.rule("R3.34")
def test_address_over_the_limit_stays_unresolved():
    crowded = AddressBook({}, frozenset({KEY}))
    assert resolve_sender(ADA, crowded).because == ResolvedBecause.TOO_MANY
    (recipient,) = resolve_recipients(message(to=(ADA,)), crowded)
    assert (recipient.matches, recipient.because) == ((), ResolvedBecause.TOO_MANY)


def test_missing_sender_resolves_to_nothing():
    assert resolve_sender(None, book(match())).because == ResolvedBecause.NO_ADDRESS


@pytest.mark.rule("R3.36")
def test_recipient_address_stands_for_every_record_that_has_it():
    (recipient,) = resolve_recipients(message(to=(ADA,)), book(match(QUEUE), match(USER)))
    assert [m.kind for m in recipient.matches] == [USER, QUEUE]
    assert recipient.because == ResolvedBecause.ALL_MATCHES


def test_recipients_keep_roles_and_order_and_repeats_count_once():
    found = resolve_recipients(
        message(
            to=addresses("b@example.com", "a@example.com", "B@example.com"),
            cc=addresses("a@example.com"),
            bcc=addresses("c@example.com"),
        ),
        AddressBook(),
    )
    assert [(r.role, r.position, r.address) for r in found] == [
        (TO, 0, "b@example.com"),
        (TO, 1, "a@example.com"),
        (CC, 0, "a@example.com"),
        (BCC, 0, "c@example.com"),
    ]


def test_recipients_without_address_are_kept_by_name():
    found = resolve_recipients(message(to=(Address("", "Ada"), Address("", "Ben"))), AddressBook())
    assert [r.name for r in found] == ["Ada", "Ben"]
    assert {r.because for r in found} == {ResolvedBecause.NO_ADDRESS}


@pytest.mark.rule("R3.38")
def test_received_mail_stores_no_bcc():
    found = resolve_recipients(message(to=addresses(KEY), bcc=addresses(KEY)), AddressBook())
    assert [r.role for r in stored_recipients(found, incoming=True)] == [TO]
    assert [r.role for r in stored_recipients(found, incoming=False)] == [TO, BCC]


def test_addresses_to_look_up_are_keys_each_once():
    one = message(to=addresses("Ada@example.com", ""), cc=addresses("b@example.com."))
    assert addresses_of(one) == {"ada@example.com", "b@example.com"}


@pytest.mark.rule("R10.9")
def test_addresses_of_the_envelope_are_looked_up_only_where_they_count():
    bcc_copy = message(to=addresses("b@example.com"), delivered_to=("Bcc@example.com",))
    assert addresses_of(bcc_copy) == {KEY, "b@example.com"}
    assert addresses_of(bcc_copy, envelope=True) == {KEY, "b@example.com", "bcc@example.com"}
    forged = message(delivered_to=tuple(f"x{n}@example.com" for n in range(1000)))
    assert len(addresses_of(forged, envelope=True)) == 11


# -- several matches

OLGA, TEAM = UUID(int=7), UUID(int=8)
BY_OLGA = ResolutionRules(owner_user_id=OLGA)
LEFT_OPEN = ResolutionRules(leave_senders_open=True, leave_recipients_open=True)
ONLY_ACTIVE = ResolutionRules(ignore_inactive=True)


def sender_of(*matches, rules):
    return resolve_sender(ADA, book(*matches), rules)


def recipient_of(*matches, rules):
    (recipient,) = resolve_recipients(message(to=(ADA,)), book(*matches), rules)
    return recipient


@pytest.mark.rule("R3.33")
def test_record_of_the_owner_of_the_mailbox_goes_before_records_of_others():
    """An owned account beats a contact of somebody else, and even a user."""
    mine = match(ACCOUNT, "9", owner_user_id=OLGA)
    others = match(USER), match(CONTACT, owner_user_id=UUID(int=1)), match(LEAD)
    found = sender_of(mine, *others, rules=BY_OLGA)
    assert (found.match, found.because) == (mine, ResolvedBecause.OWNED)
    assert found.others == others
    assert sender_of(mine, *others, rules=ResolutionRules()).match.kind == USER


@pytest.mark.rule("R3.33")
def test_record_of_the_team_that_owns_the_queue_goes_first():
    rules = ResolutionRules(owner_team_id=TEAM)
    mine = match(LEAD, "9", owner_team_id=TEAM)
    others = match(CONTACT, owner_user_id=OLGA), match(ACCOUNT, owner_team_id=OLGA), match(USER)
    assert sender_of(*others, mine, rules=rules).match == mine


@pytest.mark.rule("R3.33")
def test_among_the_owners_own_records_the_order_of_kinds_decides():
    contact, lead = (match(kind, owner_user_id=OLGA) for kind in (CONTACT, LEAD))
    found = sender_of(lead, contact, match(ACCOUNT), rules=BY_OLGA)
    assert (found.match, found.because) == (contact, ResolvedBecause.FIRST_IN_ORDER)


def test_inactive_record_of_the_owner_does_not_go_before_an_active_one():
    mine = match(CONTACT, "1", owner_user_id=OLGA, active=False)
    assert sender_of(mine, match(LEAD), rules=BY_OLGA).match.kind == LEAD


@pytest.mark.rule("R3.35")
def test_sender_with_several_matches_is_left_open_where_the_organization_says_so():
    found = sender_of(match(LEAD), match(CONTACT), rules=LEFT_OPEN)
    assert (found.match, found.because) == (None, ResolvedBecause.LEFT_OPEN)
    assert [other.kind for other in found.others] == [CONTACT, LEAD]
    assert sender_of(match(LEAD), rules=LEFT_OPEN).match == match(LEAD)


@pytest.mark.rule("R3.36")
def test_recipient_with_several_matches_is_left_open_where_the_organization_says_so():
    found = recipient_of(match(QUEUE), match(USER), rules=LEFT_OPEN)
    assert (found.matches, found.because) == ((), ResolvedBecause.LEFT_OPEN)
    assert [other.kind for other in found.others] == [USER, QUEUE]
    assert recipient_of(match(QUEUE), rules=LEFT_OPEN).matches == (match(QUEUE),)
    assert len(recipient_of(match(QUEUE), match(USER), rules=ResolutionRules()).matches) == 2


@pytest.mark.rule("R3.39")
def test_inactive_records_are_left_out_where_the_organization_says_so_even_alone():
    inactive, active = match(CONTACT, active=False), match(LEAD)
    for found in (
        sender_of(inactive, rules=ONLY_ACTIVE),
        recipient_of(inactive, rules=ONLY_ACTIVE),
    ):
        assert (found.because, found.ignored) == (ResolvedBecause.NO_MATCH, (inactive,))
    sender = sender_of(inactive, active, rules=ONLY_ACTIVE)
    assert (sender.match, sender.because) == (active, ResolvedBecause.ONLY_MATCH)
    assert recipient_of(inactive, active, rules=ONLY_ACTIVE).matches == (active,)


@pytest.mark.rule("R3.39")
def test_disabled_users_never_count_and_never_make_several():
    disabled = match(USER, active=False)
    found = sender_of(disabled, match(LEAD), rules=LEFT_OPEN)
    assert (found.match, found.because, found.ignored) == (
        match(LEAD),
        ResolvedBecause.ONLY_MATCH,
        (disabled,),
    )


def test_rules_come_from_the_organization():
    class Site:
        def effective(self, name):
            return name in on

    on: tuple[str, ...] = ()
    assert rules_of(Site()) == ResolutionRules()
    for name, rules in {
        "unresolve_sender_in_case_of_multiple_match": ResolutionRules(leave_senders_open=True),
        "unresolve_email_address_if_multiple_match": ResolutionRules(leave_recipients_open=True),
        "ignore_inactive_records_in_resolution": ONLY_ACTIVE,
    }.items():
        on = (name,)
        assert rules_of(Site()) == rules
    on = ()
    assert rules_of(Site(), OLGA) == BY_OLGA
