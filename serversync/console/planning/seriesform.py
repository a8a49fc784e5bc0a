"""The form of a series: its pattern as plain fields, with what is wrong told at the field (R6.8, R6.35)."""

from datetime import datetime, time, timedelta
from typing import Any

from django import forms
from django.utils import timezone
from django.utils.dates import WEEKDAYS as WEEKDAY_NAMES
from django.utils.formats import get_format
from django.utils.translation import gettext as __
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from activities.choices import Month, NthDay, PatternEnd, PatternType
from activities.models import RecurringAppointmentMaster
from activities.models.appointments import pattern_columns
from activities.recurrence_words import problem_in_words
from mailboxes.recurrence import (
    EVERY_DAY,
    WEEKDAYS,
    WEEKEND,
    Nth,
    Pattern,
    Problem,
    Recurrence,
    Side,
    Weekday,
    validate,
)
from serversync.console.planning.fields import ClockField, DayField, ReminderField, ZoneField
from serversync.console.planning.meetingforms import (
    MEETING_COLUMNS,
    MIDNIGHT,
    WithAttendees,
    day_in,
)

BY_DATE, BY_DAY = "date", "day"
MINUTES_OF_A_DAY = 24 * 60
MONTHS = [(one.value, one.label) for one in Month if one is not Month.INVALID]
DAYS = [(str(int(day)), WEEKDAY_NAMES[day]) for day in Weekday]
#: What can be counted within a month.
COUNTED = [
    *DAYS,
    ("weekday", pgettext_lazy("day of a month", "weekday")),
    ("weekend", pgettext_lazy("day of a month", "weekend day")),
    ("every", pgettext_lazy("day of a month", "day")),
]
_GROUPS = {"weekday": WEEKDAYS, "weekend": WEEKEND, "every": EVERY_DAY}
_NAMED = {days: name for name, days in _GROUPS.items()}
_PATTERNS = {
    PatternType.DAILY: Pattern.DAILY,
    PatternType.WEEKLY: Pattern.WEEKLY,
    PatternType.MONTHLY: Pattern.MONTHLY,
    PatternType.YEARLY: Pattern.YEARLY,
}
#: Field of a pattern -> box of the form; the days of a pattern that counts them stand in another one.
_BOXES = {
    "interval": "interval",
    "day_of_month": "day_of_month",
    "nth": "nth",
    "month": "month",
    "start": "pattern_start_date",
    "until": "pattern_end_date",
    "count": "occurrences",
}


