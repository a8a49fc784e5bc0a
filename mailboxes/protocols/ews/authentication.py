"""How the requests on one channel prove who asks (R1.20).

Basic, bearer tokens and Kerberos tickets (negotiate, RFC 4559) go with each request. NTLM is a dance that
proves it for one connection, so the proof is made again whenever the connection is another one; its first
step carries no body, so that a large one travels once. gssapi is optional and imported where it is used.
"""

import base64
import logging
import re
import struct
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Protocol

import spnego
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from spnego.channel_bindings import GssChannelBindings
from spnego.exceptions import SpnegoError

from mailboxes.protocols.base import Authentication, Bearer, Credentials
from mailboxes.protocols.errors import (
    AuthenticationUnavailable,
    ConnectionLost,
    LoginRefused,
    TransientError,
    UnexpectedReply,
)
from mailboxes.protocols.ews.transport import Answer, Channel, Request
from mailboxes.protocols.phases import Phase, Watcher, watched

UNAUTHORIZED = 401
SPNEGO_MECHANISM = [1, 3, 6, 1, 5, 5, 2]
# What pyspnego raises over challenges that are none, beside its own errors.
BROKEN_CHALLENGE = (ValueError, IndexError, KeyError, struct.error)
KDC_AWAY = "Cannot contact any KDC"  # the only sign: inside of SPNEGO error numbers mean nothing
KERBEROS_EXTRA = "serversync[kerberos]"
# Names of schemes in WWW-Authenticate, whose parameters look alike: name, or name token, or name key=value.
QUOTED = re.compile(r'"[^"]*"')
SCHEME = re.compile(r"(?:^|,)\s*([A-Za-z][A-Za-z0-9_-]*)(?=\s*(?:,|$)|\s+[^\s=,]+)")

# At debug level these write what crosses the line: challenges and what answers them.
logging.getLogger("spnego").setLevel(logging.INFO)


class Proof(Protocol):
    """Sends requests so that the server knows who asks. An answer with status 401 means that it was
    asked to and was not convinced."""

    def send(self, channel: Channel, request: Request) -> Answer: ...


class Anonymous:
    def send(self, channel: Channel, request: Request) -> Answer:
        return channel.exchange(request)


class Basic:
    def __init__(self, credentials: Credentials) -> None:
        pair = f"{credentials.username}:{credentials.password}"
        self._header = "Basic " + base64.b64encode(pair.encode()).decode()

    def send(self, channel: Channel, request: Request) -> Answer:
        return channel.exchange(request.having(Authorization=self._header))


class Token:
    """A bearer token, renewed once if the server turns it down (RFC 6750)."""

    def __init__(self, bearer: Bearer, watcher: Watcher | None) -> None:
        self._bearer = bearer
        self._watcher = watcher
        self._renewed = False
        self._token = self._ask("")

    def send(self, channel: Channel, request: Request) -> Answer:
        answer = self._try(channel, request)
        if answer.status == UNAUTHORIZED and not self._renewed:
            self._renewed = True
            self._token = self._ask(self._token)
            answer = self._try(channel, request)
        return answer

    def _try(self, channel: Channel, request: Request) -> Answer:
        return channel.exchange(request.having(Authorization=f"Bearer {self._token}"))

    def _ask(self, refused: str) -> str:
        with watched(self._watcher, Phase.AUTHORIZE):
            return self._bearer.token(refused)


