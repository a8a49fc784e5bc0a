"""Each action and button of the console, pressed; each form, saved."""

import pytest
from django.contrib.messages import get_messages
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse
from django.utils import timezone

from activities.choices import EmailStatus, ParticipationType
from activities.models import ActivityMimeAttachment, ActivityParty, Email, QueueItem
from mailboxes.choices import (
    AccessApproval,
    IncomingDeliveryMethod,
    OutgoingDeliveryMethod,
    Reach,
    ServerType,
    StateCode,
)
from mailboxes.models import EmailServerProfile, Mailbox, Queue, SystemUser, TraceLog
from serversync.choices import SubmissionState
from serversync.models import Submission, SyncItem
from tests.factories.clients import signed_in
from tests.factories.console import Site
from tests.factories.mailboxes import group_of
from tests.factories.posting import form_data
from tracking.rights import without_permission

pytestmark = pytest.mark.integration


@pytest.fixture
def client(site):
    return signed_in(site.administrator)


def said(answer) -> str:
    assert answer.status_code == 200, answer.status_code
    return " | ".join(str(message) for message in get_messages(answer.wsgi_request))


def press(client, model: str, action: str, *records) -> str:
    data = {"action": action, "_selected_action": [str(record.pk) for record in records]}
    return said(client.post(reverse(f"admin:{model}_changelist"), data, follow=True))


def button(client, model: str, name: str, record) -> str:
    return said(client.post(reverse(f"admin:{model}_do", args=[record.pk, name]), follow=True))


def fresh(record):
    return type(record)._default_manager.get(pk=record.pk)


# -- mailboxes


@pytest.mark.rule("R2.5", "R2.6")
def test_approve_and_reject(site, client):
    waiting = site.mailboxes["waiting"]
    assert "Approved 1 address" in press(client, "mailboxes_mailbox", "approve", waiting)
    approved = fresh(waiting)
    assert approved.email_router_access_approval == AccessApproval.APPROVED
    assert approved.email_address_approved_by == site.administrator
    assert "Rejected 1 address" in button(client, "mailboxes_mailbox", "reject", waiting)
    rejected = fresh(waiting)
    assert rejected.email_router_access_approval == AccessApproval.REJECTED
    assert rejected.email_address_approved_by is None


def test_synchronize_now_wakes_what_can_run(site, client):
    healthy = site.mailboxes["healthy"]
    before = timezone.now()
    assert "Asked for 2 workloads" in button(client, "mailboxes_mailbox", "synchronize", healthy)
    assert healthy.workloads.get(operation=0).run_requested_at >= before
    untested = site.mailboxes["untested"]
    words = button(client, "mailboxes_mailbox", "synchronize", untested)
    assert "Nothing can run" in words


@pytest.mark.rule("R1.31")
def test_apply_default_settings(site, client):
    site.organization.refresh_from_db()
    site.organization.default_email_server_profile = site.profile
    site.organization.default_outgoing_email_delivery_method = OutgoingDeliveryMethod.NONE
    site.organization.save()
    mailbox = site.mailboxes["failing"]
    words = press(client, "mailboxes_mailbox", "apply_defaults", mailbox)
    assert "Applied the default email settings to 1 mailbox" in words
    assert fresh(mailbox).email_server_profile == site.profile
    assert fresh(mailbox).outgoing_email_delivery_method == OutgoingDeliveryMethod.NONE


@pytest.mark.rule("R1.41")
def test_deactivate_and_activate(site, client):
    mailbox = site.mailboxes["healthy"]
    assert "Deactivated 1 mailbox" in press(client, "mailboxes_mailbox", "deactivate", mailbox)
    assert fresh(mailbox).state_code == StateCode.INACTIVE
    words = button(client, "mailboxes_mailbox", "activate", mailbox)
    assert "Activated 1 mailbox" in words
    assert not mailbox.workloads.filter(enabled=True).exists()


def test_a_button_is_pressed_by_post_only(site, client):
    url = reverse("admin:mailboxes_mailbox_do", args=[site.mailboxes["waiting"].pk, "approve"])
    assert client.get(url).status_code == 405


