"""Signing in to the sandbox's Exchange server, by every way it has, with clients that don't know it is one."""

import base64
import hashlib
import http.client
import ssl
import time

import pytest
import requests
import spnego
from exchangelib import (
    DELEGATE,
    IMPERSONATION,
    UTC,
    Account,
    Build,
    Configuration,
    Credentials,
    OAuth2AuthorizationCodeCredentials,
    OAuth2Credentials,
    Version,
)
from exchangelib.errors import UnauthorizedError
from exchangelib.protocol import Protocol, close_connections
from exchangelib.transport import BASIC, GSSAPI, NTLM, OAUTH2
from oauthlib.oauth2 import OAuth2Token
from spnego.channel_bindings import GssChannelBindings

from serversync.sandbox.control import Switchboard, ask
from serversync.sandbox.ews.authentication import Challenge, Methods
from serversync.sandbox.servers import running_sandbox

# No database is asked: once is enough.
pytestmark = [pytest.mark.integration, pytest.mark.database("sqlite")]

ADA = "ada@sandbox.example"
BEN = "ben@sandbox.example"
ALL = "all@sandbox.example"
PASSWORDS = {ADA: "correct: horse", BEN: "pässwörd", "cleo@other.example": "secret of cleo"}
CLIENT, SECRET = "the-client", "the-secret"
EWS_SCOPE = "https://outlook.office365.com/EWS.AccessAsUser.All"
# What a client asks that opens its inbox: the root and the inbox.
TWICE = [("GetFolder", ADA)] * 2


@pytest.fixture(scope="module")
def running():
    with running_sandbox(allow_plain_login=True) as sandbox:
        for address, password in PASSWORDS.items():
            sandbox.exchange.add_account(address, password)
        sandbox.exchange.add_account(ALL, "", members=[ADA, BEN])
        sandbox.authority.add_client(CLIENT, SECRET)
        yield sandbox


@pytest.fixture
def sandbox(running, tmp_path, monkeypatch):
    """With every switch as it was, trusted as a company trusts its own authority."""
    (tmp_path / "ca.pem").write_text(running.ca_pem)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "ca.pem"))
    running.exchange.gate.methods = Methods()
    running.exchange.requests.clear()
    yield running
    running.exchange.gate.accept_ticket = None
    running.exchange.gate.certificate = b""
    close_connections()


def url(sandbox) -> str:
    return f"https://localhost:{sandbox.ports['ews']}/EWS/Exchange.asmx"


def configuration(sandbox, credentials, auth_type=None) -> Configuration:
    version = Version(build=Build(15, 2, 1118, 7))
    return Configuration(
        service_endpoint=url(sandbox), credentials=credentials, auth_type=auth_type, version=version
    )


def look(sandbox, credentials, auth_type=None, address=ADA, access_type=DELEGATE) -> str:
    """Open the inbox; returns how the client has signed in."""
    account = Account(
        address,
        config=configuration(sandbox, credentials, auth_type),
        autodiscover=False,
        access_type=access_type,
        default_timezone=UTC,
    )
    assert account.inbox.total_count == 0
    return account.protocol.auth_type


def operations(sandbox) -> list[tuple[str, str]]:
    return [(request.operation, request.account) for request in sandbox.exchange.requests]


# -- passwords -------------------------------------------------------------------------------------


@pytest.mark.parametrize("auth_type", [BASIC, NTLM])
@pytest.mark.parametrize(
    ("name", "address"),
    [
        (ADA, ADA),
        ("ADA@Sandbox.Example", ADA),
        ("SANDBOX\\ben", BEN),
        ("sandbox.example\\ben", BEN),
    ],
)
def test_a_user_signs_in_by_every_form_of_the_name(sandbox, auth_type, name, address):
    credentials = Credentials(name, PASSWORDS[address])

    look(sandbox, credentials, auth_type, address)

    assert operations(sandbox)[-1] == ("GetFolder", address)


@pytest.mark.parametrize("auth_type", [BASIC, NTLM])
@pytest.mark.parametrize(
    ("name", "password"),
    [(ADA, "wrong"), (ADA, PASSWORDS[BEN]), ("nobody@sandbox.example", "x"), ("OTHER\\ada", "x")],
)
def test_a_wrong_name_or_password_is_refused(sandbox, auth_type, name, password):
    with pytest.raises(UnauthorizedError):
        look(sandbox, Credentials(name, password), auth_type)
    assert {operation for operation, _ in operations(sandbox)} == {"sign-in"}


