"""PURE  What a record here can hold of an item's fields, so that both sides can be compared.

A record is narrower than an item: lines are cut, "elsewhere" is free, three addresses may be one. Comparing raw values
would find a change where none is, and carry a cut text back. So both sides pass `fitted`: the item as it is read, the
record as well. What is equal after that is equal.

    item ──fitted──> as it would be read here ──> compared with the record, stored
    record's change ──placed──> where the item keeps it, written
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, time, timedelta
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from mailboxes.protocols.items import (
    FIELDS,
    Address,
    Answer,
    Fields,
    ItemKind,
    Person,
    Response,
    Sensitivity,
    Shape,
    ShowAs,
    TaskProgress,
    Value,
    When,
)
from mailboxes.recurrence import Pattern, Recurrence, Side, Weekday, aligned, validate
from serversync.act.fields import ADDRESSES, MAILING
from serversync.act.types import ActSettings, Table

DAY = timedelta(days=1)
LONGEST_BODY = 1_048_576
LONGEST_ADDRESS = 100
STREET_LINES = 3
UNIVERSAL = frozenset({"", "UTC", "Etc/UTC", "Etc/UCT", "Zulu", "Z"})

#: Longest text that the columns of a table hold; a body is longer.
_MEETING_LIMITS = {"subject": 800, "location": 200, "online_meeting_url": 600}
_TO_DO_LIMITS = {"subject": 800}
LIMITS: dict[Table, dict[str, int]] = {
    Table.APPOINTMENT: _MEETING_LIMITS,
    Table.RECURRING_APPOINTMENT: _MEETING_LIMITS,
    Table.SERVICE_APPOINTMENT: {"subject": 800, "location": 500},
    Table.TASK: _TO_DO_LIMITS,
    Table.PHONE_CALL: _TO_DO_LIMITS,
    Table.LETTER: _TO_DO_LIMITS,
    Table.FAX: _TO_DO_LIMITS,
    Table.CONTACT: {
        **dict.fromkeys(("given_name", "middle_name", "surname"), 50),
        "suffix": 10,
        **dict.fromkeys(("yomi_given_name", "yomi_surname"), 150),
        **dict.fromkeys(
            (
                *("business_phone", "business_phone2", "home_phone", "home_phone2", "other_phone"),
                *("mobile_phone", "callback", "company_main_phone", "business_fax", "pager"),
                *("assistant_phone", "government_id"),
            ),
            50,
        ),
        **dict.fromkeys(
            (
                *("title", "nickname", "job_title", "department", "manager", "assistant_name"),
                *("spouse", "email1", "email2", "email3"),
            ),
            100,
        ),
        "children": 255,
        "business_home_page": 200,
        "ftp_site": 200,
    },
}
ADDRESS_LIMITS = {"city": 80, "state": 50, "postal_code": 20, "country": 80}
STREET_LIMIT = 250


@dataclass(frozen=True, slots=True)
class Fitted:
    """`cut`: fields of which only a part can be kept."""

    fields: Fields
    cut: frozenset[str] = field(default_factory=frozenset)


def fitted(table: Table, fields: Fields, settings: ActSettings | None = None) -> Fitted:
    """Fields as a record of this table would tell them. What isn't synchronized stays as it is.

    `settings`: of an item, for the address that counts (R6.16); a record has its addresses in their places."""
    shapes = FIELDS[table.kind]
    found = {
        name: _FIT[shapes[name]](value) if name in shapes and shapes[name] in _FIT else value
        for name, value in fields.items()
    }
    if table == Table.CONTACT:
        _fit_contact(found, settings)
    elif table.kind == ItemKind.TASK:
        _fit_task(table, found)
    else:
        _fit_meeting(found)
    cut = {name for name, limit in LIMITS[table].items() if _cut(found, name, limit)}
    return Fitted(found, frozenset(cut | _cut_long(found)))


def placed(fields: Fields, mailing: str, settings: ActSettings) -> Fields:
    """Of a contact: the changed fields in the places where the server has them. `mailing`: which of its
    addresses the item has for the mailing address, "" for none or a new item."""
    if settings.all_addresses or MAILING not in fields:
        return fields
    others = {name: value for name, value in fields.items() if name != MAILING}
    if f"{mailing}_address" in ADDRESSES:
        return others | {f"{mailing}_address": fields[MAILING]}
    is_empty = fields[MAILING] in (None, Address())
    return fields if is_empty else {**fields, "mailing_address": "business"}


# -- values ----------------------------------------------------------------------------------------


def one_line(text: Any) -> str:
    return re.sub(r"[\r\n\t\x00\v\f]+", " ", str(text or "")).strip()


def lines(text: Any) -> str:
    """Ends of lines are \\n; blanks at the end of the whole are a client's, not a person's."""
    return re.sub(r"\r\n?", "\n", str(text or "").replace("\x00", "")).rstrip()


def when_of(when: When | None) -> When | None:
    """A day has no zone, and begins at midnight in UTC (R6.35)."""
    if when is None:
        return None
    if when.all_day:
        first, last = _midnight(when.start), _midnight(when.end)
        last += DAY if last < when.end or last <= first else timedelta()
        return When(first, max(last, first + DAY), all_day=True)
    return replace(when, end=max(when.start, when.end), zone=_zone(when.zone))


@lru_cache(maxsize=1024)
def _zone(name: str) -> str:
    """A name that nobody here knows can't be kept."""
    try:
        return "UTC" if name in UNIVERSAL else ZoneInfo(name).key
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return "UTC"


