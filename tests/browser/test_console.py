"""The console in a real browser, under its own content security policy."""

import pytest
from django.urls import reverse

from tests.factories.console import Site, build_site

pytestmark = pytest.mark.browser


@pytest.fixture
def site(live_server) -> Site:
    return build_site()


@pytest.fixture
def console(page, sign_in, site):
    """A page that the site's administrator is signed in to."""
    sign_in(site.administrator)
    return page


def test_shots(console, site, screenshot):
    def go(name, url):
        console.goto(url)
        screenshot(name)

    console.set_viewport_size({"width": 1280, "height": 900})
    go("front", "/")
    go("mailboxes", reverse("admin:mailboxes_mailbox_changelist"))
    for key in ("healthy", "failing"):
        go(
            f"mailbox-{key}",
            reverse("admin:mailboxes_mailbox_change", args=[site.mailboxes[key].pk]),
        )
    go("emails", reverse("admin:activities_email_changelist"))
    go("email", reverse("admin:activities_email_change", args=[site.html.pk]))
    go("items", reverse("admin:serversync_syncitem_changelist"))
    for state, item in site.items.items():
        go(f"item-{state}", reverse("admin:serversync_syncitem_change", args=[item.pk]))
    go("compose", reverse("admin:activities_email_add"))
    go("profile", reverse("admin:mailboxes_emailserverprofile_change", args=[site.profile.pk]))
    go("alerts", reverse("admin:mailboxes_tracelog_changelist"))
    go("organization", reverse("admin:mailboxes_organization_changelist"))
    go("user", reverse("admin:mailboxes_systemuser_change", args=[site.ada.pk]))
    go("contact", reverse("admin:activities_contact_change", args=[site.cleo.pk]))
