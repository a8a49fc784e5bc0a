"""Fields of the forms that something is planned with: days, times of day, zones, people."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from email.utils import getaddresses
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

from django import forms
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.forms.utils import flatatt
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext_lazy

LONGEST_LIST = 20_000  # letters of a list of people: a few hundred of them


class DayField(forms.DateField):
    """The browser's own chooser of days."""

    def __init__(self, **kw: Any) -> None:
        widget = forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d")
        super().__init__(**{"widget": widget, "input_formats": ["%Y-%m-%d"], **kw})


class ClockField(forms.TimeField):
    """The browser's own chooser of a time of day."""

    def __init__(self, **kw: Any) -> None:
        widget = forms.TimeInput(attrs={"type": "time"}, format="%H:%M")
        super().__init__(**{"widget": widget, "input_formats": ["%H:%M", "%H:%M:%S"], **kw})


# -- time zones ------------------------------------------------------------------------------------


class ZoneSelect(forms.Select):
    """Some 400 zones, which Django's templates would take a tenth of a second for."""

    def render(
        self, name: str, value: Any, attrs: dict[str, Any] | None = None, renderer: Any = None
    ) -> SafeString:
        said = self.build_attrs(self.attrs, {"name": name, **(attrs or {})})
        said.pop("required", None)
        return format_html(
            "<select {}>{}</select>",
            flatatt(said),
            zone_options(timezone.now().date(), value or ""),
        )


class ZoneField(forms.ChoiceField):
    """IANA names with what their clocks differ from UTC today, by region."""

    widget = ZoneSelect

    def __init__(self, **kw: Any) -> None:
        super().__init__(**{"choices": lambda: zone_choices(timezone.now().date()), **kw})

    def valid_value(self, value: Any) -> bool:
        """A name that is known but not offered stays: a server may have sent it."""
        return super().valid_value(value) or str(value) in available_timezones()


@lru_cache(maxsize=2)
def zone_choices(day: date) -> tuple[Any, ...]:
    noon = datetime.combine(day, time(12), tzinfo=UTC)
    groups: dict[str, list[tuple[str, str]]] = {}
    for name in sorted(available_timezones()):
        region, slash, _place = name.partition("/")
        if slash and region not in ("Etc", "SystemV", "posix", "right", "US"):
            groups.setdefault(region, []).append((name, f"{name} ({offset_words(name, noon)})"))
    return (("UTC", "UTC"), *((region, tuple(names)) for region, names in groups.items()))


def zone_options(day: date, chosen: str) -> SafeString:
    """The chosen one is among them, even if it isn't offered."""
    utc, *groups = zone_choices(day)
    offered = {utc[0], *(name for _region, names in groups for name, _words in names)}
    others = [] if chosen in offered else [(chosen, chosen)]
    flat = format_html_join("", _OPTION, ((n, _mark(n, chosen), w) for n, w in [*others, utc]))
    grouped = format_html_join(
        "",
        '<optgroup label="{}">{}</optgroup>',
        (
            (
                region,
                format_html_join("", _OPTION, ((n, _mark(n, chosen), words) for n, words in names)),
            )
            for region, names in groups
        ),
    )
    return format_html("{}{}", flat, grouped)


_OPTION = '<option value="{}"{}>{}</option>'


def _mark(name: str, chosen: str) -> str:
    return " selected" if name == chosen else ""


