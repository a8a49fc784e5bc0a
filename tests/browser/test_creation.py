"""Cases, rules, templates and signatures in a real browser."""

import pytest
from django.urls import reverse
from playwright.sync_api import expect

from activities.models import EmailSignature, Incident, Template
from tests.browser.test_console import fits
from tests.factories.console import build_site
from tracking.models import ConvertRule

pytestmark = pytest.mark.browser


@pytest.fixture
def console(page, sign_in, live_server):
    sign_in(build_site().administrator)
    page.set_viewport_size({"width": 1280, "height": 900})
    return page


@pytest.mark.parametrize("width", [1280, 800])
def test_pages_fit(console, screenshot, width):
    console.set_viewport_size({"width": width, "height": 1000})
    pages = {
        "cases": reverse("admin:activities_incident_changelist"),
        "case": reverse("admin:activities_incident_change", args=[Incident.objects.get().pk]),
        "rules": reverse("admin:tracking_convertrule_changelist"),
        "rule": reverse("admin:tracking_convertrule_change", args=[ConvertRule.objects.get().pk]),
        "rule-new": reverse("admin:tracking_convertrule_add"),
        "templates": reverse("admin:activities_template_changelist"),
        "template": reverse("admin:activities_template_change", args=[Template.objects.get().pk]),
        "signature": reverse(
            "admin:activities_emailsignature_change", args=[EmailSignature.objects.get().pk]
        ),
    }
    for name, url in pages.items():
        console.goto(url)
        screenshot(f"creation-{name}-{width}")
        assert fits(console), name


def test_a_rule_is_changed_only_while_it_is_a_draft(console, screenshot):
    rule = ConvertRule.objects.get()
    console.goto(reverse("admin:tracking_convertrule_change", args=[rule.pk]))
    expect(console.locator("#id_name")).to_have_count(0)
    console.locator("#deeds button", has_text="Deactivate").click()

    expect(console.locator("#id_items-0-conditions_1")).to_have_value("damaged; broken")
    screenshot("creation-rule-draft")
    console.locator("#id_items-0-conditions_1").fill("damaged")
    console.locator("#id_items-0-conditions_4").select_option("sender_domain")
    console.locator("#id_items-0-conditions_5").fill("customer.example")
    console.locator("input[name=_continue]").click()
    console.locator("#deeds button", has_text="Activate").click()

    expect(console.locator(".messagelist")).to_contain_text("acts from now on")
    assert rule.items.get().conditions[2] == {"test": "sender_domain", "value": "customer.example"}


def test_a_template_is_inserted_where_an_email_is_written(console, screenshot):
    console.goto(reverse("admin:activities_email_add"))
    console.locator("#id_to").fill("cleo@customer.example")
    console.locator("#id_regarding").select_option(label=str(Incident.objects.get()))
    console.locator("#id_template").select_option(label="We look after it")
    console.locator("button[name=_template]").click()

    expect(console.locator("#id_subject")).to_have_value("Your case CAS-260309-K7Q2M9")
    expect(console.locator("#id_body")).to_contain_text("Hello Cleo Example")
    screenshot("creation-compose")
    assert fits(console)


def test_a_preview_is_shown_in_its_frame(console):
    console.goto(reverse("admin:activities_template_change", args=[Template.objects.get().pk]))

    frame = console.frame_locator("iframe.is-preview")
    expect(frame.locator("body")).to_contain_text("Hello [name of the recipient]")
