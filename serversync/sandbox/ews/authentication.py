"""Who sends this request: the sign-in methods of an Exchange server, each of which can be switched off.

    no Authorization          401 with every method that is on, the connection's user if NTLM bound one
    Basic                     name and password, in every form that the directory knows
    NTLM                      three legs on one connection, which then belongs to its user
    Negotiate                 Kerberos where the server has a keytab, NTLM otherwise
    Bearer                    a token of the OAuth authority

A connection is "ip:port" of its client. Whoever closes one should `forget` it: the port comes back.
"""

import base64
import binascii
import hashlib
import os
import struct
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from typing import Any, Protocol, TypeVar

import spnego
from spnego._ntlm_raw.crypto import ntowfv1
from spnego.channel_bindings import GssChannelBindings
from spnego.exceptions import SpnegoError

MAX_CONNECTIONS = 2000
#: Exchange's own name in every Microsoft tenant; clients read it from the challenge.
EXCHANGE_CLIENT_ID = "00000002-0000-0ff1-ce00-000000000000"
#: The last part of a scope that opens the service: for a person, for an application, as consented to.
SCOPES = frozenset({"ews.accessasuser.all", "full_access_as_app", ".default", "mail"})
NTLM_SIGNATURE = b"NTLMSSP\0"
# What pyspnego raises for tokens that are none: its parsers check lengths only here and there.
BROKEN_TOKEN = (SpnegoError, ValueError, IndexError, KeyError, struct.error)

Headers = tuple[tuple[str, str], ...]
Kept = TypeVar("Kept")


@dataclass(frozen=True, slots=True)
class Methods:
    """Which ways in are open. Negotiate without a keytab is NTLM in another wrapping."""

    basic: bool = True
    ntlm: bool = True
    negotiate: bool = False
    bearer: bool = False

    def changed(self, values: Mapping[str, object]) -> "Methods":
        """Raises ValueError that names what is wrong."""
        known = [field.name for field in fields(self)]
        if unknown := set(values) - set(known):
            raise ValueError(f"no way in is named {', '.join(sorted(unknown))}: {', '.join(known)}")
        return replace(self, **{name: bool(value) for name, value in values.items()})


@dataclass(frozen=True, slots=True)
class Principal:
    """Who has signed in. An application has no mailbox and acts only by impersonation.
    `headers` belong into the answer, whatever it says: with a ticket the server proves itself, too."""

    address: str
    is_application: bool = False
    headers: Headers = ()


@dataclass(frozen=True, slots=True)
class Challenge:
    """The answer instead: nobody is known yet, or the one who is may not."""

    status: int
    headers: Headers


class Refused(Exception):
    """A ticket or token proves nothing."""


class Account(Protocol):
    @property
    def address(self) -> str: ...


class Accounts(Protocol):
    def accounts(self) -> Sequence[Account]: ...

    def password_of(self, address: str) -> str | None: ...


class Grant(Protocol):
    """What the authority knows of a token; `address` is "" for one of an application."""

    @property
    def address(self) -> str: ...

    @property
    def is_application(self) -> bool: ...

    @property
    def scopes(self) -> Sequence[str]: ...


class Authority(Protocol):
    def introspect(self, token: str) -> Grant | None: ...


#: (ticket, binding to the TLS line) -> (principal, answer to the client). Raises Refused. See kerberos.py.
AcceptTicket = Callable[[bytes, bytes], tuple[str, bytes]]


