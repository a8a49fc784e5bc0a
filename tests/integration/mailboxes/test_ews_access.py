"""Reaching mailboxes on an Exchange server: logging in by every way, access kinds, throttling, trust, and what
stays behind in the process."""

import gc
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest
from exchangelib.protocol import Protocol

from mailboxes.protocols.base import AdapterOptions, Authentication, Bearer, Credentials
from mailboxes.protocols.errors import (
    AccessDenied,
    AccountDisabled,
    CertificateRejected,
    ConnectionForbidden,
    ConnectionLost,
    ConnectionRefused,
    ExchangeBusy,
    ImpersonationDenied,
    LicenseMissing,
    LoginRefused,
    MailboxUnknown,
    MessageGone,
    PassingFault,
    SocketTimedOut,
    TokenRefused,
    TransientError,
    UnexpectedReply,
    WrongProtocol,
)
from mailboxes.protocols.ews.access import ExchangeAccess
from mailboxes.protocols.ews.session import OwnProtocol
from mailboxes.protocols.ews.settings import Access, Endpoint, ExchangeSettings
from mailboxes.protocols.phases import Phase
from serversync.sandbox.certificates import load_authority, server_context
from serversync.sandbox.ews.authentication import Methods
from serversync.sandbox.ews.exchange import Exchange
from serversync.sandbox.ews.faults import busy, http_status, soap_fault
from serversync.sandbox.ews.quirks import Quirks
from serversync.sandbox.ews.versions import Edition
from serversync.sandbox.faults import Fault, Faults, Kind
from serversync.sandbox.servers import running_sandbox
from tests.servers.ports import free_port

pytestmark = [pytest.mark.integration, pytest.mark.database("sqlite")]

ADA, BEN, SERVICE = "ada@sandbox.example", "ben@sandbox.example", "service@sandbox.example"
PASSWORD = "a long secret"
CLIENT, SECRET = "the-client", "the-secret"
SCOPE = "https://outlook.office365.com/EWS.AccessAsUser.All"


@pytest.fixture(scope="module")
def running():
    with running_sandbox(allow_plain_login=True) as sandbox:
        for address in (ADA, BEN):
            sandbox.exchange.add_account(address, PASSWORD)
        sandbox.exchange.add_account(SERVICE, PASSWORD, has_mailbox=False)
        sandbox.authority.add_client(CLIENT, SECRET)
        yield sandbox


@pytest.fixture
def sandbox(running):
    """With every switch as it was."""
    exchange = running.exchange
    exchange.gate.methods = Methods()
    exchange.quirks = Quirks()
    exchange.faults.clear()
    exchange.set_account(ADA, password=PASSWORD, is_enabled=True, is_licensed=True)
    for owner in (ADA, "*"):
        exchange.revoke(owner, SERVICE)
    exchange.requests.clear()
    yield running
    exchange.gate.accept_ticket = None


def url(sandbox):
    return f"https://localhost:{sandbox.ports['ews']}/EWS/Exchange.asmx"


def settings(sandbox, **more):
    return ExchangeSettings(
        **{
            "address": ADA,
            "access": Access.OWN,
            "authentication": Authentication.AUTO,
            "credentials": Credentials(ADA, PASSWORD),
            "url": url(sandbox),
            "ca_pem": sandbox.ca_pem,
            "timeout_seconds": 10.0,
        }
        | more
    )


class Steps:
    def __init__(self):
        self.ended = []

    def begin(self, phase):
        pass

    def end(self, phase, error):
        self.ended.append((phase.value, type(error).__name__ if error else ""))


def reach(sandbox, watcher=None, outgoing=False, **more):
    return ExchangeAccess(
        settings(sandbox, **more), AdapterOptions(watcher=watcher), outgoing=outgoing
    )


def read(access, phase=Phase.LIST, **calling):
    """One request, whatever was read before."""
    access.account.__dict__.pop("root", None)
    with access.calling(phase, **calling):
        return access.account.root


def look(access):
    """Open, read, leave; returns whose folder was shown."""
    with access:
        return read(access).account.primary_smtp_address


def asked(sandbox):
    return [(request.operation, request.account) for request in sandbox.exchange.requests]