def offset_words(name: str, moment: datetime) -> str:
    """ "UTC+01:00", as it is there at that moment."""
    offset = moment.astimezone(ZoneInfo(name)).utcoffset() or timedelta()
    minutes = int(offset.total_seconds() // 60)
    hours, rest = divmod(abs(minutes), 60)
    return f"UTC{'-' if minutes < 0 else '+'}{hours:02}:{rest:02}"


def moment_of(day: date, clock: time, zone: ZoneInfo) -> datetime:
    """In UTC. Of a time that the clocks show twice the first; ValidationError for one that they skip."""
    local = datetime.combine(day, clock, tzinfo=zone)
    moment = local.astimezone(UTC)
    if moment.astimezone(zone).replace(tzinfo=None) != local.replace(tzinfo=None):
        raise ValidationError(
            _(
                "On that day the clocks of %(zone)s go forward, and %(time)s does not exist. Choose an "
                "earlier or a later time. (R6.35)"
            ),
            params={"zone": zone.key, "time": f"{clock:%H:%M}"},
        )
    return moment


# -- reminders -------------------------------------------------------------------------------------

_HOUR, _DAY = 60, 24 * 60
_REMINDERS = (0, 5, 10, 15, 30, _HOUR, 2 * _HOUR, 12 * _HOUR, _DAY, 2 * _DAY, 7 * _DAY)


class ReminderField(forms.TypedChoiceField):
    """Minutes before it begins, or None."""

    def __init__(self, **kw: Any) -> None:
        super().__init__(
            **{"coerce": int, "empty_value": None, "required": False, "label": _("Reminder"), **kw}
        )
        self.offer(None)

    def offer(self, minutes: int | None) -> None:
        """What is stored is among the choices, too."""
        known = sorted({*_REMINDERS, *([minutes] if minutes is not None else [])})
        self.choices = [("", _("None")), *((one, reminder_words(one)) for one in known)]


def reminder_words(minutes: int) -> Any:
    if minutes == 0:
        return _("When it begins")
    for size, words in (
        (_DAY, ngettext_lazy("%(count)d day before", "%(count)d days before", "count")),
        (_HOUR, ngettext_lazy("%(count)d hour before", "%(count)d hours before", "count")),
    ):
        if minutes % size == 0:
            return words % {"count": minutes // size}
    one = ngettext_lazy("%(count)d minute before", "%(count)d minutes before", "count")
    return one % {"count": minutes}


# -- people ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Typed:
    """Somebody as a person typed them: an address, with or without a name; or a name alone."""

    address: str
    name: str = ""

    @property
    def key(self) -> str:
        return (self.address or self.name).casefold()


class PeopleField(forms.CharField):
    """Addresses with or without names, and names of records; separated by commas, semicolons or lines."""

    default_error_messages = {
        "address": _(
            "“%(address)s” is not an email address. Write ada@example.com, or "
            "Ada <ada@example.com>; separate several by commas."
        ),
        "long": _("That is more than %(most)d letters. Invite a group by its own address."),
    }

    def __init__(self, **kw: Any) -> None:
        widget = forms.Textarea(attrs={"rows": 2, "class": "vLargeTextField"})
        super().__init__(**{"required": False, "widget": widget, **kw})

    def to_python(self, value: Any) -> Any:
        text = (super().to_python(value) or "").replace("\0", "")
        if len(text) > LONGEST_LIST:
            raise ValidationError(self.error_messages["long"], params={"most": LONGEST_LIST})
        found: dict[str, Typed] = {}
        for part in split_people(text):
            typed = self._typed(part)
            found.setdefault(typed.key, typed)
        return tuple(found.values())

    def run_validators(self, value: Any) -> None:
        """What is made of the text is no text any more."""

    def _typed(self, part: str) -> Typed:
        if "@" not in part:
            return Typed("", part.strip(' "'))
        name, address = (*getaddresses([part]), ("", ""))[0]
        try:
            validate_email(address)
        except ValidationError as error:
            raise ValidationError(
                self.error_messages["address"], params={"address": address or part}
            ) from error
        return Typed(address, name)

    def has_changed(self, initial: Any, data: Any) -> bool:
        return list(split_people(str(initial or ""))) != list(split_people(str(data or "")))


def split_people(text: str) -> Iterator[str]:
    """At commas, semicolons and ends of lines, but for those between quotes."""
    part, quoted = "", False
    for letter in text:
        quoted ^= letter == '"'
        if letter in "\r\n" or (letter in ",;" and not quoted):
            if part.strip():
                yield part.strip()
            part, quoted = "", False
        else:
            part += letter
    if part.strip():
        yield part.strip()


def written(people: Sequence[Typed]) -> str:
    """As it is typed, one to a line."""
    return ",\n".join(_written(one) for one in people)


def _written(one: Typed) -> str:
    if not one.address:
        return f'"{one.name}"' if any(sign in one.name for sign in ",;") else one.name
    if not one.name or one.name == one.address:
        return one.address
    name = one.name.replace('"', "'")
    return (
        f'"{name}" <{one.address}>'
        if any(sign in name for sign in ',;"')
        else f"{name} <{one.address}>"
    )
