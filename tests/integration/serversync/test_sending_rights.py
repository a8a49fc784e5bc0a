"""Who may send, as whom and to whom, and through which mailbox it leaves."""

from email import message_from_bytes
from email.policy import default

import pytest
from django.contrib.auth.models import Permission

from activities.choices import EmailStatus
from activities.mime.message import Address
from activities.models import ActivityParty, Email
from mailboxes.choices import QueueViewType, Reach
from mailboxes.models import Mailbox, Queue, SystemUser, Team
from serversync import outbox
from serversync.outbox import Draft, Refused
from tests.factories.activities import ContactFactory
from tests.factories.mailboxes import group_of
from tests.integration.serversync.cycles import (
    NOW,
    Account,
    organization,
    queue_mailbox,
    user_mailbox,
)

pytestmark = [pytest.mark.integration, pytest.mark.django_db]

SEND_AS = "send_as_another_user"
DESPITE = "send_despite_do_not_email"


@pytest.fixture(autouse=True)
def anybody() -> None:
    organization(allow_unresolved_parties_on_email_send=True)


@pytest.fixture
def ada() -> SystemUser:
    return user_mailbox("ada").regarding_user


@pytest.fixture
def ben() -> SystemUser:
    return user_mailbox("ben").regarding_user


def drafted(sender, actor: SystemUser, *to: str, **columns) -> Email:
    addresses = tuple(Address(each) for each in to or ("cleo@customer.example",))
    return outbox.create_draft(
        Draft(sender=sender, to=addresses, subject="Hello", body="<p>Text</p>", **columns),
        actor=actor,
        now=NOW,
    )


def refusal(email: Email, actor: SystemUser, **how) -> str:
    """Why it isn't sent; "" if it is."""
    actor = SystemUser.objects.get(pk=actor.pk)  # as the next request sees the permissions
    try:
        outbox.submit(email, actor=actor, now=NOW, **how)
    except Refused as refused:
        assert Email.objects.get(pk=email.pk).status == EmailStatus.DRAFT
        return " ".join(refused.reasons)
    assert Email.objects.get(pk=email.pk).status == EmailStatus.PENDING_SEND
    return ""


def consents(user: SystemUser) -> None:
    user.settings.is_send_as_allowed = True
    user.settings.save()


def teammates(*users: SystemUser) -> None:
    team = Team.objects.create(name="Sales", administrator=users[0])
    team.members.add(*users)


# -- as another user


@pytest.mark.rule("R5.24")
def test_whatever_is_missing_to_send_as_another_user_is_named_at_once(ada, ben) -> None:
    email = drafted(ben, ada)

    words = refusal(email, ada)

    assert "You lack the permission “send email as another user”" in words
    assert "has not ticked “allow others to send on my behalf”" in words


@pytest.mark.rule("R5.24")
@pytest.mark.parametrize(
    ("reach", "together", "allowed"),
    [
        (Reach.ALL, False, True),
        (Reach.TEAM, True, True),
        (Reach.TEAM, False, False),
        (Reach.OWN, True, False),
    ],
)
def test_the_permission_reaches_as_far_as_its_group_says(
    ada, ben, reach: Reach, together: bool, allowed: bool
) -> None:
    consents(ben)
    group_of(ada, SEND_AS, reach=reach)
    if together:
        teammates(ada, ben)

    assert (ben in outbox.senders_for(SystemUser.objects.get(pk=ada.pk))) is allowed
    words = refusal(drafted(ben, ada), ada)
    assert (words == "") is allowed
    assert allowed or "doesn't reach Ben" in words


@pytest.mark.rule("R5.24")
def test_a_permission_given_to_a_person_reaches_nobody_else(ada, ben) -> None:
    consents(ben)
    ada.user_permissions.add(Permission.objects.get(codename=SEND_AS))

    assert "doesn't reach Ben" in refusal(drafted(ben, ada), ada)


@pytest.mark.rule("R5.24")
def test_without_consent_the_widest_reach_does_not_help(ada, ben) -> None:
    group_of(ada, SEND_AS, reach=Reach.ALL)

    assert ben not in outbox.senders_for(SystemUser.objects.get(pk=ada.pk))
    words = refusal(drafted(ben, ada), ada)
    assert "has not ticked" in words
    assert "permission" not in words


# -- as a queue


