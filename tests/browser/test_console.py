"""The console in a real browser, under its own content security policy, as its users use it."""

import pytest
from django.urls import reverse
from playwright.sync_api import expect

from activities.choices import EmailStatus
from activities.models import Email
from mailboxes.choices import AccessApproval
from tests.factories.console import Site, build_site

pytestmark = pytest.mark.browser


@pytest.fixture
def site(live_server) -> Site:
    return build_site()


@pytest.fixture
def console(page, sign_in, site):
    """A page that the site's administrator is signed in to."""
    sign_in(site.administrator)
    page.set_viewport_size({"width": 1280, "height": 900})
    return page


def fits(page) -> bool:
    """Nothing sticks out to the right."""
    return page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_the_front_page_leads_to_what_failed(console, site, screenshot):
    console.goto("/")
    screenshot("front")

    expect(console.locator("#failed")).to_contain_text("The server refuses user name or password")
    console.locator(".counts a", has_text="Failing").click()

    expect(console.locator("#result_list tbody tr")).to_have_count(1)
    expect(console.locator("#result_list")).to_contain_text("Ben Example")


@pytest.mark.parametrize(("width", "theme"), [(1280, "light"), (800, "dark"), (360, "light")])
def test_pages_fit_narrow_windows_in_both_themes(console, site, screenshot, width, theme):
    console.set_viewport_size({"width": width, "height": 900})
    console.emulate_media(color_scheme=theme)
    pages = {
        "front": "/",
        "mailboxes": reverse("admin:mailboxes_mailbox_changelist"),
        "mailbox": reverse("admin:mailboxes_mailbox_change", args=[site.mailboxes["failing"].pk]),
        "profile": reverse("admin:mailboxes_emailserverprofile_change", args=[site.profile.pk]),
        "email": reverse("admin:activities_email_change", args=[site.html.pk]),
        "compose": reverse("admin:activities_email_add"),
        "items": reverse("admin:serversync_syncitem_changelist"),
        "item": reverse("admin:serversync_syncitem_change", args=[site.items["rejected"].pk]),
        "contact": reverse("admin:activities_contact_change", args=[site.cleo.pk]),
        "alerts": reverse("admin:mailboxes_tracelog_changelist"),
        "quarantine": reverse("admin:quarantine"),
        "what-if": reverse("admin:what_if"),
        "balance": reverse("admin:balance"),
        "balance-mailbox": f"{reverse('admin:balance')}?mailbox={site.mailboxes['healthy'].pk}",
        "monitor": reverse("admin:monitor"),
    }
    for name, url in pages.items():
        console.goto(url)
        screenshot(f"{name}-{width}-{theme}")
        assert fits(console), f"{name} is wider than the window"


def test_the_path_and_the_menu_unfold_by_the_keyboard(console, site, screenshot):
    console.set_viewport_size({"width": 360, "height": 800})
    console.goto(reverse("admin:serversync_syncitem_change", args=[site.items["rejected"].pk]))
    filters = console.locator("#path [data-station=filters]")
    expect(filters).to_contain_text("stopped here")
    expect(filters.locator(".told")).to_be_hidden()
    filters.locator("summary").focus()
    console.keyboard.press("Enter")
    expect(filters.locator(".told")).to_contain_text("Rejected, NoCorrelationMatch")
    screenshot("path-360")

    tasks = console.get_by_role("navigation", name="Tasks")
    expect(tasks.get_by_role("link", name="Emails")).to_be_hidden()
    tasks.get_by_label("Menu").focus()
    console.keyboard.press("Space")
    tasks.get_by_role("link", name="Emails").click()
    expect(console.locator("#result_list")).to_be_visible()


def test_the_mailbox_list_approves_by_action(console, site):
    console.goto(reverse("admin:mailboxes_mailbox_changelist") + "?health=waiting")
    console.locator("#result_list tbody input.action-select").check()
    console.select_option("select[name=action]", "approve")
    console.get_by_role("button", name="Go").click()

    expect(console.locator(".messagelist")).to_contain_text("Approved 1 address")
    site.mailboxes["waiting"].refresh_from_db()
    assert site.mailboxes["waiting"].email_router_access_approval == AccessApproval.APPROVED


