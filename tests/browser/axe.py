"""Pages of the console as axe-core judges them, in both themes, and whether they fit a phone.

They are many, so each group has a module of its own, which another worker takes.
"""

import importlib.resources
from collections.abc import Iterable, Iterator
from enum import StrEnum
from urllib.parse import urlsplit

from django.urls import reverse
from playwright.sync_api import Page

from mailboxes import recurrence
from serversync.console.planning import occurrences
from tests.browser.test_console import fits
from tests.factories.console import Site
from tests.integration.serversync.walking import Address, addresses

# Handed to the browser as text: the content policy lets no foreign script in.
AXE = importlib.resources.files("axe_playwright_python").joinpath("axe.min.js").read_text()
# Frames are left out: strangers wrote what is in them. So are changes of colour that are under way.
JUDGE = """async ([rules, apart]) => {
    for (const each of document.getAnimations()) each.cancel();
    const options = {iframes: false, preload: false, resultTypes: ["violations"], ...rules};
    const exclude = apart.filter(each => document.querySelector(each)).map(each => [each]);
    const {violations} = await axe.run({include: [["html"]], exclude}, options);
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
# Only colours differ between themes; and to judge them costs more than all the rest.
COLOURS = {"runOnly": ["color-contrast"]}
ALL_BUT_COLOURS = {"rules": {"color-contrast": {"enabled": False}}}
# What looks the same on every page: its colours are judged once.
AROUND = ("#header", ".tasks")
DESK, PHONE = {"width": 1280, "height": 900}, {"width": 360, "height": 800}

#: What is no page of its own: answers to scripts and machines, files, frames, and what only forms are sent to.
#: And the page that tracks an item by hand: none of this site's items can be.
NO_PAGES = {
    "healthz", "metrics", "live", "jsi18n", "logout", "view_on_site", "balance_csv", "recount",
    "test_connection_state", "import_template", "import_csv", "sign_in_leave", "sign_in_end", "act_answer",
    "tracking_mailboxtrackingfolder_folders",
    "serversync_syncitem_track", "wizard_test_live", "wizard_done_live",
}  # fmt: skip
NO_PAGES_AT_THE_END = ("_body", "_file", "_original", "_preview", "_records", "_restore")
#: One template for all kinds of records: one of each is enough.
ALIKE = ("_history", "_delete")
OPENED_OF_ALIKE = {"mailboxes_queue_history", "mailboxes_queue_delete"}


class Group(StrEnum):
    LISTS = "_changelist"
    RECORDS = "_change"
    FORMS = "_add"
    OTHERS = ""


def group_of(name: str) -> Group:
    """By how the name of an address ends."""
    return next(group for group in Group if name.endswith(group))


def is_page(address: Address) -> bool:
    name = address.name
    if name.endswith(ALIKE) and name not in OPENED_OF_ALIKE:
        return False
    machines = name in NO_PAGES or name.endswith(NO_PAGES_AT_THE_END)
    return not (address.post or address.data or machines)


def urls_of(site: Site, group: Group) -> Iterator[str]:
    """What takes another record than most, or a query, is asked for with it."""
    test, one = "test_and_enable", "activities_occurrence_change"
    first = recurrence.first(site.series.recurrence, site.series.start_time, site.series.zone)
    assert first is not None
    special = {
        one: reverse(f"admin:{one}", args=[site.series.pk, occurrences.named(first)]),
        test: f"{reverse(f'admin:{test}')}?mailbox={site.mailboxes['healthy'].pk}",
    }
    for address in addresses(site, site.ada):
        if is_page(address) and group_of(address.name) is group:
            yield special.get(address.name, address.url)


def faults_of(page: Page, apart: tuple[str, ...] = ()) -> list[str]:
    """`apart`: parts whose colours were judged on another page."""
    page.set_viewport_size(PHONE)
    found = [] if fits(page) else ["wider than a phone"]
    page.set_viewport_size(DESK)
    page.evaluate(SHORTEN, MOST_ROWS)
    page.evaluate(AXE)
    found += page.evaluate(JUDGE, [ALL_BUT_COLOURS, []])
    for theme in ("light", "dark"):
        page.emulate_media(color_scheme=theme)
        found += [f"{theme}: {fault}" for fault in page.evaluate(JUDGE, [COLOURS, apart])]
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
            found[place] = faults_of(page, AROUND if len(found) > 1 else ())
    del found[""]
    return found


def told(found: dict[str, list[str]]) -> str:
    return "\n".join(f"{urlsplit(url).path}: {fault}" for url in found for fault in found[url])
