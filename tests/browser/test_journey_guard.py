"""What a first synchronization would do, seen before it happens: by the administrator, and by the owner of the mailbox."""

from datetime import timedelta

import pytest
from django.contrib.contenttypes.models import ContentType
from django.urls import reverse
from playwright.sync_api import expect

from activities.choices import ParticipationType
from mailboxes.models import Organization, SystemUser
from serversync.act.choices import BatchState
from serversync.models import ParkedBatch
from tests.browser.journeys import EXCHANGE_USERS, LANGUAGES, Visit, World, address_of
from tests.factories.activities import ActivityPartyFactory, AppointmentFactory, ContactFactory

pytestmark = pytest.mark.browser

GUEST = "zed@elsewhere.example"


@pytest.fixture(params=LANGUAGES)
def language(request) -> str:
    return request.param


@pytest.fixture
def parked(world) -> World:
    """Fay and Gil have contacts and a meeting with somebody outside, of which their calendars know nothing."""
    Organization.objects.update(max_act_first_creations=1)
    for name in EXCHANGE_USERS:
        user = world.user(name)
        for first_name in ("Otto", "Paula"):
            ContactFactory(first_name=first_name, last_name=f"of {user}", owning_user=user)
        plan(world, user)
    world.run(*EXCHANGE_USERS)
    return world


def plan(world: World, user: SystemUser) -> None:
    begins = world.now + timedelta(days=3)
    meeting = AppointmentFactory(
        activity__subject=f"Kick-off with {user}",
        activity__owning_user=user,
        scheduled_start=begins,
        scheduled_end=begins + timedelta(hours=1),
    )
    people = (
        (ParticipationType.ORGANIZER, user, user.internal_email_address),
        (ParticipationType.REQUIRED_ATTENDEE, None, GUEST),
    )
    for role, person, address in people:
        ActivityPartyFactory(
            activity=meeting.activity,
            participation_type_mask=role,
            party_type=ContentType.objects.get_for_model(SystemUser) if person else None,
            party_id=str(person.pk) if person else "",
            address_used=address,
            unresolved_party_name=str(person or ""),
        )


def batch_of(world: World, name: str) -> ParkedBatch:
    return ParkedBatch.objects.get(mailbox=world.mailbox(name))


def kept(world: World, name: str) -> list[str]:
    """What the server has now."""
    exchange, address = world.sandbox.exchange, address_of(name)
    contacts = [item.text("GivenName") for item in exchange.items(address, "contacts")]
    return sorted(contacts) + [item.text("Subject") for item in exchange.items(address, "calendar")]


@pytest.fixture
def visit(page, words) -> Visit:
    return Visit(page, words)


@pytest.mark.rule("R6.46", "R6.51")
def test_an_administrator_sees_how_much_waits_and_approves_it(visit, sign_in, parked, screenshot):
    page, words = visit.page, visit.words
    sign_in(parked.administrator)
    page.goto("/")
    visit.link("Waiting for approval").click()
    expect(page.locator("#result_list tbody tr")).to_have_count(2)
    page.locator("#result_list tbody tr", has_text="Fay Example").locator("th a").click()

    expect(page.locator(".callout")).to_contain_text(words("Nothing of this has happened yet."))
    expect(page.locator("#counts tbody tr", has_text=words("contact"))).to_contain_text("2")
    owner_only = words("Their addresses are shown to the owner of the mailbox only.")
    expect(page.locator("#people")).to_contain_text(owner_only)
    for hidden in (GUEST, "Kick-off"):
        expect(page.locator("#content-main")).not_to_contain_text(hidden)
    screenshot(f"journey-guard-administrator-{words.language}")
    visit.button("Approve all of it").click()

    done = words("Approved. The next cycle does it.")
    expect(visit.told()).to_contain_text(done)
    assert kept(parked, "fay") == []
    parked.run(*EXCHANGE_USERS)
    assert kept(parked, "fay") == ["Otto", "Paula", "Kick-off with Fay Example"]
    assert [told for _sender, told, _mime in parked.sandbox.sent] == [(GUEST,)]
    assert kept(parked, "gil") == []
    assert batch_of(parked, "gil").state == BatchState.WAITING


@pytest.mark.rule("R6.46", "R6.51", "R8.30")
def test_a_user_decides_on_the_own_mailbox_line_by_line(
    visit, sign_in, parked, screenshot, problems
):
    page, words = visit.page, visit.words
    sign_in(parked.user("fay"))
    page.goto("/my-mailbox/")
    visit.link("Waiting for approval").click()
    expect(page.locator("#result_list tbody tr")).to_have_count(1)
    page.locator("#result_list tbody th a").click()

    meeting = page.locator("section.parked", has_text="Kick-off with Fay Example")
    expect(meeting).to_contain_text(words("Would be mailed:"))
    expect(meeting).to_contain_text(GUEST)
    screenshot(f"journey-guard-user-{words.language}")
    meeting.get_by_role("checkbox").check()
    visit.button("Drop what is ticked").click()
    dropped = words("Dropped what was ticked. Neither side has lost anything.")
    expect(visit.told()).to_contain_text(dropped)
    visit.button("Approve all of it").click()
    expect(visit.told()).to_be_visible()
    parked.run("fay")
    screenshot(f"journey-guard-decided-{words.language}")
    assert kept(parked, "fay") == ["Otto", "Paula"]
    assert not parked.sandbox.sent

    others = batch_of(parked, "gil")
    url = reverse("admin:serversync_parkedbatch_change", args=[others.pk])
    visit.is_kept_from(url, "Gil Example")
    problems.forget()
