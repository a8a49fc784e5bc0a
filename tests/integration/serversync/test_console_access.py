"""Who sees which rows: lists, pages, search, choosers, actions, downloads, confirmations."""

import pytest
from django.contrib.messages import get_messages
from django.urls import reverse

from activities.models import ActivityMimeAttachment, Contact, Email
from mailboxes.choices import AccessApproval, Reach
from mailboxes.models import Mailbox, SystemUser
from serversync.models import MailboxStatistics, SyncItem
from tests.factories.clients import signed_in
from tests.factories.mailboxes import SystemUserFactory, group_of
from tests.factories.posting import form_data

pytestmark = pytest.mark.integration

SECRET = "mailbox-secret"


@pytest.fixture
def stranger(site) -> SystemUser:
    """Holds every permission to look, over own records only, and owns none."""
    user = SystemUserFactory(domain_name="stranger", internal_email_address="s@elsewhere.example")
    group_of(
        user,
        "view_mailbox", "change_mailbox", "view_email", "change_email", "delete_email",
        "view_contact", "view_account", "view_syncitem", "retry_syncitem", "approve_mailbox",
        "test_mailbox", "synchronize_mailbox", "view_emailserverprofile", "view_queueitem",
        "change_queueitem", "view_submission", "delete_tracelog", "view_activitypointer",
        reach=Reach.OWN,
    )  # fmt: skip
    return user


def rows(client, model: str, **query) -> set:
    page = client.get(reverse(f"admin:{model}_changelist"), query)
    assert page.status_code == 200, page.status_code
    return {row.pk for row in page.context["cl"].result_list}


# -- lists, pages and search


def test_a_user_finds_own_mailboxes_only(site):
    client = signed_in(site.limited)
    healthy, queue = site.mailboxes["healthy"], site.mailboxes["queue"]
    assert rows(client, "mailboxes_mailbox") == {healthy.pk, queue.pk}
    assert rows(client, "mailboxes_mailbox", q="ben") == set()
    page = client.get(
        reverse("admin:mailboxes_mailbox_change", args=[site.mailboxes["failing"].pk])
    )
    assert page.status_code == 302


def test_items_cycles_and_alerts_go_with_the_mailbox(site, stranger):
    client = signed_in(stranger)
    assert rows(client, "serversync_syncitem") == set()
    assert rows(client, "serversync_mailboxstatistics") == set()
    assert rows(client, "mailboxes_tracelog") == set()
    assert SyncItem.objects.exists() and MailboxStatistics.objects.exists()
    own = rows(signed_in(site.ben), "mailboxes_tracelog")
    assert len(own) == 1


@pytest.mark.parametrize("model", ["email", "contact", "account", "activitypointer", "queueitem"])
def test_a_stranger_sees_no_record_in_lists_nor_by_search(site, stranger, model):
    client = signed_in(stranger)
    assert rows(client, f"activities_{model}") == set()
    assert rows(client, f"activities_{model}", q="e") == set()


def test_a_page_out_of_reach_does_not_exist(site, stranger):
    client = signed_in(stranger)
    for name, record in (
        ("activities_email_change", site.html),
        ("activities_contact_change", site.cleo),
        ("mailboxes_mailbox_change", site.mailboxes["healthy"]),
        ("mailboxes_emailserverprofile_change", site.profile),
        ("serversync_syncitem_change", site.items["tracked"]),
    ):
        page = client.get(reverse(f"admin:{name}", args=[record.pk]))
        assert page.status_code == 302, name
        assert "Offer" not in page.content.decode()


def test_the_front_page_counts_own_rows_only(site, stranger):
    page = signed_in(stranger).get(reverse("admin:index"))
    numbers = {str(f.words): f.number for f in page.context["health"]}
    assert sum(numbers.values()) == 1  # the stranger's own mailbox
    assert page.context["failures"] == []
    assert "Ben Example" not in page.content.decode()


def test_tables_of_everybodys_data_are_closed_to_small_reach(site):
    user = SystemUserFactory()
    group_of(user, "view_emailsearch", "view_storedbytes", reach=Reach.OWN)
    client = signed_in(user)
    assert rows(client, "mailboxes_emailsearch") == set()
    assert rows(client, "activities_storedbytes") == set()


def test_without_any_permission_there_are_own_mailbox_and_settings(site):
    client = signed_in(site.ben)
    assert rows(client, "mailboxes_mailbox") == {site.mailboxes["failing"].pk}
    assert rows(client, "mailboxes_systemuser") == {site.ben.pk}
    assert client.get(reverse("admin:activities_contact_changelist")).status_code == 403
    page = client.get(reverse("admin:index"))
    words = {str(task.name) for section in page.context["navigation"] for task in section.tasks}
    assert "Mailboxes" in words
    assert not words & {"Contacts", "Emails", "Groups", "Organization", "Stored bytes"}


# -- choosers