class Gate:
    """The front door of one server. Any thread may ask. What is public may be changed while it stands.

    `host`: the server's name for the realm of Basic. `authorization_url`: where clients get tokens.
    `certificate`: extended protection, on by default in the newest servers: NTLM and tickets over TLS
    prove that they were made for the line with this certificate (DER), so nobody can pass them on.
    """

    def __init__(
        self,
        accounts: Accounts,
        methods: Methods | None = None,
        *,
        host: str = "localhost",
        accept_ticket: AcceptTicket | None = None,
        authority: Authority | None = None,
        authorization_url: str = "",
        certificate: bytes = b"",
    ) -> None:
        self.methods = methods or Methods()
        self._accounts = accounts
        self._host = host
        self.accept_ticket = accept_ticket
        self.authority = authority
        self.authorization_url = authorization_url
        self.certificate = certificate
        self._lock = threading.Lock()
        self._handshakes: OrderedDict[str, spnego.ContextProxy] = OrderedDict()
        self._bound: OrderedDict[str, Principal] = OrderedDict()

    def admit(self, environ: Mapping[str, Any], connection: str) -> Principal | Challenge:
        scheme, _, value = str(environ.get("HTTP_AUTHORIZATION", "")).strip().partition(" ")
        if not scheme:
            return self._bound_to(connection) or self._challenge()
        # Whoever says who they are anew is no longer who they were.
        with self._lock:
            self._bound.pop(connection, None)
        match scheme.lower():
            case "basic" if self.methods.basic:
                return self._basic(value)
            case "ntlm" if self.methods.ntlm:
                return self._handshake("NTLM", _decoded(value), connection, self._binding(environ))
            case "negotiate" if self.methods.negotiate:
                return self._negotiate(_decoded(value), connection, self._binding(environ))
            case "bearer" if self.methods.bearer and self.authority is not None:
                return self._bearer(value.strip(), self.authority)
        return self._challenge()

    def forget(self, connection: str) -> None:
        with self._lock:
            self._handshakes.pop(connection, None)
            self._bound.pop(connection, None)

    # -- challenges

    def _challenge(self, error: str = "") -> Challenge:
        """Every open method, strongest first, as the server's own front end lists them."""
        offers = []
        if self.methods.bearer:
            offers.append(self._bearer_offer(error))
        if self.methods.negotiate:
            offers.append("Negotiate")
        if self.methods.ntlm:
            offers.append("NTLM")
        if self.methods.basic:
            offers.append(f'Basic realm="{self._host}"')
        headers = [("WWW-Authenticate", offer) for offer in offers]
        if self.methods == Methods(basic=False, ntlm=False, bearer=True):
            reason = "Basic Auth is disabled. Use Modern Auth."
            headers.append(("MS-Diagnostics-Public", f'4000000;reason="{reason}"'))
        return Challenge(401, tuple(headers))

    def _bearer_offer(self, error: str) -> str:
        parts = {
            "client_id": EXCHANGE_CLIENT_ID,
            "token_types": "app_asserted_user_v1 service_asserted_app_v1",
            "authorization_uri": self.authorization_url,
            "error": error,
        }
        return "Bearer " + ", ".join(f'{name}="{value}"' for name, value in parts.items() if value)

    # -- Basic

    def _basic(self, value: str) -> Principal | Challenge:
        name, found, password = _decoded(value).partition(b":")
        for encoding in ("utf-8", "latin-1"):  # clients write either
            try:
                typed = name.decode(encoding), password.decode(encoding)
            except UnicodeDecodeError:
                continue
            address = self._address_of(*_split(typed[0]))
            if found and address and typed[1] and self._accounts.password_of(address) == typed[1]:
                return Principal(address)
        return self._challenge()

    # -- NTLM and Negotiate

    def _binding(self, environ: Mapping[str, Any]) -> bytes:
        """What the other side has to have proven itself for (RFC 5929, 4.1); b"" for anything."""
        if not self.certificate or environ.get("wsgi.url_scheme") != "https":
            return b""
        return b"tls-server-end-point:" + hashlib.sha256(self.certificate).digest()

    def _negotiate(self, token: bytes, connection: str, binding: bytes) -> Principal | Challenge:
        # Windows wraps NTLM into Negotiate where it has no ticket.
        if self.accept_ticket is None or NTLM_SIGNATURE in token:
            return self._handshake("Negotiate", token, connection, binding)
        try:
            principal, answer = self.accept_ticket(token, binding)
        except Refused:
            return self._challenge()
        user, _, realm = principal.partition("@")
        if not (address := self._address_of(realm, user)):
            return self._challenge()
        return Principal(address, headers=_token_header("Negotiate", answer))

    def _handshake(
        self, scheme: str, token: bytes, connection: str, binding: bytes
    ) -> Principal | Challenge:
        """One leg. The first begins, even in the middle of another; the second names the user."""
        with self._lock:
            context = self._handshakes.pop(connection, None)
        try:
            with _credentials(self._ntlm_users()):
                if context is None or _is_first_leg(token):
                    context = _acceptor(scheme, binding)
                answer = context.step(token) or b""
        except BROKEN_TOKEN:
            return self._challenge()
        if not context.complete:
            self._keep(self._handshakes, connection, context)
            return Challenge(401, _token_header(scheme, answer))
        domain, name = _split(context.client_principal or "")
        principal = Principal(self._address_of(domain, name))
        self._keep(self._bound, connection, principal)
        return Principal(principal.address, headers=_token_header(scheme, answer))

    def _bound_to(self, connection: str) -> Principal | None:
        with self._lock:
            return self._bound.get(connection)

    def _keep(self, kept: OrderedDict[str, Kept], connection: str, value: Kept) -> None:
        with self._lock:
            kept[connection] = value
            while len(kept) > MAX_CONNECTIONS:
                kept.popitem(last=False)

    def _ntlm_users(self) -> str:
        """A line of the Samba format for each name: the only one in which a password may hold a colon."""
        lines = []
        for (domain, name), address in self._names().items():
            if password := self._accounts.password_of(address):
                user = f"{domain}\\{name}" if domain else name
                lines.append(f"{user}:0:{'0' * 32}:{_nt_hash(password)}:[U]:LCT-0\n")
        return "".join(lines)

    # -- Bearer

    def _bearer(self, token: str, authority: Authority) -> Principal | Challenge:
        grant = authority.introspect(token)
        address = self._address_of("", grant.address) if grant else ""
        if grant is None or not (address or grant.is_application):
            return self._diagnosed(
                401, "2000003", "The token is expired or unknown.", "invalid_token"
            )
        if not any(scope.rpartition("/")[2].lower() in SCOPES for scope in grant.scopes):
            reason = "The token contains not enough scope to make this call."
            return self._diagnosed(403, "2000008", reason, "invalid_grant")
        return Principal(address, grant.is_application)

    def _diagnosed(self, status: int, number: str, reason: str, category: str) -> Challenge:
        text = f'{number};reason="{reason}";error_category="{category}"'
        challenge = self._challenge("invalid_token") if status == 401 else Challenge(status, ())
        return Challenge(status, (*challenge.headers, ("x-ms-diagnostics", text)))

    # -- names

    def _names(self) -> dict[tuple[str, str], str]:
        """(domain, name) in lower case -> address: ada@corp.example, CORP\\ada, corp.example\\ada, ada."""
        names: dict[tuple[str, str], str] = {}
        for account in self._accounts.accounts():
            address = account.address
            name, _, domain = address.lower().partition("@")
            for form in (
                ("", address),
                (domain, name),
                (domain.partition(".")[0], name),
                ("", name),
            ):
                names.setdefault((form[0].lower(), form[1].lower()), address)
        return names

    def _address_of(self, domain: str, name: str) -> str:
        """ "" for nobody."""
        if "@" in name:  # a full name stands for itself, whatever domain was put before it
            domain = ""
            if self._accounts.password_of(name.lower()) is not None:
                return name.lower()  # without a look at thousands of others
        return self._names().get((domain.lower(), name.lower()), "")


