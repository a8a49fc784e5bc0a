"""Attacks on what connects mailboxes and reads their folders: by other sites, and around approval."""

import pytest
from django.contrib.messages import get_messages
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from mailboxes import services
from mailboxes.choices import AccessApproval, CredentialRetrieval, StateCode
from mailboxes.models import EmailServerProfile, Mailbox, Organization
from mailboxes.protocols.base import RemoteFolder
from serversync import layout
from serversync.models import MailboxLayout
from tests.factories.clients import signed_in
from tests.factories.console import Site
from tests.factories.mailboxes import group_of
from tests.fakes import FakeIncomingServer, FakeMailbox
from tracking.models import MailboxTrackingFolder

pytestmark = pytest.mark.integration

RULE = "admin:tracking_mailboxtrackingfolder"


@pytest.fixture
def site(site: Site) -> Site:
    group_of(site.ada, "view_account", "view_contact")
    EmailServerProfile.objects.filter(name="Example IMAP").update(
        incoming_credential_retrieval=CredentialRetrieval.GMAIL_OAUTH,
        oauth_client_id="client",
        oauth_client_secret="secret",
    )
    return site


def said(response) -> str:
    return " ".join(str(message) for message in get_messages(response.wsgi_request))


# -- other sites


def test_no_other_site_makes_a_browser_do_anything(site):
    mailbox = site.mailboxes["healthy"]
    client = Client(enforce_csrf_checks=True)
    client.force_login(site.ada)
    client.get(reverse("admin:index"))
    before = MailboxTrackingFolder.objects.values().get()
    for url in (
        reverse("admin:sign_in_leave", args=[mailbox.pk]),
        reverse("admin:sign_in_end", args=[mailbox.pk]),
        reverse(f"{RULE}_add"),
        reverse(f"{RULE}_folders", args=[mailbox.pk]),
        reverse(f"{RULE}_change", args=[site.rule.pk]),
        reverse(f"{RULE}_delete", args=[site.rule.pk]),
        reverse(f"{RULE}_do", args=[site.rule.pk, "track_again"]),
        reverse("admin:activities_email_file_under", args=[site.html.pk]),
    ):
        assert client.post(url, {"mailbox": mailbox.pk, "record": ""}).status_code == 403, url
    assert MailboxTrackingFolder.objects.values().get() == before
    assert "sign_ins" not in client.session


def test_who_asks_for_the_head_of_the_way_back_spends_nothing(site):
    """Programs that look at addresses in mails and messages do."""
    client = signed_in(site.ada)
    url = client.post(reverse("admin:sign_in_leave", args=[site.mailboxes["healthy"].pk])).context[
        "url"
    ]
    (state,) = client.session["sign_ins"]
    assert state in url
    client.head(reverse("admin:sign_in_back"), {"state": state, "code": "x"})
    assert list(client.session["sign_ins"]) == [state]


def test_pages_can_not_be_framed_and_lead_nowhere_by_form(site):
    client = signed_in(site.ada)
    mailbox = site.mailboxes["healthy"]
    for answer in (
        client.get(reverse("admin:sign_in", args=[mailbox.pk])),
        client.post(reverse("admin:sign_in_leave", args=[mailbox.pk])),
    ):
        policy = answer["Content-Security-Policy"]
        assert "frame-ancestors 'self'" in policy
        assert "form-action 'self'" in policy
        assert answer["X-Frame-Options"] == "SAMEORIGIN"
        assert answer["Referrer-Policy"] == "same-origin"


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1@evil.example", "127.0.0.1.evil.example"]
)
def test_no_host_of_somebodys_choice_gets_into_the_address_that_providers_send_back_to(site, host):
    client = signed_in(site.ada)
    url = reverse("admin:sign_in_leave", args=[site.mailboxes["healthy"].pk])
    assert client.post(url, headers={"host": host}).status_code == 400
    forwarded = client.post(url, headers={"x-forwarded-host": host, "x-forwarded-proto": "https"})
    assert "evil" not in forwarded.context["url"]


# -- around approval


@pytest.fixture
def server(monkeypatch):
    """Whoever is connected to is counted."""
    connected = []

    def connect(mailbox, *_):
        connected.append(mailbox.pk)
        return FakeIncomingServer(FakeMailbox())

    monkeypatch.setattr(layout.refresh_folders, "__defaults__", (connect,))
    return connected


@pytest.mark.rule("R2.3")
@pytest.mark.parametrize("approval", [AccessApproval.PENDING, AccessApproval.REJECTED])
def test_folders_of_an_address_that_nobody_approved_are_not_read(site, server, approval):
    """The profile's account could open any mailbox: approval says which ones it may."""
    mailbox = site.mailboxes["healthy"]
    Mailbox.objects.filter(pk=mailbox.pk).update(email_router_access_approval=approval)
    before = MailboxLayout.objects.values().get()

    answer = signed_in(site.ada).post(reverse(f"{RULE}_folders", args=[mailbox.pk]))

    assert server == []
    assert "R2.3" in said(answer)
    assert MailboxLayout.objects.values().get() == before


def test_nor_after_the_address_was_changed(site, server):
    mailbox = site.mailboxes["healthy"]
    services.change_address(mailbox=mailbox, address="ceo@example.com", now=timezone.now())
    answer = signed_in(site.ada).post(reverse(f"{RULE}_folders", args=[mailbox.pk]))
    assert server == []
    assert "R2.3" in said(answer)


def test_nor_of_a_mailbox_that_is_off(site, server):
    mailbox = site.mailboxes["healthy"]
    Mailbox.objects.filter(pk=mailbox.pk).update(state_code=StateCode.INACTIVE)
    answer = signed_in(site.ada).post(reverse(f"{RULE}_folders", args=[mailbox.pk]))
    assert server == []
    assert "R1.40" in said(answer)


def test_where_no_approval_is_asked_for_folders_are_read(site, server):
    mailbox = site.mailboxes["healthy"]
    Mailbox.objects.filter(pk=mailbox.pk).update(
        email_router_access_approval=AccessApproval.PENDING
    )
    Organization.objects.update(require_approval_for_user_email=False)
    signed_in(site.ada).post(reverse(f"{RULE}_folders", args=[mailbox.pk]))
    assert server == [mailbox.pk]


# -- what others call folders


def test_a_folders_name_is_text_that_reads_as_it_is_written(site):
    """Whoever shares a mailbox may make folders in it; their names get to administrators."""
    mailbox = Mailbox.objects.get(pk=site.mailboxes["healthy"].pk)
    folder = site.rule.exchange_folder_id
    name = "<b onclick=x>\u202egnp.exe\u2028\x07\x1b"
    layout.store_folders(mailbox, [RemoteFolder(folder, (name, "\u202e"), 1)], timezone.now())
    client = signed_in(site.ada)

    for url in (
        reverse(f"{RULE}_changelist"),
        reverse(f"{RULE}_change", args=[site.rule.pk]),
        reverse(f"{RULE}_delete", args=[site.rule.pk]),
        reverse(f"{RULE}_add") + f"?mailbox={mailbox.pk}",
        reverse("admin:mailboxes_mailbox_change", args=[mailbox.pk]),
    ):
        page = client.get(url).content.decode()
        assert not set("\u202e\u2028\x07\x1b") & set(page), url
        assert "<b onclick" not in page
    site.rule.refresh_from_db()
    assert site.rule.exchange_folder_name == "?"
