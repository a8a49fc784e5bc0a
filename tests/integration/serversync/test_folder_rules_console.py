"""The pages of folder rules: what they show, what they do, and to whom."""

from functools import partial

import pytest
from django.contrib.messages import get_messages
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from activities.models import Account, Contact, Incident
from mailboxes.choices import Reach
from mailboxes.models import Mailbox, Organization
from mailboxes.protocols.base import INBOX, RemoteFolder
from mailboxes.protocols.errors import LoginRefused
from serversync import layout
from serversync.models import MailboxLayout, SyncItem, Workload
from tests.factories.activities import ContactFactory, EmailFactory
from tests.factories.clients import signed_in
from tests.factories.console import Site
from tests.factories.mailboxes import SystemUserFactory, group_of
from tests.fakes import FakeIncomingServer, FakeMailbox
from tracking.choices import FolderState
from tracking.models import MailboxTrackingFolder
from tracking.records import value_of
from tracking.services import create_rule

pytestmark = pytest.mark.integration

MODEL = "admin:tracking_mailboxtrackingfolder"
CUSTOMERS = f"{INBOX}/Customers"


@pytest.fixture
def site(site: Site) -> Site:
    group_of(site.ada, "view_account", "view_contact")
    return site


@pytest.fixture
def ada(site):
    return signed_in(site.ada)


@pytest.fixture
def stranger(site):
    """Sees every record and every mailbox, and reads nobody's mail."""
    user = SystemUserFactory(internal_email_address="s@elsewhere.example")
    group_of(user, "view_mailbox", "view_account", "view_contact", reach=Reach.ALL)
    return signed_in(user)


def page_of(rule, name: str = "change") -> str:
    return reverse(f"{MODEL}_{name}", args=[rule.pk])


def add(client, site, **data):
    mailbox = site.mailboxes[data.pop("mailbox", "healthy")]
    return client.post(reverse(f"{MODEL}_add"), {"mailbox": mailbox.pk, **data})


def new_page(client, site, mailbox: str = "healthy"):
    return client.get(reverse(f"{MODEL}_add"), {"mailbox": site.mailboxes[mailbox].pk})


def said(response) -> str:
    return " ".join(str(message) for message in get_messages(response.wsgi_request))


def lay(rule, count: int = 1) -> None:
    """E-mails that lie in the rule's folder, as the ledger knows them."""
    for number in range(count):
        SyncItem.objects.create(
            mailbox=rule.mailbox,
            folder=rule.exchange_folder_id,
            source_key=f"1.{number}",
            state="tracked",
            email=EmailFactory(received=True),
        )


# -- a new rule


@pytest.mark.rule("R7.7")
def test_the_page_tells_how_much_is_there_and_asks_from_when(site, ada):
    text = new_page(ada, site).content.decode()
    assert "31 messages" in text
    assert 'name="track_from"' in text

    response = add(
        ada,
        site,
        exchange_folder_id=CUSTOMERS,
        record=value_of(site.cleo),
        track_from="2026-02-01",
    )
    rule = MailboxTrackingFolder.objects.get(exchange_folder_id=CUSTOMERS)
    assert response.url == page_of(rule)
    assert (rule.regarding, rule.created_by) == (site.cleo, site.ada)
    assert rule.track_from.isoformat() == "2026-02-01T00:00:00+00:00"
    mailbox = site.mailboxes["healthy"]
    assert Workload.objects.get(mailbox=mailbox, operation=0).run_requested_at is not None


def test_what_is_refused_stands_beside_its_field(site, ada):
    for data, words in (
        ({}, "Choose the folder"),
        ({"exchange_folder_id": f"{INBOX}/Elsewhere"}, "no such folder below the inbox"),
        ({"exchange_folder_id": site.rule.exchange_folder_id}, "has a rule already"),
    ):
        form = add(ada, site, **data).context["form"]
        assert words in str(form.errors["exchange_folder_id"])
    form = add(ada, site, exchange_folder_id=CUSTOMERS, track_from="yesterday").context["form"]
    assert list(form.errors) == ["track_from"]
    assert MailboxTrackingFolder.objects.count() == 1


