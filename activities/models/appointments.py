"""Appointment, RecurringAppointmentMaster and ServiceAppointment: what stands in a calendar."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Any

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from activities.choices import (
    AppointmentStatus,
    AttachmentErrors,
    InstanceType,
    Month,
    NthDay,
    OnlineMeetingType,
    PatternEnd,
    PatternType,
    Priority,
    ServiceAppointmentStatus,
)
from activities.models.pointer import ActivityPointer
from activities.models.records import LONGEST_BODY
from mailboxes import recurrence as patterns
from mailboxes.recurrence import WEEKDAYS, Nth, Pattern, Recurrence, Weekday
from mailboxes.timezones import check_zone, zone

DAY = timedelta(days=1)


class CalendarItem(models.Model):
    """What a meeting, a series and a service activity have in common.

    An item that lasts all day has no time of day and no zone: it begins at 0:00 UTC of its first day, ends at
    0:00 UTC of the day after its last one, and no reader shifts it (R6.35).
    """

    description = models.TextField(
        _("description"), max_length=LONGEST_BODY, blank=True, help_text=_("Plain text (R6.15).")
    )
    is_all_day_event = models.BooleanField(_("all day"), default=False)
    priority_code = models.IntegerField(
        _("importance"), choices=Priority.choices, default=Priority.NORMAL
    )
    category = models.CharField(_("category"), max_length=250, blank=True)
    subcategory = models.CharField(_("subcategory"), max_length=250, blank=True)
    # Ours
    time_zone = models.CharField(
        _("time zone"),
        max_length=64,
        blank=True,
        validators=[check_zone],
        help_text=_("Where its times are local, as an IANA name such as Europe/Berlin (R6.35)."),
    )
    reminder_minutes = models.PositiveIntegerField(
        _("reminder"),
        null=True,
        blank=True,
        help_text=_("Minutes before it begins; empty: none."),
    )

    class Meta:
        abstract = True

    activity: Any

    def __str__(self) -> str:
        """No subject: Django prints this in choosers, confirmations and logs."""
        return f"{self._meta.verbose_name} {self.pk}"

    @property
    def subject(self) -> str:
        subject: str = self.activity.subject
        return subject


class Held(models.Model):
    """An item that takes place once, from one moment to another."""

    scheduled_start = models.DateTimeField(_("start"))
    scheduled_end = models.DateTimeField(_("end"))
    actual_start = models.DateTimeField(_("actual start"), null=True, blank=True)
    actual_end = models.DateTimeField(_("actual end"), null=True, blank=True)
    actual_duration_minutes = models.PositiveIntegerField(
        _("actual duration"), null=True, blank=True, help_text=_("In minutes.")
    )

    class Meta:
        abstract = True
        constraints = [
            models.CheckConstraint(
                condition=Q(scheduled_end__gte=F("scheduled_start")),
                name="%(class)s_ends_after_start",
                violation_error_message=_("It ends before it begins. Choose a later end."),
            )
        ]

    @property
    def scheduled_duration_minutes(self) -> int:
        return int((self.scheduled_end - self.scheduled_start).total_seconds() // 60)

    @property
    def first_day(self) -> date:
        """Of an item that lasts all day."""
        return self.scheduled_start.astimezone(UTC).date()

    @property
    def last_day(self) -> date:
        """Of an item that lasts all day; the stored end is the day after."""
        return max(self.first_day, (self.scheduled_end.astimezone(UTC) - DAY).date())


class Meeting(CalendarItem):
    """What Exchange's calendar keeps of a single appointment and of a series alike."""

    status_code = models.IntegerField(
        _("status"),
        choices=AppointmentStatus.choices,
        default=AppointmentStatus.BUSY,
        help_text=_("How the time is shown to others (R6.21)."),
    )
    location = models.CharField(_("location"), max_length=200, blank=True)
    global_object_id = models.CharField(
        _("global object id"),
        max_length=300,
        blank=True,
        db_index=True,
        editable=False,
        help_text=_("What Exchange calls this meeting in every mailbox (R6.51)."),
    )
    outlook_owner_appt_id = models.IntegerField(
        null=True, blank=True, editable=False, help_text=_("Outlook's number of the meeting.")
    )
    is_mapi_private = models.BooleanField(
        _("private"),
        default=False,
        help_text=_("Only its owner and its organizer see subject and description (R6.36)."),
    )
    is_online_meeting = models.BooleanField(_("online meeting"), default=False)
    online_meeting_type = models.IntegerField(
        _("held with"), choices=OnlineMeetingType.choices, null=True, blank=True
    )
    online_meeting_id = models.CharField(max_length=300, blank=True)
    online_meeting_join_url = models.CharField(
        _("link to join"), max_length=600, blank=True, help_text=_("Passes unchanged (R6.36a).")
    )
    online_meeting_chat_id = models.CharField(max_length=200, blank=True)

    class Meta:
        abstract = True

    @property
    def status(self) -> AppointmentStatus:
        return AppointmentStatus(self.status_code)


