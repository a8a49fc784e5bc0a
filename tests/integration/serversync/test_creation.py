"""Contacts, leads, cases and answers, made of mail in whole cycles."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier

import pytest
from django.db import connection, transaction

from activities import blobs
from activities.choices import CaseStatus, EmailStatus, ParticipationType
from activities.mime.parse import parse
from activities.models import (
    Account as CustomerAccount,
)
from activities.models import (
    ActivityParty,
    Contact,
    Email,
    Incident,
    Lead,
    QueueItem,
    Template,
)
from mailboxes.choices import (
    AutoCreate,
    FilteringMethod,
    Operation,
    OutgoingDeliveryMethod,
    StateCode,
)
from mailboxes.models import EmailSearch, Mailbox, SystemUser, TraceLog
from serversync.models import Workload
from tests.factories.mailboxes import group_of
from tests.integration.serversync.cycles import (
    NOW,
    Account,
    message,
    organization,
    queue_mailbox,
    user_mailbox,
)
from tests.statements import counting
from tracking import creation_rules, telling
from tracking.creation import KEYS_TRIED, key_of
from tracking.models import ConvertRule, ConvertRuleItem
from tracking.promote import Incoming, PageStale, Reading, plan_page, reading_of, write_page

pytestmark = [pytest.mark.integration, pytest.mark.django_db]

RITA = "rita@customer.example"
FROM_RITA = f"Rita Example <{RITA}>"


def user(name="ada", wants=AutoCreate.CONTACT, **columns):
    mailbox = user_mailbox(name, **columns)
    settings = mailbox.regarding_user.settings
    settings.auto_create_contact_on_promote = wants
    settings.save()
    return Account(mailbox)


def queue(**columns):
    return Account(queue_mailbox("support", **columns))


def rule_owner():
    owner = SystemUser.objects.create_user("rules", first_name="Rule", last_name="Owner")
    group_of(owner, "add_incident", "add_contact")
    return owner


def template(**columns):
    owner = SystemUser.objects.get(domain_name="owner")
    columns = {
        "title": "Received",
        "template_type_code": "incident",
        "subject": "Your case {{ case.number }}",
        "body": "<p>Hello {{ recipient.name }}, {{ case.title }} is ours.</p>",
        "owning_user": owner,
    } | columns
    return Template.objects.create(**columns)


def rule(support, *, owner=None, items=({},), active=True, answers=False, **columns):
    made = ConvertRule.objects.create(
        name="Requests",
        queue=support.mailbox.regarding_queue,
        owning_user=owner or rule_owner(),
        send_automatic_response=answers,
        response_template=template() if answers else None,
        **columns,
    )
    for number, item in enumerate(items, start=1):
        ConvertRuleItem.objects.create(
            convert_rule=made, sequence_number=number, **({"name": f"item {number}"} | item)
        )
    if active:
        creation_rules.activate(rule=made, now=NOW)
    return made


def rita(**columns):
    owner = SystemUser.objects.get(domain_name="owner")
    columns = {"first_name": "Rita", "last_name": "Example", "owning_user": owner} | columns
    return Contact.objects.create(email_address1=RITA, **columns)


def deliver(account, number=1, *, arrived=None, **headers):
    headers = {"sender": FROM_RITA, "to": account.mailbox.email_address} | headers
    raw = message(**({"message_id": f"{number}@customer.example"} | headers))
    account.box.deliver(raw, received_at=arrived or account.now)


def told(email):
    return "\n".join(str(line) for line in telling.sentences(email.decision))


def sender_of(email):
    return ActivityParty.objects.get(
        activity_id=email.pk, participation_type_mask=ParticipationType.SENDER
    )


def answers():
    return Email.objects.filter(is_workflow_created=True)


# -- contacts and leads --------------------------------------------------------------------------


@pytest.mark.rule("R3.57")
def test_an_unknown_sender_becomes_a_contact():
    ada = user()
    deliver(ada)

    ada.receive()

    email, contact = Email.objects.get(), Contact.objects.get()
    assert (contact.first_name, contact.last_name) == ("Rita", "Example")
    assert contact.email_address1 == RITA
    assert contact.is_auto_create
    assert contact.owning_user == email.activity.owning_user == ada.mailbox.regarding_user
    assert sender_of(email).party_id == email.email_sender_id == str(contact.pk)
    row = EmailSearch.objects.get(email_address=RITA)
    assert (row.parent_type.model_class(), row.parent_id) == (Contact, str(contact.pk))
    assert "Made: contact Rita Example of the unknown sender, as the personal options" in told(
        email
    )


@pytest.mark.rule("R3.30")
def test_the_index_is_as_a_save_would_have_made_it():
    ada = user()
    deliver(ada, sender="Rita <Rita@Customer.EXAMPLE>")
    ada.receive()
    columns = ("parent_type_id", "parent_id", "email_address", "email_column_number")
    before = set(EmailSearch.objects.values_list(*columns))

    Contact.objects.get().save()

    assert set(EmailSearch.objects.values_list(*columns)) == before


@pytest.mark.rule("R3.57")
def test_or_a_lead():
    ada = user(wants=AutoCreate.LEAD)
    deliver(ada, subject="Fifty pieces")

    ada.receive()

    lead = Lead.objects.get()
    assert (lead.subject, lead.last_name, lead.is_auto_create) == ("Fifty pieces", "Example", True)
    assert not Contact.objects.exists()
    assert sender_of(Email.objects.get()).party_type.model_class() is Lead


@pytest.mark.rule("R3.57")
def test_of_a_queue_its_owner_decides():
    support = queue()
    owner = support.mailbox.regarding_queue.owning_user
    owner.settings.auto_create_contact_on_promote = AutoCreate.CONTACT
    owner.settings.save()
    deliver(support)

    support.receive()

    assert Contact.objects.get().owning_user == owner


@pytest.mark.rule("R3.57")
@pytest.mark.parametrize(
    "headers",
    [
        {"sender": "Colleague <nobody@example.com>"},
        {"sender": "Mail Delivery System <MAILER-DAEMON@customer.example>"},
        {"Auto_Submitted": "auto-replied"},
        {"List_Id": "<users.lists.example>"},
        {"sender": "Shop <no-reply@customer.example>"},
        {"X_Serversync": "answer"},
        {"Return_Path": "<>"},
    ],
)
def test_never_of_own_domains_machines_and_lists(headers):
    ada, support = user(), queue()
    rule(support, allow_unknown_sender=True, answers=True)
    deliver(ada, **headers)
    deliver(support, 2, **headers)

    ada.receive()
    support.receive()

    assert Email.objects.count() == 2
    assert not Contact.objects.exists()
    assert not Incident.objects.exists()
    for email in Email.objects.all():
        assert "No record was made" in told(email) or "No case by the rule" in told(email)


@pytest.mark.rule("R3.57")
def test_the_organization_may_forbid_it():
    organization(auto_create_contact_on_promote=False)
    ada = user()
    deliver(ada)

    ada.receive()

    assert not Contact.objects.exists()
    assert "the organization doesn't let personal options make records" in told(Email.objects.get())


@pytest.mark.rule("R3.57")
def test_two_messages_of_one_page_make_one_record():
    ada = user()
    deliver(ada, 1)
    deliver(ada, 2, sender=f"R. Example <{RITA.upper()}>")
    deliver(ada, 3, sender="Ben <ben@customer.example>", cc=RITA)

    ada.receive()

    made = Contact.objects.get(email_address1=RITA)
    parties = ActivityParty.objects.filter(party_id=str(made.pk))
    assert Contact.objects.count() == 2
    assert parties.count() == 3


def page(account, *raws):
    """What one worker plans, before anything of another is seen."""
    reading = Reading(
        mailbox=account.mailbox,
        organization=organization(),
        party=reading_of(account.mailbox),
        start=None,
        watermark=None,
        now=NOW,
    )
    incoming = [
        Incoming(key=str(number), message=parse(raw), raw=raw) for number, raw in enumerate(raws)
    ]
    staged = blobs.Staged()
    return plan_page(reading, incoming, staged), staged


def write(planned):
    plans, staged = planned
    blobs.stage(staged)
    with transaction.atomic():
        return write_page(plans, staged, NOW)


@pytest.mark.rule("R3.57")
def test_two_workers_with_the_same_new_sender_make_one_record():
    ada, ben = user("ada"), user("ben")
    first = page(ada, message(message_id="1@x.example", sender=FROM_RITA, to="ada@example.com"))
    second = page(ben, message(message_id="2@x.example", sender=FROM_RITA, to="ben@example.com"))

    write(first)
    write(second)

    contact = Contact.objects.get()
    assert EmailSearch.objects.filter(email_address=RITA).count() == 1
    assert {sender_of(email).party_id for email in Email.objects.all()} == {str(contact.pk)}


@pytest.mark.rule("R3.57")
@pytest.mark.database("postgresql")
@pytest.mark.django_db(transaction=True)
def test_eight_workers_at_once_make_one_record_of_each_sender():
    """In other orders each, so that they would wait for one another in a circle."""
    workers = [user(f"user{number}") for number in range(8)]
    senders = [f"s{number}@customer.example" for number in range(10)]
    plans = []
    for number, worker in enumerate(workers):
        some = senders[number:] + senders[:number]
        raws = [
            message(
                message_id=f"{number}-{n}@x.example",
                sender=one,
                to=str(worker.mailbox.email_address),
            )
            for n, one in enumerate(some)
        ]
        plans.append(page(worker, *raws))
    together = Barrier(len(workers))

    def at_once(planned):
        together.wait(30)
        try:
            return write(planned)
        finally:
            connection.close()

    with ThreadPoolExecutor(len(workers)) as pool:
        outcomes = list(pool.map(at_once, plans))

    assert all(one.state == "tracked" for page in outcomes for one in page.values())
    assert Contact.objects.count() == len(senders)
    assert EmailSearch.objects.filter(email_address__in=senders).count() == len(senders)
    assert Email.objects.count() == 80


@pytest.mark.rule("R3.57")
def test_what_lost_its_collision_makes_nothing():
    ada, ben = user("ada", AutoCreate.NONE), user("ben", AutoCreate.LEAD)
    both = message(
        message_id="1@x.example", sender=FROM_RITA, to="ben@example.com, ada@example.com"
    )
    for_ada = message(message_id="1@x.example", sender=FROM_RITA, to="ada@example.com")
    first, second = page(ada, for_ada), page(ben, both)

    write(first)
    outcome = write(second)[("0", 0)]

    assert outcome.state == "duplicate"
    assert "made" not in outcome.decision
    assert not Lead.objects.exists()


@pytest.mark.rule("R3.57")
def test_who_rests_on_what_was_not_made_is_planned_again():
    ada, ben = user("ada", AutoCreate.NONE), user("ben")
    one = message(message_id="1@x.example", sender=FROM_RITA, to="ben@example.com")
    for_ada = message(message_id="1@x.example", sender=FROM_RITA, to="ada@example.com")
    two = message(message_id="2@x.example", sender=FROM_RITA, to="ben@example.com")
    first, second = page(ada, for_ada), page(ben, one, two)

    write(first)
    with pytest.raises(PageStale):
        write(second)
    write(page(ben, one, two))

    assert sender_of(Email.objects.get(message_id="2@x.example")).party_id == str(
        Contact.objects.get().pk
    )


@pytest.mark.rule("R3.57")
def test_a_record_that_has_another_address_by_now_is_left_alone():
    ada = user()
    moved = Contact.objects.create(
        id=key_of("activities.contact", RITA),
        last_name="Example",
        email_address1="rita@elsewhere.example",
        owning_user=ada.mailbox.regarding_user,
    )
    deliver(ada)

    ada.receive()

    made = Contact.objects.get(email_address1=RITA)
    assert made.pk == key_of("activities.contact", RITA, 1)
    moved.refresh_from_db()
    assert moved.email_address1 == "rita@elsewhere.example"


@pytest.mark.rule("R3.57")
def test_an_address_whose_records_all_moved_gets_one_all_the_same():
    ada = user()
    for attempt in range(KEYS_TRIED):
        Contact.objects.create(
            id=key_of("activities.contact", RITA, attempt),
            last_name="Example",
            email_address1=f"rita@elsewhere{attempt}.example",
            owning_user=ada.mailbox.regarding_user,
        )
    deliver(ada, 1)
    deliver(ada, 2)

    ada.receive()
    deliver(ada, 3)
    ada.receive()

    assert Email.objects.count() == 3
    made = Contact.objects.get(email_address1=RITA)
    assert {sender_of(email).party_id for email in Email.objects.all()} == {str(made.pk)}


@pytest.mark.rule("R3.57")
def test_a_record_that_moves_between_plan_and_page_is_noticed():
    ada = user()
    raw = message(message_id="1@x.example", sender=FROM_RITA, to="ada@example.com")
    planned = page(ada, raw)
    Contact.objects.create(
        id=key_of("activities.contact", RITA),
        last_name="Example",
        email_address1="rita@elsewhere.example",
        owning_user=ada.mailbox.regarding_user,
    )

    with pytest.raises(PageStale):
        write(planned)
    assert not Email.objects.exists()
    write(page(ada, raw))

    assert Contact.objects.get(email_address1=RITA).pk == key_of("activities.contact", RITA, 1)


def test_a_record_made_between_two_look_ups_is_used():
    """The index was read before it was there, the table after."""
    ada = user()
    contact = rita(id=key_of("activities.contact", RITA))
    EmailSearch.objects.filter(parent_id=str(contact.pk)).delete()

    write(page(ada, message(message_id="1@x.example", sender=FROM_RITA, to="ada@example.com")))

    assert sender_of(Email.objects.get()).party_id == str(contact.pk)
    assert Contact.objects.count() == 1


# -- cases ---------------------------------------------------------------------------------------


@pytest.mark.rule("R3.59")
def test_mail_to_a_queue_becomes_a_case():
    support = queue()
    made = rule(support)
    company = CustomerAccount.objects.create(name="Customer Ltd", owning_user=made.owning_user)
    contact = rita(parent_account=company)
    deliver(support, subject="It is broken")

    support.receive()

    case, email = Incident.objects.get(), Email.objects.get()
    assert case.title == "It is broken"
    assert (case.customer_account, case.primary_contact) == (company, contact)
    assert case.customer == company
    assert case.ticket_number.startswith("CAS-260302-")
    assert case.owning_user == made.owning_user
    assert (case.created_from, case.email_address) == (email, RITA)
    assert case.case_origin_code == 2
    assert email.activity.regarding_object == case
    item = QueueItem.objects.get()
    assert item.state_code == StateCode.INACTIVE
    assert f"Made: case {case.ticket_number} by the rule Requests of queue Support" in told(email)
    assert "which was made of it" in told(email)
    assert not answers().exists()


@pytest.mark.rule("R3.58")
def test_items_are_asked_in_their_order():
    support = queue()
    rita()
    rule(
        support,
        items=[
            {"conditions": [{"test": "subject_contains", "value": "order"}], "priority_code": 3},
            {"conditions": [{"test": "sender_domain", "value": "customer.example"}]},
            {"name": "rest", "priority_code": 1},
        ],
    )
    deliver(support, 1, subject="My order")
    deliver(support, 2, subject="Hello")

    support.receive()

    priorities = Incident.objects.order_by("title").values_list("title", "priority_code")
    assert list(priorities) == [("Hello", 2), ("My order", 3)]


@pytest.mark.rule("R3.59")
@pytest.mark.parametrize(
    ("allow", "option", "contacts", "cases"),
    [
        (True, AutoCreate.LEAD, 1, 1),
        (False, AutoCreate.CONTACT, 1, 0),
        (False, AutoCreate.LEAD, 0, 0),
        (False, AutoCreate.NONE, 0, 0),
    ],
)
def test_unknown_senders(allow, option, contacts, cases):
    support = queue()
    made = rule(support, allow_unknown_sender=allow)
    made.owning_user.settings.auto_create_contact_on_promote = option
    made.owning_user.settings.save()
    deliver(support)

    support.receive()

    assert Contact.objects.count() == contacts
    assert Incident.objects.count() == cases
    assert Lead.objects.count() == 0
    assert QueueItem.objects.get().state_code == (StateCode.INACTIVE if cases else StateCode.ACTIVE)


@pytest.mark.rule("R3.59")
def test_an_answer_within_the_case_makes_no_second_one():
    support = queue()
    rita()
    rule(support)
    deliver(support, 1)
    deliver(support, 2, In_Reply_To="<1@customer.example>")
    support.receive()
    deliver(support, 3, In_Reply_To="<2@customer.example>")
    support.receive()

    case = Incident.objects.get()
    assert {email.activity.regarding_id for email in Email.objects.all()} == {str(case.pk)}
    assert QueueItem.objects.filter(state_code=StateCode.ACTIVE).count() == 2
    late = told(Email.objects.get(message_id="3@customer.example"))
    assert f"it is about the open case {case.ticket_number}" in late


@pytest.mark.rule("R3.59")
@pytest.mark.parametrize(("hours", "cases"), [(1, 1), (3, 2)])
def test_mail_about_a_resolved_case(hours, cases):
    support = queue()
    rita()
    rule(support, check_if_resolved=True, resolved_since=120)
    deliver(support, 1)
    support.receive()
    Incident.objects.update(
        status_code=CaseStatus.PROBLEM_SOLVED, resolved_on=NOW - timedelta(hours=hours)
    )
    deliver(support, 2, In_Reply_To="<1@customer.example>", subject="It broke again")

    support.receive()

    assert Incident.objects.count() == cases
    second = Email.objects.get(message_id="2@customer.example")
    filed = second.activity.regarding_object
    assert filed.title == ("Hello" if cases == 1 else "It broke again")


@pytest.mark.rule("R3.58")
def test_a_rule_whose_owner_may_not_make_cases_is_told_and_holds_nothing_up():
    support = queue()
    rita()
    made = rule(support)
    made.owning_user.groups.clear()
    deliver(support)

    support.receive()

    email = Email.objects.get()
    assert not Incident.objects.exists()
    assert "lacks the permission activities.add_incident" in told(email)
    assert QueueItem.objects.get().state_code == StateCode.ACTIVE


def alerts(code):
    return list(TraceLog.objects.filter(code=code, closed_on=None).values_list("text", flat=True))


@pytest.mark.rule("R3.58")
@pytest.mark.rule("R8.20")
def test_missing_rights_of_a_rule_s_owner_are_an_alert_until_it_works():
    support = queue()
    rita()
    made = rule(support)
    groups = list(made.owning_user.groups.all())
    made.owning_user.groups.clear()
    for number in range(2):
        deliver(support, number)
        support.receive()

    (text,) = alerts("RuleOwnerLacksRights")
    assert "The rule Requests makes no records: its owner, Rule Owner, may not" in text

    made.owning_user.groups.set(groups)
    deliver(support, 3)
    support.receive()
    assert Incident.objects.count() == 1
    assert not alerts("RuleOwnerLacksRights")


@pytest.mark.rule("R3.58")
def test_spam_makes_so_many_records_an_hour_and_nothing_is_lost():
    organization(auto_creates_per_hour=3, auto_creates_per_day=4)
    support = queue()
    rule(support, allow_unknown_sender=True)
    for number in range(5):
        deliver(support, number, sender=f"{number}@customer.example")
    support.receive()

    assert Email.objects.count() == 5
    assert Incident.objects.count() == Contact.objects.count() == 3
    assert QueueItem.objects.filter(state_code=StateCode.ACTIVE).count() == 2
    held = told(Email.objects.get(message_id="4@customer.example"))
    assert "3 unknown senders became records by the same rule or options within an hour" in held
    (text,) = alerts("RecordsHeldBack")
    assert "More unknown senders wrote than may become records by Requests" in text

    support.later(minutes=61)
    for number in range(5, 7):
        deliver(support, number, sender=f"{number}@customer.example")
    support.receive()
    assert Incident.objects.count() == 4  # and that is what a day gives
    assert "within a day" in told(Email.objects.get(message_id="6@customer.example"))
    support.later(hours=24)
    deliver(support, 7, sender="7@customer.example")
    support.receive()
    assert Incident.objects.count() == 5
    assert not alerts("RecordsHeldBack")


def plan(account, number, **headers):
    """What a worker plans for one message, and the bytes for it."""
    reading = Reading(
        mailbox=account.mailbox,
        organization=organization(),
        party=reading_of(account.mailbox),
        start=None,
        watermark=None,
        now=NOW,
    )
    headers = {"sender": FROM_RITA, "message_id": f"{number}@customer.example"} | headers
    raw, staged = message(**headers), blobs.Staged()
    return plan_page(
        reading, [Incoming(key=str(number), message=parse(raw), raw=raw)], staged
    ), staged


@pytest.mark.rule("R3.58")
def test_a_brake_is_asked_again_in_the_transaction_that_makes_records():
    organization(auto_creates_per_hour=1)
    ada = user()

    def planned(number):
        return plan(ada, number, sender=f"{number}@customer.example")

    plans, staged = planned(1)
    others, other_staged = planned(2)  # by another worker, before the first one wrote
    with transaction.atomic():
        write_page(plans, staged, NOW)
    with pytest.raises(PageStale), transaction.atomic():
        write_page(others, other_staged, NOW)
    others, other_staged = planned(2)
    with transaction.atomic():
        write_page(others, other_staged, NOW)

    assert Contact.objects.count() == 1
    assert Email.objects.count() == 2


@pytest.mark.rule("R3.58")
def test_a_draft_does_nothing():
    support = queue()
    rita()
    rule(support, active=False)
    deliver(support)

    support.receive()

    assert not Incident.objects.exists()
    assert "rule" not in told(Email.objects.get())


@pytest.mark.rule("R3.59")
def test_the_same_mail_in_two_mailboxes_makes_one_case():
    support, sales = queue(), Account(queue_mailbox("sales"))
    rita()
    rule(support, answers=True)
    raw = message(message_id="1@x.example", sender=FROM_RITA, to="support@example.com")
    plans = [page(support, raw), page(sales, raw)]

    for planned in plans:
        write(planned)

    assert Incident.objects.count() == 1
    assert answers().count() == 1


def test_what_follows_an_email_that_lost_is_not_written():
    support, sales = queue(), Account(queue_mailbox("sales"))
    rita()
    rule(support, answers=True)
    plain = page(sales, message(message_id="1@x.example", sender=FROM_RITA, to="sales@example.com"))
    both = "support@example.com, sales@example.com"
    planned = page(support, message(message_id="1@x.example", sender=FROM_RITA, to=both))

    write(plain)
    write(planned)

    assert not Incident.objects.exists()
    assert not answers().exists()
    assert Email.objects.count() == 1


# -- switching rules -----------------------------------------------------------------------------


@pytest.mark.rule("R3.58")
def test_one_active_rule_for_each_queue():
    support = queue()
    rule(support)
    other = ConvertRule.objects.create(
        name="Other",
        queue=support.mailbox.regarding_queue,
        owning_user=SystemUser.objects.get(domain_name="rules"),
    )
    ConvertRuleItem.objects.create(convert_rule=other, name="all")

    with pytest.raises(Exception, match="has an active rule already"):
        creation_rules.activate(rule=other, now=NOW)
    creation_rules.deactivate(rule=ConvertRule.objects.get(name="Requests"), now=NOW)
    creation_rules.activate(rule=other, now=NOW)

    assert ConvertRule.objects.get(state_code=1) == other


@pytest.mark.rule("R3.58")
def test_everything_that_is_in_the_way_is_told_at_once():
    support = queue()
    waiting = support.mailbox.regarding_queue
    waiting.email_address = ""
    type(waiting).objects.filter(pk=waiting.pk).update(email_address="")
    owner = SystemUser.objects.create_user("nobody")
    made = rule(support, owner=owner, items=[{"conditions": [{"test": "?"}]}], active=False)

    faults = " ".join(creation_rules.faults_of(ConvertRule.objects.get(pk=made.pk)))

    assert "has no address" in faults
    assert "Choose what is asked" in faults
    assert "lacks the permission activities.add_incident" in faults


# -- answers -------------------------------------------------------------------------------------


@pytest.mark.rule("R3.59")
def test_the_answer_leaves_marked_and_in_its_thread():
    support = queue()
    rule(support, allow_unknown_sender=True, answers=True)
    deliver(support, subject="It is broken", References="<0@customer.example>")
    Workload.objects.update(next_run_at=NOW + timedelta(days=1))

    support.receive()

    answer, case = answers().get(), Incident.objects.get()
    assert answer.status_code == EmailStatus.PENDING_SEND
    assert answer.activity.regarding_object == case
    assert answer.sender_mailbox == support.mailbox
    due = Workload.objects.get(mailbox=support.mailbox, operation=Operation.OUTGOING)
    assert due.next_run_at == NOW
    question = Email.objects.get(is_workflow_created=False)
    assert answer.parent_activity == question
    assert answer.conversation_tracking_id == question.conversation_tracking_id

    assert support.send().processed == 1
    (envelope,) = support.outgoing.sent
    sent = parse(envelope.mime)
    assert sent.auto_submitted == "auto-replied"
    assert b"X-Auto-Response-Suppress: OOF" in envelope.mime
    assert sent.kind.is_automatic
    assert sent.own_header == "answer"
    assert sent.in_reply_to == "1@customer.example"
    assert sent.references == ("0@customer.example", "1@customer.example")
    assert sent.subject.startswith(f"Your case {case.ticket_number} CRM:")
    assert "Hello Rita Example, It is broken is ours." in sent.html
    assert [address.address for address in sent.to] == [RITA]
    assert envelope.recipients == (RITA,)
    assert "Answered automatically: to rita@customer.example" in told(question)


@pytest.mark.rule("R3.59")
def test_mail_that_is_old_when_it_is_read_is_not_answered():
    organization(auto_responses_within_days=2)
    support = queue()
    rule(support, allow_unknown_sender=True, answers=True)
    deliver(support, 1, sender="one@customer.example", arrived=NOW - timedelta(days=2, hours=1))
    deliver(support, 2, sender="two@customer.example", arrived=NOW - timedelta(days=1, hours=23))

    support.receive()

    assert Incident.objects.count() == 2
    assert answers().get().to_recipients == "two@customer.example"
    late = told(Email.objects.get(message_id="1@customer.example"))
    assert "No automatic answer: the mail arrived more than 2 days before it was read" in late


@pytest.mark.rule("R3.59")
def test_an_answer_that_could_not_leave_in_time_is_cancelled():
    support = queue()
    rule(support, allow_unknown_sender=True, answers=True)
    deliver(support, 1, sender="one@customer.example")
    support.receive()
    support.later(days=3, minutes=1)
    deliver(support, 2, sender="two@customer.example")
    support.receive()

    support.send()

    late, fresh = answers().order_by("submitted_at")
    assert (late.status_code, late.last_error_code) == (EmailStatus.CANCELED, "AnswerOverdue")
    assert late.activity.state_code == EmailStatus.CANCELED.state
    assert fresh.status_code == EmailStatus.SENT
    assert not late.submissions.exists()


@pytest.mark.rule("R3.59")
def test_two_sites_that_answer_each_other_stop_at_once():
    support = queue()
    rule(support, allow_unknown_sender=True, answers=True)
    deliver(support)
    support.receive()
    support.send()
    (envelope,) = support.outgoing.sent
    back = envelope.mime.replace(b"From: Support <support@example.com>", b"From: " + RITA.encode())
    back = back.replace(b"To: Rita Example <rita@customer.example>", b"To: support@example.com")
    support.box.deliver(back.replace(b"Message-ID: <", b"Message-ID: <x"))

    support.receive()

    assert Email.objects.filter(is_workflow_created=False).count() == 2
    assert answers().count() == 1
    assert Incident.objects.count() == 1


@pytest.mark.rule("R3.59")
def test_machines_that_don_t_say_so_are_stopped_by_number():
    organization(auto_responses_per_address=3)
    support = queue()
    rule(support, allow_unknown_sender=True, answers=True)
    for number in range(1, 3):
        deliver(support, number, sender=f"x <{RITA}>")
    support.receive()
    for number in range(3, 8):
        deliver(support, number, sender=f"x <{RITA.title()}>")

    support.receive()

    assert Incident.objects.count() == 7
    assert answers().count() == 3
    last = Email.objects.get(message_id="7@customer.example")
    assert "No automatic answer: this address got 3 within a day" in told(last)
    support.later(hours=25)
    deliver(support, 9)
    support.receive()
    assert answers().count() == 4


@pytest.mark.rule("R3.59")
def test_a_queue_sends_so_many_in_an_hour():
    organization(auto_responses_per_queue=2)
    support = queue()
    rule(support, allow_unknown_sender=True, answers=True)
    for number in range(3):
        deliver(support, number, sender=f"{number}@customer.example")
    support.receive()
    assert answers().count() == 2
    deliver(support, 4, sender="four@customer.example")
    support.receive()
    assert answers().count() == 2
    support.later(minutes=61)
    deliver(support, 5, sender="five@customer.example")
    support.receive()

    assert answers().count() == 3


@pytest.mark.rule("R3.59")
@pytest.mark.parametrize(
    "limits", [{"auto_responses_per_queue": 1}, {"auto_responses_per_address": 1}]
)
def test_answers_of_other_workers_are_counted_in_the_transaction_that_writes(limits):
    organization(**limits)
    support = queue()
    rule(support, allow_unknown_sender=True, answers=True)

    def planned(number):
        return plan(support, number, to="support@example.com")

    plans, staged = planned(1)
    others, other_staged = planned(2)  # by another worker, before the first one wrote
    with transaction.atomic():
        write_page(plans, staged, NOW)
    with pytest.raises(PageStale), transaction.atomic():
        write_page(others, other_staged, NOW)
    others, other_staged = planned(2)
    with transaction.atomic():
        write_page(others, other_staged, NOW)

    assert answers().count() == 1
    assert Incident.objects.count() == 2


@pytest.mark.rule("R3.59")
def test_who_wants_no_email_gets_none_and_a_closed_mailbox_sends_none():
    support = queue()
    rita(do_not_email=True)
    rule(support, allow_unknown_sender=True, answers=True)
    deliver(support, 1)
    support.receive()
    Mailbox.objects.update(outgoing_email_delivery_method=OutgoingDeliveryMethod.NONE)
    deliver(support, 2, sender="Ben <ben@customer.example>")
    support.receive()

    assert Incident.objects.count() == 2
    assert not answers().exists()
    assert "the sender doesn't want email" in told(
        Email.objects.get(message_id="1@customer.example")
    )
    closed = told(Email.objects.get(message_id="2@customer.example"))
    assert "nothing can leave through the mailbox of queue Support" in closed


# -- what it costs -------------------------------------------------------------------------------


def test_a_page_of_50_new_senders_with_everything_on():
    organization(
        enable_smart_matching=True,
        use_envelope_evidence=True,
        sss_create_additional_queue_items_for_already_tracked_email=True,
    )
    support = queue()
    owner = SystemUser.objects.get(domain_name="owner")
    rita()
    Lead.objects.create(subject="x", email_address1="lead@customer.example", owning_user=owner)
    CustomerAccount.objects.create(
        name="x", email_address1="info@customer.example", owning_user=owner
    )
    user(wants=AutoCreate.LEAD, filtering=FilteringMethod.ALL)
    rule(support, allow_unknown_sender=True, answers=True)
    deliver(support, 0, sender="zero@customer.example")
    support.receive()
    for number in range(1, 51):
        answers_it = {"In_Reply_To": "<0@customer.example>"} if number % 10 == 0 else {}
        deliver(
            support,
            number,
            sender=f"Sender {number} <s{number}@customer.example>",
            to="support@example.com, ada@example.com",
            cc=f"{RITA}, lead@customer.example, info@customer.example",
            subject=f"word{number} another{number}",
            **answers_it,
        )

    with counting() as counted:
        support.receive()

    assert Incident.objects.count() == 46
    assert answers().count() == 46
    assert Contact.objects.count() == 47
    most = 40 if connection.vendor == "postgresql" else 62
    assert len(counted) <= most, str(counted)
    before = counted.sql[: next(n for n, sql in enumerate(counted.sql) if sql[:6] == "INSERT")]
    assert len([sql for sql in before if sql.startswith("SELECT")]) <= 15, str(counted)


def test_where_nobody_wants_anything_nothing_is_asked():
    ada = user(wants=AutoCreate.NONE)
    deliver(ada)
    with counting() as counted:
        ada.receive()

    assert not [sql for sql in counted.sql if "convertruleitem" in sql or "activities_lead" in sql]
