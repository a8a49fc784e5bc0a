"""What somebody with an account and bad intentions tries, and doesn't get."""

import uuid
from email import message_from_bytes
from email.policy import default

import pytest
from django.contrib.messages import get_messages
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from django_q.models import OrmQ, Schedule, Task

from activities.models import ActivityMimeAttachment, Contact, Email
from activities.outgoing import envelopes
from mailboxes.choices import Reach
from mailboxes.models import Organization, SystemUser
from serversync.console.registry import SCREENS
from tests.factories.clients import signed_in
from tests.factories.console import Site
from tests.factories.mailboxes import SuperuserFactory, SystemUserFactory, group_of

pytestmark = pytest.mark.integration

JOBS = ("schedule", "success", "failure", "ormq")


# -- the queue


@pytest.mark.parametrize("model", JOBS)
def test_nobody_writes_the_queues_tables_for_a_schedule_could_run_anything(site, model):
    client = signed_in(site.administrator)
    assert client.get(reverse(f"admin:django_q_{model}_changelist")).status_code == 200
    assert client.get(reverse(f"admin:django_q_{model}_add")).status_code == 403


def test_a_schedule_is_looked_at_and_not_changed(site):
    row = Schedule.objects.create(name="harmless", func="serversync.jobs.tick")
    url = reverse("admin:django_q_schedule_change", args=[row.pk])
    client = signed_in(site.administrator)
    assert "harmless" in client.get(url).content.decode()
    assert client.post(url, {"name": "x", "func": "os.system"}).status_code == 403
    assert Schedule.objects.get(pk=row.pk).func == "serversync.jobs.tick"


def test_waiting_jobs_show_no_payload_and_need_reach_over_all_rows(site):
    row = OrmQ.objects.create(key="serversync", payload="a-signed-package", lock=timezone.now())
    url = reverse("admin:django_q_ormq_change", args=[row.pk])
    page = signed_in(site.administrator).get(url)
    assert page.status_code == 200
    assert "a-signed-package" not in page.content.decode()
    group_of(site.ben, "view_ormq", reach=Reach.OWN)
    client = signed_in(site.ben)
    assert client.get(url).status_code == 302
    listed = client.get(reverse("admin:django_q_ormq_changelist"))
    assert listed.context["cl"].result_count == 0


@pytest.mark.parametrize("model", ["success", "failure"])
def test_a_jobs_page_tells_its_outcome_as_text(site, model):
    now = timezone.now()
    row = Task.objects.create(
        id=uuid.uuid4().hex,
        name="a job",
        func="serversync.jobs.tick",
        started=now,
        stopped=now,
        success=model == "success",
        result="<xss>what happened",
    )
    client = signed_in(site.administrator)
    for url in (
        reverse(f"admin:django_q_{model}_changelist"),
        reverse(f"admin:django_q_{model}_change", args=[row.pk]),
    ):
        assert "&lt;xss&gt;what happened" in client.get(url).content.decode(), url


# -- deleting


def test_the_lists_delete_action_stops_at_the_reach_for_deleting(site):
    """Who sees all contacts but may delete own ones only."""
    group_of(site.ben, "view_contact", reach=Reach.ALL)
    group_of(site.ben, "delete_contact", reach=Reach.OWN)
    mine = Contact.objects.create(last_name="Mine", owning_user=site.ben)
    url = reverse("admin:activities_contact_changelist")
    data = {"action": "delete_selected", "post": "yes"}
    client = signed_in(site.ben)

    refused = client.post(url, {**data, "_selected_action": [str(mine.pk), str(site.cleo.pk)]})
    assert refused.status_code == 403
    assert Contact.objects.filter(pk__in=[mine.pk, site.cleo.pk]).count() == 2

    assert client.post(url, {**data, "_selected_action": [str(mine.pk)]}).status_code == 302
    assert not Contact.objects.filter(pk=mine.pk).exists()


# -- the own account


def test_the_own_password_is_never_changed_without_the_old_one(site):
    """Whoever finds a signed-in browser; the key may be written in more ways than one."""
    for user in (site.ben, site.administrator):
        before = SystemUser.objects.get(pk=user.pk).password
        client = signed_in(user)
        for key in (str(user.pk), user.pk.hex, str(user.pk).upper()):
            url = reverse("admin:auth_user_password_change", args=[key])
            data = {"password1": "another-Pass-1", "password2": "another-Pass-1"}
            answer = client.post(url, {**data, "usable_password": "true"})
            assert answer.status_code == 302, key
            assert answer.url == reverse("admin:password_change")
        assert SystemUser.objects.get(pk=user.pk).password == before


# -- addresses of pages


@pytest.mark.parametrize("value", ["%00", "9" * 30])
def test_no_question_that_a_list_is_asked_by_address_fails(db, value):
    client = signed_in(SuperuserFactory())
    for model in SCREENS:
        meta = model._meta
        base = reverse(f"admin:{meta.app_label}_{meta.model_name}_changelist")
        columns = [field.name for field in meta.fields if field.is_relation] + ["pk"]
        for query in ("q", "p", "o", *columns):
            answer = client.get(f"{base}?{query}={value}")
            assert answer.status_code in (200, 302, 400), (base, query)


@pytest.mark.rule("R6.36")
@pytest.mark.parametrize(
    "question",
    [
        "activities_appointment_changelist?location__startswith=Clin",
        "activities_appointment_changelist?description__contains=secret",
        "activities_recurringappointmentmaster_changelist?location__startswith=C",
        "activities_activitypointer_changelist?subject__startswith=Layoff",
        "activities_email_changelist?description__contains=a",
        "activities_email_changelist?activity__subject__startswith=a",
        "mailboxes_mailbox_changelist?user_name__startswith=a",
    ],
)
def test_no_list_is_asked_letter_by_letter_what_stands_in_its_rows(site, question):
    page, _, asked = question.partition("?")

    answer = signed_in(site.administrator).get(f"{reverse('admin:' + page)}?{asked}")

    assert answer.status_code in (302, 400)


