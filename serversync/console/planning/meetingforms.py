"""What appointments, service activities and single occurrences of series are written with."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils import timezone
from django.utils.translation import gettext as __
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from activities.choices import (
    ActivityState,
    AppointmentStatus,
    ParticipationType,
    ServiceAppointmentStatus,
)
from activities.models import (
    ActivityParty,
    Appointment,
    RecurringAppointmentMaster,
    ServiceAppointment,
)
from activities.store import NewParty
from mailboxes import access
from mailboxes.models import SystemUser
from mailboxes.timezones import zone as zone_named
from serversync.console.planning.fields import (
    ClockField,
    DayField,
    PeopleField,
    ReminderField,
    Typed,
    ZoneField,
    moment_of,
    written,
)
from serversync.console.planning.files import FileBoxes
from serversync.console.planning.forms import HELP, OFFERED, ActivityForm
from serversync.console.planning.people import (
    as_it_was,
    party_of,
    rows_of_activity,
    typed_of,
)
from serversync.console.regarding import key_of, key_of_ref, record_at
from serversync.outbox.rights import may_send_as

DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
MIDNIGHT = time(0)
#: The organizer of a meeting whom nobody here is.
KEPT = "kept"
REQUIRED, OPTIONAL = ParticipationType.REQUIRED_ATTENDEE, ParticipationType.OPTIONAL_ATTENDEE


class TimedForm(ActivityForm):
    """From when to when, in which zone; or all day."""

    first_day = DayField(label=_("Begins on"))
    begins = ClockField(label=pgettext_lazy("time of day", "at"), required=False)
    last_day = DayField(label=_("Ends on"), required=False)
    ends = ClockField(label=pgettext_lazy("time of day", "at"), required=False)
    time_zone = ZoneField(
        label=_("Time zone"), help_text=_("Where these times are local. All day is everywhere.")
    )
    reminder_minutes = ReminderField()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "reminder_minutes" in self.fields:
            reminder = self.fields["reminder_minutes"]
            assert isinstance(reminder, ReminderField)
            reminder.offer(getattr(self.instance, "reminder_minutes", None))

    def fresh(self) -> dict[str, Any]:
        now = timezone.localtime()
        start = now.replace(minute=0, second=0, microsecond=0) + HOUR
        asked = day_in(self.request.GET.get("first_day"))
        day = asked or start.date()
        begins = time(9) if asked and asked != now.date() else start.time()
        ends = datetime.combine(day, begins) + HOUR
        return {
            **super().fresh(),
            "first_day": day,
            "begins": begins,
            "last_day": ends.date(),
            "ends": ends.time(),
            "time_zone": timezone.get_current_timezone_name(),
            "reminder_minutes": 15,
        }

    def stored(self, instance: Any) -> dict[str, Any]:
        return {**super().stored(instance), **times_of(instance)}

    def clean(self) -> dict[str, Any]:
        data = super().clean()
        if "first_day" not in data:
            return data
        start = self._moment(data["first_day"], "begins")
        end = self._moment(data.get("last_day") or data["first_day"], "ends")
        if start is None or end is None:
            return data
        if data.get("is_all_day_event"):
            end += DAY
        if end < start:
            word = __("It ends before it begins. Choose a later end.")
            self.add_error("ends" if not data.get("is_all_day_event") else "last_day", word)
        self.cleaned_data |= {"scheduled_start": start, "scheduled_end": end}
        return self.cleaned_data

    def _moment(self, day: date, name: str) -> datetime | None:
        """In UTC; all day is midnight there, whatever the zone (R6.35)."""
        data = self.cleaned_data
        if data.get("is_all_day_event"):
            return datetime.combine(day, MIDNIGHT, tzinfo=UTC)
        clock = data.get(name)
        zone = zone_named(data.get("time_zone") or "")
        if clock is None:
            if name not in self.errors:
                self.add_error(name, __("Say at what time, or tick “all day”."))
            return None
        if zone is None:
            return None
        try:
            return moment_of(day, clock, zone)
        except ValidationError as skipped:
            self.add_error(name, skipped)
            return None


def times_of(item: Any) -> dict[str, Any]:
    """The boxes of what is stored, on the clock of its own zone."""
    zone = zone_named(item.time_zone) or timezone.get_current_timezone()
    named = {"time_zone": item.time_zone or timezone.get_current_timezone_name()}
    if item.is_all_day_event:
        return {"first_day": item.first_day, "last_day": item.last_day, **named}
    start, end = item.scheduled_start.astimezone(zone), item.scheduled_end.astimezone(zone)
    return {
        "first_day": start.date(),
        "begins": start.time(),
        "last_day": end.date(),
        "ends": end.time(),
        **named,
    }


def day_in(text: str | None) -> date | None:
    try:
        return date.fromisoformat(text or "")
    except ValueError:
        return None


# -- meetings ---------------------------------------------------------------------------------

#: What a person chooses; the other two are reached by buttons.
OPEN_STATUSES = (
    AppointmentStatus.BUSY,
    AppointmentStatus.FREE,
    AppointmentStatus.TENTATIVE,
    AppointmentStatus.OUT_OF_OFFICE,
)
MEETING_COLUMNS = (
    "is_all_day_event", "location", "time_zone", "reminder_minutes", "status_code", "priority_code",
    "is_mapi_private", "is_online_meeting", "online_meeting_join_url", "category", "description",
)  # fmt: skip


class WithAttendees(ActivityForm):
    """Appointments and series."""

    people = {"required": REQUIRED, "optional": OPTIONAL}

    organizer = forms.ChoiceField(
        label=_("Organizer"),
        required=False,
        help_text=_("Only this user's mailbox sends it to the server and invites (R6.20)."),
    )
    required = PeopleField(label=_("Required attendees"), help_text=HELP)
    optional = PeopleField(label=_("Optional attendees"))

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._offer("organizer", list(self._organizers()))
        if "status_code" in self.fields:
            self.fields["status_code"].label = _("Show time as")
            self._offer("status_code", [(one.value, one.label) for one in OPEN_STATUSES])

    def fresh(self) -> dict[str, Any]:
        return {**super().fresh(), "organizer": key_of(SystemUser(pk=self.actor.pk))}

    def stored(self, instance: Any) -> dict[str, Any]:
        return {**super().stored(instance), "organizer": self._stored_organizer()}

    @property
    def organizer_row(self) -> ActivityParty | None:
        role = ParticipationType.ORGANIZER
        return next((row for row in self.rows if row.participation_type_mask == role), None)

    def _stored_organizer(self) -> str:
        row = self.organizer_row
        if row is None:
            return ""
        user = record_at(key_of_ref(row.party_type, row.party_id), self.actor)
        return key_of(user) if isinstance(user, SystemUser) else KEPT

    def _organizers(self) -> Iterator[Any]:
        """Users; and whoever it is now, if that is nobody of them."""
        yield ("", "–")
        row = self.organizer_row
        if row is not None and self._stored_organizer() == KEPT:
            yield (KEPT, row.unresolved_party_name or row.address_used or row.party_id)
        rows = access.visible_to(self.actor, SystemUser.objects.filter(is_disabled=False), "view")
        users = {key_of(user): str(user) for user in rows[:OFFERED]}
        wanted = self._wanted("organizer")
        if wanted not in users and isinstance(found := record_at(wanted, self.actor), SystemUser):
            users[wanted] = str(found)
        yield from users.items()

    def clean_organizer(self) -> str:
        """Invitations go out in his name, so whoever makes somebody else the organizer needs what sending
        mail as him needs (R5.24)."""
        chosen: str = self.cleaned_data.get("organizer", "")
        if chosen and chosen not in (KEPT, self._stored_organizer()):
            user = record_at(chosen, self.actor)
            if isinstance(user, SystemUser) and (why := may_send_as(self.actor, user)):
                raise forms.ValidationError(why)
        return chosen

    def parties(self) -> list[NewParty]:
        found = super().parties()
        organizer = self._organizer_party()
        return [*found, organizer] if organizer else found

    @property
    def roles(self) -> frozenset[ParticipationType]:
        return super().roles | {ParticipationType.ORGANIZER}

    @property
    def keeps_organizer(self) -> bool:
        return "organizer" not in self.fields or self.cleaned_data.get("organizer") == KEPT

    def _organizer_party(self) -> NewParty | None:
        chosen = self.cleaned_data.get("organizer", KEPT)
        row = self.organizer_row
        if chosen == KEPT or (row is not None and chosen == self._stored_organizer()):
            return as_it_was(row) if row is not None else None
        user = record_at(chosen, self.actor) if chosen else None
        return party_of(user, ParticipationType.ORGANIZER) if user is not None else None


#: Those of its series hold for an exception, too; it has no files (R6.34).
OF_SERIES = (
    "organizer", "owner", "regarding", "is_draft", "is_mapi_private", "category", "attach",
    "take_off",
)  # fmt: skip


class AppointmentForm(FileBoxes, WithAttendees, TimedForm):
    """Of an exception only what may differ."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.series_id is not None:
            for name in OF_SERIES:
                self.fields.pop(name, None)

    class Meta:
        model = Appointment
        fields = (*MEETING_COLUMNS, "is_draft")


