"""Every page of the console as axe-core judges it, in both themes, and whether it fits a phone."""

import importlib.resources
from collections.abc import Iterable, Iterator
from urllib.parse import urlsplit

import pytest
from django.contrib import admin
from django.urls import reverse
from django.utils import timezone
from playwright.sync_api import Page

from mailboxes import recurrence
from mailboxes.models import SystemUser
from serversync.console.planning import occurrences
from tests.browser.test_console import fits
from tests.factories.console import Site, build_site
from tests.integration.serversync.walking import Address, addresses

pytestmark = pytest.mark.browser

# Handed to the browser as text: the content policy lets no foreign script in.
AXE = importlib.resources.files("axe_playwright_python").joinpath("axe.min.js").read_text()
# Frames are left out: strangers wrote what is in them. So are changes of colour that are under way.
JUDGE = """async rules => {
    for (const each of document.getAnimations()) each.cancel();
    const options = {iframes: false, preload: false, resultTypes: ["violations"], ...rules};
    const {violations} = await axe.run(document, options);
    return violations
        .filter(each => ["serious", "critical"].includes(each.impact))
        .flatMap(each => each.nodes.map(node => `${each.id}: ${node.target} ${node.html}`));
}"""
# The hundredth row is made like the first ones.
SHORTEN = """most => {
    for (const list of document.querySelectorAll("#content :is(tbody, ul, ol, dl, section)"))
        while (list.children.length > most) list.lastElementChild.remove();
}"""
MOST_ROWS = 12
MOST_SHOWN = 3
EVERYTHING: dict[str, object] = {}
CONTRAST = {"runOnly": ["color-contrast"]}
DESK, PHONE = {"width": 1280, "height": 900}, {"width": 360, "height": 800}

#: What is no page of its own: answers to scripts and machines, files, frames, and what only forms are sent to.
#: And the page that tracks an item by hand: none of this site's items can be.
NO_PAGES = {
    "healthz", "metrics", "live", "jsi18n", "logout", "view_on_site", "balance_csv", "recount",
    "test_connection_state", "sign_in_leave", "sign_in_end", "act_answer",
    "tracking_mailboxtrackingfolder_folders",
    "serversync_syncitem_track", "wizard_test_live", "wizard_done_live",
}  # fmt: skip
NO_PAGES_AT_THE_END = ("_body", "_file", "_original", "_preview", "_records", "_restore")
#: One template for all kinds of records: one of each is enough.
ALIKE = ("_history", "_delete")
OPENED_OF_ALIKE = {"mailboxes_queue_history", "mailboxes_queue_delete"}


@pytest.fixture
def site(live_server) -> Site:
    return build_site()


def is_page(address: Address) -> bool:
    name = address.name
    if name.endswith(ALIKE) and name not in OPENED_OF_ALIKE:
        return False
    machines = name in NO_PAGES or name.endswith(NO_PAGES_AT_THE_END)
    return not (address.post or address.data or machines)


def urls_of(site: Site) -> Iterator[str]:
    """What takes another record than most, or a query, is asked for with it."""
    test, one = "test_and_enable", "activities_occurrence_change"
    first = recurrence.first(site.series.recurrence, site.series.start_time, site.series.zone)
    assert first is not None
    special = {
        one: reverse(f"admin:{one}", args=[site.series.pk, occurrences.named(first)]),
        test: f"{reverse(f'admin:{test}')}?mailbox={site.mailboxes['healthy'].pk}",
    }
    for address in addresses(site, site.ada):
        if is_page(address):
            yield special.get(address.name, address.url)


def faults_of(page: Page) -> list[str]:
    page.set_viewport_size(PHONE)
    found = [] if fits(page) else ["wider than a phone"]
    page.set_viewport_size(DESK)
    page.evaluate(SHORTEN, MOST_ROWS)
    page.evaluate(AXE)
    found += page.evaluate(JUDGE, EVERYTHING)
    page.emulate_media(color_scheme="dark")
    found += [f"dark: {fault}" for fault in page.evaluate(JUDGE, CONTRAST)]
    page.emulate_media(color_scheme="light")
    return found[:MOST_SHOWN]


def opened(page: Page, url: str) -> str:
    """The address at which it ended. Empty: nobody makes such records by hand."""
    answer = page.goto(url)
    assert answer is not None and answer.status in (200, 403), f"{url} is no page"
    return page.url if answer.ok else ""


def judged(page: Page, urls: Iterable[str]) -> dict[str, list[str]]:
    """The faults of each page. Several addresses may lead to one."""
    found: dict[str, list[str]] = {"": []}
    for url in urls:
        place = opened(page, url)
        if place not in found:
            found[place] = faults_of(page)
    del found[""]
    return found


def told(found: dict[str, list[str]]) -> str:
    return "\n".join(f"{urlsplit(url).path}: {fault}" for url in found for fault in found[url])


def test_the_judge_sees_a_button_without_a_name(page):
    page.set_content("<html lang=en><title>A page</title><main><button></button></main></html>")
    assert [fault.split(":")[0] for fault in faults_of(page)] == ["button-name"]


@pytest.mark.timeout(400)
def test_no_page_shuts_anybody_out(page, sign_in, site, problems):
    sign_in(site.administrator)
    found = judged(page, urls_of(site))
    assert len(found) > len(admin.site._registry)

    page.context.clear_cookies()
    found |= judged(page, [reverse("admin:login")])
    SystemUser.objects.filter(pk=site.ben.pk).update(second_factor_since=timezone.now())
    site.ben.refresh_from_db()
    sign_in(site.ben)
    second = judged(page, [reverse("admin:second_factor")])
    assert [urlsplit(url).path for url in second] == [reverse("admin:second_factor")]
    problems.forget()  # pages that are refused with 403
    assert not told(found | second), f"\n{told(found | second)}"
