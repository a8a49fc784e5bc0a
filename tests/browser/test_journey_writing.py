"""An email, from the first page to the server of its recipient, by a person without a mouse."""

import email
import email.policy

import pytest
from playwright.sync_api import expect

from activities.choices import EmailStatus
from activities.models import Email
from mailboxes.models import Organization
from tests.browser.journeys import LANGUAGES, RITA, Keyboard, address_of

pytestmark = pytest.mark.browser

NOTE = {"name": "note.txt", "mimeType": "text/plain", "buffer": b"As announced."}


@pytest.fixture(params=LANGUAGES)
def language(request) -> str:
    return request.param


@pytest.fixture
def keys(page, sign_in, world) -> Keyboard:
    sign_in(world.user("ada"))
    page.goto("/my-mailbox/")
    return Keyboard(page)


@pytest.mark.rule("R5.2")
def test_an_email_is_written_looked_at_taken_back_and_sent_with_keys_alone(
    page, keys, words, world, screenshot
):
    keys.press_link(words("Emails"))
    keys.press_link(words("Add %(name)s", name=words("email")))
    keys.write(words.label("To"), f"Rita Example <{RITA}>, office@customer.example")
    keys.choose(words.label("Regarding"), "Customer Ltd")
    keys.write(words.label("Subject"), "Offer 4711")
    keys.write(words.label("Message"), "Dear Rita,\nplease find it attached.")
    with page.expect_file_chooser() as chooser:
        keys.to(page.get_by_label(words.label("Attach files"), exact=True))
        page.keyboard.press("Enter")
    chooser.value.set_files(NOTE)
    screenshot(f"journey-writing-{words.language}")
    keys.press_button(words("Preview"))

    expect(page.locator("#subject")).to_contain_text("Offer 4711")
    expect(page.locator("ul.files")).to_contain_text("note.txt")
    screenshot(f"journey-writing-preview-{words.language}")
    keys.press_button(words("Send"))
    screenshot(f"journey-writing-undo-{words.language}")
    keys.press_button(words("Undo"))
    expect(page.locator(".messagelist")).to_contain_text(words("It is a draft again."))
    world.work()
    assert not world.sandbox.sent

    Organization.objects.update(undo_send_seconds=0)
    keys.write(words.label("Cc"), address_of("ben"))
    keys.press_button(words("Send"))
    world.work()
    page.reload()
    expect(page.locator("#path")).to_contain_text(words("Sent"))
    screenshot(f"journey-writing-sent-{words.language}")
    ((sender, recipients, raw),) = world.sandbox.sent
    assert sender == address_of("ada")
    assert recipients == (RITA, "office@customer.example", address_of("ben"))
    message = email.message_from_bytes(raw, policy=email.policy.default)
    assert message["Subject"].startswith("Offer 4711 CRM:")
    assert [part.get_filename() for part in message.iter_attachments()] == ["note.txt"]
    assert Email.objects.get().status_code == EmailStatus.SENT
