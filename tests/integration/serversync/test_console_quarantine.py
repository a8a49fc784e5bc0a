"""The quarantine's pages: what failed and why, deeds one by one and many at once, files brought in."""

import uuid

import pytest
from django.contrib.messages import get_messages
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from activities import blobs
from activities.models import StoredBytes
from mailboxes.choices import Reach
from mailboxes.models import TraceLog
from serversync.choices import IMPORTED
from serversync.models import SyncItem
from tests.factories.clients import signed_in
from tests.factories.console import Site, rich
from tests.factories.mailboxes import SystemUserFactory, group_of

pytestmark = pytest.mark.integration

URL = "/quarantine/"


@pytest.fixture
def reader(site):
    """Ada, who reads her mailbox's mail, and may retry."""
    group_of(site.ada, "retry_syncitem", reach=Reach.ALL)
    return signed_in(site.ada)


@pytest.fixture
def admin(site):
    return signed_in(site.administrator)


def said(answer) -> str:
    assert answer.status_code == 200, answer.status_code
    return " | ".join(str(message) for message in get_messages(answer.wsgi_request))


def kept(raw: bytes) -> StoredBytes:
    staged = blobs.Staged()
    return StoredBytes.objects.get(pk=blobs.save(staged)[key]) if (key := staged.add(raw)) else None


def failed(site: Site, mailbox: str = "healthy", **columns) -> SyncItem:
    values = {
        "state": "quarantined",
        "reason": "IncomingMailboxInternalCrmError",
        "last_error": "ValueError: poison",
        "attempts": 5,
        "subject": "Secret plans",
        "sender": "cleo@customer.example",
        "source_key": uuid.uuid4().hex,
        "folder": "INBOX",
        **columns,
    }
    return SyncItem.objects.create(mailbox=site.mailboxes[mailbox], **values)


def shown(client, **query) -> list[SyncItem]:
    return [line.item for line in client.get(URL, query).context["lines"]]


@pytest.mark.rule("R3.72")
def test_what_failed_is_listed_with_reason_error_and_counts(site, admin):
    other = failed(site, "queue", reason="MessageGone", last_error="It says no")
    again = failed(site, state="retrying", next_attempt_at=timezone.now())
    unread = site.items["quarantined"]

    page = admin.get(URL)
    assert [line.item for line in page.context["lines"]] == [other, unread]
    assert [(tab.count, tab.current) for tab in page.context["tabs"]] == [(2, True), (1, False)]
    text = page.content.decode()
    assert "The server could not hand out this message." in text
    assert "If it stays so, move it in a mail program" in text
    assert "It says no" in text
    reasons = {reason.code: reason.url for reason in page.context["reasons"]}
    assert set(reasons) == {"MessageGone", "MessageUnreadable"}

    assert shown(admin, reason="MessageGone") == [other]
    assert shown(admin, mailbox=str(unread.mailbox_id)) == [unread]
    assert shown(admin, state="retrying") == [again]
    for nonsense in ({"mailbox": "x\0"}, {"state": "?", "page": "z"}, {"reason": "\0"}):
        assert admin.get(URL, nonsense).status_code == 200


@pytest.mark.rule("R8.30")
def test_errors_that_quote_mail_are_for_its_readers(site, admin, reader):
    why = {"text": "site.check: ValueError: Secret plans", "code": "HookFailed"}
    item = failed(
        site,
        reason="HookFailed",
        last_error=why["text"],
        trace={"outcome": "quarantined", "reason": "HookFailed", "failure": why},
    )
    item_page = reverse("admin:serversync_syncitem_change", args=[item.pk])
    for url in (URL, f"{URL}{item.pk}/", item_page):
        told = admin.get(url).content.decode()
        assert "site.check" in told
        assert "Secret plans" not in told
        assert why["text"] in reader.get(url).content.decode()


@pytest.mark.rule("R8.30")
def test_subjects_and_contents_are_for_those_who_read_the_mailbox(site, reader, admin):
    item = failed(site, raw=kept(bytes(rich(site.now))))
    look = reverse("admin:quarantine_look", args=[item.pk])

    assert "Secret plans" in reader.get(URL).content.decode()
    assert (
        "please find"
        in reader.get(reverse("admin:quarantine_body", args=[item.pk])).content.decode()
    )

    for url in (URL, look):
        page = admin.get(url).content.decode()
        assert "Secret plans" not in page
        assert "4711" not in page
    assert "shown to the owner of the mailbox" in admin.get(look).content.decode()
    for url in (f"{look}body/", f"{look}files/1/"):
        assert admin.get(url).status_code == 404
    stranger = SystemUserFactory(domain_name="stranger", internal_email_address="s@x.example")
    assert signed_in(stranger).get(look).status_code == 404
    assert shown(signed_in(stranger)) == []


