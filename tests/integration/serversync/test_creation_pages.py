"""The pages of cases, rules, templates and signatures."""

import pytest
from django.contrib.messages import get_messages
from django.urls import reverse

from activities.choices import CaseStatus
from activities.models import EmailSignature, Incident, Template
from mailboxes.choices import Reach
from mailboxes.models import SystemUser
from tests.factories.activities import ContactFactory
from tests.factories.clients import signed_in
from tests.factories.mailboxes import group_of
from tests.integration.serversync.cycles import queue_mailbox
from tracking.creation_forms import ConditionsField, DurationField
from tracking.models import ConvertRule, ConvertRuleItem
from tracking.models.rules import RuleState
from tracking.records import find_records, record_of

pytestmark = [pytest.mark.integration, pytest.mark.django_db]

ACTIONS = ("view", "add", "change", "delete")
MODELS = ("incident", "template", "emailsignature", "convertrule", "queue", "contact")


@pytest.fixture
def ada():
    user = SystemUser.objects.create_user("ada", first_name="Ada")
    group_of(user, *(f"{a}_{m}" for a in ACTIONS for m in MODELS), reach=Reach.ALL)
    return user


def url(model, page, *args):
    room = "tracking" if model is ConvertRule else "activities"
    return reverse(f"admin:{room}_{model._meta.model_name}_{page}", args=args)


def words(response):
    return " ".join(str(message) for message in get_messages(response.wsgi_request))


def rule_form(queue, owner, **values):
    return {
        "name": "Requests",
        "queue": str(queue.pk),
        "owning_user": str(owner.pk),
        "resolved_since_0": "3",
        "resolved_since_1": "60",
        "items-TOTAL_FORMS": "1",
        "items-INITIAL_FORMS": "0",
        "items-0-sequence_number": "1",
        "items-0-name": "Refunds",
        "items-0-priority_code": "1",
        "items-0-conditions_0": "subject_contains",
        "items-0-conditions_1": "refund",
        "items-0-conditions_2": "has_attachment",
        **values,
    }


@pytest.mark.rule("R3.58")
def test_a_rule_is_written_activated_and_read_only_then(ada):
    client, queue = signed_in(ada), queue_mailbox().regarding_queue
    client.post(url(ConvertRule, "add"), rule_form(queue, ada))

    rule = ConvertRule.objects.get()
    assert rule.resolved_since == 180
    assert rule.state_code == RuleState.DRAFT
    assert ConvertRuleItem.objects.get().conditions == [
        {"test": "subject_contains", "value": "refund"},
        {"test": "has_attachment"},
    ]
    page = url(ConvertRule, "change", rule.pk)
    shown = client.get(page)
    assert shown.context["deeds"][0][0].name == "activate"
    assert b"Not built: entitlements" in shown.content

    answer = client.post(url(ConvertRule, "do", rule.pk, "activate"))

    assert "acts from now on" in words(answer)
    rule.refresh_from_db()
    assert rule.state_code == RuleState.ACTIVE
    shown = client.get(page).content.decode()
    assert 'name="name"' not in shown
    assert "subject contains “refund”" in shown
    assert "Not built: entitlements" in shown
    assert client.post(page, rule_form(queue, ada, name="Other")).status_code == 403
    assert client.post(url(ConvertRule, "delete", rule.pk), {"post": "yes"}).status_code == 403
    rule.refresh_from_db()
    assert rule.name == "Requests"

    client.post(url(ConvertRule, "do", rule.pk, "deactivate"))
    rule.refresh_from_db()
    assert rule.state_code == RuleState.DRAFT


