"""Rights, ambiguity, mail between own users, owners and envelopes, each through a whole cycle."""

from email import message_from_bytes
from email.message import EmailMessage
from email.policy import SMTP

import pytest

from activities.choices import ParticipationType
from activities.models import Account as Company
from activities.models import ActivityParty, Contact, Email, QueueItem
from mailboxes.choices import (
    FilteringMethod,
    IncomingDeliveryMethod,
    OutgoingDeliveryMethod,
    ServerType,
    StateCode,
)
from mailboxes.models import Mailbox, Queue, SystemUser, Team
from mailboxes.protocols.base import SENT
from serversync.choices import ItemState
from serversync.models import SyncItem
from tests.factories.mailboxes import group_of
from tests.integration.serversync.cycles import (
    Account,
    message,
    organization,
    profile,
    queue_mailbox,
    ready,
    user_mailbox,
)
from tracking import telling
from tracking.rights import without_permission

pytestmark = [pytest.mark.integration, pytest.mark.django_db]

ALL, RESPONSES = FilteringMethod.ALL, FilteringMethod.RESPONSES
BUSINESS = FilteringMethod.LEADS_CONTACTS_ACCOUNTS


def told(item: SyncItem) -> str:
    return "\n".join(str(sentence) for sentence in telling.sentences(item.trace))


def only(account: Account) -> SyncItem:
    (item,) = account.items().values()
    return item


def contact_of(owner: SystemUser, **columns: object) -> Contact:
    values = {"last_name": "Cleo", "email_address1": "cleo@customer.example", **columns}
    return Contact.objects.create(owning_user=owner, **values)


# -- rights


@pytest.mark.rule("R3.29", "R3.72")
def test_mail_of_who_may_not_own_email_is_tried_again_and_kept() -> None:
    ada = Account(user_mailbox("ada"))
    SystemUser.objects.filter(domain_name="ada").update(is_licensed=False)
    raw = message(message_id="one@customer.example")
    ada.box.deliver(raw)

    first = ada.receive()

    assert first.by_state == {"retrying": 1}
    item = only(ada)
    assert (item.reason, item.attempts) == ("PrivilegeDenied", 1)
    assert "User Ada takes it, but may not own email: without a licence." in told(item)
    assert "(R3.29)" in told(item)
    for _attempt in range(4):
        ada.later(minutes=16)
        ada.receive()
    item = only(ada)
    assert (item.state, item.reason) == (ItemState.QUARANTINED, "PrivilegeDenied")
    assert bytes(item.raw.content) == raw
    assert not Email.objects.exists()

    SystemUser.objects.filter(domain_name="ada").update(is_licensed=True)
    SyncItem.objects.update(state=ItemState.RETRYING, next_attempt_at=ada.now)
    ada.receive()
    assert only(ada).email == Email.objects.get()


@pytest.mark.rule("R3.29")
def test_mail_to_a_queue_of_a_team_needs_a_member_who_may_own_email() -> None:
    support = Account(queue_mailbox("support"))
    owner = SystemUser.objects.get(domain_name="owner")
    team = Team.objects.create(name="Night shift", administrator=owner)
    Queue.objects.update(owning_user=None, owning_team=team)
    Mailbox.objects.filter(pk=support.mailbox.pk).update(owning_user=None, owning_team=team)
    support.box.deliver(message(to="support@example.com"))
    support.receive()
    assert only(support).reason == "PrivilegeDenied"
    assert "its owner is a team without any member" in told(only(support))

    team.members.add(owner)
    support.later(minutes=16)
    support.receive()
    assert Email.objects.get().activity.owning_team == team


@pytest.mark.rule("R3.29")
def test_another_recipient_who_may_own_email_takes_it() -> None:
    ada = Account(user_mailbox("ada"))
    user_mailbox("ben")
    SystemUser.objects.filter(domain_name="ada").update(is_licensed=False)
    ada.box.deliver(message(to="ada@example.com, ben@example.com"))
    ada.receive()
    email = Email.objects.get()
    assert str(email.accepting_entity()) == "Ben"
    assert str(email.activity.owning_user) == "Ben"


