"""What the engine does for a user doesn't count as something that the user did."""

from datetime import timedelta

import pytest

from mailboxes.models import SystemUser
from tests.integration.serversync.connected import write
from tests.integration.serversync.cycles import (
    NOW,
    Account,
    message,
    organization,
    user_mailbox,
)

pytestmark = [pytest.mark.integration, pytest.mark.django_db]


@pytest.mark.rule("R10.25")
@pytest.mark.parametrize("last", [None, NOW - timedelta(days=400)])
def test_cycles_leave_the_last_sign_in_alone(last):
    organization(allow_unresolved_parties_on_email_send=True)
    ada = Account(user_mailbox("ada"))
    SystemUser.objects.update(last_login=last)
    ada.box.deliver(message(message_id="one@customer.example"))
    write(ada.mailbox, "cleo@customer.example")

    received, sent = ada.receive(), ada.send()

    assert (received.by_state["tracked"], sent.by_state["sent"]) == (1, 1)
    assert set(SystemUser.objects.values_list("last_login", flat=True)) == {last}