def known(sandbox, **more):
    return Endpoint(url(sandbox), datetime.now(UTC), version="Exchange2016", **more)


# -- opening


def test_opening_tells_each_step_and_the_version_is_remembered(sandbox):
    steps, kept = Steps(), []

    with reach(sandbox, steps, remember=kept.append) as access:
        assert access.open() is access.account

    assert [name for name, _ in steps.ended] == ["resolve", "connect", "tls", "login"]
    (found,) = kept
    assert (found.url, found.version, found.address) == (url(sandbox), "Exchange2016", ADA)
    assert found.scheme == "ntlm"


def test_what_is_known_costs_no_request_and_no_question(sandbox):
    endpoint = known(sandbox, scheme="basic", address=ADA)
    with reach(sandbox, found=endpoint) as access:
        assert asked(sandbox) == []
        read(access)

    assert asked(sandbox) == [("GetFolder", ADA)]


def test_a_watched_opening_logs_in_even_if_all_is_known(sandbox):
    steps = Steps()
    with reach(sandbox, steps, found=known(sandbox, scheme="basic")):
        pass

    assert steps.ended[-1] == ("login", "")


@pytest.mark.parametrize(
    ("edition", "spoken"),
    [
        (Edition.E2010_SP3, "Exchange2010_SP2"),
        (Edition.E2013, "Exchange2013"),
        (Edition.E2013_SP1, "Exchange2013_SP1"),
        (Edition.E2016, "Exchange2016"),
        (Edition.SUBSCRIPTION, "Exchange2016"),
        (Edition.ONLINE, "Exchange2016"),
    ],
)
def test_the_newest_version_that_both_know_is_spoken(sandbox, edition, spoken):
    sandbox.exchange.quirks = Quirks(edition=edition)
    kept = []

    assert look(reach(sandbox, remember=kept.append)) == ADA
    assert kept[-1].version == spoken


def test_a_server_without_a_version_header_can_be_used(sandbox):
    sandbox.exchange.quirks = Quirks(no_version_header=True)

    assert look(reach(sandbox)) == ADA


# -- ways to log in


@pytest.mark.rule("R1.20")
@pytest.mark.parametrize("way", [Authentication.BASIC, Authentication.NTLM, Authentication.AUTO])
@pytest.mark.parametrize("name", [ADA, "SANDBOX\\ada"])
def test_passwords(sandbox, way, name):
    access = reach(sandbox, authentication=way, credentials=Credentials(name, PASSWORD))

    assert look(access) == ADA


@pytest.mark.rule("R1.20")
@pytest.mark.parametrize(
    ("methods", "scheme"),
    [
        (Methods(basic=True, ntlm=True), "ntlm"),
        (Methods(basic=True, ntlm=False), "basic"),
        (Methods(basic=False, ntlm=False, negotiate=True), "auto"),
    ],
)
def test_auto_detect_settles_on_what_the_server_offers(sandbox, methods, scheme, monkeypatch):
    monkeypatch.setattr("mailboxes.protocols.ews.authentication.knows_kerberos", lambda: False)
    sandbox.exchange.gate.methods = methods
    kept = []

    assert look(reach(sandbox, remember=kept.append)) == ADA
    assert kept[-1].scheme == scheme


@pytest.mark.rule("R1.20")
def test_ntlm_proves_itself_once_for_a_connection_and_anew_for_the_next(sandbox):
    with reach(sandbox, authentication=Authentication.NTLM) as access:
        for _ in range(3):
            read(access)
        once = Counter(name for name, _ in asked(sandbox))
        access.drop()
        read(access)

    again = Counter(name for name, _ in asked(sandbox))
    assert once["GetFolder"] == 4
    assert again["GetFolder"] == 5
    assert again["sign-in"] == 2 * once["sign-in"]