def test_choosers_offer_what_may_be_seen(site, stranger):
    group_of(stranger, "change_contact", "add_contact", reach=Reach.OWN)
    mine = Contact.objects.create(last_name="Mine", owning_user=stranger)
    client = signed_in(stranger)
    url = reverse("admin:autocomplete")
    asked = {"app_label": "activities", "model_name": "contact", "field_name": "parent_account"}
    assert client.get(url, {**asked, "term": ""}).json()["results"] == []
    forged = client.post(
        reverse("admin:activities_contact_change", args=[mine.pk]),
        {
            "last_name": "Mine",
            "parent_account": site.contoso.pk,
            "owning_user": stranger.pk,
            "preferred_contact_method_code": 1,
        },
    )
    assert forged.status_code == 200
    assert "parent_account" in forged.context["adminform"].form.errors
    mine.refresh_from_db()
    assert mine.parent_account is None


def test_regarding_offers_and_takes_what_may_be_seen(site, stranger):
    group_of(stranger, "add_email", reach=Reach.OWN)
    client = signed_in(stranger)
    page = client.get(reverse("admin:activities_email_add"))
    assert "Customer Ltd" not in page.content.decode()
    forged = client.post(
        reverse("admin:activities_email_add"),
        {
            "sender": f"mailboxes.systemuser:{stranger.pk}",
            "regarding": f"activities.account:{site.contoso.pk}",
            "importance": 1,
            "delivery_priority": 1,
            "_save": "",
        },
    )
    assert forged.status_code == 200
    assert "regarding" in forged.context["form"].errors


def test_nobody_writes_as_another_user_unasked(site):
    client = signed_in(site.ada)
    page = client.get(reverse("admin:activities_email_add"))
    senders = {key for key, _words in page.context["form"].fields["sender"].choices}
    assert senders == {
        f"mailboxes.systemuser:{site.ada.pk}",
        f"mailboxes.queue:{site.support.pk}",
    }


# -- actions


def press(client, model: str, action: str, *records) -> list[str]:
    answer = client.post(
        reverse(f"admin:{model}_changelist"),
        {"action": action, "_selected_action": [record.pk for record in records]},
        follow=True,
    )
    assert answer.status_code == 200
    return [str(message) for message in get_messages(answer.wsgi_request)]


@pytest.mark.rule("R2.4")
def test_approving_without_the_permission_names_it(site):
    client = signed_in(site.ada)
    said = press(client, "mailboxes_mailbox", "approve", site.mailboxes["healthy"])
    assert any("mailboxes.approve_mailbox" in words for words in said), said
    waiting = site.mailboxes["waiting"]
    answer = client.post(reverse("admin:mailboxes_mailbox_do", args=[waiting.pk, "approve"]))
    assert answer.status_code == 404
    waiting.refresh_from_db()
    assert waiting.email_router_access_approval == AccessApproval.PENDING


def test_an_action_leaves_rows_out_of_reach_alone(site, stranger):
    client = signed_in(stranger)
    waiting = site.mailboxes["waiting"]
    press(client, "mailboxes_mailbox", "approve", waiting, stranger.default_mailbox)
    waiting.refresh_from_db()
    assert waiting.email_router_access_approval == AccessApproval.PENDING
    stranger.default_mailbox.refresh_from_db()
    assert stranger.default_mailbox.email_router_access_approval == AccessApproval.APPROVED


def test_another_mailboxs_quarantine_can_not_be_retried(site, stranger):
    item = site.items["quarantined"]
    press(signed_in(stranger), "serversync_syncitem", "retry", item)
    item.refresh_from_db()
    assert item.state == "quarantined"


# -- subjects and bodies


@pytest.mark.rule("R8.30")
def test_subjects_of_items_are_for_those_who_may_read_the_mail(site):
    item = site.items["rejected"]
    url = reverse("admin:serversync_syncitem_change", args=[item.pk])
    listed = reverse("admin:serversync_syncitem_changelist")
    mailbox = reverse("admin:mailboxes_mailbox_change", args=[item.mailbox_id])
    for page in (url, listed, mailbox):
        assert "Newsletter" in signed_in(site.ada).get(page).content.decode(), page
        shown = signed_in(site.administrator).get(page).content.decode()
        assert "Newsletter" not in shown, page
        assert "***" in shown
    found = rows(signed_in(site.administrator), "serversync_syncitem", q="Newsletter")
    assert found == set()


@pytest.mark.rule("R8.30")
def test_the_bytes_of_a_quarantined_item_need_permission_and_the_right_to_read(site):
    from activities import blobs

    item = site.items["quarantined"]
    staged = blobs.Staged()
    key = staged.add(b"Subject: bytes\r\n\r\nraw")
    SyncItem.objects.filter(pk=item.pk).update(raw=blobs.save(staged)[key])
    url = reverse("admin:serversync_syncitem_do", args=[item.pk, "download"])

    refused = signed_in(site.administrator).post(url, follow=True)
    assert b"may read its messages" in refused.content
    without = signed_in(site.ada).post(url, follow=True)
    assert b"serversync.retry_syncitem" in without.content
    group_of(site.ada, "retry_syncitem")
    had = signed_in(site.ada).post(url)
    assert had.content == b"Subject: bytes\r\n\r\nraw"
    assert had["Content-Disposition"].startswith("attachment")


