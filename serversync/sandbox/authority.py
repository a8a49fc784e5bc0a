"""A small OAuth 2 authority (RFC 6749, 7636, 7009, 7662, 8414): who may open which account of the sandbox.

    /authorize      a page that asks for the account's password, and sends the browser back with a code
    /token          codes, refresh tokens and client credentials for tokens
    /revoke         ends a token, and with a refresh token all that came of one sign-in
    /introspect     for mail servers that ask about a token (Dovecot)

Strict where it matters: PKCE with S256 always, redirect addresses exactly as registered, codes once and
within a minute. A refresh token is good for one use; used again, whatever came of that sign-in ends.
`switches` make it go wrong.
"""

import base64
import hashlib
import hmac
import html
import json
import secrets
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, parse_qsl, unquote_plus, urlencode, urlsplit, urlunsplit

CODE_SECONDS = 60
LARGEST_FORM = 64 * 1024

Environ = Mapping[str, Any]
StartResponse = Callable[[str, list[tuple[str, str]]], Any]

SCHEMA = """
CREATE TABLE IF NOT EXISTS client (
    id TEXT PRIMARY KEY, secret TEXT NOT NULL, redirects TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS code (
    digest TEXT PRIMARY KEY, client TEXT NOT NULL, address TEXT NOT NULL, scope TEXT NOT NULL,
    redirect TEXT NOT NULL, challenge TEXT NOT NULL, family TEXT NOT NULL, expires REAL NOT NULL,
    used INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE IF NOT EXISTS token (
    digest TEXT PRIMARY KEY, kind TEXT NOT NULL, client TEXT NOT NULL, address TEXT NOT NULL,
    scope TEXT NOT NULL, family TEXT NOT NULL, expires REAL NOT NULL,
    used INTEGER NOT NULL DEFAULT 0
);
"""

STATUS = {
    200: "200 OK",
    302: "302 Found",
    400: "400 Bad Request",
    401: "401 Unauthorized",
    404: "404 Not Found",
    405: "405 Method Not Allowed",
    413: "413 Content Too Large",
    429: "429 Too Many Requests",
    500: "500 Internal Server Error",
    503: "503 Service Unavailable",
}


@dataclass(frozen=True, slots=True)
class Grant:
    """What a valid access token allows. `address`: whose account; "" for an application's token."""

    address: str
    client: str
    scopes: tuple[str, ...]
    expires_at: float

    @property
    def is_application(self) -> bool:
        return not self.address

    def allows(self, protocol: str) -> bool:
        """Mail by this protocol: "imap", "pop3" or "smtp"."""
        words = {"imap": "imap.", "pop3": "pop.", "smtp": "smtp."}
        return any(
            scope in ("mail", "https://mail.google.com/")
            or scope.endswith("/.default")
            or scope.rpartition("/")[2].lower().startswith(words[protocol])
            for scope in self.scopes
        )


@dataclass
class Switches:
    """What it does otherwise than it should. `fail`: the status of each answer of /token, 0 for none;
    429 and 503 come with `retry_after` seconds. `failures`: how many answers that holds for, -1: all.
    `consent_missing`: nobody has agreed yet, told as Microsoft tells it. `lose_answer`: the rotation
    happens, and its answer never arrives. `basic_only`: clients show their secret by HTTP Basic."""

    access_seconds: int = 3600
    refuse_refresh: bool = False
    rotate: bool = True
    fail: int = 0
    failures: int = -1
    retry_after: int = 30
    slow_seconds: float = 0.0
    consent_missing: bool = False
    give_id_token: bool = True
    lose_answer: bool = False
    basic_only: bool = False
    refused_tokens: list[str] = field(default_factory=list)

    def change(self, values: Mapping[str, object]) -> None:
        """Raises ValueError for a switch that there isn't."""
        if unknown := set(values) - {each.name for each in fields(self)}:
            raise ValueError(f"the authority has no switch {', '.join(sorted(unknown))}")
        for name, value in values.items():
            setattr(self, name, value)

    def as_dict(self) -> dict[str, object]:
        return asdict(self)


class Refusal(Exception):
    """An OAuth error: its name, and words for people."""

    def __init__(self, name: str, words: str = "", status: int = 400) -> None:
        super().__init__(name)
        self.name, self.words, self.status = name, words, status


@dataclass(frozen=True, slots=True)
class Response:
    status: int
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()


