"""Profiles of Exchange and Gmail, and connecting a mailbox at its provider, in a real browser."""

from urllib.parse import urlsplit

import pytest
from django.urls import reverse
from playwright.sync_api import expect

from mailboxes.alerts import raise_alert
from mailboxes.choices import CredentialRetrieval, ServerType
from mailboxes.models import DiscoveredEndpoint, EmailServerProfile, Mailbox, TraceLog
from serversync.sandbox.servers import running_sandbox
from tests.browser.test_console import fits
from tests.factories.mailboxes import EmailServerProfileFactory, SystemUserFactory, ready_mailbox

pytestmark = pytest.mark.browser

ADA = "ada@sandbox.example"
WIDTHS, THEMES = (1280, 800), ("light", "dark")
ROWS = "#emailserverprofile_form .form-row.field-{}"


@pytest.fixture(scope="module")
def running():
    with running_sandbox(accounts={ADA: "ada-password"}) as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(running, live_server):
    running.authority.add_client("client", "secret", [f"{live_server.url}/connect/back/"])
    return running


@pytest.fixture
def mailbox(sandbox):
    profile = EmailServerProfileFactory(
        name="Mail at a provider",
        server_type=ServerType.IMAP_SMTP,
        incoming_server_location="localhost",
        incoming_port_number=sandbox.ports["imaps"],
        outgoing_server_location="localhost",
        outgoing_port_number=sandbox.ports["smtps"],
        incoming_credential_retrieval=CredentialRetrieval.GMAIL_OAUTH,
        oauth_client_id="client",
        oauth_client_secret="secret",
        oauth_authorization_endpoint=f"{sandbox.authority_url}/authorize",
        oauth_token_endpoint=f"{sandbox.authority_url}/token",
        oauth_scopes="https://mail.google.com/ openid email",
        ca_certificate=sandbox.ca_pem,
    )
    user = SystemUserFactory(domain_name="ada", internal_email_address=ADA)
    return ready_mailbox(user, email_server_profile=profile, user_name="", password="")


@pytest.fixture
def context(browser, live_server):
    """A browser that trusts the sandbox's certificates, as one trusts a provider's."""
    context = browser.new_context(
        base_url=live_server.url,
        locale="en-US",
        timezone_id="UTC",
        viewport={"width": 1280, "height": 900},
        ignore_https_errors=True,
    )
    context.set_default_timeout(15_000)
    yield context
    context.close()


def sign_in_page(mailbox):
    return reverse("admin:sign_in", args=[mailbox.pk])


@pytest.mark.rule("R1.21")
def test_an_owner_connects_the_mailbox_at_the_provider(page, sign_in, sandbox, mailbox, screenshot):
    sign_in(mailbox.regarding_user)
    page.goto(sign_in_page(mailbox))
    expect(page.locator("#connect")).to_contain_text("read, send and delete mail")
    screenshot("connect-before")

    page.get_by_role("button", name="Connect this mailbox").click()
    page.wait_for_url(f"{sandbox.authority_url}/authorize*")
    assert page.evaluate("document.referrer") == ""
    page.fill("input[name=address]", ADA)
    page.fill("input[name=password]", "ada-password")
    page.locator("button[value=allow]").click()

    page.wait_for_url(f"**{sign_in_page(mailbox)}")
    expect(page.locator(".messagelist")).to_contain_text("is connected")
    expect(page.locator("#sign-in")).to_contain_text(ADA)
    screenshot("connect-after")
    assert urlsplit(page.url).query == ""
    token = Mailbox.objects.get(pk=mailbox.pk).oauth_refresh_token.reveal()
    assert token and token not in page.content()

    page.get_by_role("button", name="Disconnect").click()
    expect(page.locator(".messagelist")).to_contain_text("The provider has ended the sign-in")
    expect(page.get_by_role("button", name="Connect this mailbox")).to_be_visible()


@pytest.mark.rule("R1.21")
def test_who_says_no_comes_back_and_reads_why(page, sign_in, sandbox, mailbox):
    sign_in(mailbox.regarding_user)
    page.goto(sign_in_page(mailbox))
    page.get_by_role("button", name="Connect this mailbox").click()
    page.wait_for_url(f"{sandbox.authority_url}/authorize*")
    page.locator("button[value=deny]").click()

    page.wait_for_url(f"**{sign_in_page(mailbox)}")
    expect(page.locator(".messagelist")).to_contain_text("The owner said no")


