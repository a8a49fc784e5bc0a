"""What became of an email, and why: the path of what was tracked and rejected, and what is in quarantine, until it is out."""

from collections import Counter

import pytest
from django.urls import reverse
from playwright.sync_api import expect

from serversync.choices import ItemState
from serversync.models import SyncItem
from serversync.sandbox.faults import Fault, Kind
from tests.browser.journeys import LANGUAGES, NEWS, Visit, World

pytestmark = pytest.mark.browser

BROKEN = Fault(
    kind=Kind.REPLY,
    protocol="imap",
    command="UID FETCH",
    text="3 (UID BODY.PEEK[])",
    argument="NO [SERVERBUG] message 3 is damaged",
)


@pytest.fixture(params=LANGUAGES)
def language(request) -> str:
    return request.param


@pytest.fixture
def received(world) -> World:
    """Three messages for Ada and for Ben: one of a customer, one of a stranger, one that the server can't read."""
    world.enable("ben")
    for name in ("ada", "ben"):
        world.deliver(name, f"Question of {name}")
        world.deliver(name, f"Newsletter for {name}", NEWS)
        world.deliver(name, f"Damaged for {name}")
    world.sandbox.faults.add(BROKEN)
    world.run("ada", "ben")
    return world


def item_of(world: World, name: str, state: ItemState) -> SyncItem:
    return SyncItem.objects.get(mailbox=world.mailbox(name), state=state)


@pytest.fixture
def visit(page, words) -> Visit:
    return Visit(page, words)


@pytest.mark.rule("R8.30")
def test_a_user_reads_why_and_gets_what_was_damaged_once_the_server_can_read_it(
    visit, sign_in, received, screenshot, problems
):
    page, words = visit.page, visit.words
    sign_in(received.user("ada"))
    page.goto("/my-mailbox/")
    visit.link("Emails").click()
    page.get_by_role("link", name="Question of ada").click()
    path = page.locator("#path")
    expect(path.locator("[data-station=filters]")).to_contain_text(words("decided it"))
    expect(path.locator("[data-station=sender]")).to_contain_text("Rita Example")
    screenshot(f"journey-why-tracked-{words.language}")

    visit.link("Items").click()
    expect(page.locator("#result_list tbody tr")).to_have_count(3)
    page.locator("#result_list tbody tr", has_text="Newsletter for ada").locator("th a").click()
    stopped = path.locator("[data-station=filters]")
    expect(stopped).to_contain_text(words("stopped here"))
    stopped.locator("summary").click()
    expect(stopped.locator(".told")).to_be_visible()
    screenshot(f"journey-why-rejected-{words.language}")

    visit.link("Quarantine").click()
    expect(page.locator("ul.failed li")).to_have_count(1)
    expect(page.locator("ul.failed")).to_contain_text("message 3 is damaged")
    screenshot(f"journey-quarantine-user-{words.language}")
    received.sandbox.faults.clear()
    visit.button("Retry now").click()
    expect(visit.told()).to_be_visible()
    received.work()
    page.reload()
    expect(page.locator("#content-main")).to_contain_text(words("Nothing is in quarantine."))
    assert tracked(received) == {"Ada Example": 2, "Ben Example": 1}

    others = item_of(received, "ben", ItemState.QUARANTINED)
    url = reverse("admin:serversync_syncitem_change", args=[others.pk])
    visit.is_kept_from(url, "Ben Example")
    problems.forget()


@pytest.mark.rule("R8.30")
def test_an_administrator_retries_for_all_and_reads_no_subject(
    visit, sign_in, received, screenshot
):
    page, words = visit.page, visit.words
    sign_in(received.administrator)
    page.goto("/")
    visit.link("Quarantine").click()
    expect(page.locator("ul.failed li")).to_have_count(2)
    screenshot(f"journey-quarantine-administrator-{words.language}")
    received.sandbox.faults.clear()
    page.get_by_role("button", name=words.many("Retry the one", "Retry all %(counter)s", 2)).click()
    expect(visit.told()).to_be_visible()
    received.work()
    page.reload()
    expect(page.locator("#content-main")).to_contain_text(words("Nothing is in quarantine."))
    assert tracked(received) == {"Ada Example": 2, "Ben Example": 2}

    rejected = item_of(received, "ben", ItemState.REJECTED)
    page.goto(reverse("admin:serversync_syncitem_change", args=[rejected.pk]))
    expect(page.locator("#path [data-station=filters]")).to_contain_text(words("stopped here"))
    expect(page.locator("#content-main")).not_to_contain_text("Newsletter")
    screenshot(f"journey-why-administrator-{words.language}")


def tracked(world: World) -> dict[str, int]:
    rows = SyncItem.objects.filter(state=ItemState.TRACKED).values_list("mailbox__name", flat=True)
    return dict(Counter(rows))
