"""PURE  Which field means which column, and which way it goes (R6.14 to R6.17).

`MAPPINGS` is the table: one row for what is switched together. A row names fields of the server
(`mailboxes.protocols.items.FIELDS`) and columns here; one that isn't one column and one field is *computed*.

Fields that no row names are not synchronized: they stay what they are on the server, and are left alone here.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from django.utils.translation import gettext_lazy as _

from serversync.act.types import ActSettings, Direction, Table

ANY_WAY = frozenset(Direction)
#: While a contact has one address, both sides call it so, wherever the server keeps it (R6.16).
MAILING = "business_address"
#: Address on the server -> number of the address here, as the original maps all three.
ADDRESSES = {"business_address": 1, "home_address": 2, "other_address": 3}


@dataclass(frozen=True, slots=True, kw_only=True)
class AttributeMapping:
    """One row of R6.14. `columns`: here; "parties" and "attachments" stand for rows of their own. `fields`:
    the server's; none where it has nothing like it. `default`: unless an administrator chose another of
    `allowed`."""

    label: Any
    columns: tuple[str, ...]
    fields: tuple[str, ...]
    name: str
    table: Table = Table.APPOINTMENT
    default: Direction = Direction.BOTH
    allowed: frozenset[Direction] = frozenset({Direction.BOTH})
    rule: str = "R6.14"
    note: Any = ""

    @property
    def key(self) -> str:
        """Unique among all tables, such as "task.body"."""
        return f"{self.table.name.lower()}.{self.name}"

    @property
    def is_settable(self) -> bool:
        return len(self.allowed) > 1

    @property
    def is_computed(self) -> bool:
        return len(self.columns) != 1 or len(self.fields) != 1


Overrides = Mapping[str, Direction]


def directions(table: Table, overrides: Overrides, settings: ActSettings) -> dict[str, Direction]:
    """Field of the server -> the way it goes; "attachments" counts as one. Fields that are missing go no way.

    `overrides`: key of a mapping -> what an administrator chose; what its row doesn't allow isn't followed.
    """
    return {
        field: direction_of(mapping, overrides, settings)
        for mapping in mappings_of(table, settings)
        for field in mapping.fields
    }


def direction_of(
    mapping: AttributeMapping, overrides: Overrides, settings: ActSettings
) -> Direction:
    if mapping.key == "appointment.attachments":
        return Direction.BOTH if settings.attachments else Direction.NONE
    chosen = overrides.get(mapping.key, mapping.default)
    return chosen if chosen in mapping.allowed else mapping.default


def mappings_of(table: Table, settings: ActSettings) -> tuple[AttributeMapping, ...]:
    """The rows of a table that hold under these settings."""
    unused = "address" if settings.all_addresses else "addresses"
    return tuple(mapping for mapping in MAPPINGS[table] if mapping.name != unused)


def mapping_of(key: str) -> AttributeMapping | None:
    return _BY_KEY.get(key)


# -- the table -------------------------------------------------------------------------------------


def _both(label: Any, columns: str, fields: str, name: str = "", **more: Any) -> AttributeMapping:
    """Fixed, unless `more` says otherwise. Without a name of its own it is called as its first field."""
    names = tuple(fields.split())
    return AttributeMapping(
        label=label, columns=tuple(columns.split()), fields=names, name=name or names[0], **more
    )


def _settable(label: Any, columns: str, fields: str, **more: Any) -> AttributeMapping:
    return _both(label, columns, fields, allowed=ANY_WAY, **more)


def _fixed(way: Direction, label: Any, columns: str, fields: str, **more: Any) -> AttributeMapping:
    return _both(label, columns, fields, default=way, allowed=frozenset({way}), **more)


def _to_server(label: Any, columns: str, fields: str, **more: Any) -> AttributeMapping:
    return _fixed(Direction.TO_SERVER, label, columns, fields, **more)


_TIME = "scheduled_start scheduled_end is_all_day_event time_zone"
_PATTERN = (
    "recurrence_pattern_type interval days_of_week_mask day_of_month instance month_of_year"
    " is_nth_monthly is_nth_yearly is_weekday_pattern first_day_of_week pattern_start_date"
    " pattern_end_type pattern_end_date occurrences deleted_exceptions_list"
)
_REGARDING = _both(
    _("Regarding"),
    "regarding_type regarding_id",
    "",
    name="regarding",
    note=_("The server has nothing like it, so what is set here stays."),
)
_IMPORTANCE = _both(_("Importance"), "priority_code", "importance")
_STATUS = _both(
    _("Show time as"),
    "status_code",
    "show_as",
    rule="R6.21",
    note=_("What is completed, canceled or free here shows as free."),
)
_TEXTS = (
    _settable(_("Subject"), "subject", "subject"),
    _settable(_("Location"), "location", "location"),
    _settable(
        _("Description"),
        "description",
        "body",
        rule="R6.15",
        note=_("Plain text here; pictures and links of the server's body are not kept."),
    ),
)
_REMINDER = _to_server(
    _("Reminder"),
    "reminder_minutes",
    "reminder",
    rule="R6.21",
    note=_("Not set for what is more than 7 days past, or not open."),
)
_MEETING = (
    *_TEXTS,
    _IMPORTANCE,
    _both(_("Required attendees"), "parties", "required", rule="R6.31"),
    _both(_("Optional attendees"), "parties", "optional", rule="R6.31"),
    _both(_("Organizer"), "parties", "organizer", rule="R6.29"),
    _REGARDING,
    _STATUS,
    _REMINDER,
    _both(
        _("Private"),
        "is_mapi_private",
        "sensitivity",
        rule="R6.36",
        note=_("Only owner and organizer see subject and description."),
    ),
    _both(
        _("Link to the online meeting"),
        "online_meeting_join_url",
        "online_meeting_url",
        rule="R6.36a",
    ),
    _fixed(Direction.TO_STORE, _("Answers"), "parties", "answers"),
)
_WHEN = _both(
    _("Time"),
    _TIME,
    "when",
    rule="R6.35",
    note=_("Start, end, all day and time zone, together."),
)
_NO_FILES = _fixed(
    Direction.NONE, _("Attachments"), "attachments", "attachments", rule="R6.34", note=_("Never.")
)
_APPOINTMENT = (
    *_MEETING,
    _WHEN,
    replace(_NO_FILES, note=_("Both ways where a setting of the organization says so.")),
)
_SERIES = (
    *_MEETING,
    replace(_WHEN, columns=("start_time", "duration", "is_all_day_event", "time_zone")),
    _both(_("Pattern"), _PATTERN, "recurrence", rule="R6.8"),
    _NO_FILES,
)
_SERVICE = (
    *(
        replace(mapping, default=Direction.TO_SERVER, allowed=frozenset({Direction.TO_SERVER}))
        for mapping in (*_TEXTS, _WHEN, _IMPORTANCE, _STATUS, _REMINDER)
    ),
    _NO_FILES,
)

_TO_DO = (
    _settable(_("Subject"), "subject", "subject"),
    _settable(_("Notes"), "description", "body", rule="R6.15"),
    _settable(_("Start date"), "scheduled_start", "start", rule="R6.38"),
    _settable(_("Due date"), "scheduled_end", "due", rule="R6.37"),
    _settable(_("Date completed"), "actual_end", "completed", rule="R6.37"),
    _IMPORTANCE,
    _REGARDING,
    _both(
        _("Status"),
        "status_code",
        "status",
        rule="R6.37",
        note=_("What is completed or canceled here is completed there."),
    ),
    _to_server(
        _("Reminder"),
        "scheduled_end",
        "reminder",
        rule="R6.37",
        note=_("A time of day of the due date here; reminders don't come back."),
    ),
)
_TASK = (*_TO_DO, _settable(_("Percent complete"), "percent_complete", "percent_complete"))

_LINES = "line1 line2 line3 city state_or_province postal_code country"


def _address_columns(number: int) -> str:
    return " ".join(f"address{number}_{part}" for part in _LINES.split())


_CONTACT = (
    _both(
        _("Name"),
        "first_name middle_name last_name suffix",
        "given_name middle_name surname suffix",
        name="name",
    ),
    _to_server(
        _("Display name"),
        "first_name middle_name last_name",
        "display_name",
        note=_("Made of the name here."),
    ),
    _both(
        _("Mailing address"),
        _address_columns(1),
        MAILING,
        name="address",
        rule="R6.16",
        note=_(
            "The one that is the mailing address there; a new one becomes the business address."
        ),
    ),
    _both(
        _("Business, home and other address"),
        " ".join(map(_address_columns, ADDRESSES.values())),
        " ".join(ADDRESSES),
        name="addresses",
        rule="R6.16",
    ),
    _settable(_("Salutation"), "salutation", "title"),
    _settable(_("Nickname"), "nickname", "nickname"),
    _settable(_("Phonetic first name"), "yomi_first_name", "yomi_given_name"),
    _settable(_("Phonetic last name"), "yomi_last_name", "yomi_surname"),
    _settable(_("Email"), "email_address1", "email1"),
    _settable(_("Email 2"), "email_address2", "email2"),
    _settable(_("Email 3"), "email_address3", "email3"),
    _settable(_("Business phone"), "telephone1", "business_phone"),
    _settable(_("Business phone 2"), "business2", "business_phone2"),
    _settable(_("Home phone"), "telephone2", "home_phone"),
    _settable(_("Home phone 2"), "home2", "home_phone2"),
    _settable(_("Other phone"), "telephone3", "other_phone"),
    _settable(_("Mobile phone"), "mobile_phone", "mobile_phone"),
    _settable(_("Callback number"), "callback", "callback"),
    _settable(_("Company phone"), "company", "company_main_phone"),
    _settable(_("Fax"), "fax", "business_fax"),
    _settable(_("Pager"), "pager", "pager"),
    _settable(_("Assistant"), "assistant_name", "assistant_name"),
    _settable(_("Assistant phone"), "assistant_phone", "assistant_phone"),
    _settable(_("Job title"), "job_title", "job_title"),
    _settable(_("Department"), "department", "department"),
    _settable(_("Manager"), "manager_name", "manager"),
    _settable(_("Spouse or partner"), "spouses_name", "spouse"),
    _settable(_("Children"), "childrens_names", "children"),
    _settable(_("Birthday"), "birth_date", "birthday"),
    _settable(_("Anniversary"), "anniversary", "anniversary"),
    _settable(_("Website"), "website_url", "business_home_page"),
    _settable(_("FTP site"), "ftp_site_url", "ftp_site"),
    _settable(_("Government id"), "government_id", "government_id"),
    _both(
        _("Company"),
        "parent_account",
        "company_name",
        default=Direction.TO_SERVER,
        allowed=frozenset({Direction.TO_SERVER, Direction.NONE}),
        note=_("The account's name; choose no direction to leave it out."),
    ),
    _settable(
        _("Personal notes"),
        "description",
        "body",
        note=_("Choose no direction to keep them private."),
    ),
)


def _of(table: Table, mappings: tuple[AttributeMapping, ...]) -> tuple[AttributeMapping, ...]:
    return tuple(replace(mapping, table=table) for mapping in mappings)


MAPPINGS: dict[Table, tuple[AttributeMapping, ...]] = {
    table: _of(table, mappings)
    for table, mappings in (
        (Table.APPOINTMENT, _APPOINTMENT),
        (Table.RECURRING_APPOINTMENT, _SERIES),
        (Table.SERVICE_APPOINTMENT, _SERVICE),
        (Table.TASK, _TASK),
        (Table.PHONE_CALL, _TO_DO),
        (Table.LETTER, _TO_DO),
        (Table.FAX, _TO_DO),
        (Table.CONTACT, _CONTACT),
    )
}
_BY_KEY = {mapping.key: mapping for rows in MAPPINGS.values() for mapping in rows}
