"""Charts and live progress in a real browser, under the console's own content security policy."""

from datetime import timedelta
from uuid import uuid4

import pytest
from django.urls import reverse
from django.utils import timezone
from playwright.sync_api import expect

from tests.factories.console import Site, build_site

pytestmark = pytest.mark.browser


@pytest.fixture
def site(live_server) -> Site:
    return build_site()


@pytest.fixture
def console(page, sign_in, site):
    sign_in(site.administrator)
    return page


def run(mailbox, items: int) -> None:
    now = timezone.now()
    mailbox.workloads.filter(operation=0).update(
        lease_token=uuid4(),
        lease_expires_at=now + timedelta(minutes=5),
        last_started_at=now,
        items_so_far=items,
    )


def end(mailbox, items: int) -> None:
    now = timezone.now()
    mailbox.workloads.filter(operation=0).update(
        lease_token=None,
        lease_expires_at=None,
        next_run_at=now + timedelta(minutes=5),
        last_success_at=now,
        last_error_code="",
        last_items_processed=items,
        last_items_failed=0,
    )


@pytest.mark.rule("R8.31")
@pytest.mark.parametrize(("width", "theme"), [(1280, "dark"), (360, "light")])
def test_charts_are_drawn_and_lead_to_their_lists(console, screenshot, width, theme):
    console.set_viewport_size({"width": width, "height": 900})
    console.emulate_media(color_scheme=theme)
    console.goto("/")
    screenshot(f"charts-{width}-{theme}")
    drawn = console.locator("#chart-items svg.chart rect.is-0").first
    expect(drawn).to_be_visible()
    background = console.evaluate("getComputedStyle(document.body).backgroundColor")
    colour = drawn.evaluate("each => getComputedStyle(each).fill")
    assert colour not in (background, "rgb(0, 0, 0)", "none")
    assert console.evaluate("document.documentElement.scrollWidth <= window.innerWidth")

    console.locator("#chart-items summary").click()
    console.locator("#chart-items table a").first.click()
    expect(console.locator("#result_list tbody tr").first).to_be_visible()


@pytest.mark.rule("R8.31")
def test_a_running_cycle_is_followed_until_it_is_done(console, site):
    mailbox = site.mailboxes["healthy"]
    run(mailbox, items=3)
    console.goto(reverse("admin:mailboxes_mailbox_change", args=[mailbox.pk]))
    live = console.locator("#live")
    expect(live).to_contain_text("3 items so far")
    run(mailbox, items=41)
    expect(live).to_contain_text("41 items so far")
    expect(live.locator(".live-ended")).to_be_hidden()
    end(mailbox, items=50)
    expect(live).to_contain_text("50 items in")
    expect(live.locator(".live-ended")).to_be_visible()


def test_without_scripts_the_page_tells_what_was_when_it_was_made(
    browser, context, sign_in, site, live_server
):
    sign_in(site.administrator)
    run(site.mailboxes["healthy"], items=7)
    plain = browser.new_context(base_url=live_server.url, java_script_enabled=False)
    plain.add_cookies(context.cookies())
    page = plain.new_page()
    page.goto("/")
    expect(page.locator("#live")).to_contain_text("7 items so far")
    expect(page.locator("#live .live-state")).to_be_hidden()
    expect(page.locator("#chart-items svg.chart")).to_be_visible()
    plain.close()