@pytest.mark.rule("R7.3")
def test_at_the_limit_the_page_says_so(site, ada):
    Organization.objects.update(max_folder_based_tracking_mappings=1)
    assert "allows 1" in str(new_page(ada, site).context["fault"])
    add(ada, site, exchange_folder_id=CUSTOMERS)
    assert MailboxTrackingFolder.objects.count() == 1


@pytest.mark.rule("R7.1")
def test_where_folders_are_not_tracked_every_page_says_why(site, ada):
    assert "R7.1" in str(new_page(ada, site, "queue").context["fault"])
    Organization.objects.update(is_folder_based_tracking_enabled=False)
    for page in (
        new_page(ada, site),
        ada.get(page_of(site.rule)),
        ada.get(reverse("admin:mailboxes_mailbox_change", args=[site.rule.mailbox_id])),
        ada.get(reverse(f"{MODEL}_add")),
    ):
        assert "doesn&#x27;t track by folder" in page.content.decode()


def test_of_several_mailboxes_one_is_chosen_first(site):
    client = signed_in(site.administrator)
    page = client.get(reverse(f"{MODEL}_add"), {"q": "ada@"})
    ((mailbox, url, fault),) = page.context["mailboxes"]
    assert (mailbox, fault) == (site.mailboxes["healthy"], None)
    assert client.get(url).context["branches"][1].rule == site.rule


def test_the_only_mailbox_needs_no_choice(site):
    page = signed_in(site.ben).get(reverse(f"{MODEL}_add"))
    assert page.context["mailbox"] == site.mailboxes["failing"]
    assert "POP3" in str(page.context["fault"])


def test_the_button_finds_without_scripts_and_saves_nothing(site, ada):
    page = add(ada, site, exchange_folder_id=CUSTOMERS, record_words="cleo", _find="")
    assert [one.name for one in page.context["offered"]] == ["Cleo Example"]
    assert page.context["form"].folder == CUSTOMERS
    assert MailboxTrackingFolder.objects.count() == 1


# -- reading the folders


def serve(monkeypatch, server) -> None:
    connected = partial(layout.refresh_folders, connect=lambda *_: server)
    monkeypatch.setattr(layout, "refresh_folders", connected)


def read(client, mailbox, **data):
    return client.post(reverse(f"{MODEL}_folders", args=[mailbox.pk]), data)


def test_folders_are_read_on_demand_and_what_was_typed_comes_back(site, ada, monkeypatch):
    box = FakeMailbox()
    box.add_folder(f"{INBOX}/Fresh")
    serve(monkeypatch, FakeIncomingServer(box))
    response = read(ada, site.mailboxes["healthy"], record_words="cleo", record=value_of(site.cleo))

    page = ada.get(response.url)
    assert "1 folder below the inbox" in said(response)
    assert [one.name for one in page.context["branches"]] == ["Fresh"]
    assert page.context["form"].chosen == value_of(site.cleo)
    site.rule.refresh_from_db()
    assert site.rule.state == FolderState.MISSING


def test_a_server_that_refuses_is_explained(site, ada, monkeypatch):
    server = FakeIncomingServer(FakeMailbox())
    server.fail("open", LoginRefused("no"))
    serve(monkeypatch, server)
    response = read(ada, site.mailboxes["healthy"], rule=site.rule.pk)

    assert "refuses user name or password" in said(response)
    assert response.url == page_of(site.rule)
    assert MailboxLayout.objects.get().folder_hierarchy


def test_folders_are_read_by_post_for_whoever_files_there_only(site, ada, stranger):
    mailbox = site.mailboxes["healthy"]
    assert ada.get(reverse(f"{MODEL}_folders", args=[mailbox.pk])).status_code == 405
    assert read(stranger, mailbox).status_code == 404
    assert "R7.1" in said(read(ada, site.mailboxes["queue"]))


# -- another record


@pytest.mark.rule("R10.28")
@pytest.mark.parametrize(("answer", "from_now_on"), [("all", False), ("new", True)])
def test_another_record_is_asked_about_before_anything_changes(site, ada, answer, from_now_on):
    lay(site.rule, 2)
    wanted = {"record": value_of(site.cleo)}
    question = ada.post(page_of(site.rule), wanted)
    assert question.context["count"] == 2
    site.rule.refresh_from_db()
    assert site.rule.regarding == site.contoso

    ada.post(page_of(site.rule), wanted | {"which": answer})
    site.rule.refresh_from_db()
    assert MailboxTrackingFolder.objects.get().regarding == site.cleo
    assert (site.rule.relink_from is not None) == from_now_on


