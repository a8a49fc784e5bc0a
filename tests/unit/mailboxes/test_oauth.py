"""What authorities answer, judged; and what a token looks like on the line."""

import base64
import json
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, quote, urlsplit

import pytest

from mailboxes.protocols import oauth, sasl
from mailboxes.protocols.base import Bearer, ConnectionSettings, Security
from mailboxes.protocols.errors import (
    AuthorityUnavailable,
    ClientRefused,
    ConsentMissing,
    HostNotFound,
    InsecureConnection,
    SignInExpired,
    TokenRefused,
)
from mailboxes.protocols.http import Answer, Reach, require_https
from mailboxes.protocols.oauth import Client

NOW = datetime(2026, 1, 5, 8, 30, tzinfo=UTC)
ENDPOINT = "https://id.example.com/token"
CLIENT = Client("client", "the-client-secret")


@pytest.fixture
def answers(monkeypatch):
    """What the authority says next; the forms it got."""
    given, asked = [], []

    def ask(method, url, reach, *, form=None, headers=None):
        asked.append({**(form or {}), **(headers or {})})
        return given.pop(0)

    monkeypatch.setattr(oauth, "ask", ask)
    return given, asked


def answer(status, values=None, body=None, **headers):
    text = json.dumps(values or {}).encode() if body is None else body
    return Answer(status, {name.replace("_", "-"): value for name, value in headers.items()}, text)


def refresh():
    return oauth.refresh(ENDPOINT, CLIENT, Reach(), NOW, token="the-refresh-token")


def id_token(**claims):
    payload = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"e30.{payload}.x"


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        (answer(400, {"error": "invalid_grant"}), SignInExpired),
        (
            answer(400, {"error": "invalid_grant", "error_description": "AADSTS65001: no consent"}),
            ConsentMissing,
        ),
        (answer(400, {"error": "interaction_required"}), ConsentMissing),
        (answer(401, {"error": "invalid_client"}), ClientRefused),
        (answer(400, {"error": "invalid_scope"}), ClientRefused),
        (answer(400, {"error": "something_new"}), ClientRefused),
        (answer(400, {"error": "temporarily_unavailable"}), AuthorityUnavailable),
        (answer(429, {"error": "invalid_grant"}), AuthorityUnavailable),
        (answer(503, body=b"<html>"), AuthorityUnavailable),
        (answer(302, body=b"", Location="https://elsewhere.example.com"), AuthorityUnavailable),
        (answer(404, body=b"not here"), AuthorityUnavailable),
        (answer(400, body=b"[" * 100_000), AuthorityUnavailable),
        (answer(200, body=b"no json"), AuthorityUnavailable),
        (answer(200, {"token_type": "Bearer"}), AuthorityUnavailable),
        (answer(200, {"access_token": "x", "token_type": "mac"}), AuthorityUnavailable),
        (answer(200, {"access_token": "x\x01auth=Bearer y"}), AuthorityUnavailable),
        (answer(200, {"access_token": "x" * 70_000}), AuthorityUnavailable),
        (answer(200, {"access_token": 5}), AuthorityUnavailable),
    ],
)
def test_every_answer_has_a_meaning(answers, said, kind):
    answers[0].extend([said, said])
    with pytest.raises(kind) as caught:
        refresh()
    assert type(caught.value) is kind


def test_no_error_repeats_what_was_sent(answers):
    words = "client the-client-secret sent " + "A" * 60 + " to\r\nus"
    answers[0].append(answer(400, {"error": "invalid_scope", "error_description": words}))
    with pytest.raises(ClientRefused) as caught:
        refresh()
    assert str(caught.value) == (
        "ClientRefused: id.example.com: 400 invalid_scope client *** sent *** to us"
    )


