"""Tells clients where the web service of an address is: over SOAP, and as POX to Outlook and its like.

    /autodiscover/autodiscover.svc    GetUserSettings, for several users at once
    /autodiscover/autodiscover.xml    one address, in the older language
    plain HTTP                        a redirect to the same over TLS, which needs no sign-in

What it tells instead, and to whom, is a list of rules; the first that fits decides.
"""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from lxml import etree

from serversync.sandbox.ews import soap
from serversync.sandbox.ews.site import Site
from serversync.sandbox.ews.soap import Element, S, make
from serversync.sandbox.ews.store import Account
from serversync.sandbox.ews.versions import SCHEMAS, Release

FOLDER = "/autodiscover/"
SOAP_PATH = "/autodiscover/autodiscover.svc"
POX_PATH = "/autodiscover/autodiscover.xml"

A = "{http://schemas.microsoft.com/exchange/2010/Autodiscover}"
WSA = "{http://www.w3.org/2005/08/addressing}"
ACTION = f"{A[1:-1]}/Autodiscover/GetUserSettingsResponse"
REQUEST = "http://schemas.microsoft.com/exchange/autodiscover/outlook/requestschema/2006"
RESPONSE = "{http://schemas.microsoft.com/exchange/autodiscover/responseschema/2006}"
OUTLOOK = "{http://schemas.microsoft.com/exchange/autodiscover/outlook/responseschema/2006a}"

Environ = Mapping[str, Any]


class Outcome(StrEnum):
    SETTINGS = "settings"
    """What is true."""
    REDIRECT_ADDRESS = "redirect_address"
    """Ask again for the address `target`."""
    REDIRECT_URL = "redirect_url"
    """Ask the service at `target`."""
    MOVED = "moved"
    """HTTP 302 to `target`, before anybody signs in."""
    UNKNOWN_USER = "unknown_user"
    UNKNOWN_DOMAIN = "unknown_domain"
    ERROR = "error"
    """The server has an error of its own."""
    ABSENT = "absent"
    """HTTP 404: no such service at this host."""
    SLOW = "slow"
    """The truth, after `target` seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Empty fields fit everything. `who`: an address, or a domain with "@" before it; `host`: the name
    that was asked; `language`: "soap" or "pox"."""

    outcome: Outcome
    target: str = ""
    who: str = ""
    host: str = ""
    language: str = ""

    def fits(self, address: str, host: str, language: str) -> bool:
        domain = "@" + address.lower().rpartition("@")[2]
        return (
            self.who.lower() in ("", address.lower(), domain)
            and self.host.lower() in ("", host)
            and self.language in ("", language)
        )

    @classmethod
    def from_dict(cls, values: dict[str, object]) -> "Rule":
        """From the control port. Raises ValueError that names what is wrong."""
        if unknown := set(values) - {field.name for field in fields(cls)}:
            raise ValueError(f"a rule of autodiscover has no {', '.join(sorted(unknown))}")
        words = {name: str(value) for name, value in values.items()}
        if words.get("outcome") not in list(Outcome):
            raise ValueError(f"outcome is one of {', '.join(Outcome)}")
        return cls(**{**words, "outcome": Outcome(words["outcome"])})  # type: ignore[arg-type]


TRUTH = Rule(outcome=Outcome.SETTINGS)


@dataclass(frozen=True, slots=True)
class Response:
    status: int
    body: bytes = b""
    content_type: str = soap.CONTENT_TYPE
    headers: tuple[tuple[str, str], ...] = ()


def public(environ: Environ, data: bytes, site: Site) -> Response | None:
    """What is answered before anybody signs in; None: nothing, sign in first."""
    if environ["wsgi.url_scheme"] == "http" and environ["REQUEST_METHOD"] in ("GET", "HEAD"):
        return _moved(_over_tls(environ, site))
    language = _language(environ)
    if not language:
        return _page(404, "Not found")
    rule = _rule(site, _addresses(data), environ)
    match rule.outcome:
        case Outcome.MOVED:
            return _moved(rule.target)
        case Outcome.ABSENT:
            return _page(404, "Not found")
        case Outcome.SLOW:
            site.stopping.wait(float(rule.target or 1))
        case Outcome.ERROR if language == "pox":
            return _page(500, "Internal server error")
    return None


def respond(environ: Environ, data: bytes, site: Site) -> Response:
    """For somebody who has signed in; anyone may ask about anybody."""
    try:
        root = _read(data)
        if _language(environ) == "pox":
            return _xml(_pox(root, environ, site))
        return _xml(_soap(root, environ, site))
    except soap.SoapFault as refusal:
        if _language(environ) == "pox":
            return _xml(_pox_error("600", "Invalid Request"))
        return Response(500, soap.envelope(soap.fault(refusal), None))


# -- SOAP ------------------------------------------------------------------------------------------