@pytest.mark.rule("R3.29")
@pytest.mark.parametrize("switch", ["own_email_needs_permission", "strict_parity"])
def test_the_permission_counts_where_the_organization_asks_for_it(switch: str) -> None:
    organization(**{switch: True})
    ada = Account(user_mailbox("ada"))
    ada.box.deliver(message())
    ada.receive()
    assert "without the permission to add email" in told(only(ada))
    group_of(SystemUser.objects.get(domain_name="ada"), "add_email")
    ada.later(minutes=16)
    ada.receive()
    assert only(ada).state == ItemState.TRACKED


@pytest.mark.rule("R3.29")
def test_who_lacks_the_permission_is_counted_once() -> None:
    user_mailbox("ada")
    queue_mailbox()  # of the user "owner"
    queue_mailbox("sales")
    permitted = user_mailbox("ben").regarding_user
    assert permitted is not None
    group_of(permitted, "add_email")
    user_mailbox("cleo", incoming_email_delivery_method=IncomingDeliveryMethod.NONE)
    user_mailbox("dora")
    SystemUser.objects.filter(domain_name="dora").update(is_disabled=True)
    SystemUser.objects.create_superuser("root")

    assert without_permission() == 2


@pytest.mark.rule("R3.29")
def test_sent_items_of_who_may_not_own_email_are_tried_again() -> None:
    organization(auto_track_sent_folder_items=True)
    profile(server_type=ServerType.IMAP_SMTP)
    ada = Account(user_mailbox("ada"))
    SystemUser.objects.filter(domain_name="ada").update(is_licensed=False)
    ada.box.add_folder(SENT)
    ada.box.deliver(message(sender="ada@example.com", to="cleo@customer.example"), SENT)
    ada.receive()
    assert (only(ada).state, only(ada).reason) == (ItemState.RETRYING, "PrivilegeDenied")


# -- in a forward mailbox


def forwards() -> Account:
    """A forward mailbox of the user "owner", and Ada, whose server forwards to it."""
    owner = profile().owning_user
    mailbox = Mailbox.objects.create(
        name="Forwarded", email_address="forward@example.com", owning_user=owner
    )
    user_mailbox("ada", incoming_email_delivery_method=IncomingDeliveryMethod.FORWARD_MAILBOX)
    return Account(ready(mailbox, outgoing_email_delivery_method=OutgoingDeliveryMethod.NONE))


def forwarded(original: bytes) -> bytes:
    outer = EmailMessage(policy=SMTP)
    outer["From"], outer["To"] = "ada@example.com", "forward@example.com"
    outer["Date"], outer["Message-ID"] = "Mon, 02 Feb 2026 10:00:00 +0000", "<outer@example.com>"
    outer.set_content("See there.")
    outer.add_attachment(message_from_bytes(original, policy=SMTP))
    return bytes(outer)


@pytest.mark.rule("R3.29", "R3.75")
def test_a_forward_of_who_may_not_own_email_is_tried_again_as_a_whole() -> None:
    account = forwards()
    SystemUser.objects.filter(domain_name="ada").update(is_licensed=False)
    account.box.deliver(forwarded(message(message_id="inner@customer.example")))
    account.receive()
    assert (only(account).state, only(account).reason) == (ItemState.RETRYING, "PrivilegeDenied")
    assert "Forwarded as an attachment by user Ada" in told(only(account))
    SystemUser.objects.filter(domain_name="ada").update(is_licensed=True)
    account.later(minutes=16)
    account.receive()
    states = {item.source_key: item.state for item in account.items().values()}
    assert states == {"1.1": ItemState.SKIPPED, "1.1/1": ItemState.TRACKED}


@pytest.mark.rule("R3.53", "R3.48")
def test_forwarded_list_mail_waits_in_the_default_queue_of_who_owns_the_forward_mailbox() -> None:
    organization(route_email_to_default_queue=True)
    account = forwards()
    owner = account.mailbox.owning_user
    SystemUser.objects.filter(pk=owner.pk).update(
        queue=Queue.objects.create(name="Lists", owning_user=owner)
    )
    account.box.deliver(forwarded(message(to="users@lists.example")))
    account.receive()
    item = QueueItem.objects.get()
    assert (item.queue.name, item.object.owning_user) == ("Lists", owner)