@pytest.mark.rule("R1.2")
def test_adding_a_mailbox_makes_a_forward_mailbox(site, client):
    url = reverse("admin:mailboxes_mailbox_add")
    data = {
        **form_data(client, url),
        "name": "Second forward",
        "email_address": "second@example.com",
        "email_server_profile": site.profile.pk,
    }
    answer = client.post(url, data, follow=True)
    assert answer.status_code == 200
    made = Mailbox.objects.get(email_address="second@example.com")
    assert made.is_forward_mailbox
    assert made.owning_user == site.administrator
    assert made.workloads.count() == 3


@pytest.mark.rule("R1.34", "R1.37")
def test_an_illegal_mailbox_is_refused_beside_its_field(site, client):
    url = reverse("admin:mailboxes_mailbox_change", args=[site.mailboxes["healthy"].pk])
    data = form_data(client, url)
    refused = client.post(
        url, {**data, "process_and_delete_emails": "on", "act_delivery_method": 1}
    )
    errors = refused.context["adminform"].form.errors
    assert "R1.37" in str(errors["process_and_delete_emails"])
    assert "R1.34" in str(errors["act_delivery_method"])


@pytest.mark.rule("R1.43", "R1.44")
def test_saving_a_mailbox_starts_over_what_it_changes(site, client):
    mailbox = site.mailboxes["healthy"]
    url = reverse("admin:mailboxes_mailbox_change", args=[mailbox.pk])
    client.post(url, {**form_data(client, url), "user_name": "someone else"})
    assert fresh(mailbox).email_router_access_approval == AccessApproval.APPROVED
    assert not mailbox.workloads.filter(enabled=True).exists()
    client.post(url, {**form_data(client, url), "email_address": "ada.new@example.com"})
    assert fresh(mailbox).email_router_access_approval == AccessApproval.PENDING
    assert fresh(site.ada).internal_email_address == "ada.new@example.com"


@pytest.mark.rule("R1.5")
def test_a_taken_address_is_refused_beside_its_field(site, client):
    url = reverse("admin:mailboxes_mailbox_change", args=[site.mailboxes["healthy"].pk])
    refused = client.post(url, {**form_data(client, url), "email_address": "ben@example.com"})
    assert "R1.5" in str(refused.context["adminform"].form.errors["email_address"])
    url = reverse("admin:mailboxes_systemuser_change", args=[site.ada.pk])
    data = settings_inline(form_data(client, url), site.ada)
    refused = client.post(url, {**data, "internal_email_address": "ben@example.com"})
    assert "internal_email_address" in refused.context["adminform"].form.errors


def test_saving_nothing_changes_nothing(site, client):
    mailbox = site.mailboxes["healthy"]
    before = Mailbox.objects.filter(pk=mailbox.pk).values().get()
    url = reverse("admin:mailboxes_mailbox_change", args=[mailbox.pk])
    client.post(url, form_data(client, url))
    assert Mailbox.objects.filter(pk=mailbox.pk).values().get() == before
    assert mailbox.workloads.filter(enabled=True).exists()


# -- profiles


def test_a_profile_is_deactivated_and_activated(site, client):
    profile = site.profile
    words = button(client, "mailboxes_emailserverprofile", "deactivate", profile)
    assert "Deactivated 1 profile" in words
    assert fresh(profile).state_code == StateCode.INACTIVE
    press(client, "mailboxes_emailserverprofile", "activate", profile)
    assert fresh(profile).state_code == StateCode.ACTIVE


@pytest.mark.rule("R1.33")
def test_a_profile_in_use_can_not_be_deleted(site, client):
    url = reverse("admin:mailboxes_emailserverprofile_delete", args=[site.profile.pk])
    assert client.get(url).status_code == 403
    assert client.post(url, {"post": "yes"}).status_code == 403
    unused = EmailServerProfile.objects.create(
        name="Unused",
        owning_user=site.administrator,
        incoming_server_location="a.example.com",
        outgoing_server_location="a.example.com",
    )
    url = reverse("admin:mailboxes_emailserverprofile_delete", args=[unused.pk])
    client.post(url, {"post": "yes"})
    assert not EmailServerProfile.objects.filter(pk=unused.pk).exists()


@pytest.mark.rule("R1.12", "R1.26")
def test_an_illegal_profile_is_refused_beside_its_field(site, client):
    url = reverse("admin:mailboxes_emailserverprofile_change", args=[site.profile.pk])
    data = form_data(client, url)
    mixed = client.post(
        url, {**data, "outgoing_server_location": "https://mail.example.com/EWS/Exchange.asmx"}
    )
    assert "R1.12" in str(mixed.context["adminform"].form.errors["outgoing_server_location"])
    plain = {name: value for name, value in data.items() if name != "incoming_uses_ssl"}
    refused = client.post(url, plain)
    assert "R1.26" in str(refused.context["adminform"].form.errors)
    assert fresh(site.profile).incoming_uses_ssl