def test_the_mailbox_page_tests_and_enables_by_button(console, site):
    console.goto(reverse("admin:mailboxes_mailbox_change", args=[site.mailboxes["failing"].pk]))
    expect(console.locator("#workloads")).to_contain_text("Log in")
    expect(console.locator("#workloads")).to_contain_text("120 ms")

    console.get_by_role("button", name="Test & Enable").click()
    box = console.get_by_label("Look at everything on the server again")
    expect(box).not_to_be_checked()
    box.press("Space")
    box.press("Enter")

    expect(console.locator(".messagelist")).to_contain_text("Test & Enable started for 1 mailbox")
    expect(console.locator("#workloads")).to_contain_text("A test is scheduled")


def test_a_long_filter_is_a_list_to_choose_from(console, site):
    console.goto(reverse("admin:serversync_syncitem_changelist"))
    console.select_option(
        "#changelist-filter select[aria-label=Reason]", label="Nobody accepted it"
    )
    expect(console.locator("#result_list tbody tr")).to_have_count(1)


def test_a_message_runs_nothing_and_loads_nothing(console, site, context, screenshot):
    asked = []
    context.on("request", lambda request: asked.append(request.url))
    console.goto(reverse("admin:activities_email_change", args=[site.html.pk]))
    frame = console.frame_locator("iframe.mail-body")

    expect(frame.locator("body")).to_contain_text("please find the offer attached")
    expect(frame.locator("body")).not_to_contain_text("taken over")
    assert frame.locator("script").count() == 0
    assert not any("pixel.example.net" in url for url in asked)
    expect(console.locator("#message")).to_contain_text("1 remote picture is not shown")
    sandbox = console.locator("iframe.mail-body").get_attribute("sandbox")
    assert "allow-scripts" not in sandbox and "allow-same-origin" not in sandbox
    # The picture inside the message is shown: it travels with the body.
    assert frame.locator("img[alt=logo]").evaluate("image => image.naturalWidth") == 1
    screenshot("email")


def test_remote_pictures_are_asked_for_by_hand(console, site, context):
    asked = []
    context.route(
        "https://pixel.example.net/**", lambda route: (asked.append(1), route.fulfill(body=""))
    )
    console.goto(reverse("admin:activities_email_change", args=[site.html.pk]))
    console.locator("#show-remote").click()
    console.frame_locator("iframe.mail-body").locator("img").first.wait_for(state="attached")
    console.wait_for_load_state("networkidle")

    assert asked


def test_an_attachment_is_a_download(console, site):
    console.goto(reverse("admin:activities_email_change", args=[site.html.pk]))
    with console.expect_download() as download:
        console.get_by_role("link", name="offer 4711.pdf").click()
    assert download.value.suggested_filename == "offer 4711.pdf"


def test_an_answer_is_written_and_sent(page, sign_in, site, screenshot):
    sign_in(site.ada)
    page.goto(reverse("admin:activities_email_change", args=[site.answered.pk]))
    page.get_by_role("button", name="Reply", exact=True).click()
    expect(page.get_by_label("To:", exact=True)).to_have_value(
        "Cleo Example <cleo@customer.example>"
    )
    page.get_by_label("Message:").fill("Thank you, Cleo.")
    page.locator("input[type=file]").set_input_files(
        {"name": "note.txt", "mimeType": "text/plain", "buffer": b"a note"}
    )
    screenshot("compose")
    page.get_by_role("button", name="Send").click()

    expect(page.locator(".messagelist")).to_contain_text("in the send queue")
    expect(page.frame_locator("iframe.mail-body").locator("body")).to_contain_text(
        "Thank you, Cleo."
    )
    sent = Email.objects.get(status_code=EmailStatus.PENDING_SEND)
    assert sent.attachment_count == 1
    assert "thank you for your call" in sent.description


def test_the_language_of_the_browser_is_spoken(browser, live_server, site):
    """Japanese words come with the catalogue; the page itself says which language it is in."""
    context = browser.new_context(base_url=live_server.url, locale="ja-JP")
    page = context.new_page()
    page.goto("/login/")
    assert page.locator("html").get_attribute("lang") == "ja"
    context.close()


def test_an_address_is_taken_over_from_the_queues_own_form(console, site, screenshot):
    console.goto(reverse("admin:mailboxes_queue_change", args=[site.support.pk]))
    screenshot("queue")
    console.fill("#id_email_address", "ada@example.com")
    console.click("input[name=_save]")
    assert "Ada Example" in console.inner_text(".errorlist >> nth=0")
    screenshot("address-taken")
    console.click("#take-over a")
    screenshot("take-over")
    console.click("button.is-grave")
    assert "was taken over from" in console.inner_text(".messagelist")
    screenshot("taken-over")