def _midnight(moment: datetime) -> datetime:
    return datetime.combine(moment.astimezone(UTC).date(), time(), UTC)


def people_of(people: Iterable[Person] | None) -> tuple[Person, ...]:
    """Each once, in the order of their addresses. Nobody can be invited without one."""
    known = {person.address.lower(): person for person in people or () if person.address}
    return tuple(
        person if person.address == address else replace(person, address=address)
        for address, person in sorted(known.items())
    )


def answers_of(answers: Iterable[Answer] | None) -> tuple[Answer, ...]:
    """Of those who have answered."""
    said = {one.address.lower(): one for one in answers or () if one.response in ANSWERED}
    return tuple(replace(one, address=address) for address, one in sorted(said.items()))


ANSWERED = (Response.ACCEPTED, Response.TENTATIVE, Response.DECLINED)


def person_of(person: Person | None) -> Person | None:
    found = people_of([person] if person else [])
    return found[0] if found else None


def address_of(address: Address | None) -> Address:
    """As many lines of the street as there are columns for; more stand in the last one."""
    address = address or Address()
    parts = {name: one_line(getattr(address, name))[:limit].strip() for name, limit in _PARTS}
    return Address(street="\n".join(street_lines(address.street)), **parts)


_PARTS = tuple(ADDRESS_LIMITS.items())


def street_lines(street: str) -> list[str]:
    found = [line for each in lines(street).split("\n") if (line := one_line(each))]
    most = STREET_LINES - 1
    found = [*found[:most], ", ".join(found[most:])] if len(found) > STREET_LINES else found
    return [line[:STREET_LIMIT].strip() for line in found]


def recurrence_of(pattern: Recurrence | None) -> Recurrence | None:
    """From the day of its first occurrence. The day that a week begins with counts only for weekly patterns
    that leave weeks out."""
    if pattern is None or any(one.side is Side.HERE for one in validate(pattern)):
        return pattern
    pattern = aligned(pattern)
    if pattern.pattern == Pattern.WEEKLY and pattern.interval > 1:
        return pattern
    return replace(pattern, first_day_of_week=Weekday.MONDAY)


_FIT: dict[Shape, Callable[[Any], Value]] = {
    Shape.TEXT: one_line,
    Shape.LINES: lines,
    Shape.WHEN: when_of,
    Shape.PERSON: person_of,
    Shape.PEOPLE: people_of,
    Shape.ADDRESS: address_of,
    Shape.RECURRENCE: recurrence_of,
    Shape.ANSWERS: answers_of,
}


# -- what fields mean together -----------------------------------------------------------------------


def _fit_meeting(found: dict[str, Value]) -> None:
    if found.get("show_as") == ShowAs.WORKING_ELSEWHERE:
        found["show_as"] = ShowAs.FREE  # R6.27
    if "sensitivity" in found:
        found["sensitivity"] = sensitivity_of(found["sensitivity"])
    if found.get("show_as") == ShowAs.FREE and "reminder" in found:
        found["reminder"] = None  # R6.21
    _without_organizer(found)


