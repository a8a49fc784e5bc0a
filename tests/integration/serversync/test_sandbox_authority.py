"""The sandbox's token authority refuses what a strict one refuses, and goes wrong when told to."""

import base64
import json
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from mailboxes.protocols import oauth
from mailboxes.protocols.http import Reach, ask
from serversync.sandbox import control
from serversync.sandbox.control import Switchboard
from serversync.sandbox.servers import running_sandbox

pytestmark = [pytest.mark.integration, pytest.mark.database("sqlite")]

ADA = "ada@sandbox.example"
BACK = "https://console.example/back"
VERIFIER = "v" * 43


@pytest.fixture(scope="module")
def running():
    with running_sandbox(accounts={ADA: "ada-password"}) as sandbox:
        sandbox.authority.add_client("client", "secret", [BACK])
        sandbox.authority.add_client("public", "", [BACK])
        yield sandbox


@pytest.fixture
def sandbox(running):
    yield running
    running.authority.switches.__init__()


@pytest.fixture
def call(sandbox):
    def post(path, headers=None, **form):
        url = f"{sandbox.authority_url}/{path}"
        answer = ask("POST", url, Reach(ca_pem=sandbox.ca_pem), form=form, headers=headers)
        return answer.status, json.loads(answer.body or b"{}")

    return post


@pytest.fixture
def token(call):
    return lambda **form: call("token", client_id="client", client_secret="secret", **form)


def asked(**changes):
    return {
        "response_type": "code",
        "client_id": "client",
        "redirect_uri": BACK,
        "scope": "mail openid",
        "state": "s",
        "code_challenge": oauth.challenge_of(VERIFIER),
        "code_challenge_method": "S256",
    } | changes


def authorize(sandbox, **changes):
    form = asked(address=ADA, password="ada-password", decision="allow") | changes
    reach = Reach(ca_pem=sandbox.ca_pem)
    return ask("POST", f"{sandbox.authority_url}/authorize", reach, form=form)


def code(sandbox, **changes):
    query = parse_qs(urlsplit(authorize(sandbox, **changes).headers["Location"]).query)
    return query["code"][0]


def redeem(token, code, **changes):
    form = {"redirect_uri": BACK, "code_verifier": VERIFIER} | changes
    return token(grant_type="authorization_code", code=code, **form)


def test_the_page_asks_for_the_password_and_escapes_what_it_repeats(sandbox):
    query = urlencode(asked(scope='mail"><script>', login_hint=ADA))
    url = f"{sandbox.authority_url}/authorize?{query}"
    page = ask("GET", url, Reach(ca_pem=sandbox.ca_pem)).body.decode()
    assert 'type="password"' in page
    assert f'value="{ADA}"' in page
    assert "<script>" not in page


def test_a_wrong_password_gives_no_code(sandbox):
    answer = authorize(sandbox, password="wrong")
    assert answer.status == 200
    assert b"Wrong address or password" in answer.body


@pytest.mark.parametrize("back", [f"{BACK}/", f"{BACK}?x=1", "https://elsewhere.example/", ""])
def test_the_browser_is_sent_to_registered_addresses_only(sandbox, back):
    answer = authorize(sandbox, redirect_uri=back)
    assert answer.status == 400
    assert "Location" not in answer.headers


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"code_challenge": ""}, "invalid_request"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"decision": "deny"}, "access_denied"),
    ],
)
def test_what_is_missing_is_told_to_the_client(sandbox, changes, error):
    where = urlsplit(authorize(sandbox, **changes).headers["Location"])
    assert parse_qs(where.query)["error"] == [error]
    assert parse_qs(where.query)["state"] == ["s"]


@pytest.mark.parametrize(
    "changes", [{"code_verifier": "w" * 43}, {"redirect_uri": "https://other.example"}]
)
def test_a_code_fits_its_verifier_and_address(sandbox, token, changes):
    status, answer = redeem(token, code(sandbox), **changes)
    assert (status, answer["error"]) == (400, "invalid_grant")


