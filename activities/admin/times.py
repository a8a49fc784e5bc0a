"""When something takes place, as a person says it: where the reader is, in days alone if it lasts all day."""

from datetime import date, datetime, timedelta
from typing import Any

from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

DAY, CLOCK = "D Y-m-d", "H:i"


def when_cell(record: Any) -> SafeString:
    return format_html('<span class="nowrap">{}</span>', when_words(record))


def when_words(record: Any) -> str:
    """Of an appointment or a service activity. All day is a date, which no reader shifts (R6.35)."""
    if record.is_all_day_event:
        return days_words(record.first_day, record.last_day)
    return span_words(
        timezone.localtime(record.scheduled_start), timezone.localtime(record.scheduled_end)
    )


def span_words(start: datetime, end: datetime) -> str:
    """Both on the same clock. A meeting until midnight ends on its own day."""
    ends_that_day = start.date() == (end - timedelta(microseconds=1)).date() or start == end
    until = date_format(end, CLOCK if ends_that_day else f"{DAY} {CLOCK}")
    return f"{date_format(start, f'{DAY} {CLOCK}')}–{until}"


def days_words(first: date, last: date) -> str:
    words = date_format(first, DAY)
    if last > first:
        words = f"{words} – {date_format(last, DAY)}"
    return _("%(days)s, all day") % {"days": words}


def duration_words(minutes: int) -> str:
    """ "1 h 30 min"; days where it is whole days."""
    days, rest = divmod(minutes, 24 * 60)
    hours, rest = divmod(rest, 60)
    parts = (
        (days, _("%(count)d d")), (hours, _("%(count)d h")), (rest, _("%(count)d min"))
    )  # fmt: skip
    return " ".join(words % {"count": n} for n, words in parts if n) or _("no time")
