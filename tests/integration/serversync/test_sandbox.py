"""The sandbox servers as the clients of the standard library and imapclient meet them."""

import email
import imaplib
import poplib
import smtplib
import socket
import ssl
from datetime import UTC, datetime
from email.message import EmailMessage

import imapclient
import pytest

from serversync.sandbox.certificates import Flaw
from serversync.sandbox.faults import Fault, Kind, greylist, refuse_recipient
from serversync.sandbox.outside import Manner, Person
from serversync.sandbox.servers import Sandbox, running_sandbox
from serversync.sandbox.store import SENT, Store

pytestmark = [pytest.mark.integration, pytest.mark.database("sqlite")]

ADA, BEN = "ada@sandbox.example", "ben@sandbox.example"
PASSWORD = "quite a secret"
PLAIN = b"Subject: Hello\r\nMessage-ID: <one@customer.example>\r\n\r\n.a dot\r\nend\r\n"


@pytest.fixture
def sandbox():
    people = {
        "reply@customer.example": Person("reply@customer.example", "Rita", Manner.REPLY),
        "gone@customer.example": Person("gone@customer.example", "Gus", Manner.BOUNCE),
        "away@customer.example": Person("away@customer.example", "Ann", Manner.OUT_OF_OFFICE),
    }
    accounts = {ADA: PASSWORD, BEN: PASSWORD}
    with running_sandbox(accounts=accounts, people=people) as sandbox:
        yield sandbox


def trust(sandbox: Sandbox) -> ssl.SSLContext:
    return ssl.create_default_context(cadata=sandbox.ca_pem)


def smtp(sandbox: Sandbox, login: str = ADA) -> smtplib.SMTP:
    client = smtplib.SMTP(sandbox.host, sandbox.ports["smtp"], timeout=5)
    client.starttls(context=trust(sandbox))
    client.login(login, PASSWORD)
    return client


def pop3(sandbox: Sandbox) -> poplib.POP3:
    client = poplib.POP3_SSL(
        sandbox.host, sandbox.ports["pop3s"], timeout=5, context=trust(sandbox)
    )
    try:
        client.user(ADA)
        client.pass_(PASSWORD)
    except BaseException:
        client.close()
        raise
    return client


def imap(sandbox: Sandbox) -> imapclient.IMAPClient:
    client = imapclient.IMAPClient(
        sandbox.host, sandbox.ports["imaps"], ssl_context=trust(sandbox), timeout=5
    )
    try:
        client.login(ADA, PASSWORD)
    except BaseException:
        client.shutdown()
        raise
    return client


def message(to: str, subject: str = "Hello") -> EmailMessage:
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = ADA, to, subject
    mail["Message-ID"] = "<sent@sandbox.example>"
    mail.set_content("one\n.two\n")
    return mail