def test_a_profile_is_added(site, client):
    url = reverse("admin:mailboxes_emailserverprofile_add")
    data = {
        **form_data(client, url),
        "name": "New",
        "server_type": ServerType.POP3_SMTP,
        "incoming_server_location": "pop.example.com",
        "outgoing_server_location": "smtp.example.com",
        "incoming_password": "profile-secret",
    }
    client.post(url, data)
    made = EmailServerProfile.objects.get(name="New")
    assert made.incoming_password.reveal() == "profile-secret"
    assert made.created_by == site.administrator


# -- users, queues, groups, organization


def settings_inline(data: dict, user: SystemUser) -> dict:
    return {
        **data,
        "settings-TOTAL_FORMS": 1,
        "settings-INITIAL_FORMS": 1,
        "settings-0-system_user": str(user.pk),
        "settings-0-incoming_email_filtering_method": 0,
        "settings-0-auto_create_contact_on_promote": 0,
    }


@pytest.mark.rule("R1.2")
def test_a_new_user_gets_a_mailbox(site, client):
    url = reverse("admin:mailboxes_systemuser_add")
    answer = client.post(
        url,
        {
            "domain_name": "gina",
            "first_name": "Gina",
            "internal_email_address": "gina@example.com",
            "usable_password": "true",
            "password1": "a long enough one",
            "password2": "a long enough one",
        },
        follow=True,
    )
    assert answer.status_code == 200
    assert "adminform" not in answer.context or not answer.context["adminform"].form.errors
    gina = SystemUser.objects.get(domain_name="gina")
    assert gina.check_password("a long enough one")
    assert gina.default_mailbox.email_address == "gina@example.com"


def test_a_user_form_saves_user_settings_and_groups(site, client):
    url = reverse("admin:mailboxes_systemuser_change", args=[site.ben.pk])
    group = group_of(site.ada, "view_contact")
    data = settings_inline(form_data(client, url), site.ben)
    answer = client.post(url, {**data, "job_title": "Agent", "groups": [group.pk]}, follow=True)
    assert answer.status_code == 200
    ben = fresh(site.ben)
    assert ben.job_title == "Agent"
    assert ben.groups.get() == group
    assert ben.settings.incoming_email_filtering_method == 0


@pytest.mark.rule("R3.16")
def test_everybody_chooses_the_own_filter(site):
    client = signed_in(site.ben)
    url = reverse("admin:mailboxes_systemuser_change", args=[site.ben.pk])
    page = client.get(url)
    assert page.status_code == 200
    assert not page.context["adminform"].form.fields
    client.post(url, settings_inline({}, site.ben))
    assert fresh(site.ben).settings.incoming_email_filtering_method == 0


@pytest.mark.rule("R1.41")
def test_disabling_a_user_stops_the_mailbox(site, client):
    assert "Disabled 1 user" in press(client, "mailboxes_systemuser", "disable", site.ada)
    assert fresh(site.mailboxes["healthy"]).state_code == StateCode.INACTIVE
    press(client, "mailboxes_systemuser", "enable", site.ada)
    assert not fresh(site.ada).is_disabled
    assert "0" in press(client, "mailboxes_systemuser", "disable", site.administrator)
    assert not fresh(site.administrator).is_disabled


def test_a_password_is_set_by_its_own_form(site, client):
    url = reverse("admin:auth_user_password_change", args=[site.ben.pk])
    assert client.get(url).status_code == 200
    client.post(
        url,
        {
            "usable_password": "true",
            "password1": "quite another one",
            "password2": "quite another one",
        },
    )
    assert fresh(site.ben).check_password("quite another one")


@pytest.mark.rule("R1.4")
def test_a_queue_form_moves_the_address_of_its_mailbox(site, client):
    url = reverse("admin:mailboxes_queue_change", args=[site.support.pk])
    client.post(
        url,
        {
            **form_data(client, url),
            "email_address": "help@example.com",
            "members": [str(site.ben.pk)],
        },
    )
    assert fresh(site.mailboxes["queue"]).email_address == "help@example.com"
    assert list(fresh(site.support).members.all()) == [site.ben]
    url = reverse("admin:mailboxes_queue_add")
    client.post(
        url, {**form_data(client, url), "name": "Sales", "email_address": "sales@example.com"}
    )
    assert Queue.objects.get(name="Sales").default_mailbox.email_address == "sales@example.com"


