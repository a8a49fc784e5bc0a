"""Folder rules in a real browser: made by keyboard, changed with a question, readable in both themes."""

import pytest
from django.urls import reverse
from playwright.sync_api import expect

from activities.choices import Direction
from activities.models import Account, Email
from serversync.models import SyncItem
from tests.browser.test_console import fits
from tests.factories.activities import EmailFactory
from tests.factories.console import Site, build_site
from tests.factories.mailboxes import group_of
from tracking.models import MailboxTrackingFolder

pytestmark = pytest.mark.browser

LIST = "admin:tracking_mailboxtrackingfolder_changelist"
ADD = "admin:tracking_mailboxtrackingfolder_add"


@pytest.fixture
def site(live_server) -> Site:
    made = build_site()
    group_of(made.ada, "view_account", "view_contact", "view_lead")
    return made


@pytest.fixture
def adas(page, sign_in, site):
    """A page that the owner of the tracked mailbox is signed in to."""
    sign_in(site.ada)
    page.set_viewport_size({"width": 1280, "height": 900})
    return page


def add_url(site) -> str:
    return f"{reverse(ADD)}?mailbox={site.mailboxes['healthy'].pk}"


def page_of(rule) -> str:
    return reverse("admin:tracking_mailboxtrackingfolder_change", args=[rule.pk])


@pytest.fixture
def filed(site) -> Email:
    """An e-mail that lies in the tracked folder."""
    email = EmailFactory(received=True, direction_code=Direction.INCOMING)
    SyncItem.objects.create(
        mailbox=site.mailboxes["healthy"],
        folder=site.rule.exchange_folder_id,
        source_key="1.1",
        state="tracked",
        email=email,
    )
    return email


def tab_to(page, wanted) -> None:
    for _ in range(8):
        page.keyboard.press("Tab")
        if wanted.evaluate("element => element === document.activeElement"):
            return
    raise AssertionError(f"{wanted} is not reached by Tab")


@pytest.mark.rule("R7.7")
def test_a_rule_is_made_by_keyboard_alone(adas, site):
    adas.goto(add_url(site))
    expect(adas.locator(".tree")).to_contain_text("Newsletters · 31 messages")
    keys = adas.keyboard
    adas.locator(".tree input").first.focus()
    keys.press("Space")
    expect(adas.locator(".tree label", has_text="Customers").first.locator("input")).to_be_checked()
    tab_to(adas, adas.get_by_label("Find a record"))
    keys.type("cleo")
    expect(adas.locator("[role=status]")).to_contain_text("1 record found")
    keys.press("ArrowDown")
    keys.press("Space")
    expect(adas.locator("[data-found] input")).to_be_checked()
    tab_to(adas, adas.get_by_label("Received on or after"))
    keys.type("02012026")
    tab_to(adas, adas.get_by_role("button", name="Track this folder"))
    keys.press("Enter")

    expect(adas.locator(".messagelist")).to_contain_text("“Customers” is tracked from now on")
    rule = MailboxTrackingFolder.objects.get(exchange_folder_name="Customers")
    assert rule.regarding == site.cleo
    assert rule.track_from.isoformat() == "2026-02-01T00:00:00+00:00"


def test_enter_in_the_search_finds_and_does_not_save(adas, site):
    adas.goto(add_url(site))
    adas.get_by_label("Newsletters").check()
    adas.get_by_label("Find a record").fill("customer")
    adas.get_by_label("Find a record").press("Enter")

    expect(adas.locator("[data-found]")).to_have_count(2)
    assert MailboxTrackingFolder.objects.count() == 1
    adas.locator("[data-found] input").first.check()
    adas.get_by_label("Find a record").fill("nothing has these words")
    expect(adas.locator("[role=status]")).to_contain_text("No record that you may see")
    expect(adas.locator("[data-found]")).to_have_count(1)  # what is chosen stays


def test_without_scripts_the_button_finds(browser, live_server, sign_in, site):
    context = browser.new_context(base_url=live_server.url, java_script_enabled=False)
    try:
        page = context.new_page()
        page.goto("/login/")
        site.ada.set_password("correct horse battery")
        site.ada.save()
        page.fill("input[name=username]", "ada")
        page.fill("input[name=password]", "correct horse battery")
        page.click("input[type=submit]")
        page.goto(add_url(site))
        page.get_by_label("Newsletters").check()
        page.get_by_label("Find a record").fill("cleo")
        page.get_by_role("button", name="Find", exact=True).click()
        page.get_by_label("Cleo Example").check()
        page.get_by_role("button", name="Track this folder").click()
        expect(page.locator(".messagelist")).to_contain_text("is tracked from now on")
    finally:
        context.close()
    rule = MailboxTrackingFolder.objects.get(exchange_folder_name="Newsletters")
    assert rule.regarding == site.cleo


@pytest.mark.rule("R10.28")
def test_another_record_asks_what_becomes_of_the_old_mail(adas, site, filed, screenshot):
    adas.goto(page_of(site.rule))
    adas.get_by_label("Find a record").fill("cleo")
    adas.get_by_label("Cleo Example").check()
    adas.get_by_role("button", name="Save").click()

    expect(adas.locator(".callout")).to_contain_text("1 stored email lies in this folder")
    screenshot("folder-rule-ask")
    adas.get_by_role("button", name="Only new messages").click()
    expect(adas.locator("#facts")).to_contain_text("older mail keeps its record")
    site.rule.refresh_from_db()
    assert site.rule.regarding == site.cleo and site.rule.relink_from is not None


def test_pages_fit_narrow_windows_in_both_themes(adas, site, filed, screenshot):
    Account.objects.create(name="A company with a rather long name " * 3, owning_user=site.ada)
    SyncItem.objects.create(
        mailbox=site.mailboxes["healthy"],
        folder=site.rule.exchange_folder_id,
        source_key="1.2",
        state="duplicate",
        email=site.html,
    )
    pages = {
        "list": reverse(LIST),
        "mailbox": reverse(ADD),
        "add": f"{add_url(site)}&record_words=customer",
        "rule": page_of(site.rule),
        "file-email": reverse("admin:activities_email_file_under", args=[site.html.pk]),
        "email": reverse("admin:activities_email_change", args=[site.html.pk]),
        "on-mailbox": reverse(
            "admin:mailboxes_mailbox_change", args=[site.mailboxes["healthy"].pk]
        ),
    }
    for width, theme in ((1280, "light"), (800, "dark"), (1280, "dark"), (800, "light")):
        adas.set_viewport_size({"width": width, "height": 900})
        adas.emulate_media(color_scheme=theme)
        for name, url in pages.items():
            adas.goto(url)
            screenshot(f"folder-rules-{name}-{width}-{theme}")
            assert fits(adas), f"{name} is wider than the window"