def test_nothing_there_nothing_asked(site, ada):
    ada.post(page_of(site.rule), {"record": value_of(site.cleo)})
    assert MailboxTrackingFolder.objects.get().regarding == site.cleo


def test_taking_the_record_away_needs_no_question(site, ada):
    lay(site.rule)
    response = ada.post(page_of(site.rule), {"record": ""})
    assert "tracked without a record" in said(response)
    assert MailboxTrackingFolder.objects.get().regarding_id == ""


def test_the_same_record_is_no_change(site, ada):
    before = site.rule.modified_on
    response = ada.post(page_of(site.rule), {"record": value_of(site.contoso)})
    assert "same as before" in said(response)
    assert MailboxTrackingFolder.objects.get().modified_on == before


# -- a rule that doesn't work, or is done with


@pytest.mark.rule("R7.5")
@pytest.mark.parametrize("state", [FolderState.MISSING, FolderState.OUTSIDE])
def test_an_invalid_rule_is_shown_as_one(site, ada, state):
    MailboxTrackingFolder.objects.update(state=state)
    assert f"{state.label}</span>" in ada.get(reverse(f"{MODEL}_changelist")).content.decode()
    assert "R7.11" in ada.get(page_of(site.rule)).content.decode()


@pytest.mark.rule("R7.5")
def test_the_front_page_counts_rules_that_are_off(site, ada):
    def figures():
        needed = ada.get(reverse("admin:index")).context["needed"]
        return [one for one in needed if "Folder rules" in str(one.words)]

    assert figures() == []
    MailboxTrackingFolder.objects.update(state=FolderState.OUTSIDE)
    (figure,) = figures()
    assert figure.number == 1
    assert [rule.pk for rule in ada.get(figure.url).context["cl"].result_list] == [site.rule.pk]


def test_a_folder_that_is_back_is_tracked_again_by_button(site, ada):
    again = reverse(f"{MODEL}_do", args=[site.rule.pk, "track_again"])
    assert ada.post(again).status_code == 404  # it works
    MailboxTrackingFolder.objects.update(state=FolderState.MISSING)
    assert again in ada.get(page_of(site.rule)).content.decode()
    assert "is tracked again" in said(ada.post(again))
    assert MailboxTrackingFolder.objects.get().state == FolderState.ACTIVE

    MailboxTrackingFolder.objects.update(state=FolderState.MISSING)
    MailboxLayout.objects.update(folder_hierarchy=[])
    assert "no such folder below the inbox" in said(ada.post(again))


@pytest.mark.rule("R7.11")
def test_a_rule_is_removed_and_its_emails_stay(site, ada):
    lay(site.rule)
    page = ada.get(page_of(site.rule, "delete"))
    assert "The 1 email from there stays" in page.content.decode()
    ada.post(page_of(site.rule, "delete"), {"post": "yes"})
    assert not MailboxTrackingFolder.objects.exists()
    assert SyncItem.objects.filter(
        folder=site.rule.exchange_folder_id, email__isnull=False
    ).exists()


def test_several_are_removed_from_the_list(site, ada):
    ada.post(
        reverse(f"{MODEL}_changelist"),
        {"action": "delete_selected", "_selected_action": [site.rule.pk], "post": "yes"},
    )
    assert not MailboxTrackingFolder.objects.exists()


# -- who sees what


def test_a_user_meets_own_rules_and_those_of_own_queues(site, ada):
    Organization.objects.update(allow_folder_tracking_for_queues=True)
    now = timezone.now()
    of_queue = create_rule(mailbox=site.mailboxes["queue"], folder="INBOX/Orders", now=now)
    of_other = create_rule(mailbox=site.mailboxes["untested"], folder="INBOX/Orders", now=now)
    listed = ada.get(reverse(f"{MODEL}_changelist")).context["cl"].result_list
    assert {rule.pk for rule in listed} == {site.rule.pk, of_queue.pk}
    assert ada.get(page_of(of_other)).status_code == 302
    assert ada.post(page_of(of_other), {"record": ""}).status_code == 302
    assert ada.post(page_of(of_other, "delete"), {"post": "yes"}).status_code == 302


