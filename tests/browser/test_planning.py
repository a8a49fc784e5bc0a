"""Appointments, series and the calendar as a person uses them: with a mouse, with keys alone, on a phone."""

from datetime import UTC, datetime, timedelta

import pytest
from django.urls import reverse
from playwright.sync_api import expect

from activities.models import Appointment, RecurringAppointmentMaster
from tests.browser.test_console import fits
from tests.browser.test_writing import sizes
from tests.factories.activities import AppointmentFactory

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def test_an_appointment_is_written_and_found_in_the_calendar_with_keys_alone(
    admin_page, screenshot
):
    page = admin_page
    page.goto(reverse("admin:calendar") + "?day=2026-03-04")
    page.get_by_role("link", name="New appointment on March 4, 2026").focus()
    page.keyboard.press("Enter")
    page.locator("#id_subject").fill("Trade fair")
    expect(page.locator("#id_first_day")).to_have_value("2026-03-04")
    page.locator("#id_is_all_day_event").check()
    expect(page.locator("#id_begins")).to_be_hidden()
    expect(page.locator("#id_time_zone")).to_be_hidden()
    page.locator("#id_last_day").fill("2026-03-05")
    page.locator("#id_required").fill("somebody@elsewhere.example")
    for size in sizes(page):
        screenshot(f"planning-appointment-{size}")
        assert fits(page)
    page.get_by_role("button", name="Save", exact=True).click()
    made = Appointment.objects.get()
    assert (made.scheduled_start.date(), made.last_day.day) == (datetime(2026, 3, 4).date(), 5)  # noqa: DTZ001

    page.goto(reverse("admin:calendar") + "?day=2026-03-04")
    for size in sizes(page):
        screenshot(f"planning-month-{size}")
        assert fits(page)
    expect(page.get_by_role("columnheader").first).not_to_be_in_viewport()
    empty = page.locator("td.is-empty:not(.is-today)").first
    expect(empty).to_be_hidden()  # a phone lists the days that have something
    page.get_by_role("link", name="Trade fair").first.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Trade fair")).to_be_visible()


def test_a_series_is_written_in_plain_fields_and_one_occurrence_changed(admin_page, screenshot):
    page = admin_page
    page.goto(reverse("admin:activities_recurringappointmentmaster_add"))
    page.locator("#id_subject").fill("Board")
    expect(page.locator("#id_days")).to_be_visible()
    expect(page.locator("#id_day_of_month")).to_be_hidden()
    page.locator("#id_repeats").select_option("Monthly")
    expect(page.locator("#id_days")).to_be_hidden()
    page.locator("#id_by").select_option("The n-th of certain days")
    expect(page.locator("#id_day_of_month")).to_be_hidden()
    page.locator("#id_nth").select_option("Last")
    page.locator("#id_nth_day").select_option("weekday")
    page.locator("#id_pattern_start_date").fill("2031-03-01")
    page.locator("#id_begins").fill("09:00")
    page.locator("#id_ends").fill("10:30")
    page.get_by_role("button", name="Save and continue editing").click()
    expect(page.locator("#in-short")).to_contain_text("On the last weekday of every month, 1 h 30")
    for size in sizes(page):
        screenshot(f"planning-series-{size}")
        assert fits(page)
    page.get_by_role("link", name="Change this one").first.click()
    expect(page.locator("#id_first_day")).to_have_value("2031-03-31")
    page.locator("#id_begins").fill("10:00")
    page.get_by_role("button", name="Save", exact=True).click()
    made = Appointment.objects.get()
    assert made.series == RecurringAppointmentMaster.objects.get()
    assert made.scheduled_start == datetime(2031, 3, 31, 10, tzinfo=UTC)


@pytest.mark.parametrize("width", [768, 1024, 1280])
def test_a_month_full_of_long_subjects_never_scrolls_sideways(admin_page, administrator, width):
    first = datetime(2026, 3, 2, 9, tzinfo=UTC)
    for number in range(7):
        start = first + timedelta(days=number)
        AppointmentFactory(
            activity__subject="Everything about the trade fair of next year",
            activity__owning_user=administrator, scheduled_start=start,
            scheduled_end=start + timedelta(hours=1),
        )  # fmt: skip
    admin_page.set_viewport_size({"width": width, "height": 900})
    admin_page.goto(reverse("admin:calendar") + "?day=2026-03-04")
    expect(admin_page.locator(".event")).to_have_count(7)
    assert fits(admin_page)
