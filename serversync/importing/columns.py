"""Which columns a file may have, by which words they are known, and what their cells mean.

A column is one of a model, so its name, its meaning and what it takes are said there. Headers are known by the
label in every language of the site, by our name and by Dataverse's.
"""

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from difflib import get_close_matches
from functools import cache
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Field, Model
from django.utils import timezone, translation
from django.utils.dateparse import parse_date, parse_datetime
from django.utils.functional import Promise
from django.utils.text import capfirst
from django.utils.translation import gettext as __
from django.utils.translation import gettext_lazy as _

from mailboxes.fields import SecretField
from mailboxes.models import EmailServerProfile, Mailbox, Queue, SystemUser
from mailboxes.presets import GMAIL
from serversync.choices import ImportKind
from serversync.importing.reading import Row, Table, Unreadable

#: What a cell says to have its column emptied. An empty cell leaves it as it is.
EMPTY_IT = "(empty)"
_EMPTY_WORDS = {EMPTY_IT, "(空)"}  # full-width brackets are made narrow before
YES = {"yes", "y", "true", "on", "1", "はい", "真"}
NO = {"no", "n", "false", "off", "0", "いいえ", "偽"}
COMMENT = "#"


@dataclass(frozen=True, slots=True, eq=False)
class Column:
    """`refers`: to records of which kind, by their name or address. `many`: to several of them. `also`: words
    that a cell may hold beside the labels of the choices."""

    model: type[Model]
    name: str
    aliases: tuple[str, ...] = ()
    refers: str = ""
    many: bool = False
    means: str | Promise = ""
    also: tuple[str, ...] = ()

    @property
    def field(self) -> "Field[Any, Any]":
        return self.model._meta.get_field(self.name)  # type: ignore[return-value]

    @property
    def label(self) -> str:
        return capfirst(str(self.field.verbose_name))

    @property
    def is_secret(self) -> bool:
        return isinstance(self.field, SecretField)

    @property
    def is_plain(self) -> bool:
        """Whether its value is one of the row itself, and no other record."""
        return not self.refers

    @property
    def meaning(self) -> str:
        if self.means:
            return str(self.means)
        told = [str(self.field.help_text)]
        if self.refers:
            told.append(str(REFERENCE_WORDS[self.refers]))
        elif isinstance(self.field, models.BooleanField):
            told.append(__("Yes or no."))
        elif self.field.choices:
            told.append(__("One of: %(labels)s") % {"labels": " | ".join(self.choices)})
        elif isinstance(self.field, models.DateField):
            example = "2026-04-01 09:30" if self.takes_time else "2026-04-01"
            told.append(__("Written like %(example)s.") % {"example": example})
        return " ".join(part for part in told if part)

    @property
    def choices(self) -> list[str]:
        labels = [str(label) for value, label in self.field.flatchoices if value != ""]
        return [*labels, *self.also]

    @property
    def takes_time(self) -> bool:
        return isinstance(self.field, models.DateTimeField)

    def words(self) -> Iterable[str]:
        """Every way to write it as a header, the surest first."""
        yield self.name
        for code, _name in settings.LANGUAGES:
            with translation.override(code):
                yield str(self.field.verbose_name)
        yield from self.aliases


REFERENCE_WORDS = {
    "user": _("Sign-in name or primary email of a user."),
    "queue": _("Name or address of a queue."),
    "profile": _("Name of a server profile."),
    "team": _("Name of a team."),
}


def _columns(model: type[Model], *names: "str | Column") -> tuple[Column, ...]:
    return tuple(Column(model, each) if isinstance(each, str) else each for each in names)


_OWNER = (
    ("owning_user", ("owner", "ownerid", "owning user"), "user"),
    ("owning_team", ("owning team",), "team"),
)


def _owner(model: type[Model]) -> tuple[Column, ...]:
    return tuple(Column(model, name, aliases, refers) for name, aliases, refers in _OWNER)


_FIRST = ("name", "description", "server_type")

