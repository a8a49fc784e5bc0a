"""An email is filed under another record by hand."""

from uuid import uuid4

import pytest
from django.contrib.messages import get_messages
from django.core.exceptions import PermissionDenied
from django.urls import reverse
from django.utils import timezone

from activities.filing import file_conversation_under, file_under
from activities.models import Account, ActivityPointer, Email
from mailboxes.models import Organization
from serversync.models import SyncItem
from tests.factories.activities import EmailFactory
from tests.factories.clients import signed_in
from tests.factories.console import Site
from tests.factories.mailboxes import SystemUserFactory, group_of
from tests.statements import counting
from tracking.records import value_of

pytestmark = pytest.mark.integration


@pytest.fixture
def site(site: Site) -> Site:
    group_of(site.ada, "view_account", "view_contact")
    return site


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


# -- a whole conversation


@pytest.fixture
def thread(site):
    """An email under Customer Ltd, and others of its conversation: filed alike, nowhere, elsewhere, out
    of Ada's reach, and a draft."""
    conversation = uuid4()
    of = {
        "first": site.contoso,
        "alike": site.contoso,
        "nowhere": None,
        "elsewhere": site.cleo,
        "foreign": site.contoso,
        "draft": site.contoso,
    }
    made = {}
    for name, record in of.items():
        is_draft = name == "draft"
        email = EmailFactory(
            activity__owning_user=site.ben if name == "foreign" else site.ada,
            activity__state_code=0 if is_draft else 1,
            received=not is_draft,
            conversation_tracking_id=conversation,
        )
        file_under(email=email, record=record, now=timezone.now())
        made[name] = email
    return made


@pytest.mark.rule("R7.10")
def test_a_wrong_filing_is_corrected_once_for_its_conversation(site, ada, thread):
    page = ada.get(page_of(thread["first"]))
    assert (page.context["others"], page.context["alike"]) == (2, 1)
    north = Account.objects.create(name="North Ltd", owning_user=site.ada)
    chosen = {"record": value_of(north), "conversation": "1"}
    done = ada.post(page_of(thread["first"]), chosen)
    words = " ".join(str(message) for message in get_messages(done.wsgi_request))
    assert "So are 2 other emails" in words

    now = {name: regarding(email) for name, email in thread.items()}
    assert now["first"] == now["alike"] == now["nowhere"] == north
    assert now["elsewhere"] == site.cleo
    assert now["foreign"] == now["draft"] == site.contoso
    history = ada.get(page_of(thread["alike"], "history")).content.decode()
    assert "Regarding changed with its conversation" in history
    assert ActivityPointer.objects.get(pk=thread["alike"].pk).modified_by == site.ada

    # From the page of any of them it is taken back.
    ada.post(page_of(thread["nowhere"]), {"record": "", "conversation": "1"})
    assert {regarding(thread[name]) for name in ("first", "alike", "nowhere")} == {None}


@pytest.mark.rule("R7.10")
def test_without_being_asked_the_conversation_stays(site, ada, thread):
    ada.post(page_of(thread["first"]), {"record": value_of(site.cleo)})
    assert regarding(thread["first"]) == site.cleo
    assert regarding(thread["alike"]) == site.contoso


def test_a_conversation_is_filed_by_two_statements_and_a_lock(site, thread):
    email = Email.objects.select_related("activity").get(pk=thread["first"].pk)
    with counting() as counted:
        others = file_conversation_under(
            email=email, record=site.cleo, now=timezone.now(), actor=site.administrator
        )
    assert len(others) == 3
    assert len(counted.of("UPDATE")) == 2
