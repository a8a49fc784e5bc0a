"""The parts of reaching an Exchange server that need none: choosing how to log in, reading versions and
URLs, and what exchangelib is left with."""

import gc
import logging
import weakref
from email.message import Message

import pytest
from exchangelib import Version
from exchangelib import errors as ews
from exchangelib.protocol import Protocol
from exchangelib.version import Build

from mailboxes.protocols import errors
from mailboxes.protocols.base import (
    AdapterOptions,
    Authentication,
    Bearer,
    ConnectionSettings,
    Credentials,
    Security,
)
from mailboxes.protocols.errors import (
    AuthenticationUnavailable,
    HostDenied,
    HostNotFound,
    InsecureConnection,
    LocationUnknown,
    LoginRefused,
    OutgoingLoginRefused,
    TokenRefused,
)
from mailboxes.protocols.ews import authentication
from mailboxes.protocols.ews.access import VERSIONS, ExchangeAccess, version_of
from mailboxes.protocols.ews.authentication import (
    Basic,
    Handshake,
    Kerberos,
    best_of,
    challenge_of,
    principal_of,
    proof_of,
)
from mailboxes.protocols.ews.discovery import Discovery, twins
from mailboxes.protocols.ews.session import Session, account_over, only_reads
from mailboxes.protocols.ews.settings import Access, ExchangeSettings
from mailboxes.protocols.ews.transport import Answer, Channel, Place, Request, resolver

URL = "https://mail.example.com/EWS/Exchange.asmx"
ADA = Credentials("ada@example.com", "pässword")


def answer(status=200, content=b"", **headers):
    message = Message()
    for name, value in headers.items():
        message[name.replace("_", "-")] = value
    return Answer(status, "", message, content, Place.of(URL))


class Told:
    """A channel that answers by `reply` and keeps what it was asked."""

    def __init__(self, reply):
        self.asked = []
        self.made = 1
        self.place = Place.of(URL)
        self._reply = reply

    def exchange(self, request):
        self.asked.append(request)
        return self._reply(request)

    def connect(self):
        pass

    def connection_number(self, _request):
        return self.made

    def certificate(self):
        return None


def wants(*schemes):
    """Lets in whoever uses the first word of one of these."""

    def reply(request):
        used = request.headers.get("Authorization", "").partition(" ")[0]
        if used in {scheme.partition(" ")[0] for scheme in schemes}:
            return answer()
        return answer(401, WWW_Authenticate=", ".join(schemes))

    return Told(reply)


@pytest.fixture
def without_kerberos(monkeypatch):
    monkeypatch.setattr(authentication, "knows_kerberos", lambda: False)


@pytest.fixture
def with_kerberos(monkeypatch):
    monkeypatch.setattr(authentication, "knows_kerberos", lambda: True)


# -- which way to log in


@pytest.mark.rule("R1.20")
@pytest.mark.parametrize(
    ("offered", "expected"),
    [
        ("Negotiate, NTLM, Basic realm=x", (Authentication.NEGOTIATE, Kerberos)),
        ("NTLM, Basic", (Authentication.NTLM, Handshake)),
        (
            'Bearer authorization_uri="https://a, NTLM", Basic realm="a, b"',
            (Authentication.BASIC, Basic),
        ),
        ("basic", (Authentication.BASIC, Basic)),
    ],
)
def test_auto_detect_takes_the_best_that_both_sides_know(offered, expected, with_kerberos):
    way, proof = best_of(offered, ADA)

    assert (way, type(proof)) == expected


@pytest.mark.rule("R1.20")
def test_without_kerberos_negotiate_is_left_for_ntlm(without_kerberos):
    assert best_of("Negotiate, NTLM", ADA)[0] == Authentication.NTLM
    assert isinstance(best_of("Negotiate", ADA)[1], Handshake)


@pytest.mark.parametrize("offered", ["", "Digest realm=x", 'Bearer realm="Basic"'])
def test_nothing_in_common_names_what_is_offered(offered, with_kerberos):
    with pytest.raises(LoginRefused) as refused:
        best_of(offered, ADA)

    assert (offered.partition(" ")[0].lower() or "nothing") in refused.value.detail


@pytest.mark.rule("R1.20")
def test_negotiate_without_its_library_names_the_extra(without_kerberos):
    for credentials in (ADA, None):
        with pytest.raises(AuthenticationUnavailable) as missing:
            proof_of(Authentication.NEGOTIATE, credentials)
        assert "serversync[kerberos]" in missing.value.detail
        assert missing.value.permanent


