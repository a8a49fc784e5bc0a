"""The sandbox's Exchange server as exchangelib meets it, unpatched; and its wire where that hides things."""

import base64
import http.client
import smtplib
import socket
import ssl
from datetime import UTC, datetime
from email import message_from_bytes
from email.header import decode_header, make_header
from email.message import EmailMessage
from pathlib import Path

import pytest
from exchangelib import (
    BASIC,
    DELEGATE,
    IMPERSONATION,
    Account,
    CalendarItem,
    Configuration,
    Contact,
    Credentials,
    EWSDateTime,
    ExtendedProperty,
    FileAttachment,
    HTMLBody,
    ItemAttachment,
    Mailbox,
    Message,
    Task,
    errors,
)
from exchangelib.folders import Folder, Inbox
from exchangelib.items import PostItem
from exchangelib.protocol import BaseProtocol, close_connections
from lxml import etree

from serversync.sandbox.ews.faults import PROTOCOL, busy, http_status, refuse, soap_fault
from serversync.sandbox.ews.quirks import Quirks
from serversync.sandbox.ews.soap import M, T
from serversync.sandbox.ews.versions import Edition
from serversync.sandbox.faults import Fault, Kind
from serversync.sandbox.outside import Manner, Person
from serversync.sandbox.servers import Sandbox, running_sandbox
from serversync.sandbox.store import INBOX
from tests.integration.serversync.ews_clients import (
    ADA,
    BEN,
    BUILD_2019,
    PASSWORD,
    account,
    trusting,
)

pytestmark = [pytest.mark.integration, pytest.mark.database("sqlite")]

SERVICE = "service@exchange.example"
RITA = "rita@customer.example"
IMAP_USER = "chloe@sandbox.example"
MESSAGES = Path(__file__).parents[2] / "messages"
MIME = (
    b"From: Rita <rita@customer.example>\r\nTo: ada@exchange.example\r\nSubject: An order\r\n"
    b"Message-ID: <order@customer.example>\r\nDate: Mon, 02 Nov 2026 10:00:00 +0000\r\n"
    b"X-Unknown: kept\r\n\r\nTwo pieces, please.\r\n"
)


@pytest.fixture(scope="module")
def server():
    people = {RITA: Person(RITA, "Rita", Manner.REPLY)}
    with running_sandbox(accounts={IMAP_USER: PASSWORD}, people=people) as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(server, monkeypatch):
    """The same server for every test, with new accounts."""
    monkeypatch.setattr(BaseProtocol, "HTTP_ADAPTER_CLS", trusting(server))
    for address in (ADA, BEN):
        server.exchange.add_account(address, PASSWORD)
    server.exchange.add_account(SERVICE, PASSWORD, has_mailbox=False)
    yield server
    close_connections()
    for known in server.exchange.store.accounts():
        server.exchange.store.remove_account(known.address)
    server.store.remove(IMAP_USER, INBOX, server.store.uids(IMAP_USER))
    server.exchange.quirks = Quirks()
    server.exchange.requests.clear()
    server.exchange.forget_subscriptions()
    server.faults.clear()
    server.sent.clear()


def operations(sandbox: Sandbox) -> list[str]:
    return [request.operation for request in sandbox.exchange.requests]


# -- the wire itself -------------------------------------------------------------------------------

ENVELOPE = """<?xml version="1.0" encoding="utf-8"?>
<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"
 xmlns:t="http://schemas.microsoft.com/exchange/services/2006/types"
 xmlns:m="http://schemas.microsoft.com/exchange/services/2006/messages">
<s:Header>{header}</s:Header><s:Body>{body}</s:Body></s:Envelope>"""
GET_INBOX = (
    "<m:GetFolder><m:FolderShape><t:BaseShape>Default</t:BaseShape></m:FolderShape>"
    '<m:FolderIds><t:DistinguishedFolderId Id="inbox"/></m:FolderIds></m:GetFolder>'
)


class Line:
    """One connection, kept."""

    def __init__(self, sandbox: Sandbox, user: str = ADA, password: str = PASSWORD) -> None:
        trust = ssl.create_default_context(cadata=sandbox.ca_pem)
        port = sandbox.ports["ews"]
        self.connection = http.client.HTTPSConnection(sandbox.host, port, timeout=10, context=trust)
        token = base64.b64encode(f"{user}:{password}".encode()).decode()
        self.headers = {
            "Authorization": f"Basic {token}",
            "Content-Type": "text/xml; charset=utf-8",
        }

    def __enter__(self) -> "Line":
        return self

    def __exit__(self, *_) -> None:
        self.connection.close()

    def post(self, body: str, *, version: str = "Exchange2016", header: str = ""):
        if version:
            header = f'<t:RequestServerVersion Version="{version}"/>' + header
        data = ENVELOPE.format(header=header, body=body).encode()
        return self.send(data)

    def send(self, data: bytes):
        self.connection.request("POST", "/EWS/Exchange.asmx", data, self.headers)
        return self.read()

    def read(self):
        response = self.connection.getresponse()
        return response, response.read()

    def ask(self, body: str, **options) -> etree._Element:
        _, content = self.post(body, **options)
        return etree.fromstring(content)


def ask(sandbox: Sandbox, body: str, user: str = ADA, **options) -> etree._Element:
    with Line(sandbox, user) as line:
        return line.ask(body, **options)


def codes(answer: etree._Element) -> list[str]:
    """Of every response message, or of the fault."""
    found = [element.text for element in answer.iter(f"{M}ResponseCode")]
    fault = answer.find(
        ".//{http://schemas.microsoft.com/exchange/services/2006/errors}ResponseCode"
    )
    return found if fault is None else [fault.text]


def get_items(*ids: str, path: str = "item:Subject") -> str:
    wanted = "".join(f'<t:ItemId Id="{one}"/>' for one in ids)
    return (
        "<m:GetItem><m:ItemShape><t:BaseShape>IdOnly</t:BaseShape><t:AdditionalProperties>"
        f'<t:FieldURI FieldURI="{path}"/></t:AdditionalProperties></m:ItemShape>'
        f"<m:ItemIds>{wanted}</m:ItemIds></m:GetItem>"
    )


def sync(state: str = "", most: int = 512, folder: str = "inbox", ignored: str = "") -> str:
    return (
        "<m:SyncFolderItems><m:ItemShape><t:BaseShape>IdOnly</t:BaseShape></m:ItemShape>"
        f'<m:SyncFolderId><t:DistinguishedFolderId Id="{folder}"/></m:SyncFolderId>'
        + (f"<m:SyncState>{state}</m:SyncState>" if state else "")
        + (f'<m:Ignore><t:ItemId Id="{ignored}"/></m:Ignore>' if ignored else "")
        + f"<m:MaxChangesReturned>{most}</m:MaxChangesReturned></m:SyncFolderItems>"
    )


def news(answer: etree._Element) -> list[str]:
    return [etree.QName(one).localname for one in answer.find(f".//{M}Changes")]


def state_of(answer: etree._Element) -> str:
    return answer.findtext(f".//{M}SyncState")


def mail(to: str, subject: str = "Hello", sender: str = ADA) -> bytes:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = sender, to, subject
    message["Date"] = "Mon, 02 Nov 2026 10:00:00 +0000"
    message["Message-ID"] = f"<{subject.lower().replace(' ', '-')}@exchange.example>"
    message.set_content("text\n")
    return message.as_bytes()


# -- signing in and the first questions ------------------------------------------------------------


