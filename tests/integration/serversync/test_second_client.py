"""A client that nobody here wrote, DavMail, works with mail that the sandbox's Exchange server holds."""

import email
import email.policy
import imaplib
import smtplib
from email.message import EmailMessage
from itertools import count

import pytest

from serversync.sandbox.servers import running_sandbox
from tests.servers import davmail as davmail_module
from tests.servers.davmail import DavMail

# No database is asked: once is enough.
pytestmark = [pytest.mark.integration, pytest.mark.database("sqlite")]

PASSWORD = "correct: horse"
numbers = count(1)


@pytest.fixture(scope="module")
def sandbox():
    with running_sandbox() as sandbox:
        yield sandbox


@pytest.fixture(scope="module")
def gateway(sandbox):
    if reason := davmail_module.why_missing():
        pytest.skip(reason)
    url = sandbox.exchange.url.replace("127.0.0.1", "localhost")
    gateway = DavMail(url, sandbox.ca_pem)
    gateway.start()
    yield gateway
    gateway.stop()


@pytest.fixture
def address(sandbox) -> str:
    """A new account for each test."""
    address = f"user{next(numbers)}@sandbox.example"
    sandbox.exchange.add_account(address, PASSWORD)
    return address


@pytest.fixture
def imap(gateway, address):
    client = imaplib.IMAP4(gateway.host, gateway.imap_port, timeout=60)
    client.login(address, PASSWORD)
    yield client
    client.logout()


def mail(subject: str, **fields: str) -> EmailMessage:
    message = EmailMessage(policy=email.policy.SMTP)
    message["From"] = "Rita <rita@outside.example>"
    message["Subject"] = subject
    message["Message-ID"] = f"<{next(numbers)}@outside.example>"
    message["Date"] = "Mon, 23 Nov 2026 08:00:00 +0000"
    for name, value in fields.items():
        del message[name]
        message[name] = value
    message.set_content(f"About {subject}: straße\r\n")
    return message


def deliver(sandbox, address: str, *subjects: str, folder: str = "inbox") -> list[bytes]:
    stored = [mail(subject, To=address).as_bytes() for subject in subjects]
    for mime in stored:
        sandbox.exchange.deliver(address, mime, folder=folder)
    return stored


def subjects(sandbox, address: str, folder: str = "inbox") -> list[str]:
    found = (email.message_from_bytes(m) for m in sandbox.exchange.messages(address, folder))
    return [message["Subject"] for message in found]


def done(answer: tuple[str, list]) -> list:
    """What an IMAP command gave. It is OK."""
    status, data = answer
    assert status == "OK", data
    return data


def opened(imap: imaplib.IMAP4, folder: str = "INBOX") -> int:
    return int(done(imap.select(folder))[0])


def fetched(imap: imaplib.IMAP4, what: str = "BODY.PEEK[]") -> list[bytes]:
    return [part[1] for part in done(imap.fetch("1:*", f"({what})")) if isinstance(part, tuple)]


# -- reading ---------------------------------------------------------------------------------------


def test_it_reads_every_message_as_it_was_stored(sandbox, address, imap):
    stored = deliver(sandbox, address, *(f"Order {number}" for number in range(12)))
    assert opened(imap) == 12
    assert fetched(imap) == stored


def test_it_reads_files(sandbox, address, imap):
    message = mail("With a file", To=address)
    message.add_attachment(bytes(range(256)) * 400, "application", "pdf", filename="täglich.pdf")
    sandbox.exchange.deliver(address, message.as_bytes())
    opened(imap)
    (read,) = (email.message_from_bytes(m, policy=email.policy.default) for m in fetched(imap))
    (file,) = read.iter_attachments()
    assert (file.get_filename(), file.get_content()) == ("täglich.pdf", bytes(range(256)) * 400)


def test_it_sees_what_arrives_meanwhile(sandbox, address, imap):
    assert opened(imap) == 0
    deliver(sandbox, address, "Late")
    done(imap.noop())
    assert opened(imap) == 1


def test_it_searches(sandbox, address, imap):
    deliver(sandbox, address, "Order of chairs", "Invitation", "Order of tables")
    opened(imap)
    assert done(imap.search(None, "SUBJECT", '"Order"'))[0].split() == [b"1", b"3"]
    assert done(imap.search(None, "UNSEEN"))[0].split() == [b"1", b"2", b"3"]