@pytest.mark.rule("R3.58")
def test_a_rule_is_for_a_queue_that_its_writer_may_change(ada):
    queue = queue_mailbox().regarding_queue
    rule = ConvertRule.objects.create(name="Requests", queue=queue, owning_user=ada)
    ConvertRuleItem.objects.create(convert_rule=rule, name="all")
    ben = SystemUser.objects.create_user("ben")
    group_of(ben, *(f"{a}_convertrule" for a in ACTIONS), "view_queue", reach=Reach.ALL)
    client = signed_in(ben)

    page = client.post(url(ConvertRule, "add"), rule_form(queue, ben)).content.decode()
    refused = client.post(url(ConvertRule, "do", rule.pk, "activate"))

    assert "so choose a queue that you may change" in page
    assert refused.status_code == 403
    assert ConvertRule.objects.get().state_code == RuleState.DRAFT


@pytest.mark.rule("R3.58")
def test_an_active_rule_tells_what_its_owner_has_lost(ada):
    owner = SystemUser.objects.create_user("owner", first_name="Rule")
    group_of(owner, "add_incident")
    rule = ConvertRule.objects.create(
        name="Requests", queue=queue_mailbox().regarding_queue, owning_user=owner
    )
    ConvertRuleItem.objects.create(convert_rule=rule, name="all")
    client = signed_in(ada)
    client.post(url(ConvertRule, "do", rule.pk, "activate"))
    page = url(ConvertRule, "change", rule.pk)
    assert "lacks the permission" not in client.get(page).content.decode()

    owner.groups.clear()

    assert "lacks the permission activities.add_incident" in client.get(page).content.decode()


@pytest.mark.rule("R3.58")
def test_what_is_wrong_with_a_condition_is_told(ada):
    queue = queue_mailbox().regarding_queue
    form = rule_form(queue, ada, **{"items-0-conditions_0": "subject_matches"})
    form["items-0-conditions_1"] = "("

    page = signed_in(ada).post(url(ConvertRule, "add"), form).content.decode()

    assert "Condition 1: This is no regular expression" in page
    assert not ConvertRule.objects.exists()


@pytest.mark.rule("R3.58")
def test_a_rule_that_can_t_act_is_not_activated(ada):
    queue = queue_mailbox().regarding_queue
    rule = ConvertRule.objects.create(
        name="Requests", queue=queue, owning_user=SystemUser.objects.create_user("nobody")
    )

    answer = signed_in(ada).post(url(ConvertRule, "do", rule.pk, "activate"))

    assert "The rule has no items" in words(answer)
    assert "lacks the permission activities.add_incident" in words(answer)
    rule.refresh_from_db()
    assert rule.state_code == RuleState.DRAFT


def test_a_rule_that_answers_has_a_template(ada):
    queue = queue_mailbox().regarding_queue
    form = rule_form(queue, ada, send_automatic_response="on")

    page = signed_in(ada).post(url(ConvertRule, "add"), form).content.decode()

    assert "Choose the template of the answer, or send none" in page


@pytest.mark.parametrize(
    ("minutes", "shown"), [(0, [0, 60]), (90, [90, 1]), (180, [3, 60]), (2880, [2, 1440])]
)
def test_minutes_in_the_largest_unit(minutes, shown):
    field = DurationField()

    assert field.widget.decompress(minutes) == shown
    assert field.clean([str(part) for part in shown]) == minutes


def test_conditions_there_and_back():
    field = ConditionsField()
    stored = [{"test": "subject_contains", "value": "a"}, {"test": "sender_known"}]

    assert field.clean(field.widget.decompress(stored)) == stored
    assert field.clean(field.widget.decompress([])) == []


# -- cases


def case(owner, **columns):
    columns = {
        "title": "Broken",
        "ticket_number": "CAS-1",
        "customer_contact": ContactFactory(owning_user=owner),
        "owning_user": owner,
    } | columns
    return Incident.objects.create(**columns)


def test_a_case_is_settled_and_taken_up_again(ada):
    client, one = signed_in(ada), case(ada)
    page = url(Incident, "change", one.pk)
    assert b'name="title"' in client.get(page).content

    client.post(url(Incident, "do", one.pk, "resolve"))

    one.refresh_from_db()
    assert one.status_code == CaseStatus.PROBLEM_SOLVED
    assert one.resolved_on is not None
    shown = client.get(page)
    assert b'name="title"' not in shown.content
    assert [deed.name for deed, _url in shown.context["deeds"]] == ["take_up"]

    client.post(url(Incident, "do", one.pk, "take_up"))
    one.refresh_from_db()
    assert (one.status_code, one.resolved_on) == (CaseStatus.IN_PROGRESS, None)