class SeriesForm(WithAttendees):
    """`recurrence` once it is valid; `warnings`: what Exchange can't keep of it."""

    begins = ClockField(label=_("Begins at"), required=False)
    ends = ClockField(
        label=_("ends at"), required=False, help_text=_("Earlier than it begins: on the next day.")
    )
    whole_days = forms.IntegerField(
        label=_("Lasts (days)"), required=False, min_value=1, max_value=366, initial=1
    )
    time_zone = ZoneField(
        label=_("Time zone"),
        help_text=_("On these clocks it begins at the same time, summer and winter (R6.35)."),
    )
    reminder_minutes = ReminderField()
    repeats = forms.TypedChoiceField(
        label=_("Repeats"), choices=PatternType.choices, coerce=int, initial=PatternType.WEEKLY
    )
    interval = forms.IntegerField(
        label=pgettext_lazy("series", "Every"),
        initial=1,
        help_text=_("1: each day, week, month or year; 2: every second one; and so on."),
    )
    days = forms.MultipleChoiceField(
        label=pgettext_lazy("series", "On"),
        choices=DAYS,
        required=False,
        widget=forms.CheckboxSelectMultiple,
    )
    by = forms.ChoiceField(
        label=pgettext_lazy("series", "On"),
        required=False,
        initial=BY_DATE,
        choices=[(BY_DATE, _("A day of the month")), (BY_DAY, _("The n-th of certain days"))],
    )
    day_of_month = forms.IntegerField(
        label=_("Day of the month"),
        required=False,
        help_text=_("In a month that lacks it, the last day."),
    )
    nth = forms.TypedChoiceField(
        label=pgettext_lazy("series", "The"),
        choices=NthDay.choices,
        coerce=int,
        required=False,
        empty_value=None,
    )
    nth_day = forms.ChoiceField(
        label=pgettext_lazy("series", "of"), choices=COUNTED, required=False
    )
    month = forms.TypedChoiceField(
        label=pgettext_lazy("series", "In"),
        choices=MONTHS,
        coerce=int,
        required=False,
        empty_value=None,
    )
    pattern_start_date = DayField(
        label=pgettext_lazy("series", "From"),
        help_text=_("The first day that may have an occurrence."),
    )
    ends_by = forms.TypedChoiceField(
        label=pgettext_lazy("series", "Ends"),
        choices=PatternEnd.choices,
        coerce=int,
        initial=PatternEnd.NEVER,
    )
    pattern_end_date = DayField(label=pgettext_lazy("series", "Until"), required=False)
    occurrences = forms.IntegerField(label=_("Number of occurrences"), required=False)

    class Meta:
        model = RecurringAppointmentMaster
        fields = MEETING_COLUMNS

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.recurrence: Recurrence | None = None
        self.warnings: list[str] = []
        super().__init__(*args, **kwargs)
        reminder = self.fields["reminder_minutes"]
        assert isinstance(reminder, ReminderField)
        reminder.offer(self.instance.reminder_minutes)

    def fresh(self) -> dict[str, Any]:
        now = timezone.localtime() + timedelta(hours=1)
        day = day_in(self.request.GET.get("first_day")) or now.date()
        begins = time(now.hour)
        return {
            **super().fresh(),
            "begins": begins,
            "ends": time((now.hour + 1) % 24),
            "time_zone": timezone.get_current_timezone_name(),
            "reminder_minutes": 15,
            "pattern_start_date": day,
            "days": [str(day.weekday())],
            "day_of_month": day.day,
            "month": day.month,
            "nth": NthDay.FIRST,
            "nth_day": str(day.weekday()),
        }

    def stored(self, instance: Any) -> dict[str, Any]:
        days = max(1, instance.duration // MINUTES_OF_A_DAY)
        return {
            **super().stored(instance),
            "begins": instance.start_time,
            "ends": instance.end_time,
            "whole_days": days if instance.is_all_day_event else 1,
            "time_zone": instance.time_zone or timezone.get_current_timezone_name(),
            "reminder_minutes": instance.reminder_minutes,
            **_boxes_of(instance.recurrence),
        }

    # -- what was typed

    def clean(self) -> dict[str, Any]:
        data = super().clean()
        self._clean_times(data)
        if not {"repeats", "interval", "pattern_start_date"} <= data.keys():
            return data
        self._clean_end(data)
        recurrence = self._pattern(data)
        for problem in validate(recurrence):
            self._tell(problem, data)
        if not self.errors:
            self.recurrence = recurrence
            data |= pattern_columns(recurrence)
        return data

    def _tell(self, problem: Problem, data: dict[str, Any]) -> None:
        words = f"{problem_in_words(problem)} (R6.8)"
        if problem.side is Side.EXCHANGE:
            self.warnings.append(words)
        elif (box := self._box(problem.field, data)) not in self.errors:
            self.add_error(box, words)

    def _clean_end(self, data: dict[str, Any]) -> None:
        for end, box in (
            (PatternEnd.DATE, "pattern_end_date"),
            (PatternEnd.COUNT, "occurrences"),
        ):
            if data.get("ends_by") == end and data.get(box) is None and box not in self.errors:
                self.add_error(box, __("Say when it ends, or choose that it never does. (R6.8)"))

    def _clean_times(self, data: dict[str, Any]) -> None:
        if data.get("is_all_day_event"):
            days = data.get("whole_days") or 1
            data |= {"start_time": MIDNIGHT, "duration": days * MINUTES_OF_A_DAY}
            return
        begins, ends = data.get("begins"), data.get("ends")
        for name, value in (("begins", begins), ("ends", ends)):
            if value is None and name not in self.errors:
                self.add_error(name, __("Say at what time, or tick “all day”."))
        if begins is not None and ends is not None:
            data |= {"start_time": begins, "duration": self._minutes(begins, ends)}

    def _minutes(self, begins: time, ends: time) -> int:
        """What lasts longer than a day stays as long while nobody changes its times."""
        if self.is_new or {"begins", "ends", "is_all_day_event"} & set(self.changed_data):
            return minutes_between(begins, ends)
        return int(self.instance.duration)

    def _pattern(self, data: dict[str, Any]) -> Recurrence:
        """Only what its kind has a place for: what else stands in the boxes is of another kind."""
        kind = _PATTERNS[PatternType(data["repeats"])]
        in_months = kind in (Pattern.MONTHLY, Pattern.YEARLY)
        counts = in_months and data.get("by") == BY_DAY
        by_date = in_months and not counts
        end = PatternEnd(data["ends_by"]) if "ends_by" in data else PatternEnd.NEVER
        return Recurrence(
            pattern=kind,
            start=data["pattern_start_date"],
            interval=data["interval"],
            days=self._days(kind, counts, data),
            day_of_month=data.get("day_of_month") if by_date else None,
            nth=Nth(data["nth"]) if counts and data.get("nth") else None,
            month=data.get("month") if kind is Pattern.YEARLY else None,
            first_day_of_week=self._first_day_of_week(),
            until=data.get("pattern_end_date") if end is PatternEnd.DATE else None,
            count=data.get("occurrences") if end is PatternEnd.COUNT else None,
        )

    def _days(self, kind: Pattern, counts: bool, data: dict[str, Any]) -> frozenset[Weekday]:
        if kind is Pattern.WEEKLY:
            return frozenset(Weekday(int(day)) for day in data.get("days", ()))
        if not counts or not data.get("nth_day"):
            return frozenset()
        chosen = data["nth_day"]
        return _GROUPS.get(chosen) or frozenset({Weekday(int(chosen))})

    def _first_day_of_week(self) -> Weekday:
        """Of a series that is there its own, else that of the reader's language."""
        if not self.is_new:
            return Weekday(self.instance.recurrence.first_day_of_week)
        return Weekday((get_format("FIRST_DAY_OF_WEEK") - 1) % 7)

    def _box(self, field: str, data: dict[str, Any]) -> str:
        if field == "days":
            return "days" if data["repeats"] == PatternType.WEEKLY else "nth_day"
        return _BOXES[field]


def minutes_between(begins: time, ends: time) -> int:
    """The end is that day's, or the next one's."""
    day = datetime(2000, 1, 1)  # noqa: DTZ001 - two times on one clock
    first, last = datetime.combine(day, begins), datetime.combine(day, ends)
    if last < first:
        last += timedelta(days=1)
    return int((last - first).total_seconds() // 60)


def _boxes_of(recurrence: Recurrence) -> dict[str, Any]:
    """The pattern as it stands in the form."""
    kinds = {pattern: kind for kind, pattern in _PATTERNS.items()}
    counts = recurrence.nth is not None
    end = PatternEnd.NEVER
    if recurrence.until is not None or recurrence.count is not None:
        end = PatternEnd.DATE if recurrence.until is not None else PatternEnd.COUNT
    return {
        "repeats": kinds[recurrence.pattern],
        "interval": recurrence.interval,
        "days": [str(int(day)) for day in sorted(recurrence.days)] if not counts else [],
        "by": BY_DAY if counts else BY_DATE,
        "day_of_month": recurrence.day_of_month,
        "nth": recurrence.nth,
        "nth_day": _counted_words(recurrence.days) if counts else "",
        "month": recurrence.month,
        "pattern_start_date": recurrence.start,
        "ends_by": end,
        "pattern_end_date": recurrence.until,
        "occurrences": recurrence.count,
    }


def _counted_words(days: frozenset[Weekday]) -> str:
    return _NAMED.get(days) or str(int(min(days)))
