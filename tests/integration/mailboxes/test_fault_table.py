"""Every fault of the table, met as Test & Enable meets it, gets its expected diagnosis."""

import socket
import threading
from contextlib import ExitStack
from functools import cache, partial

import pytest

from mailboxes.faultwords import WORDS
from mailboxes.protocols.base import INBOX, AdapterOptions, Envelope
from mailboxes.protocols.errors import ServerError
from mailboxes.protocols.ews.incoming import ExchangeServer
from mailboxes.protocols.faultkinds import FaultKind
from mailboxes.protocols.imap import ImapServer
from mailboxes.protocols.pop3 import Pop3Server
from mailboxes.protocols.smtp import SmtpServer
from serversync.sandbox.servers import Sandbox, running_sandbox
from serversync.testing_steps import StepWatcher, told
from tests import faulttable
from tests.faulttable import ADDRESS, CASES, EXCHANGE, MAIL, NAMES, PASSWORD, TOKEN, World

pytestmark = [pytest.mark.integration, pytest.mark.database("sqlite")]

ADAPTERS = {"pop3": Pop3Server, "imap": ImapServer, "smtp": SmtpServer, "ews": ExchangeServer}


@pytest.fixture(scope="module")
def exchange():
    """Started by the first row that asks for it."""
    with ExitStack() as stack:
        yield cache(partial(started, stack))


def started(stack: ExitStack) -> Sandbox:
    sandbox = stack.enter_context(running_sandbox())
    for address in EXCHANGE:
        sandbox.exchange.add_account(address, PASSWORD, has_mailbox=address == ADDRESS)
    return sandbox


@pytest.fixture
def world(authority, exchange, monkeypatch):
    """The name servers of the table, besides the machine's own."""
    look_up, over = socket.getaddrinfo, threading.Event()

    def table(host, *arguments, **options):
        if host not in NAMES:
            return look_up(host, *arguments, **options)
        if (number := NAMES[host]) is None:
            over.wait()
        raise socket.gaierror(number, "as the table says")

    monkeypatch.setattr(socket, "getaddrinfo", table)
    with ExitStack() as stack:
        stack.callback(over.set)
        yield World(authority, stack, exchange)


def converse(case, settings, watcher) -> None:
    """What Test & Enable does with a server (R2.13, R2.14)."""
    server = ADAPTERS[case.protocol](settings, AdapterOptions(watcher=watcher))
    try:
        server.open()
        if case.protocol == "smtp":
            server.send(Envelope("<1@example.com>", ADDRESS, (ADDRESS,), MAIL), lambda: None)
        else:
            server.list_new(INBOX, "", 1)
    finally:
        server.close()


@pytest.mark.rule("R2.13", "R2.14", "R8.20")
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.what)
def test_fault_is_diagnosed_with_its_cause_and_cure(case, world):
    watcher = StepWatcher(talk=True)
    if case.protocol == "ews":
        world.exchange().exchange.faults.clear()

    with pytest.raises(ServerError) as caught:
        converse(case, case.scene(world), watcher)

    failed = watcher.steps[-1] if watcher.steps else {"step": "settings", **told(caught.value)}
    assert not failed["ok"]
    fault = failed.get("fault")
    assert (failed["step"], failed["code"], fault) == (case.phase, case.code, case.fault)
    assert (failed["cause"], failed["cure"]) == (case.cause.meaning, case.cause.advice)
    assert all(step["ok"] for step in watcher.steps[:-1])
    for secret in (PASSWORD, TOKEN, "Hello."):
        assert secret not in repr(watcher.steps)


def test_table_has_every_fault_that_has_words():
    assert {case.fault for case in CASES if case.fault} == set(FaultKind) == set(WORDS)
    assert len({case.what for case in CASES}) == len(CASES) >= faulttable.AT_LEAST
