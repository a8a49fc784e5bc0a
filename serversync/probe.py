"""The header of our own probe messages (R2.14).

Signed for the mailbox it belongs to: without a signature anybody could make a message vanish from
processing by adding the header.
"""

from django.core import signing

from mailboxes.models import Mailbox

HEADER = "X-Serversync"
_SALT = "serversync.probe"


def probe_header(mailbox: Mailbox) -> str:
    """The header's value for a probe that this mailbox sends to itself."""
    return "probe " + signing.dumps(str(mailbox.pk), salt=_SALT)


def is_own_probe(value: str, mailbox: Mailbox) -> bool:
    """Did we make this probe, for this very mailbox?"""
    kind, _, signature = value.partition(" ")
    if kind != "probe" or not signature:
        return False
    try:
        return bool(signing.loads(signature.strip(), salt=_SALT) == str(mailbox.pk))
    except signing.BadSignature:
        return False