class RecurringAppointmentMaster(Meeting):
    """recurringappointmentmaster: a series. Its occurrences are computed from the pattern whenever they are
    asked for and never stored, so they cannot drift; only those that differ are rows (`exceptions`)."""

    activity = models.OneToOneField(
        ActivityPointer, models.CASCADE, primary_key=True, related_name="recurring_appointment"
    )
    recurrence_pattern_type = models.IntegerField(_("repeats"), choices=PatternType.choices)
    interval = models.PositiveIntegerField(
        _("every"),
        default=1,
        validators=[MinValueValidator(1), MaxValueValidator(1000)],
        help_text=_("1: each day, week, month or year; 2: every second one; and so on."),
    )
    days_of_week_mask = models.PositiveSmallIntegerField(
        _("days of the week"),
        null=True,
        blank=True,
        validators=[MinValueValidator(1), MaxValueValidator(127)],
        help_text=_("Sunday 1, Monday 2, Tuesday 4, and so on doubling; their sum."),
    )
    day_of_month = models.PositiveSmallIntegerField(
        _("day of the month"),
        null=True,
        blank=True,
        validators=[MinValueValidator(1), MaxValueValidator(31)],
        help_text=_("In a month that lacks it, the last day."),
    )
    instance = models.IntegerField(
        _("which one in the month"), choices=NthDay.choices, null=True, blank=True
    )
    month_of_year = models.IntegerField(_("month"), choices=Month.choices, null=True, blank=True)
    is_nth_monthly = models.BooleanField(
        default=False, help_text=_("Monthly, on the n-th of certain days of the week.")
    )
    is_nth_yearly = models.BooleanField(
        default=False, help_text=_("Yearly, on the n-th of certain days of the week.")
    )
    is_weekday_pattern = models.BooleanField(
        _("every weekday"), default=False, help_text=_("From Monday to Friday.")
    )
    first_day_of_week = models.PositiveSmallIntegerField(
        _("week begins on"),
        default=1,
        validators=[MinValueValidator(0), MaxValueValidator(6)],
        help_text=_("Sunday 0 to Saturday 6; counts where not every week has an occurrence."),
    )
    pattern_start_date = models.DateField(
        pgettext_lazy("series", "from"), help_text=_("The first day that may have an occurrence.")
    )
    pattern_end_type = models.IntegerField(
        _("ends"), choices=PatternEnd.choices, default=PatternEnd.NEVER
    )
    pattern_end_date = models.DateField(
        pgettext_lazy("series", "until"),
        null=True,
        blank=True,
        help_text=_("The last day that may have an occurrence."),
    )
    occurrences = models.PositiveIntegerField(
        _("number of occurrences"),
        null=True,
        blank=True,
        validators=[MinValueValidator(1), MaxValueValidator(999)],
    )
    start_time = models.TimeField(
        _("begins at"), help_text=_("On the clock of its time zone, summer and winter (R6.35).")
    )
    duration = models.PositiveIntegerField(_("duration"), help_text=_("In minutes."))
    deleted_exceptions_list = models.JSONField(
        default=list,
        blank=True,
        editable=False,
        help_text=_("When deleted occurrences would have begun, in UTC."),
    )

    class Meta:
        verbose_name = _("recurring appointment")
        verbose_name_plural = _("recurring appointments")

    @property
    def recurrence(self) -> Recurrence:
        """The pattern and its range. Setting it sets every column that says a part of it."""
        return recurrence_of(self)

    @recurrence.setter
    def recurrence(self, value: Recurrence) -> None:
        for name, said in pattern_columns(value).items():
            setattr(self, name, said)

    @property
    def end_time(self) -> time:
        """On the clock, perhaps of a later day."""
        begins = datetime.combine(self.pattern_start_date, self.start_time)
        return (begins + self.length).time()

    @property
    def length(self) -> timedelta:
        return timedelta(minutes=self.duration)

    @property
    def zone(self) -> tzinfo:
        """Where its clock hangs; UTC for what lasts all day, and where nothing is said."""
        return UTC if self.is_all_day_event else zone(self.time_zone) or UTC

    @property
    def effective_start_date(self) -> datetime | None:
        """When the first occurrence of its pattern begins."""
        return patterns.first(self.recurrence, self.start_time, self.zone)

    @property
    def effective_end_date(self) -> datetime | None:
        """When the last occurrence of its pattern ends; None if it goes on for ever."""
        begins = patterns.last(self.recurrence, self.start_time, self.zone)
        return begins + self.length if begins else None

    @property
    def scheduled_start(self) -> datetime | None:
        return self.effective_start_date

    @property
    def scheduled_end(self) -> datetime | None:
        """When the first occurrence of its pattern ends."""
        begins = self.effective_start_date
        return begins + self.length if begins else None

    def ordinary(self, since: datetime, until: datetime) -> Iterator[datetime]:
        """When those of its occurrences begin that are neither deleted nor rows of their own, in UTC. One
        statement, unless `exceptions` were prefetched."""
        replaced = {one.original_start_date for one in self.exceptions.all()} | self.deleted_starts
        found = patterns.occurrences(self.recurrence, self.start_time, self.zone, since, until)
        return (begins for begins in found if begins not in replaced)

    @property
    def deleted_starts(self) -> frozenset[datetime]:
        """When deleted occurrences would have begun."""
        return frozenset(datetime.fromisoformat(text) for text in self.deleted_exceptions_list)


