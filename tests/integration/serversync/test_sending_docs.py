"""What docs/sending.md shows works as it stands there."""

import logging
import re
from pathlib import Path
from types import SimpleNamespace

import pytest

from activities.models import Email
from tests.factories.activities import ContactFactory
from tests.integration.serversync.cycles import organization, queue_mailbox, user_mailbox

pytestmark = [pytest.mark.integration, pytest.mark.django_db]

PAGE = Path(__file__).resolve().parents[3] / "docs" / "sending.md"
EXAMPLES = re.findall(r"(?ms)^```python\n(.*?)^```$", PAGE.read_text())


def test_the_examples_of_the_page_send_what_they_say(settings, caplog) -> None:
    settings.EMAIL_BACKEND = "serversync.site_mail.MailboxBackend"
    settings.SITE_MAIL_SENDER = settings.DEFAULT_FROM_EMAIL = "orders@example.com"
    organization(allow_unresolved_parties_on_email_send=False)
    queue_mailbox("orders")
    contact = ContactFactory(email_address1="cleo@customer.example")
    names = {
        "order": SimpleNamespace(number=7, mark_as_sent=lambda: None),
        "contact": contact,
        "user": user_mailbox("ada").regarding_user,
        "drawings": bytes(300_000),
        "bill": b"%PDF",
        "log": logging.getLogger("ordering"),
    }
    sent = []

    for example in EXAMPLES:
        exec(compile(example, str(PAGE), "exec"), names)  # the page's own words
        sent.append(Email.objects.count() - sum(sent))

    assert sent == [1, 0, 1, 1, 2]
    assert names["email"].activity.regarding_object == contact
    assert "nobody@example.com" in caplog.text
    assert "no address" in caplog.text
