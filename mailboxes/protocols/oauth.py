"""OAuth 2 as a client: codes and refresh tokens for tokens (RFC 6749, 7636, 7009), judged as errors of
the tree. And what a token looks like in SASL (RFC 7628, XOAUTH2).

Nothing here remembers anything. Neither errors nor `repr` hold a secret, a token or a code.
"""

import base64
import hashlib
import json
import re
import secrets
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import parse_qsl, quote, quote_plus, urlencode, urlsplit, urlunsplit

from mailboxes.protocols.errors import (
    AuthorityUnavailable,
    ClientRefused,
    ConsentMissing,
    ServerError,
    SignInExpired,
    SignInNeeded,
    TransientError,
)
from mailboxes.protocols.http import Answer, Reach, ask, require_https

DEFAULT_LIFETIME = timedelta(minutes=30)  # RFC 6749 only recommends that the authority tells it
LONGEST_LIFETIME = timedelta(days=30)
LONGEST_TOKEN = 64 * 1024
HIDDEN = ("code", "code_verifier", "refresh_token")  # what no error repeats of a form

#: "Error" of the answer -> what it means for us (RFC 6749, 5.2; OpenID Connect Core, 3.1.2.6).
CLIENT_FAULTS = frozenset(
    {
        "invalid_client",
        "unauthorized_client",
        "invalid_scope",
        "unsupported_grant_type",
        "invalid_request",
        "invalid_resource",
        "invalid_target",
    }
)
CONSENT_FAULTS = frozenset({"consent_required", "interaction_required", "access_denied"})
PASSING_FAULTS = frozenset({"temporarily_unavailable", "server_error", "slow_down"})
#: Microsoft hides these behind invalid_grant: nobody has consented yet, or must do so interactively.
CONSENT_NUMBERS = re.compile(r"\bAADSTS(?:65001|65004|90094|900941)\b")


@dataclass(frozen=True, slots=True)
class Client:
    """`secret` may be empty: a public client, which PKCE alone protects."""

    id: str
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Tokens:
    """What an authority gave out. `refresh`: "" where it gave no new one. `claims`: of the id token,
    empty without."""

    access: str = field(repr=False)
    expires_at: datetime
    refresh: str = field(repr=False, default="")
    scope: str = ""
    claims: Mapping[str, Any] = field(repr=False, default_factory=dict)


# -- signing in ----------------------------------------------------------------------------------


def new_verifier() -> str:
    return secrets.token_urlsafe(48)


def challenge_of(verifier: str) -> str:
    """RFC 7636, S256."""
    return _unpadded(hashlib.sha256(verifier.encode("ascii")).digest())


def sign_in_url(
    endpoint: str,
    client_id: str,
    *,
    redirect_uri: str,
    scope: str,
    state: str,
    verifier: str,
    extra: Mapping[str, str],
) -> str:
    """Where to send the person's browser. Raises InsecureConnection unless it is https."""
    require_https(endpoint)
    parts = urlsplit(endpoint)
    query = dict(parse_qsl(parts.query)) | {
        "response_type": "code",
        "client_id": client_id,
        "redirect_uri": redirect_uri,
        "scope": scope,
        "state": state,
        "code_challenge": challenge_of(verifier),
        "code_challenge_method": "S256",
        **extra,
    }
    return urlunsplit(parts._replace(query=urlencode(query), fragment=""))


# -- the token endpoint --------------------------------------------------------------------------


def redeem_code(
    endpoint: str,
    client: Client,
    reach: Reach,
    now: datetime,
    *,
    code: str,
    verifier: str,
    redirect_uri: str,
) -> Tokens:
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": redirect_uri,
        "code_verifier": verifier,
    }
    try:
        return _request_tokens(endpoint, client, reach, now, form)
    except SignInExpired as error:  # the code, not a refresh token
        raise SignInNeeded(error.detail) from error


def refresh(
    endpoint: str, client: Client, reach: Reach, now: datetime, *, token: str, scope: str = ""
) -> Tokens:
    """Raises SignInExpired where the authority takes the refresh token no more."""
    form = {"grant_type": "refresh_token", "refresh_token": token}
    if scope:
        form["scope"] = scope
    return _request_tokens(endpoint, client, reach, now, form)


