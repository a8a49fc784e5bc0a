"""The calendar, and series with what differs in them."""

from datetime import UTC, date, datetime, time, timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from activities.choices import ParticipationType, PatternType
from activities.models import ActivityParty, Appointment, RecurringAppointmentMaster
from mailboxes.choices import Reach
from mailboxes.models import Team
from serversync.console.planning.occurrences import named
from tests.factories.activities import (
    AppointmentFactory,
    RecurringAppointmentMasterFactory,
    TaskFactory,
)
from tests.factories.clients import signed_in
from tests.factories.mailboxes import SystemUserFactory, group_of
from tests.factories.posting import form_data
from tests.integration.serversync.test_activity_screens import (
    form_of,
    page_of,
    post,
    told,
    wrong_in,
)

pytestmark = pytest.mark.integration

MONDAY = date(2026, 3, 2)


def lines(client, **query) -> dict[str, list[str]]:
    """Day -> what stands there, as the page was given it."""
    page = client.get(reverse("admin:calendar"), query)
    assert page.status_code == 200
    return {
        str(day.date): [f"{line.clock} {line.words}".strip() for line in day.lines]
        for week in page.context["weeks"]
        for day in week
    }


@pytest.fixture
def owner(db):
    """Somebody in Berlin who may look at what is theirs, and write it."""
    user = SystemUserFactory()
    user.settings.time_zone = "Europe/Berlin"
    user.settings.save()
    kinds = "appointment recurringappointmentmaster phonecall"
    actions = ("view", "add", "change", "delete")
    group_of(user, *(f"{a}_{kind}" for kind in kinds.split() for a in actions), reach=Reach.OWN)
    return user


@pytest.fixture
def series(owner) -> RecurringAppointmentMaster:
    """Each day from 2 March 2026 at 9:30 in Berlin."""
    made = RecurringAppointmentMasterFactory(activity__owning_user=owner)
    ActivityParty.objects.create(
        activity=made.activity,
        participation_type_mask=ParticipationType.ORGANIZER,
        party_type=ActivityParty.party_type.get_queryset().get(
            app_label="mailboxes", model="systemuser"
        ),
        party_id=str(owner.pk),
    )
    return made


def start_of(day: int) -> datetime:
    return datetime(2026, 3, day, 8, 30, tzinfo=UTC)


# -- the calendar


@pytest.mark.rule("R6.35")
def test_a_week_shows_days_where_the_reader_is(owner):
    AppointmentFactory(
        activity__owning_user=owner,
        activity__subject="Late",
        scheduled_start=datetime(2026, 3, 2, 23, 30, tzinfo=UTC),
    )
    AppointmentFactory(
        activity__owning_user=owner,
        activity__subject="Fair",
        is_all_day_event=True,
        scheduled_start=datetime(2026, 3, 3, tzinfo=UTC),
        scheduled_end=datetime(2026, 3, 5, tzinfo=UTC),
    )
    AppointmentFactory(
        activity__owning_user=owner,
        activity__subject="Night",
        scheduled_start=datetime(2026, 3, 5, 20, tzinfo=UTC),
        scheduled_end=datetime(2026, 3, 6, 2, tzinfo=UTC),
    )
    found = lines(signed_in(owner), view="week", day="2026-03-02")
    assert found["2026-03-02"] == []
    assert found["2026-03-03"] == ["Fair", "00:30 Late"]
    assert found["2026-03-04"] == ["Fair"]
    assert found["2026-03-05"] == ["21:00 Night"]
    assert found["2026-03-06"] == ["until 03:00 Night"]


@pytest.mark.rule("R6.35")
def test_a_series_keeps_its_clock_through_the_change_to_summer_time(owner, series):
    found = lines(signed_in(owner), view="month", day="2026-03-29")
    assert found["2026-03-27"] == found["2026-03-31"] == ["09:30 Stand-up"]
    assert found["2026-03-01"] == []


def test_what_differs_stands_where_it_is_and_what_was_deleted_nowhere(owner, series):
    AppointmentFactory(
        activity__owning_user=owner,
        activity__subject="Moved",
        series=series,
        original_start_date=start_of(3),
        scheduled_start=start_of(4) + timedelta(hours=2),
    )
    series.deleted_exceptions_list = [start_of(5).isoformat()]
    series.save()
    found = lines(signed_in(owner), view="week", day="2026-03-02")
    assert found["2026-03-03"] == []
    assert found["2026-03-04"] == ["09:30 Stand-up", "11:30 Moved"]
    assert found["2026-03-05"] == []


def test_tasks_stand_on_the_day_they_are_due(site):
    TaskFactory(
        activity__owning_user=site.administrator,
        activity__subject="Offer",
        scheduled_end=datetime(2026, 3, 2, tzinfo=UTC),
    )
    client = signed_in(site.administrator)
    assert lines(client, view="week", day="2026-03-02")["2026-03-02"] == ["Offer"]
    hidden = lines(client, view="week", day="2026-03-02", what="meetings")
    assert hidden["2026-03-02"] == []