def test_a_message_is_shown_parsed_sanitised_and_with_its_files(site, reader):
    item = failed(site, raw=kept(bytes(rich(site.now)) + b"\r\n"))

    page = reader.get(reverse("admin:quarantine_look", args=[item.pk]))
    text = page.content.decode()
    assert "Cleo Example" in text
    assert "offer 4711.pdf" in text
    assert "Message-ID: &lt;offer@customer.example&gt;" in text
    assert page.context["looked"].blocked == 1
    assert "What was wrong with it" in text

    body = reader.get(reverse("admin:quarantine_body", args=[item.pk]))
    assert "sandbox" in body["Content-Security-Policy"]
    html = body.content.decode()
    assert "data:image/png;base64," in html
    assert "<script" not in html
    assert "onclick" not in html
    assert "pixel.example.net" not in html
    files = [file.filename for file in page.context["looked"].files]
    number = files.index("offer 4711.pdf") + 1
    file = reader.get(reverse("admin:quarantine_file", args=[item.pk, number]))
    assert file.content == b"%PDF-1.4 an offer"
    assert file["Content-Disposition"].startswith("attachment")
    assert reader.get(reverse("admin:quarantine_file", args=[item.pk, 9])).status_code == 404


def test_a_name_that_runs_backwards_doesn_t_turn_the_address_round(site, reader):
    sender = '"Ada \u202emoc.knab@ada\u2066" <x@customer.example>'
    raw = f"From: {sender}\r\nTo: ada@example.com\r\nSubject: a\u202eb\r\n\r\nHi\r\n".encode()
    item = failed(site, raw=kept(raw))

    text = reader.get(reverse("admin:quarantine_look", args=[item.pk])).content.decode()

    parties = text.partition("<dl")[2].partition("</dl>")[0]
    assert "customer.example" in parties
    assert "\u202e" not in parties
    assert "\u2066" not in parties


def test_what_is_not_kept_is_said(site, reader):
    page = reader.get(reverse("admin:quarantine_look", args=[site.items["quarantined"].pk]))

    assert "not kept here" in page.content.decode()
    assert "Import this message from a file" in page.content.decode()


@pytest.mark.rule("R3.72")
def test_one_chosen_ones_and_all_of_a_reason_are_retried(site, admin):
    items = [failed(site) for _number in range(3)]
    hook = failed(site, reason="HookFailed")

    assert "1 item is fetched again" in said(
        admin.post(URL, {"deed": f"retry:{items[0].pk}"}, follow=True)
    )
    chosen = {"deed": "retry:chosen", "item": [str(items[1].pk), "nonsense"]}
    assert "1 item is fetched again" in said(admin.post(URL, chosen, follow=True))
    assert "1 item is fetched again" in said(
        admin.post(f"{URL}?reason=HookFailed", {"deed": "retry:all"}, follow=True)
    )

    retrying = set(SyncItem.objects.filter(state="retrying"))
    assert retrying == {items[0], items[1], hook}
    assert "Choose items first" in said(admin.post(URL, {"deed": "retry:chosen"}, follow=True))
    assert admin.post(URL, {"deed": "explode:all"}).status_code == 404


@pytest.mark.rule("R3.72")
def test_dismissing_asks_first_and_ends_the_alert_of_the_mailbox(site, admin):
    item = site.items["quarantined"]
    alert = TraceLog.objects.get(code="Quarantined", closed_on=None)
    assert alert.regarding_mailbox == item.mailbox

    asked = admin.post(f"{URL}?mailbox={item.mailbox_id}", {"deed": "dismiss:all"})
    assert "Dismiss 1 item?" in asked.content.decode()
    item.refresh_from_db()
    assert item.state == "quarantined"
    sure = {"deed": "dismiss:chosen", "item": [str(item.pk)], "sure": "1"}
    assert "1 item was dismissed" in said(admin.post(URL, sure, follow=True))

    item.refresh_from_db()
    assert (item.state, item.reason) == ("skipped", "Dismissed")
    alert.refresh_from_db()
    assert alert.closed_on is not None


def test_nobody_acts_without_the_permission_or_beyond_his_reach(site):
    item = site.items["quarantined"]
    mine = signed_in(site.ada)
    page = mine.get(URL)
    assert [line.item for line in page.context["lines"]] == [item]
    assert "Retry now" not in page.content.decode()
    assert "retry_syncitem" in said(mine.post(URL, {"deed": "retry:all"}, follow=True))
    group_of(site.ben, "retry_syncitem", reach=Reach.OWN)
    assert "Choose items first" in said(
        signed_in(site.ben).post(URL, {"deed": f"retry:{item.pk}"}, follow=True)
    )
    item.refresh_from_db()
    assert item.state == "quarantined"