def test_the_reach_of_a_group_is_saved_with_it(site, client):
    url = reverse("admin:auth_group_add")
    client.post(
        url,
        {
            "name": "Mail administrators",
            "reach_row-TOTAL_FORMS": 1,
            "reach_row-INITIAL_FORMS": 0,
            "reach_row-0-reach": Reach.ALL,
        },
    )
    from django.contrib.auth.models import Group

    assert Group.objects.get(name="Mail administrators").reach_row.reach == Reach.ALL


def test_the_organization_is_saved(site, client):
    url = reverse("admin:mailboxes_organization_change", args=[site.organization.pk])
    data = {**form_data(client, url), "name": "Another", "former_tracking_prefixes": "[]"}
    answer = client.post(url, data, follow=True)
    assert "adminform" not in (answer.context or {}) or not answer.context["adminform"].form.errors
    site.organization.refresh_from_db()
    assert site.organization.name == "Another"


@pytest.mark.rule("R3.29")
def test_who_asks_for_a_permission_to_own_email_is_told_who_lacks_it(site, client):
    url = reverse("admin:mailboxes_organization_change", args=[site.organization.pk])
    data = {**form_data(client, url), "former_tracking_prefixes": "[]"}
    asked = {**data, "own_email_needs_permission": "on"}
    warning = f"{without_permission()} users whose mail comes in lack the permission to add email"

    assert warning in client.post(url, asked, follow=True).content.decode()
    again = client.post(url, asked, follow=True).content.decode()  # it is on already
    assert "lack the permission" not in again


# -- alerts, items, queue items, submissions


@pytest.mark.rule("R8.16")
def test_alerts_are_cleared(site, client):
    alert = TraceLog.objects.get(code="InvalidCredentials", regarding_mailbox__isnull=False)
    assert "Cleared 1 alert" in press(client, "mailboxes_tracelog", "clear", alert)
    other = TraceLog.objects.get(code="SocketTimedOut")
    assert "Cleared 1 alert" in button(client, "mailboxes_tracelog", "clear", other)
    assert fresh(alert).closed_on is not None
    listed = client.get(reverse("admin:mailboxes_tracelog_changelist"))
    assert alert not in listed.context["cl"].result_list
    cleared = client.get(reverse("admin:mailboxes_tracelog_changelist"), {"state": "cleared"})
    assert alert in cleared.context["cl"].result_list


@pytest.mark.rule("R3.72")
def test_a_quarantined_item_is_retried_and_dismissed(site, client):
    item = site.items["quarantined"]
    assert "1 item is fetched again" in button(client, "serversync_syncitem", "retry", item)
    assert fresh(item).state == "retrying"
    url = reverse("admin:serversync_syncitem_change", args=[item.pk])
    assert client.get(url).context["sentences"][0].text.startswith("Not stored yet")
    assert item.mailbox.workloads.get(operation=0).run_requested_at is not None
    SyncItem.objects.filter(pk=item.pk).update(state="quarantined")
    assert "1 item was dismissed" in press(client, "serversync_syncitem", "dismiss", item)
    gone = fresh(item)
    assert (gone.state, gone.reason, gone.raw) == ("skipped", "Dismissed", None)
    assert gone.sub_reason == "MessageUnreadable"
    told = [sentence.text for sentence in client.get(url).context["sentences"]]
    assert told[0].startswith("Dismissed by hand")
    assert not any("can download" in words for words in told)
    tracked = site.items["tracked"]
    assert "Nothing was done" in press(client, "serversync_syncitem", "dismiss", tracked)
    assert fresh(tracked).state == "tracked"


def test_a_queue_item_is_picked_released_and_done(site):
    client = signed_in(site.ada)
    item = QueueItem.objects.filter(queue=site.support).first()
    assert "Picked 1 item" in press(client, "activities_queueitem", "pick", item)
    assert fresh(item).worker_user == site.ada
    group_of(site.ben, "view_queueitem", "change_queueitem", reach=Reach.ALL)
    other = signed_in(site.ben)
    assert "Nothing was picked" in press(other, "activities_queueitem", "pick", item)
    assert "Nothing was released" in press(other, "activities_queueitem", "release", item)
    assert "Released 1 item" in press(client, "activities_queueitem", "release", item)
    assert fresh(item).worker_user is None
    assert "Closed 1 item" in press(client, "activities_queueitem", "done", item)
    assert fresh(item).state_code == StateCode.INACTIVE