def _soap(root: Element | None, environ: Environ, site: Site) -> Element:
    request = (
        root.find(f"{S}Body/{A}GetUserSettingsRequestMessage/{A}Request")
        if root is not None
        else None
    )
    if request is None:
        raise soap.SoapFault("ErrorInvalidRequest", "The request is invalid.")
    users = [user.text or "" for user in request.iterfind(f"{A}Users/{A}User/{A}Mailbox")]
    wanted = [name.text or "" for name in request.iterfind(f"{A}RequestedSettings/{A}Setting")]
    if not users or not wanted:
        return _message(site, "InvalidRequest", "Users and settings are missing.", [])
    if _rule(site, users, environ).outcome is Outcome.ERROR:
        return _message(site, "InternalServerError", "An internal server error occurred.", [])
    return _message(
        site, "NoError", "", [_user(address, wanted, environ, site) for address in users]
    )


def _message(site: Site, code: str, text: str, users: list[Element]) -> Element:
    response = make(
        f"{A}Response",
        make(f"{A}ErrorCode", code),
        make(f"{A}ErrorMessage", text),
        make(f"{A}UserResponses", *users),
    )
    header = make(f"{S}Header", make(f"{WSA}Action", ACTION), _version(site.release))
    body = make(f"{S}Body", make(f"{A}GetUserSettingsResponseMessage", response))
    return make(f"{S}Envelope", header, body)


def _version(release: Release) -> Element:
    parts = (make(f"{A}{name}", value) for name, value in release.header().items())
    return make(f"{A}ServerVersionInfo", *parts)


def _user(address: str, wanted: list[str], environ: Environ, site: Site) -> Element:
    rule = _rule(site, [address], environ)
    account = _account(site, address)
    match rule.outcome:
        case Outcome.REDIRECT_ADDRESS:
            return _user_response("RedirectAddress", "Redirection address.", rule.target)
        case Outcome.REDIRECT_URL:
            return _user_response("RedirectUrl", "Redirection url.", rule.target)
        case Outcome.UNKNOWN_DOMAIN:
            return _user_response("InvalidDomain", f"The domain of '{address}' isn't served here.")
        case Outcome.UNKNOWN_USER:
            account = None
    if account is None:
        if not _is_served(site, address):
            return _user_response("InvalidDomain", f"The domain of '{address}' isn't served here.")
        return _user_response("InvalidUser", f"Invalid user: '{address}'")
    return _told(account, wanted, site)


def _user_response(code: str, text: str, target: str = "", *more: Element) -> Element:
    return make(
        f"{A}UserResponse",
        make(f"{A}ErrorCode", code),
        make(f"{A}ErrorMessage", text),
        make(f"{A}RedirectTarget", target) if target else None,
        *more,
    )


def _told(account: Account, wanted: list[str], site: Site) -> Element:
    settings = _settings(account, site)
    errors = make(
        f"{A}UserSettingErrors", *(_missing(name) for name in wanted if name not in settings)
    )
    found = make(
        f"{A}UserSettings",
        *(_setting(name, settings[name]) for name in wanted if name in settings),
    )
    return _user_response("NoError", "No error.", "", errors, found)


def _setting(name: str, value: str) -> Element:
    kind = {"{http://www.w3.org/2001/XMLSchema-instance}type": "StringSetting"}
    setting = etree.Element(f"{A}UserSetting", kind)
    setting.extend([make(f"{A}Name", name), make(f"{A}Value", value)])
    return setting


def _missing(name: str) -> Element:
    return make(
        f"{A}UserSettingError",
        make(f"{A}ErrorCode", "SettingIsNotAvailable"),
        make(f"{A}ErrorMessage", f"The setting '{name}' isn't available."),
        make(f"{A}SettingName", name),
    )


def _settings(account: Account, site: Site) -> dict[str, str]:
    release = site.release
    known = SCHEMAS[: SCHEMAS.index(release.schema) + 1]
    return {
        "AutoDiscoverSMTPAddress": account.address,
        "UserDisplayName": account.name,
        "UserDN": _legacy_name(account),
        "ExternalEwsUrl": site.url,
        "InternalEwsUrl": site.url,
        "EwsSupportedSchemas": ", ".join(known),
        "CasVersion": ".".join(str(part) for part in release.build),
    }


# -- POX -------------------------------------------------------------------------------------------


def _pox(root: Element | None, environ: Environ, site: Site) -> Element:
    request = root.find(f"{{{REQUEST}}}Request") if root is not None else None
    if request is None:
        return _pox_error("600", "Invalid Request")
    if request.findtext(f"{{{REQUEST}}}AcceptableResponseSchema", "").strip() != OUTLOOK[1:-1]:
        return _pox_error("601", "Provider is not available.")
    address = request.findtext(f"{{{REQUEST}}}EMailAddress", "").strip()
    rule = _rule(site, [address], environ)
    match rule.outcome:
        case Outcome.REDIRECT_ADDRESS:
            return _pox_account(_pox_action("redirectAddr", "RedirectAddr", rule.target))
        case Outcome.REDIRECT_URL:
            return _pox_account(_pox_action("redirectUrl", "RedirectUrl", rule.target))
    account = _account(site, address)
    if account is None or rule.outcome in (Outcome.UNKNOWN_USER, Outcome.UNKNOWN_DOMAIN):
        return _pox_error("500", "The email address can't be found.")
    return _pox_settings(account, site)