class Appointment(Meeting, Held):
    """appointment: a meeting, or an occurrence of a series that differs from the others."""

    activity = models.OneToOneField(
        ActivityPointer, models.CASCADE, primary_key=True, related_name="appointment"
    )
    is_draft = models.BooleanField(
        _("draft"), default=False, help_text=_("Nobody has been invited yet (R6.24).")
    )
    series = models.ForeignKey(
        RecurringAppointmentMaster,
        models.CASCADE,
        null=True,
        blank=True,
        editable=False,
        related_name="exceptions",
        verbose_name=_("series"),
    )
    original_start_date = models.DateTimeField(
        _("instead of"),
        null=True,
        blank=True,
        editable=False,
        help_text=_("When the occurrence that it replaces would have begun."),
    )
    attachment_errors = models.IntegerField(
        _("attachments left out"),
        choices=AttachmentErrors.choices,
        default=AttachmentErrors.NONE,
        editable=False,
    )

    class Meta(Held.Meta):
        verbose_name = _("appointment")
        verbose_name_plural = _("appointments")
        constraints = [
            *Held.Meta.constraints,
            models.UniqueConstraint(
                fields=["series", "original_start_date"],
                condition=Q(series__isnull=False),
                name="appointment_one_exception_per_occurrence",
            ),
            models.CheckConstraint(
                condition=Q(series__isnull=True, original_start_date__isnull=True)
                | Q(series__isnull=False, original_start_date__isnull=False),
                name="appointment_exception_says_of_what",
            ),
        ]
        indexes = [models.Index(fields=["scheduled_start"], name="appointment_start")]

    @property
    def instance_type_code(self) -> InstanceType:
        return InstanceType.EXCEPTION if self.series_id else InstanceType.NOT_RECURRING