def test_whoever_has_no_password_cannot_sign_in_with_none(sandbox):
    answer = requests.get(url(sandbox), auth=(ALL, ""), timeout=10)
    assert answer.status_code == 401


def test_ntlm_takes_three_legs_once_for_a_connection(sandbox):
    look(sandbox, Credentials(ADA, PASSWORDS[ADA]), NTLM)
    assert operations(sandbox) == [("sign-in", "")] * 2 + TWICE


def test_ntlm_inside_of_negotiate(sandbox):
    """As clients do that have no ticket."""
    sandbox.exchange.gate.methods = Methods(basic=False, ntlm=False, negotiate=True)
    look(sandbox, Credentials(ADA, PASSWORDS[ADA]), NTLM)
    assert operations(sandbox)[-1] == ("GetFolder", ADA)


def test_ntlm_inside_of_spnego(sandbox):
    """As Windows does."""
    sandbox.exchange.gate.methods = Methods(basic=False, ntlm=False, negotiate=True)
    own = spnego.NegotiateOptions.use_negotiate
    client = spnego.client("SANDBOX\\ada", PASSWORDS[ADA], protocol="negotiate", options=own)
    token = client.step()

    with requests.Session() as session:
        while not client.complete:
            answer = session.get(
                url(sandbox), headers=authorization("Negotiate", token), timeout=10
            )
            token = client.step(offered_token(answer.headers["WWW-Authenticate"]))

    assert answer.status_code == 200


def test_a_connection_belongs_to_whoever_signed_in_on_it(sandbox):
    with Line(sandbox) as line, Line(sandbox) as other:
        assert line.sign_in("SANDBOX\\ada", PASSWORDS[ADA]) == 200
        assert line.status() == 200
        assert other.status() == 401
        assert line.status(authorization("Basic", b"ada:wrong")) == 401
        assert line.status() == 401


def test_a_connection_is_forgotten_when_it_ends(sandbox):
    with Line(sandbox) as line:
        assert line.sign_in("SANDBOX\\ada", PASSWORDS[ADA]) == 200
        name = line.name
        assert sandbox.exchange.gate.admit({}, name).address == ADA

    deadline = time.monotonic() + 10
    while not isinstance(sandbox.exchange.gate.admit({}, name), Challenge):
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize("scheme", ["NTLM", "Negotiate", "Basic", "Bearer", "Digest"])
@pytest.mark.parametrize(
    "token", [b"", b"noise", b"NTLMSSP\0\1", b"NTLMSSP\0\3" + bytes(80), b"\x60\x82"]
)
def test_noise_is_refused(sandbox, scheme, token):
    sandbox.exchange.gate.methods = Methods(negotiate=True, bearer=True)
    answer = requests.get(url(sandbox), headers=authorization(scheme, token), timeout=10)
    assert answer.status_code == 401


# -- which ways are open ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("methods", "offers"),
    [
        (Methods(), ["NTLM", "Basic"]),
        (Methods(basic=False, ntlm=False, negotiate=True), ["Negotiate"]),
        (Methods(True, True, True, True), ["Bearer", "Negotiate", "NTLM", "Basic"]),
    ],
)
def test_the_server_offers_what_is_open(sandbox, methods, offers):
    sandbox.exchange.gate.methods = methods
    with Line(sandbox) as line:
        answer = line.ask()
        names = [value.split()[0] for value in answer.headers.get_all("WWW-Authenticate")]
    assert (answer.status, names) == (401, offers)


@pytest.mark.parametrize(
    ("methods", "guess"),
    [
        (Methods(), NTLM),
        (Methods(negotiate=True, bearer=True), NTLM),
        (Methods(ntlm=False), BASIC),
        (Methods(basic=False, ntlm=False, bearer=True), OAUTH2),
    ],
)
def test_a_client_guesses_how(sandbox, methods, guess):
    sandbox.exchange.gate.methods = methods
    settings = configuration(sandbox, Credentials(ADA, PASSWORDS[ADA]))
    assert Protocol(config=settings).auth_type == guess


def test_a_guessed_way_works(sandbox):
    assert look(sandbox, Credentials(ADA, PASSWORDS[ADA])) == NTLM


