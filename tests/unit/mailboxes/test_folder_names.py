"""Names of IMAP folders, which users and whoever shares their mailbox choose."""

import pytest

from mailboxes.protocols.imap.words import name_of


@pytest.mark.parametrize(
    ("spelled", "name"),
    [
        (b"INBOX/Caf&AOk-", "INBOX/Café"),
        (b"INBOX/a &- b", "INBOX/a & b"),
        (b"INBOX/&AAA-", ""),  # NUL: PostgreSQL keeps no such text
        (b"INBOX/a&AABiAA-", ""),
        (b"INBOX/&2AA-", ""),  # half of a character
        (b"INBOX/caf\xe9", ""),
    ],
)
def test_a_name_that_can_not_be_kept_is_none(spelled, name):
    assert name_of(spelled) == name