def test_bodies_files_and_originals_need_the_row(site, stranger):
    file = ActivityMimeAttachment.objects.filter(activity=site.html.pk, is_inline=False).get()
    for name, args in (
        ("body", [site.html.pk]),
        ("original", [site.html.pk]),
        ("file", [site.html.pk, file.pk]),
    ):
        url = reverse(f"admin:activities_email_{name}", args=args)
        assert signed_in(stranger).get(url).status_code == 404, name
        assert signed_in(site.ada).get(url).status_code == 200, name


def test_a_file_is_had_through_its_own_email_only(site):
    file = ActivityMimeAttachment.objects.filter(activity=site.html.pk).first()
    url = reverse("admin:activities_email_file", args=[site.answered.pk, file.pk])
    assert signed_in(site.ada).get(url).status_code == 404


def test_a_queue_member_reads_what_waits_in_the_queue(site):
    page = signed_in(site.ada).get(reverse("admin:activities_queueitem_changelist"))
    assert "Printer on fire" in page.content.decode()
    email = Email.objects.get(activity__subject="Printer on fire")
    read = signed_in(site.ada).get(reverse("admin:activities_email_change", args=[email.pk]))
    assert read.status_code == 200


# -- secrets and confirmations


@pytest.mark.rule("R1.9")
def test_no_page_and_no_history_shows_a_secret(site):
    client = signed_in(site.administrator)
    mailbox = site.mailboxes["healthy"]
    stored = Mailbox.objects.get(pk=mailbox.pk).password
    url = reverse("admin:mailboxes_mailbox_change", args=[mailbox.pk])
    data = form_data(client, url)
    client.post(url, {**data, "password": "another-secret"})
    for page in (url, reverse("admin:mailboxes_mailbox_history", args=[mailbox.pk])):
        text = client.get(page).content.decode()
        for secret in (SECRET, "another-secret", stored.token):
            assert secret not in text
    changed = Mailbox.objects.get(pk=mailbox.pk).password
    assert changed.reveal() == "another-secret"
    assert "set on" in client.get(url).content.decode()


@pytest.mark.rule("R8.30")
def test_hidden_subjects_can_not_be_asked_for_by_address(site):
    client = signed_in(site.administrator)
    url = reverse("admin:serversync_syncitem_changelist")
    assert client.get(url, {"subject__startswith": "N"}).status_code == 400
    assert client.get(url, {"trace__message__id": "news"}).status_code == 400


@pytest.mark.rule("R1.26")
def test_passwords_are_not_typed_over_plain_http(site):
    client = signed_in(site.administrator)
    url = reverse("admin:mailboxes_mailbox_change", args=[site.mailboxes["healthy"].pk])
    data = {**form_data(client, url), "password": "typed in the open"}

    def stored_after(**request) -> str:
        assert client.post(url, data, **request).status_code == 302
        return Mailbox.objects.get(pk=site.mailboxes["healthy"].pk).password.reveal()

    assert b"not typed over plain HTTP" in client.get(url, SERVER_NAME="testserver").content
    assert stored_after(SERVER_NAME="testserver") == SECRET
    assert stored_after(SERVER_NAME="testserver", secure=True) == "typed in the open"


@pytest.mark.rule("R1.9")
def test_a_secret_stays_unless_it_is_typed_or_removed(site):
    client = signed_in(site.administrator)
    mailbox = site.mailboxes["healthy"]
    url = reverse("admin:mailboxes_mailbox_change", args=[mailbox.pk])
    client.post(url, {**form_data(client, url), "name": "Renamed"})
    mailbox = Mailbox.objects.get(pk=mailbox.pk)
    assert mailbox.name == "Renamed"
    assert mailbox.password.reveal() == SECRET
    client.post(url, {**form_data(client, url), "password-clear": "1"})
    assert not Mailbox.objects.get(pk=mailbox.pk).password


def test_a_delete_confirmation_counts_and_names_nobody_elses_rows(site):
    client = signed_in(site.administrator)
    page = client.get(reverse("admin:activities_contact_delete", args=[site.cleo.pk]))
    assert page.status_code == 200
    page = client.get(reverse("admin:mailboxes_queue_delete", args=[site.support.pk]))
    text = page.content.decode()
    assert "Queue items: 2" in text
    assert "Printer on fire" not in text


def test_a_superuser_is_out_of_reach_for_those_who_are_none(site):
    user = SystemUserFactory()
    group_of(user, "view_systemuser", "change_systemuser", reach=Reach.ALL)
    client = signed_in(user)
    url = reverse("admin:mailboxes_systemuser_change", args=[site.administrator.pk])
    page = client.get(url)
    assert page.status_code == 200
    assert not page.context["has_change_permission"]
    password = reverse("admin:auth_user_password_change", args=[site.administrator.pk])
    assert client.get(password).status_code == 403
    own = client.get(reverse("admin:mailboxes_systemuser_change", args=[site.ben.pk]))
    form = own.context["adminform"].form
    assert not {"is_superuser", "groups", "user_permissions"} & set(form.fields)
