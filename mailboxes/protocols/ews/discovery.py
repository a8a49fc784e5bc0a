"""Where the web service of a mailbox is, by autodiscover: asked over SOAP, and as POX where a host doesn't
know that. Called by the access when nobody entered a location (R1.22).

    https://<domain>                     answers, or refuses, or isn't there
    https://autodiscover.<domain>
    http://autodiscover.<domain>         asked without credentials, for a redirect only
    SRV _autodiscover._tcp.<domain>      names a host

Credentials go over verified TLS only, to a host that asks for them, and where an unprotected answer (plain HTTP,
DNS) pointed only if that host belongs to the mailbox's own domain or to a service that is known
to point so: whoever is between us and that answer could have written any name. Redirects are followed
at most five times, to https alone, each through the same checks of denied networks.

Credentials that open more than the one mailbox have homes: the domain of the account's own name, the server that
the token is for. Whoever enters an address names its domain, whose owner could otherwise ask for them
and get them. So they are shown to their homes, to known services, and where a home leads; other hosts are
asked without, and the homes after them. Nor does any other host say that somebody else's mailbox is meant.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from xml.sax.saxutils import escape

import dns.exception
import dns.resolver
from lxml.etree import _Element as Element

from mailboxes.protocols.base import ConnectionSettings
from mailboxes.protocols.errors import (
    ConnectionRefused,
    HostNotFound,
    LocationUnknown,
    LoginRefused,
    ServerError,
    SocketTimedOut,
    TransientError,
    UserUnknown,
)
from mailboxes.protocols.ews.authentication import Anonymous, Proof, WhenAsked
from mailboxes.protocols.ews.faults import REDIRECTS, Judge, hint_of, text_of, xml_of
from mailboxes.protocols.ews.settings import Endpoint, anchor
from mailboxes.protocols.ews.transport import Answer, Channel, Place, Request, Resolve

SOAP_PATH = "/autodiscover/autodiscover.svc"
POX_PATH = "/autodiscover/autodiscover.xml"
MOST_REDIRECTS = 5
LONGEST_STEP_SECONDS = (
    20.0  # a domain's web server that hangs may not hold its mailbox for a minute
)

LONGEST_URL = 2000
LONGEST_ADDRESS = 254  # RFC 5321, 4.5.3.1.3
LARGEST_ANSWER = 1024 * 1024  # octets; who answers may be anybody

#: Hosted services that are reached by an unprotected redirect from a customer's domain.
KNOWN_SERVICES = ("outlook.com", "office365.com", "office365.us", "outlook.cn")

DOMAIN = re.compile(r"^[^\s\x00-\x1f\x7f]+@([\w-]+(?:\.[\w-]+)*)\Z")

FindService = Callable[[str, float], list[tuple[str, int]]]


@dataclass(frozen=True, slots=True)
class Step:
    """What was asked, and what came of it, for people."""

    where: str
    outcome: str


@dataclass(frozen=True, slots=True)
class Redirected:
    """To another URL of autodiscover, or to another address."""

    url: str = ""
    address: str = ""


class Elsewhere(Exception):
    """Ends one host's turn: go on with this."""

    def __init__(self, to: Redirected) -> None:
        super().__init__()
        self.to = to


