"""One cycle as a whole, who may accept its mail, and which record an address stands for."""

from datetime import timedelta

import pytest
from django.contrib.contenttypes.models import ContentType

from activities.models import Account as Company
from activities.models import ActivityParty, Contact, Email, Lead
from mailboxes.access import visible_to
from mailboxes.choices import FilteringMethod, Operation
from mailboxes.models import EmailSearch, Queue, SystemUser
from serversync import engine
from serversync.leases import claim
from serversync.models import SyncItem, Workload
from serversync.receive import receive
from tests.factories.mailboxes import group_of
from tests.fakes import FakeIncomingServer
from tests.integration.serversync.cycles import (
    NOW,
    Account,
    message,
    organization,
    queue_mailbox,
    user_mailbox,
)

pytestmark = [pytest.mark.integration, pytest.mark.django_db]

ALL, RESPONSES, NONE = FilteringMethod.ALL, FilteringMethod.RESPONSES, FilteringMethod.NONE
BUSINESS, ENABLED = FilteringMethod.LEADS_CONTACTS_ACCOUNTS, FilteringMethod.EMAIL_ENABLED
CLEO = "cleo@customer.example"
ADA, BEN, SUPPORT = "ada@example.com", "ben@example.com", "support@example.com"


def outcomes(account: Account) -> dict[str, str]:
    """First half of the message id -> state, reason, who accepted it."""
    rows = SyncItem.objects.filter(mailbox=account.mailbox).select_related("email")
    return {row.message_id.partition("@")[0]: outcome(row) for row in rows}


def outcome(row: SyncItem) -> str:
    by = f" by {row.email.accepting_entity()}" if row.state == "tracked" else ""
    return f"{row.state}, {row.sub_reason or row.reason}{by}"


def deliver(account: Account, name: str, to: str = ADA, **headers: str) -> None:
    account.box.deliver(message(message_id=f"{name}@x.example", to=to, **headers))


def contact(owner: SystemUser, address: str = CLEO) -> Contact:
    return Contact.objects.create(last_name="Cleo", email_address1=address, owning_user=owner)


# -- the cycle


class Recorded(FakeIncomingServer):
    """Writes down what is asked, and how many emails are stored by then."""

    def __init__(self, box, heard: list[tuple[str, int]]) -> None:
        super().__init__(box)
        self.heard = heard

    def _called(self, method: str) -> None:
        self.heard.append((method, Email.objects.count()))
        super()._called(method)


@pytest.mark.rule("R3.1")
def test_a_cycle_connects_lists_stores_oldest_first_then_acts_and_ends_with_its_next_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    support = Account(queue_mailbox("support", process_and_delete_emails=True))
    for name, answered in (("oldest", "none"), ("middle", "oldest"), ("newest", "middle")):
        deliver(support, name, SUPPORT, in_reply_to=f"<{answered}@x.example>")
    heard: list[tuple[str, int]] = []
    ends = NOW + timedelta(minutes=7)

    def cycle(context, token, *, clock):
        found = receive(
            context, token, clock=lambda: NOW, connect=lambda *_: Recorded(support.box, heard)
        )
        times.append(ends)
        return found

    times = [NOW]
    monkeypatch.setitem(engine.CYCLES, Operation.INCOMING, cycle)
    row = Workload.objects.get(mailbox=support.mailbox, operation=Operation.INCOMING)
    Workload.objects.exclude(pk=row.pk).update(enabled=False)
    Workload.objects.filter(pk=row.pk).update(next_run_at=NOW)
    (claimed,) = claim(NOW, 1, "here:1")
    engine.run_claim(claimed, clock=lambda: times[-1])

    assert heard == [("open", 0), ("list_new", 0), ("fetch", 0), ("apply", 3)]
    # Each one found what it answers, so it was decided after that.
    parents = {
        email.message_id: email.parent_activity and email.parent_activity.message_id
        for email in Email.objects.select_related("parent_activity")
    }
    assert parents == {
        "oldest@x.example": None,
        "middle@x.example": "oldest@x.example",
        "newest@x.example": "middle@x.example",
    }
    assert not support.box.messages()
    row.refresh_from_db()
    assert row.next_run_at == ends + timedelta(seconds=row.gap_seconds)


@pytest.mark.rule("R3.3")
def test_what_a_user_may_not_see_is_found_all_the_same() -> None:
    ada, ben = Account(user_mailbox("ada", BUSINESS)), user_mailbox("ben")
    hidden = contact(ben.regarding_user)
    group_of(ada.mailbox.regarding_user, "view_contact")
    assert hidden not in visible_to(ada.mailbox.regarding_user, Contact.objects.all())
    deliver(ada, "one")

    ada.receive()

    assert outcomes(ada) == {"one": "tracked, SenderMatch by Ada"}
    assert Email.objects.get().email_sender_id == str(hidden.pk)


