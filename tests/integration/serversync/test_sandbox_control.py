"""Asking a running sandbox for faults and mail from outside its process."""

import json
import os
import signal
import socket
import subprocess
import sys

import pytest
from django.conf import settings

from serversync.sandbox.control import Switchboard, ask
from serversync.sandbox.servers import running_sandbox

pytestmark = [pytest.mark.integration, pytest.mark.database("sqlite")]

ADA = "ada@sandbox.example"


@pytest.fixture
def switchboard():
    with (
        running_sandbox(accounts={ADA: "secret"}) as sandbox,
        Switchboard(sandbox) as switchboard,
    ):
        yield switchboard


def test_faults_are_set_listed_and_cleared(switchboard):
    ask(switchboard.port, do="fault", kind="hang", protocol="imap", command="SELECT", times=1)
    (fault,) = ask(switchboard.port, do="faults")["faults"]
    assert (fault["kind"], fault["protocol"], fault["command"]) == ("hang", "imap", "SELECT")
    ask(switchboard.port, do="clear")
    assert ask(switchboard.port, do="faults") == {"faults": []}


def test_passwords_are_changed(switchboard):
    port, sandbox = switchboard.port, switchboard.sandbox
    sandbox.exchange.add_account("ben@exchange.example", "secret")
    for address, store in ((ADA, sandbox.store), ("ben@exchange.example", sandbox.exchange.store)):
        ask(port, do="password", address=address, password="another")
        assert store.password_fits(address, "another")
        assert not store.password_fits(address, "secret")
    with pytest.raises(ValueError, match="nobody has the address"):
        ask(port, do="password", address="cleo@sandbox.example", password="another")


def test_it_counts_whom_a_fault_has_struck(switchboard):
    port, sandbox = switchboard.port, switchboard.sandbox
    assert ask(port, do="struck") == {"struck": 0}
    ask(port, do="fault", kind="drop", protocol="imap", command="CONNECT", times=1)
    with socket.create_connection((sandbox.host, sandbox.ports["imap"]), timeout=10) as line:
        assert line.recv(10) == b""
    assert ask(port, do="struck") == {"struck": 1}


def test_mail_is_delivered_and_renumbered(switchboard):
    store = switchboard.sandbox.store
    assert ask(switchboard.port, do="deliver", address=ADA, mime="Subject: x\r\n\r\n")["uid"] == 1
    assert ask(switchboard.port, do="accounts") == {"accounts": {ADA: 1}}
    before = store.folder(ADA).uidvalidity
    ask(switchboard.port, do="renumber", address=ADA)
    assert store.folder(ADA).uidvalidity > before


def test_calendars_are_edited_and_what_was_sent_is_told(switchboard):
    port, exchange = switchboard.port, switchboard.sandbox.exchange
    ben, cleo = "ben@exchange.example", "cleo@exchange.example"
    for address in (ben, cleo):
        exchange.add_account(address, "secret")
    visit = {
        "subject": "Visit",
        "start": "2030-03-04T09:00:00Z",
        "end": "2030-03-04T10:00:00Z",
        "required_attendees": [cleo],
    }
    ask(port, do="add_item", address=ben, kind="CalendarItem", properties=visit, tell=True)
    ask(port, do="answer_item", address=cleo, name="Visit", answer="Tentative")
    later = {"start": "2030-03-05T09:00:00Z", "end": "2030-03-05T10:00:00Z"}
    changed = ask(port, do="change_item", address=ben, name="Visit", properties=later)
    assert exchange.item(changed["id"]).text("Start") == later["start"]
    ask(port, do="delete_item", address=ben, name="Visit", tell=True)
    told = ask(port, do="meeting_mail")["mail"]
    assert [(one["kind"], one["recipient"]) for one in told] == [
        ("request", cleo), ("response", ben), ("cancellation", cleo),
    ]  # fmt: skip
    with pytest.raises(ValueError, match="has no 'Visit'"):
        ask(port, do="change_item", address=ben, name="Visit", properties=later)


