"""Contacts: what the server adds to those it is given."""

from serversync.sandbox.ews import soap
from serversync.sandbox.ews.appointments import replace
from serversync.sandbox.ews.occurrences import put
from serversync.sandbox.ews.soap import Element, T, children, make, schema
from serversync.sandbox.ews.store import Item, NewItem

PHONES = (
    "AssistantPhone", "BusinessFax", "BusinessPhone", "BusinessPhone2", "Callback", "CarPhone",
    "CompanyMainPhone", "HomeFax", "HomePhone", "HomePhone2", "Isdn", "MobilePhone", "OtherFax",
    "OtherTelephone", "Pager", "PrimaryPhone", "RadioPhone", "Telex", "TtyTddPhone",
    "BusinessMobile", "IPPhone", "Mms", "Msn",
)  # fmt: skip
#: Holder of indexed entries -> the keys that its schema has.
KEYS = {
    "EmailAddresses": ("EmailAddress1", "EmailAddress2", "EmailAddress3"),
    "PhoneNumbers": PHONES,
    "ImAddresses": ("ImAddress1", "ImAddress2", "ImAddress3"),
    "PhysicalAddresses": ("Business", "Home", "Other"),
}
PLACES = ("None", "Business", "Home", "Other")
#: FileAsMapping -> how the name for filing is made.
FILED_AS = {
    "FirstSpaceLast": "{given} {surname}",
    "LastCommaFirst": "{surname}, {given}",
    "LastSpaceFirst": "{surname} {given}",
    "LastFirst": "{surname}{given}",
    "Company": "{company}",
    "LastCommaFirstCompany": "{surname}, {given}\r\n{company}",
    "CompanyLastCommaFirst": "{company}\r\n{surname}, {given}",
    "DisplayName": "{shown}",
    "FirstName": "{given}",
    "LastName": "{surname}",
}


def settle(item: Item | NewItem) -> None:
    """Raises SoapFault."""
    element = item.element
    for holder, keys in KEYS.items():
        _require_keys(element.find(T + holder), keys)
    place = element.findtext(f"{T}PostalAddressIndex") or "None"
    if place not in PLACES:
        raise schema(f"The value '{place}' of 'PostalAddressIndex' is invalid.", element)
    put(element, "PostalAddressIndex", place)
    given, surname = _text(element, "GivenName"), _text(element, "Surname")
    if not _text(element, "DisplayName") and (given or surname):
        put(element, "DisplayName", f"{given} {surname}".strip())
    _settle_filing(element)
    _settle_addresses(element)
    if (name := complete_name(element)) is not None:
        replace(element, name)


def _text(element: Element, name: str) -> str:
    return (element.findtext(T + name) or "").strip()


def _require_keys(holder: Element | None, keys: tuple[str, ...]) -> None:
    for entry in children(holder):
        soap.attribute(entry, "Key", keys)


def _settle_filing(element: Element) -> None:
    wanted = FILED_AS.get(_text(element, "FileAsMapping"))
    if wanted is None:
        return
    filed = wanted.format(
        given=_text(element, "GivenName"),
        surname=_text(element, "Surname"),
        company=_text(element, "CompanyName"),
        shown=_text(element, "DisplayName"),
    )
    put(element, "FileAs", filed.strip(" ,\r\n"))


def _settle_addresses(element: Element) -> None:
    """Addresses of mail are told with a name and a type."""
    for entry in children(element.find(f"{T}EmailAddresses")):
        address = (entry.text or "").strip()
        shown = _text(element, "DisplayName")
        entry.set("Name", f"{shown} ({address})" if shown else address)
        entry.set("RoutingType", "SMTP")
        entry.set("MailboxType", "Contact")


def complete_name(element: Element) -> Element | None:
    parts = {
        "FirstName": _text(element, "GivenName"),
        "MiddleName": _text(element, "MiddleName"),
        "LastName": _text(element, "Surname"),
        "Suffix": _text(element, "Generation"),
        "Initials": _text(element, "Initials"),
        "FullName": _text(element, "DisplayName"),
        "Nickname": _text(element, "Nickname"),
    }
    if not any(parts.values()):
        return None
    return make(f"{T}CompleteName", *(make(T + name, text) for name, text in parts.items() if text))