# -- ambiguity


@pytest.mark.rule("R3.33")
def test_sender_is_the_record_of_whose_mailbox_is_read() -> None:
    ada = Account(user_mailbox("ada"))
    ben = Account(user_mailbox("ben"))
    contact_of(ben.mailbox.owning_user)
    company = Company.objects.create(
        name="Customer", email_address1="cleo@customer.example", owning_user=ada.mailbox.owning_user
    )
    ada.box.deliver(message(message_id="one@customer.example"))
    ben.box.deliver(message(message_id="two@customer.example", to="ben@example.com"))
    ada.receive()
    ben.receive()
    to_ada = Email.objects.get(receiving_mailbox=ada.mailbox)
    assert (to_ada.email_sender_type.model, to_ada.senders_account) == ("account", company)
    to_ben = Email.objects.get(receiving_mailbox=ben.mailbox)
    assert to_ben.email_sender_type.model == "contact"


@pytest.mark.rule("R3.35")
def test_sender_with_several_matches_is_left_unresolved() -> None:
    organization(unresolve_sender_in_case_of_multiple_match=True)
    ada = Account(user_mailbox("ada"))
    for _number in range(2):
        contact_of(ada.mailbox.owning_user)
    ada.box.deliver(message())
    ada.receive()
    email = Email.objects.get()
    assert email.is_duplicate_sender_unresolved
    assert email.email_sender_id == ""
    party = ActivityParty.objects.get(participation_type_mask=ParticipationType.SENDER)
    assert (party.is_resolved, party.address_used) == (False, "cleo@customer.example")


@pytest.mark.rule("R3.35")
def test_sender_left_unresolved_is_unknown_to_the_filter_and_none_else_is_marked() -> None:
    ada = Account(user_mailbox("ada", BUSINESS))
    contact_of(ada.mailbox.owning_user)
    contact_of(ada.mailbox.owning_user)
    ada.box.deliver(message(message_id="one@customer.example"))
    ada.receive()
    assert not Email.objects.get().is_duplicate_sender_unresolved
    organization(unresolve_sender_in_case_of_multiple_match=True)
    ada.box.deliver(message(message_id="two@customer.example"))
    ada.receive()
    assert ada.items()["1.2"].sub_reason == "filter_sender_unknown"
    assert "(R3.35)" in told(ada.items()["1.2"])


@pytest.mark.rule("R3.36")
def test_recipients_with_several_matches_are_one_party_each_or_unresolved() -> None:
    ada = Account(user_mailbox("ada"))
    owner = ada.mailbox.owning_user
    for _number in range(2):
        contact_of(owner, email_address1="dora@customer.example")
    cc = {"cc": "dora@customer.example"}
    ada.box.deliver(message(message_id="one@customer.example", **cc))
    ada.receive()
    organization(unresolve_email_address_if_multiple_match=True)
    ada.box.deliver(message(message_id="two@customer.example", **cc))
    ada.receive()
    parties = ActivityParty.objects.filter(participation_type_mask=ParticipationType.CC)
    of = {
        message_id: [p.is_resolved for p in parties.filter(activity__email__message_id=message_id)]
        for message_id in ("one@customer.example", "two@customer.example")
    }
    assert of == {"one@customer.example": [True, True], "two@customer.example": [False]}


@pytest.mark.rule("R3.36")
def test_own_address_that_a_record_shares_is_no_candidate_any_more() -> None:
    organization(unresolve_email_address_if_multiple_match=True)
    ada = Account(user_mailbox("ada", RESPONSES))
    contact_of(ada.mailbox.owning_user, email_address1="ada@example.com")
    ada.box.deliver(message())
    ada.receive()
    assert only(ada).reason == "NoRecipientMatch"
    assert "several records have ada@example.com" in told(only(ada))