@pytest.mark.parametrize("token", ["short!1", "M.R3*a!b$c", "a%b c"])
def test_nor_a_token_that_looks_like_none(answers, token):
    for said in (token, quote(token, safe="")):
        words = {"error": "invalid_grant", "error_description": f"{said} is over"}
        answers[0].append(answer(400, words))
        with pytest.raises(SignInExpired) as caught:
            oauth.refresh(ENDPOINT, Client("client", ""), Reach(), NOW, token=token)
        assert caught.value.detail.endswith("*** is over")


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("30", 30.0),
        ("999999999", 86_400.0),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0),
        ("soon", None),
        ("", None),
    ],
)
def test_the_authoritys_patience_is_kept(answers, value, seconds):
    answers[0].append(answer(429, Retry_After=value))
    with pytest.raises(AuthorityUnavailable) as caught:
        refresh()
    assert caught.value.hint_seconds == seconds


@pytest.mark.parametrize(
    ("expires_in", "lifetime"),
    [
        (3600, timedelta(hours=1)),
        ("3599", timedelta(seconds=3599)),
        (3600.0, timedelta(hours=1)),
        (None, oauth.DEFAULT_LIFETIME),
        ("soon", oauth.DEFAULT_LIFETIME),
        (-5, oauth.DEFAULT_LIFETIME),
        (True, oauth.DEFAULT_LIFETIME),
        (10**9, oauth.LONGEST_LIFETIME),
    ],
)
def test_a_token_ends_when_it_was_said_to(answers, expires_in, lifetime):
    values = {"access_token": "a", "expires_in": expires_in, "refresh_token": "r"}
    answers[0].append(answer(200, values))
    tokens = refresh()
    assert tokens.expires_at == NOW + lifetime
    assert (tokens.access, tokens.refresh) == ("a", "r")
    assert answers[1][0]["refresh_token"] == "the-refresh-token"


def test_a_client_that_is_not_known_by_the_form_shows_itself_by_basic(answers):
    answers[0].extend(
        [answer(401, {"error": "invalid_client"}), answer(200, {"access_token": "a"})]
    )
    client = Client("the:client", "secret/1")
    oauth.client_credentials(ENDPOINT, client, Reach(), NOW, scope="mail")
    by_form, by_header = answers[1]
    assert (by_form["client_id"], by_form["client_secret"]) == ("the:client", "secret/1")
    pair = base64.b64encode(b"the%3Aclient:secret%2F1").decode()
    assert by_header["Authorization"] == f"Basic {pair}"
    assert "client_secret" not in by_header


def test_tokens_and_clients_print_no_secret():
    shown = repr(oauth.Tokens("the-token", NOW, "the-refresh", claims={"email": "x"})) + repr(
        CLIENT
    )
    assert "the-" not in shown


@pytest.mark.parametrize(
    ("claims", "accounts"),
    [
        ({"aud": "client", "email": "Ada@Example.com"}, ["ada@example.com"]),
        (
            {"aud": ["client"], "preferred_username": "ada@t.example", "email": "a@example.com"},
            ["a@example.com", "ada@t.example"],
        ),
        ({"aud": "somebody else", "email": "ada@example.com"}, []),
        ({"aud": "client", "email": 5}, []),
    ],
)
def test_who_signed_in_is_read_from_the_id_token(claims, accounts):
    found = oauth.claims_of(id_token(**claims), "client")
    assert oauth.accounts_in(found) == accounts


@pytest.mark.parametrize("text", [None, 5, "", "a.b", "a.b.c", "e30.W10.x", "e30.!!!.x"])
def test_what_is_no_id_token_says_nothing(text):
    assert oauth.claims_of(text, "client") == {}


def test_a_revoked_or_unknown_token_is_no_error(answers):
    answers[0].extend([answer(200), answer(400, {"error": "invalid_token"})])
    for _ in range(2):
        oauth.revoke(ENDPOINT, CLIENT, Reach(), token="t")
    answers[0].append(answer(503))
    with pytest.raises(AuthorityUnavailable):
        oauth.revoke(ENDPOINT, CLIENT, Reach(), token="t")