class TestSmtp:
    def test_mail_for_an_account_lands_in_its_inbox_byte_for_byte(self, sandbox):
        with smtp(sandbox) as client:
            client.sendmail(ADA, [BEN], PLAIN)
        (mime,) = sandbox.store.messages(BEN)
        assert mime.endswith(PLAIN)
        assert mime.startswith(b"Return-Path: <ada@sandbox.example>\r\nReceived: from ")

    @pytest.mark.parametrize("mechanism", ["auth_plain", "auth_login"])
    def test_both_mechanisms_log_in_over_tls_from_the_first_byte(self, sandbox, mechanism):
        client = smtplib.SMTP_SSL(
            sandbox.host, sandbox.ports["smtps"], timeout=5, context=trust(sandbox)
        )
        with client:
            client.ehlo()
            client.user, client.password = ADA, PASSWORD
            name = mechanism.removeprefix("auth_").upper()
            assert client.auth(name, getattr(client, mechanism))[0] == 235

    def test_a_wrong_password_and_one_in_plain_text_are_refused(self, sandbox):
        client = smtplib.SMTP(sandbox.host, sandbox.ports["smtp"], timeout=5)
        with client:
            client.ehlo()
            assert not client.has_extn("auth")
            assert client.docmd("AUTH", "PLAIN AAAA")[0] == 538
            client.starttls(context=trust(sandbox))
            with pytest.raises(smtplib.SMTPAuthenticationError):
                client.login(ADA, "wrong")
            assert client.docmd("MAIL", f"FROM:<{ADA}>")[0] == 530

    def test_it_offers_what_submission_servers_offer(self, sandbox):
        with smtp(sandbox) as client:
            client.ehlo()
            assert {"pipelining", "8bitmime", "smtputf8", "size"} <= set(client.esmtp_features)

    def test_commands_sent_in_one_go_are_answered_in_order(self, sandbox):
        with smtp(sandbox) as client:
            client.send(
                f"MAIL FROM:<{ADA}>\r\nRCPT TO:<nobody@sandbox.example>\r\n"
                f"RCPT TO:<{BEN}>\r\nDATA\r\n".encode()
            )
            assert [client.getreply()[0] for _ in range(4)] == [250, 550, 250, 354]
            client.send(b"Subject: x\r\n\r\n..\r\n.\r\nNOOP\r\n")
            assert [client.getreply()[0] for _ in range(2)] == [250, 250]
        assert sandbox.store.messages(BEN)[0].endswith(b"Subject: x\r\n\r\n.\r\n")

    def test_a_message_over_the_size_is_refused_when_announced(self):
        accounts = {ADA: PASSWORD}
        with (
            running_sandbox(accounts=accounts, max_message_bytes=1000) as sandbox,
            smtp(sandbox) as client,
        ):
            with pytest.raises(smtplib.SMTPSenderRefused) as refusal:
                client.sendmail(ADA, [ADA], b"x" * 2000)
            assert refusal.value.smtp_code == 552

    def test_international_addresses_need_the_extension(self, sandbox):
        with smtp(sandbox) as client:
            client.send(f"MAIL FROM:<{ADA}>\r\nRCPT TO:<ä@customer.example>\r\n".encode())
            assert [client.getreply()[0] for _ in range(2)] == [250, 553]
            client.rset()
            client.mail(ADA, ["SMTPUTF8"])
            client.command_encoding = "utf-8"
            assert client.rcpt("ä@customer.example")[0] == 250


class TestOutside:
    def test_a_reply_comes_back_to_what_was_sent(self, sandbox):
        with smtp(sandbox) as client:
            client.send_message(message("reply@customer.example", "Grüße"))
        (mime,) = sandbox.store.messages(ADA)
        reply = email.message_from_bytes(mime, policy=email.policy.default)
        assert reply["In-Reply-To"] == "<sent@sandbox.example>"
        assert reply["Subject"] == "Re: Grüße"
        assert reply["From"] == "Rita <reply@customer.example>"

    def test_a_bounce_is_a_delivery_status_notification(self, sandbox):
        with smtp(sandbox) as client:
            client.send_message(message("gone@customer.example"))
        (mime,) = sandbox.store.messages(ADA)
        bounce = email.message_from_bytes(mime)
        assert bounce.get_content_type() == "multipart/report"
        assert [part.get_content_type() for part in bounce.get_payload()] == [
            "text/plain",
            "message/delivery-status",
            "text/rfc822-headers",
        ]

    def test_nobody_answers_an_automatic_answer(self, sandbox):
        mail = message("away@customer.example")
        mail["Auto-Submitted"] = "auto-replied"
        with smtp(sandbox) as client:
            client.send_message(mail)
            client.send_message(message("stranger@customer.example"))
        assert sandbox.store.messages(ADA) == []
        assert len(sandbox.sent) == 2

    def test_out_of_office_says_that_it_is_automatic(self, sandbox):
        with smtp(sandbox) as client:
            client.send_message(message("away@customer.example"))
        (mime,) = sandbox.store.messages(ADA)
        assert email.message_from_bytes(mime)["Auto-Submitted"] == "auto-replied"