def test_a_code_used_twice_ends_what_came_of_it(sandbox, token):
    once = code(sandbox)
    _, answer = redeem(token, once)
    assert sandbox.authority.introspect(answer["access_token"]).address == ADA
    assert redeem(token, once)[0] == 400
    assert sandbox.authority.introspect(answer["access_token"]) is None


def test_a_refresh_token_used_twice_ends_what_came_of_it(sandbox, token):
    access, refresh = sandbox.authority.sign_in(ADA, "client")
    status, answer = token(grant_type="refresh_token", refresh_token=refresh)
    assert status == 200
    assert answer["refresh_token"] != refresh
    assert token(grant_type="refresh_token", refresh_token=refresh)[0] == 400
    status, error = token(grant_type="refresh_token", refresh_token=answer["refresh_token"])
    assert (status, error["error"]) == (400, "invalid_grant")
    assert sandbox.authority.introspect(access) is None


def test_a_refresh_grants_no_more_than_before(sandbox, token):
    _, refresh = sandbox.authority.sign_in(ADA, "client", "mail")
    status, answer = token(grant_type="refresh_token", refresh_token=refresh, scope="mail admin")
    assert (status, answer["error"]) == (400, "invalid_scope")


def test_clients_show_their_secret_in_either_way(sandbox, call):
    form = {"grant_type": "client_credentials", "scope": "mail"}
    pair = base64.b64encode(b"client:secret").decode()
    assert call("token", {"Authorization": f"Basic {pair}"}, **form)[0] == 200
    for wrong in ({}, {"client_id": "client"}, {"client_id": "client", "client_secret": "x"}):
        status, answer = call("token", **form, **wrong)
        assert (status, answer["error"]) == (401, "invalid_client")
    status, answer = call("token", client_id="public", **form)
    assert (status, answer["error"]) == (400, "unauthorized_client")


def test_an_application_has_no_address(sandbox, token):
    _, answer = token(grant_type="client_credentials", scope="https://outlook.example/.default")
    grant = sandbox.authority.introspect(answer["access_token"])
    assert (grant.address, grant.is_application) == ("", True)
    assert "refresh_token" not in answer


def test_a_revoked_refresh_token_takes_all_with_it(sandbox, call):
    access, refresh = sandbox.authority.sign_in(ADA, "client")
    stranger = {"client_id": "public", "token": refresh}
    assert call("revoke", **stranger)[0] == 200
    assert sandbox.authority.introspect(access)
    assert call("revoke", client_id="client", client_secret="secret", token=refresh)[0] == 200
    assert sandbox.authority.introspect(access) is None


def test_switches_are_thrown_over_the_control_port(sandbox, token):
    with Switchboard(sandbox) as board:
        control.ask(board.port, do="authority", access_seconds=5, fail=429, failures=1)
        with pytest.raises(ValueError, match="no switch"):
            control.ask(board.port, do="authority", unknown=1)
    form = {"grant_type": "client_credentials", "scope": "mail"}
    assert token(**form)[0] == 429
    status, answer = token(**form)
    assert (status, answer["expires_in"]) == (200, 5)


def test_sign_ins_outlive_a_restart(tmp_path):
    with running_sandbox(tmp_path, accounts={ADA: "p"}) as first:
        first.authority.add_client("client", "secret")
        access, _ = first.authority.sign_in(ADA, "client")
        port = first.ports["authority"]
    with running_sandbox(tmp_path) as second:
        assert second.authority.introspect(access).address == ADA
        assert second.ports["authority"] == port
        # Only what it is known by is kept.
        assert access.encode() not in (tmp_path / "authority.sqlite3").read_bytes()


def test_every_account_of_the_sandbox_may_sign_in(sandbox):
    """Accounts made later, too: their passwords are asked for when somebody signs in."""
    sandbox.store.add_account("late@sandbox.example", "late-password")
    assert code(sandbox, address="late@sandbox.example", password="late-password")