@pytest.mark.rule("R1.20")
def test_the_identity_of_the_process_needs_negotiate(without_kerberos):
    with pytest.raises(AuthenticationUnavailable):
        best_of("Negotiate, NTLM, Basic", None)
    for way in (Authentication.NTLM, Authentication.BASIC):
        with pytest.raises(LoginRefused):
            proof_of(way, None)


def test_oauth_without_a_token_is_refused():
    with pytest.raises(LoginRefused):
        proof_of(Authentication.OAUTH, ADA)


@pytest.mark.parametrize(
    ("username", "principal"),
    [("ada@corp.example", "ada@CORP.EXAMPLE"), ("CORP\\ada", "ada"), ("ada", "ada")],
)
def test_names_as_kerberos_writes_them(username, principal):
    assert principal_of(username) == principal


# -- how it goes


def test_basic_writes_utf_8_with_each_request():
    channel = wants("Basic")

    assert Basic(ADA).send(channel, Request()).status == 200
    assert channel.asked[0].headers["Authorization"] == "Basic YWRhQGV4YW1wbGUuY29tOnDDpHNzd29yZA=="


@pytest.mark.rule("R1.20")
def test_auto_detect_asks_once_without_a_body_and_remembers():
    channel, settled = wants("Basic"), []
    proof = proof_of(Authentication.AUTO, ADA, settled=settled.append)

    for _ in range(3):
        assert proof.send(channel, Request(body=b"large")).status == 200

    assert [request.body for request in channel.asked] == [b"", b"large", b"large", b"large"]
    assert settled == [Authentication.BASIC]


def test_auto_detect_of_a_server_that_asks_nobody():
    channel = Told(lambda request: answer(200 if request.body else 400))

    assert proof_of(Authentication.AUTO, ADA).send(channel, Request(body=b"x")).status == 200
    assert all("Authorization" not in request.headers for request in channel.asked)


@pytest.mark.rule("R1.20")
def test_a_token_is_renewed_once_and_then_the_refusal_stands():
    given = []

    def token(refused):
        given.append(refused)
        return f"t{len(given)}"

    channel = Told(lambda request: answer(401))
    proof = proof_of(Authentication.OAUTH, Bearer("ada@example.com", token))

    assert [proof.send(channel, Request()).status for _ in range(2)] == [401, 401]
    assert given == ["", "t1"]
    assert [request.headers["Authorization"] for request in channel.asked] == [
        "Bearer t1",
        "Bearer t2",
        "Bearer t2",
    ]


def test_a_damaged_ntlm_challenge_is_a_refusal():
    channel = Told(lambda request: answer(401, WWW_Authenticate="NTLM AAAA"))

    with pytest.raises(LoginRefused):
        Handshake(ADA).send(channel, Request())


def test_a_challenge_is_found_among_other_offers():
    offered = answer(401, WWW_Authenticate='Basic realm="x", NTLM TlRM, Negotiate')

    assert challenge_of(offered, "NTLM") == b"NTL"
    assert challenge_of(offered, "Negotiate") is None


# -- URLs and versions


@pytest.mark.parametrize(
    ("url", "place"),
    [
        (URL, Place(True, "mail.example.com", 443, "/EWS/Exchange.asmx")),
        ("http://MAIL.example.com:8080", Place(False, "mail.example.com", 8080, "/")),
        ("https://[::1]:444/ews?a=b", Place(True, "::1", 444, "/ews?a=b")),
    ],
)
def test_places(url, place):
    assert Place.of(url) == place


def test_a_path_in_any_letters_can_be_asked_for():
    assert Place.of("https://x/ews/größe%20?a=ü").path == "/ews/gr%C3%B6%C3%9Fe%20?a=%C3%BC"


@pytest.mark.parametrize(
    "url", ["", "mail.example.com", "ftp://x/", "https://", "https://u:p@x/", "https://x:99999/"]
)
def test_no_places(url):
    with pytest.raises(HostNotFound):
        Place.of(url)


def test_the_name_of_a_place_holds_no_query():
    assert Place.of("https://[::1]:444/ews?secret=1").name == "https://[::1]:444/ews"


def server_says(**attributes):
    words = " ".join(f'{name}="{value}"' for name, value in attributes.items())
    return answer(
        content=(
            '<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Header>'
            '<h:ServerVersionInfo xmlns:h="http://schemas.microsoft.com/exchange/services/2006/types" '
            f"{words}/></s:Header><s:Body/></s:Envelope>"
        ).encode()
    )