class Handshake:
    """NTLM by itself, or in the wrapping of negotiate: proven for one connection after the other."""

    def __init__(self, credentials: Credentials, *, wrapped: bool = False) -> None:
        self._credentials = credentials
        self._scheme = "Negotiate" if wrapped else "NTLM"
        self._proven_for = (0, 0)  # channel and connection

    def send(self, channel: Channel, request: Request) -> Answer:
        if self._proven_for == (id(channel), channel.connection_number(request) or -1):
            answer = channel.exchange(request)
            if answer.status != UNAUTHORIZED:
                return answer
        return self._prove(channel, request)

    def _prove(self, channel: Channel, request: Request) -> Answer:
        """1. token without a body, 2. the server's challenge, 3. token with the request itself."""
        self._proven_for = (0, 0)
        channel.connect()
        context = self._context(channel)
        first = Request(headers=request.headers)
        answer = channel.exchange(first.having(Authorization=self._word(context, None)))
        if answer.status != UNAUTHORIZED:
            return channel.exchange(request)  # it asks nobody
        challenge = challenge_of(answer, self._scheme)
        if challenge is None:
            return answer
        begun_on = channel.made
        word = self._word(context, challenge)
        answer = channel.exchange(request.having(Authorization=word))
        if answer.status != UNAUTHORIZED:
            self._proven_for = (id(channel), channel.made)
        elif channel.made != begun_on:
            raise ConnectionLost(f"the server hung up in the middle of {self._scheme}")
        return answer

    def _context(self, channel: Channel) -> Any:
        options = spnego.NegotiateOptions
        wrapped = self._scheme != "NTLM"
        binding = channel_binding(channel)
        try:
            return spnego.client(
                self._credentials.username,
                self._credentials.password,
                hostname=channel.place.host,
                service="HTTP",
                protocol="negotiate" if wrapped else "ntlm",
                channel_bindings=GssChannelBindings(application_data=binding) if binding else None,
                options=options.use_negotiate if wrapped else options.use_ntlm,
            )
        except SpnegoError as error:
            raise LoginRefused(f"NTLM can't begin: {error.message}") from error

    def _word(self, context: Any, challenge: bytes | None) -> str:
        try:
            return word(self._scheme, context.step(challenge))
        except (SpnegoError, *BROKEN_CHALLENGE) as error:
            raise LoginRefused(f"NTLM failed: {type(error).__name__}") from error


class NoTicket(LoginRefused):
    """Kerberos gives none for this server."""


class KdcAway(TransientError):
    """Nobody who gives out tickets answers."""


class Kerberos:
    """A ticket with each request, for servers differ in whether they remember one for the connection.

    `credentials` None: the identity of this process, else a ticket is got with name and password.
    """

    def __init__(self, credentials: Credentials | None) -> None:
        self._credentials = credentials

    def send(self, channel: Channel, request: Request) -> Answer:
        import gssapi

        channel.connect()
        try:
            context = self._context(channel)
            answer = channel.exchange(request.having(Authorization=negotiate(context, None)))
            challenge = challenge_of(answer, "Negotiate")
            if answer.status == UNAUTHORIZED and challenge is not None:
                said = request.having(Authorization=negotiate(context, challenge))
                answer = channel.exchange(replace(said, continues=True))
        except gssapi.exceptions.GSSError as error:
            kind = KdcAway if KDC_AWAY in str(error) else NoTicket
            raise kind(f"no Kerberos ticket for {channel.place.host}: {error}") from error
        return answer

    def _context(self, channel: Channel) -> Any:
        import gssapi

        binding = channel_binding(channel)
        return gssapi.SecurityContext(
            name=gssapi.Name(f"HTTP@{channel.place.host}", gssapi.NameType.hostbased_service),
            mech=gssapi.OID.from_int_seq(SPNEGO_MECHANISM),
            creds=ticket_of(self._credentials) if self._credentials else None,
            usage="initiate",
            channel_bindings=gssapi.raw.ChannelBindings(application_data=binding)
            if binding
            else None,
        )


def ticket_of(credentials: Credentials) -> Any:
    import gssapi

    name = gssapi.Name(principal_of(credentials.username), gssapi.NameType.user)
    password = credentials.password.encode()
    mechanisms = [gssapi.OID.from_int_seq(SPNEGO_MECHANISM)]
    return gssapi.raw.acquire_cred_with_password(
        name, password, usage="initiate", mechs=mechanisms
    ).creds


def principal_of(username: str) -> str:
    """A mail-style name as Kerberos writes it, with the realm in upper case."""
    user, at, realm = username.rpartition("\\")[2].partition("@")
    return f"{user}{at}{realm.upper()}"


def negotiate(context: Any, challenge: bytes | None) -> str:
    return word("Negotiate", context.step(challenge))


def word(scheme: str, token: bytes | None) -> str:
    return f"{scheme} " + base64.b64encode(token or b"").decode()


def challenge_of(answer: Answer, scheme: str) -> bytes | None:
    """The server's token in its offer of that scheme, None if it has none."""
    pattern = rf"(?:^|,)\s*{scheme}\s+([A-Za-z0-9+/=]+)"
    said = re.search(pattern, answer.header("WWW-Authenticate"), re.IGNORECASE)
    if not said:
        return None
    try:
        return base64.b64decode(said[1], validate=True)
    except ValueError as error:
        raise UnexpectedReply(f"the server's {scheme} challenge is damaged") from error


class WhenAsked:
    """Says nothing of who asks until the server wants to know: for hosts that may be strangers."""

    def __init__(self, proof: Proof) -> None:
        self._proof = proof

    def send(self, channel: Channel, request: Request) -> Answer:
        answer = channel.exchange(request)
        if answer.status != UNAUTHORIZED:
            return answer
        return self._proof.send(channel, request)