class TokenAuthority:
    """`accepts`: whether an account has this password. `path`: where grants outlive this process.

    A WSGI application; any thread may call any method."""

    def __init__(
        self,
        accepts: Callable[[str, str], bool],
        path: Path | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.accepts = accepts
        self.switches = Switches()
        self.requests: list[str] = []
        """What was asked of it, for tests that count: "token refresh_token", "authorize"."""
        self._clock = clock
        self._lock = threading.RLock()
        self._stopping = threading.Event()
        self._database = sqlite3.connect(
            str(path) if path else ":memory:", check_same_thread=False, isolation_level=None
        )
        self._database.executescript(SCHEMA)

    def close(self) -> None:
        self._stopping.set()
        with self._lock:
            self._database.close()

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield self._database
            finally:  # what a refusal has ended stays ended
                self._database.execute("COMMIT")

    # -- clients, and what their tokens allow

    def add_client(self, client_id: str, secret: str = "", redirects: Iterable[str] = ()) -> None:
        """Register a client, or change it. Without a secret only PKCE proves who redeems a code."""
        with self._writing() as database:
            database.execute(
                "INSERT OR REPLACE INTO client VALUES (?, ?, ?)",
                (client_id, secret, json.dumps(list(redirects))),
            )

    def introspect(self, token: str) -> Grant | None:
        """What an access token allows now, None if nothing."""
        if token in self.switches.refused_tokens:
            return None
        row = self._one(
            "SELECT address, client, scope, expires FROM token WHERE digest = ? AND kind = 'access'",
            _digest(token),
        )
        if row is None or row[3] <= self._clock():
            return None
        return Grant(row[0], row[1], tuple(row[2].split()), row[3])

    def revoke_account(self, address: str) -> None:
        """As an owner withdraws consent on the provider's page: every token of the account ends."""
        with self._writing() as database:
            database.execute("DELETE FROM token WHERE address = ?", (address.lower(),))

    def expire_tokens(self) -> None:
        """Every access token is over; refresh tokens stay."""
        with self._writing() as database:
            database.execute("UPDATE token SET expires = 0 WHERE kind = 'access'")

    def sign_in(self, address: str, client_id: str, scope: str = "mail") -> tuple[str, str]:
        """An access and a refresh token as after a sign-in, without a browser: for the quick start."""
        with self._writing() as database:
            family = secrets.token_hex(8)
            access = self._issue(database, "access", client_id, address, scope, family)
            return access, self._issue(database, "refresh", client_id, address, scope, family)

    def _one(self, query: str, *values: object) -> tuple[Any, ...] | None:
        with self._lock:
            row: tuple[Any, ...] | None = self._database.execute(query, values).fetchone()
            return row

    def _issue(
        self,
        database: sqlite3.Connection,
        kind: str,
        client: str,
        address: str,
        scope: str,
        family: str,
    ) -> str:
        # As long as the real ones, which do not fit into the command lines of POP3 and SMTP.
        token = f"sandbox-{kind}-{secrets.token_urlsafe(600 if kind == 'access' else 60)}"
        seconds = self.switches.access_seconds if kind == "access" else 10 * 365 * 86_400
        database.execute(
            "INSERT INTO token VALUES (?, ?, ?, ?, ?, ?, ?, 0)",
            (_digest(token), kind, client, address.lower(), scope, family, self._clock() + seconds),
        )
        return token

    # -- HTTP

    def __call__(self, environ: Environ, start_response: StartResponse) -> list[bytes]:
        try:
            response = self._answer(environ)
        except Refusal as refusal:
            response = _json_response(_told(refusal), refusal.status)
        start_response(
            STATUS[response.status],
            [
                ("Content-Length", str(len(response.body))),
                ("Cache-Control", "no-store"),
                ("Pragma", "no-cache"),
                *response.headers,
            ],
        )
        return [response.body]

    def _answer(self, environ: Environ) -> Response:
        path, method = environ["PATH_INFO"], environ["REQUEST_METHOD"]
        if path.startswith("/.well-known/"):
            return self._metadata(environ, path)
        if path == "/authorize":
            return self._authorize(environ, method)
        handlers = {"/token": self._token, "/revoke": self._revoke, "/introspect": self._introspect}
        if path not in handlers:
            raise Refusal("not_found", "Nothing is here.", 404)
        if method != "POST":
            raise Refusal("invalid_request", "Only POST is answered here.", 405)
        return handlers[path](environ, _form(environ))

    def _metadata(self, environ: Environ, path: str) -> Response:
        if path not in (
            "/.well-known/oauth-authorization-server",
            "/.well-known/openid-configuration",
        ):
            raise Refusal("not_found", "Nothing is here.", 404)
        base = f"https://{environ['HTTP_HOST']}"
        return _json_response(
            {
                "issuer": base,
                "authorization_endpoint": f"{base}/authorize",
                "token_endpoint": f"{base}/token",
                "revocation_endpoint": f"{base}/revoke",
                "introspection_endpoint": f"{base}/introspect",
                "response_types_supported": ["code"],
                "code_challenge_methods_supported": ["S256"],
            }
        )

    # -- /authorize

    def _authorize(self, environ: Environ, method: str) -> Response:
        self.requests.append("authorize")
        posted = _form(environ) if method == "POST" else {}
        asked = posted or dict(parse_qsl(environ.get("QUERY_STRING", "")))
        client = asked.get("client_id", "")
        redirect = asked.get("redirect_uri", "")
        # Until these two fit, nothing is sent to that address.
        if redirect not in self._redirects(client):
            raise Refusal("invalid_request", "This client has no such redirect address.")
        try:
            _check_request(asked)
        except Refusal as refusal:
            return _back(
                redirect, asked, {"error": refusal.name, "error_description": refusal.words}
            )
        if not posted:
            return _page(asked)
        if asked.get("decision") != "allow":
            return _back(
                redirect,
                asked,
                {"error": "access_denied", "error_description": "The owner said no."},
            )
        address = asked.get("address", "").strip().lower()
        if not self.accepts(address, asked.get("password", "")):
            return _page(asked, "Wrong address or password.")
        return _back(redirect, asked, {"code": self._new_code(client, address, asked)})

    def _redirects(self, client: str) -> list[str]:
        row = self._one("SELECT redirects FROM client WHERE id = ?", client)
        return list(json.loads(row[0])) if row else []

    def _new_code(self, client: str, address: str, asked: Mapping[str, str]) -> str:
        code = secrets.token_urlsafe(40)
        with self._writing() as database:
            database.execute(
                "INSERT INTO code VALUES (?, ?, ?, ?, ?, ?, ?, ?, 0)",
                (
                    _digest(code),
                    client,
                    address,
                    asked.get("scope", ""),
                    asked["redirect_uri"],
                    asked["code_challenge"],
                    secrets.token_hex(8),
                    self._clock() + CODE_SECONDS,
                ),
            )
        return code

    # -- /token

    def _token(self, environ: Environ, form: Mapping[str, str]) -> Response:
        self.requests.append(f"token {form.get('grant_type', '')}")
        if trouble := self._trouble():
            return trouble
        client = self._authenticated(environ, form)
        if self.switches.consent_missing:
            raise Refusal(
                "invalid_grant",
                "AADSTS65001: The user or administrator has not consented to use the application.",
            )
        grants = {
            "authorization_code": self._redeem,
            "refresh_token": self._refresh,
            "client_credentials": self._application,
        }
        grant = grants.get(form.get("grant_type", ""))
        if grant is None:
            raise Refusal("unsupported_grant_type")
        with self._writing() as database:
            values = grant(database, client, form)
        if self.switches.lose_answer:
            return _json_response({}, 500)
        return _json_response(values)

    def _trouble(self) -> Response | None:
        switches = self.switches
        if switches.slow_seconds:
            self._stopping.wait(switches.slow_seconds)
        if not switches.fail or switches.failures == 0:
            return None
        if switches.failures > 0:
            switches.failures -= 1
        patience = (("Retry-After", str(switches.retry_after)),)
        words = {"error": "temporarily_unavailable"} if switches.fail == 503 else {}
        return _json_response(words, switches.fail, patience if switches.fail in (429, 503) else ())

    def _authenticated(self, environ: Environ, form: Mapping[str, str]) -> str:
        client, secret = form.get("client_id", ""), form.get("client_secret", "")
        if self.switches.basic_only:
            secret = ""
        scheme, _, encoded = environ.get("HTTP_AUTHORIZATION", "").partition(" ")
        if scheme.lower() == "basic":
            client, secret = _basic(encoded)
        row = self._one("SELECT secret FROM client WHERE id = ?", client)
        if row is None or not hmac.compare_digest(row[0].encode(), secret.encode()):
            raise Refusal("invalid_client", "Unknown client, or a wrong secret.", 401)
        if form.get("grant_type") == "client_credentials" and not secret:
            raise Refusal("unauthorized_client", "A client without a secret opens nothing itself.")
        return client

    def _redeem(
        self, database: sqlite3.Connection, client: str, form: Mapping[str, str]
    ) -> dict[str, object]:
        row = database.execute(
            "SELECT client, address, scope, redirect, challenge, family, expires, used"
            " FROM code WHERE digest = ?",
            (_digest(form.get("code", "")),),
        ).fetchone()
        if row is None or row[0] != client or row[6] <= self._clock():
            raise Refusal("invalid_grant", "The code is unknown or over.")
        if row[7]:  # RFC 6749, 4.1.2: somebody has stolen it
            database.execute("DELETE FROM token WHERE family = ?", (row[5],))
            raise Refusal("invalid_grant", "The code was used before.")
        database.execute("UPDATE code SET used = 1 WHERE family = ?", (row[5],))
        if form.get("redirect_uri") != row[3]:
            raise Refusal("invalid_grant", "Another redirect address than before.")
        if not hmac.compare_digest(_challenge(form.get("code_verifier", "")), row[4]):
            raise Refusal("invalid_grant", "The code verifier does not fit.")
        return self._tokens(database, client, row[1], row[2], row[5], refresh=True)

    def _refresh(
        self, database: sqlite3.Connection, client: str, form: Mapping[str, str]
    ) -> dict[str, object]:
        digest = _digest(form.get("refresh_token", ""))
        row = database.execute(
            "SELECT client, address, scope, family, expires, used FROM token"
            " WHERE digest = ? AND kind = 'refresh'",
            (digest,),
        ).fetchone()
        if row is None or row[0] != client or row[4] <= self._clock():
            raise Refusal("invalid_grant", "The refresh token is unknown, over or revoked.")
        if self.switches.refuse_refresh:
            raise Refusal("invalid_grant", "The refresh token is not accepted any more.")
        if row[5]:
            database.execute("DELETE FROM token WHERE family = ?", (row[3],))
            raise Refusal("invalid_grant", "The refresh token was used before.")
        scope = form.get("scope", row[2])
        if not set(scope.split()) <= set(row[2].split()):
            raise Refusal("invalid_scope", "More than was granted.")
        if self.switches.rotate:
            database.execute("UPDATE token SET used = 1 WHERE digest = ?", (digest,))
        return self._tokens(database, client, row[1], scope, row[3], refresh=self.switches.rotate)

    def _application(
        self, database: sqlite3.Connection, client: str, form: Mapping[str, str]
    ) -> dict[str, object]:
        scope = form.get("scope", "mail")
        return self._tokens(database, client, "", scope, secrets.token_hex(8), refresh=False)

    def _tokens(
        self,
        database: sqlite3.Connection,
        client: str,
        address: str,
        scope: str,
        family: str,
        *,
        refresh: bool,
    ) -> dict[str, object]:
        values: dict[str, object] = {
            "token_type": "Bearer",
            "expires_in": self.switches.access_seconds,
            "scope": scope,
            "access_token": self._issue(database, "access", client, address, scope, family),
        }
        if refresh:
            values["refresh_token"] = self._issue(
                database, "refresh", client, address, scope, family
            )
        if address and "openid" in scope.split() and self.switches.give_id_token:
            secret = database.execute("SELECT secret FROM client WHERE id = ?", (client,))
            values["id_token"] = self._id_token(client, str(secret.fetchone()[0]), address)
        return values

    def _id_token(self, client: str, secret: str, address: str) -> str:
        """Signed with the client's secret (OpenID Connect Core, 10.1)."""
        now = int(self._clock())
        claims = {"aud": client, "sub": address, "email": address, "iat": now, "exp": now + 600}
        parts = [_unpadded(json.dumps(each).encode()) for each in ({"alg": "HS256"}, claims)]
        signature = hmac.new(secret.encode(), ".".join(parts).encode(), "sha256").digest()
        return ".".join([*parts, _unpadded(signature)])

    # -- /revoke and /introspect

    def _revoke(self, environ: Environ, form: Mapping[str, str]) -> Response:
        self.requests.append("revoke")
        client = self._authenticated(environ, form)
        row = self._one(
            "SELECT kind, client, family FROM token WHERE digest = ?",
            _digest(form.get("token", "")),
        )
        if row is not None and row[1] == client:
            with self._writing() as database:
                if row[0] == "refresh":
                    database.execute("DELETE FROM token WHERE family = ?", (row[2],))
                else:
                    database.execute(
                        "DELETE FROM token WHERE digest = ?", (_digest(form["token"]),)
                    )
        return Response(200)  # RFC 7009: unknown tokens, too

    def _introspect(self, environ: Environ, form: Mapping[str, str]) -> Response:
        """The token itself is what opens this: only mail servers on this machine ask."""
        self.requests.append("introspect")
        grant = self.introspect(form.get("token", ""))
        if grant is None:
            return _json_response({"active": False})
        return _json_response(
            {
                "active": True,
                "username": grant.address,
                "email": grant.address,
                "client_id": grant.client,
                "scope": " ".join(grant.scopes),
                "exp": int(grant.expires_at),
            }
        )


# -- requests and answers ------------------------------------------------------------------------


def _form(environ: Environ) -> dict[str, str]:
    """Each field once (RFC 6749, 3.2)."""
    length = environ.get("CONTENT_LENGTH") or "0"
    if not length.isdecimal() or int(length) > LARGEST_FORM:
        raise Refusal("invalid_request", "Too large.", 413)
    kind = environ.get("CONTENT_TYPE", "").partition(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        raise Refusal("invalid_request", "A form is expected.")
    text = environ["wsgi.input"].read(int(length)).decode("utf-8", "replace")
    values = parse_qs(text, keep_blank_values=True)
    if any(len(each) > 1 for each in values.values()):
        raise Refusal("invalid_request", "A field comes twice.")
    return {name: each[0] for name, each in values.items()}


def _basic(encoded: str) -> tuple[str, str]:
    """Client and secret (RFC 6749, 2.3.1)."""
    try:
        name, _, secret = base64.b64decode(encoded).decode().partition(":")
    except ValueError:
        raise Refusal("invalid_client", "Not a Basic authorization.", 401) from None
    return unquote_plus(name), unquote_plus(secret)


def _check_request(asked: Mapping[str, str]) -> None:
    if asked.get("response_type") != "code":
        raise Refusal("unsupported_response_type", "Only codes are given out.")
    if asked.get("code_challenge_method") != "S256" or len(asked.get("code_challenge", "")) != 43:
        raise Refusal("invalid_request", "PKCE with S256 is needed.")
    if not asked.get("scope"):
        raise Refusal("invalid_scope", "Nothing was asked for.")


def _back(redirect: str, asked: Mapping[str, str], values: dict[str, str]) -> Response:
    """Send the browser back with these values and the state that it brought."""
    if state := asked.get("state"):
        values["state"] = state
    parts = urlsplit(redirect)
    query = urlencode([*parse_qsl(parts.query), *values.items()])
    return Response(302, headers=(("Location", urlunsplit(parts._replace(query=query))),))


PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Sandbox sign-in</title>
<style>body{{font:16px/1.5 system-ui,sans-serif;max-width:26rem;margin:4rem auto;padding:0 1rem}}
label,input{{display:block;width:100%;box-sizing:border-box;margin:.3rem 0}}input{{padding:.4rem}}
button{{margin:1rem .5rem 0 0;padding:.5rem 1rem}}.fault{{color:#b00020}}</style></head>
<body><main><h1>Sandbox sign-in</h1>{fault}
<p>“{client}” asks for: {scope}</p>
<form method="post" action="/authorize">{hidden}
<label for="address">Address</label>
<input id="address" name="address" type="email" value="{address}" autocomplete="username" required>
<label for="password">Password</label>
<input id="password" name="password" type="password" autocomplete="current-password">
<button name="decision" value="allow">Allow</button>
<button name="decision" value="deny" formnovalidate>Deny</button>
</form></main></body></html>
"""
CARRIED = (
    "client_id",
    "redirect_uri",
    "response_type",
    "scope",
    "state",
    "code_challenge",
    "code_challenge_method",
    "login_hint",
)


def _page(asked: Mapping[str, str], fault: str = "") -> Response:
    hidden = "".join(
        f'<input type="hidden" name="{name}" value="{html.escape(asked[name])}">'
        for name in CARRIED
        if name in asked
    )
    body = PAGE.format(
        fault=f'<p class="fault" role="alert">{html.escape(fault)}</p>' if fault else "",
        client=html.escape(asked["client_id"]),
        scope=html.escape(asked["scope"]),
        hidden=hidden,
        address=html.escape(asked.get("address") or asked.get("login_hint", "")),
    )
    headers = (
        ("Content-Type", "text/html; charset=utf-8"),
        ("X-Frame-Options", "DENY"),
        ("Referrer-Policy", "no-referrer"),
    )
    return Response(200, body.encode(), headers)


def _json_response(
    values: Mapping[str, object], status: int = 200, headers: tuple[tuple[str, str], ...] = ()
) -> Response:
    body = json.dumps(values).encode()
    return Response(status, body, (("Content-Type", "application/json"), *headers))


def _told(refusal: Refusal) -> dict[str, object]:
    values: dict[str, object] = {"error": refusal.name}
    if refusal.words:
        values["error_description"] = refusal.words
    return values


def _digest(token: str) -> str:
    """Tokens themselves are not kept."""
    return hashlib.sha256(token.encode()).hexdigest()


def _challenge(verifier: str) -> str:
    return _unpadded(hashlib.sha256(verifier.encode()).digest())


def _unpadded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")
