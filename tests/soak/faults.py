"""What servers do wrong, switched on and off."""

from collections.abc import Iterator

from django.utils import timezone

from mailboxes import services
from mailboxes.models import Mailbox
from serversync.sandbox.faults import Fault, Kind
from serversync.waking import enqueue_tests
from tests.soak.plan import Trouble, Window
from tests.soak.servers import PASSWORD, Server

SLOW_SECONDS = "0.3"  # an answer
#: Where a server says that it can't take anybody just now: what its protocol answers.
UNAVAILABLE = {
    "imap": ("", Kind.REPLY, "NO [UNAVAILABLE] Try again later"),
    "pop3": ("PASS", Kind.REPLY, "-ERR [SYS/TEMP] Try again later"),
    "ews": ("", Kind.STATUS, "503"),
}
IMAP_LOGINS = ("LOGIN", "AUTHENTICATE")
BUSY = "ErrorServerBusy BackOffMilliseconds=5000"


def begin(window: Window, server: Server) -> None:
    if window.trouble is Trouble.DOWN:
        server.stop()
    elif window.trouble is Trouble.REFUSED:
        for address in window.addresses:
            server.set_password(address, "another")
    else:
        server.fail(faults_of(window))


def end(window: Window, server: Server) -> None:
    """All is well again. Whose login was refused for good waits for an administrator, who tests them now."""
    if window.trouble is Trouble.DOWN:
        server.start()
    elif window.trouble is Trouble.REFUSED:
        for address in window.addresses:
            server.set_password(address, PASSWORD)
        test_again(window)
    else:
        server.fail([])


def test_again(window: Window) -> None:
    mailboxes = Mailbox.objects.filter(email_address__in=window.addresses)
    services.schedule_test(mailboxes=mailboxes, now=timezone.now())
    enqueue_tests(mailboxes.values_list("pk", flat=True))


def faults_of(window: Window) -> Iterator[Fault]:
    protocol = window.protocol
    accounts = sorted(window.addresses) or [""]
    match window.trouble:
        case Trouble.UNAVAILABLE:
            command, kind, reply = UNAVAILABLE[protocol]
            for name in IMAP_LOGINS if protocol == "imap" else (command,):
                yield Fault(kind=kind, protocol=protocol, command=name, argument=reply)
        case Trouble.DROPPED:
            for account in accounts:
                yield Fault(kind=Kind.DROP, protocol=protocol, account=account)
        case Trouble.TIMED_OUT:
            for account in accounts:
                kind = Kind.SLOW if protocol == "ews" else Kind.HANG
                yield Fault(kind=kind, protocol=protocol, account=account, argument="12")
        case Trouble.SLOW:
            yield Fault(kind=Kind.SLOW, protocol=protocol, argument=SLOW_SECONDS)
        case Trouble.THROTTLED:
            yield Fault(kind=Kind.SOAP_FAULT, protocol=protocol, argument=BUSY)
