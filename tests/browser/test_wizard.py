"""The wizard by keyboard alone, from an empty site to mailboxes that run on the sandbox's servers."""

import socket
from urllib.parse import urlsplit

import pytest
from django.conf import settings
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from django.utils.module_loading import import_string
from django.utils.translation import gettext, override
from django_q.models import OrmQ
from django_q.signing import SignedPackage
from playwright.sync_api import Locator, Page, expect

from mailboxes.choices import AccessApproval, Operation
from mailboxes.models import EmailServerProfile, Mailbox, Organization
from serversync.console.wizard.steps import NAMES, Step
from serversync.sandbox.servers import running_sandbox
from tests.browser.conftest import SCREENSHOTS
from tests.browser.test_console import fits
from tests.factories.mailboxes import EmailServerProfileFactory, SystemUserFactory

pytestmark = pytest.mark.browser

ADA, SALES = "ada@sandbox.example", "sales@sandbox.example"
SECRET = "a secret of theirs"
MOST_TABS = 150  # to reach anything of one page


@pytest.fixture
def sandbox(live_server):
    with running_sandbox(accounts={ADA: SECRET, SALES: SECRET}) as sandbox:
        yield sandbox


@pytest.fixture
def nobody_listens() -> int:
    """A port that refuses."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


class Keyboard:
    """Whoever has no mouse: one goes from field to field, and sees where one is."""

    def __init__(self, page: Page) -> None:
        self.page = page

    def to(self, wanted: str | Locator) -> None:
        place = self.page.locator(wanted) if isinstance(wanted, str) else wanted
        expect(place).to_have_count(1)
        if self.page.evaluate("document.activeElement === document.body"):
            self.page.keyboard.press("Tab")
            self.page.keyboard.press("Enter")  # skips what is the same on each page
        for _step in range(MOST_TABS):
            if place.evaluate("it => it === document.activeElement"):
                return
            self.page.keyboard.press("Tab")
        raise AssertionError(f"{wanted} is not reached by the keyboard")

    def enter(self, wanted: str | Locator, words: str | int) -> None:
        """In place of what stands there."""
        self.to(wanted)
        self.page.keyboard.press("ControlOrMeta+a")
        self.page.keyboard.press("Delete")
        self.page.keyboard.insert_text(str(words))

    def tick(self, wanted: str) -> None:
        self.to(wanted)
        self.page.keyboard.press("Space")

    def choose(self, wanted: str, value: str | int) -> None:
        self.to(wanted)
        options = self.page.locator(f"{wanted} option")
        values = options.evaluate_all("all => all.map(each => each.value)")
        self.page.keyboard.press("Home")
        for _step in range(values.index(str(value))):
            self.page.keyboard.press("ArrowDown")
        expect(self.page.locator(wanted)).to_have_value(str(value))

    def press(self, wanted: str | Locator) -> None:
        """A link or button."""
        self.to(wanted)
        self.page.keyboard.press("Enter")


def work() -> None:
    """What a worker would do: the jobs that may run by now, and those that they make."""
    for _job in range(20):
        row = OrmQ.objects.filter(lock__lte=timezone.now()).order_by("pk").first()
        if row is None:
            return
        job = SignedPackage.loads(row.payload)
        row.delete()
        import_string(job["func"])(*job["args"], **job["kwargs"])


def url(step: Step, profile: EmailServerProfile) -> str:
    return reverse(f"admin:wizard_{step}", args=[profile.pk])


def test_from_nothing_to_mailboxes_that_run_by_keyboard_alone(
    admin_page, sandbox, nobody_listens, screenshot
):
    page, keys = admin_page, Keyboard(admin_page)
    page.goto("/")
    expect(page.locator("#first-steps")).to_contain_text("Say where the mail is")
    keys.press(page.locator("#first-steps a.deed"))
    keys.press(page.get_by_role("link", name="Begin", exact=True))

    # The server, with a port that nobody answers on.
    keys.enter("#id_name", "Office mail")
    keys.enter("#id_ca_certificate", sandbox.ca_pem)
    keys.enter("#id_incoming_server_location", "localhost")
    keys.enter("#id_incoming_port_number", nobody_listens)
    keys.enter("#id_outgoing_port_number", sandbox.ports["smtp"])
    keys.press(page.get_by_role("button", name="Store and go on"))
    expect(page.locator(".errornote")).to_contain_text("Nothing is stored yet")
    assert not EmailServerProfile.objects.exists()
    keys.enter("#id_outgoing_server_location", "localhost")
    keys.press(page.get_by_role("button", name="Store and go on"))

    expect(page.locator("#ask")).to_be_visible()

    # The test fails at that port, says why, and is mended.
    keys.enter("#id_name", "Ada Example")
    keys.enter("#id_address", ADA)
    keys.enter("#id_password", SECRET)
    keys.press(page.get_by_role("button", name="Test now"))
    expect(page.locator("#waits")).to_be_visible()
    work()
    expect(page.locator("#failed")).to_be_visible()
    failed = page.locator("#direction-1 .callout")
    expect(failed).to_contain_text("Connect")
    expect(failed).to_contain_text("port")
    expect(page.get_by_role("link", name="Go on anyway")).to_be_visible()
    screenshot("wizard-test-failed")
    assert SECRET not in page.content()
    keys.press(page.locator("#failed a"))
    keys.enter("#id_incoming_port_number", sandbox.ports["imap"])
    keys.press(page.get_by_role("button", name="Store and go on"))
    expect(page.locator("#outdated")).to_be_visible()
    expect(page.locator("#kept-back")).to_be_visible()
    keys.enter("#id_password", SECRET)
    keys.press(page.get_by_role("button", name="Test again"))
    expect(page.locator("#waits")).to_be_visible()
    work()
    expect(page.locator("#passed")).to_be_visible()
    screenshot("wizard-test-passed")
    keys.press(page.get_by_role("link", name="Go on", exact=True))

    # The default.
    expect(page.locator("#id_make_default")).to_be_checked()
    screenshot("wizard-default")
    keys.press(page.get_by_role("button", name="Store and go on"))

    # Ada is there already; Sales is new.
    expect(page.locator("#new")).to_be_visible()
    assert Organization.objects.current().default_email_server_profile.name == "Office mail"
    expect(
        page.locator("#there tr", has_text="Ada Example").locator("[type=checkbox]")
    ).to_be_checked()
    keys.choose("#id_new-1-kind", "queue")
    keys.enter("#id_new-1-name", "Sales")
    keys.enter("#id_new-1-address", SALES)
    keys.enter("#id_new-1-password", SECRET)
    keys.tick("#id_approve")
    screenshot("wizard-people")
    keys.press(page.get_by_role("button", name="Store, then Test & Enable"))

    # Done: live, until all run.
    expect(page.locator("#state")).to_contain_text("being tested")
    work()
    expect(page.locator("#state")).to_contain_text("2 of 2 mailboxes run.")
    expect(page.locator("#mailboxes")).not_to_contain_text("being tested")
    screenshot("wizard-done")
    for address in (ADA, SALES):
        box = Mailbox.objects.get(email_address=address)
        assert box.email_router_access_approval == AccessApproval.APPROVED
        for operation in (Operation.INCOMING, Operation.OUTGOING):
            assert box.workload(operation).enabled
    page.goto("/")
    expect(page.locator("#first-steps")).to_have_count(0)


LOOKS = [("en-US", "dark", 360), ("ja-JP", "light", 1280)]


@pytest.mark.parametrize(("locale", "theme", "width"), LOOKS)
def test_each_page_fits_and_speaks_the_language_of_the_browser(
    browser, live_server, administrator, problems, locale, theme, width
):
    for number in range(2):
        SystemUserFactory(last_name=f"With quite a long family name {number}")
    profile = EmailServerProfileFactory(name="Office mail")
    tied = SystemUserFactory(internal_email_address="a.rather.long.address@mail.example.com")
    Mailbox.objects.filter(regarding_user=tied).update(email_server_profile=profile)
    client = Client()
    client.force_login(administrator)
    with browser.new_context(
        base_url=live_server.url,
        locale=locale,
        color_scheme=theme,
        viewport={"width": width, "height": 900},
    ) as context:
        cookie = client.cookies[settings.SESSION_COOKIE_NAME]
        host = urlsplit(live_server.url).hostname
        context.add_cookies(
            [{"name": cookie.key, "value": cookie.value, "domain": host, "path": "/"}]
        )
        page = context.new_page()
        problems.watch(page)
        for step in Step:
            page.goto(url(step, profile))
            assert fits(page), step
            with override(locale[:2]):
                heading, overview = str(NAMES[step]), gettext("Overview")
            assert page.locator("html").get_attribute("lang") == locale[:2]
            expect(page.locator("h1")).to_contain_text(heading)
            expect(page.locator(".breadcrumbs")).to_contain_text(overview)
            page.screenshot(
                path=SCREENSHOTS / f"wizard-{step}-{locale[:2]}-{width}.png", full_page=True
            )
        page.goto(reverse("admin:wizard"))
        assert fits(page)
        page.goto("/")
        assert fits(page)