@pytest.mark.parametrize(
    ("named", "found"),
    [
        ("https://id.example.com/revoke", "https://id.example.com/revoke"),
        ("https://elsewhere.example.com/revoke", ""),
        ("http://id.example.com/revoke", ""),
    ],
)
def test_tokens_are_revoked_where_they_came_from_only(answers, named, found):
    answers[0].extend([answer(200, {"revocation_endpoint": named})] * 2)
    assert oauth.revocation_endpoint(ENDPOINT, Reach()) == found


def test_the_way_to_the_provider_keeps_what_the_endpoint_asks_for_itself():
    url = oauth.sign_in_url(
        "https://id.example.com/authorize?tenant=1#top",
        "client",
        redirect_uri="https://console.example.com/back?x=1",
        scope="mail",
        state="s&t",
        verifier="v",
        extra={"prompt": "consent"},
    )
    parts = urlsplit(url)
    asked = {name: values[0] for name, values in parse_qs(parts.query).items()}
    assert (asked["tenant"], asked["state"], asked["prompt"]) == ("1", "s&t", "consent")
    assert parts.fragment == ""


def test_pkce_is_that_of_the_standard():
    """RFC 7636, appendix B."""
    verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
    assert oauth.challenge_of(verifier) == "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
    assert 43 <= len(oauth.new_verifier()) <= 128


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("http://id.example.com/token", InsecureConnection),
        ("ftp://id.example.com/token", InsecureConnection),
        ("https:///token", HostNotFound),
        ("https://id.example.com:port/token", HostNotFound),
    ],
)
def test_only_https_is_asked(url, kind):
    with pytest.raises(kind):
        require_https(url)


# -- SASL ----------------------------------------------------------------------------------------

SETTINGS = ConnectionSettings(host="mail.example.com.", port=993, security=Security.IMPLICIT_TLS)


def test_the_standards_own_example_of_a_login():
    """RFC 7628, 4.1, with our host."""
    shown = sasl.response("OAUTHBEARER", Bearer("user@example.com", str), "vF9dft4qmT", SETTINGS)
    assert shown == (
        b"n,a=user@example.com,\x01host=mail.example.com\x01port=993\x01"
        b"auth=Bearer vF9dft4qmT\x01\x01"
    )


def test_a_name_can_not_end_its_field():
    shown = sasl.response("OAUTHBEARER", Bearer("a,b=c", str), "t", SETTINGS)
    assert shown.startswith(b"n,a=a=2Cb=3Dc,\x01")


def test_xoauth2_is_as_its_inventor_documents_it():
    shown = sasl.response(
        "XOAUTH2", Bearer("someuser@example.com", str), "ya29.vF9dft4qmT", SETTINGS
    )
    assert shown == b"user=someuser@example.com\x01auth=Bearer ya29.vF9dft4qmT\x01\x01"


def test_the_standard_comes_first():
    assert sasl.choose(["PLAIN", "XOAUTH2", "OAUTHBEARER"]) == "OAUTHBEARER"
    assert sasl.choose(["XOAUTH2"]) == "XOAUTH2"
    with pytest.raises(TokenRefused):
        sasl.choose(["PLAIN"])


@pytest.mark.parametrize(
    ("challenge", "words"),
    [
        (b'{"status":"invalid_token","scope":"mail"}', "invalid_token mail"),
        (
            b'{"status":"401","schemes":"bearer","scope":"https://mail.google.com/"}',
            "401 https://mail.google.com/",
        ),
        (b'{"status":5}', ""),
        (b"[]", ""),
        (b"no json", ""),
        (b"", ""),
    ],
)
def test_what_an_error_says_is_read(challenge, words):
    assert sasl.told(base64.b64encode(challenge)) == words


def test_what_is_not_base64_says_nothing():
    assert sasl.told(b"%%%") == ""
