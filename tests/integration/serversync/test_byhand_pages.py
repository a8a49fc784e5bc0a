"""The pages on which a person tracks an item all the same, or untracks an email."""

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.messages import get_messages
from django.urls import reverse

from activities.models import Email
from mailboxes.choices import Reach
from serversync.models import SyncItem
from tests.factories.clients import signed_in
from tests.factories.console import Site
from tests.factories.mailboxes import group_of
from tracking.records import value_of

pytestmark = pytest.mark.integration


@pytest.fixture
def site(site: Site) -> Site:
    group_of(site.ada, "view_account", "view_contact", "view_syncitem")
    return site


@pytest.fixture
def ada(site):
    group_of(site.ada, "track_syncitem")
    return signed_in(site.ada)


def page_of(item: SyncItem, name: str = "change", *more: str) -> str:
    return reverse(f"admin:serversync_syncitem_{name}", args=[item.pk, *more])


def untrack_page(email: Email) -> str:
    return reverse("admin:activities_email_untrack", args=[email.pk])


def said(answer) -> str:
    return " | ".join(str(message) for message in get_messages(answer.wsgi_request))


@pytest.mark.rule("R3.18")
def test_a_rejected_item_is_tracked_from_its_page_under_a_record(site, ada):
    item = site.items["rejected"]
    asked = ada.post(page_of(item, "do", "track_page"))
    assert asked.url == page_of(item, "track")
    found = ada.post(asked.url, {"record_words": "customer", "_find": ""})
    assert "Customer Ltd" in {one.name for one in found.context["offered"]}

    done = ada.post(asked.url, {"record": value_of(site.contoso)}, follow=True)
    assert "1 item is fetched again" in said(done)
    item.refresh_from_db()
    assert (item.state, item.sub_reason) == ("retrying", "manual")
    assert item.trace["by_hand"]["record"] == {"value": value_of(site.contoso)}
    text = done.content.decode()
    assert "to track it all the same" in text and "R3.18" in text
    assert "Tracked with the next cycle" in text
    assert "Customer Ltd" not in text
    assert LogEntry.objects.filter(object_id=str(item.pk), user=site.ada).exists()
    assert signed_in(site.ada).get("/quarantine/?state=retrying").status_code == 200


@pytest.mark.rule("R3.18", "R8.30")
def test_who_may_not_read_the_mail_is_not_offered_it(site):
    item = site.items["rejected"]
    admin = signed_in(site.administrator)
    assert "Track anyway" not in admin.get(page_of(item)).content.decode()
    assert admin.get(page_of(item, "track")).status_code == 404
    rows = {"action": "track", "_selected_action": [item.pk]}
    done = admin.post(reverse("admin:serversync_syncitem_changelist"), rows, follow=True)
    assert "not yours to read" in said(done)
    without = signed_in(site.ada).post(page_of(item, "track"), {"record": ""}, follow=True)
    assert "serversync.track_syncitem" in said(without)
    item.refresh_from_db()
    assert item.state == "rejected"


@pytest.mark.rule("R3.18")
def test_many_are_tracked_at_once_and_those_that_cannot_be_are_told(site, ada):
    rejected, tracked = site.items["rejected"], site.items["tracked"]
    rows = {"action": "track", "_selected_action": [rejected.pk, tracked.pk]}
    done = ada.post(reverse("admin:serversync_syncitem_changelist"), rows, follow=True)
    assert "1 item is fetched again" in said(done) and "1 item was left out" in said(done)
    tracked.refresh_from_db()
    assert tracked.state == "tracked"


@pytest.mark.rule("R7.13")
def test_a_copy_is_unlinked_and_its_email_stays(site, ada):
    item = site.items["tracked"]
    assert item.email is not None
    asked = ada.post(page_of(item, "do", "untrack_page"))
    page = ada.get(asked.url)
    assert [one.value for one in page.context["choices"]] == [f"item:{item.pk}"]
    assert page.context["preset"] == f"item:{item.pk}"
    assert "errornote" in ada.post(untrack_page(item.email), {}).content.decode()

    ada.post(untrack_page(item.email), {"choice": f"item:{item.pk}"})
    item.refresh_from_db()
    assert (item.state, item.reason, item.sub_reason) == ("rejected", "Untracked", "manual")
    assert item.email is None and Email.objects.count() > 0
    text = ada.get(page_of(item)).content.decode()
    assert "Untracked by hand" in text and "unlinked this copy" in text
    assert "took the tracking category off" not in text


@pytest.mark.rule("R7.13")
def test_deleting_the_email_needs_its_own_permission(site, ada):
    item = site.items["tracked"]
    email = item.email
    ada.post(untrack_page(email), {"choice": "delete"})
    assert Email.objects.filter(pk=email.pk).exists()

    group_of(site.ada, "delete_email", reach=Reach.ALL)
    client = signed_in(site.ada)
    done = client.post(untrack_page(email), {"choice": "delete"}, follow=True)
    assert "deleted here" in said(done)
    assert not Email.objects.filter(pk=email.pk).exists()
    item.refresh_from_db()
    assert (item.state, item.reason, item.sub_reason) == ("rejected", "Untracked", "manual")
    assert "deleted the email here" in client.get(page_of(item)).content.decode()


@pytest.mark.rule("R7.13")
def test_whoever_deletes_an_email_untracks_its_copies(site):
    item = site.items["tracked"]
    url = reverse("admin:activities_email_delete", args=[item.email_id])
    signed_in(site.administrator).post(url, {"post": "yes"})
    item.refresh_from_db()
    assert (item.email, item.reason, item.sub_reason) == (None, "Untracked", "manual")


@pytest.mark.rule("R7.13", "R8.30")
def test_emails_of_others_are_not_untracked(site):
    item = site.items["tracked"]
    assert signed_in(site.ben).get(untrack_page(item.email)).status_code == 404
    assert signed_in(site.ada).get(untrack_page(item.email)).status_code == 403
    admin = signed_in(site.administrator).get(untrack_page(item.email))
    assert [one.value for one in admin.context["choices"]] == ["delete"]