def test_a_case_made_by_hand_gets_a_number(ada):
    contact = ContactFactory(owning_user=ada)
    form = {
        "title": "Broken",
        "customer_contact": str(contact.pk),
        "status_code": "1",
        "priority_code": "2",
        "owning_user": str(ada.pk),
    }

    client = signed_in(ada)
    client.post(url(Incident, "add"), form)

    made = Incident.objects.get()
    assert made.ticket_number.startswith("CAS-")
    assert made.customer == contact
    without = client.post(url(Incident, "add"), form | {"customer_contact": ""})
    assert "A case has exactly one customer" in without.content.decode()


def test_mail_is_filed_under_cases_by_their_number_or_title(ada):
    one = case(ada)

    for words_typed in ("CAS-1", "brok"):
        (found,) = find_records(words_typed, ada)
        assert record_of(found.value, ada) == one
    assert not find_records("CAS-1", SystemUser.objects.create_user("ben"))


def test_the_list_of_cases_by_state(ada):
    case(ada)
    case(ada, title="Done", ticket_number="CAS-2", status_code=CaseStatus.CANCELED)
    client = signed_in(ada)

    assert b"Done" in client.get(url(Incident, "changelist")).content
    active = client.get(url(Incident, "changelist"), {"state": "0"}).content
    assert b"Broken" in active
    assert b"Done" not in active


# -- templates and signatures


def test_names_that_nobody_knows_are_refused_when_a_template_is_saved(ada):
    form = {"title": "x", "body": "{{ case.number }} {{ recipient.salary }}", "owning_user": ada.pk}
    client = signed_in(ada)

    page = client.post(url(Template, "add"), form).content.decode()

    assert "Nobody knows what these names stand for here: case.number, recipient.salary" in page
    good = form | {"template_type_code": "incident", "body": "{{ case.number }}"}
    client.post(url(Template, "add"), good)
    made = Template.objects.get()
    shown = client.get(url(Template, "change", made.pk)).content.decode()
    assert 'sandbox=""' in shown
    assert "[number of the case]" in client.get(url(Template, "preview", made.pk)).content.decode()


def test_a_preview_is_sanitised(ada):
    made = Template.objects.create(
        title="x", subject="<i>", body='"><script>alert(1)</script><b>ok</b>', owning_user=ada
    )

    shown = signed_in(ada).get(url(Template, "preview", made.pk))

    assert b"<b>ok</b>" in shown.content
    assert b"<script" not in shown.content
    assert "default-src 'none'" in shown["Content-Security-Policy"]
    ben = signed_in(SystemUser.objects.create_user("ben"))
    assert ben.get(url(Template, "preview", made.pk)).status_code == 404


def test_a_signature_names_its_writer_only(ada):
    form = {"title": "x", "body": "{{ recipient.name }}", "owning_user": ada.pk}
    client = signed_in(ada)

    assert "recipient.name" in client.post(url(EmailSignature, "add"), form).content.decode()
    client.post(url(EmailSignature, "add"), form | {"body": "{{ sender.name }}"})
    assert EmailSignature.objects.get().owner == ada


def test_others_see_no_personal_templates():
    ada, ben = (SystemUser.objects.create_user(name) for name in ("ada", "ben"))
    group_of(ben, "view_template", "change_template")
    Template.objects.create(title="Hers", owning_user=ada)
    shared = Template.objects.create(title="Ours", owning_user=ada, is_personal=False)
    client = signed_in(ben)

    listed = client.get(url(Template, "changelist")).content
    assert b"Ours" in listed
    assert b"Hers" not in listed
    assert b'name="title"' not in client.get(url(Template, "change", shared.pk)).content
