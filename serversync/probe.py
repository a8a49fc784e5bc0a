"""The header of our own probe messages (R2.14).

Signed for the mailbox it belongs to: without a signature anybody could make a message vanish from
processing by adding the header.
"""

from django.core import signing

from activities.mime.automatic import OWN_HEADER, Fields, Machine, fields_of
from mailboxes.models import Mailbox
from tracking.acceptance import PartyKey
from tracking.choices import PartyKind

_SALT = "serversync.probe"


def probe_fields(mailbox: Mailbox) -> Fields:
    """The marks of a probe that this mailbox sends to itself."""
    return fields_of(Machine.PROBE, signing.dumps(str(mailbox.pk), salt=_SALT))


def probe_header(mailbox: Mailbox) -> str:
    """What our own field says on such a probe."""
    return dict(probe_fields(mailbox))[OWN_HEADER]


def is_own_probe(value: str, mailbox: Mailbox) -> bool:
    """Did we make this probe, for this very mailbox?"""
    return _signed_for(value) == str(mailbox.pk)


def is_probe_of(value: str, party: PartyKey) -> bool:
    """Did we make this probe for the mailbox of this party, whose server forwarded it (R3.75)? Looks
    into the database only once the signature is ours."""
    mailbox_id = _signed_for(value)
    if mailbox_id is None:
        return False
    kind, key = party
    column = "regarding_queue" if kind == PartyKind.QUEUE.value else "regarding_user"
    return Mailbox.objects.filter(pk=mailbox_id, **{column: key}).exists()


def _signed_for(value: str) -> str | None:
    """The key of the mailbox that a probe's header was signed for; None if we never signed it."""
    kind, _, signature = value.partition(" ")
    if kind != "probe" or not signature:
        return None
    try:
        return str(signing.loads(signature.strip(), salt=_SALT))
    except signing.BadSignature:
        return None