NUMBERS = {"MajorVersion": 15, "MinorVersion": 2, "MajorBuildNumber": 1118, "MinorBuildNumber": 7}


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({**NUMBERS, "Version": "V2017_07_11"}, Version(Build(15, 2, 1118, 7), "Exchange2013_SP1")),
        ({**NUMBERS, "Version": "Exchange2016"}, Version(Build(15, 2, 1118, 7), "Exchange2016")),
        ({"Version": "Exchange2010_SP2"}, Version(Build(14, 2), "Exchange2010_SP2")),
        ({"MajorVersion": "x", "MinorVersion": 1}, Version(Build(15, 0, 847), "Exchange2013_SP1")),
    ],
)
def test_the_version_is_what_the_server_says_if_a_request_may_name_it(said, expected):
    assert version_of(server_says(**said), "Exchange2013_SP1") == expected


def test_a_server_that_tells_no_version_has_the_one_it_answered_to():
    assert version_of(answer(content=b"<x/>"), "Exchange2016") == Version(
        Build(15, 1), "Exchange2016"
    )


def test_each_version_that_is_spoken_has_a_build_that_means_it():
    for name, build in VERSIONS.items():
        assert Version(build).api_version == name


# -- exchangelib


def account(ask, url=URL):
    return account_over(
        lambda: Session(ask, lambda: None, {}),
        url=url,
        address="ada@example.com",
        access=Access.IMPERSONATION,
        version=Version(Build(15, 1), "Exchange2016"),
    )


def test_accounts_leave_nothing_in_exchangelibs_caches():
    def broken(request):
        raise errors.ConnectionLost("gone")

    before = dict(Protocol._protocol_cache)
    left = []
    for _ in range(200):
        one = account(broken)
        left.append(weakref.ref(one))
        with pytest.raises(ews.ErrorTimeoutExpired):
            one.root  # noqa: B018 - reads it from the server
        del one
    gc.collect()

    assert Protocol._protocol_cache == before
    assert [ref for ref in left if ref() is not None] == []


def test_two_accounts_at_one_url_share_no_protocol_and_no_password():
    first, second = account(lambda _: answer()), account(lambda _: answer())

    assert first.protocol is not second.protocol
    assert not hasattr(first.protocol.credentials, "password")
    assert first.protocol.credentials != second.protocol.credentials


def test_what_is_raised_in_a_request_comes_out_of_exchangelib_and_nothing_is_logged(caplog):
    def busy(request):
        raise errors.ExchangeBusy("later", hint_seconds=3)

    caplog.set_level(logging.DEBUG)
    access = ExchangeAccess(settings(), AdapterOptions())
    with pytest.raises(errors.ExchangeBusy) as caught, access.calling(errors.Phase.LIST):
        account(busy).root  # noqa: B018 - reads it from the server

    assert (caught.value.hint_seconds, caught.value.phase) == (3, "list")
    assert "Envelope" not in caplog.text


@pytest.mark.parametrize(
    ("operation", "reads"),
    [
        ("GetItem", True),
        ("FindFolder", True),
        ("SyncFolderItems", True),
        ("CreateItem", False),
        ("SendItem", False),
        ("MoveItem", False),
        ("UpdateItem", False),
    ],
)
def test_what_may_be_asked_twice(operation, reads):
    body = f"<s:Envelope><s:Header/><s:Body><m:{operation}><m:GetItem/></m:{operation}></s:Body>"

    assert only_reads(body.encode()) is reads


# -- what is refused before anything is sent


def settings(**more):
    return ExchangeSettings(
        **{
            "address": "ada@example.com",
            "access": Access.OWN,
            "authentication": Authentication.BASIC,
            "credentials": ADA,
            "url": URL,
        }
        | more
    )


def never(host, port, timeout):
    raise AssertionError(f"{host} was looked up")


@pytest.mark.rule("R1.26", "R1.27")
@pytest.mark.parametrize(
    "allowed", [{}, {"allow_plain": True}, {"allow_plain_login": True}], ids=str
)
def test_no_password_goes_over_a_line_without_tls_unless_both_switches_allow_it(allowed):
    plain = settings(url="http://mail.example.com/EWS/Exchange.asmx", **allowed)

    with pytest.raises(InsecureConnection):
        ExchangeAccess(plain, AdapterOptions(), resolve=never).open()


def test_a_denied_network_is_not_contacted():
    denied = settings(url="https://127.0.0.1:1/ews", denied_networks=("127.0.0.0/8",))

    with pytest.raises(HostDenied):
        ExchangeAccess(denied, AdapterOptions()).open()


@pytest.mark.parametrize(
    ("credentials", "outgoing", "kind"),
    [
        (ADA, False, LoginRefused),
        (ADA, True, OutgoingLoginRefused),
        (Bearer("ada@example.com", lambda _: "t"), True, TokenRefused),
    ],
)
def test_the_error_of_a_refused_login(credentials, outgoing, kind):
    access = ExchangeAccess(settings(credentials=credentials), AdapterOptions(), outgoing=outgoing)

    assert access._judge.refused is kind