def test_choosers_and_searches_take_any_text(site):
    client = signed_in(site.administrator)
    asked = {"app_label": "activities", "model_name": "contact", "field_name": "parent_account"}
    answer = client.get(reverse("admin:autocomplete"), {**asked, "term": "a\0b"})
    assert answer.status_code == 200


def test_after_signing_in_nobody_is_led_off_the_site(site):
    site.administrator.set_password("right-Password-1")
    site.administrator.save(update_fields=["password"])
    client = Client(SERVER_NAME="127.0.0.1")
    for target in ("https://evil.example/", "//evil.example/", "javascript:alert(1)"):
        data = {"username": "administrator", "password": "right-Password-1", "next": target}
        answer = client.post(reverse("admin:login"), data)
        assert answer.status_code == 302
        assert answer.url.startswith("/") and not answer.url.startswith("//"), target
        client.logout()


def test_every_button_asks_for_the_token(site):
    client = Client(SERVER_NAME="127.0.0.1", enforce_csrf_checks=True)
    client.force_login(site.administrator)
    mailbox = site.mailboxes["healthy"]
    urls = [
        reverse("admin:mailboxes_mailbox_do", args=[mailbox.pk, "deactivate"]),
        reverse("admin:mailboxes_queue_do", args=[site.support.pk, "deactivate"]),
        reverse("admin:mailboxes_mailbox_take_over", args=[mailbox.pk]),
        reverse("admin:activities_email_do", args=[site.html.pk, "reply"]),
        reverse("admin:activities_email_add"),
        reverse("admin:mailboxes_mailbox_changelist"),
        reverse("admin:logout"),
    ]
    for url in urls:
        assert client.post(url, {"address": "ben@example.com"}).status_code == 403, url
    for url in urls[:2]:
        assert client.get(url).status_code == 405


# -- writing


def written(client, site: Site, **fields):
    data = {
        "sender": f"mailboxes.systemuser:{site.ada.pk}",
        "to": "cleo@customer.example",
        "importance": 1,
        "delivery_priority": 1,
        "_save": "",
    }
    return client.post(reverse("admin:activities_email_add"), {**data, **fields})


@pytest.mark.parametrize("end", ["\r\n", "\n", "\r", "\x0b", "\x85", "\u2028"])
def test_no_header_is_smuggled_through_subject_names_or_file_names(site, end):
    group_of(site.ada, "add_email", "change_email", "view_email", reach=Reach.OWN)
    file = SimpleUploadedFile(f"a{end}Bcc: evil@evil.example.txt", b"x", "text/plain")
    answer = written(
        signed_in(site.ada),
        site,
        subject=f"Hello{end}Bcc: evil@evil.example",
        to=f'"Cleo{end}X-Evil: yes" <cleo@customer.example>',
        body="x",
        attach=file,
    )
    if answer.status_code == 200:  # the split name is no address, and is said to be none
        assert "to" in answer.context["form"].errors
        answer = written(
            signed_in(site.ada), site, subject=f"Hello{end}Bcc: evil@evil.example", attach=file
        )
    email = Email.objects.select_related("activity").latest("activity__created_on")
    mailbox = site.ada.default_mailbox
    Email.objects.filter(pk=email.pk).update(message_id="one@example.com")
    email.refresh_from_db()
    envelope = envelopes([email], mailbox, site.organization)[email.pk]
    made = message_from_bytes(envelope.mime, policy=default)
    assert "Bcc" not in made and "X-Evil" not in made
    assert "evil@evil.example" not in envelope.recipients
    assert made["Subject"].startswith("Hello Bcc:")


def test_a_file_over_the_limit_is_refused_before_it_is_read(site, monkeypatch):
    group_of(site.ada, "add_email", "change_email", "view_email", reach=Reach.OWN)
    Organization.objects.update(max_upload_file_size_kb=1)
    before = Email.objects.count()
    file = SimpleUploadedFile("large.bin", b"x" * 2048)
    answer = written(signed_in(site.ada), site, subject="Large", attach=file)
    assert answer.status_code == 200
    assert "larger than the 1 KB" in str(answer.context["form"].errors["attach"])
    assert Email.objects.count() == before


def test_a_file_name_that_runs_backwards_is_shown_as_it_is(site):
    ActivityMimeAttachment.objects.filter(activity=site.html.pk).update(
        file_name="invoice\u202etxt.exe"
    )
    client = signed_in(site.ada)
    page = client.get(reverse("admin:activities_email_change", args=[site.html.pk]))
    assert "invoicetxt.exe" in page.content.decode()
    assert "\u202e" not in page.content.decode()


def test_drafts_of_others_are_neither_opened_nor_saved_nor_sent(site):
    group_of(site.ben, "add_email", "change_email", "view_email", reach=Reach.OWN)
    client = signed_in(site.ben)
    url = reverse("admin:activities_email_change", args=[site.draft.pk])
    before = Email.objects.get(pk=site.draft.pk).description
    for name in ("_save", "_send"):
        answer = client.post(url, {"body": "taken over", name: ""}, follow=True)
        assert "exist" in " ".join(str(m) for m in get_messages(answer.wsgi_request))
    assert Email.objects.get(pk=site.draft.pk).description == before
    stranger = signed_in(SystemUserFactory())
    assert stranger.get(url).status_code == 302
    nothing = reverse("admin:activities_email_body", args=[uuid.uuid4()])
    assert stranger.get(nothing).status_code == 404
