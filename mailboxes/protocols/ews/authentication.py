"""How the requests on one channel prove who asks (R1.20).

Basic and bearer tokens go with each request. NTLM and negotiate (RFC 4559) are a dance that proves it for
one connection, so the proof is made again whenever the connection is another one; its first step carries
no body, so that a large one travels once.
"""

import base64
import importlib.util
import logging
import re
from collections.abc import Callable
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
    UnexpectedReply,
)
from mailboxes.protocols.ews.transport import Answer, Channel, Request
from mailboxes.protocols.phases import Phase, Watcher, watched

UNAUTHORIZED = 401
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
    """NTLM, or negotiate: Kerberos where both sides know it, else NTLM inside of it.

    `credentials` None: the identity of this process, its Kerberos ticket.
    """

    def __init__(self, scheme: str, credentials: Credentials | None) -> None:
        self._scheme = scheme  # as the header calls it: NTLM or Negotiate
        self._credentials = credentials
        self._proven_for: tuple[int, int] | None = None

    def send(self, channel: Channel, request: Request) -> Answer:
        if self._proven(channel):
            answer = channel.exchange(request)
            if answer.status != UNAUTHORIZED:
                return answer
        return self._prove(channel, request)

    def _proven(self, channel: Channel) -> bool:
        return self._proven_for == (id(channel), channel.generation)

    def _prove(self, channel: Channel, request: Request) -> Answer:
        """1. token without a body, 2. the server's challenge, 3. token with the request itself."""
        self._proven_for = None
        channel.connect()
        context = self._context(channel)
        first = Request(headers=request.headers)
        answer = channel.exchange(first.having(Authorization=self._word(context, None)))
        challenge = self._challenge(answer)
        if answer.status != UNAUTHORIZED or challenge is None:
            # Kerberos needs one step only, so the request may follow right away.
            return self._after_one_step(channel, request, answer)
        begun_on = channel.generation
        word = self._word(context, challenge)
        answer = channel.exchange(request.having(Authorization=word))
        if answer.status != UNAUTHORIZED:
            self._proven_for = (id(channel), channel.generation)
        elif channel.generation != begun_on:
            raise ConnectionLost(f"the server hung up in the middle of {self._scheme}")
        return answer

    def _after_one_step(self, channel: Channel, request: Request, answer: Answer) -> Answer:
        if answer.status == UNAUTHORIZED:
            return answer
        self._proven_for = (id(channel), channel.generation)
        answer = channel.exchange(request)
        if answer.status == UNAUTHORIZED:
            # This server forgets who we are after each request: send the proof with it.
            self._proven_for = None
            word = self._word(self._context(channel), None)
            answer = channel.exchange(request.having(Authorization=word))
        return answer

    def _context(self, channel: Channel) -> Any:
        credentials = self._credentials
        try:
            return spnego.client(
                credentials.username if credentials else None,
                credentials.password if credentials else None,
                hostname=channel.place.host,
                service="HTTP",
                protocol="ntlm" if self._scheme == "NTLM" else "negotiate",
                channel_bindings=channel_binding(channel.certificate()),
            )
        except SpnegoError as error:
            raise LoginRefused(f"{self._scheme} can't begin: {error.message}") from error

    def _word(self, context: Any, challenge: bytes | None) -> str:
        try:
            token = context.step(challenge)
        except SpnegoError as error:
            raise LoginRefused(f"{self._scheme} failed: {error.message}") from error
        return f"{self._scheme} " + base64.b64encode(token or b"").decode()

    def _challenge(self, answer: Answer) -> bytes | None:
        said = re.search(
            rf"(?:^|,)\s*{self._scheme}\s+([A-Za-z0-9+/=]+)",
            answer.header("WWW-Authenticate"),
            re.IGNORECASE,
        )
        if not said:
            return None
        try:
            return base64.b64decode(said[1], validate=True)
        except ValueError as error:
            raise UnexpectedReply(f"the server's {self._scheme} challenge is damaged") from error


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
            way = best_of(answer.header("WWW-Authenticate"), self._credentials)
            self._proof = proof_by(way, self._credentials)
            self._settled(way)
        return self._proof.send(channel, request)


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
        return Handshake("Negotiate", credentials)
    if way is Authentication.OAUTH:
        raise LoginRefused("OAuth needs a token, and there is none")
    if credentials is None:
        raise LoginRefused(f"{way.value} needs a user name and a password")
    return Handshake("NTLM", credentials) if way is Authentication.NTLM else Basic(credentials)


def best_of(offered: str, credentials: Credentials | None) -> Authentication:
    """What to answer to this WWW-Authenticate header. Raises LoginRefused."""
    schemes = {name.lower() for name in SCHEME.findall(QUOTED.sub('""', offered))}
    if "negotiate" in schemes and knows_kerberos():
        return Authentication.NEGOTIATE
    if credentials is None:
        raise AuthenticationUnavailable(
            "the identity of this process can only be proven by negotiate, which needs the extra "
            f"{KERBEROS_EXTRA} here and Kerberos on the server"
        )
    if "ntlm" in schemes:
        return Authentication.NTLM
    if "basic" in schemes:
        return Authentication.BASIC
    names = ", ".join(sorted(schemes)) or "nothing"
    raise LoginRefused(f"the server offers {names}, and there is a user name and a password")


def knows_kerberos() -> bool:
    """Both libraries are optional: they are built against the system's Kerberos."""
    return all(importlib.util.find_spec(name) for name in ("gssapi", "krb5"))


def channel_binding(certificate: bytes | None) -> GssChannelBindings | None:
    """Ties the proof to this TLS line, so that nobody between can pass it on (RFC 5929, section 4.1)."""
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
    return GssChannelBindings(application_data=b"tls-server-end-point:" + digest.finalize())