def test_a_stranger_neither_sees_nor_makes_nor_changes_rules(site, stranger):
    assert not stranger.get(reverse(f"{MODEL}_changelist")).context["cl"].result_list
    assert stranger.get(page_of(site.rule)).status_code == 302
    assert new_page(stranger, site).status_code == 404
    assert add(stranger, site, exchange_folder_id=CUSTOMERS).status_code == 404
    again = reverse(f"{MODEL}_do", args=[site.rule.pk, "track_again"])
    assert stranger.post(again).status_code == 404
    page = stranger.get(reverse("admin:mailboxes_mailbox_change", args=[site.rule.mailbox_id]))
    assert page.status_code == 200
    assert page.context["rules_card"] is None
    assert "Customers" not in page.content.decode()
    assert MailboxTrackingFolder.objects.get() == site.rule


def test_whoever_may_only_look_is_offered_nothing_else(site):
    user = SystemUserFactory()
    group_of(user, "view_mailboxtrackingfolder", reach=Reach.ALL)
    client = signed_in(user)
    page = client.get(page_of(site.rule))
    assert page.status_code == 200
    assert b'name="record"' not in page.content
    assert "yours to see" in page.content.decode()  # the record
    assert client.post(page_of(site.rule), {"record": ""}).status_code == 403


def test_a_foreign_record_is_neither_named_nor_lost(site, ada):
    foreign = Account.objects.create(name="Hidden Ltd", owning_user=site.administrator)
    site.rule.regarding = foreign
    site.rule.save()
    for url in (reverse(f"{MODEL}_changelist"), page_of(site.rule)):
        text = ada.get(url).content.decode()
        assert "not yours to see" in text
        assert "Hidden Ltd" not in text and str(foreign.pk) not in text
    assert "same as before" in said(ada.post(page_of(site.rule), {"record": "="}))
    assert MailboxTrackingFolder.objects.get().regarding == foreign


def test_a_foreign_record_is_not_chosen(site, ada):
    foreign = Account.objects.create(name="Hidden Ltd", owning_user=site.administrator)
    form = add(ada, site, exchange_folder_id=CUSTOMERS, record=value_of(foreign)).context["form"]
    assert "not yours to see" in str(form.errors["record"])
    assert ada.post(page_of(site.rule), {"record": value_of(foreign)}).context["form"].errors


def test_a_record_that_is_gone_is_told(site, ada):
    Incident.objects.all().delete()  # a customer with cases stays
    site.contoso.delete()
    assert "the record is gone" in ada.get(reverse(f"{MODEL}_changelist")).content.decode()
    assert "the record is gone" in ada.get(page_of(site.rule)).content.decode()


def test_the_search_finds_what_the_user_may_see(site, ada):
    Contact.objects.create(last_name="Cleopatra", owning_user=site.administrator)
    url = reverse(f"{MODEL}_records")
    answer = ada.get(url, {"q": "cleo"}).json()
    assert answer == {
        "records": [
            {
                "value": value_of(site.cleo),
                "name": "Cleo Example",
                "kind": "Contact",
                "detail": "cleo@customer.example",
            }
        ],
        "words": "1 record found.",
    }
    assert ada.get(url).json() == {"records": [], "words": ""}


def test_the_search_is_for_people_who_make_rules(site, client):
    url = reverse(f"{MODEL}_records")
    assert client.get(url, {"q": "cleo"}).status_code == 302
    nobody = SystemUserFactory()
    Mailbox.objects.filter(regarding_user=nobody).update(
        regarding_user=None, owning_user=site.administrator
    )
    assert signed_in(nobody).get(url, {"q": "cleo"}).status_code == 403


def test_a_list_of_rules_costs_no_more_with_more_rules(site):
    client = signed_in(site.administrator)
    url = reverse(f"{MODEL}_changelist")

    def statements() -> int:
        with CaptureQueriesContext(
            connection,
        ) as seen:
            client.get(url)
        return len(seen)

    few = statements()
    tree = [RemoteFolder(f"{INBOX}/{n}", (str(n),), n) for n in range(20)]
    mailbox = site.mailboxes["healthy"]
    layout.store_folders(mailbox, tree, timezone.now())
    mailbox.refresh_from_db()
    for one in tree:
        create_rule(mailbox=mailbox, folder=one.folder, record=ContactFactory(), now=timezone.now())
    assert statements() <= few + 2  # another kind of record