def test_whose_calendar_it_is_can_be_chosen(site):
    client, today = signed_in(site.ada), str(site.now.date())
    group_of(site.ada, "view_appointment", reach=Reach.TEAM)
    team = Team.objects.create(name="Sales", administrator=site.administrator)
    AppointmentFactory(
        activity__owning_team=team,
        activity__owning_user=None,
        activity__subject="Pipeline",
        scheduled_start=site.meeting.scheduled_start,
    )
    assert lines(client, day=today)[today] == ["12:00 Quarterly review"]
    assert lines(client, day=today, whose="team")[today] == []
    team.members.add(site.ada)
    assert lines(client, day=today, whose="team")[today] == ["12:00 Pipeline"]
    assert len(lines(client, day=today, whose="all")[today]) == 2


def test_a_calendar_is_for_those_who_may_see_something_in_it(site):
    assert signed_in(site.ben).get(reverse("admin:calendar")).status_code == 403
    assert reverse("admin:calendar") not in signed_in(site.ben).get("/").content.decode()


@pytest.mark.parametrize(
    "query",
    [
        {"view": "year", "day": "9999-12-31", "whose": "x", "what": "\0"},
        {"day": "0001-01-01"},
        {"day": "2026-13-40"},
        {"view": "week", "day": "2199-12-31"},
        {"view": "month", "day": "1900-01-01"},
    ],
)
def test_whatever_the_address_says_there_is_a_calendar(owner, query):
    assert signed_in(owner).get(reverse("admin:calendar"), query).status_code == 200


def test_a_calendar_costs_the_same_however_full_it_is(owner, series):
    client, url = signed_in(owner), reverse("admin:calendar") + "?day=2026-03-02"
    client.get(url)
    with CaptureQueriesContext(
        connection,
    ) as few:
        client.get(url)
    for number in range(8):
        AppointmentFactory(
            activity__owning_user=owner,
            scheduled_start=start_of(2) + timedelta(hours=number),
            is_mapi_private=False,
        )
        RecurringAppointmentMasterFactory(activity__owning_user=owner)
    with CaptureQueriesContext(connection) as many:
        client.get(url)
    assert len(many) == len(few) <= 20


# -- series


EVERY_SECOND_WEEK = {
    "subject": "Stand-up",
    "begins": "09:30",
    "ends": "10:00",
    "time_zone": "Europe/Berlin",
    "repeats": PatternType.WEEKLY,
    "interval": "2",
    "days": ["0", "3"],
    "pattern_start_date": "2026-03-02",
    "ends_by": "1",
}


def weekly(user, **typed):
    return post(user, RecurringAppointmentMaster, **EVERY_SECOND_WEEK | typed)


def test_a_series_is_written_in_plain_fields_and_told_in_words(owner):
    client = signed_in(owner)
    assert weekly(owner).status_code == 302
    made = RecurringAppointmentMaster.objects.get(activity__owning_user=owner)
    assert (made.start_time, made.duration, made.days_of_week_mask) == (time(9, 30), 30, 2 + 16)
    page = client.get(page_of(made)).content.decode()
    assert "Every 2 weeks on Monday and Thursday, 30 min" in page
    monthly = weekly(
        owner, subject="Board", repeats=PatternType.MONTHLY, by="day", nth="5", nth_day="weekday",
        interval="1", ends_by="2", occurrences="4",
    )  # fmt: skip
    assert monthly.status_code == 302
    board = RecurringAppointmentMaster.objects.get(activity__subject="Board")
    said = client.get(page_of(board)).context["in_short"]
    assert said == "On the last weekday of every month, 4 times, 30 min"


