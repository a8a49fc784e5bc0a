from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailboxes.choices import FilteringMethod
from tests.unit.tracking.builders import BCC, CC, TO, candidate, match, queue, stored, user
from tracking.acceptance import Owner
from tracking.choices import Lacks, OwnerBecause
from tracking.ownership import choose_owner
from tracking.resolution import ACCOUNT, CONTACT, LEAD, QUEUE, USER

MAILBOX_OWNER = Owner(name="owner of the mailbox")


@given(
    st.permutations(
        [
            candidate(user("bcc"), BCC, is_reading=True),
            candidate(user("cc"), CC),
            candidate(queue("to1"), TO, position=1),
            candidate(queue("a-to0"), TO, position=0),
            candidate(user("to0", FilteringMethod.NONE), TO, position=0),
        ]
    )
)
def test_first_eligible_recipient_owns_whoever_accepted_or_is_read(mixed):
    owners = []
    while mixed:
        choice = choose_owner(mixed, MAILBOX_OWNER)
        owners.append(choice.owner.name)
        assert choice.because == OwnerBecause.FIRST_ELIGIBLE
        mixed = [c for c in mixed if c.party != choice.party]
    assert owners == ["to0", "owner of a-to0", "owner of to1", "cc", "bcc"]


def test_recipients_who_may_not_own_email_are_passed_over():
    unlicensed = candidate(user("u1", lacks=Lacks.LICENCE), TO)
    inactive = candidate(queue("q1", active=False), TO, position=1)
    copied = candidate(user("u2"), CC)
    assert choose_owner([unlicensed, inactive, copied], MAILBOX_OWNER).owner.name == "u2"


def test_owner_of_the_mailbox_owns_where_no_recipient_may():
    read_only = candidate(user("u1"), None, is_reading=True)
    choice = choose_owner([read_only, candidate(user("u2", lacks=Lacks.LICENCE))], MAILBOX_OWNER)
    assert (choice.owner, choice.because) == (MAILBOX_OWNER, OwnerBecause.MAILBOX_OWNER)
    assert choice.party is None


# -- owners of what is known before the recipients


def owned_by(party):
    return {"owner_user_id": party.owner.user_id, "owner_team_id": party.owner.team_id}


@pytest.mark.rule("R3.48")
def test_owner_of_the_answered_email_goes_before_the_owner_of_the_sender_and_both_before_the_first():
    first, of_record, of_email = user("first"), user("record"), user("email")
    candidates = [
        candidate(first, TO),
        candidate(of_record, CC),
        candidate(of_email, BCC),
    ]
    answered, contact = stored(**owned_by(of_email)), match(CONTACT, **owned_by(of_record))

    def chosen(*known):
        choice = choose_owner(candidates, MAILBOX_OWNER, *known)
        return choice.owner.name, choice.because, choice.party

    assert chosen(answered, contact) == ("email", OwnerBecause.CORRELATED_OWNER, of_email)
    assert chosen(None, contact) == ("record", OwnerBecause.SENDER_OWNER, of_record)
    assert chosen() == ("first", OwnerBecause.FIRST_ELIGIBLE, first)


@pytest.mark.rule("R3.48")
def test_former_owners_who_are_no_recipients_or_may_not_own_email_are_passed_over():
    away, unlicensed = user("away"), user("trial", lacks=Lacks.LICENCE)
    candidates = [candidate(user("first"), CC), candidate(unlicensed, TO)]
    for owner in (away, unlicensed):
        known = stored(**owned_by(owner)), match(CONTACT, **owned_by(owner))
        choice = choose_owner(candidates, MAILBOX_OWNER, *known)
        assert (choice.owner.name, choice.because) == ("first", OwnerBecause.FIRST_ELIGIBLE)


@pytest.mark.rule("R3.48")
@pytest.mark.parametrize(
    ("kind", "counts"),
    [(CONTACT, True), (ACCOUNT, True), (LEAD, True), (USER, False), (QUEUE, False)],
)
def test_only_contacts_accounts_and_leads_bring_their_owner(kind, counts):
    second = user("second")
    candidates = [candidate(user("first"), TO), candidate(second, TO, position=1)]
    choice = choose_owner(candidates, MAILBOX_OWNER, None, match(kind, **owned_by(second)))
    assert (choice.owner.name == "second") is counts


def test_a_queue_is_a_recipient_for_its_owner_be_it_a_team():
    team = Owner(team_id=UUID(int=5), name="Night shift")
    night = queue("night", owner=team)
    candidates = [candidate(user("first"), TO), candidate(night, CC)]
    choice = choose_owner(candidates, MAILBOX_OWNER, stored(owner_team_id=team.team_id))
    assert (choice.owner, choice.party) == (team, night)


def test_a_record_without_owner_is_nobodys():
    candidates = [candidate(user("first"), TO), candidate(queue("q", owner=Owner()), CC)]
    choice = choose_owner(candidates, MAILBOX_OWNER, stored(), match(CONTACT))
    assert choice.because == OwnerBecause.FIRST_ELIGIBLE


@pytest.mark.rule("R10.9")
def test_whom_the_envelope_names_owns_what_no_other_recipient_can():
    named = candidate(user("named"), None, is_reading=True, delivered="named@example.org")
    assert choose_owner([named], MAILBOX_OWNER).owner.name == "named"
    copied = candidate(user("copied"), BCC, position=3)
    assert choose_owner([named, copied], MAILBOX_OWNER).owner.name == "copied"
