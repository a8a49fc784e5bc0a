"""Contacts: mostly one property for each field; phones, addresses and places are entries of lists."""

from collections.abc import Iterator
from datetime import date, datetime, time
from typing import cast

from exchangelib.version import Build

from mailboxes.protocols.ews import messages
from mailboxes.protocols.ews.items import values
from mailboxes.protocols.ews.items.fields import (
    IN_LINES,
    MARKS,
    SECRECY,
    Field,
    Table,
    named_text,
    one_line,
    text,
)
from mailboxes.protocols.ews.items.paths import Part, Path, numbered, tagged
from mailboxes.protocols.ews.operations import Element, T, clean, type_space
from mailboxes.protocols.items import Address, Value

EMAILS = {f"email{number}": f"EmailAddress{number}" for number in (1, 2, 3)}
PHONES = {
    "business_phone": "BusinessPhone",
    "business_phone2": "BusinessPhone2",
    "home_phone": "HomePhone",
    "home_phone2": "HomePhone2",
    "other_phone": "OtherTelephone",
    "mobile_phone": "MobilePhone",
    "callback": "Callback",
    "car_phone": "CarPhone",
    "business_fax": "BusinessFax",
    "home_fax": "HomeFax",
    "other_fax": "OtherFax",
    "pager": "Pager",
    "assistant_phone": "AssistantPhone",
    "company_main_phone": "CompanyMainPhone",
    "primary_phone": "PrimaryPhone",
    "radio_phone": "RadioPhone",
    "telex": "Telex",
    "tty_phone": "TtyTddPhone",
}
#: Parts of an address, in the order of the schema.
PARTS = {
    "street": "Street",
    "city": "City",
    "state": "State",
    "country": "CountryOrRegion",
    "postal_code": "PostalCode",
}
PLACES = ("business", "home", "other")
INDEX = Path("contacts:PostalAddressIndex")
CHILDREN = Path("contacts:Children")
BETWEEN = "; "
NOON = time(11, 59)  # as Outlook and its kin write a day, so that no zone shows another one


# -- entries ---------------------------------------------------------------------------------------


def entry(item: Element, holder: str, key: str) -> Element | None:
    for each in item.iterfind(f"{type_space}{holder}/{type_space}Entry"):
        if each.get("Key") == key:
            return each
    return None


def entry_field(holder: str, uri: str, key: str) -> Field:
    """One entry of a list of texts."""
    path = Path(uri, key)

    def read(item: Element) -> Value:
        found = entry(item, holder, key)
        return "" if found is None or not found.text else " ".join(found.text.split())

    def write(value: Value, _build: Build) -> list[Part]:
        content = one_line(value)
        return [Part(path, T(holder, T.Entry(content, Key=key)) if content else None)]

    return Field((Path(f"contacts:{holder}"),), read, write)


def place_field(place: str) -> Field:
    key = place.title()

    def read(item: Element) -> Value:
        found = entry(item, "PhysicalAddresses", key)
        if found is None:
            return None
        address = Address(**{name: _part(found, name, element) for name, element in PARTS.items()})
        return address if address != Address() else None

    def write(value: Value, _build: Build) -> list[Part]:
        address = cast(Address | None, value) or Address()
        return [
            _address_part(key, element, _clean_part(name, getattr(address, name)))
            for name, element in PARTS.items()
        ]

    return Field((Path("contacts:PhysicalAddresses"),), read, write)


def _part(found: Element, name: str, element: str) -> str:
    return _clean_part(name, found.findtext(type_space + element) or "")


def _clean_part(name: str, value: str) -> str:
    """A street may have several lines."""
    return values.lines(clean(value)).strip() if name == "street" else one_line(value)


def _address_part(key: str, element: str, value: str) -> Part:
    path = Path(f"contacts:PhysicalAddress:{element}", key)
    content = T.PhysicalAddresses(T.Entry(T(element, value), Key=key)) if value else None
    return Part(path, content)