@pytest.mark.parametrize(
    ("typed", "box", "words"),
    [
        ({"interval": "0"}, "interval", "1 or more"),
        ({"interval": "1001"}, "interval", "1000 or less"),
        ({"days": []}, "days", "Choose one"),
        ({"repeats": "2", "by": "date", "day_of_month": "32"}, "day_of_month", "31 or less"),
        ({"repeats": "2", "by": "date", "day_of_month": ""}, "day_of_month", "Choose one"),
        ({"repeats": "2", "by": "day", "nth": "", "nth_day": "0", "day_of_month": ""},
         "day_of_month", "Choose one"),
        ({"ends_by": "3", "pattern_end_date": ""}, "pattern_end_date", "Say when it ends"),
        ({"ends_by": "3", "pattern_end_date": "2026-03-01"}, "pattern_end_date", "later end"),
        ({"ends_by": "2", "occurrences": "1000"}, "occurrences", "999 or less"),
        ({"begins": ""}, "begins", "at what time"),
        ({"repeats": "0", "interval": "1", "is_all_day_event": "on", "whole_days": "3"},
         "ends", "longer than until the next"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_pattern_is_told_at_its_box(owner, typed, box, words):
    found = wrong_in(form_of(owner, RecurringAppointmentMaster, **EVERY_SECOND_WEEK | typed))
    assert words in found[box]


def test_what_exchange_cannot_keep_is_stored_with_a_warning(owner):
    answer = weekly(owner, interval="120")
    assert "would not be synchronized" in told(answer)
    made = RecurringAppointmentMaster.objects.get(activity__owning_user=owner)
    assert made.interval == 120


def differing(client, url: str, **typed):
    return client.post(url, form_data(client, url) | typed)


def occurrence_page(series, start: datetime, what: str = "change") -> str:
    return reverse(f"admin:activities_occurrence_{what}", args=[series.pk, named(start)])


def test_the_page_of_a_series_lists_its_next_occurrences(owner, series):
    page = signed_in(owner).get(page_of(series), {"occurrence": named(start_of(4))})
    found = page.context["occurrences"]
    assert [line.words for line in found.lines][:2] == [
        "Wed 2026-03-04 09:30–10:00",
        "Thu 2026-03-05 09:30–10:00",
    ]
    assert (len(found.lines), found.lines[0].is_asked_for) == (10, True)
    assert found.begin_url and found.later_url


def test_one_occurrence_is_changed_and_the_others_stay(owner, series):
    client, url = signed_in(owner), occurrence_page(series, start_of(4))
    answer = differing(client, url, subject="Stand-up, later", begins="11:00", ends="11:15")
    made = Appointment.objects.select_related("activity").get(series=series)
    assert answer.url == page_of(made)
    assert (made.series_id, made.original_start_date) == (series.pk, start_of(4))
    assert made.scheduled_start == datetime(2026, 3, 4, 10, tzinfo=UTC)
    assert (made.activity.subject, made.activity.owner) == ("Stand-up, later", owner)
    assert client.get(url).url == page_of(made)
    again = client.get(page_of(made)).context["adminform"].form
    assert not {"owner", "organizer", "regarding"} & set(again.fields)
    listed = client.get(page_of(series), {"occurrence": named(start_of(4))})
    assert listed.context["occurrences"].lines[0].moved == "Wed 2026-03-04 11:00–11:15"


def test_one_occurrence_is_deleted_once_somebody_said_so(owner, series):
    client, url = signed_in(owner), occurrence_page(series, start_of(4), "delete")
    assert client.get(url).status_code == 200
    assert RecurringAppointmentMaster.objects.get(pk=series.pk).deleted_starts == frozenset()
    client.post(url)
    assert RecurringAppointmentMaster.objects.get(pk=series.pk).deleted_starts == {start_of(4)}
    listed = client.get(page_of(series), {"occurrence": named(start_of(4))})
    assert listed.context["occurrences"].lines[0].is_deleted
    assert client.get(url).status_code == 404


def test_there_is_no_page_of_what_does_not_occur(owner, series):
    client = signed_in(owner)
    assert client.get(occurrence_page(series, start_of(4) + timedelta(hours=1))).status_code == 404
    stranger = SystemUserFactory()
    group_of(stranger, "view_recurringappointmentmaster", "change_recurringappointmentmaster")
    assert signed_in(stranger).get(occurrence_page(series, start_of(4))).status_code == 404


def test_a_deleted_exception_leaves_no_occurrence_behind(owner, series):
    client = signed_in(owner)
    differing(client, occurrence_page(series, start_of(4)), subject="Other")
    made = Appointment.objects.get(series=series)
    client.post(page_of(made, "delete"), {"post": "yes"})
    assert RecurringAppointmentMaster.objects.get(pk=series.pk).deleted_starts == {start_of(4)}


def test_a_private_series_hides_its_occurrences(owner, series, site):
    RecurringAppointmentMaster.objects.filter(pk=series.pk).update(is_mapi_private=True)
    client = signed_in(site.administrator)
    found = lines(client, view="week", day="2026-03-02", whose="all")
    assert found["2026-03-03"] == ["08:30 Private appointment"]
    page = client.get(page_of(series))
    assert "Stand-up" not in page.content.decode()
    assert "occurrences" not in page.context
    assert client.get(occurrence_page(series, start_of(4))).status_code == 403


def test_a_deleted_occurrence_is_put_back(owner, series):
    client = signed_in(owner)
    client.post(occurrence_page(series, start_of(4), "delete"))
    listed = client.get(page_of(series), {"occurrence": named(start_of(4))})
    client.post(listed.context["occurrences"].lines[0].restore_url)
    assert RecurringAppointmentMaster.objects.get(pk=series.pk).deleted_starts == frozenset()


@pytest.mark.rule("R6.36")
def test_what_differs_is_as_private_as_its_series_and_belongs_to_the_same_owner(
    owner, series, site
):
    differing(signed_in(owner), occurrence_page(series, start_of(4)), subject="Other")
    answer = post(owner, series, is_mapi_private="on", owner=f"mailboxes.systemuser:{owner.pk}")
    assert answer.status_code == 302
    made = Appointment.objects.get(series=series)
    assert made.is_mapi_private
    found = lines(signed_in(site.administrator), view="week", day="2026-03-02", whose="all")
    assert found["2026-03-04"] == ["08:30 Private appointment"]