# -- who may accept


@pytest.mark.rule("R3.22", "R3.23")
def test_every_recipient_may_accept_what_one_mailbox_read() -> None:
    """So a mailbox that takes nothing is still where mail comes in."""
    ada = Account(user_mailbox("ada", NONE))
    user_mailbox("ben", ALL)
    user_mailbox("gone", ALL)
    SystemUser.objects.filter(domain_name="gone").update(is_disabled=True)
    deliver(ada, "both", f"{ADA}, {BEN}")
    deliver(ada, "copied", ADA, cc=BEN)
    deliver(ada, "alone")
    deliver(ada, "disabled", f"{ADA}, gone@example.com")

    ada.receive()

    assert outcomes(ada) == {
        "both": "tracked, AcceptAll by Ben",
        "copied": "tracked, AcceptAll by Ben",
        "alone": "rejected, filter_none",
        "disabled": "rejected, filter_none",
    }
    email = Email.objects.get(message_id="both@x.example")
    assert (str(email.accepting_entity()), email.receiving_mailbox) == ("Ben", ada.mailbox)


@pytest.mark.rule("R3.22")
@pytest.mark.parametrize(
    "switch",
    [
        "use_filtering_method_of_syncing_mailbox_only_for_correlation",
        "sss_force_filtering_method_for_user_mailboxes",
    ],
)
def test_or_only_the_mailbox_being_read(switch: str) -> None:
    organization(**{switch: True})
    ada = Account(user_mailbox("ada", NONE))
    user_mailbox("ben", ALL)
    deliver(ada, "both", f"{ADA}, {BEN}")
    ada.receive()
    assert outcomes(ada) == {"both": "rejected, filter_none"}


@pytest.mark.rule("R3.16")
def test_who_chose_nothing_takes_responses() -> None:
    ada = SystemUser.objects.create_user("ada")
    assert ada.settings.incoming_email_filtering_method == RESPONSES
    support = Queue.objects.create(name="Support", owning_user=ada)
    assert support.incoming_email_filtering_method == RESPONSES
    assert [each.value for each in (ALL, RESPONSES, BUSINESS, ENABLED, NONE)] == [0, 1, 2, 3, 4]


@pytest.mark.rule("R3.24")
@pytest.mark.parametrize(
    ("filtering", "accepted"),
    [
        (ALL, {"stranger", "reply", "contact", "colleague"}),
        (RESPONSES, {"reply"}),
        (BUSINESS, {"contact"}),
        (ENABLED, {"contact", "colleague"}),
        (NONE, set()),
    ],
)
def test_each_filter_takes_what_it_says(filtering: FilteringMethod, accepted: set[str]) -> None:
    ben = Account(user_mailbox("ben"))
    ada = Account(user_mailbox("ada", filtering))
    deliver(ben, "first", BEN, sender="x@elsewhere.example")
    ben.receive()
    contact(ben.mailbox.regarding_user)
    deliver(ada, "stranger", sender="y@elsewhere.example")
    deliver(ada, "reply", sender="x@elsewhere.example", in_reply_to="<first@x.example>")
    deliver(ada, "contact")
    deliver(ada, "colleague", sender=BEN)

    ada.receive()

    assert {name for name, told in outcomes(ada).items() if "tracked" in told} == accepted


@pytest.mark.rule("R3.25")
@pytest.mark.parametrize("filtering", [BUSINESS, ENABLED])
def test_sender_filters_take_replies_of_strangers_where_switched_on(
    filtering: FilteringMethod,
) -> None:
    ben, ada = Account(user_mailbox("ben")), Account(user_mailbox("ada", filtering))
    deliver(ben, "first", BEN)
    ben.receive()
    reply = {"sender": "x@elsewhere.example", "in_reply_to": "<first@x.example>"}
    deliver(ada, "off", **reply)
    ada.receive()
    organization(sender_filters_accept_replies=True)
    deliver(ada, "on", **reply)
    ada.receive()
    assert outcomes(ada) == {
        "off": "rejected, filter_sender_unknown",
        "on": "tracked, CorrelationMatch by Ada",
    }


@pytest.mark.rule("R3.26")
def test_of_several_the_mailbox_being_read_then_the_first_recipient_accepts() -> None:
    ada = Account(user_mailbox("ada"))
    silent = Account(user_mailbox("silent", NONE))
    user_mailbox("ben")
    queue_mailbox("support")
    address = "silent@example.com"
    deliver(ada, "read", f"{BEN}, {SUPPORT}", cc=ADA)
    deliver(silent, "first", f"{SUPPORT}, {address}, {BEN}")
    deliver(silent, "copied", address, cc=f"{BEN}, {SUPPORT}")
    deliver(silent, "hidden", address, bcc=BEN)

    ada.receive()
    silent.receive()

    assert outcomes(ada) == {"read": "tracked, AcceptAll by Ada"}
    assert outcomes(silent) == {
        "first": "tracked, AcceptAll by Support",
        "copied": "tracked, AcceptAll by Ben",
        "hidden": "tracked, AcceptAll by Ben",
    }


