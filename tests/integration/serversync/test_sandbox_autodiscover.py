"""Autodiscover of the sandbox's Exchange server, as three clients ask it: over SOAP, as POX, and ours."""

import http.client
from datetime import UTC, datetime
from xml.etree import ElementTree

import pytest
import requests
from exchangelib import Configuration, Credentials
from exchangelib.autodiscover.protocol import AutodiscoverProtocol
from exchangelib.errors import (
    AutoDiscoverFailed,
    ErrorInternalServerError,
    ErrorNonExistentMailbox,
    RedirectError,
    TransportError,
    UnauthorizedError,
)
from exchangelib.properties import UserResponse
from exchangelib.transport import BASIC, NTLM

from mailboxes.protocols.base import ConnectionSettings, Security
from mailboxes.protocols.base import Credentials as Login
from mailboxes.protocols.ews.authentication import Basic
from mailboxes.protocols.ews.discovery import Discovery
from mailboxes.protocols.ews.transport import resolver
from serversync.sandbox.control import Switchboard, ask
from serversync.sandbox.ews.autodiscover import Outcome, Rule
from serversync.sandbox.servers import running_sandbox

# No database is asked: once is enough.
pytestmark = [pytest.mark.integration, pytest.mark.database("sqlite")]

ADA, ALIAS = "ada@sandbox.example", "first@sandbox.example"
NAMES = {"sandbox.example", "autodiscover.sandbox.example"}
ELSEWHERE = "https://autodiscover.elsewhere.example/autodiscover/autodiscover.svc"
PASSWORD = "secret of ada"
SCHEMA = "http://schemas.microsoft.com/exchange/autodiscover/outlook/responseschema/2006a"
POX = (
    '<Autodiscover xmlns="http://schemas.microsoft.com/exchange/autodiscover/outlook/requestschema/2006">'
    "<Request><EMailAddress>{}</EMailAddress><AcceptableResponseSchema>{}</AcceptableResponseSchema>"
    "</Request></Autodiscover>"
)


@pytest.fixture(scope="module")
def running():
    with running_sandbox(allow_plain_login=True) as sandbox:
        sandbox.exchange.add_account(ADA, PASSWORD, aliases=[ALIAS])
        yield sandbox


@pytest.fixture
def sandbox(running, tmp_path, monkeypatch):
    (tmp_path / "ca.pem").write_text(running.ca_pem)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "ca.pem"))
    yield running
    running.exchange.site.autodiscover.clear()


def url(sandbox, file: str) -> str:
    return f"https://localhost:{sandbox.ports['ews']}/autodiscover/autodiscover.{file}"


def soap(sandbox, address=ADA, password=PASSWORD, auth_type=BASIC) -> UserResponse:
    client = AutodiscoverProtocol(
        config=Configuration(
            service_endpoint=url(sandbox, "svc"),
            credentials=Credentials(ADA, password),
            auth_type=auth_type,
        )
    )
    return client.get_user_settings(user=address)


def pox(sandbox, address=ADA, schema=SCHEMA, data=None) -> dict[str, str]:
    """What the answer says, by the names of its elements."""
    data = POX.format(address, schema) if data is None else data
    answer = requests.post(url(sandbox, "xml"), data, auth=(ADA, PASSWORD), timeout=10)
    assert answer.status_code == 200
    root = ElementTree.fromstring(answer.content)
    return {element.tag.rpartition("}")[2]: (element.text or "") for element in root.iter()}


def say(sandbox, outcome: Outcome, **where: str) -> None:
    sandbox.exchange.site.autodiscover.append(Rule(outcome=outcome, **where))


def discovery(sandbox) -> Discovery:
    """Our client, for which both names of the domain lead here."""
    password = Login(ADA, PASSWORD)
    place = f"127.0.0.1:{sandbox.ports['ews']}"
    return Discovery(
        ConnectionSettings(
            host="",
            port=0,
            security=Security.IMPLICIT_TLS,
            credentials=password,
            timeout_seconds=10,
            ca_pem=sandbox.ca_pem,
        ),
        proof=lambda: Basic(password),
        now=lambda: datetime.now(UTC),
        resolve=resolver(dict.fromkeys(NAMES, place)),
        find_service=lambda name, seconds: [],
    )


# -- what is true ----------------------------------------------------------------------------------


@pytest.mark.parametrize("auth_type", [BASIC, NTLM, None])
def test_it_tells_where_the_web_service_is(sandbox, auth_type):
    told = soap(sandbox, auth_type=auth_type)
    told.raise_errors()
    assert told.ews_url == sandbox.exchange.url
    assert told.autodiscover_smtp_address == ADA
    assert told.version.api_version == sandbox.exchange.site.release.schema


def test_an_alias_leads_to_the_primary_address(sandbox):
    assert soap(sandbox, ALIAS).autodiscover_smtp_address == ADA
    assert pox(sandbox, ALIAS)["AutoDiscoverSMTPAddress"] == ADA


def test_outlook_is_told_the_same(sandbox):
    told = pox(sandbox)
    assert (told["Action"], told["EwsUrl"]) == ("settings", sandbox.exchange.url)