def test_mail_is_put_moved_and_categorized_in_exchange_mailboxes(switchboard):
    port, exchange = switchboard.port, switchboard.sandbox.exchange
    ben = "ben@exchange.example"
    exchange.add_account(ben, "secret")
    exchange.add_folder(ben, "Inbox/Projects")
    mime = "Subject: x\r\nMessage-ID: <one@customer.example>\r\n\r\n"
    ask(port, do="deliver", address=ben, mime=mime, folder="Inbox", categories=["Red"])
    (item,) = exchange.items(ben)
    assert item.categories == ["Red"]

    ask(port, do="move", address=ben, message_id="<one@customer.example>", folder="Inbox/Projects")
    assert exchange.items(ben) == []
    ask(port, do="categorize", address=ben, message_id="one@customer.example", categories=[])
    (item,) = exchange.items(ben, "Inbox/Projects")
    assert item.categories == []

    with pytest.raises(ValueError, match="has no message"):
        ask(port, do="move", address=ben, message_id="<two@customer.example>", folder="Inbox")


def test_the_exchange_server_is_changed_from_outside(switchboard):
    port, exchange = switchboard.port, switchboard.sandbox.exchange
    ben = "ben@exchange.example"
    ask(port, do="exchange_account", address=ben, password="secret", may_submit=False)
    assert not exchange.account(ben).may_submit
    assert ask(port, do="deliver", address=ben, mime="Subject: x\r\n\r\n")["uid"] == 0
    assert ask(port, do="accounts")["accounts"][ben] == 1
    ask(port, do="quirk", name="fraction_digits", value=9)
    quirks = ask(port, do="quirk", name="missing_operations", value=["Subscribe"])["quirks"]
    assert (quirks["fraction_digits"], quirks["missing_operations"]) == (9, ["Subscribe"])
    assert ask(port, do="quirk", name="edition", value="2010")["quirks"]["edition"] == "2010"
    assert ask(port, do="quirks")["quirks"] == exchange.quirks.as_dict()
    epoch = exchange.account(ben).epoch
    ask(port, do="forget_sync_states", address=ben)
    assert exchange.account(ben).epoch == epoch + 1
    ask(port, do="fault", kind="refuse", protocol="ews", argument="ErrorItemCorrupt position=1")
    assert len(ask(port, do="faults")["faults"]) == 1


@pytest.mark.parametrize(
    ("order", "complaint"),
    [
        ({"do": "dance"}, "nothing that can be asked for"),
        ({"do": "fault"}, "kind is missing"),
        ({"do": "fault", "kind": "hang", "colour": "red"}, "a fault has no colour"),
        ({"do": "quirk", "name": "colour", "value": 1}, "is no quirk"),
        ({"do": "quirk", "name": "edition", "value": "1999"}, "not a valid Edition"),
        ({"do": "quirk", "name": "fraction_digits", "value": "nine"}, "is a number"),
        ({"do": "exchange_account", "address": ADA, "password": "x", "age": 1}, "has no age"),
        ({"do": "deliver", "address": "nobody@sandbox.example", "mime": ""}, "UnknownFolder"),
    ],
)
def test_what_it_does_not_understand_is_named(switchboard, order, complaint):
    with pytest.raises(ValueError, match=complaint):
        ask(switchboard.port, **order)


def test_the_command_serves_until_it_is_told_to_end(tmp_path, site_environment):
    command = [
        sys.executable,
        "manage.py",
        "sandbox",
        f"--folder={tmp_path}",
        "--fault=drop:protocol=smtp:command=CONNECT",
    ]
    with subprocess.Popen(
        command, cwd=settings.BASE_DIR, env=site_environment, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            ports = {}
            for line in process.stdout:
                name, _, address = line.strip().partition(" ")
                if name in ("imaps", "smtp", "control"):
                    ports[name] = int(address.rpartition(":")[2])
                if line.startswith("Ctrl-C"):
                    break
            assert len(ask(ports["control"], do="faults")["faults"]) == 1
            with socket.create_connection(("127.0.0.1", ports["smtp"]), timeout=5) as line:
                assert line.recv(100) == b""
            assert (tmp_path / "ca.pem").read_text().startswith("-----BEGIN CERTIFICATE")
        finally:
            os.kill(process.pid, signal.SIGTERM)
        assert process.wait(100) == 0


def test_orders_are_one_json_object_a_line(switchboard):
    with socket.create_connection(("127.0.0.1", switchboard.port), timeout=5) as line:
        line.sendall(b'[1]\nnonsense\n{"do": "faults"}\n')
        with line.makefile("rb") as answers:
            oks = [json.loads(answers.readline())["ok"] for _ in range(3)]
    assert oks == [False, False, True]