def _pox_settings(account: Account, site: Site) -> Element:
    user = make(
        f"{OUTLOOK}User",
        make(f"{OUTLOOK}DisplayName", account.name),
        make(f"{OUTLOOK}LegacyDN", _legacy_name(account)),
        make(f"{OUTLOOK}AutoDiscoverSMTPAddress", account.address),
    )
    protocols = [
        make(
            f"{OUTLOOK}Protocol",
            make(f"{OUTLOOK}Type", kind),
            make(f"{OUTLOOK}Server", site.host),
            make(f"{OUTLOOK}ASUrl", site.url),
            make(f"{OUTLOOK}EwsUrl", site.url),
        )
        for kind in ("EXCH", "EXPR")
    ]
    answer = _pox_account(_pox_action("settings"), *protocols)
    answer[0].insert(0, user)
    return answer


def _pox_action(word: str, tag: str = "", target: str = "") -> list[Element]:
    action = make(f"{OUTLOOK}Action", word)
    return [action, make(f"{OUTLOOK}{tag}", target)] if tag else [action]


def _pox_account(action: list[Element], *protocols: Element) -> Element:
    account = make(f"{OUTLOOK}Account", make(f"{OUTLOOK}AccountType", "email"), *action, *protocols)
    return make(f"{RESPONSE}Autodiscover", make(f"{OUTLOOK}Response", account))


def _pox_error(code: str, text: str) -> Element:
    error = make(
        f"{RESPONSE}Error",
        make(f"{RESPONSE}ErrorCode", code),
        make(f"{RESPONSE}Message", text),
        make(f"{RESPONSE}DebugData"),
        Time=datetime.now(UTC).strftime("%H:%M:%S.%f"),
        Id=str(secrets.randbelow(2**32)),
    )
    return make(f"{RESPONSE}Autodiscover", make(f"{RESPONSE}Response", error))


# -- what both ask ---------------------------------------------------------------------------------


def _rule(site: Site, addresses: list[str], environ: Environ) -> Rule:
    host = _host(environ).partition(":")[0]
    language = _language(environ)
    for rule in list(site.autodiscover):
        if any(rule.fits(address, host, language) for address in addresses or [""]):
            return rule
    return TRUTH


def _account(site: Site, address: str) -> Account | None:
    account = site.store.account(address.strip())
    return account if account is not None and account.has_mailbox else None


def _is_served(site: Site, address: str) -> bool:
    domain = address.lower().rpartition("@")[2]
    return any(account.address.endswith(f"@{domain}") for account in site.store.accounts())


def _legacy_name(account: Account) -> str:
    return f"/o=Sandbox/ou=Exchange Administrative Group/cn=Recipients/cn={account.guid.hex()}"


def _language(environ: Environ) -> str:
    path = str(environ.get("PATH_INFO", "")).lower()
    return {SOAP_PATH: "soap", POX_PATH: "pox"}.get(path, "")


def _host(environ: Environ) -> str:
    return str(environ.get("HTTP_HOST", "")).lower()


def _over_tls(environ: Environ, site: Site) -> str:
    """The same host and path, at the port with TLS."""
    host = _host(environ).partition(":")[0] or site.host
    return f"https://{host}:{site.ports['ews']}{environ.get('PATH_INFO', '')}"


def _read(data: bytes) -> Element | None:
    """Raises SoapFault. Nothing is None."""
    parser = etree.XMLParser(resolve_entities=False, no_network=True, remove_comments=True)
    try:
        return etree.fromstring(data, parser) if data.strip() else None
    except (etree.XMLSyntaxError, ValueError) as error:
        raise soap.SoapFault("ErrorSchemaValidation", "The request is no XML.") from error


def _addresses(data: bytes) -> list[str]:
    """Whoever is asked about, in either language."""
    try:
        root = _read(data)
    except soap.SoapFault:
        return []
    found = (
        []
        if root is None
        else [*root.iter(f"{A}Mailbox"), *root.iter(f"{{{REQUEST}}}EMailAddress")]
    )
    return [(element.text or "").strip() for element in found]


def _moved(target: str) -> Response:
    return Response(302, headers=(("Location", target),))


def _page(status: int, text: str) -> Response:
    body = f"<html><body><h1>{text}</h1></body></html>".encode()
    return Response(status, body, "text/html; charset=utf-8")


def _xml(root: Element) -> Response:
    return Response(200, etree.tostring(root, xml_declaration=True, encoding="utf-8"))