COLUMNS: dict[ImportKind, tuple[Column, ...]] = {
    ImportKind.USERS: _columns(
        SystemUser,
        Column(SystemUser, "domain_name", ("user name", "username", "login")),
        "first_name",
        "middle_name",
        "last_name",
        Column(
            SystemUser, "internal_email_address", ("email", "e-mail", "email address", "address")
        ),
        "personal_email_address",
        "mobile_alert_email",
        "is_disabled",
        "disabled_reason",
        "access_mode",
        "is_licensed",
        "title",
        "job_title",
        "nickname",
        Column(SystemUser, "address1_telephone1", ("phone", "telephone")),
        Column(SystemUser, "mobile_phone", ("mobile",)),
        "home_phone",
        Column(SystemUser, "parent_system_user", ("parentsystemuserid",), "user"),
        Column(SystemUser, "queue", ("queueid",), "queue"),
    ),
    ImportKind.QUEUES: _columns(
        Queue,
        "name",
        Column(Queue, "email_address", ("email", "e-mail", "address")),
        "description",
        "incoming_email_filtering_method",
        "queue_view_type",
        *_owner(Queue),
        Column(
            Queue,
            "members",
            refers="user",
            many=True,
            means=_(
                "Sign-in names or primary emails, separated by semicolons. They replace the members there are."
            ),
        ),
    ),
    ImportKind.PROFILES: _columns(
        EmailServerProfile,
        "name",
        "description",
        Column(
            EmailServerProfile,
            "server_type",
            also=tuple(preset.label for preset in GMAIL),
        ),
        *(
            field.name
            for field in EmailServerProfile._meta.concrete_fields
            if field.editable
            and not field.is_relation
            and field.name not in ("id", "dkim_private_key", "modified_on", *_FIRST)
        ),
        *_owner(EmailServerProfile),
    ),
    ImportKind.MAILBOXES: _columns(
        Mailbox,
        Column(Mailbox, "email_address", ("email", "e-mail", "address")),
        Column(
            Mailbox,
            "regarding_user",
            ("systemuserid", "regarding user"),
            "user",
            means=_("Whose mailbox it is: sign-in name or primary email of the user."),
        ),
        Column(
            Mailbox,
            "regarding_queue",
            ("regarding queue",),
            "queue",
            means=_("Whose mailbox it is: name or address of the queue."),
        ),
        Column(
            Mailbox,
            "is_forward_mailbox",
            ("forward mailbox",),
            means=_(
                "Yes makes a new forward mailbox (R1.2); others come with their user or queue."
            ),
        ),
        "name",
        Column(Mailbox, "email_server_profile", ("profile", "emailserverprofileid"), "profile"),
        "incoming_email_delivery_method",
        "outgoing_email_delivery_method",
        "act_delivery_method",
        "allow_email_connector_to_use_credentials",
        Column(Mailbox, "user_name", ("login", "username")),
        Column(
            Mailbox,
            "password",
            means=_("Stored encrypted, shown to nobody, and no part of the dry run."),
        ),
        Column(
            Mailbox,
            "email_router_access_approval",
            ("approval", "emailrouteraccessapproval"),
            means=_("“Approved” or “Rejected”, for who may approve (R2.4). Empty: left as it is."),
        ),
        "process_email_received_after",
        "process_and_delete_emails",
        "delete_rejected_emails",
        "messages_per_minute",
        "messages_per_day",
        "recipients_per_day",
        *_owner(Mailbox),
    ),
}
#: By which the record of a row is found, in this order.
KEYS: dict[ImportKind, tuple[str, ...]] = {
    ImportKind.USERS: ("domain_name", "internal_email_address"),
    ImportKind.QUEUES: ("name", "email_address"),
    ImportKind.PROFILES: ("name",),
    ImportKind.MAILBOXES: ("regarding_user", "regarding_queue", "email_address"),
}


# -- headers -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class UnknownHeader:
    """`near`: labels that may have been meant."""

    words: str
    near: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Heading:
    columns: Mapping[int, Column]
    unknown: tuple[UnknownHeader, ...] = ()

    def __contains__(self, name: str) -> bool:
        return any(column.name == name for column in self.columns.values())

    @property
    def has_secrets(self) -> bool:
        return any(column.is_secret for column in self.columns.values())


@cache
def known_words(kind: ImportKind) -> Mapping[str, Column]:
    """The first claim on a word stands, so names go before labels, and those before other words."""
    known: dict[str, Column] = {}
    listed = [list(column.words()) for column in COLUMNS[kind]]
    longest = max(map(len, listed))
    for at in range(longest):
        for column, words in zip(COLUMNS[kind], listed, strict=True):
            if at < len(words):
                known.setdefault(bare(words[at]), column)
    return known


def heading_of(kind: ImportKind, header: Sequence[str]) -> Heading:
    """Raises Unreadable where no row could be decided."""
    known = known_words(kind)
    columns: dict[int, Column] = {}
    unknown = []
    for place, words in enumerate(header):
        column = known.get(bare(words))
        if column is None:
            if words:
                unknown.append(UnknownHeader(words, _near(words, known)))
            continue
        if column in columns.values():
            raise Unreadable(
                _("Two columns are “%(label)s”; the second is number %(place)d. Remove one."),
                label=column.label,
                place=place + 1,
            )
        columns[place] = column
    if not any(column.name in KEYS[kind] for column in columns.values()):
        labels = [column.label for column in COLUMNS[kind] if column.name in KEYS[kind]]
        raise Unreadable(
            _(
                "No column says which record a row means. The first row must name at least one of: "
                "%(labels)s. Start from the template of this kind."
            ),
            labels=", ".join(labels),
        )
    return Heading(columns, tuple(unknown))