@pytest.mark.rule("R3.39")
def test_inactive_records_count_unless_the_organization_ignores_them() -> None:
    ada = Account(user_mailbox("ada", BUSINESS))
    contact_of(ada.mailbox.owning_user, state_code=StateCode.INACTIVE)
    ada.box.deliver(message(message_id="one@customer.example"))
    ada.receive()
    organization(ignore_inactive_records_in_resolution=True)
    ada.box.deliver(message(message_id="two@customer.example"))
    ada.receive()
    first, second = ada.items()["1.1"], ada.items()["1.2"]
    assert (first.state, second.state) == (ItemState.TRACKED, ItemState.REJECTED)
    assert "inactive records don't count here. (R3.39)" in told(second)


# -- mail between own users


@pytest.mark.rule("R3.40", "R3.41", "R3.44")
@pytest.mark.parametrize(
    ("switches", "sent_first", "reason"),
    [
        ({}, True, "AcceptAll"),
        ({"ignore_internal_email": True}, True, "InternalEmailReject"),
        ({"ignore_internal_email": True}, False, "AcceptAll"),
        (
            {
                "ignore_internal_email": True,
                "ignore_internal_email_detection_enhancement": False,
            },
            False,
            "InternalEmailReject",
        ),
    ],
    ids=["two activities", "sent copy stored", "sent copy missing", "always"],
)
def test_mail_of_a_colleague(switches: dict[str, bool], sent_first: bool, reason: str) -> None:
    organization(auto_track_sent_folder_items=True, **switches)
    profile(server_type=ServerType.IMAP_SMTP)
    ada, ben = Account(user_mailbox("ada")), Account(user_mailbox("ben"))
    ada.box.add_folder(SENT)
    raw = message(
        message_id="one@example.com", sender="Ada <ada@example.com>", to="ben@example.com"
    )
    ada.box.deliver(raw, SENT)
    ben.box.deliver(raw)
    if sent_first:
        ada.receive()
    ben.receive()
    item = only(ben)
    assert item.reason == reason
    tracked = reason == "AcceptAll"
    assert (item.state == ItemState.TRACKED) is tracked
    assert Email.objects.count() == sent_first + tracked


@pytest.mark.rule("R3.42", "R3.43")
def test_mail_between_users_and_queues() -> None:
    organization(ignore_internal_email=True, ignore_internal_email_detection_enhancement=False)
    ada, support = Account(user_mailbox("ada")), Account(queue_mailbox("support"))
    to_queue = {"sender": "ada@example.com", "to": "support@example.com"}
    from_queue = {"sender": "support@example.com", "to": "ada@example.com"}
    support.box.deliver(message(message_id="one@example.com", **to_queue))
    ada.box.deliver(message(message_id="two@example.com", **from_queue))
    support.receive()
    ada.receive()
    assert [only(one).state for one in (support, ada)] == [ItemState.TRACKED] * 2

    organization(
        do_not_ignore_internal_email_to_queues=False, ignore_internal_email_from_queues=True
    )
    support.box.deliver(message(message_id="three@example.com", **to_queue))
    ada.box.deliver(message(message_id="four@example.com", **from_queue))
    support.receive()
    ada.receive()
    for account, rule in ((support, "R3.42"), (ada, "R3.41")):
        item = account.items()["1.2"]
        assert item.reason == "InternalEmailReject"
        assert f"not asked (mail between own users). ({rule})" in told(item)


# -- who owns it, and where it waits


@pytest.mark.rule("R3.48")
def test_an_answer_goes_to_who_owns_what_it_answers_then_to_who_owns_the_sender() -> None:
    ada, ben = Account(user_mailbox("ada")), Account(user_mailbox("ben"))
    cara = Account(user_mailbox("cara"))
    cara.box.deliver(message(message_id="first@customer.example", to="cara@example.com"))
    cara.receive()
    contact_of(ben.mailbox.owning_user)
    everybody = "ada@example.com, ben@example.com, cara@example.com"
    answer = {"to": everybody, "in_reply_to": "<first@customer.example>"}
    ada.box.deliver(message(message_id="answer@customer.example", **answer))
    ada.box.deliver(message(message_id="new@customer.example", to=everybody))
    stranger = {"sender": "x@elsewhere.example", "to": everybody}
    ada.box.deliver(message(message_id="strange@elsewhere.example", **stranger))
    ada.receive()
    owners = {
        email.message_id.partition("@")[0]: str(email.activity.owning_user)
        for email in Email.objects.select_related("activity__owning_user")
    }
    assert owners == {"first": "Cara", "answer": "Cara", "new": "Ben", "strange": "Ada"}
    answered = Email.objects.get(message_id="answer@customer.example")
    said = [str(one) for one in telling.sentences(answered.decision)]
    assert "Owner: user Cara (owns the email that this one answers). (R3.48)" in said


