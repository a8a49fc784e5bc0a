"""By hand in a browser: tracking an item all the same, untracking, filing a whole conversation."""

from uuid import uuid4

import pytest
from django.urls import reverse
from playwright.sync_api import expect

from activities.models import Email
from mailboxes.choices import Reach
from tests.factories.console import Site, build_site
from tests.factories.mailboxes import group_of

pytestmark = pytest.mark.browser


@pytest.fixture
def site(live_server) -> Site:
    made = build_site()
    Email.objects.filter(receiving_mailbox=made.mailboxes["healthy"]).update(
        conversation_tracking_id=uuid4()
    )
    return made


@pytest.fixture
def console(page, sign_in, site):
    """Ada, who reads her mailbox, and may track by hand and delete her emails."""
    group_of(site.ada, "track_syncitem", "view_syncitem", "view_account", "view_contact")
    group_of(site.ada, "delete_email", reach=Reach.OWN)
    sign_in(site.ada)
    page.set_viewport_size({"width": 1280, "height": 900})
    return page


def fits(page) -> bool:
    return page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


@pytest.mark.parametrize("width", [1440, 800])
def test_its_pages_fit(console, site, screenshot, width):
    console.set_viewport_size({"width": width, "height": 900})
    rejected, tracked = site.items["rejected"], site.items["tracked"]
    pages = {
        "item": reverse("admin:serversync_syncitem_change", args=[rejected.pk]),
        "track": reverse("admin:serversync_syncitem_track", args=[rejected.pk]),
        "email": reverse("admin:activities_email_change", args=[tracked.email_id]),
        "untrack": reverse("admin:activities_email_untrack", args=[tracked.email_id]),
        "file": reverse("admin:activities_email_file_under", args=[tracked.email_id]),
    }
    for name, url in pages.items():
        console.goto(url)
        screenshot(f"byhand-{name}-{width}")
        assert fits(console), f"{name} is wider than the window"


def test_a_rejected_item_is_tracked_under_a_record(console, site, screenshot):
    console.goto(reverse("admin:serversync_syncitem_change", args=[site.items["rejected"].pk]))
    console.get_by_role("button", name="Track anyway").click()
    console.get_by_label("Find a record").fill("customer")
    console.get_by_role("button", name="Find").click()
    console.get_by_label("Customer Ltd").check()
    console.get_by_role("button", name="Track it").click()

    expect(console.locator(".messagelist")).to_contain_text("1 item is fetched again")
    expect(console.locator("#decision")).to_contain_text("to track it all the same")
    screenshot("byhand-asked")


def test_an_email_is_untracked(console, site, screenshot):
    console.goto(reverse("admin:serversync_syncitem_change", args=[site.items["tracked"].pk]))
    console.get_by_role("button", name="Untrack").click()
    expect(console.get_by_label("Only unlink this copy")).to_be_checked()
    console.get_by_label("Delete the email here as well").check()
    console.get_by_role("button", name="Untrack").click()

    expect(console.locator(".messagelist")).to_contain_text("The email is deleted here")
    console.goto(reverse("admin:serversync_syncitem_change", args=[site.items["tracked"].pk]))
    expect(console.locator("#decision")).to_contain_text("deleted the email here")
    screenshot("byhand-untracked")