def _near(words: str, known: Mapping[str, Column]) -> tuple[str, ...]:
    found = get_close_matches(bare(words), list(known), n=3, cutoff=0.6)
    return tuple(dict.fromkeys(known[each].label for each in found))


def bare(words: str) -> str:
    """As headers and choices are compared: width, case, blanks and signs don't count."""
    narrow = unicodedata.normalize("NFKC", words).casefold()
    return "".join(letter for letter in narrow if letter.isalnum())


# -- cells ---------------------------------------------------------------------------------------

Cells = Mapping[str, str]  # name of a column -> what its cell says; without empty ones


def rows_of(table: Table, heading: Heading) -> list[tuple[int, Cells]]:
    """Rows whose first cell begins with “#” are for people."""
    return [
        (row.number, _cells(row, heading))
        for row in table.rows
        if not row.cells[0].lstrip().startswith(COMMENT)
    ]


def _cells(row: Row, heading: Heading) -> Cells:
    found = {}
    for place, column in heading.columns.items():
        text = row.cells[place] if place < len(row.cells) else ""
        if text.strip():
            found[column.name] = text if column.is_secret else text.strip()
    return found


def parts_of(text: str) -> list[str]:
    """Several names in one cell, with semicolons or line ends between them."""
    listed = text.replace("；", ";").replace("\n", ";").split(";")
    return [part.strip() for part in listed if part.strip()]


def empties(text: str) -> bool:
    return unicodedata.normalize("NFKC", text).strip().casefold() in _EMPTY_WORDS


def value_of(column: Column, text: str) -> Any:
    """What a cell of a plain column means, as the column's form would take it. Raises ValidationError."""
    field = column.field
    if empties(text):
        return _emptied(field)
    if isinstance(field, models.BooleanField):
        return _yes_or_no(text)
    if field.choices:
        return _chosen(column, text)
    if isinstance(field, models.DateField):
        text = _moment(text, column.takes_time)
    return _form_field(field).clean(text)


def _emptied(field: "Field[Any, Any]") -> Any:
    if field.null:
        return None
    if field.blank and field.empty_strings_allowed and not field.choices:
        return ""
    if field.blank and isinstance(field, models.CharField):
        return ""
    raise ValidationError(_("It can't be empty. Leave the cell empty to keep what is there."))


def _yes_or_no(text: str) -> bool:
    word = unicodedata.normalize("NFKC", text).casefold()
    if word in YES or word in NO:
        return word in YES
    raise ValidationError(_("“%(text)s” is neither yes nor no."), params={"text": shortened(text)})


def _chosen(column: Column, text: str) -> Any:
    found = _choices(column).get(bare(text))
    if found is not None:
        return found
    raise ValidationError(
        _("“%(text)s” is none of: %(labels)s."),
        params={"text": shortened(text), "labels": " | ".join(column.choices)},
    )


@cache
def _choices(column: Column) -> Mapping[str, Any]:
    """By number, and by label in every language."""
    found: dict[str, Any] = {}
    choices = [(value, label) for value, label in column.field.flatchoices if value != ""]
    for value, _label in choices:
        found[bare(str(value))] = value
    for code, _name in settings.LANGUAGES:
        with translation.override(code):
            for value, label in choices:
                found.setdefault(bare(str(label)), value)
    return found


#: Others are a slip, and time zones lead out of the calendar at its ends.
YEARS = range(1900, 2201)


def _moment(text: str, takes_time: bool) -> str:
    """ISO's way, whatever the language of the page: 2026/4/1 and 2026-04-01 09:30 as well."""
    plain = unicodedata.normalize("NFKC", text).replace("/", "-").strip()
    try:
        at = parse_datetime(plain)
        day = parse_date(plain) if at is None else None
        if at is None and day is not None:
            at = datetime(day.year, day.month, day.day)  # noqa: DTZ001 - the site's zone is given below
        if at is not None and timezone.is_aware(at) and takes_time:
            at = timezone.make_naive(at)
    except (OverflowError, ValueError):
        at = None
    if at is None or at.year not in YEARS:
        raise ValidationError(
            _("“%(text)s” is no date. Write it like 2026-04-01%(time)s."),
            params={"text": shortened(text), "time": " 09:30" if takes_time else ""},
        )
    if not takes_time:
        return at.date().isoformat()
    return at.replace(microsecond=0).isoformat(" ")


@cache
def _form_field(field: "Field[Any, Any]") -> Any:
    """The one that the field has in every form. ISO is taken in every language."""
    made: Any = field.formfield()
    made.required = False
    return made


def shortened(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:59]}…"