def unknown_submission(site: Site) -> Submission:
    Email.objects.filter(pk=site.draft.pk).update(status_code=EmailStatus.SENDING)
    now = timezone.now()
    return Submission.objects.create(
        email=site.draft,
        mailbox=site.mailboxes["healthy"],
        state=SubmissionState.UNKNOWN,
        claim_token="12345678-1234-5678-1234-567812345678",
        claim_expires_at=now,
        handed_over_at=now,
    )


@pytest.mark.rule("R5.17")
@pytest.mark.parametrize(
    ("name", "state"),
    [("it_left", SubmissionState.ACCEPTED), ("it_did_not", SubmissionState.RELEASED)],
)
def test_a_person_decides_what_became_of_an_unknown_email(site, client, name, state):
    submission = unknown_submission(site)
    page = client.get(reverse("admin:serversync_submission_change", args=[submission.pk]))
    assert b"Nobody knows whether this email left" in page.content
    assert "Noted" in button(client, "serversync_submission", name, submission)
    assert fresh(submission).state == state
    again = client.post(reverse("admin:serversync_submission_do", args=[submission.pk, name]))
    assert again.status_code == 404


# -- writing


def write(client, site, **values):
    url = reverse("admin:activities_email_add")
    data = {
        "sender": f"mailboxes.systemuser:{site.ada.pk}",
        "to": "Cleo Example <cleo@customer.example>; office@customer.example",
        "subject": "Good news",
        "body": "Dear Cleo,\r\nsee <you>",
        "importance": 1,
        "delivery_priority": 1,
        **values,
    }
    return client.post(url, data, follow=True)


@pytest.mark.rule("R5.2")
def test_a_new_email_is_written_and_sent(site):
    client = signed_in(site.ada)
    answer = write(
        client,
        site,
        _send="",
        regarding=f"activities.contact:{site.cleo.pk}",
        bcc="office@customer.example",
        attach=[SimpleUploadedFile("plan.txt", b"first"), SimpleUploadedFile("map.txt", b"second")],
    )
    assert "in the send queue" in said(answer)
    email = Email.objects.get(activity__subject="Good news CRM:0001001")
    assert email.status == EmailStatus.PENDING_SEND
    assert email.submitted_by == site.ada
    assert email.description == "Dear Cleo,\nsee <you>"
    assert email.activity.regarding_object == site.cleo
    to = ActivityParty.objects.filter(
        activity=email.pk, participation_type_mask=ParticipationType.TO
    )
    assert [party.address_used for party in to] == [
        "cleo@customer.example",
        "office@customer.example",
    ]
    assert set(
        ActivityMimeAttachment.objects.filter(activity=email.pk).values_list("file_name", flat=True)
    ) == {"plan.txt", "map.txt"}


def test_a_draft_is_saved_changed_and_deleted(site):
    group_of(site.ada, "delete_email")
    client = signed_in(site.ada)
    assert "The draft was saved" in said(
        write(client, site, _save="", attach=SimpleUploadedFile("a.txt", b"a"))
    )
    email = Email.objects.get(activity__subject="Good news")
    assert email.status == EmailStatus.DRAFT
    file = ActivityMimeAttachment.objects.get(activity=email.pk)
    url = reverse("admin:activities_email_change", args=[email.pk])
    data = form_data(client, url, "form")
    data.pop("attach")
    client.post(url, {**data, "subject": "Better news", "remove_file": str(file.pk), "_save": ""})
    email = fresh(email)
    assert email.activity.subject == "Better news"
    assert email.attachment_count == 0
    client.post(reverse("admin:activities_email_delete", args=[email.pk]), {"post": "yes"})
    assert not Email.objects.filter(pk=email.pk).exists()
    assert not type(email.activity).objects.filter(pk=email.pk).exists()


def test_a_wrong_address_is_shown_beside_its_field(site):
    answer = write(signed_in(site.ada), site, to="cleo at customer", _send="")
    assert "is not an email address" in str(answer.context["form"].errors["to"])
    assert not Email.objects.filter(activity__subject="Good news").exists()


