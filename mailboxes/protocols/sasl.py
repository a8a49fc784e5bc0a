"""Logging in with a token: OAUTHBEARER (RFC 7628) and XOAUTH2, for IMAP, POP3 and SMTP alike.

client                                   server
AUTH mechanism [initial response]   ->
                                    <-   it takes it: logged in
                                    <-   or a challenge, whose JSON says what is wrong
0x01 (OAUTHBEARER), nothing (XOAUTH2) ->
                                    <-   its refusal
"""

import base64
import json
from collections.abc import Callable, Collection

from mailboxes.protocols.base import Bearer, ConnectionSettings
from mailboxes.protocols.errors import TokenRefused
from mailboxes.protocols.faultkinds import FaultKind
from mailboxes.protocols.line import Line, has_controls
from mailboxes.protocols.oauth import safe_words
from mailboxes.protocols.phases import Phase, Watcher, watched

OAUTHBEARER, XOAUTH2 = "OAUTHBEARER", "XOAUTH2"
MECHANISMS = (OAUTHBEARER, XOAUTH2)  # the standard before what it was made of


class Tokens:
    """The token of one conversation, and the one renewal that a refusal is worth."""

    def __init__(self, bearer: Bearer, watcher: Watcher | None) -> None:
        self._bearer = bearer
        self._watcher = watcher
        self._token = ""

    def __repr__(self) -> str:
        return f"<Tokens of {self._bearer.username}>"

    def fetch(self) -> None:
        """Before a line is opened, which would wait meanwhile."""
        with watched(self._watcher, Phase.AUTHORIZE):
            self._token = self._bearer.token("")

    def log_in(self, line: Line, attempt: "Callable[[str], str | None]") -> None:
        """`attempt` shows the server a token: None if it took it, else the reason that it gave.
        Raises TokenRefused, and whatever `attempt` raises."""
        for mark in (self._token, f"user={self._bearer.username}"):
            if has_controls(mark):
                raise TokenRefused("the user name or token holds control characters")
        token, self._token = self._token, ""
        hide(line, self._bearer, token)
        words = attempt(token)
        if words is None:
            return
        with watched(self._watcher, Phase.AUTHORIZE):
            renewed = self._bearer.token(token)
        if renewed != token:
            hide(line, self._bearer, renewed)
            words = attempt(renewed)
        if words is not None:
            raise TokenRefused(words or "the server gave no reason")


def fetched(settings: ConnectionSettings, watcher: Watcher | None) -> Tokens | None:
    """None where the account opens by something else than a token."""
    if not isinstance(settings.credentials, Bearer):
        return None
    tokens = Tokens(settings.credentials, watcher)
    tokens.fetch()
    return tokens


def hide(line: Line, bearer: Bearer, token: str) -> None:
    """Nothing that the server says is shown with the token in it, in any form in which it was sent."""
    settings = line.settings
    forms = [base64.b64encode(response(each, bearer, token, settings)) for each in MECHANISMS]
    line.secrets += [*(form.decode() for form in forms), token]


def choose(offered: Collection[str]) -> str:
    """Raises TokenRefused where the server knows neither."""
    for mechanism in MECHANISMS:
        if mechanism in offered:
            return mechanism
    raise TokenRefused(
        "the server offers no login by token (OAUTHBEARER, XOAUTH2)",
        fault=FaultKind.TOKENS_UNKNOWN,
    )


def response(mechanism: str, bearer: Bearer, token: str, settings: ConnectionSettings) -> bytes:
    """What shows the token, not yet in base64."""
    if mechanism == XOAUTH2:
        return f"user={bearer.username}\x01auth=Bearer {token}\x01\x01".encode()
    name = bearer.username.replace("=", "=3D").replace(",", "=2C")
    host = settings.host.strip().rstrip(".")
    return f"n,a={name},\x01host={host}\x01port={settings.port}\x01auth=Bearer {token}\x01\x01".encode()


def consent(mechanism: str) -> bytes:
    """The answer to the challenge that tells an error; without one the refusal doesn't come."""
    return b"\x01" if mechanism == OAUTHBEARER else b""


def told(challenge: bytes) -> str:
    """What the error's JSON says, fit to show: "invalid_token", "401 https://mail.google.com/"."""
    try:
        values = json.loads(base64.b64decode(challenge, validate=False))
    except (ValueError, RecursionError):
        return ""
    if not isinstance(values, dict):
        return ""
    parts = (values.get("status"), values.get("scope"))
    return safe_words(" ".join(part for part in parts if isinstance(part, str)))