@dataclass
class Discovery:
    """One discovery. `steps` grows as it goes.

    `proof`: makes the proof of who asks, anew for each host. `terms`: time-outs, trust, denied networks.
    `refused`: the error for a login that is refused. `clean`: makes what servers say fit to show. `homes`: as in ExchangeSettings. `opens_others`: the
    credentials could open another mailbox, too. `anchored`: as in ExchangeSettings.
    """

    terms: ConnectionSettings
    proof: Callable[[], Proof]
    now: Callable[[], datetime]
    refused: type[LoginRefused] = LoginRefused
    clean: Callable[[str], str] = Judge().clean
    homes: tuple[str, ...] | None = None
    opens_others: bool = False
    anchored: bool = True
    resolve: Resolve | None = None
    find_service: FindService | None = None
    steps: list[Step] = field(default_factory=list)
    _trouble: ServerError | None = None
    _redirects: int = 0
    _asked: set[tuple[str, str, bool]] = field(default_factory=set)
    _vouched: set[str] = field(default_factory=set)

    def find(self, address: str) -> Endpoint:
        """Raises LocationUnknown if nobody knows, UserUnknown if whoever knows the domain doesn't know the
        address, and what a host that should know said if it refused us or is in trouble."""
        for domain in dict.fromkeys((domain_of(address), *(self.homes or ()))):
            for url, protected in self._candidates(domain):
                found = self._follow(url, address, domain, protected)
                if found is not None:
                    return found
        if self._trouble is not None:
            raise self._trouble
        told = tuple((step.where, step.outcome) for step in self.steps)
        raise LocationUnknown("; ".join(f"{where}: {what}" for where, what in told), steps=told)

    # -- whom to ask -------------------------------------------------------------------------------

    def _candidates(self, domain: str) -> Iterator[tuple[str, bool]]:
        """URLs, and whether a protected answer led there."""
        yield f"https://{domain}{SOAP_PATH}", True
        yield f"https://autodiscover.{domain}{SOAP_PATH}", True
        if pointed := self._pointed_to(domain):
            yield pointed, False
        for host, port in self._services(domain):
            at = "" if port == 443 else f":{port}"
            yield f"https://{host}{at}{SOAP_PATH}", False

    def _pointed_to(self, domain: str) -> str:
        """Where plain HTTP redirects to, "" if it doesn't. No credentials, and TLS isn't asked of it."""
        url = f"http://autodiscover.{domain}{POX_PATH}"
        try:
            answer = self._exchange(url, Anonymous(), Request(method="GET"), plain=True)
        except ServerError as error:
            self._note(url, error.detail)
            return ""
        if answer.status not in REDIRECTS:
            self._note(url, f"HTTP {answer.status}, no redirect")
            return ""
        target = answer.header("Location")
        self._note(url, f"redirects to {target.partition('?')[0][:200]}")
        return target

    def _services(self, domain: str) -> list[tuple[str, int]]:
        name = f"_autodiscover._tcp.{domain}"
        try:
            found = (self.find_service or find_service)(name, self._step_seconds)
        except ServerError as error:
            self._note(f"SRV {name}", error.detail)
            return []
        told = ", ".join(f"{host}:{port}" for host, port in found)
        self._note(f"SRV {name}", told or "no such record")
        return found

    # -- whom to trust -----------------------------------------------------------------------------

    def _may_show(self, host: str) -> bool:
        """May this host see the credentials?"""
        if self.homes is None or host in self._vouched:
            return True
        return is_within(host, (*self.homes, *KNOWN_SERVICES))

    def _vouches(self, host: str) -> bool:
        """Does this host's word count as that of a home? A service that everybody can have a mailbox at
        repeats what its other customers have entered."""
        if host in self._vouched:
            return True
        return is_within(host, self.homes or ()) and not is_within(host, KNOWN_SERVICES)

    def _may_mean(self, host: str, asked: str, told: str) -> bool:
        """May this host say that `told` is the address of the mailbox? Where the credentials open others,
        the owner of any domain could otherwise have anybody's mail read for him."""
        try:
            domain = domain_of(told)
        except LocationUnknown:
            return False
        return not self.opens_others or self._vouches(host) or domain == domain_of(asked)

    # -- asking ------------------------------------------------------------------------------------

    def _follow(self, url: str, address: str, domain: str, protected: bool) -> Endpoint | None:
        """One candidate and the redirects that begin there. None: try the next one."""
        if not self._may_ask(url, domain, protected):
            return None
        try:
            return self._ask_host(url, address)
        except Elsewhere as elsewhere:
            return self._redirected(elsewhere.to, address, domain, protected)
        except UserUnknown as error:
            if self._may_show(Place.of(url).host):
                raise
            self._note(url, error.detail)
            return None
        except ServerError as error:
            self._note(url, error.detail)
            self._remember_trouble(url, domain, error)
            return None

    def _may_ask(self, url: str, domain: str, protected: bool) -> bool:
        try:
            place = Place.of(url)
        except HostNotFound as error:
            self._note(url[:200], error.detail)
            return False
        if not place.secure:
            self._note(place.name, "not asked, for it is no https")
            return False
        if not protected and not is_within(place.host, (domain, *KNOWN_SERVICES)):
            self._note(
                place.name,
                f"not asked, for it is outside of {domain} and only an unprotected answer names it",
            )
            return False
        return True

    def _redirected(
        self, to: Redirected, address: str, domain: str, protected: bool
    ) -> Endpoint | None:
        self._redirects += 1
        if self._redirects > MOST_REDIRECTS:
            self._note("redirects", f"more than {MOST_REDIRECTS}")
            return None
        if not to.address:
            return self._follow(to.url, address, domain, protected)
        moved_to = domain_of(to.address)
        for url, safe in self._candidates(moved_to):
            # What a protected answer named is as good as the mailbox's own domain.
            found = self._follow(url, to.address, moved_to, safe)
            if found is not None:
                return found
        return None

    def _ask_host(self, url: str, address: str) -> Endpoint | None:
        """SOAP, then POX where there is no SOAP. The same host isn't asked twice about one address."""
        for target, ask in zip(twins(url), (self._ask_soap, self._ask_pox), strict=True):
            asked = (target, address, self._may_show(Place.of(target).host))
            if asked in self._asked:
                continue
            self._asked.add(asked)
            found = ask(target, address)
            if found is not None:
                self._note(Place.of(target).name, f"found {found.url}")
                return found
        return None

    def _ask_soap(self, url: str, address: str) -> Endpoint | None:
        body = SOAP_REQUEST.format(url=escape(url), address=escape(address)).encode()
        headers = {"SOAPAction": f'"{SOAP_ACTION}"', **anchor(address, self.anchored)}
        answer = self._exchange(url, self._asking(url), Request(body=body, headers=headers))
        root = self._document(answer, "UserResponse")
        if root is None:
            return None
        user = root.find(".//{*}UserResponse")
        code = user.findtext("{*}ErrorCode", "") if user is not None else ""
        target = user.findtext("{*}RedirectTarget", "") if user is not None else ""
        if code == "RedirectAddress" and target:
            raise self._elsewhere(answer, Redirected(address=target), address)
        if code == "RedirectUrl" and target:
            raise self._elsewhere(answer, Redirected(url=target), address)
        if code == "InvalidUser":
            raise UserUnknown(f"{answer.place.name} knows no user {address}")
        return self._endpoint(answer, settings_of(root), code, address)

    def _ask_pox(self, url: str, address: str) -> Endpoint | None:
        body = POX_REQUEST.format(address=escape(address)).encode()
        headers = anchor(address, self.anchored)
        answer = self._exchange(url, self._asking(url), Request(body=body, headers=headers))
        root = self._document(answer, "Response")
        if root is None:
            return None
        action = text_of(root, "Action").lower()
        if action == "redirectaddr" and (target := text_of(root, "RedirectAddr")):
            raise self._elsewhere(answer, Redirected(address=target), address)
        if action == "redirecturl" and (target := text_of(root, "RedirectUrl")):
            raise self._elsewhere(answer, Redirected(url=target), address)
        code = text_of(root, "ErrorCode")
        if code == "500":  # "the email address can't be found"
            raise UserUnknown(f"{answer.place.name} knows no user {address}")
        return self._endpoint(answer, protocols_of(root), code, address)

    def _endpoint(
        self, answer: Answer, told: dict[str, str], code: str, address: str
    ) -> Endpoint | None:
        url = told.get("ExternalEwsUrl") or told.get("InternalEwsUrl") or ""
        if not url:
            self._note(answer.place.name, f"names no web service ({code or 'no error'})")
            return None
        try:
            place = Place.of(url)
            if not place.secure:
                raise HostNotFound("it is no https")
            if len(url) > LONGEST_URL:
                raise HostNotFound(f"it has more than {LONGEST_URL} characters")
            if not (self._may_show(place.host) or self._vouches(answer.place.host)):
                raise HostNotFound(f"{place.host} may not see the credentials")
        except HostNotFound as error:
            self._note(answer.place.name, f"names a web service that can't be used: {error.detail}")
            return None
        primary = told.get("AutoDiscoverSMTPAddress") or address
        if not self._may_mean(answer.place.host, address, primary):
            self._note(answer.place.name, f"means {primary[:200]}, which isn't taken from it")
            primary = address
        return Endpoint(url=url, found_at=self.now(), address=primary)

    # -- one request -------------------------------------------------------------------------------

    @property
    def _step_seconds(self) -> float:
        return min(self.terms.timeout_seconds, LONGEST_STEP_SECONDS)

    def _asking(self, url: str) -> Proof:
        return WhenAsked(self.proof()) if self._may_show(Place.of(url).host) else Anonymous()

    def _exchange(self, url: str, proof: Proof, request: Request, plain: bool = False) -> Answer:
        terms = replace(self.terms, timeout_seconds=self._step_seconds, allow_plain=plain)
        if plain:
            terms = replace(terms, credentials=None)
        channel = Channel(url, terms, resolve=self.resolve)
        try:
            return proof.send(channel, replace(request, largest=LARGEST_ANSWER))
        finally:
            channel.drop()

    def _document(self, answer: Answer, name: str) -> Element | None:
        """The answer if it is one of autodiscover; raises where the host says something else to do."""
        where = answer.place.name
        if answer.status in REDIRECTS:
            raise self._elsewhere(answer, Redirected(url=answer.header("Location")))
        hint = hint_of(answer)
        if answer.status == 429 or answer.status >= 500:
            root = xml_of(answer.content)
            if root is None or root.find(f".//{{*}}{name}") is None:
                raise TransientError(f"HTTP {answer.status}", hint_seconds=hint)
            return root
        if answer.status == 401 and not self._may_show(answer.place.host):
            self._note(where, "asks who we are, and isn't told, for the account is of elsewhere")
            return None
        if answer.status == 401:
            # Not asked again in the other language: accounts are locked after a few refusals.
            raise self.refused(f"{where} refuses the credentials (HTTP 401)")
        root = xml_of(answer.content) if answer.status == 200 else None
        if root is None or root.find(f".//{{*}}{name}") is None:
            self._note(where, f"HTTP {answer.status}, no autodiscover")
            return None
        return root

    def _elsewhere(self, answer: Answer, to: Redirected, address: str = "") -> Elsewhere:
        """Raises HostNotFound where this host may not say so."""
        host, where = answer.place.host, answer.place.name
        self._note(where, f"redirects to {(to.url or to.address).partition('?')[0][:200]}")
        if to.address and not self._may_mean(host, address, to.address):
            raise HostNotFound(f"{host} may not say that {to.address[:200]} is meant")
        if to.url and self._vouches(host):
            with suppress(HostNotFound):
                self._vouched.add(Place.of(to.url).host)
        return Elsewhere(to)

    def _note(self, where: str, outcome: str) -> None:
        self.steps.append(Step(self.clean(where), self.clean(outcome)))

    def _remember_trouble(self, url: str, domain: str, error: ServerError) -> None:
        """What a host said that is there for autodiscover. The web server of a bare domain proves nothing,
        and where nothing listens nobody said anything."""
        if Place.of(url).host == domain or isinstance(error, ConnectionRefused):
            return
        if isinstance(error, TransientError | LoginRefused):
            self._trouble = self._trouble or error