class TestSetUp:
    def test_a_client_that_knows_nothing_finds_sign_in_and_version_by_itself(self, sandbox):
        configuration = Configuration(
            service_endpoint=sandbox.exchange.url, credentials=Credentials(ADA, PASSWORD)
        )
        found = Account(ADA, config=configuration, autodiscover=False, access_type=DELEGATE)
        assert found.inbox.name == "Inbox"
        assert found.version.build == BUILD_2019
        assert "ConvertId" in operations(sandbox)

    @pytest.mark.parametrize("edition", [Edition.E2010_SP3, Edition.E2013_SP1, Edition.ONLINE])
    def test_every_release_is_recognized(self, sandbox, edition):
        sandbox.exchange.quirks = Quirks(edition=edition)
        configuration = Configuration(
            service_endpoint=sandbox.exchange.url,
            credentials=Credentials(ADA, PASSWORD),
            auth_type=BASIC,
        )
        found = Account(ADA, config=configuration, autodiscover=False, access_type=DELEGATE)
        sandbox.exchange.deliver(ADA, MIME)
        assert [item.subject for item in found.inbox.all()] == ["An order"]
        assert found.version.build.major_version == sandbox.exchange.site.release.build[0]

    def test_wrong_passwords_unknown_users_and_plain_lines_are_refused(self, sandbox):
        for user, password in [(ADA, "wrong"), ("nobody@exchange.example", PASSWORD), ("", "")]:
            with Line(sandbox, user, password) as line:
                response, _ = line.post(GET_INBOX)
                assert response.status == 401
                assert "WWW-Authenticate" in response.headers
        plain = http.client.HTTPConnection(sandbox.host, sandbox.ports["ews-plain"], timeout=5)
        plain.request("POST", "/EWS/Exchange.asmx", b"", {})
        assert plain.getresponse().status == 403
        plain.close()

    def test_a_schema_that_came_later_is_refused(self, sandbox):
        sandbox.exchange.quirks = Quirks(edition=Edition.E2010_SP3)
        assert codes(ask(sandbox, GET_INBOX)) == ["ErrorInvalidServerVersion"]
        assert codes(ask(sandbox, GET_INBOX, version="Exchange2010")) == ["NoError"]
        photo = "<m:GetUserPhoto/>"
        assert codes(ask(sandbox, photo, version="Exchange2010")) == ["ErrorSchemaValidation"]

    def test_what_is_no_request_gets_a_fault(self, sandbox):
        with Line(sandbox) as line:
            for data in (b"<a>", b"<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>", b"<a/>"):
                response, content = line.send(data)
                assert response.status == 500
                assert response.headers["Content-Type"] == "text/xml; charset=utf-8"
                assert codes(etree.fromstring(content)) == ["ErrorSchemaValidation"]
            assert codes(line.ask("<m:NoSuchThing/>")) == ["ErrorSchemaValidation"]

    def test_an_account_that_is_missing_disabled_or_unlicensed_says_so(self, sandbox):
        assert codes(ask(sandbox, GET_INBOX, user=SERVICE)) == ["ErrorNonExistentMailbox"]
        sandbox.exchange.set_account(ADA, is_enabled=False)
        assert codes(ask(sandbox, GET_INBOX)) == ["ErrorAccountDisabled"]
        sandbox.exchange.set_account(ADA, is_enabled=True, is_licensed=False)
        assert codes(ask(sandbox, GET_INBOX)) == ["ErrorInvalidLicense"]


class TestAccess:
    def test_impersonation_needs_the_right(self, sandbox):
        sandbox.exchange.deliver(ADA, MIME)
        ada = account(sandbox, user=SERVICE, access=IMPERSONATION)
        with pytest.raises(errors.ErrorImpersonateUserDenied):
            ada.inbox.refresh()
        close_connections()
        sandbox.exchange.allow_impersonation(SERVICE)
        ada = account(sandbox, user=SERVICE, access=IMPERSONATION)
        assert [item.subject for item in ada.inbox.all()] == ["An order"]

    def test_nobody_can_be_impersonated_who_is_not_there(self, sandbox):
        sandbox.exchange.allow_impersonation(SERVICE)
        stranger = account(sandbox, "no@exchange.example", user=SERVICE, access=IMPERSONATION)
        with pytest.raises(errors.ErrorNonExistentMailbox):
            stranger.inbox.refresh()

    def test_a_delegate_sees_what_was_granted(self, sandbox):
        ada = account(sandbox, user=BEN)
        with pytest.raises(errors.ErrorAccessDenied):
            list(Inbox(root=ada.root).all())
        close_connections()
        sandbox.exchange.grant(ADA, BEN, "FullAccess")
        sandbox.exchange.deliver(ADA, MIME)
        ada = account(sandbox, user=BEN)
        assert [item.subject for item in ada.inbox.all()] == ["An order"]

    def test_a_reviewer_reads_one_folder_and_writes_none(self, sandbox):
        sandbox.exchange.deliver(ADA, MIME)
        (item,) = sandbox.exchange.items(ADA)
        sandbox.exchange.grant(ADA, BEN, "Reviewer", "inbox")
        assert codes(ask(sandbox, get_items(item.remote_id), user=BEN)) == ["NoError"]
        delete = (
            '<m:DeleteItem DeleteType="HardDelete"><m:ItemIds>'
            f'<t:ItemId Id="{item.remote_id}"/></m:ItemIds></m:DeleteItem>'
        )
        assert codes(ask(sandbox, delete, user=BEN)) == ["ErrorAccessDenied"]

    def test_delegates_are_managed_by_the_owner(self, sandbox):
        mailbox = f"<m:Mailbox><t:EmailAddress>{ADA}</t:EmailAddress></m:Mailbox>"
        user = f"<t:UserId><t:PrimarySmtpAddress>{BEN}</t:PrimarySmtpAddress></t:UserId>"
        add = (
            f"<m:AddDelegate>{mailbox}<m:DelegateUsers><t:DelegateUser>{user}<t:DelegatePermissions>"
            "<t:InboxFolderPermissionLevel>Editor</t:InboxFolderPermissionLevel>"
            "</t:DelegatePermissions></t:DelegateUser></m:DelegateUsers></m:AddDelegate>"
        )
        assert codes(ask(sandbox, add)) == ["NoError", "NoError"]
        assert codes(ask(sandbox, add, user=BEN)) == ["ErrorAccessDenied"]
        (found,) = account(sandbox).delegates
        assert found.user_id.primary_smtp_address == BEN
        assert found.delegate_permissions.inbox_folder_permission_level == "Editor"


# -- folders ---------------------------------------------------------------------------------------