@pytest.mark.rule("R3.28")
@pytest.mark.parametrize(
    ("of_user", "of_queue", "told"),
    [
        (NONE, ALL, "tracked, AcceptAll by Shared"),
        (ALL, NONE, "tracked, AcceptAll by Ada"),
        (ALL, ALL, "tracked, AcceptAll by Ada"),
        (NONE, NONE, "rejected, filter_none"),
    ],
)
def test_an_address_of_a_user_and_a_queue_is_judged_by_the_more_permissive(
    of_user: FilteringMethod, of_queue: FilteringMethod, told: str
) -> None:
    reader = Account(user_mailbox("reader", NONE))
    ada = user_mailbox("ada", of_user).regarding_user
    shared = Queue.objects.create(
        name="Shared", owning_user=ada, incoming_email_filtering_method=of_queue
    )
    kind = ContentType.objects.get_for_model(Queue)
    EmailSearch.objects.create(email_address=ADA, parent_type=kind, parent_id=str(shared.pk))
    deliver(reader, "one")

    reader.receive()

    assert outcomes(reader) == {"one": told}
    if "tracked" in told:
        parties = ActivityParty.objects.filter(address_used=ADA)
        assert {party.party_type.model for party in parties} == {"systemuser", "queue"}


@pytest.mark.rule("R3.19")
def test_mail_between_users_is_looked_at_before_filters() -> None:
    organization(ignore_internal_email=True, ignore_internal_email_detection_enhancement=False)
    ada = Account(user_mailbox("ada", NONE))
    user_mailbox("ben")
    deliver(ada, "colleague", sender=BEN)
    deliver(ada, "list", "users@lists.example", sender=BEN)
    ada.receive()
    reasons = {row.message_id.partition("@")[0]: row.reason for row in SyncItem.objects.all()}
    assert reasons == {"colleague": "InternalEmailReject", "list": "NoRecipientMatch"}


@pytest.mark.rule("R3.13")
def test_automatic_replies_are_like_other_mail_unless_they_are_to_be_left_out() -> None:
    ada = Account(user_mailbox("ada"))
    away = {"Auto_Submitted": "auto-replied", "Reply_To": "office@customer.example"}
    deliver(ada, "taken", **away)
    ada.receive()
    organization(do_not_auto_track_auto_submitted=True)
    deliver(ada, "left", **away)
    deliver(ada, "person", Auto_Submitted="no")
    ada.receive()
    assert {name: told.split(",")[0] for name, told in outcomes(ada).items()} == {
        "taken": "tracked",
        "left": "rejected",
        "person": "tracked",
    }
    kept = Email.objects.get(message_id="taken@x.example").internet_message_headers
    assert kept == '{"Auto-Submitted": "auto-replied", "Reply-To": "office@customer.example"}'


# -- which record


@pytest.mark.rule("R3.32")
def test_of_several_records_the_kind_then_the_age_decides() -> None:
    ada = Account(user_mailbox("ada"))
    owner = SystemUser.objects.create_user("somebody")
    lead = Lead.objects.create(subject="x", email_address1=CLEO, owning_user=owner)
    found = []
    for number, make in enumerate(
        (
            lambda: lead,
            lambda: Company.objects.create(name="x", email_address1=CLEO, owning_user=owner),
            lambda: contact(owner),
            lambda: contact(owner),
        )
    ):
        made = make()
        deliver(ada, str(number))
        ada.receive()
        email = Email.objects.get(message_id=f"{number}@x.example")
        found.append((email.email_sender_type.model, email.email_sender_id == str(made.pk)))
    # The second contact is younger, so the first stays.
    assert found == [("lead", True), ("account", True), ("contact", True), ("contact", False)]


@pytest.mark.rule("R3.34")
@pytest.mark.parametrize(("number", "resolved"), [(100, True), (101, False)])
def test_an_address_of_more_than_100_records_stays_unresolved(number: int, resolved: bool) -> None:
    ada = Account(user_mailbox("ada", BUSINESS))
    owner = ada.mailbox.regarding_user
    people = Contact.objects.bulk_create(
        Contact(last_name=str(n), email_address1=CLEO, owning_user=owner) for n in range(number)
    )
    kind = ContentType.objects.get_for_model(Contact)
    EmailSearch.objects.bulk_create(
        EmailSearch(email_address=CLEO, parent_type=kind, parent_id=str(one.pk)) for one in people
    )
    deliver(ada, "one")
    ada.receive()
    expected = "tracked, SenderMatch by Ada" if resolved else "rejected, filter_sender_unknown"
    assert outcomes(ada) == {"one": expected}