@pytest.mark.rule("R1.20")
@pytest.mark.parametrize("way", [Authentication.BASIC, Authentication.NTLM, Authentication.AUTO])
@pytest.mark.parametrize(
    ("outgoing", "code"),
    [(False, "InvalidCredentials"), (True, "OutgoingEmailAuthenticationError")],
)
def test_a_wrong_password(sandbox, way, outgoing, code):
    steps = Steps()
    access = reach(
        sandbox,
        steps,
        outgoing,
        authentication=way,
        credentials=Credentials(ADA, "hunter2"),
    )

    with pytest.raises(LoginRefused) as refused:
        access.open()

    assert (refused.value.code, refused.value.phase) == (code, "login")
    assert refused.value.permanent
    assert "hunter2" not in str(refused.value)
    assert steps.ended[-1] == ("login", type(refused.value).__name__)


@pytest.mark.rule("R1.20")
@pytest.mark.parametrize("way", [Authentication.BASIC, Authentication.NTLM])
def test_a_way_that_the_server_has_closed(sandbox, way):
    closed = way == Authentication.BASIC
    sandbox.exchange.gate.methods = Methods(basic=not closed, ntlm=closed)

    with pytest.raises(LoginRefused):
        look(reach(sandbox, authentication=way))


@pytest.fixture
def realm(sandbox, kdc, monkeypatch):
    from serversync.sandbox.ews.kerberos import acceptor

    for name, value in kdc.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("KRB5CCNAME", "MEMORY:none")
    sandbox.exchange.gate.methods = Methods(basic=False, ntlm=False, negotiate=True)
    sandbox.exchange.gate.accept_ticket = acceptor(kdc.keytab)
    return kdc


@pytest.mark.rule("R1.20")
@pytest.mark.parametrize("way", [Authentication.NEGOTIATE, Authentication.AUTO])
def test_the_identity_of_the_process_opens_its_mailbox_by_a_ticket(
    sandbox, realm, monkeypatch, way
):
    monkeypatch.setenv("KRB5CCNAME", realm.ticket("ada"))

    assert look(reach(sandbox, authentication=way, credentials=None)) == ADA
    assert asked(sandbox)[-1] == ("GetFolder", ADA)


@pytest.mark.rule("R1.20")
def test_a_ticket_is_got_with_name_and_password(sandbox, realm):
    access = reach(
        sandbox,
        authentication=Authentication.NEGOTIATE,
        credentials=Credentials(ADA, "secret-of-ada"),
    )

    assert look(access) == ADA


@pytest.mark.rule("R1.20")
@pytest.mark.parametrize(
    "credentials", [None, Credentials(ADA, "wrong")], ids=["no ticket", "wrong password"]
)
def test_without_a_ticket_negotiate_is_refused(sandbox, realm, credentials):
    access = reach(sandbox, authentication=Authentication.NEGOTIATE, credentials=credentials)

    with pytest.raises(LoginRefused) as refused:
        look(access)

    assert "Kerberos" in refused.value.detail


def test_a_ticket_office_that_is_away_is_a_passing_trouble(sandbox, realm, monkeypatch):
    nobody = realm.folder / "nobody.conf"
    nobody.write_text(
        (realm.folder / "krb5.conf").read_text().replace(f":{realm.port}", f":{free_port()}")
    )
    monkeypatch.setenv("KRB5_CONFIG", str(nobody))

    with pytest.raises(TransientError) as away:
        look(reach(sandbox, authentication=Authentication.NEGOTIATE))

    assert not away.value.permanent


@pytest.mark.rule("R1.20")
def test_a_way_that_fails_since_is_chosen_anew(sandbox, realm):
    sandbox.exchange.gate.methods = Methods(basic=False, ntlm=True, negotiate=True)

    assert look(reach(sandbox, found=known(sandbox, scheme="negotiate"))) == ADA


@pytest.mark.rule("R1.20")
def test_auto_detect_falls_back_to_ntlm_where_kerberos_gives_no_ticket(sandbox, realm):
    sandbox.exchange.gate.methods = Methods(basic=False, ntlm=True, negotiate=True)

    assert look(reach(sandbox)) == ADA  # the realm knows another password


@pytest.mark.rule("R1.20")
def test_a_token_of_the_owner(sandbox):
    sandbox.exchange.gate.methods = Methods(basic=False, ntlm=False, bearer=True)
    token, _ = sandbox.authority.sign_in(ADA, CLIENT, SCOPE)
    steps = Steps()

    access = reach(sandbox, steps, credentials=Bearer(ADA, lambda refused: token))

    assert look(access) == ADA
    assert [name for name, _ in steps.ended][:2] == ["authorize", "resolve"]


