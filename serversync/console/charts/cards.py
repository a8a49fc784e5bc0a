"""Which charts a page shows: the figures of the rows that its reader may see, with the lists behind them."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from operator import attrgetter
from typing import Any
from urllib.parse import urlencode

from django.urls import reverse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as __
from django.utils.translation import gettext_lazy as _

from mailboxes import access
from mailboxes.causes import cause_of
from mailboxes.choices import Operation
from serversync import figures
from serversync.console.charts.bars import Bar, BarChart, Piece
from serversync.console.charts.drawing import Chart, Column, Series, duration
from serversync.console.narrowing import AGE_WORDS
from serversync.figures import DAY, HOUR, Month, Part, Rows, Slot, Times
from serversync.models import MailboxStatistics, MailboxStatisticsDay
from serversync.standing import Standing

#: How each standing looks, from good to bad.
STANDING_CSS = {
    Standing.RUNS: "is-good",
    Standing.FAILING: "is-bad",
    Standing.PAUSED: "is-worse",
    Standing.OFF: "is-worst",
    Standing.UNTESTED: "is-warn",
    Standing.STILL: "is-quiet",
}
AGE_CSS = ("is-good", "is-good", "is-warn", "is-warn", "is-bad", "is-bad")
P95 = 0.95


@dataclass(frozen=True, slots=True)
class Span:
    """How far charts look back, and in what steps. `months`: by the month, of daily totals, for the cycles
    themselves are not kept that long."""

    name: str
    words: Any
    back: timedelta
    step: timedelta
    months: bool = False

    def since(self, now: datetime) -> datetime:
        return now - self.back


SPANS = (
    Span("day", _("24 hours"), 23 * HOUR, HOUR),
    Span("week", _("7 days"), 6 * DAY, DAY),
    Span("month", _("30 days"), 29 * DAY, DAY),
    Span("year", _("13 months"), 365 * DAY, 30 * DAY, months=True),
)


def span_of(name: str | None) -> Span:
    return next((span for span in SPANS if span.name == name), SPANS[0])


@dataclass(frozen=True, slots=True)
class Place:
    """What a page is about, as conditions of the lists that its charts lead to; nothing: all.

    `rows`: of lists that belong to a mailbox; `mail`: of the list of emails."""

    rows: tuple[tuple[str, str], ...] = ()
    mail: tuple[tuple[str, str], ...] = ()

    @classmethod
    def mailbox(cls, key: Any) -> "Place":
        return cls((("mailbox__id__exact", str(key)),), (("from_mailbox", str(key)),))

    @classmethod
    def profile(cls, key: Any) -> "Place":
        return cls((("profile", str(key)),), (("profile", str(key)),))

    def cycles(self, **also: Any) -> str:
        return _list("serversync_mailboxstatistics", self.rows, also)

    def workloads(self, **also: Any) -> str:
        return _list("serversync_workload", self.rows, also)

    def emails(self, **also: Any) -> str:
        return _list("activities_email", self.mail, also)


def _list(name: str, place: tuple[tuple[str, str], ...], also: dict[str, Any]) -> str:
    query = urlencode([*place, *also.items()])
    page = reverse(f"admin:{name}_changelist")
    return f"{page}?{query}" if query else page


@dataclass(frozen=True, slots=True)
class Cycles:
    """Those that a page may count: their own rows, and the daily totals that outlive these."""

    rows: Rows
    days: Rows

    @classmethod
    def seen_by(cls, user: Any, **condition: Any) -> "Cycles":
        rows, days = (
            access.visible_to(user, model._default_manager.filter(**condition), "view")
            for model in (MailboxStatistics, MailboxStatisticsDay)
        )
        return cls(rows, days)


# -- charts over time


def over_time(cycles: Cycles, span: Span, now: datetime, place: Place) -> list[Chart]:
    """Items, cycle times and queue delays; one statement."""
    if span.months:
        return _by_month(cycles.days, span, now)
    slots = figures.over_time(cycles.rows, span.since(now), now, span.step)
    return [_items(slots, span, place), *_times(slots, span, place)]


def _items(slots: Sequence[Slot], span: Span, place: Place) -> Chart:
    kinds = [kind for kind in Operation if any(slot.items.get(kind) for slot in slots)]
    since = _since(slots[0].start)
    number = sum(sum(slot.items.values()) for slot in slots)
    return Chart(
        key="items",
        title=_("Items by the hour") if span.step < DAY else _("Items by the day"),
        says=__("%(count)s items since %(when)s.")
        % {"count": f"{number:,}", "when": _said(slots[0].start)},
        series=[
            Series(
                kind.label,
                f"is-{kind.value}",
                place.cycles(operation_type__exact=kind.value, **since),
            )
            for kind in kinds
        ],
        columns=_columns(
            slots, span, place, lambda slot: tuple(slot.items.get(kind, 0) for kind in kinds)
        ),
    )


def _times(slots: Sequence[Slot], span: Span, place: Place) -> list[Chart]:
    series = [Series(_("average"), "is-0"), Series(_("95 of 100 take at most"), "is-2")]
    return [
        Chart(
            key=key,
            title=title,
            says=says,
            series=series,
            columns=_columns(slots, span, place, values),
            lines=True,
            written=duration,
        )
        for key, title, says, values in (
            ("took", _("How long cycles take"), _longest(slots, _took), _took),
            ("waited", _("How late cycles begin"), _longest(slots, _waited), _waited),
        )
    ]


def _took(slot: Slot) -> tuple[float | None, ...]:
    return _average_and_most(slot.took)


def _waited(slot: Slot) -> tuple[float | None, ...]:
    return _average_and_most(slot.waited)


def _average_and_most(times: Times) -> tuple[float | None, ...]:
    """Buckets know the second only roughly: it isn't drawn below the first."""
    most = times.percentile(P95)
    return times.average, most and max(most, times.average or 0)