class Best:
    """Asks the server once what it takes and chooses the best that both sides know.

    `settled` hears the choice, so that it needn't be asked for again.
    """

    def __init__(
        self,
        credentials: Credentials | None,
        settled: Callable[[Authentication], None] = lambda _: None,
    ) -> None:
        self._credentials = credentials
        self._settled = settled
        self._proof: Proof | None = None

    def send(self, channel: Channel, request: Request) -> Answer:
        if self._proof is None:
            # Without a body, for it would travel twice.
            answer = channel.exchange(Request(headers=request.headers))
            if answer.status != UNAUTHORIZED:
                answer = channel.exchange(request)
            if answer.status != UNAUTHORIZED:
                return answer  # it asks nobody
            return self._choose(channel, request, answer.header("WWW-Authenticate"))
        return self._proof.send(channel, request)

    def _choose(self, channel: Channel, request: Request, offered: str) -> Answer:
        way, self._proof = best_of(offered, self._credentials)
        try:
            answer = self._proof.send(channel, request)
        except (NoTicket, KdcAway):
            if self._credentials is None:
                raise
            way, self._proof = best_of(offered, self._credentials, kerberos=False)
            answer = self._proof.send(channel, request)
        self._settled(way)
        return answer


def proof_of(
    way: Authentication,
    credentials: Credentials | Bearer | None,
    *,
    watcher: Watcher | None = None,
    settled: Callable[[Authentication], None] = lambda _: None,
) -> Proof:
    """Raises LoginRefused or AuthenticationUnavailable where way and credentials don't fit."""
    if isinstance(credentials, Bearer):
        return Token(credentials, watcher)
    if way is Authentication.AUTO:
        return Best(credentials, settled)
    return proof_by(way, credentials)


def proof_by(way: Authentication, credentials: Credentials | None) -> Proof:
    if way is Authentication.NEGOTIATE:
        if not knows_kerberos():
            raise AuthenticationUnavailable(
                f"negotiate needs Kerberos, which comes with the extra {KERBEROS_EXTRA}"
            )
        return Kerberos(credentials)
    if way is Authentication.OAUTH:
        raise LoginRefused("OAuth needs a token, and there is none")
    if credentials is None:
        raise LoginRefused(f"{way.value} needs a user name and a password")
    if way is Authentication.NTLM:
        return Handshake(credentials)
    return Basic(credentials)


def best_of(
    offered: str, credentials: Credentials | None, *, kerberos: bool = True
) -> tuple[Authentication, Proof]:
    """What to answer to this WWW-Authenticate header. Raises LoginRefused, AuthenticationUnavailable."""
    schemes = {name.lower() for name in SCHEME.findall(QUOTED.sub('""', offered))}
    if "negotiate" in schemes and kerberos and knows_kerberos():
        way = Authentication.NEGOTIATE
        return way, proof_by(way, credentials)
    if credentials is None:
        raise AuthenticationUnavailable(
            "the identity of this process can only be proven by negotiate, which needs the extra "
            f"{KERBEROS_EXTRA} here and Kerberos on the server"
        )
    if "ntlm" in schemes:
        return Authentication.NTLM, Handshake(credentials)
    if "negotiate" in schemes:
        return Authentication.AUTO, Handshake(credentials, wrapped=True)
    if "basic" in schemes:
        return Authentication.BASIC, Basic(credentials)
    names = ", ".join(sorted(schemes)) or "nothing"
    raise LoginRefused(f"the server offers {names}, and there is a user name and a password")


def knows_kerberos() -> bool:
    """Optional, for it is built against the system's Kerberos, and fails where that is gone."""
    try:
        import gssapi  # noqa: F401
    except (ImportError, OSError):
        return False
    return True


def channel_binding(channel: Channel) -> bytes | None:
    """Ties the proof to this TLS line, so that nobody between can pass it on (RFC 5929, section 4.1)."""
    certificate = channel.certificate()
    if certificate is None:
        return None
    try:
        algorithm = x509.load_der_x509_certificate(certificate).signature_hash_algorithm
    except (UnsupportedAlgorithm, ValueError):
        return None
    if algorithm is None or algorithm.name in ("md5", "sha1"):
        algorithm = hashes.SHA256()
    digest = hashes.Hash(algorithm)
    digest.update(certificate)
    return b"tls-server-end-point:" + digest.finalize()