# -- reading and writing autodiscover's two languages ----------------------------------------------


def domain_of(address: str) -> str:
    """In lower case. Raises LocationUnknown where it has none that could be a host."""
    found = DOMAIN.search(address.strip())
    if found is None or not address.isprintable() or len(address) > LONGEST_ADDRESS:
        raise LocationUnknown(f"{address!r} is no email address")
    return found[1].lower()


def is_within(host: str, domains: Iterable[str]) -> bool:
    return any(host == name or host.endswith(f".{name}") for name in domains)


def twins(url: str) -> tuple[str, str]:
    """The addresses of one host for both languages, SOAP first."""
    stem, dot, ending = url.rpartition(".")
    if dot and ending.lower() in ("svc", "xml"):
        return f"{stem}.svc", f"{stem}.xml"
    base = "/".join(url.split("/", 3)[:3])
    return base + SOAP_PATH, base + POX_PATH


def settings_of(root: Element) -> dict[str, str]:
    """Name and value of each user setting in an answer over SOAP."""
    pairs = ((text_of(one, "Name"), text_of(one, "Value")) for one in root.iter("{*}UserSetting"))
    return {name: value for name, value in pairs if name}


def protocols_of(root: Element) -> dict[str, str]:
    """The same settings from an answer as POX: EXPR is from outside, EXCH from inside."""
    told = {"AutoDiscoverSMTPAddress": text_of(root, "AutoDiscoverSMTPAddress")}
    names = {"EXPR": "ExternalEwsUrl", "EXCH": "InternalEwsUrl"}
    for one in root.iter("{*}Protocol"):
        name = names.get(text_of(one, "Type"))
        if name and (url := text_of(one, "EwsUrl") or text_of(one, "ASUrl")):
            told[name] = url
    return told