@pytest.mark.rule("R5.25")
@pytest.mark.parametrize(
    ("private", "permission", "member", "reach", "allowed"),
    [
        (False, True, False, Reach.OWN, True),
        (True, True, True, Reach.OWN, True),
        (True, True, False, Reach.ALL, True),
        (True, True, False, Reach.OWN, False),
        (False, False, False, Reach.OWN, False),
    ],
)
def test_who_sees_this_queue_sends_as_it(
    ada, private: bool, permission: bool, member: bool, reach: Reach, allowed: bool
) -> None:
    queue = queue_mailbox().regarding_queue
    kind = QueueViewType.PRIVATE if private else QueueViewType.PUBLIC
    Queue.objects.update(queue_view_type=kind)
    if permission:
        group_of(ada, "view_queue", reach=reach)
    if member:
        queue.members.add(ada)

    assert (queue in outbox.senders_for(SystemUser.objects.get(pk=ada.pk))) is allowed
    words = refusal(drafted(queue, ada), ada)
    assert (words == "") is allowed
    assert allowed or "You may not read the queue Support" in words


# -- to people who do not want email


@pytest.fixture
def unwilling(ada):
    return ContactFactory(
        email_address1="cleo@customer.example", do_not_email=True, owning_user=ada
    )


@pytest.mark.rule("R5.5")
def test_without_the_permission_nothing_is_sent_to_who_wants_none(ada, unwilling) -> None:
    email = drafted(ada, ada, "cleo@customer.example", "dan@customer.example")

    words = refusal(email, ada, despite_do_not_email=True)

    assert "These recipients do not want email: cleo@customer.example. Remove them." in words


@pytest.mark.rule("R5.5")
def test_who_has_the_permission_is_asked_and_it_is_recorded(ada, unwilling) -> None:
    group_of(ada, DESPITE)
    email = drafted(ada, ada)

    assert "confirm that it is to be sent all the same" in refusal(email, ada)
    assert refusal(email, ada, despite_do_not_email=True) == ""

    email.refresh_from_db()
    assert email.despite_do_not_email
    assert email.submitted_by == ada


@pytest.mark.rule("R5.5")
def test_the_permission_reaches_own_email_only_if_its_group_says_so(ada, ben, unwilling) -> None:
    """The draft is Ben's: Ada may send as him, and her permission reaches her own email."""
    consents(ben)
    group_of(ada, SEND_AS, "change_email", reach=Reach.ALL)
    group_of(ada, DESPITE, reach=Reach.OWN)

    words = refusal(drafted(ben, ben), ada, despite_do_not_email=True)

    assert "Remove them" in words


def test_a_confirmation_that_was_not_needed_is_not_recorded(ada) -> None:
    group_of(ada, DESPITE)
    email = drafted(ada, ada)

    assert refusal(email, ada, despite_do_not_email=True) == ""
    email.refresh_from_db()
    assert not email.despite_do_not_email


@pytest.mark.rule("R5.5")
@pytest.mark.parametrize("wants_none", [True, False])
def test_what_the_record_says_when_it_is_sent_counts(ada, unwilling, wants_none: bool) -> None:
    unwilling.do_not_email = not wants_none
    unwilling.save()
    email = drafted(ada, ada)
    unwilling.do_not_email = wants_none
    unwilling.save()

    assert ("do not want email" in refusal(email, ada)) is wants_none


@pytest.mark.rule("R5.4")
def test_a_contact_made_after_the_draft_was_written_counts(ada) -> None:
    organization(allow_unresolved_parties_on_email_send=False)
    email = drafted(ada, ada)
    assert "No record has these addresses" in refusal(email, ada)
    contact = ContactFactory(email_address1="cleo@customer.example", owning_user=ada)

    assert refusal(email, ada) == ""
    assert ActivityParty.objects.filter(activity=email.pk, party_id=str(contact.pk)).exists()


# -- through which mailbox


@pytest.mark.rule("R5.26")
def test_a_submitter_without_exchange_sends_through_the_mailbox_of_the_sender(ada) -> None:
    organization(enable_mailbox_delegation_for_outgoing_email=True)
    queue = queue_mailbox()
    group_of(ada, "view_queue", reach=Reach.ALL)

    email = drafted(queue.regarding_queue, ada)
    assert refusal(email, ada) == ""

    email.refresh_from_db()
    assert email.sender_mailbox == queue
    account = Account(queue)
    account.send()
    assert b"\r\nSender:" not in account.outgoing.sent[0].mime


# -- what else is passed on


@pytest.mark.rule("R5.22")
def test_reply_to_and_categories_are_passed_on(ada) -> None:
    account = Account(Mailbox.objects.get(regarding_user=ada))
    email = drafted(
        ada,
        ada,
        reply_to=(Address("team@example.com", "Müller, Team"), Address("desk@example.com")),
        category="Offers, Größe",
    )
    outbox.submit(email, actor=ada, now=NOW)

    account.send()

    header = message_from_bytes(account.outgoing.sent[0].mime, policy=default)
    assert header["Keywords"] == "Offers, Größe"
    assert header["Reply-To"] == '"Müller, Team" <team@example.com>, desk@example.com'