def _longest(slots: Sequence[Slot], values: Callable[[Slot], tuple[float | None, ...]]) -> str:
    return _longest_of([value for slot in slots for value in values(slot)])


def _longest_of(values: Iterable[float | None]) -> str:
    highest = max(filter(None, values), default=None)
    if highest is None:
        return __("No cycle that saw anything.")
    return __("At most %(duration)s.") % {"duration": duration(highest)}


def _columns(
    slots: Sequence[Slot],
    span: Span,
    place: Place,
    values: Callable[[Slot], tuple[float | None, ...]],
) -> list[Column]:
    by_hour = span.step < DAY
    return [
        Column(
            label=date_format(slot.start, "H:i" if by_hour else "m-d"),
            words=_said(slot.start) if by_hour else date_format(slot.start, "Y-m-d"),
            values=values(slot),
            url=place.cycles(**_since(slot.start), **_until(slot.start + span.step)),
        )
        for slot in slots
    ]


def _since(start: datetime) -> dict[str, str]:
    return {"mailbox_process_started_on__gte": start.isoformat()}


def _until(end: datetime) -> dict[str, str]:
    return {"mailbox_process_started_on__lt": end.isoformat()}


def _said(start: datetime) -> str:
    return date_format(timezone.localtime(start), "Y-m-d H:i")


# -- charts by the month: of totals, behind which there is no list any more


def _by_month(days: Rows, span: Span, now: datetime) -> list[Chart]:
    today = timezone.localdate(now)
    months = figures.by_month(days, timezone.localdate(span.since(now)), today)
    return [_items_by_month(months), _cycles_by_month(months), *_times_by_month(months)]


def _items_by_month(months: Sequence[Month]) -> Chart:
    kinds = [kind for kind in Operation if any(month.items.get(kind) for month in months)]
    number = sum(sum(month.items.values()) for month in months)
    return Chart(
        key="items",
        title=_("Items by the month"),
        says=__("%(count)s items since %(when)s.")
        % {"count": f"{number:,}", "when": date_format(months[0].start, "Y-m")},
        series=[Series(kind.label, f"is-{kind.value}") for kind in kinds],
        columns=_of_months(months, lambda month: tuple(month.items.get(kind, 0) for kind in kinds)),
    )


def _cycles_by_month(months: Sequence[Month]) -> Chart:
    eventful = sum(month.eventful for month in months)
    return Chart(
        key="cycles",
        title=_("Cycles by the month"),
        says=__("%(eventful)s cycles saw or did something, %(failed)s of them failed.")
        % {"eventful": f"{eventful:,}", "failed": f"{sum(month.failed for month in months):,}"},
        series=[
            Series(_("failed"), "is-bad"),
            Series(_("saw or did something"), "is-0"),
            Series(_("idle"), "is-quiet"),
        ],
        columns=_of_months(
            months, lambda month: (month.failed, month.eventful - month.failed, month.idle)
        ),
    )


def _times_by_month(months: Sequence[Month]) -> list[Chart]:
    return [
        Chart(
            key=key,
            title=title,
            says=_longest_of([value(month) for month in months]),
            series=[Series(_("average"), "is-0")],
            columns=_of_months(months, _alone(value)),
            lines=True,
            written=duration,
        )
        for key, title, value in (
            ("took", _("How long cycles take"), attrgetter("took")),
            ("waited", _("How late cycles begin"), attrgetter("waited")),
        )
    ]


def _alone(
    value: Callable[[Month], float | None],
) -> Callable[[Month], tuple[float | None, ...]]:
    return lambda month: (value(month),)


def _of_months(
    months: Sequence[Month], values: Callable[[Month], tuple[float | None, ...]]
) -> list[Column]:
    return [
        Column(
            label=date_format(month.start, "y-m"),
            words=date_format(month.start, "Y-m"),
            values=values(month),
        )
        for month in months
    ]


# -- charts of rows