class TestPop3:
    def test_messages_are_listed_handed_out_and_removed_at_quit(self, sandbox):
        for number in range(3):
            sandbox.store.deliver(ADA, PLAIN + b"%d\r\n" % number)
        client = pop3(sandbox)
        assert client.stat()[0] == 3
        uidls = [line.split()[1] for line in client.uidl()[1]]
        assert len(set(uidls)) == 3
        assert b"\r\n".join(client.retr(2)[1]) + b"\r\n" == PLAIN + b"1\r\n"
        client.dele(2)
        assert len(sandbox.store.uids(ADA)) == 3
        client.quit()
        again = pop3(sandbox)
        assert [line.split()[1] for line in again.uidl()[1]] == [uidls[0], uidls[2]]
        again.quit()

    def test_a_line_that_breaks_removes_nothing(self, sandbox):
        sandbox.store.deliver(ADA, PLAIN)
        client = pop3(sandbox)
        client.dele(1)
        client.close()
        assert len(sandbox.store.uids(ADA)) == 1

    def test_stls_apop_and_top(self, sandbox):
        sandbox.store.deliver(ADA, PLAIN)
        client = poplib.POP3(sandbox.host, sandbox.ports["pop3"], timeout=5)
        assert "STLS" in client.capa()
        with pytest.raises(poplib.error_proto, match="STLS first"):
            client.user(ADA)
        client.stls(trust(sandbox))
        client.apop(ADA, PASSWORD)
        assert client.top(1, 1)[1][-1] == b".a dot"
        client.quit()

    def test_commands_may_be_sent_in_one_go(self, sandbox):
        for _ in range(2):
            sandbox.store.deliver(ADA, PLAIN)
        client = pop3(sandbox)
        client.sock.sendall(b"RETR 1\r\nRETR 2\r\nNOOP\r\n")
        assert client._getlongresp()[1] == client._getlongresp()[1]
        assert client._getresp() == b"+OK"
        client.close()

    def test_a_wrong_password_says_so_by_code(self, sandbox):
        client = poplib.POP3_SSL(
            sandbox.host, sandbox.ports["pop3s"], timeout=5, context=trust(sandbox)
        )
        client.user(ADA)
        with pytest.raises(poplib.error_proto, match=r"-ERR \[AUTH\]"):
            client.pass_("wrong")
        client.close()


class TestImap:
    def test_messages_are_found_by_uid_and_read_without_marking_them(self, sandbox):
        when = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
        sandbox.store.deliver(ADA, PLAIN, received_at=when)
        sandbox.store.deliver(ADA, PLAIN)
        with imap(sandbox) as client:
            client.normalise_times = False
            selected = client.select_folder("INBOX", readonly=True)
            state = sandbox.store.folder(ADA)
            assert (selected[b"UIDVALIDITY"], selected[b"UIDNEXT"]) == (state.uidvalidity, 3)
            assert client.search(["UID", "2:*"]) == [2]
            data = client.fetch([1], ["BODY.PEEK[]", "INTERNALDATE", "RFC822.SIZE", "FLAGS"])[1]
            assert data[b"BODY[]"] == PLAIN
            assert data[b"INTERNALDATE"].astimezone(UTC) == when
            assert (data[b"RFC822.SIZE"], data[b"FLAGS"]) == (len(PLAIN), ())

    def test_header_fields_and_parts_of_a_body(self, sandbox):
        sandbox.store.deliver(ADA, PLAIN)
        with imap(sandbox) as client:
            client.select_folder("INBOX")
            fields = client.fetch([1], ["BODY.PEEK[HEADER.FIELDS (MESSAGE-ID DATE)]"])[1]
            (value,) = (fields[key] for key in fields if key.startswith(b"BODY["))
            assert value == b"Message-ID: <one@customer.example>\r\n\r\n"
            assert client.fetch([1], ["BODY.PEEK[]<9.5>"])[1][b"BODY[]<9>"] == b"Hello"
            client.fetch([1], ["BODY[]"])
            assert client.get_flags([1])[1] == (b"\\Seen",)

    def test_keywords_move_and_expunge(self, sandbox):
        for _ in range(3):
            sandbox.store.deliver(ADA, PLAIN)
        with imap(sandbox) as client:
            client.create_folder("INBOX/Filed")
            client.select_folder("INBOX")
            assert client.add_flags([2], [b"Tracked"])[2] == (b"Tracked",)
            client.move([1], "INBOX/Filed")
            assert sandbox.store.uids(ADA, "INBOX/Filed") == [1]
            client.add_flags([2, 3], [b"\\Deleted"])
            client.uid_expunge([3])
            assert client.search() == [2]
            names = [name for _, _, name in client.list_folders()]
            assert names == ["INBOX", "INBOX/Filed", SENT]
            assert client.find_special_folder(rb"\Sent") == SENT
            assert client.folder_status("INBOX/Filed", ["MESSAGES", "UIDNEXT"]) == {
                b"MESSAGES": 1,
                b"UIDNEXT": 2,
            }

    def test_condstore_tells_only_what_changed(self, sandbox):
        for _ in range(2):
            sandbox.store.deliver(ADA, PLAIN)
        with imap(sandbox) as client:
            before = client.select_folder("INBOX")[b"HIGHESTMODSEQ"]
            sandbox.store.set_flags(ADA, "INBOX", 2, {"\\Seen"})
            assert list(client.fetch([1, 2], ["FLAGS"], [f"CHANGEDSINCE {before}"])) == [2]

    def test_new_mail_is_told_at_the_next_command(self, sandbox):
        with imap(sandbox) as client:
            client.select_folder("INBOX")
            sandbox.store.deliver(ADA, PLAIN)
            assert (1, b"EXISTS") in client.noop()[1]

    def test_append_and_starttls(self, sandbox):
        client = imapclient.IMAPClient(sandbox.host, sandbox.ports["imap"], ssl=False, timeout=5)
        assert client.has_capability("LOGINDISABLED")
        client.starttls(trust(sandbox))
        client.login(ADA, PASSWORD)
        client.append("INBOX", PLAIN, [b"\\Seen"], datetime(2026, 1, 2, tzinfo=UTC))
        (entry,) = sandbox.store.entries(ADA)
        assert entry.flags == {"\\Seen"}
        assert entry.received_at == datetime(2026, 1, 2, tzinfo=UTC)
        client.logout()

    def test_names_with_quotes_and_literals(self, sandbox):
        sandbox.store.add_account('odd"name@sandbox.example', 'p"a\\ss')
        client = imaplib.IMAP4_SSL(
            sandbox.host, sandbox.ports["imaps"], ssl_context=trust(sandbox), timeout=5
        )
        client.literal = b'p"a\\ss'
        assert client._simple_command("LOGIN", r'"odd\"name@sandbox.example"')[0] == "OK"
        client.logout()

    def test_renumbering_changes_uidvalidity(self, sandbox):
        for _ in range(3):
            sandbox.store.deliver(ADA, PLAIN)
        sandbox.store.remove(ADA, "INBOX", [1])
        before = sandbox.store.folder(ADA).uidvalidity
        sandbox.store.renumber(ADA)
        assert sandbox.store.uids(ADA) == [1, 2]
        with imap(sandbox) as client:
            assert client.select_folder("INBOX")[b"UIDVALIDITY"] > before


