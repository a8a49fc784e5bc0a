"""PURE  What a filter may ask about: the fields of each table, and what may be asked of each kind of field."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import cache
from typing import Any

from django.db.models import IntegerChoices, TextChoices
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from activities.choices import (
    ActivityState,
    AppointmentStatus,
    Direction,
    FamilyStatus,
    FaxStatus,
    Gender,
    LetterStatus,
    ParticipationType,
    PatternEnd,
    PatternType,
    PhoneCallStatus,
    PreferredContactMethod,
    Priority,
    ServiceAppointmentStatus,
    TaskStatus,
)
from mailboxes.choices import StateCode
from serversync.act.types import Table


class Kind(Enum):
    TEXT = "text"
    NUMBER = "number"
    CHOICE = "choice"
    FLAG = "flag"
    DAY = "day"
    MOMENT = "moment"
    OWNER = "owner"
    USER = "user"
    REFERENCE = "reference"
    PARTIES = "parties"


class Takes(Enum):
    """What stands beside an operator."""

    NOTHING = "nothing"
    TEXT = "text"
    NUMBER = "number"
    CHOICES = "choices"
    DAY = "day"
    DAYS = "days"


class Operator(TextChoices):
    IS = "is", _("is")
    IS_NOT = "is_not", _("is not")
    CONTAINS = "contains", _("contains")
    LACKS = "lacks", _("does not contain")
    BEGINS = "begins", _("begins with")
    EQUALS = "equals", _("equals")
    DIFFERS = "differs", _("does not equal")
    AT_LEAST = "at_least", _("is at least")
    AT_MOST = "at_most", _("is at most")
    ONE_OF = "one_of", _("is one of")
    NONE_OF = "none_of", _("is none of")
    YES = "yes", _("is: yes")
    NO = "no", _("is: no")
    ON = "on", _("is on")
    BEFORE = "before", _("is before")
    AFTER = "after", _("is after")
    TODAY = "today", _("is today")
    NEXT_DAYS = "next_days", _("is within the next days")
    LAST_DAYS = "last_days", _("is within the last days")
    OLDER_DAYS = "older_days", _("is longer ago than, in days")
    ME = "me", _("is me")
    NOT_ME = "not_me", _("is not me")
    MY_TEAMS = "my_teams", _("is one of my teams")
    I_TAKE_PART = "i_take_part", _("I am one of them, as")
    I_DO_NOT = "i_do_not", _("I am none of them, as")
    SET = "set", _("is filled in")
    UNSET = "unset", _("is empty")

    @property
    def takes(self) -> Takes:
        return _TAKES.get(self, Takes.NOTHING)

    @property
    def is_relative(self) -> bool:
        """Whether time alone changes the answer."""
        return self in _RELATIVE


_TAKES = {
    **dict.fromkeys(
        (Operator.IS, Operator.IS_NOT, Operator.CONTAINS, Operator.LACKS, Operator.BEGINS),
        Takes.TEXT,
    ),
    **dict.fromkeys(
        (Operator.EQUALS, Operator.DIFFERS, Operator.AT_LEAST, Operator.AT_MOST), Takes.NUMBER
    ),
    **dict.fromkeys(
        (Operator.ONE_OF, Operator.NONE_OF, Operator.I_TAKE_PART, Operator.I_DO_NOT), Takes.CHOICES
    ),
    **dict.fromkeys((Operator.ON, Operator.BEFORE, Operator.AFTER), Takes.DAY),
    **dict.fromkeys((Operator.NEXT_DAYS, Operator.LAST_DAYS, Operator.OLDER_DAYS), Takes.DAYS),
}
_RELATIVE = frozenset((Operator.TODAY, Operator.NEXT_DAYS, Operator.LAST_DAYS, Operator.OLDER_DAYS))
_PRESENCE = (Operator.SET, Operator.UNSET)
_DATES = (
    *(Operator.ON, Operator.BEFORE, Operator.AFTER, Operator.TODAY),
    *(Operator.NEXT_DAYS, Operator.LAST_DAYS, Operator.OLDER_DAYS),
)
_OPERATORS: Mapping[Kind, tuple[Operator, ...]] = {
    Kind.TEXT: (
        *(Operator.IS, Operator.IS_NOT, Operator.CONTAINS, Operator.LACKS, Operator.BEGINS),
        *_PRESENCE,
    ),
    Kind.NUMBER: (Operator.EQUALS, Operator.DIFFERS, Operator.AT_LEAST, Operator.AT_MOST),
    Kind.CHOICE: (Operator.ONE_OF, Operator.NONE_OF),
    Kind.FLAG: (Operator.YES, Operator.NO),
    Kind.DAY: _DATES,
    Kind.MOMENT: _DATES,
    Kind.OWNER: (Operator.ME, Operator.NOT_ME, Operator.MY_TEAMS),
    Kind.USER: (Operator.ME, Operator.NOT_ME),
    Kind.REFERENCE: (),
    Kind.PARTIES: (Operator.I_TAKE_PART, Operator.I_DO_NOT),
}


@dataclass(frozen=True, slots=True)
class Field:
    """One thing to ask about.

    `path`: the column, as Django names it from the table's row; of an owner, what stands before
    owning_user and owning_team. `optional`: it may be empty. `only`: operators, if not all of its kind.
    `all_day`: the field that says whether days are meant where the time says 0:00 UTC (R6.35).
    `logical`: Dataverse's name; `over`: table, its key, and the column that refers to it, if it stands there.
    """

    name: str
    label: Any
    kind: Kind
    path: str
    choices: type[IntegerChoices] | None = None
    optional: bool = False
    only: tuple[Operator, ...] = ()
    all_day: str = ""
    logical: str = ""
    over: tuple[str, str, str] | None = None

    @property
    def operators(self) -> tuple[Operator, ...]:
        if self.only:
            return self.only
        added = _PRESENCE if self.optional and self.kind != Kind.TEXT else ()
        return (*_OPERATORS[self.kind], *added)


def _field(name: str, label: Any, kind: Kind, path: str | None = None, **more: Any) -> Field:
    path = name if path is None else path
    return Field(name, label, kind, path, **{"logical": name.replace("_", ""), **more})


def _texts(*pairs: tuple[str, Any]) -> list[Field]:
    return [_field(name, label, Kind.TEXT) for name, label in pairs]


def _flags(*pairs: tuple[str, Any]) -> list[Field]:
    return [_field(name, label, Kind.FLAG) for name, label in pairs]


def _ownership(before: str) -> list[Field]:
    """`before`: the way to the owned row, with its underscores."""
    return [
        _field("owner", _("owner"), Kind.OWNER, before, logical="ownerid"),
        _field(
            "owner_sign_in",
            _("owner's sign-in name"),
            Kind.TEXT,
            f"{before}owning_user__domain_name",
            logical="domainname",
            over=("systemuser", "systemuserid", "owninguser"),
        ),
        _field("created_on", _("created on"), Kind.MOMENT, f"{before}created_on"),
        _field("modified_on", _("modified on"), Kind.MOMENT, f"{before}modified_on"),
    ]


def _contact() -> list[Field]:
    return [
        _field(
            "state", _("state"), Kind.CHOICE, "state_code", choices=StateCode, logical="statecode"
        ),
        *_ownership(""),
        *_texts(
            ("first_name", _("first name")),
            ("middle_name", _("middle name")),
            ("last_name", _("last name")),
            ("suffix", _("suffix")),
            ("nickname", _("nickname")),
            ("salutation", _("salutation")),
            ("job_title", _("job title")),
            ("department", _("department")),
            ("email_address1", _("email")),
            ("email_address2", _("email 2")),
            ("email_address3", _("email 3")),
            ("telephone1", _("business phone")),
            ("telephone2", _("home phone")),
            ("mobile_phone", _("mobile phone")),
            ("fax", _("fax")),
            ("assistant_name", _("assistant")),
            ("manager_name", _("manager")),
            ("spouses_name", _("spouse or partner")),
            ("employee_id", _("employee id")),
        ),
        *(
            _field(f"address1_{name}", label, Kind.TEXT)
            for name, label in (
                ("city", _("city")),
                ("postal_code", _("postal code")),
                ("state_or_province", _("state or province")),
                ("country", _("country")),
            )
        ),
        _field(
            "account_name",
            _("account name"),
            Kind.TEXT,
            "parent_account__name",
            logical="name",
            over=("account", "accountid", "parentcustomerid"),
        ),
        _field(
            "account",
            _("account"),
            Kind.REFERENCE,
            "parent_account",
            optional=True,
            logical="parentcustomerid",
        ),
        _field(
            "preferred_user",
            _("preferred user"),
            Kind.USER,
            "preferred_system_user",
            optional=True,
            logical="preferredsystemuserid",
        ),
        _field("birth_date", _("birthday"), Kind.DAY, optional=True),
        _field("anniversary", _("anniversary"), Kind.DAY, optional=True),
        _field("gender_code", _("gender"), Kind.CHOICE, choices=Gender, optional=True),
        _field(
            "family_status_code",
            _("marital status"),
            Kind.CHOICE,
            choices=FamilyStatus,
            optional=True,
        ),
        _field("number_of_children", _("number of children"), Kind.NUMBER, optional=True),
        _field(
            "preferred_contact_method_code",
            _("preferred method of contact"),
            Kind.CHOICE,
            choices=PreferredContactMethod,
        ),
        *_flags(
            ("do_not_email", _("do not allow email")),
            ("do_not_bulk_email", _("do not allow bulk email")),
            ("do_not_phone", _("do not allow phone calls")),
            ("follow_email", _("follow email")),
            ("is_auto_create", _("created from mail")),
        ),
    ]


def _activity(statuses: type[IntegerChoices], roles: "type[IntegerChoices]") -> list[Field]:
    """What all activities have."""
    return [
        _field(
            "state",
            _("state"),
            Kind.CHOICE,
            "activity__state_code",
            choices=ActivityState,
            logical="statecode",
        ),
        _field("status_code", _("status"), Kind.CHOICE, choices=statuses),
        _field("parties", _("parties"), Kind.PARTIES, "pk", choices=roles, logical="activityid"),
        *_ownership("activity__"),
        _field("subject", _("subject"), Kind.TEXT, "activity__subject"),
        _field("description", _("description"), Kind.TEXT),
        _field(
            "regarding",
            _("regarding"),
            Kind.TEXT,
            "activity__regarding_id",
            only=_PRESENCE,
            logical="regardingobjectid",
        ),
        _field("priority_code", _("importance"), Kind.CHOICE, choices=Priority),
        *_texts(("category", _("category")), ("subcategory", _("subcategory"))),
    ]


def _held() -> list[Field]:
    """When an item of a calendar takes place."""
    return [
        _field("scheduled_start", _("start"), Kind.MOMENT, all_day="is_all_day_event"),
        _field("scheduled_end", _("end"), Kind.MOMENT, all_day="is_all_day_event"),
        *_flags(("is_all_day_event", _("all day"))),
        *_texts(("location", _("location"))),
    ]


def _meeting() -> list[Field]:
    return _flags(("is_mapi_private", _("private")), ("is_online_meeting", _("online meeting")))


def _to_do() -> list[Field]:
    return [
        _field("scheduled_start", _("start"), Kind.MOMENT, optional=True),
        _field("scheduled_end", _("due"), Kind.MOMENT, optional=True),
        _field("actual_end", _("actual end"), Kind.MOMENT, optional=True),
    ]


def _direction() -> Field:
    return _field("direction_code", _("direction"), Kind.CHOICE, choices=Direction)


class MeetingRole(IntegerChoices):
    """In which a user takes part in a meeting."""

    ORGANIZER = ParticipationType.ORGANIZER.value, ParticipationType.ORGANIZER.label
    REQUIRED = ParticipationType.REQUIRED_ATTENDEE.value, ParticipationType.REQUIRED_ATTENDEE.label
    OPTIONAL = ParticipationType.OPTIONAL_ATTENDEE.value, ParticipationType.OPTIONAL_ATTENDEE.label
    OWNER = ParticipationType.OWNER.value, ParticipationType.OWNER.label
    REGARDING = ParticipationType.REGARDING.value, ParticipationType.REGARDING.label


class ServiceRole(IntegerChoices):
    """The same in a service activity."""

    RESOURCE = ParticipationType.RESOURCE.value, ParticipationType.RESOURCE.label
    CUSTOMER = ParticipationType.CUSTOMER.value, ParticipationType.CUSTOMER.label
    OWNER = ParticipationType.OWNER.value, ParticipationType.OWNER.label
    REGARDING = ParticipationType.REGARDING.value, ParticipationType.REGARDING.label


class MessageRole(IntegerChoices):
    """The same in a task, call, letter or fax."""

    SENDER = ParticipationType.SENDER.value, ParticipationType.SENDER.label
    TO = ParticipationType.TO.value, ParticipationType.TO.label
    CC = ParticipationType.CC.value, ParticipationType.CC.label
    BCC = ParticipationType.BCC.value, ParticipationType.BCC.label
    OWNER = ParticipationType.OWNER.value, ParticipationType.OWNER.label
    REGARDING = ParticipationType.REGARDING.value, ParticipationType.REGARDING.label


def _number(name: str, label: Any) -> Field:
    return _field(name, label, Kind.NUMBER, optional=True)


_FIELDS: Mapping[Table, Iterable[Field]] = {
    Table.CONTACT: _contact(),
    Table.APPOINTMENT: [
        *_activity(AppointmentStatus, MeetingRole),
        *_held(),
        *_meeting(),
        *_flags(("is_draft", _("draft"))),
    ],
    Table.RECURRING_APPOINTMENT: [
        *_activity(AppointmentStatus, MeetingRole),
        *_meeting(),
        *_flags(("is_all_day_event", _("all day"))),
        *_texts(("location", _("location"))),
        _field("recurrence_pattern_type", _("repeats"), Kind.CHOICE, choices=PatternType),
        _field("pattern_start_date", pgettext_lazy("series", "from"), Kind.DAY),
        _field("pattern_end_type", _("ends"), Kind.CHOICE, choices=PatternEnd),
        _field("pattern_end_date", pgettext_lazy("series", "until"), Kind.DAY, optional=True),
    ],
    Table.SERVICE_APPOINTMENT: [*_activity(ServiceAppointmentStatus, ServiceRole), *_held()],
    Table.TASK: [
        *_activity(TaskStatus, MessageRole),
        *_to_do(),
        _number("percent_complete", _("percent complete")),
    ],
    Table.PHONE_CALL: [
        *_activity(PhoneCallStatus, MessageRole),
        *_to_do(),
        _direction(),
        *_texts(("phone_number", _("phone number"))),
        *_flags(("left_voice_mail", _("left voice mail"))),
    ],
    Table.LETTER: [
        *_activity(LetterStatus, MessageRole),
        *_to_do(),
        _direction(),
        *_texts(("address", _("address"))),
    ],
    Table.FAX: [
        *_activity(FaxStatus, MessageRole),
        *_to_do(),
        _direction(),
        *_texts(("fax_number", _("fax number"))),
        _number("number_of_pages", _("pages")),
    ],
}


@cache
def fields_of(table: Table) -> Mapping[str, Field]:
    """Name -> field, in the order in which people look for them."""
    return {field.name: field for field in _FIELDS[table]}