@pytest.mark.rule("R1.20")
def test_a_token_that_expired_is_renewed_once_in_the_middle(sandbox):
    sandbox.exchange.gate.methods = Methods(basic=False, ntlm=False, bearer=True)
    given = []

    def token(refused):
        given.append(refused)
        return sandbox.authority.sign_in(ADA, CLIENT, SCOPE)[0]

    with reach(sandbox, credentials=Bearer(ADA, token)) as access:
        sandbox.authority.expire_tokens()
        read(access)

    assert len(given) == 2
    assert given[0] == ""
    assert given[1]


@pytest.mark.rule("R1.20")
def test_a_token_that_is_refused_twice(sandbox):
    sandbox.exchange.gate.methods = Methods(basic=False, ntlm=False, bearer=True)

    with pytest.raises(TokenRefused) as refused:
        reach(sandbox, credentials=Bearer(ADA, lambda refused: "unknown")).open()

    assert "unknown" not in str(refused.value)


# -- whose mailbox


def service(sandbox, access, address=ADA, outgoing=False):
    return reach(
        sandbox,
        address=address,
        access=access,
        authentication=Authentication.BASIC,
        credentials=Credentials(SERVICE, PASSWORD),
        outgoing=outgoing,
    )


@pytest.mark.rule("R1.17")
def test_impersonation_needs_the_right_that_the_server_grants(sandbox):
    with pytest.raises(ImpersonationDenied) as denied:
        look(service(sandbox, Access.IMPERSONATION))
    sandbox.exchange.allow_impersonation(SERVICE, ADA)
    sandbox.exchange.requests.clear()

    assert denied.value.permanent
    assert look(service(sandbox, Access.IMPERSONATION)) == ADA
    assert {account for _, account in asked(sandbox)} == {SERVICE}


@pytest.mark.rule("R1.17")
def test_impersonating_an_address_that_nobody_has(sandbox):
    sandbox.exchange.allow_impersonation(SERVICE)

    with pytest.raises(MailboxUnknown):
        look(service(sandbox, Access.IMPERSONATION, "nobody@sandbox.example"))


@pytest.mark.rule("R1.17")
def test_a_delegate_needs_full_access_and_does_not_grant_it_to_itself(sandbox):
    for _ in range(2):
        with pytest.raises(AccessDenied) as denied:
            look(service(sandbox, Access.DELEGATION))
    sandbox.exchange.grant(ADA, SERVICE, "FullAccess")

    assert denied.value.permanent
    assert denied.value.server_code == "ErrorAccessDenied"
    assert look(service(sandbox, Access.DELEGATION)) == ADA
    assert {operation for operation, _ in asked(sandbox)} == {"GetFolder"}


@pytest.mark.rule("R1.17")
def test_the_right_of_one_kind_does_not_serve_the_other(sandbox):
    sandbox.exchange.grant(ADA, SERVICE, "FullAccess")

    with pytest.raises(ImpersonationDenied):
        look(service(sandbox, Access.IMPERSONATION))


# -- what the account is


@pytest.mark.rule("R8.20")
@pytest.mark.parametrize(
    ("switch", "kinds"),
    [
        ({"is_enabled": False}, (AccountDisabled, LoginRefused)),
        ({"is_licensed": False}, LicenseMissing),
    ],
)
def test_an_account_that_is_switched_off(sandbox, switch, kinds):
    sandbox.exchange.set_account(ADA, **switch)

    with pytest.raises(kinds) as refused:
        look(reach(sandbox, authentication=Authentication.BASIC))

    assert refused.value.permanent


# -- throttling and faults


