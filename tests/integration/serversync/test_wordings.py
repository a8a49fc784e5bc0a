"""Templates and signatures on the page that emails are written on."""

import pytest
from django.db import IntegrityError, transaction
from django.urls import reverse

from activities.models import Email, EmailSignature, Incident, Template
from serversync import outbox
from serversync.wordings import as_typed, below, templates_for, worded
from tests.factories.activities import ContactFactory
from tests.factories.clients import signed_in
from tests.factories.mailboxes import group_of
from tests.factories.posting import form_data
from tests.integration.serversync.cycles import NOW, user_mailbox

pytestmark = [pytest.mark.integration, pytest.mark.django_db]

COMPOSE = "admin:activities_email_add"


@pytest.fixture
def ada():
    user = user_mailbox("ada").regarding_user
    group_of(user, "add_email", "change_email", "view_email", "view_contact", "view_incident")
    return user


def signature(owner, body="Ada<br>\nExample Ltd", **columns):
    columns = {"title": "Mine", "is_default": True} | columns
    return EmailSignature.objects.create(owning_user=owner, body=body, **columns)


def test_a_new_email_begins_above_the_signature(ada):
    signature(ada, body="{{ sender.name }}<br>\nExample Ltd")

    form = signed_in(ada).get(reverse(COMPOSE)).context["form"]

    assert form["body"].value() == "\n\nAda\nExample Ltd"
    assert not form["is_html"].value()


def test_a_signature_with_markup_is_html_source(ada):
    signature(ada, body="<p><b>Ada</b></p><script>x</script>")

    form = signed_in(ada).get(reverse(COMPOSE)).context["form"]

    assert form["body"].value() == "<br>\n<br>\n<p><b>Ada</b></p>"
    assert form["is_html"].value()


def test_nobody_else_s_signature_is_taken(ada):
    other = user_mailbox("ben").regarding_user
    signature(other, is_personal=False)
    signature(ada, is_default=False)

    assert signed_in(ada).get(reverse(COMPOSE)).context["form"]["body"].value() == ""


def test_an_answer_has_the_signature_above_what_it_quotes(ada):
    draft = outbox.create_draft(outbox.Draft(sender=ada, body="x"), actor=ada, now=NOW)
    signature(ada)

    body = outbox.reply(draft, actor=ada, now=NOW).description

    assert body.index("Example Ltd") < body.index("<blockquote")


def test_one_default_for_each_user(ada):
    signature(ada)
    with pytest.raises(IntegrityError), transaction.atomic():
        signature(ada, title="Another")


@pytest.mark.parametrize("html", ["", "a", "a<br>\nb", below("a &amp; b")])
def test_plain_text_stays_plain(html):
    text, is_html = as_typed(html)

    assert not is_html
    assert "<" not in text


@pytest.mark.parametrize("html", ["<p>a</p>", "a<br>b", "<b>a</b>", "&nbsp;a"])
def test_markup_is_kept(html):
    assert as_typed(html) == (html, True)


# -- templates


def template(owner, **columns):
    columns = {
        "title": "Thanks",
        "subject": "Thank you, {{ recipient.first_name }}",
        "body": "<p>Dear {{ recipient.name }} of {{ regarding.name }}{{ case.number }}</p>",
    } | columns
    return Template.objects.create(owning_user=owner, **columns)


def inserted(client, chosen, **typed):
    data = form_data(client, reverse(COMPOSE), "form") | {"template": str(chosen.pk)} | typed
    return client.post(reverse(COMPOSE), data | {"_template": "1"}).context["form"]


def test_a_template_fills_subject_and_text_and_saves_nothing(ada):
    contact = ContactFactory(first_name="Rita", last_name="Example", owning_user=ada)
    form = inserted(
        signed_in(ada),
        template(ada),
        to=contact.email_address1,
        regarding=f"activities.contact:{contact.pk}",
        body="As we said.",
    )

    assert form["subject"].value() == "Thank you, Rita"
    assert form["body"].value() == "<p>Dear Rita Example of Rita Example</p>As we said."
    assert form["is_html"].value()
    assert form["to"].value() == contact.email_address1
    assert form["regarding"].value() == f"activities.contact:{contact.pk}"
    assert not form.errors
    assert not Email.objects.exists()


def test_a_subject_that_is_there_stays(ada):
    assert inserted(signed_in(ada), template(ada), subject="Mine")["subject"].value() == "Mine"


def test_fields_of_the_case_it_is_about(ada):
    contact = ContactFactory(owning_user=ada)
    case = Incident.objects.create(
        title="Broken", ticket_number="CAS-1", customer_contact=contact, owning_user=ada
    )
    about = template(
        ada, template_type_code="incident", body="{{ case.number }} {{ case.customer }}"
    )
    client = signed_in(ada)

    form = inserted(client, about, regarding=f"activities.incident:{case.pk}")
    assert form["body"].value() == f"CAS-1 {contact}"
    assert not form.inserted.lacks_case
    assert inserted(client, about).inserted.lacks_case