# -- days and lists --------------------------------------------------------------------------------


def day_field(uri: str) -> Field:
    path = Path(uri)

    def read(item: Element) -> Value:
        return values.day(item, path.name)

    def write(value: Value, _build: Build) -> list[Part]:
        if value is None:
            return [Part(path, None)]
        noon = datetime.combine(cast(date, value), NOON)
        return [Part(path, T(path.name, noon.strftime("%Y-%m-%dT%H:%M:%SZ")))]

    return Field((path,), read, write)


def _read_children(item: Element) -> Value:
    return BETWEEN.join(_strings(item))


def _strings(item: Element) -> Iterator[str]:
    for each in item.iterfind(f"{type_space}Children/{type_space}String"):
        if each.text and each.text.strip():
            yield " ".join(each.text.split())


def _write_children(value: Value, _build: Build) -> list[Part]:
    names = [each.strip() for each in one_line(value).split(BETWEEN.strip()) if each.strip()]
    return [Part(CHILDREN, T.Children(*(T.String(each) for each in names)) if names else None)]


def _read_index(item: Element) -> Value:
    said = messages.text(item, INDEX.name).lower()
    return said if said in PLACES else ""


def _write_index(value: Value, _build: Build) -> list[Part]:
    return [Part(INDEX, T.PostalAddressIndex(str(value).title() if value else "None"))]


FIELDS: Table = {
    "title": named_text(tagged("0x3a45")),
    "given_name": text("contacts:GivenName"),
    "middle_name": text("contacts:MiddleName"),
    "surname": text("contacts:Surname"),
    "suffix": text("contacts:Generation"),
    "nickname": text("contacts:Nickname"),
    "initials": text("contacts:Initials"),
    "display_name": text("contacts:DisplayName"),
    "file_as": text("contacts:FileAs"),
    "yomi_given_name": named_text(numbered("Address", 0x802C, "String")),
    "yomi_surname": named_text(numbered("Address", 0x802D, "String")),
    "job_title": text("contacts:JobTitle"),
    "department": text("contacts:Department"),
    "company_name": text("contacts:CompanyName"),
    "office_location": text("contacts:OfficeLocation"),
    "profession": text("contacts:Profession"),
    "manager": text("contacts:Manager"),
    "assistant_name": text("contacts:AssistantName"),
    "spouse": text("contacts:SpouseName"),
    "business_home_page": text("contacts:BusinessHomePage"),
    "ftp_site": named_text(tagged("0x3a4c")),
    "government_id": named_text(tagged("0x3a07")),
    "customer_id": named_text(tagged("0x3a4a")),
    **{
        name: entry_field("PhoneNumbers", "contacts:PhoneNumber", key)
        for name, key in PHONES.items()
    },
    **{
        name: entry_field("EmailAddresses", "contacts:EmailAddress", key)
        for name, key in EMAILS.items()
    },
    **{f"{place}_address": place_field(place) for place in PLACES},
    "body": IN_LINES,
    "children": Field((CHILDREN,), _read_children, _write_children),
    "birthday": day_field("contacts:Birthday"),
    "anniversary": day_field("contacts:WeddingAnniversary"),
    "mailing_address": Field((INDEX,), _read_index, _write_index),
    "sensitivity": SECRECY,
    "categories": MARKS,
}

#: In the order of the schema, after what every item has.
ORDER = [
    "FileAs",
    "DisplayName",
    "GivenName",
    "Initials",
    "MiddleName",
    "Nickname",
    "CompanyName",
    "EmailAddresses",
    "PhysicalAddresses",
    "PhoneNumbers",
    "AssistantName",
    "Birthday",
    "BusinessHomePage",
    "Children",
    "Department",
    "Generation",
    "JobTitle",
    "Manager",
    "OfficeLocation",
    "PostalAddressIndex",
    "Profession",
    "SpouseName",
    "Surname",
    "WeddingAnniversary",
]