class TestFolders:
    def test_the_whole_tree_is_read_and_shows_its_paths(self, sandbox):
        sandbox.exchange.add_folder(ADA, "Inbox/Orders/2026")
        ada = account(sandbox)
        assert (ada.inbox / "Orders" / "2026").absolute.endswith("/Inbox/Orders/2026")
        assert (ada.inbox // "Orders").name == "Orders"

    def test_folders_are_made_renamed_moved_and_deleted(self, sandbox):
        ada = account(sandbox)
        orders = Folder(parent=ada.inbox, name="Orders")
        orders.save()
        with pytest.raises(errors.ErrorFolderExists):
            Folder(parent=ada.inbox, name="orders").save()
        orders.name = "Old orders"
        orders.save(update_fields=["name"])
        orders.move(ada.drafts)
        assert "Drafts/Old orders" in sandbox.exchange.folders(ADA)
        orders.delete()
        assert "Old orders" not in " ".join(sandbox.exchange.folders(ADA))
        with pytest.raises(errors.ErrorDeleteDistinguishedFolder):
            ada.inbox.delete()

    def test_counts_are_those_of_the_store(self, sandbox):
        for is_read in (True, False, False):
            sandbox.exchange.deliver(ADA, MIME, is_read=is_read)
        inbox = account(sandbox).inbox
        inbox.refresh()
        assert (inbox.total_count, inbox.unread_count) == (3, 2)

    def test_a_hierarchy_tells_what_changed_since(self, sandbox):
        first = ask(
            sandbox,
            "<m:SyncFolderHierarchy><m:FolderShape><t:BaseShape>Default</t:BaseShape>"
            "</m:FolderShape></m:SyncFolderHierarchy>",
        )
        assert set(news(first)) == {"Create"}
        orders = sandbox.exchange.add_folder(ADA, "Inbox/Orders")
        again = (
            "<m:SyncFolderHierarchy><m:FolderShape><t:BaseShape>Default</t:BaseShape></m:FolderShape>"
            "<m:SyncState>{}</m:SyncState></m:SyncFolderHierarchy>"
        )
        second = ask(sandbox, again.format(state_of(first)))
        assert news(second) == ["Create"]
        sandbox.exchange.store.remove_folder(orders)
        assert news(ask(sandbox, again.format(state_of(second)))) == ["Delete"]
        assert news(ask(sandbox, again.format(state_of(first)))) == []

    def test_an_emptied_folder_keeps_its_subfolders_unless_told(self, sandbox):
        sandbox.exchange.deliver(ADA, MIME)
        sandbox.exchange.add_folder(ADA, "Inbox/Orders")
        inbox = account(sandbox).inbox
        inbox.empty(delete_type="MoveToDeletedItems")
        assert sandbox.exchange.items(ADA) == []
        assert len(sandbox.exchange.items(ADA, "deleteditems")) == 1
        assert "Inbox/Orders" in sandbox.exchange.folders(ADA)
        inbox.empty(delete_sub_folders=True)
        assert "Inbox/Orders" not in sandbox.exchange.folders(ADA)

    def test_missing_and_mistaken_ids_are_told_apart(self, sandbox):
        sandbox.exchange.deliver(ADA, MIME)
        (item,) = sandbox.exchange.items(ADA)
        orders = sandbox.exchange.add_folder(ADA, "Orders")
        sandbox.exchange.store.remove_folder(orders)
        wanted = {
            orders.remote_id: "ErrorFolderNotFound",
            item.remote_id: "ErrorCannotUseItemIdForFolderId",
            "AAMkA": "ErrorInvalidIdMalformed",
        }
        for remote_id, code in wanted.items():
            get = GET_INBOX.replace(
                '<t:DistinguishedFolderId Id="inbox"/>', f'<t:FolderId Id="{remote_id}"/>'
            )
            answer = ask(sandbox, get)
            assert codes(answer) == [code]
            assert answer.find(f".//{M}Folders") is not None


# -- items -----------------------------------------------------------------------------------------


class TestItems:
    def test_a_delivered_message_shows_its_properties_and_its_bytes(self, sandbox):
        received = datetime(2026, 11, 2, 10, 1, 2, 345678, tzinfo=UTC)
        sandbox.exchange.deliver(ADA, MIME, received_at=received)
        (message,) = account(sandbox).inbox.all()
        assert message.subject == "An order"
        assert message.author == Mailbox(
            name="Rita", email_address=RITA, routing_type="SMTP", mailbox_type="Mailbox"
        )
        assert [one.email_address for one in message.to_recipients] == [ADA]
        assert message.message_id == "<order@customer.example>"
        assert message.datetime_received == received.replace(microsecond=0)
        assert message.datetime_sent == datetime(2026, 11, 2, 10, tzinfo=UTC)
        assert message.text_body.strip() == "Two pieces, please."
        assert message.mime_content == MIME
        assert {one.name: one.value for one in message.headers}["X-Unknown"] == "kept"
        assert not message.is_read and not message.is_draft

    def test_attachments_of_a_message_are_files_and_items(self, sandbox):
        letter = EmailMessage()
        letter["Subject"], letter["From"] = "With files", RITA
        letter.set_content("text")
        letter.add_alternative("<p>html</p>", subtype="html")
        letter.add_attachment(b"%PDF", maintype="application", subtype="pdf", filename="ä.pdf")
        inner = EmailMessage()
        inner["Subject"], inner["From"] = "Inside", RITA
        inner.set_content("inner text")
        letter.add_attachment(inner)
        sandbox.exchange.deliver(ADA, letter.as_bytes())
        (message,) = account(sandbox).inbox.all()
        assert message.body == "<p>html</p>\n"
        assert message.has_attachments
        file, item = sorted(message.attachments, key=lambda one: isinstance(one, ItemAttachment))
        assert (file.name, file.content, file.content_type) == ("ä.pdf", b"%PDF", "application/pdf")
        with file.fp as stream:
            assert stream.read() == b"%PDF"
        assert isinstance(item, ItemAttachment)
        assert item.item.subject == "Inside"

    @pytest.mark.parametrize("anew", [False, True])
    def test_whatever_mail_there_is_can_be_read(self, sandbox, anew):
        sandbox.exchange.quirks = Quirks(regenerated_mime=anew)
        wanted = []
        for path in sorted(MESSAGES.glob("*.eml")):
            wanted.append(sandbox.exchange.deliver(ADA, path.read_bytes()))
        get = get_items(*(item.remote_id for item in wanted), path="item:MimeContent")
        answer = ask(sandbox, get.replace("IdOnly", "AllProperties"))
        assert codes(answer) == ["NoError"] * len(wanted)
        if not anew:
            contents = [base64.b64decode(one.text or "") for one in answer.iter(f"{T}MimeContent")]
            assert contents == sandbox.exchange.messages(ADA)

    def test_a_batch_answers_each_id_in_its_place(self, sandbox):
        for number in range(2):
            sandbox.exchange.deliver(ADA, mail(ADA, f"Number {number}"))
        one, two = sandbox.exchange.items(ADA)
        sandbox.exchange.remove(one)
        answer = ask(sandbox, get_items(one.remote_id, "AAMkAAAA", two.remote_id))
        assert codes(answer) == ["ErrorItemNotFound", "ErrorInvalidIdMalformed", "NoError"]
        assert len(answer.findall(f".//{M}Items")) == 3

    def test_paths_of_other_kinds_are_left_out_and_unknown_ones_refused(self, sandbox):
        (item,) = [sandbox.exchange.deliver(ADA, MIME)]
        calendar = ask(sandbox, get_items(item.remote_id, path="calendar:Start"))
        assert codes(calendar) == ["NoError"]
        unknown = ask(sandbox, get_items(item.remote_id, path="item:Colour"))
        assert codes(unknown) == ["ErrorSchemaValidation"]

    def test_each_write_changes_the_change_key(self, sandbox):
        ada = account(sandbox)
        draft = Message(account=ada, folder=ada.drafts, subject="One").save()
        keys = [draft.changekey]
        draft.subject = "Two"
        draft.save(update_fields=["subject"])
        keys.append(draft.changekey)
        draft.attach(FileAttachment(name="a.txt", content=b"abc"))
        keys.append(draft.changekey)
        draft.categories = ["Blue category"]
        draft.save(update_fields=["categories"])
        keys.append(draft.changekey)
        draft.detach(draft.attachments[0])
        draft.refresh()
        keys.append(draft.changekey)
        assert len(set(keys)) == 5
        (stored,) = sandbox.exchange.items(ADA, "drafts")
        assert stored.change_key == draft.changekey
        assert stored.categories == ["Blue category"]

    def test_conflicts_follow_the_resolution(self, sandbox):
        ada = account(sandbox)
        draft = Message(account=ada, folder=ada.drafts, subject="One", body="text").save()
        other = ada.drafts.get(id=draft.id)
        other.subject = "Theirs"
        other.save(update_fields=["subject"])
        draft.body = "mine"
        draft.save(update_fields=["body"])  # another property, so both stay
        stale = ada.drafts.get(id=draft.id)
        other.refresh()
        other.subject = "Theirs again"
        other.save(update_fields=["subject"])
        stale.subject = "Mine"
        with pytest.raises(errors.ErrorIrresolvableConflict):
            stale.save(update_fields=["subject"])
        stale.save(update_fields=["subject"], conflict_resolution="AlwaysOverwrite")
        final = ada.drafts.get(id=draft.id)
        assert (final.subject, final.text_body) == ("Mine", "mine")

    def test_deleted_properties_are_gone(self, sandbox):
        item = sandbox.exchange.deliver(ADA, MIME, categories=["Red category"])
        message = account(sandbox).inbox.get(id=item.remote_id)
        message.categories = None
        message.save(update_fields=["categories"])
        assert sandbox.exchange.items(ADA)[0].categories == []

    def test_a_move_gives_a_new_id(self, sandbox):
        item = sandbox.exchange.deliver(ADA, MIME)
        sandbox.exchange.add_folder(ADA, "Inbox/Orders")
        ada = account(sandbox)
        message = ada.inbox.get(id=item.remote_id)
        copy = message.copy(ada.inbox / "Orders")
        message.move(ada.inbox / "Orders")
        assert len({item.remote_id, message.id, copy[0]}) == 3
        assert sandbox.exchange.items(ADA) == []
        assert sandbox.exchange.messages(ADA, "Inbox/Orders") == [MIME, MIME]
        assert codes(ask(sandbox, get_items(item.remote_id))) == ["ErrorItemNotFound"]

    def test_deleting_goes_where_it_says(self, sandbox):
        for number in range(3):
            sandbox.exchange.deliver(ADA, mail(ADA, f"Number {number}"))
        ada = account(sandbox)
        one, two, three = ada.inbox.all().order_by("subject")
        one.move_to_trash()
        two.soft_delete()
        three.delete()
        assert sandbox.exchange.items(ADA) == []
        assert len(sandbox.exchange.items(ADA, "deleteditems")) == 1
        assert len(sandbox.exchange.items(ADA, "recoverableitemsdeletions")) == 1

    def test_all_kinds_keep_what_they_were_given(self, sandbox):
        ada = account(sandbox)
        start = EWSDateTime(2026, 12, 1, 9, tzinfo=ada.default_timezone)
        end = EWSDateTime(2026, 12, 1, 10, tzinfo=ada.default_timezone)
        CalendarItem(
            account=ada,
            folder=ada.calendar,
            subject="Visit",
            start=start,
            end=end,
            location="Room 1",
        ).save()
        Contact(
            account=ada,
            folder=ada.contacts,
            display_name="Noor Ali",
            given_name="Noor",
            surname="Ali",
        ).save()
        task = Task(account=ada, folder=ada.tasks, subject="Call Rita").save()
        task.complete()
        PostItem(account=ada, folder=ada.inbox, subject="Note", body="text").save()
        (visit,) = ada.calendar.all()
        assert (visit.location, visit.start, visit.end) == ("Room 1", start, end)
        assert visit.uid
        (noor,) = ada.contacts.all()
        assert (noor.given_name, noor.surname) == ("Noor", "Ali")
        (done,) = ada.tasks.all()
        assert (done.status, done.percent_complete) == ("Completed", 100)
        assert done.complete_date
        assert [type(item) for item in ada.inbox.all()] == [PostItem]
        assert [item.subject for item in ada.calendar.view(start=start, end=end)] == ["Visit"]

    def test_an_item_has_its_place(self, sandbox):
        ada = account(sandbox)
        start = EWSDateTime(2026, 12, 1, 9, tzinfo=ada.default_timezone)
        with pytest.raises(errors.ErrorCannotCreateCalendarItemInNonCalendarFolder):
            CalendarItem(account=ada, folder=ada.inbox, subject="x", start=start, end=start).save()

    def test_a_meeting_request_by_mail_shows_as_one(self, sandbox):
        invitation = EmailMessage()
        invitation["Subject"], invitation["From"] = "Visit", RITA
        invitation.set_content("Please come")
        calendar = "BEGIN:VCALENDAR\r\nMETHOD:REQUEST\r\nBEGIN:VEVENT\r\nUID:1\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
        invitation.add_alternative(calendar, subtype="calendar", params={"method": "REQUEST"})
        sandbox.exchange.deliver(ADA, invitation.as_bytes())
        (message,) = account(sandbox).inbox.all().only("subject", "item_class")
        assert type(message).__name__ == "MeetingRequest"
        assert message.item_class == "IPM.Schedule.Meeting.Request"

    def test_mime_that_is_none_is_refused(self, sandbox):
        create = (
            '<m:CreateItem MessageDisposition="SaveOnly"><m:Items><t:Message>'
            "<t:MimeContent>{}</t:MimeContent></t:Message></m:Items></m:CreateItem>"
        )
        for content, code in [
            ("%%%", "ErrorMimeContentInvalidBase64String"),
            (base64.b64encode(b"no header at all").decode(), "ErrorMimeContentInvalid"),
        ]:
            assert codes(ask(sandbox, create.format(content))) == [code]

    def test_a_full_mailbox_takes_nothing_more(self, sandbox):
        ada = account(sandbox)
        sandbox.exchange.set_account(ADA, quota_bytes=10)
        with pytest.raises(errors.ErrorQuotaExceeded):
            Message(account=ada, folder=ada.drafts, subject="One").save()


class TrackedId(ExtendedProperty):
    distinguished_property_set_id = "PublicStrings"
    property_name = "CrmId"
    property_type = "String"


class TestExtendedProperties:
    @pytest.fixture(autouse=True)
    def registered(self):
        Message.register("crm_id", TrackedId)
        yield
        Message.deregister("crm_id")

    def test_they_are_kept_searched_and_taken_away(self, sandbox):
        ada = account(sandbox)
        draft = Message(account=ada, folder=ada.drafts, subject="One", crm_id="42").save()
        assert ada.drafts.get(crm_id="42").id == draft.id
        assert not ada.drafts.filter(crm_id="43").exists()
        draft.crm_id = None
        draft.save(update_fields=["crm_id"])
        assert ada.drafts.get(id=draft.id).crm_id is None

    def test_a_path_is_answered_as_it_was_asked(self, sandbox):
        item = sandbox.exchange.deliver(ADA, MIME)
        get = get_items(item.remote_id).replace(
            "</t:AdditionalProperties>",
            '<t:ExtendedFieldURI PropertyTag="0x1035" PropertyType="String"/>'
            '<t:ExtendedFieldURI DistinguishedPropertySetId="InternetHeaders"'
            ' PropertyName="X-Unknown" PropertyType="String"/>'
            '<t:ExtendedFieldURI PropertyTag="0x1042" PropertyType="String"/></t:AdditionalProperties>',
        )
        found = ask(sandbox, get).findall(f".//{T}ExtendedProperty")
        assert [one.findtext(f"{T}Value") for one in found] == ["<order@customer.example>", "kept"]
        assert found[0].find(f"{T}ExtendedFieldURI").get("PropertyTag") == "0x1035"


class TestFinding:
    @pytest.fixture
    def ada(self, sandbox):
        for number, categories in enumerate(
            ([], ["Blue category"], ["Red category", "Blue category"])
        ):
            received = datetime(2026, 11, 1 + number, tzinfo=UTC)
            sandbox.exchange.deliver(
                ADA, mail(ADA, f"Number {number}"), received_at=received, categories=categories
            )
        return account(sandbox)

    def test_restrictions(self, ada):
        moment = EWSDateTime(2026, 11, 2, tzinfo=ada.default_timezone)
        found = {
            "equal": ada.inbox.filter(subject="number 1"),
            "later": ada.inbox.filter(datetime_received__gt=moment),
            "not later": ada.inbox.filter(datetime_received__lte=moment),
            "inside": ada.inbox.filter(subject__contains="mber 2"),
            "category": ada.inbox.filter(categories__contains=["Blue category"]),
            "id": ada.inbox.filter(message_id="<number-0@exchange.example>"),
            "none": ada.inbox.exclude(subject__startswith="Number"),
        }
        subjects = {
            name: sorted(item.subject[-1] for item in query.only("subject"))
            for name, query in found.items()
        }
        assert subjects == {
            "equal": ["1"],
            "later": ["2"],
            "not later": ["0", "1"],
            "inside": ["2"],
            "category": ["1", "2"],
            "id": ["0"],
            "none": [],
        }

    def test_order_and_pages(self, sandbox, ada):
        newest_first = [item.subject[-1] for item in ada.inbox.all().only("subject")]
        assert newest_first == ["2", "1", "0"]
        query = ada.inbox.all().only("subject").order_by("subject")
        query.page_size = 2
        sandbox.exchange.requests.clear()
        assert [item.subject[-1] for item in query] == ["0", "1", "2"]
        assert operations(sandbox) == ["FindItem", "FindItem"]
        assert ada.inbox.all().count() == 3

    def test_an_empty_folder_says_it_is_all(self, sandbox):
        find = (
            '<m:FindItem Traversal="Shallow"><m:ItemShape><t:BaseShape>IdOnly</t:BaseShape></m:ItemShape>'
            '<m:IndexedPageItemView MaxEntriesReturned="10" Offset="0" BasePoint="Beginning"/>'
            '<m:ParentFolderIds><t:DistinguishedFolderId Id="drafts"/></m:ParentFolderIds></m:FindItem>'
        )
        view = ask(sandbox, find).find(f".//{M}RootFolder")
        assert view.get("IncludesLastItemInRange") == "true"
        assert view.get("TotalItemsInView") == "0"
        assert view.find(f"{T}Items") is not None


# -- synchronization -------------------------------------------------------------------------------


class TestSync:
    def test_a_client_goes_from_state_to_state(self, sandbox):
        for number in range(5):
            sandbox.exchange.deliver(ADA, mail(ADA, f"Number {number}"))
        inbox = account(sandbox).inbox
        changes = list(inbox.sync_items(only_fields=["subject"], max_changes_returned=2))
        assert [kind for kind, _ in changes] == ["create"] * 5
        assert operations(sandbox).count("SyncFolderItems") == 3
        first, second, third, *_ = sandbox.exchange.items(ADA)
        sandbox.exchange.mark_read(first)
        sandbox.exchange.categorize(second, "Red category")
        sandbox.exchange.remove(third)
        passing = sandbox.exchange.deliver(ADA, MIME)
        sandbox.exchange.remove(passing)
        changes = list(inbox.sync_items(only_fields=["subject"]))
        assert [kind for kind, _ in changes] == ["read_flag_change", "update", "delete"]
        assert changes[0][1][1] is True
        assert list(inbox.sync_items(only_fields=["subject"])) == []

    def test_an_old_state_gives_the_same_news_again(self, sandbox):
        first = ask(sandbox, sync())
        item = sandbox.exchange.deliver(ADA, MIME)
        for _ in range(2):
            assert news(ask(sandbox, sync(state_of(first)))) == ["Create"]
        sandbox.exchange.categorize(item, "Red category")
        assert news(ask(sandbox, sync(state_of(first)))) == ["Create"]
        assert news(ask(sandbox, sync(state_of(first), ignored=item.remote_id))) == []

    def test_a_move_is_a_delete_here_and_a_create_there(self, sandbox):
        item = sandbox.exchange.deliver(ADA, MIME)
        here, there = ask(sandbox, sync()), ask(sandbox, sync(folder="drafts"))
        moved = sandbox.exchange.move(item, "drafts")
        assert news(ask(sandbox, sync(state_of(here)))) == ["Delete"]
        arrived = ask(sandbox, sync(state_of(there), folder="drafts"))
        assert arrived.find(f".//{T}ItemId").get("Id") == moved.remote_id

    def test_states_that_are_no_longer_valid_are_refused(self, sandbox):
        inbox = account(sandbox).inbox
        list(inbox.sync_items(only_fields=["subject"]))
        sandbox.exchange.invalidate_sync_states(ADA)
        with pytest.raises(errors.ErrorInvalidSyncStateData):
            list(inbox.sync_items(only_fields=["subject"]))
        for state in ("AAAA", state_of(ask(sandbox, sync(folder="drafts")))):
            assert codes(ask(sandbox, sync(state))) == ["ErrorInvalidSyncStateData"]

    @pytest.mark.parametrize("most", [0, 513])
    def test_the_number_of_changes_is_bounded(self, sandbox, most):
        assert codes(ask(sandbox, sync(most=most))) == ["ErrorSchemaValidation"]


class TestNotifications:
    def test_a_pull_subscription_tells_new_mail_and_moves(self, sandbox):
        inbox = account(sandbox).inbox
        with inbox.pull_subscription() as (number, watermark):
            item = sandbox.exchange.deliver(ADA, MIME)
            (told,) = inbox.get_events(number, watermark)
            assert [type(one).__name__ for one in told.events] == ["CreatedEvent", "NewMailEvent"]
            assert told.events[0].item_id.id == item.remote_id
            moved = sandbox.exchange.move(item, "drafts")
            (told,) = inbox.get_events(number, told.events[-1].watermark)
            (event,) = told.events
            assert (event.old_item_id.id, event.item_id.id) == (item.remote_id, moved.remote_id)
            (quiet,) = inbox.get_events(number, event.watermark)
            assert [type(one).__name__ for one in quiet.events] == ["StatusEvent"]
            with pytest.raises(errors.ErrorInvalidWatermark):
                list(inbox.get_events(number, "AAAA"))
        with pytest.raises(errors.ErrorSubscriptionNotFound):
            list(inbox.get_events(number, watermark))

    def test_a_stream_wakes_its_listener(self, sandbox):
        inbox = account(sandbox).inbox
        with inbox.streaming_subscription() as number:
            sandbox.exchange.deliver(ADA, MIME)
            (told,) = list(
                inbox.get_streaming_events(
                    number, connection_timeout=1, max_notifications_returned=1
                )
            )
            assert "NewMailEvent" in {type(one).__name__ for one in told.events}

    def test_a_stream_says_when_it_ends(self, sandbox):
        with Line(sandbox) as line:
            subscribe = (
                "<m:Subscribe><m:StreamingSubscriptionRequest><t:FolderIds>"
                '<t:DistinguishedFolderId Id="inbox"/></t:FolderIds><t:EventTypes>'
                "<t:EventType>NewMailEvent</t:EventType></t:EventTypes>"
                "</m:StreamingSubscriptionRequest></m:Subscribe>"
            )
            number = line.ask(subscribe).findtext(f".//{M}SubscriptionId")
            stream = (
                f"<m:GetStreamingEvents><m:SubscriptionIds><t:SubscriptionId>{number}</t:SubscriptionId>"
                "</m:SubscriptionIds><m:ConnectionTimeout>1</m:ConnectionTimeout></m:GetStreamingEvents>"
            )
            data = ENVELOPE.format(
                header='<t:RequestServerVersion Version="Exchange2013"/>', body=stream
            ).encode()
            line.connection.request("POST", "/EWS/Exchange.asmx", data, line.headers)
            response = line.connection.getresponse()
            assert b"OK</" in response.read1()
            sandbox.exchange.end_streams()
            assert b"Closed</" in response.read()


# -- sending ---------------------------------------------------------------------------------------


class TestSending:
    def test_mail_reaches_accounts_of_all_protocols_and_the_world(self, sandbox):
        ada = account(sandbox)
        letter = Message(
            account=ada,
            folder=ada.sent,
            subject="Hello",
            body=HTMLBody("<p>text</p>"),
            to_recipients=[BEN, IMAP_USER],
            cc_recipients=[RITA],
            bcc_recipients=["blind@customer.example"],
            attachments=[FileAttachment(name="a.txt", content=b"abc")],
        )
        letter.send_and_save()
        (sent,) = sandbox.exchange.items(ADA, "sentitems")
        assert not sent.is_draft and sent.is_read
        (received,) = account(sandbox, BEN).inbox.all()
        assert received.message_id == sent.text("InternetMessageId")
        assert received.attachments[0].content == b"abc"
        (by_imap,) = sandbox.store.messages(IMAP_USER)
        assert by_imap.startswith(b"Received: ") and b"blind@" not in by_imap
        sender, to, _ = sandbox.sent[0]
        assert (sender, set(to)) == (ADA, {BEN, IMAP_USER, RITA, "blind@customer.example"})
        (answer,) = ada.inbox.all()
        assert answer.in_reply_to == received.message_id

    def test_mail_by_smtp_reaches_exchange_accounts(self, sandbox):
        local = "dora@sandbox.example"
        sandbox.exchange.add_account(local, PASSWORD)
        trust = ssl.create_default_context(cadata=sandbox.ca_pem)
        with smtplib.SMTP_SSL(sandbox.host, sandbox.ports["smtps"], context=trust) as client:
            client.login(IMAP_USER, PASSWORD)
            client.sendmail(IMAP_USER, [ADA, local], mail(ADA, sender=IMAP_USER))
        for address in (ADA, local):
            (received,) = account(sandbox, address).inbox.all()
            assert received.message_id == "<hello@exchange.example>"
            assert received.headers[0].name == "Return-Path"

    def test_uploaded_mime_leaves_as_it_is(self, sandbox):
        ada = account(sandbox)
        mime = mail(BEN, "Uploaded")
        Message(account=ada, folder=ada.sent, mime_content=mime).send_and_save()
        assert sandbox.exchange.messages(ADA, "sentitems") == [mime]
        (received,) = sandbox.exchange.messages(BEN)
        assert received.endswith(mime)

    def test_what_uploaded_mime_lacks_is_put_before_it(self, sandbox):
        ada = account(sandbox)
        letter = MIME.partition(b"\r\n")[2].replace(
            b"Message-ID: <order@customer.example>\r\n", b""
        )
        Message(
            account=ada, folder=ada.sent, mime_content=letter, to_recipients=[BEN]
        ).send_and_save()
        (sent,) = sandbox.exchange.messages(ADA, "sentitems")
        head = message_from_bytes(sent)
        assert head["From"] == f"Ada <{ADA}>" and head["To"] == BEN and head["Message-ID"]
        assert sent.endswith(b"X-Unknown: kept\r\n\r\nTwo pieces, please.\r\n")
        (received,) = account(sandbox, BEN).inbox.all()
        assert received.message_id == head["Message-ID"]

    def test_a_changed_subject_leaves_the_rest_of_the_bytes(self, sandbox):
        item = sandbox.exchange.deliver(ADA, MIME)
        message = account(sandbox).inbox.get(id=item.remote_id)
        message.subject = "Bücher"
        message.save(update_fields=["subject"])
        message.refresh()
        kept, _, body = message.mime_content.partition(b"\r\n\r\n")
        assert str(make_header(decode_header(message_from_bytes(kept)["Subject"]))) == "Bücher"
        assert b"X-Unknown: kept" in kept and body == b"Two pieces, please.\r\n"
        assert message.size == len(message.mime_content)

    def test_a_delegate_without_a_mailbox_sends_from_the_one_it_opens(self, sandbox):
        for level in ("FullAccess", "SendAs"):
            sandbox.exchange.grant(ADA, SERVICE, level)
        ada = account(sandbox, user=SERVICE)
        Message(account=ada, folder=ada.sent, mime_content=mail(BEN)).send_and_save()
        assert len(sandbox.exchange.items(ADA, "sentitems")) == 1
        assert sandbox.sent[0][0] == ADA

    def test_full_mailboxes_send_mail_back_and_service_accounts_get_none(self, sandbox):
        sandbox.exchange.set_account(BEN, is_full=True)
        ada = account(sandbox)
        Message(account=ada, subject="x", to_recipients=[BEN, SERVICE]).send(save_copy=False)
        assert sandbox.exchange.items(BEN) == []
        (bounce,) = ada.inbox.all()
        assert bounce.item_class == "REPORT.IPM.Note.NDR"

    def test_a_draft_is_sent_and_moves_to_sent_items(self, sandbox):
        ada = account(sandbox)
        draft = Message(account=ada, folder=ada.drafts, subject="Later", to_recipients=[BEN]).save()
        assert sandbox.exchange.items(ADA, "drafts")[0].is_draft
        draft.send()
        assert sandbox.exchange.items(ADA, "drafts") == []
        assert len(sandbox.exchange.items(ADA, "sentitems")) == 1
        assert len(sandbox.exchange.items(BEN)) == 1

    def test_a_stale_draft_is_not_sent(self, sandbox):
        ada = account(sandbox)
        draft = Message(account=ada, folder=ada.drafts, subject="Later", to_recipients=[BEN]).save()
        sandbox.exchange.categorize(sandbox.exchange.items(ADA, "drafts")[0], "Red category")
        with pytest.raises(errors.ErrorIrresolvableConflict):
            draft.send()
        assert sandbox.sent == []

    @pytest.mark.parametrize(
        ("grant", "error"),
        [("", errors.ErrorSendAsDenied), ("SendAs", None), ("SendOnBehalf", None)],
    )
    def test_sending_as_another_needs_a_right(self, sandbox, grant, error):
        if grant:
            sandbox.exchange.grant(BEN, ADA, grant)
        ada = account(sandbox)
        letter = Message(account=ada, subject="x", author=BEN, to_recipients=[IMAP_USER])
        if error:
            with pytest.raises(error):
                letter.send(save_copy=False)
            assert sandbox.sent == []
            return
        letter.send(save_copy=False)
        ((sender, _, mime),) = sandbox.sent
        assert sender == BEN
        assert (b"Sender: Ada <ada@" in mime) == (grant == "SendOnBehalf")

    def test_what_cannot_leave_is_refused_before_anybody_has_it(self, sandbox):
        ada = account(sandbox)

        def letter(**values) -> Message:
            return Message(account=ada, subject="x", **values)

        with pytest.raises(errors.ErrorMissingRecipients):
            letter().send(save_copy=False)
        with pytest.raises(errors.ErrorInvalidRecipients):
            letter(to_recipients=[BEN, "nobody"]).send(save_copy=False)
        sandbox.exchange.set_account(ADA, may_submit=False)
        with pytest.raises(errors.ErrorSubmissionQuotaExceeded):
            letter(to_recipients=[BEN]).send(save_copy=False)
        assert sandbox.sent == []
        assert sandbox.exchange.items(BEN) == []

    def test_a_distribution_list_reaches_its_members(self, sandbox):
        sandbox.exchange.add_account("all@exchange.example", "", members=[BEN, IMAP_USER])
        ada = account(sandbox)
        Message(account=ada, subject="x", to_recipients=["all@exchange.example"]).send(
            save_copy=False
        )
        assert len(sandbox.exchange.items(BEN)) == 1
        assert len(sandbox.store.messages(IMAP_USER)) == 1
        expanded = ada.protocol.expand_dl("all@exchange.example")
        assert {one.email_address for one in expanded} == {BEN, IMAP_USER}


# -- configurations and the directory --------------------------------------------------------------


class TestServices:
    def test_the_category_list_can_be_read_and_replaced(self, sandbox):
        ada = account(sandbox)
        assert b"Red category" in ada.calendar.get_user_configuration("CategoryList").xml_data
        ada.calendar.update_user_configuration("CategoryList", xml_data=b"<categories/>")
        assert ada.calendar.get_user_configuration("CategoryList").xml_data == b"<categories/>"
        with pytest.raises(errors.ErrorItemNotFound):
            ada.calendar.get_user_configuration("Another")
        ada.calendar.create_user_configuration("Another", binary_data=b"x")
        assert ada.calendar.get_user_configuration("Another").binary_data == b"x"
        ada.calendar.delete_user_configuration("Another")
        with pytest.raises(errors.ErrorItemNotFound):
            ada.calendar.update_user_configuration("Another", xml_data=b"x")

    def test_names_are_resolved_one_at_a_time(self, sandbox):
        protocol = account(sandbox).protocol
        (ada,) = protocol.resolve_names(["ada"])
        assert ada.email_address == ADA
        (none,) = protocol.resolve_names(["nobody"])
        assert isinstance(none, errors.ErrorNameResolutionNoResults)
        sandbox.exchange.add_account("adam@exchange.example", PASSWORD)
        assert len(protocol.resolve_names(["ada"])) == 2
        assert len(protocol.resolve_names([f"smtp:{ADA}"])) == 1
        with pytest.raises(errors.ErrorSchemaValidation):
            protocol.resolve_names(["ada", "ben"])

    def test_time_zones_and_free_times(self, sandbox):
        ada = account(sandbox)
        zone = ada.default_timezone
        start, end = (
            EWSDateTime(2026, 12, 1, 9, tzinfo=zone),
            EWSDateTime(2026, 12, 1, 10, tzinfo=zone),
        )
        CalendarItem(account=ada, folder=ada.calendar, subject="x", start=start, end=end).save()
        (view,) = ada.protocol.get_free_busy_info(
            accounts=[(ada, "Organizer", False)],
            start=EWSDateTime(2026, 12, 1, tzinfo=zone),
            end=EWSDateTime(2026, 12, 2, tzinfo=zone),
        )
        (event,) = view.calendar_events
        assert event.busy_type == "Busy"


# -- what goes wrong -------------------------------------------------------------------------------


class TestFaults:
    def test_busy_tells_how_long(self, sandbox):
        inbox = account(sandbox).inbox
        sandbox.faults.add(busy("GetFolder", back_off_milliseconds=1500))
        with pytest.raises(errors.ErrorServerBusy) as caught:
            inbox.refresh()
        assert caught.value.back_off == 1.5
        inbox.refresh()

    def test_a_refusal_strikes_one_of_a_batch(self, sandbox):
        items = [sandbox.exchange.deliver(ADA, mail(ADA, f"Number {n}")) for n in range(3)]
        sandbox.faults.add(refuse("ErrorItemCorrupt", "GetItem", position=1))
        answer = ask(sandbox, get_items(*(item.remote_id for item in items)))
        assert codes(answer) == ["NoError", "ErrorItemCorrupt", "NoError"]
        sandbox.faults.add(refuse("ErrorMailboxStoreUnavailable"))
        answer = ask(sandbox, get_items(*(item.remote_id for item in items)))
        assert codes(answer) == ["ErrorMailboxStoreUnavailable"] * 3

    def test_an_inner_code_travels_in_the_message(self, sandbox):
        inbox = account(sandbox).inbox
        inner = {"InnerErrorResponseCode": "ErrorQuotaExceeded"}
        sandbox.faults.add(refuse("ErrorInternalServerError", "GetFolder", **inner))
        with pytest.raises(errors.ErrorQuotaExceeded):
            inbox.refresh()

    @pytest.mark.parametrize("status", [401, 403, 429, 500, 502, 503])
    def test_any_status(self, sandbox, status):
        sandbox.faults.add(http_status(status, retry_after=30))
        with Line(sandbox) as line:
            response, _ = line.post(GET_INBOX)
            assert response.status == status
            assert response.headers["Retry-After"] == "30"
            assert codes(line.ask(GET_INBOX)) == ["NoError"]

    def test_a_fault_is_meant_for_one_account(self, sandbox):
        sandbox.faults.add(soap_fault("ErrorInternalServerTransientError", account=BEN))
        assert codes(ask(sandbox, GET_INBOX)) == ["NoError"]
        assert codes(ask(sandbox, GET_INBOX, user=BEN)) == ["ErrorInternalServerTransientError"]

    @pytest.mark.parametrize(
        ("kind", "sent"), [(Kind.DROP, 0), (Kind.DROP_AFTER, 1), (Kind.TRUNCATE, 1)]
    )
    def test_a_broken_line_before_and_after_a_message_was_taken(self, sandbox, kind, sent):
        sandbox.faults.add(Fault(kind=kind, protocol=PROTOCOL, command="CreateItem", times=1))
        ada = account(sandbox)
        letter = Message(account=ada, subject="x", to_recipients=[BEN])
        with pytest.raises(Exception, match=r"onnection|ncomplete|XML|parse|arse"):
            letter.send(save_copy=False)
        assert len(sandbox.exchange.items(BEN)) == sent

    def test_many_requests_at_a_time_are_too_many(self, sandbox):
        sandbox.exchange.quirks = Quirks(concurrent_request_limit=0)
        assert codes(ask(sandbox, GET_INBOX)) == ["ErrorExceededConnectionCount"]


class TestQuirks:
    def test_a_restart_may_be_silent(self, sandbox):
        sandbox.exchange.deliver(ADA, MIME)
        state = state_of(ask(sandbox, sync()))
        sandbox.exchange.quirks = Quirks(silent_sync_restart=True)
        sandbox.exchange.invalidate_sync_states()
        assert news(ask(sandbox, sync(state))) == ["Create"]

    def test_the_newest_change_may_come_first(self, sandbox):
        items = [sandbox.exchange.deliver(ADA, mail(ADA, f"Number {n}")) for n in range(3)]
        sandbox.exchange.quirks = Quirks(newest_change_first=True)
        page = ask(sandbox, sync(most=2))
        assert [one.get("Id") for one in page.iter(f"{T}ItemId")] == [
            items[1].remote_id,
            items[0].remote_id,
        ]
        rest = ask(sandbox, sync(state_of(page)))
        assert [one.get("Id") for one in rest.iter(f"{T}ItemId")] == [items[2].remote_id]

    def test_ids_may_outlive_a_move(self, sandbox):
        sandbox.exchange.quirks = Quirks(immutable_ids=True)
        item = sandbox.exchange.deliver(ADA, MIME)
        state = state_of(ask(sandbox, sync()))
        moved = sandbox.exchange.move(item, "drafts")
        assert moved.remote_id == item.remote_id
        assert news(ask(sandbox, sync(state))) == ["Delete"]
        sandbox.exchange.move(moved, "inbox")
        assert news(ask(sandbox, sync(state))) == ["Create"]

    def test_mime_may_be_written_anew(self, sandbox):
        item = sandbox.exchange.deliver(ADA, MIME)
        sandbox.exchange.quirks = Quirks(regenerated_mime=True)
        message = account(sandbox).inbox.get(id=item.remote_id)
        assert b"X-Unknown" not in message.mime_content
        assert b"Message-ID: <order@customer.example>" in message.mime_content
        assert "X-Unknown" in {header.name for header in message.headers}

    def test_fractions_and_missing_times_vanish_in_the_client(self, sandbox):
        item = sandbox.exchange.deliver(ADA, MIME)
        sandbox.exchange.quirks = Quirks(fraction_digits=9)
        received = ask(sandbox, get_items(item.remote_id, path="item:DateTimeReceived"))
        assert len(received.findtext(f".//{T}DateTimeReceived")) == len(
            "2026-11-02T10:00:00.000000000Z"
        )

    def test_a_stale_key_may_be_taken(self, sandbox):
        sandbox.exchange.quirks = Quirks(no_conflict_errors=True)
        ada = account(sandbox)
        draft = Message(account=ada, folder=ada.drafts, subject="One").save()
        sandbox.exchange.categorize(sandbox.exchange.items(ADA, "drafts")[0], "Red category")
        draft.subject = "Two"
        draft.save(update_fields=["subject"], conflict_resolution="NeverOverwrite")

    def test_a_sent_draft_may_stay(self, sandbox):
        sandbox.exchange.quirks = Quirks(draft_stays=True)
        ada = account(sandbox)
        Message(account=ada, folder=ada.drafts, subject="x", to_recipients=[BEN]).save().send()
        assert len(sandbox.exchange.items(ADA, "drafts")) == 1
        assert sandbox.exchange.items(ADA, "sentitems") == []
        assert len(sandbox.exchange.items(BEN)) == 1

    def test_one_malformed_id_may_cost_the_batch(self, sandbox):
        sandbox.exchange.quirks = Quirks(malformed_id_fails_batch=True)
        item = sandbox.exchange.deliver(ADA, MIME)
        with Line(sandbox) as line:
            response, content = line.post(get_items(item.remote_id, "AAMk"))
            assert response.status == 500
            assert codes(etree.fromstring(content)) == ["ErrorInvalidIdMalformed"]

    def test_a_second_answer_may_follow_a_fault(self, sandbox):
        sandbox.exchange.quirks = Quirks(second_answer_after_fault=True)
        with Line(sandbox) as line:
            assert line.post("<m:NoSuchThing/>")[0].status == 500
            response, content = line.post(GET_INBOX)
            assert (response.status, content) == (500, b"again")

    def test_a_large_body_may_cost_the_connection(self, sandbox):
        sandbox.exchange.quirks = Quirks(closes_after_large_body=True)
        with Line(sandbox) as line:
            response, content = line.post(GET_INBOX + " " * 70_000)
            assert response.status == 200
            assert "Connection" not in response.headers
            assert codes(etree.fromstring(content)) == ["NoError"]
            with pytest.raises((http.client.HTTPException, OSError)):
                line.post(GET_INBOX)

    def test_missing_folders_may_look_otherwise(self, sandbox):
        sandbox.exchange.quirks = Quirks(
            missing_folder_property_error=True, sync_ignores_missing_folder=True
        )
        orders = sandbox.exchange.add_folder(ADA, "Orders")
        sandbox.exchange.store.remove_folder(orders)
        by_id = f'<t:FolderId Id="{orders.remote_id}"/>'
        get = GET_INBOX.replace('<t:DistinguishedFolderId Id="inbox"/>', by_id)
        assert codes(ask(sandbox, get)) == ["ErrorFolderPropertyRequestFailed"]
        looked = ask(sandbox, sync().replace('<t:DistinguishedFolderId Id="inbox"/>', by_id))
        assert (codes(looked), news(looked)) == (["NoError"], [])

    def test_a_read_flag_may_come_as_an_update(self, sandbox):
        item = sandbox.exchange.deliver(ADA, MIME)
        state = state_of(ask(sandbox, sync()))
        sandbox.exchange.mark_read(item)
        assert news(ask(sandbox, sync(state))) == ["ReadFlagChange"]
        sandbox.exchange.quirks = Quirks(read_flag_as_update=True)
        assert news(ask(sandbox, sync(state))) == ["Update"]

    def test_a_move_may_keep_its_new_id_to_itself(self, sandbox):
        sandbox.exchange.quirks = Quirks(move_answers_nothing=True)
        item = sandbox.exchange.deliver(ADA, MIME)
        ada = account(sandbox)
        message = ada.inbox.get(id=item.remote_id)
        message.move(ada.drafts)
        assert message.id is None
        assert len(sandbox.exchange.items(ADA, "drafts")) == 1

    def test_created_items_may_lack_times_and_attachments(self, sandbox):
        sandbox.exchange.quirks = Quirks(no_received_time=True, ignores_inline_attachments=True)
        ada = account(sandbox)
        files = [FileAttachment(name="a.txt", content=b"abc")]
        letter = Message(
            account=ada, folder=ada.sent, subject="x", to_recipients=[BEN], attachments=files
        )
        letter.send_and_save()
        (sent,) = ada.sent.all()
        assert (sent.datetime_received, sent.attachments) == (None, [])

    def test_a_sent_copy_may_be_missing(self, sandbox):
        sandbox.exchange.quirks = Quirks(no_sent_copy=True)
        ada = account(sandbox)
        Message(account=ada, folder=ada.sent, mime_content=mail(BEN)).send_and_save()
        assert sandbox.exchange.items(ADA, "sentitems") == []
        assert len(sandbox.exchange.items(BEN)) == 1

    def test_the_version_may_be_missing(self, sandbox):
        sandbox.exchange.quirks = Quirks(no_version_header=True)
        assert ask(sandbox, GET_INBOX).find(f".//{T}ServerVersionInfo") is None

    def test_limits(self, sandbox):
        sandbox.exchange.quirks = Quirks(
            find_count_limit=1,
            pull_subscription_limit=1,
            streaming_connection_limit=0,
            max_message_bytes=5000,
            max_attachment_bytes=2,
            one_unresolved_entry=False,
        )
        ada = account(sandbox)
        for _ in range(2):
            sandbox.exchange.deliver(ADA, MIME)
        with pytest.raises(errors.ErrorExceededFindCountLimit):
            list(ada.inbox.all().only("subject"))
        with ada.inbox.pull_subscription(), pytest.raises(errors.ErrorExceededSubscriptionCount):
            ada.inbox.pull_subscription().__enter__()
        with (
            ada.inbox.streaming_subscription() as number,
            pytest.raises(errors.ErrorExceededConnectionCount),
        ):
            list(ada.inbox.get_streaming_events(number, connection_timeout=1))
        draft = Message(account=ada, folder=ada.drafts, subject="x").save()
        with pytest.raises(errors.ErrorAttachmentSizeLimitExceeded):
            draft.attach(FileAttachment(name="a.txt", content=b"abc"))
        with pytest.raises(errors.ErrorMessageSizeExceeded):
            Message(account=ada, folder=ada.drafts, body="x" * 9000).save()
        assert len(ada.protocol.resolve_names(["ada", "ben"])) == 2

    def test_operations_and_searches_may_be_missing(self, sandbox):
        sandbox.exchange.quirks = Quirks(
            missing_operations=frozenset(["GetServerTimeZones"]),
            refused_restrictions=frozenset(["IsGreaterThanOrEqualTo", "Categories"]),
        )
        ada = account(sandbox)
        with pytest.raises(errors.ErrorInvalidOperation):
            list(ada.protocol.get_timezones())
        with pytest.raises(errors.ErrorUnsupportedQueryFilter):
            list(ada.inbox.filter(size__gte=1))
        with pytest.raises(errors.ErrorUnsupportedPathForQuery):
            list(ada.inbox.filter(categories__contains=["x"]))
        assert list(ada.inbox.filter(size__gt=1)) == []


class TestKeeping:
    def test_accounts_and_mail_outlive_the_process(self, tmp_path, monkeypatch):
        with running_sandbox(tmp_path) as first:
            first.exchange.add_account(ADA, PASSWORD)
            item = first.exchange.deliver(ADA, MIME)
            state, port = state_of(ask(first, sync())), first.ports["ews"]
        with running_sandbox(tmp_path) as second:
            assert second.ports["ews"] == port
            assert codes(ask(second, get_items(item.remote_id))) == ["NoError"]
            assert news(ask(second, sync(state))) == []

    def test_clients_that_say_nothing_or_no_tls_hold_nobody_up(self, sandbox):
        where = (sandbox.host, sandbox.ports["ews"])
        with socket.create_connection(where, timeout=5), socket.create_connection(where) as plain:
            plain.settimeout(5)
            plain.sendall(b"EHLO somebody\r\n")
            assert codes(ask(sandbox, GET_INBOX)) == ["NoError"]
            assert b"EHLO" not in plain.recv(100)

    def test_lines_can_be_cut(self, sandbox):
        with Line(sandbox) as line:
            line.post(GET_INBOX)
            sandbox.drop_connections()
            line.connection.sock.settimeout(5)
            assert line.connection.sock.recv(1) == b""

    def test_stopping_closes_lines_and_port(self):
        with running_sandbox() as sandbox:
            sandbox.exchange.add_account(ADA, PASSWORD)
            with Line(sandbox) as line:
                line.post(GET_INBOX)
                sandbox.stop()
                assert line.connection.sock.recv(1) == b""
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection((sandbox.host, sandbox.ports["ews"]), timeout=5)