class OccurrenceForm(AppointmentForm):
    """An occurrence that is to differ from its series. `instance`: what it would be, not stored."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.occurrence: Appointment = kwargs["instance"]
        super().__init__(*args, **kwargs)

    class Meta(AppointmentForm.Meta):
        pass

    def fresh(self) -> dict[str, Any]:
        series = self.occurrence.series
        assert series is not None
        self.rows = rows_of_activity(series.pk, self.actor)
        people = {
            name: written(list(typed_of(self.rows, role))) for name, role in self.people.items()
        }
        return {"subject": series.subject, **people, **times_of(self.occurrence)}


def occurrence_of(series: RecurringAppointmentMaster, start: datetime) -> Appointment:
    """One as the series has it, not stored."""
    return Appointment(
        series=series,
        original_start_date=start,
        scheduled_start=start,
        scheduled_end=start + timedelta(minutes=series.duration),
        **{name: getattr(series, name) for name in MEETING_COLUMNS},
    )


class ServiceForm(TimedForm):
    people = {"customers": ParticipationType.CUSTOMER, "resources": ParticipationType.RESOURCE}

    customers = PeopleField(label=_("Customers"), help_text=HELP)
    resources = PeopleField(
        label=_("Resources"), help_text=_("Users who do it: it stands in their calendars (R6.11).")
    )

    class Meta:
        model = ServiceAppointment
        fields = (
            "is_all_day_event", "location", "time_zone", "reminder_minutes", "status_code",
            "priority_code", "category", "description",
        )  # fmt: skip

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        settled = (ActivityState.COMPLETED, ActivityState.CANCELED)
        offered = [s for s in ServiceAppointmentStatus if s.state not in settled]
        self._offer("status_code", [(one.value, one.label) for one in offered])

    def fresh(self) -> dict[str, Any]:
        me = Typed(self.actor.internal_email_address, self.actor.full_name)
        return {**super().fresh(), "resources": written([me])}

    def clean_resources(self) -> Any:
        return self.cleaned_data["resources"]