def by_standing(workloads: Rows, place: Place) -> BarChart:
    numbers = figures.by_standing(workloads)
    return BarChart(
        key="standing",
        title=_("Mailboxes by workload"),
        whole=True,
        bars=[
            Bar(
                words=operation.label,
                pieces=tuple(
                    Piece(
                        number,
                        STANDING_CSS[standing],
                        standing.label,
                        place.workloads(operation__exact=operation.value, standing=standing.value),
                    )
                    for standing in STANDING_CSS
                    if (number := numbers[operation].get(standing, 0))
                ),
            )
            for operation in Operation
        ],
    )


def failures(cycles: Cycles, span: Span, now: datetime, place: Place) -> BarChart:
    since = span.since(now)
    if span.months:
        first = timezone.localdate(since).replace(day=1)
        bars = [_of_code(part) for part in figures.failures_by_code_of_days(cycles.days, first)]
    else:
        bars = [
            _of_code(part, place.cycles(error_code=part.key, **_since(since)))
            for part in figures.failures_by_code(cycles.rows, since)
        ]
    return BarChart("failures", _("What failed, by cause"), bars, good=_("No cycle failed."))


def failing_mailboxes(cycles: Cycles, span: Span, now: datetime) -> BarChart:
    since = span.since(now)
    if span.months:
        first = timezone.localdate(since).replace(day=1)
        bars = [_of_mailbox(part) for part in figures.failing_mailboxes_of_days(cycles.days, first)]
    else:
        bars = [
            _of_mailbox(part, _failed_cycles_of(part.key, since))
            for part in figures.failing_mailboxes(cycles.rows, since)
        ]
    title = _("Mailboxes with most failed cycles")
    return BarChart("failing", title, bars, good=_("No cycle failed."))


def _of_mailbox(part: Part, url: str = "") -> Bar:
    page = reverse("admin:mailboxes_mailbox_change", args=[part.key])
    return Bar(part.words, (Piece(part.number, "is-bad", url=url),), url=page)


def _failed_cycles_of(mailbox: str, since: datetime) -> str:
    return Place().cycles(mailbox__id__exact=mailbox, process_result__exact=0, **_since(since))


def disabled(workloads: Rows, now: datetime, place: Place) -> BarChart:
    since = now - DAY
    return BarChart(
        key="disabled",
        title=_("Disabled in the last 24 hours"),
        good=_("No workload was disabled."),
        bars=[
            _of_code(part, place.workloads(state_code=part.key, disabled_since=since.isoformat()))
            for part in figures.disabled_by_code(workloads, since)
        ],
    )


def _of_code(part: Part, url: str = "") -> Bar:
    code = part.key or "?"
    return Bar(
        code, (Piece(part.number, "is-bad", url=url),), url=url, title=cause_of(code).meaning
    )


def pending(emails: Rows, now: datetime, place: Place) -> BarChart:
    return BarChart(
        key="pending",
        title=_("Age of mail that waits to leave"),
        good=_("Nothing waits."),
        bars=[
            Bar(words, (Piece(number, css, url=place.emails(waiting=group)),))
            for group, (words, number, css) in enumerate(
                zip(AGE_WORDS, figures.pending_by_age(emails, now), AGE_CSS, strict=True)
            )
        ],
    )


# -- what a page shows


def of_site(
    workloads: Rows | None, cycles: Cycles | None, emails: Rows | None, span: Span, now: datetime
) -> "Charts":
    """All that its reader may see; None: not even the list."""
    place = Place()
    bars = []
    if workloads is not None:
        bars += [by_standing(workloads, place), disabled(workloads, now, place)]
    if cycles is not None:
        bars += [failures(cycles, span, now, place), failing_mailboxes(cycles, span, now)]
    if emails is not None:
        bars.append(pending(emails, now, place))
    return Charts(span, bars, over_time(cycles, span, now, place) if cycles is not None else [])


def of_profile(
    workloads: Rows, cycles: Cycles, emails: Rows, key: Any, span: Span, now: datetime
) -> "Charts":
    place = Place.profile(key)
    bars = [
        by_standing(workloads, place),
        disabled(workloads, now, place),
        failures(cycles, span, now, place),
        failing_mailboxes(cycles, span, now),
        pending(emails, now, place),
    ]
    return Charts(span, bars, over_time(cycles, span, now, place))


def of_mailbox(cycles: Cycles, emails: Rows, key: Any, span: Span, now: datetime) -> "Charts":
    """Only those in which there is something."""
    place = Place.mailbox(key)
    bars = [failures(cycles, span, now, place), pending(emails, now, place)]
    drawn = over_time(cycles, span, now, place)
    return Charts(
        span,
        [chart for chart in bars if not chart.empty],
        [chart for chart in drawn if not chart.empty],
    )


@dataclass(frozen=True, slots=True)
class Charts:
    """The charts of a page, and how far they look back."""

    span: Span
    bars: Sequence[BarChart]
    drawn: Sequence[Chart]
    spans: Sequence[Span] = SPANS

    @property
    def any(self) -> bool:
        return bool(self.bars or self.drawn)
