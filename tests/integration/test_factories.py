"""The factories' own promise: what they make is valid as it stands."""

import pytest

from tests.factories import activities, mailboxes

pytestmark = [pytest.mark.integration, pytest.mark.django_db]

FACTORIES = [
    one
    for module in (activities, mailboxes)
    for name, one in vars(module).items()
    if name.endswith("Factory") and one.__module__ == module.__name__
]


@pytest.mark.parametrize("factory", FACTORIES, ids=lambda factory: factory.__name__)
def test_a_factory_makes_valid_records_again_and_again(factory):
    for _ in range(2):
        record = factory()
        if isinstance(record, mailboxes.SystemUser):
            record.set_password("long-enough-for-a-site")
        record.full_clean()


def test_profiles_of_every_kind_and_a_received_email_are_valid():
    for trait in ("pop3", "exchange", "own_credentials"):
        mailboxes.EmailServerProfileFactory(**{trait: True}).full_clean()
    activities.EmailFactory(received=True).full_clean()
    mailboxes.ready_mailbox().full_clean()