def test_nobody_is_named_whom_the_writer_can_t_see(ada):
    ben = user_mailbox("ben").regarding_user
    for owner, name in ((ben, "Secret"), (ada, "Known")):
        ContactFactory(
            first_name=name,
            last_name="Person",
            email_address1=f"{name.lower()}@customer.example",
            owning_user=owner,
        )
    greeting = template(ada, body="Dear {{ recipient.first_name }}")
    client = signed_in(ada)

    assert "Known" in inserted(client, greeting, to="known@customer.example")["body"].value()
    assert (
        "Secret Person"
        not in inserted(
            client, template(ada, body="{{ recipient.name }}"), to="secret@customer.example"
        )["body"].value()
    )


def test_own_templates_and_those_for_all_are_offered(ada):
    ben = user_mailbox("ben").regarding_user
    mine = template(ada, title="Mine")
    template(ben, title="Ben's")
    shared = template(ben, title="Shared", is_personal=False)

    assert list(templates_for(ada)) == [mine, shared]


def test_what_is_not_offered_is_not_inserted(ada):
    ben = user_mailbox("ben").regarding_user

    form = inserted(signed_in(ada), template(ben), body="Mine")

    assert form["body"].value() == "Mine"
    assert form["subject"].value() == ""


def test_what_stayed_empty_is_named(ada):
    form_page = signed_in(ada)
    chosen = template(
        ada, body="{{ recipient.name }} {{ regarding.phone }} {{ organization.name }}", subject=""
    )
    data = form_data(form_page, reverse(COMPOSE), "form") | {"template": str(chosen.pk)}

    answer = form_page.post(reverse(COMPOSE), data | {"_template": "1"})

    words = " ".join(str(message) for message in answer.context["messages"])
    assert "These stayed empty" in words
    assert "name of the recipient ({{ recipient.name }})" in words
    assert "its telephone number ({{ regarding.phone }})" in words
    assert "organization" not in words


def test_fields_of_the_record_it_is_about(ada):
    contact = ContactFactory(telephone1="+49 30 1234", owning_user=ada)
    about = template(
        ada, body="{{ regarding.email }}, {{ regarding.phone }}, {{ regarding.owner }}"
    )

    form = inserted(signed_in(ada), about, regarding=f"activities.contact:{contact.pk}")

    assert form["body"].value() == f"{contact.email_address1}, +49 30 1234, Ada"


def test_no_customer_is_named_whom_the_writer_can_t_see(ada):
    ben = user_mailbox("ben").regarding_user
    secret = ContactFactory(first_name="Secret", last_name="Person", owning_user=ben)
    case = Incident.objects.create(
        title="Broken", ticket_number="CAS-1", customer_contact=secret, owning_user=ada
    )
    about = template(
        ada, template_type_code="incident", subject="", body="{{ case.number }}{{ case.customer }}"
    )

    form = inserted(signed_in(ada), about, regarding=f"activities.incident:{case.pk}")

    assert form["body"].value() == "CAS-1"
    assert form.inserted.empty == ("name of its customer ({{ case.customer }})",)


def test_a_record_out_of_sight_fills_nothing(ada):
    ben = user_mailbox("ben").regarding_user
    secret = ContactFactory(first_name="Secret", owning_user=ben)

    made = worded(template(ada), actor=ada, sender=ada, to=None, regarding=secret)

    assert "Secret" not in made.html


def test_a_template_is_tried_with_a_record_that_its_reader_may_see(ada):
    group_of(ada, "view_template", "change_template")
    ben = user_mailbox("ben").regarding_user
    seen = ContactFactory(first_name="Rita", last_name="Example", owning_user=ada)
    secret = ContactFactory(first_name="Secret", last_name="Person", owning_user=ben)
    mine = template(ada, body="<p>Dear {{ recipient.name }}: {{ regarding.phone }}</p>")
    client = signed_in(ada)
    url = reverse("admin:activities_template_try", args=[mine.pk])
    assert "Preview with a record" in client.get(change_of(mine)).content.decode()

    tried = client.get(url, {"record": f"activities.contact:{seen.pk}"})

    assert tried.context["made"].subject == "Thank you, Rita"
    assert tried.context["empty"] == ("its telephone number ({{ regarding.phone }})",)
    frame = client.get(
        reverse("admin:activities_template_preview", args=[mine.pk]),
        {"record": f"activities.contact:{seen.pk}"},
    )
    assert b"Dear Rita Example" in frame.content
    hidden = client.get(url, {"record": f"activities.contact:{secret.pk}"})
    assert hidden.context["made"] is None
    assert "Secret" not in hidden.content.decode()


def change_of(one):
    return reverse("admin:activities_template_change", args=[one.pk])
