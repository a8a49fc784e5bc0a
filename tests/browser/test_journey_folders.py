"""A folder of a mail program becomes a folder rule, and what lies in it an email under its record."""

import pytest
from django.urls import reverse
from playwright.sync_api import expect

from activities.models import Email
from tests.browser.journeys import LANGUAGES, NEWS, Visit, World, address_of
from tracking.models import MailboxTrackingFolder

pytestmark = pytest.mark.browser

FOLDER, OTHERS = "Customers", "Private"


@pytest.fixture(params=LANGUAGES)
def language(request) -> str:
    return request.param


@pytest.fixture
def filed(world) -> World:
    """Ada and Ben each have two folders with mail of strangers."""
    world.enable("ben")
    for name in ("ada", "ben"):
        for folder in (FOLDER, OTHERS):
            world.sandbox.store.add_folder(address_of(name), f"INBOX/{folder}")
            world.deliver(name, f"{folder} of {name}", NEWS, f"INBOX/{folder}")
    return world


@pytest.fixture
def visit(page, words) -> Visit:
    return Visit(page, words)


def begin(visit: Visit, world: World, name: str) -> None:
    """From the mailbox's page to its folders, as the server has them."""
    visit.page.goto(reverse("admin:mailboxes_mailbox_change", args=[world.mailbox(name).pk]))
    visit.link("Track another folder").click()
    visit.button("Read the folders from the server").click()
    visit.page.get_by_label(FOLDER).check()


@pytest.mark.rule("R7.4", "R7.7", "R7.10")
def test_a_user_tracks_a_folder_under_a_record(visit, sign_in, filed, screenshot, problems):
    page, words = visit.page, visit.words
    sign_in(filed.user("ada"))
    begin(visit, filed, "ada")
    page.get_by_label(words("Find a record")).fill("customer")
    page.get_by_role("radio", name="Customer Ltd").check()
    screenshot(f"journey-folders-{words.language}")
    visit.button("Track this folder").click()

    expect(visit.told()).to_contain_text(FOLDER)
    screenshot(f"journey-folders-tracked-{words.language}")
    filed.run("ada", "ben")
    stored = Email.objects.get()
    assert stored.activity.subject == f"{FOLDER} of ada"
    assert stored.activity.regarding_id == str(filed.company.pk)

    theirs = filed.mailbox("ben")
    url = f"{reverse('admin:tracking_mailboxtrackingfolder_add')}?mailbox={theirs.pk}"
    visit.is_kept_from(url, "Ben Example")
    problems.forget()


@pytest.mark.rule("R7.4", "R7.7")
def test_an_administrator_tracks_a_folder_of_somebody_else(visit, sign_in, filed, screenshot):
    sign_in(filed.administrator)
    begin(visit, filed, "ben")
    screenshot(f"journey-folders-administrator-{visit.words.language}")
    visit.button("Track this folder").click()

    expect(visit.told()).to_contain_text(FOLDER)
    filed.run("ada", "ben")
    assert Email.objects.get().activity.subject == f"{FOLDER} of ben"
    assert MailboxTrackingFolder.objects.get().mailbox == filed.mailbox("ben")
