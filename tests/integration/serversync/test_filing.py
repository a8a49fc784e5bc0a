"""An email is filed under another record by hand."""

import pytest
from django.contrib.messages import get_messages
from django.core.exceptions import PermissionDenied
from django.urls import reverse
from django.utils import timezone

from activities.filing import file_under
from activities.models import Account, ActivityPointer
from mailboxes.models import Organization
from serversync.models import SyncItem
from tests.factories.clients import signed_in
from tests.factories.console import Site, build_site
from tests.factories.mailboxes import SystemUserFactory, group_of
from tracking.records import value_of

pytestmark = pytest.mark.integration


@pytest.fixture
def site(db) -> Site:
    made = build_site()
    group_of(made.ada, "view_account", "view_contact")
    return made


@pytest.fixture
def ada(site):
    return signed_in(site.ada)


def page_of(email, name: str = "file_under") -> str:
    return reverse(f"admin:activities_email_{name}", args=[email.pk])


def regarding(email):
    return ActivityPointer.objects.get(pk=email.pk).regarding_object


def hide(email, site) -> Account:
    """File it under a record that only the administrator sees."""
    hidden = Account.objects.create(name="Hidden Ltd", owning_user=site.administrator)
    file_under(email=email, record=hidden, now=timezone.now())
    return hidden


@pytest.mark.rule("R7.10")
def test_an_email_is_filed_by_hand(site, ada):
    assert page_of(site.html) in ada.get(page_of(site.html, "change")).content.decode()
    found = ada.post(page_of(site.html), {"record_words": "customer", "_find": ""})
    assert {one.name for one in found.context["offered"]} == {"Customer Ltd", "Cleo Example"}

    response = ada.post(page_of(site.html), {"record": value_of(site.contoso)})
    assert response.url == page_of(site.html, "change")
    assert regarding(site.html) == site.contoso
    assert "Customer Ltd" in ada.get(response.url).content.decode()

    ada.post(page_of(site.html), {"record": ""})
    assert regarding(site.html) is None


@pytest.mark.rule("R7.10")
def test_whoever_files_what_a_folder_files_is_told(site, ada):
    SyncItem.objects.create(
        mailbox=site.rule.mailbox,
        folder=site.rule.exchange_folder_id,
        source_key="1.1",
        state="duplicate",
        email=site.html,
    )
    assert "tracked folder “North”" in ada.get(page_of(site.html)).content.decode()
    other = signed_in(site.administrator).get(page_of(site.html)).context
    assert other["rule_in_sight"]

    Organization.objects.update(keep_manual_regarding=True)
    assert ada.get(page_of(site.html)).context["rule"] is None


def test_folders_of_others_are_not_named(site):
    user = SystemUserFactory()
    group_of(user, "view_email", "change_email", reach=3)
    SyncItem.objects.create(
        mailbox=site.rule.mailbox,
        folder=site.rule.exchange_folder_id,
        source_key="1.1",
        state="duplicate",
        email=site.html,
    )
    text = signed_in(user).get(page_of(site.html)).content.decode()
    assert "a tracked folder of somebody else" in text
    assert "North" not in text


def test_a_foreign_record_is_neither_named_nor_lost_nor_chosen(site, ada):
    hidden = hide(site.html, site)
    for url in (page_of(site.html), page_of(site.html, "change")):
        text = ada.get(url).content.decode()
        assert "not yours to see" in text
        assert "Hidden Ltd" not in text and str(hidden.pk) not in text
    ada.post(page_of(site.html), {"record": "="})
    assert regarding(site.html) == hidden

    ada.post(page_of(site.html), {"record": ""})
    form = ada.post(page_of(site.html), {"record": value_of(hidden)}).context["form"]
    assert "not yours to see" in str(form.errors["record"])


def test_drafts_and_emails_of_others_are_not_filed_here(site, ada):
    assert ada.get(page_of(site.draft)).status_code == 403
    assert signed_in(site.ben).get(page_of(site.html)).status_code == 404
    reader = SystemUserFactory()
    group_of(reader, "view_email", reach=3)
    client = signed_in(reader)
    assert page_of(site.html) not in client.get(page_of(site.html, "change")).content.decode()
    assert client.post(page_of(site.html), {"record": ""}).status_code == 403
    with pytest.raises(PermissionDenied):
        file_under(email=site.html, record=None, now=timezone.now(), actor=reader)


def test_what_was_done_is_in_the_history(site, ada):
    response = ada.post(page_of(site.html), {"record": value_of(site.cleo)})
    assert "filed under “Cleo Example”" in " ".join(
        str(message) for message in get_messages(response.wsgi_request)
    )
    pointer = ActivityPointer.objects.get(pk=site.html.pk)
    assert pointer.modified_by == site.ada