@pytest.mark.rule("R5.4")
def test_what_may_not_be_sent_stays_a_draft_with_its_reasons(site):
    site.organization.refresh_from_db()
    site.organization.allow_unresolved_parties_on_email_send = False
    site.organization.save()
    answer = write(signed_in(site.ada), site, to="nobody@nowhere.example", _send="")
    words = said(answer)
    assert "saved as a draft" in words
    assert "nobody@nowhere.example" in words
    assert Email.objects.get(activity__subject="Good news").status == EmailStatus.DRAFT


@pytest.mark.rule("R5.20")
def test_a_file_over_the_limit_is_refused_and_the_text_kept(site):
    site.organization.refresh_from_db()
    site.organization.max_upload_file_size_kb = 1
    site.organization.save()
    answer = write(
        signed_in(site.ada), site, _save="", attach=SimpleUploadedFile("big.bin", b"x" * 2000)
    )
    assert "big.bin" in str(answer.context["form"].errors["attach"])
    assert 'value="Good news"' in answer.content.decode()


def test_reply_keeps_the_quoted_message_while_only_text_is_typed(site):
    client = signed_in(site.ada)
    url = reverse("admin:activities_email_do", args=[site.html.pk, "reply"])
    answer = client.post(url, follow=True)
    form = answer.context["form"]
    assert form.initial["subject"] == "RE: Offer for order 4711"
    assert form.initial["to"] == "Cleo Example <cleo@customer.example>"
    assert form.initial["body"] == ""
    assert "Order 4711" in form.quoted
    email = answer.context["email"]
    change = reverse("admin:activities_email_change", args=[email.pk])
    data = form_data(client, change, "form")
    data.pop("attach")
    client.post(change, {**data, "body": "Fine.\nA < B", "_save": ""})
    stored = fresh(email)
    assert stored.mime_type == "text/html"
    assert stored.description.startswith("Fine.<br>\nA &lt; B<br>")
    assert "Order 4711" in stored.description
    assert form_data(client, change, "form")["body"] == "Fine.\nA < B"


def test_reply_all_and_forward(site):
    client = signed_in(site.ada)
    everyone = client.post(
        reverse("admin:activities_email_do", args=[site.answered.pk, "reply_all"]), follow=True
    )
    assert "support@example.com" in everyone.context["form"].initial["cc"]
    forward = client.post(
        reverse("admin:activities_email_do", args=[site.html.pk, "forward"]), follow=True
    )
    assert forward.context["form"].initial["to"] == ""
    assert [file.file_name for file in forward.context["form"].attached][-1] == "offer 4711.pdf"


def test_a_waiting_email_is_taken_back(site):
    client = signed_in(site.ada)
    write(client, site, _send="")
    email = Email.objects.get(activity__subject__startswith="Good news")
    assert "It is a draft again" in button(client, "activities_email", "cancel", email)
    assert fresh(email).status == EmailStatus.DRAFT


@pytest.mark.rule("R5.1")
def test_stored_mail_can_not_be_changed(site, client):
    url = reverse("admin:activities_email_change", args=[site.html.pk])
    client.post(url, {"subject": "Changed", "_save": ""})
    assert fresh(site.html).activity.subject == "Offer for order 4711"


def test_mailboxes_are_set_up_by_people_who_may(site):
    """The right to look is not the right to change."""
    client = signed_in(site.ada)
    mailbox = site.mailboxes["healthy"]
    url = reverse("admin:mailboxes_mailbox_change", args=[mailbox.pk])
    answer = client.post(url, {"name": "Mine now"})
    assert answer.status_code == 403
    assert fresh(mailbox).name != "Mine now"
    assert fresh(mailbox).incoming_email_delivery_method == IncomingDeliveryMethod.SERVER_SIDE_SYNC


# -- queues


@pytest.mark.rule("R1.41")
def test_queues_are_deactivated_and_activated_with_their_mailboxes(site, client):
    words = press(client, "mailboxes_queue", "deactivate", site.support)
    assert "Deactivated 1 queue" in words
    assert fresh(site.support).state_code == StateCode.INACTIVE
    assert fresh(site.support.default_mailbox).state_code == StateCode.INACTIVE
    page = client.get(reverse("admin:mailboxes_queue_change", args=[site.support.pk]))
    assert [deed.name for deed, _url in page.context["deeds"]] == ["activate"]
    assert "Activated 1 queue" in button(client, "mailboxes_queue", "activate", site.support)
    assert fresh(site.support.default_mailbox).state_code == StateCode.ACTIVE