class TestFaults:
    def test_a_dropped_line_at_the_nth_command(self, sandbox):
        sandbox.faults.add(Fault(kind=Kind.DROP, protocol="pop3", at=2, times=1))
        with pytest.raises((poplib.error_proto, OSError)):
            pop3(sandbox)
        pop3(sandbox).quit()

    def test_done_but_not_answered(self, sandbox):
        sandbox.faults.add(Fault(kind=Kind.DROP_AFTER, protocol="smtp", command="CONTENT"))
        client = smtp(sandbox)
        with pytest.raises(smtplib.SMTPServerDisconnected):
            client.send_message(message(BEN))
        assert len(sandbox.store.messages(BEN)) == 1

    def test_greylisting_defers_once(self, sandbox):
        sandbox.faults.add(greylist(BEN))
        with smtp(sandbox) as client:
            with pytest.raises(smtplib.SMTPRecipientsRefused) as refusal:
                client.send_message(message(BEN))
            assert refusal.value.recipients[BEN][0] == 451
            client.send_message(message(BEN))
        assert len(sandbox.store.messages(BEN)) == 1

    def test_one_recipient_is_refused_the_others_get_it(self, sandbox):
        sandbox.faults.add(refuse_recipient("reply@"))
        with smtp(sandbox) as client:
            refused = client.send_message(message(f"{BEN}, reply@customer.example"))
        assert list(refused) == ["reply@customer.example"]
        assert len(sandbox.store.messages(BEN)) == 1

    def test_a_truncated_message_ends_in_a_broken_line(self, sandbox):
        sandbox.store.deliver(ADA, PLAIN * 100)
        sandbox.faults.add(Fault(kind=Kind.TRUNCATE, command="RETR"))
        client = pop3(sandbox)
        with pytest.raises((poplib.error_proto, OSError)):
            client.retr(1)
        client.close()

    def test_hanging_for_one_account_only(self, sandbox):
        sandbox.faults.add(Fault(kind=Kind.HANG, protocol="imap", account=ADA, command="SELECT"))
        client = imapclient.IMAPClient(
            sandbox.host, sandbox.ports["imaps"], ssl_context=trust(sandbox), timeout=0.3
        )
        client.login(ADA, PASSWORD)
        with pytest.raises(OSError, match="timed out"):
            client.select_folder("INBOX")
        client.shutdown()
        other = imapclient.IMAPClient(
            sandbox.host, sandbox.ports["imaps"], ssl_context=trust(sandbox), timeout=5
        )
        other.login(BEN, PASSWORD)
        assert other.select_folder("INBOX")[b"EXISTS"] == 0
        other.logout()

    def test_garbage_instead_of_a_greeting(self, sandbox):
        sandbox.faults.add(Fault(kind=Kind.GARBAGE, command="CONNECT"))
        with socket.create_connection((sandbox.host, sandbox.ports["pop3"]), timeout=5) as line:
            assert not line.recv(100).startswith(b"+OK")

    def test_answers_fit_the_protocol(self, sandbox):
        sandbox.faults.add(
            Fault(kind=Kind.REPLY, protocol="imap", command="LOGIN", argument="NO [INUSE] later")
        )
        with pytest.raises(imapclient.exceptions.LoginError, match="INUSE"):
            imap(sandbox)

    def test_hidden_capabilities_and_repeated_uidls(self, sandbox):
        sandbox.faults.add(
            Fault(kind=Kind.HIDE, protocol="imap", argument="MOVE"),
            Fault(kind=Kind.HIDE, protocol="smtp", argument="PIPELINING"),
            Fault(kind=Kind.REPEAT_UIDL, account=ADA),
        )
        for _ in range(2):
            sandbox.store.deliver(ADA, PLAIN)
        with imap(sandbox) as client:
            assert not client.has_capability("MOVE")
        with smtp(sandbox) as client:
            client.ehlo()
            assert not client.has_extn("pipelining")
        client = pop3(sandbox)
        assert len({line.split()[1] for line in client.uidl()[1]}) == 1
        client.close()

    @pytest.mark.parametrize("flaw", [Flaw.EXPIRED, Flaw.WRONG_NAME, Flaw.FOREIGN])
    def test_flawed_certificates_are_not_verified(self, flaw):
        with running_sandbox(flaw=flaw) as sandbox, pytest.raises(ssl.SSLCertVerificationError):
            poplib.POP3_SSL(sandbox.host, sandbox.ports["pop3s"], timeout=5, context=trust(sandbox))