@pytest.mark.parametrize(
    ("fault", "seconds"),
    [
        (busy(back_off_milliseconds=1500), 1.5),
        (busy(), None),
        (http_status(503, retry_after=30), 30.0),
        (http_status(429, retry_after=7), 7.0),
        (http_status(429), None),
    ],
)
def test_the_servers_wish_for_patience_is_passed_on_at_once(sandbox, fault, seconds):
    with reach(sandbox, found=known(sandbox, scheme="basic")) as access:
        sandbox.exchange.faults.add(fault)
        with pytest.raises(ExchangeBusy) as asked_to_wait:
            read(access)

    assert asked_to_wait.value.hint_seconds == seconds
    assert asked_to_wait.value.phase == "list"
    assert len(asked(sandbox)) == 1


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (soap_fault("ErrorInternalServerTransientError"), PassingFault),
        (soap_fault("ErrorInvalidRequest"), UnexpectedReply),
        (soap_fault("ErrorFromTheFuture"), UnexpectedReply),
        (http_status(403), ConnectionForbidden),
        (http_status(500), TransientError),
        (http_status(503), TransientError),
        (http_status(404), WrongProtocol),
        (Fault(kind=Kind.GARBAGE, protocol="ews", times=1), UnexpectedReply),
        (Fault(kind=Kind.TRUNCATE, protocol="ews", times=1), ConnectionLost),
    ],
)
def test_a_fault_costs_one_request_and_the_next_one_is_answered(sandbox, fault, kind):
    with reach(sandbox, found=known(sandbox, scheme="basic")) as access:
        sandbox.exchange.faults.add(fault)
        with pytest.raises(kind):
            read(access)
        assert read(access).account is access.account

    assert len(asked(sandbox)) == 2


def test_a_second_answer_after_a_fault_is_not_taken_for_the_next_one(sandbox):
    sandbox.exchange.quirks = Quirks(second_answer_after_fault=True)
    with reach(sandbox, found=known(sandbox, scheme="basic")) as access:
        sandbox.exchange.faults.add(soap_fault("ErrorItemNotFound"))
        with pytest.raises(MessageGone):
            read(access)
        assert read(access).account is access.account


@pytest.mark.parametrize("retry", [True, False])
def test_a_kept_connection_that_the_server_closed_is_made_anew(sandbox, retry):
    with reach(sandbox, found=known(sandbox, scheme="basic")) as access:
        for _ in range(2):
            sandbox.exchange.drop_connections()
            read(access, retry=retry)

    assert asked(sandbox) == [("GetFolder", ADA)] * 2


@pytest.mark.parametrize(
    ("kind", "retry", "survives"),
    [(Kind.DROP, True, True), (Kind.DROP_AFTER, True, True), (Kind.DROP, False, False)],
)
def test_a_read_that_got_no_answer_is_asked_once_more_unless_told_otherwise(
    sandbox, kind, retry, survives
):
    with reach(sandbox, found=known(sandbox, scheme="basic")) as access:
        read(access)
        sandbox.exchange.faults.add(Fault(kind=kind, protocol="ews", times=1))
        if survives:
            read(access, retry=retry)
        else:
            with pytest.raises(ConnectionLost):
                read(access, retry=retry)


def test_the_first_request_of_a_connection_is_not_asked_twice(sandbox):
    with reach(sandbox, found=known(sandbox, scheme="basic")) as access:
        access.drop()
        sandbox.exchange.faults.add(Fault(kind=Kind.DROP, protocol="ews", times=1))
        with pytest.raises(ConnectionLost):
            read(access)


def test_silence_ends_with_the_time_out_of_the_profile(sandbox):
    with reach(sandbox, found=known(sandbox, scheme="basic"), timeout_seconds=0.3) as access:
        sandbox.exchange.faults.add(Fault(kind=Kind.HANG, protocol="ews", times=1))
        with pytest.raises(SocketTimedOut):
            read(access)


def test_nothing_listens(sandbox):
    gone = f"https://localhost:{free_port()}/EWS/Exchange.asmx"

    with pytest.raises(ConnectionRefused) as refused:
        reach(sandbox, url=gone).open()

    assert refused.value.phase == "connect"


def test_another_page_of_the_server_is_a_wrong_place(sandbox):
    with pytest.raises(WrongProtocol):
        reach(sandbox, url=url(sandbox).replace("EWS", "owa")).open()


# -- trust