@pytest.mark.parametrize("auth_type", [BASIC, NTLM])
def test_a_closed_way_is_closed(sandbox, auth_type):
    sandbox.exchange.gate.methods = Methods(basic=auth_type == NTLM, ntlm=auth_type == BASIC)
    with pytest.raises(UnauthorizedError):
        look(sandbox, Credentials(ADA, PASSWORDS[ADA]), auth_type)


def test_ways_are_switched_from_outside(sandbox):
    with Switchboard(sandbox) as switchboard:
        told = ask(switchboard.port, do="sign_in", basic=False, bearer=True)
        assert told["methods"]["bearer"] is True
        assert sandbox.exchange.gate.methods == Methods(basic=False, bearer=True)
        with pytest.raises(ValueError, match="no way in is named telepathy"):
            ask(switchboard.port, do="sign_in", telepathy=True)


# -- tickets ---------------------------------------------------------------------------------------


@pytest.fixture
def ticket(sandbox, kdc, monkeypatch):
    """Makes the server accept tickets; called with a name it gives that person's ticket to the client."""
    from serversync.sandbox.ews.kerberos import acceptor

    for name, value in kdc.environment.items():
        monkeypatch.setenv(name, value)
    sandbox.exchange.gate.methods = Methods(basic=False, ntlm=False, negotiate=True)
    sandbox.exchange.gate.accept_ticket = acceptor(kdc.keytab)
    return lambda name: monkeypatch.setenv(
        "KRB5CCNAME", kdc.ticket(name) if name else "MEMORY:none"
    )


def test_a_ticket_signs_in(sandbox, ticket):
    ticket("ada")
    look(sandbox, None, GSSAPI)
    assert operations(sandbox) == [("sign-in", ""), ("GetFolder", ADA)] * 2


def test_the_server_proves_itself_to_whoever_asks(sandbox, ticket):
    from requests_gssapi import REQUIRED, HTTPSPNEGOAuth

    ticket("ben")
    answer = requests.get(url(sandbox), auth=HTTPSPNEGOAuth(REQUIRED), timeout=10)
    assert answer.status_code == 200


@pytest.mark.parametrize("name", ["stranger", ""])
@pytest.mark.filterwarnings("ignore")
def test_a_stranger_and_somebody_without_a_ticket_are_refused(sandbox, ticket, name):
    ticket(name)
    with pytest.raises(UnauthorizedError):
        look(sandbox, None, GSSAPI)
    assert {operation for operation, _ in operations(sandbox)} == {"sign-in"}


def test_negotiate_takes_ntlm_beside_tickets(sandbox, ticket):
    look(sandbox, Credentials(ADA, PASSWORDS[ADA]), NTLM)
    assert operations(sandbox)[-1] == ("GetFolder", ADA)


# -- extended protection ---------------------------------------------------------------------------


@pytest.fixture
def protected(sandbox) -> bytes:
    """Sign-in has to be bound to the TLS line; returns what it is bound by."""
    pem = ssl.get_server_certificate(("127.0.0.1", sandbox.ports["ews"]))
    sandbox.exchange.gate.certificate = ssl.PEM_cert_to_DER_cert(pem)
    return b"tls-server-end-point:" + hashlib.sha256(sandbox.exchange.gate.certificate).digest()


def test_ntlm_bound_to_its_line_is_taken(sandbox, protected):
    look(sandbox, Credentials(ADA, PASSWORDS[ADA]), NTLM)
    assert operations(sandbox)[-1] == ("GetFolder", ADA)


@pytest.mark.parametrize("binding", [b"", b"tls-server-end-point:" + bytes(32)])
def test_ntlm_bound_to_nothing_or_another_line_is_refused(sandbox, protected, binding):
    with Line(sandbox) as line:
        assert line.sign_in("SANDBOX\\ada", PASSWORDS[ADA], binding) == 401
        assert line.sign_in("SANDBOX\\ada", PASSWORDS[ADA], protected) == 200


def test_tickets_are_bound_to_their_line(sandbox, protected, ticket):
    ticket("ada")
    with Line(sandbox) as line:
        assert line.status(authorization("Negotiate", ticket_for(protected))) == 200
        assert line.status(authorization("Negotiate", ticket_for(b""))) == 401
        elsewhere = b"tls-server-end-point:" + bytes(32)
        assert line.status(authorization("Negotiate", ticket_for(elsewhere))) == 401