def test_a_wrong_password_is_refused(gateway, address):
    client = imaplib.IMAP4(gateway.host, gateway.imap_port, timeout=60)
    with pytest.raises(imaplib.IMAP4.error):
        client.login(address, "wrong")
    client.logout()


# -- changing --------------------------------------------------------------------------------------


def test_it_marks_a_message_read_and_unread(sandbox, address, imap):
    deliver(sandbox, address, "New")
    opened(imap)
    done(imap.store("1", "+FLAGS", "\\Seen"))
    assert [item.is_read for item in sandbox.exchange.items(address)] == [True]
    done(imap.store("1", "-FLAGS", "\\Seen"))
    assert [item.is_read for item in sandbox.exchange.items(address)] == [False]


def test_it_puts_a_message_into_a_category(sandbox, address, imap):
    deliver(sandbox, address, "New")
    opened(imap)
    done(imap.store("1", "+FLAGS", "Important"))
    assert [item.categories for item in sandbox.exchange.items(address)] == [["Important"]]


def test_it_makes_renames_and_removes_folders(sandbox, address, imap):
    done(imap.create("INBOX/Orders"))
    assert "Inbox/Orders" in sandbox.exchange.folders(address)
    done(imap.rename("INBOX/Orders", "INBOX/Done"))
    assert "Inbox/Done" in sandbox.exchange.folders(address)
    done(imap.delete("INBOX/Done"))
    assert "Inbox/Done" not in sandbox.exchange.folders(address)


@pytest.mark.parametrize(("command", "left"), [("MOVE", ["Stays"]), ("COPY", ["Goes", "Stays"])])
def test_it_moves_and_copies(sandbox, address, imap, command, left):
    sandbox.exchange.add_folder(address, "Inbox/Orders")
    deliver(sandbox, address, "Goes", "Stays")
    opened(imap)
    done(imap.xatom(command, "1", "INBOX/Orders"))
    assert subjects(sandbox, address) == left
    assert subjects(sandbox, address, "Inbox/Orders") == ["Goes"]


def test_it_deletes(sandbox, address, imap):
    deliver(sandbox, address, "Goes", "Stays")
    opened(imap)
    done(imap.store("1", "+FLAGS", "\\Deleted"))
    done(imap.expunge())
    assert subjects(sandbox, address) == ["Stays"]


def test_it_files_a_message(sandbox, address, imap):
    draft = mail("To be written", To="ben@sandbox.example").as_bytes()
    done(imap.append("Drafts", "\\Seen \\Draft", imaplib.Time2Internaldate(0), draft))
    assert subjects(sandbox, address, "drafts") == ["To be written"]


# -- sending ---------------------------------------------------------------------------------------


def test_it_sends_to_an_account_and_to_the_world(sandbox, gateway, address, imap):
    other = "other@sandbox.example"
    sandbox.exchange.add_account(other, PASSWORD)
    message = mail("An offer", From=address, To=f"{other}, rita@outside.example")
    message["Bcc"] = "hidden@outside.example"
    recipients = [other, "rita@outside.example", "hidden@outside.example"]

    with smtplib.SMTP(gateway.host, gateway.smtp_port, timeout=60) as client:
        client.login(address, PASSWORD)
        assert client.sendmail(address, recipients, message.as_bytes()) == {}

    (arrived,) = map(email.message_from_bytes, sandbox.exchange.messages(other))
    assert (arrived["Subject"], arrived["Message-ID"]) == ("An offer", message["Message-ID"])
    assert arrived["Bcc"] is None
    assert subjects(sandbox, address, "sentitems") == ["An offer"]
    assert sent_to(sandbox, message["Message-ID"]) == set(recipients)
    assert opened(imap, "Sent") == 1


def sent_to(sandbox, message_id: str) -> set[str]:
    """Everybody whom the server passed the message on to."""
    local = {
        account.address
        for account in sandbox.exchange.store.accounts()
        for mime in sandbox.exchange.messages(account.address)
        if email.message_from_bytes(mime)["Message-ID"] == message_id
    }
    outside = {
        recipient
        for _, recipients, mime in sandbox.sent
        if email.message_from_bytes(mime)["Message-ID"] == message_id
        for recipient in recipients
    }
    return local | outside