def sensitivity_of(told: Value) -> Sensitivity:
    """Here something is private or isn't (R6.36)."""
    private = told in (Sensitivity.PRIVATE, Sensitivity.CONFIDENTIAL)
    return Sensitivity.PRIVATE if private else Sensitivity.NORMAL


def _without_organizer(found: dict[str, Value]) -> None:
    """Who invites isn't invited; a server takes him off the list by itself."""
    organizer = found.get("organizer")
    for name in ("required", "optional"):
        people = found.get(name)
        if isinstance(organizer, Person) and isinstance(people, tuple):
            found[name] = tuple(one for one in people if one != organizer)  # type: ignore[assignment]


def _fit_task(table: Table, found: dict[str, Value]) -> None:
    if "start" in found and found.get("due", found["start"]) is None:
        found["due"] = found["start"]  # R6.38: each side copies it by itself
    if "status" not in found:
        return
    done = found["status"] == TaskProgress.COMPLETED or found.get("percent_complete") == 100
    if done:
        found |= {"status": TaskProgress.COMPLETED, "percent_complete": 100}
    elif table != Table.TASK:
        found["status"] = TaskProgress.NOT_STARTED  # calls, letters and faxes are open or done
    if done and "reminder" in found:
        found["reminder"] = None  # R6.37
    if "percent_complete" in found:
        found["percent_complete"] = found["percent_complete"] or 0


def _fit_contact(found: dict[str, Value], settings: ActSettings | None) -> None:
    if settings is not None and not settings.all_addresses:
        place = f"{found.get('mailing_address') or 'business'}_address"
        if place in found:
            found[MAILING] = found[place]
    named = ("given_name", "middle_name", "surname", "suffix")
    if all(name in found for name in named) and not any(found[name] for name in named):
        found["surname"] = found.get("display_name", "")
    if "children" in found:
        children = str(found["children"]).split(";")
        found["children"] = "; ".join(name for each in children if (name := each.strip()))
    page = str(found.get("business_home_page") or "")
    if page and "://" not in page:
        found["business_home_page"] = f"http://{page}"
    for name in ("email1", "email2", "email3"):
        if name in found and not _is_address(str(found[name] or "")):
            found[name] = ""


def _is_address(text: str) -> bool:
    """A part of one is another one, and what a directory calls a person is none."""
    return "@" in text and len(text) <= LONGEST_ADDRESS


def _cut(found: dict[str, Value], name: str, limit: int) -> bool:
    text = found.get(name)
    if not isinstance(text, str) or len(text) <= limit:
        return False
    found[name] = text[:limit].rstrip()
    return True


def _cut_long(found: dict[str, Value]) -> set[str]:
    return {"body"} if _cut(found, "body", LONGEST_BODY) else set()


# -- R6.16 ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class KnownAddresses:
    """Of a linked contact. `here`: which of the three have something; `mailing`: which one is the mailing
    address there, as it was when both were last equal."""

    here: frozenset[str]
    mailing: str = ""


@dataclass(frozen=True, slots=True)
class RemapCounts:
    """What switching between one address and all three would do to linked contacts.

    `moved`: the address that both sides share is another one afterwards; `sent`: an address here goes to
    the server, where it may replace one; `changed`: either of it."""

    linked: int = 0
    moved: int = 0
    sent: int = 0
    changed: int = 0


def remap_counts(contacts: Iterable[KnownAddresses], to_all: bool) -> RemapCounts:
    linked = moved = sent = changed = 0
    for contact in contacts:
        elsewhere = contact.mailing not in ("", "business")
        more = to_all and bool(contact.here & {"home_address", "other_address"})
        linked, moved, sent = linked + 1, moved + elsewhere, sent + more
        changed += elsewhere or more
    return RemapCounts(linked, moved, sent, changed)


def known_addresses(fields: Fields, mailing: str) -> KnownAddresses:
    filled: Mapping[str, Any] = {name: fields.get(name) for name in ADDRESSES}
    return KnownAddresses(
        frozenset(name for name, told in filled.items() if told and told != Address()), mailing
    )