@pytest.fixture(scope="module")
def second(tmp_path_factory):
    """Another server, signed by another authority."""
    folder = tmp_path_factory.mktemp("other")
    authority = load_authority(folder)
    exchange = Exchange(
        path=None,
        faults=Faults(),
        accept_mail=lambda *_: None,
        tls=server_context(authority, folder),
    )
    exchange.start({})
    exchange.add_account(ADA, PASSWORD)
    yield exchange, authority.pem
    exchange.stop()


def test_two_servers_with_different_authorities_in_one_process(sandbox, second):
    other, pem = second
    here = reach(sandbox)
    there = reach(sandbox, url=other.url, ca_pem=pem)

    with here, there:
        for access in (here, there, here):
            access.drop()
            read(access)

    for wrong in (
        reach(sandbox, ca_pem=pem),
        reach(sandbox, url=other.url),
        reach(sandbox, ca_pem=""),
    ):
        with pytest.raises(CertificateRejected) as rejected:
            wrong.open()
        assert rejected.value.phase == "tls"


def test_the_authority_counts_for_each_new_connection(sandbox, second):
    _, pem = second
    access = reach(sandbox, ca_pem=pem, found=known(sandbox))

    for _ in range(2):
        with pytest.raises(CertificateRejected):
            access.open()


# -- what stays


def test_a_changed_password_is_used_and_the_former_one_is_nowhere(sandbox):
    assert look(reach(sandbox, authentication=Authentication.BASIC)) == ADA
    sandbox.exchange.set_account(ADA, password="another one")

    with pytest.raises(LoginRefused):
        look(reach(sandbox, authentication=Authentication.BASIC))
    new = Credentials(ADA, "another one")
    assert look(reach(sandbox, authentication=Authentication.BASIC, credentials=new)) == ADA
    sandbox.exchange.set_account(ADA, password=PASSWORD)
    assert look(reach(sandbox, authentication=Authentication.BASIC)) == ADA


def test_a_failure_is_not_remembered(sandbox):
    sandbox.exchange.faults.add(http_status(503, times=1))
    with pytest.raises(TransientError):
        reach(sandbox).open()

    assert look(reach(sandbox)) == ADA


def sockets():
    links = (path.readlink() for path in Path("/proc/self/fd").iterdir() if path.is_symlink())
    return sum(str(link).startswith("socket:") for link in links)


def test_a_version_that_the_server_no_longer_takes_is_forgotten_and_found_out_anew(sandbox):
    sandbox.exchange.quirks = Quirks(edition=Edition.E2010_SP3)
    kept = []
    access = reach(sandbox, found=known(sandbox, scheme="basic"), remember=kept.append)

    with pytest.raises(UnexpectedReply) as caught:
        look(access)

    assert not caught.value.permanent
    assert kept == [None]
    assert len(asked(sandbox)) == 1  # exchangelib would go through ten versions
    assert look(reach(sandbox)) == ADA


def test_hundreds_of_accounts_leave_neither_sockets_nor_objects(sandbox):
    endpoint = known(sandbox, scheme="basic")
    look(reach(sandbox, found=endpoint))  # what is imported and cached once
    gc.collect()
    cached, open_before = dict(Protocol._protocol_cache), None
    # Other tests of this process may have left some, in what they keep of a failure, for one.
    there = {id(one) for one in gc.get_objects() if type(one) in (OwnProtocol, ExchangeAccess)}

    for number in range(200):
        access = reach(sandbox, found=endpoint)
        access.open()
        if number % 20 == 0:
            look(access)
        access.close()
        access.close()
        if open_before is None:
            open_before = sockets()
    del access
    gc.collect()

    assert Protocol._protocol_cache == cached
    left = [one for one in gc.get_objects() if type(one) in (OwnProtocol, ExchangeAccess)]
    assert [one for one in left if id(one) not in there] == []
    # The server's side of the last ones is in this process, too, and may still be closing.
    assert sockets() <= open_before + 10


def test_a_failed_opening_leaves_no_connection(sandbox):
    access = reach(sandbox, credentials=Credentials(ADA, "wrong"))

    with pytest.raises(LoginRefused):
        access.open()

    assert access._channel is None
    with pytest.raises(ConnectionLost):
        access.account  # noqa: B018
    access.drop()
    access.close()