def find_service(name: str, timeout_seconds: float) -> list[tuple[str, int]]:
    """Hosts and ports behind an SRV record, the first to try first (RFC 2782)."""
    try:
        answer: Any = dns.resolver.resolve(name, "SRV", lifetime=timeout_seconds)
    except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
        return []
    except dns.exception.Timeout as error:
        raise SocketTimedOut("no name server answered in time") from error
    except dns.exception.DNSException as error:
        raise TransientError(f"can't be looked up now: {type(error).__name__}") from error
    records = sorted(answer, key=lambda record: (record.priority, -record.weight))
    return [(str(record.target).rstrip("."), int(record.port)) for record in records]


SOAP_ACTION = "http://schemas.microsoft.com/exchange/2010/Autodiscover/Autodiscover/GetUserSettings"
SOAP_REQUEST = (
    '<?xml version="1.0" encoding="utf-8"?>'
    '<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"'
    ' xmlns:a="http://schemas.microsoft.com/exchange/2010/Autodiscover"'
    ' xmlns:wsa="http://www.w3.org/2005/08/addressing">'
    "<s:Header><a:RequestedServerVersion>Exchange2010</a:RequestedServerVersion>"
    f"<wsa:Action>{SOAP_ACTION}</wsa:Action><wsa:To>{{url}}</wsa:To></s:Header>"
    "<s:Body><a:GetUserSettingsRequestMessage><a:Request>"
    "<a:Users><a:User><a:Mailbox>{address}</a:Mailbox></a:User></a:Users>"
    "<a:RequestedSettings><a:Setting>ExternalEwsUrl</a:Setting>"
    "<a:Setting>InternalEwsUrl</a:Setting><a:Setting>AutoDiscoverSMTPAddress</a:Setting>"
    "</a:RequestedSettings></a:Request></a:GetUserSettingsRequestMessage></s:Body></s:Envelope>"
)
POX_RESPONSE = "http://schemas.microsoft.com/exchange/autodiscover/outlook/responseschema/2006a"
POX_REQUEST = (
    '<?xml version="1.0" encoding="utf-8"?><Autodiscover'
    ' xmlns="http://schemas.microsoft.com/exchange/autodiscover/outlook/requestschema/2006">'
    "<Request><EMailAddress>{address}</EMailAddress>"
    f"<AcceptableResponseSchema>{POX_RESPONSE}</AcceptableResponseSchema>"
    "</Request></Autodiscover>"
)
