"""The quarantine in a browser: choosing, acting, looking into a message, bringing files; shared addresses."""

import pytest
from django.urls import reverse
from playwright.sync_api import expect

from activities import blobs
from activities.models import Contact, StoredBytes
from mailboxes.choices import Reach
from serversync.models import SyncItem
from tests.factories.console import Site, build_site, rich, written
from tests.factories.mailboxes import group_of

pytestmark = pytest.mark.browser


@pytest.fixture
def site(live_server) -> Site:
    return build_site()


@pytest.fixture
def kept(site) -> SyncItem:
    """A message with picture and file that failed, its bytes kept."""
    raw = bytes(rich(site.now))
    staged = blobs.Staged()
    key = staged.add(raw)
    stored = StoredBytes.objects.get(pk=blobs.save(staged)[key])
    return SyncItem.objects.create(
        mailbox=site.mailboxes["healthy"],
        folder="INBOX",
        source_key="1.99",
        state="quarantined",
        reason="IncomingMailboxInternalCrmError",
        last_error="ValueError: a long text of a fault that says more than anybody wants to read here",
        attempts=5,
        size=len(raw),
        subject="Offer for order 4711, with a subject that is much longer than its column has room for",
        sender="cleo@customer.example",
        raw=stored,
    )


@pytest.fixture
def console(page, sign_in, site, kept):
    """Ada, who reads her mailbox and may retry its items."""
    group_of(site.ada, "retry_syncitem", reach=Reach.ALL)
    sign_in(site.ada)
    page.set_viewport_size({"width": 1280, "height": 900})
    return page


def fits(page) -> bool:
    return page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


@pytest.mark.parametrize("width", [1440, 800])
def test_its_pages_fit(console, kept, screenshot, width):
    console.set_viewport_size({"width": width, "height": 900})
    pages = {
        "quarantine": reverse("admin:quarantine"),
        "quarantine-look": reverse("admin:quarantine_look", args=[kept.pk]),
        "quarantine-bring": reverse("admin:quarantine_bring"),
    }
    for name, url in pages.items():
        console.goto(url)
        screenshot(f"{name}-{width}")
        assert fits(console), f"{name} is wider than the window"


def test_a_message_is_looked_into_and_chosen_ones_are_dismissed(console, kept, screenshot):
    console.goto(reverse("admin:quarantine"))
    console.get_by_role("link", name="Offer for order 4711").click()
    body = console.frame_locator("iframe.mail-body")
    expect(body.get_by_text("please find the offer attached")).to_be_visible()
    console.get_by_text("The whole header").click()
    expect(console.locator("pre.source")).to_contain_text("Message-ID: <offer@customer.example>")

    console.goto(reverse("admin:quarantine"))
    console.get_by_label("all on this page").check()
    console.get_by_role("button", name="Dismiss chosen").click()
    screenshot("quarantine-dismiss")
    expect(console.locator(".callout")).to_contain_text("Dismiss 2 items?")
    console.get_by_role("button", name="Dismiss").click()

    expect(console.locator(".messagelist")).to_contain_text("2 items were dismissed")
    expect(console.locator("#content-main")).to_contain_text("Nothing is in quarantine.")


def test_files_are_brought(console, site, screenshot):
    console.goto(reverse("admin:quarantine"))
    console.get_by_role("link", name="Import .eml files").click()
    console.select_option("#mailbox", str(site.mailboxes["healthy"].pk))
    files = [
        {
            "name": "one.eml",
            "mimeType": "message/rfc822",
            "buffer": bytes(written("New", site.now)),
        },
        {"name": "picture.png", "mimeType": "image/png", "buffer": b"\x89PNG"},
    ]
    console.set_input_files("#files", files)
    console.get_by_role("button", name="Import").click()
    screenshot("quarantine-brought")

    expect(console.locator("#brought")).to_contain_text("Taken in")
    expect(console.locator("#brought")).to_contain_text("This is no message")
    expect(console.locator("#brought a")).to_have_text("New")


def test_the_report_of_shared_addresses_fits(page, sign_in, site, screenshot):
    Contact.objects.create(
        first_name="Ada",
        last_name="Private",
        email_address1="ada@example.com",
        owning_user=site.ada,
    )
    Contact.objects.create(
        last_name="Twin", email_address1="cleo@customer.example", owning_user=site.ben
    )
    sign_in(site.administrator)
    for width in (1440, 800):
        page.set_viewport_size({"width": width, "height": 900})
        page.goto(reverse("admin:conflicts"))
        screenshot(f"conflicts-{width}")
        assert fits(page)
    page.get_by_role("link", name="Several records of one type").click()

    expect(page.locator("#conflicts tbody tr")).to_have_count(1)
    expect(page.locator("#conflicts")).to_contain_text("cleo@customer.example")