@pytest.mark.rule("R1.11", "R1.15", "R1.22")
def test_the_form_of_a_profile_shows_what_its_choices_leave_open(page, sign_in, administrator):
    sign_in(administrator)
    page.goto(reverse("admin:mailboxes_emailserverprofile_add"))

    def shown(*names):
        return {name for name in names if page.locator(ROWS.format(name)).is_visible()}

    port, server, found = "incoming_port_number", "incoming_server_location", "use_auto_discover"
    own, client = "outgoing_credential_retrieval", "oauth_client_id"
    names = (port, server, found, own, client)
    assert shown(*names) == {port, server}

    page.select_option("#id_server_type", "0")
    assert shown(*names) == {server, found}
    page.check("#id_use_auto_discover")
    assert shown(*names) == {found}
    page.uncheck("#id_use_same_settings_for_outgoing_connections")
    assert shown(*names) == {found, own}

    page.uncheck("#id_use_auto_discover")
    page.select_option("#id_server_type", "gmail-imap")
    assert shown(*names) == {own}
    page.select_option("#id_incoming_credential_retrieval", "5")
    assert shown(*names) == {own, client}
    assert shown("incoming_password", "incoming_user_name") == set()


@pytest.mark.rule("R1.22")
def test_a_hidden_field_with_an_error_is_shown(page, sign_in, administrator):
    sign_in(administrator)
    page.goto(reverse("admin:mailboxes_emailserverprofile_add"))
    page.fill("#id_name", "Mail")
    page.select_option("#id_server_type", "0")
    page.check("#id_use_auto_discover")
    page.select_option("#id_server_type", "4")
    page.get_by_role("button", name="Save", exact=True).click()

    row = page.locator(ROWS.format("use_auto_discover"))
    expect(row).to_be_visible()
    expect(row).to_contain_text("R1.22")


def exchange_profile(**columns):
    return EmailServerProfileFactory(
        **{"name": "Exchange", "exchange": True, "own_credentials": True} | columns
    )


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("width", WIDTHS)
def test_pages_of_sign_ins_fit_and_look_right(
    page, sign_in, administrator, mailbox, screenshot, width, theme
):
    sign_in(administrator)
    page.set_viewport_size({"width": width, "height": 900})
    page.emulate_media(color_scheme=theme)
    exchange = exchange_profile()
    service = ready_mailbox(email_server_profile=exchange)
    DiscoveredEndpoint.objects.create(
        mailbox=service,
        url="https://mail.example.com/EWS/Exchange.asmx",
        version="Exchange2016",
        found_on=service.created_on,
    )
    service.workloads.filter(operation=0).update(
        enabled=False,
        test_status=2,
        test_steps=[
            {"step": "discover", "ms": 812, "ok": True},
            {
                "step": "authorize",
                "ms": 240,
                "ok": False,
                "code": "ClientRefused",
                "text": "invalid_client: the client secret is over",
            },
        ],
    )
    raise_alert(mailbox, "SignInNeeded", now=service.created_on)
    alert = TraceLog.objects.get(regarding_mailbox=mailbox)
    pages = {
        "profile-add": reverse("admin:mailboxes_emailserverprofile_add"),
        "profile-exchange": reverse(
            "admin:mailboxes_emailserverprofile_change", args=[exchange.pk]
        ),
        "profile-tokens": reverse(
            "admin:mailboxes_emailserverprofile_change", args=[mailbox.email_server_profile_id]
        ),
        "mailbox-exchange": reverse("admin:mailboxes_mailbox_change", args=[service.pk]),
        "mailbox-tokens": reverse("admin:mailboxes_mailbox_change", args=[mailbox.pk]),
        "connect-admin": sign_in_page(mailbox),
        "alert": reverse("admin:mailboxes_tracelog_change", args=[alert.pk]),
    }
    for name, url in pages.items():
        page.goto(url)
        screenshot(f"{name}-{width}-{theme}")
        assert fits(page), f"{name} is wider than the window"


@pytest.mark.rule("R1.9")
def test_another_server_asks_for_the_password_where_it_is_entered(
    page, sign_in, administrator, screenshot
):
    profile = exchange_profile()
    sign_in(administrator)
    page.goto(reverse("admin:mailboxes_emailserverprofile_change", args=[profile.pk]))
    page.fill("#id_incoming_server_location", "mail.other.example")
    page.fill("#id_outgoing_server_location", "mail.other.example")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.locator(ROWS.format("incoming_password"))).to_contain_text("Enter it again")
    expect(page.locator(ROWS.format("incoming_password"))).to_contain_text("remove")
    screenshot("profile-secret-refused")

    page.fill("#id_incoming_password", "another secret")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.locator(".messagelist")).to_contain_text("was completed to the address")
    stored = EmailServerProfile.objects.get(pk=profile.pk)
    assert stored.incoming_server_location == "https://mail.other.example/EWS/Exchange.asmx"