def test_who_may_not_change_a_queue_does_not_switch_it(site):
    group_of(site.limited, "view_queue", reach=Reach.ALL)
    words = button(signed_in(site.limited), "mailboxes_queue", "deactivate", site.support)
    assert "change_queue" in words
    assert fresh(site.support).state_code == StateCode.ACTIVE


# -- an address that another mailbox has


def refused(client, model: str, record, column: str, address: str):
    url = reverse(f"admin:{model}_change", args=[record.pk])
    data = form_data(client, url) | {column: address}
    if model == "mailboxes_systemuser":
        options = record.settings
        data |= {
            "settings-TOTAL_FORMS": "1",
            "settings-INITIAL_FORMS": "1",
            "settings-0-id": str(options.pk),
            "settings-0-system_user": str(record.pk),
            "settings-0-incoming_email_filtering_method": "1",
        }
    return client.post(url, data)


@pytest.mark.rule("R1.5")
@pytest.mark.parametrize(
    ("model", "column"),
    [
        ("mailboxes_mailbox", "email_address"),
        ("mailboxes_queue", "email_address"),
        ("mailboxes_systemuser", "internal_email_address"),
    ],
)
def test_a_taken_address_names_its_holder_and_offers_to_take_it_over(site, client, model, column):
    record = {
        "mailboxes_mailbox": site.ben.default_mailbox,
        "mailboxes_queue": site.support,
        "mailboxes_systemuser": site.ben,
    }[model]
    page = refused(client, model, record, column, "ADA@example.com")
    assert page.status_code == 200
    errors = str(page.context["adminform"].form.errors[column])
    assert "Ada Example" in errors
    mailbox = record if model == "mailboxes_mailbox" else record.default_mailbox
    url = reverse("admin:mailboxes_mailbox_take_over", args=[mailbox.pk])
    assert page.context["take_over"]["url"] == f"{url}?address=ADA%40example.com"
    assert "?address=ADA%40example.com" in page.content.decode()


@pytest.mark.rule("R1.5")
def test_taking_an_address_over_asks_first_and_alerts_both(site, client):
    ben, ada = site.ben.default_mailbox, site.ada.default_mailbox
    url = reverse("admin:mailboxes_mailbox_take_over", args=[ben.pk])

    page = client.get(url, {"address": "ada@example.com"})
    assert "is left without an address" in page.content.decode()
    assert fresh(ada).email_address == "ada@example.com"  # asking does nothing

    words = said(client.post(url, {"address": "ada@example.com"}, follow=True))
    assert "was taken over from" in words
    assert fresh(ben).email_address == "ada@example.com"
    assert fresh(ben).email_router_access_approval == AccessApproval.PENDING
    assert fresh(site.ben).internal_email_address == "ada@example.com"
    assert fresh(ada).email_address == fresh(site.ada).internal_email_address == ""
    for mailbox in (ben, ada):
        assert TraceLog.objects.filter(
            regarding_mailbox=mailbox, code="AddressMovedToOtherMailbox", closed_on=None
        ).exists()

    words = said(client.post(url, {"address": "ada@example.com"}, follow=True))
    assert "No other mailbox has that address" in words


@pytest.mark.rule("R1.5")
def test_who_may_not_change_both_mailboxes_takes_nothing_over(site):
    group_of(site.ben, "change_mailbox", "view_mailbox", reach=Reach.OWN)
    client = signed_in(site.ben)
    mailbox = site.ben.default_mailbox
    page = refused(client, "mailboxes_mailbox", mailbox, "email_address", "ada@example.com")
    assert "Ada Example" in str(page.context["adminform"].form.errors["email_address"])
    assert "take_over" not in page.context
    url = reverse("admin:mailboxes_mailbox_take_over", args=[mailbox.pk])
    for answer in (
        client.get(url, {"address": "ada@example.com"}, follow=True),
        client.post(url, {"address": "ada@example.com"}, follow=True),
    ):
        assert "change_mailbox" in said(answer)
    assert fresh(site.ada.default_mailbox).email_address == "ada@example.com"


def test_a_mailbox_out_of_sight_has_no_page_to_take_over_to(site):
    url = reverse("admin:mailboxes_mailbox_take_over", args=[site.ben.default_mailbox.pk])
    answer = signed_in(site.limited).get(url, {"address": "ada@example.com"})
    assert answer.status_code == 404
