"""Servers that say again what they were told: passwords and tokens must not get into errors by that."""

import base64
import logging
import traceback
from email.message import Message

import pytest

from mailboxes.protocols.base import AdapterOptions, Authentication, Bearer, Credentials
from mailboxes.protocols.errors import ServerError
from mailboxes.protocols.ews.access import ExchangeAccess
from mailboxes.protocols.ews.settings import Access, ExchangeSettings
from mailboxes.protocols.ews.transport import Answer, Channel
from mailboxes.protocols.phases import Phase

URL = "https://mail.example.com/EWS/Exchange.asmx"
ADA, PASSWORD, TOKENS = "ada@example.com", "correct horse battery", ("tok-1!short", "tok-2!short")
FAULT = (
    '<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body><s:Fault>'
    "<faultcode>s:ErrorInternalServerError</faultcode><faultstring>got {} \u202e\x85</faultstring>"
    "</s:Fault></s:Body></s:Envelope>"
)
SETTINGS = "<E><UserResponse><ErrorCode>{} \u202e</ErrorCode><RedirectTarget/></UserResponse></E>"


def soap_fault(said):
    return 500, "Error", {}, FAULT.format(said)


def refusal(said):
    return 401, f"Bad {said}", {"WWW-Authenticate": f"Basic {said}"}, f"got {said}"


def gateway(said):
    return 502, f"Bad {said}", {}, said


def elsewhere(said):
    return 302, "Found", {"Location": f"https://x.example/{said}"}, ""


def discovered(said):
    return 200, "OK", {}, SETTINGS.format(said)


def opening(credentials, **more):
    return ExchangeAccess(
        ExchangeSettings(
            **{
                "address": ADA,
                "access": Access.OWN,
                "authentication": Authentication.BASIC,
                "credentials": credentials,
                "url": URL,
            }
            | more
        ),
        AdapterOptions(),
        resolve=lambda *_: [],
        find_service=lambda *_: [("\u202eevil\x07.example.com", 443)],
    )


@pytest.fixture
def echo(monkeypatch):
    """Answers with what it was shown, in the given way."""

    def start(way):
        def exchange(channel, request):
            shown = request.headers.get("Authorization", "")
            status, reason, headers, body = way(shown.partition(" ")[2] or "nothing")
            if not shown and way is discovered:
                status, body = 401, ""
            message = Message()
            for name, value in headers.items():
                message[name] = value
            return Answer(status, reason, message, body.encode(), channel.place)

        monkeypatch.setattr(Channel, "connect", lambda _: None)
        monkeypatch.setattr(Channel, "exchange", exchange)

    return start


def everything_about(error):
    words = [str(error), repr(error), "".join(traceback.format_exception(error))]
    while error is not None:
        words += [str(error), repr(error), repr(vars(error))]
        error = error.__cause__ or error.__context__
    return " ".join(words)


@pytest.mark.rule("R1.9")
@pytest.mark.parametrize("way", [soap_fault, refusal, gateway, elsewhere, discovered])
@pytest.mark.parametrize("kind", ["password", "token"])
def test_what_a_server_says_again_is_not_told(echo, caplog, way, kind):
    caplog.set_level(logging.DEBUG)
    renewed = list(TOKENS)
    bearer = Bearer(ADA, lambda _: renewed.pop(0))
    credentials = bearer if kind == "token" else Credentials(ADA, PASSWORD)
    pair = base64.b64encode(f"{ADA}:{PASSWORD}".encode()).decode()
    echo(way)

    more = {"url": ""} if way is discovered else {}
    with pytest.raises(ServerError) as failed:
        opening(credentials, **more).open()

    told = everything_about(failed.value) + caplog.text
    for secret in (PASSWORD, pair, *TOKENS):
        assert secret not in told
    assert all(c.isprintable() for c in failed.value.detail)


def test_nor_in_a_later_request(echo):
    """Whatever becomes known while one talks."""
    access = opening(Bearer(ADA, lambda refused: TOKENS[1] if refused else TOKENS[0]))
    echo(refusal)
    with pytest.raises(ServerError):
        access.open()
    assert access._judge.clean(" ".join(TOKENS)) == "*** ***"
    assert "tok" not in str(access.translate(ValueError(TOKENS[1])))
    assert Phase.LOGIN