@pytest.mark.rule("R1.9")
def test_nothing_shows_a_secret():
    access = ExchangeAccess(settings(), AdapterOptions())
    request = Request(body="pässword".encode(), headers={"Authorization": "pässword"})

    shown = f"{access!r} {access.settings!r} {access._judge!r} {request!r}"
    assert "ssword" not in shown.replace("password=", "")


# -- discovery


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://a/autodiscover/autodiscover.svc", ("svc", "xml")),
        ("https://a/autodiscover/autodiscover.xml", ("svc", "xml")),
        ("https://a/Somewhere", ("svc", "xml")),
    ],
)
def test_a_host_is_asked_in_both_languages(url, expected):
    soap, pox = twins(url)

    assert (soap, pox) == tuple(f"https://a/autodiscover/autodiscover.{end}" for end in expected)


def nobody(host, port, timeout):
    raise HostNotFound(f"the host {host} does not exist")


def discovery(**more):
    terms = ConnectionSettings(host="", port=0, security=Security.IMPLICIT_TLS, credentials=ADA)
    return Discovery(
        terms,
        proof=lambda: Basic(ADA),
        now=lambda: None,
        **{"resolve": nobody, "find_service": lambda name, timeout: []} | more,
    )


@pytest.mark.rule("R1.24")
def test_a_failed_discovery_is_lasting_and_tells_what_each_said():
    with pytest.raises(LocationUnknown) as failed:
        discovery().find("ada@example.com")

    assert failed.value.code == "MailboxLocationNotDetermined"
    assert failed.value.permanent
    assert [where for where, _ in failed.value.steps] == [
        "https://example.com/autodiscover/autodiscover.svc",
        "https://autodiscover.example.com/autodiscover/autodiscover.svc",
        "http://autodiscover.example.com/autodiscover/autodiscover.xml",
        "SRV _autodiscover._tcp.example.com",
    ]
    assert "the host autodiscover.example.com does not exist" in failed.value.detail


@pytest.mark.parametrize(
    ("host", "kind"),
    [("autodiscover.example.com", errors.SocketTimedOut), ("example.com", LocationUnknown)],
)
def test_a_host_that_should_know_and_does_not_answer_may_answer_later(host, kind):
    def silent(asked, port, timeout):
        raise errors.SocketTimedOut("silence") if asked == host else HostNotFound("nobody")

    with pytest.raises(kind):
        discovery(resolve=silent).find("ada@example.com")


@pytest.mark.parametrize("address", ["", "ada", "ada@"])
def test_an_address_without_a_domain_leads_nowhere(address):
    with pytest.raises(LocationUnknown):
        discovery(resolve=never).find(address)


def test_denied_networks_hold_for_every_host_that_is_asked():
    asked = []

    def local(host, port, timeout):
        asked.append(host)
        return [(2, 1, 6, "", ("127.0.0.1", 1))]

    search = discovery(resolve=local, find_service=lambda *_: [("srv.example.com", 8443)])
    search.terms = ConnectionSettings(
        host="", port=0, security=Security.IMPLICIT_TLS, denied_networks=("127.0.0.0/8",)
    )

    with pytest.raises(LocationUnknown) as failed:
        search.find("ada@example.com")

    assert set(asked) == {"example.com", "autodiscover.example.com", "srv.example.com"}
    assert failed.value.detail.count("denied network") == len(asked)


@pytest.mark.parametrize(
    ("host", "asked"),
    [
        ("mail.example.com", True),
        ("autodiscover-s.outlook.com", True),
        ("evil.example", False),
        ("notexample.com", False),
        ("evil-outlook.com", False),
    ],
)
def test_an_unprotected_answer_may_not_lead_credentials_astray(host, asked):
    met = []

    def note(name, port, timeout):
        met.append(name)
        raise HostNotFound(f"the host {name} does not exist")

    search = discovery(resolve=note, find_service=lambda *_: [(host, 443)])
    with pytest.raises(LocationUnknown):
        search.find("ada@example.com")

    assert (host in met) is asked


def test_hosts_given_by_hand():
    look_up = resolver({"a.example": "127.0.0.1:8443", "a.example:80": "127.0.0.1:8080"})

    assert look_up("a.example", 443, 5)[0][4] == ("127.0.0.1", 8443)
    assert look_up("a.example", 80, 5)[0][4] == ("127.0.0.1", 8080)


def test_a_channel_shows_where_it_leads():
    terms = ConnectionSettings(host="", port=0, security=Security.PLAIN, credentials=ADA)

    assert repr(Channel(URL, terms)) == f"<Channel {URL}>"