def _split(name: str) -> tuple[str, str]:
    domain, found, user = name.partition("\\")
    return (domain, user) if found else ("", name)


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text.strip(), validate=True)
    except (binascii.Error, ValueError):
        return b""


@lru_cache(1000)
def _nt_hash(password: str) -> str:
    return ntowfv1(password).hex()


def _token_header(scheme: str, token: bytes) -> Headers:
    return (("WWW-Authenticate", f"{scheme} {base64.b64encode(token).decode()}"),) if token else ()


def _is_first_leg(token: bytes) -> bool:
    """A raw NTLM message of type 1, or the token that begins SPNEGO."""
    return token.startswith((NTLM_SIGNATURE + b"\1", b"\x60"))


def _acceptor(scheme: str, binding: bytes) -> spnego.ContextProxy:
    """pyspnego's own implementation, never one of the system's libraries."""
    options = spnego.NegotiateOptions
    own = options.use_ntlm if scheme == "NTLM" else options.use_negotiate
    bindings = GssChannelBindings(application_data=binding) if binding else None
    return spnego.server(protocol=scheme.lower(), options=own, channel_bindings=bindings)


_environment = threading.Lock()


@contextmanager
def _credentials(users: str) -> Iterator[None]:
    """pyspnego's acceptor looks users up in the file that an environment variable names, nowhere else."""
    with _environment, tempfile.NamedTemporaryFile("w", encoding="utf-8") as file:
        file.write(users)
        file.flush()
        before = os.environ.get("NTLM_USER_FILE")
        os.environ["NTLM_USER_FILE"] = file.name
        try:
            yield
        finally:
            if before is None:
                del os.environ["NTLM_USER_FILE"]
            else:
                os.environ["NTLM_USER_FILE"] = before