class ServiceAppointment(CalendarItem, Held):
    """serviceappointment: which resources do something for which customers. It goes to the server only (R6.8)."""

    activity = models.OneToOneField(
        ActivityPointer, models.CASCADE, primary_key=True, related_name="service_appointment"
    )
    status_code = models.IntegerField(
        _("status"),
        choices=ServiceAppointmentStatus.choices,
        default=ServiceAppointmentStatus.REQUESTED,
    )
    location = models.CharField(_("location"), max_length=500, blank=True)

    class Meta(Held.Meta):
        verbose_name = _("service activity")
        verbose_name_plural = _("service activities")
        indexes = [models.Index(fields=["scheduled_start"], name="serviceappointment_start")]

    @property
    def status(self) -> ServiceAppointmentStatus:
        return ServiceAppointmentStatus(self.status_code)


# -- patterns as columns -------------------------------------------------------------------------

_TYPES = {
    Pattern.DAILY: PatternType.DAILY,
    Pattern.WEEKLY: PatternType.WEEKLY,
    Pattern.MONTHLY: PatternType.MONTHLY,
    Pattern.YEARLY: PatternType.YEARLY,
}
_PATTERNS = {kind: pattern for pattern, kind in _TYPES.items()}


def pattern_columns(recurrence: Recurrence) -> dict[str, Any]:
    """Column -> value, for every column of a series that says a part of it."""
    nth = recurrence.nth is not None
    return {
        "recurrence_pattern_type": _TYPES[recurrence.pattern],
        "interval": recurrence.interval,
        "days_of_week_mask": mask_of(recurrence.days) or None,
        "day_of_month": recurrence.day_of_month,
        "instance": NthDay(recurrence.nth) if recurrence.nth else None,
        "month_of_year": Month(recurrence.month) if recurrence.month else None,
        "is_nth_monthly": nth and recurrence.pattern == Pattern.MONTHLY,
        "is_nth_yearly": nth and recurrence.pattern == Pattern.YEARLY,
        "is_weekday_pattern": _is_every_weekday(recurrence),
        "first_day_of_week": (recurrence.first_day_of_week + 1) % 7,
        "pattern_start_date": recurrence.start,
        "pattern_end_type": _end_of(recurrence),
        "pattern_end_date": recurrence.until,
        "occurrences": recurrence.count,
    }


def recurrence_of(series: RecurringAppointmentMaster) -> Recurrence:
    """The same, read back. A daily pattern of weekdays is the weekly one that means the same days."""
    kind = PatternType(series.recurrence_pattern_type)
    weekdays = kind == PatternType.DAILY and series.is_weekday_pattern
    end = PatternEnd(series.pattern_end_type)
    return Recurrence(
        pattern=Pattern.WEEKLY if weekdays else _PATTERNS[kind],
        start=series.pattern_start_date,
        interval=1 if weekdays else series.interval,
        days=WEEKDAYS if weekdays else days_of(series.days_of_week_mask or 0),
        day_of_month=series.day_of_month,
        nth=Nth(series.instance) if series.instance else None,
        month=series.month_of_year or None,
        first_day_of_week=Weekday((series.first_day_of_week - 1) % 7),
        until=series.pattern_end_date if end == PatternEnd.DATE else None,
        count=series.occurrences if end == PatternEnd.COUNT else None,
    )


def mask_of(days: frozenset[Weekday]) -> int:
    return sum(_bit(day) for day in days)


def days_of(mask: int) -> frozenset[Weekday]:
    return frozenset(day for day in Weekday if mask & _bit(day))


def _bit(day: Weekday) -> int:
    """Sunday is the first day there."""
    return 1 << (day + 1) % 7


def _is_every_weekday(recurrence: Recurrence) -> bool:
    weekly = recurrence.pattern == Pattern.WEEKLY and recurrence.interval == 1
    return weekly and recurrence.days == WEEKDAYS


def _end_of(recurrence: Recurrence) -> PatternEnd:
    if recurrence.count is not None:
        return PatternEnd.COUNT
    return PatternEnd.DATE if recurrence.until is not None else PatternEnd.NEVER
