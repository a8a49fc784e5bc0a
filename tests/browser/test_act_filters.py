"""Filters and templates in a real browser."""

import pytest
from django.urls import reverse
from django.utils import timezone
from playwright.sync_api import expect

from mailboxes.choices import ActDeliveryMethod
from mailboxes.models import Mailbox
from serversync.act.filters.giving import copy_templates, key_of
from serversync.act.types import Table
from serversync.models import UserQuery
from tests.browser.test_console import fits
from tests.factories.activities import ContactFactory
from tests.factories.mailboxes import SuperuserFactory

pytestmark = pytest.mark.browser


@pytest.fixture
def console(page, sign_in, live_server):
    """Somebody with contacts and filters of his own; nothing else of the site is needed."""
    user = SuperuserFactory()
    sign_in(user)
    ContactFactory.create_batch(3, owning_user=user, job_title="Buyer")
    Mailbox.objects.filter(regarding_user=user).update(
        act_delivery_method=ActDeliveryMethod.SERVER_SIDE_SYNC
    )
    copy_templates(user, timezone.now())
    return page


def test_pages_fit(console, screenshot):
    query = UserQuery.objects.get(returned_type_code=Table.CONTACT)
    pages = {
        "list": reverse("admin:serversync_userquery_changelist"),
        "one": f"{reverse('admin:serversync_userquery_change', args=[query.pk])}?q=ben",
        "tables": reverse("admin:serversync_userquery_add"),
        "templates": reverse("admin:serversync_savedquery_changelist"),
        "template": reverse("admin:serversync_savedquery_change", args=[key_of(Table.APPOINTMENT)]),
        "apply": reverse("admin:serversync_savedquery_apply"),
    }
    for name, url in pages.items():
        console.goto(url)
        if name == "apply":
            console.locator("#apply button[name=_show]").last.click()
        for width in (1280, 800):
            console.set_viewport_size({"width": width, "height": 1000})
            screenshot(f"filters-{name}-{width}")
            assert fits(console), (name, width)


@pytest.mark.rule("R6.12")
def test_a_filter_is_built_line_by_line(console, screenshot):
    console.goto(f"{reverse('admin:serversync_userquery_add')}?table={Table.CONTACT.value}")
    console.locator("#id_name").fill("Buyers")

    # The line shows what can stand beside what was chosen, without the button being pressed.
    console.locator("#id_conditions-0-field").select_option("job_title")
    expect(console.locator("#id_conditions-0-operator")).to_be_visible()
    console.locator("#id_conditions-0-operator").select_option("is")
    console.locator("#id_conditions-0-value").fill("buyer")
    console.locator("#id_conditions-1-field").select_option("state")
    console.locator("#id_conditions-1-operator").select_option("one_of")
    console.get_by_label("Active", exact=True).check()
    console.locator("#show").click()
    expect(console.locator("#preview")).to_contain_text("Finds 3 records of yours")
    screenshot("filters-built")
    console.locator("button[name=_save]").click()

    expect(console.locator(".messagelist")).to_contain_text("“Buyers” was saved.")
    assert UserQuery.objects.get(name="Buyers").conditions == {
        "all": [
            {"field": "job_title", "operator": "is", "value": "buyer"},
            {"field": "state", "operator": "one_of", "value": [0]},
        ]
    }