def test_whoever_asks_signs_in(sandbox):
    with pytest.raises(UnauthorizedError):
        soap(sandbox, password="wrong")
    assert requests.get(url(sandbox, "xml"), timeout=10).status_code == 401


def test_unprotected_it_only_points_to_the_protected_service(sandbox):
    line = http.client.HTTPConnection("localhost", sandbox.ports["ews-plain"], timeout=10)
    line.request("GET", "/autodiscover/autodiscover.xml", headers={"Host": "mail.sandbox.example"})
    answer = line.getresponse()
    line.close()
    port = sandbox.ports["ews"]
    assert answer.status == 302
    assert (
        answer.headers["Location"]
        == f"https://mail.sandbox.example:{port}/autodiscover/autodiscover.xml"
    )


# -- what is wrong ---------------------------------------------------------------------------------


def test_unknown_users_and_domains_are_told_apart(sandbox):
    with pytest.raises(ErrorNonExistentMailbox):
        soap(sandbox, "nobody@sandbox.example").raise_errors()
    with pytest.raises(AutoDiscoverFailed, match="InvalidDomain"):
        soap(sandbox, "ada@elsewhere.example").raise_errors()
    assert pox(sandbox, "nobody@sandbox.example")["ErrorCode"] == "500"


@pytest.mark.parametrize(
    ("data", "code"),
    [("", "600"), ("<no", "600"), ("<Autodiscover/>", "600"), (POX.format(ADA, "mobile"), "601")],
)
def test_outlook_is_told_what_is_wrong_with_its_request(sandbox, data, code):
    assert pox(sandbox, data=data)["ErrorCode"] == code


@pytest.mark.parametrize(
    "data", ["", "<no", '<!DOCTYPE a SYSTEM "file:///etc/passwd"><a/>', "<a/>"]
)
def test_noise_over_soap_is_a_fault(sandbox, data):
    answer = requests.post(url(sandbox, "svc"), data, auth=(ADA, PASSWORD), timeout=10)
    assert (answer.status_code, b"Fault" in answer.content) == (500, True)


def test_there_is_nothing_beside_it(sandbox):
    answer = requests.get(url(sandbox, "json"), timeout=10)
    assert answer.status_code == 404


# -- on request ------------------------------------------------------------------------------------


def test_redirects_to_another_address(sandbox):
    say(sandbox, Outcome.REDIRECT_ADDRESS, target=ALIAS, who=ADA)
    assert soap(sandbox).redirect_address == ALIAS
    told = pox(sandbox)
    assert (told["Action"], told["RedirectAddr"]) == ("redirectAddr", ALIAS)
    assert soap(sandbox, ALIAS).ews_url == sandbox.exchange.url


def test_redirects_to_another_service(sandbox):
    say(sandbox, Outcome.REDIRECT_URL, target=ELSEWHERE, who="@sandbox.example")
    assert soap(sandbox).redirect_url == ELSEWHERE
    told = pox(sandbox)
    assert (told["Action"], told["RedirectUrl"]) == ("redirectUrl", ELSEWHERE)


def test_redirects_by_http_before_anybody_signs_in(sandbox):
    say(sandbox, Outcome.MOVED, target=ELSEWHERE)
    with pytest.raises(RedirectError) as redirect:
        soap(sandbox, password="wrong")
    assert redirect.value.url == ELSEWHERE


@pytest.mark.parametrize(
    ("outcome", "error"),
    [
        (Outcome.UNKNOWN_USER, ErrorNonExistentMailbox),
        (Outcome.UNKNOWN_DOMAIN, AutoDiscoverFailed),
        (Outcome.ERROR, ErrorInternalServerError),
        (Outcome.ABSENT, TransportError),
    ],
)
def test_it_refuses(sandbox, outcome, error):
    say(sandbox, outcome)
    with pytest.raises(error):
        soap(sandbox).raise_errors()


def test_it_is_slow(sandbox):
    say(sandbox, Outcome.SLOW, target="0.3")
    with pytest.raises(requests.ReadTimeout):
        requests.post(url(sandbox, "svc"), timeout=0.1)
    assert soap(sandbox).ews_url == sandbox.exchange.url


def test_only_one_language_may_be_there(sandbox):
    say(sandbox, Outcome.ABSENT, language="soap")
    with pytest.raises(TransportError):
        soap(sandbox)
    assert pox(sandbox)["Action"] == "settings"


def test_rules_are_given_from_outside(sandbox):
    with Switchboard(sandbox) as switchboard:
        ask(switchboard.port, do="autodiscover", outcome="redirect_address", target=ALIAS)
        assert soap(sandbox).redirect_address == ALIAS
        ask(switchboard.port, do="clear")
        assert soap(sandbox).redirect_address is None
        with pytest.raises(ValueError, match="outcome is one of settings"):
            ask(switchboard.port, do="autodiscover", outcome="lost")


# -- by its own name -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(NAMES))
def test_our_own_client_finds_it_by_name_over_verified_tls(sandbox, name):
    """The certificate is good for the names at which clients look."""
    (other,) = NAMES - {name}
    say(sandbox, Outcome.ABSENT, host=other)
    found = discovery(sandbox).find(ADA)
    assert (found.url, found.address) == (sandbox.exchange.url, ADA)