def client_credentials(
    endpoint: str, client: Client, reach: Reach, now: datetime, *, scope: str
) -> Tokens:
    form = {"grant_type": "client_credentials"}
    if scope:
        form["scope"] = scope
    try:
        return _request_tokens(endpoint, client, reach, now, form)
    except SignInNeeded as error:  # there is nobody who could sign in
        raise ClientRefused(error.detail) from error


def revoke(endpoint: str, client: Client, reach: Reach, *, token: str) -> None:
    """RFC 7009. A token that the authority doesn't know counts as revoked."""
    answer = _ask(endpoint, client, reach, {"token": token})
    if answer.status != 200 and _error_of(answer) not in ("invalid_token", "invalid_grant"):
        raise _refusal(answer, endpoint, (client.secret, token))


def revocation_endpoint(token_endpoint: str, reach: Reach) -> str:
    """Where an authority says that it revokes tokens (RFC 8414), "" if it doesn't say, or names
    another host than the one that the profile trusts."""
    parts = urlsplit(token_endpoint)
    for name in ("oauth-authorization-server", "openid-configuration"):
        url = urlunsplit((parts.scheme, parts.netloc, f"/.well-known/{name}", "", ""))
        with _authority_away():
            answer = ask("GET", url, reach)
        found = _json(answer).get("revocation_endpoint") if answer.status == 200 else None
        if isinstance(found, str) and urlsplit(found)[:2] == parts[:2]:
            return found
    return ""


def _request_tokens(
    endpoint: str, client: Client, reach: Reach, now: datetime, form: dict[str, str]
) -> Tokens:
    answer = _ask(endpoint, client, reach, form)
    if answer.status != 200:
        hidden = [form[name] for name in HIDDEN if name in form]
        raise _refusal(answer, endpoint, (client.secret, *hidden))
    values = _json(answer)
    access = values.get("access_token")
    kind = str(values.get("token_type") or "bearer").lower()
    if not _is_token(access) or kind != "bearer":
        raise AuthorityUnavailable(f"{host_of(endpoint)} gives out no token that can be used")
    renewed = values.get("refresh_token")
    return Tokens(
        access=str(access),
        expires_at=now + _lifetime(values.get("expires_in")),
        refresh=str(renewed) if _is_token(renewed) else "",
        scope=str(values.get("scope") or ""),
        claims=claims_of(values.get("id_token"), client.id),
    )


def _ask(endpoint: str, client: Client, reach: Reach, form: dict[str, str]) -> Answer:
    """The client shows itself in the form, as Google and Microsoft document it. Every authority takes
    HTTP Basic (RFC 6749, 2.3.1) and some nothing else, so whoever isn't known that way tries it, too.

    Whatever happens on the way is the authority's fault and not the mail server's."""
    if not client.secret:
        return _post(endpoint, reach, {**form, "client_id": client.id})
    shown = {"client_id": client.id, "client_secret": client.secret}
    answer = _post(endpoint, reach, {**form, **shown})
    if _error_of(answer) == "invalid_client":
        pair = f"{quote_plus(client.id)}:{quote_plus(client.secret)}"
        basic = f"Basic {base64.b64encode(pair.encode()).decode()}"
        return _post(endpoint, reach, form, {"Authorization": basic})
    return answer


def _post(
    endpoint: str, reach: Reach, form: dict[str, str], headers: Mapping[str, str] | None = None
) -> Answer:
    with _authority_away():
        return ask("POST", endpoint, reach, form=form, headers=headers)


@contextmanager
def _authority_away() -> Iterator[None]:
    try:
        yield
    except TransientError as error:
        raise AuthorityUnavailable(error.detail, hint_seconds=error.hint_seconds) from error


# -- judging answers -----------------------------------------------------------------------------