class TestSandbox:
    def test_mail_keys_trust_and_ports_outlive_a_restart(self, tmp_path):
        with running_sandbox(tmp_path, accounts={ADA: PASSWORD}) as sandbox:
            sandbox.store.deliver(ADA, PLAIN)
            before = (sandbox.ports, sandbox.ca_pem, sandbox.store.folder(ADA))
        with running_sandbox(tmp_path) as sandbox:
            assert (sandbox.ports, sandbox.ca_pem, sandbox.store.folder(ADA)) == before
            assert sandbox.store.messages(ADA) == [PLAIN]
            assert sandbox.store.password_fits(ADA, PASSWORD)

    def test_a_port_that_is_taken_is_replaced(self, tmp_path):
        with running_sandbox(tmp_path) as sandbox:
            port = sandbox.ports["smtp"]
        with socket.create_server(("127.0.0.1", port)), running_sandbox(tmp_path) as sandbox:
            assert sandbox.ports["smtp"] not in (0, port)

    def test_stopping_ends_lines_that_hang(self, sandbox):
        sandbox.faults.add(Fault(kind=Kind.HANG, command="CONNECT"))
        with socket.create_connection((sandbox.host, sandbox.ports["smtp"]), timeout=5) as line:
            while not sandbox.faults.struck:
                pass
            sandbox.stop()
            assert line.recv(1) == b""
        assert sandbox.connection_count == 0

    def test_the_store_refuses_unknown_accounts(self):
        store = Store()
        with pytest.raises(LookupError):
            store.deliver("nobody@sandbox.example", PLAIN)
        store.close()
