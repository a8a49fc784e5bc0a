"""How one mailbox on an Exchange server is reached: found, connected, logged in, and left again.

Both directions use it; neither knows HTTP, and nothing here knows what an item is.

    open ──found and still fresh?──no──> discover ──┐
            └──yes──────────────────────────────────┴─> token ─> connect ─> log in ─> account
                                                                             │
    a later request is answered "not here" ──────────────────────────────────┘ once: forget, discover, ask again

Logging in is one GetFolder on the inbox: it proves the account, its right to the mailbox and the mailbox itself,
and tells the server's version. Where the version is known and nobody watches it is left out, so that
an idle poll costs no request of its own; the first real one proves the same.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Self
from xml.sax.saxutils import escape

from exchangelib import Account
from exchangelib.version import Build, Version

from mailboxes.protocols.base import (
    AdapterOptions,
    Authentication,
    Bearer,
    ConnectionSettings,
    Security,
)
from mailboxes.protocols.errors import (
    ConnectionLost,
    HostNotFound,
    LocationUnknown,
    LoginRefused,
    OutgoingLoginRefused,
    ServerError,
    TokenRefused,
    UnexpectedReply,
    VersionRefused,
)
from mailboxes.protocols.ews.authentication import KdcAway, NoTicket, Proof, proof_of
from mailboxes.protocols.ews.discovery import Discovery, FindService, Step
from mailboxes.protocols.ews.faults import (
    MOVED,
    Broken,
    Judge,
    fault_for,
    hint_of,
    innermost,
    text_of,
    xml_of,
)
from mailboxes.protocols.ews.session import Session, account_over
from mailboxes.protocols.ews.settings import (
    Access,
    Endpoint,
    ExchangeSettings,
    anchor,
    without_anchor,
)
from mailboxes.protocols.ews.transport import Answer, Channel, Request, Resolve, Stream
from mailboxes.protocols.line import secrets_of
from mailboxes.protocols.phases import Phase, watched

#: Names of the schema that we speak, newest first, and a build that stands for each where we know no other.
VERSIONS = {
    "Exchange2016": Build(15, 1),
    "Exchange2013_SP1": Build(15, 0, 847),
    "Exchange2013": Build(15, 0),
    "Exchange2010_SP2": Build(14, 2),
    "Exchange2010_SP1": Build(14, 1),
    "Exchange2010": Build(14, 0),
    "Exchange2007_SP1": Build(8, 1),
}
# What a server may say to a version that is too new for it.
OTHER_VERSION = ("ErrorInvalidRequest", "ErrorSchemaValidation")

# Asks for the server that keeps this mailbox's subscriptions.
AFFINITY = {"X-PreferServerAffinity": "True"}

LOG_IN = (
    '<?xml version="1.0" encoding="utf-8"?>'
    '<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"'
    ' xmlns:t="http://schemas.microsoft.com/exchange/services/2006/types"'
    ' xmlns:m="http://schemas.microsoft.com/exchange/services/2006/messages">'
    '<s:Header><t:RequestServerVersion Version="{version}"/>{impersonation}</s:Header>'
    "<s:Body><m:GetFolder><m:FolderShape><t:BaseShape>IdOnly</t:BaseShape></m:FolderShape>"
    '<m:FolderIds><t:DistinguishedFolderId Id="inbox"><t:Mailbox>'
    "<t:EmailAddress>{address}</t:EmailAddress></t:Mailbox></t:DistinguishedFolderId></m:FolderIds>"
    "</m:GetFolder></s:Body></s:Envelope>"
)
IMPERSONATION = (
    "<t:ExchangeImpersonation><t:ConnectingSID><t:PrimarySmtpAddress>{address}"
    "</t:PrimarySmtpAddress></t:ConnectingSID></t:ExchangeImpersonation>"
)


class ExchangeAccess:
    """One mailbox, reached by one kept connection, for one thread at a time.

    `outgoing`: a refused login then carries the code of that direction. `resolve`, `find_service`: how names
    and SRV records are looked up, if not as ever.
    """

    def __init__(
        self,
        settings: ExchangeSettings,
        options: AdapterOptions,
        *,
        outgoing: bool = False,
        resolve: Resolve | None = None,
        find_service: FindService | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.settings = settings
        self.options = options
        self.steps: list[Step] = []  # what discovery asked, and what each said
        self._resolve = resolve
        self._find_service = find_service
        self._now = now
        self._terms = _terms(settings)
        self._secrets = secrets_of(self._terms)
        self._judge = Judge(_refusal(settings, outgoing), secrets=self._secrets)
        self._phase: Phase | None = None
        self._retry = True
        self._hint: float | None = None
        self._endpoint: Endpoint | None = None
        self._remembered = False
        self._by_memory = False  # opened without logging in, by the version of an earlier time
        self._channel: Channel | None = None
        self._proof: Proof | None = None
        self._token: Proof | None = None
        self._account: Any = None

    def __repr__(self) -> str:
        return f"<ExchangeAccess {self.settings.address}>"

    # -- for the adapters --------------------------------------------------------------------------

    def open(self) -> Account:
        """The account, ready to be used. Finds the web service if nobody said where it is, connects,
        and logs in. Idempotent while open. Raises errors of the tree."""
        if self._account is None:
            try:
                self._account = self._opened()
            except BaseException:
                self.close()
                raise
        return self._account

    @property
    def account(self) -> Account:
        """The same once it is open; raises ConnectionLost before and after."""
        if self._account is None:
            raise ConnectionLost("the connection is closed")
        return self._account

    @contextmanager
    def calling(self, phase: Phase, *, retry: bool = True) -> Iterator[None]:
        """Around every use of the account: reports the phase and turns what exchangelib raises into
        errors of the tree, whose `server_code` is Exchange's own name of the error.

        With `retry`, a request that a server didn't answer because it had closed the kept connection is
        sent once more over a new one, provided that nothing can have been done: a read, or a body that
        was not taken whole. Without it, a body that was taken whole never is.
        """
        before = self._phase, self._retry
        self._phase, self._retry = phase, retry
        try:
            with watched(self.options.watcher, phase):
                yield from self._translated(phase)
        finally:
            self._phase, self._retry = before

    def _translated(self, phase: Phase) -> Iterator[None]:
        try:
            yield
        except ServerError as error:
            if (outdated := self._outdated(error, phase)) is not None:
                raise outdated from error
            raise
        except Exception as error:
            fault = self._judge.of_exception(error, phase, self._hint)
            if fault is None:
                raise
            if (outdated := self._outdated(fault, phase)) is not None:
                raise outdated from error
            caught = error
        else:
            return
        library = innermost(caught)
        raise fault from fault.__cause__ if isinstance(library, Broken) else library

    def _outdated(self, error: ServerError, phase: Phase) -> ServerError | None:
        """The version that was remembered is refused: the mailbox moved to an older server, say. That
        needs no person; it is forgotten, and found out anew by the next cycle."""
        if not (self._by_memory and isinstance(error, VersionRefused)):
            return None
        self.settings.remember(None)
        return UnexpectedReply("the server speaks another version than it did before", phase=phase)

    def translate(self, error: Exception) -> ServerError:
        """What exchangelib returned as an object, or raised, as an error of the tree."""
        fault = self._judge.of_exception(error, self._phase, self._hint)
        return fault or UnexpectedReply(f"{type(error).__name__}: {self._judge.clean(str(error))}")

    def drop(self) -> None:
        """Close the connection; the next request makes a new one."""
        if self._channel is not None:
            self._channel.drop()

    def close(self) -> None:
        """Leave. Never raises, and leaves nothing behind in this process."""
        account, self._account = self._account, None
        if account is not None:
            with suppress(Exception):
                account.protocol.close()
        self.drop()
        self._channel = self._proof = self._token = None

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- opening -----------------------------------------------------------------------------------

    def _opened(self) -> Account:
        self._authorize()
        found = self.settings.found
        self._remembered = found is not None
        self._use(found or self._located())
        endpoint = self._connected()
        version = VERSIONS.get(endpoint.version)
        if version is None or self.options.watcher is not None:
            return self._over(self._logged_in())
        self._by_memory = True
        return self._over(Version(version, endpoint.version))

    def _authorize(self) -> None:
        """A token serves discovery and the web service, so it is asked for once."""
        credentials = self.settings.credentials
        if isinstance(credentials, Bearer):
            self._token = proof_of(
                self.settings.authentication,
                replace(credentials, token=self._noted(credentials)),
                watcher=self.options.watcher,
            )

    def _noted(self, bearer: Bearer) -> Callable[[str], str]:
        """Tokens from there, which no error repeats from then on."""

        def token(refused: str) -> str:
            given = bearer.token(refused)
            self._secrets.append(given)
            return given

        return token

    def _located(self) -> Endpoint:
        if self.settings.url:
            return Endpoint(self.settings.url, self._now(), address=self.settings.address)
        discovery = Discovery(
            replace(self._terms, allow_plain=False),
            proof=lambda: self._token or self._proof_by(self.settings.authentication),
            now=self._now,
            refused=self._judge.refused,
            clean=self._judge.clean,
            homes=self.settings.homes,
            opens_others=self.settings.access is not Access.OWN,
            anchored=self.settings.anchored,
            resolve=self._resolve,
            find_service=self._find_service,
            steps=self.steps,
        )
        with watched(self.options.watcher, Phase.DISCOVER):
            found = discovery.find(self.settings.address)
        self.settings.remember(found)
        return found

    def _proof_by(self, way: Authentication) -> Proof:
        return proof_of(way, self.settings.credentials, settled=self._settled)

    def _settled(self, way: Authentication) -> None:
        if self._endpoint is not None:
            self._endpoint = replace(self._endpoint, scheme=way.value)

    def _use(self, endpoint: Endpoint) -> None:
        """From now on talk to this one."""
        self.drop()
        self._endpoint = endpoint
        self._judge = replace(self._judge, known=bool(endpoint.version))
        self._channel = Channel(
            endpoint.url, self._terms, watcher=self.options.watcher, resolve=self._resolve
        )
        way = self.settings.authentication
        if way is Authentication.AUTO and endpoint.scheme:
            way = Authentication(endpoint.scheme)
        self._proof = self._token or self._proof_by(way)

    def _connected(self) -> Endpoint:
        channel, endpoint = self._now_used()
        try:
            channel.connect()
        except HostNotFound:
            if not self._second_chance(None):
                raise
            channel, endpoint = self._now_used()
            channel.connect()
        return endpoint

    def _now_used(self) -> tuple[Channel, Endpoint]:
        if self._channel is None or self._endpoint is None:
            raise ConnectionLost("the connection is closed")
        return self._channel, self._endpoint

    def _over(self, version: Version) -> Account:
        _, endpoint = self._now_used()
        return account_over(
            self._session,
            url=endpoint.url,
            address=endpoint.address or self.settings.address,
            access=self.settings.access,
            version=version,
            max_connections=self.settings.max_connections,
        )

    def _session(self) -> Session:
        channel, _ = self._now_used()
        return Session(self._ask, self.drop, channel.cookies)

    # -- logging in --------------------------------------------------------------------------------

    def _logged_in(self) -> Version:
        """The first version that the server takes, the one that it was known by first."""
        _, endpoint = self._now_used()
        names = sorted(VERSIONS, key=lambda name: name != endpoint.version)
        with self.calling(Phase.LOGIN):
            for name in names:
                try:
                    answer = self._ask(self._log_in(name))
                except ServerError as error:
                    if not _is_about_version(error) or name == names[-1]:
                        raise
                else:
                    self._look_at_login(answer)
                    return self._learned(name, answer)
        raise VersionRefused("the server takes none of the versions that we speak")

    def _log_in(self, version: str) -> Request:
        _, endpoint = self._now_used()
        address = escape(endpoint.address or self.settings.address)
        impersonates = self.settings.access is Access.IMPERSONATION
        body = LOG_IN.format(
            version=version,
            address=address,
            impersonation=IMPERSONATION.format(address=address) if impersonates else "",
        )
        headers = anchor(endpoint.address or self.settings.address, self.settings.anchored)
        return Request(body=body.encode(), headers=headers, repeat=True)

    def _look_at_login(self, answer: Answer) -> None:
        root = xml_of(answer.content)
        message = root.find(".//{*}GetFolderResponseMessage") if root is not None else None
        if message is None:
            raise UnexpectedReply("the server doesn't know how to show a folder")
        if message.get("ResponseClass") == "Error":
            raise fault_for(
                text_of(message, "ResponseCode"),
                self._judge.clean(text_of(message, "MessageText")),
                phase=Phase.LOGIN,
                hint_seconds=hint_of(answer),
            )

    def _learned(self, asked: str, answer: Answer) -> Version:
        """The version that answered, remembered for the next time."""
        _, endpoint = self._now_used()
        version = version_of(answer, asked)
        learned = replace(endpoint, version=version.api_version)
        if learned != self.settings.found:
            self.settings.remember(learned)
        self._endpoint = learned
        self._judge = replace(self._judge, known=True)
        return version

    # -- one request -------------------------------------------------------------------------------

    def _ask(self, request: Request) -> Answer:
        """A request to the web service, and an answer to work with. Raises errors of the tree."""
        answer = self._answer(request)
        fault = self._judge.of_answer(answer, self._phase)
        if fault is not None:
            # Some servers write a second answer after a fault; the next request would read it.
            self.drop()
            raise fault
        return answer

    def stream(self, body: bytes) -> Stream:
        """A request whose answer comes bit by bit, over a connection of its own. To be called within
        `calling`. Raises errors of the tree."""
        channel, endpoint = self._now_used()
        address = endpoint.address or self.settings.address
        headers = anchor(address, self.settings.anchored) | AFFINITY
        answer = self._answer(Request(body=body, headers=headers, repeat=True, streams=True))
        channel, _ = self._now_used()
        if (stream := channel.stream()) is not None:
            return stream
        self.drop()
        raise self._judge.of_answer(answer, self._phase) or UnexpectedReply("no stream is answered")

    def refusal(self, code: str, words: str) -> ServerError:
        """What the service said by one of its codes, as an error of the tree."""
        return fault_for(code, self._judge.clean(words), phase=self._phase)

    def _answer(self, request: Request) -> Answer:
        """Whatever it says."""
        request = replace(request, repeat=request.repeat and self._retry)
        if not self.settings.anchored:  # exchangelib always writes it
            request = replace(request, headers=without_anchor(request.headers))
        try:
            answer = self._send(request)
        except (NoTicket, KdcAway):
            if not self._second_chance(401):
                raise
            answer = self._send(request)
        if answer.status in MOVED and self._second_chance(answer.status):
            answer = self._send(request)
        self._hint = hint_of(answer)
        return answer

    def _send(self, request: Request) -> Answer:
        channel, _ = self._now_used()
        if self._proof is None:
            raise ConnectionLost("the connection is closed")
        return self._proof.send(channel, request)

    def _second_chance(self, status: int | None) -> bool:
        """What was remembered may be out of date: forget it, and once find out anew (R1.23). True if
        there is something else to try."""
        if not self._remembered:
            return False
        _, former = self._now_used()
        self._remembered = False
        self.settings.remember(None)
        try:
            located = self._located()
        except (LocationUnknown, LoginRefused):
            if status == 401:
                return False  # the refusal is what there is to tell
            raise
        # The same place would say the same, unless another way to log in was chosen there by now.
        if located.url == former.url and not (status == 401 and former.scheme):
            return False
        self._use(replace(located, address=located.address or former.address))
        return True


def version_of(answer: Answer, asked: str) -> Version:
    """From ServerVersionInfo: its name if it is one of ours, else the one that was asked for. Servers
    also call themselves V2017_07_11 and the like, which no request may name."""
    root = xml_of(answer.content)
    info = root.find(".//{*}ServerVersionInfo") if root is not None else None
    if info is None:
        return Version(VERSIONS[asked], asked)
    said = info.get("Version", "")
    name = said if said in VERSIONS else asked
    numbers = [
        info.get(part, "")
        for part in ("MajorVersion", "MinorVersion", "MajorBuildNumber", "MinorBuildNumber")
    ]
    if not all(number.isdecimal() for number in numbers[:2]):
        return Version(VERSIONS[name], name)
    return Version(Build(*(int(number) if number.isdecimal() else 0 for number in numbers)), name)


def _is_about_version(error: ServerError) -> bool:
    return isinstance(error, VersionRefused) or error.server_code in OTHER_VERSION


def _refusal(settings: ExchangeSettings, outgoing: bool) -> type[LoginRefused]:
    if isinstance(settings.credentials, Bearer):
        return TokenRefused
    return OutgoingLoginRefused if outgoing else LoginRefused


def _terms(settings: ExchangeSettings) -> ConnectionSettings:
    """What holds for every connection that is made for this mailbox, whichever host it goes to."""
    return ConnectionSettings(
        host="",
        port=0,
        security=Security.IMPLICIT_TLS,
        credentials=settings.credentials,
        timeout_seconds=settings.timeout_seconds,
        ca_pem=settings.ca_pem,
        allow_plain=settings.allow_plain,
        allow_plain_login=settings.allow_plain_login,
        denied_networks=settings.denied_networks,
    )
