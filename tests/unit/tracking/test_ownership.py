from hypothesis import given
from hypothesis import strategies as st

from mailboxes.choices import FilteringMethod
from tests.unit.tracking.builders import BCC, CC, TO, candidate, queue, user
from tracking.acceptance import Owner
from tracking.choices import OwnerBecause
from tracking.ownership import choose_owner

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
    unlicensed = candidate(user("u1", can_own=False), TO)
    inactive = candidate(queue("q1", active=False), TO, position=1)
    copied = candidate(user("u2"), CC)
    assert choose_owner([unlicensed, inactive, copied], MAILBOX_OWNER).owner.name == "u2"


def test_owner_of_the_mailbox_owns_where_no_recipient_may():
    read_only = candidate(user("u1"), None, is_reading=True)
    choice = choose_owner([read_only, candidate(user("u2", can_own=False))], MAILBOX_OWNER)
    assert (choice.owner, choice.because) == (MAILBOX_OWNER, OwnerBecause.MAILBOX_OWNER)
    assert choice.party is None
