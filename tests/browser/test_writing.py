"""Writing mail as a person does: the preview, and undo while there is time."""

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone
from playwright.sync_api import expect

from activities.choices import EmailStatus
from activities.mime.message import Address
from activities.models import Contact, Email, EmailSignature, Template
from mailboxes.choices import AccessApproval
from mailboxes.models import Mailbox, Organization
from serversync import outbox
from tests.browser.test_console import fits
from tests.factories.console import build_site
from tests.factories.mailboxes import group_of

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

ADD = reverse("admin:activities_email_add")
SIZES = ((1280, "light"), (800, "dark"), (360, "light"), (360, "dark"))


@pytest.fixture
def site(db):
    site = build_site()
    Organization.objects.update(undo_send_seconds=60)
    group_of(site.ada, "send_despite_do_not_email", "view_template", "view_emailsignature")
    Contact.objects.create(
        first_name="Quiet", last_name="One", email_address1="quiet@customer.example",
        do_not_email=True, owning_user=site.ada,
    )  # fmt: skip
    EmailSignature.objects.create(
        title="Short", body="Ada Example", is_default=True, owning_user=site.ada
    )
    return site


@pytest.fixture
def adas(page, sign_in, site):
    sign_in(site.ada)
    return page


def sizes(page):
    for width, theme in SIZES:
        page.set_viewport_size({"width": width, "height": 900})
        page.emulate_media(color_scheme=theme)
        yield f"{width}-{theme}"


@pytest.mark.rule("R5.2")
def test_write_look_send_and_undo(adas, site, screenshot):
    adas.goto(ADD)
    adas.locator("#id_to").fill("Cleo Example <cleo@customer.example>")
    adas.locator("#id_subject").fill("Good news")
    adas.get_by_role("button", name="Preview").click()
    expect(adas.locator("#subject")).to_contain_text("Good news CRM:…")
    for size in sizes(adas):
        screenshot(f"writing-preview-{size}")
        assert fits(adas)
    adas.get_by_role("button", name="Send").click()
    expect(adas.locator("#undo")).to_contain_text("It stays here until")
    for size in sizes(adas):
        screenshot(f"writing-undo-{size}")
        assert fits(adas)
    adas.locator("#undo").get_by_role("button", name="Undo").click()
    expect(adas.get_by_text("It is a draft again.")).to_be_visible()
    assert Email.objects.get(activity__subject__startswith="Good news").status == EmailStatus.DRAFT


def test_the_form_asks_and_fits(adas, site, screenshot):
    adas.goto(ADD)
    adas.locator("#id_to").fill("quiet@customer.example")
    adas.get_by_role("button", name="Send", exact=True).click()
    expect(adas.locator("#unwilling")).to_be_visible()
    adas.locator("details summary", has_text="Options").click()
    for size in sizes(adas):
        screenshot(f"writing-form-{size}")
        assert fits(adas)


def test_the_list_says_why_mail_waits_and_asks_before_many_are_changed(adas, site, screenshot):
    now = timezone.now()
    to = (Address("cleo@customer.example"),)
    for number in range(3):
        later = now + timedelta(days=1) if not number else None
        draft = outbox.Draft(sender=site.ada, to=to, subject=f"Waiting {number}", send_later=later)
        email = outbox.create_draft(draft, actor=site.ada, now=now)
        outbox.submit(email, actor=site.ada, now=now)
    Mailbox.objects.filter(regarding_user=site.ada).update(
        email_router_access_approval=AccessApproval.PENDING
    )
    adas.goto(reverse("admin:activities_email_changelist"))
    expect(adas.locator(".waits").first).to_be_visible()
    for size in sizes(adas):
        screenshot(f"writing-list-{size}")
        assert fits(adas)
    adas.set_viewport_size({"width": 1280, "height": 900})
    for box in adas.locator("tr:has(.waits) input.action-select").all():
        box.check()
    adas.locator("select[name=action]").select_option("take_back")
    adas.get_by_role("button", name="Go").click()
    expect(adas.get_by_text("Take back: 3 emails")).to_be_visible()
    for size in sizes(adas):
        screenshot(f"writing-many-{size}")
        assert fits(adas)
    adas.get_by_role("button", name="Take back").click()
    expect(adas.get_by_text("Done: 3 emails.")).to_be_visible()


def test_a_template_is_tried_with_a_record(adas, site, screenshot):
    template = Template.objects.get(title="We look after it")
    adas.goto(reverse("admin:activities_template_try", args=[template.pk]))
    adas.get_by_label("Find a record").fill("Cleo")
    adas.get_by_role("button", name="Find").click()
    adas.get_by_role("radio").nth(1).check()
    adas.get_by_role("button", name="Show").click()
    expect(adas.locator("#empty")).to_contain_text("case.number")
    for size in sizes(adas):
        screenshot(f"writing-template-{size}")
        assert fits(adas)