def _refusal(answer: Answer, endpoint: str, hidden: Iterable[str]) -> ServerError:
    host, name = host_of(endpoint), _error_of(answer)
    words = _words(answer, hidden)
    text = f"{host}: {answer.status} {name} {words}".strip()
    if answer.status == 429 or answer.status >= 500 or name in PASSING_FAULTS:
        return AuthorityUnavailable(text, hint_seconds=_patience(answer))
    return refusal_of(name, words, text)


def refusal_of(name: str, words: str, text: str) -> ServerError:
    """The error for an authority's `error` and its description, from either endpoint."""
    if name in CONSENT_FAULTS or CONSENT_NUMBERS.search(words):
        return ConsentMissing(text)
    if name == "invalid_grant":
        return SignInExpired(text)
    if name == "login_required":
        return SignInNeeded(text)
    if name in CLIENT_FAULTS:
        return ClientRefused(text)
    if name in PASSING_FAULTS:
        return AuthorityUnavailable(text)
    if name:
        return ClientRefused(text)
    # A redirect, a page for people: nothing that a token endpoint says.
    return AuthorityUnavailable(text)


def _error_of(answer: Answer) -> str:
    name = _json(answer).get("error")
    return name if isinstance(name, str) and re.fullmatch(r"[\w.-]{1,64}", name) else ""


def _words(answer: Answer, hidden: Iterable[str]) -> str:
    """The authority's description on one line. It may repeat what it was sent, so that goes, and what
    looks like a secret."""
    text = _json(answer).get("error_description")
    return safe_words(text if isinstance(text, str) else "", hidden)


def safe_words(text: str, hidden: Iterable[str] = ()) -> str:
    text = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    for secret in filter(None, hidden):
        text = text.replace(secret, "***").replace(quote(secret, safe=""), "***")
    return re.sub(r"[A-Za-z0-9_~+/=.-]{40,}", "***", text)[:300]


def _patience(answer: Answer) -> float | None:
    """Retry-After: seconds, or a date."""
    value = answer.headers.get("Retry-After", "").strip()
    if value.isdecimal():
        return float(min(int(value), 86_400))
    try:
        until = parsedate_to_datetime(value)
    except ValueError:
        return None
    until = until if until.tzinfo else until.replace(tzinfo=UTC)
    return min(max((until - datetime.now(UTC)).total_seconds(), 0.0), 86_400.0)


def _json(answer: Answer) -> dict[str, Any]:
    try:
        values = json.loads(answer.body)
    except (ValueError, RecursionError):
        return {}
    return values if isinstance(values, dict) else {}


def _lifetime(seconds: object) -> timedelta:
    """Some authorities write the number as text."""
    if isinstance(seconds, bool) or not re.fullmatch(r"\d{1,10}(?:\.0*)?", str(seconds)):
        return DEFAULT_LIFETIME
    return min(timedelta(seconds=float(str(seconds))), LONGEST_LIFETIME)


def _is_token(value: object) -> bool:
    """Visible ASCII and no blanks: it goes into a header, and into SASL between control characters."""
    return isinstance(value, str) and bool(re.fullmatch(rf"[!-~]{{1,{LONGEST_TOKEN}}}", value))


def claims_of(id_token: object, client_id: str) -> Mapping[str, Any]:
    """Who signed in. The signature needs no check where the token comes straight from the token
    endpoint over TLS (OpenID Connect Core, 3.1.3.7, 6). One for another client says nothing."""
    if not isinstance(id_token, str) or id_token.count(".") != 2:
        return {}
    payload = id_token.split(".")[1]
    try:
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except (ValueError, RecursionError):
        return {}
    if not isinstance(claims, dict):
        return {}
    audience = claims.get("aud")
    meant = audience if isinstance(audience, list) else [audience]
    return claims if client_id in meant else {}


def accounts_in(claims: Mapping[str, Any]) -> list[str]:
    """The names under which an account is known, lower case, the likeliest first."""
    names = (claims.get(name) for name in ("email", "preferred_username", "upn", "unique_name"))
    return list(dict.fromkeys(name.strip().lower() for name in names if isinstance(name, str)))


def host_of(url: str) -> str:
    """Of an address that somebody else may have written; "" if it names none."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def _unpadded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode("ascii").rstrip("=")