@pytest.mark.rule("R3.53")
def test_email_waits_in_the_default_queue_of_its_owner_where_switched_on() -> None:
    ada = Account(user_mailbox("ada"))
    user = ada.mailbox.owning_user
    inbox = Queue.objects.create(name="Ada's work", owning_user=user)
    SystemUser.objects.filter(pk=user.pk).update(queue=inbox)
    ada.box.deliver(message(message_id="one@customer.example"))
    ada.receive()
    assert not QueueItem.objects.exists()

    organization(route_email_to_default_queue=True)
    ada.box.deliver(message(message_id="two@customer.example"))
    ada.receive()
    item = QueueItem.objects.get()
    assert (item.queue, item.object.email.message_id) == (inbox, "two@customer.example")
    said = [str(one) for one in telling.sentences(item.object.email.decision)]
    assert "Waits in queue Ada's work: the default queue of the owner. (R3.53)" in said

    Queue.objects.filter(pk=inbox.pk).update(state_code=StateCode.INACTIVE)
    ada.box.deliver(message(message_id="three@customer.example"))
    ada.receive()
    assert QueueItem.objects.count() == 1


@pytest.mark.rule("R3.53", "R3.56")
def test_a_queue_that_is_recipient_and_default_queue_has_one_item() -> None:
    organization(route_email_to_default_queue=True)
    support = Account(queue_mailbox("support"))
    queue = support.mailbox.regarding_queue
    SystemUser.objects.filter(domain_name="owner").update(queue=queue)
    support.box.deliver(message(to="support@example.com"))
    support.receive()
    assert QueueItem.objects.get().queue == queue


# -- the envelope

LIST = {"to": "Users <users@lists.example>", "list_id": "<users.lists.example>"}


@pytest.mark.rule("R10.9", "R3.27")
def test_list_mail_is_judged_by_whom_the_envelope_names_where_switched_on() -> None:
    ada = Account(user_mailbox("ada", BUSINESS))
    user_mailbox("ben")
    contact_of(ada.mailbox.owning_user)
    ada.box.deliver(message(message_id="one@x.example", delivered_to="ada@example.com", **LIST))
    ada.receive()
    assert only(ada).reason == "NoRecipientMatch"

    organization(use_envelope_evidence=True)
    ada.box.deliver(message(message_id="two@x.example", delivered_to="ada@example.com", **LIST))
    ada.box.deliver(message(message_id="three@x.example", delivered_to="ben@example.com", **LIST))
    ada.receive()
    two, three = ada.items()["1.2"], ada.items()["1.3"]
    assert (two.state, two.reason) == (ItemState.TRACKED, "SenderMatch")
    said = [str(one) for one in telling.sentences(two.email.decision)]
    assert "The envelope names ada@example.com, so it is judged like a recipient. (R10.9)" in said
    assert str(two.email.activity.owning_user) == "Ada"
    assert (three.state, three.reason) == (ItemState.REJECTED, "NoRecipientMatch")
    roles = set(two.email.activity.parties.values_list("participation_type_mask", flat=True))
    assert roles == {ParticipationType.SENDER, ParticipationType.TO}  # R3.38 holds as ever


@pytest.mark.rule("R10.9")
def test_strict_parity_believes_no_envelope() -> None:
    organization(use_envelope_evidence=True, strict_parity=True)
    ada = Account(user_mailbox("ada", BUSINESS))
    contact_of(ada.mailbox.owning_user)
    ada.box.deliver(message(delivered_to="ada@example.com", **LIST))
    ada.receive()
    assert only(ada).reason == "NoRecipientMatch"