def ticket_for(binding: bytes) -> bytes:
    import gssapi

    bound = gssapi.raw.ChannelBindings(application_data=binding) if binding else None
    name = gssapi.Name("HTTP@localhost", gssapi.NameType.hostbased_service)
    return gssapi.SecurityContext(name=name, usage="initiate", channel_bindings=bound).step()


# -- tokens ----------------------------------------------------------------------------------------


def bearer(token: str) -> OAuth2AuthorizationCodeCredentials:
    return OAuth2AuthorizationCodeCredentials(
        access_token=OAuth2Token({"access_token": token, "token_type": "Bearer"})
    )


@pytest.fixture
def tokens(sandbox):
    sandbox.exchange.gate.methods = Methods(basic=False, ntlm=False, bearer=True)
    return sandbox.authority


def test_a_token_signs_in(sandbox, tokens):
    token, _ = tokens.sign_in(ADA, CLIENT, EWS_SCOPE)
    assert look(sandbox, bearer(token)) == OAUTH2
    assert operations(sandbox) == TWICE


def test_an_application_acts_for_whom_it_impersonates(sandbox, tokens):
    class Application(OAuth2Credentials):
        token_url = f"{sandbox.authority_url}/token"

    credentials = Application(client_id=CLIENT, client_secret=SECRET, tenant_id="any")
    look(sandbox, credentials, access_type=IMPERSONATION)
    assert operations(sandbox)[-1] == ("GetFolder", "")


@pytest.mark.parametrize("what", ["unknown", "expired", "of nobody here"])
def test_a_token_that_proves_nothing_is_refused(sandbox, tokens, what):
    address = "eve@sandbox.example" if what == "of nobody here" else ADA
    token, _ = tokens.sign_in(address, CLIENT, EWS_SCOPE)
    if what == "expired":
        tokens.expire_tokens()
    answer = ask_with(sandbox, "unknown" if what == "unknown" else token)
    assert answer.status_code == 401
    assert 'error="invalid_token"' in answer.headers["WWW-Authenticate"]
    assert "invalid_token" in answer.headers["x-ms-diagnostics"]


def test_a_token_for_something_else_is_told_so(sandbox, tokens):
    token, _ = tokens.sign_in(ADA, CLIENT, "https://outlook.office365.com/IMAP.AccessAsUser.All")
    answer = ask_with(sandbox, token)
    assert answer.status_code == 403
    assert "not enough scope" in answer.headers["x-ms-diagnostics"]


def ask_with(sandbox, token: str) -> requests.Response:
    headers = {"Authorization": f"Bearer {token}"}
    return requests.get(url(sandbox), headers=headers, timeout=10)


# -- one connection by hand ------------------------------------------------------------------------


def authorization(scheme: str, token: bytes | None) -> dict[str, str]:
    return {"Authorization": f"{scheme} {base64.b64encode(token or b'').decode()}"}


def offered_token(header: str) -> bytes:
    return base64.b64decode(header.split()[1])


class Line:
    def __init__(self, sandbox) -> None:
        context = ssl.create_default_context(cadata=sandbox.ca_pem)
        self._http = http.client.HTTPSConnection(
            "localhost", sandbox.ports["ews"], timeout=10, context=context
        )
        self._http.connect()
        self.name = "{}:{}".format(*self._http.sock.getsockname())

    def __enter__(self) -> "Line":
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def ask(self, headers: dict[str, str] | None = None) -> http.client.HTTPResponse:
        self._http.request("GET", "/EWS/Exchange.asmx", headers=headers or {})
        answer = self._http.getresponse()
        answer.read()
        return answer

    def status(self, headers: dict[str, str] | None = None) -> int:
        return self.ask(headers).status

    def sign_in(self, name: str, password: str, binding: bytes = b"") -> int:
        """By NTLM. Returns the last status."""
        own = spnego.NegotiateOptions.use_ntlm
        bound = GssChannelBindings(application_data=binding) if binding else None
        client = spnego.client(name, password, protocol="ntlm", options=own, channel_bindings=bound)
        challenge = self.ask(authorization("NTLM", client.step()))
        answer = client.step(offered_token(challenge.headers["WWW-Authenticate"]))
        return self.status(authorization("NTLM", answer))