def test_alert_and_front_page_lead_there(site, admin):
    alert = TraceLog.objects.get(code="Quarantined", closed_on=None)
    page = admin.get(reverse("admin:mailboxes_tracelog_change", args=[alert.pk]))
    assert f"{URL}?mailbox={alert.regarding_mailbox_id}" in page.content.decode()

    needed = {str(figure.words): figure.url for figure in admin.get("/").context["needed"]}
    assert needed["Quarantined items"] == URL


def test_the_list_costs_the_same_for_one_item_and_for_many(site, admin):
    admin.get(URL)
    with CaptureQueriesContext(
        connection,
    ) as few:
        admin.get(URL)
    for _number in range(20):
        failed(site, "queue")
    with CaptureQueriesContext(connection) as many:
        admin.get(URL)

    assert len(many) <= len(few) + 1  # the list of mailboxes has one more


# -- files


def upload(client, *files: bytes, **fields):
    sent = [
        SimpleUploadedFile(f"{number}.eml", raw, "message/rfc822")
        for number, raw in enumerate(files)
    ]
    return client.post(f"{URL}bring/", {"files": sent, **fields})


@pytest.mark.rule("R3.72")
def test_files_are_brought_to_a_mailbox(site, reader):
    healthy = site.mailboxes["healthy"]
    raw = bytes(rich(site.now)).replace(b"offer@", b"offer2@")

    answer = upload(reader, raw, b"PK\x03\x04", mailbox=str(healthy.pk))

    text = answer.content.decode()
    assert "Taken in" in text
    assert "Not taken" in text
    item = SyncItem.objects.get(folder=IMPORTED)
    assert (item.mailbox, item.state, item.subject) == (
        healthy, "retrying", "Offer for order 4711",
    )  # fmt: skip
    assert shown(reader, state="retrying") == [item]
    assert "Imported by hand" in reader.get(URL, {"state": "retrying"}).content.decode()
    page = reader.get(reverse("admin:serversync_syncitem_change", args=[item.pk]))
    assert "Imported by hand" in page.content.decode()
    assert page.context["original"].pk == item.pk


def test_it_is_said_that_a_mailbox_does_not_run(site, reader):
    healthy = site.mailboxes["healthy"]
    raw = bytes(rich(site.now))
    assert "asked to run now" in upload(reader, raw, mailbox=str(healthy.pk)).content.decode()
    healthy.workloads.update(enabled=False)

    answer = upload(reader, raw, mailbox=str(healthy.pk))

    assert "waits until it does" in answer.content.decode()


def test_a_file_is_brought_for_the_item_that_lacks_it(site, reader):
    item = site.items["quarantined"]
    page = reader.get(f"{URL}bring/", {"item": str(item.pk)})
    assert "The message of this item" in page.content.decode()

    raw = bytes(rich(site.now))
    answer = upload(reader, raw, item=str(item.pk))

    assert "Belongs to an item that failed" in answer.content.decode()
    item.refresh_from_db()
    assert item.state == "retrying"
    assert blobs.read(item.raw) == raw


def test_files_are_brought_only_to_mailboxes_that_one_reads_and_may_act_on(site, admin):
    healthy = site.mailboxes["healthy"]
    raw = bytes(rich(site.now))
    # The administrator may retry everywhere, but reads nobody's mail.
    assert "Choose the mailbox" in said(upload(admin, raw, mailbox=str(healthy.pk)))
    # Ada reads it, without the permission to retry.
    assert "Choose the mailbox" in said(upload(signed_in(site.ada), raw, mailbox=str(healthy.pk)))
    assert "retry_syncitem" in said(signed_in(site.ada).get(f"{URL}bring/"))
    item = site.items["quarantined"]
    assert signed_in(site.ada).get(f"{URL}bring/", {"item": str(item.pk)}).status_code == 403
    assert not SyncItem.objects.filter(folder=IMPORTED).exists()


def test_bringing_says_what_is_missing(site, reader):
    mailbox = str(site.mailboxes["healthy"].pk)
    assert "Choose at least one file" in said(upload(reader, mailbox=mailbox))
    assert "Choose the mailbox" in said(upload(reader, b"From: x@y.example\r\n\r\n", mailbox="?"))
    item = str(site.items["quarantined"].pk)
    assert "Choose one file" in said(upload(reader, b"a", b"b", item=item))
